/* What is behind the URL, and what setup creates there. */
#include "sinks/elasticsearch.h"

#include "base/log.h"
#include "sinks/http_rules.h"

#include <stdio.h>
#include <string.h>

#define BODY_MAX (64u << 10)

/* ---- the server ---- */

const char *er_elastic_product_name(er_elastic_product product) {
    static const char *const names[] = {"unknown", "Elasticsearch", "OpenSearch"};
    return names[product];
}

/* Takes the number that text begins with, of at most four digits; false: it begins with none. */
static bool take_number(const char **text, unsigned *out) {
    size_t n = strspn(*text, "0123456789");
    uint64_t number = 0;
    bool is_one = n <= 4 && er_parse_u64((er_str){*text, n}, &number);
    *out = is_one ? (unsigned)number : 0;
    *text += n;
    return is_one;
}

static void read_version(er_str text, er_elastic_server *out) {
    (void)snprintf(out->version, sizeof out->version, "%.*s", (int)text.n, text.p);
    const char *at = out->version;
    bool is_known = take_number(&at, &out->major) && *at == '.';
    at += is_known;
    if (!is_known || !take_number(&at, &out->minor)) {
        out->major = out->minor = 0;
    }
}

void er_elastic_server_read(char *text, size_t n, er_elastic_server *out) {
    *out = (er_elastic_server){0};
    er_json_doc doc;
    er_json_doc_init(&doc);
    if (n > 0 && er_json_parse(&doc, text, n, NULL) == ER_OK) {
        const er_json *version = er_json_get(doc.root, "version");
        er_str number = er_json_get_str(version, "number");
        bool is_known = number.n > 0 && number.n < sizeof out->version;
        for (size_t i = 0; i < number.n; i++) {
            is_known = is_known && number.p[i] > ' ' && (unsigned char)number.p[i] < 0x7f;
        }
        if (is_known) {
            read_version(number, out);
            bool is_opensearch = er_str_eqc(er_json_get_str(version, "distribution"), "opensearch");
            out->product = is_opensearch ? ER_ELASTIC_OPENSEARCH : ER_ELASTIC_ELASTICSEARCH;
            out->serverless = er_str_eqc(er_json_get_str(version, "build_flavor"), "serverless");
        }
    }
    er_json_doc_fini(&doc);
}

bool er_elastic_can_require_data_stream(const er_elastic_server *server) {
    bool is_new = server->major > 8 || (server->major == 8 && server->minor >= 13);
    return server->product == ER_ELASTIC_ELASTICSEARCH && (is_new || server->serverless);
}

/* `create` in _bulk without a type of mapping, data streams, templates of index templates. */
static bool is_too_old(const er_elastic_server *server) {
    return server->product == ER_ELASTIC_ELASTICSEARCH && !server->serverless &&
           server->major > 0 && (server->major < 7 || (server->major == 7 && server->minor < 10));
}

/* ---- requests ---- */

typedef struct setup {
    const er_elastic_config *config;
    const char *name; /* of the sink */
    er_http_caller *caller;
    er_http_response res;
    long root_status; /* of GET / */
    er_buf own_name;  /* of template and policy */
    er_buf path, body;
} setup;

static void setup_init(setup *s, const er_elastic_config *config, const char *name,
                       er_http_caller *caller) {
    *s = (setup){.config = config, .name = name, .caller = caller};
    er_http_response_init(&s->res);
    er_buf_init(&s->own_name, 2048);
    er_elastic_put_setup_name(config, &s->own_name);
    er_buf_init(&s->path, 4096);
    er_buf_init(&s->body, BODY_MAX);
}

static void setup_fini(setup *s) {
    er_http_response_fini(&s->res);
    er_buf_fini(&s->own_name);
    er_buf_fini(&s->path);
    er_buf_fini(&s->body);
}

