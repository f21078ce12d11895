/* The batch that a worker hands to a sink, and the names and settings every sink shares. */
#include "sink/batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static er_record *record(const char *id) {
    er_record draft = {.kind = ER_KIND_EVENT, .id = er_str_of(id)};
    return er_record_seal(&draft);
}

static er_batch_slot slot_of(const char *id, const char *body) {
    er_batch_slot slot = {.rec = record(id)};
    er_buf_init(&slot.item.body, 1024);
    er_buf_puts(&slot.item.body, body);
    return slot;
}

static er_batch *batch_of(size_t n) {
    static const char *const ids[] = {"a-1", "b-2", "c-3"};
    er_batch *batch = er_batch_new();
    for (size_t i = 0; i < n; i++) {
        er_batch_slot slot = slot_of(ids[i % 3], "body");
        er_batch_add(batch, &slot);
    }
    return batch;
}

static void test_adding_moves_the_slot(void **state) {
    (void)state;
    er_batch *batch = er_batch_new();
    assert_int_equal(er_batch_len(batch), 0);
    er_batch_slot slot = slot_of("u-1", "{\"x\":1}");
    const er_record *rec = slot.rec;
    slot.verdict = ER_VERDICT_KEPT;
    slot.reason = ER_REASON_EXPIRED;
    slot.text = er_dup("from before");
    er_batch_add(batch, &slot);
    assert_null(slot.rec);
    assert_null(slot.item.body.p);
    assert_null(slot.text);
    assert_int_equal(er_batch_len(batch), 1);
    assert_int_equal(batch->bytes, 7);
    assert_ptr_equal(er_batch_record(batch, 0), rec);
    er_str body = er_buf_str(&er_batch_item(batch, 0)->body);
    assert_int_equal(body.n, 7);
    assert_memory_equal(body.p, "{\"x\":1}", 7);
    assert_int_equal(er_batch_verdict(batch, 0), ER_VERDICT_NONE);
    assert_int_equal(batch->v[0].reason, ER_REASON_NONE);
    assert_null(batch->v[0].text);
    er_batch_free(batch);
}

static void test_order_is_kept_while_it_grows(void **state) {
    (void)state;
    er_batch *batch = batch_of(100);
    assert_int_equal(er_batch_len(batch), 100);
    assert_int_equal(batch->bytes, 400);
    assert_true(er_str_eqc(er_batch_record(batch, 0)->id, "a-1"));
    assert_true(er_str_eqc(er_batch_record(batch, 1)->id, "b-2"));
    assert_true(er_str_eqc(er_batch_record(batch, 98)->id, "c-3"));
    assert_true(er_str_eqc(er_batch_record(batch, 99)->id, "a-1"));
    er_batch_free(batch);
}

static void test_judging(void **state) {
    (void)state;
    er_batch *batch = batch_of(3);
    char why[] = "400 Bad Request";
    er_batch_judge(batch, 1, ER_VERDICT_REJECT, ER_REASON_REFUSED, why);
    memset(why, 'x', sizeof why - 1); /* it was copied */
    assert_int_equal(er_batch_verdict(batch, 0), ER_VERDICT_NONE);
    assert_int_equal(er_batch_verdict(batch, 1), ER_VERDICT_REJECT);
    assert_int_equal(batch->v[1].reason, ER_REASON_REFUSED);
    assert_string_equal(batch->v[1].text, "400 Bad Request");
    er_batch_judge_all(batch, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(er_batch_verdict(batch, i), ER_VERDICT_DELIVERED);
        assert_int_equal(batch->v[i].reason, ER_REASON_NONE);
        assert_null(batch->v[i].text);
    }
    er_batch_rewind(batch);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(er_batch_verdict(batch, i), ER_VERDICT_NONE);
    }
    er_batch_free(batch);
}

