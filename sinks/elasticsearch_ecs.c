/* Documents of the Elastic Common Schema: only fields that it has, so that a strict mapping takes
 * them. What it has no field for goes to labels, under names from a fixed list: there is no
 * explosion of the mapping and no dot in a key, whatever a cluster contains.
 *
 * Source: the field reference of ECS 8.11; `orchestrator`, `event`, `container`, `labels`. */
#include "sinks/elasticsearch.h"

#include "base/json_write.h"

#include <stdio.h>
#include <string.h>

/* ---- values ---- */

static er_str cut(er_str s) {
    s.n = er_utf8_cut(s, ER_ELASTIC_KEYWORD_MAX);
    return s;
}

static void put_opt(er_jw *w, const char *key, er_str s) {
    er_jw_kstr_opt(w, key, cut(s));
}

static void put_list_of_one(er_jw *w, const char *key, const char *value) {
    er_jw_key(w, key);
    er_jw_array(w);
    er_jw_cstr(w, value);
    er_jw_array_end(w);
}

/* Labels are keywords: numbers as texts. */
static void put_number(er_jw *w, const char *key, int64_t v) {
    if (v >= 0) {
        char text[24];
        (void)snprintf(text, sizeof text, "%lld", (long long)v);
        er_jw_kstr(w, key, er_str_of(text));
    }
}

static void put_flag(er_jw *w, const char *key, bool is_set) {
    if (is_set) {
        er_jw_kstr(w, key, ER_STR("true"));
    }
}

/* ---- the data stream ---- */

typedef struct data_stream {
    er_str type, dataset, namespace_; /* all empty: it has another name, or there is none */
} data_stream;

/* type-dataset-namespace, as the names of data streams are made; the fields must equal the name.
 * Source: ECS, data_stream. */
static data_stream stream_of(const er_elastic_config *config) {
    const char *name = config->data_stream;
    const char *first = strchr(name, '-');
    const char *second = first == NULL ? NULL : strchr(first + 1, '-');
    if (second == NULL || strchr(second + 1, '-') != NULL || first == name || second == first + 1 ||
        second[1] == '\0') {
        return (data_stream){0};
    }
    return (data_stream){.type = {name, (size_t)(first - name)},
                         .dataset = {first + 1, (size_t)(second - first - 1)},
                         .namespace_ = er_str_of(second + 1)};
}

/* ---- event ---- */

static er_str action_of(const er_record *rec) {
    switch (rec->kind) {
    case ER_KIND_EVENT:
        return rec->event.action;
    case ER_KIND_CHANGE:
        return rec->change.operation;
    case ER_KIND_ROLLOUT:
        return rec->rollout.state;
    case ER_KIND_RESTART:
        return rec->restart.count < 0 ? ER_STR("failed") : ER_STR("restarted");
    case ER_KIND_GAP:
    case ER_KIND_NOTICE:
    default:
        return (er_str){0};
    }
}

/* One of the values that ECS allows for event.type. */
static const char *type_of(const er_record *rec) {
    if (rec->severity == ER_SEVERITY_ERROR) {
        return "error";
    }
    if (rec->kind == ER_KIND_CHANGE) {
        return er_str_eqc(rec->change.operation, "created")   ? "creation"
               : er_str_eqc(rec->change.operation, "deleted") ? "deletion"
                                                              : "change";
    }
    return rec->kind == ER_KIND_ROLLOUT ? "change" : "info";
}

static void put_span(er_jw *w, er_time start, er_time end) {
    er_jw_ktime_opt(w, "start", start);
    er_jw_ktime_opt(w, "end", end);
}

static void put_times(er_jw *w, const er_record *rec) {
    switch (rec->kind) {
    case ER_KIND_EVENT:
        put_span(w, rec->event.first_time, rec->event.last_time);
        break;
    case ER_KIND_RESTART:
        put_span(w, rec->restart.started_at, rec->restart.finished_at);
        break;
    case ER_KIND_GAP:
        put_span(w, rec->gap.from_time, rec->gap.to_time);
        break;
    case ER_KIND_NOTICE:
        put_span(w, rec->notice.since, rec->notice.until);
        break;
    case ER_KIND_ROLLOUT:
        if (rec->rollout.duration >= 0 && rec->rollout.duration < INT64_MAX / 1000000000) {
            er_jw_kint(w, "duration", rec->rollout.duration * 1000000000);
        }
        break;
    case ER_KIND_CHANGE:
    default:
        break;
    }
}

