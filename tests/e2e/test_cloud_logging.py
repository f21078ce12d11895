"""The sink cloudLogging against Google's own definitions: cloud_logging.py.

Events come from tests/support/er_fake."""
import json
import pathlib
import random
import subprocess
import time

import pytest

import cloud_logging
from cloud_logging import WRITE

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden/cloud_logging"
LIMIT = 30
METADATA_TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s"


@pytest.fixture(scope="session")
def installed():
    reason = cloud_logging.why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def server(installed, tmp_path_factory):
    one = cloud_logging.Google(tmp_path_factory.mktemp("google"))
    yield one
    one.close()


@pytest.fixture
def google(server):
    server.control(reset=True)
    return server


@pytest.fixture
def start(fake, google, start_router, tmp_path, monkeypatch):
    """start(sink={...}, ...) starts the router: everything that is not said is looked up."""
    monkeypatch.setenv("GCE_METADATA_HOST", google.host)
    monkeypatch.delenv("GOOGLE_APPLICATION_CREDENTIALS", raising=False)

    def run(sink=None, sinks=None, **more):
        log = {"type": "cloudLogging", "url": google.url, "batch": {"linger": "50ms"},
               "retry": {"initial": "20ms", "max": "200ms"}, **(sink or {})}
        return start_router(fake.config(tmp_path, **{
            "cluster": "prod-eu1", "notices": {"window": "100ms"},
            "watch": {"backoff": {"initial": "20ms", "max": "200ms"}},
            "sinks": {"log": log, **(sinks or {})}, **more}))
    return run


def expect_exactly(fake, google, number):
    """Every record is there, and readers see none twice: one (timestamp, insertId) each."""
    entries = google.wait(number)
    wanted = set(fake.ids())
    assert len(wanted) == number
    assert {entry["insertId"] for entry in entries} == wanted
    assert len({(entry["timestamp"], entry["insertId"]) for entry in entries}) == len(wanted)
    return entries


def ended(router):
    assert router.stop() == 0
    return {sink["sink"]: sink for sink in router.ledger()["sinks"]}["log"]


def logged(router, message):
    return [line for line in router.log() if line["message"] == message]


UNAVAILABLE = "the sink is unavailable, records are kept and tried again"
DENIED = "the sink denies us, records are kept and tried slowly"


def wait_logged(router, message):
    """The first line with that message."""
    end = time.monotonic() + LIMIT
    while not logged(router, message):
        assert time.monotonic() < end, router.tail()
        time.sleep(0.02)
    return logged(router, message)[0]


def wait_rejected(router, number):
    """Waits for so many too large records."""
    series = 'eventrouter_sink_rejected_total{sink="log",reason="too_large"}'
    end = time.monotonic() + LIMIT
    while f"{series} {number}\n" not in router.get("/metrics")[1]:
        assert time.monotonic() < end, router.get("/metrics")[1]
        time.sleep(0.02)


# ---- the stand-in itself ----

def test_the_stand_in_speaks_as_google_s_client_expects(google):
    done = subprocess.run([cloud_logging.PYTHON, cloud_logging.REAL / "client.py", google.url, google.key], capture_output=True,
                          text=True, check=False, timeout=LIMIT)
    assert done.returncode == 0, done.stderr
    assert "Unknown resource nonsense" in json.loads(done.stdout)["refused"]
    (entry,) = google.state()["entries"]
    assert (entry["insertId"], entry["jsonPayload"]) == ("i1", {"message": "written"})


@pytest.mark.parametrize("change", [
    ("insertId", "insertID"), ('"WARNING"', '"WARN"'), ("2026-01-02T", "2026-01-02 "),
    ('"labels":{"cluster"', '"labels":{"n":1,"cluster"'), ('"jsonPayload":{', '"jsonPayload":[{}],"x":{'),
    ('"severity"', '"severity":"INFO","severity"'), ("k8s_pod", "k8s_pods")])
