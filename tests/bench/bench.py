"""Measures the built router between er_fake's API server and sinks, on one machine over 127.0.0.1.

Each figure is one line of JSON on standard output. Beside each stands what limits it from outside:
`generator` is how fast a reader that does nothing gets the same bytes from the same API server.

    bench.py [--quick] [FIGURE ...]
    bench.py --compare REV [...]     the router of this tree and of another revision in turn: ratios
"""
import argparse
import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/support"))
import redis_server  # noqa: E402 (the path comes first)
from er_fake_client import ErFake, FakeError, kubeconfig  # noqa: E402

NAMESPACES = 8
LIMIT = 120.0  # seconds for what should take one

# What makes an Event as large as a cluster's: about 1.2 kB on the wire.
MANAGED = json.dumps([{
    "manager": "kubelet", "operation": "Update", "apiVersion": "v1", "time": "2026-01-02T03:04:05Z",
    "fieldsType": "FieldsV1", "fieldsV1": {
        "f:count": {}, "f:firstTimestamp": {}, "f:involvedObject": {}, "f:lastTimestamp": {},
        "f:message": {}, "f:reason": {}, "f:reportingComponent": {}, "f:reportingInstance": {},
        "f:source": {"f:component": {}, "f:host": {}}, "f:type": {}}}], separators=(",", ":"))
FIELDS = f"metadata.managedFields={MANAGED}"
FRESH = "firstTimestamp=- lastTimestamp=- eventTime=@now"  # the record's time, in microseconds


BIN = ROOT / "build/release/bin"  # of er_fake, whatever router is measured


class Fake(ErFake):
    limit = LIMIT

    def __init__(self):
        super().__init__(BIN)

    def ages_ms(self, sink):
        return [us / 1000 for us in json.loads(self.call("GET", f"/ages/{sink}"))]


class Router:
    def __init__(self, directory, folder, fake, sinks, **more):
        (folder / "kubeconfig").write_text(kubeconfig(fake.api))
        config = {"cluster": "bench", "log": {"level": "info", "format": "json"},
                  "kubernetes": {"kubeconfig": str(folder / "kubeconfig")}, "sinks": sinks, **more}
        path = folder / "config.yaml"
        path.write_text(json.dumps(config))
        self.log = open(folder / "log", "wb")
        self.started = time.monotonic()
        self.process = subprocess.Popen([directory / "eventrouter", "run", "-c", path],
                                        stdout=subprocess.DEVNULL, stderr=self.log)
        self.pid, self.admin = self.process.pid, None

    def wait_watching(self, fake):
        while True:
            try:
                fake.wait("watches open >= 1", 1)
                break
            except FakeError:
                assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()
        time.sleep(0.3)

    def cpu_s(self):
        """User and system time of all threads, in ns steps. Threads that ended do not count; the
        router's live as long as it does."""
        total = 0
        for task in os.listdir(f"/proc/{self.pid}/task"):
            total += int(pathlib.Path(f"/proc/{self.pid}/task/{task}/schedstat").read_text().split()[0])
        return total / 1e9

    def status(self):
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return {line.split(":")[0]: line.split(":")[1].split() for line in lines}

    def mib(self, field):
        return int(self.status()[field][0]) / 1024

    def metric(self, name):
        """The sum over the series of that name."""
        if self.admin is None:
            self.admin = next(line["port"] for line in map(json.loads, open(self.log.name))
                              if line["message"] == "admin server listening")
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=LIMIT)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith(f"eventrouter_{name}{{"))

    def switches(self):
        return sum(int(v) for task in os.listdir(f"/proc/{self.pid}/task")
                   for v in [line.split()[1] for line in pathlib.Path(
                       f"/proc/{self.pid}/task/{task}/status").read_text().splitlines()
                       if "ctxt_switches" in line])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.log.close()
        lines = [json.loads(line) for line in open(self.log.name)]
        assert code == 0, lines[-5:]
        ledger = lines[-1]
        for sink in ledger["sinks"]:
            assert sink["enqueued"] == (sink["delivered"] + sink["rejected"] + sink["dropped"] +
                                        sink["queued"] + sink["inFlight"]), ledger
        return {sink["sink"]: sink for sink in ledger["sinks"]}


# ---- sinks -------------------------------------------------------------------------------------

def webhook(fake, name="hook", **more):
    return {"type": "webhook", "url": f"{fake.sinks}/{name}", **more}


