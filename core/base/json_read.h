/* Reading JSON from peers (cJSON): sized, bounded, in an arena.
 *
 * The caller bounds the size of the text. \u0000 is replaced by \uFFFD before parsing, so that no
 * string is cut; a raw NUL byte, more than 1,000 levels, and anything after the document are
 * errors. Bytes that are not UTF-8 pass through: the writer repairs them.
 *
 * Ownership: the tree belongs to the er_json_doc and dies with its reset; slices point into it.
 * Threads: er_json_setup once in main before any other thread; a doc belongs to one thread. */
#ifndef ER_BASE_JSON_READ_H
#define ER_BASE_JSON_READ_H

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

typedef struct cJSON er_json; /* a node; NULL stands for "absent" and is accepted everywhere */

typedef struct er_json_doc {
    struct er_arena_block *blocks; /* memory of the tree; the first block is kept for reuse */
    const er_json *root;
} er_json_doc;

void er_json_setup(void); /* sets cJSON's allocation hooks, which are process-wide */

void er_json_doc_init(er_json_doc *doc);
void er_json_doc_fini(er_json_doc *doc);

/* Frees the last tree and parses text (which may be changed in place: \u0000).
 * Errors: ER_E_INVAL with the offset of the fault. */
er_status er_json_parse(er_json_doc *doc, char *text, size_t n, er_err *err);

/* Before parsing: empties the first member of that name that is an array, wherever it stands, by
 * moving what follows down. Returns the new length; n when there is none, or the array does not end
 * (the parser will say it). For members that are large, come early, and are of no use. */
size_t er_json_drop_array(char *text, size_t n, const char *name);
/* Gives the member from of object, a node of doc, the name to, unless there is a member of that
 * name: for documents that say the same under other names. */
void er_json_rename(er_json_doc *doc, const er_json *object, const char *from, const char *to);

/* Without a tree: behind the value that begins at p, NULL when it does not end before end. Brackets
 * and quotes are looked at and nothing else, so a value must still be parsed to be believed. For
 * texts whose many parts are parsed one at a time. */
const char *er_json_skip(const char *p, const char *end);

const er_json *er_json_get(const er_json *object, const char *key); /* case counts */
const er_json *er_json_path(const er_json *object, const char *k1, const char *k2);
/* Finds n members of an object in one pass: out[i] is that of keys[i], NULL when it is absent. Of
 * members with the same key the first counts. Fast when keys stand in the order of the text. */
void er_json_pick(const er_json *object, const char *const *keys, size_t n, const er_json **out);
er_str er_json_str(const er_json *node); /* "" when it is not a string */
er_str er_json_get_str(const er_json *object, const char *key);
er_time er_json_get_time(const er_json *object, const char *key); /* ER_TIME_NONE: not a time */
/* A count: otherwise, where it is not an integer or is negative. */
int64_t er_json_get_count(const er_json *object, const char *key, int64_t otherwise);
bool er_json_int(const er_json *node, int64_t *out); /* false: not a number, or not integral */
typedef enum er_json_type {
    ER_JSON_NULL, /* absent as well */
    ER_JSON_BOOL,
    ER_JSON_NUMBER,
    ER_JSON_STRING,
    ER_JSON_ARRAY,
    ER_JSON_OBJECT,
} er_json_type;
er_json_type er_json_type_of(const er_json *node);
double er_json_number(const er_json *node); /* 0 when it is not one; may be infinite (1e999) */
bool er_json_is_object(const er_json *node);
bool er_json_is_array(const er_json *node);
bool er_json_is_true(const er_json *node);
const er_json *er_json_first(const er_json *array_or_object);
const er_json *er_json_next(const er_json *node);
er_str er_json_key(const er_json *member);

#endif
