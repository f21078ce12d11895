/* The API server's side: LIST and WATCH of Events, Deployments and Pods, a few single GETs,
 * credentials, and faults.
 *
 * Without faults it answers as kube-apiserver 1.36 does for Events: consistent pages by continue
 * tokens, items in key order, the history replayed to watches, 410 for what was compacted, silence
 * for a version that is still to come, no bookmarks. Threads: the loop's. */
#ifndef FAKE_API_H
#define FAKE_API_H

#include "fake_server.h"
#include "fake_store.h"
#include "fake_words.h"

typedef enum fake_kind {
    FAKE_LIST,  /* a page of a list */
    FAKE_PROBE, /* a first page with limit=1 */
    FAKE_WATCH,
    FAKE_GET, /* anything else */
    FAKE_ANY, /* for faults */
} fake_kind;
extern const char *const fake_kind_names[]; /* by fake_kind */

/* ---- faults ---- */

typedef struct fake_fault {
    struct fake_fault *next;
    char *text; /* as the script said it */
    fake_kind kind;
    uint64_t page;          /* of a list; 0: any */
    char *ns;               /* NULL: any */
    fake_resource resource; /* FAKE_RESOURCES: any */
    uint64_t skip;          /* requests that still pass unharmed */
    uint64_t left;          /* requests that are still met; UINT64_MAX: all */
    int64_t delay_ns;
    int status; /* 0: the usual answer */
    char *retry_after, *body, *type;
    size_t body_n;
    bool hang, empty, expire;
    fake_end drop; /* FIN or RESET: instead of an answer */
    fake_shape shape;
    fake_words first; /* frames that go ahead of a watch's own */
} fake_fault;

/* ---- what was asked ---- */

typedef struct fake_asked { /* one request; kept for ever */
    size_t id;
    int64_t ms;
    char *method, *target, *headers;
    fake_kind kind;
    fake_resource resource; /* FAKE_RESOURCES: of a single object */
    char *ns;               /* of the request; "" for the whole cluster */
    uint64_t page;          /* of a list, from 1; from 1 again behind the inconsistent token */
    bool is_continued;      /* a page behind a continue token */
    const fake_fault *fault;
    int status;   /* 0: not answered (yet) */
    size_t items; /* of a list */
    struct fake_watch *watch;
} fake_asked;

typedef struct fake_term { /* of a selector */
    char *path, *value;    /* value NULL: any, if only it is there (labels) */
    bool differs, is_label;
} fake_term;
#define FAKE_TERMS_MAX 8
typedef struct fake_selector {
    fake_term v[FAKE_TERMS_MAX];
    size_t n;
} fake_selector;
/* fieldSelector and labelSelector. */
er_status fake_selector_read(const fake_request *request, fake_resource resource,
                             fake_selector *selector, er_err *err);
bool fake_selector_matches(const fake_selector *selector, er_str body);
void fake_selector_fini(fake_selector *selector);

typedef struct fake_watch {
    struct fake_watch *next; /* by opening, newest first */
    fake_asked *asked;
    fake_conn *conn; /* NULL: over */
    er_str ns;
    fake_selector selector;
    fake_version from, last; /* asked for; of the last frame sent */
    size_t at;               /* position in the history */
    int64_t opened_ms;
    size_t frames;
    const char *ended; /* clean, gone, timeout, fin, reset, silent, rewound, peer; NULL: open */
} fake_watch;

#define FAKE_STATUS_MAX 600
typedef struct fake_counts {
    size_t requests, lists, lists_completed, pages, items, probes, gets, gone;
    size_t watches_opened, frames;
    size_t answers[FAKE_STATUS_MAX]; /* by status */
} fake_counts;

#define FAKE_FORBIDDEN_MAX 16

typedef struct fake_api {
    fake *fake;
    fake_counts counts[FAKE_RESOURCES + 1]; /* the last: of requests for single objects */
    fake_fault *faults, *spent;             /* armed, in order; used up or cleared */
    fake_asked **log;
    size_t log_n, log_cap;
    fake_watch *watches;
    char *token; /* NULL: none is asked for */
    char *forbidden[FAKE_FORBIDDEN_MAX];
    size_t forbidden_n;
    uint64_t page_max; /* most items of a page, whatever limit says; 0: no matter */
} fake_api;

void fake_api_init(fake_api *api, fake *f);
void fake_api_fini(fake_api *api);

/* ---- fake_fault.c ---- */

/* "fault MATCH ...", behind the first word. */
er_status fake_fault_arm(fake_api *api, er_str text, fake_words *words, er_err *err);
/* The first armed one that the request meets, counted down; NULL: none. */
const fake_fault *fake_fault_match(fake_api *api, const fake_asked *asked);
void fake_fault_clear(fake_api *api);
size_t fake_fault_armed(const fake_api *api);
void fake_fault_free(fake_fault *fault);

/* ---- fake_api.c ---- */

/* A Status object with that code and the reason that belongs to it. */
void fake_status_put(er_buf *out, int code, const char *message, const char *cont);
const char *fake_status_reason(int code);
/* Answers with one. */
void fake_api_refuse(fake_conn *conn, int code, const char *message);
/* Answers and counts the answer. */
void fake_api_send(fake_conn *conn, const fake_head *head, er_str body);
static inline fake_counts *fake_counts_of(fake_api *api, const fake_asked *asked) {
    return &api->counts[asked->resource];
}

/* ---- fake_counters.c ---- */

/* Answers with that status, of all requests. */
uint64_t fake_counts_answers(const fake_api *api, size_t status);

/* ---- fake_list.c ---- */

/* empty: no items but a continue token; expire: as if the token's version were compacted. */
void fake_list_answer(fake_conn *conn, bool empty, bool expire);
/* The number of the page that a token leads to; 1 for a damaged one. */
uint64_t fake_list_page_of(er_str cont);

/* ---- fake_watch.c ---- */

void fake_watch_answer(fake_conn *conn);
/* Ends open watches that way; the number of them. */
size_t fake_watches_end(fake_api *api, fake_end end, const char *ended);
/* Of one resource; FAKE_RESOURCES: of all. */
size_t fake_watches_open(const fake_api *api, fake_resource resource);
/* Changes and bytes that open watches still have to be sent. */
size_t fake_watches_pending(const fake_api *api, fake_resource resource);
/* Sends a raw frame (words as in fake_frame_put) to all open watches. */
er_status fake_watches_send(fake_api *api, const fake_word *word, er_err *err);

/* ---- fake_frame.c ---- */

#define FAKE_TOO_OLD "The resourceVersion for the provided watch is too old."
/* A frame of that resource, up to where its object's own members begin. */
void fake_frame_open(er_buf *out, fake_resource resource, const char *type);
/* An ERROR frame. */
void fake_error_put(er_buf *out, int code, const char *message);
/* The bytes of a frame that a script names: its text and LF, or @bookmark, @error, @x, @levels. */
er_status fake_frame_put(fake_api *api, fake_resource resource, const fake_word *word, er_buf *out,
                         er_err *err);
/* True: it is an ERROR frame with 410. */
bool fake_frame_is_gone(const fake_word *word);

#endif
