#include "sinks/registry.h"

#include "sinks/http_sink.h"

#include <stdio.h>
#include <string.h>

#define ENTRY(name_) &(name_),
const er_sink_type *const er_sink_types[] = {ER_SINK_LIST(ENTRY) NULL};

bool er_sink_variant_at(size_t i, er_variant *out) {
    if (i >= sizeof er_sink_types / sizeof er_sink_types[0] - 1) {
        return false;
    }
    const er_sink_type *type = er_sink_types[i];
    *out = (er_variant){.name = type->name,
                        .summary = type->summary,
                        .rows = type->rows,
                        .size = type->config_size,
                        .check_struct = type->check,
                        .user = type};
    return true;
}

static const char *exclusive_of(const er_cfg_variant *sink) {
    const er_sink_type *type = sink->user;
    bool has_one = sink->config != NULL && type != NULL && type->exclusive != NULL;
    return has_one ? type->exclusive(sink->config) : "";
}

/* The next byte of a path, which is moved on; "//" and "/./" count as "/". */
static char path_byte(const char **path) {
    while ((*path)[0] == '/' && ((*path)[1] == '/' || ((*path)[1] == '.' && (*path)[2] == '/'))) {
        *path += (*path)[1] == '/' ? 1 : 2;
    }
    char c = **path;
    *path += c != '\0';
    return c;
}

static bool is_same(const char *a, const char *b) {
    a += strncmp(a, "./", 2) == 0 ? 2 : 0;
    b += strncmp(b, "./", 2) == 0 ? 2 : 0;
    for (;;) {
        char c = path_byte(&a);
        if (c != path_byte(&b)) {
            return false;
        }
        if (c == '\0') {
            return true;
        }
    }
}

static void warn_of_http(const er_cfg_variant *sink, er_problems *problems) {
    const er_sink_type *type = sink->user;
    if (sink->config != NULL && type != NULL && type->family != NULL) {
        char path[128]; /* names are short */
        (void)snprintf(path, sizeof path, "sinks.%s", sink->name.s);
        er_http_sink_warn(sink->config, path, problems);
    }
}

er_status er_sinks_check(const er_cfg_list *sinks, er_problems *problems) {
    const er_cfg_variant *v = sinks->v;
    er_status status = ER_OK;
    for (size_t i = 0; i < sinks->n; i++) {
        const char *mine = exclusive_of(&v[i]);
        warn_of_http(&v[i], problems);
        for (size_t j = 0; j < i && mine[0] != '\0'; j++) {
            if (v[i].user == v[j].user && is_same(mine, exclusive_of(&v[j]))) {
                er_buf path;
                er_buf_init(&path, 4096);
                er_buf_putf(&path, "sinks.%s", v[i].name.s);
                er_problems_add(problems, false, v[i].pos, er_buf_cstr(&path),
                                "writes to %s, as %s does; two sinks cannot share it", mine,
                                v[j].name.s);
                er_buf_fini(&path);
                status = ER_E_CONFIG;
                break;
            }
        }
    }
    return status;
}
