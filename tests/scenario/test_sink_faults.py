"""Faults of a sink's peer: nothing is lost but what is poison, and nothing is asked too often."""
import itertools
import json

import pytest

from conftest import keys

WHOLE = {"records": 500, "linger": "300ms"}  # what is there at once goes in one request
SLOW = {"initial": "50ms", "max": "3s"}  # the defaults, scaled by ten


def start(fake, router, sink, events_n=20, **config):
    """A router that has listed events_n Events for its one sink."""
    fake.script(f"burst {events_n}")
    return router(sinks={"a": sink}, **config)


def all_arrive(fake, r, extra=0):
    versions = fake.versions()
    fake.wait(f"sink a accepted >= {len(versions) + extra}")
    assert r.stop() == 0
    records = fake.records("a")
    assert sorted(keys(records)) == sorted(versions)
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["rejected"], ledger["dropped"]) == (len(records), 0, 0)
    return records


def assert_resent_as_cut(fake):
    """A request that was not accepted is followed by the same one, byte for byte."""
    requests = fake.requests("a")
    for before, after in itertools.pairwise(requests):
        if not 200 <= before["status"] < 300 and before["complete"]:
            assert after["body"] == before["body"]
            assert after["headers"]["idempotency-key"] == before["headers"]["idempotency-key"]


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 425])
def test_unavailable(fake, router, hook, status):
    fake.script(f"sink a answer {status} times 4")
    r = start(fake, router, hook("a", batch={"records": 8}))
    fake.wait("sink a requests >= 1")
    fake.script("burst 15 prefix more")  # never topped up
    all_arrive(fake, r)
    assert_resent_as_cut(fake)
    assert [request["status"] for request in fake.requests("a")[:5]] == [status] * 4 + [200]


def test_few_requests_in_an_outage(fake, router, hook):
    """A scaled ten seconds: at most eight requests in one second."""
    fake.script("sink a answer 503")
    r = start(fake, router, hook("a", batch={"records": 8}, retry=SLOW))
    fake.wait("sink a requests >= 1")
    first = fake.requests("a")[0]["ms"]
    fake.script("sleep 1s\nsink a answer 200")
    in_a_second = [request for request in fake.requests("a") if request["ms"] < first + 1000]
    assert 3 <= len(in_a_second) <= 8
    all_arrive(fake, r)
    assert_resent_as_cut(fake)


def test_429_with_retry_after(fake, router, hook):
    fake.script("sink a answer 429 retry-after 1 times 2")
    r = start(fake, router, hook("a", batch=WHOLE))
    all_arrive(fake, r)
    times = [request["ms"] for request in fake.requests("a")]
    assert len(times) == 3
    assert all(after - before >= 1000 for before, after in itertools.pairwise(times))
    assert_resent_as_cut(fake)


def test_connection_refused(fake, router, hook):
    fake.script("sinks refuse")
    r = start(fake, router, hook("a"))
    line = r.wait_log("the sink is unavailable, records are kept and tried again", sink="a")
    assert "refused" in line["error"]
    fake.script("sinks listen")
    all_arrive(fake, r)
    assert r.logged("the sink works again")


def test_reset_after_half_a_body(fake, router, hook):
    fake.script("sink a reset 2000 times 3")
    r = start(fake, router, hook("a", batch=WHOLE))
    all_arrive(fake, r)
    assert len(fake.requests("a")) == 4
    assert_resent_as_cut(fake)


@pytest.mark.parametrize("answer", ["200 body \"0123456789\" drip 1s", "200 endless"])
def test_answers_that_do_not_end(fake, router, hook, answer):
    """One byte a second ends by the time limit; an endless body by the cap, and its status counts."""
    fake.script(f"sink a answer {answer} times 1")
    r = start(fake, router, hook("a", batch=WHOLE, timeout={"request": "1s"}))
    drips = "drip" in answer
    # whether the first was taken is not known: it is sent again, with the same key
    fake.wait(f"sink a requests >= {2 if drips else 1}")
    if drips:
        fake.wait("sink a accepted >= 40")
    assert r.stop() == 0
    assert {request["headers"]["idempotency-key"] for request in fake.requests("a")} == {
        fake.requests("a")[0]["headers"]["idempotency-key"]}
    assert r.sink_ledger("a")["delivered"] == 20
    assert sorted(set(keys(fake.records("a")))) == sorted(fake.versions())


def test_hung_socket(fake, router, hook):
    fake.script("sink a hang")
    r = start(fake, router, hook("a", batch=WHOLE, timeout={"request": "300ms"}))
    fake.wait("sink a requests >= 2")
    fake.script("sink a resume")
    fake.wait("sink a accepted >= 20")
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 20
    assert len({request["headers"]["idempotency-key"] for request in fake.requests("a")}) == 1


