"""The dashboard for Grafana: each of its queries is PromQL about what the program has, and each panel says
what it shows and in which unit."""
import json
import re

import yaml

from conftest import ROOT
from promtool import TARGET_LABELS, Families, promtool, selectors

DASHBOARD = json.loads((ROOT / "charts/eventrouter/dashboards/eventrouter.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
VARIABLES = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
# Ids of Grafana's value formats.
UNITS = {"none", "short", "percentunit", "s", "bytes", "cps", "reqps"}


def filled(query):
    """A query as Grafana sends it."""
    query = query.replace("$__rate_interval", "5m").replace("$__range", "6h")
    for name in re.findall(r"\$(\w+)", query):
        assert name in VARIABLES, query
        query = query.replace(f"${name}", ".*")
    return query


def test_every_query_is_promql(tmp_path):
    rules = [{"record": f"panel:{panel['id']}:{target['refId']}", "expr": filled(target["expr"])}
             for panel in PANELS for target in panel["targets"]]
    assert len({rule["record"] for rule in rules}) == len(rules)
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    code, said = promtool("check", "rules", tmp_path / "rules.yaml")
    assert code == 0, said
    assert f"SUCCESS: {len(rules)} rules found" in said


def test_every_query_is_about_what_the_program_has(exposition):
    families = Families(exposition)
    for panel in PANELS:
        for target in panel["targets"]:
            assert families.unknown(filled(target["expr"])) == [], panel["title"]
            known = set(TARGET_LABELS)
            for metric, _ in selectors(target["expr"])[0]:
                known |= set(families.labels[metric])
            assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known, panel["title"]
    for variable in VARIABLES.values():
        found = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.get("definition", ""))
        if variable["type"] == "query":
            assert families.unknown(filled(found[1])) == [] and found[2] == variable["name"]
            assert variable["query"]["query"] == variable["definition"]


def test_every_panel_says_what_it_shows():
    for panel in PANELS:
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["targets"] and all(target["datasource"] == panel["datasource"] for target in panel["targets"])
        assert [target["refId"] for target in panel["targets"]] == list("ABCDEF"[:len(panel["targets"])])


def test_the_dashboard_is_whole():
    assert DASHBOARD["uid"] == "eventrouter" and DASHBOARD["title"] and DASHBOARD["schemaVersion"] >= 36
    assert list(VARIABLES) == ["datasource", "namespace", "job", "instance", "sink"]
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert [row.split()[0].rstrip(":") for row in rows] == ["Overview", "Delivery", "Kafka", "Elasticsearch",
                                                            "Watches", "Process", "Workloads"]
    taken = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24 and not cells & taken, panel["title"]
        taken |= cells


def test_every_metric_of_sinks_and_watches_is_shown(exposition):
    """What is exposed and in no panel is either forgotten here, or not needed there."""
    shown = {name for panel in PANELS for target in panel["targets"] for name, _ in selectors(target["expr"])[0]}
    ends = ("_bucket", "_sum", "_count")
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in Families(exposition).labels}
    unseen = {name for name in families if name not in shown and not any(name + end in shown for end in ends)}
    assert unseen == {
        "eventrouter_decode_errors_total", "eventrouter_list_items_total", "eventrouter_notices_lost_total",
        "eventrouter_notices_total", "eventrouter_records_truncated_total",
        "eventrouter_route_pattern_limits_total", "eventrouter_sink_kafka_queue_bytes",
        "eventrouter_sink_kafka_requests_total", "eventrouter_sink_kafka_sent_bytes_total",
        "eventrouter_state_usable", "eventrouter_state_voided_total", "eventrouter_watch_expired_quiet_total",
        "eventrouter_watch_stale_frames_total", "eventrouter_watch_unsettled_frames"}
