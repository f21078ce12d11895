/* A list: read page by page, emitted item by item.
 *
 * While it runs, a slot holds the resume point. When its continue token expires it must start
 * again; the hashes of what it has had already make each attempt gain ground. */
#include "base/log.h"
#include "watch/stream_priv.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_LIMIT 500

/* A set of 64-bit hashes, open addressing; 0 stands for free. */
typedef struct hash_set {
    uint64_t *v;
    size_t n, cap;
} hash_set;

static bool set_place(uint64_t *v, size_t cap, uint64_t hash) {
    size_t at = hash % cap;
    while (v[at] != 0 && v[at] != hash) {
        at = (at + 1) % cap;
    }
    bool is_new = v[at] == 0;
    v[at] = hash;
    return is_new;
}

static void set_grow(hash_set *set) {
    size_t cap = set->cap == 0 ? 1024 : set->cap * 2;
    uint64_t *v = er_xcalloc(cap, sizeof *v);
    for (size_t i = 0; i < set->cap; i++) {
        if (set->v[i] != 0) {
            (void)set_place(v, cap, set->v[i]);
        }
    }
    free(set->v);
    set->v = v;
    set->cap = cap;
}

/* False: it was there already. */
static bool set_add(hash_set *set, uint64_t hash) {
    if (set->n * 2 >= set->cap) {
        set_grow(set);
    }
    bool is_new = set_place(set->v, set->cap, hash == 0 ? 1 : hash);
    set->n += is_new;
    return is_new;
}

typedef struct list_run {
    er_stream *s;
    er_slot *slot;
    hash_set seen;                 /* (uid, version) pairs that this list has had */
    er_blobs present;              /* uids of this attempt; of what is remembered only */
    char from[ER_VERSION_MAX];     /* the last version received before the list */
    char gap_from[ER_VERSION_MAX]; /* the same; of a list that was due at the start, as stored */
    er_time from_time;             /* known complete up to here */
    bool was_complete;             /* and that was just now */
    char first_version[ER_VERSION_MAX]; /* of the first attempt */
    char version[ER_VERSION_MAX];       /* of the newest page */
    er_time attempt_time; /* when the newest attempt began: the list is the state of then */
    bool is_rewound, is_incomplete;
    size_t queued;    /* records, by the whole list */
    size_t new_since; /* items that this list had not had before, since the last 410 */
    int limit;
    char *cont;
} list_run;

/* ---- items ---- */

static bool is_wanted(const list_run *run, er_str version) {
    er_list_cause cause = run->s->list_cause;
    if (cause == ER_LIST_START || cause == ER_LIST_NO_STATE || run->is_rewound) {
        return true;
    }
    /* The version of a listed item equals the one its frame carried: what is not newer than the
     * last version received was emitted when it came. */
    return er_version_cmp(version, er_str_of(run->from)) > 0;
}

/* A list that stands for frames we did not get is compared with what is remembered; one of a store
 * that knows nothing, or that went back, is where remembering begins. */
static bool compares(const list_run *run) {
    er_list_cause cause = run->s->list_cause;
    return cause == ER_LIST_EXPIRED || cause == ER_LIST_ERRORS;
}

static er_status list_object(list_run *run, er_str uid, er_str version, er_err *err) {
    er_stream *s = run->s;
    er_sight sight = compares(run) ? ER_SIGHT_LISTED : ER_SIGHT_BASELINE;
    s->looked_records = 0;
    er_status status = er_stream_look(s, sight, s->doc.root, uid, run->slot, version, err);
    run->queued += s->looked_records;
    return status;
}

static er_status list_event(list_run *run, er_err *err) {
    er_stream *s = run->s;
    bool recovered = s->list_cause != ER_LIST_START;
    er_status status = er_stream_emit_event(s, s->doc.root, run->slot, false, recovered, err);
    run->queued += status == ER_OK;
    return status;
}

/* text: within the page's buffer, which is ours to change (see er_json_parse). */
static void list_item(list_run *run, char *text, size_t n) {
    er_stream *s = run->s;
    er_err err;
    er_counter_inc(s->metrics.list_items);
    if (!s->options.resource->has_authors) {
        n = er_json_drop_array(text, n, "managedFields");
    }
    if (er_json_parse(&s->doc, text, n, &err) != ER_OK) {
        er_stream_skipped(s, run->slot, "undecodable", err.msg);
        return;
    }
    const er_json *meta = er_json_get(s->doc.root, "metadata");
    er_str uid = er_json_get_str(meta, "uid");
    er_str version = er_json_get_str(meta, "resourceVersion");
    if (!er_version_valid(version) || uid.n == 0) {
        er_stream_skipped(s, run->slot, "undecodable", "no usable uid or resourceVersion");
        return;
    }
    bool is_object = s->options.resource->look != NULL;
    if (is_object) {
        er_blobs_put(&run->present, er_blob_new(uid, (er_str){0}));
    }
    uint64_t hash = er_hash(er_hash(ER_HASH_SEED, uid.p, uid.n), version.p, version.n);
    if ((!is_object && !is_wanted(run, version)) || !set_add(&run->seen, hash)) {
        return;
    }
    er_status status = is_object ? list_object(run, uid, version, &err) : list_event(run, &err);
    if (status != ER_OK) {
        er_stream_skipped(s, run->slot, "undecodable", err.msg);
        return;
    }
    run->new_since++;
}

