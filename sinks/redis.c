/* The sink that adds records to a Redis stream.
 *
 * A batch is one pipeline: its commands are sent at once, the replies come one for each, in order.
 * A record without a reply is tried again. After anything but success the connection is made anew:
 * the name is looked up again (after a failover the old address is a replica's, READONLY), and the
 * password is read again. */
#include "sinks/redis_command.h"
#include "sinks/redis_connect.h"
#include "sinks/redis_judge.h"
#include "sinks/redis_tls.h"

#include "sinks/name_template.h"
#include "sinks/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ITEM_MAX (16u << 20)

typedef struct redis_config {
    er_sink_settings common;
    char *address, *username, *client_name;
    er_secret_ref password;
    int64_t db;
    er_redis_entry entry;
    struct {
        int64_t replicas; /* -1: no WAIT */
        int64_t timeout_ms;
    } wait;
    struct {
        int64_t connect_ms, request_ms;
    } timeout;
    er_tls_settings tls;
} redis_config;

typedef struct redis_sink {
    const redis_config *config;
    char what[256]; /* "sinks.NAME" */
    er_redis_conn *conn;
    er_buf wait; /* the WAIT command; empty: none */
} redis_sink;

/* ---- life ---- */

static void put_wait(redis_sink *sink) {
    const redis_config *c = sink->config;
    char replicas[24];
    char timeout[24];
    er_buf_init(&sink->wait, 256);
    if (c->wait.replicas > 0) {
        (void)snprintf(replicas, sizeof replicas, "%" PRId64, c->wait.replicas);
        (void)snprintf(timeout, sizeof timeout, "%" PRId64, c->wait.timeout_ms);
        const er_str argv[] = {ER_STR("WAIT"), er_str_of(replicas), er_str_of(timeout)};
        er_redis_command_put(argv, 3, &sink->wait);
    }
}

static void redis_destroy(void *self) {
    redis_sink *sink = self;
    er_redis_conn_free(sink->conn);
    er_buf_fini(&sink->wait);
    free(sink);
}

static er_status redis_create(const er_sink_type *type, const void *config, const er_sink_env *env,
                              void **self, er_err *err) {
    (void)type;
    const redis_config *c = config;
    redis_sink *sink = er_xcalloc(1, sizeof *sink);
    sink->config = c;
    (void)snprintf(sink->what, sizeof sink->what, "sinks.%s", env->name);
    put_wait(sink);
    er_redis_options options = {
        .what = sink->what,
        .address = c->address,
        .username = c->username,
        .password = &c->password,
        .client_name = c->client_name,
        .db = c->db,
        .tls = c->tls.pos.line > 0 ? &c->tls : NULL,
        .connect_ms = c->timeout.connect_ms,
        .cancel = env->cancel,
        .heart = env->heart,
        .is_preview = env->is_preview,
    };
    er_status status = er_redis_conn_new(&options, &sink->conn, err);
    if (status != ER_OK) {
        redis_destroy(sink);
        return status;
    }
    *self = sink;
    return ER_OK;
}

static er_status redis_open(void *self, er_deadline until, er_err *err) {
    (void)until; /* timeout.connect is shorter or what the operator wants */
    return er_redis_conn_open(((redis_sink *)self)->conn, err);
}

static er_status redis_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    (void)err;
    const redis_sink *sink = self;
    er_redis_entry_put(&sink->config->entry, rec, &out->body);
    return er_buf_status(&out->body);
}

static void redis_target(void *self, const er_record *rec, er_buf *out) {
    er_name_template_put(((const redis_sink *)self)->config->entry.stream, rec, out);
}

static er_status redis_preview(void *self, const er_batch *batch, er_buf *out, er_err *err) {
    (void)err;
    const redis_sink *sink = self;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        er_buf_putf(out, "%s%s db %" PRId64 "\n", i > 0 ? "\n" : "", er_redis_conn_peer(sink->conn),
                    sink->config->db);
        er_redis_entry_show(er_buf_str(&er_batch_item(batch, i)->body), out);
    }
    return er_buf_status(out);
}

/* ---- delivering ---- */

/* What the replies of one batch come to. */
typedef struct outcome {
    const redis_sink *sink;
    er_batch *batch;
    er_status state; /* the worst: ER_OK, ER_E_UNAVAILABLE, ER_E_DENIED */
    er_buf text;     /* why */
    bool on_replicas;
} outcome;

/* The first of the worst is told. */
static void worsen(outcome *o, er_status state, const char *text) {
    bool is_worse = o->state == ER_OK || (o->state == ER_E_UNAVAILABLE && state == ER_E_DENIED);
    if (state != ER_OK && is_worse) {
        o->state = state;
        er_buf_clear(&o->text);
        er_buf_putf(&o->text, "%s: %s", er_redis_conn_peer(o->sink->conn), text);
    }
}

