"""The sink cloudLogging: what it sends, what it makes of each answer, and Google's credentials.

er_fake's sinks answer as scripts say; `google` is a metadata server with tokens. Requests are judged
by Google's own definitions in tests/e2e/test_cloud_logging.py."""
import gzip
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
import yaml

from conftest import BIN, LIMIT, RECORD, ROOT, merge

GOLDEN = ROOT / "tests/golden/cloud_logging"
PARTIAL = "type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors"
DENIED = "the sink denies us, records are kept and tried slowly"
UNAVAILABLE = "the sink is unavailable, records are kept and tried again"
WORKS = "the sink works again"


@pytest.fixture
def log(fake):
    """log("a", ...): the configuration of a sink whose peer is the fake's sink of that name."""
    def make(name, **more):
        return merge({"type": "cloudLogging", "url": f"{fake.sinks}/{name}", "project": "p-1",
                      "location": "europe-west1", "clusterName": "c-1", "auth": {"bearer": "t"},
                      "batch": {"linger": "100ms"},
                      "retry": {"initial": "10ms", "max": "80ms"}}, more)
    return make


def entries(request):
    body = json.loads(request["body"])
    assert list(body) == ["partialSuccess", "entries"] and body["partialSuccess"] is True
    for entry in body["entries"]:
        RECORD.validate(entry["jsonPayload"])
    return body["entries"]


def ids(request):
    return [entry["insertId"] for entry in entries(request)]


def written(fake, name):
    """The ids of the requests that were answered with 200, in order."""
    return [i for request in fake.requests(name) if request["status"] == 200 for i in ids(request)]


def wait_delivered(r, number, name="a"):
    r.wait_metric(lambda n: n >= number, "sink_delivered_total", sink=name)


def failure(code, status, message="no", errors=None):
    error = {"code": code, "message": message, "status": status}
    if errors:
        error["details"] = [{"@type": PARTIAL, "logEntryErrors": {
            str(i): {"code": c, "message": text} for i, (c, text) in errors.items()}}]
    return f"answer {code} json {json.dumps(json.dumps({'error': error}))}"


# ---- what is sent ----

def test_golden():
    """One entry for every kind of record and resource. ER_GOLDEN_OUT=1 writes it anew."""
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", GOLDEN / "config.yaml", "--payload",
                           GOLDEN / "records.ndjson"], capture_output=True, text=True, timeout=LIMIT,
                          check=True)
    golden = GOLDEN / "payloads.txt"
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(done.stdout)
    assert done.stdout == golden.read_text()


def test_golden_has_all_kinds():
    bodies = [json.loads(line) for line in (GOLDEN / "payloads.txt").read_text().splitlines()
              if line.lstrip().startswith("{")]
    found = [entry for body in bodies for entry in body["entries"]]
    records = [json.loads(line) for line in (GOLDEN / "records.ndjson").read_text().splitlines()]
    assert [entry["jsonPayload"] for entry in found] == records
    assert {record["kind"] for record in records} == {
        "event", "change", "rollout", "restart", "gap", "notice"}
    assert {entry["resource"]["type"] for entry in found} == {"k8s_pod", "k8s_node", "k8s_cluster"}
    assert {entry["severity"] for entry in found} == {"INFO", "WARNING", "ERROR"}
    assert any(entry["timestamp"] != entry["jsonPayload"]["time"] for entry in found)


def test_each_event_once(fake, router, log):
    fake.script("burst 100 steps 2")
    r = router(sinks={"a": log("a", compression="gzip")})
    wait_delivered(r, 100)
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == r.sink_ledger("a")["enqueued"]


# ---- answers ----

def started(fake, router, log, script, records=3, **more):
    """Three events in one batch, and the router that sends them to sink a."""
    fake.script(f"{script}\nburst {records}")
    return router(sinks={"a": log("a", batch={"records": records, "linger": "5s"}, **more)})


def test_one_entry_is_refused(fake, router, log):
    r = started(fake, router, log, "sink a " + failure(
        400, "INVALID_ARGUMENT", errors={1: (3, "Log entry is bad")}) + " times 1")
    line = r.wait_log("record rejected", sink="a")
    wait_delivered(r, 2)
    (request,) = fake.requests("a")
    assert (line["reason"], line["error"], line["id"]) == (
        "refused", "INVALID_ARGUMENT: Log entry is bad", ids(request)[1])
    assert r.stop() == 0
    assert len(fake.requests("a")) == 1
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["rejected"]) == (2, 1)


