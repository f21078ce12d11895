"""Exec plugins against a real API server: the same kubeconfig that kubectl takes.

One gives tokens of a service account, which is then made anew, so that the server refuses its old
token; the other gives client certificates of the cluster's authority."""
import base64
import json
import os
import subprocess

import kube
from kube import EventWatch
from test_events import CONFIG, WATCH_EVENTS

V1 = "client.authentication.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
EVENTS = "/api/v1/namespaces/default/events"


class Plugin:
    """A shell script that counts its runs and answers with the file "answer"."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.path = folder / "plugin"
        self.path.write_text(f"#!/bin/sh\ncd {folder}\necho run >>runs\n"
                             'printf %s "$KUBERNETES_EXEC_INFO" >info\ncat answer\n')
        self.path.chmod(0o700)

    def say(self, **status):
        fresh = self.folder / "next"
        fresh.write_text(json.dumps({"kind": "ExecCredential", "apiVersion": V1, "status": status}))
        fresh.rename(self.folder / "answer")

    def runs(self):
        return len((self.folder / "runs").read_text().split())

    def kubeconfig(self, cluster):
        with open(cluster.ca_file, "rb") as file:
            ca_data = base64.b64encode(file.read()).decode()
        path = self.folder / "kubeconfig"
        path.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "e2e",
            "clusters": [{"name": "e2e", "cluster": {
                "server": cluster.server, "certificate-authority-data": ca_data}}],
            "users": [{"name": "plugin", "user": {"exec": {
                "apiVersion": V1, "command": "./plugin", "args": None, "env": None,
                "interactiveMode": "IfAvailable", "provideClusterInfo": True}}}],
            "contexts": [{"name": "e2e", "context": {"cluster": "e2e", "user": "plugin"}}]}))
        return path


def write_event(cluster, name):
    cluster.admin.insist("POST", EVENTS, {
        "metadata": {"name": name}, "type": "Warning", "reason": "Testing", "message": name,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "namespace": "default", "name": "web"}})


def check_as_kubectl(plugin):
    """kubectl may do with the kubeconfig what the router may; what both told the plugin."""
    program = os.path.join(os.path.dirname(kube.programs()), "kubectl")
    done = subprocess.run([program, "--kubeconfig", plugin.folder / "kubeconfig", "get", "events",
                           "-A", "-o", "name"], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads((plugin.folder / "info").read_text())


def arrive(watch, receiver, limit=30):
    """All versions that the test's own watch has seen."""
    watch.wait_level()
    events = watch.listed + [event for kind, event in watch.frames if kind != "DELETED"]
    ids = {f"{e['metadata']['uid']}-{e['metadata']['resourceVersion']}" for e in events}
    assert receiver.wait_for(ids, limit) == set()


def new_token(cluster, name):
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    answer = cluster.admin.insist("POST", f"{accounts}/{name}/token",
                                  {"spec": {"expirationSeconds": 3600}})
    return answer["status"]["token"]


def test_token_of_a_plugin(cluster, receiver, start_router, tmp_path):
    cluster.service_account("by-plugin", WATCH_EVENTS)
    plugin = Plugin(tmp_path / "bin")
    plugin.say(token=new_token(cluster, "by-plugin"))
    kubeconfig = plugin.kubeconfig(cluster)
    theirs = check_as_kubectl(plugin)
    watch = EventWatch(cluster.admin)
    router = start_router(CONFIG.format(kubeconfig=kubeconfig, url=receiver.url))
    router.wait_ready()
    assert json.loads((plugin.folder / "info").read_text()) == theirs
    assert plugin.runs() == 2
    write_event(cluster, "before")
    arrive(watch, receiver)
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    cluster.admin.insist("DELETE", f"{accounts}/by-plugin")
    cluster.admin.insist("POST", accounts, {"metadata": {"name": "by-plugin"}})
    plugin.say(token=new_token(cluster, "by-plugin"))
    write_event(cluster, "meanwhile")
    # The server remembers for some seconds that the token was good; each watch asks again.
    while plugin.runs() == 2:
        assert router.process.poll() is None
        write_event(cluster, f"meanwhile-{len(watch.frames)}")
    write_event(cluster, "after")
    arrive(watch, receiver)
    watch.stop()
    assert plugin.runs() == 3
    assert router.stop() == 0
    router.ledger()
    assert any(line.get("status") == 401 for line in router.log())


def test_certificate_of_a_plugin(cluster, receiver, start_router, tmp_path):
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    folder = cluster.folder
    key, request, cert = (tmp_path / f"user.{end}" for end in ("key", "csr", "crt"))
    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", "/CN=cert-user", "-keyout", key, "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", f"{folder}/ca.crt", "-CAkey", f"{folder}/ca.key",
            "-CAcreateserial", "-days", "2", "-out", cert)
    cluster.admin.insist("POST", f"{RBAC}/clusterroles",
                         {"metadata": {"name": "cert-user"}, "rules": WATCH_EVENTS})
    cluster.admin.insist("POST", f"{RBAC}/clusterrolebindings", {
        "metadata": {"name": "cert-user"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cert-user"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "cert-user"}]})
    plugin = Plugin(tmp_path / "bin")
    plugin.say(clientCertificateData=cert.read_text(), clientKeyData=key.read_text())
    kubeconfig = plugin.kubeconfig(cluster)
    check_as_kubectl(plugin)
    watch = EventWatch(cluster.admin)
    router = start_router(CONFIG.format(kubeconfig=kubeconfig, url=receiver.url))
    router.wait_ready()
    write_event(cluster, "certified")
    arrive(watch, receiver)
    watch.stop()
    assert plugin.runs() == 2
    assert router.stop() == 0
    router.ledger()
