/* A delivery whose sink keeps several batches and judges them in poll: their order, the state of
 * the endpoint, and batches that are refused as a whole. */
#include "unit.h"

#include "delivery/delivery.h"

#include <stdio.h>
#include <stdlib.h>

#define RECORDS 64
#define FLIGHTS 3
#define POISON  5

/* What poll does with all that is kept. */
typedef enum mood {
    WAIT,         /* nothing yet */
    TAKE,         /* all of it is delivered */
    GIVE_BACK,    /* all of it is RETRY, once; then TAKE */
    NEWEST_FIRST, /* the newest batch is RETRY, at the next poll the others; then TAKE */
    EVERY_THIRD,  /* ids that are a multiple of three are RETRY, once; then TAKE */
    DOWN,         /* nothing, and the endpoint is unavailable, once; then WAIT */
    POISONED,     /* with POISON among them all are refused as a whole */
    SMALL,        /* more than four are refused as a whole */
} mood;

typedef struct script {
    er_mutex lock; /* everything below */
    er_cond changed;
    mood mood;
    er_batch *kept[FLIGHTS];
    size_t kept_n, kept_most;     /* batches; the most since the last SPLIT */
    int given[1000], taken[1000]; /* ids in order */
    size_t given_n, taken_n, splits;
} script;

typedef struct config {
    er_sink_settings common;
    script *script;
} config;

static int id_of(const er_batch *batch, size_t i) {
    char text[16];
    er_str id = er_batch_record(batch, i)->id;
    (void)snprintf(text, sizeof text, "%.*s", (int)id.n, id.p);
    return (int)strtol(text, NULL, 10);
}

static er_status s_create(const er_sink_type *type, const void *cfg, const er_sink_env *env,
                          void **self, er_err *err) {
    (void)type, (void)env, (void)err;
    *self = ((const config *)cfg)->script;
    return ER_OK;
}

static er_status s_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    (void)self, (void)err;
    er_buf_put_str(&out->body, rec->id);
    return ER_OK;
}

static er_status s_deliver(void *self, er_batch *batch, er_err *err) {
    (void)err;
    script *s = self;
    er_lock(&s->lock);
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        s->given[s->given_n++] = id_of(batch, i);
    }
    er_batch_judge_all(batch, ER_VERDICT_KEPT, ER_REASON_NONE, NULL);
    s->kept[s->kept_n++] = batch;
    s->kept_most = s->kept_n > s->kept_most ? s->kept_n : s->kept_most;
    er_cond_broadcast(&s->changed);
    er_unlock(&s->lock);
    return ER_OK;
}

/* Judges all that is kept: with this verdict those that is() picks, the rest DELIVERED. */
static void judge_kept(script *s, bool (*is)(int id), er_verdict verdict) {
    for (size_t k = 0; k < s->kept_n; k++) {
        for (size_t i = 0; i < er_batch_len(s->kept[k]); i++) {
            if (er_batch_verdict(s->kept[k], i) != ER_VERDICT_KEPT) {
                continue;
            }
            int id = id_of(s->kept[k], i);
            bool is_picked = is(id);
            if (!is_picked) {
                s->taken[s->taken_n++] = id;
            }
            er_batch_judge(s->kept[k], i, is_picked ? verdict : ER_VERDICT_DELIVERED,
                           is_picked ? ER_REASON_REFUSED : ER_REASON_NONE, "because");
        }
    }
    s->kept_n = 0;
}

static bool none(int id) {
    (void)id;
    return false;
}

static bool all(int id) {
    (void)id;
    return true;
}

static bool third(int id) {
    return id % 3 == 0;
}

static bool poison(int id) {
    return id == POISON;
}

static size_t count_kept(const script *s, bool (*is)(int id)) {
    size_t n = 0;
    for (size_t k = 0; k < s->kept_n; k++) {
        for (size_t i = 0; i < er_batch_len(s->kept[k]); i++) {
            n += is(id_of(s->kept[k], i));
        }
    }
    return n;
}

/* All of it is one request: refused as a whole, or what is bad when it is alone. */
static er_status judge_request(script *s, bool is_bad, er_err *err) {
    if (!is_bad) {
        judge_kept(s, none, ER_VERDICT_RETRY);
        return ER_OK;
    }
    if (count_kept(s, all) == 1) {
        judge_kept(s, all, ER_VERDICT_REJECT);
        return ER_OK;
    }
    judge_kept(s, all, ER_VERDICT_RETRY);
    s->splits++;
    s->kept_most = 0;
    return er_err_set(err, ER_E_SPLIT, "too large");
}

