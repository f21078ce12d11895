#include "watch/deployments.h"

#include "record/deployment.h"
#include "route/pattern_set.h"
#include "watch/selector.h"

#include <stdlib.h>

/* ---- rows ---- */

#define D(member) offsetof(er_deployments_settings, member)

static er_status check_family(const char *text, er_err *err) {
    if (er_family_of(er_str_of(text)) != 0) {
        return ER_OK;
    }
    er_buf names;
    er_buf_init(&names, 1024);
    er_families_text((1U << ER_FAMILIES_) - 1, &names);
    er_status status = er_err_set(err, ER_E_CONFIG, "there is no family \"%.40s\"; there are %s",
                                  text, er_buf_cstr(&names));
    er_buf_fini(&names);
    return status;
}

static const er_field max_rows[] = {
    {.key = "deployment",
     .type = ER_FIELD_STRING,
     .offset = offsetof(er_max_replicas, deployment.s),
     .flags = ER_FIELD_REQUIRED,
     .max = ER_PATTERN_MAX,
     .check = er_pattern_check,
     .help = "Pattern of NAMESPACE/NAME, such as shop/web-*."},
    {.key = "max",
     .type = ER_FIELD_INT,
     .offset = offsetof(er_max_replicas, max),
     .flags = ER_FIELD_REQUIRED,
     .max = INT32_MAX,
     .help = "The most replicas it may ask for."},
    {.key = NULL},
};

const er_field er_deployments_rows[] = {
    {.key = "enabled",
     .type = ER_FIELD_BOOL,
     .offset = D(enabled),
     .def = "false",
     .help = "Watch Deployments."},
    {.key = "labelSelector",
     .type = ER_FIELD_STRING,
     .offset = D(label_selector),
     .max = 4096,
     .check = er_label_selector_check,
     .help = "Sent to the API server, such as team=payments."},
    {.key = "names",
     .type = ER_FIELD_STRINGS,
     .offset = D(names),
     .check = er_pattern_check,
     .help = "Only Deployments with such a name: patterns as in routes, \"!\" makes none-of."},
    {.key = "fields",
     .type = ER_FIELD_STRINGS,
     .offset = D(fields),
     .check = check_family,
     .help = "Only updates of these families make a record, such as image, replicas. Left out: "
             "all."},
    {.key = "ignore",
     .type = ER_FIELD_STRINGS,
     .offset = D(ignore),
     .help = "Paths whose changes count for nothing, with what is below them, such as "
             "metadata.annotations or spec.template.spec.containers.resources."},
    {.key = "diff",
     .type = ER_FIELD_ENUM,
     .offset = D(diff),
     .choices = "readable|jsonPatch|both",
     .help = "How a record tells the difference: paths with old and new values, an RFC 6902 patch "
             "of the old object, or both."},
    {.key = "redactEnv",
     .type = ER_FIELD_BOOL,
     .offset = D(redact_env),
     .def = "true",
     .help = "Values of env, and what looks like a secret elsewhere, stand as ***; that they "
             "changed is still told."},
    {.key = "maxReplicas",
     .type = ER_FIELD_LIST,
     .offset = D(max_replicas),
     .rows = max_rows,
     .elem_size = sizeof(er_max_replicas),
     .help = "More replicas than this make the change a Warning; the first that matches counts, "
             "else the annotation eventrouter.io/max-replicas."},
    {.key = "metrics",
     .type = ER_FIELD_BOOL,
     .offset = D(metrics),
     .def = "false",
     .help = "Workload metrics at /metrics: deployment_events_total, and the gauges "
             "deployment_replicas_desired, _actual and _max. Changes count whatever fields says."},
    {.key = NULL},
};

/* ---- looks ---- */

typedef struct deployments {
    er_deployment_options options;
    er_str *ignore;
    er_pattern_set names;
    const er_max_replicas *max;
    er_pattern **max_of; /* the pattern of each */
    size_t max_n;
    er_pattern_scratch *scratch;
} deployments;

