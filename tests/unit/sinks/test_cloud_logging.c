/* The sink cloudLogging: its requests byte by byte, the resource, sizes and times, and what it
 * makes of every answer. */
#include "loopback.h"
#include "sink_fixture.h"
#include "sinks/cloud_logging.h"

#include "base/json_read.h"

#define PLACE "project: p-1\nlocation: europe-west1\nclusterName: c-1\nauth: {bearer: t}\n"

static char empty_answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

typedef struct log_sink {
    loopback lb;
    fixture f;
} log_sink;

static void log_init(log_sink *l, const char *answer, const char *yaml) {
    loopback_start(&l->lb, answer);
    char text[1024];
    (void)snprintf(text, sizeof text, "url: \"http://127.0.0.1:%d/\"\n%s", l->lb.port, yaml);
    fixture_init(&l->f, &er_cloud_logging_sink, text);
}

static er_status open_it(log_sink *l, er_err *err) {
    *err = (er_err){0};
    return l->f.type->open(l->f.self, er_deadline_in(5000), err);
}

static void log_open(log_sink *l, const char *answer, const char *yaml) {
    log_init(l, answer, yaml);
    er_err err;
    if (open_it(l, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
}

static void log_fini(log_sink *l) {
    fixture_fini(&l->f);
    loopback_stop(&l->lb);
}

/* ---- requests ---- */

#define ENTRY(i_, labels_)                                                                         \
    "{\"logName\":\"projects/p-1/logs/eventrouter\",\"resource\":{\"type\":\"k8s_cluster\","       \
    "\"labels\":{\"project_id\":\"p-1\",\"location\":\"europe-west1\",\"cluster_name\":\"c-1\"}}," \
    "\"timestamp\":\"2026-01-02T03:04:20Z\",\"severity\":\"WARNING\",\"insertId\":\"u-" i_ "\","   \
    "\"labels\":{\"cluster\":\"prod-eu1\",\"kind\":\"event\",\"reason\":\"BackOff\","              \
    "\"namespace\":\"shop\",\"objectKind\":\"Pod\",\"objectName\":\"web-1\"" labels_ "},"          \
    "\"jsonPayload\":{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-" i_ "\",\"kind\":\"event\","    \
    "\"cluster\":\"prod-eu1\",\"time\":\"2026-01-02T03:04:20Z\","                                  \
    "\"timeSource\":\"lastTimestamp\",\"observedTime\":\"2026-01-02T03:04:25.500000Z\","           \
    "\"severity\":\"WARNING\",\"type\":\"Warning\",\"reason\":\"BackOff\",\"message\":\"m" i_      \
    "\",\"namespace\":\"shop\",\"object\":{\"kind\":\"Pod\",\"name\":\"web-1\"},\"count\":1,"      \
    "\"event\":{}}}"

static void test_the_request(void **state) {
    (void)state;
    log_sink l;
    log_open(&l, empty_answer, PLACE "labels: {team: blue, \"a\\\"b\": \"c\\\\d\"}\n");
    er_batch *batch = batch_of(&l.f, 2);
    er_err err = {0};
    assert_int_equal(l.f.type->deliver(l.f.self, batch, &err), ER_OK);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    assert_int_equal(loopback_requests(&l.lb), 1);
    static const char line[] = "POST /v2/entries:write HTTP/1.1\r\n";
    assert_memory_equal(l.lb.requests[0], line, sizeof line - 1);
    char value[512];
    assert_true(loopback_header(&l.lb, 0, "Authorization", value));
    assert_string_equal(value, "Bearer t");
    assert_true(loopback_header(&l.lb, 0, "Content-Type", value));
    assert_string_equal(value, "application/json");
#define LABELS ",\"team\":\"blue\",\"a\\\"b\":\"c\\\\d\""
    assert_string_equal(loopback_body(&l.lb, 0), "{\"partialSuccess\":true,\"entries\":[" ENTRY(
                                                     "1", LABELS) "," ENTRY("2", LABELS) "]}");
    er_batch_free(batch);
    log_fini(&l);
}

/* The whole address does as well. */
static void test_the_url(void **state) {
    (void)state;
    static const char *const paths[] = {"", "/", "//", "/v2/entries:write", "/v2/entries:write/"};
    loopback lb;
    loopback_start(&lb, empty_answer);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        char text[512];
        (void)snprintf(text, sizeof text, "url: \"http://127.0.0.1:%d%s\"\n" PLACE, lb.port,
                       paths[i]);
        fixture f;
        fixture_init(&f, &er_cloud_logging_sink, text);
        er_err err = {0};
        assert_int_equal(f.type->open(f.self, er_deadline_in(0), &err), ER_OK);
        er_batch *batch = batch_of(&f, 1);
        assert_int_equal(f.type->deliver(f.self, batch, &err), ER_OK);
        er_batch_free(batch);
        fixture_fini(&f);
        static const char line[] = "POST /v2/entries:write HTTP/1.1\r\n";
        assert_memory_equal(lb.requests[i], line, sizeof line - 1);
    }
    loopback_stop(&lb);
}

/* ---- what is looked up ---- */

static void expect_log_name(log_sink *l, const char *want) {
    er_batch *batch = batch_of(&l->f, 1);
    char *body = er_str_dup(er_buf_str(&er_batch_item(batch, 0)->body));
    assert_memory_equal(body, want, strlen(want));
    free(body);
    er_batch_free(batch);
}

static void use_metadata_of(const loopback *lb) {
    char host[64];
    (void)snprintf(host, sizeof host, "127.0.0.1:%d", lb->port);
    assert_int_equal(setenv("GCE_METADATA_HOST", host, 1), 0);
}

#define TEXT(status_, n_, text_) "HTTP/1.1 " status_ "\r\nContent-Length: " n_ "\r\n\r\n" text_

static void test_looked_up(void **state) {
    (void)state;
    log_sink l;
    log_init(&l, TEXT("200 OK", "3", "p-7"), "logId: a/b\n");
    loopback_then(&l.lb, TEXT("404 Not Found", "0", "")); /* not a GKE node: its zone then */
    loopback_then(&l.lb, TEXT("200 OK", "24", "projects/42/zones/eu-w-b"));
    loopback_then(&l.lb, TEXT("200 OK", "4", "c-7\n"));
    use_metadata_of(&l.lb);
    er_err err;
    assert_int_equal(open_it(&l, &err), ER_OK);
    static const char *const paths[] = {"/project/project-id ",
                                        "/instance/attributes/cluster-location ", "/instance/zone ",
                                        "/instance/attributes/cluster-name "};
    assert_int_equal(loopback_requests(&l.lb), 4);
    for (size_t i = 0; i < 4; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "GET /computeMetadata/v1%s", paths[i]);
        assert_memory_equal(l.lb.requests[i], line, strlen(line));
    }
    expect_log_name(&l,
                    "{\"logName\":\"projects/p-7/logs/a%2Fb\",\"resource\":{\"type\":"
                    "\"k8s_cluster\",\"labels\":{\"project_id\":\"p-7\",\"location\":\"eu-w-b\","
                    "\"cluster_name\":\"c-7\"}},");
    log_fini(&l);
}

