#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

er_status er_err_set(er_err *err, er_status code, const char *fmt, ...) {
    if (err == NULL) {
        return code;
    }
    err->code = code;
    err->retry_after_ms = 0;
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return code;
}

void er_err_prefix(er_err *err, const char *fmt, ...) {
    if (err == NULL) {
        return;
    }
    char prefixed[sizeof err->msg];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(prefixed, sizeof prefixed, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n + 3 >= sizeof prefixed) {
        return;
    }
    size_t used = (size_t)n;
    memcpy(prefixed + used, ": ", 2);
    size_t room = sizeof prefixed - used - 3;
    size_t len = strnlen(err->msg, sizeof err->msg - 1);
    len = len < room ? len : room;
    memcpy(prefixed + used + 2, err->msg, len);
    prefixed[used + 2 + len] = '\0';
    memcpy(err->msg, prefixed, used + len + 3);
}

const char *er_errno_text(int errnum, char *buf, unsigned size) {
    return strerror_r(errnum, buf, size); /* the GNU form: never NULL */
}

_Noreturn void er_assert_failed(const char *cond, const char *file, int line) {
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, cond);
    abort();
}
