/* route/pattern: what a pattern matches is what a plain reading of it matches.
 *
 * Input: a pattern, a LF, a value. Both become UTF-8 first, as configurations and records are. */
#include "fuzz.h"

#include "route/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define TEXT_MAX 512

/* ---- globs: by code points and a table of all prefixes ---- */

static size_t decode(er_str s, uint32_t *out) {
    size_t n = 0;
    size_t len;
    for (size_t i = 0; i < s.n; i += len) {
        FUZZ_CHECK(fuzz_decode(s.p + i, s.n - i, &out[n++], &len));
    }
    return n;
}

static bool glob_matches(er_str pattern, er_str value) {
    static uint32_t p[TEXT_MAX];
    static uint32_t v[TEXT_MAX];
    size_t pn = decode(pattern, p);
    size_t vn = decode(value, v);
    bool row[TEXT_MAX + 1] = {[0] = true}; /* row[j]: the pattern so far matches j characters */
    for (size_t i = 0; i < pn; i++) {
        bool diagonal = row[0];
        row[0] = row[0] && p[i] == '*';
        for (size_t j = 1; j <= vn; j++) {
            bool before = row[j];
            row[j] =
                p[i] == '*' ? before || row[j - 1] : diagonal && (p[i] == '?' || p[i] == v[j - 1]);
            diagonal = before;
        }
    }
    return row[vn];
}

/* ---- expressions: by PCRE2 itself, with its own checks and limits ---- */

/* The expected answer; ER_MATCH_LIMIT: not known. */
static er_match search(er_str expression, er_str value, bool *valid) {
    int code;
    size_t offset;
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)expression.p, expression.n,
                                         PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &code, &offset, NULL);
    *valid = compiled != NULL;
    if (compiled == NULL) {
        return ER_MATCH_LIMIT;
    }
    pcre2_match_data *data = pcre2_match_data_create_from_pattern(compiled, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    FUZZ_CHECK(data != NULL && context != NULL);
    (void)pcre2_set_match_limit(context, 2 * ER_PATTERN_MATCH_LIMIT);
    int rc = pcre2_match(compiled, (PCRE2_SPTR)value.p, value.n, 0, 0, data, context);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
    pcre2_code_free(compiled);
    return rc >= 0 ? ER_MATCH_YES : rc == PCRE2_ERROR_NOMATCH ? ER_MATCH_NO : ER_MATCH_LIMIT;
}

/* ---- one input ---- */

static er_match match(er_str pattern, er_str value, er_pattern_scratch *scratch, bool *valid) {
    er_pattern *compiled = NULL;
    er_err err = {0};
    er_status status = er_pattern_new(pattern, &compiled, &err);
    *valid = status == ER_OK;
    FUZZ_CHECK((compiled != NULL) == *valid);
    FUZZ_CHECK(*valid || (status == ER_E_CONFIG && err.msg[0] != '\0'));
    er_match found = *valid ? er_pattern_match(compiled, value, scratch) : ER_MATCH_LIMIT;
    er_pattern_free(compiled);
    return found;
}

static void check(er_str pattern, er_str value, er_pattern_scratch *scratch) {
    bool valid;
    bool expect_valid = pattern.n > 0;
    er_match found = match(pattern, value, scratch, &valid);
    if (er_str_starts(pattern, "re:")) {
        er_match expected = search((er_str){pattern.p + 3, pattern.n - 3}, value, &expect_valid);
        FUZZ_CHECK(found == ER_MATCH_LIMIT || expected == ER_MATCH_LIMIT || found == expected);
    } else if (valid) {
        FUZZ_CHECK(found == (glob_matches(pattern, value) ? ER_MATCH_YES : ER_MATCH_NO));
    }
    FUZZ_CHECK(valid == expect_valid);
}

/* A text matches itself as text and as a quoted expression, whatever stands in it. */
static void check_itself(er_str value, er_pattern_scratch *scratch) {
    bool valid;
    er_buf quoted;
    er_buf_init(&quoted, 4 * TEXT_MAX);
    er_buf_puts(&quoted, "re:^");
    for (size_t i = 0; i < value.n; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c < 0x80) {
            er_buf_putf(&quoted, "\\x%02x", c);
        } else {
            er_buf_putc(&quoted, value.p[i]);
        }
    }
    er_buf_puts(&quoted, "\\z");
    FUZZ_CHECK(match(er_buf_str(&quoted), value, scratch, &valid) == ER_MATCH_YES);
    if (value.n > 0 && !er_str_starts(value, "re:")) {
        FUZZ_CHECK(match(value, value, scratch, &valid) == ER_MATCH_YES); /* its * and ? as well */
    }
    er_buf_fini(&quoted);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    er_str line = fuzz_line(&in);
    er_buf pattern;
    er_buf value;
    er_buf_init(&pattern, TEXT_MAX);
    er_buf_init(&value, TEXT_MAX);
    fuzz_repair(line, &pattern);
    fuzz_repair((er_str){in.p, in.n}, &value);
    if (er_buf_status(&pattern) == ER_OK && er_buf_status(&value) == ER_OK) {
        er_pattern_scratch *scratch = er_pattern_scratch_new();
        er_str text = {er_buf_cstr(&value), value.len};
        check((er_str){er_buf_cstr(&pattern), pattern.len}, text, scratch);
        check_itself(text, scratch);
        er_pattern_scratch_free(scratch);
    }
    er_buf_fini(&pattern);
    er_buf_fini(&value);
    return 0;
}