/* What is known stays; what is not is asked for again. Settings win, and with all three of them
 * nobody is asked. */
static void test_looked_up_in_the_end(void **state) {
    (void)state;
    log_sink l;
    log_init(&l, TEXT("200 OK", "3", "p-7"), "location: here\n");
    loopback_then(&l.lb, TEXT("503 Service Unavailable", "0", ""));
    loopback_then(&l.lb, TEXT("404 Not Found", "0", ""));
    loopback_then(&l.lb, NULL); /* hangs up */
    loopback_then(&l.lb, TEXT("200 OK", "3", "c-7"));
    use_metadata_of(&l.lb);
    er_err err;
    assert_int_equal(open_it(&l, &err), ER_E_UNAVAILABLE);
    assert_int_equal(err.code, ER_E_UNAVAILABLE);
    char text[256];
    (void)snprintf(
        text, sizeof text,
        "sinks.hook: outside of GKE these must be set: clusterName; they cannot be looked "
        "up: 503 from the metadata server 127.0.0.1:%d for "
        "instance/attributes/cluster-name",
        l.lb.port);
    assert_string_equal(err.msg, text);
    assert_int_equal(open_it(&l, &err), ER_E_DENIED); /* no GKE: it must be set */
    assert_int_equal(err.code, ER_E_DENIED);
    assert_int_equal(open_it(&l, &err), ER_E_UNAVAILABLE);
    assert_int_equal(open_it(&l, &err), ER_OK);
    assert_int_equal(loopback_requests(&l.lb), 5);
    expect_log_name(&l, "{\"logName\":\"projects/p-7/logs/eventrouter\",");
    log_fini(&l);
    log_open(&l, NULL, PLACE);
    assert_int_equal(loopback_requests(&l.lb), 0);
    log_fini(&l);
}

