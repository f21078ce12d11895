/* The sink that appends to a file: one canonical record a line (NDJSON).
 *
 * A batch is one unit: one writev(2) for up to 1,024 records, then, with fsync: batch, one
 * fdatasync(2), and only then its records are delivered. A batch that fails anywhere is taken back
 * whole and tried again as it was cut, so that a full disk leaves no torn line and no record twice.
 *
 * Before each batch, and once a second when idle, the sink looks whether the path still names the
 * file it has open, as logrotate's `create` and `nocreate` want it; a file that was deleted while
 * it was written is written again. With `copytruncate` no hole and no torn line comes to be, for
 * O_APPEND follows the size; but what is appended between logrotate's copy and its cut is lost, as
 * with every program: rotate here, or move. */
#include "sink/sink.h"
#include "sinks/file_target.h"
#include "sinks/registry.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define SYNC_MS         1000  /* fsync: every_second */
#define ROTATE_AGAIN_MS 10000 /* after a rotation that failed */
#define KEEP_DEFAULT    5

typedef enum file_fsync { FSYNC_BATCH, FSYNC_EVERY_SECOND, FSYNC_NEVER } file_fsync;

typedef struct file_config {
    er_sink_settings common;
    char *path, *mode;
    int fsync; /* file_fsync */
    struct {
        int64_t size;   /* bytes; 0: no limit */
        int64_t age_ms; /* 0: no limit */
        int64_t keep;   /* -1: KEEP_DEFAULT */
    } rotate;
} file_config;

typedef struct file_sink {
    const file_config *config;
    er_file_target target;
    er_deadline sync_next;   /* fsync: every_second */
    er_deadline rotate_next; /* not before, after a failure */
    struct iovec iov[ER_FILE_IOV_MAX];
} file_sink;

/* ---- life ---- */

static er_status file_create(const er_sink_type *type, const void *config, const er_sink_env *env,
                             void **self, er_err *err) {
    (void)type;
    (void)err;
    file_sink *sink = er_xcalloc(1, sizeof *sink);
    sink->config = config;
    er_file_init(&sink->target, sink->config->path, env->name,
                 (mode_t)strtoul(sink->config->mode, NULL, 8), sink->config->fsync != FSYNC_NEVER);
    *self = sink;
    return ER_OK;
}

static void file_destroy(void *self) {
    file_sink *sink = self;
    (void)er_file_undo(&sink->target, NULL);
    er_file_close(&sink->target);
    free(sink);
}

static er_status file_encode(void *self, const er_record *rec, er_item *out, er_err *err) {
    (void)self;
    er_record_json(rec, &out->body);
    er_buf_putc(&out->body, '\n');
    er_status status = er_buf_status(&out->body);
    return status == ER_OK ? ER_OK
                           : er_err_set(err, status, "the line is over %d bytes", ER_FILE_LINE_MAX);
}

/* ---- the file ---- */

/* A file that was moved away or deleted is let go. */
static void follow_path(file_sink *sink) {
    er_file_target *t = &sink->target;
    if (t->fd < 0 || er_file_is_current(t)) {
        return;
    }
    ER_LOG(ER_LOG_INFO, "file", "the file was moved away or deleted; a new one is opened",
           ER_LS("sink", t->sink), ER_LS("path", t->path));
    er_err err;
    if (er_file_undo(t, &err) != ER_OK) { /* it is not ours any more, so this is the last try */
        ER_LOG(ER_LOG_WARNING, "file", "the file that was moved away may end in a torn line",
               ER_LS("sink", t->sink), ER_LS("error", err.msg));
    }
    er_file_close(t);
}

static bool is_due(const file_sink *sink, size_t more) {
    const file_config *c = sink->config;
    if ((c->rotate.size == 0 && c->rotate.age_ms == 0) || !er_deadline_passed(sink->rotate_next)) {
        return false;
    }
    off_t size = er_file_size(&sink->target);
    if (size == 0) {
        return false;
    }
    return (c->rotate.size > 0 && size + (off_t)more > c->rotate.size) ||
           (c->rotate.age_ms > 0 && er_time_now() - sink->target.born >= c->rotate.age_ms * 1000);
}

