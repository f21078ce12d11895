"""kill -9 at random moments, again and again, under load: nothing is lost, and repeats are true repeats.

The API server keeps its whole history, or (the second series) forgets it at random moments. A webhook
and a file that fail now and then must have everything. ER_CRASH_CYCLES is how often a series kills
(200; 10 under a sanitizer), ER_CRASH_SEED what it draws from; both are printed."""
import hashlib
import json
import os
import random
import resource
import threading
import time

import pytest

from conftest import BIN, LIMIT, Router, key_of_event, point, wait_point

SANITIZED = BIN.parent.name in ("asan", "tsan")
CYCLES = int(os.environ.get("ER_CRASH_CYCLES", 10 if SANITIZED else 200))
SEED = int(os.environ.get("ER_CRASH_SEED", random.randrange(1 << 32)))
PARTS = 1 if CYCLES < 40 else 4  # run beside each other
RATE = 2000  # versions a second
AWAY = 2.3   # longer than a stream counts as complete: then a loss must be said

FREE = {"observedTime", "countDelta", "recovered"}


def digest(record):
    """What must be the same in every copy of a record."""
    free = FREE | ({"time"} if record["timeSource"] == "observed" else set())
    kept = {name: value for name, value in record.items() if name not in free}
    return hashlib.sha1(json.dumps(kept, sort_keys=True).encode()).digest()


def is_whole(line):
    try:
        return bool(json.loads(line))
    except ValueError:
        return False


class Load:
    """Events and their count steps, one after the other, until it is stopped."""

    def __init__(self, fake):
        self.fake, self.stopped = fake, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        burst = 0
        while not self.stopped:
            self.fake.script(f"burst 250 prefix load-{burst} rate {RATE} steps 3 lastTimestamp=@now")
            burst += 1

    def stop(self):
        assert self.thread.is_alive() or self.stopped, "the load broke off"
        self.stopped = True
        self.thread.join()


class Copies:
    """What one sink has got: each record's digest and version, and the lives in which it came."""

    def __init__(self, kind):
        self.kind = kind
        self.digests, self.versions, self.lives, self.gaps = {}, {}, {}, []

    def take(self, record, life):
        if record["kind"] == "gap":
            self.gaps.append(record)
            return
        assert record["kind"] == self.kind, record
        ident, found = record["id"], digest(record)
        assert self.digests.setdefault(ident, found) == found, f"another {ident}: {record}"
        self.versions[ident] = int(record.get("event", record["object"])["resourceVersion"])
        lives = self.lives.setdefault(ident, [])
        assert not lives or lives[-1] != life, f"{ident} came twice in life {life}"
        lives.append(life)


class Series:
    """One router after the other, with the same state and the same sinks."""
    stream, kind, watch = "events", "event", {}

    def __init__(self, fake, hook, directory, seed):
        self.fake, self.hook, self.directory = fake, hook, directory
        self.random = random.Random(seed)
        self.points = [None]  # what was stored when life N began
        self.life, self.router = 0, None
        self.file = directory / "records.ndjson"
        self.ends = []        # of the file, at the end of life N
        self.requests = 0     # of the webhook, taken so far
        self.hooked, self.filed = Copies(self.kind), Copies(self.kind)

    def start(self):
        self.life += 1
        folder = self.directory / f"life-{self.life}"
        folder.mkdir()
        retry = {"initial": "5ms", "max": "40ms"}
        webhook = self.hook("a", batch={"records": 100}, retry=retry, url=f"{self.fake.sinks}/a/{self.life}")
        self.router = Router(folder, self.fake.api, {
            "log": {"level": "info"}, "watch": self.watch,
            "state": {"path": str(self.directory / "state"), "interval": "20ms"},
            "sinks": {"a": webhook, "b": {"type": "file", "path": str(self.file), "retry": retry}}})

    def kill(self):
        self.router.kill()
        self.router.process.stderr.close()
        written = self.file.read_bytes() if self.file.exists() else b""
        ended = written.rfind(b"\n") + 1
        if is_whole(written[ended:]):
            ended = len(written) + 1  # killed between the record and its newline, which the next life gives it
        self.ends.append(ended)
        self.points.append(point(self.directory / "state", self.stream))
        self.take_requests()

    def disturb(self):
        """One of the things that go wrong with sinks, or none."""
        draw = self.random.randrange(10)
        if draw < 4:
            self.fake.script(["sink a answer 503 times 2", "sink a refuse times 2",
                              "sink a reset 500 times 1", "sink a answer 200 delay 30ms times 2"][draw])
        elif draw == 4:
            self.fake.script("sink a hang")
        elif draw == 5 and self.file.exists():  # a full disk: for the file, and maybe for the state
            size = self.file.stat().st_size + self.random.randrange(100000)
            resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (size, -1))

    def cure(self):
        self.fake.script("sink a clear")
        if self.router.process.poll() is None:
            resource.prlimit(self.router.process.pid, resource.RLIMIT_FSIZE, (-1, -1))

    def cycle(self):
        self.start()
        quick = self.random.random() < 0.2
        wait = self.random.random() * (0.03 if quick else 0.3 if not SANITIZED else 1)
        time.sleep(wait / 2)
        self.disturb()
        time.sleep(wait / 2)
        if self.random.random() < 0.7:
            self.cure()
        self.kill()
        self.cure()

    def take_requests(self):
        for request in self.fake.lines(f"/sink/a?from={self.requests}"):
            self.requests += 1
            if 200 <= request["status"] < 300 and request["complete"]:
                for record in json.loads(request["body"]):
                    self.hooked.take(record, int(request["path"].rsplit("/", 1)[1]))

    def take_file(self):
        at, life = 0, 1
        with open(self.file, "rb") as lines:
            for line in lines:
                while life <= len(self.ends) and at >= self.ends[life - 1]:
                    life += 1
                self.filed.take(json.loads(line), life)
                at += len(line)

    def finish(self, wanted):
        """A last life, which brings what is missing of wanted."""
        self.start()
        wait_point(self.directory / "state", 3 * LIMIT, self.stream, mark="resume",
                   version=str(self.fake.state()["version"]))
        assert self.router.stop() == 0
        self.router.ledger()
        self.router.process.stderr.close()
        self.ends.append(self.file.stat().st_size)
        self.take_file()
        self.take_requests()
        for copies, name in ((self.hooked, "webhook"), (self.filed, "file")):
            missing = set(wanted) - copies.digests.keys()
            assert not missing, f"{len(missing)} versions never came to the {name}: {sorted(missing)[:5]}"

    def check_repeats(self):
        """Each life brings only what follows the point it began with."""
        repeats = 0
        for copies in (self.hooked, self.filed):
            for ident, lives in copies.lives.items():
                version = copies.versions[ident]
                repeats += len(lives) - 1
                for life in lives:
                    began = self.points[life - 1]
                    assert version > int(began["version"]), (ident, lives, began)
        return repeats


