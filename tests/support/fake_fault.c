/* Faults: what a script arms against requests to the API. */
#include "fake_api.h"

#include <stdlib.h>
#include <string.h>

const char *const fake_kind_names[] = {"list", "probe", "watch", "get", "any"};

void fake_fault_free(fake_fault *fault) {
    free(fault->text);
    free(fault->ns);
    free(fault->retry_after);
    free(fault->body);
    free(fault->type);
    fake_words_fini(&fault->first);
    free(fault);
}

/* ---- arming ---- */

static er_status take_text(fake_words *words, const char *what, char **out, size_t *n,
                           er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, what, &word, err);
    if (status == ER_OK) {
        free(*out);
        *out = er_str_dup(fake_word_str(word));
        if (n != NULL) {
            *n = word->n;
        }
    }
    return status;
}

static er_status take_match(fake_fault *fault, fake_words *words, er_err *err) {
    if (fake_words_is(words, "page")) {
        fault->kind = FAKE_LIST;
        return fake_words_number(words, "the page", &fault->page, err);
    }
    for (int kind = 0; kind <= FAKE_ANY; kind++) {
        if (fake_words_is(words, fake_kind_names[kind])) {
            fault->kind = (fake_kind)kind;
            return ER_OK;
        }
    }
    return er_err_set(err, ER_E_INVAL,
                      "\"%s\": requests are named list, page N, probe, watch, get or any",
                      fake_words_peek(words));
}

static er_status take_resource(fake_fault *fault, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "the resource", &word, err);
    if (status != ER_OK) {
        return status;
    }
    fault->resource = fake_resource_named(fake_word_str(word));
    return fault->resource == FAKE_RESOURCES
               ? er_err_set(err, ER_E_INVAL, "\"%s\": events, deployments or pods", word->text)
               : ER_OK;
}

static bool take_end(fake_words *words, fake_end *out) {
    for (int end = FAKE_END_CLEAN; end <= FAKE_END_SILENT; end++) {
        if (fake_words_is(words, fake_end_names[end])) {
            *out = (fake_end)end;
            return true;
        }
    }
    return false;
}

/* cut [N frames] [N bytes] END */
static er_status take_cut(fake_fault *fault, fake_words *words, er_err *err) {
    fake_cut *cut = &fault->shape.cut;
    while (!take_end(words, &cut->end)) {
        uint64_t n = 0;
        er_status status = fake_words_number(words, "cut", &n, err);
        if (status != ER_OK) {
            return status;
        }
        if (fake_words_is(words, "frames")) {
            cut->frames = (size_t)n;
        } else if (fake_words_is(words, "bytes")) {
            cut->bytes = (size_t)n;
        } else {
            return er_err_set(err, ER_E_INVAL, "cut: \"%s\" should be frames or bytes",
                              fake_words_peek(words));
        }
    }
    return ER_OK;
}

static er_status take_status(fake_fault *fault, fake_words *words, er_err *err) {
    uint64_t code = 0;
    er_status status = fake_words_number(words, "the status", &code, err);
    if (status == ER_OK && (code < 200 || code > 599)) {
        return er_err_set(err, ER_E_INVAL, "a status is 200 to 599");
    }
    fault->status = (int)code;
    return status;
}

static er_status take_body(fake_fault *fault, fake_words *words, const char *type, er_err *err) {
    free(fault->type);
    fault->type = er_dup(type);
    return take_text(words, "the body", &fault->body, &fault->body_n, err);
}

static er_status take_first(fake_fault *fault, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "a frame", &word, err);
    if (status == ER_OK) {
        fault->first.v[fault->first.n++] = (fake_word){
            .text = er_str_dup(fake_word_str(word)), .n = word->n, .quoted = word->quoted};
    }
    return status;
}

static er_status take_drip(fake_fault *fault, fake_words *words, er_err *err) {
    uint64_t bytes = 0;
    er_status status = fake_words_number(words, "bytes a packet", &bytes, err);
    if (status == ER_OK && bytes == 0) {
        return er_err_set(err, ER_E_INVAL, "drip: at least 1 byte");
    }
    fault->shape.piece = (size_t)bytes;
    return status == ER_OK ? fake_words_duration(words, "the pause", &fault->shape.piece_ns, err)
                           : status;
}

