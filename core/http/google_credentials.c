/* What a credentials file says. */
#include "base/json_read.h"
#include "http/google_priv.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_URL       "https://oauth2.googleapis.com/token"
#define UNIVERSE        "googleapis.com"
#define LIFETIME_S      3600
#define LIFETIME_MIN_S  600
#define LIFETIME_MAX_S  43200
#define VALUE_MAX_BYTES 16384

/* ---- values ---- */

static er_status take_text(const er_json *object, const char *key, char **out, er_err *err) {
    er_str text = er_json_get_str(object, key);
    if (text.n > VALUE_MAX_BYTES || (text.n > 0 && memchr(text.p, '\0', text.n) != NULL)) {
        return er_err_set(err, ER_E_CONFIG, "its %s is too long, or not a text", key);
    }
    free(*out);
    *out = er_str_dup(text);
    return ER_OK;
}

static er_status need_text(const er_json *object, const char *key, char **out, er_err *err) {
    er_status status = take_text(object, key, out, err);
    if (status == ER_OK && (*out)[0] == '\0') {
        status = er_err_set(err, ER_E_CONFIG, "it has no %s", key);
    }
    return status;
}

/* def: what an absent one stands for; NULL: it must be there. */
static er_status take_url(const er_json *object, const char *key, const char *def, char **out,
                          er_err *err) {
    er_status status =
        def == NULL ? need_text(object, key, out, err) : take_text(object, key, out, err);
    if (status != ER_OK) {
        return status;
    }
    if ((*out)[0] == '\0') {
        free(*out);
        *out = er_dup(def);
        return ER_OK;
    }
    return er_url_check(er_str_of(*out), NULL) == ER_OK
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG, "its %s is not a URL", key);
}

/* ---- service_account ---- */

/* Instead of asking at the terminal. */
static int no_password(char *buf, int size, int rwflag, void *arg) { // NOLINT: OpenSSL's type
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1;
}

static er_status read_key(er_str pem, EVP_PKEY **out, er_err *err) {
    BIO *bio = pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
    *out = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (*out == NULL) {
        return er_err_set(err, ER_E_CONFIG, "its private_key is not a private key in PEM form");
    }
    return EVP_PKEY_is_a(*out, "RSA")
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG, "its private_key is not an RSA key");
}

static er_status read_service_account(const er_json *root, er_google_credentials *out,
                                      er_err *err) {
    er_str universe = er_json_get_str(root, "universe_domain");
    out->self_signed = universe.n > 0 && !er_str_eqc(universe, UNIVERSE);
    er_status status = need_text(root, "client_email", &out->client_email, err);
    status = status == ER_OK ? take_text(root, "private_key_id", &out->key_id, err) : status;
    status =
        status == ER_OK ? take_url(root, "token_uri", TOKEN_URL, &out->token_url, err) : status;
    er_str key = er_json_get_str(root, "private_key");
    if (status == ER_OK && key.n == 0) {
        status = er_err_set(err, ER_E_CONFIG, "it has no private_key");
    }
    return status == ER_OK ? read_key(key, &out->key, err) : status;
}

/* ---- external_account ---- */

static er_status read_source(const er_json *source, er_google_credentials *out, er_err *err) {
    static const struct {
        const char *key, *what;
    } others[] = {
        {"environment_id", "AWS"},
        {"executable", "an executable"},
        {"certificate", "an X.509 certificate"},
        {"url", "a URL"},
    };
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (er_json_get(source, others[i].key) != NULL) {
            return er_err_set(err, ER_E_CONFIG,
                              "its credential_source is %s, which is not supported; only a file is",
                              others[i].what);
        }
    }
    er_status status = need_text(source, "file", &out->subject_file, err);
    if (status != ER_OK) {
        return er_err_set(err, ER_E_CONFIG, "its credential_source has no file");
    }
    const er_json *format = er_json_get(source, "format");
    er_str type = er_json_get_str(format, "type");
    if (er_str_eqc(type, "json")) {
        return need_text(format, "subject_token_field_name", &out->subject_field, err);
    }
    return type.n == 0 || er_str_eqc(type, "text")
               ? ER_OK
               : er_err_set(err, ER_E_CONFIG,
                            "its credential_source.format.type is neither text nor json");
}