static void describe(setup *s, er_buf *out) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_http_sink_describe(s->caller, &s->res, out);
    const char *todo = er_elastic_say(&s->res, &doc, out);
    er_buf_puts(out, todo == NULL ? "" : "; ");
    er_buf_puts(out, todo == NULL ? "" : todo);
    er_json_doc_fini(&doc);
}

/* path: its text is in s->path. Answers that are no answers are errors here. */
static er_status ask(setup *s, const char *method, er_err *err) {
    er_http_call call = {
        .method = method, .path = er_buf_cstr(&s->path), .body = er_buf_str(&s->body)};
    er_status status = er_http_sink_call(s->caller, &call, &s->res, err);
    if (status != ER_OK) {
        return status;
    }
    long code = s->res.status;
    bool is_denied = code == 401 || code == 407;
    if (is_denied || code == 408 || code == 425 || code == 429 || (code >= 500 && code != 501)) {
        er_buf text;
        er_buf_init(&text, 2048);
        describe(s, &text);
        if (is_denied) {
            er_buf_puts(&text, "; ");
            er_http_put_advice(code, s->name, false, &text);
        }
        status =
            er_err_set(err, is_denied ? ER_E_DENIED : ER_E_UNAVAILABLE, "%s", er_buf_cstr(&text));
        if (err != NULL && s->res.retry_after_ms > 0) {
            err->retry_after_ms = s->res.retry_after_ms;
        }
        er_buf_fini(&text);
    }
    return status;
}

static er_status ask_without_body(setup *s, const char *method, er_err *err) {
    er_buf_clear(&s->body);
    return ask(s, method, err);
}

static bool succeeded(const setup *s) {
    return s->res.status >= 200 && s->res.status <= 299;
}

/* The last answer says that this cannot be done. */
static er_status refused(setup *s, const char *what, er_err *err) {
    er_buf text;
    er_buf_init(&text, 2048);
    describe(s, &text);
    er_status status =
        er_err_set(err, ER_E_DENIED, "setup cannot %s: %s", what, er_buf_cstr(&text));
    er_buf_fini(&text);
    return status;
}

static void set_path(setup *s, const char *prefix, er_str name, const char *suffix) {
    er_buf_clear(&s->path);
    er_buf_puts(&s->path, prefix);
    er_url_escape(name, &s->path);
    er_buf_puts(&s->path, suffix);
}

static void created(const setup *s, const char *what, er_str name) {
    ER_LOG(ER_LOG_INFO, "elasticsearch", "setup created what was missing", ER_LS("sink", s->name),
           ER_LS("what", what), ER_LT("name", name));
}

/* ---- policy ---- */

/* The policy, when it is absent. *policies: NO_POLICY when the server has no such API. */
static er_status make_policy(setup *s, const er_elastic_server *server,
                             er_elastic_policies *policies, er_err *err) {
    bool is_ism = server->product == ER_ELASTIC_OPENSEARCH;
    const char *prefix = is_ism ? "/_plugins/_ism/policies/" : "/_ilm/policy/";
    *policies = is_ism ? ER_ELASTIC_ISM : ER_ELASTIC_ILM;
    set_path(s, prefix, er_buf_str(&s->own_name), "");
    er_status status = ask_without_body(s, "GET", err);
    if (status != ER_OK || succeeded(s)) {
        return status;
    }
    long code = s->res.status;
    if (code == 400 || code == 405 || code == 410 || code == 501) {
        *policies = ER_ELASTIC_NO_POLICY;
        return ER_OK;
    }
    if (code != 404) {
        return refused(s, is_ism ? "read the ISM policy" : "read the ILM policy", err);
    }
    er_buf_clear(&s->body);
    er_elastic_put_policy(s->config, *policies, &s->body);
    status = ask(s, "PUT", err);
    if (status == ER_OK && !succeeded(s) && s->res.status != 409) { /* 409: another made it */
        status = refused(s, is_ism ? "create the ISM policy" : "create the ILM policy", err);
    } else if (status == ER_OK && s->res.status != 409) {
        created(s, is_ism ? "ISM policy" : "ILM policy", er_buf_str(&s->own_name));
    }
    return status;
}

