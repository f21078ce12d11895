/* Google's access tokens: what a credentials file may say, the requests byte by byte, assertions
 * verified with the public key, hostile answers. */
#include "http/base64.h"
#include "http/google_priv.h"
#include "http/metadata.h"
#include "http/token_fixture.h"
#include "http/token_priv.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <sys/stat.h>

#define FORM "application/x-www-form-urlencoded"

static EVP_PKEY *key;     /* of the service account */
static char *pem_in_json; /* its private key, escaped */
static char subject[128]; /* where a subject token stands */

static int make_key(void **state) {
    (void)state;
    er_json_setup();
    key = EVP_RSA_gen(2048);
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    char *text = NULL;
    long n = BIO_get_mem_data(bio, &text);
    er_buf out;
    er_buf_init(&out, 65536);
    for (long i = 0; i < n; i++) {
        text[i] == '\n' ? er_buf_puts(&out, "\\n") : er_buf_putc(&out, text[i]);
    }
    pem_in_json = er_buf_take(&out, NULL);
    BIO_free(bio);
    return 0;
}

static int free_key(void **state) {
    (void)state;
    EVP_PKEY_free(key);
    free(pem_in_json);
    return 0;
}

static void setup(fixture *f) {
    fixture_init(f, "sinks.log.auth");
    assert_int_equal(setenv("GCE_METADATA_HOST", f->host, 1), 0);
    assert_int_equal(unsetenv("GOOGLE_APPLICATION_CREDENTIALS"), 0);
    (void)snprintf(subject, sizeof subject, "%s/subject", f->dir);
    er_auth_google(&f->settings, "https://scope.example/write");
}

static void teardown(fixture *f) {
    (void)remove(subject);
    fixture_fini(f);
}

/* With this credentials file; %s in it is the base URL. */
static void start_with(fixture *f, const char *credentials) {
    char *text = malloc(16384);
    assert_non_null(text);
    char *to = text;
    for (const char *p = credentials; *p != '\0';) {
        if (strncmp(p, "BASE", 4) == 0) {
            to = stpcpy(to, f->base);
            p += 4;
        } else if (strncmp(p, "SUBJECT", 7) == 0) {
            to = stpcpy(to, subject);
            p += 7;
        } else if (strncmp(p, "PEM", 3) == 0) {
            to = stpcpy(to, pem_in_json);
            p += 3;
        } else {
            *to++ = *p++;
        }
    }
    *to = '\0';
    put_file(f->file, text);
    free(text);
    f->settings.google.credentials_file = f->file;
    start(f);
}

static void expect_error(fixture *f, er_status status, const char *text) {
    char got[512];
    assert_int_equal(apply(f, got), status);
    assert_int_equal(f->err.code, status);
    assert_string_equal(f->err.msg, text);
}

static void expect_line(fixture *f, size_t i, const char *line) {
    assert_memory_equal(f->lb.requests[i], line, strlen(line));
}

#define TOKEN(name_)                                                                               \
    "{\"access_token\":\"" name_ "\",\"expires_in\":3599,\"token_type\":\"Bearer\"}"

/* ---- the metadata server ---- */

static void test_metadata(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    says(&f, "200 OK", TOKEN("t-1"));
    expect_bearer(&f, "Bearer t-1");
    expect_bearer(&f, "Bearer t-1"); /* kept */
    assert_int_equal(loopback_requests(&f.lb), 1);
    expect_line(&f, 0,
                "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n");
    expect_header(&f, 0, "Metadata-Flavor", "Google");
    teardown(&f);
}

/* In the first seconds of a pod it refuses: not now, and never "denied". */
static void test_metadata_is_not_there_yet(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    char text[512];
    static const char *const passing[] = {"503 Service Unavailable", "500 Internal Server Error",
                                          "429 Too Many Requests"};
    for (size_t i = 0; i < 3; i++) {
        says(&f, passing[i], "not yet");
        (void)snprintf(text, sizeof text,
                       "no access token: %.3s from the metadata server %s (sinks.log.auth.google; "
                       "outside of Google Cloud it needs a credentialsFile)",
                       passing[i], f.host);
        expect_error(&f, ER_E_UNAVAILABLE, text);
    }
    loopback_reset(&f.lb, NULL); /* hangs up */
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_UNAVAILABLE);
    says(&f, "200 OK", TOKEN("t-1"));
    expect_bearer(&f, "Bearer t-1");
    teardown(&f);
}

