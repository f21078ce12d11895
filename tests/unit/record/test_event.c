#include "golden.h"

/* The record's JSON for an Event, or the error's text. The caller frees it. */
static char *record_of(const char *event, int64_t delta) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *text = er_dup(event);
    er_err err;
    er_draft draft;
    er_status status = er_json_parse(&doc, text, strlen(text), &err);
    if (status == ER_OK) {
        status = er_draft_event(doc.root, OBSERVED, &draft, &err);
    }
    char *result;
    if (status == ER_OK) {
        draft.rec.cluster = ER_STR("c1");
        draft.rec.event.count_delta = delta;
        er_record *rec = er_record_seal(&draft.rec);
        assert_non_null(rec);
        er_json_doc_fini(&doc); /* the record must not borrow from the tree */
        er_buf out;
        er_buf_init(&out, 1u << 20);
        er_record_json(rec, &out);
        result = er_buf_take(&out, NULL);
        assert_non_null(result);
        er_record_unref(rec);
    } else {
        result = er_dup(err.msg);
        er_json_doc_fini(&doc);
    }
    free(text);
    return result;
}

static void assert_record(const char *event, int64_t delta, const char *expected) {
    char *found = record_of(event, delta);
    assert_string_equal(found, expected);
    free(found);
}

static void test_old_recorder(void **state) {
    (void)state;
    assert_record(
        "{\"metadata\":{\"name\":\"web-1.18a1f0\",\"namespace\":\"shop\",\"uid\":\"U-1\","
        "\"resourceVersion\":\"10596\",\"creationTimestamp\":\"2026-01-02T03:00:00Z\"},"
        "\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":\"shop\",\"name\":\"web-1\",\"uid\":"
        "\"P1\",\"apiVersion\":\"v1\",\"resourceVersion\":\"880\",\"fieldPath\":"
        "\"spec.containers{web}\"},\"reason\":\"BackOff\",\"message\":\"Back-off restarting\","
        "\"source\":{\"component\":\"kubelet\",\"host\":\"n1\"},\"firstTimestamp\":"
        "\"2026-01-02T03:04:00Z\",\"lastTimestamp\":\"2026-01-02T03:04:20Z\",\"count\":10,"
        "\"type\":\"Warning\",\"eventTime\":null,\"reportingComponent\":\"kubelet\","
        "\"reportingInstance\":\"n1\"}",
        1,
        "{\"schema\":\"eventrouter.io/v1\",\"id\":\"U-1-10596\",\"kind\":\"event\",\"cluster\":"
        "\"c1\",\"time\":\"2026-01-02T03:04:20Z\",\"timeSource\":\"lastTimestamp\","
        "\"observedTime\":\"2026-01-02T03:04:59.123456Z\",\"severity\":\"WARNING\",\"type\":"
        "\"Warning\",\"reason\":\"BackOff\",\"message\":\"Back-off restarting\",\"namespace\":"
        "\"shop\",\"object\":{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"namespace\":\"shop\","
        "\"name\":\"web-1\",\"uid\":\"P1\",\"resourceVersion\":\"880\",\"fieldPath\":"
        "\"spec.containers{web}\"},\"source\":{\"component\":\"kubelet\",\"host\":\"n1\","
        "\"instance\":\"n1\"},\"count\":10,\"countDelta\":1,\"firstTime\":"
        "\"2026-01-02T03:04:00Z\",\"lastTime\":\"2026-01-02T03:04:20Z\",\"event\":{\"name\":"
        "\"web-1.18a1f0\",\"uid\":\"U-1\",\"resourceVersion\":\"10596\"}}");
}

