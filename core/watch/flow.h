/* From a record to the queues: routes it, opens what it owes, offers it to its sinks.
 *
 * The counts above the sinks balance: records = routed + unrouted + dropped by a route.
 *
 * Threads: one er_flow for the program; er_flow_emit on any stream's thread, with a scratch of its
 * own. Ownership: table and deliveries are borrowed. */
#ifndef ER_WATCH_FLOW_H
#define ER_WATCH_FLOW_H

#include "delivery/delivery.h"
#include "route/route.h"
#include "watch/tracker.h"

typedef struct er_flow_counts {
    uint64_t records, routed, unrouted, dropped;
} er_flow_counts;

typedef struct er_flow er_flow;
er_flow *er_flow_new(const er_route_table *table, er_delivery *const *deliveries, size_t n,
                     er_metrics *metrics);
void er_flow_free(er_flow *flow);
void er_flow_counts_get(er_flow *flow, er_flow_counts *out);

/* Who emits: what a blocked push needs to say. */
typedef struct er_emitter {
    er_flow *flow;
    const char *watch; /* the stream's name */
    er_route_scratch *scratch;
    er_heart *heart;
    er_counter *const *blocked; /* watch_blocked_seconds_total, one a sink */
} er_emitter;

/* Routes rec and offers it: first to the sinks that have room, then it waits for the others. slot:
 * what owes the answers; NULL: one is opened at version when a sink gets the record, and the watch
 * thread's own answer is given back. Sinks that wait may not hear of it before er_flow_wake.
 * Returns false when a push was given up: the program ends. */
bool er_flow_emit(const er_emitter *emitter, er_tracker *tracker, er_slot *slot, er_str version,
                  er_record *rec);
/* No more records are to come for now. */
void er_flow_wake(er_flow *flow);

/* For notices: offers rec to its sinks but one, never waits; returns how many had no room. */
unsigned er_flow_notice(er_flow *flow, er_record *rec, size_t except_sink,
                        er_route_scratch *scratch);

#endif
