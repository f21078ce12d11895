/* Deployments: pairs with golden records, a recorded watch, rollouts, secrets. */
#include "look.h"

#include "record/input.h"

#define PAIRS 187

/* ---- pairs ---- */

/* Long things that a file of pairs names: @x4096@ is that many letters; "@env500@" that many items
 * of env, "@env500/100@" with every hundredth value changed, "@env500-@" from the last to the
 * first. */
static void put_env(er_buf *out, unsigned n, unsigned every, bool backwards) {
    for (unsigned i = 0; i < n; i++) {
        unsigned k = backwards ? n - 1 - i : i;
        er_buf_putf(out, "%s{\"name\":\"V%u\",\"value\":\"%s%u\"}", i > 0 ? "," : "", k,
                    every > 0 && k % every == 0 ? "changed" : "v", k);
    }
}

static char *expand(const char *text) {
    er_buf out;
    er_buf_init(&out, 16u << 20);
    for (const char *at; (at = strchr(text, '@')) != NULL;) {
        char *end = NULL;
        er_buf_put(&out, text, (size_t)(at - text));
        if (at[1] == 'x') {
            unsigned long n = strtoul(at + 2, &end, 10);
            for (unsigned long i = 0; i < n; i++) {
                er_buf_putc(&out, 'x');
            }
            text = end + 1;
        } else if (strncmp(at, "@env", 4) == 0) {
            unsigned long n = strtoul(at + 4, &end, 10);
            unsigned long every = *end == '/' ? strtoul(end + 1, &end, 10) : 0;
            bool backwards = *end == '-';
            out.len--; /* the quote before, and after */
            put_env(&out, (unsigned)n, (unsigned)every, backwards);
            text = strchr(end, '@') + 2;
        } else {
            er_buf_putc(&out, '@');
            text = at + 1;
        }
    }
    er_buf_puts(&out, text);
    return er_buf_take(&out, NULL);
}

static int64_t max_of_test(void *arg, er_str namespace_, er_str name) {
    assert_str(namespace_, "shop");
    assert_str(name, "web");
    return *(int64_t *)arg;
}

typedef struct settings {
    er_str ignore[4];
    int64_t max;
} settings;

static void set_options(looker *l, const er_json *options, settings *own) {
    er_str form = er_json_get_str(options, "form");
    const er_json *redact = er_json_get(options, "redact");
    l->options.form = er_str_eqc(form, "both")        ? ER_CHANGE_BOTH
                      : er_str_eqc(form, "jsonPatch") ? ER_CHANGE_JSON_PATCH
                                                      : ER_CHANGE_READABLE;
    l->options.redact = redact == NULL || er_json_is_true(redact);
    l->options.ignore = own->ignore;
    for (const er_json *m = er_json_first(er_json_get(options, "ignore")); m != NULL;
         m = er_json_next(m)) {
        own->ignore[l->options.ignore_n++] = er_json_str(m);
    }
    for (const er_json *m = er_json_first(er_json_get(options, "fields")); m != NULL;
         m = er_json_next(m)) {
        er_families family = er_family_of(er_json_str(m));
        assert_int_not_equal(family, 0);
        l->options.families |= family;
    }
    if (er_json_int(er_json_get(options, "max"), &own->max)) {
        l->options.max_replicas = max_of_test;
        l->options.arg = &own->max;
    }
}

/* Baseline, then the second; then the second again, which says nothing more. */
static void look_at_pair(const er_json *pair, er_buf *records) {
    looker l;
    settings own = {.max = -1};
    looker_init(&l);
    set_options(&l, er_json_get(pair, "options"), &own);
    looker_look(&l, ER_SIGHT_BASELINE, er_json_get(pair, "old"));
    assert_int_equal(l.status, ER_OK);
    assert_int_equal(l.n, 0);
    assert_true(!l.options.redact || memmem(l.memory.p, l.memory.len, "planted", 7) == NULL);
    looker_look(&l, ER_SIGHT_MODIFIED, er_json_get(pair, "new"));
    assert_int_equal(l.status, ER_OK);
    assert_true(l.n <= 1);
    assert_true(!l.options.redact || memmem(l.memory.p, l.memory.len, "planted", 7) == NULL);
    assert_null(memmem(er_buf_cstr(&l.records), l.records.len, "planted", 7));
    er_buf_put_str(records, er_buf_str(&l.records));
    size_t n = l.n;
    char *memory = er_str_dup(er_buf_str(&l.memory));
    looker_look(&l, ER_SIGHT_MODIFIED, er_json_get(pair, "new"));
    assert_int_equal(l.n, n);
    assert_string_equal(er_buf_cstr(&l.memory), memory);
    free(memory);
    looker_fini(&l);
}

