/* Lists and watches against a server on loopback. */
#include "http/peer.h"

#include "kube/kube_priv.h"
#include "kube/token.h"

#define LONG_MS 20000 /* a limit that no test reaches */

typedef struct rig {
    peer p;
    er_kube_config config;
    er_kube_timeouts timeouts;
    er_cancel cancel;
    er_kube_client *client;
    er_kube_answer answer;
} rig;

static void open_rig(rig *r, void (*serve)(peer *, int, unsigned), void *arg) {
    *r = (rig){.timeouts = {.connect_ms = LONG_MS, .request_ms = LONG_MS, .idle_ms = LONG_MS}};
    peer_start(&r->p, serve, arg);
    r->config.server = peer_url(&r->p, "/prefix");
    static char origin[] = "a test";
    r->config.origin = origin;
    assert_int_equal(er_cancel_init(&r->cancel, NULL), ER_OK);
}

/* After config and timeouts were filled in. */
static er_kube_client *connect_rig(rig *r) {
    assert_int_equal(
        er_kube_client_new(&r->config, &r->timeouts, &r->cancel, NULL, &r->client, NULL), ER_OK);
    return r->client;
}

static void close_rig(rig *r) {
    er_kube_client_free(r->client);
    er_kube_answer_fini(&r->answer);
    peer_stop(&r->p);
    er_cancel_fini(&r->cancel);
    free(r->config.server);
}

/* The whole request must be: first, Host, User-Agent, rest, and the blank line. */
static void assert_request(rig *r, const char *first, const char *rest) {
    char *request = peer_request(&r->p);
    char want[4096];
    (void)snprintf(want, sizeof want,
                   "%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUser-Agent: eventrouter/%s\r\n%s\r\n",
                   first, r->p.port, "X", rest);
    /* Version and platform are the build's: what stands behind the slash is made one X. */
    char *agent = strstr(request, "eventrouter/");
    assert_non_null(agent);
    agent += strlen("eventrouter/");
    const char *end = strstr(agent, "\r\n");
    assert_non_null(strstr(agent, " (linux/"));
    assert_true(end > agent && end[-1] == ')');
    *agent++ = 'X';
    memmove(agent, end, strlen(end) + 1);
    assert_string_equal(request, want);
    free(request);
}

/* An answer with its length. */
static char *answer_of(const char *head, const char *body) {
    char *text = NULL;
    assert_true(asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body),
                         body) > 0);
    return text;
}

static void serve_text(peer *p, int fd, unsigned n) {
    (void)n;
    while (peer_read(p, fd) && peer_send(fd, p->arg)) {
    }
}

static void serve_once(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd)) {
        (void)peer_send(fd, p->arg);
    }
}

static void serve_silence(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd)) {
        peer_hang(p, fd);
    }
}

static const er_kube_query events = {.path = "/api/v1/events"};

/* ---- lists ---- */

#define TINY                                                                                       \
    "{\"metadata\":{\"resourceVersion\":\"12\",\"continue\":\"n/x=\"},\"items\":[{\"a\":1},{}]}"

static void test_a_page(void **state) {
    (void)state;
    rig r;
    char *text = answer_of("200 OK\r\nContent-Type: application/json", TINY);
    open_rig(&r, serve_text, text);
    connect_rig(&r);
    er_kube_page page;
    er_kube_page_init(&page);
    assert_int_equal(er_kube_list(r.client, &events, 500, NULL, &page, &r.answer), ER_KUBE_OK);
    assert_int_equal(r.answer.outcome, ER_KUBE_OK);
    assert_int_equal(r.answer.status, 200);
    assert_int_equal(r.answer.retry_after_ms, -1);
    assert_string_equal(page.version, "12");
    assert_string_equal(page.cont, "n/x=");
    assert_int_equal(page.n, 2);
    assert_str(page.items[0], "{\"a\":1}");
    assert_str(page.items[1], "{}");
    assert_request(&r, "GET /prefix/api/v1/events?limit=500",
                   "Accept-Encoding: gzip\r\nAccept: application/json\r\n");
    er_kube_query query = {.path = "/api/v1/namespaces/shop/events",
                           .field_selector = "type!=Normal,reason=a b",
                           .label_selector = "app in (x)"};
    assert_int_equal(er_kube_list(r.client, &query, 250, "n/x=", &page, &r.answer), ER_KUBE_OK);
    assert_int_equal(page.n, 2);
    assert_request(&r,
                   "GET /prefix/api/v1/namespaces/shop/events?limit=250&continue=n%2Fx%3D"
                   "&fieldSelector=type%21%3DNormal%2Creason%3Da%20b"
                   "&labelSelector=app%20in%20%28x%29",
                   "Accept-Encoding: gzip\r\nAccept: application/json\r\n");
    assert_int_equal(atomic_load(&r.p.connections), 1);
    er_kube_page_fini(&page);
    close_rig(&r);
    free(text);
}

