/* What the HTTP driver makes of every answer: the endpoint's state, verdicts, errors, metrics. */
#include "loopback.h"
#include "sink_fixture.h"
#include "sinks/http_sink.h"

#define ANSWER(status_, more_) "HTTP/1.1 " status_ "\r\n" more_ "Content-Length: 0\r\n\r\n"

/* ---- the table ---- */

static bool is_in(long status, const short *set) {
    for (; *set != 0; set++) {
        if (status == *set) {
            return true;
        }
    }
    return false;
}

/* The table as the design words it, written a second time. */
static er_http_action expected_action(long status) {
    static const short denied[] = {401, 403, 404, 405, 406, 407, 410, 415, 426, 501, 505, 0};
    static const short unavailable[] = {408, 425, 429, 0};
    if (status >= 200 && status < 300) {
        return ER_HTTP_DELIVERED;
    }
    if ((status >= 300 && status < 400) || is_in(status, denied)) {
        return ER_HTTP_DENIED;
    }
    if (status == 413) {
        return ER_HTTP_SPLIT;
    }
    if (status >= 400 && status < 500 && !is_in(status, unavailable)) {
        return ER_HTTP_REFUSED;
    }
    return ER_HTTP_UNAVAILABLE;
}

static void test_the_table(void **state) {
    (void)state;
    for (long status = 0; status < 1000; status++) {
        if (er_http_action_of(NULL, 0, status) != expected_action(status)) {
            fail_msg("status %ld", status);
        }
    }
}

static void test_the_profiles_rules_come_first(void **state) {
    (void)state;
    static const er_http_rule rules[] = {
        {409, 409, ER_HTTP_DELIVERED}, {500, 502, ER_HTTP_DENIED}, {501, 501, ER_HTTP_SPLIT}};
    assert_int_equal(er_http_action_of(rules, 3, 409), ER_HTTP_DELIVERED);
    assert_int_equal(er_http_action_of(rules, 3, 501), ER_HTTP_DENIED);
    assert_int_equal(er_http_action_of(rules, 3, 503), ER_HTTP_UNAVAILABLE);
    assert_int_equal(er_http_action_of(rules, 3, 400), ER_HTTP_REFUSED);
}

/* ---- deliveries ---- */

static void hook_init(fixture *f, const loopback *lb, const char *yaml) {
    char text[1024];
    (void)snprintf(text, sizeof text, "url: \"http://127.0.0.1:%d/hook?token=s3cret\"\n%s",
                   lb->port, yaml);
    fixture_init(f, &er_webhook_sink, text);
}

typedef struct outcome {
    er_status status;
    er_verdict verdict; /* of all records */
    er_reason reason;
    er_err err;
} outcome;

static outcome deliver_n(fixture *f, size_t n) {
    outcome o = {0};
    er_batch *batch = batch_of(f, n);
    o.status = f->type->deliver(f->self, batch, &o.err);
    o.verdict = er_batch_verdict(batch, 0);
    o.reason = batch->v[0].reason;
    if (o.verdict == ER_VERDICT_REJECT) {
        (void)snprintf(o.err.msg, sizeof o.err.msg, "%s", batch->v[0].text);
    }
    expect_verdicts(batch, o.verdict);
    er_batch_free(batch);
    return o;
}

static outcome expected_outcome(long status, bool is_many) {
    switch (expected_action(status)) {
    case ER_HTTP_DELIVERED:
        return (outcome){.status = ER_OK, .verdict = ER_VERDICT_DELIVERED};
    case ER_HTTP_DENIED:
        return (outcome){.status = ER_E_DENIED};
    case ER_HTTP_SPLIT:
    case ER_HTTP_REFUSED:
        if (is_many) {
            return (outcome){.status = ER_E_SPLIT};
        }
        return (outcome){.status = ER_OK,
                         .verdict = ER_VERDICT_REJECT,
                         .reason = status == 413 ? ER_REASON_TOO_LARGE : ER_REASON_REFUSED};
    case ER_HTTP_UNAVAILABLE:
    default:
        return (outcome){.status = ER_E_UNAVAILABLE};
    }
}

