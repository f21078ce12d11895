/* For the tsan preset alone: threads, locks and conditions of <threads.h> by those of pthread.
 *
 * librdkafka uses the former, out of the C library, where ThreadSanitizer does not see them; a
 * thread that it has not seen begin crashes in it. The program's symbols come first, so librdkafka
 * gets these. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <threads.h>

#define SHOWN __attribute__((visibility("default")))
_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t), "a mutex must fit");
_Static_assert(sizeof(cnd_t) >= sizeof(pthread_cond_t), "a condition must fit");

static pthread_mutex_t *mutex(mtx_t *m) {
    return (pthread_mutex_t *)(void *)m;
}

static pthread_cond_t *condition(cnd_t *c) {
    return (pthread_cond_t *)(void *)c;
}

static int result(int rc) {
    return rc == 0 ? thrd_success : rc == ETIMEDOUT ? thrd_timedout : thrd_error;
}

typedef struct start {
    thrd_start_t run;
    void *arg;
} start;

static void *run(void *arg) {
    start s = *(start *)arg;
    free(arg);
    return (void *)(intptr_t)s.run(s.arg);
}

SHOWN int thrd_create(thrd_t *thread, thrd_start_t start_run, void *arg) {
    start *s = malloc(sizeof *s);
    if (s == NULL) {
        return thrd_nomem;
    }
    *s = (start){start_run, arg};
    return result(pthread_create(thread, NULL, run, s));
}

SHOWN int thrd_join(thrd_t thread, int *code) {
    void *value;
    int rc = pthread_join(thread, &value);
    if (code != NULL) {
        *code = (int)(intptr_t)value;
    }
    return result(rc);
}

SHOWN int mtx_init(mtx_t *m, int type) {
    pthread_mutexattr_t attributes;
    (void)pthread_mutexattr_init(&attributes);
    if ((type & mtx_recursive) != 0) {
        (void)pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    }
    int rc = pthread_mutex_init(mutex(m), &attributes);
    (void)pthread_mutexattr_destroy(&attributes);
    return result(rc);
}

SHOWN void mtx_destroy(mtx_t *m) {
    (void)pthread_mutex_destroy(mutex(m));
}

SHOWN int mtx_lock(mtx_t *m) {
    return result(pthread_mutex_lock(mutex(m)));
}

SHOWN int mtx_unlock(mtx_t *m) {
    return result(pthread_mutex_unlock(mutex(m)));
}

SHOWN int cnd_init(cnd_t *c) {
    return result(pthread_cond_init(condition(c), NULL));
}

SHOWN void cnd_destroy(cnd_t *c) {
    (void)pthread_cond_destroy(condition(c));
}

SHOWN int cnd_signal(cnd_t *c) {
    return result(pthread_cond_signal(condition(c)));
}

SHOWN int cnd_broadcast(cnd_t *c) {
    return result(pthread_cond_broadcast(condition(c)));
}

SHOWN int cnd_wait(cnd_t *c, mtx_t *m) {
    return result(pthread_cond_wait(condition(c), mutex(m)));
}

SHOWN int cnd_timedwait(cnd_t *c, mtx_t *m, const struct timespec *until) {
    return result(pthread_cond_timedwait(condition(c), mutex(m), until));
}
