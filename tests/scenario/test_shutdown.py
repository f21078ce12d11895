"""The end: exit 0 in time, the ledger as the last line, and in it what was not delivered."""
import signal
import time

import pytest

from conftest import LIMIT, keys

GRACE = 0.4
SPARE = 10.0  # what the end may take beyond the grace, on a busy machine
LONG = "30s"
BLOCKED = "waiting for a sink whose queue is full"


def start(fake, router, hook, grace="400ms", wait=True, **more):
    """Sink a has a queue of ten, and patience for a peer that does not answer."""
    r = router(shutdown={"grace": grace}, sinks={
        "a": hook("a", queue={"records": 10}, timeout={"connect": "1s", "request": LONG}, **more)})
    if wait:
        fake.wait("watches open >= 1")
    return r


def stop(r, number=signal.SIGTERM):
    """How long the end took."""
    since = time.monotonic()
    assert r.stop(number) == 0
    return time.monotonic() - since


def left(enqueued, delivered, queued, in_flight):
    return {"sink": "a", "enqueued": enqueued, "delivered": delivered, "rejected": 0, "dropped": 0,
            "queued": queued, "inFlight": in_flight}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_empty_queue(fake, router, hook, number):
    """There is nothing to wait for: the grace is not used up."""
    r = start(fake, router, hook, grace=LONG)
    fake.script("put a.1")
    fake.wait("sink a accepted >= 1")
    assert stop(r, number) < SPARE
    assert r.sink_ledger("a") == left(1, 1, 0, 0)
    fake.wait("watches open == 0")


def hang_full(fake, r, number=11):
    """One record is in flight and hangs, the others wait."""
    fake.script("sink a hang\nput first.1")
    fake.wait("sink a hanging >= 1")
    fake.script(f"burst {number - 1}")
    r.wait_metric(lambda v: v == number, "sink_enqueued_total", sink="a")


def test_full_queue_drains(fake, router, hook):
    r = start(fake, router, hook, grace=LONG)
    hang_full(fake, r)
    r.process.send_signal(signal.SIGTERM)
    r.wait_log("shutting down")
    assert r.get("/readyz")[0] == 503
    assert r.get("/livez")[0] == 200
    fake.script("sink a clear")
    assert r.process.wait(SPARE) == 0
    assert r.stop() == 0
    assert r.sink_ledger("a") == left(11, 11, 0, 0)
    assert keys(fake.records("a")) == fake.versions()


def test_hung_sink(fake, router, hook):
    r = start(fake, router, hook)
    hang_full(fake, r)
    assert GRACE <= stop(r) < GRACE + SPARE
    assert r.sink_ledger("a") == left(11, 0, 10, 1)
    assert len(fake.requests("a")) == 1


def test_hung_sink_with_batches(fake, router, hook):
    """What was taken from the queue to be sent is in flight, also what no batch holds yet."""
    r = start(fake, router, hook, batch={"records": 4, "linger": "500ms"})
    fake.script("sink a hang\nburst 10")
    fake.wait("sink a hanging >= 1")
    assert GRACE <= stop(r) < GRACE + SPARE
    line = r.sink_ledger("a")
    assert (line["enqueued"], line["delivered"], line["queued"] + line["inFlight"]) == (10, 0, 10)
    assert line["inFlight"] >= 4


def test_lingering_batch_is_sent(fake, router, hook):
    """Nothing more will come, so a batch does not wait for it."""
    r = start(fake, router, hook, grace=LONG, batch={"records": 10, "linger": LONG})
    fake.script("burst 5")
    r.wait_metric(lambda v: v == 5, "sink_enqueued_total", sink="a")
    assert stop(r) < SPARE
    assert r.sink_ledger("a") == left(5, 5, 0, 0)
    assert keys(fake.records("a")) == fake.versions()


@pytest.mark.parametrize("answer", ["503", "503 retry-after 30", "401", "302"])
def test_sink_that_is_waited_for(fake, router, hook, answer):
    """Between two attempts."""
    r = start(fake, router, hook, retry={"initial": LONG, "max": LONG})
    fake.script(f"sink a answer {answer}\nburst 5")
    r.wait_metric(lambda v: v == 0, "sink_state", sink="a", state="ok")
    r.wait_metric(lambda v: v == 5, "sink_enqueued_total", sink="a")
    assert GRACE <= stop(r) < GRACE + SPARE
    assert r.sink_ledger("a") == left(5, 0, 4, 1)
    assert len(fake.requests("a")) == 1


