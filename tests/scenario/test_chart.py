"""The chart, as far as it can be judged without Helm (tests/e2e/test_helm.py goes on).

tests/golden/chart/NAME.yaml is what Helm renders of charts/eventrouter/ci/NAME-values.yaml. wrong/*.yaml are
values that are refused: KEY is what the message names; BY: template, what a schema cannot see; SAYS: what else the
message has."""
import re
import subprocess
import sys

import jsonschema
import pytest
import yaml

from conftest import BIN, LIMIT, ROOT

CHART = ROOT / "charts/eventrouter"
GOLDEN = ROOT / "tests/golden/chart"
SCHEMA = yaml.safe_load((CHART / "values.schema.json").read_text("utf-8"))  # JSON is YAML
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text("utf-8"))
VALUES = {path.name.removesuffix("-values.yaml"): [path] for path in sorted((CHART / "ci").glob("*.yaml"))}
# A profile, and what its user adds to it.
VALUES.update({path.stem: [CHART / f"profiles/{path.name}", path] for path in sorted((GOLDEN / "profile").glob("*.yaml"))})
WRONG = sorted((GOLDEN / "wrong").glob("*.yaml"))


def merged(defaults, values):
    """As Helm merges: maps key by key, null takes a key away."""
    made = dict(defaults)
    for key, value in values.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, dict) and isinstance(made.get(key), dict):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made


def leaves(errors):
    """Of errors that consist of others, those."""
    for error in errors:
        yield from leaves(error.context) if error.context else [error]


def named(error):
    """The keys that an error names."""
    path = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        return {f"{path}.{key}".lstrip(".") for key in error.instance if key not in known}
    if error.validator == "required":
        return {f"{path}.{key}".lstrip(".") for key in error.validator_value if key not in error.instance}
    return {path}


def refused(values):
    """The keys of these values that the schema refuses."""
    errors = VALIDATOR.iter_errors(merged(DEFAULTS, values))
    return set().union(*map(named, leaves(errors)))


def test_made_files_are_fresh():
    done = subprocess.run([sys.executable, ROOT / "charts/generate.py", "--check"], capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_version():
    """The chart is the program's."""
    version = re.search(r"project\(eventrouter VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version


def test_schema_is_closed():
    """Whatever has named properties takes no others; but for what other charts share."""
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    open_ones = []

    def walk(node, path):
        if isinstance(node, dict):
            if "properties" in node and node.get("additionalProperties", True) is not False:
                open_ones.append(path)
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list):
            for key, value in enumerate(node):
                walk(value, f"{path}/{key}")

    walk(SCHEMA, "")
    chosen = r"/properties/config/properties/sinks/additionalProperties(/allOf/\d+/if)?"
    assert [path for path in open_ones if not re.fullmatch(chosen, path)] == ["/properties/global"]


def values_of(name):
    made = {}
    for path in VALUES[name]:
        made = merged(made, yaml.safe_load(path.read_text("utf-8")))
    return made


@pytest.mark.parametrize("name", VALUES)
def test_good_values(name):
    assert refused(values_of(name)) == set()


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_wrong_values(path):
    text = path.read_text("utf-8")
    key = re.match(r"# KEY: (.*)\n", text).group(1)
    wanted = set() if "\n# BY: template\n" in text else {key}
    assert wanted <= refused(yaml.safe_load(text)) and bool(wanted) == bool(refused(yaml.safe_load(text)))


# A key without a value is the program's default, and for Helm a key that is to be taken away.
CONFIGS = [path for path in (*(ROOT / "tests/golden/config/good").glob("*.yaml"), *(ROOT / "config/examples").glob("*.yaml"))
           if path.stem != "empty_values"]


@pytest.mark.parametrize("path", sorted(CONFIGS), ids=lambda path: path.stem)
def test_configurations_as_values(path):
    """What the program takes, the chart takes; but for secrets that are no references."""
    config = yaml.safe_load(path.read_text("utf-8-sig"))
    secret = r"(^|\.)(password|bearer|value|clientSecret|keys\.\d+)$"
    assert {key for key in refused({"config": config}) if not re.search(secret, key)} == set()


def rendered(path):
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.yaml")), ids=lambda path: path.stem)
def test_program_takes_what_is_rendered(path, tmp_path):
    """The rendered configuration, and the rights that it needs."""
    objects = rendered(path)
    config = tmp_path / "eventrouter.yaml"
    config.write_text(next(one["data"]["eventrouter.yaml"] for one in objects if one["kind"] == "ConfigMap"))
    done = subprocess.run([BIN / "eventrouter", "check", "-c", config, "--rbac"], capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    wanted = [(one["kind"], one["metadata"].get("namespace"), one["rules"])
              for one in yaml.safe_load_all(done.stdout)]
    cluster_id = [{"apiGroups": [""], "resources": ["namespaces"], "resourceNames": ["kube-system"], "verbs": ["get"]}]
    found = [(one["kind"], one["metadata"].get("namespace"),
              [rule for rule in one["rules"] if rule not in cluster_id])
             for one in objects if one["kind"] in ("Role", "ClusterRole")]
    found = [role for role in found if role[2]]
    assert found == (wanted if merged(DEFAULTS, values_of(path.stem))["rbac"]["create"] else [])
