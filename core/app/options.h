/* The command line of a command: one table to read it by and to show with --help.
 *
 * Threads: main. */
#ifndef ER_APP_OPTIONS_H
#define ER_APP_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct er_option {
    const char *name; /* "--print"; "": an argument that is no option; NULL: the end of the table */
    const char *other; /* another name, such as "-c"; NULL: none */
    const char *value; /* "FILE", and the target is a const char *; NULL: none, and it is a bool */
    size_t offset;     /* of the target in the command's struct, which begins as zeros */
    const char *help;
    bool takes_stdin; /* "-" is standard input, and no error */
} er_option;

#define ER_OPTION_CONFIG(type_, member_)                                                           \
    {                                                                                              \
        .name = "--config", .other = "-c", .value = "FILE", .offset = offsetof(type_, member_),    \
        .help = "the configuration"                                                                \
    }

/* Fills out, whose texts point into argv. "--name VALUE" and "--name=VALUE" are the same. Nothing
 * may be given twice but flags. Returns ER_EXIT_OK, or ER_EXIT_USAGE: it was reported. */
int er_options_read(const char *command, const er_option *options, int argc, char **argv,
                    void *out);

#endif
