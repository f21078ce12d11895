/* A line of a script as words, and taking them one by one.
 *
 * A word ends at a blank. Inside it "..." is text with \n \r \t \" \\ \xNN, '...' is text as it
 * stands. A { or [ at the start of a word, or right after its first =, begins JSON, which is taken
 * as it stands up to its closing bracket (to the end of the line when there is none).
 * Threads: one. */
#ifndef FAKE_WORDS_H
#define FAKE_WORDS_H

#include "base/buf.h"

#define FAKE_WORDS_MAX 64

typedef struct fake_word {
    char *text; /* owned by the words, NUL-terminated (it may hold NULs, see n) */
    size_t n;
    bool quoted; /* some of it stood in quotes */
} fake_word;

typedef struct fake_words {
    fake_word v[FAKE_WORDS_MAX];
    size_t n, at; /* at: the next one */
} fake_words;

er_status fake_words_split(er_str line, fake_words *words, er_err *err);
void fake_words_fini(fake_words *words);

bool fake_words_left(const fake_words *words);
const char *fake_words_peek(const fake_words *words); /* "" at the end */
/* Takes the next word if it is this one. */
bool fake_words_is(fake_words *words, const char *word);
/* Takes the next word; what: what it should be, for the error. */
er_status fake_words_take(fake_words *words, const char *what, const fake_word **out, er_err *err);
er_status fake_words_number(fake_words *words, const char *what, uint64_t *out, er_err *err);
/* 250, 250ms or 2s. */
er_status fake_words_duration(fake_words *words, const char *what, int64_t *ns, er_err *err);
/* Error unless all were taken. */
er_status fake_words_end(const fake_words *words, er_err *err);

er_str fake_word_str(const fake_word *word);

#endif
