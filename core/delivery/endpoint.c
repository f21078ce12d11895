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
    for (int i = 0; i < 3; i++) {
        er_gauge_set(d->metrics.state[i], (er_endpoint)i == state ? 1 : 0);
    }
    if (d->state == ER_ENDPOINT_OK) {
        d->away_ns = er_mono_ns();
    }
    d->state = state;
}

void er_endpoint_works(er_delivery *d) {
    er_worker *w = &d->worker;
    er_backoff_reset(&w->backoff);
    er_endpoint before = d->state;
    /* Some of what it is asked for it still refuses. */
    er_endpoint state = w->aside.targets_n > 0 ? ER_ENDPOINT_DENIED : ER_ENDPOINT_OK;
    if (before == state) {
        return;
    }
    w->not_before = er_deadline_in(0); /* kept items got through: no need to wait */
    set_state(d, state);
    d->said_ns = 0;
    if (before != ER_ENDPOINT_OK) {
        ER_LOG(ER_LOG_INFO, "delivery", "the sink works again", ER_LS("sink", d->name),
               ER_LI("awayMs", ms_since(d->away_ns)), ER_LI("setAside", w->aside.n));
    }
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
    /* The target first: the log limits lines that are alike up to there. */
    ER_LOG(ER_LOG_WARNING, "delivery",
           target->said_ns == 0
               ? "the sink refuses a target, its records are set aside and tried slowly"
               : "the sink still refuses a target, its records are set aside",
           ER_LS("target", target->name), ER_LS("sink", d->name), ER_LS("error", why),
           ER_LI("awayMs", ms_since(target->since_ns)), ER_LI("setAside", target->n));
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
