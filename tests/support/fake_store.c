#include "fake_store.h"

#include "fake_json.h"

#include <stdlib.h>
#include <string.h>

const char *const fake_change_names[] = {"ADDED", "MODIFIED", "DELETED"};

/* ---- versions ---- */

const char *fake_version_text(fake_version version, char text[FAKE_VERSION_TEXT]) {
    size_t at = FAKE_VERSION_TEXT - 1;
    text[at] = '\0';
    do {
        text[--at] = (char)('0' + (int)(version % 10));
        version /= 10;
    } while (version > 0);
    return text + at;
}

bool fake_version_parse(er_str text, fake_version *out) {
    fake_version version = 0;
    if (text.n == 0 || text.n > 38) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
        version = version * 10 + (unsigned)(text.p[i] - '0');
    }
    *out = version;
    return true;
}

/* ---- lists and the table of names ---- */

void fake_list_add(fake_list *list, fake_change *change) {
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 256 : list->cap * 2;
        fake_change **v = realloc(list->v, cap * sizeof *v);
        ER_ASSERT(v != NULL);
        list->v = v;
        list->cap = cap;
    }
    list->v[list->n++] = change;
}

static size_t place(fake_object *const *table, size_t cap, fake_resource resource, er_str key) {
    size_t at = er_hash(ER_HASH_SEED, key.p, key.n) % cap;
    while (table[at] != NULL &&
           (table[at]->resource != resource || !er_str_eqc(key, table[at]->key))) {
        at = (at + 1) % cap;
    }
    return at;
}

static void grow(fake_store *store) {
    size_t cap = store->table_cap == 0 ? 1024 : store->table_cap * 2;
    fake_object **table = er_xcalloc(cap, sizeof(fake_object *));
    for (size_t i = 0; i < store->table_cap; i++) {
        fake_object *object = store->table[i];
        if (object != NULL) {
            table[place(table, cap, object->resource, er_str_of(object->key))] = object;
        }
    }
    free(store->table);
    store->table = table;
    store->table_cap = cap;
}

static void put_key(er_buf *key, er_str ns, er_str name) {
    er_buf_init(key, 4096);
    er_buf_put_str(key, ns);
    er_buf_putc(key, '/');
    er_buf_put_str(key, name);
}

/* The object of that name, made when it is not there yet. */
static fake_object *object_of(fake_store *store, fake_resource resource, er_str ns, er_str name) {
    if (store->table_n * 2 >= store->table_cap) {
        grow(store);
    }
    er_buf key;
    put_key(&key, ns, name);
    size_t at = place(store->table, store->table_cap, resource, er_buf_str(&key));
    if (store->table[at] == NULL) {
        fake_object *object = er_xcalloc(1, sizeof *object);
        object->resource = resource;
        object->key = er_str_dup(er_buf_str(&key));
        object->namespace_n = ns.n;
        store->table[at] = object;
        store->table_n++;
    }
    er_buf_fini(&key);
    return store->table[at];
}

static bool is_live(const fake_change *change) {
    return change != NULL && change->type != FAKE_DELETED;
}

fake_change *fake_store_find(const fake_store *store, fake_resource resource, er_str ns,
                             er_str name) {
    if (store->table_cap == 0) {
        return NULL;
    }
    er_buf key;
    put_key(&key, ns, name);
    const fake_object *object =
        store->table[place(store->table, store->table_cap, resource, er_buf_str(&key))];
    er_buf_fini(&key);
    return object != NULL && is_live(object->latest) ? object->latest : NULL;
}

void fake_store_init(fake_store *store) {
    *store = (fake_store){.version = 1, .compacted = 1};
}

void fake_store_fini(fake_store *store) {
    for (size_t i = 0; i < store->journal.n; i++) {
        free(store->journal.v[i]);
    }
    for (size_t i = 0; i < store->table_cap; i++) {
        if (store->table[i] != NULL) {
            free(store->table[i]->key);
            free(store->table[i]);
        }
    }
    free(store->table);
    free(store->history.v);
    free(store->journal.v);
    for (int resource = 0; resource < FAKE_RESOURCES; resource++) {
        free(store->snapshots[resource].items.v);
    }
}

