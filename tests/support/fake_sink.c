/* What sinks receive, and how they answer. */
#include "fake_sink.h"

#include "fake_json.h"

#include <stdlib.h>
#include <string.h>

#define ENDLESS_CHUNK ((size_t)16 << 10)
#define ENDLESS_NS    5000000

void fake_sinks_init(fake_sinks *sinks, fake *f) {
    *sinks = (fake_sinks){.fake = f};
}

static void received_free(fake_received *r) {
    free(r->target);
    free(r->headers);
    free(r->body);
    free(r->one_off.body);
    free(r);
}

static void free_replies(fake_reply *reply) {
    while (reply != NULL) {
        fake_reply *next = reply->next;
        fake_reply_free(reply);
        reply = next;
    }
}

void fake_sinks_fini(fake_sinks *sinks) {
    while (sinks->v != NULL) {
        fake_sink *sink = sinks->v;
        sinks->v = sink->next;
        fake_sink_clear(sink);
        free_replies(sink->spent);
        for (size_t i = 0; i < sink->received_n; i++) {
            received_free(sink->received[i]);
        }
        free(sink->received);
        free(sink->latencies);
        fake_bulk_free(sink->bulk);
        free(sink->name);
        free(sink);
    }
}

fake_sink *fake_sink_get(fake_sinks *sinks, er_str name) {
    fake_sink **at = &sinks->v;
    while (*at != NULL && !er_str_eqc(name, (*at)->name)) {
        at = &(*at)->next;
    }
    if (*at == NULL) {
        *at = er_xcalloc(1, sizeof **at);
        (*at)->name = er_str_dup(name);
    }
    return *at;
}

/* ---- receiving ---- */

static fake_sink *sink_of(fake_conn *conn) {
    er_str path = conn->request.path;
    const char *slash = path.n < 2 ? NULL : memchr(path.p + 1, '/', path.n - 1);
    size_t n = slash == NULL ? path.n : (size_t)(slash - path.p);
    return fake_sink_get(conn->fake->sinks, n < 2 ? (er_str){0} : (er_str){path.p + 1, n - 1});
}

static void keep(fake_sink *sink, fake_received *r) {
    if (sink->received_n == sink->received_cap) {
        size_t cap = sink->received_cap == 0 ? 64 : sink->received_cap * 2;
        fake_received **received = realloc(sink->received, cap * sizeof *received);
        ER_ASSERT(received != NULL);
        sink->received = received;
        sink->received_cap = cap;
    }
    sink->received[sink->received_n++] = r;
}

/* What has come of the request, maybe not all of it. */
static fake_received *receive(fake_conn *conn, fake_sink *sink) {
    fake_received *r = er_xcalloc(1, sizeof *r);
    /* The input may have moved since the request was looked at; its head has not. */
    er_str body = {conn->in.p + conn->request.head_n, conn->in.len - conn->request.head_n};
    body.n = body.n < conn->request.body_n ? body.n : conn->request.body_n;
    r->sink = sink;
    r->ms = fake_server_ms(conn->fake);
    r->complete = body.n == conn->request.body_n;
    r->target = er_str_dup(conn->request.target);
    r->headers = er_str_dup(conn->request.headers);
    r->body = er_str_dup(body);
    r->body_n = body.n;
    r->records = r->complete ? fake_json_records(body) : 0;
    sink->incomplete += !r->complete;
    keep(sink, r);
    return r;
}

static void count(fake_conn *conn, fake_sink *sink, size_t records, size_t bytes) {
    sink->requests++;
    sink->records += records;
    sink->bytes += bytes;
    conn->fake->sinks->requests++;
    conn->fake->sinks->records += records;
}

/* ---- answering ---- */

static void endless(fake_conn *conn) {
    static const char blanks[ENDLESS_CHUNK] = {0};
    if (conn->out.len - conn->out_at < 4 * ENDLESS_CHUNK) {
        fake_conn_chunk(conn, (er_str){blanks, sizeof blanks});
    }
    conn->wake_ns = conn->fake->now_ns + ENDLESS_NS;
    conn->on_wake = endless;
}

static void reply_now(fake_conn *conn) {
    fake_received *r = conn->owner;
    const fake_reply *reply = r->reply;
    fake_head head = {.status = reply->status, .extra = reply->headers};
    r->status = reply->status;
    if (reply->status / 100 == 2) {
        size_t accepted = reply == &r->one_off ? r->created : r->records;
        r->sink->accepted += accepted;
        conn->fake->sinks->accepted += accepted;
    }
    if (reply->drip_ns > 0) {
        conn->shape.piece = 1;
        conn->shape.piece_ns = reply->drip_ns;
    }
    if (reply->endless) {
        fake_conn_begin(conn, &head);
        endless(conn);
        return;
    }
    fake_conn_answer(conn, &head, (er_str){reply->body, reply->body_n});
}

static const fake_reply *one_off(fake_received *r, int status) {
    r->one_off.status = status;
    return &r->one_off;
}

static const fake_reply *bulk_reply(fake_received *r) {
    er_buf answer;
    er_buf_init(&answer, FAKE_REQUEST_MAX);
    r->records =
        fake_bulk_answer(r->sink->bulk, (er_str){r->body, r->body_n}, true, &answer, &r->created);
    r->one_off.status = 200;
    r->one_off.body = er_buf_take(&answer, &r->one_off.body_n);
    return &r->one_off;
}

static const fake_reply *next_queued(fake_sink *sink) {
    fake_reply *reply = sink->queue;
    reply->left--;
    if (reply->left == 0) {
        /* Not freed: answers that still wait hold on to it. */
        sink->queue = reply->next;
        reply->next = sink->spent;
        sink->spent = reply;
    }
    return reply;
}

