#include "sinks/redis_connect.h"

#include "base/secret.h"
#include "sinks/redis_command.h"
#include "sinks/redis_judge.h"
#include "sinks/redis_tls.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT_DEFAULT 6379
#define HOST_MAX     253
#define PATH_MAX_    (sizeof((struct sockaddr_un *)0)->sun_path - 1)
#define BEAT_MS      1000

struct er_redis_conn {
    er_redis_options o;
    char host[HOST_MAX + 1]; /* "": a Unix socket */
    const char *path;        /* of the Unix socket */
    unsigned port;
    char peer[300];
    er_secret *password; /* NULL: none */
    redisContext *c;     /* NULL: not connected */
    er_deadline until;   /* of what is being waited for, and how long that was */
    int64_t limit_ms;
    bool unsent;       /* there is something to write */
    bool write_failed; /* the peer may still have said why */
    bool has_answered;
    char broke[160]; /* what the failed write said */
};

/* ---- the address ---- */

static er_status wrong_address(er_err *err) {
    return er_err_set(err, ER_E_CONFIG,
                      "an address is host:port, such as redis.example:6379 or [::1]:6379, or "
                      "unix:/path/of/a/socket");
}

static er_status wrong_port(er_err *err) {
    return er_err_set(err, ER_E_CONFIG, "the port must be between 1 and 65535");
}

static bool is_host(er_str host, bool is_v6) {
    const char *more = is_v6 ? ":." : "._-";
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!usual && (c == '\0' || strchr(more, c) == NULL)) {
            return false;
        }
    }
    return host.n > 0 && host.n <= HOST_MAX;
}

/* Errors: it is not host, host:port or [IPv6]:port. */
static er_status split_host(const char *address, er_str *host, unsigned *port, er_err *err) {
    bool is_v6 = address[0] == '[';
    const char *end = is_v6 ? strchr(address, ']') : address + strcspn(address, ":");
    if (end == NULL) {
        return wrong_address(err);
    }
    const char *start = address + (is_v6 ? 1 : 0);
    *host = (er_str){start, (size_t)(end - start)};
    const char *rest = is_v6 ? end + 1 : end;
    uint64_t number = PORT_DEFAULT;
    if (!is_host(*host, is_v6) || (rest[0] != ':' && rest[0] != '\0') ||
        (rest[0] == ':' && strspn(rest + 1, "0123456789") != strlen(rest + 1))) {
        return wrong_address(err);
    }
    if (rest[0] == ':' && !er_parse_u64(er_str_of(rest + 1), &number)) {
        return rest[1] == '\0' ? wrong_address(err) : wrong_port(err);
    }
    *port = (unsigned)number;
    return number >= 1 && number <= 65535 ? ER_OK : wrong_port(err);
}

er_status er_redis_address_check(const char *address, er_err *err) {
    er_str host;
    unsigned port;
    if (strncmp(address, "unix:", 5) == 0) {
        size_t n = strlen(address + 5);
        return address[5] == '/' && n <= PATH_MAX_
                   ? ER_OK
                   : er_err_set(err, ER_E_CONFIG,
                                "a Unix socket is unix: and an absolute path of at most %zu bytes",
                                PATH_MAX_);
    }
    return split_host(address, &host, &port, err);
}

/* ---- life ---- */

static er_status read_files(er_redis_conn *conn, er_err *err) {
    const er_redis_options *o = &conn->o;
    char what[256];
    if (o->tls != NULL && !o->is_preview) {
        er_status status = er_redis_tls_try(o->tls, err);
        if (status != ER_OK) {
            er_err_prefix(err, "%s", o->what);
            return status;
        }
    }
    if (o->password->kind == ER_SECRET_UNSET) {
        return ER_OK;
    }
    (void)snprintf(what, sizeof what, "%s.password", o->what);
    return er_secret_new(o->password, what, &conn->password, err);
}

