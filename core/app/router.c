#include "app/router.h"

#include "app/notices.h"
#include "app/process.h"
#include "app/version.h"
#include "base/json_write.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define STATE_LIMIT_MS 2000

#define USER_AGENT "eventrouter/" ER_VERSION " (" ER_PLATFORM ")"

struct er_router {
    const er_app_config *config;
    const er_route_table *table;
    er_metrics *metrics;
    er_workload_metrics *workloads; /* NULL: no resource has any */
    er_hearts hearts;
    er_kube_config *kube;
    er_identity *identity;
    er_state *state;
    er_delivery *deliveries[ER_SINKS_MAX];
    size_t deliveries_n;
    er_flow *flow;
    er_stream **streams;
    size_t streams_n;
    er_notices *notices;
    er_deadline notices_next;
    er_ready_check *checks;
    size_t checks_n;
    er_admin *admin;
    atomic_bool stopping;
    bool closed;
};

/* ---- making ---- */

static er_status make_sinks(er_router *r, er_err *err) {
    const er_cfg_variant *sinks = r->config->sinks.v;
    for (size_t i = 0; i < r->config->sinks.n; i++) {
        er_delivery_options options = {.name = sinks[i].name.s,
                                       .type = sinks[i].user,
                                       .config = sinks[i].config,
                                       .metrics = r->metrics,
                                       .hearts = &r->hearts};
        er_status status = er_delivery_new(&options, &r->deliveries[i], err);
        if (status != ER_OK) {
            return status;
        }
        r->deliveries_n++;
    }
    return ER_OK;
}

static er_status make_stream(er_router *r, const er_resource *resource, const char *namespace_,
                             er_err *err) {
    const er_watch_settings *watch = &r->config->watch;
    bool has_metrics = resource->has_metrics != NULL && resource->has_metrics(watch);
    er_stream_options options = {
        .resource = resource,
        .label_selector = resource->label_selector == NULL ? NULL : resource->label_selector(watch),
        .kube = r->kube,
        .settings = &r->config->watch,
        .user_agent = USER_AGENT,
        .namespace_ = namespace_,
        .identity = r->identity,
        .state = r->state,
        .flow = r->flow,
        .deliveries = r->deliveries,
        .deliveries_n = r->deliveries_n,
        .metrics = r->metrics,
        .workloads = has_metrics ? r->workloads : NULL,
        .hearts = &r->hearts,
    };
    er_status status = er_stream_new(&options, &r->streams[r->streams_n], err);
    if (status == ER_OK) {
        er_stream *stream = r->streams[r->streams_n++];
        const er_state_source source = {.name = er_stream_name(stream),
                                        .arg = stream,
                                        .collect = er_stream_collect,
                                        .done = er_stream_stored,
                                        .anew = er_stream_store_anew};
        er_state_add(r->state, &source);
    }
    return status;
}

static er_status make_streams_of(er_router *r, const er_resource *resource, er_err *err) {
    const er_cfg_strings *namespaces = &r->config->kubernetes.namespaces;
    if (namespaces->n == 0) {
        return make_stream(r, resource, NULL, err);
    }
    er_status status = ER_OK;
    for (size_t i = 0; i < namespaces->n && status == ER_OK; i++) {
        status = make_stream(r, resource, namespaces->v[i].s, err);
    }
    return status;
}

static er_status make_streams(er_router *r, er_err *err) {
    size_t kinds = 0;
    while (er_resources[kinds] != NULL) {
        kinds++;
    }
    r->streams = er_xcalloc(kinds * (r->config->kubernetes.namespaces.n + 1), sizeof(er_stream *));
    er_status status = ER_OK;
    for (size_t i = 0; i < kinds && status == ER_OK; i++) {
        if (er_resources[i]->is_enabled(&r->config->watch)) {
            status = make_streams_of(r, er_resources[i], err);
        }
    }
    return status;
}

static bool check_stopping(void *arg, er_buf *text) {
    er_router *r = arg;
    bool stopping = atomic_load(&r->stopping);
    er_buf_puts(text, stopping ? "shutting down" : "running");
    return !stopping;
}