er_str fake_change_namespace(const fake_change *change) {
    return (er_str){change->object->key, change->object->namespace_n};
}

er_str fake_change_name(const fake_change *change) {
    return er_str_of(change->object->key + change->object->namespace_n + 1);
}

/* ---- writing ---- */

/* Takes over body, whose version is filled in. */
static fake_change *append(fake_store *store, fake_object *object, fake_change_type type,
                           fake_version version, er_str body) {
    fake_change *change = malloc(sizeof *change + body.n + 1);
    ER_ASSERT(change != NULL);
    *change = (fake_change){.version = version,
                            .object = object,
                            .before = object->latest,
                            .type = type,
                            .epoch = store->epoch,
                            .n = body.n};
    memcpy(change->body, body.p, body.n);
    change->body[body.n] = '\0';
    er_str digits = fake_json_path(fake_change_body(change), "metadata.resourceVersion");
    change->version_at = (size_t)(digits.p - change->body) + 1;
    change->version_digits = digits.n - 2;
    store->live[object->resource] += (size_t)is_live(change);
    store->live[object->resource] -= (size_t)is_live(object->latest);
    object->latest = change;
    store->version = version;
    fake_list_add(&store->history, change);
    fake_list_add(&store->journal, change);
    return change;
}

static fake_version next_version(const fake_store *store, fake_version wanted) {
    return wanted > store->version ? wanted : store->version + 1;
}

static bool set_version(er_buf *json, fake_version version) {
    char digits[FAKE_VERSION_TEXT];
    char quoted[FAKE_VERSION_TEXT + 2];
    const char *text = fake_version_text(version, digits);
    size_t n = strlen(text);
    quoted[0] = '"';
    memcpy(quoted + 1, text, n);
    quoted[n + 1] = '"';
    return fake_json_set(json, "metadata.resourceVersion", (er_str){quoted, n + 2});
}

/* The string at path, or else what is given; true when the object has it now. */
static bool fill_in(er_buf *json, const char *path, const char *otherwise) {
    if (fake_json_path(er_buf_str(json), path).n > 0) {
        return true;
    }
    er_buf quoted;
    er_buf_init(&quoted, 1024);
    fake_json_quote(&quoted, er_str_of(otherwise));
    bool done = fake_json_set(json, path, er_buf_str(&quoted));
    er_buf_fini(&quoted);
    return done;
}

static bool fill_in_uid(fake_store *store, er_buf *json, const fake_change *live) {
    er_buf uid;
    er_buf_init(&uid, 1024);
    if (live != NULL) {
        fake_json_path_text(fake_change_body(live), "metadata.uid", &uid);
    } else {
        er_buf_putf(&uid, "00000000-0000-4000-8000-%012llx", (unsigned long long)++store->uids);
    }
    bool done = fill_in(json, "metadata.uid", er_buf_cstr(&uid));
    er_buf_fini(&uid);
    return done;
}

er_status fake_store_write(fake_store *store, fake_resource resource, er_buf *json,
                           fake_version wanted, er_err *err) {
    er_buf ns;
    er_buf name;
    er_buf_init(&ns, 1024);
    er_buf_init(&name, 1024);
    bool done = fake_json_set(json, "kind", (er_str){0}) &&
                fake_json_set(json, "apiVersion", (er_str){0}) &&
                fill_in(json, "metadata.namespace", "default");
    fake_json_path_text(er_buf_str(json), "metadata.namespace", &ns);
    fake_json_path_text(er_buf_str(json), "metadata.name", &name);
    er_status status = ER_OK;
    if (!done || name.len == 0) {
        status = er_err_set(err, ER_E_INVAL, "%s needs metadata with a name",
                            fake_resources[resource].a_kind);
    } else {
        fake_object *object = object_of(store, resource, er_buf_str(&ns), er_buf_str(&name));
        bool is_new = !is_live(object->latest);
        fake_version version = next_version(store, wanted);
        (void)fill_in_uid(store, json, is_new ? NULL : object->latest);
        (void)set_version(json, version);
        (void)append(store, object, is_new ? FAKE_ADDED : FAKE_MODIFIED, version, er_buf_str(json));
    }
    er_buf_fini(&ns);
    er_buf_fini(&name);
    return status;
}

