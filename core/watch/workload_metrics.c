#include "watch/workload_metrics.h"

#include <stdlib.h>

#define COUNTER_LIFE_MS ((int64_t)3600 * 1000)

enum { F_EVENTS, F_DESIRED, F_ACTUAL, F_MAX, F_RESTARTS, FAMILIES };

static const er_series_family families[FAMILIES] = {
    [F_EVENTS] = {"deployment_events_total",
                  "Changes of Deployments, by what they touched.",
                  false,
                  {"type", "namespace", "deployment", "field"}},
    [F_DESIRED] = {"deployment_replicas_desired",
                   "Replicas that the Deployment asks for.",
                   true,
                   {"namespace", "deployment"}},
    [F_ACTUAL] = {"deployment_replicas_actual",
                  "Replicas that the Deployment has.",
                  true,
                  {"namespace", "deployment"}},
    [F_MAX] = {"deployment_replicas_max",
               "The most replicas that the Deployment may ask for.",
               true,
               {"namespace", "deployment"}},
    [F_RESTARTS] = {"container_restarts_total",
                    "Restarts of containers, by why they had ended.",
                    false,
                    {"namespace", "workload", "container", "reason"}},
};

struct er_workload_metrics {
    er_series *series;
};

er_workload_metrics *er_workload_metrics_new(size_t max_series, er_metrics *m) {
    er_workload_metrics *w = er_xcalloc(1, sizeof *w);
    w->series = er_series_new(families, FAMILIES, max_series, COUNTER_LIFE_MS, m);
    return w;
}

void er_workload_metrics_free(er_workload_metrics *w) {
    if (w == NULL) {
        return;
    }
    er_series_free(w->series);
    free(w);
}

/* ---- Deployments ---- */

static void count_change(er_workload_metrics *w, const er_deployment_shown *shown) {
    static const char *const types[] = {[ER_SHOWN_ADDED] = "ADDED",
                                        [ER_SHOWN_MODIFIED] = "MODIFIED",
                                        [ER_SHOWN_DELETED] = "DELETED"};
    int64_t now_ms = er_mono_ms();
    er_str values[] = {er_str_of(types[shown->change]), shown->namespace_, shown->name,
                       ER_STR("deployment")};
    if (shown->change != ER_SHOWN_MODIFIED) {
        er_series_add(w->series, F_EVENTS, values, 1, now_ms);
        return;
    }
    for (unsigned i = 0; i < ER_FAMILIES_; i++) {
        if ((shown->families & (er_families)1 << i) != 0) {
            values[3] = er_str_of(er_family_name((er_family)i));
            er_series_add(w->series, F_EVENTS, values, 1, now_ms);
        }
    }
}

void er_workload_metrics_deployment(er_workload_metrics *w, const void *scope, uint64_t round,
                                    const er_deployment_shown *shown) {
    const struct {
        size_t family;
        int64_t v;
    } gauges[] = {{F_DESIRED, shown->desired}, {F_ACTUAL, shown->actual}, {F_MAX, shown->max}};
    const er_str values[] = {shown->namespace_, shown->name};
    er_series_owner owner = {er_hash(ER_HASH_SEED, shown->uid.p, shown->uid.n), scope, round};
    int64_t now_ms = er_mono_ms();
    for (size_t i = 0; i < sizeof gauges / sizeof gauges[0]; i++) {
        if (shown->is_there && gauges[i].v >= 0) {
            er_series_set(w->series, gauges[i].family, values, &owner, gauges[i].v, now_ms);
        } else {
            er_series_remove(w->series, gauges[i].family, values, &owner);
        }
    }
    if (shown->change != ER_SHOWN_SAME) { /* last: a deletion finds room */
        count_change(w, shown);
    }
}

void er_workload_metrics_listed(er_workload_metrics *w, const void *scope, uint64_t round) {
    er_series_sweep(w->series, scope, round);
}

/* ---- containers ---- */

void er_workload_metrics_restart(er_workload_metrics *w, const er_record *rec) {
    const er_restart_part *restart = &rec->restart;
    int64_t known = restart->delta - restart->details_missing;
    er_str unknown = ER_STR("Unknown");
    bool has_owner = restart->owner.name.n > 0;
    er_str values[] = {rec->namespace_, has_owner ? restart->owner.name : rec->object.name,
                       restart->container, restart->reason.n > 0 ? restart->reason : unknown};
    int64_t now_ms = er_mono_ms();
    if (known > 0) {
        er_series_add(w->series, F_RESTARTS, values, (uint64_t)known, now_ms);
    }
    if (restart->details_missing > 0) {
        values[3] = unknown;
        er_series_add(w->series, F_RESTARTS, values, (uint64_t)restart->details_missing, now_ms);
    }
}
