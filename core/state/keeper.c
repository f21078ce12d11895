/* The keeper's thread.
 *
 * Concurrency: everything marked "locked" is under `lock`; the file is touched without it, so that
 * one that hangs holds up nobody. What was read is written before `phase` leaves OPENING and never
 * changes after. */
#include "base/log.h"
#include "state/state.h"
#include "state/store.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SOURCES_MAX      256
#define OPEN_WAIT_MS     10000 /* streams start without a store that takes longer */
#define LOCKED_AGAIN_MS  500
#define LOCKED_SAY_MS    10000
#define REOPEN_MS        10000
#define WATCHED_EVERY_US 30000000 /* watchedUntil alone is no reason to write more often */
#define POINT_MAX_BYTES  (64u << 10)

typedef enum phase {
    OPENING,
    LOCKED,   /* another router has it */
    OPEN,     /* read, and can be written */
    READONLY, /* read, and cannot be written for now */
    GIVEN_UP, /* not read */
} phase;

typedef struct found { /* an object in the file; owned */
    char *key, *value;
    size_t key_n, value_n;
} found;

typedef struct kept { /* one source */
    er_state_source source;
    bool is_read; /* found in the file: stored is what it said */
    er_point stored, written;
    bool was_written; /* written holds what the file has, by us */
    found *objects;   /* until the stream takes them */
    size_t objects_n, objects_cap;
    _Atomic er_time confirmed; /* when the file was last as it should be */
    er_gauge *age;
} kept;

struct er_state {
    const er_state_settings *settings;
    er_metrics *registry;
    kept *v;
    size_t n;
    er_thread thread;
    bool has_thread;
    er_store *store; /* the keeper's own */
    er_deadline reopen_at;
    unsigned char key[ER_STATE_KEY_BYTES];
    bool marks_moved; /* since the file itself was last brought up to date */
    bool is_lost;     /* there was a store, and its content is not known */

    er_mutex lock; /* below: locked */
    er_cond changed;
    phase phase;
    er_deadline patience; /* streams start without a store that is not open by then */
    bool stops, over;
    uint64_t wanted, done, good; /* rounds of writing; good: the last that wrote all there was */
    char trouble[512];           /* why it cannot be used; "" */

    struct {
        er_counter *writes, *errors, *voided;
        er_gauge *usable;
    } metrics;
};

/* ---- making ---- */

static void on_render(void *arg) {
    er_state *state = arg;
    for (size_t i = 0; i < state->n; i++) {
        er_time confirmed = atomic_load(&state->v[i].confirmed);
        double age = (double)(er_time_now() - confirmed) / 1e6;
        er_gauge_set(state->v[i].age, confirmed == ER_TIME_NONE ? (double)NAN : age);
    }
}

er_state *er_state_new(const er_state_settings *settings, er_metrics *metrics) {
    er_state *state = er_xcalloc(1, sizeof *state);
    state->settings = settings;
    state->registry = metrics;
    (void)!getentropy(state->key, sizeof state->key); /* until the store's is read */
    state->phase = er_state_is_kept(settings) ? OPENING : OPEN;
    er_mutex_init(&state->lock);
    er_cond_init(&state->changed);
    if (!er_state_is_kept(settings)) {
        return state;
    }
    state->metrics.writes = er_metrics_counter(metrics, "state_writes_total",
                                               "Writes of the store.", ER_LABELS("outcome", "ok"));
    state->metrics.errors = er_metrics_counter(
        metrics, "state_writes_total", "Writes of the store.", ER_LABELS("outcome", "error"));
    state->metrics.voided = er_metrics_counter(
        metrics, "state_voided_total", "Streams whose stored rows were damaged or missing.", NULL);
    state->metrics.usable =
        er_metrics_gauge(metrics, "state_usable", "1 while resume points can be stored.", NULL);
    er_metrics_on_render(metrics, on_render, state);
    return state;
}

