#include "base/json_read.h"
#include "base/log.h"
#include "record/record.h"
#include "sinks/file_target.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 16384

/* Reads n bytes at that place. */
static er_status read_at(const er_file_target *t, char *p, size_t n, off_t at, er_err *err) {
    while (n > 0) {
        ssize_t got = pread(t->fd, p, n, at);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) { /* 0: cut under us; the next attempt sees it as it is then */
            return er_file_error(got == 0 ? EIO : errno, "cannot read", t->path, err);
        }
        p += got;
        n -= (size_t)got;
        at += got;
    }
    return ER_OK;
}

/* Where the last line begins: behind the last newline before size. */
static er_status find_tail(const er_file_target *t, off_t size, off_t *begin, er_err *err) {
    char chunk[CHUNK];
    off_t at = size;
    while (at > 0) {
        size_t n = at < CHUNK ? (size_t)at : CHUNK;
        er_status status = read_at(t, chunk, n, at - (off_t)n, err);
        if (status != ER_OK) {
            return status;
        }
        const char *newline = memrchr(chunk, '\n', n);
        if (newline != NULL) {
            *begin = at - (off_t)n + (newline - chunk) + 1;
            return ER_OK;
        }
        at -= (off_t)n;
        if (size - at > ER_FILE_LINE_MAX) {
            return er_err_set(err, ER_E_DENIED,
                              "%s is no file of lines (its last %d MiB have no end of a line): it "
                              "is left alone",
                              t->path, ER_FILE_LINE_MAX >> 20);
        }
    }
    *begin = 0;
    return ER_OK;
}

/* Begins as a record of ours does, and is not one. NUL bytes: a machine crashed, on a file system
 * that wrote the size before the bytes. */
static bool is_torn_record(char *text, size_t n) {
    static const char head[] = "{\"schema\":\"" ER_RECORD_SCHEMA "\"";
    size_t head_n = n < sizeof head - 1 ? n : sizeof head - 1;
    if (text[0] != '\0' && memcmp(text, head, head_n) != 0) {
        return false;
    }
    er_json_doc doc;
    er_json_doc_init(&doc);
    bool is_whole = er_json_parse(&doc, text, n, NULL) == ER_OK;
    er_json_doc_fini(&doc);
    return !is_whole;
}

static er_status look_at(const er_file_target *t, off_t begin, size_t n, bool *is_torn,
                         er_err *err) {
    er_buf text;
    er_buf_init(&text, ER_FILE_LINE_MAX + CHUNK);
    char *p = er_buf_reserve(&text, n);
    if (p == NULL) {
        return er_err_set(err, ER_E_NOMEM, "no memory for the last line of %s", t->path);
    }
    er_status status = read_at(t, p, n, begin, err);
    *is_torn = status == ER_OK && is_torn_record(p, n);
    er_buf_fini(&text);
    return status;
}

static er_status end_line(const er_file_target *t, er_err *err) {
    if (write(t->fd, "\n", 1) != 1) {
        return er_file_error(errno, "cannot end the last line of", t->path, err);
    }
    ER_LOG(ER_LOG_WARNING, "file", "the last line had no end and got one", ER_LS("sink", t->sink),
           ER_LS("path", t->path));
    return ER_OK;
}

static er_status cut_line(const er_file_target *t, off_t begin, size_t n, er_err *err) {
    if (ftruncate(t->fd, begin) != 0) {
        return er_file_error(errno, "cannot cut off the torn last line of", t->path, err);
    }
    ER_LOG(ER_LOG_WARNING, "file", "a torn last line, never acknowledged, was cut off",
           ER_LS("sink", t->sink), ER_LS("path", t->path), ER_LI("bytes", n));
    return ER_OK;
}

er_status er_file_repair(const er_file_target *t, er_err *err) {
    struct stat st;
    if (fstat(t->fd, &st) != 0) {
        return er_file_error(errno, "cannot look at", t->path, err);
    }
    off_t begin = 0;
    er_status status = find_tail(t, st.st_size, &begin, err);
    size_t n = (size_t)(st.st_size - begin);
    if (status != ER_OK || n == 0) {
        return status;
    }
    bool is_torn = false;
    status = look_at(t, begin, n, &is_torn, err);
    if (status != ER_OK) {
        return status;
    }
    return is_torn ? cut_line(t, begin, n, err) : end_line(t, err);
}
