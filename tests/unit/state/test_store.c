/* The file, and every damage to it: nothing else than what was written ever comes out, what is
 * damaged is kept, and never looks like a first start. */
#include "store_fixture.h"

#include <sqlite3.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define ROWS  40
#define FIRST "{\"mark\":\"first\",\"rows\":0}"
#define LIST  "{\"mark\":\"list\",\"gapCause\":\"noState\",\"rows\":0}"

#define TEXT(literal)                                                                              \
    { (literal), sizeof(literal) - 1 }

static const er_store_row first_rows[] = {{TEXT("a"), TEXT(""), TEXT(FIRST)},
                                          {TEXT("b"), TEXT(""), TEXT(FIRST)}};
static const er_store_row lost_rows[] = {{TEXT("a"), TEXT(""), TEXT(LIST)},
                                         {TEXT("b"), TEXT(""), TEXT(LIST)}};
static const er_store_seed seeds = {first_rows, lost_rows, 2};

static er_store_outcome open_it(const scene *s, er_store **store, er_err *err) {
    *err = (er_err){0};
    return er_store_open(path_of(s, "state"), &seeds, store, err);
}

/* ---- content ---- */

/* Everything a store tells, as one text. */
static void on_row(void *arg, const er_store_row *row) {
    er_buf *text = arg;
    er_buf_putf(text, "%.*s|", (int)row->stream.n, row->stream.p);
    er_buf_put_str(text, row->key);
    er_buf_puts(text, "|");
    er_buf_put_str(text, row->value);
    er_buf_puts(text, "\n");
}

static char *content(er_store *store, size_t *voided) {
    er_buf text;
    er_buf_init(&text, 1u << 20);
    const er_store_reader reader = {&text, rows_of, on_row};
    er_err err = {0};
    er_status status = er_store_read(store, &reader, voided, &err);
    char *out = status == ER_OK ? er_dup(er_buf_cstr(&text)) : NULL;
    er_buf_fini(&text);
    return out;
}

