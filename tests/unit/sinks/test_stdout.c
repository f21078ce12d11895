/* The stdout sink on pipes, files and sockets put in the place of descriptor 1. */
#include "sink_fixture.h"
#include "sinks/table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE 4096

/* Puts fd in the place of standard output until restore_stdout; nothing may be asserted between
 * the two, or the report would go there. */
static int saved_stdout = -1;

static void replace_stdout(int fd) {
    (void)fflush(stdout);
    saved_stdout = dup(STDOUT_FILENO);
    (void)dup2(fd, STDOUT_FILENO);
}

static void restore_stdout(void) {
    (void)dup2(saved_stdout, STDOUT_FILENO);
    (void)close(saved_stdout);
}

/* Opens the sink while no descriptor is to be had, so that the pipe cannot be opened again: as with
 * a pipe that belongs to another user. */
static er_status open_without_descriptors(fixture *f) {
    struct rlimit before;
    (void)getrlimit(RLIMIT_NOFILE, &before);
    struct rlimit none = {0, before.rlim_max};
    (void)setrlimit(RLIMIT_NOFILE, &none);
    er_status status = f->type->open(f->self, er_deadline_in(1000), NULL);
    (void)setrlimit(RLIMIT_NOFILE, &before);
    return status;
}

static er_status deliver_to(fixture *f, int fd, er_batch *batch, er_err *err) {
    replace_stdout(fd);
    er_status status = f->type->open(f->self, er_deadline_in(1000), err);
    if (status == ER_OK) {
        status = f->type->deliver(f->self, batch, err);
    }
    restore_stdout();
    return status;
}

static void put_body(er_buf *out, const er_batch *batch, size_t i) {
    er_buf_put_str(out, er_buf_str(&er_batch_item(batch, i)->body));
}

static void expect_bytes(const er_buf *got, const er_buf *want) {
    assert_int_equal(got->len, want->len);
    assert_memory_equal(got->p, want->p, want->len);
}

static void read_all(int fd, er_buf *out) {
    char chunk[4096];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        er_buf_put(out, chunk, (size_t)n);
    }
}

/* ---- formats ---- */

static void test_json_lines(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_stdout_sink, "");
    er_batch *batch = er_batch_new();
    er_record *rec = record_of("u-1", "line one\nline two \x1b[31m \"quoted\"");
    batch_add(&f, batch, er_record_ref(rec));
    const er_buf *body = &er_batch_item(batch, 0)->body;
    static const char want[] =
        "{\"schema\":\"eventrouter.io/v1\",\"id\":\"u-1\",\"kind\":\"event\","
        "\"cluster\":\"prod-eu1\",\"time\":\"2026-01-02T03:04:20Z\","
        "\"timeSource\":\"lastTimestamp\",\"observedTime\":\"2026-01-02T03:04:25.500000Z\","
        "\"severity\":\"WARNING\",\"type\":\"Warning\",\"reason\":\"BackOff\","
        "\"message\":\"line one\\nline two \\u001b[31m \\\"quoted\\\"\",\"namespace\":\"shop\","
        "\"object\":{\"kind\":\"Pod\",\"name\":\"web-1\"},\"count\":1,\"event\":{}}\n";
    assert_string_equal(body->p, want);
    er_batch_free(batch);
    er_record_unref(rec);
    fixture_fini(&f);
}

static void expect_gcp_line(const er_record *draft, const char *want_head) {
    fixture f;
    fixture_init(&f, &er_stdout_sink, "format: gcp\n");
    er_record *rec = er_record_seal(draft);
    assert_non_null(rec);
    er_batch *batch = er_batch_new();
    batch_add(&f, batch, er_record_ref(rec));
    er_buf want; /* the head, and the canonical record to the end */
    er_buf_init(&want, 1 << 20);
    er_buf_puts(&want, want_head);
    er_buf_puts(&want, "\"record\":");
    er_record_json(rec, &want);
    er_buf_puts(&want, "}\n");
    assert_string_equal(er_batch_item(batch, 0)->body.p, want.p);
    er_buf_fini(&want);
    er_batch_free(batch);
    er_record_unref(rec);
    fixture_fini(&f);
}

