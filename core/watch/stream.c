/* One stream: the loop of watch.h.
 *
 * Concurrency: everything runs on the stream's thread. Other threads read `stage`, `answered` and
 * `ended` (atomics), the tracker (its own lock), and set the cancel token. */
#include "base/log.h"
#include "watch/identity.h"
#include "watch/stream_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHORT_LIFE_MS      1000 /* a watch that ends sooner without a frame was refused, in effect */
#define ERRORS_TO_LIST     3
#define FORBIDDEN_FIRST_MS 100 /* a restarting API server forbids for a moment */
#define CONNECT_MS         10000
#define REQUEST_MS         60000 /* the server's own limit for a list */
#define HEADER_MS          60000 /* a busy server may take this long to begin a watch */

bool er_stream_stopping(const er_stream *s) {
    return er_cancel_is_set(&s->cancel);
}

bool er_stream_pause(er_stream *s, int64_t wait_ms) {
    if (wait_ms <= 0) {
        return !er_stream_stopping(s);
    }
    int stage = atomic_exchange(&s->stage, ER_STAGE_BACKOFF);
    er_deadline until = er_deadline_in(wait_ms);
    while (!er_deadline_passed(until) && !er_stream_stopping(s)) {
        er_heart_beat(s->heart);
        (void)er_cancel_sleep(&s->cancel,
                              er_deadline_min(until, er_deadline_in(ER_HEART_PERIOD_MS / 2)));
    }
    atomic_store(&s->stage, stage);
    return !er_stream_stopping(s);
}

static int64_t wait_of(er_stream *s, const er_kube_answer *answer) {
    if (answer->outcome == ER_KUBE_UNAUTHORIZED) {
        er_kube_client_refresh(s->client);
        if (s->unauthorized_in_row++ == 0) {
            return 0;
        }
    }
    if (answer->outcome == ER_KUBE_FORBIDDEN && s->forbidden_in_row++ == 0) {
        int64_t soon = s->options.settings->backoff.initial_ms;
        return soon < FORBIDDEN_FIRST_MS ? soon : FORBIDDEN_FIRST_MS;
    }
    return er_backoff_next(&s->backoff, answer->retry_after_ms);
}

int64_t er_stream_failed(er_stream *s, const char *what, const er_kube_answer *answer) {
    int64_t wait = wait_of(s, answer);
    ER_LOG(ER_LOG_WARNING, "watch", what, ER_LS("watch", s->name), ER_LI("status", answer->status),
           ER_LS("reason", answer->reason), ER_LS("error", answer->message),
           ER_LI("retryInMs", wait));
    return wait;
}

void er_stream_worked(er_stream *s) {
    s->unauthorized_in_row = 0;
    s->forbidden_in_row = 0;
}

/* The stream moved on, or lived: the server is well. */
static void all_is_well(er_stream *s) {
    er_stream_worked(s);
    er_backoff_reset(&s->backoff);
    s->gone_in_row = 0;
    s->errors_in_row = 0;
}

static void list_next(er_stream *s, er_list_cause cause) {
    s->next = ER_NEXT_LIST;
    s->list_cause = cause;
}

void er_stream_heard(er_stream *s) {
    er_gauge_set(s->metrics.last_activity, (double)er_time_now() / 1e6);
}

/* ---- the probe ---- */

static void probe(er_stream *s) {
    er_kube_query all = {.path = s->path};
    er_kube_page page;
    er_kube_page_init(&page);
    er_kube_answer answer = {0};
    er_kube_outcome outcome = er_kube_list(s->client, &all, 1, NULL, &page, &answer);
    if (outcome == ER_KUBE_OK) {
        /* Not er_stream_worked: who may list may still be refused the watch, again and again. */
        atomic_store(&s->answered, true);
        er_stream_heard(s); /* a quiet watch of Events says nothing itself */
        if (er_version_cmp(er_str_of(page.version), er_tracker_last(s->tracker)) < 0) {
            ER_LOG(ER_LOG_ERROR, "watch", "the API server's store went back to an older version",
                   ER_LS("watch", s->name), ER_LT("lastVersion", er_tracker_last(s->tracker)),
                   ER_LS("version", page.version));
            list_next(s, ER_LIST_REWOUND);
        } else {
            s->next = ER_NEXT_WATCH;
        }
    } else if (outcome != ER_KUBE_CANCELLED) {
        (void)er_stream_pause(s, er_stream_failed(s, "cannot probe the API server", &answer));
    }
    er_kube_page_fini(&page);
    er_kube_answer_fini(&answer);
}

/* ---- the watch ---- */

static void on_connected(void *arg) {
    er_stream *s = arg;
    er_gauge_set(s->metrics.connected, 1);
    er_stream_heard(s);
    er_stream_worked(s);
}

