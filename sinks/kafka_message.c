/* From a record to a message: topic, key, headers, time, value. */
#include "sinks/cloudevents.h"
#include "sinks/kafka_priv.h"
#include "sinks/name_template.h"

#include <string.h>

#define AHEAD_MAX ((er_time)3600 * 1000000) /* message.timestamp.after.max.ms of brokers, 1 h */

/* ---- topic ---- */

static bool is_topic_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

er_status er_kafka_topic_check(const char *topic, er_err *err) {
    if (er_name_template_check_few(topic, err) != ER_OK) {
        return ER_E_CONFIG;
    }
    if (strlen(topic) > ER_KAFKA_TOPIC_MAX) {
        return er_err_set(err, ER_E_CONFIG, "a topic has at most %d characters",
                          ER_KAFKA_TOPIC_MAX);
    }
    if (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0) {
        return er_err_set(err, ER_E_CONFIG, "\"%s\" is no topic", topic);
    }
    for (const char *p = topic; *p != '\0'; p++) {
        p = *p == '{' ? strchr(p, '}') : p;
        if (*p != '}' && !is_topic_char(*p)) {
            return er_err_set(err, ER_E_CONFIG,
                              "a topic is made of letters, digits, \".\", \"_\" and \"-\", and of "
                              "{cluster}, {kind}, {namespace}, {severity}");
        }
    }
    return ER_OK;
}

void er_kafka_topic_of(const er_kafka_config *config, const er_record *rec, er_buf *text,
                       char out[ER_KAFKA_TOPIC_MAX + 1]) {
    er_buf_clear(text);
    er_name_template_put(config->topic, rec, text);
    size_t n = text->len < ER_KAFKA_TOPIC_MAX ? text->len : ER_KAFKA_TOPIC_MAX;
    memcpy(out, text->p, n); /* what is too long is cut */
    out[n] = '\0';
    if (strcmp(out, ".") == 0 || strcmp(out, "..") == 0) {
        memset(out, '_', n);
    }
}

/* ---- key ---- */

/* An object that is named without its uid still has a key of its own. */
static er_str name_of(const er_object_ref *object, char text[ER_KAFKA_KEY_MAX]) {
    const er_str parts[] = {object->namespace_, object->kind, object->name};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        size_t part = er_utf8_cut(parts[i], ER_KAFKA_KEY_MAX / 3 - 1);
        memcpy(text + n, parts[i].n > 0 ? parts[i].p : "", part);
        n += part;
        text[n++] = '/';
    }
    return (er_str){text, n - 1};
}

/* A record of no object (a gap, a notice) has its own: a compacted topic takes none without. */
static er_str key_of(const er_kafka_config *config, const er_record *rec,
                     char text[ER_KAFKA_KEY_MAX]) {
    if (config->key == ER_KAFKA_KEY_NONE) {
        return (er_str){0};
    }
    er_str key = {0};
    if (config->key == ER_KAFKA_KEY_UID) {
        const er_object_ref *object = &rec->object;
        key = object->uid.n > 0 ? object->uid : object->name.n > 0 ? name_of(object, text) : key;
    } else {
        key = rec->namespace_;
    }
    key.n = er_utf8_cut(key, ER_KAFKA_KEY_MAX);
    return key.n > 0 ? key : rec->id;
}

/* ---- headers ---- */

static void add(er_kafka_message *m, const char *name, er_str value) {
    ER_ASSERT(m->headers_n < ER_KAFKA_HEADERS_MAX);
    m->headers[m->headers_n++] = (er_kafka_header){name, value};
}

/* Kafka binding of CloudEvents, section 3.2.3.1: the prefix is ce_, values are UTF-8 as they are.
 */
static void add_attributes(const er_record *rec, er_buf *text, er_kafka_message *m) {
    er_cloudevent_attribute attributes[ER_CLOUDEVENT_ATTRIBUTES];
    size_t n = er_cloudevent_attributes(rec, text, attributes);
    for (size_t i = 0; i < n; i++) {
        add(m, attributes[i].kafka_name, attributes[i].value);
    }
}

static void fill_headers(const er_kafka_config *config, const er_record *rec, er_buf *text,
                         er_kafka_message *m) {
    switch ((er_kafka_format)config->format) {
    case ER_KAFKA_CLOUDEVENTS:
        add(m, "content-type", ER_STR(ER_CLOUDEVENTS_TYPE_JSON));
        break;
    case ER_KAFKA_CLOUDEVENTS_BINARY:
        add_attributes(rec, text, m);
        add(m, "content-type", ER_STR("application/json"));
        break;
    case ER_KAFKA_RECORD:
    default:
        add(m, "id", rec->id);
        add(m, "kind", er_str_of(er_kind_name(rec->kind)));
        add(m, "cluster", rec->cluster);
        add(m, "schema", ER_STR(ER_RECORD_SCHEMA));
        add(m, "content-type", ER_STR("application/json"));
        break;
    }
}

/* ---- all of it ---- */

/* Brokers refuse a time far ahead, and with it the other messages of the request. */
static int64_t time_of(const er_record *rec) {
    bool is_usable = rec->time >= 1000 && rec->time <= rec->observed_time + AHEAD_MAX;
    int64_t ms = (is_usable ? rec->time : rec->observed_time) / 1000;
    return ms < 1 ? 1 : ms;
}

void er_kafka_message_of(const er_kafka_config *config, const er_record *rec, er_buf *text,
                         er_kafka_message *out) {
    out->headers_n = 0;
    er_kafka_topic_of(config, rec, text, out->topic);
    out->time_ms = time_of(rec);
    fill_headers(config, rec, text, out);
    out->key = key_of(config, rec, out->key_text);
}

void er_kafka_value(const er_kafka_config *config, const er_record *rec, er_buf *out) {
    if (config->format == ER_KAFKA_CLOUDEVENTS) {
        er_cloudevent_json(rec, out);
    } else {
        er_record_json(rec, out);
    }
}