static void test_pairs(void **state) {
    (void)state;
    er_buf records;
    er_buf_init(&records, 64u << 20);
    char *text = read_file(GOLDEN "deployments/pairs.ndjson");
    er_json_doc doc;
    er_json_doc_init(&doc);
    size_t n = 0;
    char *rest = text;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        char *pair = expand(line);
        er_err err;
        assert_int_equal(er_json_parse(&doc, pair, strlen(pair), &err), ER_OK);
        look_at_pair(doc.root, &records);
        free(pair);
        n++;
    }
    assert_golden(GOLDEN "records/deployment-pairs.ndjson", &records);
    assert_int_equal(n, PAIRS);
    er_json_doc_fini(&doc);
    er_buf_fini(&records);
    free(text);
}

/* ---- a recorded watch ---- */

typedef struct object_memory {
    char uid[64];
    looker looker;
} object_memory;

static er_sight sight_of(er_str type) {
    return er_str_eqc(type, "ADDED")     ? ER_SIGHT_ADDED
           : er_str_eqc(type, "DELETED") ? ER_SIGHT_DELETED
                                         : ER_SIGHT_MODIFIED;
}

static looker *looker_of(object_memory *all, size_t *n, er_str uid) {
    for (size_t i = 0; i < *n; i++) {
        if (er_str_eqc(uid, all[i].uid)) {
            return &all[i].looker;
        }
    }
    assert_true(*n < 8);
    (void)snprintf(all[*n].uid, sizeof all[*n].uid, "%.*s", (int)uid.n, uid.p);
    looker_init(&all[*n].looker);
    all[*n].looker.options.form = ER_CHANGE_BOTH;
    return &all[(*n)++].looker;
}

/* Every frame, and every frame twice: what was seen makes no record. */
static void replay(er_buf *records, unsigned times) {
    object_memory all[8];
    size_t n = 0;
    char *text = read_file(GOLDEN "recordings/deployments.ndjson");
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *rest = text;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        er_err err;
        assert_int_equal(er_json_parse(&doc, line, strlen(line), &err), ER_OK);
        const er_json *object = er_json_get(doc.root, "object");
        er_str type = er_json_get_str(doc.root, "type");
        for (unsigned i = 0; i < times && !er_str_eqc(type, "BOOKMARK"); i++) {
            looker *l = looker_of(all, &n, er_json_get_str(er_json_get(object, "metadata"), "uid"));
            if (i > 0 && er_str_eqc(type, "DELETED")) {
                break;
            }
            looker_look(l, sight_of(type), object);
            assert_int_equal(l->status, ER_OK);
            er_buf_put_str(records, er_buf_str(&l->records));
            er_buf_clear(&l->records);
            assert_null(memmem(l->memory.len > 0 ? l->memory.p : "", l->memory.len, "hunter2", 7));
        }
    }
    for (size_t i = 0; i < n; i++) {
        looker_fini(&all[i].looker);
    }
    er_json_doc_fini(&doc);
    free(text);
}

static void test_recording(void **state) {
    (void)state;
    er_buf once;
    er_buf twice;
    er_buf_init(&once, 64u << 20);
    er_buf_init(&twice, 64u << 20);
    replay(&once, 1);
    replay(&twice, 2);
    assert_golden(GOLDEN "records/deployments.ndjson", &once);
    assert_string_equal(er_buf_cstr(&twice), er_buf_cstr(&once));
    assert_null(strstr(er_buf_cstr(&once), "hunter2"));
    er_buf_fini(&once);
    er_buf_fini(&twice);
}

/* ---- one Deployment, look by look ---- */

