/* What kubeconfig files say, merged as client-go's loader does. */
#include "base/file.h"
#include "kube/kube_priv.h"
#include "kube/kubefile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- cluster ---- */

/* A URL that can be logged and put in front of a path. */
static bool server_usable(const char *server) {
    const char *rest = strncmp(server, "https://", 8) == 0  ? server + 8
                       : strncmp(server, "http://", 7) == 0 ? server + 7
                                                            : NULL;
    return rest != NULL && rest[0] != '\0' && rest[0] != '/' && strpbrk(rest, "@?# \t\r\n") == NULL;
}

static er_status read_server(const er_kubeentry *e, er_kube_config *config, er_err *err) {
    const char *server;
    er_status status = er_kubeentry_text(e, "server", &server, err);
    if (status != ER_OK) {
        return status;
    }
    if (server == NULL) {
        return er_kubeentry_wrong(e, err, "server", "is missing");
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
        return er_kubeentry_wrong(e, err, "server",
                                  "is not an http or https URL without user, query and fragment");
    }
    return ER_OK;
}

static er_status read_cluster(const er_kubeentry *e, er_kube_config *config, er_err *err) {
    er_status status = read_server(e, config, err);
    if (status == ER_OK) {
        status = er_kubeentry_pem(e, "certificate-authority", &config->ca_pem, &config->tls.ca_file,
                                  err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_bool(e, "insecure-skip-tls-verify", &config->tls.insecure_skip_verify,
                                   err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_dup(e, "tls-server-name", &config->tls.server_name, err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_dup(e, "proxy-url", &config->proxy, err);
        config->proxy_key = config->proxy == NULL ? NULL : "proxy-url";
    }
    if (status == ER_OK) {
        status = er_kubeentry_bool(e, "disable-compression", &config->no_compression, err);
    }
    if (status == ER_OK && config->tls.insecure_skip_verify &&
        (config->ca_pem != NULL || config->tls.ca_file != NULL)) {
        return er_kubeentry_wrong(e, err, "insecure-skip-tls-verify",
                                  "and certificate-authority exclude each other; remove one");
    }
    return status;
}

/* ---- user ---- */

/* Kinds of credentials that went into plugins; client-go dropped most of them in 1.26. */
static er_status refuse_auth_provider(const er_kubeentry *e, const yaml_node_t *node, er_err *err) {
    static const struct {
        const char *name, *plugin;
    } known[] = {
        {"gcp", ", here gke-gcloud-auth-plugin (gcloud container clusters get-credentials writes "
                "the entry)"},
        {"azure", ", here kubelogin (kubelogin convert-kubeconfig writes the entry)"},
        {"oidc", ", for instance kubelogin (kubectl oidc-login)"},
    };
    const yaml_node_t *own = er_kubefile_get(e->file, node, "name");
    const char *name = own != NULL && own->type == YAML_SCALAR_NODE ? er_kubefile_text(own) : NULL;
    const char *plugin = "";
    for (size_t i = 0; i < sizeof known / sizeof known[0] && name != NULL; i++) {
        plugin = strcmp(known[i].name, name) == 0 ? known[i].plugin : plugin;
    }
    char what[256];
    (void)snprintf(what, sizeof what, "is a thing of the past; use an exec plugin instead%s",
                   plugin);
    return er_kubeentry_wrong(e, err, "auth-provider", what);
}

/* The secret that a plugin would make useless, or NULL. kubectl would prefer it in silence. */
static const char *beside_plugin(const er_kubeentry *e) {
    static const char *const keys[] = {
        "token",      "tokenFile",          "username",
        "password",   "client-certificate", "client-certificate-data",
        "client-key", "client-key-data",
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (er_kubefile_get(e->file, e->body, keys[i]) != NULL) {
            return keys[i];
        }
    }
    return NULL;
}

static er_status read_exec(const er_kubeentry *e, const er_kubeentry *cluster,
                           const er_kube_places *places, er_kube_config *config, er_err *err) {
    const char *other = beside_plugin(e);
    if (other != NULL) {
        return er_kubeentry_wrong(e, err, other, "and exec exclude each other; remove one");
    }
    er_exec_spec spec;
    er_status status = er_exec_spec_read(e, cluster, &spec, err);
    if (status != ER_OK) {
        return status;
    }
    char *program = er_exec_find(&spec, places->path, err);
    free(program);
    if (program == NULL) {
        er_exec_spec_fini(&spec);
        er_err_prefix(err, "%s", e->file->path);
        return ER_E_CONFIG;
    }
    config->exec = er_exec_new(&spec, config, places->path);
    return ER_OK;
}

static er_status add_header(const er_kubeentry *e, er_kube_config *config, const char *name,
                            const yaml_node_t *node, er_err *err) {
    const char *text =
        node != NULL && node->type == YAML_SCALAR_NODE ? er_kubefile_text(node) : NULL;
    if (text == NULL || text[0] == '\0' || strpbrk(text, "\r\n") != NULL) {
        return er_kubeentry_wrong(e, err, "impersonation",
                                  "(as, as-uid, as-groups) needs plain texts");
    }
    if (config->impersonate_n == ER_KUBE_IMPERSONATE_MAX) {
        return er_kubeentry_wrong(e, err, "as-groups", "has too many entries");
    }
    config->impersonate[config->impersonate_n++] =
        (er_kube_header){.name = er_dup(name), .value = er_dup(text)};
    return ER_OK;
}

static er_status read_groups(const er_kubeentry *e, er_kube_config *config,
                             const yaml_node_t *groups, er_err *err) {
    if (groups->type != YAML_SEQUENCE_NODE) {
        return er_kubeentry_wrong(e, err, "as-groups", "is not a list");
    }
    er_status status = ER_OK;
    for (const yaml_node_item_t *item = groups->data.sequence.items.start;
         item < groups->data.sequence.items.top && status == ER_OK; item++) {
        status = add_header(e, config, "Impersonate-Group",
                            yaml_document_get_node(&e->file->doc, *item), err);
    }
    return status;
}

static er_status read_impersonation(const er_kubeentry *e, er_kube_config *config, er_err *err) {
    const yaml_node_t *user = er_kubefile_get(e->file, e->body, "as");
    const yaml_node_t *uid = er_kubefile_get(e->file, e->body, "as-uid");
    const yaml_node_t *groups = er_kubefile_get(e->file, e->body, "as-groups");
    if (er_kubefile_get(e->file, e->body, "as-user-extra") != NULL) {
        return er_kubeentry_wrong(e, err, "as-user-extra", "is not supported; remove it");
    }
    if (user == NULL && (uid != NULL || groups != NULL)) {
        return er_kubeentry_wrong(e, err, "as-groups", "or as-uid is given without as");
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

static er_status read_secrets(const er_kubeentry *e, er_kube_config *config, er_err *err) {
    er_status status =
        er_kubeentry_pem(e, "client-certificate", &config->cert_pem, &config->tls.cert_file, err);
    if (status == ER_OK) {
        status = er_kubeentry_pem(e, "client-key", &config->key_pem, &config->tls.key_file, err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_dup(e, "token", &config->token, err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_path(e, "tokenFile", &config->token_file, err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_dup(e, "username", &config->username, err);
    }
    return status == ER_OK ? er_kubeentry_dup(e, "password", &config->password, err) : status;
}

static er_status read_user(const er_kubeentry *e, const er_kubeentry *cluster,
                           const er_kube_places *places, er_kube_config *config, er_err *err) {
    const yaml_node_t *provider = er_kubefile_get(e->file, e->body, "auth-provider");
    if (provider != NULL) {
        return refuse_auth_provider(e, provider, err);
    }
    bool exec = er_kubefile_get(e->file, e->body, "exec") != NULL;
    er_status status =
        exec ? read_exec(e, cluster, places, config, err) : read_secrets(e, config, err);
    if (status != ER_OK) {
        return status;
    }
    bool cert = config->cert_pem != NULL || config->tls.cert_file != NULL;
    bool key = config->key_pem != NULL || config->tls.key_file != NULL;
    bool token = config->token != NULL || config->token_file != NULL;
    if (cert != key) {
        return er_kubeentry_wrong(e, err, cert ? "client-certificate" : "client-key",
                                  cert ? "needs client-key as well"
                                       : "needs client-certificate as well");
    }
    if (token && config->username != NULL) {
        return er_kubeentry_wrong(e, err, "username", "and a token exclude each other; remove one");
    }
    if (config->username == NULL && config->password != NULL) {
        return er_kubeentry_wrong(e, err, "password", "is given without username");
    }
    return read_impersonation(e, config, err);
}

/* ---- context ---- */

/* In one file, a name stands for one thing. */
static er_status check_once(const er_kubeentry *e, er_err *err) {
    return e->is_twice ? er_kubeentry_wrong(e, err, "the name", "is there twice; remove one")
                       : ER_OK;
}

/* The name asked for, else the first current-context. */
static er_status choose_context(er_kubefiles *files, const char *wanted, er_kubeentry *out,
                                er_err *err) {
    const char *name = wanted[0] == '\0' ? NULL : wanted;
    for (size_t i = 0; i < files->n && name == NULL; i++) {
        er_kubefile *file = &files->v[i];
        er_kubeentry top = {
            .file = file, .name = "", .body = yaml_document_get_root_node(&file->doc)};
        er_status status = er_kubeentry_text(&top, "current-context", &name, err);
        if (status != ER_OK) {
            return status;
        }
    }
    if (name != NULL && er_kubefiles_find(files, "contexts", "context", name, out)) {
        return check_once(out, err);
    }
    er_buf known;
    er_buf_init(&known, 4096);
    er_kubefiles_contexts(files, &known);
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

static er_status follow(er_kubefiles *files, const er_kubeentry *context, const char *list,
                        const char *kind, er_kubeentry *out, er_err *err) {
    const char *name;
    er_status status = er_kubeentry_text(context, kind, &name, err);
    if (status != ER_OK) {
        return status;
    }
    if (name == NULL) {
        return er_kubeentry_wrong(context, err, kind, "is missing");
    }
    if (!er_kubefiles_find(files, list, kind, name, out)) {
        return er_err_set(err, ER_E_CONFIG,
                          "%s: context \"%.100s\" names the %s \"%.100s\", which is not defined",
                          context->file->path, context->name, kind, name);
    }
    return check_once(out, err);
}

static er_status read_context(er_kubefiles *files, const char *wanted, const er_kube_places *places,
                              er_kube_config *config, er_err *err) {
    er_kubeentry context;
    er_kubeentry cluster;
    er_kubeentry user = {0};
    er_status status = choose_context(files, wanted, &context, err);
    if (status == ER_OK) {
        status = follow(files, &context, "clusters", "cluster", &cluster, err);
    }
    /* A context without a user is anonymous, as with kubectl proxy. */
    if (status == ER_OK && er_kubefile_get(context.file, context.body, "user") != NULL) {
        status = follow(files, &context, "users", "user", &user, err);
    }
    if (status == ER_OK) {
        status = read_cluster(&cluster, config, err);
    }
    if (status == ER_OK && user.file != NULL) {
        status = read_user(&user, &cluster, places, config, err);
    }
    if (status == ER_OK) {
        status = er_kubeentry_dup(&context, "namespace", &config->namespace_, err);
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

/* kubectl takes an empty file for one without entries. */
static bool has_content(const char *path) {
    er_file_stamp stamp;
    return er_file_stamp_get(path, &stamp) && stamp.size > 0;
}

er_status er_kubeconfig_load(const char *const *paths, size_t n, bool must_exist,
                             const char *context, const er_kube_places *places,
                             er_kube_config *config, er_err *err) {
    er_kubefiles files = {.n = 0};
    er_status status = ER_OK;
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        if (must_exist || has_content(paths[i])) {
            status = er_kubefiles_add(&files, paths[i], err);
        }
    }
    if (status == ER_OK && files.n == 0) {
        status =
            er_err_set(err, ER_E_CONFIG,
                       "none of the kubeconfig files exists, or all are empty; the first is %s",
                       n == 0 ? "not named" : paths[0]);
    }
    if (status == ER_OK) {
        status = read_context(&files, context, places, config, err);
    }
    er_kubefiles_fini(&files);
    if (status != ER_OK && err != NULL) {
        err->code = ER_E_CONFIG;
    }
    return status == ER_OK ? ER_OK : ER_E_CONFIG;
}
