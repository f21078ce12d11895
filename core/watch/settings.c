#include "watch/selector.h"
#include "watch/watch.h"

#define W(member) offsetof(er_watch_settings, member)

static const er_field backoff_rows[] = {
    {.key = "initial",
     .type = ER_FIELD_DURATION,
     .offset = W(backoff.initial_ms),
     .def = "800ms",
     .min = 1,
     .max = 3600000,
     .help = "The first limit; it doubles with each failure in a row."},
    {.key = "max",
     .type = ER_FIELD_DURATION,
     .offset = W(backoff.max_ms),
     .def = "30s",
     .min = 1,
     .max = 3600000,
     .help = "The largest limit."},
    {.key = NULL},
};

static er_status check_backoff(const void *settings, er_err *err) {
    const er_watch_settings *watch = settings;
    return er_backoff_check(watch->backoff.initial_ms, watch->backoff.max_ms, err);
}

static const er_field events_rows[] = {
    {.key = "enabled",
     .type = ER_FIELD_BOOL,
     .offset = W(events.enabled),
     .def = "true",
     .help = "Watch Events."},
    {.key = "startFrom",
     .type = ER_FIELD_ENUM,
     .offset = W(events.start_from),
     .choices = "beginning|now",
     .def = "beginning",
     .help =
         "At the first start: what the API server still holds, or only what comes from now on."},
    {.key = "fieldSelector",
     .type = ER_FIELD_STRING,
     .offset = W(events.field_selector),
     .max = 4096,
     .check = er_field_selector_check,
     .advise = er_event_fields_advise,
     .help = "Sent to the API server, such as type=Warning; saves bandwidth, not its work."},
    {.key = NULL},
};

static const er_field pods_rows[] = {
    {.key = "enabled",
     .type = ER_FIELD_BOOL,
     .offset = W(pods.enabled),
     .def = "false",
     .help = "Watch Pods; on a large cluster they are most of what its API server sends."},
    {.key = "labelSelector",
     .type = ER_FIELD_STRING,
     .offset = W(pods.label_selector),
     .max = 4096,
     .check = er_label_selector_check,
     .help = "Sent to the API server, such as team=payments."},
    {.key = "metrics",
     .type = ER_FIELD_BOOL,
     .offset = W(pods.metrics),
     .def = "false",
     .help = "Workload metrics at /metrics: container_restarts_total."},
    {.key = NULL},
};

const er_field er_watch_rows[] = {
    {.key = "timeout",
     .type = ER_FIELD_DURATION,
     .offset = W(timeout_ms),
     .def = "60s",
     .min = 1000,
     .max = 3600000,
     .help = "How long one watch request lasts; drawn from the upper quarter of this. Shorter than "
             "idleTimeout."},
    {.key = "idleTimeout",
     .type = ER_FIELD_DURATION,
     .offset = W(idle_timeout_ms),
     .def = "90s",
     .min = 1,
     .max = 7200000,
     .help = "A watch silent for this long is given up: its connection is dead."},
    {.key = "backoff",
     .type = ER_FIELD_STRUCT,
     .rows = backoff_rows,
     .check_struct = check_backoff,
     .help = "Between failed requests to the API server; with jitter, honouring Retry-After."},
    {.key = "events", .type = ER_FIELD_STRUCT, .rows = events_rows, .help = "The Events watch."},
    {.key = "deployments",
     .type = ER_FIELD_STRUCT,
     .offset = W(deployments),
     .rows = er_deployments_rows,
     .help = "What is changed in Deployments, and how rollouts go: records of kind change and "
             "rollout."},
    {.key = "pods",
     .type = ER_FIELD_STRUCT,
     .rows = pods_rows,
     .help = "Container restarts, and pods that fail or are evicted: records of kind restart."},
    {.key = "maxSeries",
     .type = ER_FIELD_INT,
     .offset = W(max_series),
     .def = "10000",
     .min = 1,
     .max = 100000,
     .help = "The most series of all workload metrics together; updates that find no room are "
             "counted in eventrouter_workload_series_overflow_total."},
    {.key = NULL},
};

er_status er_watch_check(const void *settings, er_err *err) {
    const er_watch_settings *watch = settings;
    if (watch->timeout_ms >= watch->idle_timeout_ms) {
        char timeout[ER_NUMBER_TEXT];
        char idle[ER_NUMBER_TEXT];
        return er_err_set(err, ER_E_CONFIG,
                          "timeout (%s) must be shorter than idleTimeout (%s): only a clean end "
                          "tells a quiet watch from a dead one",
                          er_number_text(ER_FIELD_DURATION, watch->timeout_ms, timeout),
                          er_number_text(ER_FIELD_DURATION, watch->idle_timeout_ms, idle));
    }
    return ER_OK;
}
