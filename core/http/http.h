/* The one libcurl client: requests and streams, TLS, auth headers, Retry-After.
 *
 * HTTP/1.1, http and https only, no redirects, no cookies, no .netrc, no proxy from the environment
 * (proxy is a setting), no verbose output. Answers are read to a cap. Certificates, keys and CA
 * files are looked at before each exchange, and again when TLS failed, and re-read when they
 * changed. Secrets never appear in errors. Every option is set for every request: nothing sticks to
 * a handle.
 *
 * Threads: a client belongs to one thread; the cancel token may be set from any. */
#ifndef ER_HTTP_HTTP_H
#define ER_HTTP_HTTP_H

#include "base/thread.h"
#include "config/config.h"

/* ---- settings, the same keys everywhere ---- */

typedef struct er_tls_settings {
    char *ca_file, *cert_file, *key_file, *server_name;
    bool insecure_skip_verify;
    int min_version; /* 0: TLS 1.2, 1: TLS 1.3 */
    er_pos pos;      /* er_tls_switch_rows: line 0 when `tls:` does not stand in the file */
} er_tls_settings;
extern const er_field
    er_tls_rows[]; /* caFile certFile keyFile serverName insecureSkipVerify minVersion */
/* The same where `tls:` itself says that TLS is used: no scheme of a URL does. */
extern const er_field er_tls_switch_rows[];
er_status er_tls_check(const void *settings, er_err *err); /* for check_struct */

typedef enum er_oauth2_client_auth { ER_OAUTH2_BASIC, ER_OAUTH2_BODY } er_oauth2_client_auth;
typedef struct er_oauth2_settings { /* client credentials, RFC 6749 section 4.4 */
    er_secret_ref token_url, client_secret;
    char *client_id, *audience;
    er_cfg_strings scopes;
    int client_auth; /* er_oauth2_client_auth */
    er_tls_settings tls;
} er_oauth2_settings;

typedef struct er_google_settings { /* access tokens for Google's APIs */
    er_pos pos;                     /* of the map in the file; 0: it does not stand there */
    char *credentials_file; /* "": GOOGLE_APPLICATION_CREDENTIALS, else the metadata server */
    er_cfg_strings scopes;
    er_tls_settings tls; /* towards the token endpoints */
    bool is_default;     /* in use also without standing in the file */
    const char *scope;   /* what to ask for without scopes; NULL: cloud-platform */
} er_google_settings;

typedef struct er_auth_settings { /* auth: {basic: …} or {bearer: …}; at most one of them */
    struct {
        char *username;
        er_secret_ref password;
    } basic;
    er_secret_ref bearer;
    struct {
        char *header; /* NULL: Authorization, with the scheme ApiKey */
        er_secret_ref value;
    } api_key;
    er_oauth2_settings oauth2;
    er_google_settings google;
} er_auth_settings;
extern const er_field er_auth_rows[];
/* The same for services of the Elasticsearch kind: apiKey is sent as `Authorization: ApiKey`, and
 * given as id:key or as the encoding of that. */
extern const er_field er_auth_scheme_rows[];
er_status er_auth_check(const void *settings, er_err *err); /* for check_struct */
/* The name of the header that these credentials go into; NULL: there are none. */
const char *er_auth_header(const er_auth_settings *settings);
/* For a service of Google's: its credentials are the default, and scope is what they ask for when
 * nothing is said of it. scope is borrowed. */
void er_auth_google(er_auth_settings *settings, const char *scope);

/* ---- a client ---- */

typedef struct er_http_client er_http_client;

typedef struct er_http_options { /* everything is borrowed and must outlive the client */
    const er_tls_settings *tls;  /* NULL: system CA, no client certificate */
    /* PEM in memory; wins over the file of tls when not empty. */
    er_str ca_pem, cert_pem, key_pem;
    /* NULL or "": none. http, https (trusted by the same CA as the peer) or socks5 (the proxy looks
     * up names), with user and password if need be. */
    const char *proxy;
    const char *user_agent;
    int64_t connect_timeout_ms;
    er_cancel *cancel; /* may be NULL */
    er_heart *heart;   /* beaten while waiting; may be NULL */
} er_http_options;

/* Reads certificates and keys once, so that a missing file is found at the start: ER_E_CONFIG.
 * Later ones that cannot be read, or do not fit together yet, leave the old ones in use. */
er_status er_http_client_new(const er_http_options *options, er_http_client **out, er_err *err);
void er_http_client_free(er_http_client *client);
/* Closes idle connections, so that the next request opens a new one. */
void er_http_client_reset(er_http_client *client);

typedef struct er_http_header {
    const char *name; /* a token of RFC 9110 */
    er_str value;     /* refused when it holds CR, LF or NUL */
} er_http_header;

#define ER_HTTP_HEADERS_MAX 32

