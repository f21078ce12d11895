/* Looks at Deployments in tests: memory carried from one to the next, records as lines of JSON. */
#ifndef ER_TESTS_UNIT_RECORD_LOOK_H
#define ER_TESTS_UNIT_RECORD_LOOK_H

#include "golden.h"

#include "record/deployment.h"

typedef struct looker {
    er_deployment_options options;
    er_buf memory;
    er_buf records;                                           /* one a line */
    size_t n;                                                 /* of records */
    void (*saw)(void *arg, const er_deployment_shown *shown); /* gets the looker; may be NULL */
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
    put_record(&l->records, draft);
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
                    .saw = l->saw,
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

#endif
