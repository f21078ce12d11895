/* LIST: pages of the objects as of one version. */
#include "fake_api.h"
#include "fake_json.h"

#include "base/json_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GONE_CONTINUE                                                                              \
    "The provided continue parameter is too old to display a consistent list result. You can "     \
    "start a new list without the continue parameter, or use the continue token in this response " \
    "to retrieve the remainder of the results. Continuing with the provided token results in an "  \
    "inconsistent list - objects that were created, modified, or deleted between the time the "    \
    "first chunk was returned and now may show up in the list."

/* ---- continue tokens: base64url of {"v":…,"rv":N,"start":KEY,"page":N} ---- */

typedef struct token {
    bool inconsistent; /* rv -1: the newest state, from the key on */
    fake_version version;
    er_buf start; /* the first key is after this one */
    uint64_t page;
} token;

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put_base64(er_buf *out, er_str bytes) {
    for (size_t i = 0; i < bytes.n; i += 3) {
        uint32_t v = 0;
        size_t n = bytes.n - i < 3 ? bytes.n - i : 3;
        for (size_t k = 0; k < 3; k++) {
            v = v << 8 | (k < n ? (unsigned char)bytes.p[i + k] : 0);
        }
        for (size_t k = 0; k <= n; k++) {
            er_buf_putc(out, base64url[v >> (18 - 6 * k) & 63]);
        }
    }
}

static bool get_base64(er_str text, er_buf *out) {
    uint32_t v = 0;
    unsigned bits = 0;
    for (size_t i = 0; i < text.n; i++) {
        const char *at = text.p[i] == '\0' ? NULL : strchr(base64url, text.p[i]);
        if (at == NULL) {
            return false;
        }
        v = v << 6 | (uint32_t)(at - base64url);
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            er_buf_putc(out, (char)(v >> bits & 255));
        }
    }
    return true;
}

static void put_token(er_buf *out, const char *version, const char *start, uint64_t page) {
    er_buf json;
    er_jw w;
    er_buf_init(&json, 8192);
    er_jw_init(&w, &json);
    er_jw_object(&w);
    er_jw_kstr(&w, "v", ER_STR("meta.k8s.io/v1"));
    er_jw_key(&w, "rv");
    er_jw_raw(&w, er_str_of(version));
    er_jw_kstr(&w, "start", er_str_of(start));
    er_jw_kint(&w, "page", (int64_t)page);
    er_jw_object_end(&w);
    put_base64(out, er_buf_str(&json));
    er_buf_fini(&json);
}

static bool get_token(er_str text, token *out) {
    er_buf json;
    er_buf_init(&json, 8192);
    bool good = get_base64(text, &json) && fake_json_is_object(er_buf_str(&json));
    if (good) {
        er_str version = fake_json_path(er_buf_str(&json), "rv");
        out->inconsistent = er_str_eqc(version, "-1");
        good = (out->inconsistent || fake_version_parse(version, &out->version)) &&
               er_parse_u64(fake_json_path(er_buf_str(&json), "page"), &out->page);
        fake_json_path_text(er_buf_str(&json), "start", &out->start);
    }
    er_buf_fini(&json);
    return good;
}

uint64_t fake_list_page_of(er_str cont) {
    token t = {0};
    er_buf_init(&t.start, 4096);
    bool good = cont.n > 0 && get_token(cont, &t);
    er_buf_fini(&t.start);
    return good ? t.page : 1;
}

/* ---- one page ---- */

typedef struct query {
    fake_conn *conn;
    fake_asked *asked;
    uint64_t limit;
    fake_version version;
    bool has_cont;
    token cont;
    fake_selector selector;
} query;

static bool in_namespace(const query *q, const fake_change *change) {
    return q->asked->ns[0] == '\0' || er_str_eqc(fake_change_namespace(change), q->asked->ns);
}

