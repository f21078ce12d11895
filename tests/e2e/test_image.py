"""The image, built by the Dockerfile as it is on a debootstrapped base, and the program inside it.

./dev image builds it (two minutes; the base is kept in build/image). The program runs as a pod would
run it: as 65532, without capabilities, the root file system read-only (image/inside)."""
import importlib.util
import json
import os
import pathlib
import re
import stat
import subprocess
import sys
import tarfile

import pytest

import programs
from fake import Fake

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
OUT = ROOT / "build/image"
SPDX_TOOLS = "spdx-tools==0.8.3"
LIMIT = 30

CONFIG = """
cluster: image
log: {{level: info, format: json}}
admin: {{listen: "127.0.0.1:0"}}
kubernetes: {{kubeconfig: /etc/eventrouter/kubeconfig}}
state: {{store: sqlite, path: /var/lib/eventrouter}}
sinks:
  hook: {{type: webhook, url: "{url}", batch: {{records: 100}}}}
"""


@pytest.fixture(scope="module")
def image():
    """(version, path of the archive, unpacked root)."""
    if os.geteuid():
        pytest.skip("./dev image needs root")
    done = subprocess.run([ROOT / "dev", "image"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    print(done.stdout)
    archive = re.search(r"build/image/eventrouter-(\S+)\.tar", done.stdout)
    return archive.group(1), ROOT / archive.group(0), OUT / "rootfs", done.stdout


def blob(archive, digest):
    with tarfile.open(archive) as tar:
        return json.load(tar.extractfile("blobs/" + digest.replace(":", "/")))


def inside(root, *words):
    return subprocess.run([ROOT / "image/inside", root, *words], capture_output=True, text=True,
                          check=False)


def test_size_is_said_and_small(image):
    _, archive, _, said = image
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
    pulled = sum(layer["size"] for layer in blob(archive, manifest)["layers"])
    assert f"{pulled / 1e6:.1f} MB compressed" in said
    assert pulled < 30e6


def test_config_of_the_image(image):
    version, archive, _, _ = image
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile("index.json"))["manifests"][0]["digest"]
    config = blob(archive, blob(archive, manifest)["config"]["digest"])["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/bin/eventrouter"]
    assert config["Cmd"] == ["run", "-c", "/etc/eventrouter/config.yaml"]
    labels = {name.removeprefix("org.opencontainers.image."): value
              for name, value in config["Labels"].items()}
    assert labels["version"] == version
    assert labels["licenses"] == "Apache-2.0"
    assert {"title", "description", "revision", "base.name"} <= labels.keys()


def test_nothing_else_is_in_it(image):
    _, _, root, _ = image
    programs_found, strange = [], []
    for path in root.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISREG(mode):
            if mode & 0o111 and ".so" not in path.name:
                programs_found.append(str(path.relative_to(root)))
            if mode & (stat.S_ISUID | stat.S_ISGID):
                strange.append(path)
        if mode & 0o002 and not stat.S_ISLNK(mode) and path != root / "tmp":
            strange.append(path)
    assert (programs_found, strange) == (["usr/bin/eventrouter"], [])
    for shell in ("sh", "bash", "dash", "busybox"):
        assert "No such file" in inside(root, shell, "-c", "true").stderr


def test_hardening_of_the_shipped_binary(image):
    _, _, root, _ = image
    sys.path.insert(0, str(ROOT / "tests/check"))
    spec = importlib.util.spec_from_file_location("build_checks", ROOT / "tests/check/build_checks.py")
    checks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checks)
    context = type("Context", (), {"release_binary": str(root / "usr/bin/eventrouter")})
    assert checks.check_hardening(str(ROOT), context) == []


