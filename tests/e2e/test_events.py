"""Every stored version of every Event of a real API server reaches the webhook exactly once.

2,000 Events are created and 500 of them patched three times, while Deployments that no node can
take make the controllers and the scheduler write theirs. Meanwhile the API server is killed and
started twice, and stopped for 20 s. What must arrive is what the test's own watch has seen."""
import collections
import json
import threading
import time

import pytest

import event_record
from kube import Api, EventWatch

EVENTS, PATCHED, STEPS, WRITERS = 2000, 500, (2, 5, 9), 4
STOPPED_SECONDS = 20
WATCH_EVENTS = [{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]

CONFIG = """
cluster: e2e
log: {{level: info, format: json}}
admin: {{listen: "127.0.0.1:0"}}
kubernetes: {{kubeconfig: "{kubeconfig}"}}
watch:
  timeout: 4s
  idleTimeout: 6s
  backoff: {{initial: 50ms, max: 1s}}
sinks:
  hook: {{type: webhook, url: "{url}"}}
"""


def stamp(seconds, micro=None):
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1767322800 + seconds))
    return f"{text}Z" if micro is None else f"{text}.{micro:06d}Z"


def is_series(number):
    """Every fifth Event is of the new recorder's kind: eventTime, series, no count."""
    return number % 5 == 0


def event_body(number):
    body = {
        "metadata": {"name": f"load-{number:04d}"},
        "type": "Warning" if number % 3 else "Normal",
        "reason": ("BackOff", "Pulled", "FailedMount")[number % 3],
        "message": f"number {number}: \u00e9\u4e2d\U0001f600 \"quoted\" \\ and a\ttab",
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "load",
                           "name": f"pod-{number % 40}", "uid": f"pod-uid-{number % 40}",
                           "resourceVersion": str(number), "fieldPath": "spec.containers{web}"},
    }
    if is_series(number):
        body.update(eventTime=stamp(number, number), action="Testing",
                    reportingComponent="load.example/recorder", reportingInstance="load-1",
                    related={"kind": "Node", "name": f"node-{number % 7}"})
    else:
        body.update(count=1, firstTimestamp=stamp(number), lastTimestamp=stamp(number),
                    source={"component": "kubelet", "host": f"node-{number % 7}"})
    return body


def event_patch(number, count):
    if is_series(number):
        return {"series": {"count": count, "lastObservedTime": stamp(number + count, count)}}
    return {"count": count, "lastTimestamp": stamp(number + count)}


class Load:
    """Threads that create and patch the Events; how far they are."""

    def __init__(self, api):
        self.api, self.created, self.changed = api, 0, threading.Condition()
        self.failures = []
        self.threads = [threading.Thread(target=self.write, args=(first,), daemon=True)
                        for first in range(WRITERS)]
        for thread in self.threads:
            thread.start()

    def write(self, first):
        path = "/api/v1/namespaces/load/events"
        waiting = collections.deque()  # patches, each some Events after its own
        try:
            for number in range(first, EVENTS, WRITERS):
                self.api.insist("POST", path, event_body(number))
                if number // WRITERS % (EVENTS // PATCHED) == 0:
                    waiting.extend((number, count) for count in STEPS)
                while len(waiting) > 20:
                    self.patch(path, *waiting.popleft())
                with self.changed:
                    self.created += 1
                    self.changed.notify_all()
            for number, count in waiting:
                self.patch(path, number, count)
        except BaseException as error:
            with self.changed:
                self.failures.append(error)
                self.changed.notify_all()
            raise

    def patch(self, path, number, count):
        self.api.insist("PATCH", f"{path}/load-{number:04d}", event_patch(number, count),
                        "application/strategic-merge-patch+json")

    def wait_created(self, number):
        with self.changed:
            assert self.changed.wait_for(lambda: self.failures or self.created >= number, 120)
        assert not self.failures, self.failures

    def join(self):
        for thread in self.threads:
            thread.join(180)
            assert not thread.is_alive(), "the load is not done"
        assert not self.failures, self.failures


