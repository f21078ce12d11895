/* Commands that write many objects: a recording, and a burst of made Events. */
#include "fake_json.h"
#include "fake_script.h"
#include "fake_store.h"

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_MAX      ((size_t)1 << 30)
#define OBJECT_MAX    ((size_t)64 << 20)
#define WRITES_A_TURN 2000
#define SECOND_NS     1000000000
#define BASE_TIME     1767323045000000 /* 2026-01-02T03:04:05Z, as fake_resource_put has it */

/* ---- load FILE [speed N | interval DURATION] [now] ---- */

typedef struct load {
    char *text; /* the file: a frame a line */
    size_t at;
    uint64_t speed;      /* of the recording's own time; 0: no matter */
    int64_t interval_ns; /* between frames; 0: no matter */
    bool now;            /* times are shifted so that each frame has just happened */
    int64_t start_ns;
    er_time first; /* time of the first frame */
    size_t played;
} load;

/* Times of Events. Of other resources all there are, wherever they stand. */
static const char *const time_paths[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                                         "firstTimestamp", "metadata.creationTimestamp"};
#define TIME_PATHS (sizeof time_paths / sizeof *time_paths)

static er_time time_at(er_str object, const char *path) {
    er_time t = ER_TIME_NONE;
    er_str raw = fake_json_path(object, path);
    if (raw.n < 2 || !er_time_parse((er_str){raw.p + 1, raw.n - 2}, &t)) {
        return ER_TIME_NONE;
    }
    return t;
}

/* The next string from *at on that is a time as Kubernetes writes them; *at moves behind it. */
static er_time next_time(er_str object, size_t *at, er_str *text) {
    static const size_t lengths[] = {sizeof "2026-01-02T03:04:05Z" - 1,
                                     sizeof "2026-01-02T03:04:05.000000Z" - 1};
    er_time t = ER_TIME_NONE;
    for (; *at < object.n; (*at)++) {
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths && object.p[*at] == '"'; i++) {
            *text = (er_str){object.p + *at + 1, lengths[i]};
            if (object.n - *at > text->n + 1 && text->p[text->n] == '"' &&
                text->p[text->n - 1] == 'Z' && er_time_parse(*text, &t)) {
                *at += text->n + 2;
                return t;
            }
        }
    }
    return ER_TIME_NONE;
}

static er_time time_of_any(er_str object) {
    er_time newest = ER_TIME_NONE;
    er_str text;
    size_t at = 0;
    for (er_time t = 0; (t = next_time(object, &at, &text)) != ER_TIME_NONE;) {
        newest = t > newest ? t : newest;
    }
    return newest;
}

/* When the frame was: its newest time. */
static er_time time_of(fake_resource resource, er_str object) {
    er_time newest = ER_TIME_NONE;
    if (resource != FAKE_EVENTS) {
        return time_of_any(object);
    }
    for (size_t i = 0; i < TIME_PATHS; i++) {
        er_time t = time_at(object, time_paths[i]);
        newest = t > newest ? t : newest;
    }
    return newest;
}

/* MicroTime has six digits always, Time none. */
static void put_time(er_buf *out, er_time t, bool is_micro) {
    char text[ER_TIME_TEXT];
    er_time whole = t - t % 1000000;
    (void)er_time_format(whole, text);
    size_t n = strlen(text) - 1; /* without the Z */
    er_buf_clear(out);
    er_buf_putf(out, "\"%.*s", (int)n, text);
    if (is_micro) {
        er_buf_putf(out, ".%06d", (int)(t - whole));
    }
    er_buf_puts(out, "Z\"");
}

/* In place: they keep their length. */
static void shift_any(er_buf *json, er_time by) {
    er_buf text;
    er_str old;
    size_t at = 0;
    er_buf_init(&text, 128);
    for (er_time t = 0; (t = next_time(er_buf_str(json), &at, &old)) != ER_TIME_NONE;) {
        put_time(&text, t + by, memchr(old.p, '.', old.n) != NULL);
        memcpy(json->p + (old.p - json->p) - 1, text.p, old.n + 2);
    }
    er_buf_fini(&text);
}

