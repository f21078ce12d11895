/* Names and dates of targets, what is behind a URL, and the bytes of requests. */
#include "loopback.h"
#include "sink_fixture.h"
#include "sinks/elasticsearch.h"

/* ---- names ---- */

static void expect_name(er_status (*check)(const char *text, er_err *err), const char *name,
                        const char *message) {
    er_err err = {0};
    er_status status = check(name, &err);
    if ((status == ER_OK) != (message == NULL) ||
        strcmp(err.msg, message == NULL ? "" : message) != 0) {
        fail_msg("%s: %s", name, err.msg);
    }
}

static const char chars[] = "must not have blanks or any of \\ / * ? \" < > | , # :";
static const char date[] = "has a date that is not understood; write {yyyy.MM.dd}, of yyyy, MM, "
                           "dd, HH and the signs . - _";

static void test_names_of_indices(void **state) {
    (void)state;
    static const char *const good[] = {
        "k8s",    "k8s-events-{yyyy.MM.dd}", "a_b+c.d-1",        ".k8s", "\xc3\xa9",
        "{yyyy}", "x-{yyyy}-{MM}",           "x-{yyyy_MM-dd.HH}"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        expect_name(er_elastic_check_index, good[i], NULL);
    }
    static const char *const bad_chars[] = {"a b", "a\tb", "a\\", "a/b", "a*", "a?",  "a\"",
                                            "a<",  "a>",   "a|",  "a,b", "a#", "a:b", "a\x7f"};
    for (size_t i = 0; i < sizeof bad_chars / sizeof bad_chars[0]; i++) {
        expect_name(er_elastic_check_index, bad_chars[i], chars);
        expect_name(er_elastic_check_name, bad_chars[i], chars);
    }
    expect_name(er_elastic_check_index, "K8s",
                "has the capital letter K; names of indices are lower case");
    expect_name(er_elastic_check_index, "-a", "must not begin with -, _ or +");
    expect_name(er_elastic_check_index, "_a", "must not begin with -, _ or +");
    expect_name(er_elastic_check_index, "+a", "must not begin with -, _ or +");
    expect_name(er_elastic_check_index, ".", "must not be . or ..");
    expect_name(er_elastic_check_index, "..", "must not be . or ..");
    static const char *const bad_dates[] = {"a-{",         "a-}",        "a-{}",      "a-{yy}",
                                            "a-{yyyy.mm}", "a{.}",       "a-{yyyy",   "a-{yyyy}}",
                                            "a-{yyyy/MM}", "a-{{yyyy}}", "a-{now/d}", "a-%{yyyy"};
    for (size_t i = 0; i < sizeof bad_dates / sizeof bad_dates[0]; i++) {
        expect_name(er_elastic_check_index, bad_dates[i], date);
    }
    char longest[257] = {0};
    memset(longest, 'x', 255);
    expect_name(er_elastic_check_index, longest, NULL);
    longest[255] = 'x';
    expect_name(er_elastic_check_index, longest, "is longer than 255 bytes");
    /* as long as the date makes it */
    memcpy(longest + 250, "{yyyy}", 6);
    expect_name(er_elastic_check_index, longest, NULL);
}

static void test_names_of_aliases_and_data_streams(void **state) {
    (void)state;
    expect_name(er_elastic_check_name, "logs-k8s.events-default", NULL);
    expect_name(er_elastic_check_name, "a-{yyyy}",
                "must not have { or }; dates are for names of indices only");
    expect_name(er_elastic_check_name, ".ds-a", "must not begin with .ds-");
    expect_name(er_elastic_check_name, "Logs",
                "has the capital letter L; names of indices are lower case");
}

static void expect_target(const char *index, const char *time, const char *target,
                          const char *setup_name) {
    er_elastic_config config = {
        .index = er_dup(index), .alias = er_dup(""), .data_stream = er_dup("")};
    er_buf out;
    er_buf_init(&out, 4096);
    er_elastic_put_target(&config, time_of(time), &out);
    assert_string_equal(er_buf_cstr(&out), target);
    er_buf_clear(&out);
    er_elastic_put_setup_name(&config, &out);
    assert_string_equal(er_buf_cstr(&out), setup_name);
    er_buf_fini(&out);
    free(config.index);
    free(config.alias);
    free(config.data_stream);
}

