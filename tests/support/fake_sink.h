/* HTTP sinks: POST to /NAME/... belongs to sink NAME, which is made when it is first named.
 *
 * What a sink receives is kept, counted in records, and answered as the script says: queued answers
 * first, then its usual one (200). Threads: the loop's. */
#ifndef FAKE_SINK_H
#define FAKE_SINK_H

#include "fake_bulk.h"
#include "fake_server.h"
#include "fake_words.h"

typedef struct fake_reply {
    struct fake_reply *next;
    int status;
    char *headers; /* whole lines */
    char *body;
    size_t body_n;
    int64_t delay_ns, drip_ns; /* before it; between its bytes, 0: at once */
    bool endless;
    uint64_t left; /* requests it is still given to; 0: it is the usual one */
} fake_reply;

typedef struct fake_poison {
    struct fake_poison *next;
    char *text;
    char *body; /* of the answer; NULL: none */
    int status;
} fake_poison;

typedef struct fake_received { /* one request */
    struct fake_sink *sink;
    int64_t ms;
    char *target, *headers, *body;
    size_t body_n, records;
    size_t created; /* of a bulk request: what 2xx accepts */
    bool complete;
    int status; /* answered; 0: not (yet) */
    const fake_reply *reply;
    fake_reply one_off; /* of a poison or a maximum, or to a bulk request: its body is owned */
} fake_received;

typedef struct fake_sink {
    struct fake_sink *next;
    char *name;
    size_t requests, records, accepted, bytes, incomplete, hanging; /* accepted: records, by 2xx */
    fake_received **received;
    size_t received_n, received_cap;
    fake_reply *usual, *queue, *spent;
    fake_poison *poisons;
    fake_bulk *bulk;   /* not NULL: it answers as Elasticsearch does */
    uint64_t max_body; /* bytes; 0: none */
    bool hang, discard;
    bool measure;        /* with discard: records are found by their first member, and times kept */
    uint32_t *latencies; /* microseconds from a record's time to its arrival */
    size_t latencies_n, latencies_cap;
    uint64_t refuse_left, reset_left, reset_bytes; /* requests; bytes of the body */
} fake_sink;

typedef struct fake_sinks {
    fake *fake;
    fake_sink *v;
    size_t requests, records, accepted; /* of all */
} fake_sinks;

void fake_sinks_init(fake_sinks *sinks, fake *f);
void fake_sinks_fini(fake_sinks *sinks);
fake_sink *fake_sink_get(fake_sinks *sinks, er_str name);
/* "sink NAME ...", behind the first word. */
er_status fake_sink_command(fake_sinks *sinks, fake_words *words, er_err *err);
/* Answers what hangs. */
void fake_sink_resume(fake_sinks *sinks, fake_sink *sink);

/* fake_measure.c: counts the records of a body and keeps how old each was. */
size_t fake_measure(fake_sink *sink, er_str body);
void fake_measure_put(const fake_sink *sink, er_buf *out); /* an array, in order of arrival */

/* fake_sink_script.c */
void fake_reply_free(fake_reply *reply);
void fake_sink_clear(fake_sink *sink);

#endif