#define STATUS(more)                                                                               \
    "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\"," more "}"

static const struct {
    const char *head, *body;
    er_kube_outcome outcome;
    long status;
    int64_t retry_after_ms;
    const char *reason, *message, *cont;
} refusals[] = {
    {"401 Unauthorized", STATUS("\"message\":\"Unauthorized\",\"reason\":\"Unauthorized\""),
     ER_KUBE_UNAUTHORIZED, 401, -1, "Unauthorized", "Unauthorized", NULL},
    {"403 Forbidden", STATUS("\"message\":\"events is forbidden\",\"reason\":\"Forbidden\""),
     ER_KUBE_FORBIDDEN, 403, -1, "Forbidden", "events is forbidden", NULL},
    {"410 Gone", STATUS("\"message\":\"too old\",\"reason\":\"Expired\""), ER_KUBE_GONE, 410, -1,
     "Expired", "too old", NULL},
    {"410 Gone", "{\"metadata\":{\"continue\":\"T2\"},\"reason\":\"Expired\",\"message\":\"m\"}",
     ER_KUBE_GONE, 410, -1, "Expired", "m", "T2"},
    {"400 Bad Request", "{\"metadata\":{\"continue\":\"T2\"},\"message\":\"m\"}", ER_KUBE_REFUSED,
     400, -1, "", "m", NULL},
    {"429 Too Many Requests\r\nRetry-After: 7", "Too many requests, please try again later.\n",
     ER_KUBE_BUSY, 429, 7000, "", "Too many requests, please try again later.", NULL},
    {"429 Too Many Requests", STATUS("\"message\":\"m\",\"details\":{\"retryAfterSeconds\":3}"),
     ER_KUBE_BUSY, 429, 3000, "", "m", NULL},
    {"429 Too Many Requests\r\nRetry-After: 2",
     STATUS("\"message\":\"m\",\"details\":{\"retryAfterSeconds\":3}"), ER_KUBE_BUSY, 429, 2000, "",
     "m", NULL},
    {"429 Too Many Requests", STATUS("\"message\":\"m\",\"details\":{\"retryAfterSeconds\":9e9}"),
     ER_KUBE_BUSY, 429, 300000, "", "m", NULL},
    {"500 Internal Server Error", "", ER_KUBE_BUSY, 500, -1, "", "HTTP status 500 without a text",
     NULL},
    {"503 Service Unavailable\r\nRetry-After: 1", "\r\n<html>\r\nbusy", ER_KUBE_BUSY, 503, 1000, "",
     "<html>", NULL},
    {"504 Gateway Timeout", STATUS("\"message\":\"slow\",\"reason\":\"Timeout\",\"code\":504"),
     ER_KUBE_BUSY, 504, -1, "Timeout", "slow", NULL},
    {"404 Not Found", "404 page not found\n", ER_KUBE_REFUSED, 404, -1, "", "404 page not found",
     NULL},
    {"422 Unprocessable Entity", "[1]", ER_KUBE_REFUSED, 422, -1, "", "[1]", NULL},
    {"302 Found\r\nLocation: /elsewhere", "", ER_KUBE_REFUSED, 302, -1, "",
     "HTTP status 302 without a text", NULL},
    {"204 No Content", "", ER_KUBE_REFUSED, 204, -1, "", "HTTP status 204 without a text", NULL},
};

