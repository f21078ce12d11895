/* The control port: scripts in, waits, and what happened out. */
#include "fake_control.h"

#include "fake_api.h"
#include "fake_script.h"
#include "fake_sink.h"

#include "base/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void fake_control_fini(fake_control *control) {
    while (control->waits != NULL) {
        fake_wait *wait = control->waits;
        control->waits = wait->next;
        free(wait);
    }
}

static void answer(fake_conn *conn, int status, const char *type, er_str body) {
    fake_conn_answer(conn, &(fake_head){.status = status, .type = type}, body);
}

/* ---- POST ---- */

static void run_gone(fake_conn *conn) {
    fake_run *run = conn->owner;
    run->conn = NULL;
}

static void post_script(fake_conn *conn) {
    fake_run *run = fake_run_new(conn->fake, conn->request.body);
    run->conn = conn;
    conn->owner = run;
    conn->on_gone = run_gone;
}

static void wait_gone(fake_conn *conn) {
    fake_wait *wait = conn->owner;
    wait->conn = NULL;
}

static void post_wait(fake_conn *conn) {
    fake_control *control = conn->fake->control;
    er_err err = {0};
    fake_words words = {0};
    fake_wait *wait = er_xcalloc(1, sizeof *wait);
    er_status status = fake_words_split(er_str_trim(conn->request.body), &words, &err);
    if (status == ER_OK) {
        status = fake_condition_parse(conn->fake, &words, &wait->condition, &err);
    }
    fake_words_fini(&words);
    if (status != ER_OK) {
        free(wait);
        answer(conn, 400, "text/plain", er_str_of(err.msg));
        return;
    }
    wait->conn = conn;
    wait->next = control->waits;
    control->waits = wait;
    conn->owner = wait;
    conn->on_gone = wait_gone;
}

/* True: it is over, one way or the other. */
static bool look(fake *f, fake_wait *wait) {
    bool holds = wait->conn != NULL && fake_condition_holds(f, &wait->condition);
    bool late = f->now_ns >= wait->condition.deadline_ns;
    if (wait->conn == NULL) {
        return true;
    }
    if (!holds && !late) {
        fake_server_wake(f, wait->condition.deadline_ns);
        return false;
    }
    uint64_t value = 0;
    char text[256];
    (void)fake_counter_get(f, wait->condition.name, &value);
    (void)snprintf(text, sizeof text, "%s is %llu\n", wait->condition.name,
                   (unsigned long long)value);
    wait->conn->on_gone = NULL;
    answer(wait->conn, holds ? 200 : 408, "text/plain", er_str_of(text));
    fake_server_wake(f, f->now_ns); /* sent in the next turn */
    return true;
}

void fake_control_turn(fake *f) {
    fake_wait **at = &f->control->waits;
    while (*at != NULL) {
        fake_wait *wait = *at;
        if (look(f, wait)) {
            *at = wait->next;
            free(wait);
        } else {
            at = &wait->next;
        }
    }
    for (const fake_run *run = f->runs->v; run != NULL; run = run->next) {
        if (run->waiting != NULL && fake_condition_holds(f, run->waiting)) {
            fake_server_wake(f, f->now_ns);
        }
    }
}

/* ---- GET ---- */

static void put_version(er_jw *w, const char *key, fake_version version) {
    char text[FAKE_VERSION_TEXT];
    er_jw_kstr(w, key, er_str_of(fake_version_text(version, text)));
}

static void put_sink_state(er_jw *w, const fake_sink *sink) {
    er_jw_key_str(w, er_str_of(sink->name));
    er_jw_object(w);
    er_jw_kint(w, "requests", (int64_t)sink->requests);
    er_jw_kint(w, "records", (int64_t)sink->records);
    er_jw_kint(w, "accepted", (int64_t)sink->accepted);
    er_jw_kint(w, "bytes", (int64_t)sink->bytes);
    er_jw_kint(w, "incomplete", (int64_t)sink->incomplete);
    er_jw_kint(w, "hanging", (int64_t)sink->hanging);
    er_jw_object_end(w);
}

