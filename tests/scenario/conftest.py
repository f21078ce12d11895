"""Scenarios: the built program between a scripted API server and scripted sinks on loopback.

`fake` is tests/support/er_fake, driven through its control port; `router` starts the program with a
configuration and, when the test is over, ends it and checks that its ledger balances."""
import copy
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

import jsonschema
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
from er_fake_client import ErFake, kubeconfig  # noqa: E402 (the path comes first)

BIN = pathlib.Path(os.environ.get("ER_BIN_DIR", ROOT / "build/dev/bin"))
LIMIT = 20.0  # for what should take milliseconds, on a busy machine under a sanitizer

RECORD = jsonschema.Draft202012Validator(
    json.loads((ROOT / "config/record.schema.json").read_text()))


class Fake(ErFake):
    def __init__(self, *arguments):
        super().__init__(BIN, *arguments)

    def counter(self, name):
        return self.state()[name]

    def log(self):
        """All requests to the API, in order."""
        return self.lines("/log")

    def watches(self):
        return self.lines("/watches")

    def requests(self, sink):
        """All requests that the sink received, in order."""
        return self.lines(f"/sink/{sink}")

    def versions(self):
        """(uid, version) of all written versions of Events, in order: what must arrive."""
        return [key_of_event(change["object"]) for change in self.history()
                if change["type"] != "DELETED" and change["kind"] == "Event"]

    def records(self, sink, accepted=True):
        """The records of the requests that the sink answered with 2xx, in order of arrival."""
        found = []
        for request in self.requests(sink):
            if accepted and not 200 <= request["status"] < 300:
                continue
            body = json.loads(request["body"])
            found += body if isinstance(body, list) else [body]
        for record in found:
            RECORD.validate(record)
        return found


def key_of_event(event):
    return event["metadata"]["uid"], event["metadata"]["resourceVersion"]


def key(record):
    return record["event"]["uid"], record["event"]["resourceVersion"]


def events(records):
    return [record for record in records if record["kind"] == "event"]


def keys(records):
    """(uid, version) of the event records, in order."""
    return [key(record) for record in events(records)]


def gaps(records):
    return [record["gap"] for record in records if record["kind"] == "gap"]


def notices(records):
    return [record["notice"] for record in records if record["kind"] == "notice"]


DEFAULTS = {
    "cluster": "test",
    "log": {"level": "debug", "format": "json"},
    "admin": {"listen": "127.0.0.1:0"},
    "watch": {"timeout": "2s", "idleTimeout": "2500ms", "backoff": {"initial": "20ms", "max": "200ms"}},
    "notices": {"window": "100ms"},
    "shutdown": {"grace": "3s"},
}


def merge(base, more):
    for name, value in more.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            merge(base[name], value)
        else:
            base[name] = value
    return base


class Router:
    """The program, running. Its configuration is the defaults above with what the test says; kube
    is what its kubeconfig says of "cluster" (besides the server) and "user" (instead of a token)."""

    def __init__(self, directory, server, config, token="a-token", env=None, kube=None,
                 command=None):
        self.directory, self.stopped, self.killed = directory, None, False
        self.token_file = directory / "token"
        self.token_file.write_text(token)
        kube = kube or {}
        path = directory / "kubeconfig"
        path.write_text(kubeconfig(server, kube.get("user", {"tokenFile": str(self.token_file)}),
                                   kube.get("cluster")))
        self.config = merge(copy.deepcopy(DEFAULTS), config)
        self.config.setdefault("kubernetes", {})["kubeconfig"] = str(path)
        path = directory / "config.yaml"
        path.write_text(json.dumps(self.config, indent=1))  # JSON is YAML
        self.stdout_path = directory / "stdout"
        with open(self.stdout_path, "wb") as stdout:
            self.process = subprocess.Popen([*(command or [BIN / "eventrouter"]), "run", "-c", path],
                                            stdout=stdout, stderr=subprocess.PIPE,
                                            env={**os.environ, **(env or {})})
        self.lines, self.changed = [], threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        for line in self.process.stderr:
            with self.changed:
                try:
                    self.lines.append(json.loads(line))
                except ValueError:
                    self.lines.append({"message": "not JSON", "text": line.decode(errors="replace")})
                self.changed.notify_all()

    def logged(self, message):
        with self.changed:
            return [line for line in self.lines if line["message"] == message]

    def wait_log(self, message, timeout=LIMIT, **fields):
        """The first line with that message and those fields."""
        def found():
            for line in self.lines:
                if line["message"] == message and fields.items() <= line.items():
                    return line
            return None
        with self.changed:
            assert self.changed.wait_for(found, timeout), (message, fields, self.lines)
            return found()

    def get(self, path, method="GET"):
        port = self.wait_log("admin server listening")["port"]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def metrics(self):
        """{'name{label="x"}': value}"""
        status, text = self.get("/metrics")
        assert status == 200
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1])
                for line in text.splitlines() if line and line[0] != "#"}

    def metric(self, name, **labels):
        """The sum over all series with these labels."""
        wanted = {f'{label}="{value}"' for label, value in labels.items()}
        total = 0.0
        for series, value in self.metrics().items():
            family, _, rest = series.partition("{")
            if family == f"eventrouter_{name}" and wanted <= set(re.findall(r'\w+="[^"]*"', rest)):
                total += value
        return total

    def wait_metric(self, predicate, name, timeout=LIMIT, **labels):
        end = time.monotonic() + timeout
        while not predicate(self.metric(name, **labels)):
            assert time.monotonic() < end, (name, labels, self.metrics())
            time.sleep(0.01)

    def stop(self, number=signal.SIGTERM):
        """Asks it to end and returns the exit code."""
        if self.stopped is None:
            if self.process.poll() is None:
                self.process.send_signal(number)
            self.stopped = self.process.wait(60)
            self.reader.join(LIMIT)
        return self.stopped

    def kill(self):
        """As a power failure would end it."""
        self.process.kill()
        self.stopped, self.killed = self.process.wait(60), True
        self.reader.join(LIMIT)

    def ledger(self):
        """The last line of the log, checked to balance."""
        line = self.lines[-1]
        assert line["message"] == "ledger", self.lines
        assert line["records"] == line["routed"] + line["unrouted"] + line["droppedByRoute"], line
        for sink in line["sinks"]:
            assert sink["enqueued"] == (sink["delivered"] + sink["rejected"] + sink["dropped"] +
                                        sink["queued"] + sink["inFlight"]), line
        return line

    def sink_ledger(self, name):
        return next(sink for sink in self.ledger()["sinks"] if sink["sink"] == name)