static bool on_frame(void *arg, char *line, size_t n) {
    er_stream *s = arg;
    return er_stream_frame(s, line, n);
}

static void on_read(void *arg) {
    er_stream *s = arg;
    er_flow_wake(s->options.flow);
    er_stream_heard(s);
    er_heart_beat(s->heart);
}

static void on_oversized(void *arg, size_t bytes) {
    er_stream *s = arg;
    char text[64];
    (void)snprintf(text, sizeof text, "a frame of %zu bytes", bytes);
    er_stream_served(s);
    er_stream_skipped(s, NULL, "oversized", text);
}

/* Nothing was readable. That may be because all has come, or because the server has not begun (its
 * 200 comes before it looks whether it still has the version), or because the connection is dead:
 * what follows tells which. */
static void on_waiting(void *arg) {
    er_stream *s = arg;
    s->waited_at = er_time_now();
    er_heart_beat(s->heart);
}

static void complete_when_waited(er_stream *s) {
    if (s->waited_at != ER_TIME_NONE && s->waited_at != s->complete_until) {
        er_stream_complete(s, s->waited_at);
    }
}

/* In a watch's first moments a frame may be the first of a backlog. */
void er_stream_served(er_stream *s) {
    if (s->waited_at != ER_TIME_NONE && s->waited_at - s->watch_began >= SHORT_LIFE_MS * 1000) {
        complete_when_waited(s);
    }
}

static int draw_timeout(const er_stream *s) {
    int64_t ms = s->options.settings->timeout_ms;
    ms -= (int64_t)er_random((uint64_t)ms / 4 + 1);
    return ms < 1000 ? 1 : (int)(ms / 1000); /* not up: it must stay below idleTimeout */
}

static void expired(er_stream *s, bool has_moved) {
    er_counter_inc(s->metrics.restarts[ER_RESTART_EXPIRED]);
    if (has_moved) {
        all_is_well(s);
    }
    if (s->gone_in_row++ > 0) {
        int64_t wait = er_backoff_next(&s->backoff, 0);
        ER_LOG(ER_LOG_WARNING, "watch", "the version is too old again, the list waits",
               ER_LS("watch", s->name), ER_LI("retryInMs", wait));
        (void)er_stream_pause(s, wait);
    }
    list_next(s, ER_LIST_EXPIRED);
}

/* An ERROR frame other than 410. One cause of 500, a compacted previous value, cannot be cured by
 * watching again. */
static void error_ended(er_stream *s) {
    er_counter_inc(s->metrics.restarts[ER_RESTART_HTTP]);
    bool internal = s->error_frame.status == 500;
    s->errors_in_row = internal ? s->errors_in_row + 1 : 0;
    (void)er_stream_pause(s, er_stream_failed(s, "the watch ended with an error", &s->error_frame));
    s->next = ER_NEXT_PROBE;
    if (s->errors_in_row >= ERRORS_TO_LIST) {
        s->errors_in_row = 0;
        list_next(s, ER_LIST_ERRORS);
    }
}

static void ended_clean(er_stream *s, int64_t lived_ms, bool has_moved) {
    er_counter_inc(s->metrics.restarts[ER_RESTART_END]);
    bool has_lived = lived_ms >= SHORT_LIFE_MS;
    if (has_lived) {
        complete_when_waited(s);
    }
    s->next = has_moved ? ER_NEXT_WATCH : ER_NEXT_PROBE;
    if (has_moved || has_lived) {
        all_is_well(s);
        return;
    }
    int64_t wait = er_backoff_next(&s->backoff, 0);
    ER_LOG(ER_LOG_WARNING, "watch", "the watch ended at once", ER_LS("watch", s->name),
           ER_LI("livedMs", lived_ms), ER_LI("retryInMs", wait));
    (void)er_stream_pause(s, wait);
}

static void ended_badly(er_stream *s, const er_kube_answer *answer, int64_t lived_ms,
                        bool has_moved) {
    bool is_network = answer->outcome == ER_KUBE_TRANSPORT;
    er_counter_inc(s->metrics.restarts[is_network ? ER_RESTART_NETWORK : ER_RESTART_HTTP]);
    if (is_network && lived_ms >= SHORT_LIFE_MS) {
        complete_when_waited(s); /* it was alive to tell its end */
    }
    if (has_moved) {
        er_backoff_reset(&s->backoff);
        s->gone_in_row = 0;
    }
    s->next = ER_NEXT_PROBE;
    (void)er_stream_pause(s, er_stream_failed(s, "the watch failed", answer));
}

/* has_moved: it brought a newer version. Frames that do not, such as a proxy's page or repeats, are
 * no sign that things go well. */
