"""Workload metrics: exactly the series that Deployments and containers give, and no more than the cap."""
import json
import re
import time

from conftest import BIN, LIMIT

WATCH = {"events": {"enabled": False},
         "deployments": {"enabled": True, "metrics": True,
                         "maxReplicas": [{"deployment": "shop/web*", "max": 4}]},
         "pods": {"enabled": True, "metrics": True}}
LABELS = {"deployment_events_total": ["type", "namespace", "deployment", "field"],
          "deployment_replicas_desired": ["namespace", "deployment"],
          "deployment_replicas_actual": ["namespace", "deployment"],
          "deployment_replicas_max": ["namespace", "deployment"],
          "container_restarts_total": ["namespace", "workload", "container", "reason"]}
VALUE = r'"((?:[^"\\\n]|\\[\\"n])*)"'


def scrape(router):
    """(type, {labels: value}) of each family, by the letter of the text format: HELP, TYPE, then all
    its series, none twice."""
    status, text = router.get("/metrics")
    assert status == 200 and text.endswith("\n")
    families, name = {}, None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name = re.fullmatch(r"# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) .+", line)[1]
            assert name not in families, line
            families[name] = None
        elif line.startswith("# TYPE "):
            assert families[name] is None, line
            kind = re.fullmatch(rf"# TYPE {name} (counter|gauge|histogram)", line)[1]
            families[name] = (kind, {})
        else:
            kind, series = families[name]
            end = r"(?:_bucket|_sum|_count)" if kind == "histogram" else ""
            found = re.fullmatch(rf"{name}{end}(?:\{{(.*)\}})? (\S+)", line)
            labels = found[1] or ""
            assert re.fullmatch(rf"(?:\w+={VALUE}(?:,(?!$)|$))*", labels), line
            if kind != "histogram":
                key = tuple(re.findall(rf"(\w+)={VALUE}", labels))
                assert key not in series, line
                series[key] = float(found[2])
    return families


def workloads(router):
    """{(metric, value of a label, …): value} of the workload metrics."""
    found = {}
    for name, (kind, series) in scrape(router).items():
        if name.startswith(("eventrouter_", "process_")):
            continue
        assert kind == ("counter" if name.endswith("_total") else "gauge")
        for labels, value in series.items():
            assert [label for label, _ in labels] == LABELS[name]
            found[(name.removeprefix("deployment_"), *(v for _, v in labels))] = value
    return found


def gauges(name, desired, actual, most=None, namespace="shop"):
    found = {("replicas_desired", namespace, name): desired,
             ("replicas_actual", namespace, name): actual}
    return found if most is None else {**found, ("replicas_max", namespace, name): most}


def changes(*series, namespace="shop"):
    return {("events_total", kind, namespace, name, field): n for kind, name, field, n in series}


def expect(router, wanted):
    """Waits for exactly these series. The last thing that a script does must show in them: then all
    before it was looked at."""
    end = time.monotonic() + LIMIT
    while (found := workloads(router)) != wanted:
        assert time.monotonic() < end, set(found.items()) ^ set(wanted.items())
        time.sleep(0.01)


def start(router, hook, run=None, **watch):
    return (run or router)(sinks={"a": hook("a")}, watch={**WATCH, **watch})


def pod_status(count, reason=None, waiting=None, kind="containerStatuses", name="main"):
    last = {} if reason is None else {"terminated": {
        "reason": reason, "exitCode": 1, "containerID": f"containerd://{name}{count}",
        "startedAt": "2026-01-02T03:04:05Z", "finishedAt": "2026-01-02T03:05:05Z"}}
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    return f"status.{kind}=" + json.dumps([{"name": name, "restartCount": count, "state": state,
                                            "lastState": last}])


def restarts(*series):
    return {("container_restarts_total", "shop", workload, container, reason): n
            for workload, container, reason, n in series}


# ---- what is counted ----

