#include "app/app.h"

#include "base/json_read.h"

#include <signal.h>
#include <string.h>

static const er_command *find_command(const char *name) {
    bool is_help = strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    bool is_version = strcmp(name, "--version") == 0;
    return er_command_find(is_help ? "help" : is_version ? "version" : name);
}

static bool asks_for_usage(int argc, char **argv) {
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
        return er_unknown_command(argv[1]);
    }
    if (asks_for_usage(argc, argv)) {
        return command->run == er_cmd_help ? er_cmd_help(1, argv) : er_print_usage(command);
    }
    return command->run(argc - 1, argv + 1);
}
