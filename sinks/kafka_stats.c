/* librdkafka's statistics as metrics.
 *
 * Source: librdkafka STATISTICS.md. Names of brokers and topics in it come from the peer. All
 * brokers of a cluster are one here: a label for each would be the peer's to choose. */
#include "base/json_read.h"
#include "sinks/kafka_priv.h"

#include <stdlib.h>

/* Sums over the brokers that only grow, per producer. */
static const struct {
    const char *key, *name, *help;
} totals[] = {
    {"tx", "sink_kafka_requests_total", "Requests sent to brokers."},
    {"txerrs", "sink_kafka_request_errors_total", "Requests that could not be sent."},
    {"txretries", "sink_kafka_request_retries_total", "Requests sent again by librdkafka."},
    {"req_timeouts", "sink_kafka_request_timeouts_total", "Requests that got no answer in time."},
    {"txbytes", "sink_kafka_sent_bytes_total", "Bytes sent to brokers."},
    {"disconnects", "sink_kafka_disconnects_total", "Connections to brokers that ended."},
};
#define TOTALS (sizeof totals / sizeof totals[0])

struct er_kafka_stats {
    er_json_doc doc;
    er_counter *counters[TOTALS];
    uint64_t base[TOTALS]; /* of the producers before this one */
    er_gauge *rtt, *queued, *queued_bytes, *brokers_up, *brokers;
};

er_kafka_stats *er_kafka_stats_new(const er_sink_env *env) {
    er_kafka_stats *stats = er_xcalloc(1, sizeof *stats);
    er_metrics *m = env->metrics;
    const char *const *labels = ER_LABELS("sink", env->name);
    er_json_doc_init(&stats->doc);
    for (size_t i = 0; i < TOTALS; i++) {
        stats->counters[i] = er_metrics_counter(m, totals[i].name, totals[i].help, labels);
    }
    stats->rtt = er_metrics_gauge(m, "sink_kafka_broker_rtt_seconds",
                                  "Round trip of the slowest broker, 99th percentile.", labels);
    stats->queued =
        er_metrics_gauge(m, "sink_kafka_queue_messages", "Messages within librdkafka.", labels);
    stats->queued_bytes = er_metrics_gauge(m, "sink_kafka_queue_bytes",
                                           "Bytes of messages within librdkafka.", labels);
    stats->brokers = er_metrics_gauge(m, "sink_kafka_brokers", "Brokers that are known.", labels);
    stats->brokers_up =
        er_metrics_gauge(m, "sink_kafka_brokers_up", "Brokers that we are connected to.", labels);
    return stats;
}

void er_kafka_stats_free(er_kafka_stats *stats) {
    if (stats != NULL) {
        er_json_doc_fini(&stats->doc);
        free(stats);
    }
}

void er_kafka_stats_restart(er_kafka_stats *stats) {
    for (size_t i = 0; i < TOTALS; i++) {
        stats->base[i] = er_counter_get(stats->counters[i]);
    }
}

/* Never negative, and small enough to be added up. */
static uint64_t number_of(const er_json *object, const char *key) {
    int64_t n = 0;
    bool is_number = er_json_int(er_json_get(object, key), &n);
    return is_number && n > 0 && n < INT64_C(1) << 52 ? (uint64_t)n : 0;
}

void er_kafka_stats_take(er_kafka_stats *stats, char *text, size_t n) {
    if (er_json_parse(&stats->doc, text, n, NULL) != ER_OK) {
        return;
    }
    const er_json *root = stats->doc.root;
    uint64_t sums[TOTALS] = {0};
    uint64_t rtt_us = 0;
    uint64_t answers = 0;
    uint64_t brokers = 0;
    uint64_t up = 0;
    for (const er_json *b = er_json_first(er_json_get(root, "brokers")); b != NULL;
         b = er_json_next(b)) {
        for (size_t i = 0; i < TOTALS; i++) {
            sums[i] += number_of(b, totals[i].key);
        }
        int64_t id = -1;
        if (!er_json_int(er_json_get(b, "nodeid"), &id) || id < 0) {
            continue; /* a bootstrap address, or a coordinator: one of the brokers once more */
        }
        const er_json *rtt = er_json_get(b, "rtt");
        uint64_t p99 = number_of(rtt, "p99");
        rtt_us = p99 > rtt_us ? p99 : rtt_us;
        answers += number_of(rtt, "cnt");
        brokers++;
        up += er_str_eqc(er_json_get_str(b, "state"), "UP");
    }
    for (size_t i = 0; i < TOTALS; i++) {
        uint64_t total = stats->base[i] + sums[i];
        if (total > er_counter_get(stats->counters[i])) { /* brokers may be forgotten */
            er_counter_set(stats->counters[i], total);
        }
    }
    if (answers > 0) { /* else nothing was asked, and the last value stays */
        er_gauge_set(stats->rtt, (double)rtt_us / 1e6);
    }
    er_gauge_set(stats->queued, (double)number_of(root, "msg_cnt"));
    er_gauge_set(stats->queued_bytes, (double)number_of(root, "msg_size"));
    er_gauge_set(stats->brokers, (double)brokers);
    er_gauge_set(stats->brokers_up, (double)up);
}
