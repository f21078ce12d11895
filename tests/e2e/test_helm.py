"""The chart: what Helm 4 and Helm 3 render, and what a real API server makes of it.

tests/golden/chart/NAME.yaml is what charts/eventrouter/ci/NAME-values.yaml renders;
ER_GOLDEN_OUT=1 writes them anew."""
import base64
import concurrent.futures
import json
import os
import re
import socket
import subprocess
import time

import pytest
import yaml

import helm
import kube
import pod
import programs
from helm import CHART, ROOT

GOLDEN = ROOT / "tests/golden/chart"
VALUES = {path.name.removesuffix("-values.yaml"): [path] for path in sorted((CHART / "ci").glob("*-values.yaml"))}

# A profile, and what its user adds to it.
PROFILES = {path.stem: [CHART / f"profiles/{path.name}", path] for path in sorted((GOLDEN / "profile").glob("*.yaml"))}
VALUES.update(PROFILES)


def with_values(name):
    """The options of helm for the files of values of this name."""
    return [word for path in VALUES[name] for word in ("-f", path)]


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
            pods = self.get("pods", "-l", "app.kubernetes.io/instance=demo,app.kubernetes.io/name=eventrouter")["items"]
            if len(pods) == 1 and "deletionTimestamp" not in pods[0]["metadata"] and wanted(pods[0]):
                return pods[0]
            assert time.monotonic() < end, [pod["metadata"] for pod in pods]
            time.sleep(0.05)


@pytest.fixture
def release(cluster, helm4, tmp_path, request):
    namespace = re.sub("[^a-z0-9]+", "-", request.node.name.removeprefix("test_")).strip("-")
    return Release(cluster, helm4.program, namespace, tmp_path)


def values_file(tmp_path, values):
    path = tmp_path / "values.json"
    path.write_text(json.dumps(values, ensure_ascii=False), "utf-8")
    return path


# ---- without a cluster ----

@pytest.mark.parametrize("version", ["4", "3"])
@pytest.mark.parametrize("name", VALUES)
def test_lint(helms, version, name):
    helms[version].insist("lint", "--strict", CHART, *with_values(name))


def test_package(helm4, tmp_path):
    """The package has all that the folder has."""
    helm4.insist("package", CHART, "-d", tmp_path)
    package, = tmp_path.glob("eventrouter-*.tgz")
    values = CHART / "ci/all-values.yaml"
    rendered, _ = helm4.insist("template", "demo", package, "-n", "monitoring", "-f", values)
    assert rendered == (GOLDEN / "all.yaml").read_text()


@pytest.mark.parametrize("version", ["4", "3"])
@pytest.mark.parametrize("name", VALUES)
def test_golden(helms, version, name):
    rendered = helms[version].template(*with_values(name))
    golden = GOLDEN / f"{name}.yaml"
    if os.environ.get("ER_GOLDEN_OUT") and version == "4":
        golden.write_text(rendered)
    if version == "4":
        assert rendered == golden.read_text()
    else:  # other blank lines between the objects
        assert [*yaml.safe_load_all(rendered)] == [*yaml.safe_load_all(golden.read_text())]


def test_profiles_name_what_is_missing(helm4):
    for name, key in (("siem", "/config/sinks/kafka': missing property 'brokers'"),
                      ("audit", "/config/sinks/elasticsearch': missing property 'url'")):
        code, _, said = helm4.run("template", "demo", CHART, "-f", PROFILES[name][0])
        assert code == 1 and key in said


def notes(one, tmp_path, values):
    """What Helm says at the end of an installation with these values."""
    out, _ = one.insist("install", "demo", CHART, "-n", "monitoring", "--dry-run=client", "-f", values_file(tmp_path, values))
    return out.partition("\nNOTES:\n")[2]


HOOK = {"type": "webhook", "url": "https://hook.example.com/"}


@pytest.mark.parametrize("values, said", [
    ({}, "NO REGISTRY: the image is eventrouter:0.1.0,"),
    ({"image": {"registry": "registry.example.com"}}, None),
    ({"global": {"imageRegistry": "registry.example.com"}}, None),
])
def test_notes_on_the_image(helm4, tmp_path, values, said):
    found = notes(helm4, tmp_path, values)
    assert (said or "") in found and ("NO REGISTRY" in found) == bool(said)


