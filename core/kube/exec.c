/* The shared credential, and running the plugin.
 *
 * Concurrency: everything in er_exec under "lock" changes under it; the plugin runs without it, by
 * the one thread that set is_running. */
#include "kube/exec.h"

#include "base/file.h"
#include "base/log.h"
#include "base/secret.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUTPUT_MAX_BYTES (1u << 20)
#define INFO_MAX_BYTES   (120u << 10) /* Linux takes 128 KiB for one variable */
#define TURN_MS          1000
#define HINT_MAX_BYTES   250
#define INFO_NAME        "KUBERNETES_EXEC_INFO="

struct er_exec {
    er_exec_spec spec;
    const er_kube_config *config;
    char *search_path;
    int64_t limit_ms, apart_ms;
    er_mutex lock; /* everything below */
    er_cond changed;
    er_exec_credential *now; /* NULL: none yet */
    bool is_running, is_refused, has_failed;
    er_deadline next_run; /* not before */
    er_err failure;       /* of the last run, when it has failed */
};

/* ---- life ---- */

er_exec *er_exec_new(er_exec_spec *spec, const er_kube_config *config, const char *search_path) {
    er_exec *exec = er_xcalloc(1, sizeof *exec);
    exec->spec = *spec;
    *spec = (er_exec_spec){0};
    exec->config = config;
    exec->search_path = search_path == NULL ? NULL : er_dup(search_path);
    exec->limit_ms = ER_EXEC_LIMIT_MS;
    exec->apart_ms = ER_EXEC_APART_MS;
    exec->next_run = er_deadline_in(0);
    er_mutex_init(&exec->lock);
    er_cond_init(&exec->changed);
    return exec;
}

void er_exec_free(er_exec *exec) {
    if (exec == NULL) {
        return;
    }
    er_exec_credential_unref(exec->now);
    er_exec_spec_fini(&exec->spec);
    free(exec->search_path);
    er_cond_fini(&exec->changed);
    er_mutex_fini(&exec->lock);
    free(exec);
}

const er_exec_spec *er_exec_spec_of(const er_exec *exec) {
    return &exec->spec;
}

void er_exec_limits(er_exec *exec, int64_t limit_ms, int64_t apart_ms) {
    exec->limit_ms = limit_ms;
    exec->apart_ms = apart_ms;
}

static void free_secret(char *text) {
    if (text != NULL) {
        explicit_bzero(text, strlen(text));
    }
    free(text);
}

void er_exec_credential_unref(er_exec_credential *credential) {
    /* Release what this thread did with it; acquire what the others did before it is freed. */
    if (credential != NULL &&
        atomic_fetch_sub_explicit(&credential->refs, 1, memory_order_acq_rel) == 1) {
        free_secret(credential->token);
        free(credential->cert_pem);
        free_secret(credential->key_pem);
        free(credential);
    }
}

/* ---- the program ---- */

