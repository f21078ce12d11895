#include "sink/sink.h"

#define AT(member) offsetof(er_sink_settings, member)
#define DAY_MS     86400000

const er_field er_sink_queue_rows[] = {
    {.key = "records",
     .type = ER_FIELD_INT,
     .def = "10000",
     .min = 1,
     .max = 10000000,
     .offset = AT(queue.records),
     .help = "Most records waiting."},
    {.key = "bytes",
     .type = ER_FIELD_SIZE,
     .def = "8MiB",
     .min = 1,
     .max = INT64_C(1) << 40,
     .offset = AT(queue.bytes),
     .help = "Most memory of the records waiting; a larger record is taken when the queue is "
             "empty."},
    {.key = "overflow",
     .type = ER_FIELD_ENUM,
     .def = "block",
     .choices = "block|drop_oldest|drop_newest",
     .offset = AT(queue.overflow),
     .help = "When it is full: block stops reading from the cluster until there is room, so that "
             "nothing is lost but the other sinks wait as well; drop_oldest and drop_newest lose "
             "records of this sink, count them, and tell the other sinks with notices."},
    {.key = NULL},
};

const er_field er_sink_retry_rows[] = {
    {.key = "initial",
     .type = ER_FIELD_DURATION,
     .def = "500ms",
     .min = 1,
     .max = DAY_MS,
     .offset = AT(retry.initial_ms),
     .help = "The limit of the first wait; it doubles with each attempt."},
    {.key = "max",
     .type = ER_FIELD_DURATION,
     .def = "30s",
     .min = 1,
     .max = DAY_MS,
     .offset = AT(retry.max_ms),
     .help = "The largest limit of a wait."},
    {.key = "maxAge",
     .type = ER_FIELD_DURATION,
     .max = INT64_C(365) * DAY_MS,
     .flags = ER_FIELD_UNSET,
     .offset = AT(retry.max_age_ms),
     .help = "Records older than this, counted from when they were queued, are dropped as "
             "expired; 0: never. Left out: 0 with overflow block, 4m with drop_oldest and "
             "drop_newest."},
    {.key = NULL},
};

er_status er_sink_retry_check(const void *settings, er_err *err) {
    const er_sink_settings *s = settings;
    return er_backoff_check(s->retry.initial_ms, s->retry.max_ms, err);
}

/* With a policy that drops, a record is given up before the API server forgets its version (5 min),
 * so that a dead sink does not hold the resume point of the others. */
#define MAX_AGE_OF_DROPPING_MS (4 * 60 * 1000)

int64_t er_sink_max_age_ms(const er_sink_settings *settings) {
    if (settings->retry.max_age_ms >= 0) {
        return settings->retry.max_age_ms;
    }
    return settings->queue.overflow == ER_OVERFLOW_BLOCK ? 0 : MAX_AGE_OF_DROPPING_MS;
}

const char *er_reason_name(er_reason reason) {
    static const char *const names[ER_REASON_MAX_] = {
        [ER_REASON_NONE] = "none",
        [ER_REASON_ENCODE] = "encode",
        [ER_REASON_REFUSED] = "refused",
        [ER_REASON_TOO_LARGE] = "too_large",
        [ER_REASON_QUEUE_FULL] = "queue_full",
        [ER_REASON_EXPIRED] = "expired",
    };
    ER_ASSERT(reason >= 0 && reason < ER_REASON_MAX_);
    return names[reason];
}
