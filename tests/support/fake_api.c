/* Requests to the API server: logging, faults, credentials, and which answer it is. */
#include "fake_api.h"

#include "base/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KUBE_SYSTEM_UID "6f1d3d1c-5f2c-4a52-9a39-0e7a3c1b2d4f"

void fake_api_init(fake_api *api, fake *f) {
    *api = (fake_api){.fake = f};
}

static void free_faults(fake_fault *fault) {
    while (fault != NULL) {
        fake_fault *next = fault->next;
        fake_fault_free(fault);
        fault = next;
    }
}

void fake_api_fini(fake_api *api) {
    free_faults(api->faults);
    free_faults(api->spent);
    for (size_t i = 0; i < api->log_n; i++) {
        free(api->log[i]->method);
        free(api->log[i]->target);
        free(api->log[i]->headers);
        free(api->log[i]->ns);
        free(api->log[i]);
    }
    while (api->watches != NULL) {
        fake_watch *watch = api->watches;
        api->watches = watch->next;
        fake_selector_fini(&watch->selector);
        free(watch);
    }
    for (size_t i = 0; i < api->forbidden_n; i++) {
        free(api->forbidden[i]);
    }
    free(api->log);
    free(api->token);
}

/* ---- Status objects ---- */

const char *fake_status_reason(int code) {
    switch (code) {
    case 400:
        return "BadRequest";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "NotFound";
    case 410:
        return "Expired";
    case 422:
        return "Invalid";
    case 429:
        return "TooManyRequests";
    case 500:
        return "InternalError";
    case 503:
        return "ServiceUnavailable";
    case 504:
        return "Timeout";
    default:
        return "Unknown";
    }
}

void fake_status_put(er_buf *out, int code, const char *message, const char *cont) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "kind", ER_STR("Status"));
    er_jw_kstr(&w, "apiVersion", ER_STR("v1"));
    er_jw_key(&w, "metadata");
    er_jw_object(&w);
    if (cont != NULL) {
        er_jw_kstr(&w, "continue", er_str_of(cont));
    }
    er_jw_object_end(&w);
    er_jw_kstr(&w, "status", ER_STR("Failure"));
    er_jw_kstr(&w, "message", er_str_of(message));
    er_jw_kstr(&w, "reason", er_str_of(fake_status_reason(code)));
    er_jw_kint(&w, "code", code);
    er_jw_object_end(&w);
}

void fake_api_send(fake_conn *conn, const fake_head *head, er_str body) {
    fake_asked *asked = conn->owner;
    fake_api *api = conn->fake->api;
    asked->status = head->status;
    fake_counts_of(api, asked)->answers[head->status]++;
    fake_counts_of(api, asked)->gone += head->status == 410;
    fake_conn_answer(conn, head, body);
}

void fake_api_refuse(fake_conn *conn, int code, const char *message) {
    er_buf body;
    er_buf_init(&body, 65536);
    fake_status_put(&body, code, message, NULL);
    er_buf_putc(&body, '\n');
    fake_api_send(conn,
                  &(fake_head){.status = code, .type = "application/json", .close = code == 401},
                  er_buf_str(&body));
    er_buf_fini(&body);
}

/* ---- single objects ---- */

static void send_json(fake_conn *conn, const char *json) {
    fake_api_send(conn, &(fake_head){.status = 200, .type = "application/json"}, er_str_of(json));
}

static void answer_get(fake_conn *conn) {
    er_str path = conn->request.path;
    if (er_str_eqc(path, "/api/v1/namespaces/kube-system")) {
        send_json(conn, "{\"kind\":\"Namespace\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":"
                        "\"kube-system\",\"uid\":\"" KUBE_SYSTEM_UID "\",\"resourceVersion\":"
                        "\"1\"},\"spec\":{},\"status\":{\"phase\":\"Active\"}}\n");
    } else if (er_str_eqc(path, "/version")) {
        send_json(conn, "{\"major\":\"1\",\"minor\":\"36\",\"gitVersion\":\"v1.36.3\"}\n");
    } else if (er_str_eqc(path, "/readyz") || er_str_eqc(path, "/livez")) {
        fake_api_send(conn, &(fake_head){.status = 200, .type = "text/plain"}, ER_STR("ok"));
    } else {
        fake_api_refuse(conn, 404, "the server could not find the requested resource");
    }
}

/* ---- credentials ---- */

static bool is_authorized(const fake_api *api, const fake_request *request) {
    er_str value = fake_request_header(request, "Authorization");
    return api->token == NULL || (er_str_starts(value, "Bearer ") &&
                                  er_str_eqc((er_str){value.p + 7, value.n - 7}, api->token));
}

static bool is_forbidden(const fake_api *api, const fake_asked *asked) {
    const char *scope = asked->kind == FAKE_GET ? "get"
                        : asked->ns[0] == '\0'  ? "cluster"
                                                : asked->ns;
    for (size_t i = 0; i < api->forbidden_n; i++) {
        if (strcmp(api->forbidden[i], scope) == 0 || strcmp(api->forbidden[i], "all") == 0) {
            return true;
        }
    }
    return false;
}

