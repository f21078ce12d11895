/* Good configurations: every type of field, defaults, positions, and what counts as absent. */
#include "sample.h"

static void assert_pos(er_pos pos, int line, int col) {
    assert_int_equal(pos.line, line);
    assert_int_equal(pos.col, col);
}

static void test_defaults(void **state) {
    (void)state;
    sample *s = er_config_defaults(&sample_schema);
    assert_string_equal(s->cluster, "");
    assert_true(s->enabled);
    assert_false(s->verbose);
    assert_int_equal(s->count, 7);
    assert_int_equal(s->most, -1);
    assert_int_equal(s->wait_ms, 1500);
    assert_int_equal(s->max_ms, 3600000);
    assert_int_equal(s->age_ms, -1);
    assert_int_equal(s->size, 65536);
    assert_int_equal(s->level, 1);
    assert_int_equal(s->version, 0);
    assert_int_equal(s->token.kind, ER_SECRET_UNSET);
    assert_int_equal(s->home.kind, ER_SECRET_UNSET);
    assert_int_equal(s->names.n, 0);
    assert_false(s->names.set);
    assert_int_equal(s->words.n, 2);
    assert_false(s->words.set);
    assert_string_equal(s->words.v[0].s, "one");
    assert_string_equal(s->words.v[1].s, "two three");
    assert_pos(s->words.v[1].pos, 0, 0);
    assert_pos(s->range.pos, 0, 0);
    assert_int_equal(s->range.from, 0);
    assert_int_equal(s->range.to, 5);
    assert_int_equal(s->items.n, 0);
    assert_false(s->sinks.set);
    er_config_free(&sample_schema, s);
}

static const char scalars[] = "# a comment\n"
                              "cluster: 'prod eu1'\n"
                              "enabled: false\n"
                              "verbose: true\n"
                              "count: 100\n"
                              "most: 1\n"
                              "wait: \"2m\"\n"
                              "max: 3h\n"
                              "age: 0\n"
                              "size: 3MiB\n"
                              "level: \"warning\"\n"
                              "version: 1.3\n"
                              "token: {file: /run/secrets/token}\n"
                              "home: https://host.example:8443/a?b=c\n"
                              "names: single\n"
                              "words: [a, 'b c', 5, true]\n"
                              "range: {from: -10, to: 10}\n";

static void test_scalars(void **state) {
    (void)state;
    sample *s = sample_good(scalars);
    assert_string_equal(s->cluster, "prod eu1");
    assert_false(s->enabled);
    assert_true(s->verbose);
    assert_int_equal(s->count, 100);
    assert_int_equal(s->most, 1);
    assert_int_equal(s->wait_ms, 120000);
    assert_int_equal(s->max_ms, 10800000);
    assert_int_equal(s->age_ms, 0);
    assert_int_equal(s->size, 3145728);
    assert_int_equal(s->level, 2);
    assert_int_equal(s->version, 1);
    assert_int_equal(s->token.kind, ER_SECRET_FILE);
    assert_string_equal(s->token.text, "/run/secrets/token");
    assert_int_equal(s->home.kind, ER_SECRET_LITERAL);
    assert_string_equal(s->home.text, "https://host.example:8443/a?b=c");
    assert_int_equal(s->names.n, 1);
    assert_true(s->names.set);
    assert_string_equal(s->names.v[0].s, "single");
    assert_pos(s->names.v[0].pos, 15, 8);
    assert_int_equal(s->words.n, 4);
    assert_string_equal(s->words.v[1].s, "b c");
    assert_string_equal(s->words.v[2].s, "5");
    assert_string_equal(s->words.v[3].s, "true");
    assert_pos(s->words.v[1].pos, 16, 12);
    assert_pos(s->range.pos, 17, 8);
    assert_int_equal(s->range.from, -10);
    assert_int_equal(s->range.to, 10);
    er_config_free(&sample_schema, s);
}

static void test_list(void **state) {
    (void)state;
    sample *s = sample_good("items:\n"
                            "  - name: a\n"
                            "    kinds: [x, y]\n"
                            "    more: {deep: true}\n"
                            "  - {weight: 5, name: b}\n");
    assert_int_equal(s->items.n, 2);
    assert_true(s->items.set);
    assert_pos(s->items.pos, 2, 3);
    const sample_item *items = s->items.v;
    assert_pos(items[0].pos, 2, 5);
    assert_string_equal(items[0].name, "a");
    assert_int_equal(items[0].weight, 1);
    assert_int_equal(items[0].kinds.n, 2);
    assert_string_equal(items[0].kinds.v[1].s, "y");
    assert_true(items[0].more.deep);
    assert_pos(items[1].pos, 5, 5);
    assert_string_equal(items[1].name, "b");
    assert_int_equal(items[1].weight, 5);
    assert_false(items[1].kinds.set);
    assert_false(items[1].more.deep);
    er_config_free(&sample_schema, s);
}

