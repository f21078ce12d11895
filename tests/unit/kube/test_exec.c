/* Exec plugins: what kubeconfig says of them, running them, and the credential that is shared. */
#include "http/peer.h"

#include "base/file.h"
#include "kube/kube_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LONG_MS 20000 /* a limit that no test reaches */
#define V1      "client.authentication.k8s.io/v1"

typedef struct world {
    char dir[64];
    er_kube_config *config;
} world;

static int set_up(void **state) {
    world *w = er_xcalloc(1, sizeof *w);
    (void)snprintf(w->dir, sizeof w->dir, "/tmp/er-exec-XXXXXX");
    assert_non_null(mkdtemp(w->dir));
    *state = w;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int tear_down(void **state) {
    world *w = *state;
    er_kube_config_free(w->config);
    assert_int_equal(nftw(w->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    free(w);
    return 0;
}

static const char *path_of(const world *w, const char *name) {
    static char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", w->dir, name);
    return path;
}

static void put(const world *w, const char *name, mode_t mode, const char *text) {
    char next[256];
    (void)snprintf(next, sizeof next, "%s/next", w->dir);
    FILE *f = fopen(next, "we"); /* a new inode: the old one may be running */
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fchmod(fileno(f), mode), 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(rename(next, path_of(w, name)), 0);
}

/* "plugin" is a shell script that begins in the world's folder and counts its runs in "runs". */
static void put_plugin(const world *w, const char *script) {
    er_buf text;
    er_buf_init(&text, 65536);
    er_buf_putf(&text, "#!/bin/sh\ncd %s || exit 9\necho run >>runs\n%s\n", w->dir, script);
    put(w, "plugin", 0700, er_buf_cstr(&text));
    er_buf_fini(&text);
}

static char *text_of(const world *w, const char *name) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    (void)er_file_read(path_of(w, name), &text, NULL);
    char *copy = er_dup(er_buf_cstr(&text));
    er_buf_fini(&text);
    return copy;
}

static size_t runs(const world *w) {
    char *text = text_of(w, "runs");
    size_t n = strlen(text) / strlen("run\n");
    free(text);
    return n;
}

#define KUBECONFIG(cluster, exec)                                                                  \
    "current-context: c\ncontexts: [{name: c, context: {cluster: k, user: u}}]\n"                  \
    "clusters:\n- name: k\n  cluster: " cluster "\nusers:\n- name: u\n  user:\n    exec:" exec     \
    "\n"
#define PLAIN_CLUSTER "{server: 'https://kube.example'}"
#define PLAIN                                                                                      \
    KUBECONFIG(PLAIN_CLUSTER, "\n      apiVersion: " V1 "\n      command: ./plugin\n"              \
                              "      interactiveMode: Never\n")

static er_status load(world *w, const char *kubeconfig, const char *path, er_err *err) {
    put(w, "config", 0600, kubeconfig);
    char *file = er_dup(path_of(w, "config"));
    er_kube_settings settings = {.kubeconfig = file};
    const er_kube_places places = {.path = path};
    er_status status = er_kube_config_load_from(&settings, &places, &w->config, err);
    free(file);
    return status;
}

/* The plugin of a script, without a pause between runs. */
static er_exec *plugin(world *w, const char *script) {
    put_plugin(w, script);
    er_err err;
    if (load(w, PLAIN, NULL, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    er_exec_limits(w->config->exec, LONG_MS, 0);
    return w->config->exec;
}

#define TOKEN(token, more)                                                                         \
    "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{\"token\":\"" token  \
    "\"" more "}}'"

static er_exec_credential *got(er_exec *exec) {
    er_exec_credential *credential = NULL;
    er_err err;
    if (er_exec_get(exec, NULL, NULL, &credential, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    return credential;
}

static void gives(er_exec *exec, const char *token) {
    er_exec_credential *credential = got(exec);
    assert_string_equal(credential->token, token);
    er_exec_credential_unref(credential);
}

/* The message, with "DIR" for the folder. */
static void assert_message(const world *w, const char *message, const char *want) {
    er_buf text;
    er_buf_init(&text, 4096);
    const char *rest = message;
    for (const char *at = strstr(rest, w->dir); at != NULL; at = strstr(rest, w->dir)) {
        er_buf_put(&text, rest, (size_t)(at - rest));
        er_buf_puts(&text, "DIR");
        rest = at + strlen(w->dir);
    }
    er_buf_puts(&text, rest);
    assert_string_equal(er_buf_cstr(&text), want);
    er_buf_fini(&text);
}

#define FAILED "the exec plugin DIR/./plugin of user \"u\": "

static void fails(const world *w, er_exec *exec, const char *want) {
    er_exec_credential *credential = NULL;
    er_err err;
    assert_int_equal(er_exec_get(exec, NULL, NULL, &credential, &err), ER_E_UNAVAILABLE);
    assert_int_equal(err.code, ER_E_UNAVAILABLE);
    assert_null(credential);
    assert_message(w, err.msg, want);
}

/* ---- kubeconfig ---- */

/* What gcloud writes. */
static void test_gke(void **state) {
    world *w = *state;
    put(w, "gke-gcloud-auth-plugin", 0700,
        "#!/bin/sh\ncd ${0%/*} || exit 9\nprintf %s \"$KUBERNETES_EXEC_INFO\" >info\n"
        "echo $# >args\n"
        "echo "
        "'{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\","
        "\"metadata\":{\"creationTimestamp\":null},\"spec\":{\"interactive\":false},\"status\":{"
        "\"expirationTimestamp\":\"2100-01-02T03:04:05Z\",\"token\":\"ya29.x\"}}'\n");
    char path[256];
    (void)snprintf(path, sizeof path, "relative::/no-such:%s:/usr/bin:/bin", w->dir);
    er_err err;
    assert_int_equal(
        load(w,
             KUBECONFIG(
                 "\n    certificate-authority-data: LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==\n"
                 "    server: https://192.0.2.1\n",
                 "\n      apiVersion: client.authentication.k8s.io/v1beta1\n"
                 "      args: null\n      command: gke-gcloud-auth-plugin\n      env: null\n"
                 "      installHint: Install gke-gcloud-auth-plugin for use with kubectl by "
                 "following\n        https://cloud.example/docs\n"
                 "      interactiveMode: IfAvailable\n      provideClusterInfo: true\n"),
             path, &err),
        ER_OK);
    gives(w->config->exec, "ya29.x");
    char *info = text_of(w, "info");
    assert_string_equal(
        info, "{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/"
              "v1beta1\",\"spec\":{\"cluster\":{\"server\":\"https://192.0.2.1\","
              "\"certificate-authority-data\":\"LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCg==\""
              ",\"config\":null},\"interactive\":false}}");
    char *args = text_of(w, "args");
    assert_string_equal(args, "0\n");
    free(info);
    free(args);
    er_buf text;
    er_buf_init(&text, 4096);
    er_kube_config_describe(w->config, &text);
    assert_message(w, er_buf_cstr(&text),
                   "API server:  https://192.0.2.1\ncredentials: DIR/config, context c\n"
                   "user:        exec plugin gke-gcloud-auth-plugin "
                   "(client.authentication.k8s.io/v1beta1), found, not run\n");
    er_buf_fini(&text);
}

static void test_all_of_the_cluster(void **state) {
    world *w = *state;
    put_plugin(w, "printf %s \"$KUBERNETES_EXEC_INFO\" >info\n" TOKEN("t", ""));
    put(w, "ca.pem", 0600, "PEM");
    er_err err;
    assert_int_equal(
        load(
            w,
            KUBECONFIG("\n    server: https://k.example\n    tls-server-name: name\n"
                       "    certificate-authority: ca.pem\n    proxy-url: socks5://p.example:1080\n"
                       "    disable-compression: true\n    extensions:\n"
                       "    - {name: other, extension: {a: b}}\n"
                       "    - name: client.authentication.k8s.io/exec\n"
                       "      extension: {s: 'a\"b', n: -1.5e3, i: 7, o: 007, t: true, f: 'true', "
                       "z: null, l: [1, [x]], m: {}}\n",
                       " {apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, "
                       "provideClusterInfo: true}"),
            NULL, &err),
        ER_OK);
    gives(w->config->exec, "t");
    char *info = text_of(w, "info");
    assert_string_equal(
        info, "{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"spec\":{\"cluster\":{"
              "\"server\":\"https://k.example\",\"tls-server-name\":\"name\","
              "\"certificate-authority-data\":\"UEVN\",\"proxy-url\":\"socks5://p.example:1080\","
              "\"disable-compression\":true,\"config\":{\"s\":\"a\\\"b\",\"n\":-1.5e3,\"i\":7,"
              "\"o\":\"007\",\"t\":true,\"f\":\"true\",\"z\":null,\"l\":[1,[\"x\"]],\"m\":{}}},"
              "\"interactive\":false}}");
    free(info);
}

#define EXEC(body) KUBECONFIG(PLAIN_CLUSTER, " " body)
#define OF         "exec plugin of user \"u\": "

static void test_bad_entries(void **state) {
    world *w = *state;
    put(w, "plugin", 0700, "#!/bin/sh\n");
    put(w, "data", 0600, "");
    static const struct {
        const char *text, *message; /* behind "kubernetes: DIR/config: " */
    } rows[] = {
        {EXEC("text"), "user \"u\": exec is not a map"},
        {EXEC("{command: ./plugin}"),
         OF "apiVersion must be client.authentication.k8s.io/v1 or v1beta1; update the plugin and "
            "its kubeconfig entry"},
        {EXEC("{apiVersion: client.authentication.k8s.io/v1alpha1, command: ./plugin}"),
         OF "apiVersion must be client.authentication.k8s.io/v1 or v1beta1; update the plugin and "
            "its kubeconfig entry"},
        {EXEC("{apiVersion: " V1 ", interactiveMode: Never}"), OF "command is missing"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin}"),
         OF "interactiveMode is missing; v1 asks for Never or IfAvailable"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: Always}"),
         OF "interactiveMode is Always, but a daemon has no terminal to ask on; use a plugin, or "
            "options of it, that work without one"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: never}"),
         OF "interactiveMode must be Never or IfAvailable"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, args: a}"),
         OF "args is not a list"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, args: [[a]]}"),
         OF "args is not a list of texts"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, env: [{value: a}]}"),
         OF "env is not a list of name and value"},
        {EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, "
              "env: [{name: 'a=b', value: a}]}"),
         OF "env is not a list of name and value"},
        {EXEC("{apiVersion: " V1 ", command: no-such, interactiveMode: Never, "
              "installHint: \"Get it\\n  from\\e[31m there\"}"),
         "the exec plugin no-such of user \"u\" is not found in PATH; install it: Get it "
         "from\\x1b[31m there"},
        {EXEC("{apiVersion: " V1 ", command: ./data, interactiveMode: Never}"),
         "the exec plugin DIR/./data of user \"u\" is not there, or may not be executed; install "
         "it"},
        {PLAIN "    token: s3cret\n", "user \"u\": token and exec exclude each other; remove one"},
        {KUBECONFIG("{server: 'https://k.example', extensions: [{name: "
                    "client.authentication.k8s.io/exec, extension: &a [*a]}]}",
                    " {apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, "
                    "provideClusterInfo: true}"),
         "cluster \"k\": the extension client.authentication.k8s.io/exec is too large or too deep "
         "for the plugin"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        er_err err;
        assert_int_equal(load(w, rows[i].text, "/no-such", &err), ER_E_CONFIG);
        assert_null(w->config);
        char want[600];
        (void)snprintf(want, sizeof want, "kubernetes: DIR/config: %s", rows[i].message);
        assert_message(w, err.msg, want);
    }
}

