#include "config/config_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct unit {
    const char *name;
    int64_t factor;
} unit;

/* Largest first, for printing; the last is the unit that the value is kept in. */
static const unit durations[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}, {NULL, 0}};
static const unit sizes[] = {
    {"GiB", INT64_C(1) << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}, {NULL, 0}};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static size_t count_digits(er_str s) {
    size_t n = 0;
    while (n < s.n && is_digit(s.p[n])) {
        n++;
    }
    return n;
}

/* Decimal digits, without a leading zero; false also on overflow. */
static bool parse_digits(er_str s, int64_t *out) {
    uint64_t v;
    if ((s.n > 1 && s.p[0] == '0') || !er_parse_u64(s, &v) || v > INT64_MAX) {
        return false;
    }
    *out = (int64_t)v;
    return true;
}

er_str er_choice(const char *choices, size_t i) {
    const char *p = choices;
    for (; i > 0 && p != NULL; i--) {
        p = strchr(p, '|');
        p = p == NULL ? NULL : p + 1;
    }
    return p == NULL ? (er_str){"", 0} : (er_str){p, strcspn(p, "|")};
}

void er_choices_print(const char *choices, er_buf *out) {
    for (size_t i = 0; er_choice(choices, i).n > 0; i++) {
        er_buf_puts(out, i == 0 ? "" : ", ");
        er_buf_put_str(out, er_choice(choices, i));
    }
}

int64_t er_field_max(const er_field *field) {
    return field->max == 0 && field->min >= 0 ? INT64_MAX : field->max;
}

const char *er_value_expected(const er_field *field) {
    switch (field->type) {
    case ER_FIELD_BOOL:
        return "true or false";
    case ER_FIELD_INT:
        return "a whole number such as 10";
    case ER_FIELD_DURATION:
        return "a duration such as 5s or 200ms";
    case ER_FIELD_SIZE:
        return "a size such as 64KiB or 1MiB";
    case ER_FIELD_ENUM:
        return "one of its values";
    case ER_FIELD_STRING:
        return "a text";
    case ER_FIELD_SECRET:
        return "{file: PATH}, {env: NAME} or a text";
    case ER_FIELD_URL:
        return "a URL, {file: PATH} or {env: NAME}";
    case ER_FIELD_VARIANTS:
        return "a map (NAME: {type: KIND, ...})";
    case ER_FIELD_STRUCT:
    case ER_FIELD_SECRETS:
        return "a map (key: value)";
    case ER_FIELD_STRINGS:
        return "a list of texts";
    case ER_FIELD_SECRET_LIST:
        return er_field_is_urls(field) ? "a list of URLs, {file: PATH} or {env: NAME}"
                                       : "a list of {file: PATH}, {env: NAME} or texts";
    case ER_FIELD_LIST:
        return "a list (- item)";
    default:
        return "a value";
    }
}

/* ---- numbers ---- */

void er_number_print(er_field_type type, int64_t v, er_buf *out) {
    const unit *u = type == ER_FIELD_DURATION ? durations : sizes;
    if (type == ER_FIELD_INT || v <= 0) {
        er_buf_putf(out, "%lld", (long long)v);
        return;
    }
    while (v % u->factor != 0) {
        u++;
    }
    er_buf_putf(out, "%lld%s", (long long)(v / u->factor), u->name);
}

const char *er_number_text(er_field_type type, int64_t v, char out[ER_NUMBER_TEXT]) {
    er_buf text;
    er_buf_init(&text, ER_NUMBER_TEXT);
    er_number_print(type, v, &text);
    (void)snprintf(out, ER_NUMBER_TEXT, "%s", er_buf_cstr(&text));
    er_buf_fini(&text);
    return out;
}

er_status er_backoff_check(int64_t initial_ms, int64_t max_ms, er_err *err) {
    char initial[ER_NUMBER_TEXT];
    char max[ER_NUMBER_TEXT];
    return initial_ms <= max_ms
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG, "initial (%s) must not be longer than max (%s)",
                            er_number_text(ER_FIELD_DURATION, initial_ms, initial),
                            er_number_text(ER_FIELD_DURATION, max_ms, max));
}

