/* The kafka sink, on librdkafka's idempotent producer.
 *
 * A batch that is delivered is kept: its records go into librdkafka, and each is settled by its
 * delivery report, which comes inside of poll. librdkafka does the sending again, and keeps the
 * order while it does. What comes back from it undone is judged RETRY, by one table
 * (kafka_judge.c).
 *
 * Another producer takes over when the old one has met a fatal error, or when certificates changed.
 * Until the old one has reported all it has, nothing is given to the new one: so the order is kept,
 * and only what got no report is sent again. */
#include "sinks/cloudevents.h"
#include "sinks/kafka_priv.h"
#include "sinks/name_template.h"
#include "sinks/registry.h"

#include "base/log.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IN_FLIGHT       8 /* batches; also bounds the memory within librdkafka */
#define ITEM_MAX        (16u << 20)
#define LOOK_MS         1000             /* how often files and secrets are looked at */
#define DRAIN_MS        10000            /* for reports, before another producer takes over */
#define PURGE_MS        1000             /* for reports of what was taken back */
#define DENIED_STAYS_MS 30000            /* a denial is not hidden by what follows from it */
#define REMAKE_MS       2000             /* between producers, and attempts to make one */
#define EVENT_STAYS_MS  60000            /* what was said of a broker may explain a silence */
#define PRESENT_TIME_MS (10 * 60 * 1000) /* how long, where records' own times are refused */

/* Of an opaque, from below: the item, the place of its flight, what it knows of the flight's seq.
 */
#define ITEM_BITS  20
#define PLACE_BITS 3
static_assert(IN_FLIGHT == 1 << PLACE_BITS, "every place has its number");

/* A batch whose items are given to librdkafka, in order. */
typedef struct flight {
    er_batch *batch; /* NULL: this place is free */
    size_t n, next;  /* items before next were given */
    size_t open;     /* not judged */
    uint64_t seq;
} flight;

/* Reports that were about whole requests, since poll began. */
typedef struct suspects {
    size_t n;
    er_batch *batch; /* the last one's */
    size_t item;
    er_reason reason;
    char text[200];
} suspects;

struct er_kafka_state {
    const er_kafka_config *config;
    er_sink_env env;
    er_kafka_material material;
    er_kafka_producer *producer; /* NULL before open */
    er_kafka_producer *heir;     /* takes over when the producer has reported all, or in time */
    er_deadline drain_until;
    bool is_fatal;      /* the producer is of no use */
    bool is_taken_back; /* something was, while the heir waits */
    size_t out;         /* messages without a report */
    flight flights[IN_FLIGHT];
    uint64_t seq;
    er_buf text;
    suspects suspects;
    er_status trouble; /* of the endpoint, not yet said; ER_OK: none */
    char trouble_text[512];
    bool gave_back;       /* a record was judged RETRY */
    char last_event[320]; /* about one broker */
    const char *last_advice;
    er_deadline event_until;
    er_deadline denied_until;
    er_deadline report_due; /* while something is out */
    int64_t patience_ms;    /* what report_due is set to */
    bool took_some;         /* a record was delivered */
    er_deadline present_time_until;
    uint64_t present_time_since; /* seq of the first flight with it */
    bool token_failed, token_worked, token_doubtful;
    er_deadline look_next, remake_next;
    er_kafka_stats *stats;
    er_counter *fatals, *renewals, *uncertain;
};

/* ---- life ---- */

static void init_metrics(er_kafka_state *sink) {
    static const char name[] = "sink_kafka_producers_replaced_total";
    static const char help[] = "Producers replaced, by reason.";
    er_metrics *m = sink->env.metrics;
    sink->fatals =
        er_metrics_counter(m, name, help, ER_LABELS("sink", sink->env.name, "reason", "fatal"));
    sink->renewals =
        er_metrics_counter(m, name, help, ER_LABELS("sink", sink->env.name, "reason", "tls"));
    sink->uncertain = er_metrics_counter(m, "sink_kafka_possibly_repeated_total",
                                         "Records sent again though the brokers may have them.",
                                         ER_LABELS("sink", sink->env.name));
    sink->stats = er_kafka_stats_new(&sink->env);
}

static void kafka_destroy(void *self) {
    er_kafka_state *sink = self;
    er_kafka_producer_free(sink->producer);
    er_kafka_producer_free(sink->heir);
    er_kafka_material_fini(&sink->material);
    er_kafka_stats_free(sink->stats);
    er_buf_fini(&sink->text);
    free(sink);
}