/* ---- the resource ---- */

static void expect_resource(const char *kind, const char *name, const char *object_namespace,
                            const char *namespace, const char *want) {
    er_record rec = {.object = {.kind = er_str_of(kind),
                                .name = er_str_of(name),
                                .namespace_ = er_str_of(object_namespace)},
                     .namespace_ = er_str_of(namespace)};
    const er_log_place place = {ER_STR("p"), ER_STR("l"), ER_STR("c")};
    er_buf out;
    er_buf_init(&out, 4096);
    er_jw w;
    er_jw_init(&w, &out);
    er_log_put_resource(&rec, &place, &w);
    char text[512];
    (void)snprintf(text, sizeof text,
                   "{\"type\":\"k8s_%.*s\",\"labels\":{\"project_id\":\"p\",\"location\":\"l\","
                   "\"cluster_name\":\"c\"%s}}",
                   (int)strcspn(want, ","), want, want + strcspn(want, ","));
    assert_string_equal(er_buf_cstr(&out), text);
    er_buf_fini(&out);
}

static void test_the_resource(void **state) {
    (void)state;
    expect_resource("Pod", "web", "shop", "shop",
                    "pod,\"namespace_name\":\"shop\",\"pod_name\":\"web\"");
    expect_resource("Pod", "web", "other", "shop", "cluster"); /* it claims another's namespace */
    expect_resource("Pod", "web", "", "shop", "cluster");
    expect_resource("Pod", "web", "", "", "cluster");
    expect_resource("Pod", "", "shop", "shop", "cluster");
    expect_resource("Node", "n1", "", "default", "node,\"node_name\":\"n1\"");
    expect_resource("Node", "n1", "", "", "node,\"node_name\":\"n1\"");
    expect_resource("Node", "", "", "default", "cluster");
    expect_resource("Deployment", "web", "shop", "shop", "cluster");
    expect_resource("pod", "web", "shop", "shop", "cluster");
    expect_resource("", "", "", "", "cluster");
}

/* ---- time ---- */

static void expect_time(const char *time, const char *observed, const char *want) {
    er_record rec = {.time = time_of(time), .observed_time = time_of(observed)};
    char got[ER_TIME_TEXT];
    assert_string_equal(er_time_format(er_log_time(&rec), got), want);
}

static void test_the_time(void **state) {
    (void)state;
    static const char seen[] = "2026-01-02T03:04:05Z";
    expect_time("2026-01-01T00:00:00.000001Z", seen, "2026-01-01T00:00:00.000001Z");
    expect_time("2026-01-03T02:04:05Z", seen, "2026-01-03T02:04:05Z"); /* 23 h ahead */
    expect_time("2026-01-03T02:04:05.000001Z", seen, seen);
    expect_time("9999-12-31T23:59:59Z", seen, seen);
    expect_time("1970-01-01T00:00:00Z", seen, "1970-01-01T00:00:00Z");
    expect_time("0000-01-01T00:00:00Z", seen, seen); /* google.protobuf.Timestamp begins later */
}

/* ---- size ---- */

static void expect_size(const char *json, size_t want) {
    assert_int_equal(er_log_struct_size(er_str_of(json)), want);
}

/* As google.protobuf.json_format and ByteSize() have it. */
static void test_the_size(void **state) {
    (void)state;
    expect_size("{}", 0);
    expect_size("{\"a\":1}", 16);
    expect_size("{\"a\":\"b\"}", 10);
    expect_size("{\"a\":true,\"b\":null,\"c\":false}", 27);
    expect_size("{\"a\":[]}", 9);
    expect_size("{\"a\":{}}", 9);
    expect_size("{\"a\":[0,-1.5e3,\"x\",[{}]]}", 44);
    expect_size("{\"\xc3\xa9\":\"\\u0001\\\"\\\\\\n\"}", 14);
    char text[20100];
    (void)snprintf(text, sizeof text, "{\"a\":\"%0200d\"}", 0);
    expect_size(text, 212);
    (void)snprintf(text, sizeof text, "{\"a\":{\"b\":{\"c\":[\"%020000d\"]}}}", 0);
    expect_size(text, 20053);
}

