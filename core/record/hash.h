/* SHA-256 as hex digits, for ids. Threads: pure. */
#ifndef ER_RECORD_HASH_H
#define ER_RECORD_HASH_H

#include "base/str.h"

/* Writes the first n (at most 64) hex digits of SHA-256(s) and a NUL to out. FIPS 180-4. */
void er_sha256_hex(er_str s, char *out, unsigned n);

#endif
