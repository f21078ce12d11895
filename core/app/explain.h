/* What becomes of one record, as text for people: which routes take it and why not, which sinks get
 * it, and what each would send.
 *
 * Nothing here touches the network. Texts of the record are escaped, so that they cannot move the
 * cursor or pretend to be lines of their own. Threads: main. */
#ifndef ER_APP_EXPLAIN_H
#define ER_APP_EXPLAIN_H

#include "app/app.h"

typedef struct er_explainer er_explainer;

/* Borrows configuration and table. with_payload: the sinks are created, for previews only; what
 * hinders one goes to problems as a warning. Errors: ER_E_IO. */
er_status er_explainer_new(const er_app_config *config, const er_route_table *table,
                           bool with_payload, er_problems *problems, er_explainer **out,
                           er_err *err);
void er_explainer_free(er_explainer *x);

/* Appends a paragraph and an empty line. Errors: those of out, also when what one record would send
 * is too much for it. */
void er_explain(er_explainer *x, er_record *rec, er_buf *out);

#endif