static void watch_ended(er_stream *s, er_kube_outcome outcome, const er_kube_answer *answer,
                        int64_t lived_ms, bool has_moved) {
    if (outcome == ER_KUBE_STOPPED && s->error_frame.outcome == ER_KUBE_GONE) {
        expired(s, has_moved);
    } else if (outcome == ER_KUBE_STOPPED && s->error_frame.outcome != ER_KUBE_OK) {
        error_ended(s);
    } else if (outcome == ER_KUBE_GONE) {
        expired(s, has_moved);
    } else if (outcome == ER_KUBE_OK) {
        ended_clean(s, lived_ms, has_moved);
    } else if (outcome == ER_KUBE_IDLE) {
        er_counter_inc(s->metrics.restarts[ER_RESTART_IDLE]);
        ER_LOG(ER_LOG_WARNING, "watch", "the watch fell silent, its connection is given up",
               ER_LS("watch", s->name),
               ER_LI("idleTimeoutMs", s->options.settings->idle_timeout_ms));
        s->next = ER_NEXT_PROBE;
    } else if (outcome != ER_KUBE_CANCELLED && outcome != ER_KUBE_STOPPED) {
        ended_badly(s, answer, lived_ms, has_moved);
    }
}

static void watch(er_stream *s) {
    char version[ER_VERSION_MAX];
    er_str last = er_tracker_last(s->tracker);
    memcpy(version, last.p, last.n + 1);
    const er_kube_watch_handler handler = {
        .arg = s,
        .connected = on_connected,
        .frame = on_frame,
        .oversized = on_oversized,
        .read = on_read,
        .waiting = on_waiting,
    };
    s->watch_began = er_time_now();
    s->waited_at = ER_TIME_NONE;
    s->error_frame = (er_kube_answer){0};
    er_kube_answer answer = {0};
    int64_t began = er_mono_ms();
    atomic_store(&s->stage, ER_STAGE_WATCHING);
    er_kube_outcome outcome =
        er_kube_watch(s->client, &s->query, version, draw_timeout(s), &handler, &answer);
    er_gauge_set(s->metrics.connected, 0);
    atomic_store(&s->stage, ER_STAGE_CONNECTING);
    if (!s->gives_up && !er_stream_stopping(s)) {
        bool has_moved = er_version_cmp(er_tracker_last(s->tracker), er_str_of(version)) > 0;
        watch_ended(s, outcome, &answer, er_mono_ms() - began, has_moved);
    }
    er_kube_answer_fini(&answer);
}

/* ---- the loop ---- */

static bool identify(er_stream *s) {
    while (!er_stream_stopping(s)) {
        er_kube_answer answer = {0};
        er_kube_outcome outcome = er_identity_find(s->options.identity, s->client, s->path,
                                                   &s->cancel, s->heart, &answer);
        if (outcome == ER_KUBE_OK) {
            er_stream_worked(s);
            er_backoff_reset(&s->backoff);
            er_kube_answer_fini(&answer);
            return er_identity_get(s->options.identity, &s->cluster, &s->cluster_id);
        }
        if (outcome != ER_KUBE_CANCELLED) {
            (void)er_stream_pause(s, er_stream_failed(s, "cannot reach the API server", &answer));
        }
        er_kube_answer_fini(&answer);
    }
    return false;
}

static void step(er_stream *s) {
    er_heart_beat(s->heart);
    switch (s->next) {
    case ER_NEXT_LIST:
        if (er_stream_list(s)) {
            s->next = ER_NEXT_WATCH;
        }
        break;
    case ER_NEXT_PROBE:
        probe(s);
        break;
    case ER_NEXT_WATCH:
        watch(s);
        break;
    }
}

static void *run(void *arg) {
    er_stream *s = arg;
    if (er_state_wait(s->options.state, &s->cancel, s->heart) && identify(s)) {
        er_stream_begin(s);
        while (!er_stream_stopping(s) && !s->gives_up) {
            step(s);
        }
    }
    er_heart_end(s->heart);
    atomic_store(&s->ended, true);
    return NULL;
}

/* ---- life ---- */

static void make_names(er_stream *s, const char *namespace_) {
    er_buf name;
    er_buf path;
    er_buf_init(&name, 512);
    er_buf_init(&path, 512);
    er_buf_puts(&name, s->options.resource->name);
    er_buf_puts(&path, s->options.resource->api);
    if (namespace_ != NULL) {
        er_buf_putf(&name, "/%s", namespace_);
        er_buf_putf(&path, "/namespaces/%s", namespace_);
    }
    er_buf_putf(&path, "/%s", s->options.resource->name);
    s->name = er_buf_take(&name, NULL);
    s->path = er_buf_take(&path, NULL);
    ER_ASSERT(s->name != NULL && s->path != NULL); /* names were checked at load */
}

