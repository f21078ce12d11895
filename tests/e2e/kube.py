"""A control plane, a client for it, and the test's own watch of its Events."""
import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
import time
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
CONTROLPLANE = os.path.join(HERE, "real", "controlplane")
PORTS = 6  # what one control plane takes, in a row


def free_ports():
    """The first of PORTS free ports in a row, below the range that outgoing connections use."""
    for first in range(16440 + os.getpid() % 100 * 100, 32000, PORTS):
        held = []
        try:
            for port in range(first, first + PORTS):
                held.append(socket.socket())
                held[-1].bind(("127.0.0.1", port))
            return first
        except OSError:
            continue
        finally:
            for sock in held:
                sock.close()
    raise RuntimeError("no six free ports in a row")


class Api:
    """JSON requests to the API server; one connection a thread, opened again when it broke."""

    def __init__(self, server, ca_file, token):
        url = urllib.parse.urlsplit(server)
        self.host, self.port, self.token = url.hostname, url.port, token
        self.tls = ssl.create_default_context(cafile=ca_file)
        self.local = threading.local()

    def connect(self, timeout=30):
        return http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=timeout)

    def headers(self, content_type=None):
        head = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        return {**head, "Content-Type": content_type} if content_type else head

    def request(self, method, path, body=None, content_type="application/json"):
        """(status, parsed body); a broken connection raises OSError or HTTPException."""
        connection = getattr(self.local, "connection", None) or self.connect()
        self.local.connection = None
        data = None if body is None else json.dumps(body)
        connection.request(method, path, data, self.headers(data and content_type))
        answer = connection.getresponse()
        text = answer.read()
        if not answer.will_close:
            self.local.connection = connection
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, {"message": text.decode("utf-8", "replace")}

    def insist(self, method, path, body=None, content_type="application/json", seconds=120):
        """The same through outages: repeated until it is answered with success.

        A repeated POST may find its own work done (409), which is success."""
        end = time.monotonic() + seconds
        while True:
            try:
                status, answer = self.request(method, path, body, content_type)
                if status < 300 or (method == "POST" and status == 409):
                    return answer
                failure = f"{status} {answer.get('message')}"
                if status < 500 and status not in (403, 429):
                    raise AssertionError(f"{method} {path}: {failure}")
            except (OSError, http.client.HTTPException) as error:
                self.local.connection = None
                failure = repr(error)
            assert time.monotonic() < end, f"{method} {path}: {failure}"
            time.sleep(0.05)


class EventWatch(threading.Thread):
    """All versions of all Events from now on, through restarts of the API server.

    `listed` are the Events of the list it starts with, `frames` the watch's (type, object), in
    order. It goes on from the last version it got, so nothing is missing; were that refused, it
    says so in `failure`."""

    PATH = "/api/v1/events"

    def __init__(self, api):
        super().__init__(name="event-watch", daemon=True)
        self.api, self.stopped, self.failure = api, False, None
        answer = api.insist("GET", self.PATH)
        self.listed, self.version = answer["items"], answer["metadata"]["resourceVersion"]
        self.frames, self.changed = [], threading.Condition()
        self.newest = {item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
                       for item in self.listed}
        self.start()

    def run(self):
        while not self.stopped and not self.failure:
            try:
                self.watch_once()
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.05)  # the server is away: it is asked again

    def watch_once(self):
        connection = self.api.connect(timeout=60)
        try:
            connection.request("GET", f"{self.PATH}?watch=1&timeoutSeconds=50"
                               f"&resourceVersion={self.version}", headers=self.api.headers())
            answer = connection.getresponse()
            if answer.status != 200:
                if answer.status == 410:
                    self.failure = "410 for the test's own watch"
                time.sleep(0.05)
                return
            while not self.stopped:
                line = answer.readline()
                if not line.endswith(b"\n"):
                    return
                self.take(json.loads(line))
                if self.failure:
                    return
        finally:
            connection.close()

    def take(self, frame):
        with self.changed:
            if frame["type"] not in ("ADDED", "MODIFIED", "DELETED"):
                self.failure = f"the test's own watch got {frame}"
            else:
                meta = frame["object"]["metadata"]
                self.version = meta["resourceVersion"]
                self.newest[meta["uid"]] = meta["resourceVersion"]
                self.frames.append((frame["type"], frame["object"]))
            self.changed.notify_all()

    def wait_frame(self, wanted, limit=60):
        """Returns when a frame with an Event has come for which wanted(Event) holds."""
        with self.changed:
            assert self.changed.wait_for(
                lambda: any(wanted(event) for _, event in self.frames), limit)

    def wait_quiet(self, seconds, limit=60):
        """Returns when no frame has come for so long."""
        end = time.monotonic() + limit
        with self.changed:
            while self.changed.wait(seconds):
                assert time.monotonic() < end, "the cluster does not come to rest"

    def wait_level(self, limit=60):
        """Returns when everything that a list shows now has been seen by the watch."""
        answer = self.api.insist("GET", self.PATH)
        wanted = {i["metadata"]["uid"]: int(i["metadata"]["resourceVersion"])
                  for i in answer["items"]}

        def level():
            return self.failure or all(int(self.newest.get(uid, 0)) >= version
                                       for uid, version in wanted.items())

        with self.changed:
            assert self.changed.wait_for(level, limit), "the test's own watch lags behind"
        assert not self.failure, self.failure

    def stop(self):
        self.stopped = True


