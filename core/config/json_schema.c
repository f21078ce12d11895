/* The JSON Schema of a configuration file (draft 2020-12), for editors and for the chart. It says
 * what rows say; what one value means for another is only known to the program. */
#include "config/config_priv.h"

#include "base/json_write.h"

#include <stdio.h>
#include <string.h>

static void put_object(er_jw *w, const er_field *rows, const char *type_name);

static void put_limit(er_jw *w, const char *min_key, const char *max_key, const er_field *f) {
    bool is_required = (f->flags & ER_FIELD_REQUIRED) != 0;
    int64_t min = f->min == 0 && is_required ? 1 : f->min;
    if (min != 0) {
        er_jw_kint(w, min_key, min);
    }
    if (er_field_max(f) != INT64_MAX) {
        er_jw_kint(w, max_key, f->max);
    }
}

static void put_int(er_jw *w, const er_field *f) {
    er_jw_kstr(w, "type", ER_STR("integer"));
    er_jw_kint(w, "minimum", f->min);
    if (er_field_max(f) != INT64_MAX) {
        er_jw_kint(w, "maximum", f->max);
    }
}

/* "1.2" may be written without quotes, and is a number then for other readers. */
static bool looks_numeric(er_str s) {
    bool is_numeric = s.n > 0 && s.p[0] != '.' && s.p[s.n - 1] != '.' && s.p[0] != '0';
    unsigned points = 0;
    for (size_t i = 0; i < s.n; i++) {
        points += s.p[i] == '.' ? 1 : 0;
        is_numeric = is_numeric && (s.p[i] == '.' || (s.p[i] >= '0' && s.p[i] <= '9'));
    }
    return is_numeric && points <= 1;
}

static void put_enum(er_jw *w, const er_field *f) {
    er_jw_key(w, "enum");
    er_jw_array(w);
    for (size_t i = 0; er_choice(f->choices, i).n > 0; i++) {
        er_str choice = er_choice(f->choices, i);
        er_jw_str(w, choice);
        if (looks_numeric(choice)) {
            er_jw_raw(w, choice);
        }
    }
    er_jw_array_end(w);
}

/* Limits of texts are bytes here and characters there: only what holds for both is said. */
static void put_string(er_jw *w, const er_field *f) {
    er_jw_kstr(w, "type", ER_STR("string"));
    if (f->min > 0 || (f->flags & ER_FIELD_REQUIRED) != 0) {
        er_jw_kint(w, "minLength", 1);
    }
    if (er_field_max(f) != INT64_MAX) {
        er_jw_kint(w, "maxLength", f->max);
    }
}

/* One of the words of a row that has such, or what may match more than one text. */
static void put_item(er_jw *w, const er_field *f) {
    er_jw_object(w);
    er_jw_kstr(w, "type", ER_STR("string"));
    if (f->choices != NULL) {
        er_buf pattern;
        er_buf_init(&pattern, 1024);
        er_buf_putf(&pattern, "^!?(%s|re:.*)$|[*?]", f->choices);
        er_jw_kstr(w, "pattern", er_buf_str(&pattern));
        er_buf_fini(&pattern);
    }
    er_jw_object_end(w);
}

static void put_strings(er_jw *w, const er_field *f) {
    er_jw_key(w, "oneOf");
    er_jw_array(w);
    put_item(w, f);
    er_jw_object(w);
    er_jw_kstr(w, "type", ER_STR("array"));
    put_limit(w, "minItems", "maxItems", f);
    er_jw_key(w, "items");
    put_item(w, f);
    er_jw_object_end(w);
    er_jw_array_end(w);
}

static void put_list(er_jw *w, const er_field *f) {
    er_jw_kstr(w, "type", ER_STR("array"));
    put_limit(w, "minItems", "maxItems", f);
    er_jw_key(w, "items");
    er_jw_object(w);
    put_object(w, f->rows, NULL);
    er_jw_object_end(w);
}

