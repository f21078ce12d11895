/* A delivery with a scripted sink: what the worker does with verdicts, endpoint states, splits,
 * expiry, kept items and shutdown; at the end of each test the ledger balances and every ack was
 * told once. */
#include "unit.h"

#include "delivery/delivery.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORDS_MAX 2000

/* ---- the scripted sink ---- */

typedef struct call { /* one deliver: which records, in order */
    int ids[600];
    size_t n;
    int64_t at_ms;
} call;

typedef struct script {
    er_mutex lock; /* everything below */
    er_cond changed;
    call calls[400];
    size_t calls_n;
    /* what deliver does; returns the status */
    er_status (*deliver)(struct script *s, er_batch *batch, er_err *err);
    size_t fails; /* how many more calls fail */
    int poison;
    bool hold; /* deliver waits until it is false, or the cancel token is set */
    er_batch *kept[8];
    size_t kept_n;
    unsigned polls;
    er_cancel *cancel;
    unsigned opens_fail;
    unsigned opens;
} script;

typedef struct config {
    er_sink_settings common;
    script *script;
} config;

static int id_of(const er_record *rec) {
    char text[16];
    (void)snprintf(text, sizeof text, "%.*s", (int)rec->id.n, rec->id.p);
    return (int)strtol(text, NULL, 10);
}

static er_status s_create(const er_sink_type *type, const void *cfg, const er_sink_env *env,
                          void **self, er_err *err) {
    (void)type;
    (void)err;
    script *s = ((const config *)cfg)->script;
    s->cancel = env->cancel;
    *self = s;
    return ER_OK;
}

static er_status s_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    (void)self;
    if (er_str_eqc(rec->reason, "unencodable")) {
        return er_err_set(err, ER_E_INVAL, "cannot say this");
    }
    er_buf_put_str(&out->body, rec->message);
    return ER_OK;
}

static er_status s_deliver(void *self, er_batch *batch, er_err *err) {
    script *s = self;
    er_lock(&s->lock);
    call *c = &s->calls[s->calls_n++];
    ER_ASSERT(s->calls_n < 400);
    c->at_ms = er_mono_ms();
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        c->ids[c->n++] = id_of(er_batch_record(batch, i));
    }
    er_cond_broadcast(&s->changed);
    while (s->hold && !er_cancel_is_set(s->cancel)) {
        (void)er_cond_wait_until(&s->changed, &s->lock, er_deadline_in(5));
    }
    er_status status = er_cancel_is_set(s->cancel) ? er_err_set(err, ER_E_CANCELLED, "cancelled")
                                                   : s->deliver(s, batch, err);
    er_unlock(&s->lock);
    return status;
}

static er_status s_poll(void *self, er_deadline until, er_err *err) {
    script *s = self;
    (void)err;
    (void)until;
    er_lock(&s->lock);
    s->polls++;
    for (size_t k = 0; k < s->kept_n; k++) {
        for (size_t i = 0; i < er_batch_len(s->kept[k]); i++) {
            if (er_batch_verdict(s->kept[k], i) == ER_VERDICT_KEPT) {
                bool retry = er_cancel_is_set(s->cancel) || i == 1;
                er_batch_judge(s->kept[k], i, retry ? ER_VERDICT_RETRY : ER_VERDICT_DELIVERED,
                               ER_REASON_NONE, NULL);
            }
        }
    }
    s->kept_n = 0;
    er_unlock(&s->lock);
    return ER_OK;
}

static er_status s_open(void *self, er_deadline until, er_err *err) {
    script *s = self;
    (void)until;
    er_lock(&s->lock);
    s->opens++;
    bool fails = s->opens_fail > 0;
    s->opens_fail -= fails;
    er_unlock(&s->lock);
    return fails ? er_err_set(err, ER_E_UNAVAILABLE, "not yet") : ER_OK;
}

static void s_destroy(void *self) {
    (void)self;
}

static const er_sink_type plain_type = {.name = "scripted",
                                        .max_in_flight = 1,
                                        .item_max = 1000,
                                        .create = s_create,
                                        .encode = s_encode,
                                        .deliver = s_deliver,
                                        .destroy = s_destroy};
