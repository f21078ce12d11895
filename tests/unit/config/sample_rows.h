/* The rows of the sample configuration; included by sample.h only. */
#ifndef ER_TESTS_UNIT_CONFIG_SAMPLE_ROWS_H
#define ER_TESTS_UNIT_CONFIG_SAMPLE_ROWS_H

#include "sample_types.h"

#define S(member) .offset = offsetof(sample, member)
#define I(member) .offset = offsetof(sample_item, member)
#define F(member) .offset = offsetof(sample_file, member)
#define H(member) .offset = offsetof(sample_hook, member)

static er_status check_word(const char *text, er_err *err) {
    if (strchr(text, ' ') != NULL) {
        return er_err_set(err, ER_E_CONFIG, "has a blank");
    }
    return ER_OK;
}

static er_status check_item(const void *value, er_err *err) {
    const sample_item *item = value;
    if (item->weight == 13) {
        return er_err_set(err, ER_E_CONFIG, "13 is never a weight");
    }
    return ER_OK;
}

static er_status check_hook(const void *value, er_err *err) {
    const sample_hook *hook = value;
    if (hook->auth.bearer.kind != ER_SECRET_UNSET && hook->common.records > 100) {
        return er_err_set(err, ER_E_CONFIG, "bearer is for 100 records at most");
    }
    return ER_OK;
}

static er_status check_range(const void *value, er_err *err) {
    int64_t pair[2];
    memcpy(pair, (const char *)value + offsetof(sample, range.from) - offsetof(sample, range),
           sizeof pair);
    if (pair[0] > pair[1]) {
        return er_err_set(err, ER_E_CONFIG, "from is larger than to");
    }
    return ER_OK;
}

static er_status check_sample(const void *value, er_err *err) {
    const sample *s = value;
    if (s->wait_ms > s->max_ms) {
        return er_err_set(err, ER_E_CONFIG, "wait is longer than max");
    }
    return ER_OK;
}

static const er_field range_rows[] = {
    {.key = "", .type = ER_FIELD_STRUCT, .offset = 0},
    {.key = "from",
     .type = ER_FIELD_INT,
     .offset = offsetof(sample, range.from) - offsetof(sample, range),
     .min = -10,
     .max = 10,
     .help = "Where it begins."},
    {.key = "to",
     .type = ER_FIELD_INT,
     .offset = offsetof(sample, range.to) - offsetof(sample, range),
     .def = "5",
     .min = -10,
     .max = 10,
     .help = "Where it ends."},
    {.key = NULL},
};

static const er_field more_rows[] = {
    {.key = "deep", .type = ER_FIELD_BOOL, .help = "Is it deep?"},
    {.key = NULL},
};

static const er_field item_rows[] = {
    ER_FIELD_POS(sample_item, pos),
    {.key = "name",
     .type = ER_FIELD_STRING,
     I(name),
     .flags = ER_FIELD_REQUIRED,
     .max = 8,
     .help = "Its name."},
    {.key = "weight", .type = ER_FIELD_INT, I(weight), .def = "1", .min = 1, .help = "Its weight."},
    {.key = "kinds", .type = ER_FIELD_STRINGS, I(kinds), .max = 2, .help = "Its kinds."},
    {.key = "more", .type = ER_FIELD_STRUCT, I(more), .rows = more_rows, .help = "More of it."},
    {.key = NULL},
};

#define COMMON_ROWS(bytes_)                                                                        \
    {.key = "records",                                                                             \
     .type = ER_FIELD_INT,                                                                         \
     .offset = offsetof(sample_common, records),                                                   \
     .def = "10",                                                                                  \
     .min = 1,                                                                                     \
     .max = 1000,                                                                                  \
     .help = "Most records."},                                                                     \
    {                                                                                              \
        .key = "bytes", .type = ER_FIELD_SIZE, .offset = offsetof(sample_common, bytes),           \
        .def = (bytes_), .help = "Most bytes."                                                     \
    }

static const er_field file_rows[] = {
    COMMON_ROWS("1MiB"),
    {.key = "path",
     .type = ER_FIELD_STRING,
     F(path),
     .flags = ER_FIELD_REQUIRED,
     .help = "Where it is; a|b."},
    {.key = NULL},
};

static const er_field basic_rows[] = {
    {.key = "username",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_REQUIRED,
     .offset = offsetof(sample_hook, auth.basic.username),
     .help = "The user."},
    {.key = "password",
     .type = ER_FIELD_SECRET,
     .flags = ER_FIELD_REQUIRED,
     .offset = offsetof(sample_hook, auth.basic.password),
     .help = "The password."},
    {.key = NULL},
};

