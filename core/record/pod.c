#include "record/pod.h"

#include "record/hash.h"
#include "record/pod_memory.h"
#include "record/workload.h"

#include <stdio.h>

/* In the order of the API server's JSON: each object is read in one pass. */
enum { P_METADATA, P_SPEC, P_STATUS, P_MEMBERS_ };
static const char *const pod_keys[P_MEMBERS_] = {"metadata", "spec", "status"};
enum { M_NAME, M_NAMESPACE, M_UID, M_VERSION, M_LABELS, M_OWNERS, M_MEMBERS_ };
static const char *const meta_keys[M_MEMBERS_] = {
    "name", "namespace", "uid", "resourceVersion", "labels", "ownerReferences"};
enum {
    S_PHASE,
    S_CONDITIONS,
    S_MESSAGE,
    S_REASON,
    S_START_TIME,
    S_INIT,
    S_REGULAR,
    S_EPHEMERAL,
    S_MEMBERS_,
};
static const char *const status_keys[S_MEMBERS_] = {"phase",
                                                    "conditions",
                                                    "message",
                                                    "reason",
                                                    "startTime",
                                                    "initContainerStatuses",
                                                    "containerStatuses",
                                                    "ephemeralContainerStatuses"};
enum { C_NAME, C_STATE, C_LAST_STATE, C_COUNT, C_IMAGE, C_MEMBERS_ };
static const char *const container_keys[C_MEMBERS_] = {"name", "state", "lastState", "restartCount",
                                                       "image"};
enum { T_EXIT_CODE, T_SIGNAL, T_REASON, T_STARTED, T_FINISHED, T_ID, T_MEMBERS_ };
static const char *const ended_keys[T_MEMBERS_] = {"exitCode",  "signal",     "reason",
                                                   "startedAt", "finishedAt", "containerID"};

/* The lists of container statuses, and how Events call what is in them. */
static const struct {
    size_t at;
    const char *type, *noun, *path;
} lists[] = {
    {S_INIT, "init", "Init container", "spec.initContainers"},
    {S_REGULAR, "container", "Container", "spec.containers"},
    {S_EPHEMERAL, "ephemeral", "Ephemeral container", "spec.ephemeralContainers"},
};
#define LISTS   (sizeof lists / sizeof lists[0])
#define L_INIT  0
#define L_NONE  LISTS
#define SIDECAR "sidecar"

typedef struct pod {
    er_look *look;
    const er_json *meta[M_MEMBERS_], *spec, *status[S_MEMBERS_];
    bool is_base; /* what is here is remembered and not compared */
    er_pod_memory memory;
} pod;

typedef struct container {
    size_t list;
    const er_json *at[C_MEMBERS_];
    const er_json *ended; /* the termination that is told; NULL: unknown */
    int64_t count;
} container;

/* A record with the texts that its draft borrows. */
typedef struct telling {
    er_draft draft;
    char path[sizeof "spec.ephemeralContainers{}" + ER_POD_NAME_MAX];
    const er_json *ended[T_MEMBERS_];
} telling;

/* ---- when ---- */

typedef struct moment {
    er_time time;
    const char *source;
} moment;

static void take_newer(moment *newest, const er_json *node, const char *source) {
    er_time time = er_usable_time(node);
    if (time > newest->time) { /* ER_TIME_NONE is less than any */
        *newest = (moment){time, source};
    }
}

/* The newest time of the status, for what has no time of its own. */
static moment newest_of(const pod *p, const container *c) {
    moment newest = {ER_TIME_NONE, NULL};
    const er_json *state = c->at[C_STATE];
    take_newer(&newest, er_json_path(state, "running", "startedAt"), "state.startedAt");
    take_newer(&newest, er_json_path(state, "terminated", "finishedAt"), "state.finishedAt");
    const er_json *conditions = p->status[S_CONDITIONS];
    const er_json *condition = er_json_is_array(conditions) ? er_json_first(conditions) : NULL;
    for (; condition != NULL; condition = er_json_next(condition)) {
        take_newer(&newest, er_json_get(condition, "lastTransitionTime"),
                   "conditions.lastTransitionTime");
    }
    take_newer(&newest, p->status[S_START_TIME], "startTime");
    return newest;
}

static void fill_time(const pod *p, const container *c, er_record *rec) {
    moment when = {rec->restart.finished_at, "finishedAt"};
    if (when.time == ER_TIME_NONE) {
        when = newest_of(p, c);
    }
    rec->observed_time = p->look->observed;
    rec->observed_mono_ns = er_mono_ns();
    rec->time = when.time == ER_TIME_NONE ? p->look->observed : when.time;
    rec->time_source = er_str_of(when.time == ER_TIME_NONE ? "observed" : when.source);
}

