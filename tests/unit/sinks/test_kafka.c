/* The kafka sink against librdkafka's mock cluster, driven as the worker drives it. */
#include "sink_fixture.h"

#include "base/file.h"
#include "base/json_read.h"
#include "sinks/kafka_priv.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#define LIMIT_MS         20000
#define PRODUCE          0 /* ApiKey */
#define INIT_PRODUCER_ID 22
#define BROKER           1

typedef struct rig {
    rd_kafka_t *host;
    rd_kafka_mock_cluster_t *cluster;
    fixture f;
    er_status worst; /* what poll said, the last that was not ER_OK */
    unsigned splits, denials, outages;
    er_err err;
} rig;

static void rig_cluster(rig *r) {
    *r = (rig){0};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    assert_int_equal(rd_kafka_conf_set(conf, "test.mock.num.brokers", "1", NULL, 0),
                     RD_KAFKA_CONF_OK);
    rd_kafka_conf_set_log_cb(conf, NULL);
    r->host = rd_kafka_new(RD_KAFKA_PRODUCER, conf, NULL, 0);
    assert_non_null(r->host);
    r->cluster = rd_kafka_handle_mock_cluster(r->host);
    assert_int_equal(rd_kafka_mock_topic_create(r->cluster, "t", 1, 1), 0);
}

/* Makes the sink; yaml: its settings without brokers and topic, each with a newline. */
static void rig_sink(rig *r, const char *yaml) {
    char text[2048];
    (void)snprintf(text, sizeof text, "brokers: \"%s\"\ntopic: t\n%s%s",
                   rd_kafka_mock_cluster_bootstraps(r->cluster), yaml,
                   strstr(yaml, "options") == NULL ? "options: {linger.ms: 50}\n" : "");
    fixture_init(&r->f, &er_kafka_sink, text);
    er_err err;
    if (r->f.type->open(r->f.self, er_deadline_in(1000), &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
}

static void rig_init(rig *r, const char *yaml) {
    rig_cluster(r);
    rig_sink(r, yaml);
}

static void rig_fini(rig *r) {
    fixture_fini(&r->f);
    rd_kafka_destroy(r->host);
}

static size_t count(const er_batch *batch, er_verdict verdict) {
    size_t n = 0;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        n += er_batch_verdict(batch, i) == verdict;
    }
    return n;
}

static void poll_once(rig *r) {
    er_err err = {0};
    er_status status = r->f.type->poll(r->f.self, er_deadline_in(20), &err);
    r->splits += status == ER_E_SPLIT;
    r->denials += status == ER_E_DENIED;
    r->outages += status == ER_E_UNAVAILABLE;
    if (status != ER_OK) {
        r->worst = status;
        r->err = err;
    }
}

/* Polls until nothing of the batch is kept. */
static void settle(rig *r, const er_batch *batch) {
    er_deadline until = er_deadline_in(LIMIT_MS);
    while (count(batch, ER_VERDICT_KEPT) > 0) {
        assert_false(er_deadline_passed(until));
        poll_once(r);
    }
}

static er_status give(rig *r, er_batch *batch) {
    er_err err = {0};
    er_status status = r->f.type->deliver(r->f.self, batch, &err);
    if (status != ER_OK) {
        r->err = err;
    }
    return status;
}

/* Again and again, as the worker does, but without its waits. */
static void deliver_until_taken(rig *r, er_batch *batch) {
    er_deadline until = er_deadline_in(LIMIT_MS);
    while (count(batch, ER_VERDICT_DELIVERED) < er_batch_len(batch)) {
        assert_false(er_deadline_passed(until));
        er_batch_rewind(batch);
        (void)give(r, batch);
        settle(r, batch);
        poll_once(r);
    }
}

static void push_error(rig *r, rd_kafka_resp_err_t code) {
    rd_kafka_mock_push_request_errors(r->cluster, PRODUCE, 1, code);
}

/* Delivers n records and says how many were delivered. */
static void expect_delivered(rig *r, size_t n) {
    er_batch *batch = batch_of(&r->f, n);
    assert_int_equal(give(r, batch), ER_OK);
    settle(r, batch);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    er_batch_free(batch);
}

/* ---- the table, where the mock can produce the code ---- */

static void test_delivered(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    expect_delivered(&r, 1000);
    assert_int_equal(r.worst, ER_OK);
    rig_fini(&r);
}

/* librdkafka sends again itself; nothing of it is seen. */
static void test_passing_errors(void **state) {
    (void)state;
    static const rd_kafka_resp_err_t codes[] = {
        RD_KAFKA_RESP_ERR__TRANSPORT, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT};
    rig r;
    rig_init(&r, "options: {retry.backoff.ms: 10, reconnect.backoff.ms: 10}\n");
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        push_error(&r, codes[i]);
        expect_delivered(&r, 10);
    }
    assert_int_equal(r.denials + r.splits, 0);
    rig_fini(&r);
}

