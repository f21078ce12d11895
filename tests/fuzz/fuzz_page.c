/* kube/page: the scanner finds in a list what a JSON parser finds in it, and slices of the body
 * only.
 *
 * Input: the body of a list; the same bytes also serve as the texts of a list that is well made. */
#include "fuzz.h"

#include "base/json_write.h"
#include "kube/page.h"

/* ---- any bytes ---- */

static void check_slices(const er_kube_page *page) {
    const char *at = page->body.p;
    const char *end = page->body.p + page->body.len;
    for (size_t i = 0; i < page->n; i++) {
        er_str item = page->items[i];
        FUZZ_CHECK(item.p > at && item.n >= 2 && item.n < (size_t)(end - item.p));
        FUZZ_CHECK(item.p[0] == '{' && item.p[item.n - 1] == '}');
        at = item.p + item.n;
    }
}

static bool same(const er_json *a, const er_json *b);

static bool same_children(const er_json *a, const er_json *b) {
    const er_json *x = er_json_first(a);
    const er_json *y = er_json_first(b);
    while (x != NULL && y != NULL && same(x, y)) {
        x = er_json_next(x);
        y = er_json_next(y);
    }
    return x == NULL && y == NULL;
}

static bool same(const er_json *a, const er_json *b) {
    int64_t i = 0;
    int64_t j = 0;
    return er_json_is_object(a) == er_json_is_object(b) &&
           er_json_is_array(a) == er_json_is_array(b) &&
           er_str_eq(er_json_key(a), er_json_key(b)) && er_str_eq(er_json_str(a), er_json_str(b)) &&
           er_json_int(a, &i) == er_json_int(b, &j) && i == j && same_children(a, b);
}

static void check_items(const er_kube_page *page, const er_json *items) {
    const er_json *item = er_json_is_array(items) ? er_json_first(items) : NULL;
    for (size_t i = 0; i < page->n; i++) {
        FUZZ_CHECK(item != NULL);
        er_json_doc doc;
        er_err err;
        er_json_doc_init(&doc);
        char *text = er_str_dup(page->items[i]);
        FUZZ_CHECK(er_json_parse(&doc, text, page->items[i].n, &err) == ER_OK);
        FUZZ_CHECK(same_children(doc.root, item));
        er_json_doc_fini(&doc);
        free(text);
        item = er_json_next(item);
    }
    FUZZ_CHECK(item == NULL);
}

/* How often a key stands in an object: of two, a parser takes the first, and the scanner reads
 * both.
 */
static size_t times(const er_json *object, const char *key) {
    size_t n = 0;
    for (const er_json *m = er_json_first(object); m != NULL; m = er_json_next(m)) {
        n += er_str_eqc(er_json_key(m), key) ? 1 : 0;
    }
    return n;
}

/* Keys with escapes in them are other keys to the scanner; the API server writes none. */
static bool comparable(const er_json *root, er_str body) {
    return times(root, "metadata") == 1 && memchr(body.p, '\\', body.n) == NULL;
}

static void check_as_json(const er_kube_page *page) {
    er_str body = er_buf_str(&page->body);
    char *text = er_str_dup(body);
    er_json_doc doc;
    er_err err;
    er_json_doc_init(&doc);
    if (er_json_parse(&doc, text, body.n, &err) == ER_OK && comparable(doc.root, body)) {
        const er_json *meta = er_json_get(doc.root, "metadata");
        FUZZ_CHECK(er_str_eqc(er_json_get_str(meta, "resourceVersion"), page->version));
        FUZZ_CHECK(er_str_eq(er_json_get_str(meta, "continue"), er_str_of(page->cont)));
        check_items(page, er_json_get(doc.root, "items"));
    }
    er_json_doc_fini(&doc);
    free(text);
}

static void scan_any(er_str bytes) {
    er_kube_page page;
    er_kube_page_init(&page);
    er_buf_put_str(&page.body, bytes);
    er_err err = {0};
    er_status status = er_kube_page_scan(&page, &err);
    if (status == ER_OK) {
        FUZZ_CHECK(er_version_valid(er_str_of(page.version)));
        FUZZ_CHECK(page.cont == NULL || page.cont[0] != '\0');
        check_slices(&page);
        check_as_json(&page);
    } else {
        FUZZ_CHECK(status == ER_E_INVAL && err.msg[0] != '\0');
        FUZZ_CHECK(page.n == 0 && page.items == NULL && page.cont == NULL);
    }
    er_kube_page_fini(&page);
}

/* ---- a list that is well made ---- */

static size_t put_items(er_jw *w, fuzz_input in) {
    size_t n = 0;
    er_jw_key(w, "items");
    er_jw_array(w);
    while (in.n > 0 && n < 20) {
        er_str text = fuzz_take(&in, 1 + fuzz_byte(&in) % 40);
        er_jw_object(w);
        er_jw_key_str(w, text);
        er_jw_str(w, text);
        er_jw_key(w, "metadata");
        er_jw_object(w);
        er_jw_kstr(w, "resourceVersion", text);
        er_jw_object_end(w);
        er_jw_object_end(w);
        n++;
    }
    er_jw_array_end(w);
    return n;
}

static void scan_made(fuzz_input in) {
    er_kube_page page;
    er_kube_page_init(&page);
    bool items_first = fuzz_byte(&in) % 2 == 1;
    er_str token = fuzz_take(&in, fuzz_byte(&in));
    er_jw w;
    er_jw_init(&w, &page.body);
    er_jw_object(&w);
    size_t n = items_first ? put_items(&w, in) : 0;
    er_jw_key(&w, "metadata");
    er_jw_object(&w);
    er_jw_kstr(&w, "continue", token);
    er_jw_kint(&w, "remainingItemCount", (int64_t)in.n);
    er_jw_kstr(&w, "resourceVersion", ER_STR("1137"));
    er_jw_object_end(&w);
    n = items_first ? n : put_items(&w, in);
    er_jw_object_end(&w);
    er_err err;
    FUZZ_CHECK(er_kube_page_scan(&page, &err) == ER_OK);
    FUZZ_CHECK(page.n == n);
    FUZZ_CHECK(strcmp(page.version, "1137") == 0);
    er_buf cont; /* NUL comes back as U+FFFD, as from any reader of ours */
    er_buf_init(&cont, 4096);
    for (size_t i = 0; i < token.n; i++) {
        token.p[i] == '\0' ? er_buf_puts(&cont, "\xef\xbf\xbd") : er_buf_putc(&cont, token.p[i]);
    }
    er_buf repaired;
    er_buf_init(&repaired, 4096);
    fuzz_repair(er_buf_str(&cont), &repaired);
    FUZZ_CHECK(er_str_eq(er_str_of(page.cont), er_buf_str(&repaired)));
    check_slices(&page);
    er_buf_fini(&cont);
    er_buf_fini(&repaired);
    er_kube_page_fini(&page);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    scan_any((er_str){(const char *)data, size});
    scan_made((fuzz_input){(const char *)data, size});
    return 0;
}
