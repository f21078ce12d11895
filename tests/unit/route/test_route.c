#include "unit.h"

#include "route/route.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static er_match match(const char *pattern, const char *value) {
    er_pattern *p;
    er_err err;
    assert_int_equal(er_pattern_new(er_str_of(pattern), &p, &err), ER_OK);
    er_pattern_scratch *scratch = er_pattern_scratch_new();
    er_match result = er_pattern_match(p, er_str_of(value), scratch);
    er_pattern_scratch_free(scratch);
    er_pattern_free(p);
    return result;
}

static void test_patterns(void **state) {
    (void)state;
    static const struct {
        const char *pattern, *value;
        er_match expected;
    } rows[] = {
        {"Pod", "Pod", ER_MATCH_YES},
        {"Pod", "pod", ER_MATCH_NO},
        {"Pod", "Pods", ER_MATCH_NO},
        {"Po", "Pod", ER_MATCH_NO},
        {"*", "", ER_MATCH_YES},
        {"*", "anything at all", ER_MATCH_YES},
        {"prod-*", "prod-", ER_MATCH_YES},
        {"prod-*", "prod", ER_MATCH_NO},
        {"*-eu", "prod-eu", ER_MATCH_YES},
        {"*-eu", "prod-eu1", ER_MATCH_NO},
        {"a*b*c", "a-b-b-c", ER_MATCH_YES},
        {"a*b*c", "a-c-b", ER_MATCH_NO},
        {"**", "x", ER_MATCH_YES},
        {"?", "x", ER_MATCH_YES},
        {"?", "", ER_MATCH_NO},
        {"?", "xy", ER_MATCH_NO},
        {"?", "\xe2\x82\xac", ER_MATCH_YES}, /* one character, three bytes */
        {"*?x", "\xe2\x82\xacx", ER_MATCH_YES},
        {"a?c",
         "a\xc3\xa4"
         "c",
         ER_MATCH_YES},
        {"a.c", "abc", ER_MATCH_NO}, /* a dot is a dot */
        {"[ab]", "a", ER_MATCH_NO},
        {"re:Back", "xBackOff", ER_MATCH_YES}, /* searches */
        {"re:^Back$", "BackOff", ER_MATCH_NO},
        {"re:^(BackOff|Failed.*|OOMKilling)$", "FailedMount", ER_MATCH_YES},
        {"re:(?i)backoff", "BackOff", ER_MATCH_YES},
        {"re:^.$", "\xe2\x82\xac", ER_MATCH_YES},
        {"re:", "anything", ER_MATCH_YES},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (match(rows[i].pattern, rows[i].value) != rows[i].expected) {
            fail_msg("row %zu: %s on %s", i, rows[i].pattern, rows[i].value);
        }
    }
}

