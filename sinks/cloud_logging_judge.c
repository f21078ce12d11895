/* What the answers of entries.write say. They are a peer's: read within limits, believed only where
 * they make sense.
 *
 * Source: google.rpc.Status as JSON, google.rpc.Code,
 * google.logging.v2.WriteLogEntriesPartialErrors.
 */
#include "base/json_read.h"
#include "sinks/cloud_logging.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX       300
#define FOREIGN        "; not an answer of Cloud Logging: check url"
#define PARTIAL_ERRORS "type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors"

enum { INVALID_ARGUMENT = 3, PERMISSION_DENIED = 7 };
static const struct { /* google.rpc.Code, with the status of HTTP that stands for it */
    const char *name;
    short http;
} codes[] = {
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 429},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 501},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
};

static bool is_known(int64_t code) {
    return code >= 0 && code < (int64_t)(sizeof codes / sizeof codes[0]);
}

/* ---- reading ---- */

typedef struct answer {
    er_json_doc doc;
    char *text;
    const er_json *root, *error;
} answer;

static void answer_init(answer *a, const er_http_response *res) {
    *a = (answer){0};
    er_json_doc_init(&a->doc);
    a->text = er_str_dup(er_buf_str(&res->body));
    if (res->body.len > 0 && er_json_parse(&a->doc, a->text, res->body.len, NULL) == ER_OK) {
        a->root = a->doc.root;
        a->error = er_json_get(a->root, "error");
    }
}

static void answer_fini(answer *a) {
    er_json_doc_fini(&a->doc);
    free(a->text);
}

/* logEntryErrors, or NULL. */
static const er_json *entry_errors(const answer *a) {
    const er_json *details = er_json_get(a->error, "details");
    if (!er_json_is_array(details)) {
        return NULL;
    }
    for (const er_json *d = er_json_first(details); d != NULL; d = er_json_next(d)) {
        const er_json *errors = er_json_get(d, "logEntryErrors");
        if (er_str_eqc(er_json_get_str(d, "@type"), PARTIAL_ERRORS) && er_json_is_object(errors) &&
            er_json_first(errors) != NULL) {
            return errors;
        }
    }
    return NULL;
}

/* On one line, and not without end. */
static void put_line(er_str text, er_buf *out) {
    text.n = er_utf8_cut(text, TEXT_MAX);
    for (size_t i = 0; i < text.n; i++) {
        bool is_control = (unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f;
        er_buf_putc(out, is_control ? ' ' : text.p[i]);
    }
}

static bool holds(er_str text, const char *part) {
    return text.n > 0 && memmem(text.p, text.n, part, strlen(part)) != NULL;
}

/* ---- the whole ---- */

/* An error that is not worded as the service words its own: a proxy's page, another service. What
 * was cut cannot be told, and is none. */
static bool is_foreign(const answer *a, const er_http_response *res) {
    er_str body = er_str_trim(er_buf_str(&res->body));
    return a->root != NULL ? er_json_get_str(a->error, "status").n == 0 : !er_str_starts(body, "{");
}

/* What arrived is no JSON, and what is sent always is: a proxy cut it, or took Content-Encoding
 * away. */
static bool is_garbled(const answer *a, const er_http_response *res) {
    static const char *const texts[] = {"Invalid JSON payload received. Unexpected",
                                        "Invalid JSON payload received. Closing quote expected",
                                        "Invalid JSON payload received. Expected"};
    er_str message = er_json_get_str(a->error, "message");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (res->status == 400 && er_str_starts(message, texts[i])) {
            return true;
        }
    }
    return false;
}

er_http_action er_log_action(const er_http_response *res, er_http_action action) {
    if (res->status < 400 || res->status == 401) {
        return action;
    }
    answer a;
    answer_init(&a, res);
    er_str name = er_json_get_str(a.error, "status");
    if (entry_errors(&a) != NULL) {
        action = ER_HTTP_DELIVERED;
    } else if (res->status == 400 &&
               holds(er_json_get_str(a.error, "message"), "payload size exceeds")) {
        action = ER_HTTP_SPLIT;
    } else if (is_garbled(&a, res)) {
        action = ER_HTTP_DENIED;
    } else if (res->status == 400 && er_str_eqc(name, "FAILED_PRECONDITION")) {
        action = ER_HTTP_DENIED; /* of the project, not of the entries */
    } else if (action == ER_HTTP_REFUSED && is_foreign(&a, res)) {
        action = ER_HTTP_DENIED; /* no entry must be rejected for it */
    }
    answer_fini(&a);
    return action;
}

void er_log_say(const er_http_response *res, er_buf *out) {
    answer a;
    answer_init(&a, res);
    er_str name = er_json_get_str(a.error, "status");
    er_str message = er_json_get_str(a.error, "message");
    if (message.n == 0) {
        name = (er_str){0};
        message = er_str_trim(er_buf_str(&res->body));
    }
    er_buf_puts(out, name.n > 0 ? ": " : "");
    put_line(name, out);
    er_buf_puts(out, message.n > 0 ? ": " : "");
    put_line(message, out);
    bool is_refused = er_http_action_of(NULL, 0, res->status) == ER_HTTP_REFUSED;
    er_buf_puts(out, is_refused && is_foreign(&a, res) ? FOREIGN
                     : is_garbled(&a, res)
                         ? "; the request was changed on its way: check url and compression"
                         : "");
    answer_fini(&a);
}

