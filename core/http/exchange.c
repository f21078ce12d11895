/* One exchange: callbacks, limits, waiting. */
#include "http/http_priv.h"

#include <string.h>

/* So that the heart beats often enough, and a stream that waits knows that it is complete up to the
 * last second. */
#define POLL_MAX_MS       1000
#define HEADERS_MAX_BYTES (64u * 1024u)

/* ---- callbacks: ending the transfer from inside ---- */

static size_t stop(er_http_exchange *x, er_status status) {
    x->stop = status;
    x->has_stopped = true;
    return CURL_WRITEFUNC_ERROR;
}

static bool is_success(const er_http_response *res) {
    return res->status >= 200 && res->status < 300;
}

static bool header_value(er_str line, const char *name, er_str *value) {
    const char *colon = line.n == 0 ? NULL : memchr(line.p, ':', line.n);
    if (colon == NULL) {
        return false;
    }
    er_str key = {line.p, (size_t)(colon - line.p)};
    *value = er_str_trim((er_str){colon + 1, line.n - key.n - 1});
    return er_str_ieqc(key, name);
}

static void take_header(er_http_response *res, er_str line) {
    er_str value;
    if (header_value(line, "Retry-After", &value)) {
        res->retry_after_ms = er_http_retry_after(value, er_time_now());
    } else if (header_value(line, "Content-Type", &value)) {
        size_t n = value.n < sizeof res->content_type ? value.n : sizeof res->content_type - 1;
        memcpy(res->content_type, value.p, n);
        res->content_type[n] = '\0';
    }
}