/* A JSON array of `n` bytes: of one text, or of zeros, which weigh 11 bytes each there. */
static char *array_of(size_t n, bool is_zeros) {
    char *text = malloc(n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        text[i] = is_zeros ? "0,"[i % 2 == 0] : 'x';
    }
    memcpy(text, is_zeros ? "[0" : "[\"", 2);
    memcpy(text + n - 2, is_zeros ? "0]" : "\"]", 3);
    return text;
}

static er_status encode_change(log_sink *l, size_t diff, size_t patch, bool is_zeros, er_buf *out) {
    char *diff_text = array_of(diff, false);
    char *patch_text = array_of(patch, is_zeros);
    er_record draft = draft_of("u-1", "m");
    draft.kind = ER_KIND_CHANGE;
    draft.change = (er_change_part){.operation = ER_STR("updated"),
                                    .diff = {diff_text, diff},
                                    .patch = {patch_text, patch},
                                    .replicas_old = -1,
                                    .replicas_new = -1,
                                    .replicas_max = -1};
    er_record *rec = er_record_seal(&draft);
    er_item item;
    er_buf_init(&item.body, l->f.type->item_max);
    er_err err = {0};
    er_status status = l->f.type->encode(l->f.self, rec, &item, &err);
    er_buf_put_str(out, er_buf_str(&item.body));
    /* The same bytes again: a repeat must not become another entry. */
    er_buf_clear(&item.body);
    assert_int_equal(l->f.type->encode(l->f.self, rec, &item, &err), status);
    assert_true(er_str_eq(er_buf_str(out), er_buf_str(&item.body)));
    er_buf_fini(&item.body);
    er_record_unref(rec);
    free(diff_text);
    free(patch_text);
    return status;
}

static void expect_change(log_sink *l, size_t diff, size_t patch, bool is_zeros, bool has_diff,
                          bool has_patch) {
    er_buf out;
    er_buf_init(&out, 4u << 20);
    assert_int_equal(encode_change(l, diff, patch, is_zeros, &out), ER_OK);
    er_json_doc doc;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, out.p, out.len, NULL), ER_OK);
    const er_json *change = er_json_path(doc.root, "jsonPayload", "change");
    assert_int_equal(er_json_get(change, "diff") != NULL, has_diff);
    assert_int_equal(er_json_get(change, "patch") != NULL, has_patch);
    assert_int_equal(er_json_is_true(er_json_get(change, "truncated")), !has_diff || !has_patch);
    er_json_doc_fini(&doc);
    er_buf_fini(&out);
}

/* 256 KiB an entry: a change goes without its patch, then without its diff; anything else is
 * rejected alone. */
static void test_too_large(void **state) {
    (void)state;
    log_sink l;
    log_open(&l, NULL, PLACE);
    expect_change(&l, 100000, 100000, false, true, true);
    expect_change(&l, 130000, 130000, false, true, false);
    expect_change(&l, 1000, 40001, true, true, true);
    expect_change(&l, 1000, 60001, true, true, false);
    expect_change(&l, 250000, 1000, false, false, false);
    er_record draft = draft_of("u-1", "m");
    char *large = array_of(300000, false);
    draft.event.action = (er_str){large, 300000};
    er_record *rec = er_record_seal(&draft);
    er_item item;
    er_buf_init(&item.body, l.f.type->item_max);
    er_err err = {0};
    assert_int_equal(l.f.type->encode(l.f.self, rec, &item, &err), ER_E_LIMIT);
    assert_non_null(strstr(err.msg, "an entry of 300"));
    assert_non_null(strstr(err.msg, " bytes; the service takes 262144"));
    er_buf_fini(&item.body);
    er_record_unref(rec);
    free(large);
    /* As JSON it is six times as large as what the service counts. */
    char *controls = malloc(65001);
    assert_non_null(controls);
    memset(controls, 1, 65000);
    controls[65000] = '\0';
    er_batch *batch = er_batch_new();
    batch_add(&l.f, batch, record_of("u-1", controls));
    er_batch_free(batch);
    free(controls);
    log_fini(&l);
}

