/* The answer to _bulk: 200, whatever became of the items.
 *
 *   {"errors":true,"items":[{"create":{"status":201}},{"create":{"status":400,"error":{...}}}]}
 *
 * It may be megabytes long and comes for every batch, so no tree of it is made: the text is cut
 * into items, and only items that differ from the usual one are parsed, one at a time. */
#include "sinks/elasticsearch.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TYPE_MAX   100 /* bytes of a type and a reason, as people read them */
#define REASON_MAX 300

#define LIFT_CLUSTER "lift the block of the cluster"
#define TARGET_RIGHT "put the target right"

typedef enum kind {
    KIND_RETRY, /* first, so that what nothing is known of is tried again */
    KIND_DELIVERED,
    KIND_DUPLICATE,
    KIND_FAILURE_STORE,
    KIND_REJECT,
    KIND_TOO_LARGE,
    KIND_BLOCKED_FOR_NOW, /* the disk is full */
    KIND_RED_INDEX,       /* it has no primary shard now; others may have */
    KIND_DENIED,
    KIND_DENIED_INDEX, /* this one; others may be open */
    KIND_DENIED_BLOCK, /* the same, by a block that was set */
} kind;

typedef struct result {
    kind kind;
    char *text; /* what went wrong, owned; NULL: nothing */
} result;

/* ---- one item ---- */

static bool has(er_str text, const char *part) {
    return text.n > 0 && memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* 400 is usually the record's fault. These are the target's: all records that go there would meet
 * with them, and the operator can put them right. */
static kind kind_of_400(er_str type, er_str reason) {
    static const char *const types[] = {"index_closed_exception", "invalid_index_name_exception",
                                        "invalid_alias_name_exception",
                                        "routing_missing_exception"};
    static const char *const reasons[] = {"maximum shards open", "maximum normal shards open",
                                          "no write index is defined",
                                          "only write ops with an op_type of create"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (er_str_eqc(type, types[i])) {
            return KIND_DENIED_INDEX;
        }
    }
    if (er_str_eqc(type, "resource_already_exists_exception")) {
        return KIND_RETRY; /* two who create an index at the same time: it is there now */
    }
    if (!er_str_eqc(type, "illegal_argument_exception") &&
        !er_str_eqc(type, "validation_exception")) {
        return KIND_REJECT;
    }
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (has(reason, reasons[i])) {
            return KIND_DENIED_INDEX;
        }
    }
    return has(reason, "pipeline with id") ? KIND_DENIED : KIND_REJECT;
}

/* Of the index, of all indices, or of new ones. */
static bool is_block(er_str type) {
    return er_str_eqc(type, "cluster_block_exception") ||
           er_str_eqc(type, "index_create_block_exception");
}

static kind kind_of(int64_t status, er_str type, er_str reason) {
    switch (status) {
    case 200:
    case 201:
        return KIND_DELIVERED;
    case 400:
        return kind_of_400(type, reason);
    case 401:
        return KIND_DENIED;
    case 404:
        return KIND_DENIED_INDEX;
    case 403:
        return is_block(type) ? KIND_DENIED_BLOCK : KIND_DENIED_INDEX;
    case 409:
        return type.n == 0 || er_str_eqc(type, "version_conflict_engine_exception") ? KIND_DUPLICATE
                                                                                    : KIND_RETRY;
    case 413:
        return KIND_TOO_LARGE;
    case 429: /* OpenSearch's flood stage */
        return er_str_eqc(type, "cluster_block_exception") ? KIND_BLOCKED_FOR_NOW : KIND_RETRY;
    case 408:
    case 425:
        return KIND_RETRY;
    case 500: /* the processor `fail` of a pipeline, whose purpose is to refuse */
        return er_str_eqc(type, "fail_processor_exception") ? KIND_REJECT : KIND_RETRY;
    case 503:
        return er_str_eqc(type, "unavailable_shards_exception") ? KIND_RED_INDEX : KIND_RETRY;
    default:
        return status >= 400 && status <= 499 ? KIND_REJECT : KIND_RETRY;
    }
}

