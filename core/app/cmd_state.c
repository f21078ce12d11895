#include "app/app.h"

#include "base/json_write.h"
#include "state/store.h"

#include <stdio.h>
#include <string.h>

typedef struct state_options {
    const char *action, *file, *path;
    bool shows, json;
} state_options;

#define O(member) offsetof(state_options, member)
const er_option er_state_options[] = {
    {.name = "",
     .value = "show|reset",
     .offset = O(action),
     .help = "show: print the resume points; reset: remove them, for a first start"},
    ER_OPTION_CONFIG(state_options, file),
    {.name = "--path", .value = "DIR", .offset = O(path), .help = "the directory of the state"},
    {.name = "--json", .offset = O(json), .help = "as JSON"},
    {.name = NULL},
};

static int parse_options(int argc, char **argv, state_options *options) {
    int code = er_options_read("state", er_state_options, argc, argv, options);
    if (code != ER_EXIT_OK) {
        return code;
    }
    if (options->action == NULL) {
        return er_usage_error("state", "say show or reset");
    }
    options->shows = strcmp(options->action, "show") == 0;
    if (!options->shows && strcmp(options->action, "reset") != 0) {
        return er_usage_error("state", "unknown argument \"%s\"; say show or reset",
                              options->action);
    }
    if ((options->file == NULL) == (options->path == NULL)) {
        return er_usage_error("state", "say where: -c FILE or --path DIR");
    }
    return ER_EXIT_OK;
}

/* ---- show ---- */

typedef struct listing {
    er_buf text;
    er_jw json;
    bool as_json;
    size_t n;
} listing;

static bool rows_of(er_str value, size_t *rows) {
    er_point point;
    return er_point_parse(value, &point, rows, NULL) == ER_OK;
}

static const char *time_text(er_time t, char out[ER_TIME_TEXT]) {
    if (t == ER_TIME_NONE) {
        return "-";
    }
    return er_time_format(t - t % 1000000, out);
}

static const char *or_dash(const char *text) {
    return text == NULL || text[0] == '\0' ? "-" : text;
}

static void put_line(listing *l, er_str stream, const er_point *point) {
    char until[ER_TIME_TEXT];
    char written[ER_TIME_TEXT];
    if (l->n == 0) {
        er_buf_putf(&l->text, "%-24s %-7s %-12s %-21s %-21s %-37s %s\n", "STREAM", "MARK",
                    "VERSION", "WATCHED UNTIL", "WRITTEN", "CLUSTER ID", "SELECTOR");
    }
    er_buf_putf(&l->text, "%-24.*s %-7s %-12s %-21s %-21s %-37s %s\n", (int)stream.n, stream.p,
                er_point_mark_name(point->mark), or_dash(point->version),
                time_text(point->watched_until, until), time_text(point->written, written),
                or_dash(point->cluster_id), or_dash(point->selector));
}

static void on_row(void *arg, const er_store_row *row) {
    listing *l = arg;
    er_point point;
    size_t rows;
    if (row->key.n > 0 || er_point_parse(row->value, &point, &rows, NULL) != ER_OK) {
        return;
    }
    if (l->as_json) {
        er_jw_object(&l->json);
        er_jw_kstr(&l->json, "stream", row->stream);
        er_jw_key(&l->json, "point");
        er_jw_raw(&l->json, row->value);
        er_jw_object_end(&l->json);
    } else {
        put_line(l, row->stream, &point);
    }
    l->n++;
}

static int show(const char *directory, bool as_json) {
    er_store *store = NULL;
    er_err err = {0};
    if (er_store_open_readonly(directory, &store, &err) != ER_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return ER_EXIT_FAILURE;
    }
    listing l = {.as_json = as_json};
    er_buf_init(&l.text, 64u << 20);
    er_jw_init(&l.json, &l.text);
    if (as_json) {
        er_jw_array(&l.json);
    }
    const er_store_reader reader = {.arg = &l, .rows_of = rows_of, .row = on_row};
    size_t voided = 0;
    int code = er_store_read(store, &reader, &voided, &err) == ER_OK ? ER_EXIT_OK : ER_EXIT_FAILURE;
    er_store_close(store);
    if (as_json) {
        er_jw_array_end(&l.json);
        er_buf_putc(&l.text, '\n');
    } else if (l.n == 0) {
        er_buf_puts(&l.text, "no streams\n");
    }
    if (code == ER_EXIT_OK) {
        code = er_print(&l.text);
    } else {
        (void)fprintf(stderr, "%s\n", err.msg);
    }
    if (voided > 0) {
        (void)fprintf(stderr, "%zu stream%s with damaged rows: not shown, and not used\n", voided,
                      voided == 1 ? "" : "s");
        code = ER_EXIT_FAILURE;
    }
    er_buf_fini(&l.text);
    return code;
}

/* ---- reset ---- */

static int reset(const char *directory) {
    er_err err = {0};
    if (er_store_remove(directory, &err) != ER_OK) {
        (void)fprintf(stderr, "%s\n", err.msg);
        return ER_EXIT_FAILURE;
    }
    (void)fprintf(stderr, "%s: removed; the next start is a first start\n", directory);
    return ER_EXIT_OK;
}

static int act(const state_options *options, const char *directory) {
    return options->shows ? show(directory, options->json) : reset(directory);
}

static int act_on_file(const state_options *options) {
    er_problems problems;
    er_problems_init(&problems, options->file);
    er_app_config *config = NULL;
    er_route_table *table = NULL;
    er_status status = er_app_load(options->file, &config, &table, &problems);
    int code = ER_EXIT_USAGE;
    if (status != ER_OK) {
        er_print_problems(&problems);
    } else if (!er_state_is_kept(&config->state)) {
        (void)fprintf(stderr, "%s: state.path is not set: nothing is kept\n", options->file);
        code = ER_EXIT_FAILURE;
    } else {
        code = act(options, config->state.path);
    }
    er_route_table_free(table);
    if (config != NULL) {
        er_config_free(&er_app_schema, config);
    }
    er_problems_fini(&problems);
    return code;
}

int er_cmd_state(int argc, char **argv) {
    state_options options = {0};
    int code = parse_options(argc, argv, &options);
    if (code != ER_EXIT_OK) {
        return code;
    }
    return options.path != NULL ? act(&options, options.path) : act_on_file(&options);
}
