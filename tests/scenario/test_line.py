"""The line as it should be: Events in, records out, nothing lost, nothing twice."""
import json
import os
import subprocess

from conftest import BIN, ROOT, keys


def test_list_then_watch(fake, router, hook):
    fake.script("""
        put old-1.a count=3
        put old-2.a type=Normal
        modify old-2.a count=2
    """)
    r = router(sinks={"a": hook("a")})
    fake.wait("sink a records >= 2")
    fake.wait("watches open >= 1")
    fake.script("""
        put new-1.a
        modify new-1.a count=4
        modify old-1.a count=5
    """)
    fake.wait("sink a records >= 5")
    assert r.stop() == 0
    records = fake.records("a")
    versions = fake.versions()
    assert keys(records) == [versions[0], versions[2], versions[3], versions[4], versions[5]]
    # unknown when listed; known since the first frame; known since the list
    assert [record.get("countDelta") for record in records] == [None, None, 1, 3, 2]
    assert r.sink_ledger("a") == {"sink": "a", "enqueued": 5, "delivered": 5, "rejected": 0,
                                  "dropped": 0, "queued": 0, "inFlight": 0}


def test_recorded_incident(fake, router, hook):
    """196 frames of a real API server arrive as the golden records say."""
    r = router(cluster="c1", sinks={"a": hook("a", batch={"records": 50})})
    fake.wait("watches open >= 1")
    fake.script(f"load {ROOT}/tests/golden/recordings/events.ndjson")
    fake.wait("sink a records >= 196")
    r.stop()
    golden = [json.loads(line) for line in
              (ROOT / "tests/golden/records/events.ndjson").read_text().splitlines()]
    found = fake.records("a")
    for record in found + golden:
        record.pop("observedTime")
        record.pop("countDelta", None)
    assert found == golden


def test_start_from_now(fake, router, hook):
    fake.script("burst 20")
    r = router(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}})
    fake.wait("watches open >= 1")
    fake.script("put new.a")
    fake.wait("sink a records >= 1")
    r.stop()
    assert keys(fake.records("a")) == [fake.versions()[-1]]


def test_pages(fake, router, hook):
    fake.script("page-max 7\nburst 50")
    r = router(sinks={"a": hook("a", batch={"records": 100})})
    fake.wait("sink a records >= 50")
    fake.wait("watches open >= 1")
    r.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    assert fake.counter("pages") == 8


def test_namespaces(fake, router, hook):
    fake.script("put a.1 namespace=one\nput a.1 namespace=two\nput a.1 namespace=three")
    r = router(sinks={"a": hook("a")}, kubernetes={"namespaces": ["one", "three"]})
    fake.wait("watches open >= 2")
    fake.script("put b.1 namespace=one\nput b.1 namespace=two\nput b.1 namespace=three")
    fake.wait("sink a records >= 4")
    r.stop()
    assert sorted(record["namespace"] for record in fake.records("a")) == ["one", "one", "three",
                                                                          "three"]
    assert all(request["kind"] == "get" or request["namespace"] in ("one", "three")
               for request in fake.log())


def test_field_selector(fake, router, hook):
    fake.script("put a.1 type=Normal\nput b.1 type=Warning")
    r = router(sinks={"a": hook("a")}, watch={"events": {"fieldSelector": "type=Warning"}})
    fake.wait("watches open >= 1")
    fake.script("put c.1 type=Normal\nput d.1 type=Warning")
    fake.wait("sink a records >= 2")
    r.stop()
    assert [record["event"]["name"] for record in fake.records("a")] == ["b.1", "d.1"]
    probes = [request for request in fake.log() if request["kind"] == "probe"]
    assert not any("fieldSelector" in request["target"] for request in probes)


