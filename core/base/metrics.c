#include "base/metrics.h"

#include "base/thread.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX     "eventrouter_"
#define LABELS_MAX 4096 /* bytes of the rendered labels of one series */
#define HOOKS_MAX  256  /* a stream and a sink have one each */

struct er_counter {
    _Atomic uint64_t v; /* milliseconds when the family counts seconds */
    bool is_ms;
};

struct er_gauge {
    _Atomic uint64_t bits; /* of a double */
};

typedef struct bucket {
    _Atomic uint64_t count; /* each observation is counted in one bucket only */
} bucket;

struct er_histogram {
    _Atomic uint64_t sum_bits; /* of a double */
    size_t n;                  /* bounds; there is one bucket more, +Inf */
    double *bounds;
    bucket *buckets;
};

typedef enum metric_type { TYPE_COUNTER, TYPE_GAUGE, TYPE_HISTOGRAM } metric_type;

typedef struct series {
    struct series *next;
    char *labels; /* `sink="a",reason="b"`, escaped, without braces; may be "" */
    union {
        struct er_counter counter;
        struct er_gauge gauge;
        struct er_histogram histogram;
    };
} series;

typedef struct family {
    struct family *next;
    char *name, *help; /* name without the prefix */
    metric_type type;
    series *first, *last;
} family;

struct er_metrics {
    er_mutex lock;        /* families and hooks */
    er_mutex render_lock; /* one rendering at a time; taken before lock */
    family *first, *last;
    struct {
        void (*run)(void *arg);
        void *arg;
    } hooks[HOOKS_MAX];
    size_t hooks_n;
    void (*put)(void *arg, er_buf *out);
    void *put_arg;
};

er_metrics *er_metrics_new(void) {
    er_metrics *m = er_xcalloc(1, sizeof *m);
    er_mutex_init(&m->lock);
    er_mutex_init(&m->render_lock);
    return m;
}

static void family_free(family *f) {
    while (f->first != NULL) {
        series *s = f->first;
        f->first = s->next;
        if (f->type == TYPE_HISTOGRAM) {
            free(s->histogram.bounds);
            free(s->histogram.buckets);
        }
        free(s->labels);
        free(s);
    }
    free(f->name);
    free(f->help);
    free(f);
}

void er_metrics_free(er_metrics *m) {
    if (m == NULL) {
        return;
    }
    while (m->first != NULL) {
        family *f = m->first;
        m->first = f->next;
        family_free(f);
    }
    er_mutex_fini(&m->lock);
    er_mutex_fini(&m->render_lock);
    free(m);
}

/* ---- registration ---- */

/* [a-zA-Z_][a-zA-Z0-9_]*: what metric names (but for ":") and label names may be. */
static bool name_is_legal(const char *name) {
    if (name[0] == '\0' || (name[0] >= '0' && name[0] <= '9')) {
        return false;
    }
    for (const char *c = name; *c != '\0'; c++) {
        if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') ||
              *c == '_')) {
            return false;
        }
    }
    return true;
}

/* Label values may hold anything in UTF-8; backslash, quote and line feed are escaped. */
void er_metrics_put_value(er_buf *out, er_str value) {
    for (size_t i = 0; i < value.n;) {
        size_t step = er_utf8_len(value.p + i, value.n - i);
        char c = value.p[i];
        if (step == 0 || c == '\0') { /* NUL ends a scrape for some that read it */
            er_buf_puts(out, "\xef\xbf\xbd");
        } else if (c == '\n') {
            er_buf_puts(out, "\\n");
        } else {
            if (c == '\\' || c == '"') {
                er_buf_putc(out, '\\');
            }
            er_buf_put(out, value.p + i, step);
        }
        i += step == 0 ? 1 : step;
    }
}

static char *labels_text(const char *const *labels) {
    er_buf out;
    er_buf_init(&out, LABELS_MAX);
    for (size_t i = 0; labels != NULL && labels[i] != NULL; i += 2) {
        ER_ASSERT(name_is_legal(labels[i]) && strcmp(labels[i], "le") != 0);
        ER_ASSERT(labels[i + 1] != NULL);
        er_buf_puts(&out, i > 0 ? "," : "");
        er_buf_puts(&out, labels[i]);
        er_buf_puts(&out, "=\"");
        er_metrics_put_value(&out, er_str_of(labels[i + 1]));
        er_buf_putc(&out, '"');
    }
    ER_ASSERT(er_buf_status(&out) == ER_OK);
    char *text = er_dup(er_buf_cstr(&out));
    er_buf_fini(&out);
    return text;
}

static family *family_get(er_metrics *m, const char *name, const char *help, metric_type type) {
    for (family *f = m->first; f != NULL; f = f->next) {
        if (strcmp(f->name, name) == 0) {
            ER_ASSERT(f->type == type);
            return f;
        }
    }
    ER_ASSERT(name_is_legal(name));
    family *f = er_xcalloc(1, sizeof *f);
    f->name = er_dup(name);
    f->help = er_dup(help);
    f->type = type;
    *(m->last != NULL ? &m->last->next : &m->first) = f;
    m->last = f;
    return f;
}

