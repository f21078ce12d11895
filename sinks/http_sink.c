/* The driver of the HTTP sinks: one request per delivery, judged by its status. */
#include "sinks/http_sink.h"

#include "sinks/http_gzip.h"
#include "sinks/http_nodes.h"
#include "sinks/http_preview.h"
#include "sinks/http_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ANSWER_MAX  65536      /* bytes of an answer that are read, unless the profile says more */
#define BODY_KEEP   (1u << 20) /* memory kept between requests */
#define URL_MAX     8192
#define EXCERPT_MAX 200
#define SECRET_MIN  8 /* bytes of what is looked for in answers */

struct er_http_caller {
    const er_http_profile *profile;
    const er_http_sink_config *config;
    er_sink_env env;
    er_http_client *client;
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

/* ---- configuration ---- */

const er_field er_http_sink_timeout_rows[] = {
    {.key = "connect",
     .type = ER_FIELD_DURATION,
     .def = "10s",
     .min = 1,
     .max = 3600000,
     .offset = offsetof(er_http_sink_config, timeout.connect_ms),
     .help = "To a usable connection: name look-up, TCP and TLS."},
    {.key = "request",
     .type = ER_FIELD_DURATION,
     .def = "30s",
     .min = 1,
     .max = 3600000,
     .offset = offsetof(er_http_sink_config, timeout.request_ms),
     .help = "The whole exchange, to the last byte of the answer."},
    {.key = NULL},
};

er_status er_http_sink_check_header(const char *name, er_err *err) {
    static const char *const ours[] = {
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Expect",
        "Host",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer-Encoding",
        "Webhook-Id",
        "Idempotency-Key",
        "Proxy-Connection",
    };
    if (!er_http_header_name_valid(er_str_of(name))) {
        return er_err_set(err, ER_E_CONFIG, "is not the name of a header: letters, digits and -");
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (er_str_ieqc(er_str_of(name), ours[i])) {
            return er_err_set(err, ER_E_CONFIG, "%s is set by the program and cannot be changed",
                              ours[i]);
        }
    }
    return ER_OK;
}

static const er_cfg_secret *header_at(const er_http_sink_config *config, size_t i) {
    return &((const er_cfg_secret *)config->headers.v)[i];
}

static bool has_header(const er_http_sink_config *config, size_t below, const char *name) {
    for (size_t i = 0; i < below; i++) {
        if (er_str_ieqc(er_str_of(header_at(config, i)->name.s), name)) {
            return true;
        }
    }
    return false;
}

static er_status check_headers(const er_http_sink_config *config, er_err *err) {
    if (config->headers.n > ER_HTTP_SINK_HEADERS_MAX) {
        return er_err_set(err, ER_E_CONFIG, "headers has %zu entries; %d are allowed",
                          config->headers.n, ER_HTTP_SINK_HEADERS_MAX);
    }
    for (size_t i = 0; i < config->headers.n; i++) {
        const er_cfg_secret *header = header_at(config, i);
        if (has_header(config, i, header->name.s)) {
            return er_err_set(err, ER_E_CONFIG, "headers has %s twice (case does not count)",
                              header->name.s);
        }
        if (header->value.kind == ER_SECRET_LITERAL &&
            strpbrk(header->value.text, "\r\n") != NULL) {
            return er_err_set(err, ER_E_CONFIG, "headers.%s has a line break in its value",
                              header->name.s);
        }
    }
    return ER_OK;
}

bool er_http_sink_has_header(const er_http_sink_config *config, const char *name) {
    return has_header(config, config->headers.n, name);
}

/* `auth` as this service takes it. */
static er_auth_settings auth_of(const http_sink *sink) {
    er_auth_settings settings = sink->config->auth;
    if (sink->profile->google_scope != NULL) {
        er_auth_google(&settings, sink->profile->google_scope);
    }
    return settings;
}

static const er_secret_ref *url_at(const er_http_sink_config *config, size_t i) {
    return i == 0 ? &config->url : &((const er_secret_ref *)config->more_urls.v)[i - 1];
}

/* Settings that would do nothing, where somebody counts on them. */
static er_status check_tls(const er_http_sink_config *config, er_err *err) {
    for (size_t i = 0; i <= config->more_urls.n && config->tls.pos.line > 0; i++) {
        const er_secret_ref *url = url_at(config, i);
        if (url->kind == ER_SECRET_LITERAL && strncasecmp(url->text, "http:", 5) == 0) {
            return er_err_set(err, ER_E_CONFIG,
                              "has tls, but %s begins with http://, so that nothing is encrypted; "
                              "write https://, or remove tls",
                              i == 0 ? "url" : "one of moreUrls");
        }
    }
    return ER_OK;
}

static void warn_clear(const er_secret_ref *url, bool has_auth, const char *path, const char *key,
                       er_problems *problems) {
    if (url->kind != ER_SECRET_LITERAL || !er_url_is_clear(er_str_of(url->text)) ||
        !(has_auth || er_url_has_user(er_str_of(url->text)))) {
        return;
    }
    char where[256];
    (void)snprintf(where, sizeof where, "%s.%s", path, key);
    er_problems_add(problems, true, url->pos, where,
                    "the credentials are sent in clear over http://; write https://");
}

void er_http_sink_warn(const void *config, const char *path, er_problems *problems) {
    const er_http_sink_config *c = config;
    bool has_auth = er_auth_header(&c->auth) != NULL;
    for (size_t i = 0; i <= c->more_urls.n; i++) {
        char key[32] = "url";
        if (i > 0) {
            (void)snprintf(key, sizeof key, "moreUrls[%zu]", i - 1);
        }
        warn_clear(url_at(c, i), has_auth, path, key, problems);
    }
}

er_status er_http_sink_check(const void *config, er_err *err) {
    const er_http_sink_config *c = config;
    er_status status = check_headers(c, err);
    status = status == ER_OK ? check_tls(c, err) : status;
    if (status != ER_OK) {
        return status;
    }
    const char *name = er_auth_header(&c->auth);
    if (name != NULL && er_http_sink_has_header(c, name)) {
        return er_err_set(err, ER_E_CONFIG, "has %s in both auth and headers; remove one of them",
                          name);
    }
    return ER_OK;
}

/* ---- life ---- */

static er_histogram *duration_metric(const er_sink_env *env) {
    static const double bounds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5,
                                    1,     2,    5,     10,   20,  40,  60};
    return er_metrics_histogram(env->metrics, "sink_request_duration_seconds",
                                "Time from the start of a request to the end of its answer.",
                                ER_LABELS("sink", env->name), bounds,
                                sizeof bounds / sizeof bounds[0]);
}

