/* The inside of an er_batch, for the worker in core/delivery and for tests; sinks use sink.h.
 *
 * Slots stay where they are while a batch is with a sink: the sink may keep (batch, i).
 * Threads: the sink's own. */
#ifndef ER_SINK_BATCH_H
#define ER_SINK_BATCH_H

#include "sink/sink.h"

/* Told once, when delivery owes nothing more for one record at one sink: delivered, rejected, or
 * dropped. NULL members of slots are allowed (notices). */
typedef struct er_ack er_ack;
struct er_ack {
    void (*settled)(er_ack **acks, size_t n); /* n acks with this function, at once */
};
/* Tells each of n acks; NULLs are passed over. The array is used up. */
void er_acks_settle(er_ack **acks, size_t n);

typedef struct er_batch_slot {
    er_record *rec; /* one reference; NULL once settled or moved away */
    er_ack *ack;
    er_item item;
    int64_t enqueued_ns; /* er_mono_ns */
    uint64_t seq;        /* in the order of the queue */
    er_verdict verdict;
    er_reason reason;
    char *text; /* why, owned; NULL: nothing said */
} er_batch_slot;

struct er_batch {
    er_batch *next; /* the worker's lists */
    uint64_t turn; /* counts batches as they are cut; 0: the one record that is tried of a target */
    er_batch_slot *v;
    size_t n, cap;
    size_t bytes;   /* of the items */
    size_t taken;   /* records of it that were delivered, at all sweeps so far */
    bool is_judged; /* something was, since the last sweep */
};

er_batch *er_batch_new(void);
void er_batch_free(er_batch *batch); /* frees what is left in the slots */
/* Moves slot's content in and leaves it empty; verdict is cleared. */
void er_batch_add(er_batch *batch, er_batch_slot *slot);
/* Releases record, item and text of one slot. */
void er_batch_slot_fini(er_batch_slot *slot);
/* Clears all verdicts, before a delivery. */
void er_batch_rewind(er_batch *batch);

#endif
