/* Which of Google's resources a record is about. */
#include "sinks/cloud_logging.h"

static bool is_pod(const er_record *rec) {
    return er_str_eqc(rec->object.kind, "Pod") && rec->object.name.n > 0 && rec->namespace_.n > 0 &&
           er_str_eq(rec->namespace_, rec->object.namespace_);
}

static bool is_node(const er_record *rec) {
    return er_str_eqc(rec->object.kind, "Node") && rec->object.name.n > 0;
}

void er_log_put_resource(const er_record *rec, const er_log_place *place, er_jw *w) {
    bool pod = is_pod(rec);
    bool node = is_node(rec);
    er_jw_object(w);
    er_jw_kstr(w, "type",
               pod    ? ER_STR("k8s_pod")
               : node ? ER_STR("k8s_node")
                      : ER_STR("k8s_cluster"));
    er_jw_key(w, "labels");
    er_jw_object(w);
    er_jw_kstr(w, "project_id", place->project);
    er_jw_kstr(w, "location", place->location);
    er_jw_kstr(w, "cluster_name", place->cluster);
    if (pod) {
        er_jw_kstr(w, "namespace_name", rec->namespace_);
        er_jw_kstr(w, "pod_name", rec->object.name);
    } else if (node) {
        er_jw_kstr(w, "node_name", rec->object.name);
    }
    er_jw_object_end(w);
    er_jw_object_end(w);
}
