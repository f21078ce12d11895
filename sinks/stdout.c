/* The sink that writes to standard output: canonical JSON lines, a table for people, or lines for
 * the agents of Google Cloud Logging.
 *
 * Whole lines only: what a failed write left of a line is kept and written first at the next
 * delivery, so that no line is restarted in its middle or glued to another. A record is delivered
 * when the last byte of its line was taken by write(2); there is no better proof. */
#include "sink/sink.h"
#include "sinks/gcp_line.h"
#include "sinks/registry.h"
#include "sinks/table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINE_MAX_BYTES (16u << 20)
#define STALL_MS       10000 /* a reader that takes nothing for so long is unavailable */
#define IOV_N          64

typedef enum stdout_format { FORMAT_JSON, FORMAT_TEXT, FORMAT_GCP } stdout_format;
typedef enum stdout_color { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER } stdout_color;

typedef struct stdout_config {
    er_sink_settings common;
    int format, color;
} stdout_config;

typedef struct stdout_sink {
    const stdout_config *config;
    er_sink_env env;
    bool is_coloured;
    int fd;           /* where we write: standard output, or our own description of it */
    bool is_own_fd;   /* to be closed */
    bool is_socket;   /* written with MSG_DONTWAIT */
    size_t write_max; /* bytes of one write(2) */
    er_buf rest;      /* what must be written before anything else: a header, the end of a line */
    size_t rest_at;   /* bytes of rest that are out */
    char rest_id[ER_ID_MAX]; /* the record whose line ends with rest; "": none */
} stdout_sink;

static bool want_colour(int color) {
    if (color != COLOR_AUTO) {
        return color == COLOR_ALWAYS;
    }
    const char *no_color = getenv("NO_COLOR");
    return (no_color == NULL || no_color[0] == '\0') && isatty(STDOUT_FILENO) == 1;
}

static er_status stdout_create(const er_sink_type *type, const void *config, const er_sink_env *env,
                               void **self, er_err *err) {
    (void)type;
    (void)err;
    stdout_sink *sink = er_xcalloc(1, sizeof *sink);
    sink->config = config;
    sink->env = *env;
    sink->fd = STDOUT_FILENO;
    sink->is_coloured = !env->is_preview && want_colour(sink->config->color);
    er_buf_init(&sink->rest, LINE_MAX_BYTES);
    if (sink->config->format == FORMAT_TEXT) {
        er_table_header(&sink->rest);
    }
    *self = sink;
    return ER_OK;
}

static void close_own(stdout_sink *sink) {
    if (sink->is_own_fd) {
        (void)close(sink->fd);
    }
    sink->fd = STDOUT_FILENO;
    sink->is_own_fd = false;
}

static void stdout_destroy(void *self) {
    stdout_sink *sink = self;
    close_own(sink);
    er_buf_fini(&sink->rest);
    free(sink);
}

static er_status io_error(int errnum, er_err *err) {
    char text[128];
    switch (errnum) {
    case EPIPE:
    case ECONNRESET:
        return er_err_set(err, ER_E_UNAVAILABLE, "nothing reads the standard output any more");
    case EBADF:
        return er_err_set(err, ER_E_DENIED,
                          "the standard output is closed or not writable; start the program with "
                          "one, or remove this sink");
    case EFBIG:
    case EPERM:
    case EACCES:
    case EINVAL:
        return er_err_set(err, ER_E_DENIED, "cannot write to the standard output: %s",
                          er_errno_text(errnum, text, sizeof text));
    default:
        return er_err_set(err, ER_E_UNAVAILABLE, "cannot write to the standard output: %s",
                          er_errno_text(errnum, text, sizeof text));
    }
}

/* Finds a way to write that never blocks, so that every wait is in poll and can be cancelled.
 * O_NONBLOCK is not set on standard output itself: the shell and others share the description. */