static void every_status(size_t records) {
    loopback lb;
    loopback_start(&lb, NULL);
    fixture f;
    hook_init(&f, &lb, "batch: {records: 10}\n");
    for (long status = 200; status < 600; status++) {
        char answer[128];
        bool has_no_body = status == 204 || status == 304;
        (void)snprintf(answer, sizeof answer, "HTTP/1.1 %ld X\r\n%s\r\n", status,
                       has_no_body ? "" : "Content-Length: 0\r\n");
        loopback_reset(&lb, answer);
        outcome got = deliver_n(&f, records);
        outcome want = expected_outcome(status, records > 1);
        if (got.status != want.status || got.verdict != want.verdict || got.reason != want.reason) {
            fail_msg("status %ld with %zu records: %d, verdict %d, reason %d", status, records,
                     (int)got.status, (int)got.verdict, (int)got.reason);
        }
        assert_int_equal(loopback_requests(&lb), 1);
    }
    fixture_fini(&f);
    loopback_stop(&lb);
}

static void test_every_status_with_one_record(void **state) {
    (void)state;
    every_status(1);
}

static void test_every_status_with_several_records(void **state) {
    (void)state;
    every_status(3);
}

/* ---- errors say what, where, what to do ---- */

static void expect_text(fixture *f, loopback *lb, const char *answer, const char *before,
                        const char *after) {
    loopback_reset(lb, answer);
    outcome o = deliver_n(f, 1);
    char want[512];
    (void)snprintf(want, sizeof want, "%s from http://127.0.0.1:%d/hook%s", before, lb->port,
                   after);
    assert_string_equal(o.err.msg, want);
}

static void test_errors_for_people(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, NULL);
    fixture f;
    hook_init(&f, &lb, "");
    expect_text(&f, &lb, ANSWER("401 No", ""), "401 Unauthorized", ": check sinks.hook.auth");
    expect_text(&f, &lb, ANSWER("403 No", ""), "403 Forbidden", ": check sinks.hook.auth");
    expect_text(&f, &lb, ANSWER("404 No", ""), "404 Not Found", ": check sinks.hook.url");
    expect_text(&f, &lb, ANSWER("302 No", "Location: http://127.0.0.1:1/\r\n"), "302 Found",
                ": redirects are not followed; set sinks.hook.url to the final address");
    expect_text(&f, &lb, ANSWER("407 No", ""), "407 Proxy Authentication Required",
                ": the proxy wants credentials; check sinks.hook.proxy");
    expect_text(&f, &lb, ANSWER("415 No", ""), "415 Unsupported Media Type",
                ": the receiver does not take our format; check sinks.hook.url");
    expect_text(&f, &lb, ANSWER("505 No", ""), "505 HTTP Version Not Supported",
                ": the receiver wants another protocol; check sinks.hook.url");
    expect_text(&f, &lb, ANSWER("503 No", ""), "503 Service Unavailable", "");
    expect_text(&f, &lb, ANSWER("599 No", ""), "599", "");
    expect_text(&f, &lb, ANSWER("413 No", ""), "413 Content Too Large", "");
    expect_text(
        &f, &lb,
        "HTTP/1.1 400 No\r\nContent-Length: 30\r\n\r\n {\"error\":\n\"bad field\x1b[31m\"}  ",
        "400 Bad Request", ": {\"error\": \"bad field [31m\"}");
    fixture_fini(&f);
    loopback_stop(&lb);
}

static void test_long_answers_are_cut_in_errors(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, NULL);
    fixture f;
    hook_init(&f, &lb, "");
    char answer[1200] = "HTTP/1.1 422 No\r\nContent-Length: 1000\r\n\r\n";
    size_t head = strlen(answer);
    memset(answer + head, 'x', 1000);
    char want[256] = ": ";
    memset(want + 2, 'x', 200);
    expect_text(&f, &lb, answer, "422 Unprocessable Content", want);
    fixture_fini(&f);
    loopback_stop(&lb);
}

/* ---- Retry-After ---- */

static int64_t retry_after_of(fixture *f, loopback *lb, const char *answer) {
    loopback_reset(lb, answer);
    outcome o = deliver_n(f, 1);
    return o.err.retry_after_ms;
}

