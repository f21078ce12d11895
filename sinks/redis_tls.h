/* TLS on a connection to Redis, where hiredis has it (1.0 and later: Debian 13).
 *
 * hiredis sets the server's name but does not compare it with the certificate's, so the SSL object
 * is made here. Certificates, keys and CA files are read for each connection: a rotated one is used
 * from the next on. Threads: the sink's own. */
#ifndef ER_SINKS_REDIS_TLS_H
#define ER_SINKS_REDIS_TLS_H

#include "http/http.h"

#include <hiredis/hiredis.h>

/* False: this program was built with a hiredis without TLS. */
bool er_redis_tls_is_there(void);

/* Whether the files can be used, at start: ER_E_CONFIG. */
er_status er_redis_tls_try(const er_tls_settings *tls, er_err *err);

/* Waits until the socket is readable or writable (poll(2) events). */
typedef er_status (*er_redis_wait)(void *arg, short events, er_err *err);

/* The whole handshake on a connected context that does not block. host: what the certificate must
 * be for unless tls.serverName says another. Errors: those of wait; ER_E_UNAVAILABLE. */
er_status er_redis_tls_start(redisContext *c, const er_tls_settings *tls, const char *host,
                             er_redis_wait wait, void *arg, er_err *err);

/* What OpenSSL says of the last failure of this thread; NULL: nothing. */
const char *er_redis_tls_reason(void);

#endif
