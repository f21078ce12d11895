/* What a reply of Redis means for the record, and for the endpoint.
 *
 * An error reply begins with a word that names its kind ("OOM command not allowed ..."); one table
 * by that beginning decides. What is not in it is tried again: nothing is lost for a word that we
 * do not know. A record is rejected only for what its own content brings about. Source: the replies
 * of Redis, https://redis.io/docs/latest/develop/reference/protocol-spec/ (simple errors),
 * shared.*err in its server.c, and xaddCommand in its t_stream.c.
 * Threads: pure. */
#ifndef ER_SINKS_REDIS_JUDGE_H
#define ER_SINKS_REDIS_JUDGE_H

#include "sink/sink.h"

typedef struct er_redis_rule {
    const char *prefix; /* of the reply, without "-" */
    er_verdict verdict; /* of the record: RETRY, REJECT, or ASIDE: the stream is refused */
    er_status state;    /* of the endpoint: ER_OK, ER_E_UNAVAILABLE, ER_E_DENIED */
    er_reason reason;   /* of a rejection */
    const char *advice; /* what to do, or NULL */
} er_redis_rule;

/* The rule for the text of an error reply, never NULL. A longer prefix wins. */
const er_redis_rule *er_redis_judge(er_str text);

/* Appends the text of a reply as it may be logged: one line, at most 200 bytes, and the advice. */
void er_redis_put_reply(er_str text, const er_redis_rule *rule, er_buf *out);

#endif
