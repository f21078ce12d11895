#include "sinks/redis_reply.h"

#include <string.h>

/* Between two replies the reader has no task. Asked without a byte it would begin one, and nobody
 * could look at the byte that then says what comes. */
static bool is_idle(const redisReader *reader) {
    return reader->ridx < 0 && reader->pos >= reader->len;
}

static bool is_expected(const redisReader *reader) {
    if (reader->ridx >= 0) {
        return true;
    }
    char c = reader->buf[reader->pos];
    return c == '+' || c == '-' || c == ':' || c == '$';
}

static er_redis_reply_kind kind_of(const redisReply *r) {
    switch (r->type) {
    case REDIS_REPLY_INTEGER:
        return ER_REDIS_INTEGER;
    case REDIS_REPLY_NIL:
        return ER_REDIS_NIL;
    case REDIS_REPLY_ERROR:
        return ER_REDIS_ERROR;
    default:
        return ER_REDIS_TEXT;
    }
}

er_status er_redis_reply_next(redisReader *reader, er_redis_reply *reply, bool *got, er_err *err) {
    *got = false;
    *reply = (er_redis_reply){0};
    if (is_idle(reader)) {
        return ER_OK;
    }
    if (!is_expected(reader)) {
        return er_err_set(err, ER_E_UNAVAILABLE, "the answer is not one of Redis to our commands");
    }
    void *object = NULL;
    if (redisReaderGetReply(reader, &object) != REDIS_OK) {
        return er_err_set(err, ER_E_UNAVAILABLE, "the answer is not one of Redis: %.120s",
                          reader->errstr);
    }
    if (object == NULL) {
        return reader->len - reader->pos <= ER_REDIS_REPLY_MAX
                   ? ER_OK
                   : er_err_set(err, ER_E_UNAVAILABLE, "an answer is over %d bytes",
                                ER_REDIS_REPLY_MAX);
    }
    const redisReply *r = object;
    *reply = (er_redis_reply){.kind = kind_of(r), .integer = r->integer, .owner = object};
    if (r->str != NULL) {
        reply->text = (er_str){r->str, r->len};
    }
    *got = true;
    return ER_OK;
}

void er_redis_reply_fini(er_redis_reply *reply) {
    if (reply->owner != NULL) {
        freeReplyObject(reply->owner);
    }
    *reply = (er_redis_reply){0};
}

bool er_redis_is_entry_id(er_str text) {
    const char *dash = text.n == 0 ? NULL : memchr(text.p, '-', text.n);
    uint64_t v;
    return dash != NULL && er_parse_u64((er_str){text.p, (size_t)(dash - text.p)}, &v) &&
           er_parse_u64((er_str){dash + 1, text.n - (size_t)(dash - text.p) - 1}, &v);
}
