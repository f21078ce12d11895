/* The resources that the played API server has: what each is called, and what its frames hold.
 *
 * Threads: constants and pure functions. */
#ifndef FAKE_RESOURCE_H
#define FAKE_RESOURCE_H

#include "base/buf.h"

typedef enum fake_resource {
    FAKE_EVENTS,
    FAKE_DEPLOYMENTS,
    FAKE_PODS,
    FAKE_RESOURCES, /* their number; of a request: none of them, of a filter: all of them */
} fake_resource;

typedef struct fake_resource_info {
    const char *plural;      /* "pods" */
    const char *full;        /* the same with its group, as messages say it */
    const char *kind;        /* "Pod" */
    const char *a_kind;      /* "a Pod" */
    const char *group;       /* "" or "apps" */
    const char *api_version; /* "v1" or "apps/v1" */
    const char *root;        /* of its paths: "/api/v1" */
    const char *bookmark;    /* the members of a BOOKMARK's object behind its metadata */
    const char *unstored;    /* those of one that is not stored, up to the text of a string */
} fake_resource_info;
extern const fake_resource_info fake_resources[FAKE_RESOURCES];

/* By plural and by kind; FAKE_RESOURCES: there is none of that name. */
fake_resource fake_resource_named(er_str plural);
fake_resource fake_resource_of_kind(er_str kind);
/* Of a path to a collection, and its namespace into *ns (empty: the whole cluster);
 * FAKE_RESOURCES: it is another path. */
fake_resource fake_resource_of_path(er_str path, er_str *ns);

/* A plausible object of that name, without kind and apiVersion; ns and name are quoted JSON texts,
 * object is what an Event is about. */
void fake_resource_put(fake_resource resource, er_buf *json, const char *ns, const char *name,
                       const char *object);

#endif
