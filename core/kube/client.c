/* Requests to the API server. */
#include "base/json_read.h"
#include "http/base64.h"
#include "kube/frames.h"
#include "kube/kube_priv.h"
#include "kube/page.h"
#include "kube/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX_BYTES        (64u << 10)
#define ERROR_BODY_MAX_BYTES (64u << 10) /* of a watch that was refused */

#if defined(__x86_64__)
#define ARCH "amd64"
#elif defined(__aarch64__)
#define ARCH "arm64"
#elif defined(__riscv)
#define ARCH "riscv64"
#elif defined(__s390x__)
#define ARCH "s390x"
#elif defined(__powerpc64__)
#define ARCH "ppc64le"
#else
#define ARCH "unknown"
#endif
#define USER_AGENT "eventrouter/" ER_VERSION " (linux/" ARCH ")"

struct er_kube_client {
    const er_kube_config *config;
    er_kube_timeouts timeouts;
    er_cancel *cancel;
    er_heart *heart;
    er_http_client *http;
    er_kube_token token;
    er_exec_credential *credential; /* of the plugin, as used by the last request */
    er_buf url;
    er_buf authorization; /* the value of the header, for the request under way */
};

/* ---- life ---- */

/* The client certificate is the plugin's, when it gave one. */
static er_status open_http(er_kube_client *client, er_http_client **out, er_err *err) {
    const er_kube_config *config = client->config;
    const er_exec_credential *own = client->credential;
    const er_http_options options = {
        .tls = &config->tls,
        .ca_pem = er_str_of(config->ca_pem),
        .cert_pem = er_str_of(own != NULL ? own->cert_pem : config->cert_pem),
        .key_pem = er_str_of(own != NULL ? own->key_pem : config->key_pem),
        .proxy = config->proxy,
        .user_agent = USER_AGENT,
        .connect_timeout_ms = client->timeouts.connect_ms,
        .cancel = client->cancel,
        .heart = client->heart,
    };
    return er_http_client_new(&options, out, err);
}

er_status er_kube_client_new(const er_kube_config *config, const er_kube_timeouts *timeouts,
                             er_cancel *cancel, er_heart *heart, er_kube_client **out,
                             er_err *err) {
    er_kube_client *client = er_xcalloc(1, sizeof *client);
    client->config = config;
    client->timeouts = *timeouts;
    client->cancel = cancel;
    client->heart = heart;
    er_buf_init(&client->url, URL_MAX_BYTES);
    er_buf_init(&client->authorization, 2u * ER_SECRET_MAX);
    er_kube_token_init(&client->token, config->token_file, config->token);
    er_status status = open_http(client, &client->http, err);
    if (status != ER_OK) {
        er_err_prefix(err, "kubernetes: %s", config->origin);
        er_kube_client_free(client);
        return status;
    }
    *out = client;
    return ER_OK;
}

void er_kube_client_free(er_kube_client *client) {
    if (client == NULL) {
        return;
    }
    er_http_client_free(client->http);
    er_exec_credential_unref(client->credential);
    er_kube_token_fini(&client->token);
    er_buf_fini(&client->url);
    er_buf_wipe(&client->authorization);
    er_buf_fini(&client->authorization);
    free(client);
}

void er_kube_client_refresh(er_kube_client *client) {
    er_kube_token_expire(&client->token);
    if (client->config->exec != NULL) {
        er_exec_refused(client->config->exec, client->credential);
    }
}

void er_kube_answer_fini(er_kube_answer *answer) {
    /* The analyzer loses sight of the NULL below in callers that come here twice. */
    free(answer->cont); /* NOLINT(clang-analyzer-unix.Malloc) */
    answer->cont = NULL;
}

/* ---- a request ---- */

static void put_basic(er_kube_client *client) {
    const er_kube_config *config = client->config;
    er_buf pair;
    er_buf_init(&pair, ER_SECRET_MAX);
    er_buf_putf(&pair, "%s:%s", config->username, config->password ? config->password : "");
    er_buf_puts(&client->authorization, "Basic ");
    er_base64_encode(er_buf_str(&pair), &client->authorization);
    er_buf_wipe(&pair);
    er_buf_fini(&pair);
}