def test_413_is_halved(fake, router, hook):
    fake.script("sink a max-body 20000")
    r = start(fake, router, hook("a", batch=WHOLE), events_n=200)
    all_arrive(fake, r)
    sizes = [request["records"] for request in fake.requests("a")]
    worked = max(request["records"] for request in fake.requests("a") if request["status"] == 200)
    assert sizes[:4] == [200, 100, 50, 25] and worked == 25


def test_413_size_holds(fake, router, hook):
    fake.script("sink a max-body 20000")
    r = start(fake, router, hook("a", batch=WHOLE), events_n=200)
    fake.wait("sink a accepted >= 200")
    r.wait_log("the sink takes smaller batches only", sink="a", records=25)
    fake.wait("watches open >= 1")
    refused = [request for request in fake.requests("a") if request["status"] == 413]
    fake.script("burst 300 prefix more")
    all_arrive(fake, r)
    assert [request for request in fake.requests("a") if request["status"] == 413] == refused


def test_redirect_is_denied(fake, router, hook):
    fake.script(f"sink a redirect {fake.sinks}/other")
    r = start(fake, router, hook("a"))
    line = r.wait_log("the sink denies us, records are kept and tried slowly", sink="a")
    assert "302" in line["error"] and "url" in line["error"]
    fake.wait("sink a requests >= 2")
    fake.script("sink a answer 200")
    all_arrive(fake, r)
    assert fake.requests("other") == []


@pytest.mark.parametrize("status", [401, 403, 404, 405, 410, 415])
def test_denied_keeps_everything(fake, router, hook, status):
    fake.script(f"sink a answer {status} times 3")
    r = start(fake, router, hook("a", batch={"records": 10}))
    all_arrive(fake, r)
    assert_resent_as_cut(fake)
    assert r.logged("the sink denies us, records are kept and tried slowly")


def test_401_until_the_bearer_changes(fake, router, hook, tmp_path):
    secret = tmp_path / "bearer"
    secret.write_text("old-secret\n")
    fake.script("sink a answer 401")
    r = start(fake, router, hook("a", auth={"bearer": {"file": str(secret)}}))
    fake.wait("sink a requests >= 3")
    seen = len(fake.requests("a"))
    secret.write_text("new-secret\n")
    # a 401 makes it look at the file, and the new one is tried at once
    fake.wait(f"sink a requests >= {seen + 3}")
    fake.script("sink a answer 200")
    all_arrive(fake, r)
    sent = [request["headers"]["authorization"] for request in fake.requests("a")]
    assert sent[0] == "Bearer old-secret" and sent[-1] == "Bearer new-secret"
    assert "secret" not in json.dumps([line for line in r.lines if line["component"] != "secret"])


@pytest.mark.parametrize("status", [400, 422])
def test_poison_record(fake, router, hook, status):
    fake.script(f'sink a poison POISON {status}\nburst 320\nput poison.1 message="a POISON pill"\n'
                "burst 179 prefix more")
    r = router(sinks={"a": hook("a", batch=WHOLE)})
    fake.wait("sink a accepted >= 499")
    assert r.stop() == 0
    versions = fake.versions()
    poison = versions.pop(320)
    assert sorted(keys(fake.records("a"))) == sorted(versions)
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["rejected"]) == (499, 1)
    assert len(fake.requests("a")) <= 1 + 2 * 9
    (line,) = r.logged("record rejected")
    assert (line["sink"], line["reason"]) == ("a", "refused")
    assert line["id"] == "-".join(poison) and "a POISON pill" in line["record"]


def test_single_record_too_large(fake, router, hook):
    fake.script("sink a max-body 3000\nput big.1 message=@x:5000\nput small.1")
    r = router(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 1")
    r.wait_log("record rejected", sink="a", reason="too_large")
    assert r.stop() == 0
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["rejected"]) == (1, 1)


def test_single_requests_carry_the_record_id(fake, router, hook):
    r = start(fake, router, hook("a", headers={"X-Team": "platform"}))
    all_arrive(fake, r)
    for request in fake.requests("a"):
        record = json.loads(request["body"])
        assert request["headers"]["idempotency-key"] == f'"{record["id"]}"'
        assert request["headers"]["webhook-id"] == record["id"]
        assert request["headers"]["content-type"] == "application/json"
        assert request["headers"]["x-team"] == "platform"


def test_expired_records_are_counted(fake, router, hook):
    fake.script("sink a answer 503")
    r = start(fake, router, hook("a", retry={"maxAge": "300ms"}))
    r.wait_metric(lambda v: v == 20, "sink_dropped_total", sink="a", reason="expired")
    assert r.stop() == 0
    assert r.sink_ledger("a")["dropped"] == 20
