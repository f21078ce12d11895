/* The client against a server on loopback: statuses, caps, limits, cancellation, reuse. */
#include "http/client.h"

static result get_with(er_http_client *client, const char *url, er_http_request req) {
    result r = {0};
    req.method = req.method == NULL ? "GET" : req.method;
    req.url = url;
    req.timeout_ms = req.timeout_ms == 0 ? LONG_MS : req.timeout_ms;
    er_http_response_init(&r.res);
    r.status = er_http_do(client, &req, &r.res, &r.err);
    return r;
}

/* One GET with a client of its own. */
static result get(const peer *p, er_http_request req) {
    er_http_client *client = client_of(NULL);
    char *url = peer_url(p, "/x?key=secret");
    result r = get_with(client, url, req);
    free(url);
    er_http_client_free(client);
    return r;
}

/* ---- answers ---- */

static char plain_answer[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                             "Content-Length: 5\r\n\r\nhello";

static void test_an_answer(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    result r = get(&p, (er_http_request){.response_max = 5});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(r.res.status, 200);
    assert_int_equal(r.res.retry_after_ms, -1);
    assert_true(r.res.sent);
    assert_string_equal(r.res.content_type, "text/plain");
    assert_str(er_buf_str(&r.res.body), "hello");
    forget(&r);
    char *request = peer_request(&p);
    char want[256];
    (void)snprintf(want, sizeof want,
                   "GET /x?key=secret HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: test/1\r\n"
                   "Accept: */*\r\n\r\n",
                   p.port);
    assert_string_equal(request, want);
    free(request);
    peer_stop(&p);
}

static void test_a_post(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    er_http_request req = {.method = "POST", .body = ER_STR("{\"a\":1}"), .response_max = 100};
    er_http_request_header(&req, "Content-Type", ER_STR("application/json"));
    er_http_request_header(&req, "Accept", ER_STR("application/json"));
    er_http_request_header(&req, "X-Empty", ER_STR(""));
    result r = get(&p, req);
    assert_int_equal(r.status, ER_OK);
    forget(&r);
    char *request = peer_request(&p);
    char want[512];
    (void)snprintf(want, sizeof want,
                   "POST /x?key=secret HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: test/1\r\n"
                   "Content-Type: application/json\r\nAccept: application/json\r\nX-Empty:\r\n"
                   "Content-Length: 7\r\n\r\n{\"a\":1}",
                   p.port);
    assert_string_equal(request, want);
    free(request);
    peer_stop(&p);
}

/* A body over a megabyte is where libcurl would ask for "100 Continue" first. */
static void test_no_expect_and_no_content_type_of_its_own(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    static char body[1100001];
    memset(body, 'b', sizeof body - 1);
    result r = get(&p, (er_http_request){
                           .method = "PUT", .body = {body, sizeof body - 1}, .response_max = 100});
    assert_int_equal(r.status, ER_OK);
    forget(&r);
    char *request = peer_request(&p);
    char want[256];
    (void)snprintf(want, sizeof want,
                   "PUT /x?key=secret HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: test/1\r\n"
                   "Accept: */*\r\nContent-Length: 1100000\r\n\r\n",
                   p.port);
    assert_memory_equal(request, want, strlen(want));
    assert_string_equal(request + strlen(want), body);
    free(request);
    peer_stop(&p);
}

static void test_statuses_are_answers(void **state) {
    (void)state;
    static char answer[] = "HTTP/1.1 100 Continue\r\nRetry-After: 9\r\n\r\n"
                           "HTTP/1.1 503 Service Unavailable\r\nretry-after:  7 \r\n"
                           "Content-Length: 4\r\n\r\nbusy";
    peer p;
    peer_start(&p, serve_text, answer);
    result r = get(&p, (er_http_request){.response_max = 100});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(r.res.status, 503);
    assert_int_equal(r.res.retry_after_ms, 7000);
    assert_string_equal(r.res.content_type, "");
    assert_str(er_buf_str(&r.res.body), "busy");
    forget(&r);
    peer_stop(&p);
}

static void test_redirects_are_not_followed(void **state) {
    (void)state;
    static char answer[] = "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n"
                           "Content-Length: 0\r\n\r\n";
    peer p;
    peer_start(&p, serve_text, answer);
    result r = get(&p, (er_http_request){.response_max = 100});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(r.res.status, 302);
    forget(&r);
    assert_int_equal(atomic_load(&p.requests), 1);
    peer_stop(&p);
}

static void test_cookies_are_not_sent_back(void **state) {
    (void)state;
    static char answer[] = "HTTP/1.1 204 No Content\r\nSet-Cookie: a=b; Path=/\r\n\r\n";
    peer p;
    peer_start(&p, serve_text, answer);
    er_http_client *client = client_of(NULL);
    char *url = peer_url(&p, "/");
    for (int i = 0; i < 2; i++) {
        result r = get_with(client, url, (er_http_request){0});
        assert_int_equal(r.res.status, 204);
        forget(&r);
    }
    char *request = peer_request(&p);
    assert_null(strcasestr(request, "cookie"));
    free(request);
    free(url);
    er_http_client_free(client);
    peer_stop(&p);
}

/* printf hello | gzip -n */
static const unsigned char zipped[25] = {0x1f, 0x8b, 8,    0,    0,    0,    0, 0, 0,
                                         3,    0xcb, 0x48, 0xcd, 0xc9, 0xc9, 7, 0, 0x86,
                                         0xa6, 0x10, 0x36, 5,    0,    0,    0};

static void serve_zipped(peer *p, int fd, unsigned n) {
    (void)n;
    while (peer_read(p, fd) && peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n"
                                             "Content-Length: 25\r\n\r\n")) {
        (void)send(fd, zipped, sizeof zipped, MSG_NOSIGNAL);
    }
}

