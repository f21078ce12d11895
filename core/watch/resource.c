#include "record/pod.h"
#include "watch/watch.h"

/* ---- Events ---- */

static bool events_enabled(const er_watch_settings *settings) {
    return settings->events.enabled;
}

static const er_resource events = {
    .name = "events", .group = "", .api = "/api/v1", .is_enabled = events_enabled};

/* ---- Pods ---- */

static bool pods_enabled(const er_watch_settings *settings) {
    return settings->pods.enabled;
}

static const char *pods_selector(const er_watch_settings *settings) {
    return settings->pods.label_selector;
}

static er_status look_at_pod(const void *options, er_look *look, er_err *err) {
    return er_pod_look(options, look, err);
}

static const er_resource pods = {
    .name = "pods",
    .group = "",
    .api = "/api/v1",
    .is_enabled = pods_enabled,
    .label_selector = pods_selector,
    .look = look_at_pod,
};

const er_resource *const er_resources[] = {&events, &pods, NULL};
