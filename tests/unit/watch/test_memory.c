/* What is remembered: sets of blobs against a plain model, and the way of a change from its frame
 * to the store, which no crash may take too early or lose. */
#include "unit.h"
#include "watch/tracker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static er_blob *blob(const char *uid, const char *bytes) {
    return er_blob_new(er_str_of(uid), bytes == NULL ? (er_str){0} : er_str_of(bytes));
}

static void assert_blob(const er_blobs *set, const char *uid, const char *bytes) {
    const er_blob *found = er_blobs_get(set, er_str_of(uid));
    if (bytes == NULL) {
        assert_null(found);
    } else {
        assert_non_null(found);
        assert_str(found->bytes, bytes);
    }
}

/* ---- sets ---- */

#define UIDS 40

static void name(char out[8], unsigned i) {
    (void)snprintf(out, 8, "u%u", i);
}

static void test_against_a_model(void **state) {
    (void)state;
    er_blobs sets[2] = {0};
    int model[2][UIDS] = {0}; /* 0: not there */
    uint64_t seed = 1;
    char uid[8];
    char bytes[16];
    for (int step = 1; step < 20000; step++) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        unsigned i = (unsigned)(seed >> 33) % UIDS;
        unsigned which = (unsigned)(seed >> 40) % 2;
        unsigned what = (unsigned)(seed >> 45) % 40;
        name(uid, i);
        if (what < 20) {
            (void)snprintf(bytes, sizeof bytes, "%d", step);
            er_blobs_put(&sets[which], blob(uid, bytes));
            model[which][i] = step;
        } else if (what < 39) {
            er_blobs_remove(&sets[which], er_str_of(uid));
            model[which][i] = 0;
        } else {
            er_blobs_merge(&sets[0], &sets[1]);
            for (unsigned k = 0; k < UIDS; k++) {
                model[0][k] = model[1][k] != 0 ? model[1][k] : model[0][k];
                model[1][k] = 0;
            }
        }
        for (unsigned w = 0; w < 2; w++) {
            size_t n = 0;
            for (unsigned k = 0; k < UIDS; k++) {
                name(uid, k);
                (void)snprintf(bytes, sizeof bytes, "%d", model[w][k]);
                assert_blob(&sets[w], uid, model[w][k] == 0 ? NULL : bytes);
                n += model[w][k] != 0;
            }
            assert_int_equal(sets[w].n, n);
        }
    }
    er_blobs_fini(&sets[0]);
    er_blobs_fini(&sets[1]);
}

/* ---- from the frame to the store ---- */

typedef struct world {
    er_tracker *t;
    er_blobs taken;
    bool clears;
    char version[ER_VERSION_MAX];
} world;

static int set_up(void **state) {
    world *w = er_xcalloc(1, sizeof *w);
    w->t = er_tracker_new();
    er_tracker_advance(w->t, ER_STR("10"));
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    er_blobs_fini(&w->taken);
    er_tracker_free(w->t);
    free(w);
    return 0;
}

/* A frame with one record for one sink, which changes what is remembered. */
static er_slot *frame(world *w, const char *version, const char *uid, const char *bytes) {
    er_slot *slot = er_tracker_open(w->t, er_str_of(version));
    er_slot_owe(slot, 1);
    er_tracker_remember(w->t, slot, blob(uid, bytes));
    er_slot_give_back(slot);
    er_tracker_advance(w->t, er_str_of(version));
    return slot;
}

/* One without a record. */
static void silent_frame(world *w, const char *version, const char *uid, const char *bytes) {
    er_tracker_remember(w->t, NULL, blob(uid, bytes));
    er_tracker_advance(w->t, er_str_of(version));
}

static void settle(er_slot *slot) {
    er_ack *ack = er_slot_ack(slot);
    er_acks_settle(&ack, 1);
}

static void take(world *w, const char *version, size_t n) {
    (void)er_tracker_take(w->t, w->version, &w->taken, &w->clears);
    assert_string_equal(w->version, version);
    assert_int_equal(w->taken.n, n);
}

static void stored(world *w, bool good) {
    er_tracker_taken(w->t, &w->taken, w->clears, good);
    assert_int_equal(w->taken.n, 0);
}

static void test_nothing_open(void **state) {
    world *w = *state;
    silent_frame(w, "11", "a", "1");
    silent_frame(w, "12", "a", "2");
    take(w, "12", 1);
    assert_blob(&w->taken, "a", "2");
    assert_false(w->clears);
    stored(w, true);
    take(w, "12", 0);
    stored(w, true);
}

/* The fast frame's change must not be stored while the slow one before it is open: after a crash
 * the slow one comes again, and then the fast one, which must find what it was compared with. */
