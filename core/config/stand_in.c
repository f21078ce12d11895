#include "config/config_priv.h"

#include <stdlib.h>

typedef struct walk {
    er_problems *problems;
    er_buf path;
} walk;

static void visit_rows(walk *w, const er_field *rows, void *base);

static size_t enter(walk *w, const char *key) {
    size_t before = w->path.len;
    er_buf_putf(&w->path, "%s%s", before > 0 ? "." : "", key);
    return before;
}

static void leave(walk *w, size_t before) {
    w->path.len = before;
    w->path.p[before] = '\0';
}

static void visit_secret(walk *w, er_secret_ref *ref) {
    if (ref->kind != ER_SECRET_FILE && ref->kind != ER_SECRET_ENV) {
        return;
    }
    er_secret *secret = NULL;
    er_err err;
    if (er_secret_new(ref, er_buf_cstr(&w->path), &secret, &err) != ER_OK) {
        er_problems_add(w->problems, true, (er_pos){0}, "", "%s", err.msg);
        free(ref->text);
        *ref = (er_secret_ref){.kind = ER_SECRET_LITERAL, .text = er_dup("***")};
    }
    er_secret_free(secret);
}

static void visit_item(walk *w, const er_field *f, void *item) {
    er_variant kind;
    if (f->type == ER_FIELD_LIST) {
        visit_rows(w, f->rows, item);
    } else if (f->type == ER_FIELD_SECRET_LIST) {
        visit_secret(w, item);
    } else if (f->type == ER_FIELD_SECRETS) {
        er_cfg_secret *secret = item;
        size_t before = enter(w, secret->name.s);
        visit_secret(w, &secret->value);
        leave(w, before);
    } else {
        er_cfg_variant *variant = item;
        size_t before = enter(w, variant->name.s);
        if (er_variant_find(f, er_str_of(variant->type), &kind)) {
            visit_rows(w, kind.rows, variant->config);
        }
        leave(w, before);
    }
}

static void visit_field(walk *w, const er_field *f, void *target) {
    if (f->type == ER_FIELD_SECRET || f->type == ER_FIELD_URL) {
        visit_secret(w, target);
    } else if (f->type == ER_FIELD_STRUCT) {
        visit_rows(w, f->rows, target);
    } else if (f->type == ER_FIELD_LIST || f->type == ER_FIELD_SECRETS ||
               f->type == ER_FIELD_SECRET_LIST || f->type == ER_FIELD_VARIANTS) {
        er_cfg_list *list = target;
        for (size_t i = 0; i < list->n; i++) {
            visit_item(w, f, (char *)list->v + i * list->elem_size);
        }
    }
}

static void visit_rows(walk *w, const er_field *rows, void *base) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f)) {
            size_t before = enter(w, f->key);
            visit_field(w, f, er_field_target(f, base));
            leave(w, before);
        }
    }
}

void er_config_stand_in(const er_schema *schema, void *config, er_problems *problems) {
    walk w = {.problems = problems};
    er_buf_init(&w.path, 65536);
    visit_rows(&w, schema->rows, config);
    er_buf_fini(&w.path);
}