static er_status stdout_open(void *self, er_deadline until, er_err *err) {
    stdout_sink *sink = self;
    (void)until;
    close_own(sink);
    struct stat st;
    if (fstat(STDOUT_FILENO, &st) != 0) {
        return io_error(errno, err);
    }
    sink->is_socket = S_ISSOCK(st.st_mode);
    sink->write_max = SIZE_MAX;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    if (S_ISREG(st.st_mode) || sink->is_socket || (flags & O_NONBLOCK) != 0) {
        return ER_OK;
    }
    int fd = open("/proc/self/fd/1", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        /* Somebody else's pipe may not be opened again. A pipe that poll calls writable takes
         * PIPE_BUF bytes without blocking. */
        sink->write_max = PIPE_BUF;
        return ER_OK;
    }
    sink->fd = fd;
    sink->is_own_fd = true;
    return ER_OK;
}

static er_status stdout_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    const stdout_sink *sink = self;
    switch ((stdout_format)sink->config->format) {
    case FORMAT_TEXT:
        er_table_row(rec, sink->is_coloured, &out->body);
        break;
    case FORMAT_GCP:
        er_gcp_line(rec, &out->body);
        break;
    case FORMAT_JSON:
        er_record_json(rec, &out->body);
        er_buf_putc(&out->body, '\n');
        break;
    }
    er_status status = er_buf_status(&out->body);
    return status == ER_OK ? ER_OK
                           : er_err_set(err, status, "the line is over %u bytes", LINE_MAX_BYTES);
}

/* ---- writing ---- */

static er_status wait_writable(const stdout_sink *sink, er_err *err) {
    er_deadline stall = er_deadline_in(STALL_MS);
    struct pollfd fds[] = {{.fd = sink->fd, .events = POLLOUT},
                           {.fd = sink->env.cancel->fd, .events = POLLIN}};
    for (;;) {
        er_heart_beat(sink->env.heart);
        int64_t left = er_deadline_left_ms(stall);
        int rc = poll(fds, 2, (int)(left < ER_HEART_PERIOD_MS / 2 ? left : ER_HEART_PERIOD_MS / 2));
        if (er_cancel_is_set(sink->env.cancel)) {
            return er_err_set(err, ER_E_CANCELLED, "cancelled while writing");
        }
        if (rc < 0 && errno != EINTR) {
            return io_error(errno, err);
        }
        if (rc > 0 && fds[0].revents != 0) { /* an error shows in write */
            return ER_OK;
        }
        if (er_deadline_passed(stall)) {
            return er_err_set(err, ER_E_UNAVAILABLE,
                              "the reader of the standard output took nothing for %d s",
                              STALL_MS / 1000);
        }
    }
}

/* Writes some of iov, at least one byte when ER_OK. */
static er_status write_some(const stdout_sink *sink, struct iovec *iov, size_t iov_n,
                            size_t *written, er_err *err) {
    for (;;) {
        er_status status = wait_writable(sink, err);
        if (status != ER_OK) {
            return status;
        }
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = iov_n};
        ssize_t n = sink->is_socket ? sendmsg(sink->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)
                                    : writev(sink->fd, iov, (int)iov_n);
        if (n > 0) {
            *written = (size_t)n;
            return ER_OK;
        }
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return io_error(errno, err);
        }
    }
}

/* Where a delivery is. */
typedef struct cursor {
    size_t item, at; /* the next byte is byte `at` of that item's line */
    bool joined;     /* item 0 is the line that ends with rest: it is not written again */
} cursor;

static struct iovec from(const er_buf *buf, size_t at) {
    return (struct iovec){.iov_base = buf->len > at ? buf->p + at : NULL, .iov_len = buf->len - at};
}

static struct iovec rest_left(const stdout_sink *sink) {
    return from(&sink->rest, sink->rest_at);
}

static struct iovec line_left(const er_batch *batch, const cursor *c, size_t i) {
    return from(&er_batch_item(batch, i)->body, i == c->item ? c->at : 0);
}

static void iov_add(struct iovec *iov, size_t *n, struct iovec bytes, size_t *room) {
    bytes.iov_len = bytes.iov_len < *room ? bytes.iov_len : *room;
    if (bytes.iov_len > 0) {
        iov[(*n)++] = bytes;
        *room -= bytes.iov_len;
    }
}

