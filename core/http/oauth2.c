#include "http/oauth2.h"
#include "http/base64.h"
#include "http/token_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORM_MAX      ((size_t)4 * ER_SECRET_MAX) /* a secret, percent-encoded, and the rest */
#define URL_MAX       8192
#define MARGIN_MAX_MS 30000
#define AT(member)    offsetof(er_oauth2_settings, member)

/* RFC 6749 appendix A.4: scope-token. */
er_status er_oauth2_check_scope(const char *text, er_err *err) {
    bool is_legal = text[0] != '\0';
    for (const char *p = text; *p != '\0'; p++) {
        is_legal = is_legal && *p > 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
    }
    return is_legal ? ER_OK
                    : er_err_set(err, ER_E_CONFIG,
                                 "is not one scope: visible ASCII without blanks, quotes and "
                                 "backslashes; give several as a list");
}

static er_status advise_token_url(const char *text, er_err *err) {
    return !er_url_is_clear(er_str_of(text))
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG,
                            "the client's secret is sent in clear over http://; write https://");
}

const er_field er_oauth2_rows[] = {
    {.key = "tokenUrl",
     .type = ER_FIELD_URL,
     .flags = ER_FIELD_REQUIRED,
     .offset = AT(token_url),
     .advise = advise_token_url,
     .help = "The token endpoint; a text, {file: PATH} or {env: NAME}."},
    {.key = "clientId",
     .type = ER_FIELD_STRING,
     .flags = ER_FIELD_REQUIRED,
     .max = 1024,
     .offset = AT(client_id),
     .help = "The client's name at the token endpoint."},
    {.key = "clientSecret",
     .type = ER_FIELD_SECRET,
     .flags = ER_FIELD_REQUIRED,
     .offset = AT(client_secret),
     .help = "The client's secret; a text, {file: PATH} or {env: NAME}."},
    {.key = "scopes",
     .type = ER_FIELD_STRINGS,
     .max = 64,
     .check = er_oauth2_check_scope,
     .offset = AT(scopes),
     .help = "What is asked for; none: what the endpoint gives by itself."},
    {.key = "audience",
     .type = ER_FIELD_STRING,
     .max = 2048,
     .offset = AT(audience),
     .help = "The parameter audience, where the endpoint wants one."},
    {.key = "clientAuth",
     .type = ER_FIELD_ENUM,
     .choices = "basic|body",
     .offset = AT(client_auth),
     .help = "How the client says who it is: the header Authorization, or client_id and "
             "client_secret in the body (RFC 6749 section 2.3.1)."},
    {.key = "tls",
     .type = ER_FIELD_STRUCT,
     .rows = er_tls_rows,
     .check_struct = er_tls_check,
     .offset = AT(tls),
     .help = "TLS towards the token endpoint."},
    {.key = NULL},
};

struct er_oauth2 {
    const er_oauth2_settings *settings;
    char *what;
    er_secret *url, *secret;
    er_http_client *client;
    int64_t timeout_ms;
    er_token token;
    er_token_source source;
    er_buf form, authorization, url_text;
    char where[200]; /* the endpoint as it may be shown */
};

static er_status ask(void *self, er_token *token, er_err *err);
static bool look(void *self);

er_status er_oauth2_new(const er_oauth2_settings *settings, const char *what,
                        const er_http_options *options, int64_t timeout_ms, er_oauth2 **out,
                        er_err *err) {
    er_oauth2 *o = er_xcalloc(1, sizeof *o);
    o->settings = settings;
    o->what = er_dup(what);
    o->timeout_ms = timeout_ms;
    er_token_init(&o->token, MARGIN_MAX_MS);
    o->source = (er_token_source){.self = o, .ask = ask, .look = look};
    er_buf_init(&o->form, FORM_MAX);
    er_buf_init(&o->authorization, FORM_MAX * 2);
    er_buf_init(&o->url_text, URL_MAX);
    char name[300];
    (void)snprintf(name, sizeof name, "%.270s.tokenUrl", what);
    er_status status = er_secret_new(&settings->token_url, name, &o->url, err);
    if (status == ER_OK) {
        (void)snprintf(name, sizeof name, "%.270s.clientSecret", what);
        status = er_secret_new(&settings->client_secret, name, &o->secret, err);
    }
    if (status == ER_OK) {
        er_http_options own = *options;
        own.tls = &settings->tls;
        own.ca_pem = own.cert_pem = own.key_pem = (er_str){0};
        status = er_http_client_new(&own, &o->client, err);
    }
    if (status != ER_OK) {
        er_oauth2_free(o);
        return status;
    }
    *out = o;
    return ER_OK;
}

static void wipe(er_buf *buf) {
    er_buf_wipe(buf);
    er_buf_fini(buf);
}

void er_oauth2_free(er_oauth2 *o) {
    if (o == NULL) {
        return;
    }
    er_http_client_free(o->client);
    er_secret_free(o->url);
    er_secret_free(o->secret);
    er_token_fini(&o->token);
    wipe(&o->form);
    wipe(&o->authorization);
    wipe(&o->url_text);
    free(o->what);
    free(o);
}

/* ---- the request ---- */

