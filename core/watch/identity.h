/* Finding out which cluster this is; see er_identity in watch.h. Threads: any stream. */
#ifndef ER_WATCH_IDENTITY_H
#define ER_WATCH_IDENTITY_H

#include "watch/watch.h"

/* Asks the API server unless it is known already; one stream at a time, the others wait and beat
 * their hearts. path: what the stream lists. That the id may not be read is believed only while
 * listing is allowed: a restarting API server forbids everything for a moment. OK: er_identity_get
 * gives it now. */
er_kube_outcome er_identity_find(er_identity *identity, er_kube_client *client, const char *path,
                                 er_cancel *cancel, er_heart *heart, er_kube_answer *answer);

#endif