static er_status out_of_limits(const er_field *f, const char *found, er_err *err) {
    char low[ER_NUMBER_TEXT];
    char high[ER_NUMBER_TEXT];
    (void)er_number_text(f->type, f->min, low);
    if (er_field_max(f) == INT64_MAX) {
        return er_err_set(err, ER_E_CONFIG, "must be at least %s, found %s", low, found);
    }
    return er_err_set(err, ER_E_CONFIG, "must be between %s and %s, found %s", low,
                      er_number_text(f->type, er_field_max(f), high), found);
}

static er_status check_limits(const er_field *f, int64_t v, er_str text, er_err *err) {
    if (v >= f->min && v <= er_field_max(f)) {
        return ER_OK;
    }
    char shown[ER_SHOWN_TEXT];
    (void)snprintf(shown, sizeof shown, "%.*s", (int)er_utf8_cut(text, 40), text.p);
    return out_of_limits(f, shown, err);
}

static er_status unexpected(const er_field *f, er_str text, const char *hint, er_err *err) {
    char shown[ER_SHOWN_TEXT];
    return er_err_set(err, ER_E_CONFIG, "expected %s, found %s%s", er_value_expected(f),
                      er_shown(text, shown), hint);
}

/* Why a plain text that begins like a number is none of ours. */
static const char *int_hint(er_str text) {
    er_str s = text;
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        s = (er_str){s.p + 1, s.n - 1};
    }
    size_t digits = count_digits(s);
    if (digits == 0) {
        return "";
    }
    if (digits == s.n && s.p[0] == '0') {
        return "; a number does not begin with 0 (octal numbers are not supported)";
    }
    if (digits == s.n && text.p[0] != '+') {
        return "; this number is too large";
    }
    return "; only decimal digits are supported, without \"+\", \"_\", \".\", exponent or 0x";
}

static er_status parse_int(const er_field *f, const er_node *node, int64_t *out, er_err *err) {
    er_str s = node->text;
    if (!node->plain) {
        return unexpected(f, s, "; write it without quotes", err);
    }
    bool is_negative = s.n > 1 && s.p[0] == '-';
    int64_t v;
    if (!parse_digits(is_negative ? (er_str){s.p + 1, s.n - 1} : s, &v)) {
        return unexpected(f, node->text, int_hint(node->text), err);
    }
    v = is_negative ? -v : v;
    er_status status = check_limits(f, v, s, err);
    if (status == ER_OK) {
        *out = v;
    }
    return status;
}

static bool has_digit(er_str s) {
    return strpbrk(s.p, "0123456789") != NULL; /* NUL-terminated, as what it is the end of */
}

/* What a text without a unit of ours may have meant: "5" or "5 s" or "64KB". */
static const char *unit_hint(const er_field *f, er_str number, er_str suffix) {
    bool is_duration = f->type == ER_FIELD_DURATION;
    if (number.n == 0) {
        return suffix.n > 1 && suffix.p[0] == '-' && is_digit(suffix.p[1])
                   ? "; it cannot be negative"
                   : "";
    }
    if (number.n > 1 && number.p[0] == '0') {
        return "; a number does not begin with 0";
    }
    if (suffix.n > 0 && (strchr("._,", suffix.p[0]) != NULL || has_digit(suffix))) {
        return is_duration ? "; write one whole number and one unit: 1.5h and 1h30m are 90m"
                           : "; write one whole number and one unit: 1.5MiB is 1536KiB";
    }
    if (is_duration && er_str_eqc(suffix, "d")) {
        return "; the largest unit is h: a day is 24h";
    }
    if (suffix.n == 0) {
        return is_duration ? "; a unit is missing: ms, s, m or h" : "; this size is too large";
    }
    return is_duration ? "; the units are ms, s, m and h, without a blank"
                       : "; the units are KiB, MiB and GiB, without a blank";
}

