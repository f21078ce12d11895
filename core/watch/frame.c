#include "base/log.h"
#include "watch/stream_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- records ---- */

bool er_stream_emit(er_stream *s, er_draft *draft, er_slot *slot, er_str version) {
    draft->rec.cluster = er_str_of(s->cluster);
    er_record *rec = er_record_seal(&draft->rec);
    if (rec == NULL) {
        return false;
    }
    if (rec->truncated) {
        er_counter_inc(s->metrics.truncated);
    }
    if (!er_flow_emit(&s->emitter, s->tracker, slot, version, rec)) {
        s->gives_up = true;
    }
    er_record_unref(rec);
    return true;
}

/* A watch shows an Event's first version as ADDED with total 1; of any other first sight nothing is
 * known. */
static int64_t delta_of(int64_t before, int64_t total, bool added) {
    if (before >= 0) {
        return total - before; /* negative: left out */
    }
    return added && total == 1 ? 1 : -1;
}

er_status er_stream_emit_event(er_stream *s, const er_json *object, er_slot *slot, bool added,
                               bool recovered, er_err *err) {
    er_draft draft;
    er_status status = er_draft_event(object, er_time_now(), &draft, err);
    if (status != ER_OK) {
        return status;
    }
    er_event_part *event = &draft.rec.event;
    int64_t before = er_totals_swap(s->totals, event->uid, event->count);
    event->count_delta = delta_of(before, event->count, added);
    draft.rec.recovered = recovered;
    if (slot == NULL) {
        double lag = (double)(draft.rec.observed_time - draft.rec.time) / 1e6;
        er_histogram_observe(s->metrics.lag, lag < 0 ? 0 : lag);
    }
    if (!er_stream_emit(s, &draft, slot, event->resource_version)) {
        return er_err_set(err, ER_E_NOMEM, "no memory for a record");
    }
    return ER_OK;
}

void er_stream_emit_gap(er_stream *s, er_slot *slot, const char *cause, er_str from_version,
                        er_str to_version, er_time from_time, int64_t recovered) {
    if (!er_str_eqc(from_version, s->gap_from)) {
        s->gap_n = 0;
        (void)snprintf(s->gap_from, sizeof s->gap_from, "%.*s", (int)from_version.n,
                       from_version.p);
    }
    s->gap_n++;
    er_time now = er_time_now();
    er_gap_part part = {
        .stream = er_str_of(s->name),
        .cause = er_str_of(cause),
        .from_version = er_str_of(s->gap_from),
        .to_version = to_version,
        .from_time = from_time,
        .to_time = now,
        .recovered = recovered,
    };
    er_buf id;
    er_buf_init(&id, 65536);
    er_buf_putf(&id, "%s\n%s\n%s", s->cluster_id, s->path, s->selector);
    er_draft draft;
    er_draft_gap(&part, er_buf_str(&id), s->gap_n, now, &draft);
    er_buf_fini(&id);
    draft.rec.namespace_ = er_str_of(s->options.namespace_);
    er_counter_inc(er_stream_gap_counter(s, cause));
    ER_LOG(ER_LOG_ERROR, "watch", "versions are missing, a gap record says it",
           ER_LS("watch", s->name), ER_LS("cause", cause), ER_LS("fromVersion", s->gap_from),
           ER_LT("toVersion", to_version));
    (void)er_stream_emit(s, &draft, slot, (er_str){0});
}

void er_stream_skipped(er_stream *s, er_slot *slot, const char *cause, const char *detail) {
    er_counter_inc(s->metrics.decode_errors);
    ER_LOG(ER_LOG_WARNING, "watch", "a frame or item was skipped", ER_LS("watch", s->name),
           ER_LS("cause", cause), ER_LS("error", detail));
    char last[ER_VERSION_MAX];
    er_str from = er_tracker_last(s->tracker);
    memcpy(last, from.p, from.n + 1);
    er_stream_emit_gap(s, slot, cause, (er_str){last, from.n}, (er_str){0}, s->complete_until, -1);
}

/* ---- frames ---- */

static er_frame_type type_of(er_str type) {
    static const char *const names[] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (er_str_eqc(type, names[i])) {
            return (er_frame_type)i;
        }
    }
    return ER_FRAME_UNKNOWN;
}