/* ---- pages ---- */

/* A list below the last version: the store was rewound, whatever we came for. */
static void look_for_rewind(list_run *run, er_str version) {
    er_stream *s = run->s;
    if (run->is_rewound || run->from[0] == '\0' ||
        er_version_cmp(version, er_str_of(run->from)) >= 0) {
        return;
    }
    run->is_rewound = true;
    s->list_cause = ER_LIST_REWOUND;
}

/* Once it is known that versions start anew, nothing opened before may hold the resume point. */
static void forget_old_versions(list_run *run) {
    er_stream *s = run->s;
    if (run->is_rewound && !er_str_eqc(er_tracker_last(s->tracker), "0")) {
        er_slot_give_back(run->slot);
        er_stream_mark_rewound(s);
        run->slot = er_tracker_open(s->tracker, (er_str){0});
        s->last_uid = 0;
    }
}

/* With startFrom: now, the first list is only asked for its version. */
static bool emits_items(const er_stream *s) {
    return s->options.resource->look != NULL || s->list_cause != ER_LIST_START ||
           s->options.settings->events.start_from == ER_START_BEGINNING;
}

static void take_page(list_run *run, const er_kube_page *page) {
    er_stream *s = run->s;
    look_for_rewind(run, er_str_of(page->version));
    forget_old_versions(run);
    if (run->cont == NULL) { /* the first page of an attempt */
        er_blobs_fini(&run->present);
    }
    if (run->first_version[0] == '\0') {
        memcpy(run->first_version, page->version, ER_VERSION_MAX);
    }
    memcpy(run->version, page->version, ER_VERSION_MAX);
    bool emits = emits_items(s);
    for (size_t i = 0; i < page->n && emits && !s->gives_up && !er_stream_stopping(s); i++) {
        list_item(run, page->body.p + (page->items[i].p - page->body.p), page->items[i].n);
        er_heart_beat(s->heart);
    }
    er_flow_wake(s->options.flow);
    free(run->cont);
    run->cont = page->cont == NULL || !emits ? NULL : er_dup(page->cont);
}

/* The token has expired. An attempt that queued something new starts again; one that did not goes
 * on with the server's inconsistent token, so that the list comes to an end. Returns the wait. */
static int64_t token_expired(list_run *run, er_kube_answer *answer) {
    er_stream *s = run->s;
    er_counter_inc(s->metrics.lists_failed);
    run->is_incomplete = true;
    int64_t wait = run->new_since > 0 ? 0 : er_backoff_next(&s->backoff, 0);
    free(run->cont);
    run->cont = NULL;
    if (run->new_since == 0) {
        run->cont = answer->cont;
        answer->cont = NULL;
    }
    run->new_since = 0;
    ER_LOG(ER_LOG_INFO, "watch", "a list's continue token expired, the list goes on",
           ER_LS("watch", s->name), ER_LI("queued", run->queued),
           ER_LS("with", run->cont == NULL ? "a new attempt" : "the inconsistent token"));
    return wait;
}

/* What to do after a page that did not come; the wait before the next request. */
static int64_t page_failed(list_run *run, er_kube_answer *answer) {
    er_stream *s = run->s;
    if (answer->outcome == ER_KUBE_GONE && run->cont != NULL) {
        return token_expired(run, answer);
    }
    bool is_slow = answer->status == 504; /* the server's own limit for a list */
    if ((answer->outcome == ER_KUBE_TOO_LARGE || is_slow) && run->limit > 1) {
        run->limit /= 2;
        if (!is_slow) {
            return 0;
        }
    }
    er_counter_inc(s->metrics.lists_failed);
    if (answer->outcome == ER_KUBE_REFUSED && run->cont != NULL) {
        /* 400: the server does not know its own token any more. */
        free(run->cont);
        run->cont = NULL;
        run->is_incomplete = true;
    }
    return er_stream_failed(s, "cannot list", answer);
}

