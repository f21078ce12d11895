"""A state store that is damaged, taken, full, read-only or hangs: never an exit, never a lost record that
the API server still has, and always said."""
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
import zlib

import pytest

from conftest import BIN, LIMIT, gaps, keys, point, wait_point

SANITIZED = BIN.parent.name in ("asan", "tsan")
NOW = {"events": {"startFrom": "now"}}
WAITS = "waiting for a state store that another process has"
REPLACED = "the state store was damaged, a new one was made"
VOIDED = "stored rows were damaged, their streams start anew"
UNUSABLE = "the state store cannot be used, everything is listed again"
FROZEN = "the state store cannot be written, resume points stay as they are"
FAILS = "resume points cannot be stored"
AGAIN = "the state store can be written again"


def flip(path, at, n=1):
    data = bytearray(path.read_bytes())
    data[at:at + n] = bytes(b ^ 0xff for b in data[at:at + n])
    path.write_bytes(data)


def zero_page(path, number):
    data = bytearray(path.read_bytes())
    data[number * 4096:(number + 1) * 4096] = bytes(4096)
    path.write_bytes(data)


def execute(path, statement):
    db = sqlite3.connect(path)
    with db:
        assert db.execute(statement).rowcount == 1
    db.close()


DAMAGE = {
    "empty": (REPLACED, lambda db: db.write_bytes(b"")),
    "cut": (REPLACED, lambda db: db.write_bytes(db.read_bytes()[:4096])),
    "text": (REPLACED, lambda db: db.write_text("hello")),
    "first page zeroed": (REPLACED, lambda db: zero_page(db, 0)),
    "second page zeroed": (REPLACED, lambda db: zero_page(db, 1)),
    "second page flipped": (REPLACED, lambda db: flip(db, 4096, 4096)),
    "says it is read-only": (REPLACED, lambda db: flip(db, 18)),
    "unknown format": (REPLACED, lambda db: flip(db, 47)),
    "a row changed": (VOIDED, lambda db: execute(db, "UPDATE entry SET value=x'7b7d' WHERE "
                                                 "stream=CAST('events' AS BLOB)")),
    "a row gone": (None, lambda db: execute(db, "DELETE FROM entry WHERE stream=CAST('events' AS BLOB)")),
    "newer": (UNUSABLE, None),
}


def make_newer(db):
    crc = 0
    for part in (b"", b"schema", b"2"):
        crc = zlib.crc32(part, zlib.crc32(len(part).to_bytes(8, "little"), crc))
    execute(db, f"UPDATE entry SET value=x'32', crc={crc} WHERE stream=x'' AND key=CAST('schema' AS BLOB)")


@pytest.mark.parametrize("what", DAMAGE)
def test_damaged(fake, keeping, hook, what):
    message, harm = DAMAGE[what]
    fake.script("burst 5")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 5")
    keeping.stop()
    db = keeping.directory / "state.db"
    (harm or make_newer)(db)
    damaged = db.read_bytes()
    fake.script("put away")
    one = keeping(sinks={"a": hook("a")}, watch=NOW)
    fake.wait("sink a accepted >= 12")  # all six again, and the gap record
    if message:
        one.wait_log(message)
    assert sorted(keys(fake.records("a"))[5:]) == sorted(fake.versions())
    [gap] = gaps(fake.records("a"))
    assert gap["cause"] == "noState" and gap["recovered"] == 6
    kept = [path for path in keeping.directory.iterdir() if path.name.startswith("state.db.damaged-")]
    if message == REPLACED:
        assert [path.read_bytes() for path in kept] == [damaged]
    else:
        assert kept == []
    if message == UNUSABLE:
        assert one.metric("state_usable") == 0 and db.read_bytes() == damaged
        status, text = one.get("/readyz?verbose")
        assert status == 200 and "state: cannot be used, resume points are not kept" in text
    else:
        wait_point(keeping.directory, mark="resume", version=str(fake.state()["version"]))
        assert one.metric("state_usable") == 1
        assert one.metric("state_voided_total") == (message == VOIDED)
    keeping.stop()


