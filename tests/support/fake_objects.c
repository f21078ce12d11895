/* Commands that write one object, and the values they take. */
#include "fake_json.h"
#include "fake_script.h"
#include "fake_store.h"

#include <stdlib.h>
#include <string.h>

#define OBJECT_MAX ((size_t)512 << 20)

/* ---- values ---- */

static void put_times(er_buf *out, char c, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        er_buf_putc(out, c);
    }
}

/* @now, @x:N, @levels:N */
static er_status generate(er_str value, er_buf *out, er_err *err) {
    char text[ER_TIME_TEXT];
    const char *colon = memchr(value.p, ':', value.n);
    size_t n = colon == NULL ? value.n : (size_t)(colon - value.p);
    er_str name = {value.p, n};
    uint64_t count = 0;
    bool counted = colon != NULL && er_parse_u64((er_str){colon + 1, value.n - n - 1}, &count) &&
                   count <= OBJECT_MAX / 2;
    if (er_str_eqc(name, "@now") && colon == NULL) {
        fake_json_quote(out, er_str_of(er_time_format(er_time_now(), text)));
    } else if (er_str_eqc(name, "@x") && counted) {
        er_buf_putc(out, '"');
        put_times(out, 'x', count);
        er_buf_putc(out, '"');
    } else if (er_str_eqc(name, "@levels") && counted) {
        put_times(out, '[', count);
        put_times(out, ']', count);
    } else {
        return er_err_set(err, ER_E_INVAL, "%.*s: values are made by @now, @x:BYTES, @levels:N",
                          (int)value.n, value.p);
    }
    return ER_OK;
}

static bool is_json(er_str value) {
    static const char *const words[] = {"null", "true", "false"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (er_str_eqc(value, words[i])) {
            return true;
        }
    }
    size_t sign = value.n > 1 && value.p[0] == '-';
    uint64_t number = 0;
    return (value.n > 0 && (value.p[0] == '{' || value.p[0] == '[')) ||
           er_parse_u64((er_str){value.p + sign, value.n - sign}, &number);
}

/* "-" removes: nothing is put. */
static er_status put_value(er_str value, bool quoted, er_buf *out, er_err *err) {
    if (!quoted && er_str_eqc(value, "-")) {
        return ER_OK;
    }
    if (!quoted && value.n > 0 && value.p[0] == '@') {
        return generate(value, out, err);
    }
    if (!quoted && is_json(value)) {
        er_buf_put_str(out, value);
    } else {
        fake_json_quote(out, value);
    }
    return ER_OK;
}

/* Short names of what is set often. */
static const char *full_path(fake_resource resource, const char *path) {
    static const struct {
        const char *name, *path;
        bool of_events; /* alone */
    } names[] = {
        {"namespace", "metadata.namespace", false},
        {"uid", "metadata.uid", false},
        {"kind", "involvedObject.kind", true},
        {"object", "involvedObject.name", true},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(path, names[i].name) == 0 && (resource == FAKE_EVENTS || !names[i].of_events)) {
            return names[i].path;
        }
    }
    return path;
}

static er_status set_field(fake_resource resource, er_buf *json, const fake_word *word,
                           er_err *err) {
    const char *equals = strchr(word->text, '=');
    if (equals == NULL || equals == word->text) {
        return er_err_set(err, ER_E_INVAL, "\"%s\" should be FIELD=VALUE", word->text);
    }
    size_t at = (size_t)(equals - word->text) + 1;
    char *path = er_str_dup((er_str){word->text, at - 1});
    er_buf value;
    er_buf_init(&value, OBJECT_MAX);
    er_status status =
        put_value((er_str){word->text + at, word->n - at}, word->quoted, &value, err);
    const char *full = full_path(resource, path);
    bool is_fixed = strcmp(full, "kind") == 0 || strcmp(full, "apiVersion") == 0;
    if (status == ER_OK && (is_fixed || !fake_json_set(json, full, er_buf_str(&value)))) {
        status = er_err_set(err, ER_E_INVAL, "%s: cannot be set", path);
    }
    er_buf_fini(&value);
    free(path);
    return status;
}

er_status fake_fields_set(fake_resource resource, er_buf *json, fake_words *words, er_err *err) {
    er_status status = ER_OK;
    while (status == ER_OK && fake_words_left(words)) {
        status = set_field(resource, json, &words->v[words->at++], err);
    }
    return status;
}

/* ---- commands ---- */

typedef struct target { /* which object a command means */
    fake_resource resource;
    bool is_json; /* the word is the whole object */
    er_buf json, ns, name;
} target;

static void target_fini(target *t) {
    er_buf_fini(&t->json);
    er_buf_fini(&t->ns);
    er_buf_fini(&t->name);
}

er_status fake_resource_of_json(er_str json, fake_resource *out, er_err *err) {
    er_buf kind;
    er_buf_init(&kind, OBJECT_MAX);
    fake_json_path_text(json, "kind", &kind);
    *out = kind.len == 0 ? FAKE_EVENTS : fake_resource_of_kind(er_buf_str(&kind));
    er_status status = ER_OK;
    if (*out == FAKE_RESOURCES) {
        status = er_err_set(err, ER_E_INVAL, "kind %s: Event, Deployment and Pod are played",
                            er_buf_cstr(&kind));
    }
    er_buf_fini(&kind);
    return status;
}