static const er_sink_type keeping_type = {.name = "keeping",
                                          .max_in_flight = 3,
                                          .item_max = 1000,
                                          .create = s_create,
                                          .encode = s_encode,
                                          .deliver = s_deliver,
                                          .poll = s_poll,
                                          .open = s_open,
                                          .destroy = s_destroy};

/* ---- behaviours ---- */

static er_status take_all(script *s, er_batch *batch, er_err *err) {
    (void)s;
    (void)err;
    er_batch_judge_all(batch, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    return ER_OK;
}

static er_status fail_then_take(script *s, er_batch *batch, er_err *err) {
    if (s->fails > 0) {
        s->fails--;
        return er_err_set(err, ER_E_UNAVAILABLE, "503");
    }
    return take_all(s, batch, err);
}

static er_status deny_then_take(script *s, er_batch *batch, er_err *err) {
    if (s->fails > 0) {
        s->fails--;
        return er_err_set(err, ER_E_DENIED, "401");
    }
    return take_all(s, batch, err);
}

static er_status at_most_100(script *s, er_batch *batch, er_err *err) {
    return er_batch_len(batch) > 100 ? er_err_set(err, ER_E_SPLIT, "413") : take_all(s, batch, err);
}

/* A service without item results: one bad record spoils the request. */
static er_status poisoned(script *s, er_batch *batch, er_err *err) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        if (id_of(er_batch_record(batch, i)) == s->poison) {
            if (er_batch_len(batch) > 1) {
                return er_err_set(err, ER_E_SPLIT, "400");
            }
            er_batch_judge(batch, 0, ER_VERDICT_REJECT, ER_REASON_REFUSED, "400 bad record");
            return ER_OK;
        }
    }
    return take_all(s, batch, err);
}

static er_status nothing_fits(script *s, er_batch *batch, er_err *err) {
    (void)s;
    (void)batch;
    return er_err_set(err, ER_E_SPLIT, "413");
}

/* Items with an odd id are refused for now, once. */
static er_status odd_later(script *s, er_batch *batch, er_err *err) {
    (void)err;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        bool later = s->fails > 0 && id_of(er_batch_record(batch, i)) % 2 == 1;
        er_batch_judge(batch, i, later ? ER_VERDICT_RETRY : ER_VERDICT_DELIVERED, ER_REASON_NONE,
                       NULL);
    }
    s->fails -= s->fails > 0;
    return ER_OK;
}

static er_status keep_all(script *s, er_batch *batch, er_err *err) {
    (void)err;
    er_batch_judge_all(batch, ER_VERDICT_KEPT, ER_REASON_NONE, NULL);
    s->kept[s->kept_n++] = batch;
    return ER_OK;
}

/* ---- the fixture ---- */

typedef struct ack_counter {
    er_ack ack;
    atomic_int told;
} ack_counter;

static ack_counter acks[RECORDS_MAX];

static void told(er_ack **told_acks, size_t n) {
    for (size_t i = 0; i < n; i++) {
        (void)atomic_fetch_add(&((ack_counter *)(void *)told_acks[i])->told, 1);
    }
}

typedef struct rig {
    script script;
    config config;
    er_metrics *metrics;
    er_hearts hearts;
    er_delivery *delivery;
} rig;

static rig *rig_new(er_status (*deliver)(script *, er_batch *, er_err *)) {
    rig *r = er_xcalloc(1, sizeof *r);
    er_mutex_init(&r->script.lock);
    er_cond_init(&r->script.changed);
    r->script.deliver = deliver;
    r->script.poison = -1;
    r->config = (config){.script = &r->script};
    r->config.common.queue.records = 1000;
    r->config.common.queue.bytes = 1 << 20;
    r->config.common.retry.initial_ms = 2;
    r->config.common.retry.max_ms = 20;
    r->config.common.batch.records = 1;
    r->config.common.batch.bytes = 1 << 20;
    r->metrics = er_metrics_new();
    for (size_t i = 0; i < RECORDS_MAX; i++) {
        acks[i].ack.settled = told;
        atomic_store(&acks[i].told, 0);
    }
    return r;
}

