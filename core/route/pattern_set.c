#include "route/pattern_set.h"

#include <stdlib.h>
#include <string.h>

void er_pattern_set_init(er_pattern_set *set, size_t max, bool is_list) {
    *set = (er_pattern_set){.is_list = is_list};
    set->any = er_xcalloc(max + 1, sizeof *set->any);
    set->none = er_xcalloc(max + 1, sizeof *set->none);
}

er_status er_pattern_set_add(er_pattern_set *set, er_str text, er_err *err) {
    bool is_none = er_str_starts(text, "!");
    er_pattern *pattern;
    er_status status =
        er_pattern_new(is_none ? (er_str){text.p + 1, text.n - 1} : text, &pattern, err);
    if (status != ER_OK) {
        return status;
    }
    if (is_none) {
        set->none[set->none_n++] = pattern;
    } else {
        set->any[set->any_n++] = pattern;
    }
    return ER_OK;
}

static void free_patterns(er_pattern **v, size_t n) {
    for (size_t i = 0; i < n; i++) {
        er_pattern_free(v[i]);
    }
    free(v);
}

void er_pattern_set_fini(er_pattern_set *set) {
    free_patterns(set->any, set->any_n);
    free_patterns(set->none, set->none_n);
    *set = (er_pattern_set){0};
}

/* The first item of a list, or the value; what is left of it stays in *rest. */
static er_str next_value(const er_pattern_set *set, er_str *rest) {
    const char *comma = set->is_list ? memchr(rest->p, ',', rest->n) : NULL;
    er_str value = {rest->p, comma == NULL ? rest->n : (size_t)(comma - rest->p)};
    size_t taken = comma == NULL ? rest->n : value.n + 1;
    *rest = (er_str){rest->p + taken, rest->n - taken};
    return value;
}

/* Of a list: when one of its items matches. value is not empty. */
static er_match match_value(const er_pattern_set *set, const er_pattern *pattern, er_str value,
                            er_pattern_scratch *scratch) {
    er_match result = ER_MATCH_NO;
    while (value.n > 0 && result != ER_MATCH_YES) {
        er_match one = er_pattern_match(pattern, next_value(set, &value), scratch);
        result = one == ER_MATCH_NO ? result : one;
    }
    return result;
}

/* Yes when one matches; else the limit when one hit it; else no. */
static er_match match_any(const er_pattern_set *set, er_pattern *const *v, size_t n, er_str value,
                          er_pattern_scratch *scratch) {
    er_match result = ER_MATCH_NO;
    for (size_t i = 0; i < n; i++) {
        er_match one = match_value(set, v[i], value, scratch);
        if (one == ER_MATCH_YES) {
            return ER_MATCH_YES;
        }
        result = one == ER_MATCH_LIMIT ? ER_MATCH_LIMIT : result;
    }
    return result;
}

er_match er_pattern_set_match(const er_pattern_set *set, er_str value,
                              er_pattern_scratch *scratch) {
    if (value.n == 0) {
        return set->any_n == 0 ? ER_MATCH_YES : ER_MATCH_NO;
    }
    er_match none = match_any(set, set->none, set->none_n, value, scratch);
    if (none == ER_MATCH_YES) {
        return ER_MATCH_NO;
    }
    er_match any =
        set->any_n == 0 ? ER_MATCH_YES : match_any(set, set->any, set->any_n, value, scratch);
    return any == ER_MATCH_YES ? (none == ER_MATCH_LIMIT ? ER_MATCH_LIMIT : ER_MATCH_YES) : any;
}

er_str er_pattern_set_find(const er_pattern_set *set, bool among_none, er_str value,
                           er_match answer, er_pattern_scratch *scratch) {
    er_pattern *const *v = among_none ? set->none : set->any;
    size_t n = among_none ? set->none_n : set->any_n;
    for (size_t i = 0; i < n; i++) {
        if (match_value(set, v[i], value, scratch) == answer) {
            return er_pattern_text(v[i]);
        }
    }
    return (er_str){0};
}