static void put_outcome(er_jw *w, const er_record *rec) {
    if (rec->kind == ER_KIND_ROLLOUT && er_str_eqc(rec->rollout.state, "complete")) {
        er_jw_kstr(w, "outcome", ER_STR("success"));
    } else if (rec->kind == ER_KIND_ROLLOUT && er_str_eqc(rec->rollout.state, "stuck")) {
        er_jw_kstr(w, "outcome", ER_STR("failure"));
    }
}

static void put_event(er_jw *w, const data_stream *stream, const er_record *rec) {
    char dataset[32];
    (void)snprintf(dataset, sizeof dataset, "kubernetes.%s", er_kind_name(rec->kind));
    er_jw_key(w, "event");
    er_jw_object(w);
    er_jw_kstr(w, "id", rec->id);
    er_jw_kstr(w, "kind", ER_STR("event"));
    er_jw_kstr(w, "module", ER_STR("kubernetes"));
    /* Where both are, ECS wants them equal. */
    er_jw_kstr(w, "dataset", stream->type.n > 0 ? stream->dataset : er_str_of(dataset));
    put_opt(w, "provider", rec->source_component);
    put_opt(w, "action", action_of(rec));
    put_opt(w, "reason", rec->reason);
    if (rec->kind == ER_KIND_CHANGE) {
        put_list_of_one(w, "category", "configuration");
    }
    put_list_of_one(w, "type", type_of(rec));
    put_outcome(w, rec);
    er_jw_ktime_opt(w, "created", rec->observed_time);
    put_times(w, rec);
    if (rec->kind == ER_KIND_CHANGE) {
        /* The field for a text that was taken apart, which is not indexed: a diff has no place. */
        er_buf text;
        er_buf_init(&text, w->out->max);
        er_record_json(rec, &text);
        er_jw_kstr(w, "original", er_buf_str(&text));
        er_buf_fini(&text);
    }
    er_jw_object_end(w);
}

/* ---- objects ---- */

static er_str parent_kind(const er_record *rec) {
    return rec->kind == ER_KIND_RESTART ? rec->restart.owner.kind : (er_str){0};
}

static void put_orchestrator(er_jw *w, const er_record *rec) {
    er_jw_key(w, "orchestrator");
    er_jw_object(w);
    er_jw_kstr(w, "type", ER_STR("kubernetes"));
    put_opt(w, "api_version", rec->object.api_version);
    if (rec->cluster.n > 0) {
        er_jw_key(w, "cluster");
        er_jw_object(w);
        put_opt(w, "name", rec->cluster);
        er_jw_object_end(w);
    }
    put_opt(w, "namespace", rec->namespace_);
    if (rec->object.kind.n + rec->object.name.n + rec->object.uid.n > 0) {
        er_jw_key(w, "resource");
        er_jw_object(w);
        put_opt(w, "type", rec->object.kind);
        put_opt(w, "name", rec->object.name);
        put_opt(w, "id", rec->object.uid);
        if (parent_kind(rec).n > 0) {
            er_jw_key(w, "parent");
            er_jw_object(w);
            put_opt(w, "type", parent_kind(rec));
            er_jw_object_end(w);
        }
        er_jw_object_end(w);
    }
    er_jw_object_end(w);
}

/* "spec.containers{web}" names the container web. */
static er_str container_of(const er_record *rec) {
    if (rec->kind == ER_KIND_RESTART) {
        return rec->restart.container;
    }
    er_str path = rec->object.field_path;
    const char *open = path.n == 0 ? NULL : memchr(path.p, '{', path.n);
    bool is_one = open != NULL && path.p[path.n - 1] == '}' && er_str_starts(path, "spec.") &&
                  path.p + path.n - 2 > open;
    return is_one ? (er_str){open + 1, (size_t)(path.p + path.n - 2 - open)} : (er_str){0};
}

