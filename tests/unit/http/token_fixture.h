/* What the tests of access tokens share: an endpoint on loopback that says what it is told, and the
 * header that comes of it. Included once by each test program; everything is static. */
#ifndef ER_TESTS_TOKEN_FIXTURE_H
#define ER_TESTS_TOKEN_FIXTURE_H

#include "http/http.h"
#include "sinks/loopback.h"
#include "unit.h"

typedef struct fixture {
    loopback lb;
    char base[64], host[64]; /* the endpoint's URL, its host and port */
    char dir[64], file[128]; /* a file that a test may write, in a folder of its own */
    const char *path;        /* of the settings, as messages have it */
    const char *secret;      /* no message may have it; NULL: none to look for */
    er_cancel cancel;
    er_auth_settings settings;
    er_auth *auth;
    char *answers[16]; /* to be freed */
    size_t answers_n;
    er_err err;
} fixture;

static inline void fixture_init(fixture *f, const char *path) {
    *f = (fixture){.path = path, .dir = "/tmp/er-token-XXXXXX"};
    assert_int_equal(er_cancel_init(&f->cancel, NULL), ER_OK);
    loopback_start(&f->lb, NULL);
    (void)snprintf(f->host, sizeof f->host, "127.0.0.1:%d", f->lb.port);
    (void)snprintf(f->base, sizeof f->base, "http://127.0.0.1:%d", f->lb.port);
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->file, sizeof f->file, "%s/file", f->dir);
}

static inline void fixture_fini(fixture *f) {
    er_auth_free(f->auth);
    loopback_stop(&f->lb);
    er_cancel_fini(&f->cancel);
    (void)remove(f->file);
    assert_int_equal(rmdir(f->dir), 0);
    for (size_t i = 0; i < f->answers_n; i++) {
        free(f->answers[i]);
    }
}

/* A new file in the old one's place. */
static inline void put_file(const char *path, const char *text) {
    char fresh[160];
    (void)snprintf(fresh, sizeof fresh, "%s.fresh", path);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

/* more: headers, each with its end of line. */
static inline char *answer_of(fixture *f, const char *status, const char *more, const char *body) {
    size_t n = strlen(body) + 256;
    char *text = malloc(n);
    assert_non_null(text);
    (void)snprintf(text, n, "HTTP/1.1 %s\r\n%sContent-Length: %zu\r\n\r\n%s", status, more,
                   strlen(body), body);
    assert_true(f->answers_n < sizeof f->answers / sizeof f->answers[0]);
    f->answers[f->answers_n++] = text;
    return text;
}

/* The endpoint answers this to all that follows. */
static inline void says(fixture *f, const char *status, const char *body) {
    loopback_reset(&f->lb, answer_of(f, status, "", body));
}

/* And this to what comes after the answers so far. */
static inline void then(fixture *f, const char *status, const char *body) {
    loopback_then(&f->lb, answer_of(f, status, "", body));
}

static inline er_status try_start(fixture *f) {
    er_http_options options = {
        .cancel = &f->cancel, .user_agent = "eventrouter", .connect_timeout_ms = 5000};
    return er_auth_new(&f->settings, f->path, &options, 5000, &f->auth, &f->err);
}

static inline void start(fixture *f) {
    if (try_start(f) != ER_OK) {
        fail_msg("%s", f->err.msg);
    }
}

/* Authorization of the next request, or "" and the error. */
static inline er_status apply(fixture *f, char out[512]) {
    er_http_request req = {0};
    f->err = (er_err){0};
    out[0] = '\0';
    er_status status = er_auth_apply(f->auth, &req, &f->err);
    if (status == ER_OK) {
        assert_int_equal(req.headers_n, 1);
        assert_string_equal(req.headers[0].name, "Authorization");
        (void)snprintf(out, 512, "%.*s", (int)req.headers[0].value.n, req.headers[0].value.p);
    }
    assert_true(f->secret == NULL || strstr(f->err.msg, f->secret) == NULL);
    return status;
}

static inline void expect_bearer(fixture *f, const char *value) {
    char got[512];
    if (apply(f, got) != ER_OK) {
        fail_msg("%s", f->err.msg);
    }
    assert_string_equal(got, value);
}

static inline void expect_header(fixture *f, size_t i, const char *name, const char *value) {
    char got[512];
    assert_true(loopback_header(&f->lb, i, name, got));
    assert_string_equal(got, value);
}

#endif
