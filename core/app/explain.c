#include "app/explain.h"

#include "sink/batch.h"
#include "sinks/table.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_MAX 200 /* bytes of a value or pattern that are shown */
#define NAME_MAX_ 20  /* characters of a column of names; longer ones stand out */

struct er_explainer {
    const er_app_config *config;
    const er_route_table *table;
    er_route_scratch *scratch;
    er_route_step *steps; /* one for each route */
    int width;            /* of the names of routes */
    bool with_payload;
    er_cancel cancel;
    er_metrics *metrics;
    struct {
        void *self; /* NULL: could not be created */
        char *why;  /* then: why not */
    } sinks[ER_SINKS_MAX];
};

static const er_cfg_variant *sink_at(const er_explainer *x, size_t i) {
    return &((const er_cfg_variant *)x->config->sinks.v)[i];
}

static const er_route_settings *route_at(const er_explainer *x, size_t i) {
    return &((const er_route_settings *)x->config->routes.v)[i];
}

/* Routes without a name are called by their position, from 1. */
static void put_route_name(const er_explainer *x, size_t i, er_buf *out) {
    const char *name = route_at(x, i)->name;
    if (name[0] != '\0') {
        er_table_safe(er_str_of(name), out);
    } else {
        er_buf_putf(out, "%zu", i + 1);
    }
}

/* ---- making ---- */

static void make_sinks(er_explainer *x, er_problems *problems) {
    for (size_t i = 0; i < x->config->sinks.n; i++) {
        const er_cfg_variant *sink = sink_at(x, i);
        const er_sink_type *type = sink->user;
        er_sink_env env = {
            .name = sink->name.s, .cancel = &x->cancel, .metrics = x->metrics, .is_preview = true};
        er_err err;
        if (type->create(type, sink->config, &env, &x->sinks[i].self, &err) != ER_OK) {
            x->sinks[i].self = NULL;
            x->sinks[i].why = er_dup(err.msg);
            er_problems_add(problems, true, sink->pos, "", "%s", err.msg);
        }
    }
}

er_status er_explainer_new(const er_app_config *config, const er_route_table *table,
                           bool with_payload, er_problems *problems, er_explainer **out,
                           er_err *err) {
    er_explainer *x = er_xcalloc(1, sizeof *x);
    x->config = config;
    x->table = table;
    er_status status = er_cancel_init(&x->cancel, err);
    if (status != ER_OK) {
        free(x);
        return status;
    }
    x->scratch = er_pattern_scratch_new();
    x->steps = er_xcalloc(er_route_table_len(table) + 1, sizeof *x->steps);
    x->metrics = er_metrics_new();
    x->with_payload = with_payload;
    er_buf name;
    er_buf_init(&name, 4096);
    for (size_t i = 0; i < er_route_table_len(table); i++) {
        er_buf_clear(&name);
        put_route_name(x, i, &name);
        x->width = (int)name.len > x->width ? (int)name.len : x->width;
    }
    x->width = x->width > NAME_MAX_ ? NAME_MAX_ : x->width;
    er_buf_fini(&name);
    if (with_payload) {
        make_sinks(x, problems);
    }
    *out = x;
    return ER_OK;
}

void er_explainer_free(er_explainer *x) {
    if (x == NULL) {
        return;
    }
    for (size_t i = 0; i < x->config->sinks.n; i++) {
        if (x->sinks[i].self != NULL) {
            ((const er_sink_type *)sink_at(x, i)->user)->destroy(x->sinks[i].self);
        }
        free(x->sinks[i].why);
    }
    er_metrics_free(x->metrics);
    er_cancel_fini(&x->cancel);
    er_pattern_scratch_free(x->scratch);
    free(x->steps);
    free(x);
}

/* ---- the record ---- */

static void put_part(er_str s, const char *before, er_buf *out) {
    if (s.n > 0) {
        er_buf_puts(out, before);
        er_table_safe(s, out);
    }
}

