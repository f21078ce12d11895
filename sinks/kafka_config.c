/* The settings of the kafka sink, and what librdkafka is told of them. */
#include "sinks/kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C(member) offsetof(er_kafka_config, member)

/* librdkafka 2.6.1 sends the nonce once, as RFC 5802 has it; brokers of Kafka 4 check that. */
#define SCRAM_FIXED_IN       0x020601ff
#define MESSAGE_TIMEOUT_MIN  1000 /* ms; must be above linger.ms */
#define BROKERS_TEXT_MAX     65536
#define OPTIONS_MAX          128
#define IN_FLIGHT_WITH_ORDER 5       /* requests a connection of an idempotent producer may have */
#define IN_FLIGHT_DEFAULT    1000000 /* librdkafka's own, which it lowers by itself */

/* ---- what librdkafka is told ---- */

/* Before the options: an operator may change these. */
static const struct {
    const char *key, *value;
} defaults[] = {
    {"client.id", "eventrouter"},        {"linger.ms", "20"},
    {"partitioner", "murmur2_random"}, /* as Java producers: an object's key has one partition */
    {"socket.keepalive.enable", "true"}, {"statistics.interval.ms", "10000"},
};

/* What options may not say, and why; names as librdkafka has them, with aliases. */
static const struct {
    const char *key, *why;
} refused[] = {
    {"acks", "a record counts as delivered when all in-sync replicas have it"},
    {"bootstrap.servers", "use the sink\'s own brokers"},
    {"compression.codec", "use the sink\'s own compression"},
    {"compression.type", "use the sink\'s own compression"},
    {"delivery.report.only.error", "each record is settled by its report"},
    {"delivery.timeout.ms", "use the sink\'s own retry.maxAge"},
    {"enable.idempotence", "it is on: without it a retry makes repeats and changes the order"},
    {"enable.sasl.oauthbearer.unsecure.jwt", "use the sink\'s own sasl.oauth2"},
    {"enable.ssl.certificate.verification", "use the sink\'s own tls.insecureSkipVerify"},
    {"enabled_events", "it belongs to the program"},
    {"log.queue", "it belongs to the program"},
    {"message.timeout.ms", "use the sink\'s own retry.maxAge"},
    {"metadata.broker.list", "use the sink\'s own brokers"},
    {"queuing.strategy", "records are sent in their order"},
    {"request.required.acks", "a record counts as delivered when all in-sync replicas have it"},
    {"sasl.mechanism", "use the sink\'s own sasl.mechanism"},
    {"sasl.mechanisms", "use the sink\'s own sasl.mechanism"},
    {"sasl.oauthbearer.client.id", "use the sink\'s own sasl.oauth2"},
    {"sasl.oauthbearer.client.secret", "use the sink\'s own sasl.oauth2"},
    {"sasl.oauthbearer.config", "use the sink\'s own sasl.oauth2"},
    {"sasl.oauthbearer.method", "use the sink\'s own sasl.oauth2"},
    {"sasl.oauthbearer.scope", "use the sink\'s own sasl.oauth2"},
    {"sasl.oauthbearer.token.endpoint.url", "use the sink\'s own sasl.oauth2"},
    {"sasl.password", "use the sink\'s own sasl.password"},
    {"sasl.username", "use the sink\'s own sasl.username"},
    {"security.protocol", "use the sink\'s own securityProtocol"},
    {"ssl.ca.location", "use the sink\'s own tls.caFile"},
    {"ssl.ca.pem", "use the sink\'s own tls.caFile"},
    {"ssl.certificate.location", "use the sink\'s own tls.certFile"},
    {"ssl.certificate.pem", "use the sink\'s own tls.certFile"},
    {"ssl.key.location", "use the sink\'s own tls.keyFile"},
    {"ssl.key.pem", "use the sink\'s own tls.keyFile"},
    {"test.mock.num.brokers", "records would go to a cluster that does not exist"},
    {"transactional.id",
     "there are no transactions: what is routed is no position in Kafka that could be part of one"},
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

static er_status check_option(const char *key, er_err *err) {
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (strcmp(refused[i].key, key) == 0) {
            return er_err_set(err, ER_E_CONFIG, "%s cannot be set here: %s", key, refused[i].why);
        }
    }
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[300] = "";
    bool is_known = rd_kafka_conf_set(conf, key, "", why, sizeof why) != RD_KAFKA_CONF_UNKNOWN;
    rd_kafka_conf_destroy(conf);
    return is_known ? ER_OK : er_err_set(err, ER_E_CONFIG, "%s", why);
}

