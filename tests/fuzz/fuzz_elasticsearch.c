/* sinks/elasticsearch: an answer to _bulk counts for what a JSON parser finds in it, and nothing is
 * delivered without a result that says so; an answer to GET / is a product, or none.
 *
 * Input: a byte for the number of records, and the answer; the same bytes also serve as the results
 * of an answer that is well made. */
#include "fuzz.h"

#include "base/json_write.h"
#include "base/log.h"
#include "sink/batch.h"
#include "sinks/elasticsearch.h"

#define RECORDS_MAX 8

static er_batch *make_batch(size_t n) {
    er_batch *batch = er_batch_new();
    for (size_t i = 0; i < n; i++) {
        char id[32];
        (void)snprintf(id, sizeof id, "u-%zu", i);
        er_record draft = {.id = er_str_of(id), .time = 0, .observed_time = 0};
        er_batch_slot slot = {.rec = er_record_seal(&draft)};
        FUZZ_CHECK(slot.rec != NULL);
        er_batch_add(batch, &slot);
    }
    return batch;
}

static er_status judge(er_str answer, bool was_cut, er_batch *batch, er_err *err) {
    er_elastic_counters none = {0};
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_elastic_judge with = {.name = "es", .long_wait_ms = 7, .counters = &none, .doc = &doc};
    char *text = er_str_dup(answer);
    er_status status = er_elastic_judge_items(&with, text, answer.n, was_cut, batch, err);
    free(text);
    er_json_doc_fini(&doc);
    FUZZ_CHECK(status == ER_OK || status == ER_E_UNAVAILABLE || status == ER_E_DENIED);
    FUZZ_CHECK(status == ER_OK || err->msg[0] != '\0');
    return status;
}

/* ---- what a result means, said another way ---- */

static er_verdict verdict_of(const er_json *item, size_t i) {
    const er_json *create = er_json_get(item, "create");
    const er_json *id = er_json_get(create, "_id");
    char own[32];
    (void)snprintf(own, sizeof own, "u-%zu", i);
    double status = er_json_number(er_json_get(create, "status"));
    if (er_json_type_of(er_json_get(create, "status")) != ER_JSON_NUMBER ||
        (id != NULL && !er_str_eqc(er_json_str(id), own))) {
        return ER_VERDICT_RETRY;
    }
    er_str type = er_json_get_str(er_json_get(create, "error"), "type");
    if (status >= 200 && status <= 201) {
        return status > 200 && status < 201 ? ER_VERDICT_RETRY : ER_VERDICT_DELIVERED;
    }
    if (status >= 409 && status <= 409) {
        bool is_there = type.n == 0 || er_str_eqc(type, "version_conflict_engine_exception");
        return is_there ? ER_VERDICT_DELIVERED : ER_VERDICT_RETRY;
    }
    return ER_VERDICT_NONE; /* anything but delivered */
}

static size_t members(const er_json *object) {
    size_t n = 0;
    for (const er_json *m = er_json_first(object); m != NULL; m = er_json_next(m)) {
        n++;
    }
    return n;
}

static size_t times(const er_json *object, const char *key) {
    size_t n = 0;
    for (const er_json *m = er_json_first(object); m != NULL; m = er_json_next(m)) {
        n += er_str_eqc(er_json_key(m), key) ? 1 : 0;
    }
    return n;
}

static void compare(const er_json *root, const er_batch *batch, er_status status) {
    const er_json *items = er_json_get(root, "items");
    size_t n = er_batch_len(batch);
    bool counts = er_json_is_object(root) && er_json_is_array(items) && members(items) == n;
    const er_json *item = counts ? er_json_first(items) : NULL;
    for (size_t i = 0; i < n; i++) {
        er_verdict got = er_batch_verdict(batch, i);
        if (!counts) {
            FUZZ_CHECK(got == ER_VERDICT_NONE && status == ER_E_UNAVAILABLE);
            continue;
        }
        er_verdict want = verdict_of(item, i);
        FUZZ_CHECK(want == ER_VERDICT_NONE ? got == ER_VERDICT_RETRY || got == ER_VERDICT_REJECT
                                           : got == want);
        item = er_json_next(item);
    }
}

/* Of two members of a name, with escapes in names, and with control characters for blanks, a parser
 * has its own ways. */
