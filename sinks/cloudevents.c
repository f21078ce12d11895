#include "sinks/cloudevents.h"

#include "base/json_write.h"

/* Of one part of the subject: names of Kubernetes are shorter, but an Event's reference may hold
 * anything. */
#define PART_MAX 256

static const char *type_of(const er_record *rec) {
    switch (rec->kind) {
    case ER_KIND_GAP:
        return "io.eventrouter.gap";
    case ER_KIND_NOTICE:
        return "io.eventrouter.notice";
    case ER_KIND_CHANGE:
        return "io.eventrouter.change";
    case ER_KIND_ROLLOUT:
        return "io.eventrouter.rollout";
    case ER_KIND_RESTART:
        return "io.eventrouter.restart";
    case ER_KIND_EVENT:
    default:
        return "io.eventrouter.event";
    }
}

static void put_source(const er_record *rec, er_buf *out) {
    er_buf_puts(out, "/clusters/");
    er_url_escape((er_str){rec->cluster.p, er_utf8_cut(rec->cluster, PART_MAX)}, out);
}

/* What a String attribute must not hold (spec.md, type system): controls and noncharacters. s is
 * one valid sequence. */
static bool is_illegal(er_str s) {
    const unsigned char *p = (const unsigned char *)s.p;
    switch (s.n) {
    case 1:
        return p[0] < 0x20 || p[0] == 0x7f;
    case 2: /* U+0080 to U+009F */
        return p[0] == 0xc2 && p[1] < 0xa0;
    case 3: /* U+FFFE, U+FFFF; U+FDD0 to U+FDEF */
        return (p[0] == 0xef && p[1] == 0xbf && p[2] >= 0xbe) ||
               (p[0] == 0xef && p[1] == 0xb7 && p[2] >= 0x90 && p[2] <= 0xaf);
    default: /* the last two of each plane */
        return (p[1] & 0x0f) == 0x0f && p[2] == 0xbf && p[3] >= 0xbe;
    }
}

static void put_legal(er_str s, er_buf *out) {
    for (size_t at = 0; at < s.n;) {
        size_t n = er_utf8_len(s.p + at, s.n - at);
        er_str one = {s.p + at, n};
        if (n == 0 || is_illegal(one)) {
            er_buf_puts(out, "\xef\xbf\xbd");
        } else {
            er_buf_put_str(out, one);
        }
        at += n == 0 ? 1 : n;
    }
}

static void put_part(er_str part, const char *before, er_buf *out) {
    if (part.n > 0) {
        er_buf_puts(out, out->len > 0 ? before : "");
        put_legal((er_str){part.p, er_utf8_cut(part, PART_MAX)}, out);
    }
}

/* Nothing for a record that is about no object. */
static void put_subject(const er_record *rec, er_buf *out) {
    const er_object_ref *object = &rec->object;
    if (object->name.n > 0) {
        put_part(object->namespace_, "", out);
        put_part(object->kind, "/", out);
        put_part(object->name, "/", out);
    }
}

void er_cloudevent_json(const er_record *rec, er_buf *out) {
    char time[ER_TIME_TEXT];
    er_buf text;
    er_buf_init(&text, ER_CLOUDEVENT_TEXT_MAX);
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "specversion", ER_STR("1.0"));
    er_jw_kstr(&w, "id", rec->id);
    put_source(rec, &text);
    er_jw_kstr(&w, "source", er_buf_str(&text));
    er_jw_kstr(&w, "type", er_str_of(type_of(rec)));
    er_buf_clear(&text);
    put_subject(rec, &text);
    er_jw_kstr_opt(&w, "subject", er_buf_str(&text));
    er_jw_kstr(&w, "time", er_str_of(er_time_format(rec->time, time)));
    er_jw_kstr(&w, "datacontenttype", ER_STR("application/json"));
    er_jw_kstr(&w, "dataschema", ER_STR(ER_CLOUDEVENTS_SCHEMA));
    er_jw_key(&w, "data");
    er_record_json(rec, out);
    er_buf_putc(out, '}');
    er_buf_fini(&text);
}

/* ---- binary mode ---- */

#define ATTRIBUTE(name_, ...)                                                                      \
    out[n++] = (er_cloudevent_attribute) {                                                         \
        "ce-" name_, "ce_" name_, __VA_ARGS__                                                      \
    }

size_t er_cloudevent_attributes(const er_record *rec, er_buf *text,
                                er_cloudevent_attribute out[ER_CLOUDEVENT_ATTRIBUTES]) {
    char time[ER_TIME_TEXT];
    er_buf subject;
    er_buf_init(&subject, ER_CLOUDEVENT_TEXT_MAX);
    put_subject(rec, &subject);
    er_buf_clear(text);
    put_source(rec, text);
    size_t source = text->len;
    er_buf_put_str(text, er_buf_str(&subject));
    er_buf_puts(text, er_time_format(rec->time, time));
    size_t when = source + subject.len;
    er_buf_fini(&subject);
    /* Only now: the text does not move any more. */
    size_t n = 0;
    ATTRIBUTE("specversion", ER_STR("1.0"));
    ATTRIBUTE("id", rec->id);
    ATTRIBUTE("source", (er_str){text->p, source});
    ATTRIBUTE("type", er_str_of(type_of(rec)));
    if (when > source) {
        ATTRIBUTE("subject", (er_str){text->p + source, when - source});
    }
    ATTRIBUTE("time", (er_str){text->p + when, text->len - when});
    ATTRIBUTE("dataschema", ER_STR(ER_CLOUDEVENTS_SCHEMA));
    return n;
}

/* Section 3.1.3.2 of the HTTP binding: percent-encoded are blank, quote, percent sign and all that
 * is not visible ASCII. */
static void put_value(er_str value, er_buf *text) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c <= 0x20 || c >= 0x7f || c == '"' || c == '%') {
            er_buf_putc(text, '%');
            er_buf_putc(text, hex[c >> 4]);
            er_buf_putc(text, hex[c & 15]);
        } else {
            er_buf_putc(text, value.p[i]);
        }
    }
}

void er_cloudevent_headers(const er_record *rec, er_buf *text, er_http_request *req) {
    er_cloudevent_attribute attributes[ER_CLOUDEVENT_ATTRIBUTES];
    er_buf plain;
    er_buf_init(&plain, ER_CLOUDEVENT_TEXT_MAX);
    size_t n = er_cloudevent_attributes(rec, &plain, attributes);
    size_t starts[ER_CLOUDEVENT_ATTRIBUTES + 1];
    er_buf_clear(text);
    for (size_t i = 0; i < n; i++) {
        starts[i] = text->len;
        put_value(attributes[i].value, text);
    }
    starts[n] = text->len;
    er_buf_fini(&plain);
    for (size_t i = 0; i < n; i++) {
        er_http_request_header(req, attributes[i].http_name,
                               (er_str){text->p + starts[i], starts[i + 1] - starts[i]});
    }
}

bool er_cloudevent_sets_header(const char *name) {
    static const char *const names[] = {
        "ce-specversion", "ce-id",   "ce-source",     "ce-type",
        "ce-subject",     "ce-time", "ce-dataschema", "ce-datacontenttype",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (er_str_ieqc(er_str_of(name), names[i])) {
            return true;
        }
    }
    return false;
}
