/* Who wrote a field: metadata.managedFields of an object.
 *
 * A manager is a program, not a person. Source: Kubernetes API reference, ManagedFieldsEntry and
 * FieldsV1 (KEP-555). Threads: pure. */
#ifndef ER_RECORD_OWNER_H
#define ER_RECORD_OWNER_H

#include "base/clock.h"
#include "record/fields.h"

typedef struct er_owner {
    er_str manager, operation, subresource; /* borrow from the object */
    er_time time; /* ER_TIME_NONE: none, as those of the scale subresource have */
    bool known;   /* false: no owner */
} er_owner;
#define ER_OWNER_NONE ((er_owner){.time = ER_TIME_NONE})

/* Replaces *newest by the newest entry that owns the value at steps, if that is newer; an entry
 * without a time is older than those with one. */
void er_owner_find(const er_json *object, er_steps steps, er_owner *newest);

/* The newest entry of them all but those of the status. */
er_owner er_owner_newest(const er_json *object);

/* Of an owner of spec.replicas: an autoscaler, told from the tools of people by its name. */
bool er_owner_is_autoscaler(const er_owner *owner);

#endif
