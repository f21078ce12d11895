/* One exchange on its way out: every option of it, set anew each time. */
#include "http/http_priv.h"

#include <string.h>

#define KEEPALIVE_IDLE_S     30L
#define KEEPALIVE_INTERVAL_S 5L
#define IDLE_MAX_S           60L  /* an idle connection older than this is not used again */
#define LIFETIME_MAX_S       600L /* so that a load balancer can spread us anew */
#define RECEIVE_BYTES        32768L

/* ---- headers ---- */

static bool value_valid(er_str value) {
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\r' || value.p[i] == '\n' || value.p[i] == '\0') {
            return false;
        }
    }
    return true;
}

static er_status add_line(er_http_exchange *x, const char *name, er_str value, er_err *err) {
    er_buf line;
    er_buf_init(&line, value.n + 1024);
    /* libcurl sends a header without a value only for the form with a semicolon. */
    er_buf_putf(&line, value.n == 0 ? "%s;" : "%s: ", name);
    er_buf_put_str(&line, value);
    struct curl_slist *longer = NULL;
    if (er_buf_status(&line) == ER_OK) {
        longer = curl_slist_append(x->headers, er_buf_cstr(&line));
    }
    er_buf_wipe(&line); /* it may be a credential */
    er_buf_fini(&line);
    if (longer == NULL) {
        return er_err_set(err, ER_E_NOMEM, "out of memory");
    }
    x->headers = longer;
    return ER_OK;
}

static er_status add_header(er_http_exchange *x, const er_http_header *header, er_err *err) {
    if (!er_http_header_name_valid(er_str_of(header->name)) || strlen(header->name) > 256) {
        return er_err_set(err, ER_E_INVAL, "a header's name holds characters it must not have");
    }
    if (!value_valid(header->value)) {
        return er_err_set(err, ER_E_INVAL,
                          "the value of header %s holds a line break or NUL; remove it",
                          header->name);
    }
    return add_line(x, header->name, header->value, err);
}

static er_status make_headers(er_http_exchange *x, er_err *err) {
    er_status status = ER_OK;
    if (x->target.host != NULL) {
        status = add_line(x, "Host", er_str_of(x->target.host), err);
    }
    for (size_t i = 0; i < x->req->headers_n && status == ER_OK; i++) {
        status = add_header(x, &x->req->headers[i], err);
    }
    if (status != ER_OK) {
        return status;
    }
    /* libcurl would wait a second for "100 Continue", and name a content type of its own. */
    static const char *const without[] = {"Expect:", "Content-Type:"};
    bool typed = false;
    for (size_t i = 0; i < x->req->headers_n; i++) {
        typed = typed || er_str_ieqc(er_str_of(x->req->headers[i].name), "Content-Type");
    }
    for (size_t i = 0; i < (typed ? 1 : 2); i++) {
        struct curl_slist *longer = curl_slist_append(x->headers, without[i]);
        if (longer == NULL) {
            return er_err_set(err, ER_E_NOMEM, "out of memory");
        }
        x->headers = longer;
    }
    return ER_OK;
}

/* ---- options ---- */

static void set_method(const er_http_exchange *x, CURL *easy) {
    const er_http_request *req = x->req;
    if (req->body.n > 0 || strcmp(req->method, "POST") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, req->body.n > 0 ? req->body.p : "");
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)req->body.n);
    } else {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    if (strcmp(req->method, "GET") != 0 && strcmp(req->method, "POST") != 0) {
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, req->method);
    } else if (strcmp(req->method, "GET") == 0 && req->body.n > 0) {
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, "GET");
    }
}

/* What would let a peer or our surroundings lead the request elsewhere. */
static void set_limits(CURL *easy) {
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
}

/* socks5 means what it means in Go's programs: the proxy looks up the name. For libcurl that is
 * socks5h. */
static void set_proxy(const char *proxy, CURL *easy) {
    static const char socks[] = "socks5://";
    er_buf url; /* copied by libcurl */
    er_buf_init(&url, (proxy == NULL ? 0 : strlen(proxy)) + sizeof socks);
    if (er_str_starts(er_str_of(proxy), socks)) {
        er_buf_putf(&url, "socks5h://%s", proxy + sizeof socks - 1);
    } else {
        er_buf_puts(&url, proxy == NULL ? "" : proxy);
    }
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, er_buf_cstr(&url));
    /* Where the URL has no port it is that of its scheme, as in Go's programs; libcurl's is 1080.
     */
    bool is_socks = er_str_starts(er_buf_str(&url), "socks");
    bool is_https = er_str_starts(er_buf_str(&url), "https:");
    (void)curl_easy_setopt(easy, CURLOPT_PROXYPORT, is_socks ? 1080L : is_https ? 443L : 80L);
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "");
    er_buf_wipe(&url);
    er_buf_fini(&url);
}

static void set_connection(const er_http_exchange *x, CURL *easy) {
    const er_http_options *options = &x->client->options;
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Otherwise giving up would wait for the thread that looks up the name. */
    (void)curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    set_proxy(options->proxy, easy);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    (void)curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
    (void)curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, LIFETIME_MAX_S);
    (void)curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)options->connect_timeout_ms);
    if (x->connect_to != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_CONNECT_TO, x->connect_to);
    }
}

er_status er_http_exchange_prepare(er_http_exchange *x, er_err *err) {
    CURL *easy = x->client->easy;
    er_status status = make_headers(x, err);
    if (status != ER_OK) {
        return status;
    }
    if (x->target.connect_to != NULL) {
        x->connect_to = curl_slist_append(NULL, x->target.connect_to);
        if (x->connect_to == NULL) {
            return er_err_set(err, ER_E_NOMEM, "out of memory");
        }
    }
    if (curl_easy_setopt(easy, CURLOPT_URL, x->target.url) != CURLE_OK) {
        return er_err_set(err, ER_E_INVAL, "the URL cannot be used");
    }
    set_limits(easy);
    set_connection(x, easy);
    set_method(x, easy);
    er_tls_apply(&x->client->tls, easy);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->detail);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, x->client->options.user_agent);
    (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, x->req->accept_gzip ? "gzip" : NULL);
    return ER_OK;
}
