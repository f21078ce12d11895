/* Several addresses of one service: their turns and their rests. */
#include "sink_fixture.h"
#include "sinks/http_nodes.h"

static char texts[3][16] = {"http://a", "http://b", "http://c"};

typedef struct setting {
    er_http_sink_config config;
    er_secret_ref more[2];
    er_http_nodes nodes;
} setting;

static void setting_init(setting *s, size_t more) {
    *s = (setting){.config.url = {.kind = ER_SECRET_LITERAL, .text = texts[0]},
                   .more = {{.kind = ER_SECRET_LITERAL, .text = texts[1]},
                            {.kind = ER_SECRET_LITERAL, .text = texts[2]}}};
    s->config.more_urls = (er_cfg_list){.v = s->more, .n = more};
    assert_int_equal(er_http_nodes_init(&s->nodes, &s->config, "es", NULL), ER_OK);
}

static void expect_next(setting *s, const char *url) {
    assert_true(er_str_eqc(er_secret_get(er_http_nodes_next(&s->nodes)->url), url));
}

static bool goes_down(setting *s) {
    er_err err = {.msg = "it does not answer"};
    return er_http_nodes_failed(&s->nodes, "es", "http://x/", 20, &err);
}

static void test_in_turn(void **state) {
    (void)state;
    setting s;
    setting_init(&s, 2);
    for (int i = 0; i < 6; i++) {
        expect_next(&s, texts[i % 3]);
        er_http_nodes_worked(&s.nodes, "a", "http://x");
    }
    er_http_nodes_fini(&s.nodes);
}

static void test_one_that_fails_rests(void **state) {
    (void)state;
    setting s;
    setting_init(&s, 2);
    expect_next(&s, "http://a");
    assert_true(goes_down(&s));
    expect_next(&s, "http://b");
    expect_next(&s, "http://c");
    expect_next(&s, "http://b");
    assert_true(goes_down(&s));
    expect_next(&s, "http://c");
    expect_next(&s, "http://c");
    /* all rest: the one whose rest ends first */
    assert_false(goes_down(&s));
    expect_next(&s, "http://a");
    expect_next(&s, "http://a");
    er_http_nodes_fini(&s.nodes);
}

static void expect_rest(const er_http_node *node, int64_t ms) {
    int64_t left = er_deadline_left_ms(node->rest);
    assert_in_range(left, ms - 1000, ms);
}

/* Otherwise most of the time would be spent waiting for it. */
static void test_one_that_hangs_rests_longer(void **state) {
    (void)state;
    static const int64_t all[][2] = {
        {1000, 5000}, {2000, 10000}, {30000, 150000}, {100000, 300000}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        setting s;
        setting_init(&s, 1);
        expect_next(&s, "http://a");
        assert_true(er_http_nodes_failed(&s.nodes, "es", "http://x/", all[i][0], NULL));
        expect_rest(&s.nodes.v[0], all[i][1]);
        er_http_nodes_fini(&s.nodes);
    }
}

static void test_rests_grow_until_it_works(void **state) {
    (void)state;
    static const int64_t rests_ms[] = {5000, 10000, 20000, 40000, 80000, 160000, 300000, 300000};
    setting s;
    setting_init(&s, 1);
    er_http_node *a = &s.nodes.v[0];
    for (size_t i = 0; i < sizeof rests_ms / sizeof rests_ms[0]; i++) {
        s.nodes.at = 1;
        expect_next(&s, "http://a");
        assert_true(goes_down(&s));
        expect_rest(a, rests_ms[i]);
        expect_next(&s, "http://b");
        a->rest = er_deadline_in(0); /* its time is up */
    }
    s.nodes.at = 1;
    expect_next(&s, "http://a");
    er_http_nodes_worked(&s.nodes, "a", "http://x");
    expect_next(&s, "http://b");
    expect_next(&s, "http://a");
    assert_true(goes_down(&s));
    expect_rest(a, 5000);
    er_http_nodes_fini(&s.nodes);
}

static void test_a_single_one_has_no_rest(void **state) {
    (void)state;
    setting s;
    setting_init(&s, 0);
    for (int i = 0; i < 3; i++) {
        expect_next(&s, "http://a");
        assert_false(goes_down(&s));
    }
    er_http_nodes_fini(&s.nodes);
}

static void test_secrets_are_named(void **state) {
    (void)state;
    setting s;
    setting_init(&s, 2);
    er_http_nodes_fini(&s.nodes);
    static char missing[] = "/nowhere/url";
    s.more[1] = (er_secret_ref){.kind = ER_SECRET_FILE, .text = missing};
    er_err err = {0};
    assert_int_equal(er_http_nodes_init(&s.nodes, &s.config, "es", &err), ER_E_CONFIG);
    assert_string_equal(err.msg, "sinks.es.moreUrls[1]: cannot open /nowhere/url: No such file or "
                                 "directory");
    er_http_nodes_fini(&s.nodes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_turn),
        cmocka_unit_test(test_one_that_fails_rests),
        cmocka_unit_test(test_one_that_hangs_rests_longer),
        cmocka_unit_test(test_rests_grow_until_it_works),
        cmocka_unit_test(test_a_single_one_has_no_rest),
        cmocka_unit_test(test_secrets_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
