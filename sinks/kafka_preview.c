/* What the kafka sink would send, as text for people. */
#include "sinks/cloudevents.h"
#include "sinks/kafka_priv.h"

/* A line break in it must not look like the next line; all else is escaped by who prints it. */
static void put_text(er_str s, er_buf *out) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '\n') {
            er_buf_puts(out, "\\n");
        } else {
            er_buf_putc(out, s.p[i]);
        }
    }
}

static void put_message(const er_kafka_message *m, er_str value, er_buf *out) {
    char time[ER_TIME_TEXT];
    er_buf_putf(out, "topic: %s\n", m->topic);
    er_buf_puts(out, "key: ");
    put_text(m->key.p == NULL ? ER_STR("<none>") : m->key, out);
    er_buf_putf(out, "\ntimestamp: %lld (%s)\n", (long long)m->time_ms,
                er_time_format(m->time_ms * 1000, time));
    for (size_t i = 0; i < m->headers_n; i++) {
        er_buf_putf(out, "header %s: ", m->headers[i].name);
        put_text(m->headers[i].value, out);
        er_buf_putc(out, '\n');
    }
    er_buf_putc(out, '\n');
    er_buf_put_str(out, value);
}

er_status er_kafka_preview(const er_kafka_config *config, const er_batch *batch, er_buf *out) {
    er_buf text;
    er_buf_init(&text, ER_CLOUDEVENT_TEXT_MAX);
    er_kafka_message message;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        er_kafka_message_of(config, er_batch_record(batch, i), &text, &message);
        put_message(&message, er_buf_str(&er_batch_item(batch, i)->body), out);
    }
    er_buf_fini(&text);
    return er_buf_status(out);
}
