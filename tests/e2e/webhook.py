"""real/webhook/receiver.js: reads and validates requests with the npm packages cloudevents and
standardwebhooks, of the versions in real/webhook."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
HOME = CACHE / "eventrouter-e2e/webhook"
NODE_WANTED = 20
LIMIT = 30


def why_not():
    """None when the packages of the lock file are there; else the reason why they cannot be had."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            return f"no {tool}: the receiver needs Node.js {NODE_WANTED} or newer, and npm"
    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout
    major = re.match(r"v(\d+)\.", version)
    if not major or int(major.group(1)) < NODE_WANTED:
        return f"Node.js {version.strip()} is too old: {NODE_WANTED} or newer is needed"
    wanted = (HERE / "real/webhook/package-lock.json").read_bytes()
    stamp = HOME / "installed-lock.json"
    if stamp.exists() and stamp.read_bytes() == wanted:
        return None
    HOME.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "real/webhook" / name, HOME)
    done = subprocess.run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=HOME,
                          capture_output=True, text=True, check=False)
    if done.returncode:
        return "the npm packages cannot be had: " + done.stderr.strip()[-300:]
    stamp.write_bytes(wanted)
    return None


class Receiver:
    """receiver.js and the lines it prints."""

    def __init__(self, key_file):
        self.process = subprocess.Popen(
            ["node", HERE / "real/webhook/receiver.js", key_file], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, env={**os.environ, "NODE_PATH": str(HOME / "node_modules")})
        self.url = f"http://127.0.0.1:{json.loads(self.process.stdout.readline())['port']}"
        self.lines, self.changed = [], threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for text in self.process.stdout:
            with self.changed:
                self.lines.append(json.loads(text))
                self.changed.notify_all()

    def of(self, sink):
        return [line for line in self.lines if line["path"].endswith("/" + sink)]

    def records(self, sink):
        return [record for line in self.of(sink) if line["status"] == 204 for record in
                line.get("records") or [event["data"] for event in line["events"]]]

    def wait_for(self, number, sinks):
        """Returns when each of the sinks has delivered so many records."""
        end = time.monotonic() + LIMIT
        with self.changed:
            while any(len(self.records(sink)) < number for sink in sinks):
                assert self.changed.wait(max(0, end - time.monotonic())), self.lines[-5:]

    def close(self):
        self.process.stdin.close()
        self.process.wait(LIMIT)