er_status er_redis_conn_new(const er_redis_options *options, er_redis_conn **out, er_err *err) {
    er_redis_conn *conn = er_xcalloc(1, sizeof *conn);
    conn->o = *options;
    const char *address = options->address;
    er_str host = {"", 0};
    if (strncmp(address, "unix:", 5) == 0) {
        conn->path = address + 5;
        (void)snprintf(conn->peer, sizeof conn->peer, "%s", address);
    } else if (split_host(address, &host, &conn->port, NULL) == ER_OK) {
        memcpy(conn->host, host.p, host.n);
        bool is_v6 = strchr(conn->host, ':') != NULL;
        (void)snprintf(conn->peer, sizeof conn->peer, is_v6 ? "[%s]:%u" : "%s:%u", conn->host,
                       conn->port);
    }
    er_status status = read_files(conn, err);
    if (status != ER_OK) {
        er_redis_conn_free(conn);
        return status;
    }
    *out = conn;
    return ER_OK;
}

void er_redis_conn_close(er_redis_conn *conn) {
    if (conn->c != NULL) {
        redisFree(conn->c);
        conn->c = NULL;
    }
    conn->unsent = false;
    conn->write_failed = false;
    conn->has_answered = false;
}

void er_redis_conn_free(er_redis_conn *conn) {
    if (conn != NULL) {
        er_redis_conn_close(conn);
        er_secret_free(conn->password);
        free(conn);
    }
}

const char *er_redis_conn_peer(const er_redis_conn *conn) {
    return conn->peer;
}

/* ---- waiting ---- */

static void set_limit(er_redis_conn *conn, int64_t ms) {
    conn->limit_ms = ms;
    conn->until = er_deadline_in(ms);
}

static er_status wait_for(void *arg, short events, er_err *err) {
    er_redis_conn *conn = arg;
    ER_ASSERT(conn->c != NULL);
    struct pollfd fds[2] = {{.fd = conn->c->fd, .events = events},
                            {.fd = conn->o.cancel->fd, .events = POLLIN}};
    for (;;) {
        er_heart_beat(conn->o.heart);
        if (er_cancel_is_set(conn->o.cancel)) {
            return er_err_set(err, ER_E_CANCELLED, "cancelled");
        }
        int64_t left = er_deadline_left_ms(conn->until);
        if (left == 0) {
            return er_err_set(err, ER_E_TIMEOUT, "%s did not answer within %" PRId64 " ms",
                              conn->peer, conn->limit_ms);
        }
        if (poll(fds, 2, left > BEAT_MS ? BEAT_MS : (int)left) > 0 && fds[0].revents != 0) {
            return ER_OK;
        }
    }
}

/* ---- bytes ---- */

static er_status broken(er_redis_conn *conn, er_err *err) {
    const redisContext *c = conn->c;
    ER_ASSERT(c != NULL);
    const char *tls = conn->o.tls == NULL ? NULL : er_redis_tls_reason();
    const char *why = conn->write_failed ? conn->broke : tls != NULL ? tls : c->errstr;
    bool may_want_tls = !conn->has_answered && conn->o.tls == NULL && conn->path == NULL;
    const char *hint = may_want_tls ? " before the first answer; a port with TLS wants tls" : "";
    if (c->err == REDIS_ERR_EOF && !conn->write_failed && tls == NULL) {
        return er_err_set(err, ER_E_UNAVAILABLE, "%s closed the connection%s", conn->peer, hint);
    }
    return er_err_set(err, ER_E_UNAVAILABLE, "the connection to %s broke%s: %s", conn->peer, hint,
                      why);
}

/* A failed write is not the end: what the peer said before it closed may still be there to read. */
static void write_some(er_redis_conn *conn) {
    redisContext *c = conn->c;
    ER_ASSERT(c != NULL);
    int done = 0;
    if (redisBufferWrite(c, &done) == REDIS_OK) {
        conn->unsent = done == 0;
        return;
    }
    (void)snprintf(conn->broke, sizeof conn->broke, "%s", c->errstr);
    c->err = 0;
    c->errstr[0] = '\0';
    conn->write_failed = true;
    conn->unsent = false;
}

/* What the replies of one run are told to. */
typedef struct replies {
    size_t want, got;
    er_redis_on_reply on_reply;
    void *arg;
} reply_list;

