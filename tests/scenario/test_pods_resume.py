"""What is remembered of pods, over restarts of the router, lists after 410, rewinds and damage."""
import sqlite3
import time

import pytest

from conftest import gaps, point, wait_point
from pods import counts, ended, restarts, rows, told, write
from test_state_damage import SANITIZED, execute

PODS = {"pods": {"enabled": True}, "events": {"enabled": False}}


def start(fake, keeping, hook, **more):
    one = keeping(**{"sinks": {"a": hook("a")}, "watch": PODS, **more})
    fake.wait("watches open of pods >= 1")
    return one


def settled(fake, keeping):
    """Everything written so far was seen and settled."""
    fake.script("wait watches open of pods >= 1\nversion +1\nsend @bookmark")
    return wait_point(keeping.directory, stream="pods", mark="resume", version=str(fake.state()["version"]))


def begun(fake, keeping, hook, names=("web", "db", "job"), **more):
    """A router that knows each of these pods with one restart."""
    fake.script("\n".join(f"put pods/{name}" for name in names))
    one = start(fake, keeping, hook, **more)
    fake.script("\n".join(write(name, 1) for name in names))
    settled(fake, keeping)
    assert told(fake.records("a")) == [(name, "main", 1, 1) for name in names]
    return one


# ---- restarts of the router ----

def test_restarted_meanwhile(fake, keeping, hook):
    """One record for each, none twice, and the true difference; what follows goes on from there."""
    begun(fake, keeping, hook)
    keeping.stop()
    assert counts(keeping.directory, fake) == {"web": 1, "db": 1, "job": 1}
    fake.script("\n".join([write("web", 2), write("web", 5), "delete pods/job", "put pods/new",
                           write("new", 1)]))
    start(fake, keeping, hook)
    settled(fake, keeping)
    keeping.stop()
    assert told(fake.records("a"))[3:] == [("web", "main", 2, 1), ("web", "main", 5, 3),
                                           ("new", "main", 1, 1)]
    assert counts(keeping.directory, fake) == {"web": 5, "db": 1, "new": 1}
    start(fake, keeping, hook)
    settled(fake, keeping)
    fake.script(write("db", 2))
    settled(fake, keeping)
    keeping.stop()
    assert told(fake.records("a"))[6:] == [("db", "main", 2, 1)]
    assert gaps(fake.records("a")) == []


def test_restarted_meanwhile_without_a_store(fake, router, hook):
    """Baselines: nothing is told of what was there, everything of what comes."""
    config = {"sinks": {"a": hook("a")}, "watch": PODS, "state": {"store": "none"}}
    fake.script("put pods/web\n" + write("web", 3))
    for n in (1, 2):
        one = router(**config)
        fake.wait("watches open of pods >= 1")
        fake.script(write("web", 3 + 2 * n))
        fake.wait(f"sink a accepted >= {n}")
        fake.script(write("web", 4 + 2 * n - 1))
        assert one.stop() == 0
    assert told(fake.records("a")) == [("web", "main", 5, 2), ("web", "main", 7, 2)]


def test_first_sight_tells_what_happened_after_the_resume_point(fake, keeping, hook):
    """The selection is another one, so nothing is compared; but since when we knew all is stored."""
    begun(fake, keeping, hook, names=("web",))
    fake.script("\n".join(f"put pods/{name} metadata.labels={{\"team\":\"red\"}}"
                          for name in ("before", "after", "never")))
    settled(fake, keeping)
    keeping.stop()
    before, after = "2026-01-02T03:11:00Z", "2099-01-01T00:00:00Z"
    fake.script("\n".join([write("before", 4, last=ended("b", finishedAt=before)),
                           write("after", 4, last=ended("a", finishedAt=after))]))
    chosen = {"pods": {"enabled": True, "labelSelector": "team=red"}, "events": {"enabled": False}}
    start(fake, keeping, hook, watch=chosen)
    fake.wait("sink a accepted >= 3")
    settled(fake, keeping)
    keeping.stop()
    records = fake.records("a")
    assert told(records)[1:] == [("after", "main", 4, 1)]
    assert [(gap["cause"], gap["recovered"]) for gap in gaps(records)] == [("noState", 1)]
    assert counts(keeping.directory, fake) == {"before": 4, "after": 4, "never": 0}


