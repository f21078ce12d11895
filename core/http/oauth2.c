#include "base/json_read.h"
#include "http/base64.h"
#include "http/oauth2_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX     65536
#define TOKEN_MAX      16384
#define FORM_MAX       ((size_t)4 * ER_SECRET_MAX) /* a secret, percent-encoded, and the rest */
#define URL_MAX        8192
#define LIFE_UNKNOWN_S 300 /* no expires_in: the resource's 401 tells when it is over */
#define LIFE_MIN_S     1
#define LIFE_MAX_S     86400
#define MARGIN_MAX_MS  30000
#define AT(member)     offsetof(er_oauth2_settings, member)

/* RFC 6749 appendix A.4: scope-token. */
static er_status check_scope(const char *text, er_err *err) {
    bool is_legal = text[0] != '\0';
    for (const char *p = text; *p != '\0'; p++) {
        is_legal = is_legal && *p > 0x20 && *p < 0x7f && *p != '"' && *p != '\\';
    }
    return is_legal ? ER_OK
                    : er_err_set(err, ER_E_CONFIG,
                                 "is not one scope: visible ASCII without blanks, quotes and "
                                 "backslashes; give several as a list");
}

const er_field er_oauth2_rows[] = {
    {.key = "tokenUrl",
     .type = ER_FIELD_URL,
     .flags = ER_FIELD_REQUIRED,
     .offset = AT(token_url),
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
     .check = check_scope,
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
    er_buf token;         /* empty: none */
    er_deadline good_for; /* the token */
    unsigned uses;        /* of the token */
    er_buf form, authorization, url_text;
    char where[200]; /* the endpoint as it may be shown */
};

er_status er_oauth2_new(const er_oauth2_settings *settings, const char *what,
                        const er_http_options *options, int64_t timeout_ms, er_oauth2 **out,
                        er_err *err) {
    er_oauth2 *o = er_xcalloc(1, sizeof *o);
    o->settings = settings;
    o->what = er_dup(what);
    o->timeout_ms = timeout_ms;
    er_buf_init(&o->token, TOKEN_MAX);
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
    wipe(&o->token);
    wipe(&o->form);
    wipe(&o->authorization);
    wipe(&o->url_text);
    free(o->what);
    free(o);
}

/* ---- the request ---- */

static void put_param(er_buf *form, const char *name, er_str value) {
    er_buf_puts(form, form->len > 0 ? "&" : "");
    er_buf_puts(form, name);
    er_buf_putc(form, '=');
    er_url_escape(value, form);
}

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
    put_param(&o->form, "grant_type", ER_STR("client_credentials"));
    put_scopes(o);
    if (s->audience != NULL && s->audience[0] != '\0') {
        put_param(&o->form, "audience", er_str_of(s->audience));
    }
    if (s->client_auth == ER_OAUTH2_BODY) {
        put_param(&o->form, "client_id", er_str_of(s->client_id));
        put_param(&o->form, "client_secret", er_secret_get(o->secret));
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
                             .response_max = ANSWER_MAX};
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

/* ---- the answer ---- */

/* What to look at, by the error of the answer. Only these words are repeated: anything else may be
 * our own secret, sent back. */
static const struct {
    const char *error, *advice;
} errors[] = {
    {"invalid_client", "check clientId, clientSecret and clientAuth"},
    {"unauthorized_client", "this client may not use the client credentials grant"},
    {"unsupported_grant_type", "the endpoint does not know the client credentials grant"},
    {"invalid_scope", "check scopes"},
    {"invalid_target", "check audience"},
    {"access_denied", "check audience and scopes"},
    {"invalid_request", "check clientAuth, scopes and audience"},
    {"invalid_grant", "check clientId and clientSecret"},
};

static er_status denied(const er_oauth2 *o, const er_http_response *res, const char *error,
                        const char *advice, er_err *err) {
    return er_err_set(err, ER_E_DENIED, "no access token: %ld%s%s from %s: %s (%s)", res->status,
                      error[0] == '\0' ? "" : " ", error, o->where, advice, o->what);
}

static er_status refused(const er_oauth2 *o, const er_http_response *res, const er_json *root,
                         er_err *err) {
    er_str error = er_json_get_str(root, "error");
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (er_str_eqc(error, errors[i].error)) {
            return denied(o, res, errors[i].error, errors[i].advice, err);
        }
    }
    if (res->status >= 300 && res->status < 400) {
        return denied(o, res, "", "redirects are not followed; set tokenUrl to the final address",
                      err);
    }
    bool is_about_us = res->status == 400 || res->status == 401 || res->status == 403;
    return denied(o, res, "", is_about_us ? "check clientId and clientSecret" : "check tokenUrl",
                  err);
}

/* RFC 6749 appendix A.12: visible ASCII. A blank would end it in the header. */
static bool is_token(er_str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) {
            return false;
        }
    }
    return s.n > 0 && s.n <= TOKEN_MAX;
}

