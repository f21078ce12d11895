#include "kube/token.h"

#include "base/file.h"
#include "base/log.h"
#include "base/secret.h"

void er_kube_token_init(er_kube_token *token, const char *file, const char *text) {
    *token = (er_kube_token){.file = file, .age_ms = ER_KUBE_TOKEN_AGE_MS};
    er_buf_init(&token->value, ER_SECRET_MAX);
    if (text != NULL) {
        er_buf_put_str(&token->value, er_str_trim(er_str_of(text)));
    }
    token->fresh_until = er_deadline_in(0);
}

void er_kube_token_fini(er_kube_token *token) {
    er_buf_wipe(&token->value);
    er_buf_fini(&token->value);
}

static void keep_old(er_kube_token *token, const char *why) {
    if (!token->warned) {
        token->warned = true;
        ER_LOG(ER_LOG_WARNING, "kube", "cannot read the token again, the old one is kept",
               ER_LS("error", why));
    }
}

static er_status read_again(er_kube_token *token, er_err *err) {
    er_buf fresh;
    er_buf_init(&fresh, ER_SECRET_MAX);
    er_status status = er_file_read(token->file, &fresh, err);
    er_str trimmed = er_str_trim(er_buf_str(&fresh));
    if (status == ER_OK && trimmed.n == 0) {
        status = er_err_set(err, ER_E_IO, "%s is empty", token->file);
    }
    if (status == ER_OK) {
        er_buf_wipe(&token->value);
        er_buf_put_str(&token->value, trimmed);
        token->fresh_until = er_deadline_in(token->age_ms);
        token->warned = false;
    }
    er_buf_wipe(&fresh);
    er_buf_fini(&fresh);
    return status;
}

er_status er_kube_token_get(er_kube_token *token, er_str *out, er_err *err) {
    if (token->file != NULL && er_deadline_passed(token->fresh_until)) {
        er_err why;
        if (read_again(token, &why) != ER_OK) {
            if (token->value.len == 0) {
                return er_err_set(err, ER_E_UNAVAILABLE, "no token yet: %s", why.msg);
            }
            keep_old(token, why.msg);
        }
    }
    *out = er_buf_str(&token->value);
    return ER_OK;
}

void er_kube_token_expire(er_kube_token *token) {
    token->fresh_until = er_deadline_in(0);
}
