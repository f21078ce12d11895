/* What a look shows of a Deployment for metrics, also where it makes no record. */
#include "look.h"

#define TWO "\"spec\":{\"replicas\":2}"

typedef struct shower {
    looker l;     /* first */
    er_buf shown; /* one line a look */
} shower;

static void on_shown(void *arg, const er_deployment_shown *s) {
    shower *w = arg;
    static const char *const changes[] = {"same", "added", "modified", "deleted"};
    er_buf_putf(&w->shown, "%.*s %.*s/%.*s %s ", (int)s->uid.n, s->uid.p, (int)s->namespace_.n,
                s->namespace_.p, (int)s->name.n, s->name.p, changes[s->change]);
    er_families_text(s->families, &w->shown);
    if (s->is_there) {
        er_buf_putf(&w->shown, "; %lld %lld %lld", (long long)s->desired, (long long)s->actual,
                    (long long)s->max);
    }
    er_buf_putc(&w->shown, '\n');
}

static void look(shower *w, er_sight sight, const char *version, const char *rest,
                 const char *want) {
    er_buf text;
    er_buf_init(&text, 65536);
    er_buf_putf(&text,
                "{\"metadata\":{\"uid\":\"u\",\"namespace\":\"shop\",\"name\":\"web\","
                "\"resourceVersion\":\"%s\"%s}",
                version, rest);
    er_buf_clear(&w->shown);
    if (sight == ER_SIGHT_GONE) {
        looker_look(&w->l, sight, NULL);
    } else {
        looker_look_text(&w->l, sight, er_buf_cstr(&text));
    }
    assert_string_equal(er_buf_cstr(&w->shown), want);
    er_buf_fini(&text);
}

static void recall(shower *w, const char *remembered, const char *want) {
    er_look one = {.remembered = er_str_of(remembered), .arg = w, .saw = on_shown};
    er_buf_clear(&w->shown);
    er_deployment_recall(&w->l.options, &one);
    assert_string_equal(er_buf_cstr(&w->shown), want);
}

static void recall_memory(shower *w, const char *want) {
    char *remembered = er_str_dup(er_buf_str(&w->l.memory));
    recall(w, remembered, want);
    free(remembered);
}

static void init(shower *w) {
    looker_init(&w->l);
    w->l.saw = on_shown;
    er_buf_init(&w->shown, 65536);
}

static void fini(shower *w) {
    looker_fini(&w->l);
    er_buf_fini(&w->shown);
}

static void test_a_life(void **state) {
    (void)state;
    shower w;
    init(&w);
    w.l.options.families = er_family_of(ER_STR("image")); /* none of these makes a record */
    look(&w, ER_SIGHT_BASELINE, "1", "}," TWO, "u shop/web same ; 2 0 -1\n");
    look(&w, ER_SIGHT_MODIFIED, "2", "},\"spec\":{\"replicas\":3},\"status\":{\"replicas\":2}",
         "u shop/web modified replicas; 3 2 -1\n");
    recall_memory(&w, "u shop/web same ; 3 2 -1\n");
    look(&w, ER_SIGHT_MODIFIED, "3", "},\"spec\":{\"replicas\":3},\"status\":{\"replicas\":3}",
         "u shop/web same ; 3 3 -1\n");
    look(&w, ER_SIGHT_MODIFIED, "4",
         ",\"labels\":{\"a\":\"b\"},\"annotations\":{\"eventrouter.io/max-replicas\":\"9\"}}," TWO,
         "u shop/web modified replicas,labels,annotations; 2 0 9\n");
    recall_memory(&w, "u shop/web same ; 2 0 9\n");
    /* Again, as a list has it after a restart: still there. */
    look(&w, ER_SIGHT_LISTED, "4",
         ",\"labels\":{\"a\":\"b\"},\"annotations\":{\"eventrouter.io/max-replicas\":\"9\"}}," TWO,
         "u shop/web same ; 2 0 9\n");
    assert_int_equal(w.l.n, 0);
    look(&w, ER_SIGHT_GONE, "", "", "u shop/web deleted \n");
    look(&w, ER_SIGHT_GONE, "", "", "");
    look(&w, ER_SIGHT_ADDED, "7", "}," TWO, "u shop/web added ; 2 0 -1\n");
    look(&w, ER_SIGHT_DELETED, "8", "}," TWO, "u shop/web deleted \n");
    recall_memory(&w, "");
    fini(&w);
}

static void test_who_opts_out_shows_that_it_is_not_there(void **state) {
    (void)state;
    shower w;
    init(&w);
    static const char out[] = ",\"annotations\":{\"eventrouter.io/ignore\":\"true\"}}," TWO;
    look(&w, ER_SIGHT_ADDED, "1", out, "u shop/web same \n");
    recall_memory(&w, "");
    look(&w, ER_SIGHT_DELETED, "2", out, "u shop/web same \n");
    fini(&w);
}

static void test_a_failed_look_shows_nothing(void **state) {
    (void)state;
    shower w;
    init(&w);
    look(&w, ER_SIGHT_ADDED, "", "}," TWO, "");
    assert_int_equal(w.l.status, ER_E_INVAL);
    recall(&w, "", "");
    recall(&w, "{\"uid\":", "");
    fini(&w);
}

/* Memory of a look without metrics: what only they need is not known, and it is as it ever was. */
static void test_memory_of_a_look_without_metrics(void **state) {
    (void)state;
    shower w;
    init(&w);
    w.l.saw = NULL;
    looker_look_text(&w.l, ER_SIGHT_BASELINE,
                     "{\"metadata\":{\"uid\":\"u\",\"namespace\":\"shop\",\"name\":\"web\","
                     "\"resourceVersion\":\"1\"},\"spec\":{},\"status\":{\"replicas\":3}}");
    assert_null(strstr(er_buf_cstr(&w.l.memory), "actual"));
    recall_memory(&w, "u shop/web same ; 1 -1 -1\n");
    fini(&w);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_life),
        cmocka_unit_test(test_who_opts_out_shows_that_it_is_not_there),
        cmocka_unit_test(test_a_failed_look_shows_nothing),
        cmocka_unit_test(test_memory_of_a_look_without_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
