#include "app/options.h"

#include "app/app.h"

#include <string.h>

static bool is_named(const er_option *o, const char *name, const char *arg, const char **value) {
    size_t n = name == NULL ? 0 : strlen(name);
    if (n == 0 || strncmp(arg, name, n) != 0) {
        return false;
    }
    bool has_value = o->value != NULL && n > 2 && arg[n] == '=';
    *value = has_value ? arg + n + 1 : NULL;
    return has_value || arg[n] == '\0';
}

/* The row of arg and the value in it; what is no option has the row without a name. */
static const er_option *find(const er_option *options, const char *arg, const char **value) {
    bool is_option = arg[0] == '-' && arg[1] != '\0';
    for (const er_option *o = options; o->name != NULL; o++) {
        if (!is_option && o->name[0] == '\0') {
            *value = arg;
            return o;
        }
        if (is_named(o, o->name, arg, value) || is_named(o, o->other, arg, value)) {
            return o;
        }
    }
    return NULL;
}

static int unknown(const char *command, const er_option *options, const char *arg) {
    er_nearest nearest;
    er_nearest_init(&nearest, er_str_of(arg));
    for (const er_option *o = options; o->name != NULL; o++) {
        er_nearest_try(&nearest, er_str_of(o->name));
    }
    return nearest.found.p == NULL
               ? er_usage_error(command, "unknown argument \"%s\"", arg)
               : er_usage_error(command, "unknown argument \"%s\"; did you mean \"%s\"?", arg,
                                nearest.found.p);
}

static const char *noun(const er_option *o) {
    return strcmp(o->value, "DIR") == 0 ? "directory" : "file";
}

static int take(const char *command, const er_option *o, const char *arg, const char *value,
                const char **target) {
    bool is_option = o->name[0] != '\0';
    int n = (int)strcspn(arg, "="); /* "--config" of "--config=x" */
    if (!is_option && *target != NULL) {
        return er_usage_error(command, "one %s at a time, found \"%s\" as well", o->value, arg);
    }
    if (*target != NULL) {
        return er_usage_error(command, "%.*s is given twice", n, arg);
    }
    if (is_option && (value == NULL || value[0] == '\0')) {
        return er_usage_error(command, "%.*s needs a %s", n, arg, noun(o));
    }
    if (is_option && strcmp(value, "-") == 0 && !o->takes_stdin) {
        return er_usage_error(command, "%.*s needs a %s, not standard input", n, arg, noun(o));
    }
    *target = value;
    return ER_EXIT_OK;
}

int er_options_read(const char *command, const er_option *options, int argc, char **argv,
                    void *out) {
    int code = ER_EXIT_OK;
    for (int i = 1; i < argc && code == ER_EXIT_OK; i++) {
        const char *arg = argv[i];
        const char *value = NULL;
        const er_option *o = find(options, arg, &value);
        if (o == NULL) {
            return unknown(command, options, arg);
        }
        void *target = (char *)out + o->offset;
        if (o->value == NULL) {
            *(bool *)target = true;
            continue;
        }
        if (value == NULL && i + 1 < argc) {
            value = argv[++i];
        }
        code = take(command, o, arg, value, target);
    }
    return code;
}