static void test_settled_out_of_order(void **state) {
    world *w = *state;
    er_slot *slow = frame(w, "11", "a", "1");
    er_slot *fast = frame(w, "12", "a", "2");
    silent_frame(w, "13", "b", "1");
    take(w, "10", 0);
    stored(w, true);
    settle(fast);
    take(w, "10", 0);
    stored(w, true);
    settle(slow);
    take(w, "13", 2);
    assert_blob(&w->taken, "a", "2");
    assert_blob(&w->taken, "b", "1");
    stored(w, true);
}

/* Between two open slots: what was before the second may be stored with its point. */
static void test_up_to_the_open_one(void **state) {
    world *w = *state;
    er_slot *first = frame(w, "11", "a", "1");
    silent_frame(w, "12", "b", "1");
    er_slot *second = frame(w, "13", "a", "2");
    settle(first);
    take(w, "12", 2);
    assert_blob(&w->taken, "a", "1");
    assert_blob(&w->taken, "b", "1");
    stored(w, true);
    settle(second);
    take(w, "13", 1);
    assert_blob(&w->taken, "a", "2");
    stored(w, true);
}

/* However often an object changes behind a sink that hangs, one change waits. */
static void test_bounded(void **state) {
    world *w = *state;
    er_slot *hung = frame(w, "11", "a", "0");
    char text[16];
    for (int i = 12; i < 5000; i++) {
        (void)snprintf(text, sizeof text, "%d", i);
        settle(frame(w, text, i % 2 == 0 ? "a" : "b", text));
    }
    take(w, "10", 0);
    stored(w, true);
    settle(hung);
    take(w, "4999", 2);
    assert_blob(&w->taken, "a", "4998");
    assert_blob(&w->taken, "b", "4999");
    stored(w, true);
}

static void test_not_stored_comes_again(void **state) {
    world *w = *state;
    silent_frame(w, "11", "a", "1");
    silent_frame(w, "12", "b", "1");
    take(w, "12", 2);
    silent_frame(w, "13", "a", "2"); /* meanwhile */
    stored(w, false);
    take(w, "13", 2);
    assert_blob(&w->taken, "a", "2");
    assert_blob(&w->taken, "b", "1");
    stored(w, true);
}

static void test_forgotten(void **state) {
    world *w = *state;
    silent_frame(w, "11", "a", "1");
    silent_frame(w, "12", "a", NULL);
    take(w, "12", 1);
    assert_true(er_blobs_get(&w->taken, ER_STR("a"))->is_forgotten);
    stored(w, true);
}

static void test_rewind(void **state) {
    world *w = *state;
    er_slot *before = frame(w, "11", "a", "1");
    silent_frame(w, "12", "b", "1");
    er_tracker_rewind(w->t, ER_STR("0"));
    er_slot *list = er_tracker_open(w->t, (er_str){0});
    er_tracker_remember(w->t, list, blob("c", "1"));
    settle(before); /* what it changed is void */
    take(w, "0", 0);
    assert_true(w->clears);
    stored(w, true);
    er_tracker_advance(w->t, ER_STR("5"));
    er_slot_give_back(list);
    take(w, "5", 1);
    assert_false(w->clears);
    assert_blob(&w->taken, "c", "1");
    stored(w, true);
}

/* Another file: all that was in the lost one comes again, with what has changed since. */
static void test_store_anew(void **state) {
    world *w = *state;
    er_tracker_found(w->t, blob("a", "1"));
    er_tracker_found(w->t, blob("b", "1"));
    silent_frame(w, "11", "c", "1");
    take(w, "11", 1);
    stored(w, true);
    silent_frame(w, "12", "b", NULL);
    take(w, "12", 1);
    stored(w, true);
    silent_frame(w, "13", "a", "2");
    er_tracker_store_anew(w->t);
    take(w, "13", 2);
    assert_true(w->clears);
    assert_blob(&w->taken, "a", "2");
    assert_blob(&w->taken, "c", "1");
    stored(w, true);
}

/* Objects that come and go leave nothing behind, be it a sink that hangs or a store that cannot be
 * written; those that the store has, or will have, must be forgotten there. */
static void come_and_go(world *w, int first) {
    char uid[16];
    char version[16];
    for (int i = first; i < first + 20000; i += 2) {
        (void)snprintf(uid, sizeof uid, "gone-%d", i);
        (void)snprintf(version, sizeof version, "%d", i);
        silent_frame(w, version, uid, "1");
        (void)snprintf(version, sizeof version, "%d", i + 1);
        silent_frame(w, version, uid, NULL);
    }
}

