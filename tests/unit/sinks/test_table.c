/* The lines of the table, whole. */
#include "sink_fixture.h"
#include "sinks/table.h"

static void expect_row(const er_record *rec, bool is_coloured, const char *want) {
    er_buf out;
    er_buf_init(&out, 1 << 20);
    er_table_row(rec, is_coloured, &out);
    assert_int_equal(er_buf_status(&out), ER_OK);
    assert_string_equal(er_buf_cstr(&out), want);
    er_buf_fini(&out);
}

static void test_header_and_row_line_up(void **state) {
    (void)state;
    er_buf out;
    er_buf_init(&out, 4096);
    er_table_header(&out);
    assert_string_equal(er_buf_cstr(&out),
                        "NAMESPACE    LAST SEEN         TYPE     REASON            "
                        "OBJECT                      MESSAGE\n");
    er_buf_fini(&out);
    er_record rec = draft_of("u-1", "Back-off restarting failed container");
    expect_row(&rec, false,
               "shop         5s                Warning  BackOff           "
               "pod/web-1                   Back-off restarting failed container\n");
}

static void test_repeated_events_say_how_often(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "m");
    rec.event.count = 10;
    expect_row(&rec, false,
               "shop         5s (x10)          Warning  BackOff           "
               "pod/web-1                   m\n");
    rec.event.first_time = time_of("2026-01-02T03:01:05Z");
    expect_row(&rec, false,
               "shop         5s (x10 over 3m20s)  Warning  BackOff           "
               "pod/web-1                   m\n");
}

static void test_long_cells_are_not_cut(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "m");
    rec.namespace_ = ER_STR("a-namespace-with-a-long-name");
    rec.reason = ER_STR("FailedToRetrieveImagePullSecret");
    rec.object.kind = ER_STR("PodDisruptionBudget");
    rec.object.name = ER_STR("a-very-long-name");
    expect_row(&rec, false,
               "a-namespace-with-a-long-name  5s                Warning  "
               "FailedToRetrieveImagePullSecret  poddisruptionbudget/a-very-long-name  m\n");
}

static void test_missing_facts_are_dashes(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "");
    rec.namespace_ = rec.type = rec.reason = rec.object.kind = rec.object.name = (er_str){0};
    expect_row(&rec, false,
               "-            5s                -        -                 "
               "-                           \n");
    rec.object.name = ER_STR("n1");
    rec.time = rec.observed_time + 5000000; /* a clock that is ahead of ours */
    expect_row(&rec, false,
               "-            0s                -        -                 "
               "n1                          \n");
}

static void test_gaps_and_notices(void **state) {
    (void)state;
    er_draft draft;
    er_gap_part gap = {.stream = ER_STR("events"),
                       .cause = ER_STR("expired"),
                       .from_version = ER_STR("880"),
                       .from_time = time_of("2026-01-02T03:00:00Z"),
                       .to_time = ER_TIME_NONE,
                       .recovered = -1};
    er_draft_gap(&gap, ER_STR("x"), 1, time_of("2026-01-02T03:05:00Z"), &draft);
    expect_row(&draft.rec, false,
               "-            5m                Warning  expired           "
               "watch/events                Gap in events after version 880: the API server no "
               "longer held the versions that came next\n");
    er_notice_part notice = {.sink = ER_STR("siem"),
                             .cause = ER_STR("queue_full"),
                             .records = 12,
                             .since = time_of("2026-01-02T03:04:50Z"),
                             .until = time_of("2026-01-02T03:05:00Z")};
    er_draft_notice(&notice, ER_STR("x"), time_of("2026-01-02T03:05:00Z"), &draft);
    expect_row(&draft.rec, false,
               "-            10s               Warning  queue_full        "
               "sink/siem                   Sink siem lost 12 records: queue_full\n");
}

static void test_restarts_are_about_their_pod(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "Container web restarted (restart 4): OOMKilled");
    rec.kind = ER_KIND_RESTART;
    rec.reason = ER_STR("OOMKilled");
    rec.restart = (er_restart_part){.container = ER_STR("web"), .count = 4, .delta = 1};
    expect_row(&rec, false,
               "shop         5s                Warning  OOMKilled         "
               "pod/web-1                   Container web restarted (restart 4): OOMKilled\n");
}

