/* Inside core/http: access tokens by the client credentials grant (RFC 6749 section 4.4).
 *
 * A token is asked for when it is needed, on the caller's thread, with a client of its own (the
 * token endpoint is another peer, with TLS settings of its own), and kept until shortly before it
 * expires. What the endpoint sends is hostile until proven otherwise: 64 KiB at most, JSON, a token
 * of visible ASCII, a life between a second and a day.
 *
 * Threads: new and free on main, the rest on one thread. */
#ifndef ER_HTTP_OAUTH2_PRIV_H
#define ER_HTTP_OAUTH2_PRIV_H

#include "http/http.h"

extern const er_field er_oauth2_rows[];

typedef struct er_oauth2 er_oauth2;
/* what: "sinks.hook.auth.oauth2". Of options all is used but tls and what goes with it; both are
 * copied or outlive the result, as does settings. timeout_ms: of one request for a token. Reads the
 * secrets once: ER_E_CONFIG. */
er_status er_oauth2_new(const er_oauth2_settings *settings, const char *what,
                        const er_http_options *options, int64_t timeout_ms, er_oauth2 **out,
                        er_err *err);
void er_oauth2_free(er_oauth2 *oauth2);

/* A token to use now, borrowed until the next call. Errors: ER_E_DENIED (the endpoint refuses us,
 * or is none; the text names the setting), ER_E_UNAVAILABLE (transport, 408, 425, 429, 5xx; with
 * retry_after_ms), ER_E_CANCELLED. */
er_status er_oauth2_token(er_oauth2 *oauth2, er_str *token, er_err *err);

/* After a 401 by the resource: forgets a token that was used before, and reads the client's secret
 * again. True when another token may help; one that was refused at its first use is kept, so that
 * the endpoint is not asked without end. */
bool er_oauth2_refresh(er_oauth2 *oauth2);

#endif
