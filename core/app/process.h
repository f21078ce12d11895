/* The process's own figures, under the names that all Prometheus clients use. */
#ifndef ER_APP_PROCESS_H
#define ER_APP_PROCESS_H

#include "base/metrics.h"

/* process_cpu_seconds_total, process_resident_memory_bytes, process_open_fds, process_max_fds,
 * process_start_time_seconds; read from /proc and getrusage when rendered. */
void er_process_metrics(er_metrics *metrics);

#endif
