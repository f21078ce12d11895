/* record/deployment: whatever JSON comes as two versions of a Deployment makes records within the
 * rules and a memory that a second look agrees with; and env values do not come out.
 *
 * Input: a byte of options, a line with the first version, the rest with the second. */
#include "fuzz.h"

#include "record/deployment.h"
#include "record/read.h"
#include "record/tree.h"

#define OBSERVED 1767323060412345 /* 2026-01-02T03:04:20.412345Z */
#define LARGE    (64u << 20)

typedef struct run {
    er_deployment_options options;
    er_buf memory, records, planted; /* planted: a value that must not come out; empty: none */
    size_t changes, rollouts;
} run;

/* ---- a secret: an env value of the input that stands nowhere else in it ---- */

static size_t count(er_str text, er_str part) {
    size_t n = 0;
    const char *end = text.p + text.n;
    for (const char *at = text.p; (at = memmem(at, (size_t)(end - at), part.p, part.n)) != NULL;
         at += part.n) {
        n++;
    }
    return n;
}

/* Env values that begin so: no text of the program does. */
static bool is_planted(const er_json *list, const er_json *item, er_str *value) {
    *value = er_json_get_str(item, "value");
    return er_str_eqc(er_json_key(list), "env") && er_json_is_array(list) && value->n > 12 &&
           er_str_starts(*value, "planted-") && fuzz_is_utf8(*value);
}

static size_t count_planted(const er_json *node, er_str wanted, er_str *first) {
    size_t n = 0;
    for (const er_json *m = er_json_first(node); m != NULL; m = er_json_next(m)) {
        er_str value;
        if (is_planted(node, m, &value) && (wanted.n == 0 || er_str_eq(value, wanted))) {
            *first = value;
            n++;
        }
        n += count_planted(m, wanted, first);
    }
    return n;
}

/* Only spec is looked at: elsewhere env is no env. */
static void find_planted(run *r, const er_json *object) {
    er_str value = {0};
    er_str again;
    (void)count_planted(er_json_get(object, "spec"), (er_str){0}, &value);
    size_t as_env = value.n > 0 ? count_planted(er_json_get(object, "spec"), value, &again) : 0;
    er_buf text;
    er_jw w;
    er_buf_init(&text, LARGE);
    er_jw_init(&w, &text);
    er_tree_write(&w, object);
    bool is_only_env = value.n > 0 && count(er_buf_str(&text), value) == as_env;
    er_buf_clear(&r->planted);
    er_buf_put_str(&r->planted, is_only_env ? value : (er_str){0});
    er_buf_fini(&text);
}

static void check_hidden(const run *r, const er_buf *text) {
    FUZZ_CHECK(!r->options.redact || r->planted.len == 0 || text->len == 0 ||
               memmem(text->p, text->len, r->planted.p, r->planted.len) == NULL);
}

/* ---- records ---- */

