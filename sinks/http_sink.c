/* The driver of the HTTP sinks: one request per delivery, judged by its status. */
#include "sinks/http_sink_priv.h"

#include "sinks/http_rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX     8192
#define EXCERPT_MAX 200

/* ---- life ---- */

/* `auth` as this service takes it. */
static er_auth_settings auth_of(const http_sink *sink) {
    er_auth_settings settings = sink->config->auth;
    if (sink->profile->google_scope != NULL) {
        er_auth_google(&settings, sink->profile->google_scope);
    }
    return settings;
}

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
        const er_cfg_secret *header = er_http_header_at(config, i);
        (void)snprintf(what, sizeof what, "sinks.%s.headers.%s", sink->env.name, header->name.s);
        status = er_secret_new(&header->value, what, &sink->headers[i], err);
    }
    return status;
}

static er_status read_proxy(http_sink *sink, er_err *err) {
    if (sink->config->proxy.kind == ER_SECRET_UNSET) {
        return ER_OK;
    }
    char what[256];
    (void)snprintf(what, sizeof what, "sinks.%s.proxy", sink->env.name);
    er_secret *url = NULL;
    er_status status = er_secret_new(&sink->config->proxy, what, &url, err);
    if (status != ER_OK) {
        return status;
    }
    sink->proxy = er_str_dup(er_secret_get(url));
    status = er_url_check(er_secret_get(url), err);
    status = status == ER_OK ? er_http_sink_check_proxy(sink->proxy, err) : status;
    er_secret_free(url);
    if (status != ER_OK) {
        er_err_prefix(err, "%s", what);
    }
    return status;
}

static er_status make_client(http_sink *sink, er_err *err) {
    er_http_options options = {.tls = &sink->config->tls,
                               .proxy = sink->proxy,
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

static er_status make_bodies(http_sink *sink, size_t item_max, er_err *err) {
    const er_http_profile *profile = sink->profile;
    sink->content_type = profile->content_type;
    sink->framing = profile->framing;
    if (profile->format != NULL) {
        profile->format(sink->config, &sink->content_type, &sink->framing);
    }
    const er_sink_settings *common = &sink->config->common;
    size_t around = er_http_around(profile);
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
    status = status == ER_OK && !env->is_preview ? read_proxy(sink, err) : status;
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
    if (sink->proxy != NULL) {
        explicit_bzero(sink->proxy, strlen(sink->proxy));
    }
    free(sink->proxy);
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

void er_http_sink_target(void *self, const er_record *rec, er_buf *out) {
    const http_sink *sink = self;
    sink->profile->target(sink->config, rec, out);
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
    er_http_put_advice(status, sink->env.name, sink->gzip != NULL, out);
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

/* After a 401: true when a credential has changed since it was read. */
static bool refresh_secrets(http_sink *sink) {
    bool is_new = er_auth_refresh(sink->auth);
    if (sink->profile->refresh != NULL) {
        is_new = sink->profile->refresh(sink->state) || is_new;
    }
    is_new = er_http_nodes_refresh(&sink->nodes) || is_new;
    for (size_t i = 0; i < sink->config->headers.n; i++) {
        is_new = er_secret_renew(sink->headers[i]) || is_new;
    }
    return is_new;
}

/* One exchange. */
static er_status exchange(http_sink *sink, const http_content *content, er_http_response *res,
                          er_err *err) {
    er_http_request req;
    er_status status = er_http_fill_request(sink, content, &req, err);
    if (status != ER_OK) {
        return status;
    }
    er_http_show_url(sink, er_str_of(req.url));
    int64_t start = er_mono_ns();
    status = er_http_do(sink->client, &req, res, err);
    er_histogram_observe(sink->duration, (double)(er_mono_ns() - start) / 1e9);
    if (status != ER_OK) {
        return no_answer(sink, res, status, err);
    }
    er_http_hide_secrets(sink, &req, &res->body);
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
        int64_t start_ms = er_mono_ms();
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
                                  er_mono_ms() - start_ms, is_down ? &down : err) ||
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
    http_content content = {.batch = batch, .payload = er_http_frame(sink, batch)};
    content.body = content.payload;
    if (sink->gzip != NULL) {
        er_buf_shrink(&sink->packed, ER_HTTP_BODY_KEEP);
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
