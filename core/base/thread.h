/* Threads, locks, the cancel token and heartbeats.
 *
 * Condition variables use the monotonic clock. All signals are blocked in every thread but main. */
#ifndef ER_BASE_THREAD_H
#define ER_BASE_THREAD_H

#include "base/clock.h"
#include "base/err.h"

#include <pthread.h>
#include <stdatomic.h>

typedef pthread_mutex_t er_mutex;
typedef pthread_cond_t er_cond;
typedef pthread_t er_thread;

void er_mutex_init(er_mutex *m);
void er_mutex_fini(er_mutex *m);
void er_lock(er_mutex *m);
void er_unlock(er_mutex *m);
void er_cond_init(er_cond *c);
void er_cond_fini(er_cond *c);
void er_cond_signal(er_cond *c);
void er_cond_broadcast(er_cond *c);
void er_cond_wait(er_cond *c, er_mutex *m);
/* False when the deadline passed. */
bool er_cond_wait_until(er_cond *c, er_mutex *m, er_deadline until);

/* name: at most 15 bytes are kept (pthread_setname_np). */
er_status er_thread_start(er_thread *t, const char *name, void *(*run)(void *), void *arg,
                          er_err *err);
void er_thread_join(er_thread t);

/* A flag that can be waited for: a readable descriptor once set. Set from any thread or a signal
 * handler; never reset. */
typedef struct er_cancel {
    atomic_bool set;
    int fd; /* eventfd, readable once set; for poll only */
} er_cancel;
er_status er_cancel_init(er_cancel *c, er_err *err);
void er_cancel_fini(er_cancel *c);
void er_cancel_set(er_cancel *c);
bool er_cancel_is_set(const er_cancel *c);
/* Sleeps until the deadline or the token; false when cancelled. */
bool er_cancel_sleep(er_cancel *c, er_deadline until);

/* Heartbeats: each thread that must make progress owns one and beats at least every 10 s, also
 * while it waits. Read by /livez. At most ER_HEARTS_MAX, registered before the threads start. */
#define ER_HEARTS_MAX      256
#define ER_HEART_PERIOD_MS 10000
typedef struct er_heart {
    char name[64];
    _Atomic int64_t last_ms; /* er_mono_ms of the last beat; 0: the thread is over */
} er_heart;
typedef struct er_hearts {
    er_heart v[ER_HEARTS_MAX];
    atomic_size_t n;
} er_hearts;
er_heart *er_heart_new(er_hearts *hearts, const char *name); /* NULL when full */
void er_heart_beat(er_heart *heart);                         /* NULL is allowed */
void er_heart_end(er_heart *heart);

#endif
