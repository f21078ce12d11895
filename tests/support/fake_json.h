/* JSON as text: found by path and edited in place, without a tree, so that what a script or a
 * recording says goes out byte for byte (also when it is not valid UTF-8).
 *
 * Only the shape is looked at: brackets and strings must match. Threads: pure functions. */
#ifndef FAKE_JSON_H
#define FAKE_JSON_H

#include "base/buf.h"

/* The end of the value at p (white space before it is skipped), NULL when there is none. */
const char *fake_json_skip(const char *p, const char *end);
/* True: the text is one object and nothing else. */
bool fake_json_is_object(er_str text);
/* The value at a path like "metadata.name", as it stands there; empty when absent. */
er_str fake_json_path(er_str object, const char *path);
/* The text of the string at that path; of another value: as it stands there. Appended to out. */
void fake_json_path_text(er_str object, const char *path, er_buf *out);
/* The same of a member, whose name may hold dots; false: the object has none of that name. */
bool fake_json_member_text(er_str object, er_str name, er_buf *out);
/* Puts a value (JSON) at the path, making objects on the way; an empty value removes the member.
 * False: a step of the path is there and is no object, or the buffer is full. */
bool fake_json_set(er_buf *object, const char *path, er_str value);
/* Appends bytes as a JSON string; bytes over 0x7f pass as they are. */
void fake_json_quote(er_buf *out, er_str bytes);
/* How many records a body holds: an array's elements, else its values (NDJSON). */
size_t fake_json_records(er_str body);

#endif