static bool same(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

/* Takes what the plugin gives now. Connections were made with a certificate, and end with it. */
static er_status use_plugin(er_kube_client *client, er_err *err) {
    er_exec_credential *fresh = NULL;
    er_status status =
        er_exec_get(client->config->exec, client->cancel, client->heart, &fresh, err);
    if (status != ER_OK) {
        return status;
    }
    er_exec_credential *before = client->credential;
    bool as_before = same(before == NULL ? NULL : before->cert_pem, fresh->cert_pem) &&
                     same(before == NULL ? NULL : before->key_pem, fresh->key_pem);
    er_http_client *http = NULL;
    client->credential = fresh;
    if (!as_before) {
        status = open_http(client, &http, err);
    }
    if (status != ER_OK) {
        client->credential = before;
        er_exec_credential_unref(fresh);
        return status;
    }
    if (http != NULL) {
        er_http_client_free(client->http);
        client->http = http;
    }
    er_exec_credential_unref(before);
    return ER_OK;
}

/* What every request has. Values live until the next one. */
static er_status add_headers(er_kube_client *client, er_http_request *req, er_err *err) {
    const er_kube_config *config = client->config;
    er_str token = {0};
    er_status status = config->exec != NULL ? use_plugin(client, err)
                                            : er_kube_token_get(&client->token, &token, err);
    if (status != ER_OK) {
        return status;
    }
    if (client->credential != NULL) {
        token = er_str_of(client->credential->token);
    }
    er_buf_wipe(&client->authorization);
    if (token.n > 0) {
        er_buf_puts(&client->authorization, "Bearer ");
        er_buf_put_str(&client->authorization, token);
    } else if (config->username != NULL) {
        put_basic(client);
    }
    if (client->authorization.len > 0) {
        er_http_request_header(req, "Authorization", er_buf_str(&client->authorization));
    }
    er_http_request_header(req, "Accept", ER_STR("application/json"));
    for (size_t i = 0; i < config->impersonate_n; i++) {
        er_http_request_header(req, config->impersonate[i].name,
                               er_str_of(config->impersonate[i].value));
    }
    return ER_OK;
}

static void put_parameter(er_buf *url, const char *name, const char *value) {
    if (value != NULL && value[0] != '\0') {
        er_buf_putf(url, "&%s=", name);
        er_url_escape(er_str_of(value), url);
    }
}

static void begin_url(er_kube_client *client, const char *path) {
    er_buf_clear(&client->url);
    er_buf_putf(&client->url, "%s%s", client->config->server, path);
}

static er_status finish_request(er_kube_client *client, er_http_request *req, er_err *err) {
    req->method = "GET";
    req->url = er_buf_cstr(&client->url);
    req->header_timeout_ms = client->timeouts.header_ms;
    if (er_buf_status(&client->url) != ER_OK) {
        return er_err_set(err, ER_E_INVAL, "the URL of the request is over %u bytes",
                          URL_MAX_BYTES);
    }
    return add_headers(client, req, err);
}

/* ---- an answer ---- */

static er_kube_outcome outcome_of(long status) {
    switch (status) {
    case 200:
        return ER_KUBE_OK;
    case 401:
        return ER_KUBE_UNAUTHORIZED;
    case 403:
        return ER_KUBE_FORBIDDEN;
    case 410:
        return ER_KUBE_GONE;
    case 429:
        return ER_KUBE_BUSY;
    default:
        return status >= 500 ? ER_KUBE_BUSY : ER_KUBE_REFUSED;
    }
}

static void put_text(char *out, size_t size, er_str text) {
    size_t n = er_utf8_cut(text, size - 1);
    if (n > 0) {
        memcpy(out, text.p, n);
    }
    out[n] = '\0';
}

static void take_delay(er_kube_answer *answer, const er_json *status) {
    int64_t seconds;
    if (answer->retry_after_ms < 0 &&
        er_json_int(er_json_path(status, "details", "retryAfterSeconds"), &seconds) &&
        seconds > 0) {
        bool far = seconds > ER_HTTP_RETRY_AFTER_MAX_MS / 1000;
        answer->retry_after_ms = far ? ER_HTTP_RETRY_AFTER_MAX_MS : seconds * 1000;
    }
}

/* A Status, or text from a proxy in front of the server: its first line. */
static void take_refusal(er_kube_answer *answer, er_buf *body) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    if (body->len > 0 && er_json_parse(&doc, body->p, body->len, NULL) == ER_OK &&
        er_json_is_object(doc.root)) {
        put_text(answer->reason, sizeof answer->reason, er_json_get_str(doc.root, "reason"));
        put_text(answer->message, sizeof answer->message, er_json_get_str(doc.root, "message"));
        take_delay(answer, doc.root);
        er_str cont = er_json_str(er_json_path(doc.root, "metadata", "continue"));
        if (answer->outcome == ER_KUBE_GONE && cont.n > 0 && cont.n <= ER_KUBE_CONTINUE_MAX) {
            answer->cont = er_str_dup(cont);
        }
    } else {
        er_str text = er_str_trim(er_buf_str(body));
        const char *end = text.n == 0 ? NULL : memchr(text.p, '\n', text.n);
        text.n = end == NULL ? text.n : (size_t)(end - text.p);
        put_text(answer->message, sizeof answer->message, er_str_trim(text));
    }
    er_json_doc_fini(&doc);
    if (answer->message[0] == '\0') {
        (void)snprintf(answer->message, sizeof answer->message, "HTTP status %ld without a text",
                       answer->status);
    }
}

