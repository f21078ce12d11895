/* Settings, and which credentials they lead to. */
#include "base/file.h"
#include "kube/kube_priv.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define AT(member)      offsetof(er_kube_settings, member)
#define NAMESPACES_MAX  32
#define FILES_MAX       32
#define CA_MAX_BYTES    (4u << 20)
#define TOKEN_MAX_BYTES ER_SECRET_MAX
#define ACCOUNT_DIR     "/var/run/secrets/kubernetes.io/serviceaccount"

/* ---- settings ---- */

/* A DNS label, as RFC 1123 has them. */
static er_status check_namespace(const char *text, er_err *err) {
    size_t n = strlen(text);
    bool ok = n > 0 && n <= 63 && text[0] != '-' && text[n - 1] != '-';
    for (size_t i = 0; i < n && ok; i++) {
        char c = text[i];
        ok = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    if (ok) {
        return ER_OK;
    }
    const char *hint = strcmp(text, "*") == 0      ? "; for all of them leave namespaces out"
                       : strchr(text, ',') != NULL ? "; give several as a list"
                                                   : "";
    return er_err_set(err, ER_E_CONFIG,
                      "not the name of a namespace (a-z, 0-9 and \"-\", at most 63)%s", hint);
}

const er_field er_kube_rows[] = {
    {.key = "kubeconfig",
     .type = ER_FIELD_STRING,
     .offset = AT(kubeconfig),
     .flags = ER_FIELD_FILE,
     .max = 4096,
     .help = "Path of a kubeconfig file. Left out: the service account of the pod, else the files "
             "in $KUBECONFIG, else ~/.kube/config."},
    {.key = "context",
     .type = ER_FIELD_STRING,
     .offset = AT(context),
     .max = 253,
     .help = "A context of the kubeconfig; left out: its current-context."},
    {.key = "namespaces",
     .type = ER_FIELD_STRINGS,
     .offset = AT(namespaces),
     .check = check_namespace,
     .help = "The namespaces to watch, at most 32; left out: the whole cluster."},
    {.key = NULL},
};

er_status er_kube_check(const void *settings, er_err *err) {
    const er_kube_settings *s = settings;
    if (s->namespaces.n > NAMESPACES_MAX) {
        return er_err_set(err, ER_E_CONFIG,
                          "%zu namespaces, at most %d; leave namespaces out to watch all of them "
                          "on one connection",
                          s->namespaces.n, NAMESPACES_MAX);
    }
    for (size_t i = 0; i < s->namespaces.n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(s->namespaces.v[i].s, s->namespaces.v[j].s) == 0) {
                return er_err_set(err, ER_E_CONFIG, "the namespace %s is named twice",
                                  s->namespaces.v[i].s);
            }
        }
    }
    return ER_OK;
}

/* ---- files ---- */

/* The trimmed content, owned; NULL with err set. */
static char *read_text(const char *path, size_t max, er_err *err) {
    er_buf text;
    er_buf_init(&text, max);
    char *copy = NULL;
    if (er_file_read(path, &text, err) == ER_OK) {
        er_str trimmed = er_str_trim(er_buf_str(&text));
        if (trimmed.n == 0) {
            (void)er_err_set(err, ER_E_CONFIG, "%s is empty", path);
        } else {
            copy = er_str_dup(trimmed);
        }
    }
    er_buf_wipe(&text);
    er_buf_fini(&text);
    return copy;
}

static char *joined(const char *a, const char *b, const char *c) {
    er_buf text;
    er_buf_init(&text, 16384);
    er_buf_putf(&text, "%s%s%s", a, b, c);
    char *p = er_buf_take(&text, NULL);
    er_buf_fini(&text);
    return p != NULL ? p : er_dup("");
}

/* ---- the places, in their order ---- */

static bool given(const char *text) {
    return text != NULL && text[0] != '\0';
}

static er_status load_in_cluster(const er_kube_places *places, er_kube_config *config,
                                 er_err *err) {
    bool v6 = strchr(places->service_host, ':') != NULL;
    char *host = joined(v6 ? "[" : "", places->service_host, v6 ? "]" : "");
    char *authority = joined(host, ":", places->service_port);
    config->server = joined("https://", authority, "");
    free(host);
    free(authority);
    config->origin = er_dup("in-cluster");
    config->context = er_dup("");
    config->token_file = joined(places->account_dir, "/", "token");
    config->tls.ca_file = joined(places->account_dir, "/", "ca.crt");
    char *path = joined(places->account_dir, "/", "namespace");
    config->namespace_ = read_text(path, 4096, NULL);
    free(path);
    char *token = read_text(config->token_file, TOKEN_MAX_BYTES, err);
    if (token == NULL) {
        er_err_prefix(err, "in-cluster: the service account's token (is "
                           "automountServiceAccountToken off?)");
        return ER_E_CONFIG;
    }
    explicit_bzero(token, strlen(token));
    free(token);
    return ER_OK;
}

