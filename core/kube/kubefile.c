#include "kube/kubefile.h"

#include "base/file.h"
#include "http/base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX_BYTES (1u << 20)
#define DEPTH_MAX      64
#define NODES_MAX      20000

/* ---- reading a document ---- */

/* A first pass over the events: depth and number of nodes, before a tree is built. */
static er_status check_shape(const er_buf *text, er_err *err) {
    yaml_parser_t parser;
    ER_ASSERT(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text->p, text->len);
    int depth = 0;
    int nodes = 0;
    int documents = 0;
    bool over = false;
    er_status status = ER_OK;
    while (!over && status == ER_OK) {
        yaml_event_t event;
        if (yaml_parser_parse(&parser, &event) != 1) {
            status =
                er_err_set(err, ER_E_CONFIG, "line %zu: not YAML: %s", parser.problem_mark.line + 1,
                           parser.problem == NULL ? "out of memory" : parser.problem);
            break;
        }
        yaml_event_type_t type = event.type;
        yaml_event_delete(&event);
        depth += type == YAML_MAPPING_START_EVENT || type == YAML_SEQUENCE_START_EVENT;
        depth -= type == YAML_MAPPING_END_EVENT || type == YAML_SEQUENCE_END_EVENT;
        documents += type == YAML_DOCUMENT_START_EVENT;
        over = type == YAML_STREAM_END_EVENT;
        if (++nodes > NODES_MAX || depth > DEPTH_MAX || documents > 1) {
            status = er_err_set(
                err, ER_E_CONFIG, "line %zu: too %s for a kubeconfig", parser.mark.line + 1,
                documents > 1 ? "many documents" : (depth > DEPTH_MAX ? "deep" : "many entries"));
        }
    }
    yaml_parser_delete(&parser);
    return status;
}

static er_status load_document(const er_buf *text, yaml_document_t *doc, er_err *err) {
    yaml_parser_t parser;
    ER_ASSERT(yaml_parser_initialize(&parser) == 1);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text->p, text->len);
    er_status status = ER_OK;
    if (yaml_parser_load(&parser, doc) != 1) {
        status =
            er_err_set(err, ER_E_CONFIG, "line %zu: not YAML: %s", parser.problem_mark.line + 1,
                       parser.problem == NULL ? "out of memory" : parser.problem);
    }
    yaml_parser_delete(&parser);
    return status;
}

static char *folder_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash == NULL ? er_dup("") : er_str_dup((er_str){path, (size_t)(slash - path) + 1});
}

er_status er_kubefiles_add(er_kubefiles *files, const char *path, er_err *err) {
    if (files->n == ER_KUBEFILES_MAX) {
        return er_err_set(err, ER_E_CONFIG, "more than %d kubeconfig files", ER_KUBEFILES_MAX);
    }
    er_buf text;
    er_buf_init(&text, FILE_MAX_BYTES);
    er_status status = er_file_read(path, &text, err);
    er_kubefile *file = &files->v[files->n];
    if (status == ER_OK && text.len == 0) {
        status = er_err_set(err, ER_E_CONFIG, "%s is empty", path);
    } else if (status == ER_OK) {
        status = check_shape(&text, err);
        status = status == ER_OK ? load_document(&text, &file->doc, err) : status;
        if (status == ER_OK) {
            file->path = path;
            file->folder = folder_of(path);
            files->n++;
        } else {
            er_err_prefix(err, "%s", path);
        }
    }
    er_buf_wipe(&text); /* tokens and keys */
    er_buf_fini(&text);
    return status;
}

/* Tokens and keys are among the texts. */
static void wipe_texts(yaml_document_t *doc) {
    for (yaml_node_t *node = doc->nodes.start; node < doc->nodes.top; node++) {
        if (node->type == YAML_SCALAR_NODE) {
            explicit_bzero(node->data.scalar.value, node->data.scalar.length);
        }
    }
}

void er_kubefiles_fini(er_kubefiles *files) {
    for (size_t i = 0; i < files->n; i++) {
        wipe_texts(&files->v[i].doc);
        yaml_document_delete(&files->v[i].doc);
        free(files->v[i].folder);
    }
}

/* ---- looking things up ---- */

static bool is_scalar(const yaml_node_t *node, const char *text) {
    size_t n = strlen(text);
    return node != NULL && node->type == YAML_SCALAR_NODE && node->data.scalar.length == n &&
           memcmp(node->data.scalar.value, text, n) == 0;
}

static bool is_null(const yaml_node_t *node) {
    return node == NULL ||
           (node->type == YAML_SCALAR_NODE && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
            (is_scalar(node, "") || is_scalar(node, "~") || is_scalar(node, "null")));
}

/* The value of a key, NULL when it is absent or null. */
yaml_node_t *er_kubefile_get(er_kubefile *file, const yaml_node_t *map, const char *key) {
    if (map == NULL || map->type != YAML_MAPPING_NODE) {
        return NULL;
    }
    const yaml_node_pair_t *end = map->data.mapping.pairs.top;
    for (const yaml_node_pair_t *pair = map->data.mapping.pairs.start; pair < end; pair++) {
        if (is_scalar(yaml_document_get_node(&file->doc, pair->key), key)) {
            yaml_node_t *node = yaml_document_get_node(&file->doc, pair->value);
            return is_null(node) ? NULL : node;
        }
    }
    return NULL;
}

er_status er_kubeentry_wrong(const er_kubeentry *e, er_err *err, const char *key,
                             const char *what) {
    if (e->kind == NULL) {
        return er_err_set(err, ER_E_CONFIG, "%s: %s %s", e->file->path, key, what);
    }
    return er_err_set(err, ER_E_CONFIG, "%s: %s \"%.100s\": %s %s", e->file->path, e->kind, e->name,
                      key, what);
}

