"""Resume points against a real API server: killed routers, killed and restored servers, forgotten history.

Four control planes play side by side, since most of it is waiting; then each play is judged."""
import collections
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import sqlite3
import tempfile
import threading
import time

import pytest

import kube
import programs

WATCH_EVENTS = [{"apiGroups": [""], "resources": ["events"], "verbs": ["list", "watch"]}]
FREE = {"observedTime", "countDelta", "recovered"}  # what may differ in a repeat
KILLS, PAUSED, COMPACTED_AWAY, EXPIRED_AWAY = 20, 120, 12, 60

CONFIG = """
cluster: e2e
log: {{level: info, format: json}}
admin: {{listen: "127.0.0.1:0"}}
kubernetes: {{kubeconfig: "{kubeconfig}"}}
watch:
  timeout: {timeout}
  idleTimeout: 6s
  backoff: {{initial: 50ms, max: 1s}}
state: {{path: "{state}", interval: 100ms}}
sinks:
  hook: {{type: webhook, url: "{url}/{life}"}}
"""


def ident(event):
    return f"{event['metadata']['uid']}-{event['metadata']['resourceVersion']}"


def event_body(name, count=1):
    return {"metadata": {"name": name}, "type": "Warning", "reason": "BackOff", "message": name,
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": name},
            "count": count, "firstTimestamp": "2026-01-02T03:04:05Z",
            "lastTimestamp": f"2026-01-02T03:04:{count % 60:02d}Z", "source": {"component": "kubelet"}}


class Play:
    """One control plane, one router after the other on it, and what the webhook got."""

    PATH = "/api/v1/namespaces/default/events"

    def __init__(self, folder, **settings):
        self.folder = str(folder)
        self.cluster = kube.Cluster(os.path.join(self.folder, "cluster"),
                                    REALK8S_COMPONENTS="etcd kube-apiserver", **settings)
        os.mkdir(self.cluster.folder)
        self.receiver, self.router, self.life, self.points = programs.Receiver(), None, 0, {}

    def up(self):
        self.cluster.up()
        self.api = self.cluster.admin
        while self.api.request("GET", "/api/v1/namespaces/default")[0] != 200:
            time.sleep(0.05)
        self.kubeconfig = self.cluster.service_account("router", WATCH_EVENTS)

    def down(self):
        if self.router:
            self.router.kill()
        self.receiver.close()
        self.cluster.down()

    # ---- the router

    def start(self, timeout="4s"):
        self.life += 1
        folder = os.path.join(self.folder, f"life-{self.life}")
        os.mkdir(folder)
        self.points[self.life] = self.point()
        self.router = programs.Router(folder, CONFIG.format(
            kubeconfig=self.kubeconfig, state=os.path.join(self.folder, "state"), timeout=timeout,
            url=self.receiver.url, life=self.life))

    def point(self):
        """What is stored, read from a copy; None: nothing yet."""
        source = os.path.join(self.folder, "state", "state.db")
        if not os.path.exists(source):
            return None
        with tempfile.TemporaryDirectory() as copy:
            for suffix in ("-wal", ""):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copy(source + suffix, copy)
            db = sqlite3.connect(os.path.join(copy, "state.db"))
            try:
                rows = db.execute("SELECT value FROM entry WHERE stream=CAST('events' AS BLOB)"
                                  " AND key=x''").fetchall()
            except sqlite3.Error:
                return None
            finally:
                db.close()
        return json.loads(rows[0][0]) if rows else None

    def wait_settled(self, version, limit=60):
        """Returns when the stored resume point is at that version or behind it."""
        end = time.monotonic() + limit
        while True:
            found = self.point()
            if found and found["mark"] == "resume" and int(found["version"]) >= int(version):
                return found
            assert time.monotonic() < end, f"{found} does not reach {version}: {self.router.tail()}"
            time.sleep(0.05)

    def wait_log(self, message, limit=60):
        end = time.monotonic() + limit
        while not any(line["message"] == message for line in self.router.log()):
            assert time.monotonic() < end, f"no \"{message}\": {self.router.tail()}"
            time.sleep(0.05)

    # ---- the cluster

    def put(self, name):
        return self.api.insist("POST", self.PATH, event_body(name))

    def step(self, name, count):
        return self.api.insist("PATCH", f"{self.PATH}/{name}", {
            "count": count, "lastTimestamp": f"2026-01-02T03:05:{count % 60:02d}Z"},
            "application/merge-patch+json")

    def burst(self, prefix, n, steps=0):
        for number in range(n):
            self.put(f"{prefix}-{number}")
            for count in range(2, steps + 2):
                self.step(f"{prefix}-{number}", count)
        return self.version()

    def listing(self):
        return self.api.insist("GET", self.PATH)

    def version(self):
        return self.listing()["metadata"]["resourceVersion"]

    # ---- what came

    def gaps(self):
        return [r["gap"] for r in self.receiver.records if r["kind"] == "gap"]

    def wait_for_events(self, events, limit=60):
        wanted = {ident(event) for event in events}
        missing = self.receiver.wait_for(wanted, limit)
        assert not missing, f"{len(missing)} of {len(wanted)} versions never came: {self.router.tail()}"

    def wait_gap(self, cause, limit=60):
        end = time.monotonic() + limit
        while not any(gap["cause"] == cause for gap in self.gaps()):
            assert time.monotonic() < end, f"no gap record: {self.router.tail()}"
            time.sleep(0.05)

    def lives(self):
        """{id: [(life, record)]} of the Events."""
        found = collections.defaultdict(list)
        for headers, records in list(self.receiver.requests):
            for record in records:
                if record["kind"] == "event":
                    found[record["id"]].append((int(headers[":path"].rsplit("/", 1)[1]), record))
        return found


