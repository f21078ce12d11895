/* Rows and a tree make structs. All problems are reported; a value that has one keeps its default,
 * so that a struct can always be freed. */
#include "config/config_priv.h"

#include <stdlib.h>
#include <string.h>

#define PATH_MAX_BYTES 16384
#define PATH_KEY_MAX   64 /* bytes of one key in a path */

typedef struct reader {
    er_problems *problems;
    const er_schema *schema;
    er_buf path;          /* "sinks.kafka.brokers[1]" */
    const er_field *rows; /* of the map that is being read */
    bool quiet;           /* defaults: literals of secrets are not warned of */
} reader;

#define ERROR(r, pos, ...)                                                                         \
    er_problems_add((r)->problems, false, (pos), er_buf_cstr(&(r)->path), __VA_ARGS__)
#define WARN(r, pos, ...)                                                                          \
    er_problems_add((r)->problems, true, (pos), er_buf_cstr(&(r)->path), __VA_ARGS__)

static void read_field(reader *r, const er_field *f, const er_node *node, void *target);
static void read_rows(reader *r, const er_field *rows, const er_field *variants, const er_node *map,
                      void *base);

/* ---- the path ---- */

static size_t enter(reader *r, er_str key) {
    size_t mark = r->path.len;
    er_buf_puts(&r->path, mark == 0 ? "" : ".");
    er_buf_put(&r->path, key.p, er_utf8_cut(key, PATH_KEY_MAX));
    return mark;
}

static size_t enter_item(reader *r, size_t i) {
    size_t mark = r->path.len;
    er_buf_putf(&r->path, "[%zu]", i);
    return mark;
}

static void leave(reader *r, size_t mark) {
    r->path.len = mark;
    if (r->path.p != NULL) {
        r->path.p[mark] = '\0';
    }
}

/* ---- complaints ---- */

static void list_keys(const er_field *rows, bool has_type, er_buf *out) {
    size_t start = out->len;
    er_buf_puts(out, has_type ? "type" : "");
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f) && (f->flags & ER_FIELD_HIDDEN) == 0) {
            er_buf_puts(out, out->len > start ? ", " : "");
            er_buf_puts(out, f->key);
        }
    }
}

/* What a row expects, in full. */
static void put_expected(const er_field *f, er_buf *out) {
    er_buf_init(out, 1024);
    if (f->type == ER_FIELD_ENUM) {
        er_buf_puts(out, "one of ");
        er_choices_print(f->choices, out);
    } else if (f->type == ER_FIELD_STRUCT) {
        er_buf_puts(out, "a map (keys: ");
        list_keys(f->rows, false, out);
        er_buf_puts(out, ")");
    } else {
        er_buf_puts(out, er_value_expected(f));
    }
}

static bool needs_more(const er_field *rows) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if ((f->flags & ER_FIELD_REQUIRED) != 0) {
            return true;
        }
    }
    return false;
}

/* What a text in place of a map may have meant. */
static const char *short_form_hint(const er_field *f, const er_node *node) {
    bool is_true = node->kind == ER_NODE_SCALAR && er_str_eqc(node->text, "true");
    bool is_false = node->kind == ER_NODE_SCALAR && er_str_eqc(node->text, "false");
    if ((is_true || is_false) && er_rows_find(f->rows, ER_STR("enabled")) != NULL) {
        return is_true ? "; write {enabled: true}" : "; write {enabled: false}";
    }
    bool is_whole = is_true && !needs_more(f->rows); /* with nothing in it */
    return is_whole ? "; write {} for its defaults" : is_false ? "; leave the key out" : "";
}

static void found_other(reader *r, const er_field *f, const er_node *node) {
    const char *found = node->kind == ER_NODE_MAP ? "a map" : "a list";
    if (node->kind == ER_NODE_SCALAR) {
        found = "a text"; /* which may be a secret: it is not shown */
    }
    er_mask_unread(r->problems, r->schema, f, node);
    er_buf expected;
    put_expected(f, &expected);
    ERROR(r, node->pos, "expected %s, found %s%s", er_buf_cstr(&expected), found,
          f->type == ER_FIELD_STRUCT ? short_form_hint(f, node) : "");
    er_buf_fini(&expected);
}

