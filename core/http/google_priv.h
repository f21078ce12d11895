/* Inside core/http: access tokens for Google's APIs, the one provider for all sinks.
 *
 * Where they come from: the credentials file of the settings, else that of the variable
 * GOOGLE_APPLICATION_CREDENTIALS, else the metadata server (Compute Engine; GKE with Workload
 * Identity). The kinds of file:
 *   service_account   a signed assertion for a token (RFC 7523), or where the file's universe is
 * not googleapis.com the assertion itself external_account  workload identity federation (AIP-4117)
 * with the outside token in a file, which is read anew each time; with or without impersonation
 *   authorized_user   a person's refresh token (RFC 6749 section 6), as gcloud leaves it
 * The file is read again when it changed. Source: AIP-4110 to 4117, google-auth.
 *
 * Threads: new and free on main, the rest on one thread. */
#ifndef ER_HTTP_GOOGLE_PRIV_H
#define ER_HTTP_GOOGLE_PRIV_H

#include "base/json_read.h"
#include "http/http.h"

#include <openssl/types.h>

extern const er_field er_google_rows[];
er_status er_google_check(const void *settings, er_err *err);

/* ---- what a credentials file says ---- */

typedef enum er_google_kind {
    ER_GOOGLE_METADATA, /* there is no file */
    ER_GOOGLE_SERVICE_ACCOUNT,
    ER_GOOGLE_EXTERNAL_ACCOUNT,
    ER_GOOGLE_AUTHORIZED_USER,
} er_google_kind;

typedef struct er_google_credentials {
    er_google_kind kind;
    /* All owned, never NULL; "" where the kind has none, or the file leaves it out. */
    char *token_url;
    char *client_email, *key_id;         /* service_account */
    bool self_signed;                    /* service_account of another universe */
    char *audience, *subject_token_type; /* external_account */
    char *subject_file, *subject_field;  /* subject_field: of JSON; "": the file is the token */
    char *impersonation_url;             /* "": none */
    int64_t lifetime_s;                  /* of an impersonated token */
    char *client_id, *client_secret, *refresh_token; /* authorized_user */
    EVP_PKEY *key;                                   /* service_account */
} er_google_credentials;

/* Reads the text of a credentials file. Errors: ER_E_CONFIG; they never repeat a value but the
 * type.
 */
er_status er_google_credentials_read(er_str text, er_google_credentials *out, er_err *err);
void er_google_credentials_fini(er_google_credentials *credentials);

/* ---- assertions ---- */

/* Appends a JWT (RFC 7519) signed with RS256: iss client_email, scope, iat now, exp an hour later,
 * aud; without aud also sub, for use as an access token by itself. now: seconds since 1970. */
er_status er_google_assertion(const er_google_credentials *credentials, er_str scope, er_str aud,
                              int64_t now, er_buf *out, er_err *err);
#define ER_GOOGLE_ASSERTION_LIFE_S 3600

/* ---- the provider ---- */

/* For er_token_endpoint: accessToken and expireTime, as generateAccessToken of the IAM Service
 * Account Credentials API answers. */
bool er_google_read_impersonated(const er_json *root, er_str *token, int64_t *life_s);

typedef struct er_google er_google;
/* what: "sinks.audit.auth.google". Of options all is used but tls and what goes with it; both are
 * copied or outlive the result, as does settings. timeout_ms: of one request. Reads the credentials
 * file once: ER_E_CONFIG. */
er_status er_google_new(const er_google_settings *settings, const char *what,
                        const er_http_options *options, int64_t timeout_ms, er_google **out,
                        er_err *err);
void er_google_free(er_google *google);
er_status er_google_token(er_google *google, er_str *token, er_err *err); /* as er_token_get */
bool er_google_refresh(er_google *google);                                /* as er_token_refresh */

#endif
