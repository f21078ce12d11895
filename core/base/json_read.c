#include "base/json_read.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_SIZE (64u * 1024u)
#define ALIGN      sizeof(max_align_t)

/* cJSON allocates many small nodes: an arena turns them into a pointer bump, and freeing the tree
 * into nothing. The hooks are process-wide, so the arena in use is named per thread. */
struct er_arena_block {
    struct er_arena_block *next;
    size_t used, cap;
    max_align_t data[];
};

static _Thread_local struct er_arena_block **current;

static struct er_arena_block *block_new(size_t cap) {
    struct er_arena_block *block = malloc(sizeof *block + cap);
    if (block != NULL) {
        *block = (struct er_arena_block){.cap = cap};
    }
    return block;
}

static void *arena_alloc(size_t n) {
    if (current == NULL) {
        return malloc(n);
    }
    n = (n + ALIGN - 1) & ~(ALIGN - 1);
    struct er_arena_block *block = *current;
    if (block == NULL || block->cap - block->used < n) {
        struct er_arena_block *fresh = block_new(n > BLOCK_SIZE ? n : BLOCK_SIZE);
        if (fresh == NULL) {
            return NULL;
        }
        fresh->next = block;
        *current = fresh;
        block = fresh;
    }
    void *p = (char *)block->data + block->used;
    block->used += n;
    return p;
}

static void arena_free(void *p) {
    if (current == NULL) {
        free(p);
    }
}

void er_json_setup(void) {
    cJSON_Hooks hooks = {.malloc_fn = arena_alloc, .free_fn = arena_free};
    cJSON_InitHooks(&hooks);
}

void er_json_doc_init(er_json_doc *doc) {
    *doc = (er_json_doc){0};
}

void er_json_doc_fini(er_json_doc *doc) {
    while (doc->blocks != NULL) {
        struct er_arena_block *next = doc->blocks->next;
        free(doc->blocks);
        doc->blocks = next;
    }
    doc->root = NULL;
}

/* Keeps one block of the ordinary size for the next document. */
static void reset(er_json_doc *doc) {
    doc->root = NULL;
    while (doc->blocks != NULL && (doc->blocks->next != NULL || doc->blocks->cap > BLOCK_SIZE)) {
        struct er_arena_block *next = doc->blocks->next;
        free(doc->blocks);
        doc->blocks = next;
    }
    if (doc->blocks != NULL) {
        doc->blocks->used = 0;
    }
}

/* cJSON ends a string at \u0000: put U+FFFD in its place. A backslash before the u counts only if
 * it is not itself escaped. */
static void replace_nul_escapes(char *text, size_t n) {
    char *at = text;
    const char *end = text + n;
    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL && end - at >= 6) {
        if (memcmp(at, "\\u0000", 6) == 0) {
            memcpy(at, "\\ufffd", 6);
        }
        at += 2;
    }
}

/* At the closing quote of the string whose opening one is at p; NULL: there is none. */
static const char *string_end(const char *p, const char *end) {
    const char *first = p + 1;
    while ((p = memchr(p + 1, '"', (size_t)(end - p - 1))) != NULL) {
        const char *slash = p;
        while (slash > first && slash[-1] == '\\') {
            slash--;
        }
        if ((p - slash) % 2 == 0) { /* else the quote is escaped */
            return p;
        }
    }
    return NULL;
}

/* Behind the closing bracket of the array whose opening one is just before p; NULL: there is none.
 */
static const char *array_end(const char *p, const char *end) {
    for (size_t depth = 1; p < end; p++) {
        if (*p == '"') {
            p = string_end(p, end);
            if (p == NULL) {
                return NULL;
            }
        } else if (*p == '[' || *p == '{') {
            depth++;
        } else if (*p == ']' || *p == '}') {
            depth--;
            if (depth == 0) {
                return p + 1;
            }
        }
    }
    return NULL;
}

const char *er_json_skip(const char *p, const char *end) {
    if (p == end) {
        return NULL;
    }
    if (*p == '"') {
        const char *quote = string_end(p, end);
        return quote == NULL ? NULL : quote + 1;
    }
    if (*p == '[' || *p == '{') {
        return array_end(p + 1, end);
    }
    const char *from = p;
    while (p < end && strchr(",]}: \t\r\n", *p) == NULL) {
        p++;
    }
    return p == from || p == end ? NULL : p;
}

size_t er_json_drop_array(char *text, size_t n, const char *name) {
    char member[64];
    size_t member_n = (size_t)snprintf(member, sizeof member, "\"%s\":[", name);
    /* Inside of a string its quotes would be escaped, and the colon not stand behind a quote. */
    char *at = memmem(text, n, member, member_n);
    if (at == NULL) {
        return n;
    }
    at += member_n;
    const char *end = array_end(at, text + n);
    if (end == NULL) {
        return n;
    }
    size_t rest = (size_t)(text + n - (end - 1));
    memmove(at, end - 1, rest);
    return n - (size_t)(end - 1 - at);
}

