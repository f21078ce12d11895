/* The interface between delivery and a sink. It knows no sink.
 *
 * A sink is passive: no loop, thread, sleep, queue or retry of its own; the worker of core/delivery
 * has them, once, for all. Every call comes on the sink's own thread, but for create and destroy,
 * which come on main.
 *
 * Verdict per record: an item that a sink does not judge counts as RETRY, so a forgotten case is a
 * repeat, not a loss. DELIVERED only on the peer's proof. What cannot be encoded is REJECT.
 *
 * deliver returns the state of the endpoint:
 *   ER_OK             look at the verdicts
 *   ER_E_UNAVAILABLE  back off (err->retry_after_ms is honoured); so do all other errors
 *   ER_E_DENIED       credentials or target are wrong: the records are kept, probed slowly, said
 *   ER_E_SPLIT        too large, or refused as a whole by a service without item results: the
 * worker halves the batch; a single record is rejected with err's text
 *
 * ASIDE is for a peer that takes some records and refuses others for where they go: er_sink_type's
 * target names it, and all records for it wait together while the others go on. One of them is
 * tried now and then; what is delivered opens the target, in the order of the queue.
 *
 * A batch lives until its last item is judged. KEPT items count as in flight and are never
 * delivered again before poll judges them RETRY. Once the cancel token is set, poll judges the rest
 * RETRY; destroy makes no callbacks. */
#ifndef ER_SINK_SINK_H
#define ER_SINK_SINK_H

#include "base/metrics.h"
#include "base/thread.h"
#include "config/config.h"
#include "record/record.h"

typedef enum er_verdict {
    ER_VERDICT_NONE, /* not judged: RETRY */
    ER_VERDICT_DELIVERED,
    ER_VERDICT_RETRY,
    ER_VERDICT_REJECT,
    ER_VERDICT_KEPT,  /* the sink still holds it; poll will judge */
    ER_VERDICT_ASIDE, /* refused for its target, not for what it is; text says why */
} er_verdict;

/* A closed set: the label of the metrics and the cause of notices. */
typedef enum er_reason {
    ER_REASON_NONE,
    ER_REASON_ENCODE,     /* rejected: the record cannot be expressed for this peer */
    ER_REASON_REFUSED,    /* rejected: the peer refused this record for what it is */
    ER_REASON_TOO_LARGE,  /* rejected: the peer's or our own size limit */
    ER_REASON_QUEUE_FULL, /* dropped: overflow drop_oldest or drop_newest */
    ER_REASON_EXPIRED,    /* dropped: retry.maxAge passed */
    ER_REASON_MAX_,
} er_reason;
const char *er_reason_name(er_reason reason); /* encode refused too_large queue_full expired */

/* What encode makes: frozen by nature, a function of configuration, record and what open learned.
 */
typedef struct er_item {
    er_buf body; /* initialised by the worker with the sink's maximum */
} er_item;

typedef struct er_batch er_batch; /* records with their items, in queue order */
size_t er_batch_len(const er_batch *batch);
const er_item *er_batch_item(const er_batch *batch, size_t i);
const er_record *er_batch_record(const er_batch *batch, size_t i);
/* text: why, for the log line of a rejection or of what is set aside; copied; may be NULL. */
void er_batch_judge(er_batch *batch, size_t i, er_verdict verdict, er_reason reason,
                    const char *text);
void er_batch_judge_all(er_batch *batch, er_verdict verdict, er_reason reason, const char *text);
er_verdict er_batch_verdict(const er_batch *batch, size_t i);

typedef struct er_sink_env {
    const char *name;  /* the key under `sinks:` */
    er_cancel *cancel; /* set: make every wait return */
    er_heart *heart;   /* beat it inside long waits */
    er_metrics *metrics;
    bool
        is_preview; /* explain: only encode and preview will be called; no connection is prepared */
} er_sink_env;

/* Settings every sink has. A sink's config struct begins with this member, its rows with
 * ER_SINK_ROWS(batch_rows), where ER_SINK_BATCH_ROWS(batch_rows, "records", "bytes", "linger")
 * stands above them and gives the defaults of its batch. */
typedef enum er_overflow {
    ER_OVERFLOW_BLOCK,
    ER_OVERFLOW_DROP_OLDEST,
    ER_OVERFLOW_DROP_NEWEST
} er_overflow;
typedef struct er_sink_settings {
    struct {
        int64_t records, bytes;
        int overflow; /* er_overflow */
    } queue;
    struct {
        int64_t initial_ms, max_ms;
        int64_t max_age_ms; /* 0: never; -1: by the overflow policy */
    } retry;
    struct {
        int64_t records, bytes, linger_ms;
    } batch;
} er_sink_settings;