static void put_line(er_str text, size_t max, er_buf *out) {
    text.n = er_utf8_cut(text, max);
    for (size_t i = 0; i < text.n; i++) {
        bool is_control = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f;
        er_buf_putc(out, is_control ? ' ' : text.p[i]);
    }
}

/* "type: reason", each of which may be missing, behind a separator. */
static void put_reason(const char *separator, er_str type, er_str reason, er_buf *out) {
    if (type.n > 0) {
        er_buf_puts(out, separator);
        put_line(type, TYPE_MAX, out);
    }
    if (reason.n > 0) {
        er_buf_puts(out, ": ");
        put_line(reason, REASON_MAX, out);
    }
}

/* reason alone may be "closed" or "failed to parse": which index, and why, stand beside it. */
static char *describe(int64_t status, const er_json *error) {
    er_str reason = er_json_get_str(error, "reason");
    er_str cause = er_json_get_str(er_json_get(error, "caused_by"), "reason");
    er_str index = er_json_get_str(error, "index");
    er_buf text;
    er_buf_init(&text, TYPE_MAX + 3 * REASON_MAX + 64);
    er_buf_putf(&text, "%lld", (long long)status);
    put_reason(" ", er_json_get_str(error, "type"), reason, &text);
    put_reason("", (er_str){0}, cause, &text);
    er_buf name;
    er_buf_init(&name, REASON_MAX + 3);
    er_buf_puts(&name, " [");
    put_line(index, REASON_MAX, &name);
    er_buf_putc(&name, ']');
    if (index.n > 0 && !has(er_buf_str(&text), er_buf_cstr(&name))) {
        er_buf_put_str(&text, er_buf_str(&name));
    }
    er_buf_fini(&name);
    char *owned = er_dup(er_buf_cstr(&text));
    er_buf_fini(&text);
    return owned;
}

/* Type and reason of the error that an answer is; "" when it is none. In memory of text and doc. */
typedef struct whole_error {
    char *text; /* owned */
    er_str type, reason;
} whole_error;

static whole_error read_error(const er_http_response *res, er_json_doc *doc) {
    whole_error e = {.text = er_str_dup(er_buf_str(&res->body))}; /* the parser may change it */
    if (res->body.len > 0 && er_json_parse(doc, e.text, res->body.len, NULL) == ER_OK) {
        const er_json *error = er_json_get(doc->root, "error");
        e.type = er_json_get_str(error, "type");
        e.reason = er_json_get_str(error, "reason");
    }
    return e;
}

/* What no record can bring about: a parameter of ours, a setting of the cluster
 * (rest.action.multi.allow_explicit_index), or a body that did not arrive as it was sent, since
 * only the lines between the documents are read before each document is judged for itself. */
static bool is_ours(er_str type, er_str reason) {
    static const char *const reasons[] = {"unrecognized parameter", "explicit index in bulk",
                                          "must be terminated by a newline"};
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++) {
        if (has(reason, reasons[i])) {
            return true;
        }
    }
    return has(type, "parse_exception") || er_str_eqc(type, "json_e_o_f_exception") ||
           er_str_eqc(type, "media_type_header_exception");
}

bool er_elastic_blames_records(const er_http_response *res, er_json_doc *doc) {
    whole_error e = read_error(res, doc);
    bool blames = res->status == 400 && e.type.n > 0 && !is_ours(e.type, e.reason) &&
                  kind_of_400(e.type, e.reason) == KIND_REJECT;
    free(e.text);
    return blames;
}