@pytest.mark.parametrize("memory, sizes, said", [
    ("128Mi", ["8MiB"] * 13, None), ("128Mi", [None] * 14, "112 MiB"), ("128Mi", ["64MiB", "48MiB"], "112 MiB"),
    ("1Gi", ["1000MiB"], None), ("1G", ["1000MiB"], "1000 MiB"), ("0.5Gi", ["489MiB"], "489 MiB"), (33554432, ["8MiB"], None),
    ("32M", [8388608], "8 MiB"), ("1Gi", ["1GiB"], "1024 MiB"),
])
def test_notes_on_memory(helm4, tmp_path, memory, sizes, said):
    """The queues and 24 MiB must fit into the limit."""
    sinks = {f"s{i}": {"type": "stdout", **({"queue": {"bytes": size}} if size else {})} for i, size in enumerate(sizes)}
    found = notes(helm4, tmp_path, {"config": {"sinks": sinks}, "resources": {"limits": {"memory": memory}}})
    assert ("TOO LITTLE MEMORY" in found) == bool(said) and (not said or f"may take {said} " in found)


def test_notes_on_the_cluster(helm4, tmp_path):
    found = notes(helm4, tmp_path, {})
    assert "(rbac.clusterId, which is off), else a checksum" in found
    found = notes(helm4, tmp_path, {"rbac": {"clusterId": True}})
    assert "(rbac.clusterId), else a checksum" in found
    assert "NO CLUSTER NAME" not in notes(helm4, tmp_path, {"config": {"cluster": "a"}})


RULES = [{"ports": [{"port": 443}]}]


@pytest.mark.parametrize("egress, sinks, said", [
    ({}, {"a": HOOK, "out": {"type": "stdout"}}, {"NO WAY OUT: networkPolicy.egress.rules is empty, so nothing will be delivered to a."}),
    ({"rules": RULES}, {"a": HOOK}, set()),
    ({}, {"out": {"type": "stdout"}}, set()),
    ({"rules": RULES}, {"gcl": {"type": "cloudLogging"}}, {"NO TOKENS: the network policy keeps gcl from the metadata server,"}),
    ({"rules": RULES, "gkeMetadata": True}, {"gcl": {"type": "cloudLogging"}}, set()),
])
def test_egress(helm4, tmp_path, egress, sinks, said):
    """It works alone, and Helm says whom it keeps from delivering."""
    values = {"config": {"sinks": sinks}, "networkPolicy": {"egress": {"enabled": True, **egress}}}
    policy = helm4.objects("-f", values_file(tmp_path, values))["NetworkPolicy", "demo-eventrouter"]["spec"]
    assert policy["policyTypes"] == ["Egress"] and "ingress" not in policy
    assert policy["egress"][-1:] == RULES or "rules" not in egress
    found = notes(helm4, tmp_path, values)
    assert all(line in found for line in said)
    assert len(re.findall("^NO (?:WAY OUT|TOKENS):", found, re.MULTILINE)) == len(said)


TEXTS = ["re:^a\tb \"q\" \\d+ \u00e9 \U0001F600 {{ no }}$", "1.2", "true", "null", "~", "2001-01-01", "!x", "*y",
         "&z", "- a", "0x1F", "1e3", "12_3", "y", "no", ".5", " lead", "trail ", "many\nlines\n", "# no: yes",
         " ".join(30 * ["fold"])]


