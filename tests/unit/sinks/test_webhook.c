/* The webhook's requests, byte by byte. */
#include "loopback.h"
#include "sink_fixture.h"
#include "sinks/http_sink.h"

#define OK_ANSWER "HTTP/1.1 204 No Content\r\n\r\n"

/* What batch_of makes of record i. */
#define RECORD(i_)                                                                                 \
    "{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-" i_ "\",\"kind\":\"event\","                    \
    "\"cluster\":\"prod-eu1\",\"time\":\"2026-01-02T03:04:20Z\","                                  \
    "\"timeSource\":\"lastTimestamp\",\"observedTime\":\"2026-01-02T03:04:25.500000Z\","           \
    "\"severity\":\"WARNING\",\"type\":\"Warning\",\"reason\":\"BackOff\",\"message\":\"m" i_      \
    "\",\"namespace\":\"shop\",\"object\":{\"kind\":\"Pod\",\"name\":\"web-1\"},\"count\":1,"      \
    "\"event\":{}}"

typedef struct hook {
    loopback lb;
    fixture f;
} hook;

static void hook_init(hook *h, const char *yaml) {
    loopback_start(&h->lb, OK_ANSWER);
    char text[1024];
    (void)snprintf(text, sizeof text, "url: \"http://127.0.0.1:%d/hook?x=1\"\n%s", h->lb.port,
                   yaml);
    fixture_init(&h->f, &er_webhook_sink, text);
}

static void hook_fini(hook *h) {
    fixture_fini(&h->f);
    loopback_stop(&h->lb);
}

static void deliver(hook *h, er_batch *batch) {
    er_err err = {0};
    if (h->f.type->deliver(h->f.self, batch, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
}

/* The whole of request i: the request line, exactly these header lines in any order, the body. */
static void expect_request(hook *h, size_t i, const char *const *headers, const char *body) {
    const char *text = h->lb.requests[i];
    const char *end = strstr(text, "\r\n\r\n");
    assert_string_equal(end + 4, body);
    static const char line[] = "POST /hook?x=1 HTTP/1.1\r\n";
    assert_memory_equal(text, line, sizeof line - 1);
    size_t lines = 0;
    for (const char *at = text + sizeof line - 1; at < end; at = strstr(at, "\r\n") + 2) {
        lines++;
    }
    size_t want = 0;
    for (; headers[want] != NULL; want++) {
        char wrapped[512];
        (void)snprintf(wrapped, sizeof wrapped, "\r\n%s\r\n", headers[want]);
        const char *at = strstr(text, wrapped);
        if (at == NULL || at > end) {
            fail_msg("no header line %s in:\n%s", headers[want], text);
        }
    }
    if (lines != want) {
        fail_msg("other header lines than expected:\n%s", text);
    }
}

static void expect_headers(hook *h, size_t i, const char *id, const char *extra,
                           const char *content_type, const char *body) {
    char host[64];
    char key[128];
    char webhook_id[128];
    char length[64];
    char type[128];
    (void)snprintf(host, sizeof host, "Host: 127.0.0.1:%d", h->lb.port);
    (void)snprintf(key, sizeof key, "Idempotency-Key: \"%s\"", id);
    (void)snprintf(webhook_id, sizeof webhook_id, "webhook-id: %s", id);
    (void)snprintf(length, sizeof length, "Content-Length: %zu", strlen(body));
    (void)snprintf(type, sizeof type, "Content-Type: %s", content_type);
    const char *const headers[] = {
        host, "User-Agent: eventrouter", "Accept: */*", type, key, webhook_id, length, extra, NULL};
    expect_request(h, i, headers, body);
}

static void test_one_record_a_request(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "");
    er_batch *batch = batch_of(&h.f, 1);
    deliver(&h, batch);
    assert_int_equal(loopback_requests(&h.lb), 1);
    expect_headers(&h, 0, "u-1", NULL, "application/json", RECORD("1"));
    er_batch_free(batch);
    hook_fini(&h);
}

static void test_a_batch_is_an_array_and_its_key_a_hash_of_the_ids(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "batch: {records: 3}\n");
    er_batch *three = batch_of(&h.f, 3);
    er_batch *two = batch_of(&h.f, 2);
    er_batch *one = batch_of(&h.f, 1);
    deliver(&h, three);
    deliver(&h, two);
    deliver(&h, one);
    deliver(&h, two); /* a repetition, cut the same */
    /* SHA-256 of "u-1\nu-2\nu-3\n" and of "u-1\nu-2\n". */
    expect_headers(&h, 0, "cb851d0b9578d4c2c4f4b3a8d3d6a652b5f922a4800d486f949ad8b4e76cd571", NULL,
                   "application/json", "[" RECORD("1") "," RECORD("2") "," RECORD("3") "]");
    const char *of_two = "93b64ab6bff29d09d7940d8a1e305c98d7b1a4ccdb7746081059b0aa62a7c13e";
    const char *body_of_two = "[" RECORD("1") "," RECORD("2") "]";
    expect_headers(&h, 1, of_two, NULL, "application/json", body_of_two);
    expect_headers(&h, 2, "u-1", NULL, "application/json", "[" RECORD("1") "]");
    expect_headers(&h, 3, of_two, NULL, "application/json", body_of_two);
    assert_string_equal(h.lb.requests[1], h.lb.requests[3]);
    er_batch_free(three);
    er_batch_free(two);
    er_batch_free(one);
    hook_fini(&h);
}

