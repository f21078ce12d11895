/* http: a credentials file gives credentials that can be used, or an error that says what is wrong
 * and repeats nothing; an answer to a request for a token gives a token that fits into a header, or
 * an error that repeats nothing but known words.
 *
 * Input: "c" and a credentials file; or "t" (RFC 6749) or "i" (generateAccessToken), a line with a
 * status, and the body of an answer. */
#include "fuzz.h"

#include "http/google_priv.h"
#include "http/token_priv.h"

#define SCOPE ER_STR("https://scope.example/write")

/* ---- credentials ---- */

static void check_url(const char *url) {
    FUZZ_CHECK(strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0);
    FUZZ_CHECK(strpbrk(url, " \t\r\n") == NULL);
}

static void check_credentials(const er_google_credentials *c) {
    FUZZ_CHECK(c->kind != ER_GOOGLE_METADATA);
    check_url(c->token_url);
    switch (c->kind) {
    case ER_GOOGLE_SERVICE_ACCOUNT:
        FUZZ_CHECK(c->client_email[0] != '\0' && c->key != NULL);
        break;
    case ER_GOOGLE_EXTERNAL_ACCOUNT:
        FUZZ_CHECK(c->audience[0] != '\0' && c->subject_token_type[0] != '\0');
        FUZZ_CHECK(c->subject_file[0] != '\0' && c->lifetime_s >= 600 && c->lifetime_s <= 43200);
        if (c->impersonation_url[0] != '\0') {
            check_url(c->impersonation_url);
        }
        break;
    case ER_GOOGLE_AUTHORIZED_USER:
        FUZZ_CHECK(c->client_id[0] != '\0' && c->client_secret[0] != '\0');
        FUZZ_CHECK(c->refresh_token[0] != '\0');
        break;
    case ER_GOOGLE_METADATA:
        break;
    }
}

/* Three parts of base64url, or an error. */
static void check_assertion(const er_google_credentials *c) {
    er_buf jwt;
    er_err err = {0};
    er_buf_init(&jwt, (size_t)1 << 20);
    if (er_google_assertion(c, SCOPE, er_str_of(c->token_url), 1767323045, &jwt, &err) == ER_OK) {
        size_t dots = 0;
        for (size_t i = 0; i < jwt.len; i++) {
            char one = jwt.p[i];
            dots += one == '.';
            bool is_word = (one >= 'a' && one <= 'z') || (one >= 'A' && one <= 'Z') ||
                           (one >= '0' && one <= '9') || one == '-' || one == '_' || one == '.';
            FUZZ_CHECK(is_word);
        }
        FUZZ_CHECK(dots == 2);
    } else {
        FUZZ_CHECK(err.code == ER_E_DENIED);
    }
    er_buf_fini(&jwt);
}

static void read_credentials(er_str text) {
    er_google_credentials c;
    er_err err = {0};
    if (er_google_credentials_read(text, &c, &err) == ER_OK) {
        check_credentials(&c);
        if (c.key != NULL) {
            check_assertion(&c);
        }
        er_google_credentials_fini(&c);
        return;
    }
    FUZZ_CHECK(err.code == ER_E_CONFIG && err.msg[0] != '\0' && c.key == NULL);
    fuzz_check_printable(er_str_of(err.msg));
    /* One of our own sentences: each begins so. */
    FUZZ_CHECK(strncmp(err.msg, "it ", 3) == 0 || strncmp(err.msg, "its ", 4) == 0);
}

/* ---- answers ---- */

static const er_token_advice advice[] = {{"invalid_grant", "advice"}, {NULL, NULL}};

static void read_answer(fuzz_input in, bool is_impersonation) {
    uint64_t status = 200;
    er_str line = fuzz_line(&in);
    (void)er_parse_u64(line, &status);
    const er_token_endpoint endpoint = {.what = "what",
                                        .where = "where",
                                        .advice = advice,
                                        .refused = "refused",
                                        .url_at = "here",
                                        .read =
                                            is_impersonation ? er_google_read_impersonated : NULL};
    er_http_response res;
    er_http_response_init(&res);
    res.status = 100 + (long)(status % 500);
    er_buf_put(&res.body, in.p, in.n < res.body.max ? in.n : res.body.max);
    er_token token;
    er_token_init(&token, 225000);
    er_err err = {0};
    er_status got = er_token_judge(&token, &endpoint, &res, er_mono_ms(), &err);
    if (got == ER_OK) {
        FUZZ_CHECK(res.status >= 200 && res.status < 300 && token.text.len > 0);
        for (size_t i = 0; i < token.text.len; i++) {
            FUZZ_CHECK(token.text.p[i] > ' ' && token.text.p[i] < 0x7f);
        }
        int64_t left = er_deadline_left_ms(token.good_for);
        FUZZ_CHECK(left <= 86400000 && er_deadline_left_ms(token.fresh_for) <= left);
    } else {
        FUZZ_CHECK(got == err.code && (got == ER_E_DENIED || got == ER_E_UNAVAILABLE));
        FUZZ_CHECK(token.text.len == 0);
        fuzz_check_printable(er_str_of(err.msg));
        FUZZ_CHECK(strlen(err.msg) < 200);
    }
    er_token_fini(&token);
    er_http_response_fini(&res);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    unsigned kind = fuzz_byte(&in);
    if (kind == 't' || kind == 'i') {
        read_answer(in, kind == 'i');
    } else {
        read_credentials((er_str){in.p, in.n});
    }
    return 0;
}