void er_state_add(er_state *state, const er_state_source *source) {
    ER_ASSERT(state->n < SOURCES_MAX && !state->has_thread);
    kept *v = realloc(state->v, (state->n + 1) * sizeof *v);
    ER_ASSERT(v != NULL);
    state->v = v;
    kept *k = &state->v[state->n++];
    *k = (kept){.source = *source};
    atomic_init(&k->confirmed, ER_TIME_NONE);
    if (er_state_is_kept(state->settings)) {
        k->age = er_metrics_gauge(state->registry, "resume_point_age_seconds",
                                  "Since the stored resume point was last as it should be.",
                                  ER_LABELS("watch", source->name));
    }
}

static void drop_objects(kept *k) {
    for (size_t i = 0; i < k->objects_n; i++) {
        free(k->objects[i].key);
        free(k->objects[i].value);
    }
    free(k->objects);
    k->objects = NULL;
    k->objects_n = k->objects_cap = 0;
}

bool er_state_free(er_state *state) {
    if (state == NULL) {
        return true;
    }
    if (state->has_thread) {
        return false;
    }
    for (size_t i = 0; i < state->n; i++) {
        drop_objects(&state->v[i]);
    }
    er_cond_fini(&state->changed);
    er_mutex_fini(&state->lock);
    free(state->v);
    free(state);
    return true;
}

/* ---- opening ---- */

static void set_phase(er_state *state, phase next, const char *trouble) {
    er_lock(&state->lock);
    state->phase = next;
    size_t n = strlen(trouble);
    n = n < sizeof state->trouble ? n : sizeof state->trouble - 1;
    memcpy(state->trouble, trouble, n);
    state->trouble[n] = '\0';
    er_cond_broadcast(&state->changed);
    er_unlock(&state->lock);
    er_gauge_set(state->metrics.usable, next == OPEN ? 1 : 0);
}

static kept *find(er_state *state, er_str name) {
    for (size_t i = 0; i < state->n; i++) {
        if (er_str_eqc(name, state->v[i].source.name)) {
            return &state->v[i];
        }
    }
    return NULL;
}

static bool rows_of(er_str value, size_t *rows) {
    er_point point;
    return er_point_parse(value, &point, rows, NULL) == ER_OK;
}

static void keep_object(kept *k, const er_store_row *row) {
    if (k->objects_n == k->objects_cap) {
        size_t cap = k->objects_cap == 0 ? 64 : k->objects_cap * 2;
        found *v = realloc(k->objects, cap * sizeof *v);
        ER_ASSERT(v != NULL);
        k->objects = v;
        k->objects_cap = cap;
    }
    k->objects[k->objects_n++] = (found){.key = er_str_dup(row->key),
                                         .value = er_str_dup(row->value),
                                         .key_n = row->key.n,
                                         .value_n = row->value.n};
}

static void take_row(void *arg, const er_store_row *row) {
    kept *k = find(arg, row->stream);
    size_t rows;
    if (k != NULL && row->key.n > 0) {
        keep_object(k, row);
    } else if (k != NULL && er_point_parse(row->value, &k->stored, &rows, NULL) == ER_OK) {
        k->is_read = true;
        atomic_store(&k->confirmed, k->stored.written);
        k->written = k->stored;
        k->was_written = true;
    }
}

/* The rows that a file made now begins with: each stream's, saying why there is nothing yet. */
typedef struct seed {
    er_store_row *rows;
    er_buf values;
} seed;

static void seed_make(const er_state *state, const er_point *point, seed *out) {
    er_buf_init(&out->values, POINT_MAX_BYTES);
    er_point_json(point, 0, &out->values);
    out->rows = er_xcalloc(state->n + 1, sizeof *out->rows);
    for (size_t i = 0; i < state->n; i++) {
        out->rows[i] = (er_store_row){.stream = er_str_of(state->v[i].source.name),
                                      .value = er_buf_str(&out->values)};
    }
}

static void seed_fini(seed *s) {
    free(s->rows);
    er_buf_fini(&s->values);
}

