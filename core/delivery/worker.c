/* The worker: one thread per sink. It cuts batches, has them encoded and delivered, and acts on
 * what the sink says; no sink has a loop, a sleep, a queue or a retry of its own.
 *
 * Concurrency: everything in er_worker belongs to this thread; the queue has its own lock. */
#include "base/json_write.h"
#include "base/log.h"
#include "delivery/delivery_priv.h"

#include <stdlib.h>
#include <string.h>

#define SIZE_LIMIT_MS  (10 * 60 * 1000) /* how long the size that worked after a split holds */
#define HELD_POLL_MS   20               /* a poll with kept items waits this long at the most */
#define IDLE_POLL_MS   1000
#define REJECT_LOG_MAX 8192
#define OPEN_LIMIT_MS  30000

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
}

/* ---- the end of a record ---- */

static void log_rejection(const er_delivery *d, const er_batch_slot *slot) {
    er_buf json;
    er_buf_init(&json, 16u << 20);
    er_record_json(slot->rec, &json);
    er_str text = er_buf_str(&json);
    text.n = er_utf8_cut(text, REJECT_LOG_MAX);
    ER_LOG(ER_LOG_ERROR, "delivery", "record rejected", ER_LS("sink", d->name),
           ER_LS("reason", er_reason_name(slot->reason)), ER_LS("error", slot->text),
           ER_LT("id", slot->rec->id), ER_LT("record", text));
    er_buf_fini(&json);
}

/* Counts and releases one settled slot; its ack is told after the ledger moved. */
static void settle_slot(er_batch_slot *slot, er_ack **acks, size_t *acks_n) {
    if (slot->ack != NULL) {
        acks[(*acks_n)++] = slot->ack;
    }
    er_batch_slot_fini(slot);
}

static void observe_delivery(const er_delivery *d, const er_record *rec, int64_t now_ns) {
    er_histogram_observe(d->metrics.latency, (double)(now_ns - rec->observed_mono_ns) / 1e9);
}

typedef struct tally {
    er_settlement settlement;
    uint64_t rejected, retried, kept;
} tally;

/* Looks at all verdicts: settles what is settled, moves what must be tried again into a batch of
 * its own (returned, NULL when there is none), leaves kept items where they are. */
static er_batch *sweep(er_delivery *d, er_batch *batch, tally *t) {
    batch->is_judged = false;
    er_ack **acks = er_xcalloc(batch->n + 1, sizeof *acks);
    size_t acks_n = 0;
    er_batch *again = NULL;
    int64_t now = er_mono_ns();
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_slot *slot = &batch->v[i];
        if (slot->rec == NULL) {
            continue; /* settled at an earlier sweep */
        }
        switch (slot->verdict) {
        case ER_VERDICT_DELIVERED:
            t->settlement.delivered++;
            batch->taken++;
            observe_delivery(d, slot->rec, now);
            settle_slot(slot, acks, &acks_n);
            break;
        case ER_VERDICT_REJECT:
            er_settlement_reject(&t->settlement, slot->reason, slot->rec);
            t->rejected++;
            log_rejection(d, slot);
            settle_slot(slot, acks, &acks_n);
            break;
        case ER_VERDICT_KEPT:
            t->kept++;
            break;
        case ER_VERDICT_NONE:
        case ER_VERDICT_RETRY:
            again = again == NULL ? er_batch_new() : again;
            er_batch_add(again, slot);
            t->retried++;
            break;
        }
    }
    er_queue_settle(&d->queue, &t->settlement);
    er_acks_settle(acks, acks_n);
    free(acks);
    return again;
}

/* Rejects a record that no batch holds yet. */
static void reject_staged(er_delivery *d, er_batch_slot *slot, er_reason reason, const char *text) {
    slot->reason = reason;
    slot->text = er_dup(text);
    log_rejection(d, slot);
    er_settlement settlement = {0};
    er_settlement_reject(&settlement, reason, slot->rec);
    er_queue_settle(&d->queue, &settlement);
    er_ack *ack = slot->ack;
    er_batch_slot_fini(slot);
    er_acks_settle(&ack, 1);
}

