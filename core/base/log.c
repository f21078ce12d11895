#include "base/log.h"

#include "base/json_write.h"
#include "base/thread.h"

#include <stdatomic.h>
#include <unistd.h>

#define LINE_MAX_BYTES 16384
#define REPEAT_MS      10000
#define SITES          256

/* One place of the table for each kind of warning, by hash: a clash only suppresses too much for
 * ten seconds, never says a wrong thing. */
typedef struct site {
    uint64_t hash;
    int64_t until_ms;
    int64_t suppressed;
} site;

static struct {
    er_mutex lock; /* sites */
    site sites[SITES];
    er_log_level level;
    bool text;
    atomic_uint_fast64_t counts[ER_LOG_ERROR + 1];
} logger = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = ER_LOG_INFO};

void er_log_setup(er_log_level level, bool text_format) {
    logger.level = level;
    logger.text = text_format;
}

uint64_t er_log_count(er_log_level level) {
    return atomic_load(&logger.counts[level]);
}

const char *er_log_level_name(er_log_level level) {
    static const char *const names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
    return names[level];
}

/* False: the line is a repeat. Else *suppressed is how many repeats were left out before it. */
static bool pass(const char *component, const char *message, const er_log_field *fields,
                 int64_t *suppressed) {
    uint64_t hash = er_hash(ER_HASH_SEED, component, er_str_of(component).n);
    hash = er_hash(hash, message, er_str_of(message).n);
    if (fields[0].key != NULL) {
        hash = er_hash(hash, fields[0].text.p, fields[0].is_number ? 0 : fields[0].text.n);
    }
    int64_t now = er_mono_ms();
    bool passes = true;
    er_lock(&logger.lock);
    site *s = &logger.sites[hash % SITES];
    *suppressed = 0;
    if (s->hash == hash && now < s->until_ms) {
        s->suppressed++;
        passes = false;
    } else {
        *suppressed = s->hash == hash ? s->suppressed : 0;
        *s = (site){.hash = hash, .until_ms = now + REPEAT_MS};
    }
    er_unlock(&logger.lock);
    return passes;
}

static void put_json(er_buf *line, er_log_level level, const char *component, const char *message,
                     const er_log_field *fields, int64_t suppressed) {
    er_jw w;
    er_jw_init(&w, line);
    er_jw_object(&w);
    char time[ER_TIME_TEXT];
    /* Milliseconds are what log stacks keep. */
    er_jw_kstr(&w, "time", er_str_of(er_time_format(er_time_now() / 1000 * 1000, time)));
    er_jw_kstr(&w, "severity", er_str_of(er_log_level_name(level)));
    er_jw_kstr(&w, "message", er_str_of(message));
    er_jw_kstr(&w, "component", er_str_of(component));
    for (const er_log_field *f = fields; f->key != NULL; f++) {
        if (f->is_number) {
            er_jw_kint(&w, f->key, f->number);
        } else if (f->is_json) {
            er_jw_key(&w, f->key);
            er_jw_raw(&w, f->text);
        } else {
            er_jw_kstr(&w, f->key, f->text);
        }
    }
    if (suppressed > 0) {
        er_jw_kint(&w, "suppressed", suppressed);
    }
    er_jw_object_end(&w);
}

static void put_text(er_buf *line, er_log_level level, const char *component, const char *message,
                     const er_log_field *fields, int64_t suppressed) {
    char time[ER_TIME_TEXT];
    er_buf_putf(line, "%.19sZ %-7s %s: %s", er_time_format(er_time_now(), time),
                er_log_level_name(level), component, message);
    for (const er_log_field *f = fields; f->key != NULL; f++) {
        er_buf_putf(line, " %s=", f->key);
        if (f->is_number) {
            er_buf_putf(line, "%lld", (long long)f->number);
        } else if (f->is_json) {
            er_buf_put_str(line, f->text);
        } else {
            er_json_quote(line, f->text);
        }
    }
    if (suppressed > 0) {
        er_buf_putf(line, " suppressed=%lld", (long long)suppressed);
    }
}

static void write_line(er_buf *line) {
    er_buf_putc(line, '\n');
    if (er_buf_status(line) == ER_OK) {
        ssize_t ignored = write(STDERR_FILENO, line->p, line->len);
        (void)ignored; /* there is nowhere left to say it */
    }
}

void er_log_write(er_log_level level, const char *component, const char *message,
                  const er_log_field *fields) {
    if (level < logger.level) {
        return;
    }
    int64_t suppressed = 0;
    if (level >= ER_LOG_WARNING && !pass(component, message, fields, &suppressed)) {
        return;
    }
    atomic_fetch_add(&logger.counts[level], 1);
    er_buf line;
    er_buf_init(&line, LINE_MAX_BYTES);
    (logger.text ? put_text : put_json)(&line, level, component, message, fields, suppressed);
    if (er_buf_status(&line) == ER_E_LIMIT) {
        /* A field too long for a line: say the rest without fields rather than nothing. */
        er_buf_clear(&line);
        (logger.text ? put_text : put_json)(&line, level, component, message,
                                            &(const er_log_field){.key = NULL}, suppressed);
    }
    write_line(&line);
    er_buf_fini(&line);
}
