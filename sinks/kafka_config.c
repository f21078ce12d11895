/* The settings of the kafka sink, and what librdkafka is told of them. */
#include "sinks/kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C(member) offsetof(er_kafka_config, member)

#define MESSAGE_TIMEOUT_MIN 1000 /* ms; must be above linger.ms */
#define BROKERS_TEXT_MAX    65536

/* ---- what librdkafka is told ---- */

/* Before the options: an operator may change these. */
static const struct {
    const char *key, *value;
} defaults[] = {
    {"client.id", "eventrouter"},        {"linger.ms", "20"},
    {"partitioner", "murmur2_random"}, /* as Java producers: an object's key has one partition */
    {"socket.keepalive.enable", "true"}, {"statistics.interval.ms", "10000"},
};

/* A value that must not be repeated in a message. */
static bool is_sensitive(const char *key) {
    static const char *const words[] = {"password", "secret", ".pem", "token", "key"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (strstr(key, words[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static er_status set(rd_kafka_conf_t *conf, const char *key, const char *value, er_err *err) {
    char why[300] = "";
    if (rd_kafka_conf_set(conf, key, value, why, sizeof why) == RD_KAFKA_CONF_OK) {
        return ER_OK;
    }
    er_str text = er_str_trim(er_str_of(why));
    return is_sensitive(key)
               ? er_err_set(err, ER_E_CONFIG, "options.%s: librdkafka refuses the value", key)
               : er_err_set(err, ER_E_CONFIG, "options.%s: %.*s", key, (int)text.n, text.p);
}

/* The value is not repeated whatever the property is. */
static er_status set_secret(rd_kafka_conf_t *conf, const char *key, er_secret *secret,
                            er_err *err) {
    er_buf value;
    er_buf_init(&value, ER_SECRET_MAX);
    er_buf_put_str(&value, er_secret_get(secret));
    er_status status = set(conf, key, er_buf_cstr(&value), NULL);
    er_buf_wipe(&value);
    er_buf_fini(&value);
    return status == ER_OK
               ? ER_OK
               : er_err_set(err, status, "options.%s: librdkafka refuses the value", key);
}

/* material NULL: only what stands in the configuration itself. */
static er_status set_options(rd_kafka_conf_t *conf, const er_kafka_config *config,
                             const er_kafka_material *material, er_err *err) {
    er_status status = ER_OK;
    for (size_t i = 0; i < config->options.n && status == ER_OK; i++) {
        const er_cfg_secret *option = er_kafka_option_at(config, i);
        bool is_literal = option->value.kind == ER_SECRET_LITERAL;
        if (is_literal) {
            status = set(conf, option->name.s, option->value.text, err);
        } else if (material != NULL) {
            status = set_secret(conf, option->name.s, material->options[i], err);
        }
    }
    return status;
}

static er_status set_brokers(rd_kafka_conf_t *conf, const er_kafka_config *config, er_err *err) {
    er_buf list;
    er_buf_init(&list, BROKERS_TEXT_MAX);
    for (size_t i = 0; i < config->brokers.n; i++) {
        er_buf_puts(&list, i > 0 ? "," : "");
        er_buf_puts(&list, config->brokers.v[i].s);
    }
    er_status status = set(conf, "bootstrap.servers", er_buf_cstr(&list), err);
    er_buf_fini(&list);
    return status;
}

static er_status set_if(rd_kafka_conf_t *conf, const char *key, const char *value, er_err *err) {
    return value == NULL || value[0] == '\0' ? ER_OK : set(conf, key, value, err);
}

static er_status set_tls(rd_kafka_conf_t *conf, const er_tls_settings *tls, er_err *err) {
    const struct {
        const char *key, *value;
    } properties[] = {
        {"ssl.ca.location", tls->ca_file},
        {"ssl.certificate.location", tls->cert_file},
        {"ssl.key.location", tls->key_file},
        {"enable.ssl.certificate.verification", tls->insecure_skip_verify ? "false" : ""},
    };
    er_status status = ER_OK;
    for (size_t i = 0; i < sizeof properties / sizeof properties[0] && status == ER_OK; i++) {
        status = set_if(conf, properties[i].key, properties[i].value, err);
    }
    return status;
}

static er_status set_sasl(rd_kafka_conf_t *conf, const er_kafka_config *config,
                          const er_kafka_material *material, er_err *err) {
    static const char *const mechanisms[] = {
        "", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"};
    er_status status = set_if(conf, "sasl.mechanism", mechanisms[config->sasl.mechanism], err);
    status = status == ER_OK ? set_if(conf, "sasl.username", config->sasl.username, err) : status;
    if (status == ER_OK && material != NULL && material->password != NULL) {
        status = set_secret(conf, "sasl.password", material->password, err);
    }
    return status;
}

/* What follows from settings of the sink's own. */
static er_status set_own(rd_kafka_conf_t *conf, const er_kafka_config *config, er_err *err) {
    static const char *const protocols[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"};
    static const char *const codecs[] = {"none", "gzip", "snappy", "lz4", "zstd"};
    int64_t age = er_sink_max_age_ms(&config->common);
    char timeout[24]; /* 0: never; what is too old is given up by the worker, with a reason */
    (void)snprintf(timeout, sizeof timeout, "%lld",
                   (long long)(age > 0 && age < MESSAGE_TIMEOUT_MIN ? MESSAGE_TIMEOUT_MIN
                               : age > INT32_MAX                    ? INT32_MAX
                                                                    : age));
    const struct {
        const char *key, *value;
    } properties[] = {
        {"enable.idempotence", "true"},
        {"message.timeout.ms", timeout},
        {"compression.type", codecs[config->compression]},
        {"security.protocol", protocols[config->security]},
    };
    er_status status = set_brokers(conf, config, err);
    for (size_t i = 0; i < sizeof properties / sizeof properties[0] && status == ER_OK; i++) {
        status = set(conf, properties[i].key, properties[i].value, err);
    }
    return status;
}

er_status er_kafka_conf(const er_kafka_config *config, const er_kafka_material *material,
                        rd_kafka_conf_t **out, er_err *err) {
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    er_status status = ER_OK;
    for (size_t i = 0; i < sizeof defaults / sizeof defaults[0] && status == ER_OK; i++) {
        status = set(conf, defaults[i].key, defaults[i].value, err);
    }
    status = status == ER_OK ? set_options(conf, config, material, err) : status;
    status = status == ER_OK ? set_own(conf, config, err) : status;
    status = status == ER_OK ? set_tls(conf, &config->tls, err) : status;
    status = status == ER_OK ? set_sasl(conf, config, material, err) : status;
    if (status != ER_OK) {
        rd_kafka_conf_destroy(conf);
        return status;
    }
    *out = conf;
    return ER_OK;
}

/* ---- rows ---- */

static const er_field sasl_rows[] = {
    {.key = "mechanism",
     .type = ER_FIELD_ENUM,
     .choices = "none|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512|OAUTHBEARER|GSSAPI",
     .offset = C(sasl.mechanism),
     .help = "How to log in. SCRAM to brokers of Kafka 4 needs librdkafka 2.6.1. GSSAPI takes "
             "sasl.kerberos.* from options."},
    {.key = "username",
     .type = ER_FIELD_STRING,
     .max = 1024,
     .offset = C(sasl.username),
     .help = "For PLAIN and SCRAM."},
    {.key = "password",
     .type = ER_FIELD_SECRET,
     .offset = C(sasl.password),
     .help = "For PLAIN and SCRAM; a text, {file: PATH} or {env: NAME}. One that changes is used "
             "at the next login."},
    {.key = "oauth2",
     .type = ER_FIELD_STRUCT,
     .rows = er_oauth2_rows,
     .offset = C(sasl.oauth2),
     .help = "For OAUTHBEARER: where tokens come from (client credentials, RFC 6749 section 4.4)."},
    {.key = "extensions",
     .type = ER_FIELD_SECRETS,
     .flags = ER_FIELD_OPEN,
     .check = er_kafka_extension_check,
     .offset = C(sasl.extensions),
     .help = "For OAUTHBEARER: SASL extensions sent with the token (RFC 7628), such as "
             "logicalCluster and identityPoolId of Confluent Cloud: a text, {file: PATH} or {env: "
             "NAME}, read once."},
    {.key = NULL},
};

ER_SINK_BATCH_ROWS(batch_rows, "500", "512KiB", "0");
const er_field er_kafka_rows[] = {
    ER_SINK_ROWS(batch_rows),
    {.key = "brokers",
     .type = ER_FIELD_STRINGS,
     .flags = ER_FIELD_REQUIRED,
     .max = 64,
     .check = er_kafka_broker_check,
     .offset = C(brokers),
     .help = "Some of the cluster's brokers, host:port; they tell the others."},
    {.key = "topic",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_REQUIRED,
     .max = 1024,
     .check = er_kafka_topic_check,
     .offset = C(topic),
     .help = "Where records go; may hold {cluster}, {kind}, {namespace}, {severity}. In their "
             "values what a topic must not hold becomes _, and an empty one is _. For one that is "
             "missing, and not made by the brokers, records wait until it is there."},
    {.key = "key",
     .type = ER_FIELD_ENUM,
     .choices = "uid|namespace|none",
     .offset = C(key),
     .help =
         "What keeps its order, in one partition. uid: the object's; NAMESPACE/KIND/NAME when "
         "it has none. What is about no object (gap, notice), or of no namespace, has its own id. "
         "A compacted topic refuses records without a key."},
    {.key = "format",
     .type = ER_FIELD_ENUM,
     .choices = "record|cloudevents|cloudevents-binary",
     .offset = C(format),
     .help = "record: JSON, with the headers id, kind, cluster and schema; CloudEvents 1.0: "
             "structured or binary (ce_ headers)."},
    {.key = "compression",
     .type = ER_FIELD_ENUM,
     .def = "lz4",
     .choices = "none|gzip|snappy|lz4|zstd",
     .offset = C(compression),
     .help = "Of what is sent, and kept by the brokers."},
    {.key = "securityProtocol",
     .type = ER_FIELD_ENUM,
     .choices = "plaintext|ssl|sasl_plaintext|sasl_ssl",
     .offset = C(security),
     .help = "As the brokers' listener has it: with TLS, with a login, with both."},
    {.key = "tls",
     .type = ER_FIELD_STRUCT,
     .rows = er_tls_rows,
     .check_struct = er_tls_check,
     .offset = C(tls),
     .help = "TLS towards the brokers. Files that change make a new connection."},
    {.key = "sasl", .type = ER_FIELD_STRUCT, .rows = sasl_rows, .help = "The login."},
    {.key = "options",
     .type = ER_FIELD_SECRETS,
     .flags = ER_FIELD_OPEN,
     .check = er_kafka_option_check,
     .offset = C(options),
     .help =
         "Properties of librdkafka by its own names, such as linger.ms, batch.size or "
         "message.max.bytes (numbers without a unit): a text, {file: PATH} or {env: NAME}. When "
         "brokers confirm nothing for a third of request.timeout.ms (30000) and linger.ms, the "
         "sink is unavailable."},
    {.key = NULL},
};
