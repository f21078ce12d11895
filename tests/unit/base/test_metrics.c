/* The Prometheus text format, byte by byte. */
#include "base/metrics.h"
#include "base/thread.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static char *rendered(er_metrics *m) {
    er_buf out;
    er_buf_init(&out, 1 << 20);
    er_metrics_render(m, &out);
    assert_int_equal(er_buf_status(&out), ER_OK);
    char *text = er_dup(er_buf_cstr(&out));
    er_buf_fini(&out);
    return text;
}

static void expect(er_metrics *m, const char *want) {
    char *text = rendered(m);
    assert_string_equal(text, want);
    free(text);
}

static void test_empty_registry(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    expect(m, "");
    er_metrics_free(m);
    er_metrics_free(NULL);
}

static void test_families_in_order_of_registration(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    er_counter *z = er_metrics_counter(m, "z_total", "Last letter.", ER_LABELS("sink", "b"));
    er_gauge *a = er_metrics_gauge(m, "a", "First letter.", NULL);
    er_counter *z2 = er_metrics_counter(m, "z_total", "Ignored.", ER_LABELS("sink", "a"));
    er_counter_add(z, 3);
    er_counter_inc(z2);
    er_gauge_set(a, 2.5);
    expect(m, "# HELP eventrouter_z_total Last letter.\n"
              "# TYPE eventrouter_z_total counter\n"
              "eventrouter_z_total{sink=\"b\"} 3\n"
              "eventrouter_z_total{sink=\"a\"} 1\n"
              "# HELP eventrouter_a First letter.\n"
              "# TYPE eventrouter_a gauge\n"
              "eventrouter_a 2.5\n");
    er_metrics_free(m);
}

static void test_every_series_exists_at_zero(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    const double bounds[] = {0.5, 1};
    (void)er_metrics_counter(m, "c_total", "C.", ER_LABELS("sink", "a", "reason", "expired"));
    (void)er_metrics_gauge(m, "g", "G.", NULL);
    (void)er_metrics_histogram(m, "h", "H.", NULL, bounds, 2);
    (void)er_metrics_counter(m, "wait_seconds_total", "W.", NULL);
    expect(m, "# HELP eventrouter_c_total C.\n"
              "# TYPE eventrouter_c_total counter\n"
              "eventrouter_c_total{sink=\"a\",reason=\"expired\"} 0\n"
              "# HELP eventrouter_g G.\n"
              "# TYPE eventrouter_g gauge\n"
              "eventrouter_g 0\n"
              "# HELP eventrouter_h H.\n"
              "# TYPE eventrouter_h histogram\n"
              "eventrouter_h_bucket{le=\"0.5\"} 0\n"
              "eventrouter_h_bucket{le=\"1\"} 0\n"
              "eventrouter_h_bucket{le=\"+Inf\"} 0\n"
              "eventrouter_h_sum 0\n"
              "eventrouter_h_count 0\n"
              "# HELP eventrouter_wait_seconds_total W.\n"
              "# TYPE eventrouter_wait_seconds_total counter\n"
              "eventrouter_wait_seconds_total 0.000\n");
    er_metrics_free(m);
}

static void test_the_same_labels_give_the_same_cell(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    er_counter *a = er_metrics_counter(m, "c_total", "C.", ER_LABELS("sink", "a"));
    assert_ptr_equal(er_metrics_counter(m, "c_total", "C.", ER_LABELS("sink", "a")), a);
    assert_ptr_not_equal(er_metrics_counter(m, "c_total", "C.", ER_LABELS("sink", "b")), a);
    const double bounds[] = {1};
    er_histogram *h = er_metrics_histogram(m, "h", "H.", NULL, bounds, 1);
    assert_ptr_equal(er_metrics_histogram(m, "h", "H.", NULL, bounds, 1), h);
    er_counter_set(a, UINT64_MAX);
    assert_true(er_counter_get(a) == UINT64_MAX);
    er_metrics_free(m);
}

static void test_escaping(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    (void)er_metrics_counter(m, "c_total", "Back\\slash,\nline feed and \"quotes\".",
                             ER_LABELS("sink", "a\\b\"c\nd\xff\xc3\xa9"));
    expect(m, "# HELP eventrouter_c_total Back\\\\slash,\\nline feed and \"quotes\".\n"
              "# TYPE eventrouter_c_total counter\n"
              "eventrouter_c_total{sink=\"a\\\\b\\\"c\\nd\xef\xbf\xbd\xc3\xa9\"} 0\n");
    er_metrics_free(m);
}

static void test_histogram_buckets_are_cumulative(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    const double bounds[] = {0.005, 0.25, 10};
    er_histogram *h = er_metrics_histogram(m, "d_seconds", "D.", ER_LABELS("sink", "a"), bounds, 3);
    er_histogram_observe(h, 0.005); /* the bound itself belongs to its bucket */
    er_histogram_observe(h, 0.25);
    er_histogram_observe(h, 0.125);
    er_histogram_observe(h, 100);
    er_histogram_observe(h, (double)NAN); /* ignored */
    expect(m, "# HELP eventrouter_d_seconds D.\n"
              "# TYPE eventrouter_d_seconds histogram\n"
              "eventrouter_d_seconds_bucket{sink=\"a\",le=\"0.005\"} 1\n"
              "eventrouter_d_seconds_bucket{sink=\"a\",le=\"0.25\"} 3\n"
              "eventrouter_d_seconds_bucket{sink=\"a\",le=\"10\"} 3\n"
              "eventrouter_d_seconds_bucket{sink=\"a\",le=\"+Inf\"} 4\n"
              "eventrouter_d_seconds_sum{sink=\"a\"} 100.38\n"
              "eventrouter_d_seconds_count{sink=\"a\"} 4\n");
    er_metrics_free(m);
}