static void shift_times(fake_resource resource, er_buf *json, er_time by) {
    er_buf text;
    if (resource != FAKE_EVENTS) {
        shift_any(json, by);
        return;
    }
    er_buf_init(&text, 128);
    for (size_t i = 0; i < TIME_PATHS; i++) {
        er_time t = time_at(er_buf_str(json), time_paths[i]);
        if (t != ER_TIME_NONE) {
            bool is_micro = strstr(time_paths[i], "eventTime") != NULL ||
                            strstr(time_paths[i], "Observed") != NULL;
            put_time(&text, t + by, is_micro);
            (void)fake_json_set(json, time_paths[i], er_buf_str(&text));
        }
    }
    er_buf_fini(&text);
}

static void delete_one(fake_store *store, fake_resource resource, er_str object,
                       fake_version version) {
    er_buf ns;
    er_buf name;
    er_buf_init(&ns, 1024);
    er_buf_init(&name, 1024);
    fake_json_path_text(object, "metadata.namespace", &ns);
    fake_json_path_text(object, "metadata.name", &name);
    const fake_change *change =
        fake_store_find(store, resource, er_buf_str(&ns), er_buf_str(&name));
    if (change != NULL) {
        fake_store_delete(store, change->object, NULL, version);
    }
    er_buf_fini(&ns);
    er_buf_fini(&name);
}

static er_status write_one(fake_store *store, fake_resource resource, er_str object, bool now,
                           fake_version version, er_err *err) {
    er_buf json;
    er_buf_init(&json, OBJECT_MAX);
    er_buf_put_str(&json, object);
    er_time t = now ? time_of(resource, object) : ER_TIME_NONE;
    if (t != ER_TIME_NONE) {
        shift_times(resource, &json, er_time_now() - t);
    }
    er_status status = fake_store_write(store, resource, &json, version, err);
    er_buf_fini(&json);
    return status;
}

static er_status apply(const fake_run *run, const load *l, er_str frame, er_err *err) {
    fake_store *store = run->fake->store;
    er_str type = fake_json_path(frame, "type");
    er_str object = fake_json_path(frame, "object");
    fake_version version = 0;
    fake_resource resource = FAKE_EVENTS;
    bool is_delete = er_str_eqc(type, "\"DELETED\"");
    if (!is_delete && !er_str_eqc(type, "\"ADDED\"") && !er_str_eqc(type, "\"MODIFIED\"")) {
        return ER_OK; /* bookmarks and errors are the server's own business */
    }
    er_str digits = fake_json_path(object, "metadata.resourceVersion");
    if (digits.n > 2) {
        (void)fake_version_parse((er_str){digits.p + 1, digits.n - 2}, &version);
    }
    er_status status = fake_resource_of_json(object, &resource, err);
    if (status == ER_OK && is_delete) {
        delete_one(store, resource, object, version);
    } else if (status == ER_OK) {
        status = write_one(store, resource, object, l->now, version, err);
    }
    return status;
}

/* When the frame is due. */
static int64_t due(load *l, er_str frame) {
    if (l->interval_ns > 0) {
        return l->start_ns + (int64_t)l->played * l->interval_ns;
    }
    if (l->speed == 0) {
        return 0;
    }
    fake_resource resource = FAKE_EVENTS;
    er_str object = fake_json_path(frame, "object");
    (void)fake_resource_of_json(object, &resource, NULL);
    er_time t = time_of(resource, object);
    if (t == ER_TIME_NONE) {
        return 0;
    }
    l->first = l->first == ER_TIME_NONE ? t : l->first;
    return l->start_ns + (t - l->first) * 1000 / (int64_t)l->speed;
}

