/* What setup sends: the bodies of an index template and of a policy.
 *
 * Sources: Elasticsearch, "Create or update index template API", "Create or update lifecycle policy
 * API"; OpenSearch, "Index templates", "Index State Management, policies". */
#include "sinks/elasticsearch.h"

#include "base/json_write.h"

#include <string.h>

/* Built-in templates have 100 to 200. The bytes before the first * are added: of two patterns that
 * overlap, the longer one wins, and none of them stands in the way of the other. */
#define PRIORITY 500

/* ---- mappings ---- */

typedef struct field {
    const char *path; /* sorted, so that fields of one object stand together */
    char type;        /* one of the names below */
} field;

static void put_type(er_jw *w, char type) {
    er_jw_object(w);
    switch (type) {
    case 'k':
        er_jw_kstr(w, "type", ER_STR("keyword"));
        er_jw_kint(w, "ignore_above", ER_ELASTIC_KEYWORD_MAX);
        break;
    case 'o': /* a text that is kept and not searched for */
        er_jw_kstr(w, "type", ER_STR("keyword"));
        er_jw_kbool(w, "index", false);
        er_jw_kbool(w, "doc_values", false);
        break;
    case 't':
        er_jw_kstr(w, "type", ER_STR("text"));
        break;
    case 'd':
        er_jw_kstr(w, "type", ER_STR("date"));
        break;
    case 'l':
        er_jw_kstr(w, "type", ER_STR("long"));
        break;
    case 'b':
        er_jw_kstr(w, "type", ER_STR("boolean"));
        break;
    default: /* an object with keys of its own */
        er_jw_kstr(w, "type", ER_STR("object"));
        er_jw_kbool(w, "dynamic", true);
        break;
    }
    er_jw_object_end(w);
}

static const field record_fields[] = {
    {"@timestamp", 'd'},
    {"action", 'k'},
    {"change.actor.autoscaler", 'b'},
    {"change.actor.manager", 'k'},
    {"change.actor.operation", 'k'},
    {"change.actor.subresource", 'k'},
    {"change.actor.time", 'd'},
    {"change.cause", 'k'},
    {"change.diff", 'o'},
    {"change.fields", 'k'},
    {"change.generation.new", 'l'},
    {"change.generation.old", 'l'},
    {"change.omitted", 'l'},
    {"change.operation", 'k'},
    {"change.patch", 'o'},
    {"change.redacted", 'b'},
    {"change.replicas.max", 'l'},
    {"change.replicas.new", 'l'},
    {"change.replicas.old", 'l'},
    {"change.replicas.overMax", 'b'},
    {"change.revision", 'k'},
    {"change.truncated", 'b'},
    {"cluster", 'k'},
    {"count", 'l'},
    {"countDelta", 'l'},
    {"event.name", 'k'},
    {"event.resourceVersion", 'k'},
    {"event.uid", 'k'},
    {"firstTime", 'd'},
    {"gap.cause", 'k'},
    {"gap.fromResourceVersion", 'k'},
    {"gap.fromTime", 'd'},
    {"gap.recovered", 'l'},
    {"gap.stream", 'k'},
    {"gap.toResourceVersion", 'k'},
    {"gap.toTime", 'd'},
    {"id", 'k'},
    {"kind", 'k'},
    {"lastTime", 'd'},
    {"message", 't'},
    {"namespace", 'k'},
    {"namespaceMismatch", 'b'},
    {"notice.cause", 'k'},
    {"notice.records", 'l'},
    {"notice.since", 'd'},
    {"notice.sink", 'k'},
    {"notice.until", 'd'},
    {"object.apiVersion", 'k'},
    {"object.fieldPath", 'k'},
    {"object.kind", 'k'},
    {"object.name", 'k'},
    {"object.namespace", 'k'},
    {"object.resourceVersion", 'k'},
    {"object.uid", 'k'},
    {"observedTime", 'd'},
    {"reason", 'k'},
    {"recovered", 'b'},
    {"related.apiVersion", 'k'},
    {"related.fieldPath", 'k'},
    {"related.kind", 'k'},
    {"related.name", 'k'},
    {"related.namespace", 'k'},
    {"related.resourceVersion", 'k'},
    {"related.uid", 'k'},
    {"restart.container", 'k'},
    {"restart.containerType", 'k'},
    {"restart.count", 'l'},
    {"restart.delta", 'l'},
    {"restart.detailsMissing", 'l'},
    {"restart.exitCode", 'l'},
    {"restart.finishedAt", 'd'},
    {"restart.image", 'k'},
    {"restart.node", 'k'},
    {"restart.owner.derived", 'b'},
    {"restart.owner.kind", 'k'},
    {"restart.owner.name", 'k'},
    {"restart.owner.uid", 'k'},
    {"restart.reason", 'k'},
    {"restart.signal", 'l'},
    {"restart.startedAt", 'd'},
    {"restart.waitingReason", 'k'},
    {"rollout.changeId", 'k'},
    {"rollout.duration", 'l'},
    {"rollout.message", 't'},
    {"rollout.reason", 'k'},
    {"rollout.replicas.available", 'l'},
    {"rollout.replicas.desired", 'l'},
    {"rollout.replicas.ready", 'l'},
    {"rollout.replicas.total", 'l'},
    {"rollout.replicas.updated", 'l'},
    {"rollout.revision", 'k'},
    {"rollout.state", 'k'},
    {"schema", 'k'},
    {"severity", 'k'},
    {"source.component", 'k'},
    {"source.host", 'k'},
    {"source.instance", 'k'},
    {"time", 'd'},
    {"timeSource", 'k'},
    {"truncated", 'b'},
    {"type", 'k'},
    {NULL, 0},
};

