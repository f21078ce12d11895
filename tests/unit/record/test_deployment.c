/* Deployments: pairs with golden records, a recorded watch, rollouts, secrets. */
#include "look.h"

#include "record/input.h"

#define GOLDEN ER_SOURCE_DIR "/tests/golden/"

/* ---- a recorded watch ---- */

typedef struct object_memory {
    char uid[64];
    looker looker;
} object_memory;

static er_sight sight_of(er_str type) {
    return er_str_eqc(type, "ADDED")     ? ER_SIGHT_ADDED
           : er_str_eqc(type, "DELETED") ? ER_SIGHT_DELETED
                                         : ER_SIGHT_MODIFIED;
}

static looker *looker_of(object_memory *all, size_t *n, er_str uid) {
    for (size_t i = 0; i < *n; i++) {
        if (er_str_eqc(uid, all[i].uid)) {
            return &all[i].looker;
        }
    }
    assert_true(*n < 8);
    (void)snprintf(all[*n].uid, sizeof all[*n].uid, "%.*s", (int)uid.n, uid.p);
    looker_init(&all[*n].looker);
    all[*n].looker.options.form = ER_CHANGE_BOTH;
    return &all[(*n)++].looker;
}

/* Every frame, and every frame twice: what was seen makes no record. */
static void replay(er_buf *records, unsigned times) {
    object_memory all[8];
    size_t n = 0;
    char *text = read_file(GOLDEN "recordings/deployments.ndjson");
    er_json_doc doc;
    er_json_doc_init(&doc);
    for (char *line = text, *next; *line != '\0'; line = next) {
        next = strchr(line, '\n') + 1; /* every line has one */
        next[-1] = '\0';
        er_err err;
        assert_int_equal(er_json_parse(&doc, line, strlen(line), &err), ER_OK);
        const er_json *object = er_json_get(doc.root, "object");
        er_str type = er_json_get_str(doc.root, "type");
        for (unsigned i = 0; i < times && !er_str_eqc(type, "BOOKMARK"); i++) {
            looker *l = looker_of(all, &n, er_json_get_str(er_json_get(object, "metadata"), "uid"));
            if (i > 0 && er_str_eqc(type, "DELETED")) {
                break;
            }
            looker_look(l, sight_of(type), object);
            assert_int_equal(l->status, ER_OK);
            er_buf_put_str(records, er_buf_str(&l->records));
            er_buf_clear(&l->records);
            assert_null(memmem(l->memory.len > 0 ? l->memory.p : "", l->memory.len, "hunter2", 7));
        }
    }
    for (size_t i = 0; i < n; i++) {
        looker_fini(&all[i].looker);
    }
    er_json_doc_fini(&doc);
    free(text);
}

static void test_recording(void **state) {
    (void)state;
    er_buf once;
    er_buf twice;
    er_buf_init(&once, 64u << 20);
    er_buf_init(&twice, 64u << 20);
    replay(&once, 1);
    replay(&twice, 2);
    assert_golden(GOLDEN "records/deployments.ndjson", &once);
    assert_string_equal(er_buf_cstr(&twice), er_buf_cstr(&once));
    assert_null(strstr(er_buf_cstr(&once), "hunter2"));
    er_buf_fini(&once);
    er_buf_fini(&twice);
}

int main(void) {
    er_json_setup();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recording),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
