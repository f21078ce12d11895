#include "base/log.h"
#include "delivery/delivery_priv.h"

#include <stdlib.h>
#include <string.h>

static er_counter *reason_counter(er_delivery *d, er_metrics *m, const char *name, const char *help,
                                  er_reason reason) {
    return er_metrics_counter(m, name, help,
                              ER_LABELS("sink", d->name, "reason", er_reason_name(reason)));
}

/* The ledger in the metrics is read under its one lock, at the moment of rendering. */
static void on_render(void *arg) {
    er_delivery *d = arg;
    er_ledger ledger;
    size_t bytes;
    er_queue_ledger(&d->queue, &ledger, &bytes);
    er_counter_set(d->metrics.enqueued, ledger.enqueued);
    er_counter_set(d->metrics.delivered, ledger.delivered);
    for (size_t i = 0; i < ER_REASON_MAX_; i++) {
        er_counter_set(d->metrics.rejected[i], ledger.rejected_by[i]);
        er_counter_set(d->metrics.dropped[i], ledger.dropped_by[i]);
    }
    er_gauge_set(d->metrics.queue_records, (double)ledger.queued);
    er_gauge_set(d->metrics.queue_bytes, (double)bytes);
    er_gauge_set(d->metrics.in_flight, (double)ledger.in_flight);
    int64_t oldest = atomic_load(&d->oldest_ns);
    int64_t queued = er_queue_oldest(&d->queue);
    oldest = queued < oldest ? queued : oldest;
    double age = oldest == INT64_MAX ? 0 : (double)(er_mono_ns() - oldest) / 1e9;
    er_gauge_set(d->metrics.oldest_age, age < 0 ? 0 : age);
}

static void make_reason_metrics(er_delivery *d, er_metrics *m) {
    static const er_reason rejections[] = {ER_REASON_ENCODE, ER_REASON_REFUSED,
                                           ER_REASON_TOO_LARGE};
    static const er_reason drops[] = {ER_REASON_QUEUE_FULL, ER_REASON_EXPIRED};
    for (size_t i = 0; i < sizeof rejections / sizeof rejections[0]; i++) {
        d->metrics.rejected[rejections[i]] = reason_counter(
            d, m, "sink_rejected_total", "Records the sink can never take.", rejections[i]);
    }
    for (size_t i = 0; i < sizeof drops / sizeof drops[0]; i++) {
        d->metrics.dropped[drops[i]] = reason_counter(
            d, m, "sink_dropped_total", "Records given up by the sink's own policy.", drops[i]);
    }
}

static void make_metrics(er_delivery *d, er_metrics *m) {
    static const double latency[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
                                     1,     2.5,  5,     10,   25,  60};
    static const double sizes[] = {1, 10, 100, 1000, 10000};
    const char *const *labels = ER_LABELS("sink", d->name);
    d->metrics.enqueued = er_metrics_counter(
        m, "sink_enqueued_total", "Records routed to the sink, before overflow.", labels);
    d->metrics.delivered =
        er_metrics_counter(m, "sink_delivered_total", "Records the sink's peer took.", labels);
    make_reason_metrics(d, m);
    d->metrics.retries = er_metrics_counter(
        m, "sink_retries_total", "Deliveries that left records to be tried again.", labels);
    d->metrics.queue_records =
        er_metrics_gauge(m, "sink_queue_records", "Records waiting in the queue.", labels);
    d->metrics.queue_bytes =
        er_metrics_gauge(m, "sink_queue_bytes", "Bytes of records in the queue.", labels);
    er_gauge_set(er_metrics_gauge(m, "sink_queue_limit_records", "queue.records.", labels),
                 (double)d->settings->queue.records);
    er_gauge_set(er_metrics_gauge(m, "sink_queue_limit_bytes", "queue.bytes.", labels),
                 (double)d->settings->queue.bytes);
    d->metrics.in_flight = er_metrics_gauge(
        m, "sink_in_flight_records", "Records taken from the queue and not settled.", labels);
    d->metrics.set_aside =
        er_metrics_gauge(m, "sink_set_aside_records",
                         "Records in flight that wait because their target is refused.", labels);
    d->metrics.oldest_age = er_metrics_gauge(m, "sink_oldest_record_age_seconds",
                                             "Age of the oldest record not settled.", labels);
    d->metrics.last_success = er_metrics_gauge(m, "sink_last_success_timestamp_seconds",
                                               "When a record was last delivered.", labels);
    static const char *const states[] = {"ok", "unavailable", "denied"};
    for (size_t i = 0; i < 3; i++) {
        d->metrics.state[i] =
            er_metrics_gauge(m, "sink_state", "1 for the state the endpoint is in.",
                             ER_LABELS("sink", d->name, "state", states[i]));
    }
    er_gauge_set(d->metrics.state[ER_ENDPOINT_OK], 1);
    d->metrics.latency = er_metrics_histogram(m, "sink_delivery_latency_seconds",
                                              "From seeing a record to its delivery.", labels,
                                              latency, sizeof latency / sizeof latency[0]);
    d->metrics.batch_records =
        er_metrics_histogram(m, "sink_batch_records", "Records in a delivery; each attempt counts.",
                             labels, sizes, sizeof sizes / sizeof sizes[0]);
    er_metrics_on_render(m, on_render, d);
}

