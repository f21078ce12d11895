/* JSON trees of remembered objects: written again, with stand-ins for what is hidden or cut.
 *
 * A stand-in is an object in the place of a string: {"***":DIGEST} or {"***":DIGEST,"text":SHOWN}
 * for a hidden value, {"...":BEGINNING,"length":BYTES,"sha256":HEX} for a long one. No member of an
 * API object has such a key; one that had would be shown as a stand-in and do no other harm.
 *
 * Threads: pure. */
#ifndef ER_RECORD_TREE_H
#define ER_RECORD_TREE_H

#include "base/json_read.h"
#include "base/json_write.h"

#define ER_TREE_DEPTH_MAX 32   /* levels; what lies deeper is left out */
#define ER_TREE_TEXT_MAX  4096 /* bytes of a string that are kept */

/* The node as it is, stand-ins too. */
void er_tree_write(er_jw *w, const er_json *node);

/* The node as people see it: stand-ins as "***", the shown text or the beginning. Returns what was
 * not shown in full. */
typedef struct er_tree_shown {
    bool hidden, cut;
} er_tree_shown;
er_tree_shown er_tree_show(er_jw *w, const er_json *node);

typedef enum er_tree_stand_in { ER_TREE_PLAIN, ER_TREE_HIDDEN, ER_TREE_CUT } er_tree_stand_in;
er_tree_stand_in er_tree_stand_in_of(const er_json *node);
er_str er_tree_digest(const er_json *stand_in); /* equal for equal values */
er_str er_tree_text(const er_json *node); /* of a string or stand-in: what people see; else "" */

#endif
