#include "app/app.h"

#include "app/record_schema.h"

#include <string.h>

#define SCHEMA_ID "https://eventrouter.io/schemas/v1/config.schema.json"

static const char intro[] =
    "Every key of the configuration file. Made from the program's own rows by `eventrouter schema "
    "reference`: do not edit.\n\n"
    "Durations are written `200ms`, `5s`, `3m`, `2h`; sizes `512`, `64KiB`, `1MiB`. A secret is a "
    "text (with a warning), `{file: PATH}` or `{env: NAME}`.\n";

int er_cmd_schema(int argc, char **argv) {
    if (argc != 2) {
        return er_usage_error(argv[0], "say which: config, record or reference");
    }
    er_buf text;
    er_buf_init(&text, 16u << 20);
    if (strcmp(argv[1], "config") == 0) {
        er_config_json_schema(&er_app_schema, SCHEMA_ID, &text);
    } else if (strcmp(argv[1], "record") == 0) {
        er_buf_put(&text, er_record_schema, sizeof er_record_schema);
    } else if (strcmp(argv[1], "reference") == 0) {
        er_config_reference(&er_app_schema, intro, &text);
    } else {
        er_buf_fini(&text);
        return er_usage_error(argv[0], "there is no schema \"%s\"; say config, record or reference",
                              argv[1]);
    }
    if (text.len > 0 && text.p[text.len - 1] != '\n') {
        er_buf_putc(&text, '\n');
    }
    int code = er_print(&text);
    er_buf_fini(&text);
    return code;
}
