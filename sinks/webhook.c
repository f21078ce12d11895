/* Any receiver of HTTP requests: one record a request or many, as JSON, NDJSON or CloudEvents,
 * signed or not.
 *
 * A repeated request carries the same id, so that the receiver can leave it out: Idempotency-Key
 * (draft-ietf-httpapi-idempotency-key-header, a string of RFC 8941) and webhook-id (Standard
 * Webhooks). It is the record's id; for several records a hash of their ids, the same as long as
 * the batch is cut the same. */
#include "record/hash.h"
#include "sinks/cloudevents.h"
#include "sinks/http_sink.h"
#include "sinks/registry.h"
#include "sinks/webhook_sign.h"

#include <stdio.h>

typedef enum webhook_format {
    FORMAT_JSON,
    FORMAT_NDJSON,
    FORMAT_CLOUDEVENTS, /* structured */
    FORMAT_CLOUDEVENTS_BINARY,
    FORMAT_CLOUDEVENTS_BATCH,
} webhook_format;
#define FORMATS "json|ndjson|cloudevents|cloudevents-binary|cloudevents-batch"

typedef struct webhook_config {
    er_http_sink_config http;
    int format; /* webhook_format */
    er_sign_settings sign;
} webhook_config;

typedef struct webhook_state {
    char id[ER_ID_MAX], quoted_id[ER_ID_MAX + 2];
    er_signer *signer;  /* NULL: requests are not signed */
    er_buf cloudevents; /* values of headers */
} webhook_state;

/* ---- configuration ---- */

static er_status check_format(const webhook_config *c, er_err *err) {
    static const char *const names[] = {"json", "ndjson", "cloudevents", "cloudevents-binary",
                                        "cloudevents-batch"};
    bool is_single = c->format == FORMAT_CLOUDEVENTS || c->format == FORMAT_CLOUDEVENTS_BINARY;
    if (is_single && c->http.common.batch.records > 1) {
        return er_err_set(err, ER_E_CONFIG,
                          "format: %s puts one record into a request, but batch.records is %lld; "
                          "set batch.records: 1, or format: cloudevents-batch when the receiver "
                          "takes batches",
                          names[c->format], (long long)c->http.common.batch.records);
    }
    if (c->format >= FORMAT_CLOUDEVENTS && er_http_sink_has_header(&c->http, "Content-Type")) {
        return er_err_set(err, ER_E_CONFIG,
                          "headers has Content-Type, which tells receivers that this is format: "
                          "%s; remove it",
                          names[c->format]);
    }
    return ER_OK;
}

static er_status check_headers(const webhook_config *c, er_err *err) {
    const er_cfg_secret *headers = c->http.headers.v;
    for (size_t i = 0; i < c->http.headers.n; i++) {
        const char *name = headers[i].name.s;
        if (c->format == FORMAT_CLOUDEVENTS_BINARY && er_cloudevent_sets_header(name)) {
            return er_err_set(err, ER_E_CONFIG,
                              "headers has %s, which belongs to format: cloudevents-binary; remove "
                              "it",
                              name);
        }
    }
    for (const char *const *name = er_sign_headers(&c->sign); *name != NULL; name++) {
        if (er_http_sink_has_header(&c->http, *name)) {
            return er_err_set(err, ER_E_CONFIG, "headers has %s, which belongs to sign; remove it",
                              *name);
        }
    }
    return ER_OK;
}

static er_status webhook_check(const void *config, er_err *err) {
    er_status status = er_http_sink_check(config, err);
    status = status == ER_OK ? check_format(config, err) : status;
    return status == ER_OK ? check_headers(config, err) : status;
}

static void webhook_format_of(const void *config, const char **content_type,
                              er_http_framing *framing) {
    const webhook_config *c = config;
    switch ((webhook_format)c->format) {
    case FORMAT_NDJSON:
        *content_type = "application/x-ndjson";
        *framing = ER_HTTP_NDJSON;
        break;
    case FORMAT_CLOUDEVENTS:
        *content_type = ER_CLOUDEVENTS_TYPE_JSON;
        break;
    case FORMAT_CLOUDEVENTS_BATCH:
        *content_type = ER_CLOUDEVENTS_TYPE_BATCH;
        *framing = ER_HTTP_JSON_ARRAY;
        break;
    case FORMAT_JSON:
    case FORMAT_CLOUDEVENTS_BINARY:
    default: /* the profile's */
        break;
    }
}

/* ---- life ---- */

