#include "sinks/redis_judge.h"

#include <string.h>

#define TEXT_MAX 200

#define RETRY(prefix_, advice_)                                                                    \
    { (prefix_), ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE, (advice_) }
#define DENIED(prefix_, advice_)                                                                   \
    { (prefix_), ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE, (advice_) }
#define DENIED_STREAM(prefix_, advice_)                                                            \
    { (prefix_), ER_VERDICT_ASIDE, ER_E_DENIED, ER_REASON_NONE, (advice_) }
#define REJECT(prefix_, reason_)                                                                   \
    { (prefix_), ER_VERDICT_REJECT, ER_OK, (reason_), NULL }

#define NEEDS_RIGHTS "the account needs more rights: see config/examples/redis.yaml"
#define CLUSTER                                                                                    \
    "this is a node of a Redis Cluster, which is not supported; give the address of a server or "  \
    "proxy that takes every key"

#define TOO_OLD                                                                                    \
    "the server does not take XADD in this form: minId and noMkStream need Redis 6.2, maxLen "     \
    "needs Redis 5"
#define AT_THE_END "delete the stream, or change stream"

/* The first that fits decides: within ERR, the special before the general. Only what the content of
 * one record brings about may reject it: everything else would meet all records alike. */
static const er_redis_rule rules[] = {
    RETRY("OOM", "the server's maxmemory is reached; trim the stream (maxLen, minId) or raise it"),
    RETRY("LOADING", NULL),
    RETRY("BUSY", "a script is running on the server"),
    RETRY("UNKILLABLE", NULL),
    RETRY("READONLY", "this is a replica; the address is looked up again"),
    RETRY("MISCONF", "the server cannot write to its disk; look at its log"),
    RETRY("NOREPLICAS", "the server lacks replicas (min-replicas-to-write)"),
    RETRY("MASTERDOWN", NULL),
    RETRY("CLUSTERDOWN", NULL),
    RETRY("TRYAGAIN", NULL),
    RETRY("ERR max number of clients", NULL),
    RETRY("ERR WAIT cannot be used with replica", NULL), /* beside READONLY, after a failover */
    DENIED_STREAM("WRONGTYPE",
                  "the key of the stream holds something else; delete it, or change stream"),
    DENIED("NOAUTH", "set username and password"),
    DENIED("WRONGPASS", "check username and password"),
    DENIED_STREAM("NOPERM", NEEDS_RIGHTS),
    /* Of a command inside the script of dedupe; Redis 6 leaves the ERR out. */
    DENIED_STREAM("ERR The user executing the script", NEEDS_RIGHTS),
    DENIED_STREAM("The user executing the script", NEEDS_RIGHTS),
    DENIED_STREAM("ERR ACL failure in script", NEEDS_RIGHTS),
    DENIED("ERR Error", "the server does not run the script of dedupe"),
    DENIED("MOVED", CLUSTER),
    DENIED("ASK", CLUSTER),
    DENIED("CROSSSLOT", CLUSTER),
    DENIED("DENIED", "the server is in protected mode: give it a password, or let it listen on the "
                     "addresses it shall serve"),
    DENIED("ERR unknown command", "the server has no streams (Redis 5), or the command is renamed"),
    DENIED("ERR syntax error", TOO_OLD),
    DENIED("ERR wrong number of arguments", TOO_OLD),
    DENIED("ERR Invalid stream ID", TOO_OLD), /* Redis before 6.2 takes the option for the id */
    DENIED_STREAM("ERR The stream has exhausted the last possible ID", AT_THE_END),
    DENIED_STREAM("ERR The ID specified in XADD", AT_THE_END), /* the same, in other words */
    DENIED("ERR invalid password", "check password"),
    DENIED("ERR Client sent AUTH, but no password is set", "remove password"),
    DENIED("ERR AUTH", "remove password, or check username"),
    DENIED("ERR DB index is out of range", "check db"),
    REJECT("ERR Protocol error: invalid bulk length", ER_REASON_TOO_LARGE),
    REJECT("ERR Elements are too large to be stored", ER_REASON_TOO_LARGE),
    DENIED("ERR Protocol error: unauthenticated", "set username and password"),
    DENIED("ERR", NULL),
};

static const er_redis_rule unknown =
    RETRY("", "this reply is not known; the record is tried again");

/* "OOM" is a whole word: it does not fit "OOMPH". */
static bool fits(er_str text, const char *prefix) {
    size_t n = strlen(prefix);
    if (!er_str_starts(text, prefix)) {
        return false;
    }
    char next = text.n > n ? text.p[n] : ' ';
    bool is_word = (next >= 'a' && next <= 'z') || (next >= 'A' && next <= 'Z') || next == '_';
    return !is_word;
}

const er_redis_rule *er_redis_judge(er_str text) {
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        if (fits(text, rules[i].prefix)) {
            return &rules[i];
        }
    }
    return &unknown;
}

void er_redis_put_reply(er_str text, const er_redis_rule *rule, er_buf *out) {
    er_str cut = {text.p, er_utf8_cut(text, TEXT_MAX)};
    if (rule->advice != NULL && cut.n > 0 && cut.p[cut.n - 1] == '.') {
        cut.n--;
    }
    for (size_t i = 0; i < cut.n; i++) {
        unsigned char c = (unsigned char)cut.p[i];
        er_buf_putc(out, c < 0x20 || c == 0x7f ? ' ' : cut.p[i]);
    }
    if (rule->advice != NULL) {
        er_buf_puts(out, ": ");
        er_buf_puts(out, rule->advice);
    }
}
