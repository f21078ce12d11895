#include "unit.h"

#include "base/backoff.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void test_time_round_trip(void **state) {
    (void)state;
    static const struct {
        const char *text, *printed;
        int64_t micros;
    } rows[] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0},
        {"2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z", 1767323045000000},
        {"2026-01-02T03:04:05.123456Z", "2026-01-02T03:04:05.123456Z", 1767323045123456},
        {"2026-01-02T03:04:05.1Z", "2026-01-02T03:04:05.100000Z", 1767323045100000},
        {"2026-01-02T03:04:05.123456789Z", "2026-01-02T03:04:05.123456Z", 1767323045123456},
        {"2026-01-02T05:04:05+02:00", "2026-01-02T03:04:05Z", 1767323045000000},
        {"2026-01-01T22:34:05-04:30", "2026-01-02T03:04:05Z", 1767323045000000},
        {"2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z", 1483228799000000},
        {"2024-02-29t12:00:00z", "2024-02-29T12:00:00Z", 1709208000000000},
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", -62135596800000000},
        {"1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z", -1},
        {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59Z", 253402300799000000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_time t = 0;
        assert_true(er_time_parse(er_str_of(rows[i].text), &t));
        assert_int_equal(t, rows[i].micros);
        char text[ER_TIME_TEXT];
        assert_string_equal(er_time_format(t, text), rows[i].printed);
    }
}

static void test_time_refuses(void **state) {
    (void)state;
    static const char *const bad[] = {
        "",
        "2026-01-02",
        "2026-01-02T03:04:05",
        "2026-13-02T03:04:05Z",
        "2026-02-29T03:04:05Z",
        "2026-01-32T03:04:05Z",
        "2026-01-02T24:04:05Z",
        "2026-01-02T03:60:05Z",
        "2026-01-02T03:04:61Z",
        "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05Zx",
        "2026-01-02T03:04:05+24:00",
        "2026-1-2T03:04:05Z",
        "20260102T030405Z",
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        er_time t;
        assert_false(er_time_parse(er_str_of(bad[i]), &t));
    }
    er_time t; /* a NUL is none of the separators */
    assert_false(er_time_parse(ER_STR("2026\00001-02T03:04:05Z"), &t));
    assert_false(er_time_parse(ER_STR("2026-01-02T03:04:05\0"), &t));
}

static void test_buffer_limit_is_sticky(void **state) {
    (void)state;
    er_buf buf;
    er_buf_init(&buf, 5);
    er_buf_puts(&buf, "abc");
    er_buf_puts(&buf, "def");
    er_buf_puts(&buf, "g");
    assert_int_equal(er_buf_status(&buf), ER_E_LIMIT);
    assert_str(er_buf_str(&buf), "abc");
    er_buf_clear(&buf);
    er_buf_puts(&buf, "12345");
    assert_int_equal(er_buf_status(&buf), ER_OK);
    assert_str(er_buf_str(&buf), "12345");
    er_buf_fini(&buf);
}

static void assert_quoted(er_str in, const char *expected) {
    er_buf out;
    er_buf_init(&out, 4096);
    er_json_quote(&out, in);
    assert_str(er_buf_str(&out), expected);
    er_buf_fini(&out);
}

