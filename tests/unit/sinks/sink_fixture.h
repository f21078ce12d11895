/* What the tests of sinks share: a sink made from YAML as the program makes it, records, batches.
 * Included once by each test program; everything is static. */
#ifndef ER_TESTS_SINK_FIXTURE_H
#define ER_TESTS_SINK_FIXTURE_H

#include "record/event.h"
#include "sink/batch.h"
#include "sinks/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct fixture {
    const er_sink_type *type;
    er_schema schema;
    void *config;
    er_cancel cancel;
    er_metrics *metrics;
    er_sink_env env;
    void *self;
} fixture;

/* yaml: what stands below `sinks: {hook: …}`, without `type`. Fails the test when it is wrong. */
static inline void fixture_init(fixture *f, const er_sink_type *type, const char *yaml) {
    *f = (fixture){.type = type, .schema = {"sink", type->rows, type->config_size, type->check}};
    er_problems problems;
    er_problems_init(&problems, "sink.yaml");
    er_status status = er_config_parse(yaml, strlen(yaml), &f->schema, &f->config, &problems);
    if (status != ER_OK) {
        print_error("%s\n", problems.n > 0 ? problems.v[0].message : "no problem named");
    }
    assert_int_equal(status, ER_OK);
    er_problems_fini(&problems);
    assert_int_equal(er_cancel_init(&f->cancel, NULL), ER_OK);
    f->metrics = er_metrics_new();
    f->env = (er_sink_env){.name = "hook", .cancel = &f->cancel, .metrics = f->metrics};
    er_err err = {0};
    if (type->create(type, f->config, &f->env, &f->self, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
}

static inline void fixture_fini(fixture *f) {
    f->type->destroy(f->self);
    er_metrics_free(f->metrics);
    er_cancel_fini(&f->cancel);
    er_config_free(&f->schema, f->config);
}

static inline er_time time_of(const char *text) {
    er_time t = ER_TIME_NONE;
    assert_true(er_time_parse(er_str_of(text), &t));
    return t;
}

/* A draft of a Warning about a pod, seen 5 s after it happened. */
static inline er_record draft_of(const char *id, const char *message) {
    return (er_record){
        .kind = ER_KIND_EVENT,
        .severity = ER_SEVERITY_WARNING,
        .id = er_str_of(id),
        .cluster = ER_STR("prod-eu1"),
        .time = time_of("2026-01-02T03:04:20Z"),
        .time_source = ER_STR("lastTimestamp"),
        .observed_time = time_of("2026-01-02T03:04:25.5Z"),
        .type = ER_STR("Warning"),
        .reason = ER_STR("BackOff"),
        .message = er_str_of(message),
        .namespace_ = ER_STR("shop"),
        .object = {.kind = ER_STR("Pod"), .name = ER_STR("web-1")},
        .event = {
            .count = 1, .count_delta = -1, .first_time = ER_TIME_NONE, .last_time = ER_TIME_NONE}};
}

static inline er_record *record_of(const char *id, const char *message) {
    er_record draft = draft_of(id, message);
    er_record *rec = er_record_seal(&draft);
    assert_non_null(rec);
    return rec;
}

/* Encodes the record and adds it to the batch; takes the reference. */
static inline void batch_add(fixture *f, er_batch *batch, er_record *rec) {
    er_batch_slot slot = {.rec = rec};
    er_buf_init(&slot.item.body, f->type->item_max);
    assert_int_equal(f->type->encode(f->self, rec, &slot.item, NULL), ER_OK);
    er_batch_add(batch, &slot);
}

/* The JSON of record i of batch_of. */
#define RECORD(i_)                                                                                 \
    "{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-" i_ "\",\"kind\":\"event\","                    \
    "\"cluster\":\"prod-eu1\",\"time\":\"2026-01-02T03:04:20Z\","                                  \
    "\"timeSource\":\"lastTimestamp\",\"observedTime\":\"2026-01-02T03:04:25.500000Z\","           \
    "\"severity\":\"WARNING\",\"type\":\"Warning\",\"reason\":\"BackOff\",\"message\":\"m" i_      \
    "\",\"namespace\":\"shop\",\"object\":{\"kind\":\"Pod\",\"name\":\"web-1\"},\"count\":1,"      \
    "\"event\":{}}"

/* A batch of n records with the ids "u-1" to "u-n" and the messages "m1" to "mn". */
static inline er_batch *batch_of(fixture *f, size_t n) {
    er_batch *batch = er_batch_new();
    for (size_t i = 1; i <= n; i++) {
        char id[32];
        char message[32];
        (void)snprintf(id, sizeof id, "u-%zu", i);
        (void)snprintf(message, sizeof message, "m%zu", i);
        batch_add(f, batch, record_of(id, message));
    }
    return batch;
}

static inline void expect_verdicts(const er_batch *batch, er_verdict want) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        assert_int_equal(er_batch_verdict(batch, i), want);
    }
}

#endif
