#include "config/config_priv.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX 4096
#define COLUMNS_LEFT                                                                               \
    70 /* of a long source line are shown before the fault, and RIGHT behind it                    \
        */
#define COLUMNS_RIGHT 50

void er_problems_init(er_problems *problems, const char *file) {
    *problems = (er_problems){.file = er_dup(file)};
}

static void problem_fini(er_problem *problem) {
    free(problem->path);
    free(problem->message);
}

static void drop_source(er_problems *problems) {
    if (problems->source != NULL) {
        explicit_bzero(problems->source, problems->source_len); /* it may hold secrets */
        free(problems->source);
    }
    problems->source = NULL;
    problems->source_len = 0;
}

void er_problems_fini(er_problems *problems) {
    for (size_t i = 0; i < problems->n; i++) {
        problem_fini(&problems->v[i]);
    }
    free(problems->v);
    free(problems->masks);
    er_outside_fini(problems);
    free(problems->file);
    drop_source(problems);
    *problems = (er_problems){0};
}

void er_problems_source(er_problems *problems, const char *text, size_t n) {
    drop_source(problems);
    problems->source = er_str_dup((er_str){text, n});
    problems->source_len = n;
}

bool er_problems_full(const er_problems *problems) {
    return problems->n == ER_PROBLEMS_MAX;
}

/* C1 controls, line separators, and what turns the direction of writing around. */
static bool is_control(const char *p, size_t len) {
    const unsigned char *b = (const unsigned char *)p;
    if (len == 2) {
        return b[0] == 0xc2 && b[1] < 0xa0;
    }
    return len == 3 && b[0] == 0xe2 &&
           ((b[1] == 0x80 && b[2] >= 0xa8 && b[2] <= 0xae) ||
            (b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9));
}

/* Appends one character as it may stand on a terminal: whatever could move the cursor or change
 * colours becomes "?". Returns the bytes read. */
static size_t put_char(er_buf *out, const char *p, size_t n) {
    size_t len = er_utf8_len(p, n);
    unsigned char c = (unsigned char)p[0];
    if (c == '\t') {
        er_buf_putc(out, ' ');
    } else if (len == 0 || c < 0x20 || c == 0x7f || is_control(p, len)) {
        er_buf_putc(out, '?');
    } else {
        er_buf_put(out, p, len);
    }
    return len == 0 ? 1 : len;
}

static char *clean(er_str text) {
    er_buf out;
    er_buf_init(&out, MESSAGE_MAX);
    for (size_t at = 0; at < text.n;) {
        at += put_char(&out, text.p + at, text.n - at);
    }
    char *taken = er_buf_take(&out, NULL);
    er_buf_fini(&out);
    return taken != NULL ? taken : er_dup("");
}

const char *er_shown(er_str text, char out[ER_SHOWN_TEXT]) {
    size_t room = ER_SHOWN_TEXT - sizeof "\"...\"";
    size_t n = er_utf8_cut(text, room);
    (void)snprintf(out, ER_SHOWN_TEXT, "\"%.*s%s\"", (int)n, n == 0 ? "" : text.p,
                   n < text.n ? "..." : "");
    return out;
}

/* The place for a problem when there is no more room: an error takes that of a warning. */
static er_problem *displaced(er_problems *problems, bool is_warning) {
    for (size_t i = ER_PROBLEMS_MAX - 1; !is_warning && i-- > 0;) {
        if (problems->v[i].is_warning) {
            problem_fini(&problems->v[i]);
            return &problems->v[i];
        }
    }
    return NULL;
}

static er_problem *place_for(er_problems *problems, bool is_warning) {
    if (problems->n < ER_PROBLEMS_MAX - 1) {
        if (problems->v == NULL) {
            problems->v = er_xcalloc(ER_PROBLEMS_MAX, sizeof *problems->v);
        }
        return &problems->v[problems->n++];
    }
    er_problem *last = &problems->v[ER_PROBLEMS_MAX - 1];
    if (problems->n < ER_PROBLEMS_MAX) {
        problems->n++;
        *last = (er_problem){.is_warning = true,
                             .path = er_dup(""),
                             .message = er_dup("there are more problems than are shown here")};
    }
    last->is_warning = last->is_warning && is_warning;
    return displaced(problems, is_warning);
}

