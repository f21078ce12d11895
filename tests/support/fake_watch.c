/* WATCH: the history replayed from a version, then what happens. */
#include "fake_api.h"
#include "fake_json.h"

#include "base/json_write.h"

#include <stdlib.h>
#include <string.h>

#define UNSENT_MAX  ((size_t)256 << 10) /* made ahead of what the kernel takes */
#define CHUNK_BYTES ((size_t)64 << 10)  /* frames in one chunk */

static fake_api *api_of(const fake_watch *watch) {
    return watch->conn->fake->api;
}

/* ---- ends ---- */

static void leave(fake_watch *watch, const char *ended) {
    watch->conn->on_gone = NULL;
    watch->conn->wake_ns = FAKE_NEVER;
    watch->conn->more = false;
    watch->conn = NULL;
    watch->ended = watch->ended == NULL ? ended : watch->ended;
}

static void end_watch(fake_watch *watch, fake_end end, const char *ended) {
    fake_conn_end(watch->conn, end);
    if (end == FAKE_END_SILENT) {
        watch->ended = ended; /* the connection is still there */
        watch->conn->wake_ns = FAKE_NEVER;
        watch->conn->more = false;
    } else {
        leave(watch, ended);
    }
}

static void on_gone(fake_conn *conn) {
    fake_asked *asked = conn->owner;
    leave(asked->watch, "peer");
}

static void on_deadline(fake_conn *conn) {
    fake_asked *asked = conn->owner;
    end_watch(asked->watch, FAKE_END_CLEAN, "timeout");
}

static bool is_open(const fake_watch *watch, fake_resource resource) {
    return watch->conn != NULL &&
           (resource == FAKE_RESOURCES || watch->asked->resource == resource);
}

size_t fake_watches_open(const fake_api *api, fake_resource resource) {
    size_t n = 0;
    for (const fake_watch *watch = api->watches; watch != NULL; watch = watch->next) {
        n += is_open(watch, resource);
    }
    return n;
}

size_t fake_watches_pending(const fake_api *api, fake_resource resource) {
    const fake_store *store = api->fake->store;
    size_t n = 0;
    for (const fake_watch *watch = api->watches; watch != NULL; watch = watch->next) {
        if (is_open(watch, resource)) {
            n += store->history.n - watch->at + (watch->conn->out.len - watch->conn->out_at);
        }
    }
    return n;
}

/* ---- frames ---- */

static void put_object(er_buf *out, fake_resource resource, const char *type, er_str before,
                       er_str between, er_str after) {
    fake_frame_open(out, resource, type);
    er_buf_put_str(out, before);
    er_buf_put_str(out, between);
    er_buf_put_str(out, after);
    er_buf_puts(out, "}\n");
}

static void put_change(er_buf *out, const fake_change *change) {
    er_str body = {change->body + 1, change->n - 1};
    put_object(out, change->object->resource, fake_change_names[change->type], body, (er_str){0},
               (er_str){0});
}

/* What left the selection is told as deleted: its last content that was selected, the new version.
 */
static void put_left(er_buf *out, const fake_change *old, const fake_change *change) {
    er_str before = {old->body + 1, old->version_at - 1};
    er_str version = {change->body + change->version_at, change->version_digits};
    size_t rest = old->version_at + old->version_digits;
    put_object(out, change->object->resource, fake_change_names[FAKE_DELETED], before, version,
               (er_str){old->body + rest, old->n - rest});
}

