"""One sink hangs, another is healthy: what each of them has, and what is said about it."""
import pytest

from conftest import events, gaps, keys, notices

BLOCKED = "waiting for a sink whose queue is full"
QUEUE = 10


def start(fake, router, hook, overflow, **more):
    """Sink a holds one record and does not answer for it; its queue of ten is empty."""
    r = router(sinks={
        "a": hook("a", queue={"records": QUEUE, "overflow": overflow},
                  timeout={"connect": "1s", "request": "30s"}, **more),
        "b": hook("b", batch={"records": 100})})
    fake.wait("watches open >= 1")
    fake.script("sink a hang\nput first.1")
    fake.wait("sink a hanging >= 1")
    return r


def told(fake, sink):
    return sum(notice["records"] for notice in notices(fake.records(sink)))


def wait_told(fake, r, cause, number):
    """All windows that have something to tell are over."""
    r.wait_metric(lambda _: told(fake, "b") >= number, "notices_total")
    found = notices(fake.records("b"))
    assert sum(notice["records"] for notice in found) == number
    assert {(notice["sink"], notice["cause"]) for notice in found} == {("a", cause)}
    windows = [(notice["since"].rstrip("Z"), notice["until"].rstrip("Z")) for notice in found]
    for before, after in zip(windows, windows[1:]):
        assert before[0] < before[1] <= after[0] < after[1]


@pytest.mark.parametrize("overflow, kept", [
    ("drop_oldest", lambda versions: versions[:1] + versions[-QUEUE:]),
    ("drop_newest", lambda versions: versions[:1 + QUEUE]),
], ids=["drop_oldest", "drop_newest"])
def test_a_drops(fake, router, hook, overflow, kept):
    r = start(fake, router, hook, overflow)
    fake.script("burst 25")
    wait_told(fake, r, "queue_full", 15)
    fake.script("burst 35 prefix later")
    wait_told(fake, r, "queue_full", 50)
    versions = fake.versions()
    assert keys(fake.records("b")) == versions
    assert fake.state()["sinks"]["a"]["hanging"] == 1
    assert r.metric("sink_dropped_total", sink="a", reason="queue_full") == 50
    assert r.metric("sink_dropped_total", sink="b") == 0
    assert r.metric("notices_lost_total") == 0
    assert r.metric("sink_queue_records", sink="a") == QUEUE
    assert r.metric("watch_blocked_seconds_total") == 0
    fake.script("sink a clear")
    r.wait_metric(lambda v: v == 1 + QUEUE, "sink_delivered_total", sink="a")
    r.stop()
    assert keys(fake.records("a")) == kept(versions)
    assert notices(fake.records("a")) == []
    assert r.sink_ledger("a") == {"sink": "a", "enqueued": 61, "delivered": 11, "rejected": 0,
                                  "dropped": 50, "queued": 0, "inFlight": 0}
    made = len(notices(fake.records("b")))
    assert made >= 2
    assert r.sink_ledger("b") == {"sink": "b", "enqueued": 61 + made, "delivered": 61 + made,
                                  "rejected": 0, "dropped": 0, "queued": 0, "inFlight": 0}
    assert not r.logged(BLOCKED)


def test_a_blocks(fake, router, hook):
    r = start(fake, router, hook, "block")
    fake.script("burst 50")
    versions = fake.versions()
    line = r.wait_log(BLOCKED)
    assert (line["sink"], line["watch"]) == ("a", "events")
    r.wait_metric(lambda v: v >= 0.5, "watch_blocked_seconds_total", watch="events", sink="a")
    # one in flight, ten in the queue, and the one that waits: b has it before a
    assert keys(fake.records("b")) == versions[:2 + QUEUE]
    assert r.metric("watch_blocked_seconds_total", watch="events", sink="b") == 0
    assert r.metric("sink_queue_records", sink="a") == QUEUE + 1
    assert r.metric("sink_enqueued_total", sink="a") == QUEUE + 2
    fake.script("sink a clear")
    fake.wait("sink a records >= 51")
    fake.wait("sink b records >= 51")
    r.stop()
    assert keys(fake.records("a")) == keys(fake.records("b")) == versions
    for sink in "ab":
        assert notices(fake.records(sink)) == gaps(fake.records(sink)) == []
        assert r.sink_ledger(sink) == {"sink": sink, "enqueued": 51, "delivered": 51, "rejected": 0,
                                       "dropped": 0, "queued": 0, "inFlight": 0}
    assert len(r.logged(BLOCKED)) == 1


def test_a_blocks_longer_than_a_watch_may_be_silent(fake, router, hook):
    """While a watch waits for a sink its silence timer stands still."""
    r = router(sinks={"a": hook("a", queue={"records": 1},
                                timeout={"connect": "1s", "request": "30s"})},
               watch={"timeout": "1s", "idleTimeout": "1100ms"})
    fake.wait("watches open >= 1")
    fake.script("sink a hang\nburst 20")
    r.wait_metric(lambda v: v >= 1.5, "watch_blocked_seconds_total", watch="events", sink="a")
    assert r.get("/livez")[0] == 200
    fake.script("sink a clear")
    fake.wait("sink a records >= 20")
    r.stop()
    assert keys(fake.records("a")) == fake.versions()
    assert not r.logged("the watch fell silent, its connection is given up")


def test_expired(fake, router, hook):
    r = router(sinks={"a": hook("a", batch={"records": 3}, retry={"maxAge": "2s"}),
                      "b": hook("b")})
    fake.wait("watches open >= 1")
    fake.script("sink a answer 503\nburst 20")
    wait_told(fake, r, "expired", 20)
    assert r.metric("sink_dropped_total", sink="a", reason="expired") == 20
    fake.script("sink a clear\nput late.1")
    r.wait_metric(lambda v: v == 1, "sink_delivered_total", sink="a")
    fake.wait("sink b records >= 21")
    r.stop()
    versions = fake.versions()
    assert keys(fake.records("a")) == versions[-1:]
    assert keys(fake.records("b")) == versions
    assert r.sink_ledger("a") == {"sink": "a", "enqueued": 21, "delivered": 1, "rejected": 0,
                                  "dropped": 20, "queued": 0, "inFlight": 0}


def test_rejected_is_told_to_the_others(fake, router, hook):
    r = router(sinks={"a": hook("a"), "b": hook("b")})
    fake.wait("watches open >= 1")
    fake.script("sink a poison poison 400\nput a.1\nput b.1 message=poison\nput c.1")
    wait_told(fake, r, "refused", 1)
    r.wait_metric(lambda v: v == 2, "sink_delivered_total", sink="a")
    r.stop()
    versions = fake.versions()
    assert keys(fake.records("a")) == [versions[0], versions[2]]
    assert keys(fake.records("b")) == versions
    assert len(events(fake.records("b"))) == 3