static fake_step load_step(fake_run *run, er_err *err) {
    load *l = run->task;
    for (size_t i = 0; i < WRITES_A_TURN; i++) {
        const char *line = l->text + l->at;
        size_t n = strcspn(line, "\n");
        if (n == 0) {
            return FAKE_STEP_DONE;
        }
        er_str frame = {line, n};
        run->wake_ns = due(l, frame);
        if (run->wake_ns > run->fake->now_ns) {
            return FAKE_STEP_AGAIN;
        }
        if (apply(run, l, frame, err) != ER_OK) {
            return FAKE_STEP_FAILED;
        }
        l->at += n + (line[n] == '\n');
        l->played++;
    }
    run->wake_ns = run->fake->now_ns;
    return FAKE_STEP_AGAIN;
}

static void load_free(void *task) {
    load *l = task;
    free(l->text);
    free(l);
}

static er_status read_file(const char *path, char **out, er_err *err) {
    er_buf text;
    er_buf_init(&text, FILE_MAX);
    er_status status = er_file_read(path, &text, err);
    *out = er_buf_take(&text, NULL);
    return status;
}

er_status fake_command_load(fake_run *run, fake_words *words, er_err *err) {
    const fake_word *path = NULL;
    load *l = er_xcalloc(1, sizeof *l);
    er_status status = fake_words_take(words, "the file", &path, err);
    if (status == ER_OK) {
        status = read_file(path->text, &l->text, err);
    }
    while (status == ER_OK && fake_words_left(words)) {
        if (fake_words_is(words, "now")) {
            l->now = true;
        } else if (fake_words_is(words, "speed")) {
            status = fake_words_number(words, "the speed", &l->speed, err);
        } else if (fake_words_is(words, "interval")) {
            status = fake_words_duration(words, "the interval", &l->interval_ns, err);
        } else {
            status = fake_words_end(words, err);
        }
    }
    if (status != ER_OK) {
        load_free(l);
        return status;
    }
    l->start_ns = run->fake->now_ns;
    l->first = ER_TIME_NONE;
    run->task = l;
    run->task_free = load_free;
    run->step = load_step;
    run->wake_ns = run->fake->now_ns;
    return ER_OK;
}

/* ---- burst N [prefix P] [namespace NS] [rate R] [steps S] [FIELD=VALUE ...] ---- */

typedef struct burst {
    uint64_t n, rate, steps; /* Events; writes a second, 0: no matter; patches of each */
    uint64_t done;           /* writes so far: all Events once, then all with the next count */
    int64_t start_ns;
    char *prefix, *ns;
    fake_words fields; /* set on each Event */
} burst;

static void put_name(const burst *b, uint64_t i, er_buf *name) {
    er_buf_clear(name);
    er_buf_putf(name, "%s-%llu", b->prefix, (unsigned long long)i + 1);
}

static er_status create_one(const fake_run *run, const burst *b, uint64_t i, er_buf *json,
                            er_err *err) {
    char ns[256];
    char name[256];
    char object[256];
    (void)snprintf(ns, sizeof ns, "\"%.200s\"", b->ns);
    (void)snprintf(name, sizeof name, "\"%.200s-%llu\"", b->prefix, (unsigned long long)i + 1);
    (void)snprintf(object, sizeof object, "\"%.200s-pod-%llu\"", b->prefix,
                   (unsigned long long)i % 100 + 1);
    er_buf_clear(json);
    fake_resource_put(FAKE_EVENTS, json, ns, name, object);
    fake_words fields = b->fields;
    er_status status = fake_fields_set(FAKE_EVENTS, json, &fields, err);
    return status == ER_OK ? fake_store_write(run->fake->store, FAKE_EVENTS, json, 0, err) : status;
}

