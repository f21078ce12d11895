#include "app/app.h"

#include "base/json_read.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

static const er_command *find_command(const char *name) {
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    } else if (strcmp(name, "--version") == 0) {
        name = "version";
    }
    for (const er_command *c = er_commands; c->name != NULL; c++) {
        if (strcmp(c->name, name) == 0) {
            return c;
        }
    }
    return NULL;
}

static int unknown_command(const char *name) {
    const char *guess = NULL;
    unsigned best = 3;
    for (const er_command *c = er_commands; c->name != NULL; c++) {
        unsigned d = er_str_distance(er_str_of(c->name), er_str_of(name));
        if (d < best) {
            best = d;
            guess = c->name;
        }
    }
    (void)fprintf(stderr, "eventrouter: there is no command \"%s\"", name);
    if (guess != NULL) {
        (void)fprintf(stderr, "; did you mean \"%s\"?", guess);
    }
    (void)fprintf(stderr, "\nRun \"eventrouter help\" for the commands.\n");
    return ER_EXIT_USAGE;
}

static bool asks_for_usage(const er_command *command, int argc, char **argv) {
    if (command->run == er_cmd_help) {
        return false;
    }
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            return true;
        }
    }
    return false;
}

int main(int argc, char **argv) {
    /* A reader that has gone, and a file over the limit of RLIMIT_FSIZE, are errors of the write.
     */
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    /* Whoever started us may ignore it, and then the end of a child could not be waited for. */
    const struct sigaction usual = {.sa_handler = SIG_DFL};
    (void)sigaction(SIGCHLD, &usual, NULL);
    er_json_setup();
    if (argc < 2) {
        (void)er_cmd_help(0, argv);
        return ER_EXIT_USAGE;
    }
    const er_command *command = find_command(argv[1]);
    if (command == NULL) {
        return unknown_command(argv[1]);
    }
    return asks_for_usage(command, argc, argv) ? er_print_usage(command)
                                               : command->run(argc - 1, argv + 1);
}
