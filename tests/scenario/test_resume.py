"""A restart goes on where everything was settled: nothing is lost, and no more comes again."""
import json
import sqlite3
import subprocess

import pytest

from conftest import BIN, gaps, keys

FAST = {"interval": "20ms"}


@pytest.fixture
def keeping(router, tmp_path):
    """keeping(...): a router whose resume points are kept in one directory of the test."""
    def start(**config):
        state = {**FAST, "path": str(tmp_path / "state"), **config.pop("state", {})}
        return router(state=state, **config)
    start.directory = tmp_path / "state"
    return start


def stored(directory, stream="events"):
    """The stored resume point, read without the program."""
    with sqlite3.connect(f"file:{directory}/state.db?mode=ro", uri=True) as db:
        row = db.execute("SELECT value FROM entry WHERE stream=CAST(? AS BLOB) AND key=x''",
                         [stream]).fetchone()
    return json.loads(row[0])


def test_what_happened_meanwhile_is_replayed_and_nothing_twice(fake, keeping, hook):
    fake.script("burst 20 prefix before")
    first = keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 20")
    assert first.stop() == 0
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
    assert stored(keeping.directory)["version"] == str(fake.state()["version"])


def test_the_version_of_now_is_kept_at_once(fake, keeping, hook):
    fake.script("burst 5 prefix old")
    first = keeping(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}},
                    state={"interval": "60s"})
    fake.wait("watches open >= 1")
    while stored(keeping.directory)["mark"] != "resume":
        pass
    first.kill()
    fake.script("put new")
    keeping(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}})
    fake.wait("sink a accepted >= 1")
    assert keys(fake.records("a")) == fake.versions()[5:]


def command(*arguments):
    return subprocess.run([BIN / "eventrouter", "state", *map(str, arguments)], check=False,
                          capture_output=True, text=True, timeout=60)


def test_state_show_and_reset(fake, keeping, hook):
    fake.script("burst 3")
    one = keeping(sinks={"a": hook("a")})
    fake.wait("sink a accepted >= 3")
    version = str(fake.state()["version"])
    path = keeping.directory
    while stored(path)["mark"] != "resume":
        pass
    shown = command("show", "--path", path, "--json")  # while the router runs
    assert shown.returncode == 0, shown.stderr
    [stream] = json.loads(shown.stdout)
    assert stream["stream"] == "events" and stream["point"]["version"] == version
    assert stream["point"] == stored(path)
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
