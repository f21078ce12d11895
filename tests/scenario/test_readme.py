"""What README.md says works as it stands there."""
import http.client
import json
import os
import re
import shlex
import signal
import subprocess
import textwrap

import pytest
import yaml

from conftest import BIN, LIMIT, ROOT

TEXT = (ROOT / "README.md").read_text()
REFERENCE = (ROOT / "config/reference.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def sh_lines():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [re.sub(r"\s+#.*", "", line) for line in lines]


def commands(program):
    return [line for line in sh_lines() if line.split()[0] == program]


@pytest.fixture
def environment(tmp_path, fake):
    """PATH with the programs, and a kubeconfig of the scripted server where the README says."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "demo",
        "clusters": [{"name": "demo", "cluster": {"server": fake.api}}],
        "contexts": [{"name": "demo", "context": {"cluster": "demo"}}]}))
    kept = {name: value for name, value in os.environ.items()
            if not name.startswith("KUBERNETES_SERVICE_")}
    return {**kept, "PATH": f"{BIN}:{os.environ['PATH']}", "KUBECONFIG": str(kubeconfig)}


def test_blocks_are_what_this_test_knows():
    fences = re.findall(r"^```(.*)$", TEXT, re.MULTILINE)
    assert set(fences) == {"sh", "yaml", "console", ""} and len(blocks("yaml")) == 3
    # tests/e2e/test_helm.py runs what begins with helm
    known = [line for line in sh_lines() if line.split()[0] in ("./dev", "eventrouter", "helm")
             or line.startswith("PATH=")]
    assert known == sh_lines()


def test_first_configuration_is_the_example():
    assert blocks("yaml")[0] == (ROOT / "config/examples/first.yaml").read_text()


def test_match_loads(tmp_path, environment):
    match = "".join("    " + line + "\n" for line in blocks("yaml")[1].splitlines())
    path = tmp_path / "match.yaml"
    path.write_text(f"routes:\n  - sinks: [screen]\n{match}"
                    "  - sinks: [screen]\n    match: {kind: [gap, notice]}\nsinks:\n  screen: {type: stdout}\n")
    done = subprocess.run([BIN / "eventrouter", "check", "-c", path, "--strict"], env=environment,
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, f"{path}: ok\n")


def test_change_and_restart_are_what_stands_there(fake, router, hook):
    shown = {record["kind"]: record for record in map(json.loads, re.findall(
        r'^    (\{"schema".*?\}\}\}?)\n\n', TEXT, re.MULTILINE | re.DOTALL))}
    part, pod = shown["change"]["object"], shown["restart"]["object"]
    meta = {"name": part["name"], "namespace": "shop", "uid": part["uid"], "labels": {"team": "payments"}}

    def deployment(generation, replicas, image, manager):
        return json.dumps({"kind": "Deployment", "metadata": {
            **meta, "generation": generation, "managedFields": [{
                "manager": manager, "operation": "Update", "time": shown["change"]["time"],
                "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                    'k:{"name":"web"}': {"f:image": {}}}}}}}}]},
            "spec": {"replicas": replicas, "template": {"spec": {
                "containers": [{"name": "web", "image": image}]}}}})

    def web(count, last):
        return json.dumps({"kind": "Pod", "metadata": {
            "name": pod["name"], "namespace": "shop", "uid": pod["uid"],
            "labels": {"pod-template-hash": "6d4b75cb6d"}, "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d4b75cb6d", "uid": "rs",
                "controller": True}]},
            "spec": {"nodeName": "node-1"}, "status": {"containerStatuses": [{
                "name": "web", "image": "nginx:1.27", "restartCount": count, "lastState": last,
                "state": {"running": {}}}]}})

    fake.script(f"put {deployment(1, 3, 'nginx:1.25', 'kubectl')}\nput {web(0, {})}")
    router(cluster="prod-eu1", watch=yaml.safe_load(blocks("yaml")[2])["watch"], sinks={"a": hook("a")})
    fake.wait("watches open >= 3")
    ended = {key: shown["restart"]["restart"][key] for key in (
        "reason", "exitCode", "startedAt", "finishedAt")}
    fake.script(f"modify {deployment(2, 5, 'nginx:1.27', 'kubectl-set')}\n"
                f"modify {web(1, {'terminated': ended})}")
    fake.wait("sink a accepted >= 2")
    for record in fake.records("a"):
        del record["observedTime"], shown[record["kind"]]["observedTime"]
        assert record == shown.pop(record["kind"])
    assert not shown


@pytest.mark.parametrize("line", [line for line in commands("eventrouter") if " run " not in line])
def test_command(line, environment):
    done = subprocess.run(shlex.split(line), cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr
    assert bool(done.stdout) == ("--print" in line or "--cluster" in line or " explain " in line)


def test_explain_says_what_stands_there(environment):
    line, = (line for line in commands("eventrouter") if " explain " in line)
    done = subprocess.run(shlex.split(line), cwd=ROOT, env=environment, capture_output=True,
                          text=True, timeout=LIMIT, check=True)
    shown = re.search(rf"^{re.escape(line)}\n```\n\n((?:    .*\n|\n)*)", TEXT, re.MULTILINE)[1]
    assert re.sub(r"^    ", "", shown, flags=re.MULTILINE) == done.stdout


def port_is_taken(address, port):
    connection = http.client.HTTPConnection(address, port, timeout=1)
    try:
        connection.connect()
        return True
    except OSError:
        return False
    finally:
        connection.close()


@pytest.mark.parametrize("line", [line for line in commands("eventrouter") if " run " in line])
def test_run_prints_a_first_record_and_ends_with_the_ledger(line, environment, fake, tmp_path):
    if port_is_taken("127.0.0.1", 8080):
        pytest.skip("port 8080, which the example's metrics take, is in use")
    fake.script('put web-1.18a1f0 type=Normal reason=Scheduled message="Successfully assigned"')
    with open(tmp_path / "log", "wb") as log, \
            subprocess.Popen(shlex.split(line), cwd=ROOT, env=environment, stderr=log,
                             stdout=subprocess.PIPE, text=True) as router:
        heading, row = router.stdout.readline(), router.stdout.readline()
        router.send_signal(signal.SIGINT)
        router.communicate(timeout=60)
    assert heading.split() == ["NAMESPACE", "LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]
    assert row.split()[0] == "default" and " Scheduled " in row
    assert router.returncode == 0
    last = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert last["message"] == "ledger"


@pytest.mark.parametrize("line", commands("./dev"))
def test_dev_knows(line):
    """Not run: ./dev test would run this test."""
    words = shlex.split(line)
    usage = subprocess.run(["./dev", "help"], cwd=ROOT, capture_output=True, text=True,
                           timeout=LIMIT, check=True).stdout
    assert re.search(rf"^  {words[1]} ", usage, re.MULTILINE), usage
    if words[1] == "build" and len(words) > 2:
        presets = json.loads((ROOT / "CMakePresets.json").read_text())["configurePresets"]
        assert words[2] in {preset["name"] for preset in presets}


@pytest.mark.parametrize("line, code", [
    *((f"{command} {flag}", 0) for command in (
        "demo", "build", "test", "e2e", "bench", "fuzz", "soak", "coverage", "image", "lint") for flag in ("--help", "-h")),
    ("image all", 2), ("demo fast", 2), ("e2e nothing", 2), ("build dev release", 2), ("nothing", 2)])
def test_dev_does_nothing(line, code):
    """Help is given, and an argument that it does not know refused, before anything is done."""
    done = subprocess.run(["./dev", *line.split()], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT,
                          check=False)
    assert done.returncode == code
    if code == 0:
        assert done.stdout.startswith("usage: ./dev COMMAND\n") and done.stderr == ""
    else:
        assert done.stdout == "" and done.stderr.startswith("dev: ")


def test_links_exist():
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT)
    assert links
    for link in links:
        assert "://" in link or (ROOT / link).exists(), link


@pytest.mark.parametrize("key", [
    "cluster", "watch", "routes", "sinks", "kubeconfig", "context", "events.startFrom",
    "match", "drop", "final", "batch.records", "queue.overflow", "format"])
def test_keys_are_in_the_reference(key):
    assert f"| `{key}` |" in REFERENCE
    assert key.rpartition(".")[2] in TEXT


def test_match_keys_are_those_of_the_reference():
    said = re.search(r"Keys: (.*?`count`)", TEXT, re.DOTALL)[1]
    keys = set()
    for key in re.findall(r"`([^`]+)`", said):
        stem, _, group = key.partition("{")
        keys |= {stem + name for name in group.rstrip("}").split(",")} if group else {key}
    there = set(re.findall(r"\| `match\.([a-zA-Z.]+)` \| (?!map )", REFERENCE))
    assert keys == there


def test_the_sink_of_contributing_compiles(tmp_path):
    text = (ROOT / "CONTRIBUTING.md").read_text()
    [source] = re.findall(r"^   ```c\n(.*?)^   ```$", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "acme.c"
    path.write_text(textwrap.dedent(source).replace(
        '#include "sinks/registry.h"\n',
        '#include "sinks/registry.h"\nextern const er_sink_type er_acme_sink;\n'))
    done = subprocess.run(["gcc", "-std=c17", "-Wall", "-Wextra", "-Wconversion", "-Werror",
                           "-D_GNU_SOURCE", f"-I{ROOT}/core", f"-I{ROOT}", "-c", path,
                           "-o", tmp_path / "acme.o"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
