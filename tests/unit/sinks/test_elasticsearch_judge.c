/* The answer to _bulk: each status an item can have, and answers that are none. */
#include "base/log.h"
#include "sink_fixture.h"
#include "sinks/elasticsearch.h"

#define ITEM(status_)         "{\"create\":{\"status\":" status_ "}}"
#define ERROR(status_, type_) ERROR_R(status_, type_, "it is so")
#define ERROR_R(status_, type_, reason_)                                                           \
    "{\"create\":{\"status\":" status_ ",\"error\":{\"type\":\"" type_ "\",\"reason\":\"" reason_  \
    "\"}}}"
#define OK_ITEM ITEM("201")

typedef struct judged {
    fixture f;
    er_json_doc doc;
    er_elastic_counters counters;
    er_batch *batch;
    er_status status;
    er_err err;
} judged;

static void judge_cut(judged *j, const char *answer, size_t records, bool was_cut) {
    fixture_init(&j->f, &er_elasticsearch_sink, "{url: \"http://h\", index: x}\n");
    er_json_doc_init(&j->doc);
    j->counters = (er_elastic_counters){
        .duplicates = er_metrics_counter(j->f.metrics, "d_total", "D.", ER_LABELS(NULL)),
        .failure_store = er_metrics_counter(j->f.metrics, "f_total", "F.", ER_LABELS(NULL)),
        .blocked = er_metrics_counter(j->f.metrics, "b_total", "B.", ER_LABELS(NULL))};
    j->batch = batch_of(&j->f, records);
    j->err = (er_err){0};
    er_elastic_judge judge = {
        .name = "es", .long_wait_ms = 30000, .counters = &j->counters, .doc = &j->doc};
    char *text = er_dup(answer);
    j->status = er_elastic_judge_items(&judge, text, strlen(answer), was_cut, j->batch, &j->err);
    free(text);
}

static void judge(judged *j, const char *answer, size_t records) {
    judge_cut(j, answer, records, false);
}

static void judged_fini(judged *j) {
    er_batch_free(j->batch);
    er_json_doc_fini(&j->doc);
    fixture_fini(&j->f);
}

/* ---- one item ---- */

typedef struct row {
    const char *item;
    er_status status;
    er_verdict verdict;
    er_reason reason;
    const char *text; /* of the rejection, else of the error; NULL: none */
    int duplicates, failure_store, blocked;
    int64_t retry_after_ms;
} row;

#define DELIVERED(item_)                                                                           \
    { .item = (item_), .verdict = ER_VERDICT_DELIVERED }
#define REJECTED(item_, text_)                                                                     \
    { .item = (item_), .verdict = ER_VERDICT_REJECT, .reason = ER_REASON_REFUSED, .text = (text_) }
#define RETRIED(item_, text_)                                                                      \
    {                                                                                              \
        .item = (item_), .verdict = ER_VERDICT_RETRY,                                              \
        .text = "1 of 1 records were not taken: " text_                                            \
    }
#define DENIED(item_, text_)                                                                       \
    { .item = (item_), .status = ER_E_DENIED, .verdict = ER_VERDICT_RETRY, .text = (text_) }
#define CREATE_DOC "; check the privileges of auth: create_doc on the target"
#define CREATE_INDEX                                                                               \
    "; create it, or let it be created (action.auto_create_index, privilege auto_configure)"