static bool may_run(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *not_found(const er_exec_spec *spec, const char *where, er_err *err) {
    er_buf hint;
    er_buf_init(&hint, HINT_MAX_BYTES + 16);
    if (spec->install_hint != NULL) {
        er_buf_puts(&hint, ": ");
        er_child_escape(er_str_of(spec->install_hint), HINT_MAX_BYTES, &hint);
    }
    (void)er_err_set(err, ER_E_CONFIG, "the exec plugin %.100s of user \"%.60s\" %s; install it%s",
                     spec->command, spec->user, where, er_buf_cstr(&hint));
    er_buf_fini(&hint);
    return NULL;
}

char *er_exec_find(const er_exec_spec *spec, const char *search_path, er_err *err) {
    if (strchr(spec->command, '/') != NULL) {
        return may_run(spec->command)
                   ? er_dup(spec->command)
                   : not_found(spec, "is not there, or may not be executed", err);
    }
    const char *rest = search_path == NULL ? "" : search_path;
    while (*rest != '\0') {
        size_t n = strcspn(rest, ":");
        if (*rest == '/') { /* what depends on the current folder may be anybody's */
            er_buf path;
            er_buf_init(&path, 8192);
            er_buf_put(&path, rest, n);
            er_buf_putf(&path, "/%s", spec->command);
            char *found = er_buf_take(&path, NULL);
            er_buf_fini(&path);
            if (found != NULL && may_run(found)) {
                return found;
            }
            free(found);
        }
        rest += n + (rest[n] == ':');
    }
    return not_found(spec, "is not found in PATH", err);
}

/* ---- its environment: ours, with the plugin's own variables in place of those of that name ----
 */

static bool same_name(const char *a, const char *b) {
    size_t n = strcspn(a, "=");
    return strncmp(a, b, n) == 0 && b[n] == '=';
}

static bool is_replaced(const er_exec_spec *spec, const char *entry) {
    for (char **own = spec->env; *own != NULL; own++) {
        if (same_name(*own, entry)) {
            return true;
        }
    }
    return same_name(INFO_NAME, entry);
}

/* An array whose texts are borrowed. */
static char **make_environment(const er_exec_spec *spec, char *info) {
    size_t n = 2;
    for (char **entry = environ; *entry != NULL; entry++) {
        n++;
    }
    for (char **own = spec->env; *own != NULL; own++) {
        n++;
    }
    char **all = er_xcalloc(n, sizeof *all);
    n = 0;
    for (char **entry = environ; *entry != NULL; entry++) {
        if (!is_replaced(spec, *entry)) {
            all[n++] = *entry;
        }
    }
    for (char **own = spec->env; *own != NULL; own++) {
        if (!same_name(INFO_NAME, *own)) {
            all[n++] = *own;
        }
    }
    all[n] = info;
    return all;
}

/* ---- a run ---- */

static er_status judge_end(const er_child_end *end, er_err *err) {
    const char *colon = end->said[0] == '\0' ? "" : ": ";
    if (end->signal != 0) {
        const char *name = sigabbrev_np(end->signal);
        return er_err_set(err, ER_E_UNAVAILABLE, "was ended by signal %d (SIG%s)%s%s", end->signal,
                          name == NULL ? "?" : name, colon, end->said);
    }
    if (end->code != 0) {
        return er_err_set(err, ER_E_UNAVAILABLE, "ended with exit code %d%s%s", end->code, colon,
                          end->said);
    }
    return ER_OK;
}

static er_status run_program(er_exec *exec, const char *path, char *info, er_child *child,
                             er_exec_credential **out, er_err *err) {
    char **environment = make_environment(&exec->spec, info);
    child->path = path;
    child->argv = exec->spec.argv;
    child->envp = environment;
    child->limit_ms = exec->limit_ms;
    er_buf text;
    er_buf_init(&text, OUTPUT_MAX_BYTES);
    er_child_end end;
    er_status status = er_child_run(child, &text, &end, err);
    if (status == ER_OK) {
        status = judge_end(&end, err);
    } else if (status != ER_E_CANCELLED && end.said[0] != '\0' && err != NULL) {
        char first[sizeof err->msg];
        memcpy(first, err->msg, sizeof first);
        (void)er_err_set(err, status, "%.200s: %s", first, end.said);
    }
    if (status == ER_OK) {
        status = er_exec_reply(&exec->spec, text.p, text.len, out, err);
    }
    er_buf_wipe(&text);
    er_buf_fini(&text);
    free(environment);
    return status;
}

/* Errors: ER_E_UNAVAILABLE, whatever it was, and ER_E_CANCELLED. */
static er_status run_plugin(er_exec *exec, er_cancel *cancel, er_heart *heart,
                            er_exec_credential **out, er_err *err) {
    char *path = er_exec_find(&exec->spec, exec->search_path, err);
    if (path == NULL) {
        err->code = ER_E_UNAVAILABLE;
        return ER_E_UNAVAILABLE;
    }
    er_buf info;
    er_buf_init(&info, INFO_MAX_BYTES);
    er_buf_puts(&info, INFO_NAME);
    er_status status = er_exec_info(&exec->spec, exec->config, &info, err);
    char *variable = status == ER_OK ? er_buf_take(&info, NULL) : NULL;
    if (status == ER_OK && variable == NULL) {
        status = er_err_set(err, ER_E_LIMIT, "cannot be told of a cluster with so large a CA");
    }
    if (status == ER_OK) {
        er_child child = {.cancel = cancel, .heart = heart};
        status = run_program(exec, path, variable, &child, out, err);
    }
    free(variable);
    er_buf_fini(&info);
    free(path);
    if (status != ER_OK && status != ER_E_CANCELLED) {
        er_err_prefix(err, "the exec plugin %.100s of user \"%.60s\"", exec->spec.command,
                      exec->spec.user);
        status = ER_E_UNAVAILABLE;
        err->code = status;
    }
    return status;
}

/* ---- sharing ---- */

static er_status give_locked(er_exec *exec, er_exec_credential **out) {
    atomic_fetch_add_explicit(&exec->now->refs, 1, memory_order_relaxed);
    *out = exec->now;
    return ER_OK;
}

static bool is_usable_locked(const er_exec *exec) {
    return exec->now != NULL && !exec->is_refused && !er_deadline_passed(exec->now->ends_at);
}

/* Runs the plugin with the lock released. */
static er_status renew_locked(er_exec *exec, er_cancel *cancel, er_heart *heart, er_err *err) {
    exec->is_running = true;
    er_unlock(&exec->lock);
    er_exec_credential *fresh = NULL;
    er_status status = run_plugin(exec, cancel, heart, &fresh, err);
    er_lock(&exec->lock);
    exec->is_running = false;
    er_cond_broadcast(&exec->changed);
    if (status == ER_E_CANCELLED) {
        return status;
    }
    exec->next_run = er_deadline_in(exec->apart_ms);
    exec->has_failed = status != ER_OK;
    if (exec->has_failed) {
        exec->failure = *err;
        return status;
    }
    er_exec_credential_unref(exec->now);
    exec->now = fresh;
    exec->is_refused = false;
    return ER_OK;
}

static er_status need_locked(er_exec *exec, er_cancel *cancel, er_heart *heart,
                             er_exec_credential **out, er_err *err) {
    while (cancel == NULL || !er_cancel_is_set(cancel)) {
        bool usable = is_usable_locked(exec);
        if (usable && (exec->is_running || !er_deadline_passed(exec->now->renew_at))) {
            return give_locked(exec, out);
        }
        if (exec->is_running) {
            er_heart_beat(heart);
            (void)er_cond_wait_until(&exec->changed, &exec->lock, er_deadline_in(TURN_MS));
            continue;
        }
        er_status status = ER_OK;
        if (er_deadline_passed(exec->next_run)) {
            status = renew_locked(exec, cancel, heart, err);
        } else if (exec->has_failed) {
            *err = exec->failure;
            status = err->code;
        }
        /* What the plugin gave a moment ago is used, even if it is refused or expired. */
        if (status == ER_OK) {
            return give_locked(exec, out);
        }
        if (status == ER_E_CANCELLED || !is_usable_locked(exec)) {
            return status;
        }
        ER_LOG(ER_LOG_WARNING, "kube", "cannot renew the credential, the old one is kept",
               ER_LS("error", err->msg));
        return give_locked(exec, out);
    }
    return er_err_set(err, ER_E_CANCELLED, "cancelled");
}

er_status er_exec_get(er_exec *exec, er_cancel *cancel, er_heart *heart, er_exec_credential **out,
                      er_err *err) {
    er_err own; /* a failure is kept, also for callers who do not ask */
    err = err == NULL ? &own : err;
    er_lock(&exec->lock);
    er_status status = need_locked(exec, cancel, heart, out, err);
    er_unlock(&exec->lock);
    return status;
}

void er_exec_refused(er_exec *exec, const er_exec_credential *credential) {
    er_lock(&exec->lock);
    exec->is_refused = exec->is_refused || (credential != NULL && exec->now == credential);
    er_unlock(&exec->lock);
}
