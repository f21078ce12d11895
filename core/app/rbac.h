/* The RBAC that a configuration needs, as YAML for `kubectl apply -f -`.
 *
 * Threads: main. Source: Kubernetes, "Using RBAC Authorization". */
#ifndef ER_APP_RBAC_H
#define ER_APP_RBAC_H

#include "app/app.h"

/* Appends a ClusterRole for the whole cluster, or a Role for each namespace that is watched: list
 * and watch of what is watched, and no more. What is welcome but not needed stands commented out.
 */
void er_rbac_print(const er_app_config *config, er_buf *out);

#endif
