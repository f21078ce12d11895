#include "record/deployment.h"

#include "record/change_text.h"
#include "record/normal.h"
#include "record/rollout.h"
#include "record/tree.h"

#include <string.h>

#define CHANGE_CAUSE   "kubernetes.io/change-cause"
#define IGNORE         "eventrouter.io/ignore"
#define MAX_REPLICAS   "eventrouter.io/max-replicas"
#define REVISION       "deployment.kubernetes.io/revision"
#define RESTARTED      "kubectl.kubernetes.io/restartedAt"
#define NORMAL_MAX     (64u << 20)
#define HEADER_MAX     8192 /* of memory: all but the normal object and names */
#define CONTAINERS_MAX 5    /* that the message of a creation names */

/* What is remembered beside the normal object. */
typedef struct past {
    bool known;
    er_str uid, version, name, namespace_, revision;
    int64_t generation, actual;
    er_time managed; /* newest time of managedFields */
    bool redacted;   /* the object */
    bool ignored;
    er_rollout rollout;
    const er_json *object;
} past;

typedef struct present {
    er_str uid, version, name, namespace_, revision;
    int64_t generation; /* -1: none */
    int64_t actual;     /* replicas */
    er_owner newest;    /* of managedFields */
    bool ignored;
} present;

typedef struct view {
    const er_deployment_options *options;
    er_look *look;
    past past;
    present now;
    er_json_doc past_doc, now_doc, like_doc;
    er_buf past_text, now_text; /* what was remembered; the normal object */
    er_buf like_text;           /* one of them as the other is: with secrets hidden */
    const er_json *object;      /* the normal object, parsed when it is needed */
    er_buf message, fields;
    er_deployment_shown shown;
} view;

/* ---- memory ---- */

static void read_past(view *v) {
    er_buf_put_str(&v->past_text, v->look->remembered);
    er_err err;
    past *p = &v->past;
    p->generation = p->actual = -1;
    p->managed = p->rollout.started = p->rollout.change.time = p->rollout.change.stale =
        ER_TIME_NONE;
    if (v->past_text.len == 0 ||
        er_json_parse(&v->past_doc, v->past_text.p, v->past_text.len, &err) != ER_OK) {
        return;
    }
    const er_json *root = v->past_doc.root;
    p->uid = er_json_get_str(root, "uid");
    p->version = er_json_get_str(root, "version");
    p->name = er_json_get_str(root, "name");
    p->namespace_ = er_json_get_str(root, "namespace");
    p->revision = er_json_get_str(root, "revision");
    p->generation = er_json_get_count(root, "generation", -1);
    p->actual = er_json_get_count(root, "actual", -1);
    p->managed = er_json_get_time(root, "managed");
    p->redacted = er_json_is_true(er_json_get(root, "redacted"));
    p->ignored = er_json_is_true(er_json_get(root, "ignored"));
    er_rollout_read(&p->rollout, er_json_get(root, "rollout"));
    p->object = er_json_get(root, "object");
    p->known = p->uid.n > 0 && p->version.n > 0 && er_json_is_object(p->object);
}

/* "object" comes last, so that its text can be compared without reading it. */
static void write_memory(const view *v, const er_rollout *rollout) {
    er_jw w;
    er_buf *out = v->look->memory;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "uid", v->now.uid);
    er_jw_kstr(&w, "version", v->now.version);
    er_jw_kstr_opt(&w, "name", v->now.name);
    er_jw_kstr_opt(&w, "namespace", v->now.namespace_);
    er_jw_kstr_opt(&w, "revision", v->now.revision);
    if (v->now.generation >= 0) {
        er_jw_kint(&w, "generation", v->now.generation);
    }
    if (v->look->saw != NULL) {
        er_jw_kint(&w, "actual", v->now.actual);
    }
    er_jw_ktime_opt(&w, "managed", v->now.newest.time);
    if (v->options->redact) {
        er_jw_kbool(&w, "redacted", true);
    }
    if (v->now.ignored) {
        er_jw_kbool(&w, "ignored", true);
    }
    er_rollout_write(rollout, &w);
    er_jw_key(&w, "object");
    er_jw_raw(&w, er_buf_str(&v->now_text));
    er_jw_object_end(&w);
}

