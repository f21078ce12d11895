"""The kafka sink against a real Apache Kafka: nothing lost while the broker is killed, logins, denials.

er_fake plays the API server; er_kafka (librdkafka) reads back what the broker has."""
import base64
import collections
import datetime
import http.server
import json
import shutil
import signal
import threading
import time

import pytest

import kafka
from fake import Fake
from programs import replace

LIMIT = 60
OPTIONS = {"reconnect.backoff.ms": "50", "reconnect.backoff.max.ms": "500"}


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    reason = kafka.why_not(kafka.CURRENT)
    if reason:
        pytest.skip(reason)
    one = kafka.Kafka(tmp_path_factory.mktemp("kafka"))
    yield one
    one.close()


class Line:
    """er_fake -> the router -> sinks."""

    def __init__(self, start_router, folder):
        self.start_router, self.folder, self.fake, self.router = start_router, folder, Fake(), None

    def start(self, sinks, **more):
        self.router = self.start_router(self.fake.config(
            self.folder, shutdown={"grace": "20s"},
            sinks={name: {"type": "kafka", "retry": {"initial": "50ms", "max": "500ms"}, **sink}
                   for name, sink in sinks.items()}, **more))
        self.router.wait_ready()

    def metric(self, name, sink, **labels):
        return self.router.metric(name, sink=sink, **labels)

    def wait(self, name, number, sink, limit=LIMIT, **labels):
        """Returns when the metric has at least this value."""
        end = time.monotonic() + limit
        while self.metric(name, sink, **labels) < number:
            assert time.monotonic() < end, (name, sink, self.router.tail())
            time.sleep(0.02)

    def delivered(self, number, *sinks):
        for sink in sinks:
            self.wait("sink_delivered_total", number, sink)

    def denied(self, sink, word):
        """Returns when the sink is denied, and has said so with this word."""
        self.wait("sink_state", 1, sink, state="denied")
        said = [line["error"] for line in self.router.log()
                if line["message"].startswith("the sink denies us") and line["sink"] == sink]
        assert said and word in said[-1], said

    def end(self):
        assert self.router.stop(60) == 0, self.router.tail()
        return {sink["sink"]: sink for sink in self.router.ledger()["sinks"]}


@pytest.fixture
def line(broker, start_router, tmp_path):
    one = Line(start_router, tmp_path)
    yield one
    one.fake.close()


def ids(messages):
    return [dict(json.loads(message)["headers"])["id"] for message in messages]


def to(broker, topic, **more):
    return {"brokers": broker.plain, "topic": topic, "options": OPTIONS, **more}


# ---- nothing is lost ----

OBJECTS, EVENTS = 50, 2000
EPOCH = datetime.datetime.fromtimestamp(0, datetime.timezone.utc)
# A broker forgets which requests it has once their newest record is a day old.
FRESH = "firstTimestamp=- lastTimestamp=- eventTime=@now"


def writes(objects):
    """A script: so many Events about each of these objects."""
    return "\n".join(f"burst {EVENTS} prefix p{i} involvedObject.uid=object-{i} {FRESH}"
                     for i in objects)


def assert_message(message, change):
    """The message is what the version of the Event must become."""
    event, value, headers = change["object"], json.loads(message["value"]), dict(message["headers"])
    meta = event["metadata"]
    assert headers == {"id": f'{meta["uid"]}-{meta["resourceVersion"]}', "kind": "event",
                       "cluster": "e2e", "schema": "eventrouter.io/v1",
                       "content-type": "application/json"}
    assert message["key"] == event["involvedObject"]["uid"] == value["object"]["uid"]
    happened = datetime.datetime.fromisoformat(event["eventTime"])
    assert datetime.datetime.fromisoformat(value["time"]) == happened
    assert message["time"] == (happened - EPOCH) // datetime.timedelta(milliseconds=1)
    assert value["id"] == headers["id"] and value["cluster"] == "e2e"
    assert (value["event"]["uid"], value["event"]["resourceVersion"], value["event"]["name"]) == (
        meta["uid"], meta["resourceVersion"], meta["name"])
    assert (value["count"], value["reason"], value["message"]) == (
        event["count"], event["reason"], event["message"])
    assert value["object"]["name"] == event["involvedObject"]["name"]


