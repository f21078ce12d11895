"""er_fake with Deployments and Pods beside Events; test_fake.py has what all three share."""
import calendar
import json
import time

import pytest

from conftest import LIMIT, ROOT
from test_fake import BASE, TOO_OLD, Watch, get, page, refused

DEPLOYMENTS = "/apis/apps/v1/deployments"
PODS = "/api/v1/pods"
RECORDINGS = ROOT / "tests/golden/recordings"


def names(body):
    return [item["metadata"]["name"] for item in body["items"]]


# ---- lists and watches ----

def test_one_store_and_each_request_sees_its_own(fake):
    fake.script("put a.1\nput pods/a.1\nput deployments/a.1\nput pods/b namespace=shop")
    for path, kind, version, own in ((BASE, "Event", "v1", [("default", "a.1", "2")]),
                                     (PODS, "Pod", "v1", [("default", "a.1", "3"),
                                                          ("shop", "b", "5")]),
                                     (DEPLOYMENTS, "Deployment", "apps/v1",
                                      [("default", "a.1", "4")])):
        body = page(fake, path)
        assert (body["kind"], body["apiVersion"]) == (f"{kind}List", version)
        assert body["metadata"] == {"resourceVersion": "5"}  # of the store, not of the resource
        assert [(i["metadata"]["namespace"], i["metadata"]["name"],
                 i["metadata"]["resourceVersion"]) for i in body["items"]] == own
        assert not any("kind" in item or "apiVersion" in item for item in body["items"])
        watch = Watch(fake, 1, path)
        frames = [watch.frame() for _ in own]
        assert [(f["type"], f["object"]["kind"], f["object"]["apiVersion"],
                 f["object"]["metadata"]["resourceVersion"]) for f in frames] == [
            ("ADDED", kind, version, v) for _, _, v in own]
        assert list(frames[0]["object"])[:3] == ["kind", "apiVersion", "metadata"]
        assert watch.is_silent(0.02)
        assert Watch(fake, 0, path).seen(len(own)) == [("ADDED", n, v) for _, n, v in own]
    state = fake.state()
    assert (state["events"], state["deployments"], state["pods"], state["changes"]) == (1, 1, 2, 4)
    assert [(c["type"], c["kind"]) for c in fake.history()] == [
        ("ADDED", "Event"), ("ADDED", "Pod"), ("ADDED", "Deployment"), ("ADDED", "Pod")]
    assert len({c["object"]["metadata"]["uid"] for c in fake.history()}) == 4


def test_namespaces_and_other_paths(fake):
    fake.script("put pods/a namespace=one\nput pods/b namespace=two\n"
                "put deployments/c namespace=one")
    assert names(page(fake, "/api/v1/namespaces/one/pods")) == ["a"]
    assert names(page(fake, "/apis/apps/v1/namespaces/one/deployments")) == ["c"]
    assert page(fake, "/apis/apps/v1/namespaces/two/deployments")["items"] == []
    watch = Watch(fake, 1, "/api/v1/namespaces/two/pods")
    assert watch.seen(1) == [("ADDED", "b", "3")]
    for path in ("/api/v1/deployments", "/apis/apps/v1/pods", "/api/v1/namespaces/one/pods/a",
                 "/apis/apps/v1/namespaces/one/two/deployments", "/api/v1/namespaces//pods",
                 "/apis/apps/v1/replicasets", "/api/v1x/pods", "/pods"):
        assert get(fake, path)[0] == 404, path


def test_pages(fake):
    fake.script("\n".join(f"put pods/p-{n}\nput deployments/p-{n}" for n in range(1, 6)))
    first = page(fake, PODS, limit=2)
    assert first["metadata"]["remainingItemCount"] == 3
    fake.script("delete pods/p-4\nput p-3x\nput pods/p-9")  # after the first page
    second = page(fake, PODS, limit=2, **{"continue": first["metadata"]["continue"]})
    third = page(fake, PODS, limit=2, **{"continue": second["metadata"]["continue"]})
    assert [names(p) for p in (first, second, third)] == [["p-1", "p-2"], ["p-3", "p-4"], ["p-5"]]
    assert {p["metadata"]["resourceVersion"] for p in (first, second, third)} == {"11"}
    fake.script("compact now")
    status, _, body = get(fake, PODS, limit=2, **{"continue": first["metadata"]["continue"]})
    assert (status, body["reason"]) == (410, "Expired")
    rest = page(fake, PODS, **{"continue": body["metadata"]["continue"]})
    assert names(rest) == ["p-3", "p-5", "p-9"]


