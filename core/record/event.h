/* Events of core/v1 -> records of kind event; gap and notice records.
 *
 * Each function fills a draft whose slices borrow from its arguments and from the draft itself; the
 * caller adds what it alone knows (cluster, countDelta, recovered) and seals it.
 * Source: Kubernetes API reference, Event v1 core; KEP-383 for series. Threads: pure. */
#ifndef ER_RECORD_EVENT_H
#define ER_RECORD_EVENT_H

#include "base/json_read.h"
#include "record/record.h"

typedef struct er_draft {
    er_record rec; /* rec.id points to id */
    char id[ER_ID_MAX];
    char text[256]; /* message of gap and notice records */
} er_draft;

/* object: an Event as the API server sends it (kind and apiVersion may be missing, as in lists).
 * count_delta is left at -1. Errors: ER_E_INVAL when it has no metadata.uid or resourceVersion. */
er_status er_draft_event(const er_json *object, er_time observed, er_draft *draft, er_err *err);

/* A time of an object; ER_TIME_NONE for what nobody set: null, absent, year 1 (Go's zero time),
 * 1970 (a zero stamp), and for what is no time. */
er_time er_usable_time(const er_json *node);

/* part: everything of the gap; stream_id: what names the stream for ever (cluster id, resource,
 * scope, selector); n: 1 for the first gap record made since part->from_version, 2 for the next. */
void er_draft_gap(const er_gap_part *part, er_str stream_id, unsigned n, er_time observed,
                  er_draft *draft);

/* scope_id: the cluster id. */
void er_draft_notice(const er_notice_part *part, er_str scope_id, er_time observed,
                     er_draft *draft);

#endif
