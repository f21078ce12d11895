/* The sink `cloudLogging`: Google Cloud Logging, entries.write. */
#include "sinks/cloud_logging.h"

#include "http/metadata.h"
#include "sinks/gcp_line.h"
#include "sinks/http_rules.h"
#include "sinks/registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH          "/v2/entries:write"
#define SCOPE         "https://www.googleapis.com/auth/logging.write"
#define ANSWER_MAX    (1u << 20) /* 1,000 errors by entry */
#define URL_MAX       8192
#define LOG_NAME_MAX  2048
#define METADATA_MS   3000
#define LABEL_KEY_MAX 512
#define BATCH_MAX     ((int64_t)9 << 20) /* with what is around it, a request within its limit */
/* Room for a change without its patch or diff, in a measure that is not ours. */
#define SHRINK_OVER ((size_t)240 * 1024)

typedef struct cloud_logging_config {
    er_http_sink_config http; /* first */
    char *project, *location, *cluster_name, *log_id;
    er_cfg_list labels; /* of er_cfg_secret */
} cloud_logging_config;

/* Where the entries belong: settings, or what the metadata server says of this machine. */
enum { PROJECT, LOCATION, CLUSTER, PLACES };
typedef struct place_source {
    const char *setting, *path, *other; /* other: looked up when there is no path */
} place_source;
static const place_source sources[PLACES] = {
    [PROJECT] = {"project", ER_METADATA_PROJECT, NULL},
    [LOCATION] = {"location", ER_METADATA_CLUSTER_LOCATION, "instance/zone"},
    [CLUSTER] = {"clusterName", ER_METADATA_CLUSTER_NAME, NULL},
};

typedef struct cloud_logging_state {
    const char *name; /* of the sink */
    er_cancel *cancel;
    er_heart *heart;
    char *places[PLACES]; /* NULL: not known yet */
    er_log_place place;
    er_buf log_name; /* "projects/P/logs/ID" */
    char **labels;   /* values of config->labels */
    size_t labels_n;
    er_buf url;
} cloud_logging_state;

/* ---- configuration ---- */

/* A log's id: letters, digits and / _ - . (LogEntry.logName). */
static er_status check_log_id(const char *text, er_err *err) {
    bool is_legal = text[0] != '\0';
    for (const char *p = text; *p != '\0'; p++) {
        bool is_word =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        is_legal = is_legal && (is_word || strchr("/_-.", *p) != NULL);
    }
    return is_legal ? ER_OK
                    : er_err_set(err, ER_E_CONFIG,
                                 "is not the id of a log: letters, digits and /, _, -, .");
}

static er_status check_url(const char *text, er_err *err) {
    return strpbrk(text, "?#") == NULL
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG, "must not have a query or a fragment");
}

/* Not all of Google's rules: those without which the name of the log would be another one. */
static er_status check_project(const char *text, er_err *err) {
    for (const char *p = text; *p != '\0'; p++) {
        bool is_word = (*p >= 'a' && *p <= 'z') || (*p >= '0' && *p <= '9');
        if (!is_word && strchr("-.:", *p) == NULL) {
            return er_err_set(err, ER_E_CONFIG,
                              "is not the id of a project: small letters, digits and -");
        }
    }
    return ER_OK;
}

static er_status check_label(const char *name, er_err *err) {
    if (name[0] == '\0' || strlen(name) > LABEL_KEY_MAX) {
        return er_err_set(err, ER_E_CONFIG, "is not the name of a label: 1 to %d bytes",
                          LABEL_KEY_MAX);
    }
    for (size_t i = 0; i < ER_GCP_LABELS; i++) {
        if (strcmp(name, er_gcp_labels[i]) == 0) {
            return er_err_set(err, ER_E_CONFIG, "is set by the program and cannot be changed");
        }
    }
    return ER_OK;
}

static er_status cloud_logging_check(const void *config, er_err *err) {
    const cloud_logging_config *c = config;
    er_status status = er_http_sink_check(config, err);
    if (status != ER_OK) {
        return status;
    }
    if (er_http_sink_has_header(&c->http, "Authorization")) {
        return er_err_set(err, ER_E_CONFIG,
                          "has Authorization in headers; its credentials belong into auth");
    }
    if (c->labels.n > ER_LOG_LABELS_MAX - ER_GCP_LABELS) {
        return er_err_set(err, ER_E_CONFIG,
                          "labels has %zu entries; an entry may have %d besides our own",
                          c->labels.n, ER_LOG_LABELS_MAX - ER_GCP_LABELS);
    }
    if (c->http.common.batch.records > ER_LOG_ENTRIES_MAX) {
        return er_err_set(err, ER_E_CONFIG,
                          "batch.records is over %d, which is what a request may have",
                          ER_LOG_ENTRIES_MAX);
    }
    if (c->http.common.batch.bytes > BATCH_MAX) {
        return er_err_set(err, ER_E_CONFIG, "batch.bytes is over 9MiB; a request may have 10 MB");
    }
    return ER_OK;
}