def versions(fake):
    return [key_of_event(change["object"]) for change in fake.history() if change["type"] != "DELETED"]


def idents(found):
    return [f"{uid}-{version}" for uid, version in found]


def under_load(one, part, make_load):
    print(f"\nER_CRASH_CYCLES={CYCLES} ER_CRASH_SEED={SEED}, part {part}")
    one.start()  # to a first resume point: from then on each version counts
    wait_point(one.directory / "state", stream=one.stream, mark="resume")
    one.kill()
    load = make_load(one.fake)
    one.stop_load = load.stop
    yield one
    load.stop()
    if one.router and one.router.process.poll() is None:
        one.router.kill()


@pytest.fixture(params=range(PARTS))
def series(request, fake, hook, tmp_path):
    yield from under_load(Series(fake, hook, tmp_path, SEED + request.param), request.param, Load)


def test_every_version_arrives(fake, series):
    for _ in range(CYCLES // PARTS):
        series.cycle()
        time.sleep(series.random.random() * 0.05)
    series.stop_load()
    wanted = idents(versions(fake))
    series.finish(wanted)
    repeats = series.check_repeats()
    assert series.hooked.gaps == series.filed.gaps == []
    assert set(series.hooked.digests) == set(series.filed.digests) == set(wanted)
    print(f"{len(wanted)} versions, {series.life} lives, {repeats} repeats")


def test_every_version_still_listed_arrives(fake, series):
    """The history is forgotten while the router is down, up, or long away: what is lost is said."""
    away = []  # (life that follows, compacted up to)
    for _ in range(max(5, CYCLES // PARTS // 2)):
        series.cycle()
        draw = series.random.random()
        if draw < 0.25:
            fake.script("compact now")
            time.sleep(AWAY)
            fake.script("compact now")
            away.append((series.life + 1, int(fake.state()["compacted"])))
        elif draw < 0.6:
            fake.script("compact now")
    fake.script("compact now")
    time.sleep(AWAY)
    fake.script("compact now")
    away.append((series.life + 1, int(fake.state()["compacted"])))
    series.stop_load()
    newest = dict(versions(fake))
    series.finish(idents(newest.items()))
    series.check_repeats()
    check_gaps(series.hooked.gaps, series)
    check_gaps(series.filed.gaps, series)
    for copies in (series.hooked, series.filed):
        check_losses(idents(versions(fake)), copies, series, away)
    print(f"{len(versions(fake))} versions, {len(series.hooked.digests)} came, {series.life} lives, "
          f"{len(series.hooked.gaps)} gap records")


def check_gaps(found, series):
    """Each begins where a life began, at a time before that life, and was long enough to count."""
    began = {p["version"]: p for p in series.points[1:]}
    for record in found:
        gap = record["gap"]
        assert gap["cause"] == "expired", gap
        stored = began[gap["fromResourceVersion"]]
        assert gap["fromTime"] == stored.get("watchedUntil"), (gap, stored)
        assert int(gap["toResourceVersion"]) > int(gap["fromResourceVersion"])


def check_losses(all_versions, copies, series, away):
    """Nothing was lost up to a gap's beginning, and what was lost while we were away lies in a gap."""
    lost = [int(ident.rsplit("-", 1)[1]) for ident in all_versions if ident not in copies.digests]
    ranges = [(int(g["gap"]["fromResourceVersion"]), int(g["gap"]["toResourceVersion"]))
              for g in copies.gaps]
    assert ranges and lost, "the history was forgotten too late to prove anything"
    for life, compacted in away:
        began = series.points[life - 1]
        for version in lost:
            if int(began["version"]) < version <= compacted:
                assert any(a < version <= b for a, b in ranges), (version, life, began, ranges)
