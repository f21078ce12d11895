/* Canonical JSON -> a draft of the record it was written from: what er_record_json writes, read
 * back and sealed, gives the same bytes.
 *
 * The draft's slices borrow from the JSON and from texts. Threads: pure. */
#ifndef ER_RECORD_READ_H
#define ER_RECORD_READ_H

#include "record/event.h"

/* texts: cleared, and filled with what is not a string of the JSON (diffs).
 * object: a record of schema eventrouter.io/v1 (config/record.schema.json). What a record of its
 * kind may lack is left empty; unknown members are ignored. Errors: ER_E_INVAL naming the member
 * when the schema is another one, the kind or severity is unknown, the id is not legal, or a time
 * or count that must be there is not. */
er_status er_draft_from_json(const er_json *object, er_buf *texts, er_draft *draft, er_err *err);

#endif