/* ---- template ---- */

/* What is there is never changed; when it names other indices, ours have a mapping that is guessed,
 * and a data stream does not come about. */
static void look_at_template(setup *s) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_buf ours;
    er_buf_init(&ours, 2048);
    er_elastic_put_pattern(s->config, &ours);
    const er_json *list = NULL;
    if (s->res.body.len > 0 && er_json_parse(&doc, s->res.body.p, s->res.body.len, NULL) == ER_OK) {
        const er_json *found = er_json_get(doc.root, "index_templates");
        found = er_json_is_array(found) ? er_json_first(found) : NULL;
        list = er_json_path(found, "index_template", "index_patterns");
    }
    bool is_other = er_json_is_array(list);
    const er_json *p = is_other ? er_json_first(list) : NULL;
    for (; p != NULL; p = er_json_next(p)) {
        is_other = is_other && !er_str_eq(er_json_str(p), er_buf_str(&ours));
    }
    if (is_other) {
        ER_LOG(ER_LOG_WARNING, "elasticsearch",
               "the index template is there already, but not for our indices; it is left as it is",
               ER_LS("sink", s->name), ER_LT("name", er_buf_str(&s->own_name)),
               ER_LT("indices", er_buf_str(&ours)));
    }
    er_buf_fini(&ours);
    er_json_doc_fini(&doc);
}

/* Two templates of one priority may not fit the same index: a server refuses the second. The first
 * is somebody's own, or one of ours under an earlier name, and does for our indices. */
static bool is_another_there(setup *s) {
    static const char words[] = "have the same priority";
    bool is_there = s->res.status == 400 && s->res.body.len > 0 &&
                    memmem(s->res.body.p, s->res.body.len, words, sizeof words - 1) != NULL;
    if (is_there) {
        er_buf text;
        er_buf_init(&text, 2048);
        describe(s, &text);
        ER_LOG(ER_LOG_WARNING, "elasticsearch",
               "another index template for our indices is there already; it is used as it is",
               ER_LS("sink", s->name), ER_LS("error", er_buf_cstr(&text)));
        er_buf_fini(&text);
    }
    return is_there;
}

static er_status make_template(setup *s, er_elastic_policies policies, er_err *err) {
    set_path(s, "/_index_template/", er_buf_str(&s->own_name), "");
    er_status status = ask_without_body(s, "GET", err);
    if (status == ER_OK && succeeded(s)) {
        look_at_template(s);
    }
    if (status != ER_OK || succeeded(s)) {
        return status;
    }
    if (s->res.status != 404) {
        return refused(s, "read the index template", err);
    }
    er_buf_clear(&s->body);
    er_elastic_put_template(s->config, policies, &s->body);
    set_path(s, "/_index_template/", er_buf_str(&s->own_name),
             "?create=true"); /* never overwrites */
    status = ask(s, "PUT", err);
    if (status != ER_OK) {
        return status;
    }
    if (succeeded(s)) {
        created(s, "index template", er_buf_str(&s->own_name));
        return ER_OK;
    }
    if (is_another_there(s)) {
        return ER_OK;
    }
    status = refused(s, "create the index template", err);
    /* Another router may have made it meanwhile. */
    set_path(s, "/_index_template/", er_buf_str(&s->own_name), "");
    return ask_without_body(s, "GET", NULL) == ER_OK && succeeded(s) ? ER_OK : status;
}

/* ---- alias ---- */

