/* A small HTTP receiver on loopback for the tests of sinks: it keeps the bytes of every request and
 * answers with whatever text it is told. One connection at a time, kept alive as long as the client
 * wishes. Included once by each test program; everything is static. */
#ifndef ER_TESTS_LOOPBACK_H
#define ER_TESTS_LOOPBACK_H

#include "base/buf.h"
#include "base/thread.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOOPBACK_REQUESTS 2000

typedef struct loopback {
    int listener, port;
    er_thread thread;
    er_cancel stop;
    er_mutex lock;
    /* Whole answers, used in turn, the last one for all that follow; NULL: hang up. */
    const char *answers[8];
    size_t answers_n;
    char *requests[LOOPBACK_REQUESTS]; /* NUL-terminated bytes */
    size_t requests_n;
} loopback;

static inline bool loopback_wait(loopback *lb, int fd) {
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = lb->stop.fd, .events = POLLIN}};
    return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

/* Bytes of the whole request at the beginning of text, 0: more must come. */
static inline size_t loopback_request_len(const char *text, size_t n) {
    const char *end = strstr(text, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(text, "\r\nContent-Length: ");
    size_t body = length == NULL || length > end ? 0 : strtoul(length + 18, NULL, 10);
    size_t total = (size_t)(end + 4 - text) + body;
    return n >= total ? total : 0;
}

/* Keeps the request and returns the answer to it, owned by the caller. */
static inline char *loopback_take(loopback *lb, const char *text, size_t n) {
    er_lock(&lb->lock);
    size_t nth = lb->requests_n;
    ER_ASSERT(nth < LOOPBACK_REQUESTS);
    lb->requests[lb->requests_n++] = er_str_dup((er_str){text, n});
    size_t last = lb->answers_n - 1;
    const char *answer = lb->answers[nth < last ? nth : last];
    char *copy = answer == NULL ? NULL : er_dup(answer);
    er_unlock(&lb->lock);
    return copy;
}

static inline void loopback_serve(loopback *lb, int fd) {
    er_buf in;
    er_buf_init(&in, 16 << 20);
    char chunk[4096];
    while (loopback_wait(lb, fd)) {
        ssize_t n = recv(fd, chunk, sizeof chunk, 0);
        if (n <= 0) {
            break;
        }
        er_buf_put(&in, chunk, (size_t)n);
        size_t len = loopback_request_len(er_buf_cstr(&in), in.len);
        if (len == 0) {
            continue;
        }
        char *answer = loopback_take(lb, in.p, len);
        er_buf_clear(&in);
        bool sent = answer != NULL && send(fd, answer, strlen(answer), MSG_NOSIGNAL) >= 0;
        free(answer);
        if (!sent) {
            break;
        }
    }
    er_buf_fini(&in);
}

static inline void *loopback_run(void *arg) {
    loopback *lb = arg;
    while (loopback_wait(lb, lb->listener)) {
        int fd = accept4(lb->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            loopback_serve(lb, fd);
            (void)close(fd);
        }
    }
    return NULL;
}

static inline void loopback_start(loopback *lb, const char *answer) {
    *lb = (loopback){.answers = {answer}, .answers_n = 1};
    er_mutex_init(&lb->lock);
    ER_ASSERT(er_cancel_init(&lb->stop, NULL) == ER_OK);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    lb->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ER_ASSERT(lb->listener >= 0 &&
              bind(lb->listener, (const struct sockaddr *)(const void *)&at, n) == 0 &&
              listen(lb->listener, 16) == 0 &&
              getsockname(lb->listener, (struct sockaddr *)(void *)&at, &n) == 0);
    lb->port = ntohs(at.sin_port);
    ER_ASSERT(er_thread_start(&lb->thread, "loopback", loopback_run, lb, NULL) == ER_OK);
}

static inline void loopback_stop(loopback *lb) {
    er_cancel_set(&lb->stop);
    er_thread_join(lb->thread);
    (void)close(lb->listener);
    er_cancel_fini(&lb->stop);
    er_mutex_fini(&lb->lock);
    for (size_t i = 0; i < lb->requests_n; i++) {
        free(lb->requests[i]);
    }
}

/* Forgets the requests so far; the next one gets answers[0] again. */
static inline void loopback_reset(loopback *lb, const char *answer) {
    er_lock(&lb->lock);
    for (size_t i = 0; i < lb->requests_n; i++) {
        free(lb->requests[i]);
    }
    lb->requests_n = 0;
    lb->answers[0] = answer;
    lb->answers_n = 1;
    er_unlock(&lb->lock);
}

/* The n-th answer (from 1) is this one, and all that follow. */
static inline void loopback_then(loopback *lb, const char *answer) {
    er_lock(&lb->lock);
    lb->answers[lb->answers_n++] = answer;
    er_unlock(&lb->lock);
}

static inline size_t loopback_requests(loopback *lb) {
    er_lock(&lb->lock);
    size_t n = lb->requests_n;
    er_unlock(&lb->lock);
    return n;
}

/* Copies the value of a header of the i-th request to out; false when it has none. */
static inline bool loopback_header(loopback *lb, size_t i, const char *name, char out[512]) {
    char start[128];
    (void)snprintf(start, sizeof start, "\r\n%s: ", name);
    er_lock(&lb->lock);
    const char *text = lb->requests[i];
    const char *at = strcasestr(text, start);
    bool found = at != NULL && at < strstr(text, "\r\n\r\n");
    if (found) {
        at += strlen(start);
        (void)snprintf(out, 512, "%.*s", (int)strcspn(at, "\r"), at);
    }
    er_unlock(&lb->lock);
    return found;
}

static inline const char *loopback_body(loopback *lb, size_t i) {
    er_lock(&lb->lock);
    const char *body = strstr(lb->requests[i], "\r\n\r\n") + 4;
    er_unlock(&lb->lock);
    return body;
}

#endif