static const row rows[] = {
    DELIVERED(OK_ITEM),
    DELIVERED(ITEM("200")),
    DELIVERED("{ \"create\" : { \"_index\" : \"x\", \"_id\" : \"u-1\", \"status\" : 201 } }"),
    DELIVERED("{\"create\":{\"status\":201,\"failure_store\":\"not_enabled\"}}"),
    {.item = "{\"create\":{\"status\":201,\"failure_store\":\"used\"}}",
     .verdict = ER_VERDICT_DELIVERED,
     .failure_store = 1},
    {.item = ERROR("409", "version_conflict_engine_exception"),
     .verdict = ER_VERDICT_DELIVERED,
     .duplicates = 1},
    {.item = ITEM("409"), .verdict = ER_VERDICT_DELIVERED, .duplicates = 1},
    RETRIED(ERROR("409", "resource_already_exists_exception"),
            "409 resource_already_exists_exception: it is so"),
    /* refused for what it is */
    REJECTED(ERROR("400", "mapper_parsing_exception"), "400 mapper_parsing_exception: it is so"),
    REJECTED(ERROR("400", "document_parsing_exception"),
             "400 document_parsing_exception: it is so"),
    REJECTED(ERROR("400", "strict_dynamic_mapping_exception"),
             "400 strict_dynamic_mapping_exception: it is so"),
    REJECTED(ERROR("400", "illegal_argument_exception"),
             "400 illegal_argument_exception: it is so"),
    REJECTED(ERROR_R("400", "illegal_argument_exception", "a\\u0001b\\nc"),
             "400 illegal_argument_exception: a b c"),
    REJECTED(ERROR("400", "action_request_validation_exception"),
             "400 action_request_validation_exception: it is so"),
    REJECTED(
        "{\"create\":{\"status\":400,\"error\":{\"type\":\"mapper_parsing_exception\",\"reason\":"
        "\"failed to parse\",\"caused_by\":{\"reason\":\"no field a\\nb\"}}}}",
        "400 mapper_parsing_exception: failed to parse: no field a b"),
    REJECTED(ERROR("500", "fail_processor_exception"), "500 fail_processor_exception: it is so"),
    REJECTED(ITEM("400"), "400"),
    REJECTED(ITEM("422"), "422"),
    {.item = ITEM("413"),
     .verdict = ER_VERDICT_REJECT,
     .reason = ER_REASON_TOO_LARGE,
     .text = "413"},
    /* for now */
    RETRIED(ERROR("429", "es_rejected_execution_exception"),
            "429 es_rejected_execution_exception: it is so"),
    RETRIED(ERROR("429", "rejected_execution_exception"),
            "429 rejected_execution_exception: it is so"),
    RETRIED(ERROR("429", "circuit_breaking_exception"), "429 circuit_breaking_exception: it is so"),
    RETRIED(ERROR("503", "unavailable_shards_exception"),
            "503 unavailable_shards_exception: it is so"),
    RETRIED(ERROR("503", "process_cluster_event_timeout_exception"),
            "503 process_cluster_event_timeout_exception: it is so"),
    RETRIED(ERROR("500", "null_pointer_exception"), "500 null_pointer_exception: it is so"),
    RETRIED(ERROR("400", "resource_already_exists_exception"),
            "400 resource_already_exists_exception: it is so"),
    RETRIED(ITEM("500"), "500"),
    RETRIED(ITEM("408"), "408"),
    RETRIED(ITEM("425"), "425"),
    {.item = ERROR("429", "cluster_block_exception"),
     .verdict = ER_VERDICT_RETRY,
     .text = "429 cluster_block_exception: it is so",
     .blocked = 1,
     .retry_after_ms = 30000},
    /* the target is wrong */
    {.item = ERROR("403", "cluster_block_exception"),
     .status = ER_E_DENIED,
     .verdict = ER_VERDICT_RETRY,
     .text = "403 cluster_block_exception: it is so; lift the block of the index",
     .blocked = 1},
    {.item = ERROR_R("403", "index_create_block_exception",
                     "blocked by: [FORBIDDEN/10/cluster create-index blocked (api)];"),
     .status = ER_E_DENIED,
     .verdict = ER_VERDICT_RETRY,
     .text = "403 index_create_block_exception: blocked by: [FORBIDDEN/10/cluster create-index "
             "blocked (api)];; lift the block of the cluster",
     .blocked = 1},
    DENIED(ERROR("403", "security_exception"), "403 security_exception: it is so" CREATE_DOC),
    DENIED(ITEM("401"), "401" CREATE_DOC),
    DENIED(ERROR("404", "a_b"), "404 a_b: it is so; put the target right"),
    DENIED(ERROR("404", "index_not_found_exception"),
           "404 index_not_found_exception: it is so" CREATE_INDEX),
    DENIED(
        ERROR_R("404", "index_not_found_exception", "no [require_alias]"),
        "404 index_not_found_exception: no [require_alias]; create the alias with a write index, "
        "or set setup: true"),
    DENIED(ERROR("400", "index_closed_exception"),
           "400 index_closed_exception: it is so; open the index"),
    DENIED("{\"create\":{\"status\":400,\"error\":{\"type\":\"index_closed_exception\",\"reason\":"
           "\"closed\",\"index\":\"clo\"}}}",
           "400 index_closed_exception: closed [clo]; open the index"),
    DENIED("{\"create\":{\"status\":400,\"error\":{\"type\":\"index_closed_exception\",\"reason\":"
           "\"it, [clo], is closed\",\"index\":\"clo\"}}}",
           "400 index_closed_exception: it, [clo], is closed; open the index"),
    DENIED(ERROR("400", "routing_missing_exception"),
           "400 routing_missing_exception: it is so; put the target right"),
    DENIED(ERROR("400", "invalid_index_name_exception"),
           "400 invalid_index_name_exception: it is so; put the target right"),
    DENIED(ERROR_R("400", "illegal_argument_exception", "pipeline with id [x] does not exist"),
           "400 illegal_argument_exception: pipeline with id [x] does not exist; put the target "
           "right"),
    DENIED(
        ERROR_R("400", "illegal_argument_exception", "no write index is defined for alias [x]"),
        "400 illegal_argument_exception: no write index is defined for alias [x]; put the target "
        "right"),
    DENIED(ERROR_R("400", "validation_exception", "has [1000]/[1000] maximum shards open"),
           "400 validation_exception: has [1000]/[1000] maximum shards open; put the target right"),
    /* what is not understood is no delivery */
    RETRIED(ITEM("0"), "0"),
    RETRIED(ITEM("302"), "302"),
    RETRIED(ITEM("202"), "202"),
    RETRIED(ITEM("700"), "700"),
    RETRIED(ITEM("201.5"), "a result without a status"),
    RETRIED(ITEM("\"201\""), "a result without a status"),
    RETRIED(ITEM("null"), "a result without a status"),
    RETRIED("{\"create\":{}}", "a result without a status"),
    RETRIED("{}", "a result without a status"),
    RETRIED("null", "a result without a status"),
    RETRIED("[]", "a result without a status"),
    RETRIED("{\"index\":{\"status\":201}}", "a result without a status"),
    RETRIED("{\"create\":{\"status\":201,}}", "a result that is not JSON"),
    RETRIED("{\"create\":{\"_id\":\"u-2\",\"status\":201}}",
            "a result of another document stands in its place"),
};

