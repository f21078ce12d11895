#include "http/token_priv.h"

#include <stdio.h>

#define LIFE_UNKNOWN_S 300 /* no expires_in: the resource's 401 tells when it is over */
#define LIFE_MIN_S     1
#define LIFE_MAX_S     86400
#define AGAIN_MS       5000 /* between attempts while the old token still holds */

void er_token_init(er_token *token, int64_t margin_max_ms) {
    *token = (er_token){.margin_max_ms = margin_max_ms};
    er_buf_init(&token->text, ER_TOKEN_MAX);
}

void er_token_forget(er_token *token) {
    er_buf_wipe(&token->text);
    token->uses = 0;
}

void er_token_fini(er_token *token) {
    er_token_forget(token);
    er_buf_fini(&token->text);
}

/* ---- using one ---- */

static er_status renew(er_token *token, const er_token_source *source, er_err *err) {
    er_status status = source->ask(source->self, token, err);
    if (status == ER_E_DENIED && source->look(source->self)) {
        status = source->ask(source->self, token, err);
    }
    bool is_old_good = token->text.len > 0 && !er_deadline_passed(token->good_for);
    if (status == ER_E_UNAVAILABLE && is_old_good) {
        token->fresh_for = er_deadline_min(token->good_for, er_deadline_in(AGAIN_MS));
        return ER_OK;
    }
    if (status != ER_OK) {
        er_token_forget(token);
    }
    return status;
}

er_status er_token_get(er_token *token, const er_token_source *source, er_str *out, er_err *err) {
    if (token->text.len == 0 || er_deadline_passed(token->fresh_for)) {
        er_status status = renew(token, source, err);
        if (status != ER_OK) {
            return status;
        }
    }
    token->uses++;
    *out = er_buf_str(&token->text);
    return ER_OK;
}

bool er_token_refresh(er_token *token, const er_token_source *source) {
    bool is_new = source->look(source->self);
    if (!is_new && token->uses < 2) {
        return false;
    }
    er_token_forget(token);
    return true;
}

/* ---- the answer ---- */

static er_status denied(const er_token_endpoint *e, const er_http_response *res, const char *error,
                        const char *advice, er_err *err) {
    return er_err_set(err, ER_E_DENIED, "no access token: %ld%s%s from %s: %s (%s)", res->status,
                      error[0] == '\0' ? "" : " ", error, e->where, advice, e->what);
}

/* The advice names what holds the URL. */
static er_status misled(const er_token_endpoint *e, const er_http_response *res, const char *before,
                        const char *after, er_err *err) {
    char advice[256];
    (void)snprintf(advice, sizeof advice, "%s%s%s", before, e->url_at, after);
    return denied(e, res, "", advice, err);
}

static er_status unavailable(const er_token_endpoint *e, const er_http_response *res, er_err *err) {
    er_status status = er_err_set(err, ER_E_UNAVAILABLE, "no access token: %ld from %s (%s)",
                                  res->status, e->where, e->what);
    if (err != NULL && res->retry_after_ms > 0) {
        err->retry_after_ms = res->retry_after_ms;
    }
    return status;
}

/* RFC 6749 appendix A.12: visible ASCII. A blank would end it in the header. */
static bool is_token(er_str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) {
            return false;
        }
    }
    return s.n > 0 && s.n <= ER_TOKEN_MAX;
}

/* A number; some endpoints send it as a text. */
static int64_t life_of(const er_json *node) {
    int64_t n = LIFE_UNKNOWN_S;
    uint64_t of_text = 0;
    if (er_parse_u64(er_json_str(node), &of_text)) {
        return of_text > LIFE_MAX_S ? LIFE_MAX_S : (int64_t)of_text;
    }
    (void)er_json_int(node, &n);
    return n;
}

er_status er_token_set(er_token *token, er_str text, int64_t life_s, int64_t asked_ms,
                       er_err *err) {
    life_s = life_s < LIFE_MIN_S ? LIFE_MIN_S : life_s > LIFE_MAX_S ? LIFE_MAX_S : life_s;
    int64_t left_ms = life_s * 1000 - (er_mono_ms() - asked_ms);
    int64_t margin_ms = life_s * 100 < token->margin_max_ms ? life_s * 100 : token->margin_max_ms;
    er_token_forget(token);
    er_buf_put_str(&token->text, text);
    token->good_for = er_deadline_in(left_ms);
    token->fresh_for = er_deadline_in(left_ms - margin_ms);
    return er_buf_status(&token->text) == ER_OK
               ? ER_OK
               : er_err_set(err, ER_E_UNAVAILABLE, "no access token: out of memory");
}