/* The blank line behind the headers of one answer; 1xx is followed by another. */
static er_status headers_end(er_http_exchange *x) {
    long status = 0;
    (void)curl_easy_getinfo(x->client->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status < 200) {
        return ER_OK;
    }
    x->res->status = status;
    x->head_done = true;
    bool tell = x->handler != NULL && x->handler->head != NULL;
    return tell ? x->handler->head(x->handler->arg, x->res) : ER_OK;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static size_t on_header(char *p, size_t size, size_t n, void *arg) {
    er_http_exchange *x = arg;
    er_str line = {p, size * n};
    x->events++;
    x->header_bytes += line.n;
    if (x->header_bytes > HEADERS_MAX_BYTES) {
        return stop(x, ER_E_LIMIT);
    }
    er_status status = ER_OK;
    if (x->head_done) { /* trailers behind the body: nothing of ours */
    } else if (er_str_starts(line, "HTTP/")) {
        x->res->retry_after_ms = -1;
        x->res->content_type[0] = '\0';
    } else if (er_str_trim(line).n == 0) {
        status = headers_end(x);
    } else {
        take_header(x->res, line);
    }
    x->silent_by = er_deadline_in(x->idle_ms > 0 ? x->idle_ms : INT64_MAX);
    return status == ER_OK ? line.n : stop(x, status);
}

static size_t keep_body(er_http_exchange *x, er_str bytes) {
    er_buf *body = &x->res->body;
    size_t room = body->max - body->len;
    bool over = bytes.n > room;
    er_buf_put(body, bytes.p, over ? room : bytes.n);
    if (er_buf_status(body) != ER_OK) {
        return stop(x, er_buf_status(body));
    }
    if (over) {
        /* A stream keeps bodies only of answers that it cannot use anyway. */
        x->is_cut = x->req->response_cut || x->handler != NULL;
        return stop(x, x->is_cut ? ER_OK : ER_E_LIMIT);
    }
    return bytes.n;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): the type is libcurl's */
static size_t on_body(char *p, size_t size, size_t n, void *arg) {
    er_http_exchange *x = arg;
    er_str bytes = {p, size * n};
    x->events++;
    if (x->handler == NULL || !is_success(x->res)) {
        size_t taken = keep_body(x, bytes);
        x->silent_by = er_deadline_in(x->idle_ms > 0 ? x->idle_ms : INT64_MAX);
        return taken;
    }
    er_status status = x->handler->data(x->handler->arg, bytes);
    /* It may have been held up for long, and that was not the peer's silence. */
    x->silent_by = er_deadline_in(x->idle_ms > 0 ? x->idle_ms : INT64_MAX);
    return status == ER_OK ? bytes.n : stop(x, status);
}

/* ---- limits ---- */

static er_deadline next_deadline(const er_http_exchange *x) {
    er_deadline d = x->whole;
    if (!x->head_done && x->req->header_timeout_ms > 0) {
        return er_deadline_min(d, x->head_by);
    }
    return er_deadline_min(d, x->silent_by);
}

static er_status timeout_error(const er_http_exchange *x, er_err *err) {
    const char *peer = x->target.peer;
    if (er_deadline_passed(x->whole)) {
        return er_err_set(err, ER_E_TIMEOUT, "no complete answer from %s within %lld ms", peer,
                          (long long)x->req->timeout_ms);
    }
    if (!x->head_done && x->req->header_timeout_ms > 0) {
        return er_err_set(err, ER_E_TIMEOUT, "%s did not begin to answer within %lld ms", peer,
                          (long long)x->req->header_timeout_ms);
    }
    return er_err_set(err, ER_E_TIMEOUT, "%s was silent for %lld ms", peer, (long long)x->idle_ms);
}

static er_status check_limits(const er_http_exchange *x, er_err *err) {
    const er_cancel *cancel = x->client->options.cancel;
    if (cancel != NULL && er_cancel_is_set(cancel)) {
        return er_err_set(err, ER_E_CANCELLED, "cancelled");
    }
    return er_deadline_passed(next_deadline(x)) ? timeout_error(x, err) : ER_OK;
}

/* ---- the loop ---- */

/* False when libcurl has finished; its code is then in *code. */
static bool perform(er_http_exchange *x, CURLcode *code) {
    int running = 0;
    CURLMcode multi = curl_multi_perform(x->client->multi, &running);
    if (multi != CURLM_OK) {
        *code = multi == CURLM_OUT_OF_MEMORY ? CURLE_OUT_OF_MEMORY : CURLE_BAD_FUNCTION_ARGUMENT;
        return false;
    }
    int left = 0;
    const CURLMsg *msg = curl_multi_info_read(x->client->multi, &left);
    if (msg != NULL && msg->msg == CURLMSG_DONE) {
        *code = msg->data.result;
        return false;
    }
    return true;
}

/* Waits for the sockets, the cancel token or the next limit. */
static void wait_for_more(er_http_exchange *x) {
    const er_http_options *options = &x->client->options;
    if (x->handler != NULL && x->handler->waiting != NULL && x->head_done && is_success(x->res)) {
        x->handler->waiting(x->handler->arg);
    }
    int64_t left = er_deadline_left_ms(next_deadline(x));
    struct curl_waitfd extra = {.events = CURL_WAIT_POLLIN};
    if (options->cancel != NULL) {
        extra.fd = options->cancel->fd;
    }
    (void)curl_multi_poll(x->client->multi, &extra, options->cancel == NULL ? 0 : 1,
                          left > POLL_MAX_MS ? POLL_MAX_MS : (int)left, NULL);
}

static er_status loop(er_http_exchange *x, CURLcode *code, er_err *err) {
    for (;;) {
        uint64_t before = x->events;
        er_heart_beat(x->client->options.heart);
        if (!perform(x, code)) {
            return ER_OK;
        }
        er_status status = check_limits(x, err);
        if (status != ER_OK) {
            return status;
        }
        /* As long as something came there may be more: only then is it known that we wait. */
        if (x->events == before) {
            wait_for_more(x);
        }
    }
}

/* ---- one attempt, and one more ---- */

static void begin(er_http_exchange *x) {
    er_http_response *res = x->res;
    res->status = 0;
    res->retry_after_ms = -1;
    res->sent = false;
    res->tls_failed = false;
    res->content_type[0] = '\0';
    er_buf_clear(&res->body);
    res->body.max = x->req->response_max;
    x->detail[0] = '\0';
    x->header_bytes = 0;
    x->head_done = false;
    int64_t header_ms = x->req->header_timeout_ms;
    x->head_by = er_deadline_in(header_ms > 0 ? header_ms : INT64_MAX);
    x->silent_by = er_deadline_in(x->idle_ms > 0 ? x->idle_ms : INT64_MAX);
}

static void learn(er_http_exchange *x) {
    long sent = 0;
    long connects = 0;
    CURL *easy = x->client->easy;
    (void)curl_easy_getinfo(easy, CURLINFO_REQUEST_SIZE, &sent);
    (void)curl_easy_getinfo(easy, CURLINFO_NUM_CONNECTS, &connects);
    x->res->sent = sent > 0;
    if (connects > 0 && x->head_done) {
        er_tls_worked(&x->client->tls);
    }
}

static void free_lists(er_http_exchange *x) {
    for (struct curl_slist *line = x->headers; line != NULL; line = line->next) {
        explicit_bzero(line->data, strlen(line->data)); /* Authorization is among them */
    }
    curl_slist_free_all(x->headers);
    curl_slist_free_all(x->connect_to);
    x->headers = NULL;
    x->connect_to = NULL;
}

static er_status attempt(er_http_exchange *x, CURLcode *code, er_err *err) {
    CURL *easy = x->client->easy;
    begin(x);
    *code = CURLE_OK;
    curl_easy_reset(easy);
    er_status status = er_http_exchange_prepare(x, err);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    if (status == ER_OK && curl_multi_add_handle(x->client->multi, easy) != CURLM_OK) {
        status = er_err_set(err, ER_E_NOMEM, "libcurl cannot begin: out of memory");
    } else if (status == ER_OK) {
        status = loop(x, code, err);
        learn(x);
        if (status == ER_OK && *code != CURLE_OK && !x->has_stopped) {
            status = er_http_transport_error(x, *code, err);
            x->res->tls_failed = er_http_tls_failed(x, *code);
        }
        (void)curl_multi_remove_handle(x->client->multi, easy);
    }
    curl_easy_reset(easy); /* nothing of this exchange sticks to it */
    free_lists(x);
    return status;
}

static er_status stopped(const er_http_exchange *x, er_err *err) {
    if (x->stop == ER_E_LIMIT && x->header_bytes > HEADERS_MAX_BYTES) {
        return er_err_set(err, ER_E_LIMIT, "the headers of the answer of %s are over %u bytes",
                          x->target.peer, HEADERS_MAX_BYTES);
    }
    if (x->stop == ER_E_LIMIT && x->handler == NULL) {
        return er_err_set(err, ER_E_LIMIT, "the answer of %s is over %zu bytes", x->target.peer,
                          x->req->response_max);
    }
    return x->stop == ER_OK ? ER_OK : er_err_set(err, x->stop, "the answer was not read on");
}

/* Whether other certificates are there now: those from before the last change, or ones that were
 * written while the attempt was under way. A request that may have reached the peer is the caller's
 * to repeat. */
static bool may_try_again(er_http_exchange *x, CURLcode code) {
    er_tls *tls = &x->client->tls;
    if (code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CACERT_BADFILE) {
        return er_tls_failed(tls);
    }
    return x->res->tls_failed && (!x->res->sent || x->req->body.n == 0) && er_tls_look(tls);
}

er_status er_http_exchange_run(er_http_exchange *x, er_err *err) {
    er_http_client *client = x->client;
    const er_tls_settings *tls = client->options.tls;
    int64_t whole_ms = x->req->timeout_ms;
    x->whole = er_deadline_in(whole_ms > 0 ? whole_ms : INT64_MAX);
    begin(x);
    if (client->multi == NULL || client->easy == NULL) {
        return er_err_set(err, ER_E_NOMEM, "libcurl cannot be set up: out of memory");
    }
    er_status status =
        er_http_target_init(&x->target, x->req->url, tls == NULL ? NULL : tls->server_name, err);
    if (status == ER_OK) {
        status = check_limits(x, err);
    }
    if (status == ER_OK) {
        (void)er_tls_look(&client->tls);
        CURLcode code;
        status = attempt(x, &code, err);
        if (status != ER_OK && may_try_again(x, code)) {
            status = attempt(x, &code, err);
        }
    }
    if (status == ER_OK && x->has_stopped) {
        status = stopped(x, err);
    }
    er_http_target_fini(&x->target);
    return status;
}
