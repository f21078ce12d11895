/* record/pod: whatever JSON comes as Pods makes records within the rules, and the same again.
 *
 * Input: lines, each a Pod or a frame of a watch with one: the life of one pod as it is seen. A
 * line's type may be any of er_sight; without one it is MODIFIED. */
#include "fuzz.h"

#include "record/pod.h"
#include "record/read.h"

#define OBSERVED 1767323060412345 /* 2026-01-02T03:04:20.412345Z */
#define SINCE    1767322800000000 /* 2026-01-02T03:00:00Z */

/* The longest memory: 256 names of 63 bytes with the largest count. */
#define MEMORY_MAX (256 * (63 + sizeof "\"\":[2147483647,\"12345678\",true],") + 64)

typedef struct seen {
    er_buf json; /* the records, a line each */
    size_t records;
} seen;

/* ---- what is right of any record ---- */

static void check_restart(const er_json *restart) {
    int64_t count;
    int64_t delta;
    int64_t missing;
    bool has_count = er_json_int(er_json_get(restart, "count"), &count);
    FUZZ_CHECK(er_json_is_object(restart));
    FUZZ_CHECK(has_count == (er_json_get(restart, "delta") != NULL));
    if (has_count) {
        FUZZ_CHECK(er_json_int(er_json_get(restart, "delta"), &delta));
        FUZZ_CHECK(er_json_int(er_json_get(restart, "detailsMissing"), &missing));
        FUZZ_CHECK(count >= 0 && count <= INT32_MAX && delta >= 1 && delta <= INT32_MAX);
        FUZZ_CHECK(missing == delta || missing == delta - 1);
        FUZZ_CHECK(er_json_get_str(restart, "container").n >= 1);
        FUZZ_CHECK(er_json_get_str(restart, "container").n <= 63);
    }
}

static void check_record(const er_json *record) {
    er_str id = er_json_get_str(record, "id");
    er_time time;
    FUZZ_CHECK(id.n >= 1 && id.n <= 64);
    FUZZ_CHECK(strspn(id.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
               id.n);
    FUZZ_CHECK(er_str_eqc(er_json_get_str(record, "kind"), "restart"));
    FUZZ_CHECK(er_str_eqc(er_json_get_str(record, "type"), "Warning"));
    FUZZ_CHECK(er_json_get_str(record, "reason").n > 0);
    FUZZ_CHECK(er_json_get_str(record, "message").n > 0);
    FUZZ_CHECK(er_time_parse(er_json_get_str(record, "time"), &time));
    FUZZ_CHECK(time > INT64_C(31536000) * 1000000 - 1); /* not before 1971: those are unset */
    check_restart(er_json_get(record, "restart"));
}

/* Read back and written again it is the same. */
static void check_comes_back(const er_json *record, er_str json) {
    er_draft draft;
    er_err err;
    er_buf texts;
    er_buf_init(&texts, 1u << 20);
    FUZZ_CHECK(er_draft_from_json(record, &texts, &draft, &err) == ER_OK);
    er_record *rec = er_record_seal(&draft.rec);
    FUZZ_CHECK(rec != NULL);
    er_buf again;
    er_buf_init(&again, 64u << 20);
    er_record_json(rec, &again);
    FUZZ_CHECK(er_str_eq(er_buf_str(&again), json));
    er_buf_fini(&again);
    er_buf_fini(&texts);
    er_record_unref(rec);
}

static void take(void *arg, er_draft *draft) {
    seen *s = arg;
    draft->rec.cluster = ER_STR("fuzz");
    er_record *rec = er_record_seal(&draft->rec);
    FUZZ_CHECK(rec != NULL);
    er_buf json;
    er_buf_init(&json, 64u << 20);
    er_record_json(rec, &json);
    er_record_unref(rec);
    er_buf_put_str(&s->json, er_buf_str(&json));
    er_buf_putc(&s->json, '\n');
    er_buf copy;
    er_buf_init(&copy, 64u << 20);
    er_buf_put_str(&copy, er_buf_str(&json));
    er_json_doc doc;
    fuzz_reparse(&doc, &copy);
    check_record(doc.root);
    check_comes_back(doc.root, er_buf_str(&json));
    s->records++;
    er_json_doc_fini(&doc);
    er_buf_fini(&copy);
    er_buf_fini(&json);
}

/* ---- looks ---- */

static er_status look_at(er_sight sight, const er_json *object, er_str remembered, er_buf *memory,
                         seen *out) {
    er_err err = {0};
    er_buf_init(&out->json, 256u << 20);
    out->records = 0;
    er_look look = {.sight = sight,
                    .object = object,
                    .remembered = remembered,
                    .observed = OBSERVED,
                    .since = remembered.n % 2 == 0 ? SINCE : ER_TIME_NONE,
                    .arg = out,
                    .emit = take,
                    .memory = memory};
    er_status status = er_pod_look(NULL, &look, &err);
    FUZZ_CHECK(status == ER_OK || (status == ER_E_INVAL && err.msg[0] != '\0'));
    FUZZ_CHECK(memory->len <= MEMORY_MAX);
    return status;
}

static size_t statuses_of(const er_json *object) {
    static const char *const lists[] = {"initContainerStatuses", "containerStatuses",
                                        "ephemeralContainerStatuses"};
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) {
        const er_json *one = er_json_first(er_json_path(object, "status", lists[i]));
        for (; one != NULL; one = er_json_next(one)) {
            n++;
        }
    }
    return n;
}