static void check_id(er_str id) {
    FUZZ_CHECK(id.n >= 1 && id.n <= 64);
    FUZZ_CHECK(strspn(id.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
               id.n);
}

static void check_change(const er_json *record) {
    const er_json *change = er_json_get(record, "change");
    er_str operation = er_json_get_str(change, "operation");
    er_str message = er_json_get_str(record, "message");
    size_t entries = 0;
    for (const er_json *m = er_json_first(er_json_get(change, "diff")); m != NULL;
         m = er_json_next(m), entries++) {
        FUZZ_CHECK(er_json_get_str(m, "pointer").n > 0 || er_json_get_str(m, "path").n == 0);
        FUZZ_CHECK(er_json_get(m, "old") != NULL || er_json_get(m, "new") != NULL);
        FUZZ_CHECK(er_json_get_str(m, "old").n <= ER_TREE_TEXT_MAX);
        FUZZ_CHECK(er_json_get_str(m, "new").n <= ER_TREE_TEXT_MAX);
    }
    FUZZ_CHECK(entries <= ER_CHANGE_ENTRIES_MAX);
    FUZZ_CHECK(message.n > 0);
    for (size_t i = 0; i < message.n; i++) {
        FUZZ_CHECK((unsigned char)message.p[i] >= ' ');
    }
    bool is_update = er_str_eqc(operation, "updated");
    FUZZ_CHECK(is_update || er_str_eqc(operation, "created") || er_str_eqc(operation, "deleted"));
    FUZZ_CHECK(is_update == (er_json_get(change, "fields") != NULL));
}

static void check_read_back(const er_json *record, const er_buf *line) {
    er_buf texts;
    er_buf again;
    er_draft draft;
    er_err err;
    er_buf_init(&texts, LARGE);
    er_buf_init(&again, LARGE);
    FUZZ_CHECK(er_draft_from_json(record, &texts, &draft, &err) == ER_OK);
    er_record *rec = er_record_seal(&draft.rec);
    FUZZ_CHECK(rec != NULL);
    er_record_json(rec, &again);
    FUZZ_CHECK(er_str_eq(er_buf_str(&again), er_buf_str(line)));
    er_record_unref(rec);
    er_buf_fini(&texts);
    er_buf_fini(&again);
}

static void on_draft(void *arg, er_draft *draft) {
    run *r = arg;
    draft->rec.cluster = ER_STR("fuzz");
    er_record *rec = er_record_seal(&draft->rec);
    FUZZ_CHECK(rec != NULL);
    er_buf line;
    er_buf copy;
    er_json_doc doc;
    er_buf_init(&line, LARGE);
    er_buf_init(&copy, LARGE);
    er_record_json(rec, &line);
    er_buf_put_str(&copy, er_buf_str(&line));
    fuzz_reparse(&doc, &copy);
    check_id(er_json_get_str(doc.root, "id"));
    FUZZ_CHECK(rec->kind == ER_KIND_CHANGE || rec->kind == ER_KIND_ROLLOUT);
    if (rec->kind == ER_KIND_CHANGE) {
        check_change(doc.root);
        r->changes++;
    } else {
        r->rollouts++;
    }
    check_read_back(doc.root, &line);
    check_hidden(r, &line);
    er_buf_put_str(&r->records, er_buf_str(&line));
    er_json_doc_fini(&doc);
    er_buf_fini(&line);
    er_buf_fini(&copy);
    er_record_unref(rec);
}

/* ---- looks ---- */

static er_status look_once(run *r, er_sight sight, const er_json *object, er_str remembered) {
    er_err err = {0};
    er_look look = {.sight = sight,
                    .object = object,
                    .remembered = remembered,
                    .observed = OBSERVED,
                    .since = ER_TIME_NONE,
                    .arg = r,
                    .emit = on_draft,
                    .memory = &r->memory};
    r->changes = r->rollouts = 0;
    er_status status = er_deployment_look(&r->options, &look, &err);
    FUZZ_CHECK(status == ER_OK || err.msg[0] != '\0');
    FUZZ_CHECK(er_buf_status(&r->memory) == ER_OK);
    return status;
}

/* The same look again gives the same records, and one more look at the object none. */
static void look(run *r, er_sight sight, const er_json *object) {
    const er_json *meta = er_json_get(object, "metadata");
    bool named =
        er_json_get_str(meta, "uid").n > 0 && er_json_get_str(meta, "resourceVersion").n > 0;
    er_str before = er_buf_str(&r->memory);
    char *remembered = er_str_dup(before);
    er_str memory = {remembered, before.n};
    if (sight != ER_SIGHT_GONE) {
        find_planted(r, object);
    }
    er_status status = look_once(r, sight, object, memory);
    FUZZ_CHECK(status == (named || sight == ER_SIGHT_GONE ? ER_OK : ER_E_INVAL));
    FUZZ_CHECK(r->changes <= 1 && r->rollouts <= 4);
    FUZZ_CHECK(sight != ER_SIGHT_BASELINE || r->changes + r->rollouts == 0);
    check_hidden(r, &r->memory);
    char *records = er_str_dup(er_buf_str(&r->records));
    char *after = er_str_dup(er_buf_str(&r->memory));
    er_buf_clear(&r->records);
    FUZZ_CHECK(look_once(r, sight, object, memory) == status);
    FUZZ_CHECK(strcmp(er_buf_cstr(&r->records), records) == 0);
    FUZZ_CHECK(strcmp(er_buf_cstr(&r->memory), after) == 0);
    er_buf_clear(&r->records);
    if (status == ER_OK && r->memory.len > 0) {
        (void)look_once(r, ER_SIGHT_MODIFIED, object, er_str_of(after));
        FUZZ_CHECK(r->changes + r->rollouts == 0);
        FUZZ_CHECK(strcmp(er_buf_cstr(&r->memory), after) == 0);
    }
    free(records);
    free(after);
    free(remembered);
}

static void parse_and_look(run *r, er_sight sight, er_str text) {
    er_json_doc doc;
    er_err err;
    er_json_doc_init(&doc);
    char *copy = er_str_dup(text);
    if (er_json_parse(&doc, copy, text.n, &err) == ER_OK) {
        look(r, sight, doc.root);
    }
    er_json_doc_fini(&doc);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const er_sight firsts[] = {ER_SIGHT_BASELINE, ER_SIGHT_ADDED, ER_SIGHT_LISTED,
                                      ER_SIGHT_MODIFIED};
    static const er_sight seconds[] = {ER_SIGHT_MODIFIED, ER_SIGHT_LISTED, ER_SIGHT_DELETED,
                                       ER_SIGHT_ADDED};
    fuzz_input in = {(const char *)data, size};
    unsigned flags = fuzz_byte(&in);
    const er_str ignore[] = {ER_STR("spec.replicas")};
    run r = {.options = {.redact = (flags & 1) == 0,
                         .form = (er_change_form)((flags >> 1) % 3),
                         .key = ER_STR("0123456789abcdef"),
                         .ignore = ignore,
                         .ignore_n = flags >> 7}};
    er_buf_init(&r.memory, LARGE);
    er_buf_init(&r.records, LARGE);
    er_buf_init(&r.planted, LARGE);
    er_str first = fuzz_line(&in);
    parse_and_look(&r, firsts[flags >> 3 & 3], first);
    parse_and_look(&r, seconds[flags >> 5 & 3], fuzz_take(&in, in.n));
    look(&r, ER_SIGHT_GONE, NULL);
    FUZZ_CHECK(r.memory.len == 0);
    er_buf_fini(&r.memory);
    er_buf_fini(&r.records);
    er_buf_fini(&r.planted);
    return 0;
}