static er_status take_replies(er_redis_conn *conn, reply_list *list, er_err *err) {
    while (list->got < list->want) {
        er_redis_reply reply;
        bool got;
        er_status status = er_redis_reply_next(conn->c->reader, &reply, &got, err);
        if (status != ER_OK) {
            er_err_prefix(err, "%s", conn->peer);
            return ER_E_UNAVAILABLE;
        }
        if (!got) {
            break;
        }
        conn->has_answered = true;
        list->on_reply(list->arg, list->got++, &reply);
        er_redis_reply_fini(&reply);
    }
    return ER_OK;
}

/* All that is there: TLS may hold more than the socket tells of. */
static er_status read_some(er_redis_conn *conn, reply_list *list, er_err *err) {
    const redisReader *reader = conn->c->reader;
    for (bool more = true; more && list->got < list->want;) {
        size_t before = reader->len - reader->pos;
        if (redisBufferRead(conn->c) != REDIS_OK) {
            return broken(conn, err);
        }
        more = reader->len - reader->pos > before;
        er_status status = take_replies(conn, list, err);
        if (status != ER_OK) {
            return status;
        }
    }
    return ER_OK;
}

er_status er_redis_conn_put(er_redis_conn *conn, er_str command, er_err *err) {
    if (redisAppendFormattedCommand(conn->c, command.p, command.n) != REDIS_OK) {
        er_redis_conn_close(conn);
        return er_err_set(err, ER_E_NOMEM, "no memory for what is to be sent");
    }
    conn->unsent = true;
    return ER_OK;
}

static er_status exchange(er_redis_conn *conn, reply_list *list, er_err *err) {
    er_status status = ER_OK;
    while (status == ER_OK && list->got < list->want) {
        if (conn->unsent) {
            write_some(conn);
        }
        status = wait_for(conn, (short)(conn->unsent ? POLLIN | POLLOUT : POLLIN), err);
        status = status == ER_OK ? read_some(conn, list, err) : status;
    }
    return status;
}

er_status er_redis_conn_run(er_redis_conn *conn, size_t n, int64_t timeout_ms,
                            er_redis_on_reply on_reply, void *arg, er_err *err) {
    reply_list list = {.want = n, .on_reply = on_reply, .arg = arg};
    set_limit(conn, timeout_ms);
    er_status status = exchange(conn, &list, err);
    if (status != ER_OK) {
        er_redis_conn_close(conn);
    }
    return status;
}

/* ---- connecting ---- */

static er_status connect_unix(er_redis_conn *conn, int *fd, er_err *err) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    (void)snprintf(to.sun_path, sizeof to.sun_path, "%s", conn->path);
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && connect(*fd, (const struct sockaddr *)&to, sizeof to) == 0) {
        return ER_OK;
    }
    char text[128];
    const char *why = er_errno_text(errno, text, sizeof text);
    if (*fd >= 0) {
        (void)close(*fd);
    }
    return er_err_set(err, ER_E_UNAVAILABLE, "cannot connect to %s: %s", conn->peer, why);
}

static er_status connect_socket(er_redis_conn *conn, er_err *err) {
    int fd = -1;
    er_http_dial to = {.host = conn->host,
                       .port = conn->port,
                       .timeout_ms = conn->limit_ms,
                       .cancel = conn->o.cancel,
                       .heart = conn->o.heart};
    er_status status =
        conn->path != NULL ? connect_unix(conn, &fd, err) : er_http_dial_tcp(&to, &fd, err);
    if (status != ER_OK) {
        return status;
    }
    conn->c = redisConnectFd(fd);
    if (conn->c == NULL || conn->c->err != 0) {
        (void)close(fd);
        return er_err_set(err, ER_E_NOMEM, "no memory for a connection");
    }
    conn->c->flags &= ~REDIS_BLOCK; /* as hiredis's own non-blocking calls do */
    return ER_OK;
}

/* The first commands, and what was wrong with one of them. */
typedef struct greeting {
    const er_redis_conn *conn;
    const char *names[3];
    size_t n;
    er_status status;
    er_err *err;
} greeting;

