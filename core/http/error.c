/* What libcurl's codes mean, for people. */
#include "http/http_priv.h"

#include <stdio.h>
#include <string.h>

/* The operating system's reason in lower case, or libcurl's own words. */
static void reason_of(const er_http_exchange *x, CURLcode code, char *out, size_t size) {
    long number = 0;
    (void)curl_easy_getinfo(x->client->easy, CURLINFO_OS_ERRNO, &number);
    char text[128];
    const char *reason = x->detail[0] != '\0' ? x->detail : curl_easy_strerror(code);
    if (number > 0) {
        reason = er_errno_text((int)number, text, sizeof text);
    }
    (void)snprintf(out, size, "%.200s", reason);
    if (out[0] >= 'A' && out[0] <= 'Z' && out[1] >= 'a' && out[1] <= 'z') {
        out[0] = (char)(out[0] - 'A' + 'a');
    }
}

static bool is_tls(CURLcode code) {
    static const CURLcode codes[] = {
        CURLE_SSL_CONNECT_ERROR,   CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM,
        CURLE_SSL_CIPHER,          CURLE_SSL_CACERT_BADFILE,       CURLE_SSL_ISSUER_ERROR,
        CURLE_SSL_ENGINE_NOTFOUND, CURLE_SSL_ENGINE_SETFAILED,     CURLE_SSL_CLIENTCERT,
    };
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if (codes[i] == code) {
            return true;
        }
    }
    return false;
}

bool er_http_tls_failed(const er_http_exchange *x, CURLcode code) {
    bool broke = code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
    bool https = strncmp(x->target.url, "https:", 6) == 0;
    return is_tls(code) || (broke && https && !x->head_done);
}

#define VIA_MAX 200

/* Without user and password; "" when there is no proxy. */
static const char *via(const er_http_exchange *x, char out[VIA_MAX]) {
    const char *proxy = x->client->options.proxy;
    out[0] = '\0';
    if (proxy != NULL && proxy[0] != '\0') {
        er_buf url;
        er_buf_init(&url, strlen(proxy) + 8);
        er_url_redact(er_str_of(proxy), &url);
        bool is_url = strchr(er_buf_cstr(&url), ':') != NULL;
        (void)snprintf(out, VIA_MAX, " through the proxy%s%.150s", is_url ? " " : "",
                       is_url ? er_buf_cstr(&url) : "");
        er_buf_fini(&url);
    }
    return out;
}

static er_status tls_error(const er_http_exchange *x, CURLcode code, er_err *err) {
    const char *reason = x->detail[0] != '\0' ? x->detail : curl_easy_strerror(code);
    return er_err_set(err, ER_E_UNAVAILABLE, "TLS with %s failed: %.300s", x->target.peer, reason);
}

er_status er_http_transport_error(const er_http_exchange *x, CURLcode code, er_err *err) {
    const char *peer = x->target.peer;
    char reason[256];
    char proxy[VIA_MAX];
    if (is_tls(code)) {
        return tls_error(x, code, err);
    }
    reason_of(x, code, reason, sizeof reason);
    /* The codes that matter; libcurl has a hundred. */
    if (code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY) {
        return er_err_set(err, ER_E_UNAVAILABLE, "cannot find the address of %s: %s",
                          code == CURLE_COULDNT_RESOLVE_PROXY ? "the proxy" : peer,
                          x->detail[0] != '\0' ? x->detail : curl_easy_strerror(code));
    }
    if (code == CURLE_COULDNT_CONNECT) {
        return er_err_set(err, ER_E_UNAVAILABLE, "cannot connect to %s%s: %s", peer, via(x, proxy),
                          reason);
    }
    if (code == CURLE_OPERATION_TIMEDOUT) { /* the only one of libcurl's timers that is set */
        return er_err_set(err, ER_E_TIMEOUT, "cannot connect to %s%s within %lld ms", peer,
                          via(x, proxy), (long long)x->client->options.connect_timeout_ms);
    }
    if (code == CURLE_GOT_NOTHING) {
        return er_err_set(err, ER_E_UNAVAILABLE, "%s closed the connection without an answer",
                          peer);
    }
    if (code == CURLE_PARTIAL_FILE) {
        return er_err_set(err, ER_E_UNAVAILABLE, "the answer of %s was cut short", peer);
    }
    if (code == CURLE_SEND_ERROR || code == CURLE_RECV_ERROR) {
        return er_err_set(err, ER_E_UNAVAILABLE, "the connection to %s%s broke: %s", peer,
                          via(x, proxy), reason);
    }
    if (code == CURLE_OUT_OF_MEMORY) {
        return er_err_set(err, ER_E_NOMEM, "out of memory");
    }
    if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
        return er_err_set(err, ER_E_INVAL, "the URL cannot be used");
    }
    return er_err_set(err, ER_E_UNAVAILABLE, "no usable answer from %s: %s", peer, reason);
}