static void test_lines_for_cloud_logging(void **state) {
    (void)state;
    er_record event = draft_of("u-1", "line one\n\"two\"");
    expect_gcp_line(&event, "{\"severity\":\"WARNING\",\"time\":\"2026-01-02T03:04:20Z\","
                            "\"message\":\"line one\\n\\\"two\\\"\","
                            "\"logging.googleapis.com/insertId\":\"u-1\","
                            "\"logging.googleapis.com/labels\":{\"cluster\":\"prod-eu1\","
                            "\"kind\":\"event\",\"reason\":\"BackOff\",\"namespace\":\"shop\","
                            "\"objectKind\":\"Pod\",\"objectName\":\"web-1\"},");
    event.severity = ER_SEVERITY_INFO;
    event.time = time_of("2026-01-02T03:04:20.678901Z");
    event.namespace_ = event.message = (er_str){0};
    event.object = (er_object_ref){0};
    expect_gcp_line(&event, "{\"severity\":\"INFO\",\"time\":\"2026-01-02T03:04:20.678901Z\","
                            "\"message\":\"\",\"logging.googleapis.com/insertId\":\"u-1\","
                            "\"logging.googleapis.com/labels\":{\"cluster\":\"prod-eu1\","
                            "\"kind\":\"event\",\"reason\":\"BackOff\"},");
    er_record gap = draft_of("gap-1", "a gap");
    gap.kind = ER_KIND_GAP;
    gap.severity = ER_SEVERITY_ERROR;
    gap.reason = ER_STR("expired");
    gap.namespace_ = (er_str){0};
    gap.object = (er_object_ref){0};
    gap.gap = (er_gap_part){.stream = ER_STR("events"),
                            .cause = ER_STR("expired"),
                            .from_time = ER_TIME_NONE,
                            .to_time = ER_TIME_NONE,
                            .recovered = -1};
    expect_gcp_line(&gap, "{\"severity\":\"ERROR\",\"time\":\"2026-01-02T03:04:20Z\","
                          "\"message\":\"a gap\","
                          "\"logging.googleapis.com/insertId\":\"gap-1\","
                          "\"logging.googleapis.com/labels\":{\"cluster\":\"prod-eu1\","
                          "\"kind\":\"gap\",\"reason\":\"expired\"},");
}

static void test_header_stands_once_before_the_first_line(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_stdout_sink, "format: text\ncolor: never\n");
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    er_buf want;
    er_buf_init(&want, 1 << 20);
    er_table_header(&want);
    for (int i = 0; i < 2; i++) {
        er_batch *batch = batch_of(&f, 2);
        put_body(&want, batch, 0);
        put_body(&want, batch, 1);
        assert_int_equal(deliver_to(&f, fds[1], batch, NULL), ER_OK);
        expect_verdicts(batch, ER_VERDICT_DELIVERED);
        er_batch_free(batch);
    }
    fixture_fini(&f);
    (void)close(fds[1]);
    er_buf got;
    er_buf_init(&got, 1 << 20);
    read_all(fds[0], &got);
    (void)close(fds[0]);
    expect_bytes(&got, &want);
    er_buf_fini(&got);
    er_buf_fini(&want);
}

static void expect_colour(const char *yaml, bool want) {
    fixture f;
    fixture_init(&f, &er_stdout_sink, yaml);
    er_batch *batch = batch_of(&f, 1);
    assert_int_equal(strchr(er_batch_item(batch, 0)->body.p, '\x1b') != NULL, want);
    er_batch_free(batch);
    fixture_fini(&f);
}

/* color: auto with this terminal as standard output and these variables. */
static void expect_colour_at(int terminal, char **variables, bool want) {
    char **before = environ;
    fixture f;
    environ = variables;
    replace_stdout(terminal);
    fixture_init(&f, &er_stdout_sink, "format: text\n");
    restore_stdout();
    environ = before;
    er_batch *batch = batch_of(&f, 1);
    const char *coloured = strstr(er_batch_item(batch, 0)->body.p, "\x1b[33mWarning\x1b[0m");
    assert_int_equal(coloured != NULL, want);
    er_batch_free(batch);
    fixture_fini(&f);
}

