/* kubeconfig files: YAML (or JSON, which is YAML) by libyaml, merged as client-go's loader does.
 *
 * Only lookups of a fixed depth are made in a document, so that aliases, even cyclic ones, cost
 * nothing. */
#include "base/file.h"
#include "http/base64.h"
#include "kube/kube_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define FILE_MAX_BYTES (1u << 20)
#define DEPTH_MAX      64
#define NODES_MAX      20000
#define FILES_MAX      32

typedef struct kubefile {
    const char *path;
    char *folder; /* what relative paths start from; "" for the current one */
    yaml_document_t doc;
} kubefile;

typedef struct kubefiles {
    kubefile v[FILES_MAX];
    size_t n;
} kubefiles;

/* An entry of clusters, users or contexts, and the file that owns it. */
typedef struct entry {
    kubefile *file;
    const char *kind; /* "cluster", "user", "context"; NULL: the whole file */
    const char *name;
    yaml_node_t *body;
} entry;

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

static er_status add_file(kubefiles *files, const char *path, er_err *err) {
    if (files->n == FILES_MAX) {
        return er_err_set(err, ER_E_CONFIG, "more than %d kubeconfig files", FILES_MAX);
    }
    er_buf text;
    er_buf_init(&text, FILE_MAX_BYTES);
    er_status status = er_file_read(path, &text, err);
    kubefile *file = &files->v[files->n];
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

static void free_files(kubefiles *files) {
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
static yaml_node_t *get(kubefile *file, const yaml_node_t *map, const char *key) {
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

static er_status wrong(const entry *e, er_err *err, const char *key, const char *what) {
    if (e->kind == NULL) {
        return er_err_set(err, ER_E_CONFIG, "%s: %s %s", e->file->path, key, what);
    }
    return er_err_set(err, ER_E_CONFIG, "%s: %s \"%.100s\": %s %s", e->file->path, e->kind, e->name,
                      key, what);
}

static const char *text_of(const yaml_node_t *node) {
    const char *text = (const char *)node->data.scalar.value;
    return strlen(text) == node->data.scalar.length ? text : NULL;
}

/* A text, or NULL when it is absent or empty; owned by the document. */
static er_status get_text(const entry *e, const char *key, const char **out, er_err *err) {
    const yaml_node_t *node = get(e->file, e->body, key);
    *out = NULL;
    if (node == NULL) {
        return ER_OK;
    }
    const char *text = node->type == YAML_SCALAR_NODE ? text_of(node) : NULL;
    if (text == NULL) {
        return wrong(e, err, key, "is not a text");
    }
    *out = text[0] == '\0' ? NULL : text;
    return ER_OK;
}

static er_status dup_text(const entry *e, const char *key, char **out, er_err *err) {
    const char *text;
    er_status status = get_text(e, key, &text, err);
    *out = text == NULL ? NULL : er_dup(text);
    return status;
}

static er_status get_bool(const entry *e, const char *key, bool *out, er_err *err) {
    const char *text;
    er_status status = get_text(e, key, &text, err);
    if (status == ER_OK && text != NULL && strcmp(text, "true") != 0 &&
        strcmp(text, "false") != 0) {
        return wrong(e, err, key, "is neither true nor false");
    }
    *out = text != NULL && text[0] == 't';
    return status;
}

/* A path, resolved against the folder of its file. */
static er_status get_path(const entry *e, const char *key, char **out, er_err *err) {
    const char *text;
    er_status status = get_text(e, key, &text, err);
    *out = NULL;
    if (text != NULL) {
        er_buf path;
        er_buf_init(&path, 8192);
        er_buf_putf(&path, "%s%s", text[0] == '/' ? "" : e->file->folder, text);
        *out = er_buf_take(&path, NULL);
        er_buf_fini(&path);
        status = *out == NULL ? wrong(e, err, key, "is too long") : status;
    }
    return status;
}

/* KEY-data in Base64, or the path in KEY; not both. */
static er_status get_pem(const entry *e, const char *key, char **pem, char **file, er_err *err) {
    char data_key[64];
    (void)snprintf(data_key, sizeof data_key, "%s-data", key);
    const char *code;
    er_status status = get_text(e, data_key, &code, err);
    if (status == ER_OK) {
        status = get_path(e, key, file, err);
    }
    if (status != ER_OK || code == NULL) {
        return status;
    }
    if (*file != NULL) {
        return wrong(e, err, key, "is given twice, as a file and as data; remove one");
    }
    er_buf plain;
    er_buf_init(&plain, FILE_MAX_BYTES);
    if (!er_base64_decode(er_str_of(code), &plain) || plain.len == 0 ||
        memmem(plain.p, plain.len, "-----BEGIN ", 11) == NULL) {
        er_buf_wipe(&plain);
        er_buf_fini(&plain);
        return wrong(e, err, data_key, "is not PEM in Base64");
    }
    *pem = er_buf_take(&plain, NULL);
    return ER_OK;
}

/* The first file that defines the name owns the entry. */
static bool find(kubefiles *files, const char *list, const char *kind, const char *name,
                 entry *out) {
    for (size_t i = 0; i < files->n; i++) {
        kubefile *file = &files->v[i];
        const yaml_node_t *items = get(file, yaml_document_get_root_node(&file->doc), list);
        if (items == NULL || items->type != YAML_SEQUENCE_NODE) {
            continue;
        }
        for (const yaml_node_item_t *item = items->data.sequence.items.start;
             item < items->data.sequence.items.top; item++) {
            const yaml_node_t *node = yaml_document_get_node(&file->doc, *item);
            const yaml_node_t *own = get(file, node, "name");
            if (own != NULL && is_scalar(own, name)) {
                *out = (entry){file, kind, name, get(file, node, kind)};
                return true;
            }
        }
    }
    return false;
}

/* "a, b, c" of all contexts, for messages. */
static void list_contexts(kubefiles *files, er_buf *out) {
    for (size_t i = 0; i < files->n; i++) {
        kubefile *file = &files->v[i];
        const yaml_node_t *items = get(file, yaml_document_get_root_node(&file->doc), "contexts");
        if (items == NULL || items->type != YAML_SEQUENCE_NODE) {
            continue;
        }
        for (const yaml_node_item_t *item = items->data.sequence.items.start;
             item < items->data.sequence.items.top; item++) {
            const yaml_node_t *name = get(file, yaml_document_get_node(&file->doc, *item), "name");
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

/* ---- cluster ---- */

/* A URL that can be logged and put in front of a path. */
static bool server_usable(const char *server) {
    const char *rest = strncmp(server, "https://", 8) == 0  ? server + 8
                       : strncmp(server, "http://", 7) == 0 ? server + 7
                                                            : NULL;
    return rest != NULL && rest[0] != '\0' && rest[0] != '/' && strpbrk(rest, "@?# \t\r\n") == NULL;
}

static er_status read_server(const entry *e, er_kube_config *config, er_err *err) {
    const char *server;
    er_status status = get_text(e, "server", &server, err);
    if (status != ER_OK) {
        return status;
    }
    if (server == NULL) {
        return wrong(e, err, "server", "is missing");
    }
    er_buf url; /* as kubectl: https unless it says otherwise */
    er_buf_init(&url, 4096);
    er_buf_putf(&url, "%s%s", strstr(server, "://") == NULL ? "https://" : "", server);
    while (url.len > 0 && url.p[url.len - 1] == '/') {
        url.p[--url.len] = '\0';
    }
    config->server = er_buf_take(&url, NULL);
    er_buf_fini(&url);
    if (config->server == NULL || !server_usable(config->server)) {
        free(config->server);
        config->server = NULL;
        return wrong(e, err, "server",
                     "is not an http or https URL without user, query and fragment");
    }
    return ER_OK;
}

static er_status read_cluster(const entry *e, er_kube_config *config, er_err *err) {
    er_status status = read_server(e, config, err);
    if (status == ER_OK) {
        status = get_pem(e, "certificate-authority", &config->ca_pem, &config->tls.ca_file, err);
    }
    if (status == ER_OK) {
        status = get_bool(e, "insecure-skip-tls-verify", &config->tls.insecure_skip_verify, err);
    }
    if (status == ER_OK) {
        status = dup_text(e, "tls-server-name", &config->tls.server_name, err);
    }
    if (status == ER_OK) {
        status = dup_text(e, "proxy-url", &config->proxy, err);
    }
    if (status == ER_OK && config->tls.insecure_skip_verify &&
        (config->ca_pem != NULL || config->tls.ca_file != NULL)) {
        return wrong(e, err, "insecure-skip-tls-verify",
                     "and certificate-authority exclude each other; remove one");
    }
    return status;
}

/* ---- user ---- */

static er_status refuse_plugins(const entry *e, er_err *err) {
    static const char *const keys[] = {"exec", "auth-provider"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (get(e->file, e->body, keys[i]) != NULL) {
            return wrong(e, err, keys[i],
                         "is not supported yet; use a token, a tokenFile or a client certificate, "
                         "for instance of a service account");
        }
    }
    return ER_OK;
}

static er_status add_header(const entry *e, er_kube_config *config, const char *name,
                            const yaml_node_t *node, er_err *err) {
    const char *text = node != NULL && node->type == YAML_SCALAR_NODE ? text_of(node) : NULL;
    if (text == NULL || text[0] == '\0' || strpbrk(text, "\r\n") != NULL) {
        return wrong(e, err, "impersonation", "(as, as-uid, as-groups) needs plain texts");
    }
    if (config->impersonate_n == ER_KUBE_IMPERSONATE_MAX) {
        return wrong(e, err, "as-groups", "has too many entries");
    }
    config->impersonate[config->impersonate_n++] =
        (er_kube_header){.name = er_dup(name), .value = er_dup(text)};
    return ER_OK;
}

static er_status read_groups(const entry *e, er_kube_config *config, const yaml_node_t *groups,
                             er_err *err) {
    if (groups->type != YAML_SEQUENCE_NODE) {
        return wrong(e, err, "as-groups", "is not a list");
    }
    er_status status = ER_OK;
    for (const yaml_node_item_t *item = groups->data.sequence.items.start;
         item < groups->data.sequence.items.top && status == ER_OK; item++) {
        status = add_header(e, config, "Impersonate-Group",
                            yaml_document_get_node(&e->file->doc, *item), err);
    }
    return status;
}

static er_status read_impersonation(const entry *e, er_kube_config *config, er_err *err) {
    const yaml_node_t *user = get(e->file, e->body, "as");
    const yaml_node_t *uid = get(e->file, e->body, "as-uid");
    const yaml_node_t *groups = get(e->file, e->body, "as-groups");
    if (get(e->file, e->body, "as-user-extra") != NULL) {
        return wrong(e, err, "as-user-extra", "is not supported; remove it");
    }
    if (user == NULL && (uid != NULL || groups != NULL)) {
        return wrong(e, err, "as-groups", "or as-uid is given without as");
    }
    er_status status = ER_OK;
    if (user != NULL) {
        status = add_header(e, config, "Impersonate-User", user, err);
    }
    if (status == ER_OK && uid != NULL) {
        status = add_header(e, config, "Impersonate-Uid", uid, err);
    }
    return status == ER_OK && groups != NULL ? read_groups(e, config, groups, err) : status;
}

static er_status read_secrets(const entry *e, er_kube_config *config, er_err *err) {
    er_status status =
        get_pem(e, "client-certificate", &config->cert_pem, &config->tls.cert_file, err);
    if (status == ER_OK) {
        status = get_pem(e, "client-key", &config->key_pem, &config->tls.key_file, err);
    }
    if (status == ER_OK) {
        status = dup_text(e, "token", &config->token, err);
    }
    if (status == ER_OK) {
        status = get_path(e, "tokenFile", &config->token_file, err);
    }
    if (status == ER_OK) {
        status = dup_text(e, "username", &config->username, err);
    }
    return status == ER_OK ? dup_text(e, "password", &config->password, err) : status;
}

static er_status read_user(const entry *e, er_kube_config *config, er_err *err) {
    er_status status = refuse_plugins(e, err);
    if (status == ER_OK) {
        status = read_secrets(e, config, err);
    }
    if (status != ER_OK) {
        return status;
    }
    bool cert = config->cert_pem != NULL || config->tls.cert_file != NULL;
    bool key = config->key_pem != NULL || config->tls.key_file != NULL;
    bool token = config->token != NULL || config->token_file != NULL;
    if (cert != key) {
        return wrong(e, err, cert ? "client-certificate" : "client-key",
                     cert ? "needs client-key as well" : "needs client-certificate as well");
    }
    if (token && config->username != NULL) {
        return wrong(e, err, "username", "and a token exclude each other; remove one");
    }
    if (config->username == NULL && config->password != NULL) {
        return wrong(e, err, "password", "is given without username");
    }
    return read_impersonation(e, config, err);
}

/* ---- context ---- */

/* The name asked for, else the first current-context. */
static er_status choose_context(kubefiles *files, const char *wanted, entry *out, er_err *err) {
    const char *name = wanted[0] == '\0' ? NULL : wanted;
    for (size_t i = 0; i < files->n && name == NULL; i++) {
        kubefile *file = &files->v[i];
        entry top = {file, NULL, "", yaml_document_get_root_node(&file->doc)};
        er_status status = get_text(&top, "current-context", &name, err);
        if (status != ER_OK) {
            return status;
        }
    }
    if (name != NULL && find(files, "contexts", "context", name, out)) {
        return ER_OK;
    }
    er_buf known;
    er_buf_init(&known, 4096);
    list_contexts(files, &known);
    const char *path = files->v[0].path;
    if (name == NULL) {
        (void)er_err_set(err, ER_E_CONFIG,
                         "%s: no current-context; set kubernetes.context to one of: %.200s", path,
                         er_buf_cstr(&known));
    } else {
        (void)er_err_set(err, ER_E_CONFIG, "%s: no context \"%.100s\"; there are: %.200s", path,
                         name, er_buf_cstr(&known));
    }
    er_buf_fini(&known);
    return ER_E_CONFIG;
}

static er_status follow(kubefiles *files, const entry *context, const char *list, const char *kind,
                        entry *out, er_err *err) {
    const char *name;
    er_status status = get_text(context, kind, &name, err);
    if (status != ER_OK) {
        return status;
    }
    if (name == NULL) {
        return wrong(context, err, kind, "is missing");
    }
    if (!find(files, list, kind, name, out)) {
        return er_err_set(err, ER_E_CONFIG,
                          "%s: context \"%.100s\" names the %s \"%.100s\", which is not defined",
                          context->file->path, context->name, kind, name);
    }
    return ER_OK;
}

static er_status read_context(kubefiles *files, const char *wanted, er_kube_config *config,
                              er_err *err) {
    entry context;
    entry cluster;
    entry user = {0};
    er_status status = choose_context(files, wanted, &context, err);
    if (status == ER_OK) {
        status = follow(files, &context, "clusters", "cluster", &cluster, err);
    }
    /* A context without a user is anonymous, as with kubectl proxy. */
    if (status == ER_OK && get(context.file, context.body, "user") != NULL) {
        status = follow(files, &context, "users", "user", &user, err);
    }
    if (status == ER_OK) {
        status = read_cluster(&cluster, config, err);
    }
    if (status == ER_OK && user.file != NULL) {
        status = read_user(&user, config, err);
    }
    if (status == ER_OK) {
        status = dup_text(&context, "namespace", &config->namespace_, err);
    }
    if (status == ER_OK) {
        er_buf origin;
        er_buf_init(&origin, 8192);
        er_buf_putf(&origin, "%s, context %s", context.file->path, context.name);
        config->origin = er_buf_take(&origin, NULL);
        er_buf_fini(&origin);
        config->context = er_dup(context.name);
        status =
            config->origin == NULL ? er_err_set(err, ER_E_CONFIG, "the path is too long") : ER_OK;
    }
    return status;
}

static bool exists(const char *path) {
    er_file_stamp stamp;
    return er_file_stamp_get(path, &stamp);
}

er_status er_kubeconfig_load(const char *const *paths, size_t n, bool must_exist,
                             const char *context, er_kube_config *config, er_err *err) {
    kubefiles files = {.n = 0};
    er_status status = ER_OK;
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        if (must_exist || exists(paths[i])) {
            status = add_file(&files, paths[i], err);
        }
    }
    if (status == ER_OK && files.n == 0) {
        status =
            er_err_set(err, ER_E_CONFIG, "none of the kubeconfig files exists; the first is %s",
                       n == 0 ? "not named" : paths[0]);
    }
    if (status == ER_OK) {
        status = read_context(&files, context, config, err);
    }
    free_files(&files);
    if (status != ER_OK && err != NULL) {
        err->code = ER_E_CONFIG;
    }
    return status == ER_OK ? ER_OK : ER_E_CONFIG;
}
