/* Objects of which something is remembered: one look at each, and what comes of it.
 *
 * What is remembered changes after the records were pushed, and waits at the slot of the frame: so
 * a crash repeats a difference, with the same id, and never loses one. */
#include "base/log.h"
#include "watch/stream_priv.h"

#define MEMORY_MAX ((size_t)1 << 20) /* of one object; the store takes no more */

typedef struct look_run {
    er_stream *s;
    er_slot *slot; /* the list's, or the one this frame opened with its first record */
    bool is_own;
    er_str version;
} look_run;

static void on_draft(void *arg, er_draft *draft) {
    look_run *run = arg;
    if (run->slot == NULL) {
        run->slot = er_tracker_open(run->s->tracker, run->version);
        run->is_own = true;
    }
    if (run->s->options.workloads != NULL && draft->rec.kind == ER_KIND_RESTART) {
        er_workload_metrics_restart(run->s->options.workloads, &draft->rec);
    }
    (void)er_stream_emit(run->s, draft, run->slot, run->version);
    run->s->looked_records++;
}

static void on_shown(void *arg, const er_deployment_shown *shown) {
    const look_run *run = arg;
    er_workload_metrics_deployment(run->s->options.workloads, run->s, run->s->round, shown);
}

void er_stream_recall(er_stream *s, er_str memory) {
    look_run run = {.s = s};
    if (s->options.workloads != NULL && s->options.resource->recall != NULL) {
        er_look look = {.remembered = memory, .arg = &run, .saw = on_shown};
        s->options.resource->recall(s->made, &look);
    }
}

static void remember(look_run *run, er_str uid, const er_blob *before, const er_buf *memory) {
    er_stream *s = run->s;
    er_str now = er_buf_str(memory);
    if (before == NULL ? now.n == 0 : er_str_eq(before->bytes, now)) {
        return;
    }
    er_blob *blob = er_blob_new(uid, now.n == 0 ? (er_str){0} : now);
    if (er_state_is_keeping(s->options.state)) {
        er_tracker_remember(s->tracker, run->slot, er_blob_ref(blob));
    }
    if (blob->is_forgotten) {
        er_blobs_remove(&s->memory, uid);
        er_blob_unref(blob);
    } else {
        er_blobs_put(&s->memory, blob);
    }
}

er_status er_stream_look(er_stream *s, er_sight sight, const er_json *object, er_str uid,
                         er_slot *slot, er_str version, er_err *err) {
    look_run run = {.s = s, .slot = slot, .version = version};
    er_blob *before = er_blobs_get(&s->memory, uid);
    before = before == NULL ? NULL : er_blob_ref(before); /* uid may be a part of it */
    er_buf memory;
    er_buf_init(&memory, MEMORY_MAX);
    er_look look = {
        .sight = sight,
        .object = object,
        .remembered = before == NULL ? (er_str){0} : before->bytes,
        .observed = er_time_now(),
        .since = s->list_cause == ER_LIST_REWOUND ? ER_TIME_NONE : s->complete_until,
        .recovered = sight == ER_SIGHT_LISTED || sight == ER_SIGHT_GONE,
        .arg = &run,
        .emit = on_draft,
        .saw = s->options.workloads == NULL ? NULL : on_shown,
        .memory = &memory,
    };
    er_status status = s->options.resource->look(s->made, &look, err);
    if (status == ER_OK && !s->gives_up) {
        remember(&run, uid, before, &memory);
    }
    s->shows_gap = s->shows_gap || look.missed;
    if (run.is_own) {
        er_slot_give_back(run.slot);
    }
    er_buf_fini(&memory);
    er_blob_unref(before);
    return status;
}

void er_stream_object_frame(er_stream *s, er_frame_type type, const er_json *object) {
    static const er_sight sights[] = {[ER_FRAME_ADDED] = ER_SIGHT_ADDED,
                                      [ER_FRAME_MODIFIED] = ER_SIGHT_MODIFIED,
                                      [ER_FRAME_DELETED] = ER_SIGHT_DELETED};
    const er_json *meta = er_json_get(object, "metadata");
    er_str version = er_json_get_str(meta, "resourceVersion");
    er_str uid = er_json_get_str(meta, "uid");
    if (!er_version_valid(version) || (uid.n == 0 && type != ER_FRAME_BOOKMARK)) {
        er_stream_skipped(s, NULL, "undecodable", "no usable metadata");
        return;
    }
    if (er_version_cmp(version, er_tracker_last(s->tracker)) < 0) {
        er_counter_inc(s->metrics.stale);
        return;
    }
    er_err err = {0};
    if (type != ER_FRAME_BOOKMARK &&
        er_stream_look(s, sights[type], object, uid, NULL, version, &err) != ER_OK) {
        er_stream_skipped(s, NULL, "undecodable", err.msg);
    }
    if (!s->gives_up) {
        er_tracker_advance(s->tracker, version);
    }
}

size_t er_stream_forget_unseen(er_stream *s, const er_blobs *seen, bool compares, er_slot *slot) {
    size_t n = 0;
    /* Looks change the set: first those that have gone are gathered. */
    er_blobs gone = {0};
    for (size_t i = 0; i < s->memory.cap; i++) {
        er_blob *blob = s->memory.v[i];
        if (blob != NULL && er_blobs_get(seen, blob->uid) == NULL) {
            er_blobs_put(&gone, er_blob_ref(blob));
            n++;
        }
    }
    for (size_t i = 0; i < gone.cap && !s->gives_up; i++) {
        er_err err = {0};
        if (gone.v[i] == NULL) {
            continue;
        }
        er_str uid = gone.v[i]->uid;
        if (compares) {
            (void)er_stream_look(s, ER_SIGHT_GONE, NULL, uid, slot, (er_str){0}, &err);
        }
        if (er_blobs_get(&s->memory, uid) != NULL) {
            er_blobs_remove(&s->memory, uid);
            if (er_state_is_keeping(s->options.state)) {
                er_tracker_remember(s->tracker, slot, er_blob_new(uid, (er_str){0}));
            }
        }
    }
    er_blobs_fini(&gone);
    return n;
}
