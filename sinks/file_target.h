/* The file that a file sink writes to: opened, locked, repaired, appended to in units that are
 * there whole or not at all, moved out of the way.
 *
 * One writer: the file is locked (flock(2)) as long as it is open; a second router, or a second
 * sink, is told so and waits. What belongs to others is left alone: a symbolic link and everything
 * that is not a regular file are refused before they are opened, so that a FIFO cannot hang the
 * thread and a device is not touched.
 *
 * Appending: er_file_begin, er_file_write as often as needed, er_file_commit. Only the commit says
 * that the bytes are there. Whatever fails before it, er_file_undo takes back, at once or before
 * the next begin: no torn line stays behind, and a unit that is tried again is not there twice.
 *
 * Errors: ER_E_DENIED when path or permissions are wrong (EACCES, EPERM, EROFS, ENOENT, ...),
 * ER_E_UNAVAILABLE when it may pass (ENOSPC, EDQUOT, EIO, a lock that another holds, ...). The
 * text names the path. A write to a disk or a file server that hangs cannot be cancelled.
 *
 * Threads: one. */
#ifndef ER_SINKS_FILE_TARGET_H
#define ER_SINKS_FILE_TARGET_H

#include "base/clock.h"
#include "base/err.h"

#include <sys/types.h>
#include <sys/uio.h>

#define ER_FILE_IOV_MAX  1024       /* Linux's UIO_MAXIOV: the most that one writev(2) takes */
#define ER_FILE_LINE_MAX (16 << 20) /* bytes of one line */
#define ER_FILE_PATH_MAX 4000       /* leaves room for the number of a rotated file */
#define ER_FILE_KEEP_MAX 1000

typedef struct er_file_target {
    const char *path; /* borrowed */
    const char *sink; /* the sink's name, for log lines; borrowed */
    mode_t mode;      /* of a file that is made, less the umask */
    bool sync_names;  /* a new file's name is on disk before it is used */

    int fd; /* -1: not open */
    dev_t dev;
    ino_t ino;
    er_time born;      /* when the file was made, where the file system knows; else opened */
    bool is_unsynced;  /* there are committed bytes that no fdatasync covers */
    off_t begun_at;    /* -1: nothing begun; else the size before, to which undo goes back */
    size_t begun_size; /* bytes written since */
} er_file_target;

void er_file_init(er_file_target *t, const char *path, const char *sink, mode_t mode,
                  bool sync_names);
/* Syncs what is not synced, and closes. Also when it is not open. */
void er_file_close(er_file_target *t);

/* Makes the file where there is none, locks it, repairs a last line that has no end. */
er_status er_file_open(er_file_target *t, er_err *err);
/* False when path no longer names the open file: it was moved away or deleted. */
bool er_file_is_current(const er_file_target *t);
/* The size, at least 0; 0 too when it cannot be had (the next write will say why). */
off_t er_file_size(const er_file_target *t);

er_status er_file_begin(er_file_target *t, er_err *err);
/* All of iov, which is changed; n at most ER_FILE_IOV_MAX. */
er_status er_file_write(er_file_target *t, struct iovec *iov, size_t n, er_err *err);
/* sync: what was written is on disk (fdatasync). ER_E_IO: the file was deleted or cut under us
 * meanwhile; undo, and write to what is there now. */
er_status er_file_commit(er_file_target *t, bool sync, er_err *err);
/* Takes back what is begun and not committed; without effect when there is nothing. */
er_status er_file_undo(er_file_target *t, er_err *err);

er_status er_file_sync(er_file_target *t, er_err *err);

/* path becomes path.1, path.1 becomes path.2, and so on; more than keep are deleted, oldest first;
 * the open file is closed, and the next open makes a new one. Every step is one rename(2), the
 * oldest first: a kill between any two of them loses nothing and leaves at most a gap in the
 * numbers, which the next rotation closes. When it fails the open file stays in use. */
er_status er_file_rotate(er_file_target *t, int64_t keep, er_err *err);

/* sinks/file_tail.c. What a kill or a crash left behind the last newline of the open file. A line
 * is acknowledged only when its newline is written, so a torn line was never acknowledged, and
 * nobody can use it: it is cut off. A complete JSON object without its newline is kept, and gets
 * the newline: at worst its record, which nobody acknowledged, comes once more with the same id; at
 * best only the newline was lost with the machine (fsync never). So does text that no record of
 * ours begins with: it is somebody else's. */
er_status er_file_repair(const er_file_target *t, er_err *err);

/* Sets err for a failed call on path ("cannot write"). */
er_status er_file_error(int errnum, const char *what, const char *path, er_err *err);

#endif