/* namespace/Kind/name; the namespace is the one that routes look at. */
static void put_object(const er_record *rec, er_buf *out) {
    const char *between = "  ";
    const er_str parts[] = {rec->namespace_, rec->object.kind, rec->object.name};
    for (size_t i = 0; i < 3; i++) {
        put_part(parts[i], between, out);
        between = parts[i].n > 0 ? "/" : between;
    }
}

static void put_heading(const er_record *rec, er_buf *out) {
    er_buf_puts(out, er_kind_name(rec->kind));
    put_part(rec->id, " ", out);
    put_part(rec->type, "  ", out);
    put_part(rec->reason, " ", out);
    if (rec->kind == ER_KIND_GAP) {
        put_part(rec->gap.stream, "  ", out);
    } else if (rec->kind == ER_KIND_NOTICE) {
        put_part(rec->notice.sink, "  sink ", out);
    }
    put_object(rec, out);
    if (rec->kind == ER_KIND_RESTART) {
        put_part(rec->restart.container, "  container ", out);
    }
    er_buf_putc(out, '\n');
    if (rec->namespace_mismatch) {
        er_buf_puts(out, "  its object claims namespace ");
        er_table_safe(rec->object.namespace_, out);
        er_buf_puts(out, "; routes look at the Event's own\n");
    }
}

/* ---- routes ---- */

static void put_quoted(er_str s, const char *before, er_buf *out) {
    size_t n = er_utf8_cut(s, VALUE_MAX);
    er_buf_putf(out, "\"%s", before);
    er_table_safe((er_str){s.p, n}, out);
    er_buf_puts(out, n < s.n ? "…\"" : "\"");
}

static void put_miss(const er_route_miss *miss, er_buf *out) {
    switch (miss->why) {
    case ER_MISS_ABSENT:
        er_buf_putf(out, "there is no %s", miss->key);
        break;
    case ER_MISS_COUNT:
        if (miss->count < 0) {
            er_buf_puts(out, "there is no count");
        } else {
            er_buf_putf(out, "count is %lld, below %lld", (long long)miss->count,
                        (long long)miss->least);
        }
        break;
    case ER_MISS_LIMIT:
        er_buf_putf(out, "%s: ", miss->key);
        put_quoted(miss->pattern, "", out);
        er_buf_puts(out, " hit its match limit");
        break;
    case ER_MISS_NOT:
    case ER_MISS_ANY_OF:
    default:
        er_buf_putf(out, "%s is ", miss->key);
        put_quoted(miss->value, "", out);
        if (miss->why == ER_MISS_NOT) {
            er_buf_puts(out, ", excluded by ");
            put_quoted(miss->pattern, "!", out);
        }
        break;
    }
}

static void put_misses(const er_route_step *step, er_buf *out) {
    for (size_t i = 0; i < step->misses_n; i++) {
        er_buf_puts(out, i > 0 ? "; " : "");
        put_miss(&step->misses[i], out);
    }
}

static void put_route_sinks(const er_route_settings *route, er_buf *out) {
    for (size_t i = 0; i < route->sinks.n; i++) {
        er_buf_puts(out, i > 0 ? ", " : " -> ");
        er_table_safe(er_str_of(route->sinks.v[i].s), out);
    }
}

static void put_taken(const er_route_settings *route, const er_route_step *step, er_buf *out) {
    er_buf_puts(out, route->drop ? "yes, drop" : step->ends ? "yes, final" : "yes");
    put_route_sinks(route, out);
    if (step->misses_n > 0) {
        er_buf_puts(out, " (");
        put_misses(step, out);
        er_buf_puts(out, ", which counts as a match here");
        er_buf_puts(out, route->final ? ", but does not end the walk)" : ")");
    }
}

static void put_step(const er_explainer *x, size_t i, size_t ended_by, er_buf *out) {
    const er_route_settings *route = route_at(x, i);
    const er_route_step *step = &x->steps[i];
    size_t before = out->len;
    er_buf_puts(out, "  ");
    put_route_name(x, i, out);
    int left = x->width + 2 - (int)(out->len - before);
    er_buf_putf(out, "%*s", left > 0 ? left + 2 : 2, "");
    if (!step->reached) {
        er_buf_puts(out, "not reached: ");
        put_route_name(x, ended_by, out);
        er_buf_puts(out, route_at(x, ended_by)->drop ? " drops" : " is final");
    } else if (step->takes) {
        put_taken(route, step, out);
    } else {
        er_buf_puts(out, "no: ");
        put_misses(step, out);
        er_buf_puts(out,
                    step->match == ER_MATCH_LIMIT ? ", which counts as no match in a drop" : "");
    }
    er_buf_putc(out, '\n');
}