def test_routes(fake, router, hook):
    fake.script("put a.1 type=Warning reason=BackOff\nput b.1 type=Normal reason=Pulled\n"
                "put c.1 type=Normal reason=Killing")
    r = router(sinks={"a": hook("a"), "b": hook("b")}, routes=[
        {"match": {"reason": "Pulled"}, "drop": True},
        {"match": {"type": "Warning"}, "sinks": ["a"]},
        {"match": {"type": "Warning"}, "sinks": ["b"]}])
    fake.wait("sink a records >= 1")
    fake.wait("sink b records >= 1")
    r.stop()
    line = r.ledger()
    assert (line["records"], line["routed"], line["unrouted"], line["droppedByRoute"]) == (3, 1, 1, 1)
    assert keys(fake.records("a")) == keys(fake.records("b")) == fake.versions()[:1]


def test_metrics_and_health(fake, router, hook):
    fake.script("put a.1")
    r = router(sinks={"a": hook("a")})
    fake.wait("sink a records >= 1")
    fake.wait("watches open >= 1")
    assert r.get("/livez")[0] == 200
    assert r.get("/readyz")[0] == 200
    status, text = r.get("/readyz?verbose")
    assert status == 200 and "[+]events: watching" in text and "[+]shutdown: running" in text
    r.wait_metric(lambda v: v == 1, "sink_delivered_total", sink="a")
    metrics = r.metrics()
    assert metrics['eventrouter_sink_enqueued_total{sink="a"}'] == 1
    assert metrics["eventrouter_records_total"] == 1
    assert metrics['eventrouter_watch_connected{watch="events"}'] == 1
    assert metrics["process_open_fds"] > 3
    assert r.get("/metrics", "POST")[0] == 405
    assert r.get("/nothing")[0] == 404


def test_quiet_watch_goes_on(fake, router, hook):
    """A watch ends cleanly without a frame; it is probed and goes on from where it was."""
    r = router(sinks={"a": hook("a")}, watch={"timeout": "1s"})
    fake.wait("watches opened >= 2")
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    r.stop()
    assert keys(fake.records("a")) == fake.versions()
    assert fake.counter("lists") == 1
    assert fake.counter("probes") >= 1


def test_a_watch_is_asked_to_end_before_it_counts_as_dead(fake, router, hook):
    """timeoutSeconds has no fractions: it is rounded so that it stays below idleTimeout."""
    names = [f"n{number}" for number in range(8)]
    router(sinks={"a": hook("a")}, kubernetes={"namespaces": names},
           watch={"timeout": "1900ms", "idleTimeout": "1950ms"})
    fake.wait("watches opened >= 8")
    assert all(watch["target"].endswith("timeoutSeconds=1") for watch in fake.watches())


def test_every_request_says_who_asks(fake, router, hook):
    r = router(sinks={"a": hook("a")})
    fake.script("token a-token")
    fake.wait("watches open >= 1")
    r.stop()
    for request in fake.log():
        assert request["headers"]["user-agent"].startswith("eventrouter/"), request
        assert request["headers"]["authorization"] == "Bearer a-token"
        if request["kind"] == "watch":
            assert "accept-encoding" not in request["headers"]


def test_check_names_the_cluster(fake, router, hook):
    """Without asking it anything."""
    r = router(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    asked = fake.counter("requests")
    done = subprocess.run([BIN / "eventrouter", "check", "-c", r.directory / "config.yaml",
                           "--cluster"], capture_output=True, text=True, check=True)
    assert done.stdout == (f"API server:  {fake.api}\n"
                           f"credentials: {r.directory}/kubeconfig, context fake\n"
                           f"user:        token {r.directory}/token\n")
    assert fake.counter("requests") == asked
    nowhere = {"PATH": os.environ["PATH"], "HOME": str(r.directory)}
    done = subprocess.run([BIN / "eventrouter", "check", "-c", ROOT / "config/examples/first.yaml",
                           "--cluster"], capture_output=True, text=True, env=nowhere, check=False)
    assert done.returncode == 2 and "no credentials" in done.stderr
