/* The webhook's requests, byte by byte. */
#include "loopback.h"
#include "sink_fixture.h"
#include "sinks/http_gzip.h"
#include "sinks/http_sink.h"
#include "sinks/webhook_sign.h"

#include <zlib.h>

#define KEY       "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OK_ANSWER "HTTP/1.1 204 No Content\r\n\r\n"

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

/* ---- formats ---- */

static void test_ndjson(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "format: ndjson\nbatch: {records: 3}\n");
    er_batch *two = batch_of(&h.f, 2);
    er_batch *one = batch_of(&h.f, 1);
    deliver(&h, two);
    deliver(&h, one);
    expect_headers(&h, 0, "93b64ab6bff29d09d7940d8a1e305c98d7b1a4ccdb7746081059b0aa62a7c13e", NULL,
                   "application/x-ndjson", RECORD("1") "\n" RECORD("2") "\n");
    expect_headers(&h, 1, "u-1", NULL, "application/x-ndjson", RECORD("1") "\n");
    er_batch_free(two);
    er_batch_free(one);
    hook_fini(&h);
}

#define CLOUDEVENT(i_)                                                                             \
    "{\"specversion\":\"1.0\",\"id\":\"u-" i_ "\",\"source\":\"/clusters/prod-eu1\","              \
    "\"type\":\"io.eventrouter.event\",\"subject\":\"Pod/"                                         \
    "web-1\",\"time\":\"2026-01-02T03:04:20Z\","                                                   \
    "\"datacontenttype\":\"application/json\","                                                    \
    "\"dataschema\":\"https://eventrouter.io/schemas/v1/record.schema.json\",\"data\":" RECORD(    \
        i_) "}"

static void test_cloudevents(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "format: cloudevents\n");
    er_batch *batch = batch_of(&h.f, 1);
    deliver(&h, batch);
    expect_headers(&h, 0, "u-1", NULL, "application/cloudevents+json", CLOUDEVENT("1"));
    er_batch_free(batch);
    hook_fini(&h);
}

static void test_cloudevents_batch(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "format: cloudevents-batch\nbatch: {records: 3}\n");
    er_batch *two = batch_of(&h.f, 2);
    er_batch *one = batch_of(&h.f, 1);
    deliver(&h, two);
    deliver(&h, one);
    static const char type[] = "application/cloudevents-batch+json";
    expect_headers(&h, 0, "93b64ab6bff29d09d7940d8a1e305c98d7b1a4ccdb7746081059b0aa62a7c13e", NULL,
                   type, "[" CLOUDEVENT("1") "," CLOUDEVENT("2") "]");
    expect_headers(&h, 1, "u-1", NULL, type, "[" CLOUDEVENT("1") "]");
    er_batch_free(two);
    er_batch_free(one);
    hook_fini(&h);
}

/* A record whose names hold what headers must not: delivered, and the lines that begin with ce-. */
static void expect_ce_headers(hook *h, const er_record *draft, const char *const *lines) {
    er_batch *batch = er_batch_new();
    er_record *rec = er_record_seal(draft);
    assert_non_null(rec);
    batch_add(&h->f, batch, rec);
    deliver(h, batch);
    size_t i = loopback_requests(&h->lb) - 1;
    const char *text = h->lb.requests[i];
    const char *end = strstr(text, "\r\n\r\n");
    size_t n = 0;
    for (const char *at = strstr(text, "\r\n"); at < end; at = strstr(at + 2, "\r\n")) {
        n += strncasecmp(at + 2, "ce-", 3) == 0;
    }
    size_t want = 0;
    for (; lines[want] != NULL; want++) {
        char wrapped[512];
        (void)snprintf(wrapped, sizeof wrapped, "\r\n%s\r\n", lines[want]);
        if (strstr(text, wrapped) == NULL) {
            fail_msg("no header line %s in:\n%s", lines[want], text);
        }
    }
    assert_int_equal(n, want);
    er_batch_free(batch);
}

#define CE_COMMON                                                                                  \
    "ce-specversion: 1.0", "ce-id: u-1", "ce-time: 2026-01-02T03:04:20Z",                          \
        "ce-dataschema: https://eventrouter.io/schemas/v1/record.schema.json"