static bool is_after_since(const pod *p, er_time time) {
    return p->look->sight == ER_SIGHT_BASELINE && p->look->since != ER_TIME_NONE &&
           time > p->look->since;
}

/* ---- records ---- */

void er_restart_exit_code(er_restart_part *part, const er_json *node) {
    int64_t code;
    part->exit_code[0] = '\0';
    if (er_json_int(node, &code) && code >= INT32_MIN && code <= INT32_MAX) {
        (void)snprintf(part->exit_code, sizeof part->exit_code, "%lld", (long long)code);
    }
}

static er_severity severity_of(er_str reason) {
    static const char *const errors[] = {"OOMKilled", "Error", "Evicted"};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (er_str_eqc(reason, errors[i])) {
            return ER_SEVERITY_ERROR;
        }
    }
    return ER_SEVERITY_WARNING;
}

/* An init container that goes on beside the others. Source: KEP-753. */
static bool is_sidecar(const pod *p, er_str name) {
    const er_json *specs = er_json_get(p->spec, "initContainers");
    const er_json *one = er_json_is_array(specs) ? er_json_first(specs) : NULL;
    for (; one != NULL; one = er_json_next(one)) {
        if (er_str_eq(er_json_get_str(one, "name"), name)) {
            return er_str_eqc(er_json_get_str(one, "restartPolicy"), "Always");
        }
    }
    return false;
}

static void fill_pod(const pod *p, er_record *rec) {
    *rec = (er_record){
        .kind = ER_KIND_RESTART,
        .type = ER_STR("Warning"),
        .namespace_ = er_json_str(p->meta[M_NAMESPACE]),
        .object = {.api_version = ER_STR("v1"),
                   .kind = ER_STR("Pod"),
                   .namespace_ = er_json_str(p->meta[M_NAMESPACE]),
                   .name = er_json_str(p->meta[M_NAME]),
                   .uid = er_json_str(p->meta[M_UID]),
                   .resource_version = er_json_str(p->meta[M_VERSION])},
        .recovered = p->look->recovered,
        .restart = {.count = -1,
                    .started_at = ER_TIME_NONE,
                    .finished_at = ER_TIME_NONE,
                    .node = er_json_get_str(p->spec, "nodeName"),
                    .owner = er_workload_of_pod(p->meta[M_OWNERS], p->meta[M_LABELS])},
    };
}

static void fill_container(const pod *p, const container *c, telling *t) {
    er_record *rec = &t->draft.rec;
    er_restart_part *restart = &rec->restart;
    er_str name = er_json_str(c->at[C_NAME]);
    bool is_side = c->list == L_INIT && is_sidecar(p, name);
    restart->container = name;
    restart->container_type = er_str_of(is_side ? SIDECAR : lists[c->list].type);
    restart->image = er_json_str(c->at[C_IMAGE]);
    restart->waiting_reason = er_json_get_str(er_json_get(c->at[C_STATE], "waiting"), "reason");
    (void)snprintf(t->path, sizeof t->path, "%s{%.*s}", lists[c->list].path, (int)name.n, name.p);
    rec->object.field_path = er_str_of(t->path);
    er_json_pick(c->ended, ended_keys, T_MEMBERS_, t->ended);
    restart->reason = er_json_str(t->ended[T_REASON]);
    er_restart_exit_code(restart, t->ended[T_EXIT_CODE]);
    if (!er_json_int(t->ended[T_SIGNAL], &restart->signal) || restart->signal < 0) {
        restart->signal = 0;
    }
    restart->started_at = er_usable_time(t->ended[T_STARTED]);
    restart->finished_at = er_usable_time(t->ended[T_FINISHED]);
}

static const char *noun_of(const container *c, const er_restart_part *restart) {
    return er_str_eqc(restart->container_type, SIDECAR) ? "Sidecar" : lists[c->list].noun;
}

/* "OOMKilled, exit code 137, signal 9; waiting: CrashLoopBackOff" behind what is there. */
static void put_details(const er_restart_part *restart, er_buf *out) {
    const char *between = ": ";
    if (restart->reason.n > 0) {
        er_buf_puts(out, between);
        er_buf_put_str(out, restart->reason);
        between = ", ";
    }
    if (restart->exit_code[0] != '\0') {
        er_buf_putf(out, "%sexit code %s", between, restart->exit_code);
        between = ", ";
    }
    if (restart->signal != 0) {
        er_buf_putf(out, "%ssignal %lld", between, (long long)restart->signal);
        between = ", ";
    }
    if (restart->waiting_reason.n > 0) {
        er_buf_puts(out, *between == ':' ? ": waiting: " : "; waiting: ");
        er_buf_put_str(out, restart->waiting_reason);
    }
}

