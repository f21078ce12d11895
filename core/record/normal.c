#include "record/normal.h"

#include "record/hash.h"
#include "record/redact.h"
#include "record/tree.h"

#include <string.h>

/* Less than a tree may have: records hold parts of it, a few levels down. */
#define DEPTH_MAX (ER_TREE_DEPTH_MAX - 4)

typedef struct normal {
    const er_normal_options *options;
    er_jw w;
    er_buf text; /* a string with *** */
} normal;

/* What the parents of a value say about it. */
typedef struct place {
    er_str name;       /* of the member, or of the list an item is in */
    bool in_env;       /* an item of env: its value is hidden */
    bool named_secret; /* an item {name, value} whose name looks like a secret */
    bool after_flag;   /* an argument behind one such as --password */
    unsigned depth;
} place;

static void put_hidden(normal *n, er_str value, er_str shown) {
    char digest[ER_REDACT_DIGEST];
    er_redact_digest(n->options->key, n->options->scope, value, digest);
    er_jw_object(&n->w);
    er_jw_kstr(&n->w, "***", er_str_of(digest));
    shown.n = er_utf8_cut(shown, ER_TREE_TEXT_MAX);
    er_jw_kstr_opt(&n->w, "text", shown);
    er_jw_object_end(&n->w);
}

static void put_long(normal *n, er_str value) {
    char hex[65];
    er_sha256_hex(value, hex, 64);
    er_jw_object(&n->w);
    er_jw_kstr(&n->w, "...", (er_str){value.p, er_utf8_cut(value, ER_TREE_TEXT_MAX)});
    er_jw_kint(&n->w, "length", (int64_t)value.n);
    er_jw_kstr(&n->w, "sha256", er_str_of(hex));
    er_jw_object_end(&n->w);
}

static bool is_hidden(const place *at) {
    bool is_value = er_str_eqc(at->name, "value");
    return (is_value && (at->in_env || at->named_secret)) || at->after_flag ||
           er_redact_is_secret_name(at->name);
}

static void put_string(normal *n, er_str value, const place *at) {
    if (n->options->redact && value.n > 0) {
        if (is_hidden(at)) {
            put_hidden(n, value, (er_str){0});
            return;
        }
        er_buf_clear(&n->text);
        n->text.max = 3 * value.n + 3; /* at most three bytes for one */
        if (!er_str_eqc(at->name, "image") && er_redact_text(value, &n->text)) {
            put_hidden(n, value, er_buf_str(&n->text));
            return;
        }
    }
    if (value.n > ER_TREE_TEXT_MAX) {
        put_long(n, value);
    } else {
        er_jw_str(&n->w, value);
    }
}

static void put_node(normal *n, const er_json *node, const place *at);

static void put_items(normal *n, const er_json *list, const place *at) {
    place item = {.name = at->name, .depth = at->depth + 1};
    bool is_env = er_str_eqc(at->name, "env");
    bool is_args = er_str_eqc(at->name, "args") || er_str_eqc(at->name, "command");
    er_jw_array(&n->w);
    for (const er_json *m = er_json_first(list); m != NULL; m = er_json_next(m)) {
        er_str name = er_json_get_str(m, "name");
        item.in_env = is_env;
        item.named_secret = name.n > 0 && er_redact_is_secret_name(name);
        put_node(n, m, &item);
        item.after_flag = is_args && er_redact_is_secret_flag(er_json_str(m));
    }
    er_jw_array_end(&n->w);
}

/* Of a list without items, a null, and a value said twice, nothing is kept. */
static bool is_nothing(const er_json *parent, const er_json *node) {
    if (er_json_type_of(node) == ER_JSON_NULL ||
        (er_json_is_array(node) && er_json_first(node) == NULL)) {
        return true;
    }
    return er_str_eqc(er_json_key(node), "serviceAccount") && /* the old name of the other */
           er_str_eq(er_json_str(node), er_json_get_str(parent, "serviceAccountName"));
}

static void put_members(normal *n, const er_json *object, const place *at) {
    bool is_annotations = er_str_eqc(at->name, "annotations");
    er_jw_object(&n->w);
    for (const er_json *m = er_json_first(object); m != NULL; m = er_json_next(m)) {
        if (is_nothing(object, m) || (is_annotations && er_normal_is_noise(er_json_key(m)))) {
            continue;
        }
        place member = {.name = er_json_key(m),
                        .in_env = at->in_env,
                        .named_secret = at->named_secret,
                        .depth = at->depth + 1};
        er_jw_key_str(&n->w, member.name);
        put_node(n, m, &member);
    }
    er_jw_object_end(&n->w);
}

static void put_node(normal *n, const er_json *node, const place *at) {
    er_json_type type = er_json_type_of(node);
    if (at->depth >= DEPTH_MAX && type >= ER_JSON_ARRAY) {
        er_jw_str(&n->w, ER_STR("…"));
    } else if (type == ER_JSON_OBJECT) {
        put_members(n, node, at);
    } else if (type == ER_JSON_ARRAY) {
        put_items(n, node, at);
    } else if (type == ER_JSON_STRING) {
        put_string(n, er_json_str(node), at);
    } else {
        er_tree_write(&n->w, node);
    }
}

static void put_member(normal *n, const er_json *object, const char *key) {
    const er_json *node = er_json_get(object, key);
    if (er_json_is_object(node)) {
        place at = {.name = er_str_of(key), .depth = 2};
        er_jw_key(&n->w, key);
        put_node(n, node, &at);
    }
}

void er_normal_deployment(const er_normal_options *options, const er_json *object, er_buf *out) {
    normal n = {.options = options};
    er_buf_init(&n.text, 0);
    er_jw_init(&n.w, out);
    er_jw_object(&n.w);
    er_jw_key(&n.w, "metadata");
    er_jw_object(&n.w);
    put_member(&n, er_json_get(object, "metadata"), "labels");
    put_member(&n, er_json_get(object, "metadata"), "annotations");
    er_jw_object_end(&n.w);
    put_member(&n, object, "spec");
    er_jw_object_end(&n.w);
    er_buf_wipe(&n.text);
    er_buf_fini(&n.text);
}

bool er_normal_is_noise(er_str annotation) {
    return er_str_eqc(annotation, "kubectl.kubernetes.io/last-applied-configuration") ||
           er_str_starts(annotation, "deployment.kubernetes.io/") ||
           er_str_starts(annotation, "autoscaling.alpha.kubernetes.io/");
}
