/* A delivery under a sink that does anything a sink may do, by the toss of a seeded coin: targets
 * that are refused and opened, outages, denials, batches that are too large, poison, records
 * refused for now, batches that are kept and judged in any order; with all overflow policies,
 * limits and ends. The sink looks at each delivery, the end at the ledger:
 *
 *   - each record is settled once, and nothing that was delivered is delivered again;
 *   - records of a target are first delivered in the order of the queue; none is delivered while an
 *     older one is set aside, and none for the first time while an older one must be tried again;
 *   - what is held is bounded; after a close with a sink that takes all, nothing is left.
 *
 * ER_RANDOM_RUNS=N runs seeds 1 to N, ER_RANDOM_SEED=N that one. A failure prints its seed; threads
 * make it likely, not certain, to come again. */
#include "unit.h"

#include "delivery/aside.h"
#include "delivery/delivery.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define RUNS        60
#define AT_ONCE     8
#define RECORDS     150 /* of each producer */
#define PRODUCERS   2
#define TARGETS_MAX 160 /* more than can be set aside */
#define FLIGHTS     8
#define LIMIT_MS    20000

#define CHECK(s_, condition_)                                                                      \
    do {                                                                                           \
        if (!(condition_)) {                                                                       \
            (void)fprintf(stderr, "seed %" PRIu64 ": %s:%d: %s\n", (s_)->seed, __FILE__, __LINE__, \
                          #condition_);                                                            \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* What the sink last said of a record. */
typedef enum stand { NEW, GIVEN, DELIVERED, REJECTED, AGAIN, ASIDE } stand;

typedef struct coin {
    uint64_t state;
} coin;

typedef struct fate {
    er_ack ack; /* first */
    atomic_uint told;
    stand stand;
    int target;
} fate;

typedef struct flight {
    er_batch *batch;
    size_t open;
} flight;

typedef struct script {
    uint64_t seed;
    er_mutex lock; /* everything below */
    coin coin;
    er_cancel *cancel;
    /* what this run does */
    int targets;
    size_t size_max;   /* records a batch; more is SPLIT */
    bool judges_whole; /* a batch that is kept, at once */
    bool keeps, refuses_some, has_outages, has_denials, has_poison;
    bool is_calm; /* takes all from now on */
    /* how it stands */
    bool refused[TARGETS_MAX];
    unsigned outage; /* calls left */
    er_status outage_status;
    flight flights[FLIGHTS];
    size_t flights_max;
    fate fates[RECORDS * PRODUCERS]; /* in the order of the queue, within a target */
    int last_first[TARGETS_MAX], last_taken[TARGETS_MAX];
    uint64_t delivered, calls;
} script;

typedef struct config {
    er_sink_settings common;
    script *script;
} config;

static uint64_t toss(coin *c, uint64_t n) { /* xorshift64* */
    c->state ^= c->state >> 12;
    c->state ^= c->state << 25;
    c->state ^= c->state >> 27;
    return (c->state * UINT64_C(2685821657736338717) >> 33) % n;
}

static bool one_in(coin *c, uint64_t n) {
    return toss(c, n) == 0;
}

static uint64_t between(coin *c, uint64_t least, uint64_t most) {
    return least + toss(c, most - least + 1);
}

/* ---- the sink ---- */

static size_t number_of(const er_record *rec) {
    char text[16];
    (void)snprintf(text, sizeof text, "%.*s", (int)rec->id.n, rec->id.p);
    return (size_t)strtoul(text, NULL, 10);
}

static bool is_poison(const script *s, size_t number) {
    return s->has_poison && number % 41 == 7;
}

static er_status r_create(const er_sink_type *type, const void *cfg, const er_sink_env *env,
                          void **self, er_err *err) {
    (void)type, (void)err;
    script *s = ((const config *)cfg)->script;
    s->cancel = env->cancel;
    *self = s;
    return ER_OK;
}

static er_status r_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    (void)self;
    size_t number = number_of(rec);
    if (number % 53 == 11) {
        return er_err_set(err, ER_E_INVAL, "cannot say this");
    }
    for (size_t i = 0; i <= number * 7 % 19; i++) {
        er_buf_putc(&out->body, 'x');
    }
    return ER_OK;
}

static void r_target(void *self, const er_record *rec, er_buf *out) {
    const script *s = self;
    er_buf_putf(out, "t%d", s->fates[number_of(rec)].target);
}

/* Nothing older of its target may wait: set aside, or to be tried again. Where single records of a
 * batch come back, one that came back before may be delivered before an older one. */
static void look_at_older(const script *s, size_t number) {
    const fate *f = &s->fates[number];
    for (size_t q = number; q-- > 0;) {
        const fate *older = &s->fates[q];
        if (older->target != f->target || atomic_load(&older->told) > 0) {
            continue;
        }
        CHECK(s, older->stand != ASIDE);
        CHECK(s, older->stand != AGAIN || (f->stand != NEW && !s->judges_whole));
    }
}

static void look_at(script *s, const er_batch *batch) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        size_t number = number_of(er_batch_record(batch, i));
        fate *f = &s->fates[number];
        CHECK(s, f->stand == NEW || f->stand == AGAIN || f->stand == ASIDE);
        CHECK(s, atomic_load(&f->told) == 0);
        look_at_older(s, number);
        if (f->stand == NEW) {
            CHECK(s, (int)number > s->last_first[f->target]);
            s->last_first[f->target] = (int)number;
        }
        f->stand = GIVEN;
    }
}