static const er_cfg_secret *option_at(const er_kafka_config *config, size_t i) {
    return &((const er_cfg_secret *)config->options.v)[i];
}

/* material NULL: only what stands in the configuration itself. */
static er_status set_options(rd_kafka_conf_t *conf, const er_kafka_config *config,
                             const er_kafka_material *material, er_err *err) {
    er_status status = ER_OK;
    for (size_t i = 0; i < config->options.n && status == ER_OK; i++) {
        const er_cfg_secret *option = option_at(config, i);
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

/* ---- checks ---- */

/* False: a character that stands in no name or address; librdkafka would look it up all the same.
 */
static bool is_host(er_str host, bool is_v6) {
    const char *more = is_v6 ? ":.%" : "._-";
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i];
        bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!usual && strchr(more, c) == NULL) {
            return false;
        }
    }
    return host.n > 0 && (!is_v6 || memchr(host.p, ':', host.n) != NULL);
}

static er_status check_broker(const char *broker, er_err *err) {
    if (strstr(broker, "://") != NULL) {
        return er_err_set(err, ER_E_CONFIG,
                          "is no host:port; leave the scheme out and set securityProtocol");
    }
    if (broker[0] == '\0' || strpbrk(broker, ", \t\r\n") != NULL) {
        return er_err_set(err, ER_E_CONFIG,
                          "is no host:port; give several as a list, without blanks");
    }
    const char *colon = strchr(broker, ':');
    bool is_v6 = broker[0] == '[';
    if (!is_v6 && colon != NULL && strchr(colon + 1, ':') != NULL) {
        return er_err_set(err, ER_E_CONFIG,
                          "is no host:port; an IPv6 address stands in brackets: [::1]:9092");
    }
    const char *end = is_v6 ? strchr(broker, ']') : colon;
    end = end == NULL ? broker + strlen(broker) : end;
    const char *rest = is_v6 && *end == ']' ? end + 1 : end;
    er_str host = {broker + is_v6, (size_t)(end - broker) - is_v6};
    uint64_t port = 9092; /* librdkafka's */
    if (rest[0] == ':' && (!er_parse_u64(er_str_of(rest + 1), &port) || port < 1 || port > 65535)) {
        return er_err_set(err, ER_E_CONFIG, "is no host:port; the port is a number up to 65535");
    }
    bool is_whole = is_v6 ? *end == ']' && (rest[0] == '\0' || rest[0] == ':') : true;
    return is_whole && is_host(host, is_v6)
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG,
                            "is no host:port, such as kafka-0.example:9092 or [::1]:9092");
}

static bool has_tls(const er_tls_settings *tls) {
    return tls->ca_file[0] != '\0' || tls->cert_file[0] != '\0' || tls->insecure_skip_verify;
}

static er_status check_tls(const er_kafka_config *c, er_err *err) {
    bool is_on = c->security == ER_KAFKA_SSL || c->security == ER_KAFKA_SASL_SSL;
    if (!is_on && has_tls(&c->tls)) {
        return er_err_set(err, ER_E_CONFIG,
                          "tls is given, but securityProtocol is without it; set %s",
                          c->security == ER_KAFKA_PLAINTEXT ? "ssl" : "sasl_ssl");
    }
    if (c->tls.server_name[0] != '\0') {
        return er_err_set(err, ER_E_CONFIG,
                          "tls.serverName is not to be had: librdkafka wants the name that a "
                          "broker advertises in the broker's certificate");
    }
    if (c->tls.min_version != 0) {
        return er_err_set(err, ER_E_CONFIG,
                          "tls.minVersion: 1.3 is not to be had: librdkafka leaves it to OpenSSL's "
                          "configuration, which asks for 1.2");
    }
    return ER_OK;
}

static bool has_option(const er_kafka_config *c, const char *key) {
    for (size_t i = 0; i < c->options.n; i++) {
        if (strcmp(option_at(c, i)->name.s, key) == 0) {
            return true;
        }
    }
    return false;
}

