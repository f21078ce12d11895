/* The size of a JSON object as google.protobuf.Struct, without making one.
 *
 * Source: google/protobuf/struct.proto and the wire format: each field is a tag of one byte here,
 * what has a length has it as a varint. A member of an object is a message of key and value; a
 * value is a message of one field. */
#include "sinks/cloud_logging.h"

static size_t varint(size_t n) {
    size_t bytes = 1;
    while (n >= 128) {
        n >>= 7;
        bytes++;
    }
    return bytes;
}

/* A field with a length: tag, length, content. */
static size_t field(size_t n) {
    return 1 + varint(n) + n;
}

/* Behind the opening quote; bytes of the text. Control characters are the only ones that er_jw
 * writes as \u00XX, and each is one byte. */
static size_t text(const char **p) {
    size_t n = 0;
    while (**p != '"') {
        if (**p == '\\') {
            *p += (*p)[1] == 'u' ? 6 : 2;
        } else {
            (*p)++;
        }
        n++;
    }
    (*p)++;
    return n;
}

static size_t value(const char **p);

/* Behind the opening bracket: the content of a Struct or a ListValue. */
static size_t members(const char **p, bool is_object) {
    char close = is_object ? '}' : ']';
    size_t sum = 0;
    while (**p != close) {
        *p += **p == ',';
        size_t key = 0;
        if (is_object) {
            (*p)++;
            key = field(text(p));
            (*p)++; /* the colon */
        }
        size_t n = field(value(p));
        sum += is_object ? field(key + n) : n;
    }
    (*p)++;
    return sum;
}

/* The content of a Value. Depth: that of the writer, 64. */
static size_t value(const char **p) { // NOLINT(misc-no-recursion)
    char first = *(*p)++;
    if (first == '"') {
        return field(text(p));
    }
    if (first == '{' || first == '[') {
        return field(members(p, first == '{'));
    }
    while (**p != ',' && **p != '}' && **p != ']' && **p != '\0') {
        (*p)++;
    }
    bool is_word = first == 't' || first == 'f' || first == 'n';
    return is_word ? 2 : 9; /* tag and one byte; tag and a double */
}

size_t er_log_struct_size(er_str json) {
    const char *p = json.p + 1;
    return members(&p, true);
}
