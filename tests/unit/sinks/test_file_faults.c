/* The file sink on a disk that fails: the linker puts the functions below in the place of writev,
 * fdatasync, ftruncate and rename (--wrap). */
#include "file_fixture.h"

#include <sys/uio.h>
#include <sys/wait.h>

typedef struct call {
    int calls; /* counted from here; what follows begins with the call number `from` (1: the next)
                */
    int from, times;
    int error;          /* errno; 0: the call does its work */
    void (*hook)(void); /* before the call's work */
} call;

static struct {
    call writev, fdatasync, ftruncate, rename;
    size_t piece; /* bytes that one writev takes; 0: all */
} disk;

static scene *current;
static er_batch *watched; /* nothing of it may be judged before it is on disk */

static void disk_works(void) {
    memset(&disk, 0, sizeof disk);
    watched = NULL;
}

/* True: errno is set, the call fails. */
static bool fails(call *c) {
    c->calls++;
    if (c->calls < c->from || c->calls >= c->from + c->times) {
        return false;
    }
    if (c->hook != NULL) {
        c->hook();
    }
    errno = c->error;
    return c->error != 0;
}

ssize_t __real_writev(int fd, const struct iovec *iov, int n);
int __real_fdatasync(int fd);
int __real_ftruncate(int fd, off_t size);
int __real_rename(const char *from, const char *to);
ssize_t __wrap_writev(int fd, const struct iovec *iov, int n);
int __wrap_fdatasync(int fd);
int __wrap_ftruncate(int fd, off_t size);
int __wrap_rename(const char *from, const char *to);

ssize_t __wrap_writev(int fd, const struct iovec *iov, int n) {
    if (fails(&disk.writev)) {
        return -1;
    }
    return disk.piece == 0 || iov->iov_len < disk.piece
               ? __real_writev(fd, iov, disk.piece == 0 ? n : 1)
               : write(fd, iov->iov_base, disk.piece);
}

int __wrap_fdatasync(int fd) {
    if (watched != NULL) {
        expect_verdicts(watched, ER_VERDICT_NONE);
    }
    return fails(&disk.fdatasync) ? -1 : __real_fdatasync(fd);
}

int __wrap_ftruncate(int fd, off_t size) {
    return fails(&disk.ftruncate) ? -1 : __real_ftruncate(fd, size);
}

int __wrap_rename(const char *from, const char *to) {
    return fails(&disk.rename) ? -1 : __real_rename(from, to);
}

/* ---- writing ---- */

static void test_small_pieces_and_interruptions(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf want = new_buf();
    disk.piece = 7;
    disk.writev = (call){.from = 3, .times = 2, .error = EINTR};
    take(s, 1, 5, &want);
    expect_file(s, "", &want);
    assert_true(disk.writev.calls > 5);
    er_buf_fini(&want);
}

static void test_a_batch_is_one_write_and_one_sync(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    take(s, 1, 1, NULL);
    disk_works();
    watched = lines_of(s, 2, 1000, NULL);
    assert_int_equal(scene_deliver(s, watched, NULL), ER_OK);
    expect_verdicts(watched, ER_VERDICT_DELIVERED);
    assert_int_equal(disk.writev.calls, 1);
    assert_int_equal(disk.fdatasync.calls, 1);
    assert_int_equal(disk.ftruncate.calls, 0);
    er_batch_free(watched);
}

static void test_fsync_never(void **state) {
    scene *s = *state;
    scene_sink(s, "fsync: never\n");
    take(s, 1, 3, NULL);
    take(s, 4, 3, NULL);
    assert_int_equal(scene_poll(s, NULL), ER_OK);
    assert_int_equal(disk.fdatasync.calls, 0);
}

static void test_fsync_every_second(void **state) {
    scene *s = *state;
    scene_sink(s, "fsync: every_second\n");
    take(s, 1, 1, NULL);
    assert_int_equal(disk.fdatasync.calls, 1);
    take(s, 2, 1, NULL);
    take(s, 3, 1, NULL);
    assert_int_equal(disk.fdatasync.calls, 1);
    assert_int_equal(scene_poll(s, NULL), ER_OK); /* the worker's, once a second */
    assert_int_equal(disk.fdatasync.calls, 2);
    assert_int_equal(scene_poll(s, NULL), ER_OK); /* nothing new */
    assert_int_equal(disk.fdatasync.calls, 2);
    take(s, 4, 1, NULL);
    disk.fdatasync = (call){.from = 1, .times = 1, .error = EIO};
    er_err err = {0};
    assert_int_equal(scene_poll(s, &err), ER_E_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "cannot sync"));
    take(s, 5, 1, NULL);
    scene_end(s); /* the end of a life syncs */
    assert_int_equal(disk.fdatasync.calls, 2);
}