def test_killed_broker(line, broker):
    broker.admin("topic:killed:3")
    line.start({"k": to(broker, "killed")})
    line.fake.script("wait watches open >= 1")
    line.fake.script(writes(range(15)))
    line.delivered(1000, "k")
    broker.kill()
    line.wait("sink_state", 1, "k", state="unavailable")
    line.fake.script(writes(range(15, 35)))
    broker.start()
    line.delivered(35 * EVENTS, "k")
    line.fake.script("background " + writes(range(35, OBJECTS)).replace("\n", "\nbackground "))
    line.delivered(38 * EVENTS, "k")
    broker.kill()
    broker.start()
    total = OBJECTS * EVENTS
    line.delivered(total, "k")
    uncertain = line.metric("sink_kafka_possibly_repeated_total", "k")
    sent = line.end()["k"]
    assert (sent["enqueued"], sent["delivered"], sent["rejected"]) == (total, total, 0)
    written = {}
    order = collections.defaultdict(list)
    for change in line.fake.history():
        version = f'{change["object"]["metadata"]["uid"]}-{change["object"]["metadata"]["resourceVersion"]}'
        written[version] = change
        order[change["object"]["involvedObject"]["uid"]].append(version)
    assert len(written) == total
    found, seen, repeats = collections.defaultdict(list), set(), 0
    for text in broker.read("killed"):
        message = json.loads(text)
        version = dict(message["headers"])["id"]
        assert_message(message, written[version])
        if version in seen:
            repeats += 1
        else:
            found[message["key"]].append(version)
        seen.add(version)
    assert found == order  # none is missing, and each object's are in the order they were written
    assert repeats <= uncertain


# ---- logins ----

class Tokens:
    """A token endpoint that gives unsecured JWTs, which the broker takes."""

    def __init__(self):
        tokens = self
        self.asked = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["Content-Length"]))
                tokens.asked += 1
                body = json.dumps({"access_token": tokens.make(), "token_type": "Bearer",
                                   "expires_in": 20}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @staticmethod
    def make():
        now = int(time.time())
        parts = ({"alg": "none"}, {"sub": kafka.USER, "iat": now, "exp": now + 20})
        return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")
                        for part in parts) + "."

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def tokens():
    one = Tokens()
    yield one
    one.close()


def sasl(broker, topic, mechanism, password, **more):
    return to(broker, topic, brokers=broker.sasl, securityProtocol="sasl_ssl",
              tls={"caFile": str(broker.folder / "ca.crt")},
              sasl={"mechanism": mechanism, "username": kafka.USER, "password": {"file": str(password)}},
              **more)


def test_logins(line, broker, tokens, tmp_path):
    (tmp_path / "password").write_text(kafka.PASSWORD + "\n")
    for name in ("client.crt", "client.key"):
        shutil.copy(broker.folder / name, tmp_path)
    broker.admin("topic:plain:2", "topic:oauth:2", "topic:mtls:2")
    ca = {"caFile": str(broker.folder / "ca.crt")}
    line.start({
        "plain": sasl(broker, "plain", "PLAIN", tmp_path / "password"),
        "oauth": to(broker, "oauth", brokers=broker.sasl, securityProtocol="sasl_ssl", tls=ca, sasl={
            "mechanism": "OAUTHBEARER", "oauth2": {
                "tokenUrl": tokens.url, "clientId": "router", "clientSecret": {"file": str(
                    tmp_path / "password")}}}),
        "mtls": to(broker, "mtls", brokers=broker.mtls, securityProtocol="ssl", tls={
            **ca, "certFile": str(tmp_path / "client.crt"), "keyFile": str(tmp_path / "client.key")})})
    line.fake.script("burst 500")
    line.delivered(500, "plain", "oauth", "mtls")
    # Another certificate: another producer, to which nothing is lost, and nothing sent twice.
    kafka.make_certificate(broker.folder, "next", kafka.USER, "extendedKeyUsage=clientAuth\n")
    line.fake.script("background burst 1000 prefix during rate 1000")
    for name in ("key", "crt"):  # for a moment they do not belong together
        replace(tmp_path / f"client.{name}", (broker.folder / f"next.{name}").read_text())
        time.sleep(0.2)
    line.wait("sink_kafka_producers_replaced_total", 1, "mtls", reason="tls")
    line.delivered(1500, "plain", "oauth", "mtls")
    asked = tokens.asked
    end = time.monotonic() + LIMIT  # a token that ends soon is replaced while nothing happens
    while tokens.asked == asked:
        assert time.monotonic() < end
        time.sleep(0.1)
    line.fake.script("burst 100 prefix after")
    line.delivered(1600, "plain", "oauth", "mtls")
    sent = line.end()
    for name in ("plain", "oauth", "mtls"):
        found = ids(broker.read(name))
        assert len(found) == len(set(found)) == 1600 == sent[name]["delivered"]