/* Some peers say what they were sent: that gets into logs, our secrets must not. */
static void test_secrets_in_answers(void **state) {
    (void)state;
    static const struct {
        const char *yaml, *said, *shown;
    } all[] = {
        {"auth: {bearer: a-bearer-token}\n", "Bearer a-bearer-token, a-bearer-token",
         "Bearer **************, **************"},
        {"auth: {basic: {username: u, password: p-ss-word}}\n",
         "Authorization: Basic dTpwLXNzLXdvcmQ=", "Authorization: Basic ****************"},
        {"headers: {X-Key: another-secret, X-Short: no}\n", "[another-secret] no",
         "[**************] no"},
        {"headers: {X-Key: another-secret}\n", "another-secre", "another-secre"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char answer[256];
        (void)snprintf(answer, sizeof answer, "HTTP/1.1 400 X\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(all[i].said), all[i].said);
        loopback lb;
        loopback_start(&lb, answer);
        fixture f;
        hook_init(&f, &lb, all[i].yaml);
        outcome o = deliver_n(&f, 1);
        const char *said = strstr(o.err.msg, "/hook: ");
        assert_non_null(said);
        assert_string_equal(said + 7, all[i].shown);
        fixture_fini(&f);
        loopback_stop(&lb);
    }
}

static void test_retry_after(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, NULL);
    fixture f;
    hook_init(&f, &lb, "");
    assert_int_equal(retry_after_of(&f, &lb, ANSWER("503 No", "Retry-After: 7\r\n")), 7000);
    assert_int_equal(retry_after_of(&f, &lb, ANSWER("429 No", "Retry-After: 1\r\n")), 1000);
    assert_int_equal(retry_after_of(&f, &lb, ANSWER("403 No", "Retry-After: 2\r\n")), 2000);
    assert_int_equal(retry_after_of(&f, &lb, ANSWER("503 No", "")), 0);
    assert_int_equal(retry_after_of(&f, &lb, ANSWER("200 OK", "Retry-After: 7\r\n")), 0);
    fixture_fini(&f);
    loopback_stop(&lb);
}

/* ---- no answer ---- */

static char *rendered(er_metrics *m) {
    er_buf out;
    er_buf_init(&out, 1 << 20);
    er_metrics_render(m, &out);
    char *text = er_dup(er_buf_cstr(&out));
    er_buf_fini(&out);
    return text;
}

/* The value of one series of sink_requests_total; -1: there is none. */
static long requests_total(const fixture *f, const char *outcome_, const char *code_class) {
    char start[256];
    (void)snprintf(start, sizeof start,
                   "\neventrouter_sink_requests_total{sink=\"hook\",outcome=\"%s\","
                   "code_class=\"%s\"} ",
                   outcome_, code_class);
    char *text = rendered(f->metrics);
    const char *at = strstr(text, start);
    long value = at == NULL ? -1 : strtol(at + strlen(start), NULL, 10);
    free(text);
    return value;
}

static void test_a_peer_that_hangs_up(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, NULL);
    fixture f;
    hook_init(&f, &lb, "");
    outcome o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_E_UNAVAILABLE);
    assert_int_equal(o.err.code, ER_E_UNAVAILABLE);
    assert_int_equal(o.verdict, ER_VERDICT_NONE);
    assert_true(o.err.msg[0] != '\0');
    assert_int_equal(requests_total(&f, "ambiguous", "none"), 1);
    assert_int_equal(requests_total(&f, "retry", "none"), 0);
    loopback_stop(&lb);
    o = deliver_n(&f, 1); /* nobody listens any more */
    assert_int_equal(o.status, ER_E_UNAVAILABLE);
    assert_int_equal(requests_total(&f, "ambiguous", "none"), 1);
    assert_int_equal(requests_total(&f, "retry", "none"), 1);
    fixture_fini(&f);
}

static void test_a_peer_that_is_silent(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, ""); /* an answer that never comes */
    fixture f;
    hook_init(&f, &lb, "timeout: {request: 200ms}\n");
    outcome o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_E_UNAVAILABLE);
    assert_int_equal(requests_total(&f, "ambiguous", "none"), 1);
    fixture_fini(&f);
    loopback_stop(&lb);
}

static void test_endless_answers_are_cut(void **state) {
    (void)state;
    loopback lb;
    char *answer = er_xcalloc(1, 300000);
    int head = snprintf(answer, 300000, "HTTP/1.1 200 OK\r\nContent-Length: 250000\r\n\r\n");
    memset(answer + head, 'x', 250000);
    loopback_start(&lb, answer);
    fixture f;
    hook_init(&f, &lb, "");
    outcome o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_OK);
    assert_int_equal(o.verdict, ER_VERDICT_DELIVERED);
    fixture_fini(&f);
    loopback_stop(&lb);
    free(answer);
}

/* ---- metrics ---- */