static void test_headers_of_the_operator(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "headers: {X-Team: blue, Content-Type: application/vnd.acme+json}\n");
    er_batch *batch = batch_of(&h.f, 1);
    deliver(&h, batch);
    expect_headers(&h, 0, "u-1", "X-Team: blue", "application/vnd.acme+json", RECORD("1"));
    er_batch_free(batch);
    hook_fini(&h);
}

static void test_bearer(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "auth: {bearer: s3cret}\n");
    er_batch *batch = batch_of(&h.f, 1);
    deliver(&h, batch);
    expect_headers(&h, 0, "u-1", "Authorization: Bearer s3cret", "application/json", RECORD("1"));
    er_batch_free(batch);
    hook_fini(&h);
}

static void test_defaults(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_webhook_sink, "url: http://127.0.0.1:1/\n");
    const er_sink_settings *common = f.config;
    assert_int_equal(common->batch.records, 1);
    assert_int_equal(common->batch.bytes, 1 << 20);
    assert_int_equal(common->batch.linger_ms, 0);
    const er_http_sink_config *http = f.config;
    assert_int_equal(http->timeout.connect_ms, 10000);
    assert_int_equal(http->timeout.request_ms, 30000);
    fixture_fini(&f);
}

static void test_a_record_that_is_too_large(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_webhook_sink, "url: http://127.0.0.1:1/\n");
    er_record *rec = record_of("u-1", "a message");
    er_item item;
    er_buf_init(&item.body, 100);
    er_err err = {0};
    assert_int_equal(f.type->encode(f.self, rec, &item, &err), ER_E_LIMIT);
    assert_string_equal(err.msg, "larger than 100 bytes");
    er_buf_fini(&item.body);
    er_record_unref(rec);
    fixture_fini(&f);
}

static void test_registered(void **state) {
    (void)state;
    er_variant variant;
    size_t n = 0;
    bool has_webhook = false;
    bool has_stdout = false;
    for (; er_sink_variant_at(n, &variant); n++) {
        const er_sink_type *type = variant.user;
        assert_ptr_equal(type, er_sink_types[n]);
        assert_string_equal(variant.name, type->name);
        assert_ptr_equal(variant.rows, type->rows);
        assert_int_equal(variant.size, type->config_size);
        has_webhook = has_webhook || strcmp(variant.name, "webhook") == 0;
        has_stdout = has_stdout || strcmp(variant.name, "stdout") == 0;
    }
    assert_null(er_sink_types[n]);
    assert_true(has_webhook && has_stdout);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_record_a_request),
        cmocka_unit_test(test_a_batch_is_an_array_and_its_key_a_hash_of_the_ids),
        cmocka_unit_test(test_headers_of_the_operator),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_a_record_that_is_too_large),
        cmocka_unit_test(test_registered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
