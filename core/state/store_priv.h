/* What store.c and store_file.c share. */
#ifndef ER_STATE_STORE_PRIV_H
#define ER_STATE_STORE_PRIV_H

#include "state/store.h"

#include <sqlite3.h>
#include <sys/types.h>

struct er_store {
    sqlite3 *db;
    int lock; /* descriptor; -1: opened for reading */
    dev_t device;
    ino_t inode; /* of the file that is open */
    unsigned char key[ER_STORE_KEY_BYTES];
    char directory[ER_STORE_PATH_MAX];
};

#define ER_STORE_SCHEMA 1 /* the version of the tables; see migrate() */

/* ---- store_file.c: paths, lock, setting aside ---- */

typedef enum er_lock_result { ER_LOCK_TAKEN, ER_LOCK_BUSY, ER_LOCK_FAILED } er_lock_result;
er_lock_result er_store_lock(const char *directory, int *lock, er_err *err);
void er_store_unlock(int lock);
/* "DIRECTORY/name"; the result is out. */
const char *er_store_path(const char *directory, const char *name, char out[ER_STORE_PATH_MAX]);
er_status er_store_sync_directory(const char *directory, er_err *err);
/* Gives the file another name, said in out, and moves what SQLite keeps beside it. The file may
 * still be there under its own name, to be replaced by a rename. */
er_status er_store_set_aside(const char *directory, char out[ER_STORE_PATH_MAX], er_err *err);
er_status er_store_make_directory(const char *directory, er_err *err);
/* Removes what SQLite keeps beside name; all: and the file. */
er_status er_store_unlink(const char *directory, const char *name, bool all, er_err *err);

#endif
