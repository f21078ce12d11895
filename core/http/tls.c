/* TLS: settings, and certificates that may be replaced while we run. */
#include "base/log.h"
#include "http/http_priv.h"

#include <string.h>

#define AT(member)    offsetof(er_tls_settings, member)
#define PEM_MAX_BYTES (4u << 20)

static er_status advise_insecure(const char *text, er_err *err) {
    if (strcmp(text, "true") != 0) {
        return ER_OK;
    }
    return er_err_set(err, ER_E_CONFIG,
                      "the certificate is not verified: whoever sits between can read and change "
                      "everything; caFile is the way to trust one of your own");
}

#define ROWS                                                                                       \
    {.key = "caFile",                                                                              \
     .type = ER_FIELD_STRING,                                                                      \
     .flags = ER_FIELD_FILE,                                                                       \
     .offset = AT(ca_file),                                                                        \
     .max = 4096,                                                                                  \
     .help = "PEM file of the certificate authorities to trust, instead of the system's."},        \
        {.key = "certFile",                                                                        \
         .type = ER_FIELD_STRING,                                                                  \
         .flags = ER_FIELD_FILE,                                                                   \
         .offset = AT(cert_file),                                                                  \
         .max = 4096,                                                                              \
         .help = "PEM file of the client certificate and its chain; needs keyFile."},              \
        {.key = "keyFile",                                                                         \
         .type = ER_FIELD_STRING,                                                                  \
         .flags = ER_FIELD_FILE,                                                                   \
         .offset = AT(key_file),                                                                   \
         .max = 4096,                                                                              \
         .help = "PEM file of the client certificate's key, without a passphrase."},               \
        {.key = "serverName",                                                                      \
         .type = ER_FIELD_STRING,                                                                  \
         .offset = AT(server_name),                                                                \
         .max = 253,                                                                               \
         .help =                                                                                   \
             "The name that the server's certificate must have, when it is not the URL's host."},  \
        {.key = "insecureSkipVerify",                                                              \
         .type = ER_FIELD_BOOL,                                                                    \
         .offset = AT(insecure_skip_verify),                                                       \
         .advise = advise_insecure,                                                                \
         .help = "Accept any certificate: whoever sits between can read and change everything."},  \
    {                                                                                              \
        .key = "minVersion", .type = ER_FIELD_ENUM, .choices = "1.2|1.3",                          \
        .offset = AT(min_version), .help = "The oldest TLS version to accept."                     \
    }

const er_field er_tls_rows[] = {
    ROWS,
    {.key = NULL},
};
const er_field er_tls_switch_rows[] = {
    ER_FIELD_POS(er_tls_settings, pos),
    ROWS,
    {.key = NULL},
};

static bool given(const char *text) {
    return text != NULL && text[0] != '\0';
}

er_status er_tls_check(const void *settings, er_err *err) {
    const er_tls_settings *s = settings;
    if (given(s->cert_file) != given(s->key_file)) {
        return er_err_set(err, ER_E_CONFIG, "%s is given without %s; give both or neither",
                          given(s->cert_file) ? "certFile" : "keyFile",
                          given(s->cert_file) ? "keyFile" : "certFile");
    }
    return ER_OK;
}

/* ---- files ---- */

#define FILES 3
typedef er_tls_file *file_list[FILES];

static void list_files(er_tls_material *m, file_list out) {
    out[0] = &m->ca;
    out[1] = &m->cert;
    out[2] = &m->key;
}

static void material_init(er_tls_material *m, const er_http_options *options) {
    const er_tls_settings none = {0};
    const er_tls_settings *tls = options->tls == NULL ? &none : options->tls;
    const struct {
        er_str pem;
        const char *path;
    } from[FILES] = {
        {options->ca_pem, tls->ca_file},
        {options->cert_pem, tls->cert_file},
        {options->key_pem, tls->key_file},
    };
    file_list files;
    list_files(m, files);
    for (size_t i = 0; i < FILES; i++) {
        *files[i] = (er_tls_file){0};
        er_buf_init(&files[i]->pem, PEM_MAX_BYTES);
        if (from[i].pem.n == 0 && given(from[i].path)) {
            files[i]->path = from[i].path;
        }
    }
}

static void material_fini(er_tls_material *m) {
    file_list files;
    list_files(m, files);
    for (size_t i = 0; i < FILES; i++) {
        er_buf_wipe(&files[i]->pem);
        er_buf_fini(&files[i]->pem);
    }
}

static er_status file_read(er_tls_file *file, er_err *err) {
    if (file->path == NULL) {
        return ER_OK;
    }
    er_status status = er_file_read(file->path, &file->pem, err);
    if (status == ER_OK && file->pem.len == 0) {
        return er_err_set(err, ER_E_IO, "%s is empty", file->path);
    }
    return status;
}

/* Reads all files. One that changes meanwhile is an error: it is being written. */
static er_status material_read(er_tls_material *m, er_err *err) {
    file_list files;
    list_files(m, files);
    er_status status = ER_OK;
    for (size_t i = 0; i < FILES && status == ER_OK; i++) {
        if (files[i]->path != NULL) {
            (void)er_file_stamp_get(files[i]->path, &files[i]->stamp);
            status = file_read(files[i], err);
        }
    }
    for (size_t i = 0; i < FILES && status == ER_OK; i++) {
        er_file_stamp after;
        if (files[i]->path != NULL && (!er_file_stamp_get(files[i]->path, &after) ||
                                       !er_file_stamp_eq(&after, &files[i]->stamp))) {
            status = er_err_set(err, ER_E_IO, "%s changed while it was read", files[i]->path);
        }
    }
    return status;
}

