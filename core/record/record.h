/* The record: one thing that happened in the cluster, immutable and reference counted.
 *
 * A record is made from a draft: the same struct, whose slices borrow from wherever the facts came
 * (a JSON tree, the stack). er_record_seal copies everything into one block: one allocation a
 * record, freed when the last holder lets go. Queues hold pointers, so fan-out copies nothing.
 * Strings are repaired to valid UTF-8 when sealed; a message over 64 KiB is cut.
 *
 * Threads: a draft belongs to one thread; a sealed record may be read by any. */
#ifndef ER_RECORD_RECORD_H
#define ER_RECORD_RECORD_H

#include "base/buf.h"
#include "base/clock.h"

#include <stdatomic.h>

#define ER_RECORD_SCHEMA      "eventrouter.io/v1"
#define ER_RECORD_MESSAGE_MAX 65536

typedef enum er_kind {
    ER_KIND_EVENT,
    ER_KIND_GAP,
    ER_KIND_NOTICE,
    ER_KIND_CHANGE,
    ER_KIND_ROLLOUT,
    ER_KIND_RESTART,
} er_kind;
const char *er_kind_name(er_kind kind);

typedef enum er_severity {
    ER_SEVERITY_INFO,
    ER_SEVERITY_WARNING,
    ER_SEVERITY_ERROR,
} er_severity;
const char *er_severity_name(er_severity severity); /* INFO WARNING ERROR */

/* ObjectReference of core/v1; empty members are left out. */
typedef struct er_object_ref {
    er_str api_version, kind, namespace_, name, uid, resource_version, field_path;
} er_object_ref;

/* kind event. Source: core/v1 Event. */
typedef struct er_event_part {
    int64_t count;       /* series.count, else count, else 1 */
    int64_t count_delta; /* -1: unknown */
    er_time first_time, last_time;
    er_str action;
    er_str name, uid, resource_version; /* the Event object's own */
    er_object_ref related;
} er_event_part;

/* kind gap: a stretch that cannot be had back. */
typedef struct er_gap_part {
    er_str stream; /* "events", "events/NAMESPACE" */
    er_str cause;  /* expired rewound oversized undecodable listIncomplete noState */
    er_str from_version, to_version;
    er_time from_time, to_time;
    int64_t recovered; /* records that a list brought back; -1: not known */
} er_gap_part;

/* kind notice: records dropped or rejected by a sink, told to the others. */
typedef struct er_notice_part {
    er_str sink, cause; /* cause: an er_reason name, "dropped" reasons and "rejected" reasons */
    int64_t records;
    er_time since, until;
} er_notice_part;

/* kind change: a Deployment created, updated or deleted. */
typedef struct er_change_part {
    er_str operation;                       /* created updated deleted */
    er_str fields;                          /* families, comma-separated: "image,replicas" */
    int64_t generation_old, generation_new; /* -1: not known, none */
    er_str revision;                        /* the one that the change found */
    er_str cause; /* kubernetes.io/change-cause, when it came with the change */
    er_str actor_manager, actor_operation, actor_subresource; /* of managedFields: a program */
    er_time actor_time;
    bool autoscaler; /* the actor is one */
    er_str diff;     /* JSON array of {path, pointer, op, old, new}; "" : none */
    er_str patch;    /* JSON array, RFC 6902; "": none */
    int64_t omitted; /* changes that are not in diff for their number */
    bool redacted;   /* a value in diff or patch stands as *** */
    bool truncated;  /* a value was cut, or something left out */
    int64_t replicas_old, replicas_new, replicas_max; /* -1: none */
    bool over_max;
} er_change_part;

/* kind rollout. Source: apps/v1 DeploymentStatus. */
typedef struct er_rollout_part {
    er_str state;           /* started complete stuck paused */
    er_str revision;        /* of the Deployment when it was seen */
    er_str change_id;       /* id of the change record that it carries out */
    er_str reason, message; /* stuck: the condition's */
    int64_t desired, total, updated, ready, available; /* replicas */
    int64_t duration;                                  /* complete: seconds; -1: not known */
} er_rollout_part;

/* The workload that a pod belongs to. */
typedef struct er_workload {
    er_str kind, name, uid; /* all empty: the pod is its own */
    bool derived;           /* only a name told it; there is no uid then */
} er_workload;

/* kind restart: a container's restart count rose, or a whole pod failed. Source: core/v1 Pod. */
typedef struct er_restart_part {
    er_str container;      /* of a pod that failed: the one whose end explains it, if any */
    er_str container_type; /* container init sidecar ephemeral */
    int64_t count;         /* restartCount; -1: a whole pod failed */
    int64_t delta, details_missing; /* restarts since the last known count; those without details */
    er_str reason;                  /* of the termination, or of the pod's failure */
    char exit_code[12];             /* of the termination, decimal; "": unknown */
    int64_t signal;                 /* 0: none */
    er_time started_at, finished_at;
    er_str image, node, waiting_reason;
    er_workload owner;
} er_restart_part;

typedef struct er_record {
    atomic_uint refs;
    size_t bytes; /* memory of the block: what queues count */

    er_kind kind;
    er_severity severity;
    er_str id; /* [A-Za-z0-9_-]{1,64} */
    er_str cluster;
    er_time time;
    er_str time_source; /* the field the time was taken from, "observed" when none was usable */
    er_time observed_time;
    int64_t observed_mono_ns; /* for latency figures; not part of the JSON */
    er_str type, reason, message;
    er_str namespace_;
    er_object_ref object;
    er_str source_component, source_host, source_instance;
    bool namespace_mismatch, truncated, recovered;

    union {
        er_event_part event;
        er_gap_part gap;
        er_notice_part notice;
        er_change_part change;
        er_rollout_part rollout;
        er_restart_part restart;
    };
} er_record;

/* Returns an owned record with one reference; NULL when memory for it cannot be had. */
er_record *er_record_seal(const er_record *draft);
er_record *er_record_ref(er_record *rec);
void er_record_unref(er_record *rec);

/* The canonical JSON, without a newline. The schema is config/record.schema.json. */
void er_record_json(const er_record *rec, er_buf *out);

/* Makes an id legal: id itself when it matches [A-Za-z0-9_-]{1,64}, else "x-" and the first 40 hex
 * digits of its SHA-256. The result is written to out. */
#define ER_ID_MAX 65
er_str er_record_id(er_str id, char out[ER_ID_MAX]);

#endif
