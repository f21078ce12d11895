#include "sinks/registry.h"

#define ENTRY(name_) &(name_),
const er_sink_type *const er_sink_types[] = {ER_SINK_LIST(ENTRY) NULL};

bool er_sink_variant_at(size_t i, er_variant *out) {
    if (i >= sizeof er_sink_types / sizeof er_sink_types[0] - 1) {
        return false;
    }
    const er_sink_type *type = er_sink_types[i];
    *out = (er_variant){.name = type->name,
                        .summary = type->summary,
                        .rows = type->rows,
                        .size = type->config_size,
                        .check_struct = type->check,
                        .user = type};
    return true;
}
