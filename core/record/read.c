#include "record/read.h"

#include "record/pod.h"
#include "record/tree.h"

static er_status bad(er_err *err, const char *member) {
    return er_err_set(err, ER_E_INVAL, "not a record: %s is missing or not usable", member);
}

static er_status read_time(const er_json *object, const char *key, er_time *out, er_err *err) {
    return er_time_parse(er_json_get_str(object, key), out) ? ER_OK : bad(err, key);
}

static er_object_ref ref_of(const er_json *node) {
    return (er_object_ref){
        .api_version = er_json_get_str(node, "apiVersion"),
        .kind = er_json_get_str(node, "kind"),
        .namespace_ = er_json_get_str(node, "namespace"),
        .name = er_json_get_str(node, "name"),
        .uid = er_json_get_str(node, "uid"),
        .resource_version = er_json_get_str(node, "resourceVersion"),
        .field_path = er_json_get_str(node, "fieldPath"),
    };
}

static er_status read_kind(const er_json *object, er_kind *out, er_err *err) {
    static const er_kind kinds[] = {ER_KIND_EVENT,  ER_KIND_GAP,     ER_KIND_NOTICE,
                                    ER_KIND_CHANGE, ER_KIND_ROLLOUT, ER_KIND_RESTART};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (er_str_eqc(er_json_get_str(object, "kind"), er_kind_name(kinds[i]))) {
            *out = kinds[i];
            return ER_OK;
        }
    }
    return bad(err, "kind");
}

static er_status read_severity(const er_json *object, er_severity *out, er_err *err) {
    static const er_severity severities[] = {ER_SEVERITY_INFO, ER_SEVERITY_WARNING,
                                             ER_SEVERITY_ERROR};
    for (size_t i = 0; i < sizeof severities / sizeof severities[0]; i++) {
        if (er_str_eqc(er_json_get_str(object, "severity"), er_severity_name(severities[i]))) {
            *out = severities[i];
            return ER_OK;
        }
    }
    return bad(err, "severity");
}

static er_status read_event(const er_json *object, er_event_part *event, er_err *err) {
    const er_json *own = er_json_get(object, "event");
    *event = (er_event_part){
        .count = er_json_get_count(object, "count", -1),
        .count_delta = er_json_get_count(object, "countDelta", -1),
        .first_time = er_json_get_time(object, "firstTime"),
        .last_time = er_json_get_time(object, "lastTime"),
        .action = er_json_get_str(object, "action"),
        .name = er_json_get_str(own, "name"),
        .uid = er_json_get_str(own, "uid"),
        .resource_version = er_json_get_str(own, "resourceVersion"),
        .related = ref_of(er_json_get(object, "related")),
    };
    return event->count >= 0 ? ER_OK : bad(err, "count");
}

static er_gap_part gap_of(const er_json *gap) {
    return (er_gap_part){
        .stream = er_json_get_str(gap, "stream"),
        .cause = er_json_get_str(gap, "cause"),
        .from_version = er_json_get_str(gap, "fromResourceVersion"),
        .to_version = er_json_get_str(gap, "toResourceVersion"),
        .from_time = er_json_get_time(gap, "fromTime"),
        .to_time = er_json_get_time(gap, "toTime"),
        .recovered = er_json_get_count(gap, "recovered", -1),
    };
}

static er_status read_notice(const er_json *node, er_notice_part *notice, er_err *err) {
    *notice = (er_notice_part){
        .sink = er_json_get_str(node, "sink"),
        .cause = er_json_get_str(node, "cause"),
        .records = er_json_get_count(node, "records", -1),
        .since = er_json_get_time(node, "since"),
        .until = er_json_get_time(node, "until"),
    };
    return notice->records >= 0 ? ER_OK : bad(err, "notice.records");
}

/* JSON written again: the bytes that it was read from, when this program wrote them. */
typedef struct span { /* of a buffer that may still move */
    size_t from, n;
} span;

