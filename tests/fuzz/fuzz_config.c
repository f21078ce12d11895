/* config and route: any file gives a configuration or problems, all of it bounded and printable; a
 * configuration, printed, loads again as the same; so does every text on its own.
 *
 * Input: a file; its beginning also serves as a text. */
#include "fuzz.h"

#include "app/app.h"
#include "config/config_priv.h"

/* Of 100 problems: place, path and message of 4 KiB each at the most, and a line of source. */
#define PRINTED_MAX (1u << 20)

static void check_problems(er_problems *problems, er_str file) {
    size_t lines = 2; /* what is missing at the end is on the line behind the last one */
    for (size_t i = 0; i < file.n; i++) {
        lines += file.p[i] == '\n' || file.p[i] == '\r' ? 1 : 0;
    }
    size_t errors = 0;
    FUZZ_CHECK(problems->n <= 100 && problems->n <= problems->errors + problems->warnings);
    for (size_t i = 0; i < problems->n; i++) {
        const er_problem *problem = &problems->v[i];
        FUZZ_CHECK(problem->message[0] != '\0');
        FUZZ_CHECK(problem->pos.line >= 0 && (size_t)problem->pos.line <= lines);
        FUZZ_CHECK((problem->pos.line > 0) == (problem->pos.col > 0));
        FUZZ_CHECK((size_t)problem->pos.col <= file.n + 1);
        errors += problem->is_warning ? 0 : 1;
    }
    FUZZ_CHECK((errors > 0) == (problems->errors > 0));
    er_buf out;
    er_buf_init(&out, PRINTED_MAX);
    er_problems_print(problems, &out);
    FUZZ_CHECK(er_buf_status(&out) == ER_OK);
    fuzz_check_printable(er_buf_str(&out));
    er_buf_fini(&out);
}

/* Compiles the routes as app/config.c does, of a file with errors as well. */
static bool compile(const er_app_config *config, er_problems *problems) {
    er_cfg_text names[ER_SINKS_MAX];
    const er_cfg_variant *sinks = config->sinks.v;
    if (config->sinks.n == 0 || config->sinks.n > ER_SINKS_MAX) {
        return false;
    }
    for (size_t i = 0; i < config->sinks.n; i++) {
        names[i] = sinks[i].name;
    }
    er_route_table *table = NULL;
    er_status status =
        er_route_table_new(&config->routes, names, config->sinks.n, &table, problems);
    FUZZ_CHECK((status == ER_OK) == (table != NULL));
    er_route_table_free(table);
    return status == ER_OK;
}

/* Loads text, and prints what it says to out. False: it has errors. */
static bool load(er_str text, er_buf *out) {
    er_problems problems;
    er_problems_init(&problems, "fuzz.yaml");
    void *config = NULL;
    er_status status = er_config_parse(text.p, text.n, &er_app_schema, &config, &problems);
    FUZZ_CHECK(status == (problems.errors > 0 ? ER_E_CONFIG : ER_OK));
    FUZZ_CHECK(status != ER_OK || config != NULL);
    bool ok = config != NULL && compile(config, &problems) && status == ER_OK;
    FUZZ_CHECK(ok == (problems.errors == 0));
    check_problems(&problems, text);
    if (ok) {
        er_config_print(&er_app_schema, config, out);
        FUZZ_CHECK(er_buf_status(out) == ER_OK);
    }
    if (config != NULL) {
        er_config_free(&er_app_schema, config);
    }
    er_problems_fini(&problems);
    return ok;
}

/* Any text as a value: written as YAML, it is read as it was. */
static void check_text(er_str bytes) {
    er_buf text;
    er_buf yaml;
    er_buf_init(&text, 3 * 80);
    er_buf_init(&yaml, 4096);
    fuzz_repair((er_str){bytes.p, strnlen(bytes.p, bytes.n < 80 ? bytes.n : 80)}, &text);
    er_buf_puts(&yaml, "sinks: {s: {type: stdout}}\ncluster: ");
    er_yaml_text(er_buf_str(&text), &yaml);
    er_buf_putc(&yaml, '\n');
    er_problems problems;
    er_problems_init(&problems, "fuzz.yaml");
    void *config = NULL;
    FUZZ_CHECK(er_config_parse(yaml.p, yaml.len, &er_app_schema, &config, &problems) == ER_OK);
    FUZZ_CHECK(strcmp(((const er_app_config *)config)->cluster, er_buf_cstr(&text)) == 0);
    er_config_free(&er_app_schema, config);
    er_problems_fini(&problems);
    er_buf_fini(&yaml);
    er_buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    er_buf once;
    er_buf twice;
    er_buf_init(&once, 64u << 20);
    er_buf_init(&twice, 64u << 20);
    char *text = er_str_dup((er_str){(const char *)data, size});
    if (load((er_str){text, size}, &once)) {
        fuzz_check_printable(er_buf_str(&once));
        FUZZ_CHECK(load(er_buf_str(&once), &twice));
        FUZZ_CHECK(er_str_eq(er_buf_str(&once), er_buf_str(&twice)));
    }
    check_text((er_str){text, size});
    free(text);
    er_buf_fini(&once);
    er_buf_fini(&twice);
    return 0;
}
