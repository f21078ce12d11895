/* The script's side of sinks: "sink NAME ...". */
#include "fake_sink.h"

#include <stdlib.h>
#include <string.h>

void fake_reply_free(fake_reply *reply) {
    free(reply->headers);
    free(reply->body);
    free(reply);
}

static void spend(fake_sink *sink, fake_reply *reply) {
    reply->next = sink->spent;
    sink->spent = reply;
}

void fake_sink_clear(fake_sink *sink) {
    while (sink->queue != NULL) {
        fake_reply *reply = sink->queue;
        sink->queue = reply->next;
        spend(sink, reply);
    }
    if (sink->usual != NULL) {
        spend(sink, sink->usual);
        sink->usual = NULL;
    }
    while (sink->poisons != NULL) {
        fake_poison *poison = sink->poisons;
        sink->poisons = poison->next;
        free(poison->text);
        free(poison->body);
        free(poison);
    }
    if (sink->bulk != NULL) {
        fake_bulk_clear_rules(sink->bulk);
    }
    sink->max_body = 0;
    sink->discard = sink->measure = false;
    sink->refuse_left = sink->reset_left = 0;
}

static er_status add_header(er_buf *headers, const char *name, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, name == NULL ? "the header" : name, &word, err);
    if (status == ER_OK) {
        if (name != NULL) {
            er_buf_puts(headers, name);
            er_buf_puts(headers, ": ");
        }
        er_buf_put_str(headers, fake_word_str(word));
        er_buf_puts(headers, "\r\n");
    }
    return status;
}

static er_status take_body(fake_reply *reply, er_buf *headers, const char *type, fake_words *words,
                           er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "the body", &word, err);
    if (status == ER_OK) {
        free(reply->body);
        reply->body = er_str_dup(fake_word_str(word));
        reply->body_n = word->n;
        er_buf_putf(headers, "Content-Type: %s\r\n", type);
    }
    return status;
}

static er_status take_option(fake_reply *reply, er_buf *headers, fake_words *words, er_err *err) {
    if (fake_words_is(words, "retry-after")) {
        return add_header(headers, "Retry-After", words, err);
    }
    if (fake_words_is(words, "header")) {
        return add_header(headers, NULL, words, err);
    }
    if (fake_words_is(words, "body")) {
        return take_body(reply, headers, "text/plain; charset=utf-8", words, err);
    }
    if (fake_words_is(words, "json")) {
        return take_body(reply, headers, "application/json", words, err);
    }
    if (fake_words_is(words, "delay")) {
        return fake_words_duration(words, "the delay", &reply->delay_ns, err);
    }
    if (fake_words_is(words, "drip")) {
        return fake_words_duration(words, "the pause", &reply->drip_ns, err);
    }
    if (fake_words_is(words, "times")) {
        return fake_words_number(words, "times", &reply->left, err);
    }
    if (fake_words_is(words, "endless")) {
        reply->endless = true;
        return ER_OK;
    }
    return fake_words_end(words, err);
}

static er_status take_status(fake_words *words, int *out, er_err *err) {
    uint64_t code = 0;
    er_status status = fake_words_number(words, "the status", &code, err);
    if (status == ER_OK && (code < 200 || code > 599)) {
        return er_err_set(err, ER_E_INVAL, "a status is 200 to 599");
    }
    *out = (int)code;
    return status;
}

static void install(fake_sink *sink, fake_reply *reply) {
    if (reply->left == 0) {
        if (sink->usual != NULL) {
            spend(sink, sink->usual);
        }
        sink->usual = reply;
        return;
    }
    fake_reply **at = &sink->queue;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = reply;
}

/* answer STATUS [OPTION ...]; redirect: status 302 and the Location come first. */
static er_status set_answer(fake_sink *sink, bool redirect, fake_words *words, er_err *err) {
    fake_reply *reply = er_xcalloc(1, sizeof *reply);
    er_buf headers;
    er_buf_init(&headers, 65536);
    reply->status = 302;
    er_status status = redirect ? add_header(&headers, "Location", words, err)
                                : take_status(words, &reply->status, err);
    while (status == ER_OK && fake_words_left(words)) {
        status = take_option(reply, &headers, words, err);
    }
    reply->headers = er_str_dup(er_buf_str(&headers));
    er_buf_fini(&headers);
    if (status == ER_OK) {
        install(sink, reply);
    } else {
        fake_reply_free(reply);
    }
    return status;
}

