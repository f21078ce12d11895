/* Configuration: a YAML file -> a tree that keeps line and column -> typed structs by schema rows.
 *
 * This room knows rows; it knows no setting and no sink by name. A room that has settings declares
 * a struct and its rows beside the code that uses them; only app and sinks/registry.c see them all.
 * From the same rows come the parser, the defaults, `check --print`, config/reference.md and the
 * JSON Schema: nothing is listed twice.
 *
 * All problems of a file are collected; each names file, line, column and path, shows the source
 * line and the nearest valid key. Hostile files are refused within caps: 1 MiB, 64 levels, 20,000
 * nodes, 256 KiB a scalar, one document, no NUL, UTF-8, no aliases or merge keys, no duplicate
 * keys.
 *
 * Threads: main only; a loaded configuration is immutable and may be read by any thread. */
#ifndef ER_CONFIG_CONFIG_H
#define ER_CONFIG_CONFIG_H

#include "base/buf.h"
#include "base/secret.h"

typedef enum er_field_type {
    ER_FIELD_BOOL,     /* bool */
    ER_FIELD_INT,      /* int64_t; min and max apply */
    ER_FIELD_DURATION, /* int64_t, milliseconds: 200ms 5s 3m 2h, or 0; min and max in ms */
    ER_FIELD_SIZE,     /* int64_t, bytes: 512 64KiB 1MiB 1GiB; min and max in bytes */
    ER_FIELD_STRING,   /* char *, never NULL: "" when unset */
    ER_FIELD_ENUM,     /* int: the index into choices ("json|text") */
    ER_FIELD_SECRET,   /* er_secret_ref: literal (warning), {file: P} or {env: N} */
    ER_FIELD_URL,     /* er_secret_ref: as above, a literal without warning; literal: http(s) URL */
    ER_FIELD_STRUCT,  /* the struct itself, by rows */
    ER_FIELD_STRINGS, /* er_cfg_strings; a single scalar is a list of one */
    ER_FIELD_LIST,    /* er_cfg_list of elem_size items by rows */
    ER_FIELD_SECRETS, /* er_cfg_list of er_cfg_secret: a map name -> secret; a literal is warned of
                         when its name sounds like a secret's (Authorization) */
    ER_FIELD_SECRET_LIST, /* er_cfg_list of er_secret_ref, each as SECRET; ER_FIELD_OF_URLS: as URL
                           */
    ER_FIELD_VARIANTS, /* er_cfg_list of er_cfg_variant: a map name -> struct chosen by its `type`
                        */
} er_field_type;

enum {
    /* Absent is an error, as is an empty text or list; inside a STRUCT that does not stand in the
     * file it is not. */
    ER_FIELD_REQUIRED = 1,
    /* INT, DURATION, SIZE: absent and without default gives -1 ("auto"). STRUCT with ER_FIELD_POS
     * among its rows: that it stands in the file says something, so defaults are not printed. */
    ER_FIELD_UNSET = 2,
    ER_FIELD_HIDDEN = 4,  /* accepted, but in nothing that is made from rows (old names of a key) */
    ER_FIELD_OF_URLS = 8, /* SECRET_LIST */
    /* SECRETS: settings of many kinds, few of them secret. print shows a literal whose name does
     * not sound like a secret's; the JSON Schema allows numbers, true and false. */
    ER_FIELD_OPEN = 16,
    ER_FIELD_FILE = 32,    /* STRING: the path of a file that is read at the start */
    ER_FIELD_PATTERN = 64, /* STRING, STRINGS: "$" has a meaning of its own */
    ER_FIELD_WRITTEN =
        128, /* STRING: the path of a file that is made in a directory, and written */
    ER_FIELD_DIRECTORY = 256, /* STRING: a directory that is written to, made when it is missing */
};

typedef struct er_variant er_variant;
typedef struct er_field er_field;