def test_wrong_password(line, broker, tmp_path):
    (tmp_path / "password").write_text("a-mistake")
    broker.admin("topic:password:1")
    line.start({"k": sasl(broker, "password", "PLAIN", tmp_path / "password")})
    line.fake.script("burst 300")
    line.denied("k", "Invalid username or password")
    assert line.metric("sink_delivered_total", "k") == 0
    replace(tmp_path / "password", kafka.PASSWORD)
    line.delivered(300, "k")
    line.wait("sink_state", 1, "k", state="ok")
    assert line.end()["k"]["delivered"] == 300
    found = ids(broker.read("password"))
    assert len(found) == len(set(found)) == 300
    with open(line.router.stderr, encoding="utf-8") as log:
        assert "a-mistake" not in log.read()


def test_scram(start_router, tmp_path, tmp_path_factory):
    reason = kafka.why_not(kafka.WITH_OLD_SCRAM)
    if reason:
        pytest.skip(reason)
    broker = kafka.Kafka(tmp_path_factory.mktemp("kafka-scram"), kafka.WITH_OLD_SCRAM)
    line = Line(start_router, tmp_path)
    try:
        (tmp_path / "password").write_text(kafka.PASSWORD)
        broker.admin("topic:scram256:1", "topic:scram512:1")
        line.start({"a": sasl(broker, "scram256", "SCRAM-SHA-256", tmp_path / "password"),
                    "b": sasl(broker, "scram512", "SCRAM-SHA-512", tmp_path / "password")})
        line.fake.script("burst 100")
        line.delivered(100, "a", "b")
        sent = line.end()
        assert (sent["a"]["delivered"], sent["b"]["delivered"]) == (100, 100)
        for topic in ("scram256", "scram512"):
            assert sorted(ids(broker.read(topic))) == sorted(line.fake.ids())
    finally:
        line.fake.close()
        broker.close()


# ---- what the broker refuses ----

def test_denied_topic(line, broker, tmp_path):
    (tmp_path / "password").write_text(kafka.PASSWORD)
    broker.admin("topic:forbidden:1", "deny:router:forbidden")
    line.start({"k": sasl(broker, "forbidden", "PLAIN", tmp_path / "password")})
    line.fake.script("burst 50")
    line.denied("k", "the account needs the ACLs WRITE")
    broker.admin("undeny:router:forbidden")
    line.delivered(50, "k")
    assert line.end()["k"]["delivered"] == 50
    found = ids(broker.read("forbidden"))
    assert len(found) == len(set(found)) == 50


REFUSED = "the sink refuses a target, its records are set aside and tried slowly"


