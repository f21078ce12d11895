#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void er_mutex_init(er_mutex *m) {
    ER_ASSERT(pthread_mutex_init(m, NULL) == 0);
}

void er_mutex_fini(er_mutex *m) {
    ER_ASSERT(pthread_mutex_destroy(m) == 0);
}

void er_lock(er_mutex *m) {
    ER_ASSERT(pthread_mutex_lock(m) == 0);
}

void er_unlock(er_mutex *m) {
    ER_ASSERT(pthread_mutex_unlock(m) == 0);
}

void er_cond_init(er_cond *c) {
    pthread_condattr_t attr;
    ER_ASSERT(pthread_condattr_init(&attr) == 0);
    ER_ASSERT(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC) == 0);
    ER_ASSERT(pthread_cond_init(c, &attr) == 0);
    (void)pthread_condattr_destroy(&attr);
}

void er_cond_fini(er_cond *c) {
    ER_ASSERT(pthread_cond_destroy(c) == 0);
}

void er_cond_signal(er_cond *c) {
    (void)pthread_cond_signal(c);
}

void er_cond_broadcast(er_cond *c) {
    (void)pthread_cond_broadcast(c);
}

void er_cond_wait(er_cond *c, er_mutex *m) {
    ER_ASSERT(pthread_cond_wait(c, m) == 0);
}

bool er_cond_wait_until(er_cond *c, er_mutex *m, er_deadline until) {
    if (until.ns == INT64_MAX) {
        er_cond_wait(c, m);
        return true;
    }
    struct timespec ts = {.tv_sec = until.ns / 1000000000, .tv_nsec = until.ns % 1000000000};
    int rc = pthread_cond_timedwait(c, m, &ts);
    ER_ASSERT(rc == 0 || rc == ETIMEDOUT);
    return rc == 0;
}

er_status er_thread_start(er_thread *t, const char *name, void *(*run)(void *), void *arg,
                          er_err *err) {
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(t, NULL, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        char text[128];
        return er_err_set(err, ER_E_NOMEM, "cannot start thread %s: %s", name,
                          er_errno_text(rc, text, sizeof text));
    }
    char shown[16];
    (void)snprintf(shown, sizeof shown, "%s", name);
    (void)pthread_setname_np(*t, shown);
    return ER_OK;
}

void er_thread_join(er_thread t) {
    ER_ASSERT(pthread_join(t, NULL) == 0);
}

er_status er_cancel_init(er_cancel *c, er_err *err) {
    atomic_init(&c->set, false);
    c->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->fd < 0) {
        char text[128];
        return er_err_set(err, ER_E_IO, "eventfd: %s", er_errno_text(errno, text, sizeof text));
    }
    return ER_OK;
}

void er_cancel_fini(er_cancel *c) {
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    c->fd = -1;
}

void er_cancel_set(er_cancel *c) {
    int saved = errno; /* also called from a signal handler */
    atomic_store(&c->set, true);
    uint64_t one = 1;
    ssize_t ignored = write(c->fd, &one, sizeof one);
    (void)ignored; /* a full counter is readable already */
    errno = saved;
}

bool er_cancel_is_set(const er_cancel *c) {
    return atomic_load(&c->set);
}

bool er_cancel_sleep(er_cancel *c, er_deadline until) {
    while (!er_cancel_is_set(c)) {
        int64_t left = er_deadline_left_ms(until);
        if (left == 0) {
            return true;
        }
        struct pollfd pfd = {.fd = c->fd, .events = POLLIN};
        (void)poll(&pfd, 1, left > 3600000 ? 3600000 : (int)left);
    }
    return false;
}

er_heart *er_heart_new(er_hearts *hearts, const char *name) {
    size_t at = atomic_fetch_add(&hearts->n, 1);
    if (at >= ER_HEARTS_MAX) {
        (void)atomic_fetch_sub(&hearts->n, 1);
        return NULL;
    }
    er_heart *heart = &hearts->v[at];
    (void)snprintf(heart->name, sizeof heart->name, "%s", name);
    er_heart_beat(heart);
    return heart;
}

void er_heart_beat(er_heart *heart) {
    if (heart != NULL) {
        atomic_store_explicit(&heart->last_ms, er_mono_ms(), memory_order_relaxed);
    }
}

void er_heart_end(er_heart *heart) {
    if (heart != NULL) {
        atomic_store_explicit(&heart->last_ms, 0, memory_order_relaxed);
    }
}
