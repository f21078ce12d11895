#include "app/app.h"

#include "base/log.h"
#include "sinks/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C(member) offsetof(er_app_config, member)

static const er_field log_rows[] = {
    {.key = "level",
     .type = ER_FIELD_ENUM,
     .offset = C(log.level),
     .choices = "debug|info|warning|error",
     .def = "info",
     .help = "The least that is written."},
    {.key = "format",
     .type = ER_FIELD_ENUM,
     .offset = C(log.format),
     .choices = "auto|json|text",
     .def = "auto",
     .help = "auto: text on a terminal, else one JSON object a line."},
    {.key = NULL},
};

static const er_field notices_rows[] = {
    {.key = "window",
     .type = ER_FIELD_DURATION,
     .offset = C(notices.window_ms),
     .def = "10s",
     .min = 100,
     .max = 3600000,
     .help = "How often the losses of a sink are gathered into a notice."},
    {.key = NULL},
};

static const er_field shutdown_rows[] = {
    {.key = "grace",
     .type = ER_FIELD_DURATION,
     .offset = C(shutdown.grace_ms),
     .def = "25s",
     .max = 3600000,
     .help = "How long queues may drain after SIGTERM before transfers are cancelled."},
    {.key = NULL},
};

/* The name is a metric's label and part of paths. */
static er_status check_sink_name(const char *name, er_err *err) {
    er_str s = er_str_of(name);
    bool is_legal = s.n >= 1 && s.n <= 63;
    for (size_t i = 0; i < s.n && is_legal; i++) {
        char c = s.p[i];
        is_legal = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_' || c == '.';
    }
    if (!is_legal) {
        return er_err_set(err, ER_E_CONFIG,
                          "a sink's name has 1 to 63 letters, digits, \"-\", \"_\" or \".\"");
    }
    return ER_OK;
}

static er_status check_config(const void *value, er_err *err) {
    const er_app_config *config = value;
    if (config->sinks.n == 0) {
        return er_err_set(err, ER_E_CONFIG, "there is no sink: records would have nowhere to go");
    }
    if (config->sinks.n > ER_SINKS_MAX) {
        return er_err_set(err, ER_E_CONFIG, "%zu sinks; at most %d are allowed", config->sinks.n,
                          ER_SINKS_MAX);
    }
    bool watches = false;
    for (size_t i = 0; er_resources[i] != NULL; i++) {
        watches = watches || er_resources[i]->is_enabled(&config->watch);
    }
    if (!watches) {
        return er_err_set(err, ER_E_CONFIG,
                          "nothing is watched: set enabled: true of watch.events, "
                          "watch.deployments or watch.pods");
    }
    return ER_OK;
}

static const er_field rows[] = {
    {.key = "cluster",
     .type = ER_FIELD_STRING,
     .offset = C(cluster),
     .max = 253,
     .help =
         "The cluster's name in records. Left out: GKE's name of the cluster (in a pod), else the "
         "uid of namespace kube-system where the router may read it, else a checksum of the "
         "API server's address and CA."},
    {.key = "log",
     .type = ER_FIELD_STRUCT,
     .rows = log_rows,
     .help = "The program's own log, on stderr."},
    {.key = "admin",
     .type = ER_FIELD_STRUCT,
     .offset = C(admin),
     .rows = er_admin_rows,
     .help = "Metrics and health."},
    {.key = "kubernetes",
     .type = ER_FIELD_STRUCT,
     .offset = C(kubernetes),
     .rows = er_kube_rows,
     .check_struct = er_kube_check,
     .help = "The API server and how to reach it."},
    {.key = "watch",
     .type = ER_FIELD_STRUCT,
     .offset = C(watch),
     .rows = er_watch_rows,
     .check_struct = er_watch_check,
     .help = "What is watched, and how patiently."},
    {.key = "state",
     .type = ER_FIELD_STRUCT,
     .offset = C(state),
     .rows = er_state_rows,
     .check_struct = er_state_check,
     .help = "What survives a restart: how far everything is delivered."},
    {.key = "notices",
     .type = ER_FIELD_STRUCT,
     .rows = notices_rows,
     .help = "Records that tell the other sinks what one sink lost."},
    {.key = "shutdown",
     .type = ER_FIELD_STRUCT,
     .rows = shutdown_rows,
     .help = "What happens on SIGTERM."},
    {.key = "routes",
     .type = ER_FIELD_LIST,
     .offset = C(routes),
     .rows = er_route_rows,
     .elem_size = sizeof(er_route_settings),
     .check_struct = er_route_check,
     .help = "Which records go to which sinks, in order; none: everything to every sink."},
    {.key = "sinks",
     .type = ER_FIELD_VARIANTS,
     .offset = C(sinks),
     .flags = ER_FIELD_REQUIRED,
     .check = check_sink_name,
     .variant_at = er_sink_variant_at,
     .help = "Where records go: a name and its settings."},
    {.key = NULL},
};