extern const er_field er_sink_queue_rows[], er_sink_retry_rows[];
er_status er_sink_retry_check(const void *settings, er_err *err); /* for check_struct */
/* retry.maxAge as it is in effect; 0: never. */
int64_t er_sink_max_age_ms(const er_sink_settings *settings);
#define ER_SINK_BATCH_ROWS(name_, records_, bytes_, linger_)                                       \
    static const er_field name_[] = {                                                              \
        {.key = "records",                                                                         \
         .type = ER_FIELD_INT,                                                                     \
         .def = (records_),                                                                        \
         .min = 1,                                                                                 \
         .max = 100000,                                                                            \
         .offset = offsetof(er_sink_settings, batch.records),                                      \
         .help = "Most records in one batch."},                                                    \
        {.key = "bytes",                                                                           \
         .type = ER_FIELD_SIZE,                                                                    \
         .def = (bytes_),                                                                          \
         .min = 1,                                                                                 \
         .max = 1 << 30,                                                                           \
         .offset = offsetof(er_sink_settings, batch.bytes),                                        \
         .help = "Most bytes of encoded records in one batch; a larger record goes alone."},       \
        {.key = "linger",                                                                          \
         .type = ER_FIELD_DURATION,                                                                \
         .def = (linger_),                                                                         \
         .max = 3600000,                                                                           \
         .offset = offsetof(er_sink_settings, batch.linger_ms),                                    \
         .help = "How long a batch waits to fill; 0 takes what is there."},                        \
        {.key = NULL}}
/* Offsets within er_sink_settings are used as they are: it is the first member. */
#define ER_SINK_ROWS(batch_rows_)                                                                  \
    {.key = "queue",                                                                               \
     .type = ER_FIELD_STRUCT,                                                                      \
     .rows = er_sink_queue_rows,                                                                   \
     .help = "What waits for this sink, and what happens when it is full."},                       \
        {.key = "batch",                                                                           \
         .type = ER_FIELD_STRUCT,                                                                  \
         .rows = (batch_rows_),                                                                    \
         .help = "How records are gathered; the first limit met sends the batch."},                \
    {                                                                                              \
        .key = "retry", .type = ER_FIELD_STRUCT, .rows = er_sink_retry_rows,                       \
        .check_struct = er_sink_retry_check,                                                       \
        .help = "Backoff between attempts: a random part of a limit that doubles."                 \
    }

typedef struct er_sink_type er_sink_type;
struct er_sink_type {
    const char *name, *summary;
    const er_field *rows; /* of the config struct, beginning with ER_SINK_ROWS */
    size_t config_size;
    er_status (*check)(const void *config, er_err *err); /* optional: what single rows cannot say */
    /* Optional: what is legal but may not work, as an error whose text is a warning: `check` shows
     * it, a start logs it. */
    er_status (*advise)(const void *config, er_err *err);
    /* Optional: what no two sinks may share, such as a file's path; borrowed from config. */
    const char *(*exclusive)(const void *config);
    const void *family; /* HTTP: the er_http_profile; else NULL */
    unsigned
        max_in_flight; /* batches it may hold; 1: deliver judges every item before it returns */
    size_t item_max;   /* bytes of one encoded record; larger is rejected as too_large */

    /* main; no I/O beyond reading secrets and certificates, starts nothing. config outlives self.
     */
    er_status (*create)(const er_sink_type *type, const void *config, const er_sink_env *env,
                        void **self, er_err *err);
    /* Optional. I/O before the first encode; the endpoint's state; called again until ER_OK. */
    er_status (*open)(void *self, er_deadline until, er_err *err);
    /* Pure. Errors: the record is rejected (ER_E_LIMIT: too_large, else encode). */
    er_status (*encode)(void *self, const er_record *rec, er_item *out, er_err *err);
    /* Judges items, or leaves them KEPT. */
    er_status (*deliver)(void *self, er_batch *batch, er_err *err);
    /* Optional, pure; needed for ASIDE: appends the name of what this record goes to within the
     * peer (a topic, an index, a stream). A sink with one target for all uses DENIED instead of
     * ASIDE. */
    void (*target)(void *self, const er_record *rec, er_buf *out);
    /* Optional; needed when max_in_flight > 1 or KEPT is used. Waits at most to until and judges
     * kept items; called while any are kept and once a second when idle. Returns as deliver. */
    er_status (*poll)(void *self, er_deadline until, er_err *err);
    /* Optional, on main, without any I/O: what deliver would send, as text for people. Secrets
     * stand as ***, what is made anew for each attempt as <per attempt>, what open would learn as
     * <looked up> (open is not called). Without it the bodies of the items are shown. */
    er_status (*preview)(void *self, const er_batch *batch, er_buf *out, er_err *err);
    void (*destroy)(void *self);
};

/* sinks/registry.c: all kinds, NULL at the end. */
extern const er_sink_type *const er_sink_types[];

#endif
