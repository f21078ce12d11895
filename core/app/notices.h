/* Notices: what one sink lost, told to the others. Made on main, from the ledgers. */
#ifndef ER_APP_NOTICES_H
#define ER_APP_NOTICES_H

#include "watch/flow.h"
#include "watch/watch.h"

typedef struct er_notices er_notices;
er_notices *er_notices_new(er_flow *flow, er_delivery *const *deliveries, size_t n,
                           er_identity *identity, er_metrics *metrics);
void er_notices_free(er_notices *notices);
/* Ends a window: each sink and cause with losses since the last one makes a notice. Never waits; a
 * notice for which a queue has no room is lost and counted. */
void er_notices_tick(er_notices *notices);

#endif
