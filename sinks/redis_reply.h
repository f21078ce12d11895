/* Replies of Redis, as bytes of a stranger: RESP2, and of it only what our commands are answered
 * with. An array, or anything else that is not a line, a number or one string, is an error before
 * it is read; so is a reply over ER_REDIS_REPLY_MAX bytes. Source: https://redis.io/docs/latest/
 * develop/reference/protocol-spec/. Threads: those of the reader. */
#ifndef ER_SINKS_REDIS_REPLY_H
#define ER_SINKS_REDIS_REPLY_H

#include "base/err.h"
#include "base/str.h"

#include <hiredis/hiredis.h>

#define ER_REDIS_REPLY_MAX 65536

typedef enum er_redis_reply_kind {
    ER_REDIS_TEXT, /* a simple or bulk string */
    ER_REDIS_NIL,
    ER_REDIS_INTEGER,
    ER_REDIS_ERROR,
} er_redis_reply_kind;

typedef struct er_redis_reply {
    er_redis_reply_kind kind;
    int64_t integer;
    er_str text; /* of TEXT and ERROR; borrowed from owner */
    void *owner; /* freed by er_redis_reply_fini */
} er_redis_reply;

/* Takes the next whole reply out of the reader. *got is false when more bytes are needed. Errors:
 * ER_E_UNAVAILABLE: this is not Redis; the connection is of no more use. */
er_status er_redis_reply_next(redisReader *reader, er_redis_reply *reply, bool *got, er_err *err);
void er_redis_reply_fini(er_redis_reply *reply);

/* "1526919030474-55": what XADD answers with. */
bool er_redis_is_entry_id(er_str text);

#endif
