"""The alerts as Prometheus sees them: it scrapes a router in trouble and evaluates charts/eventrouter/alerts.

Only the times are shortened: every `for` is 0, windows are 20 s, ages of minutes are 3 s."""
import json
import pathlib
import re
import socket
import subprocess
import time
import urllib.request

import pytest

from fake import Fake

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = [ROOT / "build/tools/prometheus", pathlib.Path("/usr/bin/prometheus")]
LIMIT = 60
SHORTER = [(r"for: \d+m", "for: 0s"), (r"\[\d+m\]", "[20s]"), (r"offset \d+m", "offset 20s"), (r"> (120|300|600|900) # threshold", "> 3 # threshold")]
CONFIG = """
cluster: test
admin: {{listen: "127.0.0.1:0"}}
kubernetes: {{kubeconfig: "{folder}/kubeconfig"}}
shutdown: {{grace: 100ms}}
state: {{path: "{folder}/kubeconfig"}}
watch:
  timeout: 2s
  idleTimeout: 2500ms
  backoff: {{initial: 20ms, max: 200ms}}
  maxSeries: 5
  deployments: {{enabled: true, metrics: true, maxReplicas: [{{deployment: "*/*", max: 4}}]}}
  pods: {{enabled: true, metrics: true}}
sinks:
  denies: {{type: webhook, url: "{url}/denies", {common}}}
  refuses: {{type: webhook, url: "{url}/refuses", {common}}}
  hangs: {{type: webhook, url: "{url}/hangs", queue: {{records: 20, overflow: drop_oldest}}, {common}}}
  well: {{type: webhook, url: "{url}/well", queue: {{records: 3}}, {common}}}
"""
COMMON = "retry: {initial: 10ms, max: 80ms}, timeout: {request: 60s}"


class Prometheus:
    """One that scrapes a port every half second."""

    def __init__(self, program, folder, target):
        rules = []
        for path in sorted((ROOT / "charts/eventrouter/alerts").glob("*.yaml")):
            text = path.read_text()
            for pattern, shorter in SHORTER:
                text = re.sub(pattern, shorter, text)
            rules.append(str(folder / path.name))
            pathlib.Path(rules[-1]).write_text(text)
        (folder / "prometheus.json").write_text(json.dumps({
            "global": {"scrape_interval": "500ms", "evaluation_interval": "500ms"}, "rule_files": rules,
            "scrape_configs": [{"job_name": "eventrouter", "honor_labels": True,
                                "static_configs": [{"targets": [f"127.0.0.1:{target}"]}]}]}))
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        with open(folder / "prometheus.log", "wb") as log:
            self.process = subprocess.Popen(
                [program, f"--config.file={folder}/prometheus.json", f"--storage.tsdb.path={folder}/data",
                 f"--web.listen-address={self.url.removeprefix('http://')}"], stdout=log, stderr=log)

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

    def firing(self):
        """{(alert, what it is about)}"""
        try:
            alerts = self.get("alerts")["alerts"]
        except OSError:
            return set()  # not listening yet
        return {(one["labels"]["alertname"], next((one["labels"][key] for key in (
            "sink", "container", "deployment", "metric", "watch") if key in one["labels"]), ""))
                for one in alerts if one["state"] == "firing"}

    def wait(self, wanted):
        """Until these fire, whatever else does."""
        end = time.monotonic() + LIMIT
        while not wanted <= (found := self.firing()):
            assert time.monotonic() < end, (wanted - found, found)
            time.sleep(0.1)
        return found


    def wait_end(self, unwanted):
        """Until none of these fires."""
        end = time.monotonic() + LIMIT
        while unwanted & (found := self.firing()):
            assert time.monotonic() < end, found
            time.sleep(0.1)


@pytest.fixture
def scene(start_router, tmp_path):
    """(fake, router, Prometheus): three of four sinks in trouble, and a state store that is no directory."""
    program = next((path for path in TOOLS if path.exists()), None)
    if program is None:
        pytest.skip("no Prometheus: ./dev e2e takes it out of Debian's package prometheus")
    fake = Fake()
    fake.kubeconfig(tmp_path / "kubeconfig")
    fake.script("sink denies answer 401\nsink refuses answer 400\nsink hangs hang\n"
                "put deployments/web namespace=shop\nput pods/web-1 namespace=shop\nput one.1")
    router = start_router(CONFIG.format(folder=tmp_path, url=fake.sinks, common=COMMON))
    router.wait_ready()
    prometheus = Prometheus(program, tmp_path, router.admin_port())
    yield fake, router, prometheus
    prometheus.process.terminate()
    prometheus.process.wait(LIMIT)
    fake.close()


def test_alerts_of_troubles(scene):
    fake, router, prometheus = scene
    watches = ("events", "deployments", "pods")
    standing = {("EventrouterSinkDenied", "denies"), ("EventrouterRecordsRejected", "refuses"),  # before it was scraped
                ("EventrouterStateUnusable", ""),
                *(("EventrouterSinkSlow", sink) for sink in ("denies", "hangs")),
                *(("EventrouterSinkStalled", sink) for sink in ("denies", "hangs")),
                *(("EventrouterResumePointOld", watch) for watch in watches)}  # each has a gap record to deliver
    gaps = {("EventrouterGap", watch) for watch in watches}  # noState, counted before it was scraped
    assert prometheus.wait(standing | gaps) == standing | gaps
    fake.script("burst 40 rate 100\nmodify deployments/web namespace=shop spec.replicas=5")
    for count in range(1, 9):
        fake.script("modify pods/web-1 namespace=shop status.containerStatuses="
                    f'[{{"name":"main","restartCount":{count}}}]\nsleep 600ms')
    changed = {("EventrouterRecordsLost", "hangs"), ("EventrouterRecordsRejected", "refuses"),
               ("EventrouterQueueNearFull", "hangs"), ("WorkloadContainerRestarts", "main"),
               ("WorkloadRolloutStuck", "web"), ("WorkloadReplicasOverMaximum", "web")}
    assert prometheus.wait(standing | changed) - gaps == standing | changed
    fake.script("put deployments/more namespace=shop")
    prometheus.wait({("WorkloadMetricsCapped", "deployment_replicas_desired")})
    fake.script("sink well hang\nburst 9 prefix more")
    prometheus.wait({("EventrouterWatchBlocked", "well"), ("EventrouterQueueNearFull", "well")})
    fake.script("sink well resume\nsink well clear")
    for _ in range(12):
        fake.script("watches reset\nsleep 400ms")
    prometheus.wait({("EventrouterWatchFlapping", watch) for watch in watches})
    prometheus.wait_end(gaps)
    fake.script("fault watch delay 2500ms\nwatches reset\nmodify one.1\nmodify one.1\ncompact now")
    prometheus.wait({("EventrouterGap", "events")})
    fake.script("api refuse\napi cut")
    prometheus.wait({("EventrouterWatchStale", watch) for watch in watches})
    assert {rule["health"] for group in prometheus.get("rules")["groups"] for rule in group["rules"]} == {"ok"}
    assert not any(name in ("EventrouterDown", "EventrouterTwoRouters", "EventrouterRestarting",
                            "EventrouterMemoryNearLimit") for name, _ in prometheus.firing())
    router.kill()
    prometheus.wait({("EventrouterDown", "")})