def test_what_another_selection_remembered_is_void(fake, keeping, hook):
    """Else a list after 410 would find pods gone that were never looked for."""
    begun(fake, keeping, hook)
    keeping.stop()
    chosen = {"pods": {"enabled": True, "labelSelector": "app=web"}, "events": {"enabled": False}}
    start(fake, keeping, hook, watch=chosen)
    fake.wait("sink a accepted >= 4")
    settled(fake, keeping)
    assert counts(keeping.directory, fake) == {"web": 1}
    keeping.stop()
    fake.script("version +10\ncompact now\nsleep 2100ms")
    one = start(fake, keeping, hook, watch=chosen)
    one.wait_log("listed")
    settled(fake, keeping)
    keeping.stop()
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["noState"]


# ---- 410 ----

def away(fake, script):
    """Happens unseen, and cannot be had from the history any more."""
    fake.script(f"api refuse\napi cut\n{script}\nsleep 2200ms\ncompact now\napi listen")


@pytest.mark.parametrize("when", ["running", "at start"])
@pytest.mark.parametrize("script, found, gap", [
    (write("web", 2), [("web", "main", 2, 1)], []),
    ("put pods/new\n" + write("new", 2), [("new", "main", 2, 2)], ["expired"]),
    ("put pods/new", [], []),
    (write("web", 4), [("web", "main", 4, 3)], ["expired"]),
    ("delete pods/web", [], ["expired"]),
    (f"delete pods/web\nput pods/web\n{write('web', 1)}", [("web", "main", 1, 1)], ["expired"]),
    ("version +10", [], []),
], ids=["one", "new-jump", "new", "jump", "gone", "again", "nothing"])
def test_410(fake, keeping, hook, when, script, found, gap):
    one = begun(fake, keeping, hook)
    lists = fake.counter("lists")
    if when == "running":
        away(fake, script)
    else:
        keeping.stop()
        fake.script(f"{script}\nsleep 2200ms\ncompact now")
        one = start(fake, keeping, hook)
    fake.wait(f"lists > {lists}")
    fake.wait("watches open of pods >= 1")
    settled(fake, keeping)
    fake.script(write("db", 2))
    settled(fake, keeping)
    keeping.stop()
    records = fake.records("a")[3:]
    assert told(records) == [*found, ("db", "main", 2, 1)]
    assert [g["cause"] for g in gaps(records)] == gap
    assert [r.get("recovered", False) for r in restarts(records)] == [True] * len(found) + [False]
    assert set(rows(keeping.directory)) == {
        c["object"]["metadata"]["uid"] for c in fake.history()} - {
        c["object"]["metadata"]["uid"] for c in fake.history() if c["type"] == "DELETED"}
    assert counts(keeping.directory, fake)["db"] == 2


def test_killed_during_the_list(fake, keeping, hook):
    """The second page never comes: the next life compares with what was stored, and tells all."""
    names = [f"p-{n:03}" for n in range(6)]
    one = begun(fake, keeping, hook, names=names)
    before = settled(fake, keeping)
    fake.script("page-max 2\nfault page 2 of pods always hang")
    away(fake, "\n".join(write(name, 2) for name in names))
    fake.wait("sink a accepted >= 8")
    time.sleep(0.1)  # for a store that would be written too early
    assert point(keeping.directory, "pods")["version"] == before["version"]
    assert set(counts(keeping.directory, fake).values()) == {1}
    one.kill()
    fake.script("clear")
    start(fake, keeping, hook)
    fake.wait("sink a accepted >= 14")
    settled(fake, keeping)
    keeping.stop()
    records = restarts(fake.records("a"))[6:]
    assert told(records) == [(name, "main", 2, 1) for name in names[:2] + names]
    assert len({r["id"] for r in records}) == 6
    assert set(counts(keeping.directory, fake).values()) == {2}


def test_every_continue_token_expires(fake, keeping, hook):
    """Each attempt gains ground, tells nothing twice, and the list says that it is no single moment."""
    names = [f"p-{n:03}" for n in range(6)]
    begun(fake, keeping, hook, names=names)
    fake.script("page-max 2\nfault page 2 of pods always expire")
    away(fake, "\n".join(write(name, 2) for name in names))
    fake.wait("sink a accepted >= 13")
    fake.wait("watches open of pods >= 1")
    settled(fake, keeping)
    keeping.stop()
    records = fake.records("a")[6:]
    assert sorted(told(records)) == [(name, "main", 2, 1) for name in names]
    assert [gap["cause"] for gap in gaps(records)] == ["listIncomplete"]
    assert fake.counter("lists") == 4  # the first, and: of the restarts, without anything new, to the end