struct er_field {
    const char *key; /* camelCase; NULL ends the rows */
    er_field_type type;
    size_t offset;       /* offsetof the target in the struct the rows describe */
    const char *def;     /* default, as text in YAML form; NULL: "", 0, false, the first choice */
    int64_t min, max;    /* both 0: 0 to INT64_MAX. STRING: bytes; STRINGS, LIST...: items */
    const char *choices; /* ENUM: "a|b|c"; STRINGS, if not NULL: patterns, or one of these words */
    unsigned flags;
    const char *help;     /* one line, a sentence, for people */
    const er_field *rows; /* STRUCT, LIST */
    size_t elem_size;     /* LIST */
    /* Optional. STRING, STRINGS (each item), SECRETS (each key), VARIANTS (each name), and literal
     * URL: says what is wrong with one text; reported at its position. */
    er_status (*check)(const char *text, er_err *err);
    /* Optional. BOOL, STRING, STRINGS (each item), literal URL: what is legal but hardly meant, or
     * dangerous; the error's text is a warning at its position. */
    er_status (*advise)(const char *text, er_err *err);
    /* Optional. STRUCT, LIST items, variant bodies: looks at the filled struct; reported at the
     * struct's position. Not called when the struct had problems of its own, nor for a STRUCT that
     * does not stand in the file. */
    er_status (*check_struct)(const void *value, er_err *err);
    /* VARIANTS: fills the i-th kind; false when there is none. */
    bool (*variant_at)(size_t i, er_variant *out);
};

struct er_variant {
    const char *name, *summary;
    const er_field *rows;
    size_t size;
    er_status (*check_struct)(const void *value, er_err *err); /* optional */
    const void *user;                                          /* handed through */
};

typedef struct er_cfg_text {
    char *s;
    er_pos pos;
    bool is_bad; /* had a problem, which was reported: nothing more needs to be said of it */
} er_cfg_text;

typedef struct er_cfg_strings {
    er_cfg_text *v;
    size_t n;
    er_pos pos;
    bool set; /* the key stood in the file (perhaps as an empty list) */
} er_cfg_strings;

typedef struct er_cfg_list {
    void *v; /* n items of elem_size */
    size_t n, elem_size;
    er_pos pos;
    bool set;
} er_cfg_list;

typedef struct er_cfg_secret {
    er_cfg_text name;
    er_secret_ref value;
} er_cfg_secret;

typedef struct er_cfg_variant {
    er_cfg_text name; /* the key of the map */
    const char *type; /* er_variant.name; NULL after an error: it was not to be had */
    const void *user; /* er_variant.user */
    void *config;     /* er_variant.size bytes, filled by er_variant.rows; NULL as type is */
    er_pos pos;       /* of the body */
} er_cfg_variant;

/* A row of type STRUCT, LIST items and variants may keep their own position: give the struct a
 * member `er_pos pos` and name it with a row of this form (it is filled, never read from YAML). */
#define ER_FIELD_POS(type_, member)                                                                \
    { .key = "", .type = ER_FIELD_STRUCT, .offset = offsetof(type_, member) }

typedef struct er_problem {
    er_pos pos; /* 0,0: the file as a whole */
    bool is_warning;
    char *path;    /* "sinks.kafka.brokers[1]"; may be "" */
    char *message; /* with the nearest valid key where there is one */
} er_problem;

typedef struct er_problems {
    char *file;   /* as given on the command line */
    char *source; /* the file's text, to show source lines; NULL when it could not be read */
    size_t source_len;
    er_problem *v; /* in the order of position once printed */
    size_t n;
    size_t errors, warnings;    /* all, also those that are not kept */
    struct er_outside *outside; /* files and variables that the file names */
    size_t outside_n;
    struct er_mask *masks; /* parts of source that are not shown: they are secret */
    size_t masks_n;
} er_problems;