static void test_numbers(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    er_counter *ms = er_metrics_counter(m, "w_seconds_total", "W.", NULL);
    er_counter_add_ms(ms, 12345);
    er_counter_add_ms(ms, 5);
    er_counter *big = er_metrics_counter(m, "big_total", "B.", NULL);
    er_counter_set(big, UINT64_MAX);
    const double values[] = {0.1, 1764000000, 1764000000.123, -1, (double)INFINITY, (double)NAN};
    const char *const names[] = {"0", "1", "2", "3", "4", "5"};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        er_gauge_set(er_metrics_gauge(m, "g", "G.", ER_LABELS("i", names[i])), values[i]);
    }
    expect(m, "# HELP eventrouter_w_seconds_total W.\n"
              "# TYPE eventrouter_w_seconds_total counter\n"
              "eventrouter_w_seconds_total 12.350\n"
              "# HELP eventrouter_big_total B.\n"
              "# TYPE eventrouter_big_total counter\n"
              "eventrouter_big_total 18446744073709551615\n"
              "# HELP eventrouter_g G.\n"
              "# TYPE eventrouter_g gauge\n"
              "eventrouter_g{i=\"0\"} 0.1\n"
              "eventrouter_g{i=\"1\"} 1764000000\n"
              "eventrouter_g{i=\"2\"} 1764000000.123\n"
              "eventrouter_g{i=\"3\"} -1\n"
              "eventrouter_g{i=\"4\"} +Inf\n"
              "eventrouter_g{i=\"5\"} NaN\n");
    er_metrics_free(m);
}

static void test_null_cells_are_ignored(void **state) {
    (void)state;
    er_counter_inc(NULL);
    er_counter_add_ms(NULL, 1);
    er_counter_set(NULL, 1);
    er_gauge_set(NULL, 1);
    er_histogram_observe(NULL, 1);
    assert_int_equal(er_counter_get(NULL), 0);
}

typedef struct hook_state {
    er_metrics *m;
    uint64_t runs;
} hook_state;

static void count_runs(void *arg) {
    hook_state *h = arg;
    h->runs++;
    /* A hook may register. */
    er_counter_set(er_metrics_counter(h->m, "runs_total", "R.", NULL), h->runs);
}

static void test_hooks_run_before_each_rendering(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    hook_state h = {.m = m};
    er_metrics_on_render(m, count_runs, &h);
    free(rendered(m));
    expect(m, "# HELP eventrouter_runs_total R.\n"
              "# TYPE eventrouter_runs_total counter\n"
              "eventrouter_runs_total 2\n");
    er_metrics_free(m);
}

#define THREADS 4
#define ROUNDS  20000

typedef struct worker_arg {
    er_counter *c;
    er_histogram *h;
} worker_arg;

static void *hammer(void *arg) {
    worker_arg *w = arg;
    for (int i = 0; i < ROUNDS; i++) {
        er_counter_inc(w->c);
        er_histogram_observe(w->h, 1);
    }
    return NULL;
}

static void test_cells_take_writers_from_any_thread(void **state) {
    (void)state;
    er_metrics *m = er_metrics_new();
    const double bounds[] = {1};
    worker_arg w = {er_metrics_counter(m, "c_total", "C.", NULL),
                    er_metrics_histogram(m, "h", "H.", NULL, bounds, 1)};
    er_thread threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(er_thread_start(&threads[i], "hammer", hammer, &w, NULL), ER_OK);
    }
    free(rendered(m));
    for (int i = 0; i < THREADS; i++) {
        er_thread_join(threads[i]);
    }
    expect(m, "# HELP eventrouter_c_total C.\n"
              "# TYPE eventrouter_c_total counter\n"
              "eventrouter_c_total 80000\n"
              "# HELP eventrouter_h H.\n"
              "# TYPE eventrouter_h histogram\n"
              "eventrouter_h_bucket{le=\"1\"} 80000\n"
              "eventrouter_h_bucket{le=\"+Inf\"} 80000\n"
              "eventrouter_h_sum 80000\n"
              "eventrouter_h_count 80000\n");
    er_metrics_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty_registry),
        cmocka_unit_test(test_families_in_order_of_registration),
        cmocka_unit_test(test_every_series_exists_at_zero),
        cmocka_unit_test(test_the_same_labels_give_the_same_cell),
        cmocka_unit_test(test_escaping),
        cmocka_unit_test(test_histogram_buckets_are_cumulative),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_null_cells_are_ignored),
        cmocka_unit_test(test_hooks_run_before_each_rendering),
        cmocka_unit_test(test_cells_take_writers_from_any_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
