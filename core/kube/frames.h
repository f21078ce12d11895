/* Splits a stream into lines: the frames of a watch.
 *
 * Bytes come in any cuts. Lines end with LF; a CR before it is cut, blank lines are not passed on.
 * A line over the maximum is skipped up to its LF and its size told. Memory: one line, and at most
 * ER_FRAMES_KEEP between lines. Threads: one. */
#ifndef ER_KUBE_FRAMES_H
#define ER_KUBE_FRAMES_H

#include "base/buf.h"

#define ER_FRAMES_KEEP (256u << 10)

typedef struct er_frames {
    er_buf line;    /* the part of the line that has come */
    size_t max;     /* bytes of a line */
    size_t skipped; /* bytes of the line that is being skipped; 0: none is */
} er_frames;

typedef struct er_frames_handler {
    void *arg;
    bool (*frame)(void *arg, char *line, size_t n); /* line[n] is NUL; false: stop */
    void (*oversized)(void *arg, size_t bytes);     /* without the LF; may be NULL */
} er_frames_handler;

void er_frames_init(er_frames *frames, size_t max);
void er_frames_fini(er_frames *frames);

/* Takes bytes and calls the handler for each line they complete. ER_OK; ER_E_CANCELLED when the
 * handler asked to stop, the rest of bytes is then not looked at; ER_E_NOMEM. */
er_status er_frames_feed(er_frames *frames, er_str bytes, const er_frames_handler *handler);

/* Part of a line has come and its end has not. */
bool er_frames_pending(const er_frames *frames);

#endif
