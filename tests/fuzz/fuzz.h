/* What every fuzz target includes: its one function, a claim that must hold, and a few independent
 * ways to say what is right.
 *
 * A target is built twice: with libFuzzer (preset fuzz), and with replay.c, which hands it the
 * files of its corpus. It keeps nothing from one input to the next. Threads: one. */
#ifndef ER_TESTS_FUZZ_H
#define ER_TESTS_FUZZ_H

#include "base/buf.h"
#include "base/json_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer's interface. Sets up what is process-wide; setup.c has it for the targets that have
 * none. */
int LLVMFuzzerInitialize(int *argc, char ***argv);
/* One input; 0. What is wrong ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A claim about the program. On a false one the process ends, and libFuzzer keeps the input. */
#define FUZZ_CHECK(cond) ((cond) ? (void)0 : er_assert_failed(#cond, __FILE__, __LINE__))

/* ---- input as numbers and texts ---- */

typedef struct fuzz_input {
    const char *p;
    size_t n;
} fuzz_input;

static inline unsigned fuzz_byte(fuzz_input *in) { /* 0 at the end */
    if (in->n == 0) {
        return 0;
    }
    in->n--;
    return (unsigned char)*in->p++;
}

static inline er_str fuzz_take(fuzz_input *in, size_t n) { /* at most n bytes */
    er_str s = {in->p, n < in->n ? n : in->n};
    in->p += s.n;
    in->n -= s.n;
    return s;
}

static inline er_str fuzz_line(fuzz_input *in) { /* up to a LF, which is taken too, or the end */
    const char *lf = in->n == 0 ? NULL : memchr(in->p, '\n', in->n);
    er_str s = fuzz_take(in, lf == NULL ? in->n : (size_t)(lf - in->p));
    (void)fuzz_byte(in);
    return s;
}

/* ---- UTF-8, decoded to code points: another way than base/str goes ---- */

/* The code point at p and its bytes; false: none stands there. */
static inline bool fuzz_decode(const char *p, size_t n, uint32_t *code, size_t *len) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned char lead = (unsigned char)p[0];
    size_t want = lead < 0x80 ? 1 : lead < 0xc0 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (want == 0 || want > n || lead > 0xf7) {
        return false;
    }
    uint32_t v = want == 1 ? lead : lead & (0x7fU >> want);
    for (size_t i = 1; i < want; i++) {
        unsigned char c = (unsigned char)p[i];
        if (c < 0x80 || c > 0xbf) {
            return false;
        }
        v = v << 6 | (c & 0x3fU);
    }
    *code = v;
    *len = want;
    return v >= least[want] && v <= 0x10ffff && !(v >= 0xd800 && v <= 0xdfff);
}

static inline bool fuzz_is_utf8(er_str s) {
    uint32_t code;
    size_t len;
    for (size_t i = 0; i < s.n; i += len) {
        if (!fuzz_decode(s.p + i, s.n - i, &code, &len)) {
            return false;
        }
    }
    return true;
}

/* Lines of UTF-8 that are fit for a terminal: nothing that moves a cursor, breaks a line elsewhere
 * or turns the direction of writing around. */
static inline void fuzz_check_printable(er_str text) {
    uint32_t code;
    size_t len;
    for (size_t i = 0; i < text.n; i += len) {
        FUZZ_CHECK(fuzz_decode(text.p + i, text.n - i, &code, &len));
        FUZZ_CHECK(code >= 0x20 || code == '\n');
        FUZZ_CHECK(code < 0x7f || code >= 0xa0);
        FUZZ_CHECK(code < 0x2028 || (code > 0x202e && code < 0x2066) || code > 0x2069);
    }
}

/* s with U+FFFD for each byte that is not UTF-8, appended to out. */
static inline void fuzz_repair(er_str s, er_buf *out) {
    uint32_t code;
    size_t len;
    for (size_t i = 0; i < s.n; i += len) {
        if (fuzz_decode(s.p + i, s.n - i, &code, &len)) {
            er_buf_put(out, s.p + i, len);
        } else {
            er_buf_puts(out, "\xef\xbf\xbd");
            len = 1;
        }
    }
}

/* Parses what the program wrote: it must be UTF-8 and JSON. */
static inline void fuzz_reparse(er_json_doc *doc, er_buf *text) {
    er_err err;
    FUZZ_CHECK(er_buf_status(text) == ER_OK);
    FUZZ_CHECK(fuzz_is_utf8(er_buf_str(text)));
    er_json_doc_init(doc);
    FUZZ_CHECK(er_json_parse(doc, text->p, text->len, &err) == ER_OK);
}

#endif