/* ---- the state of the endpoint ---- */

static void set_state(er_delivery *d, er_endpoint state) {
    for (int i = 0; i < 3; i++) {
        er_gauge_set(d->metrics.state[i], (er_endpoint)i == state ? 1 : 0);
    }
    d->state = state;
}

static void endpoint_works(er_delivery *d) {
    er_backoff_reset(&d->worker.backoff);
    if (d->state != ER_ENDPOINT_OK) {
        d->worker.not_before = er_deadline_in(0); /* kept items got through: no need to wait */
        set_state(d, ER_ENDPOINT_OK);
        ER_LOG(ER_LOG_INFO, "delivery", "the sink works again", ER_LS("sink", d->name));
    }
}

static void endpoint_fails(er_delivery *d, er_status status, const er_err *err) {
    er_worker *w = &d->worker;
    bool denied = status == ER_E_DENIED;
    int64_t wait = denied ? er_backoff_slow(&w->backoff, err->retry_after_ms)
                          : er_backoff_next(&w->backoff, err->retry_after_ms);
    w->not_before = er_deadline_in(wait);
    er_endpoint state = denied ? ER_ENDPOINT_DENIED : ER_ENDPOINT_UNAVAILABLE;
    if (d->state != state && status != ER_E_CANCELLED) {
        set_state(d, state);
        ER_LOG(ER_LOG_WARNING, "delivery",
               denied ? "the sink denies us, records are kept and tried slowly"
                      : "the sink is unavailable, records are kept and tried again",
               ER_LS("sink", d->name), ER_LS("error", err->msg), ER_LI("retryInMs", wait));
    }
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
    reject_staged(d, slot, too_large ? ER_REASON_TOO_LARGE : ER_REASON_ENCODE, err.msg);
    return false;
}

/* Moves staged records into the batch until a limit is met (true) or the stage is empty. */
static bool fill(er_delivery *d, er_batch *batch) {
    er_worker *w = &d->worker;
    while (w->staged_at < w->staged_n) {
        if (batch->n >= size_limit(d)) {
            return true;
        }
        er_batch_slot *slot = &w->staged[w->staged_at];
        if (!encode(d, slot)) {
            w->staged_at++;
            continue;
        }
        size_t limit = (size_t)d->settings->batch.bytes;
        if (batch->n > 0 && batch->bytes + slot->item.body.len > limit) {
            return true;
        }
        er_batch_add(batch, slot);
        w->staged_at++;
    }
    return batch->n >= size_limit(d);
}

/* Cuts a batch from what is there, lingering for more as configured. NULL: nothing was there. */
static er_batch *cut(er_delivery *d) {
    if (!stage(d)) {
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
    if (batch->n == 0) { /* all of it was rejected */
        er_batch_free(batch);
        return NULL;
    }
    return batch;
}

/* ---- expiry ---- */

/* Drops what is too old from one batch of ours (never from one that the sink holds). */
static void expire_batch(er_delivery *d, er_batch *batch, int64_t before_ns) {
    size_t left = 0;
    er_settlement settlement = {0};
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_slot slot = batch->v[i];
        if (slot.enqueued_ns >= before_ns) {
            batch->v[left++] = slot;
            continue;
        }
        er_settlement_drop(&settlement, ER_REASON_EXPIRED, slot.rec);
        batch->bytes -= slot.item.body.len;
        er_ack *ack = slot.ack;
        er_batch_slot_fini(&slot);
        er_acks_settle(&ack, 1);
    }
    batch->n = left;
    er_queue_settle(&d->queue, &settlement);
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
        er_batch one = {.v = &w->staged[w->staged_at], .n = 1, .cap = 1};
        one.bytes = one.v[0].item.body.len;
        expire_batch(d, &one, before_ns);
        w->staged_at++;
    }
}