static void test_limit(void **state) {
    (void)state;
    assert_int_equal(match("re:^(a+)+$", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!"),
                     ER_MATCH_LIMIT);
    /* a glob has no such trap */
    static char value[20001];
    memset(value, 'a', sizeof value - 1);
    assert_int_equal(match("*a*a*a*a*a*a*a*a*b", value), ER_MATCH_NO);
}

static void test_bad_patterns(void **state) {
    (void)state;
    er_pattern *p;
    er_err err;
    assert_int_equal(er_pattern_new(ER_STR("re:("), &p, &err), ER_E_CONFIG);
    assert_string_equal(err.msg,
                        "not a regular expression: missing closing parenthesis at offset 1");
    assert_int_equal(er_pattern_new(ER_STR(""), &p, &err), ER_E_CONFIG);
    assert_int_equal(er_pattern_check("!re:[", &err), ER_E_CONFIG);
    assert_int_equal(er_pattern_check("!", &err), ER_E_CONFIG);
    assert_int_equal(er_pattern_check("!prod-*", &err), ER_OK);
}

/* ---- tables, from YAML as users write them ---- */

typedef struct table_config {
    er_cfg_list routes;
} table_config;

static const er_field table_rows[] = {
    {.key = "routes",
     .type = ER_FIELD_LIST,
     .offset = offsetof(table_config, routes),
     .rows = er_route_rows,
     .elem_size = sizeof(er_route_settings),
     .check_struct = er_route_check,
     .help = "Routes."},
    {.key = NULL},
};
static const er_schema schema = {.title = "t", .rows = table_rows, .size = sizeof(table_config)};

static const er_cfg_text sinks[] = {
    {.s = (char[]){"a"}}, {.s = (char[]){"b"}}, {.s = (char[]){"c"}}};

static er_status make(const char *yaml, void **config, er_route_table **table,
                      er_problems *problems) {
    er_problems_init(problems, "t.yaml");
    *table = NULL;
    if (er_config_parse(yaml, strlen(yaml), &schema, config, problems) != ER_OK) {
        er_config_free(&schema, *config);
        *config = NULL;
        return ER_E_CONFIG;
    }
    return er_route_table_new(&((table_config *)*config)->routes, sinks, 3, table, problems);
}

static er_route_result route(const char *yaml, const er_record *rec) {
    void *config;
    er_route_table *table;
    er_problems problems;
    er_status status = make(yaml, &config, &table, &problems);
    if (status != ER_OK) {
        er_buf text;
        er_buf_init(&text, 65536);
        er_problems_print(&problems, &text);
        fail_msg("%s", er_buf_cstr(&text));
    }
    er_route_scratch *scratch = er_pattern_scratch_new();
    er_route_result result = er_route(table, rec, scratch);
    er_route_step steps[8]; /* the slow walk ends at the same place */
    er_route_result explained = er_route_explain(table, rec, scratch, steps);
    assert_int_equal(explained.sinks, result.sinks);
    assert_int_equal(explained.dropped_by, result.dropped_by);
    assert_int_equal(explained.limit_hit, result.limit_hit);
    er_pattern_scratch_free(scratch);
    er_route_table_free(table);
    er_config_free(&schema, config);
    er_problems_fini(&problems);
    return result;
}

static const er_record warning = {.kind = ER_KIND_EVENT,
                                  .severity = ER_SEVERITY_WARNING,
                                  .type = {"Warning", 7},
                                  .reason = {"BackOff", 7},
                                  .message = {"Back-off restarting", 19},
                                  .namespace_ = {"prod-eu", 7},
                                  .cluster = {"c1", 2},
                                  .object = {.kind = {"Pod", 3}, .name = {"web-1", 5}},
                                  .source_component = {"kubelet", 7},
                                  .event = {.count = 10}};

static void test_tables(void **state) {
    (void)state;
    static const struct {
        const char *yaml;
        er_sink_set sinks;
        int dropped_by;
    } rows[] = {
        {"routes: []", 7, -1}, /* everything to every sink */
        {"routes: [{sinks: [a]}]", 1, -1},
        {"routes: [{sinks: [a]}, {sinks: [b, a]}]", 3, -1},
        {"routes: [{sinks: [a], final: true}, {sinks: [b]}]", 1, -1},
        {"routes: [{match: {type: Normal}, sinks: [a], final: true}, {sinks: [b]}]", 2, -1},
        {"routes: [{drop: true}, {sinks: [b]}]", 0, 0},
        {"routes: [{sinks: [a]}, {match: {reason: BackOff}, drop: true}, {sinks: [b]}]", 1, 1},
        {"routes: [{match: {reason: Pulled}, drop: true}, {sinks: [c]}]", 4, -1},
        {"routes: [{match: {type: Normal}, sinks: [a]}]", 0, -1},
        /* keys are and-ed */
        {"routes: [{match: {type: Warning, reason: BackOff}, sinks: [a]}]", 1, -1},
        {"routes: [{match: {type: Warning, reason: Other}, sinks: [a]}]", 0, -1},
        /* a list is any-of, ! makes none-of */
        {"routes: [{match: {namespace: [\"prod-*\", \"!prod-sandbox\"]}, sinks: [a]}]", 1, -1},
        {"routes: [{match: {namespace: [\"prod-*\", \"!prod-eu\"]}, sinks: [a]}]", 0, -1},
        {"routes: [{match: {namespace: [\"!dev-*\", \"!test\"]}, sinks: [a]}]", 1, -1},
        {"routes: [{match: {namespace: [\"!prod-*\"]}, sinks: [a]}]", 0, -1},
        {"routes: [{match: {reason: [\"!re:^Back\"]}, sinks: [a]}]", 0, -1},
        /* a key the record lacks */
        {"routes: [{match: {source: {host: \"*\"}}, sinks: [a]}]", 0, -1},
        {"routes: [{match: {source: {host: [\"!n1\"]}}, sinks: [a]}]", 1, -1},
        {"routes: [{match: {source: {host: [\"!n1\", n2]}}, sinks: [a]}]", 0, -1},
        /* all keys */
        {"routes: [{match: {kind: event, severity: WARNING, cluster: c1, message: \"Back*\", "
         "object: {kind: Pod, name: \"web-?\"}, source: {component: kubelet}}, sinks: [a]}]",
         1, -1},
        {"routes: [{match: {kind: [gap, notice]}, sinks: [a]}]", 0, -1},
        {"routes: [{match: {object: {apiVersion: v1}}, sinks: [a]}]", 0, -1},
        {"routes: [{match: {count: 10}, sinks: [a]}]", 1, -1},
        {"routes: [{match: {count: 11}, sinks: [a]}]", 0, -1},
        /* a limit delivers rather than hides */
        {"routes: [{match: {message: \"re:^(.+)+[0-9]$\"}, drop: true}, {sinks: [b]}]", 2, -1},
        {"routes: [{match: {message: \"re:^(.+)+[0-9]$\"}, sinks: [a]}]", 1, -1},
        {"routes: [{match: {message: \"re:^(.+)+[0-9]$\"}, sinks: [a], final: true}, {sinks: [b]}]",
         3, -1},
        {"routes: [{match: {message: \"re:^(.+)+[0-9]$\", type: Normal}, sinks: [a]}]", 0, -1},
    };
    er_record rec;
    memcpy(&rec, &warning, sizeof rec);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        /* long enough for the catastrophic pattern to hit its limit */
        bool catastrophic = strstr(rows[i].yaml, "(.+)+") != NULL;
        rec.message = catastrophic ? ER_STR("Back-off restarting failed container again and again")
                                   : warning.message;
        er_route_result found = route(rows[i].yaml, &rec);
        if (found.sinks != rows[i].sinks || found.dropped_by != rows[i].dropped_by ||
            (catastrophic && strstr(rows[i].yaml, "Normal") == NULL && !found.limit_hit)) {
            fail_msg("row %zu: %s: sinks %d, dropped by %d", i, rows[i].yaml, (int)found.sinks,
                     found.dropped_by);
        }
    }
}

