/* Where credentials come from, and what kubeconfig files say. */
#include "unit.h"

#include "http/base64.h"
#include "kube/kube_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- a folder with files ---- */

typedef struct world {
    char dir[64];
    char *paths[64];
    size_t n;
} world;

static int set_up(void **state) {
    world *w = er_xcalloc(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/er-kube-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    for (size_t i = w->n; i > 0; i--) {
        (void)remove(w->paths[i - 1]);
        free(w->paths[i - 1]);
    }
    assert_int_equal(rmdir(w->dir), 0);
    free(w);
    return 0;
}

static const char *path_of(world *w, const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", w->dir, name) > 0);
    assert_true(w->n < 64);
    w->paths[w->n++] = path;
    return path;
}

static const char *put(world *w, const char *name, const char *text) {
    const char *path = path_of(w, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return path;
}

static const char *folder(world *w, const char *name) {
    const char *path = path_of(w, name);
    assert_int_equal(mkdir(path, 0700), 0);
    return path;
}

static er_status load(const char *kubeconfig, const char *context, const er_kube_places *places,
                      er_kube_config **out, er_err *err) {
    char *path = er_dup(kubeconfig);
    char *name = er_dup(context);
    er_kube_settings settings = {.kubeconfig = path, .context = name};
    er_status status = er_kube_config_load_from(&settings, places, out, err);
    free(path);
    free(name);
    return status;
}

static er_kube_config *loaded(const char *kubeconfig, const char *context,
                              const er_kube_places *places) {
    er_kube_config *config = NULL;
    er_err err = {0};
    if (load(kubeconfig, context, places, &config, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    return config;
}

/* The error must be exactly this, where "DIR" stands for the folder. */
static void refused(const world *w, const char *kubeconfig, const char *context,
                    const er_kube_places *places, const char *want) {
    er_kube_config *config = NULL;
    er_err err = {0};
    assert_int_equal(load(kubeconfig, context, places, &config, &err), ER_E_CONFIG);
    assert_int_equal(err.code, ER_E_CONFIG);
    assert_null(config);
    er_buf text;
    er_buf_init(&text, 4096);
    const char *rest = err.msg;
    for (const char *at = strstr(rest, w->dir); at != NULL; at = strstr(rest, w->dir)) {
        er_buf_put(&text, rest, (size_t)(at - rest));
        er_buf_puts(&text, "DIR");
        rest = at + strlen(w->dir);
    }
    er_buf_puts(&text, rest);
    assert_string_equal(er_buf_cstr(&text), want);
    er_buf_fini(&text);
}

static const er_kube_places nowhere = {0};

/* ---- good files ---- */

#define PEM_DATA                                                                                   \
    "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCmFiYwo=" /* -----BEGIN CERTIFICATE-----\nabc\n */
#define PEM "-----BEGIN CERTIFICATE-----\nabc\n"

static const char full[] =
    "apiVersion: v1\n"
    "kind: Config\n"
    "current-context: dev\n"
    "clusters:\n"
    "- name: one\n"
    "  cluster:\n"
    "    server: https://kube.example:6443/k8s/clusters/c-1/\n"
    "    certificate-authority-data: " PEM_DATA "\n"
    "    tls-server-name: kubernetes.default.svc\n"
    "    proxy-url: http://proxy.example:3128\n"
    "- name: two\n"
    "  cluster: {server: 'http://127.0.0.1:8001', insecure-skip-tls-verify: true}\n"
    "users:\n"
    "- name: certified\n"
    "  user:\n"
    "    client-certificate-data: >-\n"
    "      LS0tLS1CRUdJTiBDRVJUSUZJ\n"
    "\n"
    "      Q0FURS0tLS0tCmFiYwo=\n"
    "    client-key-data: " PEM_DATA "\n"
    "- name: bearer\n"
    "  user: {token: s3cret, tokenFile: tokens/t}\n"
    "- name: basic\n"
    "  user:\n"
    "    username: ann\n"
    "    password: p:w\n"
    "    as: system:serviceaccount:a:b\n"
    "    as-uid: '7'\n"
    "    as-groups: [g1, g2]\n"
    "contexts:\n"
    "- name: dev\n"
    "  context: {cluster: one, user: certified, namespace: shop}\n"
    "- name: token\n"
    "  context: {cluster: two, user: bearer}\n"
    "- name: basic\n"
    "  context: {cluster: two, user: basic}\n"
    "- name: anonymous\n"
    "  context: {cluster: two}\n";

static void test_the_current_context(void **state) {
    world *w = *state;
    const char *path = put(w, "full", full);
    er_kube_config *config = loaded(path, "", &nowhere);
    assert_string_equal(er_kube_config_server(config),
                        "https://kube.example:6443/k8s/clusters/c-1");
    char origin[128];
    (void)snprintf(origin, sizeof origin, "%s, context dev", path);
    assert_string_equal(er_kube_config_origin(config), origin);
    assert_string_equal(er_kube_config_context(config), "dev");
    assert_string_equal(er_kube_config_namespace(config), "shop");
    assert_string_equal(config->ca_pem, PEM);
    assert_string_equal(config->cert_pem, PEM);
    assert_string_equal(config->key_pem, PEM);
    assert_string_equal(config->tls.server_name, "kubernetes.default.svc");
    assert_string_equal(config->proxy, "http://proxy.example:3128");
    assert_false(config->tls.insecure_skip_verify);
    assert_null(config->token);
    assert_null(config->tls.ca_file);
    /* sha256sum of "https://kube.example:6443/k8s/clusters/c-1\n" and the PEM */
    char id[65];
    er_kube_config_id(config, id);
    assert_string_equal(id, "4030085ab85c5c7a1cc3d8af35ca1360b85da138033d82d15618d4aebf74af8a");
    er_kube_config_free(config);
}

static void test_other_contexts(void **state) {
    world *w = *state;
    const char *path = put(w, "full", full);
    er_kube_config *config = loaded(path, "token", &nowhere);
    assert_string_equal(er_kube_config_server(config), "http://127.0.0.1:8001");
    assert_true(config->tls.insecure_skip_verify);
    assert_string_equal(config->token, "s3cret");
    char file[128];
    (void)snprintf(file, sizeof file, "%s/tokens/t", w->dir);
    assert_string_equal(config->token_file, file);
    assert_string_equal(er_kube_config_namespace(config), "default");
    char id[65]; /* printf 'http://127.0.0.1:8001\n' | sha256sum */
    er_kube_config_id(config, id);
    assert_string_equal(id, "82678eed260de85de4466441f6baa46ec93da120c06b1025fcebcc4b1c0748f4");
    er_kube_config_free(config);

    config = loaded(path, "basic", &nowhere);
    assert_string_equal(config->username, "ann");
    assert_string_equal(config->password, "p:w");
    static const char *const headers[][2] = {
        {"Impersonate-User", "system:serviceaccount:a:b"},
        {"Impersonate-Uid", "7"},
        {"Impersonate-Group", "g1"},
        {"Impersonate-Group", "g2"},
    };
    assert_int_equal(config->impersonate_n, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(config->impersonate[i].name, headers[i][0]);
        assert_string_equal(config->impersonate[i].value, headers[i][1]);
    }
    er_kube_config_free(config);

    config = loaded(path, "anonymous", &nowhere);
    assert_null(config->token);
    assert_null(config->username);
    er_kube_config_free(config);
}

static void test_json_is_yaml(void **state) {
    world *w = *state;
    const char *path = put(
        w, "json",
        "{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":{\"cluster\":\"k\","
        "\"user\":\"u\",\"namespace\":null}}],\"clusters\":[{\"name\":\"k\",\"cluster\":{"
        "\"server\":\"https:\\/\\/[::1]:6443\"}}],\"users\":[{\"name\":\"u\",\"user\":{"
        "\"token\":\"t\\u00e9\"}}]}");
    er_kube_config *config = loaded(path, "", &nowhere);
    assert_string_equal(er_kube_config_server(config), "https://[::1]:6443");
    assert_string_equal(config->token, "t\xc3\xa9");
    assert_string_equal(er_kube_config_namespace(config), "default");
    er_kube_config_free(config);
}

static void test_a_server_without_a_scheme_is_https(void **state) {
    const char *path = put(*state, "plain",
                           "current-context: c\n"
                           "contexts: [{name: c, context: {cluster: k}}]\n"
                           "clusters: [{name: k, cluster: {server: kube.example}}]\n");
    er_kube_config *config = loaded(path, "", &nowhere);
    assert_string_equal(er_kube_config_server(config), "https://kube.example");
    er_kube_config_free(config);
}

/* Aliases cost nothing and lead nowhere, even when they are cyclic. */
static void test_aliases(void **state) {
    const char *path = put(*state, "aliases",
                           "x: &loop [*loop, *loop]\n"
                           "s: &s https://kube.example\n"
                           "current-context: c\n"
                           "contexts: [{name: c, context: {cluster: k}}]\n"
                           "clusters: [{name: k, cluster: {server: *s}}]\n");
    er_kube_config *config = loaded(path, "", &nowhere);
    assert_string_equal(er_kube_config_server(config), "https://kube.example");
    er_kube_config_free(config);
}

/* ---- several files ---- */

static void test_merging(void **state) {
    world *w = *state;
    (void)folder(w, "a");
    (void)folder(w, "b");
    const char *a = put(w, "a/config",
                        "clusters: [{name: k, cluster: {server: 'https://first.example'}}]\n"
                        "users:\n- {name: u, user: {tokenFile: token}}\n");
    const char *b = put(w, "b/config",
                        "current-context: c\n"
                        "clusters:\n"
                        "- {name: k, cluster: {server: 'https://second.example', "
                        "proxy-url: 'http://p.example'}}\n"
                        "- {name: l, cluster: {server: 'https://l.example'}}\n"
                        "users:\n- {name: u, user: {token: other}}\n"
                        "contexts:\n- {name: c, context: {cluster: k, user: u}}\n"
                        "- {name: d, context: {cluster: l, user: u}}\n");
    const char *c =
        put(w, "c", "current-context: d\ncontexts: [{name: c, context: {cluster: l}}]\n");
    char list[512];
    (void)snprintf(list, sizeof list, ":%s/missing::%s:%s:%s:%s:", w->dir, a, b, a, c);
    er_kube_places places = {.kubeconfig = list};
    er_kube_config *config = loaded("", "", &places);
    assert_string_equal(er_kube_config_context(config), "c"); /* the first current-context */
    assert_string_equal(er_kube_config_server(config), "https://first.example");
    assert_null(config->proxy); /* the whole entry is the first file's */
    assert_null(config->token);
    char file[128]; /* relative to the file that holds it */
    (void)snprintf(file, sizeof file, "%s/a/token", w->dir);
    assert_string_equal(config->token_file, file);
    char origin[128];
    (void)snprintf(origin, sizeof origin, "%s, context c", b);
    assert_string_equal(er_kube_config_origin(config), origin);
    er_kube_config_free(config);
    config = loaded("", "d", &places);
    assert_string_equal(er_kube_config_server(config), "https://l.example");
    er_kube_config_free(config);
}

/* What `kubectl config view --minify` (1.36) says of the same files; "": it refuses, too. */
static void test_merging_as_kubectl(void **state) {
    world *w = *state;
    (void)folder(w, "a");
    (void)folder(w, "b");
    (void)put(w, "a/f",
              "clusters:\n- name: k\n  cluster: {server: 'https://a.example', "
              "proxy-url: 'http://p.example'}\nusers:\n- {name: u, user: {tokenFile: tok}}\n");
    (void)put(
        w, "b/f",
        "current-context: cx\nclusters:\n- name: k\n  cluster: {server: 'https://b.example', "
        "tls-server-name: name}\n- {name: l, cluster: {server: 'https://l.example'}}\nusers:\n"
        "- {name: u, user: {token: tu}}\n- {name: v, user: {tokenFile: ../tv}}\n"
        "contexts:\n- {name: cx, context: {cluster: k, user: u, namespace: ns}}\n");
    (void)put(w, "c",
              "current-context: cy\ncontexts:\n- {name: cx, context: {cluster: l, user: v}}\n"
              "- {name: cy, context: {cluster: l, user: v}}\n");
    (void)put(w, "empty", "");
    (void)put(w, "none", "current-context: ''\nclusters: null\n");
    (void)put(w, "broken", "a: [\n");
    static const struct {
        const char *list, *context, *server, *name, *proxy, *token, *token_file, *ns;
    } rows[] = {
        {"a/f b/f c", "cx", "https://a.example", NULL, "http://p.example", NULL, "a/tok", "ns"},
        {"b/f a/f c", "cx", "https://b.example", "name", NULL, "tu", NULL, "ns"},
        {"c b/f a/f", "cy", "https://l.example", NULL, NULL, NULL, "b/../tv", "default"},
        {"missing empty none b/f", "cx", "https://b.example", "name", NULL, "tu", NULL, "ns"},
        {"b/f b/f", "cx", "https://b.example", "name", NULL, "tu", NULL, "ns"},
        {"a/f c", "", NULL, NULL, NULL, NULL, NULL, NULL},      /* no cluster l */
        {"a/f", "", NULL, NULL, NULL, NULL, NULL, NULL},        /* no context */
        {"empty", "", NULL, NULL, NULL, NULL, NULL, NULL},      /* nothing at all */
        {"b/f broken", "", NULL, NULL, NULL, NULL, NULL, NULL}, /* not passed over */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_buf list;
        er_buf_init(&list, 1024);
        for (const char *name = rows[i].list; *name != '\0'; name += strcspn(name, " ")) {
            name += *name == ' ';
            er_buf_putf(&list, ":%s/%.*s", w->dir, (int)strcspn(name, " "), name);
        }
        er_kube_places places = {.kubeconfig = er_buf_cstr(&list)};
        er_kube_config *config = NULL;
        er_err err;
        er_status status = load("", "", &places, &config, &err);
        assert_int_equal(status, rows[i].context[0] == '\0' ? ER_E_CONFIG : ER_OK);
        if (status == ER_OK) {
            char file[128] = "";
            if (rows[i].token_file != NULL) {
                (void)snprintf(file, sizeof file, "%s/%s", w->dir, rows[i].token_file);
            }
            const char *const pairs[][2] = {
                {config->context, rows[i].context},
                {config->server, rows[i].server},
                {config->tls.server_name, rows[i].name},
                {config->proxy, rows[i].proxy},
                {config->token, rows[i].token},
                {config->token_file, rows[i].token_file == NULL ? NULL : file},
                {config->namespace_, rows[i].ns},
            };
            for (size_t j = 0; j < sizeof pairs / sizeof pairs[0]; j++) {
                assert_string_equal(pairs[j][0] == NULL ? "(none)" : pairs[j][0],
                                    pairs[j][1] == NULL ? "(none)" : pairs[j][1]);
            }
            er_kube_config_free(config);
        }
        er_buf_fini(&list);
    }
}

static void test_a_name_that_is_there_twice(void **state) {
    world *w = *state;
    static const char *const lists[][2] = {
        {"cluster", "clusters"}, {"user", "users"}, {"context", "contexts"}};
    static const char *const bodies[] = {
        "clusters:\n- {name: n, cluster: {server: 'https://k.example'}}\n",
        "users:\n- {name: n, user: {}}\n",
        "contexts:\n- {name: n, context: {cluster: n, user: n}}\n",
    };
    const char *path = path_of(w, "twice");
    for (int twice = 0; twice < 3; twice++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs("current-context: n\n", f) >= 0);
        for (int i = 0; i < 3; i++) {
            assert_true(fputs(bodies[i], f) >= 0);
            if (i == twice) {
                assert_true(fprintf(f, "- {name: n, %s: {}}\n", lists[i][0]) > 0);
            }
        }
        assert_int_equal(fclose(f), 0);
        char want[256];
        (void)snprintf(want, sizeof want,
                       "kubernetes: DIR/twice: %s \"n\": the name is there twice; remove one",
                       lists[twice][0]);
        refused(w, path, "", &nowhere, want);
    }
}

static void test_the_order_of_places(void **state) {
    world *w = *state;
    const char *account = folder(w, "account");
    (void)put(w, "account/token", " tok\n");
    (void)put(w, "account/ca.crt", "CA");
    (void)put(w, "account/namespace", "mine\n");
    (void)folder(w, "home");
    (void)folder(w, "home/.kube");
    static const char text[] = "current-context: c\ncontexts: [{name: c, context: {cluster: k}}]\n"
                               "clusters: [{name: k, cluster: {server: 'https://%s.example'}}]\n";
    const char *names[] = {"explicit", "listed", "home/.kube/config"};
    const char *paths[3];
    for (int i = 0; i < 3; i++) {
        char body[256];
        int cut = (int)strcspn(names[i], "/");
        char short_name[16];
        (void)snprintf(short_name, sizeof short_name, "%.*s", cut, names[i]);
        er_buf b;
        er_buf_init(&b, sizeof body);
        const char *hole = strstr(text, "%s");
        er_buf_put(&b, text, (size_t)(hole - text));
        er_buf_puts(&b, short_name);
        er_buf_puts(&b, hole + 2);
        paths[i] = put(w, names[i], er_buf_cstr(&b));
        er_buf_fini(&b);
    }
    char home[128];
    (void)snprintf(home, sizeof home, "%s/home", w->dir);
    er_kube_places places = {.service_host = "10.0.0.1",
                             .service_port = "443",
                             .account_dir = account,
                             .kubeconfig = paths[1],
                             .home = home};
    er_kube_config *config = loaded(paths[0], "", &places);
    assert_string_equal(er_kube_config_server(config), "https://explicit.example");
    er_kube_config_free(config);

    config = loaded("", "", &places);
    assert_string_equal(er_kube_config_server(config), "https://10.0.0.1:443");
    assert_string_equal(er_kube_config_origin(config), "in-cluster");
    assert_string_equal(er_kube_config_context(config), "");
    assert_string_equal(er_kube_config_namespace(config), "mine");
    char file[128];
    (void)snprintf(file, sizeof file, "%s/token", account);
    assert_string_equal(config->token_file, file);
    (void)snprintf(file, sizeof file, "%s/ca.crt", account);
    assert_string_equal(config->tls.ca_file, file);
    char id[65]; /* printf 'https://10.0.0.1:443\nCA' | sha256sum */
    er_kube_config_id(config, id);
    assert_string_equal(id, "7297b0904c6712fcd7320d82370e1a9019014848c769f8316628d1789a2f1adf");
    er_kube_config_free(config);

    places.service_host = "::1";
    config = loaded("", "", &places);
    assert_string_equal(er_kube_config_server(config), "https://[::1]:443");
    er_kube_config_free(config);

    config = loaded("", "c", &places); /* a pod has no contexts */
    assert_string_equal(er_kube_config_server(config), "https://listed.example");
    er_kube_config_free(config);

    places.service_port = NULL;
    config = loaded("", "", &places);
    assert_string_equal(er_kube_config_server(config), "https://listed.example");
    er_kube_config_free(config);

    places.kubeconfig = "";
    config = loaded("", "", &places);
    assert_string_equal(er_kube_config_server(config), "https://home.example");
    er_kube_config_free(config);

    places.home = w->dir;
    refused(
        w, "", "", &places,
        "kubernetes: no credentials for an API server: not in a pod (no "
        "KUBERNETES_SERVICE_HOST), no KUBECONFIG, no ~/.kube/config; set kubernetes.kubeconfig");
}

static void test_a_pod_without_a_token(void **state) {
    world *w = *state;
    const char *account = folder(w, "account");
    er_kube_places places = {
        .service_host = "10.0.0.1", .service_port = "443", .account_dir = account};
    refused(w, "", "", &places,
            "kubernetes: in-cluster: the service account's token (is automountServiceAccountToken "
            "off?): cannot open DIR/account/token: No such file or directory");
    (void)put(w, "account/token", "\n");
    refused(w, "", "", &places,
            "kubernetes: in-cluster: the service account's token (is automountServiceAccountToken "
            "off?): DIR/account/token is empty");
    (void)put(w, "account/token", "t");
    refused(w, "", "", &places,
            "kubernetes: cannot open DIR/account/ca.crt: No such file or directory");
}

/* ---- bad files ---- */

#define CONTEXT    "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"
#define CLUSTER    "clusters: [{name: k, cluster: {server: 'https://kube.example'}}]\n"
#define BODY(user) CONTEXT CLUSTER "users:\n- name: u\n  user: " user "\n"
#define WITH(cluster)                                                                              \
    CONTEXT "users: [{name: u, user: {}}]\nclusters:\n- name: k\n  cluster: " cluster "\n"

static void test_bad_files(void **state) {
    world *w = *state;
    static const struct {
        const char *text, *message; /* behind "kubernetes: DIR/bad" */
    } rows[] = {
        {"", " is empty"},
        {"a: [", ": line 2: not YAML: did not find expected node content"},
        {"a: 1\n---\nb: 2\n", ": line 2: too many documents for a kubeconfig"},
        {"just text", ": no current-context; set kubernetes.context to one of: (it defines none)"},
        {"contexts: [{name: x}, {name: y}]",
         ": no current-context; set kubernetes.context to one of: x, y"},
        {"current-context: z\ncontexts: [{name: x}]", ": no context \"z\"; there are: x"},
        {"current-context: [z]\n", ": current-context is not a text"},
        {"current-context: c\ncontexts: [{name: c, context: {}}]\n",
         ": context \"c\": cluster is missing"},
        {CONTEXT, ": context \"c\" names the cluster \"k\", which is not defined"},
        {CONTEXT CLUSTER, ": context \"c\" names the user \"u\", which is not defined"},
        {WITH("{}"), ": cluster \"k\": server is missing"},
        {WITH("{server: 'ftp://kube.example'}"),
         ": cluster \"k\": server is not an http or https URL without user, query and fragment"},
        {WITH("{server: 'https://a:b@kube.example'}"),
         ": cluster \"k\": server is not an http or https URL without user, query and fragment"},
        {WITH("{server: 'https://kube.example/?a=b'}"),
         ": cluster \"k\": server is not an http or https URL without user, query and fragment"},
        {WITH("{server: 'https://'}"),
         ": cluster \"k\": server is not an http or https URL without user, query and fragment"},
        {WITH("{server: {a: b}}"), ": cluster \"k\": server is not a text"},
        {WITH("{server: \"https://\\0b\"}"), ": cluster \"k\": server is not a text"},
        {WITH("{server: 'https://k.example', insecure-skip-tls-verify: yes}"),
         ": cluster \"k\": insecure-skip-tls-verify is neither true nor false"},
        {WITH("{server: 'https://k.example', insecure-skip-tls-verify: true, "
              "certificate-authority: x}"),
         ": cluster \"k\": insecure-skip-tls-verify and certificate-authority exclude each other; "
         "remove one"},
        {WITH("{server: 'https://k.example', certificate-authority: x, "
              "certificate-authority-data: " PEM_DATA "}"),
         ": cluster \"k\": certificate-authority is given twice, as a file and as data; remove "
         "one"},
        {WITH("{server: 'https://k.example', certificate-authority-data: 'LS0t LS1C'}"),
         ": cluster \"k\": certificate-authority-data is not PEM in Base64"},
        {WITH("{server: 'https://k.example', certificate-authority-data: aGVsbG8=}"),
         ": cluster \"k\": certificate-authority-data is not PEM in Base64"},
        {BODY("{auth-provider: {name: gcp}}"),
         ": user \"u\": auth-provider is a thing of the past; use an exec plugin instead, here "
         "gke-gcloud-auth-plugin (gcloud container clusters get-credentials writes the entry)"},
        {BODY("{auth-provider: {name: oidc, config: {id-token: s3cret}}}"),
         ": user \"u\": auth-provider is a thing of the past; use an exec plugin instead, for "
         "instance kubelogin (kubectl oidc-login)"},
        {BODY("{auth-provider: [x]}"),
         ": user \"u\": auth-provider is a thing of the past; use an exec plugin instead"},
        {BODY("{client-certificate: c.pem}"),
         ": user \"u\": client-certificate needs client-key as well"},
        {BODY("{client-key: c.key}"), ": user \"u\": client-key needs client-certificate as well"},
        {BODY("{token: t, username: a, password: b}"),
         ": user \"u\": username and a token exclude each other; remove one"},
        {BODY("{password: b}"), ": user \"u\": password is given without username"},
        {BODY("{token: [a]}"), ": user \"u\": token is not a text"},
        {BODY("{as-groups: [a]}"), ": user \"u\": as-groups or as-uid is given without as"},
        {BODY("{as: a, as-groups: b}"), ": user \"u\": as-groups is not a list"},
        {BODY("{as: a, as-groups: [[b]]}"),
         ": user \"u\": impersonation (as, as-uid, as-groups) needs plain texts"},
        {BODY("{as: \"a\\r\\nb\"}"),
         ": user \"u\": impersonation (as, as-uid, as-groups) needs plain texts"},
        {BODY("{as: a, as-groups: [1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}"),
         ": user \"u\": as-groups has too many entries"},
        {BODY("{as: a, as-user-extra: {b: [c]}}"),
         ": user \"u\": as-user-extra is not supported; remove it"},
    };
    const char *path = path_of(w, "bad");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        assert_true(fputs(rows[i].text, f) >= 0);
        assert_int_equal(fclose(f), 0);
        char want[600];
        (void)snprintf(want, sizeof want, "kubernetes: DIR/bad%s", rows[i].message);
        refused(w, path, "", &nowhere, want);
    }
}

static void test_hostile_files(void **state) {
    world *w = *state;
    er_buf text;
    er_buf_init(&text, 4u << 20);
    er_buf_puts(&text, "a: ");
    for (int i = 0; i < 100000; i++) {
        er_buf_putc(&text, '[');
    }
    refused(w, put(w, "deep", er_buf_cstr(&text)), "", &nowhere,
            "kubernetes: DIR/deep: line 1: too deep for a kubeconfig");
    er_buf_clear(&text);
    for (int i = 0; i < 20000; i++) {
        er_buf_puts(&text, "- a\n");
    }
    refused(w, put(w, "wide", er_buf_cstr(&text)), "", &nowhere,
            "kubernetes: DIR/wide: line 19999: too many entries for a kubeconfig");
    er_buf_clear(&text);
    for (int i = 0; i < 1 << 20; i++) {
        er_buf_putc(&text, 'a');
    }
    er_buf_putc(&text, 'a');
    refused(w, put(w, "long", er_buf_cstr(&text)), "", &nowhere,
            "kubernetes: DIR/long is larger than 1048576 bytes");
    er_buf_fini(&text);
    refused(w, w->dir, "", &nowhere, "kubernetes: DIR is not a regular file");
}

static void test_missing_files(void **state) {
    world *w = *state;
    char list[256];
    (void)snprintf(list, sizeof list, "%s/no", w->dir);
    refused(w, list, "", &nowhere, "kubernetes: cannot open DIR/no: No such file or directory");
    er_kube_places places = {.kubeconfig = list};
    refused(
        w, "", "", &places,
        "kubernetes: KUBECONFIG: none of the kubeconfig files exists, or all are empty; the first "
        "is DIR/no");
    places.kubeconfig = "::";
    refused(
        w, "", "", &places,
        "kubernetes: KUBECONFIG: none of the kubeconfig files exists, or all are empty; the first "
        "is not named");
    const char *path = put(w, "noca",
                           "current-context: c\n"
                           "contexts: [{name: c, context: {cluster: k}}]\n"
                           "clusters: [{name: k, cluster: {server: 'https://k.example', "
                           "certificate-authority: ca.pem}}]\n");
    refused(w, path, "", &nowhere, "kubernetes: cannot open DIR/ca.pem: No such file or directory");
}

/* ---- settings ---- */

static void test_settings(void **state) {
    (void)state;
    char names[33][24];
    er_cfg_text texts[33];
    for (int i = 0; i < 33; i++) {
        (void)snprintf(names[i], sizeof names[i], "ns-%d", i);
        texts[i] = (er_cfg_text){.s = names[i]};
    }
    er_kube_settings settings = {.namespaces = {.v = texts, .n = 32}};
    er_err err;
    assert_int_equal(er_kube_check(&settings, &err), ER_OK);
    settings.namespaces.n = 33;
    assert_int_equal(er_kube_check(&settings, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "33 namespaces, at most 32; leave namespaces out to watch all of "
                                 "them on one connection");
    settings.namespaces.n = 3;
    texts[2].s = names[0];
    assert_int_equal(er_kube_check(&settings, &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "the namespace ns-0 is named twice");
    er_status (*check)(const char *, er_err *) = er_kube_rows[2].check;
    static const char *const good[] = {"a", "0", "a-b", "kube-system"};
    static const char *const bad[] = {"", "-a", "a-", "A", "a.b", "a/b", "a b", "\xc3\xa9"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(check(good[i], &err), ER_OK);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(check(bad[i], &err), ER_E_CONFIG);
    }
    assert_string_equal(er_kube_rows[2].key, "namespaces");
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_the_current_context),
        TEST(test_other_contexts),
        TEST(test_json_is_yaml),
        TEST(test_a_server_without_a_scheme_is_https),
        TEST(test_aliases),
        TEST(test_merging),
        TEST(test_merging_as_kubectl),
        TEST(test_a_name_that_is_there_twice),
        TEST(test_the_order_of_places),
        TEST(test_a_pod_without_a_token),
        TEST(test_bad_files),
        TEST(test_hostile_files),
        TEST(test_missing_files),
        TEST(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