static void test_the_date_is_the_records(void **state) {
    (void)state;
    expect_target("k8s", "2026-01-02T03:04:05Z", "k8s", "eventrouter-k8s-index");
    expect_target("k8s-{yyyy.MM.dd}", "2025-12-31T23:59:59.999999Z", "k8s-2025.12.31",
                  "eventrouter-k8s");
    expect_target("k8s-{yyyy.MM.dd}", "2026-01-01T00:59:59+01:00", "k8s-2025.12.31",
                  "eventrouter-k8s");
    expect_target("k8s_{yyyy-MM}.{dd_HH}.x", "2026-01-02T03:04:05Z", "k8s_2026-01.02_03.x",
                  "eventrouter-k8s");
    expect_target("k8s-{HHyyyy}", "0007-01-02T23:04:05Z", "k8s-230007", "eventrouter-k8s");
}

/* ---- what the check of the whole says ---- */

static void expect_problem(const char *yaml, const char *message) {
    er_schema schema = {"sink", er_elasticsearch_sink.rows, er_elasticsearch_sink.config_size,
                        er_elasticsearch_sink.check};
    er_problems problems;
    void *config = NULL;
    er_problems_init(&problems, "sink.yaml");
    er_status status = er_config_parse(yaml, strlen(yaml), &schema, &config, &problems);
    const char *said = "no error";
    for (size_t i = problems.n; i-- > 0;) {
        said = problems.v[i].is_warning ? said : problems.v[i].message;
    }
    if ((status == ER_OK) != (message == NULL) || (message != NULL && strcmp(said, message) != 0)) {
        fail_msg("%s: %s", yaml, said);
    }
    er_config_free(&schema, config);
    er_problems_fini(&problems);
}

static void test_settings_that_do_not_fit(void **state) {
    (void)state;
    expect_problem("{url: \"http://h\", index: a}\n", NULL);
    expect_problem("{url: \"http://h/es\", moreUrls: [\"http://i\", {env: E}], alias: a}\n", NULL);
    expect_problem("{url: \"http://h\", dataStream: a, setup: true, "
                   "lifecycle: {rolloverAge: 24h}}\n",
                   NULL);
    expect_problem("{url: \"http://h\", index: \"a-{yyyy}\", setup: true, "
                   "lifecycle: {deleteAfter: 24h}}\n",
                   NULL);
    expect_problem("{url: \"http://h\"}\n", "needs one of index, alias and dataStream, such as "
                                            "index: k8s-events-{yyyy.MM.dd}");
    expect_problem("{url: \"http://h\", index: a, alias: b}\n",
                   "has more than one of index, alias and dataStream; keep one of them");
    expect_problem("{url: \"http://h/?x=1\", index: a}\n",
                   "url has a query; only the address of the cluster belongs there (there are "
                   "settings for index, pipeline and the like)");
    expect_problem("{url: \"http://h\", moreUrls: [\"http://i#x\"], index: a}\n",
                   "moreUrls has a query; only the address of the cluster belongs there (there are "
                   "settings for index, pipeline and the like)");
    expect_problem("{url: \"http://h/es/_bulk\", index: a}\n",
                   "url ends in /_bulk, which is appended to it; give the address of the cluster");
    expect_problem("{url: \"http://h\", moreUrls: [ftp://i], index: a}\n",
                   "expected a URL that begins with http:// or https://, such as "
                   "https://host.example:8443");
    expect_problem("{url: \"http://h\", index: a, headers: {content-type: x}}\n",
                   "headers has Content-Type, which is application/x-ndjson here; remove it");
    expect_problem("{url: \"http://h\", dataStream: a, lifecycle: {rolloverAge: 24h}}\n",
                   "has lifecycle, which is created by setup; add setup: true");
    expect_problem(
        "{url: \"http://h\", index: a, setup: true, lifecycle: {deleteAfter: 24h}}\n",
        "has lifecycle, but index is always the same one; use a dataStream, an alias, or "
        "a date such as index: a-{yyyy.MM.dd}");
    expect_problem(
        "{url: \"http://h\", index: \"a-{yyyy}\", setup: true, "
        "lifecycle: {rolloverAge: 24h}}\n",
        "has lifecycle.rolloverAge or rolloverSize, but its index changes with the date; "
        "they are for a dataStream or an alias");
    expect_problem("{url: \"http://h\", alias: a, setup: true, lifecycle: {deleteAfter: 24h}}\n",
                   "has lifecycle without rolloverAge and rolloverSize; without one of them "
                   "everything stays in one index, which is never deleted");
    expect_problem("{url: \"http://u:p@h\", index: a}\n", NULL);
    expect_problem("{url: \"http://h\", moreUrls: [\"http://u:p@i\"], index: a, auth: {apiKey: "
                   "{value: {env: E}}}}\n",
                   "has a user in one of moreUrls, and auth as well, which would be used alone; "
                   "remove one of them");
    expect_problem("{url: \"http://h\", index: \"{yyyy}\", setup: true}\n",
                   "has an index that begins with a date; setup needs a name before it, such as "
                   "k8s-events-{yyyy}");
}