@pytest.mark.parametrize("version", ["4", "3"])
def test_texts_and_numbers_stay(helms, version, tmp_path):
    """What the program reads is what the user wrote, whatever YAML was made of it on the way."""
    config = {"cluster": "0640", "routes": [
        {"name": "odd", "match": {"message": TEXTS, "count": 2147483647}, "sinks": ["a"]}],
        "sinks": {"a": {"type": "file", "path": "/var/lib/eventrouter/a", "mode": "0600",
                        "queue": {"records": 10000000, "bytes": 1048576}}}}
    objects = helms[version].objects("-f", values_file(tmp_path, {"config": config}))
    path = tmp_path / "eventrouter.yaml"
    path.write_text(objects["ConfigMap", "demo-eventrouter"]["data"]["eventrouter.yaml"])
    done = subprocess.run([os.path.join(programs.BIN_DIR, "eventrouter"), "check", "-c", path, "--print"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)
    assert read["cluster"] == "0640" and read["routes"][0]["match"] == config["routes"][0]["match"]
    sink = read["sinks"]["a"]
    assert (sink["mode"], sink["queue"]["records"], sink["queue"]["bytes"]) == ("0600", 10000000, "1MiB")


@pytest.mark.parametrize("version", ["4", "3"])
def test_wrong_values(helms, version):
    """Each is refused, and the message names the key."""
    taken = []
    for path in sorted((GOLDEN / "wrong").glob("*.yaml")):
        text = path.read_text("utf-8")
        key = re.match(r"# KEY: (.*)\n", text).group(1)
        says = re.search(r"^# SAYS: (.*)$", text, re.MULTILINE)
        code, _, said = helms[version].run("template", "demo", CHART, "-f", path)
        said = re.sub(r"/([^/' :]+)", r".\1", said)  # Helm 4 has /config/sinks where Helm 3 has config.sinks
        parent, _, last = key.rpartition(".")
        line = next((line for line in said.splitlines() if key in line or
                     (re.search(rf"(^|[^\w]){re.escape(parent)}[': ]", line) and re.search(rf"\b{re.escape(last)}\b", line))
                     or (not parent and last in line)), None)
        if code == 0 or line is None or says and says[1] not in said:
            taken.append((path.name, said))
    assert taken == []


def paths_of(values, path=()):
    """The path of each value of values.yaml; those of groups, too."""
    for key, value in values.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from paths_of(value, (*path, key))


EVERYTHING = {**{key: {"enabled": True} for key in ("dashboard", "prometheusRule", "podMonitor", "podDisruptionBudget")},
              "networkPolicy": {"enabled": True, "egress": {"enabled": True}}}
OPEN = ("resources", "podSecurityContext", "securityContext", "dashboard")  # maps that are not empty by default


DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))


@pytest.mark.parametrize("path", paths_of(DEFAULTS), ids=".".join)
def test_null(helm4, tmp_path, path):
    """What a key with nothing behind it means: nothing where its default is empty, else an error that names the key.
    Maps with a default (resources, security contexts) may be taken away, whole or in part."""
    values, default = json.loads(json.dumps(EVERYTHING)), DEFAULTS
    group = values
    for key in path[:-1]:
        group, default = group.setdefault(key, {}), default[key]
    group[path[-1]], default = None, default[path[-1]]
    code, rendered, said = helm4.run("template", "demo", CHART, "-n", "monitoring", "-f", values_file(tmp_path, values))
    if code == 0 and (path[0] in OPEN or path[0].endswith("Probe")):
        assert "%!" not in rendered and [*yaml.safe_load_all(rendered)]
    elif code == 0:
        group[path[-1]] = default
        assert not default and rendered == helm4.template("-f", values_file(tmp_path, values))
    else:
        assert f"at '{''.join('/' + key for key in path[:-1])}': missing property '{path[-1]}'" in said


@pytest.mark.parametrize("version", ["4", "3"])
def test_as_a_dependency(helms, version, tmp_path):
    """Under an alias, with values of its own and shared ones, and by a condition."""
    (tmp_path / "Chart.yaml").write_text(f"""
        {{apiVersion: v2, name: umbrella, version: 1.0.0, dependencies: [
            {{name: eventrouter, alias: router, version: 0.1.0, repository: "file://{CHART}", condition: router.enabled}},
            {{name: eventrouter, alias: audit, version: 0.1.0, repository: "file://{CHART}"}}]}}""")
    (tmp_path / "values.yaml").write_text("""
        global: {imageRegistry: registry.example.com, storageClass: fast, imagePullSecrets: [{name: pull}]}
        router: {enabled: true, config: {cluster: a}}
        audit: {config: {cluster: b}, persistence: {enabled: true}}""")
    helms[version].insist("dependency", "update", tmp_path)
    for more, names in (((), ["audit", "router"]), (("--set", "router.enabled=false"), ["audit"])):
        rendered, _ = helms[version].insist("template", "demo", tmp_path, *more)
        pods = {one["metadata"]["name"]: one["spec"]["template"] for one in yaml.safe_load_all(rendered)
                if one and one["kind"] in ("Deployment", "StatefulSet")}
        assert sorted(pods) == [f"demo-{name}" for name in names]
        assert len({json.dumps(one["metadata"]["labels"]) for one in pods.values()}) == len(names)
        for one in pods.values():
            assert one["spec"]["containers"][0]["image"] == "registry.example.com/eventrouter:0.1.0"
            assert one["spec"]["imagePullSecrets"] == [{"name": "pull"}]


