#include "watch/selector.h"

#include "base/str.h"

#include <string.h>

#define NAME_MAX_BYTES   63  /* of a label's name, and of its value */
#define PREFIX_MAX_BYTES 253 /* what stands before the "/" of a key */

#define FAIL(err_, ...) er_err_set((err_), ER_E_CONFIG, __VA_ARGS__)
/* As much of a text as a message shows. */
#define SHOWN(s_) (int)er_utf8_cut((s_), 80), (s_).p

static bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* ---- labels: keys and values ---- */

/* Letters and digits, and inside "-", "_" and "." too. */
static bool is_name(er_str s) {
    bool ok = s.n > 0 && s.n <= NAME_MAX_BYTES && is_alnum(s.p[0]) && is_alnum(s.p[s.n - 1]);
    for (size_t i = 0; i < s.n && ok; i++) {
        ok = is_alnum(s.p[i]) || s.p[i] == '-' || s.p[i] == '_' || s.p[i] == '.';
    }
    return ok;
}

/* Parts of lower-case letters, digits and inner "-", joined by "." (RFC 1123). */
static bool is_subdomain(er_str s) {
    bool ok = s.n > 0 && s.n <= PREFIX_MAX_BYTES;
    char before = '.';
    for (size_t i = 0; i < s.n && ok; i++) {
        char c = s.p[i];
        bool is_edge = before == '.' || i + 1 == s.n || s.p[i + 1] == '.';
        ok = (is_alnum(c) && !(c >= 'A' && c <= 'Z')) || (c == '-' && !is_edge) ||
             (c == '.' && before != '.' && i + 1 < s.n);
        before = c;
    }
    return ok;
}

static er_status check_key(er_str key, er_err *err) {
    const char *slash = memchr(key.p, '/', key.n);
    er_str prefix = {key.p, slash == NULL ? 0 : (size_t)(slash - key.p)};
    er_str name = slash == NULL ? key : (er_str){slash + 1, key.n - prefix.n - 1};
    if ((slash == NULL || is_subdomain(prefix)) && is_name(name)) {
        return ER_OK;
    }
    return FAIL(err,
                "\"%.*s\" is no key of a label, such as team or example.com/team: at most 63 "
                "letters, digits, \"-\", \"_\" and \".\" behind the \"/\"",
                SHOWN(key));
}

static er_status check_value(er_str value, er_err *err) {
    if (value.n == 0 || is_name(value)) {
        return ER_OK;
    }
    return FAIL(err,
                "\"%.*s\" is no value of a label: at most 63 letters, digits, \"-\", \"_\" and "
                "\".\", the first and the last a letter or a digit",
                SHOWN(value));
}

/* ---- labels: the selector ---- */

typedef struct scanner {
    const char *at; /* behind the token */
    er_str token;   /* empty: the end */
} scanner;

#define SYMBOLS "=!(),<>"
#define BLANKS  " \t\r\n"

/* Words, and signs of up to two characters: "=", "==", "!=". */
static void next(scanner *s) {
    const char *p = s->at + strspn(s->at, BLANKS);
    size_t n = strcspn(p, SYMBOLS BLANKS);
    if (n == 0 && *p != '\0') {
        n = (p[0] == '=' || p[0] == '!') && p[1] == '=' ? 2 : 1;
    }
    s->token = (er_str){p, n};
    s->at = p + n;
}

static bool is(const scanner *s, const char *token) {
    return er_str_eqc(s->token, token);
}

static bool is_end(const scanner *s) {
    return s->token.n == 0;
}

static bool is_word(const scanner *s) {
    return !is_end(s) && strchr(SYMBOLS, s->token.p[0]) == NULL;
}

static er_status unexpected(const scanner *s, const char *expected, er_err *err) {
    if (is_end(s)) {
        return FAIL(err, "expected %s, found the end", expected);
    }
    return FAIL(err, "expected %s, found \"%.*s\"", expected, SHOWN(s->token));
}

/* "(a, b)", which may have empty values, but not be empty. */
static er_status read_set(scanner *s, er_err *err) {
    if (!is(s, "(")) {
        return unexpected(s, "\"(\" and values behind \"in\" and \"notin\"", err);
    }
    next(s);
    if (is(s, ")")) {
        return FAIL(err, "\"()\" has no values");
    }
    for (;;) {
        if (is_word(s)) {
            er_status status = check_value(s->token, err);
            if (status != ER_OK) {
                return status;
            }
            next(s);
        }
        if (is(s, ")")) {
            next(s);
            return ER_OK;
        }
        if (!is(s, ",")) {
            return unexpected(s, "\",\" or \")\" behind a value", err);
        }
        next(s);
    }
}

/* Without a sign, which no value of a label may begin with. */
static bool is_integer(er_str s) {
    uint64_t v;
    return er_parse_u64(s, &v) && v <= INT64_MAX;
}

