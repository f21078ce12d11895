/* Records that are set aside: the sink refuses single targets while it takes others. A record's
 * target is the first letter of its id, "a1"; the sink refuses a set of letters. */
#include "unit.h"

#include "base/log.h"
#include "delivery/aside.h"
#include "delivery/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct script {
    er_mutex lock; /* everything below */
    er_cond changed;
    char refused[128];   /* letters */
    char taken[4096];    /* ids in the order of their delivery, " a1 b1" */
    char asked[1 << 16]; /* all ids that were tried */
    bool is_down;
    bool keeps;
    bool stalls;      /* what is kept is not judged */
    bool keeps_pairs; /* what is alone in its batch is judged */
    bool bounces;     /* all that is kept comes back, once */
    bool splits;      /* what is kept together is too large; what is alone is rejected */
    er_batch *kept[3];
    size_t kept_n;
    size_t polls, hasty_polls; /* while it stalls; that had no time to wait */
    er_cancel *cancel;
} script;

typedef struct config {
    er_sink_settings common;
    script *script;
} config;

static er_status s_create(const er_sink_type *type, const void *cfg, const er_sink_env *env,
                          void **self, er_err *err) {
    (void)type, (void)err;
    ((const config *)cfg)->script->cancel = env->cancel;
    *self = ((const config *)cfg)->script;
    return ER_OK;
}

static er_status s_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    (void)self, (void)err;
    er_buf_put_str(&out->body, rec->id);
    return ER_OK;
}

static void s_target(void *self, const er_record *rec, er_buf *out) {
    (void)self;
    er_buf_putc(out, rec->id.p[0]);
}

static void put_id(char *list, size_t size, er_str id) {
    size_t n = strlen(list);
    ER_ASSERT(n + id.n + 2 < size);
    (void)snprintf(list + n, size - n, " %.*s", (int)id.n, id.p);
}

static void judge(script *s, er_batch *batch) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        er_str id = er_batch_record(batch, i)->id;
        ER_ASSERT(er_str_eq(id, er_buf_str(&er_batch_item(batch, i)->body)));
        put_id(s->asked, sizeof s->asked, id);
        if (strchr(s->refused, id.p[0]) != NULL) {
            er_batch_judge(batch, i, ER_VERDICT_ASIDE, ER_REASON_NONE, "no such topic");
            continue;
        }
        put_id(s->taken, sizeof s->taken, id);
        er_batch_judge(batch, i, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    }
    er_cond_broadcast(&s->changed);
}

static er_status s_deliver(void *self, er_batch *batch, er_err *err) {
    script *s = self;
    er_status status = ER_OK;
    er_lock(&s->lock);
    if (s->is_down && s->keeps && strchr(s->refused, er_batch_record(batch, 0)->id.p[0]) != NULL) {
        judge(s, batch); /* as it remembers, without asking */
    } else if (s->is_down) {
        status = er_err_set(err, ER_E_UNAVAILABLE, "503");
    } else if (s->keeps) {
        er_batch_judge_all(batch, ER_VERDICT_KEPT, ER_REASON_NONE, NULL);
        s->kept[s->kept_n++] = batch;
        er_cond_broadcast(&s->changed);
    } else {
        judge(s, batch);
    }
    er_unlock(&s->lock);
    return status;
}