static size_t gather(const stdout_sink *sink, const er_batch *batch, const cursor *c,
                     struct iovec iov[IOV_N]) {
    size_t n = 0;
    size_t room = sink->write_max;
    iov_add(iov, &n, rest_left(sink), &room);
    for (size_t i = c->item; i < er_batch_len(batch) && n < IOV_N && room > 0; i++) {
        iov_add(iov, &n, line_left(batch, c, i), &room);
    }
    return n;
}

static void advance(stdout_sink *sink, er_batch *batch, cursor *c, size_t written) {
    size_t rest = rest_left(sink).iov_len;
    if (rest > 0) {
        size_t step = written < rest ? written : rest;
        sink->rest_at += step;
        written -= step;
        if (step == rest && c->joined) {
            er_batch_judge(batch, 0, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
        }
    }
    while (written > 0) {
        size_t left = line_left(batch, c, c->item).iov_len;
        if (written < left) {
            c->at += written;
            return;
        }
        er_batch_judge(batch, c->item, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
        written -= left;
        c->item++;
        c->at = 0;
    }
}

/* Remembers the end of a line that was begun, or forgets the rest that is out. */
static void keep_rest(stdout_sink *sink, const er_batch *batch, const cursor *c) {
    if (rest_left(sink).iov_len > 0) {
        return;
    }
    er_buf_shrink(&sink->rest, 65536);
    sink->rest_at = 0;
    sink->rest_id[0] = '\0';
    if (c->at > 0) {
        struct iovec end = line_left(batch, c, c->item);
        er_buf_put(&sink->rest, end.iov_base, end.iov_len);
        (void)er_record_id(er_batch_record(batch, c->item)->id, sink->rest_id);
    }
}

static er_status stdout_deliver(void *self, er_batch *batch, er_err *err) {
    stdout_sink *sink = self;
    cursor c = {0};
    if (rest_left(sink).iov_len > 0 && er_str_eqc(er_batch_record(batch, 0)->id, sink->rest_id)) {
        c = (cursor){.item = 1, .joined = true};
    }
    er_status status = ER_OK;
    struct iovec iov[IOV_N];
    size_t iov_n;
    while (status == ER_OK && (iov_n = gather(sink, batch, &c, iov)) > 0) {
        size_t written = 0;
        status = write_some(sink, iov, iov_n, &written, err);
        if (status == ER_OK) {
            advance(sink, batch, &c, written);
        }
    }
    keep_rest(sink, batch, &c);
    return status;
}

ER_SINK_BATCH_ROWS(stdout_batch_rows, "500", "256KiB", "0");
static const er_field stdout_rows[] = {
    ER_SINK_ROWS(stdout_batch_rows),
    {.key = "format",
     .type = ER_FIELD_ENUM,
     .def = "json",
     .choices = "json|text|gcp",
     .offset = offsetof(stdout_config, format),
     .help = "json: one canonical record a line; text: a table for people; gcp: a line of "
             "structured logging, out of which the agents of Google Cloud Logging lift severity, "
             "time, message, insertId and labels."},
    {.key = "color",
     .type = ER_FIELD_ENUM,
     .def = "auto",
     .choices = "auto|always|never",
     .offset = offsetof(stdout_config, color),
     .help = "Colours in the table; auto: on a terminal, unless NO_COLOR is set."},
    {.key = NULL},
};

const er_sink_type er_stdout_sink = {
    .name = "stdout",
    .summary = "Standard output: JSON lines, a table for people, or Cloud Logging's lines.",
    .rows = stdout_rows,
    .config_size = sizeof(stdout_config),
    .max_in_flight = 1,
    .item_max = LINE_MAX_BYTES,
    .create = stdout_create,
    .open = stdout_open,
    .encode = stdout_encode,
    .deliver = stdout_deliver,
    .destroy = stdout_destroy,
};