static void rig_make(rig *r, const er_sink_type *type) {
    er_delivery_options options = {.name = "s",
                                   .type = type,
                                   .config = &r->config,
                                   .metrics = r->metrics,
                                   .hearts = &r->hearts};
    er_err err;
    assert_int_equal(er_delivery_new(&options, &r->delivery, &err), ER_OK);
}

static void rig_start(rig *r) {
    assert_int_equal(er_delivery_start(r->delivery, NULL), ER_OK);
}

static er_record *record(int id, const char *reason, er_kind kind) {
    char text[16];
    (void)snprintf(text, sizeof text, "%d", id);
    er_record draft = {.kind = kind,
                       .id = er_str_of(text),
                       .reason = er_str_of(reason),
                       .message = ER_STR("0123456789")};
    return er_record_seal(&draft);
}

static bool offer(rig *r, int id, const char *reason) {
    er_record *rec = record(id, reason, ER_KIND_EVENT);
    bool taken = er_delivery_offer(r->delivery, rec, &acks[id].ack);
    er_delivery_wake(r->delivery);
    er_record_unref(rec);
    return taken;
}

static void offer_many(rig *r, int from, int to) {
    for (int id = from; id < to; id++) {
        assert_true(offer(r, id, ""));
    }
}

static er_ledger ledger_of(rig *r) {
    er_ledger l;
    er_delivery_ledger(r->delivery, &l);
    assert_int_equal(l.enqueued, l.delivered + l.rejected + l.dropped + l.queued + l.in_flight);
    return l;
}

static void wait_calls(rig *r, size_t n) {
    er_deadline limit = er_deadline_in(5000);
    er_lock(&r->script.lock);
    while (r->script.calls_n < n) {
        assert_true(er_cond_wait_until(&r->script.changed, &r->script.lock, limit));
    }
    er_unlock(&r->script.lock);
}

static void hold(rig *r, bool is_held) {
    er_lock(&r->script.lock);
    r->script.hold = is_held;
    er_unlock(&r->script.lock);
}

static void wait_settled(rig *r, uint64_t n) {
    er_deadline limit = er_deadline_in(5000);
    er_ledger l = ledger_of(r);
    while (l.delivered + l.rejected + l.dropped < n) {
        assert_false(er_deadline_passed(limit));
        struct timespec ms = {.tv_nsec = 1000000};
        (void)nanosleep(&ms, NULL);
        l = ledger_of(r);
    }
}

/* Ends the rig; told_n acks must have been told, each once, from id 0 on. */
static er_ledger rig_end(rig *r) {
    er_delivery_close(r->delivery);
    er_delivery_join(r->delivery);
    return ledger_of(r);
}

static void rig_free(rig *r) {
    er_delivery_free(r->delivery);
    er_metrics_free(r->metrics);
    er_cond_fini(&r->script.changed);
    er_mutex_fini(&r->script.lock);
    free(r);
}

static void assert_told(int from, int to, int times) {
    for (int id = from; id < to; id++) {
        assert_int_equal(atomic_load(&acks[id].told), times);
    }
}

static void assert_call(const rig *r, size_t i, int first, size_t n) {
    assert_int_equal(r->script.calls[i].n, n);
    for (size_t k = 0; k < n; k++) {
        assert_int_equal(r->script.calls[i].ids[k], first + (int)k);
    }
}

/* ---- tests ---- */

static void test_batches_by_records(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.batch.records = 4;
    rig_make(r, &plain_type);
    offer_many(r, 0, 10);
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 10);
    assert_int_equal(r->script.calls_n, 3);
    assert_call(r, 0, 0, 4);
    assert_call(r, 1, 4, 4);
    assert_call(r, 2, 8, 2);
    assert_told(0, 10, 1);
    rig_free(r);
}

static void test_batches_by_bytes(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.batch.records = 100;
    r->config.common.batch.bytes = 25; /* two bodies of ten bytes */
    rig_make(r, &plain_type);
    offer_many(r, 0, 5);
    rig_start(r);
    (void)rig_end(r);
    assert_int_equal(r->script.calls_n, 3);
    assert_call(r, 0, 0, 2);
    assert_call(r, 2, 4, 1);
    rig_free(r);
}