/* The frame of a change as this watch sees it; false: it does not. */
static bool put_seen(const fake_watch *watch, er_buf *out, const fake_change *change) {
    if (change->version <= watch->from || change->object->resource != watch->asked->resource ||
        (watch->ns.n > 0 && !er_str_eq(watch->ns, fake_change_namespace(change)))) {
        return false;
    }
    if (watch->selector.n == 0) {
        put_change(out, change);
        return true;
    }
    const fake_change *old = change->before;
    bool was = old != NULL && old->type != FAKE_DELETED &&
               fake_selector_matches(&watch->selector, fake_change_body(old));
    bool is = change->type != FAKE_DELETED &&
              fake_selector_matches(&watch->selector, fake_change_body(change));
    if (is) {
        er_str body = {change->body + 1, change->n - 1};
        put_object(out, change->object->resource,
                   fake_change_names[was ? FAKE_MODIFIED : FAKE_ADDED], body, (er_str){0},
                   (er_str){0});
    } else if (was) {
        put_left(out, old, change);
    }
    return is || was;
}

/* Sends one whole frame; false: the watch was ended by a cut. */
static bool emit(fake_watch *watch, er_str frame) {
    fake_end end = watch->conn->shape.cut.end;
    watch->frames++;
    fake_counts_of(api_of(watch), watch->asked)->frames++;
    if (!fake_conn_chunk_cut(watch->conn, frame, true)) {
        if (end == FAKE_END_SILENT) {
            watch->ended = fake_end_names[end];
            watch->conn->more = false;
        } else {
            leave(watch, fake_end_names[end]);
        }
        return false;
    }
    return true;
}

static bool has_room(const fake_watch *watch, const er_buf *chunk) {
    return watch->conn->out.len - watch->conn->out_at + chunk->len < UNSENT_MAX;
}

/* Frames as long as there is room for them; everything when all is set. */
static void pump(fake_watch *watch, er_buf *chunk, bool all) {
    const fake_list *history = &watch->conn->fake->store->history;
    er_buf_clear(chunk);
    while (watch->at < history->n && (all || has_room(watch, chunk))) {
        const fake_change *change = history->v[watch->at++];
        if (!put_seen(watch, chunk, change)) {
            continue;
        }
        watch->last = change->version;
        if (watch->conn->shape.cut.end != FAKE_END_NONE) {
            if (!emit(watch, er_buf_str(chunk))) {
                return;
            }
            er_buf_clear(chunk);
            continue;
        }
        watch->frames++;
        fake_counts_of(api_of(watch), watch->asked)->frames++;
        if (chunk->len >= CHUNK_BYTES) {
            fake_conn_chunk(watch->conn, er_buf_str(chunk));
            er_buf_clear(chunk);
        }
    }
    fake_conn_chunk(watch->conn, er_buf_str(chunk));
    watch->conn->more = watch->at < history->n;
}

void fake_watches_turn(fake *f) {
    er_buf chunk;
    er_buf_init(&chunk, FAKE_OUT_MAX);
    for (fake_watch *watch = f->api->watches; watch != NULL; watch = watch->next) {
        if (watch->conn != NULL && !watch->conn->silent && watch->at < f->store->history.n) {
            pump(watch, &chunk, false);
        }
    }
    er_buf_fini(&chunk);
}

/* What was written before goes before the end. */
static void finish_watch(fake_watch *watch, er_buf *chunk, fake_end end, const char *ended) {
    if (!watch->conn->silent) {
        pump(watch, chunk, true);
    }
    if (watch->conn != NULL) {
        end_watch(watch, end, ended);
    }
}

size_t fake_watches_end(fake_api *api, fake_end end, const char *ended) {
    size_t n = 0;
    er_buf chunk;
    er_buf_init(&chunk, FAKE_OUT_MAX);
    for (fake_watch *watch = api->watches; watch != NULL; watch = watch->next) {
        /* A silent one can still be cut. */
        if (watch->conn != NULL && !(watch->conn->silent && end == FAKE_END_SILENT)) {
            n++;
            finish_watch(watch, &chunk, end, ended);
        }
    }
    er_buf_fini(&chunk);
    return n;
}

/* ---- frames that scripts send ---- */

static void count_gone(const fake_watch *watch, const fake_word *word) {
    fake_counts_of(api_of(watch), watch->asked)->gone += fake_frame_is_gone(word);
}