static void put_secret_list(er_jw *w, const er_field *f) {
    er_jw_kstr(w, "type", ER_STR("array"));
    put_limit(w, "minItems", "maxItems", f);
    er_jw_key(w, "items");
    er_jw_object(w);
    er_jw_kstr(w, "$ref", er_field_is_urls(f) ? ER_STR("#/$defs/url") : ER_STR("#/$defs/secret"));
    er_jw_object_end(w);
}

static void put_secrets(er_jw *w, const er_field *f) {
    er_jw_kstr(w, "type", ER_STR("object"));
    put_limit(w, "minProperties", "maxProperties", f);
    er_jw_key(w, "additionalProperties");
    er_jw_object(w);
    if ((f->flags & ER_FIELD_OPEN) != 0) { /* values of all kinds, written as people do */
        er_jw_key(w, "oneOf");
        er_jw_raw(w, ER_STR("[{\"$ref\":\"#/$defs/secret\"},{\"type\":[\"number\",\"boolean\"]}]"));
    } else {
        er_jw_kstr(w, "$ref", ER_STR("#/$defs/secret"));
    }
    er_jw_object_end(w);
}

static void put_variants(er_jw *w, const er_field *f) {
    er_jw_kstr(w, "type", ER_STR("object"));
    put_limit(w, "minProperties", "maxProperties", f);
    er_jw_key(w, "additionalProperties");
    er_jw_object(w);
    er_jw_key(w, "oneOf");
    er_jw_array(w);
    er_variant kind;
    for (size_t i = 0; f->variant_at(i, &kind); i++) {
        er_jw_object(w);
        er_jw_kstr_opt(w, "description", er_str_of(kind.summary));
        put_object(w, kind.rows, kind.name);
        er_jw_object_end(w);
    }
    er_jw_array_end(w);
    er_jw_object_end(w);
}

static void put_type(er_jw *w, const er_field *f) {
    switch (f->type) {
    case ER_FIELD_BOOL:
        er_jw_kstr(w, "type", ER_STR("boolean"));
        break;
    case ER_FIELD_INT:
        put_int(w, f);
        break;
    case ER_FIELD_DURATION:
        er_jw_kstr(w, "$ref", ER_STR("#/$defs/duration"));
        break;
    case ER_FIELD_SIZE:
        er_jw_kstr(w, "$ref", ER_STR("#/$defs/size"));
        break;
    case ER_FIELD_STRING:
        put_string(w, f);
        break;
    case ER_FIELD_ENUM:
        put_enum(w, f);
        break;
    case ER_FIELD_SECRET:
        er_jw_kstr(w, "$ref", ER_STR("#/$defs/secret"));
        break;
    case ER_FIELD_URL:
        er_jw_kstr(w, "$ref", ER_STR("#/$defs/url"));
        break;
    case ER_FIELD_STRUCT:
        put_object(w, f->rows, NULL);
        break;
    case ER_FIELD_STRINGS:
        put_strings(w, f);
        break;
    case ER_FIELD_LIST:
        put_list(w, f);
        break;
    case ER_FIELD_SECRETS:
        put_secrets(w, f);
        break;
    case ER_FIELD_SECRET_LIST:
        put_secret_list(w, f);
        break;
    case ER_FIELD_VARIANTS:
        put_variants(w, f);
        break;
    default:
        ER_ASSERT(!"a type of field");
    }
}

static void put_default(er_jw *w, const er_field *f) {
    bool is_text = f->type == ER_FIELD_DURATION || f->type == ER_FIELD_SIZE ||
                   f->type == ER_FIELD_STRING || f->type == ER_FIELD_ENUM ||
                   f->type == ER_FIELD_URL;
    if (f->def == NULL || (f->flags & ER_FIELD_REQUIRED) != 0) {
        return;
    }
    if (is_text) {
        er_jw_kstr(w, "default", er_str_of(f->def));
    } else if (f->type == ER_FIELD_BOOL || f->type == ER_FIELD_INT) {
        er_jw_key(w, "default");
        er_jw_raw(w, er_str_of(f->def));
    }
}