def test_packages_for_scanners(image):
    """Each package has its stanza, its licence, and its place in a bill of materials that other
    people's reader finds valid."""
    version, _, root, _ = image
    stanzas = {path.name: path.read_text() for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {"libc6", "libcurl4t64", "libssl3t64", "ca-certificates"} <= stanzas.keys()
    for name, text in stanzas.items():
        assert re.search(r"^Version: \S", text, re.M), name
        assert (root / "usr/share/doc" / name / "copyright").stat().st_size > 0
    libraries = sum(1 for _ in root.rglob("*.so*"))
    assert libraries >= len(stanzas) - 1  # all but ca-certificates brought one
    folder = CACHE / "eventrouter-e2e/spdx"
    if not (folder / "bin/pyspdxtools").exists():
        for command in ([sys.executable, "-m", "venv", folder],
                        [folder / "bin/pip", "install", "-q", SPDX_TOOLS]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"{SPDX_TOOLS} cannot be had: " + (done.stderr or done.stdout)[-300:])
    sbom = OUT / f"eventrouter-{version}.spdx.json"
    done = subprocess.run([folder / "bin/pyspdxtools", "-i", sbom], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    packages = json.loads(sbom.read_text())["packages"]
    declared = {package["name"]: package["licenseDeclared"] for package in packages}
    wanted = {"zlib1g": "Zlib", "libcjson1": "Apache-2.0 AND MIT",
              "libzstd1": "(BSD-3-Clause OR GPL-2.0-only) AND MIT AND Zlib",
              "libidn2-0": "NOASSERTION",  # one of its licences has no name of SPDX
              "libc6": "NOASSERTION"}      # its copyright file is prose
    assert {name: declared[name] for name in wanted} == wanted
    listed = {package["name"]: package["versionInfo"] for package in packages}
    assert listed.pop("eventrouter") == version
    assert listed == {name: re.search(r"^Version: (\S+)", text, re.M).group(1)
                      for name, text in stanzas.items()}


class RouterInside(programs.Router):
    """The program of the image. Its configuration and state are mounted."""

    def __init__(self, root, config, state, log):
        self.stderr = str(log)
        with open(self.stderr, "wb") as stderr:
            # pylint: disable=consider-using-with
            self.process = subprocess.Popen(
                [ROOT / "image/inside", root, f"{config}=/etc/eventrouter",
                 f"{state}=/var/lib/eventrouter", "/usr/bin/eventrouter", "run", "-c",
                 "/etc/eventrouter/config.yaml"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)


def test_a_restart_inside_loses_nothing(image, receiver, tmp_path):
    """500 Events, killed, 500 more, started again: each is delivered, with its state on a volume."""
    version, _, root, _ = image
    assert inside(root, "/usr/bin/eventrouter", "version").stdout.startswith(f"eventrouter {version} ")
    fake = Fake()
    config, state = tmp_path / "config", tmp_path / "state"
    for folder in (config, state):
        folder.mkdir()
    os.chown(state, 65532, 65532)
    (config / "config.yaml").write_text(CONFIG.format(url=receiver.url))
    fake.kubeconfig(config / "kubeconfig")

    fake.script("burst 500")
    router = RouterInside(root, config, state, tmp_path / "first.log")
    try:
        router.wait_ready()
        uid = pathlib.Path(f"/proc/{router.process.pid}/status").read_text()
        assert "Uid:\t65532\t65532\t65532\t65532" in uid
        assert "CapEff:\t0000000000000000" in uid and "CapBnd:\t00000000000" in uid
        assert "NoNewPrivs:\t1" in uid
        assert wait_for(receiver, 500)
        router.kill()
        fake.script("burst 500 prefix more")
        router = RouterInside(root, config, state, tmp_path / "second.log")
        assert wait_for(receiver, 1000)
        assert router.stop() == 0
        router.ledger()
    finally:
        router.kill()
        fake.close()
    assert len({record["id"] for record in receiver.records}) == 1000


def wait_for(receiver, number):
    with receiver.changed:
        return receiver.changed.wait_for(
            lambda: len({record["id"] for record in receiver.records}) >= number, LIMIT)