static void test_metadata_without_an_account(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    char text[512];
    says(&f, "404 Not Found", "<html>");
    (void)snprintf(text, sizeof text,
                   "no access token: 404 from the metadata server %s: check that this machine or "
                   "pod has a service account (sinks.log.auth.google; outside of Google Cloud it "
                   "needs a credentialsFile)",
                   f.host);
    expect_error(&f, ER_E_DENIED, text);
    says(&f, "403 Forbidden", "Permission denied");
    (void)snprintf(text, sizeof text,
                   "no access token: 403 from the metadata server %s: this machine or pod may not "
                   "use a service account (sinks.log.auth.google; outside of Google Cloud it needs "
                   "a credentialsFile)",
                   f.host);
    expect_error(&f, ER_E_DENIED, text);
    teardown(&f);
}

/* What no token is. */
static void test_hostile_answers(void **state) {
    (void)state;
    static const char *const bodies[] = {
        "",
        "{}",
        "[]",
        "null",
        "{\"access_token\":7}",
        "{\"access_token\":\"\"}",
        "{\"access_token\":\"a b\"}",
        "{\"access_token\":\"a\\r\\nX-Evil: 1\"}",
        "{\"access_token\":\"t\",\"token_type\":\"MAC\"}",
        "{\"access_token\":\"t\\u0000\"}",
        "{\"access_token\":\"t\"",
    };
    fixture f;
    setup(&f);
    start(&f);
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        says(&f, "200 OK", bodies[i]);
        char got[512];
        assert_int_equal(apply(&f, got), ER_E_DENIED);
    }
    teardown(&f);
}

/* ---- keeping and giving up ---- */

static void test_401_gives_up_a_token_once(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start(&f);
    says(&f, "200 OK", TOKEN("t-1"));
    then(&f, "200 OK", TOKEN("t-2"));
    expect_bearer(&f, "Bearer t-1");
    expect_bearer(&f, "Bearer t-1");
    assert_true(er_auth_refresh(f.auth)); /* it worked before: perhaps it was revoked */
    expect_bearer(&f, "Bearer t-2");
    assert_false(er_auth_refresh(f.auth)); /* refused at its first use: another would be, too */
    assert_int_equal(loopback_requests(&f.lb), 2);
    teardown(&f);
}

static er_status ask_nobody(void *self, er_token *token, er_err *err) {
    (void)token;
    er_status *answer = self;
    return er_err_set(err, *answer, "no");
}

static bool look_at_nothing(void *self) {
    (void)self;
    return false;
}

/* Another one is due, and cannot be had: the old one is used to its end, and not a moment longer.
 */
static void test_the_old_token_bridges_an_outage(void **state) {
    (void)state;
    er_status answer = ER_E_UNAVAILABLE;
    const er_token_source source = {.self = &answer, .ask = ask_nobody, .look = look_at_nothing};
    er_token token;
    er_token_init(&token, INT64_MAX);
    er_str got = {0};
    er_err err = {0};
    /* 1000 s: due for another one after 900 s. */
    assert_int_equal(er_token_set(&token, ER_STR("t"), 1000, er_mono_ms() - 950000, &err), ER_OK);
    assert_true(er_deadline_passed(token.fresh_for));
    assert_int_equal(er_token_get(&token, &source, &got, &err), ER_OK);
    assert_str(got, "t");
    assert_false(er_deadline_passed(token.fresh_for)); /* not asked again for each request */
    assert_int_equal(er_token_set(&token, ER_STR("t"), 1000, er_mono_ms() - 1000001, &err), ER_OK);
    assert_int_equal(er_token_get(&token, &source, &got, &err), ER_E_UNAVAILABLE);
    /* A refusal is believed at once. */
    answer = ER_E_DENIED;
    assert_int_equal(er_token_set(&token, ER_STR("t"), 1000, er_mono_ms() - 950000, &err), ER_OK);
    assert_int_equal(er_token_get(&token, &source, &got, &err), ER_E_DENIED);
    er_token_fini(&token);
}

