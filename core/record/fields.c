#include "record/fields.h"

#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- where a value is ---- */

static bool is_plain_word(er_str s) {
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-')) {
            return false;
        }
    }
    return s.n > 0;
}

void er_steps_key(const er_step *item, const char *key, er_buf *out) {
    const er_json *node = er_json_get(item->item, key);
    int64_t n;
    if (er_json_int(node, &n)) {
        er_buf_putf(out, "%lld", (long long)n);
    } else if (node == NULL && strcmp(key, "protocol") == 0) {
        er_buf_puts(out, "TCP");
    } else {
        er_buf_put_str(out, er_json_str(node));
    }
}

static void path_item(const er_step *step, er_buf *out) {
    er_buf_putc(out, '[');
    for (size_t i = 0; step->keys[i] != NULL; i++) {
        er_buf_puts(out, i > 0 ? "," : "");
        er_buf_puts(out, step->keys[i]);
        er_buf_putc(out, '=');
        er_steps_key(step, step->keys[i], out);
    }
    er_buf_putc(out, ']');
}

void er_steps_path(er_steps steps, er_buf *out) {
    for (size_t i = 0; i < steps.n; i++) {
        const er_step *step = &steps.v[i];
        if (step->kind == ER_STEP_ITEM) {
            path_item(step, out);
        } else if (step->kind == ER_STEP_INDEX) {
            er_buf_putf(out, "[%zu]", step->index);
        } else if (is_plain_word(step->name)) {
            er_buf_puts(out, i > 0 ? "." : "");
            er_buf_put_str(out, step->name);
        } else {
            er_buf_putc(out, '[');
            er_buf_put_str(out, step->name);
            er_buf_putc(out, ']');
        }
    }
}

void er_steps_pointer(er_steps steps, er_buf *out) {
    for (size_t i = 0; i < steps.n; i++) {
        const er_step *step = &steps.v[i];
        er_buf_putc(out, '/');
        if (step->kind != ER_STEP_FIELD) {
            er_buf_put_u64(out, step->index);
            continue;
        }
        for (size_t k = 0; k < step->name.n; k++) {
            char c = step->name.p[k];
            if (c == '~' || c == '/') {
                er_buf_puts(out, c == '~' ? "~0" : "~1");
            } else {
                er_buf_putc(out, c);
            }
        }
    }
}

/* The nth FIELD from the inner end, from 0. */
static er_str field_at(er_steps steps, size_t nth) {
    for (size_t i = steps.n; i > 0; i--) {
        if (steps.v[i - 1].kind == ER_STEP_FIELD && nth-- == 0) {
            return steps.v[i - 1].name;
        }
    }
    return (er_str){0};
}

er_str er_steps_field(er_steps steps) {
    return field_at(steps, 0);
}

/* ---- lists ---- */

const char *const *er_fields_list_keys(er_str list) {
    static const char *const by_name[] = {"name", NULL};
    static const char *const by_port[] = {"containerPort", "protocol", NULL};
    static const char *const by_mount[] = {"mountPath", NULL};
    static const char *const by_device[] = {"devicePath", NULL};
    static const char *const by_ip[] = {"ip", NULL};
    static const char *const by_topology[] = {"topologyKey", "whenUnsatisfiable", NULL};
    static const struct {
        const char *list;
        const char *const *keys;
    } lists[] = {
        {"containers", by_name},
        {"initContainers", by_name},
        {"ephemeralContainers", by_name},
        {"env", by_name},
        {"volumes", by_name},
        {"imagePullSecrets", by_name},
        {"resourceClaims", by_name},
        {"claims", by_name},
        {"schedulingGates", by_name},
        {"ports", by_port},
        {"volumeMounts", by_mount},
        {"volumeDevices", by_device},
        {"hostAliases", by_ip},
        {"topologySpreadConstraints", by_topology},
    };
    for (size_t i = 0; i < COUNT(lists); i++) {
        if (er_str_eqc(list, lists[i].list)) {
            return lists[i].keys;
        }
    }
    return NULL;
}

