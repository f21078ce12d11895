#include "fake_script.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_run *fake_run_new(fake *f, er_str text) {
    fake_run *run = er_xcalloc(1, sizeof *run);
    run->fake = f;
    run->text = er_str_dup(text);
    /* Last in the list: runs take their turns in the order in which they came. */
    fake_run **at = &f->runs->v;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = run;
    return run;
}

static void drop_step(fake_run *run) {
    if (run->task_free != NULL) {
        run->task_free(run->task);
    }
    run->step = NULL;
    run->task = NULL;
    run->task_free = NULL;
    run->waiting = NULL;
}

static void run_free(fake_run *run) {
    drop_step(run);
    free(run->text);
    free(run);
}

void fake_runs_fini(fake_runs *runs) {
    while (runs->v != NULL) {
        fake_run *run = runs->v;
        runs->v = run->next;
        run_free(run);
    }
}

static void finish(fake_run *run, er_status status, const er_err *err) {
    char text[600];
    run->done = true;
    (void)snprintf(text, sizeof text, "line %u: %s\n", run->line, err->msg);
    if (run->conn != NULL) {
        bool good = status == ER_OK;
        run->conn->on_gone = NULL;
        fake_conn_answer(run->conn, &(fake_head){.status = good ? 200 : 400, .type = "text/plain"},
                         er_str_of(good ? "" : text));
    } else if (status != ER_OK) {
        (void)fprintf(stderr, "er_fake: %s", text);
        run->fake->runs->failed = true;
        *run->fake->ending = 1;
    }
}

static er_status next_line(fake_run *run, er_err *err) {
    const char *start = run->text + run->at;
    size_t n = strcspn(start, "\n");
    er_str line = er_str_trim((er_str){start, n});
    run->at += n + (start[n] == '\n');
    run->line++;
    return line.n == 0 || line.p[0] == '#' ? ER_OK : fake_command(run, line, err);
}

/* Goes on as far as it gets. */
static void run_turn(fake_run *run) {
    er_err err = {0};
    while (!run->done) {
        if (run->step != NULL) {
            fake_step result =
                run->wake_ns > run->fake->now_ns ? FAKE_STEP_AGAIN : run->step(run, &err);
            if (result == FAKE_STEP_AGAIN) {
                if (run->wake_ns > 0) {
                    fake_server_wake(run->fake, run->wake_ns);
                }
                return;
            }
            drop_step(run);
            if (result == FAKE_STEP_FAILED) {
                finish(run, err.code, &err);
            }
        } else if (run->text[run->at] == '\0') {
            finish(run, ER_OK, &err);
        } else if (next_line(run, &err) != ER_OK) {
            finish(run, err.code, &err);
        }
    }
}

void fake_runs_turn(fake *f) {
    for (fake_run *run = f->runs->v; run != NULL; run = run->next) {
        run_turn(run);
    }
    fake_run **at = &f->runs->v;
    while (*at != NULL) {
        fake_run *run = *at;
        if (!run->done) {
            at = &run->next;
            continue;
        }
        *at = run->next;
        run_free(run);
    }
}
