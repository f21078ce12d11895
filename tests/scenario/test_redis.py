"""The redis sink in a running router, against Debian's Redis: what it adds, and how it recovers.

What was counted as delivered is in the stream, nothing is missing, and the ledger balances."""
import json
import os
import socket
import subprocess
import sys
import time

import pytest

from conftest import BIN, LIMIT, RECORD, ROOT, keys, merge
from pki import make_ca, make_cert
from relay import Relay

sys.path.insert(0, str(ROOT / "tests/support"))
from redis_server import Redis  # noqa: E402 (the path comes first)

DENIED = "the sink denies us, records are kept and tried slowly"
UNAVAILABLE = "the sink is unavailable, records are kept and tried again"
WORKS = "the sink works again"


@pytest.fixture
def redis(tmp_path):
    started = []

    def start(*settings, **more):
        started.append(Redis(tmp_path / f"redis-{len(started)}", *settings, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


def sink_of(server, **more):
    config = {"type": "redis", "address": server.address, "username": "router",
              "retry": {"initial": "10ms", "max": "80ms"},
              "timeout": {"connect": "5s", "request": "5s"}}
    if "password" not in more:
        config["password"] = {"env": "PASSWORD"}
    return merge(config, more)


def start(router, server, **more):
    return router(sinks={"a": sink_of(server, **more)}, env={"PASSWORD": "secret"})


def records(server, stream="k8s:events"):
    found = [json.loads(entry["data"]) for entry in server.entries(stream)]
    for record in found:
        RECORD.validate(record)
    return found


def delivered(r, number):
    r.wait_metric(lambda v: v >= number, "sink_delivered_total", sink="a")


def whole(r, server, fake, repeats=False):
    """After a test: the stream holds what there was; once, unless repeats were to come."""
    assert r.stop() == 0
    ledger = r.sink_ledger("a")
    found, wanted = keys(records(server)), fake.versions()
    assert (ledger["enqueued"], ledger["delivered"]) == (len(wanted), len(wanted)), ledger
    if not repeats:
        assert len(found) == len(wanted)
    assert set(found) == set(wanted)


# ---- in good times ----

def test_entries(fake, router, redis):
    server = redis()
    r = start(router, server, fields=["id", "kind", "severity", "namespace", "data"])
    fake.wait("watches open >= 1")
    fake.script("burst 500 prefix live steps 2")
    delivered(r, 1500)
    assert [line for line in server("CLIENT", "LIST").splitlines() if " name=eventrouter " in line]
    for entry in server.entries():
        record = json.loads(entry["data"])
        assert list(entry) == ["id", "kind", "severity", "namespace", "data"]
        assert [entry[name] for name in list(entry)[:4]] == [
            record["id"], "event", "WARNING", "default"]
    assert keys(records(server)) == fake.versions()  # in order
    whole(r, server, fake)


def test_a_stream_for_each_kind_trimmed(fake, router, redis):
    server = redis()
    fake.script("put deployments/web")
    r = router(sinks={"a": sink_of(server, stream="k8s:{kind}", maxLen=100)}, env={"PASSWORD": "secret"},
               watch={"deployments": {"enabled": True}})
    fake.wait("watches open >= 2")
    fake.script("burst 3000")
    fake.script('modify deployments/web spec.replicas=3 metadata.generation=2')
    delivered(r, 3001)
    r.stop()
    assert 100 <= server("XLEN", "k8s:event") < 1000
    assert [json.loads(entry["data"])["kind"] for entry in server.entries("k8s:change")] == ["change"]
    assert server.entries("k8s:event")[-1]["id"] == "-".join(fake.versions()[-1])


def test_old_entries_are_trimmed(fake, router, redis):
    server = redis("stream-node-max-entries 1")
    for i in range(1, 50):
        server("XADD", "k8s:events", f"{i}-0", "old", "x")
    server("XADD", "k8s:events", f"{int(time.time() * 1000) - 60000}-0", "young", "x")
    fake.script("burst 1")
    r = start(router, server, minId="1h")
    delivered(r, 1)
    r.stop()
    assert [next(iter(entry)) for entry in server.entries()] == ["young", "id"]


def test_a_unix_socket_and_another_database(fake, router, redis):
    server = redis()
    fake.script("burst 20")
    r = start(router, server, address=f"unix:{server.socket}", db=3)
    delivered(r, 20)
    server("SELECT", 3)
    whole(r, server, fake)


def test_a_connection_that_was_closed_in_idle_time_is_no_failure(fake, router, redis):
    server = redis()
    fake.script("burst 5")
    r = start(router, server)
    delivered(r, 5)
    server("CLIENT", "KILL", "USER", "router")
    fake.script("burst 5 prefix later")
    delivered(r, 10)
    assert not r.logged(UNAVAILABLE)
    whole(r, server, fake)


# ---- what the server says ----

def fill(server):
    server("CONFIG", "SET", "maxmemory", "1")


def unfill(server):
    server("CONFIG", "SET", "maxmemory", "0")


FAULTS = {
    "OOM": (UNAVAILABLE, fill, unfill),
    "READONLY": (UNAVAILABLE, lambda s: s("REPLICAOF", "127.0.0.1", "1"),
                 lambda s: s("REPLICAOF", "NO", "ONE")),
    "NOREPLICAS": (UNAVAILABLE, lambda s: s("CONFIG", "SET", "min-replicas-to-write", "1"),
                   lambda s: s("CONFIG", "SET", "min-replicas-to-write", "0")),
    "WRONGTYPE": (DENIED, lambda s: (s("RENAME", "k8s:events", "k8s:away"), s("SET", "k8s:events", "x")),
                  lambda s: s("RENAME", "k8s:away", "k8s:events")),
    "NOPERM": (DENIED, lambda s: s("ACL", "SETUSER", "router", "-xadd"),
               lambda s: s("ACL", "SETUSER", "router", "+xadd")),
}


@pytest.mark.parametrize("dedupe", [{}, {"dedupe": {"ttl": "1h"}}], ids=["plain", "dedupe"])
@pytest.mark.parametrize("word", FAULTS)
def test_refused(fake, router, redis, word, dedupe):
    message, break_it, mend = FAULTS[word]
    server = redis()
    fake.script("burst 10")
    r = start(router, server, **dedupe)
    delivered(r, 10)
    break_it(server)
    fake.script("burst 2000 prefix more")
    line = r.wait_log(message, sink="a")
    inside = dedupe and word == "NOPERM"  # Redis 7 says it in its own words for what a script does
    assert line["error"].startswith(f"{server.address}: {'' if inside else word + ' '}"), line
    mend(server)
    r.wait_log(WORKS, sink="a")
    delivered(r, 2010)
    whole(r, server, fake)


def test_a_failover(fake, router, redis):
    """The connection to what has become a replica is given up; the address leads to the new primary."""
    old, new = redis(), redis()
    relay = Relay(old.port)
    new("REPLICAOF", "127.0.0.1", old.port)
    fake.script("burst 100")
    r = start(router, old, address=f"127.0.0.1:{relay.port}", wait={"replicas": 1, "timeout": "2s"})
    delivered(r, 100)
    new("REPLICAOF", "NO", "ONE")
    old("REPLICAOF", "127.0.0.1", new.port)
    fake.script("burst 100 prefix more")
    line = r.wait_log(UNAVAILABLE, sink="a")
    assert line["error"] == (f"127.0.0.1:{relay.port}: READONLY You can't write against a read only "
                             "replica: this is a replica; the address is looked up again")
    assert not r.logged(DENIED)
    relay.target = new.port
    delivered(r, 200)
    whole(r, new, fake)
    relay.close()


def test_no_stream(fake, router, redis):
    server = redis()
    fake.script("burst 10")
    r = start(router, server, noMkStream=True)
    line = r.wait_log(DENIED, sink="a")
    assert line["error"] == (f"{server.address}: there is no such stream; make it, or set "
                             "noMkStream: false"), line
    server("XGROUP", "CREATE", "k8s:events", "g", "$", "MKSTREAM")
    delivered(r, 10)
    whole(r, server, fake)


@pytest.mark.parametrize("refusal", [
    "WRONGTYPE Operation against a key holding the wrong kind of value: the key of the stream holds something "
    "else; delete it, or change stream",
    "there is no such stream; make it, or set noMkStream: false"], ids=["wrong-type", "no-stream"])
def test_one_stream_is_refused(fake, router, redis, refusal):
    """Its records wait, in order, and those of other streams do not."""
    server = redis()
    server("XADD", "k8s:default", "*", "data", "{}")
    if refusal.startswith("WRONGTYPE"):
        server("SET", "k8s:shop", "x")
    r = start(router, server, stream="k8s:{namespace}", noMkStream=not refusal.startswith("WRONGTYPE"))
    fake.script("wait watches open >= 1\nburst 3 prefix s namespace=shop\nburst 20\nput last namespace=shop")
    line = r.wait_log("the sink refuses a target, its records are set aside and tried slowly")
    assert (line["target"], line["error"]) == ("k8s:shop", refusal)
    delivered(r, 20)
    r.wait_metric(lambda n: n == 4, "sink_set_aside_records", sink="a")
    assert r.metric("sink_state", sink="a", state="denied") == 1
    server("DEL", "k8s:shop")
    server("XADD", "k8s:shop", "*", "data", "{}")
    delivered(r, 24)
    r.wait_metric(lambda n: n == 1, "sink_state", sink="a", state="ok")
    assert not r.logged(DENIED)
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 24
    found = [entry["id"] for entry in server.entries("k8s:shop")[1:]]
    versions = ["-".join(version) for version in fake.versions()]
    assert found == versions[:3] + versions[-1:]


def test_a_password_that_is_wrong_until_its_file_is_corrected(fake, router, redis, tmp_path):
    server = redis()
    password = tmp_path / "password"
    password.write_text("a-mistake\n")
    fake.script("burst 100")
    r = start(router, server, password={"file": str(password)})
    line = r.wait_log(DENIED, sink="a")
    assert line["error"].startswith(f"{server.address}: AUTH: WRONGPASS "), line
    assert server("EXISTS", "k8s:events") == 0
    password.write_text("secret\n")
    delivered(r, 100)
    whole(r, server, fake)
    assert "a-mistake" not in json.dumps(r.lines)


# ---- what explain shows ----

@pytest.mark.parametrize("more", [{}, {"dedupe": {"ttl": "1h"}}], ids=["plain", "dedupe"])
def test_payload_is_what_is_sent(fake, router, redis, more):
    """Target, fields in order, and the data byte for byte, as they are then in the stream."""
    server = redis()
    fake.script('put one message="two\\nlines, and \\"quotes\\""')
    r = start(router, server, stream="k8s:{kind}", maxLen=500, fields=["message", "id", "data"], **more)
    delivered(r, 1)
    r.stop()
    [entry] = server.entries("k8s:event")
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", r.directory / "config.yaml", "--payload"],
                          input=entry["data"], capture_output=True, text=True, timeout=LIMIT, check=True)
    shown = done.stdout.split("  a, redis:\n")[1].rstrip("\n").split("\n")
    command = ["XADD k8s:event MAXLEN ~ 500 *"]
    if more:
        command.insert(0, f"EVAL <script> 2 dedup:k8s:event:{entry['id']} k8s:event 3600")
    assert shown == ["      " + line for line in (
        f"{server.address} db 0", *command, f"message: {json.dumps(entry['message'])}", f"id: {entry['id']}",
        f"data: {entry['data']}")]
    assert list(entry) == ["message", "id", "data"]


def test_payload_of_every_kind_of_record():
    """tests/golden/examples/redis.payload is what explain shows; ER_GOLDEN_OUT=1 writes it anew."""
    golden = ROOT / "tests/golden/examples/redis.payload"
    done = subprocess.run([BIN / "eventrouter", "explain", "--payload", "-c",
                           ROOT / "config/examples/redis.yaml", golden.with_suffix(".ndjson")],
                          capture_output=True, text=True, timeout=LIMIT, check=True)
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()
    lines = golden.with_suffix(".ndjson").read_text().splitlines()
    assert len({json.loads(line)["kind"] for line in lines}) == 6
    for line in lines:  # both sinks send the record as it is
        assert done.stdout.count(f"\n      data: {line}\n") == 2


# ---- when it is away ----

def test_what_closes_before_it_answers_may_want_tls(fake, router):
    with socket.create_server(("127.0.0.1", 0)) as server:
        fake.script("put one")
        address = f"127.0.0.1:{server.getsockname()[1]}"
        r = router(sinks={"a": {"type": "redis", "address": address}})
        connection, _ = server.accept()
        assert connection.recv(100).startswith(b"*3\r\n$6\r\nCLIENT")
        connection.close()
        line = r.wait_log(UNAVAILABLE, sink="a")
        assert line["error"] == (f"{address} closed the connection before the first answer; a port with "
                                 "TLS wants tls"), line


@pytest.mark.parametrize("dedupe", [False, True])
def test_killed_and_started_again(fake, router, redis, dedupe):
    server = redis()
    r = start(router, server, batch={"records": 50}, **({"dedupe": {"ttl": "1h"}} if dedupe else {}))
    fake.wait("watches open >= 1")
    fake.script("background burst 6000 rate 6000")
    for i in range(1, 4):
        delivered(r, 1000 * i)
        server.kill()
        server.start()
    delivered(r, 6000)
    whole(r, server, fake, repeats=not dedupe)


@pytest.mark.parametrize("dedupe", [False, True])
def test_a_server_that_hangs(fake, router, redis, dedupe):
    server = redis()
    r = start(router, server, timeout={"connect": "300ms", "request": "300ms"},
              **({"dedupe": {"ttl": "1h"}} if dedupe else {}))
    fake.wait("watches open >= 1")
    fake.script("burst 100")
    delivered(r, 100)
    server.hang()
    fake.script("burst 100 prefix more")
    line = r.wait_log(UNAVAILABLE, sink="a")
    assert line["error"] == f"{server.address} did not answer within 300 ms", line
    server.resume()
    delivered(r, 200)
    whole(r, server, fake, repeats=not dedupe)


def test_a_wait_for_a_hanging_server_ends_with_the_grace(fake, router, redis):
    server = redis()
    r = router(sinks={"a": sink_of(server, timeout={"connect": "1m", "request": "1m"})},
               env={"PASSWORD": "secret"}, shutdown={"grace": "200ms"})
    fake.wait("watches open >= 1")
    server.hang()
    fake.script("burst 10")
    r.wait_metric(lambda v: v == 10, "sink_enqueued_total", sink="a")
    begin = time.monotonic()
    assert r.stop() == 0
    assert time.monotonic() - begin < LIMIT
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["queued"] + ledger["inFlight"]) == (0, 10), ledger