static void put_answers(er_jw *w, const fake_api *api) {
    char status[16];
    er_jw_key(w, "answers");
    er_jw_object(w);
    for (size_t i = 0; i < FAKE_STATUS_MAX; i++) {
        uint64_t n = fake_counts_answers(api, i);
        if (n > 0) {
            (void)snprintf(status, sizeof status, "%zu", i);
            er_jw_kint(w, status, (int64_t)n);
        }
    }
    er_jw_object_end(w);
}

static void put_state(const fake *f, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    put_version(&w, "version", f->store->version);
    put_version(&w, "compacted", f->store->compacted);
    for (size_t i = 0; fake_counter_name(i) != NULL; i++) {
        uint64_t value = 0;
        (void)fake_counter_get(f, fake_counter_name(i), &value);
        er_jw_kint(&w, fake_counter_name(i), (int64_t)value);
    }
    put_answers(&w, f->api);
    er_jw_key(&w, "sinks");
    er_jw_object(&w);
    for (const fake_sink *sink = f->sinks->v; sink != NULL; sink = sink->next) {
        put_sink_state(&w, sink);
    }
    er_jw_object_end(&w);
    er_jw_object_end(&w);
    er_buf_putc(out, '\n');
}

/* Header lines as an object, names in lower case. */
static void put_headers(er_jw *w, const char *headers) {
    char name[128];
    er_jw_key(w, "headers");
    er_jw_object(w);
    for (const char *p = headers; *p != '\0';) {
        size_t n = strcspn(p, "\r\n");
        size_t colon = strcspn(p, ":\r\n");
        if (colon < n && colon < sizeof name) {
            for (size_t i = 0; i < colon; i++) {
                name[i] = (char)(p[i] >= 'A' && p[i] <= 'Z' ? p[i] + 32 : p[i]);
            }
            er_jw_key_str(w, (er_str){name, colon});
            er_jw_str(w, er_str_trim((er_str){p + colon + 1, n - colon - 1}));
        }
        p += n;
        p += strspn(p, "\r\n");
    }
    er_jw_object_end(w);
}

static void put_received(const fake_sink *sink, size_t from, er_buf *out) {
    for (size_t i = from; i < sink->received_n; i++) {
        const fake_received *r = sink->received[i];
        er_jw w;
        er_jw_init(&w, out);
        er_jw_object(&w);
        er_jw_kint(&w, "ms", r->ms);
        er_jw_kstr(&w, "path", er_str_of(r->target));
        put_headers(&w, r->headers);
        er_jw_kstr(&w, "body", (er_str){r->body, r->body_n});
        er_jw_kint(&w, "records", (int64_t)r->records);
        er_jw_kbool(&w, "complete", r->complete);
        er_jw_kint(&w, "status", r->status);
        er_jw_object_end(&w);
        er_buf_putc(out, '\n');
    }
}

/* "" of a single object. */
static const char *plural_of(const fake_asked *asked) {
    return asked->resource == FAKE_RESOURCES ? "" : fake_resources[asked->resource].plural;
}

static void put_log(const fake_api *api, size_t from, er_buf *out) {
    for (size_t i = from; i < api->log_n; i++) {
        const fake_asked *asked = api->log[i];
        er_jw w;
        er_jw_init(&w, out);
        er_jw_object(&w);
        er_jw_kint(&w, "id", (int64_t)asked->id);
        er_jw_kint(&w, "ms", asked->ms);
        er_jw_kstr(&w, "method", er_str_of(asked->method));
        er_jw_kstr(&w, "target", er_str_of(asked->target));
        put_headers(&w, asked->headers);
        er_jw_kstr(&w, "kind", er_str_of(fake_kind_names[asked->kind]));
        er_jw_kstr(&w, "resource", er_str_of(plural_of(asked)));
        er_jw_kstr(&w, "namespace", er_str_of(asked->ns));
        er_jw_kint(&w, "page", (int64_t)asked->page);
        er_jw_kint(&w, "status", asked->status);
        er_jw_kint(&w, "items", (int64_t)asked->items);
        er_jw_kint(&w, "frames", asked->watch == NULL ? 0 : (int64_t)asked->watch->frames);
        er_jw_kstr(&w, "fault", er_str_of(asked->fault == NULL ? "" : asked->fault->text));
        er_jw_object_end(&w);
        er_buf_putc(out, '\n');
    }
}

