"""Credentials for the API server: exec plugins, certificates that are replaced, proxies."""
import json
import os
import socket
import ssl
import subprocess
import time
import urllib.parse

import pytest

from conftest import BIN, keys
from pki import make_ca, make_cert
from relay import HttpProxy, SocksProxy, TlsRelay

V1 = "client.authentication.k8s.io/v1"
UNREACHABLE = "cannot reach the API server"


class Plugin:
    """An exec plugin: a shell script in a folder of its own, which counts its runs in "runs" and
    by default answers with what the file "status" holds."""

    def __init__(self, directory, status, script="cat answer"):
        self.directory = directory
        directory.mkdir()
        self.path = directory / "plugin"
        self.say(status)
        self.write(script)

    def write(self, script):
        text = f"#!/bin/sh\ncd {self.directory}\necho $$ >>runs\n{script}\n"
        self.replace("plugin", text, 0o700)

    def say(self, status):
        self.replace("answer", json.dumps(
            {"kind": "ExecCredential", "apiVersion": V1, "status": status}))

    def replace(self, name, text, mode=0o600):
        fresh = self.directory / "next"
        fresh.write_text(text)
        fresh.chmod(mode)
        fresh.rename(self.directory / name)

    def runs(self):
        """The process of each run."""
        path = self.directory / "runs"
        return path.read_text().split() if path.exists() else []

    def kube(self, **cluster):
        return {"cluster": cluster, "user": {"exec": {
            "apiVersion": V1, "command": str(self.path), "args": None, "env": None,
            "interactiveMode": "IfAvailable", "provideClusterInfo": True}}}


def is_running(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition, limit=20.0):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def ends_with_all(fake, r):
    number = len(fake.versions())
    fake.wait(f"sink a records >= {number}")
    r.wait_metric(lambda v: v == number, "sink_delivered_total", sink="a")
    assert r.stop() == 0
    assert keys(fake.records("a")) == fake.versions()


# ---- exec plugins --------------------------------------------------------------------------------

def test_token_is_rotated(fake, router, hook, tmp_path):
    """Refused with its old token, it runs the plugin once more; nothing is lost."""
    plugin = Plugin(tmp_path / "bin", {"token": "s3cret-1"})
    fake.script('token "s3cret-1"\nput a.1')
    r = router(sinks={"a": hook("a")}, kube=plugin.kube())
    fake.wait("watches open >= 1")
    assert len(plugin.runs()) == 1
    plugin.say({"token": "s3cret-2"})
    fake.script('token "s3cret-2"\nput b.1\nwatches clean\nput c.1')
    ends_with_all(fake, r)
    assert len(plugin.runs()) == 2
    assert not any("s3cret" in json.dumps(line) for line in r.lines)


def test_token_expires(fake, router, hook, tmp_path):
    """It is renewed before it ends: the server refuses nothing."""
    plugin = Plugin(tmp_path / "bin", {"token": "first"})
    plugin.write('end=$(date -u -d "+4 seconds" +%Y-%m-%dT%H:%M:%SZ)\n'
                 f"""echo '{{"kind":"ExecCredential","apiVersion":"{V1}","status":{{'"""
                 """'"token":"same","expirationTimestamp":"'$end'"}}'""")
    fake.script('token "same"\nput a.1')
    r = router(sinks={"a": hook("a")}, kube=plugin.kube(), watch={"timeout": "1s"})
    wait_until(lambda: len(plugin.runs()) >= 2)
    fake.script("put b.1")
    ends_with_all(fake, r)
    assert {request["status"] for request in fake.log()} <= {200, 404}


def test_many_streams_share_one_run(fake, router, hook, tmp_path):
    plugin = Plugin(tmp_path / "bin", {"token": "t"}, "sleep 0.2; cat answer")
    names = [f"ns-{n}" for n in range(32)]
    fake.script('token "t"\n' + "\n".join(f"put {name} namespace={name}" for name in names))
    r = router(sinks={"a": hook("a")}, kube=plugin.kube(), kubernetes={"namespaces": names})
    fake.wait("watches open >= 32")
    fake.wait("sink a records >= 32")
    assert len(plugin.runs()) == 1
    assert r.stop() == 0
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())


