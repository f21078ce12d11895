/* The worker: one thread per sink. It cuts batches, has them encoded and delivered, and acts on
 * what the sink says; no sink has a loop, a sleep, a queue or a retry of its own.
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

/* ---- lists ---- */

static void list_push_back(er_batch_list *list, er_batch *batch) {
    batch->next = NULL;
    if (list->last == NULL) {
        list->first = batch;
    } else {
        list->last->next = batch;
    }
    list->last = batch;
}

/* In the order of the queue: what comes back from the sink may be older or newer than the rest. */
static void list_insert(er_batch_list *list, er_batch *batch) {
    er_batch **at = &list->first;
    while (*at != NULL && (*at)->v[0].seq < batch->v[0].seq) {
        at = &(*at)->next;
    }
    batch->next = *at;
    *at = batch;
    if (batch->next == NULL) {
        list->last = batch;
    }
}

static er_batch *list_pop(er_batch_list *list) {
    er_batch *batch = list->first;
    if (batch != NULL) {
        list->first = batch->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        batch->next = NULL;
    }
    return batch;
}

static void list_free(er_batch_list *list) {
    er_batch *batch;
    while ((batch = list_pop(list)) != NULL) {
        er_batch_free(batch);
    }
}

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
    list_free(&w->work);
    list_free(&w->held);
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
    size_t half = (batch->n + 1) / 2;
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_add(i < half ? first : second, &batch->v[i]);
    }
    er_batch_free(batch);
    list_insert(&w->work, first);
    list_insert(&w->work, second);
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

static size_t size_limit(er_delivery *d) {
    er_worker *w = &d->worker;
    if (w->size_limit < (size_t)d->settings->batch.records &&
        er_deadline_passed(w->size_limit_until)) {
        w->size_limit = (size_t)d->settings->batch.records;
    }
    return w->size_limit;
}

/* ---- cutting ---- */

/* Refills the stage from the queue; false when nothing was there. */
static bool stage(er_delivery *d) {
    er_worker *w = &d->worker;
    if (w->staged_at < w->staged_n) {
        return true;
    }
    w->staged_at = 0;
    w->staged_n = er_queue_take(&d->queue, w->taken, size_limit(d));
    for (size_t i = 0; i < w->staged_n; i++) {
        w->staged[i] = (er_batch_slot){.rec = w->taken[i].rec,
                                       .ack = w->taken[i].ack,
                                       .enqueued_ns = w->taken[i].enqueued_ns,
                                       .seq = w->seq++};
        er_buf_init(&w->staged[i].item.body, d->type->item_max);
    }
    return w->staged_n > 0;
}

/* Encodes the slot unless that was done before; false: it was rejected. */
static bool encode(er_delivery *d, er_batch_slot *slot) {
    if (slot->item.body.len > 0) {
        return true;
    }
    er_err err = {0};
    er_status status = d->type->encode(d->self, slot->rec, &slot->item, &err);
    if (status == ER_OK && er_buf_status(&slot->item.body) == ER_OK) {
        return true;
    }
    bool too_large = status == ER_E_LIMIT || er_buf_status(&slot->item.body) == ER_E_LIMIT;
    if (err.msg[0] == '\0') {
        (void)er_err_set(&err, status, too_large ? "larger than %zu bytes" : "cannot be encoded",
                         d->type->item_max);
    }
    er_settle_reject(d, slot, too_large ? ER_REASON_TOO_LARGE : ER_REASON_ENCODE, err.msg);
    return false;
}

/* Moves the slot into the batch, or rejects it; false: the batch has no room for its bytes. */
static bool add(er_delivery *d, er_batch *batch, er_batch_slot *slot) {
    if (!encode(d, slot)) {
        return true;
    }
    size_t limit = (size_t)d->settings->batch.bytes;
    if (batch->n > 0 && batch->bytes + slot->item.body.len > limit) {
        return false;
    }
    er_batch_add(batch, slot);
    return true;
}

static bool add_from_aside(er_delivery *d, er_batch *batch, er_aside_target *target) {
    er_aside *a = &d->worker.aside;
    er_batch_slot slot;
    er_aside_take(a, target, &slot);
    if (!add(d, batch, &slot)) {
        er_aside_put(a, target, &slot);
        return false;
    }
    er_aside_tidy(a);
    return true;
}

/* A record must not overtake what is set aside for its target. */
static bool add_staged(er_delivery *d, er_batch *batch, er_batch_slot *slot) {
    er_worker *w = &d->worker;
    er_str name;
    er_aside_target *target =
        w->aside.targets_n == 0 ? NULL : er_settle_target(d, slot->rec, &name);
    if (target == NULL) {
        return add(d, batch, slot);
    }
    w->is_stuck = !er_settle_aside(d, slot, target);
    return !w->is_stuck;
}

/* Moves records into the batch until a limit is met (true) or none is there: first those of targets
 * that are open again, then what is staged. */