def test_replicas_must_have_the_records(fake, router, redis):
    server = redis()
    fake.script("burst 100")
    r = start(router, server, wait={"replicas": 1, "timeout": "50ms"}, dedupe={"ttl": "1h"})
    line = r.wait_log(UNAVAILABLE, sink="a")
    assert line["error"] == f"{server.address}: 0 of 1 replicas have the records (wait.replicas)", line
    assert r.metric("sink_delivered_total", sink="a") == 0
    redis(f"replicaof 127.0.0.1 {server.port}")
    delivered(r, 100)
    whole(r, server, fake)


# ---- TLS ----

def has_tls(tmp_path):
    config = tmp_path / "tls.yaml"
    config.write_text("sinks: {a: {type: redis, address: localhost, tls: {}}}\n")
    done = subprocess.run([BIN / "eventrouter", "check", "-c", config], capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    if done.returncode:
        assert "sinks.a.tls: this program was built with a hiredis that has no TLS" in done.stderr
        assert done.returncode == 2
    return done.returncode == 0


def test_tls(fake, router, redis, tmp_path):
    if not has_tls(tmp_path):
        return  # the error was what there is to test
    for name in ("ca", "other"):
        make_ca(tmp_path, name)
    make_cert(tmp_path, "server", "ca", "DNS:localhost")
    make_cert(tmp_path, "client", "ca", "DNS:router")
    ca, cert, key_ = (str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key"))
    server = redis("tls-auth-clients yes",
                   tls=[tmp_path / name for name in ("ca.pem", "server.pem", "server.key")])
    fake.script("burst 3000")
    mine = {"caFile": ca, "certFile": cert, "keyFile": key_}
    by_name, by_ip = f"localhost:{server.tls_port}", f"127.0.0.1:{server.tls_port}"
    r = router(env={"PASSWORD": "secret"}, sinks={
        "a": sink_of(server, address=by_name, tls=mine),
        "named": sink_of(server, address=by_ip, stream="k8s:named", tls={**mine, "serverName": "localhost"}),
        "stranger": sink_of(server, address=by_name,
                            tls={**mine, "caFile": str(tmp_path / "other.pem")}),
        "misnamed": sink_of(server, address=by_ip, tls=mine),
        "nobody": sink_of(server, address=by_name, tls={"caFile": ca}),
        "plain": sink_of(server, address=f"127.0.0.1:{server.port}", tls={"caFile": ca})})
    delivered(r, 3000)
    r.wait_metric(lambda v: v == 3000, "sink_delivered_total", sink="named")
    server.kill()
    server.start()
    fake.script("burst 500 prefix later")
    delivered(r, 3500)
    for name, why in (("stranger", "certificate in certificate chain"), ("misnamed", "IP address mismatch"),
                      ("nobody", "certificate required"), ("plain", "TLS failed: unexpected eof while reading")):
        line = r.wait_log(UNAVAILABLE, sink=name)
        assert line["error"].endswith(why), line
    whole(r, server, fake)


def test_a_handshake_that_hangs_is_given_up(fake, router, tmp_path):
    if not has_tls(tmp_path):
        return
    with socket.create_server(("127.0.0.1", 0)) as silent:
        fake.script("put one")
        r = router(env={"PASSWORD": "secret"}, shutdown={"grace": "100ms"}, sinks={
            "short": {"type": "redis", "address": f"127.0.0.1:{silent.getsockname()[1]}", "tls": {},
                      "timeout": {"connect": "200ms"}},
            "long": {"type": "redis", "address": f"127.0.0.1:{silent.getsockname()[1]}", "tls": {},
                     "timeout": {"connect": "1h"}}})
        line = r.wait_log(UNAVAILABLE, sink="short")
        assert line["error"].endswith(" did not answer within 200 ms"), line
        begin = time.monotonic()
        assert r.stop() == 0
        assert time.monotonic() - begin < LIMIT
