/* Random Deployments: the patch of a change, applied to the old object, gives the new one; and no
 * secret comes out. */
#include "look.h"

#include "base/json_write.h"
#include "record/normal.h"
#include "record/tree.h"

#define ROUNDS 4000

/* ---- a tree that can be changed, and RFC 6902 on it ---- */

typedef struct node {
    er_json_type type;
    char *key;  /* of a member */
    char *text; /* of a scalar: its JSON */
    struct node **v;
    size_t n;
} node;

static void put_at(node *parent, size_t i, node *child) {
    node **grown = realloc(parent->v, (parent->n + 1) * sizeof *grown);
    assert_non_null(grown);
    parent->v = grown;
    memmove(parent->v + i + 1, parent->v + i, (parent->n - i) * sizeof *parent->v);
    parent->v[i] = child;
    parent->n++;
}

static node *node_of(const er_json *json) {
    node *made = er_xcalloc(1, sizeof *made);
    made->type = er_json_type_of(json);
    made->key = er_str_dup(er_json_key(json));
    if (made->type < ER_JSON_ARRAY) {
        er_buf text;
        er_jw w;
        er_buf_init(&text, 1u << 20);
        er_jw_init(&w, &text);
        er_tree_write(&w, json);
        made->text = er_buf_take(&text, NULL);
        return made;
    }
    for (const er_json *m = er_json_first(json); m != NULL; m = er_json_next(m)) {
        put_at(made, made->n, node_of(m));
    }
    return made;
}

static void node_free(node *tree) {
    for (size_t i = 0; i < tree->n; i++) {
        node_free(tree->v[i]);
    }
    free(tree->v);
    free(tree->key);
    free(tree->text);
    free(tree);
}

static node *take_at(node *parent, size_t i) {
    node *taken = parent->v[i];
    parent->n--;
    memmove(parent->v + i, parent->v + i + 1, (parent->n - i) * sizeof *parent->v);
    return taken;
}

/* Where a token of a pointer leads; n when there is no such member. */
static size_t index_of(const node *parent, const char *token) {
    if (parent->type == ER_JSON_ARRAY) {
        char *end;
        size_t i = strtoul(token, &end, 10);
        assert_true(*token != '\0' && *end == '\0' && i <= parent->n);
        return i;
    }
    assert_int_equal(parent->type, ER_JSON_OBJECT);
    size_t i = 0;
    while (i < parent->n && strcmp(parent->v[i]->key, token) != 0) {
        i++;
    }
    return i;
}

/* Follows all tokens but the last, which is left in token. */
static node *parent_of(node *root, const char *pointer, char token[2048]) {
    node *at = root;
    assert_int_equal(pointer[0], '/');
    for (;;) {
        size_t n = 0;
        for (pointer++; *pointer != '\0' && *pointer != '/'; pointer++) {
            bool escaped = *pointer == '~';
            pointer += escaped;
            token[n++] = (char)(!escaped ? *pointer : *pointer == '0' ? '~' : '/');
        }
        token[n] = '\0';
        if (*pointer == '\0') {
            return at;
        }
        size_t i = index_of(at, token);
        assert_true(i < at->n);
        at = at->v[i];
    }
}

static void apply(node *root, const er_json *operation) {
    char token[2048];
    er_str op = er_json_get_str(operation, "op");
    node *parent = parent_of(root, er_json_get_str(operation, "path").p, token);
    size_t i = index_of(parent, token);
    bool is_list = parent->type == ER_JSON_ARRAY;
    node *value = NULL;
    if (er_str_eqc(op, "move")) {
        char from_token[2048];
        node *from = parent_of(root, er_json_get_str(operation, "from").p, from_token);
        size_t at = index_of(from, from_token);
        assert_true(at < from->n);
        value = take_at(from, at);
    } else if (!er_str_eqc(op, "remove")) {
        value = node_of(er_json_get(operation, "value"));
        free(value->key);
        value->key = er_dup(is_list ? "" : token);
    }
    bool adds = er_str_eqc(op, "add") || er_str_eqc(op, "move");
    if (adds && (is_list || i == parent->n)) {
        assert_true(i <= parent->n);
        put_at(parent, i, value);
        return;
    }
    assert_true(i < parent->n); /* what is replaced or removed must be there */
    node_free(take_at(parent, i));
    if (value != NULL) {
        put_at(parent, i, value);
    }
}

