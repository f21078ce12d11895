#include "admin/admin.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 16
#define TIMEOUT_S       10
#define REQUEST_MAX     (16 * 1024) /* memory of one connection: request line and headers */
#define HEART_STALE_MS  60000
#define METRICS_MAX     (64u << 20)
#define TEXT_PLAIN      "text/plain; charset=utf-8"
#define TEXT_METRICS    "text/plain; version=0.0.4; charset=utf-8"

struct er_admin {
    struct MHD_Daemon *daemon;
    er_metrics *metrics;
    er_hearts *hearts;
    const er_ready_check *checks;
    size_t checks_n;
    int port;
};

/* ---- the address ---- */

static bool is_port_too_large(const char *listen) {
    const char *colon = strrchr(listen, ':');
    const char *port = colon == NULL ? "" : colon + 1;
    uint64_t number;
    return port[0] != '\0' && strspn(port, "0123456789") == strlen(port) &&
           (!er_parse_u64(er_str_of(port), &number) || number > 65535);
}

/* Splits "HOST:PORT", "[HOST]:PORT", ":PORT"; host "" means all addresses. */
static bool split_listen(const char *listen, char host[64], char port[8]) {
    const char *colon = strrchr(listen, ':');
    if (colon == NULL) {
        return false;
    }
    er_str h = {listen, (size_t)(colon - listen)};
    if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']') {
        h = (er_str){h.p + 1, h.n - 2};
    } else if (h.n > 0 && memchr(h.p, ':', h.n) != NULL) {
        return false; /* an IPv6 address without brackets */
    }
    uint64_t number;
    if (h.n >= 64 || !er_parse_u64(er_str_of(colon + 1), &number) || number > 65535) {
        return false;
    }
    (void)snprintf(host, 64, "%.*s", (int)h.n, h.p);
    (void)snprintf(port, 8, "%llu", (unsigned long long)number);
    return true;
}

/* Numeric addresses only, so that nothing waits for a name server. */
static er_status resolve(const char *listen, struct addrinfo **out, er_err *err) {
    char host[64];
    char port[8];
    if (split_listen(listen, host, port)) {
        const char *node = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
        struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
                                 .ai_socktype = SOCK_STREAM};
        if (getaddrinfo(node[0] == '\0' ? NULL : node, port, &hints, out) == 0) {
            return ER_OK;
        }
    }
    if (is_port_too_large(listen)) {
        return er_err_set(err, ER_E_CONFIG, "the port of \"%s\" must be between 0 and 65535",
                          listen);
    }
    return er_err_set(err, ER_E_CONFIG,
                      "\"%s\" is not an address and a port, such as 0.0.0.0:8080 or [::1]:8080",
                      listen);
}

static er_status check_listen(const char *text, er_err *err) {
    if (text[0] == '\0') {
        return ER_OK;
    }
    struct addrinfo *found = NULL;
    er_status status = resolve(text, &found, err);
    if (status == ER_OK) {
        freeaddrinfo(found);
    }
    return status;
}

const er_field er_admin_rows[] = {
    {.key = "listen",
     .type = ER_FIELD_STRING,
     .def = "0.0.0.0:8080",
     .max = 80,
     .offset = offsetof(er_admin_settings, listen),
     .check = check_listen,
     .help = "Address and port of /metrics, /livez and /readyz; \"\" for no server."},
    {.key = NULL},
};

