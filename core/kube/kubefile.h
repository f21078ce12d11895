/* kubeconfig files as documents: reading them within caps, looking entries up, and errors that name
 * file and entry.
 *
 * Only lookups of a fixed depth are made in a document, so that aliases, even cyclic ones, cost
 * nothing. Threads: one. Inside core/kube only: libyaml's types show here. */
#ifndef ER_KUBE_KUBEFILE_H
#define ER_KUBE_KUBEFILE_H

#include "base/buf.h"

#include <yaml.h>

#define ER_KUBEFILES_MAX 32

typedef struct er_kubefile {
    const char *path;
    char *folder; /* what relative paths start from; "" for the current one */
    yaml_document_t doc;
} er_kubefile;

typedef struct er_kubefiles {
    er_kubefile v[ER_KUBEFILES_MAX];
    size_t n;
} er_kubefiles;

/* An entry of clusters, users or contexts, and the file that owns it. */
typedef struct er_kubeentry {
    er_kubefile *file;
    const char *kind; /* "cluster", "user", "context"; NULL: the whole file */
    const char *name;
    yaml_node_t *body;
    bool is_twice; /* the file defines it again */
} er_kubeentry;

/* Reads one more file; path is borrowed. Errors: ER_E_CONFIG, ER_E_IO, ER_E_LIMIT. */
er_status er_kubefiles_add(er_kubefiles *files, const char *path, er_err *err);
/* Wipes and frees the documents. */
void er_kubefiles_fini(er_kubefiles *files);

/* The value of a key, NULL when it is absent or null. */
yaml_node_t *er_kubefile_get(er_kubefile *file, const yaml_node_t *map, const char *key);
/* The text of a scalar, NULL when it holds a NUL. */
const char *er_kubefile_text(const yaml_node_t *node);

/* Finds an entry by name; the first file that defines it owns it. */
bool er_kubefiles_find(er_kubefiles *files, const char *list, const char *kind, const char *name,
                       er_kubeentry *out);
/* "a, b, c" of all contexts, for messages. */
void er_kubefiles_contexts(er_kubefiles *files, er_buf *out);

/* Sets "FILE: KIND "NAME": KEY WHAT" and returns ER_E_CONFIG. */
er_status er_kubeentry_wrong(const er_kubeentry *e, er_err *err, const char *key, const char *what);

/* Values of an entry. *out is NULL when the key is absent or empty; other forms are ER_E_CONFIG. */
er_status er_kubeentry_text(const er_kubeentry *e, const char *key, const char **out, er_err *err);
er_status er_kubeentry_dup(const er_kubeentry *e, const char *key, char **out, er_err *err);
er_status er_kubeentry_bool(const er_kubeentry *e, const char *key, bool *out, er_err *err);
/* A path, resolved against the folder of its file; owned by the caller. */
er_status er_kubeentry_path(const er_kubeentry *e, const char *key, char **out, er_err *err);
/* KEY-data in Base64, or the path in KEY; not both. Owned by the caller. */
er_status er_kubeentry_pem(const er_kubeentry *e, const char *key, char **pem, char **file,
                           er_err *err);

#endif