/* A number; some endpoints send it as a text. */
static int64_t life_s(const er_json *root) {
    const er_json *node = er_json_get(root, "expires_in");
    int64_t n = LIFE_UNKNOWN_S;
    uint64_t of_text = 0;
    if (er_parse_u64(er_json_str(node), &of_text)) {
        n = of_text > LIFE_MAX_S ? LIFE_MAX_S : (int64_t)of_text;
    } else {
        (void)er_json_int(node, &n);
    }
    return n < LIFE_MIN_S ? LIFE_MIN_S : n > LIFE_MAX_S ? LIFE_MAX_S : n;
}

static er_status take_token(er_oauth2 *o, const er_http_response *res, const er_json *root,
                            int64_t asked_ms, er_err *err) {
    er_str token = er_json_get_str(root, "access_token");
    er_str type = er_json_get_str(root, "token_type");
    if (!er_json_is_object(root) || !is_token(token)) {
        return denied(o, res, "",
                      "the answer holds no access_token that can be used; check tokenUrl", err);
    }
    if (type.n > 0 && !er_str_ieqc(type, "Bearer")) {
        return denied(o, res, "", "it gives tokens that are not of type Bearer", err);
    }
    int64_t life_ms = life_s(root) * 1000;
    int64_t margin_ms = life_ms / 10 < MARGIN_MAX_MS ? life_ms / 10 : MARGIN_MAX_MS;
    er_buf_put_str(&o->token, token);
    o->good_for = er_deadline_in(life_ms - margin_ms - (er_mono_ms() - asked_ms));
    return er_buf_status(&o->token) == ER_OK ? ER_OK
                                             : er_err_set(err, ER_E_UNAVAILABLE, "out of memory");
}

static bool is_passing(long status) {
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

static er_status judge(er_oauth2 *o, er_http_response *res, int64_t asked_ms, er_err *err) {
    if (is_passing(res->status)) {
        er_status status = er_err_set(err, ER_E_UNAVAILABLE, "no access token: %ld from %s (%s)",
                                      res->status, o->where, o->what);
        if (err != NULL && res->retry_after_ms > 0) {
            err->retry_after_ms = res->retry_after_ms;
        }
        return status;
    }
    er_json_doc doc;
    er_json_doc_init(&doc);
    bool is_json =
        res->body.len > 0 && er_json_parse(&doc, res->body.p, res->body.len, NULL) == ER_OK;
    const er_json *root = is_json ? doc.root : NULL;
    er_status status = res->status >= 200 && res->status < 300
                           ? take_token(o, res, root, asked_ms, err)
                           : refused(o, res, root, err);
    er_json_doc_fini(&doc);
    return status;
}

/* No answer came. */
static er_status no_answer(const er_oauth2 *o, er_status status, er_err *err) {
    if (status == ER_E_CANCELLED) {
        return status;
    }
    er_status state = status == ER_E_INVAL ? ER_E_DENIED : ER_E_UNAVAILABLE;
    er_err_prefix(err, "no access token (%s)", o->what);
    if (err != NULL) {
        err->code = state;
    }
    return state;
}

static void forget(er_oauth2 *o) {
    er_buf_wipe(&o->token);
    o->uses = 0;
}

static er_status fetch(er_oauth2 *o, er_err *err) {
    forget(o);
    er_http_request req;
    er_status status = fill_request(o, &req, err);
    if (status != ER_OK) {
        return status;
    }
    er_http_response res;
    er_http_response_init(&res);
    int64_t asked_ms = er_mono_ms();
    status = er_http_do(o->client, &req, &res, err);
    status = status == ER_OK ? judge(o, &res, asked_ms, err) : no_answer(o, status, err);
    er_buf_wipe(&res.body);
    er_http_response_fini(&res);
    er_buf_wipe(&o->form);
    er_buf_wipe(&o->authorization);
    return status;
}

static bool secret_is_new(er_oauth2 *o) {
    unsigned before = er_secret_generation(o->secret);
    er_secret_expire(o->secret);
    (void)er_secret_get(o->secret);
    return er_secret_generation(o->secret) != before;
}

er_status er_oauth2_token(er_oauth2 *o, er_str *token, er_err *err) {
    if (o->token.len == 0 || er_deadline_passed(o->good_for)) {
        er_status status = fetch(o, err);
        if (status == ER_E_DENIED && secret_is_new(o)) {
            status = fetch(o, err);
        }
        if (status != ER_OK) {
            return status;
        }
    }
    o->uses++;
    *token = er_buf_str(&o->token);
    return ER_OK;
}

bool er_oauth2_refresh(er_oauth2 *o) {
    bool is_new = secret_is_new(o);
    if (!is_new && o->uses < 2) {
        return false;
    }
    forget(o);
    return true;
}