/* anew: no file is the sign of a first start; later it is that of a loss. */
static er_store_outcome open_store(er_state *state, bool anew, er_err *err) {
    const er_point first = {
        .mark = ER_POINT_FIRST, .watched_until = ER_TIME_NONE, .written = er_time_now()};
    er_point lost = first;
    lost.mark = ER_POINT_LIST;
    memcpy(lost.gap_cause, "noState", sizeof "noState");
    seed fresh;
    seed replaced;
    seed_make(state, &first, &fresh);
    seed_make(state, &lost, &replaced);
    const er_store_seed seeds = {anew ? replaced.rows : fresh.rows, replaced.rows, state->n};
    state->marks_moved = true;
    er_store_outcome outcome = er_store_open(state->settings->path, &seeds, &state->store, err);
    seed_fini(&fresh);
    seed_fini(&replaced);
    return outcome;
}

/* False: the content could not be read after all. */
static bool read_store(er_state *state, er_err *err) {
    const er_store_reader reader = {.arg = state, .rows_of = rows_of, .row = take_row};
    size_t voided = 0;
    if (er_store_read(state->store, &reader, &voided, err) != ER_OK) {
        return false;
    }
    if (voided > 0) {
        er_counter_add(state->metrics.voided, voided);
        ER_LOG(ER_LOG_ERROR, "state", "stored rows were damaged, their streams start anew",
               ER_LS("path", state->settings->path), ER_LI("streams", voided));
    }
    return true;
}

static void say_outcome(const er_state *state, er_store_outcome outcome, const er_err *err) {
    const char *path = state->settings->path;
    if (outcome == ER_STORE_REPLACED) {
        ER_LOG(ER_LOG_ERROR, "state", "the state store was damaged, a new one was made",
               ER_LS("path", path), ER_LS("error", err->msg));
    } else if (outcome == ER_STORE_NEW || outcome == ER_STORE_SOUND) {
        ER_LOG(ER_LOG_INFO, "state", "the state store is open", ER_LS("path", path),
               ER_LS("store", outcome == ER_STORE_NEW ? "new" : "found"));
    } else {
        ER_LOG(ER_LOG_ERROR, "state",
               outcome == ER_STORE_READONLY
                   ? "the state store cannot be written, resume points stay as they are"
                   : "the state store cannot be used, everything is listed again",
               ER_LS("path", path), ER_LS("error", err->msg));
    }
}

/* What was opened, or not, is what streams start from. */
static void settle_open(er_state *state, er_store_outcome outcome, er_err *err) {
    state->is_lost = outcome == ER_STORE_FAILED;
    if (state->store != NULL) {
        memcpy(state->key, er_store_key(state->store), sizeof state->key);
    }
    if (state->store != NULL && !read_store(state, err)) {
        er_store_close(state->store);
        state->store = NULL;
        state->is_lost = true;
        outcome = ER_STORE_FAILED;
    }
    state->reopen_at = er_deadline_in(REOPEN_MS);
    bool is_trouble = outcome == ER_STORE_FAILED || outcome == ER_STORE_READONLY;
    phase next = outcome == ER_STORE_FAILED ? GIVEN_UP : is_trouble ? READONLY : OPEN;
    set_phase(state, next, is_trouble ? err->msg : "");
    say_outcome(state, outcome, err);
}

/* Rests before the next look at a store that another router has; true: we are to end. */
static bool rest_locked(er_state *state) {
    er_lock(&state->lock);
    if (!state->stops) {
        (void)er_cond_wait_until(&state->changed, &state->lock, er_deadline_in(LOCKED_AGAIN_MS));
    }
    bool ends = state->stops;
    er_unlock(&state->lock);
    return ends;
}

