#include "base/json_write.h"

#include "base/word.h"

#include <string.h>

#define DEPTH_MAX 64

void er_jw_init(er_jw *w, er_buf *out) {
    *w = (er_jw){.out = out};
}

/* The comma, where one is due, before a key or an array's value. */
static void separate(er_jw *w) {
    if (w->after_key) {
        w->after_key = false;
        return;
    }
    uint64_t bit = 1ULL << w->depth;
    if (w->depth > 0 && (w->has_item & bit) != 0) {
        er_buf_putc(w->out, ',');
    }
    w->has_item |= bit;
}

static void open_level(er_jw *w, char c) {
    separate(w);
    er_buf_putc(w->out, c);
    w->depth++;
    ER_ASSERT(w->depth < DEPTH_MAX);
    w->has_item &= ~(1ULL << w->depth);
}

static void close_level(er_jw *w, char c) {
    ER_ASSERT(w->depth > 0);
    w->depth--;
    er_buf_putc(w->out, c);
}

void er_jw_object(er_jw *w) {
    open_level(w, '{');
}

void er_jw_object_end(er_jw *w) {
    close_level(w, '}');
}

void er_jw_array(er_jw *w) {
    open_level(w, '[');
}

void er_jw_array_end(er_jw *w) {
    close_level(w, ']');
}

void er_jw_key(er_jw *w, const char *key) {
    separate(w);
    er_buf_putc(w->out, '"');
    er_buf_puts(w->out, key);
    er_buf_put(w->out, "\":", 2);
    w->after_key = true;
}

void er_jw_key_str(er_jw *w, er_str key) {
    separate(w);
    er_json_quote(w->out, key);
    er_buf_putc(w->out, ':');
    w->after_key = true;
}

/* Bytes that stand for themselves: ASCII from the blank on, but the quote and the backslash. */
static bool plain(char c) {
    return (unsigned char)c >= ' ' && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

static void quote_special(er_buf *out, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    const char *two = c == '"'    ? "\\\""
                      : c == '\\' ? "\\\\"
                      : c == '\n' ? "\\n"
                      : c == '\r' ? "\\r"
                      : c == '\t' ? "\\t"
                                  : NULL;
    if (two != NULL) {
        er_buf_put(out, two, 2);
        return;
    }
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
    er_buf_put(out, escape, sizeof escape);
}

/* Eight bytes at a time: true when all of them are plain. */
static bool all_plain(uint64_t word) {
    uint64_t below_blank = (word - ER_WORD_EACH(' ')) & ~word & ER_WORD_HIGH;
    return ((word & ER_WORD_HIGH) | below_blank | er_word_has(word, '"') |
            er_word_has(word, '\\')) == 0;
}

/* Where the plain bytes from i on end. */
static size_t plain_until(er_str s, size_t i) {
    while (i + sizeof(uint64_t) <= s.n && all_plain(er_word_load(s.p + i))) {
        i += sizeof(uint64_t);
    }
    while (i < s.n && plain(s.p[i])) {
        i++;
    }
    return i;
}

void er_json_quote(er_buf *out, er_str s) {
    er_buf_putc(out, '"');
    size_t i = 0;
    while (i < s.n) {
        size_t run = plain_until(s, i);
        er_buf_put(out, s.p + i, run - i);
        i = run;
        if (i == s.n) {
            break;
        }
        unsigned char c = (unsigned char)s.p[i];
        if (c < 0x80) {
            quote_special(out, c);
            i++;
            continue;
        }
        size_t len = er_utf8_len(s.p + i, s.n - i);
        if (len == 0) {
            er_buf_put(out, "\xef\xbf\xbd", 3);
            i++;
        } else {
            er_buf_put(out, s.p + i, len);
            i += len;
        }
    }
    er_buf_putc(out, '"');
}

void er_jw_str(er_jw *w, er_str s) {
    separate(w);
    er_json_quote(w->out, s);
}

void er_jw_cstr(er_jw *w, const char *s) {
    er_jw_str(w, er_str_of(s));
}

void er_jw_int(er_jw *w, int64_t v) {
    separate(w);
    if (v < 0) {
        er_buf_putc(w->out, '-');
    }
    er_buf_put_u64(w->out, v < 0 ? 0 - (uint64_t)v : (uint64_t)v);
}

void er_jw_bool(er_jw *w, bool v) {
    separate(w);
    er_buf_puts(w->out, v ? "true" : "false");
}

void er_jw_null(er_jw *w) {
    separate(w);
    er_buf_put(w->out, "null", 4);
}

void er_jw_raw(er_jw *w, er_str json) {
    separate(w);
    er_buf_put_str(w->out, json);
}

void er_jw_kstr(er_jw *w, const char *key, er_str s) {
    er_jw_key(w, key);
    er_jw_str(w, s);
}

void er_jw_kstr_opt(er_jw *w, const char *key, er_str s) {
    if (s.n > 0) {
        er_jw_kstr(w, key, s);
    }
}

void er_jw_kint(er_jw *w, const char *key, int64_t v) {
    er_jw_key(w, key);
    er_jw_int(w, v);
}

void er_jw_kbool(er_jw *w, const char *key, bool v) {
    er_jw_key(w, key);
    er_jw_bool(w, v);
}

void er_jw_ktime_opt(er_jw *w, const char *key, er_time t) {
    if (t == ER_TIME_NONE) {
        return;
    }
    char text[ER_TIME_TEXT];
    er_jw_kstr(w, key, er_str_of(er_time_format(t, text)));
}