static er_status take_token(er_token *token, const er_token_endpoint *e,
                            const er_http_response *res, const er_json *root, int64_t asked_ms,
                            er_err *err) {
    er_str text = er_json_get_str(root, "access_token");
    er_str type = er_json_get_str(root, "token_type");
    int64_t life_s = life_of(er_json_get(root, "expires_in"));
    bool is_found = er_json_is_object(root);
    if (e->read != NULL) {
        type = (er_str){0};
        is_found = is_found && e->read(root, &text, &life_s);
    }
    if (!is_found || !is_token(text)) {
        return misled(e, res, "the answer holds no access_token that can be used; check ", "", err);
    }
    if (type.n > 0 && !er_str_ieqc(type, "Bearer")) {
        return denied(e, res, "", "it gives tokens that are not of type Bearer", err);
    }
    return er_token_set(token, text, life_s, asked_ms, err);
}

static er_status refused(const er_token_endpoint *e, const er_http_response *res,
                         const er_json *root, er_err *err) {
    /* Of some endpoints, with whatever status: not now. */
    static const char *const passing[] = {"internal_failure", "server_error",
                                          "temporarily_unavailable"};
    er_str error = er_json_get_str(root, "error");
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        if (er_str_eqc(error, passing[i])) {
            return unavailable(e, res, err);
        }
    }
    for (const er_token_advice *a = e->advice; a->error != NULL; a++) {
        if (er_str_eqc(error, a->error)) {
            return denied(e, res, a->error, a->advice, err);
        }
    }
    if (res->status >= 300 && res->status < 400) {
        return misled(e, res, "redirects are not followed; set ", " to the final address", err);
    }
    bool is_about_us = res->status == 400 || res->status == 401 || res->status == 403;
    return is_about_us ? denied(e, res, "", e->refused, err) : misled(e, res, "check ", "", err);
}

static bool is_passing(long status) {
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

er_status er_token_judge(er_token *token, const er_token_endpoint *e, er_http_response *res,
                         int64_t asked_ms, er_err *err) {
    if (is_passing(res->status)) {
        return unavailable(e, res, err);
    }
    er_json_doc doc;
    er_json_doc_init(&doc);
    bool is_json =
        res->body.len > 0 && er_json_parse(&doc, res->body.p, res->body.len, NULL) == ER_OK;
    const er_json *root = is_json ? doc.root : NULL;
    er_status status = res->status >= 200 && res->status < 300
                           ? take_token(token, e, res, root, asked_ms, err)
                           : refused(e, res, root, err);
    er_json_doc_fini(&doc);
    return status;
}

/* No answer came. */
static er_status no_answer(const er_token_endpoint *e, er_status status, er_err *err) {
    if (status == ER_E_CANCELLED) {
        return status;
    }
    er_status state = status == ER_E_INVAL ? ER_E_DENIED : ER_E_UNAVAILABLE;
    er_err_prefix(err, "no access token (%s)", e->what);
    if (err != NULL) {
        err->code = state;
    }
    return state;
}

er_status er_token_exchange(er_token *token, er_http_client *client, const er_http_request *req,
                            const er_token_endpoint *endpoint, er_err *err) {
    er_http_response res;
    er_http_response_init(&res);
    int64_t asked_ms = er_mono_ms();
    er_status status = er_http_do(client, req, &res, err);
    status = status == ER_OK ? er_token_judge(token, endpoint, &res, asked_ms, err)
                             : no_answer(endpoint, status, err);
    er_buf_wipe(&res.body);
    er_http_response_fini(&res);
    return status;
}

void er_token_param(er_buf *form, const char *name, er_str value) {
    er_buf_puts(form, form->len > 0 ? "&" : "");
    er_buf_puts(form, name);
    er_buf_putc(form, '=');
    er_url_escape(value, form);
}