static er_status take_action(fake_fault *fault, fake_words *words, er_err *err) {
    const char *word = fake_words_peek(words);
    words->at++;
    if (strcmp(word, "delay") == 0) {
        return fake_words_duration(words, "the delay", &fault->delay_ns, err);
    }
    if (strcmp(word, "status") == 0) {
        return take_status(fault, words, err);
    }
    if (strcmp(word, "retry-after") == 0) {
        return take_text(words, "Retry-After", &fault->retry_after, NULL, err);
    }
    if (strcmp(word, "body") == 0) {
        return take_body(fault, words, "text/plain; charset=utf-8", err);
    }
    if (strcmp(word, "json") == 0) {
        return take_body(fault, words, "application/json", err);
    }
    if (strcmp(word, "cut") == 0) {
        return take_cut(fault, words, err);
    }
    if (strcmp(word, "drip") == 0) {
        return take_drip(fault, words, err);
    }
    if (strcmp(word, "first") == 0) {
        return take_first(fault, words, err);
    }
    fault->shape.chunked |= strcmp(word, "chunked") == 0;
    fault->hang |= strcmp(word, "hang") == 0;
    fault->empty |= strcmp(word, "empty") == 0;
    fault->expire |= strcmp(word, "expire") == 0;
    fault->drop = strcmp(word, "close") == 0   ? FAKE_END_FIN
                  : strcmp(word, "reset") == 0 ? FAKE_END_RESET
                                               : fault->drop;
    static const char *const flags[] = {"chunked", "hang", "empty", "expire", "close", "reset"};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (strcmp(word, flags[i]) == 0) {
            return ER_OK;
        }
    }
    return er_err_set(err, ER_E_INVAL, "\"%s\": no such fault", word);
}

static er_status take_fault(fake_fault *fault, fake_words *words, er_err *err) {
    er_status status = take_match(fault, words, err);
    if (status == ER_OK && !fake_words_left(words)) {
        return er_err_set(err, ER_E_INVAL, "what should happen is missing");
    }
    while (status == ER_OK && fake_words_left(words)) {
        if (fake_words_is(words, "of")) {
            status = take_resource(fault, words, err);
        } else if (fake_words_is(words, "in")) {
            status = take_text(words, "the namespace", &fault->ns, NULL, err);
        } else if (fake_words_is(words, "after")) {
            status = fake_words_number(words, "after", &fault->skip, err);
        } else if (fake_words_is(words, "times")) {
            status = fake_words_number(words, "times", &fault->left, err);
        } else if (fake_words_is(words, "always")) {
            fault->left = UINT64_MAX;
        } else {
            status = take_action(fault, words, err);
        }
    }
    if (status == ER_OK && fault->left == 0) {
        return er_err_set(err, ER_E_INVAL, "times: at least 1");
    }
    return status;
}

static void append(fake_fault **list, fake_fault *fault) {
    while (*list != NULL) {
        list = &(*list)->next;
    }
    fault->next = NULL;
    *list = fault;
}

/* Whether its frames can be made is better known now than at the next watch. */
static er_status check_frames(const fake_fault *fault, fake_api *api, er_err *err) {
    er_status status = ER_OK;
    fake_version version = api->fake->store->version;
    er_buf frame;
    er_buf_init(&frame, FAKE_OUT_MAX);
    for (size_t i = 0; i < fault->first.n && status == ER_OK; i++) {
        status = fake_frame_put(api, FAKE_EVENTS, &fault->first.v[i], &frame, err);
        er_buf_clear(&frame);
    }
    er_buf_fini(&frame);
    api->fake->store->version = version; /* frames of objects take one */
    return status;
}

er_status fake_fault_arm(fake_api *api, er_str text, fake_words *words, er_err *err) {
    fake_fault *fault = er_xcalloc(1, sizeof *fault);
    fault->left = 1;
    fault->resource = FAKE_RESOURCES;
    fault->text = er_str_dup(text);
    er_status status = take_fault(fault, words, err);
    if (status == ER_OK) {
        status = check_frames(fault, api, err);
    }
    if (status == ER_OK) {
        append(&api->faults, fault);
    } else {
        fake_fault_free(fault);
    }
    return status;
}

/* ---- meeting ---- */

static bool meets(const fake_fault *fault, const fake_asked *asked) {
    return (fault->kind == FAKE_ANY || fault->kind == asked->kind) &&
           (fault->resource == FAKE_RESOURCES || fault->resource == asked->resource) &&
           (fault->page == 0 || fault->page == asked->page) &&
           (fault->ns == NULL || strcmp(fault->ns, asked->ns) == 0);
}

const fake_fault *fake_fault_match(fake_api *api, const fake_asked *asked) {
    for (fake_fault **at = &api->faults; *at != NULL; at = &(*at)->next) {
        fake_fault *fault = *at;
        if (!meets(fault, asked)) {
            continue;
        }
        if (fault->skip > 0) {
            fault->skip--;
            continue;
        }
        fault->left -= fault->left != UINT64_MAX;
        if (fault->left == 0) {
            /* Not freed: the log names it. */
            *at = fault->next;
            append(&api->spent, fault);
        }
        return fault;
    }
    return NULL;
}

void fake_fault_clear(fake_api *api) {
    while (api->faults != NULL) {
        fake_fault *fault = api->faults;
        api->faults = fault->next;
        append(&api->spent, fault);
    }
}

size_t fake_fault_armed(const fake_api *api) {
    size_t n = 0;
    for (const fake_fault *fault = api->faults; fault != NULL; fault = fault->next) {
        n++;
    }
    return n;
}
