/* Secrets by reference: {file: PATH}, {env: NAME} or a literal.
 *
 * A file is looked at before use, at most once a second, and re-read when it changed; one that has
 * gone keeps the old value (one warning). One trailing newline is cut, 64 KiB at most, empty is an
 * error. Values are wiped on replacement and at the end, and never printed.
 * Threads: an er_secret belongs to one thread; the reference is immutable. */
#ifndef ER_BASE_SECRET_H
#define ER_BASE_SECRET_H

#include "base/err.h"
#include "base/str.h"

#define ER_SECRET_MAX 65536

typedef enum er_secret_kind {
    ER_SECRET_UNSET,
    ER_SECRET_LITERAL,
    ER_SECRET_FILE,
    ER_SECRET_ENV,
} er_secret_kind;

typedef struct er_secret_ref {
    er_secret_kind kind;
    char *text; /* the literal, the path, or the variable's name; owned by the configuration */
    er_pos pos; /* in the configuration */
} er_secret_ref;

typedef struct er_secret er_secret;

/* Copies the reference and reads the value once, so that a missing file is found at the start.
 * what names the setting in errors ("sinks.hook.auth.bearer"; "": none). Errors: ER_E_CONFIG. */
er_status er_secret_new(const er_secret_ref *ref, const char *what, er_secret **out, er_err *err);
void er_secret_free(er_secret *secret); /* NULL is allowed */

/* The current value, borrowed until the next call on this secret. Never empty. */
er_str er_secret_get(er_secret *secret);
/* Counts changes of the value, from 1. */
unsigned er_secret_generation(er_secret *secret);
/* Looks at the file again at the next er_secret_get, however recent the last look was. */
void er_secret_expire(er_secret *secret);
/* The same at once: true when the value is a new one. */
bool er_secret_renew(er_secret *secret);

#endif