/* ---- a run ---- */

static void test_surroundings(void **state) {
    world *w = *state;
    assert_int_equal(setenv("ER_TEST_KEPT", "kept", 1), 0);
    assert_int_equal(setenv("ER_TEST_REPLACED", "old", 1), 0);
    put_plugin(
        w, "{ echo \"$0 $# $1|$2\"; echo $ER_TEST_KEPT $ER_TEST_REPLACED $ER_TEST_OWN\n"
           "echo $KUBERNETES_EXEC_INFO; readlink /proc/self/fd/0; ls /proc/$$/fd\n"
           "grep SigIgn /proc/self/status\n"
           "[ \"$(cut -d' ' -f5 /proc/$$/stat)\" = $$ ] && echo leader; } >seen\n" TOKEN("t", ""));
    er_err err;
    assert_int_equal(load(w,
                          EXEC("{apiVersion: " V1 ", command: ./plugin, interactiveMode: Never, "
                               "args: ['a  b', ''], env: [{name: ER_TEST_REPLACED, value: new}, "
                               "{name: ER_TEST_OWN, value: own}, "
                               "{name: KUBERNETES_EXEC_INFO, value: x}]}"),
                          NULL, &err),
                     ER_OK);
    /* Without O_CLOEXEC, as a library may do it. */
    int left_open[] = {dup(STDOUT_FILENO), fcntl(STDOUT_FILENO, F_DUPFD, 50)};
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct sigaction before;
    (void)sigaction(SIGPIPE, &ignore, &before);
    gives(w->config->exec, "t");
    (void)sigaction(SIGPIPE, &before, NULL);
    (void)close(left_open[0]);
    (void)close(left_open[1]);
    char *seen = text_of(w, "seen");
    /* The shell keeps what is its own from 10 on. */
    char *fds = strstr(seen, "/dev/null\n");
    assert_non_null(fds);
    fds += strlen("/dev/null\n");
    const char *masks = strstr(fds, "SigIgn");
    assert_non_null(masks);
    int extra = 0;
    for (const char *line = fds; line < masks; line = strchr(line, '\n') + 1) {
        long fd = strtol(line, NULL, 10);
        extra += (fd > 2 && fd < 10) || fd == left_open[1];
    }
    assert_int_equal(extra, 0);
    char *rest;
    unsigned long long ignored = strtoull(masks + strlen("SigIgn:\t"), &rest, 16);
    assert_int_equal(ignored >> (SIGPIPE - 1) & 1, 0);
    assert_string_equal(rest, "\nleader\n");
    *fds = '\0';
    char want[512];
    (void)snprintf(want, sizeof want,
                   "%s/./plugin 2 a  b|\nkept new own\n{\"kind\":\"ExecCredential\",\"apiVersion\":"
                   "\"" V1 "\",\"spec\":{\"interactive\":false}}\n/dev/null\n",
                   w->dir);
    assert_string_equal(seen, want);
    free(seen);
}

