"""What kubectl, an autoscaler, controllers and kubelets write, and exactly the records it makes.

kwok plays the node: pods run as soon as they are scheduled, and crash when a label says so."""
import json
import os
import re
import time

import pytest

import programs

SECRET = "planted-5d41402a"

CONFIG = """
cluster: e2e
log: {{level: debug, format: json}}
admin: {{listen: "127.0.0.1:0"}}
kubernetes: {{kubeconfig: "{kubeconfig}", namespaces: [{namespace}]}}
watch:
  timeout: 4s
  idleTimeout: 6s
  backoff: {{initial: 50ms, max: 1s}}
  events: {{enabled: false}}
  deployments: {{enabled: true, diff: both}}
  pods: {{enabled: true}}
state: {state}
sinks: {sinks}
"""

RULES = [{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list", "watch"]},
         {"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]


@pytest.fixture(scope="module")
def kwok(cluster):
    cluster.admin.insist("POST", "/api/v1/nodes", {
        "metadata": {"name": "kwok-1", "annotations": {"kwok.x-k8s.io/node": "fake"}}})
    cluster.run("start", cluster.folder, "kwok")
    cluster.account = cluster.service_account("router", RULES)
    return cluster


class Namespace:
    """A namespace of the cluster, and the records that a router wrote of it to a file."""

    def __init__(self, cluster, name, folder, start_router):
        self.cluster, self.api, self.name, self.folder = cluster, cluster.admin, name, folder
        self.start_router, self.routers = start_router, []
        self.api.insist("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        while self.api.request("GET", f"/api/v1/namespaces/{name}/serviceaccounts/default")[0] != 200:
            time.sleep(0.05)  # without it no pod is admitted

    def start(self, output="out", state=None, **sinks):
        """A router; each output has a log of its own, and is written on."""
        folder = self.folder / f"router-{len(self.routers)}"
        folder.mkdir()
        sinks = {"out": {"type": "file", "path": str(self.folder / output)}, **sinks}
        state = state or {"path": str(self.folder / f"{output}.state"), "interval": "100ms"}
        router = self.start_router(CONFIG.format(
            kubeconfig=self.cluster.account, namespace=self.name, state=json.dumps(state),
            sinks=json.dumps(sinks)), folder)
        self.routers.append(router)
        router.wait_ready()
        return router

    def kubectl(self, *arguments, stdin=""):
        return self.cluster.kubectl("-n", self.name, *arguments, stdin=stdin)

    def apply(self, manifest):
        self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))

    def patch(self, manifest, patch):
        self.kubectl("patch", "deployment", manifest, "-p", json.dumps(patch))

    def path(self, resource, name=""):
        group = "apis/apps/v1" if resource == "deployments" else "api/v1"
        return f"/{group}/namespaces/{self.name}/{resource}/{name}".rstrip("/")

    def records(self, output="out"):
        if not (self.folder / output).exists():
            return []
        text = (self.folder / output).read_text("utf-8")
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def wait(self, n, output="out", limit=30):
        """All records, as soon as there are n."""
        end = time.monotonic() + limit
        while len(found := self.records(output)) < n:
            assert time.monotonic() < end, (n, [r.get("message") for r in found], self.routers[-1].tail())
            time.sleep(0.02)
        return found


@pytest.fixture
def namespace(kwok, tmp_path, request):
    started = []

    def start(config, folder):
        started.append(programs.Router(folder, config))
        return started[-1]

    yield Namespace(kwok, request.node.name.replace("_", "-")[:40], tmp_path, start)
    for router in started:
        router.kill()


def deployment(name, **spec):
    """A manifest full of secrets: in env, an argument and an annotation, and so in what apply notes."""
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "annotations": {"example.com/api-token": f"{SECRET}-a"}},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": name}}, **spec, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"terminationGracePeriodSeconds": 0,
                     "volumes": [{"name": "tmp", "emptyDir": {}}],
                     "containers": [{
                         "name": "web", "image": "nginx:1.25", "args": [f"--password={SECRET}-b"],
                         "env": [{"name": "DB_PASSWORD", "value": f"{SECRET}-c"},
                                 {"name": "MODE", "value": f"{SECRET}-d"}],
                         "readinessProbe": {"httpGet": {"path": "/ready", "port": 80}}}]}}}}


TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def change(reason, message, fields=None, generation=(None, None), manager=None, subresource=None,
           operation="updated"):
    old, new = generation
    return {"kind": "change", "reason": reason, "message": message, "operation": operation,
            "fields": fields, "generation": {k: v for k, v in (("old", old), ("new", new)) if v},
            "manager": manager, "subresource": subresource}


def rollout(state):
    return {"kind": "rollout", "state": state}


def short(record):
    """What is compared with the two above."""
    if record["kind"] == "rollout":
        return rollout(record["rollout"]["state"])
    part = record["change"]
    actor = part.get("actor", {})
    assert actor.get("operation") == ("Update" if actor else None)
    if "time" in actor:
        assert (record["time"], record["timeSource"]) == (actor["time"], "managedFields.time")
    return {"kind": "change", "reason": record["reason"],
            "message": TIME.sub("TIME", record["message"]), "operation": part["operation"],
            "fields": part.get("fields"), "generation": part.get("generation"),
            "manager": actor.get("manager"), "subresource": actor.get("subresource")}


ROLLED = [rollout("started"), rollout("complete")]


class Play:
    """One step after the other, each with all the records that it makes."""

    def __init__(self, namespace):
        self.namespace, self.seen, self.changes = namespace, 0, {}

    def expect(self, *expected, rolls=None):
        """rolls: the message of the change that the rollouts carry out; else this step's."""
        found = self.namespace.wait(self.seen + len(expected))[self.seen:]
        self.seen += len(found)
        assert [short(record) for record in found] == list(expected)
        for record in found:
            assert record["object"]["namespace"] == self.namespace.name
            if record["kind"] == "change":
                last = self.changes[record["message"]] = record
            else:
                last = self.changes[rolls] if rolls else last
                assert record["rollout"]["changeId"] == last["id"], record
                assert record["rollout"].get("duration", 0) <= 10
                if last["timeSource"] == "managedFields.time":
                    assert record["time"][:19] >= last["time"][:19], record
        return found

    def status_update(self, name):
        self.namespace.api.insist("PATCH", self.namespace.path("deployments", name) + "/status", {
            "status": {"conditions": [{"type": "Test", "status": "True", "reason": "Why"}]}},
            "application/strategic-merge-patch+json")

    def autoscale(self, name, replicas):
        """As the horizontal pod autoscaler does."""
        path = self.namespace.path("deployments", name) + "/scale"
        scale = self.namespace.api.insist("GET", path)
        del scale["metadata"]["resourceVersion"]  # whatever the controller writes meanwhile
        scale["spec"]["replicas"] = replicas
        self.namespace.api.insist("PUT", f"{path}?fieldManager=kube-controller-manager", scale)


def no_secret(namespace, receiver, output="out"):
    """It is in nothing that the routers wrote."""
    texts = {"webhook": json.dumps(receiver.records).encode()}
    texts["metrics"] = namespace.routers[-1].get("/metrics")[1].encode()
    for folder, _, names in os.walk(namespace.folder):
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                texts[name] = file.read()
    assert {output, "state.db", "eventrouter.log"} <= texts.keys() and len(texts["webhook"]) > 1000
    for name, text in texts.items():
        assert SECRET.encode() not in text, name


