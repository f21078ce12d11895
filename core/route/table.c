#include "route/match.h"
#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct route {
    er_matcher match;
    er_sink_set sinks;
    bool drop, final;
} route;

struct er_route_table {
    route *v;
    size_t n;
    er_sink_set all; /* without routes: everything to every sink */
    bool has_routes;
};

static int find_sink(const er_cfg_text *sinks, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (er_str_eqc(er_str_of(sinks[i].s), name)) {
            return (int)i;
        }
    }
    return -1;
}

static const char *nearest_sink(const er_cfg_text *sinks, size_t n, const char *name) {
    er_nearest nearest;
    er_nearest_init(&nearest, er_str_of(name));
    for (size_t i = 0; i < n; i++) {
        er_nearest_try(&nearest, er_str_of(sinks[i].s));
    }
    return nearest.found.p;
}

static void unknown_sink(const er_cfg_text *at, const er_cfg_text *sinks, size_t n,
                         const char *path, er_problems *problems) {
    const char *guess = nearest_sink(sinks, n, at->s);
    if (guess != NULL) {
        er_problems_add(problems, false, at->pos, path,
                        "there is no sink \"%s\"; did you mean \"%s\"?", at->s, guess);
    } else {
        er_problems_add(problems, false, at->pos, path, "there is no sink \"%s\" under sinks",
                        at->s);
    }
}

static er_status route_init(route *r, size_t index, const er_route_settings *settings,
                            const er_cfg_text *sinks, size_t sinks_n, er_problems *problems) {
    char path[64];
    (void)snprintf(path, sizeof path, "routes[%zu].match", index);
    er_status status = er_matcher_init(&r->match, &settings->match, path, problems);
    r->drop = settings->drop;
    r->final = settings->final;
    for (size_t i = 0; i < settings->sinks.n; i++) {
        const er_cfg_text *name = &settings->sinks.v[i];
        int bit = name->is_bad ? -1 : find_sink(sinks, sinks_n, name->s);
        if (bit < 0 && !name->is_bad) {
            (void)snprintf(path, sizeof path, "routes[%zu].sinks[%zu]", index, i);
            unknown_sink(name, sinks, sinks_n, path, problems);
            status = ER_E_CONFIG;
        } else if (bit >= 0) {
            r->sinks |= 1ULL << bit;
        }
    }
    return status;
}

/* What deserves a word though it is legal. */
static void warn_unreachable(const er_route_table *table, const er_cfg_list *routes,
                             er_problems *problems) {
    const er_route_settings *settings = routes->v;
    for (size_t i = 0; i + 1 < table->n; i++) {
        const route *r = &table->v[i];
        if (er_matcher_takes_all(&r->match) && (r->drop || r->final)) {
            char path[32];
            (void)snprintf(path, sizeof path, "routes[%zu]", i + 1);
            er_problems_add(problems, true, settings[i + 1].pos, path,
                            "is never reached: routes[%zu] takes everything and ends the walk", i);
            return;
        }
    }
}

static void warn_sinks(const er_route_table *table, const er_cfg_text *sinks, size_t sinks_n,
                       er_problems *problems) {
    er_sink_set named = 0;
    for (size_t i = 0; i < table->n; i++) {
        named |= table->v[i].sinks;
    }
    for (size_t i = 0; i < sinks_n; i++) {
        if ((named >> i & 1) == 0) {
            er_buf path;
            er_buf_init(&path, 4096);
            er_buf_putf(&path, "sinks.%s", sinks[i].s);
            er_problems_add(problems, true, sinks[i].pos, er_buf_cstr(&path),
                            "no route names this sink: it will get nothing");
            er_buf_fini(&path);
        }
    }
}

