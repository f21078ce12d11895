/* Elasticsearch and OpenSearch: POST _bulk, one `create` with the record's id for each record, so
 * that a repetition is answered with 409 and changes nothing.
 *
 * Source: Elasticsearch and OpenSearch, "Bulk API". What is written twice into two indices is there
 * twice, so the index of a record depends on nothing but the record. */
#include "sinks/elasticsearch.h"

#include "base/json_write.h"
#include "sinks/http_rules.h"
#include "sinks/registry.h"

#include <stdio.h>
#include <string.h>

#define MEMBERS_BYTES 512 /* of a document, beside what the record brings along */

typedef struct elastic_state {
    const char *name;
    bool is_preview;
    er_elastic_server server;
    er_buf url;
    er_json_doc doc;
    er_elastic_counters counters;
} elastic_state;

/* ---- configuration ---- */

bool er_elastic_has_lifecycle(const er_elastic_config *c) {
    return c->lifecycle.rollover_age_ms > 0 || c->lifecycle.rollover_bytes > 0 ||
           c->lifecycle.delete_after_ms > 0;
}

static er_status check_lifecycle(const er_elastic_config *c, er_err *err) {
    bool rolls_over = c->lifecycle.rollover_age_ms > 0 || c->lifecycle.rollover_bytes > 0;
    if (!c->setup) {
        return er_err_set(err, ER_E_CONFIG,
                          "has lifecycle, which is created by setup; add setup: true");
    }
    if (c->index[0] != '\0' && !er_elastic_is_dated(c)) {
        return er_err_set(err, ER_E_CONFIG,
                          "has lifecycle, but index is always the same one; use a dataStream, an "
                          "alias, or a date such as index: %s-{yyyy.MM.dd}",
                          c->index);
    }
    if (c->index[0] != '\0' && rolls_over) {
        return er_err_set(err, ER_E_CONFIG,
                          "has lifecycle.rolloverAge or rolloverSize, but its index changes with "
                          "the date; they are for a dataStream or an alias");
    }
    if (c->index[0] == '\0' && !rolls_over) {
        return er_err_set(err, ER_E_CONFIG,
                          "has lifecycle without rolloverAge and rolloverSize; without one of them "
                          "everything stays in one index, which is never deleted");
    }
    return ER_OK;
}

static er_status check_url(const er_secret_ref *url, const char *key, er_err *err) {
    if (url->kind != ER_SECRET_LITERAL) {
        return ER_OK;
    }
    if (strpbrk(url->text, "?#") != NULL) {
        return er_err_set(
            err, ER_E_CONFIG,
            "%s has a query; only the address of the cluster belongs there (there are "
            "settings for index, pipeline and the like)",
            key);
    }
    er_str text = er_str_of(url->text);
    er_str tail = text.n < 6 ? (er_str){0} : (er_str){text.p + text.n - 6, 6};
    if (er_str_eqc(tail, "/_bulk")) {
        return er_err_set(err, ER_E_CONFIG,
                          "%s ends in /_bulk, which is appended to it; give the address of the "
                          "cluster",
                          key);
    }
    return ER_OK;
}

static er_status elastic_check(const void *config, er_err *err) {
    const er_elastic_config *c = config;
    er_status status = er_http_sink_check(config, err);
    int targets = (c->index[0] != '\0') + (c->alias[0] != '\0') + (c->data_stream[0] != '\0');
    if (status == ER_OK && targets != 1) {
        status = er_err_set(err, ER_E_CONFIG,
                            targets == 0 ? "needs one of index, alias and dataStream, such as "
                                           "index: k8s-events-{yyyy.MM.dd}"
                                         : "has more than one of index, alias and dataStream; "
                                           "keep one of them");
    }
    if (status == ER_OK && c->setup && c->index[0] == '{') {
        status = er_err_set(err, ER_E_CONFIG,
                            "has an index that begins with a date; setup needs a name before it, "
                            "such as k8s-events-%s",
                            c->index);
    }
    status = status == ER_OK ? check_url(&c->http.url, "url", err) : status;
    const er_secret_ref *more = c->http.more_urls.v;
    for (size_t i = 0; i < c->http.more_urls.n && status == ER_OK; i++) {
        status = check_url(&more[i], "moreUrls", err);
    }
    if (status == ER_OK && er_http_sink_has_header(&c->http, "Content-Type")) {
        status = er_err_set(err, ER_E_CONFIG,
                            "headers has Content-Type, which is application/x-ndjson here; remove "
                            "it");
    }
    return status == ER_OK && er_elastic_has_lifecycle(c) ? check_lifecycle(c, err) : status;
}

