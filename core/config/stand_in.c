#include "config/config_priv.h"

#include <stdlib.h>

static void visit_rows(const er_field *rows, void *base);

static void visit_secret(er_secret_ref *ref) {
    if (ref->kind != ER_SECRET_FILE && ref->kind != ER_SECRET_ENV) {
        return;
    }
    er_secret *secret = NULL;
    if (er_secret_new(ref, "", &secret, NULL) != ER_OK) {
        free(ref->text);
        *ref = (er_secret_ref){.kind = ER_SECRET_LITERAL, .text = er_dup("***")};
    }
    er_secret_free(secret);
}

static void visit_item(const er_field *f, void *item) {
    er_variant kind;
    if (f->type == ER_FIELD_LIST) {
        visit_rows(f->rows, item);
    } else if (f->type == ER_FIELD_SECRET_LIST) {
        visit_secret(item);
    } else if (f->type == ER_FIELD_SECRETS) {
        visit_secret(&((er_cfg_secret *)item)->value);
    } else if (er_variant_find(f, er_str_of(((er_cfg_variant *)item)->type), &kind)) {
        visit_rows(kind.rows, ((er_cfg_variant *)item)->config);
    }
}

static void visit_field(const er_field *f, void *target) {
    if (f->type == ER_FIELD_SECRET || f->type == ER_FIELD_URL) {
        visit_secret(target);
    } else if (f->type == ER_FIELD_STRUCT) {
        visit_rows(f->rows, target);
    } else if (f->type == ER_FIELD_LIST || f->type == ER_FIELD_SECRETS ||
               f->type == ER_FIELD_SECRET_LIST || f->type == ER_FIELD_VARIANTS) {
        er_cfg_list *list = target;
        for (size_t i = 0; i < list->n; i++) {
            visit_item(f, (char *)list->v + i * list->elem_size);
        }
    }
}

static void visit_rows(const er_field *rows, void *base) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f)) {
            visit_field(f, er_field_target(f, base));
        }
    }
}

void er_config_stand_in(const er_schema *schema, void *config) {
    visit_rows(schema->rows, config);
}
