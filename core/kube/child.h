/* A program that is run for its output: bounded in time and size, and gone afterwards.
 *
 * It gets a process group of its own, an empty signal mask, /dev/null to read from, and none of our
 * descriptors. When er_child_run returns, it and what is left of its group were killed and reaped.
 * Threads: any; SIGCHLD must not be ignored by the process. */
#ifndef ER_KUBE_CHILD_H
#define ER_KUBE_CHILD_H

#include "base/buf.h"
#include "base/thread.h"

typedef struct er_child {
    const char *path; /* no search in PATH */
    char *const *argv;
    char *const *envp;
    int64_t limit_ms;
    er_cancel *cancel; /* may be NULL */
    er_heart *heart;   /* beaten while waiting; may be NULL */
} er_child;

typedef struct er_child_end {
    int code;       /* exit code; -1 when a signal ended it */
    int signal;     /* 0: none */
    char said[200]; /* the last line of its stderr, control characters escaped; "" : nothing */
} er_child_end;

/* Runs it and appends its stdout to out, whose maximum is the limit. ER_OK: it ended by itself, see
 * end. Errors, with end->said filled in: ER_E_IO (cannot be started), ER_E_TIMEOUT, ER_E_LIMIT (too
 * much output), ER_E_CANCELLED. */
er_status er_child_run(const er_child *child, er_buf *out, er_child_end *end, er_err *err);

/* Appends text for a line of a message: control characters and bytes that are not UTF-8 as \xNN,
 * at most max bytes. */
void er_child_escape(er_str text, size_t max, er_buf *out);

#endif