def test_commands(namespace, receiver):
    namespace.start(hook={"type": "webhook", "url": receiver.url})
    play = Play(namespace)
    kubectl = namespace.kubectl
    web = deployment("web")

    namespace.apply(web)
    play.expect(change("Created", "created: replicas 2; image web: nginx:1.25", None, (None, 1),
                       "kubectl-client-side-apply", operation="created"), *ROLLED)
    namespace.apply(web)
    play.status_update("web")
    kubectl("set", "image", "deployment/web", "web=nginx:1.27")
    play.expect(change("ImageChanged", "image web: nginx:1.25 → nginx:1.27", ["image"], (1, 2),
                       "kubectl-set"), *ROLLED)
    kubectl("rollout", "undo", "deployment/web")
    play.expect(change("ImageChanged", "image web: nginx:1.27 → nginx:1.25", ["image"], (2, 3),
                       "kubectl"), *ROLLED)
    kubectl("scale", "deployment/web", "--replicas=3")
    scaled, = play.expect(change("Scaled", "replicas 2 → 3", ["replicas"], (3, 4), "kubectl", "scale"))
    assert "autoscaler" not in scaled["change"]["actor"]
    play.autoscale("web", 4)
    scaled, = play.expect(change("Scaled", "replicas 3 → 4", ["replicas"], (4, 5),
                                 "kube-controller-manager", "scale"))
    assert scaled["change"]["actor"]["autoscaler"]
    assert scaled["change"]["replicas"] == {"old": 3, "new": 4}
    kubectl("set", "env", "deployment/web", f"MODE={SECRET}-e")
    play.expect(change("Updated", "env web MODE changed", ["env"], (5, 6), "kubectl-set"), *ROLLED)
    kubectl("set", "resources", "deployment/web", "--limits=cpu=200m,memory=64Mi")
    play.expect(change("Updated", "resources.limits.cpu web added: 200m; resources.limits.memory web "
                       "added: 64Mi", ["resources"], (6, 7), "kubectl-set"), *ROLLED)
    kubectl("rollout", "restart", "deployment/web")
    play.expect(change("Restarted", "template annotation kubectl.kubernetes.io/restartedAt added: TIME",
                       ["annotations"], (7, 8), "kubectl-rollout"), *ROLLED)
    kubectl("rollout", "undo", "deployment/web")  # removes; so no entry of managedFields tells who
    play.expect(change("Restarted", "template annotation kubectl.kubernetes.io/restartedAt removed",
                       ["annotations"], (8, 9)), *ROLLED)
    kubectl("rollout", "pause", "deployment/web")
    play.expect(change("Paused", "paused added: true", ["other"], (9, 10), "kubectl-rollout"),
                rollout("paused"), rolls="template annotation kubectl.kubernetes.io/restartedAt removed")
    kubectl("set", "image", "deployment/web", "web=nginx:1.28")
    play.expect(change("ImageChanged", "image web: nginx:1.25 → nginx:1.28", ["image"], (10, 11),
                       "kubectl-set"))
    kubectl("rollout", "resume", "deployment/web")
    play.expect(change("Resumed", "paused removed", ["other"], (11, 12)), *ROLLED,
                rolls="image web: nginx:1.25 → nginx:1.28")
    namespace.patch("web", {"spec": {"template": {"spec": {"volumes": [
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Mi"}}]}}}})
    play.expect(change("Updated", "volumes[name=tmp].emptyDir.sizeLimit added: 1Mi", ["volumes"],
                       (12, 13), "kubectl-patch"), *ROLLED)
    namespace.patch("web", {"spec": {"template": {"spec": {"containers": [
        {"name": "web", "readinessProbe": {"periodSeconds": 5}}]}}}})
    play.expect(change("Updated", "readinessProbe.periodSeconds web: 10 → 5", ["probes"], (13, 14),
                       "kubectl-patch"), *ROLLED)
    kubectl("annotate", "deployment/web", "note=hello", "kubernetes.io/change-cause=because")
    noted, = play.expect(change("Updated", "annotation kubernetes.io/change-cause added: because; "
                                "annotation note added: hello", ["annotations"], (14, 15),
                                "kubectl-annotate"))
    assert noted["change"]["cause"] == "because"
    kubectl("label", "deployment/web", "tier=front")
    labelled, = play.expect(change("Updated", "label tier added: front", ["labels"], (15, 15),
                                   "kubectl-label"))
    assert labelled["change"]["patch"] == [
        {"op": "add", "path": "/metadata/labels", "value": {"tier": "front"}}]
    kubectl("label", "--overwrite", "deployment/web", "tier=front")
    kubectl("delete", "deployment", "web")
    play.expect(change("Deleted", "deleted: replicas 4", None, (15, None), operation="deleted"))
    namespace.apply(web)
    play.expect(change("Created", "created: replicas 2; image web: nginx:1.25", None, (None, 1),
                       "kubectl-client-side-apply", operation="created"), *ROLLED)
    namespace.patch("web", {"spec": {"progressDeadlineSeconds": 1, "template": {"spec": {
        "nodeSelector": {"no": "node"}}}}})  # no pod of it can run
    *_, stuck = play.expect(
        change("Updated", "nodeSelector.no added: node; progressDeadlineSeconds: 600 → 1",
               ["strategy", "scheduling"], (1, 2), "kubectl-patch"), rollout("started"), rollout("stuck"))
    assert (stuck["severity"], stuck["type"], stuck["rollout"]["reason"]) == (
        "ERROR", "Warning", "ProgressDeadlineExceeded")
    assert stuck["rollout"]["message"].endswith("has timed out progressing.")
    kubectl("rollout", "undo", "deployment/web")
    play.expect(change("Updated", "nodeSelector.no removed", ["scheduling"], (2, 3)), *ROLLED)
    kubectl("label", "deployment/web", "last=one")
    play.expect(change("Updated", "label last added: one", ["labels"], (3, 3), "kubectl-label"))

    assert not receiver.wait_for([r["id"] for r in namespace.records()], 20)
    assert {r["id"]: r for r in receiver.records} == {r["id"]: r for r in namespace.records()}
    no_secret(namespace, receiver)
    assert namespace.routers[-1].stop() == 0
    namespace.routers[-1].ledger()


# ---- restarts

def pod(name, labels=None, annotations=None, **spec):
    return {"metadata": {"name": name, "labels": labels or {}, "annotations": annotations or {}},
            "spec": {"nodeName": "kwok-1", "terminationGracePeriodSeconds": 0, "containers": [
                {"name": "main", "image": "app:1", "env": [{"name": "A", "value": SECRET}]}], **spec}}


def status(name, image, count, code, reason):
    return {"name": name, "image": image, "imageID": "", "ready": True, "restartCount": count,
            "state": {"running": {"startedAt": "2026-01-02T03:05:01Z"}},
            "lastState": {"terminated": {
                "exitCode": code, "reason": reason, "startedAt": "2026-01-02T03:04:00Z",
                "finishedAt": "2026-01-02T03:05:00Z", "containerID": f"x://{name}-{count}"}}}


def wait_running(namespace, *names):
    for name in names:
        while True:
            found = namespace.api.insist("GET", namespace.path("pods", name))["status"]
            if found.get("phase") == "Running" and found.get("containerStatuses"):
                break
            time.sleep(0.05)


def write_status(namespace, name, **body):
    namespace.api.insist("PATCH", namespace.path("pods", name) + "/status", {"status": body},
                         "application/strategic-merge-patch+json")


CRASH = {"realk8s/fate": "crash"}
ONCE = {"realk8s/run-for": "200ms", "realk8s/backoff-for": "600s"}  # crashes twice, starts again once


def restart(container, kind, count, reason, code, delta=1, **more):
    return {"container": container, "containerType": kind, "count": count, "delta": delta,
            "detailsMissing": delta - 1, "reason": reason, "exitCode": code, "node": "kwok-1", **more}


def short_restart(record):
    part = dict(record["restart"])
    assert part.pop("owner", {"kind": "Deployment"})["kind"] == "Deployment"
    for key in ("startedAt", "finishedAt"):
        part.pop(key, None)
    return part


def test_restarts(namespace, receiver):
    namespace.start(hook={"type": "webhook", "url": receiver.url})
    pods = namespace.path("pods")
    namespace.api.insist("POST", pods, pod("killed", CRASH, ONCE))
    found = namespace.wait(1)
    namespace.api.insist("POST", pods, pod(
        "failed", CRASH, {**ONCE, "realk8s/reason": "Error", "realk8s/exit-code": "1"}))
    found = namespace.wait(2)
    assert [(r["object"]["name"], short_restart(r)) for r in found] == [
        ("killed", restart("main", "container", 1, "OOMKilled", 137, image="app:1")),
        ("failed", restart("main", "container", 1, "Error", 1, image="app:1"))]
    namespace.kubectl("delete", "pod", "killed", "failed")  # in their back-off: nothing to tell

    namespace.api.insist("POST", pods, pod("many", initContainers=[
        {"name": "prepare", "image": "init:1"},
        {"name": "mesh", "image": "mesh:1", "restartPolicy": "Always"}]))
    wait_running(namespace, "many")
    write_status(namespace, "many", containerStatuses=[status("main", "app:1", 3, 1, "Error")])
    write_status(namespace, "many", conditions=[{"type": "Ready", "status": "False"}])
    write_status(namespace, "many", initContainerStatuses=[
        status("prepare", "init:1", 1, 2, "Error"), status("mesh", "mesh:1", 1, 137, "OOMKilled")])
    write_status(namespace, "many", phase="Failed", reason="Evicted",
                 message="The node was low on resource: memory.")
    found = namespace.wait(6)
    assert [short_restart(r) for r in found[2:]] == [
        restart("main", "container", 3, "Error", 1, delta=3, image="app:1"),
        restart("prepare", "init", 1, "Error", 2, image="init:1"),
        restart("mesh", "sidecar", 1, "OOMKilled", 137, image="mesh:1"),
        {"reason": "Evicted", "node": "kwok-1"}]
    assert (found[2]["restart"]["startedAt"], found[2]["restart"]["finishedAt"]) == (
        "2026-01-02T03:04:00Z", "2026-01-02T03:05:00Z")
    assert found[5]["message"] == "The node was low on resource: memory."

    web = deployment("web", replicas=1)  # a pod with owners, ReplicaSet and Deployment
    web["spec"]["template"]["metadata"].update(labels={"app": "web", **CRASH}, annotations=ONCE)
    namespace.apply(web)
    end = time.monotonic() + 30
    while not (owned := [r for r in namespace.records()[6:] if r["kind"] == "restart"]):
        assert time.monotonic() < end, namespace.records()[6:]
        time.sleep(0.02)
    assert [short_restart(r) for r in owned] == [
        restart("web", "container", 1, "OOMKilled", 137, image="nginx:1.25")]
    owner = owned[0]["restart"]["owner"]
    assert (owner["kind"], owner["name"], owner["derived"]) == ("Deployment", "web", True)
    namespace.kubectl("delete", "deployment", "web")
    end = time.monotonic() + 30
    while namespace.records()[-1]["reason"] != "Deleted":
        assert time.monotonic() < end, namespace.records()[6:]
        time.sleep(0.02)
    found = namespace.records()
    assert sum(r["kind"] == "restart" for r in found) == 7
    assert not receiver.wait_for([r["id"] for r in found], 20)
    no_secret(namespace, receiver)
    assert namespace.routers[-1].stop() == 0
    namespace.routers[-1].ledger()


# ---- away

def test_away(namespace, receiver):
    """Five Deployments change while nobody looks, one goes, one comes again, a container restarts; the
    API server starts again, so that a watch cannot go on: only a list tells."""
    names = ["image", "scaled", "env", "label", "twice", "gone", "again"]
    for name in names:
        namespace.apply(deployment(name, replicas=1))
    namespace.api.insist("POST", namespace.path("pods"), pod("restarts"))
    wait_running(namespace, "restarts")
    for name in names:
        namespace.kubectl("rollout", "status", "deployment", name)
    kept = namespace.start("kept", hook={"type": "webhook", "url": receiver.url})
    bare = namespace.start("bare", state={"store": "none"})
    namespace.kubectl("label", "deployment", "label", "seen=1")
    assert namespace.wait(1, "kept") and namespace.wait(1, "bare")  # nothing of what was there before
    uids = {name: namespace.api.insist("GET", namespace.path("deployments", name))["metadata"]["uid"]
            for name in names}
    assert kept.stop() == bare.stop() == 0

    kubectl = namespace.kubectl
    kubectl("set", "image", "deployment/image", "web=nginx:1.27")
    kubectl("scale", "deployment/scaled", "--replicas=3")
    kubectl("set", "env", "deployment/env", f"MODE={SECRET}-f")
    kubectl("label", "deployment", "label", "tier=front")
    kubectl("set", "image", "deployment/twice", "web=nginx:1.26")
    kubectl("set", "image", "deployment/twice", "web=nginx:1.28")
    kubectl("delete", "deployment", "gone", "again")
    namespace.apply(deployment("again", replicas=2))
    write_status(namespace, "restarts", containerStatuses=[status("main", "app:1", 2, 1, "Error")])
    for name in set(names) - {"gone"}:
        kubectl("rollout", "status", "deployment", name)
    namespace.cluster.restart_apiserver()

    kept = namespace.start("kept", hook={"type": "webhook", "url": receiver.url})
    bare = namespace.start("bare", state={"store": "none"})
    kubectl("label", "deployment", "label", "last=1")
    found = namespace.wait(21, "kept")[1:]
    assert [r["message"] for r in namespace.wait(2, "bare")[1:]] == ["label last added: 1"]
    told = {name: [] for name in names}
    gaps, restarts = [], []
    for record in found:
        if record["kind"] == "gap":
            gaps.append((record["gap"]["stream"].split("/")[0], record["gap"]["cause"]))
        elif record["kind"] == "restart":
            restarts.append(short_restart(record))
        else:
            assert record.get("recovered") or "last" in record["message"], record
            told[record["object"]["name"]].append(short(record))
            if record["reason"] == "Deleted":
                assert record["object"]["uid"] == uids[record["object"]["name"]]
                assert re.fullmatch(uids[record["object"]["name"]] + r"-\d+-gone", record["id"])
    again = told.pop("again")
    deleted = change("Deleted", "deleted: replicas 1; found missing from a list", None, (1, None),
                     operation="deleted")
    created = change("Created", "created: replicas 2; image web: nginx:1.25", None, (None, 1),
                     "kubectl-client-side-apply", operation="created")
    assert sorted(map(json.dumps, again)) == sorted(map(json.dumps, [deleted, created, *ROLLED]))
    assert told == {
        "image": [change("ImageChanged", "image web: nginx:1.25 → nginx:1.27", ["image"], (1, 2),
                         "kubectl-set"), *ROLLED],
        "scaled": [change("Scaled", "replicas 1 → 3", ["replicas"], (1, 2), "kubectl", "scale")],
        "env": [change("Updated", "env web MODE changed", ["env"], (1, 2), "kubectl-set"), *ROLLED],
        "label": [change("Updated", "label tier added: front", ["labels"], (1, 1), "kubectl-label"),
                  change("Updated", "label last added: 1", ["labels"], (1, 1), "kubectl-label")],
        "twice": [change("ImageChanged", "image web: nginx:1.25 → nginx:1.28", ["image"], (1, 3),
                         "kubectl-set"), *ROLLED],
        "gone": [deleted]}
    assert sorted(gaps) == [("deployments", "expired"), ("pods", "expired")]
    assert restarts == [restart("main", "container", 2, "Error", 1, delta=2, image="app:1")]
    assert not receiver.wait_for([r["id"] for r in found], 20)
    no_secret(namespace, receiver, "kept")
    assert kept.stop() == bare.stop() == 0
    kept.ledger()
    bare.ledger()
