#include "record/event.h"

#include "record/hash.h"

#include <stdio.h>
#include <string.h>

#define USABLE_FROM (31536000LL * 1000000) /* 1971-01-01T00:00:00Z */

er_time er_usable_time(const er_json *node) {
    er_time t;
    er_str text = er_json_str(node);
    return text.n > 0 && er_time_parse(text, &t) && t >= USABLE_FROM ? t : ER_TIME_NONE;
}

static er_time first_of(const er_time *times, size_t n, size_t *which) {
    for (size_t i = 0; i < n; i++) {
        if (times[i] != ER_TIME_NONE) {
            *which = i;
            return times[i];
        }
    }
    return ER_TIME_NONE;
}

/* The members that records are made of, in the order of the API server's JSON: each object is read
 * in one pass. */
enum {
    E_METADATA,
    E_INVOLVED,
    E_REASON,
    E_MESSAGE,
    E_SOURCE,
    E_FIRST_TIMESTAMP,
    E_LAST_TIMESTAMP,
    E_COUNT,
    E_TYPE,
    E_EVENT_TIME,
    E_SERIES,
    E_ACTION,
    E_RELATED,
    E_COMPONENT,
    E_INSTANCE,
    E_MEMBERS_,
};
static const char *const event_keys[E_MEMBERS_] = {
    "metadata",
    "involvedObject",
    "reason",
    "message",
    "source",
    "firstTimestamp",
    "lastTimestamp",
    "count",
    "type",
    "eventTime",
    "series",
    "action",
    "related",
    "reportingComponent",
    "reportingInstance",
};
enum { M_NAME, M_NAMESPACE, M_UID, M_VERSION, M_CREATED, M_MEMBERS_ };
static const char *const meta_keys[M_MEMBERS_] = {"name", "namespace", "uid", "resourceVersion",
                                                  "creationTimestamp"};
enum { R_KIND, R_NAMESPACE, R_NAME, R_UID, R_API_VERSION, R_VERSION, R_FIELD_PATH, R_MEMBERS_ };
static const char *const ref_keys[R_MEMBERS_] = {"kind",       "namespace",       "name",     "uid",
                                                 "apiVersion", "resourceVersion", "fieldPath"};

typedef struct parts {
    const er_json *event[E_MEMBERS_], *meta[M_MEMBERS_];
} parts;

/* kubectl's order of the fields, see DESIGN of records: the newest statement of when it happened.
 */
static void fill_times(const parts *p, er_time observed, er_record *rec) {
    static const char *const names[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                                        "firstTimestamp", "creationTimestamp"};
    const er_time times[] = {
        er_usable_time(er_json_get(p->event[E_SERIES], "lastObservedTime")),
        er_usable_time(p->event[E_LAST_TIMESTAMP]),
        er_usable_time(p->event[E_EVENT_TIME]),
        er_usable_time(p->event[E_FIRST_TIMESTAMP]),
        er_usable_time(p->meta[M_CREATED]),
    };
    size_t which = 0;
    er_time newest = first_of(times, 5, &which);
    rec->observed_time = observed;
    rec->observed_mono_ns = er_mono_ns();
    rec->time = newest == ER_TIME_NONE ? observed : newest;
    rec->time_source = newest == ER_TIME_NONE ? ER_STR("observed") : er_str_of(names[which]);
    const er_time firsts[] = {times[3], times[2], times[4]};
    rec->event.first_time = first_of(firsts, 3, &which);
    rec->event.last_time = first_of(times, 4, &which);
}

static void fill_ref(const er_json *node, er_object_ref *ref) {
    const er_json *at[R_MEMBERS_];
    er_json_pick(node, ref_keys, R_MEMBERS_, at);
    *ref = (er_object_ref){
        .api_version = er_json_str(at[R_API_VERSION]),
        .kind = er_json_str(at[R_KIND]),
        .namespace_ = er_json_str(at[R_NAMESPACE]),
        .name = er_json_str(at[R_NAME]),
        .uid = er_json_str(at[R_UID]),
        .resource_version = er_json_str(at[R_VERSION]),
        .field_path = er_json_str(at[R_FIELD_PATH]),
    };
}

/* series.count, else count, else 1. An Event that exists happened once: a count below 1 is unset.
 */
static int64_t total_of(const parts *p) {
    int64_t total;
    if (er_json_int(er_json_get(p->event[E_SERIES], "count"), &total) && total >= 1) {
        return total;
    }
    return er_json_int(p->event[E_COUNT], &total) && total >= 1 ? total : 1;
}

static er_str either(er_str a, er_str b) {
    return a.n > 0 ? a : b;
}

static er_str versioned_id(er_str uid, er_str version, char out[ER_ID_MAX]) {
    if (uid.n + version.n + 1 < ER_ID_MAX) { /* as a rule: no more than 64 bytes */
        char raw[ER_ID_MAX];
        memcpy(raw, uid.p, uid.n);
        raw[uid.n] = '-';
        memcpy(raw + uid.n + 1, version.p, version.n);
        return er_record_id((er_str){raw, uid.n + version.n + 1}, out);
    }
    er_buf raw;
    er_buf_init(&raw, uid.n + version.n + 1);
    er_buf_put_str(&raw, uid);
    er_buf_putc(&raw, '-');
    er_buf_put_str(&raw, version);
    er_str id = er_record_id(er_buf_str(&raw), out);
    er_buf_fini(&raw);
    return id;
}

