/* The loop: listeners, connections, timers. */
#include "fake_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX   64
#define READ_BYTES   ((size_t)256 << 10)
#define READS_A_TURN 8
#define SENDS_A_TURN 4096
#define DROP_BYTES   ((size_t)1 << 20)
#define TAG_STDIN    FAKE_ROLES /* tags below are listeners, above are connections */
#define MS_NS        1000000

/* ---- time ---- */

void fake_server_wake(fake *f, int64_t at_ns) {
    f->wake_ns = at_ns < f->wake_ns ? at_ns : f->wake_ns;
}

int64_t fake_server_ms(const fake *f) {
    return (er_mono_ns() - f->start_ns) / MS_NS;
}

/* ---- listeners ---- */

static er_status socket_failed(er_err *err, const char *what, int port) {
    char text[128];
    return er_err_set(err, ER_E_IO, "cannot %s 127.0.0.1:%d: %s", what, port,
                      er_errno_text(errno, text, sizeof text));
}

/* A socket bound to that port of 127.0.0.1; -1: no. */
static int bind_loopback(int *port) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)*port),
                                  .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof address;
    int one = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (const struct sockaddr *)&address, n) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &n) != 0) {
        (void)close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static bool epoll_set(const fake *f, int operation, int fd, uint32_t events, uint64_t tag) {
    struct epoll_event event = {.events = events, .data = {.u64 = tag}};
    return epoll_ctl(f->epoll, operation, fd, &event) == 0;
}

static er_status listen_now(fake *f, fake_role role, er_err *err) {
    fake_listener *l = &f->listeners[role];
    l->fd = bind_loopback(&l->port);
    if (l->fd < 0 || listen(l->fd, SOMAXCONN) != 0 ||
        !epoll_set(f, EPOLL_CTL_ADD, l->fd, EPOLLIN, (uint64_t)role)) {
        return socket_failed(err, "listen on", l->port);
    }
    return ER_OK;
}

er_status fake_server_open(fake *f, const int ports[FAKE_ROLES], er_err *err) {
    f->start_ns = er_mono_ns();
    f->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (int role = 0; role < FAKE_ROLES; role++) {
        fake_listener *l = &f->listeners[role];
        /* The holder is bound first and never listens: so nobody else is given the port while
         * connections to it are refused. */
        l->port = ports[role];
        l->holder = bind_loopback(&l->port);
        if (l->holder < 0) {
            return socket_failed(err, "bind", l->port);
        }
        er_status status = listen_now(f, (fake_role)role, err);
        if (status != ER_OK) {
            return status;
        }
    }
    return ER_OK;
}

er_status fake_server_refuse(fake *f, fake_role role, bool refuse, er_err *err) {
    fake_listener *l = &f->listeners[role];
    if (refuse && l->fd >= 0) {
        (void)close(l->fd);
        l->fd = -1;
    } else if (!refuse && l->fd < 0) {
        return listen_now(f, role, err);
    }
    return ER_OK;
}

/* ---- connections ---- */

static void conn_kill(fake_conn *conn, bool reset) {
    if (conn->dead) {
        return;
    }
    if (reset) {
        struct linger now = {.l_onoff = 1, .l_linger = 0};
        (void)setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    (void)close(conn->fd);
    conn->dead = true;
    conn->fake->open[conn->role]--;
    if (conn->on_gone != NULL) {
        conn->on_gone(conn);
        conn->on_gone = NULL;
    }
}

static void conn_accept(fake *f, fake_role role) {
    int one = 1;
    int fd = accept4(f->listeners[role].fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fake_conn *conn = er_xcalloc(1, sizeof *conn);
    *conn = (fake_conn){.fake = f,
                        .next = f->conns,
                        .role = role,
                        .fd = fd,
                        .interest = EPOLLIN | EPOLLRDHUP,
                        .wake_ns = FAKE_NEVER};
    er_buf_init(&conn->in, FAKE_REQUEST_MAX);
    er_buf_init(&conn->out, FAKE_OUT_MAX);
    f->conns = conn;
    f->open[role]++;
    f->opened[role]++;
    if (!epoll_set(f, EPOLL_CTL_ADD, fd, conn->interest, (uint64_t)(uintptr_t)conn)) {
        conn_kill(conn, true);
    }
}

void fake_server_cut_all(fake *f, fake_role role) {
    for (fake_conn *conn = f->conns; conn != NULL; conn = conn->next) {
        if (conn->role == role) {
            conn_kill(conn, true);
        }
    }
}

void fake_server_pause(fake *f, fake_role role, bool pause) {
    fake_listener *l = &f->listeners[role];
    if (l->paused == pause) {
        return;
    }
    l->paused = pause;
    /* Taken out altogether: EPOLLHUP cannot be masked, and would be told again and again. */
    int operation = pause ? EPOLL_CTL_DEL : EPOLL_CTL_ADD;
    if (l->fd >= 0) {
        (void)epoll_set(f, operation, l->fd, EPOLLIN, (uint64_t)role);
    }
    for (fake_conn *conn = f->conns; conn != NULL; conn = conn->next) {
        if (conn->role == role && !conn->dead) {
            (void)epoll_set(f, operation, conn->fd, conn->interest, (uint64_t)(uintptr_t)conn);
        }
    }
}

/* ---- reading ---- */

static void conn_read(fake_conn *conn) {
    for (int i = 0; i < READS_A_TURN; i++) {
        char *to = er_buf_reserve(&conn->in, READ_BYTES);
        ssize_t n = to == NULL ? 0 : recv(conn->fd, to, READ_BYTES, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            conn_kill(conn, to == NULL);
            return;
        }
        conn->in.len += (size_t)n;
        if ((size_t)n < READ_BYTES) {
            return;
        }
    }
}

/* The request line; false: it is none. */
static bool parse_line(fake_request *request, const char *p, const char *eol) {
    const char *sp = memchr(p, ' ', (size_t)(eol - p));
    const char *sp2 = sp == NULL ? NULL : memchr(sp + 1, ' ', (size_t)(eol - sp - 1));
    if (sp2 == NULL || (size_t)(eol - sp2) < 9 || memcmp(sp2 + 1, "HTTP/1.1", 8) != 0) {
        return false;
    }
    request->method = (er_str){p, (size_t)(sp - p)};
    request->target = (er_str){sp + 1, (size_t)(sp2 - sp - 1)};
    const char *mark = memchr(sp + 1, '?', request->target.n);
    request->path = (er_str){sp + 1, (size_t)((mark == NULL ? sp2 : mark) - sp - 1)};
    request->query = mark == NULL ? (er_str){0} : (er_str){mark + 1, (size_t)(sp2 - mark - 1)};
    return true;
}

typedef enum { REQUEST_PARTIAL, REQUEST_BODY_MISSING, REQUEST_WHOLE, REQUEST_BAD } request_state;

static request_state parse_request(fake_conn *conn) {
    fake_request *request = &conn->request;
    char *end = conn->in.len < 4 ? NULL : memmem(conn->in.p, conn->in.len, "\r\n\r\n", 4);
    if (end == NULL) {
        return REQUEST_PARTIAL;
    }
    *request = (fake_request){.head_n = (size_t)(end - conn->in.p) + 4};
    const char *eol = memchr(conn->in.p, '\r', request->head_n);
    if (!parse_line(request, conn->in.p, eol)) {
        return REQUEST_BAD;
    }
    request->headers = (er_str){eol + 2, (size_t)(end + 2 - (eol + 2))};
    er_str length = fake_request_header(request, "Content-Length");
    uint64_t n = 0;
    if ((length.n > 0 && (!er_parse_u64(length, &n) || n > FAKE_REQUEST_MAX)) ||
        fake_request_header(request, "Transfer-Encoding").n > 0) {
        return REQUEST_BAD;
    }
    size_t there = conn->in.len - request->head_n;
    request->body_n = (size_t)n;
    request->complete = there >= n;
    request->body = (er_str){conn->in.p + request->head_n, request->complete ? (size_t)n : there};
    return request->complete ? REQUEST_WHOLE : REQUEST_BODY_MISSING;
}

static void handle(fake_conn *conn) {
    conn->busy = true;
    conn->silent = false;
    conn->shape = (fake_shape){0};
    conn->wake_ns = FAKE_NEVER;
    conn->on_gone = NULL;
    conn->pending = conn->request.head_n + conn->request.body_n;
    switch (conn->role) {
    case FAKE_API:
        fake_api_request(conn);
        break;
    case FAKE_SINKS:
        fake_sink_request(conn);
        break;
    case FAKE_CONTROL:
    case FAKE_ROLES:
        fake_control_request(conn);
        break;
    }
}

static void body_missing(fake_conn *conn) {
    if (!conn->head_seen && fake_request_header(&conn->request, "Expect").n > 0) {
        er_buf_puts(&conn->out, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    conn->head_seen = true;
    if (conn->role == FAKE_SINKS) {
        fake_sink_progress(conn);
    }
}

static void drop_answered(fake_conn *conn) {
    conn->in.len -= conn->pending;
    memmove(conn->in.p, conn->in.p + conn->pending, conn->in.len);
    conn->pending = 0;
}

static void conn_serve(fake_conn *conn) {
    while (!conn->busy && !conn->dead && conn->end == FAKE_END_NONE) {
        if (conn->pending > 0) {
            drop_answered(conn);
        }
        switch (conn->in.len == 0 ? REQUEST_PARTIAL : parse_request(conn)) {
        case REQUEST_PARTIAL:
            return;
        case REQUEST_BODY_MISSING:
            body_missing(conn);
            return;
        case REQUEST_BAD:
            conn->busy = true;
            fake_conn_answer(conn, &(fake_head){.status = 400, .close = true}, (er_str){0});
            return;
        case REQUEST_WHOLE:
            conn->head_seen = false;
            handle(conn);
            break;
        }
    }
}

/* ---- writing ---- */

/* All is sent: what was to happen then. */
static void conn_sent(fake_conn *conn) {
    int unsent = 0;
    er_buf_clear(&conn->out);
    conn->out_at = 0;
    if (conn->end == FAKE_END_FIN) {
        (void)shutdown(conn->fd, SHUT_WR);
        conn_kill(conn, false);
    } else if (conn->end == FAKE_END_RESET) {
        /* RST throws away what the kernel still has. */
        if (ioctl(conn->fd, SIOCOUTQ, &unsent) == 0 && unsent > 0) {
            fake_server_wake(conn->fake, conn->fake->now_ns + MS_NS);
            return;
        }
        conn_kill(conn, true);
    }
}

/* Forgets what was sent, now and then: the rest is moved. */
static void drop_sent(fake_conn *conn) {
    if (conn->out_at >= DROP_BYTES && conn->out_at * 2 >= conn->out.len) {
        conn->out.len -= conn->out_at;
        memmove(conn->out.p, conn->out.p + conn->out_at, conn->out.len);
        conn->out_at = 0;
    }
}

/* Sends what there is; true: the kernel takes no more for now. */
static bool conn_send(fake_conn *conn) {
    for (int i = 0; i < SENDS_A_TURN && conn->out_at < conn->out.len; i++) {
        size_t n = conn->out.len - conn->out_at;
        if (conn->shape.piece > 0) {
            if (conn->piece_at > conn->fake->now_ns) {
                fake_server_wake(conn->fake, conn->piece_at);
                return false;
            }
            n = n < conn->shape.piece ? n : conn->shape.piece;
            conn->piece_at = conn->fake->now_ns + conn->shape.piece_ns;
        }
        ssize_t sent = send(conn->fd, conn->out.p + conn->out_at, n, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                conn_kill(conn, false);
            }
            return true;
        }
        conn->out_at += (size_t)sent;
    }
    if (conn->out_at < conn->out.len) {
        fake_server_wake(conn->fake, conn->fake->now_ns);
    }
    return false;
}

static void conn_flush(fake_conn *conn) {
    if (conn->dead || conn->fake->listeners[conn->role].paused) {
        return;
    }
    bool blocked = conn_send(conn);
    drop_sent(conn);
    if (!conn->dead && conn->out_at == conn->out.len) {
        conn_sent(conn);
    }
    if (conn->dead) {
        return;
    }
    /* While a request is answered, only the peer's leaving is of interest. */
    uint32_t interest =
        EPOLLRDHUP | (conn->busy ? 0 : (uint32_t)EPOLLIN) | (blocked ? (uint32_t)EPOLLOUT : 0);
    if (interest != conn->interest) {
        conn->interest = interest;
        (void)epoll_set(conn->fake, EPOLL_CTL_MOD, conn->fd, interest, (uint64_t)(uintptr_t)conn);
    }
}

/* ---- turns ---- */

static void conn_event(fake_conn *conn, uint32_t events) {
    if (conn->dead) {
        return;
    }
    if (conn->busy || conn->end != FAKE_END_NONE) {
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
            conn_kill(conn, false);
        }
    } else if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        conn_read(conn);
    }
}

static void conns_turn(fake *f) {
    for (fake_conn *conn = f->conns; conn != NULL; conn = conn->next) {
        if (conn->dead || f->listeners[conn->role].paused) {
            continue;
        }
        if (conn->wake_ns <= f->now_ns) {
            conn->wake_ns = FAKE_NEVER;
            conn->on_wake(conn);
        }
        conn_serve(conn);
    }
}

static void conns_flush(fake *f) {
    for (fake_conn *conn = f->conns; conn != NULL; conn = conn->next) {
        conn_flush(conn);
        if (!conn->dead && !f->listeners[conn->role].paused) {
            fake_server_wake(f, conn->wake_ns);
            /* Answered after the input was looked at: there may be another request. A long
             * answer is made piece by piece. */
            if ((!conn->busy && conn->pending > 0) || (conn->more && conn->out.len == 0)) {
                fake_server_wake(f, f->now_ns);
            }
        }
    }
}

static void conns_reap(fake *f) {
    fake_conn **at = &f->conns;
    while (*at != NULL) {
        fake_conn *conn = *at;
        if (!conn->dead) {
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        er_buf_fini(&conn->in);
        er_buf_fini(&conn->out);
        free(conn);
    }
}

static void dispatch(fake *f, const struct epoll_event *event) {
    uint64_t tag = event->data.u64;
    if (tag < FAKE_ROLES) {
        conn_accept(f, (fake_role)tag);
    } else if (tag == TAG_STDIN) {
        char bytes[256];
        if (read(STDIN_FILENO, bytes, sizeof bytes) <= 0) {
            *f->ending = 1;
        }
    } else {
        conn_event((fake_conn *)(uintptr_t)tag, event->events);
    }
}

static void turn(fake *f, const sigset_t *mask) {
    struct epoll_event events[EVENTS_MAX];
    int64_t left = f->wake_ns == FAKE_NEVER ? -1 : f->wake_ns - er_mono_ns();
    int timeout = f->wake_ns == FAKE_NEVER          ? -1
                  : left <= 0                       ? 0
                  : left > 3600000 * (int64_t)MS_NS ? 3600000
                                                    : (int)((left + MS_NS - 1) / MS_NS);
    int n = epoll_pwait(f->epoll, events, EVENTS_MAX, timeout, mask);
    f->now_ns = er_mono_ns();
    f->wake_ns = FAKE_NEVER;
    for (int i = 0; i < n; i++) {
        dispatch(f, &events[i]);
    }
    conns_turn(f);
    fake_runs_turn(f);
    fake_watches_turn(f);
    conns_flush(f);
    fake_control_turn(f); /* last: what it waits for may have come about by sending */
    conns_reap(f);
}

er_status fake_server_run(fake *f, bool until_stdin_closes, er_err *err) {
    sigset_t blocked;
    sigset_t mask;
    /* Signals arrive only while we wait, so that none is overlooked between look and wait. */
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    (void)sigaddset(&blocked, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &blocked, &mask);
    if (until_stdin_closes && !epoll_set(f, EPOLL_CTL_ADD, STDIN_FILENO, EPOLLIN, TAG_STDIN)) {
        return er_err_set(err, ER_E_IO, "--until-stdin-closes needs a pipe or a terminal on stdin");
    }
    f->wake_ns = 0;
    while (*f->ending == 0) {
        turn(f, &mask);
    }
    return ER_OK;
}

void fake_server_close(fake *f) {
    for (fake_conn *conn = f->conns; conn != NULL; conn = conn->next) {
        conn_kill(conn, false);
    }
    conns_reap(f);
    for (int role = 0; role < FAKE_ROLES; role++) {
        if (f->listeners[role].fd >= 0) {
            (void)close(f->listeners[role].fd);
        }
        (void)close(f->listeners[role].holder);
    }
    (void)close(f->epoll);
}