static er_kube_outcome set_error(er_kube_answer *answer, er_kube_outcome outcome,
                                 const er_err *err) {
    answer->outcome = outcome;
    put_text(answer->message, sizeof answer->message, er_str_of(err->msg));
    return outcome;
}

/* The request was not even made: there are no credentials. */
static er_kube_outcome not_asked(er_status status, const er_err *err, er_kube_answer *answer) {
    return set_error(answer, status == ER_E_CANCELLED ? ER_KUBE_CANCELLED : ER_KUBE_TRANSPORT, err);
}

/* The outcome of an exchange that ended with status. */
static er_kube_outcome conclude(er_status status, er_http_response *res, const er_err *err,
                                er_kube_answer *answer) {
    answer->status = res->status;
    answer->retry_after_ms = res->retry_after_ms;
    if (status == ER_E_CANCELLED) {
        return set_error(answer, ER_KUBE_CANCELLED, err);
    }
    bool too_large = status == ER_E_LIMIT && res->status > 0;
    if (status != ER_OK && !too_large) {
        return set_error(answer, ER_KUBE_TRANSPORT, err);
    }
    if (too_large && res->status == 200) {
        return set_error(answer, ER_KUBE_TOO_LARGE, err);
    }
    answer->outcome = outcome_of(res->status);
    if (answer->outcome != ER_KUBE_OK) {
        take_refusal(answer, &res->body);
    }
    return answer->outcome;
}

/* A server that asks for certificates refuses them in the handshake. */
static void look_at_tls(er_kube_client *client, const er_http_response *res) {
    if (res->tls_failed && client->credential != NULL && client->credential->cert_pem != NULL) {
        er_exec_refused(client->config->exec, client->credential);
    }
}

static void clear_answer(er_kube_answer *answer) {
    er_kube_answer_fini(answer);
    *answer = (er_kube_answer){.retry_after_ms = -1};
}

/* One GET of what client->url names; the body lands in *body, whose maximum is the cap. */
static er_kube_outcome get(er_kube_client *client, er_buf *body, er_kube_answer *answer) {
    er_http_request req = {.accept_gzip = !client->config->no_compression,
                           .timeout_ms = client->timeouts.request_ms,
                           .response_max = body->max};
    er_err err = {0};
    er_http_response res;
    er_http_response_init(&res);
    clear_answer(answer);
    er_status status = finish_request(client, &req, &err);
    if (status != ER_OK) {
        return not_asked(status, &err, answer);
    }
    res.body = *body; /* its memory is used again */
    status = er_http_do(client->http, &req, &res, &err);
    look_at_tls(client, &res);
    er_kube_outcome outcome = conclude(status, &res, &err, answer);
    *body = res.body;
    return outcome;
}

er_kube_outcome er_kube_get(er_kube_client *client, const char *path, er_buf *out,
                            er_kube_answer *answer) {
    begin_url(client, path);
    return get(client, out, answer);
}

