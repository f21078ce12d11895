/* Frames that scripts name. */
#include "fake_api.h"

#include <stdlib.h>
#include <string.h>

void fake_frame_open(er_buf *out, fake_resource resource, const char *type) {
    er_buf_puts(out, "{\"type\":\"");
    er_buf_puts(out, type);
    er_buf_puts(out, "\",\"object\":{\"kind\":\"");
    er_buf_puts(out, fake_resources[resource].kind);
    er_buf_puts(out, "\",\"apiVersion\":\"");
    er_buf_puts(out, fake_resources[resource].api_version);
    er_buf_puts(out, "\",");
}

void fake_error_put(er_buf *out, int code, const char *message) {
    er_buf_puts(out, "{\"type\":\"ERROR\",\"object\":");
    fake_status_put(out, code, message, NULL);
    er_buf_puts(out, "}\n");
}

static void put_bookmark(const fake_api *api, fake_resource resource, er_buf *out,
                         const char *version) {
    char text[FAKE_VERSION_TEXT];
    fake_frame_open(out, resource, "BOOKMARK");
    er_buf_putf(out, "\"metadata\":{\"resourceVersion\":\"%s\"},%s}}\n",
                version[0] != '\0' ? version : fake_version_text(api->fake->store->version, text),
                fake_resources[resource].bookmark);
}

/* An object that is not stored, with the next version: its message is n bytes, or a part of it lies
 * n levels deep. */
static void put_unstored(fake_api *api, fake_resource resource, er_buf *out, size_t bytes,
                         size_t levels) {
    char text[FAKE_VERSION_TEXT];
    fake_store *store = api->fake->store;
    const char *version = fake_version_text(++store->version, text);
    fake_frame_open(out, resource, fake_change_names[FAKE_ADDED]);
    er_buf_putf(out,
                "\"metadata\":{\"name\":\"unstored-%s\",\"namespace\":\"default\",\"uid\":"
                "\"11111111-0000-4000-8000-%s\",\"resourceVersion\":\"%s\"},%s",
                version, version, version, fake_resources[resource].unstored);
    for (size_t i = 0; i < bytes; i++) {
        er_buf_putc(out, 'x');
    }
    er_buf_puts(out, "\",\"deep\":");
    for (size_t i = 0; i < levels; i++) {
        er_buf_putc(out, '[');
    }
    er_buf_putc(out, '0');
    for (size_t i = 0; i < levels; i++) {
        er_buf_putc(out, ']');
    }
    er_buf_puts(out, "}}\n");
}

/* "@name:argument"; the argument, "" without one, NULL: another name. */
static const char *generator(const fake_word *word, const char *name) {
    size_t n = strlen(name);
    if (word->quoted || strncmp(word->text, name, n) != 0 ||
        (word->text[n] != ':' && word->text[n] != '\0')) {
        return NULL;
    }
    return word->text + n + (word->text[n] == ':');
}

static er_status put_error_word(const char *argument, er_buf *out, er_err *err) {
    char *end = NULL;
    long code = strtol(argument, &end, 10);
    if (code < 100 || code > 599 || (*end != '\0' && *end != ':')) {
        return er_err_set(err, ER_E_INVAL, "@error:CODE or @error:CODE:MESSAGE");
    }
    fake_error_put(out, (int)code, *end == ':' ? end + 1 : code == 410 ? FAKE_TOO_OLD : "scripted");
    return ER_OK;
}

er_status fake_frame_put(fake_api *api, fake_resource resource, const fake_word *word, er_buf *out,
                         er_err *err) {
    const char *argument = generator(word, "@error");
    if (argument != NULL) {
        return put_error_word(argument, out, err);
    }
    argument = generator(word, "@bookmark");
    if (argument != NULL) {
        put_bookmark(api, resource, out, argument);
        return ER_OK;
    }
    const char *bytes = generator(word, "@x");
    const char *levels = generator(word, "@levels");
    if (bytes != NULL || levels != NULL) {
        uint64_t n = 0;
        if (!er_parse_u64(er_str_of(bytes != NULL ? bytes : levels), &n) || n > (512u << 20)) {
            return er_err_set(err, ER_E_INVAL, "%s: @x:BYTES or @levels:N", word->text);
        }
        put_unstored(api, resource, out, bytes != NULL ? (size_t)n : 0,
                     levels != NULL ? (size_t)n : 0);
        return ER_OK;
    }
    if (!word->quoted && word->text[0] == '@') {
        return er_err_set(err, ER_E_INVAL, "%s: frames are made by @error, @bookmark, @x, @levels",
                          word->text);
    }
    er_buf_put(out, word->text, word->n);
    er_buf_putc(out, '\n');
    return ER_OK;
}

bool fake_frame_is_gone(const fake_word *word) {
    const char *argument = generator(word, "@error");
    return argument != NULL && strncmp(argument, "410", 3) == 0;
}