static const field ecs_fields[] = {
    {"@timestamp", 'd'},
    {"agent.type", 'k'},
    {"container.image.name", 'k'},
    {"container.name", 'k'},
    {"data_stream.dataset", 'k'},
    {"data_stream.namespace", 'k'},
    {"data_stream.type", 'k'},
    {"ecs.version", 'k'},
    {"event.action", 'k'},
    {"event.category", 'k'},
    {"event.created", 'd'},
    {"event.dataset", 'k'},
    {"event.duration", 'l'},
    {"event.end", 'd'},
    {"event.id", 'k'},
    {"event.kind", 'k'},
    {"event.module", 'k'},
    {"event.original", 'o'},
    {"event.outcome", 'k'},
    {"event.provider", 'k'},
    {"event.reason", 'k'},
    {"event.start", 'd'},
    {"event.type", 'k'},
    {"host.name", 'k'},
    {"labels", '*'},
    {"log.level", 'k'},
    {"message", 't'},
    {"orchestrator.api_version", 'k'},
    {"orchestrator.cluster.name", 'k'},
    {"orchestrator.namespace", 'k'},
    {"orchestrator.resource.id", 'k'},
    {"orchestrator.resource.name", 'k'},
    {"orchestrator.resource.parent.type", 'k'},
    {"orchestrator.resource.type", 'k'},
    {"orchestrator.type", 'k'},
    {"process.exit_code", 'l'},
    {NULL, 0},
};

/* Bytes up to and with the last dot that both paths have in common. */
static size_t common_objects(const char *a, const char *b) {
    size_t dot = 0;
    for (size_t i = 0; a[i] != '\0' && a[i] == b[i]; i++) {
        dot = a[i] == '.' ? i + 1 : dot;
    }
    return dot;
}

static size_t dots(const char *s) {
    size_t n = 0;
    for (; *s != '\0'; s++) {
        n += *s == '.';
    }
    return n;
}

static void put_properties(er_jw *w, const field *fields) {
    er_jw_key(w, "properties");
    er_jw_object(w);
    const char *before = "";
    for (const field *f = fields; f->path != NULL; f++) {
        size_t common = common_objects(before, f->path);
        for (size_t i = dots(before + common); i > 0; i--) {
            er_jw_object_end(w);
            er_jw_object_end(w);
        }
        const char *name = f->path + common;
        for (const char *dot = strchr(name, '.'); dot != NULL; dot = strchr(name, '.')) {
            er_jw_key_str(w, (er_str){name, (size_t)(dot - name)});
            er_jw_object(w);
            er_jw_key(w, "properties");
            er_jw_object(w);
            name = dot + 1;
        }
        er_jw_key(w, name);
        put_type(w, f->type);
        before = f->path;
    }
    for (size_t i = dots(before); i > 0; i--) {
        er_jw_object_end(w);
        er_jw_object_end(w);
    }
    er_jw_object_end(w);
}

/* Labels are keywords, whatever they look like. */
static void put_dynamic_templates(er_jw *w) {
    er_jw_key(w, "dynamic_templates");
    er_jw_array(w);
    er_jw_object(w);
    er_jw_key(w, "labels");
    er_jw_object(w);
    er_jw_kstr(w, "path_match", ER_STR("labels.*"));
    er_jw_key(w, "mapping");
    put_type(w, 'k');
    er_jw_object_end(w);
    er_jw_object_end(w);
    er_jw_array_end(w);
}

