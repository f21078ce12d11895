#include "kube/frames.h"

#include <string.h>

void er_frames_init(er_frames *frames, size_t max) {
    *frames = (er_frames){.max = max};
    er_buf_init(&frames->line, max);
}

void er_frames_fini(er_frames *frames) {
    er_buf_fini(&frames->line);
}

bool er_frames_pending(const er_frames *frames) {
    return frames->line.len > 0 || frames->skipped > 0;
}

/* Adds a part of a line, or goes on skipping. */
static er_status add(er_frames *frames, er_str part) {
    if (frames->skipped > 0) {
        frames->skipped += part.n;
    } else if (part.n > frames->max - frames->line.len) {
        frames->skipped = frames->line.len + part.n;
        er_buf_shrink(&frames->line, ER_FRAMES_KEEP);
    } else {
        er_buf_put_str(&frames->line, part);
    }
    return er_buf_status(&frames->line);
}

static bool is_blank(const er_buf *line) {
    return er_str_trim(er_buf_str(line)).n == 0;
}

static er_status line_ends(er_frames *frames, const er_frames_handler *handler) {
    if (frames->skipped > 0) {
        size_t bytes = frames->skipped;
        frames->skipped = 0;
        if (handler->oversized != NULL) {
            handler->oversized(handler->arg, bytes);
        }
        return ER_OK;
    }
    er_buf *line = &frames->line;
    bool goes_on = true;
    if (!is_blank(line)) {
        if (line->p[line->len - 1] == '\r') {
            line->p[--line->len] = '\0';
        }
        goes_on = handler->frame(handler->arg, line->p, line->len);
    }
    er_buf_shrink(line, ER_FRAMES_KEEP);
    return goes_on ? ER_OK : ER_E_CANCELLED;
}

er_status er_frames_feed(er_frames *frames, er_str bytes, const er_frames_handler *handler) {
    er_status status = ER_OK;
    while (bytes.n > 0 && status == ER_OK) {
        const char *lf = memchr(bytes.p, '\n', bytes.n);
        er_str part = {bytes.p, lf == NULL ? bytes.n : (size_t)(lf - bytes.p)};
        status = add(frames, part);
        if (lf == NULL) {
            break;
        }
        if (status == ER_OK) {
            status = line_ends(frames, handler);
        }
        bytes.p += part.n + 1;
        bytes.n -= part.n + 1;
    }
    return status;
}
