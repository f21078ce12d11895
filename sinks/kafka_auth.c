/* Passwords, tokens and certificates of the kafka sink, all of which may change. */
#include "base/log.h"
#include "sinks/kafka_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define TOKEN_CONNECT_MS 10000
#define TOKEN_REQUEST_MS 30000
#define TOKEN_LIFE_MIN   2000
#define PEM_MAX          (4u << 20)

/* ---- at the start ---- */

static void files_of(const er_kafka_config *config, const char *out[3]) {
    out[0] = config->tls.ca_file;
    out[1] = config->tls.cert_file;
    out[2] = config->tls.key_file;
}

/* librdkafka reads them itself; this finds at the start what is missing. */
static er_status try_files(const er_kafka_config *config, const er_sink_env *env, er_err *err) {
    const char *paths[3];
    files_of(config, paths);
    er_status status = ER_OK;
    for (size_t i = 0; i < 3 && status == ER_OK; i++) {
        er_buf pem;
        er_buf_init(&pem, PEM_MAX);
        status = paths[i][0] == '\0' ? ER_OK : er_file_read(paths[i], &pem, err);
        er_buf_wipe(&pem);
        er_buf_fini(&pem);
    }
    if (status != ER_OK) {
        er_err_prefix(err, "sinks.%s.tls", env->name);
    }
    return status;
}

static er_status read_options(er_kafka_material *m, const er_kafka_config *config,
                              const er_sink_env *env, er_err *err) {
    const er_cfg_secret *options = config->options.v;
    er_status status = ER_OK;
    m->options = er_xcalloc(config->options.n + 1, sizeof(er_secret *));
    for (size_t i = 0; i < config->options.n && status == ER_OK; i++, m->options_n++) {
        char what[300];
        (void)snprintf(what, sizeof what, "sinks.%s.options.%s", env->name, options[i].name.s);
        status = er_secret_new(&options[i].value, what, &m->options[i], err);
    }
    return status;
}

static er_status read_extensions(er_kafka_material *m, const er_kafka_config *config,
                                 const er_sink_env *env, er_err *err) {
    const er_cfg_secret *extensions = config->sasl.extensions.v;
    size_t n = config->sasl.extensions.n;
    m->extensions = er_xcalloc(2 * n + 1, sizeof *m->extensions);
    for (size_t i = 0; i < n; i++) {
        char what[300];
        er_secret *value;
        (void)snprintf(what, sizeof what, "sinks.%s.sasl.extensions.%s", env->name,
                       extensions[i].name.s);
        er_status status = er_secret_new(&extensions[i].value, what, &value, err);
        if (status != ER_OK) {
            return status;
        }
        m->extensions[m->extensions_n++] = er_dup(extensions[i].name.s);
        m->extensions[m->extensions_n++] = er_str_dup(er_secret_get(value));
        er_secret_free(value);
    }
    return ER_OK;
}

er_status er_kafka_material_init(er_kafka_material *m, const er_kafka_config *config,
                                 const er_sink_env *env, er_err *err) {
    char what[300];
    er_status status = read_options(m, config, env, err);
    if (status == ER_OK && config->sasl.password.kind != ER_SECRET_UNSET) {
        (void)snprintf(what, sizeof what, "sinks.%s.sasl.password", env->name);
        status = er_secret_new(&config->sasl.password, what, &m->password, err);
    }
    status = status == ER_OK ? read_extensions(m, config, env, err) : status;
    status = status == ER_OK ? try_files(config, env, err) : status;
    if (status == ER_OK && config->sasl.mechanism == ER_KAFKA_OAUTHBEARER) {
        const er_http_options http = {.user_agent = "eventrouter",
                                      .connect_timeout_ms = TOKEN_CONNECT_MS,
                                      .cancel = env->cancel,
                                      .heart = env->heart};
        (void)snprintf(what, sizeof what, "sinks.%s.sasl.oauth2", env->name);
        status =
            er_oauth2_new(&config->sasl.oauth2, what, &http, TOKEN_REQUEST_MS, &m->oauth2, err);
    }
    return status;
}

