"""Outages of a sink: nothing is lost, batches are sent again as they were cut, the peer is spared."""
import json

import pytest

from conftest import events, keys
from peer import Peer

UNAVAILABLE = "the sink is unavailable, records are kept and tried again"
DENIED = "the sink denies us, records are kept and tried slowly"
WORKS = "the sink works again"


def start(fake, router, hook, batch=10, **more):
    """A router that is watching; a batch waits for its last record, so that its size is known."""
    r = router(sinks={"a": hook("a", batch={"records": batch, "linger": "500ms"}, **more)})
    fake.wait("watches open >= 1")
    return r


def body_records(request):
    return json.loads(request["body"])


def batches(requests):
    """The batches in order of arrival, each with its requests; a repeated one has the same key and
    the same bytes, and comes before anything else."""
    found = []
    for request in requests:
        name = request["headers"]["idempotency-key"]
        assert name == f'"{request["headers"]["webhook-id"]}"'
        if not found or found[-1][0] != name:
            found.append((name, []))
        found[-1][1].append(request)
    names = [name for name, _ in found]
    assert len(set(names)) == len(names), names
    for _, repeated in found:
        whole = repeated[-1]["body"]
        for request in repeated:
            if request["complete"]:
                assert request["body"] == whole
            else:
                assert whole.startswith(request["body"]) and request["body"] != whole
    return [repeated for _, repeated in found]


def ends_with(r, delivered, rejected=0):
    r.wait_metric(lambda v: v == delivered, "sink_delivered_total", sink="a")
    assert r.stop() == 0
    assert r.sink_ledger("a") == {"sink": "a", "enqueued": delivered + rejected,
                                  "delivered": delivered, "rejected": rejected, "dropped": 0,
                                  "queued": 0, "inFlight": 0}


# ---- retry and request time are a tenth of the usual ones, so ten seconds are one ----

@pytest.mark.parametrize("fault, repair", [
    ("sink a answer 503", "sink a clear"),
    ("sink a answer 429", "sink a clear"),
    ("sink a refuse", "sink a clear"),
    ("sinks refuse\nsinks cut", "sinks listen"),
    ("sink a reset 3000", "sink a clear"),
    ("sink a answer 200 drip 1s", "sink a clear"),
    (f"sink a answer 200 drip 1ms body {'x' * 5000}", "sink a clear"),  # the head comes in time
    ("sink a answer 503 endless", "sink a clear"),
    ("sink a hang", "sink a clear"),
], ids=lambda text: text.partition("\n")[0][:32])
def test_outage(fake, router, hook, fault, repair):
    r = start(fake, router, hook, retry={"initial": "50ms", "max": "3s"},
              timeout={"connect": "1s", "request": "300ms"})
    fake.script(f"{fault}\nburst 25")
    r.wait_log(UNAVAILABLE, sink="a")
    fake.script("sleep 1s")
    attempts = r.metric("sink_requests_total", sink="a")
    assert 2 <= attempts <= 8
    assert r.metric("sink_state", sink="a", state="unavailable") == 1
    assert r.metric("sink_delivered_total", sink="a") == 0
    fake.script(repair)
    r.wait_log(WORKS, sink="a")
    ends_with(r, 25)
    found = batches(fake.requests("a"))
    assert [len(body_records(batch[-1])) for batch in found] == [10, 10, 5]
    assert [len(batch) for batch in found[1:]] == [1, 1]
    assert keys(sum((body_records(batch[-1]) for batch in found), [])) == fake.versions()
    assert len(r.logged(UNAVAILABLE)) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(fake, router, hook, status):
    r = start(fake, router, hook)
    fake.script(f"sink a answer {status} retry-after 1 times 1\nburst 10")
    assert r.wait_log(UNAVAILABLE, sink="a")["retryInMs"] == 1000
    ends_with(r, 10)
    first, second = fake.requests("a")
    assert [first["status"], second["status"]] == [status, 200]
    assert second["ms"] - first["ms"] >= 1000
    assert len(batches([first, second])) == 1
    assert keys(fake.records("a")) == fake.versions()


def test_endless_success(fake, router, hook):
    """The status says that it was taken; of what follows, only the beginning is read."""
    r = start(fake, router, hook)
    fake.script("sink a answer 200 endless\nburst 20")
    ends_with(r, 20)
    assert [request["status"] for request in fake.requests("a")] == [200, 200]
    assert keys(fake.records("a")) == fake.versions()
    assert not r.logged(UNAVAILABLE)


# ---- too large ----

