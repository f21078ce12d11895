/* URLs: which are taken, and what of them may be shown. */
#include "sample.h"

static const char *problem_of(const char *url, er_err *err) {
    return er_url_check(er_str_of(url), err) == ER_OK ? "" : err->msg;
}

static void test_good_urls(void **state) {
    (void)state;
    static const char *const urls[] = {
        "http://h.test",
        "https://host.example",
        "HTTPS://host.example:65535/",
        "http://127.0.0.1:1/a/b?c=d#e",
        "http://[::1]:8080/x",
        "http://user:pass@host.example/@scope/",
        "http://h.test?x",
    };
    er_err err;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        assert_string_equal(problem_of(urls[i], &err), "");
    }
}

static void test_bad_urls(void **state) {
    (void)state;
    static const char scheme[] = "expected a URL that begins with http:// or https://, such as "
                                 "https://host.example:8443";
    static const char blank[] =
        "a URL has no blanks and no control characters; write %20 for a blank";
    static const char host[] = "the URL has no valid host behind \"://\"";
    static const char port[] = "the port of the URL must be between 1 and 65535";
    static const struct {
        const char *url, *problem;
    } cases[] = {
        {"", scheme},
        {"host.example:80", scheme},
        {"ftp://host.example", scheme},
        {"http:/host.example", scheme},
        {"://host.example", scheme},
        {"http://a.test b", blank},
        {"http://a.test\n", blank},
        {"http://a.test\x7f", blank},
        {"http://", host},
        {"http:///path", host},
        {"http://:80", host},
        {"http://user.test@", host},
        {"http://[::1", host},
        {"http://[]:1", host},
        {"http://[::1]x", host},
        {"http://h.test:0", port},
        {"http://h.test:", port},
        {"http://h.test:65536", port},
        {"http://h.test:8x", port},
        {"http://user.test:p/w@h", port},
    };
    er_err err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(problem_of(cases[i].url, &err), cases[i].problem);
    }
}

static void test_redacted(void **state) {
    (void)state;
    static const struct {
        const char *url, *shown;
    } cases[] = {
        {"http://h.test", "http://h.test"},
        {"https://host.example:8443/a/b", "https://host.example:8443/a/b"},
        {"https://u:p@host.example/a?token=x#y", "https://host.example/a"},
        {"https://u:p@s.test@host.example/a", "https://host.example/a"},
        {"http://[::1]:80?x", "http://[::1]:80"},
        {"http://h.test/@scope", "http://h.test/@scope"},
        {"http://user.test:p/w@h", "***"},
        {"user:pass@host", "***"},
        {"", "***"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        er_buf out;
        er_buf_init(&out, 256);
        er_url_redact(er_str_of(cases[i].url), &out);
        assert_string_equal(er_buf_cstr(&out), cases[i].shown);
        er_buf_fini(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_urls),
        cmocka_unit_test(test_bad_urls),
        cmocka_unit_test(test_redacted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
