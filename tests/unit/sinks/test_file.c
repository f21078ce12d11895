/* The file sink on real files: lines, what stands in a file before, moves, rotation, refusals. */
#include "file_fixture.h"

#include <signal.h>
#include <sys/resource.h>

/* ---- lines ---- */

static void test_lines_are_appended(void **state) {
    scene *s = *state;
    er_buf want = new_buf();
    scene_sink(s, "");
    assert_int_equal(scene_open(s, NULL), ER_OK);
    expect_file(s, "", &want);
    take(s, 1, 1, &want);
    static const char line[] =
        "{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-1\",\"kind\":\"event\","
        "\"cluster\":\"prod-eu1\",\"time\":\"2026-01-02T03:04:20Z\","
        "\"timeSource\":\"lastTimestamp\",\"observedTime\":\"2026-01-02T03:04:25.500000Z\","
        "\"severity\":\"WARNING\",\"type\":\"Warning\",\"reason\":\"BackOff\",\"message\":\"m\","
        "\"namespace\":\"shop\",\"object\":{\"kind\":\"Pod\",\"name\":\"web-1\"},\"count\":1,"
        "\"event\":{}}\n";
    assert_string_equal(want.p, line);
    expect_file(s, "", &want);
    take(s, 2, 3, &want);
    expect_file(s, "", &want);
    scene_end(s);
    scene_sink(s, ""); /* another life */
    take(s, 5, 2, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void test_a_batch_of_more_than_one_writev(void **state) {
    scene *s = *state;
    er_buf want = new_buf();
    scene_sink(s, "");
    take(s, 1, 2 * ER_FILE_IOV_MAX + 7, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void expect_mode(const char *yaml, mode_t want) {
    scene s;
    scene_init(&s);
    scene_sink(&s, yaml);
    mode_t before = umask(0022);
    assert_int_equal(scene_open(&s, NULL), ER_OK);
    (void)umask(before);
    struct stat st;
    assert_int_equal(stat(s.path, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | want);
    scene_fini(&s);
}

static void test_mode(void **state) {
    (void)state;
    expect_mode("", 0640);
    expect_mode("mode: 0600\n", 0600);
    expect_mode("mode: \"664\"\n", 0644); /* less the umask */
}

/* ---- a last line without an end ---- */

/* With these bytes behind a whole line, open leaves the line and then these. */
static void expect_repair(er_str tail, er_str left) {
    scene s;
    scene_init(&s);
    er_buf file = new_buf();
    er_buf want = new_buf();
    er_buf_puts(&file, "{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-0\"}\n");
    er_buf_put_str(&want, er_buf_str(&file));
    er_buf_put_str(&file, tail);
    er_buf_put_str(&want, left);
    put_file(s.path, er_buf_str(&file));
    scene_sink(&s, "fsync: never\n"); /* hundreds of files: not each on disk */
    assert_int_equal(scene_open(&s, NULL), ER_OK);
    expect_file(&s, "", &want);
    take(&s, 1, 1, &want);
    expect_file(&s, "", &want);
    er_buf_fini(&file);
    er_buf_fini(&want);
    scene_fini(&s);
}

static void test_a_torn_line_is_cut_off(void **state) {
    (void)state;
    scene s;
    scene_init(&s);
    scene_sink(&s, "");
    er_buf line = new_buf();
    er_batch_free(lines_of(&s, 1, 1, &line));
    scene_fini(&s);
    for (size_t n = 1; n < line.len - 1; n++) {
        expect_repair((er_str){line.p, n}, ER_STR(""));
    }
    er_str without_end = {line.p, line.len - 1};
    expect_repair(without_end, er_buf_str(&line)); /* complete: nobody can say it is not valid */
    er_buf_fini(&line);
}

static void test_what_a_crash_leaves(void **state) {
    (void)state;
    expect_repair(ER_STR("\0\0\0\0\0"), ER_STR(""));
    expect_repair(ER_STR("{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-1\0\0\0"), ER_STR(""));
    er_buf line = new_buf(); /* longer than what is read at once */
    er_buf_puts(&line, "{\"schema\":\"eventrouter.io/v1\",\"message\":\"");
    for (int i = 0; i < 100000; i++) {
        er_buf_putc(&line, 'x');
    }
    expect_repair(er_buf_str(&line), ER_STR(""));
    er_buf_fini(&line);
}

static void test_text_of_others_is_kept(void **state) {
    (void)state;
    expect_repair(ER_STR("remember the milk"), ER_STR("remember the milk\n"));
    expect_repair(ER_STR("{\"id\":"), ER_STR("{\"id\":\n"));
    expect_repair(ER_STR("x\0y"), ER_STR("x\0y\n"));
}

static void test_a_file_that_is_all_torn(void **state) {
    scene *s = *state;
    put_file(s->path, ER_STR("{\"schema\":\"event"));
    er_buf want = new_buf();
    scene_sink(s, "");
    take(s, 1, 1, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void test_a_file_without_lines_is_left_alone(void **state) {
    scene *s = *state;
    put_file(s->path, ER_STR("x"));
    off_t size = ER_FILE_LINE_MAX + 100000;
    assert_int_equal(truncate(s->path, size), 0);
    scene_sink(s, "");
    er_err err = {0};
    assert_int_equal(scene_open(s, &err), ER_E_DENIED);
    assert_non_null(strstr(err.msg, "is no file of lines (its last 16 MiB have no end of a line)"));
    struct stat st;
    assert_int_equal(stat(s->path, &st), 0);
    assert_int_equal(st.st_size, size);
}

/* ---- moved, deleted, cut ---- */

static void test_a_file_that_is_moved_away(void **state) {
    scene *s = *state;
    er_buf first = new_buf();
    er_buf second = new_buf();
    er_buf none = new_buf();
    scene_sink(s, "");
    take(s, 1, 2, &first);
    move_file(s, ".old");
    take(s, 3, 2, &second);
    expect_file(s, ".old", &first);
    expect_file(s, "", &second);
    move_file(s, ".old"); /* idle: a new one is made soon */
    assert_int_equal(scene_poll(s, NULL), ER_OK);
    expect_file(s, ".old", &second);
    expect_file(s, "", &none);
    er_buf_fini(&first);
    er_buf_fini(&second);
}

static void test_a_file_that_is_replaced(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    take(s, 1, 2, NULL);
    move_file(s, ".old");
    put_file(s->path, ER_STR("made by logrotate\n"));
    er_buf want = new_buf();
    er_buf_puts(&want, "made by logrotate\n");
    take(s, 3, 2, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void test_a_file_that_is_deleted(void **state) {
    scene *s = *state;
    er_buf want = new_buf();
    scene_sink(s, "");
    take(s, 1, 2, NULL);
    assert_int_equal(unlink(s->path), 0);
    take(s, 3, 2, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void test_a_file_that_is_cut(void **state) {
    scene *s = *state;
    er_buf want = new_buf();
    scene_sink(s, "");
    take(s, 1, 20, NULL);
    assert_int_equal(truncate(s->path, 0), 0); /* copytruncate */
    take(s, 21, 2, &want);
    expect_file(s, "", &want); /* no hole */
    er_buf_fini(&want);
}

/* ---- rotation ---- */

#define LINE 380 /* more than one line of lines_of, less than two */

static void test_rotation_by_size(void **state) {
    scene *s = *state;
    scene_sink(s, "batch: {bytes: 380}\nrotate: {size: 900, keep: 2}\n");
    er_buf files[4]; /* two lines each */
    for (size_t i = 0; i < 4; i++) {
        files[i] = new_buf();
        take(s, 2 * i + 1, 1, &files[i]);
        take(s, 2 * i + 2, 1, &files[i]);
        assert_true(files[i].len < 900 && files[i].len + LINE > 900);
    }
    expect_file(s, "", &files[3]);
    expect_file(s, ".1", &files[2]);
    expect_file(s, ".2", &files[1]);
    expect_no_file(s, ".3");
    for (size_t i = 0; i < 4; i++) {
        er_buf_fini(&files[i]);
    }
}

static void test_a_batch_that_is_larger_goes_alone(void **state) {
    scene *s = *state;
    scene_sink(s, "batch: {bytes: 380}\nrotate: {size: 500, keep: 2}\n");
    er_buf first = new_buf();
    er_buf second = new_buf();
    take(s, 1, 3, &first); /* an empty file is not moved away for it */
    take(s, 4, 1, &second);
    expect_file(s, ".1", &first);
    expect_file(s, "", &second);
    expect_no_file(s, ".2");
    er_buf_fini(&first);
    er_buf_fini(&second);
}

static void test_rotation_by_age(void **state) {
    scene *s = *state;
    scene_sink(s, "rotate: {age: 1ms}\n");
    er_buf want = new_buf();
    er_buf none = new_buf();
    take(s, 1, 1, &want);
    char rotated[128];
    (void)snprintf(rotated, sizeof rotated, "%s.1", s->path);
    er_deadline limit = er_deadline_in(10000);
    while (access(rotated, F_OK) != 0 && !er_deadline_passed(limit)) {
        assert_int_equal(scene_poll(s, NULL), ER_OK);
    }
    expect_file(s, ".1", &want);
    expect_file(s, "", &none);
    er_deadline later = er_deadline_in(5);
    while (!er_deadline_passed(later)) { /* the empty file gets old, and stays */
        assert_int_equal(scene_poll(s, NULL), ER_OK);
    }
    expect_file(s, ".1", &want);
    expect_no_file(s, ".2");
    er_buf_fini(&want);
}

static void test_a_young_file_is_not_rotated(void **state) {
    scene *s = *state;
    scene_sink(s, "rotate: {age: 1h, size: 10MiB}\n");
    take(s, 1, 1, NULL);
    assert_int_equal(scene_poll(s, NULL), ER_OK);
    take(s, 2, 1, NULL);
    expect_no_file(s, ".1");
}

static void numbered_file(const scene *s, int number) {
    char path[128];
    char text[32];
    (void)snprintf(path, sizeof path, "%s.%d", s->path, number);
    (void)snprintf(text, sizeof text, "was %d\n", number);
    put_file(path, er_str_of(text));
}

static void expect_was(const scene *s, int number, int was) {
    char suffix[32];
    er_buf want = new_buf();
    (void)snprintf(suffix, sizeof suffix, ".%d", number);
    er_buf_putf(&want, "was %d\n", was);
    expect_file(s, suffix, &want);
    er_buf_fini(&want);
}

static void test_a_gap_in_the_numbers_is_closed(void **state) {
    scene *s = *state;
    numbered_file(s, 1); /* killed between two renames: 2 became 3, 1 was not moved yet */
    numbered_file(s, 3);
    scene_sink(s, "batch: {bytes: 380}\nrotate: {size: 400, keep: 4}\n");
    take(s, 1, 1, NULL);
    take(s, 2, 1, NULL);
    expect_was(s, 2, 1);
    expect_was(s, 3, 3);
    expect_no_file(s, ".4");
}

static void test_a_smaller_keep_deletes_more(void **state) {
    scene *s = *state;
    for (int i = 1; i <= 5; i++) {
        numbered_file(s, i);
    }
    scene_sink(s, "batch: {bytes: 380}\nrotate: {size: 400, keep: 3}\n");
    take(s, 1, 1, NULL);
    take(s, 2, 1, NULL);
    expect_was(s, 2, 1);
    expect_was(s, 3, 2);
    expect_no_file(s, ".4");
    expect_no_file(s, ".5");
}

static void test_a_rotation_that_fails_stops_nothing(void **state) {
    scene *s = *state;
    char obstacle[128];
    (void)snprintf(obstacle, sizeof obstacle, "%s.1", s->path);
    assert_int_equal(mkdir(obstacle, 0755), 0); /* keep 1: it would have to be replaced */
    scene_sink(s, "batch: {bytes: 380}\nrotate: {size: 400, keep: 1}\n");
    er_buf want = new_buf();
    take(s, 1, 1, &want);
    take(s, 2, 1, &want);
    take(s, 3, 1, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

/* ---- what is refused ---- */

/* The message is what_before, the path, what_behind. */
static void expect_refusal(scene *s, er_status want, const char *before, const char *behind) {
    er_err err = {0};
    assert_int_equal(scene_open(s, &err), want);
    char text[512];
    (void)snprintf(text, sizeof text, "%s%s%s", before, s->path, behind);
    assert_string_equal(err.msg, text);
}

static void test_a_directory(void **state) {
    scene *s = *state;
    assert_int_equal(mkdir(s->path, 0755), 0);
    scene_sink(s, "");
    expect_refusal(s, ER_E_DENIED, "",
                   " is not a regular file but a directory; for standard output use a sink of type "
                   "stdout");
}

static void test_a_fifo_does_not_hang(void **state) {
    scene *s = *state;
    assert_int_equal(mkfifo(s->path, 0644), 0);
    scene_sink(s, "");
    expect_refusal(s, ER_E_DENIED, "",
                   " is not a regular file; for standard output use a sink of type stdout");
}

static void test_a_symbolic_link(void **state) {
    scene *s = *state;
    assert_int_equal(symlink("somewhere", s->path), 0);
    scene_sink(s, "");
    expect_refusal(s, ER_E_DENIED, "",
                   " is a symbolic link, which is not followed: name the file itself");
    char target[128];
    (void)snprintf(target, sizeof target, "%s/somewhere", s->dir);
    assert_int_equal(access(target, F_OK), -1);
}

static void test_a_directory_that_is_not_there(void **state) {
    scene *s = *state;
    assert_int_equal(rmdir(s->dir), 0);
    scene_sink(s, "");
    expect_refusal(s, ER_E_DENIED, "cannot open ", ": its directory does not exist");
    assert_int_equal(mkdir(s->dir, 0755), 0); /* mounted later */
    take(s, 1, 1, NULL);
}

static void test_one_file_has_one_writer(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf want = new_buf();
    take(s, 1, 1, &want);
    scene other = *s;
    scene_sink(&other, "");
    expect_refusal(&other, ER_E_UNAVAILABLE, "",
                   " is locked by another sink or another router; only one may write it");
    take(s, 2, 1, &want);
    scene_end(s);
    take(&other, 3, 1, &want);
    expect_file(&other, "", &want);
    er_buf_fini(&want);
    scene_end(&other);
}

static void test_a_write_that_is_cut_short_is_taken_back(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf want = new_buf();
    take(s, 1, 2, &want);
    er_buf before = new_buf();
    er_buf_put_str(&before, er_buf_str(&want));
    er_batch *batch = lines_of(s, 3, 3, &want);
    struct rlimit usual;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &usual), 0);
    struct rlimit limit = {before.len + er_batch_item(batch, 0)->body.len + 40, usual.rlim_max};
    (void)setrlimit(RLIMIT_FSIZE, &limit);
    er_err err = {0};
    er_status status = scene_deliver(s, batch, &err);
    (void)setrlimit(RLIMIT_FSIZE, &usual);
    assert_int_equal(status, ER_E_DENIED);
    assert_non_null(strstr(err.msg, "File too large"));
    expect_verdicts(batch, ER_VERDICT_NONE);
    expect_file(s, "", &before);
    assert_int_equal(scene_deliver(s, batch, NULL), ER_OK);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    expect_file(s, "", &want);
    er_batch_free(batch);
    er_buf_fini(&before);
    er_buf_fini(&want);
}

int main(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGXFSZ, &ignore, NULL); /* as main does */
    er_json_setup();
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_lines_are_appended),
        SCENE_TEST(test_a_batch_of_more_than_one_writev),
        cmocka_unit_test(test_mode),
        cmocka_unit_test(test_a_torn_line_is_cut_off),
        cmocka_unit_test(test_what_a_crash_leaves),
        cmocka_unit_test(test_text_of_others_is_kept),
        SCENE_TEST(test_a_file_that_is_all_torn),
        SCENE_TEST(test_a_file_without_lines_is_left_alone),
        SCENE_TEST(test_a_file_that_is_moved_away),
        SCENE_TEST(test_a_file_that_is_replaced),
        SCENE_TEST(test_a_file_that_is_deleted),
        SCENE_TEST(test_a_file_that_is_cut),
        SCENE_TEST(test_rotation_by_size),
        SCENE_TEST(test_a_batch_that_is_larger_goes_alone),
        SCENE_TEST(test_rotation_by_age),
        SCENE_TEST(test_a_young_file_is_not_rotated),
        SCENE_TEST(test_a_gap_in_the_numbers_is_closed),
        SCENE_TEST(test_a_smaller_keep_deletes_more),
        SCENE_TEST(test_a_rotation_that_fails_stops_nothing),
        SCENE_TEST(test_a_directory),
        SCENE_TEST(test_a_fifo_does_not_hang),
        SCENE_TEST(test_a_symbolic_link),
        SCENE_TEST(test_a_directory_that_is_not_there),
        SCENE_TEST(test_one_file_has_one_writer),
        SCENE_TEST(test_a_write_that_is_cut_short_is_taken_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