def test_deployments(fake, router, hook):
    fake.script("put deployments/web namespace=shop spec.replicas=2 status.replicas=2")
    r = start(router, hook, deployments={**WATCH["deployments"], "fields": ["image"]})
    fake.wait("watches opened of deployments >= 1")
    expect(r, gauges("web", 2, 2, 4))  # a baseline counts nothing
    # Families that make no record count as well.
    fake.script("""
        modify deployments/web namespace=shop spec.replicas=5 metadata.labels={"team":"a"}
        modify deployments/web namespace=shop status.replicas=4
        modify deployments/web namespace=shop spec.replicas=6
        put deployments/api namespace=shop metadata.annotations={"eventrouter.io/max-replicas":"9"}
        put deployments/quiet namespace=shop metadata.annotations={"eventrouter.io/ignore":"true"}
        put deployments/mark namespace=shop""")
    expect(r, {**gauges("web", 6, 4, 4), **gauges("api", 1, 1, 9), **gauges("mark", 1, 1),
               **changes(("MODIFIED", "web", "replicas", 2), ("MODIFIED", "web", "labels", 1),
                         ("ADDED", "api", "deployment", 1), ("ADDED", "mark", "deployment", 1))})
    fake.script("""
        modify deployments/api namespace=shop metadata.annotations={}
        modify deployments/mark namespace=shop metadata.annotations={"eventrouter.io/ignore":"true"}
        delete deployments/web namespace=shop
        put deployments/web namespace=shop status.replicas=-
        delete deployments/quiet namespace=shop
        put deployments/end namespace=shop""")
    expect(r, {**gauges("web", 1, 0, 4), **gauges("api", 1, 1), **gauges("end", 1, 1),
               **changes(("MODIFIED", "web", "replicas", 2), ("MODIFIED", "web", "labels", 1),
                         ("ADDED", "api", "deployment", 1), ("MODIFIED", "api", "annotations", 1),
                         ("ADDED", "mark", "deployment", 1), ("DELETED", "web", "deployment", 1),
                         ("ADDED", "web", "deployment", 1), ("ADDED", "end", "deployment", 1))})
    fake.wait("sink a accepted >= 5")
    told = [rec for rec in fake.records("a") if rec["kind"] == "change"]
    assert "updated" not in {rec["change"]["operation"] for rec in told}


def test_containers(fake, router, hook):
    owner = ('metadata.ownerReferences=[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-abc",'
             '"uid":"u1","controller":true}] metadata.labels={"pod-template-hash":"abc"}')
    fake.script(f"put pods/web-abc-1 namespace=shop {owner} {pod_status(7, 'Error')}\n"
                f"put pods/bare namespace=shop {pod_status(0)}")
    r = start(router, hook)
    fake.wait("watches opened of pods >= 1")
    assert workloads(r) == {}  # as they were found
    fake.script(f"""
        modify pods/web-abc-1 namespace=shop {pod_status(8, "OOMKilled")}
        modify pods/web-abc-1 namespace=shop {pod_status(11, "Error", "CrashLoopBackOff")}
        modify pods/bare namespace=shop {pod_status(2, None, "CrashLoopBackOff")}
        put pods/gone namespace=shop
        modify pods/gone namespace=shop status.phase=Failed status.reason=Evicted
        put pods/init namespace=shop {pod_status(0, None, None, "initContainerStatuses", "set-up")}
        modify pods/init namespace=shop {pod_status(1, "Completed", None, "initContainerStatuses", "set-up")}
        """)
    expect(r, restarts(("web", "main", "OOMKilled", 1), ("web", "main", "Error", 1),
                       ("web", "main", "Unknown", 2), ("bare", "main", "Unknown", 2),
                       ("init", "set-up", "Completed", 1)))
    fake.wait("sink a accepted >= 5")
    told = [rec["restart"] for rec in fake.records("a") if rec["kind"] == "restart"]
    assert sum(one.get("delta", 0) for one in told) == sum(workloads(r).values())


def test_each_of_the_two_alone(fake, router, hook):
    fake.script(f"put deployments/web namespace=shop\nput pods/bare namespace=shop {pod_status(0)}")
    only = {"pods": start(router, hook, deployments={"enabled": True}),
            "deployments": start(router, hook, pods={"enabled": True}),
            "none": start(router, hook, deployments={"enabled": True}, pods={"enabled": True})}
    fake.wait("watches open of pods >= 3")
    fake.wait("watches open of deployments >= 3")
    fake.script(f"modify pods/bare namespace=shop {pod_status(1, 'Error')}")
    expect(only["pods"], restarts(("bare", "main", "Error", 1)))
    fake.wait("sink a accepted >= 3")
    expect(only["deployments"], gauges("web", 1, 1, 4))
    assert workloads(only["none"]) == {}
    assert not [name for name in scrape(only["none"]) if "workload" in name]


# ---- what happened meanwhile ----

