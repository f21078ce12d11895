/* The keeper over a store that is new, sound, damaged, locked, full or taken away. */
#include "store_fixture.h"

#include "state/state.h"

#include <sys/resource.h>

typedef struct source { /* a stream, as the keeper sees it */
    er_mutex lock;
    er_point point;
    bool has_begun;
} source;

typedef struct life { /* one process's */
    er_state_settings settings;
    er_metrics *metrics;
    er_state *state;
    source source;
    char path[512];
} life;

static bool collect(void *arg, er_point *out, er_state_changes *changes) {
    (void)changes;
    source *s = arg;
    er_lock(&s->lock);
    *out = s->point;
    bool has_begun = s->has_begun;
    er_unlock(&s->lock);
    return has_begun;
}

static void done(void *arg, er_state_changes *changes, bool is_written) {
    (void)arg;
    (void)changes;
    (void)is_written;
}

static void anew(void *arg) {
    (void)arg;
}

static void tell(life *l, const er_point *point) {
    er_lock(&l->source.lock);
    l->source.point = *point;
    l->source.has_begun = true;
    er_unlock(&l->source.lock);
}

static void tell_version(life *l, const char *version) {
    er_point point = {
        .mark = ER_POINT_RESUME, .watched_until = ER_TIME_NONE, .written = ER_TIME_NONE};
    (void)snprintf(point.version, sizeof point.version, "%s", version);
    tell(l, &point);
}

static void begin(life *l, const scene *s) {
    *l = (life){0};
    (void)snprintf(l->path, sizeof l->path, "%s/state", s->dir);
    l->settings = (er_state_settings){.store = ER_STATE_SQLITE, .path = l->path, .interval_ms = 10};
    er_mutex_init(&l->source.lock);
    l->metrics = er_metrics_new();
    l->state = er_state_new(&l->settings, l->metrics);
    const er_state_source stream = {"events", &l->source, collect, done, anew};
    er_state_add(l->state, &stream);
    assert_int_equal(er_state_start(l->state, NULL), ER_OK);
}

static void opened(life *l) {
    er_cancel cancel;
    assert_int_equal(er_cancel_init(&cancel, NULL), ER_OK);
    assert_true(er_state_wait(l->state, &cancel, NULL));
    er_cancel_fini(&cancel);
}

static void end(life *l) {
    er_state_stop(l->state, 5000);
    assert_true(er_state_free(l->state));
    er_metrics_free(l->metrics);
    er_mutex_fini(&l->source.lock);
}

static bool write_now(life *l) {
    return er_state_write_now(l->state, er_deadline_in(5000));
}

static er_stored got(life *l, er_point *point) {
    *point = (er_point){.watched_until = ER_TIME_NONE};
    return er_state_get(l->state, "events", point);
}

/* What the file says of the stream, read beside the keeper. */
static void on_row(void *arg, const er_store_row *row) {
    size_t rows;
    assert_int_equal(er_point_parse(row->value, arg, &rows, NULL), ER_OK);
}

