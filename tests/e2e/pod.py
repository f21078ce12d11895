"""A pod of the API server, run here as a kubelet would: its arguments, environment and volumes, its user,
no capabilities, a read-only root, in a mount namespace of its own. Needs root."""
import base64
import os
import pathlib
import shlex
import subprocess
import time
import urllib.parse

import programs

# What the image brings along, here out of this machine.
SYSTEM = ("usr", "etc/ssl", "etc/ca-certificates", "proc", "dev")
LINKS = ("bin", "sbin", "lib", "lib64")
ENTRYPOINT = "eventrouter"
SCRIPT = """set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 root {root}
cd {root}
{mounts}
mount -o remount,bind{ro} {root}
exec chroot {root} /usr/bin/setpriv --reuid {user} --regid {group} --groups {fs_group} --no-new-privs \
    --bounding-set=-all --inh-caps=-all /{entrypoint} {arguments}
"""


def usable():
    """None, or why a pod cannot be run here."""
    if os.geteuid() != 0:
        return "not root: a pod's mounts cannot be made"
    done = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else "no mount namespace can be made: " + done.stderr.strip()


class Pod(programs.Router):
    """manifest: as the API server has it. folder: for volumes; those of claims are found again there."""

    def __init__(self, cluster, manifest, folder, name="pod"):
        self.cluster, self.manifest, self.spec = cluster, manifest, manifest["spec"]
        self.namespace = manifest["metadata"]["namespace"]
        self.folder = pathlib.Path(folder)
        self.fs_group = self.spec["securityContext"]["fsGroup"]
        self.container = next(one for one in self.spec["containers"] if one["name"] == "eventrouter")
        self.stderr, self.stdout = str(self.folder / f"{name}.err"), str(self.folder / f"{name}.out")
        script = self.script(self.folder / name)
        with open(self.stderr, "wb") as log, open(self.stdout, "wb") as out:
            self.process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], env=self.environment(),
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=log)

    # ---- objects of the API server ----

    def object(self, kind, name):
        return self.cluster.admin.insist("GET", f"/api/v1/namespaces/{self.namespace}/{kind}/{name}")

    def config_map(self, name):
        found = self.object("configmaps", name)
        return {key: text.encode() for key, text in found.get("data", {}).items()}

    def secret(self, name):
        return {key: base64.b64decode(text) for key, text in self.object("secrets", name)["data"].items()}

    def token(self, source):
        """Minted for the pod's service account, and bound to this very pod."""
        spec = {"expirationSeconds": source["expirationSeconds"], "boundObjectRef": {
            "apiVersion": "v1", "kind": "Pod", "name": self.manifest["metadata"]["name"],
            "uid": self.manifest["metadata"]["uid"]}}
        if source.get("audience"):
            spec["audiences"] = [source["audience"]]
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/{self.spec['serviceAccountName']}/token"
        return self.cluster.admin.insist("POST", path, {"spec": spec})["status"]["token"].encode()

    # ---- environment ----

    def environment(self):
        url = urllib.parse.urlsplit(self.cluster.server)
        found = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME": self.manifest["metadata"]["name"],
                 "KUBERNETES_SERVICE_HOST": url.hostname, "KUBERNETES_SERVICE_PORT": str(url.port)}
        for one in self.container.get("env", []):
            source = one.get("valueFrom", {})
            if source:
                ref = source["secretKeyRef"]
                found[one["name"]] = self.secret(ref["name"])[ref["key"]].decode()
            else:
                found[one["name"]] = one["value"]
        return found

    # ---- volumes ----

    def write(self, folder, files, mode):
        """Files of a volume, as the kubelet leaves them: root's, readable by the pod's group."""
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(mode | 0o440)
            os.chown(path, 0, self.fs_group)

    def files(self, source):
        """{path: content} of a source of a projected volume."""
        kind, what = next(iter(source.items()))
        if kind == "serviceAccountToken":
            token = self.token(what)
            if not what.get("audience"):
                self.token_text = token.decode()
            return {what["path"]: token}
        if kind == "downwardAPI":
            assert [item["fieldRef"]["fieldPath"] for item in what["items"]] == ["metadata.namespace"]
            return {what["items"][0]["path"]: self.namespace.encode()}
        content = {"configMap": self.config_map, "secret": self.secret}[kind](what["name"])
        return {item["path"]: content[item["key"]] for item in what["items"]}

    def volume(self, volume, base):
        """The folder of a volume."""
        claim = volume.get("persistentVolumeClaim")
        folder = self.folder / f"claim-{claim['claimName']}" if claim else base / volume["name"]
        folder.mkdir(parents=True, exist_ok=True)
        if "configMap" in volume:
            self.write(folder, self.config_map(volume["configMap"]["name"]), volume["configMap"]["defaultMode"])
        elif "projected" in volume:
            for source in volume["projected"]["sources"]:
                self.write(folder, self.files(source), volume["projected"]["defaultMode"])
        else:
            assert claim or "emptyDir" in volume, volume
            os.chown(folder, 0, self.fs_group)
            folder.chmod(0o2770)
        return folder

    def script(self, base):
        lines = []

        def mount(source, target, flags=""):
            lines.append(f"mkdir -p .{shlex.quote(target)}" if os.path.isdir(source) else
                         f"mkdir -p .{shlex.quote(os.path.dirname(target))}; touch .{shlex.quote(target)}")
            lines.append(f"mount --rbind {shlex.quote(str(source))} .{shlex.quote(target)}")
            if flags:
                lines.append(f"mount -o remount,bind,{flags} .{shlex.quote(target)}")

        lines += [f"ln -s usr/{link} {link}" for link in LINKS if os.path.islink(f"/{link}")]
        lines += ["mkdir -p run var", "ln -s ../run var/run"]
        for system in SYSTEM:
            if os.path.exists(f"/{system}"):
                mount(f"/{system}", f"/{system}")
        mount(os.path.realpath(os.path.join(programs.BIN_DIR, "eventrouter")), f"/{ENTRYPOINT}", "ro")
        volumes = {one["name"]: self.volume(one, base) for one in self.spec["volumes"]}
        for one in self.container["volumeMounts"]:
            mount(volumes[one["name"]], one["mountPath"].replace("/var/run/", "/run/"),
                  "ro" if one.get("readOnly") else "")
        root = base / "root"
        root.mkdir(parents=True)
        context = {**self.spec["securityContext"], **self.container["securityContext"]}
        assert context["runAsNonRoot"] and context["runAsUser"] > 0
        assert context["capabilities"] == {"drop": ["ALL"]} and context["allowPrivilegeEscalation"] is False
        return SCRIPT.format(root=root, mounts="\n".join(lines), user=context["runAsUser"],
                             group=context["runAsGroup"], fs_group=self.fs_group, entrypoint=ENTRYPOINT,
                             ro=",ro" if context["readOnlyRootFilesystem"] else "",
                             arguments=shlex.join(self.container["args"]))

    def assert_confined(self):
        """It runs as the security contexts say."""
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        user, group = self.spec["securityContext"]["runAsUser"], self.spec["securityContext"]["runAsGroup"]
        assert (status["Uid"].split(), status["Gid"].split()) == ([str(user)] * 4, [str(group)] * 4)
        assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {16 * "0"}
        assert status["NoNewPrivs"] == "1"
        assert f"{self.fs_group}" in status["Groups"].split()
        root = f"/proc/{self.process.pid}/root"
        flags = os.statvfs(root).f_flag
        assert flags & os.ST_RDONLY

    # ---- what a kubelet asks ----

    def probe(self, name):
        """The status that a probe of the container gets now; None while nobody listens."""
        http = self.container[name]["httpGet"]
        port = next(one["containerPort"] for one in self.container["ports"] if one["name"] == http["port"])
        listening = self.admin_port()
        if listening is None:
            return None
        assert listening == port
        return self.get(http["path"])[0]

    def wait_ready(self, limit=30):
        end = time.monotonic() + limit
        while self.probe("readinessProbe") != 200:
            assert self.process.poll() is None, f"the router ended: {self.tail()}"
            assert time.monotonic() < end, f"the router is not ready: {self.tail()}"
            time.sleep(0.02)
        assert self.probe("startupProbe") == self.probe("livenessProbe") == 200
