"""docs/gke.md: its helm and kubectl commands, word for word and in their order, from an empty cluster to records
in sinks. A block of YAML that begins with "# NAME.yaml" is that file; one in the fence `console` is not run."""
import json
import os
import re
import socket
import subprocess
import time

import pytest

import helm
import kube
import pod
from helm import ROOT

GUIDE = (ROOT / "docs/gke.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
SECRETS = {"KAFKA_PASSWORD": "k", "ELASTIC_API_KEY": "e"}  # what a reader has in the environment
NAMESPACE = "eventrouter"
LIMIT = 60


def commands(block):
    """The commands of a block, each on a line of its own unless the line ends with a backslash."""
    return re.sub(r"\\\n", " ", block).splitlines()


def is_assignment(command):
    return re.match(r"[A-Z_]+=", command) is not None


class Pod(pod.Pod):
    """With a port of its own: others may use 8080 on this machine."""

    def __init__(self, cluster, manifest, folder):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        port, = manifest["spec"]["containers"][0]["ports"]
        assert port["containerPort"] == 8080
        port["containerPort"] = self.port
        super().__init__(cluster, manifest, folder, manifest["metadata"]["uid"])

    def config_map(self, name):
        files = super().config_map(name)
        return {path: text.replace(b"listen: 0.0.0.0:8080", b"listen: 127.0.0.1:%d" % self.port)
                for path, text in files.items()}

    def sinks(self):
        return re.findall(r'^eventrouter_sink_enqueued_total{sink="(.*?)"}', self.get("/metrics")[1], re.MULTILINE)


class Reader:
    """Somebody who does what the guide says. The node is kwok's, which runs no process: what runs in the pod is
    started here, as the pod says, and `kubectl logs` shows its output."""

    def __init__(self, cluster, program, folder):
        self.cluster, self.folder = cluster, folder
        self.running, self.assignments = None, []
        (folder / "charts").symlink_to(ROOT / "charts")
        tools = folder / "tools"
        tools.mkdir()
        (tools / "helm").symlink_to(program)
        (tools / "kubectl").symlink_to(os.path.join(os.path.dirname(kube.programs()), "kubectl"))
        self.env = {**os.environ, **SECRETS, "PATH": f"{tools}:/usr/bin:/bin",
                    "KUBECONFIG": os.path.join(cluster.folder, "admin.kubeconfig"),
                    **{f"HELM_{name}_HOME": str(folder / name.lower()) for name in ("CACHE", "CONFIG", "DATA")}}

    def pods(self):
        return json.loads(self.cluster.kubectl(
            "-n", NAMESPACE, "get", "pods", "-l", "app.kubernetes.io/instance=eventrouter", "-o", "json"))["items"]

    def start(self):
        """Runs what the one pod of the release says, as it is now."""
        self.end()
        end = time.monotonic() + LIMIT
        while len(found := self.pods()) != 1 or "deletionTimestamp" in found[0]["metadata"]:
            assert time.monotonic() < end, [one["metadata"]["name"] for one in found]
            time.sleep(0.05)
        self.running = Pod(self.cluster, found[0], self.folder)
        self.running.wait_ready(LIMIT)
        self.running.assert_confined()

    def end(self):
        if self.running:
            self.running.kill()

    def logs(self):
        return open(self.running.stdout, encoding="utf-8").read() + open(self.running.stderr, encoding="utf-8").read()

    def run(self, command):
        """What the command prints. It is not run when it is `kubectl logs`."""
        if is_assignment(command):
            self.assignments.append(command)
            return ""
        if re.match(r"kubectl .*\blogs\b", command):
            return self.logs()
        script = "\n".join([*self.assignments, command])
        done = subprocess.run(["sh", "-euc", script], cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        assert "warning" not in done.stderr.lower(), (command, done.stderr)
        if " rollout status " in command:
            self.start()
        return done.stdout


@pytest.fixture
def reader(cluster, tmp_path):
    reason = pod.usable()
    if reason:
        pytest.skip(reason)
    try:
        program = helm.programs()["4"]
        files = helm.crds()
    except helm.Missing as missing:
        pytest.skip(str(missing))
    for file in files:
        cluster.kubectl("apply", "--server-side", "-f", file)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    cluster.admin.insist("POST", "/api/v1/nodes", {
        "metadata": {"name": "kwok-1", "annotations": {"kwok.x-k8s.io/node": "fake"}}})
    cluster.run("start", cluster.folder, "kwok")
    cluster.admin.insist("POST", "/api/v1/persistentvolumes", {  # what a storage class would make
        "metadata": {"name": "disk"}, "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/nowhere"}}})
    one = Reader(cluster, program, tmp_path)
    yield one
    one.end()


def records(text):
    """The records among the lines that `kubectl logs` shows."""
    return [line for line in map(json.loads, text.splitlines()) if line.get("schema") == "eventrouter.io/v1"]


def wait_records(reader, wanted):
    end = time.monotonic() + LIMIT
    while not wanted(records(reader.logs())):
        assert time.monotonic() < end, reader.logs()[-2000:]
        time.sleep(0.05)


def test_commands_of_the_guide(reader):
    sinks = []
    for kind, block in BLOCKS:
        name = re.match(r"# ([\w-]+\.yaml)\n", block)
        if kind == "yaml":
            (reader.folder / name[1]).write_text(block)
        for command in commands(block) if kind == "sh" else []:
            before = reader.running
            if " logs " in command:  # the Events of the installation itself are there
                wait_records(reader, lambda found: any(one["reason"] == "ScalingReplicaSet" for one in found))
                shown = records(reader.run(command))
                assert NAMESPACE in {one["object"].get("namespace") for one in shown}  # of Nodes, too, which have none
                continue
            reader.run(command)
            if reader.running is not before:
                sinks.append(reader.running.sinks())
    assert sinks == [["stdout"], ["logging"], ["kafka"], ["elastic"]]
    assert "eventrouter" not in reader.cluster.kubectl("get", "namespaces", "-o", "name")