def test_some_entries_are_for_later(fake, router, log):
    r = started(fake, router, log, "sink a " + failure(
        429, "RESOURCE_EXHAUSTED", errors={0: (8, "quota"), 2: (14, "busy")}) + " retry-after 1 times 1")
    line = r.wait_log(UNAVAILABLE, sink="a")
    assert line["error"] == "429: some entries were not written: RESOURCE_EXHAUSTED: quota"
    wait_delivered(r, 3)
    first, second = fake.requests("a")
    assert ids(second) == [ids(first)[0], ids(first)[2]]
    assert entries(second) == [entries(first)[0], entries(first)[2]]
    assert second["ms"] - first["ms"] >= 1000
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 3


def test_one_entry_is_denied(fake, router, log):
    """Of another project's log, say: said, kept, and tried again; the others are written."""
    r = started(fake, router, log, "sink a " + failure(
        403, "PERMISSION_DENIED", errors={1: (7, "no right")}) + " times 1")
    line = r.wait_log(DENIED, sink="a")
    assert line["error"] == "403: some entries were not written: PERMISSION_DENIED: no right"
    wait_delivered(r, 3)
    first, second = fake.requests("a")
    assert ids(second) == [ids(first)[1]]
    r.wait_log(WORKS, sink="a")


@pytest.mark.parametrize("status, name", [
    (429, "RESOURCE_EXHAUSTED"), (500, "INTERNAL"), (502, "UNAVAILABLE"), (503, "UNAVAILABLE"),
    (504, "DEADLINE_EXCEEDED"), (409, "ABORTED"), (499, "CANCELLED")])
def test_not_now(fake, router, log, status, name):
    r = started(fake, router, log, f"sink a {failure(status, name)} times 2")
    line = r.wait_log(UNAVAILABLE, sink="a")
    assert f" from {fake.sinks}/a/v2/entries:write: {name}: no" in line["error"]
    wait_delivered(r, 3)
    assert [request["status"] for request in fake.requests("a")] == [status, status, 200]
    assert len({request["body"] for request in fake.requests("a")}) == 1
    assert {request["path"] for request in fake.requests("a")} == {"/a/v2/entries:write"}


def test_retry_after(fake, router, log):
    r = started(fake, router, log,
                f"sink a {failure(429, 'RESOURCE_EXHAUSTED')} retry-after 1 times 1")
    wait_delivered(r, 3)
    before, after = (request["ms"] for request in fake.requests("a"))
    assert after - before >= 1000


@pytest.mark.parametrize("status, name, advice", [
    (401, "UNAUTHENTICATED", "; check sinks.a.auth"),
    (403, "PERMISSION_DENIED", "; the account needs roles/logging.logWriter in project p-1"),
    (404, "NOT_FOUND", "; check sinks.a.project and url"),
    (400, "FAILED_PRECONDITION", "")])
def test_denied(fake, router, log, status, name, advice):
    """Nothing is lost to a right that was not given yet."""
    r = started(fake, router, log, f"sink a {failure(status, name, 'not you')} times 2")
    line = r.wait_log(DENIED, sink="a")
    assert line["error"].endswith(f"/a/v2/entries:write: {name}: not you{advice}")
    wait_delivered(r, 3)
    r.wait_log(WORKS, sink="a")
    assert written(fake, "a") == ids(fake.requests("a")[0])
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 3


