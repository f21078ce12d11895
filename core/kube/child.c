#include "kube/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define STEP_MS   50   /* how late an end is noticed when others hold the pipes open */
#define REAP_MS   5    /* between looks at a process that is about to end */
#define GIVEUP_MS 1000 /* for what does not even end by SIGKILL: stuck in the kernel */
#define TAIL      1024 /* bytes of stderr that are looked at for its last line */
#define TURNS     16   /* chunks read before other things are looked at */

typedef struct child_run {
    const er_child *child;
    pid_t pid;
    int out, err; /* what we read; -1: at its end */
    char tail[TAIL];
    size_t tail_n;
} child_run;

/* ---- starting ---- */

static void close_both(int fds[2]) {
    for (int i = 0; i < 2; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
        fds[i] = -1;
    }
}

/* Both ends are above the standard descriptors, even when those are closed, and close on exec. */
static bool open_pipe(int fds[2]) {
    if (pipe2(fds, O_CLOEXEC) != 0) {
        fds[0] = fds[1] = -1;
        return false;
    }
    for (int i = 0; i < 2; i++) {
        if (fds[i] <= STDERR_FILENO) {
            int higher = fcntl(fds[i], F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
            int saved = errno;
            (void)close(fds[i]);
            errno = saved;
            fds[i] = higher;
        }
    }
    return fds[0] >= 0 && fds[1] >= 0 && fcntl(fds[0], F_SETFL, O_NONBLOCK) == 0;
}

/* posix_spawn does only what is safe in a process of many threads, and says why exec failed. */
static int spawn(const er_child *child, int out, int err, pid_t *pid) {
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    sigset_t none;
    sigset_t usual;
    (void)sigemptyset(&none);
    (void)sigemptyset(&usual);
    static const int signals[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGCHLD};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        (void)sigaddset(&usual, signals[i]);
    }
    ER_ASSERT(posix_spawn_file_actions_init(&files) == 0);
    ER_ASSERT(posix_spawnattr_init(&attributes) == 0);
    int rc = posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    rc = rc == 0 ? posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO) : rc;
    rc = rc == 0 ? posix_spawn_file_actions_adddup2(&files, err, STDERR_FILENO) : rc;
    rc = rc == 0 ? posix_spawn_file_actions_addclosefrom_np(&files, STDERR_FILENO + 1) : rc;
    (void)posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                                    POSIX_SPAWN_SETSIGDEF);
    (void)posix_spawnattr_setpgroup(&attributes, 0);
    (void)posix_spawnattr_setsigmask(&attributes, &none);
    (void)posix_spawnattr_setsigdefault(&attributes, &usual);
    if (rc == 0) {
        rc = posix_spawn(pid, child->path, &files, &attributes, child->argv, child->envp);
    }
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    return rc;
}

static er_status start(child_run *run, er_err *err) {
    int out[2] = {-1, -1};
    int said[2] = {-1, -1};
    bool piped = open_pipe(out) && open_pipe(said);
    int rc = piped ? spawn(run->child, out[1], said[1], &run->pid) : errno;
    if (rc != 0) {
        close_both(out);
        close_both(said);
        char text[128];
        return er_err_set(err, ER_E_IO, "cannot be started: %s",
                          er_errno_text(rc, text, sizeof text));
    }
    (void)close(out[1]);
    (void)close(said[1]);
    run->out = out[0];
    run->err = said[0];
    return ER_OK;
}

/* ---- reading ---- */

static void keep_tail(child_run *run, const char *p, size_t n) {
    if (n >= TAIL) {
        p += n - TAIL;
        n = TAIL;
    }
    size_t kept = run->tail_n + n > TAIL ? TAIL - n : run->tail_n;
    memmove(run->tail, run->tail + run->tail_n - kept, kept);
    memcpy(run->tail + kept, p, n);
    run->tail_n = kept + n;
}

/* Reads what is there, at most some chunks; into out, or for its last line when out is NULL. */
static er_status read_some(child_run *run, int *fd, er_buf *out, er_err *err) {
    for (int turn = 0; turn < TURNS && *fd >= 0; turn++) {
        char chunk[4096];
        ssize_t n = read(*fd, chunk, sizeof chunk);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return ER_OK;
        }
        if (n <= 0) {
            (void)close(*fd);
            *fd = -1;
        } else if (out == NULL) {
            keep_tail(run, chunk, (size_t)n);
        } else {
            er_buf_put(out, chunk, (size_t)n);
            explicit_bzero(chunk, (size_t)n); /* a credential */
        }
        if (out != NULL && er_buf_status(out) != ER_OK) {
            return er_err_set(err, ER_E_LIMIT, "wrote more than %zu bytes and was ended", out->max);
        }
    }
    return ER_OK;
}

