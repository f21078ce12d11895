/* The resume point of one stream, as it is stored.
 *
 * Threads: plain data. */
#ifndef ER_STATE_POINT_H
#define ER_STATE_POINT_H

#include "base/buf.h"
#include "base/clock.h"

#define ER_POINT_VERSION_MAX  40
#define ER_POINT_ID_MAX       72
#define ER_POINT_SELECTOR_MAX 4097

typedef enum er_point_mark {
    ER_POINT_FIRST,  /* the stream's first start has not come to its first resume point */
    ER_POINT_RESUME, /* version is the resume point */
    ER_POINT_LIST,   /* everything is to be listed and emitted, and a gap record says why */
    ER_POINT_MARKS_,
} er_point_mark;
const char *er_point_mark_name(er_point_mark mark); /* first resume list */

typedef struct er_point {
    er_point_mark mark;
    char version[ER_POINT_VERSION_MAX]; /* everything up to it is settled; RESUME only */
    er_time watched_until;              /* the stream is known complete up to then, or NONE */
    er_time written;                    /* when this was stored */
    char cluster_id[ER_POINT_ID_MAX];   /* "": not known yet */
    char selector[ER_POINT_SELECTOR_MAX];
    /* LIST: the gap record that is due; its watched_until is the gap's beginning. */
    char gap_cause[16]; /* rewound noState */
    char gap_from[ER_POINT_VERSION_MAX];
} er_point;

/* Equal in all that matters to a start; the times do not. */
bool er_point_eq(const er_point *a, const er_point *b);

/* rows: how many other rows the stream has. */
void er_point_json(const er_point *point, size_t rows, er_buf *out);
/* Errors: ER_E_INVAL: not written by us. */
er_status er_point_parse(er_str json, er_point *point, size_t *rows, er_err *err);

#endif