/* Of several streams one is refused: it holds up its own records only. */
static void refuse_stream(outcome *o, size_t i, const char *text) {
    bool is_one = !er_name_template_is_fixed(o->sink->config->entry.stream);
    er_batch_judge(o->batch, i, is_one ? ER_VERDICT_ASIDE : ER_VERDICT_RETRY, ER_REASON_NONE, text);
    worsen(o, is_one ? ER_OK : ER_E_DENIED, text);
}

static void on_error(outcome *o, size_t i, er_str reply) {
    const er_redis_rule *rule = er_redis_judge(reply);
    er_buf text;
    er_buf_init(&text, 1024);
    er_redis_put_reply(reply, rule, &text);
    if (i < er_batch_len(o->batch) && rule->verdict == ER_VERDICT_ASIDE) {
        refuse_stream(o, i, er_buf_cstr(&text));
    } else if (i < er_batch_len(o->batch)) {
        er_batch_judge(o->batch, i, rule->verdict, rule->reason, er_buf_cstr(&text));
        worsen(o, rule->state, er_buf_cstr(&text));
    } else { /* WAIT says nothing of a record */
        worsen(o, rule->state == ER_OK ? ER_E_DENIED : rule->state, er_buf_cstr(&text));
    }
    er_buf_fini(&text);
}

static void on_wait(outcome *o, const er_redis_reply *reply) {
    int64_t want = o->sink->config->wait.replicas;
    char text[128];
    o->on_replicas = reply->kind == ER_REDIS_INTEGER && reply->integer >= want;
    (void)snprintf(text, sizeof text,
                   "%" PRId64 " of %" PRId64 " replicas have the records (wait.replicas)",
                   reply->integer, want);
    if (!o->on_replicas) {
        worsen(o, ER_E_UNAVAILABLE, text);
    }
}

static bool is_proof(const outcome *o, const er_redis_reply *reply) {
    bool has_guard = o->sink->config->entry.dedupe.ttl_ms >= 0;
    return (reply->kind == ER_REDIS_TEXT && er_redis_is_entry_id(reply->text)) ||
           (has_guard && reply->kind == ER_REDIS_INTEGER && reply->integer == 0);
}

static void on_reply(void *arg, size_t i, const er_redis_reply *reply) {
    outcome *o = arg;
    if (reply->kind == ER_REDIS_ERROR) {
        on_error(o, i, reply->text);
    } else if (i == er_batch_len(o->batch)) {
        on_wait(o, reply);
    } else if (is_proof(o, reply)) {
        er_batch_judge(o->batch, i, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    } else if (reply->kind == ER_REDIS_NIL) {
        refuse_stream(o, i, "there is no such stream; make it, or set noMkStream: false");
    } else {
        worsen(o, ER_E_UNAVAILABLE, "the answer to XADD is not the id of an entry");
    }
}

/* What the replicas do not have may be lost with the server. */
static void take_back(er_batch *batch) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        if (er_batch_verdict(batch, i) == ER_VERDICT_DELIVERED) {
            er_batch_judge(batch, i, ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
        }
    }
}

static er_status send_batch(redis_sink *sink, outcome *o, er_err *err) {
    size_t n = er_batch_len(o->batch);
    er_status status = ER_OK;
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        status = er_redis_conn_put(sink->conn, er_buf_str(&er_batch_item(o->batch, i)->body), err);
    }
    if (sink->wait.len > 0 && status == ER_OK) {
        status = er_redis_conn_put(sink->conn, er_buf_str(&sink->wait), err);
        n++;
    }
    return status == ER_OK ? er_redis_conn_run(sink->conn, n, sink->config->timeout.request_ms,
                                               on_reply, o, err)
                           : status;
}

static er_status redis_deliver(void *self, er_batch *batch, er_err *err) {
    redis_sink *sink = self;
    er_status status = er_redis_conn_open(sink->conn, err);
    if (status != ER_OK) {
        return status;
    }
    outcome o = {.sink = sink, .batch = batch};
    er_buf_init(&o.text, 2048);
    status = send_batch(sink, &o, err);
    if (sink->wait.len > 0 && !o.on_replicas) {
        take_back(batch);
    }
    if (o.state != ER_OK && status != ER_E_CANCELLED) {
        status = er_err_set(err, o.state, "%s", er_buf_cstr(&o.text));
    }
    if (status != ER_OK) {
        er_redis_conn_close(sink->conn);
    }
    er_buf_fini(&o.text);
    return status;
}

