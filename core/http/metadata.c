#include "http/metadata.h"

#include <stdlib.h>

const char *er_metadata_host(void) {
    const char *host = getenv("GCE_METADATA_HOST");
    return host == NULL || host[0] == '\0' ? "metadata.google.internal" : host;
}

void er_metadata_request(const char *path, int64_t timeout_ms, er_buf *url, er_http_request *req) {
    er_buf_clear(url);
    er_buf_putf(url, "http://%s/computeMetadata/v1/%s", er_metadata_host(), path);
    *req = (er_http_request){.method = "GET",
                             .url = er_buf_cstr(url),
                             .timeout_ms = timeout_ms,
                             .response_max = ER_METADATA_TEXT_MAX};
    er_http_request_header(req, "Metadata-Flavor", ER_STR("Google"));
}

static bool is_usable(er_str text) {
    for (size_t i = 0; i < text.n; i++) {
        if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f) {
            return false;
        }
    }
    return text.n > 0 && er_utf8_valid(text);
}

static er_status judge(const char *path, const er_http_response *res, er_buf *out, er_err *err) {
    er_str text = er_str_trim(er_buf_str(&res->body));
    if (res->status == 200 && is_usable(text)) {
        er_buf_put_str(out, text);
        return ER_OK;
    }
    bool is_passing = res->status == 408 || res->status == 429 || res->status >= 500;
    er_status status = is_passing                                 ? ER_E_UNAVAILABLE
                       : res->status == 404 || res->status == 200 ? ER_E_INVAL
                                                                  : ER_E_DENIED;
    return er_err_set(err, status, "%ld from the metadata server %s for %s%s", res->status,
                      er_metadata_host(), path,
                      res->status == 200 ? ": not a text that can be used" : "");
}

er_status er_metadata_get(er_http_client *client, const char *path, int64_t timeout_ms, er_buf *out,
                          er_err *err) {
    er_buf url;
    er_buf_init(&url, 1024);
    er_http_request req;
    er_metadata_request(path, timeout_ms, &url, &req);
    er_http_response res;
    er_http_response_init(&res);
    er_status status = er_http_do(client, &req, &res, err);
    if (status == ER_OK) {
        status = judge(path, &res, out, err);
    } else if (status != ER_E_CANCELLED) {
        er_err_prefix(err, "the metadata server does not answer");
        status = status == ER_E_INVAL || status == ER_E_LIMIT ? ER_E_DENIED : ER_E_UNAVAILABLE;
        if (err != NULL) {
            err->code = status;
        }
    }
    er_http_response_fini(&res);
    er_buf_fini(&url);
    return status;
}
