/* config/reference.md: one table for each part of the file. Keys of a map inside of it stand in
 * the same table, as "retry.initial". What all types of a map of variants have in common stands in
 * one table before theirs. */
#include "config/config_priv.h"

#include <string.h>

typedef struct table {
    er_buf *out;
    er_buf path;              /* of the row, from the beginning of the table */
    const er_field *variants; /* with only_common or skip_common: of these */
    bool only_common, skip_common;
    bool is_flat; /* maps have tables of their own */
    bool has_head;
} table;

static void section(const char *path, const er_field *f, unsigned level, er_buf *out);

/* ---- cells ---- */

static void put_cell(er_buf *out, const char *text) {
    for (const char *c = text; *c != '\0'; c++) {
        er_buf_puts(out, *c == '|' ? "\\" : "");
        er_buf_putc(out, *c);
    }
}

static void put_choices(const er_field *f, er_buf *out) {
    for (size_t i = 0; er_choice(f->choices, i).n > 0; i++) {
        er_buf_puts(out, i == 0 ? "`" : ", `");
        er_buf_put_str(out, er_choice(f->choices, i));
        er_buf_putc(out, '`');
    }
}

static void put_type(const er_field *f, er_buf *out) {
    static const char *const names[] = {
        [ER_FIELD_BOOL] = "`true`, `false`",
        [ER_FIELD_INT] = "number",
        [ER_FIELD_DURATION] = "duration",
        [ER_FIELD_SIZE] = "size",
        [ER_FIELD_STRING] = "text",
        [ER_FIELD_ENUM] = "",
        [ER_FIELD_SECRET] = "secret",
        [ER_FIELD_URL] = "URL",
        [ER_FIELD_STRUCT] = "map",
        [ER_FIELD_STRINGS] = "list of texts",
        [ER_FIELD_LIST] = "list of maps",
        [ER_FIELD_SECRETS] = "map of names to secrets",
        [ER_FIELD_SECRET_LIST] = "list of secrets",
        [ER_FIELD_VARIANTS] = "map of names to maps",
    };
    bool is_open = (f->flags & ER_FIELD_OPEN) != 0;
    er_buf_puts(out, er_field_is_urls(f) ? "list of URLs"
                     : is_open           ? "map of names to texts"
                                         : names[f->type]);
    if (f->type == ER_FIELD_ENUM) {
        put_choices(f, out);
    }
}

static void put_default(const er_field *f, er_buf *out) {
    if ((f->flags & ER_FIELD_REQUIRED) != 0) {
        er_buf_puts(out, "**required**");
    } else if (f->def != NULL) {
        er_buf_putc(out, '`');
        put_cell(out, f->def);
        er_buf_putc(out, '`');
    } else if (f->type == ER_FIELD_BOOL) {
        er_buf_puts(out, "`false`");
    } else if (f->type == ER_FIELD_ENUM) {
        er_buf_putc(out, '`');
        er_buf_put_str(out, er_choice(f->choices, 0));
        er_buf_putc(out, '`');
    } else if (f->type == ER_FIELD_INT || f->type == ER_FIELD_DURATION ||
               f->type == ER_FIELD_SIZE) {
        er_buf_puts(out, (f->flags & ER_FIELD_UNSET) != 0 ? "" : "`0`");
    }
}

static void put_range(const er_field *f, er_buf *out) {
    if (f->min != 0 && er_field_max(f) != INT64_MAX) {
        er_number_print(f->type, f->min, out);
        er_buf_puts(out, " to ");
        er_number_print(f->type, f->max, out);
    } else if (f->min != 0) {
        er_buf_puts(out, "at least ");
        er_number_print(f->type, f->min, out);
    } else if (er_field_max(f) != INT64_MAX) {
        er_buf_puts(out, "at most ");
        er_number_print(f->type, f->max, out);
    }
}

static void put_limits(const er_field *f, er_buf *out) {
    bool is_number =
        f->type == ER_FIELD_INT || f->type == ER_FIELD_DURATION || f->type == ER_FIELD_SIZE;
    er_field counted = *f;
    counted.type = is_number ? f->type : ER_FIELD_INT;
    size_t before = out->len;
    put_range(&counted, out);
    if (out->len > before && !is_number) {
        er_buf_puts(out, f->type == ER_FIELD_STRING ? " bytes" : " items");
    }
}

/* ---- rows ---- */

static bool same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_row(const er_field *a, const er_field *b) {
    return a->type == b->type && a->min == b->min && a->max == b->max && a->flags == b->flags &&
           same_text(a->def, b->def) && same_text(a->choices, b->choices) &&
           same_text(a->help, b->help);
}

/* The row at "retry.initial"; NULL when there is none. */
static const er_field *row_at(const er_field *rows, const char *path) {
    size_t n = strcspn(path, ".");
    const er_field *f = er_rows_find(rows, (er_str){path, n});
    if (f == NULL || path[n] == '\0') {
        return f;
    }
    return f->type == ER_FIELD_STRUCT ? row_at(f->rows, path + n + 1) : NULL;
}

static bool is_common(const table *t, const char *path, const er_field *f) {
    er_variant kind;
    size_t i = 0;
    for (; t->variants->variant_at(i, &kind); i++) {
        const er_field *other = row_at(kind.rows, path);
        if (other == NULL || !same_row(f, other)) {
            return false;
        }
    }
    return i > 1;
}

