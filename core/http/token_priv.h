/* Inside core/http: an access token that is asked for when it is needed, and kept until shortly
 * before it expires; and what the answers of token endpoints mean. Shared by all that ask for
 * tokens: oauth2.c, google.c.
 *
 * What an endpoint sends is hostile until proven otherwise: 64 KiB at most, JSON, a token of
 * visible ASCII, a life between a second and a day. Of its texts only known words are repeated:
 * anything else may be our own secret, sent back. Source: RFC 6749 section 5.
 *
 * Threads: one. */
#ifndef ER_HTTP_TOKEN_PRIV_H
#define ER_HTTP_TOKEN_PRIV_H

#include "base/json_read.h"
#include "http/http.h"

#define ER_TOKEN_MAX        16384
#define ER_TOKEN_ANSWER_MAX 65536

typedef struct er_token {
    er_buf text;           /* empty: none */
    er_deadline fresh_for; /* then it is time for another one */
    er_deadline good_for;  /* then it is over */
    unsigned uses;
    int64_t margin_max_ms; /* how long before its end another one is asked for, at the most */
} er_token;

/* margin_max_ms: a tenth of the token's life is the margin when that is less. */
void er_token_init(er_token *token, int64_t margin_max_ms);
void er_token_fini(er_token *token);
void er_token_forget(er_token *token); /* the next er_token_get asks for another one */

/* Whoever can ask for tokens. */
typedef struct er_token_source {
    void *self;
    /* Asks, and fills token (er_token_exchange). Errors: as er_token_get. */
    er_status (*ask)(void *self, er_token *token, er_err *err);
    /* Reads its secrets again; true when one is new. */
    bool (*look)(void *self);
} er_token_source;

/* A token to use now, borrowed until the next call. Refused credentials are looked at again, and
 * tried once more when they are new. Where another token cannot be had for now, the old one is used
 * to its end. Errors: ER_E_DENIED (the endpoint refuses us, or is none), ER_E_UNAVAILABLE
 * (transport, 408, 425, 429, 5xx; with retry_after_ms), ER_E_CANCELLED. */
er_status er_token_get(er_token *token, const er_token_source *source, er_str *out, er_err *err);

/* After a 401 by the resource: forgets a token that was used before, and looks at the secrets
 * again. True when another token may help; one that was refused at its first use is kept, so that
 * the endpoint is not asked without end. */
bool er_token_refresh(er_token *token, const er_token_source *source);

/* What to look at, by the error of the answer. */
typedef struct er_token_advice {
    const char *error, *advice;
} er_token_advice;

typedef struct er_token_endpoint {
    const char *what;              /* the setting, for errors: "sinks.hook.auth.oauth2" */
    const char *where;             /* the endpoint as it may be shown */
    const er_token_advice *advice; /* by the word of the answer; NULL at the end */
    const char *refused;           /* advice when the answer is about us (400, 401, 403) */
    const char *url_at;            /* what holds the URL: "tokenUrl" */
    /* NULL: access_token, token_type and expires_in of RFC 6749 section 5.1. Else finds the token
     * and its life in seconds; false: there is none. */
    bool (*read)(const er_json *root, er_str *token, int64_t *life_s);
} er_token_endpoint;

/* Sends the request and takes the token out of the answer. What it held before stays when there is
 * none. Errors: as er_token_get. */
er_status er_token_exchange(er_token *token, er_http_client *client, const er_http_request *req,
                            const er_token_endpoint *endpoint, er_err *err);
/* The second half of that: what the answer says, which may be changed in place. asked_ms:
 * er_mono_ms before it was asked for. */
er_status er_token_judge(er_token *token, const er_token_endpoint *endpoint, er_http_response *res,
                         int64_t asked_ms, er_err *err);
/* A token that nobody had to be asked for. */
er_status er_token_set(er_token *token, er_str text, int64_t life_s, int64_t asked_ms, er_err *err);

/* "&name=value", percent-encoded; without the & at the beginning of the form. */
void er_token_param(er_buf *form, const char *name, er_str value);

#endif