def test_plugin_hangs_at_the_start(fake, router, hook, tmp_path):
    """Not ready, but alive; it ends in time, and so does the plugin."""
    plugin = Plugin(tmp_path / "bin", {}, "sleep 1000 & echo $! >>runs; exec sleep 1000")
    r = router(sinks={"a": hook("a")}, kube=plugin.kube(), shutdown={"grace": "20s"})
    wait_until(lambda: len(plugin.runs()) == 2)
    assert r.get("/readyz")[0] == 503
    assert r.get("/livez")[0] == 200
    assert all(map(is_running, plugin.runs()))
    began = time.monotonic()
    assert r.stop() == 0
    assert time.monotonic() - began < 5
    wait_until(lambda: not any(map(is_running, plugin.runs())))
    assert fake.log() == []


def test_plugin_fails_and_recovers(fake, router, hook, tmp_path):
    plugin = Plugin(tmp_path / "bin", {"token": "t"}, "echo 'log in first' >&2; exit 2")
    fake.script('token "t"\nput a.1')
    r = router(sinks={"a": hook("a")}, kube=plugin.kube())
    error = r.wait_log(UNREACHABLE)["error"]
    assert error == f'the exec plugin {plugin.path} of user "fake": ended with exit code 2: log in first'
    assert r.get("/readyz")[0] == 503
    assert fake.log() == []
    plugin.write("cat answer")
    ends_with_all(fake, r)