static er_status open_socket(const char *listen_at, int *out, er_err *err) {
    struct addrinfo *at = NULL;
    er_status status = resolve(listen_at, &at, err);
    if (at == NULL) {
        return status;
    }
    int one = 1;
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool is_open = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
                   bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0;
    int errnum = errno;
    freeaddrinfo(at);
    if (is_open) {
        *out = fd;
        return ER_OK;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    char text[128];
    return er_err_set(err, errnum == EADDRNOTAVAIL ? ER_E_CONFIG : ER_E_IO,
                      "cannot listen on %s: %s; check admin.listen", listen_at,
                      er_errno_text(errnum, text, sizeof text));
}

static int bound_port(int fd) {
    struct sockaddr_storage at = {0};
    socklen_t n = sizeof at;
    char text[8];
    uint64_t port = 0;
    if (getsockname(fd, (struct sockaddr *)&at, &n) != 0 ||
        getnameinfo((const struct sockaddr *)&at, n, NULL, 0, text, sizeof text, NI_NUMERICSERV) !=
            0 ||
        !er_parse_u64(er_str_of(text), &port)) {
        return 0;
    }
    return (int)port;
}

/* ---- answers ---- */

typedef struct answer {
    unsigned status;
    const char *type;
    const char *allow; /* the Allow header, or NULL */
    er_buf body;
} answer;

static void put_check(er_buf *out, bool passed, const char *kind, const char *name, er_str text) {
    er_buf_putf(out, "[%c]%s%s: ", passed ? '+' : '-', kind, name);
    er_buf_put_str(out, text.n > 0 ? text : er_str_of(passed ? "ok" : "failed"));
    er_buf_putc(out, '\n');
}

/* Without ?verbose a passing probe is "ok"; a failing one always says which check it was. */
static void finish_probe(answer *a, bool passed, bool verbose, const char *name) {
    a->status = passed ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    if (passed && !verbose) {
        er_buf_clear(&a->body);
        er_buf_puts(&a->body, "ok");
    } else {
        er_buf_putf(&a->body, "%s check %s\n", name, passed ? "passed" : "failed");
    }
}

static void livez(const er_admin *admin, bool verbose, answer *a) {
    bool passed = true;
    int64_t now = er_mono_ms();
    size_t n = atomic_load(&admin->hearts->n);
    for (size_t i = 0; i < n && i < ER_HEARTS_MAX; i++) {
        const er_heart *heart = &admin->hearts->v[i];
        int64_t last = atomic_load(&heart->last_ms);
        if (last == 0) {
            continue; /* the thread is over, as it should be */
        }
        int64_t age_ms = now > last ? now - last : 0;
        char text[64];
        (void)snprintf(text, sizeof text, "last beat %lld s ago", (long long)(age_ms / 1000));
        put_check(&a->body, age_ms <= HEART_STALE_MS, "thread ", heart->name, er_str_of(text));
        passed = passed && age_ms <= HEART_STALE_MS;
    }
    finish_probe(a, passed, verbose, "livez");
}

static void readyz(const er_admin *admin, bool verbose, answer *a) {
    bool passed = true;
    er_buf text;
    er_buf_init(&text, 1024);
    for (size_t i = 0; i < admin->checks_n; i++) {
        const er_ready_check *check = &admin->checks[i];
        er_buf_clear(&text);
        bool this_passed = check->check(check->arg, &text);
        put_check(&a->body, this_passed, "", check->name, er_buf_str(&text));
        passed = passed && this_passed;
    }
    er_buf_fini(&text);
    finish_probe(a, passed, verbose, "readyz");
}

static void route(const er_admin *admin, const char *method, const char *url, bool verbose,
                  answer *a) {
    bool is_livez = strcmp(url, "/livez") == 0 || strcmp(url, "/healthz") == 0;
    bool is_metrics = strcmp(url, "/metrics") == 0;
    bool is_readyz = strcmp(url, "/readyz") == 0;
    if (!is_livez && !is_metrics && !is_readyz) {
        a->status = MHD_HTTP_NOT_FOUND;
        er_buf_puts(&a->body, "not found; there are /metrics, /livez and /readyz\n");
    } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        a->status = MHD_HTTP_METHOD_NOT_ALLOWED;
        a->allow = "GET, HEAD";
        er_buf_puts(&a->body, "only GET and HEAD\n");
    } else if (is_livez) {
        livez(admin, verbose, a);
    } else if (is_readyz) {
        readyz(admin, verbose, a);
    } else {
        a->type = TEXT_METRICS;
        er_metrics_render(admin->metrics, &a->body);
    }
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, answer *a) {
    if (er_buf_status(&a->body) != ER_OK) { /* never half of the metrics */
        a->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
        a->type = TEXT_PLAIN;
        er_buf_clear(&a->body);
        er_buf_puts(&a->body, "the answer is too large\n");
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(a->body.len, a->body.p, MHD_RESPMEM_MUST_COPY);
    if (response == NULL) {
        return MHD_NO;
    }
    enum MHD_Result ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
    if (ok == MHD_YES) {
        ok = MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    }
    if (ok == MHD_YES && a->allow != NULL) {
        ok = MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, a->allow);
    }
    if (ok == MHD_YES) {
        ok = MHD_queue_response(connection, a->status, response);
    }
    MHD_destroy_response(response);
    return ok;
}

/* Called once when the headers are in, then for each piece of a body, then for the end. Only GET
 * and HEAD wait for the end: what else comes is refused before its body is read. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_n, void **request) {
    const er_admin *admin = arg;
    (void)version;
    (void)upload;
    bool is_read = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    if (is_read && *request == NULL) {
        *request = arg; /* any mark will do */
        return MHD_YES;
    }
    if (is_read && *upload_n > 0) { /* a body where none belongs */
        *upload_n = 0;
        return MHD_NO;
    }
    const char *value = NULL;
    size_t value_n = 0;
    bool verbose = MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, "verbose", 7,
                                                 &value, &value_n) == MHD_YES;
    answer a = {.status = MHD_HTTP_OK, .type = TEXT_PLAIN};
    er_buf_init(&a.body, METRICS_MAX);
    route(admin, method, url, verbose, &a);
    enum MHD_Result result = send_answer(connection, &a);
    er_buf_fini(&a.body);
    return result;
}

/* ---- life ---- */

/* The server's thread inherits our signal mask: all signals are main's. */
static struct MHD_Daemon *start_daemon(er_admin *admin, int fd) {
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    /* poll: with epoll 0.9.75 takes one connection a second once it was at its limit. */
    struct MHD_Daemon *started = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, admin, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)REQUEST_MAX,
        MHD_OPTION_END);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

er_status er_admin_start(const er_admin_settings *settings, er_metrics *metrics, er_hearts *hearts,
                         const er_ready_check *checks, size_t checks_n, er_admin **out,
                         er_err *err) {
    *out = NULL;
    if (settings->listen[0] == '\0') {
        return ER_OK;
    }
    int fd = -1;
    er_status status = open_socket(settings->listen, &fd, err);
    if (status != ER_OK) {
        return status;
    }
    er_admin *admin = er_xcalloc(1, sizeof *admin);
    admin->metrics = metrics;
    admin->hearts = hearts;
    admin->checks = checks;
    admin->checks_n = checks_n;
    admin->port = bound_port(fd);
    admin->daemon = start_daemon(admin, fd);
    if (admin->daemon == NULL) {
        (void)close(fd);
        free(admin);
        return er_err_set(err, ER_E_IO, "cannot start the server on %s; check admin.listen",
                          settings->listen);
    }
    *out = admin;
    return ER_OK;
}

void er_admin_stop(er_admin *admin) {
    if (admin == NULL) {
        return;
    }
    MHD_stop_daemon(admin->daemon); /* closes the socket */
    free(admin);
}

int er_admin_port(const er_admin *admin) {
    return admin == NULL ? 0 : admin->port;
}
