/* What must not be shown of a source line: the values of secrets, also where a mistake hides that
 * they are secrets (a key with a typing error, a file that is not YAML). Here a text too much is
 * masked rather than one too few. */
#include "config/config_priv.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 64

static void add_mask(er_problems *problems, er_pos from, er_pos to) {
    size_t n = problems->masks_n;
    if ((n & (n - 1)) == 0) { /* full: 0, 1, 2, 4, 8, ... */
        er_mask *grown = realloc(problems->masks, (n == 0 ? 1 : n * 2) * sizeof *grown);
        ER_ASSERT(grown != NULL);
        problems->masks = grown;
    }
    problems->masks[problems->masks_n++] = (er_mask){from, to};
}

void er_mask_node(er_problems *problems, const er_node *node) {
    if (node->kind == ER_NODE_SCALAR && node->text.n > 0) {
        add_mask(problems, node->pos, node->end);
    }
    for (const er_node *child = node->first; child != NULL; child = child->next) {
        er_mask_node(problems, child);
    }
}

static bool is_secret_type(er_field_type type) {
    return type == ER_FIELD_SECRET || type == ER_FIELD_URL || type == ER_FIELD_SECRETS ||
           type == ER_FIELD_SECRET_LIST;
}

static bool rows_hold_secret(const er_field *rows) {
    for (const er_field *f = rows; f != NULL && f->key != NULL; f++) {
        if (er_field_holds_secret(f)) {
            return true;
        }
    }
    return false;
}

bool er_field_holds_secret(const er_field *field) {
    er_variant variant;
    for (size_t i = 0; field->variant_at != NULL && field->variant_at(i, &variant); i++) {
        if (rows_hold_secret(variant.rows)) {
            return true;
        }
    }
    return is_secret_type(field->type) || rows_hold_secret(field->rows);
}

/* ---- names ---- */

typedef struct name_set {
    const char *v[NAMES_MAX];
    size_t n;
} name_set;

static void add_name(name_set *names, const char *name) {
    for (size_t i = 0; i < names->n; i++) {
        if (strcmp(names->v[i], name) == 0) {
            return;
        }
    }
    if (names->n < NAMES_MAX) {
        names->v[names->n++] = name;
    }
}

static void collect(const er_field *rows, name_set *names) {
    for (const er_field *f = rows; f != NULL && f->key != NULL; f++) {
        if (is_secret_type(f->type)) {
            add_name(names, f->key);
        }
        collect(f->rows, names);
        er_variant variant;
        for (size_t i = 0; f->variant_at != NULL && f->variant_at(i, &variant); i++) {
            collect(variant.rows, names);
        }
    }
}

/* "ssl.keystore.location", "sasl.kerberos.keytab": where a secret is, not what it is. */
static bool is_path_name(er_str name) {
    static const char *const ends[] = {".location", ".keytab"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        size_t n = strlen(ends[i]);
        if (name.n > n && er_str_ieqc((er_str){name.p + name.n - n, n}, ends[i])) {
            return true;
        }
    }
    return false;
}

bool er_name_is_sensitive(er_str name) {
    if (is_path_name(name)) {
        return false;
    }
    static const char *const parts[] = {"passw",  "secret",     "token", "key",
                                        "cookie", "credential", "auth",  "signature"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t n = strlen(parts[i]);
        for (size_t at = 0; at + n <= name.n; at++) {
            if (er_str_ieqc((er_str){name.p + at, n}, parts[i])) {
                return true;
            }
        }
    }
    return false;
}

static bool looks_secret(const name_set *names, er_str key) {
    for (size_t i = 0; i < names->n; i++) {
        er_str name = er_str_of(names->v[i]);
        unsigned most = name.n < 6 ? 1 : 2; /* letters that may be wrong */
        size_t longer = name.n > key.n ? name.n - key.n : key.n - name.n;
        if (longer <= most && er_str_distance(name, key) <= most) {
            return true;
        }
    }
    return er_name_is_sensitive(key);
}

static void mask_by_names(er_problems *problems, const name_set *names, const er_node *node) {
    if (node->key.p != NULL && looks_secret(names, node->key)) {
        er_mask_node(problems, node);
        return;
    }
    for (const er_node *child = node->first; child != NULL; child = child->next) {
        mask_by_names(problems, names, child);
    }
}

void er_mask_unread(er_problems *problems, const er_schema *schema, const er_field *field,
                    const er_node *node) {
    bool is_scalar = node->kind == ER_NODE_SCALAR;
    if (field != NULL &&
        (is_secret_type(field->type) || (is_scalar && er_field_holds_secret(field)))) {
        er_mask_node(problems, node);
        return;
    }
    name_set names = {.n = 0};
    collect(schema->rows, &names);
    mask_by_names(problems, &names, node);
}

/* ---- lines ---- */

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || ((unsigned char)c & 0x80U) != 0;
}

/* The offset behind the first word that looks like the name of a secret; line.n when there is
 * none. first_only: only the line's first word counts. */
static size_t behind_secret_word(er_str line, const name_set *names, bool first_only) {
    for (size_t at = 0; at < line.n;) {
        size_t end = at;
        while (end < line.n && is_word(line.p[end])) {
            end++;
        }
        bool is_dash = end == at + 1 && line.p[at] == '-';
        if (end > at && !is_dash) {
            if (looks_secret(names, (er_str){line.p + at, end - at})) {
                return end;
            }
            if (first_only) {
                return line.n;
            }
        }
        at = end > at ? end : at + 1;
    }
    return line.n;
}

static int columns(er_str line, size_t offset) {
    int n = 0;
    for (size_t at = 0; at < offset; n++) {
        size_t len = er_utf8_len(line.p + at, line.n - at);
        at += len == 0 ? 1 : len;
    }
    return n;
}

static size_t indentation(er_str line) {
    size_t n = 0;
    while (n < line.n && (line.p[n] == ' ' || line.p[n] == '\t')) {
        n++;
    }
    return n;
}

/* Does the line stand below a key that looks like a secret's, as the lines of a block text do? */
static bool is_below_secret(const er_problems *problems, const name_set *names, int line,
                            size_t indent) {
    for (int above = line - 1; above >= 1 && line - above <= 100 && indent > 0; above--) {
        er_str text = er_text_line(problems->source, problems->source_len, above);
        size_t its = indentation(text);
        if (its >= indent || its == text.n) {
            continue;
        }
        indent = its;
        if (behind_secret_word(text, names, true) < text.n) {
            return true;
        }
    }
    return false;
}

void er_mask_line(er_problems *problems, const er_schema *schema, int line) {
    name_set names = {.n = 0};
    collect(schema->rows, &names);
    er_str text = er_text_line(problems->source, problems->source_len, line);
    size_t indent = indentation(text);
    size_t from = is_below_secret(problems, &names, line, indent)
                      ? indent
                      : behind_secret_word(text, &names, false);
    if (from < text.n && text.p[from] == ':') {
        from++;
    }
    while (from < text.n && text.p[from] == ' ') {
        from++;
    }
    if (from < text.n) {
        add_mask(problems, (er_pos){line, columns(text, from) + 1}, (er_pos){line, INT_MAX});
    }
}
