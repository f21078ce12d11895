#include "base/series.h"

#include "base/clock.h"
#include "base/thread.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_MAX      256
#define LABELS_MAX     4096  /* of the rendered labels: an invalid byte takes three */
#define EXPIRE_EACH_MS 10000 /* when there is no room: not at each update */

typedef struct series {
    struct series *chain;       /* in its bucket */
    struct series *prev, *next; /* in its family, in the order of making */
    size_t family;
    uint64_t hash;
    er_series_owner owner; /* of a gauge */
    int64_t changed_ms;    /* of a counter */
    int64_t v;
    size_t n;
    char labels[]; /* `namespace="a",deployment="b"`, escaped */
} series;

typedef struct family {
    const er_series_family *is;
    series *first, *last;
    er_counter *overflow;
} family;

struct er_series {
    er_mutex lock;
    family *families;
    size_t families_n;
    series **buckets;
    size_t buckets_n; /* a power of two */
    size_t n, max;
    int64_t life_ms, expired_ms;
    er_buf text; /* the labels that are looked for */
    er_gauge *number;
};

/* ---- the table ---- */

static series **bucket_of(const er_series *s, uint64_t hash) {
    return &s->buckets[hash & (s->buckets_n - 1)];
}

/* Leaves the labels in s->text. */
static uint64_t make_labels(er_series *s, size_t at, const er_str *values) {
    const er_series_family *f = s->families[at].is;
    er_buf_clear(&s->text);
    for (size_t i = 0; i < ER_SERIES_LABELS && f->keys[i] != NULL; i++) {
        er_buf_putf(&s->text, "%s%s=\"", i > 0 ? "," : "", f->keys[i]);
        er_metrics_put_value(&s->text, (er_str){values[i].p, er_utf8_cut(values[i], VALUE_MAX)});
        er_buf_putc(&s->text, '"');
    }
    ER_ASSERT(er_buf_status(&s->text) == ER_OK);
    return er_hash(er_hash(ER_HASH_SEED, &at, sizeof at), s->text.p, s->text.len);
}

static series *find(const er_series *s, size_t at, uint64_t hash) {
    series *one = *bucket_of(s, hash);
    while (one != NULL && (one->hash != hash || one->family != at || one->n != s->text.len ||
                           memcmp(one->labels, s->text.p, one->n) != 0)) {
        one = one->chain;
    }
    return one;
}

static void drop(er_series *s, series *one) {
    family *f = &s->families[one->family];
    series **link = bucket_of(s, one->hash);
    while (*link != one) {
        link = &(*link)->chain;
    }
    *link = one->chain;
    *(one->prev != NULL ? &one->prev->next : &f->first) = one->next;
    *(one->next != NULL ? &one->next->prev : &f->last) = one->prev;
    free(one);
    s->n--;
}

static void expire(er_series *s, int64_t now_ms) {
    s->expired_ms = now_ms;
    for (size_t i = 0; i < s->families_n; i++) {
        if (s->families[i].is->is_gauge) {
            continue;
        }
        for (series *one = s->families[i].first, *next; one != NULL; one = next) {
            next = one->next;
            if (now_ms - one->changed_ms >= s->life_ms) {
                drop(s, one);
            }
        }
    }
}

static bool has_room(er_series *s, int64_t now_ms) {
    if (s->n >= s->max && now_ms - s->expired_ms >= EXPIRE_EACH_MS) {
        expire(s, now_ms);
    }
    return s->n < s->max;
}

/* The series, made at zero when it is new; NULL: there is no room. */
static series *get(er_series *s, size_t at, const er_str *values, int64_t now_ms) {
    family *f = &s->families[at];
    uint64_t hash = make_labels(s, at, values);
    series *one = find(s, at, hash);
    if (one != NULL) {
        return one;
    }
    if (!has_room(s, now_ms)) {
        er_counter_inc(f->overflow);
        return NULL;
    }
    one = er_xcalloc(1, sizeof *one + s->text.len);
    one->family = at;
    one->hash = hash;
    one->n = s->text.len;
    memcpy(one->labels, s->text.p, one->n);
    series **bucket = bucket_of(s, hash);
    one->chain = *bucket;
    *bucket = one;
    one->prev = f->last;
    *(f->last != NULL ? &f->last->next : &f->first) = one;
    f->last = one;
    s->n++;
    return one;
}

/* ---- updates ---- */