static void put_watch(const fake_watch *watch, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kint(&w, "request", (int64_t)watch->asked->id);
    er_jw_kstr(&w, "target", er_str_of(watch->asked->target));
    er_jw_kstr(&w, "resource", er_str_of(plural_of(watch->asked)));
    er_jw_kstr(&w, "namespace", watch->ns);
    er_jw_kint(&w, "ms", watch->opened_ms);
    put_version(&w, "from", watch->from);
    put_version(&w, "last", watch->last);
    er_jw_kint(&w, "frames", (int64_t)watch->frames);
    er_jw_kbool(&w, "open", watch->conn != NULL);
    er_jw_kstr(&w, "ended", er_str_of(watch->ended));
    er_jw_object_end(&w);
    er_buf_putc(out, '\n');
}

/* Oldest first; the list is the other way round. */
static void put_watches(const fake_watch *watch, er_buf *out) {
    size_t n = 0;
    for (const fake_watch *at = watch; at != NULL; at = at->next) {
        n++;
    }
    const fake_watch **all = er_xcalloc(n + 1, sizeof(fake_watch *));
    for (size_t i = n; i > 0; i--, watch = watch->next) {
        all[i - 1] = watch;
    }
    for (size_t i = 0; i < n; i++) {
        put_watch(all[i], out);
    }
    free(all);
}

static void put_history(const fake_store *store, size_t from, er_buf *out) {
    for (size_t i = from; i < store->journal.n; i++) {
        const fake_change *change = store->journal.v[i];
        er_buf_putf(out, "{\"type\":\"%s\",\"epoch\":%u,\"kind\":\"%s\",\"object\":",
                    fake_change_names[change->type], change->epoch,
                    fake_resources[change->object->resource].kind);
        er_buf_put_str(out, fake_change_body(change));
        er_buf_puts(out, "}\n");
    }
}

static bool get(const fake_conn *conn, er_buf *out) {
    const fake *f = conn->fake;
    er_str path = conn->request.path;
    uint64_t from = 0;
    er_buf text;
    er_buf_init(&text, 64);
    bool has_from = fake_request_param(&conn->request, "from", &text);
    bool good = !has_from || er_parse_u64(er_buf_str(&text), &from);
    er_buf_fini(&text);
    if (!good) {
        return false;
    }
    if (er_str_eqc(path, "/state")) {
        put_state(f, out);
    } else if (er_str_eqc(path, "/log")) {
        put_log(f->api, (size_t)from, out);
    } else if (er_str_eqc(path, "/watches")) {
        put_watches(f->api->watches, out);
    } else if (er_str_eqc(path, "/history")) {
        put_history(f->store, (size_t)from, out);
    } else if (er_str_starts(path, "/ages/") && path.n > 6) {
        fake_measure_put(fake_sink_get(f->sinks, (er_str){path.p + 6, path.n - 6}), out);
    } else if (er_str_starts(path, "/sink/") && path.n > 6) {
        put_received(fake_sink_get(f->sinks, (er_str){path.p + 6, path.n - 6}), (size_t)from, out);
    } else {
        return false;
    }
    return true;
}

void fake_control_request(fake_conn *conn) {
    const fake_request *request = &conn->request;
    if (er_str_eqc(request->method, "POST") && er_str_eqc(request->path, "/script")) {
        post_script(conn);
        return;
    }
    if (er_str_eqc(request->method, "POST") && er_str_eqc(request->path, "/wait")) {
        post_wait(conn);
        return;
    }
    er_buf out;
    er_buf_init(&out, FAKE_OUT_MAX);
    if (er_str_eqc(request->method, "GET") && get(conn, &out)) {
        answer(conn, 200, "application/json", er_buf_str(&out));
    } else {
        answer(conn, 404, "text/plain",
               ER_STR("POST /script, /wait; GET /state, /log[?from=N], /watches, "
                      "/history[?from=N], /sink/NAME[?from=N], /ages/NAME\n"));
    }
    er_buf_fini(&out);
}