static er_status parse_units(const er_field *f, const er_node *node, int64_t *out, er_err *err) {
    bool is_duration = f->type == ER_FIELD_DURATION;
    size_t digits = count_digits(node->text);
    er_str number = {node->text.p, digits};
    er_str suffix = {node->text.p + digits, node->text.n - digits};
    int64_t v = 0;
    bool is_number = parse_digits(number, &v);
    if (is_duration && suffix.n == 0 && is_number && v == 0) {
        suffix = ER_STR("ms");
    }
    const unit *u = is_duration ? durations : sizes;
    while (u->name != NULL && !er_str_eqc(suffix, u->name)) {
        u++;
    }
    if (!is_number && digits > 0 && u->name != NULL && number.p[0] != '0') {
        return unexpected(f, node->text, "; this is too large", err);
    }
    if (!is_number || u->name == NULL) {
        return unexpected(f, node->text, unit_hint(f, number, suffix), err);
    }
    if (__builtin_mul_overflow(v, u->factor, &v)) {
        return unexpected(f, node->text, "; this is too large", err);
    }
    er_status status = check_limits(f, v, node->text, err);
    if (status == ER_OK) {
        *out = v;
    }
    return status;
}

/* ---- others ---- */

static const char *bool_hint(const er_node *node) {
    static const char *const yes[] = {"yes", "on", "y", "true", "1"};
    static const char *const no[] = {"no", "off", "n", "false", "0"};
    bool is_exact = er_str_eqc(node->text, "true") || er_str_eqc(node->text, "false");
    if (is_exact) {
        return "; write it without quotes";
    }
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (er_str_ieqc(node->text, yes[i])) {
            return "; write true";
        }
        if (er_str_ieqc(node->text, no[i])) {
            return "; write false";
        }
    }
    return "";
}

static er_status parse_bool(const er_field *f, const er_node *node, bool *out, er_err *err) {
    bool is_true = er_str_eqc(node->text, "true");
    if (!node->plain || !(is_true || er_str_eqc(node->text, "false"))) {
        return unexpected(f, node->text, bool_hint(node), err);
    }
    *out = is_true;
    return ER_OK;
}

static er_status parse_enum(const er_field *f, const er_node *node, int *out, er_err *err) {
    er_nearest nearest;
    er_nearest_init(&nearest, node->text);
    for (size_t i = 0; er_choice(f->choices, i).n > 0; i++) {
        er_str choice = er_choice(f->choices, i);
        if (er_str_eq(choice, node->text)) {
            *out = (int)i;
            return ER_OK;
        }
        if (!is_digit(choice.p[0])) { /* "1.1" is not a misspelt "1.2" */
            er_nearest_try(&nearest, choice);
        }
    }
    er_buf list;
    er_buf_init(&list, 256);
    er_choices_print(f->choices, &list);
    char shown[ER_SHOWN_TEXT];
    er_shown(node->text, shown);
    er_status status =
        nearest.found.p != NULL
            ? er_err_set(err, ER_E_CONFIG, "expected one of %s, found %s; did you mean \"%.*s\"?",
                         er_buf_cstr(&list), shown, (int)nearest.found.n, nearest.found.p)
            : er_err_set(err, ER_E_CONFIG, "expected one of %s, found %s", er_buf_cstr(&list),
                         shown);
    er_buf_fini(&list);
    return status;
}

static er_status parse_string(const er_field *f, const er_node *node, char **out, er_err *err) {
    int64_t n = (int64_t)node->text.n;
    if (n == 0 && (f->flags & ER_FIELD_REQUIRED) != 0) {
        return er_err_set(err, ER_E_CONFIG, "must not be empty");
    }
    if (n < f->min || n > er_field_max(f)) {
        return n < f->min ? er_err_set(err, ER_E_CONFIG, "must have at least %lld bytes, has %lld",
                                       (long long)f->min, (long long)n)
                          : er_err_set(err, ER_E_CONFIG, "must have at most %lld bytes, has %lld",
                                       (long long)f->max, (long long)n);
    }
    er_status status = f->check == NULL ? ER_OK : f->check(node->text.p, err);
    if (status == ER_OK) {
        free(*out);
        *out = er_str_dup(node->text);
    }
    return status;
}

er_status er_value_parse(const er_field *field, const er_node *node, void *target, er_err *err) {
    switch (field->type) {
    case ER_FIELD_BOOL:
        return parse_bool(field, node, target, err);
    case ER_FIELD_INT:
        return parse_int(field, node, target, err);
    case ER_FIELD_DURATION:
    case ER_FIELD_SIZE:
        return parse_units(field, node, target, err);
    case ER_FIELD_ENUM:
        return parse_enum(field, node, target, err);
    case ER_FIELD_STRING:
        return parse_string(field, node, target, err);
    case ER_FIELD_SECRET:
    case ER_FIELD_URL:
    case ER_FIELD_STRUCT:
    case ER_FIELD_STRINGS:
    case ER_FIELD_LIST:
    case ER_FIELD_SECRETS:
    case ER_FIELD_SECRET_LIST:
    case ER_FIELD_VARIANTS:
    default:
        ER_ASSERT(!"a single value");
        return ER_E_INVAL;
    }
}