def seen(watch):
    """The Events of the versions that the test's own watch saw written."""
    watch.wait_level()
    watch.stop()
    return [event for kind, event in watch.frames if kind != "DELETED"]


# ---- the plays ----

class Writer(threading.Thread):
    """Creates Events and counts them up, through everything."""

    def __init__(self, play, prefix):
        super().__init__(daemon=True)
        self.play, self.prefix, self.stopped, self.failure = play, prefix, False, None
        self.start()

    def run(self):
        number = 0
        try:
            while not self.stopped:
                self.play.burst(f"{self.prefix}-{number}", 5, steps=2)
                number += 1
        except AssertionError as error:
            self.failure = error

    def stop(self):
        self.stopped = True
        self.join()
        assert not self.failure, self.failure


def play_kills(play):
    """20 kills, the API server killed and started beside some of them; watches of one second."""
    play.start("1s")
    play.wait_settled(play.burst("first", 3))
    watch = kube.EventWatch(play.api)
    writer = Writer(play, "killed")
    with concurrent.futures.ThreadPoolExecutor(1) as aside:  # one outage after the other
        outages = []
        for number in range(KILLS):
            time.sleep(random.random() * 0.8)
            if number in (3, 13):
                outages.append(aside.submit(play.cluster.restart_apiserver))
            play.router.kill()
            play.start("1s")
    for outage in outages:
        outage.result()
    time.sleep(2)
    writer.stop()
    written = seen(watch)
    play.wait_for_events(written)
    assert play.router.stop() == 0
    play.router.ledger()
    return {"written": written, "gaps": play.gaps(), "lives": play.lives(), "points": dict(play.points)}


def play_pause(play):
    """The router is paused; the cluster goes on."""
    play.start()
    play.wait_settled(play.version())
    watch = kube.EventWatch(play.api)
    at, gaps_before = len(play.receiver.records), len(play.gaps())
    play.router.process.send_signal(programs.signal.SIGSTOP)
    play.burst("paused", 200, steps=2)
    time.sleep(PAUSED)
    play.burst("woken", 20)
    play.router.process.send_signal(programs.signal.SIGCONT)
    written = seen(watch)
    play.wait_for_events(written)
    assert play.router.stop() == 0
    play.router.ledger()
    return {"written": written, "gaps": play.gaps()[gaps_before:],
            "came": [r["id"] for r in play.receiver.records[at:]]}


def play_restore(play):
    """etcd's data go back while the router runs, and once more while it is stopped."""
    found = {}
    play.burst("kept", 10)
    play.cluster.save("backup")
    for moment in ("running", "stopped"):
        play.start()
        before = play.wait_settled(play.burst(f"lost-{moment}", 150, steps=2))
        if moment == "stopped":
            assert play.router.stop() == 0
            before = play.point()
        play.receiver.forget()
        play.cluster.restore("backup")
        if moment == "stopped":
            play.start()
        play.put(f"after-{moment}")
        play.wait_gap("rewound")
        listed = play.listing()["items"]
        play.wait_for_events(listed)
        play.put(f"goes-on-{moment}")
        play.wait_for_events(play.listing()["items"])
        found[moment] = {"gaps": play.gaps(), "before": before, "listed": listed,
                         "after": play.wait_settled(play.version())}
        if moment == "running":
            assert play.router.stop() == 0
    assert play.router.stop() == 0
    return found


