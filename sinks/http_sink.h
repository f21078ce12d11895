/* The driver that all HTTP sinks share. A service is a const er_http_profile on it: content type,
 * framing, status rules and a few callbacks. See sinks/README.md for how to add one.
 *
 * What the driver does for all of them: the request's body from the frozen items, the URL and the
 * headers from configuration (secrets are read again when they change), gzip, TLS, auth, one more
 * attempt at once when a 401 is answered and a credential turns out to be new, the meaning of
 * statuses, Retry-After, metrics, and errors that say what to do.
 *
 * Threads: as er_sink_type. */
#ifndef ER_SINKS_HTTP_SINK_H
#define ER_SINKS_HTTP_SINK_H

#include "http/http.h"
#include "sink/sink.h"

typedef enum er_http_compression { ER_HTTP_PLAIN, ER_HTTP_GZIP } er_http_compression;

/* The first member of every HTTP sink's config struct. */
typedef struct er_http_sink_config {
    er_sink_settings common;
    er_secret_ref url;
    er_cfg_list more_urls; /* of er_secret_ref; see ER_HTTP_SINK_MORE_URLS_ROW */
    er_secret_ref proxy;
    struct {
        int64_t connect_ms, request_ms;
    } timeout;
    er_tls_settings tls;
    er_auth_settings auth;
    er_cfg_list headers; /* of er_cfg_secret */
    int compression;     /* er_http_compression */
} er_http_sink_config;
extern const er_field er_http_sink_timeout_rows[];
/* Says what is wrong with a URL as that of a proxy: there is something behind host and port. */
er_status er_http_sink_check_proxy(const char *url, er_err *err);
/* Says what is wrong with the name of a header from configuration: not a token of RFC 9110, or one
 * that the program itself must set. */
er_status er_http_sink_check_header(const char *name, er_err *err);
bool er_http_sink_has_header(const er_http_sink_config *config, const char *name);
/* Most entries in `headers:`. */
#define ER_HTTP_SINK_HEADERS_MAX 16
#define ER_HTTP_SINK_ROWS        ER_HTTP_SINK_ROWS_WITH(er_auth_rows)
/* The same with other rows for `auth:`. */
#define ER_HTTP_SINK_ROWS_WITH(auth_rows_)                                                         \
    {.key = "url",                                                                                 \
     .type = ER_FIELD_URL,                                                                         \
     .flags = ER_FIELD_REQUIRED,                                                                   \
     .offset = offsetof(er_http_sink_config, url),                                                 \
     .help = "Where requests go; a text, {file: PATH} or {env: NAME}."},                           \
        ER_HTTP_SINK_ROWS_BUT_URL(auth_rows_)
/* For a service that is known by its address: it has a row for `url` of its own. */
#define ER_HTTP_SINK_ROWS_BUT_URL(auth_rows_)                                                      \
    {.key = "timeout",                                                                             \
     .type = ER_FIELD_STRUCT,                                                                      \
     .rows = er_http_sink_timeout_rows,                                                            \
     .help = "Time limits of one request."},                                                       \
        {.key = "proxy",                                                                           \
         .type = ER_FIELD_URL,                                                                     \
         .check = er_http_sink_check_proxy,                                                        \
         .offset = offsetof(er_http_sink_config, proxy),                                           \
         .help = "The HTTP proxy that requests go through, those for tokens as well: "             \
                 "http://USER:PASSWORD@HOST:PORT or https://...; a text, {file: PATH} or {env: "   \
                 "NAME}, read at the start. None: no proxy, whatever the environment says."},      \
        {.key = "tls",                                                                             \
         .type = ER_FIELD_STRUCT,                                                                  \
         .rows = er_tls_switch_rows,                                                               \
         .flags = ER_FIELD_UNSET,                                                                  \
         .check_struct = er_tls_check,                                                             \
         .offset = offsetof(er_http_sink_config, tls),                                             \
         .help = "TLS towards the peer."},                                                         \
        {.key = "auth",                                                                            \
         .type = ER_FIELD_STRUCT,                                                                  \
         .rows = (auth_rows_),                                                                     \
         .check_struct = er_auth_check,                                                            \
         .offset = offsetof(er_http_sink_config, auth),                                            \
         .help = "Credentials; at most one kind."},                                                \
        {.key = "headers",                                                                         \
         .type = ER_FIELD_SECRETS,                                                                 \
         .check = er_http_sink_check_header,                                                       \
         .offset = offsetof(er_http_sink_config, headers),                                         \
         .help = "More request headers: name to text, {file: PATH} or {env: NAME}."},              \
    {                                                                                              \
        .key = "compression", .type = ER_FIELD_ENUM, .choices = "none|gzip",                       \
        .offset = offsetof(er_http_sink_config, compression),                                      \
        .help = "gzip packs each request's body (Content-Encoding: gzip)."                         \
    }

