#include "app/rbac.h"

#include "base/json_write.h"

static void put_rules(const er_watch_settings *settings, er_buf *out) {
    er_buf_puts(out, "rules:\n");
    for (size_t i = 0; er_resources[i] != NULL; i++) {
        if (er_resources[i]->is_enabled(settings)) {
            er_buf_putf(out,
                        "  - apiGroups: [\"%s\"]\n"
                        "    resources: [%s]\n"
                        "    verbs: [list, watch]\n",
                        er_resources[i]->group, er_resources[i]->name);
        }
    }
}

/* name_space: NULL for a ClusterRole. prefix: of each line. Names of namespaces may be words that
 * YAML takes for something else, such as null and 007. */
static void put_head(const char *name, const char *name_space, const char *prefix, er_buf *out) {
    er_buf_putf(out,
                "%sapiVersion: rbac.authorization.k8s.io/v1\n"
                "%skind: %s\n"
                "%smetadata:\n"
                "%s  name: %s\n",
                prefix, prefix, name_space == NULL ? "ClusterRole" : "Role", prefix, prefix, name);
    if (name_space != NULL) {
        er_buf_putf(out, "%s  namespace: ", prefix);
        er_json_quote(out, er_str_of(name_space));
        er_buf_putc(out, '\n');
    }
}

/* Commented out, each line behind before. */
static void put_cluster_id_rule(const char *before, er_buf *out) {
    static const char *const lines[] = {"- apiGroups: [\"\"]", "  resources: [namespaces]",
                                        "  resourceNames: [kube-system]", "  verbs: [get]"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        er_buf_putf(out, "%s%s\n", before, lines[i]);
    }
}

static void put_why(const char *before, er_buf *out) {
    er_buf_putf(out,
                "%sWelcome, not needed: the uid of namespace kube-system tells this cluster from "
                "others,\n%salso when its address or CA changes.\n",
                before, before);
}

void er_rbac_print(const er_app_config *config, er_buf *out) {
    const er_cfg_strings *namespaces = &config->kubernetes.namespaces;
    if (namespaces->n == 0) {
        put_head("eventrouter", NULL, "", out);
        put_rules(&config->watch, out);
        put_why("  # ", out);
        put_cluster_id_rule("  # ", out);
        return;
    }
    for (size_t i = 0; i < namespaces->n; i++) {
        er_buf_puts(out, i > 0 ? "---\n" : "");
        put_head("eventrouter", namespaces->v[i].s, "", out);
        put_rules(&config->watch, out);
    }
    put_why("# ", out);
    er_buf_puts(out, "# ---\n");
    put_head("eventrouter-cluster-id", "kube-system", "# ", out);
    er_buf_puts(out, "# rules:\n");
    put_cluster_id_rule("#   ", out);
}