static er_status read_lifetime(const er_json *root, er_google_credentials *out, er_err *err) {
    const er_json *node =
        er_json_path(root, "service_account_impersonation", "token_lifetime_seconds");
    out->lifetime_s = LIFETIME_S;
    if (node == NULL) {
        return ER_OK;
    }
    bool is_fit = er_json_int(node, &out->lifetime_s) && out->lifetime_s >= LIFETIME_MIN_S &&
                  out->lifetime_s <= LIFETIME_MAX_S;
    return is_fit ? ER_OK
                  : er_err_set(err, ER_E_CONFIG, "its token_lifetime_seconds is not %d to %d",
                               LIFETIME_MIN_S, LIFETIME_MAX_S);
}

static er_status read_external_account(const er_json *root, er_google_credentials *out,
                                       er_err *err) {
    er_status status = need_text(root, "audience", &out->audience, err);
    status = status == ER_OK ? need_text(root, "subject_token_type", &out->subject_token_type, err)
                             : status;
    status = status == ER_OK ? take_url(root, "token_url", NULL, &out->token_url, err) : status;
    status = status == ER_OK ? take_url(root, "service_account_impersonation_url", "",
                                        &out->impersonation_url, err)
                             : status;
    status = status == ER_OK ? read_lifetime(root, out, err) : status;
    return status == ER_OK ? read_source(er_json_get(root, "credential_source"), out, err) : status;
}

/* ---- authorized_user ---- */

static er_status read_authorized_user(const er_json *root, er_google_credentials *out,
                                      er_err *err) {
    er_status status = need_text(root, "client_id", &out->client_id, err);
    status = status == ER_OK ? need_text(root, "client_secret", &out->client_secret, err) : status;
    status = status == ER_OK ? need_text(root, "refresh_token", &out->refresh_token, err) : status;
    return status == ER_OK ? take_url(root, "token_uri", TOKEN_URL, &out->token_url, err) : status;
}

/* ---- all kinds ---- */

static const struct {
    const char *type;
    er_google_kind kind;
    er_status (*read)(const er_json *root, er_google_credentials *out, er_err *err);
} kinds[] = {
    {"service_account", ER_GOOGLE_SERVICE_ACCOUNT, read_service_account},
    {"external_account", ER_GOOGLE_EXTERNAL_ACCOUNT, read_external_account},
    {"authorized_user", ER_GOOGLE_AUTHORIZED_USER, read_authorized_user},
};

static er_status read_kind(const er_json *root, er_google_credentials *out, er_err *err) {
    er_str type = er_json_get_str(root, "type");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (er_str_eqc(type, kinds[i].type)) {
            out->kind = kinds[i].kind;
            return kinds[i].read(root, out, err);
        }
    }
    return er_err_set(err, ER_E_CONFIG,
                      "its type is not one of service_account, external_account and "
                      "authorized_user");
}

static void each_text(er_google_credentials *c, void (*act)(char **text)) {
    char **const texts[] = {
        &c->token_url,     &c->client_email,       &c->key_id,        &c->audience,
        &c->subject_file,  &c->subject_token_type, &c->client_id,     &c->subject_field,
        &c->client_secret, &c->impersonation_url,  &c->refresh_token,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        act(texts[i]);
    }
}

static void set_empty(char **text) {
    *text = er_dup("");
}

static void wipe(char **text) {
    if (*text != NULL) {
        explicit_bzero(*text, strlen(*text));
        free(*text);
    }
}

er_status er_google_credentials_read(er_str text, er_google_credentials *out, er_err *err) {
    *out = (er_google_credentials){0};
    each_text(out, set_empty);
    char *copy = er_str_dup(text);
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_status status = er_json_parse(&doc, copy, text.n, NULL);
    if (status != ER_OK || !er_json_is_object(doc.root)) {
        status = er_err_set(err, ER_E_CONFIG, "it is not a JSON object");
    } else {
        status = read_kind(doc.root, out, err);
    }
    er_json_doc_fini(&doc);
    explicit_bzero(copy, text.n);
    free(copy);
    if (status != ER_OK) {
        er_google_credentials_fini(out);
    }
    return status;
}

void er_google_credentials_fini(er_google_credentials *credentials) {
    each_text(credentials, wipe);
    EVP_PKEY_free(credentials->key);
    *credentials = (er_google_credentials){0};
}
