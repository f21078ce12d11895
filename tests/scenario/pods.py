"""Pods for the fake, and the restart records that come of them."""
import json

from conftest import stored

STARTED, FINISHED = "2026-01-02T03:10:00Z", "2026-01-02T03:11:00Z"


def ended(ident, reason="Error", code=1, **more):
    """A termination, as a container's state or lastState has it."""
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": STARTED, "finishedAt": FINISHED,
                           "containerID": f"containerd://{ident}", **more}}


def container(count, name="main", state=None, last=None, **more):
    """A container status; by default it runs, and ended with exit code 1 before."""
    last = last if last is not None else ended(f"{name}-{count}") if count else {}
    return {"name": name, "state": state or {"running": {"startedAt": FINISHED}}, "lastState": last,
            "ready": True, "restartCount": count, "image": f"registry.example/{name}:1", "imageID": "",
            "containerID": f"containerd://{name}-{count + 1}", **more}


def statuses(*containers, field="containerStatuses"):
    return f"status.{field}={json.dumps(containers)}"


def write(name, count, verb="modify", namespace="default", **more):
    """A line that writes the pod with this restart count of its one container."""
    return f"{verb} pods/{name} namespace={namespace} {statuses(container(count, **more))}"


def restarts(records):
    return [record for record in records if record["kind"] == "restart"]


def told(records):
    """(pod, container, count, delta) of the restart records, in order."""
    return [(r["object"]["name"], r["restart"].get("container"), r["restart"].get("count"),
             r["restart"].get("delta")) for r in restarts(records)]


def uids(fake):
    """{name: uid} of every pod there ever was, the newest of each name."""
    return {c["object"]["metadata"]["name"]: c["object"]["metadata"]["uid"]
            for c in fake.history() if c["kind"] == "Pod"}


def rows(directory, stream="pods"):
    """{uid: what is stored of it}."""
    return {key.decode(): json.loads(value) for key, value in stored(directory, stream).items() if key}


def counts(directory, fake=None, stream="pods"):
    """{uid: restart count of main} as stored; with fake {name: …}."""
    names = {uid: name for name, uid in uids(fake).items()} if fake else {}
    return {names.get(uid, uid): value.get("c", {}).get("main", [0])[0]
            for uid, value in rows(directory, stream).items()}