static void assert_refusal(size_t i, er_kube_outcome outcome, const er_kube_answer *answer) {
    if (outcome != refusals[i].outcome) {
        print_error("row %zu: %s\n", i, answer->message);
    }
    assert_int_equal(outcome, refusals[i].outcome);
    assert_int_equal(answer->outcome, refusals[i].outcome);
    assert_int_equal(answer->status, refusals[i].status);
    assert_int_equal(answer->retry_after_ms, refusals[i].retry_after_ms);
    assert_string_equal(answer->reason, refusals[i].reason);
    assert_string_equal(answer->message, refusals[i].message);
}

static bool no_frame(void *arg, char *line, size_t n) {
    (void)arg;
    (void)n;
    fail_msg("a frame: %s", line);
    return false;
}

static void never_connected(void *arg) {
    (void)arg;
    fail_msg("connected");
}

static void test_refusals(void **state) {
    (void)state;
    er_kube_watch_handler handler = {.frame = no_frame, .connected = never_connected};
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        rig r;
        char *text = answer_of(refusals[i].head, refusals[i].body);
        open_rig(&r, serve_text, text);
        connect_rig(&r);
        er_kube_page page;
        er_kube_page_init(&page);
        assert_refusal(i, er_kube_list(r.client, &events, 1, NULL, &page, &r.answer), &r.answer);
        if (refusals[i].cont == NULL) {
            assert_null(r.answer.cont);
        } else {
            assert_string_equal(r.answer.cont, refusals[i].cont);
        }
        assert_int_equal(page.n, 0);
        er_kube_page_fini(&page);
        assert_refusal(i, er_kube_watch(r.client, &events, "1", 60, &handler, &r.answer),
                       &r.answer);
        assert_null(r.answer.cont);
        close_rig(&r);
        free(text);
    }
}

static er_kube_outcome list_of(const char *answer, void (*serve)(peer *, int, unsigned),
                               char message[400]) {
    rig r;
    char *text = er_dup(answer);
    open_rig(&r, serve, text);
    connect_rig(&r);
    er_kube_page page;
    er_kube_page_init(&page);
    er_kube_outcome outcome = er_kube_list(r.client, &events, 500, NULL, &page, &r.answer);
    assert_int_equal(r.answer.outcome, outcome);
    assert_int_equal(page.n, 0);
    assert_null(page.cont);
    assert_string_equal(page.version, "");
    memcpy(message, r.answer.message, sizeof r.answer.message);
    er_kube_page_fini(&page);
    close_rig(&r);
    free(text);
    return outcome;
}

static void test_bodies_that_are_cut(void **state) {
    (void)state;
    char message[400];
    char *text =
        answer_of("200 OK", "{\"metadata\":{\"resourceVersion\":\"12\"},\"items\":[{\"a\":1},");
    assert_int_equal(list_of(text, serve_text, message), ER_KUBE_BAD_BODY);
    assert_string_equal(message, "not a list: it ends after 54 bytes, an item is not an object, or "
                                 "cut");
    free(text);
    assert_int_equal(
        list_of("HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" TINY, serve_once, message),
        ER_KUBE_TRANSPORT);
    assert_non_null(strstr(message, " was cut short"));
    /* An end without length or chunks cannot be told from a cut: the brackets tell. */
    assert_int_equal(list_of("HTTP/1.1 200 OK\r\n\r\n{\"metadata\":{", serve_once, message),
                     ER_KUBE_BAD_BODY);
    text = answer_of("200 OK", "OK");
    assert_int_equal(list_of(text, serve_text, message), ER_KUBE_BAD_BODY);
    free(text);
}

/* A page over the cap: its end is never read. */
static void serve_huge(peer *p, int fd, unsigned n) {
    (void)n;
    if (!peer_read(p, fd) || !peer_send(fd, p->arg)) {
        return;
    }
    char chunk[65537];
    memset(chunk, ' ', sizeof chunk - 1);
    chunk[sizeof chunk - 1] = '\0';
    while (!er_cancel_is_set(&p->over) && peer_send(fd, chunk)) {
    }
}