/* ---- equality: members have no order, nor have items of these lists, and an empty map is none
 * ---- */

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool has_order(const node *tree) {
    static const char *const free_lists[] = {"containers", "volumes", "ports", "volumeMounts"};
    bool is_free = tree->type == ER_JSON_OBJECT;
    for (size_t i = 0; i < sizeof free_lists / sizeof free_lists[0]; i++) {
        is_free = is_free || strcmp(tree->key, free_lists[i]) == 0;
    }
    return !is_free;
}

static char *canonical(const node *tree) {
    er_buf out;
    er_buf_init(&out, 16u << 20);
    if (tree->type == ER_JSON_OBJECT || tree->type == ER_JSON_ARRAY) {
        bool filled = tree->type == ER_JSON_ARRAY;
        char **parts = er_xcalloc(tree->n + 1, sizeof *parts);
        for (size_t i = 0; i < tree->n; i++) {
            parts[i] = canonical(tree->v[i]);
            filled = filled || parts[i][0] != '\0';
        }
        if (!has_order(tree)) {
            qsort(parts, tree->n, sizeof *parts, by_text);
        }
        er_buf_putf(&out, "%s%c", tree->key, tree->type == ER_JSON_OBJECT ? '{' : '[');
        for (size_t i = 0; i < tree->n; i++) {
            er_buf_puts(&out, parts[i]);
            er_buf_puts(&out, parts[i][0] != '\0' ? "," : "");
            free(parts[i]);
        }
        er_buf_putc(&out, tree->type == ER_JSON_OBJECT ? '}' : ']');
        free(parts);
        if (!filled) {
            er_buf_clear(&out);
            er_buf_puts(&out, "");
        }
    } else {
        er_buf_putf(&out, "%s:%s", tree->key, tree->text);
    }
    return er_buf_take(&out, NULL);
}

/* ---- random Deployments: few values, so that much is equal; no defaults, no equal quantities ----
 */

typedef struct maker {
    uint64_t seed;
    er_jw w;
} maker;

static unsigned pick(maker *m, unsigned n) {
    m->seed ^= m->seed << 13;
    m->seed ^= m->seed >> 7;
    m->seed ^= m->seed << 17;
    return (unsigned)(m->seed >> 33) % n;
}

static const char *pick_text(maker *m) {
    static const char *const texts[] = {"a", "b", "c", "", "é\"\\", "x y"};
    return texts[pick(m, 6)];
}

/* Up to n of the numbers below n, in random order. */
static unsigned some(maker *m, unsigned n, unsigned out[8]) {
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++) {
        if (pick(m, 3) > 0) {
            unsigned at = pick(m, 4) == 0 ? pick(m, count + 1) : count;
            memmove(out + at + 1, out + at, (count - at) * sizeof *out);
            out[at] = i;
            count++;
        }
    }
    return count;
}

static void put_map(maker *m, const char *key) {
    static const char *const keys[] = {"plain", "a/b", "c~d", "e\"f", "g.h/i", "db-password"};
    unsigned chosen[8];
    unsigned n = some(m, 6, chosen);
    if (pick(m, 6) == 0) {
        return;
    }
    er_jw_key(&m->w, key);
    er_jw_object(&m->w);
    for (unsigned i = 0; i < n; i++) {
        er_jw_key_str(&m->w, er_str_of(keys[chosen[i]]));
        er_jw_cstr(&m->w, chosen[i] == 5 ? "planted-1" : pick_text(m));
    }
    er_jw_object_end(&m->w);
}

static void put_name(maker *m, unsigned i) {
    char name[] = {'n', (char)('0' + i), '\0'};
    er_jw_kstr(&m->w, "name", er_str_of(name));
}