/* The first index behind an alias that does not exist. */
static er_status make_alias(setup *s, er_err *err) {
    er_str alias = er_str_of(s->config->alias);
    set_path(s, "/_alias/", alias, "");
    er_status status = ask_without_body(s, "GET", err);
    if (status != ER_OK || succeeded(s)) {
        return status;
    }
    if (s->res.status != 404) {
        return refused(s, "read the alias", err);
    }
    set_path(s, "/", alias, "-000001");
    er_buf_clear(&s->body);
    er_elastic_put_first_index(s->config, &s->body);
    status = ask(s, "PUT", err);
    if (status != ER_OK) {
        return status;
    }
    if (succeeded(s)) {
        created(s, "first index of the alias", (er_str){s->path.p + 1, s->path.len - 1});
        return ER_OK;
    }
    static const char exists[] = "resource_already_exists_exception";
    er_str answer = er_buf_str(&s->res.body);
    bool is_there = answer.n > 0 && memmem(answer.p, answer.n, exists, sizeof exists - 1) != NULL;
    return is_there ? ER_OK : refused(s, "create the first index of the alias", err);
}

/* ---- open ---- */

static er_status detect(setup *s, er_elastic_server *server, er_err *err) {
    er_buf_puts(&s->path, "/");
    er_status status = ask_without_body(s, "GET", err);
    if (status != ER_OK) {
        return status;
    }
    s->root_status = s->res.status;
    *server = (er_elastic_server){0};
    if (succeeded(s)) {
        er_elastic_server_read(s->res.body.p, s->res.body.len, server);
    }
    if (is_too_old(server)) {
        return er_err_set(err, ER_E_DENIED,
                          "Elasticsearch %s is too old; 7.10 is the oldest that "
                          "works",
                          server->version);
    }
    return ER_OK;
}

/* Once, when everything is in its place: open is called again until then. */
static void say_connected(const setup *s, const er_elastic_server *server, bool lacks_policies) {
    if (server->product == ER_ELASTIC_UNKNOWN) {
        ER_LOG(ER_LOG_INFO, "elasticsearch",
               "the server does not say what it is (privilege monitor); it is taken as it comes",
               ER_LS("sink", s->name), ER_LI("status", s->root_status));
    } else {
        ER_LOG(ER_LOG_INFO, "elasticsearch", "connected", ER_LS("sink", s->name),
               ER_LS("product", er_elastic_product_name(server->product)),
               ER_LS("version", server->version));
    }
    if (lacks_policies) {
        ER_LOG(ER_LOG_WARNING, "elasticsearch",
               "the server has no policies for indices, lifecycle is left out",
               ER_LS("sink", s->name), ER_LS("product", er_elastic_product_name(server->product)),
               ER_LS("version", server->version));
    }
}

static er_status create_missing(setup *s, const er_elastic_server *server, bool *lacks_policies,
                                er_err *err) {
    er_elastic_policies policies = ER_ELASTIC_NO_POLICY;
    er_status status = ER_OK;
    if (er_elastic_has_lifecycle(s->config)) {
        if (server->product == ER_ELASTIC_UNKNOWN) {
            return er_err_set(err, ER_E_DENIED,
                              "setup cannot create a policy: GET / does not say whether this is "
                              "Elasticsearch or OpenSearch; grant the cluster privilege monitor");
        }
        status = make_policy(s, server, &policies, err);
        *lacks_policies = policies == ER_ELASTIC_NO_POLICY;
    }
    status = status == ER_OK ? make_template(s, policies, err) : status;
    return status == ER_OK && s->config->alias[0] != '\0' ? make_alias(s, err) : status;
}

er_status er_elastic_open(const er_elastic_config *config, const char *name, er_http_caller *caller,
                          er_elastic_server *server, er_err *err) {
    setup s;
    setup_init(&s, config, name, caller);
    er_status status = detect(&s, server, err);
    bool lacks_policies = false;
    if (status == ER_OK && config->setup) {
        status = create_missing(&s, server, &lacks_policies, err);
    }
    if (status == ER_OK) {
        say_connected(&s, server, lacks_policies);
    }
    setup_fini(&s);
    return status;
}
