/* The state of the endpoint: what a sink's peer is doing, as logs and metrics tell it. */
#include "base/log.h"
#include "delivery/delivery_priv.h"

#define REMIND_MS (10 * 60 * 1000) /* between lines about the same trouble */

static int64_t ms_since(int64_t ns) {
    return (er_mono_ns() - ns) / 1000000;
}

static bool was_said_lately(int64_t said_ns) {
    return said_ns != 0 && ms_since(said_ns) < REMIND_MS;
}

static void set_state(er_delivery *d, er_endpoint state) {
    if (d->state == ER_ENDPOINT_OK) {
        d->away_ns = er_mono_ns();
    }
    d->state = state;
}

void er_endpoint_works(er_delivery *d) {
    er_worker *w = &d->worker;
    er_backoff_reset(&w->backoff);
    if (d->state == ER_ENDPOINT_OK) {
        return;
    }
    w->not_before = er_deadline_in(0); /* kept items got through: no need to wait */
    set_state(d, ER_ENDPOINT_OK);
    ER_LOG(ER_LOG_INFO, "delivery", "the sink works again", ER_LS("sink", d->name),
           ER_LI("awayMs", ms_since(d->away_ns)), ER_LI("setAside", w->aside.n));
}

/* Once in a while, for those who were not there when it began. */
static void remind(const er_delivery *d, const er_err *err, const er_ledger *ledger) {
    ER_LOG(ER_LOG_WARNING, "delivery",
           d->state == ER_ENDPOINT_DENIED ? "the sink still denies us, records are kept"
                                          : "the sink is still unavailable, records are kept",
           ER_LS("sink", d->name), ER_LS("error", err->msg), ER_LI("awayMs", ms_since(d->away_ns)),
           ER_LI("records", ledger->queued + ledger->in_flight));
}

void er_endpoint_fails(er_delivery *d, er_status status, const er_err *err) {
    er_worker *w = &d->worker;
    bool denied = status == ER_E_DENIED;
    int64_t wait = denied ? er_backoff_slow(&w->backoff, err->retry_after_ms)
                          : er_backoff_next(&w->backoff, err->retry_after_ms);
    w->not_before = er_deadline_in(wait);
    er_endpoint state = denied ? ER_ENDPOINT_DENIED : ER_ENDPOINT_UNAVAILABLE;
    if (status == ER_E_CANCELLED || (d->state == state && was_said_lately(d->said_ns))) {
        return;
    }
    if (d->state == state) {
        er_ledger ledger;
        er_queue_ledger(&d->queue, &ledger, NULL);
        remind(d, err, &ledger);
    } else {
        set_state(d, state);
        ER_LOG(ER_LOG_WARNING, "delivery",
               denied ? "the sink denies us, records are kept and tried slowly"
                      : "the sink is unavailable, records are kept and tried again",
               ER_LS("sink", d->name), ER_LS("error", err->msg), ER_LI("retryInMs", wait));
    }
    d->said_ns = er_mono_ns();
}

/* ---- targets ---- */

void er_endpoint_refuses(er_delivery *d, er_aside_target *target, const char *why) {
    if (was_said_lately(target->said_ns)) {
        return;
    }
    /* Both in the first field: the log limits lines that are alike up to there. */
    er_buf place;
    er_buf_init(&place, 1024);
    er_buf_putf(&place, "%.400s/%.600s", d->name, target->name);
    ER_LOG(ER_LOG_WARNING, "delivery",
           target->said_ns == 0
               ? "the sink refuses a target, its records are set aside and tried slowly"
               : "the sink still refuses a target, its records are set aside",
           ER_LS("place", er_buf_cstr(&place)), ER_LS("sink", d->name),
           ER_LS("target", target->name), ER_LS("error", why),
           ER_LI("awayMs", ms_since(target->since_ns)), ER_LI("setAside", target->n));
    er_buf_fini(&place);
    target->said_ns = er_mono_ns();
}

void er_endpoint_takes(er_delivery *d, er_aside_target *target) {
    if (!target->is_open) {
        target->is_open = true;
        ER_LOG(ER_LOG_INFO, "delivery", "the sink takes the target again, its records go first",
               ER_LS("sink", d->name), ER_LS("target", target->name),
               ER_LI("awayMs", ms_since(target->since_ns)), ER_LI("setAside", target->n));
    }
}

static void say_stuck(er_delivery *d) {
    const er_aside *a = &d->worker.aside;
    const er_aside_target *oldest = er_aside_oldest(a, false);
    ER_LOG(ER_LOG_WARNING, "delivery",
           "no more can be set aside, the sink waits for its refused targets",
           ER_LS("sink", d->name), ER_LI("setAside", a->n), ER_LI("targets", a->targets_n),
           ER_LS("oldest", oldest == NULL ? "" : oldest->name));
}

void er_endpoint_show(er_delivery *d) {
    er_worker *w = &d->worker;
    bool is_refused = d->state == ER_ENDPOINT_OK && w->aside.targets_n > 0;
    er_endpoint shown = is_refused ? ER_ENDPOINT_DENIED : d->state;
    if (shown != d->shown) {
        er_gauge_set(d->metrics.state[d->shown], 0);
        er_gauge_set(d->metrics.state[shown], 1);
        d->shown = shown;
    }
    bool is_stuck = er_cut_is_stuck(d);
    if (is_stuck && !w->is_stuck) {
        say_stuck(d);
    }
    w->is_stuck = is_stuck;
}
