/* The program's own log: one line per message on stderr, JSON or text, never a record or a secret.
 *
 * Message texts are constant; what varies goes into fields. Identical warnings and errors (same
 * component, message and first field) are written at most once per 10 s, the next one carries
 * `suppressed`. The log is process-wide by nature: er_log_setup is called once, in main.
 * Threads: any. A line is written with one write(2). */
#ifndef ER_BASE_LOG_H
#define ER_BASE_LOG_H

#include "base/str.h"

typedef enum er_log_level {
    ER_LOG_DEBUG,
    ER_LOG_INFO,
    ER_LOG_WARNING,
    ER_LOG_ERROR,
} er_log_level;

typedef struct er_log_field {
    const char *key; /* camelCase; NULL ends the list */
    er_str text;     /* used when is_number is false; repaired and escaped */
    int64_t number;
    bool is_number;
    bool is_json; /* text is JSON made by core/base/json_write.h */
} er_log_field;

#define ER_LS(k, cstr)  ((er_log_field){.key = (k), .text = er_str_of(cstr)})
#define ER_LT(k, slice) ((er_log_field){.key = (k), .text = (slice)})
#define ER_LJ(k, json)  ((er_log_field){.key = (k), .text = (json), .is_json = true})
#define ER_LI(k, v)     ((er_log_field){.key = (k), .number = (int64_t)(v), .is_number = true})

/* ER_LOG(ER_LOG_WARNING, "watch", "cannot list", ER_LS("watch", name), ER_LS("error", err.msg));
 * ER_LOG0 is for a message without fields. */
#define ER_LOG(level, component, message, ...)                                                     \
    er_log_write((level), (component), (message),                                                  \
                 (const er_log_field[]){__VA_ARGS__, {.key = NULL}})
#define ER_LOG0(level, component, message)                                                         \
    er_log_write((level), (component), (message), (const er_log_field[]){{.key = NULL}})

void er_log_setup(er_log_level level, bool text_format);
void er_log_write(er_log_level level, const char *component, const char *message,
                  const er_log_field *fields);
/* Lines written per level since the start, for log_messages_total. */
uint64_t er_log_count(er_log_level level);
const char *er_log_level_name(er_log_level level); /* DEBUG INFO WARNING ERROR */

#endif
