/* One change in a few words, for the message of a record. Threads: pure. */
#ifndef ER_RECORD_CHANGE_TEXT_H
#define ER_RECORD_CHANGE_TEXT_H

#include "record/diff.h"

#define ER_CHANGE_PARTS_MAX 8 /* changes that a message names */

/* "image web: nginx:1.25 → nginx:1.27", "label team added: shop", "env web reordered". At most
 * about 600 bytes on one line. */
void er_change_in_words(const er_diff_change *change, er_buf *out);

/* s on one line, cut at n bytes. */
void er_change_words(er_str s, size_t n, er_buf *out);

#endif
