#include "record/record.h"

#include "record/hash.h"

#include <stdlib.h>
#include <string.h>

const char *er_kind_name(er_kind kind) {
    static const char *const names[] = {"event", "gap", "notice", "change", "rollout", "restart"};
    return names[kind];
}

const char *er_severity_name(er_severity severity) {
    static const char *const names[] = {"INFO", "WARNING", "ERROR"};
    return names[severity];
}

/* Where the strings are: what sealing copies. One list for all records, one for each kind. */
#define AT(member) offsetof(er_record, member)
static const size_t common_strings[] = {
    AT(id),
    AT(cluster),
    AT(time_source),
    AT(type),
    AT(reason),
    AT(message),
    AT(namespace_),
    AT(object.api_version),
    AT(object.kind),
    AT(object.namespace_),
    AT(object.name),
    AT(object.uid),
    AT(object.resource_version),
    AT(object.field_path),
    AT(source_component),
    AT(source_host),
    AT(source_instance),
};
static const size_t event_strings[] = {
    AT(event.action),
    AT(event.name),
    AT(event.uid),
    AT(event.resource_version),
    AT(event.related.api_version),
    AT(event.related.kind),
    AT(event.related.namespace_),
    AT(event.related.name),
    AT(event.related.uid),
    AT(event.related.resource_version),
    AT(event.related.field_path),
};
static const size_t gap_strings[] = {AT(gap.stream), AT(gap.cause), AT(gap.from_version),
                                     AT(gap.to_version)};
static const size_t notice_strings[] = {AT(notice.sink), AT(notice.cause)};
static const size_t change_strings[] = {
    AT(change.operation),
    AT(change.fields),
    AT(change.revision),
    AT(change.cause),
    AT(change.actor_manager),
    AT(change.actor_operation),
    AT(change.actor_subresource),
    AT(change.diff),
    AT(change.patch),
};
static const size_t rollout_strings[] = {AT(rollout.state), AT(rollout.revision),
                                         AT(rollout.change_id), AT(rollout.reason),
                                         AT(rollout.message)};
static const size_t restart_strings[] = {
    AT(restart.container),  AT(restart.container_type), AT(restart.reason),
    AT(restart.image),      AT(restart.node),           AT(restart.waiting_reason),
    AT(restart.owner.kind), AT(restart.owner.name),     AT(restart.owner.uid),
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STRINGS_MAX  (COUNT(common_strings) + COUNT(event_strings)) /* of any kind */
static const struct {
    const size_t *offsets;
    size_t n;
} kind_strings[] = {
    [ER_KIND_EVENT] = {event_strings, COUNT(event_strings)},
    [ER_KIND_GAP] = {gap_strings, COUNT(gap_strings)},
    [ER_KIND_NOTICE] = {notice_strings, COUNT(notice_strings)},
    [ER_KIND_CHANGE] = {change_strings, COUNT(change_strings)},
    [ER_KIND_ROLLOUT] = {rollout_strings, COUNT(rollout_strings)},
    [ER_KIND_RESTART] = {restart_strings, COUNT(restart_strings)},
};

static const size_t *string_at(er_kind kind, size_t i) {
    if (i < COUNT(common_strings)) {
        return &common_strings[i];
    }
    i -= COUNT(common_strings);
    return i < kind_strings[kind].n ? &kind_strings[kind].offsets[i] : NULL;
}

/* The length of s once each byte that is not UTF-8 has become U+FFFD (three bytes): that of s when
 * it is valid, else more. */
static size_t repaired_len(er_str s) {
    if (er_utf8_valid(s)) {
        return s.n;
    }
    size_t len = 0;
    for (size_t i = 0; i < s.n;) {
        size_t step = er_utf8_len(s.p + i, s.n - i);
        len += step == 0 ? 3 : step;
        i += step == 0 ? 1 : step;
    }
    return len;
}

static void repair(char *to, er_str s) {
    for (size_t i = 0; i < s.n;) {
        size_t step = er_utf8_len(s.p + i, s.n - i);
        memcpy(to, step == 0 ? "\xef\xbf\xbd" : s.p + i, step == 0 ? 3 : step);
        to += step == 0 ? 3 : step;
        i += step == 0 ? 1 : step;
    }
}

er_record *er_record_seal(const er_record *draft) {
    er_record cut;
    memcpy(&cut, draft, sizeof cut);
    /* Cut before copying, so that what is left out takes no memory. */
    cut.message.n = er_utf8_cut(cut.message, ER_RECORD_MESSAGE_MAX);
    cut.truncated = cut.truncated || cut.message.n < draft->message.n;
    size_t total = sizeof(er_record);
    size_t lens[STRINGS_MAX];
    const size_t *at;
    for (size_t i = 0; (at = string_at(cut.kind, i)) != NULL; i++) {
        lens[i] = repaired_len(*(const er_str *)(const void *)((const char *)&cut + *at));
        total += lens[i];
    }
    er_record *rec = malloc(total);
    if (rec == NULL) {
        return NULL;
    }
    memcpy(rec, &cut, sizeof *rec);
    atomic_init(&rec->refs, 1);
    rec->bytes = total;
    char *to = (char *)(rec + 1);
    for (size_t i = 0; (at = string_at(cut.kind, i)) != NULL; i++) {
        er_str *s = (er_str *)(void *)((char *)rec + *at);
        if (lens[i] == s->n && s->n > 0) {
            memcpy(to, s->p, s->n);
        } else if (s->n > 0) {
            repair(to, *s);
        }
        *s = (er_str){to, lens[i]};
        to += lens[i];
    }
    if (rec->message.n > ER_RECORD_MESSAGE_MAX) { /* repairs made it longer */
        rec->message.n = er_utf8_cut(rec->message, ER_RECORD_MESSAGE_MAX);
        rec->truncated = true;
    }
    return rec;
}

er_record *er_record_ref(er_record *rec) {
    atomic_fetch_add_explicit(&rec->refs, 1, memory_order_relaxed);
    return rec;
}

void er_record_unref(er_record *rec) {
    if (rec == NULL) {
        return;
    }
    if (atomic_fetch_sub_explicit(&rec->refs, 1, memory_order_acq_rel) == 1) {
        free(rec);
    }
}

static bool id_char(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

er_str er_record_id(er_str id, char out[ER_ID_MAX]) {
    bool is_legal = id.n >= 1 && id.n < ER_ID_MAX;
    for (size_t i = 0; i < id.n && is_legal; i++) {
        is_legal = id_char(id.p[i]);
    }
    if (is_legal) {
        memcpy(out, id.p, id.n);
        out[id.n] = '\0';
        return (er_str){out, id.n};
    }
    memcpy(out, "x-", 2);
    er_sha256_hex(id, out + 2, 40);
    return (er_str){out, 42};
}
