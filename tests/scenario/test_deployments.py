"""Deployments that change, between a scripted API server and scripted sinks: what arrives, after kills too.

The series of kills takes ER_CRASH_CYCLES and ER_CRASH_SEED as test_crash.py does."""
import random
import threading
import time

import pytest

from conftest import LIMIT, Router, gaps, merge, wait_point
from test_crash import CYCLES, PARTS, SANITIZED, SEED, digest

ON = {"events": {"enabled": False}, "deployments": {"enabled": True}}
IMAGE = "spec.template.spec.containers[name=main].image"
CREATED = "created: replicas 1; image main: registry.example/main:1"
IMAGE_POINTER = "/spec/template/spec/containers/0/image"


def image(text):
    return f'spec.template.spec.containers=[{{"name":"main","image":"{text}"}}]'


def changes(records):
    return [record for record in records if record["kind"] == "change"]


def messages(records):
    return [record["message"] for record in changes(records)]


# ---- kills

class Load:
    """Deployments that change, go and come again, one change after the other, until it is stopped."""

    def __init__(self, fake, seed):
        self.fake, self.random, self.stopped = fake, random.Random(seed), False
        self.there = set()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        number = 0
        while not self.stopped:
            lines = []
            for _ in range(self.random.randrange(1, 6)):
                number += 1
                lines.append(self.line(number))
            self.fake.script("\n".join(lines))
            time.sleep(self.random.random() * 0.02)

    def line(self, number):
        name, draw = f"deployments/d-{self.random.randrange(8)}", self.random.randrange(20)
        if name not in self.there:
            self.there.add(name)
            return f"put {name} spec.replicas={number}"
        if draw == 0:
            self.there.remove(name)
            return f"delete {name}"
        if draw < 3:
            return f"modify {name} status.readyReplicas={number}"  # no record
        if draw < 10:
            return f"modify {name} {image(f'app:{number}')}"
        return f"modify {name} spec.replicas={number}"

    def stop(self):
        assert self.thread.is_alive() or self.stopped, "the load broke off"
        self.stopped = True
        self.thread.join()


def parts(deployment):
    spec = deployment["spec"]
    return {("spec.replicas", "/spec/replicas"): spec["replicas"],
            (IMAGE, IMAGE_POINTER): spec["template"]["spec"]["containers"][0]["image"]}


