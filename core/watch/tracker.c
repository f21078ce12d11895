#include "watch/tracker.h"

#include <stdlib.h>
#include <string.h>

#define TRIM_MIN 64

struct er_slot {
    er_ack ack; /* first: an er_ack * is its er_slot * */
    er_tracker *tracker;
    er_slot *prev, *next; /* in the order of opening */
    atomic_uint owed;
    bool is_stale; /* opened before the store was rewound */
    er_time opened, complete_until;
    er_blobs updates; /* what its frame, and settled ones behind it, have changed */
    char lower[ER_VERSION_MAX];
};

struct er_tracker {
    er_mutex lock; /* the list, and the versions for readers */
    er_slot *oldest, *newest;
    size_t open_n;
    char last[ER_VERSION_MAX];
    char before_last[ER_VERSION_MAX]; /* the last version lower than last */
    er_time complete_until;
    er_blobs ready; /* may be stored with the resume point */
    bool clears;    /* and everything stored before is void */
    bool is_taken;  /* some of it is being stored */
    size_t trim_at; /* see trim_locked */
    er_blobs stored;
};

static void copy_version(char out[ER_VERSION_MAX], er_str version) {
    size_t n = version.n < ER_VERSION_MAX ? version.n : ER_VERSION_MAX - 1;
    if (n > 0) {
        memcpy(out, version.p, n);
    }
    out[n] = '\0';
}

er_tracker *er_tracker_new(void) {
    er_tracker *t = er_xcalloc(1, sizeof *t);
    t->complete_until = ER_TIME_NONE;
    t->trim_at = TRIM_MIN;
    er_mutex_init(&t->lock);
    return t;
}

void er_tracker_free(er_tracker *t) {
    if (t == NULL) {
        return;
    }
    while (t->oldest != NULL) {
        er_slot *next = t->oldest->next;
        er_blobs_fini(&t->oldest->updates);
        free(t->oldest);
        t->oldest = next;
    }
    er_blobs_fini(&t->ready);
    er_blobs_fini(&t->stored);
    er_mutex_fini(&t->lock);
    free(t);
}

static er_slot *slot_of(er_ack *ack) {
    return (er_slot *)(void *)ack;
}

static void gather(er_blobs *out, const er_blobs *from, const er_blobs *wanted) {
    for (size_t i = 0; i < from->cap; i++) {
        if (from->v[i] != NULL && er_blobs_get(wanted, from->v[i]->uid) != NULL) {
            er_blobs_put(out, er_blob_ref(from->v[i]));
        }
    }
}

/* What waits at slot (NULL: is ready) without what came and went since the last write: it must not
 * add up behind a sink that hangs, or a store that cannot be written. */
static void trim_locked(er_tracker *t, const er_slot *slot, er_blobs *set) {
    if (set->n < t->trim_at || t->is_taken) {
        return;
    }
    er_blobs older = {0};
    if (slot != NULL) {
        gather(&older, &t->ready, set);
        for (slot = slot->prev; slot != NULL && !slot->is_stale; slot = slot->prev) {
            gather(&older, &slot->updates, set);
        }
    }
    er_blobs kept = {0};
    for (size_t i = 0; i < set->cap; i++) {
        const er_blob *blob = set->v[i];
        bool is_stored = blob != NULL && !t->clears && er_blobs_get(&t->stored, blob->uid) != NULL;
        if (blob != NULL &&
            (!blob->is_forgotten || is_stored || er_blobs_get(&older, blob->uid) != NULL)) {
            er_blobs_put(&kept, er_blob_ref(set->v[i]));
        }
    }
    er_blobs_fini(&older);
    er_blobs_fini(set);
    *set = kept;
    t->trim_at = kept.n * 2 < TRIM_MIN ? TRIM_MIN : kept.n * 2;
}

/* Merging further back would let a crash repeat a record with another difference. */
static void unlink_locked(er_tracker *t, er_slot *slot) {
    er_slot *holder = slot->prev != NULL && !slot->prev->is_stale ? slot->prev : NULL;
    er_blobs *into = holder == NULL ? &t->ready : &holder->updates;
    er_blobs_merge(into, &slot->updates);
    trim_locked(t, holder, into);
    *(slot->prev == NULL ? &t->oldest : &slot->prev->next) = slot->next;
    *(slot->next == NULL ? &t->newest : &slot->next->prev) = slot->prev;
    t->open_n--;
}

/* A batch mostly comes from one stream: its lock is taken once, not once a record. */
static void settled(er_ack **acks, size_t n) {
    size_t done = 0; /* slots that nobody owes anything any more, in front */
    for (size_t i = 0; i < n; i++) {
        er_slot *slot = slot_of(acks[i]);
        if (atomic_fetch_sub_explicit(&slot->owed, 1, memory_order_acq_rel) == 1) {
            acks[done++] = acks[i];
        }
    }
    for (size_t i = 0; i < done;) {
        er_tracker *t = slot_of(acks[i])->tracker;
        er_lock(&t->lock);
        for (; i < done && slot_of(acks[i])->tracker == t; i++) {
            unlink_locked(t, slot_of(acks[i]));
        }
        er_unlock(&t->lock);
    }
    for (size_t i = 0; i < done; i++) {
        free(acks[i]);
    }
}

