/* What the files of the elasticsearch sink share. It speaks to Elasticsearch and OpenSearch.
 *
 *   elasticsearch.c         settings, profile, requests
 *   elasticsearch_target.c  where documents go: names, their rules, dates in them
 *   elasticsearch_ecs.c     documents in the layout of the Elastic Common Schema
 *   elasticsearch_judge.c   the answer to _bulk
 *   elasticsearch_setup.c   what is behind the URL, and what setup creates there
 *   elasticsearch_bodies.c  the bodies of template and policies
 *
 * Threads: the sink's own; checks and the making of bodies: any. */
#ifndef ER_SINKS_ELASTICSEARCH_H
#define ER_SINKS_ELASTICSEARCH_H

#include "base/json_read.h"
#include "sinks/http_sink.h"

typedef enum er_elastic_layout { ER_ELASTIC_RECORD, ER_ELASTIC_ECS } er_elastic_layout;

typedef struct er_elastic_config {
    er_http_sink_config http;          /* first */
    char *index, *alias, *data_stream; /* exactly one is not "" */
    int layout;                        /* er_elastic_layout */
    char *pipeline;
    bool setup;
    struct {
        int64_t rollover_age_ms, rollover_bytes, delete_after_ms; /* 0: not */
    } lifecycle;
} er_elastic_config;

/* ---- the target ---- */

/* Of a name that stands in the configuration. index may have dates: {yyyy.MM.dd}. Errors:
 * ER_E_CONFIG. Source: Elasticsearch, "Create index API", path parameters; "Create data stream
 * API". */
er_status er_elastic_check_index(const char *text, er_err *err);
er_status er_elastic_check_name(const char *text, er_err *err);

/* Whatever of the three is set. */
const char *er_elastic_target(const er_elastic_config *config);
bool er_elastic_is_dated(const er_elastic_config *config);
/* The name for a record of that time: dates in it are UTC. */
void er_elastic_put_target(const er_elastic_config *config, er_time time, er_buf *out);
/* What template and policy are called: "eventrouter-", the target up to its date, and "-alias",
 * "-stream" or, without a date, "-index", since they differ. "k8s-events-{yyyy.MM.dd}" gives
 * "eventrouter-k8s-events". */
void er_elastic_put_setup_name(const er_elastic_config *config, er_buf *out);

/* ---- documents ---- */

/* Appends the document. */
void er_elastic_ecs_put(const er_elastic_config *config, const er_record *rec, er_buf *out);
#define ER_ELASTIC_ECS_VERSION "8.11.0"
/* Longest value of a keyword in the layout ecs, in bytes; what is longer is cut. */
#define ER_ELASTIC_KEYWORD_MAX 1024

/* ---- answers ---- */

/* Counts what is neither delivered nor refused in a plain way. */
typedef struct er_elastic_counters {
    er_counter *duplicates;    /* 409: the document was there already */
    er_counter *failure_store; /* stored, but in the failure store of the data stream */
    er_counter *blocked;       /* 429 and 403 of a block: disk full, read-only */
} er_elastic_counters;

/* Most bytes of an answer that are read. */
#define ER_ELASTIC_ANSWER_MAX ((size_t)16 << 20)

/* Judges the items of batch by an answer to _bulk; text may be changed. was_cut: the answer was
 * longer than text. doc: memory for parsing. Nothing counts as delivered but an item whose own
 * result says so, at its position, in an answer that has one for each. Returns as deliver; with
 * ER_OK and items left to try again, err says why and when. name: of the sink. */
typedef struct er_elastic_judge {
    const char *name;
    bool sets_aside;      /* records go to several indices: one that is refused holds up its own */
    int64_t long_wait_ms; /* for blocks, which only people lift */
    const er_elastic_counters *counters;
    er_json_doc *doc;
} er_elastic_judge;
er_status er_elastic_judge_items(const er_elastic_judge *judge, char *text, size_t n, bool was_cut,
                                 er_batch *batch, er_err *err);

/* Whether an answer that refuses a whole request may do so for what is in it: it is a 400 with an
 * error as Elasticsearch and OpenSearch word it, and not for the target, a parameter of ours, a
 * setting of the cluster, or a body that was changed on its way. */
bool er_elastic_blames_records(const er_http_response *res, er_json_doc *doc);

/* Appends ": ", and what an answer to a whole request says: the type and reason of its error, else
 * its beginning; on one line. Returns what to do, when the error tells; else NULL. */
const char *er_elastic_say(const er_http_response *res, er_json_doc *doc, er_buf *out);

/* ---- what is behind the URL ---- */

typedef enum er_elastic_product {
    ER_ELASTIC_UNKNOWN, /* it would not say, or is something else that takes _bulk */
    ER_ELASTIC_ELASTICSEARCH,
    ER_ELASTIC_OPENSEARCH,
} er_elastic_product;
typedef struct er_elastic_server {
    er_elastic_product product;
    unsigned major, minor; /* 0: unknown */
    char version[32];
    bool serverless;
} er_elastic_server;
const char *er_elastic_product_name(er_elastic_product product);
/* From the answer to GET /, which may be anything; text may be changed. */
void er_elastic_server_read(char *text, size_t n, er_elastic_server *out);
/* Elasticsearch since 8.13 can be told to refuse what is not a data stream. */
bool er_elastic_can_require_data_stream(const er_elastic_server *server);

/* Looks at the server and creates what is missing, as configured. Returns as open. */
er_status er_elastic_open(const er_elastic_config *config, const char *name, er_http_caller *caller,
                          er_elastic_server *server, er_err *err);

/* ---- bodies of setup ---- */

typedef enum er_elastic_policies { /* what the product has */
                                   ER_ELASTIC_NO_POLICY,
                                   ER_ELASTIC_ILM, /* index lifecycle management, Elasticsearch */
                                   ER_ELASTIC_ISM, /* index state management, OpenSearch */
} er_elastic_policies;

/* The names of the indices: "k8s-events-*". */
void er_elastic_put_pattern(const er_elastic_config *config, er_buf *out);
void er_elastic_put_template(const er_elastic_config *config, er_elastic_policies policies,
                             er_buf *out);
/* The index that an alias begins with. */
void er_elastic_put_first_index(const er_elastic_config *config, er_buf *out);
/* policies: ILM or ISM. */
void er_elastic_put_policy(const er_elastic_config *config, er_elastic_policies policies,
                           er_buf *out);
bool er_elastic_has_lifecycle(const er_elastic_config *config);

#endif