static void test_requests_are_counted(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, NULL);
    fixture f;
    hook_init(&f, &lb, "");
    static const char *const series[][2] = {
        {"ok", "2xx"}, {"retry", "3xx"}, {"retry", "4xx"}, {"retry", "5xx"}, {"reject", "4xx"}};
    for (size_t i = 0; i < 5; i++) { /* at zero from the start */
        assert_int_equal(requests_total(&f, series[i][0], series[i][1]), 0);
    }
    static const char *const answers[] = {ANSWER("202 OK", ""), ANSWER("301 No", ""),
                                          ANSWER("429 No", ""), ANSWER("500 No", ""),
                                          ANSWER("400 No", "")};
    for (size_t i = 0; i < 5; i++) {
        loopback_reset(&lb, answers[i]);
        (void)deliver_n(&f, 1);
        for (size_t j = 0; j < 5; j++) {
            assert_int_equal(requests_total(&f, series[j][0], series[j][1]), j <= i ? 1 : 0);
        }
    }
    char *text = rendered(f.metrics);
    assert_non_null(strstr(
        text, "\neventrouter_sink_request_duration_seconds_bucket{sink=\"hook\",le=\"60\"} 5\n"));
    assert_non_null(
        strstr(text, "\neventrouter_sink_request_duration_seconds_count{sink=\"hook\"} 5\n"));
    free(text);
    fixture_fini(&f);
    loopback_stop(&lb);
}

/* ---- credentials that change ---- */

typedef struct secret_file {
    char path[64];
} secret_file;

static void secret_write(const secret_file *s, const char *text) {
    FILE *file = fopen(s->path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void secret_init(secret_file *s, const char *text) {
    (void)snprintf(s->path, sizeof s->path, "/tmp/er-test-secret-XXXXXX");
    int fd = mkstemp(s->path);
    assert_true(fd >= 0);
    (void)close(fd);
    secret_write(s, text);
}

static void expect_header(loopback *lb, size_t i, const char *name, const char *want) {
    char value[512];
    assert_true(loopback_header(lb, i, name, value));
    assert_string_equal(value, want);
}

static void with_secret(const char *yaml_before, const char *header, const char *old_value,
                        const char *new_value) {
    loopback lb;
    loopback_start(&lb, ANSWER("401 No", ""));
    loopback_then(&lb, ANSWER("200 OK", ""));
    secret_file secret;
    secret_init(&secret, "old-token\n");
    char yaml[256];
    (void)snprintf(yaml, sizeof yaml, "%s{file: \"%s\"}}\n", yaml_before, secret.path);
    fixture f;
    hook_init(&f, &lb, yaml);
    secret_write(&secret, "new-token\n");
    outcome o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_OK);
    assert_int_equal(o.verdict, ER_VERDICT_DELIVERED);
    assert_int_equal(loopback_requests(&lb), 2);
    expect_header(&lb, 0, header, old_value);
    expect_header(&lb, 1, header, new_value);
    assert_string_equal(loopback_body(&lb, 0), loopback_body(&lb, 1));
    assert_int_equal(requests_total(&f, "retry", "4xx"), 1);
    assert_int_equal(requests_total(&f, "ok", "2xx"), 1);

    loopback_reset(&lb, ANSWER("401 No", "")); /* nothing is new: one request */
    o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_E_DENIED);
    assert_int_equal(loopback_requests(&lb), 1);

    secret_write(&secret, "third\n"); /* new, but it does not help: two requests, not three */
    loopback_reset(&lb, ANSWER("401 No", ""));
    o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_E_DENIED);
    assert_int_equal(loopback_requests(&lb), 2);
    fixture_fini(&f);
    loopback_stop(&lb);
    (void)unlink(secret.path);
}

static void test_a_new_bearer_token_after_401(void **state) {
    (void)state;
    with_secret("auth: {bearer: ", "Authorization", "Bearer old-token", "Bearer new-token");
}

static void test_a_new_header_secret_after_401(void **state) {
    (void)state;
    with_secret("headers: {X-Key: ", "X-Key", "old-token", "new-token");
}

static void test_a_url_that_is_a_secret(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, ANSWER("401 No", ""));
    char url[128];
    (void)snprintf(url, sizeof url, "http://user:pw@127.0.0.1:%d/services/T0/s3cret", lb.port);
    secret_file secret;
    secret_init(&secret, url);
    char yaml[128];
    (void)snprintf(yaml, sizeof yaml, "url: {file: \"%s\"}\n", secret.path);
    fixture f;
    fixture_init(&f, &er_webhook_sink, yaml);
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/services/T0/new", lb.port);
    secret_write(&secret, url);
    outcome o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_E_DENIED);
    assert_int_equal(loopback_requests(&lb), 2);
    assert_memory_equal(lb.requests[0], "POST /services/T0/s3cret HTTP/1.1\r\n", 35);
    assert_memory_equal(lb.requests[1], "POST /services/T0/new HTTP/1.1\r\n", 32);
    char want[256];
    (void)snprintf(want, sizeof want,
                   "401 Unauthorized from http://127.0.0.1:%d/***: check sinks.hook.auth", lb.port);
    assert_string_equal(o.err.msg, want);
    loopback_reset(&lb,
                   "HTTP/1.1 400 X\r\nContent-Length: 29\r\n\r\nCannot POST /services/T0/new.");
    o = deliver_n(&f, 1);
    (void)snprintf(want, sizeof want,
                   "400 Bad Request from http://127.0.0.1:%d/***: Cannot POST ****************.",
                   lb.port);
    assert_string_equal(o.err.msg, want);
    fixture_fini(&f);
    loopback_stop(&lb);
    (void)unlink(secret.path);
}