static bool fill(er_delivery *d, er_batch *batch) {
    er_worker *w = &d->worker;
    while (batch->n < size_limit(d)) {
        er_aside_target *open = er_aside_open_one(&w->aside);
        if (open == NULL && w->staged_at == w->staged_n) {
            return false;
        }
        if (open != NULL && !add_from_aside(d, batch, open)) {
            return true;
        }
        if (open == NULL && !add_staged(d, batch, &w->staged[w->staged_at])) {
            return true;
        }
        w->staged_at += open == NULL;
    }
    return true;
}

static void say_stuck(er_delivery *d) {
    const er_aside *a = &d->worker.aside;
    const er_aside_target *oldest = er_aside_oldest(a);
    er_err err;
    (void)er_err_set(&err, ER_E_DENIED,
                     "no room to set more aside: %zu records of %zu targets wait, the oldest for "
                     "%.200s",
                     a->n, a->targets_n, oldest == NULL ? "" : oldest->name);
    er_endpoint_fails(d, ER_E_DENIED, &err);
}

/* Cuts a batch from what is there, lingering for more as configured. NULL: nothing was there. */
static er_batch *cut(er_delivery *d) {
    d->worker.is_stuck = false;
    if (!stage(d) && er_aside_open_one(&d->worker.aside) == NULL) {
        return NULL;
    }
    er_batch *batch = er_batch_new();
    er_deadline linger = er_deadline_in(d->settings->batch.linger_ms);
    while (!fill(d, batch)) {
        if (stage(d)) {
            continue;
        }
        if (d->settings->batch.linger_ms == 0 || er_deadline_passed(linger) ||
            er_queue_is_closed(&d->queue) || er_queue_is_given_up(&d->queue)) {
            break;
        }
        er_heart_beat(d->env.heart);
        er_queue_wait(&d->queue, er_deadline_min(linger, er_deadline_in(ER_HEART_PERIOD_MS / 2)));
    }
    if (batch->n == 0) { /* all of it was rejected, or set aside */
        if (d->worker.is_stuck) {
            say_stuck(d);
        }
        er_batch_free(batch);
        return NULL;
    }
    return batch;
}

/* ---- expiry ---- */

/* Drops what is too old from one batch of ours (never from one that the sink holds). */
static void expire_batch(er_delivery *d, er_batch *batch, int64_t before_ns) {
    size_t left = 0;
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_slot slot = batch->v[i];
        if (slot.enqueued_ns >= before_ns) {
            batch->v[left++] = slot;
            continue;
        }
        batch->bytes -= slot.item.body.len;
        er_settle_drop(d, &slot, ER_REASON_EXPIRED);
    }
    batch->n = left;
}

static void expire_work(er_delivery *d, int64_t before_ns) {
    er_batch_list kept = {0};
    er_batch *batch;
    while ((batch = list_pop(&d->worker.work)) != NULL) {
        expire_batch(d, batch, before_ns);
        if (batch->n == 0) {
            er_batch_free(batch);
        } else {
            list_push_back(&kept, batch);
        }
    }
    d->worker.work = kept;
}

static void expire_staged(er_delivery *d, int64_t before_ns) {
    er_worker *w = &d->worker;
    while (w->staged_at < w->staged_n && w->staged[w->staged_at].enqueued_ns < before_ns) {
        er_settle_drop(d, &w->staged[w->staged_at], ER_REASON_EXPIRED);
        w->staged_at++;
    }
}

static void expire_aside(er_delivery *d, int64_t before_ns) {
    er_aside *a = &d->worker.aside;
    er_aside_target *oldest;
    while ((oldest = er_aside_oldest(a)) != NULL &&
           oldest->v[oldest->head].enqueued_ns < before_ns) {
        er_batch_slot slot;
        er_aside_take(a, oldest, &slot);
        er_settle_drop(d, &slot, ER_REASON_EXPIRED);
    }
}

static int64_t oldest_of(const er_delivery *d) {
    const er_worker *w = &d->worker;
    int64_t oldest = INT64_MAX;
    if (w->staged_at < w->staged_n) {
        oldest = w->staged[w->staged_at].enqueued_ns;
    }
    const er_aside_target *aside = er_aside_oldest(&w->aside);
    if (aside != NULL && aside->v[aside->head].enqueued_ns < oldest) {
        oldest = aside->v[aside->head].enqueued_ns;
    }
    const er_batch *lists[] = {w->work.first, w->held.first};
    for (size_t l = 0; l < 2; l++) {
        for (const er_batch *b = lists[l]; b != NULL; b = b->next) {
            for (size_t i = 0; i < b->n; i++) {
                bool is_older = b->v[i].rec != NULL && b->v[i].enqueued_ns < oldest;
                oldest = is_older ? b->v[i].enqueued_ns : oldest;
            }
        }
    }
    return oldest;
}