static void put_env(maker *m) {
    unsigned chosen[8];
    unsigned n = some(m, 5, chosen);
    er_jw_key(&m->w, "env");
    er_jw_array(&m->w);
    for (unsigned i = 0; i < n; i++) {
        er_jw_object(&m->w);
        put_name(m, chosen[i]);
        if (pick(m, 4) > 0) {
            er_jw_kstr(&m->w, "value", pick(m, 2) > 0 ? ER_STR("planted-2") : ER_STR("planted-3"));
        }
        er_jw_object_end(&m->w);
    }
    er_jw_array_end(&m->w);
}

static void put_ports(maker *m) {
    unsigned chosen[8];
    unsigned n = some(m, 6, chosen);
    er_jw_key(&m->w, "ports");
    er_jw_array(&m->w);
    for (unsigned i = 0; i < n; i++) {
        er_jw_object(&m->w);
        er_jw_kint(&m->w, "containerPort", 80 + chosen[i] / 2);
        er_jw_kstr(&m->w, "protocol", chosen[i] % 2 > 0 ? ER_STR("UDP") : ER_STR("TCP"));
        er_jw_kstr(&m->w, "name", er_str_of(pick_text(m)));
        er_jw_object_end(&m->w);
    }
    er_jw_array_end(&m->w);
}

/* Lists without keys, one within the other. */
static void put_atomic(maker *m, const char *key, unsigned depth) {
    if (key != NULL) {
        er_jw_key(&m->w, key);
    }
    er_jw_array(&m->w);
    for (unsigned n = pick(m, 5); n > 0; n--) {
        if (depth > 0 && pick(m, 3) == 0) {
            put_atomic(m, NULL, depth - 1);
        } else if (depth > 0 && pick(m, 3) == 0) {
            er_jw_object(&m->w);
            er_jw_kstr(&m->w, "key", er_str_of(pick_text(m)));
            er_jw_object_end(&m->w);
        } else {
            er_jw_cstr(&m->w, pick(m, 8) == 0 ? "--db-token=planted-4" : pick_text(m));
        }
    }
    er_jw_array_end(&m->w);
}

static void put_limits(maker *m) {
    static const char *const values[] = {"1", "2", "500m", "1Gi"};
    er_jw_key(&m->w, "resources");
    er_jw_object(&m->w);
    er_jw_key(&m->w, "limits");
    er_jw_object(&m->w);
    er_jw_kstr(&m->w, "cpu", er_str_of(values[pick(m, 4)]));
    if (pick(m, 2) > 0) {
        er_jw_kstr(&m->w, "memory", er_str_of(values[pick(m, 4)]));
    }
    er_jw_object_end(&m->w);
    er_jw_object_end(&m->w);
}

static void put_containers(maker *m, const char *key) {
    unsigned chosen[8];
    unsigned n = some(m, 4, chosen);
    er_jw_key(&m->w, key);
    er_jw_array(&m->w);
    for (unsigned i = 0; i < n; i++) {
        er_jw_object(&m->w);
        put_name(m, chosen[i]);
        er_jw_kstr(&m->w, "image", er_str_of(pick_text(m)));
        if (pick(m, 4) > 0) {
            put_env(m);
        }
        if (pick(m, 2) > 0) {
            put_ports(m);
        }
        if (pick(m, 2) > 0) {
            put_atomic(m, "args", 0);
        }
        if (pick(m, 2) > 0) {
            put_limits(m);
        }
        er_jw_object_end(&m->w);
    }
    er_jw_array_end(&m->w);
}

