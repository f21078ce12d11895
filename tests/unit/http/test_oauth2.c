/* OAuth 2 client credentials: the request byte by byte, the life of a token, hostile answers. */
#include "http/token_fixture.h"

static char secret_text[] = "s3cr:t/ä";
static char client_text[] = "a client";

static char url[128];

static void setup(fixture *f) {
    fixture_init(f, "sinks.hook.auth");
    f->secret = secret_text;
    (void)snprintf(url, sizeof url, "%s/token?t=1", f->base);
    f->settings.oauth2 = (er_oauth2_settings){
        .token_url = {.kind = ER_SECRET_LITERAL, .text = url},
        .client_secret = {.kind = ER_SECRET_LITERAL, .text = secret_text},
        .client_id = client_text,
    };
}

static void test_the_request(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    er_cfg_text scopes[] = {{.s = (char[]){"events/write"}}, {.s = (char[]){"b"}}};
    f.settings.oauth2.scopes = (er_cfg_strings){.v = scopes, .n = 2};
    f.settings.oauth2.audience = (char[]){"https://siem.example/"};
    start(&f);
    says(&f, "200 OK", "{\"access_token\":\"t-1\",\"token_type\":\"bearer\",\"expires_in\":3600}");
    expect_bearer(&f, "Bearer t-1");
    expect_bearer(&f, "Bearer t-1"); /* kept */
    assert_int_equal(loopback_requests(&f.lb), 1);
    assert_memory_equal(f.lb.requests[0], "POST /token?t=1 HTTP/1.1\r\n", 26);
    /* "a%20client:s3cr%3At%2F%C3%A4" */
    expect_header(&f, 0, "Authorization", "Basic YSUyMGNsaWVudDpzM2NyJTNBdCUyRiVDMyVBNA==");
    expect_header(&f, 0, "Content-Type", "application/x-www-form-urlencoded");
    expect_header(&f, 0, "Accept", "application/json");
    assert_string_equal(loopback_body(&f.lb, 0),
                        "grant_type=client_credentials&scope=events%2Fwrite%20b&audience=https%3A%"
                        "2F%2Fsiem.example%2F");
    fixture_fini(&f);
}

static void test_credentials_in_the_body(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    f.settings.oauth2.client_auth = ER_OAUTH2_BODY;
    start(&f);
    says(&f, "200 OK", "{\"access_token\":\"t-1\"}");
    expect_bearer(&f, "Bearer t-1");
    char got[512];
    assert_false(loopback_header(&f.lb, 0, "Authorization", got));
    assert_string_equal(loopback_body(&f.lb, 0),
                        "grant_type=client_credentials&client_id=a%20client"
                        "&client_secret=s3cr%3At%2F%C3%A4");
    fixture_fini(&f);
}

/* A token is given up once after it has worked; one refused at its first use is not. */
static void test_refresh(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    says(&f, "200 OK", "{\"access_token\":\"t-1\",\"expires_in\":3600}");
    expect_bearer(&f, "Bearer t-1");
    assert_false(er_auth_refresh(f.auth));
    expect_bearer(&f, "Bearer t-1");
    assert_int_equal(loopback_requests(&f.lb), 1);
    says(&f, "200 OK", "{\"access_token\":\"t-2\",\"expires_in\":3600}");
    assert_true(er_auth_refresh(f.auth));
    expect_bearer(&f, "Bearer t-2");
    assert_int_equal(loopback_requests(&f.lb), 1);
    assert_false(er_auth_refresh(f.auth));
    fixture_fini(&f);
}

/* Requests for tokens within `ms` of use, when the endpoint says this of a token's life. */
static size_t asked_within(const char *life, int64_t ms) {
    fixture f;
    setup(&f);
    start(&f);
    char body[128];
    (void)snprintf(body, sizeof body, "{\"access_token\":\"t\"%s}", life);
    says(&f, "200 OK", body);
    expect_bearer(&f, "Bearer t");
    (void)er_cancel_sleep(&f.cancel, er_deadline_in(ms));
    expect_bearer(&f, "Bearer t");
    size_t n = loopback_requests(&f.lb);
    fixture_fini(&f);
    return n;
}

static void test_the_life_of_a_token(void **state) {
    (void)state;
    assert_int_equal(asked_within(",\"expires_in\":1", 950), 2); /* 900 ms: a tenth is the margin */
    assert_int_equal(asked_within(",\"expires_in\":-7", 950), 2);
    assert_int_equal(asked_within(",\"expires_in\":0", 0), 1); /* never more than once a second */
    assert_int_equal(asked_within(",\"expires_in\":\"1\"", 950), 2);
    assert_int_equal(asked_within(",\"expires_in\":\"3600\"", 950), 1);
    assert_int_equal(asked_within(",\"expires_in\":1e300", 950), 1);
    assert_int_equal(asked_within(",\"expires_in\":999999999999999", 950), 1);
    assert_int_equal(asked_within(",\"expires_in\":[]", 950), 1);
    assert_int_equal(asked_within("", 950), 1);
}

static void expect_error(const char *status, const char *body, er_status want, const char *text) {
    fixture f;
    setup(&f);
    start(&f);
    says(&f, status, body);
    char got[512];
    assert_int_equal(apply(&f, got), want);
    assert_int_equal(f.err.code, want);
    char expected[512];
    (void)snprintf(expected, sizeof expected, "no access token: %.3s", status);
    const char *rest = f.err.msg + strlen(expected);
    f.err.msg[strlen(expected)] = '\0';
    assert_string_equal(f.err.msg, expected);
    (void)snprintf(expected, sizeof expected, "http://127.0.0.1:%d/token", f.lb.port);
    assert_non_null(strstr(rest + 1, expected));
    assert_non_null(strstr(rest + 1, text));
    assert_non_null(strstr(rest + 1, "(sinks.hook.auth.oauth2)"));
    fixture_fini(&f);
}

