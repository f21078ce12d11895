/* Kafka for tests: a cluster within this process (librdkafka's mock), and a reader of topics.
 *
 *   er_kafka mock [BROKERS]
 *       Prints one line, {"brokers":"127.0.0.1:P,…"}, and serves until stdin ends. Each line of
 * stdin is a command, answered with "ok" or "error: …" when it is done: topic NAME PARTITIONS there
 * from now on errors API CODE [TIMES]       the next requests (0: Produce, 22: InitProducerId) fail
 * so; -195 hangs up topic-error NAME CODE         what the metadata of a topic says; 0: nothing
 *         down ID, up ID                a broker
 *         rtt ID MS                     how long a broker takes to answer
 *         leader TOPIC PARTITION ID     -1: none
 *   er_kafka read BROKERS TOPIC [PROPERTY=VALUE …]
 *       Prints a JSON line for each message there is: topic, partition, offset, time, key, headers,
 *       value.
 *   er_kafka flood BROKERS TOPIC N BYTES [PROPERTY=VALUE …]
 *       Produces N messages of so many bytes as fast as it can, as the kafka sink does but with no
 *       work beside it, and prints {"messagesPerSecond":…}: what the sink cannot exceed.
 *
 * Who calls it: tests/scenario, tests/e2e and the bench. Threads: librdkafka's own and main. */
#include "base/clock.h"
#include "base/json_write.h"

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS      4
#define ATTEMPTS   20    /* to learn the partitions, a second each */
#define READ_LIMIT 60000 /* ms without anything */

static rd_kafka_conf_t *conf_new(const char *key, const char *value) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256];
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
        (void)fprintf(stderr, "er_kafka: %s\n", why);
        exit(2);
    }
    return conf;
}

/* ---- mock ---- */

static int number(const char *text) {
    return text == NULL ? 0 : (int)strtol(text, NULL, 10);
}