static const er_field auth_rows[] = {
    {.key = "basic", .type = ER_FIELD_STRUCT, .rows = basic_rows, .help = "User and password."},
    {.key = "bearer", .type = ER_FIELD_SECRET, H(auth.bearer), .help = "A token."},
    {.key = NULL},
};

static const er_field hook_rows[] = {
    ER_FIELD_POS(sample_hook, pos),
    COMMON_ROWS("2MiB"),
    {.key = "url", .type = ER_FIELD_URL, H(url), .flags = ER_FIELD_REQUIRED, .help = "Where to."},
    {.key = "auth", .type = ER_FIELD_STRUCT, .rows = auth_rows, .help = "Credentials."},
    {.key = "headers",
     .type = ER_FIELD_SECRETS,
     H(headers),
     .max = 3,
     .check = check_word,
     .help = "More headers."},
    {.key = "keys", .type = ER_FIELD_SECRET_LIST, H(keys), .min = 1, .max = 3, .help = "Keys."},
    {.key = NULL},
};

static bool sample_variant_at(size_t i, er_variant *out) {
    static const er_variant kinds[] = {
        {.name = "file", .summary = "Into a file.", .rows = file_rows, .size = sizeof(sample_file)},
        {.name = "hook",
         .summary = "To a server.",
         .rows = hook_rows,
         .size = sizeof(sample_hook),
         .check_struct = check_hook,
         .user = hook_rows},
    };
    if (i < 2) {
        *out = kinds[i];
    }
    return i < 2;
}

static const er_field sample_rows[] = {
    {.key = "cluster", .type = ER_FIELD_STRING, S(cluster), .max = 20, .help = "The name."},
    {.key = "enabled", .type = ER_FIELD_BOOL, S(enabled), .def = "true", .help = "Is it on?"},
    {.key = "verbose", .type = ER_FIELD_BOOL, S(verbose), .help = "Many words?"},
    {.key = "count",
     .type = ER_FIELD_INT,
     S(count),
     .def = "7",
     .min = 1,
     .max = 100,
     .help = "How many."},
    {.key = "most",
     .type = ER_FIELD_INT,
     S(most),
     .flags = ER_FIELD_UNSET,
     .min = 1,
     .help = "At most so many."},
    {.key = "wait",
     .type = ER_FIELD_DURATION,
     S(wait_ms),
     .def = "1500ms",
     .min = 10,
     .max = 3600000,
     .help = "How long."},
    {.key = "max", .type = ER_FIELD_DURATION, S(max_ms), .def = "1h", .help = "The longest wait."},
    {.key = "age",
     .type = ER_FIELD_DURATION,
     S(age_ms),
     .flags = ER_FIELD_UNSET,
     .help = "How old; 0: never."},
    {.key = "size", .type = ER_FIELD_SIZE, S(size), .def = "64KiB", .min = 1024, .help = "Bytes."},
    {.key = "level",
     .type = ER_FIELD_ENUM,
     S(level),
     .choices = "debug|info|warning",
     .def = "info",
     .help = "How loud."},
    {.key = "version",
     .type = ER_FIELD_ENUM,
     S(version),
     .choices = "1.2|1.3",
     .help = "Of the protocol."},
    {.key = "token", .type = ER_FIELD_SECRET, S(token), .help = "A secret."},
    {.key = "home", .type = ER_FIELD_URL, S(home), .help = "A URL."},
    {.key = "names",
     .type = ER_FIELD_STRINGS,
     S(names),
     .check = check_word,
     .help = "Words without blanks."},
    {.key = "words",
     .type = ER_FIELD_STRINGS,
     S(words),
     .def = "[one, \"two three\"]",
     .help = "Words."},
    {.key = "range",
     .type = ER_FIELD_STRUCT,
     S(range),
     .rows = range_rows,
     .check_struct = check_range,
     .help = "From here to there."},
    {.key = "items",
     .type = ER_FIELD_LIST,
     S(items),
     .rows = item_rows,
     .elem_size = sizeof(sample_item),
     .check_struct = check_item,
     .help = "In order."},
    {.key = "sinks",
     .type = ER_FIELD_VARIANTS,
     S(sinks),
     .check = check_word,
     .variant_at = sample_variant_at,
     .help = "Where to."},
    {.key = "secretKnob", .type = ER_FIELD_BOOL, S(verbose), .flags = ER_FIELD_HIDDEN},
    {.key = NULL},
};

static const er_schema sample_schema = {
    .title = "sample configuration",
    .rows = sample_rows,
    .size = sizeof(sample),
    .check_struct = check_sample,
};

#endif
