/* The ack tracker of one stream: how far everything is settled.
 *
 * A slot stands for a frame (or a whole list) that gave records. It owes one answer to the watch
 * thread itself, given back after the last push, plus one per (record, sink): so it cannot settle
 * half-built. A slot holds the last version lower than its own; the resume point is that of the
 * oldest open slot, or the last version when none is open. Frames with nothing to send open no
 * slot. Memory: open slots only, so it is bounded by the queues.
 *
 * Threads: one stream opens slots and moves the last version; any thread settles; any reads. */
#ifndef ER_WATCH_TRACKER_H
#define ER_WATCH_TRACKER_H

#include "kube/kube.h"
#include "sink/batch.h"
#include "watch/memory.h"

typedef struct er_tracker er_tracker;
typedef struct er_slot er_slot;

er_tracker *er_tracker_new(void);
/* Waits for nobody: slots that are still open are freed with it, so all sinks must have ended. */
void er_tracker_free(er_tracker *t);

/* Opens a slot for what comes at version (empty: a list or a gap record, at the last version). It
 * owes one answer. */
er_slot *er_tracker_open(er_tracker *t, er_str version);
/* n more answers are owed; before the records are offered. */
void er_slot_owe(er_slot *slot, unsigned n);
/* What a sink's queue is given; each is told once. */
er_ack *er_slot_ack(er_slot *slot);
/* The watch thread's own answer. The slot must not be used after it. */
void er_slot_give_back(er_slot *slot);

/* What is remembered of an object has changed by the frame of slot, or by one that opened none
 * (NULL). The blob becomes part of what is stored when everything up to that frame is settled:
 * until then it waits at the slot, or at the newest one that is open. Takes one reference. */
void er_tracker_remember(er_tracker *t, er_slot *slot, er_blob *blob);

/* The stream has received everything up to version. */
void er_tracker_advance(er_tracker *t, er_str version);
/* At `until` there was nothing above the last version: the stream is known complete up to then. A
 * slot keeps what was known when it was opened, as its frame may have been written at any time
 * since. */
void er_tracker_complete(er_tracker *t, er_time until);
/* The store went back: versions start anew at version (that of the new list), slots opened before
 * no longer hold the resume point, and what was remembered is void. */
void er_tracker_rewind(er_tracker *t, er_str version);

/* The last version received; "" before the first. The stream's own thread only. */
er_str er_tracker_last(const er_tracker *t);
/* The resume point; "" when there is none yet. Returns up to when a stream that starts again there
 * is known complete; ER_TIME_NONE: not known. */
er_time er_tracker_resume(er_tracker *t, char out[ER_VERSION_MAX]);
/* The same, and moves to out what has changed up to there and was not taken yet. clears: everything
 * that was stored before is void. */
er_time er_tracker_take(er_tracker *t, char version[ER_VERSION_MAX], er_blobs *out, bool *clears);
/* What came of what was taken: it was stored, or comes again, as older than what has come since.
 * Empties taken. */
void er_tracker_taken(er_tracker *t, er_blobs *taken, bool clears, bool stored);
/* The blob was found in the store at the start. Takes one reference. */
void er_tracker_found(er_tracker *t, er_blob *blob);
/* What is stored is lost: all of it comes again. */
void er_tracker_store_anew(er_tracker *t);
size_t er_tracker_open_slots(er_tracker *t);
/* When the oldest slot that holds the resume point was opened; ER_TIME_NONE when none is open. */
er_time er_tracker_oldest(er_tracker *t);

#endif
