#include "fake_words.h"

#include "fake_json.h"

#include <stdlib.h>
#include <string.h>

#define WORD_MAX ((size_t)64 << 20)

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* p: behind the backslash. */
static const char *put_escape(er_buf *out, const char *p, const char *end) {
    if (p == end) {
        return p;
    }
    if (*p == 'x' && end - p > 2 && hex_digit(p[1]) >= 0 && hex_digit(p[2]) >= 0) {
        er_buf_putc(out, (char)(hex_digit(p[1]) * 16 + hex_digit(p[2])));
        return p + 3;
    }
    er_buf_putc(out, *p == 'n' ? '\n' : *p == 'r' ? '\r' : *p == 't' ? '\t' : *p);
    return p + 1;
}

/* p: the opening quote. NULL: there is no closing one. */
static const char *put_quoted(er_buf *out, const char *p, const char *end) {
    char quote = *p++;
    while (p < end && *p != quote) {
        if (*p == '\\' && quote == '"') {
            p = put_escape(out, p + 1, end);
        } else {
            er_buf_putc(out, *p++);
        }
    }
    return p < end ? p + 1 : NULL;
}

static const char *put_json(er_buf *out, const char *p, const char *end) {
    const char *over = fake_json_skip(p, end);
    over = over == NULL ? end : over;
    er_buf_put(out, p, (size_t)(over - p));
    return over;
}

/* One word into out; the position behind it, NULL when a quote is not closed. */
static const char *split_one(const char *p, const char *end, er_buf *out, bool *quoted) {
    bool may_be_json = true;
    bool has_equals = false;
    while (p != NULL && p < end && *p != ' ' && *p != '\t') {
        if (may_be_json && (*p == '{' || *p == '[')) {
            return put_json(out, p, end);
        }
        may_be_json = *p == '=' && !has_equals;
        has_equals |= may_be_json;
        if (*p == '"' || *p == '\'') {
            *quoted = true;
            p = put_quoted(out, p, end);
        } else {
            er_buf_putc(out, *p++);
        }
    }
    return p;
}

er_status fake_words_split(er_str line, fake_words *words, er_err *err) {
    const char *p = line.p;
    const char *end = line.p + line.n;
    *words = (fake_words){0};
    for (;;) {
        while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) {
            p++;
        }
        if (p == end) {
            return ER_OK;
        }
        if (words->n == FAKE_WORDS_MAX) {
            return er_err_set(err, ER_E_INVAL, "more than %d words", FAKE_WORDS_MAX);
        }
        er_buf text;
        er_buf_init(&text, WORD_MAX);
        er_buf_put(&text, "", 0);
        fake_word *word = &words->v[words->n];
        p = split_one(p, end, &text, &word->quoted);
        if (p == NULL || er_buf_status(&text) != ER_OK) {
            er_buf_fini(&text);
            return er_err_set(err, ER_E_INVAL, "a quote is not closed");
        }
        word->text = er_buf_take(&text, &word->n);
        words->n++;
    }
}

void fake_words_fini(fake_words *words) {
    for (size_t i = 0; i < words->n; i++) {
        free(words->v[i].text);
    }
    *words = (fake_words){0};
}

er_str fake_word_str(const fake_word *word) {
    return (er_str){word->text, word->n};
}

bool fake_words_left(const fake_words *words) {
    return words->at < words->n;
}

const char *fake_words_peek(const fake_words *words) {
    return fake_words_left(words) ? words->v[words->at].text : "";
}

bool fake_words_is(fake_words *words, const char *word) {
    bool is = fake_words_left(words) && !words->v[words->at].quoted &&
              strcmp(words->v[words->at].text, word) == 0;
    words->at += is;
    return is;
}

static er_status missing(const char *what, er_err *err) {
    return er_err_set(err, ER_E_INVAL, "%s is missing", what);
}

er_status fake_words_take(fake_words *words, const char *what, const fake_word **out, er_err *err) {
    if (!fake_words_left(words)) {
        return missing(what, err);
    }
    *out = &words->v[words->at];
    words->at++;
    return ER_OK;
}

er_status fake_words_number(fake_words *words, const char *what, uint64_t *out, er_err *err) {
    if (!fake_words_left(words)) {
        return missing(what, err);
    }
    const fake_word *word = &words->v[words->at++];
    if (!er_parse_u64(fake_word_str(word), out)) {
        return er_err_set(err, ER_E_INVAL, "%s: \"%s\" is no number", what, word->text);
    }
    return ER_OK;
}

er_status fake_words_duration(fake_words *words, const char *what, int64_t *ns, er_err *err) {
    if (!fake_words_left(words)) {
        return missing(what, err);
    }
    const fake_word *word = &words->v[words->at++];
    er_str text = fake_word_str(word);
    size_t digits = strspn(word->text, "0123456789");
    er_str unit = {text.p + digits, text.n - digits};
    uint64_t n = 0;
    bool is_s = er_str_eqc(unit, "s");
    if (!er_parse_u64((er_str){text.p, digits}, &n) || n > 1000000 ||
        !(is_s || unit.n == 0 || er_str_eqc(unit, "ms"))) {
        return er_err_set(err, ER_E_INVAL, "%s: \"%s\" is no duration like 250ms or 2s", what,
                          word->text);
    }
    *ns = (int64_t)n * (is_s ? 1000000000 : 1000000);
    return ER_OK;
}

er_status fake_words_end(const fake_words *words, er_err *err) {
    if (fake_words_left(words)) {
        return er_err_set(err, ER_E_INVAL, "\"%s\": unknown or too much", fake_words_peek(words));
    }
    return ER_OK;
}
