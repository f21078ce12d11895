/* What the files of this room share: the tree of a YAML file, its limits, values, masks.
 *
 * Ownership: a tree owns its nodes and their texts; nothing of it outlives the load. */
#ifndef ER_CONFIG_CONFIG_PRIV_H
#define ER_CONFIG_CONFIG_PRIV_H

#include "config/config.h"

#define ER_CONFIG_FILE_MAX   (1U << 20) /* bytes */
#define ER_CONFIG_DEPTH_MAX  64
#define ER_CONFIG_NODES_MAX  20000 /* keys, values, maps and lists */
#define ER_CONFIG_SCALAR_MAX (256U << 10)
#define ER_PROBLEMS_MAX      100

/* ---- tree.c: the file as a tree ---- */

typedef enum er_node_kind { ER_NODE_SCALAR, ER_NODE_MAP, ER_NODE_LIST } er_node_kind;

typedef struct er_node er_node;
struct er_node {
    er_node_kind kind;
    er_pos pos, end; /* of the value; end is just behind it */
    bool plain;      /* SCALAR: without quotes, and no block */
    bool reported;   /* SCALAR: had a tag; what it means is not known */
    er_str text;     /* SCALAR: valid UTF-8, NUL-terminated, without NUL inside */
    er_str key;      /* in a map: as text */
    er_pos key_pos;
    er_node *first, *last, *next; /* children, in the order of the file; the next sibling */
    size_t n;                     /* children */
    er_node *all;                 /* the node made before this one */
};

typedef struct er_tree {
    er_node *root; /* a map; NULL when the file could not be read to its end */
    er_node *all;
    size_t n; /* nodes and keys, for the limit */
} er_tree;

/* Reads text (valid or not). Problems that leave a whole tree (duplicate keys, tags) are reported
 * and true is returned; false: reported, and there is no tree. er_tree_free in both cases. */
bool er_tree_parse(er_tree *tree, const char *text, size_t n, er_problems *problems);
void er_tree_free(er_tree *tree); /* wipes the texts: some are secrets */

const er_node *er_node_get(const er_node *map, const char *key);
bool er_node_is_null(const er_node *node); /* nothing, ~ or null, without quotes */

/* ---- syntax.c: what is wrong with the text itself ---- */

/* UTF-8, no control characters, no line separators that only YAML knows. False: reported. */
bool er_text_check(const char *text, size_t n, er_problems *problems);

typedef struct er_syntax { /* what libyaml said, in its words; texts may be NULL */
    const char *problem, *context;
    er_pos pos, context_pos;
    char at;          /* the character at pos; 0: the end of the line */
    bool is_variable; /* pos is within "${" */
    bool at_end;      /* of the file */
} er_syntax;
void er_syntax_report(const er_syntax *said, er_problems *problems);

/* The bytes of a line (from 1) without its end; empty behind the last one. */
er_str er_text_line(const char *text, size_t n, int line);

/* ---- mask.c: what must not be shown of the source ---- */

typedef struct er_mask {
    er_pos from, to;
} er_mask;
void er_mask_node(er_problems *problems, const er_node *node); /* every text in it */
/* A part of the tree that no row reads, or that does not fit its row (NULL: no row): by the names
 * of its keys, where they look like those of secrets. */
void er_mask_unread(er_problems *problems, const er_schema *schema, const er_field *field,
                    const er_node *node);
/* The line of a problem for which there is no tree: by the words in it and above it. */
void er_mask_line(er_problems *problems, const er_schema *schema, int line);
bool er_field_holds_secret(const er_field *field);
bool er_name_is_sensitive(er_str name); /* "Authorization", "x-api-key" */

/* ---- problems.c ---- */

/* Keeps a copy of the text, for the lines to show. */
void er_problems_source(er_problems *problems, const char *text, size_t n);
bool er_problems_full(const er_problems *problems); /* more are only counted */

/* ---- outside.c: what a configuration names that stands elsewhere ---- */

typedef struct er_outside {
    er_pos pos;
    char *path;        /* "sinks.hook.auth.bearer" */
    er_secret_ref ref; /* FILE or ENV */
    er_outside_of kind;
    bool is_directory; /* PLACES: not a file */
    bool is_missing;   /* er_problems_look_outside found it so */
} er_outside;
/* Of a secret. */
void er_outside_add(er_problems *problems, er_pos pos, const char *path, const er_secret_ref *ref);
/* Of a row with the flags ER_FIELD_FILE, ER_FIELD_WRITTEN or ER_FIELD_DIRECTORY. */
void er_outside_add_file(er_problems *problems, er_pos pos, const char *path, const char *file,
                         unsigned flags);
void er_outside_fini(er_problems *problems);

/* True when text has a variable as shells, Compose and Kubernetes write it: $NAME, ${NAME} or
 * $(NAME); is_whole: and nothing else. */
bool er_text_has_variable(er_str text, bool is_whole);

/* Text from a file as a message may show it: quoted, cut, one line. */
#define ER_SHOWN_TEXT 96
const char *er_shown(er_str text, char out[ER_SHOWN_TEXT]);

/* ---- values.c: single values ---- */

/* BOOL, INT, DURATION, SIZE, ENUM and STRING from a scalar into target (for STRING: owned, the old
 * one is freed). On error target is as before and err says what was expected and found. */
er_status er_value_parse(const er_field *field, const er_node *node, void *target, er_err *err);
/* "a duration such as 5s or 200ms" */
const char *er_value_expected(const er_field *field);
/* One of those types as YAML. */
void er_value_print(const er_field *field, const void *target, er_buf *out);
/* An int64_t as it is written: 90000 as 90s, 65536 as 64KiB, 5 as 5; by the field's type. */
void er_number_print(er_field_type type, int64_t v, er_buf *out);
/* A text as a YAML scalar: plain where every reader takes it as a text, else in double quotes. */
void er_yaml_text(er_str text, er_buf *out);
int64_t er_field_max(const er_field *field); /* INT64_MAX: none */

/* Choices of an ENUM: the i-th, empty behind the last one. */
er_str er_choice(const char *choices, size_t i);
void er_choices_print(const char *choices, er_buf *out); /* "a, b, c" */

/* ---- rows.c: what follows from rows alone ---- */

bool er_field_is_pos(const er_field *field);  /* a row made with ER_FIELD_POS */
bool er_field_is_urls(const er_field *field); /* a list of URLs */
const er_field *er_rows_find(const er_field *rows, er_str key);
bool er_variant_find(const er_field *field, er_str name, er_variant *out);
void *er_field_target(const er_field *field, void *base);
const void *er_field_value(const er_field *field, const void *base);
/* True when a struct, to judge by its value, did not stand in the file and may not be written to
 * one: it lacks what it requires. */
bool er_struct_is_absent(const er_field *field, const void *value);
/* True when there is nothing to print: unset, without a default. */
bool er_field_is_unset(const er_field *field, const void *value);

void er_rows_init(const er_field *rows, void *base); /* defaults into zeroed memory */
void er_rows_free(const er_field *rows, void *base);
void er_field_free(const er_field *field, void *target); /* target is zero afterwards */

/* ---- parse.c: nodes and rows make values ---- */

/* Fills config, which has its defaults, and runs all checks. */
void er_tree_read(const er_node *root, const er_schema *schema, void *config,
                  er_problems *problems);
/* One value that is a default: without warnings. */
void er_field_read_default(const er_field *field, const er_node *node, void *target,
                           er_problems *problems);

/* ---- load.c ---- */

/* A row's default, read by the same functions as a file's values. */
void er_field_default(const er_field *field, void *target);

#endif
