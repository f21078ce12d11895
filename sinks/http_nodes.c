#include "sinks/http_nodes.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define REST_MS     5000
#define REST_MAX_MS 300000
#define REST_TIMES  5 /* of the time that a failure took */

er_status er_http_nodes_init(er_http_nodes *nodes, const er_http_sink_config *config,
                             const char *sink, er_err *err) {
    const er_secret_ref *more = config->more_urls.v;
    *nodes = (er_http_nodes){.n = 1 + config->more_urls.n};
    nodes->v = er_xcalloc(nodes->n, sizeof *nodes->v);
    nodes->at = nodes->n - 1; /* so that the first comes first */
    er_status status = ER_OK;
    for (size_t i = 0; i < nodes->n && status == ER_OK; i++) {
        const er_secret_ref *ref = i == 0 ? &config->url : &more[i - 1];
        char what[256];
        (void)snprintf(what, sizeof what, i == 0 ? "sinks.%s.url" : "sinks.%s.moreUrls[%zu]", sink,
                       i - 1);
        nodes->v[i].is_literal = ref->kind == ER_SECRET_LITERAL;
        status = er_secret_new(ref, what, &nodes->v[i].url, err);
    }
    return status;
}

void er_http_nodes_fini(er_http_nodes *nodes) {
    for (size_t i = 0; nodes->v != NULL && i < nodes->n; i++) {
        er_secret_free(nodes->v[i].url);
    }
    free(nodes->v);
    *nodes = (er_http_nodes){0};
}

static bool rests(const er_http_node *node) {
    return node->failures > 0 && !er_deadline_passed(node->rest);
}

er_http_node *er_http_nodes_next(er_http_nodes *nodes) {
    size_t best = nodes->at;
    for (size_t step = 1; step <= nodes->n; step++) {
        size_t i = (nodes->at + step) % nodes->n;
        if (!rests(&nodes->v[i])) {
            best = i;
            break;
        }
        if (nodes->v[i].rest.ns < nodes->v[best].rest.ns) {
            best = i;
        }
    }
    nodes->at = best;
    return &nodes->v[best];
}

bool er_http_nodes_failed(er_http_nodes *nodes, const char *sink, const char *url, int64_t took_ms,
                          const er_err *err) {
    er_http_node *node = &nodes->v[nodes->at];
    unsigned doublings = node->failures < 6 ? node->failures : 6;
    int64_t rest = (int64_t)REST_MS << doublings;
    rest = rest < took_ms * REST_TIMES ? took_ms * REST_TIMES : rest;
    node->rest = er_deadline_in(rest < REST_MAX_MS ? rest : REST_MAX_MS);
    node->failures++;
    bool others = false; /* that may serve */
    for (size_t i = 0; i < nodes->n; i++) {
        others = others || (i != nodes->at && !rests(&nodes->v[i]));
    }
    if (node->failures == 1 && nodes->n > 1) {
        ER_LOG(ER_LOG_WARNING, "sink",
               others ? "one of the URLs does not serve, the others are used"
                      : "one of the URLs does not serve, like all the others",
               ER_LS("url", url), ER_LS("sink", sink), ER_LS("error", err == NULL ? "" : err->msg));
    }
    return others;
}

void er_http_nodes_worked(er_http_nodes *nodes, const char *sink, const char *url) {
    er_http_node *node = &nodes->v[nodes->at];
    if (node->failures > 0 && nodes->n > 1) {
        ER_LOG(ER_LOG_INFO, "sink", "one of the URLs serves again", ER_LS("url", url),
               ER_LS("sink", sink));
    }
    node->failures = 0;
}

bool er_http_nodes_refresh(er_http_nodes *nodes) {
    bool is_new = false;
    for (size_t i = 0; i < nodes->n; i++) {
        is_new = er_secret_renew(nodes->v[i].url) || is_new;
    }
    return is_new;
}