/* For a service with several addresses, any of which takes any request. Requests go to `url` and
 * these in turn; one that does not answer, or answers 502, 503 or 504, is left out for a while and
 * the request goes to the next at once. */
#define ER_HTTP_SINK_MORE_URLS_ROW                                                                 \
    {                                                                                              \
        .key = "moreUrls", .type = ER_FIELD_SECRET_LIST, .flags = ER_FIELD_OF_URLS, .max = 31,     \
        .offset = offsetof(er_http_sink_config, more_urls),                                        \
        .help = "Further addresses of the same service. Requests go to url and these in turn; "    \
                "one that does not serve is left out for 5 s, or longer when it hangs or fails "   \
                "again (5 min at the most)."                                                       \
    }

typedef enum er_http_framing {
    ER_HTTP_SINGLE,     /* one record a request; batch.records > 1 makes it a JSON array */
    ER_HTTP_JSON_ARRAY, /* always an array */
    ER_HTTP_NDJSON,     /* each item and a newline */
    ER_HTTP_CONCAT,     /* items as they are */
} er_http_framing;

/* What an answer means for the endpoint; the rest (per item) is the profile's judge. */
typedef enum er_http_action {
    ER_HTTP_DELIVERED,
    ER_HTTP_UNAVAILABLE,
    ER_HTTP_DENIED,
    ER_HTTP_SPLIT,   /* too large: halve; a single record is rejected as too_large */
    ER_HTTP_REFUSED, /* with several records: halve; a single one is rejected as refused */
} er_http_action;
typedef struct er_http_rule {
    short from, to; /* statuses, inclusive */
    er_http_action action;
} er_http_rule;
/* The profile's rules are looked at first, then the common table:
 *   2xx                                                       DELIVERED
 *   3xx 401 403 404 405 406 407 410 415 426 501 505           DENIED: the target is wrong
 *   413                                                       SPLIT
 *   408 425 429, other 5xx, everything that is not a status   UNAVAILABLE
 *   other 4xx                                                 REFUSED */
er_http_action er_http_action_of(const er_http_rule *rules, size_t n, long status);

/* Handed to a profile's open: requests like those of deliver, with the same URLs, credentials and
 * headers. */
typedef struct er_http_caller er_http_caller;
typedef struct er_http_call {
    const char *method;
    const char *path; /* and query, from "/"; joined to the URL by er_http_sink_join */
    er_str body;      /* JSON; empty: none */
} er_http_call;
/* Sends it and waits. ER_OK: an answer came, whatever its status; of its body the first 64 KiB are
 * kept. Errors: the endpoint's state. */
er_status er_http_sink_call(er_http_caller *caller, const er_http_call *call, er_http_response *res,
                            er_err *err);
/* Appends base without the slashes at its end, and path. */
void er_http_sink_join(er_str base, const char *path, er_buf *out);
/* Appends status and place of an answer: "403 Forbidden from http://h/x". */
void er_http_sink_describe(const er_http_caller *caller, const er_http_response *res, er_buf *out);