/* ---- life ---- */

static er_counter *counter(const er_sink_env *env, const char *name, const char *help) {
    return er_metrics_counter(env->metrics, name, help, ER_LABELS("sink", env->name));
}

static er_status elastic_init(const void *config, const er_sink_env *env, void *state,
                              er_err *err) {
    (void)config, (void)err;
    elastic_state *s = state;
    s->name = env->name;
    s->is_preview = env->is_preview;
    er_buf_init(&s->url, 16384);
    er_json_doc_init(&s->doc);
    s->counters = (er_elastic_counters){
        .duplicates = counter(env, "sink_duplicates_total",
                              "Records that the peer had already: delivered, and left as it was."),
        .failure_store = counter(env, "sink_failure_store_total",
                                 "Records that the peer put into its failure store."),
        .blocked = counter(env, "sink_blocked_total",
                           "Results of records that a block of the index kept out.")};
    return ER_OK;
}

static void elastic_fini(void *state) {
    elastic_state *s = state;
    er_buf_wipe(&s->url);
    er_buf_fini(&s->url);
    er_json_doc_fini(&s->doc);
}

static er_status elastic_open(const void *config, void *state, er_http_caller *caller,
                              er_deadline until, er_err *err) {
    (void)until; /* each request has its own limit */
    elastic_state *s = state;
    return er_elastic_open(config, s->name, caller, &s->server, err);
}

/* ---- documents ---- */

/* diff and patch hold values of any type under the same names, which no mapping can take: as texts
 * of JSON they do not get in each other's way. */
static void put_change(const er_record *rec, er_buf *out) {
    er_record copy;
    size_t from = offsetof(er_record, bytes); /* not the count of references: others change it */
    memcpy((char *)&copy + from, (const char *)rec + from, sizeof copy - from);
    er_buf diff;
    er_buf patch;
    er_buf_init(&diff, out->max);
    er_buf_init(&patch, out->max);
    if (rec->change.diff.n > 0) {
        er_json_quote(&diff, rec->change.diff);
        copy.change.diff = er_buf_str(&diff);
    }
    if (rec->change.patch.n > 0) {
        er_json_quote(&patch, rec->change.patch);
        copy.change.patch = er_buf_str(&patch);
    }
    er_record_json(&copy, out);
    er_buf_fini(&diff);
    er_buf_fini(&patch);
}

static void put_document(const er_record *rec, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_ktime_opt(&w, "@timestamp", rec->time);
    size_t at = out->len;
    if (rec->kind == ER_KIND_CHANGE) {
        put_change(rec, out);
    } else {
        er_record_json(rec, out);
    }
    if (er_buf_status(out) == ER_OK) {
        out->p[at] = ','; /* in place of the bracket that opens the record */
    }
}

static er_status elastic_encode(const void *config, void *state, const er_record *rec, er_buf *out,
                                er_err *err) {
    (void)state, (void)err;
    const er_elastic_config *c = config;
    er_buf_expect(out, rec->bytes + MEMBERS_BYTES);
    er_buf_puts(out, "{\"create\":{\"_index\":\"");
    er_elastic_put_target(c, rec->time, out); /* without anything to escape: it was checked */
    er_buf_puts(out, "\",\"_id\":\"");
    er_buf_put_str(out, rec->id);
    er_buf_puts(out, "\"}}\n");
    if (c->layout == ER_ELASTIC_ECS) {
        er_elastic_ecs_put(c, rec, out);
    } else {
        put_document(rec, out);
    }
    er_buf_putc(out, '\n');
    return ER_OK;
}

static void elastic_target(const void *config, const er_record *rec, er_buf *out) {
    er_elastic_put_target(config, rec->time, out);
}