/* All signals are blocked in our threads. Not a shell: that makes its mask itself. */
static void test_no_signal_is_blocked(void **state) {
    (void)state;
    char grep[] = "grep";
    char what[] = "SigBlk";
    char file[] = "/proc/self/status";
    char *argv[] = {grep, what, file, NULL};
    char *envp[] = {NULL};
    const er_child child = {.path = "/bin/grep", .argv = argv, .envp = envp, .limit_ms = LONG_MS};
    er_buf out;
    er_buf_init(&out, 1024);
    er_child_end end;
    sigset_t all;
    sigset_t usual;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &usual);
    er_status status = er_child_run(&child, &out, &end, NULL);
    (void)pthread_sigmask(SIG_SETMASK, &usual, NULL);
    assert_int_equal(status, ER_OK);
    assert_string_equal(er_buf_cstr(&out), "SigBlk:\t0000000000000000\n");
    assert_int_equal(end.code, 0);
    er_buf_fini(&out);
}

static void test_bad_answers(void **state) {
    world *w = *state;
#define STATUS(body)                                                                               \
    "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":" body "}'"
    static const struct {
        const char *script, *message;
    } rows[] = {
        {":", "wrote nothing to its standard output"},
        {"echo s3cret", "wrote something else than an ExecCredential in JSON"},
        {"echo '[1]'", "wrote something else than an ExecCredential in JSON"},
        {"printf '{\"kind\":\"ExecCredential\",\"apiVer'",
         "wrote something else than an ExecCredential in JSON"},
        {"echo '{\"kind\":\"Se\\u001bcret\",\"apiVersion\":\"" V1 "\"}'",
         "answered with the kind \"Se\\x1bcret\" instead of ExecCredential"},
        {"echo "
         "'{\"kind\":\"ExecCredential\",\"apiVersion\":\"client.authentication.k8s.io/v1beta1\"}'",
         "answered with the apiVersion \"client.authentication.k8s.io/v1beta1\" instead of " V1},
        {"echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\"}'",
         "answered without a status"},
        {STATUS("{}"), "answered with neither a token nor a certificate"},
        {STATUS("{\"token\":\"s3\\ncret\"}"),
         "answered with a token that holds blanks or control characters"},
        {STATUS("{\"token\":\"t\",\"clientCertificateData\":\"c\"}"),
         "answered with clientCertificateData only; it takes both"},
        {STATUS("{\"clientKeyData\":\"k\"}"), "answered with clientKeyData only; it takes both"},
        {STATUS("{\"clientCertificateData\":\"c\",\"clientKeyData\":\"k\"}"),
         "answered with a clientCertificateData that is not a certificate in PEM"},
        {STATUS("{\"token\":\"t\",\"expirationTimestamp\":\"soon\"}"),
         "answered with the expirationTimestamp \"soon\" instead of a time of RFC 3339"},
    };
    er_exec *exec = plugin(w, ":");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put_plugin(w, rows[i].script);
        char want[400];
        (void)snprintf(want, sizeof want, FAILED "%s", rows[i].message);
        fails(w, exec, want);
    }
    assert_int_equal(runs(w), sizeof rows / sizeof rows[0]);
}