static bool is_shown(const er_field *f) {
    return !er_field_is_pos(f) && (f->flags & ER_FIELD_HIDDEN) == 0;
}

static void put_properties(er_jw *w, const er_field *rows, const char *type_name) {
    er_jw_key(w, "properties");
    er_jw_object(w);
    if (type_name != NULL) {
        er_jw_key(w, "type");
        er_jw_object(w);
        er_jw_kstr(w, "const", er_str_of(type_name));
        er_jw_object_end(w);
    }
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (is_shown(f)) {
            er_jw_key(w, f->key);
            er_jw_object(w);
            er_jw_kstr_opt(w, "description", er_str_of(f->help));
            put_type(w, f);
            put_default(w, f);
            er_jw_object_end(w);
        }
    }
    er_jw_object_end(w);
}

static void put_required(er_jw *w, const er_field *rows, const char *type_name) {
    bool is_any = type_name != NULL;
    for (const er_field *f = rows; f->key != NULL; f++) {
        is_any = is_any || (is_shown(f) && (f->flags & ER_FIELD_REQUIRED) != 0);
    }
    if (!is_any) {
        return;
    }
    er_jw_key(w, "required");
    er_jw_array(w);
    if (type_name != NULL) {
        er_jw_cstr(w, "type");
    }
    for (const er_field *f = rows; f->key != NULL; f++) {
        if (is_shown(f) && (f->flags & ER_FIELD_REQUIRED) != 0) {
            er_jw_cstr(w, f->key);
        }
    }
    er_jw_array_end(w);
}

/* type_name: the kind of a variant, told by its key "type". */
static void put_object(er_jw *w, const er_field *rows, const char *type_name) {
    er_jw_kstr(w, "type", ER_STR("object"));
    er_jw_kbool(w, "additionalProperties", false);
    put_required(w, rows, type_name);
    put_properties(w, rows, type_name);
}

#define REFERENCE(key_, pattern_)                                                                  \
    "{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"" key_                    \
    "\"],\"properties\":{\"" key_ "\":{\"type\":\"string\"," pattern_ "}}}"
#define REFERENCES                                                                                 \
    REFERENCE("file", "\"minLength\":1")                                                           \
    "," REFERENCE("env", "\"pattern\":\"^[A-Za-z_][A-Za-z0-9_]*$\"")

/* Plain digits are a number for other readers: 0 for durations, bytes for sizes. */
static const char defs[] =
    "{\"duration\":{\"type\":[\"string\",\"integer\"],\"pattern\":\"^(0|(0|[1-9][0-9]*)"
    "(ms|s|m|h))$\",\"minimum\":0,\"maximum\":0},"
    "\"size\":{\"type\":[\"string\",\"integer\"],\"pattern\":\"^(0|[1-9][0-9]*)(KiB|MiB|GiB)?$\","
    "\"minimum\":0},"
    "\"secret\":{\"oneOf\":[{\"type\":\"string\",\"minLength\":1}," REFERENCES "]},"
    "\"url\":{\"oneOf\":[{\"type\":\"string\",\"pattern\":\"^[Hh][Tt][Tt][Pp][Ss]?://[^ "
    "]+$\"}," REFERENCES "]}}";

void er_config_json_schema(const er_schema *schema, const char *id, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "$schema", ER_STR("https://json-schema.org/draft/2020-12/schema"));
    er_jw_kstr(&w, "$id", er_str_of(id));
    er_jw_kstr(&w, "title", er_str_of(schema->title));
    put_object(&w, schema->rows, NULL);
    er_jw_key(&w, "$defs");
    er_jw_raw(&w, er_str_of(defs));
    er_jw_object_end(&w);
}