class Cluster:
    """One control plane in a directory of its own."""

    def __init__(self, folder, **settings):
        """settings: of controlplane, such as EXTRA_APISERVER_FLAGS."""
        self.folder = str(folder)
        self.env = {**os.environ, **settings, "REALK8S_PORT": str(free_ports())}

    def run(self, *command):
        done = subprocess.run([CONTROLPLANE, *command], env=self.env, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, f"controlplane {' '.join(command)}: {done.stderr}"
        return done.stdout

    def up(self):
        self.run("up", self.folder)
        self.ca_file = os.path.join(self.folder, "ca.crt")
        self.server = self.read("server")
        self.admin = Api(self.server, self.ca_file, self.read("admin.token"))

    def down(self):
        self.run("down", self.folder)

    def read(self, name):
        with open(os.path.join(self.folder, name), encoding="utf-8") as file:
            return file.read().strip()

    def restart_apiserver(self):
        """SIGKILL, start, ready."""
        self.run("restart-apiserver", self.folder)

    def save(self, name):
        """etcd's data, put aside under a name."""
        self.run("save", self.folder, name)

    def restore(self, name):
        """etcd's data as they were: the store goes back, as after a restored backup."""
        self.run("restore", self.folder, name)

    def signal(self, program, name):
        self.run("stop", self.folder, program, name)

    def kubectl(self, *arguments, stdin=""):
        return self.kubectl_said(*arguments, stdin=stdin)[0]

    def kubectl_said(self, *arguments, stdin=""):
        """(stdout, stderr), where warnings are, of a kubectl that succeeds."""
        program = os.path.join(os.path.dirname(programs()), "kubectl")
        done = subprocess.run([program, "--kubeconfig", os.path.join(self.folder, "admin.kubeconfig"),
                               *arguments], input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, arguments))}: {done.stderr}"
        return done.stdout, done.stderr

    def service_account(self, name, rules, namespace="default"):
        """A service account with a ClusterRole of these rules; the path of a kubeconfig with a
        token that the server minted for it."""
        accounts = f"/api/v1/namespaces/{namespace}/serviceaccounts"
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        self.admin.insist("POST", accounts, {"metadata": {"name": name}})
        self.admin.insist("POST", f"{rbac}/clusterroles",
                          {"metadata": {"name": name}, "rules": rules})
        self.admin.insist("POST", f"{rbac}/clusterrolebindings", {
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}]})
        answer = self.admin.insist("POST", f"{accounts}/{name}/token",
                                   {"spec": {"expirationSeconds": 3600}})
        return self.kubeconfig(name, answer["status"]["token"])

    def kubeconfig(self, name, token):
        with open(self.ca_file, "rb") as file:
            ca_data = base64.b64encode(file.read()).decode()
        path = os.path.join(self.folder, f"{name}.kubeconfig")
        with open(path, "w", encoding="utf-8") as file:
            json.dump({
                "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
                "clusters": [{"name": "e2e", "cluster": {
                    "server": self.server, "certificate-authority-data": ca_data}}],
                "users": [{"name": name, "user": {"token": token}}],
                "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": name}}],
            }, file)
        return path


def programs():
    """The path of the program that holds the control plane."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.environ.get("REALK8S_BIN") or os.path.join(cache, "eventrouter-e2e", "k8s", "bin")
    return os.path.join(folder, "realk8s")
