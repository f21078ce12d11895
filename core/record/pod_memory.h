/* What is remembered of a pod: how often its containers had restarted, as JSON of some 20 bytes for
 * each container that ever did, and 2 for the others together.
 *
 *   {"c":{"web":[4,"8f3a01c2"],"side":[0,"77aa10be",true]},"failed":true}
 *
 * For each container the restart count, a hash of the containerID of the last termination that was
 * told, and true once its count has fallen. Threads: pure. */
#ifndef ER_RECORD_POD_MEMORY_H
#define ER_RECORD_POD_MEMORY_H

#include "base/buf.h"

#define ER_POD_CONTAINERS_MAX 256 /* of one pod; further ones are not looked at */
#define ER_POD_NAME_MAX       63  /* a DNS label, as the API server demands */
#define ER_POD_ENDED_MAX      9

typedef struct er_pod_container {
    char name[ER_POD_NAME_MAX + 1];
    int64_t count;
    char ended[ER_POD_ENDED_MAX]; /* 8 hex digits; "": no termination was told */
    bool fell;                    /* the count was once lower than before */
    bool looked;                  /* in this look; not remembered */
} er_pod_container;

typedef struct er_pod_memory {
    er_pod_container containers[ER_POD_CONTAINERS_MAX];
    size_t n;
    bool failed; /* it was told that the whole pod failed */
} er_pod_memory;

/* False, and an empty memory, when there is none or it was not written by us. */
bool er_pod_memory_read(er_pod_memory *memory, er_str json);
void er_pod_memory_write(const er_pod_memory *memory, er_buf *out);

/* The container of that name, added when it is not there; NULL for what is no container's name and
 * when there are too many. */
er_pod_container *er_pod_memory_at(er_pod_memory *memory, er_str name);

#endif