static void test_come_and_gone(void **state) {
    world *w = *state;
    er_tracker_found(w->t, blob("a", "1"));
    silent_frame(w, "11", "b", "1");
    take(w, "11", 1);
    silent_frame(w, "12", "b", NULL); /* while it is being stored */
    silent_frame(w, "13", "c", "1");
    for (int i = 14; i < 200; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", i);
        silent_frame(w, text, text, NULL);
    }
    stored(w, true);
    er_slot *hung = frame(w, "200", "d", "1");
    silent_frame(w, "201", "a", NULL);
    silent_frame(w, "202", "c", NULL);
    silent_frame(w, "203", "d", NULL);
    er_slot *second = frame(w, "204", "e", "1");
    silent_frame(w, "205", "d", NULL);
    come_and_go(w, 1000);
    settle(second);
    settle(hung);
    come_and_go(w, 30000);
    (void)er_tracker_take(w->t, w->version, &w->taken, &w->clears);
    assert_in_range(w->taken.n, 3, 300);
    assert_true(er_blobs_get(&w->taken, ER_STR("a"))->is_forgotten);
    assert_true(er_blobs_get(&w->taken, ER_STR("b"))->is_forgotten);
    assert_blob(&w->taken, "e", "1");
    stored(w, true);
}

/* ---- any order of frames, answers, writes and lost files against a model ---- */

#define FRAMES  4000
#define OBJECTS 150
#define OPEN    40

typedef struct model {
    world *w;
    uint64_t seed;
    int at[FRAMES][OBJECTS]; /* what is remembered as of each frame; 0: nothing */
    int file[OBJECTS];       /* what the store has */
    er_slot *open[OPEN];
    int last;
} model;

static unsigned draw(model *m, unsigned n) {
    m->seed = m->seed * 6364136223846793005ULL + 1442695040888963407ULL;
    return (unsigned)(m->seed >> 33) % n;
}

static void draw_frame(model *m) {
    char uid[8];
    char bytes[16];
    char version[16];
    unsigned object = draw(m, OBJECTS);
    unsigned place = draw(m, OPEN);
    int now = ++m->last;
    bool is_gone = draw(m, 2) == 0;
    memcpy(m->at[now], m->at[now - 1], sizeof m->at[now]);
    m->at[now][object] = is_gone ? 0 : now;
    name(uid, object);
    (void)snprintf(bytes, sizeof bytes, "%d", now);
    (void)snprintf(version, sizeof version, "%d", now);
    if (m->open[place] == NULL && draw(m, 3) == 0) {
        m->open[place] = frame(m->w, version, uid, is_gone ? NULL : bytes);
    } else {
        silent_frame(m->w, version, uid, is_gone ? NULL : bytes);
    }
}

static void draw_write(model *m) {
    world *w = m->w;
    char uid[8];
    char bytes[16];
    (void)er_tracker_take(w->t, w->version, &w->taken, &w->clears);
    int point = (int)strtol(w->version, NULL, 10);
    bool good = draw(m, 3) > 0;
    if (good && w->clears) {
        memset(m->file, 0, sizeof m->file);
    }
    for (unsigned i = 0; good && i < OBJECTS; i++) {
        name(uid, i);
        const er_blob *found = er_blobs_get(&w->taken, er_str_of(uid));
        if (found != NULL) {
            (void)snprintf(bytes, sizeof bytes, "%.*s", (int)found->bytes.n, found->bytes.p);
            m->file[i] = found->is_forgotten ? 0 : (int)strtol(bytes, NULL, 10);
        }
        assert_int_equal(m->file[i], m->at[point][i]);
    }
    for (unsigned n = draw(m, 100); n > 0 && m->last + 1 < FRAMES; n--) {
        draw_frame(m); /* while it is being written */
    }
    stored(w, good);
}

static void test_any_order(void **state) {
    (void)state;
    world w = {0};
    model *m = er_xcalloc(1, sizeof *m);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        *m = (model){.w = &w, .seed = seed};
        w.t = er_tracker_new();
        er_tracker_advance(w.t, ER_STR("0"));
        while (m->last + 1 < FRAMES) {
            unsigned what = draw(m, 1000);
            unsigned place = draw(m, OPEN);
            if (what < 3) {
                er_tracker_store_anew(w.t);
                memset(m->file, 0xff, sizeof m->file);
            } else if (what < 10) {
                draw_write(m);
            } else if (what < 300 && m->open[place] != NULL) {
                settle(m->open[place]);
                m->open[place] = NULL;
            } else {
                draw_frame(m);
            }
        }
        er_tracker_free(w.t);
    }
    free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_model),
        cmocka_unit_test_setup_teardown(test_nothing_open, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_settled_out_of_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_up_to_the_open_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_not_stored_comes_again, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rewind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_store_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_come_and_gone, set_up, tear_down),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