/* The remembered object is, byte for byte, the present one. */
static bool is_unchanged(const view *v) {
    er_str before = v->look->remembered;
    er_str now = er_buf_str(&v->now_text);
    static const char key[] = ",\"object\":";
    size_t tail = sizeof key - 1 + now.n + 1;
    return before.n > tail && memcmp(before.p + before.n - tail, key, sizeof key - 1) == 0 &&
           memcmp(before.p + before.n - now.n - 1, now.p, now.n) == 0;
}

/* ---- drafts ---- */

/* Versions are decimal numbers of any length. */
static int version_cmp(er_str a, er_str b) {
    if (a.n != b.n) {
        return a.n < b.n ? -1 : 1;
    }
    return a.n == 0 ? 0 : memcmp(a.p, b.p, a.n);
}

static er_str make_id(er_str uid, er_str version, const char *suffix, char out[ER_ID_MAX]) {
    er_buf raw;
    er_buf_init(&raw, uid.n + version.n + strlen(suffix) + 2);
    er_buf_put_str(&raw, uid);
    er_buf_putc(&raw, '-');
    er_buf_put_str(&raw, version);
    if (suffix[0] != '\0') {
        er_buf_putc(&raw, '-');
        er_buf_puts(&raw, suffix);
    }
    er_str id = er_record_id(er_buf_str(&raw), out);
    er_buf_fini(&raw);
    return id;
}

static void emit(view *v, er_draft *draft, const char *suffix) {
    bool is_gone = v->look->sight == ER_SIGHT_GONE;
    er_record *rec = &draft->rec;
    er_str uid = is_gone ? v->past.uid : v->now.uid;
    er_str version = is_gone ? v->past.version : v->now.version;
    rec->id = make_id(uid, version, suffix, draft->id);
    rec->observed_time = v->look->observed;
    rec->observed_mono_ns = er_mono_ns();
    rec->namespace_ = is_gone ? v->past.namespace_ : v->now.namespace_;
    rec->object = (er_object_ref){
        .api_version = ER_STR("apps/v1"),
        .kind = ER_STR("Deployment"),
        .namespace_ = rec->namespace_,
        .name = is_gone ? v->past.name : v->now.name,
        .uid = uid,
        .resource_version = version,
    };
    rec->recovered = v->look->recovered;
    v->look->emit(v->look->arg, draft);
}

static void emit_rollout(void *arg, er_draft *draft, const char *suffix) {
    emit(arg, draft, suffix);
}

static const er_json *annotations_of(const er_json *object) {
    return er_json_path(object, "metadata", "annotations");
}

static int64_t replicas_of(const er_json *object) {
    return er_json_get_count(er_json_get(object, "spec"), "replicas", 1);
}

static int64_t max_of(const view *v, const er_json *object, er_str namespace_, er_str name) {
    int64_t max = -1;
    if (v->options->max_replicas != NULL) {
        max = v->options->max_replicas(v->options->arg, namespace_, name);
    }
    uint64_t n;
    if (max < 0 && er_parse_u64(er_json_get_str(annotations_of(object), MAX_REPLICAS), &n) &&
        n <= INT32_MAX) {
        max = (int64_t)n;
    }
    return max;
}