static void put_result(const er_explainer *x, const er_route_result *result, er_buf *out) {
    er_buf_puts(out, "  sinks: ");
    const char *between = "";
    for (size_t i = 0; i < x->config->sinks.n; i++) {
        if ((result->sinks >> i & 1) != 0) {
            er_buf_puts(out, between);
            er_buf_puts(out, sink_at(x, i)->name.s);
            between = ", ";
        }
    }
    if (result->sinks == 0) {
        er_buf_puts(out, result->dropped_by < 0 ? "none; no route takes it" : "none; dropped by ");
        if (result->dropped_by >= 0) {
            put_route_name(x, (size_t)result->dropped_by, out);
        }
    }
    er_buf_putc(out, '\n');
}

/* ---- payloads ---- */

/* Line by line, indented and escaped; line breaks stay. */
static void put_lines(er_str text, er_buf *out) {
    while (text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t n = end == NULL ? text.n : (size_t)(end - text.p);
        er_buf_puts(out, n > 0 ? "      " : "");
        er_table_safe((er_str){text.p, n}, out);
        er_buf_putc(out, '\n');
        n += end != NULL;
        text = (er_str){text.p + n, text.n - n};
    }
}

static void put_why(const char *what, const char *why, er_buf *out) {
    er_buf_putf(out, "      %s: ", what);
    er_table_safe(er_str_of(why), out);
    er_buf_putc(out, '\n');
}

/* The record alone in its batch. */
static void put_preview(const er_sink_type *type, void *self, er_record *rec, er_buf *out) {
    er_err err = {0};
    er_batch_slot slot = {.rec = er_record_ref(rec)};
    er_buf_init(&slot.item.body, type->item_max);
    bool is_encoded = type->encode(self, rec, &slot.item, &err) == ER_OK;
    er_batch *batch = er_batch_new();
    er_batch_add(batch, &slot);
    er_buf text;
    er_buf_init(&text, out->max);
    if (!is_encoded) {
        put_why("would be rejected", err.msg, out);
    } else if (type->preview == NULL) {
        put_lines(er_buf_str(&er_batch_item(batch, 0)->body), out);
    } else if (type->preview(self, batch, &text, &err) == ER_OK) {
        put_lines(er_buf_str(&text), out);
    } else {
        put_why("cannot be shown", err.msg, out);
    }
    er_buf_fini(&text);
    er_batch_free(batch);
}

static void put_payload(const er_explainer *x, size_t i, er_record *rec, er_buf *out) {
    const er_sink_type *type = sink_at(x, i)->user;
    er_buf_putf(out, "  %s, %s:\n", sink_at(x, i)->name.s, type->name);
    if (x->sinks[i].self == NULL) {
        put_why("cannot be shown", x->sinks[i].why, out);
    } else {
        put_preview(type, x->sinks[i].self, rec, out);
    }
}

void er_explain(er_explainer *x, er_record *rec, er_buf *out) {
    er_route_result result = er_route_explain(x->table, rec, x->scratch, x->steps);
    put_heading(rec, out);
    size_t ended_by = 0;
    for (size_t i = 0; i < er_route_table_len(x->table); i++) {
        put_step(x, i, ended_by, out);
        ended_by = x->steps[i].ends ? i : ended_by;
    }
    if (er_route_table_len(x->table) == 0) {
        er_buf_puts(out, "  without routes everything goes to every sink\n");
    }
    put_result(x, &result, out);
    for (size_t i = 0; x->with_payload && i < x->config->sinks.n; i++) {
        if ((result.sinks >> i & 1) != 0) {
            put_payload(x, i, rec, out);
        }
    }
    er_buf_putc(out, '\n');
}
