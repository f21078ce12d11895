/* The command that puts one record into a stream, as Redis reads it (RESP2 arrays of bulk strings).
 *
 *   XADD stream [NOMKSTREAM] [MAXLEN ~ n | MINID ~ ms] * field value ...
 *
 * With dedupe it stands in a script that first looks for a marker of the record:
 *
 *   EVAL script 2 marker stream seconds (what follows the stream above)
 *
 * The marker is set after the entry is there, never before: an XADD that fails leaves none, so that
 * the next attempt is not taken for a repetition. Between the two nothing can come, since a script
 * is alone on the server; if the marker cannot be written the record is repeated, not lost. A
 * repetition answers 0 and writes its marker anew, so that WAIT has something to wait for.
 * Source: https://redis.io/docs/latest/commands/xadd/.
 *
 * Threads: pure. */
#ifndef ER_SINKS_REDIS_COMMAND_H
#define ER_SINKS_REDIS_COMMAND_H

#include "config/config.h"
#include "record/record.h"

#define ER_REDIS_ARGV_MAX 64

typedef struct er_redis_entry { /* settings */
    char *stream;               /* a name template */
    int64_t max_len;            /* -1: none */
    int64_t min_id_ms;          /* -1: none */
    bool no_mk_stream;
    er_cfg_strings fields; /* names that er_redis_field_check takes */
    struct {
        int64_t ttl_ms; /* -1: no dedupe */
        char *prefix;
    } dedupe;
} er_redis_entry;

/* For er_field.check: whether an entry may have a field of that name. */
er_status er_redis_field_check(const char *name, er_err *err);

/* Appends the whole command. MINID is the record's observed time less min_id: a function of the
 * record, so that a repeated attempt trims what the first one did, and never by an Event's own time
 * of a wrong clock. Errors: those of out. */
void er_redis_entry_put(const er_redis_entry *entry, const er_record *rec, er_buf *out);

/* Appends any command. */
void er_redis_command_put(const er_str *argv, size_t n, er_buf *out);

/* Takes apart what the two above wrote; the slices point into command. Returns their number. */
size_t er_redis_command_split(er_str command, er_str argv[ER_REDIS_ARGV_MAX]);

/* Command and target for people, then a line for each field, in their order. Values with line
 * breaks or control characters stand as JSON strings, all others byte for byte. */
void er_redis_entry_show(er_str command, er_buf *out);

#endif
