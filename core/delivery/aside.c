#include "delivery/aside.h"

#include <stdlib.h>
#include <string.h>

/* Half of the queue's limits: what waits here takes room from those that can go on, and must leave
 * some. */
void er_aside_init(er_aside *a, const er_sink_settings *settings) {
    *a = (er_aside){.n_max = ((size_t)settings->queue.records + 1) / 2,
                    .bytes_max = ((size_t)settings->queue.bytes + 1) / 2,
                    .retry_initial_ms = settings->retry.initial_ms,
                    .retry_max_ms = settings->retry.max_ms};
}

static void free_target(er_aside_target *target) {
    for (size_t i = 0; i < target->n; i++) {
        er_batch_slot_fini(&target->v[target->head + i]);
    }
    free(target->v);
    free(target->name);
    free(target);
}

void er_aside_fini(er_aside *a) {
    for (size_t i = 0; i < a->targets_n; i++) {
        free_target(a->targets[i]);
    }
    free(a->targets);
    *a = (er_aside){0};
}

er_aside_target *er_aside_find(const er_aside *a, er_str name) {
    for (size_t i = 0; i < a->targets_n; i++) {
        if (er_str_eqc(name, a->targets[i]->name)) {
            return a->targets[i];
        }
    }
    return NULL;
}

er_aside_target *er_aside_new(er_aside *a, er_str name) {
    if (a->targets_n == a->targets_cap) {
        a->targets_cap = a->targets_cap == 0 ? 8 : a->targets_cap * 2;
        a->targets = realloc(a->targets, a->targets_cap * sizeof(er_aside_target *));
        ER_ASSERT(a->targets != NULL); /* bounded by what is in flight */
    }
    er_aside_target *target = er_xcalloc(1, sizeof *target);
    target->name = er_str_dup(name);
    target->tried = UINT64_MAX;
    er_backoff_init(&target->backoff, a->retry_initial_ms, a->retry_max_ms);
    er_aside_shut(target);
    a->targets[a->targets_n++] = target;
    return target;
}

void er_aside_shut(er_aside_target *target) {
    target->is_open = false;
    target->since_ns = er_mono_ns();
    target->said_ns = 0;
    er_aside_wait(target);
}

bool er_aside_is_over(const er_aside *a) {
    return a->n > 1 && (a->n > a->n_max || a->bytes > a->bytes_max);
}

/* Makes room for one more behind the last. */
static void reserve(er_aside_target *t) {
    if (t->head + t->n < t->cap) {
        return;
    }
    if (t->head > t->cap / 2) {
        memmove(t->v, t->v + t->head, t->n * sizeof *t->v);
    } else {
        t->cap = t->cap == 0 ? 16 : t->cap * 2;
        er_batch_slot *larger = er_xcalloc(t->cap, sizeof *larger);
        if (t->n > 0) {
            memcpy(larger, t->v + t->head, t->n * sizeof *larger);
        }
        free(t->v);
        t->v = larger;
    }
    t->head = 0;
}

void er_aside_put(er_aside *a, er_aside_target *t, er_batch_slot *slot) {
    size_t item_max = slot->item.body.max;
    er_buf_fini(&slot->item.body);
    er_buf_init(&slot->item.body, item_max);
    a->n++;
    a->bytes += slot->rec->bytes;
    if (t->head > 0 && t->n > 0 && slot->seq < t->v[t->head].seq) { /* it was tried again */
        t->head--;
        t->n++;
        t->v[t->head] = *slot;
        *slot = (er_batch_slot){0};
        return;
    }
    reserve(t);
    size_t at = t->head + t->n;
    while (at > t->head && t->v[at - 1].seq > slot->seq) {
        t->v[at] = t->v[at - 1];
        at--;
    }
    t->v[at] = *slot;
    t->n++;
    *slot = (er_batch_slot){0};
}

void er_aside_take(er_aside *a, er_aside_target *t, er_batch_slot *out) {
    ER_ASSERT(t->n > 0);
    *out = t->v[t->head++];
    t->n--;
    a->n--;
    a->bytes -= out->rec->bytes;
}

void er_aside_take_newest(er_aside *a, er_aside_target *t, er_batch_slot *out) {
    ER_ASSERT(t->n > 0);
    *out = t->v[t->head + --t->n];
    a->n--;
    a->bytes -= out->rec->bytes;
}

er_aside_target *er_aside_oldest(const er_aside *a, bool is_open) {
    er_aside_target *oldest = NULL;
    for (size_t i = 0; i < a->targets_n; i++) {
        er_aside_target *t = a->targets[i];
        bool is_older = t->n > 0 && (t->is_open || !is_open) &&
                        (oldest == NULL || t->v[t->head].seq < oldest->v[oldest->head].seq);
        oldest = is_older ? t : oldest;
    }
    return oldest;
}

bool er_aside_may_go(const er_aside_target *t, uint64_t seq) {
    return t->is_open && (t->n == 0 || seq < t->v[t->head].seq);
}

void er_aside_tidy(er_aside *a) {
    for (size_t i = a->targets_n; i-- > 0;) {
        if (a->targets[i]->is_open && a->targets[i]->n == 0) {
            free_target(a->targets[i]);
            a->targets[i] = a->targets[--a->targets_n];
        }
    }
}

void er_aside_wait(er_aside_target *target) {
    target->next = er_deadline_in(er_backoff_slow(&target->backoff, 0));
}

void er_aside_hurry(er_aside *a) {
    for (size_t i = 0; i < a->targets_n; i++) {
        a->targets[i]->next = er_deadline_in(0);
    }
}

er_deadline er_aside_next(const er_aside *a) {
    er_deadline next = ER_DEADLINE_NEVER;
    for (size_t i = 0; i < a->targets_n; i++) {
        next = a->targets[i]->is_open ? next : er_deadline_min(next, a->targets[i]->next);
    }
    return next;
}