static er_status s_poll(void *self, er_deadline until, er_err *err) {
    (void)err;
    script *s = self;
    er_lock(&s->lock);
    if (s->stalls && s->kept_n > 0 && !er_cancel_is_set(s->cancel)) {
        s->polls++;
        s->hasty_polls += er_deadline_passed(until);
        (void)er_cond_wait_until(&s->changed, &s->lock, until);
        er_unlock(&s->lock);
        return ER_OK;
    }
    size_t left = 0;
    er_status status = s->splits && s->kept_n > 1 ? ER_E_SPLIT : ER_OK;
    for (size_t k = 0; k < s->kept_n; k++) {
        if (s->splits) {
            er_batch_judge_all(s->kept[k], status == ER_OK ? ER_VERDICT_REJECT : ER_VERDICT_RETRY,
                               ER_REASON_TOO_LARGE, "too large");
        } else if (s->bounces) {
            er_batch_judge_all(s->kept[k], ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
        } else if (s->keeps_pairs && er_batch_len(s->kept[k]) > 1) {
            s->kept[left++] = s->kept[k];
        } else {
            judge(s, s->kept[k]);
        }
    }
    s->kept_n = left;
    s->bounces = false;
    er_unlock(&s->lock);
    return status == ER_OK ? ER_OK : er_err_set(err, status, "too large");
}

static void s_destroy(void *self) {
    (void)self;
}

static const er_sink_type direct_type = {.name = "direct",
                                         .max_in_flight = 1,
                                         .item_max = 1000,
                                         .create = s_create,
                                         .encode = s_encode,
                                         .target = s_target,
                                         .deliver = s_deliver,
                                         .destroy = s_destroy};
static const er_sink_type keeping_type = {.name = "keeping",
                                          .max_in_flight = 3,
                                          .item_max = 1000,
                                          .create = s_create,
                                          .encode = s_encode,
                                          .target = s_target,
                                          .deliver = s_deliver,
                                          .poll = s_poll,
                                          .destroy = s_destroy};

/* ---- the fixture ---- */

typedef struct rig {
    script script;
    config config;
    er_metrics *metrics;
    er_hearts hearts;
    er_delivery *delivery;
    er_ack ack;
    const char *name;
} rig;

static atomic_size_t told_n;

static void told(er_ack **acks, size_t n) {
    (void)acks;
    (void)atomic_fetch_add(&told_n, n);
}

static rig *rig_new(const char *refused) {
    rig *r = er_xcalloc(1, sizeof *r);
    er_mutex_init(&r->script.lock);
    er_cond_init(&r->script.changed);
    (void)snprintf(r->script.refused, sizeof r->script.refused, "%s", refused);
    r->config = (config){.script = &r->script};
    r->config.common.queue.records = 1000;
    r->config.common.queue.bytes = 1 << 20;
    r->config.common.retry.initial_ms = 2;
    r->config.common.retry.max_ms = 10;
    r->config.common.batch.records = 2;
    r->config.common.batch.bytes = 1 << 20;
    r->metrics = er_metrics_new();
    r->name = "s";
    r->ack.settled = told;
    atomic_store(&told_n, 0);
    return r;
}

static void rig_start(rig *r, const er_sink_type *type) {
    r->script.keeps = type->poll != NULL;
    er_delivery_options options = {.name = r->name,
                                   .type = type,
                                   .config = &r->config,
                                   .metrics = r->metrics,
                                   .hearts = &r->hearts};
    assert_int_equal(er_delivery_new(&options, &r->delivery, NULL), ER_OK);
    assert_int_equal(er_delivery_start(r->delivery, NULL), ER_OK);
}

/* ids: "a1 b1" */
static void offer(rig *r, const char *ids) {
    while (*ids != '\0') {
        size_t n = strcspn(ids, " ");
        er_record draft = {.kind = ER_KIND_EVENT, .id = {ids, n}};
        er_record *rec = er_record_seal(&draft);
        if (!er_delivery_offer(r->delivery, rec, &r->ack)) {
            assert_int_equal(er_delivery_push(r->delivery, rec, &r->ack, er_deadline_in(5000)),
                             ER_PUSH_TAKEN);
        }
        er_delivery_wake(r->delivery);
        er_record_unref(rec);
        ids += n + (ids[n] == ' ');
    }
}

static er_ledger ledger_of(rig *r) {
    er_ledger l;
    er_delivery_ledger(r->delivery, &l);
    assert_int_equal(l.enqueued, l.delivered + l.rejected + l.dropped + l.queued + l.in_flight);
    return l;
}

static void nap(er_deadline limit) {
    assert_false(er_deadline_passed(limit));
    struct timespec ms = {.tv_nsec = 1000000};
    (void)nanosleep(&ms, NULL);
}

static double metric(rig *r, const char *name) {
    er_buf text;
    er_buf_init(&text, 1 << 20);
    er_metrics_render(r->metrics, &text);
    const char *found = strstr(er_buf_cstr(&text), name);
    assert_non_null(found);
    double value = strtod(found + strlen(name), NULL);
    er_buf_fini(&text);
    return value;
}

/* Until so many records are set aside. */
static void wait_aside(rig *r, double n) {
    er_deadline limit = er_deadline_in(5000);
    while (metric(r, "sink_set_aside_records{sink=\"s\"} ") != n) {
        nap(limit);
    }
}

static void wait_delivered(rig *r, uint64_t n) {
    er_deadline limit = er_deadline_in(5000);
    while (ledger_of(r).delivered < n) {
        nap(limit);
    }
}

static void wait_settled(rig *r, uint64_t n) {
    er_deadline limit = er_deadline_in(5000);
    for (er_ledger l = ledger_of(r); l.delivered + l.dropped < n; l = ledger_of(r)) {
        nap(limit);
    }
}

static void refuse(rig *r, const char *letters) {
    er_lock(&r->script.lock);
    (void)snprintf(r->script.refused, sizeof r->script.refused, "%s", letters);
    er_unlock(&r->script.lock);
}

static void assert_taken(rig *r, const char *ids) {
    er_lock(&r->script.lock);
    assert_string_equal(r->script.taken, ids);
    er_unlock(&r->script.lock);
}

static void wait_kept(rig *r, size_t n) {
    er_deadline limit = er_deadline_in(5000);
    er_lock(&r->script.lock);
    while (r->script.kept_n < n) {
        assert_true(er_cond_wait_until(&r->script.changed, &r->script.lock, limit));
    }
    er_unlock(&r->script.lock);
}

/* The same for batches of two: a single record may be one that is tried of a target. */
static void wait_kept_pairs(rig *r, size_t n) {
    er_deadline limit = er_deadline_in(5000);
    er_lock(&r->script.lock);
    for (;;) {
        size_t pairs = 0;
        for (size_t k = 0; k < r->script.kept_n; k++) {
            pairs += er_batch_len(r->script.kept[k]) > 1;
        }
        if (pairs >= n) {
            break;
        }
        assert_true(er_cond_wait_until(&r->script.changed, &r->script.lock, limit));
    }
    er_unlock(&r->script.lock);
}

/* How often an id was tried. */
static size_t tries_of(rig *r, const char *id) {
    size_t n = 0;
    er_lock(&r->script.lock);
    for (const char *at = r->script.asked; (at = strstr(at, id)) != NULL; at++) {
        n += at[strlen(id)] == ' ' || at[strlen(id)] == '\0';
    }
    er_unlock(&r->script.lock);
    return n;
}

static void wait_tries(rig *r, const char *id, size_t n) {
    er_deadline limit = er_deadline_in(5000);
    while (tries_of(r, id) < n) {
        nap(limit);
    }
}

static void rig_free(rig *r) {
    er_delivery_free(r->delivery);
    er_metrics_free(r->metrics);
    er_cond_fini(&r->script.changed);
    er_mutex_fini(&r->script.lock);
    free(r);
}

/* Nothing is owed any more; all acks were told. */
static void rig_end(rig *r) {
    er_delivery_close(r->delivery);
    er_delivery_join(r->delivery);
    er_ledger l = ledger_of(r);
    assert_int_equal(l.queued + l.in_flight, 0);
    assert_int_equal(atomic_load(&told_n), l.enqueued);
    rig_free(r);
}

/* ---- tests ---- */

static void others_go_on(const er_sink_type *type) {
    rig *r = rig_new("a");
    rig_start(r, type);
    offer(r, "a1 b1 a2 c1 a3 b2");
    wait_delivered(r, 3);
    wait_aside(r, 3);
    assert_taken(r, " b1 c1 b2");
    assert_int_equal(ledger_of(r).in_flight, 3);
    assert_int_equal(metric(r, "sink_state{sink=\"s\",state=\"denied\"} "), 1);
    offer(r, "a4 b3");
    wait_delivered(r, 4);
    wait_tries(r, " a1", 3);
    refuse(r, "");
    wait_delivered(r, 8);
    assert_taken(r, " b1 c1 b2 b3 a1 a2 a3 a4");
    offer(r, "a5");
    wait_delivered(r, 9);
    wait_aside(r, 0);
    assert_int_equal(metric(r, "sink_state{sink=\"s\",state=\"ok\"} "), 1);
    assert_int_equal(metric(r, "sink_state{sink=\"s\",state=\"denied\"} "), 0);
    rig_end(r);
}

static void test_others_go_on(void **state) {
    (void)state;
    others_go_on(&direct_type);
}

static void test_others_go_on_in_flight(void **state) {
    (void)state;
    others_go_on(&keeping_type);
}

/* What waits behind the first is not asked for, as the answer is known. */
static void test_one_is_tried(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.batch.records = 1;
    rig_start(r, &direct_type);
    offer(r, "a1");
    wait_aside(r, 1);
    offer(r, "a2 a3 b1");
    wait_delivered(r, 1);
    wait_tries(r, " a1", 4);
    assert_int_equal(tries_of(r, " a2") + tries_of(r, " a3"), 0);
    refuse(r, "");
    wait_delivered(r, 4);
    assert_taken(r, " b1 a1 a2 a3");
    assert_int_equal(tries_of(r, " a2"), 1);
    rig_end(r);
}

/* Targets open one by one. */
static void test_targets_are_apart(void **state) {
    (void)state;
    rig *r = rig_new("abc");
    rig_start(r, &direct_type);
    offer(r, "a1 b1 c1 a2 b2 c2");
    wait_aside(r, 6);
    refuse(r, "ac");
    wait_delivered(r, 2);
    assert_taken(r, " b1 b2");
    refuse(r, "c");
    wait_delivered(r, 4);
    assert_taken(r, " b1 b2 a1 a2");
    assert_int_equal(metric(r, "sink_state{sink=\"s\",state=\"denied\"} "), 1);
    refuse(r, "");
    wait_delivered(r, 6);
    rig_end(r);
}

/* Refused again while its records leave: they are in order at the end. */
static void test_refused_again(void **state) {
    (void)state;
    rig *r = rig_new("a");
    rig_start(r, &direct_type);
    offer(r, "a1 a2 a3 a4 a5 a6");
    wait_aside(r, 6);
    for (int i = 0; i < 20; i++) {
        refuse(r, "");
        struct timespec ms = {.tv_nsec = 700000};
        (void)nanosleep(&ms, NULL);
        refuse(r, "a");
    }
    refuse(r, "");
    wait_delivered(r, 6);
    assert_taken(r, " a1 a2 a3 a4 a5 a6");
    rig_end(r);
}

/* A batch that begins with what was set aside long ago was cut after the one before it,
 * nevertheless, and is delivered after it, when both come back. */
static void test_batches_keep_their_turn(void **state) {
    (void)state;
    rig *r = rig_new("ac");
    r->config.common.batch.linger_ms = 3600000;
    rig_start(r, &keeping_type);
    offer(r, "a1 a2 c1 c2");
    wait_aside(r, 4);
    offer(r, "c3");
    wait_aside(r, 5); /* without a batch there is nothing to linger for */
    er_lock(&r->script.lock);
    r->script.keeps_pairs = true;
    er_unlock(&r->script.lock);
    refuse(r, "a");
    wait_kept_pairs(r, 1); /* c2 c3 */
    refuse(r, "");
    wait_delivered(r, 2);
    offer(r, "c4");
    wait_kept_pairs(r, 2); /* a2 c4 */
    er_lock(&r->script.lock);
    r->script.keeps_pairs = false;
    r->script.bounces = true;
    er_unlock(&r->script.lock);
    wait_delivered(r, 6);
    assert_taken(r, " c1 a1 c2 c3 a2 c4");
    rig_end(r);
}

/* Past half of the queue nothing more is taken from it; nothing is lost. */
static void test_full_blocks(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.queue.records = 8;
    rig_start(r, &direct_type);
    offer(r, "a1 a2 a3 a4 a5");
    wait_aside(r, 5);
    offer(r, "b1");
    wait_tries(r, " a1", tries_of(r, " a1") + 5);
    assert_taken(r, "");
    assert_int_equal(metric(r, "sink_state{sink=\"s\",state=\"denied\"} "), 1);
    er_ledger l = ledger_of(r);
    assert_int_equal(l.delivered + l.dropped, 0);
    assert_int_equal(l.queued + l.in_flight, 6);
    refuse(r, "");
    wait_delivered(r, 6);
    rig_end(r);
}

/* Full, and the last that was refused stays so: the others are tried nevertheless. */
static void test_full_lets_others_go(void **state) {
    (void)state;
    rig *r = rig_new("ab");
    r->config.common.queue.records = 8;
    r->config.common.batch.records = 1;
    rig_start(r, &direct_type);
    offer(r, "a1 a2 a3 a4");
    wait_aside(r, 4);
    offer(r, "b1");
    wait_tries(r, " b1", 3);
    offer(r, "c1");
    refuse(r, "b");
    wait_delivered(r, 5);
    assert_taken(r, " a1 a2 a3 a4 c1");
    refuse(r, "");
    wait_delivered(r, 6);
    rig_end(r);
}

/* Nothing can be done, so the worker waits: polls that have no time to wait are rare. */
static void expect_patience(rig *r) {
    er_deadline limit = er_deadline_in(5000);
    er_lock(&r->script.lock);
    size_t from = r->script.hasty_polls;
    for (size_t polls = r->script.polls + 20; r->script.polls < polls;) {
        er_unlock(&r->script.lock);
        nap(limit);
        er_lock(&r->script.lock);
    }
    size_t hasty = r->script.hasty_polls - from;
    r->script.stalls = false;
    er_cond_broadcast(&r->script.changed);
    er_unlock(&r->script.lock);
    assert_true(hasty <= 5);
}

static void stall(rig *r) {
    er_lock(&r->script.lock);
    r->script.stalls = true;
    er_unlock(&r->script.lock);
}

/* All that the sink may hold is out, and a is due, again and again. */
static void test_waits_while_out(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.batch.records = 1;
    r->config.common.retry.max_ms = 30;
    rig_start(r, &keeping_type);
    offer(r, "a1");
    wait_aside(r, 1);
    stall(r);
    offer(r, "b1 b2 b3 b4");
    wait_kept(r, 3);
    expect_patience(r);
    refuse(r, "");
    wait_delivered(r, 5);
    rig_end(r);
}

/* What the sink holds is not given up, however old it is. */
static void test_waits_while_old(void **state) {
    (void)state;
    rig *r = rig_new("");
    r->config.common.retry.max_age_ms = 300;
    rig_start(r, &keeping_type);
    stall(r);
    offer(r, "b1");
    wait_kept(r, 1);
    er_deadline old = er_deadline_in(310);
    while (!er_deadline_passed(old)) {
        nap(er_deadline_in(1000));
    }
    expect_patience(r);
    wait_delivered(r, 1);
    rig_end(r);
}

/* A sink that keeps records may know from memory that a target is refused: that does not tell that
 * the endpoint works. */
static void test_a_refusal_is_no_news(void **state) {
    (void)state;
    rig *r = rig_new("a");
    rig_start(r, &keeping_type);
    offer(r, "a1");
    wait_aside(r, 1);
    er_lock(&r->script.lock);
    r->script.is_down = true;
    er_unlock(&r->script.lock);
    offer(r, "b1");
    er_deadline limit = er_deadline_in(5000);
    while (metric(r, "sink_state{sink=\"s\",state=\"unavailable\"} ") != 1) {
        nap(limit);
    }
    uint64_t lines = er_log_count(ER_LOG_INFO);
    wait_tries(r, " a1", tries_of(r, " a1") + 5);
    assert_int_equal(er_log_count(ER_LOG_INFO), lines); /* "works again" */
    assert_int_equal(metric(r, "sink_state{sink=\"s\",state=\"unavailable\"} "), 1);
    er_lock(&r->script.lock);
    r->script.is_down = false;
    r->script.refused[0] = '\0';
    er_unlock(&r->script.lock);
    wait_delivered(r, 2);
    rig_end(r);
}

/* Two sinks have a target of the same name: of each it is told. */
static void test_both_are_told_of(void **state) {
    (void)state;
    uint64_t lines = er_log_count(ER_LOG_WARNING);
    static const char *const names[] = {"one", "two"};
    for (size_t i = 0; i < 2; i++) {
        rig *r = rig_new("~");
        r->name = names[i];
        rig_start(r, &direct_type);
        offer(r, "~1");
        wait_tries(r, " ~1", 2);
        refuse(r, "");
        rig_end(r);
    }
    assert_int_equal(er_log_count(ER_LOG_WARNING) - lines, 2);
}

/* What is set aside and what is queued have the queue's room together. */
static void test_room_is_shared(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.queue.records = 8;
    r->config.common.queue.overflow = ER_OVERFLOW_DROP_NEWEST;
    r->config.common.retry.max_ms = 3600000; /* a is not tried */
    rig_start(r, &direct_type);
    offer(r, "a1 a2 a3");
    wait_aside(r, 3);
    er_lock(&r->script.lock);
    r->script.is_down = true;
    er_unlock(&r->script.lock);
    offer(r, "b1"); /* with the sink, again and again */
    er_deadline limit = er_deadline_in(5000);
    while (ledger_of(r).queued > 0) {
        nap(limit);
    }
    offer(r, "b2 b3 b4 b5 b6 b7 b8");
    er_ledger l = ledger_of(r);
    assert_int_equal(l.dropped_by[ER_REASON_QUEUE_FULL], 2);
    assert_int_equal(l.queued, 5);
    assert_int_equal(l.in_flight, 4);
    er_lock(&r->script.lock);
    r->script.is_down = false;
    r->script.refused[0] = '\0';
    er_unlock(&r->script.lock);
    wait_delivered(r, 6);
    assert_taken(r, " b1 b2 b3 b4 b5 b6");
    rig_end(r);
}

static void drops(er_overflow overflow, const char *taken) {
    rig *r = rig_new("a");
    r->config.common.queue.records = 6;
    r->config.common.queue.overflow = overflow;
    r->config.common.batch.records = 1;
    rig_start(r, &direct_type);
    offer(r, "a1");
    wait_aside(r, 1);
    static const char *const more[] = {"a2", "a3", "a4", "a5"};
    for (size_t i = 0; i < 4; i++) {
        offer(r, more[i]);
        er_deadline limit = er_deadline_in(5000);
        while (ledger_of(r).queued > 0) {
            nap(limit);
        }
        wait_aside(r, i < 2 ? (double)i + 2 : 3);
    }
    offer(r, "b1");
    wait_delivered(r, 1);
    er_deadline limit = er_deadline_in(5000);
    while (ledger_of(r).dropped_by[ER_REASON_QUEUE_FULL] < 2) {
        nap(limit);
    }
    refuse(r, "");
    wait_delivered(r, 4);
    assert_taken(r, taken);
    assert_int_equal(ledger_of(r).dropped, 2);
    rig_end(r);
}

static void test_full_drops_oldest(void **state) {
    (void)state;
    drops(ER_OVERFLOW_DROP_OLDEST, " b1 a3 a4 a5");
}

static void test_full_drops_newest(void **state) {
    (void)state;
    drops(ER_OVERFLOW_DROP_NEWEST, " b1 a1 a2 a3");
}

static void test_expires(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.retry.max_age_ms = 1500; /* all that comes before is sooner */
    rig_start(r, &direct_type);
    offer(r, "a1 a2 b1");
    wait_aside(r, 2);
    wait_settled(r, 3);
    er_ledger l = ledger_of(r);
    assert_int_equal(l.delivered, 1);
    assert_int_equal(l.dropped_by[ER_REASON_EXPIRED], 2);
    rig_end(r);
}

/* At the end all targets are tried once more at once. What stays is neither lost nor told. */
static void test_the_end(void **state) {
    (void)state;
    rig *r = rig_new("ab");
    r->config.common.retry.max_ms = 3600000;
    rig_start(r, &direct_type);
    offer(r, "a1 b1 b2 c1");
    wait_delivered(r, 1);
    wait_aside(r, 3);
    refuse(r, "a");
    er_delivery_close(r->delivery);
    wait_delivered(r, 3);
    assert_taken(r, " c1 b1 b2");
    er_delivery_abandon(r->delivery);
    er_delivery_join(r->delivery);
    assert_int_equal(ledger_of(r).in_flight, 1);
    assert_int_equal(atomic_load(&told_n), 3);
    rig_free(r);
}

/* Also when it is full, and records wait in the queue. */
static void test_the_end_when_full(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.queue.records = 4;
    r->config.common.retry.max_ms = 3600000;
    rig_start(r, &direct_type);
    offer(r, "a1 a2 a3");
    wait_aside(r, 3);
    offer(r, "b1");
    refuse(r, "");
    rig_end(r);
}

/* Two that are tried at once are refused together, and not again and again. */
static void test_tried_at_once(void **state) {
    (void)state;
    rig *r = rig_new("ac");
    r->config.common.retry.max_ms = 200;
    rig_start(r, &keeping_type);
    offer(r, "a1 c1");
    wait_aside(r, 2);
    er_lock(&r->script.lock);
    r->script.splits = true;
    er_unlock(&r->script.lock);
    er_delivery_close(r->delivery);
    er_deadline limit = er_deadline_in(5000);
    while (ledger_of(r).rejected < 2) {
        nap(limit);
    }
    rig_end(r);
}

/* What was tried in an outage is tried again when that is over, not when the target is due. */
static void test_the_end_in_an_outage(void **state) {
    (void)state;
    rig *r = rig_new("a");
    r->config.common.retry.max_ms = 3600000;
    rig_start(r, &direct_type);
    offer(r, "a1");
    wait_aside(r, 1);
    er_lock(&r->script.lock);
    r->script.refused[0] = '\0';
    r->script.is_down = true;
    er_unlock(&r->script.lock);
    er_delivery_close(r->delivery);
    er_deadline limit = er_deadline_in(5000);
    while (metric(r, "sink_state{sink=\"s\",state=\"unavailable\"} ") != 1) {
        nap(limit);
    }
    er_lock(&r->script.lock);
    r->script.is_down = false;
    er_unlock(&r->script.lock);
    wait_delivered(r, 1);
    rig_end(r);
}

/* More targets than there is room for: nothing else is tried until one is open. */
static void test_too_many_targets(void **state) {
    (void)state;
    char letters[ER_ASIDE_TARGETS + 2];
    for (int i = 0; i <= ER_ASIDE_TARGETS; i++) {
        letters[i] = (char)('0' + i);
    }
    letters[ER_ASIDE_TARGETS + 1] = '\0';
    rig *r = rig_new(letters);
    r->config.common.batch.records = 1;
    rig_start(r, &direct_type);
    for (int i = 0; i <= ER_ASIDE_TARGETS; i++) {
        char id[] = {(char)('0' + i), '1', '\0'};
        offer(r, id);
    }
    wait_aside(r, ER_ASIDE_TARGETS + 1);
    offer(r, "z1");
    char last[] = {' ', (char)('0' + ER_ASIDE_TARGETS), '1', '\0'};
    wait_tries(r, last, 3);
    assert_taken(r, "");
    refuse(r, letters + 1);
    wait_delivered(r, 2);
    assert_taken(r, " 01 z1");
    refuse(r, "");
    wait_delivered(r, ER_ASIDE_TARGETS + 2);
    rig_end(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_go_on),
        cmocka_unit_test(test_others_go_on_in_flight),
        cmocka_unit_test(test_one_is_tried),
        cmocka_unit_test(test_targets_are_apart),
        cmocka_unit_test(test_refused_again),
        cmocka_unit_test(test_full_blocks),
        cmocka_unit_test(test_room_is_shared),
        cmocka_unit_test(test_full_drops_oldest),
        cmocka_unit_test(test_full_drops_newest),
        cmocka_unit_test(test_expires),
        cmocka_unit_test(test_the_end),
        cmocka_unit_test(test_too_many_targets),
        cmocka_unit_test(test_the_end_when_full),
        cmocka_unit_test(test_full_lets_others_go),
        cmocka_unit_test(test_tried_at_once),
        cmocka_unit_test(test_batches_keep_their_turn),
        cmocka_unit_test(test_the_end_in_an_outage),
        cmocka_unit_test(test_both_are_told_of),
        cmocka_unit_test(test_a_refusal_is_no_news),
        cmocka_unit_test(test_waits_while_out),
        cmocka_unit_test(test_waits_while_old),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