static void make_checks(er_router *r) {
    r->checks = er_xcalloc(r->streams_n + 2, sizeof *r->checks);
    r->checks[r->checks_n++] = (er_ready_check){"shutdown", check_stopping, r};
    r->checks[r->checks_n++] = (er_ready_check){"state", er_state_ready, r->state};
    for (size_t i = 0; i < r->streams_n; i++) {
        r->checks[r->checks_n++] =
            (er_ready_check){er_stream_name(r->streams[i]), er_stream_ready, r->streams[i]};
    }
}

static void log_counts(void *arg) {
    er_router *r = arg;
    static const er_log_level levels[] = {ER_LOG_DEBUG, ER_LOG_INFO, ER_LOG_WARNING, ER_LOG_ERROR};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        er_counter *c =
            er_metrics_counter(r->metrics, "log_messages_total", "Lines of the program's own log.",
                               ER_LABELS("level", er_log_level_name(levels[i])));
        er_counter_set(c, er_log_count(levels[i]));
    }
}

static void make_metrics(er_router *r) {
    er_gauge_set(er_metrics_gauge(r->metrics, "build_info", "1; the version is the label.",
                                  ER_LABELS("version", ER_VERSION)),
                 1);
    er_process_metrics(r->metrics);
    log_counts(r);
    er_metrics_on_render(r->metrics, log_counts, r);
}

er_status er_router_new(const er_app_config *config, const er_route_table *table, er_router **out,
                        er_err *err) {
    er_router *r = er_xcalloc(1, sizeof *r);
    r->config = config;
    r->table = table;
    r->metrics = er_metrics_new();
    r->state = er_state_new(&config->state, r->metrics);
    make_metrics(r);
    er_status status = make_sinks(r, err);
    if (status == ER_OK) {
        status = er_kube_config_load(&config->kubernetes, &r->kube, err);
    }
    if (status == ER_OK) {
        r->identity = er_identity_new(config->cluster, r->kube);
        r->flow = er_flow_new(table, r->deliveries, r->deliveries_n, r->metrics);
        r->notices =
            er_notices_new(r->flow, r->deliveries, r->deliveries_n, r->identity, r->metrics);
        if (config->watch.deployments.metrics || config->watch.pods.metrics) {
            r->workloads = er_workload_metrics_new((size_t)config->watch.max_series, r->metrics);
        }
        status = make_streams(r, err);
    }
    if (status != ER_OK) {
        (void)er_router_free(r);
        return status;
    }
    make_checks(r);
    *out = r;
    return ER_OK;
}

/* ---- running ---- */

static er_status start_admin(er_router *r, er_err *err) {
    if (r->config->admin.listen[0] == '\0') {
        return ER_OK;
    }
    er_status status = er_admin_start(&r->config->admin, r->metrics, &r->hearts, r->checks,
                                      r->checks_n, &r->admin, err);
    if (status == ER_OK) {
        ER_LOG(ER_LOG_INFO, "admin", "admin server listening",
               ER_LS("listen", r->config->admin.listen), ER_LI("port", er_admin_port(r->admin)));
    }
    return status;
}

static void log_start(const er_router *r) {
    ER_LOG(ER_LOG_INFO, "app", "started", ER_LS("version", ER_VERSION),
           ER_LS("server", er_kube_config_server(r->kube)),
           ER_LS("credentials", er_kube_config_origin(r->kube)), ER_LI("sinks", r->deliveries_n),
           ER_LI("routes", r->config->routes.n), ER_LI("streams", r->streams_n));
    if (er_kube_config_is_insecure(r->kube)) {
        ER_LOG(ER_LOG_WARNING, "app",
               "the API server's certificate is not verified (insecure-skip-tls-verify): whoever "
               "sits between can read and change everything",
               ER_LS("credentials", er_kube_config_origin(r->kube)));
    }
}

er_status er_router_start(er_router *r, er_err *err) {
    er_status status = start_admin(r, err); /* what may be in use, before anything is begun */
    if (status == ER_OK) {
        log_start(r);
    }
    for (size_t i = 0; i < r->deliveries_n && status == ER_OK; i++) {
        status = er_delivery_start(r->deliveries[i], err);
    }
    if (status == ER_OK) {
        status = er_state_start(r->state, err);
    }
    for (size_t i = 0; i < r->streams_n && status == ER_OK; i++) {
        status = er_stream_start(r->streams[i], err);
    }
    r->notices_next = er_deadline_in(r->config->notices.window_ms);
    return status;
}