/* ---- answers ---- */

#define PARTIAL(status_, code_, name_, errors_)                                                    \
    status_ "\n"                                                                                   \
            "{\"error\":{\"code\":" code_                                                          \
            ",\"message\":\"Some entries were refused\",\"status\":\"" name_                       \
            "\",\"details\":[{\"@type\":\"type.googleapis.com/google.rpc.Other\"},{\"@type\":"     \
            "\"type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors\","              \
            "\"logEntryErrors\":{" errors_ "}}]}}"
#define PLAIN(status_, code_, name_, message_)                                                     \
    status_ "\n"                                                                                   \
            "{\"error\":{\"code\":" code_ ",\"message\":\"" message_ "\",\"status\":\"" name_      \
            "\"}}"

/* For three records: D delivered, R rejected as refused, L rejected as too large, A again, . not
 * judged (again). */
typedef struct row {
    const char *answer; /* status line, LF, body */
    er_status status;
    const char *verdicts;
    const char *said; /* of the endpoint, or of what is rejected first; @: the URL */
} row;

static char letter_of(const er_batch *batch, size_t i) {
    switch (batch->v[i].verdict) {
    case ER_VERDICT_DELIVERED:
        return 'D';
    case ER_VERDICT_REJECT:
        return batch->v[i].reason == ER_REASON_TOO_LARGE ? 'L' : 'R';
    case ER_VERDICT_RETRY:
        return 'A';
    case ER_VERDICT_NONE:
    case ER_VERDICT_KEPT:
    case ER_VERDICT_ASIDE:
        break;
    }
    return '.';
}

/* What loopback is to say; to be freed. */
static char *whole_answer(const char *answer) {
    int line = (int)strcspn(answer, "\n");
    const char *body = answer + line + 1;
    size_t n = strlen(answer) + 128;
    char *text = malloc(n);
    assert_non_null(text);
    (void)snprintf(text, n, "HTTP/1.1 %.*s\r\nContent-Length: %zu\r\n\r\n%s", line, answer,
                   strlen(body), body);
    return text;
}

static void expect_answer(log_sink *l, const row *r, size_t n) {
    char *answer = whole_answer(r->answer);
    loopback_reset(&l->lb, answer);
    er_batch *batch = batch_of(&l->f, n);
    er_err err = {0};
    er_status status = l->f.type->deliver(l->f.self, batch, &err);
    char got[4] = "";
    const char *said = err.msg;
    for (size_t i = 0; i < n; i++) {
        got[i] = letter_of(batch, i);
        bool is_first = said[0] == '\0' && batch->v[i].text != NULL;
        said = is_first ? batch->v[i].text : said;
    }
    char want[1024];
    const char *at = strchr(r->said, '@');
    size_t before = at == NULL ? strlen(r->said) : (size_t)(at - r->said);
    char url[128] = "";
    if (at != NULL) {
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d/v2/entries:write", l->lb.port);
    }
    (void)snprintf(want, sizeof want, "%.*s%s%s", (int)before, r->said, url,
                   at == NULL ? "" : at + 1);
    if (status != r->status || strcmp(got, r->verdicts) != 0 || strcmp(said, want) != 0 ||
        (status != ER_OK && err.code != status)) {
        fail_msg("%s\n%d %s %s\nwant\n%d %s %s", r->answer, status, got, said, r->status,
                 r->verdicts, want);
    }
    er_batch_free(batch);
    loopback_reset(&l->lb, NULL);
    free(answer);
}

static void expect_answers(const row *rows, size_t n, size_t records) {
    log_sink l;
    log_open(&l, NULL, PLACE);
    for (size_t i = 0; i < n; i++) {
        expect_answer(&l, &rows[i], records);
    }
    log_fini(&l);
}

#define FORBIDDEN(reason_)                                                                         \
    "403 X\n{\"error\":{\"code\":403,\"status\":\"PERMISSION_DENIED\",\"message\":\"no\","         \
    "\"details\":[{},{\"@type\":\"type.googleapis.com/"                                            \
    "google.rpc.ErrorInfo\",\"reason\":\"" reason_ "\"}]}}"

