"""All sinks behind one route table, two of which fail in turn for 20 s each.

Two routers get the same Events (of tests/support/er_fake) at the same time and write to the same servers,
each into stores of its own. They differ in what happens when a queue is full: `drops` gives up the
oldest records of the sink that fails and goes on; `blocks` waits, and loses none. Every store is read
back and compared with what the route table owes it, id by id."""
import json
import pathlib
import sys
import threading
import time
import types

import pytest

import cloud_logging
import kafka
import opensearch
import webhook

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from redis_server import Redis  # noqa: E402 (the path comes first)

OUTAGE = 20
LIMIT = 60
SOON = 10  # what does not fail has its records so soon
BATCH = 50  # of the sinks that fail
KEY = "whsec_dGhlIGtleSBvZiB0aGUgcmVjZWl2ZXIsIGFsbCBzaW5rcw=="
NOISE = "Pulled"
ROUTES = [{"name": "noise", "match": {"reason": NOISE}, "drop": True},
          {"name": "pages", "match": {"severity": ["WARNING", "ERROR"]}, "sinks": ["hook"]},
          {"name": "archive", "sinks": ["screen", "file", "kafka", "search", "log", "redis"]}]
SINKS = ("screen", "file", "hook", "kafka", "search", "log", "redis")
FRESH = "firstTimestamp=- lastTimestamp=- eventTime=@now"  # a broker knows repeats for a day only
ROUND = (f"burst 8 prefix warning-{{0}} {FRESH}\nburst 8 prefix normal-{{0}} type=Normal {FRESH}\n"
         f"burst 2 prefix noise-{{0}} type=Normal reason={NOISE} {FRESH}")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    for module in (webhook, cloud_logging, opensearch):
        reason = module.why_not()
        if reason:
            pytest.skip(reason)
    reason = kafka.why_not(kafka.CURRENT)
    if reason:
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("servers")
    for name in ("kafka", "search", "google"):
        (folder / name).mkdir()
    (folder / "key").write_text(KEY)
    (folder / "password").write_text("secret")
    one = types.SimpleNamespace(folder=folder)
    started = []
    try:
        for name, make in (("kafka", lambda: kafka.Kafka(folder / "kafka")),
                           ("redis", lambda: Redis(folder / "redis")),
                           ("google", lambda: cloud_logging.Google(folder / "google")),
                           ("hook", lambda: webhook.Receiver(folder / "key")),
                           ("search", lambda: opensearch.OpenSearch(folder / "search"))):
            started.append(make())
            setattr(one, name, started[-1])
        one.kafka.admin("topic:drops:2", "topic:blocks:2")
        yield one
    finally:
        for server in reversed(started):
            server.close()


class Writer:
    """Writes Events into er_fake until it is told to stop."""

    def __init__(self, fake):
        self.fake, self.done = fake, threading.Event()
        self.thread = threading.Thread(target=self._write)
        self.thread.start()

    def _write(self):
        number = 0
        while not self.done.wait(0.1):
            self.fake.script(ROUND.format(number))
            number += 1

    def stop(self):
        self.done.set()
        self.thread.join()


@pytest.fixture
def writer(fake):
    one = Writer(fake)
    yield one
    one.stop()


def owed(fake):
    """{sink: the ids that the routes owe it}, and how many records the route `noise` drops."""
    found, noise = {sink: [] for sink in SINKS}, 0
    for name, event in fake.events():
        if event["reason"] == NOISE:
            noise += 1
            continue
        for sink in SINKS:
            if sink != "hook" or event["type"] == "Warning":
                found[sink].append(name)
    return found, noise


