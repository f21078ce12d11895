/* The parts of the sink `cloudLogging`: entries.write of the Cloud Logging API v2.
 *
 * A record becomes one LogEntry: insertId its id, timestamp its time, jsonPayload the record
 * itself. Entries of one project in which both are equal are shown once, so that a repeat does no
 * harm. Source: Logging API v2, entries.write, LogEntry, WriteLogEntriesPartialErrors, "Quotas and
 * limits"; GKE's own event-exporter for the choice of the resource.
 *
 * Threads: pure functions. */
#ifndef ER_SINKS_CLOUD_LOGGING_H
#define ER_SINKS_CLOUD_LOGGING_H

#include "base/json_write.h"
#include "sinks/http_sink.h"

/* Limits of the service. */
#define ER_LOG_ENTRY_MAX   ((size_t)256 * 1024) /* bytes of one LogEntry, in its own measure */
#define ER_LOG_REQUEST_MAX ((size_t)10 * 1000 * 1000)
#define ER_LOG_ENTRIES_MAX 1000 /* that one request should have */
#define ER_LOG_LABELS_MAX  64

/* ---- the monitored resource ---- */

typedef struct er_log_place {
    er_str project, location, cluster;
} er_log_place;

/* Writes the MonitoredResource that GKE's exporter would choose: k8s_pod for what is about a Pod in
 * the record's own namespace, k8s_node for a Node, k8s_cluster for everything else. */
void er_log_put_resource(const er_record *rec, const er_log_place *place, er_jw *w);

/* ---- the entry ---- */

/* What the timestamp of the entry is: the record's time; when the service would refuse that (more
 * than 24 h in the future), the time at which it was seen. */
er_time er_log_time(const er_record *rec);

/* Bytes that a JSON object, made by er_jw, has as google.protobuf.Struct: what the service counts.
 */
size_t er_log_struct_size(er_str json);

/* ---- the answer ---- */

/* What an answer that is not 2xx means, when its text says more than its status; else action. A
 * list of errors by entry makes it DELIVERED: er_log_judge will tell. Without the service's own
 * words nothing is REFUSED. */
er_http_action er_log_action(const er_http_response *res, er_http_action action);

/* Judges each entry of an answer that er_log_action, or its status, made DELIVERED. Listed:
 * INVALID_ARGUMENT is rejected, PERMISSION_DENIED makes the result ER_E_DENIED, everything else is
 * tried again. Not listed: written, unless the list is not whole. An answer that is not the
 * service's is ER_E_DENIED, one that makes no sense ER_E_UNAVAILABLE. */
er_status er_log_judge(const er_http_response *res, er_batch *batch, er_err *err);

/* Appends ": PERMISSION_DENIED: Permission 'logging.logEntries.create' denied …", on one line;
 * nothing when the answer says nothing. */
void er_log_say(const er_http_response *res, er_buf *out);

/* What to do about a 403; NULL: the right to write is missing, or it is not told which one. Source:
 * google.rpc.ErrorInfo, reasons of the domain googleapis.com. */
const char *er_log_advice(const er_http_response *res);

#endif
