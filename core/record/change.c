#include "record/change.h"

#include "record/change_text.h"
#include "record/hash.h"
#include "record/tree.h"

#include <stdio.h>
#include <string.h>

#define PATH_MAX_BYTES 1024 /* a change with a longer path is only counted */
#define OWNED_MAX      64   /* changes whose owner is looked for */

void er_change_init(er_change *change) {
    *change = (er_change){.owner = ER_OWNER_NONE};
    er_buf_init(&change->diff, ER_CHANGE_DIFF_MAX + (128u << 10));
    er_buf_init(&change->patch, ER_CHANGE_PATCH_MAX);
    er_buf_init(&change->path, PATH_MAX_BYTES);
    er_buf_init(&change->value, 4u << 20);
    for (size_t i = 0; i < 3; i++) {
        er_buf_init(&change->parts[i], 16384);
    }
}

void er_change_fini(er_change *change) {
    er_buf_fini(&change->diff);
    er_buf_fini(&change->patch);
    er_buf_fini(&change->path);
    er_buf_fini(&change->value);
    for (size_t i = 0; i < 3; i++) {
        er_buf_fini(&change->parts[i]);
    }
}

/* ---- what is ignored ---- */

/* The path without what stands in brackets. */
static size_t strip(er_str path, char *out) {
    size_t n = 0;
    unsigned depth = 0;
    for (size_t i = 0; i < path.n; i++) {
        depth += path.p[i] == '[';
        if (depth == 0) {
            out[n++] = path.p[i];
        }
        depth -= path.p[i] == ']' && depth > 0;
    }
    return n;
}

static bool is_below(er_str path, er_str prefix) {
    return prefix.n > 0 && path.n >= prefix.n && memcmp(path.p, prefix.p, prefix.n) == 0 &&
           (path.n == prefix.n || path.p[prefix.n] == '.' || path.p[prefix.n] == '[');
}

static bool is_ignored(er_change *c, er_steps steps) {
    if (c->ignore_n == 0) {
        return false;
    }
    er_buf_clear(&c->path);
    er_steps_path(steps, &c->path);
    er_str path = er_buf_str(&c->path);
    char plain[PATH_MAX_BYTES];
    er_str stripped = {plain, strip(path, plain)};
    for (size_t i = 0; i < c->ignore_n; i++) {
        if (is_below(path, c->ignore[i]) || is_below(stripped, c->ignore[i])) {
            return true;
        }
    }
    return false;
}

/* ---- values ---- */

static void put_names(er_jw *w, const er_json *list) {
    er_jw_array(w);
    for (const er_json *m = er_json_first(list); m != NULL; m = er_json_next(m)) {
        er_jw_str(w, er_json_get_str(m, "name"));
    }
    er_jw_array_end(w);
}

/* "KEY":value, or its beginning with "KEYLength" and "KEYSha256". */
static void put_value(er_change *c, const char *key, const er_json *node, bool names_only) {
    er_jw value_w;
    er_buf_clear(&c->value);
    er_jw_init(&value_w, &c->value);
    er_tree_shown shown = {0};
    if (names_only) {
        put_names(&value_w, node);
    } else {
        shown = er_tree_show(&value_w, node);
    }
    c->hidden = c->hidden || shown.hidden;
    c->cut = c->cut || shown.cut;
    er_str json = er_buf_str(&c->value);
    bool is_text = er_json_type_of(node) == ER_JSON_STRING;
    bool is_stand_in = er_tree_stand_in_of(node) != ER_TREE_PLAIN;
    char length_key[16];
    char hash_key[16];
    (void)snprintf(length_key, sizeof length_key, "%sLength", key);
    (void)snprintf(hash_key, sizeof hash_key, "%sSha256", key);
    er_jw_key(&c->diff_w, key);
    if (is_text || is_stand_in || json.n <= ER_CHANGE_VALUE_MAX) {
        int64_t length = 0;
        er_jw_raw(&c->diff_w, json);
        if (er_tree_stand_in_of(node) == ER_TREE_CUT &&
            er_json_int(er_json_get(node, "length"), &length)) {
            er_jw_kint(&c->diff_w, length_key, length);
            er_jw_kstr(&c->diff_w, hash_key, er_tree_digest(node));
        }
        return;
    }
    char hex[65];
    er_sha256_hex(json, hex, 64);
    er_jw_str(&c->diff_w, (er_str){json.p, er_utf8_cut(json, ER_CHANGE_VALUE_MAX)});
    er_jw_kint(&c->diff_w, length_key, (int64_t)json.n);
    er_jw_kstr(&c->diff_w, hash_key, er_str_of(hex));
    c->cut = true;
}

/* ---- the readable form ---- */

static bool put_path(er_change *c, const char *key, er_steps steps,
                     void (*write)(er_steps steps, er_buf *out)) {
    er_buf_clear(&c->path);
    write(steps, &c->path);
    if (er_buf_status(&c->path) != ER_OK) {
        return false;
    }
    er_jw_kstr(&c->diff_w, key, er_buf_str(&c->path));
    return true;
}

static bool fits(er_change *c, er_steps steps) {
    er_buf_clear(&c->path);
    er_steps_path(steps, &c->path);
    bool path_fits = er_buf_status(&c->path) == ER_OK;
    er_buf_clear(&c->path);
    er_steps_pointer(steps, &c->path);
    return path_fits && er_buf_status(&c->path) == ER_OK && c->diff.len < ER_CHANGE_DIFF_MAX &&
           c->n - c->omitted <= ER_CHANGE_ENTRIES_MAX;
}