static void check_row(const row *want) {
    char answer[2048];
    (void)snprintf(answer, sizeof answer, "{\"took\":3,\"errors\":true,\"items\":[%s]}",
                   want->item);
    judged j;
    judge(&j, answer, 1);
    const char *text = j.batch->v[0].verdict == ER_VERDICT_REJECT ? j.batch->v[0].text : j.err.msg;
    bool same = j.status == want->status && j.batch->v[0].verdict == want->verdict &&
                j.batch->v[0].reason == want->reason &&
                strcmp(text, want->text == NULL ? "" : want->text) == 0 &&
                er_counter_get(j.counters.duplicates) == (uint64_t)want->duplicates &&
                er_counter_get(j.counters.failure_store) == (uint64_t)want->failure_store &&
                er_counter_get(j.counters.blocked) == (uint64_t)want->blocked &&
                j.err.retry_after_ms == want->retry_after_ms;
    if (!same) {
        fail_msg("%s: status %d, verdict %d, reason %d, text %s", want->item, (int)j.status,
                 (int)j.batch->v[0].verdict, (int)j.batch->v[0].reason, text);
    }
    judged_fini(&j);
}

static void test_every_result(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        check_row(&rows[i]);
    }
}

/* ---- several ---- */

static void expect(const judged *j, const er_verdict *want) {
    for (size_t i = 0; i < er_batch_len(j->batch); i++) {
        if (er_batch_verdict(j->batch, i) != want[i]) {
            fail_msg("item %zu has verdict %d", i, (int)er_batch_verdict(j->batch, i));
        }
    }
}

static void test_results_stand_in_their_places(void **state) {
    (void)state;
    judged j;
    judge(&j,
          "{\"errors\":true,\"items\":[" OK_ITEM "," ERROR("400", "a") "," ERROR(
              "429", "b") "," ERROR("409", "version_conflict_engine_exception") "," OK_ITEM
                                                                                "],\"took\":1}",
          5);
    assert_int_equal(j.status, ER_OK);
    expect(&j, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_REJECT, ER_VERDICT_RETRY,
                              ER_VERDICT_DELIVERED, ER_VERDICT_DELIVERED});
    assert_string_equal(j.err.msg, "1 of 5 records were not taken: 429 b: it is so");
    judged_fini(&j);
}

static void test_a_denial_leaves_the_others_as_they_are(void **state) {
    (void)state;
    judged j;
    judge(&j,
          "{\"items\":[" OK_ITEM "," ERROR("403", "security_exception") "," ERROR("400", "x") "]}",
          3);
    assert_int_equal(j.status, ER_E_DENIED);
    expect(&j, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_RETRY, ER_VERDICT_REJECT});
    judged_fini(&j);
}

