/* Looks at Deployments in tests: memory carried from one to the next, records as lines of JSON. */
#ifndef ER_TESTS_UNIT_RECORD_LOOK_H
#define ER_TESTS_UNIT_RECORD_LOOK_H

#include "unit.h"

#include "record/deployment.h"

#include <stdio.h>
#include <stdlib.h>

#define OBSERVED 1767323099123456 /* 2026-01-02T03:04:59.123456Z */

typedef struct looker {
    er_deployment_options options;
    er_buf memory;
    er_buf records; /* one a line */
    size_t n;       /* of records */
    er_status status;
    er_err err;
} looker;

static inline void looker_init(looker *l) {
    *l = (looker){.options = {.redact = true, .key = ER_STR("0123456789abcdef")}};
    er_buf_init(&l->memory, 64u << 20);
    er_buf_init(&l->records, 64u << 20);
}

static inline void looker_fini(looker *l) {
    er_buf_fini(&l->memory);
    er_buf_fini(&l->records);
}

static inline void looker_emit(void *arg, er_draft *draft) {
    looker *l = arg;
    draft->rec.cluster = ER_STR("c1");
    er_record *rec = er_record_seal(&draft->rec);
    assert_non_null(rec);
    er_record_json(rec, &l->records);
    er_buf_putc(&l->records, '\n');
    er_record_unref(rec);
    l->n++;
}

static inline void looker_look(looker *l, er_sight sight, const er_json *object) {
    char *remembered = er_str_dup(er_buf_str(&l->memory));
    er_look look = {.sight = sight,
                    .object = object,
                    .remembered = er_str_of(remembered),
                    .observed = OBSERVED,
                    .since = ER_TIME_NONE,
                    .arg = l,
                    .emit = looker_emit,
                    .memory = &l->memory};
    l->status = er_deployment_look(&l->options, &look, &l->err);
    assert_int_equal(er_buf_status(&l->memory), ER_OK);
    assert_int_equal(er_buf_status(&l->records), ER_OK);
    free(remembered);
}

/* The same with text; *doc holds the tree afterwards. */
static inline void looker_look_text(looker *l, er_sight sight, const char *text) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *copy = er_dup(text);
    assert_int_equal(er_json_parse(&doc, copy, strlen(copy), &l->err), ER_OK);
    looker_look(l, sight, doc.root);
    er_json_doc_fini(&doc);
    free(copy);
}

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

/* Compares with a golden file, and with ER_GOLDEN_WRITE set writes it instead. */
static inline void assert_golden(const char *path, er_buf *found) {
    if (getenv("ER_GOLDEN_WRITE") != NULL) {
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        assert_int_equal(fwrite(found->p, 1, found->len, file), found->len);
        (void)fclose(file);
    }
    char *golden = read_file(path);
    assert_string_equal(er_buf_cstr(found), golden);
    free(golden);
}

#endif
