#include "app/router.h"

#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 20 /* while draining; how late the end may be noticed */

/* Secrets must not end in a core file, and nothing we start may gain rights. */
static void harden(void) {
    const struct rlimit none = {0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void setup_log(const er_app_config *config) {
    bool text = config->log.format == ER_LOG_TEXT ||
                (config->log.format == ER_LOG_AUTO && isatty(STDERR_FILENO) == 1);
    er_log_setup((er_log_level)config->log.level, text);
}

static void stop_signals(sigset_t *set) {
    (void)sigemptyset(set);
    (void)sigaddset(set, SIGTERM);
    (void)sigaddset(set, SIGINT);
}

/* Waits at most ms for a signal that asks us to end. */
static bool wait_signal(const sigset_t *set, int64_t ms) {
    struct timespec limit = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    return sigtimedwait(set, NULL, &limit) > 0;
}

static void serve(er_router *router, const er_app_config *config, const sigset_t *set) {
    int64_t tick = config->notices.window_ms < 1000 ? config->notices.window_ms : 1000;
    while (!wait_signal(set, tick)) {
        er_router_tick(router);
    }
}

/* Drains until everything is settled, the grace is over, or a second signal comes. */
static void shut_down(er_router *router, const er_app_config *config, const sigset_t *set) {
    er_deadline grace = er_deadline_in(config->shutdown.grace_ms);
    er_router_drain(router); /* /readyz says so before the log does */
    ER_LOG(ER_LOG_INFO, "app", "shutting down", ER_LI("graceMs", config->shutdown.grace_ms));
    while (!er_router_is_drained(router) && !er_deadline_passed(grace)) {
        er_router_tick(router);
        if (wait_signal(set, TICK_MS)) {
            ER_LOG0(ER_LOG_WARNING, "app", "a second signal: not waiting for the queues");
            break;
        }
    }
    er_router_stop(router);
}

static int run(const er_app_config *config, const er_route_table *table) {
    sigset_t set;
    stop_signals(&set);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    er_router *router = NULL;
    er_err err = {0};
    er_status status = er_router_new(config, table, &router, &err);
    if (status != ER_OK) {
        ER_LOG(ER_LOG_ERROR, "app", "cannot start", ER_LS("error", err.msg));
        return ER_EXIT_USAGE;
    }
    status = er_router_start(router, &err);
    if (status == ER_OK) {
        serve(router, config, &set);
        shut_down(router, config, &set);
        er_router_log_ledger(router);
    } else {
        ER_LOG(ER_LOG_ERROR, "app", "cannot start", ER_LS("error", err.msg));
        er_router_stop(router);
    }
    int code = status == ER_OK         ? ER_EXIT_OK
               : status == ER_E_CONFIG ? ER_EXIT_USAGE
                                       : ER_EXIT_FAILURE;
    if (!er_router_free(router)) {
        _exit(code); /* one thread may wake up until the very end, and use anything */
    }
    return code;
}

typedef struct run_options {
    const char *file;
} run_options;

const er_option er_run_options[] = {
    ER_OPTION_CONFIG(run_options, file),
    {.name = NULL},
};

static int parse_options(int argc, char **argv, const char **file) {
    run_options options = {0};
    int code = er_options_read("run", er_run_options, argc, argv, &options);
    *file = options.file;
    return code == ER_EXIT_OK && *file == NULL ? er_usage_error("run", "-c FILE is missing") : code;
}

/* With each start, in the form of all other lines. */
static void log_warnings(const er_problems *problems) {
    for (size_t i = 0; i < problems->n; i++) {
        const er_problem *one = &problems->v[i];
        ER_LOG(ER_LOG_WARNING, "config", "a setting may not be what was meant",
               ER_LS("error", one->message), /* first: the log limits lines alike up to there */
               ER_LS("setting", one->path), ER_LS("file", problems->file),
               ER_LI("line", one->pos.line), ER_LI("column", one->pos.col));
    }
}

int er_cmd_run(int argc, char **argv) {
    const char *file = NULL;
    int code = parse_options(argc, argv, &file);
    if (code != ER_EXIT_OK) {
        return code;
    }
    harden();
    er_problems problems;
    er_problems_init(&problems, file);
    er_app_config *config;
    er_route_table *table;
    er_status status = er_app_load(file, &config, &table, &problems);
    /* A place that cannot be written keeps no start back: the sink waits for it, and says so. */
    er_problems_look_outside(
        &problems, status == ER_OK ? ER_OUTSIDE_SECRETS | ER_OUTSIDE_FILES : ER_OUTSIDE_ALL,
        status != ER_OK);
    if (problems.errors > 0) {
        er_print_problems(&problems);
        code = ER_EXIT_USAGE;
    } else {
        setup_log(config);
        log_warnings(&problems);
    }
    er_problems_fini(&problems);
    if (code == ER_EXIT_OK) {
        code = run(config, table);
    }
    er_route_table_free(table);
    if (config != NULL) {
        er_config_free(&er_app_schema, config);
    }
    return code;
}
