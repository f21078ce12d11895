#include "config/config_priv.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

typedef struct builder {
    yaml_parser_t parser;
    er_tree *tree;
    er_problems *problems;
    er_node *open[ER_CONFIG_DEPTH_MAX]; /* maps and lists that are not closed */
    unsigned depth;
    bool has_key; /* a key was read, its value comes next */
    er_str key;
    er_pos key_pos;
    bool has_document;
    er_str text;
} builder;

static er_pos pos_of(yaml_mark_t mark) {
    return (er_pos){(int)mark.line + 1, (int)mark.column + 1};
}

/* Texts of scalars may be secrets, and errors show the path anyway: no path and no text here. */
#define FAIL(b, pos, ...) er_problems_add((b)->problems, false, (pos), "", __VA_ARGS__)

static er_node *parent_of(const builder *b) {
    return b->depth > 0 ? b->open[b->depth - 1] : NULL;
}

static bool count_node(builder *b, er_pos pos) {
    if (++b->tree->n > ER_CONFIG_NODES_MAX) {
        FAIL(b, pos, "more than %d keys and values; the file is too large", ER_CONFIG_NODES_MAX);
        return false;
    }
    return true;
}

static void append(er_node *parent, er_node *node) {
    if (parent->last == NULL) {
        parent->first = node;
    } else {
        parent->last->next = node;
    }
    parent->last = node;
    parent->n++;
}

/* Makes a node where the file stands; NULL: reported, and reading ends. */
static er_node *add_node(builder *b, er_node_kind kind, const yaml_event_t *event) {
    er_pos pos = pos_of(event->start_mark);
    er_node *parent = parent_of(b);
    if (parent != NULL && parent->kind == ER_NODE_MAP && !b->has_key) {
        const char *hint = memmem(b->text.p, b->text.n, "{{", 2) != NULL
                               ? "; is this a template that was not filled in?"
                               : "";
        FAIL(b, pos, "a key must be a text, not a %s%s", kind == ER_NODE_MAP ? "map" : "list",
             hint);
        return NULL;
    }
    if (!count_node(b, pos)) {
        return NULL;
    }
    er_node *node = er_xcalloc(1, sizeof *node);
    *node = (er_node){.kind = kind, .pos = pos, .end = pos_of(event->end_mark)};
    node->all = b->tree->all;
    b->tree->all = node;
    if (parent == NULL) {
        b->tree->root = node;
        return node;
    }
    append(parent, node);
    if (parent->kind == ER_NODE_MAP) {
        node->key = b->key;
        node->key_pos = b->key_pos;
        b->has_key = false;
    }
    return node;
}

static bool take_key(builder *b, const yaml_event_t *event) {
    er_pos pos = pos_of(event->start_mark);
    er_str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    bool is_plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (is_plain && er_str_eqc(text, "<<")) {
        FAIL(b, pos, "merge keys (<<) are not supported; write the keys out");
        return false;
    }
    if (!count_node(b, pos)) {
        return false;
    }
    if (text.n == 0) {
        FAIL(b, pos, "a key is empty");
    }
    b->has_key = true;
    b->key = (er_str){er_str_dup(text), text.n};
    b->key_pos = pos;
    return true;
}

/* What no scalar may be; false: reported, and reading ends. */
static bool scalar_is_legal(builder *b, const yaml_event_t *event) {
    er_pos pos = pos_of(event->start_mark);
    if (event->data.scalar.length > ER_CONFIG_SCALAR_MAX) {
        FAIL(b, pos, "this text has %zu bytes; at most %u are allowed", event->data.scalar.length,
             ER_CONFIG_SCALAR_MAX);
        return false;
    }
    if (memchr(event->data.scalar.value, '\0', event->data.scalar.length) != NULL) {
        FAIL(b, pos, "this text contains the character NUL, which cannot be kept");
        return false;
    }
    return true;
}

static bool refuse_anchor(builder *b, er_pos pos) {
    FAIL(
        b, pos,
        "anchors (&name) and aliases (*name) are not supported; write the value out, or put a text "
        "that begins with \"&\" or \"*\" in quotes");
    return false;
}

