/* The requests of the HTTP sinks: made, shown, and what of them must not be in an answer. */
#include "sinks/http_sink_priv.h"

#include "sinks/http_preview.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX 65536 /* bytes of an answer that are read, unless the profile says more */
#define SECRET_MIN 8     /* bytes of what is looked for in answers */

static const char *text_of(const char *text) {
    return text == NULL ? "" : text;
}

static void put_items(er_buf *out, const er_batch *batch, const char *between, const char *after) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        er_buf_puts(out, i > 0 ? between : "");
        er_buf_put_str(out, er_buf_str(&er_batch_item(batch, i)->body));
        er_buf_puts(out, after);
    }
}

static size_t bytes_of(const er_batch *batch) {
    size_t bytes = 2;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        bytes += er_batch_item(batch, i)->body.len + 1;
    }
    return bytes;
}

size_t er_http_around(const er_http_profile *profile) {
    return strlen(text_of(profile->before)) + strlen(text_of(profile->after)) + 2;
}

er_str er_http_frame(http_sink *sink, const er_batch *batch) {
    er_http_framing framing = sink->framing;
    if (framing == ER_HTTP_SINGLE && sink->config->common.batch.records == 1) {
        ER_ASSERT(er_batch_len(batch) == 1);
        return er_buf_str(&er_batch_item(batch, 0)->body);
    }
    er_buf_shrink(&sink->body, ER_HTTP_BODY_KEEP);
    er_buf_expect(&sink->body, bytes_of(batch));
    if (framing == ER_HTTP_NDJSON) {
        put_items(&sink->body, batch, "", "\n");
    } else if (framing == ER_HTTP_CONCAT) {
        put_items(&sink->body, batch, "", "");
    } else {
        er_buf_puts(&sink->body, text_of(sink->profile->before));
        er_buf_putc(&sink->body, '[');
        put_items(&sink->body, batch, ",", "");
        er_buf_putc(&sink->body, ']');
        er_buf_puts(&sink->body, text_of(sink->profile->after));
    }
    return er_buf_str(&sink->body);
}

void er_http_show_url(http_sink *sink, er_str url) {
    er_buf_clear(&sink->where);
    (sink->env.is_preview ? er_url_mask : er_url_redact)(url, &sink->where);
    if (sink->nodes.v[sink->nodes.at].is_literal) {
        return;
    }
    const char *text = er_buf_cstr(&sink->where);
    const char *host = strstr(text, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    if (path != NULL && path[1] != '\0') {
        sink->where.len = (size_t)(path - text) + 1;
        er_buf_puts(&sink->where, "***");
    }
}

static er_status fill_url(http_sink *sink, er_http_request *req, er_err *err) {
    er_http_node *node = er_http_nodes_next(&sink->nodes);
    er_str url = er_secret_get(node->url);
    er_http_show_url(sink, url);
    er_buf_wipe(&sink->url_text);
    er_buf_put_str(&sink->url_text, url);
    bool is_text = memchr(url.p, '\0', url.n) == NULL;
    if (!is_text || er_buf_status(&sink->url_text) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "sinks.%s.url is not a URL", sink->env.name);
    }
    req->url = er_buf_cstr(&sink->url_text);
    return er_http_check_read_url(sink, node, url, err);
}

static void fill_configured(http_sink *sink, er_http_request *req) {
    for (size_t i = 0; i < sink->config->headers.n; i++) {
        er_http_request_header(req, er_http_header_at(sink->config, i)->name.s,
                               er_secret_get(sink->headers[i]));
    }
}

static void fill_headers(http_sink *sink, er_http_request *req) {
    const er_http_sink_config *config = sink->config;
    if (!er_http_sink_has_header(config, "Content-Type")) {
        er_http_request_header(req, "Content-Type", er_str_of(sink->content_type));
    }
    if (sink->gzip != NULL) {
        er_http_request_header(req, "Content-Encoding", ER_STR("gzip"));
    }
    fill_configured(sink, req);
}

static size_t answer_max(const http_sink *sink) {
    return sink->profile->answer_max > 0 ? sink->profile->answer_max : ANSWER_MAX;
}

/* All that is the same for each attempt. */
static er_status fill_fixed(http_sink *sink, const er_batch *batch, er_str body,
                            er_http_request *req, er_err *err) {
    *req = (er_http_request){.method = "POST",
                             .body = body,
                             .timeout_ms = sink->config->timeout.request_ms,
                             .response_max = answer_max(sink),
                             .response_cut = true};
    er_status status = fill_url(sink, req, err);
    if (status != ER_OK) {
        return status;
    }
    fill_headers(sink, req);
    const er_http_profile *profile = sink->profile;
    if (profile->prepare != NULL) {
        status = profile->prepare(sink->config, sink->state, batch, req, err);
    }
    return status;
}

