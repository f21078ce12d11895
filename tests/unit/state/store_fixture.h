/* A directory of its own for each test, and what its store says. */
#ifndef ER_TESTS_STORE_FIXTURE_H
#define ER_TESTS_STORE_FIXTURE_H

#include "unit.h"

#include "base/clock.h"
#include "state/point.h"
#include "state/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct scene {
    char dir[256]; /* the store's is "state" in it */
} scene;

static const char *path_of(const scene *s, const char *name) {
    static char paths[4][512];
    static unsigned next;
    char *out = paths[next++ % 4];
    (void)snprintf(out, sizeof paths[0], "%s/%s", s->dir, name);
    return out;
}

static inline int scene_setup(void **state) {
    scene *s = er_xcalloc(1, sizeof *s);
    const char *base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    (void)snprintf(s->dir, sizeof s->dir, "%s/er-state-XXXXXX", base);
    assert_non_null(mkdtemp(s->dir));
    *state = s;
    return 0;
}

static inline int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Removes a directory and what is in it. */
static inline void remove_all(const char *path) {
    (void)nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline int scene_teardown(void **state) {
    scene *s = *state;
    remove_all(s->dir);
    free(s);
    return 0;
}

/* The number of files in the store's directory whose names begin so. */
static inline unsigned files(const scene *s, const char *prefix) {
    DIR *dir = opendir(path_of(s, "state"));
    unsigned n = 0;
    struct dirent *entry;
    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    }
    if (dir != NULL) {
        (void)closedir(dir);
    }
    return n;
}

/* RLIMIT_FSIZE is to be an error of the write, not the end of the program. */
static inline void ignore_file_size_signal(void) {
    struct sigaction action = {0};
    action.sa_handler = SIG_IGN;
    assert_int_equal(sigaction(SIGXFSZ, &action, NULL), 0);
}

static inline bool rows_of(er_str value, size_t *rows) {
    er_point point;
    return er_point_parse(value, &point, rows, NULL) == ER_OK;
}

#endif