static void judge(script *s, er_batch *batch, size_t i, er_verdict verdict) {
    size_t number = number_of(er_batch_record(batch, i));
    fate *f = &s->fates[number];
    static const stand stands[] = {
        [ER_VERDICT_NONE] = AGAIN,          [ER_VERDICT_RETRY] = AGAIN,
        [ER_VERDICT_DELIVERED] = DELIVERED, [ER_VERDICT_REJECT] = REJECTED,
        [ER_VERDICT_KEPT] = GIVEN,          [ER_VERDICT_ASIDE] = ASIDE};
    CHECK(s, f->stand == GIVEN);
    f->stand = stands[verdict];
    if (verdict == ER_VERDICT_DELIVERED) {
        s->delivered++;
        bool is_ordered = !s->keeps && !s->refuses_some;
        CHECK(s, !is_ordered || (int)number > s->last_taken[f->target]);
        s->last_taken[f->target] = (int)number;
    }
    if (verdict != ER_VERDICT_NONE) {
        er_batch_judge(batch, i, verdict, ER_REASON_REFUSED, "because");
    }
}

static er_verdict verdict_of(script *s, const er_batch *batch, size_t i) {
    size_t number = number_of(er_batch_record(batch, i));
    if (!s->is_calm && s->refused[s->fates[number].target]) {
        return ER_VERDICT_ASIDE;
    }
    if (is_poison(s, number)) {
        return ER_VERDICT_REJECT;
    }
    bool is_refused_now = !s->is_calm && s->refuses_some && one_in(&s->coin, 8);
    return is_refused_now ? ER_VERDICT_RETRY : ER_VERDICT_DELIVERED;
}

static void change(script *s) {
    s->calls++;
    if (one_in(&s->coin, 4)) {
        bool *is_refused = &s->refused[toss(&s->coin, (uint64_t)s->targets)];
        *is_refused = !*is_refused;
    }
    if (s->has_outages && s->outage == 0 && one_in(&s->coin, 20)) {
        s->outage = (unsigned)between(&s->coin, 1, 4);
        bool is_denied = s->has_denials && one_in(&s->coin, 2);
        s->outage_status = is_denied ? ER_E_DENIED : ER_E_UNAVAILABLE;
    }
}

/* Judges the first n, and leaves the others to be tried again. */
static void judge_first(script *s, er_batch *batch, size_t n) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        judge(s, batch, i, i < n ? verdict_of(s, batch, i) : ER_VERDICT_NONE);
    }
}

static bool is_too_much(const script *s, const er_batch *batch) {
    bool has_poison = false;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        has_poison = has_poison || is_poison(s, number_of(er_batch_record(batch, i)));
    }
    return er_batch_len(batch) > s->size_max || (has_poison && s->seed % 2 == 0);
}

static bool is_out(script *s) {
    bool is_out = !s->is_calm && s->outage > 0;
    s->outage -= is_out;
    return is_out;
}

static er_status keep(script *s, er_batch *batch) {
    flight *f = s->flights;
    while (f->batch != NULL) {
        f++;
    }
    CHECK(s, f < s->flights + s->flights_max);
    *f = (flight){batch, er_batch_len(batch)};
    er_batch_judge_all(batch, ER_VERDICT_KEPT, ER_REASON_NONE, NULL);
    return ER_OK;
}