static void test_a_file_without_a_url(void **state) {
    (void)state;
    secret_file secret;
    secret_init(&secret, "s3cret, not a URL");
    char yaml[128];
    (void)snprintf(yaml, sizeof yaml, "url: {file: \"%s\"}\n", secret.path);
    fixture f;
    fixture_init(&f, &er_webhook_sink, yaml);
    outcome o = deliver_n(&f, 1);
    assert_int_equal(o.status, ER_E_DENIED);
    assert_int_equal(o.verdict, ER_VERDICT_NONE);
    assert_null(strstr(o.err.msg, "s3cret"));
    fixture_fini(&f);
    (void)unlink(secret.path);
}

/* ---- configuration ---- */

static void test_header_names(void **state) {
    (void)state;
    er_err err = {0};
    assert_int_equal(er_http_sink_check_header("X-Api-Key", &err), ER_OK);
    assert_int_equal(er_http_sink_check_header("Authorization", &err), ER_OK);
    assert_int_equal(er_http_sink_check_header("Content-Type", &err), ER_OK);
    static const char *const ours[] = {"Content-Length", "Host", "Transfer-Encoding", "Connection",
                                       "Idempotency-Key"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        char want[128];
        assert_int_equal(er_http_sink_check_header(ours[i], &err), ER_E_CONFIG);
        (void)snprintf(want, sizeof want, "%s is set by the program and cannot be changed",
                       ours[i]);
        assert_string_equal(err.msg, want);
    }
    assert_int_equal(er_http_sink_check_header("content-LENGTH", &err), ER_E_CONFIG);
    static const char *const bad[] = {"", "X Key", "X:Key", "X\r\nKey", "Schl\xc3\xbcssel"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(er_http_sink_check_header(bad[i], &err), ER_E_CONFIG);
        assert_string_equal(err.msg, "is not the name of a header: letters, digits and -");
    }
}

static void expect_refused(const char *yaml, const char *want) {
    er_schema schema = {"sink", er_webhook_sink.rows, er_webhook_sink.config_size,
                        er_webhook_sink.check};
    er_problems problems;
    er_problems_init(&problems, "sink.yaml");
    void *config = NULL;
    assert_int_equal(er_config_parse(yaml, strlen(yaml), &schema, &config, &problems), ER_E_CONFIG);
    assert_int_equal(problems.n, 1);
    assert_string_equal(problems.v[0].message, want);
    er_config_free(&schema, config);
    er_problems_fini(&problems);
}

static void test_settings_that_do_not_fit_together(void **state) {
    (void)state;
    expect_refused("url: http://127.0.0.1:1/\nheaders: {X-A: {env: HOME}, x-a: {env: HOME}}\n",
                   "headers has x-a twice (case does not count)");
    expect_refused("url: http://127.0.0.1:1/\nheaders: {Authorization: {env: HOME}}\n"
                   "auth: {bearer: {env: HOME}}\n",
                   "has Authorization in both auth and headers; remove one of them");
    expect_refused("url: http://127.0.0.1:1/\nheaders: {x-api-key: {env: HOME}}\n"
                   "auth: {apiKey: {value: {env: HOME}}}\n",
                   "has X-API-Key in both auth and headers; remove one of them");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_the_profiles_rules_come_first),
        cmocka_unit_test(test_every_status_with_one_record),
        cmocka_unit_test(test_every_status_with_several_records),
        cmocka_unit_test(test_errors_for_people),
        cmocka_unit_test(test_long_answers_are_cut_in_errors),
        cmocka_unit_test(test_secrets_in_answers),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_a_peer_that_hangs_up),
        cmocka_unit_test(test_a_peer_that_is_silent),
        cmocka_unit_test(test_endless_answers_are_cut),
        cmocka_unit_test(test_requests_are_counted),
        cmocka_unit_test(test_a_new_bearer_token_after_401),
        cmocka_unit_test(test_a_new_header_secret_after_401),
        cmocka_unit_test(test_a_url_that_is_a_secret),
        cmocka_unit_test(test_a_file_without_a_url),
        cmocka_unit_test(test_header_names),
        cmocka_unit_test(test_settings_that_do_not_fit_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