static void test_variants(void **state) {
    (void)state;
    sample *s = sample_good("sinks:\n"
                            "  here:\n"
                            "    type: file\n"
                            "    path: /tmp/x\n"
                            "    records: 3\n"
                            "  there:\n"
                            "    url: {env: URL}\n"
                            "    type: hook\n"
                            "    auth: {basic: {username: u, password: {env: PASS_1}}}\n"
                            "    headers: {X-Tenant: blue, X-Other: {file: f}}\n"
                            "    keys: [{file: k}, {env: K}]\n");
    assert_int_equal(s->sinks.n, 2);
    const er_cfg_variant *v = s->sinks.v;
    assert_string_equal(v[0].name.s, "here");
    assert_pos(v[0].name.pos, 2, 3);
    assert_pos(v[0].pos, 3, 5);
    assert_string_equal(v[0].type, "file");
    assert_null(v[0].user);
    const sample_file *file = v[0].config;
    assert_string_equal(file->path, "/tmp/x");
    assert_int_equal(file->common.records, 3);
    assert_int_equal(file->common.bytes, 1048576);
    assert_string_equal(v[1].type, "hook");
    assert_ptr_equal(v[1].user, hook_rows);
    const sample_hook *hook = v[1].config;
    assert_pos(hook->pos, 7, 5);
    assert_int_equal(hook->common.bytes, 2097152);
    assert_int_equal(hook->url.kind, ER_SECRET_ENV);
    assert_string_equal(hook->url.text, "URL");
    assert_string_equal(hook->auth.basic.username, "u");
    assert_int_equal(hook->auth.basic.password.kind, ER_SECRET_ENV);
    assert_string_equal(hook->auth.basic.password.text, "PASS_1");
    assert_int_equal(hook->auth.bearer.kind, ER_SECRET_UNSET);
    assert_int_equal(hook->headers.n, 2);
    assert_int_equal(hook->keys.n, 2);
    const er_secret_ref *keys = hook->keys.v;
    assert_int_equal(keys[0].kind, ER_SECRET_FILE);
    assert_string_equal(keys[0].text, "k");
    assert_int_equal(keys[1].kind, ER_SECRET_ENV);
    assert_string_equal(keys[1].text, "K");
    const er_cfg_secret *headers = hook->headers.v;
    assert_string_equal(headers[0].name.s, "X-Tenant");
    assert_pos(headers[0].name.pos, 10, 15);
    assert_int_equal(headers[0].value.kind, ER_SECRET_LITERAL);
    assert_string_equal(headers[0].value.text, "blue");
    assert_int_equal(headers[1].value.kind, ER_SECRET_FILE);
    assert_string_equal(headers[1].value.text, "f");
    er_config_free(&sample_schema, s);
}

/* No value is as no key for single values; an empty map is there and has its defaults. */
static void test_nothing_is_absent(void **state) {
    (void)state;
    sample *s = sample_good("cluster:\ncount: ~\nwait: null\ntoken:\nwords:\nnames: []\nrange:\n"
                            "items:\nsinks: {}\n");
    assert_string_equal(s->cluster, "");
    assert_int_equal(s->count, 7);
    assert_int_equal(s->wait_ms, 1500);
    assert_int_equal(s->token.kind, ER_SECRET_UNSET);
    assert_int_equal(s->words.n, 2);
    assert_true(s->names.set);
    assert_int_equal(s->names.n, 0);
    assert_pos(s->range.pos, 7, 1);
    assert_int_equal(s->range.to, 5);
    assert_false(s->items.set);
    assert_true(s->sinks.set);
    er_config_free(&sample_schema, s);
}

static void test_empty_files(void **state) {
    (void)state;
    static const char *const texts[] = {"",    "\n\n", "# nothing\n",           "---\n",
                                        "~\n", "{}\n", "%YAML 1.1\n---\n...\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        sample *s = sample_good(texts[i]);
        assert_int_equal(s->count, 7);
        er_config_free(&sample_schema, s);
    }
}

/* Quotes make a text of what is nothing without them; nothing is expanded. */
static void test_texts_stay_as_they_are(void **state) {
    (void)state;
    er_buf out;
    sample *s =
        sample_parse("cluster: \"~\"\nnames: [\"\", $HOME, '${X}', \"\\u00e9\\x41\"]\n", &out);
    assert_non_null(strstr(er_buf_cstr(&out), "x.yaml:2:13: warning: names[1]: variables are not"));
    assert_non_null(strstr(er_buf_cstr(&out), "x.yaml:2:20: warning: names[2]: variables are not"));
    er_buf_fini(&out);
    assert_string_equal(s->cluster, "~");
    assert_int_equal(s->names.n, 4);
    assert_string_equal(s->names.v[0].s, "");
    assert_string_equal(s->names.v[1].s, "$HOME");
    assert_string_equal(s->names.v[2].s, "${X}");
    assert_string_equal(s->names.v[3].s, "\xc3\xa9"
                                         "A");
    er_config_free(&sample_schema, s);
}

