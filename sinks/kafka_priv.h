/* What the files of the kafka sink share.
 *
 *   kafka.c           the type: batches in flight, deliver, poll
 *   kafka_config.c    settings, and what librdkafka is told
 *   kafka_check.c     whether they can be
 *   kafka_producer.c  one librdkafka producer: its life, its callbacks
 *   kafka_auth.c      passwords, tokens and certificates that change
 *   kafka_judge.c     what each error means: one table
 *   kafka_message.c   topic, key, headers and time of a record
 *   kafka_stats.c     librdkafka's statistics as metrics
 *   kafka_preview.c   for explain
 *
 * Threads: the sink's own. librdkafka has threads of its own, but its callbacks run inside
 * rd_kafka_poll, thus on ours; only log lines come from anywhere. */
#ifndef ER_SINKS_KAFKA_PRIV_H
#define ER_SINKS_KAFKA_PRIV_H

#include "base/file.h"
#include "http/oauth2.h"
#include "sink/sink.h"

#include <librdkafka/rdkafka.h>

/* ---- settings ---- */

typedef enum er_kafka_key {
    ER_KAFKA_KEY_UID,
    ER_KAFKA_KEY_NAMESPACE,
    ER_KAFKA_KEY_NONE
} er_kafka_key;
typedef enum er_kafka_format {
    ER_KAFKA_RECORD,
    ER_KAFKA_CLOUDEVENTS, /* structured */
    ER_KAFKA_CLOUDEVENTS_BINARY,
} er_kafka_format;
typedef enum er_kafka_security {
    ER_KAFKA_PLAINTEXT,
    ER_KAFKA_SSL,
    ER_KAFKA_SASL_PLAINTEXT,
    ER_KAFKA_SASL_SSL,
} er_kafka_security;
typedef enum er_kafka_mechanism {
    ER_KAFKA_NO_SASL,
    ER_KAFKA_PLAIN,
    ER_KAFKA_SCRAM_SHA_256,
    ER_KAFKA_SCRAM_SHA_512,
    ER_KAFKA_OAUTHBEARER,
    ER_KAFKA_GSSAPI,
} er_kafka_mechanism;

typedef struct er_kafka_config {
    er_sink_settings common;
    er_cfg_strings brokers;
    char *topic;
    int key;         /* er_kafka_key */
    int format;      /* er_kafka_format */
    int compression; /* index into none gzip snappy lz4 zstd */
    int security;    /* er_kafka_security */
    er_tls_settings tls;
    struct {
        int mechanism; /* er_kafka_mechanism */
        char *username;
        er_secret_ref password;
        er_oauth2_settings oauth2;
        er_cfg_list extensions; /* of er_cfg_secret */
    } sasl;
    er_cfg_list options; /* of er_cfg_secret */
} er_kafka_config;

extern const er_field er_kafka_rows[];
const er_cfg_secret *er_kafka_option_at(const er_kafka_config *config, size_t i);

/* For er_field.check. */
er_status er_kafka_broker_check(const char *broker, er_err *err);
er_status er_kafka_option_check(const char *key, er_err *err);
er_status er_kafka_extension_check(const char *name, er_err *err);
er_status er_kafka_check(const void *config, er_err *err);
er_status er_kafka_advise(const void *config, er_err *err);

/* Secrets and files behind the settings, and whether they changed. */
typedef struct er_kafka_material {
    er_secret *password; /* NULL: none */
    er_secret **options; /* values of config->options */
    size_t options_n;
    er_oauth2 *oauth2;                    /* NULL: none */
    char **extensions;                    /* of SASL, for oauth2: name, value, ... */
    size_t extensions_n;                  /* of both */
    unsigned password_seen, options_seen; /* generations */
    er_file_stamp files[3];               /* of tls, as they were when a producer was made */
} er_kafka_material;
/* Reads all of it once: ER_E_CONFIG. fini also takes a material that init gave up. */
er_status er_kafka_material_init(er_kafka_material *m, const er_kafka_config *config,
                                 const er_sink_env *env, er_err *err);
void er_kafka_material_fini(er_kafka_material *m);
/* Remembers what a producer is going to be made of. */
void er_kafka_material_stamp(er_kafka_material *m, const er_kafka_config *config);
/* True when another producer would be made of something else; missing files are no change. */
bool er_kafka_material_is_new(er_kafka_material *m, const er_kafka_config *config);
/* Tells rk the password when it changed. */
void er_kafka_password_renew(er_kafka_material *m, const er_kafka_config *config, rd_kafka_t *rk);
/* Gives rk an OAuth 2 token, for which it may have to be asked; the wait is bounded. On failure rk
 * is told, and asks again in ten seconds. Errors: as er_oauth2_token. */
er_status er_kafka_token_set(er_kafka_material *m, const er_kafka_config *config, rd_kafka_t *rk,
                             er_err *err);

/* What librdkafka is told; destroyed by the caller unless a producer was made of it. Errors:
 * ER_E_CONFIG, with librdkafka's own text. */
er_status er_kafka_conf(const er_kafka_config *config, const er_kafka_material *material,
                        rd_kafka_conf_t **out, er_err *err);

