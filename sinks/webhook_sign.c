#include "sinks/webhook_sign.h"

#include "http/base64.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MIN    24 /* bytes, of Standard Webhooks */
#define KEY_MAX    64
#define DIGEST     32 /* bytes of SHA-256 */
#define SECONDS    24 /* bytes of a number of seconds as text */
#define VALUES_MAX 1024
#define PREFIX     "whsec_"

#define GITHUB_SIGNATURE   "X-Hub-Signature-256"
#define STANDARD_TIME      "webhook-timestamp"
#define STANDARD_SIGNATURE "webhook-signature"

const er_field er_sign_rows[] = {
    {.key = "type",
     .type = ER_FIELD_ENUM,
     .choices = "github|standard-webhooks",
     .flags = ER_FIELD_REQUIRED,
     .offset = offsetof(er_sign_settings, type),
     .help = "github: X-Hub-Signature-256; standard-webhooks: webhook-id, webhook-timestamp and "
             "webhook-signature."},
    {.key = "keys",
     .type = ER_FIELD_SECRET_LIST,
     .flags = ER_FIELD_REQUIRED,
     .min = 1,
     .max = ER_SIGN_KEYS_MAX,
     .offset = offsetof(er_sign_settings, keys),
     .help = "Signing keys; files are read again when they change. standard-webhooks: whsec_ and "
             "Base64; all of them sign, so that old and new may overlap. github: one."},
    {.key = NULL},
};

er_status er_sign_check(const void *settings, er_err *err) {
    const er_sign_settings *s = settings;
    if (s->type == ER_SIGN_GITHUB && s->keys.n > 1) {
        return er_err_set(err, ER_E_CONFIG,
                          "keys has %zu keys, but type: github has room for one signature; keep "
                          "one (to rotate it, let the receiver accept both and replace the file), "
                          "or use type: standard-webhooks",
                          s->keys.n);
    }
    return ER_OK;
}

const char *const *er_sign_headers(const er_sign_settings *settings) {
    static const char *const none[] = {NULL};
    static const char *const github[] = {GITHUB_SIGNATURE, NULL};
    static const char *const standard[] = {STANDARD_TIME, STANDARD_SIGNATURE, NULL};
    if (settings->keys.n == 0) {
        return none;
    }
    return settings->type == ER_SIGN_GITHUB ? github : standard;
}

struct er_signer {
    const er_sign_settings *settings;
    char *what;
    er_secret *keys[ER_SIGN_KEYS_MAX];
    EVP_MAC *hmac;
    char seconds[SECONDS];
    er_buf values; /* of the signature header */
};

/* The bytes of the i-th key; text holds them when they had to be decoded. */
static er_status read_key(er_signer *signer, size_t i, er_buf *text, er_str *out, er_err *err) {
    er_str secret = er_secret_get(signer->keys[i]);
    if (signer->settings->type == ER_SIGN_GITHUB) {
        *out = secret;
        return ER_OK;
    }
    size_t prefix = sizeof PREFIX - 1;
    bool is_key = er_str_starts(secret, PREFIX) &&
                  er_base64_decode((er_str){secret.p + prefix, secret.n - prefix}, text) &&
                  text->len >= KEY_MIN && text->len <= KEY_MAX;
    if (!is_key) {
        return er_err_set(err, ER_E_DENIED,
                          "%s.keys[%zu] is not a key of Standard Webhooks: whsec_ and the Base64 "
                          "of %d to %d bytes",
                          signer->what, i, KEY_MIN, KEY_MAX);
    }
    *out = er_buf_str(text);
    return ER_OK;
}

static void begin_key(er_buf *text) {
    er_buf_init(text, ER_SECRET_MAX);
}

static void end_key(er_buf *text) {
    er_buf_wipe(text);
    er_buf_fini(text);
}

static er_status check_keys(er_signer *signer, er_err *err) {
    er_status status = ER_OK;
    for (size_t i = 0; i < signer->settings->keys.n && status == ER_OK; i++) {
        er_buf text;
        er_str key = {0};
        begin_key(&text);
        status = read_key(signer, i, &text, &key, err);
        end_key(&text);
    }
    if (status != ER_OK && err != NULL) {
        err->code = ER_E_CONFIG;
    }
    return status == ER_OK ? ER_OK : ER_E_CONFIG;
}