/* Refused for what they are, all in one request: nobody knows which. */
static void test_refused_together(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    push_error(&r, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE);
    er_batch *batch = batch_of(&r.f, 3);
    assert_int_equal(give(&r, batch), ER_OK);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    assert_int_equal(r.splits, 1);
    assert_string_equal(r.err.msg, "topic t: Broker: Message size too large");
    er_batch_free(batch);
    rig_fini(&r);
}

/* Bytes that broke on their way: no record is guilty, whether librdkafka sends again (as newer ones
 * do) or we. */
static void test_broken_on_the_way(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "options: {retry.backoff.ms: 10}\n");
    push_error(&r, RD_KAFKA_RESP_ERR_INVALID_MSG);
    er_batch *batch = batch_of(&r.f, 1);
    assert_int_equal(give(&r, batch), ER_OK);
    settle(&r, batch);
    assert_int_not_equal(batch->v[0].verdict, ER_VERDICT_REJECT);
    deliver_until_taken(&r, batch);
    er_batch_free(batch);
    rig_fini(&r);
}

/* Alone in its request it is the guilty one, and the next is taken. */
static void test_refused_alone(void **state) {
    (void)state;
    static const struct {
        rd_kafka_resp_err_t code;
        er_reason reason;
    } rows[] = {{RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, ER_REASON_TOO_LARGE},
                {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, ER_REASON_TOO_LARGE},
                {RD_KAFKA_RESP_ERR_INVALID_RECORD, ER_REASON_REFUSED}};
    rig r;
    rig_init(&r, "");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        push_error(&r, rows[i].code);
        er_batch *batch = batch_of(&r.f, 1);
        assert_int_equal(give(&r, batch), ER_OK);
        settle(&r, batch);
        assert_int_equal(batch->v[0].verdict, ER_VERDICT_REJECT);
        assert_int_equal(batch->v[0].reason, rows[i].reason);
        er_batch_free(batch);
        expect_delivered(&r, 2);
    }
    assert_int_equal(r.splits + r.denials + r.outages, 0);
    rig_fini(&r);
}

/* Too old for the topic: sent again with the present time; refused even so, it is denied and kept.
 */
static void test_refused_time(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    er_batch *batch = batch_of(&r.f, 3);
    for (unsigned i = 0; i < 2; i++) {
        push_error(&r, RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP);
        er_batch_rewind(batch);
        (void)give(&r, batch);
        settle(&r, batch);
        expect_verdicts(batch, ER_VERDICT_RETRY);
        assert_int_equal(r.worst, i == 0 ? ER_E_UNAVAILABLE : ER_E_DENIED);
    }
    assert_non_null(strstr(r.err.msg, "compare the clocks"));
    assert_int_equal(r.splits, 0);
    deliver_until_taken(&r, batch);
    er_batch_free(batch);
    rig_fini(&r);
}

/* librdkafka sends again what lacks replicas, for ever and silently. */
static void test_silence(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "options: {retry.backoff.ms: 10, linger.ms: 10, "
                 "request.timeout.ms: 600}\n");
    expect_delivered(&r, 1);
    for (size_t i = 0; i < 1000; i++) {
        push_error(&r, RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS);
    }
    er_batch *batch = batch_of(&r.f, 2);
    assert_int_equal(give(&r, batch), ER_OK);
    er_deadline until = er_deadline_in(LIMIT_MS);
    while (r.outages == 0) {
        assert_false(er_deadline_passed(until));
        poll_once(&r);
    }
    assert_int_equal(strncmp(r.err.msg, "no broker has confirmed a record for 0 s: look for", 50),
                     0);
    assert_non_null(strstr(r.err.msg, "min.insync.replicas"));
    expect_verdicts(batch, ER_VERDICT_KEPT);
    rd_kafka_mock_clear_request_errors(r.cluster, PRODUCE);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    er_batch_free(batch);
    rig_fini(&r);
}

