/* A Deployment as it is remembered and compared: labels, annotations that matter, spec; without
 * what the server writes about it, without nulls and empty lists, and with stand-ins (tree.h) for
 * secrets and long strings. The same object and key give the same bytes.
 *
 * Threads: pure. */
#ifndef ER_RECORD_NORMAL_H
#define ER_RECORD_NORMAL_H

#include "base/buf.h"
#include "base/json_read.h"

typedef struct er_normal_options {
    bool redact;
    er_str key;   /* of the digests that stand for hidden values */
    er_str scope; /* the object's uid: equal values of two objects have different digests */
} er_normal_options;

/* Appends {"metadata":{"labels":{},"annotations":{}},"spec":{}} to out. */
void er_normal_deployment(const er_normal_options *options, const er_json *object, er_buf *out);

/* Annotations that no person wrote, or that repeat the object. */
bool er_normal_is_noise(er_str annotation);

#endif