static void test_bad_ends(void **state) {
    world *w = *state;
    er_exec *exec =
        plugin(w, "echo first >&2; printf 'not \\033[1mlogged\\377 in\\n\\n' >&2; exit 3");
    fails(w, exec, FAILED "ended with exit code 3: not \\x1b[1mlogged\\xff in");
    put_plugin(w, TOKEN("t", "") "; exit 1");
    fails(w, exec, FAILED "ended with exit code 1");
    put_plugin(w, "echo oh >&2; kill -SEGV $$");
    fails(w, exec, FAILED "was ended by signal 11 (SIGSEGV): oh");
    put_plugin(w, "echo $$ >pid; exec yes 0123456789");
    fails(w, exec, FAILED "wrote more than 1048576 bytes and was ended");
    put(w, "plugin", 0700, "#!/no/such/shell\n");
    fails(w, exec, FAILED "cannot be started: No such file or directory");
    assert_int_equal(unlink(path_of(w, "plugin")), 0);
    fails(w, exec,
          "the exec plugin DIR/./plugin of user \"u\" is not there, or may not be executed; "
          "install it");
    put_plugin(w, TOKEN("t", "")); /* nothing of this sticks */
    gives(exec, "t");
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no zombie is left */
    assert_int_equal(errno, ECHILD);
}

