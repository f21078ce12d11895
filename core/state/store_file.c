/* The directory of the store: its lock, and what happens to a damaged file. */
#include "state/store_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const beside[] = {"", "-wal", "-shm", "-journal"};
#define BESIDE (sizeof beside / sizeof *beside)

static er_status fail(er_err *err, const char *what, const char *path) {
    char why[128];
    int errnum = errno;
    return er_err_set(err, ER_E_IO, "%s: cannot %s: %s", path, what,
                      er_errno_text(errnum, why, sizeof why));
}

const char *er_store_path(const char *directory, const char *name, char out[ER_STORE_PATH_MAX]) {
    (void)snprintf(out, ER_STORE_PATH_MAX, "%s/%s", directory, name);
    return out;
}

er_status er_store_make_directory(const char *directory, er_err *err) {
    return mkdir(directory, 0700) == 0 || errno == EEXIST ? ER_OK : fail(err, "make it", directory);
}

er_status er_store_sync_directory(const char *directory, er_err *err) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    er_status status = fd >= 0 && fsync(fd) == 0 ? ER_OK : fail(err, "sync it", directory);
    if (fd >= 0) {
        (void)close(fd);
    }
    return status;
}

/* Who holds it, for people; the lock itself is the kernel's and dies with its holder. */
static void write_pid(int fd) {
    char text[32];
    int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) == 0) {
        (void)!pwrite(fd, text, (size_t)n, 0);
    }
}

static long read_pid(int fd) {
    char text[32] = {0};
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

er_lock_result er_store_lock(const char *directory, int *lock, er_err *err) {
    char path[ER_STORE_PATH_MAX];
    *lock = -1;
    int fd = open(er_store_path(directory, "lock", path), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                  0600);
    if (fd < 0) {
        (void)fail(err, "open it", path);
        return ER_LOCK_FAILED;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        write_pid(fd);
        *lock = fd;
        return ER_LOCK_TAKEN;
    }
    er_lock_result result = ER_LOCK_FAILED;
    if (errno == EWOULDBLOCK) {
        long pid = read_pid(fd);
        (void)er_err_set(err, ER_E_UNAVAILABLE, "%s: in use by another process (pid %ld there)",
                         directory, pid);
        result = ER_LOCK_BUSY;
    } else {
        (void)fail(err, "lock it", path);
    }
    (void)close(fd);
    return result;
}

void er_store_unlock(int lock) {
    if (lock >= 0) {
        (void)close(lock);
    }
}

er_status er_store_set_aside(const char *directory, char out[ER_STORE_PATH_MAX], er_err *err) {
    char name[128];
    char from[ER_STORE_PATH_MAX];
    char to[ER_STORE_PATH_MAX];
    char stamp[ER_TIME_TEXT];
    for (unsigned n = 0;; n++) { /* a name that nothing has */
        (void)snprintf(name, sizeof name, "state.db.damaged-%s",
                       er_time_format(er_time_now(), stamp));
        struct stat st;
        if (lstat(er_store_path(directory, name, out), &st) != 0 || n > 1000) {
            break;
        }
    }
    for (size_t i = 1; i < BESIDE; i++) { /* none may be found beside the file that comes next */
        (void)snprintf(from, sizeof from, "%s/state.db%s", directory, beside[i]);
        (void)snprintf(to, sizeof to, "%.*s%s", (int)(sizeof to - 16), out, beside[i]);
        if (rename(from, to) != 0 && errno != ENOENT) {
            return fail(err, "set it aside", from);
        }
    }
    /* A second name, where that can be had: then there is no moment without a file. */
    (void)er_store_path(directory, "state.db", from);
    if (link(from, out) != 0 && rename(from, out) != 0) {
        return fail(err, "set it aside", from);
    }
    return ER_OK;
}

er_status er_store_unlink(const char *directory, const char *name, bool all, er_err *err) {
    char path[ER_STORE_PATH_MAX];
    for (size_t i = all ? 0 : 1; i < BESIDE; i++) {
        (void)snprintf(path, sizeof path, "%s/%s%s", directory, name, beside[i]);
        if (unlink(path) != 0 && errno != ENOENT) {
            return fail(err, "remove it", path);
        }
    }
    return ER_OK;
}

er_status er_store_remove(const char *directory, er_err *err) {
    int lock;
    er_lock_result result = er_store_lock(directory, &lock, err);
    if (result != ER_LOCK_TAKEN) {
        return result == ER_LOCK_BUSY ? ER_E_UNAVAILABLE : ER_E_IO;
    }
    er_status status = er_store_unlink(directory, "state.db", true, err);
    er_store_unlock(lock);
    return status;
}
