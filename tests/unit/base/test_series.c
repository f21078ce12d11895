/* Series that come and go: what is rendered, who takes what away, the cap, the life of counters. */
#include "unit.h"

#include "base/clock.h"
#include "base/series.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>

#define LIFE 3600000

enum { CHANGES, REPLICAS };
static const er_series_family two[] = {
    {"changes_total", "Changes.", false, {"name", "field"}},
    {"replicas", "Replicas.", true, {"namespace", "name"}},
};

typedef struct world {
    er_metrics *m;
    er_series *s;
} world;

static world make(size_t max) {
    world w = {.m = er_metrics_new()};
    w.s = er_series_new(two, 2, max, LIFE, w.m);
    return w;
}

static void end(world *w) {
    er_series_free(w->s);
    er_metrics_free(w->m);
}

/* The whole exposition: the cap's own series, then `rest`. */
static void expect(const world *w, size_t n, unsigned over_changes, unsigned over_replicas,
                   const char *rest) {
    er_buf out;
    er_buf want;
    er_buf_init(&out, 1 << 20);
    er_buf_init(&want, 1 << 20);
    er_metrics_render(w->m, &out);
    er_buf_putf(
        &want,
        "# HELP eventrouter_workload_series_overflow_total Updates of workload metrics that "
        "found no room below watch.maxSeries.\n"
        "# TYPE eventrouter_workload_series_overflow_total counter\n"
        "eventrouter_workload_series_overflow_total{metric=\"changes_total\"} %u\n"
        "eventrouter_workload_series_overflow_total{metric=\"replicas\"} %u\n"
        "# HELP eventrouter_workload_series Series of the workload metrics.\n"
        "# TYPE eventrouter_workload_series gauge\n"
        "eventrouter_workload_series %zu\n%s",
        over_changes, over_replicas, n, rest);
    assert_string_equal(er_buf_cstr(&out), er_buf_cstr(&want));
    er_buf_fini(&out);
    er_buf_fini(&want);
}

static void add(const world *w, const char *name, const char *field, uint64_t n, int64_t now) {
    const er_str values[] = {er_str_of(name), er_str_of(field)};
    er_series_add(w->s, CHANGES, values, n, now);
}

static const int scopes[2];

static er_series_owner owner(uint64_t id, int scope, uint64_t round) {
    return (er_series_owner){id, &scopes[scope], round};
}

static void set(const world *w, const char *name, er_series_owner by, int64_t v) {
    const er_str values[] = {ER_STR("shop"), er_str_of(name)};
    er_series_set(w->s, REPLICAS, values, &by, v, er_mono_ms());
}

static void take_away(const world *w, const char *name, er_series_owner by) {
    const er_str values[] = {ER_STR("shop"), er_str_of(name)};
    er_series_remove(w->s, REPLICAS, values, &by);
}

#define CHANGES_HEAD  "# HELP changes_total Changes.\n# TYPE changes_total counter\n"
#define REPLICAS_HEAD "# HELP replicas Replicas.\n# TYPE replicas gauge\n"

static void test_bare_names_in_order(void **state) {
    (void)state;
    world w = make(10);
    int64_t now = er_mono_ms();
    expect(&w, 0, 0, 0, "");
    set(&w, "web", owner(1, 0, 1), 3);
    add(&w, "web", "image", 1, now);
    add(&w, "api", "image", 2, now);
    add(&w, "web", "image", 4, now);
    set(&w, "web", owner(1, 0, 1), 0);
    expect(&w, 3, 0, 0,
           CHANGES_HEAD "changes_total{name=\"web\",field=\"image\"} 5\n"
                        "changes_total{name=\"api\",field=\"image\"} 2\n" REPLICAS_HEAD
                        "replicas{namespace=\"shop\",name=\"web\"} 0\n");
    end(&w);
    er_series_free(NULL);
}

/* Hostile values: quotes, line feeds, NUL, no UTF-8, and longer than anybody needs; a sequence is
 * not cut in the middle. */