er_kube_outcome er_kube_list(er_kube_client *client, const er_kube_query *query, int limit,
                             const char *cont, er_kube_page *page, er_kube_answer *answer) {
    begin_url(client, query->path);
    er_buf_putf(&client->url, "?limit=%d", limit);
    put_parameter(&client->url, "continue", cont);
    put_parameter(&client->url, "fieldSelector", query->field_selector);
    put_parameter(&client->url, "labelSelector", query->label_selector);
    er_kube_outcome outcome = get(client, &page->body, answer);
    er_err err;
    if (outcome != ER_KUBE_OK) {
        er_buf_clear(&page->body);
        (void)er_kube_page_scan(page, NULL); /* leaves nothing of the page before */
    } else if (er_kube_page_scan(page, &err) != ER_OK) {
        outcome = set_error(answer, ER_KUBE_BAD_BODY, &err);
    }
    return outcome;
}

/* ---- watch ---- */

typedef struct watch_run {
    const er_kube_watch_handler *handler;
    er_frames frames;
    bool connected, stopped;
} watch_run;

static er_status on_head(void *arg, const er_http_response *res) {
    watch_run *run = arg;
    if (res->status == 200) {
        run->connected = true;
        if (run->handler->connected != NULL) {
            run->handler->connected(run->handler->arg);
        }
    }
    /* Another 2xx has no frames; others are read to their end for the Status. */
    return res->status > 200 && res->status < 300 ? ER_E_INVAL : ER_OK;
}

static er_status on_data(void *arg, er_str bytes) {
    watch_run *run = arg;
    const er_frames_handler lines = {
        .arg = run->handler->arg,
        .frame = run->handler->frame,
        .oversized = run->handler->oversized,
    };
    er_status status = er_frames_feed(&run->frames, bytes, &lines);
    if (run->handler->read != NULL) {
        run->handler->read(run->handler->arg);
    }
    run->stopped = status == ER_E_CANCELLED;
    return status;
}

static void on_waiting(void *arg) {
    watch_run *run = arg;
    if (run->handler->waiting != NULL && !er_frames_pending(&run->frames)) {
        run->handler->waiting(run->handler->arg);
    }
}

static er_kube_outcome watch_outcome(const watch_run *run, er_status status, er_http_response *res,
                                     const er_err *err, er_kube_answer *answer) {
    if (run->stopped) {
        answer->status = res->status;
        answer->outcome = ER_KUBE_STOPPED;
        return ER_KUBE_STOPPED;
    }
    if (status == ER_E_TIMEOUT && run->connected) {
        answer->status = res->status;
        return set_error(answer, ER_KUBE_IDLE, err);
    }
    bool no_watch = status == ER_E_INVAL && res->status > 200 && res->status < 300;
    er_kube_outcome outcome = conclude(no_watch ? ER_OK : status, res, err, answer);
    er_kube_answer_fini(answer); /* a token is a list's business */
    return outcome;
}

er_kube_outcome er_kube_watch(er_kube_client *client, const er_kube_query *query,
                              const char *version, int timeout_s,
                              const er_kube_watch_handler *handler, er_kube_answer *answer) {
    begin_url(client, query->path);
    er_buf_puts(&client->url, "?watch=1&allowWatchBookmarks=true");
    put_parameter(&client->url, "resourceVersion", version);
    er_buf_putf(&client->url, "&timeoutSeconds=%d", timeout_s);
    put_parameter(&client->url, "fieldSelector", query->field_selector);
    put_parameter(&client->url, "labelSelector", query->label_selector);
    er_http_request req = {.response_max = ERROR_BODY_MAX_BYTES};
    er_err err = {0};
    clear_answer(answer);
    er_status status = finish_request(client, &req, &err);
    if (status != ER_OK) {
        return not_asked(status, &err, answer);
    }
    watch_run run = {.handler = handler};
    er_frames_init(&run.frames, ER_KUBE_FRAME_MAX);
    const er_http_stream_handler stream = {
        .arg = &run, .head = on_head, .data = on_data, .waiting = on_waiting};
    er_http_response res;
    er_http_response_init(&res);
    status = er_http_stream(client->http, &req, client->timeouts.idle_ms, &stream, &res, &err);
    look_at_tls(client, &res);
    er_kube_outcome outcome = watch_outcome(&run, status, &res, &err, answer);
    er_http_response_fini(&res);
    er_frames_fini(&run.frames);
    return outcome;
}