/* Everything of a change but what only an update has. before, after: normal objects, or NULL. */
static void fill_change(view *v, const er_json *before, const er_json *after, er_draft *draft) {
    er_record *rec = &draft->rec;
    bool is_gone = v->look->sight == ER_SIGHT_GONE;
    er_str name = is_gone ? v->past.name : v->now.name;
    er_str namespace_ = is_gone ? v->past.namespace_ : v->now.namespace_;
    *draft = (er_draft){0};
    rec->kind = ER_KIND_CHANGE;
    rec->change = (er_change_part){
        .generation_old = v->past.known ? v->past.generation : -1,
        .generation_new = after != NULL ? v->now.generation : -1,
        .revision = is_gone ? v->past.revision : v->now.revision,
        .actor_time = ER_TIME_NONE,
        .replicas_old = before != NULL ? replicas_of(before) : -1,
        .replicas_new = after != NULL ? replicas_of(after) : -1,
        .replicas_max = max_of(v, after != NULL ? after : before, namespace_, name),
    };
    er_change_part *change = &rec->change;
    change->over_max = change->replicas_max >= 0 && change->replicas_new > change->replicas_max;
    rec->severity = change->over_max ? ER_SEVERITY_WARNING : ER_SEVERITY_INFO;
    rec->type = change->over_max ? ER_STR("Warning") : ER_STR("Normal");
    rec->time = v->look->observed;
    rec->time_source = ER_STR("observed");
}

static void fill_actor(const er_owner *owner, er_record *rec) {
    rec->change.actor_manager = owner->manager;
    rec->change.actor_operation = owner->operation;
    rec->change.actor_subresource = owner->subresource;
    rec->change.actor_time = owner->time;
    if (owner->time == ER_TIME_NONE) {
        return;
    }
    rec->time = owner->time;
    rec->time_source = ER_STR("managedFields.time");
}

/* ---- created, deleted ---- */

static void put_containers(const er_json *object, er_buf *out) {
    const er_json *pod = er_json_get(er_json_path(object, "spec", "template"), "spec");
    size_t n = 0;
    for (const er_json *c = er_json_first(er_json_get(pod, "containers")); c != NULL;
         c = er_json_next(c), n++) {
        er_str name = er_json_get_str(c, "name");
        er_str image = er_json_get_str(c, "image");
        if (n < CONTAINERS_MAX) {
            er_buf_puts(out, "; image ");
            er_change_words(name, 128, out);
            er_buf_puts(out, ": ");
            er_change_words(image, 256, out);
        }
    }
    if (n > CONTAINERS_MAX) {
        er_buf_putf(out, "; and %zu more containers", n - CONTAINERS_MAX);
    }
}

static void emit_created(view *v) {
    er_draft draft;
    er_record *rec = &draft.rec;
    fill_change(v, NULL, v->object, &draft);
    v->shown.change = ER_SHOWN_ADDED;
    rec->change.operation = ER_STR("created");
    rec->change.cause = er_tree_text(er_json_get(annotations_of(v->object), CHANGE_CAUSE));
    rec->reason = ER_STR("Created");
    fill_actor(&v->now.newest, rec);
    er_buf_putf(&v->message, "created: replicas %lld", (long long)rec->change.replicas_new);
    put_containers(v->object, &v->message);
    rec->message = er_buf_str(&v->message);
    emit(v, &draft, "");
}

static void emit_deleted(view *v, const er_json *before) {
    er_draft draft;
    bool is_gone = v->look->sight == ER_SIGHT_GONE;
    fill_change(v, before, NULL, &draft);
    v->shown.change = ER_SHOWN_DELETED;
    draft.rec.change.operation = ER_STR("deleted");
    if (!v->past.known) {
        draft.rec.change.generation_old = v->now.generation;
    }
    draft.rec.reason = ER_STR("Deleted");
    er_buf_putf(&v->message, "deleted: replicas %lld%s", (long long)draft.rec.change.replicas_old,
                is_gone ? "; found missing from a list" : "");
    draft.rec.message = er_buf_str(&v->message);
    emit(v, &draft, is_gone ? "gone" : "");
}

/* ---- updated ---- */

static er_str template_annotation(const er_json *object, const char *key) {
    const er_json *template = er_json_path(object, "spec", "template");
    return er_tree_text(er_json_get(er_json_path(template, "metadata", "annotations"), key));
}