/* To the open watches of one resource; the number of them. */
static size_t send_to(fake_api *api, fake_resource resource, const fake_word *word, er_str frame) {
    size_t n = 0;
    er_buf chunk;
    er_buf_init(&chunk, FAKE_OUT_MAX);
    for (fake_watch *watch = api->watches; watch != NULL; watch = watch->next) {
        if (!is_open(watch, resource) || watch->conn->silent) {
            continue;
        }
        n++;
        pump(watch, &chunk, true); /* what came before it goes before it */
        if (watch->conn != NULL && !watch->conn->silent) {
            count_gone(watch, word);
            (void)emit(watch, frame);
        }
    }
    er_buf_fini(&chunk);
    return n;
}

er_status fake_watches_send(fake_api *api, const fake_word *word, er_err *err) {
    fake_version *version = &api->fake->store->version;
    fake_version before = *version;
    er_status status = ER_OK;
    size_t n = 0;
    er_buf frame;
    er_buf_init(&frame, FAKE_OUT_MAX);
    for (int i = 0; i < FAKE_RESOURCES && status == ER_OK; i++) {
        *version = before; /* a frame that takes a version has the same one everywhere */
        er_buf_clear(&frame);
        status = fake_frame_put(api, (fake_resource)i, word, &frame, err);
        if (status == ER_OK) {
            n += send_to(api, (fake_resource)i, word, er_buf_str(&frame));
        }
    }
    if (status == ER_OK && n == 0) {
        status = er_err_set(err, ER_E_INVAL, "no watch is open (wait watches open >= 1)");
    }
    er_buf_fini(&frame);
    return status;
}

/* ---- opening ---- */

static void refuse_version(fake_conn *conn, er_str text) {
    er_buf message;
    er_buf body;
    er_jw w;
    er_buf_init(&message, 65536);
    er_buf_init(&body, 65536);
    er_buf_puts(&message, "strconv.ParseUint: parsing ");
    er_json_quote(&message, text);
    er_buf_puts(&message, ": invalid syntax");
    /* The real one has no reason here. */
    er_jw_init(&w, &body);
    er_jw_object(&w);
    er_jw_kstr(&w, "kind", ER_STR("Status"));
    er_jw_kstr(&w, "apiVersion", ER_STR("v1"));
    er_jw_key(&w, "metadata");
    er_jw_object(&w);
    er_jw_object_end(&w);
    er_jw_kstr(&w, "status", ER_STR("Failure"));
    er_jw_kstr(&w, "message", er_buf_str(&message));
    er_jw_kint(&w, "code", 500);
    er_jw_object_end(&w);
    fake_api_send(conn, &(fake_head){.status = 500, .type = "application/json"}, er_buf_str(&body));
    er_buf_fini(&message);
    er_buf_fini(&body);
}

typedef struct options {
    fake_version from;
    uint64_t timeout_s;
    fake_selector selector;
} options;

/* False: answered. */
static bool read_options(fake_conn *conn, options *o) {
    const fake_request *request = &conn->request;
    const fake_asked *asked = conn->owner;
    er_buf text;
    er_err err = {0};
    er_buf_init(&text, 16384);
    bool good = false;
    if (fake_request_param(request, "sendInitialEvents", &text)) {
        fake_api_refuse(conn, 422,
                        "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch "
                        "unless the WatchList feature gate is enabled");
    } else if (fake_selector_read(request, asked->resource, &o->selector, &err) != ER_OK) {
        fake_api_refuse(conn, 400, err.msg);
    } else if (fake_request_param(request, "timeoutSeconds", &text) &&
               !er_parse_u64(er_buf_str(&text), &o->timeout_s)) {
        fake_api_refuse(conn, 400, "timeoutSeconds: no number");
    } else if (fake_request_param(request, "resourceVersion", &text) && text.len > 0 &&
               !fake_version_parse(er_buf_str(&text), &o->from)) {
        refuse_version(conn, er_buf_str(&text));
    } else {
        good = true;
    }
    er_buf_fini(&text);
    return good;
}