/* ---- the server ---- */

typedef struct said {
    const char *answer;
    er_elastic_product product;
    unsigned major, minor;
    bool requires_data_streams;
} said;

static void test_what_servers_say(void **state) {
    (void)state;
    static const said all[] = {
        {"{\"version\":{\"number\":\"8.13.0\",\"build_flavor\":\"default\"},\"tagline\":\"x\"}",
         ER_ELASTIC_ELASTICSEARCH, 8, 13, true},
        {"{\"version\":{\"number\":\"8.12.2\"}}", ER_ELASTIC_ELASTICSEARCH, 8, 12, false},
        {"{\"version\":{\"number\":\"9.0.0-SNAPSHOT\"}}", ER_ELASTIC_ELASTICSEARCH, 9, 0, true},
        {"{\"version\":{\"number\":\"8.11.0\",\"build_flavor\":\"serverless\"}}",
         ER_ELASTIC_ELASTICSEARCH, 8, 11, true},
        {"{\"version\":{\"distribution\":\"opensearch\",\"number\":\"2.19.3\"}}",
         ER_ELASTIC_OPENSEARCH, 2, 19, false},
        {"{\"version\":{\"distribution\":\"opensearch\",\"number\":\"9.9.9\"}}",
         ER_ELASTIC_OPENSEARCH, 9, 9, false},
        {"{\"version\":{\"number\":\"x\"}}", ER_ELASTIC_ELASTICSEARCH, 0, 0, false},
        {"{\"version\":{\"number\":\"99999999999.1\"}}", ER_ELASTIC_ELASTICSEARCH, 0, 0, false},
        {"{\"version\":{\"number\":\"8.13.0 and a very long text that is no version at all\"}}",
         ER_ELASTIC_UNKNOWN, 0, 0, false},
        {"{\"version\":{\"number\":\"8\\u0007\"}}", ER_ELASTIC_UNKNOWN, 0, 0, false},
        {"{\"version\":{\"number\":8}}", ER_ELASTIC_UNKNOWN, 0, 0, false},
        {"{\"version\":\"8.13.0\"}", ER_ELASTIC_UNKNOWN, 0, 0, false},
        {"{\"version\":{\"number\":\"8.1", ER_ELASTIC_UNKNOWN, 0, 0, false},
        {"<html>", ER_ELASTIC_UNKNOWN, 0, 0, false},
        {"", ER_ELASTIC_UNKNOWN, 0, 0, false},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        char *text = er_dup(all[i].answer);
        er_elastic_server server;
        er_elastic_server_read(text, strlen(text), &server);
        if (server.product != all[i].product || server.major != all[i].major ||
            server.minor != all[i].minor ||
            er_elastic_can_require_data_stream(&server) != all[i].requires_data_streams) {
            fail_msg("%s: %d %u.%u", all[i].answer, (int)server.product, server.major,
                     server.minor);
        }
        free(text);
    }
}

/* ---- requests ---- */

#define OK_JSON(n_, body_)                                                                         \
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: " n_ "\r\n\r\n" body_
#define OPENSEARCH                                                                                 \
    OK_JSON("59", "{\"version\":{\"distribution\":\"opensearch\",\"number\":\"2.19.3\"}}")
