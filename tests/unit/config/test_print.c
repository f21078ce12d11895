/* What is made from rows: YAML that loads again, the reference, the JSON Schema. */
#include "config/config_priv.h"

#include "sample.h"

#include "base/file.h"

static const char full[] = "cluster: \"a: b # \\u2028\\u202e \\x07 \\\"\\\\\"\n"
                           "enabled: false\n"
                           "count: 99\n"
                           "most: 12\n"
                           "wait: 90s\n"
                           "max: 36h\n"
                           "age: 61m\n"
                           "size: 1536KiB\n"
                           "level: debug\n"
                           "version: \"1.3\"\n"
                           "token: {env: TOKEN}\n"
                           "home: http://h.test/\n"
                           "names: ['', yes, ~x, '~', \"0.0.0.0:80\", a:b, '-', '*']\n"
                           "words: []\n"
                           "range: {from: -3}\n"
                           "items:\n"
                           "  - {name: a, kinds: [x, y], more: {deep: true}}\n"
                           "  - {name: b, kinds: []}\n"
                           "sinks:\n"
                           "  here: {type: file, path: /tmp/x, records: 3}\n"
                           "  there:\n"
                           "    type: hook\n"
                           "    url: {file: /x y}\n"
                           "    auth: {basic: {username: u, password: {env: P}}}\n"
                           "    headers: {X-Tenant: {file: /t}}\n"
                           "    keys: [{file: /k}, {env: K}]\n";

static const char printed[] = "cluster: \"a: b # \\u2028\\u202e \\x07 \\\"\\\\\"\n"
                              "enabled: false\n"
                              "verbose: false\n"
                              "count: 99\n"
                              "most: 12\n"
                              "wait: 90s\n"
                              "max: 36h\n"
                              "age: 61m\n"
                              "size: 1536KiB\n"
                              "level: debug\n"
                              "version: \"1.3\"\n"
                              "token: {env: TOKEN}\n"
                              "home: http://h.test/\n"
                              "names:\n"
                              "  - \"\"\n"
                              "  - \"yes\"\n"
                              "  - \"~x\"\n"
                              "  - \"~\"\n"
                              "  - \"0.0.0.0:80\"\n"
                              "  - a:b\n"
                              "  - \"-\"\n"
                              "  - \"*\"\n"
                              "words: []\n"
                              "range:\n"
                              "  from: -3\n"
                              "  to: 5\n"
                              "items:\n"
                              "  - name: a\n"
                              "    weight: 1\n"
                              "    kinds:\n"
                              "      - x\n"
                              "      - \"y\"\n"
                              "    more:\n"
                              "      deep: true\n"
                              "  - name: b\n"
                              "    weight: 1\n"
                              "    kinds: []\n"
                              "    more:\n"
                              "      deep: false\n"
                              "sinks:\n"
                              "  here:\n"
                              "    type: file\n"
                              "    records: 3\n"
                              "    bytes: 1MiB\n"
                              "    path: /tmp/x\n"
                              "  there:\n"
                              "    type: hook\n"
                              "    records: 10\n"
                              "    bytes: 2MiB\n"
                              "    url: {file: \"/x y\"}\n"
                              "    auth:\n"
                              "      basic:\n"
                              "        username: u\n"
                              "        password: {env: P}\n"
                              "    headers:\n"
                              "      X-Tenant: {file: /t}\n"
                              "    keys:\n"
                              "      - {file: /k}\n"
                              "      - {env: K}\n";

static void print(const sample *s, er_buf *out) {
    er_buf_init(out, 1u << 20);
    er_config_print(&sample_schema, s, out);
    assert_int_equal(er_buf_status(out), ER_OK);
}

