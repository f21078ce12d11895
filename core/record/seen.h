/* Resources of which something is remembered between frames: what one look at an object gives.
 *
 * A look takes what was remembered of the object's uid and the object as it is now, emits the
 * records of the difference, and says what to remember from here on. Pure: the same memory and
 * object give the same records, so that a look that is repeated after a crash repeats them with the
 * same ids. Memory is JSON of our own making; who calls keeps it, in memory and in the store.
 *
 * Threads: one look belongs to one thread. Ownership: drafts and slices live until emit returns;
 * memory is the caller's buffer. */
#ifndef ER_RECORD_SEEN_H
#define ER_RECORD_SEEN_H

#include "record/event.h"
#include "record/fields.h"

typedef enum er_sight {
    ER_SIGHT_BASELINE, /* the first look at all there is: remembered, and as a rule no record */
    ER_SIGHT_ADDED,    /* frames of a watch */
    ER_SIGHT_MODIFIED,
    ER_SIGHT_DELETED,
    ER_SIGHT_LISTED, /* in a list that stands for frames we did not get; what is not remembered was
                        created meanwhile */
    ER_SIGHT_GONE,   /* remembered, and not in such a list: there is no object */
} er_sight;

/* What one look saw of a Deployment, for metrics: also of changes that made no record, since their
 * families are not among those wanted. */
typedef struct er_deployment_shown {
    er_str uid, namespace_, name;
    enum { ER_SHOWN_SAME, ER_SHOWN_ADDED, ER_SHOWN_MODIFIED, ER_SHOWN_DELETED } change;
    er_families families;         /* MODIFIED */
    bool is_there;                /* false: gone, or it opted out */
    int64_t desired, actual, max; /* replicas, if it is there; -1: not known, none */
} er_deployment_shown;

typedef struct er_look {
    er_sight sight;
    const er_json *object; /* NULL: GONE */
    er_str remembered;     /* empty: nothing */
    er_time observed;
    er_time since;  /* BASELINE, LISTED: what happened later is news; ER_TIME_NONE: nothing is */
    bool recovered; /* the records come from a list after a gap */
    void *arg;
    void (*emit)(void *arg, er_draft *draft); /* zero or more times, in order */
    /* Optional: called once at the end of a look at a Deployment that succeeded. */
    void (*saw)(void *arg, const er_deployment_shown *shown);
    bool missed;    /* set when the object shows that versions of it were not seen */
    er_buf *memory; /* cleared and filled; left empty: forget the object */
} er_look;

#endif