/* ---- life ---- */

static void settle_places(const cloud_logging_config *config, cloud_logging_state *s) {
    s->place = (er_log_place){.project = er_str_of(s->places[PROJECT]),
                              .location = er_str_of(s->places[LOCATION]),
                              .cluster = er_str_of(s->places[CLUSTER])};
    er_buf_clear(&s->log_name);
    er_buf_putf(&s->log_name, "projects/%s/logs/", s->places[PROJECT]);
    er_url_escape(er_str_of(config->log_id), &s->log_name);
}

static er_status read_labels(const cloud_logging_config *config, cloud_logging_state *s,
                             er_err *err) {
    s->labels = er_xcalloc(config->labels.n + 1, sizeof *s->labels);
    const er_cfg_secret *labels = config->labels.v;
    for (size_t i = 0; i < config->labels.n; i++) {
        char what[400];
        (void)snprintf(what, sizeof what, "sinks.%.150s.labels.%.150s", s->name, labels[i].name.s);
        er_secret *value = NULL;
        er_status status = er_secret_new(&labels[i].value, what, &value, err);
        if (status != ER_OK) {
            return status;
        }
        s->labels[s->labels_n++] = er_str_dup(er_secret_get(value));
        er_secret_free(value);
    }
    return ER_OK;
}

static er_status cloud_logging_init(const void *config, const er_sink_env *env, void *state,
                                    er_err *err) {
    const cloud_logging_config *c = config;
    cloud_logging_state *s = state;
    s->name = env->name;
    s->cancel = env->cancel;
    s->heart = env->heart;
    er_buf_init(&s->log_name, LOG_NAME_MAX);
    er_buf_init(&s->url, URL_MAX);
    const char *const settings[PLACES] = {c->project, c->location, c->cluster_name};
    for (size_t i = 0; i < PLACES; i++) {
        bool is_set = settings[i][0] != '\0';
        s->places[i] = is_set            ? er_dup(settings[i])
                       : env->is_preview ? er_dup("<looked up>")
                                         : NULL;
    }
    if (env->is_preview) {
        settle_places(c, s);
    }
    return read_labels(c, s, err);
}

static void cloud_logging_fini(void *state) {
    cloud_logging_state *s = state;
    for (size_t i = 0; i < PLACES; i++) {
        free(s->places[i]);
    }
    for (size_t i = 0; i < s->labels_n; i++) {
        free(s->labels[i]);
    }
    free(s->labels);
    er_buf_fini(&s->log_name);
    er_buf_wipe(&s->url);
    er_buf_fini(&s->url);
}

/* ---- looking up ---- */

/* "projects/1234/zones/europe-west1-b" -> "europe-west1-b" */
static er_str last_part(er_str path) {
    size_t start = path.n;
    while (start > 0 && path.p[start - 1] != '/') {
        start--;
    }
    return (er_str){path.p + start, path.n - start};
}

static void say_unknown(const cloud_logging_state *s, er_err *err) {
    char settings[64] = "";
    for (size_t i = 0; i < PLACES; i++) {
        size_t n = strlen(settings);
        if (s->places[i] == NULL) {
            (void)snprintf(settings + n, sizeof settings - n, "%s%s", n > 0 ? ", " : "",
                           sources[i].setting);
        }
    }
    er_err_prefix(err, "sinks.%s: outside of GKE these must be set: %s; they cannot be looked up",
                  s->name, settings);
}

static er_status look_up(cloud_logging_state *s, er_http_client *client, size_t i, er_err *err) {
    const place_source *source = &sources[i];
    er_buf text;
    er_buf_init(&text, ER_METADATA_TEXT_MAX);
    er_status status = er_metadata_get(client, source->path, METADATA_MS, &text, err);
    if (status == ER_E_INVAL && source->other != NULL) {
        status = er_metadata_get(client, source->other, METADATA_MS, &text, err);
    }
    if (status == ER_OK) {
        s->places[i] = er_str_dup(last_part(er_buf_str(&text)));
    } else if (status != ER_E_CANCELLED) {
        say_unknown(s, err);
        status = status == ER_E_UNAVAILABLE ? ER_E_UNAVAILABLE : ER_E_DENIED;
        if (err != NULL) {
            err->code = status;
        }
    }
    er_buf_fini(&text);
    return status;
}

