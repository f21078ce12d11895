/* Records and Events as people have them in files -> drafts.
 *
 * Understood: our records (canonical JSON), Events of v1 and of events.k8s.io, watch frames, lists
 * ("items" of any kind of list, or a JSON array) of these; indented or not, one after the other
 * with or without line breaks between them: what `kubectl get events -o json`, `kubectl get events
 * -w -o json --output-watch-events` and the sinks print.
 *
 * The text is hostile. A document that cannot be read is a fault and costs only itself; after one
 * that is not closed, reading goes on at the next line that begins with "{". Limits: 16 MiB for one
 * record or Event (a list may be longer: its items are read one by one), 64 levels.
 *
 * Threads: pure. Errors: through the handler. */
#ifndef ER_RECORD_INPUT_H
#define ER_RECORD_INPUT_H

#include "record/read.h"

#define ER_INPUT_OBJECT_MAX (16u << 20)

typedef struct er_input_place {
    size_t document; /* from 1 */
    size_t item;     /* of a list, from 1; 0: the document itself */
    size_t line;     /* where it begins, from 1 */
    size_t offset;   /* the same in bytes, from 0 */
} er_input_place;

typedef struct er_input_handler {
    void *arg;
    /* A record or Event. The draft may be changed (an Event's has no cluster) and is valid until
     * the return. False: reading ends. */
    bool (*draft)(void *arg, const er_input_place *place, er_draft *draft);
    /* A watch frame of which no record is made, and why. */
    void (*nothing)(void *arg, const er_input_place *place, const char *why);
    /* What cannot be read, and why; texts of the input in it are cut, not cleaned. */
    void (*fault)(void *arg, const er_input_place *place, const char *why);
} er_input_handler;

/* text: changed in place (\u0000). observed: the observedTime of Events. */
void er_input_read(char *text, size_t n, er_time observed, const er_input_handler *handler);

#endif