static span text_of(const er_json *array, er_buf *texts) {
    size_t from = texts->len;
    if (er_json_is_array(array)) {
        er_jw w;
        er_jw_init(&w, texts);
        er_tree_write(&w, array);
    }
    return (span){from, texts->len - from};
}

static er_str placed(span text, const er_buf *texts) {
    return text.n == 0 ? (er_str){0} : (er_str){texts->p + text.from, text.n};
}

static span fields_of(const er_json *list, er_buf *texts) {
    size_t from = texts->len;
    for (const er_json *m = er_json_is_array(list) ? er_json_first(list) : NULL; m != NULL;
         m = er_json_next(m)) {
        er_buf_puts(texts, texts->len > from ? "," : "");
        er_buf_put_str(texts, er_json_str(m));
    }
    return (span){from, texts->len - from};
}

static er_status read_change(const er_json *node, er_buf *texts, er_change_part *change,
                             er_err *err) {
    const er_json *generation = er_json_get(node, "generation");
    const er_json *actor = er_json_get(node, "actor");
    const er_json *replicas = er_json_get(node, "replicas");
    *change = (er_change_part){
        .operation = er_json_get_str(node, "operation"),
        .generation_old = er_json_get_count(generation, "old", -1),
        .generation_new = er_json_get_count(generation, "new", -1),
        .revision = er_json_get_str(node, "revision"),
        .cause = er_json_get_str(node, "cause"),
        .actor_manager = er_json_get_str(actor, "manager"),
        .actor_operation = er_json_get_str(actor, "operation"),
        .actor_subresource = er_json_get_str(actor, "subresource"),
        .actor_time = er_json_get_time(actor, "time"),
        .autoscaler = er_json_is_true(er_json_get(actor, "autoscaler")),
        .omitted = er_json_get_count(node, "omitted", 0),
        .redacted = er_json_is_true(er_json_get(node, "redacted")),
        .truncated = er_json_is_true(er_json_get(node, "truncated")),
        .replicas_old = er_json_get_count(replicas, "old", -1),
        .replicas_new = er_json_get_count(replicas, "new", -1),
        .replicas_max = er_json_get_count(replicas, "max", -1),
        .over_max = er_json_is_true(er_json_get(replicas, "overMax")),
    };
    span fields = fields_of(er_json_get(node, "fields"), texts);
    span diff = text_of(er_json_get(node, "diff"), texts);
    span patch = text_of(er_json_get(node, "patch"), texts);
    change->fields = placed(fields, texts);
    change->diff = placed(diff, texts);
    change->patch = placed(patch, texts);
    if (er_buf_status(texts) != ER_OK) {
        return er_err_set(err, er_buf_status(texts), "not a record: change.diff is too large");
    }
    return change->operation.n > 0 ? ER_OK : bad(err, "change.operation");
}

static er_status read_rollout(const er_json *node, er_rollout_part *rollout, er_err *err) {
    const er_json *replicas = er_json_get(node, "replicas");
    *rollout = (er_rollout_part){
        .state = er_json_get_str(node, "state"),
        .revision = er_json_get_str(node, "revision"),
        .change_id = er_json_get_str(node, "changeId"),
        .reason = er_json_get_str(node, "reason"),
        .message = er_json_get_str(node, "message"),
        .desired = er_json_get_count(replicas, "desired", 0),
        .total = er_json_get_count(replicas, "total", 0),
        .updated = er_json_get_count(replicas, "updated", 0),
        .ready = er_json_get_count(replicas, "ready", 0),
        .available = er_json_get_count(replicas, "available", 0),
        .duration = er_json_get_count(node, "duration", -1),
    };
    return rollout->state.n > 0 ? ER_OK : bad(err, "rollout.state");
}

