/* Credentials in headers, from settings. */
#include "http/base64.h"
#include "http/google_priv.h"
#include "http/oauth2.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(er_auth_settings, member)

static const er_field basic_rows[] = {
    {.key = "username",
     .type = ER_FIELD_STRING,
     .offset = AT(basic.username),
     .max = 4096,
     .help = "The user."},
    {.key = "password",
     .type = ER_FIELD_SECRET,
     .offset = AT(basic.password),
     .help = "The user's password; a text, {file: PATH} or {env: NAME}."},
    {.key = NULL},
};

static const er_field api_key_rows[] = {
    {.key = "header",
     .type = ER_FIELD_STRING,
     .def = "X-API-Key",
     .offset = AT(api_key.header),
     .max = 256,
     .help = "The name of the header that carries the key."},
    {.key = "value",
     .type = ER_FIELD_SECRET,
     .offset = AT(api_key.value),
     .flags = ER_FIELD_REQUIRED,
     .help = "The whole value of that header; a text, {file: PATH} or {env: NAME}."},
    {.key = NULL},
};

static const er_field api_key_scheme_rows[] = {
    {.key = "value",
     .type = ER_FIELD_SECRET,
     .offset = AT(api_key.value),
     .flags = ER_FIELD_REQUIRED,
     .help = "The key, as id:key or as the server's `encoded`, sent as `Authorization: ApiKey`; a "
             "text, {file: PATH} or {env: NAME}."},
    {.key = NULL},
};

#define AUTH_ROWS(api_key_rows_, api_key_help_)                                                    \
    {.key = "basic",                                                                               \
     .type = ER_FIELD_STRUCT,                                                                      \
     .rows = basic_rows,                                                                           \
     .help = "User and password (RFC 7617)."},                                                     \
        {.key = "bearer",                                                                          \
         .type = ER_FIELD_SECRET,                                                                  \
         .offset = AT(bearer),                                                                     \
         .help = "A bearer token (RFC 6750); a text, {file: PATH} or {env: NAME}."},               \
        {.key = "apiKey",                                                                          \
         .type = ER_FIELD_STRUCT,                                                                  \
         .rows = (api_key_rows_),                                                                  \
         .help = (api_key_help_)},                                                                 \
        {.key = "oauth2",                                                                          \
         .type = ER_FIELD_STRUCT,                                                                  \
         .rows = er_oauth2_rows,                                                                   \
         .offset = AT(oauth2),                                                                     \
         .help = "Access tokens by the client credentials grant (RFC 6749 section 4.4)."},         \
        {.key = "google",                                                                          \
         .type = ER_FIELD_STRUCT,                                                                  \
         .rows = er_google_rows,                                                                   \
         .check_struct = er_google_check,                                                          \
         .offset = AT(google),                                                                     \
         .help =                                                                                   \
             "Access tokens for Google's APIs: from a credentials file or the metadata server."},  \
    {                                                                                              \
        .key = NULL                                                                                \
    }

const er_field er_auth_rows[] = {AUTH_ROWS(api_key_rows, "A key in a header of its own.")};
const er_field er_auth_scheme_rows[] = {
    AUTH_ROWS(api_key_scheme_rows, "An API key of the cluster.")};

static bool has_user(const er_auth_settings *s) {
    return s->basic.username != NULL && s->basic.username[0] != '\0';
}

static bool is_set(const er_secret_ref *ref) {
    return ref->kind != ER_SECRET_UNSET;
}

static bool is_google(const er_auth_settings *s) {
    return s->google.pos.line > 0 || s->google.is_default;
}

er_status er_auth_check(const void *settings, er_err *err) {
    const er_auth_settings *s = settings;
    bool basic = has_user(s) || is_set(&s->basic.password);
    if (basic + is_set(&s->bearer) + is_set(&s->api_key.value) + is_set(&s->oauth2.token_url) +
            is_google(s) >
        1) {
        return er_err_set(err, ER_E_CONFIG,
                          "give one of basic, bearer, apiKey, oauth2 and google, not several");
    }
    if (basic && (!has_user(s) || !is_set(&s->basic.password))) {
        return er_err_set(err, ER_E_CONFIG, "basic needs username and password");
    }
    if (basic && strchr(s->basic.username, ':') != NULL) {
        return er_err_set(err, ER_E_CONFIG, "basic.username must not contain a colon");
    }
    if (is_set(&s->api_key.value) && s->api_key.header != NULL &&
        !er_http_header_name_valid(er_str_of(s->api_key.header))) {
        return er_err_set(err, ER_E_CONFIG, "apiKey.header is not the name of a header");
    }
    return ER_OK;
}

const char *er_auth_header(const er_auth_settings *settings) {
    if (is_set(&settings->api_key.value)) { /* its header has a default also without a key */
        return settings->api_key.header != NULL ? settings->api_key.header : "Authorization";
    }
    bool is_standard = has_user(settings) || is_set(&settings->bearer) ||
                       is_set(&settings->oauth2.token_url) || is_google(settings);
    return is_standard ? "Authorization" : NULL;
}

