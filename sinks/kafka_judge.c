/* What an error of librdkafka means for a record and for the endpoint: one table.
 *
 * librdkafka has tried again by itself what can be; what reaches us is final for it, not for us.
 * Not listed: RETRY, and the endpoint is unavailable; an event that is not listed says nothing.
 * INVALID_MSG (CORRUPT_MESSAGE in Kafka's guide) is not: bytes that broke on their way come whole
 * the next time, and a record that brokers do not want is INVALID_RECORD.
 * Sources: librdkafka INTRODUCTION.md "Idempotent Producer", rdkafka.h; Kafka's protocol guide,
 * "Error codes". */
#include "sinks/kafka_priv.h"

#include <string.h>

#define PRODUCE ER_KAFKA_AT_PRODUCE
#define REPORT  ER_KAFKA_AT_REPORT
#define EVENT   ER_KAFKA_AT_EVENT
#define E(name) RD_KAFKA_RESP_ERR_##name

static const char no_acl[] =
    "the account needs the ACLs WRITE and DESCRIBE on the topic (and CREATE where topics are made "
    "by their first record)";
static const char no_topic[] =
    "create the topic, or allow the brokers to (auto.create.topics.enable) and the account with "
    "the ACL CREATE";
static const char no_login[] = "check sasl, tls and securityProtocol";
static const char no_tls[] =
    "check tls, and that the port is that of a listener with TLS (securityProtocol)";
static const char no_certificate[] =
    "the broker refuses our certificate: check that tls.certFile is given, is not out of date, and "
    "is of a CA that the broker trusts";

static const char no_trust[] =
    "check tls.caFile, and that the broker's certificate is in date and names the host in brokers, "
    "and that in the broker's advertised.listeners";

static const struct row {
    rd_kafka_resp_err_t code;
    unsigned where;
    er_kafka_judgement is;
} rows[] = {
    {E(NO_ERROR), REPORT, {.verdict = ER_VERDICT_DELIVERED}},

    /* Room comes with reports. */
    {E(_QUEUE_FULL), PRODUCE, {.verdict = ER_VERDICT_KEPT}},

    /* The record can never be taken. At produce it is known which. */
    {E(MSG_SIZE_TOO_LARGE), PRODUCE, {ER_VERDICT_REJECT, ER_REASON_TOO_LARGE}},
    {E(_INVALID_ARG), PRODUCE, {ER_VERDICT_REJECT, ER_REASON_REFUSED}},
    {E(MSG_SIZE_TOO_LARGE), REPORT, {ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, .is_shared = true}},
    {E(RECORD_LIST_TOO_LARGE), REPORT, {ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, .is_shared = true}},
    {E(INVALID_RECORD), REPORT, {ER_VERDICT_REJECT, ER_REASON_REFUSED, .is_shared = true}},

    /* The target is wrong, or we are not let in. */
    {E(_UNKNOWN_TOPIC),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true, .advice = no_topic}},
    {E(UNKNOWN_TOPIC_OR_PART),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true, .advice = no_topic}},
    {E(_UNKNOWN_PARTITION),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true, .advice = no_topic}},
    {E(TOPIC_EXCEPTION),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true}},
    {E(POLICY_VIOLATION),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true}},
    {E(TOPIC_AUTHORIZATION_FAILED),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true, .advice = no_acl}},
    {E(CLUSTER_AUTHORIZATION_FAILED),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED,
      .advice = "brokers before 3.0 want the ACL IDEMPOTENT_WRITE on the cluster"}},
    {E(_AUTHENTICATION),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .advice = no_login}},
    {E(SASL_AUTHENTICATION_FAILED),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .advice = no_login}},
    {E(UNSUPPORTED_SASL_MECHANISM),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .advice = no_login}},
    {E(_UNSUPPORTED_FEATURE),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED,
      .advice = "the brokers are too old (idempotence, headers and times need Kafka 0.11), or the "
                "port is that of a controller"}},
    {E(UNSUPPORTED_FOR_MESSAGE_FORMAT),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true,
      .advice = "the topic's message.format.version must be 0.11 or newer"}},
    {E(INVALID_TIMESTAMP), /* while records have their own time, kafka.c sends another first */
     REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .is_of_topic = true,
      .advice = "the topic takes neither the records' times nor the present one: see its "
                "message.timestamp.before.max.ms and after.max.ms, and compare the clocks"}},
    {E(UNSUPPORTED_COMPRESSION_TYPE),
     PRODUCE | REPORT,
     {ER_VERDICT_RETRY, .state = ER_E_DENIED, .advice = "set another compression"}},

    /* The producer's session with the brokers is broken for good; another one goes on. */
    {E(_FATAL),
     PRODUCE | REPORT | EVENT,
     {ER_VERDICT_RETRY, .state = ER_E_UNAVAILABLE, .is_fatal = true}},

    /* Nobody to send to. _TRANSPORT and _RESOLVE as events are about one broker of several. */
    {E(_ALL_BROKERS_DOWN), EVENT, {ER_VERDICT_RETRY, .state = ER_E_UNAVAILABLE}},
    {E(_SSL), EVENT, {ER_VERDICT_RETRY, .state = ER_E_UNAVAILABLE, .advice = no_tls}},
};

er_kafka_judgement er_kafka_judge(er_kafka_where where, rd_kafka_resp_err_t code) {
    er_kafka_judgement found = {.verdict = ER_VERDICT_RETRY,
                                .state = where == EVENT ? ER_OK : ER_E_UNAVAILABLE};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].code == code && (rows[i].where & (unsigned)where) != 0) {
            found = rows[i].is;
            break;
        }
    }
    found.advice = found.advice == NULL ? "" : found.advice;
    return found;
}

const char *er_kafka_event_advice(rd_kafka_resp_err_t code, const char *text) {
    /* What the broker's TLS says of us comes as a connection that broke. */
    const char *alert = strstr(text, " alert ");
    if (alert != NULL &&
        (strstr(alert, "certificate") != NULL || strstr(alert, "unknown ca") != NULL)) {
        return no_certificate;
    }
    return strstr(text, "certificate verify failed") != NULL ? no_trust
                                                             : er_kafka_judge(EVENT, code).advice;
}