/* ---- settings ---- */

static er_status check_client_name(const char *name, er_err *err) {
    for (const char *p = name; *p != '\0'; p++) {
        if (*p <= ' ' || *p > '~') {
            return er_err_set(err, ER_E_CONFIG,
                              "has a character that CLIENT SETNAME does not "
                              "take: blanks and what is not ASCII");
        }
    }
    return ER_OK;
}

static er_status check_fields(const er_cfg_strings *fields, er_err *err) {
    bool tells_apart = false;
    for (size_t i = 0; i < fields->n; i++) {
        const char *name = fields->v[i].s;
        tells_apart = tells_apart || strcmp(name, "id") == 0 || strcmp(name, "data") == 0;
        for (size_t j = 0; j < i; j++) {
            if (strcmp(name, fields->v[j].s) == 0) {
                return er_err_set(err, ER_E_CONFIG, "fields has %s twice", name);
            }
        }
    }
    return tells_apart ? ER_OK
                       : er_err_set(err, ER_E_CONFIG,
                                    "fields has neither id nor data: add one of them, so that "
                                    "readers can tell records apart");
}

static er_status check_tls(const void *settings, er_err *err) {
    return er_redis_tls_is_there()
               ? er_tls_check(settings, err)
               : er_err_set(err, ER_E_CONFIG,
                            "this program was built with a hiredis that has no TLS (it has since "
                            "1.0; Debian 13 has 1.2): use such a build, or a TLS proxy beside the "
                            "router (stunnel) and no tls here");
}

static er_status redis_check(const void *config, er_err *err) {
    const redis_config *c = config;
    if (c->username[0] != '\0' && c->password.kind == ER_SECRET_UNSET) {
        return er_err_set(err, ER_E_CONFIG, "username is given without password; give both");
    }
    if (c->entry.max_len >= 0 && c->entry.min_id_ms >= 0) {
        return er_err_set(err, ER_E_CONFIG,
                          "maxLen and minId cannot be given together: XADD takes one of them");
    }
    if (c->wait.replicas > 0 && c->wait.timeout_ms >= c->timeout.request_ms) {
        char wait[ER_NUMBER_TEXT];
        char request[ER_NUMBER_TEXT];
        return er_err_set(err, ER_E_CONFIG,
                          "wait.timeout (%s) must be shorter than timeout.request (%s)",
                          er_number_text(ER_FIELD_DURATION, c->wait.timeout_ms, wait),
                          er_number_text(ER_FIELD_DURATION, c->timeout.request_ms, request));
    }
    if (c->tls.pos.line > 0 && strncmp(c->address, "unix:", 5) == 0) {
        return er_err_set(err, ER_E_CONFIG, "tls is given, but address is a Unix socket");
    }
    return check_fields(&c->entry.fields, err);
}

#define C(member) offsetof(redis_config, member)

static const er_field dedupe_rows[] = {
    {.key = "ttl",
     .type = ER_FIELD_DURATION,
     .min = 1000,
     .max = INT64_C(366) * 86400000,
     .flags = ER_FIELD_REQUIRED | ER_FIELD_UNSET,
     .offset = C(entry.dedupe.ttl_ms),
     .help = "How long a record is remembered; longer than any outage after which it may be sent "
             "again."},
    {.key = "prefix",
     .type = ER_FIELD_STRING,
     .def = "dedup:",
     .max = 256,
     .offset = C(entry.dedupe.prefix),
     .help = "Of the keys that remember: prefix, stream, a colon, the record's id. The account "
             "needs them, and the commands EVAL and SET."},
    {.key = NULL},
};

static const er_field wait_rows[] = {
    {.key = "replicas",
     .type = ER_FIELD_INT,
     .min = 1,
     .max = 100,
     .flags = ER_FIELD_REQUIRED | ER_FIELD_UNSET,
     .offset = C(wait.replicas),
     .help = "How many replicas must have a batch before its records count as delivered."},
    {.key = "timeout",
     .type = ER_FIELD_DURATION,
     .def = "1s",
     .min = 1,
     .max = 3600000,
     .offset = C(wait.timeout_ms),
     .help = "How long they have time; then the batch is sent again."},
    {.key = NULL},
};

static const er_field timeout_rows[] = {
    {.key = "connect",
     .type = ER_FIELD_DURATION,
     .def = "10s",
     .min = 1,
     .max = 3600000,
     .offset = C(timeout.connect_ms),
     .help = "To a usable connection: name look-up, TCP, TLS, AUTH."},
    {.key = "request",
     .type = ER_FIELD_DURATION,
     .def = "30s",
     .min = 1,
     .max = 3600000,
     .offset = C(timeout.request_ms),
     .help = "From the first byte of a batch to its last reply."},
    {.key = NULL},
};