/* An ERROR frame holds a Status and is the last of its stream. */
static void error_frame(er_stream *s, const er_json *status) {
    er_kube_answer *answer = &s->error_frame;
    int64_t code = 0;
    int64_t seconds;
    (void)er_json_int(er_json_get(status, "code"), &code);
    answer->status = (long)code;
    answer->retry_after_ms = -1;
    if (er_json_int(er_json_path(status, "details", "retryAfterSeconds"), &seconds) &&
        seconds >= 0 && seconds < 3600) {
        answer->retry_after_ms = seconds * 1000;
    }
    er_str reason = er_json_get_str(status, "reason");
    er_str message = er_json_get_str(status, "message");
    (void)snprintf(answer->reason, sizeof answer->reason, "%.*s", (int)(reason.n & 0xffff),
                   reason.n > 0 ? reason.p : "");
    (void)snprintf(answer->message, sizeof answer->message, "%.*s", (int)(message.n & 0xffff),
                   message.n > 0 ? message.p : "");
    bool is_gone = code == 410 || er_str_eqc(reason, "Expired") || er_str_eqc(reason, "Gone");
    answer->outcome = is_gone ? ER_KUBE_GONE : ER_KUBE_BUSY;
}

/* Events repeat across reconnects at the most: a version below the last one was seen, and so was
 * the same Event at the last one. */
static bool is_stale(er_stream *s, er_str version, uint64_t uid) {
    int order = er_version_cmp(version, er_tracker_last(s->tracker));
    return order < 0 || (order == 0 && uid == s->last_uid);
}

static void event_frame(er_stream *s, er_frame_type type, const er_json *object) {
    const er_json *meta = er_json_get(object, "metadata");
    er_str version = er_json_get_str(meta, "resourceVersion");
    if (!er_version_valid(version)) {
        er_stream_skipped(s, NULL, "undecodable", "no usable metadata.resourceVersion");
        return;
    }
    er_str uid = er_json_get_str(meta, "uid");
    if (type == ER_FRAME_BOOKMARK || type == ER_FRAME_DELETED) {
        if (type == ER_FRAME_DELETED) {
            er_totals_forget(s->totals, uid);
        }
        if (er_version_cmp(version, er_tracker_last(s->tracker)) > 0) {
            er_tracker_advance(s->tracker, version);
        }
        return;
    }
    uint64_t uid_hash = er_hash(ER_HASH_SEED, uid.p, uid.n);
    if (is_stale(s, version, uid_hash)) {
        er_counter_inc(s->metrics.stale);
        return;
    }
    er_err err;
    if (er_stream_emit_event(s, object, NULL, type == ER_FRAME_ADDED, false, &err) != ER_OK) {
        er_stream_skipped(s, NULL, "undecodable", err.msg); /* once: it was received all the same */
    }
    s->last_uid = uid_hash;
    er_tracker_advance(s->tracker, version);
}

bool er_stream_frame(er_stream *s, char *line, size_t n) {
    er_err err;
    if (!s->options.resource->has_authors) { /* half of the bytes, and never in a record */
        n = er_json_drop_array(line, n, "managedFields");
    }
    if (er_json_parse(&s->doc, line, n, &err) != ER_OK) {
        er_stream_served(s);
        er_counter_inc(s->metrics.frames[ER_FRAME_UNKNOWN]);
        er_stream_skipped(s, NULL, "undecodable", err.msg);
        return !s->gives_up && !er_stream_stopping(s);
    }
    er_frame_type type = type_of(er_json_get_str(s->doc.root, "type"));
    const er_json *object = er_json_get(s->doc.root, "object");
    er_counter_inc(s->metrics.frames[type]);
    if (type == ER_FRAME_ERROR) {
        error_frame(s, object);
        return false;
    }
    er_stream_served(s);
    if (type == ER_FRAME_UNKNOWN) {
        ER_LOG(ER_LOG_WARNING, "watch", "a frame of unknown type was ignored",
               ER_LS("watch", s->name), ER_LT("type", er_json_get_str(s->doc.root, "type")));
    } else {
        (s->options.resource->look == NULL ? event_frame : er_stream_object_frame)(s, type, object);
    }
    return !s->gives_up && !er_stream_stopping(s);
}