/* A byte order mark and CR LF are fine and move no position; columns count characters. */
static void test_positions_of_odd_files(void **state) {
    (void)state;
    sample *s = sample_good("\xef\xbb\xbfnames: [\xc3\xa9\xe2\x82\xac, b]\r\nwords: c\r\n");
    assert_pos(s->names.v[0].pos, 1, 9);
    assert_pos(s->names.v[1].pos, 1, 13);
    assert_pos(s->words.v[0].pos, 2, 8);
    assert_string_equal(s->words.v[0].s, "c");
    er_config_free(&sample_schema, s);
}

/* A literal is named, and never shown. */
static void test_literal_secrets_are_warned_of(void **state) {
    (void)state;
    er_buf out;
    sample *s =
        sample_parse("token: s3cret\n"
                     "sinks:\n"
                     "  a: {type: hook, url: 'http://h.test', headers: {x-api-key: s3cret, a: b}}\n"
                     "  b: {type: hook, url: 'http://h.test', keys: [s3cret]}\n",
                     &out);
    assert_non_null(s);
    assert_string_equal(
        er_buf_cstr(&out),
        "x.yaml:1:8: warning: token: a secret stands in the file; {file: PATH} or {env: NAME} "
        "keeps "
        "it out of it\n"
        "    1 | token: ***\n"
        "      |        ^\n"
        "x.yaml:3:62: warning: sinks.a.headers.x-api-key: a secret stands in the file; {file: "
        "PATH} "
        "or {env: NAME} keeps it out of it\n"
        "    3 |   a: {type: hook, url: 'http://h.test', headers: {x-api-key: ***, a: ***}}\n"
        "      |                                                              ^\n"
        "x.yaml:4:48: warning: sinks.b.keys[0]: a secret stands in the file; {file: PATH} or {env: "
        "NAME} keeps it out of it\n"
        "    4 |   b: {type: hook, url: 'http://h.test', keys: [***]}\n"
        "      |                                                ^\n");
    assert_string_equal(s->token.text, "s3cret");
    er_buf_fini(&out);
    er_config_free(&sample_schema, s);
}

static void test_files(void **state) {
    (void)state;
    char name[] = "/tmp/er-config-XXXXXX";
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_true(fputs("count: 9\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    er_problems problems;
    er_problems_init(&problems, name);
    void *config = NULL;
    assert_int_equal(er_config_load(name, &sample_schema, &config, &problems), ER_OK);
    assert_int_equal(((sample *)config)->count, 9);
    er_config_free(&sample_schema, config);
    assert_int_equal(remove(name), 0);
    er_problems_fini(&problems);
}

static void test_no_file(void **state) {
    (void)state;
    er_problems problems;
    er_problems_init(&problems, "/nonexistent/x.yaml");
    void *config = &problems;
    assert_int_equal(er_config_load("/nonexistent/x.yaml", &sample_schema, &config, &problems),
                     ER_E_CONFIG);
    assert_null(config);
    er_buf out;
    er_buf_init(&out, 4096);
    er_problems_print(&problems, &out);
    assert_string_equal(er_buf_cstr(&out), "/nonexistent/x.yaml: error: cannot open "
                                           "/nonexistent/x.yaml: No such file or directory\n");
    er_buf_fini(&out);
    er_problems_fini(&problems);
}

/* After errors the rest can still be looked at: names stay, what was bad has its default. */
static void test_what_is_left_after_errors(void **state) {
    (void)state;
    static const char text[] = "count: 0\nlevel: debug\nnames: [~, a, b c, [x]]\nsinks:\n"
                               "  a: {type: nothing}\n  b: 5\n  c: {type: hook}\n";
    er_problems problems;
    er_problems_init(&problems, "x.yaml");
    void *config = NULL;
    assert_int_equal(er_config_parse(text, strlen(text), &sample_schema, &config, &problems),
                     ER_E_CONFIG);
    assert_int_equal(problems.errors, 7);
    const sample *s = config;
    assert_non_null(s);
    void *defaults = er_config_defaults(&sample_schema);
    assert_int_equal(s->count, ((sample *)defaults)->count);
    er_config_free(&sample_schema, defaults);
    assert_int_equal(s->names.n, 4);
    static const bool is_bad[] = {true, false, true, true};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(s->names.v[i].is_bad, is_bad[i]);
    }
    assert_string_equal(s->names.v[1].s, "a");
    const er_cfg_variant *v = s->sinks.v;
    assert_int_equal(s->sinks.n, 3);
    assert_string_equal(v[0].name.s, "a");
    assert_null(v[0].type);
    assert_null(v[0].config);
    assert_string_equal(v[1].name.s, "b");
    assert_null(v[1].config);
    assert_string_equal(v[2].name.s, "c");
    assert_string_equal(v[2].type, "hook");
    assert_non_null(v[2].config);
    er_config_free(&sample_schema, config);
    er_problems_fini(&problems);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_scalars),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_variants),
        cmocka_unit_test(test_nothing_is_absent),
        cmocka_unit_test(test_empty_files),
        cmocka_unit_test(test_texts_stay_as_they_are),
        cmocka_unit_test(test_positions_of_odd_files),
        cmocka_unit_test(test_literal_secrets_are_warned_of),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_what_is_left_after_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
