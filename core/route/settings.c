#include "route/route.h"

#include "record/fields.h"

#include <string.h>

/* ---- words: keys whose values are all known, so that another one could never match ---- */

static bool is_word(er_str s) {
    return memchr(s.p, '*', s.n) == NULL && memchr(s.p, '?', s.n) == NULL &&
           !er_str_starts(s, "re:");
}

/* The first of the words, which are "a|b|c", and the rest. */
static er_str next_word(const char **words) {
    er_str word = {*words, strcspn(*words, "|")};
    *words += word.n + ((*words)[word.n] == '|' ? 1 : 0);
    return word;
}

static er_status no_such_word(er_str s, er_str guess, const char *words, er_err *err) {
    if (guess.n > 0) {
        return er_err_set(err, ER_E_CONFIG, "no record has \"%.40s\"; did you mean \"%.*s\"?", s.p,
                          (int)guess.n, guess.p);
    }
    er_buf all;
    er_buf_init(&all, 1024);
    while (*words != '\0') {
        er_buf_puts(&all, all.len == 0 ? "" : ", ");
        er_buf_put_str(&all, next_word(&words));
    }
    er_status status = er_err_set(err, ER_E_CONFIG, "no record has \"%.40s\"; there are %s", s.p,
                                  er_buf_cstr(&all));
    er_buf_fini(&all);
    return status;
}

static er_str without_bang(const char *text) {
    er_str s = er_str_of(text);
    return er_str_starts(s, "!") ? (er_str){s.p + 1, s.n - 1} : s;
}

static er_status check_words(const char *text, const char *words, er_err *err) {
    er_status status = er_pattern_check(text, err);
    er_str s = without_bang(text);
    if (status != ER_OK || !is_word(s)) {
        return status;
    }
    er_nearest nearest;
    er_nearest_init(&nearest, s);
    for (const char *rest = words; *rest != '\0';) {
        er_str word = next_word(&rest);
        if (er_str_eq(word, s)) {
            return ER_OK;
        }
        er_nearest_try(&nearest, word);
    }
    return no_such_word(s, nearest.found, words, err);
}

#define WORDS(name_, words_)                                                                       \
    static er_status name_(const char *text, er_err *err) {                                        \
        return check_words(text, words_, err);                                                     \
    }
#define KINDS      "event|change|rollout|restart|gap|notice"
#define SEVERITIES "INFO|WARNING|ERROR"
#define OPERATIONS "created|updated|deleted"
#define STATES     "started|complete|stuck|paused"
WORDS(check_kind, KINDS)
WORDS(check_severity, SEVERITIES)
WORDS(check_operation, OPERATIONS)
WORDS(check_state, STATES)
WORDS(check_families, ER_FAMILY_WORDS)

/* ---- advice: what is legal, and matches nothing that anybody sends ---- */

/* Names of the API have none of these, and a glob has no use for them. */
static er_status advise_name(const char *text, er_err *err) {
    er_str s = without_bang(text);
    bool is_meant =
        s.n > 0 && !er_str_starts(s, "re:") &&
        (strpbrk(s.p, "^$|()\\") != NULL || strstr(s.p, ".*") != NULL || strstr(s.p, ".+") != NULL);
    return is_meant ? er_err_set(err, ER_E_CONFIG,
                                 "this is a text with * and ?, not a regular expression; for one "
                                 "write \"re:%.60s\"",
                                 s.p)
                    : ER_OK;
}

/* The API's validation has long allowed no other; old objects may have them. */
static er_status advise_type(const char *text, er_err *err) {
    er_str s = without_bang(text);
    bool is_usual = er_str_eqc(s, "Normal") || er_str_eqc(s, "Warning");
    if (is_usual || s.n == 0 || !is_word(s)) {
        return ER_OK;
    }
    bool is_warning = (s.p[0] | 0x20) == 'w' || (s.p[0] | 0x20) == 'e';
    return er_err_set(err, ER_E_CONFIG,
                      "the type of Events is Normal or Warning, written so; did you mean \"%s\"?",
                      is_warning ? "Warning" : "Normal");
}

static er_status advise_object_kind(const char *text, er_err *err) {
    er_str s = without_bang(text);
    er_status status = advise_name(text, err);
    if (status != ER_OK) {
        return status;
    }
    if (s.n == 0 || s.p[0] < 'a' || s.p[0] > 'z' || er_str_starts(s, "re:")) {
        return ER_OK;
    }
    return er_err_set(err, ER_E_CONFIG,
                      "kinds of objects begin with a capital letter; did you mean \"%c%.60s\"?",
                      s.p[0] - 'a' + 'A', s.p + 1);
}

/* ---- rows ---- */

#define M(member) offsetof(er_match_settings, member)
#define FIELD(key_, member_, words_, check_, advise_, help_)                                       \
    {                                                                                              \
        .key = (key_), .type = ER_FIELD_STRINGS, .offset = M(member_), .choices = (words_),        \
        .check = (check_), .advise = (advise_), .flags = ER_FIELD_PATTERN, .help = (help_)         \
    }
#define CHECKED(key_, member_, words_, check_, help_)                                              \
    FIELD(key_, member_, words_, check_, NULL, help_)
#define ADVISED(key_, member_, advise_, help_)                                                     \
    FIELD(key_, member_, NULL, er_pattern_check, advise_, help_)
#define PATTERNS(key_, member_, help_) ADVISED(key_, member_, NULL, help_)
#define NAMES(key_, member_, help_)    ADVISED(key_, member_, advise_name, help_)

static const er_field object_rows[] = {
    ADVISED("kind", object.kind, advise_object_kind, "Kind of the object, such as Pod."),
    NAMES("name", object.name, "Name of the object."),
    NAMES("namespace", object.namespace_, "Namespace that the object claims."),
    PATTERNS("apiVersion", object.api_version, "API version of the object, such as apps/v1."),
    {.key = NULL},
};

static const er_field source_rows[] = {
    NAMES("component", source.component, "Who reported it, such as kubelet."),
    NAMES("host", source.host, "The node on which the reporter runs."),
    {.key = NULL},
};

static const er_field change_rows[] = {
    CHECKED("operation", change.operation, OPERATIONS, check_operation,
            "What was done: created, updated, deleted."),
    CHECKED("fields", change.fields, ER_FAMILY_WORDS, check_families,
            "What was changed; of several one must match: replicas, image, resources, env, "
            "volumes, probes, command, ports, strategy, labels, annotations, serviceAccount, "
            "securityContext, scheduling, other."),
    {.key = NULL},
};

static const er_field rollout_rows[] = {
    CHECKED("state", rollout.state, STATES, check_state,
            "How it stands: started, complete, stuck, paused."),
    {.key = NULL},
};

static const er_field restart_rows[] = {
    NAMES("reason", restart.reason, "Why the container ended, such as OOMKilled."),
    NAMES("container", restart.container, "Name of the container."),
    PATTERNS("exitCode", restart.exit_code, "Its exit code, as a text: 137, \"!0\"."),
    {.key = NULL},
};

static const er_field match_rows[] = {
    CHECKED("kind", kind, KINDS, check_kind,
            "Kind of the record: event, change, rollout, restart, gap, notice."),
    ADVISED("type", type, advise_type, "Normal or Warning."),
    CHECKED("severity", severity, SEVERITIES, check_severity, "INFO, WARNING or ERROR."),
    NAMES("reason", reason,
          "The Event's reason; why a container restarted; the cause of gaps and notices."),
    PATTERNS("message", message, "The message."),
    NAMES("namespace", namespace_, "The Event's own namespace."),
    NAMES("cluster", cluster, "The cluster's name."),
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