def wanted_changes(fake):
    """{id: (operation, difference)} of all that ever happened."""
    last, wanted = {}, {}
    for step in fake.history():
        meta = step["object"]["metadata"]
        ident = f"{meta['uid']}-{meta['resourceVersion']}"
        before, after = last.get(meta["uid"]), parts(step["object"])
        last[meta["uid"]] = after
        if step["type"] == "ADDED":
            wanted[ident] = ("created", None)
        elif step["type"] == "DELETED":
            wanted[ident] = ("deleted", None)
        elif before != after:
            wanted[ident] = ("updated", [
                {"path": path, "pointer": pointer, "op": "replace", "old": before[path, pointer],
                 "new": after[path, pointer]}
                for path, pointer in after if before[path, pointer] != after[path, pointer]])
    return wanted


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_before_the_sink_answers(fake, hook, tmp_path, part):
    draw = random.Random(SEED + part)
    print(f"\nER_CRASH_CYCLES={CYCLES} ER_CRASH_SEED={SEED}, part {part}")
    state = {"path": str(tmp_path / "state"), "interval": "20ms"}
    life = 0

    def start():
        nonlocal life
        life += 1
        folder = tmp_path / f"life-{life}"
        folder.mkdir()
        return Router(folder, fake.api, {
            "log": {"level": "info"}, "state": state, "watch": ON,
            "sinks": {"a": hook("a", retry={"initial": "5ms", "max": "40ms"})}})

    router = start()
    wait_point(tmp_path / "state", stream="deployments", mark="resume")
    load = Load(fake, SEED + part)
    try:
        for _ in range(CYCLES // PARTS):
            time.sleep(draw.random() * (1 if SANITIZED else 0.15))
            fake.script(draw.choice(["sink a hang", "sink a answer 503 times 3", "sink a reset 200 times 2",
                                     "sink a answer 200 delay 20ms times 5"]))
            time.sleep(draw.random() * 0.05)
            router.kill()
            router.process.stderr.close()
            fake.script("sink a clear")
            router = start()
    finally:
        load.stop()
    wait_point(tmp_path / "state", 3 * LIMIT, stream="deployments", mark="resume",
               version=str(fake.state()["version"]))
    assert router.stop() == 0
    router.ledger()
    router.process.stderr.close()

    wanted, digests, repeats = wanted_changes(fake), {}, 0
    records = fake.records("a")
    assert not gaps(records)
    for record in records:
        found = digest(record)
        repeats += record["id"] in digests
        assert digests.setdefault(record["id"], found) == found, f"another {record}"
    told = {record["id"]: (record["change"]["operation"], record["change"].get("diff"))
            for record in changes(records)}
    assert told == wanted
    print(f"{len(wanted)} changes, {life} lives, {repeats} repeats")
    assert repeats > 0 and len(wanted) > CYCLES // PARTS


# ---- what was missed

def settled(fake, keeping):
    wait_point(keeping.directory, stream="deployments", mark="resume",
               version=str(fake.state()["version"]))


AWAY = 2.3  # longer than a stream counts as complete


@pytest.mark.parametrize("what", ["nothing", "one change", "two changes", "status", "gone", "created",
                                  "created, changed"])
def test_history_lost_while_away(fake, keeping, hook, what):
    """A gap record only where the list shows that versions are missing."""
    fake.script("put deployments/a metadata.generation=1\nput deployments/b")
    keeping(watch=ON, sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    settled(fake, keeping)
    keeping.stop()
    assert fake.records("a") == []  # the first sight is a baseline
    fake.script({"nothing": "put pods/x",
                 "one change": "modify deployments/a spec.replicas=2 metadata.generation=2",
                 "two changes": "modify deployments/a spec.replicas=2 metadata.generation=2\n"
                                "modify deployments/a spec.replicas=3 metadata.generation=3",
                 "status": "modify deployments/a status.readyReplicas=0",
                 "gone": "delete deployments/b",
                 "created": "put deployments/c metadata.generation=1",
                 "created, changed": "put deployments/c metadata.generation=2"}[what])
    fake.script("version +5\ncompact now")
    time.sleep(AWAY)
    keeping(watch=ON, sinks={"a": hook("a")})
    fake.wait("gone >= 1")
    settled(fake, keeping)
    fake.script("modify deployments/a metadata.labels.last=one")
    settled(fake, keeping)
    keeping.stop()
    records = fake.records("a")
    assert messages(records) == {
        "one change": ["replicas 1 → 2"], "two changes": ["replicas 1 → 3"],
        "gone": ["deleted: replicas 1; found missing from a list"], "created": [CREATED],
        "created, changed": [CREATED]}.get(what, []) + [
            "label last added: one"]
    assert [gap["cause"] for gap in gaps(records)] == (
        ["expired"] if what in ("two changes", "gone", "created, changed") else [])


def test_rewind(fake, keeping, hook):
    """The store goes back while it runs: a gap record, and a new baseline, for versions repeat."""
    fake.script("put deployments/a\nput deployments/b")
    half = int(fake.state()["version"])
    router = keeping(watch=ON, sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    fake.script("modify deployments/a spec.replicas=2\nput deployments/c")
    settled(fake, keeping)
    fake.script(f"rewind {half}\nmodify deployments/b spec.replicas=7")
    router.wait_log("the API server's store went back to an older version")
    fake.wait("watches open >= 1")
    settled(fake, keeping)
    fake.script("modify deployments/b spec.replicas=8")
    settled(fake, keeping)
    keeping.stop()
    records = [r for r in fake.records("a") if r["kind"] != "rollout"]
    assert [(r["kind"], r["message"]) for r in records[:2]] == [
        ("change", "replicas 1 → 2"), ("change", CREATED)]
    assert records[2]["gap"]["cause"] == "rewound"
    assert messages(records[3:]) == ["replicas 7 → 8"]


# ---- settings

def play(fake, router, hook, script, before="put deployments/web", **settings):
    """The records of a script, and of a change behind it that every setting lets through."""
    fake.script(before)
    watch = merge({"events": {"enabled": False}, "deployments": {"enabled": True}},
                  {"deployments": settings})
    router(watch=watch, sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    fake.script(script + "\nput deployments/web-last metadata.labels.last=one metadata.labels.team=pay\n"
                "delete deployments/web-last")
    end = time.monotonic() + LIMIT
    while not any(r["message"].startswith("deleted") and r["object"]["name"] == "web-last"
                  for r in changes(fake.records("a"))):
        assert time.monotonic() < end, fake.records("a")
        time.sleep(0.01)
    return [r for r in changes(fake.records("a")) if r["object"]["name"] != "web-last"]


SCRIPT = ("modify deployments/web spec.replicas=2\n"
          f"modify deployments/web {image('app:2')}\n"
          "modify deployments/web metadata.labels.tier=front\n"
          "modify deployments/web metadata.annotations.note=a\n"
          f"modify deployments/web spec.replicas=3 {image('app:3')}\n")


def test_fields(fake, router, hook):
    found = play(fake, router, hook, SCRIPT, before=f"put deployments/web {image('app:1')}",
                 fields=["image", "labels"])
    assert messages(found) == ["image main: app:1 → app:2", "label tier added: front",
                               "image main: app:2 → app:3; replicas 2 → 3"]


def test_ignore(fake, router, hook):
    found = play(fake, router, hook, SCRIPT, before=f"put deployments/web {image('app:1')}",
                 ignore=["spec.replicas", "metadata.annotations"])
    assert messages(found) == ["image main: app:1 → app:2", "label tier added: front",
                               "image main: app:2 → app:3"]


def test_names(fake, router, hook):
    names = ["web", "web-test", "api", "database"]
    found = play(fake, router, hook, "\n".join(f"modify deployments/{n} spec.replicas=2" for n in names),
                 before="\n".join(f"put deployments/{n}" for n in names),
                 names=["web*", "re:^a", "!*-test"])
    assert [r["object"]["name"] for r in found] == ["web", "api"]


def test_label_selector(fake, router, hook):
    """One that gets the label comes, and goes with it: to the API server's watch it is another."""
    found = play(fake, router, hook,
                 "modify deployments/web spec.replicas=2\nmodify deployments/other spec.replicas=2\n"
                 "modify deployments/web metadata.labels.team=none\n"
                 "modify deployments/web spec.replicas=3\n",
                 before="put deployments/web metadata.labels.team=pay\nput deployments/other",
                 labelSelector="team=pay")
    assert [(r["object"]["name"], r["reason"]) for r in found] == [("web", "Scaled"), ("web", "Deleted")]
    assert all("labelSelector=team%3Dpay" in request["target"] for request in fake.log()
               if request["resource"] == "deployments")


@pytest.mark.parametrize("form", ["readable", "jsonPatch", "both"])
def test_diff(fake, router, hook, form):
    found = play(fake, router, hook, f"modify deployments/web spec.replicas=2 {image('app:2')}",
                 before=f"put deployments/web {image('app:1')}", diff=form)[0]["change"]
    assert found.get("diff") == (None if form == "jsonPatch" else [
        {"path": "spec.replicas", "pointer": "/spec/replicas", "op": "replace", "old": 1, "new": 2},
        {"path": IMAGE, "pointer": IMAGE_POINTER, "op": "replace", "old": "app:1", "new": "app:2"}])
    assert found.get("patch") == (None if form == "readable" else [
        {"op": "replace", "path": "/spec/replicas", "value": 2},
        {"op": "replace", "path": IMAGE_POINTER, "value": "app:2"}])


def test_max_replicas(fake, router, hook):
    lines = [f"modify deployments/web spec.replicas={n}" for n in (4, 6)]
    lines += [f"modify deployments/api spec.replicas={n}" for n in (6, 9, 2)]
    found = play(fake, router, hook, "\n".join(lines), before="""put deployments/web
put deployments/api metadata.annotations={"eventrouter.io/max-replicas":"8"}""",
                 maxReplicas=[{"deployment": "other/*", "max": 1}, {"deployment": "default/web*", "max": 5},
                              {"deployment": "default/*eb", "max": 1}])
    assert [(r["object"]["name"], r["type"], r["change"]["replicas"]) for r in found] == [
        ("web", "Normal", {"old": 1, "new": 4, "max": 5}),
        ("web", "Warning", {"old": 4, "new": 6, "max": 5, "overMax": True}),
        ("api", "Normal", {"old": 1, "new": 6, "max": 8}),
        ("api", "Warning", {"old": 6, "new": 9, "max": 8, "overMax": True}),
        ("api", "Normal", {"old": 9, "new": 2, "max": 8})]


@pytest.mark.parametrize("redact", [True, False])
def test_redact_env(fake, router, hook, redact):
    def env(value):
        return ('spec.template.spec.containers=[{"name":"main","image":"app:1","env":'
                f'[{{"name":"MODE","value":"{value}"}}]}}]')
    found = play(fake, router, hook, f"modify deployments/web {env('two')}",
                 before=f"put deployments/web {env('one')}", redactEnv=redact)[0]
    entry = found["change"]["diff"][0]
    assert (entry["old"], entry["new"]) == (("***", "***") if redact else ("one", "two"))
    assert found["change"].get("redacted") == (True if redact else None)
    assert found["message"] == ("env main MODE changed" if redact else "env main MODE: one → two")


def test_ignore_annotation(fake, router, hook):
    """While it is there nothing is told; what was changed meanwhile is not told afterwards."""
    note = 'metadata.annotations={"eventrouter.io/ignore":"true"}'
    found = play(fake, router, hook,
                 "modify deployments/web spec.replicas=2\n"
                 "modify deployments/web metadata.annotations={}\n"
                 "modify deployments/web spec.replicas=3\n"
                 f"modify deployments/web {note}\nmodify deployments/web spec.replicas=4\n"
                 "delete deployments/web\nput deployments/quiet " + note + "\ndelete deployments/quiet",
                 before=f"put deployments/web {note}")
    assert messages(found) == ["annotation eventrouter.io/ignore removed", "replicas 2 → 3"]


def test_two_namespaces(fake, router, hook):
    fake.script("put deployments/web namespace=one\nput deployments/web namespace=two\n"
                "put deployments/web namespace=three")
    router(watch=ON, sinks={"a": hook("a")}, kubernetes={"namespaces": ["one", "two"]})
    fake.wait("watches open >= 2")
    fake.script("\n".join(f"modify deployments/web namespace={n} spec.replicas=2"
                          for n in ("three", "one", "two")))
    fake.wait("sink a accepted >= 2")
    found = fake.records("a")
    assert sorted((r["namespace"], r["message"]) for r in found) == [
        ("one", "replicas 1 → 2"), ("two", "replicas 1 → 2")]
