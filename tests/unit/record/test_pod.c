#include "golden.h"

#include "record/pod.h"
#include "record/read.h"
#include "record/workload.h"

/* ---- a pod as the program would look at it, one object after the other ---- */

typedef struct watcher {
    char *remembered; /* NULL: nothing */
    er_time since;
    bool recovered;
    bool missed;    /* of the last look */
    er_buf out;     /* records, a line each */
    size_t records; /* in all */
} watcher;

static void write_record(void *arg, er_draft *draft) {
    watcher *w = arg;
    put_record(&w->out, draft);
    w->records++;
}

static er_sight sight_of(er_str name) {
    static const char *const names[] = {"BASELINE", "ADDED",  "MODIFIED",
                                        "DELETED",  "LISTED", "GONE"};
    for (unsigned i = 0; i < 6; i++) {
        if (er_str_eqc(name, names[i])) {
            return (er_sight)i;
        }
    }
    fail_msg("unknown sight %.*s", (int)name.n, name.p);
    return ER_SIGHT_GONE;
}

static er_status look_at(watcher *w, er_sight sight, const er_json *object, er_err *err) {
    er_buf memory;
    er_buf_init(&memory, 1u << 20);
    er_look look = {.sight = sight,
                    .object = object,
                    .remembered = er_str_of(w->remembered),
                    .observed = OBSERVED,
                    .since = w->since,
                    .recovered = w->recovered,
                    .arg = w,
                    .emit = write_record,
                    .memory = &memory};
    er_status status = er_pod_look(NULL, &look, err);
    w->missed = look.missed;
    free(w->remembered);
    w->remembered = memory.len > 0 ? er_str_dup(er_buf_str(&memory)) : NULL;
    er_buf_fini(&memory);
    return status;
}

static void watcher_init(watcher *w) {
    *w = (watcher){.since = ER_TIME_NONE};
    er_buf_init(&w->out, 16u << 20);
}

static void watcher_fini(watcher *w) {
    free(w->remembered);
    er_buf_fini(&w->out);
}

/* ---- pairs and longer stories, with their golden records and memories ---- */

static void play_case(const er_json *story, er_buf *out) {
    watcher w;
    watcher_init(&w);
    (void)er_time_parse(er_json_get_str(story, "since"), &w.since);
    w.recovered = er_json_is_true(er_json_get(story, "recovered"));
    er_buf_putf(out, "# %s\n", er_json_get_str(story, "name").p);
    const er_json *frame = er_json_first(er_json_get(story, "frames"));
    assert_non_null(frame);
    for (; frame != NULL; frame = er_json_next(frame)) {
        er_err err;
        er_str sight = er_json_get_str(frame, "sight");
        er_buf_clear(&w.out);
        er_status status = look_at(&w, sight_of(sight), er_json_get(frame, "object"), &err);
        er_buf_put_str(out, er_buf_str(&w.out));
        er_buf_putf(out, "%s: %s%s\n", sight.p,
                    status != ER_OK        ? err.msg
                    : w.remembered == NULL ? "forgotten"
                                           : w.remembered,
                    w.missed ? ", and versions were missed" : "");
    }
    watcher_fini(&w);
}

static void test_cases(void **state) {
    (void)state;
    char *text = read_file(GOLDEN "pods/cases.json");
    er_json_doc doc;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, text, strlen(text), NULL), ER_OK);
    er_buf out;
    er_buf_init(&out, 16u << 20);
    for (const er_json *story = er_json_first(doc.root); story != NULL;
         story = er_json_next(story)) {
        play_case(story, &out);
    }
    assert_golden(GOLDEN "pods/cases.txt", &out);
    er_buf_fini(&out);
    er_json_doc_fini(&doc);
    free(text);
}

/* ---- a real incident ---- */

typedef struct pods {
    char *uid[64];
    watcher of[64];
    size_t n;
} pods;

static watcher *pod_of(pods *p, er_str uid) {
    for (size_t i = 0; i < p->n; i++) {
        if (er_str_eqc(uid, p->uid[i])) {
            return &p->of[i];
        }
    }
    assert_true(p->n < 64);
    p->uid[p->n] = er_str_dup(uid);
    watcher_init(&p->of[p->n]);
    return &p->of[p->n++];
}