/* It stays a zombie: until it is reaped, its number and that of its group are nobody else's. */
static bool has_ended(pid_t pid) {
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0;
}

static void wait_for_more(const child_run *run, er_deadline by) {
    const er_cancel *cancel = run->child->cancel;
    struct pollfd fds[] = {
        {.fd = run->out, .events = POLLIN},
        {.fd = run->err, .events = POLLIN},
        {.fd = cancel == NULL ? -1 : cancel->fd, .events = POLLIN},
    };
    int64_t step = run->out < 0 && run->err < 0 ? REAP_MS : STEP_MS;
    int64_t left = er_deadline_left_ms(by);
    (void)poll(fds, sizeof fds / sizeof fds[0], (int)(left < step ? left : step));
}

static er_status collect(child_run *run, er_buf *out, er_err *err) {
    const er_child *child = run->child;
    er_deadline by = er_deadline_in(child->limit_ms);
    for (;;) {
        er_heart_beat(child->heart);
        if (child->cancel != NULL && er_cancel_is_set(child->cancel)) {
            return er_err_set(err, ER_E_CANCELLED, "cancelled");
        }
        bool ended = has_ended(run->pid); /* before reading: nothing comes after it */
        er_status status = read_some(run, &run->out, out, err);
        if (status == ER_OK) {
            status = read_some(run, &run->err, NULL, err);
        }
        if (status != ER_OK || ended) {
            return status;
        }
        if (er_deadline_passed(by)) {
            return er_err_set(err, ER_E_TIMEOUT, "did not end within %lld ms and was ended",
                              (long long)child->limit_ms);
        }
        wait_for_more(run, by);
    }
}

/* ---- the end ---- */

/* Kills what is left of the group and reaps it; orphans are ours when we are process 1. */
static void reap(const child_run *run, er_child_end *end) {
    (void)kill(-run->pid, SIGKILL);
    er_deadline by = er_deadline_in(GIVEUP_MS);
    while (!er_deadline_passed(by)) {
        int status = 0;
        pid_t pid = waitpid(-run->pid, &status, WNOHANG);
        if (pid < 0 && errno != EINTR) {
            return; /* there is none any more */
        }
        if (pid == run->pid) {
            end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
            end->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        } else if (pid == 0) {
            const struct timespec pause = {.tv_nsec = REAP_MS * 1000000L};
            (void)nanosleep(&pause, NULL);
        }
    }
}

void er_child_escape(er_str text, size_t max, er_buf *out) {
    size_t end = out->len + max;
    size_t i = 0;
    while (i < text.n) {
        unsigned char c = (unsigned char)text.p[i];
        size_t n = er_utf8_len(text.p + i, text.n - i);
        bool control =
            c < 0x20 || c == 0x7f || (c == 0xc2 && n == 2 && (unsigned char)text.p[i + 1] < 0xa0);
        bool plain = n > 0 && !control;
        size_t room = plain ? n : 4;
        if (out->len + room > end) {
            return;
        }
        if (plain) {
            er_buf_put(out, text.p + i, n);
        } else {
            er_buf_putf(out, "\\x%02x", c);
        }
        i += plain ? n : 1;
    }
}

static void take_last_line(const child_run *run, er_child_end *end) {
    er_str text = er_str_trim((er_str){run->tail, run->tail_n});
    const char *feed = text.n == 0 ? NULL : memrchr(text.p, '\n', text.n);
    if (feed != NULL) {
        text = er_str_trim((er_str){feed + 1, text.n - (size_t)(feed + 1 - text.p)});
    }
    er_buf line;
    er_buf_init(&line, sizeof end->said);
    er_child_escape(text, sizeof end->said - 1, &line);
    memcpy(end->said, er_buf_cstr(&line), line.len + 1);
    er_buf_fini(&line);
}

er_status er_child_run(const er_child *child, er_buf *out, er_child_end *end, er_err *err) {
    *end = (er_child_end){.code = -1};
    child_run run = {.child = child, .out = -1, .err = -1};
    er_status status = start(&run, err);
    if (status != ER_OK) {
        return status;
    }
    status = collect(&run, out, err);
    reap(&run, end);
    close_both((int[2]){run.out, run.err});
    take_last_line(&run, end);
    return status;
}
