"""kill -9 between the frame of a restart and the sinks' answers, again and again, with the store and the
kills of test_crash.py: every restart arrives, and a repeat is a true repeat, with the same difference."""
import hashlib
import random
import time

import pytest

from pods import counts, restarts, write
from test_crash import CYCLES, PARTS, SEED, Load, Series, under_load

PODS = 30


class PodLoad(Load):
    """Restarts, jumps and writes that are none; pods are deleted while they crash, and come again."""

    def run(self):
        draw = random.Random(SEED)
        known = dict.fromkeys(range(PODS), 0)
        while not self.stopped:
            lines = []
            for _ in range(40):
                pod, what = draw.randrange(PODS), draw.random()
                known[pod] += 0 if what < 0.2 else 3 if what > 0.9 else 1
                lines.append(write(f"p-{pod}", known[pod], image=f"i:{draw.randrange(1000)}"))
                if 0.8 < what < 0.85:
                    lines[-1] = lines[-1].replace("modify", "delete", 1) + f"\nput pods/p-{pod}"
                    known[pod] = 0
            self.fake.script("\n".join(lines) + "\nsleep 20ms")


class PodSeries(Series):
    """A fast file beside a webhook that takes its time."""
    stream, kind = "pods", "restart"
    watch = {"pods": {"enabled": True}, "events": {"enabled": False}}

    def start(self):
        self.fake.script("sink a answer 200 delay 20ms")
        super().start()

    def cure(self):
        super().cure()
        self.fake.script("sink a answer 200 delay 20ms")


@pytest.fixture(params=range(PARTS))
def series(request, fake, hook, tmp_path):
    fake.script("\n".join(f"put pods/p-{n}" for n in range(PODS)))
    yield from under_load(PodSeries(fake, hook, tmp_path, SEED + request.param), request.param, PodLoad)


def differences(fake):
    """{id: (version, count, delta)} of the restarts that the history holds."""
    hashed = hashlib.sha256(b"main").hexdigest()[:8]
    known, found = {}, {}
    for change in fake.history():
        meta = change["object"]["metadata"]
        count = change["object"]["status"]["containerStatuses"][0]["restartCount"]
        delta = count - known.get(meta["uid"], 0)
        known[meta["uid"]] = count
        if delta > 0:
            found[f"{meta['uid']}-r{hashed}-{count}"] = (meta["resourceVersion"], count, delta)
    return found


def test_every_restart_arrives(fake, series):
    for _ in range(CYCLES // PARTS):
        series.cycle()
        time.sleep(series.random.random() * 0.05)
    series.stop_load()
    wanted = differences(fake)
    series.finish(wanted)
    repeats = series.check_repeats()
    assert series.hooked.gaps == series.filed.gaps == []
    assert set(series.hooked.digests) == set(series.filed.digests) == set(wanted)
    for record in restarts(fake.records("a")):
        restart = record["restart"]
        assert (record["object"]["resourceVersion"], restart["count"], restart["delta"]) == (
            wanted[record["id"]]), record
    assert counts(series.directory / "state") == newest(fake)
    print(f"{len(wanted)} restarts, {series.life} lives, {repeats} repeats")
    assert repeats > 0, "no kill was between a frame and an answer"


def newest(fake):
    """{uid: restart count} of the pods that are there."""
    found = {}
    for change in fake.history():
        uid = change["object"]["metadata"]["uid"]
        found[uid] = change["object"]["status"]["containerStatuses"][0]["restartCount"]
        if change["type"] == "DELETED":
            del found[uid]
    return found