def check_cluster(tmp_path, kube, **env):
    (tmp_path / "kubeconfig").write_text(json.dumps({
        "current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://k.example", **kube["cluster"]}}],
        "users": [{"name": "u", "user": kube["user"]}]}))
    (tmp_path / "x.yaml").write_text("sinks: {a: {type: stdout}}\n")
    done = subprocess.run([BIN / "eventrouter", "check", "-c", "x.yaml", "--cluster"], cwd=tmp_path,
                          env={**os.environ, "KUBECONFIG": ":no-such:kubeconfig:", **env},
                          capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_check_says_which_credentials(tmp_path):
    """The plugin is looked for, and not run."""
    plugin = Plugin(tmp_path / "bin", {"token": "s3cret"})
    code, out, _ = check_cluster(
        tmp_path, plugin.kube(**{"insecure-skip-tls-verify": True}),
        HTTPS_PROXY="http://user:s3cret@p.example:3128", NO_PROXY="10.0.0.0/8")
    assert (code, out) == (0, "API server:  https://k.example\n"
                              "credentials: kubeconfig, context c\n"
                              f"user:        exec plugin {plugin.path} ({V1}), found, not run\n"
                              "proxy:       http://p.example:3128 (HTTPS_PROXY)\n"
                              "TLS:         the server's certificate is not verified\n")
    assert plugin.runs() == []
    kube = plugin.kube()
    kube["user"]["exec"] |= {"command": "no-such-plugin", "installHint": "Ask\nyour admin."}
    code, out, error = check_cluster(tmp_path, kube)
    assert (code, out) == (2, "")
    assert error.splitlines()[-1] == (
        'kubernetes: KUBECONFIG: kubeconfig: the exec plugin no-such-plugin of user "u" is not found '
        "in PATH; install it: Ask your admin.")
    code, out, _ = check_cluster(tmp_path, {"cluster": {}, "user": {"token": "s3cret", "as": "ann"}})
    assert (code, out) == (0, "API server:  https://k.example\ncredentials: kubeconfig, context c\n"
                              "user:        token in the kubeconfig, as ann\n")


# ---- TLS -----------------------------------------------------------------------------------------

@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    directory = tmp_path_factory.mktemp("pki")
    for ca in ("ca", "other-ca"):
        make_ca(directory, ca)
    for name, ca, names in (
            ("address", "ca", "IP:127.0.0.1"), ("other-address", "other-ca", "IP:127.0.0.1"),
            ("name", "ca", "DNS:kube.example"), ("proxy", "ca", "IP:127.0.0.1"),
            ("client", "ca", "DNS:client.example"), ("other-client", "other-ca", "DNS:c.example")):
        make_cert(directory, name, ca, names)
    return directory


def context(pki, cert, client_ca=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(pki / f"{cert}.pem", pki / f"{cert}.key")
    if client_ca is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(pki / f"{client_ca}.pem")
    return made


@pytest.fixture
def relay(fake):
    """relay(kind, ...): one in front of the fake API server, closed at the end."""
    started = []

    def start(kind, *arguments, target=None, **more):
        started.append(kind(target or urllib.parse.urlsplit(fake.api).port, *arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


def install(source, target):
    """Puts the file in place as kubelet and cert-manager do: whole."""
    fresh = target.with_suffix(".next")
    fresh.write_bytes(source.read_bytes())
    fresh.rename(target)


def mutual(pki, tmp_path):
    """(certificate, key, kube): the client's pair in files that a test replaces."""
    cert, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    install(pki / "client.pem", cert)
    install(pki / "client.key", key)
    return cert, key, {"cluster": {"certificate-authority": str(pki / "ca.pem")},
                       "user": {"client-certificate": str(cert), "client-key": str(key)}}


def test_client_certificate_is_replaced(fake, router, hook, relay, pki, tmp_path):
    """The server trusts another authority from now on; the files were replaced before."""
    tls = relay(TlsRelay, context(pki, "address", "ca"))
    cert, key, kube = mutual(pki, tmp_path)
    fake.script("put a.1")
    r = router(server=f"https://127.0.0.1:{tls.port}", sinks={"a": hook("a")}, kube=kube)
    fake.wait("watches open >= 1")
    install(pki / "other-client.pem", cert)
    install(pki / "other-client.key", key)
    tls.context = context(pki, "address", "other-ca")
    fake.script("put b.1\nwatches clean\nput c.1")
    ends_with_all(fake, r)
    names = tls.notes()
    assert set(names) == {"client", "other-client"} and names == sorted(names)
    assert r.logged("the watch failed") == []


def test_client_certificate_is_replaced_during_the_handshake(fake, router, hook, relay, pki,
                                                             tmp_path):
    """It is refused with the old files; since they are new by then, it tries again at once."""
    tls = relay(TlsRelay, context(pki, "address", "other-ca"))
    tls.gate.clear()
    cert, key, kube = mutual(pki, tmp_path)
    fake.script("put a.1")
    r = router(server=f"https://127.0.0.1:{tls.port}", sinks={"a": hook("a")}, kube=kube)
    assert tls.waiting.wait(20)
    install(pki / "other-client.pem", cert)
    install(pki / "other-client.key", key)
    tls.gate.set()
    ends_with_all(fake, r)
    assert r.logged(UNREACHABLE) == []
    assert set(tls.notes()) == {"other-client"}


def test_ca_is_replaced(fake, router, hook, relay, pki, tmp_path):
    tls = relay(TlsRelay, context(pki, "address"))
    ca = tmp_path / "ca.crt"
    install(pki / "ca.pem", ca)
    fake.script('token "a-token"\nput a.1')
    r = router(server=f"https://127.0.0.1:{tls.port}", sinks={"a": hook("a")}, kube={
        "cluster": {"certificate-authority": str(ca)}, "user": {"token": "a-token"}})
    fake.wait("watches open >= 1")
    tls.context = context(pki, "other-address")  # first the server, so that the old CA is in use
    fake.script("watches reset\nput b.1")
    assert "certificate" in r.wait_log("cannot probe the API server")["error"]
    install(pki / "other-ca.pem", ca)
    ends_with_all(fake, r)


def test_ca_is_replaced_during_the_handshake(fake, router, hook, relay, pki, tmp_path):
    tls = relay(TlsRelay, context(pki, "other-address"))
    tls.gate.clear()
    ca = tmp_path / "ca.crt"
    install(pki / "ca.pem", ca)
    fake.script("put a.1")
    r = router(server=f"https://127.0.0.1:{tls.port}", sinks={"a": hook("a")}, kube={
        "cluster": {"certificate-authority": str(ca)}})
    assert tls.waiting.wait(20)
    install(pki / "other-ca.pem", ca)
    tls.gate.set()
    ends_with_all(fake, r)
    assert r.logged(UNREACHABLE) == []


def test_plugin_gives_certificates(fake, router, hook, relay, pki, tmp_path):
    """With a new certificate, new connections are made; a refused one makes the plugin run again."""
    def status(name):
        return {"clientCertificateData": (pki / f"{name}.pem").read_text(),
                "clientKeyData": (pki / f"{name}.key").read_text()}

    plugin = Plugin(tmp_path / "bin", status("client"))
    tls = relay(TlsRelay, context(pki, "address", "ca"))
    fake.script("put a.1")
    r = router(server=f"https://127.0.0.1:{tls.port}", sinks={"a": hook("a")},
               kube=plugin.kube(**{"certificate-authority": str(pki / "ca.pem")}))
    fake.wait("watches open >= 1")
    assert len(plugin.runs()) == 1
    plugin.say(status("other-client"))
    tls.context = context(pki, "address", "other-ca")
    fake.script("watches reset\nput b.1")
    ends_with_all(fake, r)
    assert len(plugin.runs()) == 2
    names = tls.notes()
    assert set(names) == {"client", "other-client"} and names == sorted(names)


def test_insecure_is_said(fake, router, hook, relay, pki):
    tls = relay(TlsRelay, context(pki, "other-address"))
    fake.script("put a.1")
    r = router(server=f"https://127.0.0.1:{tls.port}", sinks={"a": hook("a")},
               kube={"cluster": {"insecure-skip-tls-verify": True}})
    ends_with_all(fake, r)
    assert [line["severity"] for line in r.lines if "is not verified" in line["message"]] == ["WARNING"]


# ---- proxies -------------------------------------------------------------------------------------

def test_connect_with_a_server_name(fake, router, hook, relay, pki):
    """The proxy is asked for the server's own name and gets its own password; the token and the
    name of the certificate are for the server."""
    tls = relay(TlsRelay, context(pki, "name"))
    proxy = relay(HttpProxy, target=tls.port)
    fake.script('token "s3cret"\nput a.1')
    r = router(server="https://cluster.invalid:6443", sinks={"a": hook("a")}, token="s3cret",
               kube={"cluster": {"certificate-authority": str(pki / "ca.pem"),
                                 "tls-server-name": "kube.example",
                                 "proxy-url": f"http://us%40er:pass@127.0.0.1:{proxy.port}"}})
    ends_with_all(fake, r)
    heads = proxy.notes()
    assert heads
    for head in heads:
        lines = head.rstrip("\r\n").split("\r\n")
        assert lines[0] == "CONNECT cluster.invalid:6443 HTTP/1.1"
        assert "Proxy-Authorization: Basic dXNAZXI6cGFzcw==" in lines  # us@er:pass
        assert not any(line.lower().startswith("authorization:") for line in lines)
    assert not any("pass@" in json.dumps(line) for line in r.lines)


def test_https_proxy_is_trusted_by_the_cluster_ca(fake, router, hook, relay, pki):
    tls = relay(TlsRelay, context(pki, "name"))
    proxy = relay(HttpProxy, target=tls.port, tls=context(pki, "proxy"))
    fake.script("put a.1")
    r = router(server="https://kube.example", sinks={"a": hook("a")},
               kube={"cluster": {"certificate-authority": str(pki / "ca.pem"),
                                 "proxy-url": f"https://127.0.0.1:{proxy.port}"}})
    ends_with_all(fake, r)
    assert {head.split("\r\n")[0] for head in proxy.notes()} == {"CONNECT kube.example:443 HTTP/1.1"}


def test_socks_proxy_looks_up_the_name(fake, router, hook, relay):
    proxy = relay(SocksProxy)
    fake.script("put a.1")
    r = router(server="http://cluster.invalid:8001", sinks={"a": hook("a")},
               kube={"cluster": {"proxy-url": f"socks5://127.0.0.1:{proxy.port}"}})
    ends_with_all(fake, r)
    assert set(proxy.notes()) == {(3, "cluster.invalid", 8001)}


def test_proxy_of_the_environment(fake, router, hook, relay):
    proxy = relay(HttpProxy)
    fake.script("put a.1")
    r = router(server="http://cluster.invalid", sinks={"a": hook("a")},
               env={"HTTP_PROXY": f"127.0.0.1:{proxy.port}", "HTTPS_PROXY": "http://127.0.0.1:1",
                    "NO_PROXY": "other.invalid"})
    ends_with_all(fake, r)
    assert all(head.startswith("GET http://cluster.invalid/") for head in proxy.notes())


def test_proxy_is_away(fake, router, hook):
    """It is said that the proxy is meant."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    fake.script("put a.1")
    r = router(server="http://cluster.invalid:8001", sinks={"a": hook("a")},
               kube={"cluster": {"proxy-url": f"http://127.0.0.1:{port}"}})
    error = r.wait_log(UNREACHABLE)["error"]
    assert error == (f"cannot connect to cluster.invalid:8001 through the proxy http://127.0.0.1:{port}: "
                     "connection refused")
    assert fake.log() == []