/* A rotation that fails is no reason to stop: the file grows until it works. */
static void rotate(file_sink *sink) {
    er_file_target *t = &sink->target;
    int64_t keep = sink->config->rotate.keep < 0 ? KEEP_DEFAULT : sink->config->rotate.keep;
    er_err err;
    if (er_file_rotate(t, keep, &err) == ER_OK) {
        ER_LOG(ER_LOG_INFO, "file", "rotated", ER_LS("sink", t->sink), ER_LS("path", t->path));
        return;
    }
    sink->rotate_next = er_deadline_in(ROTATE_AGAIN_MS);
    ER_LOG(ER_LOG_WARNING, "file", "cannot rotate; the file is written on, and grows",
           ER_LS("sink", t->sink), ER_LS("error", err.msg));
}

/* An open file, which path names, with room for so many bytes before it must rotate. */
static er_status prepare(file_sink *sink, size_t more, er_err *err) {
    er_file_target *t = &sink->target;
    follow_path(sink);
    er_status status = er_file_undo(t, err);
    if (status == ER_OK && t->fd < 0) {
        status = er_file_open(t, err);
    }
    if (status == ER_OK && is_due(sink, more)) {
        rotate(sink);
        status = t->fd < 0 ? er_file_open(t, err) : ER_OK;
    }
    return status;
}

static er_status file_open(void *self, er_deadline until, er_err *err) {
    (void)until;
    return prepare(self, 0, err);
}

/* ---- writing ---- */

static er_status write_lines(file_sink *sink, const er_batch *batch, er_err *err) {
    size_t len = er_batch_len(batch);
    er_status status = ER_OK;
    for (size_t i = 0; i < len && status == ER_OK;) {
        size_t n = 0;
        for (; n < ER_FILE_IOV_MAX && i < len; n++, i++) {
            const er_buf *line = &er_batch_item(batch, i)->body;
            sink->iov[n] = (struct iovec){.iov_base = line->p, .iov_len = line->len};
        }
        status = er_file_write(&sink->target, sink->iov, n, err);
    }
    return status;
}

static bool is_sync_due(const file_sink *sink) {
    return sink->config->fsync == FSYNC_BATCH ||
           (sink->config->fsync == FSYNC_EVERY_SECOND && er_deadline_passed(sink->sync_next));
}

static er_status append(file_sink *sink, const er_batch *batch, size_t bytes, er_err *err) {
    er_file_target *t = &sink->target;
    er_status status = prepare(sink, bytes, err);
    if (status == ER_OK) {
        status = er_file_begin(t, err);
    }
    if (status == ER_OK) {
        status = write_lines(sink, batch, err);
    }
    if (status == ER_OK) {
        bool sync = is_sync_due(sink);
        status = er_file_commit(t, sync, err);
        sink->sync_next = sync ? er_deadline_in(SYNC_MS) : sink->sync_next;
    }
    if (status != ER_OK) {
        (void)er_file_undo(t, NULL); /* else before the next attempt */
    }
    return status;
}

static er_status file_deliver(void *self, er_batch *batch, er_err *err) {
    file_sink *sink = self;
    size_t bytes = 0;
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        bytes += er_batch_item(batch, i)->body.len;
    }
    er_status status = append(sink, batch, bytes, err);
    if (status == ER_E_IO) { /* deleted or cut under us: once more, to what is there now */
        status = append(sink, batch, bytes, err);
    }
    if (status == ER_OK) {
        er_batch_judge_all(batch, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    }
    return status;
}

/* Once a second: what idle time brings. Nothing is done while a delivery is being tried again. */
static er_status file_poll(void *self, er_deadline until, er_err *err) {
    file_sink *sink = self;
    er_file_target *t = &sink->target;
    (void)until;
    if (t->fd < 0 || t->begun_at >= 0) {
        return ER_OK;
    }
    er_status status = ER_OK;
    if (sink->config->fsync == FSYNC_EVERY_SECOND) {
        status = er_file_sync(t, err);
        sink->sync_next = er_deadline_in(SYNC_MS);
    }
    return status == ER_OK ? prepare(sink, 0, err) : status;
}

/* ---- settings ---- */

static er_status check_path(const char *path, er_err *err) {
    size_t n = strlen(path);
    if (n > ER_FILE_PATH_MAX) {
        return er_err_set(err, ER_E_CONFIG, "longer than %d bytes", ER_FILE_PATH_MAX);
    }
    if (n > 0 && path[n - 1] == '/') {
        return er_err_set(err, ER_E_CONFIG, "this names a directory; add the file's name");
    }
    return ER_OK;
}

