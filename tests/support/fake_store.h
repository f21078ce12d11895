/* The store behind the played API server: objects, every version of them, and the history of
 * changes, which all resources share.
 *
 * It is what etcd is to the real one: versions rise with each change, old ones can be compacted,
 * and the whole can be set back to an earlier version as a restored backup would. Nothing is ever
 * freed before the end: the journal keeps also what a rewind took back.
 * Threads: one. Limits: none of its own; scripts are trusted. */
#ifndef FAKE_STORE_H
#define FAKE_STORE_H

#include "fake_resource.h"

/* A resourceVersion: up to 128 bits, as KEP-5504 allows. */
__extension__ typedef unsigned __int128 fake_version;
#define FAKE_VERSION_TEXT 48
const char *fake_version_text(fake_version version, char text[FAKE_VERSION_TEXT]);
bool fake_version_parse(er_str text, fake_version *out);

typedef enum fake_change_type { FAKE_ADDED, FAKE_MODIFIED, FAKE_DELETED } fake_change_type;
extern const char *const fake_change_names[];

typedef struct fake_object { /* a name: its key stays while objects of that name come and go */
    fake_resource resource;
    char *key; /* "namespace/name" */
    size_t namespace_n;
    struct fake_change *latest; /* NULL: none since the rewind */
} fake_object;

typedef struct fake_change {
    fake_version version;
    fake_object *object;
    struct fake_change *before; /* of the same object */
    fake_change_type type;
    unsigned epoch;    /* rewinds before it */
    size_t n;          /* bytes of body */
    size_t version_at; /* where the digits of its version stand in body */
    size_t version_digits;
    char body[]; /* {"metadata":…} without kind and apiVersion; a deletion: the last content */
} fake_change;

typedef struct fake_list { /* changes, in some order */
    fake_change **v;
    size_t n, cap;
} fake_list;

typedef struct fake_store {
    fake_version version;   /* of the newest write, here or in a resource that is not played */
    fake_version compacted; /* what is below cannot be had any more */
    fake_list history;      /* by version */
    fake_list journal;      /* all there ever were */
    fake_object **table;
    size_t table_n, table_cap;
    size_t live[FAKE_RESOURCES];
    unsigned epoch;
    uint64_t uids; /* made so far */
    struct {
        bool valid;
        fake_version version;
        fake_list items;
    } snapshots[FAKE_RESOURCES];
} fake_store;

void fake_store_init(fake_store *store);
void fake_store_fini(fake_store *store);

/* The stored object of that name, NULL when there is none. */
fake_change *fake_store_find(const fake_store *store, fake_resource resource, er_str ns,
                             er_str name);
/* Writes an object: ADDED, or MODIFIED when one of its name is stored. json is one object, changed
 * on the way: kind and apiVersion go, namespace, uid and resourceVersion are filled in. wanted: the
 * version it should get if that is above the store's, else the next one is taken. */
er_status fake_store_write(fake_store *store, fake_resource resource, er_buf *json,
                           fake_version wanted, er_err *err);
/* A DELETED change; json: its last content, NULL: as stored; version: 0: the next. */
void fake_store_delete(fake_store *store, fake_object *object, er_buf *json, fake_version wanted);
/* Deletes the n oldest Events in one transaction: they share a version. Returns how many. */
size_t fake_store_expire(fake_store *store, size_t n, er_str ns);
/* As if resources that are not played had been written up to that version; false: it is not above.
 */
bool fake_store_advance(fake_store *store, fake_version version);
/* Sets the store back: what is newer is gone. */
bool fake_store_rewind(fake_store *store, fake_version version);

/* The position in the history of the first change above the version. */
size_t fake_store_after(const fake_store *store, fake_version version);
/* The objects as of that version, by key. Valid until the next call for that resource. */
const fake_list *fake_store_at(fake_store *store, fake_resource resource, fake_version version);
void fake_list_add(fake_list *list, fake_change *change);

er_str fake_change_namespace(const fake_change *change);
er_str fake_change_name(const fake_change *change);
static inline er_str fake_change_body(const fake_change *change) {
    return (er_str){change->body, change->n};
}

#endif