static er_status look_up_all(cloud_logging_state *s, er_err *err) {
    er_http_options options = {.user_agent = "eventrouter",
                               .connect_timeout_ms = METADATA_MS,
                               .cancel = s->cancel,
                               .heart = s->heart};
    er_http_client *client = NULL;
    er_status status = er_http_client_new(&options, &client, err);
    for (size_t i = 0; i < PLACES && status == ER_OK; i++) {
        status = s->places[i] != NULL ? ER_OK : look_up(s, client, i, err);
    }
    er_http_client_free(client);
    return status;
}

static er_status cloud_logging_open(const void *config, void *state, er_http_caller *caller,
                                    er_deadline until, er_err *err) {
    (void)caller, (void)until;
    cloud_logging_state *s = state;
    er_status status = ER_OK;
    for (size_t i = 0; i < PLACES && status == ER_OK; i++) {
        status = s->places[i] != NULL ? ER_OK : look_up_all(s, err);
    }
    if (status == ER_OK) {
        settle_places(config, s);
    }
    return status;
}

/* ---- one entry ---- */

#define HOURS_US ((er_time)3600 * 1000000)

er_time er_log_time(const er_record *rec) {
    bool is_future =
        rec->observed_time != ER_TIME_NONE && rec->time > rec->observed_time + 23 * HOURS_US;
    return rec->time < 0 || is_future ? rec->observed_time : rec->time;
}

/* Returns the size of the entry as the service counts. */
static size_t put_entry(const cloud_logging_config *config, const cloud_logging_state *s,
                        const er_record *rec, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "logName", er_buf_str(&s->log_name));
    er_jw_key(&w, "resource");
    er_log_put_resource(rec, &s->place, &w);
    er_jw_ktime_opt(&w, "timestamp", er_log_time(rec));
    er_jw_kstr(&w, "severity", er_str_of(er_gcp_severity(rec->severity)));
    er_jw_kstr(&w, "insertId", rec->id);
    er_jw_key(&w, "labels");
    er_jw_object(&w);
    er_gcp_put_labels(rec, &w);
    const er_cfg_secret *labels = config->labels.v;
    for (size_t i = 0; i < s->labels_n; i++) {
        er_jw_key_str(&w, er_str_of(labels[i].name.s));
        er_jw_str(&w, er_str_of(s->labels[i]));
    }
    er_jw_object_end(&w);
    er_jw_key(&w, "jsonPayload");
    size_t start = out->len;
    er_record_json(rec, out);
    size_t payload = out->len - start;
    er_jw_object_end(&w);
    if (er_buf_status(out) != ER_OK) {
        return 0;
    }
    /* No value has more than six times the bytes it has as JSON, so most need no counting. */
    size_t around = out->len - payload;
    bool is_small = around + payload * 6 < SHRINK_OVER;
    return is_small ? around + payload
                    : around + er_log_struct_size((er_str){out->p + start, payload});
}

/* A change that is too large goes without its patch, then without its diff. */
static size_t put_shrunk(const cloud_logging_config *config, const cloud_logging_state *s,
                         const er_record *rec, er_buf *out) {
    er_record small = {0};
    /* All but the counter in front, which others may be moving. */
    const size_t from = offsetof(er_record, bytes);
    memcpy((char *)&small + from, (const char *)rec + from, sizeof small - from);
    small.change.truncated = true;
    small.change.patch = (er_str){0};
    er_buf_clear(out);
    size_t size = put_entry(config, s, &small, out);
    if (size > SHRINK_OVER) {
        small.change.diff = (er_str){0};
        er_buf_clear(out);
        size = put_entry(config, s, &small, out);
    }
    return size;
}

static er_status cloud_logging_encode(const void *config, void *state, const er_record *rec,
                                      er_buf *out, er_err *err) {
    size_t size = put_entry(config, state, rec, out);
    if (size > SHRINK_OVER && rec->kind == ER_KIND_CHANGE) {
        size = put_shrunk(config, state, rec, out);
    }
    return size <= ER_LOG_ENTRY_MAX
               ? ER_OK
               : er_err_set(err, ER_E_LIMIT, "an entry of %zu bytes; the service takes %zu", size,
                            ER_LOG_ENTRY_MAX);
}

/* ---- requests and answers ---- */

static er_status cloud_logging_prepare(const void *config, void *state, const er_batch *batch,
                                       er_http_request *req, er_err *err) {
    (void)config, (void)batch;
    cloud_logging_state *s = state;
    er_str base = er_str_of(req->url);
    while (base.n > 0 && base.p[base.n - 1] == '/') {
        base.n--;
    }
    size_t n = sizeof PATH - 1;
    bool is_whole = base.n >= n && memcmp(base.p + base.n - n, PATH, n) == 0;
    er_buf_wipe(&s->url);
    er_buf_put_str(&s->url, base);
    er_buf_puts(&s->url, is_whole ? "" : PATH);
    if (er_buf_status(&s->url) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "sinks.%s.url is too long", s->name);
    }
    req->url = er_buf_cstr(&s->url);
    return ER_OK;
}

