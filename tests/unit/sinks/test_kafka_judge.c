/* What each error means: the whole table, and what stands in none. */
#include "sink_fixture.h"
#include "sinks/kafka_priv.h"

#define E(name) RD_KAFKA_RESP_ERR_##name

typedef struct want {
    rd_kafka_resp_err_t code;
    er_verdict verdict;
    er_reason reason;
    er_status state;
    bool is_shared, is_fatal;
} want;

static void expect(er_kafka_where where, const want *rows, size_t n) {
    for (size_t i = 0; i < n; i++) {
        er_kafka_judgement is = er_kafka_judge(where, rows[i].code);
        if (is.verdict != rows[i].verdict || is.reason != rows[i].reason ||
            is.state != rows[i].state || is.is_shared != rows[i].is_shared ||
            is.is_fatal != rows[i].is_fatal) {
            fail_msg("%s: verdict %d, reason %d, state %d, shared %d, fatal %d",
                     rd_kafka_err2name(rows[i].code), is.verdict, is.reason, is.state, is.is_shared,
                     is.is_fatal);
        }
        assert_non_null(is.advice);
    }
}
#define EXPECT(where, rows) expect((where), (rows), sizeof(rows) / sizeof(rows)[0])

#define DENIED      ER_VERDICT_RETRY, ER_REASON_NONE, ER_E_DENIED, false, false
#define UNAVAILABLE ER_VERDICT_RETRY, ER_REASON_NONE, ER_E_UNAVAILABLE, false, false
#define NOTHING     ER_VERDICT_RETRY, ER_REASON_NONE, ER_OK, false, false
#define FATAL       ER_VERDICT_RETRY, ER_REASON_NONE, ER_E_UNAVAILABLE, false, true
#define REFUSED     ER_VERDICT_REJECT, ER_REASON_REFUSED, ER_OK, true, false
#define TOO_LARGE   ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, ER_OK, true, false

static void test_reports(void **state) {
    (void)state;
    static const want rows[] = {
        {E(NO_ERROR), ER_VERDICT_DELIVERED, ER_REASON_NONE, ER_OK, false, false},
        {E(MSG_SIZE_TOO_LARGE), TOO_LARGE},
        {E(RECORD_LIST_TOO_LARGE), TOO_LARGE},
        {E(INVALID_RECORD), REFUSED},
        {E(INVALID_TIMESTAMP), DENIED}, /* once the present time was tried */
        {E(TOPIC_AUTHORIZATION_FAILED), DENIED},
        {E(CLUSTER_AUTHORIZATION_FAILED), DENIED},
        {E(_AUTHENTICATION), DENIED},
        {E(SASL_AUTHENTICATION_FAILED), DENIED},
        {E(UNSUPPORTED_SASL_MECHANISM), DENIED},
        {E(POLICY_VIOLATION), DENIED},
        {E(TOPIC_EXCEPTION), DENIED},
        {E(UNKNOWN_TOPIC_OR_PART), DENIED},
        {E(_UNKNOWN_TOPIC), DENIED},
        {E(_UNKNOWN_PARTITION), DENIED},
        {E(_UNSUPPORTED_FEATURE), DENIED},
        {E(UNSUPPORTED_COMPRESSION_TYPE), DENIED},
        {E(UNSUPPORTED_FOR_MESSAGE_FORMAT), DENIED},
        {E(_FATAL), FATAL},
        {E(INVALID_MSG), UNAVAILABLE}, /* a checksum that failed on the way */
        {E(_MSG_TIMED_OUT), UNAVAILABLE},
        {E(_TRANSPORT), UNAVAILABLE},
        {E(_ALL_BROKERS_DOWN), UNAVAILABLE},
        {E(NOT_ENOUGH_REPLICAS), UNAVAILABLE},
        {E(NOT_ENOUGH_REPLICAS_AFTER_APPEND), UNAVAILABLE},
        {E(REQUEST_TIMED_OUT), UNAVAILABLE},
        {E(NOT_LEADER_FOR_PARTITION), UNAVAILABLE},
        {E(LEADER_NOT_AVAILABLE), UNAVAILABLE},
        {E(KAFKA_STORAGE_ERROR), UNAVAILABLE},
        {E(THROTTLING_QUOTA_EXCEEDED), UNAVAILABLE},
        {E(OUT_OF_ORDER_SEQUENCE_NUMBER), UNAVAILABLE},
        {E(UNKNOWN_PRODUCER_ID), UNAVAILABLE},
        {E(_PURGE_QUEUE), UNAVAILABLE},
        {E(_PURGE_INFLIGHT), UNAVAILABLE},
        {E(UNKNOWN), UNAVAILABLE},
        {(rd_kafka_resp_err_t)31999, UNAVAILABLE},
    };
    EXPECT(ER_KAFKA_AT_REPORT, rows);
}