er_status er_json_parse(er_json_doc *doc, char *text, size_t n, er_err *err) {
    reset(doc);
    const char *nul = memchr(text, '\0', n);
    if (nul != NULL) {
        return er_err_set(err, ER_E_INVAL, "not JSON: a NUL byte at offset %zu",
                          (size_t)(nul - text));
    }
    replace_nul_escapes(text, n);
    const char *end = NULL;
    current = &doc->blocks;
    const cJSON *root = cJSON_ParseWithLengthOpts(text, n, &end, false);
    current = NULL;
    size_t at = end == NULL ? 0 : (size_t)(end - text);
    if (root == NULL) {
        return er_err_set(err, ER_E_INVAL, "not JSON: fault at offset %zu of %zu", at, n);
    }
    if (er_str_trim((er_str){text + at, n - at}).n > 0) {
        return er_err_set(err, ER_E_INVAL, "not JSON: more text behind the document, offset %zu",
                          at);
    }
    doc->root = root;
    return ER_OK;
}

void er_json_rename(er_json_doc *doc, const er_json *object, const char *from, const char *to) {
    if (!er_json_is_object(object) || er_json_get(object, to) != NULL) {
        return;
    }
    for (cJSON *member = object->child; member != NULL; member = member->next) {
        if (strcmp(member->string, from) == 0) {
            size_t size = strlen(to) + 1;
            current = &doc->blocks;
            char *name = arena_alloc(size);
            current = NULL;
            if (name != NULL) {
                member->string = memcpy(name, to, size);
            }
            return;
        }
    }
}

const er_json *er_json_get(const er_json *object, const char *key) {
    return er_json_is_object(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

void er_json_pick(const er_json *object, const char *const *keys, size_t n, const er_json **out) {
    memset(out, 0, n * sizeof *out);
    size_t next = 0; /* behind the last one found */
    for (const er_json *member = er_json_is_object(object) ? object->child : NULL; member != NULL;
         member = member->next) {
        for (size_t i = 0; i < n; i++) {
            size_t at = next + i < n ? next + i : next + i - n;
            if (keys[at][0] == member->string[0] && strcmp(keys[at], member->string) == 0) {
                out[at] = out[at] == NULL ? member : out[at];
                next = at + 1 < n ? at + 1 : 0;
                break;
            }
        }
    }
}

const er_json *er_json_path(const er_json *object, const char *k1, const char *k2) {
    return er_json_get(er_json_get(object, k1), k2);
}

er_str er_json_str(const er_json *node) {
    return er_str_of(node != NULL && cJSON_IsString(node) ? node->valuestring : NULL);
}

er_str er_json_get_str(const er_json *object, const char *key) {
    return er_json_str(er_json_get(object, key));
}

er_time er_json_get_time(const er_json *object, const char *key) {
    er_time t;
    return er_time_parse(er_json_get_str(object, key), &t) ? t : ER_TIME_NONE;
}

int64_t er_json_get_count(const er_json *object, const char *key, int64_t otherwise) {
    int64_t n;
    return er_json_int(er_json_get(object, key), &n) && n >= 0 ? n : otherwise;
}

bool er_json_int(const er_json *node, int64_t *out) {
    if (node == NULL || !cJSON_IsNumber(node)) {
        return false;
    }
    double v = node->valuedouble;
    if (!(fabs(v) <= 9007199254740992.0) || floor(v) < v) { /* 2^53: exact integers of a double */
        return false;
    }
    *out = (int64_t)v;
    return true;
}

er_json_type er_json_type_of(const er_json *node) {
    if (node == NULL || cJSON_IsNull(node)) {
        return ER_JSON_NULL;
    }
    return cJSON_IsObject(node)   ? ER_JSON_OBJECT
           : cJSON_IsArray(node)  ? ER_JSON_ARRAY
           : cJSON_IsString(node) ? ER_JSON_STRING
           : cJSON_IsNumber(node) ? ER_JSON_NUMBER
                                  : ER_JSON_BOOL;
}

double er_json_number(const er_json *node) {
    return node != NULL && cJSON_IsNumber(node) ? node->valuedouble : 0;
}

bool er_json_is_object(const er_json *node) {
    return node != NULL && cJSON_IsObject(node);
}

bool er_json_is_array(const er_json *node) {
    return node != NULL && cJSON_IsArray(node);
}

bool er_json_is_true(const er_json *node) {
    return node != NULL && cJSON_IsTrue(node);
}

const er_json *er_json_first(const er_json *array_or_object) {
    return array_or_object == NULL ? NULL : array_or_object->child;
}

const er_json *er_json_next(const er_json *node) {
    return node == NULL ? NULL : node->next;
}

er_str er_json_key(const er_json *member) {
    return er_str_of(member == NULL ? NULL : member->string);
}
