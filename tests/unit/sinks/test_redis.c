/* The redis sink: its commands byte by byte, the table of replies, and what becomes of a batch when
 * a peer says anything at all. */
#include "base/thread.h"
#include "sink_fixture.h"
#include "sinks/redis_judge.h"
#include "sinks/redis_reply.h"
#include "unit.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define BULK(length_, text_) "$" length_ "\r\n" text_ "\r\n"
#define DATA(i_)             BULK("4", "data") BULK("332", RECORD(i_))
#define ID(i_)               BULK("2", "id") BULK("3", "u-" i_)
#define KIND                 BULK("4", "kind") BULK("5", "event")

/* ---- commands ---- */

static void expect_command(const char *yaml, const char *want) {
    fixture f;
    char text[512];
    (void)snprintf(text, sizeof text, "address: localhost\n%s", yaml);
    fixture_init(&f, &er_redis_sink, text);
    er_batch *batch = batch_of(&f, 1);
    assert_str(er_buf_str(&er_batch_item(batch, 0)->body), want);
    er_batch_free(batch);
    fixture_fini(&f);
}

static void test_commands(void **state) {
    (void)state;
    expect_command("", "*9\r\n" BULK("4", "XADD") BULK("10", "k8s:events") BULK("1", "*") ID("1")
                           KIND DATA("1"));
    expect_command("maxLen: 1000\nnoMkStream: true\nfields: [data]\nstream: \"a:{kind}\"",
                   "*9\r\n" BULK("4", "XADD") BULK("7", "a:event") BULK("10", "NOMKSTREAM")
                       BULK("6", "MAXLEN") BULK("1", "~") BULK("4", "1000") BULK("1", "*")
                           DATA("1"));
    /* 2026-01-02T03:04:25.500Z less an hour */
    expect_command("minId: 1h\nfields: id\n",
                   "*8\r\n" BULK("4", "XADD") BULK("10", "k8s:events") BULK("5", "MINID")
                       BULK("1", "~") BULK("13", "1767319465500") BULK("1", "*") ID("1"));
    expect_command("fields: [cluster, time, observedTime, severity, type, reason, message, "
                   "namespace, schema, id]",
                   "*23\r\n" BULK("4", "XADD") BULK("10", "k8s:events") BULK("1", "*")
                       BULK("7", "cluster") BULK("8", "prod-eu1") BULK("4", "time")
                           BULK("20", "2026-01-02T03:04:20Z") BULK("12", "observedTime")
                               BULK("27", "2026-01-02T03:04:25.500000Z") BULK("8", "severity")
                                   BULK("7", "WARNING") BULK("4", "type") BULK("7", "Warning")
                                       BULK("6", "reason") BULK("7", "BackOff") BULK("7", "message")
                                           BULK("2", "m1") BULK("9", "namespace") BULK("4", "shop")
                                               BULK("6", "schema") BULK("17", "eventrouter.io/v1")
                                                   ID("1"));
}

static void test_the_script_comes_with_what_it_needs(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_redis_sink,
                 "address: localhost\ndedupe: {ttl: 1500ms, prefix: \"seen:\"}\nfields: [id]\n"
                 "maxLen: 5\n");
    er_batch *batch = batch_of(&f, 1);
    er_str body = er_buf_str(&er_batch_item(batch, 0)->body);
    static const char head[] = "*12\r\n" BULK("4", "EVAL");
    static const char tail[] =
        "\r\n" BULK("1", "2") BULK("19", "seen:k8s:events:u-1") BULK("10", "k8s:events")
            BULK("1", "2") BULK("6", "MAXLEN") BULK("1", "~") BULK("1", "5") BULK("1", "*") ID("1");
    assert_memory_equal(body.p, head, sizeof head - 1);
    assert_str(((er_str){body.p + body.n - (sizeof tail - 1), sizeof tail - 1}), tail);
    er_batch_free(batch);
    fixture_fini(&f);
}

static void test_names_are_harmless(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, &er_redis_sink,
                 "address: localhost\nfields: [id, namespace]\nstream: \"{cluster}/{reason}.x\"\n");
    er_record draft = draft_of("u-1", "m");
    draft.cluster = ER_STR("a b:\r\n\xc3\xa9");
    draft.reason = ER_STR("");
    draft.namespace_ = ER_STR("");
    er_batch *batch = er_batch_new();
    batch_add(&f, batch, er_record_seal(&draft));
    assert_str(er_buf_str(&er_batch_item(batch, 0)->body),
               "*5\r\n" BULK("4", "XADD") BULK("12", "a_b_____/_.x") BULK("1", "*") ID("1"));
    er_batch_free(batch);
    fixture_fini(&f);
}

