#include "unit.h"

#include "state/point.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_round_trip(const er_point *point, size_t rows, const char *json) {
    er_buf text;
    er_buf_init(&text, 65536);
    er_point_json(point, rows, &text);
    assert_str(er_buf_str(&text), json);
    er_point back;
    size_t back_rows = 0;
    assert_int_equal(er_point_parse(er_buf_str(&text), &back, &back_rows, NULL), ER_OK);
    assert_true(er_point_eq(point, &back));
    assert_int_equal(back.watched_until, point->watched_until);
    assert_int_equal(back.written, point->written);
    assert_int_equal(back_rows, rows);
    er_buf_fini(&text);
}

static void test_round_trip(void **state) {
    (void)state;
    er_point point = {
        .mark = ER_POINT_FIRST, .watched_until = ER_TIME_NONE, .written = ER_TIME_NONE};
    assert_round_trip(&point, 0, "{\"mark\":\"first\",\"rows\":0}");
    point = (er_point){.mark = ER_POINT_RESUME,
                       .version = "10596",
                       .watched_until = 1767323060000123,
                       .written = 1767323061000000,
                       .cluster_id = "c-1",
                       .selector = "type=Warning,reason!=\"x\""};
    assert_round_trip(&point, 7,
                      "{\"mark\":\"resume\",\"version\":\"10596\","
                      "\"watchedUntil\":\"2026-01-02T03:04:20.000123Z\","
                      "\"written\":\"2026-01-02T03:04:21Z\",\"clusterId\":\"c-1\","
                      "\"selector\":\"type=Warning,reason!=\\\"x\\\"\",\"rows\":7}");
    point = (er_point){.mark = ER_POINT_LIST,
                       .watched_until = ER_TIME_NONE,
                       .written = ER_TIME_NONE,
                       .gap_cause = "rewound",
                       .gap_from = "99"};
    assert_round_trip(&point, 0,
                      "{\"mark\":\"list\",\"gapCause\":\"rewound\",\"gapFrom\":\"99\",\"rows\":0}");
}

static void test_the_longest(void **state) {
    (void)state;
    er_point point = {
        .mark = ER_POINT_RESUME, .watched_until = ER_TIME_NONE, .written = ER_TIME_NONE};
    memset(point.version, '9', sizeof point.version - 1);
    memset(point.cluster_id, 'c', sizeof point.cluster_id - 1);
    memset(point.selector, '\x01', sizeof point.selector - 1); /* six bytes each in JSON */
    er_buf text;
    er_buf_init(&text, 65536);
    er_point_json(&point, 1, &text);
    assert_int_equal(er_buf_status(&text), ER_OK);
    er_point back;
    size_t rows;
    assert_int_equal(er_point_parse(er_buf_str(&text), &back, &rows, NULL), ER_OK);
    assert_true(er_point_eq(&point, &back));
    er_buf_fini(&text);
}

static void test_differences_that_matter(void **state) {
    (void)state;
    const er_point a = {.mark = ER_POINT_RESUME, .version = "5", .cluster_id = "c"};
    er_point b = a;
    b.watched_until = 1;
    b.written = 2;
    assert_true(er_point_eq(&a, &b));
    b.version[0] = '6';
    assert_false(er_point_eq(&a, &b));
    b = a;
    b.mark = ER_POINT_LIST;
    assert_false(er_point_eq(&a, &b));
    b = a;
    b.selector[0] = 'x';
    assert_false(er_point_eq(&a, &b));
    b = a;
    b.gap_from[0] = '1';
    assert_false(er_point_eq(&a, &b));
}

static void test_not_written_by_us(void **state) {
    (void)state;
    char long_version[256];
    (void)snprintf(long_version, sizeof long_version,
                   "{\"mark\":\"resume\",\"version\":\"%060d\",\"rows\":0}", 7);
    const char *const bad[] = {
        "",
        "null",
        "[]",
        "\"resume\"",
        "{",
        "{}",
        "{\"mark\":\"resume\",\"version\":\"5\"}", /* how many rows? */
        "{\"mark\":\"resume\",\"version\":\"5\",\"rows\":-1}",
        "{\"mark\":\"resume\",\"version\":\"5\",\"rows\":1.5}",
        "{\"mark\":\"resume\",\"version\":\"5\",\"rows\":\"1\"}",
        "{\"mark\":\"resume\",\"rows\":0}",               /* no version */
        "{\"mark\":\"resume\",\"version\":5,\"rows\":0}", /* nor this */
        "{\"mark\":\"Resume\",\"version\":\"5\",\"rows\":0}",
        "{\"mark\":\"\",\"version\":\"5\",\"rows\":0}",
        "{\"version\":\"5\",\"rows\":0}",
        "{\"mark\":[\"resume\"],\"version\":\"5\",\"rows\":0}",
        "{\"mark\":\"list\",\"gapCause\":\"longer than any cause is\",\"rows\":0}",
        "{\"mark\":\"first\",\"rows\":0} x",
        long_version,
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        er_point point;
        size_t rows;
        er_err err = {0};
        if (er_point_parse(er_str_of(bad[i]), &point, &rows, &err) != ER_E_INVAL) {
            fail_msg("%s: taken", bad[i]);
        }
        assert_true(err.msg[0] != '\0');
    }
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_the_longest),
        cmocka_unit_test(test_differences_that_matter),
        cmocka_unit_test(test_not_written_by_us),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
