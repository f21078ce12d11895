/* Delivery to one sink: a bounded queue, one worker thread, retries, and the ledger.
 *
 * The ledger's six numbers are read under one lock and always balance:
 *   enqueued = delivered + rejected + dropped + queued + in flight
 *
 * Threads: new, start, close, abandon, join, free on main; offer and push on any (streams, main);
 * er_delivery_ledger on any. Ownership: a record given in is referenced, not taken; an ack is told
 * exactly once when nothing is owed any more, from whichever thread settled it, and never after
 * er_delivery_abandon gave a record up. */
#ifndef ER_DELIVERY_DELIVERY_H
#define ER_DELIVERY_DELIVERY_H

#include "sink/batch.h"

typedef struct er_delivery er_delivery;

typedef struct er_ledger {
    uint64_t enqueued; /* every record routed to the sink, before overflow */
    uint64_t delivered;
    uint64_t rejected, rejected_by[ER_REASON_MAX_]; /* the total, and by reason */
    uint64_t dropped, dropped_by[ER_REASON_MAX_];
    /* Of the rejected and dropped, those that were notices: they make no further notice. */
    uint64_t notices_by[ER_REASON_MAX_];
    uint64_t queued;    /* waiting, those that wait for room included */
    uint64_t in_flight; /* taken from the queue and not settled */
} er_ledger;

typedef struct er_delivery_options {
    const char *name; /* borrowed, as are all members */
    const er_sink_type *type;
    const void *config; /* begins with er_sink_settings */
    er_metrics *metrics;
    er_hearts *hearts;
} er_delivery_options;

/* Creates the sink; no I/O. Errors: those of the sink's create, with "sinks.NAME: " before. */
er_status er_delivery_new(const er_delivery_options *options, er_delivery **out, er_err *err);
er_status er_delivery_start(er_delivery *d, er_err *err);

/* Offers a record. The worker may learn of it only with er_delivery_wake, which must follow when no
 * more is to come for now: waking a thread for every record would cost more than the record. True:
 * it was taken, or dropped by policy and counted. False: the queue is full and the policy is block;
 * the record counts as queued from now on and the caller owes an er_delivery_push. ack may be NULL.
 */
bool er_delivery_offer(er_delivery *d, er_record *rec, er_ack *ack);
void er_delivery_wake(er_delivery *d);

typedef enum er_push { ER_PUSH_TAKEN, ER_PUSH_FULL, ER_PUSH_GIVEN_UP } er_push;
/* Waits for room until the deadline, after a refused offer. FULL: call again. GIVEN_UP: after
 * er_delivery_abandon; the record stays counted as queued and its ack is never told. */
er_push er_delivery_push(er_delivery *d, er_record *rec, er_ack *ack, er_deadline until);

/* Takes the record only if there is room, whatever the policy; false: nothing happened. */
bool er_delivery_try(er_delivery *d, er_record *rec);

void er_delivery_ledger(er_delivery *d, er_ledger *out);
const char *er_delivery_name(const er_delivery *d);

/* No linger any more: what is queued leaves at once. */
void er_delivery_close(er_delivery *d);
/* Cancels transfers, ends waits, stops the worker. What is not settled stays in the ledger as
 * queued or in flight. */
void er_delivery_abandon(er_delivery *d);
void er_delivery_join(er_delivery *d);
void er_delivery_free(er_delivery *d); /* after join, or never started */

#endif
