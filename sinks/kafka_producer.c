/* One librdkafka producer: its life and its callbacks. */
#include "base/log.h"
#include "sinks/kafka_priv.h"

#include <stdlib.h>
#include <string.h>

#define DESTROY_LIMIT_MS 2000

/* ---- callbacks ---- */

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    (void)rk;
    er_kafka_on_report(((er_kafka_producer *)opaque)->sink, message);
}

static void on_error(rd_kafka_t *rk, int code, const char *text, void *opaque) {
    er_kafka_on_error(((er_kafka_producer *)opaque)->sink, rk, (rd_kafka_resp_err_t)code, text);
}

static int on_stats(rd_kafka_t *rk, char *json, size_t n, void *opaque) {
    (void)rk;
    er_kafka_on_stats(((er_kafka_producer *)opaque)->sink, json, n);
    return 0; /* librdkafka frees it */
}

static void on_token(rd_kafka_t *rk, const char *config, void *opaque) {
    (void)config;
    er_kafka_on_token(((er_kafka_producer *)opaque)->sink, rk);
}

/* Nothing is said behind the program's last line, which comes after the cancel token. */
static bool is_silent(const er_kafka_producer *producer) {
    return atomic_load(&producer->is_ending) || er_cancel_is_set(producer->cancel);
}

/* On any thread. Syslog levels; what a producer can go on with is no error of ours. */
static void on_log(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
    static const er_log_level levels[] = {ER_LOG_ERROR,   ER_LOG_ERROR,   ER_LOG_ERROR,
                                          ER_LOG_WARNING, ER_LOG_WARNING, ER_LOG_INFO,
                                          ER_LOG_DEBUG,   ER_LOG_DEBUG};
    const er_kafka_producer *producer = rd_kafka_opaque(rk);
    if (!is_silent(producer)) {
        ER_LOG(levels[level < 0 || level > 7 ? 7 : level], "kafka", "librdkafka",
               ER_LS("facility", facility), ER_LS("sink", producer->name), ER_LS("text", text));
    }
}

/* ---- life ---- */

er_status er_kafka_producer_new(er_kafka_state *sink, const er_sink_env *env, rd_kafka_conf_t *conf,
                                er_kafka_producer **out, er_err *err) {
    er_kafka_producer *producer = er_xcalloc(1, sizeof *producer);
    producer->sink = sink;
    producer->name = er_dup(env->name);
    producer->cancel = env->cancel;
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_stats_cb(conf, on_stats);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_oauthbearer_token_refresh_cb(conf, on_token);
    char why[400] = "";
    producer->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (producer->rk == NULL) {
        rd_kafka_conf_destroy(conf);
        free(producer->name);
        free(producer);
        return er_err_set(err, ER_E_DENIED, "sinks.%s: librdkafka: %s", env->name, why);
    }
    *out = producer;
    return ER_OK;
}

/* ---- messages ---- */

static rd_kafka_topic_t *topic_of(er_kafka_producer *producer, const char *name) {
    if (producer->topic != NULL && strcmp(rd_kafka_topic_name(producer->topic), name) == 0) {
        return producer->topic;
    }
    if (producer->topic != NULL) {
        rd_kafka_topic_destroy(producer->topic);
    }
    producer->topic = rd_kafka_topic_new(producer->rk, name, NULL);
    return producer->topic;
}

static rd_kafka_headers_t *headers_of(const er_kafka_message *m) {
    rd_kafka_headers_t *headers = rd_kafka_headers_new(m->headers_n);
    for (size_t i = 0; i < m->headers_n; i++) {
        const er_kafka_header *h = &m->headers[i];
        (void)rd_kafka_header_add(headers, h->name, -1, h->value.n == 0 ? "" : h->value.p,
                                  (ssize_t)h->value.n);
    }
    return headers;
}

rd_kafka_resp_err_t er_kafka_produce(er_kafka_producer *producer, const er_kafka_message *m,
                                     er_str value, uintptr_t opaque) {
    rd_kafka_topic_t *topic = topic_of(producer, m->topic);
    if (topic == NULL) {
        return rd_kafka_last_error();
    }
    /* Headers as an object: librdkafka 2.0.2 frees single ones twice when it refuses a message. */
    rd_kafka_headers_t *headers = headers_of(m);
    /* NOLINTBEGIN(performance-no-int-to-ptr): const is lost; an opaque that is two numbers */
    const rd_kafka_vu_t v[] = {
        {.vtype = RD_KAFKA_VTYPE_RKT, .u.rkt = topic},
        {.vtype = RD_KAFKA_VTYPE_VALUE, .u.mem = {(void *)(uintptr_t)value.p, value.n}},
        {.vtype = RD_KAFKA_VTYPE_KEY, .u.mem = {(void *)(uintptr_t)m->key.p, m->key.n}},
        {.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = m->time_ms},
        {.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = (void *)opaque},
        /* copied: librdkafka's threads may outlive the batch at the end */
        {.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = RD_KAFKA_MSG_F_COPY},
        {.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers},
    };
    /* NOLINTEND(performance-no-int-to-ptr) */
    rd_kafka_error_t *error = rd_kafka_produceva(producer->rk, v, sizeof v / sizeof v[0]);
    if (error == NULL) {
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    }
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    rd_kafka_headers_destroy(headers);
    return code;
}

/* ---- the end ---- */

/* The wait for librdkafka's threads. */
typedef struct ending {
    er_kafka_producer *producer;
    er_mutex lock;
    er_cond done;
    bool is_done;
} ending;

static void destroy(er_kafka_producer *producer) {
    if (producer->topic != NULL) {
        rd_kafka_topic_destroy(producer->topic);
    }
    rd_kafka_destroy(producer->rk);
    free(producer->name);
    free(producer);
}

static void *end_run(void *arg) {
    ending *e = arg;
    destroy(e->producer);
    er_lock(&e->lock);
    e->is_done = true;
    er_cond_signal(&e->done);
    er_unlock(&e->lock);
    return NULL;
}

static bool wait_for_end(ending *e) {
    er_deadline until = er_deadline_in(DESTROY_LIMIT_MS);
    er_lock(&e->lock);
    while (!e->is_done && er_cond_wait_until(&e->done, &e->lock, until)) {
    }
    bool is_done = e->is_done;
    er_unlock(&e->lock);
    return is_done;
}

void er_kafka_producer_free(er_kafka_producer *producer) {
    if (producer == NULL) {
        return;
    }
    atomic_store(&producer->is_ending, true);
    ending *e = er_xcalloc(1, sizeof *e);
    e->producer = producer;
    er_mutex_init(&e->lock);
    er_cond_init(&e->done);
    er_thread thread;
    if (er_thread_start(&thread, "kafka end", end_run, e, NULL) != ER_OK) {
        destroy(producer);
    } else if (wait_for_end(e)) {
        er_thread_join(thread);
    } else {
        return; /* the thread goes on with it, and ends with the process at the latest */
    }
    er_mutex_fini(&e->lock);
    er_cond_fini(&e->done);
    free(e);
}