/* What comes back soon after a denial, for a weaker reason, is part of it. */
static void test_denial_stays(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    er_batch *batch = batch_of(&r.f, 1);
    push_error(&r, RD_KAFKA_RESP_ERR_POLICY_VIOLATION);
    push_error(&r, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION);
    for (unsigned i = 0; i < 2; i++) {
        r.worst = ER_OK;
        er_batch_rewind(batch);
        (void)give(&r, batch);
        settle(&r, batch);
        expect_verdicts(batch, ER_VERDICT_RETRY);
        assert_int_equal(r.worst, ER_E_DENIED);
        assert_string_equal(r.err.msg, "topic t: Broker: Policy violation");
    }
    er_batch_free(batch);
    rig_fini(&r);
}

/* Some come back while others are taken: that is no denial, whatever was denied before. */
static void test_some_come_back(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "options: {batch.num.messages: 1, linger.ms: 0}\n");
    er_batch *batch = batch_of(&r.f, 1);
    push_error(&r, RD_KAFKA_RESP_ERR_POLICY_VIOLATION);
    (void)give(&r, batch);
    settle(&r, batch);
    assert_int_equal(r.denials, 1);
    deliver_until_taken(&r, batch);
    er_batch_free(batch);
    r.denials = 0;
    for (unsigned i = 0; i < 50; i++) {
        batch = batch_of(&r.f, 5);
        push_error(&r, RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION);
        (void)give(&r, batch);
        settle(&r, batch);
        deliver_until_taken(&r, batch);
        er_batch_free(batch);
    }
    assert_int_equal(r.denials, 0);
    assert_true(r.outages > 0);
    assert_string_equal(r.err.msg, "topic t: Broker: API version not supported");
    rig_fini(&r);
}

static void test_denied(void **state) {
    (void)state;
    static const rd_kafka_resp_err_t codes[] = {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                                                RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                                                RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
                                                RD_KAFKA_RESP_ERR_UNSUPPORTED_FOR_MESSAGE_FORMAT};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        rig r;
        rig_init(&r, "options: {topic.metadata.refresh.fast.interval.ms: 20}\n");
        push_error(&r, codes[i]);
        er_batch *batch = batch_of(&r.f, 3);
        (void)give(&r, batch);
        settle(&r, batch);
        expect_verdicts(batch, ER_VERDICT_RETRY);
        assert_int_equal(r.worst, ER_E_DENIED);
        assert_int_equal(strncmp(r.err.msg, "topic t: Broker: ", 17), 0);
        deliver_until_taken(&r, batch);
        er_batch_free(batch);
        rig_fini(&r);
    }
}

/* Not the records' fault, until one of their kind was taken. */
static void test_compacted_topic(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "key: none\n");
    push_error(&r, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    er_batch *batch = batch_of(&r.f, 1);
    (void)give(&r, batch);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    assert_int_equal(r.worst, ER_E_DENIED);
    assert_non_null(strstr(r.err.msg, "compacted"));
    deliver_until_taken(&r, batch);
    push_error(&r, RD_KAFKA_RESP_ERR_INVALID_RECORD);
    er_batch_rewind(batch);
    (void)give(&r, batch);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_REJECT);
    er_batch_free(batch);
    rig_fini(&r);
}

static void test_missing_topic(void **state) {
    (void)state;
    rig r;
    rig_cluster(&r);
    rd_kafka_mock_topic_set_error(r.cluster, "t", RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART);
    rig_sink(&r, "options: {topic.metadata.propagation.max.ms: 100, "
                 "topic.metadata.refresh.fast.interval.ms: 50}\n");
    er_batch *batch = batch_of(&r.f, 2);
    (void)give(&r, batch);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    assert_int_equal(r.worst, ER_E_DENIED);
    assert_non_null(strstr(r.err.msg, "create the topic"));
    rd_kafka_mock_topic_set_error(r.cluster, "t", RD_KAFKA_RESP_ERR_NO_ERROR);
    deliver_until_taken(&r, batch);
    er_batch_free(batch);
    rig_fini(&r);
}

/* ---- what librdkafka says at once ---- */