static void test_linger_gathers(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.batch.records = 3;
    r->config.common.batch.linger_ms = 4000;
    rig_make(r, &plain_type);
    rig_start(r);
    offer_many(r, 0, 3); /* the limit ends the wait */
    wait_calls(r, 1);
    assert_call(r, 0, 0, 3);
    offer_many(r, 3, 4);
    (void)rig_end(r); /* closing does, too */
    assert_call(r, 1, 3, 1);
    rig_free(r);
}

static void test_outage_resends_as_cut(void **state) {
    (void)state;
    rig *r = rig_new(fail_then_take);
    r->config.common.batch.records = 5;
    r->script.fails = 4;
    r->script.hold = true;
    rig_make(r, &plain_type);
    offer_many(r, 0, 3);
    rig_start(r);
    wait_calls(r, 1);
    offer_many(r, 3, 8); /* more comes; the batch is never topped up */
    hold(r, false);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 8);
    for (size_t i = 0; i < 5; i++) {
        assert_call(r, i, 0, 3);
    }
    assert_call(r, 5, 3, 5);
    /* half of 2, 4, 8, 16 ms is the least that was waited */
    assert_true(r->script.calls[4].at_ms - r->script.calls[0].at_ms >= 14);
    assert_told(0, 8, 1);
    rig_free(r);
}

static void test_denied_keeps_and_probes_slowly(void **state) {
    (void)state;
    rig *r = rig_new(deny_then_take);
    r->script.fails = 3;
    r->config.common.retry.initial_ms = 1;
    r->config.common.retry.max_ms = 40;
    rig_make(r, &plain_type);
    offer_many(r, 0, 2);
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 2);
    assert_int_equal(r->script.calls_n, 5);
    assert_true(r->script.calls[3].at_ms - r->script.calls[0].at_ms >= 3 * 20);
    rig_free(r);
}

static void test_split_finds_the_size(void **state) {
    (void)state;
    rig *r = rig_new(at_most_100);
    r->config.common.batch.records = 500;
    rig_make(r, &plain_type);
    offer_many(r, 0, 500);
    rig_start(r);
    wait_settled(r, 500);
    size_t before = r->script.calls_n;
    /* 500 -> 250 -> 125 -> 63, 62 and so on: seven refused, eight taken */
    assert_int_equal(before, 15);
    offer_many(r, 500, 700);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 700);
    for (size_t i = before; i < r->script.calls_n; i++) {
        assert_true(r->script.calls[i].n <= 63); /* the size that worked holds */
    }
    rig_free(r);
}

static void test_poison_is_the_only_one_rejected(void **state) {
    (void)state;
    rig *r = rig_new(poisoned);
    r->config.common.batch.records = 500;
    r->script.poison = 321;
    rig_make(r, &plain_type);
    offer_many(r, 0, 500);
    rig_start(r);
    wait_settled(r, 500);
    size_t before = r->script.calls_n;
    assert_true(before <= 1 + 2 * 9); /* log2(500) halvings */
    hold(r, true);                    /* so that the next batch can fill */
    offer_many(r, 500, 501);
    wait_calls(r, before + 1);
    offer_many(r, 501, 900);
    hold(r, false);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 899);
    assert_int_equal(l.rejected, 1);
    assert_int_equal(l.rejected_by[ER_REASON_REFUSED], 1);
    assert_int_equal(r->script.calls_n - before, 2);
    assert_int_equal(r->script.calls[before + 1].n, 399); /* the size was innocent */
    assert_told(0, 900, 1);
    rig_free(r);
}

static void test_single_too_large_is_rejected(void **state) {
    (void)state;
    rig *r = rig_new(nothing_fits);
    r->config.common.batch.records = 4;
    rig_make(r, &plain_type);
    offer_many(r, 0, 4);
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.rejected_by[ER_REASON_TOO_LARGE], 4);
    assert_told(0, 4, 1);
    rig_free(r);
}

