/* http/retry_after and base/clock: what HTTP headers and Events say of times.
 *
 * Input: a header's value or a time of RFC 3339; its first bytes also serve as a number from which
 * valid ones are made. */
#include "fuzz.h"

#include "base/clock.h"
#include "http/http.h"

#include <curl/curl.h>
#include <time.h>

#define NOW_S INT64_C(1767323060)
#define NOW   (NOW_S * 1000000)
#define MAX_S (ER_HTTP_RETRY_AFTER_MAX_MS / 1000)

static int64_t clamped_ms(int64_t seconds) {
    return seconds <= 0 ? 0 : seconds >= MAX_S ? ER_HTTP_RETRY_AFTER_MAX_MS : seconds * 1000;
}

/* ---- any bytes ---- */

static void any_retry_after(er_str text) {
    int64_t ms = er_http_retry_after(text, NOW);
    FUZZ_CHECK(ms >= -1 && ms <= ER_HTTP_RETRY_AFTER_MAX_MS);
    er_buf padded;
    er_buf_init(&padded, text.n + 4);
    er_buf_puts(&padded, " \t");
    er_buf_put_str(&padded, text);
    er_buf_puts(&padded, " ");
    FUZZ_CHECK(er_http_retry_after(er_buf_str(&padded), NOW) == ms);
    er_str trimmed = er_str_trim(er_buf_str(&padded));
    bool digits = trimmed.n > 0 && trimmed.n < 10;
    for (size_t i = 0; i < trimmed.n; i++) {
        digits = digits && trimmed.p[i] >= '0' && trimmed.p[i] <= '9';
    }
    if (digits) {
        FUZZ_CHECK(ms == clamped_ms(strtol(trimmed.p, NULL, 10)));
    } else if (ms >= 0 && trimmed.n == 29 && trimmed.p[0] >= 'A') {
        /* The preferred form: libcurl's parser, which is laxer, must agree. To it years below 100
         * are of this time, those before the calendar was reformed are none, and :60 is a second of
         * its own. */
        char *copy = er_str_dup(trimmed);
        time_t then = curl_getdate(copy, NULL);
        if (memcmp(copy + strlen("Thu, 01 Jan "), "1583", 4) >= 0 && strstr(copy, ":60 ") == NULL) {
            FUZZ_CHECK(ms == clamped_ms(then - NOW_S));
        }
        free(copy);
    }
    er_buf_fini(&padded);
}

static void any_rfc3339(er_str text) {
    er_time t;
    if (!er_time_parse(text, &t)) {
        return;
    }
    char once[ER_TIME_TEXT];
    (void)er_time_format(t, once);
    FUZZ_CHECK(text.n >= 20 && memcmp(text.p + 13, ":", 1) == 0);
    er_time again;
    FUZZ_CHECK(er_time_parse(er_str_of(once), &again));
    struct tm tm = {0};
    const char *rest = strptime(once, "%Y-%m-%dT%H:%M:%S", &tm);
    FUZZ_CHECK(rest != NULL && (rest[0] == 'Z' || rest[0] == '.'));
    int64_t seconds = timegm(&tm);
    int64_t micros = again - seconds * 1000000;
    FUZZ_CHECK(micros >= 0 && micros < 1000000);
    /* An offset may lead out of the years 0 to 9999; the nearest end is written then. */
    bool at_an_end = memcmp(once, "0000-01-01", 10) == 0 || memcmp(once, "9999-12-31", 10) == 0;
    FUZZ_CHECK(again == t || at_an_end);
}

/* ---- valid ones ---- */

static void made(fuzz_input in) {
    uint64_t raw = 0;
    for (int i = 0; i < 5; i++) {
        raw = raw << 8 | fuzz_byte(&in);
    }
    /* Near now, or anywhere from 1976 to 2049: the century of two digits. */
    int64_t seconds = raw % 4 != 0 ? NOW_S + (int64_t)(raw / 4 % 1000) - 500
                                   : INT64_C(189302400) + (int64_t)(raw / 4 % 2335219200);
    time_t then = (time_t)seconds;
    struct tm tm;
    FUZZ_CHECK(gmtime_r(&then, &tm) != NULL);
    char texts[4][64];
    FUZZ_CHECK(strftime(texts[0], sizeof texts[0], "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0);
    char day[24];
    FUZZ_CHECK(strftime(day, sizeof day, "%A, %d-%b-", &tm) > 0);
    (void)snprintf(texts[1], sizeof texts[1], "%s%02d %02d:%02d:%02d GMT", day, tm.tm_year % 100,
                   tm.tm_hour, tm.tm_min, tm.tm_sec);
    FUZZ_CHECK(strftime(texts[2], sizeof texts[2], "%a %b %e %H:%M:%S %Y", &tm) > 0);
    FUZZ_CHECK(strftime(texts[3], sizeof texts[3], "%Y-%m-%dT%H:%M:%SZ", &tm) > 0);
    for (size_t i = 0; i < 3; i++) {
        FUZZ_CHECK(er_http_retry_after(er_str_of(texts[i]), NOW) == clamped_ms(seconds - NOW_S));
    }
    er_time t;
    char again[ER_TIME_TEXT];
    FUZZ_CHECK(er_time_parse(er_str_of(texts[3]), &t) && t == seconds * 1000000);
    FUZZ_CHECK(strcmp(er_time_format(t, again), texts[3]) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    er_str text = {(const char *)data, size};
    any_retry_after(text);
    any_rfc3339(text);
    made((fuzz_input){text.p, text.n});
    return 0;
}