/* ---- the table ---- */

/* As servers say it, from 5 to 8. */
static const struct {
    const char *reply;
    er_verdict verdict;
    er_status state;
    er_reason reason;
} table[] = {
    {"OOM command not allowed when used memory > 'maxmemory'.", ER_VERDICT_RETRY, ER_E_UNAVAILABLE,
     ER_REASON_NONE},
    {"LOADING Redis is loading the dataset in memory", ER_VERDICT_RETRY, ER_E_UNAVAILABLE,
     ER_REASON_NONE},
    {"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
     ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"READONLY You can't write against a read only replica.", ER_VERDICT_RETRY, ER_E_UNAVAILABLE,
     ER_REASON_NONE},
    {"MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist "
     "to disk.",
     ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"NOREPLICAS Not enough good replicas to write.", ER_VERDICT_RETRY, ER_E_UNAVAILABLE,
     ER_REASON_NONE},
    {"MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
     ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"CLUSTERDOWN The cluster is down", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"TRYAGAIN Multiple keys request during rehashing of slot", ER_VERDICT_RETRY, ER_E_UNAVAILABLE,
     ER_REASON_NONE},
    {"UNKILLABLE Sorry the script already executed write commands", ER_VERDICT_RETRY,
     ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"ERR max number of clients reached", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"WRONGTYPE Operation against a key holding the wrong kind of value", ER_VERDICT_ASIDE,
     ER_E_DENIED, ER_REASON_NONE},
    {"NOAUTH Authentication required.", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"WRONGPASS invalid username-password pair or user is disabled.", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"NOPERM User router has no permissions to run the 'xadd' command", ER_VERDICT_ASIDE,
     ER_E_DENIED, ER_REASON_NONE},
    {"MOVED 3999 127.0.0.1:6381", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ASK 3999 127.0.0.1:6381", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"CROSSSLOT Keys in request don't hash to the same slot", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"DENIED Redis is running in protected mode because protected mode is enabled",
     ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR unknown command 'XADD'", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR unknown command `XADD`, with args beginning with: `k`,", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"ERR The user executing the script can't run this command or subcommand", ER_VERDICT_ASIDE,
     ER_E_DENIED, ER_REASON_NONE},
    {"The user executing the script can't run this command or subcommand", ER_VERDICT_ASIDE,
     ER_E_DENIED, ER_REASON_NONE},
    {"ERR ACL failure in script: User router has no permissions to run the 'set' command",
     ER_VERDICT_ASIDE, ER_E_DENIED, ER_REASON_NONE},
    {"ERR Error compiling script (new function): user_script:1: unexpected symbol",
     ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR The stream has exhausted the last possible ID, unable to add more items",
     ER_VERDICT_ASIDE, ER_E_DENIED, ER_REASON_NONE},
    {"ERR invalid password", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR Client sent AUTH, but no password is set", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR AUTH <password> called without any password configured for the default user. Are "
     "you sure your configuration is correct?",
     ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR DB index is out of range", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR Protocol error: invalid bulk length", ER_VERDICT_REJECT, ER_OK, ER_REASON_TOO_LARGE},
    {"ERR Elements are too large to be stored", ER_VERDICT_REJECT, ER_OK, ER_REASON_TOO_LARGE},
    /* All records are alike in these: none is rejected. */
    {"ERR Protocol error: too big bulk count string", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"ERR Protocol error: unauthenticated bulk length", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"ERR max number of clients + cluster connections reached", ER_VERDICT_RETRY, ER_E_UNAVAILABLE,
     ER_REASON_NONE},
    {"ERR syntax error", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
     ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR wrong number of arguments for 'xadd' command", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"ERR Invalid stream ID specified as stream command argument", ER_VERDICT_RETRY, ER_E_DENIED,
     ER_REASON_NONE},
    {"ERR The ID specified in XADD is equal or smaller than the target stream top item",
     ER_VERDICT_ASIDE, ER_E_DENIED, ER_REASON_NONE},
    {"ERR value is not an integer or out of range", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR Connection refused", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    {"ERR", ER_VERDICT_RETRY, ER_E_DENIED, ER_REASON_NONE},
    /* Whole words only; nothing is lost for a word that is not known. */
    {"ERROR what", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"OOMPH", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"NOPERMS", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"WEATHER is bad", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
    {"", ER_VERDICT_RETRY, ER_E_UNAVAILABLE, ER_REASON_NONE},
};

static void test_the_table(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        const er_redis_rule *rule = er_redis_judge(er_str_of(table[i].reply));
        if (rule->verdict != table[i].verdict || rule->state != table[i].state ||
            rule->reason != table[i].reason) {
            fail_msg("%s: verdict %d, state %d, reason %d", table[i].reply, rule->verdict,
                     rule->state, rule->reason);
        }
    }
}

static void test_replies_are_shown_on_one_short_line(void **state) {
    (void)state;
    er_buf text;
    er_buf_init(&text, 4096);
    er_str reply = ER_STR("WEATHER\x1b[2Jis\tbad.");
    er_redis_put_reply(reply, er_redis_judge(reply), &text);
    assert_str(er_buf_str(&text),
               "WEATHER [2Jis bad: this reply is not known; the record is tried again");
    er_buf_clear(&text);
    reply = ER_STR("MISCONF Errors writing to the AOF file: No space left on device");
    er_redis_put_reply(reply, er_redis_judge(reply), &text);
    assert_str(er_buf_str(&text),
               "MISCONF Errors writing to the AOF file: No space left on device: "
               "the server cannot write to its disk; look at its log");
    er_buf_clear(&text);
    char longer[1000];
    memset(longer, 'x', sizeof longer);
    memcpy(longer, "ERR ", 4);
    er_str err = {longer, sizeof longer};
    er_redis_put_reply(err, er_redis_judge(err), &text);
    assert_int_equal(text.len, 200);
    er_buf_fini(&text);
}

/* ---- a peer that says what it is told ---- */

typedef struct peer {
    int listener, port;
    er_cancel stop;
    er_thread thread;
    const char *greeting; /* answer to what comes first; NULL: hangs up */
    const char *answer;   /* to the batch */
    size_t commands;      /* so many XADD or EVAL are read before the answer */
    bool hangs_up;        /* behind it */
    atomic_size_t connections;
} peer;

static bool peer_wait(peer *p, int fd) {
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = p->stop.fd, .events = POLLIN}};
    return poll(fds, 2, -1) > 0 && fds[1].revents == 0;
}

