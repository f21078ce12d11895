"""docs/*.md: configurations load, links lead somewhere, and what they name exists. Alerts are in
test_alerts.py; what Helm and kubectl are told, tests/e2e/test_docs.py runs."""
import json
import re
import subprocess

import pytest
import yaml

from conftest import BIN, LIMIT, ROOT
from promtool import Families

DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
REFERENCE = (ROOT / "config/reference.md").read_text()
TOP_KEYS = set(json.loads((ROOT / "config/config.schema.json").read_text())["properties"])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def configurations():
    """(id, configuration): a block that is one, or values of the chart that have one."""
    for name, text in DOCS.items():
        for number, (_, language, block) in enumerate(FENCE.findall(text)):
            if language != "yaml":
                continue
            parsed = yaml.safe_load(block)
            config = parsed if set(parsed) <= TOP_KEYS else parsed.get("config")
            if config:
                yield pytest.param(config, id=f"{name}-{number}")


def test_fences_are_known():
    """yaml is checked here, sh run by the end-to-end tests, console cannot be run there."""
    for name, text in DOCS.items():
        assert {language for _, language, _ in FENCE.findall(text)} <= {"yaml", "sh", "console"}, name


@pytest.mark.parametrize("config", configurations())
def test_configuration_loads(config, tmp_path):
    path = tmp_path / "eventrouter.yaml"
    path.write_text(yaml.safe_dump(config))
    done = subprocess.run([BIN / "eventrouter", "check", "-c", path], capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    warnings = re.findall(r"warning: (.*)", done.stderr)
    # Secrets and certificates are in the pod, and so is its librdkafka; nothing else is worth a warning.
    assert [one for one in warnings if not re.search(
        r": cannot (?:open|write) /|: environment variable \w+ is not set|: librdkafka ", one)] == []


def anchors(text):
    """As GitHub and others make them of headings."""
    titles = re.findall(r"^#+ (.*)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_links_lead_somewhere():
    for name, text in DOCS.items():
        for target in re.findall(r"\]\(([^)]+)\)", FENCE.sub("", text)):
            path, _, anchor = target.partition("#")
            there = (ROOT / "docs" / path).resolve() if path else ROOT / "docs" / name
            assert there.exists(), (name, target)
            assert not anchor or anchor in anchors(there.read_text()), (name, target)


# ---- lines of the log ----

def examples():
    """Lines of the log that stand in the documents."""
    for name, text in DOCS.items():
        for block in re.findall(r'^ +\{"severity".*?\}$', text, re.MULTILINE | re.DOTALL):
            block = re.sub(r"\s+", " ", block)
            if not block.endswith(", …}"):
                line = json.loads(block)
                yield pytest.param(line, id=f"{name}: {line['message'][:30]}")


def play(message, fake, start):
    """A router that comes to say it."""
    answers = {"record rejected": "answer 400 body 'bad field'", "the sink denies us, records are kept and tried slowly":
               "answer 401", "the sink is unavailable, records are kept and tried again": "refuse"}
    fake.script("put e.1")
    if message in answers:
        fake.script(f"sink a {answers[message]}" if answers[message] != "refuse" else "sinks refuse")
    if message == "cannot list":
        fake.script("forbid cluster")
    r = start()
    if message == "versions are missing, a gap record says it":
        fake.wait("watches open >= 1")
        fake.script("fault watch delay 2500ms\nwatches reset\nmodify e.1\nmodify e.1\ncompact now")
    return r.wait_log(message)


def same(text):
    """Without what is the place's and the moment's own."""
    return re.sub(r"https?://[^ /]+|\d+\.\d+\.\d+\.\d+(:\d+)?", "HOST", text)


@pytest.mark.parametrize("shown", examples())
def test_log_line_is_what_the_program_says(shown, fake, router, hook):
    said = play(shown["message"], fake, lambda: router(
        sinks={"siem": hook("a")}, watch={"idleTimeout": "5s"}, shutdown={"grace": "100ms"}))
    assert set(said) == set(shown) | {"time"}
    for key in set(shown) - {"retryInMs", "id", "record", "fromVersion", "toVersion", "error"}:
        assert said[key] == shown[key], key
    assert same(said.get("error", "")) == same(shown.get("error", ""))


# ---- what is named ----

def test_metrics_exist(exposition):
    known = Families(exposition).labels
    for name, text in DOCS.items():
        for metric in re.findall(r"\b(?:eventrouter|process|deployment|container)_[a-z_]+\b", text):
            assert any(re.sub("_(bucket|sum|count)$", "", series) == metric for series in known), (name, metric)


def test_keys_exist():
    """Keys of the configuration, written with their dots."""
    rows = set(re.findall(r"^\| `([\w.]+)` \|", REFERENCE, re.MULTILINE))
    groups = {"queue", "retry", "batch", "auth", "sasl", "rotate"}
    seen = 0
    for name, text in DOCS.items():
        for row in re.sub(r"^\| [^|]* \|", "|", text, flags=re.MULTILINE).splitlines():  # not of the other program
            for key in re.findall(r"`((?:\w+\.)+\w+)`", row):
                first, _, rest = key.partition(".")
                if first in groups or first in TOP_KEYS and first != "state":
                    seen += 1
                    assert key in rows or rest in rows, (name, key)
    assert seen > 20
