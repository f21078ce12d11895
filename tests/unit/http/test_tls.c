/* TLS against openssl s_server: trust, names, client certificates, and files that are replaced. */
#include "unit.h"

#include "http/http.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct world {
    char dir[64];
    pid_t server;
    int port;
} world;

static pid_t start(const char *dir, const char *const *argv, int out) {
    posix_spawn_file_actions_t actions;
    assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
    assert_int_equal(posix_spawn_file_actions_addchdir_np(&actions, dir), 0);
    (void)posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    if (out >= 0) {
        (void)posix_spawn_file_actions_adddup2(&actions, out, 1);
    }
    char *args[40] = {0};
    for (size_t i = 0; argv[i] != NULL; i++) {
        args[i] = er_dup(argv[i]);
    }
    pid_t pid;
    assert_int_equal(posix_spawnp(&pid, args[0], &actions, NULL, args, environ), 0);
    for (size_t i = 0; args[i] != NULL; i++) {
        free(args[i]);
    }
    (void)posix_spawn_file_actions_destroy(&actions);
    return pid;
}

static void run_openssl(const world *w, const char *const *argv) {
    pid_t pid = start(w->dir, argv, -1);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}
#define OPENSSL(w, ...) run_openssl((w), (const char *const[]){"openssl", __VA_ARGS__, NULL})

#define NEW_KEY "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"

static void make_certificates(const world *w) {
    OPENSSL(w, NEW_KEY, "-days", "2", "-subj", "/CN=test ca", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "keyUsage=critical,keyCertSign");
    OPENSSL(w, NEW_KEY, "-days", "2", "-subj", "/CN=another ca", "-keyout", "other.key", "-out",
            "other.pem");
    OPENSSL(w, NEW_KEY, "-days", "2", "-subj", "/CN=server", "-keyout", "server.key", "-out",
            "server.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-addext",
            "subjectAltName=DNS:kube.test", "-addext", "basicConstraints=critical,CA:FALSE");
    OPENSSL(w, NEW_KEY, "-days", "2", "-subj", "/CN=client-one", "-keyout", "one.key", "-out",
            "one.pem");
    OPENSSL(w, NEW_KEY, "-days", "2", "-subj", "/CN=client-two", "-keyout", "two.key", "-out",
            "two.pem");
    OPENSSL(w, "ec", "-in", "one.key", "-aes256", "-passout", "pass:x", "-out", "locked.key");
}

