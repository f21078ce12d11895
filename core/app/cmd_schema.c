#include "app/app.h"

#include "app/record_schema.h"

#include <string.h>

#define SCHEMA_ID "https://eventrouter.io/schemas/v1/config.schema.json"

static const char intro[] =
    "Every key of the configuration file. Made from the program's own rows by `eventrouter schema "
    "reference`: do not edit.\n\n"
    "Durations are written `200ms`, `5s`, `3m`, `2h`; sizes `512`, `64KiB`, `1MiB`. A secret is a "
    "text (with a warning), `{file: PATH}` or `{env: NAME}`.\n";

typedef struct schema_options {
    const char *which;
} schema_options;

const er_option er_schema_options[] = {
    {.name = "",
     .value = "config|record|reference",
     .offset = offsetof(schema_options, which),
     .help = "the JSON Schema of the configuration or of a record, or all settings as Markdown"},
    {.name = NULL},
};

int er_cmd_schema(int argc, char **argv) {
    schema_options options = {0};
    int code = er_options_read("schema", er_schema_options, argc, argv, &options);
    if (code != ER_EXIT_OK) {
        return code;
    }
    if (options.which == NULL) {
        return er_usage_error("schema", "say which: config, record or reference");
    }
    er_buf text;
    er_buf_init(&text, 16u << 20);
    if (strcmp(options.which, "config") == 0) {
        er_config_json_schema(&er_app_schema, SCHEMA_ID, &text);
    } else if (strcmp(options.which, "record") == 0) {
        er_buf_put(&text, er_record_schema, sizeof er_record_schema);
    } else if (strcmp(options.which, "reference") == 0) {
        er_config_reference(&er_app_schema, intro, &text);
    } else {
        er_buf_fini(&text);
        return er_usage_error(
            "schema", "there is no schema \"%s\"; say config, record or reference", options.which);
    }
    if (text.len > 0 && text.p[text.len - 1] != '\n') {
        er_buf_putc(&text, '\n');
    }
    code = er_print(&text);
    er_buf_fini(&text);
    return code;
}
