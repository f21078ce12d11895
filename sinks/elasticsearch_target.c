#include "sinks/elasticsearch.h"

#include <string.h>

#define NAME_MAX_BYTES 255

/* ---- names ---- */

static er_status check_bytes(er_str s, er_err *err) {
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c >= 'A' && c <= 'Z') {
            return er_err_set(err, ER_E_CONFIG,
                              "has the capital letter %c; names of indices are "
                              "lower case",
                              c);
        }
        if (c <= ' ' || c == 0x7f || strchr("\\/*?\"<>|,#:", c) != NULL) {
            return er_err_set(err, ER_E_CONFIG,
                              "must not have blanks or any of \\ / * ? \" < > | , # :");
        }
    }
    return ER_OK;
}

static er_status check_whole(er_str s, er_err *err) {
    if (s.n == 0) {
        return er_err_set(err, ER_E_CONFIG, "must not be empty");
    }
    if (strchr("-_+", s.p[0]) != NULL) {
        return er_err_set(err, ER_E_CONFIG, "must not begin with -, _ or +");
    }
    if (er_str_eqc(s, ".") || er_str_eqc(s, "..")) {
        return er_err_set(err, ER_E_CONFIG, "must not be . or ..");
    }
    if (s.n > NAME_MAX_BYTES) {
        return er_err_set(err, ER_E_CONFIG, "is longer than %d bytes", NAME_MAX_BYTES);
    }
    return check_bytes(s, err);
}

er_status er_elastic_check_name(const char *text, er_err *err) {
    er_str s = er_str_of(text);
    if (s.n == 0) {
        return ER_OK; /* not set */
    }
    if (strpbrk(text, "{}") != NULL) {
        return er_err_set(err, ER_E_CONFIG,
                          "must not have { or }; dates are for names of indices only");
    }
    if (er_str_starts(s, ".ds-")) {
        return er_err_set(err, ER_E_CONFIG, "must not begin with .ds-");
    }
    return check_whole(s, err);
}

/* ---- dates ---- */

/* Where they stand in RFC 3339 as er_time_format writes it. */
static const struct {
    const char *name;
    size_t at, n;
} parts[] = {{"yyyy", 0, 4}, {"MM", 5, 2}, {"dd", 8, 2}, {"HH", 11, 2}};
#define PARTS_N (sizeof parts / sizeof parts[0])

/* The part that s begins with; PARTS_N: none. */
static size_t part_at(er_str s) {
    for (size_t i = 0; i < PARTS_N; i++) {
        if (er_str_starts(s, parts[i].name)) {
            return i;
        }
    }
    return PARTS_N;
}

/* Writes what stands between braces; false: it is no date. */
static bool put_date(er_str pattern, const char *time, er_buf *out) {
    bool has_part = false;
    while (pattern.n > 0) {
        size_t part = part_at(pattern);
        size_t n = 1;
        if (part < PARTS_N) {
            n = parts[part].n;
            has_part = true;
            er_buf_put(out, time + parts[part].at, n);
        } else if (strchr("-._", pattern.p[0]) != NULL) {
            er_buf_putc(out, pattern.p[0]);
        } else {
            return false;
        }
        pattern = (er_str){pattern.p + n, pattern.n - n};
    }
    return has_part;
}

/* Writes the name with its dates; false: something between braces is no date, or a brace stands
 * alone. */
static bool put_dated(const char *text, const char *time, er_buf *out) {
    for (;;) {
        size_t plain = strcspn(text, "{}");
        er_buf_put(out, text, plain);
        text += plain;
        if (*text == '\0') {
            return true;
        }
        const char *close = strchr(text, '}');
        if (*text == '}' || close == NULL ||
            !put_date((er_str){text + 1, (size_t)(close - text - 1)}, time, out)) {
            return false;
        }
        text = close + 1;
    }
}

er_status er_elastic_check_index(const char *text, er_err *err) {
    if (text[0] == '\0') {
        return ER_OK; /* not set */
    }
    er_buf name;
    er_buf_init(&name, 4096);
    er_status status = ER_OK;
    if (!put_dated(text, "2026-01-02T03:04:05Z", &name)) {
        status = er_err_set(err, ER_E_CONFIG,
                            "has a date that is not understood; write {yyyy.MM.dd}, of yyyy, MM, "
                            "dd, HH and the signs . - _");
    } else {
        status = check_whole(er_buf_str(&name), err);
    }
    er_buf_fini(&name);
    return status;
}

/* ---- the configured one ---- */

const char *er_elastic_target(const er_elastic_config *config) {
    return config->index[0] != '\0'   ? config->index
           : config->alias[0] != '\0' ? config->alias
                                      : config->data_stream;
}

bool er_elastic_is_dated(const er_elastic_config *config) {
    return strchr(config->index, '{') != NULL;
}

void er_elastic_put_target(const er_elastic_config *config, er_time time, er_buf *out) {
    const char *target = er_elastic_target(config);
    if (!er_elastic_is_dated(config)) {
        er_buf_puts(out, target);
        return;
    }
    char text[ER_TIME_TEXT];
    (void)put_dated(target, er_time_format(time, text), out);
}

void er_elastic_put_setup_name(const er_elastic_config *config, er_buf *out) {
    const char *target = er_elastic_target(config);
    er_str base = {target, strcspn(target, "{")};
    while (base.n > 1 && strchr("-._", base.p[base.n - 1]) != NULL) {
        base.n--;
    }
    er_buf_puts(out, "eventrouter-");
    er_buf_put_str(out, base);
    er_buf_puts(out, config->alias[0] != '\0'         ? "-alias"
                     : config->data_stream[0] != '\0' ? "-stream"
                     : er_elastic_is_dated(config)    ? ""
                                                      : "-index");
}