/* The frames of pods.ndjson; longest gets the longest memory of a pod. */
static void play_recording(er_buf *out, size_t *longest) {
    char *text = read_file(GOLDEN "recordings/pods.ndjson");
    pods p = {.n = 0};
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *rest = text;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        size_t n = er_json_drop_array(line, strlen(line), "managedFields");
        assert_int_equal(er_json_parse(&doc, line, n, NULL), ER_OK);
        er_str type = er_json_get_str(doc.root, "type");
        const er_json *object = er_json_get(doc.root, "object");
        if (!er_str_eqc(type, "BOOKMARK")) {
            watcher *w = pod_of(&p, er_json_get_str(er_json_get(object, "metadata"), "uid"));
            assert_int_equal(look_at(w, sight_of(type), object, NULL), ER_OK);
            er_buf_put_str(out, er_buf_str(&w->out));
            er_buf_clear(&w->out);
            size_t len = w->remembered == NULL ? 0 : strlen(w->remembered);
            *longest = len > *longest ? len : *longest;
        }
    }
    for (size_t i = 0; i < p.n; i++) {
        free(p.uid[i]);
        watcher_fini(&p.of[i]);
    }
    er_json_doc_fini(&doc);
    free(text);
}

static void test_recording(void **state) {
    (void)state;
    er_buf out;
    er_buf_init(&out, 16u << 20);
    size_t longest = 0;
    play_recording(&out, &longest);
    assert_golden(GOLDEN "records/restarts.ndjson", &out);
    assert_int_equal(longest, strlen("{\"c\":{\"worker\":[7,\"74e6ec76\"]}}"));
    er_buf_fini(&out);
}

/* The Deployment that a ReplicaSet's own ownerReferences name; "" when it is not in the recording.
 */
static er_str recorded_owner(er_json_doc *docs, size_t n, er_str uid) {
    for (size_t i = 0; i < n; i++) {
        const er_json *meta = er_json_path(docs[i].root, "object", "metadata");
        if (er_str_eq(er_json_get_str(meta, "uid"), uid)) {
            return er_json_get_str(er_json_first(er_json_get(meta, "ownerReferences")), "name");
        }
    }
    return (er_str){0};
}

/* What is derived of a pod is what the API server says of its ReplicaSet. */
static void test_derived_owners(void **state) {
    (void)state;
    static er_json_doc sets[256];
    size_t sets_n = 0;
    char *sets_text = read_file(GOLDEN "recordings/replicasets.ndjson");
    char *pods_text = read_file(GOLDEN "recordings/pods.ndjson");
    char *rest = sets_text;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        er_json_doc_init(&sets[sets_n]);
        assert_int_equal(er_json_parse(&sets[sets_n++], line, strlen(line), NULL), ER_OK);
    }
    size_t derived = 0;
    rest = pods_text;
    er_json_doc doc;
    er_json_doc_init(&doc);
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        assert_int_equal(er_json_parse(&doc, line, strlen(line), NULL), ER_OK);
        const er_json *meta = er_json_path(doc.root, "object", "metadata");
        const er_json *refs = er_json_get(meta, "ownerReferences");
        er_workload owner = er_workload_of_pod(refs, er_json_get(meta, "labels"));
        if (owner.derived) {
            er_str set = er_json_get_str(er_json_first(refs), "uid");
            assert_true(er_str_eqc(owner.kind, "Deployment"));
            assert_true(er_str_eq(owner.name, recorded_owner(sets, sets_n, set)));
            derived++;
        }
    }
    assert_int_equal(derived, 252);
    er_json_doc_fini(&doc);
    while (sets_n > 0) {
        er_json_doc_fini(&sets[--sets_n]);
    }
    free(sets_text);
    free(pods_text);
}

/* Canonical JSON, read back and written again, is the same. */
static void test_records_come_back(void **state) {
    (void)state;
    char *text = read_file(GOLDEN "pods/cases.txt");
    size_t records = 0;
    er_buf texts;
    er_buf_init(&texts, 1u << 20);
    char *rest = text;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        if (line[0] != '{') {
            continue;
        }
        char *copy = er_dup(line);
        er_json_doc doc;
        er_json_doc_init(&doc);
        er_draft draft;
        assert_int_equal(er_json_parse(&doc, copy, strlen(copy), NULL), ER_OK);
        assert_int_equal(er_draft_from_json(doc.root, &texts, &draft, NULL), ER_OK);
        er_record *rec = er_record_seal(&draft.rec);
        er_json_doc_fini(&doc); /* the record must not borrow from the tree */
        free(copy);
        er_buf again;
        er_buf_init(&again, 1u << 20);
        er_record_json(rec, &again);
        assert_string_equal(er_buf_cstr(&again), line);
        er_buf_fini(&again);
        er_record_unref(rec);
        records++;
    }
    assert_true(records > 60);
    er_buf_fini(&texts);
    free(text);
}

