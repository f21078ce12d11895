/* What can be watched: a row each.
 *
 * Events are records as they come. Of the others something is remembered between frames, and the
 * records are the differences (record/seen.h).
 *
 * Threads: constant. */
#ifndef ER_WATCH_RESOURCE_H
#define ER_WATCH_RESOURCE_H

#include "record/seen.h"

struct er_watch_settings;

typedef struct er_resource {
    const char *name;  /* of the stream, and in its path */
    const char *group; /* "" for core/v1 */
    const char *api;   /* "/api/v1" */
    bool has_authors;  /* managedFields are read */
    bool (*is_enabled)(const struct er_watch_settings *settings);
    const char *(*label_selector)(const struct er_watch_settings *settings); /* NULL: none */
    /* Optional. What looks need: made by the stream once the store was read; key: see er_state_key.
     */
    void *(*make)(const struct er_watch_settings *settings, er_str key);
    void (*free)(void *made);
    /* NULL: Events. made: NULL without make. */
    er_status (*look)(void *made, er_look *look, er_err *err);
    bool (*has_metrics)(const struct er_watch_settings *settings); /* NULL: none */
    /* Optional, for metrics: look->saw gets what look->remembered says. */
    void (*recall)(void *made, er_look *look);
} er_resource;

extern const er_resource *const er_resources[]; /* NULL at the end */

#endif
