/* The router: sinks, streams, routes and the admin server, put together and taken apart in order.
 *
 * Threads: main only. */
#ifndef ER_APP_ROUTER_H
#define ER_APP_ROUTER_H

#include "app/app.h"

typedef struct er_router er_router;

/* Reads secrets and credentials, creates everything; no thread runs yet. Errors: ER_E_CONFIG. */
er_status er_router_new(const er_app_config *config, const er_route_table *table, er_router **out,
                        er_err *err);
/* Starts the threads. Errors: the admin address is in use, no threads. */
er_status er_router_start(er_router *router, er_err *err);

/* One turn of main's timer: ends a window of notices when it is due. */
void er_router_tick(er_router *router);

/* Streams stop, queues drain. */
void er_router_drain(er_router *router);
/* Everything is settled and no stream runs. */
bool er_router_is_drained(er_router *router);
/* Cancels transfers, ends waits and joins all threads. */
void er_router_stop(er_router *router);
/* The last log line. */
void er_router_log_ledger(er_router *router);
/* False: a thread hangs in the file system; nothing was freed, and what it was made from must stay.
 */
bool er_router_free(er_router *router);

#endif