/* Reads pages until the last one; false when cancelled. */
static bool read_pages(list_run *run) {
    er_stream *s = run->s;
    er_kube_page page;
    er_kube_page_init(&page);
    bool is_over = false;
    while (!is_over && !er_stream_stopping(s) && !s->gives_up) {
        er_kube_answer answer = {0};
        if (run->cont == NULL) {
            run->attempt_time = er_time_now();
        }
        er_kube_outcome outcome =
            er_kube_list(s->client, &s->query, run->limit, run->cont, &page, &answer);
        if (outcome == ER_KUBE_OK) {
            er_stream_worked(s);
            atomic_store(&s->answered, true);
            er_stream_heard(s);
            take_page(run, &page);
            is_over = run->cont == NULL;
        } else if (outcome != ER_KUBE_CANCELLED) {
            (void)er_stream_pause(s, page_failed(run, &answer));
        }
        er_kube_answer_fini(&answer);
    }
    er_kube_page_fini(&page);
    return is_over && !er_stream_stopping(s) && !s->gives_up;
}

/* ---- the end ---- */

/* Known complete up to now, give or take the two seconds that a reconnect takes. */
#define COMPLETE_WITHIN_US 2000000

/* A time that is still to come was written by a clock that has been set since: it tells nothing. */
static bool is_just_now(er_time t) {
    er_time ago = t == ER_TIME_NONE ? COMPLETE_WITHIN_US + 1 : er_time_now() - t;
    return ago <= COMPLETE_WITHIN_US && ago >= -COMPLETE_WITHIN_US;
}

/* Of what is remembered the list itself shows whether anything is missing. */
static bool is_whole_without(const list_run *run) {
    return run->was_complete || (run->s->options.resource->look != NULL && !run->s->shows_gap);
}

static void emit_gaps(list_run *run) {
    er_stream *s = run->s;
    er_str to = er_str_of(run->version);
    if (run->is_rewound) {
        er_stream_emit_gap(s, run->slot, "rewound", er_str_of(run->gap_from), to, run->from_time,
                           (int64_t)run->queued);
    } else if (s->list_cause == ER_LIST_NO_STATE) {
        er_stream_emit_gap(s, run->slot, "noState", (er_str){0}, to, run->from_time,
                           (int64_t)run->queued);
    } else if (s->list_cause != ER_LIST_START && !is_whole_without(run)) {
        er_stream_emit_gap(s, run->slot, "expired", er_str_of(run->from), to, run->from_time,
                           (int64_t)run->queued);
    } else {
        if (s->list_cause != ER_LIST_START) {
            er_counter_inc(s->metrics.expired_quiet);
        }
        if (run->is_incomplete) {
            er_stream_emit_gap(s, run->slot, "listIncomplete", er_str_of(run->first_version), to,
                               run->from_time, -1);
        }
    }
}

bool er_stream_list(er_stream *s) {
    list_run run = {.s = s, .limit = emits_items(s) ? PAGE_LIMIT : 1};
    er_str last = er_tracker_last(s->tracker);
    memcpy(run.from, last.p, last.n + 1);
    run.from_time = s->complete_until;
    run.was_complete = is_just_now(s->complete_until);
    run.is_rewound = s->list_cause == ER_LIST_REWOUND;
    bool was_marked = er_str_eqc(last, "0");
    memcpy(run.gap_from, was_marked ? s->point.gap_from : run.from, ER_VERSION_MAX);
    if (run.is_rewound && !was_marked) {
        er_stream_mark_rewound(s); /* at once: when the list comes the store may have caught up */
    }
    run.slot = er_tracker_open(s->tracker, (er_str){0});
    s->shows_gap = false;
    s->round++; /* not anew with each attempt: what one has had the next ones pass over */
    atomic_store(&s->stage, ER_STAGE_LISTING);
    bool is_whole = read_pages(&run);
    if (is_whole) {
        s->looked_records = 0;
        if (s->options.resource->look != NULL &&
            er_stream_forget_unseen(s, &run.present, compares(&run), run.slot) > 0) {
            s->shows_gap = true;
        }
        run.queued += s->looked_records;
        if (s->options.workloads != NULL) {
            er_workload_metrics_listed(s->options.workloads, s, s->round);
        }
        emit_gaps(&run);
        er_tracker_advance(s->tracker, er_str_of(run.version));
        er_slot_give_back(run.slot);
        er_stream_complete(s, run.attempt_time);
        er_counter_inc(s->metrics.lists_ok);
        ER_LOG(ER_LOG_INFO, "watch", "listed", ER_LS("watch", s->name),
               ER_LS("version", run.version), ER_LI("records", run.queued));
        /* From the first version on, what happens while we are away must not be lost. */
        (void)er_state_write_now(s->options.state, er_deadline_in(0));
    }
    er_flow_wake(s->options.flow);
    /* A list that did not end keeps its slot: the resume point must not pass it. */
    free(run.seen.v);
    er_blobs_fini(&run.present);
    free(run.cont);
    return is_whole;
}