/* ---- requests ---- */

/* An alias that is not there must not become an index of that name, nor a data stream. */
static void put_guards(const er_elastic_config *c, const elastic_state *s, er_buf *out) {
    if (c->alias[0] != '\0') {
        er_buf_puts(out, "&require_alias=true");
    }
    if (c->data_stream[0] != '\0' && s->is_preview) {
        er_buf_puts(out, "&require_data_stream=<looked up>");
    } else if (c->data_stream[0] != '\0' && er_elastic_can_require_data_stream(&s->server)) {
        er_buf_puts(out, "&require_data_stream=true");
    }
}

static er_status elastic_prepare(const void *config, void *state, const er_batch *batch,
                                 er_http_request *req, er_err *err) {
    (void)batch;
    const er_elastic_config *c = config;
    elastic_state *s = state;
    er_buf_clear(&s->url);
    if (strpbrk(req->url, "?#") != NULL) { /* from a file; else check has seen it */
        return er_err_set(err, ER_E_DENIED, "sinks.%s.url must not have a query", s->name);
    }
    /* Of each item's result what is needed; the items themselves stay, their places count. */
    er_http_sink_join(er_str_of(req->url),
                      "/_bulk?filter_path=items.*.status,items.*.error.type,"
                      "items.*.error.reason,items.*.error.index,items.*.error.caused_by.reason,"
                      "items.*.failure_store",
                      &s->url);
    /* So that of an index without a primary shard (its own default: 1 min) the answer tells, before
     * we stop waiting for one, and those of other indices count. */
    er_buf_putf(&s->url, "&timeout=%lldms", (long long)(c->http.timeout.request_ms * 2 / 3));
    if (c->pipeline[0] != '\0') {
        er_buf_puts(&s->url, "&pipeline=");
        er_url_escape(er_str_of(c->pipeline), &s->url);
    }
    put_guards(c, s, &s->url);
    req->url = er_buf_cstr(&s->url);
    return er_buf_status(&s->url) == ER_OK
               ? ER_OK
               : er_err_set(err, ER_E_DENIED, "sinks.%s.url is too long", s->name);
}

/* Not every refusal is for the records: a proxy, or whatever else is behind the URL, must not make
 * them be rejected. */
static er_http_action elastic_action(const void *config, void *state, const er_http_response *res,
                                     er_http_action action) {
    (void)config;
    elastic_state *s = state;
    return action == ER_HTTP_REFUSED && !er_elastic_blames_records(res, &s->doc) ? ER_HTTP_DENIED
                                                                                 : action;
}

static void elastic_say(const void *config, void *state, const er_http_response *res, er_buf *out) {
    const er_elastic_config *c = config;
    elastic_state *s = state;
    const char *todo = er_elastic_say(res, &s->doc, out);
    er_http_action action = er_http_action_of(NULL, 0, res->status);
    if (elastic_action(config, state, res, action) != ER_HTTP_DENIED) {
        return;
    }
    er_buf_puts(out, res->body.len > 0 ? "; " : ": ");
    if (todo != NULL) {
        er_buf_puts(out, todo);
    } else {
        er_http_put_advice(res->status, s->name, c->http.compression == ER_HTTP_GZIP, out);
    }
}

static er_status elastic_judge(const void *config, void *state, const er_http_response *res,
                               er_batch *batch, er_err *err) {
    const er_elastic_config *c = config;
    elastic_state *s = state;
    er_elastic_judge judge = {.name = s->name,
                              .sets_aside = er_elastic_is_dated(c),
                              .long_wait_ms = c->http.common.retry.max_ms,
                              .counters = &s->counters,
                              .doc = &s->doc};
    bool was_cut = res->body.len >= ER_ELASTIC_ANSWER_MAX;
    return er_elastic_judge_items(&judge, res->body.p, res->body.len, was_cut, batch, err);
}

/* ---- rows ---- */