static void test_gzip(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_zipped, NULL);
    result r = get(&p, (er_http_request){.response_max = 5, .accept_gzip = true});
    assert_int_equal(r.status, ER_OK);
    assert_str(er_buf_str(&r.res.body), "hello");
    forget(&r);
    char *request = peer_request(&p);
    assert_non_null(strstr(request, "\r\nAccept-Encoding: gzip\r\n"));
    free(request);
    r = get(&p, (er_http_request){.response_max = 4, .accept_gzip = true}); /* the cap is of what */
    assert_int_equal(r.status, ER_E_LIMIT);                                 /* comes out */
    forget(&r);
    peer_stop(&p);
}

/* ---- caps ---- */

static void test_a_body_over_the_cap(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    result r = get(&p, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_E_LIMIT);
    assert_int_equal(r.res.status, 200);
    assert_message(&p, &r, "the answer of PEER is over 4 bytes");
    forget(&r);
    r = get(&p, (er_http_request){.response_max = 4, .response_cut = true});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(r.res.status, 200);
    assert_str(er_buf_str(&r.res.body), "hell");
    forget(&r);
    peer_stop(&p);
}

static void test_an_endless_answer_ends_at_the_cap(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_endless, NULL);
    result r = get(&p, (er_http_request){.response_max = 100000});
    assert_int_equal(r.status, ER_E_LIMIT);
    forget(&r);
    r = get(&p, (er_http_request){.response_max = 100000, .response_cut = true});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(r.res.body.len, 100000);
    forget(&r);
    peer_stop(&p);
}

static void serve_endless_headers(peer *p, int fd, unsigned n) {
    (void)n;
    if (!peer_read(p, fd) || !peer_send(fd, "HTTP/1.1 200 OK\r\n")) {
        return;
    }
    while (!er_cancel_is_set(&p->over) && peer_send(fd, "X-Filler: 0123456789abcdef\r\n")) {
    }
}

static void test_endless_headers_end_at_the_cap(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_endless_headers, NULL);
    result r = get(&p, (er_http_request){.response_max = 100});
    assert_int_equal(r.status, ER_E_LIMIT);
    assert_message(&p, &r, "the headers of the answer of PEER are over 65536 bytes");
    forget(&r);
    peer_stop(&p);
}

