/* The worker: one thread per sink. It has batches delivered, and acts on what the sink says; no
 * sink has a loop, a sleep, a queue or a retry of its own.
 *
 * Concurrency: everything in er_worker belongs to this thread; the queue has its own lock. */
#include "base/log.h"
#include "delivery/delivery_priv.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT_MS (10 * 60 * 1000) /* how long the size that worked after a split holds */
#define HELD_POLL_MS  20               /* a poll with kept items waits this long at the most */
#define IDLE_POLL_MS  1000
#define OPEN_LIMIT_MS 30000
#define TARGET_MAX    65536 /* bytes of a target's name */

void er_worker_init(er_delivery *d) {
    er_worker *w = &d->worker;
    w->staged = er_xcalloc((size_t)d->settings->batch.records, sizeof *w->staged);
    w->taken = er_xcalloc((size_t)d->settings->batch.records, sizeof *w->taken);
    er_aside_init(&w->aside, d->settings);
    er_buf_init(&w->target, TARGET_MAX);
    er_backoff_init(&w->backoff, d->settings->retry.initial_ms, d->settings->retry.max_ms);
    w->size_limit = (size_t)d->settings->batch.records;
    w->is_open = d->type->open == NULL;
}

void er_worker_fini(er_delivery *d) {
    er_worker *w = &d->worker;
    for (size_t i = w->staged_at; i < w->staged_n; i++) {
        er_batch_slot_fini(&w->staged[i]);
    }
    free(w->staged);
    free(w->taken);
    er_batch_list_free(&w->work);
    er_batch_list_free(&w->held);
    er_aside_fini(&w->aside);
    er_buf_fini(&w->target);
}

/* ---- splitting ---- */

static void begin_split(er_worker *w) {
    if (!w->is_split) {
        w->is_split = true;
        w->split_worked = 0;
        w->split_rejected = false;
    }
}

static void split(er_delivery *d, er_batch *batch) {
    er_worker *w = &d->worker;
    er_batch *second = er_batch_new();
    er_batch *first = er_batch_new();
    first->turn = second->turn = batch->turn;
    size_t half = (batch->n + 1) / 2;
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_add(i < half ? first : second, &batch->v[i]);
    }
    er_batch_free(batch);
    er_batch_list_insert(&w->work, first);
    er_batch_list_insert(&w->work, second);
    begin_split(w);
}

/* When all parts of a split batch are through: if none was rejected, it was the size that was
 * wrong, and the largest part that was taken is the limit for a while. If one was, it was a poison
 * record, and the size is innocent. */
static void split_over(er_delivery *d) {
    er_worker *w = &d->worker;
    if (!w->is_split || w->work.first != NULL || w->held.first != NULL) {
        return;
    }
    w->is_split = false;
    if (!w->split_rejected && w->split_worked > 0) {
        w->size_limit = w->split_worked;
        w->size_limit_until = er_deadline_in(SIZE_LIMIT_MS);
        ER_LOG(ER_LOG_INFO, "delivery", "the sink takes smaller batches only",
               ER_LS("sink", d->name), ER_LI("records", w->size_limit));
    }
}

size_t er_worker_size_limit(er_delivery *d) {
    er_worker *w = &d->worker;
    if (w->size_limit < (size_t)d->settings->batch.records &&
        er_deadline_passed(w->size_limit_until)) {
        w->size_limit = (size_t)d->settings->batch.records;
    }
    return w->size_limit;
}

/* ---- delivering ---- */

static void after_delivery(er_delivery *d, er_status status, const er_tally *t, const er_err *err) {
    er_worker *w = &d->worker;
    if (t->settlement.delivered > 0) {
        er_gauge_set(d->metrics.last_success, (double)er_time_now() / 1e6);
    }
    if (t->retried > 0) {
        er_counter_inc(d->metrics.retries);
    }
    bool is_taken = t->settlement.delivered + t->rejected > 0;
    if (status == ER_OK && t->retried == 0 && t->aside > 0 && !is_taken && d->type->poll != NULL) {
        return; /* what keeps records may know a refusal from memory, and not have asked */
    }
    if (status == ER_OK && t->retried == 0) {
        er_endpoint_works(d);
    } else if (status == ER_OK) {
        /* A bulk service took some and refused others for now. */
        if (t->settlement.delivered > 0) {
            er_backoff_reset(&w->backoff);
        }
        er_endpoint_fails(d, ER_E_UNAVAILABLE, err);
    } else {
        er_endpoint_fails(d, status, err);
    }
}