er_status er_signer_new(const er_sign_settings *settings, const char *what, er_signer **out,
                        er_err *err) {
    er_signer *signer = er_xcalloc(1, sizeof *signer);
    signer->settings = settings;
    signer->what = er_dup(what);
    er_buf_init(&signer->values, VALUES_MAX);
    signer->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    er_status status = ER_OK;
    if (signer->hmac == NULL) {
        status = er_err_set(err, ER_E_CONFIG, "%s: this OpenSSL has no HMAC", what);
    }
    const er_secret_ref *refs = settings->keys.v;
    for (size_t i = 0; i < settings->keys.n && status == ER_OK; i++) {
        char name[300];
        (void)snprintf(name, sizeof name, "%s.keys[%zu]", what, i);
        status = er_secret_new(&refs[i], name, &signer->keys[i], err);
    }
    status = status == ER_OK ? check_keys(signer, err) : status;
    if (status != ER_OK) {
        er_signer_free(signer);
        return status;
    }
    *out = signer;
    return ER_OK;
}

void er_signer_free(er_signer *signer) {
    if (signer == NULL) {
        return;
    }
    for (size_t i = 0; i < ER_SIGN_KEYS_MAX; i++) {
        er_secret_free(signer->keys[i]);
    }
    EVP_MAC_free(signer->hmac);
    er_buf_fini(&signer->values);
    free(signer->what);
    free(signer);
}

bool er_signer_refresh(er_signer *signer) {
    bool is_new = false;
    for (size_t i = 0; i < signer->settings->keys.n; i++) {
        is_new = er_secret_renew(signer->keys[i]) || is_new;
    }
    return is_new;
}

static bool update(EVP_MAC_CTX *ctx, er_str bytes) {
    return bytes.n == 0 || EVP_MAC_update(ctx, (const unsigned char *)bytes.p, bytes.n) == 1;
}

static bool hmac_sha256(EVP_MAC *hmac, er_str key, const er_str *parts, size_t n,
                        unsigned char out[DIGEST]) {
    char digest[] = "SHA256";
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(hmac);
    bool is_done =
        ctx != NULL && EVP_MAC_init(ctx, (const unsigned char *)key.p, key.n, params) == 1;
    for (size_t i = 0; i < n && is_done; i++) {
        is_done = update(ctx, parts[i]);
    }
    size_t len = 0;
    is_done = is_done && EVP_MAC_final(ctx, out, &len, DIGEST) == 1 && len == DIGEST;
    EVP_MAC_CTX_free(ctx);
    return is_done;
}

static void put_signature(er_signer *signer, const unsigned char mac[DIGEST]) {
    static const char hex[] = "0123456789abcdef";
    if (signer->settings->type == ER_SIGN_STANDARD) {
        er_buf_puts(&signer->values, signer->values.len > 0 ? " v1," : "v1,");
        er_base64_encode((er_str){(const char *)mac, DIGEST}, &signer->values);
        return;
    }
    er_buf_puts(&signer->values, "sha256=");
    for (size_t i = 0; i < DIGEST; i++) {
        er_buf_putc(&signer->values, hex[mac[i] >> 4]);
        er_buf_putc(&signer->values, hex[mac[i] & 15]);
    }
}

static er_status sign_with(er_signer *signer, size_t i, const er_str *parts, size_t n,
                           er_err *err) {
    er_buf text;
    er_str key = {0};
    unsigned char mac[DIGEST] = {0};
    begin_key(&text);
    er_status status = read_key(signer, i, &text, &key, err);
    if (status == ER_OK && !hmac_sha256(signer->hmac, key, parts, n, mac)) {
        status = er_err_set(err, ER_E_UNAVAILABLE, "%s: OpenSSL cannot sign: out of memory?",
                            signer->what);
    }
    end_key(&text);
    if (status == ER_OK) {
        put_signature(signer, mac);
    }
    return status;
}

er_status er_signer_apply(er_signer *signer, er_str id, er_str payload, er_time now,
                          er_http_request *req, er_err *err) {
    bool is_standard = signer->settings->type == ER_SIGN_STANDARD;
    (void)snprintf(signer->seconds, sizeof signer->seconds, "%lld", (long long)(now / 1000000));
    er_str seconds = er_str_of(signer->seconds);
    const er_str parts[] = {id, ER_STR("."), seconds, ER_STR("."), payload};
    size_t first = is_standard ? 0 : 4; /* github signs the payload alone */
    er_buf_clear(&signer->values);
    for (size_t i = 0; i < signer->settings->keys.n; i++) {
        er_status status = sign_with(signer, i, parts + first, 5 - first, err);
        if (status != ER_OK) {
            return status;
        }
    }
    if (is_standard) {
        er_http_request_header(req, STANDARD_TIME, seconds);
    }
    er_http_request_header(req, is_standard ? STANDARD_SIGNATURE : GITHUB_SIGNATURE,
                           er_buf_str(&signer->values));
    return ER_OK;
}