def deployment(name):
    labels = {"app": name}
    return {"metadata": {"name": name}, "spec": {
        "replicas": 2, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels},
                     "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}


def provoke(cluster, name, nodes=False):
    """Has the deployment controller, the replica set controller and the scheduler write: pods that
    fit nowhere. While there is no node at all the scheduler tries again, as a series; with nodes
    that are closed it says something else, and the node controller writes too."""
    cluster.admin.insist("POST", "/apis/apps/v1/namespaces/load/deployments", deployment(name))
    if nodes:
        cluster.admin.insist("POST", "/api/v1/nodes", {
            "metadata": {"name": f"node-{name}"}, "spec": {"unschedulable": True}})


def start_in_a_quiet_moment(start_router, watch, receiver, config):
    """The router and what its first list shows, which is certain only when nothing was written
    between our look and its list."""
    for _ in range(5):
        watch.wait_quiet(2)
        newest = dict(watch.newest)
        router = start_router(config)
        router.wait_ready()
        if newest == watch.newest:
            return router, newest
        assert router.stop() == 0
        receiver.forget()
    pytest.fail("the cluster does not come to rest")
    return None


def versions_from(watch, newest):
    """(frame type, Event) in the order of the router's stream: its list, then its watch."""
    seen = {}
    for kind, item in [("LISTED", i) for i in watch.listed] + watch.frames:
        meta = item["metadata"]
        seen.setdefault((meta["uid"], meta["resourceVersion"]), (kind, item))
    listed = [("LISTED", seen.pop((uid, version))[1]) for uid, version in newest.items()]
    at = max((int(v) for v in newest.values()), default=0)
    later = [pair for (_, version), pair in seen.items()
             if int(version) > at and pair[0] in ("ADDED", "MODIFIED")]
    return listed, later


def test_a_service_account_that_may_only_list_and_watch_events(cluster):
    with open(cluster.service_account("narrow", WATCH_EVENTS), encoding="utf-8") as file:
        token = json.load(file)["users"][0]["user"]["token"]
    narrow = Api(cluster.server, cluster.ca_file, token)
    assert narrow.insist("GET", "/api/v1/events?limit=1")["kind"] == "EventList"
    for method, path in (("GET", "/api/v1/pods"), ("GET", "/api/v1/namespaces/kube-system"),
                         ("POST", "/api/v1/namespaces/default/events"),
                         ("GET", "/apis/apps/v1/deployments"), ("GET", "/api/v1/secrets")):
        assert narrow.request(method, path, {} if method == "POST" else None)[0] == 403, path
    assert "default" in cluster.kubectl("get", "namespaces", "-o", "name")


@pytest.fixture
def played(cluster, receiver, start_router):
    """The whole play; what came of it."""
    cluster.admin.insist("POST", "/api/v1/namespaces", {"metadata": {"name": "load"}})
    watch = EventWatch(cluster.admin)
    config = CONFIG.format(url=receiver.url,
                           kubeconfig=cluster.service_account("router", WATCH_EVENTS))
    provoke(cluster, "before")
    router, newest = start_in_a_quiet_moment(start_router, watch, receiver, config)
    receiver.wait_for([f"{uid}-{version}" for uid, version in newest.items()], 30)
    load = Load(cluster.admin)
    for name, created in (("one", EVENTS // 5), ("two", EVENTS * 2 // 5)):
        load.wait_created(created)
        provoke(cluster, name)
        cluster.restart_apiserver()
    load.wait_created(EVENTS * 3 // 5)
    provoke(cluster, "three")
    cluster.signal("kube-apiserver", "STOP")
    try:
        time.sleep(STOPPED_SECONDS)  # what is tested is this silence itself
    finally:
        cluster.signal("kube-apiserver", "CONT")
    load.join()
    # With no node at all the scheduler tries each pod again within 10 s: its third Event is a series.
    watch.wait_frame(lambda event: event.get("reportingComponent") == "default-scheduler" and
                     event.get("series") and event.get("eventTime"))
    provoke(cluster, "four", nodes=True)
    watch.wait_frame(lambda event: event.get("reportingComponent") == "node-controller")
    watch.wait_quiet(3)
    for program in ("kube-scheduler", "kube-controller-manager"):
        cluster.signal(program, "TERM")
    watch.wait_level()
    watch.stop()
    listed, later = versions_from(watch, newest)
    missing = receiver.wait_for([ident(event) for _, event in listed + later], 90)
    metrics = router.get("/metrics")[1]
    code = router.stop()
    return {"listed": listed, "later": later, "missing": missing, "code": code,
            "records": receiver.records, "requests": receiver.requests, "router": router,
            "metrics": metrics}


def ident(event):
    return f"{event['metadata']['uid']}-{event['metadata']['resourceVersion']}"


def check_load_was_real(later):
    """The cluster did what this test is about; otherwise it would prove nothing."""
    ours = [(kind, e) for kind, e in later if e["metadata"]["name"].startswith("load-")]
    kinds = collections.Counter(kind for kind, _ in ours)
    assert kinds == {"ADDED": EVENTS, "MODIFIED": PATCHED * len(STEPS)}
    theirs = [e for _, e in later if not e["metadata"]["name"].startswith("load-")]
    writers = {e.get("reportingComponent") for e in theirs}
    assert {"default-scheduler", "deployment-controller", "replicaset-controller",
            "node-controller"} <= writers
    assert any(e.get("series") and e.get("eventTime") for e in theirs), "no series by the scheduler"


def check_breaks_were_real(metrics):
    """The router noticed the two kills and the stop."""
    for reason, least in (("network", 2), ("idle", 1)):
        line = f'eventrouter_watch_restarts_total{{watch="events",reason="{reason}"}} '
        assert [int(l[len(line):]) for l in metrics.splitlines() if l.startswith(line)][0] >= least


def test_every_version_arrives_exactly_once(played):
    listed, later = played["listed"], played["later"]
    check_load_was_real(later)
    check_breaks_were_real(played["metrics"])
    records = played["records"]
    ids = [record["id"] for record in records]
    wanted = [ident(event) for _, event in listed + later]
    assert not played["missing"], f"{len(played['missing'])} versions never came"
    assert [i for i, n in collections.Counter(ids).items() if n > 1] == []
    assert set(ids) - set(wanted) == set()  # neither gap records nor notices
    assert set(ids[:len(listed)]) == {ident(event) for _, event in listed}
    assert ids[len(listed):] == wanted[len(listed):], "not in the order of the watch"

    by_id = {record["id"]: record for record in records}
    for (_, event), delta in zip(listed + later, event_record.deltas(listed + later)):
        record = by_id[ident(event)]
        assert event_record.comparable(record) == event_record.expected(event, "e2e")
        assert record.get("countDelta") == delta, record

    check_counts_add_up(later, by_id)
    for headers, body in played["requests"]:
        assert headers["idempotency-key"] == f'"{body[0]["id"]}"'
        assert headers["webhook-id"] == body[0]["id"]
        assert len(body) == 1

    assert played["code"] == 0
    ledger = played["router"].ledger()
    assert ledger["records"] == ledger["routed"] == len(wanted)
    assert ledger["sinks"] == [{"sink": "hook", "enqueued": len(wanted), "delivered": len(wanted),
                                "rejected": 0, "dropped": 0, "queued": 0, "inFlight": 0}]


def check_counts_add_up(later, by_id):
    """For every Event first seen with count 1 the deltas sum up to its last total."""
    sums, last = {}, {}
    for kind, event in later:
        uid = event["metadata"]["uid"]
        if uid in sums or (kind == "ADDED" and event_record.total(event) == 1):
            sums[uid] = sums.get(uid, 0) + by_id[ident(event)]["countDelta"]
            last[uid] = event_record.total(event)
    assert sums == last
    assert sum(1 for count in last.values() if count == STEPS[-1]) >= PATCHED