static const char *advice_of(er_str reason) {
    static const struct {
        const char *reason, *advice;
    } all[] = {
        {"SERVICE_DISABLED", "; enable the Cloud Logging API in the project"},
        {"BILLING_DISABLED", "; enable billing for the project"},
        {"ACCESS_TOKEN_SCOPE_INSUFFICIENT",
         "; the token lacks the scope logging.write: widen the access scopes of the node, or give "
         "the pod an account of its own"},
        {"SECURITY_POLICY_VIOLATED", "; a perimeter of VPC Service Controls is in the way"},
        {"CONSUMER_INVALID", "; there is no such project"},
        {"CONSUMER_SUSPENDED", "; the project is suspended"},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (er_str_eqc(reason, all[i].reason)) {
            return all[i].advice;
        }
    }
    return NULL;
}

const char *er_log_advice(const er_http_response *res) {
    answer a;
    answer_init(&a, res);
    const char *advice = res->body.len > 0 && is_foreign(&a, res) ? FOREIGN : NULL;
    const er_json *details = er_json_get(a.error, "details");
    const er_json *d = er_json_is_array(details) ? er_json_first(details) : NULL;
    for (; d != NULL && advice == NULL; d = er_json_next(d)) {
        advice = advice_of(er_json_get_str(d, "reason"));
    }
    answer_fini(&a);
    return advice;
}

/* ---- by entry ---- */

typedef struct verdicts {
    er_batch *batch;
    bool is_denied, is_again;
    er_buf why; /* of the first that is tried again */
} verdicts;

static void judge_one(verdicts *v, size_t i, const er_json *error) {
    int64_t code = -1;
    er_str message = er_json_get_str(error, "message");
    (void)er_json_int(er_json_get(error, "code"), &code);
    er_buf text;
    er_buf_init(&text, TEXT_MAX + 64);
    er_buf_putf(&text, "%s: ", is_known(code) ? codes[code].name : "an unknown error");
    put_line(message, &text);
    if (code == INVALID_ARGUMENT) {
        bool is_large = holds(message, "exceeds maximum size");
        er_batch_judge(v->batch, i, ER_VERDICT_REJECT,
                       is_large ? ER_REASON_TOO_LARGE : ER_REASON_REFUSED, er_buf_cstr(&text));
    } else {
        er_batch_judge(v->batch, i, ER_VERDICT_RETRY, ER_REASON_NONE, NULL);
        /* Being denied is what must be said. */
        if (code == PERMISSION_DENIED && !v->is_denied) {
            er_buf_clear(&v->why);
        }
        if (v->why.len == 0) {
            er_buf_put_str(&v->why, er_buf_str(&text));
        }
        v->is_denied = v->is_denied || code == PERMISSION_DENIED;
        v->is_again = true;
    }
    er_buf_fini(&text);
}

/* All keys are indexes of the batch. */
static bool is_sound(const er_json *errors, size_t n) {
    for (const er_json *e = er_json_first(errors); e != NULL; e = er_json_next(e)) {
        uint64_t i = 0;
        if (!er_parse_u64(er_json_key(e), &i) || i >= n) {
            return false;
        }
    }
    return true;
}

/* The list is whole: what is not in it was written. The status is that of one entry that was not;
 * when no entry explains it, something else failed as well, and only permanent errors are listed.
 */
static bool is_whole(const er_json *errors, long status) {
    bool is_explained = status < 300 || status == 400 || status == 403;
    for (const er_json *e = er_json_first(errors); e != NULL && !is_explained;
         e = er_json_next(e)) {
        int64_t code = -1;
        is_explained = er_json_int(er_json_get(e, "code"), &code) && is_known(code) &&
                       codes[code].http == status;
    }
    return is_explained;
}

static er_status judge_entries(const er_json *errors, const er_http_response *res, er_batch *batch,
                               er_err *err) {
    if (!is_sound(errors, er_batch_len(batch))) {
        return er_err_set(err, ER_E_UNAVAILABLE,
                          "the answer lists errors of entries that were not sent");
    }
    verdicts v = {.batch = batch, .is_again = !is_whole(errors, res->status)};
    er_buf_init(&v.why, TEXT_MAX + 64);
    er_batch_judge_all(batch, v.is_again ? ER_VERDICT_RETRY : ER_VERDICT_DELIVERED, ER_REASON_NONE,
                       NULL);
    for (const er_json *e = er_json_first(errors); e != NULL; e = er_json_next(e)) {
        uint64_t i = 0;
        (void)er_parse_u64(er_json_key(e), &i);
        judge_one(&v, i, e);
    }
    er_status status = v.is_denied ? ER_E_DENIED : ER_OK;
    if (v.is_again) {
        (void)er_err_set(err, v.is_denied ? ER_E_DENIED : ER_E_UNAVAILABLE,
                         "%ld: some entries were not written%s%s", res->status,
                         v.why.len > 0 ? ": " : "", er_buf_cstr(&v.why));
    }
    if (v.is_again && err != NULL && res->retry_after_ms > 0) {
        err->retry_after_ms = res->retry_after_ms;
    }
    er_buf_fini(&v.why);
    return status;
}

er_status er_log_judge(const er_http_response *res, er_batch *batch, er_err *err) {
    answer a;
    answer_init(&a, res);
    er_status status = ER_OK;
    const er_json *errors = entry_errors(&a);
    if (errors != NULL) {
        status = judge_entries(errors, res, batch, err);
    } else if (!er_json_is_object(a.root) || a.error != NULL) { /* success is {} */
        status = er_err_set(err, ER_E_DENIED, "%ld, but not an answer of Cloud Logging: check url",
                            res->status);
    } else {
        er_batch_judge_all(batch, ER_VERDICT_DELIVERED, ER_REASON_NONE, NULL);
    }
    answer_fini(&a);
    return status;
}