/* A member named items somewhere else does not count. */
static void test_the_items_of_the_answer_itself(void **state) {
    (void)state;
    judged j;
    judge(&j,
          " {\"x\":{\"items\":[" ITEM("400") "]},\"s\":\"\\\"items\\\":[\", \"items\" : [ " OK_ITEM
                                             " , " OK_ITEM " ] }",
          2);
    assert_int_equal(j.status, ER_OK);
    expect_verdicts(j.batch, ER_VERDICT_DELIVERED);
    judged_fini(&j);
}

/* ---- answers that are none ---- */

static void test_nothing_counts_when_a_result_is_missing(void **state) {
    (void)state;
    static const char *const answers[] = {
        "",
        "{}",
        "null",
        "[" OK_ITEM "," OK_ITEM "," OK_ITEM "]",
        "<html>502</html>",
        "{\"errors\":false}",
        "{\"errors\":false,\"items\":null}",
        "{\"errors\":false,\"items\":{}}",
        "{\"errors\":false,\"items\":[]}",
        "{\"items\":[" OK_ITEM "," OK_ITEM "]}",
        "{\"items\":[" OK_ITEM "," OK_ITEM ",]}",
        "{\"items\":[" OK_ITEM "," OK_ITEM "," OK_ITEM,
        "{\"items\":[" OK_ITEM "," OK_ITEM "," OK_ITEM ",",
        "{\"items\":[" OK_ITEM "," OK_ITEM ",{\"create\":{\"status\":201",
        "{\"items\":[" OK_ITEM "," OK_ITEM ",\"",
        "{\"items\":[" OK_ITEM "," OK_ITEM "," OK_ITEM "," OK_ITEM "]}",
        "{\"items\":[" OK_ITEM " " OK_ITEM " " OK_ITEM "]}",
        "{\"items\" [" OK_ITEM "," OK_ITEM "," OK_ITEM "]}",
        "{\"took\":1 \"items\":[" OK_ITEM "," OK_ITEM "," OK_ITEM "]}",
        "{items:[" OK_ITEM "," OK_ITEM "," OK_ITEM "]}",
        "{\"took\":",
        "{\"took\":{\"items\":[" OK_ITEM "," OK_ITEM "," OK_ITEM "]",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        judged j;
        judge(&j, answers[i], 3);
        assert_int_equal(j.status, ER_E_UNAVAILABLE);
        assert_memory_equal(j.err.msg, "the answer to _bulk is not understood: ", 39);
        expect_verdicts(j.batch, ER_VERDICT_NONE);
        judged_fini(&j);
    }
}

static void test_an_answer_that_was_cut(void **state) {
    (void)state;
    judged j;
    judge_cut(&j, "{\"items\":[" OK_ITEM "," ERROR("400", "x") ",{\"create\":{\"sta", 3, true);
    assert_int_equal(j.status, ER_OK);
    expect(&j, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_REJECT, ER_VERDICT_NONE});
    assert_string_equal(j.err.msg,
                        "the answer to _bulk is too long: the results of 2 records of 3 were read");
    judged_fini(&j);
    judge_cut(&j, "{\"items\":[{\"create\":{\"sta", 3, true);
    assert_int_equal(j.status, ER_E_UNAVAILABLE);
    expect_verdicts(j.batch, ER_VERDICT_NONE);
    judged_fini(&j);
}

static void test_texts_have_a_limit(void **state) {
    (void)state;
    er_buf answer;
    er_buf_init(&answer, 1 << 20);
    er_buf_puts(&answer, "{\"items\":[{\"create\":{\"status\":400,\"error\":{\"reason\":\"");
    for (int i = 0; i < 100000; i++) {
        er_buf_puts(&answer, "\xc3\xa9");
    }
    er_buf_puts(&answer, "\"}}}]}");
    judged j;
    judge(&j, er_buf_cstr(&answer), 1);
    assert_int_equal(er_batch_verdict(j.batch, 0), ER_VERDICT_REJECT);
    assert_int_equal(strlen(j.batch->v[0].text), 305);
    assert_true(er_utf8_valid(er_str_of(j.batch->v[0].text)));
    judged_fini(&j);
    er_buf_fini(&answer);
}

int main(void) {
    er_json_setup();
    er_log_setup(ER_LOG_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_result),
        cmocka_unit_test(test_results_stand_in_their_places),
        cmocka_unit_test(test_a_denial_leaves_the_others_as_they_are),
        cmocka_unit_test(test_the_items_of_the_answer_itself),
        cmocka_unit_test(test_nothing_counts_when_a_result_is_missing),
        cmocka_unit_test(test_an_answer_that_was_cut),
        cmocka_unit_test(test_texts_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
