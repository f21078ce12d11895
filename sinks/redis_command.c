#include "sinks/redis_command.h"

#include "base/json_write.h"
#include "sinks/name_template.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* pcall hands errors of the two commands on as they are, in every version of Redis. */
#define SCRIPT                                                                                     \
    "local seen=redis.pcall('SET',KEYS[1],'1','XX','EX',ARGV[1]) "                                 \
    "if seen then if seen.err then return seen end return 0 end "                                  \
    "local id=redis.pcall('XADD',KEYS[2],unpack(ARGV,2)) "                                         \
    "if type(id)~='string' then return id end "                                                    \
    "local set=redis.pcall('SET',KEYS[1],'1','EX',ARGV[1]) "                                       \
    "if set.err then return set end "                                                              \
    "return id"
#define SCRIPT_ARGS 6 /* EVAL script 2 marker stream seconds */

typedef struct argv_list {
    er_str v[ER_REDIS_ARGV_MAX];
    size_t n;
} argv_list;

static void add(argv_list *argv, er_str s) {
    ER_ASSERT(argv->n < ER_REDIS_ARGV_MAX);
    argv->v[argv->n++] = s;
}

static void addc(argv_list *argv, const char *s) {
    add(argv, er_str_of(s));
}

/* ---- fields ---- */

typedef struct field_texts {
    char time[ER_TIME_TEXT], observed[ER_TIME_TEXT];
} field_texts;

static const char *const field_names[] = {"id",           "kind",      "cluster", "time",
                                          "observedTime", "severity",  "type",    "reason",
                                          "message",      "namespace", "schema",  "data"};
#define FIELDS_N (sizeof field_names / sizeof field_names[0])

er_status er_redis_field_check(const char *name, er_err *err) {
    for (size_t i = 0; i < FIELDS_N; i++) {
        if (strcmp(name, field_names[i]) == 0) {
            return ER_OK;
        }
    }
    return er_err_set(err, ER_E_CONFIG,
                      "is not a field; there are id, kind, cluster, time, observedTime, severity, "
                      "type, reason, message, namespace, schema, and data, the whole record");
}

static er_str value_of(const char *name, const er_record *rec, field_texts *texts, er_str data) {
    const er_str values[FIELDS_N] = {
        rec->id,
        er_str_of(er_kind_name(rec->kind)),
        rec->cluster,
        er_str_of(er_time_format(rec->time, texts->time)),
        er_str_of(er_time_format(rec->observed_time, texts->observed)),
        er_str_of(er_severity_name(rec->severity)),
        rec->type,
        rec->reason,
        rec->message,
        rec->namespace_,
        ER_STR(ER_RECORD_SCHEMA),
        data,
    };
    for (size_t i = 0; i < FIELDS_N; i++) {
        if (strcmp(name, field_names[i]) == 0) {
            return values[i];
        }
    }
    return (er_str){0};
}

/* ---- the command ---- */

/* What the arguments point to. */
typedef struct entry_texts {
    er_buf stream, marker, data;
    char max_len[24], min_id[24], ttl[24];
    field_texts fields;
} entry_texts;

static void make_texts(const er_redis_entry *entry, const er_record *rec, size_t max,
                       entry_texts *t) {
    er_buf_init(&t->stream, ER_NAME_MAX);
    er_buf_init(&t->marker, 2 * ER_NAME_MAX);
    er_buf_init(&t->data, max);
    er_name_template_put(entry->stream, rec, &t->stream);
    er_record_json(rec, &t->data);
    /* Two streams may be fed by the same records: each has markers of its own. */
    er_buf_puts(&t->marker, entry->dedupe.prefix);
    er_buf_put_str(&t->marker, er_buf_str(&t->stream));
    er_buf_putc(&t->marker, ':');
    er_buf_put_str(&t->marker, rec->id);
    int64_t at = rec->observed_time == ER_TIME_NONE ? 0 : rec->observed_time / 1000;
    int64_t min_id = at > entry->min_id_ms ? at - entry->min_id_ms : 0;
    (void)snprintf(t->max_len, sizeof t->max_len, "%" PRId64, entry->max_len);
    (void)snprintf(t->min_id, sizeof t->min_id, "%" PRId64, min_id);
    (void)snprintf(t->ttl, sizeof t->ttl, "%" PRId64, (entry->dedupe.ttl_ms + 999) / 1000);
}

static void add_trim(argv_list *argv, const er_redis_entry *entry, const entry_texts *t) {
    bool by_length = entry->max_len >= 0;
    if (by_length || entry->min_id_ms >= 0) {
        addc(argv, by_length ? "MAXLEN" : "MINID");
        addc(argv, "~");
        addc(argv, by_length ? t->max_len : t->min_id);
    }
}

