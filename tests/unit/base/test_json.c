/* What the hot path of JSON must not lose by being fast: every length and place of a special byte,
 * members found in any order, and an array dropped only where it is a member. */
#include "base/json_read.h"
#include "base/json_write.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* The slow and plain way: a byte at a time. */
static void quote_plainly(er_buf *out, er_str s) {
    er_buf_putc(out, '"');
    for (size_t i = 0; i < s.n;) {
        unsigned char c = (unsigned char)s.p[i];
        size_t len = er_utf8_len(s.p + i, s.n - i);
        if (c == '"' || c == '\\') {
            er_buf_putf(out, "\\%c", c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            er_buf_puts(out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        } else if (c < ' ') {
            er_buf_putf(out, "\\u%04x", c);
        } else if (len == 0) {
            er_buf_puts(out, "\xef\xbf\xbd");
        } else {
            er_buf_put(out, s.p + i, len);
        }
        i += len == 0 ? 1 : len;
    }
    er_buf_putc(out, '"');
}

/* Each byte at each place of strings that are shorter and longer than what is looked at at once. */
static void test_quote_every_byte_everywhere(void **state) {
    (void)state;
    er_buf fast;
    er_buf slow;
    er_buf_init(&fast, 4096);
    er_buf_init(&slow, 4096);
    char text[20];
    for (size_t n = 1; n <= sizeof text; n++) {
        for (size_t at = 0; at < n; at++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(text, '~', n);
                text[at] = (char)c;
                er_buf_clear(&fast);
                er_buf_clear(&slow);
                er_json_quote(&fast, (er_str){text, n});
                quote_plainly(&slow, (er_str){text, n});
                assert_int_equal(fast.len, slow.len);
                assert_memory_equal(fast.p, slow.p, slow.len);
            }
        }
    }
    er_buf_fini(&fast);
    er_buf_fini(&slow);
}

static void test_utf8_valid_every_byte_everywhere(void **state) {
    (void)state;
    char text[20];
    for (size_t n = 1; n <= sizeof text; n++) {
        for (size_t at = 0; at < n; at++) {
            for (unsigned c = 0; c < 256; c++) {
                memset(text, 'a', n);
                text[at] = (char)c;
                assert_int_equal(er_utf8_valid((er_str){text, n}), c < 0x80);
            }
            if (at + 1 < n) {
                memset(text, 'a', n);
                memcpy(text + at, "\xc3\xa9", 2);
                assert_true(er_utf8_valid((er_str){text, n}));
            }
        }
    }
}

static void assert_picked(const char *json, const char *a, const char *b, const char *c) {
    static const char *const keys[] = {"a", "b", "c"};
    const char *wanted[] = {a, b, c};
    const er_json *found[3];
    er_json_doc doc;
    char text[256];
    er_json_doc_init(&doc);
    (void)snprintf(text, sizeof text, "%s", json);
    assert_int_equal(er_json_parse(&doc, text, strlen(text), NULL), ER_OK);
    er_json_pick(doc.root, keys, 3, found);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(found[i] != NULL, wanted[i] != NULL);
        if (wanted[i] != NULL) {
            assert_true(er_str_eqc(er_json_str(found[i]), wanted[i]));
        }
    }
    er_json_doc_fini(&doc);
}

static void test_pick(void **state) {
    (void)state;
    assert_picked("{}", NULL, NULL, NULL);
    assert_picked("[\"a\"]", NULL, NULL, NULL);
    assert_picked("{\"a\":\"1\",\"b\":\"2\",\"c\":\"3\"}", "1", "2", "3");
    assert_picked("{\"c\":\"3\",\"b\":\"2\",\"a\":\"1\"}", "1", "2", "3");
    assert_picked("{\"x\":\"0\",\"c\":\"3\",\"aa\":\"0\",\"a\":\"1\",\"\":\"0\"}", "1", NULL, "3");
    assert_picked("{\"a\":\"1\",\"a\":\"2\",\"A\":\"0\"}", "1", NULL, NULL);
}

static void assert_dropped(const char *json, const char *wanted) {
    char text[256];
    (void)snprintf(text, sizeof text, "%s#", json); /* what stands behind is not ours */
    size_t n = er_json_drop_array(text, strlen(json), "drop");
    assert_int_equal(n, strlen(wanted));
    assert_memory_equal(text, wanted, n);
    assert_int_equal(text[strlen(json)], '#');
}

static void test_drop_array(void **state) {
    (void)state;
    assert_dropped("{\"a\":1}", "{\"a\":1}");
    assert_dropped("{\"drop\":[],\"b\":2}", "{\"drop\":[],\"b\":2}");
    assert_dropped("{\"drop\":[1,2],\"b\":2}", "{\"drop\":[],\"b\":2}");
    assert_dropped("{\"m\":{\"drop\":[{\"x\":[{}]},\"]\"]},\"b\":2}",
                   "{\"m\":{\"drop\":[]},\"b\":2}");
    assert_dropped("{\"drop\":[\"\\\\\",\"\\\"]\",\"\\\\\\\"\"],\"b\":2}", "{\"drop\":[],\"b\":2}");
    /* as text inside of a string, as a value, and as a member that is no array */
    assert_dropped("{\"a\":\"\\\"drop\\\":[1]\"}", "{\"a\":\"\\\"drop\\\":[1]\"}");
    assert_dropped("[\"drop\",[1]]", "[\"drop\",[1]]");
    assert_dropped("{\"drop\":{\"a\":[1]}}", "{\"drop\":{\"a\":[1]}}");
    /* what does not end is left to the parser */
    assert_dropped("{\"drop\":[1,2", "{\"drop\":[1,2");
    assert_dropped("{\"drop\":[\"]", "{\"drop\":[\"]");
    assert_dropped("{\"drop\":[", "{\"drop\":[");
    /* only the first */
    assert_dropped("{\"drop\":[1],\"x\":{\"drop\":[2]}}", "{\"drop\":[],\"x\":{\"drop\":[2]}}");
}

static void assert_skipped(const char *text, int n) {
    size_t len = strlen(text);
    const char *behind = er_json_skip(text, text + len);
    assert_int_equal(behind == NULL ? -1 : behind - text, n);
}

static void test_skip(void **state) {
    (void)state;
    assert_skipped("{\"a\":[\"}\"]},1", 11);
    assert_skipped("[{}, []] ", 8);
    assert_skipped("\"a\\\"b\\\\\",", 8);
    assert_skipped("12.5e3,", 6);
    assert_skipped("true}", 4);
    assert_skipped("null ", 4);
    /* what does not end, and what is none */
    assert_skipped("", -1);
    assert_skipped("12", -1);
    assert_skipped("\"a", -1);
    assert_skipped("{\"a\":\"}", -1);
    assert_skipped("[[]", -1);
    assert_skipped(",1", -1);
    assert_skipped("]", -1);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quote_every_byte_everywhere),
        cmocka_unit_test(test_utf8_valid_every_byte_everywhere),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_drop_array),
        cmocka_unit_test(test_skip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
