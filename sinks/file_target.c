#include "sinks/file_target.h"

#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OPEN_ATTEMPTS 3 /* against a file that is moved away between open and lock */

er_status er_file_error(int errnum, const char *what, const char *path, er_err *err) {
    char text[128];
    er_status status = ER_E_UNAVAILABLE;
    switch (errnum) {
    case EACCES:
    case EPERM:
    case EROFS:
    case ENOTDIR:
    case EISDIR:
    case ENAMETOOLONG:
    case EFBIG:
    case EINVAL:
    case EOPNOTSUPP:
        status = ER_E_DENIED;
        break;
    case ELOOP:
        return er_err_set(err, ER_E_DENIED,
                          "%s is a symbolic link, which is not followed: name the file itself",
                          path);
    case ENOENT:
        return er_err_set(err, ER_E_DENIED, "%s %s: its directory does not exist", what, path);
    default:
        break;
    }
    return er_err_set(err, status, "%s %s: %s", what, path,
                      er_errno_text(errnum, text, sizeof text));
}

void er_file_init(er_file_target *t, const char *path, const char *sink, mode_t mode,
                  bool sync_names) {
    *t = (er_file_target){.path = path,
                          .sink = sink,
                          .mode = mode,
                          .sync_names = sync_names,
                          .fd = -1,
                          .begun_at = -1};
}

void er_file_close(er_file_target *t) {
    if (t->fd < 0) {
        return;
    }
    er_err err;
    if (er_file_sync(t, &err) != ER_OK) {
        ER_LOG(ER_LOG_ERROR, "file", "records that were counted as delivered may not be on disk",
               ER_LS("sink", t->sink), ER_LS("error", err.msg));
    }
    (void)close(t->fd);
    t->fd = -1;
    t->begun_at = -1;
}

/* ---- opening ---- */

static er_status refuse_kind(const er_file_target *t, mode_t mode, er_err *err) {
    if (S_ISLNK(mode)) {
        return er_file_error(ELOOP, "cannot open", t->path, err);
    }
    return er_err_set(err, ER_E_DENIED,
                      "%s is not a regular file%s; for standard output use a sink of type stdout",
                      t->path, S_ISDIR(mode) ? " but a directory" : "");
}

/* Looks before it opens: to open a device may do something, and a FIFO has no place here. */
static er_status open_regular(er_file_target *t, er_err *err) {
    struct stat st;
    if (lstat(t->path, &st) == 0 && !S_ISREG(st.st_mode)) {
        return refuse_kind(t, st.st_mode, err);
    }
    t->fd =
        open(t->path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY,
             t->mode);
    if (t->fd < 0) {
        return er_file_error(errno, "cannot open", t->path, err);
    }
    if (fstat(t->fd, &st) != 0) {
        return er_file_error(errno, "cannot look at", t->path, err);
    }
    t->dev = st.st_dev;
    t->ino = st.st_ino;
    return S_ISREG(st.st_mode) ? ER_OK : refuse_kind(t, st.st_mode, err);
}

static er_status lock(const er_file_target *t, er_err *err) {
    if (flock(t->fd, LOCK_EX | LOCK_NB) == 0) {
        return ER_OK;
    }
    if (errno == EWOULDBLOCK) {
        return er_err_set(err, ER_E_UNAVAILABLE,
                          "%s is locked by another sink or another router; only one may write it",
                          t->path);
    }
    return er_file_error(errno, "cannot lock", t->path, err);
}

static er_time birth(const er_file_target *t) {
    struct statx st;
    if (statx(t->fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0 &&
        (st.stx_mask & STATX_BTIME) != 0) {
        return (er_time)st.stx_btime.tv_sec * 1000000 + st.stx_btime.tv_nsec / 1000;
    }
    return er_time_now();
}

/* The name of a new file is part of what must be on disk. */
static er_status sync_directory(const er_file_target *t, er_err *err) {
    char dir[ER_FILE_PATH_MAX + 1];
    const char *slash = strrchr(t->path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - t->path);
    if (slash == NULL) {
        (void)snprintf(dir, sizeof dir, ".");
    } else {
        (void)snprintf(dir, sizeof dir, "%.*s", n == 0 ? 1 : (int)n, t->path);
    }
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return er_file_error(errno, "cannot open the directory", dir, err);
    }
    er_status status = ER_OK;
    if (fsync(fd) != 0 && errno != EINVAL) { /* EINVAL: this file system has no such thing */
        status = er_file_error(errno, "cannot sync the directory", dir, err);
    }
    (void)close(fd);
    return status;
}

/* Gives up a file that is open but not ready, without syncing. */
static er_status abandon(er_file_target *t, er_status status) {
    if (t->fd >= 0) {
        (void)close(t->fd);
        t->fd = -1;
    }
    return status;
}

er_status er_file_open(er_file_target *t, er_err *err) {
    ER_ASSERT(t->fd < 0);
    for (int i = 0; i < OPEN_ATTEMPTS; i++) {
        er_status status = open_regular(t, err);
        if (status == ER_OK) {
            status = lock(t, err);
        }
        if (status != ER_OK) {
            return abandon(t, status);
        }
        if (er_file_is_current(t)) {
            status = er_file_repair(t, err);
            if (status == ER_OK && t->sync_names) {
                status = sync_directory(t, err);
            }
            t->born = birth(t);
            t->begun_at = -1;
            t->is_unsynced = false;
            return status == ER_OK ? ER_OK : abandon(t, status);
        }
        (void)abandon(t, ER_OK); /* moved away before we had the lock */
    }
    return er_err_set(err, ER_E_UNAVAILABLE, "%s is moved away as often as it is opened", t->path);
}

