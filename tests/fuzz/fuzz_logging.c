/* sinks: any answer to entries.write gives verdicts that it supports. An entry counts as written
 * only where the answer can mean that, and is rejected only where it is listed with that error;
 * what is said fits on a line.
 *
 * Input: a line with a status and the number of entries, then the body. */
#include "fuzz.h"

#include "sink/batch.h"
#include "sinks/cloud_logging.h"

#define PARTIAL "type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors"

static er_batch *batch_of(size_t n) {
    er_batch *batch = er_batch_new();
    for (size_t i = 0; i < n; i++) {
        er_record draft = {.id = ER_STR("u"), .time = 0, .observed_time = 0};
        er_batch_slot slot = {.rec = er_record_seal(&draft)};
        er_buf_init(&slot.item.body, 16);
        er_batch_add(batch, &slot);
    }
    return batch;
}

/* Every list of errors in the document that could be meant. */
static const er_json *next_list(const er_json **detail) {
    for (; *detail != NULL; *detail = er_json_next(*detail)) {
        const er_json *list = er_json_get(*detail, "logEntryErrors");
        if (er_str_eqc(er_json_get_str(*detail, "@type"), PARTIAL) && er_json_is_object(list) &&
            er_json_first(list) != NULL) {
            return list;
        }
    }
    return NULL;
}

/* The entry is listed, with this code; -1: any. */
static bool is_listed(const er_json *list, size_t i, int64_t wanted) {
    for (const er_json *e = er_json_first(list); e != NULL; e = er_json_next(e)) {
        uint64_t at = 0;
        int64_t code = 0;
        (void)er_json_int(er_json_get(e, "code"), &code);
        if (er_parse_u64(er_json_key(e), &at) && at == i && (wanted < 0 || code == wanted)) {
            return true;
        }
    }
    return false;
}

static void check_line(er_str text) {
    for (size_t i = 0; i < text.n; i++) {
        FUZZ_CHECK((unsigned char)text.p[i] >= 0x20 && text.p[i] != 0x7f);
    }
}

static void check_verdicts(const er_batch *batch, const er_json *list, er_status status) {
    for (size_t i = 0; i < er_batch_len(batch); i++) {
        const er_batch_slot *slot = &batch->v[i];
        switch (slot->verdict) {
        case ER_VERDICT_DELIVERED:
            FUZZ_CHECK(list == NULL || !is_listed(list, i, -1));
            break;
        case ER_VERDICT_REJECT:
            FUZZ_CHECK(list != NULL && is_listed(list, i, 3) && slot->text != NULL);
            FUZZ_CHECK(slot->reason == ER_REASON_REFUSED || slot->reason == ER_REASON_TOO_LARGE);
            check_line(er_str_of(slot->text));
            break;
        case ER_VERDICT_RETRY:
            FUZZ_CHECK(list != NULL);
            break;
        case ER_VERDICT_NONE:
            FUZZ_CHECK(status == ER_E_UNAVAILABLE || (status == ER_E_DENIED && list == NULL));
            break;
        case ER_VERDICT_KEPT:
        case ER_VERDICT_ASIDE:
            FUZZ_CHECK(!"kept");
            break;
        }
    }
}

static void judge(const er_http_response *res, size_t n) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *copy = er_str_dup(er_buf_str(&res->body));
    bool is_json = res->body.len > 0 && er_json_parse(&doc, copy, res->body.len, NULL) == ER_OK;
    const er_json *details = is_json ? er_json_path(doc.root, "error", "details") : NULL;
    const er_json *detail = er_json_is_array(details) ? er_json_first(details) : NULL;
    const er_json *list = next_list(&detail);
    bool is_success = res->status >= 200 && res->status < 300;
    er_http_action action =
        er_log_action(res, is_success ? ER_HTTP_DELIVERED : ER_HTTP_UNAVAILABLE);
    FUZZ_CHECK(action != ER_HTTP_DELIVERED || is_success || list != NULL);
    if (action == ER_HTTP_DELIVERED) {
        er_batch *batch = batch_of(n);
        er_err err = {0};
        er_status status = er_log_judge(res, batch, &err);
        FUZZ_CHECK(status == ER_OK || status == err.code);
        FUZZ_CHECK(status == ER_OK || status == ER_E_DENIED || status == ER_E_UNAVAILABLE);
        check_line(er_str_of(err.msg));
        check_verdicts(batch, list, status);
        er_batch_free(batch);
    }
    free(copy);
    er_json_doc_fini(&doc);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    fuzz_input line_in = {0};
    er_str line = fuzz_line(&in);
    line_in = (fuzz_input){line.p, line.n};
    uint64_t status = 400;
    (void)er_parse_u64(fuzz_take(&line_in, 3), &status);
    (void)fuzz_byte(&line_in);
    size_t n = 1 + fuzz_byte(&line_in) % 8;
    er_http_response res;
    er_http_response_init(&res);
    res.status = (long)(status % 600);
    er_buf_put(&res.body, in.p, in.n < res.body.max ? in.n : res.body.max);
    judge(&res, n);
    er_buf said;
    er_buf_init(&said, 4096);
    er_log_say(&res, &said);
    FUZZ_CHECK(er_buf_status(&said) == ER_OK && said.len < 700);
    check_line(er_buf_str(&said));
    er_buf_fini(&said);
    er_http_response_fini(&res);
    return 0;
}
