/* Batches in the order in which they were cut. */
#include "delivery/delivery_priv.h"

void er_batch_list_push_back(er_batch_list *list, er_batch *batch) {
    batch->next = NULL;
    if (list->last == NULL) {
        list->first = batch;
    } else {
        list->last->next = batch;
    }
    list->last = batch;
}

static bool is_before(const er_batch *a, const er_batch *b) {
    return a->turn != b->turn ? a->turn < b->turn : a->v[0].seq < b->v[0].seq;
}

void er_batch_list_insert(er_batch_list *list, er_batch *batch) {
    er_batch **at = &list->first;
    while (*at != NULL && is_before(*at, batch)) {
        at = &(*at)->next;
    }
    batch->next = *at;
    *at = batch;
    if (batch->next == NULL) {
        list->last = batch;
    }
}

er_batch *er_batch_list_pop(er_batch_list *list) {
    er_batch *batch = list->first;
    if (batch != NULL) {
        list->first = batch->next;
        if (list->first == NULL) {
            list->last = NULL;
        }
        batch->next = NULL;
    }
    return batch;
}

void er_batch_list_free(er_batch_list *list) {
    er_batch *batch;
    while ((batch = er_batch_list_pop(list)) != NULL) {
        er_batch_free(batch);
    }
}
