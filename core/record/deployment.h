/* Deployments of apps/v1 -> records of kind change and rollout.
 *
 * A change record is made for what people and their tools write: spec, labels, annotations; not for
 * the status and what controllers note on the object. A rollout record follows from the status. An
 * object with the annotation eventrouter.io/ignore: "true" makes neither.
 *
 * Source: Kubernetes API reference, Deployment. Threads: pure. */
#ifndef ER_RECORD_DEPLOYMENT_H
#define ER_RECORD_DEPLOYMENT_H

#include "record/change.h"
#include "record/seen.h"

typedef struct er_deployment_options {
    er_change_form form;
    bool redact; /* env values and what looks like a secret stand as *** */
    er_str key;  /* of the digests that stand for them in memory: that with which it was made; 16
                    bytes  or more */
    er_families families; /* that make a change record of an update; 0: all */
    const er_str *ignore; /* paths: see er_change */
    size_t ignore_n;
    /* The most replicas that the operator allows, or -1; then the annotation
     * eventrouter.io/max-replicas counts. NULL: no Deployment has one by configuration. */
    int64_t (*max_replicas)(void *arg, er_str namespace_, er_str name);
    void *arg;
} er_deployment_options;

/* look->object: the Deployment (kind and apiVersion may be missing, as in lists). Memory that
 * cannot be read counts as none. MODIFIED without memory is remembered like a baseline: what was
 * before is not known. LISTED with a generation that rose by more than one sets look->missed.
 * Drafts lack the cluster. Errors: ER_E_INVAL when the object has no metadata.uid or
 * resourceVersion; ER_E_LIMIT, ER_E_NOMEM when there is no room for what is to be remembered. After
 * an error no record was emitted, and look->memory is as it was remembered. */
er_status er_deployment_look(const er_deployment_options *options, er_look *look, er_err *err);

/* What look->remembered says of the Deployment, for look->saw; its actual replicas are known when
 * the look that was remembered had a saw. No record, no memory. Nothing when it cannot be read. */
void er_deployment_recall(const er_deployment_options *options, er_look *look);

#endif
