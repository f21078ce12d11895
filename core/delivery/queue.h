/* The bounded queue of one sink and its ledger, under one lock.
 *
 * Threads: any; the take functions are the worker's. */
#ifndef ER_DELIVERY_QUEUE_H
#define ER_DELIVERY_QUEUE_H

#include "delivery/delivery.h"

typedef struct er_queue_entry {
    er_record *rec;
    er_ack *ack;
    int64_t enqueued_ns;
} er_queue_entry;

typedef struct er_queue {
    er_mutex lock; /* everything below */
    er_cond filled, emptied;
    er_queue_entry *ring;
    size_t cap, head, n;
    size_t bytes, bytes_max;
    size_t aside_n, aside_bytes; /* they take room here, though they are in flight */
    er_overflow overflow;
    bool worker_waits, closed, given_up;
    unsigned waiting; /* records whose push waits for room */
    er_ledger ledger; /* queued is n + waiting, filled when it is read */
} er_queue;

void er_queue_init(er_queue *q, const er_sink_settings *settings);
void er_queue_fini(er_queue *q);

/* Wakes the worker only once some records are there: er_queue_wake follows. */
bool er_queue_offer(er_queue *q, er_record *rec, er_ack *ack);
void er_queue_wake(er_queue *q);
er_push er_queue_push(er_queue *q, er_record *rec, er_ack *ack, er_deadline until);
bool er_queue_try(er_queue *q, er_record *rec);

/* Takes up to max entries; they are in flight from now on. */
size_t er_queue_take(er_queue *q, er_queue_entry *out, size_t max);
/* What is set aside from now on. */
void er_queue_set_aside(er_queue *q, size_t n, size_t bytes);
/* Waits until there is something to take, the queue is closed or given up, or until. */
void er_queue_wait(er_queue *q, er_deadline until);
/* Waits until given up, closed (unless the caller knows of that), or until. */
void er_queue_rest(er_queue *q, bool is_closing, er_deadline until);
/* Drops entries enqueued before this moment; returns when the oldest left was enqueued, INT64_MAX
 * when none is. */
int64_t er_queue_expire(er_queue *q, int64_t before_ns);
/* When the oldest entry was enqueued, INT64_MAX when none is there. */
int64_t er_queue_oldest(er_queue *q);

bool er_queue_is_closed(er_queue *q);  /* closed, empty, and nobody waits for room */
bool er_queue_is_closing(er_queue *q); /* closed, and perhaps not empty yet */
bool er_queue_is_given_up(er_queue *q);
void er_queue_close(er_queue *q);
void er_queue_give_up(er_queue *q);

/* Moves in-flight records to their end, in one step. */
typedef struct er_settlement {
    uint64_t delivered;
    uint64_t rejected_by[ER_REASON_MAX_], dropped_by[ER_REASON_MAX_];
    uint64_t notices_by[ER_REASON_MAX_]; /* of both, those that were notices */
} er_settlement;
void er_settlement_reject(er_settlement *s, er_reason reason, const er_record *rec);
void er_settlement_drop(er_settlement *s, er_reason reason, const er_record *rec);
void er_queue_settle(er_queue *q, const er_settlement *settlement);
void er_queue_ledger(er_queue *q, er_ledger *out, size_t *bytes);

#endif