def sinks_for(kind, fake, folder):
    if kind == "file":
        return {"out": {"type": "file", "path": str(folder / "records.ndjson")}}
    if kind.startswith("elasticsearch"):
        more = {"elasticsearch": {}, "elasticsearch-ecs": {"layout": "ecs"}}[kind]
        return {"out": {"type": "elasticsearch", "url": f"{fake.sinks}/hook",
                        "index": "k8s-events-{yyyy.MM.dd}", **more}}
    if kind == "cloudlogging":
        (folder / "bearer").write_text("t")
        return {"out": {"type": "cloudLogging", "url": f"{fake.sinks}/hook", "project": "p-1",
                        "location": "here", "clusterName": "c-1", "batch": {"linger": "10ms"},
                        "auth": {"bearer": {"file": str(folder / "bearer")}}}}
    records = {"webhook": 1, "webhook-500": 500}[kind]
    return {"out": webhook(fake, batch={"records": records, "bytes": "4MiB"})}


QUEUES_MIB = 8  # the default byte limit of one queue


class Arrival:
    """When the last of n records is there."""

    def __init__(self, kind, fake, folder):
        self.kind, self.fake = kind, fake
        self.path = folder / "records.ndjson"
        if kind.startswith("elasticsearch"):
            fake.script("sink hook bulk\nsink hook discard")
        elif kind != "file":
            fake.script("sink hook measure")

    def wait(self, n):
        """The time.time() of the last record."""
        if self.kind != "file":
            self.fake.wait(f"sink hook accepted >= {n}")
            return time.time()
        end, seen, count = time.monotonic() + LIMIT, 0, 0
        while count < n:
            assert time.monotonic() < end, (count, n)
            time.sleep(0.02)
            with contextlib.suppress(FileNotFoundError), open(self.path, "rb") as file:
                file.seek(seen)
                block = file.read()
                seen += len(block)
                count += block.count(b"\n")
        return os.stat(self.path).st_mtime_ns / 1e9


def burst(n, more=""):
    each = n // NAMESPACES
    return "\n".join(f"burst {each} prefix b{i} namespace ns-{i} {FIELDS} {more}"
                     for i in range(NAMESPACES))


@contextlib.contextmanager
def stage():
    with tempfile.TemporaryDirectory(prefix="er-bench-", dir=ROOT / "build") as folder:
        fake = Fake()
        try:
            yield fake, pathlib.Path(folder)
        finally:
            fake.close()


# ---- the generator's own limit -----------------------------------------------------------------

def read_watch(fake, n):
    """Opens a watch from now and returns a function that reads n frames and does nothing else."""
    url = urllib.parse.urlsplit(fake.api)
    version = fake.state()["version"]
    s = socket.create_connection((url.hostname, url.port))
    s.sendall(f"GET /api/v1/events?watch=1&resourceVersion={version} HTTP/1.1\r\nHost: x\r\n"
              f"Authorization: Bearer a-token\r\n\r\n".encode())

    def drain():
        buffer = bytearray(1 << 20)
        seen, brace = 0, False
        while seen < n:  # frames end in "}\n", chunks in "\r\n"; a read may end between the two
            got = s.recv_into(buffer)
            assert got > 0
            seen += buffer.count(b"}\n", 0, got) + (brace and buffer[0] == 10)
            brace = buffer[got - 1] == 125
        s.close()
    return drain


def generator(n):
    with stage() as (fake, _):
        drain = read_watch(fake, n)
        fake.wait("watches open >= 1")
        fake.script("api pause\n" + burst(n))
        start = time.time()
        fake.script("api resume")
        drain()
        return n / (time.time() - start)


def read_list(fake, n):
    """Items a second of a reader that takes all pages and looks for the next token only."""
    url = urllib.parse.urlsplit(fake.api)
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=LIMIT)
    start, token, items = time.time(), b"", 0
    while True:
        path = "/api/v1/events?limit=500"
        if token:
            path += "&continue=" + urllib.parse.quote(token.decode())
        connection.request("GET", path, headers={"Authorization": "Bearer a-token"})
        body = connection.getresponse().read()
        items += body.count(b'{"metadata":{"name":')
        at = body.find(b'"continue":"', 0, 500)
        if at < 0:
            break
        token = body[at + 12:body.index(b'"', at + 12)]
    connection.close()
    assert items == n, (items, n)
    return n / (time.time() - start)


# ---- figures -----------------------------------------------------------------------------------