/* ---- time ---- */

static void serve_drip(peer *p, int fd, unsigned n) {
    (void)n;
    if (!peer_read(p, fd) || !peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")) {
        return;
    }
    while (er_cancel_sleep(&p->over, er_deadline_in(10)) && peer_send(fd, "x")) {
    }
}

static void test_a_drip_ends_by_the_timeout(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_drip, NULL);
    int64_t began = er_mono_ms();
    result r = get(&p, (er_http_request){.response_max = 1000, .timeout_ms = 200});
    int64_t took = er_mono_ms() - began;
    assert_int_equal(r.status, ER_E_TIMEOUT);
    assert_int_equal(r.res.status, 200);
    assert_true(r.res.sent);
    assert_true(took >= 200 && took < 5000);
    assert_message(&p, &r, "no complete answer from PEER within 200 ms");
    forget(&r);
    peer_stop(&p);
}

static void serve_silence(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd)) {
        peer_hang(p, fd);
    }
}

static void test_a_late_head_ends_by_its_own_limit(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_silence, NULL);
    result r = get(&p, (er_http_request){.response_max = 10, .header_timeout_ms = 100});
    assert_int_equal(r.status, ER_E_TIMEOUT);
    assert_int_equal(r.res.status, 0);
    assert_true(r.res.sent);
    assert_message(&p, &r, "PEER did not begin to answer within 100 ms");
    forget(&r);
    peer_stop(&p);
}

typedef struct canceller {
    peer *p;
    er_cancel *cancel;
    int64_t at_ms; /* when it did */
} canceller;

/* Answers one request, and not the next on the same connection: no timer of libcurl's for new
 * connections is left that would end a wait by chance. */
static void serve_one_then_silence(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd) && peer_send(fd, plain_answer) && peer_read(p, fd)) {
        peer_hang(p, fd);
    }
}

/* Cancels once the peer has the second request: the client then waits for the answer. */
static void *cancel_soon(void *arg) {
    canceller *c = arg;
    while (atomic_load(&c->p->requests) < 2) {
        (void)er_cancel_sleep(&c->p->over, er_deadline_in(1));
    }
    c->at_ms = er_mono_ms();
    er_cancel_set(c->cancel);
    return NULL;
}

static void test_cancelling_is_immediate(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_one_then_silence, NULL);
    er_cancel cancel;
    assert_int_equal(er_cancel_init(&cancel, NULL), ER_OK);
    er_http_client *client = client_of(&cancel);
    char *url = peer_url(&p, "/");
    result r = get_with(client, url, (er_http_request){.response_max = 10});
    assert_int_equal(r.status, ER_OK);
    forget(&r);
    canceller c = {.p = &p, .cancel = &cancel};
    er_thread thread;
    assert_int_equal(er_thread_start(&thread, "cancel", cancel_soon, &c, NULL), ER_OK);
    r = get_with(client, url, (er_http_request){.response_max = 10});
    int64_t ended = er_mono_ms();
    er_thread_join(thread);
    assert_true(ended - c.at_ms < 800); /* libcurl itself would wake after a second */
    assert_int_equal(r.status, ER_E_CANCELLED);
    assert_true(r.res.sent);
    forget(&r);
    r = get_with(client, url, (er_http_request){.response_max = 10}); /* and stays so */
    assert_int_equal(r.status, ER_E_CANCELLED);
    assert_false(r.res.sent);
    forget(&r);
    assert_int_equal(atomic_load(&p.requests), 2);
    free(url);
    er_http_client_free(client);
    peer_stop(&p);
    er_cancel_fini(&cancel);
}

