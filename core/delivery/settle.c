/* What becomes of records: delivered, rejected, dropped, set aside, or tried again. */
#include "base/log.h"
#include "delivery/delivery_priv.h"

#include <stdlib.h>

#define REJECT_LOG_MAX 8192

static void log_rejection(const er_delivery *d, const er_batch_slot *slot) {
    er_buf json;
    er_buf_init(&json, 16u << 20);
    er_record_json(slot->rec, &json);
    er_str text = er_buf_str(&json);
    text.n = er_utf8_cut(text, REJECT_LOG_MAX);
    ER_LOG(ER_LOG_ERROR, "delivery", "record rejected", ER_LS("sink", d->name),
           ER_LS("reason", er_reason_name(slot->reason)), ER_LS("error", slot->text),
           ER_LT("id", slot->rec->id), ER_LT("record", text));
    er_buf_fini(&json);
}

/* Counts and releases one slot; its ack is told after the ledger moved. */
static void settle_one(er_delivery *d, er_batch_slot *slot, const er_settlement *settlement) {
    er_queue_settle(&d->queue, settlement);
    er_ack *ack = slot->ack;
    er_batch_slot_fini(slot);
    er_acks_settle(&ack, 1);
}

void er_settle_reject(er_delivery *d, er_batch_slot *slot, er_reason reason, const char *text) {
    slot->reason = reason;
    slot->text = er_dup(text);
    log_rejection(d, slot);
    er_settlement settlement = {0};
    er_settlement_reject(&settlement, reason, slot->rec);
    settle_one(d, slot, &settlement);
}

void er_settle_drop(er_delivery *d, er_batch_slot *slot, er_reason reason) {
    er_settlement settlement = {0};
    er_settlement_drop(&settlement, reason, slot->rec);
    settle_one(d, slot, &settlement);
}

/* ---- setting aside ---- */

er_aside_target *er_settle_target(er_delivery *d, const er_record *rec, er_str *name) {
    er_worker *w = &d->worker;
    er_buf_clear(&w->target);
    d->type->target(d->self, rec, &w->target);
    *name = er_buf_str(&w->target);
    return er_aside_find(&w->aside, *name);
}

void er_settle_aside(er_delivery *d, er_batch_slot *slot, er_aside_target *target) {
    er_aside *a = &d->worker.aside;
    er_aside_put(a, target, slot);
    while (d->settings->queue.overflow != ER_OVERFLOW_BLOCK && er_aside_is_over(a)) {
        er_batch_slot out;
        if (d->settings->queue.overflow == ER_OVERFLOW_DROP_OLDEST) {
            er_aside_take(a, er_aside_oldest(a, false), &out);
        } else {
            er_aside_take_newest(a, target, &out);
        }
        er_settle_drop(d, &out, ER_REASON_QUEUE_FULL);
    }
}

/* The sink has just refused this record's target. */
static void refuse(er_delivery *d, er_batch_slot *slot) {
    er_str name;
    er_aside_target *target = er_settle_target(d, slot->rec, &name);
    if (target == NULL) {
        target = er_aside_new(&d->worker.aside, name);
    } else if (target->is_open) {
        er_aside_shut(target);
    }
    char *why = slot->text;
    slot->text = NULL;
    er_settle_aside(d, slot, target);
    er_endpoint_refuses(d, target, why);
    free(why);
}

/* What was tried of a target, and told nothing, is tried again as soon as something may be. */
static bool put_back(er_delivery *d, er_batch_slot *slot) {
    er_str name;
    er_aside_target *target = er_settle_target(d, slot->rec, &name);
    if (target != NULL) {
        target->next = er_deadline_in(0);
        er_settle_aside(d, slot, target);
    }
    return target != NULL;
}

/* ---- after a delivery ---- */

static void take(er_delivery *d, const er_record *rec, int64_t now_ns) {
    er_histogram_observe(d->metrics.latency, (double)(now_ns - rec->observed_mono_ns) / 1e9);
    er_str name;
    er_aside_target *target =
        d->worker.aside.targets_n == 0 ? NULL : er_settle_target(d, rec, &name);
    if (target != NULL) {
        er_endpoint_takes(d, target);
    }
}

er_batch *er_settle_sweep(er_delivery *d, er_batch *batch, er_tally *t) {
    batch->is_judged = false;
    er_ack **acks = er_xcalloc(batch->n + 1, sizeof *acks);
    size_t acks_n = 0;
    er_batch *again = NULL;
    int64_t now = er_mono_ns();
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_slot *slot = &batch->v[i];
        if (slot->rec == NULL) {
            continue; /* settled at an earlier sweep */
        }
        switch (slot->verdict) {
        case ER_VERDICT_DELIVERED:
            t->settlement.delivered++;
            batch->taken++;
            take(d, slot->rec, now);
            acks[acks_n++] = slot->ack;
            er_batch_slot_fini(slot);
            break;
        case ER_VERDICT_REJECT:
            er_settlement_reject(&t->settlement, slot->reason, slot->rec);
            t->rejected++;
            log_rejection(d, slot);
            acks[acks_n++] = slot->ack;
            er_batch_slot_fini(slot);
            break;
        case ER_VERDICT_KEPT:
            t->kept++;
            break;
        case ER_VERDICT_ASIDE:
            t->aside++;
            refuse(d, slot);
            break;
        case ER_VERDICT_NONE:
        case ER_VERDICT_RETRY:
            t->retried++;
            if (batch->turn == 0 && put_back(d, slot)) {
                break;
            }
            again = again == NULL ? er_batch_new() : again;
            again->turn = batch->turn;
            er_batch_add(again, slot);
            break;
        }
    }
    er_queue_settle(&d->queue, &t->settlement);
    er_acks_settle(acks, acks_n);
    free(acks);
    er_aside_tidy(&d->worker.aside);
    return again;
}
