/* How long to wait before the next attempt: between half of a limit and all of it, at random, where
 * the limit doubles from initial to max. The lower half is left out so that the number of attempts
 * in an outage has a bound. Threads: one. */
#ifndef ER_BASE_BACKOFF_H
#define ER_BASE_BACKOFF_H

#include <stdint.h>

typedef struct er_backoff {
    int64_t initial_ms, max_ms;
    unsigned attempts; /* in a row */
} er_backoff;

void er_backoff_init(er_backoff *b, int64_t initial_ms, int64_t max_ms);
void er_backoff_reset(er_backoff *b);
/* The wait before the next attempt; at_least: what the peer asked for (0 or less: nothing). */
int64_t er_backoff_next(er_backoff *b, int64_t at_least_ms);
/* The slow probe of an endpoint that denies us: the limit is max at once. */
int64_t er_backoff_slow(er_backoff *b, int64_t at_least_ms);

#endif