static er_counter *requests_metric(const er_sink_env *env, const char *outcome,
                                   const char *code_class) {
    return er_metrics_counter(
        env->metrics, "sink_requests_total", "Requests by outcome and class of the status.",
        ER_LABELS("sink", env->name, "outcome", outcome, "code_class", code_class));
}

static void init_metrics(http_sink *sink) {
    static const char *const usual[][2] = {
        {"ok", "2xx"},     {"retry", "3xx"},  {"retry", "4xx"},      {"retry", "5xx"},
        {"reject", "4xx"}, {"retry", "none"}, {"ambiguous", "none"},
    };
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        (void)requests_metric(&sink->env, usual[i][0], usual[i][1]);
    }
    sink->duration = duration_metric(&sink->env);
}

static er_status read_secrets(http_sink *sink, er_err *err) {
    const er_http_sink_config *config = sink->config;
    char what[256];
    er_status status = er_http_nodes_init(&sink->nodes, config, sink->env.name, err);
    sink->headers = er_xcalloc(config->headers.n + 1, sizeof(er_secret *));
    for (size_t i = 0; i < config->headers.n && status == ER_OK; i++) {
        const er_cfg_secret *header = header_at(config, i);
        (void)snprintf(what, sizeof what, "sinks.%s.headers.%s", sink->env.name, header->name.s);
        status = er_secret_new(&header->value, what, &sink->headers[i], err);
    }
    return status;
}

