/* Records read back, and everything that explain can be given. */
#include "golden.h"

#include "record/input.h"

/* A line for each call of the handler: "document.item@line+offset" and what was said. */
typedef struct log {
    er_buf text;
    size_t stop_after; /* drafts */
} log;

static void put_place(log *seen, const er_input_place *place) {
    er_buf_putf(&seen->text, "%zu.%zu@%zu+%zu ", place->document, place->item, place->line,
                place->offset);
}

static bool on_draft(void *arg, const er_input_place *place, er_draft *draft) {
    log *seen = arg;
    put_place(seen, place);
    er_record *rec = er_record_seal(&draft->rec);
    er_buf_put_str(&seen->text, rec->id);
    er_buf_putf(&seen->text, " %lld",
                rec->kind == ER_KIND_EVENT ? (long long)rec->event.count_delta : 0);
    er_buf_putc(&seen->text, '\n');
    er_record_unref(rec);
    return --seen->stop_after > 0;
}

static void on_nothing(void *arg, const er_input_place *place, const char *why) {
    put_place(arg, place);
    er_buf_putf(&((log *)arg)->text, "- %s\n", why);
}

static void on_fault(void *arg, const er_input_place *place, const char *why) {
    put_place(arg, place);
    er_buf_putf(&((log *)arg)->text, "! %s\n", why);
}

static void assert_read_n(const char *text, size_t n, size_t stop_after, const char *expected) {
    log seen = {.stop_after = stop_after};
    er_buf_init(&seen.text, 1 << 20);
    const er_input_handler handler = {&seen, on_draft, on_nothing, on_fault};
    /* without a byte behind it, so that a sanitizer sees a read too many */
    char *exact = malloc(n > 0 ? n : 1);
    assert_non_null(exact);
    memcpy(exact, text, n);
    er_input_read(exact, n, OBSERVED, &handler);
    free(exact);
    assert_string_equal(er_buf_cstr(&seen.text), expected);
    er_buf_fini(&seen.text);
}

static void assert_read(const char *text, const char *expected) {
    assert_read_n(text, strlen(text), 1000, expected);
}

#define EVENT(uid)  "{\"metadata\":{\"uid\":\"" uid "\",\"resourceVersion\":\"5\"}}"
#define FRAME(t, o) "{\"type\":\"" t "\",\"object\":" o "}"

static void test_forms(void **state) {
    (void)state;
    assert_read("", "");
    assert_read(" \r\n\t", "");
    assert_read("\xef\xbb\xbf" EVENT("a"), "1.0@1+3 a-5 -1\n");
    assert_read(EVENT("a") EVENT("b") "\n\n" EVENT("c"),
                "1.0@1+0 a-5 -1\n2.0@1+46 b-5 -1\n3.0@3+94 c-5 -1\n");
    /* as kubectl prints: indented, kind and metadata behind the items */
    assert_read("{\n    \"apiVersion\": \"v1\",\n    \"items\": [\n        {\n"
                "            \"apiVersion\": \"v1\", \"kind\": \"Event\", \"metadata\": {\n"
                "\"uid\": \"a\", \"resourceVersion\": \"5\"}\n        },\n" EVENT(
                    "b") "\n    ],\n"
                         "    \"kind\": \"List\",\n    \"metadata\": {\"resourceVersion\": "
                         "\"\"}\n}\n" EVENT("c"),
                "1.1@4+49 a-5 -1\n1.2@8+161 b-5 -1\n2.0@13+277 c-5 -1\n");
    assert_read("[" EVENT("a") "," EVENT("b") "]", "1.1@1+1 a-5 -1\n1.2@1+48 b-5 -1\n");
    /* brackets and quotes in strings are none */
    assert_read(
        "{\"a\":\"\\\"}]\\\\\",\"metadata\":{\"uid\":\"a\",\"resourceVersion\":\"5\"}}" EVENT("b"),
        "1.0@1+0 a-5 -1\n2.0@1+59 b-5 -1\n");
    assert_read("{\"kind\":\"EventList\",\"items\":[]}{\"kind\":\"EventList\",\"items\":null}[]",
                "");
    /* "items" deeper down, or as a value, makes no list */
    assert_read(
        "{\"metadata\":{\"uid\":\"a\",\"resourceVersion\":\"5\",\"items\":[1]},\"x\":\"items\"}",
        "1.0@1+0 a-5 -1\n");
    assert_read(FRAME("ADDED", EVENT("a")) "\n" FRAME("MODIFIED", EVENT("b")) "\n" FRAME("DELETED",
                                                                                         EVENT("c"))
                    FRAME("BOOKMARK", "{}") FRAME("ERROR", "{}") FRAME("NEW", "{}"),
                "1.0@1+0 a-5 1\n2.0@2+73 b-5 -1\n3.0@3+149 - a DELETED frame makes no record\n"
                "4.0@3+223 - a BOOKMARK frame makes no record\n"
                "5.0@3+254 - an ERROR frame makes no record\n"
                "6.0@3+282 ! a watch frame of unknown type\n");
}