static void test_values_are_escaped_and_cut(void **state) {
    (void)state;
    world w = make(10);
    char longest[300];
    memset(longest, 'x', sizeof longest);
    longest[255] = '\xc3';
    longest[256] = '\xa9';
    const er_str values[] = {{"a\"\\\n\0\xff}", 7}, {longest, sizeof longest}};
    er_series_add(w.s, CHANGES, values, 1, er_mono_ms());
    char text[512];
    (void)snprintf(text, sizeof text,
                   CHANGES_HEAD "changes_total{name=\"a\\\"\\\\\\n\xef\xbf\xbd\xef\xbf\xbd}\","
                                "field=\"%.255s\"} 1\n",
                   longest);
    expect(&w, 1, 0, 0, text);
    char bad[400];
    memset(bad, 0xff, sizeof bad); /* each takes three: the longest text there is */
    const er_str worst[] = {{bad, sizeof bad}, {bad, sizeof bad}};
    er_series_add(w.s, CHANGES, worst, 1, er_mono_ms());
    er_series_add(w.s, CHANGES, worst, 1, er_mono_ms());
    er_series_expire(w.s, er_mono_ms() + LIFE);
    expect(&w, 0, 0, 0, "");
    end(&w);
}

static void test_a_gauge_goes_with_its_owner(void **state) {
    (void)state;
    world w = make(10);
    set(&w, "web", owner(1, 0, 1), 3);
    set(&w, "api", owner(2, 0, 1), 2);
    take_away(&w, "web", owner(9, 0, 1)); /* another object of that name */
    take_away(&w, "web", owner(1, 1, 1)); /* another scope */
    take_away(&w, "none", owner(1, 0, 1));
    set(&w, "web", owner(3, 0, 2), 5); /* created anew under its name */
    take_away(&w, "web", owner(1, 0, 2));
    expect(&w, 2, 0, 0,
           REPLICAS_HEAD "replicas{namespace=\"shop\",name=\"web\"} 5\n"
                         "replicas{namespace=\"shop\",name=\"api\"} 2\n");
    take_away(&w, "web", owner(3, 0, 2));
    take_away(&w, "api", owner(2, 0, 2));
    expect(&w, 0, 0, 0, "");
    end(&w);
}

static void test_a_sweep_takes_what_its_round_did_not_set(void **state) {
    (void)state;
    world w = make(10);
    set(&w, "a", owner(1, 0, 1), 1);
    set(&w, "b", owner(2, 0, 1), 1);
    set(&w, "other", owner(3, 1, 1), 1);
    add(&w, "a", "image", 1, er_mono_ms());
    set(&w, "b", owner(2, 0, 2), 7);
    er_series_sweep(w.s, &scopes[0], 2);
    expect(&w, 3, 0, 0,
           CHANGES_HEAD "changes_total{name=\"a\",field=\"image\"} 1\n" REPLICAS_HEAD
                        "replicas{namespace=\"shop\",name=\"b\"} 7\n"
                        "replicas{namespace=\"shop\",name=\"other\"} 1\n");
    end(&w);
}

static void test_counters_live_from_their_last_change(void **state) {
    (void)state;
    world w = make(10);
    int64_t now = er_mono_ms();
    add(&w, "old", "image", 1, now);
    add(&w, "new", "image", 1, now);
    set(&w, "web", owner(1, 0, 1), 1);
    add(&w, "new", "image", 1, now + 1);
    er_series_expire(w.s, now + LIFE - 1);
    expect(&w, 3, 0, 0,
           CHANGES_HEAD "changes_total{name=\"old\",field=\"image\"} 1\n"
                        "changes_total{name=\"new\",field=\"image\"} 2\n" REPLICAS_HEAD
                        "replicas{namespace=\"shop\",name=\"web\"} 1\n");
    er_series_expire(w.s, now + LIFE);
    expect(&w, 2, 0, 0,
           CHANGES_HEAD "changes_total{name=\"new\",field=\"image\"} 2\n" REPLICAS_HEAD
                        "replicas{namespace=\"shop\",name=\"web\"} 1\n");
    add(&w, "before", "image", 1, now - LIFE); /* rendering looks, too */
    expect(&w, 2, 0, 0,
           CHANGES_HEAD "changes_total{name=\"new\",field=\"image\"} 2\n" REPLICAS_HEAD
                        "replicas{namespace=\"shop\",name=\"web\"} 1\n");
    end(&w);
}