/* One value, which may be empty; of "<" and ">" an integer. */
static er_status read_value(scanner *s, bool is_number, er_err *err) {
    er_str value = is_word(s) ? s->token : (er_str){"", 0};
    if (!is_word(s) && !is(s, ",") && !is_end(s)) {
        return unexpected(s, "a value", err);
    }
    if (is_number && !is_integer(value)) {
        return unexpected(s, "a whole number behind \"<\" and \">\"", err);
    }
    er_status status = check_value(value, err);
    if (status == ER_OK && is_word(s)) {
        next(s);
    }
    return status;
}

static er_status read_requirement(scanner *s, er_err *err) {
    bool is_absent = is(s, "!");
    if (is_absent) {
        next(s);
    }
    if (!is_word(s)) {
        return unexpected(s, "the key of a label", err);
    }
    er_status status = check_key(s->token, err);
    if (status != ER_OK) {
        return status;
    }
    next(s);
    if (is(s, ",") || is_end(s)) {
        return ER_OK;
    }
    if (is_absent) {
        return unexpected(s, "\",\" behind a \"!\" and its key", err);
    }
    bool is_set = is(s, "in") || is(s, "notin");
    bool is_number = is(s, "<") || is(s, ">");
    if (!is_set && !is_number && !is(s, "=") && !is(s, "==") && !is(s, "!=")) {
        return unexpected(s, "\",\", \"=\", \"!=\", \"in\" or \"notin\" behind a key", err);
    }
    next(s);
    return is_set ? read_set(s, err) : read_value(s, is_number, err);
}

er_status er_label_selector_check(const char *text, er_err *err) {
    scanner s = {.at = text};
    next(&s);
    er_status status = ER_OK;
    while (status == ER_OK && !is_end(&s)) {
        status = read_requirement(&s, err);
        if (status == ER_OK && is(&s, ",")) {
            next(&s);
            status = is_end(&s) ? unexpected(&s, "the key of a label behind \",\"", err) : ER_OK;
        } else if (status == ER_OK && !is_end(&s)) {
            status = unexpected(&s, "\",\" between requirements", err);
        }
    }
    return status;
}

/* ---- fields ---- */

/* The term that text begins with; its end is a comma without "\" before it, or the text's. */
static er_str first_term(const char *text) {
    size_t n = 0;
    while (text[n] != '\0' && text[n] != ',') {
        n += text[n] == '\\' && text[n + 1] != '\0' ? 2 : 1;
    }
    return (er_str){text, n};
}

/* Bytes before the first operator; all of them: there is none. */
static size_t field_len(er_str term) {
    size_t n = 0;
    while (n < term.n && term.p[n] != '=' &&
           !(term.p[n] == '!' && n + 1 < term.n && term.p[n + 1] == '=')) {
        n++;
    }
    return n;
}

static er_status check_term(er_str term, er_err *err) {
    size_t at = field_len(term);
    if (at == term.n) {
        return FAIL(err, "expected FIELD=VALUE, FIELD==VALUE or FIELD!=VALUE, found \"%.*s\"",
                    SHOWN(term));
    }
    if (at == 0) {
        return FAIL(err, "a field is missing before \"%.*s\"", SHOWN(term));
    }
    at += term.p[at] == '!' || (at + 1 < term.n && term.p[at + 1] == '=') ? 2 : 1;
    for (; at < term.n; at++) {
        if (term.p[at] == '=') {
            return FAIL(err, "a \"=\" in a value is written \\=, in \"%.*s\"", SHOWN(term));
        }
        if (term.p[at] != '\\') {
            continue;
        }
        at++;
        if (at == term.n || strchr("\\,=", term.p[at]) == NULL) {
            return FAIL(err, "a \"\\\" stands only before \"\\\", \",\" and \"=\", in \"%.*s\"",
                        SHOWN(term));
        }
    }
    return ER_OK;
}

static er_status each_term(const char *text, er_status (*check)(er_str, er_err *), er_err *err) {
    er_status status = ER_OK;
    while (status == ER_OK && *text != '\0') {
        er_str term = first_term(text);
        status = term.n > 0 ? check(term, err) : ER_OK; /* ",," is legal */
        text += term.n + (text[term.n] == ',' ? 1 : 0);
    }
    return status;
}

er_status er_field_selector_check(const char *text, er_err *err) {
    return each_term(text, check_term, err);
}

/* pkg/apis/core/v1/conversion.go, AddFieldLabelConversionsForEvent. */
static const char *const event_fields[] = {
    "type",
    "reason",
    "source",
    "reportingComponent",
    "metadata.name",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
};

static er_status advise_term(er_str term, er_err *err) {
    er_str field = {term.p, field_len(term)};
    for (size_t i = 0; i < sizeof event_fields / sizeof *event_fields; i++) {
        if (er_str_eqc(field, event_fields[i])) {
            return ER_OK;
        }
    }
    return FAIL(err,
                "API servers refuse the field \"%.*s\" of Events; they know type, reason, source, "
                "reportingComponent, metadata.{name,namespace} and involvedObject.{kind,namespace,"
                "name,uid,apiVersion,resourceVersion,fieldPath}",
                SHOWN(field));
}

er_status er_event_fields_advise(const char *text, er_err *err) {
    return each_term(text, advise_term, err);
}
