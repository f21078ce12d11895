#include "record/input.h"

#include <string.h>

#define LEVELS_MAX 64

typedef struct reader {
    char *text;
    size_t n, at;
    er_time observed;
    const er_input_handler *handler;
    er_json_doc doc;
    er_buf texts; /* of the record at hand */
    er_input_place place;
    size_t counted; /* bytes whose line breaks are in place.line */
    bool stopped;   /* by the handler */
} reader;

/* ---- places and faults ---- */

static void set_place(reader *r, size_t offset) {
    for (; r->counted < offset; r->counted++) {
        r->place.line += r->text[r->counted] == '\n';
    }
    r->place.offset = offset;
}

static void fault(reader *r, const char *why) {
    r->handler->fault(r->handler->arg, &r->place, why);
}

/* ---- where values end: strings and brackets only, the parser looks at the rest ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static size_t skip_blanks(const reader *r, size_t at) {
    while (at < r->n && is_blank(r->text[at])) {
        at++;
    }
    return at;
}

/* Behind the closing quote of the string that opens at `at`; 0: there is none on this line. */
static size_t string_end(const reader *r, size_t at) {
    for (size_t i = at + 1; i < r->n && r->text[i] != '\n'; i++) {
        if (r->text[i] == '"') {
            return i + 1;
        }
        i += r->text[i] == '\\';
    }
    return 0;
}

/* A string that ended at `end`, one level deep: the offset of its value when it is the key "items"
 * of an array, else 0. */
static size_t items_value(const reader *r, size_t start, size_t end) {
    if (end - start != 7 || memcmp(r->text + start, "\"items\"", 7) != 0) {
        return 0;
    }
    size_t at = skip_blanks(r, end);
    if (at == r->n || r->text[at] != ':') {
        return 0;
    }
    at = skip_blanks(r, at + 1);
    return at < r->n && r->text[at] == '[' ? at : 0;
}

typedef struct extent {
    size_t end;   /* behind the value */
    size_t items; /* of a list: where its items open; else 0 */
} extent;

typedef struct brackets {
    uint64_t objects; /* a bit for each level: a brace opened it */
    unsigned depth;
} brackets;

static const char *bracket(brackets *b, char c) {
    if (c == '{' || c == '[') {
        if (b->depth == LEVELS_MAX) {
            return "more than 64 levels of brackets";
        }
        b->objects = b->objects << 1 | (c == '{');
        b->depth++;
    } else if (c == '}' || c == ']') {
        if ((b->objects & 1) != (c == '}')) {
            return "its brackets do not match";
        }
        b->objects >>= 1;
        b->depth--;
    }
    return NULL;
}

/* The object or array that opens at `at`; returns what is wrong, or NULL. */
static const char *scan(const reader *r, size_t at, extent *out) {
    brackets b = {0};
    *out = (extent){0};
    size_t i = at;
    do {
        char c = r->text[i];
        if (c == '"') {
            size_t end = string_end(r, i);
            if (end == 0) {
                return "a string in it is not closed";
            }
            if (b.depth == 1 && out->items == 0) {
                out->items = items_value(r, i, end);
            }
            i = end;
            continue;
        }
        const char *why = bracket(&b, c);
        if (why != NULL) {
            return why;
        }
        i++;
    } while (b.depth > 0 && i < r->n);
    out->end = i;
    return b.depth == 0 ? NULL : "the input ends in its middle";
}

/* ---- objects ---- */

/* events.k8s.io says the same as v1 under other names. Source: Kubernetes API reference, Event v1
 * events.k8s.io. */