static size_t count(const char *text, const char *what) {
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++) {
        n++;
    }
    return n;
}

/* Reads until so many commands of that name are there; false at the end. */
static bool peer_read(peer *p, int fd, const char *name, size_t n) {
    static char text[1 << 20];
    size_t len = 0;
    text[0] = '\0';
    while (count(text, name) < n) {
        ssize_t got = peer_wait(p, fd) ? recv(fd, text + len, sizeof text - 1 - len, 0) : 0;
        if (got <= 0) {
            return false;
        }
        len += (size_t)got;
        text[len] = '\0';
    }
    return true;
}

static void peer_serve(peer *p, int fd) {
    if (!peer_read(p, fd, "SETNAME", 1) || p->greeting == NULL) {
        return;
    }
    (void)send(fd, p->greeting, strlen(p->greeting), MSG_NOSIGNAL);
    if (p->answer == NULL || !peer_read(p, fd, "XADD", p->commands)) {
        return;
    }
    (void)send(fd, p->answer, strlen(p->answer), MSG_NOSIGNAL);
    if (!p->hangs_up) {
        (void)peer_wait(p, fd);
    }
}

static void *peer_run(void *arg) {
    peer *p = arg;
    while (peer_wait(p, p->listener)) {
        int fd = accept(p->listener, NULL, NULL);
        if (fd >= 0) {
            atomic_fetch_add(&p->connections, 1);
            peer_serve(p, fd);
            (void)close(fd);
        }
    }
    return NULL;
}

static void peer_start(peer *p) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t n = sizeof at;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(p->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(p->listener, 8), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&at, &n), 0);
    p->port = ntohs(at.sin_port);
    assert_int_equal(er_cancel_init(&p->stop, NULL), ER_OK);
    assert_int_equal(er_thread_start(&p->thread, "peer", peer_run, p, NULL), ER_OK);
}

static void peer_stop(peer *p) {
    er_cancel_set(&p->stop);
    er_thread_join(p->thread);
    er_cancel_fini(&p->stop);
    (void)close(p->listener);
}

typedef struct delivery {
    peer p;
    fixture f;
    er_batch *batch;
    er_status status;
    er_err err;
} delivery;

