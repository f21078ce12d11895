/* base/json_write: what it writes parses back to what was meant.
 *
 * Input: what to write, one byte of it a choice, followed by lengths and texts. */
#include "fuzz.h"

#include "base/json_write.h"

#define DEPTH_MAX 20

/* ---- writing ---- */

static int64_t number(fuzz_input *in) {
    uint64_t v = 0;
    for (unsigned i = fuzz_byte(in) % 9; i > 0; i--) {
        v = v << 8 | fuzz_byte(in);
    }
    return (int64_t)v;
}

static er_str text(fuzz_input *in) {
    return fuzz_take(in, fuzz_byte(in) % 64);
}

static void write_value(er_jw *w, fuzz_input *in, unsigned depth);

static void write_object(er_jw *w, fuzz_input *in, unsigned depth) {
    er_jw_object(w);
    for (unsigned n = fuzz_byte(in) % 5; n > 0; n--) {
        er_jw_key_str(w, text(in));
        write_value(w, in, depth + 1);
    }
    er_jw_kint(w, "last", 1);
    er_jw_object_end(w);
}

static void write_array(er_jw *w, fuzz_input *in, unsigned depth) {
    er_jw_array(w);
    for (unsigned n = fuzz_byte(in) % 5; n > 0; n--) {
        write_value(w, in, depth + 1);
    }
    er_jw_array_end(w);
}

static void write_value(er_jw *w, fuzz_input *in, unsigned depth) {
    unsigned choice = fuzz_byte(in) % 6;
    if (choice == 0 && depth < DEPTH_MAX) {
        write_object(w, in, depth);
    } else if (choice == 1 && depth < DEPTH_MAX) {
        write_array(w, in, depth);
    } else if (choice == 2) {
        er_jw_int(w, number(in));
    } else if (choice == 3) {
        er_jw_bool(w, fuzz_byte(in) % 2 == 1);
    } else if (choice == 4) {
        er_jw_null(w);
    } else {
        er_jw_str(w, text(in));
    }
}

/* ---- reading it back, with the same input ---- */

/* Repaired, and NUL as U+FFFD, which is what our reader makes of \u0000. */
static void check_text(er_str found, er_str meant) {
    er_buf repaired;
    er_buf_init(&repaired, 256);
    for (size_t i = 0; i < meant.n;) {
        uint32_t code = 0;
        size_t len = 1;
        bool ok = fuzz_decode(meant.p + i, meant.n - i, &code, &len) && code != 0;
        len = ok ? len : 1;
        er_buf_put(&repaired, ok ? meant.p + i : "\xef\xbf\xbd", ok ? len : 3);
        i += len;
    }
    FUZZ_CHECK(er_str_eq(found, er_buf_str(&repaired)));
    er_buf_fini(&repaired);
}

static void check_value(const er_json *node, fuzz_input *in, unsigned depth);

static void check_object(const er_json *node, fuzz_input *in, unsigned depth) {
    FUZZ_CHECK(er_json_is_object(node));
    const er_json *member = er_json_first(node);
    for (unsigned n = fuzz_byte(in) % 5; n > 0; n--) {
        FUZZ_CHECK(member != NULL);
        check_text(er_json_key(member), text(in));
        check_value(member, in, depth + 1);
        member = er_json_next(member);
    }
    FUZZ_CHECK(member != NULL && er_str_eqc(er_json_key(member), "last"));
    FUZZ_CHECK(er_json_next(member) == NULL);
}

static void check_array(const er_json *node, fuzz_input *in, unsigned depth) {
    FUZZ_CHECK(er_json_is_array(node));
    const er_json *item = er_json_first(node);
    for (unsigned n = fuzz_byte(in) % 5; n > 0; n--) {
        FUZZ_CHECK(item != NULL);
        check_value(item, in, depth + 1);
        item = er_json_next(item);
    }
    FUZZ_CHECK(item == NULL);
}

static void check_number(const er_json *node, int64_t meant) {
    int64_t found;
    bool exact = er_json_int(node, &found);
    if (meant > -(INT64_C(1) << 53) && meant < INT64_C(1) << 53) { /* beyond, JSON has doubles */
        FUZZ_CHECK(exact && found == meant);
    }
}

static void check_value(const er_json *node, fuzz_input *in, unsigned depth) {
    unsigned choice = fuzz_byte(in) % 6;
    if (choice == 0 && depth < DEPTH_MAX) {
        check_object(node, in, depth);
    } else if (choice == 1 && depth < DEPTH_MAX) {
        check_array(node, in, depth);
    } else if (choice == 2) {
        check_number(node, number(in));
    } else if (choice == 3) {
        FUZZ_CHECK(er_json_is_true(node) == (fuzz_byte(in) % 2 == 1));
    } else if (choice == 4) {
        int64_t ignored;
        FUZZ_CHECK(!er_json_is_object(node) && !er_json_is_array(node) && !er_json_is_true(node) &&
                   !er_json_int(node, &ignored) && er_json_str(node).p == NULL);
    } else {
        er_str meant = text(in);
        FUZZ_CHECK(er_json_str(node).p != NULL);
        check_text(er_json_str(node), meant);
    }
}

/* ---- one input ---- */

/* Into a buffer that is too small: the same bytes up to some place, the error, and no more. */
static void check_limited(fuzz_input in, er_str whole, size_t max) {
    er_buf out;
    er_jw w;
    er_buf_init(&out, max);
    er_jw_init(&w, &out);
    write_value(&w, &in, 0);
    FUZZ_CHECK(er_buf_status(&out) == (whole.n <= max ? ER_OK : ER_E_LIMIT));
    FUZZ_CHECK(out.len <= max && memcmp(er_buf_cstr(&out), whole.p, out.len) == 0);
    er_buf_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fuzz_input all = {(const char *)data, size};
    fuzz_input in = all;
    er_buf out;
    er_jw w;
    er_json_doc doc;
    er_buf_init(&out, 64u << 20);
    er_jw_init(&w, &out);
    write_value(&w, &in, 0);
    er_buf copy; /* parsing changes it */
    er_buf_init(&copy, 64u << 20);
    er_buf_put_str(&copy, er_buf_str(&out));
    fuzz_reparse(&doc, &copy);
    in = all;
    check_value(doc.root, &in, 0);
    check_limited(all, er_buf_str(&out), out.len / 2);
    er_json_doc_fini(&doc);
    er_buf_fini(&copy);
    er_buf_fini(&out);
    return 0;
}