static void rename_members(reader *r, const er_json *event) {
    static const char *const names[][2] = {
        {"regarding", "involvedObject"},
        {"note", "message"},
        {"reportingController", "reportingComponent"},
        {"deprecatedSource", "source"},
        {"deprecatedFirstTimestamp", "firstTimestamp"},
        {"deprecatedLastTimestamp", "lastTimestamp"},
        {"deprecatedCount", "count"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        er_json_rename(&r->doc, event, names[i][0], names[i][1]);
    }
}

static er_status check_event(const er_json *object, er_err *err) {
    er_str kind = er_json_get_str(object, "kind");
    er_str version = er_json_get_str(object, "apiVersion");
    if (kind.n > 0 && !er_str_eqc(kind, "Event")) {
        return er_err_set(err, ER_E_INVAL, "neither a record nor an Event: its kind is %.*s",
                          (int)er_utf8_cut(kind, 63), kind.p);
    }
    if (version.n > 0 && !er_str_eqc(version, "v1") && !er_str_starts(version, "events.k8s.io/")) {
        return er_err_set(err, ER_E_INVAL, "not an Event that is known: its apiVersion is %.*s",
                          (int)er_utf8_cut(version, 63), version.p);
    }
    if (!er_json_is_object(er_json_get(object, "metadata"))) {
        return er_err_set(err, ER_E_INVAL,
                          "neither a record nor an Event: it has no schema and no "
                          "metadata");
    }
    return ER_OK;
}

static void give(reader *r, er_draft *draft) {
    r->stopped = !r->handler->draft(r->handler->arg, &r->place, draft);
}

static void read_event(reader *r, const er_json *object, bool added) {
    er_draft draft;
    er_err err;
    er_status status = check_event(object, &err);
    if (status == ER_OK) {
        rename_members(r, object);
        status = er_draft_event(object, r->observed, &draft, &err);
    }
    if (status != ER_OK) {
        fault(r, err.msg);
        return;
    }
    if (added && draft.rec.event.count == 1) { /* as the watch does: its first version */
        draft.rec.event.count_delta = 1;
    }
    give(r, &draft);
}

static void read_record(reader *r, const er_json *object) {
    er_draft draft;
    er_err err;
    if (er_draft_from_json(object, &r->texts, &draft, &err) != ER_OK) {
        fault(r, err.msg);
        return;
    }
    give(r, &draft);
}

static void read_frame(reader *r, er_str type, const er_json *object) {
    if (er_str_eqc(type, "ADDED") || er_str_eqc(type, "MODIFIED")) {
        read_event(r, object, er_str_eqc(type, "ADDED"));
    } else if (er_str_eqc(type, "DELETED")) {
        r->handler->nothing(r->handler->arg, &r->place, "a DELETED frame makes no record");
    } else if (er_str_eqc(type, "BOOKMARK")) {
        r->handler->nothing(r->handler->arg, &r->place, "a BOOKMARK frame makes no record");
    } else if (er_str_eqc(type, "ERROR")) {
        r->handler->nothing(r->handler->arg, &r->place, "an ERROR frame makes no record");
    } else {
        fault(r, "a watch frame of unknown type");
    }
}

static void read_object(reader *r, size_t start, size_t end) {
    set_place(r, start);
    if (end - start > ER_INPUT_OBJECT_MAX) {
        fault(r, "over 16 MiB");
        return;
    }
    er_err err;
    if (er_json_parse(&r->doc, r->text + start, end - start, &err) != ER_OK) {
        fault(r, err.msg);
        return;
    }
    const er_json *root = r->doc.root;
    const er_json *object = er_json_get(root, "object");
    er_str type = er_json_get_str(root, "type");
    if (er_json_get(root, "schema") != NULL) {
        read_record(r, root);
    } else if (type.n > 0 && er_json_is_object(object)) {
        read_frame(r, type, object);
    } else if (er_json_get(root, "items") == NULL) { /* an empty list may have null there */
        read_event(r, root, false);
    }
}

/* ---- lists and documents ---- */

/* Behind a value that is not an object; `at` itself when there is none. */
static size_t skip_other(const reader *r, size_t at) {
    extent found;
    if (r->text[at] == '[') {
        return scan(r, at, &found) == NULL ? found.end : at;
    }
    if (r->text[at] == '"') {
        return string_end(r, at);
    }
    while (strchr(",[]{}\"", r->text[at]) == NULL && !is_blank(r->text[at])) {
        at++;
    }
    return at;
}

/* The items of the array that opens at `at`; scan has found it closed. */
static void read_items(reader *r, size_t at) {
    at = skip_blanks(r, at + 1);
    while (r->text[at] != ']' && !r->stopped) {
        r->place.item++;
        size_t end = at;
        if (r->text[at] == '{') {
            extent found;
            if (scan(r, at, &found) == NULL) {
                end = found.end;
                read_object(r, at, end);
            }
        } else {
            set_place(r, at);
            fault(r, "not an object");
            end = skip_other(r, at);
        }
        size_t next = skip_blanks(r, end);
        if (end == at || (r->text[next] != ',' && r->text[next] != ']')) {
            fault(r, "the list goes on with something that is not an item");
            return;
        }
        at = r->text[next] == ',' ? skip_blanks(r, next + 1) : next;
    }
}

/* The next line behind `at` that begins with a brace. */
static size_t resume(const reader *r, size_t at) {
    const char *found = memmem(r->text + at, r->n - at, "\n{", 2);
    return found == NULL ? r->n : (size_t)(found - r->text) + 1;
}

static void read_document(reader *r) {
    r->place.document++;
    r->place.item = 0;
    set_place(r, r->at);
    char first = r->text[r->at];
    extent found = {0};
    const char *why = first == '{' || first == '[' ? scan(r, r->at, &found)
                                                   : "not JSON: neither an object nor an array";
    if (why != NULL) {
        fault(r, why);
        r->at = resume(r, r->at);
        return;
    }
    if (first == '[' || found.items > 0) {
        read_items(r, first == '[' ? r->at : found.items);
    } else {
        read_object(r, r->at, found.end);
    }
    r->at = found.end;
}

void er_input_read(char *text, size_t n, er_time observed, const er_input_handler *handler) {
    reader r = {
        .text = text, .n = n, .observed = observed, .handler = handler, .place = {.line = 1}};
    bool has_bom = er_str_starts((er_str){text, n}, "\xef\xbb\xbf");
    er_json_doc_init(&r.doc);
    er_buf_init(&r.texts, 2 * ER_INPUT_OBJECT_MAX);
    r.at = skip_blanks(&r, has_bom ? 3 : 0);
    while (r.at < n && !r.stopped) {
        read_document(&r);
        r.at = skip_blanks(&r, r.at);
    }
    er_json_doc_fini(&r.doc);
    er_buf_fini(&r.texts);
}
