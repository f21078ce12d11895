"""tests/support/er_fake as the API server, where no cluster is needed."""
import http.client
import json
import os
import subprocess
import urllib.parse

import programs

LIMIT = 120


class Fake:
    """See tests/support/README.md for its scripts."""

    def __init__(self):
        self.process = subprocess.Popen([os.path.join(programs.BIN_DIR, "er_fake"),
                                         "--until-stdin-closes"],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        urls = json.loads(self.process.stdout.readline())
        self.api, self.sinks = urls["api"], urls["sinks"]
        self.port = urllib.parse.urlsplit(urls["control"]).port

    def _call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LIMIT)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == 200, (path, body, text)
            return text
        finally:
            connection.close()

    def script(self, text):
        """Returns when the last line is done."""
        self._call("POST", "/script", text.encode())

    def wait(self, condition, limit=30):
        self._call("POST", "/wait", f"{condition} timeout {limit}s".encode())

    def history(self):
        """All changes there ever were: {"type", "epoch", "kind", "object"}."""
        return [json.loads(line) for line in self._call("GET", "/history").splitlines()]

    def events(self):
        """(id of its record, Event) of all versions of Events there ever were, in order."""
        for change in self.history():
            if change["type"] != "DELETED" and change["kind"] == "Event":
                meta = change["object"]["metadata"]
                yield f'{meta["uid"]}-{meta["resourceVersion"]}', change["object"]

    def ids(self):
        """The ids of the records that all Events there ever were must become, in order."""
        return [name for name, _ in self.events()]

    def kubeconfig(self, path):
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": self.api}}],
            "users": [{"name": "fake", "user": {"token": "a-token"}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}]}))

    def close(self):
        self.process.stdin.close()
        self.process.wait(LIMIT)
        self.process.stdout.close()