er_slot *er_tracker_open(er_tracker *t, er_str version) {
    er_slot *slot = er_xcalloc(1, sizeof *slot);
    slot->ack.settled = settled;
    slot->tracker = t;
    slot->opened = er_time_now();
    atomic_init(&slot->owed, 1);
    er_lock(&t->lock);
    /* Several frames may share one version: a crash after the first must bring back all of them. */
    bool shares = version.n > 0 && er_str_eqc(version, t->last);
    memcpy(slot->lower, shares ? t->before_last : t->last, ER_VERSION_MAX);
    slot->complete_until = t->complete_until;
    slot->prev = t->newest;
    *(t->newest == NULL ? &t->oldest : &t->newest->next) = slot;
    t->newest = slot;
    t->open_n++;
    er_unlock(&t->lock);
    return slot;
}

void er_slot_owe(er_slot *slot, unsigned n) {
    (void)atomic_fetch_add_explicit(&slot->owed, n, memory_order_relaxed);
}

er_ack *er_slot_ack(er_slot *slot) {
    return &slot->ack;
}

void er_slot_give_back(er_slot *slot) {
    er_ack *ack = &slot->ack;
    settled(&ack, 1);
}

void er_tracker_remember(er_tracker *t, er_slot *slot, er_blob *blob) {
    er_lock(&t->lock);
    if (slot == NULL && t->newest != NULL && !t->newest->is_stale) {
        slot = t->newest;
    }
    er_blobs *set = slot == NULL ? &t->ready : &slot->updates;
    er_blobs_put(set, blob);
    trim_locked(t, slot, set);
    er_unlock(&t->lock);
}

void er_tracker_advance(er_tracker *t, er_str version) {
    if (er_str_eqc(version, t->last)) {
        return;
    }
    er_lock(&t->lock);
    memcpy(t->before_last, t->last, ER_VERSION_MAX);
    copy_version(t->last, version);
    er_unlock(&t->lock);
}

void er_tracker_complete(er_tracker *t, er_time until) {
    er_lock(&t->lock);
    t->complete_until = until;
    er_unlock(&t->lock);
}

void er_tracker_rewind(er_tracker *t, er_str version) {
    er_lock(&t->lock);
    for (er_slot *slot = t->oldest; slot != NULL; slot = slot->next) {
        slot->is_stale = true;
        er_blobs_fini(&slot->updates);
    }
    er_blobs_fini(&t->ready);
    t->clears = true;
    t->before_last[0] = '\0';
    copy_version(t->last, version);
    er_unlock(&t->lock);
}

er_str er_tracker_last(const er_tracker *t) {
    return er_str_of(t->last);
}

/* The slot that holds the resume point; NULL: none does. */
static const er_slot *holder_locked(const er_tracker *t) {
    const er_slot *slot = t->oldest;
    while (slot != NULL && slot->is_stale) {
        slot = slot->next;
    }
    return slot;
}

er_time er_tracker_oldest(er_tracker *t) {
    er_lock(&t->lock);
    const er_slot *slot = holder_locked(t);
    er_time opened = slot == NULL ? ER_TIME_NONE : slot->opened;
    er_unlock(&t->lock);
    return opened;
}

static er_time resume_locked(const er_tracker *t, char out[ER_VERSION_MAX]) {
    const er_slot *slot = holder_locked(t);
    memcpy(out, slot == NULL ? t->last : slot->lower, ER_VERSION_MAX);
    return slot == NULL ? t->complete_until : slot->complete_until;
}

er_time er_tracker_resume(er_tracker *t, char out[ER_VERSION_MAX]) {
    er_lock(&t->lock);
    er_time until = resume_locked(t, out);
    er_unlock(&t->lock);
    return until;
}

er_time er_tracker_take(er_tracker *t, char version[ER_VERSION_MAX], er_blobs *out, bool *clears) {
    er_lock(&t->lock);
    er_time until = resume_locked(t, version);
    *out = t->ready;
    t->ready = (er_blobs){0};
    *clears = t->clears;
    t->clears = false;
    t->is_taken = true;
    er_unlock(&t->lock);
    return until;
}

static void keep_stored_locked(er_tracker *t, er_blobs *taken) {
    for (size_t i = 0; i < taken->cap; i++) {
        er_blob *blob = taken->v[i];
        taken->v[i] = NULL;
        if (blob != NULL && blob->is_forgotten) {
            er_blobs_remove(&t->stored, blob->uid);
            er_blob_unref(blob);
        } else if (blob != NULL) {
            er_blobs_put(&t->stored, blob);
        }
    }
    er_blobs_fini(taken);
}

void er_tracker_taken(er_tracker *t, er_blobs *taken, bool clears, bool stored) {
    er_lock(&t->lock);
    t->is_taken = false;
    if (stored) {
        if (clears) {
            er_blobs_fini(&t->stored);
        }
        keep_stored_locked(t, taken);
    } else if (t->clears) { /* void by now */
        er_blobs_fini(taken);
    } else {
        er_blobs_merge(taken, &t->ready);
        t->ready = *taken;
        *taken = (er_blobs){0};
        t->clears = clears;
    }
    er_unlock(&t->lock);
}

void er_tracker_found(er_tracker *t, er_blob *blob) {
    er_lock(&t->lock);
    er_blobs_put(&t->stored, blob);
    er_unlock(&t->lock);
}

void er_tracker_store_anew(er_tracker *t) {
    er_lock(&t->lock);
    if (!t->clears) {
        er_blobs_merge(&t->stored, &t->ready);
        t->ready = t->stored;
        t->stored = (er_blobs){0};
        t->clears = true;
    }
    er_unlock(&t->lock);
}

size_t er_tracker_open_slots(er_tracker *t) {
    er_lock(&t->lock);
    size_t n = t->open_n;
    er_unlock(&t->lock);
    return n;
}
