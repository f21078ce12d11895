"""The file sink in a running router: killed, moved away under it, on a disk that is full or read-only.

No torn line stays behind, what was counted as delivered is in the file, once, and the ledger balances."""
import json
import os
import pathlib
import random
import resource
import signal
import subprocess

import pytest

from conftest import BIN, LIMIT, RECORD, Router, events, key, keys, merge

SANITIZED = BIN.parent.name in ("asan", "tsan")
DENIED = "the sink denies us, records are kept and tried slowly"
UNAVAILABLE = "the sink is unavailable, records are kept and tried again"
WORKS = "the sink works again"


def file_sink(path, **more):
    return merge({"type": "file", "path": str(path), "retry": {"initial": "10ms", "max": "80ms"}}, more)


def records_of(*paths):
    """All records; every line is whole."""
    found = []
    for path in paths:
        data = pathlib.Path(path).read_bytes()
        assert data == b"" or data.endswith(b"\n"), (path, data[-300:])
        found += [json.loads(line) for line in data.splitlines()]
    return found


def rotated(path):
    """The rotated files, oldest first."""
    found = pathlib.Path(path).parent.glob(pathlib.Path(path).name + ".*")
    return sorted(found, key=lambda one: -int(one.suffix[1:]))


def delivered(r, number, sink="a"):
    r.wait_metric(lambda v: v >= number, "sink_delivered_total", sink=sink)


# ---- in good times ----

@pytest.mark.parametrize("fsync", ["batch", "every_second", "never"])
def test_lines(fake, router, tmp_path, fsync):
    path = tmp_path / "a.ndjson"
    fake.script("burst 50")
    r = router(sinks={"a": file_sink(path, fsync=fsync)})
    fake.wait("watches open >= 1")
    fake.script("burst 50 prefix live steps 2")
    delivered(r, 200)
    assert path.stat().st_mode & 0o777 == 0o640
    r.stop()
    found = records_of(path)
    for record in found:
        RECORD.validate(record)
    assert sorted(keys(found[:50])) == sorted(fake.versions()[:50])
    assert keys(found[50:]) == fake.versions()[50:]
    assert r.sink_ledger("a")["delivered"] == 200


def test_rotation_by_size(fake, router, tmp_path):
    path = tmp_path / "a.ndjson"
    r = router(sinks={"a": file_sink(path, batch={"bytes": "4KiB"},
                                     rotate={"size": "16KiB", "keep": 1000})})
    fake.wait("watches open >= 1")
    fake.script("burst 500")
    delivered(r, 500)
    r.stop()
    assert keys(records_of(*rotated(path), path)) == fake.versions()
    sizes = [one.stat().st_size for one in rotated(path)]
    assert len(sizes) > 10 and min(sizes) > 12 << 10 and max(sizes) <= 16 << 10


def test_two_routers_on_one_file(fake, router, tmp_path):
    """The second waits for the first, says so, and goes on when it has ended."""
    path = tmp_path / "a.ndjson"
    fake.script("put a.1")
    first = router(sinks={"a": file_sink(path)})
    delivered(first, 1)
    second = router(sinks={"a": file_sink(path)})
    line = second.wait_log(UNAVAILABLE)
    assert line["error"] == (f"{path} is locked by another sink or another router; "
                             "only one may write it")
    first.stop()
    delivered(second, 1)
    second.stop()
    assert keys(records_of(path)) == fake.versions() * 2


# ---- killed ----

ORDER_SIZE = 1500


def life(fake, directory, config, until):
    """Runs a router, kills it when that many are counted as delivered; the last count seen."""
    r = Router(directory, fake.api, config)
    seen = 0
    while seen < until:
        seen = int(r.metric("sink_delivered_total", sink="a"))
    r.process.kill()
    r.process.wait()
    r.reader.join(LIMIT)
    r.process.stderr.close()
    return seen


def take_away(path, before):
    """What a life has added to the file, over all rotations: its whole lines, and a torn rest."""
    parts = rotated(path) + ([path] if path.exists() else [])
    data = b"".join(part.read_bytes() for part in parts)
    assert data.startswith(before)
    lines = data[len(before):].split(b"\n")
    for part in rotated(path):
        assert part.read_bytes().endswith(b"\n")
        part.unlink()
    return lines[:-1], lines[-1]


