/* Counters by name, and conditions on them: for waits, and for GET /state. */
#include "fake_api.h"
#include "fake_script.h"
#include "fake_sink.h"

#include <stdio.h>
#include <string.h>

#define WAIT_NS (5 * (int64_t)1000000000)

typedef struct row {
    const char *name;
    size_t offset; /* in fake_counts */
} row;
#define COUNT(name_, member)                                                                       \
    { name_, offsetof(fake_counts, member) }

static const row counts[] = {
    COUNT("requests", requests), COUNT("lists", lists),
    COUNT("pages", pages),       COUNT("lists completed", lists_completed),
    COUNT("items", items),       COUNT("probes", probes),
    COUNT("gets", gets),         COUNT("gone", gone),
    COUNT("frames", frames),     COUNT("watches opened", watches_opened),
};
#define COUNTS (sizeof counts / sizeof *counts)

static const char *const more[] = {
    "watches open", "watches pending",  "faults armed",       "events",
    "changes",      "connections open", "connections opened", "sink requests",
    "sink records", "sink accepted",    "deployments",        "pods",
};
#define MORE (sizeof more / sizeof *more)

const char *fake_counter_name(size_t i) {
    return i < COUNTS ? counts[i].name : i < COUNTS + MORE ? more[i - COUNTS] : NULL;
}

static bool get_more(const fake *f, const char *name, uint64_t *out) {
    const uint64_t values[MORE] = {
        fake_watches_open(f->api, FAKE_RESOURCES),
        fake_watches_pending(f->api, FAKE_RESOURCES),
        fake_fault_armed(f->api),
        f->store->live[FAKE_EVENTS],
        f->store->journal.n,
        f->open[FAKE_API],
        f->opened[FAKE_API],
        f->sinks->requests,
        f->sinks->records,
        f->sinks->accepted,
        f->store->live[FAKE_DEPLOYMENTS],
        f->store->live[FAKE_PODS],
    };
    for (size_t i = 0; i < MORE; i++) {
        if (strcmp(name, more[i]) == 0) {
            *out = values[i];
            return true;
        }
    }
    return false;
}

/* "sink NAME COUNTER" */
static bool get_of_sink(const fake *f, const char *name, uint64_t *out) {
    const char *start = name + 5;
    const char *last = strrchr(name, ' ');
    if (strncmp(name, "sink ", 5) != 0 || last == NULL || last < start) {
        return false;
    }
    const fake_sink *sink = fake_sink_get(f->sinks, (er_str){start, (size_t)(last - start)});
    const struct {
        const char *name;
        uint64_t value;
    } values[] = {
        {"requests", sink->requests},     {"records", sink->records},
        {"accepted", sink->accepted},     {"bytes", sink->bytes},
        {"incomplete", sink->incomplete}, {"hanging", sink->hanging},
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        if (strcmp(last + 1, values[i].name) == 0) {
            *out = values[i].value;
            return true;
        }
    }
    return false;
}

/* The offset in fake_counts of what requests are counted by; false: it is another counter. */
static bool offset_of(er_str name, size_t *offset) {
    uint64_t status = 0;
    for (size_t i = 0; i < COUNTS; i++) {
        if (er_str_eqc(name, counts[i].name)) {
            *offset = counts[i].offset;
            return true;
        }
    }
    if (!er_str_starts(name, "answers ") ||
        !er_parse_u64((er_str){name.p + 8, name.n - 8}, &status) || status >= FAKE_STATUS_MAX) {
        return false;
    }
    *offset = offsetof(fake_counts, answers) + (size_t)status * sizeof(size_t);
    return true;
}

static uint64_t count_at(const fake_api *api, fake_resource resource, size_t offset) {
    uint64_t sum = 0;
    for (int i = 0; i <= FAKE_RESOURCES; i++) {
        if (resource == FAKE_RESOURCES || resource == (fake_resource)i) {
            size_t value;
            memcpy(&value, (const char *)&api->counts[i] + offset, sizeof value);
            sum += value;
        }
    }
    return sum;
}

uint64_t fake_counts_answers(const fake_api *api, size_t status) {
    return count_at(api, FAKE_RESOURCES, offsetof(fake_counts, answers) + status * sizeof(size_t));
}

/* "COUNTER of RESOURCE" */
static bool get_of_resource(const fake *f, const char *name, uint64_t *out) {
    const char *last = strrchr(name, ' ');
    size_t offset = 0;
    if (last == NULL || last - name < 4 || memcmp(last - 3, " of", 3) != 0) {
        return false;
    }
    er_str counter = {name, (size_t)(last - name) - 3};
    fake_resource resource = fake_resource_named(er_str_of(last + 1));
    if (resource == FAKE_RESOURCES) {
        return false;
    }
    if (er_str_eqc(counter, "watches open")) {
        *out = fake_watches_open(f->api, resource);
    } else if (er_str_eqc(counter, "watches pending")) {
        *out = fake_watches_pending(f->api, resource);
    } else if (offset_of(counter, &offset)) {
        *out = count_at(f->api, resource, offset);
    } else {
        return false;
    }
    return true;
}

bool fake_counter_get(const fake *f, const char *name, uint64_t *out) {
    size_t offset = 0;
    if (offset_of(er_str_of(name), &offset)) {
        *out = count_at(f->api, FAKE_RESOURCES, offset);
        return true;
    }
    return get_more(f, name, out) || get_of_resource(f, name, out) || get_of_sink(f, name, out);
}

/* ---- conditions ---- */

static bool is_op(const char *word) {
    static const char *const ops[] = {">=", "<=", "==", ">", "<"};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        if (strcmp(word, ops[i]) == 0) {
            return true;
        }
    }
    return false;
}

er_status fake_condition_parse(const fake *f, fake_words *words, fake_condition *out, er_err *err) {
    uint64_t value = 0;
    size_t n = 0;
    int64_t limit_ns = WAIT_NS;
    *out = (fake_condition){0};
    while (fake_words_left(words) && !is_op(fake_words_peek(words))) {
        n += (size_t)snprintf(out->name + n, sizeof out->name - n, "%s%s", n > 0 ? " " : "",
                              fake_words_peek(words));
        n = n < sizeof out->name ? n : sizeof out->name - 1;
        words->at++;
    }
    if (!fake_counter_get(f, out->name, &value)) {
        return er_err_set(err, ER_E_INVAL, "\"%s\": there is no such counter", out->name);
    }
    if (!fake_words_left(words)) {
        return er_err_set(err, ER_E_INVAL, "COUNTER >= NUMBER [timeout DURATION]");
    }
    (void)snprintf(out->op, sizeof out->op, "%s", fake_words_peek(words));
    words->at++;
    er_status status = fake_words_number(words, "the number", &out->value, err);
    if (status == ER_OK && fake_words_is(words, "timeout")) {
        status = fake_words_duration(words, "the timeout", &limit_ns, err);
    }
    out->deadline_ns = f->now_ns + limit_ns;
    return status == ER_OK ? fake_words_end(words, err) : status;
}

bool fake_condition_holds(const fake *f, const fake_condition *condition) {
    uint64_t value = 0;
    uint64_t wanted = condition->value;
    (void)fake_counter_get(f, condition->name, &value);
    bool or_equal = condition->op[1] == '=';
    return (value == wanted && or_equal) || (value > wanted && condition->op[0] == '>') ||
           (value < wanted && condition->op[0] == '<');
}
