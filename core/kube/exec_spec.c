/* What kubeconfig says of an exec plugin. */
#include "base/json_write.h"
#include "kube/exec.h"

#include <stdlib.h>
#include <string.h>

#define EXTENSION      "client.authentication.k8s.io/exec"
#define ITEMS_MAX      256 /* args, and env */
#define DEPTH_MAX      16
#define JSON_MAX_BYTES (32u << 10)

void er_exec_spec_fini(er_exec_spec *spec) {
    free(spec->user);
    free(spec->api_version);
    free(spec->install_hint);
    free(spec->cluster_config);
    for (char **arg = spec->argv; arg != NULL && *arg != NULL; arg++) {
        free(*arg); /* the first one is the command */
    }
    for (char **entry = spec->env; entry != NULL && *entry != NULL; entry++) {
        explicit_bzero(*entry, strlen(*entry)); /* it may be a secret */
        free(*entry);
    }
    free(spec->argv);
    free(spec->env);
    *spec = (er_exec_spec){0};
}

/* ---- the parts ---- */

static er_status read_version(const er_kubeentry *e, er_exec_spec *out, er_err *err) {
    er_status status = er_kubeentry_dup(e, "apiVersion", &out->api_version, err);
    if (status != ER_OK) {
        return status;
    }
    if (out->api_version == NULL ||
        (strcmp(out->api_version, "client.authentication.k8s.io/v1") != 0 &&
         strcmp(out->api_version, "client.authentication.k8s.io/v1beta1") != 0)) {
        return er_kubeentry_wrong(e, err, "apiVersion",
                                  "must be client.authentication.k8s.io/v1 or v1beta1; update the "
                                  "plugin and its kubeconfig entry");
    }
    return ER_OK;
}

/* v1 asks for it, v1beta1 takes IfAvailable. */
static er_status check_mode(const er_kubeentry *e, const er_exec_spec *spec, er_err *err) {
    const char *mode;
    er_status status = er_kubeentry_text(e, "interactiveMode", &mode, err);
    if (status != ER_OK) {
        return status;
    }
    if (mode == NULL) {
        bool beta = strstr(spec->api_version, "/v1beta1") != NULL;
        return beta ? ER_OK
                    : er_kubeentry_wrong(e, err, "interactiveMode",
                                         "is missing; v1 asks for Never or IfAvailable");
    }
    if (strcmp(mode, "Always") == 0) {
        return er_kubeentry_wrong(
            e, err, "interactiveMode",
            "is Always, but a daemon has no terminal to ask on; use a plugin, "
            "or options of it, that work without one");
    }
    if (strcmp(mode, "Never") != 0 && strcmp(mode, "IfAvailable") != 0) {
        return er_kubeentry_wrong(e, err, "interactiveMode", "must be Never or IfAvailable");
    }
    return ER_OK;
}

static er_status read_items(const er_kubeentry *e, const char *key, const yaml_node_item_t **first,
                            size_t *n, er_err *err) {
    const yaml_node_t *node = er_kubefile_get(e->file, e->body, key);
    *first = NULL;
    *n = 0;
    if (node == NULL) {
        return ER_OK;
    }
    if (node->type != YAML_SEQUENCE_NODE) {
        return er_kubeentry_wrong(e, err, key, "is not a list");
    }
    *first = node->data.sequence.items.start;
    *n = (size_t)(node->data.sequence.items.top - node->data.sequence.items.start);
    return *n <= ITEMS_MAX ? ER_OK : er_kubeentry_wrong(e, err, key, "has too many entries");
}

/* As in kubectl, a name without a slash is looked for in PATH, and another one is relative to the
 * kubeconfig's folder. */
