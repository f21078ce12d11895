#include "app/app.h"

#include "app/version.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const er_command er_commands[] = {
    {"run", "run -c FILE", "run the router", er_cmd_run},
    {"check", "check -c FILE [--print] [--rbac] [--strict] [--cluster]", "check a configuration",
     er_cmd_check},
    {"explain", "explain -c FILE [FILE|-] [--payload]", "say what becomes of records and Events",
     er_cmd_explain},
    {"schema", "schema config|record|reference", "print a schema, or the configuration reference",
     er_cmd_schema},
    {"state", "state show|reset -c FILE|--path DIR [--json]",
     "print or remove the stored resume points", er_cmd_state},
    {"version", "version", "print the version", er_cmd_version},
    {"help", "help", "print this", er_cmd_help},
    {NULL, NULL, NULL, NULL},
};

int er_usage_error(const char *command, const char *fmt, ...) {
    (void)fprintf(stderr, "eventrouter %s: ", command);
    va_list ap;
    va_start(ap, fmt);
    (void)vfprintf(stderr, fmt, ap);
    va_end(ap);
    for (const er_command *c = er_commands; c->name != NULL; c++) {
        if (strcmp(c->name, command) == 0) {
            (void)fprintf(stderr, "\nUsage: eventrouter %s\n", c->usage);
        }
    }
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
        return er_usage_error(argv[0], "takes no arguments, found \"%s\"", argv[1]);
    }
    er_buf text;
    er_buf_init(&text, 256);
    er_buf_putf(&text, "eventrouter %s (%s)\n", ER_VERSION, ER_PLATFORM);
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}

int er_print_usage(const er_command *command) {
    er_buf text;
    er_buf_init(&text, 1024);
    er_buf_putf(&text, "eventrouter %s: %s\nUsage: eventrouter %s\n", command->name,
                command->summary, command->usage);
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}

int er_cmd_help(int argc, char **argv) {
    (void)argc;
    (void)argv;
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
