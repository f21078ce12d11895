/* The admin server, asked over loopback. */
#include "admin/admin.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct fixture {
    er_metrics *metrics;
    er_hearts *hearts;
    bool ready;
    er_ready_check checks[2];
    er_admin *admin;
} fixture;

static bool always(void *arg, er_buf *text) {
    (void)arg;
    (void)text;
    return true;
}

static bool when_ready(void *arg, er_buf *text) {
    const fixture *f = arg;
    er_buf_puts(text, f->ready ? "answered" : "no answer yet");
    return f->ready;
}

static int set_up(void **state) {
    fixture *f = er_xcalloc(1, sizeof *f);
    f->metrics = er_metrics_new();
    f->hearts = er_xcalloc(1, sizeof *f->hearts);
    f->checks[0] = (er_ready_check){"config", always, NULL};
    f->checks[1] = (er_ready_check){"watch events", when_ready, f};
    char listen[] = "127.0.0.1:0";
    er_admin_settings settings = {.listen = listen};
    er_err err = {0};
    if (er_admin_start(&settings, f->metrics, f->hearts, f->checks, 2, &f->admin, &err) != ER_OK) {
        print_error("%s\n", err.msg);
        return -1;
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    er_admin_stop(f->admin);
    er_metrics_free(f->metrics);
    free(f->hearts);
    free(f);
    return 0;
}

static int dial(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)(const void *)&at, sizeof at), 0);
    return fd;
}

typedef struct reply {
    int status;
    char head[2048], body[65536];
    size_t body_n;
} reply;

/* Sends text, reads to the end, takes the answer apart. */
static void ask_raw(int port, const char *text, reply *r) {
    int fd = dial(port);
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    er_buf all;
    er_buf_init(&all, sizeof r->head + sizeof r->body);
    char chunk[4096];
    ssize_t n;
    while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0) {
        er_buf_put(&all, chunk, (size_t)n);
    }
    (void)close(fd);
    const char *start = er_buf_cstr(&all);
    const char *end = strstr(start, "\r\n\r\n");
    assert_non_null(end);
    assert_true((size_t)(end - start) < sizeof r->head);
    memset(r, 0, sizeof *r);
    memcpy(r->head, start, (size_t)(end - start) + 2);
    r->body_n = all.len - (size_t)(end + 4 - start);
    memcpy(r->body, end + 4, r->body_n);
    assert_memory_equal(r->head, "HTTP/1.1 ", 9);
    r->status = (int)strtol(r->head + 9, NULL, 10);
    er_buf_fini(&all);
}

static void ask(const fixture *f, const char *method, const char *target, reply *r) {
    char text[512];
    (void)snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
                   method, target);
    ask_raw(er_admin_port(f->admin), text, r);
}

/* The value of a header of the answer; fails when there is none. */
static const char *header(const reply *r, const char *name) {
    static char value[256];
    char start[64];
    (void)snprintf(start, sizeof start, "\r\n%s: ", name);
    const char *at = strcasestr(r->head, start);
    assert_non_null(at);
    at += strlen(start);
    (void)snprintf(value, sizeof value, "%.*s", (int)(strchr(at, '\r') - at), at);
    return value;
}

static void test_metrics(void **state) {
    const fixture *f = *state;
    er_counter_add(er_metrics_counter(f->metrics, "c_total", "C.", NULL), 7);
    reply r;
    ask(f, "GET", "/metrics", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "Content-Type"), "text/plain; version=0.0.4; charset=utf-8");
    const char *want = "# HELP eventrouter_c_total C.\n"
                       "# TYPE eventrouter_c_total counter\n"
                       "eventrouter_c_total 7\n";
    assert_string_equal(r.body, want);
    char length[32];
    (void)snprintf(length, sizeof length, "%zu", strlen(want));
    ask(f, "HEAD", "/metrics", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "Content-Length"), length);
    assert_int_equal(r.body_n, 0);
}