/* The series, made when it is new: then *is_new is set and the cell is all zeros. */
static series *series_get(family *f, const char *const *labels, bool *is_new) {
    char *text = labels_text(labels);
    for (series *s = f->first; s != NULL; s = s->next) {
        if (strcmp(s->labels, text) == 0) {
            free(text);
            *is_new = false;
            return s;
        }
    }
    series *s = er_xcalloc(1, sizeof *s);
    s->labels = text;
    *(f->last != NULL ? &f->last->next : &f->first) = s;
    f->last = s;
    *is_new = true;
    return s;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text);
    size_t end_n = strlen(end);
    return n >= end_n && strcmp(text + n - end_n, end) == 0;
}

er_counter *er_metrics_counter(er_metrics *m, const char *name, const char *help,
                               const char *const *labels) {
    er_lock(&m->lock);
    bool is_new;
    series *s = series_get(family_get(m, name, help, TYPE_COUNTER), labels, &is_new);
    if (is_new) {
        s->counter.is_ms = ends_with(name, "_seconds_total");
    }
    er_unlock(&m->lock);
    return &s->counter;
}

er_gauge *er_metrics_gauge(er_metrics *m, const char *name, const char *help,
                           const char *const *labels) {
    er_lock(&m->lock);
    bool is_new;
    series *s = series_get(family_get(m, name, help, TYPE_GAUGE), labels, &is_new);
    er_unlock(&m->lock);
    return &s->gauge;
}

static void histogram_init(er_histogram *h, const double *bounds, size_t n) {
    h->n = n;
    h->bounds = er_xcalloc(n + 1, sizeof *h->bounds);
    h->buckets = er_xcalloc(n + 1, sizeof *h->buckets);
    for (size_t i = 0; i < n; i++) {
        ER_ASSERT(isfinite(bounds[i]) && (i == 0 || bounds[i] > bounds[i - 1]));
        h->bounds[i] = bounds[i];
    }
}

er_histogram *er_metrics_histogram(er_metrics *m, const char *name, const char *help,
                                   const char *const *labels, const double *bounds, size_t n) {
    er_lock(&m->lock);
    bool is_new;
    series *s = series_get(family_get(m, name, help, TYPE_HISTOGRAM), labels, &is_new);
    if (is_new) {
        histogram_init(&s->histogram, bounds, n);
    }
    er_unlock(&m->lock);
    return &s->histogram;
}

void er_metrics_on_render(er_metrics *m, void (*hook)(void *arg), void *arg) {
    er_lock(&m->lock);
    ER_ASSERT(m->hooks_n < HOOKS_MAX);
    m->hooks[m->hooks_n].run = hook;
    m->hooks[m->hooks_n].arg = arg;
    m->hooks_n++;
    er_unlock(&m->lock);
}

void er_metrics_append(er_metrics *m, void (*put)(void *arg, er_buf *out), void *arg) {
    er_lock(&m->lock);
    ER_ASSERT(m->put == NULL);
    m->put = put;
    m->put_arg = arg;
    er_unlock(&m->lock);
}

/* ---- cells ---- */

