/* Selectors: what apimachinery's own parsers take and refuse. */
#include "unit.h"
#include "watch/selector.h"

#include <stdio.h>
#include <string.h>

typedef struct example {
    const char *text, *message; /* NULL: good */
} example;

static void check_all(er_status (*check)(const char *, er_err *), const example *examples,
                      size_t n) {
    for (size_t i = 0; i < n; i++) {
        er_err err = {0};
        er_status status = check(examples[i].text, &err);
        if (status != (examples[i].message == NULL ? ER_OK : ER_E_CONFIG)) {
            fail_msg("%s: %s", examples[i].text, err.msg);
        }
        assert_string_equal(err.msg, examples[i].message == NULL ? "" : examples[i].message);
    }
}
#define CHECK_ALL(check_, examples_)                                                               \
    check_all((check_), (examples_), sizeof(examples_) / sizeof(examples_)[0])

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NO_KEY(key_)                                                                               \
    "\"" key_ "\" is no key of a label, such as team or example.com/team: at most 63 letters, "    \
    "digits, \"-\", \"_\" and \".\" behind the \"/\""
#define NO_VALUE(value_)                                                                           \
    "\"" value_ "\" is no value of a label: at most 63 letters, digits, \"-\", \"_\" and \".\", "  \
    "the first and the last a letter or a digit"

static void test_labels(void **state) {
    (void)state;
    static const example examples[] = {
        {"", NULL},
        {" \t\r\n", NULL},
        {"team=payments", NULL},
        {"team==payments,tier!=web", NULL},
        {" team = payments , !canary ", NULL},
        {"a,!b,c", NULL},
        {"! a", NULL},
        {"a=", NULL},
        {"a=,b!=", NULL},
        {"tier in (web,api)", NULL},
        {"tier in(web)", NULL},
        {"tier notin (web, api),x", NULL},
        {"a in (,)", NULL},
        {"a in (b,,c)", NULL},
        {"a in ( , b )", NULL},
        {"in in (in,notin)", NULL},
        {"notin=in", NULL},
        {"a>1,b<9223372036854775807,c>007", NULL},
        {"example.com/team=a", NULL},
        {"a-1.b-2/X_.y=Z-._z", NULL},
        {A63 "=" A63, NULL},
        {"=", "expected the key of a label, found \"=\""},
        {"==a", "expected the key of a label, found \"==\""},
        {"!", "expected the key of a label, found the end"},
        {"!!a", "expected the key of a label, found \"!\""},
        {",", "expected the key of a label, found \",\""},
        {"a,", "expected the key of a label behind \",\", found the end"},
        {"a,,b", "expected the key of a label, found \",\""},
        {"a b", "expected \",\", \"=\", \"!=\", \"in\" or \"notin\" behind a key, found \"b\""},
        {"a IN (b)",
         "expected \",\", \"=\", \"!=\", \"in\" or \"notin\" behind a key, found \"IN\""},
        {"a~b", NO_KEY("a~b")},
        {"!a=b", "expected \",\" behind a \"!\" and its key, found \"=\""},
        {"!a in (b)", "expected \",\" behind a \"!\" and its key, found \"in\""},
        {"a=b c", "expected \",\" between requirements, found \"c\""},
        {"a=b=c", "expected \",\" between requirements, found \"=\""},
        {"a===b", "expected a value, found \"=\""},
        {"a=!b", "expected a value, found \"!\""},
        {"a=(b)", "expected a value, found \"(\""},
        {"a in", "expected \"(\" and values behind \"in\" and \"notin\", found the end"},
        {"a in b", "expected \"(\" and values behind \"in\" and \"notin\", found \"b\""},
        {"a in ()", "\"()\" has no values"},
        {"a in (b", "expected \",\" or \")\" behind a value, found the end"},
        {"a in (b,", "expected \",\" or \")\" behind a value, found the end"},
        {"a in (b c)", "expected \",\" or \")\" behind a value, found \"c\""},
        {"a in (b))", "expected \",\" between requirements, found \")\""},
        {"a in (-b)", NO_VALUE("-b")},
        {"a>", "expected a whole number behind \"<\" and \">\", found the end"},
        {"a>x", "expected a whole number behind \"<\" and \">\", found \"x\""},
        {"a>-1", "expected a whole number behind \"<\" and \">\", found \"-1\""},
        {"a<9223372036854775808",
         "expected a whole number behind \"<\" and \">\", found \"9223372036854775808\""},
        {"a>=1", "expected a value, found \"=\""},
        {"team=pay ments", "expected \",\" between requirements, found \"ments\""},
        {"team=pay/ments", NO_VALUE("pay/ments")},
        {"team=\"payments\"", NO_VALUE("\"payments\"")},
        {"team:payments", NO_KEY("team:payments")},
        {"-a", NO_KEY("-a")},
        {"a.", NO_KEY("a.")},
        {"/a", NO_KEY("/a")},
        {"a/", NO_KEY("a/")},
        {"a/b/c", NO_KEY("a/b/c")},
        {"A.b/c", NO_KEY("A.b/c")},
        {"a..b/c", NO_KEY("a..b/c")},
        {"a-.b/c", NO_KEY("a-.b/c")},
        {"a.-b/c", NO_KEY("a.-b/c")},
        {"a.b./c", NO_KEY("a.b./c")},
        {".a/c", NO_KEY(".a/c")},
        {A63 "a", NO_KEY(A63 "a")},
        {"a=" A63 "a", NO_VALUE(A63 "a")},
    };
    CHECK_ALL(er_label_selector_check, examples);
}

