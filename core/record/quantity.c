#include "record/quantity.h"

#include <string.h>

__extension__ typedef __int128 wide;

#define NANO_DIGITS 9
#define DIGITS_MAX  18
#define WIDE_MAX    ((wide)1 << 110)

typedef struct suffix {
    const char *text;
    int tens; /* powers */
    int twos;
} suffix;

static bool find_suffix(er_str text, suffix *out) {
    static const suffix all[] = {
        {"", 0, 0},    {"n", -9, 0},  {"u", -6, 0},  {"m", -3, 0},  {"k", 3, 0},   {"M", 6, 0},
        {"G", 9, 0},   {"T", 12, 0},  {"P", 15, 0},  {"E", 18, 0},  {"Ki", 0, 10}, {"Mi", 0, 20},
        {"Gi", 0, 30}, {"Ti", 0, 40}, {"Pi", 0, 50}, {"Ei", 0, 60},
    };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (er_str_eqc(text, all[i].text)) {
            *out = all[i];
            return true;
        }
    }
    /* "e3", "E-2" */
    bool is_exponent = text.n >= 2 && (text.p[0] == 'e' || text.p[0] == 'E');
    bool is_negative = is_exponent && text.p[1] == '-';
    size_t sign = is_exponent && (is_negative || text.p[1] == '+') ? 2 : 1;
    uint64_t power;
    if (!is_exponent || !er_parse_u64((er_str){text.p + sign, text.n - sign}, &power) ||
        power > 27) {
        return false;
    }
    *out = (suffix){"", is_negative ? -(int)power : (int)power, 0};
    return true;
}

/* v * 10^tens * 2^twos; false when that is not a whole number or too large. */
static bool scale(wide v, int tens, int twos, wide *out) {
    for (; twos > 0 && v < WIDE_MAX && v > -WIDE_MAX; twos--) {
        v *= 2;
    }
    for (; tens > 0 && v < WIDE_MAX && v > -WIDE_MAX; tens--) {
        v *= 10;
    }
    for (; tens < 0 && v % 10 == 0 && v != 0; tens++) {
        v /= 10;
    }
    *out = v;
    return v == 0 || (twos == 0 && tens == 0);
}

/* In billionths. */
static bool parse(er_str s, wide *out) {
    size_t i = s.n > 0 && (s.p[0] == '-' || s.p[0] == '+');
    bool is_negative = i > 0 && s.p[0] == '-';
    wide v = 0;
    unsigned digits = 0;
    int places = 0;
    bool has_point = false;
    for (; i < s.n && ((s.p[i] >= '0' && s.p[i] <= '9') || (s.p[i] == '.' && !has_point)); i++) {
        if (s.p[i] == '.') {
            has_point = true;
            continue;
        }
        v = v * 10 + (s.p[i] - '0');
        places += has_point;
        digits++;
        if (digits > DIGITS_MAX) {
            return false;
        }
    }
    suffix unit;
    if (digits == 0 || !find_suffix((er_str){s.p + i, s.n - i}, &unit)) {
        return false;
    }
    return scale(is_negative ? -v : v, unit.tens + NANO_DIGITS - places, unit.twos, out);
}

bool er_quantity_equal(er_str a, er_str b) {
    wide x;
    wide y;
    return parse(a, &x) && parse(b, &y) && x == y;
}