static void test_refusals_name_the_setting(void **state) {
    (void)state;
    expect_error("401 Unauthorized", "{\"error\":\"invalid_client\"}", ER_E_DENIED,
                 "check clientId, clientSecret and clientAuth");
    expect_error("400 Bad Request", "{\"error\":\"invalid_scope\"}", ER_E_DENIED, "check scopes");
    expect_error("400 Bad Request", "{\"error\":\"s3cr:t/ä\"}", ER_E_DENIED,
                 "check clientId and clientSecret");
    expect_error("403 Forbidden", "no", ER_E_DENIED, "check clientId and clientSecret");
    expect_error("404 Not Found", "", ER_E_DENIED, "check tokenUrl");
    expect_error("302 Found", "", ER_E_DENIED, "redirects are not followed");
    expect_error("500 Oops", "", ER_E_UNAVAILABLE, "");
    expect_error("503 Oops", "{\"error\":\"invalid_client\"}", ER_E_UNAVAILABLE, "");
    expect_error("429 Slow", "", ER_E_UNAVAILABLE, "");
    expect_error("408 Slow", "", ER_E_UNAVAILABLE, "");
}

static void test_answers_that_are_no_token(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "",
        "<html>sign in</html>",
        "[]",
        "{}",
        "{\"access_token\":\"\"}",
        "{\"access_token\":7}",
        "{\"access_token\":\"a\\r\\nX-Evil: 1\"}",
        "{\"access_token\":\"a b\"}",
        "{\"access_token\":\"a\\u0000b\"}",
        "{\"access_token\":\"\\u00e4\"}",
        "{\"access_token\":\"t\"} more",
    };
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        expect_error("200 OK", bodies[i], ER_E_DENIED,
                     "the answer holds no access_token that can be used; check tokenUrl");
    }
    expect_error("200 OK", "{\"access_token\":\"t\",\"token_type\":\"DPoP\"}", ER_E_DENIED,
                 "not of type Bearer");
}

static char *filled(const char *before, size_t n, const char *after) {
    er_buf text;
    er_buf_init(&text, n + 100);
    er_buf_puts(&text, before);
    memset(er_buf_reserve(&text, n), 'x', n);
    text.len += n;
    er_buf_puts(&text, after);
    return er_buf_take(&text, NULL);
}

static void test_huge_answers(void **state) {
    (void)state;
    char *body = filled("{\"access_token\":\"", 16384, "\"}");
    fixture f;
    setup(&f);
    start(&f);
    says(&f, "200 OK", body);
    er_http_request req = {0};
    assert_int_equal(er_auth_apply(f.auth, &req, NULL), ER_OK);
    assert_int_equal(req.headers[0].value.n, strlen("Bearer ") + 16384);
    fixture_fini(&f);
    free(body);
    body = filled("{\"access_token\":\"", 16385, "\"}");
    expect_error("200 OK", body, ER_E_DENIED, "no access_token that can be used");
    free(body);
    body = filled("{\"access_token\":\"t\",\"x\":\"", 65536, "\"}");
    setup(&f);
    start(&f);
    says(&f, "200 OK", body);
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_UNAVAILABLE);
    assert_non_null(strstr(f.err.msg, "is over 65536 bytes"));
    fixture_fini(&f);
    free(body);
}

static void test_no_answer(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_UNAVAILABLE); /* it hangs up */
    assert_int_equal(f.err.code, ER_E_UNAVAILABLE);
    er_cancel_set(&f.cancel);
    assert_int_equal(apply(&f, got), ER_E_CANCELLED);
    fixture_fini(&f);
}

static void test_retry_after(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    loopback_reset(&f.lb, answer_of(&f, "503 Busy", "Retry-After: 7\r\n", ""));
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_UNAVAILABLE);
    assert_int_equal(f.err.retry_after_ms, 7000);
    says(&f, "200 OK", "{\"access_token\":\"t\"}"); /* the failure sticks to nothing */
    expect_bearer(&f, "Bearer t");
    fixture_fini(&f);
}

/* A secret that was replaced is tried at once, without waiting for the next attempt. */
static void test_a_rotated_secret(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    put_file(f.file, "old\n");
    f.settings.oauth2.client_secret = (er_secret_ref){.kind = ER_SECRET_FILE, .text = f.file};
    start(&f);
    put_file(f.file, "newer\n");
    says(&f, "401 No", "{\"error\":\"invalid_client\"}");
    then(&f, "200 OK", "{\"access_token\":\"t-1\"}");
    expect_bearer(&f, "Bearer t-1");
    assert_int_equal(loopback_requests(&f.lb), 2);
    expect_header(&f, 0, "Authorization", "Basic YSUyMGNsaWVudDpvbGQ=");
    expect_header(&f, 1, "Authorization", "Basic YSUyMGNsaWVudDpuZXdlcg==");
    put_file(f.file, "newest one\n");
    assert_true(er_auth_refresh(f.auth)); /* after a 401 by the resource: another secret */
    fixture_fini(&f);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_request),
        cmocka_unit_test(test_credentials_in_the_body),
        cmocka_unit_test(test_refresh),
        cmocka_unit_test(test_the_life_of_a_token),
        cmocka_unit_test(test_refusals_name_the_setting),
        cmocka_unit_test(test_answers_that_are_no_token),
        cmocka_unit_test(test_huge_answers),
        cmocka_unit_test(test_no_answer),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_a_rotated_secret),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