def test_a_loss_is_remembered_until_it_is_told(fake, keeping, hook):
    """Killed before the gap record was delivered, the router tells it at the next start."""
    fake.script("burst 5")
    keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 5")
    keeping.stop()
    (keeping.directory / "state.db").write_bytes(b"")
    fake.script("sink a hang")
    one = keeping(sinks={"a": hook("a")}, watch=NOW)
    one.wait_log("listed")
    one.kill()
    assert point(keeping.directory)["mark"] == "list"
    fake.script("sink a clear")
    keeping(sinks={"a": hook("a")}, watch=NOW)
    fake.wait("sink a accepted >= 11")
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["noState"]
    assert sorted(keys(fake.records("a"))[5:]) == sorted(fake.versions())


def test_a_second_router_waits_and_takes_over(fake, keeping, hook):
    one = keeping(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    fake.script("burst 5")
    fake.wait("sink a accepted >= 5")
    two = keeping(sinks={"b": hook("b")})
    line = two.wait_log(WAITS)
    assert f"(pid {one.process.pid} there)" in line["error"]
    status, text = two.get("/readyz?verbose")
    assert status == 503 and "state: waiting, another process has it" in text
    assert two.get("/livez")[0] == 200
    assert fake.counter("watches opened") == 1 and fake.counter("gets") == 1  # no stream has started
    time.sleep(1.2)  # it looks twice a second
    assert len(two.logged(WAITS)) == 1  # one line in ten seconds
    wait_point(keeping.directory, version=str(fake.state()["version"]))
    one.kill()
    fake.script("put away")
    fake.wait("sink b accepted >= 1")
    assert two.get("/readyz")[0] == 200
    keeping.stop()
    assert keys(fake.records("b")) == fake.versions()[5:]


@pytest.mark.parametrize("path", ["missing/state", "file"])
def test_a_place_that_cannot_be(fake, keeping, hook, tmp_path, path):
    (tmp_path / "file").write_text("x")
    fake.script("burst 5")
    one = keeping(sinks={"a": hook("a")}, watch=NOW, state={"path": str(tmp_path / path)})
    one.wait_log(UNUSABLE)
    fake.wait("sink a accepted >= 6")
    fake.script("put after")
    fake.wait("sink a accepted >= 7")
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["noState"]
    assert one.metric("state_usable") == 0 and one.get("/readyz")[0] == 200
    keeping.stop()


def test_removed_under_it(fake, keeping, hook):
    """A new one is made, and says the newest."""
    one = keeping(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    wait_point(keeping.directory, mark="resume")
    for path in keeping.directory.iterdir():
        path.unlink()
    fake.script("put a")
    wait_point(keeping.directory, mark="resume", version=str(fake.state()["version"]))
    one.wait_log(FAILS)
    one.kill()
    fake.script("put b")
    keeping(sinks={"a": hook("a")}, watch=NOW)
    fake.wait("sink a accepted >= 2")
    keeping.stop()
    assert keys(fake.records("a")) == fake.versions() and gaps(fake.records("a")) == []


@contextlib.contextmanager
def file_system(directory, options):
    if os.geteuid() != 0:
        pytest.skip("only root mounts")
    directory.mkdir(exist_ok=True)
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", directory], check=False,
                      capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", directory], check=True)


def test_a_full_disk(fake, keeping, hook):
    with file_system(keeping.directory, "size=256k"):
        one = keeping(sinks={"a": hook("a")})
        fake.wait("watches open >= 1")
        wait_point(keeping.directory, mark="resume")
        with open(keeping.directory / "ballast", "wb", buffering=0) as ballast:
            with pytest.raises(OSError):
                while True:
                    ballast.write(bytes(4096))
        for n in range(100):  # what SQLite has room for already is soon used up
            fake.script(f"put full-{n}")
            fake.wait(f"sink a accepted >= {n + 1}")
            time.sleep(0.03)
            if one.metric("state_writes_total", outcome="error") > 0:
                break
        one.wait_log(FAILS)
        assert one.metric("state_usable") == 0
        assert "state: cannot be written, resume points stay" in one.get("/readyz?verbose")[1]
        (keeping.directory / "ballast").unlink()
        wait_point(keeping.directory, mark="resume", version=str(fake.state()["version"]))
        one.wait_log(AGAIN)
        keeping.stop()
    assert keys(fake.records("a")) == fake.versions()


def test_a_full_disk_at_the_start(fake, keeping, hook):
    """Nothing can be kept; everything is delivered, and said."""
    fake.script("burst 5")
    with file_system(keeping.directory, "size=4k"):
        (keeping.directory / "ballast").write_bytes(bytes(4096))
        one = keeping(sinks={"a": hook("a")}, watch=NOW)
        fake.wait("sink a accepted >= 6")
        one.wait_log(UNUSABLE)
        keeping.stop()
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["noState"]


def test_a_file_system_that_cannot_be_written(fake, keeping, hook):
    """What is stored is used; then the point stays as it is, and each start repeats what follows."""
    with file_system(keeping.directory, "size=4m"):
        keeping(sinks={"a": hook("a")})
        fake.wait("watches open >= 1")
        fake.script("burst 5 prefix old")
        fake.wait("sink a accepted >= 5")
        keeping.stop()
        subprocess.run(["mount", "-o", "remount,ro", keeping.directory], check=True)
        fake.script("put away")
        for n in (1, 2):
            one = keeping(sinks={"a": hook("a")}, watch=NOW)
            fake.wait(f"sink a accepted >= {5 + n}")
            one.wait_log(FROZEN)
            assert one.metric("state_usable") == 0 and one.metric("resume_point_age_seconds") > 0
            keeping.stop()
    assert keys(fake.records("a"))[5:] == fake.versions()[5:] * 2
    assert gaps(fake.records("a")) == []


HOLD = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_store_that_hangs(fake, keeping, hook):
    """A stopped process holds SQLite's lock: streams and sinks go on, the point stays."""
    one = keeping(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    held = wait_point(keeping.directory, mark="resume")["version"]
    holder = subprocess.Popen([sys.executable, "-c", HOLD, keeping.directory / "state.db"],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert holder.stdout.readline() == b"held\n"
        holder.send_signal(signal.SIGSTOP)
        fake.script("burst 50 prefix held steps 1")
        fake.wait("sink a accepted >= 100")
        one.wait_log(FAILS)
        assert one.metric("state_usable") == 0 and one.get("/livez")[0] == 200
        assert point(keeping.directory)["version"] == held
    finally:
        holder.kill()
        holder.wait(LIMIT)
        holder.stdin.close()
        holder.stdout.close()
    wait_point(keeping.directory, version=str(fake.state()["version"]))
    keeping.stop()
    assert keys(fake.records("a")) == fake.versions()


def test_a_sink_that_hangs_for_the_whole_run(fake, keeping, hook):
    """The tracker holds what the queue holds, however much passes."""
    queue = {"records": 500, "overflow": "drop_oldest"}
    one = keeping(sinks={"fast": hook("fast"), "dead": hook("dead", queue=queue)})
    fake.wait("watches open >= 1")
    fake.script("sink fast discard\nsink dead hang\nburst 1000 prefix warm")
    fake.wait("sink fast accepted >= 1000")

    def anonymous():
        with open(f"/proc/{one.process.pid}/status", encoding="ascii") as status:
            return int(next(line for line in status if line.startswith("RssAnon")).split()[1])

    before, most = 0, 0
    for burst in range(6):
        fake.script(f"burst 4000 prefix load-{burst}")
        fake.wait(f"sink fast accepted >= {1000 + 4000 * (burst + 1)}")
        most = max(most, one.metric("watch_unsettled_frames"))
        before = before or anonymous()
    after = anonymous()
    print(f"{most:.0f} open slots at most; RssAnon {before} KiB after 5,000 records, {after} KiB after 25,000")
    assert most <= 500 + 300  # the queue, a batch in flight, and what the fast sink has not answered
    assert SANITIZED or after - before < 3072  # the totals of countDelta, at the most 1 MiB, and some air
    fake.script("sink dead clear")
    keeping.stop()
