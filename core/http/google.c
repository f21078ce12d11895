/* The provider: which credentials, and the requests for tokens. */
#include "http/google_priv.h"

#include "base/file.h"
#include "base/json_write.h"
#include "http/metadata.h"
#include "http/oauth2.h"
#include "http/token_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCOPE         "https://www.googleapis.com/auth/cloud-platform"
#define FORM_MAX      ((size_t)4 * ER_SECRET_MAX)
#define URL_MAX       20000
#define METADATA_MS   5000   /* it is next door */
#define MARGIN_MAX_MS 225000 /* the metadata server has a new token from 4 to 5 minutes before */
#define AT(member)    offsetof(er_google_settings, member)

const er_field er_google_rows[] = {
    ER_FIELD_POS(er_google_settings, pos),
    {.key = "credentialsFile",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_FILE,
     .max = 4096,
     .offset = AT(credentials_file),
     .help = "A service account's key, external_account (workload identity federation with a token "
             "in a file), or authorized_user; none: what GOOGLE_APPLICATION_CREDENTIALS names, "
             "else the metadata server."},
    {.key = "scopes",
     .type = ER_FIELD_STRINGS,
     .max = 64,
     .check = er_oauth2_check_scope,
     .offset = AT(scopes),
     .help = "What tokens are for; none: what the sink needs, else cloud-platform. The metadata "
             "server has scopes of its own."},
    {.key = "tls",
     .type = ER_FIELD_STRUCT,
     .rows = er_tls_rows,
     .check_struct = er_tls_check,
     .offset = AT(tls),
     .help = "TLS towards the token endpoints."},
    {.key = NULL},
};

/* So that a map that does not stand in the file counts as absent, though nothing in it is
 * required. */
er_status er_google_check(const void *settings, er_err *err) {
    const er_google_settings *s = settings;
    return s->pos.line > 0 ? ER_OK : er_err_set(err, ER_E_CONFIG, "is not set");
}

struct er_google {
    const er_google_settings *settings;
    char *what, *path;   /* path: of the credentials file */
    er_secret *file;     /* NULL: the metadata server */
    unsigned generation; /* of file, that credentials were read from */
    er_google_credentials credentials;
    er_http_client *client;
    int64_t timeout_ms;
    er_token token;
    er_token outer; /* of the STS, on the way to an impersonated one */
    er_token_source source;
    er_buf scope, form, url, authorization;
    char where[300]; /* the endpoint that was asked last, as it may be shown */
};

/* ---- life ---- */

/* Reads the file when it changed. What it says stays in use while it cannot be understood. */
static er_status load(er_google *g, er_err *err) {
    er_str text = er_secret_get(g->file);
    unsigned generation = er_secret_generation(g->file);
    if (generation == g->generation) {
        return ER_OK;
    }
    er_google_credentials fresh;
    er_status status = er_google_credentials_read(text, &fresh, err);
    if (status != ER_OK) {
        er_err_prefix(err, "%s: the credentials file %s cannot be used", g->what, g->path);
        return status;
    }
    er_google_credentials_fini(&g->credentials);
    g->credentials = fresh;
    g->generation = generation;
    return ER_OK;
}

static er_status open_file(er_google *g, er_err *err) {
    static const char variable[] = "GOOGLE_APPLICATION_CREDENTIALS";
    const char *path = g->settings->credentials_file;
    bool is_set = path != NULL && path[0] != '\0';
    path = is_set ? path : getenv(variable);
    if (path == NULL || path[0] == '\0') {
        return ER_OK;
    }
    g->path = er_dup(path);
    char name[400];
    (void)snprintf(name, sizeof name, is_set ? "%.300s.credentialsFile" : "%.300s: %s", g->what,
                   variable);
    const er_secret_ref ref = {.kind = ER_SECRET_FILE, .text = g->path};
    er_status status = er_secret_new(&ref, name, &g->file, err);
    return status == ER_OK ? load(g, err) : status;
}

static void fill_scope(er_google *g) {
    const er_cfg_strings *scopes = &g->settings->scopes;
    for (size_t i = 0; i < scopes->n; i++) {
        er_buf_puts(&g->scope, i == 0 ? "" : " ");
        er_buf_puts(&g->scope, scopes->v[i].s);
    }
    if (scopes->n == 0) {
        er_buf_puts(&g->scope, g->settings->scope == NULL ? SCOPE : g->settings->scope);
    }
}

