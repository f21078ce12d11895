"""A real OpenSearch node on loopback, from its jars (Maven), and the fields of ECS (npm)."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import programs

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
VERSION = "2.19.3"
HOME = CACHE / f"eventrouter-e2e/opensearch-{VERSION}"
ECS = CACHE / "eventrouter-e2e/ecs"
START_LIMIT = 120
JAVA = ["java", "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
        "-XX:-UsePerfData", "-Dopensearch.set.netty.runtime.available.processors=false",
        "-Dlog4j2.disable.jmx=true"]
SETTINGS = {"node.name": "node", "cluster.name": "e2e", "discovery.type": "single-node",
            "network.host": "127.0.0.1", "node.processors": 2,
            # else a disk that is nearly full would block writing
            "cluster.routing.allocation.disk.threshold_enabled": "false"}


def run(command, **more):
    """None, or the end of what a command that failed said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    return (done.stdout + done.stderr).strip()[-300:] if done.returncode else None


def why_not():
    """None when the server is there; else the reason why it cannot be had."""
    for tool in ("java", "javac", "mvn"):
        if not shutil.which(tool):
            return f"no {tool}: OpenSearch needs a JDK 17 and Maven"
    if HOME.exists():
        return None
    fresh = HOME.with_suffix(".fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    (fresh / "libs").mkdir(parents=True)
    shutil.copy(HERE / "real/opensearch/pom.xml", fresh)
    failed = run(["mvn", "-q", "-B", "-f", fresh / "pom.xml", "dependency:copy-dependencies",
                  f"-DoutputDirectory={fresh}/libs", "-DincludeScope=runtime"])
    if not failed:
        failed = run(["javac", "-nowarn", "-cp", f"{fresh}/libs/*", "-d", fresh / "classes",
                      HERE / "real/opensearch/SingleNode.java"])
    if failed:
        return f"OpenSearch {VERSION} cannot be had: {failed}"
    fresh.rename(HOME)
    return None


def ecs_fields():
    """Name to definition of every field of ECS; a text says why they cannot be had."""
    for tool in ("node", "npm"):
        if not shutil.which(tool):
            return f"no {tool}: the fields of ECS come from npm"
    wanted = (HERE / "real/ecs/package-lock.json").read_bytes()
    stamp = ECS / "installed-lock.json"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        ECS.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "real/ecs" / name, ECS)
        failed = run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=ECS)
        if failed:
            return f"the fields of ECS cannot be had: {failed}"
        stamp.write_bytes(wanted)
    printed = subprocess.run(
        ["node", "-e", "console.log(JSON.stringify(require('@elastic/ecs').EcsFlat))"], cwd=ECS,
        capture_output=True, text=True, check=True).stdout
    return json.loads(printed)


def strict_mapping(fields):
    """The mapping of these fields and no others."""
    root = {"dynamic": "strict", "properties": {}}
    # OpenSearch has other names for, or none of, what is only a finer kind of the same
    plain = {"constant_keyword": "keyword", "match_only_text": "text", "flattened": "flat_object",
             "scaled_float": "double"}
    for name, field in sorted(fields.items()):
        *parents, last = name.split(".")
        at = root["properties"]
        for parent in parents:
            at = at.setdefault(parent, {"properties": {}}).setdefault("properties", {})
        kind = plain.get(field["type"], field["type"])
        if kind == "object" and field.get("object_type") == "keyword":  # labels
            at[last] = {"type": "object", "dynamic": True}
        elif kind == "object":
            at.setdefault(last, {}).setdefault("properties", {})
        else:
            at[last] = {"type": kind, **{key: field[key] for key in
                                         ("ignore_above", "index", "doc_values") if key in field}}
    root["dynamic_templates"] = [{"labels": {"path_match": "labels.*",
                                             "mapping": {"type": "keyword", "ignore_above": 1024}}}]
    return root


class OpenSearch:
    def __init__(self, folder, **settings):
        self.folder = folder
        self.port, transport = programs.free_ports(2)
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = {**SETTINGS, "http.port": self.port, "transport.port": transport, **settings}
        for name in ("config", "tmp"):
            (folder / name).mkdir(exist_ok=True)
        self.process = None
        self.start()

    def start(self, **more):
        """Returns when it answers."""
        settings = [f"{key}={value}" for key, value in {**self.settings, **more}.items()]
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                [*JAVA, f"-Djava.io.tmpdir={self.folder}/tmp", "-cp",
                 f"{HOME}/classes:{HOME}/libs/*", "SingleNode", self.folder, *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + START_LIMIT
        while not self.is_up():
            said = (self.folder / "server.log").read_text(errors="replace")[-2000:]
            assert self.process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.1)

    def is_up(self):
        try:
            return self.call("GET", "/_cluster/health?wait_for_status=yellow&timeout=5s")[0] == 200
        except OSError:
            return False

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)

    def close(self):
        self.kill()

    def call(self, method, path, body=None):
        """(status, JSON)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            is_bulk = isinstance(body, bytes)
            connection.request(method, path, body if is_bulk or body is None else json.dumps(body),
                               {"Content-Type": "application/x-ndjson" if is_bulk
                                else "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def ask(self, method, path, body=None):
        status, answer = self.call(method, path, body)
        assert status in (200, 201), (method, path, status, answer)
        return answer

    def count(self, index):
        """Documents that are there now; 0 where nothing is yet."""
        self.call("POST", f"/{index}/_refresh")
        status, answer = self.call("GET", f"/{index}/_count?ignore_unavailable=true")
        assert status in (200, 503), answer  # 503: its shards are being started
        return answer["count"] if status == 200 else 0

    def wait_count(self, index, number, limit=60):
        end = time.monotonic() + limit
        while (found := self.count(index)) < number:
            assert time.monotonic() < end, (index, found, number)
            time.sleep(0.2)
        assert found == number, (index, found, number)

    def documents(self, index, source=True):
        """All that are there now: {id: (index, document)}."""
        self.call("POST", f"/{index}/_refresh")  # else the last second's are not seen
        found = {}
        page = self.ask("POST", f"/{index}/_search?scroll=1m",
                        {"size": 10000, "_source": source, "sort": ["_doc"]})
        while page["hits"]["hits"]:
            for hit in page["hits"]["hits"]:
                assert hit["_id"] not in found, hit
                found[hit["_id"]] = (hit["_index"], hit.get("_source"))
            page = self.ask("POST", "/_search/scroll", {"scroll": "1m",
                                                        "scroll_id": page["_scroll_id"]})
        return found
