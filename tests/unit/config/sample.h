/* A configuration made for the tests of core/config: every type of field, with and without
 * defaults, limits and checks. */
#ifndef ER_TESTS_UNIT_CONFIG_SAMPLE_H
#define ER_TESTS_UNIT_CONFIG_SAMPLE_H

#include "sample_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Parses text; the problems as printed for the file "x.yaml" are in out (empty: none). NULL when
 * there were errors. */
static inline sample *sample_parse_n(const char *text, size_t n, er_buf *out) {
    er_problems problems;
    er_problems_init(&problems, "x.yaml");
    void *config = NULL;
    er_status status = er_config_parse(text, n, &sample_schema, &config, &problems);
    assert_int_equal(status, problems.errors > 0 ? ER_E_CONFIG : ER_OK);
    if (status != ER_OK) {
        er_config_free(&sample_schema, config);
        config = NULL;
    }
    er_buf_init(out, 1u << 20);
    er_problems_print(&problems, out);
    er_problems_fini(&problems);
    return config;
}

static inline sample *sample_parse(const char *text, er_buf *out) {
    return sample_parse_n(text, strlen(text), out);
}

/* A text that has no problem at all. */
static inline sample *sample_good(const char *text) {
    er_buf out;
    sample *s = sample_parse(text, &out);
    assert_string_equal(er_buf_cstr(&out), "");
    er_buf_fini(&out);
    assert_non_null(s);
    return s;
}

/* A text whose problems are printed exactly so. */
static inline void sample_bad(const char *text, const char *expected) {
    er_buf out;
    sample *s = sample_parse(text, &out);
    assert_string_equal(er_buf_cstr(&out), expected);
    assert_null(s);
    er_buf_fini(&out);
}

#endif