static er_status webhook_init(const void *config, const er_sink_env *env, void *state,
                              er_err *err) {
    const webhook_config *c = config;
    webhook_state *s = state;
    er_buf_init(&s->cloudevents, ER_CLOUDEVENT_TEXT_MAX);
    if (c->sign.keys.n == 0) {
        return ER_OK;
    }
    char what[256];
    (void)snprintf(what, sizeof what, "sinks.%s.sign", env->name);
    return er_signer_new(&c->sign, what, &s->signer, err);
}

static void webhook_fini(void *state) {
    webhook_state *s = state;
    er_signer_free(s->signer);
    er_buf_fini(&s->cloudevents);
}

/* ---- requests ---- */

static er_status webhook_encode(const void *config, void *state, const er_record *rec, er_buf *out,
                                er_err *err) {
    (void)state;
    (void)err;
    int format = ((const webhook_config *)config)->format;
    if (format == FORMAT_CLOUDEVENTS || format == FORMAT_CLOUDEVENTS_BATCH) {
        er_cloudevent_json(rec, out);
    } else {
        er_record_json(rec, out);
    }
    return ER_OK;
}

static void hash_ids(const er_batch *batch, char out[ER_ID_MAX]) {
    er_buf ids;
    er_buf_init(&ids, er_batch_len(batch) * ER_ID_MAX);
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        er_buf_put_str(&ids, er_batch_record(batch, i)->id);
        er_buf_putc(&ids, '\n');
    }
    er_sha256_hex(er_buf_str(&ids), out, ER_ID_MAX - 1);
    er_buf_fini(&ids);
}

static er_status webhook_prepare(const void *config, void *state, const er_batch *batch,
                                 er_http_request *req, er_err *err) {
    (void)err;
    const webhook_config *c = config;
    webhook_state *s = state;
    if (er_batch_len(batch) == 1) {
        (void)er_record_id(er_batch_record(batch, 0)->id, s->id);
    } else {
        hash_ids(batch, s->id);
    }
    (void)snprintf(s->quoted_id, sizeof s->quoted_id, "\"%s\"", s->id);
    er_http_request_header(req, "Idempotency-Key", er_str_of(s->quoted_id));
    er_http_request_header(req, "webhook-id", er_str_of(s->id));
    if (c->format == FORMAT_CLOUDEVENTS_BINARY) {
        er_cloudevent_headers(er_batch_record(batch, 0), &s->cloudevents, req);
    }
    return ER_OK;
}

static const char *const *webhook_signs(const void *config) {
    return er_sign_headers(&((const webhook_config *)config)->sign);
}

static er_status webhook_sign(const void *config, void *state, er_str payload, er_time now,
                              er_http_request *req, er_err *err) {
    (void)config;
    webhook_state *s = state;
    return s->signer == NULL ? ER_OK
                             : er_signer_apply(s->signer, er_str_of(s->id), payload, now, req, err);
}

static bool webhook_refresh(void *state) {
    webhook_state *s = state;
    return s->signer != NULL && er_signer_refresh(s->signer);
}

ER_SINK_BATCH_ROWS(webhook_batch_rows, "1", "1MiB", "0");
static const er_field webhook_rows[] = {
    ER_SINK_ROWS(webhook_batch_rows),
    ER_HTTP_SINK_ROWS,
    {.key = "format",
     .type = ER_FIELD_ENUM,
     .choices = FORMATS,
     .offset = offsetof(webhook_config, format),
     .help = "json: the record, or an array when batch.records is over 1; ndjson: a line for each; "
             "CloudEvents 1.0: structured, binary (ce- headers), or a batch."},
    {.key = "sign",
     .type = ER_FIELD_STRUCT,
     .rows = er_sign_rows,
     .check_struct = er_sign_check,
     .offset = offsetof(webhook_config, sign),
     .help = "Signs each request with HMAC-SHA256 over the body before compression."},
    {.key = NULL},
};

static const er_http_profile webhook_profile = {
    .content_type = "application/json",
    .framing = ER_HTTP_SINGLE,
    .format = webhook_format_of,
    .state_size = sizeof(webhook_state),
    .init = webhook_init,
    .fini = webhook_fini,
    .encode = webhook_encode,
    .prepare = webhook_prepare,
    .signs = webhook_signs,
    .sign = webhook_sign,
    .refresh = webhook_refresh,
};

const er_sink_type er_webhook_sink = ER_HTTP_SINK_TYPE_CHECKED(
    &webhook_profile, "webhook", "HTTP POST of one record or many: JSON, NDJSON or CloudEvents.",
    webhook_rows, webhook_config, webhook_check);
