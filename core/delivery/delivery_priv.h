/* What the files of delivery share: one sink's queue, its worker's state, its metrics.
 *
 *   delivery.c  life, and the ledger in the metrics
 *   queue.c     the bounded queue
 *   worker.c    the loop: delivers, splits
 *   cut.c       which records are delivered next
 *   expire.c    what is too old
 *   settle.c    what becomes of records
 *   batch_list.c
 *   endpoint.c  the state of the endpoint
 *   aside.c     records whose target is refused */
#ifndef ER_DELIVERY_DELIVERY_PRIV_H
#define ER_DELIVERY_DELIVERY_PRIV_H

#include "delivery/aside.h"
#include "delivery/queue.h"

typedef enum er_endpoint {
    ER_ENDPOINT_OK,
    ER_ENDPOINT_UNAVAILABLE,
    ER_ENDPOINT_DENIED
} er_endpoint;

typedef struct er_batch_list {
    er_batch *first, *last;
} er_batch_list;

/* The worker's own; no other thread looks at it but where it says atomic. */
typedef struct er_worker {
    er_batch_slot *staged; /* taken from the queue, not yet in a batch */
    er_queue_entry *taken;
    size_t staged_at, staged_n;
    uint64_t seq;       /* of the next record taken */
    uint64_t turn;      /* of the batch last cut */
    er_batch_list work; /* cut, to be delivered, in the order of the cuts */
    er_batch_list held; /* with kept items */
    size_t held_n;
    er_backoff backoff;
    er_deadline not_before; /* backed off until then */
    size_t size_limit;      /* records a batch; below batch.records after a split that worked */
    er_deadline size_limit_until;
    size_t split_worked; /* while parts of a split batch are left: the largest that was taken */
    bool is_split, split_rejected;
    er_deadline poll_next;
    bool is_open;
    er_aside aside;
    size_t noted_n, noted_bytes; /* of aside, as the queue knows it */
    bool is_stuck;               /* that nothing more may be set aside was told */
    bool is_closing;
    er_buf target; /* the name last asked for */
} er_worker;

struct er_delivery {
    char *name;
    const er_sink_type *type;
    const er_sink_settings *settings;
    int64_t max_age_ms; /* 0: never */
    void *self;         /* the sink */
    er_sink_env env;
    er_cancel cancel;
    er_queue queue;
    er_worker worker;
    er_endpoint state, shown; /* the worker's, as are these */
    int64_t away_ns;          /* er_mono_ns: when the state was last left OK */
    int64_t said_ns;          /* when the present trouble was last told */
    er_thread thread;
    bool has_thread;
    _Atomic int64_t oldest_ns; /* the oldest record not settled, as the worker last saw it */
    struct {
        er_counter *enqueued, *delivered, *rejected[ER_REASON_MAX_], *dropped[ER_REASON_MAX_];
        er_counter *retries;
        er_gauge *queue_records, *queue_bytes, *in_flight, *oldest_age, *last_success;
        er_gauge *state[3], *set_aside;
        er_histogram *latency, *batch_records;
    } metrics;
};

void *er_worker_run(void *delivery);
void er_worker_init(er_delivery *d);
void er_worker_fini(er_delivery *d);

/* Most records of a batch, at present. */
size_t er_worker_size_limit(er_delivery *d);

/* ---- batch_list.c ---- */

void er_batch_list_push_back(er_batch_list *list, er_batch *batch);
/* By turn; what has the same, by its first record: halves, and parts that came back. */
void er_batch_list_insert(er_batch_list *list, er_batch *batch);
er_batch *er_batch_list_pop(er_batch_list *list); /* NULL: empty */
void er_batch_list_free(er_batch_list *list);

/* ---- cut.c ---- */

/* Cuts a batch from what is there, lingering for more as configured. NULL: nothing was there. */
er_batch *er_cut(er_delivery *d);
/* Nothing is taken from the queue until something that is set aside was settled. */
bool er_cut_is_stuck(const er_delivery *d);
/* Sets aside what of the batch must not be delivered yet; may leave it empty. */
void er_cut_hold_back(er_delivery *d, er_batch *batch);
/* One record of a refused target whose time has come; NULL: none. Forgets targets that nothing is
 * left of. */
er_batch *er_cut_try(er_delivery *d);

/* ---- expire.c ---- */

/* Gives up what is older than retry.maxAge; the deadline is when the next record gets there. */
er_deadline er_expire(er_delivery *d);

/* ---- settle.c ---- */

/* What a sweep found. */
typedef struct er_tally {
    er_settlement settlement;
    uint64_t rejected, retried, kept, aside;
} er_tally;

/* Looks at all verdicts: settles what is settled, sets aside what is, moves what must be tried
 * again into a batch of its own (returned, NULL when there is none), leaves kept items where they
 * are. */
er_batch *er_settle_sweep(er_delivery *d, er_batch *batch, er_tally *t);
/* The end of a record that is in no batch. */
void er_settle_reject(er_delivery *d, er_batch_slot *slot, er_reason reason, const char *text);
void er_settle_drop(er_delivery *d, er_batch_slot *slot, er_reason reason);
/* What is set aside for the target of rec; NULL: nothing. name: valid until the next call. */
er_aside_target *er_settle_target(er_delivery *d, const er_record *rec, er_str *name);
/* Sets the slot aside. Past the limits it drops by policy, unless that is block. */
void er_settle_aside(er_delivery *d, er_batch_slot *slot, er_aside_target *target);

/* ---- endpoint.c ---- */

void er_endpoint_works(er_delivery *d);
/* err: why, and when to come again. */
void er_endpoint_fails(er_delivery *d, er_status status, const er_err *err);
/* One target of it: tells people, once in a while. */
void er_endpoint_refuses(er_delivery *d, er_aside_target *target, const char *why);
void er_endpoint_takes(er_delivery *d, er_aside_target *target);
/* Brings the metric up to date: denied, too, while single targets are refused. Tells people when
 * nothing more can be set aside. */
void er_endpoint_show(er_delivery *d);

#endif
