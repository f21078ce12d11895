/* The file: rows (stream, key) -> value with a checksum, in SQLite.
 *
 * Threads: one at a time; the keeper's, or main in `state show`. Ownership: the caller's.
 * Limits: values of 1 MiB, 10 million rows. Sources: SQLite's documentation, pages
 * wal, pragma (integrity_check), rescode. */
#ifndef ER_STATE_STORE_H
#define ER_STATE_STORE_H

#include "base/clock.h"
#include "base/err.h"

typedef struct er_store er_store;

#define ER_STORE_VALUE_MAX (1u << 20)
#define ER_STORE_PATH_MAX  4096
#define ER_STORE_KEY_BYTES 32

typedef enum er_store_outcome {
    ER_STORE_FAILED,   /* cannot be used; err says why. The content, if any, is not known */
    ER_STORE_LOCKED,   /* another process has it; err names it where it can */
    ER_STORE_NEW,      /* made now; there was none */
    ER_STORE_SOUND,    /* opened, its content checked */
    ER_STORE_REPLACED, /* made now; what was there was damaged and is set aside: err says where */
    ER_STORE_READONLY, /* content checked; err says why it cannot be written */
} er_store_outcome;

typedef struct er_store_row {
    er_str stream, key, value;
} er_store_row;

/* What a file that is made begins with, so that one that is there always tells a first start from a
 * loss. n rows each. */
typedef struct er_store_seed {
    const er_store_row *when_new, *when_replaced;
    size_t n;
} er_store_seed;

/* Opens directory's file for writing, making both when missing. *out is NULL for FAILED and LOCKED.
 */
er_store_outcome er_store_open(const char *directory, const er_store_seed *seed, er_store **out,
                               er_err *err);
/* Opens it for reading, without the lock: while a router runs, or on a file system that cannot be
 * written. ER_E_UNAVAILABLE: there is none. ER_E_INVAL: it is damaged. ER_E_IO: anything else. */
er_status er_store_open_readonly(const char *directory, er_store **out, er_err *err);
void er_store_close(er_store *store);
bool er_store_is_writable(const er_store *store);
/* ER_STORE_KEY_BYTES random bytes, made with the file. */
const unsigned char *er_store_key(const er_store *store);
/* Gives it this one instead. Errors: as er_store_begin. */
er_status er_store_put_key(er_store *store, const unsigned char key[ER_STORE_KEY_BYTES],
                           er_err *err);

/* Tells of each row of the streams that are sound, in order of stream and key. Rows of a stream
 * with damage are forgotten; *voided counts such streams. rows_of: how many other rows the value of
 * a stream's empty key speaks of; false: that value is not sound.
 * Errors: as er_store_open_readonly. */
typedef struct er_store_reader {
    void *arg;
    bool (*rows_of)(er_str value, size_t *rows);
    void (*row)(void *arg, const er_store_row *row);
} er_store_reader;
er_status er_store_read(er_store *store, const er_store_reader *reader, size_t *voided,
                        er_err *err);

/* A transaction: begin, puts and clears, end. Once one of them has failed, end undoes all.
 * A value whose p is NULL removes the row; clear removes all of a stream but its empty key; count
 * says how many there are. Errors: ER_E_IO, ER_E_INVAL (damaged, or the file was taken away). */
er_status er_store_begin(er_store *store, er_err *err);
er_status er_store_put(er_store *store, const er_store_row *row, er_err *err);
er_status er_store_clear(er_store *store, er_str stream, er_err *err);
er_status er_store_count(er_store *store, er_str stream, size_t *rows, er_err *err);
/* good: whether all of it went well; false undoes it. */
er_status er_store_end(er_store *store, bool good, er_err *err);
/* n puts in one transaction. */
er_status er_store_write(er_store *store, const er_store_row *rows, size_t n, er_err *err);
/* Moves what was written from beside the file into it, on disk: no loss of what is beside it, and
 * no power failure, takes it back. False: not all of it, for now. */
bool er_store_checkpoint(er_store *store);
/* Takes the lock and removes the file. ER_E_UNAVAILABLE: another process has it. */
er_status er_store_remove(const char *directory, er_err *err);

#endif
