/* Retry-After: how long a peer asks us to stay away. */
#include "http/http.h"

#include <string.h>

#define US_PER_S INT64_C(1000000)

static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
static const char *const days[] = {"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"};
static const char *const long_days[] = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                        "Friday", "Saturday", "Sunday"};

typedef struct moment {
    int year, month, day, hour, minute, second;
} moment;

/* ---- a cursor over the text; each step says whether it fits and moves on ---- */

static bool skip(er_str *s, const char *literal) {
    if (!er_str_starts(*s, literal)) {
        return false;
    }
    size_t n = strlen(literal);
    s->p += n;
    s->n -= n;
    return true;
}

/* One of n names; its index, or -1. */
static int name(er_str *s, const char *const *names, int n) {
    for (int i = 0; i < n; i++) {
        if (skip(s, names[i])) {
            return i;
        }
    }
    return -1;
}

static bool number(er_str *s, size_t digits, int *out) {
    uint64_t v;
    if (s->n < digits || !er_parse_u64((er_str){s->p, digits}, &v)) {
        return false;
    }
    *out = (int)v;
    s->p += digits;
    s->n -= digits;
    return true;
}

static bool month(er_str *s, moment *m) {
    m->month = 1 + name(s, months, 12);
    return m->month > 0;
}

static bool clock_time(er_str *s, moment *m) {
    return number(s, 2, &m->hour) && skip(s, ":") && number(s, 2, &m->minute) && skip(s, ":") &&
           number(s, 2, &m->second);
}

/* ---- the three forms of RFC 9110 section 5.6.7 ---- */

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool fixdate(er_str s, moment *m) {
    return name(&s, days, 7) >= 0 && skip(&s, ", ") && number(&s, 2, &m->day) && skip(&s, " ") &&
           month(&s, m) && skip(&s, " ") && number(&s, 4, &m->year) && skip(&s, " ") &&
           clock_time(&s, m) && skip(&s, " GMT") && s.n == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT. The century is the one that puts it at most 50 years ahead; what
 * lies ahead that far is clamped anyway, so 2000 will do until 2050. */
static bool rfc850(er_str s, moment *m) {
    bool fits = name(&s, long_days, 7) >= 0 && skip(&s, ", ") && number(&s, 2, &m->day) &&
                skip(&s, "-") && month(&s, m) && skip(&s, "-") && number(&s, 2, &m->year) &&
                skip(&s, " ") && clock_time(&s, m) && skip(&s, " GMT") && s.n == 0;
    m->year += m->year < 76 ? 2000 : 1900;
    return fits;
}

/* Sun Nov  6 08:49:37 1994 */
static bool asctime_form(er_str s, moment *m) {
    if (name(&s, days, 7) < 0 || !skip(&s, " ") || !month(&s, m) || !skip(&s, " ")) {
        return false;
    }
    bool day = skip(&s, " ") ? number(&s, 1, &m->day) : number(&s, 2, &m->day);
    return day && skip(&s, " ") && clock_time(&s, m) && skip(&s, " ") && number(&s, 4, &m->year) &&
           s.n == 0;
}

static bool date(er_str s, er_time *out) {
    moment m = {0};
    if (!fixdate(s, &m) && !rfc850(s, &m) && !asctime_form(s, &m)) {
        return false;
    }
    er_buf text; /* the calendar is er_time_parse's business */
    er_buf_init(&text, 64);
    er_buf_putf(&text, "%04d-%02d-%02dT%02d:%02d:%02dZ", m.year, m.month, m.day, m.hour, m.minute,
                m.second);
    bool ok = er_time_parse(er_buf_str(&text), out);
    er_buf_fini(&text);
    return ok;
}

static bool all_digits(er_str s) {
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n > 0;
}

int64_t er_http_retry_after(er_str value, er_time now) {
    value = er_str_trim(value);
    if (all_digits(value)) {
        uint64_t seconds;
        bool small = er_parse_u64(value, &seconds) && seconds < ER_HTTP_RETRY_AFTER_MAX_MS / 1000;
        return small ? (int64_t)seconds * 1000 : ER_HTTP_RETRY_AFTER_MAX_MS;
    }
    er_time then;
    if (!date(value, &then)) {
        return -1;
    }
    if (then <= now) {
        return 0;
    }
    int64_t ahead;
    bool far = __builtin_sub_overflow(then, now, &ahead) ||
               ahead >= ER_HTTP_RETRY_AFTER_MAX_MS / 1000 * US_PER_S;
    return far ? ER_HTTP_RETRY_AFTER_MAX_MS : (ahead + 999) / 1000;
}
