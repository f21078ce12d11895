/* Workload metrics (opt-in): what happens to Deployments and containers, for those who look at
 * graphs. Their names have no prefix, their number a cap (base/series.h).
 *
 *   deployment_events_total{type,namespace,deployment,field}   type: ADDED MODIFIED DELETED; field:
 *                              a family of the change, each counts; else "deployment"
 *   deployment_replicas_desired, _actual, _max {namespace,deployment}
 *   container_restarts_total{namespace,workload,container,reason}   workload: the name of the pod's
 *                              owner, else the pod; reason: of the termination, Unknown without its
 *                              details
 * Gauges go with their Deployment, and when it opts out; counters an hour after their last change.
 * They count what this process saw: a repeat after a crash may count again, a baseline counts
 * nothing.
 *
 * Threads: any stream's. */
#ifndef ER_WATCH_WORKLOAD_METRICS_H
#define ER_WATCH_WORKLOAD_METRICS_H

#include "base/series.h"
#include "record/seen.h"

typedef struct er_workload_metrics er_workload_metrics;
er_workload_metrics *er_workload_metrics_new(size_t max_series, er_metrics *m);
void er_workload_metrics_free(er_workload_metrics *w);

/* scope: who looks; round: which of its lists, or the watch behind it. */
void er_workload_metrics_deployment(er_workload_metrics *w, const void *scope, uint64_t round,
                                    const er_deployment_shown *shown);
/* The list of that round is whole: gauges of what was not in it go. */
void er_workload_metrics_listed(er_workload_metrics *w, const void *scope, uint64_t round);
/* rec: of kind restart; a pod that failed as a whole has a delta of 0 and counts nothing. */
void er_workload_metrics_restart(er_workload_metrics *w, const er_record *rec);

#endif