def test_413_is_halved_and_the_size_holds(fake, router, hook):
    r = start(fake, router, hook, batch=40)
    fake.script("sink a max-body 10000\nburst 40")
    r.wait_log("the sink takes smaller batches only", records=10)
    fake.script("burst 40 prefix later")
    ends_with(r, 80)
    requests = fake.requests("a")
    assert [(len(body_records(request)), request["status"]) for request in requests] == [
        (40, 413), (20, 413), (10, 200), (10, 200), (20, 413), (10, 200), (10, 200),
        (10, 200), (10, 200), (10, 200), (10, 200)]
    assert keys(fake.records("a")) == fake.versions()


def test_413_of_one_record(fake, router, hook):
    """It alone is given up; the size of batches is innocent."""
    r = start(fake, router, hook, batch=4)
    fake.script("sink a max-body 6000\nput a.1\nput large.1 message=@x:9000\nput b.1\nput c.1")
    r.wait_log("record rejected", sink="a", reason="too_large")
    fake.script("burst 4 prefix later")
    ends_with(r, 7, rejected=1)
    versions = fake.versions()
    assert keys(fake.records("a")) == versions[:1] + versions[2:]
    assert len(body_records(fake.requests("a")[-1])) == 4


# ---- denied ----

def test_redirect_is_not_followed(fake, router, hook):
    r = start(fake, router, hook)
    fake.script(f"sink a redirect {fake.sinks}/elsewhere\nburst 25")
    r.wait_log(DENIED, sink="a")
    fake.wait("sink a requests >= 3")
    assert r.metric("sink_state", sink="a", state="denied") == 1
    fake.script("sink a clear")
    ends_with(r, 25)
    assert [request["status"] for request in batches(fake.requests("a"))[0]][:3] == [302] * 3
    assert keys(fake.records("a")) == fake.versions()
    assert fake.requests("elsewhere") == []


def test_401_until_the_credential_changes(fake, router, hook, tmp_path):
    """The peer looks at the header: only the new secret is taken."""
    secret = tmp_path / "bearer"
    secret.write_text("first-secret\n")
    peer = Peer(lambda headers: 200 if headers["Authorization"] == "Bearer second-secret" else 401)
    r = start(fake, router, hook, url=f"http://127.0.0.1:{peer.port}/",
              auth={"bearer": {"file": str(secret)}})
    fake.script("burst 25")
    r.wait_log(DENIED, sink="a")
    assert set(peer.statuses()) == {401}
    replacement = tmp_path / "replacement"
    replacement.write_text("second-secret\n")
    replacement.rename(secret)
    peer.wait_records(25)
    ends_with(r, 25)
    peer.close()
    assert keys(peer.records()) == fake.versions()
    assert peer.statuses()[-4:] == [401, 200, 200, 200]
    assert not any("-secret" in str(line) for line in r.lines)


def test_401_of_a_credential_that_was_just_replaced(fake, router, hook, tmp_path):
    """It is read again at once, and the request repeated, without waiting as for a denial."""
    secret = tmp_path / "bearer"
    secret.write_text("first-secret")

    def judge(headers):
        if headers["Authorization"] == "Bearer second-secret":
            return 200
        replacement = tmp_path / "replacement"
        replacement.write_text("second-secret")
        replacement.rename(secret)
        return 401

    peer = Peer(judge)
    r = start(fake, router, hook, url=f"http://127.0.0.1:{peer.port}/",
              auth={"bearer": {"file": str(secret)}}, retry={"initial": "60s", "max": "60s"})
    fake.script("burst 10")
    peer.wait_records(10)
    ends_with(r, 10)
    peer.close()
    assert peer.statuses() == [401, 200]
    assert keys(peer.records()) == fake.versions()
    assert not r.logged(DENIED)


# ---- poison ----

def test_one_poison_record_of_500(fake, router, hook):
    r = start(fake, router, hook, batch=500)
    fake.script('sink a poison "cannot be stored" 400\nburst 321\n'
                'put poison.1 message="this cannot be stored"\nburst 178 prefix after')
    line = r.wait_log("record rejected", sink="a", reason="refused")
    r.wait_metric(lambda v: v == 499, "sink_delivered_total", sink="a")
    assert len(fake.requests("a")) <= 20
    fake.script("burst 500 prefix later")
    ends_with(r, 999, rejected=1)
    versions = fake.versions()
    assert keys(fake.records("a")) == versions[:321] + versions[322:]
    assert len(body_records(fake.requests("a")[-1])) == 500
    record = json.loads(line["record"])
    assert keys([record]) == [versions[321]]
    assert line["id"] == record["id"]
    refused = [record for request in fake.requests("a") if request["status"] == 400
               for record in events(body_records(request))]
    assert record in refused