static const er_record change = {
    .kind = ER_KIND_CHANGE,
    .type = {"Normal", 6},
    .change = {.operation = {"updated", 7}, .fields = {"image,replicas,labels", 21}}};
static const er_record rollout = {
    .kind = ER_KIND_ROLLOUT, .type = {"Normal", 6}, .rollout = {.state = {"stuck", 5}}};
static const er_record created = {.kind = ER_KIND_CHANGE, .change = {.operation = {"created", 7}}};

/* Keys that only some kinds have, and one with several values. */
static void test_keys_of_kinds(void **state) {
    (void)state;
    static const struct {
        const er_record *rec;
        const char *match;
        er_sink_set sinks;
    } rows[] = {
        {&change, "{change: {operation: updated}}", 1},
        {&change, "{change: {operation: [created, deleted]}}", 0},
        {&change, "{change: {fields: image}}", 1},
        {&change, "{change: {fields: replicas}}", 1},
        {&change, "{change: {fields: labels}}", 1},
        {&change, "{change: {fields: [env, \"rep*\"]}}", 1},
        {&change, "{change: {fields: env}}", 0},
        {&change, "{change: {fields: \"image,replicas,label?\"}}", 0},
        {&change, "{change: {fields: [\"!env\"]}}", 1},
        {&change, "{change: {fields: [\"!replicas\"]}}", 0},
        {&change, "{change: {fields: [image, \"!labels\"]}}", 0},
        {&change, "{rollout: {state: \"*\"}}", 0},
        {&change, "{rollout: {state: [\"!stuck\"]}}", 1},
        {&created, "{change: {operation: created}}", 1},
        {&created, "{change: {fields: \"*\"}}", 0},
        {&created, "{change: {fields: [\"!env\"]}}", 1},
        {&rollout, "{rollout: {state: [stuck, paused]}}", 1},
        {&rollout, "{rollout: {state: complete}}", 0},
        {&rollout, "{kind: rollout, change: {operation: \"*\"}}", 0},
        {&rollout, "{change: {fields: [\"!image\"]}}", 1},
        {&warning, "{change: {fields: \"*\"}}", 0},
        {&warning, "{rollout: {state: \"*\"}}", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof yaml, "routes: [{match: %s, sinks: [a]}]", rows[i].match);
        er_route_result found = route(yaml, rows[i].rec);
        if (found.sinks != rows[i].sinks) {
            fail_msg("row %zu: %s: sinks %d", i, yaml, (int)found.sinks);
        }
    }
}