/* The service says which right is missing. */
static void test_what_is_forbidden(void **state) {
    (void)state;
    static const row rows[] = {
        {FORBIDDEN("SERVICE_DISABLED"), ER_E_DENIED, "...",
         "403 Forbidden from @: PERMISSION_DENIED: no; enable the Cloud Logging API in the "
         "project"},
        {FORBIDDEN("BILLING_DISABLED"), ER_E_DENIED, "...",
         "403 Forbidden from @: PERMISSION_DENIED: no; enable billing for the project"},
        {FORBIDDEN("ACCESS_TOKEN_SCOPE_INSUFFICIENT"), ER_E_DENIED, "...",
         "403 Forbidden from @: PERMISSION_DENIED: no; the token lacks the scope logging.write: "
         "widen the access scopes of the node, or give the pod an account of its own"},
        {FORBIDDEN("SECURITY_POLICY_VIOLATED"), ER_E_DENIED, "...",
         "403 Forbidden from @: PERMISSION_DENIED: no; a perimeter of VPC Service Controls is in "
         "the way"},
        {FORBIDDEN("IAM_PERMISSION_DENIED"), ER_E_DENIED, "...",
         "403 Forbidden from @: PERMISSION_DENIED: no; the account needs roles/logging.logWriter "
         "in project p-1"},
    };
    expect_answers(rows, sizeof rows / sizeof rows[0], 3);
}