static fake_watch *open_watch(fake_conn *conn, const options *o) {
    fake_api *api = conn->fake->api;
    fake_asked *asked = conn->owner;
    fake_watch *watch = er_xcalloc(1, sizeof *watch);
    *watch = (fake_watch){.next = api->watches,
                          .asked = asked,
                          .conn = conn,
                          .ns = er_str_of(asked->ns),
                          .selector = o->selector,
                          .from = o->from,
                          .last = o->from,
                          .at = fake_store_after(conn->fake->store, o->from),
                          .opened_ms = fake_server_ms(conn->fake)};
    api->watches = watch;
    asked->watch = watch;
    asked->status = 200;
    fake_counts_of(api, asked)->watches_opened++;
    fake_counts_of(api, asked)->answers[200]++;
    conn->on_gone = on_gone;
    if (o->timeout_s > 0) {
        conn->wake_ns = conn->fake->now_ns + (int64_t)o->timeout_s * 1000000000;
        conn->on_wake = on_deadline;
    }
    fake_conn_begin(conn, &(fake_head){.status = 200,
                                       .type = "application/json",
                                       .extra = "Cache-Control: no-cache, private\r\n"});
    return watch;
}

/* A watch from no version begins with what there is. */
static bool send_initial(fake_watch *watch) {
    fake_store *store = watch->conn->fake->store;
    const fake_list *items = fake_store_at(store, watch->asked->resource, store->version);
    er_buf frame;
    er_buf_init(&frame, FAKE_OUT_MAX);
    bool open = true;
    for (size_t i = 0; i < items->n && open; i++) {
        er_str body = fake_change_body(items->v[i]);
        bool in_ns = watch->ns.n == 0 || er_str_eq(watch->ns, fake_change_namespace(items->v[i]));
        if (in_ns && fake_selector_matches(&watch->selector, body)) {
            er_buf_clear(&frame);
            put_object(&frame, watch->asked->resource, fake_change_names[FAKE_ADDED],
                       (er_str){body.p + 1, body.n - 1}, (er_str){0}, (er_str){0});
            open = emit(watch, er_buf_str(&frame));
        }
    }
    er_buf_fini(&frame);
    watch->from = store->version;
    watch->at = store->history.n;
    return open;
}

static bool send_first(fake_watch *watch, const fake_fault *fault) {
    er_buf frame;
    er_buf_init(&frame, FAKE_OUT_MAX);
    bool open = true;
    for (size_t i = 0; fault != NULL && i < fault->first.n && open; i++) {
        er_buf_clear(&frame);
        (void)fake_frame_put(api_of(watch), watch->asked->resource, &fault->first.v[i], &frame,
                             NULL); /* tried before */
        count_gone(watch, &fault->first.v[i]);
        open = emit(watch, er_buf_str(&frame));
    }
    er_buf_fini(&frame);
    return open;
}

static void send_gone(fake_watch *watch) {
    er_buf frame;
    er_buf_init(&frame, 4096);
    fake_error_put(&frame, 410, FAKE_TOO_OLD);
    fake_counts_of(api_of(watch), watch->asked)->gone++;
    if (emit(watch, er_buf_str(&frame))) {
        end_watch(watch, FAKE_END_CLEAN, "gone");
    }
    er_buf_fini(&frame);
}

void fake_watch_answer(fake_conn *conn) {
    options o = {0};
    if (!read_options(conn, &o)) {
        fake_selector_fini(&o.selector);
        return;
    }
    fake_watch *watch = open_watch(conn, &o);
    const fake_cut *cut = &conn->shape.cut;
    if (cut->end != FAKE_END_NONE && cut->frames == 0 && cut->bytes == 0) {
        end_watch(watch, cut->end, fake_end_names[cut->end]);
    } else if (!send_first(watch, watch->asked->fault)) {
        return;
    } else if (o.from == 0) {
        (void)send_initial(watch);
    } else if (o.from < conn->fake->store->compacted) {
        send_gone(watch);
    }
}