/* Waits for one that another router has; false: we are to end. */
static bool first_open(er_state *state) {
    int64_t said = INT64_MIN;
    do {
        er_err err = {0};
        er_lock(&state->lock); /* each look at it may hang, also the one that gets the lock */
        state->patience = er_deadline_in(OPEN_WAIT_MS);
        er_unlock(&state->lock);
        er_store_outcome outcome = open_store(state, false, &err);
        if (outcome != ER_STORE_LOCKED) {
            settle_open(state, outcome, &err);
            return true;
        }
        set_phase(state, LOCKED, err.msg);
        if (said == INT64_MIN || er_mono_ms() - said >= LOCKED_SAY_MS) {
            said = er_mono_ms();
            ER_LOG(ER_LOG_WARNING, "state", "waiting for a state store that another process has",
                   ER_LS("path", state->settings->path), ER_LS("error", err.msg));
        }
    } while (!rest_locked(state));
    return false;
}

/* What is remembered may hold hashes made with the key that we have. */
static bool keeps_key(er_state *state, er_err *err) {
    return memcmp(er_store_key(state->store), state->key, sizeof state->key) == 0 ||
           er_store_put_key(state->store, state->key, err) == ER_OK;
}

/* A disk that was full, a volume that came late: what we know is written as soon as it can be. The
 * file may be another one than before, a sound one too. */
static void reopen(er_state *state) {
    er_store_close(state->store);
    state->store = NULL;
    er_err err = {0};
    er_store_outcome outcome = open_store(state, true, &err);
    state->reopen_at = er_deadline_in(REOPEN_MS);
    if (outcome == ER_STORE_FAILED || outcome == ER_STORE_LOCKED || outcome == ER_STORE_READONLY) {
        return;
    }
    if (!keeps_key(state, &err)) {
        er_store_close(state->store);
        state->store = NULL;
        return;
    }
    for (size_t i = 0; i < state->n; i++) {
        kept *k = &state->v[i];
        k->was_written = false;
        k->source.anew(k->source.arg);
    }
    set_phase(state, OPEN, "");
    say_outcome(state, outcome, &err);
}

/* ---- writing ---- */

static bool is_due(const kept *k, const er_point *point, bool last) {
    if (!k->was_written || !er_point_eq(point, &k->written)) {
        return true;
    }
    if (point->watched_until == k->written.watched_until || point->watched_until == ER_TIME_NONE) {
        return false;
    }
    return last || k->written.watched_until == ER_TIME_NONE ||
           point->watched_until - k->written.watched_until >= WATCHED_EVERY_US;
}

/* What one stream has to be written, in one round. */
typedef struct entry {
    kept *k;
    er_point point;
    er_state_changes changes;
} entry;

static size_t collect(er_state *state, entry *entries, bool last) {
    size_t n = 0;
    for (size_t i = 0; i < state->n; i++) {
        kept *k = &state->v[i];
        entry *e = &entries[n];
        *e = (entry){.k = k};
        if (!k->source.collect(k->source.arg, &e->point, &e->changes)) {
            continue;
        }
        if (e->changes.n == 0 && !e->changes.clears && !is_due(k, &e->point, last)) {
            k->source.done(k->source.arg, &e->changes, true);
            atomic_store(&k->confirmed, er_time_now());
            continue;
        }
        e->point.written = er_time_now();
        n++;
    }
    return n;
}

/* The objects first: the point says how many there are. */
static er_status put_entry(er_state *state, const entry *e, er_err *err) {
    er_str stream = er_str_of(e->k->source.name);
    er_status status = e->changes.clears ? er_store_clear(state->store, stream, err) : ER_OK;
    for (size_t i = 0; i < e->changes.n && status == ER_OK; i++) {
        const er_state_change *change = &e->changes.v[i];
        status =
            er_store_put(state->store, &(er_store_row){stream, change->key, change->value}, err);
    }
    size_t rows = 0;
    if (status == ER_OK) {
        status = er_store_count(state->store, stream, &rows, err);
    }
    if (status == ER_OK) {
        er_buf value;
        er_buf_init(&value, POINT_MAX_BYTES);
        er_point_json(&e->point, rows, &value);
        status = er_store_put(state->store,
                              &(er_store_row){.stream = stream, .value = er_buf_str(&value)}, err);
        er_buf_fini(&value);
    }
    return status;
}

