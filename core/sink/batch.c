#include "sink/batch.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 512

/* In runs: a stream's tracker takes its lock once for all of them. */
void er_acks_settle(er_ack **acks, size_t n) {
    for (size_t from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && acks[from] != NULL && acks[to] != NULL &&
                            acks[to]->settled == acks[from]->settled;) {
            to++;
        }
        if (acks[from] != NULL) {
            acks[from]->settled(acks + from, to - from);
        }
    }
}

er_batch *er_batch_new(void) {
    return er_xcalloc(1, sizeof(er_batch));
}

void er_batch_slot_fini(er_batch_slot *slot) {
    er_record_unref(slot->rec);
    er_buf_fini(&slot->item.body);
    free(slot->text);
    *slot = (er_batch_slot){0};
}

void er_batch_free(er_batch *batch) {
    if (batch == NULL) {
        return;
    }
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_slot_fini(&batch->v[i]);
    }
    free(batch->v);
    free(batch);
}

void er_batch_add(er_batch *batch, er_batch_slot *slot) {
    if (batch->n == batch->cap) {
        batch->cap = batch->cap == 0 ? 16 : batch->cap * 2;
        batch->v = realloc(batch->v, batch->cap * sizeof *batch->v);
        ER_ASSERT(batch->v != NULL); /* bounded by batch.records */
    }
    free(slot->text);
    slot->text = NULL;
    slot->verdict = ER_VERDICT_NONE;
    slot->reason = ER_REASON_NONE;
    batch->bytes += slot->item.body.len;
    batch->v[batch->n++] = *slot;
    *slot = (er_batch_slot){0};
}

void er_batch_rewind(er_batch *batch) {
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_judge(batch, i, ER_VERDICT_NONE, ER_REASON_NONE, NULL);
    }
}

size_t er_batch_len(const er_batch *batch) {
    return batch->n;
}

const er_item *er_batch_item(const er_batch *batch, size_t i) {
    ER_ASSERT(i < batch->n);
    return &batch->v[i].item;
}

const er_record *er_batch_record(const er_batch *batch, size_t i) {
    ER_ASSERT(i < batch->n);
    return batch->v[i].rec;
}

er_verdict er_batch_verdict(const er_batch *batch, size_t i) {
    ER_ASSERT(i < batch->n);
    return batch->v[i].verdict;
}

void er_batch_judge(er_batch *batch, size_t i, er_verdict verdict, er_reason reason,
                    const char *text) {
    ER_ASSERT(i < batch->n);
    er_batch_slot *slot = &batch->v[i];
    batch->is_judged = true;
    slot->verdict = verdict;
    slot->reason = reason;
    free(slot->text);
    slot->text = text == NULL ? NULL : er_str_dup((er_str){text, strnlen(text, TEXT_MAX)});
}

void er_batch_judge_all(er_batch *batch, er_verdict verdict, er_reason reason, const char *text) {
    for (size_t i = 0; i < batch->n; i++) {
        er_batch_judge(batch, i, verdict, reason, text);
    }
}