er_status er_stream_new(const er_stream_options *options, er_stream **out, er_err *err) {
    er_stream *s = er_xcalloc(1, sizeof *s);
    const er_watch_settings *settings = options->settings;
    s->options = *options;
    make_names(s, options->namespace_);
    bool is_events = options->resource->look == NULL;
    s->query = (er_kube_query){.path = s->path,
                               .field_selector = is_events ? settings->events.field_selector : "",
                               .label_selector = options->label_selector};
    const char *labels = options->label_selector == NULL ? "" : options->label_selector;
    s->selector = is_events ? settings->events.field_selector : labels;
    s->tracker = er_tracker_new();
    s->totals = is_events ? er_totals_new() : NULL;
    er_json_doc_init(&s->doc);
    s->scratch = er_pattern_scratch_new();
    s->blocked = er_xcalloc(options->deliveries_n + 1, sizeof *s->blocked);
    s->complete_until = ER_TIME_NONE;
    er_backoff_init(&s->backoff, settings->backoff.initial_ms, settings->backoff.max_ms);
    atomic_init(&s->answered, false);
    atomic_init(&s->ended, false);
    atomic_init(&s->stage, ER_STAGE_CONNECTING);
    er_mutex_init(&s->point_lock);
    s->heart = er_heart_new(options->hearts, s->name);
    s->cancel.fd = -1;
    er_status status = er_cancel_init(&s->cancel, err);
    if (status == ER_OK) {
        er_kube_timeouts timeouts = {.connect_ms = CONNECT_MS,
                                     .request_ms = REQUEST_MS,
                                     .header_ms = HEADER_MS,
                                     .idle_ms = settings->idle_timeout_ms};
        /* A peer silent for idleTimeout is dead, also when it is asked something. */
        timeouts.connect_ms =
            timeouts.connect_ms < timeouts.idle_ms ? timeouts.connect_ms : timeouts.idle_ms;
        timeouts.header_ms =
            timeouts.header_ms < timeouts.idle_ms ? timeouts.header_ms : timeouts.idle_ms;
        status =
            er_kube_client_new(options->kube, &timeouts, &s->cancel, s->heart, &s->client, err);
    }
    if (status != ER_OK) {
        er_stream_free(s);
        return status;
    }
    er_stream_make_metrics(s);
    s->emitter = (er_emitter){.flow = options->flow,
                              .watch = s->name,
                              .scratch = s->scratch,
                              .heart = s->heart,
                              .blocked = s->blocked};
    *out = s;
    return ER_OK;
}

er_status er_stream_start(er_stream *s, er_err *err) {
    er_status status = er_thread_start(&s->thread, s->name, run, s, err);
    s->has_thread = status == ER_OK;
    return status;
}

void er_stream_stop(er_stream *s) {
    er_cancel_set(&s->cancel);
}

bool er_stream_has_ended(er_stream *s) {
    return !s->has_thread || atomic_load(&s->ended);
}

void er_stream_join(er_stream *s) {
    if (s->has_thread) {
        er_thread_join(s->thread);
        s->has_thread = false;
    }
}

void er_stream_free(er_stream *s) {
    if (s == NULL) {
        return;
    }
    er_kube_client_free(s->client);
    er_tracker_free(s->tracker);
    er_totals_free(s->totals);
    if (s->made != NULL) {
        s->options.resource->free(s->made);
    }
    er_blobs_fini(&s->memory);
    er_blobs_fini(&s->taken);
    er_json_doc_fini(&s->doc);
    er_pattern_scratch_free(s->scratch);
    er_cancel_fini(&s->cancel);
    er_mutex_fini(&s->point_lock);
    free(s->blocked);
    free(s->name);
    free(s->path);
    free(s);
}

const char *er_stream_name(const er_stream *s) {
    return s->name;
}

bool er_stream_ready(void *stream, er_buf *text) {
    er_stream *s = stream;
    static const char *const stages[] = {"connecting", "listing", "watching",
                                         "waiting before the next attempt"};
    bool answered = atomic_load(&s->answered);
    er_buf_puts(text,
                answered ? stages[atomic_load(&s->stage)] : "the API server has not answered yet");
    char version[ER_VERSION_MAX];
    (void)er_tracker_resume(s->tracker, version);
    er_time oldest = er_tracker_oldest(s->tracker);
    er_buf_putf(text, ", resume point %s", version[0] == '\0' ? "none yet" : version);
    if (oldest == ER_TIME_NONE) {
        er_buf_puts(text, ", everything is settled");
    } else {
        size_t open = er_tracker_open_slots(s->tracker);
        er_buf_putf(text, ", %zu %s not settled, the oldest for %lld s", open,
                    open == 1 ? "frame is" : "frames are",
                    (long long)((er_time_now() - oldest) / 1000000));
    }
    return answered;
}