typedef struct step {
    er_sight sight;
    int version, generation, observed; /* observed 0: the controller has not seen it */
    const char *image;
    bool paused;
    int updated, total, available; /* of 3 */
    const char
        *condition; /* "True NewReplicaSetAvailable 05": of Progressing, with seconds; NULL: none */
    const char *expected; /* "REASON/version-suffix/version of changeId/duration" each */
    int managed;          /* second of managedFields; 0: the generation's */
} step;

static char *object_of(const step *s) {
    er_buf out;
    er_buf_init(&out, 1u << 16);
    er_buf_putf(
        &out,
        "{\"metadata\":{\"uid\":\"u\",\"name\":\"web\",\"namespace\":\"shop\","
        "\"resourceVersion\":\"%d\",\"generation\":%d,\"managedFields\":[{\"manager\":\"m\","
        "\"time\":\"2026-01-02T03:00:%02dZ\"}]},\"spec\":{\"replicas\":3,%s\"template\":{\"spec\":"
        "{\"containers\":[{\"name\":\"c\",\"image\":\"%s\"}]}}},\"status\":{",
        s->version, s->generation, s->managed > 0 ? s->managed : s->generation,
        s->paused ? "\"paused\":true," : "", s->image);
    if (s->observed > 0) {
        er_buf_putf(&out, "\"observedGeneration\":%d,", s->observed);
    }
    er_buf_putf(&out, "\"updatedReplicas\":%d,\"replicas\":%d,\"availableReplicas\":%d", s->updated,
                s->total, s->available);
    if (s->condition != NULL) {
        char is[16];
        char reason[64];
        int second;
        assert_int_equal(sscanf(s->condition, "%15s %63s %d", is, reason, &second), 3);
        er_buf_putf(&out,
                    ",\"conditions\":[{\"type\":\"Available\",\"status\":\"True\"},{\"type\":"
                    "\"Progressing\",\"status\":\"%s\",\"reason\":\"%s\",\"message\":\"why\","
                    "\"lastUpdateTime\":\"2026-01-02T03:00:%02dZ\"}]",
                    is, reason, second);
    }
    er_buf_puts(&out, "}}");
    return er_buf_take(&out, NULL);
}

/* What a record says, in short. */
static void put_short(const er_json *record, er_buf *out) {
    const er_json *rollout = er_json_get(record, "rollout");
    er_str id = er_json_get_str(record, "id");
    er_str change = er_json_get_str(rollout, "changeId");
    er_buf_putf(out, "%s%s/%s", out->len > 0 ? " " : "", er_json_get_str(record, "reason").p,
                id.p + 2);
    if (rollout != NULL) {
        int64_t duration;
        er_buf_putf(out, "/%s", change.n > 0 ? change.p + 2 : "-");
        if (er_json_int(er_json_get(rollout, "duration"), &duration)) {
            er_buf_putf(out, "/%d", (int)duration);
        }
    }
}

static char *shorts(const looker *l) {
    er_buf out;
    er_json_doc doc;
    er_buf_init(&out, 1u << 16);
    er_buf_puts(&out, "");
    er_json_doc_init(&doc);
    char *text = er_str_dup(er_buf_str(&l->records));
    for (char *line = text, *next; *line != '\0'; line = next) {
        er_err err;
        next = strchr(line, '\n') + 1;
        assert_int_equal(er_json_parse(&doc, line, (size_t)(next - line), &err), ER_OK);
        put_short(doc.root, &out);
    }
    er_json_doc_fini(&doc);
    free(text);
    return er_buf_take(&out, NULL);
}

static void run_steps(const char *name, const step *steps, size_t n) {
    looker l;
    looker_init(&l);
    for (size_t i = 0; i < n; i++) {
        char *object = object_of(&steps[i]);
        er_buf_clear(&l.records);
        if (steps[i].sight == ER_SIGHT_GONE) {
            looker_look(&l, ER_SIGHT_GONE, NULL);
        } else {
            looker_look_text(&l, steps[i].sight, object);
        }
        assert_int_equal(l.status, ER_OK);
        char *found = shorts(&l);
        if (strcmp(found, steps[i].expected) != 0) {
            fail_msg("%s, step %d: %s", name, (int)i, found);
        }
        free(found);
        free(object);
    }
    looker_fini(&l);
}
#define RUN(name, ...)                                                                             \
    run_steps((name), (const step[]){__VA_ARGS__},                                                 \
              sizeof((const step[]){__VA_ARGS__}) / sizeof(step))