static void test_faults(void **state) {
    (void)state;
    /* what follows is read all the same */
    assert_read("not json\n" EVENT("a"),
                "1.0@1+0 ! not JSON: neither an object nor an array\n2.0@2+9 a-5 -1\n");
    assert_read(EVENT("a") " tail\n" EVENT("b"),
                "1.0@1+0 a-5 -1\n2.0@1+47 ! not JSON: neither an object nor an array\n"
                "3.0@2+52 b-5 -1\n");
    assert_read("{\"a\":\"cut\n" EVENT("a"),
                "1.0@1+0 ! a string in it is not closed\n2.0@2+10 a-5 -1\n");
    assert_read("{\"a\":{\n" EVENT("a") "\n" EVENT("b"),
                "1.0@1+0 ! the input ends in its middle\n2.0@2+7 a-5 -1\n3.0@3+54 b-5 -1\n");
    assert_read("{\"a\":1]\n" EVENT("a"), "1.0@1+0 ! its brackets do not match\n2.0@2+8 a-5 -1\n");
    assert_read("{\"a\" 1}" EVENT("a"),
                "1.0@1+0 ! not JSON: fault at offset 5 of 7\n2.0@1+7 a-5 -1\n");
    assert_read("{}", "1.0@1+0 ! neither a record nor an Event: it has no schema and no "
                      "metadata\n");
    assert_read("{\"metadata\":{\"uid\":\"a\"}}",
                "1.0@1+0 ! an Event without metadata.resourceVersion\n");
    assert_read("{\"kind\":\"Pod\",\"metadata\":{}}",
                "1.0@1+0 ! neither a record nor an Event: its kind is Pod\n");
    assert_read("{\"apiVersion\":\"v2\",\"metadata\":{}}",
                "1.0@1+0 ! not an Event that is known: its apiVersion is v2\n");
    assert_read("{\"schema\":\"x\"}",
                "1.0@1+0 ! not a record: schema is not \"eventrouter.io/v1\"\n");
    assert_read("{\"schema\":{}}", "1.0@1+0 ! not a record: schema is not \"eventrouter.io/v1\"\n");
    assert_read("[1,\"x,]\",[2],{},null," EVENT("a") "]",
                "1.1@1+1 ! not an object\n1.2@1+3 ! not an object\n1.3@1+9 ! not an object\n"
                "1.4@1+13 ! neither a record nor an Event: it has no schema and no metadata\n"
                "1.5@1+16 ! not an object\n1.6@1+21 a-5 -1\n");
    assert_read("[1 2]", "1.1@1+1 ! not an object\n"
                         "1.1@1+1 ! the list goes on with something that is not an item\n");
    assert_read("[,]", "1.1@1+1 ! not an object\n"
                       "1.1@1+1 ! the list goes on with something that is not an item\n");
    assert_read_n("{\"a\0\":1}", 8, 9, "1.0@1+0 ! not JSON: a NUL byte at offset 3\n");
    assert_read_n("[\0]", 3, 9,
                  "1.1@1+1 ! not an object\n"
                  "1.1@1+1 ! the list goes on with something that is not an item\n");
    assert_read("{", "1.0@1+0 ! the input ends in its middle\n");
    assert_read("{\"", "1.0@1+0 ! a string in it is not closed\n");
    assert_read("{\"\\", "1.0@1+0 ! a string in it is not closed\n");
    assert_read("{\"items\"", "1.0@1+0 ! the input ends in its middle\n");
    assert_read("{\"items\":[", "1.0@1+0 ! the input ends in its middle\n");
}

static void test_stop(void **state) {
    (void)state;
    static const char two[] = "[" EVENT("a") "," EVENT("b") "]" EVENT("c");
    assert_read_n(two, sizeof two - 1, 1, "1.1@1+1 a-5 -1\n");
    static const char lines[] = EVENT("a") EVENT("b");
    assert_read_n(lines, sizeof lines - 1, 1, "1.0@1+0 a-5 -1\n");
}