static const er_field *nearest_row(const er_field *rows, er_str key) {
    er_nearest nearest;
    er_nearest_init(&nearest, key);
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f) && (f->flags & ER_FIELD_HIDDEN) == 0) {
            er_nearest_try(&nearest, er_str_of(f->key));
        }
    }
    return nearest.found.p == NULL ? NULL : er_rows_find(rows, nearest.found);
}

static void unknown_key(reader *r, const er_field *rows, bool has_type, const er_node *node) {
    char shown[ER_SHOWN_TEXT];
    er_shown(node->key, shown);
    const er_field *near = nearest_row(rows, node->key);
    er_mask_unread(r->problems, r->schema, near, node);
    if (near != NULL) {
        ERROR(r, node->key_pos, "unknown key %s; did you mean \"%s\"?", shown, near->key);
        return;
    }
    er_buf list;
    er_buf_init(&list, 2048);
    list_keys(rows, has_type, &list);
    ERROR(r, node->key_pos, "unknown key %s; the keys here are %s", shown, er_buf_cstr(&list));
    er_buf_fini(&list);
}

static bool check_text(reader *r, const er_field *f, const char *text, er_pos pos) {
    er_err err;
    if (f->check == NULL || f->check(text, &err) == ER_OK) {
        return true;
    }
    ERROR(r, pos, "%s", err.msg);
    return false;
}

static void check_value(reader *r, er_status (*check)(const void *, er_err *), const void *value,
                        er_pos pos) {
    er_err err;
    if (check != NULL && check(value, &err) != ER_OK) {
        ERROR(r, pos, "%s", err.msg);
    }
}

static void check_count(reader *r, const er_field *f, const er_node *node) {
    int64_t n = (int64_t)node->n;
    if (n == 0 && (f->flags & ER_FIELD_REQUIRED) != 0) {
        ERROR(r, node->pos, "must not be empty");
    } else if (n < f->min) {
        ERROR(r, node->pos, "must have at least %lld items, has %lld", (long long)f->min,
              (long long)n);
    } else if (n > er_field_max(f)) {
        ERROR(r, node->pos, "must have at most %lld items, has %lld", (long long)f->max,
              (long long)n);
    }
}

/* ---- advice ---- */

static bool holds_secret(const er_field *f) {
    return f->type == ER_FIELD_SECRET || f->type == ER_FIELD_SECRETS ||
           (f->type == ER_FIELD_SECRET_LIST && !er_field_is_urls(f));
}

/* A password may hold a "$"; one that is nothing but a variable was meant as that. */
static void advise_variable(reader *r, const er_field *f, const er_node *node) {
    bool is_pattern = (f->flags & ER_FIELD_PATTERN) != 0;
    if (r->quiet || is_pattern || !er_text_has_variable(node->text, holds_secret(f))) {
        return;
    }
    if (holds_secret(f) || f->type == ER_FIELD_URL) {
        WARN(r, node->pos, "variables are not expanded here; write {env: NAME}%s",
             f->type == ER_FIELD_URL ? ", where the variable holds the whole URL" : "");
    } else {
        WARN(r, node->pos,
             "variables are not expanded here: this is taken as it stands; write the value itself");
    }
}

static void advise(reader *r, const er_field *f, const er_node *node) {
    er_err err;
    if (f->advise != NULL && !r->quiet && f->advise(node->text.p, &err) != ER_OK) {
        WARN(r, node->pos, "%s", err.msg);
    }
}

/* ---- single values ---- */

