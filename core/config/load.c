/* Whole configurations: from a file, from a text, from nothing but defaults. */
#include "config/config_priv.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- defaults ---- */

/* A default that is not one text is YAML. */
static void default_yaml(const er_field *f, void *target, er_problems *problems) {
    er_buf text;
    er_buf_init(&text, ER_CONFIG_SCALAR_MAX);
    er_buf_putf(&text, "default: %s", f->def);
    er_tree tree;
    ER_ASSERT(er_tree_parse(&tree, er_buf_cstr(&text), text.len, problems));
    for (er_node *node = tree.all; node != NULL; node = node->all) {
        node->pos = node->key_pos = (er_pos){0, 0};
    }
    er_field_read_default(f, tree.root->first, target, problems);
    if (f->type == ER_FIELD_STRINGS) {
        ((er_cfg_strings *)target)->set = false;
    } else {
        ((er_cfg_list *)target)->set = false;
    }
    er_tree_free(&tree);
    er_buf_fini(&text);
}

void er_field_default(const er_field *field, void *target) {
    er_problems problems;
    er_problems_init(&problems, "");
    if (field->type == ER_FIELD_STRINGS || field->type == ER_FIELD_LIST ||
        field->type == ER_FIELD_SECRETS || field->type == ER_FIELD_SECRET_LIST ||
        field->type == ER_FIELD_VARIANTS) {
        default_yaml(field, target, &problems);
    } else {
        er_node node = {.kind = ER_NODE_SCALAR, .plain = true, .text = er_str_of(field->def)};
        er_field_read_default(field, &node, target, &problems);
    }
    ER_ASSERT(problems.n == 0); /* the row's default fits the row */
    er_problems_fini(&problems);
}

void *er_config_defaults(const er_schema *schema) {
    void *config = er_xcalloc(1, schema->size);
    er_rows_init(schema->rows, config);
    return config;
}

void er_config_free(const er_schema *schema, void *config) {
    if (config != NULL) {
        er_rows_free(schema->rows, config);
        free(config);
    }
}

/* ---- whole files ---- */

/* The lines of problems found before there was a tree. */
static void mask_lines(er_problems *problems, size_t from, const er_schema *schema) {
    for (size_t i = from; i < problems->n; i++) {
        er_mask_line(problems, schema, problems->v[i].pos.line);
    }
}

er_status er_config_parse(const char *text, size_t n, const er_schema *schema, void **config,
                          er_problems *problems) {
    *config = NULL;
    size_t errors = problems->errors;
    size_t kept = problems->n;
    if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) { /* a byte order mark */
        text += 3;
        n -= 3;
    }
    er_problems_source(problems, text, n);
    er_tree tree;
    if (er_tree_parse(&tree, text, n, problems)) {
        *config = er_config_defaults(schema);
        er_tree_read(tree.root, schema, *config, problems);
    } else {
        mask_lines(problems, kept, schema);
    }
    er_tree_free(&tree);
    return problems->errors > errors ? ER_E_CONFIG : ER_OK;
}

er_status er_config_load(const char *file, const er_schema *schema, void **config,
                         er_problems *problems) {
    *config = NULL;
    er_buf text;
    er_buf_init(&text, ER_CONFIG_FILE_MAX);
    er_err err;
    er_status status = strcmp(file, "-") == 0 ? er_file_read_fd(STDIN_FILENO, "stdin", &text, &err)
                                              : er_file_read(file, &text, &err);
    if (status != ER_OK) {
        er_problems_add(problems, false, (er_pos){0, 0}, "", "%s", err.msg);
        status = ER_E_CONFIG;
    } else {
        status = er_config_parse(er_buf_cstr(&text), text.len, schema, config, problems);
    }
    er_buf_wipe(&text);
    er_buf_fini(&text);
    return status;
}