@pytest.mark.parametrize("options", [
    ("--set", "resources.limits.cpu=0.5"),
    ("--set-json", 'resources={"limits":{"cpu":0.5}}'),
    ("--set", "config.sinks.k.type=kafka,config.sinks.k.topic=a,config.sinks.k.brokers={a:1,b:2}"),
    ("--set-string", "image.tag=1.10"),
    ("--set", "podAnnotations.checksum/config=mine"),
    ("--set", "prometheusRule.enabled=true,prometheusRule.alerts.EventrouterSinkSlow.for=1h30m"),
])
def test_values_on_the_command_line(helm4, options):
    (kind, _), = [key for key in helm4.objects(*options) if key[0] in ("Deployment", "StatefulSet")]
    checksum = helm4.objects(*options)[kind, "demo-eventrouter"]["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
    assert re.fullmatch("[0-9a-f]{64}", checksum)


def rules_of(roles):
    return [(one["kind"], one["metadata"].get("namespace"), one["rules"]) for one in roles
            if one and one["kind"] in ("Role", "ClusterRole")]


WATCHES = ("events", "deployments", "pods")
RBAC_CONFIGS = [{"sinks": {"out": {"type": "stdout"}}, **kubernetes,
                 "watch": {name: {"enabled": bool(number >> i & 1)} for i, name in enumerate(WATCHES)}}
                for number in range(1, 8)
                for kubernetes in ({}, {"kubernetes": {"namespaces": "shop"}},
                                   {"kubernetes": {"namespaces": ["shop", "007", "null"]}})]
RBAC_CONFIGS += [yaml.safe_load(path.read_text("utf-8")) for path in
                 sorted((ROOT / "tests/golden/rbac").glob("*.yaml"))]


def test_rights_are_those_of_check(helm4, tmp_path):
    """The chart computes what `eventrouter check --rbac` prints."""
    for config in RBAC_CONFIGS:
        objects = helm4.objects("-f", values_file(tmp_path, {"config": config}))
        path = tmp_path / "eventrouter.yaml"
        path.write_text(objects["ConfigMap", "demo-eventrouter"]["data"]["eventrouter.yaml"])
        done = subprocess.run([os.path.join(programs.BIN_DIR, "eventrouter"), "check", "-c", path, "--rbac"],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert rules_of(objects.values()) == rules_of(yaml.safe_load_all(done.stdout)) != []


# ---- with the API server ----

@pytest.mark.parametrize("name", VALUES)
def test_server_takes(release, helm4, monitors, name):
    rendered = helm4.template(*with_values(name), namespace=release.namespace)
    out, warnings = release.cluster.kubectl_said("apply", "--dry-run=server", "--validate=strict",
                                                 "-f", "-", stdin=rendered)
    assert not warnings
    assert len(out.splitlines()) == len([one for one in yaml.safe_load_all(rendered) if one])


WAIT = ("--wait", "--timeout", "60s")
KINDS = ("all,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,persistentvolumeclaims,"
         "servicemonitors,podmonitors,clusterroles,clusterrolebindings")


def left_over(release):
    """What the release has in the cluster; without what controllers make."""
    found = json.loads(release.cluster.kubectl("get", KINDS, "-A", "-o", "json",
                                               "-l", "app.kubernetes.io/instance=demo"))["items"]
    return {(one["kind"], one["metadata"]["name"]) for one in found
            if not one["metadata"].get("ownerReferences") and "deletionTimestamp" not in one["metadata"]
            and release.namespace in (one["metadata"].get("namespace"), one["metadata"]["name"].partition("-demo")[0])}


@pytest.mark.parametrize("version", ["4", "3"])
def test_life(release, helms, version, kwok, monitors, tmp_path):
    """install, upgrade, rollback, uninstall; each new configuration makes a new pod."""
    def upgraded(sinks):
        release.run("upgrade", CHART, *WAIT, "-f", values_file(tmp_path, {"config": {"sinks": sinks}}))

    release.helm.program = helms[version].program
    hook = {"hook": {"type": "webhook", "url": "http://127.0.0.1:1/"}}
    notes = release.run("install", CHART, *WAIT)
    assert "NO SINK" in notes and "NO PERSISTENCE" in notes and "NO CLUSTER NAME" in notes
    first = release.wait_pod()["metadata"]["uid"]
    assert release.config()["sinks"] == {"stdout": {"type": "stdout"}}
    installed = left_over(release)
    assert ("ClusterRole", f"{release.namespace}-demo-eventrouter") in installed
    upgraded(hook)
    second = release.wait_pod(lambda pod: pod["metadata"]["uid"] != first)["metadata"]["uid"]
    assert release.config()["sinks"] == hook
    upgraded(hook)  # nothing has changed, so the pod stays
    assert release.wait_pod()["metadata"]["uid"] == second
    release.run("rollback", "1", *WAIT)
    release.wait_pod(lambda pod: pod["metadata"]["uid"] != second)
    assert release.config()["sinks"] == {"stdout": {"type": "stdout"}}
    assert left_over(release) == installed
    release.run("uninstall", *WAIT)
    assert left_over(release) == set()


def test_all_on(release, kwok, monitors, helm4):
    """Installed where Pod Security is enforced: the pod is made, and only its volume outlives the release."""
    values = CHART / "ci/all-values.yaml"
    release.run("install", CHART, "-f", values)
    pod_found = release.wait_pod()
    assert pod_found["metadata"]["name"] == "demo-eventrouter-0"
    release.run("upgrade", CHART, "-f", values, "--set", "replicas=0")
    release.run("rollback", "1")
    release.wait_pod()
    release.run("uninstall", *WAIT)
    assert left_over(release) == {("PersistentVolumeClaim", "state-demo-eventrouter-0")}


# kwok runs no process, so that nothing can be executed beside one; the program is started here instead.
EXECUTES = """#!/bin/sh
case " $* " in
*" exec "*)
    while [ "$1" != -- ]; do shift; done
    [ "$2" = /usr/bin/eventrouter ] && shift 2 && exec {program} "$@"
    ;;
esac
exec {kubectl} "$@"
"""


def test_commands_of_the_readmes(cluster, kwok, helm4, tmp_path):
    """Word for word, in the order of the chart's README; and that of the README."""
    text = (CHART / "README.md").read_text("utf-8")
    (tmp_path / "charts").symlink_to(ROOT / "charts")
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "helm").symlink_to(helm4.program)
    kubectl = os.path.join(os.path.dirname(kube.programs()), "kubectl")
    (tools / "kubectl").write_text(EXECUTES.format(kubectl=kubectl, program=os.path.join(programs.BIN_DIR, "eventrouter")))
    (tools / "kubectl").chmod(0o755)
    assert re.findall(r"^\$ skopeo .*", text, re.MULTILINE) == re.findall(
        r"^\$ skopeo .*", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE) != []
    blocks = re.findall(r"^```(sh|yaml)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    for name, block in re.findall(r"`([a-z]+\.yaml)`[^`]*:\n\n```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(block)
    scripts = [block for kind, block in blocks if kind == "sh"]
    assert len(scripts) == 5 and scripts[0] in (ROOT / "README.md").read_text("utf-8")

    def run(script):
        return subprocess.run(["sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=False, env={
            **helm4.env, "PATH": f"{tools}:/usr/bin:/bin", "TOKEN": "t",
            "REGISTRY": "registry.example.com/tools",
            "KUBECONFIG": os.path.join(cluster.folder, "admin.kubeconfig")})

    for script in scripts:
        done = run(script)
        assert done.returncode == 0, (script, done.stderr)
        if " check -c -" in script:
            assert re.search(r"\n-: ok, \d warnings?\n", done.stderr)  # Secret and volume are the pod's
            values = (tmp_path / "values.yaml").read_text()
            (tmp_path / "values.yaml").write_text(values.replace("type: Normal", 'type: "re:("'))
            done = run(script)
            assert done.returncode == 2 and "routes[0].match.type: not a regular expression" in done.stderr
            assert "REVISION" not in done.stdout
            (tmp_path / "values.yaml").write_text(values)
    left = cluster.kubectl("-n", "eventrouter", "get", "all,pvc,configmaps,clusterroles", "-o", "name",
                           "-l", "app.kubernetes.io/instance=eventrouter").split()
    assert [name for name in left if not name.startswith("pod/")] == ["persistentvolumeclaim/state-eventrouter-0"]


def test_becoming_persistent(release):
    """The Deployment makes way for a StatefulSet, and comes back."""
    release.run("install", CHART)
    first = release.wait_pod()
    release.run("upgrade", CHART, "--set", "persistence.enabled=true")
    assert release.wait_pod(lambda pod: pod["metadata"]["uid"] != first["metadata"]["uid"]
                            )["metadata"]["name"] == "demo-eventrouter-0"
    release.run("rollback")
    release.wait_pod(lambda pod: pod["metadata"]["name"] != "demo-eventrouter-0")


# ---- the router, as the pod says ----

@pytest.fixture(scope="module")
def kwok(cluster):
    """A node, on which pods run at once."""
    cluster.admin.insist("POST", "/api/v1/nodes", {
        "metadata": {"name": "kwok-1", "labels": {"kubernetes.io/os": "linux"}, "annotations": {"kwok.x-k8s.io/node": "fake"}}})
    cluster.run("start", cluster.folder, "kwok")
    return cluster


@pytest.fixture
def run_pod(cluster, tmp_path):
    """run_pod(manifest) -> Pod; those of one test find each other's claims."""
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


def listen():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return {"listen": f"0.0.0.0:{sock.getsockname()[1]}"}


def write_event(cluster, namespace, name):
    cluster.admin.insist("POST", f"/api/v1/namespaces/{namespace}/events", {
        "metadata": {"name": name}, "type": "Warning", "reason": "Testing", "message": name,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": namespace, "name": "web"}})


def statuses(router, requests):
    """What the API server answers to the token that the pod has."""
    api = kube.Api(router.cluster.server, router.cluster.ca_file, router.token_text)
    return {(method, path): api.request(method, path, {} if method in ("POST", "PATCH") else None,
                                        "application/merge-patch+json" if method == "PATCH" else "application/json")[0]
            for method, path in requests}


def refused_requests(namespace):
    """What a router has no business with: other resources, other verbs, single objects."""
    core, apps = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}"
    return [("GET", "/api/v1/secrets"), ("GET", f"{core}/secrets"), ("GET", f"{core}/secrets/hook"),
            ("GET", f"{core}/configmaps"), ("GET", "/api/v1/configmaps"), ("GET", "/api/v1/nodes"),
            ("GET", "/api/v1/namespaces"), ("GET", "/api/v1/namespaces/kube-system"),
            ("GET", f"{core}/serviceaccounts"), ("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles"),
            ("GET", f"{core}/events/web"), ("POST", f"{core}/events"), ("PATCH", f"{core}/events/web"),
            ("DELETE", f"{core}/events/web"), ("DELETE", f"{core}/events"),
            ("GET", f"{core}/pods/web"), ("GET", f"{core}/pods/web/log"), ("POST", f"{core}/pods"),
            ("POST", f"{core}/pods/web/exec"), ("POST", f"{core}/pods/web/eviction"), ("DELETE", f"{core}/pods/web"),
            ("GET", f"{apps}/deployments/web"), ("PATCH", f"{apps}/deployments/web"),
            ("PATCH", f"{apps}/deployments/web/scale"), ("DELETE", f"{apps}/deployments/web"),
            ("GET", "/apis/apps/v1/replicasets"), ("GET", "/apis/apps/v1/statefulsets"),
            ("POST", f"{core}/serviceaccounts/default/token"), ("GET", "/metrics"), ("GET", "/logs")]


def events_since(watch):
    """The ids of the records of all Event versions that the test's own watch has seen."""
    watch.wait_level()
    events = watch.listed + [event for kind, event in watch.frames if kind != "DELETED"]
    return {f"{one['metadata']['uid']}-{one['metadata']['resourceVersion']}" for one in events}


CRASHING = {
    "apiVersion": "v1", "kind": "Pod",
    "metadata": {"name": "crasher", "labels": {"realk8s/fate": "crash"},
                 "annotations": {"realk8s/run-for": "200ms", "realk8s/reason": "OOMKilled", "realk8s/exit-code": "137"}},
    "spec": {"containers": [{"name": "main", "image": "crash:1"}]}}
WEB = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
       "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": {
           "metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "nginx:1.25"}]}}}}


def test_pod(release, kwok, run_pod, receiver, tmp_path):
    """Events, changes and restarts, with secrets as file, variable and token, and no right too many."""
    cluster = kwok
    cluster.kubectl("create", "namespace", "shop-of-pod")
    cluster.kubectl("-n", release.namespace, "create", "secret", "generic", "hook", "--from-literal=token=from-a-file",
                    "--from-literal=key=from-the-environment")
    release.run("install", CHART, *WAIT, "-f", values_file(tmp_path, {
        "config": {
            "admin": listen(), "cluster": "e2e",
            "watch": {"deployments": {"enabled": True}, "pods": {"enabled": True}},
            "sinks": {"hook": {"type": "webhook", "url": receiver.url,
                               "auth": {"bearer": {"file": "/etc/eventrouter/secrets/hook/token"}},
                               "headers": {"X-Key": {"env": "KEY"},
                                           "X-Token": {"file": "/var/run/secrets/eventrouter/tokens/pool"}}},
                      "lines": {"type": "stdout"}}},
        "secrets": {"hook": {"secretName": "hook", "keys": ["token"]}},
        "serviceAccountTokens": {"pool": {"audience": "//iam.example.com/pool"}},
        "extraEnv": [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "hook", "key": "key"}}}]}))
    router = run_pod(release.wait_pod())
    router.wait_ready()
    router.assert_confined()
    watch = kube.EventWatch(cluster.admin)
    for manifest in (WEB, CRASHING):
        cluster.kubectl("-n", "shop-of-pod", "apply", "-f", "-", stdin=json.dumps(manifest))
    cluster.kubectl("-n", "shop-of-pod", "rollout", "status", "deployment/web", "--timeout=30s")
    cluster.kubectl("-n", "shop-of-pod", "set", "image", "deployment/web", "web=nginx:1.27")
    cluster.kubectl("-n", "shop-of-pod", "rollout", "status", "deployment/web", "--timeout=30s")
    receiver.wait_until(lambda records: {("change", "ImageChanged"), ("rollout", "RolloutComplete"),
                                         ("restart", "OOMKilled")} <= {(r["kind"], r["reason"]) for r in records})
    cluster.kubectl("delete", "namespace", "shop-of-pod", "--wait=false")
    assert receiver.wait_for(events_since(watch), 30) == set()
    watch.stop()
    assert all(headers["authorization"] == "Bearer from-a-file" and headers["x-key"] == "from-the-environment"
               for headers, _ in receiver.requests)
    claims = receiver.requests[0][0]["x-token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    assert claims["aud"] == ["//iam.example.com/pool"]
    assert claims["sub"] == f"system:serviceaccount:{release.namespace}:demo-eventrouter"
    requests = refused_requests(release.namespace)
    assert statuses(router, requests) == {request: 403 for request in requests}
    allowed = [("GET", path) for path in ("/api/v1/events", "/api/v1/pods", "/apis/apps/v1/deployments")]
    assert statuses(router, allowed) == {request: 200 for request in allowed}
    assert router.stop() == 0
    assert router.ledger()["sinks"][0]["rejected"] == 0


def play_check(release, run_pod):
    """What a node does with the pod of the hook; its output."""
    path, end = f"/api/v1/namespaces/{release.namespace}/pods", time.monotonic() + 30
    while not (found := [one for one in release.get("pods", "-l", "app.kubernetes.io/name=eventrouter-check")["items"]
                         if one["status"]["phase"] == "Pending" and "deletionTimestamp" not in one["metadata"]]):
        assert time.monotonic() < end
        time.sleep(0.05)
    manifest, = found
    one = run_pod(manifest)
    code = one.process.wait(30)
    release.cluster.admin.insist("PATCH", f"{path}/{manifest['metadata']['name']}/status", {"status": {
        "phase": "Failed" if code else "Succeeded", "containerStatuses": [{
            "name": "eventrouter", "image": "a", "imageID": "", "ready": False, "restartCount": 0,
            "state": {"terminated": {"exitCode": code}}}]}}, "application/merge-patch+json")
    return open(one.stderr, encoding="utf-8").read()


@pytest.mark.parametrize("version", ["4", "3"])
def test_check_hook(release, helms, version, run_pod, tmp_path):
    """What the schema takes and the program does not, stops the upgrade; the pod that is there stays."""
    def upgraded(reason):
        route = {"name": "a", "match": {"reason": reason}, "sinks": ["out"]}
        values = values_file(tmp_path, {
            "checkHook": {"enabled": True}, "nodeSelector": {"example.com/no": "node"},
            "config": {"routes": [route], "sinks": {"out": {"type": "stdout"}}}})
        with concurrent.futures.ThreadPoolExecutor() as pool:
            upgrade = pool.submit(release.helm.run, "upgrade", "demo", CHART, "-n", release.namespace, "-f", values,
                                  "--timeout", "60s")
            said = play_check(release, run_pod)
            return *upgrade.result(60), said

    release.helm.program = helms[version].program
    release.run("install", CHART, "--set", "checkHook.enabled=true")  # nothing is there that could be kept
    first = release.wait_pod()["metadata"]["uid"]
    code, _, err, said = upgraded("re:(")
    assert code == 1 and "pre-upgrade hooks failed" in err and "demo-eventrouter-check" in err
    assert "routes[0].match.reason: not a regular expression" in said
    assert release.get("job", "demo-eventrouter-check")["status"]["failed"] == 1  # with its log
    assert release.wait_pod()["metadata"]["uid"] == first and "routes" not in release.config()
    code, _, err, _ = upgraded("Back*")
    assert code == 0, err
    release.wait_pod(lambda pod: pod["metadata"]["uid"] != first)
    assert release.config()["routes"] and not release.get("jobs")["items"]


def test_pod_namespaces(release, monitors, run_pod, receiver, tmp_path):
    """Rights in two namespaces, none in the cluster: lists of the whole cluster are refused."""
    cluster = release.cluster
    for name in ("team-a", "team-b", "team-c"):
        cluster.kubectl("create", "namespace", name)
    notes = release.run("install", CHART, "-f", values_file(tmp_path, {"config": {
        "admin": listen(), "state": {"store": "none"}, "kubernetes": {"namespaces": ["team-a", "team-b"]},
        "watch": {"deployments": {"enabled": True}, "pods": {"enabled": True}},
        "sinks": {"hook": {"type": "webhook", "url": receiver.url}}}}))
    assert not [kind for kind, _ in left_over(release) if kind.startswith("Cluster")]
    assert "namespaces team-a, team-b" in notes and "NO RESUME POINTS" in notes and "NO PERSISTENCE" not in notes
    router = run_pod(release.wait_pod())
    router.wait_ready()
    for name in ("team-c", "team-a", "team-b"):
        write_event(cluster, name, f"of-{name}")
    receiver.wait_until(lambda records: {"of-team-a", "of-team-b"} <= {r["message"] for r in records})
    assert router.stop() == 0
    assert {record["namespace"] for record in receiver.records} == {"team-a", "team-b"}
    requests = [("GET", f"{prefix}/{resource}") for name, groups in (("team-a", 200), ("team-c", 403), ("", 403))
                for prefix, resource in (
                    (f"/api/v1{'/namespaces/' * bool(name)}{name}", "events"),
                    (f"/api/v1{'/namespaces/' * bool(name)}{name}", "pods"),
                    (f"/apis/apps/v1{'/namespaces/' * bool(name)}{name}", "deployments"))]
    assert statuses(router, requests) == {request: 200 if "team-a" in request[1] else 403 for request in requests}
    requests = refused_requests("team-a")
    assert statuses(router, requests) == {request: 403 for request in requests}


def test_pod_persistence(release, run_pod, receiver, tmp_path):
    """A new pod with the old volume goes on where the old one ended."""
    cluster = release.cluster
    values = values_file(tmp_path, {
        "config": {"admin": listen(), "watch": {"events": {"fieldSelector": "reason=Testing"}},
                   "kubernetes": {"namespaces": [release.namespace]}, "state": {"path": "/var/lib/eventrouter"},
                   "sinks": {"hook": {"type": "webhook", "url": receiver.url}}},
        "persistence": {"enabled": True}})
    notes = release.run("install", CHART, "-f", values)
    assert "NO SINK" not in notes and "NO PERSISTENCE" not in notes
    manifest = release.wait_pod()
    router = run_pod(manifest)
    router.wait_ready()
    write_event(cluster, release.namespace, "first")
    receiver.wait_until(lambda records: [r["message"] for r in records] == ["first"])
    assert router.stop() == 0
    release.cluster.kubectl("-n", release.namespace, "delete", "pod", "demo-eventrouter-0")
    write_event(cluster, release.namespace, "meanwhile")
    router = run_pod(release.wait_pod(lambda pod: pod["metadata"]["uid"] != manifest["metadata"]["uid"]))
    router.wait_ready()
    write_event(cluster, release.namespace, "second")
    receiver.wait_until(lambda records: len(records) >= 3)
    assert router.stop() == 0
    assert [record["message"] for record in receiver.records] == ["first", "meanwhile", "second"]
    assert router.ledger()["sinks"][0]["delivered"] == 2