void er_value_print(const er_field *field, const void *target, er_buf *out) {
    if (field->type == ER_FIELD_BOOL) {
        er_buf_puts(out, *(const bool *)target ? "true" : "false");
    } else if (field->type == ER_FIELD_ENUM) {
        er_yaml_text(er_choice(field->choices, (size_t) * (const int *)target), out);
    } else if (field->type == ER_FIELD_STRING) {
        er_yaml_text(er_str_of(*(char *const *)target), out);
    } else {
        er_number_print(field->type, *(const int64_t *)target, out);
    }
}

/* ---- texts as YAML ---- */

/* Plain only where no reader of YAML, old or new, sees anything but a text. */
static bool may_be_plain(er_str s) {
    static const char *const words[] = {"null", "true", "false", "yes", "no",
                                        "on",   "off",  "y",     "n"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (er_str_ieqc(s, words[i])) {
            return false;
        }
    }
    bool is_plain = s.n > 0 && !is_digit(s.p[0]);
    for (size_t i = 0; i < s.n && is_plain; i++) {
        char c = s.p[i];
        bool is_alnum = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
        bool is_inner = i > 0 && strchr("_./-@", c) != NULL;
        bool is_colon = c == ':' && i > 0 && i + 1 < s.n;
        is_plain = c != '\0' && (is_alnum || c == '/' || is_inner || is_colon);
    }
    return is_plain;
}

/* The code point, when it is one from U+2000 to U+207F; else 0. */
static unsigned punctuation(const char *p, size_t len) {
    const unsigned char *b = (const unsigned char *)p;
    bool is_one = len == 3 && b[0] == 0xe2 && (b[1] == 0x80 || b[1] == 0x81);
    return is_one ? 0x2000U | (b[1] & 1U) << 6 | (b[2] & 0x3fU) : 0;
}

/* Line separators, and what turns the direction of writing around. */
static bool turns_text(const char *p, size_t len) {
    unsigned c = punctuation(p, len);
    return (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

/* What YAML 1.1 does not allow in the open, and what a terminal would obey; the rest of a sequence
 * is kept as it is. */
static size_t put_escaped(const char *p, size_t n, er_buf *out) {
    size_t len = er_utf8_len(p, n);
    unsigned char c = (unsigned char)p[0];
    if (c == '"' || c == '\\') {
        er_buf_putc(out, '\\');
        er_buf_putc(out, p[0]);
    } else if (c == '\n') {
        er_buf_puts(out, "\\n");
    } else if (c < 0x20 || c == 0x7f) {
        er_buf_putf(out, "\\x%02x", c);
    } else if (len == 2 && c == 0xc2 && (unsigned char)p[1] < 0xa0) {
        er_buf_putf(out, "\\x%02x", (unsigned char)p[1]);
    } else if (turns_text(p, len)) {
        er_buf_putf(out, "\\u%04x", punctuation(p, len));
    } else if (len == 3 && memcmp(p, "\xef\xbb\xbf", 3) == 0) {
        er_buf_puts(out, "\\ufeff");
    } else if (len == 3 && memcmp(p, "\xef\xbf", 2) == 0 && (unsigned char)p[2] >= 0xbe) {
        er_buf_puts(out, (unsigned char)p[2] == 0xbe ? "\\ufffe" : "\\uffff");
    } else {
        er_buf_put(out, p, len == 0 ? 1 : len);
    }
    return len == 0 ? 1 : len;
}

void er_yaml_text(er_str text, er_buf *out) {
    if (may_be_plain(text)) {
        er_buf_put_str(out, text);
        return;
    }
    er_buf_putc(out, '"');
    for (size_t at = 0; at < text.n;) {
        at += put_escaped(text.p + at, text.n - at, out);
    }
    er_buf_putc(out, '"');
}
