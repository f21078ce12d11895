/* The resume point of a stream: how a start goes on from what was stored, and what is stored.
 *
 * Concurrency: `point` is under point_lock; the tracker has its own lock, taken inside of it. */
#include "base/log.h"
#include "watch/stream_priv.h"

#include <stdlib.h>
#include <string.h>

#define MARK_MS 2000 /* how long a rewind waits for the store */

/* ---- at the start ---- */

static void set_text(char *out, size_t size, const char *text) {
    size_t n = strlen(text);
    n = n < size ? n : size - 1;
    memcpy(out, text, n);
    out[n] = '\0';
}

/* Why what was stored cannot be used; NULL: it can. */
static const char *unusable(const er_stream *s, const er_point *found) {
    if (strcmp(found->cluster_id, s->cluster_id) != 0 && found->cluster_id[0] != '\0') {
        return "it is of another cluster";
    }
    if (found->mark == ER_POINT_RESUME && strcmp(found->selector, s->selector) != 0) {
        return s->options.resource->look == NULL ? "it was written for another fieldSelector"
                                                 : "it was written for another labelSelector";
    }
    bool lists = found->mark == ER_POINT_LIST;
    if (found->mark == ER_POINT_RESUME && !er_version_valid(er_str_of(found->version))) {
        return "its version is none";
    }
    return lists && found->gap_from[0] != '\0' && !er_version_valid(er_str_of(found->gap_from))
               ? "its version is none"
               : NULL;
}

static void found_object(void *arg, er_str key, er_str value) {
    er_stream *s = arg;
    er_blob *blob = er_blob_new(key, value);
    er_tracker_found(s->tracker, er_blob_ref(blob));
    er_blobs_put(&s->memory, blob);
    er_stream_recall(s, blob->bytes);
}

static void start_resumed(er_stream *s, const er_point *found) {
    ER_LOG(ER_LOG_INFO, "watch", "going on from the stored resume point", ER_LS("watch", s->name),
           ER_LS("version", found->version));
    er_state_objects(s->options.state, s->name, found_object, s);
    er_tracker_advance(s->tracker, er_str_of(found->version));
    s->next = ER_NEXT_PROBE;
}

/* What was stored of objects is not what the list is compared with: it goes with the next write. */
static void start_without_objects(er_stream *s, er_stored stored) {
    if (stored == ER_STORED_POINT) {
        er_state_objects(s->options.state, s->name, NULL, NULL);
    }
    er_tracker_store_anew(s->tracker);
}

/* A list that was due when the program ended is still due. */
static void start_marked(er_stream *s, const er_point *found) {
    bool is_rewound = found->gap_from[0] != '\0';
    ER_LOG(ER_LOG_WARNING, "watch", "everything is listed again, as before the last end",
           ER_LS("watch", s->name), ER_LS("cause", found->gap_cause));
    s->list_cause = is_rewound ? ER_LIST_REWOUND : ER_LIST_NO_STATE;
    if (is_rewound) {
        er_tracker_rewind(s->tracker, ER_STR("0"));
    }
}

static void start_lost(er_stream *s, const char *why) {
    ER_LOG(ER_LOG_ERROR, "watch", "no stored resume point can be used, everything is listed",
           ER_LS("watch", s->name), ER_LS("error", why));
    s->list_cause = ER_LIST_NO_STATE;
}

void er_stream_begin(er_stream *s) {
    const er_resource *resource = s->options.resource;
    if (resource->make != NULL) {
        s->made = resource->make(s->options.settings, er_state_key(s->options.state));
    }
    er_point found = {.watched_until = ER_TIME_NONE};
    er_stored stored = er_state_get(s->options.state, s->name, &found);
    const char *why = stored == ER_STORED_LOST ? "the store has none" : NULL;
    why = stored == ER_STORED_POINT ? unusable(s, &found) : why;
    er_point point = {.mark = ER_POINT_FIRST, .watched_until = ER_TIME_NONE};
    if (why != NULL) {
        start_lost(s, why);
        point.mark = ER_POINT_LIST;
        set_text(point.gap_cause, sizeof point.gap_cause, "noState");
    } else if (stored == ER_STORED_POINT) {
        point = found;
        (found.mark == ER_POINT_RESUME ? start_resumed : start_marked)(s, &found);
    }
    if (point.mark == ER_POINT_LIST) {
        start_without_objects(s, stored);
    }
    if (point.mark != ER_POINT_FIRST) {
        er_stream_complete(s, found.watched_until);
        point.watched_until = found.watched_until;
    }
    set_text(point.cluster_id, sizeof point.cluster_id, s->cluster_id);
    set_text(point.selector, sizeof point.selector, s->selector);
    er_lock(&s->point_lock);
    s->point = point;
    s->is_begun = true;
    er_unlock(&s->point_lock);
}

