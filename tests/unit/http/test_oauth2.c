/* OAuth 2 client credentials: the request byte by byte, the life of a token, hostile answers. */
#include "http/http.h"
#include "sinks/loopback.h"
#include "unit.h"

#define URL_TEXT 128

typedef struct fixture {
    loopback lb;
    char url[URL_TEXT];
    er_cancel cancel;
    er_auth_settings settings;
    er_auth *auth;
    char *answers[16]; /* to be freed */
    size_t answers_n;
    er_err err;
} fixture;

static char secret_text[] = "s3cr:t/ä";
static char client_text[] = "a client";

static char *answer_of(fixture *f, const char *status, const char *more, const char *body) {
    size_t n = strlen(body) + 256;
    char *text = malloc(n);
    assert_non_null(text);
    (void)snprintf(text, n, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, more,
                   strlen(body), body);
    assert_true(f->answers_n < sizeof f->answers / sizeof f->answers[0]);
    f->answers[f->answers_n++] = text;
    return text;
}

/* The endpoint answers this to all that follows. */
static void says(fixture *f, const char *status, const char *body) {
    loopback_reset(&f->lb, answer_of(f, status, "", body));
}

static void start(fixture *f) {
    er_http_options options = {
        .cancel = &f->cancel, .user_agent = "eventrouter", .connect_timeout_ms = 5000};
    if (er_auth_new(&f->settings, "sinks.hook.auth", &options, 5000, &f->auth, &f->err) != ER_OK) {
        fail_msg("%s", f->err.msg);
    }
}

static void setup(fixture *f) {
    *f = (fixture){0};
    assert_int_equal(er_cancel_init(&f->cancel, NULL), ER_OK);
    loopback_start(&f->lb, NULL);
    (void)snprintf(f->url, sizeof f->url, "http://127.0.0.1:%d/token?t=1", f->lb.port);
    f->settings.oauth2 = (er_oauth2_settings){
        .token_url = {.kind = ER_SECRET_LITERAL, .text = f->url},
        .client_secret = {.kind = ER_SECRET_LITERAL, .text = secret_text},
        .client_id = client_text,
    };
}

static void teardown(fixture *f) {
    er_auth_free(f->auth);
    loopback_stop(&f->lb);
    er_cancel_fini(&f->cancel);
    for (size_t i = 0; i < f->answers_n; i++) {
        free(f->answers[i]);
    }
}

/* Authorization of the next request, or "" and the error. */
static er_status apply(fixture *f, char out[512]) {
    er_http_request req = {0};
    f->err = (er_err){0};
    out[0] = '\0';
    er_status status = er_auth_apply(f->auth, &req, &f->err);
    if (status == ER_OK) {
        assert_int_equal(req.headers_n, 1);
        assert_string_equal(req.headers[0].name, "Authorization");
        (void)snprintf(out, 512, "%.*s", (int)req.headers[0].value.n, req.headers[0].value.p);
    }
    assert_null(strstr(f->err.msg, secret_text));
    return status;
}

static void expect_bearer(fixture *f, const char *value) {
    char got[512];
    if (apply(f, got) != ER_OK) {
        fail_msg("%s", f->err.msg);
    }
    assert_string_equal(got, value);
}

static void expect_header(fixture *f, size_t i, const char *name, const char *value) {
    char got[512];
    assert_true(loopback_header(&f->lb, i, name, got));
    assert_string_equal(got, value);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
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
    teardown(&f);
}

static void put_file(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A secret that was replaced is tried at once, without waiting for the next attempt. */
static void test_a_rotated_secret(void **state) {
    (void)state;
    char path[] = "/tmp/er-oauth2-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    put_file(path, "old\n");
    fixture f;
    setup(&f);
    f.settings.oauth2.client_secret = (er_secret_ref){.kind = ER_SECRET_FILE, .text = path};
    start(&f);
    put_file(path, "newer\n");
    loopback_reset(&f.lb, answer_of(&f, "401 No", "", "{\"error\":\"invalid_client\"}"));
    loopback_then(&f.lb, answer_of(&f, "200 OK", "", "{\"access_token\":\"t-1\"}"));
    expect_bearer(&f, "Bearer t-1");
    assert_int_equal(loopback_requests(&f.lb), 2);
    expect_header(&f, 0, "Authorization", "Basic YSUyMGNsaWVudDpvbGQ=");
    expect_header(&f, 1, "Authorization", "Basic YSUyMGNsaWVudDpuZXdlcg==");
    put_file(path, "newest one\n");
    assert_true(er_auth_refresh(f.auth)); /* after a 401 by the resource: another secret */
    teardown(&f);
    assert_int_equal(unlink(path), 0);
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