def left_for_the_next(path, torn):
    """What of the file the next life must leave: a torn line goes, a complete one gets its end."""
    data = path.read_bytes() if path.exists() else b""
    whole = data[:len(data) - len(torn)] if torn else data
    try:
        json.loads(torn)
    except ValueError:
        return whole
    return data + b"\n"


@pytest.mark.parametrize("seed, message, batch, size", [
    (1, 100, {"records": 40, "bytes": "64KiB"}, "128KiB"),
    (2, 100, {"records": 40, "bytes": "64KiB"}, "128KiB"),
    (3, 10000, {"records": 200, "bytes": "2MiB"}, "4MiB"),  # long writes, some of which are torn
    (4, 10000, {"records": 200, "bytes": "2MiB"}, "4MiB")][::3 if SANITIZED else 1])
def test_killed(fake, tmp_path, seed, message, batch, size):
    """kill -9 at any moment, 200 times: what was counted as delivered is there, in order, whole."""
    chance = random.Random(seed)
    path = tmp_path / "a.ndjson"
    config = {"sinks": {"a": file_sink(path, batch=batch, rotate={"size": size, "keep": 1000})}}
    fake.script(f"burst {ORDER_SIZE} message=@x:{message}\npage-max 50")
    order = sorted(change["object"]["metadata"]["name"] for change in fake.history())
    before, midway = b"", 0
    for _ in range(5 if SANITIZED else 50):
        acknowledged = life(fake, tmp_path, config, chance.randrange(ORDER_SIZE))
        lines, torn = take_away(path, before)
        found = [json.loads(line)["event"]["name"] for line in lines]
        assert found == order[:len(found)]
        assert len(found) >= acknowledged
        midway += len(found) < ORDER_SIZE
        before = left_for_the_next(path, torn)
    assert midway >= (1 if SANITIZED else 25)  # else the test does not bite
    r = Router(tmp_path, fake.api, config)
    delivered(r, ORDER_SIZE)
    assert r.stop() == 0
    r.ledger()
    lines, torn = take_away(path, before)
    assert [json.loads(line)["event"]["name"] for line in lines] == order and torn == b""


def test_a_torn_line_of_an_earlier_life(fake, router, tmp_path):
    path = tmp_path / "a.ndjson"
    fake.script("put a.1")
    first = router(sinks={"a": file_sink(path)})
    delivered(first, 1)
    first.stop()
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:100])
    second = router(sinks={"a": file_sink(path)})
    line = second.wait_log("a torn last line, never acknowledged, was cut off")
    assert line["bytes"] == 100 and line["path"] == str(path)
    delivered(second, 1)
    second.stop()
    assert keys(records_of(path)) == fake.versions() * 2


# ---- moved away ----

def test_logrotate(fake, router, tmp_path):
    """Moved away 40 times while records flow, with and without a new file in its place."""
    path = tmp_path / "a.ndjson"
    r = router(sinks={"a": file_sink(path, batch={"records": 20})})
    fake.wait("watches open >= 1")
    r.wait_metric(lambda v: v == 1, "sink_state", sink="a", state="ok")
    fake.script("background burst 4000 rate 2000")
    moved = []
    for number in range(40):
        delivered(r, 50 * (number + 1))
        r.wait_metric(lambda _: path.exists(), "sink_delivered_total", sink="a")
        moved.append(path.rename(f"{path}-{number}"))
        if number % 2:
            path.touch(0o640)
    delivered(r, 4000)
    r.stop()
    assert keys(records_of(*moved, path)) == fake.versions()
    assert sum(one.stat().st_size > 0 for one in moved) > 20
    assert r.sink_ledger("a")["delivered"] == 4000


def test_copytruncate(fake, router, tmp_path):
    """Cut to nothing while records flow: no hole, no torn line, and what follows is there."""
    path = tmp_path / "a.ndjson"
    r = router(sinks={"a": file_sink(path, batch={"records": 20})})
    fake.wait("watches open >= 1")
    fake.script("background burst 2000 rate 2000")
    for number in range(10):
        delivered(r, 100 * (number + 1))
        os.truncate(path, 0)
    delivered(r, 2000)
    os.truncate(path, 0)
    fake.script("burst 30 prefix last")
    delivered(r, 2030)
    r.stop()
    assert keys(records_of(path)) == fake.versions()[-30:]


