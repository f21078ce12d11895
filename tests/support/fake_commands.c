/* The commands of scripts but those that write objects (fake_objects.c, fake_play.c). */
#include "fake_api.h"
#include "fake_script.h"
#include "fake_sink.h"

#include <stdlib.h>
#include <string.h>

/* ---- the store ---- */

static er_status take_version(const fake_run *run, fake_words *words, bool relative,
                              fake_version *out, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "the version", &word, err);
    if (status != ER_OK) {
        return status;
    }
    er_str text = fake_word_str(word);
    bool is_relative = relative && text.n > 0 && text.p[0] == '+';
    if (!fake_version_parse((er_str){text.p + is_relative, text.n - is_relative}, out)) {
        return er_err_set(err, ER_E_INVAL, "\"%s\" is no version", word->text);
    }
    *out += is_relative ? run->fake->store->version : 0;
    return ER_OK;
}

static er_status command_version(fake_run *run, fake_words *words, er_err *err) {
    fake_version version = 0;
    er_status status = take_version(run, words, true, &version, err);
    if (status == ER_OK && !fake_store_advance(run->fake->store, version)) {
        return er_err_set(err, ER_E_INVAL, "versions only rise; rewind sets the store back");
    }
    return status == ER_OK ? fake_words_end(words, err) : status;
}

static er_status command_compact(fake_run *run, fake_words *words, er_err *err) {
    fake_store *store = run->fake->store;
    fake_version version = store->version;
    er_status status =
        fake_words_is(words, "now") ? ER_OK : take_version(run, words, false, &version, err);
    if (status == ER_OK && (version > store->version || version < store->compacted)) {
        return er_err_set(err, ER_E_INVAL, "outside of what is kept");
    }
    store->compacted = version;
    return status == ER_OK ? fake_words_end(words, err) : status;
}

static er_status command_rewind(fake_run *run, fake_words *words, er_err *err) {
    fake_version version = 0;
    er_status status = take_version(run, words, false, &version, err);
    if (status != ER_OK) {
        return status;
    }
    if (version >= run->fake->store->version || version == 0) {
        return er_err_set(err, ER_E_INVAL, "not below the store's version");
    }
    /* First the watches: where they stand means nothing afterwards. */
    (void)fake_watches_end(run->fake->api, FAKE_END_RESET, "rewound");
    (void)fake_store_rewind(run->fake->store, version);
    return fake_words_end(words, err);
}

static er_status command_expire(fake_run *run, fake_words *words, er_err *err) {
    uint64_t n = UINT64_MAX;
    er_str ns = {0};
    er_status status =
        fake_words_is(words, "all") ? ER_OK : fake_words_number(words, "how many", &n, err);
    const char *word = fake_words_peek(words);
    if (status == ER_OK && strncmp(word, "namespace=", 10) == 0) {
        ns = er_str_of(word + 10);
        words->at++;
    }
    if (status == ER_OK) {
        status = fake_words_end(words, err);
    }
    if (status == ER_OK && fake_store_expire(run->fake->store, (size_t)n, ns) == 0) {
        return er_err_set(err, ER_E_INVAL, "there is no Event");
    }
    return status;
}

/* ---- time ---- */

static fake_step sleep_step(fake_run *run, er_err *err) {
    (void)run;
    (void)err;
    return FAKE_STEP_DONE;
}

static er_status command_sleep(fake_run *run, fake_words *words, er_err *err) {
    int64_t ns = 0;
    er_status status = fake_words_duration(words, "how long", &ns, err);
    if (status == ER_OK) {
        run->step = sleep_step;
        run->wake_ns = run->fake->now_ns + ns;
        status = fake_words_end(words, err);
    }
    return status;
}

static fake_step wait_step(fake_run *run, er_err *err) {
    const fake_condition *condition = run->task;
    if (fake_condition_holds(run->fake, condition)) {
        return FAKE_STEP_DONE;
    }
    if (run->fake->now_ns >= condition->deadline_ns) {
        uint64_t value = 0;
        (void)fake_counter_get(run->fake, condition->name, &value);
        (void)er_err_set(err, ER_E_TIMEOUT, "wait: %s is %llu, not %s %llu", condition->name,
                         (unsigned long long)value, condition->op,
                         (unsigned long long)condition->value);
        return FAKE_STEP_FAILED;
    }
    fake_server_wake(run->fake, condition->deadline_ns);
    return FAKE_STEP_AGAIN;
}

static er_status command_wait(fake_run *run, fake_words *words, er_err *err) {
    fake_condition *condition = er_xcalloc(1, sizeof *condition);
    er_status status = fake_condition_parse(run->fake, words, condition, err);
    if (status != ER_OK) {
        free(condition);
        return status;
    }
    run->step = wait_step;
    run->task = condition;
    run->task_free = free;
    run->waiting = condition;
    run->wake_ns = 0;
    return ER_OK;
}

/* ---- the API server ---- */

static er_status command_token(fake_run *run, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "the token", &word, err);
    if (status == ER_OK) {
        fake_api *api = run->fake->api;
        bool none = !word->quoted && strcmp(word->text, "none") == 0;
        free(api->token);
        api->token = none ? NULL : er_str_dup(fake_word_str(word));
        status = fake_words_end(words, err);
    }
    return status;
}

static er_status command_forbid(fake_run *run, fake_words *words, er_err *err) {
    fake_api *api = run->fake->api;
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "NAMESPACE, cluster, get or all", &word, err);
    if (status == ER_OK && api->forbidden_n == FAKE_FORBIDDEN_MAX) {
        return er_err_set(err, ER_E_LIMIT, "more than %d", FAKE_FORBIDDEN_MAX);
    }
    if (status == ER_OK) {
        api->forbidden[api->forbidden_n++] = er_str_dup(fake_word_str(word));
        status = fake_words_end(words, err);
    }
    return status;
}