static void test_the_cap(void **state) {
    (void)state;
    world w = make(2);
    int64_t now = er_mono_ms();
    add(&w, "a", "image", 1, now);
    set(&w, "web", owner(1, 0, 1), 1);
    add(&w, "b", "image", 1, now);
    add(&w, "b", "image", 5, now);
    set(&w, "api", owner(2, 0, 1), 1);
    add(&w, "a", "image", 1, now); /* what is there goes on */
    const char *full = CHANGES_HEAD "changes_total{name=\"a\",field=\"image\"} 2\n" REPLICAS_HEAD
                                    "replicas{namespace=\"shop\",name=\"web\"} 1\n";
    expect(&w, 2, 2, 1, full);
    take_away(&w, "web", owner(1, 0, 1)); /* room again */
    set(&w, "api", owner(2, 0, 1), 4);
    expect(&w, 2, 2, 1,
           CHANGES_HEAD "changes_total{name=\"a\",field=\"image\"} 2\n" REPLICAS_HEAD
                        "replicas{namespace=\"shop\",name=\"api\"} 4\n");
    end(&w);
}

/* Without anybody who renders, what is over makes room for what is new. */
static void test_no_room_looks_for_what_is_over(void **state) {
    (void)state;
    world w = make(2);
    int64_t then = er_mono_ms() - LIFE;
    add(&w, "a", "image", 1, then);
    add(&w, "b", "image", 1, then + LIFE);
    add(&w, "c", "image", 1, then + LIFE);
    expect(&w, 2, 0, 0,
           CHANGES_HEAD "changes_total{name=\"b\",field=\"image\"} 1\n"
                        "changes_total{name=\"c\",field=\"image\"} 1\n");
    end(&w);
}

/* ---- threads ---- */

#define NAMES  300
#define ROUNDS 40

static void *write_all(void *arg) {
    world *w = arg;
    char name[16];
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < NAMES; i++) {
            (void)snprintf(name, sizeof name, "n%u", i);
            add(w, name, "image", 1, er_mono_ms());
            set(w, name, owner(i, 0, round), (int64_t)i);
            if (i % 3 == 0) {
                take_away(w, name, owner(i, 0, round));
            }
        }
    }
    return NULL;
}

static void test_writers_beside_a_scrape(void **state) {
    (void)state;
    world w = make(NAMES * 2);
    er_thread threads[2];
    er_err err;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(er_thread_start(&threads[i], "writer", write_all, &w, &err), ER_OK);
    }
    er_buf out;
    er_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < 50; i++) {
        er_buf_clear(&out);
        er_metrics_render(w.m, &out);
    }
    er_thread_join(threads[0]);
    er_thread_join(threads[1]);
    er_buf_clear(&out);
    er_metrics_render(w.m, &out);
    assert_int_equal(er_buf_status(&out), ER_OK);
    for (unsigned i = 0; i < NAMES; i++) {
        char line[80];
        (void)snprintf(line, sizeof line, "changes_total{name=\"n%u\",field=\"image\"} %u\n", i,
                       2 * ROUNDS);
        assert_non_null(strstr(er_buf_cstr(&out), line));
        (void)snprintf(line, sizeof line, "replicas{namespace=\"shop\",name=\"n%u\"} %u\n", i, i);
        bool is_there = strstr(er_buf_cstr(&out), line) != NULL;
        assert_int_equal(is_there, i % 3 != 0);
    }
    er_buf_fini(&out);
    end(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare_names_in_order),
        cmocka_unit_test(test_values_are_escaped_and_cut),
        cmocka_unit_test(test_a_gauge_goes_with_its_owner),
        cmocka_unit_test(test_a_sweep_takes_what_its_round_did_not_set),
        cmocka_unit_test(test_counters_live_from_their_last_change),
        cmocka_unit_test(test_the_cap),
        cmocka_unit_test(test_no_room_looks_for_what_is_over),
        cmocka_unit_test(test_writers_beside_a_scrape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
