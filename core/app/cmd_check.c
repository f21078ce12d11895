#include "app/rbac.h"

#include "sink/sink.h"

#include <stdio.h>
#include <string.h>

typedef struct check_options {
    const char *file;
    bool print, strict, cluster, rbac;
} check_options;

#define O(member) offsetof(check_options, member)
const er_option er_check_options[] = {
    {.name = "--config",
     .other = "-c",
     .value = "FILE",
     .offset = O(file),
     .takes_stdin = true,
     .help = "the configuration; -: standard input"},
    {.name = "--print",
     .offset = O(print),
     .help = "write it as it is in effect, with all defaults; secrets as ***"},
    {.name = "--rbac",
     .offset = O(rbac),
     .help = "write the ClusterRole or the Roles that it needs"},
    {.name = "--strict",
     .offset = O(strict),
     .help = "a warning is an error, too (also of a file that is missing here): exit code 2"},
    {.name = "--cluster",
     .offset = O(cluster),
     .help = "write which API server it would watch, and as whom; nobody is asked"},
    {.name = NULL},
};

static int parse_options(int argc, char **argv, check_options *out) {
    int code = er_options_read("check", er_check_options, argc, argv, out);
    return code == ER_EXIT_OK && out->file == NULL ? er_usage_error("check", "-c FILE is missing")
                                                   : code;
}

/* Creates each sink, which reads its secrets and certificates: what is wrong here may be right
 * where the router will run, so it is only a warning. */
static void try_sinks(const er_app_config *config, er_problems *problems) {
    er_metrics *metrics = er_metrics_new();
    er_cancel cancel;
    er_err err;
    if (er_cancel_init(&cancel, &err) == ER_OK) {
        const er_cfg_variant *sinks = config->sinks.v;
        for (size_t i = 0; i < config->sinks.n; i++) {
            const er_sink_type *type = sinks[i].user;
            er_sink_env env = {.name = sinks[i].name.s, .cancel = &cancel, .metrics = metrics};
            void *self = NULL;
            char path[128]; /* names are short */
            (void)snprintf(path, sizeof path, "sinks.%s", sinks[i].name.s);
            if (type->create(type, sinks[i].config, &env, &self, &err) == ER_OK) {
                type->destroy(self);
            } else if (!er_problems_misses(problems, path)) { /* else it repeats one of those */
                er_problems_add(problems, true, sinks[i].pos, "", "%s", err.msg);
            }
            if (type->advise != NULL && type->advise(sinks[i].config, &err) != ER_OK) {
                er_problems_add(problems, true, sinks[i].pos, "", "sinks.%s: %s", sinks[i].name.s,
                                err.msg);
            }
        }
        er_cancel_fini(&cancel);
    }
    er_metrics_free(metrics);
}

static int verdict(const check_options *options, const er_problems *problems) {
    if (problems->errors > 0) {
        return ER_EXIT_USAGE;
    }
    if (options->strict && problems->warnings > 0) {
        (void)fprintf(stderr, "%s: %zu warning%s; with --strict that is an error\n", options->file,
                      problems->warnings, problems->warnings == 1 ? "" : "s");
        return ER_EXIT_USAGE;
    }
    (void)fprintf(stderr, "%s: ok", options->file);
    if (problems->warnings > 0) {
        (void)fprintf(stderr, ", %zu warning%s", problems->warnings,
                      problems->warnings == 1 ? "" : "s");
    }
    (void)fprintf(stderr, "\n");
    return ER_EXIT_OK;
}

/* Which API server the router would watch, and with what credentials. Neither the server is asked
 * nor a plugin run: what that does with accounts and browsers is not for a check to start. */
static int print_cluster(const er_app_config *config) {
    er_kube_config *kube = NULL;
    er_err err;
    if (er_kube_config_load(&config->kubernetes, &kube, &err) != ER_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return ER_EXIT_USAGE;
    }
    er_buf text;
    er_buf_init(&text, 65536);
    er_kube_config_describe(kube, &text);
    int code = er_print(&text);
    er_buf_fini(&text);
    er_kube_config_free(kube);
    return code;
}

static int print_config(const check_options *options, const er_app_config *config) {
    er_buf text;
    er_buf_init(&text, 16u << 20);
    if (options->print) {
        er_config_print(&er_app_schema, config, &text);
    }
    if (options->rbac) {
        er_rbac_print(config, &text);
    }
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}

int er_cmd_check(int argc, char **argv) {
    check_options options = {0};
    int code = parse_options(argc, argv, &options);
    if (code != ER_EXIT_OK) {
        return code;
    }
    er_problems problems;
    er_problems_init(&problems, options.file);
    er_app_config *config;
    er_route_table *table;
    er_status status = er_app_load(options.file, &config, &table, &problems);
    er_problems_look_outside(&problems, ER_OUTSIDE_ALL,
                             true); /* they may be there where the router will run */
    if (status == ER_OK) {
        try_sinks(config, &problems);
    }
    er_print_problems(&problems);
    code = verdict(&options, &problems);
    if (code == ER_EXIT_OK && (options.print || options.rbac)) {
        code = print_config(&options, config);
    }
    if (code == ER_EXIT_OK && options.cluster) {
        code = print_cluster(config);
    }
    er_route_table_free(table);
    if (config != NULL) {
        er_config_free(&er_app_schema, config);
    }
    er_problems_fini(&problems);
    return code;
}