/* Delivers n records to a peer with these answers. */
static void deliver(delivery *d, const char *yaml, const char *greeting, const char *answer,
                    size_t n, bool hangs_up) {
    *d = (delivery){
        .p = {.greeting = greeting, .answer = answer, .commands = n, .hangs_up = hangs_up}};
    peer_start(&d->p);
    char text[512];
    (void)snprintf(text, sizeof text,
                   "address: 127.0.0.1:%d\ntimeout: {connect: 5s, request: 5s}\n%s", d->p.port,
                   yaml);
    fixture_init(&d->f, &er_redis_sink, text);
    d->batch = batch_of(&d->f, n);
    d->status = d->f.type->deliver(d->f.self, d->batch, &d->err);
}

/* text: what follows the peer's address. */
static void expect_error(const delivery *d, er_status status, const char *text) {
    assert_int_equal(d->status, status);
    char want[512];
    (void)snprintf(want, sizeof want, "127.0.0.1:%d%s", d->p.port, text);
    assert_string_equal(d->err.msg, want);
}

static void finish(delivery *d) {
    er_batch_free(d->batch);
    fixture_fini(&d->f);
    peer_stop(&d->p);
}

static void expect_each(const delivery *d, const er_verdict *want) {
    for (size_t i = 0; i < er_batch_len(d->batch); i++) {
        if (er_batch_verdict(d->batch, i) != want[i]) {
            fail_msg("record %zu: verdict %d", i, er_batch_verdict(d->batch, i));
        }
    }
}

#define OK_  "+OK\r\n"
#define GOOD "$15\r\n1700000000000-0\r\n"

static void test_each_reply_is_for_its_record(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "", OK_,
            GOOD "-ERR Elements are too large to be stored\r\n" GOOD "+1700000000001-3\r\n", 4,
            false);
    assert_int_equal(d.status, ER_OK);
    expect_each(&d, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_REJECT, ER_VERDICT_DELIVERED,
                                   ER_VERDICT_DELIVERED});
    finish(&d);
}

static void test_the_worst_reply_is_the_endpoints_state(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "", OK_,
            GOOD "-OOM no room.\r\n"
                 "-NOPERM no 'xadd'\r\n"
                 "-OOM no room\r\n" GOOD,
            5, false);
    expect_error(&d, ER_E_DENIED,
                 ": NOPERM no 'xadd': the account needs more rights: see "
                 "config/examples/redis.yaml");
    expect_each(&d, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_RETRY, ER_VERDICT_RETRY,
                                   ER_VERDICT_RETRY, ER_VERDICT_DELIVERED});
    finish(&d);
}

/* As a server before 6.2 says it of every record: a mistake of the operator costs none. */
static void test_a_command_that_is_not_taken_keeps_all_records(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "minId: 1h\n", OK_, "-ERR syntax error\r\n-ERR syntax error\r\n", 2, false);
    expect_error(&d, ER_E_DENIED,
                 ": ERR syntax error: the server does not take XADD in this form: minId and "
                 "noMkStream need Redis 6.2, maxLen needs Redis 5");
    expect_verdicts(d.batch, ER_VERDICT_RETRY);
    finish(&d);
}

static void test_what_has_no_reply_is_tried_again(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "", OK_, GOOD GOOD "$15\r\n17000", 4, true);
    expect_error(&d, ER_E_UNAVAILABLE, " closed the connection");
    expect_each(&d, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_DELIVERED, ER_VERDICT_NONE,
                                   ER_VERDICT_NONE});
    finish(&d);
}

/* As Redis does for a value over proto-max-bulk-len: it answers and hangs up. */
static void test_a_record_too_large_costs_only_itself(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "", OK_, GOOD "-ERR Protocol error: invalid bulk length\r\n", 3, true);
    assert_int_equal(d.status, ER_E_UNAVAILABLE);
    expect_each(&d, (er_verdict[]){ER_VERDICT_DELIVERED, ER_VERDICT_REJECT, ER_VERDICT_NONE});
    finish(&d);
}

static void test_only_the_id_of_an_entry_is_proof(void **state) {
    (void)state;
    static const char *const others[] = {"+OK\r\n", ":0\r\n",   ":1\r\n", "$0\r\n\r\n",
                                         "+12\r\n", "+1-x\r\n", "+-1\r\n"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        delivery d;
        deliver(&d, "", OK_, others[i], 1, false);
        expect_error(&d, ER_E_UNAVAILABLE, ": the answer to XADD is not the id of an entry");
        expect_verdicts(d.batch, ER_VERDICT_NONE);
        finish(&d);
    }
}

