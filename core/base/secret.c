#include "base/secret.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

#define LOOK_EVERY_MS 1000

struct er_secret {
    er_secret_kind kind;
    char *text; /* path, variable or literal */
    char *what;
    er_buf value;
    er_file_stamp stamp;
    er_deadline look_next;
    unsigned generation;
    bool warned;
};

static void cut_newline(er_buf *value) {
    if (value->len > 0 && value->p[value->len - 1] == '\n') {
        value->p[--value->len] = '\0';
        if (value->len > 0 && value->p[value->len - 1] == '\r') {
            value->p[--value->len] = '\0';
        }
    }
}

/* Reads the value into out (empty before). */
static er_status read_value(const er_secret *secret, er_buf *out, er_err *err) {
    if (secret->kind == ER_SECRET_FILE) {
        er_status status = er_file_read(secret->text, out, err);
        if (status != ER_OK) {
            return status;
        }
    } else if (secret->kind == ER_SECRET_ENV) {
        const char *value = getenv(secret->text);
        if (value == NULL) {
            return er_err_set(err, ER_E_CONFIG, "environment variable %s is not set", secret->text);
        }
        er_buf_puts(out, value);
    } else {
        er_buf_puts(out, secret->text);
    }
    if (secret->kind != ER_SECRET_LITERAL) {
        cut_newline(out);
    }
    if (er_buf_status(out) != ER_OK) {
        return er_err_set(err, ER_E_LIMIT, "longer than %d bytes", ER_SECRET_MAX);
    }
    if (out->len == 0) {
        return er_err_set(err, ER_E_CONFIG, "%s%s is empty",
                          secret->kind == ER_SECRET_ENV ? "environment variable " : "",
                          secret->kind == ER_SECRET_LITERAL ? "the value" : secret->text);
    }
    return ER_OK;
}

er_status er_secret_new(const er_secret_ref *ref, const char *what, er_secret **out, er_err *err) {
    ER_ASSERT(ref->kind != ER_SECRET_UNSET);
    er_secret *secret = er_xcalloc(1, sizeof *secret);
    secret->kind = ref->kind;
    secret->text = er_dup(ref->text);
    secret->what = er_dup(what);
    secret->generation = 1;
    secret->look_next = er_deadline_in(LOOK_EVERY_MS);
    er_buf_init(&secret->value, ER_SECRET_MAX);
    if (secret->kind == ER_SECRET_FILE) {
        (void)er_file_stamp_get(secret->text, &secret->stamp);
    }
    if (read_value(secret, &secret->value, err) != ER_OK) {
        er_secret_free(secret);
        if (what[0] != '\0') {
            er_err_prefix(err, "%s", what);
        }
        if (err != NULL) {
            err->code = ER_E_CONFIG;
        }
        return ER_E_CONFIG;
    }
    *out = secret;
    return ER_OK;
}

void er_secret_free(er_secret *secret) {
    if (secret == NULL) {
        return;
    }
    er_buf_wipe(&secret->value);
    er_buf_fini(&secret->value);
    explicit_bzero(secret->text, strlen(secret->text)); /* it may be the literal */
    free(secret->text);
    free(secret->what);
    free(secret);
}

static void keep_old(er_secret *secret, const char *why) {
    if (!secret->warned) {
        secret->warned = true;
        ER_LOG(ER_LOG_WARNING, "secret", "cannot read a secret again, the old value is kept",
               ER_LS("setting", secret->what), ER_LS("error", why));
    }
}

static void look_again(er_secret *secret) {
    secret->look_next = er_deadline_in(LOOK_EVERY_MS);
    er_file_stamp stamp;
    if (!er_file_stamp_get(secret->text, &stamp)) {
        keep_old(secret, "the file has gone");
        return;
    }
    if (er_file_stamp_eq(&stamp, &secret->stamp) && !secret->warned) {
        return;
    }
    er_buf fresh;
    er_buf_init(&fresh, ER_SECRET_MAX);
    er_err err;
    if (read_value(secret, &fresh, &err) != ER_OK) {
        er_buf_wipe(&fresh);
        er_buf_fini(&fresh);
        keep_old(secret, err.msg);
        return;
    }
    secret->warned = false;
    secret->stamp = stamp;
    if (!er_str_eq(er_buf_str(&fresh), er_buf_str(&secret->value))) {
        secret->generation++;
    }
    er_buf_wipe(&secret->value);
    er_buf_fini(&secret->value);
    secret->value = fresh;
}

er_str er_secret_get(er_secret *secret) {
    if (secret->kind == ER_SECRET_FILE && er_deadline_passed(secret->look_next)) {
        look_again(secret);
    }
    return er_buf_str(&secret->value);
}

unsigned er_secret_generation(er_secret *secret) {
    return secret->generation;
}

void er_secret_expire(er_secret *secret) {
    secret->look_next = er_deadline_in(0);
}

bool er_secret_renew(er_secret *secret) {
    unsigned before = secret->generation;
    er_secret_expire(secret);
    (void)er_secret_get(secret);
    return secret->generation != before;
}