/* TEXT STATUS [BODY] */
static er_status add_poison(fake_sink *sink, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    const fake_word *body = NULL;
    int code = 0;
    er_status status = fake_words_take(words, "the text", &word, err);
    status = status == ER_OK ? take_status(words, &code, err) : status;
    if (status == ER_OK && fake_words_left(words)) {
        status = fake_words_take(words, "the body", &body, err);
    }
    if (status == ER_OK) {
        fake_poison *poison = er_xcalloc(1, sizeof *poison);
        poison->text = er_str_dup(fake_word_str(word));
        poison->body = body == NULL ? NULL : er_str_dup(fake_word_str(body));
        poison->status = code;
        poison->next = sink->poisons;
        sink->poisons = poison;
    }
    return status;
}

/* [times N]; without it: always. */
static er_status take_times(fake_words *words, uint64_t *left, er_err *err) {
    *left = UINT64_MAX;
    return fake_words_is(words, "times") ? fake_words_number(words, "times", left, err) : ER_OK;
}

static er_status set_reset(fake_sink *sink, fake_words *words, er_err *err) {
    er_status status = fake_words_number(words, "bytes", &sink->reset_bytes, err);
    return status == ER_OK ? take_times(words, &sink->reset_left, err) : status;
}

/* [TEXT STATUS [OPTION ...]] */
static er_status set_bulk(fake_sink *sink, fake_words *words, er_err *err) {
    if (sink->bulk == NULL) {
        sink->bulk = fake_bulk_new();
    }
    return fake_words_left(words) ? fake_bulk_add_rule(sink->bulk, words, err) : ER_OK;
}

static er_status one(fake_sinks *sinks, fake_sink *sink, fake_words *words, er_err *err) {
    if (fake_words_is(words, "answer")) {
        return set_answer(sink, false, words, err);
    }
    if (fake_words_is(words, "redirect")) {
        return set_answer(sink, true, words, err);
    }
    if (fake_words_is(words, "poison")) {
        return add_poison(sink, words, err);
    }
    if (fake_words_is(words, "bulk")) {
        return set_bulk(sink, words, err);
    }
    if (fake_words_is(words, "max-body")) {
        return fake_words_number(words, "bytes", &sink->max_body, err);
    }
    if (fake_words_is(words, "refuse")) {
        return take_times(words, &sink->refuse_left, err);
    }
    if (fake_words_is(words, "reset")) {
        return set_reset(sink, words, err);
    }
    if (fake_words_is(words, "hang")) {
        sink->hang = true;
    } else if (fake_words_is(words, "resume")) {
        fake_sink_resume(sinks, sink);
    } else if (fake_words_is(words, "discard")) {
        sink->discard = true;
    } else if (fake_words_is(words, "measure")) {
        sink->discard = sink->measure = true;
        sink->latencies_n = 0;
    } else if (fake_words_is(words, "clear")) {
        fake_sink_clear(sink);
        fake_sink_resume(sinks, sink);
    } else {
        return er_err_set(
            err, ER_E_INVAL,
            "\"%s\": a sink has answer, redirect, poison, bulk, max-body, refuse, reset, "
            "hang, resume, discard, measure, clear",
            fake_words_peek(words));
    }
    return ER_OK;
}

er_status fake_sink_command(fake_sinks *sinks, fake_words *words, er_err *err) {
    const fake_word *name = NULL;
    er_status status = fake_words_take(words, "the sink's name", &name, err);
    if (status == ER_OK) {
        status = one(sinks, fake_sink_get(sinks, fake_word_str(name)), words, err);
    }
    return status == ER_OK ? fake_words_end(words, err) : status;
}