def test_gauges_after_a_lost_watch(fake, router, hook):
    fake.script("\n".join(f"put deployments/{n} namespace=shop" for n in ("a", "b", "c")))
    r = start(router, hook)
    fake.wait("watches open of deployments >= 1")
    expect(r, {**gauges("a", 1, 1), **gauges("b", 1, 1), **gauges("c", 1, 1)})
    fake.script("""
        api pause
        watches reset
        delete deployments/a namespace=shop
        delete deployments/b namespace=shop
        put deployments/b namespace=shop spec.replicas=3
        compact now
        api resume""")
    expect(r, {**gauges("b", 3, 1), **gauges("c", 1, 1),
               **changes(("DELETED", "a", "deployment", 1), ("DELETED", "b", "deployment", 1),
                         ("ADDED", "b", "deployment", 1))})


def test_gauges_after_a_rewind(fake, router, hook):
    fake.script("put deployments/a namespace=shop\nput deployments/b namespace=shop")
    r = start(router, hook)
    fake.wait("watches open of deployments >= 1")
    expect(r, {**gauges("a", 1, 1), **gauges("b", 1, 1)})
    fake.script("rewind 2")
    expect(r, gauges("a", 1, 1))


def test_a_restart_has_the_gauges_at_once(fake, keeping, router, hook):
    """No list, no frame: what was remembered tells them."""
    fake.script("put deployments/web namespace=shop spec.replicas=3\n"
                "put deployments/other namespace=shop\nput deployments/mine namespace=shop")
    first = start(router, hook, keeping)
    fake.wait("watches open of deployments >= 1")
    fake.script("modify deployments/web namespace=shop status.replicas=2")
    expect(first, {**gauges("web", 3, 2, 4), **gauges("other", 1, 1), **gauges("mine", 1, 1)})
    keeping.stop()
    lists = fake.counter("lists")
    second = start(router, hook, keeping,
                   deployments={**WATCH["deployments"], "names": ["!other"]})
    expect(second, {**gauges("web", 3, 2, 4), **gauges("mine", 1, 1)})
    fake.script("delete deployments/web namespace=shop")
    expect(second, {**gauges("mine", 1, 1), **changes(("DELETED", "web", "deployment", 1))})
    assert fake.counter("lists") == lists


# ---- the cap ----

def overflow(router):
    kind, series = scrape(router)["eventrouter_workload_series_overflow_total"]
    assert kind == "counter"
    return {labels[0][1].removeprefix("deployment_"): n for labels, n in series.items() if n > 0}


def resident(router):
    with open(f"/proc/{router.process.pid}/status", encoding="ascii") as status:
        return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) << 10


def test_five_thousand_deployments_and_a_thousand_series(fake, router, hook):
    fake.script("\n".join(f"put deployments/d{n} namespace=shop" for n in range(5000)))
    r = start(router, hook, maxSeries=1000)
    fake.wait("watches opened of deployments >= 1")
    found = workloads(r)
    assert sorted(found) == sorted(key for n in range(5000) for key in gauges(f"d{n}", 1, 1)
                                   if key in found)
    assert len(found) == 1000 and set(found.values()) == {1}
    assert overflow(r) == {"replicas_desired": 4500, "replicas_actual": 4500}
    assert scrape(r)["eventrouter_workload_series"] == ("gauge", {(): 1000})
    # What goes makes room; what is refused costs a count and no memory.
    there = sorted({name for _, _, name in found})
    assert len(there) == 500
    away = next(f"d{n}" for n in range(5000) if f"d{n}" not in there)
    fake.script(f"delete deployments/{there[0]} namespace=shop\n"
                f"modify deployments/{away} namespace=shop status.replicas=0")
    rest = {key: value for key, value in found.items() if key[2] != there[0]}
    expect(r, {**rest, **changes(("DELETED", there[0], "deployment", 1)),
               ("replicas_desired", "shop", away): 1})
    assert overflow(r) == {"replicas_desired": 4500, "replicas_actual": 4501}
    before = resident(r)
    fake.script("\n".join(f"modify deployments/d{n} namespace=shop metadata.labels.x=y"
                          for n in range(1000, 5000)))
    r.wait_metric(lambda n: n >= 4000, "workload_series_overflow_total",
                  metric="deployment_events_total")
    assert len(workloads(r)) == 1000
    # A sanitizer keeps what was freed.
    assert resident(r) - before < 16 << 20 or BIN.parent.name in ("asan", "tsan")
