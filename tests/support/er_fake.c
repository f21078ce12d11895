/* er_fake: a scripted Kubernetes API server and scripted HTTP sinks on 127.0.0.1.
 *
 * er_fake [--api-port N] [--sink-port N] [--control-port N] [--script FILE] [--until-stdin-closes]
 *
 * Prints one JSON line with the URLs of the three, and serves until SIGTERM or SIGINT. README.md
 * describes scripts and the control port. */
#include "fake_api.h"
#include "fake_control.h"
#include "fake_script.h"
#include "fake_sink.h"

#include "base/file.h"
#include "base/json_write.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SCRIPT_MAX ((size_t)64 << 20)

static volatile sig_atomic_t ending;

static void on_signal(int number) {
    (void)number;
    ending = 1;
}

typedef struct options {
    int ports[FAKE_ROLES];
    const char *script;
    bool until_stdin_closes;
} options;

static int usage(const char *what) {
    (void)fprintf(stderr,
                  "er_fake: %s\nusage: er_fake [--api-port N] [--sink-port N] [--control-port N]\n"
                  "               [--script FILE] [--until-stdin-closes]\n",
                  what);
    return 2;
}

static bool parse_port(const char *text, int *port) {
    uint64_t n = 0;
    if (text == NULL || !er_parse_u64(er_str_of(text), &n) || n > 65535) {
        return false;
    }
    *port = (int)n;
    return true;
}

static int parse(int argc, char **argv, options *o) {
    static const char *const ports[FAKE_ROLES] = {"--api-port", "--sink-port", "--control-port"};
    for (int i = 1; i < argc; i++) {
        int role = 0;
        while (role < FAKE_ROLES && strcmp(argv[i], ports[role]) != 0) {
            role++;
        }
        if (role < FAKE_ROLES) {
            if (!parse_port(argv[++i], &o->ports[role])) {
                return usage("a port is 0 to 65535");
            }
        } else if (strcmp(argv[i], "--until-stdin-closes") == 0) {
            o->until_stdin_closes = true;
        } else if (strcmp(argv[i], "--script") == 0 && i + 1 < argc) {
            o->script = argv[++i];
        } else {
            return usage(argv[i]);
        }
    }
    return 0;
}

static bool read_script(fake *f, const char *path) {
    er_err err;
    er_buf text;
    er_buf_init(&text, SCRIPT_MAX);
    er_status status = strcmp(path, "-") == 0 ? er_file_read_fd(STDIN_FILENO, path, &text, &err)
                                              : er_file_read(path, &text, &err);
    if (status == ER_OK) {
        (void)fake_run_new(f, er_buf_str(&text));
    } else {
        (void)fprintf(stderr, "er_fake: %s\n", err.msg);
    }
    er_buf_fini(&text);
    return status == ER_OK;
}

static void print_urls(const fake *f) {
    static const char *const names[FAKE_ROLES] = {"api", "sinks", "control"};
    char url[64];
    er_buf out;
    er_jw w;
    er_buf_init(&out, 1024);
    er_jw_init(&w, &out);
    er_jw_object(&w);
    for (int role = 0; role < FAKE_ROLES; role++) {
        (void)snprintf(url, sizeof url, "http://127.0.0.1:%d", f->listeners[role].port);
        er_jw_kstr(&w, names[role], er_str_of(url));
    }
    er_jw_object_end(&w);
    (void)printf("%s\n", er_buf_cstr(&out));
    (void)fflush(stdout);
    er_buf_fini(&out);
}

static int serve(fake *f, const options *o) {
    er_err err = {0};
    if (o->script != NULL && !read_script(f, o->script)) {
        return 2;
    }
    er_status status = fake_server_open(f, o->ports, &err);
    if (status == ER_OK) {
        print_urls(f);
        status = fake_server_run(f, o->until_stdin_closes, &err);
        fake_server_close(f);
    }
    if (status != ER_OK) {
        (void)fprintf(stderr, "er_fake: %s\n", err.msg);
    }
    return status != ER_OK || f->runs->failed ? 1 : 0;
}

int main(int argc, char **argv) {
    options o = {0};
    int code = parse(argc, argv, &o);
    if (code != 0) {
        return code;
    }
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    fake_store store;
    fake_api api;
    fake_sinks sinks;
    fake_runs runs = {0};
    fake_control control = {0};
    fake f = {.ending = &ending,
              .store = &store,
              .api = &api,
              .sinks = &sinks,
              .runs = &runs,
              .control = &control};
    fake_store_init(&store);
    fake_api_init(&api, &f);
    fake_sinks_init(&sinks, &f);
    code = serve(&f, &o);
    fake_runs_fini(&runs);
    fake_control_fini(&control);
    fake_sinks_fini(&sinks);
    fake_api_fini(&api);
    fake_store_fini(&store);
    return code;
}