/* It says "ACCEPT 127.0.0.1:PORT" once it listens. */
static void start_server(world *w) {
    int fds[2];
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    w->server = start(w->dir,
                      (const char *const[]){"openssl", "s_server", "-accept", "127.0.0.1:0",
                                            "-cert", "server.pem", "-key", "server.key", "-www",
                                            "-verify", "1", "-tls1_2", NULL},
                      fds[1]);
    (void)close(fds[1]);
    char text[4096];
    size_t n = 0;
    const char *at = NULL;
    while (at == NULL || strchr(at, '\n') == NULL) {
        ssize_t got = read(fds[0], text + n, sizeof text - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
        text[n] = '\0';
        at = strstr(text, "ACCEPT 127.0.0.1:");
    }
    w->port = (int)strtol(at + strlen("ACCEPT 127.0.0.1:"), NULL, 10);
    assert_true(w->port > 0);
    /* It goes on writing there: the pipe stays open with the test. */
    (void)fcntl(fds[0], F_SETFL, O_NONBLOCK);
}

static int set_up(void **state) {
    world *w = er_xcalloc(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/er-tls-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    make_certificates(w);
    start_server(w);
    *state = w;
    return 0;
}

static int tear_down(void **state) {
    world *w = *state;
    (void)kill(w->server, SIGTERM);
    (void)waitpid(w->server, NULL, 0);
    static const char *const names[] = {
        "ca.key",  "ca.pem",  "other.key", "other.pem",  "server.key", "server.pem", "one.key",
        "one.pem", "two.key", "two.pem",   "locked.key", "cert.pem",   "key.pem"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s/%s", w->dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(w->dir);
    free(w);
    return 0;
}

static char *file(const world *w, const char *name) {
    char *path = NULL;
    assert_true(asprintf(&path, "%s/%s", w->dir, name) > 0);
    return path;
}

typedef struct answer {
    er_status status;
    er_err err;
    long http;
    char subject[64]; /* CN of the client certificate that the server saw */
} answer;

/* "Subject: CN=name", with spaces around the sign in some versions. */
static void find_subject(const char *body, char out[64]) {
    const char *at = strstr(body, "Subject: CN");
    if (at != NULL) {
        at += strlen("Subject: CN");
        at += strspn(at, " =");
        (void)snprintf(out, 64, "%.*s", (int)strcspn(at, "\r\n "), at);
    }
}

static answer ask(const world *w, er_http_client *client, const char *host) {
    answer a = {0};
    char url[128];
    (void)snprintf(url, sizeof url, "https://%s:%d/", host, w->port);
    er_http_request req = {
        .method = "GET", .url = url, .timeout_ms = 20000, .response_max = 1u << 20};
    er_http_response res;
    er_http_response_init(&res);
    a.status = er_http_do(client, &req, &res, &a.err);
    a.http = res.status;
    find_subject(er_buf_cstr(&res.body), a.subject);
    er_http_response_fini(&res);
    return a;
}

static er_http_client *client_with(er_http_options options, const er_tls_settings *tls) {
    er_http_client *client = NULL;
    options.tls = tls;
    options.connect_timeout_ms = 20000;
    er_err err;
    if (er_http_client_new(&options, &client, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    return client;
}

static answer ask_once(const world *w, const er_tls_settings *tls) {
    er_http_client *client = client_with((er_http_options){0}, tls);
    answer a = ask(w, client, "127.0.0.1");
    er_http_client_free(client);
    return a;
}

static char kube_test[] = "kube.test";
static char another_name[] = "another.test";

static void test_the_system_does_not_know_our_ca(void **state) {
    answer a = ask_once(*state, NULL);
    assert_int_equal(a.status, ER_E_UNAVAILABLE);
    char want[64];
    (void)snprintf(want, sizeof want, "TLS with 127.0.0.1:%d failed: ", ((world *)*state)->port);
    assert_memory_equal(a.err.msg, want, strlen(want));
}

static void test_trust_and_names(void **state) {
    const world *w = *state;
    char *ca = file(w, "ca.pem");
    char *other = file(w, "other.pem");
    const struct {
        er_tls_settings tls;
        er_status status;
    } rows[] = {
        {{.ca_file = ca, .server_name = kube_test}, ER_OK},
        {{.ca_file = ca}, ER_E_UNAVAILABLE}, /* the certificate does not name 127.0.0.1 */
        {{.ca_file = ca, .server_name = another_name}, ER_E_UNAVAILABLE},
        {{.ca_file = other, .server_name = kube_test}, ER_E_UNAVAILABLE},
        {{.insecure_skip_verify = true}, ER_OK},
        {{.insecure_skip_verify = true, .server_name = another_name}, ER_OK},
        {{.ca_file = ca, .server_name = kube_test, .min_version = 1}, ER_E_UNAVAILABLE}, /* 1.2 */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        answer a = ask_once(w, &rows[i].tls);
        if (a.status != rows[i].status) {
            print_error("row %zu: %s\n", i, a.err.msg);
        }
        assert_int_equal(a.status, rows[i].status);
        assert_int_equal(a.http, a.status == ER_OK ? 200 : 0);
    }
    free(ca);
    free(other);
}

static char *text_of(const char *path) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    int c;
    while ((c = fgetc(f)) != EOF) {
        er_buf_putc(&text, (char)c);
    }
    assert_int_equal(fclose(f), 0);
    return er_buf_take(&text, NULL);
}

static void test_pem_in_memory_wins(void **state) {
    const world *w = *state;
    char *paths[] = {file(w, "ca.pem"), file(w, "one.pem"), file(w, "one.key"),
                     file(w, "other.pem")};
    char *texts[3];
    for (int i = 0; i < 3; i++) {
        texts[i] = text_of(paths[i]);
    }
    er_tls_settings tls = {.ca_file = paths[3], .server_name = kube_test};
    er_http_client *client = client_with((er_http_options){.ca_pem = er_str_of(texts[0]),
                                                           .cert_pem = er_str_of(texts[1]),
                                                           .key_pem = er_str_of(texts[2])},
                                         &tls);
    answer a = ask(w, client, "127.0.0.1");
    assert_int_equal(a.status, ER_OK);
    assert_string_equal(a.subject, "client-one");
    er_http_client_free(client);
    for (int i = 0; i < 4; i++) {
        free(paths[i]);
    }
    for (int i = 0; i < 3; i++) {
        free(texts[i]);
    }
}

static void copy(const world *w, const char *from, const char *to) {
    char *source = file(w, from);
    char *target = file(w, to);
    char *next = file(w, "next");
    char *text = text_of(source);
    FILE *f = fopen(next, "w"); /* a new inode, as kubelet and cert-manager do it */
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(next, target), 0);
    free(text);
    free(next);
    free(target);
    free(source);
}

static void test_a_pair_is_replaced_one_by_one(void **state) {
    const world *w = *state;
    copy(w, "one.pem", "cert.pem");
    copy(w, "one.key", "key.pem");
    char *ca = file(w, "ca.pem");
    char *cert = file(w, "cert.pem");
    char *key = file(w, "key.pem");
    er_tls_settings tls = {
        .ca_file = ca, .cert_file = cert, .key_file = key, .server_name = kube_test};
    er_http_client *client = client_with((er_http_options){0}, &tls);
    assert_string_equal(ask(w, client, "127.0.0.1").subject, "client-one");
    copy(w, "two.pem", "cert.pem"); /* the key does not fit yet */
    assert_string_equal(ask(w, client, "127.0.0.1").subject, "client-one");
    assert_string_equal(ask(w, client, "127.0.0.1").subject, "client-one");
    copy(w, "two.key", "key.pem");
    assert_string_equal(ask(w, client, "127.0.0.1").subject, "client-two");
    assert_int_equal(unlink(key), 0); /* gone: what was read stays */
    assert_string_equal(ask(w, client, "127.0.0.1").subject, "client-two");
    er_http_client_free(client);
    free(ca);
    free(cert);
    free(key);
}

static void test_files_that_cannot_be_used(void **state) {
    const world *w = *state;
    char *gone = file(w, "no-such.pem");
    er_tls_settings tls = {.ca_file = gone};
    er_http_client *client = NULL;
    er_err err;
    assert_int_equal(er_http_client_new(&(er_http_options){.tls = &tls}, &client, &err),
                     ER_E_CONFIG);
    char want[256];
    (void)snprintf(want, sizeof want, "TLS: cannot open %s: No such file or directory", gone);
    assert_string_equal(err.msg, want);
    free(gone);
    /* A passphrase is never asked for. */
    char *cert = file(w, "one.pem");
    char *key = file(w, "locked.key");
    tls = (er_tls_settings){.cert_file = cert, .key_file = key, .insecure_skip_verify = true};
    answer a = ask_once(w, &tls);
    assert_int_equal(a.status, ER_E_UNAVAILABLE);
    assert_false(a.err.msg[0] == '\0');
    free(cert);
    free(key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_system_does_not_know_our_ca),
        cmocka_unit_test(test_trust_and_names),
        cmocka_unit_test(test_pem_in_memory_wins),
        cmocka_unit_test(test_a_pair_is_replaced_one_by_one),
        cmocka_unit_test(test_files_that_cannot_be_used),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
