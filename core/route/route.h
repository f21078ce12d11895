/* The route table: a record in, a set of sinks out.
 *
 * Routes are walked in order; a record collects the sinks of every route that matches. `drop` ends
 * the walk and keeps what earlier routes gave; `final` ends it for records that matched there.
 * Without routes everything goes to every sink.
 *
 * In a match, keys are and-ed; a list is any-of, items with "!" make none-of. A key that the record
 * lacks matches only a list of nothing but "!". A pattern that hits its limit counts as matched in
 * a route with sinks and as not matched in a drop: delivered too often, never hidden.
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

#endif