static void test_colours(void **state) {
    (void)state;
    expect_colour("format: text\ncolor: always\n", true);
    expect_colour("format: text\ncolor: never\n", false);
    expect_colour("format: json\ncolor: always\n", false);
}

static void test_colours_on_a_terminal(void **state) {
    (void)state;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0) {
        skip(); /* no /dev/pts here, as in a bare chroot */
    }
    static char *no_variables[] = {NULL};
    static char no_color[] = "NO_COLOR=1";
    static char *with_no_color[] = {no_color, NULL};
    expect_colour_at(terminal, no_variables, true);
    expect_colour_at(terminal, with_no_color, false);
    (void)close(terminal);
}

/* ---- slow readers ---- */

typedef struct reader {
    int fd;
    er_buf got;
    er_thread thread;
} reader;

/* Small odd pieces, so that the writer meets full pipes and partial writes. */
static void *read_slowly(void *arg) {
    reader *r = arg;
    char chunk[997];
    ssize_t n;
    while ((n = read(r->fd, chunk, sizeof chunk)) > 0) {
        er_buf_put(&r->got, chunk, (size_t)n);
        (void)sched_yield();
    }
    return NULL;
}

/* Delivers 200 records through a descriptor pair; the reader must have them byte by byte. */
static void through(int write_fd, int read_fd) {
    fixture f;
    fixture_init(&f, &er_stdout_sink, "");
    er_batch *batch = batch_of(&f, 200);
    er_buf want;
    er_buf_init(&want, 1 << 20);
    for (size_t i = 0; i < 200; i++) {
        put_body(&want, batch, i);
    }
    reader r = {.fd = read_fd};
    er_buf_init(&r.got, 1 << 20);
    assert_int_equal(er_thread_start(&r.thread, "reader", read_slowly, &r, NULL), ER_OK);
    er_status status = deliver_to(&f, write_fd, batch, NULL);
    fixture_fini(&f);
    (void)close(write_fd);
    er_thread_join(r.thread);
    (void)close(read_fd);
    assert_int_equal(status, ER_OK);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    expect_bytes(&r.got, &want);
    er_batch_free(batch);
    er_buf_fini(&r.got);
    er_buf_fini(&want);
}

static void test_a_full_pipe_that_does_not_block(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PAGE), PAGE);
    assert_int_equal(fcntl(fds[1], F_SETFL, O_NONBLOCK), 0);
    through(fds[1], fds[0]);
}

static void test_a_full_pipe_that_blocks(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PAGE), PAGE);
    through(fds[1], fds[0]);
}

static void test_a_socket(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int small = PAGE;
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    through(fds[1], fds[0]);
}

/* ---- cancelling ---- */

typedef struct delivery {
    fixture *f;
    er_batch *batch;
    er_status status;
} delivery;

static void *run_delivery(void *arg) {
    delivery *d = arg;
    d->status = d->f->type->deliver(d->f->self, d->batch, NULL);
    return NULL;
}

/* fds: a pair that holds much less than 50 lines, and whose writing end blocks. */
static void give_up(const int fds[2], bool may_reopen) {
    fixture f;
    fixture_init(&f, &er_stdout_sink, "");
    delivery d = {.f = &f, .batch = batch_of(&f, 50)};
    size_t line = er_batch_item(d.batch, 0)->body.len;
    replace_stdout(fds[1]);
    er_status opened = may_reopen ? f.type->open(f.self, er_deadline_in(1000), NULL)
                                  : open_without_descriptors(&f);
    er_thread thread;
    er_status started = er_thread_start(&thread, "deliver", run_delivery, &d, NULL);
    struct pollfd full = {.fd = fds[1], .events = POLLOUT};
    while (poll(&full, 1, 0) == 1) { /* until no byte more goes in */
        (void)sched_yield();
    }
    er_cancel_set(&f.cancel);
    er_thread_join(thread);
    restore_stdout();
    assert_int_equal(opened, ER_OK);
    assert_int_equal(started, ER_OK);
    assert_int_equal(d.status, ER_E_CANCELLED);
    /* Standard output itself still blocks: others share it. */
    assert_int_equal(fcntl(fds[1], F_GETFL) & O_NONBLOCK, 0);
    int held = 0;
    assert_int_equal(ioctl(fds[0], FIONREAD, &held), 0);
    assert_true(held >= (int)line);
    assert_int_equal(er_batch_verdict(d.batch, 49), ER_VERDICT_NONE);
    size_t bytes = 0;
    for (size_t i = 0; i < 50; i++) {
        bytes += er_batch_item(d.batch, i)->body.len;
        assert_int_equal(er_batch_verdict(d.batch, i),
                         bytes <= (size_t)held ? ER_VERDICT_DELIVERED : ER_VERDICT_NONE);
    }
    er_batch_free(d.batch);
    fixture_fini(&f);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void hanging_pipe(bool may_reopen) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(fcntl(fds[1], F_SETPIPE_SZ, PAGE), PAGE);
    give_up(fds, may_reopen);
}

