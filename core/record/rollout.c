#include "record/rollout.h"

#include "record/redact.h"

#include <stdio.h>
#include <string.h>

#define NO_CHANGE                                                                                  \
    { .time = ER_TIME_NONE, .stale = ER_TIME_NONE }

/* What one version of the object says. */
typedef struct status {
    int64_t generation, observed;
    int64_t desired, total, updated, ready, available;
    er_str revision;
    bool pauses;                      /* spec.paused, or the controller has not resumed yet */
    er_str progress, reason, message; /* of the condition Progressing */
    er_time time;
} status;

static const er_json *progressing(const er_json *status_) {
    const er_json *list = er_json_get(status_, "conditions");
    for (const er_json *c = er_json_is_array(list) ? er_json_first(list) : NULL; c != NULL;
         c = er_json_next(c)) {
        if (er_str_eqc(er_json_get_str(c, "type"), "Progressing")) {
            return c;
        }
    }
    return NULL;
}

static status status_of(const er_json *object) {
    const er_json *meta = er_json_get(object, "metadata");
    const er_json *spec = er_json_get(object, "spec");
    const er_json *node = er_json_get(object, "status");
    const er_json *condition = progressing(node);
    status s = {
        .generation = er_json_get_count(meta, "generation", 0),
        .observed = er_json_get_count(node, "observedGeneration", -1),
        .desired = er_json_get_count(spec, "replicas", 1),
        .total = er_json_get_count(node, "replicas", 0),
        .updated = er_json_get_count(node, "updatedReplicas", 0),
        .ready = er_json_get_count(node, "readyReplicas", 0),
        .available = er_json_get_count(node, "availableReplicas", 0),
        .revision =
            er_json_get_str(er_json_get(meta, "annotations"), "deployment.kubernetes.io/revision"),
        .progress = er_json_get_str(condition, "status"),
        .reason = er_json_get_str(condition, "reason"),
        .message = er_json_get_str(condition, "message"),
        .time = er_json_get_time(condition, "lastUpdateTime"),
    };
    s.pauses =
        er_json_is_true(er_json_get(spec, "paused")) || er_str_eqc(s.reason, "DeploymentPaused");
    return s;
}

static bool is_complete(const status *s) {
    return s->observed >= s->generation && s->updated == s->desired && s->total == s->updated &&
           s->available == s->updated;
}

/* The condition is from before the change that is carried out. The controller renews it when it
 * makes a ReplicaSet or replicas come and go, not when it merely goes back to a ReplicaSet. */
static bool is_stale(const er_rollout_change *change, const status *s) {
    return s->time != ER_TIME_NONE && (s->time < change->time || s->time == change->stale);
}

void er_rollout_baseline(er_rollout *rollout, const er_json *object) {
    status s = status_of(object);
    bool is_settled = s.reason.n == 0 || er_str_eqc(s.reason, "NewReplicaSetAvailable") ||
                      er_str_eqc(s.reason, "DeploymentPaused") ||
                      er_str_eqc(s.reason, "DeploymentResumed");
    *rollout = (er_rollout){.started = ER_TIME_NONE, .change = NO_CHANGE};
    rollout->open = !is_settled && !is_complete(&s);
    rollout->paused = er_str_eqc(s.reason, "DeploymentPaused");
    rollout->stuck = rollout->open && er_str_eqc(s.progress, "False");
}

void er_rollout_expect(er_rollout *rollout, er_rollout_change *change, const er_json *object) {
    status s = status_of(object);
    change->stale = s.observed < change->generation ? s.time : ER_TIME_NONE;
    if (rollout->pending_n == ER_ROLLOUT_PENDING_MAX) {
        rollout->pending_n--;
        memmove(rollout->pending, rollout->pending + 1,
                rollout->pending_n * sizeof rollout->pending[0]);
    }
    rollout->pending[rollout->pending_n++] = *change;
}