static void delete_stored(fake_store *store, fake_object *object, fake_version version) {
    er_buf json;
    er_buf_init(&json, object->latest->n + 1024);
    er_buf_put_str(&json, fake_change_body(object->latest));
    (void)set_version(&json, version);
    (void)append(store, object, FAKE_DELETED, version, er_buf_str(&json));
    er_buf_fini(&json);
}

void fake_store_delete(fake_store *store, fake_object *object, er_buf *json, fake_version wanted) {
    fake_version version = next_version(store, wanted);
    if (json == NULL) {
        delete_stored(store, object, version);
    } else {
        (void)set_version(json, version);
        (void)append(store, object, FAKE_DELETED, version, er_buf_str(json));
    }
}

size_t fake_store_expire(fake_store *store, size_t n, er_str ns) {
    fake_version version = store->version + 1;
    size_t done = 0;
    size_t end = store->history.n; /* it grows while we delete */
    for (size_t i = 0; i < end && done < n; i++) {
        const fake_change *change = store->history.v[i];
        bool is_newest = change->object->resource == FAKE_EVENTS &&
                         change->object->latest == change && is_live(change);
        if (is_newest && (ns.n == 0 || er_str_eq(ns, fake_change_namespace(change)))) {
            delete_stored(store, change->object, version);
            done++;
        }
    }
    return done;
}

bool fake_store_advance(fake_store *store, fake_version version) {
    if (version <= store->version) {
        return false;
    }
    store->version = version;
    return true;
}

bool fake_store_rewind(fake_store *store, fake_version version) {
    if (version >= store->version || version == 0) {
        return false;
    }
    while (store->history.n > 0 && store->history.v[store->history.n - 1]->version > version) {
        fake_change *change = store->history.v[--store->history.n];
        fake_object *object = change->object;
        store->live[object->resource] -= (size_t)is_live(change);
        store->live[object->resource] += (size_t)is_live(change->before);
        object->latest = change->before;
    }
    store->version = version;
    store->compacted = store->compacted < version ? store->compacted : version;
    store->epoch++;
    for (int resource = 0; resource < FAKE_RESOURCES; resource++) {
        store->snapshots[resource].valid = false;
    }
    return true;
}

/* ---- reading ---- */

size_t fake_store_after(const fake_store *store, fake_version version) {
    size_t low = 0;
    size_t high = store->history.n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (store->history.v[middle]->version > version) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

/* etcd's order: that of the bytes of registry keys. */
static int by_key(const void *a, const void *b) {
    const fake_change *const *x = a;
    const fake_change *const *y = b;
    return strcmp((*x)->object->key, (*y)->object->key);
}

const fake_list *fake_store_at(fake_store *store, fake_resource resource, fake_version version) {
    fake_list *items = &store->snapshots[resource].items;
    if (store->snapshots[resource].valid && store->snapshots[resource].version == version) {
        return items;
    }
    items->n = 0;
    for (size_t i = 0; i < store->table_cap; i++) {
        const fake_object *object = store->table[i];
        fake_change *change =
            object == NULL || object->resource != resource ? NULL : object->latest;
        while (change != NULL && change->version > version) {
            change = change->before;
        }
        if (is_live(change)) {
            fake_list_add(items, change);
        }
    }
    if (items->n > 0) {
        qsort(items->v, items->n, sizeof(fake_change *), by_key);
    }
    /* Only a rewind changes what was: see there. */
    store->snapshots[resource].valid = true;
    store->snapshots[resource].version = version;
    return items;
}
