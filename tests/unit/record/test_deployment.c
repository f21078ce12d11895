/* Deployments: pairs with golden records, a recorded watch, rollouts, secrets. */
#include "look.h"

#include "record/input.h"

#define PAIRS  187
#define GOLDEN ER_SOURCE_DIR "/tests/golden/"

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
    for (char *line = text, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1;
        next[-1] = '\0';
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
    for (char *line = text, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1; /* every line has one */
        next[-1] = '\0';
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

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
