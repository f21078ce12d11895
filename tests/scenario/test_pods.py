"""watch.pods, through to a webhook: what restarted, what failed, and nothing else."""
import hashlib
import json

import pytest

from conftest import events, keys, wait_point
from pods import FINISHED, STARTED, container, ended, restarts, statuses, told, uids, write

PODS = {"pods": {"enabled": True}, "events": {"enabled": False}}


def begun(fake, keeping, hook, **more):
    one = keeping(sinks={"a": hook("a")}, watch=PODS, **more)
    fake.wait("watches open of pods >= 1")
    return one


def drained(fake, keeping, stream="pods"):
    """Everything written so far was seen and settled; the records."""
    fake.script("wait watches open of pods >= 1\nversion +1\nsend @bookmark")
    wait_point(keeping.directory, stream=stream, mark="resume", version=str(fake.state()["version"]))
    return fake.records("a")


def test_every_kind_of_container(fake, keeping, hook):
    owner = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d9f", "uid": "u-1",
              "controller": True}]
    fake.script(f"put pods/web-5d9f-x metadata.ownerReferences={json.dumps(owner)} "
                'metadata.labels={"pod-template-hash":"5d9f"} spec.initContainers='
                '[{"name":"setup"},{"name":"proxy","restartPolicy":"Always"}]')
    begun(fake, keeping, hook)
    oom = ended("main-1", "OOMKilled", 137, signal=9)
    waits = {"waiting": {"reason": "CrashLoopBackOff"}}
    fake.script("modify pods/web-5d9f-x " + " ".join([
        statuses(container(1, "setup"), container(2, "proxy"), field="initContainerStatuses"),
        statuses(container(1, last=oom, state=waits), container(0, "calm")),
        statuses(container(1, "debug", last={}), field="ephemeralContainerStatuses")]))
    records = drained(fake, keeping)
    keeping.stop()
    uid = uids(fake)["web-5d9f-x"]

    def expected(name, kind, path, message, **more):
        hashed = hashlib.sha256(name.encode()).hexdigest()[:8]
        record = {
            "schema": "eventrouter.io/v1", "id": f"{uid}-r{hashed}-{more.get('restart', {}).get('count', 1)}", "kind": "restart", "cluster": "test",
            "time": FINISHED, "timeSource": "finishedAt", "severity": "ERROR", "type": "Warning",
            "reason": "Error", "message": message, "namespace": "default",
            "object": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web-5d9f-x",
                       "uid": uid, "resourceVersion": "3", "fieldPath": f"spec.{path}{{{name}}}"},
            "restart": {"container": name, "containerType": kind, "count": 1, "delta": 1,
                        "detailsMissing": 0, "reason": "Error", "exitCode": 1, "startedAt": STARTED,
                        "finishedAt": FINISHED, "image": f"registry.example/{name}:1", "node": "node-1",
                        "owner": {"kind": "Deployment", "name": "web", "derived": True}}}
        for key, value in more.items():
            if isinstance(value, dict):
                record[key] |= value
                record[key] = {k: v for k, v in record[key].items() if v is not None}
            else:
                record[key] = value
        return record

    assert [{k: v for k, v in r.items() if k != "observedTime"} for r in records] == [
        expected("setup", "init", "initContainers",
                 "Init container setup restarted (restart 1): Error, exit code 1"),
        expected("proxy", "sidecar", "initContainers",
                 "Sidecar proxy restarted 2 times (restart 2): Error, exit code 1",
                 restart={"count": 2, "delta": 2, "detailsMissing": 1}),
        expected("main", "container", "containers",
                 "Container main restarted (restart 1): OOMKilled, exit code 137, signal 9; "
                 "waiting: CrashLoopBackOff", reason="OOMKilled",
                 restart={"reason": "OOMKilled", "exitCode": 137, "signal": 9,
                          "waitingReason": "CrashLoopBackOff"}),
        expected("debug", "ephemeral", "ephemeralContainers",
                 "Ephemeral container debug restarted (restart 1)", severity="WARNING", reason="Unknown",
                 timeSource="state.startedAt",
                 restart={"detailsMissing": 1, "reason": None, "exitCode": None, "startedAt": None,
                          "finishedAt": None}),
    ]


def test_a_jump_of_three_and_what_is_no_restart(fake, keeping, hook):
    fake.script("put pods/web\nput pods/calm")
    begun(fake, keeping, hook)
    fake.script("\n".join([write("web", 1), "modify pods/web metadata.annotations={\"a\":\"b\"}",
                           write("web", 1, state={"waiting": {"reason": "CrashLoopBackOff"}}),
                           write("web", 4), "modify pods/calm status.phase=Pending"]))
    records = drained(fake, keeping)
    keeping.stop()
    assert told(records) == [("web", "main", 1, 1), ("web", "main", 4, 3)]
    assert [r["restart"]["detailsMissing"] for r in records] == [0, 2]