static er_status ask(void *self, er_token *token, er_err *err);
static bool look(void *self);

er_status er_google_new(const er_google_settings *settings, const char *what,
                        const er_http_options *options, int64_t timeout_ms, er_google **out,
                        er_err *err) {
    er_google *g = er_xcalloc(1, sizeof *g);
    g->settings = settings;
    g->what = er_dup(what);
    g->timeout_ms = timeout_ms;
    g->source = (er_token_source){.self = g, .ask = ask, .look = look};
    er_token_init(&g->token, MARGIN_MAX_MS);
    er_token_init(&g->outer, MARGIN_MAX_MS);
    er_buf_init(&g->scope, (size_t)64 * 4096);
    er_buf_init(&g->form, FORM_MAX);
    er_buf_init(&g->url, URL_MAX);
    er_buf_init(&g->authorization, ER_TOKEN_MAX + 8);
    fill_scope(g);
    er_status status = open_file(g, err);
    if (status == ER_OK) {
        er_http_options own = *options;
        own.tls = &settings->tls;
        own.ca_pem = own.cert_pem = own.key_pem = (er_str){0};
        own.proxy = g->file == NULL ? NULL : own.proxy; /* the metadata server is next door */
        status = er_http_client_new(&own, &g->client, err);
    }
    if (status != ER_OK) {
        er_google_free(g);
        return status;
    }
    *out = g;
    return ER_OK;
}

static void wipe(er_buf *buf) {
    er_buf_wipe(buf);
    er_buf_fini(buf);
}

void er_google_free(er_google *g) {
    if (g == NULL) {
        return;
    }
    er_http_client_free(g->client);
    er_secret_free(g->file);
    er_google_credentials_fini(&g->credentials);
    er_token_fini(&g->token);
    er_token_fini(&g->outer);
    wipe(&g->scope);
    wipe(&g->form);
    wipe(&g->url);
    wipe(&g->authorization);
    free(g->what);
    free(g->path);
    free(g);
}

/* ---- one request ---- */

static const er_token_advice none[] = {{NULL, NULL}};

static void show_url(er_google *g, er_str url) {
    er_buf shown;
    er_buf_init(&shown, URL_MAX);
    er_url_redact(url, &shown);
    (void)snprintf(g->where, sizeof g->where, "%s", er_buf_cstr(&shown));
    er_buf_fini(&shown);
}

static er_status post(er_google *g, er_token *token, const char *url, const char *content_type,
                      er_token_endpoint *endpoint, er_err *err) {
    if (er_buf_status(&g->form) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "%s: the credentials are too long", g->what);
    }
    show_url(g, er_str_of(url));
    endpoint->what = g->what;
    endpoint->where = g->where;
    er_http_request req = {.method = "POST",
                           .url = url,
                           .body = er_buf_str(&g->form),
                           .timeout_ms = g->timeout_ms,
                           .response_max = ER_TOKEN_ANSWER_MAX};
    er_http_request_header(&req, "Content-Type", er_str_of(content_type));
    er_http_request_header(&req, "Accept", ER_STR("application/json"));
    if (g->authorization.len > 0) {
        er_http_request_header(&req, "Authorization", er_buf_str(&g->authorization));
    }
    return er_token_exchange(token, g->client, &req, endpoint, err);
}

static er_status post_form(er_google *g, er_token *token, er_token_endpoint *endpoint,
                           er_err *err) {
    return post(g, token, g->credentials.token_url, "application/x-www-form-urlencoded", endpoint,
                err);
}

/* ---- the kinds ---- */

static er_status ask_metadata(er_google *g, er_token *token, er_err *err) {
    char what[400];
    (void)snprintf(what, sizeof what, "%.300s; outside of Google Cloud it needs a credentialsFile",
                   g->what);
    (void)snprintf(g->where, sizeof g->where, "the metadata server %.200s", er_metadata_host());
    const er_token_endpoint endpoint = {
        .what = what,
        .where = g->where,
        .advice = none,
        .refused = "this machine or pod may not use a service account",
        .url_at = "that this machine or pod has a service account",
    };
    er_http_request req;
    er_metadata_request(ER_METADATA_TOKEN,
                        g->timeout_ms < METADATA_MS ? g->timeout_ms : METADATA_MS, &g->url, &req);
    req.response_max = ER_TOKEN_ANSWER_MAX;
    return er_token_exchange(token, g->client, &req, &endpoint, err);
}

