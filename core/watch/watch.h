/* Watching: one stream per resource and scope. A stream lists, watches, recovers, makes records and
 * emits them; it never gives up.
 *
 * The shape (Kubernetes API concepts, "Efficient detection of changes"):
 *   start, a resume point stored probe, WATCH from it: what happened since is replayed
 *   start, none stored           LIST, emit, WATCH from the list's version
 *   clean end after a frame      WATCH again from the last version received, at once
 *   clean end, no frame          probe, then the same; under 1 s of life it counts as a failure
 *   transport error, 429, 5xx    the same after a backoff and a probe, honouring Retry-After
 *   410 in any form              LIST; what is newer than the last version received is emitted as
 *                                recovered; a second 410 in a row waits for the backoff
 *   401                          the token is read again, once at once; then backoff
 *   403                          soon again, then backoff; never the end
 *   silence for idleTimeout      the connection is dead: probe, WATCH from the last version
 * A probe is a LIST of one item: a version below the one the WATCH would start from tells that the
 * store was rewound; then everything is listed and emitted again.
 *
 * Threads: one per stream; settings and identity are shared. Ownership: everything in the options
 * is borrowed and must outlive the stream. */
#ifndef ER_WATCH_WATCH_H
#define ER_WATCH_WATCH_H

#include "kube/kube.h"
#include "state/state.h"
#include "watch/deployments.h"
#include "watch/flow.h"
#include "watch/resource.h"
#include "watch/workload_metrics.h"

typedef enum er_start_from { ER_START_BEGINNING, ER_START_NOW } er_start_from;

typedef struct er_watch_settings { /* watch: */
    int64_t timeout_ms, idle_timeout_ms;
    struct {
        int64_t initial_ms, max_ms;
    } backoff;
    struct {
        bool enabled;
        int start_from; /* er_start_from */
        char *field_selector;
    } events;
    er_deployments_settings deployments;
    struct {
        bool enabled;
        char *label_selector;
        bool metrics;
    } pods;
    int64_t max_series; /* of the workload metrics */
} er_watch_settings;
extern const er_field er_watch_rows[];
er_status er_watch_check(const void *settings, er_err *err); /* for check_struct */

/* What the cluster is called: found once, by the first stream that reaches the API server. */
typedef struct er_identity er_identity;
/* name: the setting; empty: the GKE metadata server's (in-cluster only), else the id. */
er_identity *er_identity_new(const char *name, const er_kube_config *kube);
void er_identity_free(er_identity *identity);
/* True once found; texts live as long as the identity. id: the uid of namespace kube-system when it
 * may be read, else SHA-256 of server URL and CA. */
bool er_identity_get(er_identity *identity, const char **name, const char **id);

typedef struct er_stream_options {
    const er_resource *resource;
    const char *label_selector; /* NULL or "": none */
    const er_kube_config *kube;
    const er_watch_settings *settings;
    const char *user_agent;
    const char *namespace_; /* NULL: the whole cluster */
    er_identity *identity;
    er_state *state;
    er_flow *flow;
    er_delivery *const *deliveries; /* for the labels of blocked time */
    size_t deliveries_n;
    er_metrics *metrics;
    er_workload_metrics *workloads; /* NULL: this resource has none */
    er_hearts *hearts;
} er_stream_options;

typedef struct er_stream er_stream;
er_status er_stream_new(const er_stream_options *options, er_stream **out, er_err *err);
er_status er_stream_start(er_stream *stream, er_err *err);
/* Asks it to end: it stops reading; a push that waits for room goes on until it is taken or given
 * up by the delivery. */
void er_stream_stop(er_stream *stream);
bool er_stream_has_ended(er_stream *stream);
void er_stream_join(er_stream *stream);
void er_stream_free(er_stream *stream); /* after all deliveries were joined */

/* "events" or "events/NAMESPACE"; the same with other resources. */
const char *er_stream_name(const er_stream *stream);
/* For er_state_source: what is to be stored of it; the keeper's thread. */
bool er_stream_collect(void *stream, er_point *out, er_state_changes *changes);
void er_stream_stored(void *stream, er_state_changes *changes, bool written);
void er_stream_store_anew(void *stream);
/* For /readyz: true once the API server has answered; text says where the stream stands. */
bool er_stream_ready(void *stream, er_buf *text);

#endif
