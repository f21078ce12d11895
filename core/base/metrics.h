/* Counters, gauges and histograms, rendered in the Prometheus text format 0.0.4.
 *
 * Every series exists, at zero, from its registration. Names are given without the prefix
 * "eventrouter_"; those that begin with "process_" stay as they are. Labels are alternating keys
 * and values ending in NULL; values are copied. Registering the same name and labels again gives
 * the same cell. Registration aborts on a programmer's error (bad name, another type). All pointers
 * live as long as the registry. Threads: registration and rendering lock; cells are atomics, any
 * thread. NULL cells are ignored. */
#ifndef ER_BASE_METRICS_H
#define ER_BASE_METRICS_H

#include "base/buf.h"

typedef struct er_metrics er_metrics;
typedef struct er_counter er_counter;
typedef struct er_gauge er_gauge;
typedef struct er_histogram er_histogram;

er_metrics *er_metrics_new(void);
void er_metrics_free(er_metrics *m);

er_counter *er_metrics_counter(er_metrics *m, const char *name, const char *help,
                               const char *const *labels);
er_gauge *er_metrics_gauge(er_metrics *m, const char *name, const char *help,
                           const char *const *labels);
/* bounds: rising upper bounds in the metric's unit, n of them; +Inf is added. */
er_histogram *er_metrics_histogram(er_metrics *m, const char *name, const char *help,
                                   const char *const *labels, const double *bounds, size_t n);
#define ER_LABELS(...) ((const char *const[]){__VA_ARGS__, NULL})

void er_counter_add(er_counter *c, uint64_t v);
void er_counter_inc(er_counter *c);
/* For a counter that mirrors a total kept elsewhere (the ledger); never lower it. */
void er_counter_set(er_counter *c, uint64_t v);
/* A counter whose name ends in _seconds_total counts milliseconds (so do get and set) and is
 * rendered in seconds with three decimals. On any other counter: an assertion. */
void er_counter_add_ms(er_counter *c, uint64_t ms);
uint64_t er_counter_get(const er_counter *c);
void er_gauge_set(er_gauge *g, double v);
void er_histogram_observe(er_histogram *h, double v);

/* hook runs at the start of each rendering, one rendering at a time: to set cells from state that
 * must be read under one lock. */
void er_metrics_on_render(er_metrics *m, void (*hook)(void *arg), void *arg);
/* put writes whole families of its own behind the registry's. One for each registry. */
void er_metrics_append(er_metrics *m, void (*put)(void *arg, er_buf *out), void *arg);
void er_metrics_render(er_metrics *m, er_buf *out);

/* A label's value as the format wants it between its quotes; what is no UTF-8 becomes U+FFFD. */
void er_metrics_put_value(er_buf *out, er_str value);

#endif
