/* retry.maxAge: what is too old is given up, wherever it waits but with the sink. */
#include "delivery/delivery_priv.h"

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
    while ((batch = er_batch_list_pop(&d->worker.work)) != NULL) {
        expire_batch(d, batch, before_ns);
        if (batch->n == 0) {
            er_batch_free(batch);
        } else {
            er_batch_list_push_back(&kept, batch);
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
    while ((oldest = er_aside_oldest(a, false)) != NULL &&
           oldest->v[oldest->head].enqueued_ns < before_ns) {
        er_batch_slot slot;
        er_aside_take(a, oldest, &slot);
        er_settle_drop(d, &slot, ER_REASON_EXPIRED);
    }
}

static int64_t oldest_in(const er_batch_list *list) {
    int64_t oldest = INT64_MAX;
    for (const er_batch *b = list->first; b != NULL; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            bool is_older = b->v[i].rec != NULL && b->v[i].enqueued_ns < oldest;
            oldest = is_older ? b->v[i].enqueued_ns : oldest;
        }
    }
    return oldest;
}

/* Of what expires: the sink's own is not among it. */
static int64_t oldest_of(const er_worker *w) {
    int64_t oldest = oldest_in(&w->work);
    if (w->staged_at < w->staged_n && w->staged[w->staged_at].enqueued_ns < oldest) {
        oldest = w->staged[w->staged_at].enqueued_ns;
    }
    const er_aside_target *aside = er_aside_oldest(&w->aside, false);
    if (aside != NULL && aside->v[aside->head].enqueued_ns < oldest) {
        oldest = aside->v[aside->head].enqueued_ns;
    }
    return oldest;
}

static void note_oldest(er_delivery *d, int64_t oldest) {
    int64_t held = oldest_in(&d->worker.held);
    atomic_store(&d->oldest_ns, held < oldest ? held : oldest);
}

er_deadline er_expire(er_delivery *d) {
    if (d->max_age_ms == 0) {
        note_oldest(d, oldest_of(&d->worker));
        return ER_DEADLINE_NEVER;
    }
    int64_t before = er_mono_ns() - d->max_age_ms * 1000000;
    expire_work(d, before);
    expire_staged(d, before);
    expire_aside(d, before);
    int64_t queued = er_queue_expire(&d->queue, before);
    int64_t oldest = oldest_of(&d->worker);
    note_oldest(d, oldest);
    oldest = queued < oldest ? queued : oldest;
    if (oldest == INT64_MAX) {
        return er_deadline_in(d->max_age_ms);
    }
    return (er_deadline){oldest + d->max_age_ms * 1000000 + 1};
}