static void put_container(er_jw *w, const er_record *rec) {
    er_str name = container_of(rec);
    er_str image = rec->kind == ER_KIND_RESTART ? rec->restart.image : (er_str){0};
    if (name.n + image.n == 0) {
        return;
    }
    er_jw_key(w, "container");
    er_jw_object(w);
    put_opt(w, "name", name);
    if (image.n > 0) {
        er_jw_key(w, "image");
        er_jw_object(w);
        put_opt(w, "name", image);
        er_jw_object_end(w);
    }
    er_jw_object_end(w);
}

static void put_host(er_jw *w, const er_record *rec) {
    er_str node = rec->kind == ER_KIND_RESTART ? rec->restart.node : rec->source_host;
    if (node.n > 0) {
        er_jw_key(w, "host");
        er_jw_object(w);
        put_opt(w, "name", node);
        er_jw_object_end(w);
    }
}

static void put_exit_code(er_jw *w, const er_record *rec) {
    if (rec->kind == ER_KIND_RESTART && rec->restart.exit_code[0] != '\0') {
        er_jw_key(w, "process");
        er_jw_object(w);
        er_jw_key(w, "exit_code");
        er_jw_raw(w, er_str_of(rec->restart.exit_code));
        er_jw_object_end(w);
    }
}

static void put_data_stream(er_jw *w, const data_stream *stream) {
    if (stream->type.n > 0) {
        er_jw_key(w, "data_stream");
        er_jw_object(w);
        er_jw_kstr(w, "type", stream->type);
        er_jw_kstr(w, "dataset", stream->dataset);
        er_jw_kstr(w, "namespace", stream->namespace_);
        er_jw_object_end(w);
    }
}

/* ---- labels ---- */

static void put_event_labels(er_jw *w, const er_event_part *event) {
    put_number(w, "count", event->count);
    put_number(w, "count_delta", event->count_delta);
    put_opt(w, "event_name", event->name);
    put_opt(w, "event_uid", event->uid);
    put_opt(w, "event_resource_version", event->resource_version);
    put_opt(w, "related_kind", event->related.kind);
    put_opt(w, "related_namespace", event->related.namespace_);
    put_opt(w, "related_name", event->related.name);
    put_opt(w, "related_uid", event->related.uid);
}

static void put_change_labels(er_jw *w, const er_change_part *change) {
    put_opt(w, "change_fields", change->fields);
    put_number(w, "generation_old", change->generation_old);
    put_number(w, "generation_new", change->generation_new);
    put_opt(w, "revision", change->revision);
    put_opt(w, "change_cause", change->cause);
    put_opt(w, "actor_manager", change->actor_manager);
    put_opt(w, "actor_operation", change->actor_operation);
    put_opt(w, "actor_subresource", change->actor_subresource);
    put_flag(w, "actor_autoscaler", change->autoscaler);
    put_number(w, "replicas_old", change->replicas_old);
    put_number(w, "replicas_new", change->replicas_new);
    put_number(w, "replicas_max", change->replicas_max);
    put_flag(w, "replicas_over_max", change->over_max);
}

static void put_rollout_labels(er_jw *w, const er_rollout_part *rollout) {
    put_opt(w, "revision", rollout->revision);
    put_opt(w, "change_id", rollout->change_id);
    put_opt(w, "rollout_reason", rollout->reason);
    put_opt(w, "rollout_message", rollout->message);
    put_number(w, "replicas_desired", rollout->desired);
    put_number(w, "replicas_total", rollout->total);
    put_number(w, "replicas_updated", rollout->updated);
    put_number(w, "replicas_ready", rollout->ready);
    put_number(w, "replicas_available", rollout->available);
}

