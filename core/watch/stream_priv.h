/* What the files of a stream share. All of it belongs to the stream's thread unless said. */
#ifndef ER_WATCH_STREAM_PRIV_H
#define ER_WATCH_STREAM_PRIV_H

#include "base/backoff.h"
#include "base/json_read.h"
#include "record/event.h"
#include "watch/totals.h"
#include "watch/watch.h"

typedef enum er_list_cause {
    ER_LIST_START,    /* nothing is known: no gap */
    ER_LIST_EXPIRED,  /* 410: versions after the last are gone from the history */
    ER_LIST_REWOUND,  /* the store went back */
    ER_LIST_ERRORS,   /* ERROR 500 three times in a row: as expired */
    ER_LIST_NO_STATE, /* there was a resume point, and it is lost: everything is emitted */
} er_list_cause;

typedef enum er_next { ER_NEXT_LIST, ER_NEXT_PROBE, ER_NEXT_WATCH } er_next;

/* What /readyz?verbose says; any thread may read it. */
typedef enum er_stage {
    ER_STAGE_CONNECTING,
    ER_STAGE_LISTING,
    ER_STAGE_WATCHING,
    ER_STAGE_BACKOFF
} er_stage;

typedef enum er_restart_reason {
    ER_RESTART_END,     /* a clean end */
    ER_RESTART_EXPIRED, /* 410 */
    ER_RESTART_HTTP,    /* another status, or an ERROR frame */
    ER_RESTART_NETWORK, /* transport */
    ER_RESTART_IDLE,    /* silence */
    ER_RESTART_REASONS_,
} er_restart_reason;

typedef enum er_frame_type {
    ER_FRAME_ADDED,
    ER_FRAME_MODIFIED,
    ER_FRAME_DELETED,
    ER_FRAME_BOOKMARK,
    ER_FRAME_ERROR,
    ER_FRAME_UNKNOWN,
    ER_FRAME_TYPES_,
} er_frame_type;

struct er_stream {
    er_stream_options options;
    char *name, *path;
    er_thread thread;
    bool has_thread;
    er_cancel cancel; /* any thread */
    er_heart *heart;
    atomic_bool answered, ended;
    _Atomic int stage; /* er_stage */

    er_kube_client *client;
    er_kube_query query;
    const char *selector; /* the one of the two that the resource has; "": none */
    er_tracker *tracker;  /* has its own lock */
    er_totals *totals;    /* Events only */
    void *made;           /* what looks need; NULL: nothing */
    er_blobs memory;      /* of the others: each object as of the last frame read */
    er_blobs taken;       /* the keeper's thread: being stored */
    bool taken_clears;
    er_json_doc doc;
    er_route_scratch *scratch;
    er_emitter emitter;
    er_counter **blocked;
    const char *cluster, *cluster_id; /* from the identity, before the first record */

    er_mutex point_lock; /* point, is_begun: read by the keeper's thread */
    er_point point;      /* what is stored while the tracker has no resume point of its own */
    bool is_begun;
    size_t looked_records; /* made by looks; the list counts its own */
    uint64_t round;        /* of lists, for workload metrics */
    bool shows_gap;        /* the list under way shows that versions were missed */

    er_next next;
    er_list_cause list_cause;
    er_backoff backoff;
    er_time complete_until; /* known complete up to here; ER_TIME_NONE: never was */
    unsigned gone_in_row, errors_in_row, unauthorized_in_row, forbidden_in_row;
    bool gives_up; /* a push was given up: the program ends */

    /* gap numbering */
    char gap_from[ER_VERSION_MAX];
    unsigned gap_n;

    /* the watch under way */
    er_time watch_began;
    er_time waited_at;          /* when nothing more was readable; ER_TIME_NONE: not yet */
    uint64_t last_uid;          /* hash of the uid of the last record made from a frame */
    er_kube_answer error_frame; /* outcome other than OK: the ERROR frame that ended it */

    struct {
        er_counter *frames[ER_FRAME_TYPES_], *stale;
        er_counter *restarts[ER_RESTART_REASONS_];
        er_counter *lists_ok, *lists_failed, *list_items, *decode_errors, *truncated;
        er_counter *expired_quiet;
        er_gauge *connected, *last_activity, *unsettled, *resume_lag;
        er_histogram *lag;
    } metrics;
};

/* stream_metrics.c */
void er_stream_make_metrics(er_stream *s);
er_counter *er_stream_gap_counter(er_stream *s, const char *cause);

/* frame.c: one line of a watch. False: stop reading. */
bool er_stream_frame(er_stream *s, char *line, size_t n);
/* Emits the Event in object. slot: the running list's, or NULL for a frame; added: the frame was
 * ADDED. Errors: the object is no usable Event. */
er_status er_stream_emit_event(er_stream *s, const er_json *object, er_slot *slot, bool added,
                               bool recovered, er_err *err);
/* Seals and emits; false: no memory for the record. */
bool er_stream_emit(er_stream *s, er_draft *draft, er_slot *slot, er_str version);
/* Emits a gap record after the last version; to_version may be empty. */
void er_stream_emit_gap(er_stream *s, er_slot *slot, const char *cause, er_str from_version,
                        er_str to_version, er_time from_time, int64_t recovered);
/* A frame or item was skipped: counts, says and records it. */
void er_stream_skipped(er_stream *s, er_slot *slot, const char *cause, const char *detail);

/* object.c: what is remembered. One look at an object, or at one that has gone (NULL): emits what
 * changed and remembers it. slot: the running list's, or NULL for a frame of version. Errors: the
 * object is not usable. */
er_status er_stream_look(er_stream *s, er_sight sight, const er_json *object, er_str uid,
                         er_slot *slot, er_str version, er_err *err);
/* What is remembered from before the start, for metrics. */
void er_stream_recall(er_stream *s, er_str memory);
/* The frame's part of it. */
void er_stream_object_frame(er_stream *s, er_frame_type type, const er_json *object);
/* At the end of a list: `seen` holds the uids of its last attempt. compares: those that are missing
 * have gone, and it is said; else they are forgotten. Returns how many. */
size_t er_stream_forget_unseen(er_stream *s, const er_blobs *seen, bool compares, er_slot *slot);

/* list.c: lists everything and emits it as the cause demands. False: it was cancelled. */
bool er_stream_list(er_stream *s);

/* resume.c: what is stored of the stream. */
/* Decides how to begin, from what was stored; the cluster is known. */
void er_stream_begin(er_stream *s);
/* The stream is known complete up to `until`. */
void er_stream_complete(er_stream *s, er_time until);
/* The store was rewound behind the last version: no version counts any more, and a start from here
 * on lists everything. Written before it returns, if that takes no longer than 2 s. */
void er_stream_mark_rewound(er_stream *s);

/* stream.c */
/* Waits before another attempt; false when cancelled. */
bool er_stream_pause(er_stream *s, int64_t wait_ms);
/* How long to wait after a failed request of any kind: says it, counts in a row, reads the token
 * again after 401. */
int64_t er_stream_failed(er_stream *s, const char *what, const er_kube_answer *answer);
/* A request went well: what was counted in a row starts anew. */
void er_stream_worked(er_stream *s);
/* The API server has said something, whatever it was: for watch_last_activity. */
void er_stream_heard(er_stream *s);
/* A frame came: the server was serving this watch when its thread last waited, so the stream is
 * complete up to then. */
void er_stream_served(er_stream *s);
bool er_stream_stopping(const er_stream *s);

#endif