static er_str reason_of(const view *v, const er_change *change) {
    const er_json *before = v->past.object;
    const er_json *after = v->object;
    bool was_paused = er_json_is_true(er_json_path(before, "spec", "paused"));
    bool is_paused = er_json_is_true(er_json_path(after, "spec", "paused"));
    if (change->families == (er_families)1 << ER_FAMILY_REPLICAS) {
        return ER_STR("Scaled");
    }
    if (change->image) {
        return ER_STR("ImageChanged");
    }
    if (!er_str_eq(template_annotation(before, RESTARTED), template_annotation(after, RESTARTED))) {
        return ER_STR("Restarted");
    }
    if (was_paused != is_paused) {
        return is_paused ? ER_STR("Paused") : ER_STR("Resumed");
    }
    return ER_STR("Updated");
}

/* The newest entry is the author's also when it owns nothing that changed, as after a removal; but
 * only if it was written since the last look. */
static er_owner actor_of(const view *v, const er_change *change) {
    if (change->owner.known) {
        return change->owner;
    }
    bool is_newer = v->now.newest.time > v->past.managed;
    return is_newer ? v->now.newest : ER_OWNER_NONE;
}

static void emit_updated(view *v, const er_change *change) {
    er_draft draft;
    er_record *rec = &draft.rec;
    fill_change(v, v->past.object, v->object, &draft);
    er_change_part *part = &rec->change;
    er_str cause = er_tree_text(er_json_get(annotations_of(v->object), CHANGE_CAUSE));
    er_str old_cause = er_tree_text(er_json_get(annotations_of(v->past.object), CHANGE_CAUSE));
    er_owner owner = actor_of(v, change);
    er_families_text(change->families, &v->fields);
    part->operation = ER_STR("updated");
    part->fields = er_buf_str(&v->fields);
    part->cause = er_str_eq(cause, old_cause) ? (er_str){0} : cause;
    part->diff = er_buf_str(&change->diff);
    part->patch = er_buf_str(&change->patch);
    part->omitted = (int64_t)change->omitted;
    part->redacted = change->hidden;
    part->truncated = change->cut;
    fill_actor(&owner, rec);
    part->autoscaler = change->replicas && er_owner_is_autoscaler(&owner);
    rec->reason = reason_of(v, change);
    er_change_message(change, &v->message);
    rec->message = er_buf_str(&v->message);
    emit(v, &draft, "");
}

static void expect_rollout(const view *v, bool has_record, er_rollout *rollout) {
    bool is_newer = v->now.newest.time > v->past.managed; /* a removal leaves no entry */
    er_rollout_change change = {.generation = v->now.generation,
                                .time = is_newer ? v->now.newest.time : ER_TIME_NONE};
    if (has_record) {
        (void)make_id(v->now.uid, v->now.version, "", change.id);
    }
    er_rollout_expect(rollout, &change, v->look->object);
}

/* ---- looks ---- */

static er_status parse_now(view *v, er_err *err) {
    er_status status = er_json_parse(&v->now_doc, v->now_text.p, v->now_text.len, err);
    v->object = v->now_doc.root;
    return status;
}

/* The setting was changed since the last look: both objects with secrets hidden, so that their
 * values can be compared, and none comes out. */
static er_status make_alike(view *v, er_err *err) {
    bool is_past = !v->past.redacted;
    er_normal_options options = {true, v->options->key, v->now.uid};
    er_normal_deployment(&options, is_past ? v->past.object : v->look->object, &v->like_text);
    er_status status = er_buf_status(&v->like_text);
    if (status != ER_OK) {
        return er_err_set(err, status, "a Deployment too large to be compared");
    }
    status = er_json_parse(&v->like_doc, v->like_text.p, v->like_text.len, err);
    if (is_past) {
        v->past.object = v->like_doc.root;
    } else {
        v->object = v->like_doc.root;
    }
    return status;
}