static void put_entry(er_change *c, const er_diff_change *change) {
    static const char *const ops[] = {"add", "remove", "replace", "reorder", "move"};
    if (!fits(c, change->steps)) {
        c->omitted++;
        c->cut = true;
        return;
    }
    bool is_reorder = change->op == ER_DIFF_REORDER;
    er_jw_object(&c->diff_w);
    (void)put_path(c, "path", change->steps, er_steps_path);
    (void)put_path(c, "pointer", change->steps, er_steps_pointer);
    er_jw_kstr(&c->diff_w, "op", er_str_of(ops[change->op]));
    if (change->before != NULL) {
        put_value(c, "old", change->before, is_reorder);
    }
    if (change->after != NULL) {
        put_value(c, "new", change->after, is_reorder);
    }
    er_jw_object_end(&c->diff_w);
}

/* ---- the patch ---- */

static void put_pointer(er_change *c, const char *key, er_steps steps) {
    er_buf_clear(&c->path);
    er_steps_pointer(steps, &c->path);
    if (er_buf_status(&c->path) != ER_OK) {
        c->patch.bad = ER_E_LIMIT; /* better none than one that does something else */
    }
    er_jw_kstr(&c->patch_w, key, er_buf_str(&c->path));
}

static void put_operation(er_change *c, const er_diff_change *change) {
    static const char *const ops[] = {"add", "remove", "replace", "", "move"};
    if (er_buf_status(&c->patch) != ER_OK) {
        return;
    }
    er_jw_object(&c->patch_w);
    er_jw_kstr(&c->patch_w, "op", er_str_of(ops[change->op]));
    if (change->op == ER_DIFF_MOVE) {
        er_step from = change->steps.v[change->steps.n - 1];
        er_steps list = {change->steps.v, change->steps.n - 1};
        er_buf_clear(&c->path);
        er_steps_pointer(list, &c->path);
        from.index = change->from;
        er_steps_pointer((er_steps){&from, 1}, &c->path);
        er_jw_kstr(&c->patch_w, "from", er_buf_str(&c->path));
    }
    put_pointer(c, "path", change->steps);
    if (change->after != NULL) {
        er_jw_key(&c->patch_w, "value");
        er_tree_shown shown = er_tree_show(&c->patch_w, change->after);
        c->hidden = c->hidden || shown.hidden;
        c->cut = c->cut || shown.cut;
    }
    er_jw_object_end(&c->patch_w);
}

/* ---- gathering ---- */

static void note(er_change *c, const er_diff_change *change) {
    const er_json *node = change->after != NULL ? change->after : change->before;
    er_families families = er_fields_families(change->steps, node);
    er_str field = er_steps_field(change->steps);
    er_families image = (er_families)1 << ER_FAMILY_IMAGE;
    c->families |= families;
    c->image = c->image || ((families & image) != 0 && er_str_eqc(field, "image"));
    c->replicas = c->replicas || families == (er_families)1 << ER_FAMILY_REPLICAS;
    if (c->n < OWNED_MAX) {
        er_owner_find(c->object, change->steps, &c->owner);
    }
    c->n++;
    if (c->parts_n < ER_CHANGE_PARTS_MAX) {
        er_buf *part = &c->parts[c->image && er_str_eqc(field, "image")             ? 0
                                 : families == (er_families)1 << ER_FAMILY_REPLICAS ? 1
                                                                                    : 2];
        er_buf_puts(part, part->len > 0 ? "; " : "");
        er_change_in_words(change, part);
        c->parts_n++;
    }
}

static void gather(void *arg, const er_diff_change *change) {
    er_change *c = arg;
    bool in_template = change->steps.n > 1 && er_str_eqc(change->steps.v[0].name, "spec") &&
                       er_str_eqc(change->steps.v[1].name, "template");
    c->touches_template = c->touches_template || in_template;
    if (is_ignored(c, change->steps)) {
        return;
    }
    if (change->for_people) {
        note(c, change);
        if (c->form != ER_CHANGE_JSON_PATCH) {
            put_entry(c, change);
        }
    }
    if (change->for_patch && c->form != ER_CHANGE_READABLE) {
        put_operation(c, change);
    }
}

er_status er_change_gather(er_change *change, const er_json *before, const er_json *after,
                           er_err *err) {
    er_jw_init(&change->diff_w, &change->diff);
    er_jw_init(&change->patch_w, &change->patch);
    er_jw_array(&change->diff_w);
    er_jw_array(&change->patch_w);
    er_status status = er_diff(before, after, gather, change, err);
    er_jw_array_end(&change->diff_w);
    er_jw_array_end(&change->patch_w);
    if (change->form == ER_CHANGE_JSON_PATCH || change->n == 0) {
        er_buf_clear(&change->diff);
    }
    if (change->form == ER_CHANGE_READABLE || change->n == 0) {
        er_buf_clear(&change->patch);
    } else if (er_buf_status(&change->patch) != ER_OK) {
        er_buf_clear(&change->patch);
        change->cut = true;
    }
    return status;
}

void er_change_message(const er_change *change, er_buf *out) {
    for (size_t i = 0; i < 3; i++) {
        if (change->parts[i].len > 0) {
            er_buf_puts(out, out->len > 0 ? "; " : "");
            er_buf_put_str(out, er_buf_str(&change->parts[i]));
        }
    }
    if (change->n > change->parts_n) {
        er_buf_putf(out, "; and %zu more", change->n - change->parts_n);
    }
}
