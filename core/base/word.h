/* Eight bytes at a time: what scanners of long texts are made of.
 *
 * Bit tricks after Warren, Hacker's Delight, section 6-1. Threads: pure. */
#ifndef ER_BASE_WORD_H
#define ER_BASE_WORD_H

#include <stdint.h>
#include <string.h>

#define ER_WORD_EACH(b) (0x0101010101010101ULL * (b)) /* that byte, eight times */
#define ER_WORD_HIGH    ER_WORD_EACH(0x80)

static inline uint64_t er_word_load(const char *p) {
    uint64_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* Not 0 when a byte of word is zero, and 0 when none is. */
static inline uint64_t er_word_zero(uint64_t word) {
    return (word - ER_WORD_EACH(1)) & ~word & ER_WORD_HIGH;
}

/* Not 0 when a byte of word is c, and 0 when none is. */
static inline uint64_t er_word_has(uint64_t word, unsigned char c) {
    return er_word_zero(word ^ ER_WORD_EACH(c));
}

#endif