static void assert_dead(const world *w, const char *file) {
    char *text = text_of(w, file);
    pid_t pid = (pid_t)strtol(text, NULL, 10);
    free(text);
    assert_true(pid > 1);
    /* An orphan is reaped by process 1, in a moment. */
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
    for (er_deadline by = er_deadline_in(LONG_MS); !er_deadline_passed(by);) {
        FILE *f = fopen(path, "re");
        char state = 'X';
        if (f == NULL || fscanf(f, "%*d (%*[^)]) %c", &state) != 1 || state == 'Z') {
            if (f != NULL) {
                (void)fclose(f);
            }
            return;
        }
        (void)fclose(f);
    }
    fail_msg("process %d lives on", pid);
}

/* It hangs with a child of its own that ignores SIGTERM; both are killed. */
#define HANG                                                                                       \
    "echo waiting for a browser >&2\n(trap '' TERM; echo $$ >group; exec sleep 1000) &\n"          \
    "echo $! >child; echo $$ >pid; exec sleep 1000"

static void test_a_plugin_that_hangs(void **state) {
    world *w = *state;
    er_exec *exec = plugin(w, HANG);
    er_exec_limits(exec, 1000, 0);
    int64_t began = er_mono_ms();
    fails(w, exec, FAILED "did not end within 1000 ms and was ended: waiting for a browser");
    int64_t took = er_mono_ms() - began;
    assert_true(took >= 1000 && took < LONG_MS / 2);
    assert_dead(w, "pid");
    assert_dead(w, "child");
    put_plugin(w, "while :; do echo still waiting >&2; done");
    fails(w, exec, FAILED "did not end within 1000 ms and was ended: still waiting");
}