static bool is_plain(er_str answer) {
    for (size_t i = 0; i < answer.n; i++) {
        unsigned char c = (unsigned char)answer.p[i];
        if (c == '\\' || (c < 0x20 && c != '\t' && c != '\r' && c != '\n')) {
            return false;
        }
    }
    return true;
}

static void check_any(fuzz_input in) {
    size_t n = fuzz_byte(&in) % (RECORDS_MAX + 1);
    er_str answer = {in.p, in.n};
    for (int was_cut = 0; was_cut < 2; was_cut++) {
        er_batch *batch = make_batch(n);
        er_err err = {0};
        er_status status = judge(answer, was_cut == 1, batch, &err);
        char *text = er_str_dup(answer);
        er_json_doc doc;
        er_json_doc_init(&doc);
        bool comparable = is_plain(answer) && er_json_parse(&doc, text, answer.n, NULL) == ER_OK &&
                          times(doc.root, "items") <= 1;
        if (comparable && was_cut == 0) {
            compare(doc.root, batch, status);
        }
        er_json_doc_fini(&doc);
        free(text);
        er_batch_free(batch);
    }
}

/* ---- an answer that is well made ---- */

static const short statuses[] = {200, 201, 400, 401, 403, 404, 408, 409, 413, 422, 429, 500, 503};
#define STATUSES_N (sizeof statuses / sizeof statuses[0])

static bool is_rejection(int status) {
    return status == 413 || status == 422 || status == 400;
}

static void check_made(fuzz_input in) {
    size_t n = 1 + fuzz_byte(&in) % RECORDS_MAX;
    int codes[RECORDS_MAX];
    er_buf answer;
    er_buf_init(&answer, 1 << 20);
    er_jw w;
    er_jw_init(&w, &answer);
    er_jw_object(&w);
    er_jw_key(&w, "took");
    er_jw_int(&w, 3);
    er_jw_key(&w, "items");
    er_jw_array(&w);
    for (size_t i = 0; i < n; i++) {
        codes[i] = statuses[fuzz_byte(&in) % STATUSES_N];
        er_str reason = fuzz_take(&in, fuzz_byte(&in));
        er_jw_object(&w);
        er_jw_key(&w, "create");
        er_jw_object(&w);
        er_jw_kint(&w, "status", codes[i]);
        er_jw_key(&w, "error");
        er_jw_object(&w);
        er_jw_kstr(&w, "type", codes[i] == 409 ? (er_str){0} : ER_STR("some_exception"));
        er_jw_kstr(&w, "reason", reason);
        er_jw_object_end(&w);
        er_jw_object_end(&w);
        er_jw_object_end(&w);
    }
    er_jw_array_end(&w);
    er_jw_object_end(&w);
    er_batch *batch = make_batch(n);
    er_err err = {0};
    (void)judge(er_buf_str(&answer), false, batch, &err);
    for (size_t i = 0; i < n; i++) {
        er_verdict want = codes[i] < 300 || codes[i] == 409 ? ER_VERDICT_DELIVERED
                          : is_rejection(codes[i])          ? ER_VERDICT_REJECT
                                                            : ER_VERDICT_RETRY;
        FUZZ_CHECK(er_batch_verdict(batch, i) == want);
        FUZZ_CHECK(want != ER_VERDICT_REJECT || fuzz_is_utf8(er_str_of(batch->v[i].text)));
    }
    er_batch_free(batch);
    er_buf_fini(&answer);
}

/* ---- GET / ---- */

static void check_server(er_str answer) {
    char *text = er_str_dup(answer);
    er_elastic_server server;
    er_elastic_server_read(text, answer.n, &server);
    free(text);
    FUZZ_CHECK((server.product == ER_ELASTIC_UNKNOWN) == (server.version[0] == '\0'));
    for (const char *p = server.version; *p != '\0'; p++) {
        FUZZ_CHECK(*p > ' ' && *p < 0x7f);
    }
    FUZZ_CHECK(!er_elastic_can_require_data_stream(&server) ||
               server.product == ER_ELASTIC_ELASTICSEARCH);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    check_any(in);
    check_made(in);
    check_server((er_str){(const char *)data, size});
    return 0;
}