@pytest.fixture
def fake():
    started = Fake()
    yield started
    started.close()


@pytest.fixture
def router(tmp_path, fake):
    """router(sinks={...}, routes=[...], watch={...}, ...) starts the program against the fake."""
    started = []

    def start(token="a-token", server=None, env=None, kube=None, **config):
        directory = tmp_path / f"router-{len(started)}"
        directory.mkdir()
        started.append(Router(directory, server or fake.api, config, token, env,
                              kube))
        return started[-1]

    yield start
    for one in started:
        code = one.stop()
        if not one.killed:
            assert code == 0, one.lines[-20:]
            one.ledger()


@pytest.fixture
def hook(fake):
    """hook("a", ...): the configuration of a webhook sink whose peer is the fake's sink of that name."""
    def make(name, **more):
        return merge({"type": "webhook", "url": f"{fake.sinks}/{name}",
                      "retry": {"initial": "10ms", "max": "80ms"},
                      "timeout": {"connect": "1s", "request": "2s"}}, more)
    return make


@pytest.fixture
def exposition(fake, router, hook, tmp_path):
    """/metrics of a router with all that there is: every watch and its workload metrics, a state store, sinks
    of each family; after a change and a restart."""
    fake.script("put deployments/web namespace=shop\nput pods/web-1 namespace=shop")
    r = router(
        state={"path": str(tmp_path / "state")},
        watch={"deployments": {"enabled": True, "metrics": True,
                               "maxReplicas": [{"deployment": "*/*", "max": 4}]},
               "pods": {"enabled": True, "metrics": True}},
        routes=[{"sinks": ["a", "file", "out"]}],  # nobody is there who could have records of the others
        sinks={"a": hook("a"), "file": {"type": "file", "path": str(tmp_path / "records")},
               "out": {"type": "stdout"}, "kafka": {"type": "kafka", "brokers": ["127.0.0.1:9"], "topic": "t"},
               "es": {"type": "elasticsearch", "url": "http://127.0.0.1:9", "index": "i"},
               "redis": {"type": "redis", "address": "127.0.0.1:9", "stream": "s"}})
    fake.wait("watches open >= 3")
    fake.script("modify deployments/web namespace=shop spec.replicas=5\nmodify pods/web-1 namespace=shop "
                'status.containerStatuses=[{"name":"main","restartCount":1}]')
    fake.wait("sink a accepted >= 2")
    r.wait_metric(lambda n: n == 5, "workload_series")  # both have been counted
    return r.get("/metrics")[1]


def stored(directory, stream):
    """{key: value} of a stream, as bytes, read without the program from a copy."""
    with tempfile.TemporaryDirectory() as copy:
        for name in ("state.db-wal", "state.db"):  # what a checkpoint moves meanwhile is in the second
            if (pathlib.Path(directory) / name).exists():
                shutil.copy(pathlib.Path(directory) / name, copy)
        db = sqlite3.connect(f"{copy}/state.db")
        try:
            return dict(db.execute("SELECT key, value FROM entry WHERE stream=CAST(? AS BLOB)", [stream]))
        finally:
            db.close()


def point(directory, stream="events"):
    """The stored resume point of a stream; None: it has none."""
    value = stored(directory, stream).get(b"")
    return json.loads(value) if value is not None else None


def wait_point(directory, limit=LIMIT, stream="events", **fields):
    """Returns when the stored resume point has these fields."""
    end = time.monotonic() + limit
    while True:
        try:
            found = point(directory, stream) or {}
        except sqlite3.Error:
            found = {}  # not made yet, or copied in the middle of a write
        if fields.items() <= found.items():
            return found
        assert time.monotonic() < end, (fields, found)
        time.sleep(0.005)


@pytest.fixture
def keeping(router, tmp_path):
    """keeping(...): a router whose resume points are kept in one directory of the test; keeping.stop()
    ends the last one."""
    started = []

    def start(**config):
        state = {"interval": "20ms", "path": str(tmp_path / "state"), **config.pop("state", {})}
        started.append(router(state=state, **config))
        return started[-1]

    def stop():
        """Once each stream has its first resume point: a list that is cut short has none."""
        last = started[-1]
        streams = len(last.config["kubernetes"].get("namespaces", [])) or 1
        with last.changed:
            assert last.changed.wait_for(lambda: streams <= sum(
                line["message"] in ("listed", "going on from the stored resume point")
                for line in last.lines), LIMIT), last.lines
        assert last.stop() == 0

    start.stop = stop
    start.directory = tmp_path / "state"
    return start