/* 3 min 45 s before the end of an hour, a tenth before that of a short life. */
static void test_margin(void **state) {
    (void)state;
    er_token token;
    er_token_init(&token, 225000);
    int64_t now = er_mono_ms();
    assert_int_equal(er_token_set(&token, ER_STR("t"), 3600, now, NULL), ER_OK);
    int64_t left = er_deadline_left_ms(token.fresh_for);
    assert_true(left > 3374000 && left <= 3375000);
    assert_int_equal(er_token_set(&token, ER_STR("t"), 5, now, NULL), ER_OK);
    left = er_deadline_left_ms(token.fresh_for);
    assert_true(left > 4000 && left <= 4500);
    er_token_fini(&token);
}

/* ---- a service account's key ---- */

#define SERVICE_ACCOUNT                                                                            \
    "{\"type\":\"service_account\",\"client_email\":\"r@p.iam.gserviceaccount.com\","              \
    "\"private_key_id\":\"k1\",\"private_key\":\"PEM\",\"token_uri\":\"BASE/token\"}"

static void decode(const char *text, size_t n, er_buf *out) {
    er_buf padded;
    er_buf_init(&padded, 65536);
    for (size_t i = 0; i < n; i++) {
        assert_null(memchr("+/=", text[i], 3));
        er_buf_putc(&padded, text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    }
    while (padded.len % 4 != 0) {
        er_buf_putc(&padded, '=');
    }
    assert_true(er_base64_decode(er_buf_str(&padded), out));
    er_buf_fini(&padded);
}

/* Three parts, signed by the key; header and claims are put to out as text. */
static void open_assertion(const char *jwt, er_buf *header, er_buf *claims) {
    const char *dot1 = strchr(jwt, '.');
    const char *dot2 = strchr(dot1 + 1, '.');
    decode(jwt, (size_t)(dot1 - jwt), header);
    decode(dot1 + 1, (size_t)(dot2 - dot1) - 1, claims);
    er_buf signature;
    er_buf_init(&signature, 4096);
    decode(dot2 + 1, strcspn(dot2 + 1, "&"), &signature);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.len,
                                      (const unsigned char *)jwt, (size_t)(dot2 - jwt)),
                     1);
    EVP_MD_CTX_free(ctx);
    er_buf_fini(&signature);
}

static void test_service_account(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start_with(&f, SERVICE_ACCOUNT);
    says(&f, "200 OK", TOKEN("t-1"));
    int64_t before = er_time_now() / 1000000;
    expect_bearer(&f, "Bearer t-1");
    int64_t after = er_time_now() / 1000000;
    expect_line(&f, 0, "POST /token HTTP/1.1\r\n");
    expect_header(&f, 0, "Content-Type", FORM);
    static const char start_of[] =
        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
    const char *body = loopback_body(&f.lb, 0);
    assert_memory_equal(body, start_of, sizeof start_of - 1);
    er_buf header;
    er_buf claims;
    er_buf_init(&header, 4096);
    er_buf_init(&claims, 4096);
    open_assertion(body + sizeof start_of - 1, &header, &claims);
    assert_string_equal(er_buf_cstr(&header), "{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"k1\"}");
    er_json_doc doc;
    er_json_doc_init(&doc);
    assert_int_equal(er_json_parse(&doc, claims.p, claims.len, NULL), ER_OK);
    char aud[128];
    (void)snprintf(aud, sizeof aud, "%s/token", f.base);
    assert_str(er_json_get_str(doc.root, "iss"), "r@p.iam.gserviceaccount.com");
    assert_str(er_json_get_str(doc.root, "scope"), "https://scope.example/write");
    assert_str(er_json_get_str(doc.root, "aud"), aud);
    assert_null(er_json_get(doc.root, "sub"));
    int64_t iat = 0;
    int64_t exp = 0;
    assert_true(er_json_int(er_json_get(doc.root, "iat"), &iat));
    assert_true(er_json_int(er_json_get(doc.root, "exp"), &exp));
    assert_true(iat >= before && iat <= after);
    assert_int_equal(exp, iat + 3600);
    er_json_doc_fini(&doc);
    er_buf_fini(&header);
    er_buf_fini(&claims);
    teardown(&f);
}

