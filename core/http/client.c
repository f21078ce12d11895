/* The client: what stays between exchanges. */
#include "http/http_priv.h"

#include <stdlib.h>
#include <string.h>

#define RESPONSE_BODY_MAX (64u * 1024u) /* until a request says otherwise */
#define CONNECTIONS_MAX   4L

static er_status open_handles(er_http_client *client, er_err *err) {
    client->multi = curl_multi_init();
    client->easy = curl_easy_init();
    if (client->multi == NULL || client->easy == NULL) {
        return er_err_set(err, ER_E_NOMEM, "libcurl cannot be set up: out of memory");
    }
    (void)curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_MAX);
    return ER_OK;
}

static void close_handles(er_http_client *client) {
    if (client->easy != NULL) {
        curl_easy_cleanup(client->easy);
    }
    if (client->multi != NULL) {
        (void)curl_multi_cleanup(client->multi);
    }
    client->easy = NULL;
    client->multi = NULL;
}

er_status er_http_client_new(const er_http_options *options, er_http_client **out, er_err *err) {
    /* Counted by libcurl, and safe in any thread since 7.84 where it says "threadsafe". */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return er_err_set(err, ER_E_NOMEM, "libcurl cannot be set up");
    }
    er_http_client *client = er_xcalloc(1, sizeof *client);
    client->options = *options;
    er_status status = er_tls_init(&client->tls, &client->options, err);
    if (status == ER_OK) {
        status = open_handles(client, err);
    }
    if (status != ER_OK) {
        er_http_client_free(client);
        return status;
    }
    *out = client;
    return ER_OK;
}

void er_http_client_free(er_http_client *client) {
    if (client == NULL) {
        return;
    }
    close_handles(client);
    er_tls_fini(&client->tls);
    free(client);
    curl_global_cleanup();
}

void er_http_client_reset(er_http_client *client) {
    close_handles(client);
    /* If this fails, the next request says so. */
    (void)open_handles(client, NULL);
}

void er_http_response_init(er_http_response *res) {
    *res = (er_http_response){.retry_after_ms = -1};
    er_buf_init(&res->body, RESPONSE_BODY_MAX);
}

void er_http_response_fini(er_http_response *res) {
    er_buf_fini(&res->body);
}

void er_http_request_header(er_http_request *req, const char *name, er_str value) {
    ER_ASSERT(req->headers_n < ER_HTTP_HEADERS_MAX);
    req->headers[req->headers_n++] = (er_http_header){.name = name, .value = value};
}

bool er_http_header_name_valid(er_str name) {
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        bool other = c != '\0' && strchr("0123456789!#$%&'*+-.^_`|~", c) != NULL;
        if (!letter && !other) {
            return false;
        }
    }
    return name.n > 0;
}

er_status er_http_do(er_http_client *client, const er_http_request *req, er_http_response *res,
                     er_err *err) {
    er_http_exchange x = {.client = client, .req = req, .res = res};
    return er_http_exchange_run(&x, err);
}

er_status er_http_stream(er_http_client *client, const er_http_request *req, int64_t idle_ms,
                         const er_http_stream_handler *handler, er_http_response *res,
                         er_err *err) {
    er_http_exchange x = {
        .client = client, .req = req, .res = res, .handler = handler, .idle_ms = idle_ms};
    return er_http_exchange_run(&x, err);
}