#define ELASTICSEARCH OK_JSON("31", "{\"version\":{\"number\":\"8.15.0\"}}")
#define TAKEN                                                                                      \
    OK_JSON("63", "{\"items\":[{\"create\":{\"status\":201}},{\"create\":{\"status\":201}}]}")
#define FILTER                                                                                     \
    "/_bulk?filter_path=items.*.status,items.*.error.type,items.*.error.reason,"                   \
    "items.*.error.index,items.*.error.caused_by.reason,items.*.failure_store&timeout=20000ms"

/* What batch_of makes of record i. */
#define DOCUMENT(i_)                                                                               \
    "{\"@timestamp\":\"2026-01-02T03:04:20Z\","                                                    \
    "\"schema\":\"eventrouter.io/v1\",\"id\":\"u-" i_ "\",\"kind\":\"event\","                     \
    "\"cluster\":\"prod-eu1\",\"time\":\"2026-01-02T03:04:20Z\","                                  \
    "\"timeSource\":\"lastTimestamp\",\"observedTime\":\"2026-01-02T03:04:25.500000Z\","           \
    "\"severity\":\"WARNING\",\"type\":\"Warning\",\"reason\":\"BackOff\",\"message\":\"m" i_      \
    "\",\"namespace\":\"shop\",\"object\":{\"kind\":\"Pod\",\"name\":\"web-1\"},\"count\":1,"      \
    "\"event\":{}}\n"

static void expect_start(loopback *lb, size_t i, const char *line) {
    size_t n = strlen(line);
    if (strncmp(lb->requests[i], line, n) != 0 || lb->requests[i][n] != '\r') {
        fail_msg("%s", lb->requests[i]);
    }
}

static void expect_bulk(const char *yaml, const char *server, const char *target,
                        const char *body) {
    loopback lb;
    loopback_start(&lb, server);
    loopback_then(&lb, TAKEN);
    char text[1024];
    (void)snprintf(text, sizeof text, "url: \"http://127.0.0.1:%d/es/\"\n%s", lb.port, yaml);
    fixture f;
    fixture_init(&f, &er_elasticsearch_sink, text);
    er_err err = {0};
    assert_int_equal(f.type->open(f.self, er_deadline_in(5000), &err), ER_OK);
    er_batch *batch = batch_of(&f, 2);
    assert_int_equal(f.type->deliver(f.self, batch, &err), ER_OK);
    assert_string_equal(err.msg, "");
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    assert_int_equal(loopback_requests(&lb), 2);
    expect_start(&lb, 0, "GET /es/ HTTP/1.1");
    expect_start(&lb, 1, target);
    char type[512];
    assert_true(loopback_header(&lb, 1, "Content-Type", type));
    assert_string_equal(type, "application/x-ndjson");
    assert_string_equal(loopback_body(&lb, 1), body);
    er_batch_free(batch);
    fixture_fini(&f);
    loopback_stop(&lb);
}

static void test_requests(void **state) {
    (void)state;
    expect_bulk(
        "index: \"k8s-{yyyy.MM.dd}\"\n", OPENSEARCH, "POST /es" FILTER " HTTP/1.1",
        "{\"create\":{\"_index\":\"k8s-2026.01.02\",\"_id\":\"u-1\"}}\n" DOCUMENT(
            "1") "{\"create\":{\"_index\":\"k8s-2026.01.02\",\"_id\":\"u-2\"}}\n" DOCUMENT("2"));
    const char *to_a = "{\"create\":{\"_index\":\"a\",\"_id\":\"u-1\"}}\n" DOCUMENT(
        "1") "{\"create\":{\"_index\":\"a\",\"_id\":\"u-2\"}}\n" DOCUMENT("2");
    expect_bulk("alias: a\n", OPENSEARCH, "POST /es" FILTER "&require_alias=true HTTP/1.1", to_a);
    expect_bulk("dataStream: a\npipeline: \"b/c d\"\n", ELASTICSEARCH,
                "POST /es" FILTER "&pipeline=b%2Fc%20d&require_data_stream=true HTTP/1.1", to_a);
    expect_bulk("dataStream: a\n", OPENSEARCH, "POST /es" FILTER " HTTP/1.1", to_a);
}

