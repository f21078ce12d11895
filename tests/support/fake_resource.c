#include "fake_resource.h"

#include <string.h>

#define TIME "2026-01-02T03:04:05Z" /* tests want to know */

const fake_resource_info fake_resources[FAKE_RESOURCES] = {
    [FAKE_EVENTS] = {.plural = "events",
                     .full = "events",
                     .kind = "Event",
                     .a_kind = "an Event",
                     .group = "",
                     .api_version = "v1",
                     .root = "/api/v1",
                     .bookmark = "\"involvedObject\":{},\"source\":{},\"firstTimestamp\":null,"
                                 "\"lastTimestamp\":null,\"eventTime\":null,"
                                 "\"reportingComponent\":\"\",\"reportingInstance\":\"\"",
                     .unstored = "\"involvedObject\":{},\"type\":\"Normal\",\"reason\":"
                                 "\"Unstored\",\"message\":\""},
    [FAKE_DEPLOYMENTS] = {.plural = "deployments",
                          .full = "deployments.apps",
                          .kind = "Deployment",
                          .a_kind = "a Deployment",
                          .group = "apps",
                          .api_version = "apps/v1",
                          .root = "/apis/apps/v1",
                          .bookmark = "\"spec\":{\"replicas\":0,\"selector\":null,\"template\":{"
                                      "\"metadata\":{},\"spec\":{\"containers\":null}},"
                                      "\"strategy\":{}},\"status\":{}",
                          .unstored = "\"spec\":{},\"status\":{},\"message\":\""},
    [FAKE_PODS] = {.plural = "pods",
                   .full = "pods",
                   .kind = "Pod",
                   .a_kind = "a Pod",
                   .group = "",
                   .api_version = "v1",
                   .root = "/api/v1",
                   .bookmark = "\"spec\":{\"containers\":null},\"status\":{}",
                   .unstored = "\"spec\":{},\"status\":{},\"message\":\""},
};

fake_resource fake_resource_named(er_str plural) {
    int i = 0;
    while (i < FAKE_RESOURCES && !er_str_eqc(plural, fake_resources[i].plural)) {
        i++;
    }
    return (fake_resource)i;
}

fake_resource fake_resource_of_kind(er_str kind) {
    int i = 0;
    while (i < FAKE_RESOURCES && !er_str_eqc(kind, fake_resources[i].kind)) {
        i++;
    }
    return (fake_resource)i;
}

fake_resource fake_resource_of_path(er_str path, er_str *ns) {
    static const char namespaces[] = "/namespaces/";
    *ns = (er_str){0};
    const char *slash = path.n == 0 ? NULL : memrchr(path.p, '/', path.n);
    if (slash == NULL) {
        return FAKE_RESOURCES;
    }
    size_t n = (size_t)(slash - path.p);
    fake_resource resource = fake_resource_named((er_str){slash + 1, path.n - n - 1});
    if (resource == FAKE_RESOURCES || !er_str_starts(path, fake_resources[resource].root)) {
        return FAKE_RESOURCES;
    }
    size_t root = strlen(fake_resources[resource].root);
    er_str between = {path.p + root, n - root};
    if (between.n == 0) {
        return resource;
    }
    size_t skip = sizeof namespaces - 1;
    if (between.n <= skip || !er_str_starts(between, namespaces)) {
        return FAKE_RESOURCES;
    }
    er_str name = {between.p + skip, between.n - skip};
    if (memchr(name.p, '/', name.n) != NULL) {
        return FAKE_RESOURCES;
    }
    *ns = name;
    return resource;
}

/* ---- objects ---- */

static void put_metadata(er_buf *json, const char *ns, const char *name) {
    er_buf_putf(json,
                "{\"metadata\":{\"name\":%s,\"namespace\":%s,\"creationTimestamp\":\"" TIME "\"",
                name, ns);
}

static void put_event(er_buf *json, const char *ns, const char *object) {
    er_buf_putf(json,
                "},\"involvedObject\":{\"kind\":\"Pod\",\"namespace\":%s,\"name\":%s,\"uid\":"
                "\"22222222-0000-4000-8000-000000000001\",\"apiVersion\":\"v1\",\"fieldPath\":"
                "\"spec.containers{main}\"},\"reason\":\"BackOff\",\"message\":\"Back-off "
                "restarting failed container main\",\"source\":{\"component\":\"kubelet\",\"host\":"
                "\"node-1\"},\"firstTimestamp\":\"" TIME "\",\"lastTimestamp\":\"" TIME "\","
                "\"count\":1,\"type\":\"Warning\",\"eventTime\":null,\"reportingComponent\":"
                "\"kubelet\",\"reportingInstance\":\"node-1\"}",
                ns, object);
}

/* One whose rollout is complete. */
static void put_deployment(er_buf *json, const char *name) {
    er_buf_putf(json,
                ",\"generation\":1,\"labels\":{\"app\":%s}},\"spec\":{\"replicas\":1,\"selector\":{"
                "\"matchLabels\":{\"app\":%s}},\"template\":"
                "{\"metadata\":{\"labels\":{\"app\":%s}},\"spec\":{\"containers\":[{\"name\":"
                "\"main\",\"image\":\"registry.example/main:1\"}]}},\"progressDeadlineSeconds\":"
                "600},",
                name, name, name);
    er_buf_puts(json,
                "\"status\":{\"observedGeneration\":1,\"replicas\":1,\"updatedReplicas\":1,"
                "\"readyReplicas\":1,\"availableReplicas\":1,\"conditions\":[{\"type\":"
                "\"Progressing\",\"status\":\"True\",\"lastUpdateTime\":\"" TIME
                "\",\"lastTransitionTime\":\"" TIME "\",\"reason\":\"NewReplicaSetAvailable\","
                "\"message\":\"\"}]}}");
}

/* One that runs. */
static void put_pod(er_buf *json, const char *name) {
    er_buf_putf(json, ",\"labels\":{\"app\":%s}},", name);
    er_buf_puts(json,
                "\"spec\":{\"containers\":[{\"name\":\"main\",\"image\":"
                "\"registry.example/main:1\"}],\"restartPolicy\":\"Always\",\"nodeName\":"
                "\"node-1\"},\"status\":{\"phase\":\"Running\",\"startTime\":\"" TIME
                "\",\"containerStatuses\":[{\"name\":\"main\",\"state\":{\"running\":{"
                "\"startedAt\":\"" TIME "\"}},\"lastState\":{},\"ready\":true,\"restartCount\":0,"
                "\"image\":\"registry.example/main:1\",\"imageID\":\"\",\"containerID\":"
                "\"containerd://0\"}]}}");
}

void fake_resource_put(fake_resource resource, er_buf *json, const char *ns, const char *name,
                       const char *object) {
    put_metadata(json, ns, name);
    if (resource == FAKE_EVENTS) {
        put_event(json, ns, object);
    } else if (resource == FAKE_DEPLOYMENTS) {
        put_deployment(json, name);
    } else {
        put_pod(json, name);
    }
}