/* ---- records ---- */

typedef struct teller {
    const er_rollout *rollout;
    const status *status;
    er_time observed;
    er_rollout_fn *emit;
    void *arg;
} teller;

/* Of the newest change that the controller has seen. */
static er_str change_id(const teller *t) {
    const er_rollout *r = t->rollout;
    for (size_t i = r->pending_n; i > 0; i--) {
        const er_rollout_change *change = &r->pending[i - 1];
        if (change->generation <= t->status->observed && change->id[0] != '\0') {
            return er_str_of(change->id);
        }
    }
    return er_str_of(r->change.id);
}

static void put_message(const teller *t, const er_rollout_part *part, er_str text, er_buf *out) {
    er_buf_putf(out, "rollout %.*s", (int)part->state.n, part->state.p);
    if (text.n > 0) {
        er_buf_puts(out, ": ");
        er_buf_put_str(out, part->reason);
        er_buf_puts(out, ": ");
        er_buf_put_str(out, text);
        return;
    }
    if (part->duration >= 0) {
        er_buf_putf(out, " in %lld s", (long long)part->duration);
    }
    er_buf_putf(out, ": %lld of %lld replicas updated, %lld available",
                (long long)t->status->updated, (long long)t->status->desired,
                (long long)t->status->available);
}

/* A start that the condition does not tell happened with the change. */
static void put_time(const teller *t, bool is_start, er_record *rec) {
    const er_rollout_change *change = &t->rollout->change;
    bool is_stale_ = is_stale(change, t->status);
    rec->time = t->observed;
    rec->time_source = ER_STR("observed");
    if (t->status->time != ER_TIME_NONE && !is_stale_) {
        rec->time = t->status->time;
        rec->time_source = ER_STR("conditions.lastUpdateTime");
    } else if (is_stale_ && is_start && change->time != ER_TIME_NONE) {
        rec->time = change->time;
        rec->time_source = ER_STR("managedFields.time");
    }
}

/* Returns the record's time. */
static er_time tell(const teller *t, const char *state, const char *reason, const char *suffix) {
    const status *s = t->status;
    bool is_stuck = strcmp(state, "stuck") == 0;
    bool is_complete_ = strcmp(state, "complete") == 0;
    er_buf text; /* the condition's may repeat a value of the object */
    er_buf message;
    er_buf_init(&text, 3 * s->message.n + 3);
    er_buf_init(&message, 64u << 10);
    if (is_stuck) {
        (void)er_redact_text(s->message, &text);
    }
    er_draft draft = {0};
    er_record *rec = &draft.rec;
    rec->kind = ER_KIND_ROLLOUT;
    rec->severity = is_stuck ? ER_SEVERITY_ERROR : ER_SEVERITY_INFO;
    rec->type = is_stuck ? ER_STR("Warning") : ER_STR("Normal");
    rec->reason = er_str_of(reason);
    put_time(t, strcmp(state, "started") == 0, rec);
    er_time started = t->rollout->started;
    rec->rollout = (er_rollout_part){
        .state = er_str_of(state),
        .revision = s->revision,
        .change_id = change_id(t),
        .reason = is_stuck ? s->reason : (er_str){0},
        .message = er_buf_str(&text),
        .desired = s->desired,
        .total = s->total,
        .updated = s->updated,
        .ready = s->ready,
        .available = s->available,
        .duration = !is_complete_ || started == ER_TIME_NONE || started > rec->time
                        ? -1
                        : (rec->time - started) / 1000000,
    };
    put_message(t, &rec->rollout, rec->rollout.message, &message);
    rec->message = er_buf_str(&message);
    er_time time = rec->time;
    t->emit(t->arg, &draft, suffix);
    er_buf_fini(&text);
    er_buf_fini(&message);
    return time;
}

