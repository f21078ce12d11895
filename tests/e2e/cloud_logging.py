"""real/google/server.py: parses what comes by the protobuf messages of PyPI google-cloud-logging, and
refuses what the service would."""
import http.client
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import time
import urllib.parse

REAL = pathlib.Path(__file__).resolve().parent / "real/google"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
HOME = CACHE / "eventrouter-e2e/google"
PYTHON = HOME / "bin/python"
LIMIT = 30
WRITE = "/v2/entries:write"


def why_not():
    """None when there is a Python with the packages of requirements.txt; else the reason."""
    wanted = (REAL / "requirements.txt").read_text()
    stamp = HOME / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    shutil.rmtree(HOME, ignore_errors=True)
    for command in ([sys.executable, "-m", "venv", HOME],
                    [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                     "-r", REAL / "requirements.txt"]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return f"no Python environment for Google's packages: {error}"
        if done.returncode:
            return ("Google's Python packages cannot be had: " +
                    (done.stderr or done.stdout).strip()[-300:])
    stamp.write_text(wanted)
    return None


class Google:
    """server.py, and what it has been sent."""

    def __init__(self, folder, *tls):
        self.folder, self.context = folder, None
        self.process = subprocess.Popen([PYTHON, REAL / "server.py", folder, *tls],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.url = json.loads(self.process.stdout.readline())["url"]
        self.host = urllib.parse.urlsplit(self.url).netloc
        self.key = folder / "service-account.json"
        if tls:
            self.context = ssl.create_default_context(cafile=tls[0])

    def ask(self, method, path, body=None, headers=None):
        kind = http.client.HTTPSConnection if self.context else http.client.HTTPConnection
        more = {"context": self.context} if self.context else {}
        connection = kind(self.host, timeout=LIMIT, **more)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def control(self, **wanted):
        assert self.ask("POST", "/_control", json.dumps(wanted).encode())[0] == 200

    def state(self):
        return json.loads(self.ask("GET", "/_control")[1])

    def wait(self, number):
        """The entries, once there are so many different ones."""
        end = time.monotonic() + LIMIT
        while True:
            found = self.state()["entries"]
            if len({entry["insertId"] for entry in found}) >= number:
                return found
            assert time.monotonic() < end, (number, len(found))
            time.sleep(0.05)

    def statuses(self, path=WRITE):
        return [status for _, asked, status in self.state()["requests"] if asked == path]

    def close(self):
        self.process.stdin.close()
        self.process.wait(LIMIT)
