/* What may not be set, and what librdkafka would only say when it runs. */
#include "sinks/kafka_priv.h"

#include <stdlib.h>
#include <string.h>

/* librdkafka 2.6.1 sends the nonce once, as RFC 5802 has it; brokers of Kafka 4 check that. */
#define SCRAM_FIXED_IN       0x020601ff
#define OPTIONS_MAX          128
#define IN_FLIGHT_WITH_ORDER 5       /* requests a connection of an idempotent producer may have */
#define IN_FLIGHT_DEFAULT    1000000 /* librdkafka's own, which it lowers by itself */

/* ---- options ---- */

/* What options may not say, and why; names as librdkafka has them, with aliases. */
static const struct {
    const char *key, *why;
} refused[] = {
    {"acks", "a record counts as delivered when all in-sync replicas have it"},
    {"bootstrap.servers", "use the sink's own brokers"},
    {"compression.codec", "use the sink's own compression"},
    {"compression.type", "use the sink's own compression"},
    {"delivery.report.only.error", "each record is settled by its report"},
    {"delivery.timeout.ms", "use the sink's own retry.maxAge"},
    {"enable.idempotence", "it is on: without it a retry makes repeats and changes the order"},
    {"enable.sasl.oauthbearer.unsecure.jwt", "use the sink's own sasl.oauth2"},
    {"enable.ssl.certificate.verification", "use the sink's own tls.insecureSkipVerify"},
    {"enabled_events", "it belongs to the program"},
    {"log.queue", "it belongs to the program"},
    {"message.timeout.ms", "use the sink's own retry.maxAge"},
    {"metadata.broker.list", "use the sink's own brokers"},
    {"queuing.strategy", "records are sent in their order"},
    {"request.required.acks", "a record counts as delivered when all in-sync replicas have it"},
    {"sasl.mechanism", "use the sink's own sasl.mechanism"},
    {"sasl.mechanisms", "use the sink's own sasl.mechanism"},
    {"sasl.oauthbearer.client.id", "use the sink's own sasl.oauth2"},
    {"sasl.oauthbearer.client.secret", "use the sink's own sasl.oauth2"},
    {"sasl.oauthbearer.config", "use the sink's own sasl.oauth2"},
    {"sasl.oauthbearer.extensions", "use the sink's own sasl.extensions"},
    {"sasl.oauthbearer.method", "use the sink's own sasl.oauth2"},
    {"sasl.oauthbearer.scope", "use the sink's own sasl.oauth2"},
    {"sasl.oauthbearer.token.endpoint.url", "use the sink's own sasl.oauth2"},
    {"sasl.password", "use the sink's own sasl.password"},
    {"sasl.username", "use the sink's own sasl.username"},
    {"security.protocol", "use the sink's own securityProtocol"},
    {"ssl.ca.location", "use the sink's own tls.caFile"},
    {"ssl.ca.pem", "use the sink's own tls.caFile"},
    {"ssl.certificate.location", "use the sink's own tls.certFile"},
    {"ssl.certificate.pem", "use the sink's own tls.certFile"},
    {"ssl.key.location", "use the sink's own tls.keyFile"},
    {"ssl.key.pem", "use the sink's own tls.keyFile"},
    {"test.mock.num.brokers", "records would go to a cluster that does not exist"},
    {"transactional.id",
     "there are no transactions: what is routed is no position in Kafka that could be part of one"},
};

er_status er_kafka_option_check(const char *key, er_err *err) {
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

const er_cfg_secret *er_kafka_option_at(const er_kafka_config *config, size_t i) {
    return &((const er_cfg_secret *)config->options.v)[i];
}

/* ---- brokers ---- */

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

er_status er_kafka_broker_check(const char *broker, er_err *err) {
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
        if (strcmp(er_kafka_option_at(c, i)->name.s, key) == 0) {
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
        const er_cfg_secret *option = er_kafka_option_at(c, i);
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
er_status er_kafka_extension_check(const char *name, er_err *err) {
    bool is_name = name[0] != '\0' && strcmp(name, "auth") != 0;
    for (const char *p = name; *p != '\0'; p++) {
        is_name = is_name && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z'));
    }
    return is_name ? ER_OK
                   : er_err_set(err, ER_E_CONFIG,
                                "is no name of a SASL extension, such as logicalCluster: letters, "
                                "and not \"auth\"");
}