/* What a later version adds is kept in the document, and not searched for: refusing it would lose
 * records, guessing a type would lose those that it does not fit. */
static void put_mappings(er_jw *w, const er_elastic_config *config) {
    bool is_ecs = config->layout == ER_ELASTIC_ECS;
    er_jw_key(w, "mappings");
    er_jw_object(w);
    er_jw_kbool(w, "dynamic", false);
    if (is_ecs) {
        put_dynamic_templates(w);
    }
    put_properties(w, is_ecs ? ecs_fields : record_fields);
    er_jw_object_end(w);
}

/* ---- the template ---- */

void er_elastic_put_pattern(const er_elastic_config *config, er_buf *out) {
    for (const char *at = er_elastic_target(config); *at != '\0';) {
        size_t plain = strcspn(at, "{");
        er_buf_put(out, at, plain);
        at += plain;
        if (*at == '{') {
            er_buf_putc(out, '*');
            at += strcspn(at, "}") + 1;
        }
    }
    er_buf_puts(out, config->alias[0] != '\0' ? "-*" : "");
}

/* With how much the template or policy for them counts. */
static void put_patterns(er_jw *w, const er_elastic_config *config) {
    er_buf pattern;
    er_buf_init(&pattern, 2048);
    er_elastic_put_pattern(config, &pattern);
    er_jw_key(w, "index_patterns");
    er_jw_array(w);
    er_jw_str(w, er_buf_str(&pattern));
    er_jw_array_end(w);
    er_jw_kint(w, "priority", PRIORITY + (int64_t)strcspn(er_buf_cstr(&pattern), "*"));
    er_buf_fini(&pattern);
}

static void put_name(er_jw *w, const char *key, const er_elastic_config *config) {
    er_buf name;
    er_buf_init(&name, 2048);
    er_elastic_put_setup_name(config, &name);
    er_jw_kstr(w, key, er_buf_str(&name));
    er_buf_fini(&name);
}

static void put_settings(er_jw *w, const er_elastic_config *config, er_elastic_policies policies) {
    bool has_alias = config->alias[0] != '\0';
    if (policies == ER_ELASTIC_NO_POLICY || (policies == ER_ELASTIC_ISM && !has_alias)) {
        return;
    }
    er_jw_key(w, "settings");
    er_jw_object(w);
    if (policies == ER_ELASTIC_ILM) {
        put_name(w, "index.lifecycle.name", config);
        er_jw_kstr_opt(w, "index.lifecycle.rollover_alias", er_str_of(config->alias));
    } else { /* ISM finds indices by the pattern in the policy */
        er_jw_kstr(w, "index.plugins.index_state_management.rollover_alias",
                   er_str_of(config->alias));
    }
    er_jw_object_end(w);
}

void er_elastic_put_template(const er_elastic_config *config, er_elastic_policies policies,
                             er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    put_patterns(&w, config);
    if (config->data_stream[0] != '\0') {
        er_jw_key(&w, "data_stream");
        er_jw_object(&w);
        er_jw_object_end(&w);
    }
    er_jw_key(&w, "template");
    er_jw_object(&w);
    put_settings(&w, config, policies);
    put_mappings(&w, config);
    er_jw_object_end(&w);
    er_jw_key(&w, "_meta");
    er_jw_object(&w);
    er_jw_kstr(&w, "description", ER_STR("Created by eventrouter; never changed by it."));
    er_jw_object_end(&w);
    er_jw_object_end(&w);
}

void er_elastic_put_first_index(const er_elastic_config *config, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_key(&w, "aliases");
    er_jw_object(&w);
    er_jw_key_str(&w, er_str_of(config->alias));
    er_jw_object(&w);
    er_jw_kbool(&w, "is_write_index", true);
    er_jw_object_end(&w);
    er_jw_object_end(&w);
    er_jw_object_end(&w);
}

/* ---- policies ---- */

/* The largest unit that divides it; both kinds of policies take d, h, m, s and ms. */
static void put_age(er_jw *w, const char *key, int64_t ms) {
    static const struct {
        int64_t ms;
        const char *name;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}, {1, "ms"}};
    size_t i = 0;
    while (ms % units[i].ms != 0) {
        i++;
    }
    er_buf text;
    er_buf_init(&text, 64);
    er_buf_putf(&text, "%lld%s", (long long)(ms / units[i].ms), units[i].name);
    er_jw_kstr(w, key, er_buf_str(&text));
    er_buf_fini(&text);
}

