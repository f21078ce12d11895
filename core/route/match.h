/* One compiled `match:`. Threads: immutable. */
#ifndef ER_ROUTE_MATCH_H
#define ER_ROUTE_MATCH_H

#include "route/pattern_set.h"
#include "route/route.h"

/* One key with its list. */
typedef struct er_match_term {
    const char *key; /* "object.kind" */
    size_t value_at; /* offset of the er_str in er_record, or what stands for a computed one */
    unsigned only;   /* 1 + the er_kind that has the value; 0: all have it */
    er_pattern_set set;
} er_match_term;

typedef struct er_matcher {
    er_match_term *terms;
    size_t n;
    int64_t count; /* -1: any */
} er_matcher;

/* Errors cannot happen in a checked configuration but for a list that holds nothing; reported at
 * its position. */
er_status er_matcher_init(er_matcher *m, const er_match_settings *settings, const char *path,
                          er_problems *problems);
void er_matcher_fini(er_matcher *m);
bool er_matcher_takes_all(const er_matcher *m);
er_match er_matcher_match(const er_matcher *m, const er_record *rec, er_pattern_scratch *scratch);
/* Fills step->match and what stood in the way; the answer is that of er_matcher_match. */
void er_matcher_explain(const er_matcher *m, const er_record *rec, er_pattern_scratch *scratch,
                        er_route_step *step);

#endif
