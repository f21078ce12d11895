#include "watch/stream_priv.h"

static void on_render(void *arg) {
    er_stream *s = arg;
    er_gauge_set(s->metrics.unsettled, (double)er_tracker_open_slots(s->tracker));
    er_time oldest = er_tracker_oldest(s->tracker);
    er_gauge_set(s->metrics.resume_lag,
                 oldest == ER_TIME_NONE ? 0 : (double)(er_time_now() - oldest) / 1e6);
}

er_counter *er_stream_gap_counter(er_stream *s, const char *cause) {
    return er_metrics_counter(s->options.metrics, "gaps_total", "Gap records made.",
                              ER_LABELS("watch", s->name, "cause", cause));
}

static void make_counters(er_stream *s, er_metrics *m) {
    static const char *const types[] = {"added",    "modified", "deleted",
                                        "bookmark", "error",    "unknown"};
    for (size_t i = 0; i < ER_FRAME_TYPES_; i++) {
        s->metrics.frames[i] = er_metrics_counter(m, "watch_events_total", "Frames received.",
                                                  ER_LABELS("watch", s->name, "type", types[i]));
    }
    static const char *const reasons[] = {"end", "expired", "http", "network", "idle"};
    for (size_t i = 0; i < ER_RESTART_REASONS_; i++) {
        s->metrics.restarts[i] =
            er_metrics_counter(m, "watch_restarts_total", "Watches that ended, by reason.",
                               ER_LABELS("watch", s->name, "reason", reasons[i]));
    }
    s->metrics.lists_ok = er_metrics_counter(m, "lists_total", "Lists, by how they ended.",
                                             ER_LABELS("watch", s->name, "outcome", "ok"));
    s->metrics.lists_failed = er_metrics_counter(m, "lists_total", "Lists, by how they ended.",
                                                 ER_LABELS("watch", s->name, "outcome", "failed"));
    /* All of them from the start: an alert sees how much a series grows, not that one appears. */
    static const char *const causes[] = {"expired",     "rewound",        "oversized",
                                         "undecodable", "listIncomplete", "noState"};
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        (void)er_stream_gap_counter(s, causes[i]);
    }
    for (size_t i = 0; i < s->options.deliveries_n; i++) {
        s->blocked[i] = er_metrics_counter(
            m, "watch_blocked_seconds_total", "Time a stream waited for room in a sink's queue.",
            ER_LABELS("watch", s->name, "sink", er_delivery_name(s->options.deliveries[i])));
    }
}

void er_stream_make_metrics(er_stream *s) {
    static const double lag[] = {0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600};
    er_metrics *m = s->options.metrics;
    const char *const *labels = ER_LABELS("watch", s->name);
    make_counters(s, m);
    s->metrics.stale = er_metrics_counter(m, "watch_stale_frames_total",
                                          "Frames not newer than what was received.", labels);
    s->metrics.list_items =
        er_metrics_counter(m, "list_items_total", "Items read from lists.", labels);
    s->metrics.decode_errors =
        er_metrics_counter(m, "decode_errors_total", "Frames and items that were skipped.", labels);
    s->metrics.truncated =
        er_metrics_counter(m, "records_truncated_total", "Records whose message was cut.", labels);
    s->metrics.expired_quiet = er_metrics_counter(
        m, "watch_expired_quiet_total", "410 on a stream known to be complete: no gap.", labels);
    s->metrics.connected =
        er_metrics_gauge(m, "watch_connected", "1 while a watch is open.", labels);
    s->metrics.last_activity = er_metrics_gauge(m, "watch_last_activity_timestamp_seconds",
                                                "When the API server last said something.", labels);
    s->metrics.unsettled = er_metrics_gauge(m, "watch_unsettled_frames",
                                            "Frames whose records are not settled yet.", labels);
    s->metrics.resume_lag = er_metrics_gauge(
        m, "resume_point_lag_seconds", "Age of the oldest frame that is not settled.", labels);
    s->metrics.lag =
        er_metrics_histogram(m, "watch_lag_seconds", "From a record's time to seeing it.", labels,
                             lag, sizeof lag / sizeof lag[0]);
    er_metrics_on_render(m, on_render, s);
}
