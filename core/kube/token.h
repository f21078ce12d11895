/* The bearer token: a text, or a file that is read again while we run.
 *
 * Kubelet and others replace the file before the token in it expires. Threads: one. */
#ifndef ER_KUBE_TOKEN_H
#define ER_KUBE_TOKEN_H

#include "base/buf.h"
#include "base/clock.h"

#define ER_KUBE_TOKEN_AGE_MS 50000 /* client-go trusts a token for 60 s, less 10 s of leeway */

typedef struct er_kube_token {
    const char *file; /* borrowed; NULL: value never changes */
    er_buf value;     /* "" : none */
    er_deadline fresh_until;
    int64_t age_ms;
    bool warned;
} er_kube_token;

/* text: what is used while the file cannot be read; may be NULL. */
void er_kube_token_init(er_kube_token *token, const char *file, const char *text);
void er_kube_token_fini(er_kube_token *token);
/* The token, after reading the file again when that is due; an unreadable file keeps the old one.
 * Borrowed until the next call. Error: there is none yet (ER_E_UNAVAILABLE, with the reason). */
er_status er_kube_token_get(er_kube_token *token, er_str *out, er_err *err);
void er_kube_token_expire(er_kube_token *token);

#endif