static void fill_event(const parts *p, er_record *rec) {
    const er_json *source = p->event[E_SOURCE];
    *rec = (er_record){
        .kind = ER_KIND_EVENT,
        .type = er_json_str(p->event[E_TYPE]),
        .reason = er_json_str(p->event[E_REASON]),
        .message = er_json_str(p->event[E_MESSAGE]),
        .namespace_ = er_json_str(p->meta[M_NAMESPACE]),
        .source_component =
            either(er_json_str(p->event[E_COMPONENT]), er_json_get_str(source, "component")),
        .source_host = er_json_get_str(source, "host"),
        .source_instance = er_json_str(p->event[E_INSTANCE]),
        .event =
            {
                .count = total_of(p),
                .count_delta = -1,
                .action = er_json_str(p->event[E_ACTION]),
                .name = er_json_str(p->meta[M_NAME]),
                .uid = er_json_str(p->meta[M_UID]),
                .resource_version = er_json_str(p->meta[M_VERSION]),
            },
    };
    rec->severity = er_str_eqc(rec->type, "Normal") ? ER_SEVERITY_INFO : ER_SEVERITY_WARNING;
    fill_ref(p->event[E_INVOLVED], &rec->object);
    fill_ref(p->event[E_RELATED], &rec->event.related);
    /* Events about objects without a namespace live in "default" and claim none: no mismatch. */
    rec->namespace_mismatch =
        rec->object.namespace_.n > 0 && !er_str_eq(rec->object.namespace_, rec->namespace_);
}

er_status er_draft_event(const er_json *object, er_time observed, er_draft *draft, er_err *err) {
    parts p;
    er_json_pick(object, event_keys, E_MEMBERS_, p.event);
    er_json_pick(p.event[E_METADATA], meta_keys, M_MEMBERS_, p.meta);
    er_str uid = er_json_str(p.meta[M_UID]);
    er_str version = er_json_str(p.meta[M_VERSION]);
    if (uid.n == 0 || version.n == 0) {
        return er_err_set(err, ER_E_INVAL, "an Event without metadata.%s",
                          uid.n == 0 ? "uid" : "resourceVersion");
    }
    er_record *rec = &draft->rec;
    fill_event(&p, rec);
    rec->id = versioned_id(uid, version, draft->id);
    fill_times(&p, observed, rec);
    return ER_OK;
}

/* What all our own records share. */
static void fill_own(er_draft *draft, er_kind kind, er_severity severity, er_time time,
                     const char *time_source, er_time observed) {
    er_record *rec = &draft->rec;
    rec->kind = kind;
    rec->severity = severity;
    rec->type = ER_STR("Warning");
    rec->time = time == ER_TIME_NONE ? observed : time;
    rec->time_source = time == ER_TIME_NONE ? ER_STR("observed") : er_str_of(time_source);
    rec->observed_time = observed;
    rec->observed_mono_ns = er_mono_ns();
    rec->source_component = ER_STR("eventrouter");
    rec->message = er_str_of(draft->text);
}

static const char *gap_text(er_str cause) {
    static const struct {
        const char *cause, *text;
    } texts[] = {
        {"expired", "the API server no longer held the versions that came next"},
        {"rewound", "the API server's store went back to an older version"},
        {"oversized", "a frame was too large and was skipped"},
        {"undecodable", "a frame could not be decoded and was skipped"},
        {"listIncomplete", "a list could not be read as one consistent whole"},
        {"noState", "no usable resume point was found"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (er_str_eqc(cause, texts[i].cause)) {
            return texts[i].text;
        }
    }
    return "versions are missing";
}

void er_draft_gap(const er_gap_part *part, er_str stream_id, unsigned n, er_time observed,
                  er_draft *draft) {
    *draft = (er_draft){0};
    bool is_after = part->from_version.n > 0; /* else nothing is known of what was before */
    (void)snprintf(draft->text, sizeof draft->text, "Gap in %.*s%s%.*s: %s",
                   (int)(part->stream.n < 100 ? part->stream.n : 100), part->stream.p,
                   is_after ? " after version " : "", (int)part->from_version.n,
                   is_after ? part->from_version.p : "", gap_text(part->cause));
    fill_own(draft, ER_KIND_GAP, ER_SEVERITY_ERROR, part->from_time, "fromTime", observed);
    draft->rec.reason = part->cause;
    draft->rec.gap = *part;
    char hash[17];
    er_sha256_hex(stream_id, hash, 16);
    char raw[ER_ID_MAX + 64];
    er_str version = is_after ? part->from_version : part->to_version;
    (void)snprintf(raw, sizeof raw, "gap-%s-%.*s-%u", hash, (int)version.n,
                   version.n > 0 ? version.p : "", n);
    draft->rec.id = er_record_id(er_str_of(raw), draft->id);
}

void er_draft_notice(const er_notice_part *part, er_str scope_id, er_time observed,
                     er_draft *draft) {
    *draft = (er_draft){0};
    (void)snprintf(draft->text, sizeof draft->text, "Sink %.*s lost %lld records: %.*s",
                   (int)(part->sink.n < 100 ? part->sink.n : 100), part->sink.p,
                   (long long)part->records, (int)part->cause.n, part->cause.p);
    fill_own(draft, ER_KIND_NOTICE, ER_SEVERITY_WARNING, part->since, "since", observed);
    draft->rec.reason = part->cause;
    draft->rec.notice = *part;
    er_buf key;
    er_buf_init(&key, 4096);
    er_buf_put_str(&key, scope_id);
    er_buf_putc(&key, '\n');
    er_buf_put_str(&key, part->sink);
    er_buf_putc(&key, '\n');
    er_buf_put_str(&key, part->cause);
    char hash[17];
    er_sha256_hex(er_buf_str(&key), hash, 16);
    er_buf_fini(&key);
    char raw[ER_ID_MAX];
    (void)snprintf(raw, sizeof raw, "notice-%s-%lld", hash, (long long)(part->since / 1000));
    draft->rec.id = er_record_id(er_str_of(raw), draft->id);
}