bool er_file_is_current(const er_file_target *t) {
    struct stat st;
    return lstat(t->path, &st) == 0 && st.st_dev == t->dev && st.st_ino == t->ino;
}

off_t er_file_size(const er_file_target *t) {
    struct stat st;
    return fstat(t->fd, &st) == 0 ? st.st_size : 0;
}

/* ---- appending ---- */

er_status er_file_begin(er_file_target *t, er_err *err) {
    ER_ASSERT(t->fd >= 0 && t->begun_at < 0);
    struct stat st;
    if (fstat(t->fd, &st) != 0) {
        return er_file_error(errno, "cannot look at", t->path, err);
    }
    t->begun_at = st.st_size;
    t->begun_size = 0;
    return ER_OK;
}

er_status er_file_write(er_file_target *t, struct iovec *iov, size_t n, er_err *err) {
    ER_ASSERT(t->begun_at >= 0 && n <= ER_FILE_IOV_MAX);
    while (n > 0) {
        ssize_t done = writev(t->fd, iov, (int)n);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return er_file_error(done == 0 ? EIO : errno, "cannot write", t->path, err);
        }
        t->begun_size += (size_t)done;
        for (; n > 0 && (size_t)done >= iov->iov_len; iov++, n--) {
            done -= (ssize_t)iov->iov_len;
        }
        if (n > 0) {
            iov->iov_base = (char *)iov->iov_base + done;
            iov->iov_len -= (size_t)done;
        }
    }
    return ER_OK;
}

er_status er_file_sync(er_file_target *t, er_err *err) {
    if (!t->is_unsynced) {
        return ER_OK;
    }
    /* The kernel tells of an error once and forgets the bytes; to ask again would prove nothing.
     * What is not committed is written again after undo. */
    t->is_unsynced = false;
    while (fdatasync(t->fd) != 0) {
        if (errno != EINTR) {
            return er_file_error(errno, "cannot sync", t->path, err);
        }
    }
    return ER_OK;
}

er_status er_file_commit(er_file_target *t, bool sync, er_err *err) {
    ER_ASSERT(t->begun_at >= 0);
    t->is_unsynced = true;
    er_status status = sync ? er_file_sync(t, err) : ER_OK;
    if (status != ER_OK) {
        return status;
    }
    struct stat st;
    if (fstat(t->fd, &st) != 0) {
        return er_file_error(errno, "cannot look at", t->path, err);
    }
    /* Cut to nothing before our write (copytruncate) is as good as appended. */
    bool is_whole =
        st.st_size == t->begun_at + (off_t)t->begun_size || st.st_size == (off_t)t->begun_size;
    if (st.st_nlink == 0 || !is_whole) {
        return er_err_set(err, ER_E_IO, "%s was %s while it was written", t->path,
                          st.st_nlink == 0 ? "deleted" : "cut");
    }
    t->begun_at = -1;
    return ER_OK;
}

er_status er_file_undo(er_file_target *t, er_err *err) {
    if (t->fd < 0 || t->begun_at < 0) {
        return ER_OK;
    }
    struct stat st;
    if (fstat(t->fd, &st) != 0) {
        return er_file_error(errno, "cannot look at", t->path, err);
    }
    if (st.st_size > t->begun_at && ftruncate(t->fd, t->begun_at) != 0) {
        return er_file_error(errno, "cannot take back an unfinished write to", t->path, err);
    }
    /* When somebody else has cut the file meanwhile, ours may end in the middle of a line. */
    er_status status = er_file_repair(t, err);
    if (status == ER_OK) {
        t->begun_at = -1;
    }
    return status;
}

/* ---- rotating ---- */

typedef struct numbered {
    char s[ER_FILE_PATH_MAX + 32];
} numbered;

static numbered name_of(const er_file_target *t, int64_t number) {
    numbered name;
    int n =
        snprintf(name.s, sizeof name.s, number == 0 ? "%s" : "%s.%lld", t->path, (long long)number);
    ER_ASSERT(n > 0 && (size_t)n < sizeof name.s);
    return name;
}

static bool exists(const numbered *name) {
    struct stat st;
    return lstat(name->s, &st) == 0;
}

/* The first number that is free, at most keep: what stands there may go. */
static int64_t first_free(const er_file_target *t, int64_t keep) {
    for (int64_t i = 1; i < keep; i++) {
        numbered name = name_of(t, i);
        if (!exists(&name)) {
            return i;
        }
    }
    return keep;
}

/* What an earlier, larger keep has left. */
static void delete_beyond(const er_file_target *t, int64_t keep) {
    for (int64_t i = keep + 1; i <= ER_FILE_KEEP_MAX; i++) {
        numbered name = name_of(t, i);
        if (unlink(name.s) != 0) {
            return;
        }
    }
}

er_status er_file_rotate(er_file_target *t, int64_t keep, er_err *err) {
    ER_ASSERT(t->fd >= 0 && t->begun_at < 0);
    for (int64_t i = first_free(t, keep); i > 0; i--) {
        numbered from = name_of(t, i - 1);
        numbered to = name_of(t, i);
        if (rename(from.s, to.s) != 0) {
            return er_file_error(errno, "cannot rotate", from.s, err);
        }
    }
    delete_beyond(t, keep);
    er_file_close(t);
    return ER_OK;
}
