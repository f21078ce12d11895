#include "state/point.h"

#include "base/json_read.h"
#include "base/json_write.h"

#include <stdlib.h>
#include <string.h>

static const char *const marks[ER_POINT_MARKS_] = {"first", "resume", "list"};

const char *er_point_mark_name(er_point_mark mark) {
    return marks[mark];
}

bool er_point_eq(const er_point *a, const er_point *b) {
    return a->mark == b->mark && strcmp(a->version, b->version) == 0 &&
           strcmp(a->cluster_id, b->cluster_id) == 0 && strcmp(a->selector, b->selector) == 0 &&
           strcmp(a->gap_cause, b->gap_cause) == 0 && strcmp(a->gap_from, b->gap_from) == 0;
}

void er_point_json(const er_point *point, size_t rows, er_buf *out) {
    er_jw w;
    er_jw_init(&w, out);
    er_jw_object(&w);
    er_jw_kstr(&w, "mark", er_str_of(er_point_mark_name(point->mark)));
    er_jw_kstr_opt(&w, "version", er_str_of(point->version));
    er_jw_ktime_opt(&w, "watchedUntil", point->watched_until);
    er_jw_ktime_opt(&w, "written", point->written);
    er_jw_kstr_opt(&w, "clusterId", er_str_of(point->cluster_id));
    er_jw_kstr_opt(&w, "selector", er_str_of(point->selector));
    er_jw_kstr_opt(&w, "gapCause", er_str_of(point->gap_cause));
    er_jw_kstr_opt(&w, "gapFrom", er_str_of(point->gap_from));
    er_jw_kint(&w, "rows", (int64_t)rows);
    er_jw_object_end(&w);
}

/* False: longer than anything we write. */
static bool take(const er_json *object, const char *key, char *out, size_t size) {
    er_str text = er_json_get_str(object, key);
    if (text.n >= size) {
        return false;
    }
    if (text.n > 0) {
        memcpy(out, text.p, text.n);
    }
    out[text.n] = '\0';
    return true;
}

static bool take_mark(er_str name, er_point *point) {
    for (int i = 0; i < ER_POINT_MARKS_; i++) {
        if (er_str_eqc(name, marks[i])) {
            point->mark = (er_point_mark)i;
            return true;
        }
    }
    return false;
}

static bool read_point(const er_json *root, er_point *point, size_t *rows) {
    int64_t n = er_json_get_count(root, "rows", -1);
    *point = (er_point){.watched_until = er_json_get_time(root, "watchedUntil"),
                        .written = er_json_get_time(root, "written")};
    bool good = n >= 0 && take_mark(er_json_get_str(root, "mark"), point) &&
                take(root, "version", point->version, sizeof point->version) &&
                take(root, "clusterId", point->cluster_id, sizeof point->cluster_id) &&
                take(root, "selector", point->selector, sizeof point->selector) &&
                take(root, "gapCause", point->gap_cause, sizeof point->gap_cause) &&
                take(root, "gapFrom", point->gap_from, sizeof point->gap_from);
    *rows = (size_t)n;
    return good && (point->mark != ER_POINT_RESUME || point->version[0] != '\0');
}

er_status er_point_parse(er_str json, er_point *point, size_t *rows, er_err *err) {
    er_json_doc doc;
    er_json_doc_init(&doc);
    char *text = er_str_dup(json);
    er_status status = er_json_parse(&doc, text, json.n, err);
    if (status == ER_OK && !read_point(doc.root, point, rows)) {
        status = er_err_set(err, ER_E_INVAL, "not a resume point");
    }
    er_json_doc_fini(&doc);
    free(text);
    return status;
}