static void read_scalar(reader *r, const er_field *f, const er_node *node, void *target) {
    er_err err;
    if (node->kind != ER_NODE_SCALAR) {
        found_other(r, f, node);
        return;
    }
    advise_variable(r, f, node);
    if (er_value_parse(f, node, target, &err) != ER_OK) {
        ERROR(r, node->pos, "%s", err.msg);
        return;
    }
    advise(r, f, node);
    if ((f->flags & (ER_FIELD_FILE | ER_FIELD_WRITTEN | ER_FIELD_DIRECTORY)) != 0 &&
        node->text.n > 0 && !r->quiet) {
        er_outside_add_file(r->problems, node->pos, er_buf_cstr(&r->path), *(char **)target,
                            f->flags);
    }
}

static bool is_env_name(er_str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!is_letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return s.n > 0;
}

/* For SECRETS: of one of them. */
static const char *secret_expected(const er_field *f) {
    const er_field one = {.type = f->type == ER_FIELD_URL ? ER_FIELD_URL : ER_FIELD_SECRET};
    return er_value_expected(&one);
}

/* {file: PATH} or {env: NAME}. */
static void read_reference(reader *r, const er_field *f, const er_node *map, er_secret_ref *out) {
    const er_node *one = map->first;
    bool is_file = map->n == 1 && er_str_eqc(one->key, "file");
    bool is_env = map->n == 1 && er_str_eqc(one->key, "env");
    if (!is_file && !is_env) {
        er_mask_node(r->problems, map);
        ERROR(r, map->pos, "expected %s, found another map", secret_expected(f));
        return;
    }
    size_t mark = enter(r, one->key);
    if (one->kind != ER_NODE_SCALAR || one->text.n == 0) {
        ERROR(r, one->pos, "expected %s", is_file ? "the path of a file" : "a variable's name");
    } else if (is_env && !is_env_name(one->text)) {
        er_mask_node(r->problems, one); /* perhaps the value itself */
        ERROR(r, one->pos,
              "this is not the name of an environment variable: letters, digits and "
              "\"_\" only");
    } else {
        out->kind = is_file ? ER_SECRET_FILE : ER_SECRET_ENV;
        out->text = er_str_dup(one->text);
        out->pos = one->pos;
    }
    leave(r, mark);
    if (out->kind != ER_SECRET_UNSET) {
        er_outside_add(r->problems, one->pos, er_buf_cstr(&r->path), out);
    }
}

static bool literal_is_legal(reader *r, const er_field *f, const er_node *node) {
    if (node->text.n == 0) {
        ERROR(r, node->pos, "must not be empty");
        return false;
    }
    if (node->text.n > ER_SECRET_MAX) {
        ERROR(r, node->pos, "must have at most %d bytes, has %zu", ER_SECRET_MAX, node->text.n);
        return false;
    }
    er_err err;
    if (f->type == ER_FIELD_URL && er_url_check(node->text, &err) != ER_OK) {
        ERROR(r, node->pos, "%s", err.msg);
        return false;
    }
    return f->type != ER_FIELD_URL || check_text(r, f, node->text.p, node->pos);
}

static void read_literal(reader *r, const er_field *f, const er_node *node, er_secret_ref *out) {
    bool is_url = f->type == ER_FIELD_URL;
    bool is_open = (f->flags & ER_FIELD_OPEN) != 0 && !er_name_is_sensitive(node->key);
    /* The harmless part of URLs may be seen: most mistakes are in it. */
    if (!is_open && (!is_url || node->text.n > 4096 || strpbrk(node->text.p, "@?#") != NULL)) {
        er_mask_node(r->problems, node);
    }
    advise_variable(r, f, node);
    if (!literal_is_legal(r, f, node)) {
        return;
    }
    if (is_url) {
        advise(r, f, node);
    }
    bool is_secret = f->type == ER_FIELD_SECRET || f->type == ER_FIELD_SECRET_LIST ||
                     (is_url && er_url_has_user(node->text)) ||
                     (f->type == ER_FIELD_SECRETS && er_name_is_sensitive(node->key));
    if (is_secret && !r->quiet) {
        WARN(r, node->pos,
             "a secret stands in the file; {file: PATH} or {env: NAME} keeps it out of it");
    }
    *out = (er_secret_ref){
        .kind = ER_SECRET_LITERAL, .text = er_str_dup(node->text), .pos = node->pos};
}

