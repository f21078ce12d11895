#include "sinks/table.h"

#define GAP          2
#define RED          "\x1b[31m"
#define YELLOW       "\x1b[33m"
#define COLOUR_RESET "\x1b[0m"

/* Least widths: lines are written as they come, so a column cannot wait for its widest cell. */
enum { W_NAMESPACE = 11, W_SEEN = 16, W_TYPE = 7, W_REASON = 16, W_OBJECT = 26 };

/* ---- ages ---- */

static void put_two(er_buf *out, long long big, const char *big_unit, long long small,
                    const char *small_unit) {
    er_buf_putf(out, "%lld%s", big, big_unit);
    if (small > 0) {
        er_buf_putf(out, "%lld%s", small, small_unit);
    }
}

void er_table_age(er_time span_us, er_buf *out) {
    long long seconds = span_us > 0 ? span_us / 1000000 : 0;
    long long minutes = seconds / 60;
    long long hours = minutes / 60;
    long long days = hours / 24;
    if (seconds < 120) {
        er_buf_putf(out, "%llds", seconds);
    } else if (minutes < 10) {
        put_two(out, minutes, "m", seconds % 60, "s");
    } else if (minutes < 180) {
        er_buf_putf(out, "%lldm", minutes);
    } else if (hours < 8) {
        put_two(out, hours, "h", minutes % 60, "m");
    } else if (hours < 48) {
        er_buf_putf(out, "%lldh", hours);
    } else if (days < 8) {
        put_two(out, days, "d", hours % 24, "h");
    } else if (days < 730) {
        er_buf_putf(out, "%lldd", days);
    } else if (days < 2920) {
        put_two(out, days / 365, "y", days % 365, "d");
    } else {
        er_buf_putf(out, "%lldy", days / 365);
    }
}

/* ---- cells ---- */

static uint32_t code_point(const char *p, size_t n) {
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & lead[n];
    for (size_t i = 1; i < n; i++) {
        c = c << 6 | ((unsigned char)p[i] & 0x3f);
    }
    return c;
}

/* Control characters, and those that reorder or break lines (Unicode bidirectional controls,
 * U+2028, U+2029). */