# ---- rewind ----

@pytest.mark.parametrize("when", ["running", "stopped"])
def test_rewound(fake, keeping, hook, when):
    """Versions repeat: a new baseline, and rows that are all of the new time."""
    begun(fake, keeping, hook)
    half = int(fake.state()["version"])
    fake.script(f"{write('web', 2)}\ndelete pods/db\nput pods/new")
    settled(fake, keeping)
    if when == "stopped":
        keeping.stop()
    fake.script(f"rewind {half}")
    if when == "stopped":
        start(fake, keeping, hook)
    fake.wait("sink a accepted >= 5")
    settled(fake, keeping)
    assert counts(keeping.directory, fake) == {"web": 1, "db": 1, "job": 1}
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["rewound"]
    keeping.stop()
    fake.script("\n".join(write(name, 3) for name in ("web", "db", "job")))
    start(fake, keeping, hook)
    settled(fake, keeping)
    keeping.stop()
    assert told(fake.records("a"))[4:] == [(name, "main", 3, 2) for name in ("web", "db", "job")]


def test_killed_before_the_new_baseline_is_settled(fake, keeping, hook):
    one = begun(fake, keeping, hook)
    half = int(fake.state()["version"]) - 2  # before the last restart
    fake.script(f"sink a hang\nrewind {half}")
    one.wait_log("listed")
    wait_point(keeping.directory, stream="pods", mark="list", gapCause="rewound")
    assert rows(keeping.directory) == {}
    one.kill()
    fake.script("sink a clear")
    start(fake, keeping, hook)
    fake.wait("sink a accepted >= 4")
    settled(fake, keeping)
    keeping.stop()
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["rewound"]
    assert told(fake.records("a"))[3:] == []
    assert counts(keeping.directory, fake) == {"web": 1, "db": 1, "job": 0}


# ---- a sink that hangs ----

def test_what_waits_behind_a_sink_that_hangs(fake, keeping, hook):
    """A fast sink has everything at once; a kill brings the slow one all of it."""
    one = begun(fake, keeping, hook, sinks={"a": hook("a"), "slow": hook("slow")})
    before = settled(fake, keeping)
    fake.script("sink slow hang\n" + "\n".join(write("web", n) for n in range(2, 22)) +
                "\ndelete pods/db\nput pods/new")
    fake.wait("sink a accepted >= 23")
    fake.script("version +1\nsend @bookmark")
    one.wait_metric(lambda v: v >= 20, "watch_unsettled_frames")
    time.sleep(0.1)
    assert point(keeping.directory, "pods")["version"] == before["version"]
    assert counts(keeping.directory, fake) == {"web": 1, "db": 1, "job": 1}
    one.kill()
    fake.script("sink slow clear")
    start(fake, keeping, hook, sinks={"a": hook("a"), "slow": hook("slow")})
    settled(fake, keeping)
    keeping.stop()
    wanted = [("web", "main", n, 1) for n in range(2, 22)]
    assert told(fake.records("a"))[3:] == wanted + wanted
    assert told(fake.records("slow"))[3:] == wanted
    assert counts(keeping.directory, fake) == {"web": 21, "new": 0, "job": 1}


def anonymous(one):
    with open(f"/proc/{one.process.pid}/status", encoding="ascii") as status:
        return int(next(line for line in status if line.startswith("RssAnon")).split()[1])


def test_pods_that_come_and_go_behind_a_sink_that_hangs(fake, keeping, hook):
    """They leave nothing behind, in memory or in the store."""
    one = begun(fake, keeping, hook)
    fake.script("sink a hang\n" + write("web", 2))
    one.wait_metric(lambda v: v >= 1, "watch_unsettled_frames")
    used = []
    for burst in range(4):
        for n in range(0, 5000, 1000):
            fake.script("\n".join(f"put pods/b-{burst}-{n + i}\ndelete pods/b-{burst}-{n + i}" for i in range(1000)))
        frames = 10000 * (burst + 1)
        one.wait_metric(lambda v, frames=frames: v >= frames, "watch_events_total")
        used.append(anonymous(one))
    print(f"RssAnon {used} KiB after each 5,000 pods")
    assert SANITIZED or used[-1] - used[0] < 512  # 15,000 uids would be 2 MiB
    fake.script("sink a clear")
    settled(fake, keeping)
    keeping.stop()
    assert counts(keeping.directory, fake) == {"web": 2, "db": 1, "job": 1}