static void test_a_repetition_counts_as_delivered_with_dedupe_only(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "dedupe: {ttl: 1h}\n", OK_, ":0\r\n" GOOD, 2, false);
    assert_int_equal(d.status, ER_OK);
    expect_verdicts(d.batch, ER_VERDICT_DELIVERED);
    finish(&d);
    deliver(&d, "dedupe: {ttl: 1h}\n", OK_, ":1\r\n", 1, false);
    assert_int_equal(d.status, ER_E_UNAVAILABLE);
    expect_verdicts(d.batch, ER_VERDICT_NONE);
    finish(&d);
}

static void test_nothing_counts_before_the_replicas_have_it(void **state) {
    (void)state;
    const char *yaml = "wait: {replicas: 2, timeout: 10ms}\n";
    static const struct {
        const char *answer, *text;
        er_status status;
    } rows[] = {
        {GOOD GOOD ":2\r\n", "", ER_OK},
        {GOOD GOOD ":1\r\n", ": 1 of 2 replicas have the records (wait.replicas)",
         ER_E_UNAVAILABLE},
        {GOOD GOOD "-ERR WAIT cannot be used with replica instances\r\n",
         ": ERR WAIT cannot be used with replica instances", ER_E_UNAVAILABLE},
        {GOOD GOOD "-NOPERM no 'wait'\r\n",
         ": NOPERM no 'wait': the account needs more rights: see config/examples/redis.yaml",
         ER_E_DENIED},
        {GOOD GOOD "-ERR timeout is not an integer\r\n", ": ERR timeout is not an integer",
         ER_E_DENIED},
        {GOOD GOOD, " closed the connection", ER_E_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        delivery d;
        deliver(&d, yaml, OK_, rows[i].answer, 2, true);
        if (rows[i].status == ER_OK) {
            assert_int_equal(d.status, ER_OK);
            expect_verdicts(d.batch, ER_VERDICT_DELIVERED);
        } else {
            expect_error(&d, rows[i].status, rows[i].text);
            expect_verdicts(d.batch, ER_VERDICT_RETRY);
        }
        finish(&d);
    }
}

static void test_a_stranger_is_not_redis(void **state) {
    (void)state;
    static const char *const answers[] = {
        "*2000000000\r\n",
        "*1\r\n$1\r\na\r\n",
        "%1\r\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n",
        "$99999999999999999999\r\n",
        ":x\r\n",
        "\r\n",
    };
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        delivery d;
        deliver(&d, "", OK_, answers[i], 1, false);
        assert_int_equal(d.status, ER_E_UNAVAILABLE);
        assert_non_null(strstr(d.err.msg, ": the answer is not one of Redis"));
        expect_verdicts(d.batch, ER_VERDICT_NONE);
        finish(&d);
    }
}

/* hiredis would make room for the whole array at once. */
static void test_an_array_is_seen_wherever_the_pieces_end(void **state) {
    (void)state;
    static const char bytes[] = "+OK\r\n*777777770\r\n";
    for (size_t cut = 1; cut < sizeof bytes - 1; cut++) {
        redisReader *reader = redisReaderCreate();
        er_redis_reply reply;
        er_status status = ER_OK;
        er_err err = {0};
        bool got = false;
        size_t replies = 0;
        const size_t ends[] = {0, cut, sizeof bytes - 1};
        for (size_t i = 0; i < 2; i++) {
            (void)redisReaderFeed(reader, bytes + ends[i], ends[i + 1] - ends[i]);
            do {
                status = er_redis_reply_next(reader, &reply, &got, &err);
                replies += got;
                er_redis_reply_fini(&reply);
            } while (got && status == ER_OK);
            if (status != ER_OK) {
                break;
            }
        }
        assert_int_equal(status, ER_E_UNAVAILABLE);
        assert_int_equal(replies, 1);
        assert_string_equal(err.msg, "the answer is not one of Redis to our commands");
        redisReaderFree(reader);
    }
}

static void test_a_reply_without_end_is_given_up(void **state) {
    (void)state;
    static char endless[3 * ER_REDIS_REPLY_MAX];
    memset(endless, 'x', sizeof endless - 1);
    static const char *const heads[] = {"-", "$1000000\r\n"};
    for (size_t i = 0; i < 2; i++) {
        memcpy(endless, heads[i], strlen(heads[i]));
        delivery d;
        deliver(&d, "", OK_, endless, 1, false);
        expect_error(&d, ER_E_UNAVAILABLE, ": an answer is over 65536 bytes");
        finish(&d);
    }
}