void er_series_add(er_series *s, size_t at, const er_str *values, uint64_t n, int64_t now_ms) {
    ER_ASSERT(at < s->families_n && !s->families[at].is->is_gauge);
    er_lock(&s->lock);
    series *one = get(s, at, values, now_ms);
    if (one != NULL) {
        one->v += (int64_t)n;
        one->changed_ms = now_ms;
    }
    er_unlock(&s->lock);
}

void er_series_set(er_series *s, size_t at, const er_str *values, const er_series_owner *owner,
                   int64_t v, int64_t now_ms) {
    ER_ASSERT(at < s->families_n && s->families[at].is->is_gauge);
    er_lock(&s->lock);
    series *one = get(s, at, values, now_ms);
    if (one != NULL) {
        one->v = v;
        one->owner = *owner;
    }
    er_unlock(&s->lock);
}

void er_series_remove(er_series *s, size_t at, const er_str *values, const er_series_owner *owner) {
    er_lock(&s->lock);
    series *one = find(s, at, make_labels(s, at, values));
    if (one != NULL && one->owner.id == owner->id && one->owner.scope == owner->scope) {
        drop(s, one);
    }
    er_unlock(&s->lock);
}

void er_series_sweep(er_series *s, const void *scope, uint64_t round) {
    er_lock(&s->lock);
    for (size_t i = 0; i < s->families_n; i++) {
        for (series *one = s->families[i].first, *next; one != NULL; one = next) {
            next = one->next;
            if (s->families[i].is->is_gauge && one->owner.scope == scope &&
                one->owner.round != round) {
                drop(s, one);
            }
        }
    }
    er_unlock(&s->lock);
}

void er_series_expire(er_series *s, int64_t now_ms) {
    er_lock(&s->lock);
    expire(s, now_ms);
    er_unlock(&s->lock);
}

/* ---- rendering ---- */

static void on_render(void *arg) {
    er_series *s = arg;
    er_lock(&s->lock);
    expire(s, er_mono_ms());
    er_gauge_set(s->number, (double)s->n);
    er_unlock(&s->lock);
}

static void put(void *arg, er_buf *out) {
    er_series *s = arg;
    er_lock(&s->lock);
    for (size_t i = 0; i < s->families_n; i++) {
        const er_series_family *f = s->families[i].is;
        if (s->families[i].first != NULL) {
            er_buf_putf(out, "# HELP %s %s\n# TYPE %s %s\n", f->name, f->help, f->name,
                        f->is_gauge ? "gauge" : "counter");
        }
        for (const series *one = s->families[i].first; one != NULL; one = one->next) {
            er_buf_puts(out, f->name);
            er_buf_putc(out, '{');
            er_buf_put(out, one->labels, one->n);
            er_buf_putf(out, "} %lld\n", (long long)one->v);
        }
    }
    er_unlock(&s->lock);
}

/* ---- life ---- */

er_series *er_series_new(const er_series_family *families, size_t n, size_t max, int64_t life_ms,
                         er_metrics *m) {
    er_series *s = er_xcalloc(1, sizeof *s);
    er_mutex_init(&s->lock);
    er_buf_init(&s->text, LABELS_MAX);
    s->families = er_xcalloc(n, sizeof *s->families);
    s->families_n = n;
    s->max = max;
    s->life_ms = life_ms;
    s->expired_ms = INT64_MIN / 2;
    s->buckets_n = 64;
    while (s->buckets_n < max) {
        s->buckets_n *= 2;
    }
    s->buckets = er_xcalloc(s->buckets_n, sizeof(series *));
    for (size_t i = 0; i < n; i++) {
        s->families[i].is = &families[i];
        s->families[i].overflow = er_metrics_counter(
            m, "workload_series_overflow_total",
            "Updates of workload metrics that found no room below watch.maxSeries.",
            ER_LABELS("metric", families[i].name));
    }
    s->number = er_metrics_gauge(m, "workload_series", "Series of the workload metrics.", NULL);
    er_metrics_on_render(m, on_render, s);
    er_metrics_append(m, put, s);
    return s;
}

void er_series_free(er_series *s) {
    if (s == NULL) {
        return;
    }
    for (size_t i = 0; i < s->families_n; i++) {
        for (series *one = s->families[i].first, *next; one != NULL; one = next) {
            next = one->next;
            free(one);
        }
    }
    er_buf_fini(&s->text);
    er_mutex_fini(&s->lock);
    free(s->buckets);
    free(s->families);
    free(s);
}