static bool is_one_of(er_str s, const char *const *names, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (er_str_eqc(s, names[i])) {
            return true;
        }
    }
    return false;
}
#define IS_ONE_OF(s, ...)                                                                          \
    is_one_of((s), (const char *const[]){__VA_ARGS__}, COUNT(((const char *const[]){__VA_ARGS__})))

bool er_fields_is_ordered(er_str list) {
    return IS_ONE_OF(list, "env", "initContainers");
}

bool er_fields_is_map(er_str field) {
    return IS_ONE_OF(field, "labels", "annotations", "limits", "requests", "nodeSelector",
                     "matchLabels");
}

bool er_fields_is_quantity(er_steps steps) {
    return IS_ONE_OF(field_at(steps, 1), "limits", "requests", "overhead") ||
           IS_ONE_OF(field_at(steps, 0), "sizeLimit", "divisor");
}

/* ---- defaults ---- */

static const struct {
    const char *parent; /* NULL: any */
    const char *name;
    const char *text; /* NULL: the number */
    int number;
} defaults[] = {
    {"spec", "replicas", NULL, 1},
    {"spec", "minReadySeconds", NULL, 0},
    {"spec", "revisionHistoryLimit", NULL, 10},
    {"spec", "progressDeadlineSeconds", NULL, 600},
    {"strategy", "type", "RollingUpdate", 0},
    {"rollingUpdate", "maxSurge", "25%", 0},
    {"rollingUpdate", "maxUnavailable", "25%", 0},
    {"spec", "restartPolicy", "Always", 0},
    {"spec", "terminationGracePeriodSeconds", NULL, 30},
    {"spec", "dnsPolicy", "ClusterFirst", 0},
    {"spec", "schedulerName", "default-scheduler", 0},
    {NULL, "terminationMessagePath", "/dev/termination-log", 0},
    {NULL, "terminationMessagePolicy", "File", 0},
    {"ports", "protocol", "TCP", 0},
    {NULL, "timeoutSeconds", NULL, 1},
    {NULL, "periodSeconds", NULL, 10},
    {NULL, "successThreshold", NULL, 1},
    {NULL, "failureThreshold", NULL, 3},
    {NULL, "initialDelaySeconds", NULL, 0},
    {"httpGet", "scheme", "HTTP", 0},
    {"httpGet", "path", "/", 0},
    {"grpc", "service", "", 0},
    {"fieldRef", "apiVersion", "v1", 0},
    {"secret", "defaultMode", NULL, 420},
    {"configMap", "defaultMode", NULL, 420},
    {"projected", "defaultMode", NULL, 420},
    {"downwardAPI", "defaultMode", NULL, 420},
    {"hostPath", "type", "", 0},
    {"serviceAccountToken", "expirationSeconds", NULL, 3600},
    {"resourceFieldRef", "divisor", "0", 0},
};

/* Without a tag, or with the tag latest, an image is pulled always. */
static bool is_default_pull(er_str image, er_str policy) {
    const char *tag = NULL;
    bool has_digest = false;
    for (size_t i = 0; i < image.n; i++) {
        tag = image.p[i] == '/' ? NULL : image.p[i] == ':' ? image.p + i : tag;
        has_digest = has_digest || image.p[i] == '@';
    }
    er_str text = tag == NULL ? (er_str){0} : (er_str){tag, (size_t)(image.p + image.n - tag)};
    bool is_always = !has_digest && (text.n == 0 || er_str_eqc(text, ":latest"));
    return er_str_eqc(policy, is_always ? "Always" : "IfNotPresent");
}