def test_evicted_and_failed_once_each(fake, keeping, hook):
    fake.script("put pods/evicted\nput pods/job")
    begun(fake, keeping, hook)
    fake.script("\n".join([
        'modify pods/evicted status.phase=Failed status.reason=Evicted "status.message=The node was low on '
        'resource: memory." ' + statuses(),
        "modify pods/job status.phase=Failed " + statuses(container(0, state=ended("x", "OOMKilled", 137))),
        "modify pods/evicted metadata.labels={}", "delete pods/evicted", "delete pods/job"]))
    records = drained(fake, keeping)
    keeping.stop()
    assert [(r["object"]["name"], r["id"].rsplit("-", 1)[1], r["reason"], r["message"],
             r["restart"].get("container")) for r in records] == [
        ("evicted", "failed", "Evicted", "The node was low on resource: memory.", None),
        ("job", "failed", "OOMKilled", "Pod failed, container main: OOMKilled, exit code 137", "main")]
    assert records[0]["time"] == "2026-01-02T03:04:05Z" and records[0]["timeSource"] == "startTime"


def test_deleted_while_crashing_and_made_again(fake, keeping, hook):
    """The last frame may hold one more restart; the next pod of that name is another one."""
    fake.script("put pods/web-0")
    begun(fake, keeping, hook)
    fake.script("\n".join([write("web-0", 1), write("web-0", 2, "delete"), "put pods/web-0",
                           write("web-0", 1), "delete pods/web-0"]))
    records = drained(fake, keeping)
    keeping.stop()
    assert told(records) == [("web-0", "main", 1, 1), ("web-0", "main", 2, 1), ("web-0", "main", 1, 1)]
    assert len({r["id"] for r in records}) == 3 and len({r["object"]["uid"] for r in records}) == 2


def test_each_namespace_is_a_stream(fake, keeping, hook):
    names = {"namespaces": ["one", "two"]}
    fake.script("put pods/a namespace=one\nput pods/a namespace=two\nput pods/a namespace=three")
    keeping(sinks={"a": hook("a")}, watch=PODS, kubernetes=names)
    fake.wait("watches open of pods >= 2")
    fake.script("\n".join(write("a", 1, namespace=n) for n in ("one", "two", "three")))
    drained(fake, keeping, "pods/one")
    records = drained(fake, keeping, "pods/two")
    keeping.stop()
    assert sorted((r["namespace"], r["restart"]["count"]) for r in records) == [("one", 1), ("two", 1)]


def test_label_selector(fake, keeping, hook):
    """A pod that leaves the selection and comes back is a new base: what it did meanwhile, and before it
    first came, is not told as new."""
    fake.script("put pods/in metadata.labels={\"team\":\"red\"}\nput pods/out")
    chosen = {"pods": {"enabled": True, "labelSelector": "team=red"}, "events": {"enabled": False}}
    keeping(sinks={"a": hook("a")}, watch=chosen)
    fake.wait("watches open of pods >= 1")
    fake.script("\n".join([
        write("in", 1), write("out", 7), "modify pods/out metadata.labels={\"team\":\"red\"}",
        write("out", 8), "modify pods/in metadata.labels={}", write("in", 2),
        "modify pods/in metadata.labels={\"team\":\"red\"}", write("in", 3)]))
    records = drained(fake, keeping)
    keeping.stop()
    assert told(records) == [("in", "main", 1, 1), ("out", "main", 8, 1), ("in", "main", 3, 1)]
    assert all("labelSelector=team%3Dred" in line["target"] for line in fake.log()
               if line["kind"] in ("list", "watch"))


def test_events_and_pods_together(fake, keeping, hook):
    """Two streams with a resume point each, and one sink."""
    keeping(sinks={"a": hook("a")}, watch={"pods": {"enabled": True}})
    fake.wait("watches open of pods >= 1")
    fake.wait("watches open of events >= 1")
    fake.script("put pods/web\n" + "\n".join(f"put web.{n}\n{write('web', n)}" for n in range(1, 51)))
    fake.wait("sink a accepted >= 100")  # of both streams: drained looks at the pods'
    records = drained(fake, keeping)
    wait_point(keeping.directory, stream="events", mark="resume")
    keeping.stop()
    assert told(records) == [("web", "main", n, 1) for n in range(1, 51)]
    assert keys(events(records)) == [(c["object"]["metadata"]["uid"], c["object"]["metadata"]["resourceVersion"])
                                     for c in fake.history() if c["kind"] == "Event"]


@pytest.mark.parametrize("frame", ['{"type":"MODIFIED","object":{"metadata":{"uid":"u"}}}',
                                   '{"type":"MODIFIED","object":{"metadata":{"resourceVersion":"99"}}}'])
def test_a_frame_that_is_no_pod(fake, keeping, hook, frame):
    fake.script("put pods/web")
    one = begun(fake, keeping, hook)
    fake.script(f"send '{frame}'\n{write('web', 1)}")
    records = drained(fake, keeping)
    keeping.stop()
    assert [r["gap"]["cause"] for r in records if r["kind"] == "gap"] == ["undecodable"]
    assert told(records) == [("web", "main", 1, 1)]
    assert one.logged("a frame or item was skipped")
