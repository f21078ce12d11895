/* record/input, record/read and app/explain: whatever is put before explain, what can be read in it
 * is found, reads back as it was written, and is answered in text that is fit for a terminal.
 *
 * Input: what stands in a file or comes through a pipe. */
#include "fuzz.h"

#include "app/explain.h"
#include "record/input.h"

#define OBSERVED      1767323060412345 /* 2026-01-02T03:04:20.412345Z */
#define PARAGRAPH_MAX (64u << 20)

static const char config_text[] =
    "routes:\n"
    "  - {name: noise, match: {type: Normal, reason: [Pulled, 're:^Created$']}, drop: true}\n"
    "  - {name: loud, match: {severity: [WARNING, ERROR], message: ['*', '!*quiet*'], count: 2},\n"
    "     sinks: [table, hook], final: true}\n"
    "  - {name: slow, match: {message: 're:(a+)+$', object: {kind: Pod}}, sinks: table}\n"
    "  - {name: rest, match: {kind: ['!notice'], namespace: ['!kube-*']}, sinks: hook}\n"
    "sinks:\n"
    "  table: {type: stdout, format: text}\n"
    "  hook: {type: webhook, url: 'http://h.test/x'}\n";

/* Made once: it is not changed by what is explained. */
static struct {
    er_app_config *config;
    er_route_table *table;
    er_explainer *explainer;
    er_route_scratch *scratch;
} app;

/* The last document of every input: it must be found, whatever stands before it. */
static const char beacon[] = "\n{\"metadata\":{\"uid\":\"beacon\",\"resourceVersion\":\"1\"}}\n";

typedef struct seen {
    const char *text; /* as it was before reading */
    size_t n, records;
    er_input_place last;
    bool beacon;
} seen;

static void check_place(seen *s, const er_input_place *place) {
    FUZZ_CHECK(place->document >= 1 && place->document >= s->last.document);
    FUZZ_CHECK(place->offset < s->n);
    FUZZ_CHECK(place->document == s->last.document || place->offset >= s->last.offset);
    size_t line = 1;
    for (size_t i = 0; i < place->offset; i++) {
        line += s->text[i] == '\n' ? 1 : 0;
    }
    FUZZ_CHECK(place->line == line);
    s->last = *place;
}

/* Its canonical JSON, read back and sealed, gives the same bytes. */
static void check_read_back(const er_record *rec) {
    er_buf once;
    er_buf copy;
    er_buf twice;
    er_json_doc doc;
    er_buf texts;
    er_draft draft;
    er_err err;
    er_buf_init(&texts, 64u << 20);
    er_buf_init(&once, 64u << 20);
    er_buf_init(&copy, 64u << 20);
    er_buf_init(&twice, 64u << 20);
    er_record_json(rec, &once);
    er_buf_put_str(&copy, er_buf_str(&once));
    fuzz_reparse(&doc, &copy);
    FUZZ_CHECK(er_draft_from_json(doc.root, &texts, &draft, &err) == ER_OK);
    er_record *again = er_record_seal(&draft.rec);
    FUZZ_CHECK(again != NULL);
    er_record_json(again, &twice);
    FUZZ_CHECK(er_str_eq(er_buf_str(&once), er_buf_str(&twice)));
    er_record_unref(again);
    er_json_doc_fini(&doc);
    er_buf_fini(&once);
    er_buf_fini(&copy);
    er_buf_fini(&twice);
    er_buf_fini(&texts);
}

/* The walk that says why gives what the walk of the router gives. */
static void check_routes(const er_record *rec) {
    er_route_step steps[8];
    FUZZ_CHECK(er_route_table_len(app.table) <= sizeof steps / sizeof steps[0]);
    er_route_result fast = er_route(app.table, rec, app.scratch);
    er_route_result slow = er_route_explain(app.table, rec, app.scratch, steps);
    FUZZ_CHECK(fast.sinks == slow.sinks && fast.dropped_by == slow.dropped_by &&
               fast.limit_hit == slow.limit_hit);
}

static bool on_draft(void *arg, const er_input_place *place, er_draft *draft) {
    seen *s = arg;
    check_place(s, place);
    if (draft->rec.cluster.n == 0) {
        draft->rec.cluster = ER_STR("fuzz");
    }
    s->beacon = er_str_eqc(draft->rec.id, "beacon-1");
    er_record *rec = er_record_seal(&draft->rec);
    FUZZ_CHECK(rec != NULL);
    s->records++;
    check_read_back(rec);
    check_routes(rec);
    er_buf out;
    er_buf_init(&out, PARAGRAPH_MAX);
    er_explain(app.explainer, rec, &out);
    FUZZ_CHECK(er_buf_status(&out) == ER_OK && out.len > 0);
    fuzz_check_printable(er_buf_str(&out));
    er_buf_fini(&out);
    er_record_unref(rec);
    return true;
}

static void on_other(void *arg, const er_input_place *place, const char *why) {
    check_place(arg, place);
    FUZZ_CHECK(why[0] != '\0');
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    er_json_setup();
    er_problems problems;
    er_problems_init(&problems, "fuzz.yaml");
    void *config = NULL;
    er_err err;
    FUZZ_CHECK(er_config_parse(config_text, strlen(config_text), &er_app_schema, &config,
                               &problems) == ER_OK);
    app.config = config;
    const er_cfg_variant *sinks = app.config->sinks.v;
    const er_cfg_text names[] = {sinks[0].name, sinks[1].name};
    FUZZ_CHECK(er_route_table_new(&app.config->routes, names, 2, &app.table, &problems) == ER_OK);
    FUZZ_CHECK(er_explainer_new(app.config, app.table, true, &problems, &app.explainer, &err) ==
               ER_OK);
    app.scratch = er_pattern_scratch_new();
    er_problems_fini(&problems);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    er_buf before;
    er_buf_init(&before, 64u << 20);
    er_buf_put(&before, data, size);
    er_buf_puts(&before, beacon);
    char *text = er_str_dup(er_buf_str(&before));
    seen s = {.text = before.p, .n = before.len};
    const er_input_handler handler = {&s, on_draft, on_other, on_other};
    er_input_read(text, before.len, OBSERVED, &handler);
    FUZZ_CHECK(s.records >= 1 && s.beacon);
    free(text);
    er_buf_fini(&before);
    return 0;
}
