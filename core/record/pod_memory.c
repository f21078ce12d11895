#include "record/pod_memory.h"

#include "base/json_read.h"
#include "base/json_write.h"

#include <stdlib.h>
#include <string.h>

static bool is_name(er_str s) {
    bool is_label = s.n >= 1 && s.n <= ER_POD_NAME_MAX;
    for (size_t i = 0; i < s.n && is_label; i++) {
        char c = s.p[i];
        is_label = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    return is_label;
}

er_pod_container *er_pod_memory_at(er_pod_memory *memory, er_str name) {
    if (!is_name(name)) {
        return NULL;
    }
    for (size_t i = 0; i < memory->n; i++) {
        if (er_str_eqc(name, memory->containers[i].name)) {
            return &memory->containers[i];
        }
    }
    if (memory->n == ER_POD_CONTAINERS_MAX) {
        return NULL;
    }
    er_pod_container *added = &memory->containers[memory->n++];
    *added = (er_pod_container){0};
    memcpy(added->name, name.p, name.n);
    return added;
}

static bool read_container(er_pod_memory *memory, const er_json *member) {
    const er_json *count = er_json_is_array(member) ? er_json_first(member) : NULL;
    er_str ended = er_json_str(er_json_next(count));
    er_pod_container *container = er_pod_memory_at(memory, er_json_key(member));
    if (container == NULL || !er_json_int(count, &container->count) || container->count < 0 ||
        ended.n >= ER_POD_ENDED_MAX) {
        return false;
    }
    memcpy(container->ended, ended.n > 0 ? ended.p : "", ended.n);
    container->fell = er_json_is_true(er_json_next(er_json_next(count)));
    return true;
}

static bool read_object(er_pod_memory *memory, const er_json *root) {
    if (!er_json_is_object(root)) {
        return false;
    }
    const er_json *member = er_json_first(er_json_get(root, "c"));
    for (; member != NULL; member = er_json_next(member)) {
        if (!read_container(memory, member)) {
            return false;
        }
    }
    memory->failed = er_json_is_true(er_json_get(root, "failed"));
    return true;
}

bool er_pod_memory_read(er_pod_memory *memory, er_str json) {
    memory->n = 0;
    memory->failed = false;
    if (json.n == 0 || er_str_eqc(json, "{}")) { /* the usual ones: no tree for them */
        return json.n > 0;
    }
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *text = er_str_dup(json);
    bool is_ours =
        er_json_parse(&doc, text, json.n, NULL) == ER_OK && read_object(memory, doc.root);
    if (!is_ours) {
        memory->n = 0;
        memory->failed = false;
    }
    er_json_doc_fini(&doc);
    free(text);
    return is_ours;
}

static void put_container(er_jw *w, const er_pod_container *container) {
    er_jw_key(w, container->name);
    er_jw_array(w);
    er_jw_int(w, container->count);
    if (container->ended[0] != '\0' || container->fell) {
        er_jw_cstr(w, container->ended);
    }
    if (container->fell) {
        er_jw_bool(w, true);
    }
    er_jw_array_end(w);
}

void er_pod_memory_write(const er_pod_memory *memory, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    bool has_any = false;
    for (size_t i = 0; i < memory->n; i++) {
        const er_pod_container *container = &memory->containers[i];
        if (container->count == 0 && container->ended[0] == '\0' && !container->fell) {
            continue; /* as one that is not remembered */
        }
        if (!has_any) {
            er_jw_key(&w, "c");
            er_jw_object(&w);
            has_any = true;
        }
        put_container(&w, container);
    }
    if (has_any) {
        er_jw_object_end(&w);
    }
    if (memory->failed) {
        er_jw_kbool(&w, "failed", true);
    }
    er_jw_object_end(&w);
}