static void test_too_large_for_us(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "options: {message.max.bytes: 1000, linger.ms: 1}\n");
    char message[2000];
    memset(message, 'x', sizeof message - 1);
    message[sizeof message - 1] = '\0';
    er_batch *batch = batch_of(&r.f, 2);
    batch_add(&r.f, batch, record_of("u-large", message));
    batch_add(&r.f, batch, record_of("u-4", "m4"));
    assert_int_equal(give(&r, batch), ER_OK);
    settle(&r, batch);
    assert_int_equal(count(batch, ER_VERDICT_DELIVERED), 3);
    assert_int_equal(batch->v[2].verdict, ER_VERDICT_REJECT);
    assert_int_equal(batch->v[2].reason, ER_REASON_TOO_LARGE);
    assert_string_equal(batch->v[2].text, "topic t: Broker: Message size too large");
    er_batch_free(batch);
    rig_fini(&r);
}

static void test_queue_full(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "options: {queue.buffering.max.messages: 2, linger.ms: 1}\n");
    er_batch *first = batch_of(&r.f, 20), *second = batch_of(&r.f, 20);
    assert_int_equal(give(&r, first), ER_OK);
    assert_int_equal(count(first, ER_VERDICT_KEPT), 20);
    assert_int_equal(give(&r, second), ER_OK);
    settle(&r, first);
    assert_true(count(second, ER_VERDICT_KEPT) >= 18); /* in their order */
    settle(&r, second);
    expect_verdicts(first, ER_VERDICT_DELIVERED);
    expect_verdicts(second, ER_VERDICT_DELIVERED);
    assert_int_equal(r.worst, ER_OK);
    er_batch_free(first);
    er_batch_free(second);
    rig_fini(&r);
}

/* ---- producers that end ---- */

static double metric(rig *r, const char *series) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    er_metrics_render(r->f.metrics, &text);
    const char *at = strstr(er_buf_cstr(&text), series);
    assert_non_null(at);
    double value = strtod(at + strlen(series), NULL);
    er_buf_fini(&text);
    return value;
}

#define REPLACED(reason)                                                                           \
    "eventrouter_sink_kafka_producers_replaced_total{sink=\"hook\",reason=\"" reason "\"} "

