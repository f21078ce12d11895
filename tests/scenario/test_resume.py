"""A restart goes on where everything was settled: nothing is lost, and no more comes again."""
import datetime
import json
import signal
import sqlite3
import subprocess
import time
import zlib

from conftest import BIN, events, gaps, key_of_event, keys, point, wait_point

NOW = {"events": {"startFrom": "now"}}
UNUSABLE = "no stored resume point can be used, everything is listed"


def seconds(text):
    """A record's time."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def test_what_happened_meanwhile_is_replayed_and_nothing_twice(fake, keeping, hook):
    fake.script("burst 20 prefix before")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 20")
    keeping.stop()
    fake.script("burst 20 prefix away\nmodify before-1 count=2\ndelete away-1")
    lists = fake.counter("lists")
    second = keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 41")
    fake.script("put after")
    fake.wait("sink a accepted >= 42")
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    assert gaps(fake.records("a")) == [] and fake.counter("lists") == lists
    second.wait_log("going on from the stored resume point")
    assert second.stop() == 0
    assert point(keeping.directory)["version"] == str(fake.state()["version"])


def test_the_version_of_now_is_kept_at_once(fake, keeping, hook):
    fake.script("burst 5 prefix old")
    first = keeping(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}},
                    state={"interval": "60s"})
    fake.wait("watches open >= 1")
    wait_point(keeping.directory, mark="resume")
    first.kill()
    fake.script("put new")
    keeping(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}})
    fake.wait("sink a accepted >= 1")
    assert keys(fake.records("a")) == fake.versions()[5:]


# ---- what is stored ----

def forge(directory, stream="events", **fields):
    """Changes a stored point, with a correct checksum."""
    value = json.dumps({**point(directory, stream), **fields}).encode()
    crc = 0
    for part in (stream.encode(), b"", value):
        crc = zlib.crc32(part, zlib.crc32(len(part).to_bytes(8, "little"), crc))
    db = sqlite3.connect(directory / "state.db")
    with db:
        db.execute("UPDATE entry SET value=?, crc=? WHERE stream=CAST(? AS BLOB) AND key=x''",
                   [value, crc, stream])
    db.close()


def test_a_first_start_is_over_even_without_the_wal(fake, keeping, hook):
    """SQLite keeps the newest beside the file; the file alone is older, but no first start."""
    fake.script("burst 5 prefix old")
    first = keeping(sinks={"a": hook("a")}, watch=NOW)
    fake.wait("watches open >= 1")
    fake.script("put seen")
    fake.wait("sink a accepted >= 1")
    wait_point(keeping.directory, version=str(fake.state()["version"]))
    first.kill()
    for name in ("state.db-wal", "state.db-shm"):
        (keeping.directory / name).unlink()
    fake.script("put new")
    second = keeping(sinks={"a": hook("a")}, watch=NOW)
    fake.wait("sink a accepted >= 2")
    second.stop()
    assert set(keys(fake.records("a"))) == set(fake.versions()[5:])
    assert gaps(fake.records("a")) == []


def test_a_gap_record_that_no_sink_took_is_made_again(fake, keeping, hook):
    """What is known of a time after the gap says nothing about the time before it."""
    fake.script("put a")
    first = keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 1")
    fake.wait("watches open >= 1")
    first.stop()
    before = point(keeping.directory)
    fake.script("modify a count=2\nmodify a count=3\ncompact now\nsink a hang")
    time.sleep(max(0, seconds(before["watchedUntil"]) + 2.1 - time.time()))  # a limit of real time
    second = keeping(sinks={"a": hook("a")}, shutdown={"grace": "50ms"})
    second.wait_log("listed")
    second.stop()
    assert point(keeping.directory)["version"] == before["version"]
    fake.script("sink a clear")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    assert keys(fake.records("a")) == [fake.versions()[0], fake.versions()[2]]
    [gap] = gaps(fake.records("a"))
    assert gap["cause"] == "expired" and gap["fromResourceVersion"] == before["version"]
    assert gap["toResourceVersion"] == str(fake.state()["version"])
    assert gap["fromTime"] == before["watchedUntil"] and gap["recovered"] == 1


def test_a_time_still_to_come_proves_nothing(fake, keeping, hook):
    """The clock was ahead when the point was stored: how long we were away is not known."""
    fake.script("put a")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 1")
    fake.wait("watches open >= 1")
    keeping.stop()
    forge(keeping.directory, watchedUntil="2100-01-01T00:00:00Z")
    fake.script("modify a count=2\nmodify a count=3\ncompact now")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    [gap] = gaps(fake.records("a"))
    assert gap["cause"] == "expired"


def test_expired_while_stopped(fake, keeping, hook):
    """Every Event still listed arrives, and the gap record is true."""
    fake.script("burst 30 prefix event")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 30")
    fake.wait("watches open >= 1")
    keeping.stop()
    before, stopped = point(keeping.directory), time.time()
    fake.script("burst 10 prefix away steps 3\nmodify event-1 count=2\ndelete away-10\ncompact now")
    time.sleep(2.2)  # so long a stream counts as complete
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 41")
    keeping.stop()
    newest = {key_of_event(e["object"])[0]: e for e in fake.history()[30:]}
    wanted = [key_of_event(e["object"]) for e in newest.values() if e["type"] != "DELETED"]
    came = events(fake.records("a"))[30:]
    assert sorted(keys(came)) == sorted(wanted) and all(r["recovered"] for r in came)
    [gap] = gaps(fake.records("a"))
    assert (gap["cause"], gap["fromResourceVersion"], gap["toResourceVersion"], gap["recovered"]) == (
        "expired", before["version"], str(fake.state()["version"]), len(wanted))
    assert abs(seconds(gap["fromTime"]) - stopped) < 2 and seconds(gap["toTime"]) > stopped + 2


def test_a_lock_held_by_another_program_at_the_end(fake, keeping, hook):
    """What the router cannot write while it ends it leaves: it ends all the same."""
    one = keeping(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    wait_point(keeping.directory, mark="resume")
    db = sqlite3.connect(keeping.directory / "state.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    fake.script("put a")
    fake.wait("sink a accepted >= 1")
    assert one.stop() == 0
    db.close()
    fake.script("put b")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    assert keys(fake.records("a")) == [fake.versions()[0], *fake.versions()]


# ---- paused ----

def test_paused_while_the_server_goes_on(fake, keeping, hook):
    """What was sent meanwhile is read then."""
    one = keeping(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    one.process.send_signal(signal.SIGSTOP)
    fake.script("burst 300 steps 2\nsleep 2200ms")
    one.process.send_signal(signal.SIGCONT)
    fake.wait("sink a accepted >= 900")
    keeping.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    assert gaps(fake.records("a")) == []


def test_paused_while_the_history_goes(fake, keeping, hook):
    """The watch is cut, and its versions are gone by the time anybody can ask for them."""
    one = keeping(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    fake.script("put a")
    fake.wait("sink a accepted >= 1")
    before, paused = str(fake.state()["version"]), time.time()
    one.process.send_signal(signal.SIGSTOP)
    fake.script("watches reset\nmodify a count=2\nmodify a count=3\ncompact now\nsleep 2200ms")
    one.process.send_signal(signal.SIGCONT)
    fake.wait("sink a accepted >= 3")
    keeping.stop()
    assert keys(fake.records("a")) == [fake.versions()[0], fake.versions()[2]]
    [gap] = gaps(fake.records("a"))
    assert (gap["cause"], gap["fromResourceVersion"], gap["recovered"]) == ("expired", before, 1)
    assert paused - 2 < seconds(gap["fromTime"]) < paused + 0.1


# ---- whose point it is ----

def test_another_selector(fake, keeping, hook):
    fake.script("burst 3")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    keeping.stop()
    fake.script("put away")
    second = keeping(sinks={"a": hook("a")}, watch={"events": {"fieldSelector": "type=Warning",
                                                               "startFrom": "now"}})
    fake.wait("sink a accepted >= 8")
    assert second.wait_log(UNUSABLE)["error"] == "it was written for another fieldSelector"
    assert sorted(keys(fake.records("a"))[3:]) == sorted(fake.versions())
    [gap] = gaps(fake.records("a"))
    assert gap["cause"] == "noState" and "fromResourceVersion" not in gap


def test_another_cluster(fake, keeping, hook):
    fake.script("burst 3")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    keeping.stop()
    forge(keeping.directory, clusterId="11111111-2222-3333-4444-555555555555")
    second = keeping(sinks={"a": hook("a")}, watch=NOW)
    fake.wait("sink a accepted >= 7")
    assert second.wait_log(UNUSABLE)["error"] == "it is of another cluster"
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["noState"]
    assert sorted(keys(fake.records("a"))[3:]) == sorted(fake.versions())


def test_a_server_that_forbids_everything_for_a_moment_is_no_other_cluster(fake, keeping, hook):
    """A restarted API server does: then the uid of kube-system cannot be read, but only then."""
    fake.script("burst 3")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    fake.wait("watches open >= 1")
    keeping.stop()
    lists = fake.counter("lists")
    fake.script("put away\nforbid get\nforbid cluster")
    keeping(sinks={"a": hook("a")})
    fake.wait("answers 403 >= 3")
    fake.script("allow all")
    fake.wait("sink a accepted >= 4")
    keeping.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    assert gaps(fake.records("a")) == [] and fake.counter("lists") == lists


def test_each_namespace_has_its_own(fake, keeping, hook):
    names = ["one", "two", "three"]
    for name in names:
        fake.script(f"burst 5 prefix {name} namespace {name}")
    keeping(sinks={"a": hook("a")}, kubernetes={"namespaces": names})
    fake.wait("sink a accepted >= 15")
    fake.wait("watches open >= 3")
    keeping.stop()
    lists = fake.counter("lists")
    for name in [*names, "four"]:
        fake.script(f"put {name}-away namespace={name}")
    names.append("four")
    keeping(sinks={"a": hook("a")}, kubernetes={"namespaces": names}, watch=NOW)
    fake.wait("sink a accepted >= 20")  # 3 replayed, 1 listed and its gap record: four has no point
    keeping.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    [gap] = gaps(fake.records("a"))
    assert (gap["cause"], gap["stream"]) == ("noState", "events/four")
    assert fake.counter("lists") == lists + 1
    assert [point(keeping.directory, f"events/{n}")["mark"] for n in names] == ["resume"] * 4


def test_an_event_that_cannot_be_used_is_said_once(fake, keeping, hook):
    """It was received: no watch asks for it again."""
    fake.script("put good")
    one = keeping(sinks={"a": hook("a")}, watch={"timeout": "1s", "idleTimeout": "1500ms"})
    fake.wait("sink a accepted >= 1")
    fake.wait("watches open >= 1")
    fake.script("put bad metadata.uid=7")
    fake.wait("watches opened >= 4")
    one.stop()
    [gap] = gaps(fake.records("a"))
    assert gap["cause"] == "undecodable"
    assert point(keeping.directory)["version"] == str(fake.state()["version"])


# ---- sinks out of step ----

def same(one, other):
    """Repeats are equal but for when, and what was known before."""
    free = {"observedTime", "countDelta", "recovered"}
    free |= {"time"} if one["timeSource"] == other["timeSource"] == "observed" else set()
    return {k: v for k, v in one.items() if k not in free} == {
        k: v for k, v in other.items() if k not in free}


def test_the_slower_sink_holds_the_point(fake, keeping, hook):
    """The fast one sees no repeat while the process lives, and then only what the slow one lacks."""
    sinks = {"fast": hook("fast"), "slow": hook("slow", queue={"records": 5000})}
    one = keeping(sinks=sinks)
    fake.wait("watches open >= 1")
    fake.script("burst 20 prefix both")
    fake.wait("sink slow accepted >= 20")
    held = str(fake.state()["version"])
    wait_point(keeping.directory, version=held)
    fake.script("sink slow hang\nburst 200 prefix more steps 1")
    fake.wait("sink fast accepted >= 420")
    for _ in range(20):  # many intervals of the store
        time.sleep(0.01)
        assert point(keeping.directory)["version"] == held
    first = fake.records("fast")
    assert keys(first) == fake.versions()  # each once
    one.kill()
    fake.script("sink slow clear")
    keeping(sinks=sinks)
    fake.wait("sink slow accepted >= 420")
    fake.wait("sink fast accepted >= 820")
    keeping.stop()
    assert keys(fake.records("slow")) == fake.versions()
    again = fake.records("fast")[420:]
    assert keys(again) == fake.versions()[20:]
    by_id = {record["id"]: record for record in first}
    assert all(same(record, by_id[record["id"]]) for record in again)


# ---- state show, state reset ----

def command(*arguments):
    return subprocess.run([BIN / "eventrouter", "state", *map(str, arguments)], check=False,
                          capture_output=True, text=True, timeout=60)


def test_state_show_and_reset(fake, keeping, hook):
    fake.script("burst 3")
    one = keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    version = str(fake.state()["version"])
    path = keeping.directory
    wait_point(path, mark="resume")
    shown = command("show", "--path", path, "--json")  # while the router runs
    assert shown.returncode == 0, shown.stderr
    [stream] = json.loads(shown.stdout)
    assert stream["stream"] == "events" and stream["point"]["version"] == version
    assert stream["point"] == point(path)
    table = command("show", "-c", one.directory / "config.yaml").stdout.splitlines()
    assert [line.split()[:3] for line in table] == [["STREAM", "MARK", "VERSION"],
                                                    ["events", "resume", version]]
    refused = command("reset", "--path", path)
    assert refused.returncode == 1 and f"pid {one.process.pid}" in refused.stderr
    assert one.stop() == 0
    assert command("reset", "--path", path).returncode == 0
    nothing = command("show", "--path", path)
    assert (nothing.returncode, nothing.stdout) == (1, "") and "no such file" in nothing.stderr
    for wrong in ([], ["show"], ["show", "--path"], ["put", "--path", path],
                  ["show", "--path", path, "-c", "x"]):
        assert command(*wrong).returncode == 2, wrong
