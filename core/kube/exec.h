/* Credentials from an exec plugin (client.authentication.k8s.io/v1 and v1beta1): what kubeconfig
 * says of it, running it, and the credential that all streams share.
 *
 * The plugin runs when the first request needs a credential, a little before expirationTimestamp,
 * and after a refusal; one run at a time, at most one a second, for however many streams. Its
 * output is bounded, its time is 30 s. While a credential is still valid, a run that fails keeps
 * it. Sources: the ExecCredential API pages; client-go's plugin/pkg/client/auth/exec.
 *
 * Threads: er_exec_get and er_exec_refused from any, er_exec_new and er_exec_free from main. */
#ifndef ER_KUBE_EXEC_H
#define ER_KUBE_EXEC_H

#include "kube/child.h"
#include "kube/kube.h"
#include "kube/kubefile.h"

#define ER_EXEC_LIMIT_MS 30000
#define ER_EXEC_APART_MS 1000

/* Of the user and cluster entries; owned, NULL when unset unless it says otherwise. */
typedef struct er_exec_spec {
    char *user; /* its name, for messages */
    char *api_version;
    char *command; /* never NULL; with a slash: resolved against the kubeconfig's folder */
    char **argv;   /* the command and its args, closed by NULL */
    char **env;    /* "NAME=value", closed by NULL */
    char *install_hint;
    bool provide_cluster;
    char *cluster_config; /* JSON of the cluster's extension of that name */
} er_exec_spec;

/* Reads the user's exec and, when the plugin wants to know the cluster, the cluster's extension.
 * Errors: ER_E_CONFIG. */
er_status er_exec_spec_read(const er_kubeentry *user, const er_kubeentry *cluster,
                            er_exec_spec *out, er_err *err);
void er_exec_spec_fini(er_exec_spec *spec);

/* The path of the program: the command itself when it holds a slash, else from the absolute folders
 * of search_path (a PATH, may be NULL). Owned. NULL with err set (ER_E_CONFIG, with the install
 * hint): there is none that may be run. */
char *er_exec_find(const er_exec_spec *spec, const char *search_path, er_err *err);

/* Immutable; owned through references. */
typedef struct er_exec_credential {
    atomic_uint refs;
    char *token, *cert_pem, *key_pem; /* NULL: none; cert and key only together */
    er_deadline renew_at, ends_at;
} er_exec_credential;
void er_exec_credential_unref(er_exec_credential *credential); /* NULL is allowed */

/* Reads what the plugin wrote, which is changed in place and may be wiped afterwards.
 * Errors: ER_E_INVAL; they repeat nothing secret. */
er_status er_exec_reply(const er_exec_spec *spec, char *text, size_t n, er_exec_credential **out,
                        er_err *err);

/* Appends what the plugin gets in KUBERNETES_EXEC_INFO. Errors: ER_E_IO (the CA's file). */
er_status er_exec_info(const er_exec_spec *spec, const er_kube_config *config, er_buf *out,
                       er_err *err);

typedef struct er_exec er_exec;
/* Takes the content of spec; config, which owns the result, and search_path are borrowed. */
er_exec *er_exec_new(er_exec_spec *spec, const er_kube_config *config, const char *search_path);
void er_exec_free(er_exec *exec);
const er_exec_spec *er_exec_spec_of(const er_exec *exec);
/* For tests: other limits than those above. */
void er_exec_limits(er_exec *exec, int64_t limit_ms, int64_t apart_ms);

/* A reference to the credential that is to be used now; runs the plugin, or waits for the thread
 * that does. cancel and heart may be NULL. Errors: ER_E_UNAVAILABLE, ER_E_CANCELLED. */
er_status er_exec_get(er_exec *exec, er_cancel *cancel, er_heart *heart, er_exec_credential **out,
                      er_err *err);
/* The API server refused it: it is not used again, unless it is newer already. */
void er_exec_refused(er_exec *exec, const er_exec_credential *credential);

#endif