static void test_a_page_over_the_cap(void **state) {
    (void)state;
    char message[400];
    assert_int_equal(list_of("HTTP/1.1 200 OK\r\n\r\n", serve_huge, message), ER_KUBE_TOO_LARGE);
    assert_int_equal(list_of("HTTP/1.1 503 Busy\r\n\r\nbusy\n", serve_huge, message), ER_KUBE_BUSY);
    assert_string_equal(message, "busy");
}

static void test_nobody_answers(void **state) {
    (void)state;
    rig r;
    open_rig(&r, serve_silence, NULL);
    r.timeouts.header_ms = 100;
    connect_rig(&r);
    er_kube_page page;
    er_kube_page_init(&page);
    assert_int_equal(er_kube_list(r.client, &events, 1, NULL, &page, &r.answer), ER_KUBE_TRANSPORT);
    assert_int_equal(r.answer.status, 0);
    char want[128];
    (void)snprintf(want, sizeof want, "127.0.0.1:%d did not begin to answer within 100 ms",
                   r.p.port);
    assert_string_equal(r.answer.message, want);
    er_kube_watch_handler handler = {.frame = no_frame, .connected = never_connected};
    assert_int_equal(er_kube_watch(r.client, &events, "1", 1, &handler, &r.answer),
                     ER_KUBE_TRANSPORT);
    assert_string_equal(r.answer.message, want);
    er_cancel_set(&r.cancel);
    assert_int_equal(er_kube_list(r.client, &events, 1, NULL, &page, &r.answer), ER_KUBE_CANCELLED);
    assert_int_equal(er_kube_watch(r.client, &events, "1", 1, &handler, &r.answer),
                     ER_KUBE_CANCELLED);
    er_kube_page_fini(&page);
    close_rig(&r);
}

static void test_get(void **state) {
    (void)state;
    rig r;
    char *text = answer_of("200 OK", "{\"metadata\":{}}");
    open_rig(&r, serve_text, text);
    connect_rig(&r);
    er_buf body;
    er_buf_init(&body, 15);
    assert_int_equal(er_kube_get(r.client, "/api/v1/namespaces/kube-system", &body, &r.answer),
                     ER_KUBE_OK);
    assert_str(er_buf_str(&body), "{\"metadata\":{}}");
    assert_request(&r, "GET /prefix/api/v1/namespaces/kube-system",
                   "Accept-Encoding: gzip\r\nAccept: application/json\r\n");
    er_buf_fini(&body);
    er_buf_init(&body, 14);
    assert_int_equal(er_kube_get(r.client, "/x", &body, &r.answer), ER_KUBE_TOO_LARGE);
    er_buf_fini(&body);
    close_rig(&r);
    free(text);
}

/* ---- watches ---- */

typedef struct seen {
    er_buf text; /* "C" connected, "[frame]", "W" waiting (once in a row) */
    int stop_after;
    atomic_int frames, waits; /* waits: behind a frame */
} seen;

static void on_connected(void *arg) {
    seen *s = arg;
    er_buf_putc(&s->text, 'C');
}

static bool on_frame(void *arg, char *line, size_t n) {
    seen *s = arg;
    er_buf_putc(&s->text, '[');
    er_buf_put(&s->text, line, n);
    er_buf_putc(&s->text, ']');
    atomic_fetch_add(&s->frames, 1);
    return --s->stop_after != 0;
}

static void on_waiting(void *arg) {
    seen *s = arg;
    if (atomic_load(&s->frames) > 0) {
        atomic_fetch_add(&s->waits, 1);
    }
    if (s->text.len > 0 && s->text.p[s->text.len - 1] != 'W') {
        er_buf_putc(&s->text, 'W');
    }
}

