/* Every kind of sink, and the same for the configuration's rows (`sinks:` is a map of variants).
 *
 * Threads: constants. */
#ifndef ER_SINKS_REGISTRY_H
#define ER_SINKS_REGISTRY_H

#include "sink/sink.h"

/* One line for each kind: the name of its er_sink_type. */
#define ER_SINK_LIST(X)                                                                            \
    X(er_cloud_logging_sink)                                                                       \
    X(er_elasticsearch_sink)                                                                       \
    X(er_file_sink)                                                                                \
    X(er_kafka_sink)                                                                               \
    X(er_redis_sink)                                                                               \
    X(er_stdout_sink)                                                                              \
    X(er_webhook_sink)

#define ER_SINK_DECLARE(name_) extern const er_sink_type name_;
ER_SINK_LIST(ER_SINK_DECLARE)
#undef ER_SINK_DECLARE

/* For the row of `sinks:` (er_field.variant_at); user is the er_sink_type. */
bool er_sink_variant_at(size_t i, er_variant *out);

/* Finds sinks that would get into each other's way (er_sink_type.exclusive), and warns of
 * credentials that HTTP sinks would send in clear. sinks: a list of
 * er_cfg_variant, also of a file that has problems. Errors: ER_E_CONFIG, said in problems. */
er_status er_sinks_check(const er_cfg_list *sinks, er_problems *problems);

#endif
