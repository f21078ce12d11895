/* Names of streams and the like that are made from a record: "k8s:{kind}".
 *
 * In braces stands a field of the record: kind, cluster, namespace, severity, type or reason. Its
 * value is made harmless: what is not a letter, digit, ".", "_" or "-" becomes "_", 128 bytes of it
 * are kept, and an empty one is "_". Threads: pure. */
#ifndef ER_SINKS_NAME_TEMPLATE_H
#define ER_SINKS_NAME_TEMPLATE_H

#include "record/record.h"

#define ER_NAME_TEMPLATE_MAX 256  /* bytes of a template */
#define ER_NAME_MAX          8192 /* no name is longer */

/* For er_field.check: unknown fields, lone braces, blanks and control characters. */
er_status er_name_template_check(const char *text, er_err *err);

/* The same without type and reason, where each name costs much: an Event may say anything there. */
er_status er_name_template_check_few(const char *text, er_err *err);

/* Whether all records of one router have the same name: no field, or only its cluster. */
bool er_name_template_is_fixed(const char *text);

/* Appends the name of this record. text has passed the check. */
void er_name_template_put(const char *text, const er_record *rec, er_buf *out);

#endif