/* One SPLIT: halves, or for a single record the end. */
static void handle_split(er_delivery *d, er_batch *batch, const er_err *err) {
    if (batch->n > 1) {
        split(d, batch);
        return;
    }
    er_batch_judge(batch, 0, ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, err->msg);
    er_tally t = {0};
    er_batch *again = er_settle_sweep(d, batch, &t);
    ER_ASSERT(again == NULL);
    d->worker.split_rejected = true;
    er_batch_free(batch);
    er_endpoint_works(d);
}

/* What a batch told about the size that is taken; once nothing of it is kept any more. The single
 * record that is tried of a target is no part of a batch that was split. */
static void note_split(er_worker *w, const er_batch *batch, const er_tally *t) {
    w->split_rejected = w->split_rejected || t->rejected > 0;
    if (w->is_split && batch->turn > 0 && t->kept == 0 && batch->taken == batch->n &&
        batch->n > w->split_worked) {
        w->split_worked = batch->n;
    }
}

static void deliver(er_delivery *d, er_batch *batch) {
    er_worker *w = &d->worker;
    er_err err = {0};
    er_batch_rewind(batch);
    er_histogram_observe(d->metrics.batch_records, (double)batch->n);
    er_status status = d->type->deliver(d->self, batch, &err);
    if (status == ER_E_SPLIT) {
        handle_split(d, batch, &err);
        return;
    }
    er_tally t = {0};
    er_batch *again = er_settle_sweep(d, batch, &t);
    note_split(w, batch, &t);
    if (t.kept > 0) {
        er_batch_list_push_back(&w->held, batch);
        w->held_n++;
    } else {
        er_batch_free(batch);
    }
    if (again != NULL) {
        er_batch_list_insert(&w->work, again);
    }
    /* That everything is kept tells nothing of the endpoint yet. */
    if (status != ER_OK || t.retried > 0 || t.kept == 0 || t.settlement.delivered > 0) {
        after_delivery(d, status, &t, &err);
    }
}

/* Sweeps one held batch; false: nothing of it is kept any more, and it is gone. */
static bool sweep_held(er_delivery *d, er_batch *batch, er_status status, er_tally *all) {
    er_worker *w = &d->worker;
    if (!batch->is_judged) {
        return true;
    }
    if (status == ER_E_SPLIT && batch->turn == 0) {
        batch->turn = ++w->turn; /* tried with others: not again at once */
    }
    er_tally t = {0};
    er_batch *again = er_settle_sweep(d, batch, &t);
    note_split(w, batch, &t);
    all->retried += t.retried;
    all->aside += t.aside;
    all->rejected += t.rejected;
    all->settlement.delivered += t.settlement.delivered;
    if (t.kept == 0) {
        er_batch_free(batch);
    }
    if (again != NULL && status == ER_E_SPLIT && again->n > 1) {
        split(d, again);
    } else if (again != NULL) {
        if (status == ER_E_SPLIT) {
            begin_split(w);
        }
        er_batch_list_insert(&w->work, again);
    }
    return t.kept > 0;
}

/* Lets the sink judge what it keeps. */
static void poll_sink(er_delivery *d, er_deadline until) {
    er_worker *w = &d->worker;
    er_err err = {0};
    er_status status = d->type->poll(d->self, until, &err);
    er_batch_list still = {0};
    size_t still_n = 0;
    er_tally all = {0};
    er_batch *batch;
    while ((batch = er_batch_list_pop(&w->held)) != NULL) {
        if (sweep_held(d, batch, status, &all)) {
            er_batch_list_push_back(&still, batch);
            still_n++;
        }
    }
    w->held = still;
    w->held_n = still_n;
    bool is_news = all.retried + all.aside + all.rejected + all.settlement.delivered > 0;
    if (status == ER_E_SPLIT) {
        er_counter_inc(d->metrics.retries);
    } else if (status != ER_OK || is_news) {
        after_delivery(d, status, &all, &err);
    }
}