/* ---- the same from wherever it starts again ---- */

static uint64_t dice;
static unsigned roll(unsigned n) {
    dice = dice * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice >> 33) % n;
}

#define STEPS 40
typedef struct life {
    char *objects[STEPS];
    int64_t restarts; /* that were counted upwards */
    bool fell;
} life;

/* A pod of three containers whose counts rise, jump, stay and at times fall. */
static void live(life *l, bool falls) {
    static const char *const lists[] = {"initContainerStatuses", "containerStatuses",
                                        "ephemeralContainerStatuses"};
    static const char *const states[] = {"{\"running\":{}}", "{\"waiting\":{\"reason\":\"W\"}}",
                                         "{\"terminated\":{\"exitCode\":1}}", "{}"};
    unsigned counts[3] = {0};
    unsigned ends = 0;
    *l = (life){.restarts = 0};
    for (size_t i = 0; i < STEPS; i++) {
        er_buf text;
        er_buf_init(&text, 65536);
        er_buf_puts(&text, "{\"metadata\":{\"uid\":\"u\"},\"status\":{\"phase\":\"Running\"");
        for (unsigned c = 0; c < 3; c++) {
            unsigned rise = i > 0 && roll(3) == 0 ? 1 + roll(3) : 0;
            bool fall = falls && rise == 0 && counts[c] > 0 && roll(8) == 0;
            counts[c] = fall ? roll(counts[c]) : counts[c] + rise;
            l->restarts += rise;
            l->fell = l->fell || fall;
            er_buf_putf(&text, ",\"%s\":[{\"name\":\"c%u\",\"restartCount\":%u,\"state\":%s",
                        lists[c], c, counts[c], states[roll(4)]);
            if (roll(5) > 0) {
                ends += roll(4) > 0;
                er_buf_putf(&text,
                            ",\"lastState\":{\"terminated\":{\"exitCode\":1,"
                            "\"containerID\":\"x://%u\"}}",
                            ends);
            }
            er_buf_puts(&text, "}]");
        }
        er_buf_puts(&text, "}}");
        l->objects[i] = er_buf_take(&text, NULL);
    }
}

static void look_at_text(watcher *w, er_sight sight, const char *object) {
    char *text = er_dup(object);
    er_json_doc doc;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, text, strlen(text), NULL), ER_OK);
    assert_int_equal(look_at(w, sight, doc.root, NULL), ER_OK);
    er_json_doc_fini(&doc);
    free(text);
}

static int64_t deltas(er_str records) {
    int64_t sum = 0;
    const char *at = records.p;
    while (at != NULL && (at = strstr(at, "\"delta\":")) != NULL) {
        at += 8;
        sum += strtol(at, NULL, 10);
    }
    return sum;
}

/* A crash sets memory back to an earlier frame: what follows is the same again, byte for byte. */
static void check_life(const life *l) {
    watcher w;
    watcher_init(&w);
    char *memories[STEPS];
    size_t ends[STEPS];
    for (size_t i = 0; i < STEPS; i++) {
        look_at_text(&w, i == 0 ? ER_SIGHT_BASELINE : ER_SIGHT_MODIFIED, l->objects[i]);
        memories[i] = er_dup(w.remembered);
        ends[i] = w.out.len;
    }
    assert_true(l->fell || deltas(er_buf_str(&w.out)) == l->restarts);
    for (size_t from = 0; from < STEPS; from++) {
        watcher again;
        watcher_init(&again);
        again.remembered = er_dup(memories[from]);
        size_t until = from + roll((unsigned)(STEPS - from));
        for (size_t i = from + 1; i <= until; i++) {
            look_at_text(&again, ER_SIGHT_MODIFIED, l->objects[i]);
        }
        assert_int_equal(again.out.len, ends[until] - ends[from]);
        assert_true(again.out.len == 0 ||
                    memcmp(again.out.p, w.out.p + ends[from], again.out.len) == 0);
        assert_string_equal(again.remembered, memories[until]);
        watcher_fini(&again);
    }
    for (size_t i = 0; i < STEPS; i++) {
        free(memories[i]);
    }
    watcher_fini(&w);
}

