/* record/event: whatever JSON comes as an Event makes a record within the rules, or an error.
 *
 * Input: an Event, or a frame of a watch with one. */
#include "fuzz.h"

#include "base/json_write.h"
#include "record/event.h"

#define OBSERVED 1767323060412345 /* 2026-01-02T03:04:20.412345Z */

/* ---- what a record's JSON is made of ---- */

enum { TEXT, NUMBER, FLAG, REF, SOURCE, EVENT };
static const struct {
    const char *key;
    int type;
    bool always;
} members[] = {
    {"schema", TEXT, true},       {"id", TEXT, true},
    {"kind", TEXT, true},         {"cluster", TEXT, true},
    {"time", TEXT, true},         {"timeSource", TEXT, true},
    {"observedTime", TEXT, true}, {"severity", TEXT, true},
    {"type", TEXT, true},         {"reason", TEXT, true},
    {"message", TEXT, true},      {"truncated", FLAG, false},
    {"namespace", TEXT, false},   {"namespaceMismatch", FLAG, false},
    {"object", REF, false},       {"source", SOURCE, false},
    {"count", NUMBER, true},      {"firstTime", TEXT, false},
    {"lastTime", TEXT, false},    {"action", TEXT, false},
    {"event", EVENT, true},       {"related", REF, false},
};

static const char *const ref_keys[] = {"apiVersion",      "kind",      "namespace", "name", "uid",
                                       "resourceVersion", "fieldPath", NULL};
static const char *const source_keys[] = {"component", "host", "instance", NULL};
static const char *const event_keys[] = {"name", "uid", "resourceVersion", NULL};

/* An object of nothing but texts, none of them empty, under these keys in this order. */
static void check_texts(const er_json *object, const char *const *keys) {
    FUZZ_CHECK(er_json_is_object(object));
    const er_json *member = er_json_first(object);
    FUZZ_CHECK(member != NULL);
    for (; member != NULL; member = er_json_next(member)) {
        while (*keys != NULL && !er_str_eqc(er_json_key(member), *keys)) {
            keys++;
        }
        FUZZ_CHECK(*keys != NULL);
        FUZZ_CHECK(er_json_str(member).n > 0);
    }
}

static void check_member(const er_json *member, int type) {
    int64_t number;
    switch (type) {
    case NUMBER:
        FUZZ_CHECK(er_json_int(member, &number) && number >= 1);
        break;
    case FLAG:
        FUZZ_CHECK(er_json_is_true(member));
        break;
    case REF:
        check_texts(member, ref_keys);
        break;
    case SOURCE:
        check_texts(member, source_keys);
        break;
    case EVENT:
        check_texts(member, event_keys);
        break;
    default:
        break;
    }
}

static void check_shape(const er_json *record) {
    const er_json *member = er_json_first(record);
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        if (member != NULL && er_str_eqc(er_json_key(member), members[i].key)) {
            check_member(member, members[i].type);
            member = er_json_next(member);
        } else {
            FUZZ_CHECK(!members[i].always);
        }
    }
    FUZZ_CHECK(member == NULL);
}

/* ---- what it says ---- */

