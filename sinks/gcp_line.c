#include "sinks/gcp_line.h"

const char *er_gcp_severity(er_severity severity) {
    switch (severity) {
    case ER_SEVERITY_INFO:
        return "INFO";
    case ER_SEVERITY_WARNING:
        return "WARNING";
    case ER_SEVERITY_ERROR:
        return "ERROR";
    }
    return "DEFAULT"; /* LogSeverity's word for none */
}

const char *const er_gcp_labels[] = {"cluster",   "kind",       "reason",
                                     "namespace", "objectKind", "objectName"};
_Static_assert(sizeof er_gcp_labels / sizeof er_gcp_labels[0] == ER_GCP_LABELS, "");

void er_gcp_put_labels(const er_record *rec, er_jw *w) {
    er_jw_kstr_opt(w, "cluster", rec->cluster);
    er_jw_kstr(w, "kind", er_str_of(er_kind_name(rec->kind)));
    er_jw_kstr_opt(w, "reason", rec->reason);
    er_jw_kstr_opt(w, "namespace", rec->namespace_);
    er_jw_kstr_opt(w, "objectKind", rec->object.kind);
    er_jw_kstr_opt(w, "objectName", rec->object.name);
}

void er_gcp_line(const er_record *rec, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "severity", er_str_of(er_gcp_severity(rec->severity)));
    er_jw_ktime_opt(&w, "time", rec->time);
    er_jw_kstr(&w, "message", rec->message);
    er_jw_kstr(&w, "logging.googleapis.com/insertId", rec->id);
    er_jw_key(&w, "logging.googleapis.com/labels");
    er_jw_object(&w);
    er_gcp_put_labels(rec, &w);
    er_jw_object_end(&w);
    er_jw_key(&w, "record");
    er_record_json(rec, out);
    er_jw_object_end(&w);
    er_buf_putc(out, '\n');
}
