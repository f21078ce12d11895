"""eventrouter check --rbac: the rights that a configuration needs, and no more.

tests/golden/rbac/NAME.out is what NAME.yaml gives; ER_GOLDEN_OUT=1 writes them anew."""
import os
import re
import subprocess

import pytest
import yaml

from conftest import BIN, LIMIT, ROOT

GOLDEN = ROOT / "tests/golden/rbac"
CONFIGS = sorted(GOLDEN.glob("*.yaml"))
KUBE_SYSTEM = [{"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"],
                "verbs": ["get"]}]


def rbac(config, *arguments):
    done = subprocess.run([BIN / "eventrouter", "check", "-c", config, "--rbac", *arguments],
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def by_resource(rules):
    return sorted(rules, key=lambda rule: rule["resources"])


def watched(config):
    """The rules, found another way: from the effective configuration that check prints."""
    whole = {"events": [""], "deployments": ["apps"], "pods": [""]}
    printed = yaml.safe_load(subprocess.run(
        [BIN / "eventrouter", "check", "-c", config, "--print"], capture_output=True, text=True,
        timeout=LIMIT, check=True).stdout)
    return by_resource([{"apiGroups": group, "resources": [name], "verbs": ["list", "watch"]}
                        for name, group in whole.items()
                        if printed["watch"].get(name, {}).get("enabled")])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_golden(config):
    printed = rbac(config)
    golden = config.with_suffix(".out")
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(printed)
    assert printed == golden.read_text()


@pytest.mark.parametrize("config", [*CONFIGS, *sorted((ROOT / "config/examples").glob("*.yaml"))],
                         ids=lambda path: path.stem)
def test_what_it_grants(config):
    printed = rbac(config)
    roles = list(yaml.safe_load_all(printed))
    namespaces = yaml.safe_load(config.read_text()).get("kubernetes", {}).get("namespaces")
    kinds = [(role["kind"], role["metadata"].get("namespace")) for role in roles]
    assert kinds == ([("Role", name) for name in namespaces or []] or [("ClusterRole", None)])
    assert all(by_resource(role["rules"]) == watched(config) != [] for role in roles)
    # what is commented out is YAML of its own
    more = list(yaml.safe_load_all(re.sub(r"(?m)^( *)# (?!Welcome|also)", r"\1", printed)))
    if namespaces:
        assert more[:-1] == roles
        assert more[-1]["metadata"] == {"name": "eventrouter-cluster-id", "namespace": "kube-system"}
        assert more[-1]["rules"] == KUBE_SYSTEM
    else:
        assert more[0]["rules"] == roles[0]["rules"] + KUBE_SYSTEM


def test_behind_the_configuration():
    """--print and --rbac: one after the other."""
    config = CONFIGS[0]
    both = rbac(config, "--print")
    assert both.endswith(rbac(config)) and yaml.safe_load(both[:-len(rbac(config))])["sinks"]
