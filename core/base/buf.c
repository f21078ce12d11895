#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 256

void er_buf_init(er_buf *buf, size_t max) {
    *buf = (er_buf){.max = max};
}

void er_buf_fini(er_buf *buf) {
    free(buf->p);
    *buf = (er_buf){.max = buf->max};
}

void er_buf_clear(er_buf *buf) {
    buf->len = 0;
    buf->bad = ER_OK;
    if (buf->p != NULL) {
        buf->p[0] = '\0';
    }
}

void er_buf_shrink(er_buf *buf, size_t keep) {
    if (buf->cap > keep) {
        er_buf_fini(buf);
    }
    er_buf_clear(buf);
}

void er_buf_wipe(er_buf *buf) {
    if (buf->p != NULL) {
        explicit_bzero(buf->p, buf->cap);
    }
    er_buf_clear(buf);
}

static bool grow(er_buf *buf, size_t cap) {
    cap = cap > buf->max + 1 ? buf->max + 1 : cap;
    char *p = realloc(buf->p, cap);
    if (p != NULL) {
        buf->p = p;
        buf->p[buf->len] = '\0';
        buf->cap = cap;
    }
    return p != NULL;
}

char *er_buf_reserve(er_buf *buf, size_t n) {
    if (buf->bad != ER_OK) {
        return NULL;
    }
    if (n > buf->max || buf->len > buf->max - n) {
        buf->bad = ER_E_LIMIT;
        return NULL;
    }
    size_t need = buf->len + n + 1; /* the NUL */
    if (need > buf->cap) {
        size_t cap = buf->cap < FIRST_CAP ? FIRST_CAP : buf->cap * 2;
        if (!grow(buf, cap < need ? need : cap)) {
            buf->bad = ER_E_NOMEM;
            return NULL;
        }
    }
    return buf->p + buf->len;
}

void er_buf_expect(er_buf *buf, size_t n) {
    if (buf->bad == ER_OK && buf->len + n >= buf->cap) {
        (void)grow(buf, buf->len + n + 1);
    }
}

void er_buf_put(er_buf *buf, const void *p, size_t n) {
    char *to = er_buf_reserve(buf, n);
    if (to != NULL && n > 0) {
        memcpy(to, p, n);
        buf->len += n;
        buf->p[buf->len] = '\0';
    }
}

void er_buf_puts(er_buf *buf, const char *cstr) {
    er_buf_put(buf, cstr, strlen(cstr));
}

void er_buf_put_str(er_buf *buf, er_str s) {
    er_buf_put(buf, s.p, s.n);
}

void er_buf_putc(er_buf *buf, char c) {
    if (buf->bad == ER_OK && buf->len + 1 < buf->cap && buf->len < buf->max) {
        buf->p[buf->len++] = c;
        buf->p[buf->len] = '\0';
        return;
    }
    er_buf_put(buf, &c, 1);
}

void er_buf_putf(er_buf *buf, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *to = n < 0 ? NULL : er_buf_reserve(buf, (size_t)n);
    if (to == NULL) {
        return;
    }
    va_start(ap, fmt);
    (void)vsnprintf(to, (size_t)n + 1, fmt, ap);
    va_end(ap);
    buf->len += (size_t)n;
}

void er_buf_put_u64(er_buf *buf, uint64_t v) {
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    er_buf_put(buf, digits + at, sizeof digits - at);
}

er_status er_buf_status(const er_buf *buf) {
    return buf->bad;
}

er_str er_buf_str(const er_buf *buf) {
    return (er_str){buf->p, buf->len};
}

const char *er_buf_cstr(er_buf *buf) {
    return buf->p == NULL ? "" : buf->p;
}

char *er_buf_take(er_buf *buf, size_t *n) {
    if (buf->bad != ER_OK || er_buf_reserve(buf, 0) == NULL) {
        return NULL;
    }
    char *p = buf->p;
    p[buf->len] = '\0';
    if (n != NULL) {
        *n = buf->len;
    }
    *buf = (er_buf){.max = buf->max};
    return p;
}
