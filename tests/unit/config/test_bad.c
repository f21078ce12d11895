/* Bad configurations: tests/unit/config/bad/NAME.yaml must give exactly NAME.err. */
#include "sample.h"

#include <glob.h>

#include "base/file.h"

static void read_file(const char *path, er_buf *out) {
    er_err err = {0};
    er_buf_init(out, 4u << 20);
    if (er_file_read(path, out, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
}

/* The printed problems, with the file's name without its folder. */
static void problems_of(const char *path, er_buf *out) {
    er_problems problems;
    er_problems_init(&problems, strrchr(path, '/') + 1);
    er_buf text;
    read_file(path, &text);
    void *config = NULL;
    assert_int_equal(
        er_config_parse(er_buf_cstr(&text), text.len, &sample_schema, &config, &problems),
        ER_E_CONFIG);
    er_config_free(&sample_schema, config);
    er_buf_init(out, 4u << 20);
    er_problems_print(&problems, out);
    er_problems_fini(&problems);
    er_buf_fini(&text);
}

static void check_one(const char *path) {
    er_buf expected;
    er_buf found;
    char golden[4096];
    (void)snprintf(golden, sizeof golden, "%.*s.err", (int)(strlen(path) - strlen(".yaml")), path);
    read_file(golden, &expected);
    problems_of(path, &found);
    if (strcmp(er_buf_cstr(&expected), er_buf_cstr(&found)) != 0) {
        fail_msg("%s: expected\n%sfound\n%s", path, er_buf_cstr(&expected), er_buf_cstr(&found));
    }
    er_buf_fini(&expected);
    er_buf_fini(&found);
}

#define BAD_FILES_MIN 30

static void test_golden_files(void **state) {
    (void)state;
    glob_t found;
    assert_int_equal(glob(ER_SOURCE_DIR "/tests/unit/config/bad/*.yaml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= BAD_FILES_MIN);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        check_one(found.gl_pathv[i]);
    }
    globfree(&found);
}

/* Each of these is refused, and nothing of the value is shown. */
static void test_secrets_are_never_shown(void **state) {
    (void)state;
    static const char *const texts[] = {
        "token: [hunter2]\n",
        "token: {fil: hunter2}\n",
        "token: {file: a, env: hunter2}\n",
        "token: {env: hunter-2}\n",
        "token: hunter2\ntoken: hunter2\n",
        "tokn: hunter2\n",
        "tokens: [hunter2, {x: hunter2}]\n",
        "password: hunter2\n",
        "token: \"hunter2\n",
        "token: hunter2: x\n",
        "token hunter2\nx: y\n",
        "token: |\n  x\n\thunter2\n",
        "token: |\n  x\n  hunter2\n bad\n",
        "sinks: {a: {type: hook, url: 'http://u:hunter2@h.test', auth: hunter2}}\n",
        "sinks: {a: {type: hook, url: http://h.test/?hunter2 , auth: [hunter2], x: 1}}\n",
        "sinks: {a: {type: hok, url: 'http://u:hunter2@h.test', auth: {bearer: hunter2}}}\n",
        "sinks: {a: {type: hook, auth: {basic: hunter2}}}\n",
        "sinks: {a: {type: hook, auth: {baisc: {username: u, password: hunter2}}}}\n",
        "sinks: {a: {type: hook, auth: {basic: {username: u, passwort: hunter2}}}}\n",
        "sinks: {a: {type: hook, headers: hunter2}}\n",
        "sinks: {a: {type: hook, headers: [hunter2]}}\n",
        "sinks: {a: {type: hook, keys: hunter2}}\n",
        "sinks: {a: {type: hook, keys: {a: hunter2}}}\n",
        "sinks: {a: {type: hook, keys: [[hunter2]]}}\n",
        "sinks: {a: {type: hook, headers: {a b: hunter2}}}\n",
        "sinkz: {a: {type: hook, headers: {a: hunter2}}}\n",
        "sinks: {}\nsinks: {a: {type: hook, auth: {bearer: hunter2}}}\n",
        "sinks: {a: {type: hook, url: 'htp://u:hunter2@h'}}\n",
        ("sinks: {a: {type: hook, url: 'http://u.test:hunt er2@h'}, b: {type: hook, url: "
         "'http://u:hunter2@h.test:0'}}\n"),
        "Authorization: Bearer hunter2\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        er_buf out;
        sample *s = sample_parse(texts[i], &out);
        assert_null(s);
        assert_true(out.len > 0);
        if (strstr(er_buf_cstr(&out), "hunt") != NULL) {
            fail_msg("%s gives\n%s", texts[i], er_buf_cstr(&out));
        }
        er_buf_fini(&out);
    }
}

static void test_many_problems(void **state) {
    (void)state;
    er_problems problems;
    er_problems_init(&problems, "f");
    for (int i = 0; i < 150; i++) {
        er_problems_add(&problems, true, (er_pos){1000 - i, 1}, "p", "w%d", i);
    }
    assert_int_equal(problems.n, 100);
    assert_int_equal(problems.warnings, 150);
    assert_true(problems.v[99].is_warning);
    er_problems_add(&problems, false, (er_pos){2, 1}, "p", "the error");
    assert_int_equal(problems.n, 100);
    assert_int_equal(problems.errors, 1);
    er_buf out;
    er_buf_init(&out, 1u << 20);
    er_problems_print(&problems, &out);
    /* The error took the place of the newest warning kept; the rest is in order. */
    assert_string_equal(problems.v[0].message, "the error");
    assert_string_equal(problems.v[1].message, "w97");
    assert_string_equal(problems.v[98].message, "w0");
    assert_string_equal(problems.v[99].message, "there are more problems than are shown here");
    assert_false(problems.v[99].is_warning);
    assert_memory_equal(er_buf_cstr(&out), "f:2:1: error: p: the error\nf:903:1: warning: p: w97\n",
                        strlen("f:2:1: error: p: the error\nf:903:1: warning: p: w97\n"));
    er_buf_fini(&out);
    er_problems_fini(&problems);
}

/* What a file says cannot change colours or move the cursor of the terminal that shows it. */
static void test_control_characters_are_shown_as_such(void **state) {
    (void)state;
    sample_bad(
        "\"a\\e[31m\\n\\u009bx\": 1\n",
        "x.yaml:1:1: error: unknown key \"a?[31m??x\"; the keys here are cluster, enabled, "
        "verbose, count, most, wait, max, age, size, level, version, token, home, names, words, "
        "range, items, sinks\n"
        "    1 | \"a\\e[31m\\n\\u009bx\": 1\n"
        "      | ^\n");
}

/* Lines end as in libyaml: CR alone, too. */
static void test_old_line_ends(void **state) {
    (void)state;
    sample_bad(
        "enabled: true\rcount: 0\r\nlevel: x\n\rtab:\x01",
        "x.yaml:5:5: error: the control character U+0001 is not allowed; in double quotes it "
        "may be written \"\\u0001\"\n"
        "    5 | tab:?\n"
        "      |     ^\n");
    sample_bad("enabled: true\rcount: 0\r\nlevel: x\n",
               "x.yaml:2:8: error: count: must be between 1 and 100, found 0\n"
               "    2 | count: 0\n"
               "      |        ^\n"
               "x.yaml:3:8: error: level: expected one of debug, info, warning, found \"x\"\n"
               "    3 | level: x\n"
               "      |        ^\n");
}

static void test_long_lines_are_cut(void **state) {
    (void)state;
    char text[512];
    memset(text, '#', sizeof text);
    memcpy(text, "names: [", 8);
    memset(text + 8, 'a', 192);
    memcpy(text + 200, ", b c, ", 7);
    memset(text + 207, 'd', 192);
    memcpy(text + 399, "]\n", 3);
    er_buf out;
    assert_null(sample_parse(text, &out));
    static const char expected[] =
        "x.yaml:1:203: error: names[1]: has a blank\n"
        "    1 | ...aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa, b c, "
        "ddddddddddddddddddddddddddddddddddddddddddddd...\n"
        "      |                                                                          ^\n";
    assert_string_equal(er_buf_cstr(&out), expected);
    er_buf_fini(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_files),
        cmocka_unit_test(test_secrets_are_never_shown),
        cmocka_unit_test(test_many_problems),
        cmocka_unit_test(test_control_characters_are_shown_as_such),
        cmocka_unit_test(test_old_line_ends),
        cmocka_unit_test(test_long_lines_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