static er_status update(view *v, er_rollout *rollout, er_err *err) {
    if (v->past.redacted == v->options->redact && is_unchanged(v)) {
        return ER_OK;
    }
    er_change change;
    er_change_init(&change);
    change.form = v->options->form;
    change.ignore = v->options->ignore;
    change.ignore_n = v->options->ignore_n;
    change.object = v->look->object;
    er_status status = parse_now(v, err);
    if (status == ER_OK && v->past.redacted != v->options->redact) {
        status = make_alike(v, err);
    }
    if (status == ER_OK) {
        status = er_change_gather(&change, v->past.object, v->object, err);
    }
    bool is_wanted = v->options->families == 0 || (change.families & v->options->families) != 0;
    bool has_record = status == ER_OK && change.n > 0 && is_wanted;
    if (status == ER_OK && change.n > 0) {
        v->shown.change = ER_SHOWN_MODIFIED;
        v->shown.families = change.families;
    }
    if (has_record) {
        emit_updated(v, &change);
    }
    if (status == ER_OK && change.touches_template) {
        expect_rollout(v, has_record, rollout);
    }
    er_change_fini(&change);
    return status;
}

/* The generation rises by one with each write of the spec. */
static bool shows_missed(const view *v) {
    int64_t before = v->past.known ? v->past.generation : 0;
    return v->look->sight == ER_SIGHT_LISTED && before >= 0 && v->now.generation > before + 1;
}

/* The present object: what happened to it, and what its rollout does. */
static er_status look_at(view *v, er_rollout *rollout, er_err *err) {
    er_sight sight = v->look->sight;
    bool is_first = !v->past.known && (sight == ER_SIGHT_ADDED || sight == ER_SIGHT_LISTED);
    if (v->now.ignored || sight == ER_SIGHT_BASELINE || (!v->past.known && !is_first)) {
        er_rollout_baseline(rollout, v->look->object);
        return ER_OK;
    }
    *rollout = v->past.rollout;
    v->look->missed = shows_missed(v);
    er_status status = ER_OK;
    if (is_first) {
        status = parse_now(v, err);
        if (status == ER_OK) {
            emit_created(v);
            expect_rollout(v, true, rollout);
        }
    } else {
        status = update(v, rollout, err);
    }
    if (status == ER_OK) {
        er_rollout_look(rollout, v->look->object, v->look->observed, emit_rollout, v);
    }
    return status;
}

static er_status read_present(view *v, er_err *err) {
    const er_json *object = v->look->object;
    const er_json *meta = er_json_get(object, "metadata");
    const er_json *annotations = er_json_get(meta, "annotations");
    v->now = (present){
        .uid = er_json_get_str(meta, "uid"),
        .version = er_json_get_str(meta, "resourceVersion"),
        .name = er_json_get_str(meta, "name"),
        .namespace_ = er_json_get_str(meta, "namespace"),
        .revision = er_json_get_str(annotations, REVISION),
        .generation = er_json_get_count(meta, "generation", -1),
        /* 0 is left out */
        .actual = er_json_get_count(er_json_get(object, "status"), "replicas", 0),
        .newest = er_owner_newest(object),
        .ignored = er_str_eqc(er_json_get_str(annotations, IGNORE), "true"),
    };
    if (v->now.uid.n == 0 || v->now.version.n == 0) {
        return er_err_set(err, ER_E_INVAL, "a Deployment without metadata.%s",
                          v->now.uid.n == 0 ? "uid" : "resourceVersion");
    }
    er_normal_options options = {v->options->redact, v->options->key, v->now.uid};
    er_normal_deployment(&options, object, &v->now_text);
    er_status status = er_buf_status(&v->now_text);
    return status == ER_OK ? ER_OK
                           : er_err_set(err, status, "a Deployment too large to be remembered");
}

/* Room for what is to be remembered is made before anything is said. */
static er_status make_room(view *v, er_err *err) {
    size_t names =
        v->now.uid.n + v->now.version.n + v->now.name.n + v->now.namespace_.n + v->now.revision.n;
    if (er_buf_reserve(v->look->memory, v->now_text.len + 6 * names + HEADER_MAX) == NULL) {
        return er_err_set(err, v->look->memory->bad,
                          "a Deployment of %zu bytes is too large to be remembered",
                          v->now_text.len);
    }
    return ER_OK;
}