static rd_kafka_resp_err_t push_errors(rd_kafka_mock_cluster_t *cluster, char *const *w) {
    int times = w[3] == NULL ? 1 : number(w[3]);
    rd_kafka_resp_err_t code = (rd_kafka_resp_err_t)number(w[2]);
    for (int i = 0; i < times; i++) {
        rd_kafka_mock_push_request_errors(cluster, (int16_t)number(w[1]), 1, code);
    }
    return RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* w: the words of the line; those that are missing are NULL. */
static rd_kafka_resp_err_t command(rd_kafka_mock_cluster_t *cluster, char *const *w) {
    if (w[1] == NULL) {
        return RD_KAFKA_RESP_ERR__INVALID_ARG;
    }
    if (strcmp(w[0], "topic") == 0) {
        return rd_kafka_mock_topic_create(cluster, w[1], number(w[2]), 1);
    }
    if (strcmp(w[0], "errors") == 0) {
        return push_errors(cluster, w);
    }
    if (strcmp(w[0], "topic-error") == 0) {
        rd_kafka_mock_topic_set_error(cluster, w[1], (rd_kafka_resp_err_t)number(w[2]));
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    if (strcmp(w[0], "down") == 0) {
        return rd_kafka_mock_broker_set_down(cluster, number(w[1]));
    }
    if (strcmp(w[0], "up") == 0) {
        return rd_kafka_mock_broker_set_up(cluster, number(w[1]));
    }
    if (strcmp(w[0], "rtt") == 0) {
        return rd_kafka_mock_broker_set_rtt(cluster, number(w[1]), number(w[2]));
    }
    if (strcmp(w[0], "leader") == 0) {
        return rd_kafka_mock_partition_set_leader(cluster, w[1], number(w[2]), number(w[3]));
    }
    return RD_KAFKA_RESP_ERR__INVALID_ARG;
}

static int mock(const char *brokers) {
    rd_kafka_t *rk =
        rd_kafka_new(RD_KAFKA_PRODUCER, conf_new("test.mock.num.brokers", brokers), NULL, 0);
    rd_kafka_mock_cluster_t *cluster = rk == NULL ? NULL : rd_kafka_handle_mock_cluster(rk);
    if (cluster == NULL) {
        return 1;
    }
    (void)printf("{\"brokers\":\"%s\"}\n", rd_kafka_mock_cluster_bootstraps(cluster));
    (void)fflush(stdout);
    char line[512];
    while (fgets(line, sizeof line, stdin) != NULL) {
        char *words[WORDS] = {0};
        char *rest = line;
        for (size_t n = 0; n < WORDS; n++) {
            words[n] = strtok_r(rest, " \n", &rest);
        }
        rd_kafka_resp_err_t code =
            words[0] == NULL ? RD_KAFKA_RESP_ERR__INVALID_ARG : command(cluster, words);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            (void)puts("ok");
        } else {
            (void)printf("error: %s\n", rd_kafka_err2str(code));
        }
        (void)fflush(stdout);
    }
    rd_kafka_destroy(rk);
    return 0;
}

/* ---- read ---- */

static void put_headers(er_jw *w, const rd_kafka_message_t *message) {
    rd_kafka_headers_t *headers = NULL;
    er_jw_key(w, "headers");
    er_jw_array(w);
    if (rd_kafka_message_headers(message, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        const char *name;
        const void *value;
        size_t n;
        for (size_t i = 0;
             rd_kafka_header_get_all(headers, i, &name, &value, &n) == RD_KAFKA_RESP_ERR_NO_ERROR;
             i++) {
            er_jw_array(w);
            er_jw_str(w, er_str_of(name));
            er_jw_str(w, (er_str){value, n});
            er_jw_array_end(w);
        }
    }
    er_jw_array_end(w);
}

static void print_message(const rd_kafka_message_t *message, er_buf *out) {
    er_jw w;
    er_buf_clear(out);
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "topic", er_str_of(rd_kafka_topic_name(message->rkt)));
    er_jw_kint(&w, "partition", message->partition);
    er_jw_kint(&w, "offset", message->offset);
    er_jw_kint(&w, "time", rd_kafka_message_timestamp(message, NULL));
    if (message->key != NULL) {
        er_jw_kstr(&w, "key", (er_str){message->key, message->key_len});
    }
    put_headers(&w, message);
    er_jw_kstr(&w, "value", (er_str){message->payload, message->len});
    er_jw_object_end(&w);
    er_buf_putc(out, '\n');
    (void)fwrite(out->p, 1, out->len, stdout);
}

/* All partitions, each from its beginning; none when the brokers do not tell. */
static rd_kafka_topic_partition_list_t *partitions_of(rd_kafka_t *rk, const char *topic) {
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(8);
    for (int attempt = 0; attempt < ATTEMPTS && list->cnt == 0; attempt++) {
        const struct rd_kafka_metadata *metadata = NULL;
        if (rd_kafka_metadata(rk, 0, rkt, &metadata, 1000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            continue;
        }
        for (int i = 0; i < metadata->topics[0].partition_cnt; i++) {
            rd_kafka_topic_partition_list_add(list, topic, metadata->topics[0].partitions[i].id)
                ->offset = RD_KAFKA_OFFSET_BEGINNING;
        }
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(rkt);
    return list;
}

static int read_all(rd_kafka_t *rk, const char *topic) {
    rd_kafka_topic_partition_list_t *list = partitions_of(rk, topic);
    int left = list->cnt;
    (void)rd_kafka_assign(rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    er_buf out;
    er_buf_init(&out, 64u << 20);
    int code = left > 0 ? 0 : 1;
    while (left > 0 && code == 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(rk, READ_LIMIT);
        if (message == NULL) {
            code = 1;
        } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
            left--;
        } else if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
            print_message(message, &out);
        } else {
            (void)fprintf(stderr, "er_kafka: %s\n", rd_kafka_message_errstr(message));
            code = 1;
        }
        if (message != NULL) {
            rd_kafka_message_destroy(message);
        }
    }
    er_buf_fini(&out);
    return code;
}

/* PROPERTY=VALUE from the command line. */
static bool set_all(rd_kafka_conf_t *conf, char **pairs) {
    char why[256];
    for (; *pairs != NULL; pairs++) {
        char *value = strchr(*pairs, '=');
        if (value == NULL) {
            return false;
        }
        *value++ = '\0';
        if (rd_kafka_conf_set(conf, *pairs, value, why, sizeof why) != RD_KAFKA_CONF_OK) {
            (void)fprintf(stderr, "er_kafka: %s\n", why);
            return false;
        }
    }
    return true;
}

static rd_kafka_t *client_new(rd_kafka_type_t type, rd_kafka_conf_t *conf) {
    char why[256];
    rd_kafka_t *rk = rd_kafka_new(type, conf, why, sizeof why);
    if (rk == NULL) {
        (void)fprintf(stderr, "er_kafka: %s\n", why);
    }
    return rk;
}

static int read_topic(char **argv) {
    char ours[][32] = {"group.id=er_kafka", "enable.auto.commit=false",
                       "enable.partition.eof=true"};
    char *pairs[] = {ours[0], ours[1], ours[2], NULL};
    rd_kafka_conf_t *conf = conf_new("bootstrap.servers", argv[2]);
    rd_kafka_t *rk = set_all(conf, pairs) && set_all(conf, argv + 4)
                         ? client_new(RD_KAFKA_CONSUMER, conf)
                         : NULL;
    if (rk == NULL) {
        return 2;
    }
    (void)rd_kafka_poll_set_consumer(rk);
    int code = read_all(rk, argv[3]);
    (void)rd_kafka_consumer_close(rk);
    rd_kafka_destroy(rk);
    return code;
}

/* ---- flood ---- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    *(long *)opaque += message->err == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void produce(rd_kafka_t *rk, const char *topic, long i, char *value, size_t n) {
    static const char *const headers[][2] = {{"id", "an-id-of-some-length"},
                                             {"kind", "event"},
                                             {"cluster", "bench"},
                                             {"schema", "eventrouter.io/v1"},
                                             {"content-type", "application/json"}};
    char key[24];
    size_t key_n = (size_t)snprintf(key, sizeof key, "object-%ld", i % 1000);
    rd_kafka_headers_t *list = rd_kafka_headers_new(5);
    for (size_t h = 0; h < 5; h++) {
        (void)rd_kafka_header_add(list, headers[h][0], -1, headers[h][1], -1);
    }
    const rd_kafka_vu_t v[] = {
        {.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = topic},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {value, n}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {key, key_n}},
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = list},
    };
    rd_kafka_error_t *error;
    while ((error = rd_kafka_produceva(rk, v, sizeof v / sizeof v[0])) != NULL) {
        rd_kafka_error_destroy(error); /* its queue is full */
        (void)rd_kafka_poll(rk, 10);
    }
}

