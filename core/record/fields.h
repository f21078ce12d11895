/* What the fields of a Deployment mean: how the items of its lists are told apart, which values the
 * server fills in, and the family each field belongs to.
 *
 * Source: Kubernetes API reference, DeploymentSpec and PodSpec (listMapKey, patchMergeKey,
 * defaults). Threads: pure. */
#ifndef ER_RECORD_FIELDS_H
#define ER_RECORD_FIELDS_H

#include "base/buf.h"
#include "base/json_read.h"

/* ---- where a value is ---- */

typedef enum er_step_kind {
    ER_STEP_FIELD, /* a member of an object */
    ER_STEP_ITEM,  /* an item of a list whose items have keys */
    ER_STEP_INDEX, /* an item of another list */
} er_step_kind;

typedef struct er_step {
    er_step_kind kind;
    er_str name;             /* FIELD */
    const er_json *item;     /* ITEM: the item */
    const char *const *keys; /* ITEM: names of its key members; NULL ends */
    size_t index;            /* ITEM, INDEX */
} er_step;

typedef struct er_steps {
    const er_step *v;
    size_t n;
} er_steps;

/* spec.template.spec.containers[name=web].image; keys of maps that are no plain words stand in
 * brackets: metadata.annotations[kubernetes.io/change-cause]. */
void er_steps_path(er_steps steps, er_buf *out);
/* RFC 6901: /spec/template/spec/containers/0/image */
void er_steps_pointer(er_steps steps, er_buf *out);
er_str er_steps_field(er_steps steps); /* name of the innermost FIELD; "" when there is none */
/* Appends the text of a key member of an item; TCP for a port without a protocol. */
void er_steps_key(const er_step *item, const char *key, er_buf *out);

/* ---- lists and defaults ---- */

const char *const *er_fields_list_keys(er_str list); /* NULL: atomic, items have no keys */
bool er_fields_is_ordered(er_str list); /* a list with keys whose order means something */
bool er_fields_is_map(er_str field);    /* labels and the like: any keys, short values */
bool er_fields_is_quantity(er_steps steps);

/* The value that the server gives the field when nobody does. */
bool er_fields_is_default(er_steps steps, const er_json *node);

/* ---- families ---- */

#define ER_FAMILY_LIST(X)                                                                          \
    X(REPLICAS, "replicas")                                                                        \
    X(IMAGE, "image")                                                                              \
    X(RESOURCES, "resources")                                                                      \
    X(ENV, "env")                                                                                  \
    X(VOLUMES, "volumes")                                                                          \
    X(PROBES, "probes")                                                                            \
    X(COMMAND, "command")                                                                          \
    X(PORTS, "ports")                                                                              \
    X(STRATEGY, "strategy")                                                                        \
    X(LABELS, "labels")                                                                            \
    X(ANNOTATIONS, "annotations")                                                                  \
    X(SERVICE_ACCOUNT, "serviceAccount")                                                           \
    X(SECURITY_CONTEXT, "securityContext")                                                         \
    X(SCHEDULING, "scheduling")                                                                    \
    X(OTHER, "other")

#define ER_FAMILY_ID(id_, name_) ER_FAMILY_##id_,
typedef enum er_family { ER_FAMILY_LIST(ER_FAMILY_ID) ER_FAMILIES_ } er_family;
#undef ER_FAMILY_ID
/* "replicas|image|...", a constant: all the names, for rows. */
#define ER_FAMILY_WORD(id_, name_) "|" name_
#define ER_FAMILY_WORDS            (&(ER_FAMILY_LIST(ER_FAMILY_WORD))[1])
typedef uint32_t er_families; /* bit 1 << er_family */

const char *er_family_name(er_family family);
/* The bit of a name; 0 when there is no such family. */
er_families er_family_of(er_str name);
/* Of a value that is changed, added or removed there; a whole container has those of its fields. */
er_families er_fields_families(er_steps steps, const er_json *node);
/* "image,replicas": the names in the order of er_family. */
void er_families_text(er_families families, er_buf *out);

#endif