void er_problems_add(er_problems *problems, bool is_warning, er_pos pos, const char *path,
                     const char *fmt, ...) {
    problems->errors += is_warning ? 0 : 1;
    problems->warnings += is_warning ? 1 : 0;
    er_problem *place = place_for(problems, is_warning);
    if (place == NULL) {
        return;
    }
    char text[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    *place = (er_problem){.pos = pos,
                          .is_warning = is_warning,
                          .path = clean(er_str_of(path)),
                          .message = clean(er_str_of(text))};
}

/* ---- printing ---- */

static int compare_pos(er_pos a, er_pos b) {
    if (a.line != b.line) {
        return a.line < b.line ? -1 : 1;
    }
    return (a.col > b.col) - (a.col < b.col);
}

/* Insertion: stable, and there are few. The line about what is not shown stays last. */
static void sort_problems(er_problems *problems) {
    size_t n = problems->n < ER_PROBLEMS_MAX ? problems->n : ER_PROBLEMS_MAX - 1;
    for (size_t i = 1; i < n; i++) {
        er_problem one = problems->v[i];
        size_t at = i;
        while (at > 0 && compare_pos(problems->v[at - 1].pos, one.pos) > 0) {
            problems->v[at] = problems->v[at - 1];
            at--;
        }
        problems->v[at] = one;
    }
}

static int compare_masks(const void *a, const void *b) {
    const er_mask *x = a;
    const er_mask *y = b;
    int order = compare_pos(x->from, y->from);
    return order != 0 ? order : compare_pos(x->to, y->to);
}

/* The first mask, in order of position, that ends behind pos. */
static const er_mask *mask_behind(const er_problems *problems, const er_mask *from, er_pos pos) {
    if (from == NULL) {
        return NULL;
    }
    const er_mask *end = problems->masks + problems->masks_n;
    while (from < end && compare_pos(from->to, pos) <= 0) {
        from++;
    }
    return from < end ? from : NULL;
}

/* Writes the part of the line around column col, with "***" for what is masked, and returns how
 * many columns stand before col. */
static int put_source(const er_problems *problems, er_str line, er_pos pos, er_buf *out) {
    int caret = -1;
    int width = 0;
    bool was_masked = false;
    const er_mask *mask = mask_behind(problems, problems->masks, (er_pos){pos.line, 1});
    er_pos at = {pos.line, 1};
    if (pos.col > COLUMNS_LEFT + 1) {
        er_buf_puts(out, "...");
        width = 3;
    }
    for (size_t i = 0; i < line.n && at.col < pos.col + COLUMNS_RIGHT; at.col++) {
        mask = mask_behind(problems, mask, at);
        bool is_masked = mask != NULL && compare_pos(mask->from, at) <= 0;
        caret = at.col == pos.col ? width - (is_masked && was_masked ? 3 : 0) : caret;
        size_t len = er_utf8_len(line.p + i, line.n - i);
        if (at.col >= pos.col - COLUMNS_LEFT && !(is_masked && was_masked)) {
            is_masked ? er_buf_puts(out, "***") : (void)put_char(out, line.p + i, line.n - i);
            width += is_masked ? 3 : 1;
            was_masked = is_masked;
        }
        i += len == 0 ? 1 : len;
        if (i < line.n && at.col + 1 == pos.col + COLUMNS_RIGHT) {
            er_buf_puts(out, "...");
        }
    }
    return caret >= 0 ? caret : width;
}

static void print_source(const er_problems *problems, er_pos pos, er_buf *out) {
    er_str line = er_text_line(problems->source, problems->source_len, pos.line);
    if (er_str_trim(line).n == 0) {
        return;
    }
    while (line.n > 0 && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t')) {
        line.n--;
    }
    er_buf_putf(out, "%5d | ", pos.line);
    int caret = put_source(problems, line, pos, out);
    er_buf_putf(out, "\n      | %*s^\n", caret, "");
}

static void print_problem(const er_problems *problems, const er_problem *problem, er_buf *out) {
    er_buf_puts(out, problems->file);
    if (problem->pos.line > 0) {
        er_buf_putf(out, ":%d:%d", problem->pos.line, problem->pos.col);
    }
    er_buf_puts(out, problem->is_warning ? ": warning: " : ": error: ");
    if (problem->path[0] != '\0') {
        er_buf_putf(out, "%s: ", problem->path);
    }
    er_buf_putf(out, "%s\n", problem->message);
    if (problem->pos.line > 0 && problems->source != NULL) {
        print_source(problems, problem->pos, out);
    }
}

void er_problems_print(er_problems *problems, er_buf *out) {
    sort_problems(problems);
    if (problems->masks_n > 1) {
        qsort(problems->masks, problems->masks_n, sizeof *problems->masks, compare_masks);
    }
    for (size_t i = 0; i < problems->n; i++) {
        print_problem(problems, &problems->v[i], out);
    }
}
