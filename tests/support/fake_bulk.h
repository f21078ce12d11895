/* A sink that answers POST …/_bulk as Elasticsearch and OpenSearch do: a result for each item, 409
 * for an id that is there. Threads: the loop's. */
#ifndef FAKE_BULK_H
#define FAKE_BULK_H

#include "fake_words.h"

#include "base/buf.h"

typedef struct fake_bulk_rule { /* items whose document holds text are answered so */
    struct fake_bulk_rule *next;
    char *text, *type, *reason;
    int status;
    uint64_t left; /* UINT64_MAX: always */
} fake_bulk_rule;

typedef struct fake_bulk {
    uint64_t *ids; /* hashes of the ids that are there, a table; 0: empty */
    size_t ids_n, ids_cap;
    fake_bulk_rule *rules;
} fake_bulk;

fake_bulk *fake_bulk_new(void);
void fake_bulk_free(fake_bulk *bulk); /* NULL is allowed */
/* TEXT STATUS [type T] [reason R] [times N] */
er_status fake_bulk_add_rule(fake_bulk *bulk, fake_words *words, er_err *err);
void fake_bulk_clear_rules(fake_bulk *bulk);

/* Appends the answer. keep_ids: false takes every id as new. Returns the items; *created: those
 * that are there now and were not before. */
size_t fake_bulk_answer(fake_bulk *bulk, er_str body, bool keep_ids, er_buf *out, size_t *created);

#endif
