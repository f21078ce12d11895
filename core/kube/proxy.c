/* The proxy: proxy-url, or the environment as Go's programs read it
 * (golang.org/x/net/http/httpproxy and client-go, which adds CIDR blocks). */
#include "config/config.h"
#include "kube/kube_priv.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

typedef struct address {
    unsigned char bytes[16];
    size_t n; /* 4 or 16; 0: not an address */
} address;

static address address_of(er_str text) {
    address a = {.n = 0};
    char copy[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof copy) {
        return a;
    }
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    a.n = inet_pton(AF_INET, copy, a.bytes) == 1    ? 4
          : inet_pton(AF_INET6, copy, a.bytes) == 1 ? 16
                                                    : 0;
    return a;
}

static bool in_block(const address *a, er_str block) {
    const char *slash = memchr(block.p, '/', block.n);
    if (slash == NULL) {
        return false;
    }
    er_str base = {block.p, (size_t)(slash - block.p)};
    address b = address_of(base);
    uint64_t bits;
    if (b.n == 0 || b.n != a->n ||
        !er_parse_u64((er_str){slash + 1, block.n - base.n - 1}, &bits) || bits > 8 * b.n) {
        return false;
    }
    size_t whole = bits / 8;
    unsigned mask = 0xff00u >> (bits % 8) & 0xff;
    return memcmp(a->bytes, b.bytes, whole) == 0 &&
           (mask == 0 || (a->bytes[whole] & mask) == (b.bytes[whole] & mask));
}

/* "example.com" excepts it and what is below it; ".example.com", "*.example.com" only the latter.
 */
static bool in_domain(er_str host, er_str domain) {
    bool below = domain.n > 0 && (domain.p[0] == '.' || er_str_starts(domain, "*."));
    if (below) {
        size_t skip = domain.p[0] == '*' ? 1 : 0;
        domain = (er_str){domain.p + skip, domain.n - skip};
    } else if (host.n == domain.n) {
        return strncasecmp(host.p, domain.p, host.n) == 0;
    }
    size_t n = domain.n;
    return n > 0 && host.n > n && strncasecmp(host.p + host.n - n, domain.p, n) == 0 &&
           (below || host.p[host.n - n - 1] == '.');
}

/* Cuts ":PORT" off; false when it is another port. */
static bool port_fits(er_str *item, const char *port) {
    const char *colon = memrchr(item->p, ':', item->n);
    bool v6 = memchr(item->p, ':', item->n) != colon && item->p[0] != '[';
    if (colon == NULL || v6 || (item->p[0] == '[' && colon[-1] != ']')) {
        return true;
    }
    er_str own = {colon + 1, item->n - (size_t)(colon + 1 - item->p)};
    item->n = (size_t)(colon - item->p);
    return er_str_eqc(own, port);
}

static er_str without_brackets(er_str s) {
    bool has = s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']';
    return has ? (er_str){s.p + 1, s.n - 2} : s;
}

bool er_kube_proxy_excepts(const char *no_proxy, const char *host, const char *port) {
    er_str name = er_str_of(host);
    address a = address_of(name);
    while (no_proxy != NULL && *no_proxy != '\0') {
        size_t n = strcspn(no_proxy, ",");
        er_str item = er_str_trim((er_str){no_proxy, n});
        no_proxy += n + (no_proxy[n] == ',');
        if (item.n == 0) {
            continue;
        }
        if (er_str_eqc(item, "*") || (a.n > 0 && in_block(&a, item))) {
            return true;
        }
        if (!port_fits(&item, port)) {
            continue;
        }
        address b = address_of(without_brackets(item));
        bool same = a.n > 0 && b.n == a.n && memcmp(a.bytes, b.bytes, a.n) == 0;
        if (same || (a.n == 0 && b.n == 0 && in_domain(name, item))) {
            return true;
        }
    }
    return false;
}

static bool is_loopback(const char *host) {
    address a = address_of(er_str_of(host));
    static const unsigned char v6[16] = {[15] = 1};
    return strcasecmp(host, "localhost") == 0 || (a.n == 4 && a.bytes[0] == 127) ||
           (a.n == 16 && memcmp(a.bytes, v6, 16) == 0);
}

/* Host and port of the server's URL, which has neither user nor query; owned. */
static void split_server(const char *server, char **host, char **port) {
    bool https = strncmp(server, "https:", 6) == 0;
    const char *start = strstr(server, "://") + 3;
    er_str rest = {start, strcspn(start, "/")};
    size_t end = rest.p[0] == '[' ? strcspn(rest.p, "]") + 1 : strcspn(rest.p, ":");
    end = end < rest.n ? end : rest.n;
    er_str number = {rest.p + end, rest.n - end};
    *host = er_str_dup(without_brackets((er_str){rest.p, end}));
    *port = number.n > 1 ? er_str_dup((er_str){number.p + 1, number.n - 1})
                         : er_dup(https ? "443" : "80");
}

static void take_environment(const er_kube_places *places, er_kube_config *config) {
    bool https = strncmp(config->server, "https:", 6) == 0;
    const char *proxy = https ? places->https_proxy : places->http_proxy;
    if (proxy == NULL || proxy[0] == '\0') {
        return;
    }
    char *host;
    char *port;
    split_server(config->server, &host, &port);
    if (!is_loopback(host) && !er_kube_proxy_excepts(places->no_proxy, host, port)) {
        er_buf url; /* without a scheme it is http */
        er_buf_init(&url, 8192);
        er_buf_putf(&url, "%s%s", strstr(proxy, "://") == NULL ? "http://" : "", proxy);
        config->proxy = er_dup(er_buf_cstr(&url));
        config->proxy_key = https ? "HTTPS_PROXY" : "HTTP_PROXY";
        er_buf_wipe(&url);
        er_buf_fini(&url);
    }
    free(host);
    free(port);
}

/* Host and port, and nothing behind them but perhaps a slash. */
static bool is_usable(const char *proxy) {
    static const char *const schemes[] = {"http", "https", "socks5"};
    const char *rest = strstr(proxy, "://");
    if (rest == NULL) {
        return false;
    }
    er_str scheme = {proxy, (size_t)(rest - proxy)};
    bool known = false;
    for (size_t i = 0; i < sizeof schemes / sizeof schemes[0]; i++) {
        known = known || er_str_eqc(scheme, schemes[i]);
    }
    er_buf url; /* er_url_check knows http and https only; the rest is alike */
    er_buf_init(&url, 8192);
    er_buf_putf(&url, "http%s", rest);
    bool ok = known && er_url_check(er_buf_str(&url), NULL) == ER_OK;
    er_buf_wipe(&url);
    er_buf_fini(&url);
    size_t end = 3 + strcspn(rest + 3, "/?#");
    return ok && (rest[end] == '\0' || strcmp(rest + end, "/") == 0);
}

er_status er_kube_proxy_choose(const er_kube_places *places, er_kube_config *config, er_err *err) {
    if (config->proxy == NULL) {
        take_environment(places, config);
    }
    if (config->proxy == NULL || is_usable(config->proxy)) {
        return ER_OK;
    }
    return er_err_set(err, ER_E_CONFIG,
                      "%s: %s is not the URL of a proxy; write http://HOST:PORT, "
                      "https://HOST:PORT or socks5://HOST:PORT",
                      config->origin, config->proxy_key);
}
