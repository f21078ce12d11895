/* Selectors as the API server reads them, checked when the configuration is loaded: one that it
 * does not understand would be answered with 400, at every attempt.
 *
 * Label selectors are those of k8s.io/apimachinery/pkg/labels, field selectors those of
 * k8s.io/apimachinery/pkg/fields; https://kubernetes.io/docs/concepts/overview/working-with-objects
 * has both. An empty one selects everything. Errors: ER_E_CONFIG, with what was expected and found.
 * Thread: any. */
#ifndef ER_WATCH_SELECTOR_H
#define ER_WATCH_SELECTOR_H

#include "base/err.h"

/* team=payments,tier in (web, api),!canary */
er_status er_label_selector_check(const char *text, er_err *err);
/* type=Warning,involvedObject.kind!=Node; a comma, "=" or "\" in a value has a "\" before it. */
er_status er_field_selector_check(const char *text, er_err *err);
/* For the Events of core/v1, whose API server refuses other fields: an error's text is a warning.
 */
er_status er_event_fields_advise(const char *text, er_err *err);

#endif
