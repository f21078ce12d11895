/* The program: its configuration put together from everybody's rows, and its commands.
 *
 * Exit codes: 0, 1 run-time failure, 2 bad configuration or usage. Threads: main. */
#ifndef ER_APP_APP_H
#define ER_APP_APP_H

#include "admin/admin.h"
#include "app/options.h"
#include "watch/watch.h"

#define ER_EXIT_OK      0
#define ER_EXIT_FAILURE 1
#define ER_EXIT_USAGE   2

typedef enum er_log_format { ER_LOG_AUTO, ER_LOG_JSON, ER_LOG_TEXT } er_log_format;

typedef struct er_app_config {
    char *cluster;
    struct {
        int level;  /* er_log_level */
        int format; /* er_log_format */
    } log;
    er_admin_settings admin;
    er_kube_settings kubernetes;
    er_watch_settings watch;
    er_state_settings state;
    struct {
        int64_t window_ms;
    } notices;
    struct {
        int64_t grace_ms;
    } shutdown;
    er_cfg_list routes; /* of er_route_settings */
    er_cfg_list sinks;  /* of er_cfg_variant; config begins with er_sink_settings */
} er_app_config;

extern const er_schema er_app_schema;

/* Loads file and compiles its routes, collecting all problems; on error both are NULL. */
er_status er_app_load(const char *file, er_app_config **config, er_route_table **table,
                      er_problems *problems);

/* ---- commands: argv[0] is the command's name; the result is the exit code ---- */

typedef struct er_command {
    const char *name, *usage, *summary;
    int (*run)(int argc, char **argv);
    const er_option *options; /* NULL: it takes none */
} er_command;
extern const er_command er_commands[];               /* name NULL at the end */
const er_command *er_command_find(const char *name); /* NULL: there is none */

extern const er_option er_run_options[], er_check_options[], er_explain_options[],
    er_schema_options[], er_state_options[];

int er_cmd_run(int argc, char **argv);
int er_cmd_check(int argc, char **argv);
int er_cmd_explain(int argc, char **argv);
int er_cmd_schema(int argc, char **argv);
int er_cmd_state(int argc, char **argv);
int er_cmd_version(int argc, char **argv);
int er_cmd_help(int argc, char **argv);

/* "eventrouter COMMAND: what is wrong" and how to get help, on stderr; ER_EXIT_USAGE. */
int er_usage_error(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int er_unknown_command(const char *name);      /* the same of a command that is not there */
int er_print_usage(const er_command *command); /* on stdout; the exit code */
/* Writes all of text to stdout; the exit code. */
int er_print(const er_buf *text);
void er_print_problems(er_problems *problems);

#endif