static bool is_default(er_str parent, er_str name, const er_json *node) {
    if (er_json_is_object(node)) { /* empty ones that mean nothing, and of defaults alone */
        if (!er_fields_is_map(name) && !IS_ONE_OF(name, "metadata", "resources", "securityContext",
                                                  "strategy", "rollingUpdate", "affinity")) {
            return false;
        }
        for (const er_json *m = er_json_first(node); m != NULL; m = er_json_next(m)) {
            if (!is_default(name, er_json_key(m), m)) {
                return false;
            }
        }
        return true;
    }
    if (er_json_type_of(node) == ER_JSON_BOOL) {
        return !er_json_is_true(node) &&
               IS_ONE_OF(name, "paused", "hostNetwork", "hostPID", "hostIPC", "tty", "stdin",
                         "stdinOnce", "readOnly", "optional", "privileged",
                         "readOnlyRootFilesystem", "runAsNonRoot", "shareProcessNamespace",
                         "setHostnameAsFQDN");
    }
    for (size_t i = 0; i < COUNT(defaults); i++) {
        int64_t number;
        bool matches = defaults[i].text != NULL
                           ? er_json_type_of(node) == ER_JSON_STRING &&
                                 er_str_eqc(er_json_str(node), defaults[i].text)
                           : er_json_int(node, &number) && number == defaults[i].number;
        if (matches && er_str_eqc(name, defaults[i].name) &&
            (defaults[i].parent == NULL || er_str_eqc(parent, defaults[i].parent))) {
            return true;
        }
    }
    return false;
}

bool er_fields_is_default(er_steps steps, const er_json *node) {
    if (steps.n == 0 || steps.v[steps.n - 1].kind != ER_STEP_FIELD) {
        return false;
    }
    er_str name = field_at(steps, 0);
    if (er_str_eqc(name, "imagePullPolicy") && steps.n > 1) {
        return is_default_pull(er_json_get_str(steps.v[steps.n - 2].item, "image"),
                               er_json_str(node));
    }
    return is_default(field_at(steps, 1), name, node);
}

/* ---- families ---- */

#define NAME(id_, name_) name_,
static const char *const family_names[ER_FAMILIES_] = {ER_FAMILY_LIST(NAME)};
#undef NAME

const char *er_family_name(er_family family) {
    return family_names[family];
}

er_families er_family_of(er_str name) {
    for (unsigned i = 0; i < ER_FAMILIES_; i++) {
        if (er_str_eqc(name, family_names[i])) {
            return (er_families)1 << i;
        }
    }
    return 0;
}

void er_families_text(er_families families, er_buf *out) {
    const char *comma = "";
    for (unsigned i = 0; i < ER_FAMILIES_; i++) {
        if ((families >> i & 1) != 0) {
            er_buf_puts(out, comma);
            er_buf_puts(out, family_names[i]);
            comma = ",";
        }
    }
}

typedef struct row {
    const char *field;
    er_family family;
} row;

static er_family look_up(const row *rows, size_t n, er_str field) {
    for (size_t i = 0; i < n; i++) {
        if (er_str_eqc(field, rows[i].field)) {
            return rows[i].family;
        }
    }
    return ER_FAMILY_OTHER;
}

static er_family container_family(er_str field) {
    static const row rows[] = {
        {"image", ER_FAMILY_IMAGE},
        {"imagePullPolicy", ER_FAMILY_IMAGE},
        {"resources", ER_FAMILY_RESOURCES},
        {"resizePolicy", ER_FAMILY_RESOURCES},
        {"env", ER_FAMILY_ENV},
        {"envFrom", ER_FAMILY_ENV},
        {"volumeMounts", ER_FAMILY_VOLUMES},
        {"volumeDevices", ER_FAMILY_VOLUMES},
        {"livenessProbe", ER_FAMILY_PROBES},
        {"readinessProbe", ER_FAMILY_PROBES},
        {"startupProbe", ER_FAMILY_PROBES},
        {"command", ER_FAMILY_COMMAND},
        {"args", ER_FAMILY_COMMAND},
        {"workingDir", ER_FAMILY_COMMAND},
        {"ports", ER_FAMILY_PORTS},
        {"securityContext", ER_FAMILY_SECURITY_CONTEXT},
    };
    return look_up(rows, COUNT(rows), field);
}

