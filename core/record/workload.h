/* The workload that a pod belongs to, from its ownerReferences, labels and the names that the
 * controllers give.
 *
 * Threads: pure. Ownership: slices point into the pod. */
#ifndef ER_RECORD_WORKLOAD_H
#define ER_RECORD_WORKLOAD_H

#include "base/json_read.h"
#include "record/record.h"

/* owner_references, labels: of a pod's metadata. Its controller: a StatefulSet, DaemonSet, Job,
 * Node (static pods) or whatever else is named there. Two of them are run by a controller that only
 * their name tells, and the owner is then that one, derived and without a uid:
 *   ReplicaSet NAME-HASH, HASH being the pod's label pod-template-hash   Deployment NAME
 *   Job NAME-MINUTES, minutes since 1970 of its schedule                 CronJob NAME
 * Source: Kubernetes, deployment controller (name of a new ReplicaSet) and cronjob controller (name
 * of a Job, since 1.21). Without a controller: empty. */
er_workload er_workload_of_pod(const er_json *owner_references, const er_json *labels);

#endif
