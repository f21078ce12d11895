#include "record/owner.h"

#include "base/json_write.h"

#include <string.h>

#define ENTRIES_MAX 64 /* of managedFields that are looked at */
#define KEY_MAX     4096

static const er_json *entries_of(const er_json *object) {
    const er_json *list = er_json_path(object, "metadata", "managedFields");
    return er_json_is_array(list) ? er_json_first(list) : NULL;
}

static er_owner owner_of(const er_json *entry) {
    return (er_owner){
        .manager = er_json_get_str(entry, "manager"),
        .operation = er_json_get_str(entry, "operation"),
        .subresource = er_json_get_str(entry, "subresource"),
        .time = er_json_get_time(entry, "time"),
        .known = true,
    };
}

static void put_key_value(er_jw *w, const er_step *step, const char *key) {
    int64_t number;
    const er_json *node = er_json_get(step->item, key);
    if (er_json_int(node, &number)) {
        er_jw_kint(w, key, number);
    } else {
        er_jw_kstr(w, key,
                   node == NULL && strcmp(key, "protocol") == 0 ? ER_STR("TCP")
                                                                : er_json_str(node));
    }
}

/* "f:NAME", "k:{JSON of the keys}"; nothing for an index: such lists are owned as a whole. */
static void put_name(const er_step *step, er_buf *out) {
    er_buf_clear(out);
    if (step->kind == ER_STEP_FIELD) {
        er_buf_puts(out, "f:");
        er_buf_put_str(out, step->name);
    } else if (step->kind == ER_STEP_ITEM) {
        er_jw w;
        er_buf_puts(out, "k:");
        er_jw_init(&w, out);
        er_jw_object(&w);
        for (size_t i = 0; step->keys[i] != NULL; i++) {
            put_key_value(&w, step, step->keys[i]);
        }
        er_jw_object_end(&w);
    }
}

static bool owns(const er_json *fields, er_steps steps, er_buf *name) {
    for (size_t i = 0; i < steps.n; i++) {
        if (er_json_first(fields) == NULL) { /* a leaf: all that is below */
            return i > 0;
        }
        put_name(&steps.v[i], name);
        fields = er_json_get(fields, er_buf_cstr(name));
        if (fields == NULL || er_buf_status(name) != ER_OK) {
            return false;
        }
    }
    return steps.n > 0;
}

void er_owner_find(const er_json *object, er_steps steps, er_owner *newest) {
    er_buf name;
    er_buf_init(&name, KEY_MAX);
    size_t n = 0;
    for (const er_json *e = entries_of(object); e != NULL && n < ENTRIES_MAX;
         e = er_json_next(e), n++) {
        er_owner owner = owner_of(e);
        if ((!newest->known || owner.time > newest->time) &&
            owns(er_json_get(e, "fieldsV1"), steps, &name)) {
            *newest = owner;
        }
    }
    er_buf_fini(&name);
}

er_owner er_owner_newest(const er_json *object) {
    er_owner newest = ER_OWNER_NONE;
    size_t n = 0;
    for (const er_json *e = entries_of(object); e != NULL && n < ENTRIES_MAX;
         e = er_json_next(e), n++) {
        er_owner owner = owner_of(e);
        if (owner.time > newest.time && !er_str_eqc(owner.subresource, "status")) {
            newest = owner;
        }
    }
    return newest;
}

bool er_owner_is_autoscaler(const er_owner *owner) {
    static const char *const parts[] = {"autoscal", "keda", "hpa"};
    if (er_str_eqc(owner->manager, "kube-controller-manager")) {
        return er_str_eqc(owner->subresource, "scale");
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (owner->manager.n > 0 &&
            memmem(owner->manager.p, owner->manager.n, parts[i], strlen(parts[i])) != NULL) {
            return true;
        }
    }
    return false;
}
