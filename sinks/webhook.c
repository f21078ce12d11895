/* Any receiver of HTTP requests: one record a request, or a JSON array of them.
 *
 * A repeated request carries the same id, so that the receiver can leave it out: Idempotency-Key
 * (draft-ietf-httpapi-idempotency-key-header, a string of RFC 8941) and webhook-id (Standard
 * Webhooks). It is the record's id; for several records a hash of their ids, the same as long as
 * the batch is cut the same. */
#include "record/hash.h"
#include "sinks/http_sink.h"
#include "sinks/registry.h"

#include <stdio.h>

typedef struct webhook_config {
    er_http_sink_config http;
} webhook_config;

typedef struct webhook_state {
    char id[ER_ID_MAX], quoted_id[ER_ID_MAX + 2];
} webhook_state;

static er_status webhook_encode(const void *config, void *state, const er_record *rec, er_buf *out,
                                er_err *err) {
    (void)config;
    (void)state;
    (void)err;
    er_record_json(rec, out);
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
    (void)config;
    (void)err;
    webhook_state *s = state;
    if (er_batch_len(batch) == 1) {
        (void)er_record_id(er_batch_record(batch, 0)->id, s->id);
    } else {
        hash_ids(batch, s->id);
    }
    (void)snprintf(s->quoted_id, sizeof s->quoted_id, "\"%s\"", s->id);
    er_http_request_header(req, "Idempotency-Key", er_str_of(s->quoted_id));
    er_http_request_header(req, "webhook-id", er_str_of(s->id));
    return ER_OK;
}

ER_SINK_BATCH_ROWS(webhook_batch_rows, "1", "1MiB", "0");
static const er_field webhook_rows[] = {
    ER_SINK_ROWS(webhook_batch_rows),
    ER_HTTP_SINK_ROWS,
    {.key = NULL},
};

static const er_http_profile webhook_profile = {
    .content_type = "application/json",
    .framing = ER_HTTP_SINGLE,
    .state_size = sizeof(webhook_state),
    .encode = webhook_encode,
    .prepare = webhook_prepare,
};

const er_sink_type er_webhook_sink =
    ER_HTTP_SINK_TYPE(&webhook_profile, "webhook",
                      "HTTP POST of one record, or of a JSON array when batch.records is over 1.",
                      webhook_rows, webhook_config);