static void check_id(er_str id, er_str uid, er_str version) {
    FUZZ_CHECK(id.n >= 1 && id.n <= 64);
    FUZZ_CHECK(strspn(id.p, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") ==
               id.n);
    er_buf plain;
    er_buf_init(&plain, uid.n + version.n + 1);
    er_buf_put_str(&plain, uid);
    er_buf_putc(&plain, '-');
    er_buf_put_str(&plain, version);
    bool kept = er_str_eq(id, er_buf_str(&plain));
    bool hashed = id.n == 42 && er_str_starts(id, "x-");
    FUZZ_CHECK(kept || hashed);
    er_buf_fini(&plain);
}

/* A text of the record is the Event's, repaired. */
static void check_same(const er_json *record, const char *key, er_str original) {
    er_buf repaired;
    er_buf_init(&repaired, 3 * original.n);
    fuzz_repair(original, &repaired);
    FUZZ_CHECK(er_str_eq(er_json_get_str(record, key), er_buf_str(&repaired)));
    er_buf_fini(&repaired);
}

/* The message is the Event's, repaired, or a beginning of it that leaves out as little as possible.
 */
static void check_message(const er_json *record, er_str original) {
    er_str message = er_json_get_str(record, "message");
    er_buf repaired;
    er_buf_init(&repaired, 3 * original.n);
    fuzz_repair(original, &repaired);
    bool cut = message.n < repaired.len;
    FUZZ_CHECK(message.n <= ER_RECORD_MESSAGE_MAX);
    FUZZ_CHECK(message.n <= repaired.len &&
               memcmp(message.p, er_buf_cstr(&repaired), message.n) == 0);
    FUZZ_CHECK(!cut || message.n > ER_RECORD_MESSAGE_MAX - 4);
    FUZZ_CHECK(er_json_is_true(er_json_get(record, "truncated")) == cut);
    er_buf_fini(&repaired);
}

static er_time check_time(const er_json *record, const char *key) {
    er_str text = er_json_get_str(record, key);
    er_time t = ER_TIME_NONE;
    char again[ER_TIME_TEXT];
    if (text.n > 0) {
        FUZZ_CHECK(er_time_parse(text, &t));
        FUZZ_CHECK(er_str_eqc(text, er_time_format(t, again)));
        FUZZ_CHECK(t > INT64_C(31536000) * 1000000 - 1); /* not before 1971: those are unset */
    }
    return t;
}

static void check_meaning(const er_json *record, const er_json *event) {
    const er_json *meta = er_json_get(event, "metadata");
    check_id(er_json_get_str(record, "id"), er_json_get_str(meta, "uid"),
             er_json_get_str(meta, "resourceVersion"));
    FUZZ_CHECK(er_str_eqc(er_json_get_str(record, "schema"), "eventrouter.io/v1"));
    FUZZ_CHECK(er_str_eqc(er_json_get_str(record, "kind"), "event"));
    FUZZ_CHECK(er_str_eqc(er_json_get_str(record, "cluster"), "fuzz"));
    bool normal = er_str_eqc(er_json_get_str(event, "type"), "Normal");
    FUZZ_CHECK(er_str_eqc(er_json_get_str(record, "severity"), normal ? "INFO" : "WARNING"));
    check_same(record, "type", er_json_get_str(event, "type"));
    check_same(record, "reason", er_json_get_str(event, "reason"));
    check_same(record, "namespace", er_json_get_str(meta, "namespace"));
    check_same(er_json_get(record, "event"), "name", er_json_get_str(meta, "name"));
    check_same(er_json_get(record, "event"), "uid", er_json_get_str(meta, "uid"));
    FUZZ_CHECK(check_time(record, "observedTime") == OBSERVED);
    er_time time = check_time(record, "time");
    (void)check_time(record, "firstTime");
    (void)check_time(record, "lastTime");
    bool observed = er_str_eqc(er_json_get_str(record, "timeSource"), "observed");
    FUZZ_CHECK(!observed || time == OBSERVED);
    FUZZ_CHECK(observed || er_json_get(record, "firstTime") != NULL ||
               er_json_get(record, "lastTime") != NULL);
}

/* ---- one input ---- */

static void seal_and_check(er_draft *draft, const er_json *event, er_str message) {
    draft->rec.cluster = ER_STR("fuzz");
    draft->rec.message = message;
    er_record *rec = er_record_seal(&draft->rec);
    FUZZ_CHECK(rec != NULL);
    er_buf json;
    er_buf again;
    er_json_doc doc;
    er_buf_init(&json, 64u << 20);
    er_buf_init(&again, 64u << 20);
    er_record_json(rec, &json);
    er_record_json(rec, &again);
    FUZZ_CHECK(er_str_eq(er_buf_str(&json), er_buf_str(&again)));
    fuzz_reparse(&doc, &json);
    check_shape(doc.root);
    check_meaning(doc.root, event);
    check_message(doc.root, message);
    er_json_doc_fini(&doc);
    er_buf_fini(&json);
    er_buf_fini(&again);
    er_record_unref(rec);
}

/* The message again and again, until it must be cut; only of some inputs, since it takes long. */
static void check_long(er_draft *draft, const er_json *event, er_str message) {
    er_buf text;
    er_buf_init(&text, 2 * ER_RECORD_MESSAGE_MAX);
    while (text.len <= ER_RECORD_MESSAGE_MAX - message.n) {
        er_buf_put_str(&text, message);
    }
    er_buf_put_str(&text, message);
    seal_and_check(draft, event, er_buf_str(&text));
    er_buf_fini(&text);
}

static void check_event(er_draft *draft, const er_json *event) {
    er_str message = er_json_get_str(event, "message");
    FUZZ_CHECK(er_str_eq(draft->rec.message, message));
    seal_and_check(draft, event, message);
    if (message.n % 16 == 5 && message.n < 1000) {
        check_long(draft, event, message);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = er_str_dup((er_str){(const char *)data, size});
    er_json_doc doc;
    er_json_doc_init(&doc);
    er_err err = {0};
    if (er_json_parse(&doc, text, size, &err) == ER_OK) {
        const er_json *inner = er_json_get(doc.root, "object");
        const er_json *event = inner != NULL ? inner : doc.root;
        const er_json *meta = er_json_get(event, "metadata");
        bool named =
            er_json_get_str(meta, "uid").n > 0 && er_json_get_str(meta, "resourceVersion").n > 0;
        er_draft draft;
        er_status status = er_draft_event(event, OBSERVED, &draft, &err);
        FUZZ_CHECK(status == (named ? ER_OK : ER_E_INVAL));
        if (status == ER_OK) {
            check_event(&draft, event);
        } else {
            FUZZ_CHECK(err.msg[0] != '\0');
        }
    } else {
        FUZZ_CHECK(err.code == ER_E_INVAL && err.msg[0] != '\0');
    }
    er_json_doc_fini(&doc);
    free(text);
    return 0;
}
