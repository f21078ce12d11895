/* Records as CloudEvents 1.0: the JSON event format, and the binary mode of the HTTP binding and of
 * others.
 *
 * id is the record's, source `/clusters/NAME`, type `io.eventrouter.KIND`, subject
 * `NAMESPACE/KIND/NAME` of the object the record is about (absent when it is about none), time the
 * record's; the data is the record as JSON.
 *
 * Threads: pure functions. Source: github.com/cloudevents/spec, cloudevents/spec.md,
 * formats/json-format.md, bindings/http-protocol-binding.md. */
#ifndef ER_SINKS_CLOUDEVENTS_H
#define ER_SINKS_CLOUDEVENTS_H

#include "http/http.h"
#include "record/record.h"

/* Without a charset: JSON is UTF-8, and some readers know the bare names only. */
#define ER_CLOUDEVENTS_TYPE_JSON  "application/cloudevents+json"
#define ER_CLOUDEVENTS_TYPE_BATCH "application/cloudevents-batch+json"
#define ER_CLOUDEVENTS_SCHEMA     "https://eventrouter.io/schemas/v1/record.schema.json"

/* Structured mode, and the elements of a batch: the whole event as one JSON object. */
void er_cloudevent_json(const er_record *rec, er_buf *out);

/* The attributes, unencoded, as they stand in binary mode: specversion, id, source, type, subject
 * (left out when the record is about no object), time, dataschema. Returns their number. The values
 * live in text and in the record. text: at least ER_CLOUDEVENT_TEXT_MAX. */
#define ER_CLOUDEVENT_ATTRIBUTES 7
typedef struct er_cloudevent_attribute {
    const char *http_name, *kafka_name; /* "ce-id", "ce_id" */
    er_str value;
} er_cloudevent_attribute;
size_t er_cloudevent_attributes(const er_record *rec, er_buf *text,
                                er_cloudevent_attribute out[ER_CLOUDEVENT_ATTRIBUTES]);

/* The attributes as headers of HTTP's binary mode (`ce-id: ...`; section 3.1.3). The values live in
 * text and in the record, until the next call. text: at least ER_CLOUDEVENT_TEXT_MAX. */
#define ER_CLOUDEVENT_TEXT_MAX 16384
void er_cloudevent_headers(const er_record *rec, er_buf *text, er_http_request *req);

/* A header that binary mode sets, or must not have (ce-datacontenttype). */
bool er_cloudevent_sets_header(const char *name);

#endif
