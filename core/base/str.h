/* Borrowed string slices, numbers from text, UTF-8.
 *
 * An er_str does not own its bytes and need not end in NUL. Threads: pure functions. */
#ifndef ER_BASE_STR_H
#define ER_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct er_str {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
} er_str;

#define ER_STR(literal) ((er_str){(literal), sizeof(literal) - 1})

er_str er_str_of(const char *cstr); /* NULL gives the empty slice */
bool er_str_eq(er_str a, er_str b);
bool er_str_eqc(er_str a, const char *cstr);
bool er_str_ieqc(er_str a, const char *cstr); /* ASCII case is ignored */
bool er_str_starts(er_str s, const char *prefix);
er_str er_str_trim(er_str s); /* without ASCII white space at both ends */

/* FNV-1a, 64 bits. For tables and ids, not for security. seed: ER_HASH_SEED or an earlier hash. */
#define ER_HASH_SEED 0xcbf29ce484222325ULL
uint64_t er_hash(uint64_t seed, const void *p, size_t n);

/* Returns an owned, NUL-terminated copy; aborts when memory for it cannot be had (the caller has
 * bounded n). er_dup(NULL) gives "". */
char *er_str_dup(er_str s);
char *er_dup(const char *cstr);

/* calloc that aborts on failure: for control structures of a fixed size only. */
void *er_xcalloc(size_t n, size_t size);

/* Decimal digits only, the whole slice; false for anything else or on overflow. */
bool er_parse_u64(er_str s, uint64_t *out);

/* The length of the valid UTF-8 sequence at p (RFC 3629: no surrogates, no overlong forms, at most
 * U+10FFFF), 0 when what stands there is not one. */
size_t er_utf8_len(const char *p, size_t n);
bool er_utf8_valid(er_str s);

/* How much of s may be kept so that at most max bytes remain and no sequence is cut. */
size_t er_utf8_cut(er_str s, size_t max);

/* The edit distance for "did you mean" (a swap of neighbours counts once, case does not); strings
 * over 64 bytes give 64. */
unsigned er_str_distance(er_str a, er_str b);

/* "Did you mean": the candidate nearest to key, if it is near enough to be meant; found.p is NULL
 * while none is. */
typedef struct er_nearest {
    er_str key, found;
    unsigned distance;
} er_nearest;
void er_nearest_init(er_nearest *nearest, er_str key);
void er_nearest_try(er_nearest *nearest, er_str candidate);

#endif