static void test_json_quote(void **state) {
    (void)state;
    assert_quoted(ER_STR("a\"b\\c\n\r\t\x01\x1f"), "\"a\\\"b\\\\c\\n\\r\\t\\u0001\\u001f\"");
    assert_quoted(ER_STR("\0"), "\"\\u0000\"");
    assert_quoted(ER_STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82"),
                  "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82\"");
    assert_quoted(ER_STR("a\xff\xfe"), "\"a\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted(ER_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted(ER_STR("\xc0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted(ER_STR("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_quoted(ER_STR("\x7f"), "\"\x7f\"");
}

static void test_json_writer_commas(void **state) {
    (void)state;
    er_buf out;
    er_buf_init(&out, 4096);
    er_jw w;
    er_jw_init(&w, &out);
    er_jw_object(&w);
    er_jw_kint(&w, "a", INT64_MIN);
    er_jw_key(&w, "b");
    er_jw_array(&w);
    er_jw_int(&w, 0);
    er_jw_object(&w);
    er_jw_object_end(&w);
    er_jw_array(&w);
    er_jw_array_end(&w);
    er_jw_null(&w);
    er_jw_array_end(&w);
    er_jw_kstr_opt(&w, "c", (er_str){0});
    er_jw_kbool(&w, "d", true);
    er_jw_object_end(&w);
    assert_str(er_buf_str(&out), "{\"a\":-9223372036854775808,\"b\":[0,{},[],null],\"d\":true}");
    er_buf_fini(&out);
}

static void test_json_read_nul(void **state) {
    (void)state;
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_err err;
    char text[] = "{\"a\":\"x\\u0000y\",\"b\":\"\\\\u0000\"}";
    assert_int_equal(er_json_parse(&doc, text, strlen(text), &err), ER_OK);
    assert_str(er_json_get_str(doc.root, "a"), "x\xef\xbf\xbdy");
    assert_str(er_json_get_str(doc.root, "b"), "\\u0000");
    char raw[] = "{\"a\":\"x\0y\"}";
    assert_int_equal(er_json_parse(&doc, raw, sizeof raw - 1, &err), ER_E_INVAL);
    assert_string_equal(err.msg, "not JSON: a NUL byte at offset 7");
    char more[] = "{} {}";
    assert_int_equal(er_json_parse(&doc, more, strlen(more), &err), ER_E_INVAL);
    assert_null(doc.root);
    er_json_doc_fini(&doc);
}

static void test_json_read_depth(void **state) {
    (void)state;
    er_json_doc doc;
    er_json_doc_init(&doc);
    for (size_t levels = 999; levels <= 1001; levels++) {
        char text[2100];
        memset(text, '[', levels);
        memset(text + levels, ']', levels);
        er_status status = er_json_parse(&doc, text, levels * 2, NULL);
        assert_int_equal(status, levels <= 1000 ? ER_OK : ER_E_INVAL);
    }
    er_json_doc_fini(&doc);
}

static void test_json_integers(void **state) {
    (void)state;
    er_json_doc doc;
    er_json_doc_init(&doc);
    char text[] = "[1, -5, 1.5, 9007199254740993, 1e300, \"1\", true]";
    assert_int_equal(er_json_parse(&doc, text, strlen(text), NULL), ER_OK);
    static const bool usable[] = {true, true, false, true, false, false, false};
    const er_json *item = er_json_first(doc.root);
    for (size_t i = 0; i < 7; i++, item = er_json_next(item)) {
        int64_t v;
        assert_int_equal(er_json_int(item, &v), usable[i]);
    }
    er_json_doc_fini(&doc);
}

static void test_utf8_cut(void **state) {
    (void)state;
    er_str euro = ER_STR("ab\xe2\x82\xac");
    assert_int_equal(er_utf8_cut(euro, 5), 5);
    assert_int_equal(er_utf8_cut(euro, 4), 2);
    assert_int_equal(er_utf8_cut(euro, 3), 2);
    assert_int_equal(er_utf8_cut(euro, 2), 2);
    assert_int_equal(er_utf8_cut(euro, 0), 0);
}

static void test_parse_u64(void **state) {
    (void)state;
    uint64_t v;
    assert_true(er_parse_u64(ER_STR("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_false(er_parse_u64(ER_STR("18446744073709551616"), &v));
    assert_false(er_parse_u64(ER_STR(""), &v));
    assert_false(er_parse_u64(ER_STR("1a"), &v));
    assert_false(er_parse_u64(ER_STR("-1"), &v));
}

static void test_distance(void **state) {
    (void)state;
    assert_int_equal(er_str_distance(ER_STR("url"), ER_STR("url")), 0);
    assert_int_equal(er_str_distance(ER_STR("ulr"), ER_STR("url")), 1);
    assert_int_equal(er_str_distance(ER_STR("sinkz"), ER_STR("sinks")), 1);
    assert_int_equal(er_str_distance(ER_STR("idletimeout"), ER_STR("idleTimeout")), 0);
    assert_int_equal(er_str_distance(ER_STR(""), ER_STR("abc")), 3);
    assert_int_equal(er_str_distance(ER_STR("kitten"), ER_STR("sitting")), 3);
    char text[65];
    memset(text, 'x', sizeof text);
    assert_int_equal(er_str_distance((er_str){text, 65}, ER_STR("x")), 64);
}

static void test_backoff_bounds(void **state) {
    (void)state;
    for (int round = 0; round < 200; round++) {
        er_backoff b;
        er_backoff_init(&b, 100, 1000);
        static const int64_t limits[] = {100, 200, 400, 800, 1000, 1000};
        for (size_t i = 0; i < 6; i++) {
            int64_t wait = er_backoff_next(&b, -1);
            assert_in_range(wait, limits[i] / 2, limits[i]);
        }
        assert_int_equal(er_backoff_next(&b, 7000), 7000);
        er_backoff_reset(&b);
        assert_in_range(er_backoff_next(&b, 0), 50, 100);
    }
}

static char *write_file(const char *text) {
    static char path[] = "/tmp/er-test-secret-XXXXXX";
    memcpy(path + strlen(path) - 6, "XXXXXX", 6);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    return path;
}

static void rewrite(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void test_secret_file_changes(void **state) {
    (void)state;
    char *path = write_file("one\n");
    er_secret_ref ref = {.kind = ER_SECRET_FILE, .text = path};
    er_secret *secret;
    er_err err;
    assert_int_equal(er_secret_new(&ref, "x.y", &secret, &err), ER_OK);
    assert_str(er_secret_get(secret), "one");
    rewrite(path, "second\n");
    er_secret_expire(secret);
    assert_str(er_secret_get(secret), "second");
    assert_int_equal(er_secret_generation(secret), 2);
    assert_false(er_secret_renew(secret));
    rewrite(path, "the third\n");
    assert_true(er_secret_renew(secret));
    assert_str(er_secret_get(secret), "the third");
    rewrite(path, "second\n");
    assert_true(er_secret_renew(secret));
    assert_int_equal(unlink(path), 0);
    assert_false(er_secret_renew(secret));
    er_secret_expire(secret);
    assert_str(er_secret_get(secret), "second"); /* gone: the old value stays */
    er_secret_free(secret);
}

static void test_secret_errors(void **state) {
    (void)state;
    er_secret *secret;
    er_err err;
    er_secret_ref missing = {.kind = ER_SECRET_FILE, .text = (char[]){"/nonexistent/secret"}};
    assert_int_equal(er_secret_new(&missing, "a.b", &secret, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "a.b: cannot open /nonexistent/secret: No such file or directory");
    er_secret_ref unset = {.kind = ER_SECRET_ENV, .text = (char[]){"ER_TEST_SURELY_UNSET"}};
    assert_int_equal(er_secret_new(&unset, "a.b", &secret, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "a.b: environment variable ER_TEST_SURELY_UNSET is not set");
    char *path = write_file("\n");
    er_secret_ref empty = {.kind = ER_SECRET_FILE, .text = path};
    assert_int_equal(er_secret_new(&empty, "a.b", &secret, &err), ER_E_CONFIG);
    (void)unlink(path);
    er_secret_ref directory = {.kind = ER_SECRET_FILE, .text = (char[]){"/tmp"}};
    assert_int_equal(er_secret_new(&directory, "a.b", &secret, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "a.b: /tmp is not a regular file");
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_round_trip),
        cmocka_unit_test(test_time_refuses),
        cmocka_unit_test(test_buffer_limit_is_sticky),
        cmocka_unit_test(test_json_quote),
        cmocka_unit_test(test_json_writer_commas),
        cmocka_unit_test(test_json_read_nul),
        cmocka_unit_test(test_json_read_depth),
        cmocka_unit_test(test_json_integers),
        cmocka_unit_test(test_utf8_cut),
        cmocka_unit_test(test_parse_u64),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_backoff_bounds),
        cmocka_unit_test(test_secret_file_changes),
        cmocka_unit_test(test_secret_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