/* Keys of one kind of record: others lack them, whatever stands in their own parts. */
static void test_restarts(void **state) {
    (void)state;
    static const er_record restart = {
        .kind = ER_KIND_RESTART,
        .severity = ER_SEVERITY_ERROR,
        .type = {"Warning", 7},
        .reason = {"OOMKilled", 9},
        .restart = {.container = {"web", 3}, .reason = {"OOMKilled", 9}, .exit_code = "137"}};
    static const struct {
        const char *match;
        bool restart, event;
    } rows[] = {
        {"kind: restart", true, false},
        {"restart: {reason: OOMKilled}", true, false},
        {"restart: {reason: [\"!OOMKilled\"]}", false, true},
        {"restart: {reason: Error}", false, false},
        {"restart: {container: \"w*\"}", true, false},
        {"restart: {container: [\"!istio-proxy\"]}", true, true},
        {"restart: {container: side}", false, false},
        {"restart: {exitCode: 137}", true, false},
        {"restart: {exitCode: [1, \"re:^13[0-9]$\"]}", true, false},
        {"restart: {exitCode: [\"!0\"]}", true, true},
        {"restart: {exitCode: [\"!137\"]}", false, true},
        {"restart: {exitCode: 13}", false, false},
        {"restart: {reason: OOMKilled, container: web, exitCode: 137}", true, false},
        {"restart: {reason: OOMKilled, container: web, exitCode: 1}", false, false},
        {"count: 1", false, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char yaml[256];
        (void)snprintf(yaml, sizeof yaml, "routes: [{match: {%s}, sinks: [a]}]", rows[i].match);
        if ((route(yaml, &restart).sinks == 1) != rows[i].restart ||
            (route(yaml, &warning).sinks == 1) != rows[i].event) {
            fail_msg("row %zu: %s", i, rows[i].match);
        }
    }
    er_record unknown;
    memcpy(&unknown, &restart, sizeof unknown);
    unknown.restart.exit_code[0] = '\0';
    assert_int_equal(
        route("routes: [{match: {restart: {exitCode: \"*\"}}, sinks: [a]}]", &unknown).sinks, 0);
    assert_int_equal(
        route("routes: [{match: {restart: {exitCode: [\"!1\"]}}, sinks: [a]}]", &unknown).sinks, 1);
}

static void assert_miss(const er_route_step *step, size_t i, er_miss_why why, const char *key,
                        const char *value, const char *pattern) {
    assert_true(i < step->misses_n);
    assert_int_equal(step->misses[i].why, why);
    assert_string_equal(step->misses[i].key, key);
    assert_str(step->misses[i].value, value);
    assert_str(step->misses[i].pattern, pattern);
}

static void test_explain(void **state) {
    (void)state;
    void *config;
    er_route_table *table;
    er_problems problems;
    assert_int_equal(make("routes: [{match: {type: Normal, count: 11, namespace: [\"!prod-*\"], "
                          "source: {host: n1}, reason: [\"!x\", BackOff]}, drop: true},"
                          " {match: {message: \"re:^(.+)+[0-9]$\"}, drop: true},"
                          " {match: {message: [\"!re:^(.+)+[0-9]$\"]}, sinks: [a], final: true},"
                          " {match: {source: {host: [\"!n1\"]}}, sinks: [b], final: true},"
                          " {sinks: [c]}]",
                          &config, &table, &problems),
                     ER_OK);
    er_record rec;
    memcpy(&rec, &warning, sizeof rec);
    rec.message = ER_STR("Back-off restarting failed container again and again");
    er_route_scratch *scratch = er_pattern_scratch_new();
    er_route_step steps[5];
    assert_int_equal(er_route_table_len(table), 5);
    er_route_result result = er_route_explain(table, &rec, scratch, steps);
    assert_int_equal(result.sinks, 3);
    assert_true(result.limit_hit);

    assert_true(steps[0].reached && !steps[0].takes && !steps[0].ends);
    assert_int_equal(steps[0].misses_n, 4);
    assert_miss(&steps[0], 0, ER_MISS_ANY_OF, "type", "Warning", "");
    assert_miss(&steps[0], 1, ER_MISS_NOT, "namespace", "prod-eu", "prod-*");
    assert_miss(&steps[0], 2, ER_MISS_ABSENT, "source.host", "", "");
    assert_miss(&steps[0], 3, ER_MISS_COUNT, "count", "", "");
    assert_int_equal(steps[0].misses[3].count, 10);
    assert_int_equal(steps[0].misses[3].least, 11);

    /* a limit: not a match of a drop, a match of a route with sinks that does not end the walk */
    assert_int_equal(steps[1].match, ER_MATCH_LIMIT);
    assert_true(!steps[1].takes && !steps[1].ends);
    assert_int_equal(steps[1].misses_n, 1);
    assert_int_equal(steps[1].misses[0].why, ER_MISS_LIMIT);
    assert_str(steps[1].misses[0].pattern, "re:^(.+)+[0-9]$");
    assert_true(steps[2].takes && !steps[2].ends);
    assert_str(steps[2].misses[0].pattern, "re:^(.+)+[0-9]$");

    assert_true(steps[3].takes && steps[3].ends);
    assert_int_equal(steps[3].misses_n, 0);
    assert_false(steps[4].reached);

    rec.kind = ER_KIND_GAP; /* has no count */
    (void)er_route_explain(table, &rec, scratch, steps);
    assert_int_equal(steps[0].misses[3].count, -1);
    er_pattern_scratch_free(scratch);
    er_route_table_free(table);
    er_config_free(&schema, config);
    er_problems_fini(&problems);
}

static void test_explain_lists(void **state) {
    (void)state;
    void *config;
    er_route_table *table;
    er_problems problems;
    assert_int_equal(make("routes: [{match: {change: {fields: [env, \"!lab*\"]}, rollout: {state: "
                          "stuck}}, sinks: [a]}, {match: {change: {fields: env}}, sinks: [b]}, "
                          "{sinks: [c]}]",
                          &config, &table, &problems),
                     ER_OK);
    er_route_scratch *scratch = er_pattern_scratch_new();
    er_route_step steps[3];
    (void)er_route_explain(table, &change, scratch, steps);
    assert_int_equal(steps[0].misses_n, 2);
    assert_miss(&steps[0], 0, ER_MISS_NOT, "change.fields", "image,replicas,labels", "lab*");
    assert_miss(&steps[0], 1, ER_MISS_ABSENT, "rollout.state", "", "");
    assert_miss(&steps[1], 0, ER_MISS_ANY_OF, "change.fields", "image,replicas,labels", "");
    er_pattern_scratch_free(scratch);
    er_route_table_free(table);
    er_config_free(&schema, config);
    er_problems_fini(&problems);
}

static void assert_problem(const char *yaml, bool is_warning, const char *path,
                           const char *message) {
    void *config;
    er_route_table *table;
    er_problems problems;
    (void)make(yaml, &config, &table, &problems);
    bool found = false;
    for (size_t i = 0; i < problems.n; i++) {
        const er_problem *p = &problems.v[i];
        found = found || (p->is_warning == is_warning && strcmp(p->path, path) == 0 &&
                          strcmp(p->message, message) == 0);
    }
    if (!found) {
        er_buf text;
        er_buf_init(&text, 65536);
        er_problems_print(&problems, &text);
        fail_msg("not said: %s: %s\nbut:\n%s", path, message, er_buf_cstr(&text));
    }
    er_route_table_free(table);
    if (config != NULL) {
        er_config_free(&schema, config);
    }
    er_problems_fini(&problems);
}

static void test_problems(void **state) {
    (void)state;
    assert_problem("routes: [{sinks: [aa]}]", false, "routes[0].sinks[0]",
                   "there is no sink \"aa\"; did you mean \"a\"?");
    assert_problem("routes: [{sinks: [something]}]", false, "routes[0].sinks[0]",
                   "there is no sink \"something\" under sinks");
    assert_problem("routes: [{sinks: [a], match: {reason: []}}]", false, "routes[0].match.reason",
                   "an empty list matches nothing; leave the key out to match all");
    assert_problem("routes: [{sinks: [a, b]}]", true, "sinks.c",
                   "no route names this sink: it will get nothing");
    assert_problem("routes: [{sinks: [a, b, c], final: true}, {sinks: [a]}]", true, "routes[1]",
                   "is never reached: routes[0] takes everything and ends the walk");
    assert_problem("routes: [{match: {kind: event}, sinks: [a, b, c]}]", true, "routes",
                   "no route takes gap records (cause expired): nobody would be told of records "
                   "that were lost; add a route with match: {kind: gap}");
    assert_problem("routes: [{sinks: [a], drop: true}]", false, "routes[0]",
                   "has both sinks and drop; a route either delivers or drops");
    assert_problem("routes: [{name: x}]", false, "routes[0]",
                   "has neither sinks nor drop; name the sinks or set drop: true");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),     cmocka_unit_test(test_limit),
        cmocka_unit_test(test_bad_patterns), cmocka_unit_test(test_tables),
        cmocka_unit_test(test_restarts),     cmocka_unit_test(test_keys_of_kinds),
        cmocka_unit_test(test_explain),      cmocka_unit_test(test_explain_lists),
        cmocka_unit_test(test_problems),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
