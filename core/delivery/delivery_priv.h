/* What delivery.c and worker.c share: one sink's queue, its worker's state, its metrics. */
#ifndef ER_DELIVERY_DELIVERY_PRIV_H
#define ER_DELIVERY_DELIVERY_PRIV_H

#include "base/backoff.h"
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
    er_batch_list work; /* cut, to be delivered, in the order of the queue */
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
    er_endpoint state; /* the worker's */
    er_thread thread;
    bool has_thread;
    _Atomic int64_t oldest_ns; /* the oldest record not settled, as the worker last saw it */
    struct {
        er_counter *enqueued, *delivered, *rejected[ER_REASON_MAX_], *dropped[ER_REASON_MAX_];
        er_counter *retries;
        er_gauge *queue_records, *queue_bytes, *in_flight, *oldest_age, *last_success;
        er_gauge *state[3];
        er_histogram *latency, *batch_records;
    } metrics;
};

void *er_worker_run(void *delivery);
void er_worker_init(er_delivery *d);
void er_worker_fini(er_delivery *d);

#endif