er_status er_delivery_new(const er_delivery_options *options, er_delivery **out, er_err *err) {
    er_delivery *d = er_xcalloc(1, sizeof *d);
    d->name = er_dup(options->name);
    d->type = options->type;
    d->settings = options->config;
    d->max_age_ms = er_sink_max_age_ms(d->settings);
    atomic_init(&d->oldest_ns, INT64_MAX);
    er_queue_init(&d->queue, d->settings);
    er_status status = er_cancel_init(&d->cancel, err);
    er_buf heart;
    er_buf_init(&heart, 256);
    er_buf_putf(&heart, "sink %.200s", d->name);
    d->env = (er_sink_env){.name = d->name,
                           .cancel = &d->cancel,
                           .heart = er_heart_new(options->hearts, er_buf_cstr(&heart)),
                           .metrics = options->metrics};
    er_buf_fini(&heart);
    if (status == ER_OK) {
        status = d->type->create(d->type, options->config, &d->env, &d->self, err);
    }
    er_err advice;
    if (status == ER_OK && d->type->advise != NULL &&
        d->type->advise(options->config, &advice) != ER_OK) {
        ER_LOG(ER_LOG_WARNING, "delivery", "the sink may not work", ER_LS("sink", d->name),
               ER_LS("error", advice.msg));
    }
    if (status != ER_OK) {
        d->self = NULL;
        er_delivery_free(d);
        return status;
    }
    er_worker_init(d);
    make_metrics(d, options->metrics);
    *out = d;
    return ER_OK;
}

er_status er_delivery_start(er_delivery *d, er_err *err) {
    er_status status = er_thread_start(&d->thread, d->name, er_worker_run, d, err);
    d->has_thread = status == ER_OK;
    return status;
}

bool er_delivery_offer(er_delivery *d, er_record *rec, er_ack *ack) {
    return er_queue_offer(&d->queue, rec, ack);
}

void er_delivery_wake(er_delivery *d) {
    er_queue_wake(&d->queue);
}

er_push er_delivery_push(er_delivery *d, er_record *rec, er_ack *ack, er_deadline until) {
    return er_queue_push(&d->queue, rec, ack, until);
}

bool er_delivery_try(er_delivery *d, er_record *rec) {
    return er_queue_try(&d->queue, rec);
}

void er_delivery_ledger(er_delivery *d, er_ledger *out) {
    er_queue_ledger(&d->queue, out, NULL);
}

const char *er_delivery_name(const er_delivery *d) {
    return d->name;
}

void er_delivery_close(er_delivery *d) {
    er_queue_close(&d->queue);
}

void er_delivery_abandon(er_delivery *d) {
    er_queue_give_up(&d->queue);
    er_cancel_set(&d->cancel);
}

void er_delivery_join(er_delivery *d) {
    if (d->has_thread) {
        er_thread_join(d->thread);
        d->has_thread = false;
    }
}

void er_delivery_free(er_delivery *d) {
    if (d == NULL) {
        return;
    }
    if (d->self != NULL) {
        d->type->destroy(d->self);
        er_worker_fini(d);
    }
    er_queue_fini(&d->queue);
    er_cancel_fini(&d->cancel);
    free(d->name);
    free(d);
}