static void put_scopes(er_oauth2 *o) {
    const er_cfg_strings *scopes = &o->settings->scopes;
    for (size_t i = 0; i < scopes->n; i++) {
        er_buf_puts(&o->form, i == 0 ? "&scope=" : "%20");
        er_url_escape(er_str_of(scopes->v[i].s), &o->form);
    }
}

static void fill_form(er_oauth2 *o) {
    const er_oauth2_settings *s = o->settings;
    er_buf_wipe(&o->form);
    er_token_param(&o->form, "grant_type", ER_STR("client_credentials"));
    put_scopes(o);
    if (s->audience != NULL && s->audience[0] != '\0') {
        er_token_param(&o->form, "audience", er_str_of(s->audience));
    }
    if (s->client_auth == ER_OAUTH2_BODY) {
        er_token_param(&o->form, "client_id", er_str_of(s->client_id));
        er_token_param(&o->form, "client_secret", er_secret_get(o->secret));
    }
}

/* Id and secret are encoded as in a form before they are joined (section 2.3.1). */
static void fill_authorization(er_oauth2 *o) {
    er_buf pair;
    er_buf_init(&pair, FORM_MAX);
    er_url_escape(er_str_of(o->settings->client_id), &pair);
    er_buf_putc(&pair, ':');
    er_url_escape(er_secret_get(o->secret), &pair);
    er_buf_wipe(&o->authorization);
    er_buf_puts(&o->authorization, "Basic ");
    er_base64_encode(er_buf_str(&pair), &o->authorization);
    wipe(&pair);
}

/* Nothing is shown of a URL that is a secret itself. */
static void show_url(er_oauth2 *o, er_str url) {
    er_buf shown;
    er_buf_init(&shown, URL_MAX);
    er_url_redact(url, &shown);
    bool is_open = o->settings->token_url.kind == ER_SECRET_LITERAL;
    (void)snprintf(o->where, sizeof o->where, "%s",
                   is_open ? er_buf_cstr(&shown) : "the token endpoint");
    er_buf_fini(&shown);
}

static er_status fill_request(er_oauth2 *o, er_http_request *req, er_err *err) {
    er_str url = er_secret_get(o->url);
    show_url(o, url);
    er_buf_wipe(&o->url_text);
    er_buf_put_str(&o->url_text, url);
    fill_form(o);
    *req = (er_http_request){.method = "POST",
                             .url = er_buf_cstr(&o->url_text),
                             .body = er_buf_str(&o->form),
                             .timeout_ms = o->timeout_ms,
                             .response_max = ER_TOKEN_ANSWER_MAX};
    er_http_request_header(req, "Content-Type", ER_STR("application/x-www-form-urlencoded"));
    er_http_request_header(req, "Accept", ER_STR("application/json"));
    if (o->settings->client_auth == ER_OAUTH2_BASIC) {
        fill_authorization(o);
        er_http_request_header(req, "Authorization", er_buf_str(&o->authorization));
    }
    if (er_url_check(url, NULL) != ER_OK || er_buf_status(&o->url_text) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "%s.tokenUrl is not a URL", o->what);
    }
    if (er_buf_status(&o->form) != ER_OK || er_buf_status(&o->authorization) != ER_OK) {
        return er_err_set(err, ER_E_DENIED, "%s: clientId and clientSecret are too long", o->what);
    }
    return ER_OK;
}

/* ---- asking ---- */

static const er_token_advice advice[] = {
    {"invalid_client", "check clientId, clientSecret and clientAuth"},
    {"unauthorized_client", "this client may not use the client credentials grant"},
    {"unsupported_grant_type", "the endpoint does not know the client credentials grant"},
    {"invalid_scope", "check scopes"},
    {"invalid_target", "check audience"},
    {"access_denied", "check audience and scopes"},
    {"invalid_request", "check clientAuth, scopes and audience"},
    {"invalid_grant", "check clientId and clientSecret"},
    {NULL, NULL},
};

static er_status ask(void *self, er_token *token, er_err *err) {
    er_oauth2 *o = self;
    er_http_request req;
    er_status status = fill_request(o, &req, err);
    if (status == ER_OK) {
        const er_token_endpoint endpoint = {.what = o->what,
                                            .where = o->where,
                                            .advice = advice,
                                            .refused = "check clientId and clientSecret",
                                            .url_at = "tokenUrl"};
        status = er_token_exchange(token, o->client, &req, &endpoint, err);
    }
    er_buf_wipe(&o->form);
    er_buf_wipe(&o->authorization);
    return status;
}

static bool look(void *self) {
    er_oauth2 *o = self;
    return er_secret_renew(o->secret);
}

er_status er_oauth2_token(er_oauth2 *o, er_str *token, er_err *err) {
    return er_token_get(&o->token, &o->source, token, err);
}

int64_t er_oauth2_life_ms(const er_oauth2 *o) {
    return o->token.text.len == 0 ? 0 : er_deadline_left_ms(o->token.good_for);
}

void er_oauth2_forget(er_oauth2 *o) {
    er_token_forget(&o->token);
}

bool er_oauth2_refresh(er_oauth2 *o) {
    return er_token_refresh(&o->token, &o->source);
}
