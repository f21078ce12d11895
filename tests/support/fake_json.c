#include "fake_json.h"

#include <string.h>

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_space(const char *p, const char *end) {
    while (p < end && is_space(*p)) {
        p++;
    }
    return p;
}

/* p: the opening quote. */
static const char *skip_string(const char *p, const char *end) {
    for (p++; p < end; p++) {
        if (*p == '\\') {
            p++;
        } else if (*p == '"') {
            return p + 1;
        }
    }
    return NULL;
}

static bool is_scalar(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '+' || c == '.';
}

static const char *skip_scalar(const char *p, const char *end) {
    const char *start = p;
    while (p < end && is_scalar(*p)) {
        p++;
    }
    return p == start ? NULL : p;
}

const char *fake_json_skip(const char *p, const char *end) {
    size_t depth = 0;
    p = skip_space(p, end);
    while (p != NULL && p < end) {
        char c = *p;
        bool closes = c == '}' || c == ']';
        if (depth == 0 && (closes || c == ',' || c == ':')) {
            return NULL;
        }
        if (c == '"') {
            p = skip_string(p, end);
        } else if (c == '{' || c == '[') {
            depth++;
            p++;
        } else if (closes) {
            depth--;
            p++;
        } else if (c == ',' || c == ':' || is_space(c)) {
            p++;
            continue;
        } else {
            p = skip_scalar(p, end);
        }
        if (depth == 0) {
            return p;
        }
    }
    return NULL;
}

bool fake_json_is_object(er_str text) {
    const char *end = text.p + text.n;
    const char *start = skip_space(text.p, end);
    if (start == end || *start != '{') {
        return false;
    }
    const char *over = fake_json_skip(start, end);
    return over != NULL && skip_space(over, end) == end;
}

typedef struct member {
    const char *key;         /* its opening quote */
    const char *value, *end; /* of the value */
} member;

/* object: starts with its brace. p is moved behind the member and the comma after it. */
static bool next_member(const char **p, const char *end, member *out) {
    out->key = skip_space(*p, end);
    if (out->key == end || *out->key != '"') {
        return false;
    }
    const char *after = skip_string(out->key, end);
    after = after == NULL ? end : skip_space(after, end);
    if (after == end || *after != ':') {
        return false;
    }
    out->value = skip_space(after + 1, end);
    out->end = fake_json_skip(out->value, end);
    if (out->end == NULL) {
        return false;
    }
    *p = skip_space(out->end, end);
    if (*p < end && **p == ',') {
        (*p)++;
    }
    return true;
}

static bool find_member(er_str object, er_str key, member *out) {
    const char *end = object.p + object.n;
    const char *p = skip_space(object.p, end);
    if (p == end || *p != '{') {
        return false;
    }
    p++;
    while (next_member(&p, end, out)) {
        if ((size_t)(end - out->key) > key.n + 1 && memcmp(out->key + 1, key.p, key.n) == 0 &&
            out->key[key.n + 1] == '"') {
            return true;
        }
    }
    return false;
}

static er_str first_step(const char *path) {
    return (er_str){path, strcspn(path, ".")};
}

er_str fake_json_path(er_str object, const char *path) {
    for (;;) {
        er_str step = first_step(path);
        member m;
        if (object.n == 0 || !find_member(object, step, &m)) {
            return (er_str){0};
        }
        object = (er_str){m.value, (size_t)(m.end - m.value)};
        if (path[step.n] == '\0') {
            return object;
        }
        path += step.n + 1;
    }
}

static unsigned hex4(const char *p) {
    unsigned v = 0;
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit =
            c >= '0' && c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20u) - 'a' + 10u;
        v = v << 4 | (digit & 15u);
    }
    return v;
}

/* A code point of the basic plane; halves of pairs come out one by one, which is enough for
 * comparing them with themselves. */
static void put_code(er_buf *out, unsigned code) {
    if (code < 0x80) {
        er_buf_putc(out, (char)code);
        return;
    }
    if (code < 0x800) {
        er_buf_putc(out, (char)(0xc0 | code >> 6));
    } else {
        er_buf_putc(out, (char)(0xe0 | code >> 12));
        er_buf_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
    }
    er_buf_putc(out, (char)(0x80 | (code & 0x3f)));
}

static const char *put_escape(er_buf *out, const char *p, const char *end) {
    static const char from[] = "nrtbf";
    static const char to[] = "\n\r\t\b\f";
    if (*p == 'u' && end - p > 4) {
        put_code(out, hex4(p + 1));
        return p + 5;
    }
    const char *at = strchr(from, *p);
    er_buf_putc(out, at == NULL || *p == '\0' ? *p : to[at - from]);
    return p + 1;
}

