/* What a stream has stored of it, over lists, rewinds and settled slots; there is no store behind
 * it. */
#include "unit.h"

#include "watch/stream_priv.h"

#include <stdlib.h>

typedef struct world {
    er_stream s;
    er_state_settings settings;
    er_metrics *metrics;
} world;

static int setup(void **state) {
    world *w = er_xcalloc(1, sizeof *w);
    w->settings = (er_state_settings){.store = ER_STATE_NONE};
    w->metrics = er_metrics_new();
    w->s.name = er_dup("events");
    w->s.tracker = er_tracker_new();
    w->s.selector = "type=Warning";
    w->s.options.resource = er_resources[0];
    w->s.cluster_id = "c-1";
    w->s.complete_until = ER_TIME_NONE;
    w->s.options.state = er_state_new(&w->settings, w->metrics);
    er_mutex_init(&w->s.point_lock);
    *state = w;
    return 0;
}

static int teardown(void **state) {
    world *w = *state;
    er_tracker_free(w->s.tracker);
    assert_true(er_state_free(w->s.options.state));
    er_metrics_free(w->metrics);
    er_mutex_fini(&w->s.point_lock);
    free(w->s.name);
    free(w);
    return 0;
}

static er_slot *open_slot(world *w, const char *version) {
    er_slot *slot = er_tracker_open(w->s.tracker, er_str_of(version));
    er_slot_owe(slot, 1);
    er_slot_give_back(slot);
    return slot;
}

static void settle(er_slot *slot) {
    er_ack *ack = er_slot_ack(slot);
    er_acks_settle(&ack, 1);
}

static er_point collected(world *w) {
    er_point point;
    er_state_changes changes;
    assert_true(er_stream_collect(&w->s, &point, &changes));
    er_stream_stored(&w->s, &changes, true);
    return point;
}

static void assert_resume(world *w, const char *version, er_time until) {
    er_point point = collected(w);
    assert_int_equal(point.mark, ER_POINT_RESUME);
    assert_string_equal(point.version, version);
    assert_string_equal(point.gap_cause, "");
    assert_string_equal(point.gap_from, "");
    assert_int_equal(point.watched_until, until);
}

static void assert_list(world *w, const char *from, er_time until) {
    er_point point = collected(w);
    assert_int_equal(point.mark, ER_POINT_LIST);
    assert_string_equal(point.version, "");
    assert_string_equal(point.gap_cause, "rewound");
    assert_string_equal(point.gap_from, from);
    assert_int_equal(point.watched_until, until);
}

static void test_first_start(void **state) {
    world *w = *state;
    er_point point;
    er_state_changes changes;
    assert_false(
        er_stream_collect(&w->s, &point, &changes)); /* nothing to say before it has begun */
    er_stream_begin(&w->s);
    assert_int_equal(w->s.list_cause, ER_LIST_START);
    assert_int_equal(w->s.next, ER_NEXT_LIST);
    point = collected(w);
    assert_int_equal(point.mark, ER_POINT_FIRST);
    assert_string_equal(point.cluster_id, "c-1");
    assert_string_equal(point.selector, "type=Warning");
    er_slot *list = open_slot(w, "");
    er_tracker_advance(w->s.tracker, ER_STR("90"));
    er_stream_complete(&w->s, 1000);
    assert_int_equal(collected(w).mark, ER_POINT_FIRST); /* its items are not settled */
    settle(list);
    assert_resume(w, "90", 1000);
}

static void begin_at_90(world *w) {
    er_stream_begin(&w->s);
    er_tracker_advance(w->s.tracker, ER_STR("90"));
    er_stream_complete(&w->s, 1000);
    assert_resume(w, "90", 1000);
}

static void test_rewound(void **state) {
    world *w = *state;
    begin_at_90(w);
    er_slot *flying = open_slot(w, "91");
    er_tracker_advance(w->s.tracker, ER_STR("91"));
    er_stream_complete(&w->s, 2000);
    er_stream_mark_rewound(&w->s);
    assert_list(w, "90", 1000); /* 91 would be lost by a crash */
    settle(flying);
    assert_list(w, "90", 1000);
    er_slot *list = open_slot(w, "");
    er_tracker_advance(w->s.tracker, ER_STR("50"));
    er_stream_complete(&w->s, 3000);
    assert_list(w, "90", 1000);
    settle(list);
    assert_resume(w, "50", 3000);
}

static void test_rewound_again(void **state) {
    world *w = *state;
    begin_at_90(w);
    er_stream_mark_rewound(&w->s);
    er_slot *list = open_slot(w, "");
    er_tracker_advance(w->s.tracker, ER_STR("50"));
    er_stream_complete(&w->s, 3000);
    er_stream_mark_rewound(&w->s); /* the first gap is not told yet */
    assert_list(w, "90", 1000);
    settle(list);
    assert_list(w, "90", 1000);
    er_tracker_advance(w->s.tracker, ER_STR("40"));
    er_stream_complete(&w->s, 4000);
    assert_resume(w, "40", 4000);
    er_stream_mark_rewound(&w->s); /* now it is */
    assert_list(w, "40", 4000);
}

static void test_rewound_during_the_first_list(void **state) {
    world *w = *state;
    er_stream_begin(&w->s);
    er_slot *list = open_slot(w, "");
    er_tracker_advance(w->s.tracker, ER_STR("90"));
    er_stream_complete(&w->s, 1000);
    er_stream_mark_rewound(&w->s);
    assert_list(w, "90", ER_TIME_NONE);
    settle(list);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_first_start),
        TEST(test_rewound),
        TEST(test_rewound_again),
        TEST(test_rewound_during_the_first_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