/* Text by text, so that nothing compares equal that prints equal by mistake. */
static void assert_same(const sample *a, const sample *b) {
    assert_string_equal(a->cluster, b->cluster);
    assert_int_equal(a->most, b->most);
    assert_int_equal(a->age_ms, b->age_ms);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->names.n, b->names.n);
    for (size_t i = 0; i < a->names.n; i++) {
        assert_string_equal(a->names.v[i].s, b->names.v[i].s);
    }
    assert_int_equal(a->names.set, b->names.set);
    assert_int_equal(a->words.n, b->words.n);
    assert_int_equal(a->items.n, b->items.n);
    assert_int_equal(a->items.set, b->items.set);
    assert_int_equal(a->sinks.n, b->sinks.n);
    assert_int_equal(a->token.kind, b->token.kind);
}

static void check_round_trip(const char *text, const char *expected) {
    sample *first = sample_good(text);
    er_buf out;
    er_buf again;
    print(first, &out);
    assert_string_equal(er_buf_cstr(&out), expected);
    sample *second = sample_good(er_buf_cstr(&out));
    assert_same(first, second);
    print(second, &again);
    assert_string_equal(er_buf_cstr(&again), expected);
    er_config_free(&sample_schema, first);
    er_config_free(&sample_schema, second);
    er_buf_fini(&out);
    er_buf_fini(&again);
}

static void test_everything_set(void **state) {
    (void)state;
    check_round_trip(full, printed);
}

/* What has no value is left out; what is required inside a map that is not there, too. */
static void test_nothing_set(void **state) {
    (void)state;
    check_round_trip("sinks: {a: {type: hook, url: http://h.test}}", "cluster: \"\"\n"
                                                                     "enabled: true\n"
                                                                     "verbose: false\n"
                                                                     "count: 7\n"
                                                                     "wait: 1500ms\n"
                                                                     "max: 1h\n"
                                                                     "size: 64KiB\n"
                                                                     "level: info\n"
                                                                     "version: \"1.2\"\n"
                                                                     "words:\n"
                                                                     "  - one\n"
                                                                     "  - \"two three\"\n"
                                                                     "range:\n"
                                                                     "  from: 0\n"
                                                                     "  to: 5\n"
                                                                     "sinks:\n"
                                                                     "  a:\n"
                                                                     "    type: hook\n"
                                                                     "    records: 10\n"
                                                                     "    bytes: 2MiB\n"
                                                                     "    url: http://h.test\n");
}

