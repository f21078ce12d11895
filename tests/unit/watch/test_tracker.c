#include "unit.h"

#include "watch/totals.h"
#include "watch/tracker.h"

#include <stdio.h>
#include <stdlib.h>

static void assert_resume(er_tracker *t, const char *expected) {
    char version[ER_VERSION_MAX];
    (void)er_tracker_resume(t, version);
    assert_string_equal(version, expected);
}

/* A frame with n sinks, pushed: what remains owed are the sinks' answers. */
static er_slot *frame(er_tracker *t, const char *version, unsigned sinks) {
    er_slot *slot = er_tracker_open(t, er_str_of(version));
    er_slot_owe(slot, sinks);
    er_slot_give_back(slot);
    er_tracker_advance(t, er_str_of(version));
    return slot;
}

static void settle(er_slot *slot) {
    er_ack *ack = er_slot_ack(slot);
    er_acks_settle(&ack, 1);
}

static void test_nothing_open(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    assert_resume(t, "");
    er_tracker_advance(t, ER_STR("9"));
    assert_resume(t, "9");
    er_tracker_advance(t, ER_STR("10"));
    assert_resume(t, "10");
    er_tracker_free(t);
}

static void test_oldest_open_slot_holds(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    er_tracker_advance(t, ER_STR("5"));
    er_slot *a = frame(t, "6", 2);
    er_slot *b = frame(t, "8", 1);
    er_slot *c = frame(t, "9", 1);
    assert_resume(t, "5");
    settle(b); /* out of order */
    assert_resume(t, "5");
    settle(a);
    assert_resume(t, "5"); /* one of two sinks */
    settle(a);
    assert_resume(t, "8"); /* c holds what came before it */
    assert_int_equal(er_tracker_open_slots(t), 1);
    settle(c);
    assert_resume(t, "9");
    assert_int_equal(er_tracker_open_slots(t), 0);
    er_tracker_free(t);
}

static void test_not_settled_half_built(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    er_tracker_advance(t, ER_STR("5"));
    er_slot *slot = er_tracker_open(t, ER_STR("6"));
    er_slot_owe(slot, 2);
    settle(slot); /* the first sink is quick, the second was not even offered */
    settle(slot);
    assert_resume(t, "5");
    er_slot_give_back(slot);
    er_tracker_advance(t, ER_STR("6"));
    assert_resume(t, "6");
    er_tracker_free(t);
}

static void test_frames_of_one_version(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    er_tracker_advance(t, ER_STR("5"));
    er_slot *a = frame(t, "7", 1);
    er_slot *b = frame(t, "7", 1);
    settle(a);
    assert_resume(t, "5"); /* a crash now must bring b again */
    settle(b);
    assert_resume(t, "7");
    er_tracker_free(t);
}

static void test_list_is_a_slot(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    er_tracker_advance(t, ER_STR("5"));
    er_slot *list = er_tracker_open(t, (er_str){0});
    er_slot_owe(list, 3);
    settle(list);
    settle(list);
    assert_resume(t, "5");
    er_tracker_advance(t, ER_STR("20"));
    er_slot_give_back(list);
    er_slot *after = frame(t, "21", 1);
    assert_resume(t, "5"); /* one item is not settled */
    settle(list);
    assert_resume(t, "20");
    settle(after);
    assert_resume(t, "21");
    er_tracker_free(t);
}

static void test_rewind_forgets_old_slots(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    er_tracker_advance(t, ER_STR("500"));
    er_slot *old = frame(t, "501", 1);
    er_tracker_rewind(t, ER_STR("0"));
    er_slot *list = er_tracker_open(t, (er_str){0});
    assert_resume(t, "0");
    er_tracker_advance(t, ER_STR("90"));
    er_slot_give_back(list);
    assert_resume(t, "90"); /* though the old slot is still open */
    settle(old);
    assert_resume(t, "90");
    er_tracker_free(t);
}