static void test_items_refused_for_now(void **state) {
    (void)state;
    rig *r = rig_new(odd_later);
    r->config.common.batch.records = 6;
    r->script.fails = 1;
    rig_make(r, &plain_type);
    offer_many(r, 0, 6);
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 6);
    assert_int_equal(r->script.calls_n, 2);
    assert_int_equal(r->script.calls[1].n, 3);
    assert_int_equal(r->script.calls[1].ids[0], 1);
    assert_int_equal(r->script.calls[1].ids[2], 5);
    assert_told(0, 6, 1);
    rig_free(r);
}

static void test_unencodable_is_rejected(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    rig_make(r, &plain_type);
    assert_true(offer(r, 0, ""));
    assert_true(offer(r, 1, "unencodable"));
    assert_true(offer(r, 2, ""));
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 2);
    assert_int_equal(l.rejected_by[ER_REASON_ENCODE], 1);
    assert_told(0, 3, 1);
    rig_free(r);
}

static void test_drop_oldest(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.queue.records = 3;
    r->config.common.queue.overflow = ER_OVERFLOW_DROP_OLDEST;
    rig_make(r, &plain_type);
    offer_many(r, 0, 10);
    er_ledger l = ledger_of(r);
    assert_int_equal(l.dropped_by[ER_REASON_QUEUE_FULL], 7);
    assert_int_equal(l.queued, 3);
    assert_told(0, 7, 1);
    assert_told(7, 10, 0);
    rig_start(r);
    l = rig_end(r);
    assert_int_equal(l.delivered, 3);
    assert_int_equal(r->script.calls[0].ids[0], 7);
    rig_free(r);
}

static void test_drop_newest(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.queue.records = 3;
    r->config.common.queue.overflow = ER_OVERFLOW_DROP_NEWEST;
    rig_make(r, &plain_type);
    offer_many(r, 0, 10);
    assert_told(3, 10, 1);
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.delivered, 3);
    assert_int_equal(l.dropped, 7);
    assert_int_equal(r->script.calls[2].ids[0], 2);
    rig_free(r);
}

static void test_queue_counts_bytes(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    er_record *probe = record(0, "", ER_KIND_EVENT);
    r->config.common.queue.bytes = (int64_t)probe->bytes * 2 + 1;
    er_record_unref(probe);
    r->config.common.queue.overflow = ER_OVERFLOW_DROP_NEWEST;
    rig_make(r, &plain_type);
    offer_many(r, 0, 5);
    assert_int_equal(ledger_of(r).queued, 2);
    rig_start(r);
    (void)rig_end(r);
    rig_free(r);
}

static void test_larger_than_the_queue(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.queue.bytes = 10;
    rig_make(r, &plain_type);
    assert_true(offer(r, 0, "")); /* taken, since the queue is empty */
    assert_false(offer(r, 1, ""));
    assert_int_equal(ledger_of(r).queued, 2); /* one waits for room */
    rig_start(r);
    er_record *rec = record(1, "", ER_KIND_EVENT);
    assert_int_equal(er_delivery_push(r->delivery, rec, &acks[1].ack, er_deadline_in(5000)),
                     ER_PUSH_TAKEN);
    er_record_unref(rec);
    assert_int_equal(rig_end(r).delivered, 2);
    rig_free(r);
}

static void test_block_gives_up_only_at_the_end(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.queue.records = 1;
    r->script.hold = true;
    rig_make(r, &plain_type);
    rig_start(r);
    assert_true(offer(r, 0, ""));
    wait_calls(r, 1); /* 0 is in flight and hangs */
    assert_true(offer(r, 1, ""));
    assert_false(offer(r, 2, ""));
    er_record *rec = record(2, "", ER_KIND_EVENT);
    assert_int_equal(er_delivery_push(r->delivery, rec, &acks[2].ack, er_deadline_in(10)),
                     ER_PUSH_FULL);
    er_delivery_abandon(r->delivery);
    assert_int_equal(er_delivery_push(r->delivery, rec, &acks[2].ack, ER_DEADLINE_NEVER),
                     ER_PUSH_GIVEN_UP);
    er_record_unref(rec);
    er_delivery_join(r->delivery);
    er_ledger l = ledger_of(r);
    assert_int_equal(l.enqueued, 3);
    assert_int_equal(l.queued, 2);
    assert_int_equal(l.in_flight, 1);
    assert_told(0, 3, 0); /* the resume point does not pass them */
    rig_free(r);
}