static er_status check_sasl(const er_kafka_config *c, er_err *err) {
    bool is_on = c->security == ER_KAFKA_SASL_PLAINTEXT || c->security == ER_KAFKA_SASL_SSL;
    int mechanism = c->sasl.mechanism;
    bool has_user = c->sasl.username[0] != '\0';
    bool has_password = c->sasl.password.kind != ER_SECRET_UNSET;
    bool has_oauth2 = c->sasl.oauth2.token_url.kind != ER_SECRET_UNSET;
    bool wants_password = mechanism == ER_KAFKA_PLAIN || mechanism == ER_KAFKA_SCRAM_SHA_256 ||
                          mechanism == ER_KAFKA_SCRAM_SHA_512;
    if (is_on && mechanism == ER_KAFKA_NO_SASL) {
        return er_err_set(err, ER_E_CONFIG,
                          "securityProtocol has SASL, but there is no "
                          "sasl.mechanism");
    }
    if (!is_on && (mechanism != ER_KAFKA_NO_SASL || has_user || has_password || has_oauth2)) {
        return er_err_set(err, ER_E_CONFIG,
                          "sasl is given, but securityProtocol is without it; set sasl_ssl (or "
                          "sasl_plaintext, where whoever listens may read the password)");
    }
    if (wants_password && (!has_user || !has_password)) {
        return er_err_set(err, ER_E_CONFIG, "sasl.mechanism needs sasl.username and sasl.password");
    }
    if (!wants_password && (has_user || has_password)) {
        return er_err_set(err, ER_E_CONFIG,
                          "sasl.username and sasl.password are for PLAIN and SCRAM; remove them");
    }
    if (mechanism == ER_KAFKA_GSSAPI && !has_option(c, "sasl.kerberos.keytab") &&
        !has_option(c, "sasl.kerberos.kinit.cmd")) {
        return er_err_set(err, ER_E_CONFIG,
                          "sasl.mechanism: GSSAPI needs options.sasl.kerberos.keytab");
    }
    if (c->sasl.extensions.n > 0 && mechanism != ER_KAFKA_OAUTHBEARER) {
        return er_err_set(err, ER_E_CONFIG, "sasl.extensions is for sasl.mechanism: OAUTHBEARER");
    }
    if ((mechanism == ER_KAFKA_OAUTHBEARER) != has_oauth2) {
        return er_err_set(err, ER_E_CONFIG,
                          has_oauth2 ? "sasl.oauth2 is for sasl.mechanism: OAUTHBEARER"
                                     : "sasl.mechanism: OAUTHBEARER needs sasl.oauth2");
    }
    return ER_OK;
}

static double number_of(const rd_kafka_conf_t *conf, const char *key) {
    char value[32] = "";
    size_t n = sizeof value;
    return rd_kafka_conf_get(conf, key, value, &n) == RD_KAFKA_CONF_OK ? strtod(value, NULL) : 0;
}

int64_t er_kafka_patience_ms(const rd_kafka_conf_t *conf) {
    return (int64_t)(number_of(conf, "request.timeout.ms") / 3 + number_of(conf, "linger.ms"));
}

/* librdkafka takes "1MiB" for 1, and "5s" for 5 ms: it reads as far as there are digits. */
static er_status check_number(const rd_kafka_conf_t *conf, const char *key, const char *text,
                              er_err *err) {
    char read[64] = "";
    size_t n = sizeof read;
    char *end = read;
    if (rd_kafka_conf_get(conf, key, read, &n) != RD_KAFKA_CONF_OK || read[0] == '\0') {
        return ER_OK;
    }
    (void)strtod(read, &end);
    if (*end != '\0') {
        return ER_OK; /* no number */
    }
    (void)strtod(text, &end);
    return er_str_trim(er_str_of(end)).n == 0
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG,
                            "options.%s is a number without a unit (its name says of what, and is "
                            "bytes where it says nothing)",
                            key);
}

static er_status check_numbers(const er_kafka_config *c, const rd_kafka_conf_t *conf, er_err *err) {
    er_status status = ER_OK;
    for (size_t i = 0; i < c->options.n && status == ER_OK; i++) {
        const er_cfg_secret *option = option_at(c, i);
        if (option->value.kind == ER_SECRET_LITERAL) {
            status = check_number(conf, option->name.s, option->value.text, err);
        }
    }
    return status;
}

