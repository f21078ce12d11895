/* What the plugin answers: an ExecCredential in JSON. */
#include "base/json_read.h"
#include "base/secret.h"
#include "kube/exec.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <string.h>

#define LEEWAY_MAX_MS 10000 /* renewed so long before the end, or a fifth of a shorter life */
#define PEM_MAX_BYTES (256u << 10)

/* A text of the peer in a message. */
static er_status refuse(er_err *err, const char *what, er_str found, const char *want) {
    er_buf shown;
    er_buf_init(&shown, 80);
    er_child_escape(found, 64, &shown);
    (void)er_err_set(err, ER_E_INVAL, "answered with %s \"%s\" instead of %s", what,
                     er_buf_cstr(&shown), want);
    er_buf_fini(&shown);
    return ER_E_INVAL;
}

static bool is_header_text(er_str token) {
    for (size_t i = 0; i < token.n; i++) {
        if ((unsigned char)token.p[i] <= ' ' || token.p[i] == 0x7f) {
            return false;
        }
    }
    return true;
}

/* libcurl would say it only at the next handshake, and not where they come from. */
static er_status check_pair(er_str cert, er_str key, er_err *err) {
    BIO *cert_bio = BIO_new_mem_buf(cert.p, (int)cert.n);
    BIO *key_bio = BIO_new_mem_buf(key.p, (int)key.n);
    char none[] = ""; /* a key with a passphrase is an error, and not a question on a terminal */
    X509 *x = cert_bio == NULL ? NULL : PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
    EVP_PKEY *k = key_bio == NULL ? NULL : PEM_read_bio_PrivateKey(key_bio, NULL, NULL, none);
    const char *wrong = NULL;
    if (x == NULL) {
        wrong = "answered with a clientCertificateData that is not a certificate in PEM";
    } else if (k == NULL) {
        wrong = "answered with a clientKeyData that is not a private key in PEM";
    } else if (X509_check_private_key(x, k) != 1) {
        wrong = "answered with a certificate and a key that do not belong together";
    }
    X509_free(x);
    EVP_PKEY_free(k);
    (void)BIO_free(cert_bio);
    (void)BIO_free(key_bio);
    ERR_clear_error();
    return wrong == NULL ? ER_OK : er_err_set(err, ER_E_INVAL, "%s", wrong);
}

static er_status check_secrets(er_str token, er_str cert, er_str key, er_err *err) {
    if (token.n > ER_SECRET_MAX || cert.n > PEM_MAX_BYTES || key.n > PEM_MAX_BYTES) {
        return er_err_set(err, ER_E_INVAL,
                          "answered with a token, certificate or key of over %u "
                          "or %u bytes",
                          ER_SECRET_MAX, PEM_MAX_BYTES);
    }
    if (!is_header_text(token)) {
        return er_err_set(err, ER_E_INVAL,
                          "answered with a token that holds blanks or control "
                          "characters");
    }
    if ((cert.n > 0) != (key.n > 0)) {
        return er_err_set(err, ER_E_INVAL, "answered with %s only; it takes both",
                          cert.n > 0 ? "clientCertificateData" : "clientKeyData");
    }
    if (token.n == 0 && cert.n == 0) {
        return er_err_set(err, ER_E_INVAL, "answered with neither a token nor a certificate");
    }
    return cert.n > 0 ? check_pair(cert, key, err) : ER_OK;
}

static er_status take_end(er_str text, er_exec_credential *out, er_err *err) {
    out->renew_at = out->ends_at = ER_DEADLINE_NEVER;
    if (text.n == 0) {
        return ER_OK;
    }
    er_time end;
    if (!er_time_parse(text, &end)) {
        return refuse(err, "the expirationTimestamp", text, "a time of RFC 3339");
    }
    int64_t left = (end - er_time_now()) / 1000;
    int64_t leeway = left / 5 < LEEWAY_MAX_MS ? left / 5 : LEEWAY_MAX_MS;
    out->ends_at = er_deadline_in(left);
    out->renew_at = er_deadline_in(left - leeway);
    return ER_OK;
}

static char *owned(er_str text) {
    return text.n == 0 ? NULL : er_str_dup(text);
}

static er_status take(const er_exec_spec *spec, const er_json *root, er_exec_credential **out,
                      er_err *err) {
    er_str kind = er_json_get_str(root, "kind");
    er_str version = er_json_get_str(root, "apiVersion");
    const er_json *body = er_json_get(root, "status");
    if (!er_str_eqc(kind, "ExecCredential")) {
        return refuse(err, "the kind", kind, "ExecCredential");
    }
    if (!er_str_eqc(version, spec->api_version)) {
        return refuse(err, "the apiVersion", version, spec->api_version);
    }
    if (!er_json_is_object(body)) {
        return er_err_set(err, ER_E_INVAL, "answered without a status");
    }
    er_str token = er_json_get_str(body, "token");
    er_str cert = er_json_get_str(body, "clientCertificateData");
    er_str key = er_json_get_str(body, "clientKeyData");
    er_exec_credential life;
    er_status status = check_secrets(token, cert, key, err);
    if (status == ER_OK) {
        status = take_end(er_json_get_str(body, "expirationTimestamp"), &life, err);
    }
    if (status == ER_OK) {
        er_exec_credential *credential = er_xcalloc(1, sizeof *credential);
        atomic_init(&credential->refs, 1);
        credential->token = owned(token);
        credential->cert_pem = owned(cert);
        credential->key_pem = owned(key);
        credential->renew_at = life.renew_at;
        credential->ends_at = life.ends_at;
        *out = credential;
    }
    return status;
}

er_status er_exec_reply(const er_exec_spec *spec, char *text, size_t n, er_exec_credential **out,
                        er_err *err) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_status status;
    if (er_str_trim((er_str){text, n}).n == 0) {
        status = er_err_set(err, ER_E_INVAL, "wrote nothing to its standard output");
    } else if (er_json_parse(&doc, text, n, NULL) != ER_OK || !er_json_is_object(doc.root)) {
        status = er_err_set(err, ER_E_INVAL, "wrote something else than an ExecCredential in JSON");
    } else {
        status = take(spec, doc.root, out, err);
    }
    er_json_doc_fini(&doc);
    return status;
}