static er_restart_part restart_of(const er_json *node) {
    const er_json *owner = er_json_get(node, "owner");
    er_restart_part part = {
        .container = er_json_get_str(node, "container"),
        .container_type = er_json_get_str(node, "containerType"),
        .count = er_json_get_count(node, "count", -1),
        .delta = er_json_get_count(node, "delta", 0),
        .details_missing = er_json_get_count(node, "detailsMissing", 0),
        .reason = er_json_get_str(node, "reason"),
        .signal = er_json_get_count(node, "signal", 0),
        .started_at = er_json_get_time(node, "startedAt"),
        .finished_at = er_json_get_time(node, "finishedAt"),
        .image = er_json_get_str(node, "image"),
        .node = er_json_get_str(node, "node"),
        .waiting_reason = er_json_get_str(node, "waitingReason"),
        .owner = {.kind = er_json_get_str(owner, "kind"),
                  .name = er_json_get_str(owner, "name"),
                  .uid = er_json_get_str(owner, "uid"),
                  .derived = er_json_is_true(er_json_get(owner, "derived"))},
    };
    er_restart_exit_code(&part, er_json_get(node, "exitCode"));
    return part;
}

static er_status read_part(const er_json *object, er_buf *texts, er_record *rec, er_err *err) {
    switch (rec->kind) {
    case ER_KIND_EVENT:
        return read_event(object, &rec->event, err);
    case ER_KIND_GAP:
        rec->gap = gap_of(er_json_get(object, "gap"));
        return ER_OK;
    case ER_KIND_CHANGE:
        return read_change(er_json_get(object, "change"), texts, &rec->change, err);
    case ER_KIND_ROLLOUT:
        return read_rollout(er_json_get(object, "rollout"), &rec->rollout, err);
    case ER_KIND_RESTART:
        rec->restart = restart_of(er_json_get(object, "restart"));
        return ER_OK;
    case ER_KIND_NOTICE:
    default:
        return read_notice(er_json_get(object, "notice"), &rec->notice, err);
    }
}

static void read_texts(const er_json *object, er_record *rec) {
    const er_json *source = er_json_get(object, "source");
    rec->cluster = er_json_get_str(object, "cluster");
    rec->time_source = er_json_get_str(object, "timeSource");
    rec->type = er_json_get_str(object, "type");
    rec->reason = er_json_get_str(object, "reason");
    rec->message = er_json_get_str(object, "message");
    rec->namespace_ = er_json_get_str(object, "namespace");
    rec->object = ref_of(er_json_get(object, "object"));
    rec->source_component = er_json_get_str(source, "component");
    rec->source_host = er_json_get_str(source, "host");
    rec->source_instance = er_json_get_str(source, "instance");
    rec->truncated = er_json_is_true(er_json_get(object, "truncated"));
    rec->namespace_mismatch = er_json_is_true(er_json_get(object, "namespaceMismatch"));
    rec->recovered = er_json_is_true(er_json_get(object, "recovered"));
}

static er_status read_id(const er_json *object, er_draft *draft, er_err *err) {
    er_str id = er_json_get_str(object, "id");
    draft->rec.id = er_record_id(id, draft->id);
    return er_str_eq(draft->rec.id, id) ? ER_OK : bad(err, "id");
}

er_status er_draft_from_json(const er_json *object, er_buf *texts, er_draft *draft, er_err *err) {
    er_buf_clear(texts);
    *draft = (er_draft){0};
    er_record *rec = &draft->rec;
    if (!er_str_eqc(er_json_get_str(object, "schema"), ER_RECORD_SCHEMA)) {
        return er_err_set(err, ER_E_INVAL, "not a record: schema is not \"%s\"", ER_RECORD_SCHEMA);
    }
    er_status status = read_id(object, draft, err);
    if (status == ER_OK) {
        status = read_kind(object, &rec->kind, err);
    }
    if (status == ER_OK) {
        status = read_severity(object, &rec->severity, err);
    }
    if (status == ER_OK) {
        status = read_time(object, "time", &rec->time, err);
    }
    if (status == ER_OK) {
        status = read_time(object, "observedTime", &rec->observed_time, err);
    }
    rec->observed_mono_ns = er_mono_ns();
    read_texts(object, rec);
    return status == ER_OK ? read_part(object, texts, rec, err) : status;
}