/* Tags are reported and passed over; anchors end the reading, before anything is repeated. */
static bool check_properties(builder *b, er_pos pos, const yaml_char_t *anchor,
                             const yaml_char_t *tag) {
    if (anchor != NULL) {
        return refuse_anchor(b, pos);
    }
    if (tag != NULL) {
        FAIL(b, pos, "tags (!name) are not supported; put a text that begins with \"!\" in quotes");
    }
    return true;
}

static bool on_scalar(builder *b, const yaml_event_t *event) {
    er_node *parent = parent_of(b);
    if (!check_properties(b, pos_of(event->start_mark), event->data.scalar.anchor,
                          event->data.scalar.tag) ||
        !scalar_is_legal(b, event)) {
        return false;
    }
    if (parent != NULL && parent->kind == ER_NODE_MAP && !b->has_key) {
        return take_key(b, event);
    }
    er_node *node = add_node(b, ER_NODE_SCALAR, event);
    if (node == NULL) {
        return false;
    }
    er_str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->reported = event->data.scalar.tag != NULL;
    node->text = (er_str){er_str_dup(text), text.n};
    return true;
}

static bool open_node(builder *b, er_node_kind kind, const yaml_event_t *event) {
    er_pos pos = pos_of(event->start_mark);
    bool is_map = kind == ER_NODE_MAP;
    if (!check_properties(
            b, pos, is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor,
            is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag)) {
        return false;
    }
    if (b->depth == ER_CONFIG_DEPTH_MAX) {
        FAIL(b, pos, "more than %d maps and lists inside each other", ER_CONFIG_DEPTH_MAX);
        return false;
    }
    er_node *node = add_node(b, kind, event);
    if (node == NULL) {
        return false;
    }
    b->open[b->depth++] = node;
    return true;
}

static int by_key(const void *a, const void *b) {
    const er_node *x = *(const er_node *const *)a;
    const er_node *y = *(const er_node *const *)b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int order = n == 0 ? 0 : memcmp(x->key.p, y->key.p, n);
    if (order != 0) {
        return order;
    }
    if (x->key.n != y->key.n) {
        return x->key.n < y->key.n ? -1 : 1;
    }
    if (x->key_pos.line != y->key_pos.line) {
        return x->key_pos.line < y->key_pos.line ? -1 : 1;
    }
    return x->key_pos.col < y->key_pos.col ? -1 : 1;
}

/* Sorted, so that a map of 10,000 keys costs no 50 million comparisons. */
static void check_duplicates(builder *b, const er_node *map) {
    if (map->n < 2) {
        return;
    }
    const er_node **members = er_xcalloc(map->n, sizeof *members);
    size_t n = 0;
    for (const er_node *child = map->first; child != NULL; child = child->next) {
        members[n++] = child;
    }
    qsort(members, n, sizeof *members, by_key);
    const er_node *first = members[0];
    for (size_t i = 1; i < n; i++) {
        if (er_str_eq(first->key, members[i]->key)) {
            char shown[ER_SHOWN_TEXT];
            FAIL(b, members[i]->key_pos, "duplicate key %s; the first is on line %d",
                 er_shown(first->key, shown), first->key_pos.line);
        } else {
            first = members[i];
        }
    }
    free(members);
}

static bool close_node(builder *b, const yaml_event_t *event) {
    er_node *node = b->open[--b->depth];
    node->end = pos_of(event->end_mark);
    if (node->kind == ER_NODE_MAP) {
        check_duplicates(b, node);
    }
    return true;
}

static bool on_document(builder *b, const yaml_event_t *event) {
    if (b->has_document) {
        FAIL(b, pos_of(event->start_mark),
             "a second document begins here; a configuration is one document");
        return false;
    }
    b->has_document = true;
    return true;
}

static bool on_event(builder *b, const yaml_event_t *event) {
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        return on_document(b, event);
    case YAML_ALIAS_EVENT:
        return refuse_anchor(b, pos_of(event->start_mark));
    case YAML_SCALAR_EVENT:
        return on_scalar(b, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_node(b, ER_NODE_LIST, event);
    case YAML_MAPPING_START_EVENT:
        return open_node(b, ER_NODE_MAP, event);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return close_node(b, event);
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_STREAM_END_EVENT:
    case YAML_DOCUMENT_END_EVENT:
    default:
        return true;
    }
}