/* ---- several addresses ---- */

static void test_the_next_address_at_once(void **state) {
    (void)state;
    loopback down;
    loopback up;
    loopback_start(&down, "HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n");
    loopback_start(&up, OPENSEARCH);
    loopback_then(&up, TAKEN);
    char text[1024];
    (void)snprintf(
        text, sizeof text,
        "{url: \"http://127.0.0.1:%d\", moreUrls: [\"http://127.0.0.1:%d\"], index: a}\n",
        down.port, up.port);
    fixture f;
    fixture_init(&f, &er_elasticsearch_sink, text);
    er_err err = {0};
    assert_int_equal(f.type->open(f.self, er_deadline_in(5000), &err), ER_OK);
    for (int i = 0; i < 3; i++) {
        er_batch *batch = batch_of(&f, 2);
        assert_int_equal(f.type->deliver(f.self, batch, &err), ER_OK);
        expect_verdicts(batch, ER_VERDICT_DELIVERED);
        er_batch_free(batch);
    }
    assert_int_equal(loopback_requests(&down), 1); /* it rests */
    assert_int_equal(loopback_requests(&up), 4);
    /* when all rest, one is asked all the same, and its error told */
    loopback_reset(&up, "HTTP/1.1 502 X\r\nContent-Length: 0\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        er_batch *batch = batch_of(&f, 2);
        assert_int_equal(f.type->deliver(f.self, batch, &err), ER_E_UNAVAILABLE);
        er_batch_free(batch);
    }
    assert_int_equal(loopback_requests(&down) + loopback_requests(&up), 4);
    fixture_fini(&f);
    loopback_stop(&down);
    loopback_stop(&up);
}

static void test_addresses_in_turn(void **state) {
    (void)state;
    loopback lbs[3];
    for (size_t i = 0; i < 3; i++) {
        loopback_start(&lbs[i], TAKEN);
    }
    char text[1024];
    (void)snprintf(text, sizeof text,
                   "{url: \"http://127.0.0.1:%d\", index: a, "
                   "moreUrls: [\"http://127.0.0.1:%d\", \"http://127.0.0.1:%d\"]}\n",
                   lbs[0].port, lbs[1].port, lbs[2].port);
    fixture f;
    fixture_init(&f, &er_elasticsearch_sink, text);
    for (int i = 0; i < 6; i++) {
        er_batch *batch = batch_of(&f, 2);
        er_err err = {0};
        assert_int_equal(f.type->deliver(f.self, batch, &err), ER_OK);
        er_batch_free(batch);
        assert_int_equal(loopback_requests(&lbs[i % 3]), 1 + i / 3);
    }
    fixture_fini(&f);
    for (size_t i = 0; i < 3; i++) {
        loopback_stop(&lbs[i]);
    }
}

/* ---- whole answers ---- */

typedef struct whole {
    const char *answer;
    er_status status;
    er_verdict verdict; /* of a single record */
    const char *text;   /* the error, or the rejection's text, ends so, when it is not "" */
    const char *body;   /* NULL: none */
} whole;

#define ERROR_BODY(type_, reason_) "{\"error\":{\"type\":\"" type_ "\",\"reason\":\"" reason_ "\"}}"