/* In another universe the assertion is the token, and nobody is asked. */
static void test_another_universe(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start_with(&f, "{\"type\":\"service_account\",\"client_email\":\"r@p\",\"private_key\":\"PEM\","
                   "\"universe_domain\":\"cloud.example\"}");
    er_http_request req = {0};
    assert_int_equal(er_auth_apply(f.auth, &req, &f.err), ER_OK);
    assert_int_equal(loopback_requests(&f.lb), 0);
    char *value = er_str_dup(req.headers[0].value);
    assert_memory_equal(value, "Bearer ", 7);
    er_buf header;
    er_buf claims;
    er_buf_init(&header, 4096);
    er_buf_init(&claims, 4096);
    open_assertion(value + 7, &header, &claims);
    assert_string_equal(er_buf_cstr(&header), "{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
    static const char begin[] =
        "{\"iss\":\"r@p\",\"sub\":\"r@p\",\"scope\":\"https://scope.example/write\",\"iat\":";
    assert_memory_equal(claims.p, begin, sizeof begin - 1);
    free(value);
    er_buf_fini(&header);
    er_buf_fini(&claims);
    teardown(&f);
}

/* What the endpoint disliked, as what to do about it; its own words are not repeated. */
static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *status, *body, *said;
        er_status result;
    } rows[] = {
        {"400 Bad Request", "{\"error\":\"invalid_grant\",\"error_description\":\"secret\"}",
         "400 invalid_grant from %s: the key or its service account is gone, or this machine's "
         "clock is wrong",
         ER_E_DENIED},
        {"400 Bad Request", "{\"error\":\"invalid_scope\"}",
         "400 invalid_scope from %s: check scopes", ER_E_DENIED},
        {"401 Unauthorized", "{\"error\":\"invalid_client\"}",
         "401 invalid_client from %s: the service account does not exist", ER_E_DENIED},
        {"400 Bad Request", "{\"error\":\"secret\"}", "400 from %s: check the credentials file",
         ER_E_DENIED},
        {"404 Not Found", "<html>", "404 from %s: check token_uri in the credentials file",
         ER_E_DENIED},
        {"302 Found", "",
         "302 from %s: redirects are not followed; set token_uri in the credentials file to the "
         "final address",
         ER_E_DENIED},
        {"400 Bad Request", "{\"error\":\"internal_failure\"}", "400 from %s", ER_E_UNAVAILABLE},
        {"400 Bad Request", "{\"error\":\"server_error\"}", "400 from %s", ER_E_UNAVAILABLE},
        {"503 Service Unavailable", "", "503 from %s", ER_E_UNAVAILABLE},
        {"429 Too Many Requests", "", "429 from %s", ER_E_UNAVAILABLE},
    };
    fixture f;
    setup(&f);
    start_with(&f, SERVICE_ACCOUNT);
    char where[128];
    (void)snprintf(where, sizeof where, "%s/token", f.base);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        says(&f, rows[i].status, rows[i].body);
        const char *at = strstr(rows[i].said, "%s");
        char want[1024];
        (void)snprintf(want, sizeof want, "no access token: %.*s%s%s (sinks.log.auth.google)",
                       (int)(at - rows[i].said), rows[i].said, where, at + 2);
        expect_error(&f, rows[i].result, want);
    }
    teardown(&f);
}

/* A file that was replaced is read again; one that cannot be understood denies, and says so. */
static void test_a_rotated_file(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    start_with(&f, SERVICE_ACCOUNT);
    says(&f, "400 Bad Request", "{\"error\":\"invalid_grant\"}");
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_DENIED);
    put_file(f.file, "{\"type\":\"service_account\"}");
    char text[512];
    (void)snprintf(text, sizeof text,
                   "sinks.log.auth.google: the credentials file %s cannot be used: it has no "
                   "client_email",
                   f.file);
    /* The look comes after the refusal of what was read before, at most a second old. */
    assert_int_equal(apply(&f, got), ER_E_DENIED);
    expect_error(&f, ER_E_DENIED, text);
    char user[512];
    (void)snprintf(user, sizeof user,
                   "{\"type\":\"authorized_user\",\"client_id\":\"i d\",\"client_secret\":\"s&s\","
                   "\"refresh_token\":\"r\",\"token_uri\":\"%s/o\"}",
                   f.base);
    put_file(f.file, user);
    says(&f, "200 OK", TOKEN("t-2"));
    expect_bearer(&f, "Bearer t-2");
    expect_line(&f, 0, "POST /o HTTP/1.1\r\n");
    assert_string_equal(
        loopback_body(&f.lb, 0),
        "grant_type=refresh_token&client_id=i%20d&client_secret=s%26s&refresh_token=r");
    teardown(&f);
}

