/* What the bench wants to know of records: how many came, and how old each was. Records of ours are
 * found by their first member, which costs the machine far less than reading them. */
#include "fake_sink.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_MEMBER "{\"schema\":"
#define TIME_MEMBER  "\"time\":\""
#define TIME_WITHIN  512 /* the time is among a record's first members */

static void keep(fake_sink *sink, er_time age) {
    if (sink->latencies_n == sink->latencies_cap) {
        size_t cap = sink->latencies_cap == 0 ? 4096 : sink->latencies_cap * 2;
        uint32_t *v = realloc(sink->latencies, cap * sizeof *v);
        ER_ASSERT(v != NULL);
        sink->latencies = v;
        sink->latencies_cap = cap;
    }
    bool fits = age >= 0 && age < UINT32_MAX;
    sink->latencies[sink->latencies_n++] = fits ? (uint32_t)age : UINT32_MAX;
}

static er_time time_of(const char *record, size_t n) {
    er_time t = ER_TIME_NONE;
    const char *at =
        memmem(record, n < TIME_WITHIN ? n : TIME_WITHIN, TIME_MEMBER, sizeof TIME_MEMBER - 1);
    if (at == NULL) {
        return ER_TIME_NONE;
    }
    at += sizeof TIME_MEMBER - 1;
    const char *end = memchr(at, '"', (size_t)(record + n - at));
    bool good = end != NULL && er_time_parse((er_str){at, (size_t)(end - at)}, &t);
    return good ? t : ER_TIME_NONE;
}

size_t fake_measure(fake_sink *sink, er_str body) {
    er_time now = er_time_now();
    size_t records = 0;
    const char *at = body.p;
    const char *end = body.p + body.n;
    while (at < end &&
           (at = memmem(at, (size_t)(end - at), FIRST_MEMBER, sizeof FIRST_MEMBER - 1)) != NULL) {
        er_time t = time_of(at, (size_t)(end - at));
        if (t != ER_TIME_NONE) {
            keep(sink, now - t);
        }
        records++;
        at += sizeof FIRST_MEMBER - 1;
    }
    return records;
}

void fake_measure_put(const fake_sink *sink, er_buf *out) {
    for (size_t i = 0; i < sink->latencies_n; i++) {
        er_buf_putc(out, i == 0 ? '[' : ',');
        er_buf_put_u64(out, sink->latencies[i]);
    }
    er_buf_puts(out, sink->latencies_n == 0 ? "[]\n" : "]\n");
}