ER_SINK_BATCH_ROWS(redis_batch_rows, "500", "1MiB", "0");
static const er_field redis_rows[] = {
    ER_SINK_ROWS(redis_batch_rows),
    {.key = "address",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_REQUIRED,
     .check = er_redis_address_check,
     .offset = C(address),
     .help = "host:port of the server (port 6379 when left out), or unix:/path of its socket. "
             "Redis 6.2 or later for minId and noMkStream, 5 or later without; no Cluster."},
    {.key = "username",
     .type = ER_FIELD_STRING,
     .max = 1024,
     .offset = C(username),
     .help = "The ACL user (Redis 6); left out: the default user."},
    {.key = "password",
     .type = ER_FIELD_SECRET,
     .offset = C(password),
     .help =
         "For AUTH. Read again for each new connection: a corrected file is taken up at the next "
         "attempt, at most retry.max later."},
    {.key = "db",
     .type = ER_FIELD_INT,
     .max = 1000000,
     .offset = C(db),
     .help = "The number of the database (SELECT)."},
    {.key = "clientName",
     .type = ER_FIELD_STRING,
     .def = "eventrouter",
     .min = 1,
     .max = 128,
     .check = check_client_name,
     .offset = C(client_name),
     .help = "The name of the connection in CLIENT LIST."},
    {.key = "stream",
     .type = ER_FIELD_STRING,
     .def = "k8s:events",
     .min = 1,
     .max = ER_NAME_TEMPLATE_MAX,
     .check = er_name_template_check,
     .offset = C(entry.stream),
     .help = "The key of the stream. {kind}, {cluster}, {namespace}, {severity}, {type} and "
             "{reason} stand for the record's; in them, what is not a letter, digit, dot, "
             "underscore or hyphen becomes an underscore."},
    {.key = "maxLen",
     .type = ER_FIELD_INT,
     .min = 1,
     .max = INT64_C(1) << 53,
     .flags = ER_FIELD_UNSET,
     .offset = C(entry.max_len),
     .help = "Trims the stream to about so many entries (MAXLEN ~). Without it and minId the "
             "stream grows until the server is full."},
    {.key = "minId",
     .type = ER_FIELD_DURATION,
     .min = 1000,
     .max = INT64_C(3660) * 86400000,
     .flags = ER_FIELD_UNSET,
     .offset = C(entry.min_id_ms),
     .help = "Trims what is older than this, about (MINID ~): the id is the record's observedTime "
             "less this, so the clocks of router and server should agree."},
    {.key = "noMkStream",
     .type = ER_FIELD_BOOL,
     .offset = C(entry.no_mk_stream),
     .help = "Do not make a stream that is not there (NOMKSTREAM): records are kept until it is."},
    {.key = "fields",
     .type = ER_FIELD_STRINGS,
     .def = "[id, kind, data]",
     .min = 1,
     .max = 12,
     .check = er_redis_field_check,
     .offset = C(entry.fields),
     .help = "Fields of an entry: id, kind, cluster, time, observedTime, severity, type, reason, "
             "message, namespace, schema, and data, the record as JSON. Empty ones are left out."},
    {.key = "dedupe",
     .type = ER_FIELD_STRUCT,
     .rows = dedupe_rows,
     .help = "Leaves out a record that is in the stream already: a script looks for a key of the "
             "record before XADD and sets it after."},
    {.key = "wait",
     .type = ER_FIELD_STRUCT,
     .rows = wait_rows,
     .help = "Waits for replicas (WAIT) after each batch."},
    {.key = "timeout",
     .type = ER_FIELD_STRUCT,
     .rows = timeout_rows,
     .help = "How long the server has time."},
    {.key = "tls",
     .type = ER_FIELD_STRUCT,
     .rows = er_tls_switch_rows,
     .flags = ER_FIELD_UNSET,
     .check_struct = check_tls,
     .offset = C(tls),
     .help = "TLS is used when this stands here, if only as tls: {}. Needs a build with hiredis "
             "1.0 or later (Debian 13)."},
    {.key = NULL},
};

const er_sink_type er_redis_sink = {
    .name = "redis",
    .summary = "A stream of Redis (XADD).",
    .rows = redis_rows,
    .config_size = sizeof(redis_config),
    .check = redis_check,
    .max_in_flight = 1,
    .item_max = ITEM_MAX,
    .create = redis_create,
    .open = redis_open,
    .encode = redis_encode,
    .target = redis_target,
    .deliver = redis_deliver,
    .preview = redis_preview,
    .destroy = redis_destroy,
};
