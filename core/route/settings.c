#include "route/route.h"

#include "record/fields.h"

#include <string.h>

/* ---- words: keys whose values are all known, so that another one could never match ---- */

static bool is_word(er_str s) {
    return memchr(s.p, '*', s.n) == NULL && memchr(s.p, '?', s.n) == NULL &&
           !er_str_starts(s, "re:");
}

static er_status check_words(const char *text, const char *const *words, size_t n, er_err *err) {
    er_status status = er_pattern_check(text, err);
    er_str s = er_str_of(text);
    if (er_str_starts(s, "!")) {
        s = (er_str){s.p + 1, s.n - 1};
    }
    if (status != ER_OK || !is_word(s)) {
        return status;
    }
    const char *guess = NULL;
    unsigned best = 3;
    for (size_t i = 0; i < n; i++) {
        unsigned d = er_str_distance(er_str_of(words[i]), s);
        if (er_str_eqc(s, words[i])) {
            return ER_OK;
        }
        if (d < best) {
            best = d;
            guess = words[i];
        }
    }
    er_buf all;
    er_buf_init(&all, 1024);
    for (size_t i = 0; i < n; i++) {
        er_buf_putf(&all, "%s%s", i == 0 ? "" : ", ", words[i]);
    }
    status = guess == NULL
                 ? er_err_set(err, ER_E_CONFIG, "no record has \"%.40s\"; there are %s", s.p,
                              er_buf_cstr(&all))
                 : er_err_set(err, ER_E_CONFIG, "no record has \"%.40s\"; did you mean \"%s\"?",
                              s.p, guess);
    er_buf_fini(&all);
    return status;
}

#define WORDS(name_, ...)                                                                          \
    static er_status name_(const char *text, er_err *err) {                                        \
        static const char *const words[] = {__VA_ARGS__};                                          \
        return check_words(text, words, sizeof words / sizeof *words, err);                        \
    }
WORDS(check_kind, "event", "change", "rollout", "restart", "gap", "notice")
WORDS(check_severity, "INFO", "WARNING", "ERROR")
WORDS(check_operation, "created", "updated", "deleted")
WORDS(check_state, "started", "complete", "stuck", "paused")

static er_status check_families(const char *text, er_err *err) {
    const char *words[ER_FAMILIES_];
    for (unsigned i = 0; i < ER_FAMILIES_; i++) {
        words[i] = er_family_name((er_family)i);
    }
    return check_words(text, words, ER_FAMILIES_, err);
}

/* ---- rows ---- */

#define M(member) offsetof(er_match_settings, member)
#define CHECKED(key_, member_, check_, help_)                                                      \
    {                                                                                              \
        .key = (key_), .type = ER_FIELD_STRINGS, .offset = M(member_), .check = (check_),          \
        .help = (help_)                                                                            \
    }
#define PATTERNS(key_, member_, help_) CHECKED(key_, member_, er_pattern_check, help_)

static const er_field object_rows[] = {
    PATTERNS("kind", object.kind, "Kind of the object, such as Pod."),
    PATTERNS("name", object.name, "Name of the object."),
    PATTERNS("namespace", object.namespace_, "Namespace that the object claims."),
    PATTERNS("apiVersion", object.api_version, "API version of the object, such as apps/v1."),
    {.key = NULL},
};

static const er_field source_rows[] = {
    PATTERNS("component", source.component, "Who reported it, such as kubelet."),
    PATTERNS("host", source.host, "The node on which the reporter runs."),
    {.key = NULL},
};

static const er_field change_rows[] = {
    CHECKED("operation", change.operation, check_operation,
            "What was done: created, updated, deleted."),
    CHECKED("fields", change.fields, check_families,
            "What was changed; of several one must match: replicas, image, resources, env, "
            "volumes, probes, command, ports, strategy, labels, annotations, serviceAccount, "
            "securityContext, scheduling, other."),
    {.key = NULL},
};

static const er_field rollout_rows[] = {
    CHECKED("state", rollout.state, check_state,
            "How it stands: started, complete, stuck, paused."),
    {.key = NULL},
};

static const er_field restart_rows[] = {
    PATTERNS("reason", restart.reason, "Why the container ended, such as OOMKilled."),
    PATTERNS("container", restart.container, "Name of the container."),
    PATTERNS("exitCode", restart.exit_code, "Its exit code, as a text: 137, \"!0\"."),
    {.key = NULL},
};

static const er_field match_rows[] = {
    CHECKED("kind", kind, check_kind,
            "Kind of the record: event, change, rollout, restart, gap, notice."),
    PATTERNS("type", type, "Normal or Warning."),
    CHECKED("severity", severity, check_severity, "INFO, WARNING or ERROR."),
    PATTERNS("reason", reason,
             "The Event's reason; why a container restarted; the cause of gaps and notices."),
    PATTERNS("message", message, "The message."),
    PATTERNS("namespace", namespace_, "The Event's own namespace."),
    PATTERNS("cluster", cluster, "The cluster's name."),
    {.key = "object",
     .type = ER_FIELD_STRUCT,
     .rows = object_rows,
     .help = "The object the record is about."},
    {.key = "source", .type = ER_FIELD_STRUCT, .rows = source_rows, .help = "Who reported it."},
    {.key = "change",
     .type = ER_FIELD_STRUCT,
     .rows = change_rows,
     .help = "A change of a Deployment."},
    {.key = "rollout",
     .type = ER_FIELD_STRUCT,
     .rows = rollout_rows,
     .help = "The rollout of a Deployment."},
    {.key = "restart",
     .type = ER_FIELD_STRUCT,
     .rows = restart_rows,
     .help = "Of restart records: how the container ended."},
    {.key = "count",
     .type = ER_FIELD_INT,
     .offset = M(count),
     .flags = ER_FIELD_UNSET,
     .min = 1,
     .max = INT32_MAX,
     .help = "Least count: matches Events that happened this often."},
    {.key = NULL},
};

#define R(member) offsetof(er_route_settings, member)
const er_field er_route_rows[] = {
    ER_FIELD_POS(er_route_settings, pos),
    {.key = "name",
     .type = ER_FIELD_STRING,
     .offset = R(name),
     .max = 63,
     .help = "For people: shown by check and in metrics; by default the position, from 1."},
    {.key = "match",
     .type = ER_FIELD_STRUCT,
     .offset = R(match),
     .rows = match_rows,
     .help = "Which records; keys are and-ed, a list is any-of, \"!\" makes none-of. Texts are "
             "exact, globs (*, ?) or re:EXPRESSION. Left out: all."},
    {.key = "sinks",
     .type = ER_FIELD_STRINGS,
     .offset = R(sinks),
     .help = "Names of the sinks that get the records."},
    {.key = "drop",
     .type = ER_FIELD_BOOL,
     .offset = R(drop),
     .help = "Ends the walk; what earlier routes gave stays."},
    {.key = "final",
     .type = ER_FIELD_BOOL,
     .offset = R(final),
     .help = "Ends the walk for records that matched here."},
    {.key = NULL},
};

er_status er_route_check(const void *settings, er_err *err) {
    const er_route_settings *route = settings;
    if (route->drop && route->sinks.n > 0) {
        return er_err_set(err, ER_E_CONFIG,
                          "has both sinks and drop; a route either delivers or drops");
    }
    if (!route->drop && route->sinks.n == 0) {
        return er_err_set(err, ER_E_CONFIG,
                          "has neither sinks nor drop; name the sinks or set drop: true");
    }
    return ER_OK;
}