/* What it leaves running holds the pipes open, and is not waited for. */
static void test_a_plugin_that_leaves_a_child(void **state) {
    world *w = *state;
    er_exec *exec = plugin(w, "sleep 1000 & echo $! >child\n" TOKEN("t", ""));
    int64_t began = er_mono_ms();
    gives(exec, "t");
    assert_true(er_mono_ms() - began < LONG_MS / 2);
    assert_dead(w, "child");
}

typedef struct getter {
    er_exec *exec;
    er_cancel cancel;
    er_status status;
    er_exec_credential *credential;
} getter;

static void *run_getter(void *arg) {
    getter *g = arg;
    er_err err;
    g->status = er_exec_get(g->exec, &g->cancel, NULL, &g->credential, &err);
    return NULL;
}

static void wait_file(const world *w, const char *name) {
    for (er_deadline by = er_deadline_in(LONG_MS); !er_deadline_passed(by);) {
        char *text = text_of(w, name);
        bool there = text[0] != '\0';
        free(text);
        if (there) {
            return;
        }
    }
    fail_msg("%s does not come", name);
}

/* One thread runs it, the others wait; each of them can be told to stop. */
static void test_cancelling(void **state) {
    world *w = *state;
    getter g[2] = {{.exec = plugin(w, HANG)}, {.exec = w->config->exec}};
    er_thread threads[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(er_cancel_init(&g[i].cancel, NULL), ER_OK);
        assert_int_equal(er_thread_start(&threads[i], "getter", run_getter, &g[i], NULL), ER_OK);
    }
    wait_file(w, "pid");
    int64_t began = er_mono_ms();
    for (int i = 0; i < 2; i++) {
        er_cancel_set(&g[i].cancel);
    }
    for (int i = 0; i < 2; i++) {
        er_thread_join(threads[i]);
        assert_int_equal(g[i].status, ER_E_CANCELLED);
        er_cancel_fini(&g[i].cancel);
    }
    assert_true(er_mono_ms() - began < 5000);
    assert_dead(w, "pid");
    assert_dead(w, "child");
    put_plugin(w, TOKEN("t", "")); /* and it may be run again at once */
    gives(w->config->exec, "t");
}

/* ---- the credential ---- */

#define STREAMS 32

static void test_many_streams_one_run(void **state) {
    world *w = *state;
    /* It ends when the test says so: all of them wait by then, or come later. */
    er_exec *exec = plugin(w, "while [ ! -e go ]; do :; done\n" TOKEN("t", ""));
    static getter g[STREAMS];
    er_thread threads[STREAMS];
    for (int i = 0; i < STREAMS; i++) {
        g[i] = (getter){.exec = exec};
        assert_int_equal(er_cancel_init(&g[i].cancel, NULL), ER_OK);
        assert_int_equal(er_thread_start(&threads[i], "getter", run_getter, &g[i], NULL), ER_OK);
    }
    wait_file(w, "runs");
    put(w, "go", 0600, "");
    for (int i = 0; i < STREAMS; i++) {
        er_thread_join(threads[i]);
        assert_int_equal(g[i].status, ER_OK);
        assert_ptr_equal(g[i].credential, g[0].credential);
        er_cancel_fini(&g[i].cancel);
    }
    assert_int_equal(runs(w), 1);
    put_plugin(w, TOKEN("t2", ""));
    for (int i = 0; i < STREAMS; i++) { /* all of them are refused: one run again */
        er_exec_refused(exec, g[i].credential);
        gives(exec, "t2");
    }
    assert_int_equal(runs(w), 2);
    for (int i = 0; i < STREAMS; i++) {
        er_exec_credential_unref(g[i].credential);
    }
}