/* Once more with the same memory: the same. Once more with the new one: nothing. */
static void check_look(er_sight sight, const er_json *object, er_buf *memory) {
    er_buf old = *memory;
    er_buf twin;
    er_buf_init(memory, 1u << 20);
    er_buf_init(&twin, 1u << 20);
    seen first;
    seen second;
    er_status status = look_at(sight, object, er_buf_str(&old), memory, &first);
    bool is_pod = er_json_get_str(er_json_get(object, "metadata"), "uid").n > 0;
    FUZZ_CHECK(status == (is_pod || sight == ER_SIGHT_GONE ? ER_OK : ER_E_INVAL));
    FUZZ_CHECK(first.records <= statuses_of(object) + 1);
    FUZZ_CHECK(look_at(sight, object, er_buf_str(&old), &twin, &second) == status);
    FUZZ_CHECK(er_str_eq(er_buf_str(&first.json), er_buf_str(&second.json)));
    FUZZ_CHECK(er_str_eq(er_buf_str(memory), er_buf_str(&twin)));
    er_buf_fini(&second.json);
    bool ends = status != ER_OK || sight == ER_SIGHT_DELETED || sight == ER_SIGHT_GONE;
    FUZZ_CHECK((memory->len == 0) == ends);
    FUZZ_CHECK(sight != ER_SIGHT_GONE || first.records == 0);
    if (!ends) {
        FUZZ_CHECK(look_at(ER_SIGHT_MODIFIED, object, er_buf_str(memory), &twin, &second) == ER_OK);
        FUZZ_CHECK(second.records == 0);
        FUZZ_CHECK(er_str_eq(er_buf_str(memory), er_buf_str(&twin)));
        er_buf_fini(&second.json);
    }
    er_buf_fini(&first.json);
    er_buf_fini(&twin);
    er_buf_fini(&old);
}

static er_sight sight_of(er_str type) {
    static const char *const names[] = {"BASELINE", "ADDED",  "MODIFIED",
                                        "DELETED",  "LISTED", "GONE"};
    for (unsigned i = 0; i < 6; i++) {
        if (er_str_eqc(type, names[i])) {
            return (er_sight)i;
        }
    }
    return ER_SIGHT_MODIFIED;
}

static void look_at_line(er_str line, er_buf *memory) {
    char *text = er_str_dup(line);
    er_json_doc doc;
    er_json_doc_init(&doc);
    if (er_json_parse(&doc, text, line.n, NULL) == ER_OK) {
        const er_json *inner = er_json_get(doc.root, "object");
        er_sight sight = sight_of(er_json_get_str(doc.root, "type"));
        const er_json *object = inner != NULL ? inner : doc.root;
        check_look(sight, sight == ER_SIGHT_GONE ? NULL : object, memory);
    } else { /* what a broken store may hold */
        er_buf_clear(memory);
        er_buf_put_str(memory, (er_str){line.p, line.n < 256 ? line.n : 256});
    }
    er_json_doc_fini(&doc);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    er_buf memory;
    er_buf_init(&memory, 1u << 20);
    while (in.n > 0) {
        look_at_line(fuzz_line(&in), &memory);
    }
    er_buf_fini(&memory);
    return 0;
}