static void test_cloudevents_binary(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "format: cloudevents-binary\n");
    er_record draft = draft_of("u-1", "m1");
    draft.object.namespace_ = ER_STR("shop");
    expect_ce_headers(&h, &draft,
                      (const char *[]){CE_COMMON, "ce-source: /clusters/prod-eu1",
                                       "ce-type: io.eventrouter.event",
                                       "ce-subject: shop/Pod/web-1", NULL});
    assert_string_equal(loopback_body(&h.lb, 0) + strlen(loopback_body(&h.lb, 0)) - 2, "}}");
    char type[512];
    assert_true(loopback_header(&h.lb, 0, "Content-Type", type));
    assert_string_equal(type, "application/json");
    /* "a b/ü" in a path, and that again in a header; controls and noncharacters are replaced. */
    draft.cluster = ER_STR("a b/\xc3\xbc");
    draft.object.name = ER_STR("\"50%\" \xe2\x82\xac\r\nX: 1\x7f\xc2\x85\xef\xbf\xbf~");
    draft.object.kind = ER_STR("");
    expect_ce_headers(
        &h, &draft,
        (const char *[]){CE_COMMON, "ce-source: /clusters/a%2520b%252F%25C3%25BC",
                         "ce-type: io.eventrouter.event",
                         "ce-subject: shop/%2250%25%22%20%E2%82%AC%EF%BF%BD%EF%BF%BDX:"
                         "%201%EF%BF%BD%EF%BF%BD%EF%BF%BD~",
                         NULL});
    draft.kind = ER_KIND_NOTICE;
    draft.notice = (er_notice_part){.sink = ER_STR("s"), .cause = ER_STR("expired"), .records = 1};
    draft.object = (er_object_ref){0};
    draft.cluster = ER_STR("c");
    expect_ce_headers(&h, &draft,
                      (const char *[]){CE_COMMON, "ce-source: /clusters/c",
                                       "ce-type: io.eventrouter.notice", NULL});
    draft.kind = ER_KIND_RESTART;
    draft.restart =
        (er_restart_part){.count = 1, .started_at = ER_TIME_NONE, .finished_at = ER_TIME_NONE};
    draft.object = (er_object_ref){
        .kind = ER_STR("Pod"), .namespace_ = ER_STR("shop"), .name = ER_STR("web-1")};
    expect_ce_headers(&h, &draft,
                      (const char *[]){CE_COMMON, "ce-source: /clusters/c",
                                       "ce-type: io.eventrouter.restart",
                                       "ce-subject: shop/Pod/web-1", NULL});
    hook_fini(&h);
}

/* An object reference may hold a megabyte; no header does. */
static void test_cloudevents_subjects_are_bounded(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "format: cloudevents-binary\n");
    char name[5000];
    memset(name, 'n', sizeof name);
    char kept[257] = {0};
    memset(kept, 'n', 256);
    char line[400];
    (void)snprintf(line, sizeof line, "ce-subject: Pod/%s", kept);
    er_record draft = draft_of("u-1", "m1");
    draft.object.name = (er_str){name, sizeof name};
    expect_ce_headers(&h, &draft,
                      (const char *[]){CE_COMMON, "ce-source: /clusters/prod-eu1",
                                       "ce-type: io.eventrouter.event", line, NULL});
    hook_fini(&h);
}

/* ---- gzip ---- */

/* The body of request i, packed as Content-Length says; owned. */
static char *inflated(hook *h, size_t i) {
    char text[512];
    assert_true(loopback_header(&h->lb, i, "Content-Encoding", text));
    assert_string_equal(text, "gzip");
    assert_true(loopback_header(&h->lb, i, "Content-Length", text));
    char *out = er_xcalloc(1, 65536);
    z_stream z = {.next_in = (Bytef *)(uintptr_t)loopback_body(&h->lb, i),
                  .avail_in = (uInt)strtoul(text, NULL, 10),
                  .next_out = (Bytef *)out,
                  .avail_out = 65535};
    assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    assert_int_equal(inflateEnd(&z), Z_OK);
    return out;
}

static void test_gzip(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "compression: gzip\nbatch: {records: 2}\n");
    er_batch *two = batch_of(&h.f, 2);
    er_batch *one = batch_of(&h.f, 1);
    deliver(&h, two);
    deliver(&h, one);
    deliver(&h, two); /* a repetition: the same bytes */
    char *body = inflated(&h, 0);
    assert_string_equal(body, "[" RECORD("1") "," RECORD("2") "]");
    free(body);
    body = inflated(&h, 1);
    assert_string_equal(body, "[" RECORD("1") "]");
    free(body);
    char length[512];
    assert_true(loopback_header(&h.lb, 0, "Content-Length", length));
    size_t n = strtoul(length, NULL, 10);
    assert_true(n < strlen(RECORD("1")));
    assert_memory_equal(loopback_body(&h.lb, 0), loopback_body(&h.lb, 2), n);
    er_batch_free(two);
    er_batch_free(one);
    hook_fini(&h);
}

