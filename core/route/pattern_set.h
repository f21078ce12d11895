/* What a list of patterns takes: any of them, and none of those with "!".
 *
 * Threads: immutable once filled. */
#ifndef ER_ROUTE_PATTERN_SET_H
#define ER_ROUTE_PATTERN_SET_H

#include "route/pattern.h"

typedef struct er_pattern_set {
    er_pattern **any, **none;
    size_t any_n, none_n;
    bool is_list; /* the value is a list with commas: one item that matches is enough */
} er_pattern_set;

void er_pattern_set_init(er_pattern_set *set, size_t max, bool is_list);
/* text: an item of the list, at most max of them. Errors: as er_pattern_new. */
er_status er_pattern_set_add(er_pattern_set *set, er_str text, er_err *err);
void er_pattern_set_fini(er_pattern_set *set);

/* Of an empty value only a list of nothing but "!" is true. ER_MATCH_LIMIT: the answer hangs on a
 * pattern that hit its limit. */
er_match er_pattern_set_match(const er_pattern_set *set, er_str value, er_pattern_scratch *scratch);

/* Why the answer was so: the text of the first pattern among them that gives it; "" when none does.
 */
er_str er_pattern_set_find(const er_pattern_set *set, bool among_none, er_str value,
                           er_match answer, er_pattern_scratch *scratch);

#endif