static void test_a_hanging_pipe_can_be_given_up(void **state) {
    (void)state;
    hanging_pipe(true);
}

static void test_a_hanging_pipe_of_another_user_can_be_given_up(void **state) {
    (void)state;
    hanging_pipe(false);
}

static void test_a_hanging_socket_can_be_given_up(void **state) {
    (void)state;
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int small = PAGE;
    assert_int_equal(setsockopt(fds[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    give_up(fds, true);
}

/* ---- writes that fail in the middle of a line ---- */

typedef struct disk {
    int fd;
    struct rlimit before;
} disk;

/* A file that cannot grow over so many bytes: like a disk that is full. */
static void disk_limit(const disk *d, rlim_t bytes) {
    struct rlimit limit = {bytes, d->before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void disk_init(disk *d) {
    d->fd = memfd_create("disk", MFD_CLOEXEC);
    if (d->fd < 0 || fcntl(d->fd, F_SETFL, O_APPEND) != 0) {
        fail();
    }
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &d->before), 0);
}

static void disk_expect(disk *d, const er_buf *want) {
    er_buf got;
    er_buf_init(&got, 1 << 20);
    assert_int_equal(lseek(d->fd, 0, SEEK_SET), 0);
    read_all(d->fd, &got);
    expect_bytes(&got, want);
    er_buf_fini(&got);
}

static void disk_fini(disk *d) {
    (void)close(d->fd);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &d->before), 0);
}

static void limited_delivery(fixture *f, disk *d, rlim_t bytes, er_batch *batch, er_status want) {
    er_err err = {0};
    disk_limit(d, bytes);
    er_status status = deliver_to(f, d->fd, batch, &err);
    disk_limit(d, d->before.rlim_cur);
    assert_int_equal(status, want);
    if (want == ER_E_DENIED) {
        assert_string_equal(err.msg, "cannot write to the standard output: File too large");
    }
}

static void test_a_line_cut_by_an_error_is_completed(void **state) {
    (void)state;
    fixture f;
    disk d;
    fixture_init(&f, &er_stdout_sink, "");
    disk_init(&d);
    er_batch *batch = batch_of(&f, 3);
    er_buf want;
    er_buf_init(&want, 1 << 20);
    for (size_t i = 0; i < 3; i++) {
        put_body(&want, batch, i);
    }
    size_t line = er_batch_item(batch, 0)->body.len;
    limited_delivery(&f, &d, line + 40, batch, ER_E_DENIED);
    assert_int_equal(er_batch_verdict(batch, 0), ER_VERDICT_DELIVERED);
    assert_int_equal(er_batch_verdict(batch, 1), ER_VERDICT_NONE);
    assert_int_equal(er_batch_verdict(batch, 2), ER_VERDICT_NONE);

    /* The worker tries again what is left; again only a piece goes out. */
    er_batch *again = er_batch_new();
    er_batch_add(again, &batch->v[1]);
    er_batch_add(again, &batch->v[2]);
    limited_delivery(&f, &d, line + 50, again, ER_E_DENIED);
    expect_verdicts(again, ER_VERDICT_NONE);
    limited_delivery(&f, &d, 1 << 20, again, ER_OK);
    expect_verdicts(again, ER_VERDICT_DELIVERED);
    disk_expect(&d, &want); /* each line once */
    er_batch_free(again);
    er_batch_free(batch);
    er_buf_fini(&want);
    disk_fini(&d);
    fixture_fini(&f);
}

static void test_a_cut_line_is_completed_although_its_record_is_gone(void **state) {
    (void)state;
    fixture f;
    disk d;
    fixture_init(&f, &er_stdout_sink, "");
    disk_init(&d);
    er_batch *batch = batch_of(&f, 2);
    er_buf want;
    er_buf_init(&want, 1 << 20);
    put_body(&want, batch, 0);
    put_body(&want, batch, 1);
    limited_delivery(&f, &d, 10, batch, ER_E_DENIED);
    expect_verdicts(batch, ER_VERDICT_NONE);
    er_batch *again = er_batch_new(); /* u-1 has expired meanwhile */
    er_batch_add(again, &batch->v[1]);
    limited_delivery(&f, &d, 1 << 20, again, ER_OK);
    expect_verdicts(again, ER_VERDICT_DELIVERED);
    disk_expect(&d, &want);
    er_batch_free(again);
    er_batch_free(batch);
    er_buf_fini(&want);
    disk_fini(&d);
    fixture_fini(&f);
}

static void test_a_cut_header_is_completed(void **state) {
    (void)state;
    fixture f;
    disk d;
    fixture_init(&f, &er_stdout_sink, "format: text\ncolor: never\n");
    disk_init(&d);
    er_batch *batch = batch_of(&f, 1);
    er_buf want;
    er_buf_init(&want, 1 << 20);
    er_table_header(&want);
    put_body(&want, batch, 0);
    limited_delivery(&f, &d, 5, batch, ER_E_DENIED);
    limited_delivery(&f, &d, 6, batch, ER_E_DENIED);
    expect_verdicts(batch, ER_VERDICT_NONE);
    limited_delivery(&f, &d, 1 << 20, batch, ER_OK);
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    disk_expect(&d, &want);
    er_batch_free(batch);
    er_buf_fini(&want);
    disk_fini(&d);
    fixture_fini(&f);
}

/* ---- nobody there ---- */

static void test_a_reader_that_has_gone(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_stdout_sink, "");
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    (void)close(fds[0]);
    er_batch *batch = batch_of(&f, 2);
    er_err err = {0};
    assert_int_equal(deliver_to(&f, fds[1], batch, &err), ER_E_UNAVAILABLE);
    assert_string_equal(err.msg, "nothing reads the standard output any more");
    expect_verdicts(batch, ER_VERDICT_NONE);
    er_batch_free(batch);
    (void)close(fds[1]);
    fixture_fini(&f);
}