static void test_livez(void **state) {
    const fixture *f = *state;
    er_heart *watch = er_heart_new(f->hearts, "watch events");
    er_heart *over = er_heart_new(f->hearts, "sink hook");
    reply r;
    ask(f, "GET", "/livez", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(header(&r, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(r.body, "ok");
    ask(f, "GET", "/healthz", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "ok");

    er_heart_end(over); /* a thread that has ended is not missed */
    ask(f, "GET", "/livez?verbose", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "[+]thread watch events: last beat 0 s ago\n"
                                "livez check passed\n");

    atomic_store(&watch->last_ms, er_mono_ms() - 61500);
    ask(f, "GET", "/livez", &r);
    assert_int_equal(r.status, 503);
    assert_string_equal(r.body, "[-]thread watch events: last beat 61 s ago\n"
                                "livez check failed\n");
    atomic_store(&watch->last_ms, er_mono_ms() - 58000);
    ask(f, "GET", "/livez", &r);
    assert_int_equal(r.status, 200);
}

static void test_readyz(void **state) {
    fixture *f = *state;
    reply r;
    ask(f, "GET", "/readyz", &r);
    assert_int_equal(r.status, 503);
    assert_string_equal(r.body, "[+]config: ok\n"
                                "[-]watch events: no answer yet\n"
                                "readyz check failed\n");
    f->ready = true;
    ask(f, "GET", "/readyz", &r);
    assert_int_equal(r.status, 200);
    assert_string_equal(r.body, "ok");
    ask(f, "GET", "/readyz?verbose", &r);
    assert_string_equal(r.body, "[+]config: ok\n"
                                "[+]watch events: answered\n"
                                "readyz check passed\n");
    ask(f, "GET", "/readyz?verbose=1", &r);
    assert_string_equal(r.body, "[+]config: ok\n"
                                "[+]watch events: answered\n"
                                "readyz check passed\n");
}

static void test_other_paths_and_methods(void **state) {
    const fixture *f = *state;
    static const char *const paths[] = {"/", "/metrics/", "/livez/x", "/METRICS"};
    reply r;
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        ask(f, "GET", paths[i], &r);
        assert_int_equal(r.status, 404);
    }
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "get"};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        ask(f, methods[i], "/metrics", &r);
        assert_int_equal(r.status, 405);
        assert_string_equal(header(&r, "Allow"), "GET, HEAD");
        assert_string_equal(r.body, "only GET and HEAD\n");
    }
    ask_raw(er_admin_port(f->admin),
            "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n", &r);
    assert_int_equal(r.status, 405); /* the body is not waited for */
}

static void test_long_requests_are_refused(void **state) {
    const fixture *f = *state;
    char text[20000];
    int n = snprintf(text, sizeof text, "GET /%0*d HTTP/1.1\r\nHost: x\r\n\r\n", 19000, 0);
    assert_true(n > 19000 && n < (int)sizeof text);
    int fd = dial(er_admin_port(f->admin));
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
    char answer[64] = "";
    ssize_t got = recv(fd, answer, sizeof answer - 1, 0); /* 414 or 431, or the line is cut */
    (void)close(fd);
    assert_true(got <= 0 || strncmp(answer, "HTTP/1.1 4", 10) == 0);
    reply r;
    ask(f, "GET", "/livez", &r);
    assert_int_equal(r.status, 200);
}