static void test_expiry(void **state) {
    (void)state;
    rig *r = rig_new(fail_then_take);
    r->script.fails = 1000;
    r->config.common.retry.max_age_ms = 600;   /* the first delivery comes sooner */
    r->config.common.retry.initial_ms = 60000; /* the backoff is longer than the age */
    r->config.common.retry.max_ms = 60000;
    r->config.common.batch.records = 2;
    rig_make(r, &plain_type);
    rig_start(r);
    offer_many(r, 0, 5);
    wait_settled(r, 5);
    er_ledger l = ledger_of(r);
    assert_int_equal(l.dropped_by[ER_REASON_EXPIRED], 5);
    assert_told(0, 5, 1);
    assert_int_equal(r->script.calls_n, 1);
    er_delivery_abandon(r->delivery);
    er_delivery_join(r->delivery);
    rig_free(r);
}

static void test_kept_items(void **state) {
    (void)state;
    rig *r = rig_new(keep_all);
    r->config.common.batch.records = 3;
    r->script.opens_fail = 2;
    rig_make(r, &keeping_type);
    offer_many(r, 0, 3);
    rig_start(r);
    wait_calls(r, 2);
    er_ledger l = rig_end(r);
    /* poll judged the middle one RETRY, and it was kept again and delivered alone */
    assert_call(r, 0, 0, 3);
    assert_call(r, 1, 1, 1);
    assert_int_equal(l.delivered, 3);
    assert_int_equal(r->script.opens, 3);
    assert_told(0, 3, 1);
    rig_free(r);
}

static void test_notices_are_counted_apart(void **state) {
    (void)state;
    rig *r = rig_new(poisoned);
    r->script.poison = 1;
    rig_make(r, &plain_type);
    er_record *notice = record(1, "", ER_KIND_NOTICE);
    assert_true(er_delivery_try(r->delivery, notice));
    er_record_unref(notice);
    rig_start(r);
    er_ledger l = rig_end(r);
    assert_int_equal(l.rejected_by[ER_REASON_REFUSED], 1);
    assert_int_equal(l.notices_by[ER_REASON_REFUSED], 1);
    rig_free(r);
}

static void test_try_needs_room(void **state) {
    (void)state;
    rig *r = rig_new(take_all);
    r->config.common.queue.records = 1;
    r->config.common.queue.overflow = ER_OVERFLOW_DROP_OLDEST;
    rig_make(r, &plain_type);
    er_record *notice = record(1, "", ER_KIND_NOTICE);
    assert_true(er_delivery_try(r->delivery, notice));
    assert_false(er_delivery_try(r->delivery, notice));
    assert_int_equal(ledger_of(r).enqueued, 1);
    er_record_unref(notice);
    rig_start(r);
    (void)rig_end(r);
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_by_records),
        cmocka_unit_test(test_batches_by_bytes),
        cmocka_unit_test(test_linger_gathers),
        cmocka_unit_test(test_outage_resends_as_cut),
        cmocka_unit_test(test_denied_keeps_and_probes_slowly),
        cmocka_unit_test(test_split_finds_the_size),
        cmocka_unit_test(test_poison_is_the_only_one_rejected),
        cmocka_unit_test(test_single_too_large_is_rejected),
        cmocka_unit_test(test_items_refused_for_now),
        cmocka_unit_test(test_unencodable_is_rejected),
        cmocka_unit_test(test_drop_oldest),
        cmocka_unit_test(test_drop_newest),
        cmocka_unit_test(test_queue_counts_bytes),
        cmocka_unit_test(test_larger_than_the_queue),
        cmocka_unit_test(test_block_gives_up_only_at_the_end),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_kept_items),
        cmocka_unit_test(test_notices_are_counted_apart),
        cmocka_unit_test(test_try_needs_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
