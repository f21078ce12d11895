/* Versions, the splitter of lists and the splitter of watches. */
#include "unit.h"

#include "base/file.h"
#include "kube/frames.h"
#include "kube/page.h"

#include <stdlib.h>

#define RECORDINGS ER_SOURCE_DIR "/tests/golden/recordings/"

/* ---- versions ---- */

static void test_version_valid(void **state) {
    (void)state;
    static const char *const good[] = {
        "0",
        "1",
        "9",
        "10",
        "1137",
        "18446744073709551616",
        "123456789012345678901234567890123456789",
    };
    static const char *const bad[] = {
        "",
        "00",
        "01",
        "-1",
        "+1",
        " 1",
        "1 ",
        "1.0",
        "1e3",
        "0x1",
        "a",
        "\xd9\xa1",
        "1234567890123456789012345678901234567890", /* 40 digits */
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(er_version_valid(er_str_of(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(er_version_valid(er_str_of(bad[i])));
    }
    assert_false(er_version_valid((er_str){NULL, 0}));
    assert_false(er_version_valid((er_str){"1\0", 2}));
}

static void test_version_order(void **state) {
    (void)state;
    static const char *const rising[] = {
        "0",
        "1",
        "9",
        "10",
        "99",
        "100",
        "999999999",
        "1000000000",
        "1000000001",
        "9999999999",
        "10000000000",
        "18446744073709551615",
        "18446744073709551616",
        "99999999999999999999",
        "100000000000000000000",
        "340282366920938463463374607431768211455",
    };
    size_t n = sizeof rising / sizeof rising[0];
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < n; j++) {
            int cmp = er_version_cmp(er_str_of(rising[i]), er_str_of(rising[j]));
            assert_int_equal((cmp > 0) - (cmp < 0), (i > j) - (i < j));
        }
    }
}

/* ---- pages ---- */

static er_status scan(er_kube_page *page, const char *text, size_t n, er_err *err) {
    er_buf_clear(&page->body);
    er_buf_put(&page->body, text, n);
    return er_kube_page_scan(page, err);
}

static void test_pages(void **state) {
    (void)state;
    static const struct {
        const char *body, *version, *cont, *items; /* items: joined by "|" */
    } rows[] = {
        {"{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[]}", "7", NULL, ""},
        {"{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":null}", "7", NULL, ""},
        {"{\"items\":[{}],\"metadata\":{\"resourceVersion\":\"7\",\"continue\":\"\"}}", "7", NULL,
         "{}"},
        {"{\"items\":[],\"metadata\":{\"resourceVersion\":\"7\",\"continue\":null}}", "7", NULL,
         ""},
        {"{\"metadata\":{\"continue\":\"a_b-\",\"resourceVersion\":\"10245\"},\"items\":[]}",
         "10245", "a_b-", ""},
        {"{\"metadata\":{\"continue\":\"a\\u003db\\\"\",\"resourceVersion\":\"1\"},\"items\":[]}",
         "1", "a=b\"", ""},
        {" { \"kind\" : \"L\" , \"items\" : [ {\"a\":[1,2]} ,\n{\"b\":{}} ] , \"x\" : -1.5e+3 ,"
         "\"metadata\" : { \"remainingItemCount\":3, \"resourceVersion\" : \"1\" } } \r\n",
         "1", NULL, "{\"a\":[1,2]}|{\"b\":{}}"},
        {"{\"items\":[{\"m\":\"}],\\\"\\\\\"},{\"n\":\"]\"}],\"metadata\":{\"resourceVersion\":"
         "\"1\","
         "\"x\":{\"resourceVersion\":\"9\",\"items\":[1]}},\"t\":true}",
         "1", NULL, "{\"m\":\"}],\\\"\\\\\"}|{\"n\":\"]\"}"},
    };
    er_kube_page page;
    er_kube_page_init(&page);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_err err = {0};
        if (scan(&page, rows[i].body, strlen(rows[i].body), &err) != ER_OK) {
            fail_msg("row %zu: %s", i, err.msg);
        }
        assert_string_equal(page.version, rows[i].version);
        if (rows[i].cont == NULL) {
            assert_null(page.cont);
        } else {
            assert_string_equal(page.cont, rows[i].cont);
        }
        er_buf items;
        er_buf_init(&items, 4096);
        for (size_t k = 0; k < page.n; k++) {
            er_buf_puts(&items, k == 0 ? "" : "|");
            er_buf_put_str(&items, page.items[k]);
        }
        assert_string_equal(er_buf_cstr(&items), rows[i].items);
        er_buf_fini(&items);
    }
    er_kube_page_fini(&page);
}