static void test_at_most_16_connections(void **state) {
    const fixture *f = *state;
    int fds[16];
    for (size_t i = 0; i < 16; i++) {
        fds[i] = dial(er_admin_port(f->admin));
        const char *text = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
        assert_int_equal(send(fds[i], text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
        char answer[512];
        assert_true(recv(fds[i], answer, sizeof answer, 0) > 0); /* taken, and kept alive */
    }
    int extra = dial(er_admin_port(f->admin)); /* waits in the backlog, or is closed */
    const char *text = "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n";
    (void)send(extra, text, strlen(text), MSG_NOSIGNAL);
    struct timeval soon = {.tv_usec = 200000};
    assert_int_equal(setsockopt(extra, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon), 0);
    char answer[512];
    assert_true(recv(extra, answer, sizeof answer, 0) <= 0);
    (void)close(extra);
    for (size_t i = 0; i < 16; i++) {
        (void)close(fds[i]);
    }
    reply r;
    ask(f, "GET", "/livez", &r);
    assert_int_equal(r.status, 200);
}

/* Half a request each, and all of them gone: what waits in the backlog is soon through. */
static void test_a_burst_of_connections_is_soon_over(void **state) {
    const fixture *f = *state;
    int fds[100];
    for (size_t i = 0; i < 100; i++) {
        fds[i] = dial(er_admin_port(f->admin));
        (void)send(fds[i], "GET /livez HTTP/1.1\r\nA: ", 24, MSG_NOSIGNAL);
    }
    for (size_t i = 0; i < 100; i++) {
        (void)close(fds[i]);
    }
    er_deadline limit = er_deadline_in(5000);
    reply r;
    ask(f, "GET", "/livez", &r);
    assert_int_equal(r.status, 200);
    assert_false(er_deadline_passed(limit));
}

static er_status start_at(const char *listen, er_admin **out, er_err *err) {
    er_metrics *metrics = er_metrics_new();
    er_hearts *hearts = er_xcalloc(1, sizeof *hearts);
    char *copy = er_dup(listen);
    er_admin_settings settings = {.listen = copy};
    er_status status = er_admin_start(&settings, metrics, hearts, NULL, 0, out, err);
    int port = er_admin_port(*out);
    er_admin_stop(*out);
    assert_true(status != ER_OK || listen[0] == '\0' || port > 0);
    free(copy);
    free(hearts);
    er_metrics_free(metrics);
    return status;
}

static void test_addresses(void **state) {
    (void)state;
    er_admin *admin = NULL;
    er_err err = {0};
    assert_int_equal(start_at("", &admin, &err), ER_OK);
    assert_null(admin);
    assert_int_equal(er_admin_port(NULL), 0);
    assert_int_equal(start_at("localhost:0", &admin, &err), ER_OK);
    assert_int_equal(start_at("[::1]:0", &admin, &err), ER_OK);
    static const char *const bad[] = {"8080",   "127.0.0.1",      "127.0.0.1:",   "127.0.0.1:6x",
                                      "::1:80", "example.com:80", "127.0.0.1:-1", "1.2.3.4.5:80"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(start_at(bad[i], &admin, &err), ER_E_CONFIG);
        char want[256];
        (void)snprintf(want, sizeof want,
                       "\"%s\" is not an address and a port, such as 0.0.0.0:8080 or [::1]:8080",
                       bad[i]);
        assert_string_equal(err.msg, want);
        assert_int_equal(er_admin_rows[0].check(bad[i], &err), ER_E_CONFIG);
    }
    static const char *const ports[] = {":65536", "127.0.0.1:99999999999999999999", "[::1]:80800"};
    for (size_t i = 0; i < sizeof ports / sizeof ports[0]; i++) {
        assert_int_equal(start_at(ports[i], &admin, &err), ER_E_CONFIG);
        char want[256];
        (void)snprintf(want, sizeof want, "the port of \"%s\" must be between 0 and 65535",
                       ports[i]);
        assert_string_equal(err.msg, want);
    }
    assert_int_equal(er_admin_rows[0].check("", &err), ER_OK);
    assert_int_equal(er_admin_rows[0].check("0.0.0.0:8080", &err), ER_OK);
}

static void test_an_address_in_use(void **state) {
    const fixture *f = *state;
    char listen[32];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%d", er_admin_port(f->admin));
    er_admin *admin = NULL;
    er_err err = {0};
    assert_int_equal(start_at(listen, &admin, &err), ER_E_IO);
    char want[128];
    (void)snprintf(want, sizeof want,
                   "cannot listen on %s: Address already in use; check admin.listen", listen);
    assert_string_equal(err.msg, want);
}

#define SERVER_TEST(name_) cmocka_unit_test_setup_teardown(name_, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        SERVER_TEST(test_metrics),
        SERVER_TEST(test_livez),
        SERVER_TEST(test_readyz),
        SERVER_TEST(test_other_paths_and_methods),
        SERVER_TEST(test_long_requests_are_refused),
        SERVER_TEST(test_at_most_16_connections),
        SERVER_TEST(test_a_burst_of_connections_is_soon_over),
        SERVER_TEST(test_an_address_in_use),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