static er_status ask_service_account(er_google *g, er_token *token, er_err *err) {
    static const er_token_advice advice[] = {
        {"invalid_grant",
         "the key or its service account is gone, or this machine's clock is wrong"},
        {"invalid_client", "the service account does not exist"},
        {"disabled_client", "the service account is disabled"},
        {"unauthorized_client", "check scopes"},
        {"invalid_scope", "check scopes"},
        {"access_denied", "check the service account"},
        {NULL, NULL},
    };
    er_token_endpoint endpoint = {.advice = advice,
                                  .refused = "check the credentials file",
                                  .url_at = "token_uri in the credentials file"};
    const er_google_credentials *c = &g->credentials;
    int64_t now_s = er_time_now() / 1000000;
    er_buf assertion;
    er_buf_init(&assertion, FORM_MAX);
    er_status status = er_google_assertion(c, er_buf_str(&g->scope),
                                           c->self_signed ? (er_str){0} : er_str_of(c->token_url),
                                           now_s, &assertion, err);
    if (status != ER_OK) {
        er_err_prefix(err, "%s", g->what);
    } else if (c->self_signed) {
        status = er_token_set(token, er_buf_str(&assertion), ER_GOOGLE_ASSERTION_LIFE_S,
                              er_mono_ms(), err);
    } else {
        er_token_param(&g->form, "grant_type",
                       ER_STR("urn:ietf:params:oauth:grant-type:jwt-bearer"));
        er_token_param(&g->form, "assertion", er_buf_str(&assertion));
        status = post_form(g, token, &endpoint, err);
    }
    wipe(&assertion);
    return status;
}

/* The outside token, as the file holds it now: whoever writes it replaces it often. */
static er_status put_subject(er_google *g, er_err *err) {
    const er_google_credentials *c = &g->credentials;
    er_buf text;
    er_buf_init(&text, ER_SECRET_MAX);
    er_status status = er_file_read(c->subject_file, &text, err);
    er_str token = er_str_trim(er_buf_str(&text));
    er_json_doc doc;
    er_json_doc_init(&doc);
    if (status == ER_OK && c->subject_field[0] != '\0') {
        bool is_json = text.len > 0 && er_json_parse(&doc, text.p, text.len, NULL) == ER_OK;
        token = is_json ? er_json_get_str(doc.root, c->subject_field) : (er_str){0};
    }
    if (status != ER_OK) { /* perhaps it is just being replaced */
        er_err_prefix(err, "no access token (%s): the outside token", g->what);
        status = ER_E_UNAVAILABLE;
    } else if (token.n == 0) {
        status = er_err_set(err, ER_E_DENIED, "no access token (%s): %.200s holds no token",
                            g->what, c->subject_file);
    }
    if (err != NULL) {
        err->code = status;
    }
    er_token_param(&g->form, "subject_token", token);
    er_json_doc_fini(&doc);
    wipe(&text);
    return status;
}

static er_status ask_sts(er_google *g, er_token *token, er_err *err) {
    static const er_token_advice advice[] = {
        {"invalid_grant", "the outside token is refused: expired, or not for this provider"},
        {"invalid_target", "check audience: the workload identity pool and its provider"},
        {"invalid_request", "check audience and subject_token_type"},
        {"invalid_scope", "check scopes"},
        {"unauthorized_client", "check the workload identity pool's provider"},
        {NULL, NULL},
    };
    er_token_endpoint endpoint = {.advice = advice,
                                  .refused = "check the credentials file",
                                  .url_at = "token_url in the credentials file"};
    const er_google_credentials *c = &g->credentials;
    bool is_direct = c->impersonation_url[0] == '\0';
    er_token_param(&g->form, "grant_type",
                   ER_STR("urn:ietf:params:oauth:grant-type:token-exchange"));
    er_token_param(&g->form, "audience", er_str_of(c->audience));
    er_token_param(&g->form, "scope", is_direct ? er_buf_str(&g->scope) : ER_STR(SCOPE));
    er_token_param(&g->form, "requested_token_type",
                   ER_STR("urn:ietf:params:oauth:token-type:access_token"));
    er_token_param(&g->form, "subject_token_type", er_str_of(c->subject_token_type));
    er_status status = put_subject(g, err);
    return status == ER_OK ? post_form(g, token, &endpoint, err) : status;
}