static void refuse_forbidden(fake_conn *conn, const fake_asked *asked) {
    char message[512];
    bool is_get = asked->kind == FAKE_GET;
    const fake_resource_info *info = is_get ? NULL : &fake_resources[asked->resource];
    (void)snprintf(message, sizeof message,
                   "%s is forbidden: User \"system:serviceaccount:default:router\" cannot %s "
                   "resource \"%s\" in API group \"%s\" %s%s%s",
                   is_get ? "namespaces" : info->full,
                   is_get                      ? "get"
                   : asked->kind == FAKE_WATCH ? "watch"
                                               : "list",
                   is_get ? "namespaces" : info->plural, is_get ? "" : info->group,
                   asked->ns[0] == '\0' ? "at the cluster scope" : "in the namespace \"", asked->ns,
                   asked->ns[0] == '\0' ? "" : "\"");
    fake_api_refuse(conn, 403, message);
}

/* ---- answering ---- */

static void answer_fault(fake_conn *conn, const fake_fault *fault) {
    er_buf body;
    char extra[256] = "";
    er_buf_init(&body, FAKE_OUT_MAX);
    if (fault->retry_after != NULL) {
        (void)snprintf(extra, sizeof extra, "Retry-After: %.200s\r\n", fault->retry_after);
    }
    if (fault->body != NULL) {
        er_buf_put(&body, fault->body, fault->body_n);
    } else {
        fake_status_put(&body, fault->status, "scripted", NULL);
    }
    fake_api_send(conn,
                  &(fake_head){.status = fault->status,
                               .type = fault->type != NULL ? fault->type : "application/json",
                               .extra = extra},
                  er_buf_str(&body));
    er_buf_fini(&body);
}

/* Looks at the token and at who may do what; false: refused. */
static bool may(fake_conn *conn, const fake_asked *asked) {
    const fake_api *api = conn->fake->api;
    if (!is_authorized(api, &conn->request)) {
        fake_api_refuse(conn, 401, "Unauthorized");
        return false;
    }
    if (is_forbidden(api, asked)) {
        refuse_forbidden(conn, asked);
        return false;
    }
    return true;
}

static void answer(fake_conn *conn) {
    static const fake_fault none = {0};
    fake_asked *asked = conn->owner;
    const fake_fault *fault = asked->fault == NULL ? &none : asked->fault;
    conn->shape = fault->shape;
    if (fault->drop != FAKE_END_NONE) {
        fake_conn_end(conn, fault->drop);
    } else if (fault->hang) {
        conn->silent = true;
    } else if (fault->status != 0) {
        answer_fault(conn, fault);
    } else if (!may(conn, asked)) {
        return;
    } else if (asked->kind == FAKE_WATCH) {
        fake_watch_answer(conn);
    } else if (asked->kind == FAKE_GET) {
        answer_get(conn);
    } else {
        fake_list_answer(conn, fault->empty, fault->expire);
    }
}

/* ---- what was asked ---- */

static void count(fake_api *api, const fake_asked *asked) {
    fake_counts *counts = fake_counts_of(api, asked);
    counts->requests++;
    counts->probes += asked->kind == FAKE_PROBE;
    counts->gets += asked->kind == FAKE_GET;
    counts->pages += asked->kind == FAKE_LIST;
    counts->lists += asked->kind == FAKE_LIST && !asked->is_continued;
}

static void classify(const fake_request *request, fake_asked *asked) {
    er_str ns = {0};
    er_buf text;
    er_buf_init(&text, 16384);
    asked->kind = FAKE_GET;
    asked->resource = er_str_eqc(request->method, "GET") ? fake_resource_of_path(request->path, &ns)
                                                         : FAKE_RESOURCES;
    if (asked->resource != FAKE_RESOURCES) {
        asked->kind = FAKE_LIST;
        if (fake_request_param(request, "watch", &text) &&
            (er_str_eqc(er_buf_str(&text), "1") || er_str_eqc(er_buf_str(&text), "true"))) {
            asked->kind = FAKE_WATCH;
        } else if (fake_request_param(request, "continue", &text) && text.len > 0) {
            asked->page = fake_list_page_of(er_buf_str(&text));
            asked->is_continued = true;
        } else if (fake_request_param(request, "limit", &text) &&
                   er_str_eqc(er_buf_str(&text), "1")) {
            asked->kind = FAKE_PROBE;
        } else {
            asked->page = 1;
        }
    }
    asked->ns = er_str_dup(ns);
    er_buf_fini(&text);
}

static fake_asked *note(fake_api *api, const fake_request *request) {
    if (api->log_n == api->log_cap) {
        size_t cap = api->log_cap == 0 ? 64 : api->log_cap * 2;
        fake_asked **log = realloc(api->log, cap * sizeof *log);
        ER_ASSERT(log != NULL);
        api->log = log;
        api->log_cap = cap;
    }
    fake_asked *asked = er_xcalloc(1, sizeof *asked);
    asked->ms = fake_server_ms(api->fake);
    asked->method = er_str_dup(request->method);
    asked->target = er_str_dup(request->target);
    asked->headers = er_str_dup(request->headers);
    classify(request, asked);
    api->log[api->log_n++] = asked;
    asked->id = api->log_n;
    return asked;
}

void fake_api_request(fake_conn *conn) {
    fake_api *api = conn->fake->api;
    fake_asked *asked = note(api, &conn->request);
    count(api, asked);
    asked->fault = fake_fault_match(api, asked);
    conn->owner = asked;
    if (asked->fault != NULL && asked->fault->delay_ns > 0) {
        conn->wake_ns = conn->fake->now_ns + asked->fault->delay_ns;
        conn->on_wake = answer;
        return;
    }
    answer(conn);
}
