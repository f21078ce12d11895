/* Inside core/kube: credentials as loaded, and where they are looked for. */
#ifndef ER_KUBE_PRIV_H
#define ER_KUBE_PRIV_H

#include "kube/exec.h"
#include "kube/kube.h"

#define ER_KUBE_IMPERSONATE_MAX 16

typedef struct er_kube_header {
    char *name, *value;
} er_kube_header;

/* Everything is owned, and NULL when unset but for server, origin, context and namespace_. */
struct er_kube_config {
    char *server; /* without a slash at the end */
    char *origin, *context, *namespace_;
    er_tls_settings tls;
    char *ca_pem, *cert_pem, *key_pem;
    bool no_compression;
    char *proxy;              /* URL; http, https or socks5 */
    const char *proxy_key;    /* where it was found: "proxy-url", or a variable's name */
    er_exec *exec;            /* instead of the secrets below; locks itself */
    char *token, *token_file; /* the file wins while it can be read */
    char *username, *password;
    er_kube_header impersonate[ER_KUBE_IMPERSONATE_MAX];
    size_t impersonate_n;
    char id[65];
};

/* Where credentials are looked for: the environment, or what a test says. NULL: not there. */
typedef struct er_kube_places {
    const char *service_host, *service_port; /* KUBERNETES_SERVICE_HOST, _PORT */
    const char *account_dir;                 /* /var/run/secrets/kubernetes.io/serviceaccount */
    const char *kubeconfig;                  /* KUBECONFIG */
    const char *home;                        /* HOME */
    const char *path;                        /* PATH, for exec plugins */
    const char *https_proxy, *http_proxy;    /* HTTPS_PROXY, HTTP_PROXY, or in lower case */
    const char *no_proxy;                    /* NO_PROXY, or in lower case */
} er_kube_places;

er_status er_kube_config_load_from(const er_kube_settings *settings, const er_kube_places *places,
                                   er_kube_config **out, er_err *err);

/* Reads the n files, merges them and takes the context. must_exist: a missing or empty file is an
 * error, and not passed over. Errors: ER_E_CONFIG. */
er_status er_kubeconfig_load(const char *const *paths, size_t n, bool must_exist,
                             const char *context, const er_kube_places *places,
                             er_kube_config *config, er_err *err);

/* Takes the proxy from the environment when the cluster names none, as client-go does: the variable
 * of the server's scheme, unless NO_PROXY (or loopback) excepts the server. Checks the URL in both
 * cases. Errors: ER_E_CONFIG; they do not repeat the URL. */
er_status er_kube_proxy_choose(const er_kube_places *places, er_kube_config *config, er_err *err);
/* What NO_PROXY says of host and port ("" : the whole list is about the host). */
bool er_kube_proxy_excepts(const char *no_proxy, const char *host, const char *port);

#endif
