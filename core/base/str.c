#include "base/str.h"

#include "base/err.h"
#include "base/word.h"

#include <stdlib.h>
#include <string.h>

er_str er_str_of(const char *cstr) {
    return (er_str){cstr, cstr == NULL ? 0 : strlen(cstr)};
}

bool er_str_eq(er_str a, er_str b) {
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool er_str_eqc(er_str a, const char *cstr) {
    return er_str_eq(a, er_str_of(cstr));
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool er_str_ieqc(er_str a, const char *cstr) {
    er_str b = er_str_of(cstr);
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool er_str_starts(er_str s, const char *prefix) {
    size_t n = strlen(prefix);
    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

er_str er_str_trim(er_str s) {
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_space(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

uint64_t er_hash(uint64_t seed, const void *p, size_t n) {
    const unsigned char *bytes = p;
    for (size_t i = 0; i < n; i++) {
        seed = (seed ^ bytes[i]) * 0x100000001b3ULL;
    }
    return seed;
}

char *er_str_dup(er_str s) {
    char *copy = er_xcalloc(1, s.n + 1);
    if (s.n > 0) {
        memcpy(copy, s.p, s.n);
    }
    return copy;
}

char *er_dup(const char *cstr) {
    return er_str_dup(er_str_of(cstr));
}

void *er_xcalloc(size_t n, size_t size) {
    void *p = calloc(n, size);
    ER_ASSERT(p != NULL);
    return p;
}

bool er_parse_u64(er_str s, uint64_t *out) {
    if (s.n == 0) {
        return false;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(v, 10U, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
            return false;
        }
    }
    *out = v;
    return true;
}

static bool is_tail(unsigned char c) {
    return (c & 0xc0U) == 0x80U;
}

/* RFC 3629 section 4, the ABNF spelled out: the second byte's range depends on the first. */
size_t er_utf8_len(const char *p, size_t n) {
    const unsigned char *b = (const unsigned char *)p;
    if (n == 0) {
        return 0;
    }
    if (b[0] < 0x80) {
        return 1;
    }
    if (b[0] >= 0xc2 && b[0] <= 0xdf) {
        return n >= 2 && is_tail(b[1]) ? 2 : 0;
    }
    unsigned char low = 0x80;
    unsigned char high = 0xbf;
    if (b[0] >= 0xe0 && b[0] <= 0xef) {
        low = b[0] == 0xe0 ? 0xa0 : low;
        high = b[0] == 0xed ? 0x9f : high;
        return n >= 3 && b[1] >= low && b[1] <= high && is_tail(b[2]) ? 3 : 0;
    }
    if (b[0] >= 0xf0 && b[0] <= 0xf4) {
        low = b[0] == 0xf0 ? 0x90 : low;
        high = b[0] == 0xf4 ? 0x8f : high;
        return n >= 4 && b[1] >= low && b[1] <= high && is_tail(b[2]) && is_tail(b[3]) ? 4 : 0;
    }
    return 0;
}

/* How many bytes at the start of s are ASCII, or a few less: eight are looked at together. */
static size_t ascii_run(const char *p, size_t n) {
    size_t i = 0;
    while (i + sizeof(uint64_t) <= n && (er_word_load(p + i) & ER_WORD_HIGH) == 0) {
        i += sizeof(uint64_t);
    }
    return i;
}

bool er_utf8_valid(er_str s) {
    size_t i = s.n < sizeof(uint64_t) ? 0 : ascii_run(s.p, s.n);
    while (i < s.n) {
        size_t len = er_utf8_len(s.p + i, s.n - i);
        if (len == 0) {
            return false;
        }
        i += len;
    }
    return true;
}

size_t er_utf8_cut(er_str s, size_t max) {
    if (s.n <= max) {
        return s.n;
    }
    size_t at = max;
    /* A sequence has at most three tail bytes: look back over them for the start. */
    for (unsigned back = 0; back < 4 && at > 0; back++, at--) {
        if (!is_tail((unsigned char)s.p[at])) {
            return at;
        }
    }
    return max;
}

#define DISTANCE_MAX 64

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/* Optimal string alignment: two neighbours swapped are one mistake. Three rows of the table. */
unsigned er_str_distance(er_str a, er_str b) {
    if (a.n > DISTANCE_MAX || b.n > DISTANCE_MAX) {
        return DISTANCE_MAX;
    }
    unsigned rows[3][DISTANCE_MAX + 1];
    for (unsigned j = 0; j <= b.n; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a.n; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            bool same = lower(a.p[i - 1]) == lower(b.p[j - 1]);
            row[j] = least(above[j - 1] + (same ? 0 : 1), least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && lower(a.p[i - 1]) == lower(b.p[j - 2]) &&
                lower(a.p[i - 2]) == lower(b.p[j - 1])) {
                row[j] = least(row[j], rows[(i + 1) % 3][j - 2] + 1);
            }
        }
    }
    return rows[a.n % 3][b.n];
}

void er_nearest_init(er_nearest *nearest, er_str key) {
    unsigned most = key.n < 5 ? 1 : key.n < 9 ? 2 : 3; /* mistakes */
    *nearest = (er_nearest){.key = key, .distance = most + 1};
}

void er_nearest_try(er_nearest *nearest, er_str candidate) {
    size_t a = nearest->key.n;
    size_t b = candidate.n;
    if (a < 2) { /* nothing of a text of one letter would be left */
        return;
    }
    /* "warn" is "warning", unless something else is nearer. */
    if (a >= 4 && a < b && nearest->found.p == NULL &&
        memcmp(nearest->key.p, candidate.p, a) == 0) {
        nearest->found = candidate;
    }
    if ((a > b ? a - b : b - a) >= nearest->distance) {
        return;
    }
    unsigned distance = er_str_distance(nearest->key, candidate);
    if (distance < nearest->distance) {
        nearest->distance = distance;
        nearest->found = candidate;
    }
}
