#include "route/match.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* Keys whose value is not a plain string of the record. */
#define VALUE_KIND      (SIZE_MAX - 1)
#define VALUE_SEVERITY  (SIZE_MAX - 2)
#define VALUE_EXIT_CODE (SIZE_MAX - 3)

#define SETTING(member) offsetof(er_match_settings, member)
#define VALUE(member)   offsetof(er_record, member)
static const struct {
    const char *key;
    size_t setting_at, value_at;
    unsigned only; /* 1 + the er_kind that has the value; 0: all have it */
    bool is_list;
} keys[] = {
    {"kind", SETTING(kind), VALUE_KIND},
    {"type", SETTING(type), VALUE(type)},
    {"severity", SETTING(severity), VALUE_SEVERITY},
    {"reason", SETTING(reason), VALUE(reason)},
    {"message", SETTING(message), VALUE(message)},
    {"namespace", SETTING(namespace_), VALUE(namespace_)},
    {"cluster", SETTING(cluster), VALUE(cluster)},
    {"object.kind", SETTING(object.kind), VALUE(object.kind)},
    {"object.name", SETTING(object.name), VALUE(object.name)},
    {"object.namespace", SETTING(object.namespace_), VALUE(object.namespace_)},
    {"object.apiVersion", SETTING(object.api_version), VALUE(object.api_version)},
    {"source.component", SETTING(source.component), VALUE(source_component)},
    {"source.host", SETTING(source.host), VALUE(source_host)},
    {"change.operation", SETTING(change.operation), VALUE(change.operation), 1 + ER_KIND_CHANGE},
    {"change.fields", SETTING(change.fields), VALUE(change.fields), 1 + ER_KIND_CHANGE, true},
    {"rollout.state", SETTING(rollout.state), VALUE(rollout.state), 1 + ER_KIND_ROLLOUT},
    {"restart.reason", SETTING(restart.reason), VALUE(restart.reason), 1 + ER_KIND_RESTART},
    {"restart.container", SETTING(restart.container), VALUE(restart.container),
     1 + ER_KIND_RESTART},
    {"restart.exitCode", SETTING(restart.exit_code), VALUE_EXIT_CODE, 1 + ER_KIND_RESTART},
};
#define KEYS (sizeof keys / sizeof keys[0])

static_assert(KEYS + 1 <= ER_ROUTE_MISSES_MAX, "a miss for each key and one for count");

static er_status term_init(er_match_term *term, size_t key, const er_cfg_strings *list,
                           const char *path, er_problems *problems) {
    *term = (er_match_term){
        .key = keys[key].key, .value_at = keys[key].value_at, .only = keys[key].only};
    er_pattern_set_init(&term->set, list->n, keys[key].is_list);
    er_status status = ER_OK;
    for (size_t i = 0; i < list->n; i++) {
        er_err err;
        if (!list->v[i].is_bad &&
            er_pattern_set_add(&term->set, er_str_of(list->v[i].s), &err) != ER_OK) {
            er_problems_add(problems, false, list->v[i].pos, path, "%s", err.msg);
            status = ER_E_CONFIG;
        }
    }
    return status;
}

er_status er_matcher_init(er_matcher *m, const er_match_settings *settings, const char *path,
                          er_problems *problems) {
    *m = (er_matcher){.count = settings->count};
    m->terms = er_xcalloc(KEYS, sizeof *m->terms);
    er_status status = ER_OK;
    for (size_t i = 0; i < KEYS; i++) {
        const er_cfg_strings *list =
            (const er_cfg_strings *)(const void *)((const char *)settings + keys[i].setting_at);
        if (!list->set) {
            continue;
        }
        er_buf where;
        er_buf_init(&where, 4096);
        er_buf_putf(&where, "%s.%s", path, keys[i].key);
        if (list->n == 0) {
            er_problems_add(problems, false, list->pos, er_buf_cstr(&where),
                            "an empty list matches nothing; leave the key out to match all");
            status = ER_E_CONFIG;
        } else if (term_init(&m->terms[m->n++], i, list, er_buf_cstr(&where), problems) != ER_OK) {
            status = ER_E_CONFIG;
        }
        er_buf_fini(&where);
    }
    return status;
}

