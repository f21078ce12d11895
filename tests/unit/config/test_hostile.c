/* Files made to hurt: each is refused within the limits, with its place. What would be quadratic
 * in one of these takes minutes and runs into the test's time limit. */
#include "sample.h"

static void refused(const char *text, size_t n, const char *expected) {
    er_buf out;
    sample *s = sample_parse_n(text, n, &out);
    assert_null(s);
    assert_true(out.len >= strlen(expected));
    if (strncmp(er_buf_cstr(&out), expected, strlen(expected)) != 0) {
        fail_msg("expected %s, found %.300s", expected, er_buf_cstr(&out));
    }
    er_buf_fini(&out);
}

/* head, then unit n times, then tail. */
static void refused_many(const char *head, const char *unit, size_t n, const char *tail,
                         const char *expected) {
    er_buf text;
    er_buf_init(&text, 8u << 20);
    er_buf_puts(&text, head);
    for (size_t i = 0; i < n; i++) {
        er_buf_puts(&text, unit);
    }
    er_buf_puts(&text, tail);
    refused(er_buf_cstr(&text), text.len, expected);
    er_buf_fini(&text);
}

static void test_depth(void **state) {
    (void)state;
    refused_many("", "[", 100000, "",
                 "x.yaml:1:65: error: more than 64 maps and lists inside each other\n");
    refused_many("", "{a: ", 100000, "",
                 "x.yaml:1:257: error: more than 64 maps and lists inside each other\n");
    refused_many("", "- ", 100000, "",
                 "x.yaml:1:129: error: more than 64 maps and lists inside each other\n");
    refused_many("", "[\n", 100000, "",
                 "x.yaml:65:1: error: more than 64 maps and lists inside each other\n");
    refused_many("? ", "? ", 100000, "", "x.yaml:1:3: error: a key must be a text, not a map\n");
    /* 64 are allowed: then it is only wrong. */
    refused_many("", "[", 64, "x", "x.yaml:1:64: error: this \"[\" is not closed\n");
}

static void test_size(void **state) {
    (void)state;
    refused_many("#", "x", 1u << 20, "",
                 "x.yaml: error: the file has 1048577 bytes; at most 1048576 are allowed\n");
    refused_many("cluster: ", "x", (256u << 10) + 1, "",
                 "x.yaml:1:10: error: this text has 262145 bytes; at most 262144 are allowed\n");
    refused_many("cluster: \"", "x", 1000000, "\"",
                 "x.yaml:1:10: error: this text has 1000000 bytes; at most 262144 are allowed\n");
    refused_many("", "x", 1000000, ": 1",
                 "x.yaml:1:1: error: this text has 1000000 bytes; at most 262144 are allowed\n");
    refused_many("cluster: ", "x", 256u << 10, "",
                 "x.yaml:1:10: error: cluster: must have at most 20 bytes, has 262144\n");
    refused_many("cluster: \"", "x", 1000000, "", "x.yaml:1:10: error: this quote is not closed\n");
}

static void test_nodes(void **state) {
    (void)state;
    refused_many("words: [", "a,", 20000, "]",
                 "x.yaml:1:40003: error: more than 20000 keys and values; the file is too large\n");
    refused_many("", "a: 1\n", 10001, "",
                 "x.yaml:10000:4: error: more than 20000 keys and values; the file is too large\n");
    /* One of 9,999 keys that are the same: the others are duplicates. */
    refused_many("", "enabled: true\n", 9999, "",
                 "x.yaml:2:1: error: duplicate key \"enabled\"; the first is on line 1\n");
}

static void test_anchor_bomb(void **state) {
    (void)state;
    refused_many("a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n", "", 0,
                 "c: [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n",
                 "x.yaml:1:4: error: anchors (&name) and aliases (*name) are not supported; ");
}

static void test_bytes(void **state) {
    (void)state;
    refused("count: 1\0\n", 10, "x.yaml:1:9: error: a NUL byte; ");
    refused("\0", 1, "x.yaml:1:1: error: a NUL byte; ");
    refused("a: \xed\xa0\x80\n", 7, "x.yaml:1:4: error: the byte 0xED is not UTF-8; ");
    refused("a: \xc3", 4, "x.yaml:1:4: error: the byte 0xC3 is not UTF-8; ");
    refused("a: \xf4\x90\x80\x80", 7, "x.yaml:1:4: error: the byte 0xF4 is not UTF-8; ");
    refused("a: \xef\xbb\xbf", 6, "x.yaml:1:4: error: the control character U+FEFF ");
    refused("a:\x7f", 3, "x.yaml:1:3: error: the control character U+007F ");
    refused("a:\xc2\x85", 4, "x.yaml:1:3: error: the line separator U+0085; ");
}

/* Every file cut off at every byte, and every file with every byte replaced: whatever comes of it,
 * nothing is read out of bounds and nothing leaks (the sanitizers look). */
static void test_broken_at_every_byte(void **state) {
    (void)state;
    static const char text[] = "cluster: 'a'\nwords: [\"\\u00e9\", b]\nrange: {from: 1}\n"
                               "items:\n  - name: |\n      x\n    kinds: >-\n      y\n"
                               "sinks:\n  a: {type: hook, url: http://h.test, headers: {b: c}}\n";
    static const char bytes[] = "\0\t\n\r:,[]{}&*!|>'\"%@#-? \x80\xff"
                                "a";
    size_t good = 0;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        for (size_t j = 0; j < sizeof bytes; j++) {
            char copy[sizeof text];
            memcpy(copy, text, sizeof text);
            copy[i] = bytes[j];
            er_buf out;
            sample *s = sample_parse_n(copy, j == 0 ? i : sizeof text - 1, &out);
            good += s != NULL ? 1 : 0;
            er_config_free(&sample_schema, s);
            er_buf_fini(&out);
        }
    }
    assert_in_range(good, 100, 3000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_depth), cmocka_unit_test(test_size),
        cmocka_unit_test(test_nodes), cmocka_unit_test(test_anchor_bomb),
        cmocka_unit_test(test_bytes), cmocka_unit_test(test_broken_at_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