def play_away(play, seconds):
    """The router is stopped for so long; Events are written before, at once, and at the end."""
    play.start()
    play.wait_settled(play.burst("before", 20))
    assert play.router.stop() == 0
    before, watch = play.point(), kube.EventWatch(play.api)
    play.burst("early", 50, steps=2)
    for second in range(seconds):
        time.sleep(1)
        if second % 4 == 3:
            play.put(f"meanwhile-{second}")
    play.burst("late", 10)
    at, stopped = len(play.receiver.records), time.time()
    play.start()
    listed = play.listing()["items"]
    play.wait_for_events([e for e in listed if int(e["metadata"]["resourceVersion"]) >
                          int(before["version"])])
    play.wait_settled(play.version())
    written = seen(watch)
    assert play.router.stop() == 0
    play.router.ledger()
    return {"before": before, "written": written, "gaps": play.gaps(), "stopped": stopped,
            "came": {r["id"] for r in play.receiver.records[at:]}}


@pytest.fixture(scope="module")
def played(control_plane_programs, tmp_path_factory):
    """All plays; a play that failed raises when it is asked for."""
    short, brief = "--etcd-compaction-interval=5s", "--event-ttl=30s"
    plays = {name: Play(tmp_path_factory.mktemp(name), **settings) for name, settings in (
        ("plain", {}), ("compacted", {"EXTRA_APISERVER_FLAGS": short}),
        ("expired", {"EXTRA_APISERVER_FLAGS": f"{brief} {short}"}),
        ("brief", {"EXTRA_APISERVER_FLAGS": brief}))}

    def plain(play):
        return {"kills": play_kills(play), "pause": play_pause(play), "restore": play_restore(play)}

    acts = {"plain": plain, "compacted": lambda play: play_away(play, COMPACTED_AWAY),
            "expired": lambda play: play_away(play, EXPIRED_AWAY),
            "brief": lambda play: play_away(play, EXPIRED_AWAY)}
    try:
        with concurrent.futures.ThreadPoolExecutor(len(plays)) as pool:
            futures = {}
            for name, play in plays.items():
                play.cluster.env["REALK8S_PORT"] = str(kube.free_ports())
                play.up()
                futures[name] = pool.submit(acts[name], play)
        yield futures
    finally:
        for play in plays.values():
            play.down()


# ---- the judgement ----

def test_killed_twenty_times(played):
    play = played["plain"].result()["kills"]
    copies = sum(len(found) for found in play["lives"].values())
    print(f"{len(play['written'])} versions, {copies - len(play['lives'])} repeats")
    assert play["gaps"] == []
    assert len(play["lives"]) > 100
    assert len(play["points"]) == KILLS + 1
    written = {ident(event) for event in play["written"]}
    assert written <= play["lives"].keys()
    for name, copies in play["lives"].items():
        version = int(name.rsplit("-", 1)[1])
        first = {k: v for k, v in copies[0][1].items() if k not in FREE}
        assert len({life for life, _ in copies}) == len(copies), f"{name} came twice in one life"
        for life, record in copies:
            point = play["points"][life]
            assert not point or point["mark"] != "resume" or version > int(point["version"]), name
            assert {k: v for k, v in record.items() if k not in FREE} == first


def test_paused_for_two_minutes(played):
    play = played["plain"].result()["pause"]
    assert play["gaps"] == []
    ids = [ident(event) for event in play["written"]]
    assert sorted(play["came"]) == sorted(ids) and len(ids) >= 620  # each once


@pytest.mark.parametrize("moment", ["running", "stopped"])
def test_restored(played, moment):
    play = played["plain"].result()["restore"][moment]
    [gap] = play["gaps"]
    assert gap["cause"] == "rewound"
    assert gap["fromResourceVersion"] == play["before"]["version"]
    assert int(gap["toResourceVersion"]) < int(gap["fromResourceVersion"])
    assert play["after"]["mark"] == "resume"
    assert int(play["after"]["version"]) < int(play["before"]["version"])
    assert len(play["listed"]) > 10


@pytest.mark.parametrize("name", ["compacted", "expired"])
def test_history_forgotten_while_stopped(played, name):
    play = played[name].result()
    [gap] = play["gaps"]
    assert gap["cause"] == "expired"
    assert gap["fromResourceVersion"] == play["before"]["version"]
    assert gap["fromTime"] == play["before"]["watchedUntil"]
    lost = [event for event in play["written"] if ident(event) not in play["came"]]
    assert lost, "nothing was forgotten: this proves nothing"
    for event in lost:
        version = int(event["metadata"]["resourceVersion"])
        assert int(gap["fromResourceVersion"]) < version <= int(gap["toResourceVersion"])


def test_events_that_expired_while_stopped_are_still_in_the_history(played):
    play = played["brief"].result()
    assert play["gaps"] == []
    assert {ident(event) for event in play["written"]} == play["came"]