static er_status command_allow(fake_run *run, fake_words *words, er_err *err) {
    fake_api *api = run->fake->api;
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "NAMESPACE, cluster, get or all", &word, err);
    if (status != ER_OK) {
        return status;
    }
    size_t kept = 0;
    for (size_t i = 0; i < api->forbidden_n; i++) {
        if (strcmp(word->text, "all") == 0 || strcmp(word->text, api->forbidden[i]) == 0) {
            free(api->forbidden[i]);
        } else {
            api->forbidden[kept++] = api->forbidden[i];
        }
    }
    api->forbidden_n = kept;
    return fake_words_end(words, err);
}

static er_status command_page_max(fake_run *run, fake_words *words, er_err *err) {
    er_status status = fake_words_number(words, "items", &run->fake->api->page_max, err);
    return status == ER_OK ? fake_words_end(words, err) : status;
}

static er_status command_clear(fake_run *run, fake_words *words, er_err *err) {
    fake_fault_clear(run->fake->api);
    return fake_words_end(words, err);
}

static er_status command_send(fake_run *run, fake_words *words, er_err *err) {
    const fake_word *word = NULL;
    er_status status = fake_words_take(words, "the frame", &word, err);
    if (status == ER_OK) {
        status = fake_watches_send(run->fake->api, word, err);
    }
    return status == ER_OK ? fake_words_end(words, err) : status;
}

static er_status command_watches(fake_run *run, fake_words *words, er_err *err) {
    for (int end = FAKE_END_CLEAN; end <= FAKE_END_SILENT; end++) {
        if (!fake_words_is(words, fake_end_names[end])) {
            continue;
        }
        if (fake_watches_end(run->fake->api, (fake_end)end, fake_end_names[end]) == 0) {
            return er_err_set(err, ER_E_INVAL, "no watch is open (wait watches open >= 1)");
        }
        return fake_words_end(words, err);
    }
    return er_err_set(err, ER_E_INVAL, "watches end clean, fin, reset or silent");
}

/* ---- whole ports ---- */

static er_status port(const fake_run *run, fake_role role, fake_words *words, er_err *err) {
    fake *f = run->fake;
    er_status status = ER_OK;
    if (fake_words_is(words, "refuse")) {
        status = fake_server_refuse(f, role, true, err);
    } else if (fake_words_is(words, "listen")) {
        status = fake_server_refuse(f, role, false, err);
    } else if (fake_words_is(words, "pause")) {
        fake_server_pause(f, role, true);
    } else if (fake_words_is(words, "resume")) {
        fake_server_pause(f, role, false);
    } else if (fake_words_is(words, "cut")) {
        fake_server_cut_all(f, role);
    } else {
        return er_err_set(err, ER_E_INVAL, "a port may refuse, listen, pause, resume or cut");
    }
    return status == ER_OK ? fake_words_end(words, err) : status;
}

static er_status command_api(fake_run *run, fake_words *words, er_err *err) {
    return port(run, FAKE_API, words, err);
}

static er_status command_sinks(fake_run *run, fake_words *words, er_err *err) {
    return port(run, FAKE_SINKS, words, err);
}

static er_status command_sink(fake_run *run, fake_words *words, er_err *err) {
    return fake_sink_command(run->fake->sinks, words, err);
}

/* ---- all of them ---- */

static const struct {
    const char *name;
    er_status (*execute)(fake_run *run, fake_words *words, er_err *err);
} commands[] = {
    {"put", fake_command_put},    {"modify", fake_command_modify}, {"delete", fake_command_delete},
    {"expire", command_expire},   {"burst", fake_command_burst},   {"load", fake_command_load},
    {"version", command_version}, {"compact", command_compact},    {"rewind", command_rewind},
    {"sleep", command_sleep},     {"wait", command_wait},          {"token", command_token},
    {"forbid", command_forbid},   {"allow", command_allow},        {"page-max", command_page_max},
    {"clear", command_clear},     {"send", command_send},          {"watches", command_watches},
    {"api", command_api},         {"sinks", command_sinks},        {"sink", command_sink},
};

/* "fault" keeps its line for the log; "background" is the rest of its line, as another run. */
static er_status command_of_line(const fake_run *run, er_str line, fake_words *words, bool *known,
                                 er_err *err) {
    *known = true;
    if (fake_words_is(words, "fault")) {
        return fake_fault_arm(run->fake->api, line, words, err);
    }
    if (fake_words_is(words, "background")) {
        size_t n = sizeof "background";
        if (line.n <= n) {
            return er_err_set(err, ER_E_INVAL, "background: a command is missing");
        }
        (void)fake_run_new(run->fake, (er_str){line.p + n, line.n - n});
        return ER_OK;
    }
    *known = false;
    return ER_OK;
}

er_status fake_command(fake_run *run, er_str line, er_err *err) {
    fake_words words;
    er_status status = fake_words_split(line, &words, err);
    bool known = status != ER_OK;
    if (status == ER_OK) {
        status = command_of_line(run, line, &words, &known, err);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands && !known; i++) {
        if (fake_words_is(&words, commands[i].name)) {
            known = true;
            status = commands[i].execute(run, &words, err);
        }
    }
    if (!known) {
        status = er_err_set(err, ER_E_INVAL, "\"%s\": there is no such command",
                            fake_words_peek(&words));
    }
    fake_words_fini(&words);
    return status;
}