/* What does not shrink fits the buffer as well. */
static void test_gzip_of_noise(void **state) {
    (void)state;
    static char noise[300000];
    static char plain[sizeof noise];
    for (size_t i = 0; i < sizeof noise; i++) {
        noise[i] = (char)er_random(256);
    }
    er_gzip *gzip = er_gzip_new();
    assert_non_null(gzip);
    for (size_t n = 0; n <= sizeof noise; n = n * 3 + 1) {
        er_buf out;
        er_buf_init(&out, er_gzip_bound(n));
        er_gzip_pack(gzip, (er_str){noise, n}, &out);
        assert_int_equal(er_buf_status(&out), ER_OK);
        z_stream z = {.next_in = (Bytef *)out.p,
                      .avail_in = (uInt)out.len,
                      .next_out = (Bytef *)plain,
                      .avail_out = sizeof plain};
        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
        assert_int_equal(z.total_out, n);
        assert_memory_equal(plain, noise, n);
        assert_int_equal(inflateEnd(&z), Z_OK);
        er_buf_fini(&out);
        er_buf_init(&out, 10);
        er_gzip_pack(gzip, (er_str){noise, n}, &out);
        assert_int_equal(er_buf_status(&out), ER_E_LIMIT);
        er_buf_fini(&out);
    }
    er_gzip_free(gzip);
}

/* ---- signatures ---- */

/* Both over the payload before compression; the id is the request's own. */
static void test_signed_requests(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "compression: gzip\nsign: {type: github, keys: [s3cret]}\n");
    er_batch *batch = batch_of(&h.f, 1);
    deliver(&h, batch);
    char got[512];
    assert_true(loopback_header(&h.lb, 0, "X-Hub-Signature-256", got));
    /* HMAC-SHA256 of RECORD("1") under "s3cret", by another program. */
    assert_string_equal(got,
                        "sha256=688549b529e9c483dfb63880c2e536ce5ecc5cc9709b92a157ac6e2b50a346df");
    er_batch_free(batch);
    hook_fini(&h);
}

static void test_a_signature_holds_for_its_attempt(void **state) {
    (void)state;
    hook h;
    hook_init(&h, "sign: {type: standard-webhooks, keys: [" KEY "]}\n");
    er_batch *batch = batch_of(&h.f, 1);
    er_time before = er_time_now();
    deliver(&h, batch);
    char seconds[512];
    char got[512];
    char id[512];
    assert_true(loopback_header(&h.lb, 0, "webhook-timestamp", seconds));
    assert_true(loopback_header(&h.lb, 0, "webhook-signature", got));
    assert_true(loopback_header(&h.lb, 0, "webhook-id", id));
    assert_string_equal(id, "u-1");
    int64_t at = strtoll(seconds, NULL, 10);
    assert_in_range(at, before / 1000000, er_time_now() / 1000000);
    /* The same by the signer alone, which has a test of its own. */
    char key_text[] = KEY;
    er_secret_ref key = {.kind = ER_SECRET_LITERAL, .text = key_text};
    er_sign_settings settings = {.type = ER_SIGN_STANDARD,
                                 .keys = {.v = &key, .n = 1, .elem_size = sizeof key}};
    er_signer *signer = NULL;
    assert_int_equal(er_signer_new(&settings, "x", &signer, NULL), ER_OK);
    er_http_request req = {0};
    assert_int_equal(
        er_signer_apply(signer, ER_STR("u-1"), er_str_of(RECORD("1")), at * 1000000, &req, NULL),
        ER_OK);
    assert_true(er_str_eqc(req.headers[1].value, got));
    er_signer_free(signer);
    er_batch_free(batch);
    hook_fini(&h);
}

static void test_no_key_no_sink(void **state) {
    (void)state;
    static const char yaml[] = "url: http://127.0.0.1:1/\n"
                               "sign: {type: standard-webhooks, keys: [whsec_c2hvcnQ=]}\n";
    const er_sink_type *type = &er_webhook_sink;
    er_schema schema = {"sink", type->rows, type->config_size, type->check};
    void *config = NULL;
    er_problems problems;
    er_problems_init(&problems, "sink.yaml");
    assert_int_equal(er_config_parse(yaml, strlen(yaml), &schema, &config, &problems), ER_OK);
    er_problems_fini(&problems);
    er_metrics *metrics = er_metrics_new();
    er_sink_env env = {.name = "hook", .metrics = metrics};
    void *self = NULL;
    er_err err = {0};
    assert_int_equal(type->create(type, config, &env, &self, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "sinks.hook.sign.keys[0] is not a key of Standard Webhooks: "
                                 "whsec_ and the Base64 of 24 to 64 bytes");
    er_metrics_free(metrics);
    er_config_free(&schema, config);
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
        cmocka_unit_test(test_ndjson),
        cmocka_unit_test(test_cloudevents),
        cmocka_unit_test(test_cloudevents_batch),
        cmocka_unit_test(test_cloudevents_binary),
        cmocka_unit_test(test_cloudevents_subjects_are_bounded),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_gzip_of_noise),
        cmocka_unit_test(test_signed_requests),
        cmocka_unit_test(test_a_signature_holds_for_its_attempt),
        cmocka_unit_test(test_no_key_no_sink),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_a_record_that_is_too_large),
        cmocka_unit_test(test_registered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
