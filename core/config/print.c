/* The effective configuration as YAML, in blocks. */
#include "config/config_priv.h"

#define INDENT 2

static void print_rows(const er_field *rows, const void *base, int indent, er_buf *out);

static void put_indent(int indent, er_buf *out) {
    er_buf_putf(out, "%*s", indent, "");
}

static void put_secret(const er_field *f, const er_secret_ref *ref, er_buf *out) {
    if (ref->kind == ER_SECRET_LITERAL) {
        er_buf shown;
        er_buf_init(&shown, ER_CONFIG_SCALAR_MAX);
        if (f->type == ER_FIELD_URL || er_field_is_urls(f)) {
            er_url_mask(er_str_of(ref->text), &shown);
        } else {
            er_buf_puts(&shown, "***");
        }
        er_yaml_text(er_buf_str(&shown), out);
        er_buf_fini(&shown);
    } else if (ref->kind == ER_SECRET_UNSET) {
        er_buf_puts(out, "null");
    } else {
        er_buf_puts(out, ref->kind == ER_SECRET_FILE ? "{file: " : "{env: ");
        er_yaml_text(er_str_of(ref->text), out);
        er_buf_putc(out, '}');
    }
}

/* After "key:": what print writes is a block below it, or {} / [] when it wrote nothing. */
static void end_block(er_buf *out, size_t start, const char *nothing) {
    if (out->len == start && out->bad == ER_OK) {
        out->len--; /* the newline */
        er_buf_putf(out, " %s\n", nothing);
    }
}

static void print_strings(const er_cfg_strings *list, int indent, er_buf *out) {
    for (size_t i = 0; i < list->n; i++) {
        put_indent(indent, out);
        er_buf_puts(out, "- ");
        er_yaml_text(er_str_of(list->v[i].s), out);
        er_buf_putc(out, '\n');
    }
}

static void print_list(const er_field *f, const er_cfg_list *list, int indent, er_buf *out) {
    for (size_t i = 0; i < list->n; i++) {
        size_t start = out->len;
        print_rows(f->rows, (const char *)list->v + i * list->elem_size, indent + INDENT, out);
        if (out->bad == ER_OK && out->len > start) {
            out->p[start + (size_t)indent] = '-'; /* in the indentation of the first line */
        } else {
            put_indent(indent, out);
            er_buf_puts(out, "- {}\n");
        }
    }
}

static void print_secrets(const er_field *f, const er_cfg_list *list, int indent, er_buf *out) {
    const er_cfg_secret *secrets = list->v;
    for (size_t i = 0; i < list->n; i++) {
        put_indent(indent, out);
        er_yaml_text(er_str_of(secrets[i].name.s), out);
        er_buf_puts(out, ": ");
        bool is_open = (f->flags & ER_FIELD_OPEN) != 0 &&
                       secrets[i].value.kind == ER_SECRET_LITERAL &&
                       !er_name_is_sensitive(er_str_of(secrets[i].name.s));
        if (is_open) {
            er_yaml_text(er_str_of(secrets[i].value.text), out);
        } else {
            put_secret(f, &secrets[i].value, out);
        }
        er_buf_putc(out, '\n');
    }
}

static void print_secret_list(const er_field *f, const er_cfg_list *list, int indent, er_buf *out) {
    const er_secret_ref *secrets = list->v;
    for (size_t i = 0; i < list->n; i++) {
        put_indent(indent, out);
        er_buf_puts(out, "- ");
        put_secret(f, &secrets[i], out);
        er_buf_putc(out, '\n');
    }
}

static void print_variants(const er_field *f, const er_cfg_list *list, int indent, er_buf *out) {
    const er_cfg_variant *variants = list->v;
    for (size_t i = 0; i < list->n; i++) {
        er_variant kind;
        ER_ASSERT(er_variant_find(f, er_str_of(variants[i].type), &kind));
        put_indent(indent, out);
        er_yaml_text(er_str_of(variants[i].name.s), out);
        er_buf_puts(out, ":\n");
        put_indent(indent + INDENT, out);
        er_buf_puts(out, "type: ");
        er_yaml_text(er_str_of(kind.name), out);
        er_buf_putc(out, '\n');
        print_rows(kind.rows, variants[i].config, indent + INDENT, out);
    }
}

/* A map without keys says nothing: it is left out with its own key. */
static void print_struct(const er_field *f, const void *value, int indent, er_buf *out) {
    size_t before = out->len;
    put_indent(indent, out);
    er_yaml_text(er_str_of(f->key), out);
    er_buf_puts(out, ":\n");
    size_t start = out->len;
    print_rows(f->rows, value, indent + INDENT, out);
    if (out->len == start && out->bad == ER_OK) {
        out->len = before;
        out->p[before] = '\0';
    }
}

static void print_block(const er_field *f, const void *value, int indent, er_buf *out) {
    er_buf_putc(out, '\n');
    size_t start = out->len;
    bool is_list =
        f->type == ER_FIELD_STRINGS || f->type == ER_FIELD_LIST || f->type == ER_FIELD_SECRET_LIST;
    if (f->type == ER_FIELD_STRINGS) {
        print_strings(value, indent + INDENT, out);
    } else if (f->type == ER_FIELD_LIST) {
        print_list(f, value, indent + INDENT, out);
    } else if (f->type == ER_FIELD_SECRETS) {
        print_secrets(f, value, indent + INDENT, out);
    } else if (f->type == ER_FIELD_SECRET_LIST) {
        print_secret_list(f, value, indent + INDENT, out);
    } else {
        print_variants(f, value, indent + INDENT, out);
    }
    end_block(out, start, is_list ? "[]" : "{}");
}

static bool is_block(er_field_type type) {
    return type == ER_FIELD_STRINGS || type == ER_FIELD_LIST || type == ER_FIELD_SECRETS ||
           type == ER_FIELD_SECRET_LIST || type == ER_FIELD_VARIANTS;
}

static bool is_left_out(const er_field *f, const void *value) {
    return er_field_is_pos(f) || (f->flags & ER_FIELD_HIDDEN) != 0 || er_field_is_unset(f, value) ||
           (f->type == ER_FIELD_STRUCT && er_struct_is_absent(f, value));
}

static void print_rows(const er_field *rows, const void *base, int indent, er_buf *out) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        const void *value = er_field_value(f, base);
        if (is_left_out(f, value)) {
            continue;
        }
        if (f->type == ER_FIELD_STRUCT) {
            print_struct(f, value, indent, out);
            continue;
        }
        put_indent(indent, out);
        er_yaml_text(er_str_of(f->key), out);
        er_buf_putc(out, ':');
        if (is_block(f->type)) {
            print_block(f, value, indent, out);
            continue;
        }
        er_buf_putc(out, ' ');
        if (f->type == ER_FIELD_SECRET || f->type == ER_FIELD_URL) {
            put_secret(f, value, out);
        } else {
            er_value_print(f, value, out);
        }
        er_buf_putc(out, '\n');
    }
}

void er_config_print(const er_schema *schema, const void *config, er_buf *out) {
    print_rows(schema->rows, config, 0, out);
}
