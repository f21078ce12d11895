#include "state/store_priv.h"

#include "base/buf.h"
#include "base/json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define BUSY_MS  500 /* twice, when the program ends, within the limit for that */
#define META     ""  /* the stream of the store's own rows */
#define ROWS_MAX 10000000

/* ---- SQLite, in our words ---- */

/* SQLITE_ERROR: our statements are sound, so the file has other tables than ours, or a format that
 * SQLite does not know. */
static bool is_damage(int rc) {
    int primary = rc & 0xff;
    return primary == SQLITE_CORRUPT || primary == SQLITE_NOTADB || rc == SQLITE_ERROR ||
           rc == SQLITE_IOERR_SHORT_READ;
}

static er_status failed(er_store *store, int rc, const char *what, er_err *err) {
    const char *text = store->db == NULL ? sqlite3_errstr(rc) : sqlite3_errmsg(store->db);
    return er_err_set(err, is_damage(rc) ? ER_E_INVAL : ER_E_IO, "%s/state.db: cannot %s: %s",
                      store->directory, what, text);
}

static er_status exec(er_store *store, const char *sql, const char *what, er_err *err) {
    int rc = sqlite3_exec(store->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? ER_OK : failed(store, rc, what, err);
}

static er_status prepare(er_store *store, const char *sql, sqlite3_stmt **out, er_err *err) {
    int rc = sqlite3_prepare_v2(store->db, sql, -1, out, NULL);
    return rc == SQLITE_OK ? ER_OK : failed(store, rc, "read it", err);
}

static er_str column(sqlite3_stmt *statement, int i) {
    const void *p = sqlite3_column_blob(statement, i);
    return (er_str){p, (size_t)sqlite3_column_bytes(statement, i)};
}

/* Over the three parts with their lengths, so that nothing can move from one to the next. */
static int64_t checksum(const er_store_row *row) {
    const er_str parts[] = {row->stream, row->key, row->value};
    uLong crc = crc32(0, NULL, 0);
    for (size_t i = 0; i < 3; i++) {
        uint64_t n = parts[i].n;
        crc = crc32(crc, (const Bytef *)&n, sizeof n);
        crc = parts[i].n == 0 ? crc : crc32(crc, (const Bytef *)parts[i].p, (uInt)parts[i].n);
    }
    return (int64_t)crc;
}

/* ---- writing ---- */

static void bind(sqlite3_stmt *statement, int i, er_str text) {
    (void)sqlite3_bind_blob(statement, i, text.n == 0 ? "" : text.p, (int)text.n, SQLITE_STATIC);
}

er_status er_store_put(er_store *store, const er_store_row *row, er_err *err) {
    bool drops = row->value.p == NULL;
    sqlite3_stmt *statement = NULL;
    er_status status =
        prepare(store,
                drops ? "DELETE FROM entry WHERE stream=? AND key=?"
                      : "INSERT OR REPLACE INTO entry(stream,key,value,crc) VALUES(?,?,?,?)",
                &statement, err);
    if (status != ER_OK) {
        return status;
    }
    bind(statement, 1, row->stream);
    bind(statement, 2, row->key);
    if (!drops) {
        bind(statement, 3, row->value);
        (void)sqlite3_bind_int64(statement, 4, checksum(row));
    }
    int rc = sqlite3_step(statement);
    status = rc == SQLITE_DONE ? ER_OK : failed(store, rc, "write it", err);
    (void)sqlite3_finalize(statement);
    return status;
}

er_status er_store_clear(er_store *store, er_str stream, er_err *err) {
    sqlite3_stmt *statement = NULL;
    er_status status =
        prepare(store, "DELETE FROM entry WHERE stream=? AND key!=x''", &statement, err);
    if (status == ER_OK) {
        bind(statement, 1, stream);
        int rc = sqlite3_step(statement);
        status = rc == SQLITE_DONE ? ER_OK : failed(store, rc, "write it", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

er_status er_store_count(er_store *store, er_str stream, size_t *rows, er_err *err) {
    sqlite3_stmt *statement = NULL;
    er_status status =
        prepare(store, "SELECT count(*) FROM entry WHERE stream=? AND key!=x''", &statement, err);
    if (status == ER_OK) {
        bind(statement, 1, stream);
        int rc = sqlite3_step(statement);
        *rows = rc == SQLITE_ROW ? (size_t)sqlite3_column_int64(statement, 0) : 0;
        status = rc == SQLITE_ROW ? ER_OK : failed(store, rc, "read it", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* SQLite would go on writing what nobody can find again. */
static er_status check_place(const er_store *store, er_err *err) {
    char path[ER_STORE_PATH_MAX];
    struct stat st;
    bool is_there = stat(er_store_path(store->directory, "state.db", path), &st) == 0 &&
                    st.st_dev == store->device && st.st_ino == store->inode;
    return is_there || store->inode == 0
               ? ER_OK
               : er_err_set(err, ER_E_INVAL, "%s: removed or replaced while it was in use", path);
}

er_status er_store_begin(er_store *store, er_err *err) {
    er_status status = check_place(store, err);
    return status == ER_OK ? exec(store, "BEGIN IMMEDIATE", "write it", err) : status;
}

er_status er_store_end(er_store *store, bool good, er_err *err) {
    er_status status = good ? exec(store, "COMMIT", "write it", err) : ER_E_IO;
    if (status != ER_OK && sqlite3_get_autocommit(store->db) == 0) {
        (void)sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
    }
    return status;
}

er_status er_store_write(er_store *store, const er_store_row *rows, size_t n, er_err *err) {
    er_status status = er_store_begin(store, err);
    for (size_t i = 0; i < n && status == ER_OK; i++) {
        status = er_store_put(store, &rows[i], err);
    }
    er_status ended = er_store_end(store, status == ER_OK, err);
    return status == ER_OK ? ended : status;
}

er_status er_store_put_key(er_store *store, const unsigned char key[ER_STORE_KEY_BYTES],
                           er_err *err) {
    const er_store_row own = {ER_STR(META), ER_STR("key"), {(const char *)key, ER_STORE_KEY_BYTES}};
    er_status status = er_store_write(store, &own, 1, err);
    if (status == ER_OK) {
        memcpy(store->key, key, ER_STORE_KEY_BYTES);
    }
    return status;
}

bool er_store_checkpoint(er_store *store) {
    int frames = 0;
    int moved = 0;
    int rc = sqlite3_wal_checkpoint_v2(store->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &moved);
    return rc == SQLITE_OK && frames == moved;
}

/* ---- reading ---- */

typedef struct checked { /* one stream, as the first pass found it */
    struct checked *next;
    char *stream;
    size_t n, rows; /* rows there are besides the point; rows it speaks of */
    bool has_point, is_bad;
} checked;

static checked *checked_of(checked **all, er_str stream) {
    for (checked *c = *all; c != NULL; c = c->next) {
        if (er_str_eqc(stream, c->stream)) {
            return c;
        }
    }
    checked *c = er_xcalloc(1, sizeof *c);
    c->stream = er_str_dup(stream);
    c->next = *all;
    *all = c;
    return c;
}

static bool is_sound(const checked *c) {
    return !c->is_bad && c->has_point && c->rows == c->n;
}

static void look_at(checked **all, const er_store_row *row, int64_t crc,
                    const er_store_reader *reader) {
    checked *c = checked_of(all, row->stream);
    if (row->value.n > ER_STORE_VALUE_MAX || crc != checksum(row)) {
        c->is_bad = true;
    } else if (row->key.n > 0) {
        c->n++;
    } else {
        c->has_point = true;
        c->is_bad = c->is_bad || !reader->rows_of(row->value, &c->rows);
    }
}

typedef struct pass {
    er_store *store;
    const er_store_reader *reader;
    checked *streams;
    bool tells; /* the second one: rows of sound streams are told */
} pass;

static er_status read_pass(pass *p, er_err *err) {
    sqlite3_stmt *statement = NULL;
    er_status status = prepare(
        p->store, "SELECT stream,key,value,crc FROM entry ORDER BY stream,key", &statement, err);
    int rc = SQLITE_DONE;
    size_t n = 0;
    while (status == ER_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW && n++ < ROWS_MAX) {
        er_store_row row = {column(statement, 0), column(statement, 1), column(statement, 2)};
        if (row.stream.n == 0) {
            continue; /* META */
        }
        if (!p->tells) {
            look_at(&p->streams, &row, sqlite3_column_int64(statement, 3), p->reader);
        } else if (is_sound(checked_of(&p->streams, row.stream))) {
            p->reader->row(p->reader->arg, &row);
        }
    }
    if (status == ER_OK && rc != SQLITE_DONE) {
        status = failed(p->store, rc, "read it", err);
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* Rows that nobody can use would only be found bad again. */
static void forget(er_store *store, const char *stream) {
    sqlite3_stmt *statement = NULL;
    if (store->lock >= 0 &&
        prepare(store, "DELETE FROM entry WHERE stream=?", &statement, NULL) == ER_OK) {
        bind(statement, 1, er_str_of(stream));
        (void)sqlite3_step(statement);
    }
    (void)sqlite3_finalize(statement);
}

er_status er_store_read(er_store *store, const er_store_reader *reader, size_t *voided,
                        er_err *err) {
    pass p = {.store = store, .reader = reader};
    *voided = 0;
    er_status status = read_pass(&p, err);
    p.tells = true;
    if (status == ER_OK) {
        status = read_pass(&p, err);
    }
    while (p.streams != NULL) {
        checked *c = p.streams;
        p.streams = c->next;
        if (status == ER_OK && !is_sound(c)) {
            ++*voided;
            forget(store, c->stream);
        }
        free(c->stream);
        free(c);
    }
    return status;
}

/* ---- checking ---- */

/* Not quick_check: it takes a page for sound that is a copy of another one. */
static er_status content_check(er_store *store, er_err *err) {
    sqlite3_stmt *statement = NULL;
    er_status status = prepare(store, "PRAGMA integrity_check(1)", &statement, err);
    if (status == ER_OK) {
        int rc = sqlite3_step(statement);
        if (rc != SQLITE_ROW) {
            status = failed(store, rc, "check it", err);
        } else if (!er_str_eqc(column(statement, 0), "ok")) {
            er_str found = column(statement, 0);
            status = er_err_set(err, ER_E_INVAL, "%s/state.db: damaged: %.*s", store->directory,
                                (int)(found.n < 200 ? found.n : 200), found.p);
        }
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* One of the store's own rows; damaged when it is not there. */
static er_status read_own(er_store *store, const char *key, er_buf *out, er_err *err) {
    sqlite3_stmt *statement = NULL;
    er_status status =
        prepare(store, "SELECT value,crc FROM entry WHERE stream=x'' AND key=?", &statement, err);
    if (status == ER_OK) {
        bind(statement, 1, er_str_of(key));
        int rc = sqlite3_step(statement);
        er_store_row row = {ER_STR(META), er_str_of(key),
                            rc == SQLITE_ROW ? column(statement, 0) : (er_str){0}};
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) {
            status = failed(store, rc, "read it", err);
        } else if (rc != SQLITE_ROW || sqlite3_column_int64(statement, 1) != checksum(&row)) {
            status = er_err_set(err, ER_E_INVAL, "%s/state.db: damaged: not a store of ours",
                                store->directory);
        } else {
            er_buf_put_str(out, row.value);
        }
    }
    (void)sqlite3_finalize(statement);
    return status;
}

/* The version of the tables and the key stand in rows with a checksum: a flipped bit is not taken
 * for a file of a newer program, nor for another key. */
static er_status read_owns(er_store *store, int64_t *version, er_err *err) {
    er_buf text;
    er_buf_init(&text, 1024);
    uint64_t v = 0;
    er_status status = read_own(store, "schema", &text, err);
    if (status == ER_OK && (!er_parse_u64(er_buf_str(&text), &v) || v < 1 || v >= INT64_MAX)) {
        status = er_err_set(err, ER_E_INVAL, "%s/state.db: damaged: not a store of ours",
                            store->directory);
    }
    *version = (int64_t)v;
    er_buf_clear(&text);
    if (status == ER_OK && v == ER_STORE_SCHEMA) {
        status = read_own(store, "key", &text, err);
        if (status == ER_OK && text.len == sizeof store->key) {
            memcpy(store->key, text.p, sizeof store->key);
        } else if (status == ER_OK) {
            status = er_err_set(err, ER_E_INVAL, "%s/state.db: damaged: its key is none",
                                store->directory);
        }
    }
    er_buf_fini(&text);
    return status;
}

/* From an older version of the tables to this one: there is none yet. */
static er_status migrate(er_store *store, int64_t version, er_err *err) {
    if (version > ER_STORE_SCHEMA) {
        return er_err_set(err, ER_E_IO,
                          "%s/state.db: written by a newer version of this program (tables %lld, "
                          "this one knows %d); it is left alone",
                          store->directory, (long long)version, ER_STORE_SCHEMA);
    }
    return ER_OK;
}

static er_status check(er_store *store, er_err *err) {
    int64_t version = 0;
    er_status status = content_check(store, err);
    if (status == ER_OK) {
        status = read_owns(store, &version, err);
    }
    return status == ER_OK ? migrate(store, version, err) : status;
}

/* ---- opening ---- */

static er_store *store_new(const char *directory, int lock) {
    er_store *store = er_xcalloc(1, sizeof *store);
    store->lock = lock;
    (void)snprintf(store->directory, sizeof store->directory, "%s", directory);
    return store;
}

/* The lock stays: it belongs to who took it until the store is handed out. */
static void close_db(er_store *store) {
    (void)sqlite3_close(store->db);
    store->db = NULL;
}

void er_store_close(er_store *store) {
    if (store != NULL) {
        close_db(store);
        er_store_unlock(store->lock);
        free(store);
    }
}

const unsigned char *er_store_key(const er_store *store) {
    return store->key;
}

bool er_store_is_writable(const er_store *store) {
    return store->lock >= 0;
}

static er_status open_db(er_store *store, const char *name, int flags, er_err *err) {
    int rc = sqlite3_open_v2(name, &store->db,
                             flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_URI,
                             NULL);
    if (rc != SQLITE_OK) {
        er_status status = failed(store, rc, "open it", err);
        close_db(store);
        return status;
    }
    (void)sqlite3_busy_timeout(store->db, BUSY_MS);
    /* A small page cache: there are few rows, and this program promises a few MB in all. */
    return exec(store, "PRAGMA cache_size=-256; PRAGMA mmap_size=0", "set it up", err);
}

/* Makes the whole file under another name, so that one that is there is complete. */
static er_status make(er_store *store, const er_store_row *rows, size_t n, er_err *err) {
    static const char tables[] =
        "PRAGMA journal_mode=DELETE; PRAGMA synchronous=FULL;"
        "CREATE TABLE entry(stream BLOB NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
        " crc INTEGER NOT NULL, PRIMARY KEY(stream, key)) WITHOUT ROWID";
    char path[ER_STORE_PATH_MAX];
    char version[16];
    (void)snprintf(version, sizeof version, "%d", ER_STORE_SCHEMA);
    unsigned char key[ER_STORE_KEY_BYTES];
    if (getentropy(key, sizeof key) != 0) {
        return er_err_set(err, ER_E_IO, "%s: the system has no random bytes", store->directory);
    }
    const er_store_row own[] = {
        {ER_STR(META), ER_STR("schema"), er_str_of(version)},
        {ER_STR(META), ER_STR("key"), {(const char *)key, sizeof key}},
    };
    er_status status = er_store_unlink(store->directory, "state.db.new", true, err);
    if (status == ER_OK) {
        status = open_db(store, er_store_path(store->directory, "state.db.new", path),
                         SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, err);
    }
    if (status == ER_OK) {
        status = exec(store, tables, "make it", err);
    }
    if (status == ER_OK) {
        status = er_store_write(store, own, 2, err);
    }
    if (status == ER_OK) {
        status = er_store_write(store, rows, n, err);
    }
    close_db(store);
    return status;
}

static er_status put_in_place(const er_store *store, er_err *err) {
    char from[ER_STORE_PATH_MAX];
    char to[ER_STORE_PATH_MAX];
    er_status status = er_store_unlink(store->directory, "state.db", false, err);
    if (status == ER_OK && rename(er_store_path(store->directory, "state.db.new", from),
                                  er_store_path(store->directory, "state.db", to)) != 0) {
        return er_err_set(err, ER_E_IO, "%s: cannot put the new file in place", to);
    }
    return status == ER_OK ? er_store_sync_directory(store->directory, err) : status;
}

static void note_place(er_store *store, const char *path) {
    struct stat st;
    if (stat(path, &st) == 0) {
        store->device = st.st_dev;
        store->inode = st.st_ino;
    }
}

/* Opens what is there for writing and checks it. */
static er_status open_writable(er_store *store, er_err *err) {
    char path[ER_STORE_PATH_MAX];
    er_status status = open_db(store, er_store_path(store->directory, "state.db", path),
                               SQLITE_OPEN_READWRITE, err);
    if (status == ER_OK) {
        status = check(store, err);
    }
    if (status == ER_OK && sqlite3_db_readonly(store->db, "main") == 1) {
        bool may = access(path, W_OK) == 0; /* then it is the file that says so */
        status =
            may ? er_err_set(err, ER_E_INVAL, "%s: damaged: it says it cannot be written", path)
                : er_err_set(err, ER_E_IO, "%s: it may not be written", path);
    }
    if (status == ER_OK) {
        /* A commit that a power failure takes back costs repeats only. */
        status =
            exec(store, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL", "set it up", err);
    }
    if (status == ER_OK) {
        note_place(store, path);
    } else {
        close_db(store);
    }
    return status;
}

static er_store_outcome make_new(er_store *store, const er_store_seed *seed, er_err *err) {
    er_status status = make(store, seed->when_new, seed->n, err);
    if (status == ER_OK) {
        status = put_in_place(store, err);
    }
    if (status == ER_OK) {
        status = open_writable(store, err);
    }
    return status == ER_OK ? ER_STORE_NEW : ER_STORE_FAILED;
}

/* damage: what was found; becomes what was done. */
static er_store_outcome replace(er_store *store, const er_store_seed *seed, er_err *damage) {
    char aside[ER_STORE_PATH_MAX];
    er_err err = {0};
    er_status status = make(store, seed->when_replaced, seed->n, &err);
    if (status == ER_OK) {
        status = er_store_set_aside(store->directory, aside, &err);
    }
    if (status == ER_OK) {
        status = put_in_place(store, &err);
    }
    if (status == ER_OK) {
        status = open_writable(store, &err);
    }
    if (status != ER_OK) {
        *damage = err;
        return ER_STORE_FAILED;
    }
    er_err found = *damage;
    (void)er_err_set(damage, ER_E_INVAL, "%.300s; kept as %.200s", found.msg, aside);
    return ER_STORE_REPLACED;
}

static er_store_outcome open_locked(er_store *store, const er_store_seed *seed, er_err *err) {
    char path[ER_STORE_PATH_MAX];
    struct stat st;
    if (lstat(er_store_path(store->directory, "state.db", path), &st) != 0) {
        return make_new(store, seed, err);
    }
    er_status status = open_writable(store, err);
    if (status == ER_OK) {
        return ER_STORE_SOUND;
    }
    return status == ER_E_INVAL ? replace(store, seed, err) : ER_STORE_FAILED;
}

/* What cannot be written may still be read: the resume points in it are as good as ever. */
static er_store_outcome fall_back(const char *directory, er_store **out) {
    return er_store_open_readonly(directory, out, NULL) == ER_OK ? ER_STORE_READONLY
                                                                 : ER_STORE_FAILED;
}

er_store_outcome er_store_open(const char *directory, const er_store_seed *seed, er_store **out,
                               er_err *err) {
    int lock = -1;
    *out = NULL;
    if (er_store_make_directory(directory, err) != ER_OK) {
        return ER_STORE_FAILED;
    }
    er_lock_result result = er_store_lock(directory, &lock, err);
    if (result == ER_LOCK_BUSY) {
        return ER_STORE_LOCKED;
    }
    if (result == ER_LOCK_FAILED) {
        return fall_back(directory, out);
    }
    er_store *store = store_new(directory, lock);
    er_store_outcome outcome = open_locked(store, seed, err);
    if (outcome != ER_STORE_FAILED) {
        *out = store;
        return outcome;
    }
    er_store_close(store);
    return fall_back(directory, out);
}

/* mode=ro reads what a running router writes. Where SQLite cannot make its own files, what is in
 * the file itself is read: at the worst an older resume point. */
er_status er_store_open_readonly(const char *directory, er_store **out, er_err *err) {
    static const char *const ways[] = {"mode=ro", "immutable=1"};
    char path[ER_STORE_PATH_MAX];
    struct stat st;
    *out = NULL;
    if (lstat(er_store_path(directory, "state.db", path), &st) != 0) {
        return er_err_set(err, ER_E_UNAVAILABLE, "%s: there is no such file", path);
    }
    er_status status = ER_E_IO;
    for (size_t i = 0; i < 2 && status == ER_E_IO; i++) {
        er_buf uri;
        er_buf_init(&uri, 4u * ER_STORE_PATH_MAX);
        er_buf_puts(&uri, "file:");
        for (const char *c = path; *c != '\0'; c++) {
            if (*c == '%' || *c == '?' || *c == '#') {
                er_buf_putf(&uri, "%%%02x", (unsigned)(unsigned char)*c);
            } else {
                er_buf_putc(&uri, *c);
            }
        }
        er_buf_putf(&uri, "?%s", ways[i]);
        er_store *store = store_new(directory, -1);
        status = open_db(store, er_buf_cstr(&uri), SQLITE_OPEN_READONLY, err);
        status = status == ER_OK ? check(store, err) : status;
        if (status == ER_OK) {
            *out = store;
        } else {
            er_store_close(store);
        }
        er_buf_fini(&uri);
    }
    return status;
}
