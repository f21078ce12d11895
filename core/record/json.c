#include "base/json_write.h"
#include "record/record.h"

#include <string.h>

/* Keys, times and numbers beside the strings; the struct itself, which counts among a record's
 * bytes, makes up for most of them. */
#define KEYS_BYTES 256

static void put_count_opt(er_jw *w, const char *key, int64_t count) {
    if (count >= 0) {
        er_jw_kint(w, key, count);
    }
}

static void put_flag(er_jw *w, const char *key, bool is_set) {
    if (is_set) {
        er_jw_kbool(w, key, true);
    }
}

static void put_ref(er_jw *w, const char *key, const er_object_ref *ref) {
    if (ref->api_version.n + ref->kind.n + ref->namespace_.n + ref->name.n + ref->uid.n +
            ref->resource_version.n + ref->field_path.n ==
        0) {
        return;
    }
    er_jw_key(w, key);
    er_jw_object(w);
    er_jw_kstr_opt(w, "apiVersion", ref->api_version);
    er_jw_kstr_opt(w, "kind", ref->kind);
    er_jw_kstr_opt(w, "namespace", ref->namespace_);
    er_jw_kstr_opt(w, "name", ref->name);
    er_jw_kstr_opt(w, "uid", ref->uid);
    er_jw_kstr_opt(w, "resourceVersion", ref->resource_version);
    er_jw_kstr_opt(w, "fieldPath", ref->field_path);
    er_jw_object_end(w);
}

static void put_source(er_jw *w, const er_record *rec) {
    if (rec->source_component.n + rec->source_host.n + rec->source_instance.n == 0) {
        return;
    }
    er_jw_key(w, "source");
    er_jw_object(w);
    er_jw_kstr_opt(w, "component", rec->source_component);
    er_jw_kstr_opt(w, "host", rec->source_host);
    er_jw_kstr_opt(w, "instance", rec->source_instance);
    er_jw_object_end(w);
}

static void put_event(er_jw *w, const er_event_part *event) {
    er_jw_kint(w, "count", event->count);
    put_count_opt(w, "countDelta", event->count_delta);
    er_jw_ktime_opt(w, "firstTime", event->first_time);
    er_jw_ktime_opt(w, "lastTime", event->last_time);
    er_jw_kstr_opt(w, "action", event->action);
    er_jw_key(w, "event");
    er_jw_object(w);
    er_jw_kstr_opt(w, "name", event->name);
    er_jw_kstr_opt(w, "uid", event->uid);
    er_jw_kstr_opt(w, "resourceVersion", event->resource_version);
    er_jw_object_end(w);
    put_ref(w, "related", &event->related);
}

static void put_gap(er_jw *w, const er_gap_part *gap) {
    er_jw_key(w, "gap");
    er_jw_object(w);
    er_jw_kstr_opt(w, "stream", gap->stream);
    er_jw_kstr_opt(w, "cause", gap->cause);
    er_jw_kstr_opt(w, "fromResourceVersion", gap->from_version);
    er_jw_kstr_opt(w, "toResourceVersion", gap->to_version);
    er_jw_ktime_opt(w, "fromTime", gap->from_time);
    er_jw_ktime_opt(w, "toTime", gap->to_time);
    put_count_opt(w, "recovered", gap->recovered);
    er_jw_object_end(w);
}

static void put_notice(er_jw *w, const er_notice_part *notice) {
    er_jw_key(w, "notice");
    er_jw_object(w);
    er_jw_kstr_opt(w, "sink", notice->sink);
    er_jw_kstr_opt(w, "cause", notice->cause);
    er_jw_kint(w, "records", notice->records);
    er_jw_ktime_opt(w, "since", notice->since);
    er_jw_ktime_opt(w, "until", notice->until);
    er_jw_object_end(w);
}

/* "a,b" as an array. */
static void put_list_opt(er_jw *w, const char *key, er_str list) {
    if (list.n == 0) {
        return;
    }
    er_jw_key(w, key);
    er_jw_array(w);
    for (size_t from = 0; from <= list.n;) {
        const char *comma = from < list.n ? memchr(list.p + from, ',', list.n - from) : NULL;
        size_t to = comma == NULL ? list.n : (size_t)(comma - list.p);
        er_jw_str(w, (er_str){list.p + from, to - from});
        from = to + 1;
    }
    er_jw_array_end(w);
}

static void put_raw_opt(er_jw *w, const char *key, er_str json) {
    if (json.n > 0) {
        er_jw_key(w, key);
        er_jw_raw(w, json);
    }
}

static void put_actor(er_jw *w, const er_change_part *change) {
    if (change->actor_manager.n + change->actor_operation.n + change->actor_subresource.n == 0 &&
        change->actor_time == ER_TIME_NONE) {
        return;
    }
    er_jw_key(w, "actor");
    er_jw_object(w);
    er_jw_kstr_opt(w, "manager", change->actor_manager);
    er_jw_kstr_opt(w, "operation", change->actor_operation);
    er_jw_kstr_opt(w, "subresource", change->actor_subresource);
    er_jw_ktime_opt(w, "time", change->actor_time);
    put_flag(w, "autoscaler", change->autoscaler);
    er_jw_object_end(w);
}

