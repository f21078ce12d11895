"""What the chart makes of alerts and dashboard: each value of prometheusRule and dashboard, and no other change."""
import json
import pathlib
import subprocess

import pytest
import yaml

import helm
from helm import CHART, ROOT

FILES = sorted((CHART / "alerts").glob("*.yaml"))
RULES = {rule["alert"]: rule for path in FILES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]
         for rule in group["rules"]}
PROMTOOL = [ROOT / "build/tools/promtool", pathlib.Path("/usr/bin/promtool")]


@pytest.fixture(scope="module", params=["4", "3"])
def render(request, tmp_path_factory):
    """render(prometheusRule={...}, …) -> {(kind, name): object}"""
    folder = tmp_path_factory.mktemp("helm")
    try:
        program = helm.Helm(helm.programs()[request.param], folder)
    except helm.Missing as missing:
        pytest.skip(str(missing))

    def made(**values):
        (folder / "values.json").write_text(json.dumps(values))
        return program.objects("-f", folder / "values.json")

    return made


def rules_of(objects):
    return {rule["alert"]: rule for group in objects["PrometheusRule", "demo-eventrouter"]["spec"]["groups"]
            for rule in group["rules"]}


def plain(rule):
    return {**rule, "expr": rule["expr"].replace(" # threshold", "")}


def test_rules_are_those_of_the_files(render):
    assert rules_of(render(prometheusRule={"enabled": True})) == {name: plain(rule) for name, rule in RULES.items()}
    assert ("PrometheusRule", "demo-eventrouter") not in render()


def test_every_value_does_what_it_says(render, tmp_path):
    objects = render(prometheusRule={
        "enabled": True, "labels": {"release": "prometheus"}, "annotations": {"a": "b"},
        "alertLabels": {"team": "platform"}, "runbookBase": "https://git.example/blob/main/",
        "alerts": {"EventrouterSinkSlow": {"threshold": 600, "for": "30m"}, "EventrouterDown": {"severity": "page"},
                   "EventrouterMemoryNearLimit": {"threshold": 241591910},
                   "EventrouterQueueNearFull": {"threshold": 0.95}, "WorkloadRolloutStuck": {"enabled": False}}})
    made = objects["PrometheusRule", "demo-eventrouter"]
    assert made["metadata"]["labels"]["release"] == "prometheus" and made["metadata"]["annotations"] == {"a": "b"}
    wanted = {name: {**plain(rule), "labels": {**rule["labels"], "team": "platform"}, "annotations": {
        **rule["annotations"], "runbook_url": "https://git.example/blob/main/" + rule["annotations"]["runbook_url"]}}
              for name, rule in RULES.items() if name != "WorkloadRolloutStuck"}
    wanted["EventrouterSinkSlow"].update({"for": "30m", "expr": "eventrouter_sink_oldest_record_age_seconds > 600\n"})
    wanted["EventrouterDown"]["labels"]["severity"] = "page"
    wanted["EventrouterMemoryNearLimit"]["expr"] = (
        "process_resident_memory_bytes > 2.4159191e+08\nand on (job, instance) eventrouter_build_info\n")
    wanted["EventrouterQueueNearFull"]["expr"] = RULES["EventrouterQueueNearFull"]["expr"].replace(
        "0.8 # threshold", "0.95")
    assert rules_of(objects) == wanted
    tool = next((path for path in PROMTOOL if path.exists()), None)
    if tool is None:
        pytest.skip("no promtool: ./dev e2e takes it out of Debian's package prometheus")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(made["spec"]))
    done = subprocess.run([tool, "check", "rules", tmp_path / "rules.yaml"], capture_output=True, text=True, check=False)
    assert (done.returncode, f"SUCCESS: {len(wanted)} rules found" in done.stdout) == (0, True), done.stderr


def test_every_threshold_can_be_set(render):
    names = [name for name, rule in RULES.items() if "# threshold" in rule["expr"]]
    rules = rules_of(render(prometheusRule={"enabled": True, "alerts": {name: {"threshold": 77} for name in names}}))
    for name in names:
        assert rules[name]["expr"].count(" > 77") == RULES[name]["expr"].count("# threshold") > 0


def test_dashboard(render):
    name = ("ConfigMap", "demo-eventrouter-dashboard")
    made = render(dashboard={"enabled": True})[name]
    assert made["metadata"]["labels"]["grafana_dashboard"] == "1" and made["metadata"]["namespace"] == "monitoring"
    text = (CHART / "dashboards/eventrouter.json").read_text("utf-8")
    assert json.loads(made["data"]["eventrouter.json"]) == json.loads(text)
    elsewhere = render(dashboard={"enabled": True, "namespace": "grafana", "labels": {"x": "y"},
                                  "annotations": {"grafana_folder": "Kubernetes"}})[name]["metadata"]
    assert elsewhere["namespace"] == "grafana" and elsewhere["labels"]["x"] == "y"
    assert elsewhere["annotations"] == {"grafana_folder": "Kubernetes"}
    assert name not in render()
