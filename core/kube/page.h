/* Splits the body of a list into its items, without parsing them: a page of a list may be
 * megabytes, and its items are parsed one by one.
 *
 * Threads: pure functions on the caller's page. */
#ifndef ER_KUBE_PAGE_H
#define ER_KUBE_PAGE_H

#include "kube/kube.h"

#define ER_KUBE_CONTINUE_MAX 16384u
#define ER_KUBE_PAGE_ITEMS   (1u << 18)
#define ER_KUBE_PAGE_DEPTH   4096u /* levels below an item; deeper is hostile */

/* Fills version, cont, items and n from body. Members come in any order; strings, escapes and
 * brackets are followed, the inside of items is not checked further. ER_E_INVAL: not a whole JSON
 * object, no valid metadata.resourceVersion, no items, too many, an item that is not an object, a
 * member twice. ER_E_NOMEM. */
er_status er_kube_page_scan(er_kube_page *page, er_err *err);

#endif
