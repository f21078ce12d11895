/* Which records are delivered next: what is taken from the queue, what was set aside and may go,
 * and what must wait behind that. */
#include "delivery/delivery_priv.h"

/* ---- encoding ---- */

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
    er_settle_reject(d, slot, too_large ? ER_REASON_TOO_LARGE : ER_REASON_ENCODE, err.msg);
    return false;
}

/* ---- cutting ---- */

/* Refills the stage from the queue; false when nothing was there. */
static bool stage(er_delivery *d) {
    er_worker *w = &d->worker;
    if (w->staged_at < w->staged_n) {
        return true;
    }
    w->staged_at = 0;
    w->staged_n = er_queue_take(&d->queue, w->taken, er_worker_size_limit(d));
    for (size_t i = 0; i < w->staged_n; i++) {
        w->staged[i] = (er_batch_slot){.rec = w->taken[i].rec,
                                       .ack = w->taken[i].ack,
                                       .enqueued_ns = w->taken[i].enqueued_ns,
                                       .seq = w->seq++};
        er_buf_init(&w->staged[i].item.body, d->type->item_max);
    }
    return w->staged_n > 0;
}

/* Moves the slot into the batch, or rejects it; false: the batch has no room for its bytes. */
static bool add(er_delivery *d, er_batch *batch, er_batch_slot *slot) {
    if (!encode(d, slot)) {
        return true;
    }
    size_t limit = (size_t)d->settings->batch.bytes;
    if (batch->n > 0 && batch->bytes + slot->item.body.len > limit) {
        return false;
    }
    er_batch_add(batch, slot);
    return true;
}

static bool add_from_aside(er_delivery *d, er_batch *batch, er_aside_target *target) {
    er_aside *a = &d->worker.aside;
    er_batch_slot slot;
    er_aside_take(a, target, &slot);
    if (!add(d, batch, &slot)) {
        er_aside_put(a, target, &slot);
        return false;
    }
    return true;
}

/* A record must not overtake what is set aside for its target. */
static bool add_staged(er_delivery *d, er_batch *batch) {
    er_worker *w = &d->worker;
    er_batch_slot *slot = &w->staged[w->staged_at];
    er_str name;
    er_aside_target *target =
        w->aside.targets_n == 0 ? NULL : er_settle_target(d, slot->rec, &name);
    if (target != NULL) {
        er_settle_aside(d, slot, target);
    } else if (!add(d, batch, slot)) {
        return false;
    }
    w->staged_at++;
    return true;
}

bool er_cut_is_stuck(const er_delivery *d) {
    const er_aside *a = &d->worker.aside;
    return a->targets_n > ER_ASIDE_TARGETS ||
           (d->settings->queue.overflow == ER_OVERFLOW_BLOCK && er_aside_is_over(a));
}

/* Moves records into the batch until a limit is met (true) or none is there: first those of targets
 * that are open again, the oldest first, then what is staged. */
static bool fill(er_delivery *d, er_batch *batch) {
    er_worker *w = &d->worker;
    while (batch->n < er_worker_size_limit(d)) {
        er_aside_target *open = er_aside_oldest(&w->aside, true);
        if (open == NULL && er_cut_is_stuck(d)) {
            return true;
        }
        if (open == NULL && w->staged_at == w->staged_n) {
            return false;
        }
        if (!(open != NULL ? add_from_aside(d, batch, open) : add_staged(d, batch))) {
            return true;
        }
    }
    return true;
}

er_batch *er_cut(er_delivery *d) {
    if (er_aside_oldest(&d->worker.aside, true) == NULL && (er_cut_is_stuck(d) || !stage(d))) {
        return NULL;
    }
    er_batch *batch = er_batch_new();
    batch->turn = ++d->worker.turn;
    er_deadline linger = er_deadline_in(d->settings->batch.linger_ms);
    while (!fill(d, batch)) {
        if (stage(d)) {
            continue;
        }
        if (batch->n == 0 || d->settings->batch.linger_ms == 0 || er_deadline_passed(linger) ||
            er_queue_is_closed(&d->queue) || er_queue_is_given_up(&d->queue)) {
            break;
        }
        er_heart_beat(d->env.heart);
        er_queue_wait(&d->queue, er_deadline_min(linger, er_deadline_in(ER_HEART_PERIOD_MS / 2)));
    }
    if (batch->n == 0) { /* all of it was rejected, or set aside */
        er_batch_free(batch);
        return NULL;
    }
    return batch;
}

/* ---- set aside ---- */

void er_cut_hold_back(er_delivery *d, er_batch *batch) {
    if (d->worker.aside.targets_n == 0) {
        return;
    }
    size_t left = 0;
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_slot slot = batch->v[i];
        er_str name;
        er_aside_target *target = er_settle_target(d, slot.rec, &name);
        if (target == NULL || er_aside_may_go(target, slot.seq)) {
            batch->v[left++] = slot;
            continue;
        }
        batch->bytes -= slot.item.body.len;
        er_settle_aside(d, &slot, target);
    }
    batch->n = left;
}

static void hold_back_work(er_delivery *d) {
    er_batch_list kept = {0};
    er_batch *batch;
    while ((batch = er_batch_list_pop(&d->worker.work)) != NULL) {
        er_cut_hold_back(d, batch);
        if (batch->n == 0) {
            er_batch_free(batch);
        } else {
            er_batch_list_push_back(&kept, batch);
        }
    }
    d->worker.work = kept;
}

static bool has(const er_batch_list *list, uint64_t seq) {
    for (const er_batch *b = list->first; b != NULL; b = b->next) {
        for (size_t i = 0; i < b->n; i++) {
            if (b->v[i].rec != NULL && b->v[i].seq == seq) {
                return true;
            }
        }
    }
    return false;
}

/* A batch of the target's oldest record; NULL: it must wait for the answer to the last one that was
 * tried, or there is none. */
static er_batch *try_target(er_delivery *d, er_aside_target *target) {
    er_worker *w = &d->worker;
    er_aside_wait(target);
    if (has(&w->held, target->tried) || has(&w->work, target->tried)) {
        return NULL;
    }
    hold_back_work(d); /* the oldest may be among what came back */
    if (target->n == 0) {
        target->is_open = true; /* nothing is left of it: it is forgotten */
        return NULL;
    }
    er_batch_slot slot;
    er_aside_take(&w->aside, target, &slot);
    target->tried = slot.seq;
    if (!encode(d, &slot)) {
        return NULL;
    }
    er_batch *batch = er_batch_new();
    er_batch_add(batch, &slot);
    return batch;
}

er_batch *er_cut_try(er_delivery *d) {
    er_aside *a = &d->worker.aside;
    er_batch *batch = NULL;
    for (size_t i = 0; i < a->targets_n && batch == NULL; i++) {
        er_aside_target *target = a->targets[i];
        if (!target->is_open && er_deadline_passed(target->next)) {
            batch = try_target(d, target);
        }
    }
    er_aside_tidy(a);
    return batch;
}