void er_router_tick(er_router *r) {
    if (er_deadline_passed(r->notices_next)) {
        er_notices_tick(r->notices);
        r->notices_next = er_deadline_in(r->config->notices.window_ms);
    }
}

/* ---- ending ---- */

void er_router_drain(er_router *r) {
    atomic_store(&r->stopping, true);
    for (size_t i = 0; i < r->streams_n; i++) {
        er_stream_stop(r->streams[i]);
    }
}

static bool streams_have_ended(er_router *r) {
    for (size_t i = 0; i < r->streams_n; i++) {
        if (!er_stream_has_ended(r->streams[i])) {
            return false;
        }
    }
    return true;
}

bool er_router_is_drained(er_router *r) {
    if (!streams_have_ended(r)) {
        return false;
    }
    if (!r->closed) { /* no stream pushes any more: nobody waits for more to fill a batch */
        r->closed = true;
        er_notices_tick(r->notices);
        for (size_t i = 0; i < r->deliveries_n; i++) {
            er_delivery_close(r->deliveries[i]);
        }
    }
    for (size_t i = 0; i < r->deliveries_n; i++) {
        er_ledger ledger;
        er_delivery_ledger(r->deliveries[i], &ledger);
        if (ledger.queued + ledger.in_flight > 0) {
            return false;
        }
    }
    return true;
}

void er_router_stop(er_router *r) {
    er_router_drain(r);
    for (size_t i = 0; i < r->deliveries_n; i++) {
        er_delivery_abandon(r->deliveries[i]);
    }
    for (size_t i = 0; i < r->streams_n; i++) {
        er_stream_join(r->streams[i]);
    }
    for (size_t i = 0; i < r->deliveries_n; i++) {
        er_delivery_join(r->deliveries[i]);
    }
    er_state_stop(r->state, STATE_LIMIT_MS); /* what is settled by now is settled for good */
    er_admin_stop(r->admin);
    r->admin = NULL;
}

static void put_sink(er_jw *w, er_delivery *d) {
    er_ledger ledger;
    er_delivery_ledger(d, &ledger);
    er_jw_object(w);
    er_jw_kstr(w, "sink", er_str_of(er_delivery_name(d)));
    er_jw_kint(w, "enqueued", (int64_t)ledger.enqueued);
    er_jw_kint(w, "delivered", (int64_t)ledger.delivered);
    er_jw_kint(w, "rejected", (int64_t)ledger.rejected);
    er_jw_kint(w, "dropped", (int64_t)ledger.dropped);
    er_jw_kint(w, "queued", (int64_t)ledger.queued);
    er_jw_kint(w, "inFlight", (int64_t)ledger.in_flight);
    er_jw_object_end(w);
}

void er_router_log_ledger(er_router *r) {
    er_buf sinks;
    er_buf_init(&sinks, 1u << 20);
    er_jw w;
    er_jw_init(&w, &sinks);
    er_jw_array(&w);
    for (size_t i = 0; i < r->deliveries_n; i++) {
        put_sink(&w, r->deliveries[i]);
    }
    er_jw_array_end(&w);
    er_flow_counts counts;
    er_flow_counts_get(r->flow, &counts);
    ER_LOG(ER_LOG_INFO, "app", "ledger", ER_LI("records", counts.records),
           ER_LI("routed", counts.routed), ER_LI("unrouted", counts.unrouted),
           ER_LI("droppedByRoute", counts.dropped), ER_LJ("sinks", er_buf_str(&sinks)));
    er_buf_fini(&sinks);
}

bool er_router_free(er_router *r) {
    if (r == NULL) {
        return true;
    }
    er_admin_stop(r->admin);
    if (!er_state_free(r->state)) {
        return false;
    }
    for (size_t i = 0; i < r->deliveries_n; i++) {
        er_delivery_free(r->deliveries[i]);
    }
    for (size_t i = 0; i < r->streams_n; i++) {
        er_stream_free(r->streams[i]);
    }
    free(r->streams);
    free(r->checks);
    er_notices_free(r->notices);
    er_flow_free(r->flow);
    er_identity_free(r->identity);
    er_kube_config_free(r->kube);
    er_workload_metrics_free(r->workloads);
    er_metrics_free(r->metrics);
    free(r);
    return true;
}
