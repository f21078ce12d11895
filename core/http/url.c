/* URLs: where they lead, and escaping. */
#include "http/http_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void er_url_escape(er_str s, er_buf *out) {
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (letter || (c >= '0' && c <= '9') || (c != '\0' && strchr("-._~", c) != NULL)) {
            er_buf_putc(out, (char)c);
        } else {
            char code[3] = {'%', hex[c >> 4], hex[c & 15]};
            er_buf_put(out, code, sizeof code);
        }
    }
}

#define URL_MAX_BYTES  (64u * 1024u)
#define NAME_MAX_BYTES 256

/* A part of the URL as an owned text, or NULL. */
static char *part_of(CURLU *u, CURLUPart part, unsigned flags) {
    char *text = NULL;
    char *copy = NULL;
    if (curl_url_get(u, part, &text, flags) == CURLUE_OK) {
        copy = er_dup(text);
    }
    curl_free(text);
    return copy;
}

/* libcurl takes the name that it sends as SNI and verifies from the URL. So the server name takes
 * the host's place there, CONNECT_TO leads to the host all the same, and Host keeps its name. */
static er_status rename_server(er_http_target *target, CURLU *u, const char *server_name,
                               const char *host, const char *port, er_err *err) {
    bool v6 = strchr(server_name, ':') != NULL;
    er_buf name;
    er_buf_init(&name, NAME_MAX_BYTES);
    er_buf_putf(&name, v6 ? "[%s]" : "%s", server_name);
    if (er_buf_status(&name) != ER_OK ||
        curl_url_set(u, CURLUPART_HOST, er_buf_cstr(&name), 0) != CURLUE_OK) {
        er_buf_fini(&name);
        return er_err_set(err, ER_E_INVAL, "the server name \"%.253s\" is not a host name",
                          server_name);
    }
    free(target->url);
    target->url = part_of(u, CURLUPART_URL, 0);
    char *own_port = part_of(u, CURLUPART_PORT, 0); /* NULL: the scheme's own */
    er_buf text;
    er_buf_init(&text, URL_MAX_BYTES);
    er_buf_putf(&text, "%s:%s:%s:%s", er_buf_cstr(&name), port, host, port);
    target->connect_to = er_buf_take(&text, NULL);
    er_buf_puts(&text, host);
    if (own_port != NULL) {
        er_buf_putf(&text, ":%s", own_port);
    }
    target->host = er_buf_take(&text, NULL);
    er_buf_fini(&text);
    er_buf_fini(&name);
    free(own_port);
    bool ok = target->url != NULL && target->connect_to != NULL && target->host != NULL;
    return ok ? ER_OK : er_err_set(err, ER_E_INVAL, "the URL is too long");
}

er_status er_http_target_init(er_http_target *target, const char *url, const char *server_name,
                              er_err *err) {
    *target = (er_http_target){0};
    CURLU *u = curl_url();
    ER_ASSERT(u != NULL);
    CURLUcode code = curl_url_set(u, CURLUPART_URL, url, CURLU_PATH_AS_IS);
    char *scheme = part_of(u, CURLUPART_SCHEME, 0);
    char *host = part_of(u, CURLUPART_HOST, 0);
    char *port = part_of(u, CURLUPART_PORT, CURLU_DEFAULT_PORT);
    bool https = scheme != NULL && strcmp(scheme, "https") == 0;
    er_status status = ER_OK;
    if (code != CURLUE_OK || scheme == NULL || host == NULL || port == NULL) {
        status = er_err_set(err, ER_E_INVAL, "the URL cannot be used: %s", curl_url_strerror(code));
    } else if (!https && strcmp(scheme, "http") != 0) {
        status = er_err_set(err, ER_E_INVAL, "the URL cannot be used: neither http nor https");
    } else {
        target->url = er_dup(url);
        (void)snprintf(target->peer, sizeof target->peer, "%.280s:%.6s", host, port);
        bool renamed = https && server_name != NULL && server_name[0] != '\0';
        status = renamed ? rename_server(target, u, server_name, host, port, err) : ER_OK;
    }
    free(scheme);
    free(host);
    free(port);
    curl_url_cleanup(u);
    return status;
}

void er_http_target_fini(er_http_target *target) {
    if (target->url != NULL) {
        explicit_bzero(target->url, strlen(target->url)); /* it may hold a password or key */
    }
    free(target->url);
    free(target->connect_to);
    free(target->host);
    *target = (er_http_target){0};
}