static void put_head(table *t) {
    if (!t->has_head) {
        er_buf_puts(t->out, "| Key | Type | Default | Limits | Meaning |\n"
                            "|---|---|---|---|---|\n");
        t->has_head = true;
    }
}

static void put_row(table *t, const er_field *f) {
    const char *path = er_buf_cstr(&t->path);
    if (t->variants != NULL) {
        bool common = is_common(t, path, f);
        if ((t->only_common && !common) || (t->skip_common && common)) {
            return;
        }
    }
    put_head(t);
    er_buf_putf(t->out, "| `%s` | ", path);
    put_type(f, t->out);
    er_buf_puts(t->out, " | ");
    put_default(f, t->out);
    er_buf_puts(t->out, " | ");
    put_limits(f, t->out);
    er_buf_puts(t->out, " | ");
    put_cell(t->out, f->help == NULL ? "" : f->help);
    er_buf_puts(t->out, " |\n");
}

static bool is_shown(const er_field *f) {
    return !er_field_is_pos(f) && (f->flags & ER_FIELD_HIDDEN) == 0;
}

static void put_rows(table *t, const er_field *rows) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!is_shown(f)) {
            continue;
        }
        size_t mark = t->path.len;
        er_buf_putf(&t->path, "%s%s", mark == 0 ? "" : ".", f->key);
        put_row(t, f);
        if (f->type == ER_FIELD_STRUCT && !t->is_flat) {
            put_rows(t, f->rows);
        }
        t->path.len = mark;
        t->path.p[mark] = '\0';
    }
}

static void put_table(table *t, const er_field *rows, er_buf *out) {
    t->out = out;
    er_buf_init(&t->path, 1024);
    put_rows(t, rows);
    er_buf_fini(&t->path);
    er_buf_puts(out, t->has_head ? "\n" : "");
}

/* ---- sections ---- */

/* Lists and variants below rows, each in a section of its own. */
static void put_inner(const char *path, const er_field *rows, unsigned level, er_buf *out) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        er_buf inner;
        er_buf_init(&inner, 1024);
        er_buf_putf(&inner, "%s.%s", path, f->key);
        if (!is_shown(f)) {
            er_buf_clear(&inner);
        } else if (f->type == ER_FIELD_STRUCT) {
            put_inner(er_buf_cstr(&inner), f->rows, level, out);
        } else if (f->type == ER_FIELD_LIST || f->type == ER_FIELD_VARIANTS) {
            section(er_buf_cstr(&inner), f, level, out);
        }
        er_buf_fini(&inner);
    }
}

static void put_heading(unsigned level, er_buf *out) {
    for (unsigned i = 0; i < level; i++) {
        er_buf_putc(out, '#');
    }
    er_buf_putc(out, ' ');
}

static void put_variants(const char *path, const er_field *f, unsigned level, er_buf *out) {
    er_variant kind;
    if (!f->variant_at(0, &kind)) {
        return;
    }
    er_buf_puts(out, "The key `type` says which other keys there are.\n\n");
    table common = {.variants = f, .only_common = true};
    put_table(&common, kind.rows, out);
    for (size_t i = 0; f->variant_at(i, &kind); i++) {
        put_heading(level + 1, out);
        er_buf_putf(out, "`%s.NAME` with `type: %s`\n\n%s\n\n", path, kind.name,
                    kind.summary == NULL ? "" : kind.summary);
        table own = {.variants = f, .skip_common = true};
        put_table(&own, kind.rows, out);
        er_buf inner;
        er_buf_init(&inner, 1024);
        er_buf_putf(&inner, "%s.NAME", path);
        put_inner(er_buf_cstr(&inner), kind.rows, level + 2, out);
        er_buf_fini(&inner);
    }
}

static void section(const char *path, const er_field *f, unsigned level, er_buf *out) {
    const char *suffix = f->type == ER_FIELD_LIST ? "[]" : "";
    put_heading(level, out);
    er_buf_putf(out, "`%s%s%s`\n\n", path, suffix, f->type == ER_FIELD_VARIANTS ? ".NAME" : "");
    if (f->help != NULL) {
        er_buf_putf(out, "%s\n\n", f->help);
    }
    if (f->type == ER_FIELD_VARIANTS) {
        put_variants(path, f, level, out);
        return;
    }
    table t = {.out = out};
    put_table(&t, f->rows, out);
    er_buf inner;
    er_buf_init(&inner, 1024);
    er_buf_putf(&inner, "%s%s", path, suffix);
    put_inner(er_buf_cstr(&inner), f->rows, level + 1, out);
    er_buf_fini(&inner);
}

void er_config_reference(const er_schema *schema, const char *intro, er_buf *out) {
    er_buf_putf(out, "# %s\n\n%s\n## Top level\n\n", schema->title, intro);
    table t = {.is_flat = true};
    put_table(&t, schema->rows, out);
    for (const er_field *f = schema->rows; f->key != NULL; f++) {
        bool is_part =
            f->type == ER_FIELD_STRUCT || f->type == ER_FIELD_LIST || f->type == ER_FIELD_VARIANTS;
        if (is_shown(f) && is_part) {
            section(f->key, f, 2, out);
        }
    }
    /* One newline at the end of the file. */
    while (out->len > 1 && out->p[out->len - 1] == '\n' && out->p[out->len - 2] == '\n') {
        out->p[--out->len] = '\0';
    }
}