static void open_sink(er_delivery *d) {
    er_err err = {0};
    er_status status = d->type->open(d->self, er_deadline_in(OPEN_LIMIT_MS), &err);
    if (status == ER_OK) {
        d->worker.is_open = true;
        er_endpoint_works(d);
    } else {
        er_endpoint_fails(d, status, &err);
    }
}

/* ---- the loop ---- */

static bool is_idle(const er_worker *w) {
    return w->work.first == NULL && w->held.first == NULL && w->staged_at == w->staged_n &&
           w->aside.n == 0;
}

/* What is set aside takes room in the queue. */
static void note_aside(er_delivery *d) {
    er_worker *w = &d->worker;
    if (w->noted_n != w->aside.n || w->noted_bytes != w->aside.bytes) {
        w->noted_n = w->aside.n;
        w->noted_bytes = w->aside.bytes;
        er_queue_set_aside(&d->queue, w->noted_n, w->noted_bytes);
        er_gauge_set(d->metrics.set_aside, (double)w->noted_n);
    }
    er_endpoint_show(d);
}

/* Several batches may share a request: while their size matters, they go one by one. */
static size_t in_flight_limit(er_delivery *d) {
    bool is_limited =
        d->worker.is_split || er_worker_size_limit(d) < (size_t)d->settings->batch.records;
    return is_limited ? 1 : d->type->max_in_flight;
}

/* Waits for what comes first: records, the end of a backoff, an expiry, a poll or a target that is
 * due. */
static void wait_for_work(er_delivery *d, er_deadline expiry, bool backed_off) {
    er_worker *w = &d->worker;
    er_deadline until = er_deadline_min(expiry, er_deadline_in(ER_HEART_PERIOD_MS / 2));
    if (backed_off) {
        until = er_deadline_min(until, w->not_before);
    } else if (w->held_n < in_flight_limit(d)) {
        until = er_deadline_min(until, er_aside_next(&w->aside));
    }
    if (d->type->poll != NULL) {
        until = er_deadline_min(until, w->poll_next);
    }
    if (w->held_n > 0 && d->type->poll != NULL) {
        poll_sink(d, er_deadline_min(until, er_deadline_in(HELD_POLL_MS)));
    } else if (backed_off || er_cut_is_stuck(d) || er_queue_is_closed(&d->queue)) {
        er_queue_rest(&d->queue, w->is_closing, until);
    } else {
        er_queue_wait(&d->queue, until);
    }
}

/* What is delivered next; NULL: nothing, or not now. */
static er_batch *next_batch(er_delivery *d) {
    er_worker *w = &d->worker;
    if (w->held_n >= in_flight_limit(d)) {
        return NULL;
    }
    er_batch *batch = er_cut_try(d);
    if (batch != NULL) {
        return batch;
    }
    while ((batch = er_batch_list_pop(&w->work)) != NULL) {
        er_cut_hold_back(d, batch);
        if (batch->n > 0) {
            return batch;
        }
        er_batch_free(batch);
    }
    return er_cut(d);
}

static void step(er_delivery *d) {
    er_worker *w = &d->worker;
    er_heart_beat(d->env.heart);
    er_deadline expiry = er_expire(d);
    split_over(d);
    if (!w->is_closing && er_queue_is_closing(&d->queue)) {
        w->is_closing = true;
        er_aside_hurry(&w->aside);
    }
    if (!w->is_open && er_deadline_passed(w->not_before)) {
        open_sink(d);
        return;
    }
    if (d->type->poll != NULL && er_deadline_passed(w->poll_next)) {
        w->poll_next = er_deadline_in(IDLE_POLL_MS);
        poll_sink(d, er_deadline_in(0));
    }
    bool backed_off = !er_deadline_passed(w->not_before);
    er_batch *batch = backed_off ? NULL : next_batch(d);
    note_aside(d);
    if (batch != NULL) {
        deliver(d, batch);
        note_aside(d);
    } else {
        wait_for_work(d, expiry, backed_off);
    }
}

void *er_worker_run(void *delivery) {
    er_delivery *d = delivery;
    while (!er_queue_is_given_up(&d->queue) &&
           !(is_idle(&d->worker) && er_queue_is_closed(&d->queue))) {
        step(d);
    }
    if (d->worker.held_n > 0 && d->type->poll != NULL) {
        poll_sink(d, er_deadline_in(0)); /* the token is set: it judges the rest RETRY */
    }
    er_heart_end(d->env.heart);
    return NULL;
}
