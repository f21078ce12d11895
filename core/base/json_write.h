/* The streaming JSON writer: the only way this program makes JSON.
 *
 * Writes compact JSON onto a buffer; commas are its business. Strings are repaired to valid UTF-8
 * (U+FFFD for each bad byte) and escaped as RFC 8259 section 7 demands and no more.
 * Errors: those of the buffer, checked once at the end. Nesting: 64 levels, more is an assertion.
 */
#ifndef ER_BASE_JSON_WRITE_H
#define ER_BASE_JSON_WRITE_H

#include "base/buf.h"
#include "base/clock.h"

typedef struct er_jw {
    er_buf *out;
    uint64_t has_item; /* bit per level: something was written there */
    unsigned depth;
    bool after_key;
} er_jw;

void er_jw_init(er_jw *w, er_buf *out);
void er_jw_object(er_jw *w);
void er_jw_object_end(er_jw *w);
void er_jw_array(er_jw *w);
void er_jw_array_end(er_jw *w);
void er_jw_key(er_jw *w, const char *key); /* keys are ours: ASCII without escapes */
void er_jw_key_str(er_jw *w, er_str key);  /* a key from outside: escaped */
void er_jw_str(er_jw *w, er_str s);
void er_jw_cstr(er_jw *w, const char *s);
void er_jw_int(er_jw *w, int64_t v);
void er_jw_bool(er_jw *w, bool v);
void er_jw_null(er_jw *w);
void er_jw_raw(er_jw *w, er_str json); /* valid JSON made elsewhere by this writer */

/* A key with its value; the _opt forms write nothing for an empty string, ER_TIME_NONE. */
void er_jw_kstr(er_jw *w, const char *key, er_str s);
void er_jw_kstr_opt(er_jw *w, const char *key, er_str s);
void er_jw_kint(er_jw *w, const char *key, int64_t v);
void er_jw_kbool(er_jw *w, const char *key, bool v);
void er_jw_ktime_opt(er_jw *w, const char *key, er_time t);

/* The bytes of one JSON string with its quotes, escaped as above. */
void er_json_quote(er_buf *out, er_str s);

#endif