static void test_the_heart_beats(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_silence, NULL);
    er_heart heart = {.last_ms = 1};
    er_http_options options = {.connect_timeout_ms = LONG_MS, .heart = &heart};
    er_http_client *client = NULL;
    assert_int_equal(er_http_client_new(&options, &client, NULL), ER_OK);
    char *url = peer_url(&p, "/");
    int64_t began = er_mono_ms();
    result r = get_with(client, url, (er_http_request){.timeout_ms = 50, .response_max = 1});
    assert_int_equal(r.status, ER_E_TIMEOUT);
    assert_true(atomic_load(&heart.last_ms) >= began);
    forget(&r);
    free(url);
    er_http_client_free(client);
    peer_stop(&p);
}

/* ---- transport ---- */

static void test_refused(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    peer_stop(&p); /* nobody listens there any more */
    result r = get(&p, (er_http_request){.response_max = 10});
    assert_int_equal(r.status, ER_E_UNAVAILABLE);
    assert_false(r.res.sent);
    assert_int_equal(r.res.status, 0);
    assert_message(&p, &r, "cannot connect to PEER: connection refused");
    forget(&r);
}

static void test_cut_bodies(void **state) {
    (void)state;
    static const struct {
        const char *answer, *message;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", "the answer of PEER was cut short"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
         "the answer of PEER was cut short"},
        {"", "PEER closed the connection without an answer"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *answer = er_dup(rows[i].answer);
        peer p;
        peer_start(&p, serve_once, answer);
        result r = get(&p, (er_http_request){.response_max = 100});
        assert_int_equal(r.status, ER_E_UNAVAILABLE);
        assert_true(r.res.sent);
        assert_message(&p, &r, rows[i].message);
        forget(&r);
        peer_stop(&p);
        free(answer);
    }
}

static void serve_reset(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd)) {
        (void)peer_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
        struct linger at_once = {.l_onoff = 1};
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
}

static void test_a_reset(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_reset, NULL);
    result r = get(&p, (er_http_request){.response_max = 100});
    assert_int_equal(r.status, ER_E_UNAVAILABLE);
    assert_message(&p, &r, "the connection to PEER broke: connection reset by peer");
    forget(&r);
    peer_stop(&p);
}

static void test_unusable_urls(void **state) {
    (void)state;
    static const struct {
        const char *url, *message;
    } rows[] = {
        {"ftp://127.0.0.1/", "the URL cannot be used: neither http nor https"},
        {"file:///etc/passwd", "the URL cannot be used: "},
        {"http://", "the URL cannot be used: "},
        {"http://127.0.0.1 x/", "the URL cannot be used: "},
        {"http://127.0.0.1:99999/", "the URL cannot be used: "},
        {"", "the URL cannot be used: "},
    };
    er_http_client *client = client_of(NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        result r = get_with(client, rows[i].url, (er_http_request){0});
        assert_int_equal(r.status, ER_E_INVAL);
        assert_false(r.res.sent);
        assert_memory_equal(r.err.msg, rows[i].message, strlen(rows[i].message));
        forget(&r);
    }
    er_http_client_free(client);
}

static void test_header_injection(void **state) {
    (void)state;
    static const er_http_header rows[] = {
        {"X-A", {"a\r\nX-B: b", 9}},
        {"X-A", {"a\nb", 3}},
        {"X-A", {"a\r", 2}},
        {"X-A", {"a\0b", 3}},
        {"X A", {"a", 1}},
        {"X-A: b\r\nX-B", {"a", 1}},
        {"", {"a", 1}},
    };
    peer p;
    peer_start(&p, serve_text, plain_answer);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_http_request req = {.response_max = 100};
        er_http_request_header(&req, rows[i].name, rows[i].value);
        result r = get(&p, req);
        assert_int_equal(r.status, ER_E_INVAL);
        assert_false(r.res.sent);
        forget(&r);
    }
    er_http_request req = {.response_max = 100};
    er_http_request_header(&req, "X-Secret", ER_STR("hunter2\n"));
    result r = get(&p, req);
    assert_string_equal(r.err.msg, "the value of header X-Secret holds a line break or NUL; "
                                   "remove it");
    forget(&r);
    assert_int_equal(atomic_load(&p.connections), 0);
    peer_stop(&p);
}