static void test_bodies_that_are_no_list(void **state) {
    (void)state;
    static const struct {
        const char *body, *message;
    } rows[] = {
        {"", "not a list: it ends after 0 bytes, an object should begin"},
        {"[]", "not a list: offset 0: an object should begin"},
        {"null", "not a list: offset 0: an object should begin"},
        {"{}", "not a list: it has no metadata.resourceVersion"},
        {"{\"items\":[]}", "not a list: it has no metadata.resourceVersion"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"}}", "not a list: it has no items"},
        {"{\"metadata\":{\"resourceVersion\":\"01\"},\"items\":[]}",
         "not a list: offset 35: metadata.resourceVersion is not a decimal number in a string"},
        {"{\"metadata\":{\"resourceVersion\":1},\"items\":[]}",
         "not a list: offset 31: metadata.resourceVersion is not a decimal number in a string"},
        {"{\"metadata\":{\"resourceVersion\":\"1\",\"resourceVersion\":\"2\"},\"items\":[]}",
         "not a list: offset 53: metadata.resourceVersion is not a decimal number in a string"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":{}}",
         "not a list: offset 46: items is not an array"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[1]}",
         "not a list: offset 45: an item is not an object, or cut"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[],\"items\":[]}",
         "not a list: offset 55: items stands there twice"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{]}]}",
         "not a list: offset 46: an item is not an object, or cut"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}{}]}",
         "not a list: offset 47: items is not closed"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{},]}",
         "not a list: offset 48: an item is not an object, or cut"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}x",
         "not a list: offset 47: more text behind the object"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[]}{}",
         "not a list: offset 47: more text behind the object"},
        {"{\"metadata\":{\"resourceVersion\":\"1\"} \"items\":[]}",
         "not a list: offset 36: the object is not closed"},
        {"{metadata:{\"resourceVersion\":\"1\"},\"items\":[]}",
         "not a list: offset 1: a member should stand there"},
        {"<html>busy</html>", "not a list: offset 0: an object should begin"},
    };
    er_kube_page page;
    er_kube_page_init(&page);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_err err = {0};
        assert_int_equal(scan(&page, rows[i].body, strlen(rows[i].body), &err), ER_E_INVAL);
        assert_string_equal(err.msg, rows[i].message);
        assert_int_equal(page.n, 0);
        assert_string_equal(page.version, "");
        assert_null(page.cont);
    }
    er_kube_page_fini(&page);
}

static void test_a_real_page(void **state) {
    (void)state;
    er_kube_page page;
    er_kube_page_init(&page);
    assert_int_equal(er_file_read(RECORDINGS "events.list-page1.json", &page.body, NULL), ER_OK);
    assert_int_equal(er_kube_page_scan(&page, NULL), ER_OK);
    assert_int_equal(page.n, 60);
    assert_string_equal(page.version, "1137");
    assert_string_equal(page.cont,
                        "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTEzNywic3RhcnQiOiJzaG9wL3dlYi02NDY2"
                        "ZmM2NzljLjE4ZWFjNTg3ODk5NTUyNTZcdTAwMDAifQ");
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_buf item;
    er_buf_init(&item, 1u << 20);
    static const char *const uids[] = {"d10df6d3-846e-4060-b35d-3b6d80e720f8",
                                       "e9612c4a-97ec-4d8a-8def-a3bf91e9cd4a"};
    for (size_t i = 0; i < 60; i++) { /* each slice is one object */
        er_buf_clear(&item);
        er_buf_put_str(&item, page.items[i]);
        assert_int_equal(er_json_parse(&doc, item.p, item.len, NULL), ER_OK);
        er_str uid = er_json_str(er_json_path(doc.root, "metadata", "uid"));
        assert_int_equal(uid.n, 36);
        if (i == 0 || i == 59) {
            assert_str(uid, uids[i == 59]);
        }
    }
    er_buf_fini(&item);
    er_json_doc_fini(&doc);
    er_kube_page_fini(&page);
}