const char *er_kubefile_text(const yaml_node_t *node) {
    const char *text = (const char *)node->data.scalar.value;
    return strlen(text) == node->data.scalar.length ? text : NULL;
}

/* A text, or NULL when it is absent or empty; owned by the document. */
er_status er_kubeentry_text(const er_kubeentry *e, const char *key, const char **out, er_err *err) {
    const yaml_node_t *node = er_kubefile_get(e->file, e->body, key);
    *out = NULL;
    if (node == NULL) {
        return ER_OK;
    }
    const char *text = node->type == YAML_SCALAR_NODE ? er_kubefile_text(node) : NULL;
    if (text == NULL) {
        return er_kubeentry_wrong(e, err, key, "is not a text");
    }
    *out = text[0] == '\0' ? NULL : text;
    return ER_OK;
}

er_status er_kubeentry_dup(const er_kubeentry *e, const char *key, char **out, er_err *err) {
    const char *text;
    er_status status = er_kubeentry_text(e, key, &text, err);
    *out = text == NULL ? NULL : er_dup(text);
    return status;
}

er_status er_kubeentry_bool(const er_kubeentry *e, const char *key, bool *out, er_err *err) {
    const char *text;
    er_status status = er_kubeentry_text(e, key, &text, err);
    if (status == ER_OK && text != NULL && strcmp(text, "true") != 0 &&
        strcmp(text, "false") != 0) {
        return er_kubeentry_wrong(e, err, key, "is neither true nor false");
    }
    *out = text != NULL && text[0] == 't';
    return status;
}

/* A path, resolved against the folder of its file. */
er_status er_kubeentry_path(const er_kubeentry *e, const char *key, char **out, er_err *err) {
    const char *text;
    er_status status = er_kubeentry_text(e, key, &text, err);
    *out = NULL;
    if (text != NULL) {
        er_buf path;
        er_buf_init(&path, 8192);
        er_buf_putf(&path, "%s%s", text[0] == '/' ? "" : e->file->folder, text);
        *out = er_buf_take(&path, NULL);
        er_buf_fini(&path);
        status = *out == NULL ? er_kubeentry_wrong(e, err, key, "is too long") : status;
    }
    return status;
}

/* KEY-data in Base64, or the path in KEY; not both. */
er_status er_kubeentry_pem(const er_kubeentry *e, const char *key, char **pem, char **file,
                           er_err *err) {
    char data_key[64];
    (void)snprintf(data_key, sizeof data_key, "%s-data", key);
    const char *code;
    er_status status = er_kubeentry_text(e, data_key, &code, err);
    if (status == ER_OK) {
        status = er_kubeentry_path(e, key, file, err);
    }
    if (status != ER_OK || code == NULL) {
        return status;
    }
    if (*file != NULL) {
        return er_kubeentry_wrong(e, err, key, "is given twice, as a file and as data; remove one");
    }
    er_buf plain;
    er_buf_init(&plain, FILE_MAX_BYTES);
    if (!er_base64_decode(er_str_of(code), &plain) || plain.len == 0 ||
        memmem(plain.p, plain.len, "-----BEGIN ", 11) == NULL) {
        er_buf_wipe(&plain);
        er_buf_fini(&plain);
        return er_kubeentry_wrong(e, err, data_key, "is not PEM in Base64");
    }
    *pem = er_buf_take(&plain, NULL);
    return ER_OK;
}

/* Looks for the name in one file. */
static void find_in(er_kubefile *file, const char *list, er_kubeentry *out) {
    const yaml_node_t *items = er_kubefile_get(file, yaml_document_get_root_node(&file->doc), list);
    if (items == NULL || items->type != YAML_SEQUENCE_NODE) {
        return;
    }
    for (const yaml_node_item_t *item = items->data.sequence.items.start;
         item < items->data.sequence.items.top; item++) {
        const yaml_node_t *node = yaml_document_get_node(&file->doc, *item);
        const yaml_node_t *own = er_kubefile_get(file, node, "name");
        if (own != NULL && is_scalar(own, out->name)) {
            out->is_twice = out->file != NULL;
            out->file = file;
            out->body = er_kubefile_get(file, node, out->kind);
        }
    }
}

/* The first file that defines the name owns the entry. */
bool er_kubefiles_find(er_kubefiles *files, const char *list, const char *kind, const char *name,
                       er_kubeentry *out) {
    *out = (er_kubeentry){.kind = kind, .name = name};
    for (size_t i = 0; i < files->n && out->file == NULL; i++) {
        find_in(&files->v[i], list, out);
    }
    return out->file != NULL;
}

/* "a, b, c" of all contexts, for messages. */
void er_kubefiles_contexts(er_kubefiles *files, er_buf *out) {
    for (size_t i = 0; i < files->n; i++) {
        er_kubefile *file = &files->v[i];
        const yaml_node_t *items =
            er_kubefile_get(file, yaml_document_get_root_node(&file->doc), "contexts");
        if (items == NULL || items->type != YAML_SEQUENCE_NODE) {
            continue;
        }
        for (const yaml_node_item_t *item = items->data.sequence.items.start;
             item < items->data.sequence.items.top; item++) {
            const yaml_node_t *name =
                er_kubefile_get(file, yaml_document_get_node(&file->doc, *item), "name");
            if (name != NULL && name->type == YAML_SCALAR_NODE) {
                er_buf_putf(out, "%s%.60s", out->len > 0 ? ", " : "",
                            (const char *)name->data.scalar.value);
            }
        }
    }
    if (out->len == 0) {
        er_buf_puts(out, "(it defines none)");
    }
}
