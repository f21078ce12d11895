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

static bool pods_metrics(const er_watch_settings *settings) {
    return settings->pods.metrics;
}

static er_status look_at_pod(void *made, er_look *look, er_err *err) {
    return er_pod_look(made, look, err);
}

static const er_resource pods = {
    .name = "pods",
    .group = "",
    .api = "/api/v1",
    .is_enabled = pods_enabled,
    .label_selector = pods_selector,
    .look = look_at_pod,
    .has_metrics = pods_metrics,
};

/* ---- Deployments ---- */

static bool deployments_enabled(const er_watch_settings *settings) {
    return settings->deployments.enabled;
}

static const char *deployments_selector(const er_watch_settings *settings) {
    return settings->deployments.label_selector;
}

static bool deployments_metrics(const er_watch_settings *settings) {
    return settings->deployments.metrics;
}

static void *make_deployments(const er_watch_settings *settings, er_str key) {
    return er_deployments_new(&settings->deployments, key);
}

static const er_resource deployments = {
    .name = "deployments",
    .group = "apps",
    .api = "/apis/apps/v1",
    .has_authors = true,
    .is_enabled = deployments_enabled,
    .label_selector = deployments_selector,
    .make = make_deployments,
    .free = er_deployments_free,
    .look = er_deployments_look,
    .has_metrics = deployments_metrics,
    .recall = er_deployments_recall,
};

const er_resource *const er_resources[] = {&events, &deployments, &pods, NULL};