/* The row beside a URL that takes further ones; NULL: there is none. */
static const char *key_of_urls(const er_field *rows) {
    for (; rows != NULL && rows->key != NULL; rows++) {
        if (er_field_is_urls(rows)) {
            return rows->key;
        }
    }
    return NULL;
}

static void read_secret(reader *r, const er_field *f, const er_node *node, er_secret_ref *out) {
    if (node->kind == ER_NODE_LIST) {
        er_mask_node(r->problems, node);
        const char *more = f->type == ER_FIELD_URL ? key_of_urls(r->rows) : NULL;
        ERROR(r, node->pos, "expected %s, found a list%s%s", secret_expected(f),
              more == NULL ? "" : "; all but the first belong into ", more == NULL ? "" : more);
        return;
    }
    er_secret_ref fresh = {0};
    if (node->kind == ER_NODE_MAP) {
        read_reference(r, f, node, &fresh);
    } else {
        read_literal(r, f, node, &fresh);
    }
    if (fresh.kind != ER_SECRET_UNSET) {
        free(out->text);
        *out = fresh;
    }
}

/* ---- containers ---- */

/* Fills a struct from a map; then, when nothing was wrong in it, the checks of the whole. */
static void read_body(reader *r, const er_field *f, const er_node *map, void *base) {
    size_t before = r->problems->errors;
    read_rows(r, f->rows, NULL, map, base);
    if (r->problems->errors == before) {
        check_value(r, f->check_struct, base, map->pos);
    }
}

static void read_struct(reader *r, const er_field *f, const er_node *node, void *target) {
    if (er_node_is_null(node)) {
        er_node empty = {.kind = ER_NODE_MAP, .pos = node->key_pos};
        read_body(r, f, &empty, target);
    } else if (node->kind != ER_NODE_MAP) {
        found_other(r, f, node);
    } else {
        read_body(r, f, node, target);
    }
}

static void read_text(reader *r, const er_field *f, const er_node *node, er_cfg_text *out) {
    size_t before = r->problems->errors;
    *out = (er_cfg_text){.s = er_str_dup(node->text), .pos = node->pos};
    if (node->kind != ER_NODE_SCALAR) {
        er_mask_unread(r->problems, r->schema, NULL, node);
        ERROR(r, node->pos, "expected a text, found a %s",
              node->kind == ER_NODE_MAP ? "map" : "list");
    } else if (er_node_is_null(node) && !node->reported) {
        ERROR(r, node->pos, "an item without a value; write \"\" for an empty text");
    } else if (!node->reported) {
        advise_variable(r, f, node);
        if (check_text(r, f, out->s, node->pos)) {
            advise(r, f, node);
        }
    }
    out->is_bad = node->reported || r->problems->errors > before;
}

static void read_strings(reader *r, const er_field *f, const er_node *node, er_cfg_strings *out) {
    if (node->kind == ER_NODE_MAP) {
        found_other(r, f, node);
        return;
    }
    er_field_free(f, out);
    bool is_single = node->kind == ER_NODE_SCALAR;
    *out = (er_cfg_strings){.n = is_single ? 1 : node->n, .pos = node->pos, .set = true};
    out->v = er_xcalloc(out->n + 1, sizeof *out->v);
    if (is_single) {
        read_text(r, f, node, &out->v[0]);
        return;
    }
    check_count(r, f, node);
    size_t i = 0;
    for (const er_node *item = node->first; item != NULL; item = item->next, i++) {
        size_t mark = enter_item(r, i);
        read_text(r, f, item, &out->v[i]);
        leave(r, mark);
    }
}

/* An empty list with room for the node's children. */
static void begin_list(reader *r, const er_field *f, const er_node *node, size_t elem_size,
                       er_cfg_list *out) {
    er_field_free(f, out);
    *out = (er_cfg_list){.elem_size = elem_size, .pos = node->pos, .set = true};
    out->v = er_xcalloc(node->n + 1, elem_size);
    check_count(r, f, node);
}