static void add_fields(argv_list *argv, const er_redis_entry *entry, const er_record *rec,
                       entry_texts *t) {
    for (size_t i = 0; i < entry->fields.n; i++) {
        const char *name = entry->fields.v[i].s;
        er_str value = value_of(name, rec, &t->fields, er_buf_str(&t->data));
        if (value.n > 0) {
            addc(argv, name);
            add(argv, value);
        }
    }
}

void er_redis_entry_put(const er_redis_entry *entry, const er_record *rec, er_buf *out) {
    entry_texts t;
    make_texts(entry, rec, out->max, &t);
    argv_list argv = {.n = 0};
    if (entry->dedupe.ttl_ms >= 0) {
        addc(&argv, "EVAL");
        addc(&argv, SCRIPT);
        addc(&argv, "2");
        add(&argv, er_buf_str(&t.marker));
        add(&argv, er_buf_str(&t.stream));
        addc(&argv, t.ttl);
    } else {
        addc(&argv, "XADD");
        add(&argv, er_buf_str(&t.stream));
    }
    if (entry->no_mk_stream) {
        addc(&argv, "NOMKSTREAM");
    }
    add_trim(&argv, entry, &t);
    addc(&argv, "*");
    add_fields(&argv, entry, rec, &t);
    er_redis_command_put(argv.v, argv.n, out);
    if (er_buf_status(&t.data) != ER_OK && out->bad == ER_OK) {
        out->bad = er_buf_status(&t.data);
    }
    er_buf_fini(&t.stream);
    er_buf_fini(&t.marker);
    er_buf_fini(&t.data);
}

void er_redis_command_put(const er_str *argv, size_t n, er_buf *out) {
    size_t bytes = 32;
    for (size_t i = 0; i < n; i++) {
        bytes += argv[i].n + 32;
    }
    er_buf_expect(out, bytes);
    er_buf_putf(out, "*%zu\r\n", n);
    for (size_t i = 0; i < n; i++) {
        er_buf_putc(out, '$');
        er_buf_put_u64(out, argv[i].n);
        er_buf_puts(out, "\r\n");
        er_buf_put_str(out, argv[i]);
        er_buf_puts(out, "\r\n");
    }
}

/* ---- for people ---- */

/* The number behind the first byte of a line; *at moves behind the line. */
static size_t number_line(er_str s, size_t *at) {
    uint64_t n = 0;
    size_t end = *at + 1;
    while (end < s.n && s.p[end] != '\r') {
        end++;
    }
    ER_ASSERT(end < s.n && er_parse_u64((er_str){s.p + *at + 1, end - *at - 1}, &n));
    *at = end + 2;
    return (size_t)n;
}

size_t er_redis_command_split(er_str command, er_str argv[ER_REDIS_ARGV_MAX]) {
    size_t at = 0;
    size_t n = number_line(command, &at);
    ER_ASSERT(n <= ER_REDIS_ARGV_MAX);
    for (size_t i = 0; i < n; i++) {
        size_t len = number_line(command, &at);
        ER_ASSERT(at + len + 2 <= command.n);
        argv[i] = (er_str){command.p + at, len};
        at += len + 2;
    }
    return n;
}

static void put_value(er_str value, er_buf *out) {
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] < 0x20) {
            er_json_quote(out, value);
            return;
        }
    }
    er_buf_put_str(out, value);
}

static void put_words(const er_str *v, size_t n, er_buf *out) {
    for (size_t i = 0; i < n; i++) {
        er_buf_puts(out, i > 0 ? " " : "");
        put_value(v[i], out);
    }
}

void er_redis_entry_show(er_str command, er_buf *out) {
    er_str v[ER_REDIS_ARGV_MAX] = {{0}};
    size_t n = er_redis_command_split(command, v);
    size_t at = 2;
    if (er_str_eqc(v[0], "EVAL")) {
        er_buf_puts(out, "EVAL <script> ");
        put_words(v + 2, 4, out);
        er_buf_puts(out, "\nXADD ");
        put_value(v[4], out);
        at = SCRIPT_ARGS;
    } else {
        put_words(v, at, out);
    }
    for (bool is_head = true; is_head && at < n; at++) {
        is_head = !er_str_eqc(v[at], "*");
        er_buf_putc(out, ' ');
        er_buf_put_str(out, v[at]);
    }
    er_buf_putc(out, '\n');
    for (; at + 1 < n; at += 2) {
        er_buf_put_str(out, v[at]);
        er_buf_puts(out, ": ");
        put_value(v[at + 1], out);
        er_buf_putc(out, '\n');
    }
}