/* The changes that the controller has seen become the open rollout; false: there is none. */
static bool start(er_rollout *r, const status *s) {
    size_t seen = 0;
    while (seen < r->pending_n && r->pending[seen].generation <= s->observed) {
        seen++;
    }
    if (seen == 0 || s->pauses || s->observed < 0) { /* none observed: not even begun */
        return false;
    }
    r->change = r->pending[seen - 1];
    r->pending_n -= seen;
    memmove(r->pending, r->pending + seen, r->pending_n * sizeof r->pending[0]);
    r->open = true;
    r->stuck = false;
    r->started = ER_TIME_NONE;
    return true;
}

void er_rollout_look(er_rollout *rollout, const er_json *object, er_time observed,
                     er_rollout_fn *emit, void *arg) {
    status s = status_of(object);
    teller t = {rollout, &s, observed, emit, arg};
    bool was_paused = rollout->paused;
    rollout->paused = er_str_eqc(s.reason, "DeploymentPaused");
    if (rollout->paused && !was_paused) {
        (void)tell(&t, "paused", "RolloutPaused", "rp");
    }
    if (start(rollout, &s)) {
        er_time started = tell(&t, "started", "RolloutStarted", "rs");
        rollout->started = s.time == ER_TIME_NONE ? ER_TIME_NONE : started;
    }
    bool failed =
        rollout->open && er_str_eqc(s.progress, "False") && !is_stale(&rollout->change, &s);
    if (failed && !rollout->stuck) {
        (void)tell(&t, "stuck", "RolloutStuck", "rk");
    }
    rollout->stuck = failed;
    if (rollout->open && !s.pauses && is_complete(&s)) {
        (void)tell(&t, "complete", "RolloutComplete", "rc");
        rollout->open = rollout->stuck = false;
    }
}

/* ---- memory ---- */

static void write_change(const er_rollout_change *change, er_jw *w) {
    er_jw_object(w);
    er_jw_kstr_opt(w, "id", er_str_of(change->id));
    er_jw_kint(w, "generation", change->generation);
    er_jw_ktime_opt(w, "time", change->time);
    er_jw_ktime_opt(w, "stale", change->stale);
    er_jw_object_end(w);
}

static er_rollout_change read_change(const er_json *node) {
    er_rollout_change change = {
        .generation = er_json_get_count(node, "generation", 0),
        .time = er_json_get_time(node, "time"),
        .stale = er_json_get_time(node, "stale"),
    };
    er_str id = er_json_get_str(node, "id");
    if (id.n > 0) {
        (void)er_record_id(id, change.id);
    }
    return change;
}

void er_rollout_write(const er_rollout *rollout, er_jw *w) {
    er_jw_key(w, "rollout");
    er_jw_object(w);
    er_jw_kbool(w, "open", rollout->open);
    er_jw_kbool(w, "paused", rollout->paused);
    er_jw_kbool(w, "stuck", rollout->stuck);
    er_jw_ktime_opt(w, "started", rollout->started);
    er_jw_key(w, "change");
    write_change(&rollout->change, w);
    er_jw_key(w, "pending");
    er_jw_array(w);
    for (size_t i = 0; i < rollout->pending_n; i++) {
        write_change(&rollout->pending[i], w);
    }
    er_jw_array_end(w);
    er_jw_object_end(w);
}

void er_rollout_read(er_rollout *rollout, const er_json *node) {
    *rollout = (er_rollout){
        .open = er_json_is_true(er_json_get(node, "open")),
        .paused = er_json_is_true(er_json_get(node, "paused")),
        .stuck = er_json_is_true(er_json_get(node, "stuck")),
        .started = er_json_get_time(node, "started"),
        .change = read_change(er_json_get(node, "change")),
    };
    for (const er_json *m = er_json_first(er_json_get(node, "pending"));
         m != NULL && rollout->pending_n < ER_ROLLOUT_PENDING_MAX; m = er_json_next(m)) {
        rollout->pending[rollout->pending_n++] = read_change(m);
    }
}
