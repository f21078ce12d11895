#include "delivery/queue.h"

#include <stdlib.h>

#define WAKE_AT 64 /* records; a waiting worker is woken for fewer only by er_queue_wake */

void er_queue_init(er_queue *q, const er_sink_settings *settings) {
    *q = (er_queue){
        .cap = (size_t)settings->queue.records,
        .bytes_max = (size_t)settings->queue.bytes,
        .overflow = (er_overflow)settings->queue.overflow,
    };
    q->ring = er_xcalloc(q->cap, sizeof *q->ring);
    er_mutex_init(&q->lock);
    er_cond_init(&q->filled);
    er_cond_init(&q->emptied);
}

void er_queue_fini(er_queue *q) {
    for (size_t i = 0; i < q->n; i++) {
        er_record_unref(q->ring[(q->head + i) % q->cap].rec);
    }
    free(q->ring);
    er_cond_fini(&q->filled);
    er_cond_fini(&q->emptied);
    er_mutex_fini(&q->lock);
}

/* A record larger than the byte limit is taken when the queue is empty. */
static bool has_room_locked(const er_queue *q, const er_record *rec) {
    return q->n == 0 ||
           (q->n + q->aside_n < q->cap && q->bytes + q->aside_bytes + rec->bytes <= q->bytes_max);
}

static void append_locked(er_queue *q, er_record *rec, er_ack *ack) {
    q->ring[(q->head + q->n) % q->cap] = (er_queue_entry){er_record_ref(rec), ack, er_mono_ns()};
    q->n++;
    q->bytes += rec->bytes;
}

static void wake_locked(er_queue *q) {
    if (q->worker_waits) {
        q->worker_waits = false;
        er_cond_signal(&q->filled);
    }
}

static er_queue_entry pop_locked(er_queue *q) {
    er_queue_entry entry = q->ring[q->head];
    q->head = (q->head + 1) % q->cap;
    q->n--;
    q->bytes -= entry.rec->bytes;
    return entry;
}

/* Outside of the lock: an ack takes locks of its own. */
static void forget(const er_queue_entry *entry) {
    er_ack *ack = entry->ack;
    er_acks_settle(&ack, 1);
    er_record_unref(entry->rec);
}

static void count_drop_locked(er_queue *q, er_reason reason, const er_record *rec) {
    q->ledger.dropped++;
    q->ledger.dropped_by[reason]++;
    q->ledger.notices_by[reason] += rec->kind == ER_KIND_NOTICE;
}

bool er_queue_offer(er_queue *q, er_record *rec, er_ack *ack) {
    er_lock(&q->lock);
    while (q->overflow == ER_OVERFLOW_DROP_OLDEST && !has_room_locked(q, rec)) {
        er_queue_entry oldest = pop_locked(q);
        count_drop_locked(q, ER_REASON_QUEUE_FULL, oldest.rec);
        er_unlock(&q->lock);
        forget(&oldest);
        er_lock(&q->lock);
    }
    q->ledger.enqueued++; /* not before: the lock was left */
    bool is_taken = true;
    bool is_dropped = false;
    if (has_room_locked(q, rec)) {
        append_locked(q, rec, ack);
        if (q->n >= WAKE_AT) {
            wake_locked(q);
        }
    } else if (q->overflow == ER_OVERFLOW_DROP_NEWEST) {
        count_drop_locked(q, ER_REASON_QUEUE_FULL, rec);
        is_dropped = true;
    } else {
        q->waiting++;
        is_taken = false;
        wake_locked(q);
    }
    er_unlock(&q->lock);
    if (is_dropped) {
        er_acks_settle(&ack, 1);
    }
    return is_taken;
}

void er_queue_wake(er_queue *q) {
    er_lock(&q->lock);
    if (q->n > 0) {
        wake_locked(q);
    }
    er_unlock(&q->lock);
}

er_push er_queue_push(er_queue *q, er_record *rec, er_ack *ack, er_deadline until) {
    er_lock(&q->lock);
    bool in_time = true;
    while (!q->given_up && !has_room_locked(q, rec) && in_time) {
        in_time = er_cond_wait_until(&q->emptied, &q->lock, until);
    }
    er_push result = ER_PUSH_FULL;
    if (q->given_up) {
        result = ER_PUSH_GIVEN_UP;
    } else if (has_room_locked(q, rec)) {
        q->waiting--;
        append_locked(q, rec, ack);
        wake_locked(q);
        result = ER_PUSH_TAKEN;
    }
    er_unlock(&q->lock);
    return result;
}

bool er_queue_try(er_queue *q, er_record *rec) {
    er_lock(&q->lock);
    /* A worker with nothing left to do may have ended. */
    bool has_ended = q->given_up || (q->closed && q->n == 0);
    bool fits = !has_ended && has_room_locked(q, rec);
    if (fits) {
        q->ledger.enqueued++;
        append_locked(q, rec, NULL);
        wake_locked(q);
    }
    er_unlock(&q->lock);
    return fits;
}