/* libyaml places the end of a file on a line of its own behind the last one. */
static bool is_behind(er_str text, int line) {
    int lines = 1;
    for (size_t i = 0; i < text.n; i++) {
        bool is_break =
            text.p[i] == '\n' || (text.p[i] == '\r' && (i + 1 == text.n || text.p[i + 1] != '\n'));
        lines += is_break && i + 1 < text.n ? 1 : 0;
    }
    return line > lines;
}

static char char_at(const char *text, size_t n, er_pos pos) {
    er_str line = er_text_line(text, n, pos.line);
    size_t at = 0;
    for (int col = 1; col < pos.col && at < line.n; col++) {
        at += er_utf8_len(line.p + at, line.n - at);
    }
    return at < line.n ? line.p[at] : '\0';
}

static void report_syntax(builder *b) {
    er_pos pos = pos_of(b->parser.problem_mark);
    char at = char_at(b->text.p, b->text.n, pos);
    er_pos before = {pos.line, pos.col - 1};
    bool is_variable = at == '{' && pos.col > 1 && char_at(b->text.p, b->text.n, before) == '$';
    er_syntax_report(&(er_syntax){.problem = b->parser.problem,
                                  .context = b->parser.context,
                                  .pos = pos,
                                  .context_pos = pos_of(b->parser.context_mark),
                                  .at = at,
                                  .is_variable = is_variable,
                                  .at_end = is_behind(b->text, pos.line)},
                     b->problems);
}

/* True when the end of the file was reached. */
static bool read_events(builder *b) {
    for (;;) {
        yaml_event_t event;
        if (yaml_parser_parse(&b->parser, &event) == 0) {
            report_syntax(b);
            return false;
        }
        bool goes_on = on_event(b, &event);
        bool is_end = event.type == YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
        if (!goes_on || is_end) {
            return goes_on;
        }
    }
}

/* An empty file is an empty map, as is one with nothing but comments. */
static bool check_root(builder *b) {
    er_tree *tree = b->tree;
    if (tree->root == NULL || er_node_is_null(tree->root)) {
        er_node *root = er_xcalloc(1, sizeof *root);
        *root = (er_node){.kind = ER_NODE_MAP, .pos = {1, 1}, .end = {1, 1}, .all = tree->all};
        tree->all = root;
        tree->root = root;
    }
    if (tree->root->kind != ER_NODE_MAP) {
        FAIL(b, tree->root->pos, "expected a map of settings (key: value), found a %s",
             tree->root->kind == ER_NODE_LIST ? "list" : "text");
        return false;
    }
    return true;
}

/* A text that the tree made; the type of a slice hides that it may be written. */
static void free_text(er_str text) {
    void *p;
    memcpy(&p, &text.p, sizeof p);
    if (p != NULL) {
        explicit_bzero(p, text.n);
        free(p);
    }
}

bool er_tree_parse(er_tree *tree, const char *text, size_t n, er_problems *problems) {
    *tree = (er_tree){0};
    if (n > ER_CONFIG_FILE_MAX) {
        er_problems_add(problems, false, (er_pos){0, 0}, "",
                        "the file has %zu bytes; at most %u are allowed", n, ER_CONFIG_FILE_MAX);
        return false;
    }
    if (!er_text_check(text, n, problems)) {
        return false;
    }
    builder b = {.tree = tree, .problems = problems, .text = {text, n}};
    ER_ASSERT(yaml_parser_initialize(&b.parser) == 1);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, n);
    bool is_whole = read_events(&b) && check_root(&b);
    yaml_parser_delete(&b.parser);
    if (b.has_key) {
        free_text(b.key);
    }
    if (!is_whole) {
        tree->root = NULL;
    }
    return is_whole;
}

void er_tree_free(er_tree *tree) {
    for (er_node *node = tree->all; node != NULL;) {
        er_node *before = node->all;
        free_text(node->text);
        free_text(node->key);
        free(node);
        node = before;
    }
    *tree = (er_tree){0};
}

const er_node *er_node_get(const er_node *map, const char *key) {
    for (const er_node *child = map->first; child != NULL; child = child->next) {
        if (er_str_eqc(child->key, key)) {
            return child;
        }
    }
    return NULL;
}

bool er_node_is_null(const er_node *node) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != ER_NODE_SCALAR || !node->plain) {
        return false;
    }
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++) {
        if (er_str_eqc(node->text, nulls[i])) {
            return true;
        }
    }
    return false;
}
