/* Pods of core/v1 -> records of kind restart.
 *
 * One record for each container and status write in which its restart count rose: regular, init,
 * sidecar (init with restartPolicy Always) and ephemeral containers. The kubelet writes state, not
 * history: of several restarts between two writes only the last has details
 * (lastState.terminated), the others are in delta and detailsMissing. One more record when the
 * whole pod failed (phase Failed; status.reason Evicted).
 *
 *   count fell    the kubelet lost its state: a new base, and one restart when the containerID of
 *                 the last termination is none that was told. From here on the ids of this
 *                 container carry its hash, since counts repeat
 *   BASELINE      records only of what happened later than look->since. A container: its last
 *                 restart, with delta 1, by finishedAt; by startedAt while it waits to be started
 *                 again, for that end is not counted yet. A pod that failed: by the record's time
 *   no memory     LISTED: created meanwhile, and all its restarts are news. Frames: remembered
 *                 without records, for a watch shows a pod that is created before any restart, and
 *                 one with restarts when it comes into the selection
 *   LISTED        restarts without details set look->missed: frames would have had them
 *   DELETED       compared, then forgotten
 *   GONE          nothing to say: what was missed cannot be had
 *
 * Memory says how often each container restarted (pod_memory.h) and changes only when a count does.
 * Not looked at: containers beyond the 256th, those whose name is no DNS label or whose
 * restartCount is no int32.
 *
 * Source: Kubernetes API reference, Pod v1 core (ContainerStatus, ContainerState). Threads: pure.
 */
#ifndef ER_RECORD_POD_H
#define ER_RECORD_POD_H

#include "record/seen.h"

typedef struct er_pod_options er_pod_options; /* there are none yet: NULL */

/* object: a Pod as the API server sends it (kind and apiVersion may be missing, as in lists).
 * Errors: ER_E_INVAL when it has no metadata.uid; ER_E_NOMEM, ER_E_LIMIT of the memory. */
er_status er_pod_look(const er_pod_options *options, er_look *look, er_err *err);

/* Takes an exit code from JSON: an int32, anything else is unknown. */
void er_restart_exit_code(er_restart_part *part, const er_json *node);

#endif
