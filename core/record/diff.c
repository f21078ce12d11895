#include "record/diff.h"

#include "record/quantity.h"
#include "record/tree.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX (ER_TREE_DEPTH_MAX + 8)
#define MOVES_MAX 512 /* items of a list that are moved one by one; a longer one is replaced */

typedef struct diff {
    er_diff_fn *fn; /* NULL: only whether there is a change */
    void *arg;
    bool found, failed;
    er_step steps[STEPS_MAX];
    size_t n;
} diff;

static void diff_node(diff *d, const er_json *a, const er_json *b);

static bool is_over(const diff *d) {
    return d->failed || (d->fn == NULL && d->found);
}

static er_steps steps_of(const diff *d) {
    return (er_steps){d->steps, d->n};
}

static void push(diff *d, er_step step) {
    ER_ASSERT(d->n < STEPS_MAX);
    d->steps[d->n++] = step;
}

static void give(diff *d, er_diff_change change) {
    d->found = true;
    if (d->fn != NULL && !d->failed) {
        change.steps = steps_of(d);
        d->fn(d->arg, &change);
    }
}

static void give_one(diff *d, er_diff_op op, const er_json *node, bool for_people, bool for_patch) {
    give(d, (er_diff_change){.op = op,
                             .for_people = for_people,
                             .for_patch = for_patch,
                             .before = op == ER_DIFF_REMOVE ? node : NULL,
                             .after = op == ER_DIFF_REMOVE ? NULL : node});
}

/* A value that is only in one of the two. People are told of each member of a map or item of a list
 * with keys; to a patch it is one value. */
static void give_one_sided(diff *d, const er_json *before, const er_json *after, bool for_patch) {
    const er_json *node = before != NULL ? before : after;
    er_diff_op op = before != NULL ? ER_DIFF_REMOVE : ER_DIFF_ADD;
    er_str field = er_steps_field(steps_of(d));
    bool is_field = d->steps[d->n - 1].kind == ER_STEP_FIELD && er_json_first(node) != NULL &&
                    er_tree_stand_in_of(node) == ER_TREE_PLAIN;
    bool is_map = is_field && er_json_is_object(node) && er_fields_is_map(field);
    const char *const *keys =
        is_field && er_json_is_array(node) ? er_fields_list_keys(field) : NULL;
    bool is_many = is_map || keys != NULL;
    give_one(d, op, node, !is_many, for_patch);
    size_t index = 0;
    for (const er_json *m = is_many ? er_json_first(node) : NULL; m != NULL && !is_over(d);
         m = er_json_next(m)) {
        push(d, is_map ? (er_step){.name = er_json_key(m)}
                       : (er_step){.kind = ER_STEP_ITEM, .item = m, .keys = keys, .index = index});
        give_one(d, op, m, true, false);
        d->n--;
        index++;
    }
}

/* ---- pairs ---- */

#define NO_MATE SIZE_MAX

typedef struct item {
    const er_json *node;
    uint64_t hash; /* of its key */
    size_t index, mate;
} item;

typedef struct side {
    item *v;
    size_t n;
} side;

static uint64_t key_hash(const er_json *node, const char *const *keys) {
    if (keys == NULL) {
        er_str name = er_json_key(node);
        return er_hash(ER_HASH_SEED, name.p, name.n);
    }
    uint64_t hash = ER_HASH_SEED;
    for (size_t i = 0; keys[i] != NULL; i++) {
        const er_json *key = er_json_get(node, keys[i]);
        er_str text = er_json_str(key);
        double number = er_json_number(key);
        if (key == NULL && strcmp(keys[i], "protocol") == 0) {
            text = ER_STR("TCP");
        }
        hash = er_hash(hash, &number, sizeof number);
        hash = er_hash(hash, text.n > 0 ? text.p : "", text.n);
        hash = er_hash(hash, "", 1);
    }
    return hash;
}