def test_a_request_that_is_refused_whole(fake, router, log):
    """As when no entry of it was written: halved until the guilty one is alone."""
    said = json.dumps({"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "bad"}})
    fake.script(f"sink a poison burst-pod-15 400 {said}\nburst 20")
    r = router(sinks={"a": log("a", batch={"records": 20, "linger": "5s"})})
    wait_delivered(r, 19)
    line = r.wait_log("record rejected", sink="a")
    assert line["reason"] == "refused"
    assert json.loads(line["record"])["object"]["name"] == "burst-pod-15"
    assert len(written(fake, "a")) == len(set(written(fake, "a"))) == 19
    assert r.stop() == 0
    ledger = r.sink_ledger("a")
    assert (ledger["delivered"], ledger["rejected"]) == (19, 1)


def test_requests_have_a_limit(fake, router, log):
    """413 halves; without it no request is larger than batch.bytes allows."""
    fake.script("sink a max-body 20000\nburst 100")
    r = router(sinks={"a": log("a", batch={"records": 100, "linger": "5s"})})
    wait_delivered(r, 100)
    assert len(written(fake, "a")) == len(set(written(fake, "a"))) == 100
    assert any(request["status"] == 413 for request in fake.requests("a"))


def test_an_entry_over_its_limit_is_rejected_alone(fake, router, log):
    fake.script("burst 2\nput web.1 action=@x:300000")
    r = router(sinks={"a": log("a")})
    wait_delivered(r, 2)
    line = r.wait_log("record rejected", sink="a")
    assert line["reason"] == "too_large"
    assert re.fullmatch(r"an entry of 30\d{4} bytes; the service takes 262144", line["error"])


# ---- Google's surroundings ----

class Google:
    """A metadata server with tokens, and entries.write for those who have one."""

    def __init__(self):
        self.lock, self.asked, self.paths = threading.Condition(), 0, []
        self.failing, self.expires_in = [], 3600  # statuses of the next answers; 0: hangs up
        self.good, self.entries = None, []
        google = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with google.lock:
                    google.paths.append(self.path)
                    status = google.failing.pop(0) if google.failing else 200
                    google.lock.notify_all()
                    body = google.value(self.path)
                if not status:
                    self.close_connection = True
                    return
                assert self.headers["Metadata-Flavor"] == "Google"
                self.answer(status if body else 404, body or "")

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Encoding"] == "gzip":
                    body = gzip.decompress(body)
                with google.lock:
                    good = self.headers["Authorization"] == f"Bearer {google.good}"
                    if good:
                        google.entries += json.loads(body)["entries"]
                    google.lock.notify_all()
                self.answer(200 if good else 401, "{}")

            def answer(self, status, text):
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        self.env = {"GCE_METADATA_HOST": self.host, "GOOGLE_APPLICATION_CREDENTIALS": ""}
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def value(self, path):
        if path.endswith("/token"):
            self.asked += 1
            self.good = f"t-{self.asked}"
            return json.dumps({"access_token": self.good, "expires_in": self.expires_in,
                               "token_type": "Bearer"})
        return {"/computeMetadata/v1/project/project-id": "p-7",
                "/computeMetadata/v1/instance/attributes/cluster-name": "c-7",
                "/computeMetadata/v1/instance/attributes/cluster-location": "eu-w",
                }.get(path)

    def wait(self, number):
        with self.lock:
            assert self.lock.wait_for(lambda: len(self.entries) >= number, LIMIT), (
                self.paths, self.entries)

    def close(self):
        self.server.shutdown()
        self.thread.join(LIMIT)
        self.server.server_close()


@pytest.fixture
def google():
    one = Google()
    yield one
    one.close()


def on_gke(google, **more):
    """A minimal configuration: everything else is looked up."""
    return merge({"type": "cloudLogging", "url": f"http://{google.host}", "batch": {"linger": "50ms"},
                  "retry": {"initial": "10ms", "max": "50ms"}}, more)


def test_on_gke_nothing_needs_to_be_set(fake, router, google):
    fake.script("burst 5")
    r = router(sinks={"a": on_gke(google)}, env=google.env)
    google.wait(5)
    assert {entry["logName"] for entry in google.entries} == {"projects/p-7/logs/eventrouter"}
    assert google.entries[0]["resource"] == {"type": "k8s_pod", "labels": {
        "project_id": "p-7", "location": "eu-w", "cluster_name": "c-7",
        "namespace_name": "default", "pod_name": "burst-pod-1"}}
    assert google.asked == 1
    assert r.stop() == 0


def test_the_metadata_server_refuses_at_first(fake, router, google):
    """As GKE's does in the first seconds of a pod: not now, and not denied."""
    google.failing = [0, 0, 503, 500, 200, 200, 200, 503, 0]
    fake.script("burst 5")
    r = router(sinks={"a": on_gke(google)}, env=google.env)
    google.wait(5)
    assert google.failing == []
    line = r.wait_log(UNAVAILABLE, sink="a")
    assert line["error"].startswith(
        "sinks.a: outside of GKE these must be set: project, location, clusterName; they cannot be "
        "looked up: the metadata server does not answer: ")
    assert not r.logged(DENIED)
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 5


def test_away_from_google(fake, router, google):
    """Nobody answers there: what must be set is named, and nothing is lost."""
    closed = Google()
    closed.close()
    fake.script("burst 3")
    r = router(sinks={
        "some": on_gke(google, clusterName="c", project="p", retry={"max": "20ms"}),
        "none": on_gke(google)}, env={**google.env, "GCE_METADATA_HOST": closed.host},
        shutdown={"grace": "50ms"})
    r.wait_metric(lambda n: n == 6, "sink_enqueued_total")
    for name, settings in (("some", "location"), ("none", "project, location, clusterName")):
        line = r.wait_log(UNAVAILABLE, sink=name)
        assert line["error"].startswith(
            f"sinks.{name}: outside of GKE these must be set: {settings}; they cannot be looked up: "
            "the metadata server does not answer: ")
        assert closed.host in line["error"]
    assert r.stop() == 0
    assert {sink["queued"] + sink["inFlight"] for sink in r.ledger()["sinks"]} == {3}


def test_tokens_expire(fake, router, google):
    google.expires_in = 1
    fake.script("background burst 100 rate 50")
    r = router(sinks={"a": on_gke(google)}, env=google.env)
    google.wait(100)
    assert google.asked >= 2
    assert r.stop() == 0
    assert not r.logged(DENIED)
    assert len({entry["insertId"] for entry in google.entries}) == len(google.entries) == 100


def test_a_revoked_token_is_dropped_once(fake, router, google):
    fake.script("put web.1")
    r = router(sinks={"a": on_gke(google)}, env=google.env)
    google.wait(1)
    with google.lock:
        google.good = "revoked"
    fake.script("put web.2")
    google.wait(2)
    assert google.asked == 2
    assert r.stop() == 0
    assert not r.logged(DENIED)


def test_a_service_that_takes_no_token(fake, router, google, log):
    """401 whatever the token: a second one is asked for, and then no more than one for each two."""
    fake.script("sink a answer 401\nput web.1")
    r = router(sinks={"a": log("a", auth=None)}, env=google.env)
    line = r.wait_log(DENIED, sink="a")
    assert line["error"].endswith("; check sinks.a.auth")
    fake.wait("sink a requests >= 5")
    assert google.asked <= 1 + len(fake.requests("a")) / 2
    fake.script("sink a answer 200 json {}")
    wait_delivered(r, 1)


def key_file(path, google):
    made = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                           "rsa_keygen_bits:2048"], capture_output=True, text=True, check=True)
    path.write_text(json.dumps({"type": "service_account", "client_email": "r@p-1",
                                "private_key": made.stdout, "private_key_id": "k",
                                "token_uri": f"http://{google.host}/token"}))
    return path


