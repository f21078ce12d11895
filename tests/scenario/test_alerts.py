"""The alerts of charts/eventrouter/alerts: promtool accepts them, tests/alerts has each of them fire and not
fire, the program has what they name, and docs/alerts.md says what to do."""
import re
import time

import pytest
import yaml

from conftest import ROOT
from promtool import TARGET_LABELS, Families, promtool, selectors

FOLDER = ROOT / "charts/eventrouter/alerts"
FILES = sorted(FOLDER.glob("*.yaml"))
TESTS = ROOT / "tests/alerts"
RULES = {rule["alert"]: rule for path in FILES for group in yaml.safe_load(path.read_text())["groups"]
         for rule in group["rules"]}
RUNBOOK = (ROOT / "docs/alerts.md").read_text()


def test_metrics_are_as_prometheus_wants_them(exposition):
    assert promtool("check", "metrics", stdin=exposition) == (0, "")


def test_rules_name_what_the_program_has(exposition):
    families = Families(exposition)
    for name, rule in RULES.items():
        assert families.unknown(rule["expr"]) == [], name
        known = set(TARGET_LABELS)
        for metric, _ in selectors(rule["expr"])[0]:
            known |= set(families.labels[metric])
        for text in rule["annotations"].values():
            assert set(re.findall(r"\$labels\.(\w+)", text)) <= known, (name, text)


def test_what_the_program_lacks_is_seen(exposition):
    families = Families(exposition)
    for expression, problem in (
            ("eventrouter_sink_lost_total > 0", "metric eventrouter_sink_lost_total"),
            ('rate(eventrouter_sink_delivered_total{sinc="a"}[5m])', "label sinc of eventrouter_sink_delivered_total"),
            ('eventrouter_sink_state{state="stopped"}', "value stopped of eventrouter_sink_state's state"),
            ("sum by (sinc) (eventrouter_sink_state)", "label sinc")):
        assert families.unknown(expression) == [problem]


def test_gaps_are_there_before_the_first(exposition):
    """increase() does not see a series that begins with 1."""
    assert Families(exposition).labels["eventrouter_gaps_total"] == {
        "watch": {"events", "deployments", "pods"},
        "cause": {"expired", "rewound", "oversized", "undecodable", "listIncomplete", "noState"}}


def test_a_quiet_watch_is_not_stale(fake, router, hook):
    """A watch of Events gets no bookmarks: where nothing happens, only its end and the next one tell."""
    r = router(sinks={"a": hook("a")}, watch={"timeout": "1s"})
    fake.wait("watches opened >= 1")
    since = time.time()
    fake.wait("watches opened >= 3")
    assert since < r.metric("watch_last_activity_timestamp_seconds", watch="events") <= time.time()


def test_rules_are_accepted():
    code, said = promtool("check", "rules", *FILES)
    assert code == 0, said
    for path in FILES:
        number = path.read_text().count("- alert:")
        assert f"Checking {path}\n  SUCCESS: {number} rules found" in said


def test_rules_fire_and_do_not_fire():
    code, said = promtool("test", "rules", *sorted(TESTS.glob("*.test.yaml")))
    assert code == 0, said


@pytest.mark.parametrize("expression", ["vector(1) > 0", "vector(0) > 0"])
def test_a_broken_rule_is_seen(expression, tmp_path):
    """Each alert in turn would be seen if it always, or never, fired."""
    for path in FILES:
        broken = yaml.safe_load(path.read_text())
        for group in broken["groups"]:
            for rule in group["rules"]:
                rule["expr"] = expression
        (tmp_path / path.name).write_text(yaml.safe_dump(broken))
        tests = yaml.safe_load((TESTS / f"{path.stem}.test.yaml").read_text())
        tests["rule_files"] = [path.name]
        (tmp_path / "test.yaml").write_text(yaml.safe_dump(tests))
        code, said = promtool("test", "rules", tmp_path / "test.yaml")
        assert code != 0
        assert set(re.findall(r"alertname: (\w+)", said)) == set(re.findall(r"alert: (\w+)", path.read_text()))


def test_alerts_say_what_people_need():
    for name, rule in RULES.items():
        assert rule["labels"] == {"severity": rule["labels"]["severity"]}
        assert rule["labels"]["severity"] in ("critical", "warning"), name
        assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
        assert rule["annotations"]["runbook_url"] == f"docs/alerts.md#{name.lower()}"
    names = re.findall(r"^### (\w+)$", RUNBOOK, re.MULTILINE)
    assert names == list(RULES)


def sayings(text):
    """What stands in `…` as a message of the program: four lowercase words or more, "…" for what varies."""
    text = re.sub(r"\s+", " ", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    quoted = re.findall(r"`([a-z][a-z ,']*(?: …[a-z ,']*)*)`", text) + re.findall(r'"message": "([^"]+)"', text)
    return [saying for saying in quoted if saying.count(" ") >= 3]


def test_the_documents_quote_what_the_program_says():
    source = " ".join(path.read_text() for folder in ("core", "sinks") for path in (ROOT / folder).rglob("*.c"))
    source = re.sub(r'"\s*"', "", source)
    for path in (ROOT / "docs").glob("*.md"):
        for saying in sayings(path.read_text()):
            assert all(part.strip() in source for part in saying.split("…")), (path.name, saying)
    assert len(sayings(RUNBOOK)) > 15


def test_the_runbook_names_what_the_program_has(exposition):
    known = Families(exposition).labels
    for name in re.findall(r"\b((?:eventrouter|process|deployment|container)_[a-z_]+)\b", RUNBOOK):
        assert any(series.startswith(name) for series in known), name