static const whole whole_answers[] = {
    {"429 X\r\n", ER_E_UNAVAILABLE, ER_VERDICT_NONE, ""},
    {"503 X\r\n", ER_E_UNAVAILABLE, ER_VERDICT_NONE, ""},
    {"413 X\r\n", ER_OK, ER_VERDICT_REJECT, ""},
    /* what has not the server's own words is no proof against a record */
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.url"},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: <title>400 The plain HTTP request was sent to HTTPS port</title>; check "
     "sinks.hook.url",
     "<title>400 The plain HTTP request was sent to HTTPS port</title>"},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: {\"error\":\"no handler found for uri [/a/b/_bulk] and method [POST]\"}; check "
     "sinks.hook.url",
     "{\"error\":\"no handler found for uri [/a/b/_bulk] and method [POST]\"}"},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: illegal_argument_exception: request [/_bulk] contains unrecognized parameter: "
     "[x]; check sinks.hook.url",
     "{\"error\":{\"type\":\"illegal_argument_exception\",\"reason\":\"request [/_bulk] contains "
     "unrecognized parameter: [x]\"}}"},
    {"409 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: a_b: c; check sinks.hook.url",
     "{\"error\":{\"type\":\"a_b\",\"reason\":\"c\"}}"},
    {"411 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.url"},
    {"422 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.url"},
    {"431 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.url"},
    {"401 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.auth"},
    {"403 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.auth"},
    {"404 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.url"},
    {"405 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, "/_bulk: check sinks.hook.url"},
    {"406 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, ""},
    {"501 X\r\n", ER_E_DENIED, ER_VERDICT_NONE, ""},
    {"302 X\r\nLocation: http://x/\r\n", ER_E_DENIED, ER_VERDICT_NONE, ""},
    {"403 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: security_exception: action [indices:data/write/bulk] is unauthorized; check "
     "sinks.hook.auth",
     "{\"error\":{\"type\":\"security_exception\",\"reason\":\"action "
     "[indices:data/write/bulk] is unauthorized\"},\"status\":403}"},
    {"403 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: {\"message\": \"no\"}; check sinks.hook.auth", "{\"message\": \"no\"}\r\n"},
    /* nor is what no record can bring about */
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: illegal_argument_exception: explicit index in bulk is not allowed; set "
     "rest.action.multi.allow_explicit_index of the cluster to true",
     ERROR_BODY("illegal_argument_exception", "explicit index in bulk is not allowed")},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: illegal_argument_exception: The bulk request must be terminated by a newline [n]; "
     "check sinks.hook.url",
     ERROR_BODY("illegal_argument_exception",
                "The bulk request must be terminated by a newline [n]")},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: json_parse_exception: Illegal character; check sinks.hook.url",
     ERROR_BODY("json_parse_exception", "Illegal character")},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: json_e_o_f_exception: Unexpected end-of-input; check sinks.hook.url",
     ERROR_BODY("json_e_o_f_exception", "Unexpected end-of-input")},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: parse_exception: request body is required; check sinks.hook.url",
     ERROR_BODY("parse_exception", "request body is required")},
    {"400 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: illegal_argument_exception: pipeline with id [p] does not exist; put the target "
     "right",
     ERROR_BODY("illegal_argument_exception", "pipeline with id [p] does not exist")},
    {"403 X\r\n", ER_E_DENIED, ER_VERDICT_NONE,
     "/_bulk: cluster_block_exception: blocked by: [FORBIDDEN/6/cluster read-only (api)];; lift "
     "the block of the cluster",
     ERROR_BODY("cluster_block_exception", "blocked by: [FORBIDDEN/6/cluster read-only (api)];")},
    {"429 X\r\n", ER_E_UNAVAILABLE, ER_VERDICT_NONE,
     "/_bulk: rejected_execution_exception: too much",
     "{\"error\":{\"type\":\"rejected_execution_exception\",\"reason\":\"too much\"}}"},
    {"400 X\r\n", ER_OK, ER_VERDICT_REJECT,
     "/_bulk: action_request_validation_exception: too  long",
     "{\"error\":{\"type\":\"action_request_validation_exception\","
     "\"reason\":\"too \\nlong\"}}"},
    {"502 X\r\n", ER_E_UNAVAILABLE, ER_VERDICT_NONE, "/_bulk: <html>  </html>",
     "<html>\r\n</html>"},
    {"200 X\r\n", ER_E_UNAVAILABLE, ER_VERDICT_NONE,
     "the answer to _bulk is not understood: 0 results for 1 records, without an end; check "
     "sinks.hook.url"},
    {"200 X\r\n", ER_E_UNAVAILABLE, ER_VERDICT_NONE,
     "the answer to _bulk is not understood: 0 results for 1 records, without an end: "
     "<html> Log in</html>; check sinks.hook.url",
     "<html>\nLog in</html>\n"},
};