static void test_the_first_commands(void **state) {
    (void)state;
    static const struct {
        const char *greeting, *text;
        er_status status;
    } rows[] = {
        {"+OK\r\n-ERR DB index is out of range\r\n+OK\r\n",
         ": SELECT: ERR DB index is out of range: check db", ER_E_DENIED},
        {"-WRONGPASS invalid.\r\n-NOAUTH x\r\n-NOAUTH x\r\n",
         ": AUTH: WRONGPASS invalid: check username and password", ER_E_DENIED},
        {"-LOADING wait\r\n-LOADING wait\r\n-LOADING wait\r\n", ": AUTH: LOADING wait",
         ER_E_UNAVAILABLE},
        {"-ERR something\r\n+OK\r\n+OK\r\n", ": AUTH: ERR something", ER_E_DENIED},
        {"+OK\r\n+OK\r\n-NOAUTH x\r\n", ": CLIENT SETNAME: NOAUTH x: set username and password",
         ER_E_DENIED},
        {NULL, " closed the connection before the first answer; a port with TLS wants tls",
         ER_E_UNAVAILABLE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        delivery d;
        deliver(&d, "db: 3\npassword: p\n", rows[i].greeting, NULL, 1, false);
        expect_error(&d, rows[i].status, rows[i].text);
        finish(&d);
    }
    /* A name that is not taken is no matter. */
    static const char *const unnamed[] = {"+OK\r\n+OK\r\n-NOPERM no client|setname\r\n",
                                          "+OK\r\n+OK\r\n-ERR unknown command 'client'\r\n",
                                          "+OK\r\n+OK\r\n-ERR unknown subcommand\r\n"};
    for (size_t i = 0; i < sizeof unnamed / sizeof unnamed[0]; i++) {
        delivery d;
        deliver(&d, "db: 3\npassword: p\n", unnamed[i], GOOD, 1, false);
        assert_int_equal(d.status, ER_OK);
        expect_verdicts(d.batch, ER_VERDICT_DELIVERED);
        finish(&d);
    }
}

static void test_a_connection_is_kept_until_something_is_wrong(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "", OK_, GOOD "-OOM x\r\n", 2, false);
    assert_int_equal(d.status, ER_E_UNAVAILABLE);
    d.status = d.f.type->deliver(d.f.self, d.batch, &d.err); /* a new connection */
    assert_int_equal(d.status, ER_E_UNAVAILABLE);
    assert_int_equal(atomic_load(&d.p.connections), 2);
    finish(&d);
}

static void test_a_reply_too_many_ends_the_connection(void **state) {
    (void)state;
    delivery d;
    deliver(&d, "", OK_, GOOD GOOD, 1, false);
    assert_int_equal(d.status, ER_OK);
    er_batch_rewind(d.batch);
    d.status = d.f.type->deliver(d.f.self, d.batch, &d.err);
    assert_int_equal(d.status, ER_OK);
    assert_int_equal(atomic_load(&d.p.connections), 2);
    finish(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_the_script_comes_with_what_it_needs),
        cmocka_unit_test(test_names_are_harmless),
        cmocka_unit_test(test_the_table),
        cmocka_unit_test(test_replies_are_shown_on_one_short_line),
        cmocka_unit_test(test_each_reply_is_for_its_record),
        cmocka_unit_test(test_the_worst_reply_is_the_endpoints_state),
        cmocka_unit_test(test_a_command_that_is_not_taken_keeps_all_records),
        cmocka_unit_test(test_what_has_no_reply_is_tried_again),
        cmocka_unit_test(test_a_record_too_large_costs_only_itself),
        cmocka_unit_test(test_only_the_id_of_an_entry_is_proof),
        cmocka_unit_test(test_a_repetition_counts_as_delivered_with_dedupe_only),
        cmocka_unit_test(test_nothing_counts_before_the_replicas_have_it),
        cmocka_unit_test(test_a_stranger_is_not_redis),
        cmocka_unit_test(test_an_array_is_seen_wherever_the_pieces_end),
        cmocka_unit_test(test_a_reply_without_end_is_given_up),
        cmocka_unit_test(test_the_first_commands),
        cmocka_unit_test(test_a_connection_is_kept_until_something_is_wrong),
        cmocka_unit_test(test_a_reply_too_many_ends_the_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