static bool is_harmful(uint32_t c) {
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || c == 0x200e || c == 0x200f ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static void put_escape(er_buf *out, uint32_t c) {
    if (c == '\n') {
        er_buf_puts(out, "\\n");
    } else if (c == '\r') {
        er_buf_puts(out, "\\r");
    } else if (c == '\t') {
        er_buf_puts(out, "\\t");
    } else if (c < 0x80) {
        er_buf_putf(out, "\\x%02x", (unsigned)c);
    } else {
        er_buf_putf(out, "\\u%04x", (unsigned)c);
    }
}

void er_table_safe(er_str s, er_buf *out) {
    for (size_t i = 0; i < s.n;) {
        size_t step = er_utf8_len(s.p + i, s.n - i);
        if (step == 0) {
            er_buf_puts(out, "\xef\xbf\xbd");
            i++;
            continue;
        }
        uint32_t c = code_point(s.p + i, step);
        if (is_harmful(c)) {
            put_escape(out, c);
        } else {
            er_buf_put(out, s.p + i, step);
        }
        i += step;
    }
}

static void put_lower(er_buf *out, er_str s) {
    size_t from = out->len;
    er_table_safe(s, out);
    for (size_t i = from; i < out->len; i++) {
        if (out->p[i] >= 'A' && out->p[i] <= 'Z') {
            out->p[i] = (char)(out->p[i] - 'A' + 'a');
        }
    }
}

/* Characters written since from. */
static size_t width_since(const er_buf *out, size_t from) {
    size_t chars = 0;
    for (size_t i = from; i < out->len; i++) {
        chars += ((unsigned char)out->p[i] & 0xc0) != 0x80;
    }
    return chars;
}

/* Fills a cell of that many characters up to its column's width, and the gap to the next column. */
static void pad(er_buf *out, size_t chars, size_t width) {
    size_t spaces = GAP + (chars < width ? width - chars : 0);
    for (; spaces > 0; spaces--) {
        er_buf_putc(out, ' ');
    }
}

/* colour: NULL for none; it goes around the text and not around the spaces behind it. */
static void put_cell(er_buf *out, er_str s, size_t width, const char *colour) {
    er_buf_puts(out, colour != NULL ? colour : "");
    size_t from = out->len;
    er_table_safe(s, out);
    size_t chars = width_since(out, from);
    er_buf_puts(out, colour != NULL ? COLOUR_RESET : "");
    pad(out, chars, width);
}

/* "5s", and for what happened several times "5s (x10 over 3m)". */
static void put_seen(er_buf *out, const er_record *rec) {
    size_t from = out->len;
    if (rec->time == ER_TIME_NONE) {
        er_buf_puts(out, "<unknown>");
    } else {
        er_table_age(rec->observed_time - rec->time, out);
    }
    if (rec->kind == ER_KIND_EVENT && rec->event.count > 1) {
        er_buf_putf(out, " (x%lld", (long long)rec->event.count);
        if (rec->event.first_time != ER_TIME_NONE) {
            er_buf_puts(out, " over ");
            er_table_age(rec->observed_time - rec->event.first_time, out);
        }
        er_buf_putc(out, ')');
    }
    pad(out, width_since(out, from), W_SEEN);
}

/* "pod/web-1"; gaps name their stream, notices their sink. */
static void put_object(er_buf *out, const er_record *rec) {
    size_t from = out->len;
    switch (rec->kind) {
    case ER_KIND_EVENT:
    case ER_KIND_RESTART:
    case ER_KIND_CHANGE:
    case ER_KIND_ROLLOUT:
        put_lower(out, rec->object.kind);
        er_buf_puts(out, rec->object.kind.n > 0 && rec->object.name.n > 0 ? "/" : "");
        er_table_safe(rec->object.name, out);
        break;
    case ER_KIND_GAP:
        er_buf_puts(out, "watch/");
        er_table_safe(rec->gap.stream, out);
        break;
    case ER_KIND_NOTICE:
        er_buf_puts(out, "sink/");
        er_table_safe(rec->notice.sink, out);
        break;
    }
    if (out->len == from) {
        er_buf_putc(out, '-');
    }
    pad(out, width_since(out, from), W_OBJECT);
}

static er_str or_dash(er_str s) {
    return s.n > 0 ? s : ER_STR("-");
}

void er_table_header(er_buf *out) {
    put_cell(out, ER_STR("NAMESPACE"), W_NAMESPACE, NULL);
    put_cell(out, ER_STR("LAST SEEN"), W_SEEN, NULL);
    put_cell(out, ER_STR("TYPE"), W_TYPE, NULL);
    put_cell(out, ER_STR("REASON"), W_REASON, NULL);
    put_cell(out, ER_STR("OBJECT"), W_OBJECT, NULL);
    er_buf_puts(out, "MESSAGE\n");
}

void er_table_row(const er_record *rec, bool is_coloured, er_buf *out) {
    static const char *const colours[] = {
        [ER_SEVERITY_INFO] = NULL, [ER_SEVERITY_WARNING] = YELLOW, [ER_SEVERITY_ERROR] = RED};
    const char *colour = is_coloured ? colours[rec->severity] : NULL;
    put_cell(out, or_dash(rec->namespace_), W_NAMESPACE, NULL);
    put_seen(out, rec);
    put_cell(out, or_dash(rec->type), W_TYPE, colour);
    put_cell(out, or_dash(rec->reason), W_REASON, colour);
    put_object(out, rec);
    er_table_safe(er_str_trim(rec->message), out);
    er_buf_puts(out, rec->truncated ? " (cut)\n" : "\n");
}
