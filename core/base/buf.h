/* A growing byte buffer with a maximum and a sticky error: the first failed append is remembered
 * and later appends do nothing, so that writers check once at the end.
 *
 * Ownership: init/fini in place; er_buf_take hands the bytes to the caller. One thread at a time.
 */
#ifndef ER_BASE_BUF_H
#define ER_BASE_BUF_H

#include "base/err.h"
#include "base/str.h"

typedef struct er_buf {
    char *p;       /* NUL-terminated when not NULL */
    size_t len;    /* bytes, without the NUL */
    size_t cap;    /* bytes allocated */
    size_t max;    /* len never exceeds this */
    er_status bad; /* ER_OK, ER_E_NOMEM or ER_E_LIMIT */
} er_buf;

void er_buf_init(er_buf *buf, size_t max);    /* allocates nothing yet */
void er_buf_fini(er_buf *buf);                /* frees; the buffer may be initialised again */
void er_buf_clear(er_buf *buf);               /* length 0, error forgotten, memory kept */
void er_buf_shrink(er_buf *buf, size_t keep); /* clears, and frees the memory if over keep bytes */
void er_buf_wipe(er_buf *buf);                /* overwrites with zeros, then er_buf_clear */

void er_buf_put(er_buf *buf, const void *p, size_t n);
void er_buf_puts(er_buf *buf, const char *cstr);
void er_buf_put_str(er_buf *buf, er_str s);
void er_buf_putc(er_buf *buf, char c);
void er_buf_putf(er_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void er_buf_put_u64(er_buf *buf, uint64_t v);

/* Room for n more bytes at the end, or NULL; the caller then adds what it wrote to len. */
char *er_buf_reserve(er_buf *buf, size_t n);

/* About n more bytes are to come: room for them is made at once, if it can be had. */
void er_buf_expect(er_buf *buf, size_t n);

er_status er_buf_status(const er_buf *buf);
er_str er_buf_str(const er_buf *buf);
const char *er_buf_cstr(er_buf *buf); /* never NULL */

/* Returns the bytes, NUL-terminated, to be freed by the caller; NULL when the buffer is bad. */
char *er_buf_take(er_buf *buf, size_t *n);

#endif
