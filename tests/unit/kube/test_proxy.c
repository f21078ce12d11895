/* Which proxy leads to the API server. */
#include "unit.h"

#include "kube/kube_priv.h"

#include <stdio.h>
#include <stdlib.h>

static void test_exceptions(void **state) {
    (void)state;
    /* The cases of golang.org/x/net/http/httpproxy's documentation, and their edges. */
    static const struct {
        const char *list, *host, *port;
        bool excepted;
    } rows[] = {
        {NULL, "a.example", "443", false},
        {"", "a.example", "443", false},
        {" , ,", "a.example", "443", false},
        {"*", "a.example", "443", true},
        {"b.example, *", "10.0.0.1", "443", true},
        {"a.example", "a.example", "443", true},
        {"A.Example", "a.eXample", "443", true},
        {"example", "a.example", "443", true},
        {"example", "aexample", "443", false},
        {".example", "a.example", "443", true},
        {".a.example", "a.example", "443", false},
        {"*.example", "a.example", "443", true},
        {"*.a.example", "a.example", "443", false},
        {"ple", "a.example", "443", false},
        {"a.example.net", "a.example", "443", false},
        {"a.example:443", "a.example", "443", true},
        {"a.example:6443", "a.example", "443", false},
        {"10.0.0.1", "10.0.0.1", "443", true},
        {"10.0.0.1:443", "10.0.0.1", "443", true},
        {"10.0.0.1:80", "10.0.0.1", "443", false},
        {"0.0.1", "10.0.0.1", "443", false},
        {".1", "10.0.0.1", "443", false},
        {"10.0.0.0/8", "10.200.0.1", "443", true},
        {"10.0.0.0/9", "10.200.0.1", "443", false},
        {"10.128.0.0/9", "10.200.0.1", "443", true},
        {"10.0.0.1/32", "10.0.0.1", "443", true},
        {"10.0.0.0/32", "10.0.0.1", "443", false},
        {"0.0.0.0/0", "10.0.0.1", "443", true},
        {"10.0.0.0/33", "10.0.0.1", "443", false},
        {"10.0.0.0/", "10.0.0.1", "443", false},
        {"10.0.0.0/8", "a.example", "443", false},
        {"2001:db8::1", "2001:db8:0::1", "443", true},
        {"[2001:db8::1]", "2001:db8::1", "443", true},
        {"[2001:db8::1]:443", "2001:db8::1", "443", true},
        {"[2001:db8::1]:80", "2001:db8::1", "443", false},
        {"2001:db8::/32", "2001:db8:ff::1", "443", true},
        {"2001:db8::/32", "2001:db9::1", "443", false},
        {"::/0", "10.0.0.1", "443", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (er_kube_proxy_excepts(rows[i].list, rows[i].host, rows[i].port) != rows[i].excepted) {
            fail_msg("%s: %s", rows[i].list, rows[i].host);
        }
    }
}

#define BOTH                                                                                       \
    { .https_proxy = "http://s.example:1", .http_proxy = "p.example:2", .no_proxy = "no.example" }

static void test_the_environment(void **state) {
    (void)state;
    static const er_kube_places both = BOTH;
    static const er_kube_places none = {.no_proxy = "x"};
    static const er_kube_places empty = {.https_proxy = ""};
    static const struct {
        const er_kube_places *places;
        const char *server, *own, *proxy, *key;
    } rows[] = {
        {&both, "https://k.example", NULL, "http://s.example:1", "HTTPS_PROXY"},
        {&both, "http://k.example", NULL, "http://p.example:2", "HTTP_PROXY"},
        {&both, "https://k.example/x:y", "socks5://o.example", "socks5://o.example", "proxy-url"},
        {&both, "https://no.example:6443/k8s", "http://o.example/", "http://o.example/",
         "proxy-url"},
        {&both, "https://no.example:6443/k8s", NULL, NULL, NULL},
        {&both, "https://localhost:6443", NULL, NULL, NULL},
        {&both, "https://127.1.2.3:6443", NULL, NULL, NULL},
        {&both, "https://[::1]:6443", NULL, NULL, NULL},
        {&both, "https://[2001:db8::1]:6443", NULL, "http://s.example:1", "HTTPS_PROXY"},
        {&none, "https://k.example", NULL, NULL, NULL},
        {&empty, "https://k.example", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_kube_config config = {.server = er_dup(rows[i].server),
                                 .proxy = rows[i].own == NULL ? NULL : er_dup(rows[i].own),
                                 .proxy_key = rows[i].own == NULL ? NULL : "proxy-url"};
        assert_int_equal(er_kube_proxy_choose(rows[i].places, &config, NULL), ER_OK);
        if (rows[i].proxy == NULL) {
            assert_null(config.proxy);
        } else {
            assert_string_equal(config.proxy, rows[i].proxy);
            assert_string_equal(config.proxy_key, rows[i].key);
        }
        free(config.server);
        free(config.proxy);
    }
}

static void test_bad_urls(void **state) {
    (void)state;
    static const char *const bad[] = {
        "ftp://p.example",
        "socks4://p.example",
        "p.example:3128",
        "http://",
        "http://:3128",
        "http://p.example:0",
        "http://p.example/path",
        "http://p.example/?a=b",
        "http://u:s3cret@p.example:99999",
        "http://p .example",
        "HTTP//p.example",
    };
    char origin[] = "FILE, context c";
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        er_kube_config config = {.origin = origin, .proxy_key = "proxy-url"};
        config.proxy = er_dup(bad[i]);
        er_err err;
        assert_int_equal(er_kube_proxy_choose(&(er_kube_places){0}, &config, &err), ER_E_CONFIG);
        assert_string_equal(err.msg, "FILE, context c: proxy-url is not the URL of a proxy; write "
                                     "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT");
        free(config.proxy);
    }
}

static void test_no_password_is_shown(void **state) {
    (void)state;
    static const char *const rows[][2] = {
        {"http://u:p@ss@p.example:3128", "http://p.example:3128"},
        {"socks5://p.example:1080", "socks5://p.example:1080"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char server[] = "https://k.example";
        char origin[] = "FILE, context c";
        er_kube_config config = {.server = server, .origin = origin, .proxy_key = "proxy-url"};
        config.proxy = er_dup(rows[i][0]);
        config.tls.insecure_skip_verify = true;
        er_buf text;
        er_buf_init(&text, 4096);
        er_kube_config_describe(&config, &text);
        char want[512];
        (void)snprintf(want, sizeof want,
                       "API server:  https://k.example\ncredentials: FILE, context c\n"
                       "user:        none (anonymous)\nproxy:       %s (proxy-url)\n"
                       "TLS:         the server's certificate is not verified\n",
                       rows[i][1]);
        assert_string_equal(er_buf_cstr(&text), want);
        er_buf_fini(&text);
        free(config.proxy);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_the_environment),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_no_password_is_shown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
