/* The rollout of one Deployment, followed through the versions of its status.
 *
 * Source: apps/v1 DeploymentStatus; the deployment controller's conditions. Threads: pure. */
#ifndef ER_RECORD_ROLLOUT_H
#define ER_RECORD_ROLLOUT_H

#include "base/json_write.h"
#include "record/event.h"

#define ER_ROLLOUT_PENDING_MAX 16

typedef struct er_rollout_change { /* one that touched the pod template */
    char id[ER_ID_MAX];            /* of its record; "": it made none */
    int64_t generation;
    er_time time;  /* as managedFields tell it, or ER_TIME_NONE */
    er_time stale; /* of the condition that spoke of the rollout before, or ER_TIME_NONE */
} er_rollout_change;

typedef struct er_rollout {
    bool open, paused, stuck;
    er_time started;          /* of the open one */
    er_rollout_change change; /* that it carries out, or that the last one did */
    er_rollout_change pending[ER_ROLLOUT_PENDING_MAX]; /* not yet seen by the controller */
    size_t pending_n;
} er_rollout;

/* object: as the API server sent it. What is going on at the first look, without a record. */
void er_rollout_baseline(er_rollout *rollout, const er_json *object);

/* A change of the template, first seen in object: a rollout starts when the controller has seen it,
 * too. The oldest of more than ER_ROLLOUT_PENDING_MAX is forgotten. change->stale is set here. */
void er_rollout_expect(er_rollout *rollout, er_rollout_change *change, const er_json *object);

/* One version of the object. emit gets drafts with everything of kind rollout, and time and
 * message; 0 to 4 of them. suffix: that of the id, "rs". */
typedef void er_rollout_fn(void *arg, er_draft *draft, const char *suffix);
void er_rollout_look(er_rollout *rollout, const er_json *object, er_time observed,
                     er_rollout_fn *emit, void *arg);

/* As a member "rollout" of what is remembered. */
void er_rollout_write(const er_rollout *rollout, er_jw *w);
void er_rollout_read(er_rollout *rollout, const er_json *node);

#endif
