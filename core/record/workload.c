#include "record/workload.h"

enum { O_API_VERSION, O_KIND, O_NAME, O_UID, O_CONTROLLER, O_MEMBERS_ };
static const char *const owner_keys[O_MEMBERS_] = {"apiVersion", "kind", "name", "uid",
                                                   "controller"};

/* The name without "-" and suffix; empty when it does not end so, or is nothing else. */
static er_str without_suffix(er_str name, er_str suffix) {
    if (suffix.n == 0 || name.n < suffix.n + 2 || name.p[name.n - suffix.n - 1] != '-') {
        return (er_str){0};
    }
    er_str end = {name.p + name.n - suffix.n, suffix.n};
    return er_str_eq(end, suffix) ? (er_str){name.p, name.n - suffix.n - 1} : (er_str){0};
}

/* Eight digits that are minutes since 1970 of a day after the naming began (end of 2020); a date
 * such as 20260102, with which people end names, is less. */
#define SCHEDULED_FROM   26000000
#define SCHEDULED_DIGITS 8

static er_str cron_job_name(er_str job) {
    if (job.n < SCHEDULED_DIGITS) {
        return (er_str){0};
    }
    er_str digits = {job.p + job.n - SCHEDULED_DIGITS, SCHEDULED_DIGITS};
    uint64_t minutes;
    bool is_time = er_parse_u64(digits, &minutes) && minutes >= SCHEDULED_FROM;
    return is_time ? without_suffix(job, digits) : (er_str){0};
}

static er_workload derived_or(er_workload owner, const char *kind, er_str name) {
    return name.n > 0 ? (er_workload){.kind = er_str_of(kind), .name = name, .derived = true}
                      : owner;
}

er_workload er_workload_of_pod(const er_json *owner_references, const er_json *labels) {
    const er_json *ref =
        er_json_is_array(owner_references) ? er_json_first(owner_references) : NULL;
    const er_json *at[O_MEMBERS_] = {NULL};
    for (; ref != NULL; ref = er_json_next(ref)) {
        er_json_pick(ref, owner_keys, O_MEMBERS_, at);
        if (er_json_is_true(at[O_CONTROLLER])) {
            break;
        }
    }
    er_workload owner = {0};
    if (ref == NULL || er_json_str(at[O_KIND]).n == 0 || er_json_str(at[O_NAME]).n == 0) {
        return owner;
    }
    owner.kind = er_json_str(at[O_KIND]);
    owner.name = er_json_str(at[O_NAME]);
    owner.uid = er_json_str(at[O_UID]);
    er_str group = er_json_str(at[O_API_VERSION]);
    if (er_str_eqc(owner.kind, "ReplicaSet") && er_str_starts(group, "apps/")) {
        er_str hash = er_json_get_str(labels, "pod-template-hash");
        return derived_or(owner, "Deployment", without_suffix(owner.name, hash));
    }
    if (er_str_eqc(owner.kind, "Job") && er_str_starts(group, "batch/")) {
        return derived_or(owner, "CronJob", cron_job_name(owner.name));
    }
    return owner;
}
