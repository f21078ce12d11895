/* A TCP connection that libcurl makes, and how it fails. */
#include "http/http.h"
#include "unit.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* A socket that listens on loopback; *port is where. */
static int listener(int backlog, unsigned *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, backlog), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &n), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void expect_failure(const er_http_dial *to, er_status status, const char *text) {
    int fd = 7;
    er_err err = {0};
    char want[256];
    (void)snprintf(want, sizeof want, "%s%u%s", "127.0.0.1:", to->port, text);
    assert_int_equal(er_http_dial_tcp(to, &fd, &err), status);
    assert_int_equal(fd, -1);
    const char *at = strstr(err.msg, "127.0.0.1");
    assert_string_equal(at == NULL ? err.msg : at, at == NULL ? text : want);
}

static void test_connects(void **state) {
    (void)state;
    er_http_dial to = {.host = "localhost", .timeout_ms = 5000};
    int server = listener(4, &to.port);
    int fd = -1;
    er_err err = {0};
    if (er_http_dial_tcp(&to, &fd, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    int peer = accept(server, NULL, NULL);
    assert_int_equal(send(fd, "x", 1, MSG_NOSIGNAL), 1); /* nothing went before it */
    char got[8];
    assert_int_equal(recv(peer, got, sizeof got, 0), 1);
    assert_int_equal(close(fd) + close(peer) + close(server), 0);
}

static void test_nobody_listens(void **state) {
    (void)state;
    er_http_dial to = {.host = "127.0.0.1", .timeout_ms = 5000};
    assert_int_equal(close(listener(1, &to.port)), 0);
    expect_failure(&to, ER_E_UNAVAILABLE, ": connection refused");
}

/* With a full backlog the kernel lets the next ones wait. */
static void test_nobody_answers(void **state) {
    (void)state;
    er_http_dial to = {.host = "127.0.0.1", .timeout_ms = 100};
    int server = listener(0, &to.port);
    int fds[4];
    for (size_t i = 0; i < 4; i++) {
        fds[i] = -1;
        (void)er_http_dial_tcp(&to, &fds[i], NULL);
    }
    assert_int_equal(fds[3], -1);
    expect_failure(&to, ER_E_TIMEOUT, " within 100 ms");
    for (size_t i = 0; i < 4 && fds[i] >= 0; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
    assert_int_equal(close(server), 0);
}

static void *cancel_soon(void *arg) {
    struct timespec pause = {.tv_nsec = 50000000};
    (void)nanosleep(&pause, NULL);
    er_cancel_set(arg);
    return NULL;
}

static void test_given_up(void **state) {
    (void)state;
    er_cancel cancel;
    assert_int_equal(er_cancel_init(&cancel, NULL), ER_OK);
    er_http_dial fill = {.host = "127.0.0.1", .timeout_ms = 100};
    int server = listener(0, &fill.port);
    int fds[4];
    for (size_t i = 0; i < 4; i++) {
        fds[i] = -1;
        (void)er_http_dial_tcp(&fill, &fds[i], NULL);
    }
    er_thread thread;
    assert_int_equal(er_thread_start(&thread, "cancel", cancel_soon, &cancel, NULL), ER_OK);
    er_http_dial to = {
        .host = "127.0.0.1", .port = fill.port, .timeout_ms = 3600000, .cancel = &cancel};
    expect_failure(&to, ER_E_CANCELLED, "cancelled");
    er_thread_join(thread);
    for (size_t i = 0; i < 4 && fds[i] >= 0; i++) {
        assert_int_equal(close(fds[i]), 0);
    }
    er_cancel_fini(&cancel);
    assert_int_equal(close(server), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_connects),
        cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