static er_status check_mode(const char *mode, er_err *err) {
    size_t n = strlen(mode);
    if (n < 3 || n > 4 || strspn(mode, "01234567") != n || (n == 4 && mode[0] != '0') ||
        mode[n - 3] < '6') {
        return er_err_set(err, ER_E_CONFIG,
                          "permissions are three octal digits, such as 0640, and the owner needs "
                          "to read and write");
    }
    return ER_OK;
}

static er_status file_check(const void *config, er_err *err) {
    const file_config *c = config;
    if (c->rotate.keep >= 0 && c->rotate.size == 0 && c->rotate.age_ms == 0) {
        return er_err_set(err, ER_E_CONFIG,
                          "rotate.keep without rotate.size or rotate.age: nothing would rotate");
    }
    if (c->rotate.size > 0 && c->rotate.size < c->common.batch.bytes) {
        char size[ER_NUMBER_TEXT];
        char batch[ER_NUMBER_TEXT];
        return er_err_set(err, ER_E_CONFIG,
                          "rotate.size (%s) is smaller than one batch; make it larger, or "
                          "batch.bytes (%s) smaller",
                          er_number_text(ER_FIELD_SIZE, c->rotate.size, size),
                          er_number_text(ER_FIELD_SIZE, c->common.batch.bytes, batch));
    }
    return ER_OK;
}

static const char *file_exclusive(const void *config) {
    return ((const file_config *)config)->path;
}

#define C(member) offsetof(file_config, member)

static const er_field rotate_rows[] = {
    {.key = "size",
     .type = ER_FIELD_SIZE,
     .max = INT64_C(1) << 50,
     .offset = C(rotate.size),
     .help = "A file that would grow over this is moved away first; 0: no limit. Only a single "
             "record that is larger makes a larger file."},
    {.key = "age",
     .type = ER_FIELD_DURATION,
     .max = INT64_C(10) * 365 * 86400000,
     .offset = C(rotate.age_ms),
     .help = "A file made longer ago than this is moved away, unless it is empty; 0: no limit."},
    {.key = "keep",
     .type = ER_FIELD_INT,
     .min = 1,
     .max = ER_FILE_KEEP_MAX,
     .flags = ER_FIELD_UNSET,
     .offset = C(rotate.keep),
     .help = "How many are kept: path.1 (the newest), path.2 and so on; older ones are deleted. "
             "Left out: 5."},
    {.key = NULL},
};

ER_SINK_BATCH_ROWS(file_batch_rows, "1000", "1MiB", "0");
static const er_field file_rows[] = {
    ER_SINK_ROWS(file_batch_rows),
    {.key = "path",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_REQUIRED | ER_FIELD_WRITTEN,
     .check = check_path,
     .offset = C(path),
     .help = "The file. It is made when it is not there, its directory is not. It is locked: only "
             "one sink of one router writes it. A symbolic link, and what is no regular file, is "
             "refused."},
    {.key = "mode",
     .type = ER_FIELD_STRING,
     .def = "0640",
     .check = check_mode,
     .offset = C(mode),
     .help = "Permissions of a file that is made, in octal, less the umask."},
    {.key = "fsync",
     .type = ER_FIELD_ENUM,
     .def = "batch",
     .choices = "batch|every_second|never",
     .offset = C(fsync),
     .help = "When records count as delivered. batch: when they are on disk (fdatasync), so that a "
             "crash of the machine loses none of them; every_second: when the kernel has them, "
             "with an fdatasync each second; never: the same without. A crash of the program "
             "alone loses nothing in any case."},
    {.key = "rotate",
     .type = ER_FIELD_STRUCT,
     .rows = rotate_rows,
     .help = "Moves the file away when it is large or old. Without, it grows; a logrotate that "
             "moves it is noticed."},
    {.key = NULL},
};

const er_sink_type er_file_sink = {
    .name = "file",
    .summary = "A file to which one canonical JSON record a line is appended.",
    .rows = file_rows,
    .config_size = sizeof(file_config),
    .check = file_check,
    .exclusive = file_exclusive,
    .max_in_flight = 1,
    .item_max = ER_FILE_LINE_MAX,
    .create = file_create,
    .open = file_open,
    .encode = file_encode,
    .deliver = file_deliver,
    .poll = file_poll,
    .destroy = file_destroy,
};