static void put_restart_labels(er_jw *w, const er_restart_part *restart) {
    put_opt(w, "container_type", restart->container_type);
    if (restart->count >= 0) {
        put_number(w, "restart_count", restart->count);
        put_number(w, "restart_delta", restart->delta);
        put_number(w, "restart_details_missing", restart->details_missing);
    }
    put_opt(w, "termination_reason", restart->reason);
    put_number(w, "termination_signal", restart->signal > 0 ? restart->signal : -1);
    put_opt(w, "waiting_reason", restart->waiting_reason);
    put_opt(w, "owner_kind", restart->owner.kind);
    put_opt(w, "owner_name", restart->owner.name);
    put_opt(w, "owner_uid", restart->owner.uid);
    put_flag(w, "owner_derived", restart->owner.derived);
}

static void put_gap_labels(er_jw *w, const er_gap_part *gap) {
    put_opt(w, "gap_stream", gap->stream);
    put_opt(w, "gap_cause", gap->cause);
    put_opt(w, "gap_from_resource_version", gap->from_version);
    put_opt(w, "gap_to_resource_version", gap->to_version);
    put_number(w, "gap_recovered", gap->recovered);
}

static void put_notice_labels(er_jw *w, const er_notice_part *notice) {
    put_opt(w, "notice_sink", notice->sink);
    put_opt(w, "notice_cause", notice->cause);
    put_number(w, "notice_records", notice->records);
}

static void put_labels(er_jw *w, const er_record *rec) {
    er_jw_key(w, "labels");
    er_jw_object(w);
    er_jw_kstr(w, "kind", er_str_of(er_kind_name(rec->kind)));
    put_opt(w, "type", rec->type);
    put_opt(w, "time_source", rec->time_source);
    put_opt(w, "object_namespace", rec->object.namespace_);
    put_opt(w, "object_resource_version", rec->object.resource_version);
    put_opt(w, "object_field_path", rec->object.field_path);
    put_opt(w, "source_instance", rec->source_instance);
    put_flag(w, "namespace_mismatch", rec->namespace_mismatch);
    put_flag(w, "truncated", rec->truncated);
    put_flag(w, "recovered", rec->recovered);
    switch (rec->kind) {
    case ER_KIND_EVENT:
        put_event_labels(w, &rec->event);
        break;
    case ER_KIND_CHANGE:
        put_change_labels(w, &rec->change);
        break;
    case ER_KIND_ROLLOUT:
        put_rollout_labels(w, &rec->rollout);
        break;
    case ER_KIND_RESTART:
        put_restart_labels(w, &rec->restart);
        break;
    case ER_KIND_GAP:
        put_gap_labels(w, &rec->gap);
        break;
    case ER_KIND_NOTICE:
        put_notice_labels(w, &rec->notice);
        break;
    }
    er_jw_object_end(w);
}

/* ---- the document ---- */

static er_str level_of(er_severity severity) {
    return severity == ER_SEVERITY_ERROR     ? ER_STR("error")
           : severity == ER_SEVERITY_WARNING ? ER_STR("warning")
                                             : ER_STR("info");
}

void er_elastic_ecs_put(const er_elastic_config *config, const er_record *rec, er_buf *out) {
    data_stream stream = stream_of(config);
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_ktime_opt(&w, "@timestamp", rec->time);
    er_jw_kstr(&w, "message", rec->message);
    er_jw_key(&w, "ecs");
    er_jw_object(&w);
    er_jw_kstr(&w, "version", ER_STR(ER_ELASTIC_ECS_VERSION));
    er_jw_object_end(&w);
    er_jw_key(&w, "log");
    er_jw_object(&w);
    er_jw_kstr(&w, "level", level_of(rec->severity));
    er_jw_object_end(&w);
    er_jw_key(&w, "agent");
    er_jw_object(&w);
    er_jw_kstr(&w, "type", ER_STR("eventrouter"));
    er_jw_object_end(&w);
    put_data_stream(&w, &stream);
    put_event(&w, &stream, rec);
    put_orchestrator(&w, rec);
    put_container(&w, rec);
    put_host(&w, rec);
    put_exit_code(&w, rec);
    put_labels(&w, rec);
    er_jw_object_end(&w);
}