static void test_whole_answers(void **state) {
    (void)state;
    static const row rows[] = {
        {"200 OK\n{}", ER_OK, "DDD", ""},
        {"200 OK\n", ER_E_DENIED, "...", "200, but not an answer of Cloud Logging: check url"},
        {"200 OK\n{\"error\":{\"code\":400}}", ER_E_DENIED, "...",
         "200, but not an answer of Cloud Logging: check url"},
        {"200 OK\n<html>Welcome</html>", ER_E_DENIED, "...",
         "200, but not an answer of Cloud Logging: check url"},
        {PLAIN("429 Too Many Requests", "429", "RESOURCE_EXHAUSTED", "Quota\\nexceeded"),
         ER_E_UNAVAILABLE, "...",
         "429 Too Many Requests from @: RESOURCE_EXHAUSTED: Quota exceeded"},
        {PLAIN("500 Internal Server Error", "500", "INTERNAL", "oh"), ER_E_UNAVAILABLE, "...",
         "500 Internal Server Error from @: INTERNAL: oh"},
        {"502 Bad Gateway\n<p>\n502", ER_E_UNAVAILABLE, "...", "502 Bad Gateway from @: <p> 502"},
        {PLAIN("503 Service Unavailable", "503", "UNAVAILABLE", "oh"), ER_E_UNAVAILABLE, "...",
         "503 Service Unavailable from @: UNAVAILABLE: oh"},
        {PLAIN("504 Gateway Timeout", "504", "DEADLINE_EXCEEDED", "oh"), ER_E_UNAVAILABLE, "...",
         "504 Gateway Timeout from @: DEADLINE_EXCEEDED: oh"},
        {PLAIN("409 Conflict", "409", "ABORTED", "oh"), ER_E_UNAVAILABLE, "...",
         "409 Conflict from @: ABORTED: oh"},
        {PLAIN("499 X", "499", "CANCELLED", "oh"), ER_E_UNAVAILABLE, "...",
         "499 from @: CANCELLED: oh"},
        {PLAIN("401 Unauthorized", "401", "UNAUTHENTICATED", "no"), ER_E_DENIED, "...",
         "401 Unauthorized from @: UNAUTHENTICATED: no; check sinks.hook.auth"},
        {PLAIN("403 Forbidden", "403", "PERMISSION_DENIED", "no"), ER_E_DENIED, "...",
         "403 Forbidden from @: PERMISSION_DENIED: no; the account needs roles/logging.logWriter "
         "in "
         "project p-1"},
        {PLAIN("404 Not Found", "404", "NOT_FOUND", "no"), ER_E_DENIED, "...",
         "404 Not Found from @: NOT_FOUND: no; check sinks.hook.project and url"},
        {"403 Forbidden\n<html>no</html>", ER_E_DENIED, "...",
         "403 Forbidden from @: <html>no</html>; not an answer of Cloud Logging: check url"},
        {"302 Found\n", ER_E_DENIED, "...",
         "302 Found from @; redirects are not followed; set sinks.hook.url to the final address"},
        {"405 X\n", ER_E_DENIED, "...", "405 Method Not Allowed from @; check sinks.hook.url"},
        {"407 X\n", ER_E_DENIED, "...",
         "407 Proxy Authentication Required from @; the proxy wants credentials; check "
         "sinks.hook.proxy"},
        {"415 X\n", ER_E_DENIED, "...",
         "415 Unsupported Media Type from @; the receiver does not take our format; check "
         "sinks.hook.url"},
        {PLAIN("400 Bad Request", "400", "FAILED_PRECONDITION", "no billing"), ER_E_DENIED, "...",
         "400 Bad Request from @: FAILED_PRECONDITION: no billing"},
        {PLAIN("400 Bad Request", "400", "INVALID_ARGUMENT", "bad"), ER_E_SPLIT, "...",
         "400 Bad Request from @: INVALID_ARGUMENT: bad"},
        {PLAIN("400 Bad Request", "400", "INVALID_ARGUMENT",
               "Request payload size exceeds the limit: 10485760 bytes."),
         ER_E_SPLIT, "...",
         "400 Bad Request from @: INVALID_ARGUMENT: Request payload size exceeds the limit: "
         "10485760 bytes."},
        {"413 X\n", ER_E_SPLIT, "...", "413 Content Too Large from @"},
        /* no entry is to blame for what is no JSON */
        {PLAIN("400 Bad Request", "400", "INVALID_ARGUMENT",
               "Invalid JSON payload received. Unexpected token."),
         ER_E_DENIED, "...",
         "400 Bad Request from @: INVALID_ARGUMENT: Invalid JSON payload received. Unexpected "
         "token.; the request was changed on its way: check url and compression"},
        {PLAIN("400 Bad Request", "400", "INVALID_ARGUMENT",
               "Invalid JSON payload received. Unknown name"),
         ER_E_SPLIT, "...",
         "400 Bad Request from @: INVALID_ARGUMENT: Invalid JSON payload received. Unknown name"},
        /* what has not the service's own words is no proof against an entry */
        {"400 Bad Request\n", ER_E_DENIED, "...",
         "400 Bad Request from @; not an answer of Cloud Logging: check url"},
        {"400 Bad Request\n<html>The plain HTTP request was sent to HTTPS port", ER_E_DENIED, "...",
         "400 Bad Request from @: <html>The plain HTTP request was sent to HTTPS port; not an "
         "answer of Cloud Logging: check url"},
        {"422 X\n{\"error\":\"no\"}", ER_E_DENIED, "...",
         "422 Unprocessable Content from @: {\"error\":\"no\"}; not an answer of Cloud Logging: "
         "check url"},
    };
    expect_answers(rows, sizeof rows / sizeof rows[0], 3);
}

static void test_one_record(void **state) {
    (void)state;
    static const row rows[] = {
        {PLAIN("400 Bad Request", "400", "INVALID_ARGUMENT", "bad"), ER_OK, "R",
         "400 Bad Request from @: INVALID_ARGUMENT: bad"},
        {PLAIN("400 Bad Request", "400", "INVALID_ARGUMENT",
               "Request payload size exceeds the limit: 10485760 bytes."),
         ER_OK, "L",
         "400 Bad Request from @: INVALID_ARGUMENT: Request payload size exceeds the limit: "
         "10485760 bytes."},
        {"413 X\n", ER_OK, "L", "413 Content Too Large from @"},
    };
    expect_answers(rows, sizeof rows / sizeof rows[0], 1);
}

#define ERROR(i_, code_, message_) "\"" i_ "\":{\"code\":" code_ ",\"message\":\"" message_ "\"}"

