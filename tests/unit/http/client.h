/* A client for tests, what it gives back, and its messages. */
#ifndef TEST_HTTP_CLIENT_H
#define TEST_HTTP_CLIENT_H

#include "http/peer.h"

#include "http/http.h"

#define LONG_MS 20000 /* a limit that no test reaches */

static inline er_http_client *client_of(er_cancel *cancel) {
    er_http_client *client = NULL;
    er_http_options options = {
        .user_agent = "test/1", .connect_timeout_ms = LONG_MS, .cancel = cancel};
    assert_int_equal(er_http_client_new(&options, &client, NULL), ER_OK);
    return client;
}

typedef struct result {
    er_status status;
    er_err err;
    er_http_response res;
} result;

static inline void forget(result *r) {
    er_http_response_fini(&r->res);
}

/* "127.0.0.1:PORT" in place of "PEER", so that messages can be compared. */
static inline void assert_message(const peer *p, const result *r, const char *want) {
    char name[32];
    (void)snprintf(name, sizeof name, "127.0.0.1:%d", p->port);
    er_buf text;
    er_buf_init(&text, 1024);
    const char *rest = r->err.msg;
    for (const char *at = strstr(rest, name); at != NULL; at = strstr(rest, name)) {
        er_buf_put(&text, rest, (size_t)(at - rest));
        er_buf_puts(&text, "PEER");
        rest = at + strlen(name);
    }
    er_buf_puts(&text, rest);
    assert_str(er_buf_str(&text), want);
    er_buf_fini(&text);
}

/* ---- servers ---- */

/* Answers every request of a connection with arg. */
static inline void serve_text(peer *p, int fd, unsigned n) {
    (void)n;
    while (peer_read(p, fd) && peer_send(fd, p->arg)) {
    }
}

static inline void serve_endless(peer *p, int fd, unsigned n) {
    (void)n;
    if (!peer_read(p, fd) || !peer_send(fd, "HTTP/1.1 200 OK\r\n\r\n")) {
        return;
    }
    char chunk[4097];
    memset(chunk, 'x', sizeof chunk - 1);
    chunk[sizeof chunk - 1] = '\0';
    while (!er_cancel_is_set(&p->over) && peer_send(fd, chunk)) {
    }
}

/* Answers one request with arg and closes. */
static inline void serve_once(peer *p, int fd, unsigned n) {
    (void)n;
    if (peer_read(p, fd)) {
        (void)peer_send(fd, p->arg);
    }
}

#endif