static side side_of(diff *d, const er_json *parent, const char *const *keys) {
    side s = {0};
    for (const er_json *m = er_json_first(parent); m != NULL; m = er_json_next(m)) {
        s.n++;
    }
    s.v = calloc(s.n + 1, sizeof *s.v);
    if (s.v == NULL) {
        d->failed = true;
        return (side){0};
    }
    size_t i = 0;
    for (const er_json *m = er_json_first(parent); m != NULL; m = er_json_next(m), i++) {
        s.v[i] = (item){m, key_hash(m, keys), i, NO_MATE};
    }
    return s;
}

/* Keys of items whose hashes collide may differ: that shows as a change of the key. Names may not:
 * they are not compared later. */
static bool are_mates(const item *a, const item *b, const char *const *keys) {
    return a->hash == b->hash &&
           (keys != NULL || er_str_eq(er_json_key(a->node), er_json_key(b->node)));
}

static int by_hash(const void *a, const void *b) {
    const item *x = a;
    const item *y = b;
    if (x->hash != y->hash) {
        return x->hash < y->hash ? -1 : 1;
    }
    return x->index < y->index ? -1 : x->index > y->index;
}

/* A copy in the order of the hashes; of equal keys the first comes first. */
static item *sorted(diff *d, const side *s) {
    item *v = calloc(s->n + 1, sizeof *v);
    if (v == NULL) {
        d->failed = true;
        return NULL;
    }
    ER_ASSERT(s->v != NULL);
    memcpy(v, s->v, s->n * sizeof *v);
    qsort(v, s->n, sizeof *v, by_hash);
    return v;
}

static void pair(diff *d, const side *a, const side *b, const char *const *keys) {
    size_t same = 0;
    while (same < a->n && same < b->n && are_mates(&a->v[same], &b->v[same], keys)) {
        same++;
    }
    bool in_order = a->n == b->n && same == a->n;
    for (size_t i = 0; in_order && i < same; i++) {
        a->v[i].mate = b->v[i].mate = i;
    }
    if (in_order) {
        return;
    }
    item *x = sorted(d, a);
    item *y = sorted(d, b);
    for (size_t i = 0, k = 0; !d->failed && i < a->n && k < b->n;) {
        if (are_mates(&x[i], &y[k], keys)) {
            a->v[x[i].index].mate = y[k].index;
            b->v[y[k].index].mate = x[i].index;
        }
        bool left = x[i].hash <= y[k].hash;
        bool right = y[k].hash <= x[i].hash;
        i += left;
        k += right;
    }
    free(x);
    free(y);
}

/* ---- objects ---- */

static void diff_members(diff *d, const side *a, const side *b) {
    for (size_t i = 0; i < a->n && !is_over(d); i++) {
        push(d, (er_step){.name = er_json_key(a->v[i].node)});
        if (a->v[i].mate != NO_MATE) {
            diff_node(d, a->v[i].node, b->v[a->v[i].mate].node);
        } else if (!er_fields_is_default(steps_of(d), a->v[i].node)) {
            give_one_sided(d, a->v[i].node, NULL, true);
        }
        d->n--;
    }
    for (size_t i = 0; i < b->n && !is_over(d); i++) {
        push(d, (er_step){.name = er_json_key(b->v[i].node)});
        if (b->v[i].mate == NO_MATE && !er_fields_is_default(steps_of(d), b->v[i].node)) {
            give_one_sided(d, NULL, b->v[i].node, true);
        }
        d->n--;
    }
}

/* ---- lists whose items have keys ---- */

typedef struct keyed {
    const er_json *before, *after; /* the lists */
    side a, b;
    const char *const *keys;
    bool is_ordered;
} keyed;

static bool is_reordered(const keyed *k) {
    size_t last = 0;
    for (size_t i = 0; i < k->b.n; i++) {
        size_t mate = k->b.v[i].mate;
        if (mate != NO_MATE && mate < last) {
            return true;
        }
        last = mate != NO_MATE ? mate : last;
    }
    return false;
}