static er_status kafka_create(const er_sink_type *type, const void *config, const er_sink_env *env,
                              void **self, er_err *err) {
    (void)type;
    er_kafka_state *sink = er_xcalloc(1, sizeof *sink);
    sink->config = config;
    sink->env = *env;
    er_buf_init(&sink->text, ER_CLOUDEVENT_TEXT_MAX);
    if (!env->is_preview) {
        rd_kafka_conf_t *conf;
        er_status status = er_kafka_material_init(&sink->material, sink->config, env, err);
        if (status == ER_OK) {
            status = er_kafka_conf(sink->config, &sink->material, &conf, err);
            if (status != ER_OK) {
                er_err_prefix(err, "sinks.%s", env->name);
            }
        }
        if (status != ER_OK) {
            kafka_destroy(sink);
            return status;
        }
        rd_kafka_conf_destroy(conf);
    }
    init_metrics(sink);
    *self = sink;
    return ER_OK;
}

static er_status make_producer(er_kafka_state *sink, er_kafka_producer **out, er_err *err) {
    er_kafka_material_stamp(&sink->material, sink->config);
    rd_kafka_conf_t *conf;
    er_status status = er_kafka_conf(sink->config, &sink->material, &conf, err);
    if (status == ER_OK) {
        sink->patience_ms = er_kafka_patience_ms(conf);
        status = er_kafka_producer_new(sink, &sink->env, conf, out, err);
    }
    return status;
}

static er_status kafka_open(void *self, er_deadline until, er_err *err) {
    (void)until;
    er_kafka_state *sink = self;
    return make_producer(sink, &sink->producer, err);
}

static er_status kafka_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    const er_kafka_state *sink = self;
    er_kafka_value(sink->config, rec, &out->body);
    er_status status = er_buf_status(&out->body);
    return status == ER_OK ? ER_OK
                           : er_err_set(err, status, "larger than %zu bytes", out->body.max);
}

/* ---- what is to be said ---- */

static void raise_trouble(er_kafka_state *sink, er_status status, const char *what,
                          const char *advice) {
    bool is_weaker = status == ER_E_UNAVAILABLE && !er_deadline_passed(sink->denied_until);
    if (status == ER_OK || is_weaker) {
        return;
    }
    if (status == ER_E_DENIED) {
        sink->denied_until = er_deadline_in(DENIED_STAYS_MS);
    }
    sink->trouble = status;
    (void)snprintf(sink->trouble_text, sizeof sink->trouble_text, "%.320s%s%.180s", what,
                   advice[0] == '\0' ? "" : ": ", advice);
}

static void works(er_kafka_state *sink) {
    sink->took_some = true;
    sink->token_worked = true;
    sink->denied_until = er_deadline_in(0);
    sink->trouble = ER_OK;
}

/* A single message with such a report was alone in its request, and is the guilty one. Of several,
 * only one may be: they are sent again in halves. */
static er_status conclude_suspects(er_kafka_state *sink, er_err *err) {
    suspects *s = &sink->suspects;
    size_t n = s->n;
    s->n = 0;
    if (n == 1) {
        er_batch_judge(s->batch, s->item, ER_VERDICT_REJECT, s->reason, s->text);
        return ER_OK;
    }
    ER_LOG(ER_LOG_WARNING, "kafka",
           "a request was refused as a whole; its records are sent again in smaller ones",
           ER_LS("sink", sink->env.name), ER_LS("error", s->text), ER_LI("records", n),
           ER_LS("advice", s->reason == ER_REASON_TOO_LARGE
                               ? "set options.batch.size to the topic's max.message.bytes"
                               : ""));
    return er_err_set(err, ER_E_SPLIT, "%s", s->text);
}

static er_status conclude(er_kafka_state *sink, er_err *err) {
    if (sink->suspects.n > 0) {
        er_status status = conclude_suspects(sink, err);
        if (status != ER_OK) {
            return status;
        }
    }
    er_status status = sink->trouble;
    if (status == ER_OK && sink->gave_back) {
        /* What follows from a denial has no words of its own. Without one, others were taken
         * meanwhile: what was said last is of those that were not. */
        bool is_denied = !er_deadline_passed(sink->denied_until);
        status = is_denied ? ER_E_DENIED : ER_E_UNAVAILABLE;
    }
    sink->trouble = ER_OK;
    sink->gave_back = false;
    return status == ER_OK ? ER_OK : er_err_set(err, status, "%s", sink->trouble_text);
}

