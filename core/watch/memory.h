/* What a stream remembers of objects between frames.
 *
 * It exists twice: in the stream as of the last frame read, and in the store as of the resume
 * point. On the way from one to the other a change waits at a slot of the tracker: the newest blob
 * of each object, so that one which changes a thousand times behind a sink that hangs costs one
 * blob.
 *
 * Threads: a set belongs to one thread, or to who holds the lock it is under; blobs are immutable
 * and may be held by any. */
#ifndef ER_WATCH_MEMORY_H
#define ER_WATCH_MEMORY_H

#include "base/str.h"

#include <stdatomic.h>

/* One object's memory; immutable. */
typedef struct er_blob {
    atomic_uint refs;
    bool is_forgotten; /* the object has gone: bytes is empty */
    er_str uid, bytes;
} er_blob;
/* bytes.p NULL: to be forgotten. One reference. */
er_blob *er_blob_new(er_str uid, er_str bytes);
er_blob *er_blob_ref(er_blob *blob);
void er_blob_unref(er_blob *blob); /* NULL is allowed */

/* A set of blobs by uid. Zeroed memory is an empty one. */
typedef struct er_blobs {
    er_blob **v; /* open addressing; NULL: free */
    size_t n, cap;
} er_blobs;
void er_blobs_fini(er_blobs *set);
er_blob *er_blobs_get(const er_blobs *set, er_str uid); /* borrowed; NULL: none */
/* Takes one reference; in place of an older blob of that uid. */
void er_blobs_put(er_blobs *set, er_blob *blob);
void er_blobs_remove(er_blobs *set, er_str uid);
/* What is in newer goes into older, in place of what is there; newer is empty after. */
void er_blobs_merge(er_blobs *older, er_blobs *newer);

#endif
