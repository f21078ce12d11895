/* Patterns: exact text, a glob (* and ?), or "re:" with a PCRE2 expression that searches the value.
 *
 * Case counts; exact and glob cover the whole value, a glob's ? is one character (UTF-8). Compiled
 * at load; a regular expression has a match limit, and hitting it is an answer of its own. Threads:
 * a compiled pattern is immutable; a scratch belongs to one thread. */
#ifndef ER_ROUTE_PATTERN_H
#define ER_ROUTE_PATTERN_H

#include "base/err.h"
#include "base/str.h"

typedef enum er_match { ER_MATCH_NO, ER_MATCH_YES, ER_MATCH_LIMIT } er_match;

typedef struct er_pattern er_pattern;
typedef struct er_pattern_scratch er_pattern_scratch;

#define ER_PATTERN_MAX         4096   /* bytes of one pattern */
#define ER_PATTERN_MATCH_LIMIT 100000 /* backtracking steps of PCRE2; some ms at the most */

/* text: without the "!" of a negated list item. Errors: ER_E_CONFIG with the offset of the fault.
 */
er_status er_pattern_new(er_str text, er_pattern **out, er_err *err);
void er_pattern_free(er_pattern *pattern);
er_str er_pattern_text(const er_pattern *pattern); /* as given to er_pattern_new */
er_match er_pattern_match(const er_pattern *pattern, er_str value, er_pattern_scratch *scratch);

er_pattern_scratch *er_pattern_scratch_new(void);
void er_pattern_scratch_free(er_pattern_scratch *scratch);

/* For er_field.check: one item of a match list, with or without "!". */
er_status er_pattern_check(const char *text, er_err *err);

#endif
