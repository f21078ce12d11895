/* How often each Event had happened when it was last seen: what countDelta is made of.
 *
 * A bounded memory by uid: 65,536 Events at the most, the longest unused of a group of eight makes
 * room; what was forgotten costs a countDelta, nothing else. Threads: one stream. */
#ifndef ER_WATCH_TOTALS_H
#define ER_WATCH_TOTALS_H

#include "base/str.h"

typedef struct er_totals er_totals;
er_totals *er_totals_new(void);
void er_totals_free(er_totals *totals);

/* Remembers total and returns the last one known, or -1. */
int64_t er_totals_swap(er_totals *totals, er_str uid, int64_t total);
void er_totals_forget(er_totals *totals, er_str uid);

#endif