static char *make(uint64_t seed, const char *version) {
    er_buf out;
    er_buf_init(&out, 1u << 20);
    maker m = {.seed = seed};
    er_jw_init(&m.w, &out);
    er_jw_object(&m.w);
    er_jw_key(&m.w, "metadata");
    er_jw_object(&m.w);
    er_jw_kstr(&m.w, "uid", ER_STR("u"));
    er_jw_kstr(&m.w, "resourceVersion", er_str_of(version));
    put_map(&m, "labels");
    put_map(&m, "annotations");
    er_jw_object_end(&m.w);
    er_jw_key(&m.w, "spec");
    er_jw_object(&m.w);
    er_jw_kint(&m.w, "replicas", 2 + pick(&m, 3));
    er_jw_key(&m.w, "template");
    er_jw_object(&m.w);
    er_jw_key(&m.w, "spec");
    er_jw_object(&m.w);
    put_containers(&m, "containers");
    if (pick(&m, 2) > 0) {
        put_containers(&m, "initContainers");
    }
    if (pick(&m, 2) > 0) {
        put_atomic(&m, "tolerations", 3);
    }
    er_jw_object_end(&m.w);
    er_jw_object_end(&m.w);
    er_jw_object_end(&m.w);
    er_jw_object_end(&m.w);
    return er_buf_take(&out, NULL);
}

/* ---- properties ---- */

static node *normal_of(const char *text) {
    er_json_doc doc;
    er_err err;
    er_buf normal;
    er_buf_init(&normal, 16u << 20);
    er_json_doc_init(&doc);
    char *copy = er_dup(text);
    assert_int_equal(er_json_parse(&doc, copy, strlen(copy), &err), ER_OK);
    er_normal_options options = {.redact = false};
    er_normal_deployment(&options, doc.root, &normal);
    assert_int_equal(er_json_parse(&doc, normal.p, normal.len, &err), ER_OK);
    node *made = node_of(doc.root);
    er_json_doc_fini(&doc);
    er_buf_fini(&normal);
    free(copy);
    return made;
}

static void patch(node *tree, er_buf *record) {
    er_json_doc doc;
    er_err err;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, record->p, record->len, &err), ER_OK);
    const er_json *operations = er_json_path(doc.root, "change", "patch");
    assert_true(er_json_first(operations) != NULL);
    for (const er_json *m = er_json_first(operations); m != NULL; m = er_json_next(m)) {
        apply(tree, m);
    }
    er_json_doc_fini(&doc);
}

static void test_patches(void **state) {
    (void)state;
    size_t changed = 0;
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        looker l;
        looker_init(&l);
        l.options.redact = false;
        l.options.form = ER_CHANGE_BOTH;
        char *before = make(i * 0x9e3779b97f4a7c15ULL, "1");
        char *after = make(i * 0xd1b54a32d192ed03ULL, "2");
        looker_look_text(&l, ER_SIGHT_BASELINE, before);
        looker_look_text(&l, ER_SIGHT_MODIFIED, after);
        assert_int_equal(l.status, ER_OK);
        node *tree = normal_of(before);
        node *wanted = normal_of(after);
        if (l.n > 0) {
            patch(tree, &l.records);
            changed++;
        }
        char *found = canonical(tree);
        char *expected = canonical(wanted);
        if (strcmp(found, expected) != 0) {
            (void)fprintf(stderr, "%s\n%s\n%s%s\n", before, after, er_buf_cstr(&l.records), found);
            fail_msg("round %d", (int)i);
        }
        free(found);
        free(expected);
        node_free(tree);
        node_free(wanted);
        free(before);
        free(after);
        looker_fini(&l);
    }
    assert_true(changed > ROUNDS / 2);
}

static void test_no_secret_comes_out(void **state) {
    (void)state;
    looker l;
    looker_init(&l);
    l.options.form = ER_CHANGE_BOTH;
    for (uint64_t i = 1; i <= ROUNDS / 4; i++) {
        char version[24];
        (void)snprintf(version, sizeof version, "%d", (int)i);
        char *object = make(i * 0x9e3779b97f4a7c15ULL, version);
        static const er_sight sights[] = {ER_SIGHT_MODIFIED, ER_SIGHT_ADDED, ER_SIGHT_LISTED};
        looker_look_text(&l, sights[i % 3], object);
        assert_int_equal(l.status, ER_OK);
        assert_null(memmem(l.memory.p, l.memory.len, "planted", 7));
        free(object);
    }
    looker_look(&l, ER_SIGHT_GONE, NULL);
    assert_true(l.n > ROUNDS / 8);
    assert_null(memmem(l.records.p, l.records.len, "planted", 7));
    looker_fini(&l);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_no_secret_comes_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