static er_point stored(const scene *s) {
    er_store *store = NULL;
    er_err err;
    er_point point = {.mark = ER_POINT_MARKS_};
    if (er_store_open_readonly(path_of(s, "state"), &store, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    const er_store_reader reader = {&point, rows_of, on_row};
    size_t voided;
    assert_int_equal(er_store_read(store, &reader, &voided, &err), ER_OK);
    er_store_close(store);
    return point;
}

static bool ready(life *l, const char *words) {
    er_buf text;
    er_buf_init(&text, 65536);
    bool is_ready = er_state_ready(l->state, &text);
    if (strncmp(er_buf_cstr(&text), words, strlen(words)) != 0) {
        fail_msg("\"%s\", not \"%s...\"", er_buf_cstr(&text), words);
    }
    er_buf_fini(&text);
    return is_ready;
}

static bool rendered(life *l, const char *line) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    er_metrics_render(l->metrics, &text);
    bool found = strstr(er_buf_cstr(&text), line) != NULL;
    er_buf_fini(&text);
    return found;
}

/* ---- */

static void test_lives(void **state) {
    const scene *s = *state;
    life l;
    er_point point;
    begin(&l, s);
    opened(&l);
    assert_int_equal(got(&l, &point), ER_STORED_NOTHING); /* a first start */
    assert_true(ready(&l, "open"));
    assert_true(write_now(&l)); /* nothing yet */
    assert_int_equal(stored(s).mark, ER_POINT_FIRST);
    tell_version(&l, "5");
    assert_true(write_now(&l));
    assert_string_equal(stored(s).version, "5");
    tell_version(&l, "6");
    end(&l); /* what is left is written */
    assert_string_equal(stored(s).version, "6");
    begin(&l, s);
    opened(&l);
    assert_int_equal(got(&l, &point), ER_STORED_POINT);
    assert_int_equal(point.mark, ER_POINT_RESUME);
    assert_string_equal(point.version, "6");
    assert_int_equal(er_state_get(l.state, "events/new", &point), ER_STORED_LOST);
    end(&l);
    assert_string_equal(stored(s).version, "6"); /* a stream that never began changes nothing */
}

static void test_damaged_at_the_start(void **state) {
    const scene *s = *state;
    life l;
    er_point point;
    assert_int_equal(mkdir(path_of(s, "state"), 0700), 0);
    assert_int_equal(close(open(path_of(s, "state/state.db"), O_CREAT | O_WRONLY, 0600)), 0);
    begin(&l, s);
    opened(&l);
    assert_int_equal(got(&l, &point), ER_STORED_POINT);
    assert_int_equal(point.mark, ER_POINT_LIST);
    assert_string_equal(point.gap_cause, "noState");
    assert_int_equal(files(s, "state.db.damaged-"), 1);
    end(&l);
    assert_int_equal(stored(s).mark, ER_POINT_LIST); /* also for the next start */
}

/* Only time counts for nothing here: watchedUntil alone is written now and then, and at the end. */
static void test_writes_on_change_only(void **state) {
    const scene *s = *state;
    life l;
    begin(&l, s);
    opened(&l);
    tell_version(&l, "5");
    assert_true(write_now(&l));
    er_point point = l.source.point;
    for (int i = 0; i < 10; i++) {
        point.watched_until = er_time_now();
        tell(&l, &point);
        assert_true(write_now(&l));
    }
    assert_true(
        rendered(&l, "eventrouter_state_writes_total{outcome=\"ok\"} 2\n")); /* 5, first time */
    point.watched_until += 31000000;
    tell(&l, &point);
    assert_true(write_now(&l));
    assert_int_equal(stored(s).watched_until, point.watched_until);
    point.watched_until += 1;
    tell(&l, &point);
    end(&l);
    assert_int_equal(stored(s).watched_until, point.watched_until);
}

static void test_another_router_has_it(void **state) {
    const scene *s = *state;
    life first;
    life second;
    er_point point;
    begin(&first, s);
    opened(&first);
    begin(&second, s);
    while (ready(&second, "") || !rendered(&second, "eventrouter_state_usable 0\n")) {
    }
    er_cancel cancel;
    assert_int_equal(er_cancel_init(&cancel, NULL), ER_OK);
    er_cancel_set(&cancel);
    assert_false(
        er_state_wait(second.state, &cancel, NULL)); /* as long as it takes, or cancelled */
    er_cancel_fini(&cancel);
    tell_version(&first, "9");
    end(&first);
    opened(&second);
    assert_true(ready(&second, "open"));
    assert_int_equal(got(&second, &point), ER_STORED_POINT);
    assert_string_equal(point.version, "9"); /* what the first wrote last */
    end(&second);
}

static void test_ended_while_waiting(void **state) {
    const scene *s = *state;
    life first;
    life second;
    begin(&first, s);
    opened(&first);
    tell_version(&first, "9");
    assert_true(write_now(&first));
    begin(&second, s);
    tell_version(&second, "1");
    end(&second); /* writes nothing: it is not its own */
    assert_string_equal(stored(s).version, "9");
    end(&first);
}

static void limit_files(rlim_t size) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = size;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_full_disk(void **state) {
    const scene *s = *state;
    life l;
    ignore_file_size_signal();
    begin(&l, s);
    opened(&l);
    tell_version(&l, "5");
    assert_true(write_now(&l));
    limit_files(0);
    tell_version(&l, "6");
    bool good = write_now(&l);
    limit_files(RLIM_INFINITY);
    assert_false(good);
    assert_string_equal(stored(s).version, "5");
    tell_version(&l, "7");
    assert_true(write_now(&l));
    assert_string_equal(stored(s).version, "7");
    assert_true(ready(&l, "open"));
    assert_true(rendered(&l, "eventrouter_state_usable 1\n"));
    assert_false(rendered(&l, "eventrouter_state_writes_total{outcome=\"error\"} 0\n"));
    end(&l);
}

static void test_not_writable_at_all(void **state) {
    const scene *s = *state;
    life l;
    er_point point;
    assert_int_equal(close(open(path_of(s, "state"), O_CREAT | O_WRONLY, 0600)), 0);
    begin(&l, s);
    opened(&l);
    assert_int_equal(got(&l, &point), ER_STORED_LOST);
    assert_true(ready(&l, "cannot be used, resume points are not kept: "));
    assert_true(rendered(&l, "eventrouter_state_usable 0\n"));
    tell_version(&l, "5");
    assert_false(write_now(&l));
    end(&l);
}

/* Somebody cleans up under us: a new file is made at once, and says what we know. */
static void test_taken_away(void **state) {
    const scene *s = *state;
    life l;
    begin(&l, s);
    opened(&l);
    tell_version(&l, "5");
    assert_true(write_now(&l));
    remove_all(path_of(s, "state"));
    tell_version(&l, "6");
    assert_false(write_now(&l));
    er_deadline until = er_deadline_in(5000);
    while (!write_now(&l)) {
        assert_false(er_deadline_passed(until));
    }
    assert_string_equal(stored(s).version, "6");
    end(&l);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        TEST(test_lives),
        TEST(test_damaged_at_the_start),
        TEST(test_writes_on_change_only),
        TEST(test_another_router_has_it),
        TEST(test_ended_while_waiting),
        TEST(test_full_disk),
        TEST(test_not_writable_at_all),
        TEST(test_taken_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
