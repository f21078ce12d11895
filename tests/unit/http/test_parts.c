/* The pure parts of core/http, and settings. */
#include "unit.h"

#include "http/base64.h"
#include "http/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void test_retry_after(void **state) {
    (void)state;
    er_time now; /* 30 s before the date that the rows name */
    assert_true(er_time_parse(ER_STR("1994-11-06T08:49:07Z"), &now));
    static const struct {
        const char *value;
        int64_t ms;
    } rows[] = {
        {"0", 0},
        {"1", 1000},
        {"007", 7000},
        {" 120 \r\n", 120000},
        {"299", 299000},
        {"300", 300000},
        {"301", 300000},
        {"18446744073709551615", 300000},
        {"99999999999999999999999999", 300000},
        {"Sun, 06 Nov 1994 08:49:37 GMT", 30000},
        {"Sun, 06 Nov 1994 08:49:07 GMT", 0},
        {"Sun, 06 Nov 1994 08:49:06 GMT", 0},
        {"Sun, 06 Nov 1994 08:54:06 GMT", 299000},
        {"Sun, 06 Nov 1994 08:54:08 GMT", 300000},
        {"Wed, 31 Dec 9999 23:59:59 GMT", 300000},
        {"Mon, 01 Jan 0001 00:00:00 GMT", 0},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 30000},
        {"Tuesday, 06-Nov-01 08:49:37 GMT", 300000},
        {"Sun Nov  6 08:49:37 1994", 30000},
        {"Wed Nov 16 08:49:37 1994", 300000},
        {"", -1},
        {"-1", -1},
        {"+1", -1},
        {"1.5", -1},
        {"1 s", -1},
        {"soon", -1},
        {"0x10", -1},
        {"Sun, 31 Feb 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 24:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT+1", -1},
        {"Sun, 06 Nov 1994 08:49:37 CET", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Xxx, 06 Nov 1994 08:49:37 GMT", -1},
        {"1994-11-06T08:49:37Z", -1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = er_http_retry_after(er_str_of(rows[i].value), now);
        if (ms != rows[i].ms) {
            print_error("\"%s\"\n", rows[i].value);
        }
        assert_int_equal(ms, rows[i].ms);
    }
    assert_int_equal(er_http_retry_after(er_str_of("Sun, 06 Nov 1994 08:49:37 GMT"), INT64_MIN),
                     300000);
    assert_int_equal(er_http_retry_after((er_str){0}, now), -1);
}

static void test_url_escape(void **state) {
    (void)state;
    er_buf out;
    er_buf_init(&out, 1024);
    er_url_escape((er_str){"aZ09-._~ /?&=+%\xc3\xa9\0,!", 20}, &out);
    assert_str(er_buf_str(&out), "aZ09-._~%20%2F%3F%26%3D%2B%25%C3%A9%00%2C%21");
    er_buf_fini(&out);
}

static void test_base64(void **state) {
    (void)state;
    static const struct {
        const char *plain, *code;
    } rows[] = {{"", ""},
                {"f", "Zg=="},
                {"fo", "Zm8="},
                {"foo", "Zm9v"},
                {"foob", "Zm9vYg=="},
                {"fooba", "Zm9vYmE="},
                {"\xff\xfe", "//4="},
                {"\xfb\xef\xbe", "++++"},
                {"foobar", "Zm9vYmFy"}};
    er_buf out;
    er_buf_init(&out, 1024);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_buf_clear(&out);
        er_base64_encode(er_str_of(rows[i].plain), &out);
        assert_str(er_buf_str(&out), rows[i].code);
        er_buf_clear(&out);
        assert_true(er_base64_decode(er_str_of(rows[i].code), &out));
        assert_str(er_buf_str(&out), rows[i].plain);
    }
    er_buf_clear(&out);
    assert_true(er_base64_decode(er_str_of("Zm9v\nYm\r\nFy\n"), &out));
    assert_str(er_buf_str(&out), "foobar");
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",        "Zm8",       "Zm9v=", "=",
                                      "====", "Z===", "Zg==Zg==",   "Zm9v Zm9v", "Zm-v",  "Zh==",
                                      "Zm9=", "Zg=g", "Zm9v\tYmFy", "Zm9v!"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        er_buf_clear(&out);
        if (er_base64_decode(er_str_of(bad[i]), &out)) {
            fail_msg("\"%s\" was taken", bad[i]);
        }
    }
    assert_false(er_base64_decode((er_str){"Zm9\0", 4}, &out));
    er_buf_fini(&out);
}

static void test_header_names(void **state) {
    (void)state;
    assert_true(er_http_header_name_valid(ER_STR("X-API-Key")));
    assert_true(er_http_header_name_valid(ER_STR("!#$%&'*+-.^_`|~09")));
    static const char *const bad[] = {"", "a b", "a:", "a\n", "a\r", "(a)", "a\"", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(er_http_header_name_valid(er_str_of(bad[i])));
    }
    assert_false(er_http_header_name_valid((er_str){"a\0b", 3}));
}