static void test_levels_and_size(void **state) {
    (void)state;
    char deep[66];
    memset(deep, '[', 65);
    deep[65] = '\0';
    assert_read(deep, "1.0@1+0 ! more than 64 levels of brackets\n");
    /* a list may be longer than any of its items may be */
    size_t n = ER_INPUT_OBJECT_MAX;
    char *text = malloc(n + 200);
    assert_non_null(text);
    memcpy(text, "[{\"a\":\"", 7);
    memset(text + 7, 'x', n);
    memcpy(text + 7 + n, "\"}," EVENT("a") "]", 3 + 46 + 1);
    assert_read_n(text, n + 57, 9, "1.1@1+1 ! over 16 MiB\n1.2@1+16777226 a-5 -1\n");
    free(text);
}

/* Each unclosed document makes its own fault, and they do not cost the square of the input. */
static void test_many_unclosed(void **state) {
    (void)state;
    enum { LINES = 200000 };
    char *text = malloc(2 * LINES);
    assert_non_null(text);
    for (size_t i = 0; i < LINES; i++) {
        memcpy(text + 2 * i, "{\n", 2);
    }
    log seen = {.stop_after = 1};
    er_buf_init(&seen.text, 64u << 20);
    const er_input_handler handler = {&seen, on_draft, on_nothing, on_fault};
    er_input_read(text, 2 * LINES, OBSERVED, &handler);
    size_t lines = 0;
    for (size_t i = 0; i < seen.text.len; i++) {
        lines += seen.text.p[i] == '\n';
    }
    assert_int_equal(lines, LINES);
    er_buf_fini(&seen.text);
    free(text);
}

/* ---- bytes ---- */

static bool write_draft(void *arg, const er_input_place *place, er_draft *draft) {
    (void)place;
    er_record *rec = er_record_seal(&draft->rec);
    er_record_json(rec, arg);
    er_record_unref(rec);
    return true;
}

static void no_fault(void *arg, const er_input_place *place, const char *why) {
    (void)arg;
    fail_msg("line %zu: %s", place->line, why);
}

static char *read_and_write(const char *text) {
    er_buf out;
    er_buf_init(&out, 16u << 20);
    const er_input_handler handler = {&out, write_draft, no_fault, no_fault};
    char *copy = er_str_dup(er_str_of(text));
    er_input_read(copy, strlen(copy), OBSERVED, &handler);
    free(copy);
    return er_buf_take(&out, NULL);
}

static void assert_same(const char *json) {
    char *again = read_and_write(json);
    assert_string_equal(again, json);
    free(again);
}

#define HEAD(kind)                                                                                 \
    "{\"schema\":\"eventrouter.io/v1\",\"id\":\"a-1\",\"kind\":\"" kind "\",\"cluster\":\"c\","    \
    "\"time\":\"2026-01-02T03:04:05.000001Z\",\"timeSource\":\"x\","                               \
    "\"observedTime\":\"2026-01-02T03:04:06Z\",\"severity\":\"ERROR\",\"type\":\"T\","             \
    "\"reason\":\"R\",\"message\":\"M\\n\\u0001\""
#define REF                                                                                        \
    "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"namespace\":\"n\",\"name\":\"w\",\"uid\":\"u\","    \
    "\"resourceVersion\":\"8\",\"fieldPath\":\"f\"}"

static void test_every_member_comes_back(void **state) {
    (void)state;
    assert_same(HEAD("event") ",\"truncated\":true,\"namespace\":\"n\",\"namespaceMismatch\":true,"
                              "\"object\":" REF ",\"source\":{\"component\":\"c\",\"host\":\"h\","
                              "\"instance\":\"i\"},\"recovered\":true,\"count\":9007199254740992,"
                              "\"countDelta\":0,\"firstTime\":\"2026-01-01T00:00:00Z\","
                              "\"lastTime\":\"2026-01-02T00:00:00Z\",\"action\":\"a\",\"event\":{"
                              "\"name\":\"e\",\"uid\":\"a\",\"resourceVersion\":\"1\"},"
                              "\"related\":" REF "}");
    assert_same(HEAD("event") ",\"count\":1,\"event\":{}}");
    assert_same(HEAD("gap") ",\"gap\":{\"stream\":\"events\",\"cause\":\"expired\","
                            "\"fromResourceVersion\":\"1\",\"toResourceVersion\":\"9\","
                            "\"fromTime\":\"2026-01-01T00:00:00Z\",\"toTime\":"
                            "\"2026-01-02T00:00:00Z\",\"recovered\":0}}");
    assert_same(HEAD("gap") ",\"gap\":{}}");
    assert_same(HEAD("notice") ",\"notice\":{\"sink\":\"s\",\"cause\":\"expired\",\"records\":3,"
                               "\"since\":\"2026-01-01T00:00:00Z\","
                               "\"until\":\"2026-01-02T00:00:00Z\"}}");
}