static void test_no_standard_output(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_stdout_sink, "");
    er_err err = {0};
    (void)fflush(stdout);
    saved_stdout = dup(STDOUT_FILENO);
    (void)close(STDOUT_FILENO);
    er_status status = f.type->open(f.self, er_deadline_in(1000), &err);
    restore_stdout();
    assert_int_equal(status, ER_E_DENIED);
    assert_string_equal(err.msg, "the standard output is closed or not writable; start the "
                                 "program with one, or remove this sink");
    fixture_fini(&f);
}

int main(void) {
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL); /* as main does */
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_lines_for_cloud_logging),
        cmocka_unit_test(test_header_stands_once_before_the_first_line),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_colours_on_a_terminal),
        cmocka_unit_test(test_a_full_pipe_that_does_not_block),
        cmocka_unit_test(test_a_full_pipe_that_blocks),
        cmocka_unit_test(test_a_socket),
        cmocka_unit_test(test_a_hanging_pipe_can_be_given_up),
        cmocka_unit_test(test_a_hanging_socket_can_be_given_up),
        cmocka_unit_test(test_a_hanging_pipe_of_another_user_can_be_given_up),
        cmocka_unit_test(test_a_line_cut_by_an_error_is_completed),
        cmocka_unit_test(test_a_cut_line_is_completed_although_its_record_is_gone),
        cmocka_unit_test(test_a_cut_header_is_completed),
        cmocka_unit_test(test_a_reader_that_has_gone),
        cmocka_unit_test(test_no_standard_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