const char *er_elastic_say(const er_http_response *res, er_json_doc *doc, er_buf *out) {
    whole_error e = read_error(res, doc);
    bool is_known = e.type.n + e.reason.n > 0;
    put_reason(": ", e.type, is_known ? e.reason : er_str_trim(er_buf_str(&res->body)), out);
    const char *todo = NULL;
    if (is_block(e.type)) {
        todo = LIFT_CLUSTER;
    } else if (has(e.reason, "explicit index in bulk")) {
        todo = "set rest.action.multi.allow_explicit_index of the cluster to true";
    } else if (res->status == 400 && kind_of_400(e.type, e.reason) != KIND_REJECT) {
        todo = TARGET_RIGHT;
    }
    free(e.text);
    return todo;
}

static result judge_parsed(const er_json *item, er_str id) {
    const er_json *create = er_json_get(item, "create");
    int64_t status = 0;
    if (!er_json_int(er_json_get(create, "status"), &status)) {
        return (result){.text = er_dup("a result without a status")};
    }
    const er_json *told_id = er_json_get(create, "_id");
    if (told_id != NULL && !er_str_eq(er_json_str(told_id), id)) {
        return (result){.text = er_dup("a result of another document stands in its place")};
    }
    const er_json *error = er_json_get(create, "error");
    er_str type = er_json_get_str(error, "type");
    er_str reason = er_json_get_str(error, "reason");
    result r = {.kind = kind_of(status, type, reason)};
    if (r.kind == KIND_DELIVERED && er_str_eqc(er_json_get_str(create, "failure_store"), "used")) {
        r.kind = KIND_FAILURE_STORE;
    }
    if (r.kind != KIND_DELIVERED && r.kind != KIND_DUPLICATE && r.kind != KIND_FAILURE_STORE) {
        r.text = describe(status, error);
    }
    return r;
}

static result judge_item(er_json_doc *doc, char *text, size_t n, er_str id) {
    static const char usual[] = "{\"create\":{\"status\":201}}";
    if (n == sizeof usual - 1 && memcmp(text, usual, n) == 0) {
        return (result){.kind = KIND_DELIVERED};
    }
    if (er_json_parse(doc, text, n, NULL) != ER_OK) {
        return (result){.text = er_dup("a result that is not JSON")};
    }
    return judge_parsed(doc->root, id);
}

/* ---- all items ---- */

typedef struct cursor {
    char *p;
    const char *end;
} cursor;

static void skip_blanks(cursor *c) {
    while (c->p < c->end && strchr(" \t\r\n", *c->p) != NULL && *c->p != '\0') {
        c->p++;
    }
}

/* Takes one character, blanks before it passed over. */
static bool take(cursor *c, char wanted) {
    skip_blanks(c);
    bool is_there = c->p < c->end && *c->p == wanted;
    c->p += is_there;
    return is_there;
}

/* Moves behind the opening bracket of the member "items" of the object that the text is. */
static bool find_items(cursor *c) {
    if (!take(c, '{')) {
        return false;
    }
    do {
        skip_blanks(c);
        const char *key = c->p;
        const char *behind = key < c->end && *key == '"' ? er_json_skip(key, c->end) : NULL;
        if (behind == NULL) {
            return false;
        }
        er_str name = {key, (size_t)(behind - key)};
        c->p += name.n;
        if (!take(c, ':')) {
            return false;
        }
        if (er_str_eqc(name, "\"items\"")) {
            return take(c, '[');
        }
        skip_blanks(c);
        behind = er_json_skip(c->p, c->end);
        if (behind == NULL) {
            return false;
        }
        c->p += behind - c->p;
    } while (take(c, ','));
    return false;
}

/* Reads at most n results; has_end: the array ended behind the last one. Returns how many. */
static size_t read_items(er_json_doc *doc, cursor *c, const er_batch *batch, result *results,
                         bool *has_end) {
    size_t i = 0;
    *has_end = take(c, ']');
    while (!*has_end && i < er_batch_len(batch)) {
        skip_blanks(c);
        const char *behind = er_json_skip(c->p, c->end);
        if (behind == NULL) {
            return i;
        }
        size_t n = (size_t)(behind - c->p);
        char *text = c->p;
        c->p += n;
        results[i] = judge_item(doc, text, n, er_batch_record(batch, i)->id);
        i++;
        *has_end = take(c, ']');
        if (!*has_end && !take(c, ',')) {
            return i;
        }
    }
    return i;
}

