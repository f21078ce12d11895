#include "sinks/redis_tls.h"

#ifdef ER_REDIS_TLS

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/hiredis_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <unistd.h>

bool er_redis_tls_is_there(void) {
    return true;
}

const char *er_redis_tls_reason(void) {
    unsigned long code = ERR_peek_last_error();
    return code == 0 ? NULL : ERR_reason_error_string(code);
}

static bool given(const char *text) {
    return text != NULL && text[0] != '\0';
}

/* A key with a passphrase is an error; without this OpenSSL would ask on the terminal. */
static int no_passphrase(char *buf, int size, int writing, void *arg) {
    (void)buf, (void)size, (void)writing, (void)arg;
    return -1;
}

static er_status file_error(const char *path, er_err *err) {
    char text[128];
    const char *reason = er_redis_tls_reason();
    if (access(path, R_OK) != 0) { /* OpenSSL says no more than "BIO lib" */
        reason = er_errno_text(errno, text, sizeof text);
    }
    return er_err_set(err, ER_E_UNAVAILABLE, "TLS: cannot use %s: %s", path,
                      reason == NULL ? "unknown reason" : reason);
}

static er_status load_files(SSL_CTX *ctx, const er_tls_settings *tls, er_err *err) {
    ERR_clear_error();
    if (given(tls->ca_file)) {
        if (SSL_CTX_load_verify_file(ctx, tls->ca_file) != 1) {
            return file_error(tls->ca_file, err);
        }
    } else {
        (void)SSL_CTX_set_default_verify_paths(ctx);
    }
    if (!given(tls->cert_file)) {
        return ER_OK;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, tls->cert_file) != 1) {
        return file_error(tls->cert_file, err);
    }
    return SSL_CTX_use_PrivateKey_file(ctx, tls->key_file, SSL_FILETYPE_PEM) == 1
               ? ER_OK
               : file_error(tls->key_file, err);
}

static er_status make_context(const er_tls_settings *tls, SSL_CTX **out, er_err *err) {
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        return er_err_set(err, ER_E_NOMEM, "TLS cannot be set up: out of memory");
    }
    SSL_CTX_set_default_passwd_cb(ctx, no_passphrase);
    (void)SSL_CTX_set_min_proto_version(ctx,
                                        tls->min_version == 1 ? TLS1_3_VERSION : TLS1_2_VERSION);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_verify(ctx, tls->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    er_status status = load_files(ctx, tls, err);
    if (status != ER_OK) {
        SSL_CTX_free(ctx);
        return status;
    }
    *out = ctx;
    return ER_OK;
}

er_status er_redis_tls_try(const er_tls_settings *tls, er_err *err) {
    SSL_CTX *ctx = NULL;
    if (make_context(tls, &ctx, err) != ER_OK) {
        if (err != NULL) {
            err->code = ER_E_CONFIG;
        }
        return ER_E_CONFIG;
    }
    SSL_CTX_free(ctx);
    return ER_OK;
}

static bool set_name(SSL *ssl, const char *name) {
    unsigned char address[16];
    if (inet_pton(AF_INET, name, address) == 1 || inet_pton(AF_INET6, name, address) == 1) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    }
    return SSL_set_tlsext_host_name(ssl, name) == 1 && SSL_set1_host(ssl, name) == 1;
}

static er_status make_ssl(const er_tls_settings *tls, const char *host, SSL **out, er_err *err) {
    SSL_CTX *ctx = NULL;
    er_status status = make_context(tls, &ctx, err);
    if (status != ER_OK) {
        return status;
    }
    SSL *ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    if (ssl == NULL || !set_name(ssl, given(tls->server_name) ? tls->server_name : host)) {
        SSL_free(ssl);
        return er_err_set(err, ER_E_UNAVAILABLE, "TLS cannot be set up");
    }
    *out = ssl;
    return ER_OK;
}

static er_status failed(const SSL *ssl, er_err *err) {
    long verify = SSL_get_verify_result(ssl);
    const char *reason = er_redis_tls_reason();
    reason = reason == NULL ? "the connection was closed" : reason;
    return verify == X509_V_OK ? er_err_set(err, ER_E_UNAVAILABLE, "TLS failed: %s", reason)
                               : er_err_set(err, ER_E_UNAVAILABLE, "TLS failed: %s: %s", reason,
                                            X509_verify_cert_error_string(verify));
}

er_status er_redis_tls_start(redisContext *c, const er_tls_settings *tls, const char *host,
                             er_redis_wait wait, void *arg, er_err *err) {
    SSL *ssl = NULL;
    er_status status = make_ssl(tls, host, &ssl, err);
    if (status != ER_OK) {
        return status;
    }
    ERR_clear_error();
    if (redisInitiateSSL(c, ssl) != REDIS_OK) { /* begins the handshake */
        status = failed(ssl, err);
        SSL_free(ssl);
        return status;
    }
    while (!SSL_is_init_finished(ssl)) {
        ERR_clear_error();
        int rc = SSL_do_handshake(ssl);
        if (rc == 1) {
            break;
        }
        int why = SSL_get_error(ssl, rc);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
            return failed(ssl, err);
        }
        status = wait(arg, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, err);
        if (status != ER_OK) {
            return status;
        }
    }
    return ER_OK;
}

#else

bool er_redis_tls_is_there(void) {
    return false;
}

const char *er_redis_tls_reason(void) {
    return NULL;
}

er_status er_redis_tls_try(const er_tls_settings *tls, er_err *err) {
    (void)tls;
    return er_err_set(err, ER_E_CONFIG, "built without TLS for Redis");
}

er_status er_redis_tls_start(redisContext *c, const er_tls_settings *tls, const char *host,
                             er_redis_wait wait, void *arg, er_err *err) {
    (void)c, (void)tls, (void)host, (void)wait, (void)arg;
    return er_err_set(err, ER_E_DENIED, "built without TLS for Redis");
}

#endif
