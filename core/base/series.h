/* Series that come and go with what they are about: labels hold names of objects, so their number
 * has a cap. Rendered behind the registry's own, under their bare names.
 *
 * A counter goes when it has not changed for its life, a gauge when its owner takes it away or no
 * longer sets it. An update that finds no room is counted in
 * eventrouter_workload_series_overflow_total{metric}; eventrouter_workload_series says how many
 * there are. Label values are cut to 256 bytes.
 *
 * Threads: any; one lock, which rendering takes as well. Times are er_mono_ms. Memory: the cap
 * times a series of at most 4 KiB, nothing else. Source: Prometheus text format 0.0.4. */
#ifndef ER_BASE_SERIES_H
#define ER_BASE_SERIES_H

#include "base/metrics.h"

#define ER_SERIES_LABELS 4

typedef struct er_series_family {
    const char *name, *help;
    bool is_gauge;
    const char *keys[ER_SERIES_LABELS]; /* NULL behind the last */
} er_series_family;

typedef struct er_series er_series;
/* families: borrowed, n of them; max: series of all of them together; life_ms: of counters. One for
 * each registry; it must outlive the last rendering. */
er_series *er_series_new(const er_series_family *families, size_t n, size_t max, int64_t life_ms,
                         er_metrics *m);
void er_series_free(er_series *s);

/* at: of a family in the array; values: one for each of its keys. */
void er_series_add(er_series *s, size_t at, const er_str *values, uint64_t n, int64_t now_ms);

/* Who sets a gauge. Labels that two objects have one after the other belong to the later. */
typedef struct er_series_owner {
    uint64_t id;       /* hash of the object's uid */
    const void *scope; /* who looks at it */
    uint64_t round;    /* of looking at all that the scope has */
} er_series_owner;
void er_series_set(er_series *s, size_t at, const er_str *values, const er_series_owner *owner,
                   int64_t v, int64_t now_ms);
/* Takes it away when it is that owner's: id and scope. */
void er_series_remove(er_series *s, size_t at, const er_str *values, const er_series_owner *owner);
/* Takes away the gauges of a scope that were set in another round. */
void er_series_sweep(er_series *s, const void *scope, uint64_t round);
/* Takes away counters that are over; rendering does it, too. */
void er_series_expire(er_series *s, int64_t now_ms);

#endif