static void emit(const pod *p, telling *t, er_buf *id, er_buf *message) {
    er_record *rec = &t->draft.rec;
    rec->id = er_record_id(er_buf_str(id), t->draft.id);
    if (rec->message.n == 0) {
        rec->message = er_buf_str(message);
    }
    p->look->emit(p->look->arg, &t->draft);
}

static void hash_of(er_str s, char out[ER_POD_ENDED_MAX]) {
    er_sha256_hex(s, out, ER_POD_ENDED_MAX - 1);
}

static er_str ended_id(const container *c) {
    return er_json_get_str(c->ended, "containerID");
}

static void tell_restart(const pod *p, const container *c, int64_t delta, bool fell) {
    telling t;
    er_record *rec = &t.draft.rec;
    fill_pod(p, rec);
    fill_container(p, c, &t);
    er_restart_part *restart = &rec->restart;
    restart->count = c->count;
    restart->delta = delta;
    restart->details_missing = er_json_is_object(c->ended) ? delta - 1 : delta;
    if (p->look->sight == ER_SIGHT_LISTED && restart->details_missing > 0) {
        p->look->missed = true;
    }
    rec->reason = restart->reason.n > 0           ? restart->reason
                  : restart->waiting_reason.n > 0 ? restart->waiting_reason
                                                  : ER_STR("Unknown");
    rec->severity = severity_of(rec->reason);
    fill_time(p, c, rec);
    er_buf id;
    er_buf message;
    char hash[ER_POD_ENDED_MAX];
    er_buf_init(&id, rec->object.uid.n + 64);
    er_buf_init(&message, ER_RECORD_MESSAGE_MAX);
    hash_of(restart->container, hash);
    er_buf_put_str(&id, rec->object.uid);
    er_buf_putf(&id, "-r%s-%lld", hash, (long long)c->count);
    if (fell) {
        hash_of(ended_id(c), hash);
        er_buf_putf(&id, "-%s", hash);
    }
    er_buf_putf(&message, "%s ", noun_of(c, restart));
    er_buf_put_str(&message, restart->container);
    er_buf_puts(&message, " restarted");
    if (delta > 1) {
        er_buf_putf(&message, " %lld times", (long long)delta);
    }
    er_buf_putf(&message, " (restart %lld)", (long long)c->count);
    put_details(restart, &message);
    emit(p, &t, &id, &message);
    er_buf_fini(&id);
    er_buf_fini(&message);
}

/* c: the container whose end explains it; its list is L_NONE when there is none. */
static void tell_failed(const pod *p, const container *c) {
    telling t;
    er_record *rec = &t.draft.rec;
    fill_pod(p, rec);
    if (c->list != L_NONE) {
        fill_container(p, c, &t);
    } else {
        rec->restart.reason = er_json_str(p->status[S_REASON]);
    }
    rec->reason = rec->restart.reason.n > 0 ? rec->restart.reason : ER_STR("Failed");
    rec->severity = severity_of(rec->reason);
    rec->message = er_json_str(p->status[S_MESSAGE]);
    fill_time(p, c, rec);
    bool has_time = !er_str_eqc(rec->time_source, "observed");
    if (p->is_base && !(has_time && is_after_since(p, rec->time))) {
        return;
    }
    er_buf id;
    er_buf message;
    er_buf_init(&id, rec->object.uid.n + 64);
    er_buf_init(&message, ER_RECORD_MESSAGE_MAX);
    er_buf_put_str(&id, rec->object.uid);
    er_buf_puts(&id, "-failed");
    er_buf_puts(&message, "Pod failed");
    if (c->list != L_NONE) {
        er_buf_puts(&message, ", container ");
        er_buf_put_str(&message, rec->restart.container);
    }
    put_details(&rec->restart, &message);
    emit(p, &t, &id, &message);
    er_buf_fini(&id);
    er_buf_fini(&message);
}

/* ---- what is new ---- */

/* At the first sight of a container: was its last restart later than look->since? */
static bool is_news(const pod *p, const container *c) {
    bool waits = er_json_is_object(er_json_get(c->at[C_STATE], "waiting"));
    er_time time = er_usable_time(er_json_get(c->ended, waits ? "startedAt" : "finishedAt"));
    return c->count > 0 && time != ER_TIME_NONE && is_after_since(p, time);
}

/* A hash for what is only remembered: cheaper than that of the ids. */
static void quick_hash(er_str s, char out[ER_POD_ENDED_MAX]) {
    uint64_t hash = er_hash(ER_HASH_SEED, s.p, s.n);
    (void)snprintf(out, ER_POD_ENDED_MAX, "%08x", (unsigned)(hash ^ hash >> 32));
}

