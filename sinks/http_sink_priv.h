/* Inside the driver of the HTTP sinks: what http_sink.c (life, exchanges, verdicts), http_request.c
 * and http_settings.c share. Threads: as er_sink_type. */
#ifndef ER_SINKS_HTTP_SINK_PRIV_H
#define ER_SINKS_HTTP_SINK_PRIV_H

#include "sinks/http_gzip.h"
#include "sinks/http_nodes.h"
#include "sinks/http_sink.h"

#define ER_HTTP_BODY_KEEP (1u << 20) /* memory kept between requests */

struct er_http_caller {
    const er_http_profile *profile;
    const er_http_sink_config *config;
    er_sink_env env;
    er_http_client *client;
    char *proxy; /* NULL: none; it may hold a password */
    er_auth *auth;
    er_http_nodes nodes;
    er_secret **headers; /* values of config->headers */
    void *state;         /* the profile's */
    const char *content_type;
    er_http_framing framing;
    er_buf body;   /* of the batch being delivered; single records are sent as they are */
    er_gzip *gzip; /* NULL: bodies are not packed */
    er_buf packed;
    er_buf url_text; /* NUL-terminated copy for one request */
    er_buf where;    /* the URL as it may be shown */
    er_histogram *duration;
    er_auth_settings auth_settings; /* borrows from config */
};
typedef struct er_http_caller http_sink;

/* What is sent: a batch, with the body as the receiver shall read it and as it goes out; or a call
 * of open. */
typedef struct http_content {
    const er_batch *batch; /* NULL: a call */
    er_str payload, body;
    const er_http_call *call;
} http_content;

static inline const er_cfg_secret *er_http_header_at(const er_http_sink_config *config, size_t i) {
    return &((const er_cfg_secret *)config->headers.v)[i];
}

/* What check cannot say of an address that stands in a file or a variable: that nothing is
 * encrypted in spite of tls (ER_E_DENIED), or that credentials are sent in clear (logged once). */
er_status er_http_check_read_url(http_sink *sink, er_http_node *node, er_str url, er_err *err);
/* Most bytes that a request's body has around its items. */
size_t er_http_around(const er_http_profile *profile);
/* The body of the whole batch; borrowed until the next request. */
er_str er_http_frame(http_sink *sink, const er_batch *batch);
/* Fills sink->where: without user, password and query; of a URL that is a secret itself (from a
 * file or a variable), without the path as well: chat services put their token there. */
void er_http_show_url(http_sink *sink, er_str url);
/* One attempt. Errors: the endpoint's state. */
er_status er_http_fill_request(http_sink *sink, const http_content *content, er_http_request *req,
                               er_err *err);
/* Of what peers say, some of it gets into logs; and some of them say what they were sent. */
void er_http_hide_secrets(const http_sink *sink, const er_http_request *req, er_buf *answer);

#endif