/* ---- what is stored ---- */

/* "" and "0": before the first version is settled, and after a rewind. */
static bool is_point(const char *version) {
    return version[0] != '\0' && strcmp(version, "0") != 0;
}

static void put_changes(er_stream *s, er_state_changes *changes) {
    const er_blobs *taken = &s->taken;
    *changes = (er_state_changes){.clears = s->taken_clears};
    if (taken->n == 0) {
        return;
    }
    changes->v = er_xcalloc(taken->n, sizeof *changes->v);
    for (size_t i = 0; i < taken->cap; i++) {
        const er_blob *blob = taken->v[i];
        if (blob != NULL) {
            changes->v[changes->n++] =
                (er_state_change){blob->uid, blob->is_forgotten ? (er_str){0} : blob->bytes};
        }
    }
}

bool er_stream_collect(void *stream, er_point *out, er_state_changes *changes) {
    er_stream *s = stream;
    char version[ER_VERSION_MAX];
    er_lock(&s->point_lock);
    bool is_begun = s->is_begun;
    if (is_begun) {
        *out = s->point;
        er_time until = er_tracker_take(s->tracker, version, &s->taken, &s->taken_clears);
        put_changes(s, changes);
        if (is_point(version)) {
            out->mark = ER_POINT_RESUME;
            out->watched_until = until;
            memcpy(out->version, version, sizeof out->version);
            out->gap_cause[0] = '\0';
            out->gap_from[0] = '\0';
        }
    }
    er_unlock(&s->point_lock);
    return is_begun;
}

void er_stream_stored(void *stream, er_state_changes *changes, bool written) {
    er_stream *s = stream;
    er_tracker_taken(s->tracker, &s->taken, s->taken_clears, written);
    free(changes->v);
    *changes = (er_state_changes){0};
}

void er_stream_store_anew(void *stream) {
    er_stream *s = stream;
    er_tracker_store_anew(s->tracker);
}

void er_stream_complete(er_stream *s, er_time until) {
    s->complete_until = until;
    er_tracker_complete(s->tracker, until);
}

/* What is written is for a start after a crash: then what was not settled is lost with the versions
 * that the store has lost, so the gap begins at the resume point. A list that was due already still
 * has its own gap to tell, which began earlier. */
void er_stream_mark_rewound(er_stream *s) {
    char version[ER_VERSION_MAX];
    char last[ER_VERSION_MAX];
    memcpy(last, er_tracker_last(s->tracker).p, sizeof last);
    er_blobs_fini(&s->memory); /* versions repeat: nothing can be compared, all is stored again */
    er_lock(&s->point_lock);
    er_time until = er_tracker_resume(s->tracker, version);
    er_tracker_rewind(s->tracker, ER_STR("0"));
    if (is_point(version) || s->point.mark == ER_POINT_FIRST) {
        s->point.mark = ER_POINT_LIST;
        s->point.version[0] = '\0';
        s->point.watched_until = until;
        set_text(s->point.gap_cause, sizeof s->point.gap_cause, "rewound");
        set_text(s->point.gap_from, sizeof s->point.gap_from, is_point(version) ? version : last);
    }
    er_unlock(&s->point_lock);
    if (!er_state_write_now(s->options.state, er_deadline_in(MARK_MS))) {
        ER_LOG(ER_LOG_WARNING, "watch", "that the store went back could not be stored",
               ER_LS("watch", s->name));
    }
}
