/* What looks like a secret, and texts without it.
 *
 * Looks only at names: a value is hidden because of the key, flag or variable it belongs to, the
 * user part of a URL, or a private key's first line. What nobody named a secret is not found.
 *
 * Threads: pure. */
#ifndef ER_RECORD_REDACT_H
#define ER_RECORD_REDACT_H

#include "base/buf.h"

/* A key, flag or variable whose value is likely a secret: DB_PASSWORD, api-key, authToken. Names of
 * API fields that only refer to secrets (secretName, secretKeyRef) are none. */
bool er_redact_is_secret_name(er_str name);

/* Appends text to out with *** in place of each value that looks like a secret: --password=x,
 * TOKEN: x, "apiKey":"x", https://user:x@host. Returns whether there was one. */
bool er_redact_text(er_str text, er_buf *out);

/* An argument that says the next one is a secret: --password, -token. */
bool er_redact_is_secret_flag(er_str arg);

/* HMAC-SHA-256 (RFC 2104) over scope, a NUL and value; the first 32 hex digits and a NUL. Equal
 * values of one scope have equal digests; without the key nothing is told by them. */
#define ER_REDACT_DIGEST 33
void er_redact_digest(er_str key, er_str scope, er_str value, char out[ER_REDACT_DIGEST]);

#endif