static void test_colours(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "m");
    expect_row(&rec, true,
               "shop         5s                \x1b[33mWarning\x1b[0m  "
               "\x1b[33mBackOff\x1b[0m           pod/web-1                   m\n");
    rec.severity = ER_SEVERITY_ERROR;
    expect_row(&rec, true,
               "shop         5s                \x1b[31mWarning\x1b[0m  "
               "\x1b[31mBackOff\x1b[0m           pod/web-1                   m\n");
    rec.severity = ER_SEVERITY_INFO;
    rec.type = ER_STR("Normal");
    expect_row(&rec, true,
               "shop         5s                Normal   BackOff           "
               "pod/web-1                   m\n");
}

static void expect_message(const char *message, const char *want) {
    er_record rec = draft_of("u-1", message);
    char line[1024];
    (void)snprintf(line, sizeof line,
                   "shop         5s                Warning  BackOff           "
                   "pod/web-1                   %s\n",
                   want);
    expect_row(&rec, false, line);
}

static void test_hostile_messages_stay_on_their_line(void **state) {
    (void)state;
    expect_message("  white space around \n", "white space around");
    expect_message("one\ntwo\r\nthree\tfour", "one\\ntwo\\r\\nthree\\tfour");
    expect_message("\x1b[2J\x1b]0;title\x07", "\\x1b[2J\\x1b]0;title\\x07");
    expect_message("a\x7f"
                   "b\x08",
                   "a\\x7fb\\x08");
    expect_message("csi \xc2\x9b"
                   "31m",
                   "csi \\u009b31m");
    expect_message("abc\xe2\x80\xae"
                   "fed\xe2\x80\xac\xe2\x81\xa6x\xe2\x81\xa9\xe2\x80\xa8",
                   "abc\\u202efed\\u202c\\u2066x\\u2069\\u2028");
    expect_message("r\xc3\xa9sum\xc3\xa9 \xf0\x9f\x9a\x80",
                   "r\xc3\xa9sum\xc3\xa9 \xf0\x9f\x9a\x80");
    expect_message("bad \xff\xc3 byte", "bad \xef\xbf\xbd\xef\xbf\xbd byte");
    er_record rec = draft_of("u-1", "m");
    rec.reason = ER_STR("Back\nOff\x1b");
    rec.object.name = ER_STR("web\n1");
    expect_row(&rec, true,
               "shop         5s                \x1b[33mWarning\x1b[0m  "
               "\x1b[33mBack\\nOff\\x1b\x1b[0m     pod/web\\n1                  m\n");
}

static void test_columns_count_characters(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "m");
    rec.reason = ER_STR("Z\xc3\xbcrich"); /* six characters, seven bytes */
    expect_row(&rec, false,
               "shop         5s                Warning  Z\xc3\xbcrich            "
               "pod/web-1                   m\n");
}

static void test_cut_messages_say_so(void **state) {
    (void)state;
    er_record rec = draft_of("u-1", "m");
    rec.truncated = true;
    expect_row(&rec, false,
               "shop         5s                Warning  BackOff           "
               "pod/web-1                   m (cut)\n");
}

static void test_ages(void **state) {
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } ages[] = {
        {-5, "0s"},         {0, "0s"},
        {1, "1s"},          {119, "119s"},
        {120, "2m"},        {200, "3m20s"},
        {599, "9m59s"},     {600, "10m"},
        {10799, "179m"},    {10800, "3h"},
        {10860, "3h1m"},    {28799, "7h59m"},
        {28800, "8h"},      {172799, "47h"},
        {172800, "2d"},     {176400, "2d1h"},
        {691199, "7d23h"},  {691200, "8d"},
        {63071999, "729d"}, {63072000, "2y"},
        {63158400, "2y1d"}, {252287999, "7y364d"},
        {252288000, "8y"},  {346896000, "11y"},
    };
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        er_buf out;
        er_buf_init(&out, 64);
        er_table_age(ages[i].seconds * 1000000, &out);
        assert_string_equal(er_buf_cstr(&out), ages[i].text);
        er_buf_fini(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_and_row_line_up),
        cmocka_unit_test(test_repeated_events_say_how_often),
        cmocka_unit_test(test_long_cells_are_not_cut),
        cmocka_unit_test(test_missing_facts_are_dashes),
        cmocka_unit_test(test_gaps_and_notices),
        cmocka_unit_test(test_restarts_are_about_their_pod),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_hostile_messages_stay_on_their_line),
        cmocka_unit_test(test_columns_count_characters),
        cmocka_unit_test(test_cut_messages_say_so),
        cmocka_unit_test(test_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