static void test_answers_to_the_whole_request(void **state) {
    (void)state;
    loopback lb;
    loopback_start(&lb, "");
    char text[256];
    (void)snprintf(text, sizeof text, "{url: \"http://127.0.0.1:%d\", index: a}\n", lb.port);
    fixture f;
    fixture_init(&f, &er_elasticsearch_sink, text);
    for (size_t i = 0; i < sizeof whole_answers / sizeof whole_answers[0]; i++) {
        const char *body = whole_answers[i].body == NULL ? "" : whole_answers[i].body;
        char answer[512];
        (void)snprintf(answer, sizeof answer, "HTTP/1.1 %sContent-Length: %zu\r\n\r\n%s",
                       whole_answers[i].answer, strlen(body), body);
        loopback_reset(&lb, answer);
        er_batch *batch = batch_of(&f, 1);
        er_err err = {0};
        er_status status = f.type->deliver(f.self, batch, &err);
        const char *told = batch->v[0].text == NULL ? err.msg : batch->v[0].text;
        size_t n = strlen(whole_answers[i].text);
        size_t len = strlen(told);
        if (status != whole_answers[i].status ||
            er_batch_verdict(batch, 0) != whole_answers[i].verdict || len < n ||
            strcmp(told + len - n, whole_answers[i].text) != 0) {
            fail_msg("%s: %d, %d, %s", whole_answers[i].answer, (int)status,
                     (int)er_batch_verdict(batch, 0), told);
        }
        er_batch_free(batch);
    }
    /* several at once are halved, unless none of them is to blame */
    er_batch *batch = batch_of(&f, 2);
    er_err err = {0};
    loopback_reset(&lb, "HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n");
    assert_int_equal(f.type->deliver(f.self, batch, &err), ER_E_SPLIT);
    loopback_reset(&lb, "HTTP/1.1 400 X\r\nContent-Length: 22\r\n\r\n{\"error\":{\"type\":\"a\"}}");
    assert_int_equal(f.type->deliver(f.self, batch, &err), ER_E_SPLIT);
    loopback_reset(&lb, "HTTP/1.1 400 X\r\nContent-Length: 38\r\n\r\n"
                        "{\"error\":{\"type\":\"x_parse_exception\"}}");
    assert_int_equal(f.type->deliver(f.self, batch, &err), ER_E_DENIED);
    er_batch_free(batch);
    fixture_fini(&f);
    loopback_stop(&lb);
}

/* A proxy that does not know gzip, or takes only the header away. */
static void test_what_compression_may_have_done(void **state) {
    (void)state;
    static const struct {
        const char *answer, *advice;
    } all[] = {
        {"HTTP/1.1 415 X\r\nContent-Length: 0\r\n\r\n",
         "/_bulk: the receiver does not take our format; check sinks.hook.url and "
         "sinks.hook.compression"},
        {"HTTP/1.1 400 X\r\nContent-Length: 41\r\n\r\n"
         "{\"error\":{\"type\":\"json_parse_exception\"}}",
         "/_bulk: json_parse_exception; check sinks.hook.url and sinks.hook.compression"},
        {"HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n", "/_bulk: check sinks.hook.url"},
    };
    loopback lb;
    loopback_start(&lb, "");
    char text[256];
    (void)snprintf(text, sizeof text,
                   "{url: \"http://127.0.0.1:%d\", index: a, compression: gzip}\n", lb.port);
    fixture f;
    fixture_init(&f, &er_elasticsearch_sink, text);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        loopback_reset(&lb, all[i].answer);
        er_batch *batch = batch_of(&f, 1);
        er_err err = {0};
        assert_int_equal(f.type->deliver(f.self, batch, &err), ER_E_DENIED);
        assert_string_equal(strstr(err.msg, "/_bulk"), all[i].advice);
        er_batch_free(batch);
    }
    fixture_fini(&f);
    loopback_stop(&lb);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_compression_may_have_done),
        cmocka_unit_test(test_names_of_indices),
        cmocka_unit_test(test_names_of_aliases_and_data_streams),
        cmocka_unit_test(test_the_date_is_the_records),
        cmocka_unit_test(test_settings_that_do_not_fit),
        cmocka_unit_test(test_what_servers_say),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_the_next_address_at_once),
        cmocka_unit_test(test_addresses_in_turn),
        cmocka_unit_test(test_answers_to_the_whole_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