/* ---- judging ---- */

static void judge(flight *f, size_t i, er_verdict verdict, er_reason reason, const char *text) {
    er_batch_judge(f->batch, i, verdict, reason, text);
    f->open--;
    if (f->open == 0) {
        f->batch = NULL; /* the worker frees it */
    }
}

static void suspect(er_kafka_state *sink, flight *f, size_t i, const er_kafka_judgement *is,
                    const char *text) {
    suspects *s = &sink->suspects;
    s->n++;
    s->batch = f->batch;
    s->item = i;
    s->reason = is->reason;
    (void)snprintf(s->text, sizeof s->text, "%s", text);
    judge(f, i, ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
}

/* A compacted topic refuses each record without a key, and gives the reason of a bad record: while
 * none of them was taken it is the topic that does not fit. Of several topics it is not known which
 * have taken some. */
static er_kafka_judgement judgement_of(const er_kafka_state *sink, er_kafka_where where,
                                       rd_kafka_resp_err_t code) {
    bool has_taken = sink->took_some && er_name_template_is_fixed(sink->config->topic);
    bool may_be_compacted = code == RD_KAFKA_RESP_ERR_INVALID_RECORD &&
                            sink->config->key == ER_KAFKA_KEY_NONE && !has_taken;
    return may_be_compacted
               ? (er_kafka_judgement){.verdict = ER_VERDICT_RETRY,
                                      .state = ER_E_DENIED,
                                      .is_of_topic = true,
                                      .advice = "a compacted topic takes no records without a key: "
                                                "set key, or take another topic"}
               : er_kafka_judge(where, code);
}

/* Topics that depend on the record: one that is refused holds up its own records only. */
static bool is_one_of_many(const er_kafka_state *sink, const er_kafka_judgement *is) {
    return is->is_of_topic && !er_name_template_is_fixed(sink->config->topic);
}

static void judge_failure(er_kafka_state *sink, flight *f, size_t i, er_kafka_where where,
                          rd_kafka_resp_err_t code, const char *topic) {
    er_kafka_judgement is = judgement_of(sink, where, code);
    char text[200];
    (void)snprintf(text, sizeof text, "topic %.100s: %.90s", topic, rd_kafka_err2str(code));
    if (is_one_of_many(sink, &is)) {
        char why[400];
        (void)snprintf(why, sizeof why, "%s%s%.190s", text, is.advice[0] == '\0' ? "" : ": ",
                       is.advice);
        judge(f, i, ER_VERDICT_ASIDE, ER_REASON_NONE, why);
        return;
    }
    raise_trouble(sink, is.state, text, is.advice);
    sink->is_fatal = sink->is_fatal || is.is_fatal;
    if (is.is_shared) {
        suspect(sink, f, i, &is, text);
    } else {
        sink->gave_back = sink->gave_back || is.verdict == ER_VERDICT_RETRY;
        judge(f, i, is.verdict, is.reason, text);
    }
}

/* Records of an outage may be older than a topic takes (message.timestamp.before.max.ms). They
 * stand in it with the time of sending then, rather than not at all: their own is in their value.
 * False: that was tried already. */
static bool try_present_time(er_kafka_state *sink, const flight *f, const char *topic) {
    bool is_on = !er_deadline_passed(sink->present_time_until);
    if (is_on && f->seq >= sink->present_time_since) {
        return false;
    }
    if (!is_on) {
        sink->present_time_until = er_deadline_in(PRESENT_TIME_MS);
        sink->present_time_since = sink->seq;
        ER_LOG(ER_LOG_WARNING, "kafka",
               "the topic does not take the records' times; that of sending stands in for ten "
               "minutes",
               ER_LS("sink", sink->env.name), ER_LS("topic", topic),
               ER_LS("advice", "raise the topic's message.timestamp.before.max.ms, or let it have "
                               "message.timestamp.type=LogAppendTime"));
    }
    return true;
}

static uintptr_t opaque_of(const er_kafka_state *sink, const flight *f, size_t i) {
    uintptr_t place = (uintptr_t)(f - sink->flights);
    return ((uintptr_t)f->seq << PLACE_BITS | place) << ITEM_BITS | i;
}

void er_kafka_on_report(er_kafka_state *sink, const rd_kafka_message_t *message) {
    uintptr_t opaque = (uintptr_t)message->_private;
    flight *f = &sink->flights[opaque >> ITEM_BITS & (IN_FLIGHT - 1)];
    size_t i = opaque & ((1u << ITEM_BITS) - 1);
    if (f->batch == NULL || opaque_of(sink, f, i) != opaque) {
        return; /* of a flight that was taken back before its report came */
    }
    sink->out--;
    sink->report_due = er_deadline_in(sink->patience_ms);
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        judge(f, i, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
        works(sink);
        return;
    }
    if (rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED) {
        er_counter_inc(sink->uncertain);
    }
    const char *topic = rd_kafka_topic_name(message->rkt);
    if (message->err == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP && try_present_time(sink, f, topic)) {
        raise_trouble(sink, ER_E_UNAVAILABLE, "the topic does not take the records' times", "");
        judge(f, i, ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
        return;
    }
    judge_failure(sink, f, i, ER_KAFKA_AT_REPORT, message->err, topic);
}

/* ---- events ---- */

static bool has_failed(const er_kafka_producer *producer) {
    return rd_kafka_fatal_error(producer->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void on_fatal(er_kafka_state *sink, rd_kafka_t *rk) {
    if (sink->producer == NULL || rk != sink->producer->rk) {
        return; /* the heir's is noticed when it is at work */
    }
    char why[300] = "";
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(rk, why, sizeof why);
    er_kafka_judgement is = er_kafka_judge(ER_KAFKA_AT_EVENT, code);
    sink->is_fatal = true;
    raise_trouble(sink, is.state, why, is.advice);
    ER_LOG(ER_LOG_WARNING, "kafka", "fatal error of the producer; another one takes over",
           ER_LS("sink", sink->env.name), ER_LS("code", rd_kafka_err2name(code)),
           ER_LS("error", why));
}

void er_kafka_on_error(er_kafka_state *sink, rd_kafka_t *rk, rd_kafka_resp_err_t code,
                       const char *text) {
    er_kafka_judgement is = er_kafka_judge(ER_KAFKA_AT_EVENT, code);
    if (is.is_fatal) {
        on_fatal(sink, rk);
        return;
    }
    if (is_one_of_many(sink, &is)) {
        return; /* the reports of its records tell more */
    }
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION && sink->token_failed) {
        sink->token_failed = false; /* it was said with its reason */
        return;
    }
    if (code == RD_KAFKA_RESP_ERR__AUTHENTICATION) {
        sink->token_doubtful = true;
    }
    const char *advice = er_kafka_event_advice(code, text);
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && sink->last_event[0] != '\0') {
        text = sink->last_event; /* says more than how many they are */
        advice = sink->last_advice;
    } else {
        (void)snprintf(sink->last_event, sizeof sink->last_event, "%s", text);
        sink->last_advice = advice;
        sink->event_until = er_deadline_in(EVENT_STAYS_MS);
    }
    raise_trouble(sink, is.state, text, advice);
}

/* What brokers cannot take for now librdkafka sends again without end and without a word: to a
 * partition without a leader, or with too few replicas in sync, or to a broker that does not
 * answer.
 */
static void note_silence(er_kafka_state *sink) {
    if (sink->out == 0 || !er_deadline_passed(sink->report_due)) {
        return;
    }
    bool is_explained = !er_deadline_passed(sink->event_until);
    char text[400];
    (void)snprintf(text, sizeof text, "no broker has confirmed a record for %lld s%s%s",
                   (long long)(sink->patience_ms + 500) / 1000,
                   is_explained ? "; the last event: " : "", is_explained ? sink->last_event : "");
    raise_trouble(sink, ER_E_UNAVAILABLE, text,
                  is_explained && sink->last_advice[0] != '\0'
                      ? sink->last_advice
                      : "look for brokers that hang, and partitions without a leader or with fewer "
                        "replicas in sync than min.insync.replicas");
    sink->report_due = er_deadline_in(sink->patience_ms);
}

void er_kafka_on_stats(er_kafka_state *sink, char *json, size_t n) {
    er_kafka_stats_take(sink->stats, json, n);
}

void er_kafka_on_token(er_kafka_state *sink, rd_kafka_t *rk) {
    er_err err;
    er_status status = er_kafka_token_set(&sink->material, sink->config, rk, &err);
    sink->token_failed = status != ER_OK;
    sink->token_worked = false;
    if (status != ER_OK && status != ER_E_CANCELLED) {
        raise_trouble(sink, status, err.msg, "");
    }
}

/* A token that worked and is refused now, though it is not over, is asked for anew. So is one when
 * the client's secret changed. */
static void renew_token(er_kafka_state *sink) {
    er_oauth2 *oauth2 = sink->material.oauth2;
    if (sink->token_doubtful && oauth2 != NULL &&
        (er_oauth2_refresh(oauth2) || sink->token_worked)) {
        er_oauth2_forget(oauth2);
        er_kafka_on_token(sink, sink->producer->rk);
    }
    sink->token_doubtful = false;
}

/* ---- giving records to librdkafka ---- */

/* False: there is no room now. */
static bool give(er_kafka_state *sink, flight *f, size_t i) {
    er_kafka_message message;
    er_kafka_message_of(sink->config, er_batch_record(f->batch, i), &sink->text, &message);
    if (!er_deadline_passed(sink->present_time_until)) {
        message.time_ms = ER_KAFKA_TIME_PRESENT;
    }
    rd_kafka_resp_err_t code =
        er_kafka_produce(sink->producer, &message, er_buf_str(&er_batch_item(f->batch, i)->body),
                         opaque_of(sink, f, i));
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (sink->out++ == 0) {
            sink->report_due = er_deadline_in(sink->patience_ms);
        }
        return true;
    }
    if (er_kafka_judge(ER_KAFKA_AT_PRODUCE, code).verdict == ER_VERDICT_KEPT) {
        return false;
    }
    sink->is_fatal = sink->is_fatal || has_failed(sink->producer); /* code then says of what */
    judge_failure(sink, f, i, ER_KAFKA_AT_PRODUCE, code, message.topic);
    return true;
}

/* The oldest flight that is not given wholly; NULL: none. */
static flight *waiting_flight(er_kafka_state *sink) {
    flight *found = NULL;
    for (size_t i = 0; i < IN_FLIGHT; i++) {
        flight *f = &sink->flights[i];
        bool waits = f->batch != NULL && f->next < f->n;
        found = waits && (found == NULL || f->seq < found->seq) ? f : found;
    }
    return found;
}

static void give_more(er_kafka_state *sink) {
    flight *f;
    while (sink->heir == NULL && !sink->is_fatal && (f = waiting_flight(sink)) != NULL) {
        while (f->batch != NULL && f->next < f->n && !sink->is_fatal) {
            if (!give(sink, f, f->next)) {
                return;
            }
            f->next++;
        }
    }
}

static er_status kafka_deliver(void *self, er_batch *batch, er_err *err) {
    er_kafka_state *sink = self;
    flight *f = NULL;
    for (size_t i = 0; i < IN_FLIGHT && f == NULL; i++) {
        f = sink->flights[i].batch == NULL ? &sink->flights[i] : NULL;
    }
    if (f == NULL) {
        return er_err_set(err, ER_E_UNAVAILABLE, "more than %d batches in flight", IN_FLIGHT);
    }
    size_t n = er_batch_len(batch);
    *f = (flight){.batch = batch, .n = n, .open = n, .seq = sink->seq++};
    er_batch_judge_all(batch, ER_VERDICT_KEPT, ER_REASON_NONE, NULL);
    give_more(sink);
    return conclude(sink, err);
}

/* ---- another producer ---- */

/* All that is kept goes back, in its order. */
static void take_back(er_kafka_state *sink) {
    for (size_t k = 0; k < IN_FLIGHT; k++) {
        flight *f = &sink->flights[k];
        for (size_t i = 0; f->batch != NULL && i < f->n; i++) {
            if (er_batch_verdict(f->batch, i) == ER_VERDICT_KEPT) {
                judge(f, i, ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
                sink->gave_back = true;
            }
        }
    }
}

static void purge(er_kafka_state *sink, int flags) {
    sink->is_taken_back = true;
    (void)rd_kafka_purge(sink->producer->rk, flags | RD_KAFKA_PURGE_F_NON_BLOCKING);
}

/* Takes back what librdkafka has, and waits a little for the reports of that. */
static void purge_all(er_kafka_state *sink) {
    er_deadline until = er_deadline_in(PURGE_MS);
    purge(sink, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (sink->out > 0 && !er_deadline_passed(until)) {
        (void)rd_kafka_poll(sink->producer->rk, 10);
    }
    if (sink->out > 0) {
        er_counter_add(sink->uncertain, sink->out);
    }
    take_back(sink);
    sink->out = 0;
}

static void replace_producer(er_kafka_state *sink) {
    if (!er_deadline_passed(sink->remake_next)) {
        return;
    }
    bool was_fatal = sink->is_fatal;
    er_err err;
    if (make_producer(sink, &sink->heir, &err) != ER_OK) {
        sink->remake_next = er_deadline_in(REMAKE_MS);
        ER_LOG(ER_LOG_WARNING, "kafka",
               was_fatal ? "cannot make another producer"
                         : "the new certificates cannot be used; the old ones stay in use",
               ER_LS("sink", sink->env.name), ER_LS("error", err.msg));
        sink->heir = NULL;
        raise_trouble(sink, was_fatal ? ER_E_DENIED : ER_OK, err.msg, "");
        return;
    }
    sink->remake_next = er_deadline_in(REMAKE_MS); /* one that is fatal at once is no way on */
    er_counter_inc(was_fatal ? sink->fatals : sink->renewals);
    if (!was_fatal) {
        ER_LOG(ER_LOG_INFO, "kafka", "certificates or options changed; another producer takes over",
               ER_LS("sink", sink->env.name));
    }
    sink->drain_until = er_deadline_in(DRAIN_MS);
    sink->is_taken_back = false;
    /* What was not sent will not be by this one. What was may still be acknowledged. */
    if (was_fatal || !er_deadline_passed(sink->denied_until)) {
        purge(sink, RD_KAFKA_PURGE_F_QUEUE);
    }
}

static void take_over(er_kafka_state *sink) {
    if (sink->out > 0 && !er_deadline_passed(sink->drain_until)) {
        return;
    }
    if (sink->out > 0) {
        purge_all(sink);
    } else if (sink->is_taken_back) {
        take_back(sink);
    }
    if (sink->is_taken_back) {
        raise_trouble(sink, ER_E_UNAVAILABLE, "another producer took over", "");
    }
    er_kafka_producer_free(sink->producer);
    sink->producer = sink->heir;
    sink->heir = NULL;
    sink->is_fatal = has_failed(sink->producer); /* that event came while it was the heir */
    er_kafka_stats_restart(sink->stats);
}

static void look_after(er_kafka_state *sink) {
    if (sink->heir != NULL) {
        (void)rd_kafka_poll(sink->heir->rk, 0);
        take_over(sink);
    } else if (sink->is_fatal) {
        replace_producer(sink);
    }
    if (!er_deadline_passed(sink->look_next)) {
        return;
    }
    sink->look_next = er_deadline_in(LOOK_MS);
    er_kafka_password_renew(&sink->material, sink->config, sink->producer->rk);
    renew_token(sink);
    if (sink->heir == NULL && er_kafka_material_is_new(&sink->material, sink->config)) {
        replace_producer(sink);
    }
}

/* ---- polling ---- */

static er_status kafka_poll(void *self, er_deadline until, er_err *err) {
    er_kafka_state *sink = self;
    if (sink->producer == NULL) {
        return ER_OK;
    }
    if (er_cancel_is_set(sink->env.cancel)) {
        purge_all(sink);
        sink->suspects.n = 0;
        return er_err_set(err, ER_E_CANCELLED, "cancelled");
    }
    int64_t wait = er_deadline_left_ms(until);
    (void)rd_kafka_poll(sink->producer->rk, wait > LOOK_MS ? LOOK_MS : (int)wait);
    look_after(sink);
    give_more(sink);
    note_silence(sink);
    return conclude(sink, err);
}

static void kafka_target(void *self, const er_record *rec, er_buf *out) {
    er_kafka_state *sink = self;
    char topic[ER_KAFKA_TOPIC_MAX + 1];
    er_kafka_topic_of(sink->config, rec, &sink->text, topic);
    er_buf_puts(out, topic);
}

static er_status kafka_preview(void *self, const er_batch *batch, er_buf *out, er_err *err) {
    (void)err;
    return er_kafka_preview(((const er_kafka_state *)self)->config, batch, out);
}

const er_sink_type er_kafka_sink = {
    .name = "kafka",
    .summary = "Topics of Apache Kafka, through an idempotent producer.",
    .rows = er_kafka_rows,
    .config_size = sizeof(er_kafka_config),
    .check = er_kafka_check,
    .advise = er_kafka_advise,
    .max_in_flight = IN_FLIGHT,
    .item_max = ITEM_MAX,
    .create = kafka_create,
    .open = kafka_open,
    .encode = kafka_encode,
    .target = kafka_target,
    .deliver = kafka_deliver,
    .poll = kafka_poll,
    .preview = kafka_preview,
    .destroy = kafka_destroy,
};
