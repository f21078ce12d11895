/* The program's frame: one epoll loop, three listeners on 127.0.0.1 (API, sinks, control), and
 * HTTP/1.1 connections whose answers can be bent: cut, dripped, silenced.
 *
 * Threads: one; nothing blocks. Ownership: a connection belongs to the loop and is freed at the end
 * of the turn in which it died; what waits on one clears its pointer in its on_gone. */
#ifndef FAKE_SERVER_H
#define FAKE_SERVER_H

#include "base/buf.h"
#include "base/clock.h"

#include <signal.h>

#define FAKE_REQUEST_MAX (64u << 20) /* bytes of one request */
#define FAKE_OUT_MAX     ((size_t)2 << 30)
#define FAKE_NEVER       INT64_MAX

typedef enum fake_role { FAKE_API, FAKE_SINKS, FAKE_CONTROL, FAKE_ROLES } fake_role;

/* How an answer's body ends. */
typedef enum fake_end {
    FAKE_END_NONE,
    FAKE_END_CLEAN,  /* as if nothing more had been to say */
    FAKE_END_FIN,    /* the connection is closed in the middle */
    FAKE_END_RESET,  /* the same with RST */
    FAKE_END_SILENT, /* nothing more comes, the connection stays */
} fake_end;
extern const char *const fake_end_names[]; /* by fake_end */

typedef struct fake_cut {
    fake_end end;  /* NONE: no cut */
    size_t frames; /* whole frames that still pass (watches only), and then */
    size_t bytes;  /* bytes of the body that still pass */
} fake_cut;

/* How the bytes of an answer leave. */
typedef struct fake_shape {
    fake_cut cut;
    bool chunked;     /* an answer that would have had a Content-Length */
    size_t piece;     /* at most so many bytes per send; 0: no matter */
    int64_t piece_ns; /* between sends */
} fake_shape;

typedef struct fake_request { /* slices of the connection's input, valid while it is busy */
    er_str method, target, path, query;
    er_str headers; /* the lines, with their CRLFs */
    er_str body;
    size_t head_n, body_n; /* bytes of the head; what Content-Length says */
    bool complete;         /* the body is all there */
} fake_request;

/* The value of a header, empty when absent. */
er_str fake_request_header(const fake_request *request, const char *name);
/* The decoded value of a parameter; false: absent. out is cleared. */
bool fake_request_param(const fake_request *request, const char *name, er_buf *out);

typedef struct fake_conn {
    struct fake *fake;
    struct fake_conn *next;
    fake_role role;
    int fd;
    uint32_t interest; /* registered with epoll */
    er_buf in, out;
    size_t out_at;     /* sent so far */
    bool busy;         /* a request is being answered: nothing more is read */
    bool head_seen;    /* of the request that is coming in */
    size_t pending;    /* bytes of the request that is being answered */
    bool silent, dead; /* the answer is not gone on with; to be freed */
    fake_request request;
    fake_shape shape; /* of this answer */
    fake_end end;     /* what to do once out is sent: FIN or RESET */
    bool more;        /* somebody has more to send once out is empty */
    int64_t wake_ns;  /* when on_wake is called */
    int64_t piece_at; /* not to send before */
    void (*on_wake)(struct fake_conn *conn);
    void (*on_gone)(struct fake_conn *conn); /* the peer left, or the connection was cut */
    void *owner;                             /* of whoever set the two */
} fake_conn;

typedef struct fake_listener {
    int fd;     /* -1: refuses */
    int holder; /* keeps the port while nothing listens */
    int port;
    bool paused; /* neither accepts, nor reads, nor writes */
} fake_listener;

struct fake_store;
struct fake_api;
struct fake_sinks;
struct fake_runs;
struct fake_control;

typedef struct fake {
    int epoll;
    fake_listener listeners[FAKE_ROLES];
    fake_conn *conns;
    size_t opened[FAKE_ROLES], open[FAKE_ROLES];
    int64_t start_ns;
    int64_t now_ns;                /* of this turn */
    int64_t wake_ns;               /* the earliest that anybody waits for, found anew each turn */
    volatile sig_atomic_t *ending; /* set by the signal handler */
    struct fake_store *store;
    struct fake_api *api;
    struct fake_sinks *sinks;
    struct fake_runs *runs;
    struct fake_control *control;
} fake;

/* ---- the loop ---- */

/* ports: by role, 0: any. */
er_status fake_server_open(fake *f, const int ports[FAKE_ROLES], er_err *err);
/* Until *f->ending, or until stdin ends when that is watched. */
er_status fake_server_run(fake *f, bool until_stdin_closes, er_err *err);
void fake_server_close(fake *f);
/* Asks to be called again at that time. */
void fake_server_wake(fake *f, int64_t at_ns);
int64_t fake_server_ms(const fake *f); /* since the start */

er_status fake_server_refuse(fake *f, fake_role role, bool refuse, er_err *err);
void fake_server_pause(fake *f, fake_role role, bool pause);
void fake_server_cut_all(fake *f, fake_role role); /* RST on every open connection */

/* ---- answers ---- */

typedef struct fake_head {
    int status;
    const char *type;  /* Content-Type */
    const char *extra; /* whole lines with CRLF, or NULL */
    bool close;        /* says Connection: close, and does */
} fake_head;

/* A whole answer; the connection is free for the next request. */
void fake_conn_answer(fake_conn *conn, const fake_head *head, er_str body);
/* An answer in chunks, one call each; empty chunks are left out. */
void fake_conn_begin(fake_conn *conn, const fake_head *head);
void fake_conn_chunk(fake_conn *conn, er_str bytes);
void fake_conn_finish(fake_conn *conn);
/* Ends the answer here. */
void fake_conn_end(fake_conn *conn, fake_end end);
/* As much of bytes as the cut lets pass; the rest is dropped and the answer ended. is_frame: the
 * bytes are one whole frame. False: it was ended. */
bool fake_conn_chunk_cut(fake_conn *conn, er_str bytes, bool is_frame);

/* ---- what the loop calls ---- */

void fake_api_request(fake_conn *conn);
void fake_sink_request(fake_conn *conn);
void fake_sink_progress(fake_conn *conn); /* a request is still coming in */
void fake_control_request(fake_conn *conn);
void fake_runs_turn(fake *f);    /* scripts */
void fake_watches_turn(fake *f); /* frames to open watches */
void fake_control_turn(fake *f); /* waits */

#endif