static void test_runs_keep_apart(void **state) {
    world *w = *state;
    er_exec *exec = plugin(w, "echo down >&2; exit 1");
    er_exec_limits(exec, LONG_MS, 200);
    for (int i = 0; i < 3; i++) { /* the failure is everybody's */
        fails(w, exec, FAILED "ended with exit code 1: down");
    }
    assert_int_equal(runs(w), 1);
    put_plugin(w, TOKEN("t", ""));
    er_exec_credential *first = NULL;
    for (er_deadline by = er_deadline_in(LONG_MS); first == NULL && !er_deadline_passed(by);) {
        (void)er_exec_get(exec, NULL, NULL, &first, NULL);
    }
    assert_non_null(first);
    er_exec_refused(exec, first);
    gives(exec, "t"); /* it is as fresh as can be */
    assert_int_equal(runs(w), 2);
    er_exec_credential_unref(first);
}

/* The plugin says how long the token is good for. */
#define LIVES(seconds)                                                                             \
    "end=$(date -u -d '+" seconds " seconds' +%Y-%m-%dT%H:%M:%S.%NZ)\nn=$(wc -l <runs)\n"          \
    "echo $end >end\n"                                                                             \
    "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1                                      \
    "\",\"status\":{\"token\":\"t'$n'\","                                                          \
    "\"expirationTimestamp\":\"'$end'\"}}'"

static er_time end_of(const world *w) {
    char *text = text_of(w, "end");
    er_time end;
    assert_true(er_time_parse(er_str_trim(er_str_of(text)), &end));
    free(text);
    return end;
}

static void test_renewed_before_it_ends(void **state) {
    world *w = *state;
    er_exec *exec = plugin(w, LIVES("2"));
    int64_t began = er_mono_ms();
    er_exec_credential *first = got(exec);
    assert_string_equal(first->token, "t1");
    er_time end = end_of(w);
    er_exec_credential *next = got(exec);
    assert_ptr_equal(next, first);
    while (next == first && er_mono_ms() - began < LONG_MS) {
        er_exec_credential_unref(next);
        next = got(exec);
    }
    assert_string_equal(next->token, "t2");
    assert_true(er_mono_ms() - began > 1000); /* not at once: a fifth of its life before the end */
    assert_true(er_deadline_passed(first->renew_at));
    assert_true(first->renew_at.ns + 200000000 < first->ends_at.ns);
    assert_true(end_of(w) > end);
    assert_int_equal(runs(w), 2);
    er_exec_credential_unref(first);
    er_exec_credential_unref(next);
}

static void test_kept_while_it_is_valid(void **state) {
    world *w = *state;
    er_exec *exec = plugin(w, LIVES("1.5"));
    gives(exec, "t1");
    er_time end = end_of(w);
    put_plugin(w, "echo down >&2; exit 1");
    er_exec_credential *credential = NULL;
    er_status status = ER_OK;
    er_err err;
    while (status == ER_OK && runs(w) < 10000) {
        status = er_exec_get(exec, NULL, NULL, &credential, &err);
        if (status == ER_OK) {
            assert_string_equal(credential->token, "t1");
            er_exec_credential_unref(credential);
        }
    }
    assert_int_equal(status, ER_E_UNAVAILABLE);
    assert_message(w, err.msg, FAILED "ended with exit code 1: down");
    assert_true(er_time_now() >= end - 50000);
    assert_true(runs(w) > 2); /* it was tried before the end */
}

