#include "watch/flow.h"

#include "base/log.h"

#include <stdlib.h>

struct er_flow {
    const er_route_table *table;
    er_delivery *const *deliveries;
    size_t n;
    er_mutex lock; /* counts */
    er_flow_counts counts;
    struct {
        er_counter *records, *routed, *unrouted, *dropped, *limits;
    } metrics;
};

static void on_render(void *arg) {
    er_flow *flow = arg;
    er_flow_counts counts;
    er_flow_counts_get(flow, &counts);
    er_counter_set(flow->metrics.records, counts.records);
    er_counter_set(flow->metrics.routed, counts.routed);
    er_counter_set(flow->metrics.unrouted, counts.unrouted);
    er_counter_set(flow->metrics.dropped, counts.dropped);
}

er_flow *er_flow_new(const er_route_table *table, er_delivery *const *deliveries, size_t n,
                     er_metrics *metrics) {
    er_flow *flow = er_xcalloc(1, sizeof *flow);
    flow->table = table;
    flow->deliveries = deliveries;
    flow->n = n;
    er_mutex_init(&flow->lock);
    flow->metrics.records = er_metrics_counter(metrics, "records_total", "Records made.", NULL);
    flow->metrics.routed = er_metrics_counter(metrics, "records_routed_total",
                                              "Records that at least one sink got.", NULL);
    flow->metrics.unrouted =
        er_metrics_counter(metrics, "records_unrouted_total", "Records no route took.", NULL);
    flow->metrics.dropped =
        er_metrics_counter(metrics, "records_dropped_total", "Records dropped by a route.", NULL);
    flow->metrics.limits = er_metrics_counter(metrics, "route_pattern_limits_total",
                                              "Records for which a pattern hit its limit.", NULL);
    er_metrics_on_render(metrics, on_render, flow);
    return flow;
}

void er_flow_free(er_flow *flow) {
    if (flow != NULL) {
        er_mutex_fini(&flow->lock);
        free(flow);
    }
}

void er_flow_counts_get(er_flow *flow, er_flow_counts *out) {
    er_lock(&flow->lock);
    *out = flow->counts;
    er_unlock(&flow->lock);
}

static void count(er_flow *flow, er_sink_set sinks, int dropped_by) {
    er_lock(&flow->lock);
    flow->counts.records++;
    flow->counts.routed += sinks != 0;
    flow->counts.dropped += sinks == 0 && dropped_by >= 0;
    flow->counts.unrouted += sinks == 0 && dropped_by < 0;
    er_unlock(&flow->lock);
}

static er_sink_set route(er_flow *flow, const er_record *rec, er_route_scratch *scratch) {
    er_route_result result = er_route(flow->table, rec, scratch);
    if (result.limit_hit) {
        er_counter_inc(flow->metrics.limits);
    }
    count(flow, result.sinks, result.dropped_by);
    return result.sinks;
}

/* Waits for room at one sink, saying so once and counting the time. */
static bool push(const er_emitter *e, size_t sink, er_record *rec, er_ack *ack) {
    er_delivery *d = e->flow->deliveries[sink];
    int64_t since = er_mono_ms();
    bool said = false;
    for (;;) {
        er_push result = er_delivery_push(d, rec, ack, er_deadline_in(said ? 1000 : 200));
        int64_t now = er_mono_ms();
        er_counter_add_ms(e->blocked[sink], (uint64_t)(now - since));
        since = now;
        er_heart_beat(e->heart);
        if (result != ER_PUSH_FULL) {
            return result == ER_PUSH_TAKEN;
        }
        if (!said) {
            said = true;
            ER_LOG(ER_LOG_WARNING, "watch", "waiting for a sink whose queue is full",
                   ER_LS("sink", er_delivery_name(d)), ER_LS("watch", e->watch));
        }
    }
}

static bool offer(const er_emitter *e, er_sink_set sinks, er_record *rec, er_ack *ack) {
    er_sink_set full = 0;
    for (size_t i = 0; i < e->flow->n; i++) {
        if ((sinks >> i & 1) != 0 && !er_delivery_offer(e->flow->deliveries[i], rec, ack)) {
            full |= 1ULL << i;
        }
    }
    bool goes_on = true;
    if (full != 0) {
        er_flow_wake(e->flow);
    }
    for (size_t i = 0; full >> i != 0 && i < e->flow->n; i++) {
        if ((full >> i & 1) != 0) {
            goes_on = push(e, i, rec, ack) && goes_on;
        }
    }
    return goes_on;
}

bool er_flow_emit(const er_emitter *e, er_tracker *tracker, er_slot *slot, er_str version,
                  er_record *rec) {
    er_sink_set sinks = route(e->flow, rec, e->scratch);
    if (sinks == 0) {
        return true;
    }
    bool own_slot = slot == NULL;
    if (own_slot) {
        slot = er_tracker_open(tracker, version);
    }
    er_slot_owe(slot, (unsigned)__builtin_popcountll(sinks));
    bool goes_on = offer(e, sinks, rec, er_slot_ack(slot));
    if (own_slot) {
        er_slot_give_back(slot);
    }
    return goes_on;
}

void er_flow_wake(er_flow *flow) {
    for (size_t i = 0; i < flow->n; i++) {
        er_delivery_wake(flow->deliveries[i]);
    }
}

unsigned er_flow_notice(er_flow *flow, er_record *rec, size_t except_sink,
                        er_route_scratch *scratch) {
    er_sink_set sinks = er_route(flow->table, rec, scratch).sinks & ~(1ULL << except_sink);
    count(flow, sinks, -1);
    unsigned lost = 0;
    for (size_t i = 0; i < flow->n; i++) {
        lost += (sinks >> i & 1) != 0 && !er_delivery_try(flow->deliveries[i], rec);
    }
    return lost;
}