#define B                 ER_SIGHT_BASELINE
#define A                 ER_SIGHT_ADDED
#define M                 ER_SIGHT_MODIFIED
#define D                 ER_SIGHT_DELETED
#define L                 ER_SIGHT_LISTED
#define G                 ER_SIGHT_GONE
#define CREATED(second)   "True NewReplicaSetCreated " #second
#define UPDATED(second)   "True ReplicaSetUpdated " #second
#define AVAILABLE(second) "True NewReplicaSetAvailable " #second
#define EXCEEDED(second)  "False ProgressDeadlineExceeded " #second
#define PAUSED(second)    "Unknown DeploymentPaused " #second
#define RESUMED(second)   "Unknown DeploymentResumed " #second

static void test_sights(void **state) {
    (void)state;
    RUN("created, deleted", {A, 1, 1, 0, "a", false, 0, 0, 0, NULL, "Created/1"},
        {D, 2, 1, 0, "a", false, 0, 0, 0, NULL, "Deleted/2"},
        {A, 3, 1, 0, "a", false, 0, 0, 0, NULL, "Created/3"});
    RUN("baseline", {B, 1, 1, 1, "a", false, 3, 3, 3, AVAILABLE(5), ""},
        {M, 2, 2, 1, "b", false, 3, 3, 3, AVAILABLE(5), "ImageChanged/2"});
    RUN("modified, and nothing remembered", {M, 5, 1, 1, "a", false, 3, 3, 3, AVAILABLE(5), ""},
        {M, 6, 2, 1, "b", false, 3, 3, 3, AVAILABLE(5), "ImageChanged/6"});
    RUN("deleted, and nothing remembered", {D, 9, 1, 1, "a", false, 3, 3, 3, NULL, "Deleted/9"});
    RUN("not newer", {B, 100, 1, 1, "a", false, 3, 3, 3, NULL, ""},
        {M, 99, 1, 1, "b", false, 3, 3, 3, NULL, ""}, {M, 100, 1, 1, "b", false, 3, 3, 3, NULL, ""},
        {D, 100, 1, 1, "b", false, 3, 3, 3, NULL, ""},
        {M, 101, 1, 1, "a", false, 3, 3, 3, NULL, ""},
        {M, 1000, 2, 1, "b", false, 3, 3, 3, NULL, "ImageChanged/1000"});
    RUN("added again", {B, 1, 1, 1, "a", false, 3, 3, 3, NULL, ""},
        {A, 2, 2, 1, "b", false, 3, 3, 3, NULL, "ImageChanged/2"});
    RUN("listed",
        {L, 1, 1, 1, "a", false, 3, 3, 3, AVAILABLE(5),
         "Created/1 RolloutStarted/1-rs/1 RolloutComplete/1-rc/1/0"},
        {L, 1, 1, 1, "a", false, 3, 3, 3, AVAILABLE(5), ""},
        {L, 7, 3, 3, "b", false, 3, 3, 3, AVAILABLE(9),
         "ImageChanged/7 RolloutStarted/7-rs/7 RolloutComplete/7-rc/7/0"});
    RUN("gone", {B, 4, 1, 1, "a", false, 3, 3, 3, NULL, ""},
        {G, 0, 0, 0, NULL, false, 0, 0, 0, NULL, "Deleted/4-gone"},
        {G, 0, 0, 0, NULL, false, 0, 0, 0, NULL, ""});
}