void er_kafka_material_fini(er_kafka_material *m) {
    er_secret_free(m->password);
    for (size_t i = 0; i < m->options_n; i++) {
        er_secret_free(m->options[i]);
    }
    free(m->options);
    for (size_t i = 0; i < m->extensions_n; i++) {
        free(m->extensions[i]);
    }
    free(m->extensions);
    er_oauth2_free(m->oauth2);
    *m = (er_kafka_material){0};
}

/* ---- changes ---- */

static unsigned options_generation(er_kafka_material *m) {
    unsigned sum = 0;
    for (size_t i = 0; i < m->options_n; i++) {
        (void)er_secret_get(m->options[i]);
        sum += er_secret_generation(m->options[i]);
    }
    return sum;
}

static unsigned password_generation(er_kafka_material *m) {
    (void)er_secret_get(m->password);
    return er_secret_generation(m->password);
}

void er_kafka_material_stamp(er_kafka_material *m, const er_kafka_config *config) {
    const char *paths[3];
    files_of(config, paths);
    for (size_t i = 0; i < 3; i++) {
        if (paths[i][0] != '\0') {
            (void)er_file_stamp_get(paths[i], &m->files[i]);
        }
    }
    m->options_seen = options_generation(m);
    m->password_seen = m->password == NULL ? 0 : password_generation(m);
}

bool er_kafka_material_is_new(er_kafka_material *m, const er_kafka_config *config) {
    const char *paths[3];
    files_of(config, paths);
    bool is_new = options_generation(m) != m->options_seen;
    for (size_t i = 0; i < 3; i++) {
        er_file_stamp now;
        is_new = is_new || (paths[i][0] != '\0' && er_file_stamp_get(paths[i], &now) &&
                            !er_file_stamp_eq(&now, &m->files[i]));
    }
    return is_new;
}

void er_kafka_password_renew(er_kafka_material *m, const er_kafka_config *config, rd_kafka_t *rk) {
    if (m->password == NULL || password_generation(m) == m->password_seen) {
        return;
    }
    m->password_seen = password_generation(m);
    er_buf password;
    er_buf_init(&password, ER_SECRET_MAX);
    er_buf_put_str(&password, er_secret_get(m->password));
    rd_kafka_error_t *error =
        rd_kafka_sasl_set_credentials(rk, config->sasl.username, er_buf_cstr(&password));
    ER_ASSERT(error == NULL); /* only without username or password */
    er_buf_wipe(&password);
    er_buf_fini(&password);
}

/* ---- tokens ---- */

er_status er_kafka_token_set(er_kafka_material *m, const er_kafka_config *config, rd_kafka_t *rk,
                             er_err *err) {
    er_str token;
    er_status status = er_oauth2_token(m->oauth2, &token, err);
    if (status != ER_OK) {
        (void)rd_kafka_oauthbearer_set_token_failure(rk, err->msg);
        return status;
    }
    er_buf text;
    er_buf_init(&text, token.n + 1);
    er_buf_put_str(&text, token);
    /* librdkafka asks for the next one after 80 % of the life, and our margin is in it already. */
    int64_t life = er_oauth2_life_ms(m->oauth2);
    life = life < TOKEN_LIFE_MIN ? TOKEN_LIFE_MIN : life;
    const char **extensions = er_xcalloc(m->extensions_n + 1, sizeof *extensions);
    for (size_t i = 0; i < m->extensions_n; i++) {
        extensions[i] = m->extensions[i];
    }
    char why[300] = "";
    if (rd_kafka_oauthbearer_set_token(rk, er_buf_cstr(&text), er_time_now() / 1000 + life,
                                       config->sasl.oauth2.client_id, extensions, m->extensions_n,
                                       why, sizeof why) != RD_KAFKA_RESP_ERR_NO_ERROR) {
        status = er_err_set(err, ER_E_DENIED,
                            "the access token or sasl.extensions cannot be used: %s", why);
        (void)rd_kafka_oauthbearer_set_token_failure(rk, why);
    }
    free(extensions);
    er_buf_wipe(&text);
    er_buf_fini(&text);
    return status;
}