static void read_list(reader *r, const er_field *f, const er_node *node, er_cfg_list *out) {
    if (node->kind != ER_NODE_LIST) {
        found_other(r, f, node);
        return;
    }
    begin_list(r, f, node, f->elem_size, out);
    for (const er_node *item = node->first; item != NULL; item = item->next) {
        void *target = (char *)out->v + out->n * f->elem_size;
        size_t mark = enter_item(r, out->n++);
        er_rows_init(f->rows, target);
        if (item->kind == ER_NODE_MAP) {
            read_body(r, f, item, target);
        } else {
            er_mask_unread(r->problems, r->schema, f, item);
            er_buf expected;
            put_expected(&(er_field){.type = ER_FIELD_STRUCT, .rows = f->rows}, &expected);
            ERROR(r, item->pos, "expected %s, found %s", er_buf_cstr(&expected),
                  er_node_is_null(item)          ? "nothing"
                  : item->kind == ER_NODE_SCALAR ? "a text"
                                                 : "a list");
            er_buf_fini(&expected);
        }
        leave(r, mark);
    }
}

static void read_secrets(reader *r, const er_field *f, const er_node *node, er_cfg_list *out) {
    if (node->kind != ER_NODE_MAP) {
        found_other(r, f, node);
        return;
    }
    begin_list(r, f, node, sizeof(er_cfg_secret), out);
    for (const er_node *child = node->first; child != NULL; child = child->next) {
        er_cfg_secret *secret = (er_cfg_secret *)out->v + out->n++;
        size_t mark = enter(r, child->key);
        secret->name = (er_cfg_text){.s = er_str_dup(child->key), .pos = child->key_pos};
        (void)check_text(r, f, secret->name.s, child->key_pos);
        if (child->reported) {
            er_mask_node(r->problems, child);
        } else if (er_node_is_null(child)) {
            ERROR(r, child->key_pos, "has no value; expected %s", secret_expected(f));
        } else {
            read_secret(r, f, child, &secret->value);
        }
        leave(r, mark);
    }
}

static void read_secret_list(reader *r, const er_field *f, const er_node *node, er_cfg_list *out) {
    if (node->kind != ER_NODE_LIST) {
        er_mask_node(r->problems, node);
        found_other(r, f, node);
        return;
    }
    er_field one = *f;
    one.type = er_field_is_urls(f) ? ER_FIELD_URL : f->type;
    begin_list(r, f, node, sizeof(er_secret_ref), out);
    for (const er_node *item = node->first; item != NULL; item = item->next) {
        size_t mark = enter_item(r, out->n);
        er_secret_ref *ref = (er_secret_ref *)out->v + out->n++;
        if (item->reported) {
            er_mask_node(r->problems, item);
        } else if (er_node_is_null(item)) {
            ERROR(r, item->pos, "expected %s, found nothing", secret_expected(&one));
        } else {
            read_secret(r, &one, item, ref);
        }
        leave(r, mark);
    }
}

/* ---- variants ---- */

static void list_kinds(const er_field *f, er_str near_to, er_nearest *nearest, er_buf *out) {
    er_variant kind;
    er_nearest_init(nearest, near_to);
    for (size_t i = 0; f->variant_at(i, &kind); i++) {
        er_buf_puts(out, i == 0 ? "" : ", ");
        er_buf_puts(out, kind.name);
        er_nearest_try(nearest, er_str_of(kind.name));
    }
}

static void complain_kind(reader *r, const er_field *f, const er_node *body, const er_node *type) {
    bool is_text = type != NULL && type->kind == ER_NODE_SCALAR && !er_node_is_null(type);
    er_buf kinds;
    er_buf_init(&kinds, 1024);
    er_nearest nearest;
    list_kinds(f, is_text ? type->text : (er_str){"", 0}, &nearest, &kinds);
    char shown[ER_SHOWN_TEXT];
    if (type == NULL) {
        ERROR(r, body->pos, "the key \"type\" is missing; it is one of %s", er_buf_cstr(&kinds));
    } else if (!is_text) {
        ERROR(r, type->pos, "expected one of %s as the type", er_buf_cstr(&kinds));
    } else if (nearest.found.p != NULL) {
        ERROR(r, type->pos, "unknown type %s; did you mean \"%.*s\"? The types are %s",
              er_shown(type->text, shown), (int)nearest.found.n, nearest.found.p,
              er_buf_cstr(&kinds));
    } else {
        ERROR(r, type->pos, "unknown type %s; the types are %s", er_shown(type->text, shown),
              er_buf_cstr(&kinds));
    }
    er_buf_fini(&kinds);
}