void er_problems_init(er_problems *problems, const char *file);
void er_problems_fini(er_problems *problems);
/* At most 100 are kept; the last then says so. */
void er_problems_add(er_problems *problems, bool is_warning, er_pos pos, const char *path,
                     const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* "file:line:col: error: path: message", the source line, a caret; sorted by position. Values of
 * secret fields in source lines are masked. */
void er_problems_print(er_problems *problems, er_buf *out);

/* Looks at what the configuration names, also one with errors: kinds of er_outside_of, or-ed. What
 * cannot be read, or could not be written, is a problem at its own position. Makes nothing. */
typedef enum er_outside_of {
    ER_OUTSIDE_SECRETS = 1, /* files and variables */
    ER_OUTSIDE_FILES = 2,   /* ER_FIELD_FILE */
    ER_OUTSIDE_PLACES = 4,  /* ER_FIELD_WRITTEN and ER_FIELD_DIRECTORY */
    ER_OUTSIDE_ALL = 7,
} er_outside_of;
void er_problems_look_outside(er_problems *problems, unsigned kinds, bool is_warning);
/* True when it found one below path ("sinks.hook"). */
bool er_problems_misses(const er_problems *problems, const char *path);

/* A DURATION or SIZE as a file has it, for messages: 90000 as "90s", 65536 as "64KiB". Returns out.
 */
#define ER_NUMBER_TEXT 32
const char *er_number_text(er_field_type type, int64_t v, char out[ER_NUMBER_TEXT]);
/* Of a pair of rows `initial` and `max`, for check_struct. */
er_status er_backoff_check(int64_t initial_ms, int64_t max_ms, er_err *err);

typedef struct er_schema {
    const char *title;
    const er_field *rows;
    size_t size; /* of the struct that rows describe */
    er_status (*check_struct)(const void *value, er_err *err); /* optional */
} er_schema;

/* Reads, checks and fills. Problems go to problems. Returns ER_OK, also with warnings, or
 * ER_E_CONFIG. After errors *config is only good for finding more of them: values that had one keep
 * their defaults, lists and maps their items, so that names still resolve. It is NULL when the file
 * could not be read as a tree. The caller frees *config in every case. file "-" is standard input.
 */
er_status er_config_load(const char *file, const er_schema *schema, void **config,
                         er_problems *problems);
/* The same from memory, for tests and fuzzing. */
er_status er_config_parse(const char *text, size_t n, const er_schema *schema, void **config,
                          er_problems *problems);
/* The struct with nothing but defaults. */
void *er_config_defaults(const er_schema *schema);
void er_config_free(const er_schema *schema, void *config); /* wipes literals of secrets */
/* For commands that show what would be sent: secrets that cannot be read here, files and variables,
 * become the literal "***". config had no errors. */
void er_config_stand_in(const er_schema *schema, void *config);

/* The effective configuration as YAML: every key that has a value, secrets as "***" (references
 * keep their path or name), the like in URLs. It loads again. Left out are
 * keys without value and default, for which null would have to stand. */
void er_config_print(const er_schema *schema, const void *config, er_buf *out);
/* config/reference.md, whole; intro is put below the title. */
void er_config_reference(const er_schema *schema, const char *intro, er_buf *out);
/* JSON Schema, draft 2020-12, additionalProperties false throughout. */
void er_config_json_schema(const er_schema *schema, const char *id, er_buf *out);

/* A URL as it may be logged: without user, password, query and fragment; "***" for a text that is
 * no http(s) URL. */
void er_url_redact(er_str url, er_buf *out);
/* The same with "***" where user, password and query stand: for what shows a setting. */
void er_url_mask(er_str url, er_buf *out);
/* http:// to another machine: whatever is sent can be read, and changed, on the way. */
bool er_url_is_clear(er_str url);
/* A user or a password stands in it. */
bool er_url_has_user(er_str url);
/* http or https, a host, a port from 1 to 65535, no blanks and no control characters (RFC 3986
 * section 3). The message never shows the URL: it may hold a password. */
er_status er_url_check(er_str url, er_err *err);

#endif
