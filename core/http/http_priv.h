/* Inside core/http: the client and one exchange on it. */
#ifndef ER_HTTP_PRIV_H
#define ER_HTTP_PRIV_H

#include "base/file.h"
#include "http/http.h"

#include <curl/curl.h>

/* ---- where a URL leads ---- */

typedef struct er_http_target {
    char *url;        /* what libcurl is given: with the server name in place of the host, if any */
    char *connect_to; /* CURLOPT_CONNECT_TO, or NULL */
    char *host;       /* the Host header that goes with connect_to, or NULL */
    char peer[300];   /* "host:port", for errors */
} er_http_target;

/* Errors: ER_E_INVAL when it is not an http or https URL; they do not repeat the URL. */
er_status er_http_target_init(er_http_target *target, const char *url, const char *server_name,
                              er_err *err);
void er_http_target_fini(er_http_target *target);

/* ---- certificates and keys ---- */

typedef struct er_tls_file {
    const char *path; /* borrowed; NULL: pem is given from outside or there is none */
    er_file_stamp stamp;
    er_buf pem;
} er_tls_file;

/* What a connection is made with. */
typedef struct er_tls_material {
    er_tls_file ca, cert, key;
} er_tls_material;

typedef struct er_tls {
    const er_http_options *options;
    er_tls_material now;    /* in use */
    er_tls_material before; /* what worked, until the new one is known to work */
    bool on_trial;          /* now has not worked yet, before is there */
    bool warned;
    er_file_stamp refused[3]; /* stamps of files that did not work: not tried again */
} er_tls;

er_status er_tls_init(er_tls *tls, const er_http_options *options, er_err *err);
void er_tls_fini(er_tls *tls);
/* Looks at the files and reads those that changed; they are then on trial. True: they were read. */
bool er_tls_look(er_tls *tls);
/* A connection was made: what was there before is not needed any more. */
void er_tls_worked(er_tls *tls);
/* The certificate, key or CA cannot be used. True: those from before are back, try once more. */
bool er_tls_failed(er_tls *tls);
void er_tls_apply(const er_tls *tls, CURL *easy);

/* ---- the client ---- */

struct er_http_client {
    er_http_options options;
    er_tls tls;
    CURLM *multi; /* holds the connections */
    CURL *easy;   /* one exchange at a time */
};

/* ---- one exchange ---- */

typedef struct er_http_exchange {
    er_http_client *client;
    const er_http_request *req;
    er_http_response *res;
    const er_http_stream_handler *handler; /* NULL: er_http_do */
    int64_t idle_ms;
    er_http_target target;
    struct curl_slist *headers, *connect_to;
    char detail[CURL_ERROR_SIZE];
    er_deadline whole, head_by, silent_by;
    size_t header_bytes;
    uint64_t events;  /* callbacks so far: progress */
    bool head_done;   /* the headers of the final answer are in */
    er_status stop;   /* why a callback ended it */
    bool has_stopped; /* a callback ended it */
    bool is_cut;      /* ended with enough of the body: no error */
} er_http_exchange;

/* Performs it: the whole of er_http_do and er_http_stream. */
er_status er_http_exchange_run(er_http_exchange *x, er_err *err);

/* Sets every option of the exchange on the client's easy handle. */
er_status er_http_exchange_prepare(er_http_exchange *x, er_err *err);

/* TLS is the reason for the end of the transfer, or may be: with TLS 1.3 a certificate is refused
 * behind the handshake, when an answer is awaited. */
bool er_http_tls_failed(const er_http_exchange *x, CURLcode code);

/* The error of a transfer that libcurl gave up. */
er_status er_http_transport_error(const er_http_exchange *x, CURLcode code, er_err *err);

#endif