static int flood(char **argv) {
    static const char text[] =
        "{\"schema\":\"eventrouter.io/v1\",\"message\":\"Back-off restarting\"}";
    char ours[][32] = {"enable.idempotence=true", "linger.ms=20", "compression.type=lz4",
                       "partitioner=murmur2_random"};
    char *pairs[] = {ours[0], ours[1], ours[2], ours[3], NULL};
    long taken = 0, n = number(argv[4]);
    size_t bytes = (size_t)number(argv[5]);
    rd_kafka_conf_t *conf = conf_new("bootstrap.servers", argv[2]);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, &taken);
    rd_kafka_t *rk = set_all(conf, pairs) && set_all(conf, argv + 6)
                         ? client_new(RD_KAFKA_PRODUCER, conf)
                         : NULL;
    if (rk == NULL) {
        return 2;
    }
    er_buf value;
    er_buf_init(&value, bytes + sizeof text);
    while (value.len < bytes) {
        er_buf_puts(&value, text);
    }
    produce(rk, argv[3], 0, value.p, bytes); /* connects, and learns of the topic */
    (void)rd_kafka_flush(rk, READ_LIMIT);
    int64_t start = er_mono_ns();
    for (long i = 1; i <= n; i++) {
        produce(rk, argv[3], i, value.p, bytes);
        (void)rd_kafka_poll(rk, 0);
    }
    (void)rd_kafka_flush(rk, READ_LIMIT);
    double seconds = (double)(er_mono_ns() - start) / 1e9;
    (void)printf("{\"messagesPerSecond\":%.0f}\n", (double)n / seconds);
    er_buf_fini(&value);
    rd_kafka_destroy(rk);
    return taken == n + 1 ? 0 : 1;
}

int main(int argc, char **argv) {
    if (argc >= 2 && strcmp(argv[1], "mock") == 0) {
        return mock(argc > 2 ? argv[2] : "1");
    }
    if (argc >= 4 && strcmp(argv[1], "read") == 0) {
        return read_topic(argv);
    }
    if (argc >= 6 && strcmp(argv[1], "flood") == 0) {
        return flood(argv);
    }
    (void)fprintf(stderr,
                  "usage: er_kafka mock [BROKERS] | read BROKERS TOPIC [PROPERTY=VALUE ...] |\n"
                  "       flood BROKERS TOPIC N BYTES [PROPERTY=VALUE ...]\n");
    return 2;
}