static void test_rollouts(void **state) {
    (void)state;
    const step base = {B, 1, 1, 1, "a", false, 3, 3, 3, AVAILABLE(1), ""};
    RUN("complete", base, {M, 2, 2, 1, "b", false, 3, 3, 3, AVAILABLE(1), "ImageChanged/2"},
        {M, 3, 2, 1, "b", false, 3, 3, 3, CREATED(5), ""},
        {M, 4, 2, 2, "b", false, 1, 4, 3, CREATED(5), "RolloutStarted/4-rs/2"},
        {M, 5, 2, 2, "b", false, 3, 4, 3, UPDATED(6), ""},
        {M, 6, 2, 2, "b", false, 3, 3, 2, UPDATED(7), ""},
        {M, 7, 2, 2, "b", false, 3, 3, 3, AVAILABLE(9), "RolloutComplete/7-rc/2/4"},
        {M, 8, 2, 2, "b", false, 3, 3, 2, AVAILABLE(9), ""},
        {M, 9, 2, 2, "b", false, 3, 3, 3, AVAILABLE(9), ""});
    RUN("stuck, then undone", base,
        {M, 2, 2, 1, "b", false, 3, 3, 3, AVAILABLE(1), "ImageChanged/2"},
        {M, 3, 2, 2, "b", false, 1, 4, 3, CREATED(5), "RolloutStarted/3-rs/2"},
        {M, 4, 2, 2, "b", false, 1, 4, 3, EXCEEDED(15), "RolloutStuck/4-rk/2"},
        {M, 5, 2, 2, "b", false, 1, 4, 2, EXCEEDED(15), ""},
        {M, 6, 20, 2, "a", false, 1, 4, 3, EXCEEDED(15), "ImageChanged/6"},
        {M, 7, 20, 20, "a", false, 2, 4, 3, EXCEEDED(15), "RolloutStarted/7-rs/6"},
        {M, 8, 20, 20, "a", false, 3, 3, 3, AVAILABLE(25), "RolloutComplete/8-rc/6/5"});
    RUN("undone by a removal, which leaves no entry: not stuck, and no time is told", base,
        {M, 2, 2, 1, "b", false, 3, 3, 3, AVAILABLE(1), "ImageChanged/2"},
        {M, 3, 2, 2, "b", false, 1, 4, 3, CREATED(5), "RolloutStarted/3-rs/2"},
        {M, 4, 2, 2, "b", false, 1, 4, 3, EXCEEDED(15), "RolloutStuck/4-rk/2", 15},
        {M, 5, 3, 2, "a", false, 1, 4, 3, EXCEEDED(15), "ImageChanged/5", 15},
        {M, 6, 3, 3, "a", false, 2, 4, 3, EXCEEDED(15), "RolloutStarted/6-rs/5", 15},
        {M, 7, 3, 3, "a", false, 3, 3, 3, AVAILABLE(25), "RolloutComplete/7-rc/5", 25});
    RUN("back to a ReplicaSet: started with the change", base,
        {M, 2, 30, 1, "b", false, 3, 3, 3, AVAILABLE(1), "ImageChanged/2"},
        {M, 3, 30, 30, "b", false, 1, 4, 3, AVAILABLE(1), "RolloutStarted/3-rs/2"},
        {M, 4, 30, 30, "b", false, 2, 4, 3, UPDATED(33), ""},
        {M, 5, 30, 30, "b", false, 3, 3, 3, AVAILABLE(34), "RolloutComplete/5-rc/2/4"});
    RUN("stuck, goes on, stuck again", base,
        {M, 2, 2, 2, "b", false, 1, 4, 3, CREATED(5), "ImageChanged/2 RolloutStarted/2-rs/2"},
        {M, 3, 2, 2, "b", false, 1, 4, 3, EXCEEDED(15), "RolloutStuck/3-rk/2"},
        {M, 4, 2, 2, "b", false, 2, 4, 3, UPDATED(16), ""},
        {M, 5, 2, 2, "b", false, 2, 4, 3, EXCEEDED(26), "RolloutStuck/5-rk/2"},
        {M, 6, 2, 2, "b", false, 3, 3, 3, AVAILABLE(30), "RolloutComplete/6-rc/2/25"});
    RUN("one after the other", base,
        {M, 2, 2, 2, "b", false, 1, 4, 3, CREATED(5), "ImageChanged/2 RolloutStarted/2-rs/2"},
        {M, 3, 3, 2, "c", false, 1, 4, 3, CREATED(5), "ImageChanged/3"},
        {M, 4, 4, 2, "d", false, 1, 4, 3, CREATED(5), "ImageChanged/4"},
        {M, 5, 4, 3, "d", false, 1, 4, 3, CREATED(7), "RolloutStarted/5-rs/3"},
        {M, 6, 4, 4, "d", false, 3, 3, 3, AVAILABLE(8),
         "RolloutStarted/6-rs/4 RolloutComplete/6-rc/4/0"});
    RUN("seen together", base, {M, 2, 2, 1, "b", false, 3, 3, 3, AVAILABLE(1), "ImageChanged/2"},
        {M, 3, 3, 1, "c", false, 3, 3, 3, AVAILABLE(1), "ImageChanged/3"},
        {M, 4, 3, 3, "c", false, 1, 4, 3, CREATED(5), "RolloutStarted/4-rs/3"});
    RUN("changed while paused", base,
        {M, 2, 2, 2, "a", true, 3, 3, 3, PAUSED(3), "Paused/2 RolloutPaused/2-rp/-"},
        {M, 3, 3, 3, "b", true, 0, 3, 3, PAUSED(3), "ImageChanged/3"},
        {M, 4, 4, 3, "b", false, 0, 3, 3, PAUSED(3), "Resumed/4"},
        {M, 5, 4, 4, "b", false, 1, 4, 3, RESUMED(6), "RolloutStarted/5-rs/3"},
        {M, 6, 4, 4, "b", false, 3, 3, 3, AVAILABLE(9), "RolloutComplete/6-rc/3/3"});
    RUN("paused in its middle", base,
        {M, 2, 2, 2, "b", false, 1, 4, 3, CREATED(5), "ImageChanged/2 RolloutStarted/2-rs/2"},
        {M, 3, 3, 3, "b", true, 1, 4, 3, PAUSED(6), "Paused/3 RolloutPaused/3-rp/2"},
        {M, 4, 3, 3, "b", true, 3, 3, 3, PAUSED(6), ""},
        {M, 5, 4, 4, "b", false, 1, 4, 3, RESUMED(7), "Resumed/5"},
        {M, 6, 4, 4, "b", false, 3, 3, 3, AVAILABLE(9), "RolloutComplete/6-rc/2/4"});
    RUN("going on at the first look", {B, 1, 2, 2, "a", false, 1, 4, 3, UPDATED(5), ""},
        {M, 2, 2, 2, "a", false, 3, 3, 3, AVAILABLE(9), "RolloutComplete/2-rc/-"});
    RUN("stuck at the first look", {B, 1, 2, 2, "a", false, 1, 4, 3, EXCEEDED(5), ""},
        {M, 2, 2, 2, "a", false, 1, 4, 2, EXCEEDED(5), ""},
        {M, 3, 2, 2, "a", false, 3, 3, 3, AVAILABLE(9), "RolloutComplete/3-rc/-"});
    RUN("paused at the first look", {B, 1, 2, 2, "a", true, 3, 3, 3, PAUSED(5), ""},
        {M, 2, 2, 2, "a", true, 3, 3, 2, PAUSED(5), ""});
    RUN("a template that did not change", base,
        {M, 2, 2, 1, "a", true, 3, 3, 3, AVAILABLE(1), "Paused/2"},
        {M, 3, 3, 3, "a", false, 3, 3, 3, AVAILABLE(1), "Resumed/3"});
}

