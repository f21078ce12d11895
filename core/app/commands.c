#include "app/app.h"

#include "app/version.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const er_command er_commands[] = {
    {"run", "run -c FILE", "run the router", er_cmd_run, er_run_options},
    {"check", "check -c FILE [--print] [--rbac] [--strict] [--cluster]", "check a configuration",
     er_cmd_check, er_check_options},
    {"explain", "explain -c FILE [FILE|-] [--payload]", "say what becomes of records and Events",
     er_cmd_explain, er_explain_options},
    {"schema", "schema config|record|reference", "print a schema, or the configuration reference",
     er_cmd_schema, er_schema_options},
    {"state", "state show|reset -c FILE|--path DIR [--json]",
     "print or remove the stored resume points", er_cmd_state, er_state_options},
    {"version", "version", "print the version", er_cmd_version, NULL},
    {"help", "help [COMMAND]", "print this, or the options of a command", er_cmd_help, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

const er_command *er_command_find(const char *name) {
    for (const er_command *c = er_commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

int er_usage_error(const char *command, const char *fmt, ...) {
    (void)fprintf(stderr, "eventrouter %s: ", command);
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    const er_command *found = er_command_find(command);
    (void)fprintf(stderr, "\nUsage: eventrouter %s\n", found == NULL ? "COMMAND" : found->usage);
    return ER_EXIT_USAGE;
}

int er_unknown_command(const char *name) {
    er_nearest nearest;
    er_nearest_init(&nearest, er_str_of(name));
    for (const er_command *c = er_commands; c->name != NULL; c++) {
        er_nearest_try(&nearest, er_str_of(c->name));
    }
    (void)fprintf(stderr, "eventrouter: there is no command \"%s\"", name);
    if (nearest.found.p != NULL) {
        (void)fprintf(stderr, "; did you mean \"%s\"?", nearest.found.p);
    }
    (void)fprintf(stderr, "\nRun \"eventrouter help\" for the commands.\n");
    return ER_EXIT_USAGE;
}

int er_print(const er_buf *text) {
    size_t done = 0;
    while (done < text->len) {
        ssize_t n = write(STDOUT_FILENO, text->p + done, text->len - done);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            char why[128];
            (void)fprintf(stderr, "eventrouter: cannot write to stdout: %s\n",
                          er_errno_text(errno, why, sizeof why));
            return ER_EXIT_FAILURE;
        }
        done += (size_t)n;
    }
    return er_buf_status(text) == ER_OK ? ER_EXIT_OK : ER_EXIT_FAILURE;
}

void er_print_problems(er_problems *problems) {
    er_buf text;
    er_buf_init(&text, 4u << 20);
    er_problems_print(problems, &text);
    (void)fwrite(er_buf_cstr(&text), 1, text.len, stderr);
    er_buf_fini(&text);
}

int er_cmd_version(int argc, char **argv) {
    if (argc > 1) {
        return er_usage_error("version", "takes no arguments, found \"%s\"", argv[1]);
    }
    er_buf text;
    er_buf_init(&text, 256);
    er_buf_putf(&text, "eventrouter %s (%s)\n", ER_VERSION, ER_PLATFORM);
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}

static void put_option(const er_option *o, er_buf *out) {
    size_t start = out->len;
    er_buf_putf(out, "  %s%s%s", o->other == NULL ? "" : o->other, o->other == NULL ? "" : ", ",
                o->name);
    er_buf_putf(out, "%s%s", o->value == NULL || o->name[0] == '\0' ? "" : " ",
                o->value == NULL ? "" : o->value);
    er_buf_putf(out, "%*s  %s\n", (int)(start + 25 - out->len), "", o->help);
}

int er_print_usage(const er_command *command) {
    er_buf text;
    er_buf_init(&text, 4096);
    er_buf_putf(&text, "eventrouter %s: %s\n\nUsage: eventrouter %s\n", command->name,
                command->summary, command->usage);
    for (const er_option *o = command->options; o != NULL && o->name != NULL; o++) {
        er_buf_puts(&text, o == command->options ? "\n" : "");
        put_option(o, &text);
    }
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}

int er_cmd_help(int argc, char **argv) {
    const er_command *command = argc == 2 ? er_command_find(argv[1]) : NULL;
    if (argc > 2) {
        return er_usage_error("help", "one command at a time, found \"%s\" as well", argv[2]);
    }
    if (argc == 2) {
        return command == NULL ? er_unknown_command(argv[1]) : er_print_usage(command);
    }
    er_buf text;
    er_buf_init(&text, 4096);
    er_buf_puts(
        &text, "eventrouter: Kubernetes Events, Deployment changes and container restarts into "
               "your log and SIEM stacks, complete and in time.\n\nUsage: eventrouter COMMAND\n\n");
    for (const er_command *c = er_commands; c->name != NULL; c++) {
        er_buf_putf(&text, "  %-56s %s\n", c->usage, c->summary);
    }
    er_buf_puts(&text, "\nExit codes: 0 success, 1 run-time failure, 2 bad configuration or "
                       "usage.\n");
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}