static void put_text(er_str raw, er_buf *out) {
    if (raw.n < 2 || raw.p[0] != '"') {
        er_buf_put_str(out, raw);
        return;
    }
    const char *end = raw.p + raw.n - 1;
    for (const char *p = raw.p + 1; p < end;) {
        if (*p == '\\' && p + 1 < end) {
            p = put_escape(out, p + 1, end);
        } else {
            er_buf_putc(out, *p++);
        }
    }
}

void fake_json_path_text(er_str object, const char *path, er_buf *out) {
    put_text(fake_json_path(object, path), out);
}

bool fake_json_member_text(er_str object, er_str name, er_buf *out) {
    member m;
    if (object.n == 0 || !find_member(object, name, &m)) {
        return false;
    }
    put_text((er_str){m.value, (size_t)(m.end - m.value)}, out);
    return true;
}

static bool replace(er_buf *buf, size_t at, size_t n, er_str with) {
    if (with.n > n && er_buf_reserve(buf, with.n - n) == NULL) {
        return false;
    }
    memmove(buf->p + at + with.n, buf->p + at + n, buf->len - at - n);
    if (with.n > 0) {
        memcpy(buf->p + at, with.p, with.n);
    }
    buf->len = buf->len - n + with.n;
    buf->p[buf->len] = '\0';
    return true;
}

/* Removes the member with one of the commas around it. */
static bool cut_member(er_buf *buf, const member *m) {
    const char *start = m->key;
    const char *end = skip_space(m->end, buf->p + buf->len);
    if (*end == ',') {
        end = skip_space(end + 1, buf->p + buf->len);
    } else {
        while (is_space(start[-1])) {
            start--;
        }
        start -= start[-1] == ',';
    }
    return replace(buf, (size_t)(start - buf->p), (size_t)(end - start), (er_str){0});
}

/* A new member, as the last one of the object whose brace is at; path is what still is to be made.
 */
static bool add_member(er_buf *buf, size_t at, const char *path, er_str value) {
    er_buf text;
    er_buf_init(&text, value.n + 2 * strlen(path) + 64);
    const char *end = fake_json_skip(buf->p + at, buf->p + buf->len);
    bool is_first = *skip_space(buf->p + at + 1, end) == '}';
    size_t depth = 0;
    for (er_str step = first_step(path);; step = first_step(path)) {
        er_buf_puts(&text, depth > 0 ? "{" : is_first ? "" : ",");
        fake_json_quote(&text, step);
        er_buf_putc(&text, ':');
        if (path[step.n] == '\0') {
            break;
        }
        path += step.n + 1;
        depth++;
    }
    er_buf_put_str(&text, value);
    while (depth-- > 0) {
        er_buf_putc(&text, '}');
    }
    bool done = er_buf_status(&text) == ER_OK &&
                replace(buf, (size_t)(end - 1 - buf->p), 0, er_buf_str(&text));
    er_buf_fini(&text);
    return done;
}

bool fake_json_set(er_buf *object, const char *path, er_str value) {
    size_t at = 0;
    for (;;) {
        er_str step = first_step(path);
        member m;
        er_str here = {object->p + at, object->len - at};
        if (here.p[0] != '{') {
            return false;
        }
        here.n = (size_t)(fake_json_skip(here.p, here.p + here.n) - here.p);
        if (!find_member(here, step, &m)) {
            return value.n == 0 || add_member(object, at, path, value);
        }
        at = (size_t)(m.value - object->p);
        if (path[step.n] == '\0') {
            return value.n == 0 ? cut_member(object, &m)
                                : replace(object, at, (size_t)(m.end - m.value), value);
        }
        if (*m.value != '{' && !replace(object, at, (size_t)(m.end - m.value), ER_STR("{}"))) {
            return false;
        }
        path += step.n + 1;
    }
}

void fake_json_quote(er_buf *out, er_str bytes) {
    er_buf_putc(out, '"');
    for (size_t i = 0; i < bytes.n; i++) {
        unsigned char c = (unsigned char)bytes.p[i];
        if (c == '"' || c == '\\') {
            er_buf_putc(out, '\\');
            er_buf_putc(out, (char)c);
        } else if (c < ' ') {
            er_buf_putf(out, "\\u%04x", c);
        } else {
            er_buf_putc(out, (char)c);
        }
    }
    er_buf_putc(out, '"');
}

size_t fake_json_records(er_str body) {
    if (body.n == 0) {
        return 0;
    }
    const char *end = body.p + body.n;
    const char *p = skip_space(body.p, end);
    bool in_array = p < end && *p == '[';
    p += in_array;
    size_t n = 0;
    for (;;) {
        p = skip_space(p, end);
        if (in_array && p < end && *p == ',') {
            p++;
        }
        p = p < end ? fake_json_skip(p, end) : NULL;
        if (p == NULL) {
            return n;
        }
        n++;
    }
}