static void test_new_recorder_with_series(void **state) {
    (void)state;
    assert_record(
        "{\"metadata\":{\"name\":\"p.1\",\"namespace\":\"d\",\"uid\":\"U2\",\"resourceVersion\":"
        "\"77\"},\"involvedObject\":{\"kind\":\"Pod\",\"name\":\"p\"},\"related\":{\"kind\":"
        "\"Node\",\"name\":\"n1\"},\"reason\":\"FailedScheduling\",\"action\":\"Scheduling\","
        "\"source\":{},\"firstTimestamp\":null,\"lastTimestamp\":null,\"type\":\"Warning\","
        "\"eventTime\":\"2026-01-02T03:04:05.123456Z\",\"series\":{\"count\":41,"
        "\"lastObservedTime\":\"2026-01-02T03:05:05.654321Z\"},\"reportingComponent\":"
        "\"default-scheduler\",\"reportingInstance\":\"h1\"}",
        -1,
        "{\"schema\":\"eventrouter.io/v1\",\"id\":\"U2-77\",\"kind\":\"event\",\"cluster\":\"c1\","
        "\"time\":\"2026-01-02T03:05:05.654321Z\",\"timeSource\":\"series.lastObservedTime\","
        "\"observedTime\":\"2026-01-02T03:04:59.123456Z\",\"severity\":\"WARNING\",\"type\":"
        "\"Warning\",\"reason\":\"FailedScheduling\",\"message\":\"\",\"namespace\":\"d\","
        "\"object\":{\"kind\":\"Pod\",\"name\":\"p\"},\"source\":{\"component\":"
        "\"default-scheduler\",\"instance\":\"h1\"},\"count\":41,\"firstTime\":"
        "\"2026-01-02T03:04:05.123456Z\",\"lastTime\":\"2026-01-02T03:05:05.654321Z\","
        "\"action\":\"Scheduling\",\"event\":{\"name\":\"p.1\",\"uid\":\"U2\","
        "\"resourceVersion\":\"77\"},\"related\":{\"kind\":\"Node\",\"name\":\"n1\"}}");
}

#define NO_EVENT_TIMES "\"time\":\"2026-01-02T03:04:59.123456Z\",\"timeSource\":\"observed\","

static void test_nothing_but_identity(void **state) {
    (void)state;
    assert_record("{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"1\","
                  "\"creationTimestamp\":null},\"eventTime\":\"0001-01-01T00:00:00Z\","
                  "\"lastTimestamp\":\"1970-01-01T00:00:00Z\",\"firstTimestamp\":\"soon\"}",
                  -1,
                  "{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-1\",\"kind\":\"event\","
                  "\"cluster\":\"c1\"," NO_EVENT_TIMES
                  "\"observedTime\":\"2026-01-02T03:04:59.123456Z\",\"severity\":\"WARNING\","
                  "\"type\":\"\",\"reason\":\"\",\"message\":\"\",\"count\":1,\"event\":{\"uid\":"
                  "\"u\",\"resourceVersion\":\"1\"}}");
}

static void test_refused(void **state) {
    (void)state;
    assert_record("{\"metadata\":{\"resourceVersion\":\"1\"}}", 0, "an Event without metadata.uid");
    assert_record("{\"metadata\":{\"uid\":\"u\"}}", 0, "an Event without metadata.resourceVersion");
    assert_record("[]", 0, "an Event without metadata.uid");
    assert_record("{\"metadata\":{\"uid\":7,\"resourceVersion\":\"1\"}}", 0,
                  "an Event without metadata.uid");
}

/* One field of the record for an Event whose metadata is given and whose rest is `rest`. */
static char *field_of(const char *rest, const char *key) {
    char event[2048];
    (void)snprintf(event, sizeof event,
                   "{\"metadata\":{\"uid\":\"u\",\"resourceVersion\":\"1\",\"namespace\":\"a\","
                   "\"creationTimestamp\":\"2026-01-01T00:00:00Z\"}%s%s}",
                   rest[0] == '\0' ? "" : ",", rest);
    char *json = record_of(event, -1);
    er_json_doc doc;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, json, strlen(json), NULL), ER_OK);
    int64_t number = 0;
    char *result;
    const er_json *node = er_json_get(doc.root, key);
    if (er_json_int(node, &number)) {
        result = er_xcalloc(1, 32);
        (void)snprintf(result, 32, "%lld", (long long)number);
    } else {
        result = node == NULL            ? er_dup("absent")
                 : er_json_is_true(node) ? er_dup("true")
                                         : er_str_dup(er_json_str(node));
    }
    er_json_doc_fini(&doc);
    free(json);
    return result;
}