def test_the_stand_in_is_strict(google, change):
    token = json.loads(google.ask("GET", METADATA_TOKEN, headers={"Metadata-Flavor": "Google"})[1])
    headers = {"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json"}
    body = golden_bodies()[0]
    assert google.ask("POST", WRITE, body.encode(), headers) == (200, "{}")
    assert change[0] in body
    assert google.ask("POST", WRITE, body.replace(*change, 1).encode(), headers)[0] == 400


# ---- everything that can be sent ----

def golden_bodies():
    text = (GOLDEN / "payloads.txt").read_text().replace("<looked up>", "project-1")
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("{")]


def test_every_kind_of_record_is_accepted(google):
    """The golden payloads: what explain shows is what is sent."""
    token = json.loads(google.ask("GET", METADATA_TOKEN, headers={"Metadata-Flavor": "Google"})[1])
    headers = {"Authorization": f"Bearer {token['access_token']}", "Content-Type": "application/json"}
    for body in golden_bodies():
        status, answer = google.ask("POST", WRITE, body.encode(), headers)
        assert (status, answer) == (200, "{}"), body
    entries = google.state()["entries"]
    assert {entry["jsonPayload"]["kind"] for entry in entries} == {
        "event", "change", "rollout", "restart", "gap", "notice"}
    assert {entry["resource"]["type"] for entry in entries} == {"k8s_pod", "k8s_node", "k8s_cluster"}


LIFE = """put web.1 kind=Node object=n1 namespace=default
put web.2 message="\\u0000 \\ud83d\\ude00 é" reason=-
put web.3 lastTimestamp=2399-01-01T00:00:00Z
put deployments/web
sleep 300ms
modify deployments/web spec.replicas=5
put pods/web-1
sleep 300ms
modify pods/web-1 status.containerStatuses=[{"name":"main","restartCount":1,"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled","finishedAt":"2026-01-02T03:04:05Z"}}}]
"""


def test_records_of_a_running_router(fake, google, start):
    router = start(sink={"compression": "gzip", "labels": {"team": "blue"}},
                   watch={"deployments": {"enabled": True, "diff": "both"}, "pods": {"enabled": True}})
    router.wait_ready()
    fake.script(LIFE)
    end = time.monotonic() + LIMIT
    while {entry["jsonPayload"]["kind"] for entry in google.state()["entries"]} < {
            "event", "change", "rollout", "restart"}:
        assert time.monotonic() < end, google.state()["requests"]
        time.sleep(0.05)
    ledger = ended(router)
    assert ledger["delivered"] == ledger["enqueued"] > 5 and ledger["rejected"] == 0
    assert set(google.statuses()) == {200}
    entries = google.state()["entries"]
    assert {entry["labels"]["team"] for entry in entries} == {"blue"}
    assert [entry["resource"]["labels"]["node_name"] for entry in entries
            if entry["resource"]["type"] == "k8s_node"] == ["n1"]
    assert {entry["resource"]["type"] for entry in entries} == {"k8s_pod", "k8s_node", "k8s_cluster"}
    for entry in entries:
        assert entry["insertId"] == entry["jsonPayload"]["id"]
        assert entry["severity"] == entry["jsonPayload"]["severity"]


# ---- nothing is lost, and nothing is there twice ----

def test_killed_five_times(fake, google, start, tmp_path):
    """Repeats there are; readers see none of them."""
    settings = {"state": {"path": str(tmp_path / "state"), "interval": "50ms"},
                "sink": {"batch": {"records": 200, "linger": "20ms"}}}
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    dice = random.Random(seed)
    fake.script("background burst 20000 rate 4000")
    written = 0
    for _ in range(5):
        router = start(**settings)
        written += dice.randrange(300, 2500)
        google.wait(written)
        time.sleep(dice.random() / 20)
        router.kill()
        written = len({entry["insertId"] for entry in google.state()["entries"]})
    router = start(**settings)
    expect_exactly(fake, google, 20000)
    ledger = ended(router)
    assert ledger["rejected"] == ledger["dropped"] == 0