def test_a_credentials_file_that_is_missing(fake, tmp_path, google):
    """run does not start; check warns, since it may run elsewhere."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"sinks": {"a": {
        "type": "cloudLogging", "auth": {"google": {"credentialsFile": str(tmp_path / "key.json")}}}}}))
    why = (f"sinks.a.auth.google.credentialsFile: cannot open {tmp_path}/key.json: "
           "No such file or directory")
    checked = subprocess.run([BIN / "eventrouter", "check", "-c", config], capture_output=True,
                             text=True, timeout=LIMIT, check=False)
    assert checked.returncode == 0
    assert f"warning: {why}" in checked.stderr
    ran = subprocess.run([BIN / "eventrouter", "run", "-c", config], capture_output=True, text=True,
                         timeout=LIMIT, check=False)
    assert ran.returncode == 2
    assert why in ran.stderr
    (tmp_path / "key.json").write_text("{}")
    checked = subprocess.run([BIN / "eventrouter", "check", "-c", config], capture_output=True,
                             text=True, timeout=LIMIT, check=False)
    assert "key.json cannot be used: its type is not one of service_account" in checked.stderr


def test_the_effective_configuration_loads_again(tmp_path):
    config = tmp_path / "config.yaml"
    for auth in ("", "auth: {google: }", "auth: {google: {scopes: [a, b]}}"):
        config.write_text("sinks: {a: {type: cloudLogging, labels: {team: 'a b', "
                          f"apiToken: t-1, node: {{env: NODE}}}}, {auth}}}}}\n")
        printed = subprocess.run([BIN / "eventrouter", "check", "-c", config, "--print"],
                                 capture_output=True, text=True, timeout=LIMIT, check=True,
                                 env={**os.environ, "NODE": "n1"}).stdout
        assert ("google:" in printed) == bool(auth)
        assert yaml.safe_load(printed)["sinks"]["a"]["labels"] == {
            "team": "a b", "apiToken": "***", "node": {"env": "NODE"}}
        config.write_text(printed)
        again = subprocess.run([BIN / "eventrouter", "check", "-c", config, "--print"],
                               capture_output=True, text=True, timeout=LIMIT, check=True).stdout
        assert again == printed
