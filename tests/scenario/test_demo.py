"""tests/demo/demo.py, as `./dev demo` calls it, without a terminal."""
import importlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest

from conftest import BIN, LIMIT, ROOT

DEMO = [sys.executable, ROOT / "tests/demo/demo.py"]


@pytest.fixture
def environment(tmp_path):
    """A home and a temporary directory of its own."""
    names = ("KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "KUBECONFIG")
    kept = {name: value for name, value in os.environ.items() if name not in names}
    return {**kept, "ER_BIN_DIR": str(BIN), "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}


def test_incident_warnings_outage_and_ledger(environment, tmp_path):
    done = subprocess.run([*DEMO, "--speed", "10"], env=environment, capture_output=True, text=True,
                          timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line for line in done.stdout.splitlines() if re.search(r" (Normal|Warning)  ", line)]
    for reason, about in (("Failed", "pod/web-"), ("OOMKilling", "node/node-2"),
                          ("BackOff", "pod/worker-"), ("FailedScheduling", "pod/trainer-0"),
                          ("NodeNotReady", "node/node-3"), ("TaintManagerEviction", "pod/web-")):
        assert any(f" {reason} " in row and about in row for row in rows), (reason, rows)
    keys = re.findall(r'receiver: POST /warnings "([^" ]+)" ', done.stdout)
    warnings = [row for row in rows if " Warning " in row]
    assert len(set(keys)) == len(keys) == len(warnings) == 17  # each version of the story once
    assert "receiver: 503, come back later" in done.stdout
    ledger = {found[0]: [int(n) for n in found[1:]] for found in
              re.findall(r"^   (table|receiver) " + r" +(\d+)" * 6 + "$", done.stdout, re.MULTILINE)}
    assert ledger == {"table": [len(rows), len(rows), 0, 0, 0, 0], "receiver": [17, 17, 0, 0, 0, 0]}
    assert f"{len(rows)} records were made; the ledger balances." in done.stdout
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_story_fits_into_30_seconds():
    sys.path.insert(0, str(ROOT / "tests/demo"))
    try:
        story = importlib.import_module("incident")
    finally:
        sys.path.remove(str(ROOT / "tests/demo"))
    assert story.STORY[-1][0] <= story.END <= 27  # at 1.15 times the speed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_at_once(environment, number):
    with subprocess.Popen(DEMO, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True) as demo:
        for line in demo.stdout:
            if "ScalingReplicaSet" in line:
                break
        started = time.monotonic()
        demo.send_signal(number)
        rest, errors = demo.communicate(timeout=LIMIT)
        took = time.monotonic() - started
    assert (demo.returncode, errors) == (0, "")
    assert "the ledger balances" in rest
    assert took < 10  # the story is twice as long


def test_cluster_without_a_kubeconfig(environment, tmp_path):
    done = subprocess.run([*DEMO, "--cluster"], env=environment, capture_output=True, text=True,
                          timeout=30, check=False)
    assert done.returncode == 2
    assert "no KUBECONFIG, no ~/.kube/config" in done.stdout
    assert "Traceback" not in done.stderr


def test_cluster_is_named_and_only_read(environment, tmp_path, fake):
    fake.script('put web-1.18a1f0 reason=Unhealthy message="Readiness probe failed"')
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(f"""apiVersion: v1
kind: Config
clusters:
- {{name: c, cluster: {{server: "{fake.api}"}}}}
contexts:
- {{name: staging, context: {{cluster: c}}}}
""")
    with subprocess.Popen([*DEMO, "--cluster", "staging"], stdout=subprocess.PIPE, text=True,
                          env={**environment, "KUBECONFIG": str(kubeconfig)}) as demo:
        seen = []
        for line in demo.stdout:
            seen.append(line)
            if "receiver:" in line:
                break
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=LIMIT)
    assert demo.returncode == 0
    assert fake.api in seen[0] and "context staging" in seen[1]
    assert any(" Unhealthy " in line for line in seen)
    asked = {(request["method"], request["target"].split("?")[0]) for request in fake.log()}
    assert asked == {("GET", "/api/v1/events"), ("GET", "/api/v1/namespaces/kube-system")}