static er_status make_client(http_sink *sink, er_err *err) {
    er_http_options options = {.tls = &sink->config->tls,
                               .user_agent = "eventrouter",
                               .connect_timeout_ms = sink->config->timeout.connect_ms,
                               .cancel = sink->env.cancel,
                               .heart = sink->env.heart};
    er_status status = er_http_client_new(&options, &sink->client, err);
    if (status != ER_OK) {
        er_err_prefix(err, "sinks.%s", sink->env.name);
    } else {
        char what[256];
        (void)snprintf(what, sizeof what, "sinks.%s.auth", sink->env.name);
        status = er_auth_new(&sink->auth_settings, what, &options, sink->config->timeout.request_ms,
                             &sink->auth, err);
    }
    return status;
}

static const char *text_of(const char *text) {
    return text == NULL ? "" : text;
}

static er_status make_bodies(http_sink *sink, size_t item_max, er_err *err) {
    const er_http_profile *profile = sink->profile;
    sink->content_type = profile->content_type;
    sink->framing = profile->framing;
    if (profile->format != NULL) {
        profile->format(sink->config, &sink->content_type, &sink->framing);
    }
    const er_sink_settings *common = &sink->config->common;
    size_t around = strlen(text_of(profile->before)) + strlen(text_of(profile->after)) + 2;
    size_t max = (size_t)common->batch.bytes + item_max + (size_t)common->batch.records + around;
    er_buf_init(&sink->body, max);
    er_buf_init(&sink->packed, er_gzip_bound(max));
    if (sink->config->compression == ER_HTTP_GZIP) {
        sink->gzip = er_gzip_new();
        if (sink->gzip == NULL) {
            return er_err_set(err, ER_E_NOMEM, "sinks.%s: out of memory", sink->env.name);
        }
    }
    return ER_OK;
}

er_status er_http_sink_create(const er_sink_type *type, const void *config, const er_sink_env *env,
                              void **self, er_err *err) {
    http_sink *sink = er_xcalloc(1, sizeof *sink);
    sink->profile = type->family;
    sink->config = config;
    sink->env = *env;
    sink->auth_settings = auth_of(sink);
    sink->state = er_xcalloc(1, sink->profile->state_size + 1);
    er_buf_init(&sink->url_text, URL_MAX);
    er_buf_init(&sink->where, URL_MAX);
    er_status status = make_bodies(sink, type->item_max, err);
    status = status == ER_OK ? read_secrets(sink, err) : status;
    status = status == ER_OK && !env->is_preview ? make_client(sink, err) : status;
    if (status == ER_OK && sink->profile->init != NULL) {
        status = sink->profile->init(config, env, sink->state, err);
    }
    if (status != ER_OK) {
        er_http_sink_destroy(sink);
        return status;
    }
    init_metrics(sink);
    *self = sink;
    return ER_OK;
}

void er_http_sink_destroy(void *self) {
    http_sink *sink = self;
    er_http_client_free(sink->client);
    er_auth_free(sink->auth);
    er_http_nodes_fini(&sink->nodes);
    for (size_t i = 0; sink->headers != NULL && i < sink->config->headers.n; i++) {
        er_secret_free(sink->headers[i]);
    }
    free(sink->headers);
    er_buf_fini(&sink->body);
    er_gzip_free(sink->gzip);
    er_buf_fini(&sink->packed);
    er_buf_wipe(&sink->url_text);
    er_buf_fini(&sink->url_text);
    er_buf_fini(&sink->where);
    if (sink->profile->fini != NULL) {
        sink->profile->fini(sink->state);
    }
    free(sink->state);
    free(sink);
}

er_status er_http_sink_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    http_sink *sink = self;
    er_status status = sink->profile->encode(sink->config, sink->state, rec, &out->body, err);
    if (status == ER_OK && er_buf_status(&out->body) != ER_OK) {
        status = er_err_set(err, er_buf_status(&out->body), "larger than %zu bytes", out->body.max);
    }
    return status;
}

/* ---- the request ---- */

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