static const er_field lifecycle_rows[] = {
    {.key = "rolloverAge",
     .type = ER_FIELD_DURATION,
     .offset = offsetof(er_elastic_config, lifecycle.rollover_age_ms),
     .help = "A new index begins when the last one is so old (dataStream, alias); 0: not by age."},
    {.key = "rolloverSize",
     .type = ER_FIELD_SIZE,
     .offset = offsetof(er_elastic_config, lifecycle.rollover_bytes),
     .help = "A new index begins when the last one's primary shards are so large together "
             "(dataStream, alias); 0: not by size."},
    {.key = "deleteAfter",
     .type = ER_FIELD_DURATION,
     .offset = offsetof(er_elastic_config, lifecycle.delete_after_ms),
     .help =
         "An index is deleted so long after its rollover (by ISM, and where there is none, after "
         "its creation); 0: never."},
    {.key = NULL},
};

ER_SINK_BATCH_ROWS(elastic_batch_rows, "1000", "5MiB", "1s");
static const er_field elastic_rows[] = {
    ER_SINK_ROWS(elastic_batch_rows),
    ER_HTTP_SINK_ROWS_WITH(er_auth_scheme_rows),
    ER_HTTP_SINK_MORE_URLS_ROW,
    {.key = "index",
     .type = ER_FIELD_STRING,
     .check = er_elastic_check_index,
     .offset = offsetof(er_elastic_config, index),
     .max = 1024,
     .help = "The index that records go to. {yyyy.MM.dd} becomes the date of the record's time in "
             "UTC; yyyy, MM, dd, HH and the signs . - _ may stand between the brackets. One of "
             "index, alias and dataStream is needed."},
    {.key = "alias",
     .type = ER_FIELD_STRING,
     .check = er_elastic_check_name,
     .offset = offsetof(er_elastic_config, alias),
     .max = 255,
     .help = "The alias that records go to; it must have a write index. What is not an alias is "
             "refused (require_alias)."},
    {.key = "dataStream",
     .type = ER_FIELD_STRING,
     .check = er_elastic_check_name,
     .offset = offsetof(er_elastic_config, data_stream),
     .max = 255,
     .help =
         "The data stream that records go to, such as logs-k8s.events-default. A template for it "
         "must be there (setup makes one): without, OpenSearch, and Elasticsearch before 8.13, "
         "make an ordinary index of that name."},
    {.key = "layout",
     .type = ER_FIELD_ENUM,
     .choices = "record|ecs",
     .offset = offsetof(er_elastic_config, layout),
     .help = "record: the record with @timestamp (change.diff and change.patch as texts of JSON); "
             "ecs: fields of the Elastic Common Schema only."},
    {.key = "pipeline",
     .type = ER_FIELD_STRING,
     .offset = offsetof(er_elastic_config, pipeline),
     .max = 1024,
     .help = "The ingest pipeline that documents go through; empty: the index's own."},
    {.key = "setup",
     .type = ER_FIELD_BOOL,
     .offset = offsetof(er_elastic_config, setup),
     .help = "At the start, creates what is missing: an index template with the mapping of the "
             "layout, for an alias its first index, and the policy of lifecycle. What is there is "
             "never changed."},
    {.key = "lifecycle",
     .type = ER_FIELD_STRUCT,
     .rows = lifecycle_rows,
     .help = "With setup: a policy for the indices, by ILM on Elasticsearch and ISM on OpenSearch; "
             "where the server has neither, that is logged once and the rest goes on."},
    {.key = NULL},
};

static const er_http_profile elastic_profile = {
    .content_type = "application/x-ndjson",
    .framing = ER_HTTP_CONCAT,
    .state_size = sizeof(elastic_state),
    .answer_max = ER_ELASTIC_ANSWER_MAX,
    .init = elastic_init,
    .fini = elastic_fini,
    .open = elastic_open,
    .encode = elastic_encode,
    .target = elastic_target,
    .prepare = elastic_prepare,
    .action = elastic_action,
    .judge = elastic_judge,
    .say = elastic_say,
};

const er_sink_type er_elasticsearch_sink = ER_HTTP_SINK_TYPE_CHECKED(
    &elastic_profile, "elasticsearch", "Elasticsearch and OpenSearch, by their bulk API.",
    elastic_rows, er_elastic_config, elastic_check);