static er_status put_entries(er_state *state, const entry *entries, size_t n, er_err *err) {
    er_status status = er_store_begin(state->store, err);
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        status = put_entry(state, &entries[i], err);
    }
    er_status ended = er_store_end(state->store, status == ER_OK, err);
    return status == ER_OK ? ended : status;
}

/* A file without what is beside it may be older, which costs repeats; but it must not tell of a
 * first start that is over, nor hide that a list is due. */
static void settle_marks(er_state *state) {
    state->marks_moved = state->marks_moved && !er_store_checkpoint(state->store);
}

static void written(er_state *state, const entry *entries, size_t n) {
    for (size_t i = 0; i < n; i++) {
        kept *k = entries[i].k;
        state->marks_moved |= !k->was_written || k->written.mark != entries[i].point.mark;
        k->written = entries[i].point;
        k->was_written = true;
        atomic_store(&k->confirmed, k->written.written);
    }
    er_counter_inc(state->metrics.writes);
    if (state->phase != OPEN) { /* the keeper alone changes it */
        set_phase(state, OPEN, "");
        ER_LOG(ER_LOG_INFO, "state", "the state store can be written again",
               ER_LS("path", state->settings->path));
    }
}

static void not_written(er_state *state, const er_err *err) {
    er_counter_inc(state->metrics.errors);
    set_phase(state, READONLY, err->msg);
    ER_LOG(ER_LOG_ERROR, "state", "resume points cannot be stored", ER_LS("error", err->msg));
    if (err->code == ER_E_INVAL) { /* damaged while it was in use: a new one is made at once */
        er_store_close(state->store);
        state->store = NULL;
        state->reopen_at = er_deadline_in(0);
    }
}

/* One round; false: something was to be written and could not be. */
static bool write_round(er_state *state, bool last) {
    if (state->store == NULL || !er_store_is_writable(state->store)) {
        return false;
    }
    entry *entries = er_xcalloc(state->n + 1, sizeof *entries);
    er_err err = {0};
    bool good = true;
    size_t n = collect(state, entries, last);
    if (n > 0) {
        good = put_entries(state, entries, n, &err) == ER_OK;
        for (size_t i = 0; i < n; i++) {
            const er_state_source *source = &entries[i].k->source;
            source->done(source->arg, &entries[i].changes, good);
        }
        if (good) {
            written(state, entries, n);
        } else {
            not_written(state, &err);
        }
    }
    if (good) {
        settle_marks(state);
    }
    free(entries);
    return good;
}

/* ---- the thread ---- */

/* Until the next round is due: the interval, or somebody wants one now. True: we are to end. */
static bool rest(er_state *state) {
    er_deadline until = er_deadline_in(state->settings->interval_ms);
    er_lock(&state->lock);
    bool in_time = true;
    while (!state->stops && state->wanted == state->done && in_time) {
        in_time = er_cond_wait_until(&state->changed, &state->lock, until);
    }
    bool ends = state->stops;
    er_unlock(&state->lock);
    return ends;
}

static void *run(void *arg) {
    er_state *state = arg;
    bool opened = first_open(state);
    bool ends = !opened;
    while (opened && !ends) {
        er_lock(&state->lock);
        uint64_t round = state->wanted;
        er_unlock(&state->lock);
        bool is_usable = state->store != NULL && er_store_is_writable(state->store);
        if (!is_usable && er_deadline_passed(state->reopen_at)) {
            reopen(state);
        }
        bool good = write_round(state, false);
        er_lock(&state->lock);
        state->done = round;
        state->good = good ? round : state->good;
        er_cond_broadcast(&state->changed);
        er_unlock(&state->lock);
        ends = rest(state);
    }
    if (opened) {
        (void)write_round(state, true);
    }
    er_store_close(state->store);
    state->store = NULL;
    er_lock(&state->lock);
    state->over = true;
    er_cond_broadcast(&state->changed);
    er_unlock(&state->lock);
    return NULL;
}

er_status er_state_start(er_state *state, er_err *err) {
    if (!er_state_is_kept(state->settings)) {
        return ER_OK;
    }
    state->patience = er_deadline_in(OPEN_WAIT_MS);
    er_status status = er_thread_start(&state->thread, "state", run, state, err);
    state->has_thread = status == ER_OK;
    return status;
}