/* ---- what they mean together ---- */

typedef struct summary {
    size_t kinds[KIND_DENIED_BLOCK + 1];
    const char *texts[KIND_DENIED_BLOCK + 1]; /* of the first of its kind */
    bool rejections_differ;
    const result *denied; /* the first that stops the sink */
} summary;

static const char *advice(const result *r) {
    return r->kind == KIND_DENIED_BLOCK
               ? (strstr(r->text, "/cluster ") != NULL ? LIFT_CLUSTER
                                                       : "lift the block of the index")
           : strstr(r->text, "require_alias") != NULL
               ? "create the alias with a write index, or set setup: true"
           : strstr(r->text, "index_not_found") != NULL
               ? "create it, or let it be created (action.auto_create_index, privilege "
                 "auto_configure)"
           : strstr(r->text, "index_closed") != NULL ? "open the index"
           : strncmp(r->text, "401", 3) == 0 || strncmp(r->text, "403", 3) == 0
               ? "check the privileges of auth: create_doc on the target"
               : TARGET_RIGHT;
}

static void deny(const er_elastic_judge *judge, er_batch *batch, size_t i, const result *r) {
    char text[TYPE_MAX + 3 * REASON_MAX + 256];
    (void)snprintf(text, sizeof text, "%s; %s", r->text, advice(r));
    bool is_one = judge->sets_aside && r->kind != KIND_DENIED;
    er_batch_judge(batch, i, is_one ? ER_VERDICT_ASIDE : ER_VERDICT_RETRY, ER_REASON_NONE, text);
}

