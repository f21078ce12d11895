#include "base/backoff.h"

#include "base/clock.h"

void er_backoff_init(er_backoff *b, int64_t initial_ms, int64_t max_ms) {
    *b = (er_backoff){.initial_ms = initial_ms < 1 ? 1 : initial_ms,
                      .max_ms = max_ms < 1 ? 1 : max_ms};
}

void er_backoff_reset(er_backoff *b) {
    b->attempts = 0;
}

static int64_t jitter(int64_t limit_ms, int64_t at_least_ms) {
    int64_t wait = limit_ms - (int64_t)er_random((uint64_t)limit_ms / 2 + 1);
    return wait > at_least_ms ? wait : at_least_ms;
}

int64_t er_backoff_next(er_backoff *b, int64_t at_least_ms) {
    int64_t limit = b->initial_ms;
    for (unsigned i = 0; i < b->attempts && limit < b->max_ms; i++) {
        limit *= 2;
    }
    limit = limit < b->max_ms ? limit : b->max_ms;
    b->attempts++;
    return jitter(limit, at_least_ms);
}

int64_t er_backoff_slow(er_backoff *b, int64_t at_least_ms) {
    b->attempts++;
    return jitter(b->max_ms, at_least_ms);
}