/* ---- workload identity federation ---- */

#define EXTERNAL(more_)                                                                            \
    "{\"type\":\"external_account\",\"audience\":\"//iam.googleapis.com/pool\","                   \
    "\"subject_token_type\":\"urn:ietf:params:oauth:token-type:jwt\","                             \
    "\"token_url\":\"BASE/v1/token\",\"credential_source\":{\"file\":\"SUBJECT\"" more_ "}"

#define EXCHANGE(scope_, subject_)                                                                 \
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"                         \
    "&audience=%2F%2Fiam.googleapis.com%2Fpool&scope=" scope_                                      \
    "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aaccess_token"                \
    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token=" subject_

static void test_external_account(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    put_file(subject, "outside-1\n");
    start_with(&f, EXTERNAL("}"));
    says(&f, "200 OK", TOKEN("t-1"));
    then(&f, "200 OK", TOKEN("t-2"));
    expect_bearer(&f, "Bearer t-1");
    expect_line(&f, 0, "POST /v1/token HTTP/1.1\r\n");
    expect_header(&f, 0, "Content-Type", FORM);
    assert_string_equal(loopback_body(&f.lb, 0),
                        EXCHANGE("https%3A%2F%2Fscope.example%2Fwrite", "outside-1"));
    /* The kubelet replaces projected tokens: read anew each time. */
    put_file(subject, "outside-2");
    expect_bearer(&f, "Bearer t-1");
    assert_true(er_auth_refresh(f.auth));
    expect_bearer(&f, "Bearer t-2");
    assert_string_equal(loopback_body(&f.lb, 1),
                        EXCHANGE("https%3A%2F%2Fscope.example%2Fwrite", "outside-2"));
    teardown(&f);
}

static void test_external_account_in_json(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    put_file(subject, "{\"id_token\":\"a+b\"}");
    start_with(&f, EXTERNAL(",\"format\":{\"type\":\"json\",\"subject_token_field_name\":"
                            "\"id_token\"}}"));
    says(&f, "200 OK", TOKEN("t-1"));
    expect_bearer(&f, "Bearer t-1");
    assert_string_equal(loopback_body(&f.lb, 0),
                        EXCHANGE("https%3A%2F%2Fscope.example%2Fwrite", "a%2Bb"));
    put_file(subject, "{\"other\":\"a\"}");
    expect_bearer(&f, "Bearer t-1");
    assert_true(er_auth_refresh(f.auth));
    char text[512];
    (void)snprintf(text, sizeof text, "no access token (sinks.log.auth.google): %s holds no token",
                   subject);
    expect_error(&f, ER_E_DENIED, text);
    assert_int_equal(remove(subject), 0); /* perhaps it is just being replaced */
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_UNAVAILABLE);
    assert_int_equal(f.err.code, ER_E_UNAVAILABLE);
    teardown(&f);
}

