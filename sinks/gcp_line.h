/* One record as a line of structured logging for Google Cloud: what writes to standard output on
 * GKE, Cloud Run or a machine with the Ops Agent is read by a logging agent, which lifts the
 * special fields (severity, time, message, logging.googleapis.com/...) out of the JSON into the
 * LogEntry; the rest stays as jsonPayload. Source: Cloud Logging, "Structured logging", special
 * fields; LogSeverity and LogEntry of the Logging API v2.
 *
 * insertId is the record's id and time the record's own time: entries in which both are equal are
 * shown once. Labels are texts by which Cloud Logging can filter. Threads: pure functions. */
#ifndef ER_SINKS_GCP_LINE_H
#define ER_SINKS_GCP_LINE_H

#include "base/json_write.h"
#include "record/record.h"

void er_gcp_line(const er_record *rec, er_buf *out); /* with a newline */

/* What all ways to Cloud Logging share: LogSeverity's word, and the labels of an entry, which are
 * written as members of an object that is open. */
const char *er_gcp_severity(er_severity severity);
#define ER_GCP_LABELS 6
extern const char *const er_gcp_labels[ER_GCP_LABELS]; /* their names */
void er_gcp_put_labels(const er_record *rec, er_jw *w);

#endif