static size_t count_back(const char *path) {
    char *text = read_file(path);
    size_t records = 0;
    char *rest = text;
    for (char *line = next_line(&rest); line != NULL; line = next_line(&rest)) {
        assert_same(line);
        records++;
    }
    free(text);
    return records;
}

static void test_golden_records_come_back(void **state) {
    (void)state;
    assert_int_equal(count_back(GOLDEN "records/events.ndjson"), 196);
    assert_int_equal(count_back(GOLDEN "records/deployments.ndjson"), 34);
    assert_int_equal(count_back(GOLDEN "records/deployment-pairs.ndjson"), 148);
    assert_int_equal(count_back(GOLDEN "records/restarts.ndjson"), 13);
}

static void test_unusable_records(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *missing;
    } rows[] = {
        {"\"a-1\"", "\"a 1\"", "id"},
        {"\"a-1\"", "\"\"", "id"},
        {"\"event\"", "\"other\"", "kind"},
        {"\"ERROR\"", "\"error\"", "severity"},
        {"\"2026-01-02T03:04:05.000001Z\"", "\"yesterday\"", "time"},
        {"\"2026-01-02T03:04:06Z\"", "6", "observedTime"},
        {"\"count\":1", "\"count\":-1", "count"},
        {"\"count\":1", "\"count\":1.5", "count"},
    };
    static const char good[] = HEAD("event") ",\"count\":1}";
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *at = strstr(good, rows[i].from);
        assert_non_null(at);
        er_buf text;
        er_buf expected;
        er_buf_init(&text, 4096);
        er_buf_init(&expected, 4096);
        er_buf_put(&text, good, (size_t)(at - good));
        er_buf_putf(&text, "%s%s", rows[i].to, at + strlen(rows[i].from));
        er_buf_putf(&expected, "1.0@1+0 ! not a record: %s is missing or not usable\n",
                    rows[i].missing);
        assert_read(er_buf_cstr(&text), er_buf_cstr(&expected));
        er_buf_fini(&text);
        er_buf_fini(&expected);
    }
}

/* The same Event as both APIs show it makes the same record. */
static void test_events_k8s_io(void **state) {
    (void)state;
#define META                                                                                       \
    "\"metadata\":{\"name\":\"e\",\"namespace\":\"n\",\"uid\":\"u\",\"resourceVersion\":\"5\"}"
#define TAIL                                                                                       \
    "\"type\":\"Warning\",\"reason\":\"R\",\"action\":\"A\",\"reportingInstance\":\"i\","          \
    "\"series\":{\"count\":4,\"lastObservedTime\":\"2026-01-02T00:00:00Z\"}," META "}"
    char *core = read_and_write(
        "{\"apiVersion\":\"v1\",\"kind\":\"Event\",\"involvedObject\":" REF ",\"message\":\"m\","
        "\"reportingComponent\":\"c\",\"source\":{\"component\":\"s\",\"host\":\"h\"},\"count\":3,"
        "\"firstTimestamp\":\"2026-01-01T00:00:00Z\",\"lastTimestamp\":\"2026-01-01T01:00:"
        "00Z\"," TAIL);
    char *new = read_and_write(
        "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"regarding\":" REF
        ",\"note\":\"m\",\"reportingController\":\"c\",\"deprecatedSource\":{\"component\":\"s\","
        "\"host\":\"h\"},\"deprecatedCount\":3,"
        "\"deprecatedFirstTimestamp\":\"2026-01-01T00:00:00Z\","
        "\"deprecatedLastTimestamp\":\"2026-01-01T01:00:00Z\"," TAIL);
    assert_string_equal(new, core);
    assert_non_null(strstr(core, "\"message\":\"m\""));
    assert_non_null(strstr(core, "\"component\":\"c\",\"host\":\"h\""));
    assert_non_null(strstr(core, "\"count\":4,\"firstTime\":\"2026-01-01T00:00:00Z\""));
    free(core);
    free(new);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_levels_and_size),
        cmocka_unit_test(test_many_unclosed),
        cmocka_unit_test(test_every_member_comes_back),
        cmocka_unit_test(test_golden_records_come_back),
        cmocka_unit_test(test_unusable_records),
        cmocka_unit_test(test_events_k8s_io),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
