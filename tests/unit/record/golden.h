/* What tests of records share: files of tests/golden, and records as lines of JSON. */
#ifndef ER_TESTS_UNIT_RECORD_GOLDEN_H
#define ER_TESTS_UNIT_RECORD_GOLDEN_H

#include "unit.h"

#include "record/event.h"

#include <stdio.h>
#include <stdlib.h>

#define GOLDEN   ER_SOURCE_DIR "/tests/golden/"
#define OBSERVED 1767323099123456 /* 2026-01-02T03:04:59.123456Z */

/* A whole file; the caller frees it. */
static inline char *read_file(const char *path) {
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    er_buf text;
    er_buf_init(&text, 64u << 20);
    char part[65536];
    for (size_t n; (n = fread(part, 1, sizeof part, file)) > 0;) {
        er_buf_put(&text, part, n);
    }
    (void)fclose(file);
    return er_buf_take(&text, NULL);
}

/* The next line of a text, ended in place; NULL at the end. */
static inline char *next_line(char **rest) {
    char *line = *rest;
    char *end = strchr(line, '\n');
    if (end == NULL) {
        return NULL;
    }
    *end = '\0';
    *rest = end + 1;
    return line;
}

/* Compares with the golden file; ER_GOLDEN_OUT=1 writes it anew. */
static inline void assert_golden(const char *path, er_buf *found) {
    if (getenv("ER_GOLDEN_OUT") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(found->p, 1, found->len, file), found->len);
        assert_int_equal(fclose(file), 0);
    }
    char *golden = read_file(path);
    assert_string_equal(er_buf_cstr(found), golden);
    free(golden);
}

/* The draft's record, of cluster c1, as a line. */
static inline void put_record(er_buf *out, er_draft *draft) {
    draft->rec.cluster = ER_STR("c1");
    er_record *rec = er_record_seal(&draft->rec);
    assert_non_null(rec);
    er_record_json(rec, out);
    er_buf_putc(out, '\n');
    er_record_unref(rec);
}

#endif
