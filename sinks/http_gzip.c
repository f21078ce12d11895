#include "sinks/http_gzip.h"

#include <limits.h>
#include <stdlib.h>

#define ZLIB_CONST /* input is const */
#include <zlib.h>

/* zlib's defaults: records shrink to a tenth; level 8 takes 2.7 times as long for 4 % less. */
#define LEVEL       6
#define WINDOW_BITS (15 + 16) /* + 16: a gzip header, which is written without name and time */
#define MEM_LEVEL   8
#define STEP        ((size_t)32 << 10)

struct er_gzip {
    z_stream z;
};

er_gzip *er_gzip_new(void) {
    er_gzip *gzip = er_xcalloc(1, sizeof *gzip);
    if (deflateInit2(&gzip->z, LEVEL, Z_DEFLATED, WINDOW_BITS, MEM_LEVEL, Z_DEFAULT_STRATEGY) !=
        Z_OK) {
        free(gzip);
        return NULL;
    }
    return gzip;
}

void er_gzip_free(er_gzip *gzip) {
    if (gzip != NULL) {
        (void)deflateEnd(&gzip->z);
        free(gzip);
    }
}

size_t er_gzip_bound(size_t n) {
    /* compressBound's terms, rounded up, and the header and trailer of gzip. */
    return n + (n >> 10) + 64;
}

void er_gzip_pack(er_gzip *gzip, er_str bytes, er_buf *out) {
    z_stream *z = &gzip->z;
    ER_ASSERT(bytes.n <= UINT_MAX && deflateReset(z) == Z_OK);
    er_buf_clear(out);
    z->next_in = (const Bytef *)bytes.p;
    z->avail_in = (uInt)bytes.n;
    int code = Z_OK;
    while (code == Z_OK) {
        size_t left = out->max - out->len;
        size_t room = left > STEP ? STEP : left > 0 ? left : 1;
        char *to = er_buf_reserve(out, room);
        if (to == NULL) {
            return;
        }
        z->next_out = (Bytef *)to;
        z->avail_out = (uInt)room;
        code = deflate(z, Z_FINISH);
        out->len += room - z->avail_out;
    }
    ER_ASSERT(code == Z_STREAM_END);
}