static void test_produce(void **state) {
    (void)state;
    static const want rows[] = {
        {E(_QUEUE_FULL), ER_VERDICT_KEPT, ER_REASON_NONE, ER_OK, false, false},
        {E(MSG_SIZE_TOO_LARGE), ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, ER_OK, false, false},
        {E(_INVALID_ARG), ER_VERDICT_REJECT, ER_REASON_REFUSED, ER_OK, false, false},
        {E(_UNKNOWN_TOPIC), DENIED},
        {E(_UNKNOWN_PARTITION), DENIED},
        {E(UNKNOWN_TOPIC_OR_PART), DENIED},
        {E(TOPIC_AUTHORIZATION_FAILED), DENIED},
        {E(_FATAL), FATAL},
        {E(_FAIL), UNAVAILABLE},
    };
    EXPECT(ER_KAFKA_AT_PRODUCE, rows);
}

static void test_events(void **state) {
    (void)state;
    static const want rows[] = {
        {E(_AUTHENTICATION), DENIED},
        {E(SASL_AUTHENTICATION_FAILED), DENIED},
        {E(UNSUPPORTED_SASL_MECHANISM), DENIED},
        {E(TOPIC_AUTHORIZATION_FAILED), DENIED},
        {E(CLUSTER_AUTHORIZATION_FAILED), DENIED},
        {E(_UNSUPPORTED_FEATURE), DENIED},
        {E(_FATAL), FATAL},
        {E(_ALL_BROKERS_DOWN), UNAVAILABLE},
        {E(_SSL), UNAVAILABLE},
        /* about one broker of several */
        {E(_TRANSPORT), NOTHING},
        {E(_RESOLVE), NOTHING},
        {E(_CRIT_SYS_RESOURCE), NOTHING},
    };
    EXPECT(ER_KAFKA_AT_EVENT, rows);
}

static void expect_advice(rd_kafka_resp_err_t code, const char *text, const char *begin) {
    const char *advice = er_kafka_event_advice(code, text);
    if (strncmp(advice, begin, strlen(begin)) != 0) {
        fail_msg("%s: %s", text, advice);
    }
}

/* Texts as librdkafka 2.0.2 and 2.8.0 have them. */
static void test_advice(void **state) {
    (void)state;
    expect_advice(E(_TRANSPORT),
                  "ssl://b:1/bootstrap: Receive failed: error:0A000416:SSL routines::sslv3 alert "
                  "certificate unknown: SSL alert number 46",
                  "the broker refuses our certificate: ");
    expect_advice(E(_SSL),
                  "ssl://b:1/bootstrap: SSL handshake failed: error:0A00045C:SSL "
                  "routines::tlsv13 alert certificate required: SSL alert number 116",
                  "the broker refuses our certificate: ");
    expect_advice(E(_TRANSPORT),
                  "error:0A000418:SSL routines::tlsv1 alert unknown ca: SSL alert number 48",
                  "the broker refuses our certificate: ");
    expect_advice(E(_SSL),
                  "ssl://b:1/bootstrap: SSL handshake failed: error:0A000086:SSL "
                  "routines::certificate verify failed: broker certificate could not be verified",
                  "check tls.caFile, ");
    expect_advice(E(_SSL), "error:0A000410:SSL routines::sslv3 alert handshake failure",
                  "check tls, and that the port");
    assert_string_equal(er_kafka_event_advice(E(_TRANSPORT), "Connection refused"), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reports),
        cmocka_unit_test(test_produce),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