def test_compaction_and_rewind_are_of_the_store(fake):
    fake.script("put pods/a\nput deployments/a\nput e\nmodify pods/a status.phase=Failed\n"
                "delete deployments/a\ncompact 4")
    for path in (BASE, DEPLOYMENTS, PODS):
        assert Watch(fake, 3, path).frame()["object"]["message"] == TOO_OLD
    pods, deployments = Watch(fake, 4, PODS), Watch(fake, 4, DEPLOYMENTS)
    assert pods.seen(1) == [("MODIFIED", "a", "5")]
    assert deployments.seen(1) == [("DELETED", "a", "6")]
    assert fake.counter("deployments") == 0
    fake.script("rewind 4")
    assert pods.body() == (b"", "reset") and deployments.body() == (b"", "reset")
    assert page(fake, PODS)["items"][0]["status"]["phase"] == "Running"
    assert names(page(fake, DEPLOYMENTS)) == ["a"] and names(page(fake)) == ["e"]
    assert fake.counter("deployments") == 1


def test_events_alone_expire(fake):
    fake.script("put pods/a\nput deployments/a\nput e\nexpire all")
    assert [c["kind"] for c in fake.history() if c["type"] == "DELETED"] == ["Event"]
    assert refused(fake, "expire 1") == "line 1: there is no Event\n"


def test_bookmarks_are_of_the_watch(fake):
    paths = {"Event": BASE, "Deployment": DEPLOYMENTS, "Pod": PODS}
    watches = {kind: Watch(fake, 1, path) for kind, path in paths.items()}
    fake.script("put pods/a\nsend @bookmark\nsend @bookmark:99\nsend @x:10\nput last\n"
                "put pods/last\nput deployments/last")
    assert watches["Pod"].seen(1) == [("ADDED", "a", "2")]
    for kind in ("Deployment", "Pod"):
        recorded = next(frame for frame in map(json.loads, open(
            RECORDINGS / f"{kind.lower()}s.ndjson")) if frame["type"] == "BOOKMARK")
        for version in ("2", "99"):
            recorded["object"]["metadata"] = {"resourceVersion": version}
            assert watches[kind].frame() == recorded
    assert [watches["Event"].frame()["object"]["metadata"] for _ in range(2)] == [
        {"resourceVersion": "2"}, {"resourceVersion": "99"}]
    for version, (kind, watch) in zip((4, 6, 5), watches.items()):
        big = watch.frame()["object"]
        assert (big["kind"], big["message"]) == (kind, "x" * 10)
        assert big["metadata"]["resourceVersion"] == "3"  # the same one everywhere
        assert watch.seen(1) == [("ADDED", "last", str(version))]
    fake.script("fault watch of pods first @bookmark:7")
    first = Watch(fake, 6, PODS).frame()
    assert (first["type"], first["object"]["kind"]) == ("BOOKMARK", "Pod")


# ---- selectors ----

@pytest.mark.parametrize("selector, found", [
    ("app=web", ["a", "b"]), ("app==web,tier", ["b"]), ("app!=web", ["c", "d"]),
    ("tier", ["b", "c"]), ("!tier", ["a", "d"]), ("x.io/team=red", ["c"]), ("app=", []),
    ("tier=", ["c"]), ("!app", ["d"]), ("metadata.labels.app=web", []),
])
def test_label_selectors(fake, selector, found):
    for resource, path in (("pods", PODS), ("deployments", DEPLOYMENTS)):
        fake.script(f"""
            put {resource}/a metadata.labels={{"app":"web"}}
            put {resource}/b metadata.labels={{"app":"web","tier":"front"}}
            put {resource}/c metadata.labels={{"app":"db","tier":"","x.io/team":"red"}}
            put {resource}/d metadata.labels=-
        """)
        assert names(page(fake, path, labelSelector=selector)) == found


def test_selectors_of_watches_and_their_errors(fake):
    watch = Watch(fake, 1, PODS, labelSelector="app=web", fieldSelector="spec.nodeName=node-1")
    fake.script("put pods/a metadata.labels.app=web\nmodify pods/a status.phase=Failed\n"
                "put pods/b metadata.labels.app=web spec.nodeName=node-2\n"
                "modify pods/a metadata.labels.app=db\ndelete pods/a")
    assert watch.seen(2) == [("ADDED", "a", "2"), ("MODIFIED", "a", "3")]
    left = watch.frame()
    assert (left["type"], left["object"]["kind"]) == ("DELETED", "Pod")
    assert left["object"]["metadata"]["labels"] == {"app": "web"}
    assert left["object"]["metadata"]["resourceVersion"] == "5"
    assert watch.is_silent(0.02)
    assert names(page(fake, PODS, fieldSelector="spec.nodeName!=node-1")) == ["b"]
    for path, field in ((PODS, "reason"), (DEPLOYMENTS, "spec.nodeName"), (BASE, "spec.nodeName")):
        status, _, body = get(fake, path, fieldSelector=f"{field}=x")
        assert (status, body["message"]) == (400, f"field label not supported: {field}")
    status, _, body = get(fake, PODS, labelSelector="app in (a)")
    assert status == 400 and body["message"].startswith("unable to parse requirement: 'app in (a)'")


