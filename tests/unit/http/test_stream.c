/* Streams of the client against a server on loopback: parts, refusals, cuts, silence. */
#include "http/client.h"

typedef struct seen {
    peer *p;
    er_buf data;
    int heads, waits;
    long status;
    er_status head_says, data_says;
    int64_t sleep_ms; /* in data */
    atomic_int waits_seen, data_done;
} seen;

static er_status on_head(void *arg, const er_http_response *res) {
    seen *s = arg;
    s->heads++;
    assert_int_equal(s->waits, 0);
    s->status = res->status;
    return s->head_says;
}

static er_status on_data(void *arg, er_str bytes) {
    seen *s = arg;
    er_buf_put_str(&s->data, bytes);
    if (s->sleep_ms > 0) {
        (void)er_cancel_sleep(&s->p->over, er_deadline_in(s->sleep_ms));
    }
    atomic_fetch_add(&s->data_done, 1);
    return s->data_says;
}

static void on_waiting(void *arg) {
    seen *s = arg;
    s->waits++;
    atomic_store(&s->waits_seen, s->waits);
}

static result stream(seen *s, peer *p, int64_t idle_ms, er_http_request req) {
    result r = {0};
    s->p = p;
    er_buf_init(&s->data, 1u << 20);
    er_http_response_init(&r.res);
    er_http_client *client = client_of(NULL);
    char *url = peer_url(p, "/watch");
    req.method = "GET";
    req.url = url;
    er_http_stream_handler handler = {s, on_head, on_data, on_waiting};
    r.status = er_http_stream(client, &req, idle_ms, &handler, &r.res, &r.err);
    free(url);
    er_http_client_free(client);
    return r;
}

/* A chunked body in three parts; each follows once the client has waited for it. */
static void serve_parts(peer *p, int fd, unsigned n) {
    (void)n;
    static const char *const parts[] = {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                                        "3\r\nabc\r\n", "2\r\nde\r\n", "0\r\n\r\n"};
    seen *s = p->arg;
    if (!peer_read(p, fd)) {
        return;
    }
    for (int i = 0; i < 4; i++) {
        while (atomic_load(&s->waits_seen) < i && !er_cancel_is_set(&p->over)) {
            (void)er_cancel_sleep(&p->over, er_deadline_in(1));
        }
        (void)peer_send(fd, parts[i]);
    }
}

static void test_a_stream(void **state) {
    (void)state;
    peer p;
    seen s = {0};
    peer_start(&p, serve_parts, &s);
    result r = stream(&s, &p, LONG_MS, (er_http_request){.response_max = 100});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(s.heads, 1);
    assert_int_equal(s.status, 200);
    assert_str(er_buf_str(&s.data), "abcde");
    assert_int_equal(r.res.body.len, 0);
    assert_true(s.waits >= 3); /* before each part behind the head */
    forget(&r);
    er_buf_fini(&s.data);
    peer_stop(&p);
}

static void test_a_refused_stream(void **state) {
    (void)state;
    static char answer[] = "HTTP/1.1 410 Gone\r\nContent-Length: 9\r\n\r\nvery gone";
    peer p;
    seen s = {0};
    peer_start(&p, serve_text, answer);
    result r = stream(&s, &p, LONG_MS, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_OK);
    assert_int_equal(r.res.status, 410);
    assert_str(er_buf_str(&r.res.body), "very");
    assert_int_equal(s.heads, 1);
    assert_int_equal(s.data.len, 0);
    assert_int_equal(s.waits, 0);
    forget(&r);
    er_buf_fini(&s.data);
    peer_stop(&p);
}

static void test_a_handler_ends_the_stream(void **state) {
    (void)state;
    peer p;
    seen s = {.data_says = ER_E_SPLIT};
    peer_start(&p, serve_endless, NULL);
    result r = stream(&s, &p, LONG_MS, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_E_SPLIT);
    assert_true(s.data.len > 0);
    forget(&r);
    er_buf_fini(&s.data);
    s = (seen){.head_says = ER_E_DENIED};
    r = stream(&s, &p, LONG_MS, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_E_DENIED);
    assert_int_equal(s.data.len, 0);
    forget(&r);
    er_buf_fini(&s.data);
    peer_stop(&p);
}

static void test_a_cut_stream(void **state) {
    (void)state;
    static char answer[] =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nd";
    peer p;
    seen s = {0};
    peer_start(&p, serve_once, answer);
    result r = stream(&s, &p, LONG_MS, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_E_UNAVAILABLE);
    assert_message(&p, &r, "the answer of PEER was cut short");
    assert_str(er_buf_str(&s.data), "abcd");
    forget(&r);
    er_buf_fini(&s.data);
    peer_stop(&p);
}

static char begun[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n";

static void serve_begun(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd)) {
        (void)peer_send(fd, begun);
        peer_hang(p, fd);
    }
}

static void test_a_silent_stream(void **state) {
    (void)state;
    peer p;
    seen s = {0};
    peer_start(&p, serve_begun, NULL);
    result r = stream(&s, &p, 100, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_E_TIMEOUT);
    assert_message(&p, &r, "PEER was silent for 100 ms");
    assert_str(er_buf_str(&s.data), "abc");
    assert_true(s.waits > 0);
    forget(&r);
    er_buf_fini(&s.data);
    peer_stop(&p);
}

/* The second part follows when the handler has let go of the first. */
static void serve_two(peer *p, int fd, unsigned n) {
    (void)n;
    seen *s = p->arg;
    if (peer_read(p, fd)) {
        (void)peer_send(fd, begun);
        while (atomic_load(&s->data_done) == 0 && er_cancel_sleep(&p->over, er_deadline_in(1))) {
        }
        (void)peer_send(fd, "2\r\nde\r\n0\r\n\r\n");
    }
}

/* It holds bytes back for longer than the peer may be silent. */
static void test_a_slow_handler_is_not_silence(void **state) {
    (void)state;
    peer p;
    seen s = {.sleep_ms = 300};
    peer_start(&p, serve_two, &s);
    result r = stream(&s, &p, 200, (er_http_request){.response_max = 4});
    assert_int_equal(r.status, ER_OK);
    assert_str(er_buf_str(&s.data), "abcde");
    forget(&r);
    er_buf_fini(&s.data);
    peer_stop(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stream),
        cmocka_unit_test(test_a_refused_stream),
        cmocka_unit_test(test_a_handler_ends_the_stream),
        cmocka_unit_test(test_a_cut_stream),
        cmocka_unit_test(test_a_silent_stream),
        cmocka_unit_test(test_a_slow_handler_is_not_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
