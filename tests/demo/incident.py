"""The incident that the demo plays: what its Events say is what the kubelet, the scheduler and the
controllers of a real cluster write, word for word but for the names.

STORY is a list of (second, what): a text is told to the user, a tuple is a line for the scripted API
server. Times are those of the moment at which a line is played."""
import json

WEB, OLD, BAD = "web", "web-74c6d44d4f", "web-6f8d5c9b7d"
IMAGE = "registry.example/shop/web:2.8.O"  # the letter O, not a zero


def event(name, kind, about, reason, message, component, type="Normal", host="", uid=None,
          path="", namespace="shop", api="v1"):
    """`put` of an Event as the old recorder writes it."""
    body = {
        "metadata": {"name": f"{about}.{name}", "namespace": namespace,
                     "creationTimestamp": "@now"},
        "involvedObject": {"kind": kind, "namespace": namespace, "name": about, "apiVersion": api,
                           "uid": uid or f"00000000-aaaa-4000-8000-{abs(hash(about)) % 10**12:012d}"},
        "reason": reason, "message": message, "type": type, "count": 1,
        "source": {"component": component}, "firstTimestamp": "@now", "lastTimestamp": "@now",
        "eventTime": None, "reportingComponent": component, "reportingInstance": host}
    if host:
        body["source"]["host"] = host
    if path:
        body["involvedObject"]["fieldPath"] = path
    if kind == "Node":
        del body["involvedObject"]["namespace"]
        body["metadata"]["namespace"] = "default"
    return "put", body


def again(name, about, count, namespace="shop"):
    return "again", f"{about}.{name}", namespace, count


def scheduling(name, about, message, count):
    """The scheduler's recorder: eventTime and series."""
    _, body = event(name, "Pod", about, "FailedScheduling", message, "default-scheduler", "Warning")
    body.update(source={}, firstTimestamp=None, lastTimestamp=None, eventTime="@micro",
                action="Scheduling", reportingInstance="default-scheduler-cp-1")
    del body["count"]
    if count > 1:
        body["series"] = {"count": count, "lastObservedTime": "@micro"}
        return "modify", body
    return "put", body


def pulling(second, pod):
    path = "spec.containers{web}"
    failed = (f'Failed to pull image "{IMAGE}": rpc error: code = NotFound desc = failed to pull and '
              f'unpack image "{IMAGE}": {IMAGE}: not found')
    return [
        (second, event("a1", "Pod", pod, "Pulling", f'Pulling image "{IMAGE}"', "kubelet",
                       host="node-1", path=path)),
        (second + 1, event("a2", "Pod", pod, "Failed", failed, "kubelet", "Warning", "node-1",
                           path=path)),
        (second + 1.2, event("a3", "Pod", pod, "Failed", "Error: ErrImagePull", "kubelet", "Warning",
                             "node-1", path=path)),
        (second + 3, event("a4", "Pod", pod, "BackOff", f'Back-off pulling image "{IMAGE}"',
                           "kubelet", "Normal", "node-1", path=path)),
        (second + 3.2, event("a5", "Pod", pod, "Failed", "Error: ImagePullBackOff", "kubelet",
                             "Warning", "node-1", path=path)),
        (second + 6, again("a5", pod, 2)),
        (second + 10, again("a5", pod, 3)),
    ]


def crashing(second, pod):
    path = "spec.containers{worker}"
    back = (f"Back-off restarting failed container worker in pod {pod}_shop"
            "(2f356f20-6b1c-4d0f-9c55-0d7d5b0e7a11)")
    steps = [(second, event("b1", "Pod", pod, "Started", "Started container worker", "kubelet",
                            host="node-2", path=path)),
             (second + 1.5, event("b0", "Node", "node-2", "OOMKilling",
                                  "Memory cgroup out of memory: Killed process 48113 (worker) "
                                  "total-vm:1893204kB, anon-rss:262004kB, file-rss:3412kB",
                                  "kernel-monitor", "Warning", "node-2")),
             (second + 3, event("b2", "Pod", pod, "BackOff", back, "kubelet", "Warning", "node-2",
                                path=path))]
    return steps + [(second + 3 + 3 * n, again("b2", pod, n + 1)) for n in range(1, 6)]


STORY = sorted([
    (0, "web 2.8.O is rolled out; the tag has a letter O where a zero should be"),
    (0.3, event("c1", "Deployment", WEB, "ScalingReplicaSet",
                f"Scaled up replica set {BAD} from 0 to 1", "deployment-controller", api="apps/v1")),
    (0.6, event("c2", "ReplicaSet", BAD, "SuccessfulCreate", f"Created pod: {BAD}-x7k2p",
                "replicaset-controller", api="apps/v1")),
    (0.9, event("c3", "Pod", f"{BAD}-x7k2p", "Scheduled",
                f"Successfully assigned shop/{BAD}-x7k2p to node-1", "default-scheduler")),
    *pulling(1.5, f"{BAD}-x7k2p"),
    (7, "worker needs more memory than its limit: it is OOM-killed, again and again"),
    *crashing(7.3, "worker-5d9c7bb4f8-t2m9q"),
    (13, "trainer asks for a GPU that no node has"),
    (13.3, scheduling("d1", "trainer-0", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. "
                      "preemption: 0/3 nodes are available: 3 Preemption is not helpful for "
                      "scheduling.", 1)),
    (17, scheduling("d1", "trainer-0", "0/3 nodes are available: 3 Insufficient nvidia.com/gpu. "
                    "preemption: 0/3 nodes are available: 3 Preemption is not helpful for "
                    "scheduling.", 2)),
    (18, "node-3 goes away"),
    (18.3, event("e1", "Node", "node-3", "NodeNotReady", "Node node-3 status is now: NodeNotReady",
                 "node-controller", "Normal", uid="node-3")),
    (18.6, event("e2", "Pod", f"{OLD}-9qv5g", "NodeNotReady", "Node is not ready",
                 "node-controller", "Warning")),
    (18.8, event("e3", "Pod", f"{OLD}-zjwpf", "NodeNotReady", "Node is not ready",
                 "node-controller", "Warning")),
    (19.6, event("e4", "Pod", f"{OLD}-9qv5g", "TaintManagerEviction",
                 f"Marking for deletion Pod shop/{OLD}-9qv5g", "taint-eviction-controller")),
    (20, ("receiver", False)),
    (20, "the receiver of the warnings goes down: they wait, nothing else does"),
    (22, event("e5", "Node", "node-3", "NodeNotReady", "Node node-3 status is now: NodeNotReady",
               "kubelet", "Warning", "node-3", uid="node-3")),
    (23, ("receiver", True)),
    (23, "and is back: it gets what it missed, in order"),
], key=lambda step: step[0])
END = 25.5


def line(step, now, micro):
    """The line of a script for one step."""
    if step[0] == "again":
        _, name, namespace, count = step
        return f'modify {name} namespace={namespace} count={count} lastTimestamp="{now}"'
    text = json.dumps(step[1]).replace('"@now"', f'"{now}"').replace('"@micro"', f'"{micro}"')
    return f"{step[0]} {text}"