static er_status r_deliver(void *self, er_batch *batch, er_err *err) {
    script *s = self;
    er_lock(&s->lock);
    change(s);
    look_at(s, batch);
    size_t n = er_batch_len(batch);
    er_status status = ER_OK;
    if (er_cancel_is_set(s->cancel)) {
        judge_first(s, batch, 0);
        status = er_err_set(err, ER_E_CANCELLED, "cancelled");
    } else if (is_out(s)) {
        judge_first(s, batch, one_in(&s->coin, 3) ? toss(&s->coin, n) : 0);
        status = er_err_set(err, s->outage_status, "out");
    } else if (!s->keeps && is_too_much(s, batch)) {
        judge_first(s, batch, 0);
        status = er_err_set(err, ER_E_SPLIT, "too large");
    } else if (s->keeps) {
        status = keep(s, batch);
    } else {
        judge_first(s, batch, n);
    }
    er_unlock(&s->lock);
    return status;
}

/* Judges kept items: all of them, or those that the coin picks. */
static void judge_kept(script *s, bool all, bool back) {
    for (size_t k = 0; k < s->flights_max; k++) {
        flight *f = &s->flights[k];
        bool is_picked = all || one_in(&s->coin, 2);
        for (size_t i = 0; f->batch != NULL && i < er_batch_len(f->batch); i++) {
            bool is_kept = er_batch_verdict(f->batch, i) == ER_VERDICT_KEPT;
            if (!is_kept || !(s->judges_whole ? is_picked : all || one_in(&s->coin, 2))) {
                continue;
            }
            judge(s, f->batch, i, back ? ER_VERDICT_RETRY : verdict_of(s, f->batch, i));
            f->open--;
        }
        f->batch = f->open == 0 ? NULL : f->batch;
    }
}

static bool keeps_too_much(const script *s) {
    bool is = false;
    for (size_t k = 0; k < s->flights_max; k++) {
        const flight *f = &s->flights[k];
        is = is || (f->batch != NULL && f->open == er_batch_len(f->batch) && f->open > 1 &&
                    is_too_much(s, f->batch));
    }
    return is;
}

static er_status r_poll(void *self, er_deadline until, er_err *err) {
    (void)until;
    script *s = self;
    er_lock(&s->lock);
    change(s);
    er_status status = ER_OK;
    if (er_cancel_is_set(s->cancel)) {
        judge_kept(s, true, true);
        status = er_err_set(err, ER_E_CANCELLED, "cancelled");
    } else if (is_out(s)) {
        judge_kept(s, false, one_in(&s->coin, 2));
        status = er_err_set(err, s->outage_status, "out");
    } else if (keeps_too_much(s)) {
        judge_kept(s, true, true);
        status = er_err_set(err, ER_E_SPLIT, "too large");
    } else {
        judge_kept(s, s->is_calm || one_in(&s->coin, 4), false);
    }
    er_unlock(&s->lock);
    return status;
}

static void r_destroy(void *self) {
    (void)self;
}

static const er_sink_type direct_type = {.name = "direct",
                                         .max_in_flight = 1,
                                         .item_max = 1000,
                                         .create = r_create,
                                         .encode = r_encode,
                                         .target = r_target,
                                         .deliver = r_deliver,
                                         .destroy = r_destroy};

/* ---- a run ---- */

typedef struct run {
    script script;
    config config;
    er_sink_type type;
    er_metrics *metrics;
    er_hearts hearts;
    er_delivery *delivery;
} run;

typedef struct producer {
    run *run;
    size_t first;
    coin coin;
    er_thread thread;
} producer;

static void told(er_ack **acks, size_t n) {
    for (size_t i = 0; i < n; i++) {
        (void)atomic_fetch_add(&((fate *)acks[i])->told, 1);
    }
}

static void settings_of(run *r, coin *c) {
    er_sink_settings *common = &r->config.common;
    common->queue.records = (int64_t)between(c, 1, one_in(c, 3) ? 300 : 30);
    common->queue.bytes = (int64_t)between(c, 1, one_in(c, 3) ? 300000 : 8000);
    common->queue.overflow = (int)toss(c, 3);
    common->retry.initial_ms = 1;
    common->retry.max_ms = (int64_t)between(c, 1, 3);
    common->retry.max_age_ms = one_in(c, 3) ? (int64_t)between(c, 2, 40) : 0;
    common->batch.records = (int64_t)between(c, 1, 12);
    common->batch.bytes = (int64_t)between(c, 1, 150);
    common->batch.linger_ms = one_in(c, 4) ? 1 : 0;
}

