#include "config/config_priv.h"

#include <stdlib.h>
#include <string.h>

bool er_field_is_urls(const er_field *field) {
    return field->type == ER_FIELD_SECRET_LIST && (field->flags & ER_FIELD_OF_URLS) != 0;
}

bool er_field_is_pos(const er_field *field) {
    return field->key[0] == '\0';
}

const er_field *er_rows_find(const er_field *rows, er_str key) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f) && er_str_eqc(key, f->key)) {
            return f;
        }
    }
    return NULL;
}

bool er_variant_find(const er_field *field, er_str name, er_variant *out) {
    for (size_t i = 0; field->variant_at(i, out); i++) {
        if (er_str_eqc(name, out->name)) {
            return true;
        }
    }
    return false;
}

void *er_field_target(const er_field *field, void *base) {
    return (char *)base + field->offset;
}

const void *er_field_value(const er_field *field, const void *base) {
    return (const char *)base + field->offset;
}

bool er_field_is_unset(const er_field *field, const void *value) {
    switch (field->type) {
    case ER_FIELD_INT:
    case ER_FIELD_DURATION:
    case ER_FIELD_SIZE:
        return (field->flags & ER_FIELD_UNSET) != 0 && field->def == NULL &&
               *(const int64_t *)value == -1;
    case ER_FIELD_SECRET:
    case ER_FIELD_URL:
        return ((const er_secret_ref *)value)->kind == ER_SECRET_UNSET;
    case ER_FIELD_STRINGS:
        return !((const er_cfg_strings *)value)->set && ((const er_cfg_strings *)value)->n == 0;
    case ER_FIELD_LIST:
    case ER_FIELD_SECRETS:
    case ER_FIELD_SECRET_LIST:
    case ER_FIELD_VARIANTS:
        return !((const er_cfg_list *)value)->set && ((const er_cfg_list *)value)->n == 0;
    case ER_FIELD_BOOL:
    case ER_FIELD_STRING:
    case ER_FIELD_ENUM:
    case ER_FIELD_STRUCT:
    default:
        return false;
    }
}

static bool is_missing(const er_field *f, const void *value) {
    if ((f->flags & ER_FIELD_REQUIRED) == 0) {
        return false;
    }
    if (f->type == ER_FIELD_STRING) {
        return (*(char *const *)value)[0] == '\0';
    }
    return f->type == ER_FIELD_STRUCT ? er_struct_is_absent(f, value) : er_field_is_unset(f, value);
}

bool er_struct_is_absent(const er_field *field, const void *value) {
    for (const er_field *f = field->rows; f->key != NULL; f++) {
        if (er_field_is_pos(f) && (field->flags & ER_FIELD_UNSET) != 0 &&
            ((const er_pos *)er_field_value(f, value))->line == 0) {
            return true;
        }
        if (!er_field_is_pos(f) && is_missing(f, er_field_value(f, value))) {
            return true;
        }
    }
    /* What a file can hold has passed this. */
    return field->check_struct != NULL && field->check_struct(value, NULL) != ER_OK;
}

static void init_field(const er_field *f, void *target) {
    if (f->type == ER_FIELD_STRUCT) {
        er_rows_init(f->rows, target);
    } else if (f->type == ER_FIELD_STRING && f->def == NULL) {
        *(char **)target = er_dup("");
    } else if (f->def != NULL) {
        er_field_default(f, target);
    } else if ((f->flags & ER_FIELD_UNSET) != 0) {
        *(int64_t *)target = -1;
    }
}

void er_rows_init(const er_field *rows, void *base) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f)) {
            init_field(f, er_field_target(f, base));
        }
    }
}

/* ---- freeing ---- */

static void free_secret(er_secret_ref *ref) {
    if (ref->text != NULL) {
        explicit_bzero(ref->text, strlen(ref->text));
        free(ref->text);
    }
    *ref = (er_secret_ref){0};
}

static void free_strings(er_cfg_strings *list) {
    for (size_t i = 0; i < list->n; i++) {
        free(list->v[i].s);
    }
    free(list->v);
    *list = (er_cfg_strings){0};
}

static void free_item(const er_field *f, void *item) {
    if (f->type == ER_FIELD_LIST) {
        er_rows_free(f->rows, item);
    } else if (f->type == ER_FIELD_SECRETS) {
        er_cfg_secret *secret = item;
        free(secret->name.s);
        free_secret(&secret->value);
    } else if (f->type == ER_FIELD_SECRET_LIST) {
        free_secret(item);
    } else {
        er_cfg_variant *variant = item;
        er_variant kind;
        if (variant->config != NULL && er_variant_find(f, er_str_of(variant->type), &kind)) {
            er_rows_free(kind.rows, variant->config);
        }
        free(variant->config);
        free(variant->name.s);
    }
}

static void free_list(const er_field *f, er_cfg_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        free_item(f, (char *)list->v + i * list->elem_size);
    }
    free(list->v);
    *list = (er_cfg_list){0};
}

void er_field_free(const er_field *field, void *target) {
    switch (field->type) {
    case ER_FIELD_STRING:
        free(*(char **)target);
        *(char **)target = NULL;
        break;
    case ER_FIELD_SECRET:
    case ER_FIELD_URL:
        free_secret(target);
        break;
    case ER_FIELD_STRUCT:
        er_rows_free(field->rows, target);
        break;
    case ER_FIELD_STRINGS:
        free_strings(target);
        break;
    case ER_FIELD_LIST:
    case ER_FIELD_SECRETS:
    case ER_FIELD_SECRET_LIST:
    case ER_FIELD_VARIANTS:
        free_list(field, target);
        break;
    case ER_FIELD_BOOL:
    case ER_FIELD_INT:
    case ER_FIELD_DURATION:
    case ER_FIELD_SIZE:
    case ER_FIELD_ENUM:
    default:
        break;
    }
}

void er_rows_free(const er_field *rows, void *base) {
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (!er_field_is_pos(f)) {
            er_field_free(f, er_field_target(f, base));
        }
    }
}
