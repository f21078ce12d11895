"""The router as a process, and a webhook receiver for it."""
import http.client
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "support"))
from http_server import Handler, Server  # noqa: E402 (the path comes first)
from ports import free_ports  # noqa: E402, F401 (servers take it from here)

BIN_DIR = os.environ.get("ER_BIN_DIR", os.path.join(
    os.path.dirname(os.path.abspath(__file__)), "..", "..", "build", "release", "bin"))


def replace(path, text):
    """As an operator should: a new file in the old one's place."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    fresh.rename(path)


class Receiver:
    """Takes every POST, answers 200, keeps (headers, records) in order of arrival. The header ":path" is
    the request's path."""

    def __init__(self):
        self.requests, self.records, self.changed = [], [], threading.Condition()
        receiver = self

        class Post(Handler):
            def do_POST(self):
                body = json.loads(self.body())
                receiver.take({":path": self.path, **{k.lower(): v for k, v in self.headers.items()}},
                              body if isinstance(body, list) else [body])
                self.answer(200)

        self.server = Server(Post)
        self.url, self.close = f"{self.server.url}/events", self.server.close

    def take(self, headers, records):
        with self.changed:
            self.requests.append((headers, records))
            self.records += records
            self.changed.notify_all()

    def forget(self):
        with self.changed:
            self.requests, self.records = [], []

    def wait_for(self, ids, limit):
        """Returns when all of these records have come; the missing ones when time is up."""
        missing, looked = set(ids), 0
        end = time.monotonic() + limit
        with self.changed:
            while True:
                missing.difference_update(r["id"] for r in self.records[looked:])
                looked = len(self.records)
                left = end - time.monotonic()
                if not missing or left <= 0:
                    return missing
                self.changed.wait(left)

    def wait_until(self, wanted, limit=30):
        """Returns when wanted(all records) holds."""
        with self.changed:
            assert self.changed.wait_for(lambda: wanted(self.records), limit), self.records[-5:]


class Router:
    """eventrouter run -c FILE. stdout: a file that gets its standard output."""

    def __init__(self, folder, config, stdout=os.devnull):
        self.config = os.path.join(str(folder), "eventrouter.yaml")
        self.stderr = os.path.join(str(folder), "eventrouter.log")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config)
        with open(self.stderr, "wb") as log, open(stdout, "wb") as out:
            self.process = subprocess.Popen([os.path.join(BIN_DIR, "eventrouter"), "run", "-c",
                                             self.config], stdout=out, stderr=log,
                                            stdin=subprocess.DEVNULL)

    def log(self):
        """The log lines so far, parsed."""
        with open(self.stderr, encoding="utf-8") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]

    def admin_port(self):
        return next((line["port"] for line in self.log()
                     if line["message"] == "admin server listening"), None)

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port(), timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def metric(self, name, **labels):
        """The sum of the series of that name with these labels."""
        wanted = {f'{key}="{value}"' for key, value in labels.items()}
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics")[1].splitlines()
                   if line.startswith(f"eventrouter_{name}{{")
                   and wanted <= set(re.findall(r'\w+="[^"]*"', line)))

    def wait_ready(self, limit=30):
        end = time.monotonic() + limit
        while True:
            if self.admin_port() and self.get("/readyz")[0] == 200:
                return
            assert self.process.poll() is None, f"the router ended: {self.tail()}"
            assert time.monotonic() < end, f"the router is not ready: {self.tail()}"
            time.sleep(0.02)

    def tail(self):
        with open(self.stderr, encoding="utf-8") as file:
            return "".join(file.readlines()[-20:])

    def stop(self, limit=30):
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(limit)

    def ledger(self):
        """The last log line, which must be the ledger and balance."""
        last = self.log()[-1]
        assert last["message"] == "ledger", last
        assert last["records"] == last["routed"] + last["unrouted"] + last["droppedByRoute"], last
        for sink in last["sinks"]:
            assert sink["enqueued"] == sum(sink[key] for key in (
                "delivered", "rejected", "dropped", "queued", "inFlight")), sink
        return last

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
