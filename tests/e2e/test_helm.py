"""The chart: what Helm 4 and Helm 3 render, and what a real API server makes of it.

tests/golden/chart/NAME.yaml is what charts/eventrouter/ci/NAME-values.yaml renders;
ER_GOLDEN_OUT=1 writes them anew."""
import json
import os
import re
import socket
import time

import pytest
import yaml

import helm
import pod
from helm import CHART, ROOT

GOLDEN = ROOT / "tests/golden/chart"
VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
NAMES = [path.name.removesuffix("-values.yaml") for path in VALUES]


@pytest.fixture(scope="session")
def helms(tmp_path_factory):
    """{"4": Helm, "3": Helm}, without a cluster."""
    try:
        return {version: helm.Helm(path, tmp_path_factory.mktemp(f"helm{version}"))
                for version, path in helm.programs().items()}
    except helm.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def helm4(helms):
    return helms["4"]


@pytest.fixture(scope="module")
def monitors(cluster):
    """The kinds and the namespaces that the chart's examples name."""
    try:
        files = helm.crds()
    except helm.Missing as missing:
        pytest.skip(str(missing))
    for name in ("shop", "pay", "007"):
        cluster.kubectl("create", "namespace", name)
    for file in [*files, helm.HERE / "real/monitors/podmonitoring.yaml"]:
        cluster.kubectl("apply", "--server-side", "-f", file)
    cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")


class Release:
    """A namespace that enforces Pod Security "restricted" and warns of it, and helm for it."""

    def __init__(self, cluster, program, namespace, folder):
        self.cluster, self.namespace = cluster, namespace
        self.helm = helm.Helm(program, folder, os.path.join(cluster.folder, "admin.kubeconfig"))
        cluster.kubectl("create", "namespace", namespace)
        cluster.kubectl("label", "namespace", namespace,
                        *(f"pod-security.kubernetes.io/{mode}=restricted" for mode in ("enforce", "warn", "audit")))

    def run(self, command, *arguments, name="demo"):
        """Without a warning."""
        out, err = self.helm.insist(command, name, *arguments, "-n", self.namespace)
        assert not err.strip(), err
        return out

    def get(self, kind, *arguments):
        return json.loads(self.cluster.kubectl("-n", self.namespace, "get", kind, *arguments, "-o", "json"))

    def config(self, name="demo-eventrouter"):
        return yaml.safe_load(self.get("configmap", name)["data"]["eventrouter.yaml"])

    def wait_pod(self, wanted=lambda pod: True, limit=30):
        """The one pod of the release, as soon as wanted(pod) holds and there is no other."""
        end = time.monotonic() + limit
        while True:
            pods = self.get("pods", "-l", "app.kubernetes.io/instance=demo")["items"]
            if len(pods) == 1 and "deletionTimestamp" not in pods[0]["metadata"] and wanted(pods[0]):
                return pods[0]
            assert time.monotonic() < end, [pod["metadata"] for pod in pods]
            time.sleep(0.05)


@pytest.fixture
def release(cluster, helm4, tmp_path, request):
    namespace = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")
    return Release(cluster, helm4.program, namespace, tmp_path)


# ---- without a cluster ----

@pytest.mark.parametrize("values", [None, *VALUES], ids=["none", *NAMES])
def test_lint(helm4, values):
    helm4.insist("lint", "--strict", CHART, *(["-f", values] if values else []))


@pytest.mark.parametrize("version", ["4", "3"])
@pytest.mark.parametrize("values", VALUES, ids=NAMES)
def test_golden(helms, version, values):
    rendered = helms[version].template("-f", values)
    golden = GOLDEN / values.name.replace("-values", "")
    if os.environ.get("ER_GOLDEN_OUT") and version == "4":
        golden.write_text(rendered)
    if version == "4":
        assert rendered == golden.read_text()
    else:  # other blank lines between the objects
        assert [*yaml.safe_load_all(rendered)] == [*yaml.safe_load_all(golden.read_text())]


# ---- with the API server ----

@pytest.mark.parametrize("values", VALUES, ids=NAMES)
def test_server_takes(release, helm4, monitors, values):
    rendered = helm4.template("-f", values, namespace=release.namespace)
    out, warnings = release.cluster.kubectl_said("apply", "--dry-run=server", "--validate=strict",
                                                 "-f", "-", stdin=rendered)
    assert not warnings
    assert len(out.splitlines()) == len([one for one in yaml.safe_load_all(rendered) if one])


def test_life(release):
    sink = "config.sinks.hook={type: webhook, url: 'http://127.0.0.1:1/'}"
    notes = release.run("install", CHART)
    assert "NO SINK" in notes and "NO PERSISTENCE" in notes
    first = release.wait_pod()
    assert release.config()["sinks"] == {"stdout": {"type": "stdout"}}
    release.run("upgrade", CHART, "--set-json", 'config.sinks={"hook": {"type": "webhook", "url": "http://127.0.0.1:1/"}}')
    second = release.wait_pod(lambda pod: pod["metadata"]["uid"] != first["metadata"]["uid"])
    assert release.config()["sinks"] == {"hook": {"type": "webhook", "url": "http://127.0.0.1:1/"}}
    release.run("rollback", "1")
    release.wait_pod(lambda pod: pod["metadata"]["uid"] != second["metadata"]["uid"])
    assert release.config()["sinks"] == {"stdout": {"type": "stdout"}}
    release.run("uninstall")


# ---- the router, as the pod says ----

@pytest.fixture
def run_pod(cluster, tmp_path):
    """run_pod(manifest) -> Pod."""
    reason = pod.usable()
    if reason:
        pytest.skip(reason)
    started = []

    def run(manifest):
        started.append(pod.Pod(cluster, manifest, tmp_path, f"pod-{len(started)}"))
        return started[-1]

    yield run
    for one in started:
        one.kill()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def values_file(tmp_path, values):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values))
    return path


def test_pod(release, run_pod, receiver, tmp_path):
    release.run("install", CHART, "-f", values_file(tmp_path, {
        "config": {"admin": {"listen": f"0.0.0.0:{free_port()}"},
                   "watch": {"deployments": {"enabled": True}, "pods": {"enabled": True}},
                   "sinks": {"hook": {"type": "webhook", "url": receiver.url}, "lines": {"type": "stdout"}}}}))
    router = run_pod(release.wait_pod())
    router.wait_ready()
    assert router.stop() == 0
    print(router.tail())
    router.ledger()