# ---- faults, rights, counters ----

def test_faults_of_a_resource(fake):
    fake.script("fault list of deployments status 500\nfault any of pods in shop always status 503\n"
                "fault watch of pods cut 1 frames fin")
    assert get(fake, BASE)[0] == 200 and get(fake, PODS)[0] == 200
    assert [get(fake, DEPLOYMENTS)[0] for _ in range(2)] == [500, 200]
    shop = "/api/v1/namespaces/shop/"
    assert [get(fake, f"{shop}{r}")[0] for r in ("pods", "events", "pods")] == [503, 200, 503]
    assert get(fake, "/version")[0] == 200
    fake.script("put e\nput pods/a\nput pods/b")
    assert Watch(fake, 1).seen(1) == [("ADDED", "e", "2")]
    data, ended = Watch(fake, 1, PODS).body()
    assert json.loads(data)["object"]["metadata"]["name"] == "a" and ended == "fin"
    assert fake.log()[2]["fault"] == "fault list of deployments status 500"
    assert refused(fake, "fault list of cats hang") == (
        'line 1: "cats": events, deployments or pods\n')


def test_forbidden_resources(fake):
    fake.script("forbid all")
    assert get(fake, DEPLOYMENTS)[2]["message"] == (
        'deployments.apps is forbidden: User "system:serviceaccount:default:router" cannot list '
        'resource "deployments" in API group "apps" at the cluster scope')
    assert get(fake, "/api/v1/namespaces/shop/pods", watch=1)[2]["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:router" cannot watch resource '
        '"pods" in API group "" in the namespace "shop"')
    assert get(fake, "/version")[2]["message"].startswith("namespaces is forbidden")


def test_counters_of_a_resource(fake):
    fake.script("put e\nput pods/a\nput pods/b")
    pods, events = Watch(fake, 1, PODS), Watch(fake, 1)
    pods.seen(2)
    events.seen(1)
    page(fake, PODS)
    page(fake, PODS, limit=1)
    page(fake, DEPLOYMENTS)
    get(fake, "/version")
    for name, of in (("watches open", (1, 0, 1)), ("watches opened", (1, 0, 1)),
                     ("frames", (1, 0, 2)), ("lists", (0, 1, 1)), ("lists completed", (0, 1, 1)),
                     ("probes", (0, 0, 1)), ("items", (0, 0, 3)), ("requests", (1, 1, 3)),
                     ("watches pending", (0, 0, 0)), ("gone", (0, 0, 0)),
                     ("answers 200", (1, 1, 3))):
        for resource, n in zip(("events", "deployments", "pods"), of):
            fake.wait(f"{name} of {resource} == {n}")
    state = fake.state()
    assert (state["watches open"], state["frames"], state["lists"]) == (2, 3, 2)
    assert (state["requests"], state["gets"], state["answers"]) == (6, 1, {"200": 6})
    assert [entry["resource"] for entry in fake.log()] == [
        "pods", "events", "pods", "pods", "deployments", ""]
    assert [watch["resource"] for watch in fake.watches()] == ["pods", "events"]
    for name in ("lists of cats", "changes of pods", "of pods"):
        assert refused(fake, f"wait {name} >= 1") == (
            f'line 1: "{name}": there is no such counter\n')


# ---- what scripts write ----