/* The configured URL as it may be shown, and as it is what prepare put behind it. */
static void show_whole_url(http_sink *sink, er_str url) {
    er_str base = er_buf_str(&sink->url_text);
    while (base.n > 0 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    if (url.n < base.n || memcmp(url.p, base.p, base.n) != 0) {
        er_http_show_url(sink, url);
        return;
    }
    er_http_show_url(sink, base);
    size_t query = strcspn(base.p, "?#");
    er_buf_put(&sink->where, url.p + base.n, query < base.n ? 0 : url.n - base.n);
}

static er_status sign(http_sink *sink, er_str payload, er_http_request *req, er_err *err) {
    const er_http_profile *profile = sink->profile;
    return profile->sign == NULL
               ? ER_OK
               : profile->sign(sink->config, sink->state, payload, er_time_now(), req, err);
}

void er_http_sink_join(er_str base, const char *path, er_buf *out) {
    while (base.n > 0 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    er_buf_put_str(out, base);
    er_buf_puts(out, path);
}

/* A request of open: as the profile says, and as configured. */
static er_status fill_call(http_sink *sink, const er_http_call *call, er_http_request *req,
                           er_err *err) {
    *req = (er_http_request){.method = call->method,
                             .body = call->body,
                             .timeout_ms = sink->config->timeout.request_ms,
                             .response_max = ANSWER_MAX,
                             .response_cut = true};
    er_status status = fill_url(sink, req, err);
    if (status != ER_OK) {
        return status;
    }
    er_str base = er_buf_str(&sink->url_text);
    char *url = er_str_dup(base);
    er_buf_wipe(&sink->url_text);
    er_http_sink_join((er_str){url, base.n}, call->path, &sink->url_text);
    explicit_bzero(url, base.n);
    free(url);
    if (er_buf_status(&sink->url_text) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "sinks.%s.url is too long", sink->env.name);
    }
    req->url = er_buf_cstr(&sink->url_text);
    er_http_show_url(sink, er_buf_str(&sink->url_text));
    if (call->body.n > 0 && !er_http_sink_has_header(sink->config, "Content-Type")) {
        er_http_request_header(req, "Content-Type", ER_STR("application/json"));
    }
    fill_configured(sink, req);
    return ER_OK;
}

er_status er_http_fill_request(http_sink *sink, const http_content *content, er_http_request *req,
                               er_err *err) {
    er_status status;
    if (content->call != NULL) {
        status = fill_call(sink, content->call, req, err);
    } else {
        status = fill_fixed(sink, content->batch, content->body, req, err);
        status = status == ER_OK ? sign(sink, content->payload, req, err) : status;
    }
    return status == ER_OK ? er_auth_apply(sink->auth, req, err) : status;
}

er_status er_http_sink_preview(void *self, const er_batch *batch, er_buf *out, er_err *err) {
    http_sink *sink = self;
    er_str payload = er_http_frame(sink, batch); /* shown as it is before compression */
    sink->nodes.at = sink->nodes.n - 1;          /* always the first address */
    er_http_request req;
    er_status status = fill_fixed(sink, batch, payload, &req, err);
    size_t fixed = req.headers_n;
    status = status == ER_OK ? sign(sink, payload, &req, err) : status;
    if (status != ER_OK) {
        return status;
    }
    for (size_t i = 0; i < req.headers_n; i++) {
        if (i >= fixed) {
            req.headers[i].value = ER_STR("<per attempt>");
        } else if (er_http_sink_has_header(sink->config, req.headers[i].name)) {
            req.headers[i].value = ER_STR("***");
        }
    }
    const char *header = er_auth_header(&sink->auth_settings);
    if (er_url_has_user(er_str_of(req.url)) && !er_str_ieqc(er_str_of(header), "Authorization") &&
        !er_http_sink_has_header(sink->config, "Authorization")) { /* libcurl makes it */
        er_http_request_header(&req, "Authorization", ER_STR("***"));
    }
    if (header != NULL) { /* er_auth_apply might have to ask for a token */
        er_http_request_header(&req, header, ER_STR("***"));
    }
    show_whole_url(sink, er_str_of(req.url));
    er_http_preview(&req, er_buf_str(&sink->where), out);
    return er_buf_status(out);
}

/* Overwrites secret, wherever it stands in the answer. Shorter ones are no secrets, and would hide
 * what the peer says. */
static void hide(er_str secret, er_buf *answer) {
    if (secret.n < SECRET_MIN) {
        return;
    }
    char *at = answer->p;
    char *end = answer->p + answer->len;
    while (at != end && (at = memmem(at, (size_t)(end - at), secret.p, secret.n)) != NULL) {
        memset(at, '*', secret.n);
        at += secret.n;
    }
}

void er_http_hide_secrets(const http_sink *sink, const er_http_request *req, er_buf *answer) {
    const char *auth = er_auth_header(&sink->auth_settings);
    for (size_t i = 0; i < req->headers_n && answer->len > 0; i++) {
        er_str name = er_str_of(req->headers[i].name);
        er_str value = req->headers[i].value;
        if (auth != NULL && er_str_ieqc(name, auth)) {
            const char *blank = value.n == 0 ? NULL : memrchr(value.p, ' ', value.n);
            size_t scheme = blank == NULL ? 0 : (size_t)(blank + 1 - value.p);
            hide((er_str){value.p + scheme, value.n - scheme}, answer);
        } else if (er_http_sink_has_header(sink->config, req->headers[i].name)) {
            hide(value, answer);
        }
    }
    const char *host = strstr(req->url, "://");
    const char *path = host == NULL ? NULL : strchr(host + 3, '/');
    if (path != NULL && !sink->nodes.v[sink->nodes.at].is_literal && answer->len > 0) {
        hide((er_str){path, strcspn(path, "?#")}, answer);
    }
}