/* $KUBECONFIG: empty names and names that come again are passed over. */
static er_status load_list(const er_kube_places *places, const char *context,
                           er_kube_config *config, er_err *err) {
    const char *list = places->kubeconfig;
    char *paths[FILES_MAX] = {0};
    size_t n = 0;
    er_status status = ER_OK;
    while (*list != '\0' && status == ER_OK) {
        size_t len = strcspn(list, ":");
        er_str path = {list, len};
        bool seen = len == 0;
        for (size_t i = 0; i < n; i++) {
            seen = seen || er_str_eqc(path, paths[i]);
        }
        if (!seen && n == FILES_MAX) {
            status = er_err_set(err, ER_E_CONFIG, "KUBECONFIG names more than %d files", FILES_MAX);
        } else if (!seen) {
            paths[n++] = er_str_dup(path);
        }
        list += len + (list[len] == ':');
    }
    if (status == ER_OK) {
        status =
            er_kubeconfig_load((const char *const *)paths, n, false, context, places, config, err);
        if (status != ER_OK) {
            er_err_prefix(err, "KUBECONFIG");
        }
    }
    for (size_t i = 0; i < n; i++) {
        free(paths[i]);
    }
    return status;
}

static er_status load_home(const er_kube_places *places, const char *context,
                           er_kube_config *config, er_err *err) {
    const char *home = given(places->home) ? places->home : "";
    char *path = joined(home, "/.kube/", "config");
    const char *const paths[] = {path};
    er_file_stamp stamp;
    er_status status;
    if (home[0] != '\0' && er_file_stamp_get(path, &stamp)) {
        status = er_kubeconfig_load(paths, 1, true, context, places, config, err);
    } else {
        status = er_err_set(err, ER_E_CONFIG,
                            "no credentials for an API server: not in a pod (no "
                            "KUBERNETES_SERVICE_HOST), no KUBECONFIG, no ~/.kube/config; set "
                            "kubernetes.kubeconfig");
    }
    free(path);
    return status;
}

static er_status load_place(const er_kube_settings *settings, const er_kube_places *places,
                            er_kube_config *config, er_err *err) {
    const char *context = settings->context == NULL ? "" : settings->context;
    bool in_pod = given(places->service_host) && given(places->service_port);
    if (given(settings->kubeconfig)) {
        const char *const paths[] = {settings->kubeconfig};
        return er_kubeconfig_load(paths, 1, true, context, places, config, err);
    }
    if (in_pod && context[0] == '\0') {
        return load_in_cluster(places, config, err);
    }
    if (given(places->kubeconfig)) {
        return load_list(places, context, config, err);
    }
    return load_home(places, context, config, err);
}

/* ---- the whole ---- */

/* SHA-256 of the server and its CA, in hex. */
static er_status make_id(er_kube_config *config, er_err *err) {
    er_buf bytes;
    er_buf_init(&bytes, CA_MAX_BYTES);
    er_buf_putf(&bytes, "%s\n", config->server);
    er_status status = ER_OK;
    if (config->ca_pem != NULL) {
        er_buf_puts(&bytes, config->ca_pem);
    } else if (config->tls.ca_file != NULL) {
        status = er_file_read(config->tls.ca_file, &bytes, err);
    }
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    ER_ASSERT(EVP_Digest(er_buf_cstr(&bytes), bytes.len, digest, &n, EVP_sha256(), NULL) == 1);
    ER_ASSERT(n == 32);
    for (unsigned i = 0; i < n; i++) {
        config->id[2 * i] = "0123456789abcdef"[digest[i] >> 4];
        config->id[2 * i + 1] = "0123456789abcdef"[digest[i] & 15];
    }
    er_buf_fini(&bytes);
    return status;
}

er_status er_kube_config_load_from(const er_kube_settings *settings, const er_kube_places *places,
                                   er_kube_config **out, er_err *err) {
    er_kube_config *config = er_xcalloc(1, sizeof *config);
    er_status status = er_kube_check(settings, err);
    if (status == ER_OK) {
        status = load_place(settings, places, config, err);
    }
    if (status == ER_OK) {
        status = er_kube_proxy_choose(places, config, err);
    }
    if (status == ER_OK && config->namespace_ == NULL) {
        config->namespace_ = er_dup("default");
    }
    if (status == ER_OK) {
        status = make_id(config, err);
    }
    if (status != ER_OK) {
        er_kube_config_free(config);
        er_err_prefix(err, "kubernetes");
        if (err != NULL) {
            err->code = ER_E_CONFIG;
        }
        return ER_E_CONFIG;
    }
    *out = config;
    return ER_OK;
}