static uint64_t bits_of(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static double double_of(uint64_t bits) {
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

void er_counter_add(er_counter *c, uint64_t v) {
    if (c != NULL) {
        (void)atomic_fetch_add_explicit(&c->v, v, memory_order_relaxed);
    }
}

void er_counter_inc(er_counter *c) {
    er_counter_add(c, 1);
}

void er_counter_set(er_counter *c, uint64_t v) {
    if (c != NULL) {
        atomic_store_explicit(&c->v, v, memory_order_relaxed);
    }
}

void er_counter_add_ms(er_counter *c, uint64_t ms) {
    ER_ASSERT(c == NULL || c->is_ms);
    er_counter_add(c, ms);
}

uint64_t er_counter_get(const er_counter *c) {
    return c == NULL ? 0 : atomic_load_explicit(&c->v, memory_order_relaxed);
}

void er_gauge_set(er_gauge *g, double v) {
    if (g != NULL) {
        atomic_store_explicit(&g->bits, bits_of(v), memory_order_relaxed);
    }
}

void er_histogram_observe(er_histogram *h, double v) {
    if (h == NULL || isnan(v)) { /* a NaN would spoil the sum for ever */
        return;
    }
    size_t at = 0;
    while (at < h->n && v > h->bounds[at]) {
        at++;
    }
    (void)atomic_fetch_add_explicit(&h->buckets[at].count, 1, memory_order_relaxed);
    uint64_t old = atomic_load_explicit(&h->sum_bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(&h->sum_bits, &old, bits_of(double_of(old) + v),
                                                  memory_order_relaxed, memory_order_relaxed)) {
    }
}

/* ---- rendering ---- */

/* The shortest of 15 to 17 digits that reads back as the same number. */
static void put_double(er_buf *out, double v) {
    if (isnan(v)) {
        er_buf_puts(out, "NaN");
        return;
    }
    if (isinf(v)) {
        er_buf_puts(out, v > 0 ? "+Inf" : "-Inf");
        return;
    }
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (bits_of(strtod(text, NULL)) == bits_of(v)) {
            break;
        }
    }
    er_buf_puts(out, text);
}

static void put_help(er_buf *out, const char *help) {
    for (const char *c = help; *c != '\0'; c++) {
        if (*c == '\n') {
            er_buf_puts(out, "\\n");
        } else {
            er_buf_puts(out, *c == '\\' ? "\\" : "");
            er_buf_putc(out, *c);
        }
    }
}

/* The names of the process itself are the same for every program: they have no prefix. */
static const char *prefix_of(const family *f) {
    return er_str_starts(er_str_of(f->name), "process_") ? "" : PREFIX;
}

/* `eventrouter_NAME SUFFIX {LABELS} `, ready for the value. le: NULL but for buckets. */
static void put_name(er_buf *out, const family *f, const series *s, const char *suffix,
                     const char *le) {
    er_buf_putf(out, "%s%s%s", prefix_of(f), f->name, suffix);
    bool has_labels = s->labels[0] != '\0';
    if (has_labels || le != NULL) {
        er_buf_putc(out, '{');
        er_buf_puts(out, s->labels);
        if (le != NULL) {
            er_buf_putf(out, "%sle=\"%s\"", has_labels ? "," : "", le);
        }
        er_buf_putc(out, '}');
    }
    er_buf_putc(out, ' ');
}

static void put_counter(er_buf *out, const family *f, const series *s) {
    uint64_t v = er_counter_get(&s->counter);
    put_name(out, f, s, "", NULL);
    if (s->counter.is_ms) {
        er_buf_putf(out, "%llu.%03llu\n", (unsigned long long)(v / 1000),
                    (unsigned long long)(v % 1000));
    } else {
        er_buf_put_u64(out, v);
        er_buf_putc(out, '\n');
    }
}

static void put_gauge(er_buf *out, const family *f, const series *s) {
    put_name(out, f, s, "", NULL);
    put_double(out, double_of(atomic_load_explicit(&s->gauge.bits, memory_order_relaxed)));
    er_buf_putc(out, '\n');
}

static void put_histogram(er_buf *out, const family *f, const series *s) {
    const er_histogram *h = &s->histogram;
    uint64_t count = 0;
    er_buf le;
    er_buf_init(&le, 64);
    for (size_t i = 0; i <= h->n; i++) {
        count += atomic_load_explicit(&h->buckets[i].count, memory_order_relaxed);
        er_buf_clear(&le);
        put_double(&le, i < h->n ? h->bounds[i] : (double)INFINITY);
        put_name(out, f, s, "_bucket", er_buf_cstr(&le));
        er_buf_put_u64(out, count);
        er_buf_putc(out, '\n');
    }
    er_buf_fini(&le);
    put_name(out, f, s, "_sum", NULL);
    put_double(out, double_of(atomic_load_explicit(&h->sum_bits, memory_order_relaxed)));
    er_buf_putc(out, '\n');
    put_name(out, f, s, "_count", NULL);
    er_buf_put_u64(out, count);
    er_buf_putc(out, '\n');
}

static void put_family(er_buf *out, const family *f) {
    static const char *const types[] = {"counter", "gauge", "histogram"};
    static void (*const puts[])(er_buf *, const family *, const series *) = {put_counter, put_gauge,
                                                                             put_histogram};
    er_buf_putf(out, "# HELP %s%s ", prefix_of(f), f->name);
    put_help(out, f->help);
    er_buf_putf(out, "\n# TYPE %s%s %s\n", prefix_of(f), f->name, types[f->type]);
    for (const series *s = f->first; s != NULL; s = s->next) {
        puts[f->type](out, f, s);
    }
}

/* Hooks run without the lock, so that they may register. */
static void run_hooks(er_metrics *m) {
    er_lock(&m->lock);
    size_t n = m->hooks_n;
    er_unlock(&m->lock);
    for (size_t i = 0; i < n; i++) {
        m->hooks[i].run(m->hooks[i].arg);
    }
}

void er_metrics_render(er_metrics *m, er_buf *out) {
    er_lock(&m->render_lock);
    run_hooks(m);
    er_lock(&m->lock);
    for (const family *f = m->first; f != NULL; f = f->next) {
        put_family(out, f);
    }
    er_unlock(&m->lock);
    if (m->put != NULL) { /* set before the first rendering */
        m->put(m->put_arg, out);
    }
    er_unlock(&m->render_lock);
}