bool er_google_read_impersonated(const er_json *root, er_str *token, int64_t *life_s) {
    er_time until = ER_TIME_NONE;
    *token = er_json_get_str(root, "accessToken");
    if (!er_time_parse(er_json_get_str(root, "expireTime"), &until)) {
        return false;
    }
    *life_s = until <= er_time_now() ? 0 : (until - er_time_now()) / 1000000;
    return true;
}

static er_status ask_external_account(er_google *g, er_token *token, er_err *err) {
    const er_google_credentials *c = &g->credentials;
    if (c->impersonation_url[0] == '\0') {
        return ask_sts(g, token, err);
    }
    er_status status = ask_sts(g, &g->outer, err);
    if (status != ER_OK) {
        return status;
    }
    er_token_endpoint endpoint = {
        .advice = none,
        .refused = "the outside identity needs roles/iam.workloadIdentityUser on the service "
                   "account",
        .url_at = "service_account_impersonation_url in the credentials file",
        .read = er_google_read_impersonated};
    er_buf_puts(&g->authorization, "Bearer ");
    er_buf_put_str(&g->authorization, er_buf_str(&g->outer.text));
    er_buf_wipe(&g->form);
    er_jw w;
    er_jw_init(&w, &g->form);
    er_jw_object(&w);
    er_jw_key(&w, "scope");
    er_jw_array(&w);
    for (size_t i = 0; i < g->settings->scopes.n; i++) {
        er_jw_cstr(&w, g->settings->scopes.v[i].s);
    }
    if (g->settings->scopes.n == 0) {
        er_jw_str(&w, er_buf_str(&g->scope));
    }
    er_jw_array_end(&w);
    char lifetime[32];
    (void)snprintf(lifetime, sizeof lifetime, "%llds", (long long)c->lifetime_s);
    er_jw_kstr(&w, "lifetime", er_str_of(lifetime));
    er_jw_object_end(&w);
    return post(g, token, c->impersonation_url, "application/json", &endpoint, err);
}

static er_status ask_authorized_user(er_google *g, er_token *token, er_err *err) {
    static const er_token_advice advice[] = {
        {"invalid_grant", "the refresh token is over; log in again"},
        {"invalid_client", "check client_id and client_secret in the credentials file"},
        {NULL, NULL},
    };
    er_token_endpoint endpoint = {.advice = advice,
                                  .refused = "check the credentials file",
                                  .url_at = "token_uri in the credentials file"};
    const er_google_credentials *c = &g->credentials;
    er_token_param(&g->form, "grant_type", ER_STR("refresh_token"));
    er_token_param(&g->form, "client_id", er_str_of(c->client_id));
    er_token_param(&g->form, "client_secret", er_str_of(c->client_secret));
    er_token_param(&g->form, "refresh_token", er_str_of(c->refresh_token));
    return post_form(g, token, &endpoint, err);
}

static er_status ask(void *self, er_token *token, er_err *err) {
    static er_status (*const kinds[])(er_google *, er_token *, er_err *) = {
        [ER_GOOGLE_METADATA] = ask_metadata,
        [ER_GOOGLE_SERVICE_ACCOUNT] = ask_service_account,
        [ER_GOOGLE_EXTERNAL_ACCOUNT] = ask_external_account,
        [ER_GOOGLE_AUTHORIZED_USER] = ask_authorized_user,
    };
    er_google *g = self;
    er_status status = g->file == NULL ? ER_OK : load(g, err);
    if (status != ER_OK) {
        if (err != NULL) {
            err->code = ER_E_DENIED;
        }
        return ER_E_DENIED;
    }
    status = kinds[g->credentials.kind](g, token, err);
    er_buf_wipe(&g->form);
    er_buf_wipe(&g->authorization);
    er_buf_wipe(&g->outer.text);
    return status;
}

static bool look(void *self) {
    er_google *g = self;
    return g->file != NULL && er_secret_renew(g->file);
}

er_status er_google_token(er_google *g, er_str *token, er_err *err) {
    return er_token_get(&g->token, &g->source, token, err);
}

bool er_google_refresh(er_google *g) {
    return er_token_refresh(&g->token, &g->source);
}
