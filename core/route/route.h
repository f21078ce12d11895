/* The route table: a record in, a set of sinks out.
 *
 * Routes are walked in order; a record collects the sinks of every route that matches. `drop` ends
 * the walk and keeps what earlier routes gave; `final` ends it for records that matched there.
 * Without routes everything goes to every sink.
 *
 * In a match, keys are and-ed; a list is any-of, items with "!" make none-of. A key that the record
 * lacks matches only a list of nothing but "!". Of a key with several values (change.fields) one
 * must match, and none may match an item with "!". A pattern that hits its limit counts as matched
 * in a route with sinks and as not matched in a drop: delivered too often, never hidden.
 *
 * Threads: a table is immutable; a scratch belongs to one thread. */
#ifndef ER_ROUTE_ROUTE_H
#define ER_ROUTE_ROUTE_H

#include "config/config.h"
#include "record/record.h"
#include "route/pattern.h"

#define ER_SINKS_MAX 64
typedef uint64_t er_sink_set; /* bit i: the i-th sink */

/* ---- settings ---- */

typedef struct er_match_settings {
    er_cfg_strings kind, type, severity, reason, message, namespace_, cluster;
    struct {
        er_cfg_strings kind, name, namespace_, api_version;
    } object;
    struct {
        er_cfg_strings component, host;
    } source;
    struct {
        er_cfg_strings operation, fields;
    } change;
    struct {
        er_cfg_strings state;
    } rollout;
    struct {
        er_cfg_strings reason, container, exit_code;
    } restart;
    int64_t count; /* least count; -1: any */
} er_match_settings;

typedef struct er_route_settings { /* an item of routes: */
    er_pos pos;
    char *name;
    er_match_settings match;
    er_cfg_strings sinks;
    bool drop, final;
} er_route_settings;
extern const er_field er_route_rows[];
er_status er_route_check(const void *settings, er_err *err); /* for check_struct */

/* ---- the table ---- */

typedef struct er_route_table er_route_table;
typedef er_pattern_scratch er_route_scratch;

/* routes: of er_route_settings. sinks: names in the order of their bits. Problems (unknown sinks,
 * routes that cannot be reached, sinks that no route names, gap records that no route takes) go to
 * problems with their positions; returns ER_E_CONFIG when one of them is an error. Also for
 * settings that had errors: what is in problems is not said again, and there are no warnings, which
 * half a table would give wrongly. */
er_status er_route_table_new(const er_cfg_list *routes, const er_cfg_text *sinks, size_t sinks_n,
                             er_route_table **out, er_problems *problems);
void er_route_table_free(er_route_table *table);

typedef struct er_route_result {
    er_sink_set sinks;
    int dropped_by; /* index of the drop route that ended the walk, or -1 */
    bool limit_hit; /* a pattern hit its limit */
} er_route_result;
er_route_result er_route(const er_route_table *table, const er_record *rec,
                         er_route_scratch *scratch);

/* ---- why: the same walk, slower ---- */

typedef enum er_miss_why {
    ER_MISS_ABSENT, /* the record lacks the key */
    ER_MISS_ANY_OF, /* no item of the list matches */
    ER_MISS_NOT,    /* the item with "!" that stands in pattern matches */
    ER_MISS_COUNT,  /* the record's count, in count, is below the least; -1: it has none */
    ER_MISS_LIMIT,  /* pattern hit its limit: no miss, but no certain match either */
} er_miss_why;

typedef struct er_route_miss {
    er_miss_why why;
    const char *key;
    er_str value;         /* the record's */
    er_str pattern;       /* ER_MISS_NOT, ER_MISS_LIMIT */
    int64_t count, least; /* ER_MISS_COUNT */
} er_route_miss;

#define ER_ROUTE_MISSES_MAX 24 /* no fewer than there are keys */
typedef struct er_route_step {
    bool reached; /* false: an earlier route ended the walk, and nothing else is filled */
    er_match match;
    bool takes; /* its sinks get the record, or it drops it: what match means in this route */
    bool ends;  /* the walk */
    er_route_miss misses[ER_ROUTE_MISSES_MAX]; /* every key that failed or hit a limit */
    size_t misses_n;
} er_route_step;

/* steps: one for each route (er_route_table_len). Returns what er_route does. Texts point into
 * record and table. */
size_t er_route_table_len(const er_route_table *table);
er_route_result er_route_explain(const er_route_table *table, const er_record *rec,
                                 er_route_scratch *scratch, er_route_step *steps);

#endif