class Line:
    """One of the two routers, and what it has stored."""

    def __init__(self, name, servers, fake, start_router, folder):
        self.name, self.servers, self.folder = name, servers, folder / name
        self.folder.mkdir()
        self.router = start_router(fake.config(
            self.folder, notices={"window": "1s"}, routes=ROUTES,
            sinks={sink: {"retry": {"initial": "50ms", "max": "500ms"}, **more}
                   for sink, more in self._sinks().items()}), self.folder, stdout=self.folder / "screen")

    def _sinks(self):
        one, secret = self.servers, str(self.servers.folder / "password")
        fails = {"queue": {"records": 500, "overflow": "drop_oldest" if self.name == "drops" else "block"}}
        return {
            "screen": {"type": "stdout", "format": "json"},
            "file": {"type": "file", "path": str(self.folder / "file")},
            "hook": {"type": "webhook", "url": f"{one.hook.url}/cloudevents/{self.name}",
                     "format": "cloudevents-batch", "batch": {"records": BATCH},
                     "sign": {"type": "standard-webhooks",
                              "keys": [{"file": str(one.folder / "key")}]}},
            "kafka": {"type": "kafka", "brokers": one.kafka.plain, "topic": self.name,
                      "batch": {"records": BATCH}, **fails,
                      "options": {"reconnect.backoff.ms": "50", "reconnect.backoff.max.ms": "500"}},
            "search": {"type": "elasticsearch", "url": one.search.url, "index": self.name, "setup": True},
            "log": {"type": "cloudLogging", "url": one.google.url, "logId": self.name,
                    "project": "project-1", "location": "europe-west1", "clusterName": "cluster-1",
                    "auth": {"google": {"credentialsFile": str(one.google.key)}}},
            "redis": {"type": "redis", "address": one.redis.address, "username": "router",
                      "password": {"file": secret}, "stream": f"k8s:{self.name}",
                      "batch": {"records": BATCH}, "timeout": {"connect": "2s", "request": "2s"},
                      **({"dedupe": {"ttl": "1h"}} if self.name == "blocks" else {}), **fails}}

    def stored(self, sink):
        """The ids of what is in the sink's store now, each as often as a reader would see it."""
        one = self.servers
        if sink in ("screen", "file"):
            return [record["id"] for record in self.records(sink)]
        if sink == "hook":
            return [record["id"] for record in one.hook.records(self.name)]
        if sink == "kafka":
            return [dict(json.loads(message)["headers"])["id"] for message in one.kafka.read(self.name)]
        if sink == "search":
            return list(one.search.documents(self.name, source=False))
        if sink == "log":
            return [entry["insertId"] for entry in one.google.state()["entries"]
                    if entry["logName"].endswith(f"/{self.name}")]
        return [entry["id"] for entry in one.redis.entries(f"k8s:{self.name}")]

    def records(self, sink):
        with open(self.folder / sink, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def notices(self):
        """The notices in the file: {id: (sink, records)}."""
        return {record["id"]: (record["notice"]["sink"], record["notice"]["records"])
                for record in self.records("file") if record["kind"] == "notice"}

    def told(self, sink):
        return sum(number for about, number in self.notices().values() if about == sink)

    def wait(self, condition, what, limit=LIMIT):
        end = time.monotonic() + limit
        while not condition():
            assert time.monotonic() < end, (self.name, what, self.router.tail())
            time.sleep(0.05)

    def wait_state(self, sink, state):
        self.wait(lambda: self.router.metric("sink_state", sink=sink, state=state) == 1, (sink, state))

    def wait_enqueued(self, sink, number):
        self.wait(lambda: self.router.metric("sink_enqueued_total", sink=sink) >= number, (sink, number))

    def wait_delivered(self, sink, number):
        self.wait(lambda: self.router.metric("sink_delivered_total", sink=sink) >= number, (sink, number))

    def wait_stored(self, sink, ids, limit=LIMIT):
        self.wait(lambda: ids <= set(self.stored(sink)), f"{sink} has not all records", limit)


def outage(fake, drops, blocks, victim, stop, start):
    """The sinks that work have all there is before the one that does not comes back."""
    before = {sink: set(ids) for sink, ids in owed(fake)[0].items()}
    stop()
    end = time.monotonic() + OUTAGE
    for line in (drops, blocks):
        line.wait_state(victim, "unavailable")
    for line, metric in ((drops, "sink_dropped_total"), (blocks, "watch_blocked_seconds_total")):
        line.wait(lambda: line.router.metric(metric, sink=victim) > 0, metric)
    drops.wait(lambda: drops.told(victim) > 0, "no notice")
    time.sleep(max(0.0, end - SOON / 4 - time.monotonic()))  # the outage itself
    for sink, ids in owed(fake)[0].items():
        if sink != victim:  # what dropped records in an outage before this one has all since then
            drops.wait_stored(sink, set(ids) - before[sink], SOON)
    time.sleep(max(0.0, end - time.monotonic()))
    start()
    for line in (drops, blocks):
        line.wait_state(victim, "ok")
    blocks.wait_delivered(victim, len(owed(fake)[0][victim]))
    drops.wait(lambda: drops.router.metric("sink_dropped_total", sink=victim) == drops.told(victim),
               "not all that was dropped is told")


def compare(line, wanted, noise, repeats):
    """The ledger balances, and each store has what the ledger says: exactly the records that the routes
    give it and the notices about other sinks, less what its own notices say was dropped."""
    assert line.router.stop(LIMIT) == 0, line.router.tail()
    whole = line.router.ledger()
    assert (whole["droppedByRoute"], whole["unrouted"]) == (noise, 0), whole
    ledger = {sink["sink"]: sink for sink in whole["sinks"]}
    notices = line.notices()
    told = {sink: line.told(sink) for sink in SINKS}
    for sink in SINKS:
        mine = wanted[sink] + [name for name, (about, _) in notices.items() if about != sink]
        assert ledger[sink] == {
            "sink": sink, "enqueued": len(mine), "delivered": len(mine) - told[sink], "rejected": 0,
            "dropped": told[sink], "queued": 0, "inFlight": 0}
        found = line.stored(sink)
        once = set(found)
        missing, strange, more = len(set(mine) - once), len(once - set(mine)), len(found) - len(once)
        assert (missing, strange) == (told[sink], 0), (line.name, sink, missing, strange)
        assert more <= repeats.get(sink, 0), (line.name, sink, more)
    return {sink for sink, number in told.items() if number}


def test_two_sinks_fail_in_turn(servers, fake, writer, start_router, tmp_path):
    drops, blocks = (Line(name, servers, fake, start_router, tmp_path) for name in ("drops", "blocks"))
    for line in (drops, blocks):
        line.router.wait_ready()
        for sink in SINKS:
            line.wait_delivered(sink, 100)
    outage(fake, drops, blocks, "kafka", servers.kafka.kill, servers.kafka.start)
    outage(fake, drops, blocks, "redis", servers.redis.hang, servers.redis.resume)
    writer.stop()
    wanted, noise = owed(fake)
    for sink in SINKS:
        blocks.wait_delivered(sink, len(wanted[sink]))
        drops.wait_enqueued(sink, len(wanted[sink]))
    # What the contracts allow: Kafka's, as far as it says so; a batch of Redis without dedupe.
    uncertain = {line: line.router.metric("sink_kafka_possibly_repeated_total", sink="kafka")
                 for line in (drops, blocks)}
    assert compare(drops, wanted, noise, {"kafka": uncertain[drops], "redis": BATCH}) == {"kafka", "redis"}
    assert compare(blocks, wanted, noise, {"kafka": uncertain[blocks]}) == set()
    assert {entry["status"] for entry in servers.hook.lines} == {204}
