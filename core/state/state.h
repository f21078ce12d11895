/* The keeper of resume points: reads them once at the start, then collects them from the streams
 * and writes what changed.
 *
 * The stored point trails what is settled, never the other way round. A store that cannot be opened
 * or written costs repeats after a restart; it stops nothing and is said by log, metrics and
 * /readyz. One that another router has is waited for.
 *
 * Threads: new, add, start, stop, free on main; wait, get and write_now on any stream's thread;
 * sources are asked on the keeper's own thread. Ownership: sources and settings are borrowed. */
#ifndef ER_STATE_STATE_H
#define ER_STATE_STATE_H

#include "base/metrics.h"
#include "base/thread.h"
#include "config/config.h"
#include "state/point.h"

typedef enum er_state_kind { ER_STATE_AUTO, ER_STATE_NONE, ER_STATE_SQLITE } er_state_kind;

typedef struct er_state_settings { /* state: */
    int store;                     /* er_state_kind */
    char *path;
    int64_t interval_ms;
} er_state_settings;
extern const er_field er_state_rows[];
er_status er_state_check(const void *settings, er_err *err); /* for check_struct */
bool er_state_is_kept(const er_state_settings *settings);

typedef struct er_state er_state;

/* One object: key is its uid; value's p NULL: to be forgotten. At most 1 MiB. */
typedef struct er_state_change {
    er_str key, value;
} er_state_change;

/* What is to be stored of a stream beside its point: the objects that it remembers. */
typedef struct er_state_changes {
    bool clears;        /* first: everything that was stored of them goes */
    er_state_change *v; /* borrowed until done */
    size_t n;
} er_state_changes;

/* A stream, as the keeper sees it. */
typedef struct er_state_source {
    const char *name; /* "events", "events/NAMESPACE" */
    void *arg;
    /* What is to be stored now, in one transaction; false: nothing to say yet. Must not wait. done
     * follows, in the same round, with what came of it. */
    bool (*collect)(void *arg, er_point *out, er_state_changes *changes);
    void (*done)(void *arg, er_state_changes *changes, bool written);
    /* The file may be another one: everything that is stored must come again, with a clear. */
    void (*anew)(void *arg);
} er_state_source;

/* False: nothing is kept, so nothing need be gathered. */
bool er_state_is_keeping(const er_state *state);

er_state *er_state_new(const er_state_settings *settings, er_metrics *metrics);
void er_state_add(er_state *state, const er_state_source *source);
er_status er_state_start(er_state *state, er_err *err);

/* Waits until the store was read or given up; false: cancelled. A store that does not answer is
 * waited for 10 s, one that another router has for ever. */
bool er_state_wait(er_state *state, er_cancel *cancel, er_heart *heart);

typedef enum er_stored {
    ER_STORED_NOTHING, /* nothing is kept, or this is the first start */
    ER_STORED_POINT,   /* *out was stored; RESUME or LIST */
    ER_STORED_LOST,    /* there was a store, but nothing usable in it for this stream */
} er_stored;
er_stored er_state_get(er_state *state, const char *name, er_point *out);

/* Tells each object that was stored of the stream, once, after a POINT that is used: then they are
 * dropped here; object NULL: only dropped. The stream's own thread. */
void er_state_objects(er_state *state, const char *name,
                      void (*object)(void *arg, er_str key, er_str value), void *arg);

/* 32 random bytes, made with the store and kept in it, for hashes that must not be guessed; without
 * a store made anew at each start. After er_state_wait. */
#define ER_STATE_KEY_BYTES 32
er_str er_state_key(const er_state *state);

/* Has all sources collected and written now; false: not by then. */
bool er_state_write_now(er_state *state, er_deadline until);

/* For /readyz: true once the store was opened or given up. */
bool er_state_ready(void *state, er_buf *text);

/* Writes what is left, once all sources have come to their end, within the limit. */
void er_state_stop(er_state *state, int64_t limit_ms);
/* False: its thread hangs in the file system, and what it uses (sources, metrics) must stay. */
bool er_state_free(er_state *state);

#endif
