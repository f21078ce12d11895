/* Signed assertions: JWT (RFC 7519) with RS256 (RFC 7518 section 3.3). */
#include "base/json_write.h"
#include "http/base64.h"
#include "http/google_priv.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <string.h>

#define PART_MAX  40960
#define SIGNATURE 2048 /* bytes: of a key of 16384 bits */

static void put_header(const er_google_credentials *c, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "alg", ER_STR("RS256"));
    er_jw_kstr(&w, "typ", ER_STR("JWT"));
    er_jw_kstr_opt(&w, "kid", er_str_of(c->key_id));
    er_jw_object_end(&w);
}

static void put_claims(const er_google_credentials *c, er_str scope, er_str aud, int64_t now,
                       er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "iss", er_str_of(c->client_email));
    er_jw_kstr_opt(&w, "sub", aud.n == 0 ? er_str_of(c->client_email) : (er_str){0});
    er_jw_kstr(&w, "scope", scope);
    er_jw_kstr_opt(&w, "aud", aud);
    er_jw_kint(&w, "iat", now);
    er_jw_kint(&w, "exp", now + ER_GOOGLE_ASSERTION_LIFE_S);
    er_jw_object_end(&w);
}

static bool sign(EVP_PKEY *key, er_str text, unsigned char *out, size_t *n) {
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool is_done = ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
                   EVP_DigestSign(ctx, out, n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    return is_done;
}

er_status er_google_assertion(const er_google_credentials *credentials, er_str scope, er_str aud,
                              int64_t now, er_buf *out, er_err *err) {
    er_buf part;
    er_buf_init(&part, PART_MAX);
    size_t start = out->len;
    put_header(credentials, &part);
    er_base64url_encode(er_buf_str(&part), out);
    er_buf_putc(out, '.');
    er_buf_clear(&part);
    put_claims(credentials, scope, aud, now, &part);
    er_base64url_encode(er_buf_str(&part), out);
    bool is_fit = er_buf_status(&part) == ER_OK && er_buf_status(out) == ER_OK;
    er_buf_fini(&part);
    unsigned char signature[SIGNATURE];
    size_t n = sizeof signature;
    if (!is_fit ||
        !sign(credentials->key, (er_str){out->p + start, out->len - start}, signature, &n)) {
        return er_err_set(err, ER_E_DENIED, "the assertion cannot be signed with this private_key");
    }
    er_buf_putc(out, '.');
    er_base64url_encode((er_str){(const char *)signature, n}, out);
    return er_buf_status(out) == ER_OK ? ER_OK
                                       : er_err_set(err, ER_E_DENIED, "the assertion is too long");
}
