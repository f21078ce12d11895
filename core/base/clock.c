#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_ns(clockid_t id) {
    struct timespec ts;
    (void)clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t er_mono_ns(void) {
    return read_ns(CLOCK_MONOTONIC);
}

int64_t er_mono_ms(void) {
    return er_mono_ns() / 1000000;
}

er_deadline er_deadline_in(int64_t ms) {
    if (ms < 0) {
        ms = 0;
    }
    int64_t now = er_mono_ns();
    if (ms > (INT64_MAX - now) / 1000000) {
        return ER_DEADLINE_NEVER;
    }
    return (er_deadline){now + ms * 1000000};
}

int64_t er_deadline_left_ms(er_deadline d) {
    if (d.ns == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t left = d.ns - er_mono_ns();
    return left <= 0 ? 0 : (left + 999999) / 1000000;
}

bool er_deadline_passed(er_deadline d) {
    return d.ns != INT64_MAX && er_mono_ns() >= d.ns;
}

er_deadline er_deadline_min(er_deadline a, er_deadline b) {
    return a.ns < b.ns ? a : b;
}

er_time er_time_now(void) {
    return read_ns(CLOCK_REALTIME) / 1000;
}

/* Days since 1970-01-01 of a proleptic Gregorian date; months counted from March so that the leap
 * day is the last of its year. */
static int64_t days_of(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

static void date_of(int64_t days, int64_t *year, int64_t *month, int64_t *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t m = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * m + 2) / 5 + 1;
    *month = m + (m < 10 ? 3 : -9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

/* Reads exactly n digits at s.p[*at]; false when they are not there. */
static bool digits(er_str s, size_t *at, size_t n, int64_t *out) {
    if (s.n - *at < n) {
        return false;
    }
    int64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        char c = s.p[*at + i];
        if (c < '0' || c > '9') {
            return false;
        }
        v = v * 10 + (c - '0');
    }
    *at += n;
    *out = v;
    return true;
}

static bool literal(er_str s, size_t *at, const char *any_of) {
    if (*at >= s.n || s.p[*at] == '\0' || strchr(any_of, s.p[*at]) == NULL) {
        return false;
    }
    (*at)++;
    return true;
}

static bool fraction(er_str s, size_t *at, int64_t *micros) {
    *micros = 0;
    if (*at >= s.n || s.p[*at] != '.') {
        return true;
    }
    (*at)++;
    size_t first = *at;
    int64_t scale = 100000;
    while (*at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9') {
        *micros += (s.p[*at] - '0') * scale;
        scale /= 10;
        (*at)++;
    }
    return *at > first;
}

static bool offset(er_str s, size_t *at, int64_t *seconds) {
    *seconds = 0;
    if (literal(s, at, "Zz")) {
        return true;
    }
    int64_t sign = *at < s.n && s.p[*at] == '-' ? -1 : 1;
    int64_t hours;
    int64_t minutes;
    if (!literal(s, at, "+-") || !digits(s, at, 2, &hours) || !literal(s, at, ":") ||
        !digits(s, at, 2, &minutes) || hours > 23 || minutes > 59) {
        return false;
    }
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

static int64_t days_in_month(int64_t year, int64_t month) {
    static const int64_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

bool er_time_parse(er_str text, er_time *out) {
    int64_t year;
    int64_t month;
    int64_t day;
    int64_t hour;
    int64_t minute;
    int64_t second;
    int64_t micros;
    int64_t shift;
    size_t at = 0;
    if (!digits(text, &at, 4, &year) || !literal(text, &at, "-") || !digits(text, &at, 2, &month) ||
        !literal(text, &at, "-") || !digits(text, &at, 2, &day) || !literal(text, &at, "Tt ") ||
        !digits(text, &at, 2, &hour) || !literal(text, &at, ":") ||
        !digits(text, &at, 2, &minute) || !literal(text, &at, ":") ||
        !digits(text, &at, 2, &second) || !fraction(text, &at, &micros) ||
        !offset(text, &at, &shift) || at != text.n) {
        return false;
    }
    if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 ||
        minute > 59 || second > 60) {
        return false;
    }
    second = second == 60 ? 59 : second;
    int64_t seconds = days_of(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *out = (seconds - shift) * 1000000 + micros;
    return true;
}

#define TIME_FIRST (-62167219200LL * 1000000)          /* 0000-01-01T00:00:00Z */
#define TIME_LAST  (253402300799LL * 1000000 + 999999) /* 9999-12-31T23:59:59.999999Z */

/* Writes v as n digits, zero-padded. */
static char *put_digits(char *to, int64_t v, unsigned n) {
    for (unsigned i = n; i > 0; i--) {
        to[i - 1] = (char)('0' + v % 10);
        v /= 10;
    }
    return to + n;
}

const char *er_time_format(er_time t, char text[ER_TIME_TEXT]) {
    t = t < TIME_FIRST ? TIME_FIRST : t > TIME_LAST ? TIME_LAST : t;
    int64_t micros = t % 1000000;
    int64_t seconds = t / 1000000;
    if (micros < 0) {
        micros += 1000000;
        seconds--;
    }
    int64_t of_day = seconds % 86400;
    int64_t day_number = seconds / 86400;
    if (of_day < 0) {
        of_day += 86400;
        day_number--;
    }
    int64_t year;
    int64_t month;
    int64_t day;
    date_of(day_number, &year, &month, &day);
    char *to = put_digits(text, year, 4);
    *to++ = '-';
    to = put_digits(to, month, 2);
    *to++ = '-';
    to = put_digits(to, day, 2);
    *to++ = 'T';
    to = put_digits(to, of_day / 3600, 2);
    *to++ = ':';
    to = put_digits(to, of_day / 60 % 60, 2);
    *to++ = ':';
    to = put_digits(to, of_day % 60, 2);
    if (micros != 0) {
        *to++ = '.';
        to = put_digits(to, micros, 6);
    }
    *to++ = 'Z';
    *to = '\0';
    return text;
}

uint64_t er_random(uint64_t n) {
    uint64_t v = 0;
    if (getrandom(&v, sizeof v, 0) != (ssize_t)sizeof v) {
        v = (uint64_t)er_mono_ns() * 0x9e3779b97f4a7c15ULL;
    }
    return v % n;
}
