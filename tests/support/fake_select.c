/* Field selectors, as far as the resources have them (registry/core/event, registry/core/pod:
 * strategy.go), and label selectors: equality and presence. */
#include "fake_api.h"
#include "fake_json.h"

#include <stdlib.h>
#include <string.h>

#define FIELDS_MAX 13
static const char *const fields[FAKE_RESOURCES][FIELDS_MAX] = {
    [FAKE_EVENTS] = {"metadata.name", "metadata.namespace", "involvedObject.kind",
                     "involvedObject.namespace", "involvedObject.name", "involvedObject.uid",
                     "involvedObject.apiVersion", "involvedObject.resourceVersion",
                     "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"},
    [FAKE_DEPLOYMENTS] = {"metadata.name", "metadata.namespace"},
    [FAKE_PODS] = {"metadata.name", "metadata.namespace", "spec.nodeName", "spec.restartPolicy",
                   "spec.schedulerName", "spec.serviceAccountName", "status.phase", "status.podIP",
                   "status.nominatedNodeName"},
};

static bool is_field(fake_resource resource, const char *path) {
    for (size_t i = 0; i < FIELDS_MAX && fields[resource][i] != NULL; i++) {
        if (strcmp(path, fields[resource][i]) == 0) {
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

/* The same of a label, or key or !key: whether it is there. */
static er_status parse_label(er_str text, fake_term *term, er_err *err) {
    static const char others[] = " ()<>";
    for (size_t i = 0; i < text.n; i++) {
        if (strchr(others, text.p[i]) != NULL) {
            return er_err_set(err, ER_E_INVAL,
                              "unable to parse requirement: '%.*s': only key, !key, key=value and "
                              "key!=value are played",
                              (int)text.n, text.p);
        }
    }
    if (memchr(text.p, '=', text.n) != NULL) {
        er_status status = parse_term(text, term, err);
        term->is_label = true;
        return status;
    }
    *term = (fake_term){.is_label = true, .differs = text.n > 0 && text.p[0] == '!'};
    term->path = er_str_dup((er_str){text.p + term->differs, text.n - term->differs});
    return ER_OK;
}

typedef er_status (*term_parser)(er_str text, fake_term *term, er_err *err);

/* Terms with commas between them, behind those that the selector has. */
static er_status parse_terms(er_str text, term_parser parse, fake_selector *selector, er_err *err) {
    while (text.n > 0) {
        const char *comma = memchr(text.p, ',', text.n);
        size_t n = comma == NULL ? text.n : (size_t)(comma - text.p);
        if (selector->n == FAKE_TERMS_MAX) {
            return er_err_set(err, ER_E_INVAL, "more than %d terms", FAKE_TERMS_MAX);
        }
        er_status status = parse((er_str){text.p, n}, &selector->v[selector->n], err);
        if (status != ER_OK) {
            return status;
        }
        selector->n++;
        n += comma != NULL;
        text = (er_str){text.p + n, text.n - n};
    }
    return ER_OK;
}

er_status fake_selector_read(const fake_request *request, fake_resource resource,
                             fake_selector *selector, er_err *err) {
    er_buf text;
    er_buf_init(&text, 16384);
    er_status status = ER_OK;
    *selector = (fake_selector){0};
    if (fake_request_param(request, "fieldSelector", &text)) {
        status = parse_terms(er_buf_str(&text), parse_term, selector, err);
    }
    for (size_t i = 0; i < selector->n && status == ER_OK; i++) {
        if (!is_field(resource, selector->v[i].path)) {
            status =
                er_err_set(err, ER_E_INVAL, "field label not supported: %s", selector->v[i].path);
        }
    }
    if (status == ER_OK && fake_request_param(request, "labelSelector", &text)) {
        status = parse_terms(er_buf_str(&text), parse_label, selector, err);
    }
    er_buf_fini(&text);
    return status;
}

static bool field_is(const fake_term *term, er_str body) {
    er_buf value;
    er_buf_init(&value, 1u << 20);
    bool is_source = strcmp(term->path, "source") == 0;
    fake_json_path_text(body, is_source ? "source.component" : term->path, &value);
    if (is_source && value.len == 0) {
        fake_json_path_text(body, "reportingComponent", &value);
    }
    bool is_same = er_str_eqc(er_buf_str(&value), term->value);
    er_buf_fini(&value);
    return is_same;
}

static bool label_is(const fake_term *term, er_str body) {
    er_buf value;
    er_buf_init(&value, 1024);
    bool is = fake_json_member_text(fake_json_path(body, "metadata.labels"), er_str_of(term->path),
                                    &value) &&
              (term->value == NULL || er_str_eqc(er_buf_str(&value), term->value));
    er_buf_fini(&value);
    return is;
}

bool fake_selector_matches(const fake_selector *selector, er_str body) {
    for (size_t i = 0; i < selector->n; i++) {
        const fake_term *term = &selector->v[i];
        if ((term->is_label ? label_is(term, body) : field_is(term, body)) == term->differs) {
            return false;
        }
    }
    return true;
}