/* ---- errors ---- */

/* The error comes when part of the batch is written; nothing of it stays, nothing is twice. */
static void expect_error(int error, er_status want_status) {
    scene s;
    scene_init(&s);
    scene_sink(&s, "");
    er_buf before = new_buf();
    take(&s, 1, 2, &before);
    er_buf want = new_buf();
    er_buf_put_str(&want, er_buf_str(&before));
    er_batch *batch = lines_of(&s, 3, 3, &want);
    disk_works();
    disk.piece = er_batch_item(batch, 0)->body.len - 5; /* then 5 bytes, then again so many */
    disk.writev = (call){.from = 4, .times = 1000, .error = error};
    er_err err = {0};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(scene_deliver(&s, batch, &err), want_status);
        expect_verdicts(batch, ER_VERDICT_NONE);
        expect_file(&s, "", &before);
        assert_non_null(strstr(err.msg, s.path));
        disk.writev.calls = 0;
    }
    disk_works();
    assert_int_equal(scene_deliver(&s, batch, &err), ER_OK);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    expect_file(&s, "", &want);
    er_batch_free(batch);
    er_buf_fini(&before);
    er_buf_fini(&want);
    scene_fini(&s);
}

static void test_errors_of_a_write(void **state) {
    (void)state;
    static const int passing[] = {ENOSPC, EDQUOT, EIO, ENOMEM, ESTALE, EAGAIN};
    static const int lasting[] = {EROFS, EACCES, EPERM, EFBIG};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        expect_error(passing[i], ER_E_UNAVAILABLE);
    }
    for (size_t i = 0; i < sizeof lasting / sizeof lasting[0]; i++) {
        expect_error(lasting[i], ER_E_DENIED);
    }
}

static void test_an_error_of_the_sync(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf want = new_buf();
    take(s, 1, 1, &want);
    disk_works();
    disk.fdatasync = (call){.from = 1, .times = 1, .error = EIO};
    er_batch *batch = lines_of(s, 2, 3, NULL);
    er_err err = {0};
    assert_int_equal(scene_deliver(s, batch, &err), ER_E_UNAVAILABLE);
    assert_non_null(strstr(err.msg, "cannot sync"));
    expect_verdicts(batch, ER_VERDICT_NONE);
    expect_file(s, "", &want);
    er_batch_free(batch);
    take(s, 2, 3, &want);
    expect_file(s, "", &want); /* written again, not only synced again */
    assert_int_equal(disk.writev.calls, 2);
    er_buf_fini(&want);
}

/* A batch is half written, and cannot be taken back either. */
static er_batch *leave_torn(scene *s, er_buf *want) {
    take(s, 1, 1, want);
    er_batch *batch = lines_of(s, 2, 2, NULL);
    disk_works();
    disk.piece = 100;
    disk.writev = (call){.from = 3, .times = 1, .error = EIO};
    disk.ftruncate = (call){.from = 1, .times = 1000, .error = EROFS};
    assert_int_equal(scene_deliver(s, batch, NULL), ER_E_UNAVAILABLE);
    struct stat st;
    assert_int_equal(stat(s->path, &st), 0);
    assert_int_equal(st.st_size, want->len + 200);
    return batch;
}

