/* The structs of the sample configuration. */
#ifndef ER_TESTS_UNIT_CONFIG_SAMPLE_TYPES_H
#define ER_TESTS_UNIT_CONFIG_SAMPLE_TYPES_H

#include "config/config.h"

#include <string.h>

typedef struct sample_item { /* of items: */
    er_pos pos;
    char *name;
    int64_t weight;
    er_cfg_strings kinds;
    struct {
        bool deep;
    } more;
} sample_item;

typedef struct sample_common { /* of both kinds of sink */
    int64_t records, bytes;
} sample_common;

typedef struct sample_file {
    sample_common common;
    char *path;
} sample_file;

typedef struct sample_hook {
    sample_common common;
    er_pos pos;
    er_secret_ref url;
    struct {
        struct {
            char *username;
            er_secret_ref password;
        } basic;
        er_secret_ref bearer;
    } auth;
    er_cfg_list headers, keys;
} sample_hook;

typedef struct sample {
    char *cluster;
    bool enabled, verbose;
    int64_t count, most;
    int64_t wait_ms, max_ms, age_ms;
    int64_t size;
    int level, version;
    er_secret_ref token, home;
    er_cfg_strings names, words;
    struct {
        er_pos pos;
        int64_t from, to;
    } range;
    er_cfg_list items, sinks;
} sample;

#endif