/* Remembers the termination; false when it was remembered already, or there is none. */
static bool remember_end(er_pod_container *seen, const container *c) {
    er_str id = ended_id(c);
    char hash[ER_POD_ENDED_MAX];
    if (id.n == 0) {
        return false;
    }
    quick_hash(id, hash);
    bool is_new = !er_str_eqc(er_str_of(hash), seen->ended);
    (void)snprintf(seen->ended, sizeof seen->ended, "%s", hash);
    return is_new;
}

static void compare(const pod *p, const container *c, er_pod_container *seen) {
    int64_t delta = c->count - seen->count;
    seen->count = c->count;
    if (p->is_base) {
        (void)remember_end(seen, c);
        if (is_news(p, c)) {
            tell_restart(p, c, 1, false);
        }
    } else if (delta > 0) {
        (void)remember_end(seen, c);
        tell_restart(p, c, delta, seen->fell);
    } else if (delta < 0) {
        seen->fell = true;
        if (remember_end(seen, c)) {
            tell_restart(p, c, 1, true);
        }
    }
}

static void look_at_container(pod *p, size_t list, const er_json *status) {
    container c = {.list = list};
    er_json_pick(status, container_keys, C_MEMBERS_, c.at);
    bool has_count = er_json_int(c.at[C_COUNT], &c.count) && c.count >= 0 && c.count <= INT32_MAX;
    er_pod_container *seen =
        has_count ? er_pod_memory_at(&p->memory, er_json_str(c.at[C_NAME])) : NULL;
    if (seen == NULL || seen->looked) { /* a name stands for one container */
        return;
    }
    seen->looked = true;
    c.ended = er_json_get(c.at[C_LAST_STATE], "terminated");
    compare(p, &c, seen);
}

static void look_at_list(pod *p, size_t list) {
    const er_json *statuses = p->status[lists[list].at];
    const er_json *status = er_json_is_array(statuses) ? er_json_first(statuses) : NULL;
    for (; status != NULL; status = er_json_next(status)) {
        look_at_container(p, list, status);
    }
}

/* The first container that ended with a failure. */
static container failed_container(const pod *p) {
    container c;
    for (c.list = 0; c.list < LISTS; c.list++) {
        const er_json *statuses = p->status[lists[c.list].at];
        const er_json *status = er_json_is_array(statuses) ? er_json_first(statuses) : NULL;
        for (; status != NULL; status = er_json_next(status)) {
            int64_t code;
            er_json_pick(status, container_keys, C_MEMBERS_, c.at);
            c.ended = er_json_get(c.at[C_STATE], "terminated");
            if (er_json_int(er_json_get(c.ended, "exitCode"), &code) && code != 0 &&
                er_json_str(c.at[C_NAME]).n <= ER_POD_NAME_MAX) {
                return c;
            }
        }
    }
    return (container){.list = L_NONE};
}

/* Failed is an end: a pod fails once. */
static void look_at_phase(pod *p) {
    if (p->memory.failed || !er_str_eqc(er_json_str(p->status[S_PHASE]), "Failed")) {
        return;
    }
    p->memory.failed = true;
    container c = {.list = L_NONE};
    if (er_json_str(p->status[S_REASON]).n == 0) {
        c = failed_container(p);
    }
    tell_failed(p, &c);
}

/* ---- the look ---- */

static bool is_base(er_look *look, er_pod_memory *memory) {
    if (look->sight == ER_SIGHT_BASELINE) {
        return !er_pod_memory_read(memory, (er_str){0});
    }
    bool knows = er_pod_memory_read(memory, look->remembered);
    /* A watch shows a pod that is created before any restart: one that comes with restarts has only
     * now come into the selection. A list may show it after them. */
    return !knows && !(look->remembered.n == 0 && look->sight == ER_SIGHT_LISTED);
}

er_status er_pod_look(const er_pod_options *options, er_look *look, er_err *err) {
    (void)options;
    er_buf_clear(look->memory);
    if (look->object == NULL) {
        return ER_OK;
    }
    const er_json *at[P_MEMBERS_];
    pod p;
    p.look = look;
    er_json_pick(look->object, pod_keys, P_MEMBERS_, at);
    er_json_pick(at[P_METADATA], meta_keys, M_MEMBERS_, p.meta);
    if (er_json_str(p.meta[M_UID]).n == 0) {
        return er_err_set(err, ER_E_INVAL, "a Pod without metadata.uid");
    }
    er_json_pick(at[P_STATUS], status_keys, S_MEMBERS_, p.status);
    p.spec = at[P_SPEC];
    p.is_base = is_base(look, &p.memory);
    for (size_t i = 0; i < LISTS; i++) {
        look_at_list(&p, i);
    }
    look_at_phase(&p);
    if (look->sight != ER_SIGHT_DELETED) {
        er_pod_memory_write(&p.memory, look->memory);
    }
    er_status status = er_buf_status(look->memory);
    return status == ER_OK ? ER_OK : er_err_set(err, status, "too much to remember of a Pod");
}