static void test_what_cannot_be_taken_back_is_so_later(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf want = new_buf();
    er_batch *batch = leave_torn(s, &want);
    er_err err = {0};
    disk.writev = (call){0};
    assert_int_equal(scene_deliver(s, batch, &err), ER_E_DENIED);
    assert_non_null(strstr(err.msg, "cannot take back an unfinished write to"));
    assert_int_equal(disk.writev.calls, 0);
    assert_int_equal(scene_poll(s, NULL), ER_OK);
    er_batch_free(batch);
    disk_works();
    take(s, 2, 2, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void test_what_cannot_be_taken_back_is_so_in_the_next_life(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf want = new_buf();
    er_batch_free(leave_torn(s, &want));
    scene_end(s);
    disk_works();
    scene_sink(s, "");
    take(s, 2, 2, &want);
    expect_file(s, "", &want);
    er_buf_fini(&want);
}

static void test_a_torn_file_that_is_moved_away_is_let_go(void **state) {
    scene *s = *state;
    scene_sink(s, "");
    er_buf old = new_buf();
    er_buf want = new_buf();
    er_batch_free(leave_torn(s, &old));
    move_file(s, ".old");
    disk.writev = (call){0};
    take(s, 2, 2, &want);
    expect_file(s, "", &want);
    er_buf_fini(&old);
    er_buf_fini(&want);
}

/* ---- deleted and cut at the worst moment ---- */

static void delete_it(void) {
    assert_int_equal(unlink(current->path), 0);
}

static void cut_it(void) {
    assert_int_equal(truncate(current->path, 0), 0);
}

static void cut_then_full(void) {
    if (disk.writev.calls == 1) {
        cut_it();
    } else if (disk.writev.calls == 3) {
        disk.writev.error = ENOSPC;
    }
}

/* The hook runs before the first writev or fdatasync of the second batch. */
static void second_batch_with(call *at, void (*hook)(void), int want_writes) {
    scene s;
    scene_init(&s);
    current = &s;
    scene_sink(&s, "");
    take(&s, 1, 2, NULL);
    disk_works();
    *at = (call){.from = 1, .times = 1, .hook = hook};
    er_buf want = new_buf();
    take(&s, 3, 3, &want);
    expect_file(&s, "", &want);
    assert_int_equal(disk.writev.calls, want_writes);
    er_buf_fini(&want);
    scene_fini(&s);
}

static void test_deleted_while_it_is_written(void **state) {
    (void)state;
    second_batch_with(&disk.writev, delete_it, 2);
    second_batch_with(&disk.fdatasync, delete_it, 2);
}

static void test_cut_while_it_is_written(void **state) {
    (void)state;
    second_batch_with(&disk.writev, cut_it, 1); /* before: the batch is whole at the beginning */
    second_batch_with(&disk.fdatasync, cut_it, 2);
}

/* Cut, then half of the batch written, then the disk is full. */
static void test_cut_and_then_an_error(void **state) {
    scene *s = *state;
    current = s;
    scene_sink(s, "");
    take(s, 1, 2, NULL);
    disk_works();
    disk.piece = 100;
    er_batch *batch = lines_of(s, 3, 3, NULL);
    disk.writev = (call){.from = 1, .times = 1000, .hook = cut_then_full};
    er_buf none = new_buf();
    assert_int_equal(scene_deliver(s, batch, NULL), ER_E_UNAVAILABLE);
    expect_file(s, "", &none);
    er_batch_free(batch);
}

/* ---- rotation, step by step ---- */

#define ROTATE "batch: {bytes: 380}\nrotate: {size: 400, keep: 4}\n"

static void killed(void) {
    _exit(0);
}

/* What stands in all files together, newest first, must be the lines n to 1. */
static void expect_all_lines(const scene *s, const er_buf lines[], size_t n) {
    size_t left = n;
    for (int number = 0; number <= 5; number++) {
        char suffix[16] = "";
        char path[128];
        if (number > 0) {
            (void)snprintf(suffix, sizeof suffix, ".%d", number);
        }
        (void)snprintf(path, sizeof path, "%s%s", s->path, suffix);
        struct stat st;
        if (stat(path, &st) == 0 && st.st_size > 0) {
            assert_true(left > 0);
            expect_file(s, suffix, &lines[--left]);
        }
    }
    assert_int_equal(left, 0);
}

static void deliver_one(scene *s, size_t i, er_buf *line) {
    *line = new_buf();
    take(s, i, 1, line);
}

/* Three files, a.2, a.1 and a; the fourth line makes them rotate, and step `step` ends it. */
static void rotate_with(int step, void (*hook)(void), int error) {
    scene s;
    scene_init(&s);
    er_buf lines[5];
    scene_sink(&s, ROTATE);
    for (size_t i = 0; i < 3; i++) {
        deliver_one(&s, i + 1, &lines[i]);
    }
    disk_works();
    call fault = {.from = step, .times = 1, .hook = hook, .error = error};
    pid_t child = hook == NULL ? -1 : fork();
    if (child == 0) {
        disk.rename = fault;
        take(&s, 4, 1, NULL);
        _exit(1); /* the step was not reached */
    }
    if (child > 0) {
        int how = 0;
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
        expect_all_lines(&s, lines, 3);
        scene_end(&s);
        scene_sink(&s, ROTATE);
    } else {
        disk.rename = fault;
    }
    deliver_one(&s, 4, &lines[3]);
    disk_works();
    if (error != 0) { /* the fourth line went behind the third, for want of another file */
        er_buf_put_str(&lines[2], er_buf_str(&lines[3]));
        expect_all_lines(&s, lines, 3);
    } else {
        expect_all_lines(&s, lines, 4);
    }
    for (size_t i = 0; i < 4; i++) {
        er_buf_fini(&lines[i]);
    }
    scene_fini(&s);
}

static void test_a_kill_between_two_renames_loses_nothing(void **state) {
    (void)state;
    for (int step = 1; step <= 3; step++) {
        rotate_with(step, killed, 0);
    }
}

static void test_a_rename_that_fails_loses_nothing(void **state) {
    (void)state;
    for (int step = 1; step <= 3; step++) {
        rotate_with(step, NULL, EIO);
    }
}

static void test_a_rotation_that_failed_is_not_tried_at_once(void **state) {
    scene *s = *state;
    scene_sink(s, ROTATE);
    take(s, 1, 1, NULL);
    disk.rename = (call){.from = 1, .times = 1000, .error = EACCES};
    take(s, 2, 1, NULL);
    take(s, 3, 1, NULL);
    assert_int_equal(scene_poll(s, NULL), ER_OK);
    assert_int_equal(disk.rename.calls, 1);
}

/* After the last rename the name is free; what is there then is a file that cannot be made. */
static void test_no_room_for_the_new_file(void **state) {
    scene *s = *state;
    current = s;
    scene_sink(s, "batch: {bytes: 380}\nrotate: {size: 400, keep: 1}\n");
    er_buf first = new_buf();
    er_buf second = new_buf();
    take(s, 1, 1, &first);
    char target[128];
    (void)snprintf(target, sizeof target, "%s.1", s->path);
    assert_int_equal(rename(s->path, target), 0);
    assert_int_equal(mkdir(s->path, 0755), 0);
    er_batch *batch = lines_of(s, 2, 1, &second);
    assert_int_equal(scene_deliver(s, batch, NULL), ER_E_DENIED);
    assert_int_equal(scene_poll(s, NULL), ER_OK); /* deliver will say it again */
    assert_int_equal(rmdir(s->path), 0);
    assert_int_equal(scene_deliver(s, batch, NULL), ER_OK);
    expect_file(s, "", &second);
    expect_file(s, ".1", &first);
    er_batch_free(batch);
    er_buf_fini(&first);
    er_buf_fini(&second);
}

static int set_up(void **state) {
    disk_works();
    return scene_set_up(state);
}

#define FAULT_TEST(test_) cmocka_unit_test_setup_teardown(test_, set_up, scene_tear_down)

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        FAULT_TEST(test_small_pieces_and_interruptions),
        FAULT_TEST(test_a_batch_is_one_write_and_one_sync),
        FAULT_TEST(test_fsync_never),
        FAULT_TEST(test_fsync_every_second),
        FAULT_TEST(test_errors_of_a_write),
        FAULT_TEST(test_an_error_of_the_sync),
        FAULT_TEST(test_what_cannot_be_taken_back_is_so_later),
        FAULT_TEST(test_what_cannot_be_taken_back_is_so_in_the_next_life),
        FAULT_TEST(test_a_torn_file_that_is_moved_away_is_let_go),
        FAULT_TEST(test_deleted_while_it_is_written),
        FAULT_TEST(test_cut_while_it_is_written),
        FAULT_TEST(test_cut_and_then_an_error),
        FAULT_TEST(test_a_kill_between_two_renames_loses_nothing),
        FAULT_TEST(test_a_rename_that_fails_loses_nothing),
        FAULT_TEST(test_a_rotation_that_failed_is_not_tried_at_once),
        FAULT_TEST(test_no_room_for_the_new_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