static er_http_action cloud_logging_action(const void *config, void *state,
                                           const er_http_response *res, er_http_action action) {
    (void)config, (void)state;
    return er_log_action(res, action);
}

static er_status cloud_logging_judge(const void *config, void *state, const er_http_response *res,
                                     er_batch *batch, er_err *err) {
    (void)config, (void)state;
    return er_log_judge(res, batch, err);
}

static void cloud_logging_say(const void *config, void *state, const er_http_response *res,
                              er_buf *out) {
    const cloud_logging_config *c = config;
    const cloud_logging_state *s = state;
    const char *advice = res->status == 403 ? er_log_advice(res) : NULL;
    er_log_say(res, out);
    switch (res->status) {
    case 401:
        er_buf_putf(out, "; check sinks.%s.auth", s->name);
        break;
    case 403:
        if (advice != NULL) {
            er_buf_puts(out, advice);
            break;
        }
        er_buf_putf(out, "; the account needs roles/logging.logWriter in project %s", s->places[0]);
        break;
    case 404:
        er_buf_putf(out, "; check sinks.%s.project and url", s->name);
        break;
    default:
        if (er_http_action_of(NULL, 0, res->status) == ER_HTTP_DENIED) {
            er_buf_puts(out, "; ");
            er_http_put_advice(res->status, s->name, c->http.compression == ER_HTTP_GZIP, out);
        }
        break;
    }
}

static const er_http_rule cloud_logging_rules[] = {
    {409, 409, ER_HTTP_UNAVAILABLE}, /* ABORTED */
    {499, 499, ER_HTTP_UNAVAILABLE}, /* CANCELLED */
};

#define AT(member) offsetof(cloud_logging_config, member)

ER_SINK_BATCH_ROWS(cloud_logging_batch_rows, "1000", "4MiB", "1s");
static const er_field cloud_logging_rows[] = {
    ER_SINK_ROWS(cloud_logging_batch_rows),
    {.key = "url",
     .type = ER_FIELD_URL,
     .def = "https://logging.googleapis.com",
     .check = check_url,
     .offset = AT(http.url),
     .help = "The service: another one for a private endpoint or another universe domain. Requests "
             "go to /v2/entries:write below it. A text, {file: PATH} or {env: NAME}."},
    ER_HTTP_SINK_ROWS_BUT_URL(er_auth_rows),
    {.key = "project",
     .type = ER_FIELD_STRING,
     .max = 128,
     .check = check_project,
     .offset = AT(project),
     .help = "The project whose log it is; none: the metadata server's."},
    {.key = "location",
     .type = ER_FIELD_STRING,
     .max = 256,
     .offset = AT(location),
     .help = "The cluster's region or zone, for the resource; none: the metadata server's."},
    {.key = "clusterName",
     .type = ER_FIELD_STRING,
     .max = 256,
     .offset = AT(cluster_name),
     .help = "The cluster's name, for the resource; none: the metadata server's."},
    {.key = "logId",
     .type = ER_FIELD_STRING,
     .def = "eventrouter",
     .max = 511,
     .check = check_log_id,
     .offset = AT(log_id),
     .help = "The log: projects/PROJECT/logs/LOGID. GKE writes its own export to `events`."},
    {.key = "labels",
     .type = ER_FIELD_SECRETS,
     .flags = ER_FIELD_OPEN,
     .check = check_label,
     .offset = AT(labels),
     .help = "More labels for each entry: name to text, {file: PATH} or {env: NAME}, read once."},
    {.key = NULL},
};

static const er_http_profile cloud_logging_profile = {
    .content_type = "application/json",
    .framing = ER_HTTP_JSON_ARRAY,
    .before = "{\"partialSuccess\":true,\"entries\":",
    .after = "}",
    .google_scope = SCOPE,
    .rules = cloud_logging_rules,
    .rules_n = sizeof cloud_logging_rules / sizeof cloud_logging_rules[0],
    .state_size = sizeof(cloud_logging_state),
    .answer_max = ANSWER_MAX,
    .init = cloud_logging_init,
    .fini = cloud_logging_fini,
    .open = cloud_logging_open,
    .encode = cloud_logging_encode,
    .prepare = cloud_logging_prepare,
    .action = cloud_logging_action,
    .judge = cloud_logging_judge,
    .say = cloud_logging_say,
};

const er_sink_type er_cloud_logging_sink = ER_HTTP_SINK_TYPE_CHECKED(
    &cloud_logging_profile, "cloudLogging", "Google Cloud Logging, with its own API.",
    cloud_logging_rows, cloud_logging_config, cloud_logging_check);