# ---- damage ----

DAMAGE = {
    "changed": "UPDATE entry SET value=x'7b7d' WHERE stream=CAST('pods' AS BLOB) AND key=CAST('{uid}' AS BLOB)",
    "gone": "DELETE FROM entry WHERE stream=CAST('pods' AS BLOB) AND key=CAST('{uid}' AS BLOB)",
    "one too many": "INSERT INTO entry SELECT stream, x'61', value, crc FROM entry "
                    "WHERE stream=CAST('pods' AS BLOB) AND key=CAST('{uid}' AS BLOB)",
    "the point gone": "DELETE FROM entry WHERE stream=CAST('pods' AS BLOB) AND key=x''",
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_row(fake, keeping, hook, what):
    """That stream alone is void; Events go on from their point."""
    both = {"pods": {"enabled": True}}
    fake.script("put web.1")
    fake.script("put pods/web\nput pods/db")
    start(fake, keeping, hook, watch=both)
    fake.wait("watches open of events >= 1")
    fake.script(write("web", 1) + "\nput web.2")
    settled(fake, keeping)
    wait_point(keeping.directory, mark="resume", version=str(fake.state()["version"]))
    keeping.stop()
    uid = next(iter(rows(keeping.directory)))
    execute(keeping.directory / "state.db", DAMAGE[what].format(uid=uid))
    fake.script(write("web", 3) + "\nput web.3")
    one = start(fake, keeping, hook, watch=both)
    fake.wait("sink a accepted >= 5")
    settled(fake, keeping)
    fake.script(write("web", 4))
    settled(fake, keeping)
    keeping.stop()
    records = fake.records("a")
    assert [(gap["stream"], gap["cause"]) for gap in gaps(records)] == [("pods", "noState")]
    assert told(records) == [("web", "main", 1, 1), ("web", "main", 4, 1)]
    assert sorted(r["event"]["name"] for r in records if r["kind"] == "event") == ["web.1", "web.2", "web.3"]
    assert one.logged("stored rows were damaged, their streams start anew")
    assert counts(keeping.directory, fake) == {"web": 4, "db": 0}


def kept_after(fake, keeping, hook, one):
    """Rows are all there: killed and started again, the router knows each pod."""
    fake.script(write("job", 2))
    settled(fake, keeping)
    assert counts(keeping.directory, fake) == {"web": 1, "db": 1, "job": 2}
    one.kill()
    fake.script("\n".join(write(name, 3) for name in ("web", "db", "job")))
    start(fake, keeping, hook)
    settled(fake, keeping)
    keeping.stop()
    assert told(fake.records("a"))[3:] == [("job", "main", 2, 1), ("web", "main", 3, 2),
                                           ("db", "main", 3, 2), ("job", "main", 3, 1)]
    assert gaps(fake.records("a")) == []


def test_the_store_is_removed_while_in_use(fake, keeping, hook):
    one = begun(fake, keeping, hook)
    for path in keeping.directory.iterdir():
        path.unlink()
    kept_after(fake, keeping, hook, one)


def test_another_store_is_put_in_its_place(fake, keeping, hook):
    """A sound one, such as a backup: what it says of pods is void."""
    fake.script("put pods/web\nput pods/db\nput pods/job\nput pods/old")
    start(fake, keeping, hook)
    settled(fake, keeping)
    keeping.stop()
    backup = (keeping.directory / "state.db").read_bytes()
    one = start(fake, keeping, hook)
    fake.script("delete pods/old\n" + "\n".join(write(name, 1) for name in ("web", "db", "job")))
    settled(fake, keeping)
    for path in keeping.directory.iterdir():
        path.unlink()
    (keeping.directory / "state.db").write_bytes(backup)
    kept_after(fake, keeping, hook, one)


def own_key(directory):
    db = sqlite3.connect(directory / "state.db")
    [[key]] = db.execute("SELECT value FROM entry WHERE stream=x'' AND key=CAST('key' AS BLOB)")
    db.close()
    return key


def test_the_key_outlives_the_file(fake, keeping, hook):
    """What is remembered may hold hashes made with it."""
    begun(fake, keeping, hook)
    key = own_key(keeping.directory)
    for path in keeping.directory.iterdir():
        path.unlink()
    fake.script(write("web", 2))
    settled(fake, keeping)
    keeping.stop()
    assert own_key(keeping.directory) == key
