/* What all HTTP sinks have in their configuration: rows, and what rows cannot say. */
#include "sinks/http_sink_priv.h"

#include "base/log.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

const er_field er_http_sink_timeout_rows[] = {
    {.key = "connect",
     .type = ER_FIELD_DURATION,
     .def = "10s",
     .min = 1,
     .max = 3600000,
     .offset = offsetof(er_http_sink_config, timeout.connect_ms),
     .help = "To a usable connection: name look-up, TCP and TLS."},
    {.key = "request",
     .type = ER_FIELD_DURATION,
     .def = "30s",
     .min = 1,
     .max = 3600000,
     .offset = offsetof(er_http_sink_config, timeout.request_ms),
     .help = "The whole exchange, to the last byte of the answer."},
    {.key = NULL},
};

er_status er_http_sink_check_header(const char *name, er_err *err) {
    static const char *const ours[] = {
        "Connection",
        "Content-Encoding",
        "Content-Length",
        "Expect",
        "Host",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer-Encoding",
        "Webhook-Id",
        "Idempotency-Key",
        "Proxy-Connection",
    };
    if (!er_http_header_name_valid(er_str_of(name))) {
        return er_err_set(err, ER_E_CONFIG, "is not the name of a header: letters, digits and -");
    }
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        if (er_str_ieqc(er_str_of(name), ours[i])) {
            return er_err_set(err, ER_E_CONFIG, "%s is set by the program and cannot be changed",
                              ours[i]);
        }
    }
    return ER_OK;
}

er_status er_http_sink_check_proxy(const char *url, er_err *err) {
    const char *rest = strstr(url, "://");
    const char *end = rest == NULL ? "" : rest + 3 + strcspn(rest + 3, "/?#");
    return end[0] == '\0' || strcmp(end, "/") == 0
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG,
                            "a proxy's URL ends with its host and port; remove what follows");
}

static bool has_header(const er_http_sink_config *config, size_t below, const char *name) {
    for (size_t i = 0; i < below; i++) {
        if (er_str_ieqc(er_str_of(er_http_header_at(config, i)->name.s), name)) {
            return true;
        }
    }
    return false;
}

static er_status check_headers(const er_http_sink_config *config, er_err *err) {
    if (config->headers.n > ER_HTTP_SINK_HEADERS_MAX) {
        return er_err_set(err, ER_E_CONFIG, "headers has %zu entries; %d are allowed",
                          config->headers.n, ER_HTTP_SINK_HEADERS_MAX);
    }
    for (size_t i = 0; i < config->headers.n; i++) {
        const er_cfg_secret *header = er_http_header_at(config, i);
        if (has_header(config, i, header->name.s)) {
            return er_err_set(err, ER_E_CONFIG, "headers has %s twice (case does not count)",
                              header->name.s);
        }
        if (header->value.kind == ER_SECRET_LITERAL &&
            strpbrk(header->value.text, "\r\n") != NULL) {
            return er_err_set(err, ER_E_CONFIG, "headers.%s has a line break in its value",
                              header->name.s);
        }
    }
    return ER_OK;
}

bool er_http_sink_has_header(const er_http_sink_config *config, const char *name) {
    return has_header(config, config->headers.n, name);
}

static const er_secret_ref *url_at(const er_http_sink_config *config, size_t i) {
    return i == 0 ? &config->url : &((const er_secret_ref *)config->more_urls.v)[i - 1];
}

/* Settings that would do nothing, where somebody counts on them. */
static er_status check_tls(const er_http_sink_config *config, er_err *err) {
    for (size_t i = 0; i <= config->more_urls.n && config->tls.pos.line > 0; i++) {
        const er_secret_ref *url = url_at(config, i);
        if (url->kind == ER_SECRET_LITERAL && strncasecmp(url->text, "http:", 5) == 0) {
            return er_err_set(err, ER_E_CONFIG,
                              "has tls, but %s begins with http://, so that nothing is encrypted; "
                              "write https://, or remove tls",
                              i == 0 ? "url" : "one of moreUrls");
        }
    }
    return ER_OK;
}

static void warn_clear(const er_secret_ref *url, bool has_auth, const char *path, const char *key,
                       er_problems *problems) {
    if (url->kind != ER_SECRET_LITERAL || !er_url_is_clear(er_str_of(url->text)) ||
        !(has_auth || er_url_has_user(er_str_of(url->text)))) {
        return;
    }
    char where[256];
    (void)snprintf(where, sizeof where, "%s.%s", path, key);
    er_problems_add(problems, true, url->pos, where,
                    "the credentials are sent in clear over http://; write https://");
}

void er_http_sink_warn(const void *config, const char *path, er_problems *problems) {
    const er_http_sink_config *c = config;
    bool has_auth = er_auth_header(&c->auth) != NULL;
    for (size_t i = 0; i <= c->more_urls.n; i++) {
        char key[32] = "url";
        if (i > 0) {
            (void)snprintf(key, sizeof key, "moreUrls[%zu]", i - 1);
        }
        warn_clear(url_at(c, i), has_auth, path, key, problems);
    }
}

static bool has_credentials(const er_http_sink_config *config, er_str url) {
    return er_auth_header(&config->auth) != NULL || er_url_has_user(url) ||
           er_http_sink_has_header(config, "Authorization");
}

er_status er_http_check_read_url(http_sink *sink, er_http_node *node, er_str url, er_err *err) {
    static const char scheme[] = "http:";
    bool is_plain =
        url.n >= sizeof scheme - 1 && strncasecmp(url.p, scheme, sizeof scheme - 1) == 0;
    if (node->is_literal || !is_plain) {
        return ER_OK;
    }
    if (sink->config->tls.pos.line > 0) {
        return er_err_set(
            err, ER_E_DENIED,
            "sinks.%s has tls, but the URL that was read begins with http://, so that "
            "nothing is encrypted; write https://, or remove tls",
            sink->env.name);
    }
    if (!node->has_warned && er_url_is_clear(url) && has_credentials(sink->config, url)) {
        node->has_warned = true;
        ER_LOG(ER_LOG_WARNING, "sink",
               "the credentials are sent in clear over http://; write https://",
               ER_LS("sink", sink->env.name));
    }
    return ER_OK;
}

er_status er_http_sink_check(const void *config, er_err *err) {
    const er_http_sink_config *c = config;
    er_status status = check_headers(c, err);
    status = status == ER_OK ? check_tls(c, err) : status;
    if (status != ER_OK) {
        return status;
    }
    const char *name = er_auth_header(&c->auth);
    if (name != NULL && er_http_sink_has_header(c, name)) {
        return er_err_set(err, ER_E_CONFIG, "has %s in both auth and headers; remove one of them",
                          name);
    }
    for (size_t i = 0; i <= c->more_urls.n && er_str_ieqc(er_str_of(name), "Authorization"); i++) {
        const er_secret_ref *url = url_at(c, i);
        if (url->kind == ER_SECRET_LITERAL && er_url_has_user(er_str_of(url->text))) {
            return er_err_set(
                err, ER_E_CONFIG,
                "has a user in %s, and auth as well, which would be used alone; remove "
                "one of them",
                i == 0 ? "url" : "one of moreUrls");
        }
    }
    return ER_OK;
}
