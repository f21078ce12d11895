#include "route/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

typedef enum pattern_kind { EXACT, GLOB, REGEX } pattern_kind;

struct er_pattern {
    pattern_kind kind;
    char *text;
    size_t n;
    pcre2_code *code; /* REGEX */
};

struct er_pattern_scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
};

static er_status compile_regex(er_str text, pcre2_code **out, er_err *err) {
    int code;
    size_t offset;
    *out = pcre2_compile((PCRE2_SPTR)text.p, text.n, PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code,
                         &offset, NULL);
    if (*out != NULL) {
        return ER_OK;
    }
    PCRE2_UCHAR why[128];
    (void)pcre2_get_error_message(code, why, sizeof why);
    return er_err_set(err, ER_E_CONFIG, "not a regular expression: %s at offset %zu",
                      (const char *)why, offset);
}

er_status er_pattern_new(er_str text, er_pattern **out, er_err *err) {
    *out = NULL;
    if (text.n == 0) {
        return er_err_set(err, ER_E_CONFIG, "an empty pattern matches nothing");
    }
    if (text.n > ER_PATTERN_MAX) {
        return er_err_set(err, ER_E_CONFIG, "a pattern of %zu bytes; at most %d are allowed",
                          text.n, ER_PATTERN_MAX);
    }
    er_pattern *pattern = er_xcalloc(1, sizeof *pattern);
    if (er_str_starts(text, "re:")) {
        pattern->kind = REGEX;
        er_status status = compile_regex((er_str){text.p + 3, text.n - 3}, &pattern->code, err);
        if (status != ER_OK) {
            free(pattern);
            return status;
        }
    } else {
        pattern->kind = memchr(text.p, '*', text.n) || memchr(text.p, '?', text.n) ? GLOB : EXACT;
    }
    pattern->text = er_str_dup(text);
    pattern->n = text.n;
    *out = pattern;
    return ER_OK;
}

void er_pattern_free(er_pattern *pattern) {
    if (pattern == NULL) {
        return;
    }
    pcre2_code_free(pattern->code);
    free(pattern->text);
    free(pattern);
}

er_str er_pattern_text(const er_pattern *pattern) {
    return (er_str){pattern->text, pattern->n};
}

/* Greedy with one point of return: linear in value times pattern at the worst, no recursion. */
static bool glob(er_str pattern, er_str value) {
    size_t p = 0;
    size_t v = 0;
    size_t star = SIZE_MAX;
    size_t retry = 0;
    while (v < value.n) {
        size_t step = er_utf8_len(value.p + v, value.n - v);
        step = step == 0 ? 1 : step;
        if (p < pattern.n && pattern.p[p] == '*') {
            star = p++;
            retry = v;
        } else if (p < pattern.n && pattern.p[p] == '?') {
            p++;
            v += step;
        } else if (p < pattern.n && pattern.p[p] == value.p[v]) {
            p++;
            v++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            size_t skip = er_utf8_len(value.p + retry, value.n - retry);
            retry += skip == 0 ? 1 : skip;
            v = retry;
        } else {
            return false;
        }
    }
    while (p < pattern.n && pattern.p[p] == '*') {
        p++;
    }
    return p == pattern.n;
}

static er_match regex(const pcre2_code *code, er_str value, er_pattern_scratch *scratch) {
    /* Records hold valid UTF-8 only, so the check can be left out. */
    int rc = pcre2_match(code, (PCRE2_SPTR)(value.n > 0 ? value.p : ""), value.n, 0,
                         PCRE2_NO_UTF_CHECK, scratch->data, scratch->context);
    if (rc >= 0) {
        return ER_MATCH_YES;
    }
    return rc == PCRE2_ERROR_NOMATCH ? ER_MATCH_NO : ER_MATCH_LIMIT;
}

er_match er_pattern_match(const er_pattern *pattern, er_str value, er_pattern_scratch *scratch) {
    er_str text = er_pattern_text(pattern);
    bool matches;
    if (pattern->kind == REGEX) {
        return regex(pattern->code, value, scratch);
    }
    matches = pattern->kind == EXACT ? er_str_eq(text, value) : glob(text, value);
    return matches ? ER_MATCH_YES : ER_MATCH_NO;
}

er_pattern_scratch *er_pattern_scratch_new(void) {
    er_pattern_scratch *scratch = er_xcalloc(1, sizeof *scratch);
    scratch->data = pcre2_match_data_create(1, NULL);
    scratch->context = pcre2_match_context_create(NULL);
    ER_ASSERT(scratch->data != NULL && scratch->context != NULL);
    (void)pcre2_set_match_limit(scratch->context, ER_PATTERN_MATCH_LIMIT);
    (void)pcre2_set_depth_limit(scratch->context, ER_PATTERN_MATCH_LIMIT);
    (void)pcre2_set_heap_limit(scratch->context, 4096); /* KiB */
    return scratch;
}

void er_pattern_scratch_free(er_pattern_scratch *scratch) {
    if (scratch == NULL) {
        return;
    }
    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    free(scratch);
}

er_status er_pattern_check(const char *text, er_err *err) {
    er_str s = er_str_of(text);
    if (er_str_starts(s, "!")) {
        s.p++;
        s.n--;
    }
    er_pattern *pattern;
    er_status status = er_pattern_new(s, &pattern, err);
    er_pattern_free(pattern);
    return status;
}