def test_answers_that_never_came(fake, google, start):
    """The work was done, and nobody heard of it: sent again, seen once."""
    google.control(fail=[{"path": WRITE, "how": "after"}, {"path": WRITE, "how": "close"},
                         {"path": WRITE, "how": "after"}])
    fake.script("burst 300")
    router = start(sink={"batch": {"records": 100, "linger": "50ms"}})
    entries = expect_exactly(fake, google, 300)
    assert len(entries) > 300
    assert ended(router)["delivered"] == 300


# ---- answers ----

def test_entries_are_refused_one_by_one(fake, google, start):
    google.control(refuse={"burst-pod-7\"": 3, "burst-pod-70\"": 3})
    fake.script("burst 100")
    router = start(sink={"batch": {"records": 100, "linger": "2s"}})
    entries = google.wait(98)
    assert {f"burst-pod-{i + 1}" for i in range(100)} - {
        entry["resource"]["labels"]["pod_name"] for entry in entries} == {"burst-pod-7", "burst-pod-70"}
    line = wait_logged(router, "record rejected")
    assert line["error"] == "INVALID_ARGUMENT: refused by the test"
    ledger = ended(router)
    assert (ledger["delivered"], ledger["rejected"]) == (98, 2)
    assert google.statuses() == [400]


def test_entries_for_later_and_denied_ones(fake, google, start):
    google.control(refuse={"burst-pod-3\"": 14, "burst-pod-5\"": 7})
    fake.script("burst 10")
    router = start(sink={"batch": {"records": 10, "linger": "2s"}})
    google.wait(8)
    line = wait_logged(router, DENIED)
    assert line["error"].endswith("some entries were not written: PERMISSION_DENIED: refused by the test")
    google.control(reset=True)
    assert {entry["resource"]["labels"]["pod_name"] for entry in google.wait(2)} == {
        "burst-pod-3", "burst-pod-5"}
    assert ended(router)["delivered"] == 10


def test_limits_of_request_and_entry(fake, google, start):
    """24 MB in requests under 10 MB, an entry over 256 KiB alone; then limits that we cannot know."""
    fake.script("burst 400 message=@x:60000\nput big.1 action=@x:270000")
    router = start(sink={"batch": {"records": 1000, "bytes": "9MiB", "linger": "1s"}},
                   watch={"events": {"startFrom": "beginning"}})
    google.wait(400)
    wait_rejected(router, 1)
    assert 4 << 20 < google.state()["largest"] <= 10 << 20
    google.control(request_limit=400000, entry_limit=50000)
    fake.script("burst 40 prefix small message=@x:30000\nput big.2 message=@x:60000")
    google.wait(440)
    wait_rejected(router, 2)
    ledger = ended(router)
    assert (ledger["delivered"], ledger["rejected"]) == (440, 2)
    assert google.state()["largest"] <= 10 << 20


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_not_now(fake, google, start, status):
    google.control(fail=[{"path": WRITE, "status": status, "times": 2, "retry_after": 0}])
    fake.script("burst 50")
    router = start()
    expect_exactly(fake, google, 50)
    assert ended(router)["delivered"] == 50
    assert google.statuses()[:3] == [status, status, 200]
    assert not logged(router, DENIED)


@pytest.mark.parametrize("status", [403, 404])
def test_denied_until_the_right_is_given(fake, google, start, status):
    google.control(fail=[{"path": WRITE, "status": status, "times": 3}])
    fake.script("burst 50")
    router = start()
    expect_exactly(fake, google, 50)
    (line,) = logged(router, DENIED)
    assert ("roles/logging.logWriter in project project-1" in line["error"]) == (status == 403)
    assert ended(router)["delivered"] == 50


# ---- credentials ----

def test_tokens_expire_and_are_revoked(fake, google, start):
    google.control(token_life=2)
    fake.script("background burst 400 rate 80")
    router = start()
    google.wait(200)
    google.control(revoke=True)
    expect_exactly(fake, google, 400)
    assert ended(router)["delivered"] == 400
    assert not logged(router, DENIED)
    assert set(google.statuses()) <= {200, 401} and google.statuses().count(401) <= 1
    assert 3 <= google.statuses(METADATA_TOKEN).count(200) <= 6


