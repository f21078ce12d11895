/* What the tests of the file sink share: a sink that writes to a file in a folder of its own. */
#ifndef ER_TESTS_FILE_FIXTURE_H
#define ER_TESTS_FILE_FIXTURE_H

#include "sink_fixture.h"
#include "sinks/file_target.h"

#include "base/json_read.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct scene {
    char dir[64], path[96];
    fixture f;
    bool is_made;
} scene;

/* Empties the folder too: what a test leaves has the names below. */
static inline void scene_clean(const scene *s) {
    static const char *const names[] = {"", ".1", ".2", ".3", ".4", ".5", ".6", ".7", ".old"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[128];
        (void)snprintf(path, sizeof path, "%s%s", s->path, names[i]);
        if (unlink(path) != 0 && errno == EISDIR) {
            (void)rmdir(path);
        }
    }
    assert_int_equal(rmdir(s->dir), 0);
}

static inline void scene_init(scene *s) {
    *s = (scene){.dir = "/tmp/er-file-XXXXXX"};
    assert_non_null(mkdtemp(s->dir));
    (void)snprintf(s->path, sizeof s->path, "%s/a.ndjson", s->dir);
}

/* Makes the sink; yaml: its settings without path. */
static inline void scene_sink(scene *s, const char *yaml) {
    char text[512];
    (void)snprintf(text, sizeof text, "path: %s\n%s", s->path, yaml);
    fixture_init(&s->f, &er_file_sink, text);
    s->is_made = true;
}

/* Ends the sink, as the end of a life does. */
static inline void scene_end(scene *s) {
    if (s->is_made) {
        fixture_fini(&s->f);
        s->is_made = false;
    }
}

static inline void scene_fini(scene *s) {
    scene_end(s);
    scene_clean(s);
}

/* *state: a scene, without its sink. */
static inline int scene_set_up(void **state) {
    scene *s = er_xcalloc(1, sizeof *s);
    scene_init(s);
    *state = s;
    return 0;
}

static inline int scene_tear_down(void **state) {
    scene_fini(*state);
    free(*state);
    return 0;
}

#define SCENE_TEST(test_) cmocka_unit_test_setup_teardown(test_, scene_set_up, scene_tear_down)

static inline er_status scene_open(scene *s, er_err *err) {
    return s->f.type->open(s->f.self, er_deadline_in(1000), err);
}

static inline er_status scene_deliver(scene *s, er_batch *batch, er_err *err) {
    return s->f.type->deliver(s->f.self, batch, err);
}

static inline er_status scene_poll(scene *s, er_err *err) {
    return s->f.type->poll(s->f.self, er_deadline_in(0), err);
}

/* n records, ids from "u-FIRST"; their lines go to want as well, which may be NULL. */
static inline er_batch *lines_of(scene *s, size_t first, size_t n, er_buf *want) {
    er_batch *batch = er_batch_new();
    for (size_t i = first; i < first + n; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "u-%zu", i);
        batch_add(&s->f, batch, record_of(id, "m"));
        if (want != NULL) {
            er_buf_put_str(want, er_buf_str(&er_batch_item(batch, i - first)->body));
        }
    }
    return batch;
}

/* Delivers n new records, which must be taken. */
static inline void take(scene *s, size_t first, size_t n, er_buf *want) {
    er_batch *batch = lines_of(s, first, n, want);
    er_err err = {0};
    if (scene_deliver(s, batch, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    expect_verdicts(batch, ER_VERDICT_DELIVERED);
    er_batch_free(batch);
}

static inline void put_file(const char *path, er_str content) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content.p, content.n), (ssize_t)content.n);
    (void)close(fd);
}

/* suffix: "" or that of a rotated file. */
static inline void expect_file(const scene *s, const char *suffix, const er_buf *want) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", s->path, suffix);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        fail_msg("%s is not there", path);
    }
    er_buf got;
    er_buf_init(&got, 64u << 20);
    char chunk[8192];
    ssize_t n;
    while ((n = read(fd, chunk, sizeof chunk)) > 0) {
        er_buf_put(&got, chunk, (size_t)n);
    }
    (void)close(fd);
    assert_int_equal(got.len, want->len);
    if (want->len > 0) {
        assert_memory_equal(got.p, want->p, want->len);
    }
    er_buf_fini(&got);
}

static inline void expect_no_file(const scene *s, const char *suffix) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", s->path, suffix);
    assert_int_equal(access(path, F_OK), -1);
}

static inline void move_file(const scene *s, const char *suffix) {
    char path[128];
    (void)snprintf(path, sizeof path, "%s%s", s->path, suffix);
    assert_int_equal(rename(s->path, path), 0);
}

static inline er_buf new_buf(void) {
    er_buf buf;
    er_buf_init(&buf, 64u << 20);
    return buf;
}

#endif
