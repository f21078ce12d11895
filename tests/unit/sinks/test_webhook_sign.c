/* Signatures, against the examples of those who defined them, and rotated keys. */
#include "sinks/webhook_sign.h"
#include "unit.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Source: the Svix and Standard Webhooks documentation. */
#define KEY       "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID        "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define SECONDS   "1614265330"
#define NOW       (1614265330 * INT64_C(1000000) + 999999)
#define PAYLOAD   "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
/* HMAC-SHA256 of ID.SECONDS.PAYLOAD under the 24 bytes 'k', by another program. */
#define OTHER_KEY       "whsec_a2tra2tra2tra2tra2tra2tra2tra2tr"
#define OTHER_SIGNATURE "v1,DE9cPtwFiYaqgKF1H8bmup+RWmkVm303m9TTAvSf+zk="

typedef struct keys {
    er_secret_ref refs[ER_SIGN_KEYS_MAX];
    er_sign_settings settings;
} keys;

static void keys_init(keys *k, er_sign_type type, const char *const *texts) {
    *k = (keys){.settings = {.type = type}};
    size_t n = 0;
    for (; texts[n] != NULL; n++) {
        k->refs[n] = (er_secret_ref){.kind = ER_SECRET_LITERAL, .text = er_dup(texts[n])};
    }
    k->settings.keys = (er_cfg_list){.v = k->refs, .n = n, .elem_size = sizeof k->refs[0]};
}

static void keys_fini(keys *k) {
    for (size_t i = 0; i < k->settings.keys.n; i++) {
        free(k->refs[i].text);
    }
}

static er_signer *signer_of(const keys *k) {
    er_signer *signer = NULL;
    er_err err = {0};
    if (er_signer_new(&k->settings, "sinks.hook.sign", &signer, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
    return signer;
}

static void expect_header(const er_http_request *req, size_t i, const char *name,
                          const char *value) {
    assert_string_equal(req->headers[i].name, name);
    assert_int_equal(req->headers[i].value.n, strlen(value));
    assert_memory_equal(req->headers[i].value.p, value, strlen(value));
}

static void apply(er_signer *signer, const char *payload, er_http_request *req) {
    *req = (er_http_request){0};
    er_err err = {0};
    if (er_signer_apply(signer, er_str_of(ID), er_str_of(payload), NOW, req, &err) != ER_OK) {
        fail_msg("%s", err.msg);
    }
}

static void test_standard_webhooks(void **state) {
    (void)state;
    keys k;
    keys_init(&k, ER_SIGN_STANDARD, (const char *[]){KEY, NULL});
    er_signer *signer = signer_of(&k);
    er_http_request req;
    apply(signer, PAYLOAD, &req);
    assert_int_equal(req.headers_n, 2);
    expect_header(&req, 0, "webhook-timestamp", SECONDS);
    expect_header(&req, 1, "webhook-signature", SIGNATURE);
    apply(signer, "{\"test\": 2432232315}", &req);
    assert_memory_not_equal(req.headers[1].value.p, SIGNATURE, strlen(SIGNATURE));
    er_signer_free(signer);
    keys_fini(&k);
}

static void test_all_keys_sign_in_their_order(void **state) {
    (void)state;
    keys k;
    keys_init(&k, ER_SIGN_STANDARD, (const char *[]){OTHER_KEY, KEY, NULL});
    er_signer *signer = signer_of(&k);
    er_http_request req;
    apply(signer, PAYLOAD, &req);
    expect_header(&req, 1, "webhook-signature", OTHER_SIGNATURE " " SIGNATURE);
    er_signer_free(signer);
    keys_fini(&k);
}

/* Source: docs.github.com, "Validating webhook deliveries", the values to test with. */
static void test_github(void **state) {
    (void)state;
    keys k;
    keys_init(&k, ER_SIGN_GITHUB, (const char *[]){"It's a Secret to Everybody", NULL});
    er_signer *signer = signer_of(&k);
    er_http_request req;
    apply(signer, "Hello, World!", &req);
    assert_int_equal(req.headers_n, 1);
    expect_header(&req, 0, "X-Hub-Signature-256",
                  "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    er_signer_free(signer);
    keys_fini(&k);
}

static void expect_no_key(const char *text) {
    keys k;
    keys_init(&k, ER_SIGN_STANDARD, (const char *[]){KEY, text, NULL});
    er_signer *signer = NULL;
    er_err err = {0};
    assert_int_equal(er_signer_new(&k.settings, "sinks.hook.sign", &signer, &err), ER_E_CONFIG);
    assert_int_equal(err.code, ER_E_CONFIG);
    assert_string_equal(err.msg, "sinks.hook.sign.keys[1] is not a key of Standard Webhooks: "
                                 "whsec_ and the Base64 of 24 to 64 bytes");
    assert_null(signer);
    keys_fini(&k);
}

static void test_what_is_no_key_of_standard_webhooks(void **state) {
    (void)state;
    expect_no_key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");         /* no prefix */
    expect_no_key("whsec_");                                   /* nothing */
    expect_no_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS");    /* cut */
    expect_no_key("whsec_a2tra2tra2tra2tra2tra2tra2tra2s=");   /* 23 bytes */
    expect_no_key("whsec_a2tra2tra2tra2tra2tra2tra2tra2tr a"); /* not Base64 */
    char long_key[6 + 92 + 1] = "whsec_";                      /* 67 bytes */
    memset(long_key + 6, 'a', 92);
    expect_no_key(long_key);
}

static void write_key(const char *path, const char *text) {
    char fresh[128];
    (void)snprintf(fresh, sizeof fresh, "%s.new", path);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

/* Refresh looks at once; without it a file is looked at once a second. */
static void test_a_rotated_file(void **state) {
    (void)state;
    char dir[] = "/tmp/er-sign-XXXXXX";
    assert_non_null(mkdtemp(dir));
    char path[64];
    (void)snprintf(path, sizeof path, "%s/key", dir);
    write_key(path, KEY "\n");
    er_secret_ref ref = {.kind = ER_SECRET_FILE, .text = path};
    er_sign_settings settings = {.type = ER_SIGN_STANDARD,
                                 .keys = {.v = &ref, .n = 1, .elem_size = sizeof ref}};
    er_signer *signer = NULL;
    assert_int_equal(er_signer_new(&settings, "sinks.hook.sign", &signer, NULL), ER_OK);
    assert_false(er_signer_refresh(signer));
    er_http_request req;
    apply(signer, PAYLOAD, &req);
    expect_header(&req, 1, "webhook-signature", SIGNATURE);
    write_key(path, OTHER_KEY "\n");
    assert_true(er_signer_refresh(signer));
    apply(signer, PAYLOAD, &req);
    expect_header(&req, 1, "webhook-signature", OTHER_SIGNATURE);
    write_key(path, "rubbish");
    assert_true(er_signer_refresh(signer));
    req = (er_http_request){0};
    er_err err = {0};
    assert_int_equal(er_signer_apply(signer, er_str_of(ID), er_str_of(PAYLOAD), NOW, &req, &err),
                     ER_E_DENIED);
    assert_null(strstr(err.msg, "rubbish"));
    er_signer_free(signer);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_standard_webhooks),
        cmocka_unit_test(test_all_keys_sign_in_their_order),
        cmocka_unit_test(test_github),
        cmocka_unit_test(test_what_is_no_key_of_standard_webhooks),
        cmocka_unit_test(test_a_rotated_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
