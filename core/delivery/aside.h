/* Records that are set aside: the peer refuses them for where they go (a topic that is missing, an
 * index that is blocked), while it takes others.
 *
 * A target is what er_sink_type.target names. All records for one that is refused wait here, in the
 * order of the queue; now and then the oldest of them is tried. Once one was delivered, the target
 * is open: its records leave before those that came later, and it is forgotten with the last.
 *
 * Limits: ER_ASIDE_TARGETS targets, half of the queue's records and of its bytes. What is in flight
 * when they are met is set aside all the same: past them nothing is to be taken from the queue.
 * Threads: the worker's own. Ownership: slots are moved in and out. */
#ifndef ER_DELIVERY_ASIDE_H
#define ER_DELIVERY_ASIDE_H

#include "base/backoff.h"
#include "sink/batch.h"

#define ER_ASIDE_TARGETS 64

typedef struct er_aside_target {
    char *name;
    er_batch_slot *v; /* n slots from head on, by seq */
    size_t head, n, cap;
    bool is_open;
    int64_t since_ns, said_ns; /* er_mono_ns: refused, and told to people; said_ns 0: not yet */
    er_backoff backoff;
    er_deadline next; /* when one of its records is tried */
    uint64_t tried;   /* the seq of the last that was; UINT64_MAX: none */
} er_aside_target;

typedef struct er_aside {
    er_aside_target **targets; /* in no order */
    size_t targets_n, targets_cap;
    size_t n, bytes; /* records, and their bytes */
    size_t n_max, bytes_max;
    int64_t retry_initial_ms, retry_max_ms;
} er_aside;

void er_aside_init(er_aside *a, const er_sink_settings *settings);
void er_aside_fini(er_aside *a);

/* NULL: none of that name. */
er_aside_target *er_aside_find(const er_aside *a, er_str name);
er_aside_target *er_aside_new(er_aside *a, er_str name);
/* Refused again. */
void er_aside_shut(er_aside_target *target);
/* Past a limit; a single record, however large, is not. */
bool er_aside_is_over(const er_aside *a);
/* Moves the slot in and leaves it empty. What was encoded is given up. */
void er_aside_put(er_aside *a, er_aside_target *target, er_batch_slot *slot);
/* Moves the oldest one out, or the newest. */
void er_aside_take(er_aside *a, er_aside_target *target, er_batch_slot *out);
void er_aside_take_newest(er_aside *a, er_aside_target *target, er_batch_slot *out);
/* The target with the oldest record, of all or of those that are open; NULL: there is none. */
er_aside_target *er_aside_oldest(const er_aside *a, bool is_open);
/* Whether a record that came back may be delivered: the target is open, and has nothing older. */
bool er_aside_may_go(const er_aside_target *target, uint64_t seq);
/* Forgets targets that are open and have no record any more. */
void er_aside_tidy(er_aside *a);

/* Arms the target's next attempt. */
void er_aside_wait(er_aside_target *target);
/* All are due now. */
void er_aside_hurry(er_aside *a);
/* When the next attempt is due; ER_DEADLINE_NEVER: none is. */
er_deadline er_aside_next(const er_aside *a);

#endif