/* The body of the whole batch; borrowed until the next request. */
static er_str frame(http_sink *sink, const er_batch *batch) {
    er_http_framing framing = sink->framing;
    if (framing == ER_HTTP_SINGLE && sink->config->common.batch.records == 1) {
        ER_ASSERT(er_batch_len(batch) == 1);
        return er_buf_str(&er_batch_item(batch, 0)->body);
    }
    er_buf_shrink(&sink->body, BODY_KEEP);
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

/* Without user, password and query; of a URL that is a secret itself (from a file or a variable),
 * the path as well: chat services put their token there. */
static void show_url(http_sink *sink, er_str url) {
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
    er_str url = er_secret_get(er_http_nodes_next(&sink->nodes)->url);
    show_url(sink, url);
    er_buf_wipe(&sink->url_text);
    er_buf_put_str(&sink->url_text, url);
    bool is_text = memchr(url.p, '\0', url.n) == NULL;
    if (!is_text || er_buf_status(&sink->url_text) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "sinks.%s.url is not a URL", sink->env.name);
    }
    req->url = er_buf_cstr(&sink->url_text);
    return ER_OK;
}

static void fill_configured(http_sink *sink, er_http_request *req) {
    for (size_t i = 0; i < sink->config->headers.n; i++) {
        er_http_request_header(req, header_at(sink->config, i)->name.s,
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

/* What is sent: a batch, with the body as the receiver shall read it and as it goes out; or a call
 * of open. */
typedef struct http_content {
    const er_batch *batch; /* NULL: a call */
    er_str payload, body;
    const er_http_call *call;
} http_content;

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
        show_url(sink, url);
        return;
    }
    show_url(sink, base);
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
    show_url(sink, er_buf_str(&sink->url_text));
    if (call->body.n > 0 && !er_http_sink_has_header(sink->config, "Content-Type")) {
        er_http_request_header(req, "Content-Type", ER_STR("application/json"));
    }
    fill_configured(sink, req);
    return ER_OK;
}

static er_status fill_request(http_sink *sink, const http_content *content, er_http_request *req,
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
    er_str payload = frame(sink, batch); /* shown as it is before compression */
    sink->nodes.at = sink->nodes.n - 1;  /* always the first address */
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
    if (header == NULL && er_url_has_user(er_str_of(req.url)) &&
        !er_http_sink_has_header(sink->config, "Authorization")) { /* libcurl makes it */
        header = "Authorization";
    }
    if (header != NULL) { /* er_auth_apply might have to ask for a token */
        er_http_request_header(&req, header, ER_STR("***"));
    }
    show_whole_url(sink, er_str_of(req.url));
    er_http_preview(&req, er_buf_str(&sink->where), out);
    return er_buf_status(out);
}

/* ---- the answer ---- */

static const char *class_of(long status) {
    static const char *const classes[] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};
    return status >= 100 && status < 600 ? classes[status / 100] : classes[0];
}

static void count_request(const http_sink *sink, const char *outcome, long status) {
    er_counter_inc(requests_metric(&sink->env, outcome, class_of(status)));
}

/* "401 Unauthorized from https://host/path" */
static void describe(const http_sink *sink, long status, er_buf *out) {
    const char *phrase = er_http_status_phrase(status);
    er_buf_putf(out, "%ld%s%s from ", status, phrase[0] != '\0' ? " " : "", phrase);
    er_buf_put_str(out, er_buf_str(&sink->where));
}

/* The beginning of the answer, on one line: what the peer disliked stands there. */
static void put_excerpt(const er_http_response *res, er_buf *out) {
    er_str text = er_str_trim(er_buf_str(&res->body));
    text.n = er_utf8_cut(text, EXCERPT_MAX);
    if (text.n == 0) {
        return;
    }
    er_buf_puts(out, ": ");
    for (size_t i = 0; i < text.n; i++) {
        bool is_control = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f;
        er_buf_putc(out, is_control ? ' ' : text.p[i]);
    }
}

/* Refused as a whole: several records are halved until the guilty one is alone. */
static er_status refused(er_batch *batch, er_reason reason, er_buf *text, er_err *err) {
    if (er_batch_len(batch) > 1) {
        return er_err_set(err, ER_E_SPLIT, "%s", er_buf_cstr(text));
    }
    er_batch_judge(batch, 0, ER_VERDICT_REJECT, reason, er_buf_cstr(text));
    return ER_OK;
}

