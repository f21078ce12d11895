#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK 16384

static er_status fail(er_err *err, const char *path, const char *what) {
    char text[128];
    return er_err_set(err, ER_E_IO, "%s %s: %s", what, path,
                      er_errno_text(errno, text, sizeof text));
}

er_status er_file_read_fd(int fd, const char *name, er_buf *out, er_err *err) {
    for (;;) {
        /* One byte more than allowed tells a file that is too large from one that just fits. */
        char chunk[CHUNK];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return fail(err, name, "cannot read");
        }
        if (n == 0) {
            return ER_OK;
        }
        er_buf_put(out, chunk, (size_t)n);
        explicit_bzero(chunk, (size_t)n); /* it may have been a secret */
        if (er_buf_status(out) != ER_OK) {
            return er_err_set(err, ER_E_LIMIT, "%s is larger than %zu bytes", name, out->max);
        }
    }
}

er_status er_file_read(const char *path, er_buf *out, er_err *err) {
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0) {
        return fail(err, path, "cannot open");
    }
    struct stat st;
    er_status status;
    if (fstat(fd, &st) != 0) {
        status = fail(err, path, "cannot look at");
    } else if (!S_ISREG(st.st_mode)) {
        status = er_err_set(err, ER_E_INVAL, "%s is not a regular file", path);
    } else {
        status = er_file_read_fd(fd, path, out, err);
    }
    (void)close(fd);
    return status;
}

bool er_file_stamp_get(const char *path, er_file_stamp *out) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return false;
    }
    *out = (er_file_stamp){
        .dev = st.st_dev,
        .ino = st.st_ino,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
        .size = st.st_size,
    };
    return true;
}

bool er_file_stamp_eq(const er_file_stamp *a, const er_file_stamp *b) {
    return a->dev == b->dev && a->ino == b->ino && a->mtime_ns == b->mtime_ns && a->size == b->size;
}
