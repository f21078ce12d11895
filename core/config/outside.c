#include "config/config_priv.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX_BYTES (4u << 20) /* of certificates and keys */

static er_outside *add(er_problems *problems) {
    if ((problems->outside_n & (problems->outside_n - 1)) == 0) { /* full: a power of two */
        size_t cap = problems->outside_n == 0 ? 1 : problems->outside_n * 2;
        er_outside *grown = er_xcalloc(cap, sizeof *grown);
        if (problems->outside_n > 0) {
            memcpy(grown, problems->outside, problems->outside_n * sizeof *grown);
        }
        free(problems->outside);
        problems->outside = grown;
    }
    return &problems->outside[problems->outside_n++];
}

void er_outside_add(er_problems *problems, er_pos pos, const char *path, const er_secret_ref *ref) {
    *add(problems) = (er_outside){.pos = pos,
                                  .path = er_dup(path),
                                  .ref = {.kind = ref->kind, .text = er_dup(ref->text)},
                                  .kind = ER_OUTSIDE_SECRETS};
}

void er_outside_add_file(er_problems *problems, er_pos pos, const char *path, const char *file,
                         unsigned flags) {
    bool is_read = (flags & ER_FIELD_FILE) != 0;
    *add(problems) = (er_outside){.pos = pos,
                                  .path = er_dup(path),
                                  .ref = {.kind = ER_SECRET_FILE, .text = er_dup(file)},
                                  .kind = is_read ? ER_OUTSIDE_FILES : ER_OUTSIDE_PLACES,
                                  .is_directory = (flags & ER_FIELD_DIRECTORY) != 0};
}

void er_outside_fini(er_problems *problems) {
    for (size_t i = 0; i < problems->outside_n; i++) {
        free(problems->outside[i].path);
        free(problems->outside[i].ref.text);
    }
    free(problems->outside);
}

static er_status look_at_secret(const er_secret_ref *ref, er_err *err) {
    er_secret *secret = NULL;
    er_status status = er_secret_new(ref, "", &secret, err);
    er_secret_free(secret);
    return status;
}

static er_status look_at_file(const char *path, er_err *err) {
    er_buf text;
    er_buf_init(&text, FILE_MAX_BYTES);
    er_status status = er_file_read(path, &text, err);
    er_buf_wipe(&text);
    er_buf_fini(&text);
    return status;
}

static er_status cannot_write(const char *path, const char *why, er_err *err) {
    return er_err_set(err, ER_E_IO, "cannot write %s: %s", path, why);
}

static er_status refused(const char *path, er_err *err) {
    char text[128];
    return cannot_write(path, er_errno_text(errno, text, sizeof text), err);
}

static bool may(const char *path, int mode) {
    return faccessat(AT_FDCWD, path, mode, AT_EACCESS) == 0;
}

/* Whether path, which does not exist, could be made. */
static er_status look_at_parent(const char *path, er_err *err) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    while (n > 0 && path[n - 1] != '/') {
        n--;
    }
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    char *parent = n == 0 ? er_dup(".") : er_str_dup((er_str){path, n});
    struct stat st;
    er_status status = ER_OK;
    if (stat(parent, &st) != 0 && errno == ENOENT) {
        status = er_err_set(err, ER_E_IO, "cannot write %s: the directory %s does not exist", path,
                            parent);
    } else if (!may(parent, W_OK | X_OK)) {
        char text[128];
        status = er_err_set(err, ER_E_IO, "cannot write %s: the directory %s: %s", path, parent,
                            er_errno_text(errno, text, sizeof text));
    }
    free(parent);
    return status;
}

static er_status look_at_place(const er_outside *one, er_err *err) {
    const char *path = one->ref.text;
    struct stat st;
    int found = one->is_directory ? stat(path, &st) : lstat(path, &st);
    if (found != 0) {
        return errno == ENOENT ? look_at_parent(path, err) : refused(path, err);
    }
    if (one->is_directory) {
        return !S_ISDIR(st.st_mode)      ? cannot_write(path, "it is no directory", err)
               : !may(path, W_OK | X_OK) ? refused(path, err)
                                         : ER_OK;
    }
    if (S_ISLNK(st.st_mode)) {
        return cannot_write(path, "it is a symbolic link, which is not followed", err);
    }
    return S_ISDIR(st.st_mode)       ? cannot_write(path, "it is a directory", err)
           : !S_ISREG(st.st_mode)    ? cannot_write(path, "it is no regular file", err)
           : !may(path, R_OK | W_OK) ? refused(path, err)
                                     : ER_OK;
}

static er_status look_at(const er_outside *one, er_err *err) {
    return one->kind == ER_OUTSIDE_SECRETS ? look_at_secret(&one->ref, err)
           : one->kind == ER_OUTSIDE_FILES ? look_at_file(one->ref.text, err)
                                           : look_at_place(one, err);
}

void er_problems_look_outside(er_problems *problems, unsigned kinds, bool is_warning) {
    for (size_t i = 0; i < problems->outside_n; i++) {
        er_outside *one = &problems->outside[i];
        er_err err;
        one->is_missing = (kinds & one->kind) != 0 && look_at(one, &err) != ER_OK;
        if (one->is_missing) {
            er_problems_add(problems, is_warning, one->pos, one->path, "%s", err.msg);
        }
    }
}

bool er_problems_misses(const er_problems *problems, const char *path) {
    size_t n = strlen(path);
    for (size_t i = 0; i < problems->outside_n; i++) {
        const er_outside *one = &problems->outside[i];
        if (one->is_missing && strncmp(one->path, path, n) == 0 && one->path[n] == '.') {
            return true;
        }
    }
    return false;
}

/* ---- variables ---- */

static bool is_upper(char c) {
    return (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name(char c) {
    return is_upper(c) || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static size_t name_len(er_str s) {
    size_t n = 0;
    while (n < s.n && is_name(s.p[n])) {
        n++;
    }
    return s.n > 0 && s.p[0] >= '0' && s.p[0] <= '9' ? 0 : n;
}

/* "NAME}", "NAME:-default}" or "NAME)", behind the bracket. */
static size_t braced_len(er_str s, char end) {
    size_t n = name_len(s);
    if (n == 0 || n == s.n || (s.p[n] != end && (end != '}' || s.p[n] != ':'))) {
        return 0;
    }
    const char *at = memchr(s.p + n, end, s.n - n);
    return at == NULL ? 0 : (size_t)(at - s.p) + 1;
}

/* Bytes of the variable that s, which begins with "$", begins with; 0: none. Without braces only
 * capitals count, and more than one of them. */
static size_t variable_len(er_str s) {
    er_str rest = {s.p + 1, s.n - 1};
    if (rest.n > 0 && (rest.p[0] == '{' || rest.p[0] == '(')) {
        size_t n = braced_len((er_str){rest.p + 1, rest.n - 1}, rest.p[0] == '{' ? '}' : ')');
        return n == 0 ? 0 : n + 2;
    }
    size_t n = name_len(rest);
    for (size_t i = 0; i < n; i++) {
        if (!is_upper(rest.p[i]) && (i == 0 || rest.p[i] > '9')) {
            return 0;
        }
    }
    return n < 2 ? 0 : n + 1;
}

bool er_text_has_variable(er_str text, bool is_whole) {
    for (size_t i = 0; i < text.n; i++) {
        size_t n = text.p[i] == '$' ? variable_len((er_str){text.p + i, text.n - i}) : 0;
        if (n > 0 && (!is_whole || (i == 0 && n == text.n))) {
            return true;
        }
    }
    return false;
}
