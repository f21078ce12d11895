/* Field selectors, as far as Events have them (registry/core/event/strategy.go). */
#include "fake_api.h"
#include "fake_json.h"

#include <stdlib.h>
#include <string.h>

static const char *const labels[] = {
    "metadata.name",
    "metadata.namespace",
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
};

static bool is_label(const char *path) {
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        if (strcmp(path, labels[i]) == 0) {
            return true;
        }
    }
    return false;
}

void fake_selector_fini(fake_selector *selector) {
    for (size_t i = 0; i < selector->n; i++) {
        free(selector->v[i].path);
        free(selector->v[i].value);
    }
    selector->n = 0;
}

/* path=value, path==value or path!=value */
static er_status parse_term(er_str text, fake_term *term, er_err *err) {
    const char *at = memchr(text.p, '=', text.n);
    if (at == NULL) {
        return er_err_set(err, ER_E_INVAL, "invalid selector: '%.*s'; can't understand it",
                          (int)text.n, text.p);
    }
    size_t n = (size_t)(at - text.p);
    size_t value = n + 1;
    *term = (fake_term){.differs = n > 0 && text.p[n - 1] == '!'};
    value += value < text.n && text.p[value] == '=';
    term->path = er_str_dup((er_str){text.p, n - term->differs});
    term->value = er_str_dup((er_str){text.p + value, text.n - value});
    return ER_OK;
}

er_status fake_selector_parse(er_str text, fake_selector *selector, er_err *err) {
    *selector = (fake_selector){0};
    while (text.n > 0) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma == NULL ? text.n : (size_t)(comma - text.p);
        if (selector->n == FAKE_TERMS_MAX) {
            return er_err_set(err, ER_E_INVAL, "more than %d terms", FAKE_TERMS_MAX);
        }
        fake_term *term = &selector->v[selector->n];
        er_status status = parse_term((er_str){text.p, n}, term, err);
        if (status != ER_OK) {
            return status;
        }
        selector->n++;
        if (!is_label(term->path)) {
            return er_err_set(err, ER_E_INVAL, "field label not supported: %s", term->path);
        }
        n += comma != NULL;
        text = (er_str){text.p + n, text.n - n};
    }
    return ER_OK;
}

static bool term_matches(const fake_term *term, er_str body) {
    er_buf value;
    er_buf_init(&value, 1u << 20);
    bool is_source = strcmp(term->path, "source") == 0;
    fake_json_path_text(body, is_source ? "source.component" : term->path, &value);
    if (is_source && value.len == 0) {
        fake_json_path_text(body, "reportingComponent", &value);
    }
    bool is_same = er_str_eqc(er_buf_str(&value), term->value);
    er_buf_fini(&value);
    return is_same != term->differs;
}

bool fake_selector_matches(const fake_selector *selector, er_str body) {
    for (size_t i = 0; i < selector->n; i++) {
        if (!term_matches(&selector->v[i], body)) {
            return false;
        }
    }
    return true;
}
