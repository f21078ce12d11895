#include "state/state.h"

#define S(member) offsetof(er_state_settings, member)

const er_field er_state_rows[] = {
    {.key = "store",
     .type = ER_FIELD_ENUM,
     .offset = S(store),
     .choices = "auto|none|sqlite",
     .def = "auto",
     .help = "Where resume points are kept; auto: sqlite when path is set, else none."},
    {.key = "path",
     .type = ER_FIELD_STRING,
     .offset = S(path),
     .flags = ER_FIELD_DIRECTORY,
     .max = 4000,
     .help = "A directory of the router's own, made when missing; in Kubernetes on a volume that "
             "outlives the pod."},
    {.key = "interval",
     .type = ER_FIELD_DURATION,
     .offset = S(interval_ms),
     .def = "1s",
     .min = 10,
     .max = 60000,
     .help =
         "At most this often a resume point is written. What was settled since comes again after "
         "a crash."},
    {.key = NULL},
};

bool er_state_is_kept(const er_state_settings *settings) {
    return settings->store == ER_STATE_SQLITE ||
           (settings->store == ER_STATE_AUTO && settings->path[0] != '\0');
}

er_status er_state_check(const void *settings, er_err *err) {
    const er_state_settings *s = settings;
    if (s->store == ER_STATE_SQLITE && s->path[0] == '\0') {
        return er_err_set(err, ER_E_CONFIG, "store: sqlite needs path, a directory");
    }
    if (s->store == ER_STATE_NONE && s->path[0] != '\0') {
        return er_err_set(err, ER_E_CONFIG,
                          "store: none keeps nothing in path; remove one of them");
    }
    return ER_OK;
}
