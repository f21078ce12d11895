/* Access tokens by the client credentials grant (RFC 6749 section 4.4), for auth.c and for sinks
 * whose protocol carries tokens elsewhere than in a header.
 *
 * A token is asked for when it is needed, on the caller's thread, with a client of its own (the
 * token endpoint is another peer, with TLS settings of its own); token_priv.h has what becomes of
 * it.
 *
 * Threads: new and free on main, the rest on one thread. */
#ifndef ER_HTTP_OAUTH2_H
#define ER_HTTP_OAUTH2_H

#include "http/http.h"

extern const er_field er_oauth2_rows[];
/* Says what is wrong with one item of `scopes`. */
er_status er_oauth2_check_scope(const char *text, er_err *err);

typedef struct er_oauth2 er_oauth2;
/* what: "sinks.hook.auth.oauth2". Of options all is used but tls and what goes with it; both are
 * copied or outlive the result, as does settings. timeout_ms: of one request for a token. Reads the
 * secrets once: ER_E_CONFIG. */
er_status er_oauth2_new(const er_oauth2_settings *settings, const char *what,
                        const er_http_options *options, int64_t timeout_ms, er_oauth2 **out,
                        er_err *err);
void er_oauth2_free(er_oauth2 *oauth2);

/* As er_token_get. */
er_status er_oauth2_token(er_oauth2 *oauth2, er_str *token, er_err *err);

/* How long the last token may be used; 0: there is none. */
int64_t er_oauth2_life_ms(const er_oauth2 *oauth2);

/* The next er_oauth2_token asks for another one. */
void er_oauth2_forget(er_oauth2 *oauth2);

/* As er_token_refresh. */
bool er_oauth2_refresh(er_oauth2 *oauth2);

#endif