static void push_item(diff *d, const keyed *k, const er_json *node, size_t index) {
    push(d, (er_step){.kind = ER_STEP_ITEM, .item = node, .keys = k->keys, .index = index});
}

/* Selection, as a reader of the patch would do it. */
static void move_items(diff *d, const keyed *k) {
    size_t left[MOVES_MAX] = {0}; /* old indexes of what was not removed, in their present order */
    size_t n = 0;
    for (size_t i = 0; i < k->a.n; i++) {
        if (k->a.v[i].mate != NO_MATE) {
            left[n++] = i;
        }
    }
    size_t to = 0;
    for (size_t i = 0; i < k->b.n; i++) {
        if (k->b.v[i].mate == NO_MATE) {
            continue;
        }
        size_t from = to;
        while (left[from] != k->b.v[i].mate) {
            from++;
        }
        if (from != to) {
            memmove(left + to + 1, left + to, (from - to) * sizeof *left);
            left[to] = k->b.v[i].mate;
            push_item(d, k, k->b.v[i].node, to);
            give(d, (er_diff_change){.op = ER_DIFF_MOVE, .for_patch = true, .from = from});
            d->n--;
        }
        to++;
    }
}

/* Says that the order changed; false: the list is replaced as a whole in the patch. */
static bool reorder(diff *d, const keyed *k) {
    bool by_moves = k->a.n <= MOVES_MAX;
    give(d, (er_diff_change){
                .op = ER_DIFF_REORDER, .for_people = true, .before = k->before, .after = k->after});
    if (by_moves) {
        move_items(d, k);
    } else {
        give(d,
             (er_diff_change){
                 .op = ER_DIFF_REPLACE, .for_patch = true, .before = k->before, .after = k->after});
    }
    return by_moves;
}

static void diff_keyed_items(diff *d, const keyed *k) {
    for (size_t i = 0; i < k->a.n && !is_over(d); i++) {
        if (k->a.v[i].mate != NO_MATE) {
            push_item(d, k, k->a.v[i].node, i);
            diff_node(d, k->a.v[i].node, k->b.v[k->a.v[i].mate].node);
            d->n--;
        }
    }
    for (size_t i = k->a.n; i > 0 && !is_over(d); i--) {
        if (k->a.v[i - 1].mate == NO_MATE) {
            push_item(d, k, k->a.v[i - 1].node, i - 1);
            give_one_sided(d, k->a.v[i - 1].node, NULL, true);
            d->n--;
        }
    }
    bool for_patch = true;
    if (k->is_ordered && !is_over(d) && is_reordered(k)) {
        for_patch = reorder(d, k);
    }
    for (size_t i = 0; i < k->b.n && !is_over(d); i++) {
        if (k->b.v[i].mate == NO_MATE) {
            push_item(d, k, k->b.v[i].node, i); /* as many stand before it by now */
            give_one_sided(d, NULL, k->b.v[i].node, for_patch);
            d->n--;
        }
    }
}

static void diff_paired(diff *d, const er_json *a, const er_json *b, const char *const *keys,
                        bool is_ordered) {
    keyed k = {.before = a, .after = b, .keys = keys, .is_ordered = is_ordered};
    k.a = side_of(d, a, keys);
    k.b = side_of(d, b, keys);
    if (!d->failed) {
        pair(d, &k.a, &k.b, keys);
    }
    if (!d->failed && keys == NULL) {
        diff_members(d, &k.a, &k.b);
    } else if (!d->failed) {
        diff_keyed_items(d, &k);
    }
    free(k.a.v);
    free(k.b.v);
}

/* ---- lists whose items have none ---- */

static bool same(diff *d, const er_json *a, const er_json *b) {
    diff quiet = {.n = d->n};
    memcpy(quiet.steps, d->steps, d->n * sizeof *d->steps);
    diff_node(&quiet, a, b);
    d->failed = d->failed || quiet.failed;
    return !quiet.found;
}

