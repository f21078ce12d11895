/* What the statuses of HTTP mean for a sink, and how to say it to people.
 *
 * Threads: pure. Source: RFC 9110 section 15, RFC 6585, RFC 8470. */
#ifndef ER_SINKS_HTTP_RULES_H
#define ER_SINKS_HTTP_RULES_H

#include "sinks/http_sink.h"

/* "Not Found"; "" for a status without a well-known phrase. */
const char *er_http_status_phrase(long status);

/* Appends what the operator should do about an answer that means DENIED, in words that name the
 * setting ("check sinks.hook.auth"). was_packed: the body was compressed, which may be the reason.
 */
void er_http_put_advice(long status, const char *sink, bool was_packed, er_buf *out);

#endif