/* More changes than are kept: the newest are. */
static void test_many_pending(void **state) {
    (void)state;
    step steps[32];
    char images[32][8];
    char expected[32][64];
    for (int i = 0; i < 31; i++) {
        (void)snprintf(images[i], sizeof images[i], "i%u", (unsigned)i % 100);
        (void)snprintf(expected[i], sizeof expected[i], "ImageChanged/%d", i + 1);
        steps[i] =
            (step){i == 0 ? B : M,           i + 1, i + 1, 1, images[i], false, 3, 3, 3, NULL,
                   i == 0 ? "" : expected[i]};
    }
    steps[31] =
        (step){M, 32, 31, 31, images[30], false, 1, 4, 3, CREATED(40), "RolloutStarted/32-rs/31"};
    run_steps("many pending", steps, 32);
}

/* ---- what does not go well ---- */

#define OBJECT(version, labels)                                                                    \
    "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"" version "\",\"labels\":{" labels "}}}"

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *object, *message;
    } rows[] = {
        {"{}", "a Deployment without metadata.uid"},
        {"[]", "a Deployment without metadata.uid"},
        {"{\"metadata\":{\"uid\":\"u\"}}", "a Deployment without metadata.resourceVersion"},
        {"{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":7}}",
         "a Deployment without metadata.resourceVersion"},
    };
    looker l;
    looker_init(&l);
    looker_look_text(&l, ER_SIGHT_BASELINE, OBJECT("1", ""));
    char *memory = er_str_dup(er_buf_str(&l.memory));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        looker_look_text(&l, ER_SIGHT_MODIFIED, rows[i].object);
        assert_int_equal(l.status, ER_E_INVAL);
        assert_string_equal(l.err.msg, rows[i].message);
        assert_string_equal(er_buf_cstr(&l.memory), memory);
    }
    assert_int_equal(l.n, 0);
    free(memory);
    looker_fini(&l);
}