def through(router, sinks, n, seconds, cpu, **more):
    peak = router.mib("VmHWM")
    ledger = router.stop()
    assert all(ledger[name]["delivered"] == n for name in sinks), ledger
    return {"records": n, "seconds": round(seconds, 4), "recordsPerSecond": round(n / seconds),
            "cpuSecondsPer100k": round(cpu * 1e5 / n, 3), "peakRssMiB": round(peak, 1), **more}


def live(directory, kind, n, **config):
    """n Events come into being at once, the watch already open."""
    limit = generator(n)
    with stage() as (fake, folder):
        arrival = Arrival(kind, fake, folder)
        sinks = sinks_for(kind, fake, folder)
        if "state" in config:
            config["state"]["path"] = str(folder / "state")
        router = Router(directory, folder, fake, sinks, **config)
        router.wait_watching(fake)
        idle = router.mib("VmRSS")
        fake.script("api pause\n" + burst(n))
        cpu, start = router.cpu_s(), time.time()
        fake.script("api resume")
        seconds = arrival.wait(n) - start
        return through(router, sinks, n, seconds, router.cpu_s() - cpu, generator=round(limit),
                       idleRssMiB=round(idle, 1), queuesMiB=QUEUES_MIB)


def redis_limit(server, n, entry):
    """XADDs a second of redis-benchmark, one connection, as many in a pipeline as the sink's batch has."""
    words = [word for pair in entry.items() for word in pair]
    done = subprocess.run(["redis-benchmark", "-p", str(server.port), "-n", str(n), "-c", "1", "-P", "500",
                           "--csv", "XADD", "k8s:limit", "*", *words],
                          capture_output=True, text=True, check=True)
    return float(done.stdout.split('","')[-7])  # the command, then rps and six latencies


def redis(directory, n, **more):
    """As live, into a Redis that syncs its file every second."""
    limit = generator(n)
    with stage() as (fake, folder):
        server = redis_server.Redis(folder / "redis", "appendfsync everysec")
        try:
            router = Router(directory, folder, fake, {"out": {"type": "redis", "address": server.address,
                                                              **more}})
            router.wait_watching(fake)
            fake.script("api pause\n" + burst(n))
            cpu, start = router.cpu_s(), time.time()
            fake.script("api resume")
            while server("XLEN", "k8s:events") < n:
                assert time.time() < start + LIMIT
                time.sleep(0.01)
            seconds = time.time() - start
            figures = through(router, ["out"], n, seconds, router.cpu_s() - cpu, generator=round(limit))
            entry = dict(zip(*[iter(server("XREVRANGE", "k8s:events", "+", "-", "COUNT", 1)[0][1])] * 2))
            return {**figures, "redisBenchmark": round(redis_limit(server, n, entry))}
        finally:
            server.close()


def backlog(directory, kind, n):
    """n Events were there before the start; seconds from exec."""
    with stage() as (fake, folder):
        fake.script(burst(n))
        limit = read_list(fake, n)
        arrival = Arrival(kind, fake, folder)
        sinks = sinks_for(kind, fake, folder)
        start = time.time()
        router = Router(directory, folder, fake, sinks)
        seconds = arrival.wait(n) - start
        return through(router, sinks, n, seconds, router.cpu_s(), generator=round(limit),
                       queuesMiB=QUEUES_MIB)


