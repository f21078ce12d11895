/* The addresses of one service, any of which takes any request: `url` and, where a kind of sink has
 * it, `moreUrls`.
 *
 * Requests go to them in turn. One that fails rests, for 5 s at first and twice as long each time,
 * up to 5 min; when all rest, the one whose rest ends first is asked all the same, so that a rest
 * never adds to the waits of the worker.
 *
 * Ownership: the configuration is borrowed. Threads: the sink's own. */
#ifndef ER_SINKS_HTTP_NODES_H
#define ER_SINKS_HTTP_NODES_H

#include "base/clock.h"
#include "sinks/http_sink.h"

typedef struct er_http_node {
    er_secret *url;
    bool has_warned;   /* that its URL is not encrypted */
    bool is_literal;   /* its path may be shown */
    unsigned failures; /* in a row */
    er_deadline rest;  /* until then */
} er_http_node;

typedef struct er_http_nodes {
    er_http_node *v;
    size_t n, at; /* at: the one in use */
} er_http_nodes;

/* Reads the URLs. Errors: ER_E_CONFIG; fini is needed then as well. */
er_status er_http_nodes_init(er_http_nodes *nodes, const er_http_sink_config *config,
                             const char *sink, er_err *err);
void er_http_nodes_fini(er_http_nodes *nodes);

/* Moves on to the node that the next request goes to. */
er_http_node *er_http_nodes_next(er_http_nodes *nodes);
/* The one in use did not answer, or said that it cannot: it rests, which is logged the first time
 * when there are others; url as it may be shown; took_ms: how long that took, since one that hangs
 * costs the others' time and rests the longer. True: another one does not rest and could be asked
 * at once. */
bool er_http_nodes_failed(er_http_nodes *nodes, const char *sink, const char *url, int64_t took_ms,
                          const er_err *err);
/* The one in use has answered; logged when it had not before. */
void er_http_nodes_worked(er_http_nodes *nodes, const char *sink, const char *url);
/* Reads all URLs again that are in files; true when one is new. */
bool er_http_nodes_refresh(er_http_nodes *nodes);

#endif