typedef struct er_http_profile {
    const char *content_type; /* unless the operator's headers have one */
    er_http_framing framing;
    const char *before, *after; /* around an array; NULL: nothing */
    /* Google's credentials are the default of `auth`, and ask for this scope; NULL: any service. */
    const char *google_scope;
    const er_http_rule *rules; /* overrides of the common table */
    size_t rules_n;
    /* Optional. What the configuration asks for in place of the content type and framing above. */
    void (*format)(const void *config, const char **content_type, er_http_framing *framing);
    size_t state_size; /* bytes of zeroed state handed to the callbacks */
    size_t answer_max; /* bytes of an answer that are read, the rest is cut; 0: 64 KiB */
    /* Optional. Fills the state, on main, without I/O but reading secrets. fini also gets a state
     * that init has not filled, or not to its end. Without them the state is just freed. */
    er_status (*init)(const void *config, const er_sink_env *env, void *state, er_err *err);
    void (*fini)(void *state);
    /* Optional. I/O before the first encode: looks up, sets up. Called again until ER_OK; errors:
     * the endpoint's state. */
    er_status (*open)(const void *config, void *state, er_http_caller *caller, er_deadline until,
                      er_err *err);
    er_status (*encode)(const void *config, void *state, const er_record *rec, er_buf *out,
                        er_err *err);
    /* Optional: er_sink_type's target. */
    void (*target)(const void *config, const er_record *rec, er_buf *out);
    /* Optional. Adds headers or changes the URL of one attempt; method, url, body and the other
     * headers but Authorization are there already. Values must live until the next call (keep them
     * in state). Errors: the endpoint's state. */
    er_status (*prepare)(const void *config, void *state, const er_batch *batch,
                         er_http_request *req, er_err *err);
    /* Optional. Adds the headers that are made anew for each attempt, from the clock and from keys,
     * and nothing else; signs names them (NULL at the end), so that they can be shown as `<per
     * attempt>`. payload is the body before compression. Errors as prepare. */
    const char *const *(*signs)(const void *config);
    er_status (*sign)(const void *config, void *state, er_str payload, er_time now,
                      er_http_request *req, er_err *err);
    /* Optional. After a 401: reads the secrets of the state again at once; true when one is new. */
    bool (*refresh)(void *state);
    /* Optional. What an answer means that cannot be told by its status alone; action is what the
     * tables say. */
    er_http_action (*action)(const void *config, void *state, const er_http_response *res,
                             er_http_action action);
    /* Optional. Judges the items of an answer that counts as DELIVERED; without it all are. The
     * result is deliver's; with ER_OK and items to be tried again, err says why and when. */
    er_status (*judge)(const void *config, void *state, const er_http_response *res,
                       er_batch *batch, er_err *err);
    /* Optional. Of any other answer: appends ": ", what the peer says and what to do about it, on
     * one line, in place of the beginning of the answer and the usual advice. */
    void (*say)(const void *config, void *state, const er_http_response *res, er_buf *out);
} er_http_profile;

/* The functions of the driver, for er_sink_type. */
er_status er_http_sink_create(const er_sink_type *type, const void *config, const er_sink_env *env,
                              void **self, er_err *err);
er_status er_http_sink_open(void *self, er_deadline until, er_err *err);
er_status er_http_sink_encode(void *self, const er_record *rec, er_item *out, er_err *err);
void er_http_sink_target(void *self, const er_record *rec, er_buf *out);
er_status er_http_sink_deliver(void *self, er_batch *batch, er_err *err);
er_status er_http_sink_preview(void *self, const er_batch *batch, er_buf *out, er_err *err);
void er_http_sink_destroy(void *self);
er_status er_http_sink_check(const void *config, er_err *err);
/* Of credentials that are sent in clear to another machine. path: "sinks.hook". */
void er_http_sink_warn(const void *config, const char *path, er_problems *problems);

/* The er_sink_type of a service: profile_ is the er_http_profile, config_ the struct that begins
 * with er_http_sink_config, rows_ begin with ER_SINK_ROWS and ER_HTTP_SINK_ROWS. */
#define ER_HTTP_SINK_TYPE(profile_, name_, summary_, rows_, config_)                               \
    ER_HTTP_SINK_TYPE_CHECKED(profile_, name_, summary_, rows_, config_, er_http_sink_check)
/* The same with a check of its own, which begins with er_http_sink_check. */
#define ER_HTTP_SINK_TYPE_CHECKED(profile_, name_, summary_, rows_, config_, check_)               \
    {                                                                                              \
        .name = (name_), .summary = (summary_), .rows = (rows_), .config_size = sizeof(config_),   \
        .check = (check_), .family = (profile_), .max_in_flight = 1, .item_max = 4u << 20,         \
        .create = er_http_sink_create, .open = er_http_sink_open, .encode = er_http_sink_encode,   \
        .target = er_http_sink_target, .deliver = er_http_sink_deliver,                            \
        .preview = er_http_sink_preview, .destroy = er_http_sink_destroy                           \
    }

#endif