static void apply(const er_elastic_judge *judge, er_batch *batch, size_t i, const result *r) {
    switch (r->kind) {
    case KIND_DELIVERED:
    case KIND_DUPLICATE:
    case KIND_FAILURE_STORE:
        er_batch_judge(batch, i, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
        break;
    case KIND_REJECT:
        er_batch_judge(batch, i, ER_VERDICT_REJECT, ER_REASON_REFUSED, r->text);
        break;
    case KIND_TOO_LARGE:
        er_batch_judge(batch, i, ER_VERDICT_REJECT, ER_REASON_TOO_LARGE, r->text);
        break;
    case KIND_DENIED:
    case KIND_DENIED_INDEX:
    case KIND_DENIED_BLOCK:
        deny(judge, batch, i, r);
        break;
    case KIND_RED_INDEX:
        er_batch_judge(batch, i, judge->sets_aside ? ER_VERDICT_ASIDE : ER_VERDICT_RETRY,
                       ER_REASON_NONE, r->text);
        break;
    case KIND_RETRY:
    case KIND_BLOCKED_FOR_NOW:
        er_batch_judge(batch, i, ER_VERDICT_RETRY, ER_REASON_NONE, r->text);
        break;
    }
}

static void count(const er_elastic_counters *counters, const summary *s) {
    er_counter_add(counters->duplicates, s->kinds[KIND_DUPLICATE]);
    er_counter_add(counters->failure_store, s->kinds[KIND_FAILURE_STORE]);
    er_counter_add(counters->blocked, s->kinds[KIND_BLOCKED_FOR_NOW] + s->kinds[KIND_DENIED_BLOCK]);
}

/* What the operator must know beyond single records. */
static er_status conclude(const er_elastic_judge *judge, const summary *s, size_t n, er_err *err) {
    if (s->kinds[KIND_REJECT] == n && n > 1 && !s->rejections_differ) {
        ER_LOG(ER_LOG_ERROR, "elasticsearch",
               "every record of a batch was refused, is the mapping or the target wrong?",
               ER_LS("sink", judge->name), ER_LI("records", n),
               ER_LS("error", s->texts[KIND_REJECT]));
    }
    if (s->kinds[KIND_FAILURE_STORE] > 0) {
        ER_LOG(ER_LOG_WARNING, "elasticsearch", "records went to the failure store",
               ER_LS("sink", judge->name), ER_LI("records", s->kinds[KIND_FAILURE_STORE]));
    }
    if (s->denied != NULL) {
        return er_err_set(err, ER_E_DENIED, "%s; %s", s->denied->text, advice(s->denied));
    }
    if (s->kinds[KIND_BLOCKED_FOR_NOW] > 0) {
        ER_LOG(ER_LOG_ERROR, "elasticsearch",
               "the index is blocked, records are kept; is a disk of the cluster full?",
               ER_LS("sink", judge->name), ER_LS("error", s->texts[KIND_BLOCKED_FOR_NOW]));
        (void)er_err_set(err, ER_E_UNAVAILABLE, "%s", s->texts[KIND_BLOCKED_FOR_NOW]);
        if (err != NULL) {
            err->retry_after_ms = judge->long_wait_ms;
        }
        return ER_OK;
    }
    if (s->kinds[KIND_RETRY] > 0) {
        (void)er_err_set(err, ER_E_UNAVAILABLE, "%zu of %zu records were not taken: %s",
                         s->kinds[KIND_RETRY], n, s->texts[KIND_RETRY]);
    }
    return ER_OK;
}

static void add(const er_elastic_judge *judge, summary *s, const result *r) {
    kind counted = r->kind == KIND_RED_INDEX && !judge->sets_aside ? KIND_RETRY : r->kind;
    s->kinds[counted]++;
    bool stops = r->kind == KIND_DENIED || (!judge->sets_aside && r->kind > KIND_DENIED);
    s->denied = stops && s->denied == NULL ? r : s->denied;
    const char **first = &s->texts[counted];
    if (r->kind == KIND_REJECT && *first != NULL && strncmp(*first, r->text, 40) != 0) {
        s->rejections_differ = true;
    }
    *first = *first == NULL ? r->text : *first;
}

/* Whose results are missing cannot be told, so none counts. What is no result at all has come from
 * something else, and its beginning tells from what. */
static er_status not_understood(const er_elastic_judge *judge, er_str answer, size_t read,
                                size_t len, bool has_end, er_err *err) {
    er_buf text;
    er_buf_init(&text, REASON_MAX + 512);
    er_buf_putf(&text, "%zu results for %zu records%s", read, len,
                has_end ? "" : ", without an end");
    if (read == 0) {
        put_reason(": ", (er_str){0}, er_str_trim(answer), &text);
        er_buf_putf(&text, "; check sinks.%s.url", judge->name);
    }
    er_status status = er_err_set(err, ER_E_UNAVAILABLE,
                                  "the answer to _bulk is not understood: %s", er_buf_cstr(&text));
    er_buf_fini(&text);
    return status;
}

er_status er_elastic_judge_items(const er_elastic_judge *judge, char *text, size_t n, bool was_cut,
                                 er_batch *batch, er_err *err) {
    size_t len = er_batch_len(batch);
    result *results = er_xcalloc(len + 1, sizeof *results);
    cursor c = {text, text + n};
    bool has_end = false;
    size_t read =
        n > 0 && find_items(&c) ? read_items(judge->doc, &c, batch, results, &has_end) : 0;
    er_status status;
    if (was_cut ? read == 0 : read < len || !has_end) {
        status = not_understood(judge, (er_str){text, n}, read, len, has_end, err);
    } else {
        summary s = {0};
        for (size_t i = 0; i < read; i++) {
            apply(judge, batch, i, &results[i]);
            add(judge, &s, &results[i]);
        }
        count(judge->counters, &s);
        status = conclude(judge, &s, len, err);
        if (read < len && status == ER_OK) {
            (void)er_err_set(err, ER_E_UNAVAILABLE,
                             "the answer to _bulk is too long: the results of %zu records of %zu "
                             "were read",
                             read, len);
        }
    }
    for (size_t i = 0; i < len; i++) {
        free(results[i].text);
    }
    free(results);
    return status;
}
