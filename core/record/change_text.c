#include "record/change_text.h"

#include "record/tree.h"

#define NAME_BYTES  256
#define VALUE_BYTES 80

void er_change_words(er_str s, size_t n, er_buf *out) {
    if (s.n == 0) {
        return;
    }
    size_t kept = er_utf8_cut(s, n);
    for (size_t i = 0; i < kept; i++) {
        er_buf_putc(out, (unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f ? ' ' : s.p[i]);
    }
    er_buf_puts(out, kept < s.n ? "…" : "");
}

static er_str name_at(er_steps steps, size_t i) {
    return i < steps.n && steps.v[i].kind == ER_STEP_FIELD ? steps.v[i].name : (er_str){0};
}

static void put_path(er_steps steps, size_t from, er_buf *out) {
    er_buf path;
    er_buf_init(&path, 4096);
    if (from < steps.n) {
        er_steps_path((er_steps){steps.v + from, steps.n - from}, &path);
    }
    er_change_words(er_buf_str(&path), NAME_BYTES, out);
    er_buf_fini(&path);
}

/* How many leading steps lead to an item of a list of containers; 0: none. */
static size_t container_steps(er_steps steps, const char **noun) {
    static const char *const lists[][2] = {
        {"containers", "container"},
        {"initContainers", "init container"},
        {"ephemeralContainers", "ephemeral container"},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0] && steps.n > 4; i++) {
        if (er_str_eqc(name_at(steps, 3), lists[i][0]) && steps.v[4].kind == ER_STEP_ITEM) {
            *noun = lists[i][1];
            return 5;
        }
    }
    return 0;
}

static void put_container_value(er_steps steps, const char *noun, bool is_replaced, er_buf *out) {
    er_str name = er_json_get_str(steps.v[4].item, "name");
    bool is_env = er_str_eqc(name_at(steps, 5), "env");
    if (steps.n == 5) {
        er_buf_puts(out, noun);
    } else if (is_env) {
        er_buf_puts(out, "env");
    } else {
        put_path(steps, 5, out);
    }
    er_buf_putc(out, ' ');
    er_change_words(name, NAME_BYTES, out);
    if (is_env && steps.n > 6) {
        er_buf_putc(out, ' ');
        er_change_words(er_json_get_str(steps.v[6].item, "name"), NAME_BYTES, out);
    }
    if (is_env && steps.n > 7 && !(is_replaced && er_str_eqc(name_at(steps, 7), "value"))) {
        er_buf_putc(out, ' ');
        put_path(steps, 7, out);
    }
}

/* metadata.labels.X, of the object or of the template whose metadata is at step `at`. */
static bool put_metadata(er_steps steps, size_t at, er_buf *out) {
    er_str map = name_at(steps, at + 1);
    bool is_label = er_str_eqc(map, "labels");
    if (!er_str_eqc(name_at(steps, at), "metadata") || steps.n != at + 3 ||
        !(is_label || er_str_eqc(map, "annotations"))) {
        return false;
    }
    er_buf_puts(out, at > 0 ? "template " : "");
    er_buf_puts(out, is_label ? "label " : "annotation ");
    er_change_words(name_at(steps, at + 2), NAME_BYTES, out);
    return true;
}

static void put_what(er_steps steps, bool is_replaced, er_buf *out) {
    const char *noun;
    if (er_str_eqc(name_at(steps, 0), "metadata")) {
        if (!put_metadata(steps, 0, out)) {
            put_path(steps, 0, out);
        }
        return;
    }
    bool in_template = er_str_eqc(name_at(steps, 1), "template");
    if (in_template && put_metadata(steps, 2, out)) {
        return;
    }
    if (in_template && container_steps(steps, &noun) > 0) {
        put_container_value(steps, noun, is_replaced, out);
        return;
    }
    bool in_pod = in_template && er_str_eqc(name_at(steps, 2), "spec") && steps.n > 3;
    put_path(steps, in_pod ? 3 : steps.n > 1 ? 1 : 0, out);
}

/* False for what does not fit on a line. */
static bool put_scalar(const er_json *node, er_buf *out) {
    int64_t number;
    switch (er_json_type_of(node)) {
    case ER_JSON_STRING:
        er_change_words(er_json_str(node).n > 0 ? er_json_str(node) : ER_STR("\"\""), VALUE_BYTES,
                        out);
        return true;
    case ER_JSON_BOOL:
        er_buf_puts(out, er_json_is_true(node) ? "true" : "false");
        return true;
    case ER_JSON_NUMBER:
        if (er_json_int(node, &number)) {
            er_buf_putf(out, "%lld", (long long)number);
        } else {
            er_buf_putf(out, "%g", er_json_number(node));
        }
        return true;
    case ER_JSON_OBJECT:
        if (er_tree_stand_in_of(node) != ER_TREE_PLAIN) {
            er_change_words(er_tree_text(node), VALUE_BYTES, out);
            return true;
        }
        return false;
    case ER_JSON_ARRAY:
    case ER_JSON_NULL:
    default:
        return false;
    }
}

static bool is_scalar(const er_json *node) {
    return er_tree_stand_in_of(node) != ER_TREE_PLAIN || er_json_type_of(node) < ER_JSON_ARRAY;
}

/* Both hidden, and shown alike: there is nothing to see. */
static bool look_alike(const er_json *a, const er_json *b) {
    return er_tree_stand_in_of(a) != ER_TREE_PLAIN && er_tree_stand_in_of(b) != ER_TREE_PLAIN &&
           er_str_eq(er_tree_text(a), er_tree_text(b));
}

static void put_replaced(const er_diff_change *change, er_buf *out) {
    bool is_count = change->steps.n == 2 && er_str_eqc(name_at(change->steps, 1), "replicas");
    if (!is_scalar(change->before) || !is_scalar(change->after) ||
        look_alike(change->before, change->after)) {
        er_buf_puts(out, " changed");
        return;
    }
    er_buf_puts(out, is_count ? " " : ": ");
    (void)put_scalar(change->before, out);
    er_buf_puts(out, " → ");
    (void)put_scalar(change->after, out);
}

void er_change_in_words(const er_diff_change *change, er_buf *out) {
    put_what(change->steps, change->op == ER_DIFF_REPLACE, out);
    switch (change->op) {
    case ER_DIFF_ADD:
        er_buf_puts(out, " added");
        if (is_scalar(change->after)) {
            er_buf_puts(out, ": ");
            (void)put_scalar(change->after, out);
        }
        break;
    case ER_DIFF_REMOVE:
        er_buf_puts(out, " removed");
        break;
    case ER_DIFF_REORDER:
        er_buf_puts(out, " reordered");
        break;
    case ER_DIFF_REPLACE:
    case ER_DIFF_MOVE:
    default:
        put_replaced(change, out);
        break;
    }
}
