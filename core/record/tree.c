#include "record/tree.h"

#include <math.h>
#include <stdio.h>

er_tree_stand_in er_tree_stand_in_of(const er_json *node) {
    if (!er_json_is_object(node)) {
        return ER_TREE_PLAIN;
    }
    er_str key = er_json_key(er_json_first(node));
    return er_str_eqc(key, "***")   ? ER_TREE_HIDDEN
           : er_str_eqc(key, "...") ? ER_TREE_CUT
                                    : ER_TREE_PLAIN;
}

er_str er_tree_digest(const er_json *stand_in) {
    return er_tree_stand_in_of(stand_in) == ER_TREE_CUT ? er_json_get_str(stand_in, "sha256")
                                                        : er_json_str(er_json_first(stand_in));
}

er_str er_tree_text(const er_json *node) {
    er_str shown;
    switch (er_tree_stand_in_of(node)) {
    case ER_TREE_HIDDEN:
        shown = er_json_get_str(node, "text");
        return shown.n > 0 ? shown : ER_STR("***");
    case ER_TREE_CUT:
        return er_json_str(er_json_first(node));
    case ER_TREE_PLAIN:
    default:
        return er_json_str(node);
    }
}

static void write_number(er_jw *w, const er_json *node) {
    int64_t n;
    if (er_json_int(node, &n)) {
        er_jw_int(w, n);
        return;
    }
    double v = er_json_number(node);
    if (!isfinite(v)) { /* more than a double holds */
        er_jw_null(w);
        return;
    }
    char text[32];
    (void)snprintf(text, sizeof text, "%.17g", v);
    er_jw_raw(w, er_str_of(text));
}

static void write_node(er_jw *w, const er_json *node, bool shows, unsigned depth,
                       er_tree_shown *shown);

static void write_members(er_jw *w, const er_json *node, bool shows, unsigned depth,
                          er_tree_shown *shown) {
    bool is_object = er_json_is_object(node);
    is_object ? er_jw_object(w) : er_jw_array(w);
    for (const er_json *m = er_json_first(node); m != NULL && depth < ER_TREE_DEPTH_MAX;
         m = er_json_next(m)) {
        if (is_object) {
            er_jw_key_str(w, er_json_key(m));
        }
        write_node(w, m, shows, depth + 1, shown);
    }
    is_object ? er_jw_object_end(w) : er_jw_array_end(w);
}

static void write_node(er_jw *w, const er_json *node, bool shows, unsigned depth,
                       er_tree_shown *shown) {
    er_tree_stand_in stand_in = shows ? er_tree_stand_in_of(node) : ER_TREE_PLAIN;
    if (stand_in != ER_TREE_PLAIN) {
        shown->hidden = shown->hidden || stand_in == ER_TREE_HIDDEN;
        shown->cut = shown->cut || stand_in == ER_TREE_CUT;
        er_jw_str(w, er_tree_text(node));
        return;
    }
    switch (er_json_type_of(node)) {
    case ER_JSON_OBJECT:
    case ER_JSON_ARRAY:
        write_members(w, node, shows, depth, shown);
        break;
    case ER_JSON_STRING:
        er_jw_str(w, er_json_str(node));
        break;
    case ER_JSON_NUMBER:
        write_number(w, node);
        break;
    case ER_JSON_BOOL:
        er_jw_bool(w, er_json_is_true(node));
        break;
    case ER_JSON_NULL:
    default:
        er_jw_null(w);
        break;
    }
}

void er_tree_write(er_jw *w, const er_json *node) {
    er_tree_shown shown = {0};
    write_node(w, node, false, 0, &shown);
}

er_tree_shown er_tree_show(er_jw *w, const er_json *node) {
    er_tree_shown shown = {0};
    write_node(w, node, true, 0, &shown);
    return shown;
}
