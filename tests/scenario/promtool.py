"""promtool, and what an expression of PromQL names. `./dev test` puts promtool into build/tools."""
import pathlib
import re
import subprocess

from conftest import LIMIT, ROOT

TOOLS = (ROOT / "build/tools/promtool", pathlib.Path("/usr/bin/promtool"))
KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "offset",
            "bool", "inf", "nan"}
# What Prometheus and its operator add to the series of a target.
TARGET_LABELS = {"job", "instance", "namespace", "pod", "container", "node", "service", "endpoint"}


def promtool(*arguments, stdin=None):
    """(exit code, what it said)"""
    tool = next((tool for tool in TOOLS if tool.exists()), None)
    assert tool, "there is no promtool; ./dev test takes it out of Debian's package prometheus"
    done = subprocess.run([tool, *arguments], input=stdin, capture_output=True, text=True, timeout=LIMIT,
                          check=False)
    return done.returncode, done.stdout + done.stderr


def selectors(expression):
    """[(metric, {label: value})] of an expression, and the labels that its operators name."""
    expression = re.sub(r"#.*", "", expression)
    found, labels = [], set()

    def grouping(match):
        labels.update(re.findall(r"\w+", match[1]))
        return " "

    rest = re.sub(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", grouping, expression)
    for name, matchers, call in re.findall(
            r"(?<![\w.:\[])([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?", re.sub(r"\[[^]]*\]", " ", rest)):
        if not call and name.lower() not in KEYWORDS:
            found.append((name, dict(re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"', matchers))))
    return found, labels


class Families:
    """What a router exposes: the metrics, and each one's labels with their values."""

    def __init__(self, text):
        self.labels = {}
        for line in text.splitlines():
            if line and line[0] != "#":
                name, rest = re.match(r"([\w:]+)(\{.*\})? ", line).groups()
                known = self.labels.setdefault(name, {})
                for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', rest or ""):
                    known.setdefault(label, set()).add(value)

    def unknown(self, expression, closed=("reason", "outcome", "state", "type", "level", "le", "cause")):
        """What the expression names and a router does not have; values only of labels whose values are a
        closed set."""
        problems = []
        found, labels = selectors(expression)
        everywhere = set(TARGET_LABELS)
        for name, matchers in found:
            if name not in self.labels:
                if name != "up":
                    problems.append(f"metric {name}")
                continue
            known = self.labels[name]
            everywhere |= set(known)
            for label, value in matchers.items():
                if label not in known and label not in TARGET_LABELS:
                    problems.append(f"label {label} of {name}")
                elif label in closed and label in known and "$" not in value:
                    problems += [f"value {one} of {name}'s {label}" for one in value.split("|")
                                 if one not in known[label]]
        return problems + [f"label {label}" for label in sorted(labels - everywhere)]