static void test_every_truncation_is_found(void **state) {
    (void)state;
    er_buf whole;
    er_buf_init(&whole, 1u << 20);
    assert_int_equal(er_file_read(RECORDINGS "events.list-page1.json", &whole, NULL), ER_OK);
    while (whole.len > 0 && whole.p[whole.len - 1] != '}') {
        whole.len--; /* the newline behind it may go without harm */
    }
    er_kube_page page;
    er_kube_page_init(&page);
    /* Every cut near both ends, every 7th between them: the scanner is linear. */
    for (size_t n = 0; n < whole.len; n += n < 3000 || n + 3000 > whole.len ? 1 : 7) {
        if (scan(&page, whole.p, n, NULL) != ER_E_INVAL) {
            fail_msg("the first %zu bytes were taken for a list", n);
        }
    }
    assert_int_equal(scan(&page, whole.p, whole.len, NULL), ER_OK);
    er_kube_page_fini(&page);
    er_buf_fini(&whole);
}

static er_status scan_nested(er_kube_page *page, size_t depth) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    er_buf_puts(&text, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{\"a\":");
    for (size_t i = 0; i < depth; i++) {
        er_buf_putc(&text, '[');
    }
    for (size_t i = 0; i < depth; i++) {
        er_buf_putc(&text, ']');
    }
    er_buf_puts(&text, "}]}");
    er_status status = scan(page, text.p, text.len, NULL);
    er_buf_fini(&text);
    return status;
}

/* An item too deep for the parser is still an item; what is deeper by far is hostile. */
static void test_depth(void **state) {
    (void)state;
    er_kube_page page;
    er_kube_page_init(&page);
    assert_int_equal(scan_nested(&page, 1001), ER_OK);
    assert_int_equal(page.n, 1);
    assert_int_equal(scan_nested(&page, ER_KUBE_PAGE_DEPTH - 1), ER_OK);
    assert_int_equal(scan_nested(&page, ER_KUBE_PAGE_DEPTH), ER_E_INVAL);
    assert_int_equal(page.n, 0);
    er_kube_page_fini(&page);
}

static void test_the_number_of_items(void **state) {
    (void)state;
    er_kube_page page;
    er_kube_page_init(&page);
    er_buf text;
    er_buf_init(&text, 4u << 20);
    for (unsigned extra = 0; extra < 2; extra++) {
        er_buf_clear(&text);
        er_buf_puts(&text, "{\"metadata\":{\"resourceVersion\":\"1\"},\"items\":[{}");
        for (unsigned i = 1; i < ER_KUBE_PAGE_ITEMS + extra; i++) {
            er_buf_puts(&text, ",{}");
        }
        er_buf_puts(&text, "]}");
        assert_int_equal(scan(&page, text.p, text.len, NULL), extra == 0 ? ER_OK : ER_E_INVAL);
        assert_int_equal(page.n, extra == 0 ? ER_KUBE_PAGE_ITEMS : 0);
    }
    er_buf_fini(&text);
    er_kube_page_fini(&page);
}

/* ---- frames ---- */

typedef struct seen {
    er_buf text; /* "[line]" and "<bytes>" */
    int stop_after;
} seen;

static bool on_frame(void *arg, char *line, size_t n) {
    seen *s = arg;
    assert_int_equal(line[n], '\0');
    er_buf_puts(&s->text, "[");
    er_buf_put(&s->text, line, n);
    er_buf_puts(&s->text, "]");
    memset(line, 'X', n); /* it may be changed */
    return --s->stop_after != 0;
}

static void on_oversized(void *arg, size_t bytes) {
    seen *s = arg;
    er_buf_putf(&s->text, "<%zu>", bytes);
}

static const char stream[] =
    "{\"a\":1}\n\n{\"b\":\"\xc3\xa9\"}\r\n \r\n123456789012\n1234567890123\n"
    "\t\nlast\nrest";