static void diff_index(diff *d, const er_json *a, const er_json *b, size_t index) {
    push(d, (er_step){.kind = ER_STEP_INDEX, .index = index});
    if (a != NULL && b != NULL) {
        diff_node(d, a, b);
    } else {
        give_one_sided(d, a, b, true);
    }
    d->n--;
}

/* What is equal at both ends stays; in between items are changed, and the rest removed or added. */
static void diff_items(diff *d, const side *a, const side *b) {
    size_t from = 0;
    size_t end = 0;
    size_t least = a->n < b->n ? a->n : b->n;
    bool only_whether = d->fn == NULL; /* then comparing twice at each level would cost much */
    while (!only_whether && from < least && same(d, a->v[from].node, b->v[from].node)) {
        from++;
    }
    while (!only_whether && a->n != b->n && end < least - from &&
           same(d, a->v[a->n - 1 - end].node, b->v[b->n - 1 - end].node)) {
        end++;
    }
    for (size_t i = from; i < least - end && !is_over(d); i++) {
        diff_index(d, a->v[i].node, b->v[i].node, i);
    }
    for (size_t i = a->n - end; i > least - end && !is_over(d); i--) {
        diff_index(d, a->v[i - 1].node, NULL, i - 1);
    }
    for (size_t i = least - end; i < b->n - end && !is_over(d); i++) {
        diff_index(d, NULL, b->v[i].node, i);
    }
}

static void diff_atomic(diff *d, const er_json *a, const er_json *b) {
    static const char *const none[] = {NULL};
    side x = side_of(d, a, none);
    side y = side_of(d, b, none);
    if (!d->failed) {
        diff_items(d, &x, &y);
    }
    free(x.v);
    free(y.v);
}

/* ---- values ---- */

static bool is_equal_scalar(diff *d, const er_json *a, const er_json *b) {
    er_str x = er_json_str(a);
    er_str y = er_json_str(b);
    double left = er_json_number(a);
    double right = er_json_number(b);
    if (er_json_type_of(a) != er_json_type_of(b) || left < right || left > right ||
        er_json_is_true(a) != er_json_is_true(b)) {
        return false;
    }
    return er_str_eq(x, y) || (er_fields_is_quantity(steps_of(d)) && er_quantity_equal(x, y));
}

static void diff_node(diff *d, const er_json *a, const er_json *b) {
    er_json_type type = er_json_type_of(a);
    er_tree_stand_in stand_in = er_tree_stand_in_of(a);
    bool is_same = false;
    if (is_over(d)) {
        return;
    }
    if (stand_in != ER_TREE_PLAIN || er_tree_stand_in_of(b) != ER_TREE_PLAIN) {
        is_same =
            stand_in == er_tree_stand_in_of(b) && er_str_eq(er_tree_digest(a), er_tree_digest(b));
    } else if (type == ER_JSON_OBJECT && er_json_is_object(b)) {
        diff_paired(d, a, b, NULL, false);
        return;
    } else if (type == ER_JSON_ARRAY && er_json_is_array(b)) {
        er_str list = er_steps_field(steps_of(d));
        bool is_field = d->n > 0 && d->steps[d->n - 1].kind == ER_STEP_FIELD;
        const char *const *keys = is_field ? er_fields_list_keys(list) : NULL;
        if (keys != NULL) {
            diff_paired(d, a, b, keys, er_fields_is_ordered(list));
        } else {
            diff_atomic(d, a, b);
        }
        return;
    } else {
        is_same = is_equal_scalar(d, a, b);
    }
    if (!is_same) {
        give(d, (er_diff_change){.op = ER_DIFF_REPLACE,
                                 .for_people = true,
                                 .for_patch = true,
                                 .before = a,
                                 .after = b});
    }
}

er_status er_diff(const er_json *before, const er_json *after, er_diff_fn *fn, void *arg,
                  er_err *err) {
    diff d = {.fn = fn, .arg = arg};
    diff_node(&d, before, after);
    return d.failed ? er_err_set(err, ER_E_NOMEM, "no memory to compare two objects") : ER_OK;
}
