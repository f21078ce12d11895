/* sinks/redis_reply and sinks/redis_judge: what a peer that may be anybody answers.
 *
 * Input: how the bytes are cut into pieces (one byte), then the bytes. A reader of one line of RESP
 * at a time, written a second time, says which replies stand in them. */
#include "fuzz.h"

#include "sinks/redis_judge.h"
#include "sinks/redis_reply.h"

typedef struct seen {
    er_redis_reply_kind kind;
    int64_t integer;
    er_str text;
} seen;

/* ---- by hand ---- */

/* The line at *at without its CR LF; false: it has no end yet. */
static bool line_at(er_str s, size_t at, er_str *line) {
    const char *end = at >= s.n ? NULL : memmem(s.p + at, s.n - at, "\r\n", 2);
    if (end == NULL) {
        return false;
    }
    *line = (er_str){s.p + at, (size_t)(end - s.p) - at};
    return true;
}

static bool number_of(er_str text, int64_t *out) {
    bool minus = text.n > 0 && text.p[0] == '-';
    er_str digits = minus ? (er_str){text.p + 1, text.n - 1} : text;
    uint64_t v;
    if (!er_parse_u64(digits, &v) || v > INT64_MAX || (digits.n > 1 && digits.p[0] == '0') ||
        (minus && v == 0)) {
        return false;
    }
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

/* The reply at *at, which moves behind it. 1: there is one; 0: more bytes are needed; -1: this is
 * none of ours, or hiredis may see it in another way. */
static int reply_at(er_str s, size_t *at, seen *out) {
    er_str line;
    if (*at < s.n && strchr("+-:$", s.p[*at]) == NULL) {
        return -1;
    }
    if (!line_at(s, *at + 1, &line)) {
        return *at >= s.n || s.p[*at] != '\0' ? 0 : -1;
    }
    size_t next = *at + 1 + line.n + 2;
    int64_t n = 0;
    char type = s.p[*at];
    if ((type == ':' || type == '$') && !number_of(line, &n)) {
        return -1;
    }
    *out = (seen){.kind = type == '-'              ? ER_REDIS_ERROR
                          : type == ':'            ? ER_REDIS_INTEGER
                          : type == '$' && n == -1 ? ER_REDIS_NIL
                                                   : ER_REDIS_TEXT,
                  .integer = type == ':' ? n : 0,
                  .text = type == ':' ? (er_str){0} : line};
    if (type == '$' && n == -1) {
        out->text = (er_str){0};
    } else if (type == '$') {
        if (n < -1 || n > (int64_t)s.n + 2) {
            return n < -1 ? -1 : 0;
        }
        if (next + (size_t)n + 2 > s.n) {
            return 0;
        }
        out->text = (er_str){s.p + next, (size_t)n};
        next += (size_t)n + 2;
    }
    *at = next;
    return 1;
}

/* ---- claims ---- */

static void check_judge(const er_redis_reply *reply) {
    const er_redis_rule *rule = er_redis_judge(reply->text);
    bool rejects = rule->verdict == ER_VERDICT_REJECT;
    FUZZ_CHECK(rejects || rule->verdict == ER_VERDICT_RETRY ||
               (rule->verdict == ER_VERDICT_ASIDE && rule->state == ER_E_DENIED));
    FUZZ_CHECK(rejects == (rule->state == ER_OK) && rejects == (rule->reason != ER_REASON_NONE));
    FUZZ_CHECK(!rejects || er_str_starts(reply->text, "ERR"));
    FUZZ_CHECK(er_str_starts(reply->text, rule->prefix));
    er_buf text;
    er_buf_init(&text, 1024);
    er_redis_put_reply(reply->text, rule, &text);
    FUZZ_CHECK(er_buf_status(&text) == ER_OK && text.len < 512);
    for (size_t i = 0; i < text.len; i++) {
        FUZZ_CHECK((unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f);
    }
    er_buf_fini(&text);
}

static void check_reply(const er_redis_reply *reply, const seen *want) {
    FUZZ_CHECK(reply->kind == want->kind);
    FUZZ_CHECK(reply->kind != ER_REDIS_INTEGER || reply->integer == want->integer);
    if (reply->kind == ER_REDIS_TEXT || reply->kind == ER_REDIS_ERROR) {
        FUZZ_CHECK(er_str_eq(reply->text, want->text));
    }
    if (reply->kind == ER_REDIS_ERROR) {
        check_judge(reply);
    }
    if (reply->kind == ER_REDIS_TEXT && er_redis_is_entry_id(reply->text)) {
        FUZZ_CHECK(reply->text.n >= 3 && memchr(reply->text.p, '-', reply->text.n) != NULL);
        for (size_t i = 0; i < reply->text.n; i++) {
            FUZZ_CHECK(strchr("0123456789-", reply->text.p[i]) != NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    size_t piece = fuzz_byte(&in) + 1;
    er_str all = {in.p, in.n};
    redisReader *reader = redisReaderCreate();
    FUZZ_CHECK(reader != NULL);
    er_status status = ER_OK;
    size_t at = 0;
    int more = 1;
    while (in.n > 0 && status == ER_OK) {
        er_str bytes = fuzz_take(&in, piece);
        FUZZ_CHECK(redisReaderFeed(reader, bytes.p, bytes.n) == REDIS_OK);
        for (bool got = true; got && status == ER_OK;) {
            er_redis_reply reply;
            er_err err = {0};
            status = er_redis_reply_next(reader, &reply, &got, &err);
            FUZZ_CHECK(status == ER_OK ||
                       (status == ER_E_UNAVAILABLE && err.msg[0] != '\0' && !got));
            seen want;
            if (got && more > 0) {
                more = reply_at(all, &at, &want);
                FUZZ_CHECK(more != 0);
            }
            if (got && more > 0) {
                check_reply(&reply, &want);
            }
            er_redis_reply_fini(&reply);
        }
    }
    seen left;
    if (status == ER_OK && more > 0) { /* all was taken: nothing whole is left */
        FUZZ_CHECK(reply_at(all, &at, &left) <= 0);
    }
    redisReaderFree(reader);
    return 0;
}