def test_topics_are_refused_one_by_one(line, broker, tmp_path):
    """One topic is denied, one is missing: neither holds up the third, and both come to their records in order."""
    (tmp_path / "password").write_text(kafka.PASSWORD)
    broker.admin("topic:e2e.open:1", "topic:e2e.shut:1", "deny:router:e2e.shut")
    line.start({"k": sasl(broker, "{cluster}.{namespace}", "PLAIN", tmp_path / "password", options={
        **OPTIONS, "topic.metadata.propagation.max.ms": "1000"})})
    line.fake.script("burst 30 prefix s namespace=shut\nburst 30 prefix a namespace=absent\n"
                     "burst 500 namespace=open\nburst 30 prefix t namespace=shut")
    line.delivered(500, "k")
    line.wait("sink_set_aside_records", 90, "k")
    said = {entry["target"]: entry["error"] for entry in line.router.log() if entry["message"] == REFUSED}
    assert sorted(said) == ["e2e.absent", "e2e.shut"], said
    assert "create the topic" in said["e2e.absent"] and "the ACLs WRITE" in said["e2e.shut"], said
    broker.admin("topic:e2e.absent:1", "undeny:router:e2e.shut")
    line.delivered(590, "k")
    assert line.end()["k"]["delivered"] == 590
    for topic, number in (("open", 500), ("shut", 60), ("absent", 30)):
        found = ids(broker.read(f"e2e.{topic}"))
        assert len(found) == len(set(found)) == number
    sent = line.fake.ids()
    assert ids(broker.read("e2e.shut")) == sent[:30] + sent[-30:]


def test_missing_topic(line, broker):
    line.start({"k": to(broker, "{cluster}.later", options={
        **OPTIONS, "topic.metadata.propagation.max.ms": "1000"})})
    line.fake.script("burst 50")
    line.denied("k", "create the topic")
    broker.admin("topic:e2e.later:1")
    line.delivered(50, "k")
    assert line.end()["k"]["delivered"] == 50
    assert len(broker.read("e2e.later")) == 50


def test_too_large(line, broker):
    """The topic takes less than the others of the cluster: only what is too large is rejected."""
    broker.admin("topic:small:1:max.message.bytes=20000")
    line.start({"k": to(broker, "small", compression="none")})
    line.fake.script("burst 300\nput large.1 message=@x:30000\nburst 300 prefix more")
    line.delivered(600, "k")
    line.wait("sink_rejected_total", 1, "k", reason="too_large")
    sent = line.end()["k"]
    assert (sent["delivered"], sent["rejected"]) == (600, 1)
    found = ids(broker.read("small"))
    assert len(found) == len(set(found)) == 600
    rejected = [entry for entry in line.router.log() if entry["message"] == "record rejected"]
    assert [(entry["reason"], entry["sink"]) for entry in rejected] == [("too_large", "k")]


def test_old_records(line, broker):
    """A topic that takes no old times gets the records with the present one."""
    broker.admin("topic:strict:1:message.timestamp.before.max.ms=60000")
    line.start({"k": to(broker, "strict")})
    line.fake.script("burst 300\nburst 300 prefix fresh " + FRESH)
    line.delivered(600, "k")
    sent = line.end()["k"]
    assert (sent["delivered"], sent["rejected"]) == (600, 0)
    found = [json.loads(message) for message in broker.read("strict")]
    assert len({dict(message["headers"])["id"] for message in found}) == len(found) == 600
    assert min(message["time"] for message in found) > (time.time() - 60) * 1000
    assert len([message for message in found if '"time":"2026-01-02T03:04:05Z"' in message["value"]]) == 300


def test_a_broker_that_hangs(line, broker):
    """Its connections stay, and librdkafka says nothing; the router says that nothing is confirmed."""
    broker.admin("topic:hangs:1")
    line.start({"k": to(broker, "hangs", options={**OPTIONS, "request.timeout.ms": "1500"})})
    line.fake.script("burst 50 " + FRESH)
    line.delivered(50, "k")
    broker.process.send_signal(signal.SIGSTOP)
    line.fake.script("burst 50 prefix during " + FRESH)
    line.wait("sink_state", 1, "k", state="unavailable")
    broker.process.send_signal(signal.SIGCONT)
    [said] = [entry["error"] for entry in line.router.log()
              if entry["message"].startswith("the sink is unavailable")]
    assert said == ("no broker has confirmed a record for 1 s: look for brokers that hang, and partitions "
                    "without a leader or with fewer replicas in sync than min.insync.replicas")
    line.delivered(100, "k")
    line.wait("sink_state", 1, "k", state="ok")
    assert line.end()["k"]["delivered"] == 100
    assert set(ids(broker.read("hangs"))) == {name for name, _ in line.fake.events()}