/* ---- what is in use ---- */

er_status er_tls_init(er_tls *tls, const er_http_options *options, er_err *err) {
    *tls = (er_tls){.options = options};
    material_init(&tls->now, options);
    if (material_read(&tls->now, err) == ER_OK) {
        return ER_OK;
    }
    er_err_prefix(err, "TLS");
    if (err != NULL) {
        err->code = ER_E_CONFIG;
    }
    return ER_E_CONFIG;
}

void er_tls_fini(er_tls *tls) {
    material_fini(&tls->now);
    if (tls->on_trial) {
        material_fini(&tls->before);
    }
}

static void keep_old(er_tls *tls, const char *why) {
    if (!tls->warned) {
        tls->warned = true;
        ER_LOG(ER_LOG_WARNING, "http", "cannot use new TLS files yet, the old ones are kept",
               ER_LS("error", why));
    }
}

/* Whether there is something to read: a file is not as it was, and not as it was when it was found
 * unusable. */
static bool has_changed(er_tls *tls) {
    file_list files;
    list_files(&tls->now, files);
    bool changed = false;
    bool refused = true;
    for (size_t i = 0; i < FILES; i++) {
        er_file_stamp stamp;
        if (files[i]->path == NULL) {
            continue;
        }
        if (!er_file_stamp_get(files[i]->path, &stamp)) {
            keep_old(tls, "a file has gone");
            return false;
        }
        changed = changed || !er_file_stamp_eq(&stamp, &files[i]->stamp);
        refused = refused && er_file_stamp_eq(&stamp, &tls->refused[i]);
    }
    return changed && !refused;
}

bool er_tls_look(er_tls *tls) {
    if (!has_changed(tls)) {
        return false;
    }
    er_tls_material fresh;
    material_init(&fresh, tls->options);
    er_err err;
    if (material_read(&fresh, &err) != ER_OK) {
        material_fini(&fresh);
        keep_old(tls, err.msg);
        return false;
    }
    if (tls->on_trial) {
        material_fini(&tls->now);
    } else {
        tls->before = tls->now;
        tls->on_trial = true;
    }
    tls->now = fresh;
    return true;
}

void er_tls_worked(er_tls *tls) {
    if (tls->on_trial) {
        tls->on_trial = false;
        tls->warned = false;
        material_fini(&tls->before);
    }
}

bool er_tls_failed(er_tls *tls) {
    if (!tls->on_trial) {
        return false;
    }
    file_list files;
    list_files(&tls->now, files);
    for (size_t i = 0; i < FILES; i++) {
        tls->refused[i] = files[i]->stamp;
    }
    material_fini(&tls->now);
    tls->now = tls->before;
    tls->on_trial = false;
    keep_old(tls, "certificate and key cannot be used together");
    return true;
}

/* ---- libcurl's options ---- */

/* libcurl copies nothing: the bytes outlive the exchange, and keys are not spread in memory. */
static void set_blob(CURL *easy, CURLoption option, er_str given_pem, const er_buf *pem) {
    er_str bytes = given_pem.n > 0 ? given_pem : er_buf_str(pem);
    if (bytes.n > 0) {
        char *data = NULL;
        memcpy(&data, &bytes.p, sizeof data); /* curl_blob has no const, but is not written to */
        struct curl_blob blob = {.data = data, .len = bytes.n, .flags = CURL_BLOB_NOCOPY};
        (void)curl_easy_setopt(easy, option, &blob);
    }
}

void er_tls_apply(const er_tls *tls, CURL *easy) {
    const er_http_options *options = tls->options;
    const er_tls_settings none = {0};
    const er_tls_settings *s = options->tls == NULL ? &none : options->tls;
    if (options->ca_pem.n > 0 || tls->now.ca.pem.len > 0) {
        /* Only these are trusted, and not the system's beside them. */
        (void)curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
        set_blob(easy, CURLOPT_CAINFO_BLOB, options->ca_pem, &tls->now.ca.pem);
        (void)curl_easy_setopt(easy, CURLOPT_PROXY_CAPATH, NULL);
        (void)curl_easy_setopt(easy, CURLOPT_PROXY_CAINFO, NULL);
        set_blob(easy, CURLOPT_PROXY_CAINFO_BLOB, options->ca_pem, &tls->now.ca.pem);
    }
    set_blob(easy, CURLOPT_SSLCERT_BLOB, options->cert_pem, &tls->now.cert.pem);
    set_blob(easy, CURLOPT_SSLKEY_BLOB, options->key_pem, &tls->now.key.pem);
    /* A key with a passphrase is an error; without this OpenSSL would ask on the terminal. */
    (void)curl_easy_setopt(easy, CURLOPT_KEYPASSWD, "");
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, s->insecure_skip_verify ? 0L : 1L);
    (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, s->insecure_skip_verify ? 0L : 2L);
    long version = s->min_version == 1 ? CURL_SSLVERSION_TLSv1_3 : CURL_SSLVERSION_TLSv1_2;
    (void)curl_easy_setopt(easy, CURLOPT_SSLVERSION, version);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYPEER, s->insecure_skip_verify ? 0L : 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_SSL_VERIFYHOST, s->insecure_skip_verify ? 0L : 2L);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY_SSLVERSION, version);
}