static void put_size(er_jw *w, const char *key, int64_t bytes) {
    static const char *const names[] = {"b", "kb", "mb", "gb"}; /* of 1024 */
    size_t unit = 0;
    while (bytes % 1024 == 0 && unit < 3) {
        bytes /= 1024;
        unit++;
    }
    er_buf text;
    er_buf_init(&text, 64);
    er_buf_putf(&text, "%lld%s", (long long)bytes, names[unit]);
    er_jw_kstr(w, key, er_buf_str(&text));
    er_buf_fini(&text);
}

static void put_rollover(er_jw *w, const er_elastic_config *config, const char *age,
                         const char *size) {
    if (config->lifecycle.rollover_age_ms + config->lifecycle.rollover_bytes == 0) {
        return;
    }
    er_jw_key(w, "rollover");
    er_jw_object(w);
    if (config->lifecycle.rollover_age_ms > 0) {
        put_age(w, age, config->lifecycle.rollover_age_ms);
    }
    if (config->lifecycle.rollover_bytes > 0) {
        put_size(w, size, config->lifecycle.rollover_bytes);
    }
    er_jw_object_end(w);
}

static void put_empty(er_jw *w, const char *key) {
    er_jw_key(w, key);
    er_jw_object(w);
    er_jw_object_end(w);
}

static void put_ilm(er_jw *w, const er_elastic_config *config) {
    er_jw_key(w, "phases");
    er_jw_object(w);
    er_jw_key(w, "hot");
    er_jw_object(w);
    er_jw_kstr(w, "min_age", ER_STR("0ms"));
    er_jw_key(w, "actions");
    er_jw_object(w);
    put_rollover(w, config, "max_age", "max_size");
    er_jw_object_end(w);
    er_jw_object_end(w);
    if (config->lifecycle.delete_after_ms > 0) {
        er_jw_key(w, "delete");
        er_jw_object(w);
        put_age(w, "min_age", config->lifecycle.delete_after_ms);
        er_jw_key(w, "actions");
        er_jw_object(w);
        put_empty(w, "delete");
        er_jw_object_end(w);
        er_jw_object_end(w);
    }
    er_jw_object_end(w);
}

static void put_state_hot(er_jw *w, const er_elastic_config *config) {
    er_jw_object(w);
    er_jw_kstr(w, "name", ER_STR("hot"));
    er_jw_key(w, "actions");
    er_jw_array(w);
    if (config->lifecycle.rollover_age_ms + config->lifecycle.rollover_bytes > 0) {
        er_jw_object(w);
        put_rollover(w, config, "min_index_age", "min_size");
        er_jw_object_end(w);
    }
    er_jw_array_end(w);
    er_jw_key(w, "transitions");
    er_jw_array(w);
    if (config->lifecycle.delete_after_ms > 0) {
        er_jw_object(w);
        er_jw_kstr(w, "state_name", ER_STR("delete"));
        er_jw_key(w, "conditions");
        er_jw_object(w);
        put_age(w, "min_index_age", config->lifecycle.delete_after_ms);
        er_jw_object_end(w);
        er_jw_object_end(w);
    }
    er_jw_array_end(w);
    er_jw_object_end(w);
}

static void put_state_delete(er_jw *w) {
    er_jw_object(w);
    er_jw_kstr(w, "name", ER_STR("delete"));
    er_jw_key(w, "actions");
    er_jw_array(w);
    er_jw_object(w);
    put_empty(w, "delete");
    er_jw_object_end(w);
    er_jw_array_end(w);
    er_jw_key(w, "transitions");
    er_jw_array(w);
    er_jw_array_end(w);
    er_jw_object_end(w);
}

static void put_ism(er_jw *w, const er_elastic_config *config) {
    er_jw_kstr(w, "description", ER_STR("Created by eventrouter; never changed by it."));
    er_jw_kstr(w, "default_state", ER_STR("hot"));
    er_jw_key(w, "states");
    er_jw_array(w);
    put_state_hot(w, config);
    if (config->lifecycle.delete_after_ms > 0) {
        put_state_delete(w);
    }
    er_jw_array_end(w);
    er_jw_key(w, "ism_template");
    er_jw_array(w);
    er_jw_object(w);
    put_patterns(w, config);
    er_jw_object_end(w);
    er_jw_array_end(w);
}

void er_elastic_put_policy(const er_elastic_config *config, er_elastic_policies policies,
                           er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_key(&w, "policy");
    er_jw_object(&w);
    if (policies == ER_ELASTIC_ILM) {
        put_ilm(&w, config);
    } else {
        put_ism(&w, config);
    }
    er_jw_object_end(&w);
    er_jw_object_end(&w);
}