static void warn_gaps(const er_route_table *table, const er_cfg_list *routes,
                      er_problems *problems) {
    static const char *const causes[] = {"expired", "rewound", "oversized", "undecodable",
                                         "listIncomplete"};
    er_route_scratch *scratch = er_pattern_scratch_new();
    for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
        er_record gap = {.kind = ER_KIND_GAP,
                         .severity = ER_SEVERITY_ERROR,
                         .type = ER_STR("Warning"),
                         .reason = er_str_of(causes[i]),
                         .message = ER_STR("Gap"),
                         .cluster = ER_STR("cluster"),
                         .source_component = ER_STR("eventrouter")};
        if (er_route(table, &gap, scratch).sinks == 0) {
            er_problems_add(problems, true, routes->pos, "routes",
                            "no route takes gap records (cause %s): nobody would be told of "
                            "records that were lost; add a route with match: {kind: gap}",
                            causes[i]);
            break;
        }
    }
    er_pattern_scratch_free(scratch);
}

er_status er_route_table_new(const er_cfg_list *routes, const er_cfg_text *sinks, size_t sinks_n,
                             er_route_table **out, er_problems *problems) {
    ER_ASSERT(sinks_n <= ER_SINKS_MAX);
    er_route_table *table = er_xcalloc(1, sizeof *table);
    table->all = sinks_n == ER_SINKS_MAX ? UINT64_MAX : (1ULL << sinks_n) - 1;
    table->has_routes = routes->n > 0;
    table->v = er_xcalloc(routes->n + 1, sizeof *table->v);
    const er_route_settings *settings = routes->v;
    er_status status = ER_OK;
    for (size_t i = 0; i < routes->n; i++) {
        table->n++;
        if (route_init(&table->v[i], i, &settings[i], sinks, sinks_n, problems) != ER_OK) {
            status = ER_E_CONFIG;
        }
    }
    if (status != ER_OK) {
        er_route_table_free(table);
        return status;
    }
    if (table->has_routes && problems->errors == 0) {
        warn_unreachable(table, routes, problems);
        warn_sinks(table, sinks, sinks_n, problems);
        warn_gaps(table, routes, problems);
    }
    *out = table;
    return ER_OK;
}

void er_route_table_free(er_route_table *table) {
    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < table->n; i++) {
        er_matcher_fini(&table->v[i].match);
    }
    free(table->v);
    free(table);
}

/* True when the route takes the record: a limit is a match, but for a drop. */
static bool takes(const route *r, er_match match) {
    return match == ER_MATCH_YES || (match == ER_MATCH_LIMIT && !r->drop);
}

/* What the i-th route does with a record it takes; true when the walk ends. */
static bool take(const er_route_table *table, size_t i, er_match match, er_route_result *result) {
    const route *r = &table->v[i];
    result->sinks |= r->sinks; /* none when it drops */
    if (r->drop) {
        result->dropped_by = (int)i;
        return true;
    }
    return r->final && match == ER_MATCH_YES; /* never hide on a guess */
}

er_route_result er_route(const er_route_table *table, const er_record *rec,
                         er_route_scratch *scratch) {
    er_route_result result = {.sinks = table->has_routes ? 0 : table->all, .dropped_by = -1};
    bool ended = false;
    for (size_t i = 0; i < table->n && !ended; i++) {
        er_match match = er_matcher_match(&table->v[i].match, rec, scratch);
        result.limit_hit = result.limit_hit || match == ER_MATCH_LIMIT;
        ended = takes(&table->v[i], match) && take(table, i, match, &result);
    }
    return result;
}

size_t er_route_table_len(const er_route_table *table) {
    return table->n;
}

er_route_result er_route_explain(const er_route_table *table, const er_record *rec,
                                 er_route_scratch *scratch, er_route_step *steps) {
    er_route_result result = {.sinks = table->has_routes ? 0 : table->all, .dropped_by = -1};
    bool ended = false;
    for (size_t i = 0; i < table->n; i++) {
        er_route_step *step = &steps[i];
        *step = (er_route_step){.reached = !ended};
        if (ended) {
            continue;
        }
        er_matcher_explain(&table->v[i].match, rec, scratch, step);
        result.limit_hit = result.limit_hit || step->match == ER_MATCH_LIMIT;
        step->takes = takes(&table->v[i], step->match);
        ended = step->takes && take(table, i, step->match, &result);
        step->ends = ended;
    }
    return result;
}