def test_the_metadata_server_refuses_at_first(fake, google, start):
    google.control(fail=[{"path": "/project-id", "how": "close", "times": 3},
                         {"path": "/cluster-name", "status": 503, "times": 2},
                         {"path": METADATA_TOKEN, "how": "close", "times": 2},
                         {"path": METADATA_TOKEN, "status": 500, "times": 2}])
    fake.script("burst 50")
    router = start()
    expect_exactly(fake, google, 50)
    assert ended(router)["delivered"] == 50
    assert logged(router, UNAVAILABLE) and not logged(router, DENIED)


def external(google, **more):
    (google.folder / "subject").write_text("a.projected.token\n")
    return {"type": "external_account", "audience": AUDIENCE,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": f"{google.url}/token",
            "credential_source": {"file": str(google.folder / "subject")}, **more}


def impersonating(google):
    account = json.loads(google.key.read_text())["client_email"]
    return external(google, service_account_impersonation_url=(
        f"{google.url}/v1/projects/-/serviceAccounts/{account}:generateAccessToken"))


KINDS = {
    "service_account": lambda google: json.loads(google.key.read_text()),
    "external_account": external,
    "impersonation": impersonating,
    "authorized_user": lambda google: {
        "type": "authorized_user", "client_id": "client", "client_secret": "secret",
        "refresh_token": "refresh", "token_uri": f"{google.url}/token"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_credentials_files(fake, google, start, tmp_path, kind):
    """Each kind asks for tokens again and again, and never the metadata server."""
    google.control(token_life=1)
    path = tmp_path / "credentials.json"
    path.write_text(json.dumps(KINDS[kind](google)))
    fake.script("background burst 100 rate 50")
    router = start(sink={"auth": {"google": {"credentialsFile": str(path)}}})
    google.wait(50)
    (google.folder / "subject").write_text("the.next.token\n")  # as the kubelet rotates it
    expect_exactly(fake, google, 100)
    assert ended(router)["delivered"] == 100
    assert google.statuses("/token").count(200) >= 2
    assert google.statuses(METADATA_TOKEN) == []
    assert not logged(router, DENIED)


def test_a_key_that_was_deleted_until_it_is_replaced(fake, google, start, tmp_path, monkeypatch):
    """By the variable, as Google's own libraries have it."""
    path = tmp_path / "key.json"
    good = json.loads(google.key.read_text())
    path.write_text(json.dumps({**good, "private_key_id": "deleted"}))
    fake.script("burst 20")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(path))
    router = start()
    line = wait_logged(router, DENIED)
    assert line["error"] == (f"no access token: 400 invalid_grant from {google.url}/token: the key or its "
                             "service account is gone, or this machine's clock is wrong "
                             "(sinks.log.auth.google)")
    fresh = tmp_path / "fresh.json"
    fresh.write_text(json.dumps(good))
    fresh.rename(path)
    expect_exactly(fake, google, 20)
    assert ended(router)["delivered"] == 20
    with open(router.stderr, encoding="utf-8") as file:
        assert "PRIVATE KEY" not in file.read()


def test_over_tls(installed, fake, start, tmp_path):
    """The service and its token endpoint have a certificate of their own."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=google", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                    tmp_path / "tls.key", "-out", tmp_path / "tls.crt"], check=True, capture_output=True)
    folder = tmp_path / "google"
    folder.mkdir()
    google = cloud_logging.Google(folder, tmp_path / "tls.crt", tmp_path / "tls.key")
    try:
        fake.script("burst 20")
        trust = {"caFile": str(tmp_path / "tls.crt")}
        router = start(sink={"url": google.url, "tls": trust,
                             "auth": {"google": {"credentialsFile": str(google.key), "tls": trust}}})
        expect_exactly(fake, google, 20)
        assert ended(router)["delivered"] == 20
    finally:
        google.close()
