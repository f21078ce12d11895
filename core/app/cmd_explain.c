#include "app/explain.h"
#include "record/input.h"
#include "sinks/table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define INPUT_MAX  (256u << 20)
#define OUTPUT_MAX (256u << 20) /* of one record; a record of 4 MiB for each of 64 sinks */
#define FLUSH_AT   65536
#define FAULTS_MAX 100 /* that are shown */

typedef struct explain_options {
    const char *config, *input;
    bool payload;
} explain_options;

typedef struct explain_run {
    er_explainer *explainer;
    const char *cluster; /* of Events: the name that the router would give them */
    const char *input;   /* its name, for errors */
    er_buf out;
    int code;
    size_t answers, faults;
} explain_run;

#define O(member) offsetof(explain_options, member)
const er_option er_explain_options[] = {
    ER_OPTION_CONFIG(explain_options, config),
    {.name = "",
     .value = "FILE",
     .offset = O(input),
     .help = "records and Events, as JSON; left out or -: standard input"},
    {.name = "--payload", .offset = O(payload), .help = "write what each sink would send, too"},
    {.name = NULL},
};

static int parse_options(int argc, char **argv, explain_options *out) {
    int code = er_options_read("explain", er_explain_options, argc, argv, out);
    return code == ER_EXIT_OK && out->config == NULL
               ? er_usage_error("explain", "-c FILE is missing")
               : code;
}

/* ---- input ---- */

static er_status read_all(int fd, er_buf *out, er_err *err) {
    for (;;) {
        char *to = er_buf_reserve(out, 65536);
        if (to == NULL) {
            return er_err_set(err, er_buf_status(out),
                              "more than 256 MiB; explain it in parts, one record a line is "
                              "easiest to cut");
        }
        ssize_t n = read(fd, to, 65536);
        if (n < 0 && errno != EINTR) {
            char why[128];
            return er_err_set(err, ER_E_IO, "%s", er_errno_text(errno, why, sizeof why));
        }
        if (n == 0) {
            return ER_OK;
        }
        out->len += n > 0 ? (size_t)n : 0;
    }
}

/* A file of any kind: what a shell gives for <(kubectl ...) is a pipe. */
static er_status read_input(const char *name, er_buf *out, er_err *err) {
    if (strcmp(name, "-") == 0) {
        if (isatty(STDIN_FILENO) == 1) {
            (void)fprintf(stderr, "reading records and Events from the terminal; Ctrl-D ends\n");
        }
        return read_all(STDIN_FILENO, out, err);
    }
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        char why[128];
        return er_err_set(err, ER_E_IO, "%s", er_errno_text(errno, why, sizeof why));
    }
    er_status status = read_all(fd, out, err);
    (void)close(fd);
    return status;
}

/* ---- answers ---- */

static bool flush(explain_run *run) {
    if (er_buf_status(&run->out) != ER_OK) {
        (void)fprintf(stderr, "eventrouter explain: one answer is over 256 MiB\n");
        run->code = ER_EXIT_FAILURE;
        return false;
    }
    if (er_print(&run->out) != ER_EXIT_OK) {
        run->code = ER_EXIT_FAILURE;
        return false;
    }
    er_buf_shrink(&run->out, FLUSH_AT * 2);
    return true;
}

static bool on_draft(void *arg, const er_input_place *place, er_draft *draft) {
    (void)place;
    explain_run *run = arg;
    if (draft->rec.cluster.n == 0) {
        draft->rec.cluster = er_str_of(run->cluster);
    }
    er_record *rec = er_record_seal(&draft->rec);
    if (rec == NULL) {
        (void)fprintf(stderr, "eventrouter explain: no memory for a record\n");
        run->code = ER_EXIT_FAILURE;
        return false;
    }
    run->answers++;
    er_explain(run->explainer, rec, &run->out);
    er_record_unref(rec);
    return (run->out.len < FLUSH_AT && er_buf_status(&run->out) == ER_OK) || flush(run);
}