static void on_greeting(void *arg, size_t i, const er_redis_reply *reply) {
    greeting *g = arg;
    bool is_setname = i == g->n - 1;
    if (reply->kind != ER_REDIS_ERROR || g->status != ER_OK) {
        return;
    }
    const er_redis_rule *rule = er_redis_judge(reply->text);
    bool is_refused = rule->state == ER_E_DENIED &&
                      (er_str_starts(reply->text, "ERR ") || er_str_starts(reply->text, "NOPERM "));
    if (is_setname && is_refused) {
        return; /* a name is only for CLIENT LIST */
    }
    er_buf text;
    er_buf_init(&text, 1024);
    er_redis_put_reply(reply->text, rule, &text);
    g->status = rule->state == ER_E_UNAVAILABLE ? ER_E_UNAVAILABLE : ER_E_DENIED;
    (void)er_err_set(g->err, g->status, "%s: %s: %s", g->conn->peer, g->names[i],
                     er_buf_cstr(&text));
    er_buf_fini(&text);
}

static er_status put_words(er_redis_conn *conn, const er_str *argv, size_t n, er_err *err) {
    er_buf command;
    er_buf_init(&command, ER_SECRET_MAX + 4096);
    er_redis_command_put(argv, n, &command);
    er_status status = er_redis_conn_put(conn, er_buf_str(&command), err);
    er_buf_wipe(&command); /* the password */
    er_buf_fini(&command);
    return status;
}

static er_status put_greeting(er_redis_conn *conn, greeting *g, er_err *err) {
    er_status status = ER_OK;
    if (conn->password != NULL) {
        er_secret_expire(conn->password); /* it may be the reason why we are here again */
        er_str password = er_secret_get(conn->password);
        const er_str both[] = {ER_STR("AUTH"), er_str_of(conn->o.username), password};
        const er_str one[] = {ER_STR("AUTH"), password};
        bool has_user = conn->o.username[0] != '\0';
        g->names[g->n++] = "AUTH";
        status = put_words(conn, has_user ? both : one, has_user ? 3 : 2, err);
    }
    if (conn->o.db > 0 && status == ER_OK) {
        char db[24];
        (void)snprintf(db, sizeof db, "%" PRId64, conn->o.db);
        const er_str select[] = {ER_STR("SELECT"), er_str_of(db)};
        g->names[g->n++] = "SELECT";
        status = put_words(conn, select, 2, err);
    }
    if (status == ER_OK) {
        const er_str name[] = {ER_STR("CLIENT"), ER_STR("SETNAME"), er_str_of(conn->o.client_name)};
        g->names[g->n++] = "CLIENT SETNAME";
        status = put_words(conn, name, 3, err);
    }
    return status;
}

static er_status greet(er_redis_conn *conn, er_err *err) {
    er_err refused = {0};
    greeting g = {.conn = conn, .err = &refused};
    er_status status = put_greeting(conn, &g, err);
    if (status != ER_OK) {
        return status;
    }
    reply_list list = {.want = g.n, .on_reply = on_greeting, .arg = &g};
    status = exchange(conn, &list, err);
    if (g.status != ER_OK && status != ER_E_CANCELLED) { /* also of one that then closed */
        return er_err_set(err, g.status, "%s", refused.msg);
    }
    return status;
}

static bool is_alive(er_redis_conn *conn) {
    const redisReader *reader = conn->c->reader;
    size_t before = reader->len - reader->pos;
    return before == 0 && redisBufferRead(conn->c) == REDIS_OK && reader->len == reader->pos;
}

er_status er_redis_conn_open(er_redis_conn *conn, er_err *err) {
    if (conn->c != NULL && is_alive(conn)) {
        return ER_OK;
    }
    er_redis_conn_close(conn);
    set_limit(conn, conn->o.connect_ms);
    er_status status = connect_socket(conn, err);
    if (status == ER_OK && conn->o.tls != NULL) {
        status = er_redis_tls_start(conn->c, conn->o.tls, conn->host, wait_for, conn, err);
        if (status == ER_E_UNAVAILABLE) {
            er_err_prefix(err, "%s", conn->peer);
        }
    }
    status = status == ER_OK ? greet(conn, err) : status;
    if (status != ER_OK) {
        er_redis_conn_close(conn);
    }
    return status;
}