static er_status look_present(view *v, er_err *err) {
    er_status status = read_present(v, err);
    if (status != ER_OK) {
        return status;
    }
    if (v->past.known && version_cmp(v->now.version, v->past.version) <= 0) {
        er_buf_put_str(v->look->memory, er_buf_str(&v->past_text));
        return er_buf_status(v->look->memory);
    }
    if (v->look->sight == ER_SIGHT_DELETED) {
        status = parse_now(v, err);
        if (status == ER_OK && !v->now.ignored) {
            emit_deleted(v, v->object);
        }
        return status;
    }
    status = make_room(v, err);
    er_rollout rollout = {0};
    if (status == ER_OK) {
        status = look_at(v, &rollout, err);
    }
    if (status == ER_OK) {
        write_memory(v, &rollout);
    }
    return status;
}

/* What is there, or was when it is remembered only. */
static void show(view *v, const er_json *object, bool is_there) {
    bool is_past = v->look->object == NULL;
    er_deployment_shown *shown = &v->shown;
    shown->uid = is_past ? v->past.uid : v->now.uid;
    shown->name = is_past ? v->past.name : v->now.name;
    shown->namespace_ = is_past ? v->past.namespace_ : v->now.namespace_;
    shown->is_there = is_there;
    if (is_there) {
        shown->desired = replicas_of(object);
        shown->actual = is_past ? v->past.actual : v->now.actual;
        shown->max = max_of(v, object, shown->namespace_, shown->name);
    }
    v->look->saw(v->look->arg, shown);
}

void er_deployment_recall(const er_deployment_options *options, er_look *look) {
    view v = {.options = options, .look = look};
    er_json_doc_init(&v.past_doc);
    er_buf_init(&v.past_text, look->remembered.n + 1);
    read_past(&v);
    if (v.past.known && !v.past.ignored) {
        show(&v, v.past.object, true);
    }
    er_json_doc_fini(&v.past_doc);
    er_buf_fini(&v.past_text);
}

er_status er_deployment_look(const er_deployment_options *options, er_look *look, er_err *err) {
    view v = {.options = options, .look = look};
    er_status status = ER_OK;
    er_json_doc_init(&v.past_doc);
    er_json_doc_init(&v.now_doc);
    er_json_doc_init(&v.like_doc);
    er_buf_init(&v.past_text, look->remembered.n + 1);
    er_buf_init(&v.now_text, NORMAL_MAX);
    er_buf_init(&v.like_text, NORMAL_MAX);
    er_buf_init(&v.message, ER_RECORD_MESSAGE_MAX);
    er_buf_init(&v.fields, 1024);
    read_past(&v);
    look->remembered = er_buf_str(&v.past_text); /* memory may be where it was */
    er_buf_clear(look->memory);
    if (look->sight != ER_SIGHT_GONE) {
        status = look_present(&v, err);
    } else if (v.past.known && !v.past.ignored) {
        emit_deleted(&v, v.past.object);
    }
    if (status == ER_OK && look->saw != NULL && (look->object != NULL || v.past.known)) {
        show(&v, look->object,
             look->object != NULL && look->sight != ER_SIGHT_DELETED && !v.now.ignored);
    }
    if (status != ER_OK) {
        er_buf_clear(look->memory);
        er_buf_put_str(look->memory, er_buf_str(&v.past_text));
    }
    look->remembered = (er_str){0};
    er_json_doc_fini(&v.past_doc);
    er_json_doc_fini(&v.now_doc);
    er_json_doc_fini(&v.like_doc);
    er_buf_fini(&v.past_text);
    er_buf_fini(&v.now_text);
    er_buf_fini(&v.like_text);
    er_buf_fini(&v.message);
    er_buf_fini(&v.fields);
    return status;
}