/* How long reports may be missing before that is said: a third of request.timeout.ms, and
 * linger.ms. */
int64_t er_kafka_patience_ms(const rd_kafka_conf_t *conf);

/* ---- judging ---- */

typedef enum er_kafka_where {
    ER_KAFKA_AT_PRODUCE = 1, /* rd_kafka_producev refused the message */
    ER_KAFKA_AT_REPORT = 2,  /* its delivery report */
    ER_KAFKA_AT_EVENT = 4,   /* error_cb: about no message */
} er_kafka_where;

typedef struct er_kafka_judgement {
    er_verdict verdict; /* KEPT: librdkafka has no room now, it is given again later */
    er_reason reason;   /* with REJECT */
    er_status state;    /* of the endpoint: OK (nothing said), UNAVAILABLE, DENIED */
    bool is_shared;     /* REJECT: said of all messages of one request; only one may be guilty */
    bool is_fatal;      /* the producer is of no use any more */
    bool is_of_topic;   /* DENIED: said of one topic; others may be open */
    const char *advice; /* what to do; "" */
} er_kafka_judgement;
er_kafka_judgement er_kafka_judge(er_kafka_where where, rd_kafka_resp_err_t code);
/* The advice about an event, by its text as well. */
const char *er_kafka_event_advice(rd_kafka_resp_err_t code, const char *text);

/* ---- messages ---- */

#define ER_KAFKA_TOPIC_MAX    249 /* org.apache.kafka.common.internals.Topic */
#define ER_KAFKA_HEADERS_MAX  8
#define ER_KAFKA_KEY_MAX      512
#define ER_KAFKA_TIME_PRESENT 0 /* librdkafka takes the time of sending */

/* Says what is wrong with a topic or a template of one. */
er_status er_kafka_topic_check(const char *topic, er_err *err);
/* The topic of this record; text: scratch. */
void er_kafka_topic_of(const er_kafka_config *config, const er_record *rec, er_buf *text,
                       char out[ER_KAFKA_TOPIC_MAX + 1]);

typedef struct er_kafka_header {
    const char *name;
    er_str value;
} er_kafka_header;

/* All of a message but its value: a pure function of configuration and record. */
typedef struct er_kafka_message {
    char topic[ER_KAFKA_TOPIC_MAX + 1];
    er_str key; /* p is NULL: none */
    char key_text[ER_KAFKA_KEY_MAX];
    int64_t time_ms; /* since 1970, at least 1; or ER_KAFKA_TIME_PRESENT */
    er_kafka_header headers[ER_KAFKA_HEADERS_MAX];
    size_t headers_n;
} er_kafka_message;
/* Slices live in rec and in text (initialised with ER_CLOUDEVENT_TEXT_MAX) until the next call. */
void er_kafka_message_of(const er_kafka_config *config, const er_record *rec, er_buf *text,
                         er_kafka_message *out);
void er_kafka_value(const er_kafka_config *config, const er_record *rec, er_buf *out);

er_status er_kafka_preview(const er_kafka_config *config, const er_batch *batch, er_buf *out);

/* ---- statistics ---- */

typedef struct er_kafka_stats er_kafka_stats;
er_kafka_stats *er_kafka_stats_new(const er_sink_env *env);
void er_kafka_stats_free(er_kafka_stats *stats);
/* One statistics.interval.ms: text is JSON (librdkafka's STATISTICS.md), changed in place. */
void er_kafka_stats_take(er_kafka_stats *stats, char *text, size_t n);
/* Totals of the next producer begin at zero. */
void er_kafka_stats_restart(er_kafka_stats *stats);

/* ---- the producer ---- */

typedef struct er_kafka_state er_kafka_state;

typedef struct er_kafka_producer {
    rd_kafka_t *rk;
    rd_kafka_topic_t *topic; /* the last one used */
    char *name;              /* of the sink, for log lines, which may come after it has gone */
    const er_cancel *cancel; /* of the sink */
    atomic_bool is_ending;
    er_kafka_state *sink;
} er_kafka_producer;

/* What a producer tells the sink, all of it inside rd_kafka_poll. */
void er_kafka_on_report(er_kafka_state *sink, const rd_kafka_message_t *message);
void er_kafka_on_error(er_kafka_state *sink, rd_kafka_t *rk, rd_kafka_resp_err_t code,
                       const char *text);
void er_kafka_on_stats(er_kafka_state *sink, char *json, size_t n);
void er_kafka_on_token(er_kafka_state *sink, rd_kafka_t *rk);

/* Starts librdkafka's threads; connects by itself. conf is used up. */
er_status er_kafka_producer_new(er_kafka_state *sink, const er_sink_env *env, rd_kafka_conf_t *conf,
                                er_kafka_producer **out, er_err *err);
/* Copies all of it; opaque comes back with the report. */
rd_kafka_resp_err_t er_kafka_produce(er_kafka_producer *producer, const er_kafka_message *message,
                                     er_str value, uintptr_t opaque);
/* Makes no callback into the sink any more, and waits for librdkafka's threads two seconds at the
 * most: one may be inside of a name look-up. They end by themselves then. NULL is allowed. */
void er_kafka_producer_free(er_kafka_producer *producer);

#endif