static er_status patch_one(const fake_run *run, const burst *b, uint64_t i, uint64_t round,
                           er_buf *json, er_err *err) {
    er_buf text;
    er_buf_init(&text, 512);
    put_name(b, i, &text);
    const fake_change *change =
        fake_store_find(run->fake->store, FAKE_EVENTS, er_str_of(b->ns), er_buf_str(&text));
    er_status status = ER_OK;
    er_buf_clear(json);
    if (change == NULL) {
        status = er_err_set(err, ER_E_INVAL, "%s/%s has gone", b->ns, er_buf_cstr(&text));
    } else {
        er_buf_put_str(json, fake_change_body(change));
        er_buf_clear(&text);
        er_buf_put_u64(&text, round + 1);
        (void)fake_json_set(json, "count", er_buf_str(&text));
        put_time(&text, BASE_TIME + (er_time)round * 1000000, false);
        (void)fake_json_set(json, "lastTimestamp", er_buf_str(&text));
        status = fake_store_write(run->fake->store, FAKE_EVENTS, json, 0, err);
    }
    er_buf_fini(&text);
    return status;
}

static fake_step burst_step(fake_run *run, er_err *err) {
    burst *b = run->task;
    uint64_t all = b->n * (b->steps + 1);
    fake_step result = FAKE_STEP_AGAIN;
    er_buf json;
    er_buf_init(&json, OBJECT_MAX);
    run->wake_ns = run->fake->now_ns;
    for (size_t k = 0; k < WRITES_A_TURN && result == FAKE_STEP_AGAIN; k++) {
        if (b->done == all) {
            result = FAKE_STEP_DONE;
            break;
        }
        if (b->rate > 0) {
            run->wake_ns = b->start_ns + (int64_t)(b->done * SECOND_NS / b->rate);
            if (run->wake_ns > run->fake->now_ns) {
                break;
            }
        }
        uint64_t round = b->done / b->n;
        uint64_t i = b->done % b->n;
        er_status status = round == 0 ? create_one(run, b, i, &json, err)
                                      : patch_one(run, b, i, round, &json, err);
        result = status == ER_OK ? FAKE_STEP_AGAIN : FAKE_STEP_FAILED;
        b->done++;
    }
    er_buf_fini(&json);
    return result;
}

static void burst_free(void *task) {
    burst *b = task;
    free(b->prefix);
    free(b->ns);
    fake_words_fini(&b->fields);
    free(b);
}

static er_status take_name(fake_words *words, char **out, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "a name", &word, err);
    if (status == ER_OK) {
        free(*out);
        *out = er_str_dup(fake_word_str(word));
    }
    return status;
}

static er_status take_burst(burst *b, fake_words *words, er_err *err) {
    er_status status = fake_words_number(words, "how many", &b->n, err);
    if (status == ER_OK && b->n == 0) {
        return er_err_set(err, ER_E_INVAL, "at least 1");
    }
    while (status == ER_OK && fake_words_left(words)) {
        const fake_word *word = &words->v[words->at];
        if (fake_words_is(words, "prefix")) {
            status = take_name(words, &b->prefix, err);
        } else if (fake_words_is(words, "namespace")) {
            status = take_name(words, &b->ns, err);
        } else if (fake_words_is(words, "rate")) {
            status = fake_words_number(words, "the rate", &b->rate, err);
        } else if (fake_words_is(words, "steps")) {
            status = fake_words_number(words, "the steps", &b->steps, err);
        } else if (strchr(word->text, '=') != NULL) {
            b->fields.v[b->fields.n++] = (fake_word){
                .text = er_str_dup(fake_word_str(word)), .n = word->n, .quoted = word->quoted};
            words->at++;
        } else {
            status = fake_words_end(words, err);
        }
    }
    return status;
}

er_status fake_command_burst(fake_run *run, fake_words *words, er_err *err) {
    burst *b = er_xcalloc(1, sizeof *b);
    b->prefix = er_dup("burst");
    b->ns = er_dup("default");
    er_status status = take_burst(b, words, err);
    if (status != ER_OK) {
        burst_free(b);
        return status;
    }
    b->start_ns = run->fake->now_ns;
    run->task = b;
    run->task_free = burst_free;
    run->step = burst_step;
    run->wake_ns = run->fake->now_ns;
    return ER_OK;
}
