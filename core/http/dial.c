/* A plain TCP connection made by libcurl: its name look-up does not block, can be given up, and
 * goes through all addresses of a name. */
#include "http/http_priv.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define POLL_MAX_MS 1000

typedef struct dialing {
    const er_http_dial *to;
    CURLM *multi;
    CURL *easy;
    char detail[CURL_ERROR_SIZE];
    char peer[300]; /* "host:port", for errors */
} dialing;

static void put_options(dialing *d) {
    char url[320];
    (void)snprintf(url, sizeof url, "http://%s/", d->peer);
    (void)curl_easy_setopt(d->easy, CURLOPT_URL, url);
    (void)curl_easy_setopt(d->easy, CURLOPT_CONNECT_ONLY, 1L);
    (void)curl_easy_setopt(d->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(d->easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(d->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(d->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)d->to->timeout_ms);
    (void)curl_easy_setopt(d->easy, CURLOPT_ERRORBUFFER, d->detail);
}

/* False when it is over, with the code of the end. */
static bool perform(dialing *d, CURLcode *code) {
    int running = 0;
    if (curl_multi_perform(d->multi, &running) != CURLM_OK) {
        *code = CURLE_OUT_OF_MEMORY;
        return false;
    }
    int left = 0;
    const CURLMsg *msg = curl_multi_info_read(d->multi, &left);
    if (msg != NULL && msg->msg == CURLMSG_DONE) {
        *code = msg->data.result;
        return false;
    }
    return true;
}

static er_status wait_for_end(dialing *d, CURLcode *code, er_err *err) {
    const er_http_dial *to = d->to;
    struct curl_waitfd extra = {.events = CURL_WAIT_POLLIN};
    if (to->cancel != NULL) {
        extra.fd = to->cancel->fd;
    }
    while (perform(d, code)) {
        er_heart_beat(to->heart);
        if (to->cancel != NULL && er_cancel_is_set(to->cancel)) {
            return er_err_set(err, ER_E_CANCELLED, "cancelled");
        }
        (void)curl_multi_poll(d->multi, &extra, to->cancel == NULL ? 0 : 1, POLL_MAX_MS, NULL);
    }
    return ER_OK;
}

/* The operating system's reason in lower case, or libcurl's own words. */
static void reason_of(const dialing *d, CURLcode code, char *out, size_t size) {
    long number = 0;
    char text[128];
    (void)curl_easy_getinfo(d->easy, CURLINFO_OS_ERRNO, &number);
    const char *reason = d->detail[0] != '\0' ? d->detail : curl_easy_strerror(code);
    if (number > 0) {
        reason = er_errno_text((int)number, text, sizeof text);
    }
    (void)snprintf(out, size, "%.200s", reason);
    if (number > 0 && out[0] >= 'A' && out[0] <= 'Z') {
        out[0] = (char)(out[0] - 'A' + 'a');
    }
}

static er_status failure(const dialing *d, CURLcode code, er_err *err) {
    char reason[256];
    reason_of(d, code, reason, sizeof reason);
    if (code == CURLE_OUT_OF_MEMORY) {
        return er_err_set(err, ER_E_NOMEM, "out of memory");
    }
    if (code == CURLE_OPERATION_TIMEDOUT) {
        return er_err_set(err, ER_E_TIMEOUT, "cannot connect to %s within %lld ms", d->peer,
                          (long long)d->to->timeout_ms);
    }
    bool is_lost = code == CURLE_COULDNT_RESOLVE_HOST;
    return er_err_set(err, ER_E_UNAVAILABLE,
                      is_lost ? "cannot find the address of %s: %s" : "cannot connect to %s: %s",
                      d->peer, reason);
}

/* libcurl closes its own descriptor with the handle. */
static er_status take_socket(const dialing *d, int *fd, er_err *err) {
    curl_socket_t s = CURL_SOCKET_BAD;
    (void)curl_easy_getinfo(d->easy, CURLINFO_ACTIVESOCKET, &s);
    *fd = s == CURL_SOCKET_BAD ? -1 : fcntl(s, F_DUPFD_CLOEXEC, 0);
    if (*fd < 0) {
        return er_err_set(err, ER_E_UNAVAILABLE, "no descriptor for the connection to %s", d->peer);
    }
    (void)fcntl(*fd, F_SETFL, fcntl(*fd, F_GETFL) | O_NONBLOCK);
    return ER_OK;
}

static er_status run(dialing *d, int *fd, er_err *err) {
    if (d->multi == NULL || d->easy == NULL) {
        return er_err_set(err, ER_E_NOMEM, "libcurl cannot be set up: out of memory");
    }
    put_options(d);
    if (curl_multi_add_handle(d->multi, d->easy) != CURLM_OK) {
        return er_err_set(err, ER_E_NOMEM, "libcurl cannot begin: out of memory");
    }
    CURLcode code = CURLE_OK;
    er_status status = wait_for_end(d, &code, err);
    if (status == ER_OK) {
        status = code == CURLE_OK ? take_socket(d, fd, err) : failure(d, code, err);
    }
    (void)curl_multi_remove_handle(d->multi, d->easy);
    return status;
}

er_status er_http_dial_tcp(const er_http_dial *to, int *fd, er_err *err) {
    *fd = -1;
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return er_err_set(err, ER_E_NOMEM, "libcurl cannot be set up");
    }
    dialing d = {.to = to, .multi = curl_multi_init(), .easy = curl_easy_init()};
    bool is_v6 = strchr(to->host, ':') != NULL;
    (void)snprintf(d.peer, sizeof d.peer, is_v6 ? "[%.253s]:%u" : "%.253s:%u", to->host, to->port);
    er_status status = run(&d, fd, err);
    curl_easy_cleanup(d.easy);
    (void)curl_multi_cleanup(d.multi);
    curl_global_cleanup();
    return status;
}