static void test_long_texts_are_cut(void **state) {
    (void)state;
    er_batch *batch = batch_of(1);
    char text[2000];
    memset(text, 'y', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    er_batch_judge(batch, 0, ER_VERDICT_REJECT, ER_REASON_ENCODE, text);
    assert_int_equal(strlen(batch->v[0].text), 512);
    er_batch_free(batch);
}

static void test_a_batch_holds_one_reference(void **state) {
    (void)state;
    er_batch_slot slot = slot_of("u-1", "x");
    er_record *rec = er_record_ref(slot.rec);
    er_batch *batch = er_batch_new();
    er_batch_add(batch, &slot);
    assert_int_equal(atomic_load(&rec->refs), 2);
    er_batch_free(batch);
    assert_int_equal(atomic_load(&rec->refs), 1);
    er_record_unref(rec);
}

static void test_settled_slots_are_empty(void **state) {
    (void)state;
    er_batch *batch = batch_of(2);
    er_batch_judge(batch, 0, ER_VERDICT_REJECT, ER_REASON_REFUSED, "why");
    er_batch_slot_fini(&batch->v[0]);
    assert_null(batch->v[0].rec);
    assert_null(batch->v[0].text);
    assert_int_equal(batch->v[0].item.body.len, 0);
    assert_int_equal(er_batch_len(batch), 2); /* slots stay where they are */
    er_batch_free(batch);
}

static void test_reason_names(void **state) {
    (void)state;
    assert_string_equal(er_reason_name(ER_REASON_ENCODE), "encode");
    assert_string_equal(er_reason_name(ER_REASON_REFUSED), "refused");
    assert_string_equal(er_reason_name(ER_REASON_TOO_LARGE), "too_large");
    assert_string_equal(er_reason_name(ER_REASON_QUEUE_FULL), "queue_full");
    assert_string_equal(er_reason_name(ER_REASON_EXPIRED), "expired");
}

typedef struct test_config {
    er_sink_settings common;
} test_config;

ER_SINK_BATCH_ROWS(test_batch_rows, "7", "64KiB", "250ms");
static const er_field test_rows[] = {ER_SINK_ROWS(test_batch_rows), {.key = NULL}};
static const er_schema test_schema = {"test", test_rows, sizeof(test_config), NULL};

static void test_defaults(void **state) {
    (void)state;
    test_config *config = er_config_defaults(&test_schema);
    assert_int_equal(config->common.queue.records, 10000);
    assert_int_equal(config->common.queue.bytes, 8 << 20);
    assert_int_equal(config->common.queue.overflow, ER_OVERFLOW_BLOCK);
    assert_int_equal(config->common.retry.initial_ms, 500);
    assert_int_equal(config->common.retry.max_ms, 30000);
    assert_int_equal(config->common.retry.max_age_ms, -1);
    assert_int_equal(config->common.batch.records, 7);
    assert_int_equal(config->common.batch.bytes, 65536);
    assert_int_equal(config->common.batch.linger_ms, 250);
    er_config_free(&test_schema, config);
}

static test_config *parsed(const char *yaml, er_status want) {
    er_problems problems;
    er_problems_init(&problems, "test.yaml");
    void *config = NULL;
    assert_int_equal(er_config_parse(yaml, strlen(yaml), &test_schema, &config, &problems), want);
    er_problems_fini(&problems);
    if (want != ER_OK) {
        er_config_free(&test_schema, config);
        return NULL;
    }
    return config;
}

static void test_settings_reach_their_members(void **state) {
    (void)state;
    test_config *config = parsed("queue: {records: 1, bytes: 2KiB, overflow: drop_newest}\n"
                                 "retry: {initial: 1s, max: 1s, maxAge: 0}\n"
                                 "batch: {records: 3, bytes: 4, linger: 0}\n",
                                 ER_OK);
    assert_int_equal(config->common.queue.records, 1);
    assert_int_equal(config->common.queue.bytes, 2048);
    assert_int_equal(config->common.queue.overflow, ER_OVERFLOW_DROP_NEWEST);
    assert_int_equal(config->common.retry.initial_ms, 1000);
    assert_int_equal(config->common.retry.max_ms, 1000);
    assert_int_equal(config->common.retry.max_age_ms, 0);
    assert_int_equal(config->common.batch.records, 3);
    assert_int_equal(config->common.batch.bytes, 4);
    assert_int_equal(config->common.batch.linger_ms, 0);
    er_config_free(&test_schema, config);
}

static void test_impossible_settings_are_refused(void **state) {
    (void)state;
    assert_null(parsed("retry: {initial: 2s, max: 1s}\n", ER_E_CONFIG));
    assert_null(parsed("queue: {records: 0}\n", ER_E_CONFIG));
    assert_null(parsed("queue: {overflow: spill}\n", ER_E_CONFIG));
    assert_null(parsed("batch: {records: 0}\n", ER_E_CONFIG));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adding_moves_the_slot),
        cmocka_unit_test(test_order_is_kept_while_it_grows),
        cmocka_unit_test(test_judging),
        cmocka_unit_test(test_long_texts_are_cut),
        cmocka_unit_test(test_a_batch_holds_one_reference),
        cmocka_unit_test(test_settled_slots_are_empty),
        cmocka_unit_test(test_reason_names),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_settings_reach_their_members),
        cmocka_unit_test(test_impossible_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
