/* The body of a list: a scanner that knows JSON's strings and brackets and nothing else. */
#include "kube/page.h"

#include "base/json_read.h"
#include "base/word.h"

#include <stdlib.h>
#include <string.h>

void er_kube_page_init(er_kube_page *page) {
    *page = (er_kube_page){0};
    er_buf_init(&page->body, ER_KUBE_FRAME_MAX);
}

void er_kube_page_fini(er_kube_page *page) {
    er_buf_fini(&page->body);
    free(page->cont);
    free(page->items);
    *page = (er_kube_page){0};
}

/* ---- the cursor ---- */

typedef struct cursor {
    const char *at, *end, *start;
} cursor;

static void skip_space(cursor *c) {
    while (c->at < c->end &&
           (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r')) {
        c->at++;
    }
}

/* Passes over one character, with the white space before it. */
static bool take(cursor *c, char wanted) {
    skip_space(c);
    if (c->at == c->end || *c->at != wanted) {
        return false;
    }
    c->at++;
    return true;
}

/* The next character behind white space, NUL at the end. */
static char peek(cursor *c) {
    skip_space(c);
    return c->at == c->end ? '\0' : *c->at;
}

/* Behind the bytes that neither end a string nor escape, or a few less. Most bytes of a list are in
 * strings: eight are looked at together. */
static const char *skip_plain(const char *at, const char *end) {
    while ((size_t)(end - at) >= sizeof(uint64_t)) {
        uint64_t word = er_word_load(at);
        if ((er_word_has(word, '"') | er_word_has(word, '\\')) != 0) {
            break;
        }
        at += sizeof word;
    }
    return at;
}

/* A string; *inner is what stands between its quotes. */
static bool string(cursor *c, er_str *inner) {
    if (!take(c, '"')) {
        return false;
    }
    const char *first = c->at;
    c->at = skip_plain(c->at, c->end);
    while (c->at < c->end && *c->at != '"') {
        bool escapes = *c->at == '\\';
        c->at += escapes ? 2 : 1;
        if (escapes && c->at < c->end) {
            c->at = skip_plain(c->at, c->end);
        }
    }
    if (c->at >= c->end) {
        c->at = c->end;
        return false;
    }
    *inner = (er_str){first, (size_t)(c->at - first)};
    c->at++;
    return true;
}

/* A number, true, false or null, by its characters. */
static bool word(cursor *c) {
    const char *first = c->at;
    while (c->at < c->end && *c->at != '\0' &&
           strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzE", *c->at) != NULL) {
        c->at++;
    }
    return c->at > first;
}

static bool bracketed(cursor *c) {
    uint64_t is_object[ER_KUBE_PAGE_DEPTH / 64] = {0}; /* a bit per level */
    size_t depth = 0;
    do {
        char next = peek(c);
        er_str ignored;
        if (next == '{' || next == '[') {
            if (depth == ER_KUBE_PAGE_DEPTH) {
                return false;
            }
            uint64_t bit = UINT64_C(1) << (depth % 64);
            is_object[depth / 64] &= ~bit;
            is_object[depth / 64] |= next == '{' ? bit : 0;
            depth++;
            c->at++;
        } else if (next == '}' || next == ']') {
            depth--;
            bool object = (is_object[depth / 64] >> (depth % 64) & 1) != 0;
            if (object != (next == '}')) {
                return false;
            }
            c->at++;
        } else if (next == ',' || next == ':') {
            c->at++;
        } else if (next == '"' ? !string(c, &ignored) : !word(c)) {
            return false;
        }
    } while (depth > 0);
    return true;
}

/* Any value; *out is its text. */
static bool value(cursor *c, er_str *out) {
    char next = peek(c);
    const char *first = c->at;
    er_str ignored;
    bool ok =
        next == '{' || next == '[' ? bracketed(c) : (next == '"' ? string(c, &ignored) : word(c));
    *out = (er_str){first, (size_t)(c->at - first)};
    return ok;
}

/* ---- members ---- */

static er_status fault(const cursor *c, er_err *err, const char *what) {
    if (c->at >= c->end) {
        return er_err_set(err, ER_E_INVAL, "not a list: it ends after %zu bytes, %s",
                          (size_t)(c->end - c->start), what);
    }
    return er_err_set(err, ER_E_INVAL, "not a list: offset %zu: %s", (size_t)(c->at - c->start),
                      what);
}

/* Walks over an object's members. member returns whether it could read the value. */
static er_status object(cursor *c, er_kube_page *page, er_err *err,
                        er_status (*member)(cursor *, er_str key, er_kube_page *, er_err *)) {
    if (!take(c, '{')) {
        return fault(c, err, "an object should begin");
    }
    if (take(c, '}')) {
        return ER_OK;
    }
    do {
        er_str key;
        if (!string(c, &key) || !take(c, ':')) {
            return fault(c, err, "a member should stand there");
        }
        er_status status = member(c, key, page, err);
        if (status != ER_OK) {
            return status;
        }
    } while (take(c, ','));
    return take(c, '}') ? ER_OK : fault(c, err, "the object is not closed");
}

static er_status skip(cursor *c, er_err *err) {
    er_str ignored;
    return value(c, &ignored) ? ER_OK : fault(c, err, "a value should stand there");
}

/* The token is opaque; escapes are resolved when it has some. */
static char *unescaped(er_str inner) {
    if (inner.n == 0 || memchr(inner.p, '\\', inner.n) == NULL) {
        return er_str_dup(inner);
    }
    er_buf text;
    er_buf_init(&text, ER_KUBE_CONTINUE_MAX + 2);
    er_buf_putc(&text, '"');
    er_buf_put_str(&text, inner);
    er_buf_putc(&text, '"');
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *plain = NULL;
    if (er_buf_status(&text) == ER_OK && er_json_parse(&doc, text.p, text.len, NULL) == ER_OK) {
        plain = er_str_dup(er_json_str(doc.root));
    }
    er_json_doc_fini(&doc);
    er_buf_fini(&text);
    return plain;
}

static er_status take_version(cursor *c, er_kube_page *page, er_err *err) {
    er_str text;
    if (page->version[0] != '\0' || !string(c, &text) || !er_version_valid(text)) {
        return fault(c, err, "metadata.resourceVersion is not a decimal number in a string");
    }
    memcpy(page->version, text.p, text.n);
    page->version[text.n] = '\0';
    return ER_OK;
}

static er_status take_continue(cursor *c, er_kube_page *page, er_err *err) {
    er_str text;
    if (page->cont != NULL || !string(c, &text) || text.n > ER_KUBE_CONTINUE_MAX) {
        return fault(c, err, "metadata.continue cannot be used");
    }
    page->cont = unescaped(text);
    return page->cont != NULL ? ER_OK : fault(c, err, "metadata.continue cannot be used");
}

static er_status metadata_member(cursor *c, er_str key, er_kube_page *page, er_err *err) {
    if (er_str_eqc(key, "resourceVersion")) {
        return take_version(c, page, err);
    }
    if (er_str_eqc(key, "continue") && peek(c) == '"') { /* null: none */
        return take_continue(c, page, err);
    }
    return skip(c, err);
}

/* ---- items ---- */

#define FIRST_ITEMS 64

typedef struct growing {
    er_str *v;
    size_t n, cap;
} growing;

static bool push(growing *items, er_str item) {
    if (items->n == items->cap) {
        size_t cap = items->cap * 2;
        er_str *v = reallocarray(items->v, cap, sizeof *v);
        if (v == NULL) {
            return false;
        }
        items->v = v;
        items->cap = cap;
    }
    items->v[items->n++] = item;
    return true;
}

static er_status read_items(cursor *c, growing *items, er_err *err) {
    if (!take(c, '[')) {
        er_str null;
        bool none = value(c, &null) && er_str_eqc(null, "null"); /* an empty list of Go */
        return none ? ER_OK : fault(c, err, "items is not an array");
    }
    if (take(c, ']')) {
        return ER_OK;
    }
    do {
        er_str item;
        if (peek(c) != '{' || !value(c, &item)) {
            return fault(c, err, "an item is not an object, or cut");
        }
        if (items->n == ER_KUBE_PAGE_ITEMS) {
            return fault(c, err, "too many items");
        }
        if (!push(items, item)) {
            return er_err_set(err, ER_E_NOMEM, "out of memory for the items of a list");
        }
    } while (take(c, ','));
    return take(c, ']') ? ER_OK : fault(c, err, "items is not closed");
}

static er_status top_member(cursor *c, er_str key, er_kube_page *page, er_err *err) {
    if (er_str_eqc(key, "metadata")) {
        return object(c, page, err, metadata_member);
    }
    if (!er_str_eqc(key, "items")) {
        return skip(c, err);
    }
    if (page->items != NULL) {
        return fault(c, err, "items stands there twice");
    }
    growing items = {.v = calloc(FIRST_ITEMS, sizeof *items.v), .cap = FIRST_ITEMS};
    er_status status =
        items.v == NULL ? er_err_set(err, ER_E_NOMEM, "out of memory") : read_items(c, &items, err);
    page->items = items.v;
    page->n = items.n;
    return status;
}

static void empty(er_kube_page *page) {
    page->version[0] = '\0';
    free(page->cont);
    page->cont = NULL;
    free(page->items);
    page->items = NULL;
    page->n = 0;
}

er_status er_kube_page_scan(er_kube_page *page, er_err *err) {
    const char *text = er_buf_cstr(&page->body);
    cursor c = {text, text + page->body.len, text};
    empty(page);
    er_status status = object(&c, page, err, top_member);
    if (status == ER_OK && peek(&c) != '\0') {
        status = fault(&c, err, "more text behind the object");
    } else if (status == ER_OK && c.at < c.end) {
        status = fault(&c, err, "a NUL byte behind the object");
    } else if (status == ER_OK && page->version[0] == '\0') {
        status = er_err_set(err, ER_E_INVAL, "not a list: it has no metadata.resourceVersion");
    } else if (status == ER_OK && page->items == NULL) {
        status = er_err_set(err, ER_E_INVAL, "not a list: it has no items");
    }
    if (status != ER_OK) {
        empty(page);
    } else if (page->cont != NULL && page->cont[0] == '\0') {
        free(page->cont);
        page->cont = NULL;
    }
    return status;
}
