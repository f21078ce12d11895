/* Whole files, and files that change under us (tokens, certificates, secrets).
 *
 * Threads: an er_file_watch belongs to one thread. */
#ifndef ER_BASE_FILE_H
#define ER_BASE_FILE_H

#include "base/buf.h"

/* Appends the file's content. Errors: ER_E_IO with path and reason, ER_E_LIMIT over out->max,
 * ER_E_INVAL when it is not a regular file (a FIFO, socket or device is not waited for). */
er_status er_file_read(const char *path, er_buf *out, er_err *err);

/* The same of an open descriptor, whatever it is, to its end; waits for who writes. name stands in
 * the errors. */
er_status er_file_read_fd(int fd, const char *name, er_buf *out, er_err *err);

/* Device, inode, modification time and size: what tells that a file was replaced. */
typedef struct er_file_stamp {
    uint64_t dev, ino;
    int64_t mtime_ns, size;
} er_file_stamp;
/* False when the file cannot be looked at. Follows symbolic links (kubelet swaps them). */
bool er_file_stamp_get(const char *path, er_file_stamp *out);
bool er_file_stamp_eq(const er_file_stamp *a, const er_file_stamp *b);

#endif