# ---- disks ----

class Disk:
    """A file system of 8 MiB of its own."""

    def __init__(self, directory):
        self.image, self.path = directory / "image", directory / "disk"
        self.path.mkdir()
        self.kind = "ext4" if self._mount_image() else "tmpfs" if self._mount_tmpfs() else None

    def _mount_image(self):
        with open(self.image, "wb") as image:
            image.truncate(8 << 20)
        made = self._run("mkfs.ext4", "-q", "-F", "-m", "0", self.image)
        return made and self._run("mount", "-o", "loop,errors=remount-ro", self.image, self.path)

    def _mount_tmpfs(self):
        return self._run("mount", "-t", "tmpfs", "-o", "size=8m", "none", self.path)

    @staticmethod
    def _run(*command):
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
        except OSError:
            return False

    def read_only(self, on):
        assert self._run("mount", "-o", "remount,ro" if on else "remount,rw", self.path)

    def immutable(self, on):
        """No file can be made, moved or deleted in it, whoever asks."""
        return self._run("chattr", "+i" if on else "-i", self.path)

    def break_down(self):
        """The file system finds an error and goes read-only, as it does when a device fails."""
        source = subprocess.run(["findmnt", "-no", "SOURCE", self.path], capture_output=True,
                                text=True, check=True).stdout.strip()
        trigger = pathlib.Path("/sys/fs/ext4") / os.path.basename(source) / "trigger_fs_error"
        try:
            trigger.write_text("made by a test")
        except OSError as error:
            pytest.skip(f"no error can be made: {error}")

    def close(self):
        if self.kind:
            self.immutable(False)
            self._run("umount", "-l", self.path)


@pytest.fixture
def disk(tmp_path):
    made = Disk(tmp_path)
    yield made
    made.close()


@pytest.fixture
def small_disk(disk):
    if disk.kind is None:
        pytest.skip("no file system can be mounted here: it takes root")
    return disk


@pytest.fixture
def ext4(small_disk):
    if small_disk.kind != "ext4":
        pytest.skip("no loop device can be had here")
    return small_disk


def test_a_full_disk(fake, router, small_disk):
    """16 MB through 8 MiB: it fills up, is emptied, fills up again; nothing is lost or twice."""
    path, number = small_disk.path / "a.ndjson", 30000
    r = router(sinks={"a": file_sink(path, batch={"records": 1000})}, log={"level": "info"})
    fake.wait("watches open >= 1")
    fake.script(f"background burst {number}")
    found, full = [], 0
    while len(found) < number:
        r.wait_metric(lambda _: r.metric("sink_state", sink="a", state="unavailable") == 1 or
                      r.metric("sink_delivered_total", sink="a") == number, "sink_retries_total")
        done = int(r.metric("sink_delivered_total", sink="a"))
        taken = path.rename(f"{path}-taken")  # closed as soon as there is another in its place
        r.wait_metric(lambda _: path.exists(), "sink_retries_total")
        found += records_of(taken)
        assert len(found) >= done  # exactly what was acknowledged: a batch is there or it is not
        full += done < number
        taken.unlink()
        r.wait_metric(lambda _: r.metric("sink_state", sink="a", state="ok") == 1,
                      "sink_retries_total")
    assert full >= 1
    error = r.wait_log(UNAVAILABLE)["error"]
    assert error.startswith(("cannot write ", "cannot sync ", "cannot open ")), error
    assert error.endswith("No space left on device")
    r.stop()
    assert records_of(path) == [] and keys(found) == fake.versions()
    assert r.sink_ledger("a") == {"sink": "a", "enqueued": number, "delivered": number,
                                  "rejected": 0, "dropped": 0, "queued": 0, "inFlight": 0}


def test_ended_while_the_disk_is_full(fake, router, small_disk):
    """The file ends with a whole line, the ledger says what is not in it."""
    path, number = small_disk.path / "a.ndjson", 30000
    r = router(sinks={"a": file_sink(path, queue={"records": 40000, "bytes": "1GiB"})},
               shutdown={"grace": "200ms"}, log={"level": "info"})
    fake.wait("watches open >= 1")
    fake.script(f"burst {number}")
    r.wait_log(UNAVAILABLE)
    r.wait_metric(lambda v: v == number, "sink_enqueued_total", sink="a")
    r.stop()
    ledger = r.sink_ledger("a")
    found = keys(records_of(path))
    assert 0 < len(found) == ledger["delivered"] < number
    assert found == fake.versions()[:len(found)]
    assert ledger["queued"] + ledger["inFlight"] == number - len(found)


