#include "watch/memory.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

er_blob *er_blob_new(er_str uid, er_str bytes) {
    er_blob *blob = er_xcalloc(1, sizeof *blob + uid.n + bytes.n);
    char *to = (char *)(blob + 1);
    atomic_init(&blob->refs, 1);
    blob->is_forgotten = bytes.p == NULL;
    if (uid.p != NULL && uid.n > 0) {
        memcpy(to, uid.p, uid.n);
    }
    if (bytes.p != NULL && bytes.n > 0) {
        memcpy(to + uid.n, bytes.p, bytes.n);
    }
    blob->uid = (er_str){to, uid.n};
    blob->bytes = (er_str){to + uid.n, bytes.n};
    return blob;
}

er_blob *er_blob_ref(er_blob *blob) {
    (void)atomic_fetch_add_explicit(&blob->refs, 1, memory_order_relaxed);
    return blob;
}

void er_blob_unref(er_blob *blob) {
    if (blob != NULL && atomic_fetch_sub_explicit(&blob->refs, 1, memory_order_acq_rel) == 1) {
        free(blob);
    }
}

void er_blobs_fini(er_blobs *set) {
    for (size_t i = 0; i < set->cap; i++) {
        er_blob_unref(set->v[i]);
    }
    free(set->v);
    *set = (er_blobs){0};
}

/* Where the uid is, or where it would go; cap > n. */
static size_t place(const er_blobs *set, er_str uid) {
    size_t at = er_hash(ER_HASH_SEED, uid.p, uid.n) & (set->cap - 1);
    while (set->v[at] != NULL && !er_str_eq(set->v[at]->uid, uid)) {
        at = (at + 1) & (set->cap - 1);
    }
    return at;
}

er_blob *er_blobs_get(const er_blobs *set, er_str uid) {
    return set->n == 0 ? NULL : set->v[place(set, uid)];
}

static void grow(er_blobs *set) {
    er_blobs larger = {.cap = set->cap == 0 ? 2 : set->cap * 2};
    larger.v = er_xcalloc(larger.cap, sizeof(er_blob *));
    for (size_t i = 0; i < set->cap; i++) {
        if (set->v[i] != NULL) {
            larger.v[place(&larger, set->v[i]->uid)] = set->v[i];
            larger.n++;
        }
    }
    free(set->v);
    *set = larger;
}

void er_blobs_put(er_blobs *set, er_blob *blob) {
    if ((set->n + 1) * 4 > set->cap * 3) {
        grow(set);
    }
    size_t at = place(set, blob->uid);
    set->n += set->v[at] == NULL;
    er_blob_unref(set->v[at]);
    set->v[at] = blob;
}

/* What stands behind the hole may have been pushed there by it: moved back, so that no mark of
 * something removed is needed. */
static void close_hole(er_blobs *set, size_t hole) {
    for (size_t at = (hole + 1) & (set->cap - 1); set->v[at] != NULL;
         at = (at + 1) & (set->cap - 1)) {
        er_blob *blob = set->v[at];
        set->v[at] = NULL;
        set->v[place(set, blob->uid)] = blob;
    }
}

void er_blobs_remove(er_blobs *set, er_str uid) {
    size_t at = set->n == 0 ? 0 : place(set, uid);
    if (set->n == 0 || set->v[at] == NULL) {
        return;
    }
    er_blob_unref(set->v[at]);
    set->v[at] = NULL;
    set->n--;
    close_hole(set, at);
}

void er_blobs_merge(er_blobs *older, er_blobs *newer) {
    bool swaps = older->n < newer->n; /* the smaller one is moved */
    er_blobs *from = swaps ? older : newer;
    er_blobs *to = swaps ? newer : older;
    for (size_t i = 0; i < from->cap; i++) {
        er_blob *blob = from->v[i];
        from->v[i] = NULL;
        if (blob != NULL && swaps && er_blobs_get(to, blob->uid) != NULL) {
            er_blob_unref(blob);
        } else if (blob != NULL) {
            er_blobs_put(to, blob);
        }
    }
    free(from->v);
    er_blobs result = *to;
    *from = (er_blobs){0};
    *to = (er_blobs){0};
    *older = result;
}
