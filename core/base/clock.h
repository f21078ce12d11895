/* Time. Inside the program time is monotonic; wall-clock time is only for records and log lines.
 *
 * Threads: any. */
#ifndef ER_BASE_CLOCK_H
#define ER_BASE_CLOCK_H

#include "base/str.h"

int64_t er_mono_ns(void); /* CLOCK_MONOTONIC */
int64_t er_mono_ms(void);

/* A moment on the monotonic clock. */
typedef struct er_deadline {
    int64_t ns;
} er_deadline;
#define ER_DEADLINE_NEVER ((er_deadline){INT64_MAX})
er_deadline er_deadline_in(int64_t ms);     /* negative: now; INT64_MAX: never */
int64_t er_deadline_left_ms(er_deadline d); /* rounded up, at least 0; never: INT64_MAX */
bool er_deadline_passed(er_deadline d);
er_deadline er_deadline_min(er_deadline a, er_deadline b);

/* Wall-clock time: microseconds since 1970 UTC. */
typedef int64_t er_time;
#define ER_TIME_NONE INT64_MIN
er_time er_time_now(void);

/* RFC 3339 (section 5.6): any offset, any number of fraction digits (cut to microseconds), a leap
 * second counts as :59. False for anything else. */
bool er_time_parse(er_str text, er_time *out);

/* "2026-01-02T03:04:05Z", with six fraction digits only when they are not zero. Years 0 to 9999;
 * outside of them the nearest end is written. */
#define ER_TIME_TEXT 40
const char *er_time_format(er_time t, char text[ER_TIME_TEXT]);

/* A uniform random number in [0, n); n > 0. Not for security. */
uint64_t er_random(uint64_t n);

#endif
