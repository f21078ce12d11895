/* Quantities of Kubernetes by value. Source: Kubernetes API reference, Quantity.
 * Threads: pure. */
#ifndef ER_RECORD_QUANTITY_H
#define ER_RECORD_QUANTITY_H

#include "base/str.h"

/* "0.5" and "500m", "1Gi" and "1024Mi". False also when one is no quantity, or is one of more than
 * 18 digits or beyond 10^9 Ei. */
bool er_quantity_equal(er_str a, er_str b);

#endif