void er_auth_google(er_auth_settings *settings, const char *scope) {
    settings->google.is_default = er_auth_header(settings) == NULL;
    settings->google.scope = scope;
}

struct er_auth {
    er_secret *secret; /* password, token or key; NULL: none, oauth2 or google */
    er_oauth2 *oauth2;
    er_google *google;
    char *username; /* basic */
    char *header;
    bool is_basic, is_bearer, is_key_scheme;
    er_buf value; /* of the header, for the request under way */
};

#define VALUE_MAX_BYTES (2u * ER_SECRET_MAX)

er_status er_auth_new(const er_auth_settings *settings, const char *what,
                      const er_http_options *options, int64_t timeout_ms, er_auth **out,
                      er_err *err) {
    er_auth *auth = er_xcalloc(1, sizeof *auth);
    const er_secret_ref *ref = NULL;
    const char *key = "";
    const char *header = er_auth_header(settings);
    if (is_set(&settings->basic.password)) {
        auth->is_basic = true;
        auth->username = er_dup(settings->basic.username);
        ref = &settings->basic.password;
        key = "basic.password";
    } else if (is_set(&settings->bearer)) {
        auth->is_bearer = true;
        ref = &settings->bearer;
        key = "bearer";
    } else if (is_set(&settings->api_key.value)) {
        auth->is_key_scheme = settings->api_key.header == NULL;
        ref = &settings->api_key.value;
        key = "apiKey.value";
    }
    auth->header = er_dup(header);
    er_buf_init(&auth->value, VALUE_MAX_BYTES);
    er_status status = ER_OK;
    char path[1024];
    if (ref != NULL) {
        (void)snprintf(path, sizeof path, "%.900s.%s", what, key);
        status = er_secret_new(ref, path, &auth->secret, err);
    } else if (is_set(&settings->oauth2.token_url)) {
        (void)snprintf(path, sizeof path, "%.900s.oauth2", what);
        status = er_oauth2_new(&settings->oauth2, path, options, timeout_ms, &auth->oauth2, err);
    } else if (is_google(settings)) {
        (void)snprintf(path, sizeof path, "%.900s.google", what);
        status = er_google_new(&settings->google, path, options, timeout_ms, &auth->google, err);
    }
    if (status != ER_OK) {
        er_auth_free(auth);
        return status;
    }
    *out = auth;
    return ER_OK;
}

void er_auth_free(er_auth *auth) {
    if (auth == NULL) {
        return;
    }
    er_secret_free(auth->secret);
    er_oauth2_free(auth->oauth2);
    er_google_free(auth->google);
    er_buf_wipe(&auth->value);
    er_buf_fini(&auth->value);
    free(auth->username);
    free(auth->header);
    free(auth);
}

static void put_basic(er_auth *auth, er_str password) {
    er_buf pair;
    er_buf_init(&pair, VALUE_MAX_BYTES);
    er_buf_putf(&pair, "%s:", auth->username);
    er_buf_put_str(&pair, password);
    er_buf_puts(&auth->value, "Basic ");
    er_base64_encode(er_buf_str(&pair), &auth->value);
    er_buf_wipe(&pair);
    er_buf_fini(&pair);
}

/* Source: Elasticsearch, "Create API key": the base64 of id and api_key joined by a colon. The
 * alphabet of base64 has no colon. */
static void put_key(er_auth *auth, er_str key) {
    er_buf_puts(&auth->value, "ApiKey ");
    if (memchr(key.p, ':', key.n) != NULL) {
        er_base64_encode(key, &auth->value);
    } else {
        er_buf_put_str(&auth->value, key);
    }
}

er_status er_auth_apply(er_auth *auth, er_http_request *req, er_err *err) {
    er_str secret = {0};
    bool is_token = auth->oauth2 != NULL || auth->google != NULL;
    if (is_token) {
        er_status status = auth->oauth2 != NULL ? er_oauth2_token(auth->oauth2, &secret, err)
                                                : er_google_token(auth->google, &secret, err);
        if (status != ER_OK) {
            return status;
        }
    } else if (auth->secret != NULL) {
        secret = er_secret_get(auth->secret);
    } else {
        return ER_OK;
    }
    er_buf_wipe(&auth->value);
    if (auth->is_basic) {
        put_basic(auth, secret);
    } else if (auth->is_key_scheme) {
        put_key(auth, er_str_trim(secret));
    } else {
        er_buf_puts(&auth->value, auth->is_bearer || is_token ? "Bearer " : "");
        er_buf_put_str(&auth->value, secret);
    }
    if (er_buf_status(&auth->value) != ER_OK) {
        return er_err_set(err, ER_E_LIMIT, "the credentials are too long for a header");
    }
    er_http_request_header(req, auth->header, er_buf_str(&auth->value));
    return ER_OK;
}

bool er_auth_refresh(er_auth *auth) {
    if (auth->oauth2 != NULL) {
        return er_oauth2_refresh(auth->oauth2);
    }
    if (auth->google != NULL) {
        return er_google_refresh(auth->google);
    }
    return auth->secret != NULL && er_secret_renew(auth->secret);
}