static void test_fields(void **state) {
    (void)state;
    static const struct {
        const char *rest, *key, *expected;
    } rows[] = {
        /* the order of the times */
        {"", "timeSource", "creationTimestamp"},
        {"\"firstTimestamp\":\"2026-01-01T00:00:01Z\"", "timeSource", "firstTimestamp"},
        {"\"firstTimestamp\":\"2026-01-01T00:00:01Z\",\"eventTime\":\"2026-01-01T00:00:02Z\"",
         "timeSource", "eventTime"},
        {"\"lastTimestamp\":\"2026-01-01T00:00:03Z\",\"eventTime\":\"2026-01-01T00:00:02Z\"",
         "time", "2026-01-01T00:00:03Z"},
        {"\"lastTimestamp\":\"2026-01-01T00:00:03Z\",\"series\":{\"lastObservedTime\":null}",
         "timeSource", "lastTimestamp"},
        {"\"series\":{\"lastObservedTime\":\"0001-01-01T00:00:00Z\"}", "timeSource",
         "creationTimestamp"},
        {"", "firstTime", "2026-01-01T00:00:00Z"},
        {"", "lastTime", "absent"},
        /* the count */
        {"\"count\":5", "count", "5"},
        {"\"count\":5,\"series\":{\"count\":7}", "count", "7"},
        {"\"count\":5,\"series\":{}", "count", "5"},
        {"\"series\":{\"count\":0}", "count", "1"},
        {"\"count\":0", "count", "1"},
        {"\"count\":-3", "count", "1"},
        {"\"count\":\"5\"", "count", "1"},
        {"\"count\":2147483648", "count", "2147483648"},
        /* type and severity */
        {"\"type\":\"Normal\"", "severity", "INFO"},
        {"\"type\":\"Warning\"", "severity", "WARNING"},
        {"\"type\":\"normal\"", "severity", "WARNING"},
        /* namespaces */
        {"\"involvedObject\":{\"namespace\":\"b\"}", "namespaceMismatch", "true"},
        {"\"involvedObject\":{\"namespace\":\"b\"}", "namespace", "a"},
        {"\"involvedObject\":{\"namespace\":\"a\"}", "namespaceMismatch", "absent"},
        {"\"involvedObject\":{\"kind\":\"Node\"}", "namespaceMismatch", "absent"},
        /* what is not a string is absent */
        {"\"message\":17", "message", ""},
        {"\"action\":null", "action", "absent"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *found = field_of(rows[i].rest, rows[i].key);
        if (strcmp(found, rows[i].expected) != 0) {
            print_error("row %zu, %s of {%s}\n", i, rows[i].key, rows[i].rest);
        }
        assert_string_equal(found, rows[i].expected);
        free(found);
    }
}

static er_record *with_message(er_str message) {
    er_draft draft = {.rec = {.kind = ER_KIND_EVENT, .id = ER_STR("i"), .message = message}};
    return er_record_seal(&draft.rec);
}

static void test_message_is_cut(void **state) {
    (void)state;
    static char text[70000];
    memset(text, 'x', sizeof text);
    memcpy(text + 65535, "\xc3\xa4", 2); /* stands across the limit */
    er_record *rec = with_message((er_str){text, 65536 + 1});
    assert_int_equal(rec->message.n, 65535);
    assert_true(rec->truncated);
    er_record_unref(rec);
    rec = with_message((er_str){text, 65535});
    assert_int_equal(rec->message.n, 65535);
    assert_false(rec->truncated);
    er_record_unref(rec);
    memset(text, '\xff', sizeof text); /* each byte becomes three */
    rec = with_message((er_str){text, 40000});
    assert_int_equal(rec->message.n, 65535 / 3 * 3);
    assert_true(rec->truncated);
    assert_true(er_utf8_valid(rec->message));
    er_record_unref(rec);
}

static void test_ids(void **state) {
    (void)state;
    char out[ER_ID_MAX];
    assert_str(er_record_id(ER_STR("abc_D-9"), out), "abc_D-9");
    /* SHA-256("a b") = c8687a08aa5d6ed2044328fa6a697ab8e96dc34291e8c2035cf2bffe... */
    assert_str(er_record_id(ER_STR("a b"), out), "x-c8687a08aa5d6ed2044328fa6a697ab8e96dc342");
    assert_int_equal(er_record_id(ER_STR(""), out).n, 42);
    char long_id[80];
    memset(long_id, 'a', sizeof long_id);
    assert_int_equal(er_record_id((er_str){long_id, 64}, out).n, 64);
    assert_int_equal(er_record_id((er_str){long_id, 65}, out).n, 42);
}

static void test_gap(void **state) {
    (void)state;
    er_gap_part part = {.stream = ER_STR("events"),
                        .cause = ER_STR("expired"),
                        .from_version = ER_STR("99"),
                        .to_version = ER_STR("120"),
                        .from_time = 1767323045000000,
                        .to_time = OBSERVED,
                        .recovered = 3};
    er_draft draft;
    er_draft_gap(&part, ER_STR("stream"), 2, OBSERVED, &draft);
    er_record *rec = er_record_seal(&draft.rec);
    er_buf out;
    er_buf_init(&out, 4096);
    er_record_json(rec, &out);
    /* SHA-256("stream") begins with 37e7f6bd... */
    char *json = er_buf_take(&out, NULL);
    char *id = strstr(json, "\"id\":\"gap-");
    assert_non_null(id);
    assert_memory_equal(id + 26, "-99-2\"", 6);
    char *rest = strstr(json, "\"kind\"");
    assert_string_equal(
        rest,
        "\"kind\":\"gap\",\"cluster\":\"\",\"time\":\"2026-01-02T03:04:05Z\",\"timeSource\":"
        "\"fromTime\",\"observedTime\":\"2026-01-02T03:04:59.123456Z\",\"severity\":\"ERROR\","
        "\"type\":\"Warning\",\"reason\":\"expired\",\"message\":\"Gap in events after "
        "version 99: the API server no longer held the versions that came next\","
        "\"source\":{\"component\":\"eventrouter\"},\"gap\":{\"stream\":\"events\",\"cause\":"
        "\"expired\",\"fromResourceVersion\":\"99\",\"toResourceVersion\":\"120\","
        "\"fromTime\":\"2026-01-02T03:04:05Z\",\"toTime\":\"2026-01-02T03:04:59.123456Z\","
        "\"recovered\":3}}");
    free(json);
    er_record_unref(rec);
}

static void test_notice(void **state) {
    (void)state;
    er_notice_part part = {.sink = ER_STR("siem"),
                           .cause = ER_STR("queue_full"),
                           .records = 12,
                           .since = 1767323045123456,
                           .until = OBSERVED};
    er_draft draft;
    er_draft_notice(&part, ER_STR("cluster"), OBSERVED, &draft);
    char *id = er_str_dup(draft.rec.id);
    assert_string_equal(id + strlen(id) - 14, "-1767323045123");
    assert_str(draft.rec.message, "Sink siem lost 12 records: queue_full");
    assert_str(draft.rec.reason, "queue_full");
    free(id);
}

/* A real incident, frame by frame, against the golden records. */
static void test_recording(void **state) {
    (void)state;
    char *frames = read_file(GOLDEN "recordings/events.ndjson");
    er_buf out;
    er_buf_init(&out, 16u << 20);
    size_t records = 0;
    char *rest = frames;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        char *object = strstr(line, "\"object\":");
        assert_non_null(object);
        line[strlen(line) - 1] = '\0'; /* the frame's own brace */
        char *json = record_of(object + 9, -1);
        er_buf_putf(&out, "%s\n", json);
        free(json);
        records++;
    }
    assert_golden(GOLDEN "records/events.ndjson", &out);
    assert_int_equal(records, 196);
    er_buf_fini(&out);
    free(frames);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_old_recorder),
        cmocka_unit_test(test_new_recorder_with_series),
        cmocka_unit_test(test_nothing_but_identity),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_message_is_cut),
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_gap),
        cmocka_unit_test(test_notice),
        cmocka_unit_test(test_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
