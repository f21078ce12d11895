"""The kafka sink in the built program, between er_fake and librdkafka's mock cluster."""
import datetime
import http.server
import json
import re
import socket
import struct
import subprocess
import threading
import time

import pytest

from conftest import BIN, LIMIT, RECORD, ROOT, key

GOLDEN = ROOT / "tests/golden/kafka"
QUICK = {"linger.ms": "5", "reconnect.backoff.ms": "20", "reconnect.backoff.max.ms": "100",
         "topic.metadata.refresh.fast.interval.ms": "20"}
MSG_SIZE_TOO_LARGE, OUT_OF_ORDER_SEQUENCE_NUMBER, TOPIC_AUTHORIZATION_FAILED = 10, 45, 29
UNKNOWN_TOPIC_OR_PART, INVALID_RECORD = 3, 87
INVALID_TIMESTAMP = 32
PRODUCE = 0


class Mock:
    """er_kafka mock: brokers within a process, and what it is told to do."""

    def __init__(self, brokers=1):
        self.process = subprocess.Popen([BIN / "er_kafka", "mock", str(brokers)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        self.brokers = json.loads(self.process.stdout.readline())["brokers"]

    def __call__(self, *command):
        self.process.stdin.write(" ".join(map(str, command)) + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "ok\n", command

    def read(self, topic):
        """The messages of a topic, in the order of its partitions."""
        done = subprocess.run([BIN / "er_kafka", "read", self.brokers, topic], timeout=2 * LIMIT,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    def close(self):
        self.process.stdin.close()
        self.process.wait(LIMIT)
        self.process.stdout.close()


@pytest.fixture
def mock():
    one = Mock()
    one("topic", "t", 2)
    yield one
    one.close()


def to(mock, topic="t", options=None, **more):
    return {"type": "kafka", "brokers": mock.brokers, "topic": topic,
            "retry": {"initial": "10ms", "max": "80ms"}, "options": {**QUICK, **(options or {})},
            **more}


def values(messages):
    records = [json.loads(message["value"]) for message in messages]
    for record in records:
        RECORD.validate(record)
    return records


def assert_all(fake, messages):
    """Each version once, and each event's versions in their order."""
    found = [key(record) for record in values(messages)]
    assert sorted(found) == sorted(fake.versions())
    for uid in {uid for uid, _ in found}:
        assert ([version for u, version in found if u == uid]
                == [version for u, version in fake.versions() if u == uid])


# ---- payloads ----

def explain(*arguments, text=None):
    done = subprocess.run([BIN / "eventrouter", "explain", "--payload", *map(str, arguments)],
                          input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_golden_payloads():
    assert explain("-c", GOLDEN / "payloads.yaml", GOLDEN / "records.ndjson") == (
        GOLDEN / "payloads.txt").read_text()


def shown(text):
    """What explain shows of one message."""
    topic, message_key, stamp = (re.search(f"^      {name}: (.*)$", text, re.MULTILINE).group(1)
                                 for name in ("topic", "key", "timestamp"))
    return {"topic": topic, "key": message_key, "time": int(stamp.split(" ")[0]),
            "headers": [list(pair) for pair in re.findall(r"^      header ([^:]+): (.*)$", text,
                                                          re.MULTILINE)],
            "value": re.search(r"^      (\{.*\})$", text, re.MULTILINE).group(1)}


@pytest.mark.parametrize("form", ["record", "cloudevents", "cloudevents-binary"])
def test_payload_is_what_is_sent(fake, router, mock, form):
    fake.script('put web-1.a1 object=web-1 namespace=shop "message=a \\"b\\" é"\n'
                "modify web-1.a1 namespace=shop count=2")
    r = router(sinks={"k": to(mock, "{cluster}.{kind}", format=form, key="namespace")})
    r.wait_metric(lambda n: n == 1, "sink_delivered_total", sink="k")
    message = mock.read("test.event")[0]
    value = json.loads(message["value"])
    text = explain("-c", r.directory / "config.yaml", text=json.dumps(value.get("data", value)))
    del message["partition"], message["offset"]
    assert message == shown(text)
    assert message["key"] == "shop"
    record = value.get("data", value)
    assert message["time"] == datetime.datetime.fromisoformat(record["time"]).timestamp() * 1000


def test_messages(fake, router, mock):
    r = router(sinks={"k": to(mock)})
    fake.script("wait watches open >= 1\nburst 300 steps 2")
    r.wait_metric(lambda n: n == 900, "sink_delivered_total", sink="k")
    messages = mock.read("t")
    assert_all(fake, messages)
    for message, record in zip(messages, values(messages)):
        assert dict(message["headers"]) == {
            "id": record["id"], "kind": "event", "cluster": "test", "schema": "eventrouter.io/v1",
            "content-type": "application/json"}
        assert message["key"] == record["object"]["uid"]


# ---- faults ----

def test_outage(fake, router, mock):
    r = router(sinks={"k": to(mock)})
    fake.script("wait watches open >= 1\nburst 100")
    r.wait_metric(lambda n: n == 100, "sink_delivered_total", sink="k")
    mock("down", 1)
    fake.script("burst 100 prefix during")
    r.wait_metric(lambda n: n == 1, "sink_state", sink="k", state="unavailable")
    mock("up", 1)
    r.wait_metric(lambda n: n == 200, "sink_delivered_total", sink="k")
    r.wait_metric(lambda n: n == 1, "sink_state", sink="k", state="ok")
    assert_all(fake, mock.read("t"))


def test_one_topic_is_refused(fake, router, mock):
    """Its records wait, in order, and those of other topics do not."""
    mock("topic", "test.default", 2)
    mock("topic", "test.shop", 2)
    mock("topic-error", "test.shop", UNKNOWN_TOPIC_OR_PART)
    r = router(sinks={"k": to(mock, "{cluster}.{namespace}", options={
        "topic.metadata.propagation.max.ms": "100"})})
    fake.script("wait watches open >= 1\nput s namespace=shop\nburst 20\nmodify s namespace=shop count=2\n"
                "modify s namespace=shop count=3")
    line = r.wait_log("the sink refuses a target, its records are set aside and tried slowly")
    assert line["target"] == "test.shop"
    assert line["error"].startswith("topic test.shop: ")
    r.wait_metric(lambda n: n == 20, "sink_delivered_total", sink="k")
    r.wait_metric(lambda n: n == 3, "sink_set_aside_records", sink="k")
    assert r.metric("sink_state", sink="k", state="denied") == 1
    mock("topic-error", "test.shop", 0)
    r.wait_metric(lambda n: n == 23, "sink_delivered_total", sink="k")
    r.wait_metric(lambda n: n == 1, "sink_state", sink="k", state="ok")
    assert not r.logged("the sink denies us, records are kept and tried slowly")
    assert r.stop() == 0
    assert_all(fake, mock.read("test.shop") + mock.read("test.default"))
    assert r.sink_ledger("k")["delivered"] == 23


def test_a_compacted_topic_among_others(fake, router, mock):
    """It refuses what has no key as if each record were bad: none is rejected for it."""
    mock("topic", "test.default", 1)
    mock("topic", "test.shop", 1)
    r = router(sinks={"k": to(mock, "{cluster}.{namespace}", key="none")})
    fake.script("wait watches open >= 1\nburst 5")
    r.wait_metric(lambda n: n == 5, "sink_delivered_total", sink="k")
    mock("errors", PRODUCE, INVALID_RECORD)
    fake.script("put s namespace=shop")
    line = r.wait_log("the sink refuses a target, its records are set aside and tried slowly")
    assert line["target"] == "test.shop" and "a compacted topic takes no records without a key" in line["error"]
    r.wait_metric(lambda n: n == 6, "sink_delivered_total", sink="k")
    assert r.stop() == 0
    assert r.sink_ledger("k")["rejected"] == 0


def test_fatal_error(fake, router, mock):
    r = router(sinks={"k": to(mock)})
    fake.script("wait watches open >= 1\nburst 100")
    r.wait_metric(lambda n: n == 100, "sink_delivered_total", sink="k")
    mock("errors", PRODUCE, OUT_OF_ORDER_SEQUENCE_NUMBER)
    fake.script("burst 100 prefix more steps 3")
    r.wait_metric(lambda n: n == 500, "sink_delivered_total", sink="k")
    assert r.metric("sink_kafka_producers_replaced_total", sink="k", reason="fatal") == 1
    assert_all(fake, mock.read("t"))


def test_refused_request(fake, router, mock):
    """A request that is too large is halved, and so on; none of its records was."""
    r = router(sinks={"k": to(mock, options={"linger.ms": "50"})})
    fake.script("wait watches open >= 1\nburst 1")
    r.wait_metric(lambda n: n == 1, "sink_delivered_total", sink="k")
    mock("errors", PRODUCE, MSG_SIZE_TOO_LARGE, 2)
    fake.script("burst 100 prefix more")
    r.wait_metric(lambda n: n == 101, "sink_delivered_total", sink="k")
    assert r.metric("sink_rejected_total", sink="k") == 0
    assert r.metric("sink_retries_total", sink="k") >= 1
    found = [key(record) for record in values(mock.read("t"))]
    assert sorted(found) == sorted(fake.versions())


def test_refused_times(fake, router, mock):
    """Records that are too old for a topic get the time of sending there, and are not lost."""
    mock("errors", PRODUCE, INVALID_TIMESTAMP, 2)
    begin = time.time() * 1000
    r = router(sinks={"k": to(mock)})
    fake.script("wait watches open >= 1\nburst 100")
    r.wait_metric(lambda n: n == 100, "sink_delivered_total", sink="k")
    line = r.wait_log("the topic does not take the records' times; that of sending stands in for ten "
                      "minutes", sink="k")
    assert line["topic"] == "t" and "message.timestamp.before.max.ms" in line["advice"]
    messages = mock.read("t")
    assert_all(fake, messages)
    assert all(begin - 1000 < message["time"] < time.time() * 1000 + 1000 for message in messages)
    assert {record["time"] for record in values(messages)} == {"2026-01-02T03:04:05Z"}


def test_denied(fake, router, mock):
    mock("errors", PRODUCE, TOPIC_AUTHORIZATION_FAILED)
    r = router(sinks={"k": to(mock)})
    fake.script("wait watches open >= 1\nburst 50")
    line = r.wait_log("the sink denies us, records are kept and tried slowly")
    assert "WRITE" in line["error"]
    r.wait_metric(lambda n: n == 50, "sink_delivered_total", sink="k")
    assert_all(fake, mock.read("t"))


def test_dead_cluster_may_drop(fake, router, mock):
    """Not even what librdkafka holds outlives retry.maxAge."""
    mock("down", 1)
    r = router(sinks={"k": to(mock, queue={"overflow": "drop_oldest"},
                              retry={"initial": "10ms", "max": "80ms", "maxAge": "1s"})})
    fake.script("burst 20")
    r.wait_metric(lambda n: n == 20, "sink_dropped_total", sink="k", reason="expired")


def test_stop_while_dead(fake, router, mock):
    r = router(sinks={"k": to(mock)}, shutdown={"grace": "200ms"})
    fake.script("burst 50")
    r.wait_metric(lambda n: n == 50, "sink_delivered_total", sink="k")
    mock("down", 1)
    fake.script("burst 50 prefix late")
    r.wait_metric(lambda n: n == 100, "sink_enqueued_total", sink="k")
    r.wait_metric(lambda n: n == 1, "sink_state", sink="k", state="unavailable")
    start = time.monotonic()
    assert r.stop() == 0
    assert time.monotonic() - start < 5
    sink = r.sink_ledger("k")
    assert (sink["delivered"], sink["queued"] + sink["inFlight"]) == (50, 50)


def test_statistics(fake, router, mock):
    r = router(sinks={"k": to(mock, options={"statistics.interval.ms": "50"})})
    fake.script("burst 50")
    r.wait_metric(lambda n: n == 50, "sink_delivered_total", sink="k")
    r.wait_metric(lambda n: n >= 1, "sink_kafka_requests_total", sink="k")
    r.wait_metric(lambda n: n > 1000, "sink_kafka_sent_bytes_total", sink="k")
    r.wait_metric(lambda n: n == 1, "sink_kafka_brokers_up", sink="k")
    assert r.metric("sink_kafka_brokers", sink="k") == 1
    assert 0 < r.metric("sink_kafka_broker_rtt_seconds", sink="k") < LIMIT
    r.wait_metric(lambda n: n == 0, "sink_kafka_queue_messages", sink="k")


def test_no_secret_is_logged(fake, router, mock, tmp_path):
    (tmp_path / "password").write_text("hunter2-file")
    r = router(env={"KEY_PASSWORD": "hunter2-env"}, shutdown={"grace": "100ms"}, sinks={"k": to(
        mock, securityProtocol="sasl_plaintext",
        sasl={"mechanism": "PLAIN", "username": "u", "password": {"file": str(tmp_path / "password")}},
        options={"debug": "all", "ssl.key.password": {"env": "KEY_PASSWORD"}})})
    fake.script("burst 1")
    r.wait_metric(lambda n: n == 1, "sink_in_flight_records", sink="k")
    r.wait_log("librdkafka", facility="CONNECT")
    r.wait_log("librdkafka", facility="SASL")
    assert r.stop() == 0
    assert "hunter2" not in json.dumps(r.lines)


# ---- OAUTHBEARER ----

def answer(connection, request, body):
    connection.sendall(struct.pack(">i", 4 + len(body)) + request[4:8] + body)


def login(server):
    """Plays a broker as far as the login; what the client sends as its first SASL message."""
    connection, _ = server.accept()
    with connection, connection.makefile("rb") as file:
        while True:
            request = file.read(struct.unpack(">i", file.read(4))[0])
            key_, version = struct.unpack(">hh", request[:4])
            if key_ == 36:  # SaslAuthenticate
                return request
            if key_ == 17:  # SaslHandshake
                answer(connection, request, struct.pack(">hih", 0, 1, 11) + b"OAUTHBEARER")
            else:  # ApiVersions: of all only version 0
                error, keys = (35, [(18, 0, 0)]) if version else (0, [(18, 0, 0), (17, 0, 1), (36, 0, 0),
                                                                      (3, 0, 1), (0, 0, 3), (22, 0, 1)])
                answer(connection, request, struct.pack(">hi", error, len(keys)) + b"".join(
                    struct.pack(">hhh", *one) for one in keys))


class Token(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = b'{"access_token": "a-jwt", "token_type": "Bearer", "expires_in": 300}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


def test_extensions_go_with_the_token(fake, router):
    endpoint = http.server.HTTPServer(("127.0.0.1", 0), Token)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)
        fake.script("put one")
        router(env={"SECRET": "s", "POOL": "pool-x"}, shutdown={"grace": "100ms"}, sinks={"k": {
            "type": "kafka", "brokers": f"127.0.0.1:{server.getsockname()[1]}", "topic": "t",
            "securityProtocol": "sasl_plaintext", "sasl": {
                "mechanism": "OAUTHBEARER",
                "oauth2": {"tokenUrl": f"http://127.0.0.1:{endpoint.server_address[1]}/",
                           "clientId": "router", "clientSecret": {"env": "SECRET"}},
                "extensions": {"logicalCluster": "lkc-1", "identityPoolId": {"env": "POOL"}}}}})
        parts = login(server).split(b"\x01")
    endpoint.shutdown()
    endpoint.server_close()
    assert parts[0].endswith(b"n,,") and parts[-2:] == [b"", b""]
    assert sorted(parts[1:-2]) == [b"auth=Bearer a-jwt", b"identityPoolId=pool-x", b"logicalCluster=lkc-1"]


# ---- check ----

def check(tmp_path, *sinks, arguments=(), **options):
    text = json.dumps({"sinks": {f"k{i}": {"type": "kafka", "brokers": "b1", "topic": "t", **sink}
                                 for i, sink in enumerate(sinks)}})
    (tmp_path / "x.yaml").write_text(text)
    return subprocess.run([BIN / "eventrouter", "check", "-c", "x.yaml", *arguments], cwd=tmp_path,
                          capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("option,value,said", [
    ("linger.ms", "soon", "Invalid value"), ("message.max.bytes", "10", "outside allowed range"),
    ("dr_msg_cb", "x", "must be set through dedicated"), ("compression.level", "99", "range")])
def test_librdkafka_says_what_is_wrong(tmp_path, option, value, said):
    done = check(tmp_path, {"options": {option: value}})
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert f"error: sinks.k0: options.{option}: " in first and said in first


def test_a_refused_value_from_outside(tmp_path):
    """It may be a secret, and is not repeated."""
    (tmp_path / "value").write_text("hunter2", "utf-8")
    done = check(tmp_path, {"options": {"linger.ms": {"file": str(tmp_path / "value")}}})
    assert "warning: sinks.k0: options.linger.ms: librdkafka refuses the value\n" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("brokers,said", [
    ("kafka://b:9092", "leave the scheme out"), ("b:9092 ", "without blanks"), ("b:9092,", "as a list"),
    ("::1", "in brackets"), ("::1:9092", "in brackets"), ("b:9092:9093", "in brackets"),
    ("[::1:9092", "such as"), ("[b]:9092", "such as"), ("[]:9092", "such as"), ("[::1]x", "such as"),
    ("b;c", "such as"), ("bü:9092", "such as"), (":9092", "such as"), ("b:0", "up to 65535"),
    ("b:", "up to 65535"), ("[::1]:99999", "up to 65535")])
def test_no_broker(tmp_path, brokers, said):
    done = check(tmp_path, {"brokers": [brokers]})
    assert done.returncode == 2
    first = done.stderr.splitlines()[0]
    assert " error: sinks.k0.brokers[0]: is no host:port" in first and said in first


def test_brokers(tmp_path):
    for brokers in ("b", "b-1.x_y:1", "127.0.0.1:65535", "[::1]", "[::1]:9092", "[fe80::1%eth0]:9092"):
        assert check(tmp_path, {"brokers": [brokers]}).returncode == 0, brokers


@pytest.mark.parametrize("option,value", [
    ("batch.size", "1MiB"), ("linger.ms", "5s"), ("queue.buffering.max.kbytes", "10_000"),
    ("message.max.bytes", "5000 bytes"), ("socket.timeout.ms", "1000.5x")])
def test_no_unit_in_options(tmp_path, option, value):
    done = check(tmp_path, {"options": {option: value}})
    assert done.returncode == 2
    assert f"error: sinks.k0: options.{option} is a number without a unit" in done.stderr.splitlines()[0]


def test_options_that_are_right(tmp_path):
    done = check(tmp_path, {"options": {"linger.ms": 5.5, "batch.size": " 65536", "client.id": "5ms",
                                        "message.max.bytes": "0x10000", "socket.keepalive.enable": True,
                                        "debug": "msg"}})
    assert done.returncode == 0, done.stderr


def test_paths_are_no_secrets(tmp_path):
    done = check(tmp_path, {"options": {"ssl.keystore.location": "/etc/router.p12",
                                        "ssl.keystore.password": {"env": "PATH"},
                                        "sasl.kerberos.keytab": "/etc/router.keytab"}}, arguments=["--strict"])
    assert (done.returncode, done.stderr) == (0, "x.yaml: ok\n")


def test_logins_that_cannot_be(tmp_path):
    done = check(tmp_path, {"securityProtocol": "sasl_ssl", "sasl": {"mechanism": "GSSAPI"}},
                 {"securityProtocol": "sasl_ssl", "sasl": {"mechanism": "GSSAPI"},
                  "options": {"sasl.kerberos.keytab": "/etc/router.keytab"}},
                 {"securityProtocol": "sasl_ssl", "sasl": {
                     "mechanism": "PLAIN", "username": "u", "password": {"env": "PATH"},
                     "extensions": {"logicalCluster": "x"}}},
                 {"sasl": {"extensions": {"auth": "x", "a-b": "y"}}})
    said = [line.split(" error: ")[1] for line in done.stderr.splitlines() if " error: " in line]
    assert said == [
        "sinks.k0: sasl.mechanism: GSSAPI needs options.sasl.kerberos.keytab",
        "sinks.k2: sasl.extensions is for sasl.mechanism: OAUTHBEARER",
        *(f'sinks.k3.sasl.extensions.{name}: is no name of a SASL extension, such as logicalCluster: '
          'letters, and not "auth"' for name in ("auth", "a-b"))]


def test_a_secret_is_not_repeated(tmp_path):
    done = check(tmp_path, {"options": {"ssl.key.password": "hunter2", "ssl.engine.location": "x",
                                        "ssl.keystore.password": {"env": "SAD"}}}, env={"SAD": "hunter2"})
    assert "hunter2" not in done.stdout + done.stderr


def test_printed_configuration_loads_again(tmp_path):
    done = check(tmp_path, {"options": {"linger.ms": 7, "partitioner": "murmur2",
                                        "ssl.key.password": {"env": "SAD"}}}, arguments=["--print"])
    assert '      linger.ms: "7"\n      partitioner: murmur2\n' in done.stdout
    (tmp_path / "x.yaml").write_text(done.stdout)
    again = subprocess.run([BIN / "eventrouter", "check", "-c", "x.yaml", "--print"], cwd=tmp_path,
                           capture_output=True, text=True, check=False)
    assert again.stdout == done.stdout


def test_old_scram_is_said(tmp_path):
    old = b"2.0." in subprocess.run(["dpkg-query", "-W", "-f", "${Version}", "librdkafka1"],
                                    capture_output=True, check=False).stdout
    done = check(tmp_path, {"securityProtocol": "sasl_ssl", "sasl": {
        "mechanism": "SCRAM-SHA-512", "username": "u", "password": {"env": "PASSWORD"}}},
                 env={"PASSWORD": "p"})
    assert done.returncode == 0
    assert ("cannot log in with SCRAM to brokers of Kafka 4" in done.stderr) == old