const er_schema er_app_schema = {
    .title = "eventrouter configuration",
    .rows = rows,
    .size = sizeof(er_app_config),
    .check_struct = check_config,
};

/* Also of a file with errors, to say all at once; but without sinks, or with too many, each name
 * would only repeat that. */
static er_status compile_routes(const er_app_config *config, er_route_table **table,
                                er_problems *problems) {
    if (config->sinks.n == 0 || config->sinks.n > ER_SINKS_MAX) {
        return ER_E_CONFIG;
    }
    er_cfg_text names[ER_SINKS_MAX];
    const er_cfg_variant *sinks = config->sinks.v;
    for (size_t i = 0; i < config->sinks.n; i++) {
        names[i] = sinks[i].name;
    }
    return er_route_table_new(&config->routes, names, config->sinks.n, table, problems);
}

/* Which of the watches a route's kind comes from, and whether it runs; notices and gaps come
 * always. */
static const char *unwatched(const er_app_config *config, const char *kind) {
    const er_watch_settings *watch = &config->watch;
    const struct {
        const char *kind, *setting;
        bool enabled;
    } sources[] = {
        {"event", "watch.events.enabled", watch->events.enabled},
        {"change", "watch.deployments.enabled", watch->deployments.enabled},
        {"rollout", "watch.deployments.enabled", watch->deployments.enabled},
        {"restart", "watch.pods.enabled", watch->pods.enabled},
    };
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        if (strcmp(kind, sources[i].kind) == 0 && !sources[i].enabled) {
            return sources[i].setting;
        }
    }
    return NULL;
}

static void warn_unwatched(const er_app_config *config, er_problems *problems) {
    const er_route_settings *routes = config->routes.v;
    for (size_t i = 0; i < config->routes.n; i++) {
        const er_cfg_strings *kinds = &routes[i].match.kind;
        for (size_t k = 0; k < kinds->n && !routes[i].drop; k++) {
            const char *setting = unwatched(config, kinds->v[k].s);
            if (setting != NULL) {
                char path[64];
                (void)snprintf(path, sizeof path, "routes[%zu].match.kind", i);
                er_problems_add(problems, true, kinds->v[k].pos, path,
                                "no record is of kind %s, since %s is false", kinds->v[k].s,
                                setting);
            }
        }
    }
}

er_status er_app_load(const char *file, er_app_config **config, er_route_table **table,
                      er_problems *problems) {
    void *loaded = NULL;
    *config = NULL;
    *table = NULL;
    er_status status = er_config_load(file, &er_app_schema, &loaded, problems);
    if (loaded != NULL && compile_routes(loaded, table, problems) != ER_OK) {
        status = ER_E_CONFIG;
    }
    if (loaded != NULL && er_sinks_check(&((er_app_config *)loaded)->sinks, problems) != ER_OK) {
        status = ER_E_CONFIG;
    }
    if (loaded != NULL && status == ER_OK) {
        warn_unwatched(loaded, problems);
    }
    if (status != ER_OK) {
        er_route_table_free(*table);
        *table = NULL;
        er_config_free(&er_app_schema, loaded);
        return status;
    }
    *config = loaded;
    return ER_OK;
}
