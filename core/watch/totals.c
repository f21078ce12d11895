#include "watch/totals.h"

#include <stdlib.h>
#include <string.h>

#define GROUPS 8192
#define WAYS   8

typedef struct entry {
    uint64_t hash; /* 0: free */
    int64_t total;
} entry;

/* Each group is ordered by use, the newest first. */
struct er_totals {
    entry v[GROUPS][WAYS];
};

er_totals *er_totals_new(void) {
    return er_xcalloc(1, sizeof(er_totals)); /* untouched pages cost nothing */
}

void er_totals_free(er_totals *totals) {
    free(totals);
}

static uint64_t hash_of(er_str uid) {
    uint64_t hash = er_hash(ER_HASH_SEED, uid.p, uid.n);
    return hash == 0 ? 1 : hash;
}

static entry *group_of(er_totals *totals, uint64_t hash) {
    return totals->v[hash % GROUPS]; /* FNV mixes into the low bits best */
}

static size_t find(const entry *group, uint64_t hash) {
    size_t i = 0;
    while (i < WAYS && group[i].hash != hash) {
        i++;
    }
    return i;
}

int64_t er_totals_swap(er_totals *totals, er_str uid, int64_t total) {
    uint64_t hash = hash_of(uid);
    entry *group = group_of(totals, hash);
    size_t at = find(group, hash);
    int64_t before = at < WAYS ? group[at].total : -1;
    at = at < WAYS ? at : WAYS - 1;
    memmove(group + 1, group, at * sizeof *group);
    group[0] = (entry){hash, total};
    return before;
}

void er_totals_forget(er_totals *totals, er_str uid) {
    uint64_t hash = hash_of(uid);
    entry *group = group_of(totals, hash);
    size_t at = find(group, hash);
    if (at < WAYS) {
        memmove(group + at, group + at + 1, (WAYS - 1 - at) * sizeof *group);
        group[WAYS - 1] = (entry){0};
    }
}