static void test_impersonation(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    put_file(subject, "outside-1");
    start_with(&f, EXTERNAL("},\"service_account_impersonation_url\":"
                            "\"BASE/v1/projects/-/serviceAccounts/r@p:generateAccessToken\","
                            "\"service_account_impersonation\":{\"token_lifetime_seconds\":1800}"));
    says(&f, "200 OK", TOKEN("outer"));
    then(&f, "200 OK", "{\"accessToken\":\"inner\",\"expireTime\":\"2999-01-01T00:00:00Z\"}");
    expect_bearer(&f, "Bearer inner");
    assert_int_equal(loopback_requests(&f.lb), 2);
    assert_string_equal(
        loopback_body(&f.lb, 0),
        EXCHANGE("https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform", "outside-1"));
    expect_line(&f, 1, "POST /v1/projects/-/serviceAccounts/r@p:generateAccessToken HTTP/1.1\r\n");
    expect_header(&f, 1, "Authorization", "Bearer outer");
    expect_header(&f, 1, "Content-Type", "application/json");
    assert_string_equal(loopback_body(&f.lb, 1),
                        "{\"scope\":[\"https://scope.example/write\"],\"lifetime\":\"1800s\"}");
    expect_bearer(&f, "Bearer inner"); /* kept */
    assert_true(er_auth_refresh(f.auth));
    says(&f, "200 OK", TOKEN("outer"));
    then(&f, "403 Forbidden", "{\"error\":{\"code\":403,\"message\":\"secret\"}}");
    char text[512];
    (void)snprintf(text, sizeof text,
                   "no access token: 403 from "
                   "%s/v1/projects/-/serviceAccounts/r@p:generateAccessToken: the outside identity "
                   "needs roles/iam.workloadIdentityUser on the service account "
                   "(sinks.log.auth.google)",
                   f.base);
    expect_error(&f, ER_E_DENIED, text);
    says(&f, "200 OK", TOKEN("outer"));
    then(&f, "200 OK", "{\"accessToken\":\"inner\",\"expireTime\":\"soon\"}");
    char got[512];
    assert_int_equal(apply(&f, got), ER_E_DENIED);
    teardown(&f);
}

/* ---- files that cannot be used ---- */

