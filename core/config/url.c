#include "config/config.h"

#include <string.h>

typedef struct url_parts { /* slices of one URL */
    er_str scheme, user, host, port, rest;
    bool has_user, has_port;
} url_parts;

static size_t find_any(er_str s, const char *set) {
    size_t i = 0;
    while (i < s.n && strchr(set, s.p[i]) == NULL) {
        i++;
    }
    return i;
}

static er_str cut_front(er_str s, size_t n) {
    return (er_str){s.p + n, s.n - n};
}

/* RFC 3986 section 3; false when there is no "scheme://". */
static bool split(er_str url, url_parts *out) {
    *out = (url_parts){0};
    const char *colon = url.n == 0 ? NULL : memmem(url.p, url.n, "://", 3);
    if (colon == NULL) {
        return false;
    }
    out->scheme = (er_str){url.p, (size_t)(colon - url.p)};
    er_str left = cut_front(url, out->scheme.n + 3);
    size_t end = find_any(left, "/?#");
    er_str authority = {left.p, end};
    out->rest = cut_front(left, end);
    const char *at = end == 0 ? NULL : memrchr(authority.p, '@', authority.n);
    if (at != NULL) {
        out->has_user = true;
        out->user = (er_str){authority.p, (size_t)(at - authority.p)};
        authority = cut_front(authority, out->user.n + 1);
    }
    size_t host_end = authority.n > 0 && authority.p[0] == '[' ? find_any(authority, "]") : 0;
    host_end += find_any(cut_front(authority, host_end), ":");
    out->host = (er_str){authority.p, host_end};
    if (host_end < authority.n) {
        out->has_port = true;
        out->port = cut_front(authority, host_end + 1);
    }
    return true;
}

static bool port_is_legal(er_str port) {
    uint64_t v;
    return er_parse_u64(port, &v) && v >= 1 && v <= 65535;
}

/* "[" needs its "]" at the end, and some digits between them. */
static bool host_is_legal(er_str host) {
    if (host.n == 0) {
        return false;
    }
    if (host.p[0] != '[') {
        return find_any(host, "[]\\") == host.n;
    }
    return host.n >= 4 && find_any(host, "]") == host.n - 1;
}

er_status er_url_check(er_str url, er_err *err) {
    for (size_t i = 0; i < url.n; i++) {
        unsigned char c = (unsigned char)url.p[i];
        if (c <= ' ' || c == 0x7f) {
            return er_err_set(
                err, ER_E_CONFIG,
                "a URL has no blanks and no control characters; write %%20 for a blank");
        }
    }
    url_parts parts;
    bool has_scheme = split(url, &parts);
    if (!has_scheme || !(er_str_ieqc(parts.scheme, "http") || er_str_ieqc(parts.scheme, "https"))) {
        return er_err_set(err, ER_E_CONFIG,
                          "expected a URL that begins with http:// or https://, such as "
                          "https://host.example:8443");
    }
    if (!host_is_legal(parts.host)) {
        return er_err_set(err, ER_E_CONFIG, "the URL has no valid host behind \"://\"");
    }
    if (parts.has_port && !port_is_legal(parts.port)) {
        return er_err_set(err, ER_E_CONFIG, "the port of the URL must be between 1 and 65535");
    }
    return ER_OK;
}

/* A password with an unescaped "/" looks like a path that has an "@": nothing behind the scheme of
 * a URL that cannot be right is shown. */
static void put_shown(er_str url, bool with_masks, er_buf *out) {
    url_parts parts;
    if (!split(url, &parts) || er_url_check(url, NULL) != ER_OK) {
        er_buf_puts(out, "***");
        return;
    }
    er_buf_put_str(out, parts.scheme);
    er_buf_puts(out, with_masks && parts.has_user ? "://***@" : "://");
    er_buf_put_str(out, parts.host);
    if (parts.has_port) {
        er_buf_putc(out, ':');
        er_buf_put_str(out, parts.port);
    }
    size_t shown = find_any(parts.rest, "?#");
    er_buf_put(out, parts.rest.p, shown);
    if (with_masks && shown < parts.rest.n) {
        er_buf_putc(out, parts.rest.p[shown]);
        er_buf_puts(out, "***");
    }
}

void er_url_redact(er_str url, er_buf *out) {
    put_shown(url, false, out);
}

void er_url_mask(er_str url, er_buf *out) {
    put_shown(url, true, out);
}

static bool is_loopback(er_str host) {
    return er_str_ieqc(host, "localhost") || er_str_starts(host, "127.") ||
           er_str_eqc(host, "[::1]");
}

bool er_url_is_clear(er_str url) {
    url_parts parts;
    return split(url, &parts) && er_str_ieqc(parts.scheme, "http") && !is_loopback(parts.host);
}

bool er_url_has_user(er_str url) {
    url_parts parts;
    return split(url, &parts) && parts.has_user;
}