static void put_change(er_jw *w, const er_change_part *change) {
    er_jw_key(w, "change");
    er_jw_object(w);
    er_jw_kstr_opt(w, "operation", change->operation);
    put_list_opt(w, "fields", change->fields);
    if (change->generation_old >= 0 || change->generation_new >= 0) {
        er_jw_key(w, "generation");
        er_jw_object(w);
        put_count_opt(w, "old", change->generation_old);
        put_count_opt(w, "new", change->generation_new);
        er_jw_object_end(w);
    }
    er_jw_kstr_opt(w, "revision", change->revision);
    er_jw_kstr_opt(w, "cause", change->cause);
    put_actor(w, change);
    put_raw_opt(w, "diff", change->diff);
    put_raw_opt(w, "patch", change->patch);
    put_count_opt(w, "omitted", change->omitted > 0 ? change->omitted : -1);
    put_flag(w, "redacted", change->redacted);
    put_flag(w, "truncated", change->truncated);
    if (change->replicas_old >= 0 || change->replicas_new >= 0 || change->replicas_max >= 0) {
        er_jw_key(w, "replicas");
        er_jw_object(w);
        put_count_opt(w, "old", change->replicas_old);
        put_count_opt(w, "new", change->replicas_new);
        put_count_opt(w, "max", change->replicas_max);
        put_flag(w, "overMax", change->over_max);
        er_jw_object_end(w);
    }
    er_jw_object_end(w);
}

static void put_rollout(er_jw *w, const er_rollout_part *rollout) {
    er_jw_key(w, "rollout");
    er_jw_object(w);
    er_jw_kstr_opt(w, "state", rollout->state);
    er_jw_kstr_opt(w, "revision", rollout->revision);
    er_jw_kstr_opt(w, "changeId", rollout->change_id);
    er_jw_kstr_opt(w, "reason", rollout->reason);
    er_jw_kstr_opt(w, "message", rollout->message);
    er_jw_key(w, "replicas");
    er_jw_object(w);
    er_jw_kint(w, "desired", rollout->desired);
    er_jw_kint(w, "total", rollout->total);
    er_jw_kint(w, "updated", rollout->updated);
    er_jw_kint(w, "ready", rollout->ready);
    er_jw_kint(w, "available", rollout->available);
    er_jw_object_end(w);
    put_count_opt(w, "duration", rollout->duration);
    er_jw_object_end(w);
}

static void put_owner(er_jw *w, const er_workload *owner) {
    if (owner->kind.n + owner->name.n + owner->uid.n == 0) {
        return;
    }
    er_jw_key(w, "owner");
    er_jw_object(w);
    er_jw_kstr_opt(w, "kind", owner->kind);
    er_jw_kstr_opt(w, "name", owner->name);
    er_jw_kstr_opt(w, "uid", owner->uid);
    put_flag(w, "derived", owner->derived);
    er_jw_object_end(w);
}

static void put_restart(er_jw *w, const er_restart_part *restart) {
    er_jw_key(w, "restart");
    er_jw_object(w);
    er_jw_kstr_opt(w, "container", restart->container);
    er_jw_kstr_opt(w, "containerType", restart->container_type);
    if (restart->count >= 0) {
        er_jw_kint(w, "count", restart->count);
        er_jw_kint(w, "delta", restart->delta);
        er_jw_kint(w, "detailsMissing", restart->details_missing);
    }
    er_jw_kstr_opt(w, "reason", restart->reason);
    if (restart->exit_code[0] != '\0') {
        er_jw_key(w, "exitCode");
        er_jw_raw(w, er_str_of(restart->exit_code));
    }
    if (restart->signal != 0) {
        er_jw_kint(w, "signal", restart->signal);
    }
    er_jw_ktime_opt(w, "startedAt", restart->started_at);
    er_jw_ktime_opt(w, "finishedAt", restart->finished_at);
    er_jw_kstr_opt(w, "image", restart->image);
    er_jw_kstr_opt(w, "node", restart->node);
    er_jw_kstr_opt(w, "waitingReason", restart->waiting_reason);
    put_owner(w, &restart->owner);
    er_jw_object_end(w);
}

void er_record_json(const er_record *rec, er_buf *out) {
    er_jw w;
    er_buf_expect(out, rec->bytes + KEYS_BYTES);
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "schema", ER_STR(ER_RECORD_SCHEMA));
    er_jw_kstr(&w, "id", rec->id);
    er_jw_kstr(&w, "kind", er_str_of(er_kind_name(rec->kind)));
    er_jw_kstr(&w, "cluster", rec->cluster);
    er_jw_ktime_opt(&w, "time", rec->time);
    er_jw_kstr(&w, "timeSource", rec->time_source);
    er_jw_ktime_opt(&w, "observedTime", rec->observed_time);
    er_jw_kstr(&w, "severity", er_str_of(er_severity_name(rec->severity)));
    er_jw_kstr(&w, "type", rec->type);
    er_jw_kstr(&w, "reason", rec->reason);
    er_jw_kstr(&w, "message", rec->message);
    put_flag(&w, "truncated", rec->truncated);
    er_jw_kstr_opt(&w, "namespace", rec->namespace_);
    put_flag(&w, "namespaceMismatch", rec->namespace_mismatch);
    put_ref(&w, "object", &rec->object);
    put_source(&w, rec);
    put_flag(&w, "recovered", rec->recovered);
    switch (rec->kind) {
    case ER_KIND_EVENT:
        put_event(&w, &rec->event);
        break;
    case ER_KIND_GAP:
        put_gap(&w, &rec->gap);
        break;
    case ER_KIND_NOTICE:
        put_notice(&w, &rec->notice);
        break;
    case ER_KIND_CHANGE:
        put_change(&w, &rec->change);
        break;
    case ER_KIND_ROLLOUT:
        put_rollout(&w, &rec->rollout);
        break;
    case ER_KIND_RESTART:
        put_restart(&w, &rec->restart);
        break;
    }
    er_jw_object_end(&w);
}
