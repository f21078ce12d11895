/* The control port: POST /script and /wait, GET /state, /log, /watches, /history and /sink/NAME.
 * Threads: the loop's. */
#ifndef FAKE_CONTROL_H
#define FAKE_CONTROL_H

#include "fake_script.h"

typedef struct fake_wait {
    struct fake_wait *next;
    fake_conn *conn; /* NULL: left */
    fake_condition condition;
} fake_wait;

typedef struct fake_control {
    fake_wait *waits;
} fake_control;

void fake_control_fini(fake_control *control);

#endif
