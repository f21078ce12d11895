/* Scripts: one command a line, executed in order. Each text that is posted, given with --script or
 * put behind "background" is a run of its own; runs take turns in the loop.
 *
 * A command that takes time leaves a step behind, which is called until it is done. Threads: the
 * loop's. */
#ifndef FAKE_SCRIPT_H
#define FAKE_SCRIPT_H

#include "fake_resource.h"
#include "fake_server.h"
#include "fake_words.h"

typedef enum fake_step { FAKE_STEP_DONE, FAKE_STEP_AGAIN, FAKE_STEP_FAILED } fake_step;

typedef struct fake_run {
    struct fake_run *next;
    fake *fake;
    char *text;
    size_t at; /* the next line */
    unsigned line;
    bool done;
    fake_conn *conn; /* who waits for the end; NULL: nobody */
    fake_step (*step)(struct fake_run *run, er_err *err);
    void *task; /* of step */
    void (*task_free)(void *task);
    int64_t wake_ns;                      /* not to call step before; 0: it is called each turn */
    const struct fake_condition *waiting; /* what step waits for, if it is that */
} fake_run;

typedef struct fake_runs {
    fake_run *v;
    bool failed; /* a run for which nobody waits */
} fake_runs;

/* A new run; the text is copied. */
fake_run *fake_run_new(fake *f, er_str text);
void fake_runs_fini(fake_runs *runs);

/* Executes one command; words are behind the line's first. fake_commands.c */
er_status fake_command(fake_run *run, er_str line, er_err *err);

/* ---- fake_objects.c: commands that write one object ---- */
er_status fake_command_put(fake_run *run, fake_words *words, er_err *err);
er_status fake_command_modify(fake_run *run, fake_words *words, er_err *err);
er_status fake_command_delete(fake_run *run, fake_words *words, er_err *err);
/* Sets path=value words on an object. */
er_status fake_fields_set(fake_resource resource, er_buf *json, fake_words *words, er_err *err);
/* By the kind of an object, which is an Event when it has none. */
er_status fake_resource_of_json(er_str json, fake_resource *out, er_err *err);

/* ---- fake_play.c: commands that write many ---- */
er_status fake_command_load(fake_run *run, fake_words *words, er_err *err);
er_status fake_command_burst(fake_run *run, fake_words *words, er_err *err);

/* ---- fake_counters.c ---- */

typedef struct fake_condition {
    char name[160];
    char op[3];
    uint64_t value;
    int64_t deadline_ns;
} fake_condition;
/* "COUNTER OP NUMBER [timeout DURATION]" */
er_status fake_condition_parse(const fake *f, fake_words *words, fake_condition *out, er_err *err);
bool fake_condition_holds(const fake *f, const fake_condition *condition);
/* False: there is no such counter. */
bool fake_counter_get(const fake *f, const char *name, uint64_t *out);
const char *
fake_counter_name(size_t i); /* NULL behind the last one; those of sinks are not in it */

#endif
