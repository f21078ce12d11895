/* Bodies of requests as gzip (RFC 1952): one member, no name and no time in it, so that the same
 * bytes in give the same bytes out.
 *
 * Memory: 260 KiB of zlib's state, kept from request to request. Threads: a packer belongs to one.
 */
#ifndef ER_SINKS_HTTP_GZIP_H
#define ER_SINKS_HTTP_GZIP_H

#include "base/buf.h"

typedef struct er_gzip er_gzip;

er_gzip *er_gzip_new(void); /* NULL when memory for it cannot be had */
void er_gzip_free(er_gzip *gzip);

/* The most that n bytes can become. */
size_t er_gzip_bound(size_t n);

/* Replaces what out holds; errors are those of the buffer. */
void er_gzip_pack(er_gzip *gzip, er_str bytes, er_buf *out);

#endif