static void test_bad_files(void **state) {
    (void)state;
    static const struct {
        const char *text, *why;
    } rows[] = {
        {"no JSON", "it is not a JSON object"},
        {"[]", "it is not a JSON object"},
        {"{}", "its type is not one of service_account, external_account and authorized_user"},
        {"{\"type\":\"impersonated_service_account\"}",
         "its type is not one of service_account, external_account and authorized_user"},
        {"{\"type\":\"service_account\"}", "it has no client_email"},
        {"{\"type\":\"service_account\",\"client_email\":\"a\"}", "it has no private_key"},
        {"{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key\":\"x\"}",
         "its private_key is not a private key in PEM form"},
        {"{\"type\":\"service_account\",\"client_email\":\"a\",\"token_uri\":\"ftp://x\"}",
         "its token_uri is not a URL"},
        {"{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key\":"
         "\"-----BEGIN PRIVATE "
         "KEY-----\\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rA"
         "Mcrn9g\\n-----END PRIVATE KEY-----\\n\"}",
         "its private_key is not an RSA key"},
        {"{\"type\":\"authorized_user\",\"client_id\":\"a\"}", "it has no client_secret"},
        {"{\"type\":\"external_account\",\"audience\":\"a\"}", "it has no subject_token_type"},
        {EXTERNAL(",\"format\":{\"type\":\"xml\"}}"),
         "its credential_source.format.type is neither text nor json"},
        {EXTERNAL(",\"format\":{\"type\":\"json\"}}"), "it has no subject_token_field_name"},
        {EXTERNAL(",\"environment_id\":\"aws1\"}"),
         "its credential_source is AWS, which is not supported; only a file is"},
        {EXTERNAL(",\"executable\":{}}"),
         "its credential_source is an executable, which is not supported; only a file is"},
        {EXTERNAL(",\"certificate\":{}}"),
         "its credential_source is an X.509 certificate, which is not supported; only a file is"},
        {EXTERNAL(",\"url\":\"http://x\"}"),
         "its credential_source is a URL, which is not supported; only a file is"},
        {EXTERNAL("},\"service_account_impersonation\":{\"token_lifetime_seconds\":5}"),
         "its token_lifetime_seconds is not 600 to 43200"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* BASE is no URL: these are about what comes before, or behind. */
        char *text = er_dup(rows[i].text);
        char *base = strstr(text, "BASE");
        if (base != NULL) {
            memcpy(base, "http", 4);
            base[4] = ':';
            memcpy(base + 5, "//x/aaa", 7);
        }
        er_google_credentials got;
        er_err err = {0};
        er_status status = er_google_credentials_read(er_str_of(text), &got, &err);
        if (status != ER_E_CONFIG || strcmp(err.msg, rows[i].why) != 0) {
            fail_msg("%s: %s", rows[i].text, err.msg);
        }
        free(text);
    }
}

/* The variable names the file when the setting does not; what is missing is found at the start. */
static void test_the_variable(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    assert_int_equal(setenv("GOOGLE_APPLICATION_CREDENTIALS", f.file, 1), 0);
    assert_int_equal(try_start(&f), ER_E_CONFIG);
    assert_non_null(strstr(f.err.msg, "GOOGLE_APPLICATION_CREDENTIALS"));
    assert_non_null(strstr(f.err.msg, f.file));
    put_file(f.file, "{}");
    assert_int_equal(try_start(&f), ER_E_CONFIG);
    char text[512];
    (void)snprintf(text, sizeof text,
                   "sinks.log.auth.google: the credentials file %s cannot be used: its type is not "
                   "one of service_account, external_account and authorized_user",
                   f.file);
    assert_string_equal(f.err.msg, text);
    assert_int_equal(unsetenv("GOOGLE_APPLICATION_CREDENTIALS"), 0);
    teardown(&f);
}

/* ---- the metadata server's values ---- */

static er_status look_up(fixture *f, const char *status, const char *body, char out[256]) {
    er_http_options options = {.cancel = &f->cancel, .connect_timeout_ms = 5000};
    er_http_client *client = NULL;
    assert_int_equal(er_http_client_new(&options, &client, NULL), ER_OK);
    says(f, status, body);
    er_buf text;
    er_buf_init(&text, ER_METADATA_TEXT_MAX);
    f->err = (er_err){0};
    er_status result = er_metadata_get(client, "project/project-id", 5000, &text, &f->err);
    (void)snprintf(out, 256, "%s", er_buf_cstr(&text));
    er_buf_fini(&text);
    er_http_client_free(client);
    return result;
}

static void test_metadata_values(void **state) {
    (void)state;
    fixture f;
    setup(&f);
    char got[256];
    assert_int_equal(look_up(&f, "200 OK", " p-1\n", got), ER_OK);
    assert_string_equal(got, "p-1");
    expect_line(&f, 0, "GET /computeMetadata/v1/project/project-id HTTP/1.1\r\n");
    expect_header(&f, 0, "Metadata-Flavor", "Google");
    assert_int_equal(look_up(&f, "200 OK", "", got), ER_E_INVAL);
    assert_int_equal(look_up(&f, "200 OK", "a\x01z", got), ER_E_INVAL);
    assert_int_equal(look_up(&f, "200 OK", "a\xff", got), ER_E_INVAL);
    assert_int_equal(look_up(&f, "404 Not Found", "x", got), ER_E_INVAL);
    assert_int_equal(look_up(&f, "403 Forbidden", "x", got), ER_E_DENIED);
    assert_int_equal(look_up(&f, "302 Found", "x", got), ER_E_DENIED);
    assert_int_equal(look_up(&f, "429 Too Many Requests", "x", got), ER_E_UNAVAILABLE);
    assert_int_equal(look_up(&f, "503 Service Unavailable", "x", got), ER_E_UNAVAILABLE);
    assert_string_equal(got, "");
    char text[256];
    (void)snprintf(text, sizeof text, "503 from the metadata server %s for project/project-id",
                   f.host);
    assert_string_equal(f.err.msg, text);
    char *endless = malloc(5000);
    assert_non_null(endless);
    memset(endless, 'x', 4999);
    endless[4999] = '\0';
    assert_int_equal(look_up(&f, "200 OK", endless, got), ER_E_DENIED);
    free(endless);
    teardown(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_metadata_is_not_there_yet),
        cmocka_unit_test(test_metadata_without_an_account),
        cmocka_unit_test(test_hostile_answers),
        cmocka_unit_test(test_401_gives_up_a_token_once),
        cmocka_unit_test(test_the_old_token_bridges_an_outage),
        cmocka_unit_test(test_margin),
        cmocka_unit_test(test_service_account),
        cmocka_unit_test(test_another_universe),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_a_rotated_file),
        cmocka_unit_test(test_external_account),
        cmocka_unit_test(test_external_account_in_json),
        cmocka_unit_test(test_impersonation),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_the_variable),
        cmocka_unit_test(test_metadata_values),
    };
    return cmocka_run_group_tests(tests, make_key, free_key);
}