static void test_tls_check(void **state) {
    (void)state;
    char file[] = "/x.pem";
    char none[] = "";
    er_err err;
    assert_int_equal(er_tls_check(&(er_tls_settings){0}, &err), ER_OK);
    assert_int_equal(er_tls_check(&(er_tls_settings){.ca_file = file, .cert_file = none}, &err),
                     ER_OK);
    assert_int_equal(er_tls_check(&(er_tls_settings){.cert_file = file, .key_file = file}, &err),
                     ER_OK);
    assert_int_equal(er_tls_check(&(er_tls_settings){.cert_file = file, .key_file = none}, &err),
                     ER_E_CONFIG);
    assert_string_equal(err.msg, "certFile is given without keyFile; give both or neither");
    assert_int_equal(er_tls_check(&(er_tls_settings){.key_file = file}, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "keyFile is given without certFile; give both or neither");
}

/* ---- credentials ---- */

static char text_user[] = "router";
static char text_secret[] = "s3cr:t";
static char text_header[] = "X-Key";
static char text_bad[] = "X Key";
static char text_colon[] = "a:b";
#define LITERAL ((er_secret_ref){.kind = ER_SECRET_LITERAL, .text = text_secret})

static void test_auth_check(void **state) {
    (void)state;
    const struct {
        er_auth_settings s;
        const char *error;
    } rows[] = {
        {{.api_key.header = text_header}, NULL},
        {{.basic = {text_user, LITERAL}}, NULL},
        {{.bearer = LITERAL}, NULL},
        {{.api_key = {text_header, LITERAL}}, NULL},
        {{.basic = {text_user, LITERAL}, .bearer = LITERAL},
         "give one of basic, bearer, apiKey, oauth2 and google, not several"},
        {{.bearer = LITERAL, .api_key = {text_header, LITERAL}},
         "give one of basic, bearer, apiKey, oauth2 and google, not several"},
        {{.basic.username = text_user}, "basic needs username and password"},
        {{.basic.password = LITERAL}, "basic needs username and password"},
        {{.basic = {text_colon, LITERAL}}, "basic.username must not contain a colon"},
        {{.api_key = {text_bad, LITERAL}}, "apiKey.header is not the name of a header"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_err err = {0};
        er_status status = er_auth_check(&rows[i].s, &err);
        assert_int_equal(status, rows[i].error == NULL ? ER_OK : ER_E_CONFIG);
        assert_string_equal(err.msg, rows[i].error == NULL ? "" : rows[i].error);
    }
}

static void applies(const er_auth_settings *s, const char *name, const char *value) {
    er_auth *auth = NULL;
    assert_int_equal(er_auth_new(s, "sinks.hook.auth", &(er_http_options){0}, 1000, &auth, NULL),
                     ER_OK);
    er_http_request req = {0};
    assert_int_equal(er_auth_apply(auth, &req, NULL), ER_OK);
    assert_int_equal(req.headers_n, name == NULL ? 0 : 1);
    if (name != NULL) {
        assert_string_equal(req.headers[0].name, name);
        assert_str(req.headers[0].value, value);
    }
    assert_false(er_auth_refresh(auth));
    er_auth_free(auth);
}

static void test_auth_apply(void **state) {
    (void)state;
    applies(&(er_auth_settings){0}, NULL, NULL);
    applies(&(er_auth_settings){.basic = {text_user, LITERAL}}, "Authorization",
            "Basic cm91dGVyOnMzY3I6dA==");
    applies(&(er_auth_settings){.bearer = LITERAL}, "Authorization", "Bearer s3cr:t");
    applies(&(er_auth_settings){.api_key = {text_header, LITERAL}}, "X-Key", "s3cr:t");
    /* Elasticsearch's: id:key is encoded, what is encoded stays */
    applies(&(er_auth_settings){.api_key = {NULL, LITERAL}}, "Authorization", "ApiKey czNjcjp0");
    static char encoded[] = "czNjcjp0\n";
    applies(&(er_auth_settings){.api_key = {NULL, {.kind = ER_SECRET_LITERAL, .text = encoded}}},
            "Authorization", "ApiKey czNjcjp0");
}

static void put_file(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_auth_refresh(void **state) {
    (void)state;
    char path[] = "/tmp/er-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    put_file(path, "one\n");
    er_auth_settings s = {.bearer = {.kind = ER_SECRET_FILE, .text = path}};
    er_auth *auth = NULL;
    assert_int_equal(er_auth_new(&s, "sinks.hook.auth", &(er_http_options){0}, 1000, &auth, NULL),
                     ER_OK);
    assert_false(er_auth_refresh(auth));
    put_file(path, "second\n");
    assert_true(er_auth_refresh(auth));
    er_http_request req = {0};
    assert_int_equal(er_auth_apply(auth, &req, NULL), ER_OK);
    assert_str(req.headers[0].value, "Bearer second");
    er_auth_free(auth);
    (void)unlink(path);
    er_err err;
    assert_int_equal(er_auth_new(&s, "sinks.hook.auth", &(er_http_options){0}, 1000, &auth, &err),
                     ER_E_CONFIG);
    assert_true(er_str_starts(er_str_of(err.msg), "sinks.hook.auth.bearer: "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retry_after), cmocka_unit_test(test_url_escape),
        cmocka_unit_test(test_base64),      cmocka_unit_test(test_header_names),
        cmocka_unit_test(test_tls_check),   cmocka_unit_test(test_auth_check),
        cmocka_unit_test(test_auth_apply),  cmocka_unit_test(test_auth_refresh),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