static int64_t oldest_of(const er_delivery *d) {
    const er_worker *w = &d->worker;
    int64_t oldest = INT64_MAX;
    if (w->staged_at < w->staged_n) {
        oldest = w->staged[w->staged_at].enqueued_ns;
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

static void after_delivery(er_delivery *d, er_status status, const tally *t, const er_err *err) {
    er_worker *w = &d->worker;
    if (t->settlement.delivered > 0) {
        er_gauge_set(d->metrics.last_success, (double)er_time_now() / 1e6);
    }
    if (t->retried > 0) {
        er_counter_inc(d->metrics.retries);
    }
    if (status == ER_OK && t->retried == 0) {
        endpoint_works(d);
    } else if (status == ER_OK) {
        /* A bulk service took some and refused others for now. */
        if (t->settlement.delivered > 0) {
            er_backoff_reset(&w->backoff);
        }
        endpoint_fails(d, ER_E_UNAVAILABLE, err);
    } else {
        endpoint_fails(d, status, err);
    }
}

/* One SPLIT: halves, or for a single record the end. */
static void handle_split(er_delivery *d, er_batch *batch, const er_err *err) {
    if (batch->n > 1) {
        split(d, batch);
        return;
    }
    er_batch_judge(batch, 0, ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, err->msg);
    tally t = {0};
    er_batch *again = sweep(d, batch, &t);
    ER_ASSERT(again == NULL);
    d->worker.split_rejected = true;
    er_batch_free(batch);
    split_over(d);
    endpoint_works(d);
}

/* What a batch told about the size that is taken; once nothing of it is kept any more. */
static void note_split(er_worker *w, const er_batch *batch, const tally *t) {
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
    tally t = {0};
    er_batch *again = sweep(d, batch, &t);
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
static bool sweep_held(er_delivery *d, er_batch *batch, er_status status, tally *all) {
    er_worker *w = &d->worker;
    if (!batch->is_judged) {
        return true;
    }
    tally t = {0};
    er_batch *again = sweep(d, batch, &t);
    note_split(w, batch, &t);
    all->retried += t.retried;
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
    tally all = {0};
    er_batch *batch;
    while ((batch = list_pop(&w->held)) != NULL) {
        if (sweep_held(d, batch, status, &all)) {
            list_push_back(&still, batch);
            still_n++;
        }
    }
    w->held = still;
    w->held_n = still_n;
    bool is_news = all.retried + all.rejected + all.settlement.delivered > 0;
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
        endpoint_works(d);
    } else {
        endpoint_fails(d, status, &err);
    }
}

/* ---- the loop ---- */

static bool is_idle(const er_worker *w) {
    return w->work.first == NULL && w->held.first == NULL && w->staged_at == w->staged_n;
}

/* Waits for what comes first: records, the end of a backoff, an expiry, a poll that is due. */
static void wait_for_work(er_delivery *d, er_deadline expiry, bool backed_off) {
    er_worker *w = &d->worker;
    er_deadline until = er_deadline_min(expiry, er_deadline_in(ER_HEART_PERIOD_MS / 2));
    if (backed_off) {
        until = er_deadline_min(until, w->not_before);
    }
    if (d->type->poll != NULL) {
        until = er_deadline_min(until, w->poll_next);
    }
    if (w->held_n > 0 && d->type->poll != NULL) {
        poll_sink(d, er_deadline_min(until, er_deadline_in(HELD_POLL_MS)));
    } else if (backed_off) {
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
    er_batch *batch = NULL;
    if (!backed_off && w->held_n < in_flight_limit(d)) {
        batch = list_pop(&w->work);
        batch = batch == NULL ? cut(d) : batch;
    }
    if (batch != NULL) {
        deliver(d, batch);
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