static void test_long_prefix(void **state) {
    (void)state;
    char text[512];
    for (size_t n = 253; n <= 254; n++) {
        memset(text, 'a', n);
        memcpy(text + n, "/b", 3);
        assert_int_equal(er_label_selector_check(text, NULL), n == 253 ? ER_OK : ER_E_CONFIG);
    }
}

#define NO_TERM(term_) "expected FIELD=VALUE, FIELD==VALUE or FIELD!=VALUE, found \"" term_ "\""
#define ESCAPE(term_)  "a \"\\\" stands only before \"\\\", \",\" and \"=\", in \"" term_ "\""

static void test_fields(void **state) {
    (void)state;
    static const example examples[] = {
        {"", NULL},
        {",", NULL},
        {"type=Warning", NULL},
        {"type==Warning,,reason!=Pulled,", NULL},
        {"reason=", NULL},
        {"reason=a b\xc3\xa9", NULL},
        {"reason=a!", NULL},
        {"reason=!a", NULL},
        {"reason=a\\,b\\=c\\\\", NULL},
        {"type", NO_TERM("type")},
        {"type!Warning", NO_TERM("type!Warning")},
        {"type=Warning,x", NO_TERM("x")},
        {"type in (Warning)", NO_TERM("type in (Warning)")},
        {"a\\,b", NO_TERM("a\\,b")},
        {"=Warning", "a field is missing before \"=Warning\""},
        {"!=Warning", "a field is missing before \"!=Warning\""},
        {"reason=a=b", "a \"=\" in a value is written \\=, in \"reason=a=b\""},
        {"reason===b", "a \"=\" in a value is written \\=, in \"reason===b\""},
        {"reason=a!=b", "a \"=\" in a value is written \\=, in \"reason=a!=b\""},
        {"reason=a\\b", ESCAPE("reason=a\\b")},
        {"reason=a\\", ESCAPE("reason=a\\")},
    };
    CHECK_ALL(er_field_selector_check, examples);
}

#define REFUSED(field_)                                                                            \
    "API servers refuse the field \"" field_ "\" of Events; they know type, reason, source, "      \
    "reportingComponent, metadata.{name,namespace} and involvedObject.{kind,namespace,name,uid,"   \
    "apiVersion,resourceVersion,fieldPath}"

static void test_fields_of_events(void **state) {
    (void)state;
    static const example examples[] = {
        {"", NULL},
        {"type=Warning,reason!=x,source=a,reportingComponent=b,metadata.name=c,"
         "metadata.namespace!=d",
         NULL},
        {"involvedObject.kind=a,involvedObject.namespace=b,involvedObject.name=c,"
         "involvedObject.uid=d,involvedObject.apiVersion=e,involvedObject.resourceVersion=f,"
         "involvedObject.fieldPath=g",
         NULL},
        {"type=Warning,message=x", REFUSED("message")},
        {"type=Warning, reason=x", REFUSED(" reason")},
        {"Type=Warning", REFUSED("Type")},
    };
    CHECK_ALL(er_event_fields_advise, examples);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_long_prefix),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_fields_of_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