def test_put_modify_and_delete_by_name(fake):
    fake.script("""
        put deployments/web namespace=shop spec.replicas=3 metadata.annotations={"a.b/c":"d"}
        modify deployments/web namespace=shop spec.replicas=5 metadata.generation=2
        put pods/web-1 uid=u-1
        modify pods/web-1 status.containerStatuses=[{"name":"main","restartCount":1}]
        delete pods/web-1 status.phase=Failed
        delete deployments/web namespace=shop
        put events/web-1.1
    """)
    put, scaled, pod, restarted, failed, deleted, event = fake.history()
    assert put["object"]["metadata"] == {
        "name": "web", "namespace": "shop", "creationTimestamp": "2026-01-02T03:04:05Z",
        "generation": 1, "labels": {"app": "web"}, "annotations": {"a.b/c": "d"},
        "uid": put["object"]["metadata"]["uid"], "resourceVersion": "2"}
    assert put["object"]["spec"]["selector"] == {"matchLabels": {"app": "web"}}
    assert put["object"]["status"]["conditions"][0]["reason"] == "NewReplicaSetAvailable"
    assert [c["object"]["spec"]["replicas"] for c in (put, scaled, deleted)] == [3, 5, 5]
    assert scaled["object"]["metadata"]["uid"] == put["object"]["metadata"]["uid"]
    assert (pod["object"]["metadata"]["uid"], pod["object"]["status"]["phase"]) == ("u-1", "Running")
    assert pod["object"]["status"]["containerStatuses"][0]["restartCount"] == 0
    assert restarted["object"]["status"]["containerStatuses"] == [
        {"name": "main", "restartCount": 1}]
    assert (failed["type"], failed["object"]["status"]["phase"]) == ("DELETED", "Failed")
    assert failed["object"]["metadata"]["resourceVersion"] == "6"
    assert (deleted["type"], deleted["kind"]) == ("DELETED", "Deployment")
    assert (event["kind"], event["object"]["metadata"]["name"]) == ("Event", "web-1.1")
    assert event["object"]["involvedObject"]["name"] == "web-1"
    assert refused(fake, "put pods/b kind=Pod") == "line 1: kind: cannot be set\n"


def test_put_modify_and_delete_by_json(fake):
    pod = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a"}, "status": {"n": 1}}
    fake.script(f"put {json.dumps(pod)}\nput {json.dumps({**pod, 'kind': 'Deployment'})}\n"
                f"modify {json.dumps({**pod, 'status': {'n': 2}})}\ndelete {json.dumps(pod)}")
    assert [(c["type"], c["kind"], c["object"]["status"]["n"]) for c in fake.history()] == [
        ("ADDED", "Pod", 1), ("ADDED", "Deployment", 1), ("MODIFIED", "Pod", 2),
        ("DELETED", "Pod", 2)]
    assert refused(fake, 'put {"kind":"Cat","metadata":{"name":"a"}}') == (
        "line 1: kind Cat: Event, Deployment and Pod are played\n")
    assert refused(fake, 'put {"kind":"Pod"}') == "line 1: a Pod needs metadata with a name\n"
    assert refused(fake, "put cats/a") == (
        "line 1: cats/a: events/NAME, deployments/NAME or pods/NAME\n")
    assert refused(fake, "modify pods/a x=1") == "line 1: default/a is not there\n"


@pytest.mark.parametrize("resource, path", [("deployments", DEPLOYMENTS), ("pods", PODS)])
def test_recordings(fake, resource, path):
    file = RECORDINGS / f"{resource}.ndjson"
    frames = [frame for frame in map(json.loads, file.open()) if frame["type"] != "BOOKMARK"]
    fake.script(f"load {file}")
    watch = Watch(fake, 1, path)
    assert [watch.frame() for _ in frames] == frames
    live = {}
    for frame in frames:
        name = frame["object"]["metadata"]["name"]
        live[name] = {k: v for k, v in frame["object"].items() if k not in ("kind", "apiVersion")}
        if frame["type"] == "DELETED":
            del live[name]
    assert page(fake, path)["items"] == [live[name] for name in sorted(live)]


def test_recordings_as_of_now(fake, tmp_path):
    path = tmp_path / "pods.ndjson"
    lines = (RECORDINGS / "pods.ndjson").read_text().splitlines()[:12]
    path.write_text("\n".join(lines) + "\n")
    fake.script(f"load {path} now")

    def times(value):
        if isinstance(value, str):
            try:
                return [calendar.timegm(time.strptime(value, "%Y-%m-%dT%H:%M:%SZ"))]
            except ValueError:
                return []
        values = value.values() if isinstance(value, dict) else value
        return sum(map(times, values), []) if isinstance(value, (dict, list)) else []

    for line, change in zip(lines, fake.history()):
        old, new = times(json.loads(line)["object"]), times(change["object"])
        assert 0 <= time.time() - max(new) < LIMIT
        shifts = {b - a for a, b in zip(old, new, strict=True)}
        assert max(shifts) - min(shifts) <= 1  # all by the same, cut to whole seconds


def test_recordings_at_their_own_pace(fake, tmp_path):
    path = tmp_path / "few.ndjson"
    stamp = "2026-11-23T20:07:4%dZ"
    path.write_text("".join(json.dumps({"type": "ADDED", "object": {
        "kind": "Deployment", "metadata": {"name": f"d-{n}", "managedFields": [
            {"time": stamp % n}]}}}) + "\n" for n in (1, 2, 4)))
    start = time.monotonic()
    fake.script(f"load {path} speed 20")
    assert 0.15 <= time.monotonic() - start < LIMIT
    assert [c["object"]["metadata"]["name"] for c in fake.history()] == ["d-1", "d-2", "d-4"]