/* A frame may have been written at any time since the stream was last known complete. */
static void test_what_was_complete_when_it_was_opened(void **state) {
    (void)state;
    char version[ER_VERSION_MAX];
    er_tracker *t = er_tracker_new();
    assert_int_equal(er_tracker_resume(t, version), ER_TIME_NONE);
    er_tracker_advance(t, ER_STR("5"));
    er_tracker_complete(t, 1000);
    er_slot *a = frame(t, "6", 1);
    er_tracker_complete(t, 2000);
    er_slot *b = frame(t, "7", 1);
    er_tracker_complete(t, 3000);
    assert_int_equal(er_tracker_resume(t, version), 1000);
    settle(b);
    assert_int_equal(er_tracker_resume(t, version), 1000);
    settle(a);
    assert_int_equal(er_tracker_resume(t, version), 3000);
    er_slot *list = er_tracker_open(t, (er_str){0}); /* after 3000 something was missed */
    er_slot_owe(list, 1);
    er_tracker_advance(t, ER_STR("90"));
    er_slot_give_back(list);
    er_tracker_complete(t, 9000);
    assert_int_equal(er_tracker_resume(t, version), 3000);
    assert_string_equal(version, "7");
    settle(list);
    assert_int_equal(er_tracker_resume(t, version), 9000);
    er_tracker_free(t);
}

#define THREADS 4
#define FRAMES  20000

static er_slot *shared[FRAMES];
static atomic_size_t next_slot;

static void *settle_all(void *arg) {
    (void)arg;
    size_t i;
    while ((i = atomic_fetch_add(&next_slot, 1)) < FRAMES) {
        settle(shared[i]);
    }
    return NULL;
}

static void test_settled_from_many_threads(void **state) {
    (void)state;
    er_tracker *t = er_tracker_new();
    char version[32];
    for (size_t i = 0; i < FRAMES; i++) {
        (void)snprintf(version, sizeof version, "%zu", i + 1);
        shared[i] = frame(t, version, 1);
    }
    assert_int_equal(er_tracker_open_slots(t), FRAMES);
    er_thread threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(er_thread_start(&threads[i], "settle", settle_all, NULL, NULL), ER_OK);
    }
    for (size_t i = 0; i < THREADS; i++) {
        er_thread_join(threads[i]);
    }
    assert_int_equal(er_tracker_open_slots(t), 0);
    assert_resume(t, "20000");
    er_tracker_free(t);
}

static void test_totals(void **state) {
    (void)state;
    er_totals *totals = er_totals_new();
    assert_int_equal(er_totals_swap(totals, ER_STR("a"), 1), -1);
    assert_int_equal(er_totals_swap(totals, ER_STR("a"), 5), 1);
    assert_int_equal(er_totals_swap(totals, ER_STR("b"), 9), -1);
    assert_int_equal(er_totals_swap(totals, ER_STR("a"), 3), 5);
    er_totals_forget(totals, ER_STR("a"));
    assert_int_equal(er_totals_swap(totals, ER_STR("a"), 7), -1);
    assert_int_equal(er_totals_swap(totals, ER_STR("b"), 9), 9);
    er_totals_free(totals);
}

static void test_totals_keep_what_is_used(void **state) {
    (void)state;
    er_totals *totals = er_totals_new();
    char uid[32];
    for (int i = 0; i < 300000; i++) {
        (void)snprintf(uid, sizeof uid, "uid-%d", i);
        (void)er_totals_swap(totals, er_str_of(uid), i);
        (void)er_totals_swap(totals, ER_STR("hot"), i); /* used all the time: never forgotten */
    }
    assert_int_equal(er_totals_swap(totals, ER_STR("hot"), 0), 299999);
    assert_int_equal(er_totals_swap(totals, ER_STR("uid-299999"), 0), 299999);
    assert_int_equal(er_totals_swap(totals, ER_STR("uid-0"), 0), -1);
    er_totals_free(totals);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_open),
        cmocka_unit_test(test_oldest_open_slot_holds),
        cmocka_unit_test(test_not_settled_half_built),
        cmocka_unit_test(test_frames_of_one_version),
        cmocka_unit_test(test_list_is_a_slot),
        cmocka_unit_test(test_rewind_forgets_old_slots),
        cmocka_unit_test(test_what_was_complete_when_it_was_opened),
        cmocka_unit_test(test_settled_from_many_threads),
        cmocka_unit_test(test_totals),
        cmocka_unit_test(test_totals_keep_what_is_used),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