static er_status read_command(const er_kubeentry *e, er_exec_spec *out, er_err *err) {
    const char *name = NULL;
    er_status status = er_kubeentry_text(e, "command", &name, err);
    if (status != ER_OK) {
        return status;
    }
    if (name == NULL) {
        return er_kubeentry_wrong(e, err, "command", "is missing");
    }
    const yaml_node_item_t *items;
    size_t n;
    status = read_items(e, "args", &items, &n, err);
    if (status != ER_OK) {
        return status;
    }
    out->argv = er_xcalloc(n + 2, sizeof *out->argv);
    if (strchr(name, '/') != NULL) {
        status = er_kubeentry_path(e, "command", &out->argv[0], err);
    } else {
        out->argv[0] = er_dup(name);
    }
    out->command = out->argv[0];
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        const yaml_node_t *node = yaml_document_get_node(&e->file->doc, items[i]);
        const char *text = node->type == YAML_SCALAR_NODE ? er_kubefile_text(node) : NULL;
        if (text == NULL) {
            return er_kubeentry_wrong(e, err, "args", "is not a list of texts");
        }
        out->argv[i + 1] = er_dup(text);
    }
    return status;
}

static er_status read_variable(const er_kubeentry *e, const yaml_node_t *node, char **out,
                               er_err *err) {
    const yaml_node_t *name = er_kubefile_get(e->file, node, "name");
    const yaml_node_t *value = er_kubefile_get(e->file, node, "value");
    const char *name_text =
        name != NULL && name->type == YAML_SCALAR_NODE ? er_kubefile_text(name) : NULL;
    const char *text = value == NULL                     ? ""
                       : value->type == YAML_SCALAR_NODE ? er_kubefile_text(value)
                                                         : NULL;
    if (name_text == NULL || name_text[0] == '\0' || strchr(name_text, '=') != NULL ||
        text == NULL) {
        return er_kubeentry_wrong(e, err, "env", "is not a list of name and value");
    }
    er_buf entry;
    er_buf_init(&entry, 128u << 10);
    er_buf_putf(&entry, "%s=%s", name_text, text);
    *out = er_buf_take(&entry, NULL);
    er_buf_fini(&entry);
    return *out != NULL ? ER_OK : er_kubeentry_wrong(e, err, "env", "has too long an entry");
}

static er_status read_env(const er_kubeentry *e, er_exec_spec *out, er_err *err) {
    const yaml_node_item_t *items;
    size_t n;
    er_status status = read_items(e, "env", &items, &n, err);
    if (status != ER_OK) {
        return status;
    }
    out->env = er_xcalloc(n + 1, sizeof *out->env);
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        status =
            read_variable(e, yaml_document_get_node(&e->file->doc, items[i]), &out->env[i], err);
    }
    return status;
}

/* Made one line. */
static er_status read_hint(const er_kubeentry *e, er_exec_spec *out, er_err *err) {
    er_status status = er_kubeentry_dup(e, "installHint", &out->install_hint, err);
    char *to = out->install_hint;
    for (const char *from = to; from != NULL && *from != '\0'; from++) {
        bool blank = strchr(" \t\r\n", *from) != NULL;
        if (!blank || (to > out->install_hint && to[-1] != ' ')) {
            *to++ = blank ? ' ' : *from;
        }
    }
    if (to != NULL) {
        *to = '\0';
    }
    return status;
}

/* ---- the cluster's extension: YAML that the plugin gets as JSON ---- */

/* A number as JSON writes it (RFC 8259 section 6). */
static bool is_number(const char *s) {
    s += *s == '-';
    size_t whole = strspn(s, "0123456789");
    if (whole == 0 || (whole > 1 && s[0] == '0')) {
        return false;
    }
    s += whole;
    if (*s == '.') {
        size_t digits = strspn(++s, "0123456789");
        s += digits;
        if (digits == 0) {
            return false;
        }
    }
    if (*s == 'e' || *s == 'E') {
        s++;
        s += *s == '-' || *s == '+';
        size_t digits = strspn(s, "0123456789");
        s += digits;
        if (digits == 0) {
            return false;
        }
    }
    return *s == '\0';
}

static bool put_scalar(const yaml_node_t *node, er_jw *w) {
    const char *text = er_kubefile_text(node);
    if (text == NULL) {
        return false;
    }
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (plain && (text[0] == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0)) {
        er_jw_null(w);
    } else if (plain && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        er_jw_bool(w, text[0] == 't');
    } else if (plain && is_number(text)) {
        er_jw_raw(w, er_str_of(text));
    } else {
        er_jw_cstr(w, text);
    }
    return true;
}

