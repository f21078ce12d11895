"""docs/metrics.md has each metric of the program, as the program tells of it."""
import re

from conftest import ROOT
from promtool import Families

PAGE = ROOT / "docs/metrics.md"
# Their values are told; those of the workload metrics come from the cluster.
CLOSED = {"cause", "outcome", "reason", "state", "type", "level"}
SAMPLES = ("_bucket", "_sum", "_count")  # of a histogram


def labels_of(families, name, kind):
    known = {}
    for suffix in SAMPLES if kind == "histogram" else ("",):
        for label, values in families.labels.get(name + suffix, {}).items():
            known.setdefault(label, set()).update(values)
    known.pop("le", None)
    return ", ".join(f"`{label}`" + (": " + " ".join(sorted(values)) if label in CLOSED and name.startswith("eventrouter_") else "")
                     for label, values in known.items())


def table(exposition):
    families = Families(exposition)
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.M))
    texts = dict(re.findall(r"^# HELP (\S+) (.*)$", exposition, re.M))
    assert kinds.keys() == texts.keys()
    return "".join(f"| `{name}` | {kinds[name]} | {labels_of(families, name, kinds[name])} | {texts[name]} |\n"
                   for name in sorted(kinds))


def test_page(exposition):
    rows = "".join(line + "\n" for line in PAGE.read_text().splitlines() if line.startswith("| `"))
    assert rows == table(exposition)