static void read_kind(reader *r, const er_field *f, const er_node *body, const er_variant *kind,
                      er_cfg_variant *out) {
    size_t before = r->problems->errors;
    out->type = kind->name;
    out->user = kind->user;
    out->config = er_xcalloc(1, kind->size);
    er_rows_init(kind->rows, out->config);
    read_rows(r, kind->rows, f, body, out->config);
    if (r->problems->errors == before) {
        check_value(r, kind->check_struct, out->config, body->pos);
        check_value(r, f->check_struct, out->config, body->pos);
    }
}

/* The name of a kind alone is meant as that, and is no secret. */
static void found_no_body(reader *r, const er_field *f, const er_node *node) {
    er_variant kind;
    if (node->kind == ER_NODE_SCALAR && er_variant_find(f, node->text, &kind)) {
        ERROR(r, node->pos, "expected a map with the key type; write {type: %s}", kind.name);
        return;
    }
    er_mask_unread(r->problems, r->schema, f, node);
    ERROR(r, node->pos, "expected a map with the key type, found a %s",
          node->kind == ER_NODE_SCALAR ? "text" : "list");
}

static void read_variant(reader *r, const er_field *f, const er_node *node, er_cfg_variant *out) {
    *out = (er_cfg_variant){.name = {.s = er_str_dup(node->key), .pos = node->key_pos},
                            .pos = node->pos};
    (void)check_text(r, f, out->name.s, node->key_pos);
    if (node->kind != ER_NODE_MAP && !er_node_is_null(node)) {
        found_no_body(r, f, node);
        return;
    }
    er_node empty = {.kind = ER_NODE_MAP, .pos = node->key_pos};
    const er_node *body = node->kind == ER_NODE_MAP ? node : &empty;
    const er_node *type = er_node_get(body, "type");
    er_variant kind;
    if (type != NULL && type->kind == ER_NODE_SCALAR && er_variant_find(f, type->text, &kind)) {
        read_kind(r, f, body, &kind, out);
        return;
    }
    er_mask_unread(r->problems, r->schema, NULL, body);
    size_t mark = type == NULL ? r->path.len : enter(r, ER_STR("type"));
    complain_kind(r, f, body, type);
    leave(r, mark);
}

static void read_variants(reader *r, const er_field *f, const er_node *node, er_cfg_list *out) {
    if (node->kind != ER_NODE_MAP) {
        found_other(r, f, node);
        return;
    }
    begin_list(r, f, node, sizeof(er_cfg_variant), out);
    for (const er_node *child = node->first; child != NULL; child = child->next) {
        size_t mark = enter(r, child->key);
        read_variant(r, f, child, (er_cfg_variant *)out->v + out->n++);
        leave(r, mark);
    }
}

/* ---- fields and rows ---- */

static void read_value(reader *r, const er_field *f, const er_node *node, void *target) {
    switch (f->type) {
    case ER_FIELD_BOOL:
    case ER_FIELD_INT:
    case ER_FIELD_DURATION:
    case ER_FIELD_SIZE:
    case ER_FIELD_STRING:
    case ER_FIELD_ENUM:
        read_scalar(r, f, node, target);
        break;
    case ER_FIELD_SECRET:
    case ER_FIELD_URL:
        read_secret(r, f, node, target);
        break;
    case ER_FIELD_STRUCT:
        read_struct(r, f, node, target);
        break;
    case ER_FIELD_STRINGS:
        read_strings(r, f, node, target);
        break;
    case ER_FIELD_LIST:
        read_list(r, f, node, target);
        break;
    case ER_FIELD_SECRETS:
        read_secrets(r, f, node, target);
        break;
    case ER_FIELD_SECRET_LIST:
        read_secret_list(r, f, node, target);
        break;
    case ER_FIELD_VARIANTS:
        read_variants(r, f, node, target);
        break;
    default:
        ER_ASSERT(!"a type of field");
    }
}