static void script_of(run *r, coin *c) {
    script *s = &r->script;
    er_mutex_init(&s->lock);
    s->coin = (coin){toss(c, UINT32_MAX) + 1};
    s->targets = PRODUCERS * (int)between(c, 1, one_in(c, 5) ? TARGETS_MAX / PRODUCERS : 3);
    s->keeps = one_in(c, 2);
    s->flights_max = (size_t)between(c, 1, FLIGHTS);
    s->size_max = one_in(c, 3) ? (size_t)between(c, 1, 6) : SIZE_MAX;
    s->refuses_some = one_in(c, 3);
    s->judges_whole = !s->refuses_some && one_in(c, 2);
    s->has_outages = !one_in(c, 3);
    s->has_denials = one_in(c, 2);
    s->has_poison = one_in(c, 2);
    bool is_all_refused = one_in(c, 4);
    for (int i = 0; i < TARGETS_MAX; i++) {
        s->refused[i] = is_all_refused;
        s->last_first[i] = s->last_taken[i] = -1;
    }
    /* A target belongs to one producer: so its records have an order. */
    for (size_t i = 0; i < RECORDS * PRODUCERS; i++) {
        int own = (int)toss(c, (uint64_t)s->targets / PRODUCERS);
        s->fates[i] = (fate){.ack = {told}, .target = own * PRODUCERS + (int)(i / RECORDS)};
    }
}

static er_ledger ledger_of(run *r) {
    er_ledger l;
    er_delivery_ledger(r->delivery, &l);
    CHECK(&r->script, l.enqueued == l.delivered + l.rejected + l.dropped + l.queued + l.in_flight);
    /* The queue has its room for what is queued or set aside; what is staged, with the sink, or
     * tried of a target comes on top, and so does what waits in a push. */
    const er_sink_settings *common = &r->config.common;
    uint64_t batches = (r->script.keeps ? r->script.flights_max : 1) + 1;
    uint64_t out = batches * (uint64_t)common->batch.records + (uint64_t)r->script.targets;
    uint64_t room = (uint64_t)common->queue.records + PRODUCERS;
    CHECK(&r->script, l.queued <= room && l.queued + l.in_flight <= room + out);
    return l;
}

static void nap(void) {
    struct timespec ms = {.tv_nsec = 500000};
    (void)nanosleep(&ms, NULL);
}

/* So that not all of it is dropped. */
static void pace(producer *p) {
    run *r = p->run;
    uint64_t full = (uint64_t)r->config.common.queue.records / 2;
    for (int i = 0; i < 4 && ledger_of(r).queued > full && !one_in(&p->coin, 3); i++) {
        er_delivery_wake(r->delivery);
        nap();
    }
}

static void *produce(void *arg) {
    producer *p = arg;
    run *r = p->run;
    for (size_t i = p->first; i < p->first + RECORDS; i++) {
        char id[24];
        (void)snprintf(id, sizeof id, "%zu", i);
        er_record draft = {.kind = ER_KIND_EVENT, .id = er_str_of(id)};
        er_record *rec = er_record_seal(&draft);
        er_ack *ack = &r->script.fates[i].ack;
        if (!er_delivery_offer(r->delivery, rec, ack)) {
            er_delivery_wake(r->delivery);
            er_push pushed = er_delivery_push(r->delivery, rec, ack, er_deadline_in(LIMIT_MS));
            CHECK(&r->script, pushed != ER_PUSH_FULL);
            if (pushed == ER_PUSH_GIVEN_UP) {
                er_record_unref(rec);
                break;
            }
        }
        er_record_unref(rec);
        if (one_in(&p->coin, 6)) {
            er_delivery_wake(r->delivery);
            (void)ledger_of(r);
        }
        pace(p);
    }
    er_delivery_wake(r->delivery);
    return NULL;
}

static void calm(run *r) {
    er_lock(&r->script.lock);
    r->script.is_calm = true;
    er_unlock(&r->script.lock);
}

/* Each record was told as often as the ledger says: once, or not at all. */
static void check_acks(run *r, const er_ledger *l) {
    uint64_t n = 0;
    for (size_t i = 0; i < RECORDS * PRODUCERS; i++) {
        const fate *f = &r->script.fates[i];
        unsigned times = atomic_load(&f->told);
        CHECK(&r->script, times <= 1);
        CHECK(&r->script, f->stand != DELIVERED || times == 1);
        n += times;
    }
    CHECK(&r->script, n == l->delivered + l->rejected + l->dropped);
    CHECK(&r->script, l->delivered == r->script.delivered);
}