typedef struct er_http_request {
    const char *method; /* "GET", "POST" */
    const char *url;
    er_http_header headers[ER_HTTP_HEADERS_MAX];
    size_t headers_n;
    er_str body;               /* borrowed; empty: none */
    bool accept_gzip;          /* send Accept-Encoding: gzip and decode */
    int64_t timeout_ms;        /* of the whole exchange; 0: none (streams) */
    int64_t header_timeout_ms; /* until the answer's headers are in, ER_E_TIMEOUT; 0: none */
    size_t response_max;       /* bytes of body kept; what follows is an error (ER_E_LIMIT) or, with
                                  response_cut, ignored */
    bool response_cut;
} er_http_request;
void er_http_request_header(er_http_request *req, const char *name, er_str value);

typedef struct er_http_response {
    long status; /* 0: no answer came */
    int64_t
        retry_after_ms; /* Retry-After in seconds or as a date, clamped to 0 .. 5 min; -1: none */
    er_buf body;        /* owned by the caller: er_http_response_init/fini */
    bool sent;          /* the request may have reached the peer */
    bool tls_failed;    /* no answer, and TLS is the reason, or may be: certificates, keys, CA */
    char content_type[64];
} er_http_response;
void er_http_response_init(er_http_response *res);
void er_http_response_fini(er_http_response *res);

/* Performs the request and waits; what res held before is forgotten. ER_OK when an answer came,
 * whatever its status. Errors: ER_E_UNAVAILABLE (transport: refused, reset, TLS, DNS, cut short;
 * message says which, host and port but no secret), ER_E_TIMEOUT, ER_E_CANCELLED, ER_E_LIMIT (body
 * over response_max), ER_E_INVAL (URL or header unusable). */
er_status er_http_do(er_http_client *client, const er_http_request *req, er_http_response *res,
                     er_err *err);

/* ---- a stream: an answer that goes on ---- */

typedef struct er_http_stream_handler {
    void *arg;
    /* The status line and headers are in; body bytes follow. Not ER_OK ends the stream. */
    er_status (*head)(void *arg, const er_http_response *res);
    /* Body bytes. May block (a full queue): the silence timer stands still meanwhile. */
    er_status (*data)(void *arg, er_str bytes);
    /* After the head of a 2xx answer: nothing was readable and the thread is about to wait. */
    void (*waiting)(void *arg);
} er_http_stream_handler;

/* Performs req and feeds the handler until the stream ends. Bodies of answers that are not 2xx go
 * to res->body (up to response_max), not to data. ER_OK: the peer ended the body cleanly. Errors as
 * er_http_do; ER_E_TIMEOUT: no byte for idle_ms (0: no limit); a status returned by the handler is
 * passed on. */
er_status er_http_stream(er_http_client *client, const er_http_request *req, int64_t idle_ms,
                         const er_http_stream_handler *handler, er_http_response *res, er_err *err);

/* ---- a connection for those who do not speak HTTP ---- */

typedef struct er_http_dial {
    const char *host; /* a name or an address; an IPv6 address without brackets */
    unsigned port;
    int64_t timeout_ms; /* name look-up and TCP */
    er_cancel *cancel;  /* may be NULL */
    er_heart *heart;    /* may be NULL */
} er_http_dial;
/* Looks the name up and connects, to the first of its addresses that answers (RFC 8305), without
 * any proxy. *fd is non-blocking, without Nagle's delay, and the caller's to close. Errors:
 * ER_E_UNAVAILABLE, ER_E_TIMEOUT, ER_E_CANCELLED, ER_E_NOMEM; messages name host and port. */
er_status er_http_dial_tcp(const er_http_dial *to, int *fd, er_err *err);

/* ---- auth headers from settings ---- */

typedef struct er_auth er_auth;
/* what: "sinks.hook.auth", for errors. Reads the secrets once. options (all but tls) and timeout_ms
 * are those of requests for OAuth 2 tokens. settings are borrowed. */
er_status er_auth_new(const er_auth_settings *settings, const char *what,
                      const er_http_options *options, int64_t timeout_ms, er_auth **out,
                      er_err *err);
void er_auth_free(er_auth *auth);
/* Adds Authorization (or the API key's header); values live until the next call. With oauth2 and
 * google it may ask for a token and wait for the answer. Errors: ER_E_LIMIT (too long for a
 * header); ER_E_DENIED, ER_E_UNAVAILABLE (with retry_after_ms) and ER_E_CANCELLED of such a
 * request. */
er_status er_auth_apply(er_auth *auth, er_http_request *req, er_err *err);
/* After a 401: secrets are read again at once, and an access token that has worked before is
 * forgotten. True when the next attempt will have other credentials. */
bool er_auth_refresh(er_auth *auth);

/* ---- small parts ---- */

/* Percent-encodes everything outside of RFC 3986 "unreserved". */
void er_url_escape(er_str s, er_buf *out);

/* Retry-After (RFC 9110 section 10.2.3) in milliseconds from now, clamped to 0 .. 5 min: whole
 * seconds, or a date in any of the three forms of section 5.6.7. -1: neither. */
int64_t er_http_retry_after(er_str value, er_time now);
#define ER_HTTP_RETRY_AFTER_MAX_MS 300000

/* A name of a header that may be sent: a token of RFC 9110 (section 5.6.2). */
bool er_http_header_name_valid(er_str name);

#endif