def test_a_disk_that_is_mounted_read_only(fake, router, ext4):
    path = ext4.path / "a.ndjson"
    fake.script("burst 20")
    ext4.read_only(True)
    r = router(sinks={"a": file_sink(path)})
    line = r.wait_log(DENIED)
    assert line["error"] == f"cannot open {path}: Read-only file system"
    ext4.read_only(False)
    r.wait_log(WORKS)
    delivered(r, 20)
    r.stop()
    assert sorted(keys(records_of(path))) == sorted(fake.versions())


def test_a_disk_that_becomes_read_only(fake, router, ext4):
    """Under an open file, by an error of the file system: what was acknowledged is there."""
    path = ext4.path / "a.ndjson"
    r = router(sinks={"a": file_sink(path)}, shutdown={"grace": "200ms"})
    fake.wait("watches open >= 1")
    fake.script("burst 20")
    delivered(r, 20)
    ext4.break_down()
    fake.script("burst 5 prefix later")
    line = r.wait_log(DENIED)
    assert line["error"].endswith("Read-only file system")
    r.stop()
    assert keys(records_of(path)) == fake.versions()[:20]
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["queued"] + ledger["inFlight"]) == (20, 5)


def test_a_directory_that_becomes_read_only(fake, router, ext4):
    """Rotation fails, and is said; the file is written on. A new file cannot be made until it can."""
    path = ext4.path / "a.ndjson"
    settings = {"batch": {"bytes": "4KiB"}, "rotate": {"size": "8KiB"}}
    r = router(sinks={"a": file_sink(path, **settings)})
    fake.wait("watches open >= 1")
    fake.script("put first.1")
    delivered(r, 1)
    if not ext4.immutable(True):
        pytest.skip("chattr +i does not work here")
    fake.script("burst 100")
    line = r.wait_log("cannot rotate; the file is written on, and grows")
    assert line["error"] == f"cannot rotate {path}: Operation not permitted"
    delivered(r, 101)
    r.stop()
    assert keys(records_of(path)) == fake.versions()

    other = router(sinks={"a": file_sink(ext4.path / "b.ndjson")})
    line = other.wait_log(DENIED)
    assert line["error"] == f"cannot open {ext4.path}/b.ndjson: Operation not permitted"
    assert ext4.immutable(False)
    delivered(other, 101)
    other.stop()
    assert sorted(keys(records_of(ext4.path / "b.ndjson"))) == sorted(fake.versions())


def test_the_limit_of_a_file(fake, router, tmp_path):
    """RLIMIT_FSIZE: an error of the write, not the end of the program."""
    path = tmp_path / "a.ndjson"
    r = router(sinks={"a": file_sink(path)})
    fake.wait("watches open >= 1")
    fake.script("put a.1")
    delivered(r, 1)
    usual = resource.prlimit(r.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(r.process.pid, resource.RLIMIT_FSIZE, (path.stat().st_size + 100, usual[1]))
    fake.script("put b.1")
    line = r.wait_log(DENIED)
    assert line["error"] == f"cannot write {path}: File too large"
    assert keys(records_of(path)) == fake.versions()[:1]
    resource.prlimit(r.process.pid, resource.RLIMIT_FSIZE, usual)
    delivered(r, 2)
    assert r.stop(signal.SIGINT) == 0
    assert keys(records_of(path)) == fake.versions()


def test_a_fifo_is_refused(fake, router, hook, tmp_path):
    """The thread does not hang on it, and neither does the end."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    fake.script("put a.1")
    r = router(sinks={"a": file_sink(path), "b": hook("b")}, shutdown={"grace": "100ms"})
    line = r.wait_log(DENIED)
    assert line["error"].startswith(f"{path} is not a regular file")
    fake.wait("sink b records >= 1")
    r.stop()
    assert keys(events(fake.records("b"))) == [key(record) for record in fake.records("b")]
    assert r.sink_ledger("a")["delivered"] == 0