static er_family pod_family(er_str field) {
    static const row rows[] = {
        {"volumes", ER_FAMILY_VOLUMES},
        {"resources", ER_FAMILY_RESOURCES},
        {"serviceAccountName", ER_FAMILY_SERVICE_ACCOUNT},
        {"serviceAccount", ER_FAMILY_SERVICE_ACCOUNT},
        {"automountServiceAccountToken", ER_FAMILY_SERVICE_ACCOUNT},
        {"securityContext", ER_FAMILY_SECURITY_CONTEXT},
        {"hostPID", ER_FAMILY_SECURITY_CONTEXT},
        {"hostIPC", ER_FAMILY_SECURITY_CONTEXT},
        {"hostNetwork", ER_FAMILY_SECURITY_CONTEXT},
        {"hostUsers", ER_FAMILY_SECURITY_CONTEXT},
        {"shareProcessNamespace", ER_FAMILY_SECURITY_CONTEXT},
        {"imagePullSecrets", ER_FAMILY_IMAGE},
        {"nodeSelector", ER_FAMILY_SCHEDULING},
        {"affinity", ER_FAMILY_SCHEDULING},
        {"tolerations", ER_FAMILY_SCHEDULING},
        {"topologySpreadConstraints", ER_FAMILY_SCHEDULING},
        {"schedulerName", ER_FAMILY_SCHEDULING},
        {"schedulingGates", ER_FAMILY_SCHEDULING},
        {"nodeName", ER_FAMILY_SCHEDULING},
        {"priorityClassName", ER_FAMILY_SCHEDULING},
        {"priority", ER_FAMILY_SCHEDULING},
        {"preemptionPolicy", ER_FAMILY_SCHEDULING},
        {"runtimeClassName", ER_FAMILY_SCHEDULING},
    };
    return look_up(rows, COUNT(rows), field);
}

static er_family top_family(er_str field) {
    static const row rows[] = {
        {"labels", ER_FAMILY_LABELS},
        {"annotations", ER_FAMILY_ANNOTATIONS},
        {"replicas", ER_FAMILY_REPLICAS},
        {"strategy", ER_FAMILY_STRATEGY},
        {"minReadySeconds", ER_FAMILY_STRATEGY},
        {"progressDeadlineSeconds", ER_FAMILY_STRATEGY},
        {"selector", ER_FAMILY_LABELS},
    };
    return look_up(rows, COUNT(rows), field);
}

static er_families container_families(const er_json *container) {
    er_families all = 0;
    for (const er_json *m = er_json_first(container); m != NULL; m = er_json_next(m)) {
        bool is_empty = er_json_is_object(m) && er_json_first(m) == NULL;
        er_family family = container_family(er_json_key(m));
        all |= family == ER_FAMILY_OTHER || is_empty ? 0 : (er_families)1 << family;
    }
    return all == 0 ? (er_families)1 << ER_FAMILY_OTHER : all;
}

static er_str name_at(er_steps steps, size_t i) {
    return i < steps.n ? steps.v[i].name : (er_str){0};
}

static bool is_in_template(er_steps steps) {
    return er_str_eqc(name_at(steps, 0), "spec") && er_str_eqc(name_at(steps, 1), "template");
}

er_families er_fields_families(er_steps steps, const er_json *node) {
    if (!is_in_template(steps)) { /* metadata.X and spec.X */
        return (er_families)1 << top_family(name_at(steps, 1));
    }
    if (!er_str_eqc(name_at(steps, 2), "spec")) { /* spec.template.metadata.X */
        return (er_families)1 << top_family(name_at(steps, 3));
    }
    if (!IS_ONE_OF(name_at(steps, 3), "containers", "initContainers", "ephemeralContainers")) {
        return (er_families)1 << pod_family(name_at(steps, 3));
    }
    if (steps.n > 5) {
        return (er_families)1 << container_family(name_at(steps, 5));
    }
    return steps.n == 5 ? container_families(node) : (er_families)1 << ER_FAMILY_OTHER;
}