static size_t first_after(const fake_list *items, const char *start) {
    size_t low = 0;
    size_t high = items->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(items->v[middle]->object->key, start) > 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* Items from *at on into out, up to the limit; *at moves behind the last one looked at. */
static size_t put_items(const query *q, const fake_list *items, size_t *at, er_jw *w) {
    size_t n = 0;
    for (; *at < items->n && (q->limit == 0 || n < q->limit); (*at)++) {
        const fake_change *change = items->v[*at];
        if (in_namespace(q, change) &&
            fake_selector_matches(&q->selector, fake_change_body(change))) {
            er_jw_raw(w, fake_change_body(change));
            n++;
        }
    }
    return n;
}

static size_t remaining(const query *q, const fake_list *items, size_t at) {
    size_t n = 0;
    for (; at < items->n; at++) {
        n += in_namespace(q, items->v[at]);
    }
    return n;
}

static void put_metadata(const query *q, er_jw *w, const char *start, size_t left) {
    char text[FAKE_VERSION_TEXT];
    const char *version = fake_version_text(q->version, text);
    er_jw_key(w, "metadata");
    er_jw_object(w);
    er_jw_kstr(w, "resourceVersion", er_str_of(version));
    if (left > 0) {
        er_buf cont;
        er_buf_init(&cont, 16384);
        put_token(&cont, version, start, q->asked->page + 1);
        er_jw_kstr(w, "continue", er_buf_str(&cont));
        er_buf_fini(&cont);
        if (q->selector.n == 0) {
            er_jw_kint(w, "remainingItemCount", (int64_t)left);
        }
    }
    er_jw_object_end(w);
}

static void put_page(const query *q, bool empty, er_buf *out) {
    fake_counts *counts = fake_counts_of(q->conn->fake->api, q->asked);
    const fake_resource_info *info = &fake_resources[q->asked->resource];
    char kind[64];
    const fake_list *items = fake_store_at(q->conn->fake->store, q->asked->resource, q->version);
    const char *start = q->has_cont ? er_str_dup(er_buf_str(&q->cont.start)) : er_dup("");
    size_t at = first_after(items, start);
    er_buf list;
    er_jw lw;
    er_buf_init(&list, FAKE_OUT_MAX);
    er_jw_init(&lw, &list);
    er_jw_array(&lw);
    size_t n = empty ? 0 : put_items(q, items, &at, &lw);
    er_jw_array_end(&lw);
    size_t left = remaining(q, items, at);
    const char *last = at == 0 || n == 0 ? start : items->v[at - 1]->object->key;
    /* A page without items says that there is more, whether or not that is so. */
    left = empty && left == 0 ? 1 : left;
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    (void)snprintf(kind, sizeof kind, "%sList", info->kind);
    er_jw_kstr(&w, "kind", er_str_of(kind));
    er_jw_kstr(&w, "apiVersion", er_str_of(info->api_version));
    put_metadata(q, &w, last, left);
    er_jw_key(&w, "items");
    er_jw_raw(&w, er_buf_str(&list));
    er_jw_object_end(&w);
    er_buf_fini(&list);
    free((void *)(uintptr_t)start);
    q->asked->items = n;
    counts->items += n;
    counts->lists_completed += left == 0 && q->asked->kind == FAKE_LIST;
}

static void refuse_continue(const query *q) {
    er_buf token_text;
    er_buf body;
    er_buf_init(&token_text, 16384);
    er_buf_init(&body, 65536);
    /* Counted from 1 again: how many pages this token lives for is a matter of its own. */
    er_buf start = q->cont.start;
    put_token(&token_text, "-1", er_buf_cstr(&start), 1);
    fake_status_put(&body, 410, GONE_CONTINUE, er_buf_cstr(&token_text));
    fake_api_send(q->conn, &(fake_head){.status = 410, .type = "application/json"},
                  er_buf_str(&body));
    er_buf_fini(&token_text);
    er_buf_fini(&body);
}

static void refuse_too_new(fake_conn *conn, fake_version wanted, fake_version current) {
    char a[FAKE_VERSION_TEXT];
    char b[FAKE_VERSION_TEXT];
    er_buf body;
    er_buf_init(&body, 4096);
    er_buf_putf(&body,
                "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
                "\"message\":\"Timeout: Too large resource version: %s, current: %s\",\"reason\":"
                "\"Timeout\",\"details\":{\"causes\":[{\"reason\":\"ResourceVersionTooLarge\","
                "\"message\":\"Too large resource version\"}]},\"code\":504}\n",
                fake_version_text(wanted, a), fake_version_text(current, b));
    fake_api_send(conn, &(fake_head){.status = 504, .type = "application/json"}, er_buf_str(&body));
    er_buf_fini(&body);
}

/* The version that resourceVersion and resourceVersionMatch ask for; false: answered. */
static bool choose_version(query *q, er_buf *text) {
    const fake_store *store = q->conn->fake->store;
    const fake_request *request = &q->conn->request;
    fake_version wanted = 0;
    q->version = store->version;
    if (!fake_request_param(request, "resourceVersion", text) || text->len == 0) {
        return true;
    }
    if (!fake_version_parse(er_buf_str(text), &wanted)) {
        fake_api_refuse(q->conn, 400, "invalid resource version");
        return false;
    }
    if (wanted == 0) {
        return true;
    }
    if (q->has_cont) {
        fake_api_refuse(q->conn, 400,
                        "specifying resource version is not allowed when using continue");
        return false;
    }
    (void)fake_request_param(request, "resourceVersionMatch", text);
    bool is_exact = er_str_eqc(er_buf_str(text), "Exact") || (text->len == 0 && q->limit > 0);
    if (wanted > store->version) {
        refuse_too_new(q->conn, wanted, store->version);
        return false;
    }
    if (is_exact && wanted < store->compacted) {
        fake_api_refuse(q->conn, 410, "The resourceVersion for the provided list is too old.");
        return false;
    }
    q->version = is_exact ? wanted : store->version;
    return true;
}

/* False: answered. */
static bool read_query(query *q, bool expire) {
    const fake_request *request = &q->conn->request;
    er_buf text;
    er_err err = {0};
    er_buf_init(&text, 16384);
    bool good = true;
    if (fake_request_param(request, "limit", &text) && text.len > 0 &&
        !er_parse_u64(er_buf_str(&text), &q->limit)) {
        fake_api_refuse(q->conn, 400, "limit: no number");
        good = false;
    }
    if (good && fake_selector_read(request, q->asked->resource, &q->selector, &err) != ER_OK) {
        fake_api_refuse(q->conn, 400, err.msg);
        good = false;
    }
    if (good && fake_request_param(request, "continue", &text) && text.len > 0) {
        q->has_cont = get_token(er_buf_str(&text), &q->cont);
        if (!q->has_cont) {
            fake_api_refuse(q->conn, 400, "invalid continue token");
        }
        good = q->has_cont;
    }
    good = good && choose_version(q, &text);
    if (good && q->has_cont) {
        bool is_gone = !q->cont.inconsistent && q->cont.version < q->conn->fake->store->compacted;
        q->version = q->cont.inconsistent ? q->version : q->cont.version;
        if (is_gone || expire) {
            refuse_continue(q);
            good = false;
        }
    } else if (good && expire) {
        fake_api_refuse(q->conn, 410, "The resourceVersion for the provided list is too old.");
        good = false;
    }
    er_buf_fini(&text);
    return good;
}

void fake_list_answer(fake_conn *conn, bool empty, bool expire) {
    fake_api *api = conn->fake->api;
    query q = {.conn = conn, .asked = conn->owner};
    er_buf_init(&q.cont.start, 4096);
    if (read_query(&q, expire)) {
        q.limit = api->page_max > 0 && (q.limit == 0 || q.limit > api->page_max) ? api->page_max
                                                                                 : q.limit;
        er_buf body;
        er_buf_init(&body, FAKE_OUT_MAX);
        put_page(&q, empty, &body);
        er_buf_putc(&body, '\n');
        fake_api_send(conn, &(fake_head){.status = 200, .type = "application/json"},
                      er_buf_str(&body));
        er_buf_fini(&body);
    }
    fake_selector_fini(&q.selector);
    er_buf_fini(&q.cont.start);
}
