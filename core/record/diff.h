/* The difference of two normal objects (normal.h): items of lists are paired by the keys of the
 * API, quantities are compared by value, and what the server fills in is no change.
 *
 * Changes come in an order in which they can be carried out one after the other on the old object
 * (RFC 6902): within a list first the changes inside of its items, then removals from the highest
 * index down, then moves, then additions from the lowest index up. Up to the additions every index
 * of a list is one of the old object.
 *
 * Threads: pure. Cost: n log n in the number of members; recursion is bounded by the depth of a
 * normal object. */
#ifndef ER_RECORD_DIFF_H
#define ER_RECORD_DIFF_H

#include "record/fields.h"

typedef enum er_diff_op {
    ER_DIFF_ADD,
    ER_DIFF_REMOVE,
    ER_DIFF_REPLACE,
    ER_DIFF_REORDER, /* of a list whose order means something; before and after are the lists */
    ER_DIFF_MOVE,    /* from an index to that of the last step */
} er_diff_op;

typedef struct er_diff_change {
    er_diff_op op;
    bool for_people, for_patch; /* some changes are said in two ways */
    er_steps steps;
    const er_json *before, *after; /* NULL: ADD, REMOVE, MOVE */
    size_t from;                   /* MOVE */
} er_diff_change;

typedef void er_diff_fn(void *arg, const er_diff_change *change);

/* Errors: ER_E_NOMEM; changes given until then stand. */
er_status er_diff(const er_json *before, const er_json *after, er_diff_fn *fn, void *arg,
                  er_err *err);

#endif