static void test_fatal_error(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    expect_delivered(&r, 5);
    push_error(&r, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
    er_batch *batch = batch_of(&r.f, 5);
    assert_int_equal(give(&r, batch), ER_OK);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    assert_int_equal(r.worst, ER_E_UNAVAILABLE);
    deliver_until_taken(&r, batch); /* by another producer */
    er_batch_free(batch);
    assert_int_equal((int)metric(&r, REPLACED("fatal")), 1);
    expect_delivered(&r, 100);
    rig_fini(&r);
}

/* No producer of this account can work: it is not made over and over. */
static void test_not_let_in(void **state) {
    (void)state;
    rig r;
    rig_cluster(&r);
    for (int i = 0; i < 2; i++) {
        rd_kafka_mock_push_request_errors(r.cluster, INIT_PRODUCER_ID, 1,
                                          RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED);
    }
    int64_t start = er_mono_ms();
    rig_sink(&r, "");
    er_batch *batch = batch_of(&r.f, 3);
    (void)give(&r, batch);
    er_deadline until = er_deadline_in(LIMIT_MS);
    while (r.denials == 0) {
        assert_false(er_deadline_passed(until));
        poll_once(&r);
    }
    assert_non_null(strstr(r.err.msg, "IDEMPOTENT_WRITE"));
    settle(&r, batch);
    deliver_until_taken(&r, batch); /* the third producer is let in */
    assert_true(er_mono_ms() - start > 1000);
    assert_int_equal((int)metric(&r, REPLACED("fatal")), 2);
    er_batch_free(batch);
    rig_fini(&r);
}

static void put_file(const char *path, const char *text) {
    char fresh[128];
    (void)snprintf(fresh, sizeof fresh, "%s.fresh", path);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

/* An option whose file changes: another producer takes over, and nothing is sent twice. */
static void test_changed_option(void **state) {
    (void)state;
    char path[] = "/tmp/er-kafka-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    put_file(path, "first");
    char yaml[256];
    (void)snprintf(yaml, sizeof yaml, "options: {client.id: {file: %s}, linger.ms: 300}\n", path);
    rig r;
    rig_init(&r, yaml);
    expect_delivered(&r, 5);
    er_batch *batch = batch_of(&r.f, 50), *next = batch_of(&r.f, 50);
    assert_int_equal(give(&r, batch), ER_OK);
    put_file(path, "second");
    er_deadline until = er_deadline_in(LIMIT_MS);
    while ((int)metric(&r, REPLACED("tls")) == 0) {
        assert_false(er_deadline_passed(until));
        poll_once(&r);
    }
    assert_int_equal(give(&r, next), ER_OK);
    settle(&r, batch);
    settle(&r, next);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    expect_verdicts(next, ER_VERDICT_DELIVERED);
    assert_int_equal(r.worst, ER_OK);
    assert_int_equal((int)metric(&r, REPLACED("tls")), 1);
    er_batch_free(batch);
    er_batch_free(next);
    rig_fini(&r);
    assert_int_equal(unlink(path), 0);
}

/* ---- outages and the end ---- */

static void test_outage(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "options: {reconnect.backoff.ms: 20, reconnect.backoff.max.ms: 50}\n");
    expect_delivered(&r, 1);
    assert_int_equal(rd_kafka_mock_broker_set_down(r.cluster, BROKER), 0);
    er_batch *batch = batch_of(&r.f, 10);
    (void)give(&r, batch);
    er_deadline until = er_deadline_in(LIMIT_MS);
    while (r.worst != ER_E_UNAVAILABLE) {
        assert_false(er_deadline_passed(until));
        poll_once(&r);
    }
    assert_non_null(strstr(r.err.msg, "127.0.0.1"));
    assert_int_equal(count(batch, ER_VERDICT_KEPT), 10);
    assert_int_equal(rd_kafka_mock_broker_set_up(r.cluster, BROKER), 0);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    er_batch_free(batch);
    rig_fini(&r);
}

static void test_cancelled(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    expect_delivered(&r, 1);
    assert_int_equal(rd_kafka_mock_broker_set_down(r.cluster, BROKER), 0);
    er_batch *batch = batch_of(&r.f, 10);
    (void)give(&r, batch);
    er_cancel_set(&r.f.cancel);
    int64_t start = er_mono_ms();
    poll_once(&r);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    assert_int_equal(r.worst, ER_E_CANCELLED);
    er_batch_free(batch);
    rig_fini(&r);
    assert_true(er_mono_ms() - start < 10000);
}

/* A report that comes after its batch went back says nothing of the batch in its place. */
static void test_late_report(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "");
    er_batch *batch = batch_of(&r.f, 3);
    assert_int_equal(rd_kafka_mock_broker_set_down(r.cluster, BROKER), 0);
    assert_int_equal(give(&r, batch), ER_OK);
    er_cancel_set(&r.f.cancel);
    poll_once(&r);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    const rd_kafka_message_t late = {._private = NULL}; /* the first record of all */
    er_kafka_on_report(r.f.self, &late);                /* nothing is kept */
    expect_verdicts(batch, ER_VERDICT_RETRY);
    (void)give(&r, batch);
    er_kafka_on_report(r.f.self, &late);
    expect_verdicts(batch, ER_VERDICT_KEPT);
    poll_once(&r);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    er_batch_free(batch);
    rig_fini(&r);
}

/* Nothing within librdkafka is older than retry.maxAge. */
static void test_too_old(void **state) {
    (void)state;
    rig r;
    rig_init(&r, "retry: {maxAge: 1s}\noptions: {reconnect.backoff.max.ms: 100}\n");
    expect_delivered(&r, 1);
    assert_int_equal(rd_kafka_mock_broker_set_down(r.cluster, BROKER), 0);
    er_batch *batch = batch_of(&r.f, 3);
    (void)give(&r, batch);
    settle(&r, batch);
    expect_verdicts(batch, ER_VERDICT_RETRY);
    er_batch_free(batch);
    rig_fini(&r);
}

static int setup(void **state) {
    (void)state;
    er_json_setup();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_delivered),        cmocka_unit_test(test_passing_errors),
        cmocka_unit_test(test_refused_together), cmocka_unit_test(test_refused_alone),
        cmocka_unit_test(test_refused_time),     cmocka_unit_test(test_silence),
        cmocka_unit_test(test_denial_stays),     cmocka_unit_test(test_denied),
        cmocka_unit_test(test_missing_topic),    cmocka_unit_test(test_too_large_for_us),
        cmocka_unit_test(test_queue_full),       cmocka_unit_test(test_fatal_error),
        cmocka_unit_test(test_not_let_in),       cmocka_unit_test(test_changed_option),
        cmocka_unit_test(test_outage),           cmocka_unit_test(test_cancelled),
        cmocka_unit_test(test_too_old),          cmocka_unit_test(test_broken_on_the_way),
        cmocka_unit_test(test_late_report),      cmocka_unit_test(test_compacted_topic),
        cmocka_unit_test(test_some_come_back),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
