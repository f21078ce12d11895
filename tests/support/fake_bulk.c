#include "fake_bulk.h"

#include "base/json_write.h"

#include <stdlib.h>
#include <string.h>

fake_bulk *fake_bulk_new(void) {
    return er_xcalloc(1, sizeof(fake_bulk));
}

void fake_bulk_clear_rules(fake_bulk *bulk) {
    while (bulk->rules != NULL) {
        fake_bulk_rule *rule = bulk->rules;
        bulk->rules = rule->next;
        free(rule->text);
        free(rule->type);
        free(rule->reason);
        free(rule);
    }
}

void fake_bulk_free(fake_bulk *bulk) {
    if (bulk != NULL) {
        fake_bulk_clear_rules(bulk);
        free(bulk->ids);
        free(bulk);
    }
}

/* ---- rules ---- */

static er_status take_text(fake_words *words, const char *what, char **out, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, what, &word, err);
    if (status == ER_OK) {
        free(*out);
        *out = er_str_dup(fake_word_str(word));
    }
    return status;
}

static er_status take_rule(fake_bulk_rule *rule, fake_words *words, er_err *err) {
    uint64_t code = 0;
    er_status status = take_text(words, "the text", &rule->text, err);
    status = status == ER_OK ? fake_words_number(words, "the status", &code, err) : status;
    rule->status = (int)code;
    while (status == ER_OK && fake_words_left(words)) {
        if (fake_words_is(words, "type")) {
            status = take_text(words, "the type", &rule->type, err);
        } else if (fake_words_is(words, "reason")) {
            status = take_text(words, "the reason", &rule->reason, err);
        } else if (fake_words_is(words, "times")) {
            status = fake_words_number(words, "times", &rule->left, err);
        } else {
            status = fake_words_end(words, err);
        }
    }
    return status;
}

er_status fake_bulk_add_rule(fake_bulk *bulk, fake_words *words, er_err *err) {
    fake_bulk_rule *rule = er_xcalloc(1, sizeof *rule);
    rule->left = UINT64_MAX;
    er_status status = take_rule(rule, words, err);
    fake_bulk_rule **at = &bulk->rules;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = rule;
    return status;
}

static fake_bulk_rule *rule_for(fake_bulk *bulk, er_str document) {
    for (fake_bulk_rule *rule = bulk->rules; rule != NULL; rule = rule->next) {
        if (rule->left > 0 &&
            memmem(document.p, document.n, rule->text, strlen(rule->text)) != NULL) {
            rule->left -= rule->left != UINT64_MAX;
            return rule;
        }
    }
    return NULL;
}

/* ---- ids ---- */

static bool put_hash(uint64_t *table, size_t cap, uint64_t hash) { /* false: it was there */
    for (size_t at = hash % cap;; at = (at + 1) % cap) {
        if (table[at] == hash) {
            return false;
        }
        if (table[at] == 0) {
            table[at] = hash;
            return true;
        }
    }
}

static bool put_id(fake_bulk *bulk, er_str id) {
    if (bulk->ids_n * 2 >= bulk->ids_cap) {
        size_t cap = bulk->ids_cap == 0 ? 4096 : bulk->ids_cap * 2;
        uint64_t *table = er_xcalloc(cap, sizeof *table);
        for (size_t i = 0; i < bulk->ids_cap; i++) {
            if (bulk->ids[i] != 0) {
                (void)put_hash(table, cap, bulk->ids[i]);
            }
        }
        free(bulk->ids);
        bulk->ids = table;
        bulk->ids_cap = cap;
    }
    bool is_new = put_hash(bulk->ids, bulk->ids_cap, er_hash(ER_HASH_SEED, id.p, id.n) | 1);
    bulk->ids_n += is_new;
    return is_new;
}

/* ---- answers ---- */

static er_str take_line(er_str *rest) {
    const char *lf = rest->n == 0 ? NULL : memchr(rest->p, '\n', rest->n);
    er_str line = {rest->p, lf == NULL ? rest->n : (size_t)(lf - rest->p)};
    size_t taken = line.n + (lf != NULL);
    *rest = (er_str){rest->p + taken, rest->n - taken};
    return line;
}

static er_str id_of(er_str action) {
    static const char member[] = "\"_id\":\"";
    const char *at = action.n == 0 ? NULL : memmem(action.p, action.n, member, sizeof member - 1);
    if (at == NULL) {
        return (er_str){0};
    }
    at += sizeof member - 1;
    const char *end = memchr(at, '"', (size_t)(action.p + action.n - at));
    return end == NULL ? (er_str){0} : (er_str){at, (size_t)(end - at)};
}

static void put_error(er_buf *out, int status, const char *type, const char *reason) {
    er_buf_putf(out, "{\"create\":{\"status\":%d", status);
    if (type != NULL || reason != NULL) {
        er_jw w;
        er_buf_puts(out, ",\"error\":");
        er_jw_init(&w, out);
        er_jw_object(&w);
        er_jw_kstr_opt(&w, "type", er_str_of(type));
        er_jw_kstr_opt(&w, "reason", er_str_of(reason));
        er_jw_object_end(&w);
    }
    er_buf_puts(out, "}}");
}

size_t fake_bulk_answer(fake_bulk *bulk, er_str body, bool keep_ids, er_buf *out, size_t *created) {
    size_t items = 0;
    *created = 0;
    er_buf_puts(out, "{\"items\":[");
    while (body.n > 0) {
        er_str action = take_line(&body);
        er_str document = take_line(&body);
        fake_bulk_rule *rule = rule_for(bulk, document);
        er_buf_puts(out, items > 0 ? "," : "");
        items++;
        if (rule != NULL && rule->status / 100 != 2) {
            put_error(out, rule->status, rule->type, rule->reason);
        } else if (keep_ids && !put_id(bulk, id_of(action))) {
            put_error(out, 409, "version_conflict_engine_exception",
                      "version conflict, document already exists");
        } else {
            er_buf_puts(out, "{\"create\":{\"status\":201}}");
            ++*created;
        }
    }
    er_buf_puts(out, "]}");
    return items;
}