/* Literals of secrets are masked; the masked form loads. */
/* A map that says something by standing there is printed only when it does. */
static void test_a_map_that_is_a_switch(void **state) {
    (void)state;
    typedef struct {
        er_pos pos;
        int64_t n;
    } room;
    static const er_field room_rows[] = {
        ER_FIELD_POS(room, pos),
        {.key = "doors", .type = ER_FIELD_INT, .offset = offsetof(room, n), .def = "3"},
        {.key = NULL},
    };
    static const er_field rows[] = {
        {.key = "room", .type = ER_FIELD_STRUCT, .flags = ER_FIELD_UNSET, .rows = room_rows},
        {.key = NULL},
    };
    static const er_schema schema = {.title = "t", .rows = rows, .size = sizeof(room)};
    static const char *const texts[][2] = {
        {"{}", ""}, {"room: {}\n", "room:\n  doors: 3\n"}, {"room:\n", "room:\n  doors: 3\n"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        void *config;
        er_problems problems;
        er_problems_init(&problems, "t.yaml");
        assert_int_equal(
            er_config_parse(texts[i][0], strlen(texts[i][0]), &schema, &config, &problems), ER_OK);
        er_buf out;
        er_buf_init(&out, 1024);
        er_config_print(&schema, config, &out);
        assert_string_equal(er_buf_cstr(&out), texts[i][1]);
        er_buf_fini(&out);
        er_config_free(&schema, config);
        er_problems_fini(&problems);
    }
}

static void test_secrets_are_masked(void **state) {
    (void)state;
    er_buf out;
    sample *s = sample_parse("token: hunter2\n"
                             "home: https://u:hunter2@host.example:1/p?k=hunter2\n"
                             "sinks: {a: {type: hook, url: http://h.test, headers: {a: hunter2},"
                             " keys: [hunter2]}}\n",
                             &out);
    assert_non_null(s);
    er_buf_fini(&out);
    print(s, &out);
    assert_null(strstr(er_buf_cstr(&out), "hunter2"));
    assert_non_null(strstr(er_buf_cstr(&out), "\ntoken: \"***\"\n"));
    assert_non_null(strstr(er_buf_cstr(&out), "\nhome: \"https://***@host.example:1/p?***\"\n"));
    assert_non_null(strstr(er_buf_cstr(&out), "\n      a: \"***\"\n"));
    assert_non_null(strstr(er_buf_cstr(&out), "\n      - \"***\"\n"));
    er_config_free(&sample_schema, s);
    er_buf problems;
    s = sample_parse(er_buf_cstr(&out), &problems);
    assert_non_null(s);
    er_config_free(&sample_schema, s);
    er_buf_fini(&problems);
    er_buf_fini(&out);
}

static void test_numbers(void **state) {
    (void)state;
    static const struct {
        er_field_type type;
        int64_t v;
        const char *text;
    } cases[] = {
        {ER_FIELD_INT, 0, "0"},
        {ER_FIELD_INT, -5, "-5"},
        {ER_FIELD_INT, INT64_MAX, "9223372036854775807"},
        {ER_FIELD_DURATION, 0, "0"},
        {ER_FIELD_DURATION, 1, "1ms"},
        {ER_FIELD_DURATION, 1001, "1001ms"},
        {ER_FIELD_DURATION, 90000, "90s"},
        {ER_FIELD_DURATION, 120000, "2m"},
        {ER_FIELD_DURATION, 86400000, "24h"},
        {ER_FIELD_SIZE, 0, "0"},
        {ER_FIELD_SIZE, 1023, "1023"},
        {ER_FIELD_SIZE, 1536, "1536"},
        {ER_FIELD_SIZE, 65536, "64KiB"},
        {ER_FIELD_SIZE, 3 << 20, "3MiB"},
        {ER_FIELD_SIZE, INT64_C(1) << 40, "1024GiB"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        er_buf out;
        er_buf_init(&out, 64);
        er_number_print(cases[i].type, cases[i].v, &out);
        assert_string_equal(er_buf_cstr(&out), cases[i].text);
        er_node node = {.plain = true, .text = er_buf_str(&out)};
        const er_field field = {.type = cases[i].type, .min = -5, .max = INT64_MAX};
        int64_t back = 99;
        er_err err;
        assert_int_equal(er_value_parse(&field, &node, &back, &err), ER_OK);
        assert_true(back == cases[i].v);
        er_buf_fini(&out);
    }
}

static void check_golden(const char *name, const er_buf *made) {
    er_buf expected;
    er_err err = {0};
    char path[1024];
    er_buf_init(&expected, 1u << 20);
    (void)snprintf(path, sizeof path, ER_SOURCE_DIR "/tests/unit/config/%s", name);
    if (er_file_read(path, &expected, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(made->bad, ER_OK);
    assert_string_equal(made->p, er_buf_cstr(&expected));
    er_buf_fini(&expected);
}

static void test_reference(void **state) {
    (void)state;
    er_buf out;
    er_buf_init(&out, 1u << 20);
    er_config_reference(&sample_schema, "All there is.\n", &out);
    check_golden("sample.reference.md", &out);
    er_buf_fini(&out);
}

static void test_json_schema(void **state) {
    (void)state;
    er_buf out;
    er_buf_init(&out, 1u << 20);
    er_config_json_schema(&sample_schema, "https://eventrouter.io/sample.json", &out);
    er_buf_putc(&out, '\n');
    check_golden("sample.schema.json", &out);
    er_buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_set),
        cmocka_unit_test(test_nothing_set),
        cmocka_unit_test(test_a_map_that_is_a_switch),
        cmocka_unit_test(test_secrets_are_masked),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_reference),
        cmocka_unit_test(test_json_schema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