static const char *either(const char *upper, const char *lower) {
    const char *value = getenv(upper);
    return given(value) ? value : getenv(lower);
}

er_status er_kube_config_load(const er_kube_settings *settings, er_kube_config **out, er_err *err) {
    const er_kube_places places = {
        .service_host = getenv("KUBERNETES_SERVICE_HOST"),
        .service_port = getenv("KUBERNETES_SERVICE_PORT"),
        .account_dir = ACCOUNT_DIR,
        .kubeconfig = getenv("KUBECONFIG"),
        .home = getenv("HOME"),
        .path = getenv("PATH"),
        .https_proxy = either("HTTPS_PROXY", "https_proxy"),
        .http_proxy = either("HTTP_PROXY", "http_proxy"),
        .no_proxy = either("NO_PROXY", "no_proxy"),
    };
    return er_kube_config_load_from(settings, &places, out, err);
}

static void free_secret(char *text) {
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    free(text);
}

void er_kube_config_free(er_kube_config *config) {
    if (config == NULL) {
        return;
    }
    er_exec_free(config->exec);
    free(config->server);
    free(config->origin);
    free(config->context);
    free(config->namespace_);
    free(config->tls.ca_file);
    free(config->tls.cert_file);
    free(config->tls.key_file);
    free(config->tls.server_name);
    free(config->ca_pem);
    free(config->cert_pem);
    free_secret(config->key_pem);
    free_secret(config->proxy);
    free_secret(config->token);
    free(config->token_file);
    free(config->username);
    free_secret(config->password);
    for (size_t i = 0; i < config->impersonate_n; i++) {
        free(config->impersonate[i].name);
        free(config->impersonate[i].value);
    }
    free(config);
}

const char *er_kube_config_server(const er_kube_config *config) {
    return config->server;
}

const char *er_kube_config_origin(const er_kube_config *config) {
    return config->origin;
}

bool er_kube_config_is_insecure(const er_kube_config *config) {
    return config->tls.insecure_skip_verify && strncmp(config->server, "https:", 6) == 0;
}

static void put_user(const er_kube_config *config, er_buf *out) {
    bool cert = config->cert_pem != NULL || config->tls.cert_file != NULL;
    bool token = config->token_file != NULL || config->token != NULL;
    if (config->exec != NULL) {
        const er_exec_spec *spec = er_exec_spec_of(config->exec);
        er_buf_putf(out, "exec plugin %s (%s), found, not run", spec->command, spec->api_version);
    }
    if (cert) {
        er_buf_putf(out, "client certificate %s",
                    config->cert_pem != NULL ? "in the kubeconfig" : config->tls.cert_file);
    }
    if (token) {
        er_buf_putf(out, "%stoken %s", cert ? ", " : "",
                    config->token_file != NULL ? config->token_file : "in the kubeconfig");
    }
    if (config->username != NULL) {
        er_buf_putf(out, "%suser name and password", cert ? ", " : "");
    }
    if (config->exec == NULL && !cert && !token && config->username == NULL) {
        er_buf_puts(out, "none (anonymous)");
    }
    if (config->impersonate_n > 0) {
        er_buf_putf(out, ", as %s", config->impersonate[0].value);
    }
}

void er_kube_config_describe(const er_kube_config *config, er_buf *out) {
    er_buf_putf(out, "API server:  %s\ncredentials: %s\nuser:        ", config->server,
                config->origin);
    put_user(config, out);
    er_buf_putc(out, '\n');
    if (config->proxy != NULL) {
        const char *host = strstr(config->proxy, "://") + 3; /* checked when it was loaded */
        const char *at = strrchr(host, '@');
        er_buf_putf(out, "proxy:       %.*s%s (%s)\n", (int)(host - config->proxy), config->proxy,
                    at == NULL ? host : at + 1, config->proxy_key);
    }
    if (er_kube_config_is_insecure(config)) {
        er_buf_puts(out, "TLS:         the server's certificate is not verified\n");
    }
}

const char *er_kube_config_context(const er_kube_config *config) {
    return config->context;
}

const char *er_kube_config_namespace(const er_kube_config *config) {
    return config->namespace_;
}

void er_kube_config_id(const er_kube_config *config, char out[65]) {
    memcpy(out, config->id, sizeof config->id);
}
