/* A server on loopback whose thread runs a script for each connection, one after the other. */
#ifndef ER_TESTS_PEER_H
#define ER_TESTS_PEER_H

#include "unit.h"

#include "base/thread.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct peer peer;
struct peer {
    int listener;
    int port;
    er_thread thread;
    er_cancel over; /* set by peer_stop; scripts that wait, wait for it */
    /* Called for the n-th connection, n from 0. */
    void (*serve)(peer *p, int fd, unsigned n);
    void *arg;
    atomic_uint connections, requests;
    er_mutex lock;
    char request[1200000]; /* the last request, whole */
};

/* Waits until fd can be read; false when the peer is to end. */
static inline bool peer_wait(peer *p, int fd) {
    struct pollfd fds[2] = {{.fd = fd, .events = POLLIN}, {.fd = p->over.fd, .events = POLLIN}};
    while (poll(fds, 2, -1) < 0) {
    }
    return fds[1].revents == 0;
}

/* Reads one request with its body; false at the end of the connection. */
static inline bool peer_read(peer *p, int fd) {
    char text[sizeof p->request];
    size_t n = 0;
    for (;;) {
        text[n] = '\0';
        const char *end = strstr(text, "\r\n\r\n");
        if (end != NULL) {
            const char *length = strcasestr(text, "\r\nContent-Length: ");
            size_t body = length == NULL ? 0 : strtoul(length + 18, NULL, 10);
            if (n >= (size_t)(end + 4 - text) + body) {
                break;
            }
        }
        ssize_t got = peer_wait(p, fd) ? recv(fd, text + n, sizeof text - 1 - n, 0) : 0;
        if (got <= 0) {
            return false;
        }
        n += (size_t)got;
    }
    er_lock(&p->lock);
    memcpy(p->request, text, n + 1);
    er_unlock(&p->lock);
    atomic_fetch_add(&p->requests, 1);
    return true;
}

/* False when the other side has gone. */
static inline bool peer_send(int fd, const char *text) {
    size_t n = strlen(text);
    while (n > 0) {
        ssize_t done = send(fd, text, n, MSG_NOSIGNAL);
        if (done <= 0) {
            return false;
        }
        text += done;
        n -= (size_t)done;
    }
    return true;
}

/* Until the test is over or the other side closes. */
static inline void peer_hang(peer *p, int fd) {
    char c;
    while (peer_wait(p, fd) && recv(fd, &c, 1, 0) > 0) {
    }
}

static inline void *peer_run(void *arg) {
    peer *p = arg;
    while (peer_wait(p, p->listener)) {
        int fd = accept(p->listener, NULL, NULL);
        if (fd >= 0) {
            p->serve(p, fd, atomic_fetch_add(&p->connections, 1));
            (void)close(fd);
        }
    }
    return NULL;
}

static inline void peer_start(peer *p, void (*serve)(peer *p, int fd, unsigned n), void *arg) {
    *p = (peer){.serve = serve, .arg = arg};
    er_mutex_init(&p->lock);
    assert_int_equal(er_cancel_init(&p->over, NULL), ER_OK);
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, n), 0);
    assert_int_equal(listen(p->listener, 16), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
    p->port = ntohs(at.sin_port);
    assert_int_equal(er_thread_start(&p->thread, "peer", peer_run, p, NULL), ER_OK);
}

static inline void peer_stop(peer *p) {
    er_cancel_set(&p->over);
    er_thread_join(p->thread);
    (void)close(p->listener);
    er_cancel_fini(&p->over);
    er_mutex_fini(&p->lock);
}

/* The last request as the peer read it; to be freed. */
static inline char *peer_request(peer *p) {
    er_lock(&p->lock);
    char *copy = er_dup(p->request);
    er_unlock(&p->lock);
    return copy;
}

/* "http://127.0.0.1:PORT" and path; to be freed. */
static inline char *peer_url(const peer *p, const char *path) {
    char *url = NULL;
    assert_true(asprintf(&url, "http://127.0.0.1:%d%s", p->port, path) > 0);
    return url;
}

#endif