size_t er_queue_take(er_queue *q, er_queue_entry *out, size_t max) {
    er_lock(&q->lock);
    size_t n = q->n < max ? q->n : max;
    for (size_t i = 0; i < n; i++) {
        out[i] = pop_locked(q);
    }
    q->ledger.in_flight += n;
    if (n > 0 && q->waiting > 0) {
        er_cond_broadcast(&q->emptied);
    }
    er_unlock(&q->lock);
    return n;
}

void er_queue_set_aside(er_queue *q, size_t n, size_t bytes) {
    er_lock(&q->lock);
    q->aside_n = n;
    q->aside_bytes = bytes;
    if (q->waiting > 0) {
        er_cond_broadcast(&q->emptied);
    }
    er_unlock(&q->lock);
}

void er_queue_wait(er_queue *q, er_deadline until) {
    er_lock(&q->lock);
    bool in_time = true;
    while (q->n == 0 && !q->closed && !q->given_up && in_time) {
        q->worker_waits = true;
        in_time = er_cond_wait_until(&q->filled, &q->lock, until);
    }
    q->worker_waits = false;
    er_unlock(&q->lock);
}

void er_queue_rest(er_queue *q, bool is_closing, er_deadline until) {
    er_lock(&q->lock);
    bool in_time = true;
    while (!q->given_up && (is_closing || !q->closed) && in_time) {
        in_time = er_cond_wait_until(&q->filled, &q->lock, until);
    }
    er_unlock(&q->lock);
}

int64_t er_queue_expire(er_queue *q, int64_t before_ns) {
    er_lock(&q->lock);
    while (q->n > 0 && q->ring[q->head].enqueued_ns < before_ns) {
        er_queue_entry entry = pop_locked(q);
        count_drop_locked(q, ER_REASON_EXPIRED, entry.rec);
        if (q->waiting > 0) {
            er_cond_broadcast(&q->emptied);
        }
        er_unlock(&q->lock);
        forget(&entry);
        er_lock(&q->lock);
    }
    int64_t oldest = q->n > 0 ? q->ring[q->head].enqueued_ns : INT64_MAX;
    er_unlock(&q->lock);
    return oldest;
}

int64_t er_queue_oldest(er_queue *q) {
    return er_queue_expire(q, INT64_MIN);
}

bool er_queue_is_closed(er_queue *q) {
    er_lock(&q->lock);
    bool is_over = q->closed && q->n == 0 && q->waiting == 0;
    er_unlock(&q->lock);
    return is_over;
}

static bool look(er_queue *q, const bool *flag) {
    er_lock(&q->lock);
    bool is_set = *flag;
    er_unlock(&q->lock);
    return is_set;
}

bool er_queue_is_closing(er_queue *q) {
    return look(q, &q->closed);
}

bool er_queue_is_given_up(er_queue *q) {
    return look(q, &q->given_up);
}

static void set_and_wake(er_queue *q, bool *flag) {
    er_lock(&q->lock);
    *flag = true;
    er_cond_broadcast(&q->filled);
    er_cond_broadcast(&q->emptied);
    er_unlock(&q->lock);
}

void er_queue_close(er_queue *q) {
    set_and_wake(q, &q->closed);
}

void er_queue_give_up(er_queue *q) {
    set_and_wake(q, &q->given_up);
}

void er_settlement_reject(er_settlement *s, er_reason reason, const er_record *rec) {
    s->rejected_by[reason]++;
    s->notices_by[reason] += rec->kind == ER_KIND_NOTICE;
}

void er_settlement_drop(er_settlement *s, er_reason reason, const er_record *rec) {
    s->dropped_by[reason]++;
    s->notices_by[reason] += rec->kind == ER_KIND_NOTICE;
}

void er_queue_settle(er_queue *q, const er_settlement *s) {
    er_lock(&q->lock);
    er_ledger *ledger = &q->ledger;
    uint64_t settled = s->delivered;
    ledger->delivered += s->delivered;
    for (size_t i = 0; i < ER_REASON_MAX_; i++) {
        ledger->rejected += s->rejected_by[i];
        ledger->rejected_by[i] += s->rejected_by[i];
        ledger->dropped += s->dropped_by[i];
        ledger->dropped_by[i] += s->dropped_by[i];
        ledger->notices_by[i] += s->notices_by[i];
        settled += s->rejected_by[i] + s->dropped_by[i];
    }
    ER_ASSERT(ledger->in_flight >= settled);
    ledger->in_flight -= settled;
    er_unlock(&q->lock);
}

void er_queue_ledger(er_queue *q, er_ledger *out, size_t *bytes) {
    er_lock(&q->lock);
    *out = q->ledger;
    out->queued = q->n + q->waiting;
    if (bytes != NULL) {
        *bytes = q->bytes;
    }
    er_unlock(&q->lock);
}