static void put_place(const er_input_place *place, er_buf *out) {
    er_buf_putf(out, "document %zu", place->document);
    if (place->item > 0) {
        er_buf_putf(out, " item %zu", place->item);
    }
    er_buf_putf(out, ", line %zu, byte %zu: ", place->line, place->offset);
}

static void on_nothing(void *arg, const er_input_place *place, const char *why) {
    explain_run *run = arg;
    run->answers++;
    put_place(place, &run->out);
    er_buf_putf(&run->out, "%s\n\n", why);
}

static void on_fault(void *arg, const er_input_place *place, const char *why) {
    explain_run *run = arg;
    run->faults++;
    run->code = ER_EXIT_FAILURE;
    if (run->faults > FAULTS_MAX) {
        return;
    }
    er_buf text;
    er_buf_init(&text, 8192);
    er_buf_putf(&text, "%s: ", run->input);
    put_place(place, &text);
    er_table_safe(er_str_of(why), &text);
    (void)fprintf(stderr, "%s\n", er_buf_cstr(&text));
    er_buf_fini(&text);
}

static int answer(explain_run *run, const char *name) {
    er_buf text;
    er_buf_init(&text, INPUT_MAX);
    er_err err;
    run->input = strcmp(name, "-") == 0 ? "stdin" : name;
    if (read_input(name, &text, &err) != ER_OK) {
        (void)fprintf(stderr, "%s: %s\n", run->input, err.msg);
        er_buf_fini(&text);
        return ER_EXIT_FAILURE;
    }
    er_buf_init(&run->out, OUTPUT_MAX);
    const er_input_handler handler = {run, on_draft, on_nothing, on_fault};
    er_input_read(text.p, text.len, er_time_now(), &handler);
    er_buf_fini(&text);
    if (run->out.len > 0 && er_buf_status(&run->out) == ER_OK) {
        (void)flush(run);
    }
    er_buf_fini(&run->out);
    if (run->faults > FAULTS_MAX) {
        (void)fprintf(stderr, "%s: and %zu more\n", run->input, run->faults - FAULTS_MAX);
    } else if (run->faults + run->answers == 0) {
        (void)fprintf(stderr, "%s: no record and no Event in it\n", run->input);
        run->code = ER_EXIT_FAILURE;
    }
    return run->code;
}

static int explain(const explain_options *options, er_app_config *config,
                   const er_route_table *table, er_problems *problems) {
    explain_run run = {.cluster = config->cluster[0] != '\0' ? config->cluster : "<looked up>"};
    if (options->payload) {
        er_problems_look_outside(problems, ER_OUTSIDE_SECRETS, true);
        er_config_stand_in(&er_app_schema, config);
    }
    er_err err;
    er_status status =
        er_explainer_new(config, table, options->payload, problems, &run.explainer, &err);
    er_print_problems(problems);
    if (status != ER_OK) {
        (void)fprintf(stderr, "eventrouter explain: %s\n", err.msg);
        return ER_EXIT_FAILURE;
    }
    int code = answer(&run, options->input != NULL ? options->input : "-");
    er_explainer_free(run.explainer);
    return code;
}

int er_cmd_explain(int argc, char **argv) {
    explain_options options = {0};
    int code = parse_options(argc, argv, &options);
    if (code != ER_EXIT_OK) {
        return code;
    }
    er_problems problems;
    er_problems_init(&problems, options.config);
    er_app_config *config;
    er_route_table *table;
    if (er_app_load(options.config, &config, &table, &problems) == ER_OK) {
        code = explain(&options, config, table, &problems);
        er_route_table_free(table);
        er_config_free(&er_app_schema, config);
    } else {
        er_print_problems(&problems);
        code = ER_EXIT_USAGE;
    }
    er_problems_fini(&problems);
    return code;
}
