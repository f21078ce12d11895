/* The Kubernetes API server: credentials, paged LIST, WATCH split into frames.
 *
 * Decides nothing: it says what came (er_kube_answer) and leaves lists, probes and backoff to
 * core/watch. Sources: reference of the API concepts page ("Efficient detection of changes",
 * "Retrieving large results sets in chunks"), client-go's kubeconfig loading rules.
 *
 * Threads: er_kube_config is immutable after loading; an er_kube_client belongs to one thread. */
#ifndef ER_KUBE_KUBE_H
#define ER_KUBE_KUBE_H

#include "base/thread.h"
#include "config/config.h"
#include "http/http.h"

/* ---- settings and credentials ---- */

typedef struct er_kube_settings { /* kubernetes: */
    char *kubeconfig, *context;
    er_cfg_strings namespaces; /* empty: the whole cluster; at most 32 */
} er_kube_settings;
extern const er_field er_kube_rows[];
er_status er_kube_check(const void *settings, er_err *err); /* for check_struct */

/* Immutable, but for the credential of an exec plugin, which all clients share. */
typedef struct er_kube_config er_kube_config;
/* Order: explicit kubeconfig, in-cluster (not when a context is named), $KUBECONFIG (colon list,
 * merged as kubectl does), ~/.kube/config. Errors (ER_E_CONFIG) name the file, the entry and what
 * to do. Reads the environment: call it from main. An exec plugin must be there, but is not run. */
er_status er_kube_config_load(const er_kube_settings *settings, er_kube_config **out, er_err *err);
void er_kube_config_free(er_kube_config *config);
/* Which API server, and which kind of credentials, as lines for people; no secrets. */
void er_kube_config_describe(const er_kube_config *config, er_buf *out);
bool er_kube_config_is_insecure(const er_kube_config *config);   /* https, and not verified */
const char *er_kube_config_server(const er_kube_config *config); /* URL, as it may be logged */
const char *
er_kube_config_origin(const er_kube_config *config); /* "in-cluster", or "FILE, context NAME" */
const char *er_kube_config_context(const er_kube_config *config); /* "" in-cluster */
/* The namespace of the context or the pod, "default" where none is named. */
const char *er_kube_config_namespace(const er_kube_config *config);
/* SHA-256 in hex of server URL and CA: the cluster id when kube-system's uid cannot be read. */
void er_kube_config_id(const er_kube_config *config, char out[65]);

/* ---- versions: decimal strings, compared per resource (KEP-5504) ---- */

/* Digits only, no leading zero but "0" itself, at most 39 digits (128 bits). */
bool er_version_valid(er_str version);
int er_version_cmp(er_str a, er_str b); /* <0, 0, >0; both valid */
#define ER_VERSION_MAX 40

/* ---- requests ---- */

typedef struct er_kube_client er_kube_client;

typedef struct er_kube_timeouts {
    int64_t connect_ms; /* TCP and TLS */
    int64_t request_ms; /* of one LIST page */
    int64_t header_ms;  /* any answer may take this long to begin; 0: no limit of its own */
    int64_t idle_ms;    /* silence on a watch */
} er_kube_timeouts;

/* config, cancel and heart are borrowed and outlive the client. Certificates are read. */
er_status er_kube_client_new(const er_kube_config *config, const er_kube_timeouts *timeouts,
                             er_cancel *cancel, er_heart *heart, er_kube_client **out, er_err *err);
void er_kube_client_free(er_kube_client *client);

typedef enum er_kube_outcome {
    ER_KUBE_OK,           /* list: a whole page; watch: a clean end */
    ER_KUBE_TRANSPORT,    /* refused, reset, TLS, DNS, cut short, connect or request timeout */
    ER_KUBE_IDLE,         /* watch: silent for idle_ms */
    ER_KUBE_GONE,         /* 410; a continue token may be in answer.cont */
    ER_KUBE_UNAUTHORIZED, /* 401 */
    ER_KUBE_FORBIDDEN,    /* 403 */
    ER_KUBE_BUSY,         /* 429, 5xx: honour retry_after_ms */
    ER_KUBE_REFUSED,      /* any other status: 400, 404, 422 …, 3xx */
    ER_KUBE_TOO_LARGE,    /* list: the page is over the cap */
    ER_KUBE_BAD_BODY,     /* list: 200, but no list in JSON (truncated, not JSON, no version) */
    ER_KUBE_STOPPED,      /* watch: the frame handler asked to stop */
    ER_KUBE_CANCELLED,
} er_kube_outcome;

typedef struct er_kube_answer { /* begins as {0}; each request fills it anew */
    er_kube_outcome outcome;
    long status;            /* HTTP; 0: none */
    int64_t retry_after_ms; /* header, else details.retryAfterSeconds of the Status; -1: none */
    char reason[64];        /* Status.reason */
    char message[400];      /* Status.message, the transport error, or the start of a text body */
    char *cont;             /* GONE on a list: the inconsistent token, owned; else NULL */
} er_kube_answer;
void er_kube_answer_fini(er_kube_answer *answer);

typedef struct er_kube_query {
    const char *path; /* "/api/v1/events", "/api/v1/namespaces/shop/events" */
    const char *field_selector, *label_selector; /* NULL or "": none */
} er_kube_query;

/* One page of a list. Items are slices of the body, each one JSON object, unparsed. */
typedef struct er_kube_page {
    er_buf body;
    char version[ER_VERSION_MAX]; /* metadata.resourceVersion, validated */
    char *cont;                   /* owned; NULL: the last page */
    er_str *items;
    size_t n;
} er_kube_page;
void er_kube_page_init(er_kube_page *page);
void er_kube_page_fini(er_kube_page *page);

#define ER_KUBE_FRAME_MAX (16u << 20) /* bytes of one watch frame and of one list page */

/* GET with limit and cont (NULL: the first page), resourceVersion unset. The page is refilled. A
 * body cut short or a metadata without version is BAD_BODY; a body over ER_KUBE_FRAME_MAX is
 * TOO_LARGE. */
er_kube_outcome er_kube_list(er_kube_client *client, const er_kube_query *query, int limit,
                             const char *cont, er_kube_page *page, er_kube_answer *answer);

/* GET of one object, for the cluster id; the body goes to out. */
er_kube_outcome er_kube_get(er_kube_client *client, const char *path, er_buf *out,
                            er_kube_answer *answer);

typedef struct er_kube_watch_handler {
    void *arg;
    void (*connected)(void *arg); /* the answer's headers came, with 200 */
    /* One line without its LF; may be changed in place. False: stop reading (STOPPED). Blank lines
     * are not passed on. What follows the last LF at the end of the stream is discarded. */
    bool (*frame)(void *arg, char *line, size_t n);
    void (*oversized)(void *arg, size_t bytes); /* a line over ER_KUBE_FRAME_MAX was skipped */
    void (*read)(void *arg); /* all lines of what was read at once have been passed on */
    /* Nothing was readable, no frame is half read, and the thread is about to wait. */
    void (*waiting)(void *arg);
} er_kube_watch_handler;

er_kube_outcome er_kube_watch(er_kube_client *client, const er_kube_query *query,
                              const char *version, int timeout_s,
                              const er_kube_watch_handler *handler, er_kube_answer *answer);

/* After 401: the token is read again at once, whatever its age; the plugin is run again. */
void er_kube_client_refresh(er_kube_client *client);

#endif
