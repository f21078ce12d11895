/* kube/frames: a stream, cut anywhere, gives the lines that are in it, as a splitter that sees it
 * whole finds them.
 *
 * Input: the maximum of a line, how to cut, after how many frames to stop; then the stream. */
#include "fuzz.h"

#include "kube/frames.h"

typedef struct seen {
    er_buf text; /* "frame LENGTH:BYTES" and "oversized LENGTH", one after the other */
    size_t frames, stop_after;
} seen;

static void put_frame(seen *s, const char *line, size_t n) {
    er_buf_putf(&s->text, "frame %zu:", n);
    er_buf_put(&s->text, line, n);
    s->frames++;
}

static bool on_frame(void *arg, char *line, size_t n) {
    FUZZ_CHECK(line[n] == '\0');
    seen *s = arg;
    put_frame(s, line, n);
    memset(line, 'x', n); /* it is the handler's to change */
    return s->frames != s->stop_after;
}

static void on_oversized(void *arg, size_t bytes) {
    er_buf_putf(&((seen *)arg)->text, "oversized %zu", bytes);
}

/* The whole stream at once. Returns what stands behind the last LF; SIZE_MAX: stopped before. */
static size_t expect(er_str stream, size_t max, seen *out) {
    for (size_t from = 0;;) {
        const char *lf = from < stream.n ? memchr(stream.p + from, '\n', stream.n - from) : NULL;
        if (lf == NULL) {
            return stream.n - from;
        }
        size_t n = (size_t)(lf - (stream.p + from));
        er_str line = {stream.p + from, n};
        from += n + 1;
        if (n > max) {
            er_buf_putf(&out->text, "oversized %zu", n);
        } else if (er_str_trim(line).n > 0) {
            put_frame(out, line.p, line.p[n - 1] == '\r' ? n - 1 : n);
            if (out->frames == out->stop_after) {
                return SIZE_MAX;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_input in = {(const char *)data, size};
    size_t max = 1 + fuzz_byte(&in);
    unsigned cut = fuzz_byte(&in);
    size_t stop_after = fuzz_byte(&in);
    er_str stream = {in.p, in.n};
    seen expected = {.stop_after = stop_after};
    seen found = {.stop_after = stop_after};
    er_buf_init(&expected.text, 64u << 20);
    er_buf_init(&found.text, 64u << 20);
    size_t rest = expect(stream, max, &expected);

    er_frames frames;
    er_frames_init(&frames, max);
    const er_frames_handler handler = {&found, on_frame, on_oversized};
    er_status status = ER_OK;
    while (in.n > 0 && status == ER_OK) {
        cut = cut * 1103515245u + 12345u;
        er_str part = fuzz_take(&in, 1 + (cut >> 16) % (cut % 3 == 0 ? 400 : 7));
        char *copy = er_str_dup(part); /* so that a read behind the part is seen */
        status = er_frames_feed(&frames, (er_str){copy, part.n}, &handler);
        free(copy);
        FUZZ_CHECK(frames.line.len <= max);
    }
    FUZZ_CHECK(status == (rest == SIZE_MAX ? ER_E_CANCELLED : ER_OK));
    FUZZ_CHECK(er_str_eq(er_buf_str(&expected.text), er_buf_str(&found.text)));
    FUZZ_CHECK(status != ER_OK || er_frames_pending(&frames) == (rest > 0));
    er_frames_fini(&frames);
    er_buf_fini(&expected.text);
    er_buf_fini(&found.text);
    return 0;
}
