/* The changes of one Deployment, gathered from a diff: what a record says of them.
 *
 * Ownership: init/fini in place; the texts belong to the er_change. Threads: one. */
#ifndef ER_RECORD_CHANGE_H
#define ER_RECORD_CHANGE_H

#include "base/json_write.h"
#include "record/diff.h"
#include "record/owner.h"

typedef enum er_change_form {
    ER_CHANGE_READABLE,
    ER_CHANGE_JSON_PATCH,
    ER_CHANGE_BOTH,
} er_change_form;

#define ER_CHANGE_ENTRIES_MAX 256          /* of diff */
#define ER_CHANGE_DIFF_MAX    (128u << 10) /* bytes of diff; no entry is begun beyond */
#define ER_CHANGE_PATCH_MAX   (256u << 10) /* a longer patch is left out */
#define ER_CHANGE_VALUE_MAX   4096         /* bytes of a value; a longer one is cut */

typedef struct er_change {
    er_change_form form;
    const er_str *ignore; /* paths without or with [selectors]; what is below them too */
    size_t ignore_n;
    const er_json *object; /* as the API server sent it: its managedFields */

    er_families families;
    bool touches_template; /* the pod template, ignored paths too */
    bool image, replicas;  /* the image of a container; the count */
    size_t n;              /* changes as people count them */
    size_t omitted;        /* of these, not in diff */
    bool hidden;           /* a value in diff or patch is a secret */
    bool cut;              /* a value is not there in full, or something was left out */
    er_owner owner;        /* newest of the changed values */

    er_buf diff, patch; /* JSON arrays; empty: none */
    er_buf parts[3];    /* of the message: images, replicas, the rest */
    size_t parts_n;
    er_buf path, value; /* scratch */
    er_jw diff_w, patch_w;
} er_change;

void er_change_init(er_change *change);
void er_change_fini(er_change *change);

/* Compares two normal objects. The options (form, ignore, object) are set. Errors: ER_E_NOMEM. */
er_status er_change_gather(er_change *change, const er_json *before, const er_json *after,
                           er_err *err);

/* One line: "image web: nginx:1.25 → nginx:1.27; replicas 3 → 5". */
void er_change_message(const er_change *change, er_buf *out);

#endif