static void sh(const world *w, const char *script) {
    char *command = NULL;
    assert_true(asprintf(&command, "cd %s && { %s; } >/dev/null 2>&1", w->dir, script) > 0);
    pid_t pid = fork();
    if (pid == 0) {
        (void)execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(command);
}

#define PAIR(cert, key)                                                                            \
    "pem() { sed ':a;N;$!ba;s/\\n/\\\\n/g' $1; }\n"                                                \
    "echo '{\"kind\":\"ExecCredential\",\"apiVersion\":\"" V1 "\",\"status\":{"                    \
    "\"clientCertificateData\":\"'\"$(pem " cert ")\"'\",\"clientKeyData\":\"'\"$(pem " key        \
    ")\"'\"}}'"

static void test_a_certificate(void **state) {
    world *w = *state;
    sh(w, "for n in a b; do openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 "
          "-nodes -days 2 -subj /CN=$n -keyout $n.key -out $n.pem; done");
    er_exec *exec = plugin(w, PAIR("a.pem", "b.key"));
    fails(w, exec, FAILED "answered with a certificate and a key that do not belong together");
    put_plugin(w, PAIR("a.pem", "a.pem"));
    fails(w, exec, FAILED "answered with a clientKeyData that is not a private key in PEM");
    put_plugin(w, PAIR("a.pem", "a.key"));
    er_exec_credential *credential = got(exec);
    assert_null(credential->token);
    char *cert = text_of(w, "a.pem");
    char *key = text_of(w, "a.key");
    assert_str(er_str_trim(er_str_of(cert)), credential->cert_pem); /* $(...) takes the last LF */
    assert_str(er_str_trim(er_str_of(key)), credential->key_pem);
    free(cert);
    free(key);
    er_exec_credential_unref(credential);
}

/* ---- requests ---- */

#define LIST    "{\"metadata\":{\"resourceVersion\":\"12\"},\"items\":[]}"
#define REFUSED "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"

/* Takes the token "t2" only. */
static void serve_second(peer *p, int fd, unsigned n) {
    (void)n;
    while (peer_read(p, fd)) {
        bool good = strstr(p->request, "\r\nAuthorization: Bearer t2\r\n") != NULL;
        char answer[256];
        (void)snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
                       strlen(LIST), LIST);
        if (!peer_send(fd, good ? answer : REFUSED)) {
            return;
        }
    }
}

static void test_401(void **state) {
    world *w = *state;
    static peer p;
    peer_start(&p, serve_second, NULL);
    put_plugin(w, "n=$(wc -l <runs)\n" TOKEN("t'$n'", ""));
    char text[1024];
    (void)snprintf(text, sizeof text,
                   KUBECONFIG("{server: 'http://127.0.0.1:%d'}",
                              " {apiVersion: " V1 ", command: ./plugin, interactiveMode: Never}"),
                   p.port);
    er_err err;
    assert_int_equal(load(w, text, NULL, &err), ER_OK);
    er_exec_limits(w->config->exec, LONG_MS, 0);
    er_kube_timeouts timeouts = {.connect_ms = LONG_MS, .request_ms = LONG_MS, .idle_ms = LONG_MS};
    er_kube_client *client = NULL;
    assert_int_equal(er_kube_client_new(w->config, &timeouts, NULL, NULL, &client, &err), ER_OK);
    assert_int_equal(runs(w), 0); /* only when it is needed */
    const er_kube_query events = {.path = "/api/v1/events"};
    er_kube_page page;
    er_kube_page_init(&page);
    er_kube_answer answer = {0};
    assert_int_equal(er_kube_list(client, &events, 1, NULL, &page, &answer), ER_KUBE_UNAUTHORIZED);
    assert_int_equal(er_kube_list(client, &events, 1, NULL, &page, &answer), ER_KUBE_UNAUTHORIZED);
    assert_int_equal(runs(w), 1);
    er_kube_client_refresh(client);
    assert_int_equal(er_kube_list(client, &events, 1, NULL, &page, &answer), ER_KUBE_OK);
    assert_int_equal(er_kube_list(client, &events, 1, NULL, &page, &answer), ER_KUBE_OK);
    assert_int_equal(runs(w), 2);
    put_plugin(w, "exit 7");
    er_kube_client_refresh(client);
    assert_int_equal(er_kube_list(client, &events, 1, NULL, &page, &answer), ER_KUBE_TRANSPORT);
    assert_message(w, answer.message, FAILED "ended with exit code 7");
    er_kube_answer_fini(&answer);
    er_kube_page_fini(&page);
    er_kube_client_free(client);
    peer_stop(&p);
}

int main(void) {
    er_json_setup();
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_gke),
        TEST(test_all_of_the_cluster),
        TEST(test_bad_entries),
        TEST(test_surroundings),
        TEST(test_no_signal_is_blocked),
        TEST(test_bad_answers),
        TEST(test_bad_ends),
        TEST(test_a_plugin_that_hangs),
        TEST(test_a_plugin_that_leaves_a_child),
        TEST(test_cancelling),
        TEST(test_many_streams_one_run),
        TEST(test_runs_keep_apart),
        TEST(test_renewed_before_it_ends),
        TEST(test_kept_while_it_is_valid),
        TEST(test_a_certificate),
        TEST(test_401),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
