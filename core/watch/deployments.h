/* `watch.deployments`: its rows, and what they mean for a look at a Deployment.
 *
 * Threads: made, used and freed on one stream's thread; rows are constant. */
#ifndef ER_WATCH_DEPLOYMENTS_H
#define ER_WATCH_DEPLOYMENTS_H

#include "config/config.h"
#include "record/seen.h"

typedef struct er_max_replicas { /* one of maxReplicas */
    er_cfg_text deployment;      /* pattern of NAMESPACE/NAME */
    int64_t max;
} er_max_replicas;

typedef struct er_deployments_settings {
    bool enabled;
    char *label_selector;
    er_cfg_strings names, fields, ignore;
    int diff; /* er_change_form */
    bool redact_env;
    bool metrics;
    er_cfg_list max_replicas; /* of er_max_replicas */
} er_deployments_settings;

/* Offsets are within er_deployments_settings: the row of the struct gives its own. */
extern const er_field er_deployments_rows[];

/* key: of the hashes that stand for hidden values; borrowed. */
void *er_deployments_new(const er_deployments_settings *settings, er_str key);
void er_deployments_free(void *self);
er_status er_deployments_look(void *self, er_look *look, er_err *err);
void er_deployments_recall(void *self, er_look *look); /* see er_deployment_recall */

#endif