@contextlib.contextmanager
def mock_kafka():
    """The brokers of a cluster within er_kafka."""
    process = subprocess.Popen([BIN / "er_kafka", "mock"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield json.loads(process.stdout.readline())["brokers"]
    finally:
        process.stdin.close()
        process.wait(60)


def kafka(directory, n):
    """n Events come into being at once; until the last delivery report. `peer`: librdkafka alone,
    with messages of the same size."""
    limit = generator(n)
    with stage() as (fake, folder), mock_kafka() as brokers:
        peer = json.loads(subprocess.run(
            [BIN / "er_kafka", "flood", brokers, "alone", str(n), "800"], check=True,
            capture_output=True).stdout)["messagesPerSecond"]
        router = Router(directory, folder, fake, {"out": {
            "type": "kafka", "brokers": brokers, "topic": "records"}},
            admin={"listen": "127.0.0.1:0"})
        router.wait_watching(fake)
        idle = router.mib("VmRSS")
        fake.script("api pause\n" + burst(n))
        cpu, start = router.cpu_s(), time.time()
        fake.script("api resume")
        while router.metric("sink_delivered_total") < n:
            assert time.time() < start + LIMIT
            time.sleep(0.01)
        return through(router, ["out"], n, time.time() - start, router.cpu_s() - cpu,
                       generator=round(limit), peer=round(peer), idleRssMiB=round(idle, 1),
                       queuesMiB=QUEUES_MIB)


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def follow(path, n):
    """The age in ms of each record as it comes into the file, looked at every 0.2 ms."""
    ages, rest = [], b""
    end = time.monotonic() + LIMIT
    with open(path, "rb") as file:
        while len(ages) < n and time.monotonic() < end:
            block = file.read()
            if not block:
                time.sleep(0.0002)
                continue
            now = time.time()
            *lines, rest = (rest + block).split(b"\n")
            for line in lines:
                text = json.loads(line)["time"]
                whole, _, micros = text[:-1].partition(".")
                then = (time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z")) -
                        time.timezone + float("0." + (micros or "0")))
                ages.append((now - then) * 1000)
    return ages


def latency(directory, kind, n):
    """From the write at the API server to the arrival, at 500 Events a second."""
    with stage() as (fake, folder):
        Arrival(kind, fake, folder)
        sinks = sinks_for(kind, fake, folder)
        router = Router(directory, folder, fake, sinks)
        router.wait_watching(fake)
        cpu = router.cpu_s()
        start = time.time()
        fake.script(f"background burst {n} rate 500 {FIELDS} {FRESH}")
        if kind == "file":
            ages = follow(folder / "records.ndjson", n)
        else:
            fake.wait(f"sink hook accepted >= {n}")
            ages = fake.ages_ms("hook")
        figures = through(router, sinks, n, time.time() - start, router.cpu_s() - cpu)
        return {"p50Ms": round(quantile(ages, 0.5), 2), "p99Ms": round(quantile(ages, 0.99), 2),
                "maxMs": round(max(ages), 2), **figures}


def idle(directory, seconds):
    """Nothing happens, after 1,000 Events."""
    with stage() as (fake, folder):
        fake.script("sink hook measure\n" + burst(1000))
        router = Router(directory, folder, fake, {"out": webhook(fake)})
        fake.wait("sink hook accepted >= 1000")
        time.sleep(1)
        cpu, switches = router.cpu_s(), router.switches()
        time.sleep(seconds)
        figures = {"cpuMsPerSecond": round((router.cpu_s() - cpu) * 1000 / seconds, 3),
                   "contextSwitchesPerSecond": round((router.switches() - switches) / seconds, 1),
                   "rssMiB": round(router.mib("VmRSS"), 1),
                   "rssAnonMiB": round(router.mib("RssAnon"), 1),
                   "threads": int(router.status()["Threads"][0])}
        router.stop()
        return figures


def first_record(directory, runs):
    """From exec to the first record at the webhook."""
    times = []
    for _ in range(runs):
        with stage() as (fake, folder):
            fake.script("sink hook measure\nput first")
            start = time.time()
            router = Router(directory, folder, fake, {"out": webhook(fake)})
            fake.wait("sink hook accepted >= 1")
            times.append((time.time() - start) * 1000)
            router.stop()
    return {"medianMs": round(statistics.median(times), 1), "minMs": round(min(times), 1),
            "maxMs": round(max(times), 1), "runs": runs}


def state(directory, n, rounds=5):
    """Resume points kept in SQLite against kept nowhere, in turn."""
    runs = {"none": [], "sqlite": []}
    for _ in range(rounds):
        runs["none"].append(live(directory, "webhook-500", n))
        runs["sqlite"].append(live(directory, "webhook-500", n, state={}))
    figures = {"records": n, "rounds": rounds}
    for key in ("recordsPerSecond", "cpuSecondsPer100k"):
        none, sqlite = (statistics.median(run[key] for run in of) for of in runs.values())
        figures[f"{key}None"], figures[f"{key}Sqlite"] = none, sqlite
        figures[f"{key}Ratio"] = round(sqlite / none, 3)
    return figures


def state_size(directory, events, steps):
    """Bytes of the store after many versions."""
    n = events * (steps + 1)
    with stage() as (fake, folder):
        fake.script("sink hook measure")
        path = folder / "state"
        router = Router(directory, folder, fake, {"out": webhook(fake, batch={"records": 500})},
                        state={"path": str(path)})
        router.wait_watching(fake)
        fake.script(f"background burst {events} steps {steps}")
        fake.wait(f"sink hook accepted >= {n}")
        router.stop()
        return {"versions": n, "files": {file.name: file.stat().st_size
                                         for file in sorted(path.iterdir())}}


def pod_status(restarts):
    """A status as a kubelet writes it, in an object of about 3 kB."""
    return "status=" + json.dumps({
        "phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.1", "startTime": "2026-01-02T03:04:05Z",
        "conditions": [{"type": kind, "status": "True", "lastProbeTime": None,
                        "lastTransitionTime": "2026-01-02T03:04:05Z"}
                       for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")],
        "containerStatuses": [{"name": "main", "image": "web:1", "imageID": "sha256:" + "0" * 64,
                               "containerID": "containerd://" + "0" * 64, "ready": True,
                               "started": True, "restartCount": restarts,
                               "state": {"running": {"startedAt": "2026-01-02T03:04:05Z"}},
                               "lastState": {}}]}, separators=(",", ":"))


POD_SPEC = "spec=" + json.dumps({
    "nodeName": "node-1", "serviceAccountName": "default", "restartPolicy": "Always",
    "containers": [{"name": "main", "image": "web:1", "env": [
        {"name": f"SETTING_{i}", "value": "x" * 40} for i in range(20)]}]}, separators=(",", ":"))


def pods(directory, n, seconds, rate):
    """A watch of n pods: memory; then status updates at that rate, none of them a restart."""
    with stage() as (fake, folder):
        fake.script("sink hook measure\n" + "\n".join(
            f"put pods/p-{i} namespace=ns-{i % NAMESPACES} {POD_SPEC} metadata.managedFields={MANAGED} "
            f"{pod_status(i % 3)}" for i in range(n)))
        router = Router(directory, folder, fake, {"out": webhook(fake)},
                        state={"path": str(folder / "state")},
                        watch={"events": {"enabled": False}, "pods": {"enabled": True}})
        router.wait_watching(fake)
        time.sleep(2)
        anon, cpu, done = router.mib("RssAnon"), router.cpu_s(), 0
        start = time.monotonic()
        while done < rate * seconds:
            due = min(int((time.monotonic() - start) * rate), rate * seconds)
            if due > done:
                fake.script("\n".join(
                    f"modify pods/p-{i % n} namespace=ns-{i % n % NAMESPACES} "
                    f"status.podIP=10.1.{i % 200}.{i // 200 % 200}" for i in range(done, due)))
                done = due
            time.sleep(0.05)
        took = time.monotonic() - start
        fake.wait("watches pending == 0")
        time.sleep(0.2)
        figures = {"pods": n, "rssAnonMiB": round(anon, 1),
                   "rssAnonAfterMiB": round(router.mib("RssAnon"), 1),
                   "framesPerSecond": round(done / took),
                   "cpuSecondsPer100kFrames": round((router.cpu_s() - cpu) * 1e5 / done, 3),
                   "storeBytes": (folder / "state/state.db").stat().st_size}
        router.stop()
        return figures


def deployments(directory, n, steps):
    """n Deployments, each changed so often at once: image and replicas; change records a second."""
    with stage() as (fake, folder):
        fake.script("sink hook measure\n" + "\n".join(
            f"put deployments/d-{i} namespace=ns-{i % NAMESPACES}" for i in range(n)))
        router = Router(directory, folder, fake,
                        {"out": webhook(fake, batch={"records": 500, "bytes": "4MiB"})},
                        watch={"events": {"enabled": False}, "deployments": {"enabled": True}})
        router.wait_watching(fake)
        time.sleep(1)
        fake.script("api pause")
        for step in range(1, steps + 1):
            fake.script("\n".join(
                f"modify deployments/d-{i} namespace=ns-{i % NAMESPACES} metadata.generation={step + 1} "
                f"spec.replicas={step + 3}" for i in range(n)))
        cpu, start = router.cpu_s(), time.time()
        fake.script("api resume")
        fake.wait(f"sink hook accepted >= {n * steps}")
        seconds = time.time() - start
        figures = {"changes": n * steps, "diffsPerSecond": round(n * steps / seconds),
                   "cpuSecondsPer100k": round((router.cpu_s() - cpu) * 1e5 / (n * steps), 3),
                   "rssAnonMiB": round(router.mib("RssAnon"), 1)}
        router.stop()
        return figures


def isolation(directory, n):
    """A healthy webhook alone, and beside one that hangs (drop_oldest)."""
    def run(hung):
        with stage() as (fake, folder):
            fake.script("sink hook measure\nsink hung hang")
            sinks = {"out": webhook(fake, batch={"records": 500, "bytes": "4MiB"})}
            if hung:
                sinks["hung"] = webhook(fake, "hung", queue={"overflow": "drop_oldest"})
            router = Router(directory, folder, fake, sinks, notices={"window": "1h"},
                            shutdown={"grace": "1s"})
            router.wait_watching(fake)
            fake.script("api pause\n" + burst(n))
            start = time.time()
            fake.script("api resume")
            fake.wait(f"sink hook accepted >= {n}")
            seconds = time.time() - start
            peak = router.mib("VmHWM")
            router.stop()
            return n / seconds, peak
    alone, _ = run(False)
    beside, peak = run(True)
    return {"records": n, "aloneRecordsPerSecond": round(alone), "queuesMiB": 2 * QUEUES_MIB,
            "besideHungRecordsPerSecond": round(beside), "ratio": round(beside / alone, 3),
            "peakRssMiB": round(peak, 1)}


FIGURES = {
    **{f"live-{kind}": lambda d, q, kind=kind: live(d, kind, 20000 if q else 100000)
       for kind in ("file", "webhook-500", "webhook", "cloudlogging")},
    **{f"list-{kind}": lambda d, q, kind=kind: backlog(d, kind, 20000 if q else 100000)
       for kind in ("file", "webhook-500", "webhook")},
    **{f"latency-{kind}": lambda d, q, kind=kind: latency(d, kind, 1000 if q else 10000)
       for kind in ("file", "webhook", "webhook-500")},
    "redis": lambda d, q: redis(d, 20000 if q else 100000),
    "redis-dedupe": lambda d, q: redis(d, 20000 if q else 100000, dedupe={"ttl": "1h"}),
    **{kind: lambda d, q, kind=kind: live(d, kind, 20000 if q else 200000)
       for kind in ("elasticsearch", "elasticsearch-ecs")},
    "kafka": lambda d, q: kafka(d, 20000 if q else 100000),
    "state": lambda d, q: state(d, 20000 if q else 100000, 3 if q else 5),
    "state-size": lambda d, q: state_size(d, 1000, 9 if q else 999),
    "pods": lambda d, q: pods(d, 2000 if q else 20000, 3 if q else 10, 2000),
    "deployments": lambda d, q: deployments(d, 200 if q else 1000, 5 if q else 20),
    "isolation": lambda d, q: isolation(d, 20000 if q else 100000),
    "first-record": lambda d, q: first_record(d, 3 if q else 7),
    "idle": lambda d, q: idle(d, 3 if q else 20),
}


def build_of(revision):
    """The router of another revision, built as ours is."""
    folder = ROOT / "build/compare" / revision.replace("/", "-")
    folder.mkdir(parents=True, exist_ok=True)
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(["tar", "-x", "-C", folder], input=archive.stdout, check=True)
    for command in (["cmake", "--preset", "release"],
                    ["cmake", "--build", "--preset", "release", "--target", "eventrouter"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{revision} cannot be built:\n{done.stdout}{done.stderr}")
    return folder / "build/release/bin"


def compare(revision, names, quick, rounds):
    """In turn, so that what else the machine does meets both alike. Ratio: this tree / the other."""
    other = build_of(revision)
    for name in names:
        runs = {BIN: [], other: []}
        for _ in range(rounds):
            for directory, figures in runs.items():
                figures.append(FIGURES[name](directory, quick))
        for key in (key for key, value in runs[BIN][0].items()
                    if (isinstance(value, float) or key.endswith("PerSecond")) and
                    key not in ("generator", "seconds")):
            here, there = (statistics.median(run[key] for run in figures)
                           for figures in runs.values())
            print(json.dumps({"figure": name, "of": key, "this": here, revision: there,
                              "ratio": round(here / there, 3) if there else None}), flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__.split("\n")[0])
    parser.add_argument("--compare", metavar="REV", help="a revision to build and compare with")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each when comparing")
    parser.add_argument("--quick", action="store_true", help="fewer records, for a look")
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=" ".join(FIGURES))
    arguments = parser.parse_args()
    unknown = [name for name in arguments.figures if name not in FIGURES]
    if unknown:
        parser.error(f"there is no figure {unknown[0]}; there are {' '.join(FIGURES)}")
    names = arguments.figures or list(FIGURES)
    if arguments.compare:
        compare(arguments.compare, names, arguments.quick, arguments.rounds)
        return 0
    for name in names:
        print(json.dumps({"figure": name, **FIGURES[name](BIN, arguments.quick)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