/* No room: nothing is said, and what was remembered stays. */
static void test_no_room(void **state) {
    (void)state;
    looker l;
    looker_init(&l);
    looker_look_text(&l, ER_SIGHT_BASELINE, OBJECT("1", ""));
    char *memory = er_str_dup(er_buf_str(&l.memory));
    l.memory.max = 4096;
    looker_look_text(&l, ER_SIGHT_MODIFIED, OBJECT("2", "\"a\":\"b\""));
    assert_int_equal(l.status, ER_E_LIMIT);
    assert_int_equal(l.n, 0);
    assert_string_equal(er_buf_cstr(&l.memory), memory);
    l.memory.max = 1u << 20;
    looker_look_text(&l, ER_SIGHT_MODIFIED, OBJECT("2", "\"a\":\"b\""));
    assert_int_equal(l.status, ER_OK);
    assert_int_equal(l.n, 1);
    free(memory);
    looker_fini(&l);
}

/* Memory that something else wrote: as if there were none. */
static void test_unreadable_memory(void **state) {
    (void)state;
    static const char *const memories[] = {"x",
                                           "{}",
                                           "[1]",
                                           "{\"uid\":\"u\"}",
                                           "{\"uid\":\"u\",\"version\":\"0\",\"object\":7}",
                                           "{\"uid\":\"u\",\"version\":\"0\""};
    for (size_t i = 0; i < sizeof memories / sizeof memories[0]; i++) {
        looker l;
        looker_init(&l);
        er_buf_puts(&l.memory, memories[i]);
        looker_look_text(&l, ER_SIGHT_MODIFIED, OBJECT("1", ""));
        assert_int_equal(l.status, ER_OK);
        assert_int_equal(l.n, 0);
        looker_look_text(&l, ER_SIGHT_MODIFIED, OBJECT("2", "\"a\":\"b\""));
        assert_int_equal(l.n, 1);
        looker_fini(&l);
    }
}

static void test_opting_out_ends_all(void **state) {
    (void)state;
    static const char ignored[] =
        "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"%d\",\"annotations\":{"
        "\"eventrouter.io/ignore\":\"true\"}}}";
    static const er_sight sights[] = {ER_SIGHT_ADDED, ER_SIGHT_LISTED, ER_SIGHT_MODIFIED,
                                      ER_SIGHT_DELETED};
    looker l;
    looker_init(&l);
    for (int i = 0; i < 4; i++) {
        char object[256];
        (void)snprintf(object, sizeof object, ignored, i + 1);
        looker_look_text(&l, sights[i], object);
        assert_int_equal(l.status, ER_OK);
        assert_int_equal(l.memory.len > 0, sights[i] != ER_SIGHT_DELETED);
    }
    char object[256];
    (void)snprintf(object, sizeof object, ignored, 9);
    looker_look_text(&l, ER_SIGHT_ADDED, object);
    looker_look(&l, ER_SIGHT_GONE, NULL);
    assert_int_equal(l.memory.len, 0);
    assert_int_equal(l.n, 0);
    looker_fini(&l);
}

