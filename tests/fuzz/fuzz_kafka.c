/* sinks/kafka: librdkafka's statistics, in which brokers have their word, and messages of records
 * whose names mean harm.
 *
 * Input: "S" and JSON (two of them, a LF between); or cluster, namespace, object's namespace, kind,
 * name and uid, the topic's template by the first byte of each; a line each. */
#include "fuzz.h"

#include "sinks/cloudevents.h"
#include "sinks/kafka_priv.h"

#include <math.h>

/* ---- statistics ---- */

/* Every value is finite and not negative; the sum of the counters. */
static double check_values(er_metrics *metrics) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    er_metrics_render(metrics, &text);
    FUZZ_CHECK(er_buf_status(&text) == ER_OK && fuzz_is_utf8(er_buf_str(&text)));
    double sum = 0;
    fuzz_input in = {text.p, text.len};
    while (in.n > 0) {
        er_str line = fuzz_line(&in);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        char *copy = er_str_dup(line);
        double value = strtod(strrchr(copy, ' ') + 1, NULL);
        FUZZ_CHECK(isfinite(value) && value >= 0);
        sum += strstr(copy, "_total{") != NULL ? value : 0;
        free(copy);
    }
    er_buf_fini(&text);
    return sum;
}

static void any_statistics(fuzz_input in) {
    er_metrics *metrics = er_metrics_new();
    er_sink_env env = {.name = "k", .metrics = metrics};
    er_kafka_stats *stats = er_kafka_stats_new(&env);
    double sum = 0;
    for (int round = 0; round < 3; round++) {
        er_str line = fuzz_line(&in);
        char *text = er_str_dup(line);
        er_kafka_stats_take(stats, text, line.n);
        free(text);
        double now = check_values(metrics);
        FUZZ_CHECK(now >= sum); /* counters never fall */
        sum = now;
        if (round == 1) {
            er_kafka_stats_restart(stats);
        }
    }
    er_kafka_stats_free(stats);
    er_metrics_free(metrics);
}

/* ---- messages ---- */

static void check_topic(const char *topic) {
    size_t n = strlen(topic);
    FUZZ_CHECK(n >= 1 && n <= 249 && strcmp(topic, ".") != 0 && strcmp(topic, "..") != 0);
    FUZZ_CHECK(strspn(topic, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") ==
               n);
}

static void check_message(const er_kafka_config *config, const er_record *rec) {
    er_buf text;
    er_buf_init(&text, ER_CLOUDEVENT_TEXT_MAX);
    er_kafka_message m, again;
    er_kafka_message_of(config, rec, &text, &m);
    check_topic(m.topic);
    FUZZ_CHECK(m.key.p == NULL || (m.key.n > 0 && m.key.n <= 512 && fuzz_is_utf8(m.key)));
    FUZZ_CHECK(m.time_ms >= 1);
    for (size_t i = 0; i < m.headers_n; i++) {
        FUZZ_CHECK(fuzz_is_utf8(m.headers[i].value));
        for (size_t j = 0; j < m.headers[i].value.n && strncmp(m.headers[i].name, "ce_", 3) == 0;
             j++) {
            FUZZ_CHECK((unsigned char)m.headers[i].value.p[j] >= 0x20);
        }
    }
    er_kafka_message_of(config, rec, &text, &again); /* of the record alone */
    FUZZ_CHECK(strcmp(m.topic, again.topic) == 0 && m.headers_n == again.headers_n);
    er_buf_fini(&text);
}

static void any_record(fuzz_input in) {
    static const char *const topics[] = {"{cluster}", "k8s.{cluster}.{kind}", "{namespace}",
                                         "{severity}-{namespace}-{cluster}", "t"};
    er_str lines[6];
    for (size_t i = 0; i < 6; i++) {
        lines[i] = fuzz_line(&in);
    }
    unsigned choice = lines[0].n > 0 ? (unsigned char)lines[0].p[0] : 0;
    er_kafka_config config = {.topic = er_dup(topics[choice % 5]),
                              .key = (int)(choice / 5 % 3),
                              .format = (int)(choice / 15 % 3)};
    er_record draft = {
        .kind = (er_kind)(choice % 6),
        .id = ER_STR("an-id"),
        .cluster = lines[0],
        .time = (er_time)lines[1].n * 1000000000000,
        .observed_time = 1767323060000000,
        .namespace_ = lines[1],
        .object = {.namespace_ = lines[2], .kind = lines[3], .name = lines[4], .uid = lines[5]}};
    er_record *rec = er_record_seal(&draft);
    FUZZ_CHECK(rec != NULL);
    check_message(&config, rec);
    er_record_unref(rec);
    free(config.topic);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    if (size > 0 && data[0] == 'S') {
        (void)fuzz_byte(&in);
        any_statistics(in);
    } else {
        any_record(in);
    }
    return 0;
}
