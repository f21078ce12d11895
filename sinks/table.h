/* Records as lines of a table for people, after the manner of `kubectl events`.
 *
 * The ages are those at the moment the record was seen, so that a line depends on nothing but the
 * record. Whatever could move the cursor, ring, colour, or reorder text on a terminal is written as
 * an escape (\n, \x1b, \u202e), so that one record is one line and cannot pretend to be another.
 * Threads: pure. */
#ifndef ER_SINKS_TABLE_H
#define ER_SINKS_TABLE_H

#include "record/record.h"

void er_table_header(er_buf *out);                                      /* with a newline */
void er_table_row(const er_record *rec, bool is_coloured, er_buf *out); /* with a newline */

/* Text of anybody as one piece of a line: escaped as above; bytes that are not UTF-8 as U+FFFD. */
void er_table_safe(er_str s, er_buf *out);

/* A span as kubectl shows it: 5s 2m 3m20s 3h 5h10m 3d4h; less than nothing is 0s.
 * Source: k8s.io/apimachinery, pkg/util/duration, HumanDuration. */
void er_table_age(er_time span_us, er_buf *out);

#endif