/* Gives up what is older than retry.maxAge; the deadline is when the next record gets there. */
static er_deadline expire(er_delivery *d) {
    if (d->max_age_ms == 0) {
        atomic_store(&d->oldest_ns, oldest_of(d));
        return ER_DEADLINE_NEVER;
    }
    int64_t before = er_mono_ns() - d->max_age_ms * 1000000;
    expire_work(d, before);
    expire_staged(d, before);
    expire_aside(d, before);
    int64_t queued = er_queue_expire(&d->queue, before);
    int64_t oldest = oldest_of(d);
    atomic_store(&d->oldest_ns, oldest);
    oldest = queued < oldest ? queued : oldest;
    if (oldest == INT64_MAX) {
        return er_deadline_in(d->max_age_ms);
    }
    return (er_deadline){oldest + d->max_age_ms * 1000000 + 1};
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
    if (t->is_stuck) {
        say_stuck(d);
    } else if (status == ER_OK && t->retried == 0) {
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
    split_over(d);
    er_endpoint_works(d);
}

/* What a batch told about the size that is taken; once nothing of it is kept any more. */
static void note_split(er_worker *w, const er_batch *batch, const er_tally *t) {
    w->split_rejected = w->split_rejected || t->rejected > 0;
    if (w->is_split && t->kept == 0 && batch->taken == batch->n && batch->n > w->split_worked) {
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
        list_push_back(&w->held, batch);
        w->held_n++;
    } else {
        er_batch_free(batch);
    }
    if (again != NULL) {
        list_insert(&w->work, again);
    }
    /* That everything is kept tells nothing of the endpoint yet. */
    if (status != ER_OK || t.retried > 0 || t.kept == 0 || t.settlement.delivered > 0) {
        after_delivery(d, status, &t, &err);
    }
    split_over(d);
}

/* Sweeps one held batch; false: nothing of it is kept any more, and it is gone. */
static bool sweep_held(er_delivery *d, er_batch *batch, er_status status, er_tally *all) {
    er_worker *w = &d->worker;
    if (!batch->is_judged) {
        return true;
    }
    er_tally t = {0};
    er_batch *again = er_settle_sweep(d, batch, &t);
    note_split(w, batch, &t);
    all->retried += t.retried;
    all->aside += t.aside;
    all->is_stuck = all->is_stuck || t.is_stuck;
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
        list_insert(&w->work, again);
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
    while ((batch = list_pop(&w->held)) != NULL) {
        if (sweep_held(d, batch, status, &all)) {
            list_push_back(&still, batch);
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
    split_over(d);
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

/* Has one record of each target tried whose time has come; all, once, when the queue is closed. */
static void try_aside(er_delivery *d) {
    er_worker *w = &d->worker;
    if (er_queue_is_closed(&d->queue) && !w->is_closing) {
        w->is_closing = true;
        er_aside_hurry(&w->aside);
    }
    er_aside_target *target;
    while ((target = er_aside_due(&w->aside)) != NULL) {
        er_batch_slot slot;
        er_aside_take(&w->aside, target, &slot);
        er_aside_wait(target);
        if (encode(d, &slot)) {
            er_batch *batch = er_batch_new();
            er_batch_add(batch, &slot);
            list_insert(&w->work, batch);
        }
    }
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
}

/* Waits for what comes first: records, the end of a backoff, an expiry, a poll or a target that is
 * due. */
static void wait_for_work(er_delivery *d, er_deadline expiry, bool backed_off) {
    er_worker *w = &d->worker;
    er_deadline until = er_deadline_min(expiry, er_deadline_in(ER_HEART_PERIOD_MS / 2));
    if (backed_off) {
        until = er_deadline_min(until, w->not_before);
    } else {
        until = er_deadline_min(until, er_aside_next(&w->aside));
    }
    if (d->type->poll != NULL) {
        until = er_deadline_min(until, w->poll_next);
    }
    if (w->held_n > 0 && d->type->poll != NULL) {
        poll_sink(d, er_deadline_min(until, er_deadline_in(HELD_POLL_MS)));
    } else if (backed_off || er_queue_is_closed(&d->queue)) {
        er_queue_rest(&d->queue, until);
    } else {
        er_queue_wait(&d->queue, until);
    }
}

/* Several batches may share a request: while their size matters, they go one by one. */
static size_t in_flight_limit(er_delivery *d) {
    bool is_limited = d->worker.is_split || size_limit(d) < (size_t)d->settings->batch.records;
    return is_limited ? 1 : d->type->max_in_flight;
}

static void step(er_delivery *d) {
    er_worker *w = &d->worker;
    er_heart_beat(d->env.heart);
    er_deadline expiry = expire(d);
    bool backed_off = !er_deadline_passed(w->not_before);
    if (!backed_off && !w->is_open) {
        open_sink(d);
        return;
    }
    if (d->type->poll != NULL && er_deadline_passed(w->poll_next)) {
        w->poll_next = er_deadline_in(IDLE_POLL_MS);
        poll_sink(d, er_deadline_in(0));
    }
    /* Not while the endpoint owes an answer to what was tried before. */
    if (!backed_off && w->aside.targets_n > 0 && w->work.first == NULL) {
        try_aside(d);
    }
    er_batch *batch = NULL;
    if (!backed_off && w->held_n < in_flight_limit(d)) {
        batch = list_pop(&w->work);
        batch = batch == NULL ? cut(d) : batch;
    }
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