/* What librdkafka would only say when a producer is made. */
static er_status check_limits(const rd_kafka_conf_t *conf, er_err *err) {
    double in_flight = number_of(conf, "max.in.flight");
    double timeout = number_of(conf, "message.timeout.ms");
    if (in_flight > IN_FLIGHT_WITH_ORDER && in_flight != IN_FLIGHT_DEFAULT) {
        return er_err_set(err, ER_E_CONFIG,
                          "options.max.in.flight is over %d, which an idempotent producer may not "
                          "have",
                          IN_FLIGHT_WITH_ORDER);
    }
    if (number_of(conf, "retries") < 1) {
        return er_err_set(err, ER_E_CONFIG,
                          "options.retries is 0, which an idempotent producer may not have");
    }
    if (number_of(conf, "reconnect.backoff.max.ms") < number_of(conf, "reconnect.backoff.ms")) {
        return er_err_set(err, ER_E_CONFIG,
                          "options.reconnect.backoff.max.ms is below reconnect.backoff.ms");
    }
    if (timeout > 0 && number_of(conf, "linger.ms") >= timeout) {
        return er_err_set(err, ER_E_CONFIG,
                          "options.linger.ms is not below retry.maxAge: records would be given up "
                          "before they are sent");
    }
    return ER_OK;
}

er_status er_kafka_check(const void *config, er_err *err) {
    const er_kafka_config *c = config;
    if (c->options.n > OPTIONS_MAX) {
        return er_err_set(err, ER_E_CONFIG, "options has %zu entries; %d are allowed", c->options.n,
                          OPTIONS_MAX);
    }
    er_status status = check_tls(c, err);
    status = status == ER_OK ? check_sasl(c, err) : status;
    if (status != ER_OK) {
        return status;
    }
    rd_kafka_conf_t *conf = NULL;
    status = er_kafka_conf(c, NULL, &conf, err);
    if (status == ER_OK) {
        status = check_numbers(c, conf, err);
        status = status == ER_OK ? check_limits(conf, err) : status;
        rd_kafka_conf_destroy(conf);
    }
    return status;
}

er_status er_kafka_advise(const void *config, er_err *err) {
    int mechanism = ((const er_kafka_config *)config)->sasl.mechanism;
    bool is_scram = mechanism == ER_KAFKA_SCRAM_SHA_256 || mechanism == ER_KAFKA_SCRAM_SHA_512;
    if (is_scram && rd_kafka_version() < SCRAM_FIXED_IN) {
        return er_err_set(err, ER_E_CONFIG,
                          "librdkafka %s cannot log in with SCRAM to brokers of Kafka 4, which "
                          "answer that the credentials are invalid; 2.6.1 or newer can (Debian "
                          "13), or use PLAIN over TLS, OAUTHBEARER or a client certificate",
                          rd_kafka_version_str());
    }
    return ER_OK;
}

/* RFC 7628 section 3.1: letters; "auth" is the token itself. */
static er_status check_extension(const char *name, er_err *err) {
    bool is_name = name[0] != '\0' && strcmp(name, "auth") != 0;
    for (const char *p = name; *p != '\0'; p++) {
        is_name = is_name && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'));
    }
    return is_name ? ER_OK
                   : er_err_set(err, ER_E_CONFIG,
                                "is no name of a SASL extension, such as logicalCluster: letters, "
                                "and not \"auth\"");
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
     .check = check_extension,
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
     .check = check_broker,
     .offset = C(brokers),
     .help = "Some of the cluster's brokers, host:port; they tell the others."},
    {.key = "topic",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_REQUIRED,
     .max = 1024,
     .check = er_kafka_topic_check,
     .offset = C(topic),
     .help = "Where records go; may hold {cluster}, {kind}, {namespace}, {severity}. In their "
             "values what a topic must not hold becomes _, and an empty one is _. One that is "
             "missing, and not made by the brokers, stops the sink until it is there."},
    {.key = "key",
     .type = ER_FIELD_ENUM,
     .choices = "uid|namespace|none",
     .offset = C(key),
     .help = "What keeps its order, in one partition. uid: the object's; NAMESPACE/KIND/NAME when "
             "it has none. A compacted topic refuses records without a key."},
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
     .check = check_option,
     .offset = C(options),
     .help = "Properties of librdkafka by its own names, such as linger.ms, batch.size or "
             "message.max.bytes (numbers without a unit): a text, {file: PATH} or {env: NAME}. When "
             "brokers confirm nothing for a third of request.timeout.ms (30000) and linger.ms, the "
             "sink is unavailable."},
    {.key = NULL},
};
