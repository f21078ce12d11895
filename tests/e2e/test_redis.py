"""The redis sink against a real Redis, in the numbers that ./dev test has no time for.

Events come from tests/support/er_fake, the Redis from Debian. Every test compares the ids in the stream with
those that the Events must have, one by one."""
import collections
import json
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from redis_server import RedisError, Redis  # noqa: E402 (the path comes first)

LIMIT = 120
MANY = 100000
UNAVAILABLE = "the sink is unavailable, records are kept and tried again"


@pytest.fixture
def redis(tmp_path):
    started = []

    def start(*settings):
        started.append(Redis(tmp_path / f"redis-{len(started)}", *settings))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def run(fake, start_router, tmp_path):
    """run(server, ...) starts the router with one sink, and the same state each time."""
    (tmp_path / "password").write_text("secret")

    def start(server, sinks=None, **more):
        one = {"type": "redis", "address": server.address, "username": "router",
               "password": {"file": str(tmp_path / "password")},
               "retry": {"initial": "50ms", "max": "500ms"}, **more}
        return start_router(fake.config(tmp_path, state={"path": str(tmp_path / "state")},
                                        sinks={"a": one, **(sinks or {})}))

    return start


def length(server):
    try:
        return server("XLEN", "k8s:events")
    except (OSError, RedisError):
        return -1  # on its way down or up


def wait_length(server, number, limit=LIMIT):
    end = time.monotonic() + limit
    while length(server) < number:
        assert time.monotonic() < end, (length(server), number)
        time.sleep(0.02)


def wait_state(router, state, limit=LIMIT):
    end = time.monotonic() + limit
    while f'eventrouter_sink_state{{sink="a",state="{state}"}} 1\n' not in router.get("/metrics")[1]:
        assert time.monotonic() < end, (state, router.tail())
        time.sleep(0.02)


def stop(router):
    assert router.stop() == 0
    [sink] = [sink for sink in router.ledger()["sinks"] if sink["sink"] == "a"]
    assert sink["queued"] == sink["inFlight"] == sink["rejected"] == sink["dropped"] == 0, sink
    return sink


def stored(server):
    """How often each id is in the stream; each entry is its record."""
    found = collections.Counter()
    for entry in server.entries():
        assert json.loads(entry["data"])["id"] == entry["id"]
        found[entry["id"]] += 1
    return found


def wait_all(server, fake):
    """Until every id is there: repeats make the length tell less."""
    wanted = fake.ids()
    wait_length(server, len(wanted))
    end = time.monotonic() + LIMIT
    while not set(wanted) <= set(stored(server)):
        assert time.monotonic() < end, len(set(wanted) - set(stored(server)))
        time.sleep(0.2)
    return wanted


def test_all_records_in_order(fake, redis, run):
    server = redis()
    router = run(server)
    fake.wait("watches open >= 1")
    fake.script(f"burst {MANY}")
    wait_length(server, MANY)
    assert stop(router)["delivered"] == MANY
    assert [entry["id"] for entry in server.entries()] == fake.ids()


@pytest.mark.parametrize("dedupe", [False, True], ids=["plain", "dedupe"])
def test_the_server_is_killed_and_the_router_is(fake, redis, run, dedupe):
    """Both with SIGKILL, while 100,000 records come. None is lost; with dedupe none is there twice."""
    server, more = redis(), {"dedupe": {"ttl": "1h"}} if dedupe else {}
    router = run(server, **more)
    fake.wait("watches open >= 1")
    fake.script(f"background burst {MANY} rate 15000")
    for i in range(1, 6):
        wait_length(server, i * MANY // 7)
        server.kill()
        if i % 2 == 0:
            router.kill()
        server.start()
        if i % 2 == 0:
            router = run(server, **more)
    fake.wait(f"events >= {MANY}", limit=60)
    wanted = wait_all(server, fake)
    stop(router)
    found = stored(server)
    assert set(found) == set(wanted)
    if dedupe:
        assert set(found.values()) == {1}


@pytest.mark.parametrize("request_ms, repeats", [(30000, False), (2000, True)])
def test_a_hang_of_ten_seconds(fake, redis, run, request_ms, repeats):
    """Shorter than timeout.request it is only waited for. Another sink goes on meanwhile."""
    server = redis()
    router = run(server, timeout={"request": f"{request_ms}ms", "connect": f"{request_ms}ms"},
                 queue={"records": 100000, "bytes": "256MiB"}, sinks={
                     "other": {"type": "webhook", "url": f"{fake.sinks}/other", "batch": {"records": 100}}})
    fake.wait("watches open >= 1")
    fake.script("burst 1000 prefix before")
    wait_length(server, 1000)
    server.hang()
    since = time.monotonic()
    fake.script("burst 5000")
    fake.wait("sink other accepted >= 6000", limit=10)
    time.sleep(max(0.0, since + 10 - time.monotonic()))  # the hang itself
    server.resume()
    wanted = wait_all(server, fake)
    stop(router)
    found = stored(server)
    assert set(found) == set(wanted)
    assert repeats or set(found.values()) == {1}
    assert bool([line for line in router.log() if line["message"] == UNAVAILABLE]) == repeats


def test_one_fault_after_the_other(fake, redis, run, tmp_path):
    """What the server refuses is kept, said, and there when the server takes it again."""
    server = redis()
    faults = {
        "OOM": ("unavailable", [("CONFIG", "SET", "maxmemory", 1)], [("CONFIG", "SET", "maxmemory", 0)]),
        "READONLY": ("unavailable", [("REPLICAOF", "127.0.0.1", 1)], [("REPLICAOF", "NO", "ONE")]),
        "WRONGTYPE": ("denied", [("RENAME", "k8s:events", "k8s:x"), ("SET", "k8s:events", 1)],
                      [("RENAME", "k8s:x", "k8s:events")]),
        "NOPERM": ("denied", [("ACL", "SETUSER", "router", "-xadd")],
                   [("ACL", "SETUSER", "router", "+xadd")]),
        "WRONGPASS": ("denied", [("ACL", "SETUSER", "router", "resetpass", ">other"),
                               ("CLIENT", "KILL", "USER", "router")], []),
    }
    router = run(server)
    fake.wait("watches open >= 1")
    fake.script("burst 10")
    for i, (word, (state, breaks, mends)) in enumerate(faults.items()):
        wait_length(server, 10 + 3000 * i)  # RENAME must meet nothing on its way
        for command in breaks:
            server(*command)
        fake.script(f"burst 3000 prefix p{i}")
        wait_state(router, state)
        for command in mends:
            server(*command)
        (tmp_path / "password").write_text("other" if "WRONGPASS" in word else "secret")
        wait_state(router, "ok")
    wait_length(server, 15010)
    assert stop(router)["delivered"] == 15010
    found = stored(server)
    assert set(found) == set(fake.ids()) and set(found.values()) == {1}