static er_status accepted(http_sink *sink, const er_http_response *res, er_batch *batch,
                          er_err *err) {
    if (sink->profile->judge != NULL) {
        return sink->profile->judge(sink->config, sink->state, res, batch, err);
    }
    er_batch_judge_all(batch, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    return ER_OK;
}

static void put_advice(const http_sink *sink, long status, er_buf *out) {
    er_buf_puts(out, ": ");
    er_http_put_advice(status, sink->env.name, out);
    if (status == 415 && sink->gzip != NULL) {
        er_buf_putf(out, " and sinks.%s.compression", sink->env.name);
    }
}

static er_status conclude(http_sink *sink, const er_http_response *res, er_batch *batch,
                          er_err *err) {
    static const char *const outcomes[] = {[ER_HTTP_DELIVERED] = "ok",
                                           [ER_HTTP_UNAVAILABLE] = "retry",
                                           [ER_HTTP_DENIED] = "retry",
                                           [ER_HTTP_SPLIT] = "reject",
                                           [ER_HTTP_REFUSED] = "reject"};
    const er_http_profile *profile = sink->profile;
    er_http_action action = er_http_action_of(profile->rules, profile->rules_n, res->status);
    if (profile->action != NULL) {
        action = profile->action(sink->config, sink->state, res, action);
    }
    count_request(sink, outcomes[action], res->status);
    er_buf text;
    er_buf_init(&text, 4096);
    describe(sink, res->status, &text);
    if (profile->say != NULL && action != ER_HTTP_DELIVERED) {
        profile->say(sink->config, sink->state, res, &text);
    }
    er_status status = ER_OK;
    switch (action) {
    case ER_HTTP_DELIVERED:
        status = accepted(sink, res, batch, err);
        break;
    case ER_HTTP_UNAVAILABLE:
        status = er_err_set(err, ER_E_UNAVAILABLE, "%s", er_buf_cstr(&text));
        break;
    case ER_HTTP_DENIED:
        if (profile->say == NULL) {
            put_advice(sink, res->status, &text);
        }
        status = er_err_set(err, ER_E_DENIED, "%s", er_buf_cstr(&text));
        break;
    case ER_HTTP_SPLIT:
        status = refused(batch, ER_REASON_TOO_LARGE, &text, err);
        break;
    case ER_HTTP_REFUSED:
        if (profile->say == NULL) {
            put_excerpt(res, &text);
        }
        status = refused(batch, ER_REASON_REFUSED, &text, err);
        break;
    }
    er_buf_fini(&text);
    if (status != ER_OK && err != NULL && res->retry_after_ms > 0) {
        err->retry_after_ms = res->retry_after_ms;
    }
    return status;
}

/* No answer came. A request that may have reached the peer may have been taken. */
static er_status no_answer(const http_sink *sink, const er_http_response *res, er_status status,
                           er_err *err) {
    if (status == ER_E_CANCELLED) {
        return status;
    }
    count_request(sink, res->sent ? "ambiguous" : "retry", 0);
    if (status == ER_E_INVAL) {
        er_err_prefix(err, "sinks.%s", sink->env.name);
        if (err != NULL) {
            err->code = ER_E_DENIED;
        }
        return ER_E_DENIED;
    }
    if (err != NULL) {
        err->code = ER_E_UNAVAILABLE;
    }
    return ER_E_UNAVAILABLE;
}

static bool secret_is_new(er_secret *secret) {
    unsigned before = er_secret_generation(secret);
    er_secret_expire(secret);
    (void)er_secret_get(secret);
    return er_secret_generation(secret) != before;
}

/* After a 401: true when a credential has changed since it was read. */
static bool refresh_secrets(http_sink *sink) {
    bool is_new = er_auth_refresh(sink->auth);
    if (sink->profile->refresh != NULL) {
        is_new = sink->profile->refresh(sink->state) || is_new;
    }
    is_new = er_http_nodes_refresh(&sink->nodes) || is_new;
    for (size_t i = 0; i < sink->config->headers.n; i++) {
        is_new = secret_is_new(sink->headers[i]) || is_new;
    }
    return is_new;
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

/* Of what peers say, some of it gets into logs; and some of them say what they were sent. */
static void hide_secrets(const http_sink *sink, const er_http_request *req, er_buf *answer) {
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

/* One exchange. */
static er_status exchange(http_sink *sink, const http_content *content, er_http_response *res,
                          er_err *err) {
    er_http_request req;
    er_status status = fill_request(sink, content, &req, err);
    if (status != ER_OK) {
        return status;
    }
    show_url(sink, er_str_of(req.url));
    int64_t start = er_mono_ns();
    status = er_http_do(sink->client, &req, res, err);
    er_histogram_observe(sink->duration, (double)(er_mono_ns() - start) / 1e9);
    if (status != ER_OK) {
        return no_answer(sink, res, status, err);
    }
    hide_secrets(sink, &req, &res->body);
    return ER_OK;
}

/* At one address; once more when a credential turns out to be old. */
static er_status ask_node(http_sink *sink, const http_content *content, er_http_response *res,
                          er_err *err) {
    er_status status = exchange(sink, content, res, err);
    if (status == ER_OK && res->status == 401 && refresh_secrets(sink)) {
        count_request(sink, "retry", res->status);
        status = exchange(sink, content, res, err);
    }
    return status;
}

/* At one address after the other, until one serves or there is no more. */
static er_status ask(http_sink *sink, const http_content *content, er_http_response *res,
                     er_err *err) {
    for (size_t left = sink->nodes.n;; left--) {
        er_status status = ask_node(sink, content, res, err);
        bool is_down = status == ER_OK && res->status >= 502 && res->status <= 504;
        if (status == ER_OK && !is_down) {
            er_http_nodes_worked(&sink->nodes, sink->env.name, er_buf_cstr(&sink->where));
            return status;
        }
        if (status != ER_E_UNAVAILABLE && !is_down) {
            return status;
        }
        er_err down = {0};
        if (is_down) {
            (void)er_err_set(&down, ER_E_UNAVAILABLE, "%ld from %s", res->status,
                             er_buf_cstr(&sink->where));
        }
        if (!er_http_nodes_failed(&sink->nodes, sink->env.name, er_buf_cstr(&sink->where),
                                  is_down ? &down : err) ||
            left == 1) {
            return status;
        }
        if (is_down) {
            count_request(sink, "retry", res->status);
        }
    }
}

er_status er_http_sink_call(er_http_caller *caller, const er_http_call *call, er_http_response *res,
                            er_err *err) {
    http_content content = {.call = call};
    er_status status = ask(caller, &content, res, err);
    if (status == ER_OK) {
        count_request(caller, res->status / 100 == 2 ? "ok" : "retry", res->status);
    }
    return status;
}

void er_http_sink_describe(const er_http_caller *caller, const er_http_response *res, er_buf *out) {
    describe(caller, res->status, out);
}

er_status er_http_sink_open(void *self, er_deadline until, er_err *err) {
    http_sink *sink = self;
    const er_http_profile *profile = sink->profile;
    return profile->open == NULL ? ER_OK
                                 : profile->open(sink->config, sink->state, sink, until, err);
}

er_status er_http_sink_deliver(void *self, er_batch *batch, er_err *err) {
    http_sink *sink = self;
    http_content content = {.batch = batch, .payload = frame(sink, batch)};
    content.body = content.payload;
    if (sink->gzip != NULL) {
        er_buf_shrink(&sink->packed, BODY_KEEP);
        er_gzip_pack(sink->gzip, content.payload, &sink->packed);
        content.body = er_buf_str(&sink->packed);
    }
    if (er_buf_status(&sink->body) != ER_OK || er_buf_status(&sink->packed) != ER_OK) {
        return er_err_set(err, ER_E_UNAVAILABLE, "no memory for a request's body");
    }
    er_http_response res;
    er_http_response_init(&res);
    er_status status = ask(sink, &content, &res, err);
    if (status == ER_OK) {
        status = conclude(sink, &res, batch, err);
    }
    er_http_response_fini(&res);
    return status;
}