static const fake_reply *choose(fake_received *r) {
    static char nothing[] = "{}"; /* which services that answer in JSON say */
    static const fake_reply good = {.status = 200, .body = nothing, .body_n = 2};
    fake_sink *sink = r->sink;
    if (sink->max_body > 0 && r->body_n > sink->max_body) {
        return one_off(r, 413);
    }
    for (const fake_poison *poison = sink->poisons; poison != NULL; poison = poison->next) {
        if (memmem(r->body, r->body_n, poison->text, strlen(poison->text)) != NULL) {
            if (poison->body != NULL) {
                r->one_off.body = er_dup(poison->body);
                r->one_off.body_n = strlen(poison->body);
            }
            return one_off(r, poison->status);
        }
    }
    if (sink->queue != NULL) {
        return next_queued(sink);
    }
    if (sink->usual == NULL && sink->bulk != NULL) {
        return bulk_reply(r);
    }
    return sink->usual == NULL ? &good : sink->usual;
}

static void reply(fake_conn *conn) {
    fake_received *r = conn->owner;
    r->reply = choose(r);
    if (r->reply->delay_ns > 0) {
        conn->wake_ns = conn->fake->now_ns + r->reply->delay_ns;
        conn->on_wake = reply_now;
    } else {
        reply_now(conn);
    }
}

static void hanging_gone(fake_conn *conn) {
    fake_received *r = conn->owner;
    r->sink->hanging--;
}

void fake_sink_resume(fake_sinks *sinks, fake_sink *sink) {
    sink->hang = false;
    for (fake_conn *conn = sinks->fake->conns; conn != NULL; conn = conn->next) {
        if (conn->on_gone != hanging_gone || ((fake_received *)conn->owner)->sink != sink) {
            continue;
        }
        conn->on_gone = NULL;
        conn->silent = false;
        sink->hanging--;
        reply(conn);
    }
}

static bool count_down(uint64_t *left) {
    bool is_armed = *left > 0;
    *left -= is_armed && *left != UINT64_MAX;
    return is_armed;
}

/* The faults that meet a request before it has been read; true: it was cut. */
static bool cut_early(fake_conn *conn, fake_sink *sink) {
    er_str body = {NULL, conn->in.len - conn->request.head_n};
    bool is_far = body.n >= sink->reset_bytes || conn->request.complete;
    if (!count_down(&sink->refuse_left) && !(is_far && count_down(&sink->reset_left))) {
        return false;
    }
    count(conn, sink, 0, 0);
    conn->busy = true;
    conn->on_gone = NULL;
    (void)receive(conn, sink);
    fake_conn_end(conn, FAKE_END_RESET);
    return true;
}

static void incomplete_gone(fake_conn *conn) {
    fake_sink *sink = conn->owner;
    count(conn, sink, 0, 0);
    (void)receive(conn, sink);
}

void fake_sink_progress(fake_conn *conn) {
    fake_sink *sink = sink_of(conn);
    conn->owner = sink;
    conn->on_gone = incomplete_gone;
    (void)cut_early(conn, sink);
}

/* What a client asks of Elasticsearch beside _bulk: what it is. True: it was answered. */
static bool is_no_bulk(fake_conn *conn, const fake_sink *sink) {
    static const char product[] =
        "{\"version\":{\"distribution\":\"opensearch\",\"number\":\"2.19.3\"}}";
    static const char bulk[] = "/_bulk";
    er_str path = conn->request.path;
    bool is_bulk = path.n >= sizeof bulk - 1 &&
                   memcmp(path.p + path.n - (sizeof bulk - 1), bulk, sizeof bulk - 1) == 0;
    if (sink->bulk == NULL || is_bulk) {
        return false;
    }
    bool is_root = er_str_eqc(conn->request.method, "GET") && path.n > 0 &&
                   memchr(path.p + 1, '/', path.n - 1) == path.p + path.n - 1;
    fake_conn_answer(conn, &(fake_head){.status = is_root ? 200 : 404, .type = "application/json"},
                     is_root ? er_str_of(product) : ER_STR("{}"));
    return true;
}

static void discard_bulk(fake_conn *conn, fake_sink *sink) {
    er_buf answer;
    er_buf_init(&answer, FAKE_REQUEST_MAX);
    size_t created;
    size_t records = fake_bulk_answer(sink->bulk, conn->request.body, false, &answer, &created);
    count(conn, sink, records, conn->request.body_n);
    sink->accepted += created;
    conn->fake->sinks->accepted += created;
    fake_conn_answer(conn, &(fake_head){.status = 200, .type = "application/json"},
                     er_buf_str(&answer));
    er_buf_fini(&answer);
}

/* For the bench: nothing is kept. */
static void discard(fake_conn *conn, fake_sink *sink) {
    er_str body = conn->request.body;
    size_t records = sink->measure ? fake_measure(sink, body) : fake_json_records(body);
    count(conn, sink, records, conn->request.body_n);
    sink->accepted += records;
    conn->fake->sinks->accepted += records;
    fake_conn_answer(conn, &(fake_head){.status = 200}, ER_STR("{}"));
}

void fake_sink_request(fake_conn *conn) {
    fake_sink *sink = sink_of(conn);
    if (sink->discard && sink->bulk == NULL) {
        discard(conn, sink);
        return;
    }
    if (cut_early(conn, sink) || is_no_bulk(conn, sink)) {
        return;
    }
    if (sink->discard) {
        discard_bulk(conn, sink);
        return;
    }
    fake_received *r = receive(conn, sink);
    count(conn, sink, r->records, r->body_n);
    conn->owner = r;
    if (sink->hang) {
        sink->hanging++;
        conn->silent = true;
        conn->on_gone = hanging_gone;
        return;
    }
    reply(conn);
}