static bool metric_is(run *r, const char *line) {
    er_buf text;
    er_buf_init(&text, 1 << 20);
    er_metrics_render(r->metrics, &text);
    bool is = strstr(er_buf_cstr(&text), line) != NULL;
    er_buf_fini(&text);
    return is;
}

static void wait_settled(run *r) {
    er_deadline limit = er_deadline_in(LIMIT_MS);
    for (er_ledger l = ledger_of(r); l.queued + l.in_flight > 0; l = ledger_of(r)) {
        CHECK(&r->script, !er_deadline_passed(limit));
        nap();
    }
}

/* How it ends: closed in the middle of the trouble, or when all is well, or given up. */
static void end(run *r, coin *c, producer *producers) {
    uint64_t how = toss(c, 4);
    if (how == 0) {
        for (uint64_t n = toss(c, 8); n > 0; n--) {
            nap();
        }
        er_delivery_abandon(r->delivery);
    }
    for (size_t p = 0; p < PRODUCERS; p++) {
        er_thread_join(producers[p].thread);
    }
    if (how == 1) {
        calm(r);
        wait_settled(r);
        for (er_deadline limit = er_deadline_in(LIMIT_MS);
             !metric_is(r, "sink_set_aside_records{sink=\"s\"} 0\n") ||
             !metric_is(r, "sink_state{sink=\"s\",state=\"ok\"} 1\n");) {
            CHECK(&r->script, !er_deadline_passed(limit));
            nap();
        }
    }
    er_delivery_close(r->delivery);
    if (how == 2) {
        nap();
        er_delivery_abandon(r->delivery);
    }
    calm(r);
    er_delivery_join(r->delivery);
    er_ledger l = ledger_of(r);
    CHECK(&r->script, how % 2 == 0 || l.queued + l.in_flight == 0);
    check_acks(r, &l);
}

static void run_seed(uint64_t seed) {
    coin c = {seed * UINT64_C(0x9e3779b97f4a7c15) | 1};
    for (int i = 0; i < 8; i++) {
        (void)toss(&c, 2);
    }
    run *r = er_xcalloc(1, sizeof *r);
    r->script.seed = seed;
    script_of(r, &c);
    settings_of(r, &c);
    r->config.script = &r->script;
    r->type = direct_type;
    r->type.max_in_flight = r->script.keeps ? (unsigned)r->script.flights_max : 1;
    r->type.poll = r->script.keeps ? r_poll : NULL;
    r->metrics = er_metrics_new();
    er_delivery_options options = {.name = "s",
                                   .type = &r->type,
                                   .config = &r->config,
                                   .metrics = r->metrics,
                                   .hearts = &r->hearts};
    CHECK(&r->script, er_delivery_new(&options, &r->delivery, NULL) == ER_OK);
    CHECK(&r->script, er_delivery_start(r->delivery, NULL) == ER_OK);
    producer producers[PRODUCERS];
    for (size_t p = 0; p < PRODUCERS; p++) {
        producers[p] = (producer){.run = r, .first = p * RECORDS, .coin = {toss(&c, 1u << 30) + 1}};
        CHECK(&r->script, er_thread_start(&producers[p].thread, "producer", produce, &producers[p],
                                          NULL) == ER_OK);
    }
    end(r, &c, producers);
    er_delivery_free(r->delivery);
    er_metrics_free(r->metrics);
    er_mutex_fini(&r->script.lock);
    free(r);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
    const char *text = getenv(name);
    return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

typedef struct seeds {
    atomic_uint_fast64_t next;
    uint64_t last;
} seeds;

static void *run_seeds(void *arg) {
    seeds *s = arg;
    for (uint64_t seed; (seed = atomic_fetch_add(&s->next, 1)) <= s->last;) {
        run_seed(seed);
    }
    return NULL;
}

/* Several at once: most of a run is waiting. */
static void test_random(void **state) {
    (void)state;
    uint64_t only = number_from("ER_RANDOM_SEED", 0);
    seeds s = {.last = only > 0 ? only : number_from("ER_RANDOM_RUNS", RUNS)};
    atomic_init(&s.next, only > 0 ? only : 1);
    er_thread threads[AT_ONCE];
    for (size_t i = 0; i < AT_ONCE; i++) {
        assert_int_equal(er_thread_start(&threads[i], "seeds", run_seeds, &s, NULL), ER_OK);
    }
    for (size_t i = 0; i < AT_ONCE; i++) {
        er_thread_join(threads[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