static er_status take_json(target *t, const fake_word *word, er_err *err) {
    t->is_json = true;
    if (!fake_json_is_object(fake_word_str(word))) {
        return er_err_set(err, ER_E_INVAL, "the Event is no JSON object");
    }
    er_buf_put_str(&t->json, fake_word_str(word));
    er_buf_clear(&t->ns);
    fake_json_path_text(fake_word_str(word), "metadata.namespace", &t->ns);
    if (t->ns.len == 0) {
        er_buf_puts(&t->ns, "default");
    }
    fake_json_path_text(fake_word_str(word), "metadata.name", &t->name);
    return fake_resource_of_json(fake_word_str(word), &t->resource, err);
}

/* NAME of an Event, or RESOURCE/NAME. */
static er_status take_name(target *t, er_str text, er_err *err) {
    const char *slash = memchr(text.p, '/', text.n);
    size_t n = slash == NULL ? 0 : (size_t)(slash - text.p);
    t->resource = slash == NULL ? FAKE_EVENTS : fake_resource_named((er_str){text.p, n});
    if (t->resource == FAKE_RESOURCES) {
        return er_err_set(err, ER_E_INVAL, "%s: events/NAME, deployments/NAME or pods/NAME",
                          text.p);
    }
    n += slash != NULL;
    er_buf_put(&t->name, text.p + n, text.n - n);
    return ER_OK;
}

/* [RESOURCE/]NAME [namespace=NS], or a JSON object. */
static er_status take_target(target *t, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    er_buf_init(&t->json, OBJECT_MAX);
    er_buf_init(&t->ns, 1024);
    er_buf_init(&t->name, 1024);
    t->is_json = false;
    t->resource = FAKE_EVENTS;
    er_buf_puts(&t->ns, "default");
    er_status status = fake_words_take(words, "the Event's name", &word, err);
    if (status != ER_OK) {
        return status;
    }
    if (word->text[0] == '{') {
        return take_json(t, word, err);
    }
    for (size_t i = words->at; i < words->n; i++) {
        if (strncmp(words->v[i].text, "namespace=", 10) == 0) {
            er_buf_clear(&t->ns);
            er_buf_puts(&t->ns, words->v[i].text + 10);
        }
    }
    return take_name(t, fake_word_str(word), err);
}

static fake_change *stored(const fake_run *run, const target *t) {
    return fake_store_find(run->fake->store, t->resource, er_buf_str(&t->ns), er_buf_str(&t->name));
}

static void put_default(target *t) {
    er_buf ns;
    er_buf name;
    er_buf object;
    er_str full = er_buf_str(&t->name);
    const char *dot = memrchr(full.p, '.', full.n); /* "web-1.18a1f0" is about web-1 */
    er_buf_init(&ns, 4096);
    er_buf_init(&name, 4096);
    er_buf_init(&object, 4096);
    fake_json_quote(&ns, er_buf_str(&t->ns));
    fake_json_quote(&name, full);
    fake_json_quote(&object, (er_str){full.p, dot == NULL ? full.n : (size_t)(dot - full.p)});
    fake_resource_put(t->resource, &t->json, er_buf_cstr(&ns), er_buf_cstr(&name),
                      er_buf_cstr(&object));
    er_buf_fini(&ns);
    er_buf_fini(&name);
    er_buf_fini(&object);
}

static er_status write_object(fake_run *run, target *t, fake_words *words, er_err *err) {
    er_status status = fake_fields_set(t->resource, &t->json, words, err);
    if (status == ER_OK) {
        status = fake_store_write(run->fake->store, t->resource, &t->json, 0, err);
    }
    return status;
}

er_status fake_command_put(fake_run *run, fake_words *words, er_err *err) {
    target t;
    er_status status = take_target(&t, words, err);
    if (status == ER_OK && stored(run, &t) != NULL) {
        status = er_err_set(err, ER_E_INVAL, "%s/%s is there already: modify it",
                            er_buf_cstr(&t.ns), er_buf_cstr(&t.name));
    }
    if (status == ER_OK) {
        if (!t.is_json) {
            put_default(&t);
        }
        status = write_object(run, &t, words, err);
    }
    target_fini(&t);
    return status;
}

static er_status missing(target *t, er_err *err) {
    return er_err_set(err, ER_E_INVAL, "%s/%s is not there", er_buf_cstr(&t->ns),
                      er_buf_cstr(&t->name));
}

er_status fake_command_modify(fake_run *run, fake_words *words, er_err *err) {
    target t;
    er_status status = take_target(&t, words, err);
    if (status == ER_OK) {
        const fake_change *change = stored(run, &t);
        if (change != NULL && !t.is_json) {
            er_buf_put_str(&t.json, fake_change_body(change));
        }
        status = change == NULL ? missing(&t, err) : write_object(run, &t, words, err);
    }
    target_fini(&t);
    return status;
}

er_status fake_command_delete(fake_run *run, fake_words *words, er_err *err) {
    target t;
    er_status status = take_target(&t, words, err);
    if (status == ER_OK) {
        const fake_change *change = stored(run, &t);
        if (change == NULL) {
            status = missing(&t, err);
        } else {
            er_buf_clear(&t.json);
            er_buf_put_str(&t.json, fake_change_body(change));
            status = fake_fields_set(t.resource, &t.json, words, err);
        }
        if (status == ER_OK) {
            fake_store_delete(run->fake->store, change->object, &t.json, 0);
        }
    }
    target_fini(&t);
    return status;
}