static int64_t max_replicas(void *arg, er_str namespace_, er_str name) {
    const deployments *d = arg;
    er_buf both;
    er_buf_init(&both, 1024);
    er_buf_put_str(&both, namespace_);
    er_buf_putc(&both, '/');
    er_buf_put_str(&both, name);
    int64_t max = -1;
    for (size_t i = 0; i < d->max_n && max < 0; i++) {
        /* one that hits its limit counts as matched: warned too often, never too late */
        bool matches = er_pattern_match(d->max_of[i], er_buf_str(&both), d->scratch) != ER_MATCH_NO;
        max = matches ? d->max[i].max : -1;
    }
    er_buf_fini(&both);
    return max;
}

/* Texts were checked at load. */
static void take_patterns(deployments *d, const er_deployments_settings *settings) {
    er_pattern_set_init(&d->names, settings->names.n, false);
    for (size_t i = 0; i < settings->names.n; i++) {
        ER_ASSERT(er_pattern_set_add(&d->names, er_str_of(settings->names.v[i].s), NULL) == ER_OK);
    }
    d->max = settings->max_replicas.v;
    d->max_n = settings->max_replicas.n;
    d->max_of = er_xcalloc(d->max_n + 1, sizeof(er_pattern *));
    for (size_t i = 0; i < d->max_n; i++) {
        ER_ASSERT(er_pattern_new(er_str_of(d->max[i].deployment.s), &d->max_of[i], NULL) == ER_OK);
    }
}

void *er_deployments_new(const er_deployments_settings *settings, er_str key) {
    deployments *d = er_xcalloc(1, sizeof *d);
    d->scratch = er_pattern_scratch_new();
    d->ignore = er_xcalloc(settings->ignore.n + 1, sizeof *d->ignore);
    for (size_t i = 0; i < settings->ignore.n; i++) {
        d->ignore[i] = er_str_of(settings->ignore.v[i].s);
    }
    take_patterns(d, settings);
    d->options = (er_deployment_options){
        .form = (er_change_form)settings->diff,
        .redact = settings->redact_env,
        .key = key,
        .ignore = d->ignore,
        .ignore_n = settings->ignore.n,
        .max_replicas = d->max_n == 0 ? NULL : max_replicas,
        .arg = d,
    };
    for (size_t i = 0; i < settings->fields.n; i++) {
        d->options.families |= er_family_of(er_str_of(settings->fields.v[i].s));
    }
    return d;
}

void er_deployments_free(void *self) {
    deployments *d = self;
    if (d == NULL) {
        return;
    }
    er_pattern_set_fini(&d->names);
    for (size_t i = 0; i < d->max_n; i++) {
        er_pattern_free(d->max_of[i]);
    }
    free(d->max_of);
    er_pattern_scratch_free(d->scratch);
    free(d->ignore);
    free(d);
}

/* A pattern that hits its limit counts as matched: watched too often, never hidden. */
static bool is_wanted(const deployments *d, er_str name) {
    return er_pattern_set_match(&d->names, name, d->scratch) != ER_MATCH_NO;
}

er_status er_deployments_look(void *self, er_look *look, er_err *err) {
    deployments *d = self;
    /* One that has gone was remembered, so it was wanted. */
    if (look->object != NULL &&
        !is_wanted(d, er_json_str(er_json_path(look->object, "metadata", "name")))) {
        return ER_OK;
    }
    return er_deployment_look(&d->options, look, err);
}

/* ---- recalling ---- */

typedef struct recall {
    const deployments *d;
    er_look *look;
} recall;

/* The settings may have changed since it was remembered. */
static void on_recalled(void *arg, const er_deployment_shown *shown) {
    const recall *r = arg;
    if (is_wanted(r->d, shown->name)) {
        r->look->saw(r->look->arg, shown);
    }
}

void er_deployments_recall(void *self, er_look *look) {
    const deployments *d = self;
    recall r = {d, look};
    er_look inner = {.remembered = look->remembered, .saw = on_recalled, .arg = &r};
    er_deployment_recall(&d->options, &inner);
}