static er_kube_outcome watch(rig *r, seen *s) {
    er_buf_init(&s->text, 65536);
    er_kube_watch_handler handler = {
        .arg = s, .connected = on_connected, .frame = on_frame, .waiting = on_waiting};
    er_kube_query query = {.path = "/api/v1/events", .field_selector = "type=Warning"};
    return er_kube_watch(r->client, &query, "10245", 47, &handler, &r->answer);
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void test_a_watch(void **state) {
    (void)state;
    static char text[] = CHUNKED "5\r\n{\"a\":\r\n8\r\n1}\n{}\r\n\n\r\n4\r\nrest\r\n0\r\n\r\n";
    rig r;
    seen s = {0};
    open_rig(&r, serve_text, text);
    connect_rig(&r);
    assert_int_equal(watch(&r, &s), ER_KUBE_OK);
    assert_int_equal(r.answer.outcome, ER_KUBE_OK);
    assert_int_equal(r.answer.status, 200);
    assert_request(&r,
                   "GET /prefix/api/v1/events?watch=1&allowWatchBookmarks=true"
                   "&resourceVersion=10245&timeoutSeconds=47&fieldSelector=type%3DWarning",
                   "Accept: application/json\r\n");
    er_str got = er_buf_str(&s.text);
    assert_true(er_str_starts(got, "C"));
    assert_non_null(strstr(got.p, "[{\"a\":1}]"));
    assert_non_null(strstr(got.p, "[{}]"));
    assert_null(strstr(got.p, "rest")); /* behind the last LF */
    assert_int_equal(atomic_load(&s.frames), 2);
    er_buf_fini(&s.text);
    s = (seen){0}; /* on the same connection */
    assert_int_equal(watch(&r, &s), ER_KUBE_OK);
    assert_int_equal(atomic_load(&s.frames), 2);
    assert_int_equal(atomic_load(&r.p.connections), 1);
    er_buf_fini(&s.text);
    close_rig(&r);
}

/* A frame, then half of one, then nothing for good. */
static void serve_half(peer *p, int fd, unsigned n) {
    (void)n;
    seen *s = p->arg;
    if (!peer_read(p, fd)) {
        return;
    }
    (void)peer_send(fd, CHUNKED "3\r\n{}\n\r\n");
    while (atomic_load(&s->waits) < 1 && er_cancel_sleep(&p->over, er_deadline_in(1))) {
    }
    (void)peer_send(fd, "4\r\n{}\n{\r\n");
    peer_hang(p, fd);
}

static void test_waiting_and_silence(void **state) {
    (void)state;
    rig r;
    seen s = {0};
    open_rig(&r, serve_half, &s);
    r.timeouts.idle_ms = 300;
    connect_rig(&r);
    assert_int_equal(watch(&r, &s), ER_KUBE_IDLE);
    assert_int_equal(r.answer.outcome, ER_KUBE_IDLE);
    char want[64];
    (void)snprintf(want, sizeof want, "127.0.0.1:%d was silent for 300 ms", r.p.port);
    assert_string_equal(r.answer.message, want);
    /* While half a frame is there, nothing is known to be complete: no W behind the second. */
    const char *text = er_buf_cstr(&s.text);
    bool good = strcmp(text, "C[{}]W[{}]") == 0 || strcmp(text, "CW[{}]W[{}]") == 0;
    if (!good) {
        fail_msg("%s", text);
    }
    er_buf_fini(&s.text);
    close_rig(&r);
}

static void test_the_handler_stops(void **state) {
    (void)state;
    static char text[] = CHUNKED "9\r\n{}\n{}\n{}\n\r\n";
    rig r;
    seen s = {.stop_after = 2};
    open_rig(&r, serve_text, text);
    connect_rig(&r);
    assert_int_equal(watch(&r, &s), ER_KUBE_STOPPED);
    assert_int_equal(r.answer.outcome, ER_KUBE_STOPPED);
    assert_int_equal(atomic_load(&s.frames), 2);
    er_buf_fini(&s.text);
    close_rig(&r);
}

static void test_a_watch_that_is_cut(void **state) {
    (void)state;
    static char text[] = CHUNKED "5\r\n{}\n{}\r\n";
    rig r;
    seen s = {0};
    open_rig(&r, serve_once, text);
    connect_rig(&r);
    assert_int_equal(watch(&r, &s), ER_KUBE_TRANSPORT);
    assert_int_equal(atomic_load(&s.frames), 1);
    assert_non_null(strstr(r.answer.message, " was cut short"));
    er_buf_fini(&s.text);
    close_rig(&r);
}

/* ---- credentials ---- */

static void list_once(rig *r) {
    er_kube_page page;
    er_kube_page_init(&page);
    assert_int_equal(er_kube_list(r->client, &events, 1, NULL, &page, &r->answer), ER_KUBE_OK);
    er_kube_page_fini(&page);
}

#define PLAIN "Accept-Encoding: gzip\r\n"
#define ASKED "GET /prefix/api/v1/events?limit=1"

static void test_credentials(void **state) {
    (void)state;
    static char token[] = " tok-1\n";
    static char user[] = "ann";
    static char password[] = "p:w";
    static char name[] = "Impersonate-Group";
    static char value[] = "g1";
    char *text = answer_of("200 OK", TINY);
    rig r;
    open_rig(&r, serve_text, text);
    r.config.token = token;
    connect_rig(&r);
    list_once(&r);
    assert_request(&r, ASKED, PLAIN "Authorization: Bearer tok-1\r\nAccept: application/json\r\n");
    close_rig(&r);
    open_rig(&r, serve_text, text);
    r.config.username = user;
    r.config.password = password;
    r.config.impersonate[0] = r.config.impersonate[1] = (er_kube_header){name, value};
    r.config.impersonate_n = 2;
    connect_rig(&r);
    list_once(&r);
    assert_request(&r, ASKED,
                   PLAIN "Authorization: Basic YW5uOnA6dw==\r\nAccept: application/json\r\n"
                         "Impersonate-Group: g1\r\nImpersonate-Group: g1\r\n");
    close_rig(&r);
    free(text);
}

static void put(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void test_the_token_is_read_again_on_request(void **state) {
    (void)state;
    char path[] = "/tmp/er-token-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    put(path, "one\n");
    char *text = answer_of("200 OK", TINY);
    rig r;
    open_rig(&r, serve_text, text);
    r.config.token_file = path;
    connect_rig(&r);
    list_once(&r);
    put(path, "two\n");
    list_once(&r); /* younger than 50 s */
    assert_request(&r, ASKED, PLAIN "Authorization: Bearer one\r\nAccept: application/json\r\n");
    er_kube_client_refresh(r.client);
    list_once(&r);
    assert_request(&r, ASKED, PLAIN "Authorization: Bearer two\r\nAccept: application/json\r\n");
    put(path, "tw\ro\n"); /* cannot be a header */
    er_kube_client_refresh(r.client);
    er_kube_page page;
    er_kube_page_init(&page);
    assert_int_equal(er_kube_list(r.client, &events, 1, NULL, &page, &r.answer), ER_KUBE_TRANSPORT);
    assert_string_equal(r.answer.message, "the value of header Authorization holds a line break or "
                                          "NUL; remove it");
    er_kube_page_fini(&page);
    assert_int_equal(unlink(path), 0);
    close_rig(&r);
    free(text);
}

static void test_token_ages(void **state) {
    (void)state;
    char path[] = "/tmp/er-token-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    er_kube_token token;
    er_str value;
    er_err err;
    er_kube_token_init(&token, path, NULL);
    assert_int_equal(token.age_ms, 50000);
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_E_UNAVAILABLE);
    char want[128];
    (void)snprintf(want, sizeof want, "no token yet: %s is empty", path);
    assert_string_equal(err.msg, want);
    put(path, "\n a \n");
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "a");
    put(path, "b");
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "a");
    token.age_ms = 0; /* from now on it is always old */
    er_kube_token_expire(&token);
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "b");
    put(path, "c");
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "c");
    put(path, "");
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "c");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "c");
    er_kube_token_fini(&token);
    er_kube_token_init(&token, path, "fallback");
    assert_int_equal(er_kube_token_get(&token, &value, &err), ER_OK);
    assert_str(value, "fallback");
    er_kube_token_fini(&token);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_page),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bodies_that_are_cut),
        cmocka_unit_test(test_a_page_over_the_cap),
        cmocka_unit_test(test_nobody_answers),
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_a_watch),
        cmocka_unit_test(test_waiting_and_silence),
        cmocka_unit_test(test_the_handler_stops),
        cmocka_unit_test(test_a_watch_that_is_cut),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_the_token_is_read_again_on_request),
        cmocka_unit_test(test_token_ages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