static void read_field(reader *r, const er_field *f, const er_node *node, void *target) {
    if (node->reported) {
        er_mask_unread(r->problems, r->schema, f, node);
    } else if (!er_node_is_null(node) || f->type == ER_FIELD_STRUCT) {
        read_value(r, f, node, target);
    } else if ((f->flags & ER_FIELD_REQUIRED) != 0) {
        er_buf expected;
        put_expected(f, &expected);
        ERROR(r, node->key_pos, "has no value; expected %s", er_buf_cstr(&expected));
        er_buf_fini(&expected);
    }
}

/* Then the key that is there tells it all. */
static bool is_misspelt(const er_field *rows, const er_field *f, const er_node *map) {
    for (const er_node *child = map->first; child != NULL; child = child->next) {
        if (er_rows_find(rows, child->key) == NULL && nearest_row(rows, child->key) == f) {
            return true;
        }
    }
    return false;
}

static void missing_key(reader *r, const er_field *f, const er_node *map) {
    er_buf expected;
    put_expected(f, &expected);
    ERROR(r, map->pos, "the key \"%s\" is missing; it is %s", f->key, er_buf_cstr(&expected));
    er_buf_fini(&expected);
}

/* A key of a map, known or not; variants as below. */
static void read_member(reader *r, const er_field *rows, const er_field *variants,
                        const er_node *map, const er_node *child, void *base) {
    const er_field *f = er_rows_find(rows, child->key);
    if (f == NULL) {
        bool is_type = variants != NULL && er_str_eqc(child->key, "type");
        if (!is_type && child->key.n > 0) { /* empty: reported with the tree */
            unknown_key(r, rows, variants != NULL, child);
        }
        return;
    }
    size_t mark = enter(r, child->key);
    if (er_node_get(map, f->key) == child) {
        read_field(r, f, child, er_field_target(f, base));
    } else { /* reported as a duplicate */
        er_mask_unread(r->problems, r->schema, f, child);
    }
    leave(r, mark);
}

/* variants: of whose kinds the rows are one, so that there is a key "type" besides; or NULL. */
static void read_rows(reader *r, const er_field *rows, const er_field *variants, const er_node *map,
                      void *base) {
    const er_field *outer = r->rows;
    r->rows = rows;
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (er_field_is_pos(f)) {
            *(er_pos *)er_field_target(f, base) = map->pos;
        } else if ((f->flags & ER_FIELD_REQUIRED) != 0 && er_node_get(map, f->key) == NULL &&
                   !is_misspelt(rows, f, map)) {
            missing_key(r, f, map);
        }
    }
    for (const er_node *child = map->first; child != NULL; child = child->next) {
        read_member(r, rows, variants, map, child, base);
    }
    r->rows = outer;
}

/* ---- from outside ---- */

void er_tree_read(const er_node *root, const er_schema *schema, void *config,
                  er_problems *problems) {
    reader r = {.problems = problems, .schema = schema};
    er_buf_init(&r.path, PATH_MAX_BYTES);
    const er_field all = {.key = "all", .rows = schema->rows, .check_struct = schema->check_struct};
    read_body(&r, &all, root, config);
    er_buf_fini(&r.path);
}

void er_field_read_default(const er_field *field, const er_node *node, void *target,
                           er_problems *problems) {
    const er_schema nothing = {.rows = &(const er_field){.key = NULL}};
    reader r = {.problems = problems, .schema = &nothing, .quiet = true};
    er_buf_init(&r.path, PATH_MAX_BYTES);
    read_value(&r, field, node, target);
    er_buf_fini(&r.path);
}