void er_matcher_fini(er_matcher *m) {
    for (size_t i = 0; i < m->n; i++) {
        er_pattern_set_fini(&m->terms[i].set);
    }
    free(m->terms);
    *m = (er_matcher){0};
}

bool er_matcher_takes_all(const er_matcher *m) {
    return m->n == 0 && m->count < 0;
}

static er_str value_of(const er_record *rec, const er_match_term *term) {
    size_t value_at = term->value_at;
    if (term->only != 0 && term->only != 1 + (unsigned)rec->kind) {
        return (er_str){0};
    }
    if (value_at == VALUE_KIND) {
        return er_str_of(er_kind_name(rec->kind));
    }
    if (value_at == VALUE_SEVERITY) {
        return er_str_of(er_severity_name(rec->severity));
    }
    if (value_at == VALUE_EXIT_CODE) {
        return er_str_of(rec->restart.exit_code);
    }
    return *(const er_str *)(const void *)((const char *)rec + value_at);
}

static er_match match_term(const er_match_term *term, const er_record *rec,
                           er_pattern_scratch *scratch) {
    return er_pattern_set_match(&term->set, value_of(rec, term), scratch);
}

static bool count_suffices(const er_matcher *m, const er_record *rec) {
    return m->count < 0 || (rec->kind == ER_KIND_EVENT && rec->event.count >= m->count);
}

er_match er_matcher_match(const er_matcher *m, const er_record *rec, er_pattern_scratch *scratch) {
    if (!count_suffices(m, rec)) {
        return ER_MATCH_NO;
    }
    er_match result = ER_MATCH_YES;
    for (size_t i = 0; i < m->n; i++) {
        er_match one = match_term(&m->terms[i], rec, scratch);
        if (one == ER_MATCH_NO) {
            return ER_MATCH_NO;
        }
        result = one == ER_MATCH_LIMIT ? ER_MATCH_LIMIT : result;
    }
    return result;
}

/* ---- why ---- */

static er_route_miss explain_term(const er_match_term *term, const er_record *rec, er_match match,
                                  er_pattern_scratch *scratch) {
    er_route_miss miss = {.key = term->key, .value = value_of(rec, term)};
    const er_pattern_set *set = &term->set;
    if (match == ER_MATCH_LIMIT) {
        er_str none = er_pattern_set_find(set, true, miss.value, match, scratch);
        er_str any = er_pattern_set_find(set, false, miss.value, match, scratch);
        miss.why = ER_MISS_LIMIT;
        miss.pattern = none.n > 0 ? none : any;
        return miss;
    }
    if (miss.value.n == 0) {
        miss.why = ER_MISS_ABSENT;
        return miss;
    }
    miss.pattern = er_pattern_set_find(set, true, miss.value, ER_MATCH_YES, scratch);
    miss.why = miss.pattern.n > 0 ? ER_MISS_NOT : ER_MISS_ANY_OF;
    return miss;
}

void er_matcher_explain(const er_matcher *m, const er_record *rec, er_pattern_scratch *scratch,
                        er_route_step *step) {
    step->match = er_matcher_match(m, rec, scratch);
    for (size_t i = 0; i < m->n; i++) {
        er_match one = match_term(&m->terms[i], rec, scratch);
        if (one != ER_MATCH_YES) {
            step->misses[step->misses_n++] = explain_term(&m->terms[i], rec, one, scratch);
        }
    }
    if (!count_suffices(m, rec)) {
        step->misses[step->misses_n++] =
            (er_route_miss){.why = ER_MISS_COUNT,
                            .key = "count",
                            .count = rec->kind == ER_KIND_EVENT ? rec->event.count : -1,
                            .least = m->count};
    }
}