/* Deeper than anything is: cut, compared, and no stack runs out. */
static void test_deep(void **state) {
    (void)state;
    looker l;
    looker_init(&l);
    l.options.form = ER_CHANGE_BOTH;
    for (int round = 0; round < 2; round++) {
        er_buf object;
        er_buf_init(&object, 1u << 20);
        er_buf_putf(&object, "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"%d\"},\"spec\":",
                    round + 1);
        for (int i = 0; i < 400; i++) {
            er_buf_puts(&object, "{\"a\":[");
        }
        er_buf_puts(&object, "1");
        for (int i = 0; i < 400; i++) {
            er_buf_puts(&object, i == 390 && round == 1 ? "],\"b\":1}" : "]}");
        }
        er_buf_puts(&object, "}");
        looker_look_text(&l, round == 0 ? ER_SIGHT_BASELINE : ER_SIGHT_MODIFIED,
                         er_buf_cstr(&object));
        assert_int_equal(l.status, ER_OK);
        er_buf_fini(&object);
    }
    assert_int_equal(l.n, 1);
    looker_fini(&l);
}

/* Digests depend on the key and on the object, and tell equal values from others. */
static void test_digests(void **state) {
    (void)state;
    static const struct {
        const char *key, *uid, *value;
    } rows[] = {{"k1", "u1", "v1"}, {"k2", "u1", "v1"}, {"k1", "u2", "v1"}, {"k1", "u1", "v2"}};
    char memories[4][2048];
    for (size_t i = 0; i < 4; i++) {
        looker l;
        char object[512];
        looker_init(&l);
        l.options.key = er_str_of(rows[i].key);
        (void)snprintf(
            object, sizeof object,
            "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"1\"},\"spec\":{\"env\":["
            "{\"name\":\"a\",\"value\":\"%s\"}]}}",
            rows[i].uid, rows[i].value);
        looker_look_text(&l, ER_SIGHT_BASELINE, object);
        const char *at = strstr(er_buf_cstr(&l.memory), "\"***\":\"");
        assert_non_null(at);
        (void)snprintf(memories[i], sizeof memories[i], "%.32s", at + 7);
        assert_int_equal(strspn(memories[i], "0123456789abcdef"), 32);
        for (size_t k = 0; k < i; k++) {
            assert_string_not_equal(memories[i], memories[k]);
        }
        looker_fini(&l);
    }
    /* printf 'u1\0v1' | openssl dgst -sha256 -hmac k1 */
    assert_string_equal(memories[0], "2ccebaf118414ea684438436d4a6fd57");
}

/* redactEnv switched on or off between two looks: no change by that alone, and what was hidden or
 * is to be hidden does not come out. */
static void test_redaction_switched(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool first = i % 2 == 0;
        const char *value = i < 2 ? "planted" : "planted-new";
        looker l;
        looker_init(&l);
        l.options.redact = first;
        for (int round = 0; round < 3; round++) {
            char object[512];
            (void)snprintf(
                object, sizeof object,
                "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"%d\",\"labels\":{\"a\":"
                "\"%d\"}},\"spec\":{\"args\":[\"--password=planted\"],\"env\":[{\"name\":\"a\","
                "\"value\":\"%s\"}]}}",
                round + 1, round, round == 0 ? "planted" : value);
            looker_look_text(&l, round == 0 ? ER_SIGHT_BASELINE : ER_SIGHT_MODIFIED, object);
            l.options.redact = !first; /* from the second on */
        }
        assert_int_equal(l.n, 2);
        char *second = strchr(l.records.p, '\n') + 1;
        second[-1] = '\0';
        assert_null(strstr(l.records.p, "planted"));
        bool is_changed = strstr(l.records.p, "\"op\":\"replace\",\"old\":\"***\"") != NULL;
        assert_int_equal(is_changed, i >= 2);
        assert_null(strstr(second, "spec.env"));
        assert_null(strstr(second, "spec.args"));
        looker_fini(&l);
    }
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_recording),
        cmocka_unit_test(test_sights),
        cmocka_unit_test(test_rollouts),
        cmocka_unit_test(test_many_pending),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_no_room),
        cmocka_unit_test(test_unreadable_memory),
        cmocka_unit_test(test_opting_out_ends_all),
        cmocka_unit_test(test_deep),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_redaction_switched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