/* ---- for streams ---- */

static bool is_awaited_locked(const er_state *state) {
    return (state->phase == LOCKED || state->phase == OPENING) &&
           !er_deadline_passed(state->patience);
}

bool er_state_wait(er_state *state, er_cancel *cancel, er_heart *heart) {
    er_lock(&state->lock);
    while (is_awaited_locked(state)) {
        if (er_cancel_is_set(cancel)) {
            break;
        }
        er_heart_beat(heart);
        (void)er_cond_wait_until(&state->changed, &state->lock, er_deadline_in(200));
    }
    er_unlock(&state->lock);
    return !er_cancel_is_set(cancel);
}

er_stored er_state_get(er_state *state, const char *name, er_point *out) {
    if (!er_state_is_kept(state->settings)) {
        return ER_STORED_NOTHING;
    }
    er_lock(&state->lock);
    bool is_known = state->phase == OPEN || state->phase == READONLY;
    er_unlock(&state->lock);
    const kept *k = is_known && !state->is_lost ? find(state, er_str_of(name)) : NULL;
    if (k == NULL || !k->is_read) {
        return ER_STORED_LOST;
    }
    *out = k->stored;
    return k->stored.mark == ER_POINT_FIRST ? ER_STORED_NOTHING : ER_STORED_POINT;
}

void er_state_objects(er_state *state, const char *name,
                      void (*object)(void *arg, er_str key, er_str value), void *arg) {
    kept *k = find(state, er_str_of(name));
    for (size_t i = 0; k != NULL && object != NULL && i < k->objects_n; i++) {
        const found *f = &k->objects[i];
        object(arg, (er_str){f->key, f->key_n}, (er_str){f->value, f->value_n});
    }
    if (k != NULL) {
        drop_objects(k);
    }
}

bool er_state_is_keeping(const er_state *state) {
    return er_state_is_kept(state->settings);
}

er_str er_state_key(const er_state *state) {
    return (er_str){(const char *)state->key, sizeof state->key};
}

bool er_state_write_now(er_state *state, er_deadline until) {
    if (!state->has_thread) {
        return true;
    }
    er_lock(&state->lock);
    uint64_t round = ++state->wanted;
    er_cond_broadcast(&state->changed);
    bool in_time = true;
    while (state->done < round && !state->over && in_time) {
        in_time = er_cond_wait_until(&state->changed, &state->lock, until);
    }
    bool good = state->good >= round;
    er_unlock(&state->lock);
    return good;
}

bool er_state_ready(void *arg, er_buf *text) {
    er_state *state = arg;
    static const char *const words[] = {"not opened yet", "waiting, another process has it", "open",
                                        "cannot be written, resume points stay as they are",
                                        "cannot be used, resume points are not kept"};
    er_lock(&state->lock);
    bool kept_at_all = er_state_is_kept(state->settings);
    er_buf_puts(text, kept_at_all ? words[state->phase] : "none is configured");
    if (state->trouble[0] != '\0') {
        er_buf_putf(text, ": %s", state->trouble);
    }
    bool ready = !is_awaited_locked(state);
    er_unlock(&state->lock);
    return ready;
}

void er_state_stop(er_state *state, int64_t limit_ms) {
    if (!state->has_thread) {
        return;
    }
    er_deadline until = er_deadline_in(limit_ms);
    er_lock(&state->lock);
    state->stops = true;
    er_cond_broadcast(&state->changed);
    bool in_time = true;
    while (!state->over && in_time) {
        in_time = er_cond_wait_until(&state->changed, &state->lock, until);
    }
    bool over = state->over;
    er_unlock(&state->lock);
    if (over) {
        er_thread_join(state->thread);
        state->has_thread = false;
    } else {
        ER_LOG(ER_LOG_ERROR, "state", "the state store hangs, it is left behind",
               ER_LS("path", state->settings->path));
    }
}