static const char want[] = "[{\"a\":1}][{\"b\":\"\xc3\xa9\"}][123456789012]<13>[last]";

static void feed(er_frames *frames, seen *s, const char *bytes, size_t n) {
    er_frames_handler handler = {s, on_frame, on_oversized};
    char *copy = malloc(n + 1); /* so that a sanitizer sees what is read behind it */
    memcpy(copy, bytes, n);
    assert_int_equal(er_frames_feed(frames, (er_str){copy, n}, &handler), ER_OK);
    free(copy);
}

static void begin(er_frames *frames, seen *s) {
    *s = (seen){0};
    er_buf_init(&s->text, 1u << 20);
    er_frames_init(frames, 12);
}

static void end(er_frames *frames, seen *s) {
    er_buf_fini(&s->text);
    er_frames_fini(frames);
}

static void test_every_cut(void **state) {
    (void)state;
    size_t n = sizeof stream - 1;
    er_frames frames;
    seen s;
    for (size_t i = 0; i <= n; i++) {
        for (size_t j = i; j <= n; j++) {
            begin(&frames, &s);
            feed(&frames, &s, stream, i);
            feed(&frames, &s, stream + i, j - i);
            feed(&frames, &s, stream + j, n - j);
            assert_string_equal(er_buf_cstr(&s.text), want);
            assert_true(er_frames_pending(&frames)); /* "rest" */
            end(&frames, &s);
        }
    }
}

static void test_one_byte_at_a_time(void **state) {
    (void)state;
    er_frames frames;
    seen s;
    begin(&frames, &s);
    for (size_t i = 0; i < sizeof stream - 1; i++) {
        feed(&frames, &s, stream + i, 1);
    }
    assert_string_equal(er_buf_cstr(&s.text), want);
    end(&frames, &s);
}

static void test_pending(void **state) {
    (void)state;
    er_frames frames;
    seen s;
    begin(&frames, &s);
    assert_false(er_frames_pending(&frames));
    feed(&frames, &s, "ab", 2);
    assert_true(er_frames_pending(&frames));
    feed(&frames, &s, "\n", 1);
    assert_false(er_frames_pending(&frames));
    feed(&frames, &s, "0123456789abcdef", 16);
    assert_true(er_frames_pending(&frames));
    feed(&frames, &s, "0123\nx\n", 7);
    assert_false(er_frames_pending(&frames));
    assert_string_equal(er_buf_cstr(&s.text), "[ab]<20>[x]");
    end(&frames, &s);
}

static void test_stopping(void **state) {
    (void)state;
    er_frames frames;
    seen s;
    begin(&frames, &s);
    s.stop_after = 2;
    er_frames_handler handler = {&s, on_frame, NULL};
    assert_int_equal(er_frames_feed(&frames, ER_STR("a\nb\nc\n"), &handler), ER_E_CANCELLED);
    assert_string_equal(er_buf_cstr(&s.text), "[a][b]");
    end(&frames, &s);
}

static void test_memory_is_given_back(void **state) {
    (void)state;
    er_frames frames;
    seen s = {0};
    er_buf_init(&s.text, 8u << 20);
    er_frames_init(&frames, ER_KUBE_FRAME_MAX);
    er_buf big;
    er_buf_init(&big, 2u << 20);
    for (size_t i = 0; i < 1u << 20; i++) {
        er_buf_putc(&big, 'x');
    }
    feed(&frames, &s, big.p, big.len);
    assert_true(frames.line.cap > ER_FRAMES_KEEP);
    feed(&frames, &s, "\n", 1);
    assert_true(frames.line.cap <= ER_FRAMES_KEEP);
    assert_int_equal(s.text.len, (1u << 20) + 2);
    er_buf_fini(&big);
    end(&frames, &s);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_valid),
        cmocka_unit_test(test_version_order),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_bodies_that_are_no_list),
        cmocka_unit_test(test_a_real_page),
        cmocka_unit_test(test_every_truncation_is_found),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_the_number_of_items),
        cmocka_unit_test(test_every_cut),
        cmocka_unit_test(test_one_byte_at_a_time),
        cmocka_unit_test(test_pending),
        cmocka_unit_test(test_stopping),
        cmocka_unit_test(test_memory_is_given_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
