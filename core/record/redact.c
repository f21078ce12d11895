#include "record/redact.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

/* ---- names ---- */

#define TAIL_MAX 128 /* of a longer one the end counts */

static char lower(char c) {
    return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

static bool is_word(char c) {
    c = lower(c);
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

/* As a whole word, separated by anything that is no letter: DB_PASS, not COMPASS. */
static bool has_segment(er_str name, const char *segment) {
    size_t n = strlen(segment);
    for (size_t i = 0; i + n <= name.n; i++) {
        bool starts = i == 0 || name.p[i - 1] == '_' || name.p[i - 1] == '-' ||
                      name.p[i - 1] == '.' || name.p[i - 1] == '/';
        size_t k = 0;
        while (k < n && lower(name.p[i + k]) == segment[k]) {
            k++;
        }
        bool ends =
            i + n == name.n || name.p[i + n] == '_' || name.p[i + n] == '-' || name.p[i + n] == '.';
        if (starts && ends && k == n) {
            return true;
        }
    }
    return false;
}

static bool is_reference(er_str name) {
    static const char *const names[] = {"secretName", "secretNamespace", "secretKeyRef",
                                        "secretRef"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (er_str_eqc(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool er_redact_is_secret_name(er_str name) {
    static const char *const stems[] = {
        "password",      "passwd",     "passphrase", "secret",        "token",
        "apikey",        "accesskey",  "privatekey", "credential",    "authorization",
        "encryptionkey", "signingkey", "clientkey",  "connectionstr", "hmackey",
    };
    static const char *const segments[] = {"pass", "pwd", "auth", "dsn", "pw"};
    if (is_reference(name)) {
        return false;
    }
    char plain[TAIL_MAX + 1]; /* small letters and digits only */
    size_t n = 0;
    for (size_t i = name.n > TAIL_MAX ? name.n - TAIL_MAX : 0; i < name.n; i++) {
        if (name.p[i] != '_' && name.p[i] != '-' && name.p[i] != '.') {
            plain[n++] = lower(name.p[i]);
        }
    }
    plain[n] = '\0';
    for (size_t i = 0; i < sizeof stems / sizeof stems[0]; i++) {
        if (strstr(plain, stems[i]) != NULL) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof segments / sizeof segments[0]; i++) {
        if (has_segment(name, segments[i])) {
            return true;
        }
    }
    return false;
}

bool er_redact_is_secret_flag(er_str arg) {
    bool is_flag = arg.n > 1 && arg.p[0] == '-' && memchr(arg.p, '=', arg.n) == NULL &&
                   memchr(arg.p, ' ', arg.n) == NULL;
    return is_flag && er_redact_is_secret_name(arg);
}

/* ---- texts ---- */

typedef struct extent {
    size_t from, to;
} extent;

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_quote(char c) {
    return c == '"' || c == '\'' || c == '`';
}

static size_t skip_blanks(er_str s, size_t at) {
    while (at < s.n && is_blank(s.p[at])) {
        at++;
    }
    return at;
}

/* Behind a quote with the backslashes before it, if one stands there. */
static size_t skip_quote(er_str s, size_t at, char *quote, size_t *slashes) {
    size_t i = at;
    while (i < s.n && s.p[i] == '\\') {
        i++;
    }
    if (i == s.n || !is_quote(s.p[i])) {
        return at;
    }
    *quote = s.p[i];
    *slashes = i - at;
    return i + 1;
}

/* Where a value that opened with a quote ends: at the next one with no more backslashes. */
static size_t quoted_end(er_str s, size_t at, char quote, size_t slashes) {
    size_t run = 0;
    for (; at < s.n; at++) {
        if (s.p[at] == quote && run <= slashes) {
            return at - run;
        }
        run = s.p[at] == '\\' ? run + 1 : 0;
    }
    return at;
}

static bool ends_value(char c, bool whole_line) {
    if (c == '\n' || c == '\r' || is_quote(c)) {
        return true;
    }
    return !whole_line && (is_blank(c) || c == ',' || c == ';' || c == '&' || c == '}' || c == ')');
}

/* The value that begins at `at`, perhaps quoted. whole_line: it may hold blanks. */
static extent value_at(er_str s, size_t at, bool whole_line) {
    char quote = 0;
    size_t slashes = 0;
    size_t from = skip_quote(s, at, &quote, &slashes);
    if (from > at) {
        return (extent){from, quoted_end(s, from, quote, slashes)};
    }
    size_t to = at;
    bool is_reference_ =
        to + 1 < s.n && s.p[to] == '$' && (s.p[to + 1] == '(' || s.p[to + 1] == '{');
    if (is_reference_) { /* $(VARIABLE): a name, not a value */
        return (extent){at, at};
    }
    while (to < s.n && !ends_value(s.p[to], whole_line)) {
        to++;
    }
    return (extent){at, to};
}

/* What follows the word [from, to) and is a secret because of it; empty: nothing. */
static extent after_word(er_str s, size_t from, size_t to) {
    er_str word = {s.p + from, to - from};
    extent none = {to, to};
    char quote;
    size_t slashes;
    size_t at = skip_blanks(s, skip_quote(s, to, &quote, &slashes));
    bool is_bearer = er_str_ieqc(word, "bearer");
    if (at < s.n && (s.p[at] == '=' || s.p[at] == ':') && er_redact_is_secret_name(word)) {
        at += s.p[at] == ':' && at + 1 < s.n && s.p[at + 1] == '=' ? 2 : 1;
        er_str tail = {word.p + (word.n > 13 ? word.n - 13 : 0), word.n > 13 ? 13 : word.n};
        return value_at(s, skip_blanks(s, at), er_str_ieqc(tail, "authorization"));
    }
    bool is_flag = word.p[0] == '-' && er_redact_is_secret_name(word);
    if (at > to && at < s.n && (is_bearer || (is_flag && s.p[at] != '-'))) {
        return value_at(s, at, false);
    }
    return none;
}

/* The user part of a URL whose "://" stands at `at`: its password, or all of it. */
static extent user_part(er_str s, size_t at) {
    size_t from = at + 3;
    size_t end = from;
    size_t colon = 0;
    size_t amp = 0;
    while (end < s.n && !is_blank(s.p[end]) && s.p[end] != '\n' && s.p[end] != '/' &&
           !is_quote(s.p[end]) && s.p[end] != '?' && s.p[end] != '#') {
        colon = s.p[end] == ':' && colon == 0 ? end + 1 : colon;
        amp = s.p[end] == '@' ? end : amp;
        end++;
    }
    if (amp == 0) {
        return (extent){at, at};
    }
    return (extent){colon > 0 && colon <= amp ? colon : from, amp};
}

static bool hide(er_str s, extent value, size_t *done, er_buf *out) {
    if (value.to <= value.from || value.from < *done) {
        return false;
    }
    er_buf_put(out, s.p + *done, value.from - *done);
    er_buf_puts(out, "***");
    *done = value.to;
    return true;
}

bool er_redact_text(er_str text, er_buf *out) {
    static const char key_line[] = "PRIVATE KEY-----";
    if (text.n > sizeof key_line && memmem(text.p, text.n, key_line, sizeof key_line - 1) != NULL) {
        er_buf_puts(out, "***");
        return true;
    }
    bool found = false;
    size_t done = 0;
    for (size_t i = 0; i < text.n;) {
        size_t to = i;
        while (to < text.n && is_word(text.p[to])) {
            to++;
        }
        extent value = {i, i};
        if (to > i) {
            value = after_word(text, i, to);
        } else if (text.n - i >= 3 && memcmp(text.p + i, "://", 3) == 0) {
            value = user_part(text, i);
        }
        bool hidden = hide(text, value, &done, out);
        found = found || hidden;
        i = hidden ? done : to > i ? to : i + 1;
    }
    er_buf_put(out, text.n > done ? text.p + done : "", text.n - done);
    return found;
}

/* ---- digests ---- */

void er_redact_digest(er_str key, er_str scope, er_str value, char out[ER_REDACT_DIGEST]) {
    er_buf text;
    er_buf_init(&text, scope.n + value.n + 1);
    er_buf_put_str(&text, scope);
    er_buf_put(&text, "", 1);
    er_buf_put_str(&text, value);
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    unsigned n = 0;
    ER_ASSERT(HMAC(EVP_sha256(), key.n > 0 ? key.p : "", (int)key.n,
                   (const unsigned char *)er_buf_cstr(&text), text.len, digest, &n) != NULL);
    er_buf_wipe(&text);
    er_buf_fini(&text);
    static const char hex[] = "0123456789abcdef";
    for (unsigned i = 0; i < ER_REDACT_DIGEST - 1; i++) {
        out[i] = hex[(i % 2 == 0 ? digest[i / 2] >> 4 : digest[i / 2]) & 15];
    }
    out[ER_REDACT_DIGEST - 1] = '\0';
}