/* No two records of a life share an id. */
static void check_ids(const life *l) {
    watcher w;
    watcher_init(&w);
    for (size_t i = 0; i < STEPS; i++) {
        look_at_text(&w, i == 0 ? ER_SIGHT_BASELINE : ER_SIGHT_MODIFIED, l->objects[i]);
    }
    const char *at = er_buf_cstr(&w.out);
    while ((at = strstr(at, "\"id\":\"")) != NULL) {
        const char *end = strchr(at + 6, '"');
        char *id = er_str_dup((er_str){at, (size_t)(end - at) + 1});
        assert_null(strstr(end, id));
        free(id);
        at = end;
    }
    watcher_fini(&w);
}

static void test_same_again(void **state) {
    (void)state;
    dice = 1;
    for (unsigned i = 0; i < 200; i++) {
        life l;
        live(&l, i % 2 == 1);
        check_life(&l);
        if (!l.fell) {
            check_ids(&l);
        }
        for (size_t k = 0; k < STEPS; k++) {
            free(l.objects[k]);
        }
    }
}

/* ---- limits ---- */

static void test_many_containers(void **state) {
    (void)state;
    er_buf text;
    er_buf_init(&text, 1u << 20);
    er_buf_puts(&text, "{\"metadata\":{\"uid\":\"u\"},\"status\":{\"containerStatuses\":[");
    for (unsigned i = 0; i < 300; i++) {
        er_buf_putf(&text, "%s{\"name\":\"c%u\",\"restartCount\":1}", i > 0 ? "," : "", i);
    }
    er_buf_puts(&text, "]}}");
    watcher w;
    watcher_init(&w);
    look_at_text(&w, ER_SIGHT_LISTED, er_buf_cstr(&text));
    assert_int_equal(w.records, 256);
    look_at_text(&w, ER_SIGHT_MODIFIED, er_buf_cstr(&text));
    assert_int_equal(w.records, 256);
    watcher_fini(&w);
    er_buf_fini(&text);
}

/* What another program wrote, or a broken store: a base, and no records. */
static void test_foreign_memory(void **state) {
    (void)state;
    static const char *const foreign[] = {"x",
                                          "[]",
                                          "{\"c\":{\"web\":1}}",
                                          "{\"c\":{\"web\":[-1]}}",
                                          "{\"c\":{\"We b\":[1]}}",
                                          "{\"c\":{\"web\":[1,\"123456789\"]}}",
                                          "{\"c\":{\"web\":[\"1\"]}}",
                                          "{\"c\":{\"web\":[]}}"};
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        watcher w;
        watcher_init(&w);
        w.remembered = er_dup(foreign[i]);
        look_at_text(&w, i % 2 == 0 ? ER_SIGHT_LISTED : ER_SIGHT_MODIFIED,
                     "{\"metadata\":{\"uid\":\"u\"},\"status\":{\"containerStatuses\":[{\"name\":"
                     "\"web\",\"restartCount\":3}]}}");
        assert_int_equal(w.records, 0);
        assert_string_equal(w.remembered, "{\"c\":{\"web\":[3]}}");
        watcher_fini(&w);
    }
}

static void test_memory_limit(void **state) {
    (void)state;
    char text[] =
        "{\"metadata\":{\"uid\":\"u\"},\"status\":{\"containerStatuses\":[{\"name\":\"web\","
        "\"restartCount\":3}]}}";
    er_json_doc doc;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, text, sizeof text - 1, NULL), ER_OK);
    er_buf memory;
    er_buf_init(&memory, 8);
    er_look look = {.sight = ER_SIGHT_BASELINE, .object = doc.root, .memory = &memory};
    assert_int_equal(er_pod_look(NULL, &look, NULL), ER_E_LIMIT);
    er_buf_fini(&memory);
    er_json_doc_fini(&doc);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),          cmocka_unit_test(test_recording),
        cmocka_unit_test(test_derived_owners), cmocka_unit_test(test_records_come_back),
        cmocka_unit_test(test_same_again),     cmocka_unit_test(test_many_containers),
        cmocka_unit_test(test_foreign_memory), cmocka_unit_test(test_memory_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
