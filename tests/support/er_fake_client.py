"""er_fake from Python: what scenarios, end-to-end tests, the bench and the demo have in common."""
import http.client
import json
import pathlib
import subprocess
import urllib.parse

LIMIT = 240.0  # seconds for an answer of the control port: a script may play for long


class FakeError(AssertionError):
    """er_fake does not take a script, or a condition does not come true in time."""


class ErFake:
    """er_fake of that directory, running; README.md has its scripts."""

    limit = 30.0  # seconds of a wait that does not say how long

    def __init__(self, directory, *arguments):
        # A session of its own: Ctrl-C is for the program that plays with it. Both end together in any case.
        program = pathlib.Path(directory) / "er_fake"
        self.process = subprocess.Popen([program, "--until-stdin-closes", *arguments],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        urls = json.loads(self.process.stdout.readline())
        self.api, self.sinks = urls["api"], urls["sinks"]
        self.control_port = urllib.parse.urlsplit(urls["control"]).port

    def close(self):
        self.process.stdin.close()
        code = self.process.wait(LIMIT)
        self.process.stdout.close()
        assert code == 0, f"er_fake ended with {code}"

    def ask(self, method, path, body=None):
        """(status, text) of a request to the control port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.control_port, timeout=LIMIT)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def call(self, method, path, body=None):
        """The text of the answer 200."""
        status, text = self.ask(method, path, body)
        if status != 200:
            raise FakeError(f"er_fake answers {method} {path} with {status}: {text}")
        return text

    def script(self, text):
        """Runs the lines of a script; returns when the last one is done."""
        self.call("POST", "/script", text.encode())

    def wait(self, condition, limit=None):
        """`sink a records >= 10`, `watches open >= 1`, `lists >= 2`."""
        text = f"{condition} timeout {int((limit or self.limit) * 1000)}ms"
        status, body = self.ask("POST", "/wait", text.encode())
        if status != 200:
            raise FakeError(f"{condition}: {body}\n{self.state()}")

    def state(self):
        return json.loads(self.call("GET", "/state"))

    def lines(self, path):
        """The objects of an answer that has one a line."""
        return [json.loads(line) for line in self.call("GET", path).split("\n") if line]

    def history(self):
        """All changes there ever were: {"type", "epoch", "kind", "object"}."""
        return self.lines("/history")


def kubeconfig(server, user=None, cluster=None):
    """The text of a kubeconfig for that server. user: instead of a token; cluster: besides the server."""
    return json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "fake", "user": {"token": "a-token"} if user is None else user}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}]})