static er_status judge_by_mood(script *s, er_err *err) {
    switch (s->mood) {
    case TAKE:
        judge_kept(s, none, ER_VERDICT_RETRY);
        return ER_OK;
    case GIVE_BACK:
    case EVERY_THIRD:
        if (s->kept_n == FLIGHTS) {
            judge_kept(s, s->mood == GIVE_BACK ? all : third, ER_VERDICT_RETRY);
            s->mood = TAKE;
        }
        return ER_OK;
    case NEWEST_FIRST:
        if (s->kept_n == FLIGHTS) {
            er_batch_judge_all(s->kept[--s->kept_n], ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
        } else if (s->kept_n == FLIGHTS - 1) {
            judge_kept(s, all, ER_VERDICT_RETRY);
            s->mood = TAKE;
        }
        return ER_OK;
    case DOWN:
        if (s->kept_n == 0) {
            return ER_OK;
        }
        s->mood = WAIT;
        return er_err_set(err, ER_E_UNAVAILABLE, "nobody is there");
    case POISONED:
        return judge_request(s, count_kept(s, poison) > 0, err);
    case SMALL:
        return judge_request(s, count_kept(s, all) > 4, err);
    case WAIT:
    default:
        return ER_OK;
    }
}

static er_status s_poll(void *self, er_deadline until, er_err *err) {
    script *s = self;
    er_lock(&s->lock);
    er_status status = judge_by_mood(s, err);
    er_cond_broadcast(&s->changed);
    if (s->kept_n > 0 && status == ER_OK) {
        (void)er_cond_wait_until(&s->changed, &s->lock, er_deadline_min(until, er_deadline_in(2)));
    }
    er_unlock(&s->lock);
    return status;
}

static void s_destroy(void *self) {
    (void)self;
}

static const er_sink_type type = {.name = "keeping",
                                  .max_in_flight = FLIGHTS,
                                  .item_max = 1000,
                                  .create = s_create,
                                  .encode = s_encode,
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
} rig;

static rig *rig_new(mood first, size_t batch, int64_t backoff_ms) {
    rig *r = er_xcalloc(1, sizeof *r);
    er_mutex_init(&r->script.lock);
    er_cond_init(&r->script.changed);
    r->script.mood = first;
    r->config = (config){.script = &r->script};
    r->config.common.queue.records = 1000;
    r->config.common.queue.bytes = 1 << 20;
    r->config.common.retry.initial_ms = backoff_ms;
    r->config.common.retry.max_ms = backoff_ms;
    r->config.common.batch.records = (int64_t)batch;
    r->config.common.batch.bytes = 1 << 20;
    r->metrics = er_metrics_new();
    er_delivery_options options = {.name = "s",
                                   .type = &type,
                                   .config = &r->config,
                                   .metrics = r->metrics,
                                   .hearts = &r->hearts};
    assert_int_equal(er_delivery_new(&options, &r->delivery, NULL), ER_OK);
    return r;
}

static void offer(rig *r, int from, int to) {
    for (int id = from; id < to; id++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%d", id);
        er_record draft = {.kind = ER_KIND_EVENT, .id = er_str_of(text)};
        er_record *rec = er_record_seal(&draft);
        assert_true(er_delivery_offer(r->delivery, rec, NULL));
        er_record_unref(rec);
    }
    er_delivery_wake(r->delivery);
}

static void start(rig *r) {
    assert_int_equal(er_delivery_start(r->delivery, NULL), ER_OK);
}

static void set_mood(rig *r, mood next) {
    er_lock(&r->script.lock);
    r->script.mood = next;
    er_cond_broadcast(&r->script.changed);
    er_unlock(&r->script.lock);
}

static void wait_given(rig *r, size_t n) {
    er_deadline limit = er_deadline_in(5000);
    er_lock(&r->script.lock);
    while (r->script.given_n < n) {
        assert_true(er_cond_wait_until(&r->script.changed, &r->script.lock, limit));
    }
    er_unlock(&r->script.lock);
}

static bool is_in_state(rig *r, const char *state) {
    char series[100];
    (void)snprintf(series, sizeof series, "sink_state{sink=\"s\",state=\"%s\"} 1", state);
    er_buf text;
    er_buf_init(&text, 1u << 20);
    er_metrics_render(r->metrics, &text);
    bool is = strstr(er_buf_cstr(&text), series) != NULL;
    er_buf_fini(&text);
    return is;
}

static void wait_state(rig *r, const char *state) {
    er_deadline limit = er_deadline_in(5000);
    while (!is_in_state(r, state)) {
        assert_false(er_deadline_passed(limit));
        struct timespec ms = {.tv_nsec = 1000000};
        (void)nanosleep(&ms, NULL);
    }
}

static er_ledger end(rig *r) {
    er_delivery_close(r->delivery);
    er_delivery_join(r->delivery);
    er_ledger l;
    er_delivery_ledger(r->delivery, &l);
    assert_int_equal(l.enqueued, l.delivered + l.rejected + l.dropped + l.queued + l.in_flight);
    return l;
}

static void rig_free(rig *r) {
    er_delivery_free(r->delivery);
    er_metrics_free(r->metrics);
    er_cond_fini(&r->script.changed);
    er_mutex_fini(&r->script.lock);
    free(r);
}

static void expect_ids(const int *found, size_t n, const int *want, size_t want_n) {
    assert_int_equal(n, want_n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(found[i], want[i]);
    }
}
#define EXPECT_IDS(found, n, ...)                                                                  \
    expect_ids((found), (n), (const int[]){__VA_ARGS__},                                           \
               sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* ---- tests ---- */

static void test_all_come_back_in_order(void **state) {
    (void)state;
    rig *r = rig_new(GIVE_BACK, 2, 1);
    offer(r, 0, 8);
    start(r);
    assert_int_equal(end(r).delivered, 8);
    EXPECT_IDS(r->script.given, r->script.given_n, 0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5, 6, 7);
    EXPECT_IDS(r->script.taken, r->script.taken_n, 0, 1, 2, 3, 4, 5, 6, 7);
    rig_free(r);
}

/* The first poll gives the newest back, while it rests the next one gives the others. */
static void test_newest_comes_back_first(void **state) {
    (void)state;
    rig *r = rig_new(WAIT, 1, 100);
    offer(r, 0, 3);
    start(r);
    wait_given(r, 3);
    set_mood(r, NEWEST_FIRST);
    wait_given(r, 6);
    assert_int_equal(end(r).delivered, 3);
    EXPECT_IDS(r->script.given, r->script.given_n, 0, 1, 2, 0, 1, 2);
    rig_free(r);
}

static void test_some_come_back_in_order(void **state) {
    (void)state;
    rig *r = rig_new(EVERY_THIRD, 3, 1);
    offer(r, 0, 12);
    start(r);
    assert_int_equal(end(r).delivered, 12);
    EXPECT_IDS(r->script.given, r->script.given_n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 3, 6, 9, 10, 11);
    rig_free(r);
}

/* That a batch is kept does not tell that the endpoint works; that it is delivered does, and then
 * nobody waits for the end of the backoff. */
static void test_state_while_kept(void **state) {
    (void)state;
    rig *r = rig_new(DOWN, 1, 3600000);
    offer(r, 0, 1);
    start(r);
    wait_given(r, 1);
    wait_state(r, "unavailable");
    offer(r, 1, 3);
    set_mood(r, TAKE);
    wait_given(r, 3);
    wait_state(r, "ok");
    assert_int_equal(end(r).delivered, 3);
    rig_free(r);
}

static void test_keeping_says_nothing(void **state) {
    (void)state;
    rig *r = rig_new(DOWN, 1, 20);
    offer(r, 0, 1);
    start(r);
    wait_state(r, "unavailable");
    offer(r, 1, 3);
    wait_given(r, 3); /* after the backoff */
    assert_true(is_in_state(r, "unavailable"));
    set_mood(r, TAKE);
    wait_state(r, "ok");
    assert_int_equal(end(r).delivered, 3);
    rig_free(r);
}

static void test_poison_among_kept(void **state) {
    (void)state;
    rig *r = rig_new(POISONED, 8, 1);
    offer(r, 0, RECORDS);
    start(r);
    er_ledger l = end(r);
    assert_int_equal(l.delivered, RECORDS - 1);
    assert_int_equal(l.rejected_by[ER_REASON_REFUSED], 1);
    assert_int_equal(r->script.taken_n, RECORDS - 1);
    assert_true(r->script.splits >= 3);
    rig_free(r);
}

/* While sizes matter, batches go one by one: they would share a request. */
static void test_size_of_requests(void **state) {
    (void)state;
    rig *r = rig_new(SMALL, 8, 1);
    offer(r, 0, RECORDS);
    start(r);
    er_ledger l = end(r);
    assert_int_equal(l.delivered, RECORDS);
    assert_int_equal(l.rejected, 0);
    assert_int_equal(r->script.kept_most, 1);
    for (int i = 0; i < RECORDS; i++) {
        assert_int_equal(r->script.taken[i], i);
    }
    rig_free(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_come_back_in_order),
        cmocka_unit_test(test_newest_comes_back_first),
        cmocka_unit_test(test_some_come_back_in_order),
        cmocka_unit_test(test_state_while_kept),
        cmocka_unit_test(test_keeping_says_nothing),
        cmocka_unit_test(test_poison_among_kept),
        cmocka_unit_test(test_size_of_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
