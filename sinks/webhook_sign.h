/* Signatures of requests, so that a receiver can tell that they come from us, unchanged.
 *
 *   github             X-Hub-Signature-256: sha256=HEX of HMAC-SHA256(key, payload). The key is the
 *                      secret's bytes.
 *   standard-webhooks  webhook-timestamp: Unix seconds of the attempt; webhook-signature:
 *                      v1,BASE64 of HMAC-SHA256(key, "ID.TIMESTAMP.PAYLOAD"), one for each key,
 *                      separated by blanks. ID is the header webhook-id. A key is whsec_ and the
 *                      Base64 of 24 to 64 bytes.
 *
 * The payload is the body before compression: receivers' frameworks undo Content-Encoding before
 * anybody sees the body, and the verifying libraries take texts, which gzip is not.
 * Key files are read again when they change.
 *
 * Threads: new and free on main, the rest on the sink's. Source: docs.github.com "Validating
 * webhook deliveries"; github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
 */
#ifndef ER_SINKS_WEBHOOK_SIGN_H
#define ER_SINKS_WEBHOOK_SIGN_H

#include "http/http.h"

typedef enum er_sign_type { ER_SIGN_GITHUB, ER_SIGN_STANDARD } er_sign_type;

#define ER_SIGN_KEYS_MAX 4

typedef struct er_sign_settings {
    int type;         /* er_sign_type */
    er_cfg_list keys; /* of er_secret_ref; none: requests are not signed */
} er_sign_settings;
extern const er_field er_sign_rows[];
er_status er_sign_check(const void *settings, er_err *err); /* for check_struct */
/* The headers that er_signer_apply adds; NULL at the end. */
const char *const *er_sign_headers(const er_sign_settings *settings);

typedef struct er_signer er_signer;
/* what: "sinks.hook.sign", for errors. settings are borrowed. Errors: ER_E_CONFIG. */
er_status er_signer_new(const er_sign_settings *settings, const char *what, er_signer **out,
                        er_err *err);
void er_signer_free(er_signer *signer);
/* Reads the keys again at once; true when one is new. */
bool er_signer_refresh(er_signer *signer);
/* Adds the headers; their values live until the next call. Errors: ER_E_DENIED, a key file now
 * holds what is no key. */
er_status er_signer_apply(er_signer *signer, er_str id, er_str payload, er_time now,
                          er_http_request *req, er_err *err);

#endif
