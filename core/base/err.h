/* Status codes and the error object.
 *
 * The status is the return value, results go through pointers, `er_err *err` is the last
 * parameter and may be NULL. Each layer adds its own noun once with er_err_prefix().
 * Threads: plain data on the caller's stack. */
#ifndef ER_BASE_ERR_H
#define ER_BASE_ERR_H

#include <stdint.h>

typedef enum er_status {
    ER_OK = 0,
    ER_E_NOMEM,       /* an allocation sized by input failed */
    ER_E_INVAL,       /* malformed input */
    ER_E_CONFIG,      /* the operator's configuration is wrong */
    ER_E_IO,          /* a file or descriptor failed */
    ER_E_LIMIT,       /* a documented maximum was exceeded */
    ER_E_TIMEOUT,     /* a deadline passed */
    ER_E_CANCELLED,   /* the cancel token was set */
    ER_E_UNAVAILABLE, /* a peer cannot serve now: back off */
    ER_E_DENIED,      /* credentials or target are wrong: keep the records, probe slowly */
    ER_E_SPLIT,       /* a batch was refused as a whole: halve it */
} er_status;

typedef struct er_err {
    er_status code;
    int64_t retry_after_ms; /* what the peer asked for; 0: nothing */
    char msg[512];          /* one line for people; never a secret */
} er_err;

typedef struct er_pos { /* a place in a text */
    int line, col;      /* from 1; line 0: nowhere, such as the place of a default */
} er_pos;

/* Sets the error (replacing what was there) and returns code, so: return er_err_set(...). */
er_status er_err_set(er_err *err, er_status code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "prefix: " before the message. */
void er_err_prefix(er_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Text of an errno value; thread-safe. buf is used or ignored; the result is never NULL. */
const char *er_errno_text(int errnum, char *buf, unsigned size);

/* A programmer's error: prints the place and aborts. Never for input, network or disk. */
#define ER_ASSERT(cond) ((cond) ? (void)0 : er_assert_failed(#cond, __FILE__, __LINE__))
_Noreturn void er_assert_failed(const char *cond, const char *file, int line);

#endif