/* ---- connections ---- */

static void test_a_connection_is_used_again(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    er_http_client *client = client_of(NULL);
    char *url = peer_url(&p, "/");
    for (int i = 0; i < 3; i++) {
        result r = get_with(client, url, (er_http_request){.response_max = 100});
        assert_int_equal(r.status, ER_OK);
        forget(&r);
    }
    assert_int_equal(atomic_load(&p.connections), 1);
    assert_int_equal(atomic_load(&p.requests), 3);
    er_http_client_reset(client);
    result r = get_with(client, url, (er_http_request){.response_max = 100});
    assert_int_equal(r.status, ER_OK);
    forget(&r);
    assert_int_equal(atomic_load(&p.connections), 2);
    free(url);
    er_http_client_free(client);
    peer_stop(&p);
}

static void test_what_was_set_does_not_stick(void **state) {
    (void)state;
    peer p;
    peer_start(&p, serve_text, plain_answer);
    er_http_client *client = client_of(NULL);
    char *url = peer_url(&p, "/");
    er_http_request req = {
        .method = "PUT", .body = ER_STR("x"), .response_max = 100, .accept_gzip = true};
    er_http_request_header(&req, "Authorization", ER_STR("Bearer t"));
    result r = get_with(client, url, req);
    forget(&r);
    r = get_with(client, url, (er_http_request){.response_max = 100});
    forget(&r);
    char *request = peer_request(&p);
    char want[256];
    (void)snprintf(want, sizeof want,
                   "GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: test/1\r\n"
                   "Accept: */*\r\n\r\n",
                   p.port);
    assert_string_equal(request, want);
    free(request);
    free(url);
    er_http_client_free(client);
    peer_stop(&p);
}

static void test_a_response_is_used_again(void **state) {
    (void)state;
    static char first[] = "HTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Type: a/b\r\n"
                          "Content-Length: 3\r\n\r\nabc";
    peer p;
    peer_start(&p, serve_once, first);
    er_http_client *client = client_of(NULL);
    char *url = peer_url(&p, "/");
    result r = get_with(client, url, (er_http_request){.response_max = 100});
    assert_int_equal(r.res.retry_after_ms, 1000);
    peer_stop(&p);
    er_http_request again = {.method = "GET", .url = url, .timeout_ms = LONG_MS};
    assert_int_equal(er_http_do(client, &again, &r.res, &r.err), ER_E_UNAVAILABLE);
    assert_int_equal(r.res.status, 0);
    assert_int_equal(r.res.retry_after_ms, -1);
    assert_int_equal(r.res.body.len, 0);
    assert_string_equal(r.res.content_type, "");
    assert_false(r.res.sent);
    forget(&r);
    free(url);
    er_http_client_free(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer),
        cmocka_unit_test(test_a_post),
        cmocka_unit_test(test_no_expect_and_no_content_type_of_its_own),
        cmocka_unit_test(test_statuses_are_answers),
        cmocka_unit_test(test_redirects_are_not_followed),
        cmocka_unit_test(test_cookies_are_not_sent_back),
        cmocka_unit_test(test_gzip),
        cmocka_unit_test(test_a_body_over_the_cap),
        cmocka_unit_test(test_an_endless_answer_ends_at_the_cap),
        cmocka_unit_test(test_endless_headers_end_at_the_cap),
        cmocka_unit_test(test_a_drip_ends_by_the_timeout),
        cmocka_unit_test(test_a_late_head_ends_by_its_own_limit),
        cmocka_unit_test(test_cancelling_is_immediate),
        cmocka_unit_test(test_the_heart_beats),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_cut_bodies),
        cmocka_unit_test(test_a_reset),
        cmocka_unit_test(test_unusable_urls),
        cmocka_unit_test(test_header_injection),
        cmocka_unit_test(test_a_connection_is_used_again),
        cmocka_unit_test(test_what_was_set_does_not_stick),
        cmocka_unit_test(test_a_response_is_used_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