def test_loss_while_draining(fake, router, hook):
    """A notice that comes when the other sink is through holds up nothing."""
    fake.script("sink a hang\nput a.1\nput b.1")
    r = router(sinks={"a": hook("a"), "b": hook("b")}, shutdown={"grace": "60s"})
    fake.wait("sink b records >= 2")
    fake.wait("sink a hanging >= 1")
    r.process.send_signal(signal.SIGTERM)
    r.wait_log("shutting down")
    fake.script("sink a answer 400 delay 500ms\nsink a resume")
    assert r.process.wait(LIMIT) == 0
    r.stop()
    for name in "ab":
        assert r.sink_ledger(name)["queued"] == 0
    assert r.sink_ledger("a")["delivered"] + r.sink_ledger("a")["rejected"] == 2
    assert r.sink_ledger("a")["rejected"] >= 1


def test_connecting(fake, router, hook):
    """Connections are made, but nobody reads them."""
    r = start(fake, router, hook)
    fake.script("sinks pause\nput a.1")
    r.wait_metric(lambda v: v == 1, "sink_in_flight_records", sink="a")
    assert GRACE <= stop(r) < GRACE + SPARE
    fake.script("sinks resume")
    assert r.sink_ledger("a") == left(1, 0, 0, 1)


def test_blocked_push(fake, router, hook):
    """The record that waits for room counts as queued; those behind it were never read."""
    r = start(fake, router, hook)
    hang_full(fake, r)
    fake.script("burst 20 prefix later")
    r.wait_log(BLOCKED, sink="a")
    assert GRACE <= stop(r) < GRACE + SPARE
    line = r.ledger()
    assert r.sink_ledger("a") == left(12, 0, 11, 1)
    assert (line["records"], line["routed"]) == (12, 12)


def test_blocked_push_goes_on(fake, router, hook):
    """The sink is back before the grace is over: what was read is delivered."""
    r = start(fake, router, hook, grace=LONG)
    hang_full(fake, r)
    fake.script("burst 20 prefix later")
    r.wait_log(BLOCKED, sink="a")
    r.process.send_signal(signal.SIGTERM)
    r.wait_log("shutting down")
    fake.script("sink a clear")
    assert r.process.wait(SPARE) == 0
    assert r.stop() == 0
    number = r.sink_ledger("a")["enqueued"]
    assert 12 <= number <= 31
    assert r.sink_ledger("a") == left(number, number, 0, 0)
    assert keys(fake.records("a")) == fake.versions()[:number]


def test_first_list_hangs(fake, router, hook):
    fake.script("fault list hang")
    r = start(fake, router, hook, grace=LONG, wait=False)
    fake.wait("lists >= 1")
    assert stop(r) < SPARE
    assert r.sink_ledger("a") == left(0, 0, 0, 0)


def test_second_page_is_late(fake, router, hook):
    fake.script("page-max 5\nfault page 2 delay 30s\nburst 8")
    r = start(fake, router, hook, grace=LONG, wait=False)
    fake.wait("sink a accepted >= 5")
    fake.wait("pages >= 2")
    assert stop(r) < SPARE
    assert r.sink_ledger("a") == left(5, 5, 0, 0)
    assert keys(fake.records("a")) == fake.versions()[:5]


def test_server_is_not_there(fake, router, hook):
    """While a stream waits to try again."""
    fake.script("api refuse")
    r = start(fake, router, hook, grace=LONG, wait=False)
    r.wait_log("cannot reach the API server")
    assert stop(r) < SPARE


@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM),
                                           (signal.SIGINT, signal.SIGTERM)])
def test_second_signal(fake, router, hook, first, second):
    r = start(fake, router, hook, grace=LONG)
    hang_full(fake, r)
    r.process.send_signal(first)
    r.wait_log("shutting down")
    assert stop(r, second) < SPARE
    assert r.logged("a second signal: not waiting for the queues")
    assert r.sink_ledger("a") == left(11, 0, 10, 1)
