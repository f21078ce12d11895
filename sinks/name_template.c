#include "sinks/name_template.h"

#include <string.h>

#define VALUE_MAX 128

static const char *const fields[] = {"kind", "cluster", "namespace", "severity", "type", "reason"};
#define FIELDS_N (sizeof fields / sizeof fields[0])
#define FEW      4 /* of them, the first */

static bool is_field(er_str name, size_t fields_n) {
    for (size_t i = 0; i < fields_n; i++) {
        if (er_str_eqc(name, fields[i])) {
            return true;
        }
    }
    return false;
}

static er_str value_of(er_str field, const er_record *rec) {
    const er_str values[FIELDS_N] = {
        er_str_of(er_kind_name(rec->kind)),         rec->cluster, rec->namespace_,
        er_str_of(er_severity_name(rec->severity)), rec->type,    rec->reason};
    for (size_t i = 0; i < FIELDS_N; i++) {
        if (er_str_eqc(field, fields[i])) {
            return values[i];
        }
    }
    return (er_str){0};
}

static er_status check(const char *text, size_t fields_n, er_err *err) {
    if (strlen(text) > ER_NAME_TEMPLATE_MAX) {
        return er_err_set(err, ER_E_CONFIG, "longer than %d bytes", ER_NAME_TEMPLATE_MAX);
    }
    for (const char *p = text; *p != '\0'; p++) {
        if ((unsigned char)*p <= ' ' || *p == 0x7f) {
            return er_err_set(err, ER_E_CONFIG, "has a blank or a control character");
        }
        if (*p == '}') {
            return er_err_set(err, ER_E_CONFIG, "has a } without a {");
        }
        if (*p != '{') {
            continue;
        }
        const char *end = strchr(p, '}');
        if (end == NULL || !is_field((er_str){p + 1, (size_t)(end - p) - 1}, fields_n)) {
            return er_err_set(
                err, ER_E_CONFIG,
                "in braces stands one of {kind}, {cluster}, {namespace}, {severity}%s",
                fields_n == FEW ? "" : ", {type}, {reason}");
        }
        p = end;
    }
    return ER_OK;
}

er_status er_name_template_check(const char *text, er_err *err) {
    return check(text, FIELDS_N, err);
}

er_status er_name_template_check_few(const char *text, er_err *err) {
    return check(text, FEW, err);
}

static bool is_harmless(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

static void put_value(er_str value, er_buf *out) {
    if (value.n == 0) {
        er_buf_putc(out, '_');
    }
    for (size_t i = 0; i < value.n && i < VALUE_MAX; i++) {
        er_buf_putc(out, is_harmless(value.p[i]) ? value.p[i] : '_');
    }
}

bool er_name_template_is_fixed(const char *text) {
    static const char cluster[] = "{cluster}";
    for (const char *p = strchr(text, '{'); p != NULL; p = strchr(p + 1, '{')) {
        if (strncmp(p, cluster, sizeof cluster - 1) != 0) {
            return false;
        }
    }
    return true;
}

void er_name_template_put(const char *text, const er_record *rec, er_buf *out) {
    for (const char *p = text; *p != '\0'; p++) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;
        if (end == NULL) {
            er_buf_putc(out, *p);
            continue;
        }
        put_value(value_of((er_str){p + 1, (size_t)(end - p) - 1}, rec), out);
        p = end;
    }
}