static void test_answers_by_entry(void **state) {
    (void)state;
    static const row rows[] = {
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT", ERROR("1", "3", "bad")), ER_OK,
         "DRD", "INVALID_ARGUMENT: bad"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT",
                 ERROR("0", "3", "Log entry with size 293.1K exceeds maximum size of 256.0K")),
         ER_OK, "LDD",
         "INVALID_ARGUMENT: Log entry with size 293.1K exceeds maximum size of 256.0K"},
        {PARTIAL("403 Forbidden", "403", "PERMISSION_DENIED", ERROR("2", "7", "no")), ER_E_DENIED,
         "DDA", "403: some entries were not written: PERMISSION_DENIED: no"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT",
                 ERROR("0", "14", "later") "," ERROR("1", "7", "no") "," ERROR("2", "3", "bad")),
         ER_E_DENIED, "AAR", "400: some entries were not written: PERMISSION_DENIED: no"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT",
                 ERROR("0", "8", "quota") "," ERROR("1", "3", "bad")),
         ER_OK, "ARD", "400: some entries were not written: RESOURCE_EXHAUSTED: quota"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT",
                 ERROR("0", "-9", "a") "," ERROR("1", "99", "b") ","
                                                                 "\"2\":{}"),
         ER_OK, "AAA", "400: some entries were not written: an unknown error: a"},
        /* Its status is that of a listed entry: the list is whole. */
        {PARTIAL("429 Too Many Requests", "429", "RESOURCE_EXHAUSTED", ERROR("1", "8", "quota")),
         ER_OK, "DAD", "429: some entries were not written: RESOURCE_EXHAUSTED: quota"},
        {PARTIAL("500 Internal Server Error", "500", "INTERNAL", ERROR("1", "13", "oh")), ER_OK,
         "DAD", "500: some entries were not written: INTERNAL: oh"},
        /* It is not: only permanent errors are listed, and something else failed. */
        {PARTIAL("503 Service Unavailable", "503", "UNAVAILABLE", ERROR("1", "3", "bad")), ER_OK,
         "ARA", "503: some entries were not written"},
        /* What makes no sense is not believed. */
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT", ERROR("3", "3", "bad")),
         ER_E_UNAVAILABLE, "...", "the answer lists errors of entries that were not sent"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT",
                 ERROR("0", "3", "bad") "," ERROR("-1", "3", "bad")),
         ER_E_UNAVAILABLE, "...", "the answer lists errors of entries that were not sent"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT",
                 ERROR("18446744073709551616", "3", "bad")),
         ER_E_UNAVAILABLE, "...", "the answer lists errors of entries that were not sent"},
        {PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT", ""), ER_E_SPLIT, "...",
         "400 Bad Request from @: INVALID_ARGUMENT: Some entries were refused"},
        {PARTIAL("401 Unauthorized", "401", "UNAUTHENTICATED", ERROR("1", "16", "no")), ER_E_DENIED,
         "...",
         "401 Unauthorized from @: UNAUTHENTICATED: Some entries were refused; check "
         "sinks.hook.auth"},
    };
    expect_answers(rows, sizeof rows / sizeof rows[0], 3);
}

/* What stands between it and the service must not be able to do more than delay. */
static void test_a_cut_answer(void **state) {
    (void)state;
    const char *whole = PARTIAL("400 Bad Request", "400", "INVALID_ARGUMENT", ERROR("1", "3", "b"));
    log_sink l;
    log_open(&l, NULL, PLACE);
    for (size_t n = strcspn(whole, "\n") + 2; n < strlen(whole); n++) {
        char *cut = er_str_dup((er_str){whole, n});
        char *answer = whole_answer(cut);
        loopback_reset(&l.lb, answer);
        er_batch *batch = batch_of(&l.f, 3);
        er_err err = {0};
        assert_int_equal(l.f.type->deliver(l.f.self, batch, &err), ER_E_SPLIT);
        expect_verdicts(batch, ER_VERDICT_NONE);
        er_batch_free(batch);
        loopback_reset(&l.lb, NULL);
        free(answer);
        free(cut);
    }
    log_fini(&l);
}

static int set_up(void **state) {
    (void)state;
    er_json_setup();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_request),       cmocka_unit_test(test_the_url),
        cmocka_unit_test(test_looked_up),         cmocka_unit_test(test_looked_up_in_the_end),
        cmocka_unit_test(test_the_resource),      cmocka_unit_test(test_the_time),
        cmocka_unit_test(test_the_size),          cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_what_is_forbidden), cmocka_unit_test(test_whole_answers),
        cmocka_unit_test(test_one_record),        cmocka_unit_test(test_answers_by_entry),
        cmocka_unit_test(test_a_cut_answer),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