/* False: too deep, too large, or not to be said in JSON. Both limits hold for aliases, too. */
static bool put_node(er_kubefile *file, const yaml_node_t *node, unsigned depth, er_jw *w) {
    if (depth > DEPTH_MAX || er_buf_status(w->out) != ER_OK || node->type == YAML_NO_NODE) {
        return false;
    }
    if (node->type == YAML_SCALAR_NODE) {
        return put_scalar(node, w);
    }
    bool ok = true;
    if (node->type == YAML_SEQUENCE_NODE) {
        er_jw_array(w);
        for (const yaml_node_item_t *item = node->data.sequence.items.start;
             item < node->data.sequence.items.top && ok; item++) {
            ok = put_node(file, yaml_document_get_node(&file->doc, *item), depth + 1, w);
        }
        er_jw_array_end(w);
        return ok;
    }
    er_jw_object(w);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && ok; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&file->doc, pair->key);
        const char *name = key->type == YAML_SCALAR_NODE ? er_kubefile_text(key) : NULL;
        ok = name != NULL;
        if (ok) {
            er_jw_key_str(w, er_str_of(name));
            ok = put_node(file, yaml_document_get_node(&file->doc, pair->value), depth + 1, w);
        }
    }
    er_jw_object_end(w);
    return ok;
}

static er_status read_extension(const er_kubeentry *cluster, er_exec_spec *out, er_err *err) {
    const yaml_node_item_t *items;
    size_t n;
    er_status status = read_items(cluster, "extensions", &items, &n, err);
    for (size_t i = 0; i < n && status == ER_OK && out->cluster_config == NULL; i++) {
        const yaml_node_t *entry = yaml_document_get_node(&cluster->file->doc, items[i]);
        const yaml_node_t *name = er_kubefile_get(cluster->file, entry, "name");
        const yaml_node_t *body = er_kubefile_get(cluster->file, entry, "extension");
        const char *text =
            name != NULL && name->type == YAML_SCALAR_NODE ? er_kubefile_text(name) : NULL;
        if (text == NULL || body == NULL || strcmp(text, EXTENSION) != 0) {
            continue;
        }
        er_buf json;
        er_jw w;
        er_buf_init(&json, JSON_MAX_BYTES);
        er_jw_init(&w, &json);
        bool ok = put_node(cluster->file, body, 0, &w);
        out->cluster_config = ok ? er_buf_take(&json, NULL) : NULL;
        er_buf_fini(&json);
        if (out->cluster_config == NULL) {
            status = er_kubeentry_wrong(cluster, err, "the extension " EXTENSION,
                                        "is too large or too deep for the plugin");
        }
    }
    return status;
}

/* ---- the whole ---- */

er_status er_exec_spec_read(const er_kubeentry *user, const er_kubeentry *cluster,
                            er_exec_spec *out, er_err *err) {
    *out = (er_exec_spec){.user = er_dup(user->name)};
    const er_kubeentry e = {.file = user->file,
                            .kind = "exec plugin of user",
                            .name = user->name,
                            .body = er_kubefile_get(user->file, user->body, "exec")};
    er_status status = ER_OK;
    if (e.body->type != YAML_MAPPING_NODE) {
        status = er_kubeentry_wrong(user, err, "exec", "is not a map");
    }
    status = status == ER_OK ? read_version(&e, out, err) : status;
    status = status == ER_OK ? read_command(&e, out, err) : status;
    status = status == ER_OK ? read_env(&e, out, err) : status;
    status = status == ER_OK ? check_mode(&e, out, err) : status;
    status = status == ER_OK ? read_hint(&e, out, err) : status;
    status = status == ER_OK
                 ? er_kubeentry_bool(&e, "provideClusterInfo", &out->provide_cluster, err)
                 : status;
    if (status == ER_OK && out->provide_cluster) {
        status = read_extension(cluster, out, err);
    }
    if (status != ER_OK) {
        er_exec_spec_fini(out);
    }
    return status;
}