static void put_point(er_store *store, const char *stream, const char *version, size_t rows) {
    char value[128];
    (void)snprintf(value, sizeof value, "{\"mark\":\"resume\",\"version\":\"%s\",\"rows\":%zu}",
                   version, rows);
    const er_store_row row = {er_str_of(stream), ER_STR(""), er_str_of(value)};
    er_err err = {0};
    if (er_store_write(store, &row, 1, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
}

static void put_rows(er_store *store, const char *stream) {
    for (int i = 0; i < ROWS; i++) {
        char key[32];
        char value[400];
        (void)snprintf(key, sizeof key, "key-%d", i);
        (void)snprintf(value, sizeof value, "%0350d", i);
        const er_store_row row = {er_str_of(stream), er_str_of(key), er_str_of(value)};
        assert_int_equal(er_store_write(store, &row, 1, NULL), ER_OK);
    }
}

/* Two streams with a point and rows, on several pages; what they say is returned. */
static char *fill(const scene *s) {
    er_store *store = NULL;
    er_err err;
    assert_int_equal(open_it(s, &store, &err), ER_STORE_NEW);
    put_point(store, "a", "100", ROWS);
    put_rows(store, "a");
    put_point(store, "b", "200", ROWS);
    put_rows(store, "b");
    size_t voided = 9;
    char *all = content(store, &voided);
    assert_non_null(all);
    assert_int_equal(voided, 0);
    er_store_close(store);
    return all;
}

typedef struct bytes {
    char *p;
    size_t n;
} bytes;

static bytes read_file(const char *path) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    bytes b = {er_xcalloc(1, 4u << 20), 0};
    b.n = fread(b.p, 1, 4u << 20, f);
    (void)fclose(f);
    return b;
}

static void write_file(const char *path, const char *p, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(p, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

/* ---- in good times ---- */

static void test_written_and_read(void **state) {
    const scene *s = *state;
    er_store *store = NULL;
    er_err err;
    assert_int_equal(open_it(s, &store, &err), ER_STORE_NEW);
    size_t voided;
    char *text = content(store, &voided);
    assert_string_equal(text, "a||" FIRST "\nb||" FIRST "\n");
    free(text);
    const er_store_row rows[] = {
        {ER_STR("a"), ER_STR(""), ER_STR("{\"mark\":\"resume\",\"version\":\"7\",\"rows\":1}")},
        {ER_STR("a"), ER_STR("k"), ER_STR("")},
        {ER_STR("a"), ER_STR("gone"), {NULL, 0}},
        {ER_STR("b"), ER_STR(""), {NULL, 0}},
    };
    assert_int_equal(er_store_write(store, rows, 4, &err), ER_OK);
    er_store_close(store);
    assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
    text = content(store, &voided);
    assert_string_equal(text, "a||{\"mark\":\"resume\",\"version\":\"7\",\"rows\":1}\na|k|\n");
    assert_int_equal(voided, 0);
    free(text);
    er_store_close(store);
}

static void test_read_while_it_is_written(void **state) {
    const scene *s = *state;
    er_store *writer = NULL;
    er_store *reader = NULL;
    er_err err;
    assert_int_equal(er_store_open_readonly(path_of(s, "state"), &reader, &err), ER_E_UNAVAILABLE);
    assert_int_equal(open_it(s, &writer, &err), ER_STORE_NEW);
    put_point(writer, "a", "5", 0);
    assert_int_equal(er_store_open_readonly(path_of(s, "state"), &reader, &err), ER_OK);
    assert_false(er_store_is_writable(reader));
    put_point(writer, "a", "6", 0);
    size_t voided;
    char *text = content(reader, &voided);
    assert_non_null(strstr(text, "\"version\":\"6\""));
    free(text);
    er_store_close(reader);
    er_store_close(writer);
}

static void test_one_at_a_time(void **state) {
    const scene *s = *state;
    er_store *one = NULL;
    er_store *two = NULL;
    er_err err;
    char pid[32];
    assert_int_equal(open_it(s, &one, &err), ER_STORE_NEW);
    assert_int_equal(open_it(s, &two, &err), ER_STORE_LOCKED);
    (void)snprintf(pid, sizeof pid, "(pid %d there)", (int)getpid());
    assert_non_null(strstr(err.msg, pid));
    assert_null(two);
    assert_int_equal(er_store_remove(path_of(s, "state"), &err), ER_E_UNAVAILABLE);
    er_store_close(one);
    assert_int_equal(open_it(s, &two, &err), ER_STORE_SOUND);
    er_store_close(two);
    assert_int_equal(er_store_remove(path_of(s, "state"), &err), ER_OK);
    assert_int_equal(files(s, "state.db"), 0);
}

/* ---- damage ---- */

/* One damaged file: what comes out, and that it is kept. */
static void check_damaged(const scene *s, const char *all, const char *what, size_t where) {
    bytes damaged = read_file(path_of(s, "state/state.db"));
    er_store *store = NULL;
    er_err err;
    er_store_outcome outcome = open_it(s, &store, &err);
    if (outcome != ER_STORE_SOUND && outcome != ER_STORE_REPLACED) {
        fail_msg("%s at %zu: outcome %d: %s", what, where, (int)outcome, err.msg);
    }
    size_t voided = 0;
    char *text = content(store, &voided);
    assert_non_null(text);
    if (outcome == ER_STORE_REPLACED) {
        assert_string_equal(text, "a||" LIST "\nb||" LIST "\n");
        const char *aside = strstr(err.msg, "; kept as ");
        assert_non_null(aside);
        bytes kept = read_file(aside + strlen("; kept as "));
        assert_int_equal(kept.n, damaged.n);
        assert_memory_equal(kept.p, damaged.p, kept.n);
        free(kept.p);
    } else if (strcmp(text, all) != 0) { /* a stream was voided; the other is whole */
        const char *b = strstr(all, "b||");
        bool whole_b = voided == 1 && strcmp(text, b) == 0;
        bool whole_a = voided == 1 && strncmp(text, all, (size_t)(b - all)) == 0 &&
                       strlen(text) == (size_t)(b - all);
        bool none = voided == 2 && text[0] == '\0';
        if (!whole_a && !whole_b && !none) {
            fail_msg("%s at %zu: something else came out, %zu voided:\n%.300s", what, where, voided,
                     text);
        }
    }
    put_point(store, "a", "300", 0); /* it can be used again */
    er_store_close(store);
    free(text);
    free(damaged.p);
    remove_all(path_of(s, "state"));
}

static void lay(const scene *s, const char *p, size_t n) {
    (void)mkdir(path_of(s, "state"), 0700);
    write_file(path_of(s, "state/state.db"), p, n);
}

static void test_cut(void **state) {
    const scene *s = *state;
    char *all = fill(s);
    bytes good = read_file(path_of(s, "state/state.db"));
    assert_true(good.n > 6u * 4096);
    remove_all(path_of(s, "state"));
    for (size_t n = 0; n < good.n;
         n += n % 4096 == 0 ? 1 : 4095) { /* at a page's end, and one more */
        lay(s, good.p, n);
        check_damaged(s, all, "cut", n);
    }
    free(good.p);
    free(all);
}

static void test_pages(void **state) {
    const scene *s = *state;
    char *all = fill(s);
    bytes good = read_file(path_of(s, "state/state.db"));
    char *bad = er_xcalloc(1, good.n);
    remove_all(path_of(s, "state"));
    for (size_t page = 0; page < good.n; page += 4096) {
        for (int kind = 0; kind < 3; kind++) {
            memcpy(bad, good.p, good.n);
            for (size_t i = 0; i < 4096; i++) {
                bad[page + i] = kind == 0   ? 0
                                : kind == 1 ? (char)~bad[page + i]
                                            : good.p[(page + 4096 + i) % good.n];
            }
            lay(s, bad, good.n);
            check_damaged(s, all, kind == 0 ? "zeroed" : kind == 1 ? "flipped" : "swapped", page);
        }
    }
    free(bad);
    free(good.p);
    free(all);
}

static void test_bytes(void **state) {
    const scene *s = *state;
    char *all = fill(s);
    bytes good = read_file(path_of(s, "state/state.db"));
    remove_all(path_of(s, "state"));
    for (size_t i = 0; i < good.n; i += i < 120 ? 1 : 37) {
        for (int mask = 1; mask <= 0xff; mask = i < 120 ? mask * 2 + 1 : 0x100) {
            good.p[i] = (char)(good.p[i] ^ mask);
            lay(s, good.p, good.n);
            check_damaged(s, all, "changed", i);
            good.p[i] = (char)(good.p[i] ^ mask);
        }
    }
    free(good.p);
    free(all);
}

static void test_not_sqlite(void **state) {
    const scene *s = *state;
    static const char *const texts[] = {"x", "SQLite format 3", "{\"mark\":\"resume\"}", "\n"};
    for (size_t i = 0; i < 4; i++) {
        lay(s, texts[i], strlen(texts[i]));
        check_damaged(s, "", "a text", i);
    }
}

/* What SQLite keeps beside the file, as a kill leaves it. Of the points 300..., one comes out. */
static void test_wal(void **state) {
    const scene *s = *state;
    er_store *store = NULL;
    er_err err;
    free(fill(s));
    assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
    put_point(store, "a", "300", ROWS);
    assert_true(er_store_checkpoint(store));
    for (int i = 1; i < 6; i++) {
        char version[16];
        (void)snprintf(version, sizeof version, "%d", 300 + i);
        put_point(store, "a", version, ROWS);
    }
    bytes file = read_file(path_of(s, "state/state.db"));
    bytes wal = read_file(path_of(s, "state/state.db-wal"));
    er_store_close(store);
    assert_true(wal.n > 5u * 4096);
    unsigned newest = 0;
    for (size_t i = 0; i <= wal.n; i += 509) {
        remove_all(path_of(s, "state"));
        lay(s, file.p, file.n);
        bool cut = i / 509 % 2 == 0;
        if (!cut) {
            wal.p[i] = (char)~wal.p[i];
        }
        write_file(path_of(s, "state/state.db-wal"), wal.p, cut ? i : wal.n);
        assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
        size_t voided = 9;
        char *text = content(store, &voided);
        assert_int_equal(voided, 0);
        assert_ptr_equal(strstr(text, "a||{\"mark\":\"resume\",\"version\":\"30"), text);
        newest += strstr(text, "\"305\"") != NULL;
        free(text);
        er_store_close(store);
        if (!cut) {
            wal.p[i] = (char)~wal.p[i];
        }
    }
    assert_true(newest < wal.n / 509); /* damage costs repeats */
    free(wal.p);
    free(file.p);
}

/* A row that nobody wrote so voids its stream, and only that. */
static void test_rows(void **state) {
    static const char *const harm[] = {
        "UPDATE entry SET crc=crc+1 WHERE stream=x'61' AND key=CAST('key-7' AS BLOB)",
        "UPDATE entry SET value=x'00' WHERE stream=x'61' AND key=CAST('key-7' AS BLOB)",
        "UPDATE entry SET key=x'00' WHERE stream=x'61' AND key=CAST('key-7' AS BLOB)",
        "DELETE FROM entry WHERE stream=x'61' AND key=CAST('key-7' AS BLOB)",
        "DELETE FROM entry WHERE stream=x'61' AND key=x''",
        "UPDATE entry SET value=(SELECT value FROM entry WHERE stream=x'62' AND key=x''), "
        "crc=(SELECT crc FROM entry WHERE stream=x'62' AND key=x'') WHERE stream=x'61' AND key=x''",
    };
    const scene *s = *state;
    char *all = fill(s);
    bytes good = read_file(path_of(s, "state/state.db"));
    for (size_t i = 0; i < sizeof harm / sizeof harm[0]; i++) {
        remove_all(path_of(s, "state"));
        lay(s, good.p, good.n);
        sqlite3 *db = NULL;
        assert_int_equal(sqlite3_open(path_of(s, "state/state.db"), &db), SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, harm[i], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_changes(db), 1);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        er_store *store = NULL;
        er_err err;
        assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
        size_t voided = 9;
        char *text = content(store, &voided);
        assert_int_equal(voided, 1);
        assert_string_equal(text, strstr(all, "b||"));
        free(text);
        text = content(store, &voided); /* forgotten: not found bad again */
        assert_int_equal(voided, 0);
        free(text);
        er_store_close(store);
    }
    free(good.p);
    free(all);
}

static void test_newer_schema(void **state) {
    const scene *s = *state;
    er_store *store = NULL;
    er_err err;
    free(fill(s));
    assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
    const er_store_row schema = {ER_STR(""), ER_STR("schema"), ER_STR("2")};
    assert_int_equal(er_store_write(store, &schema, 1, &err), ER_OK);
    er_store_close(store);
    bytes before = read_file(path_of(s, "state/state.db"));
    assert_int_equal(open_it(s, &store, &err), ER_STORE_FAILED);
    assert_non_null(strstr(err.msg, "newer version of this program (tables 2, this one knows 1)"));
    bytes after = read_file(path_of(s, "state/state.db"));
    assert_int_equal(before.n, after.n);
    assert_memory_equal(before.p, after.p, after.n);
    assert_int_equal(files(s, "state.db.damaged"), 0);
    free(before.p);
    free(after.p);
}

/* ---- places ---- */

static void test_bad_places(void **state) {
    const scene *s = *state;
    er_store *store = NULL;
    er_err err = {0};
    assert_int_equal(er_store_open(path_of(s, "no/such"), &seeds, &store, &err), ER_STORE_FAILED);
    assert_non_null(strstr(err.msg, "no/such: cannot make it: No such file or directory"));
    write_file(path_of(s, "file"), "x", 1);
    assert_int_equal(er_store_open(path_of(s, "file"), &seeds, &store, &err), ER_STORE_FAILED);
    assert_int_equal(mkdir(path_of(s, "state"), 0700), 0);
    assert_int_equal(mkdir(path_of(s, "state/state.db"), 0700), 0);
    assert_int_equal(open_it(s, &store, &err), ER_STORE_FAILED);
    assert_int_equal(rmdir(path_of(s, "state/state.db")), 0);
    assert_int_equal(unlink(path_of(s, "state/lock")), 0);
    assert_int_equal(symlink(path_of(s, "file"), path_of(s, "state/lock")), 0);
    assert_int_equal(open_it(s, &store, &err),
                     ER_STORE_FAILED); /* we write where we were told to */
    assert_int_equal(unlink(path_of(s, "state/lock")), 0);
    /* The directory itself may be a link: that is the operator's. */
    assert_int_equal(symlink(path_of(s, "state"), path_of(s, "link")), 0);
    assert_int_equal(er_store_open(path_of(s, "link"), &seeds, &store, &err), ER_STORE_NEW);
    er_store_close(store);
}

static void test_taken_away_while_in_use(void **state) {
    const scene *s = *state;
    er_store *store = NULL;
    er_err err;
    const er_store_row row = {ER_STR("a"), ER_STR(""), ER_STR(FIRST)};
    free(fill(s));
    assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
    put_point(store, "a", "5", ROWS);
    remove_all(path_of(s, "state"));
    assert_int_equal(er_store_write(store, &row, 1, &err), ER_E_INVAL);
    assert_non_null(strstr(err.msg, "state.db: removed or replaced while it was in use"));
    er_store_close(store);
}

/* In a process that may not do everything: the outcome, or 100 + that of a write. */
static int as_nobody(const scene *s, rlim_t file_size, bool writes) {
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        er_store *store = NULL;
        er_err err;
        ignore_file_size_signal();
        const struct rlimit limit = {file_size, file_size};
        if (setrlimit(RLIMIT_FSIZE, &limit) != 0 ||
            (geteuid() == 0 && file_size == RLIM_INFINITY && setresuid(65534, 65534, 65534) != 0)) {
            _exit(99);
        }
        er_store_outcome outcome = open_it(s, &store, &err);
        if (writes && store != NULL) {
            outcome = (er_store_outcome)(100 + er_store_write(store, first_rows, 2, &err));
        }
        er_store_close(store);
        _exit((int)outcome);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_owned_by_another(void **state) {
    const scene *s = *state;
    assert_int_equal(chmod(s->dir, 0755), 0);
    free(fill(s));
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(as_nobody(s, RLIM_INFINITY, false), ER_STORE_FAILED); /* 0700 */
    assert_int_equal(chmod(path_of(s, "state"), 0755), 0);
    assert_int_equal(chmod(path_of(s, "state/state.db"), 0644), 0);
    assert_int_equal(as_nobody(s, RLIM_INFINITY, false), ER_STORE_READONLY);
    assert_int_equal(chmod(path_of(s, "state/state.db"), 0600), 0);
    assert_int_equal(as_nobody(s, RLIM_INFINITY, false), ER_STORE_FAILED);
    assert_int_equal(files(s, "state.db.damaged"), 0);
    er_store *store = NULL; /* and its owner finds it as it was */
    er_err err;
    assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
    er_store_close(store);
}

static void test_full(void **state) {
    const scene *s = *state;
    assert_int_equal(as_nobody(s, 0, false), ER_STORE_FAILED); /* no room for a new one */
    free(fill(s));
    char *again = NULL;
    int outcome = as_nobody(s, 0, false);
    assert_true(outcome == ER_STORE_SOUND || outcome == ER_STORE_READONLY);
    assert_int_equal(as_nobody(s, 4096, true), 100 + ER_E_IO); /* no room beside it */
    er_store *store = NULL;
    er_err err;
    assert_int_equal(open_it(s, &store, &err), ER_STORE_SOUND);
    size_t voided;
    again = content(store, &voided);
    assert_non_null(strstr(again, "a||{\"mark\":\"resume\",\"version\":\"100\""));
    assert_int_equal(files(s, "state.db.damaged"), 0);
    free(again);
    er_store_close(store);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scene_setup, scene_teardown)

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        TEST(test_written_and_read),
        TEST(test_read_while_it_is_written),
        TEST(test_one_at_a_time),
        TEST(test_cut),
        TEST(test_pages),
        TEST(test_bytes),
        TEST(test_not_sqlite),
        TEST(test_wal),
        TEST(test_rows),
        TEST(test_newer_schema),
        TEST(test_bad_places),
        TEST(test_taken_away_while_in_use),
        TEST(test_owned_by_another),
        TEST(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
