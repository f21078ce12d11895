"""eventrouter explain: what it says of a record is what the running router does with it."""
import json
import os
import re
import subprocess
import threading

import pytest
import yaml

from conftest import BIN, LIMIT, RECORD, ROOT, events

GOLDEN = ROOT / "tests/golden/explain"
TABLES = sorted(GOLDEN.glob("*.yaml"))
INPUT = (GOLDEN / "input.json").read_text()
LIST_END = INPUT.index("\n}\n") + 3
LIST, RECORDS = json.loads(INPUT[:LIST_END]), INPUT[LIST_END:]


def explain(config, *arguments, text="", env=None, check=True):
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", config, *arguments],
                          input=text.encode(), capture_output=True, timeout=LIMIT, check=False,
                          env={**os.environ, **(env or {})})
    if check:
        assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def answers(text):
    """{id: set of sinks} of what explain printed."""
    found = {}
    for paragraph in text.rstrip("\n").split("\n\n"):
        lines = paragraph.split("\n")
        sinks = next(line for line in lines if line.startswith("  sinks: "))[9:]
        identity = lines[0].split()[1]
        assert identity not in found
        found[identity] = set() if sinks.startswith("none;") else set(sinks.split(", "))
    return found


def write(path, config):
    path.write_text(json.dumps(config))
    return path


# ---- golden files: read them, they are the manual ------------------------------------------------

def test_there_are_enough():
    assert len(TABLES) >= 30
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {path.stem for path in TABLES}


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_golden(table):
    """ER_GOLDEN_OUT=1 writes them anew."""
    printed = explain(table, GOLDEN / "input.json")
    golden = table.with_suffix(".txt")
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(printed)
    assert printed == golden.read_text()


# ---- explain and the router agree -----------------------------------------------------------------

def without_sinks(table, hook):
    config = yaml.safe_load(table.read_text())
    return {**config, "sinks": {name: hook(name) for name in config["sinks"]}}


def delivered(fake, sinks):
    """{id: set of sinks that have it}, and all records by id."""
    found, records = {}, {}
    for sink in sinks:
        for record in fake.records(sink):
            found.setdefault(record["id"], set()).add(sink)
            records[record["id"]] = record
    return found, records


def put_events(fake):
    """The Events of the golden input, in the scripted server's words."""
    for event in LIST["items"]:
        fake.script("put " + json.dumps(event))


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_as_the_router_does(table, fake, router, hook):
    config = without_sinks(table, hook)
    put_events(fake)
    r = router(**config)
    frames = fake.history()
    said = answers(explain(r.directory / "config.yaml",
                           text="\n".join(json.dumps(frame) for frame in frames)))
    assert len(said) == len(LIST["items"])
    for sink in config["sinks"]:
        due = sum(sink in sinks for sinks in said.values())
        fake.wait(f"sink {sink} records >= {due}")
    fake.wait("watches open >= 1")
    assert r.stop() == 0
    found, records = delivered(fake, config["sinks"])
    assert found == {identity: sinks for identity, sinks in said.items() if sinks}
    ledger = r.ledger()
    assert ledger["records"] == len(said)
    assert ledger["routed"] == sum(bool(sinks) for sinks in said.values())
    # the same of the records that arrived
    again = answers(explain(r.directory / "config.yaml",
                            text="".join(json.dumps(record) for record in records.values())))
    assert again == found


@pytest.mark.parametrize("table", [path for path in TABLES if re.search(
    "drop|severity|kind|absent|count|final|none", path.stem)], ids=lambda path: path.stem)
def test_as_the_router_does_with_gaps(table, fake, router, hook):
    """A sink in front that gets everything shows the gap record that the router made."""
    config = without_sinks(table, hook)
    config["sinks"]["probe"] = hook("probe")
    if config.get("routes"):
        config["routes"].insert(0, {"name": "probe", "sinks": ["probe"]})
    r = router(**config)
    fake.wait("watches open >= 1")
    fake.script('send {"type":"ADDED","object":{"metadata":{}}}\nput last.1')
    fake.wait("sink probe records >= 2")
    assert r.stop() == 0
    found, records = delivered(fake, config["sinks"])
    assert [record["kind"] for record in fake.records("probe")] == ["gap", "event"]
    said = answers(explain(r.directory / "config.yaml", text=json.dumps(list(records.values()))))
    assert said == found


def test_payload_is_what_is_sent(tmp_path, fake, router, hook):
    """Record in, request out: the same headers and the same bytes."""
    (tmp_path / "key").write_text("a-secret-key\n")
    sinks = {"single": hook("single", auth={"bearer": {"env": "ER_TEST_TOKEN"}},
                            headers={"X-Tenant": "a-literal", "X-Key": {"file": str(tmp_path / "key")}}),
             "list": hook("list", batch={"records": 7, "linger": "0"},
                          auth={"apiKey": {"header": "X-Token", "value": {"env": "ER_TEST_TOKEN"}}}),
             "lines": {"type": "stdout"}}
    environment = {"ER_TEST_TOKEN": "a-secret-token"}
    fake.script("put a.1")
    r = router(sinks=sinks, env=environment)
    for sink in ("single", "list"):
        fake.wait(f"sink {sink} records >= 1")
    assert r.stop() == 0
    line = r.stdout_path.read_text()
    before = fake.state()
    printed = explain(r.directory / "config.yaml", "--payload", text=line, env=environment)
    assert fake.state() == before  # nobody was asked anything
    assert "secret" not in printed and "a-literal" not in printed
    shown = dict(re.findall(r"^  (\w+), \w+:\n((?:      .*\n|\n(?=      ))+)", printed, re.MULTILINE))
    assert shown["lines"] == "      " + line
    for sink, secret in (("single", {"X-Tenant", "X-Key", "Authorization"}), ("list", {"X-Token"})):
        sent = fake.requests(sink)[0]
        head, _, body = shown[sink].partition("\n\n")
        first, *headers = [text[6:] for text in head.split("\n")]
        assert first == f"POST {fake.sinks}/{sink}"
        assert body == f"      {sent['body']}\n"
        headers = dict(text.split(": ", 1) for text in headers)
        assert {name for name, value in headers.items() if value == "***"} == secret
        received = {name: value for name, value in sent["headers"].items()}
        for name, value in headers.items():
            assert name in secret or received.pop(name.lower()) == value
            received.pop(name.lower(), None)
        assert set(received) <= {"host", "user-agent", "accept", "content-length"}


def test_what_is_made_for_each_attempt(tmp_path, fake, hook):
    """Signatures, and a token that nobody is asked for; the body as it is before compression."""
    key = "whsec_" + "c2VjcmV0" * 4
    config = write(tmp_path / "c.yaml", {"cluster": "test", "sinks": {
        "a": hook("a", compression="gzip", sign={"type": "standard-webhooks", "keys": [key]},
                  auth={"oauth2": {"tokenUrl": f"{fake.sinks}/token", "clientId": "i",
                                   "clientSecret": "a-secret"}}),
        "b": hook("b", format="cloudevents-binary",
                  sign={"type": "github", "keys": [{"file": "/nowhere/key"}]})}})
    before = fake.state()
    printed = explain(config, "--payload", text=RECORDS.split("\n", maxsplit=1)[0])
    assert fake.state() == before
    assert "c2VjcmV0" not in printed and "a-secret" not in printed
    a, b = printed.split("  b, webhook:\n")
    for line in ("webhook-timestamp: <per attempt>", "webhook-signature: <per attempt>",
                 "Content-Encoding: gzip", "Authorization: ***", '{"schema":"eventrouter.io/v1",'):
        assert f"\n      {line}" in a
    assert "\n      X-Hub-Signature-256: <per attempt>\n" in b and "\n      ce-id: gap-" in b


def test_a_password_in_the_url_is_shown_as_what_it_becomes(fake, tmp_path):
    """libcurl makes Basic of it; an explicit header is sent in its place."""
    url = f"{fake.sinks}/a".replace("://", "://user:pw@")
    config = write(tmp_path / "c.yaml", {"cluster": "test", "sinks": {
        "a": {"type": "webhook", "url": url},
        "b": {"type": "webhook", "url": url, "headers": {"Authorization": "x"}}}})
    printed = explain(config, "--payload", text=RECORDS.split("\n", maxsplit=1)[0])
    assert "pw" not in printed
    a, b = printed.split("  b, webhook:\n")
    for part in (a, b):
        assert f"      POST {url.replace('user:pw', '***')}\n" in part
        assert part.count("Authorization: ***\n") == 1


def test_secrets_that_are_not_here(tmp_path):
    """Only a warning for each; everything else is shown as it would be."""
    config = write(tmp_path / "c.yaml", {"cluster": "test", "sinks": {
        "a": {"type": "webhook", "url": "https://user:pw@host.example/a?token=x",
              "headers": {"X-Key": {"file": "/nowhere/key"}},
              "tls": {"caFile": "/nowhere/ca.pem"}, "auth": {"apiKey": {"value": {"env": "ER_NOT_SET"}}}},
        "b": {"type": "webhook", "url": {"file": "/nowhere/url"}}}})
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", config, "--payload"],
                          input=RECORDS.split("\n")[0], capture_output=True, text=True,
                          timeout=LIMIT, check=False)
    assert done.returncode == 0
    assert [line.split(": ", 1)[1] for line in done.stderr.splitlines() if line.startswith(str(config))] == [
        "warning: sinks.a.url: a secret stands in the file; {file: PATH} or {env: NAME} keeps it out of it",
        "warning: sinks.a.headers.X-Key: cannot open /nowhere/key: No such file or directory",
        "warning: sinks.a.auth.apiKey.value: environment variable ER_NOT_SET is not set",
        "warning: sinks.b.url: cannot open /nowhere/url: No such file or directory"]
    assert "      POST https://***@host.example/a?***\n" in done.stdout
    for header in ("X-Key", "Authorization", "X-API-Key"):
        assert f"      {header}: ***\n" in done.stdout
    assert "      POST ***\n" in done.stdout
    assert done.stdout.count("\n      {\"schema\":") == 2
    # without --payload nobody looks for what is not here
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", config], input=RECORDS,
                          capture_output=True, text=True, timeout=LIMIT, check=True)
    assert "a secret stands in the file" in done.stderr and "cannot open" not in done.stderr


# ---- input ----------------------------------------------------------------------------------------

TABLE = TABLES[0]


def test_ways_to_give_it(tmp_path):
    whole = explain(TABLE, GOLDEN / "input.json")
    assert explain(TABLE, text=INPUT) == whole
    assert explain(TABLE, "-", text=INPUT) == whole
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(INPUT,))
    writer.start()
    assert explain(TABLE, pipe) == whole
    writer.join(LIMIT)
    lines = "".join(json.dumps(event) + "\n" for event in LIST["items"]) + RECORDS
    assert explain(TABLE, text=lines) == whole
    frames = "".join(json.dumps({"type": "ADDED", "object": event}) for event in LIST["items"])
    assert explain(TABLE, text=frames + RECORDS) == whole


def test_other_frames():
    text = json.dumps({"type": "DELETED", "object": LIST["items"][0]})
    assert explain(TABLE, text=text) == ("document 1, line 1, byte 0: a DELETED frame makes no "
                                         "record\n\n")


def test_bad_documents_cost_only_themselves(tmp_path):
    good = [json.dumps(event) for event in LIST["items"][:3]]
    text = "\n".join([good[0], "{\"cut\": \"", good[1], '{"kind":"P\\u001bod","metadata":{}}',
                      '{"schema":"eventrouter.io/v2"}', "[7]", good[2]])
    path = tmp_path / "in.json"
    path.write_text(text)
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", TABLE, path], capture_output=True,
                          text=True, timeout=LIMIT, check=False)
    assert done.returncode == 1
    assert list(answers(done.stdout)) == [f"{event['metadata']['uid']}-10{i}" for i, event in
                                          enumerate(LIST["items"][:3], 1)]
    at = [text.index(piece) for piece in ('{"cut', '{"kind":"P', '{"schema"', "7]")]
    assert done.stderr.splitlines() == [
        f"{path}: document 2, line 2, byte {at[0]}: a string in it is not closed",
        f"{path}: document 4, line 4, byte {at[1]}: neither a record nor an Event: its kind is "
        "P\\x1bod",
        f"{path}: document 5, line 5, byte {at[2]}: not a record: schema is not "
        "\"eventrouter.io/v1\"",
        f"{path}: document 6 item 1, line 6, byte {at[3]}: not an object"]


def test_many_bad_documents_are_counted():
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", TABLE], input="{}\n" * 1000,
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (1, "", 101)
    assert lines[99].startswith("stdin: document 100, line 100, byte 297: ")
    assert lines[100] == "stdin: and 900 more"


@pytest.mark.parametrize("text", ["", "\n", '{"items":[]}'])
def test_nothing_in_it(text):
    """Whoever pipes nothing into it has asked for something, and a script must see that."""
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", TABLE], input=text,
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "stdin: no record and no Event in it\n"


def test_the_cluster_that_the_router_would_look_up(tmp_path):
    config = write(tmp_path / "c.yaml", {"routes": [{"match": {"cluster": "x"}, "sinks": ["a"]}],
                                         "sinks": {"a": {"type": "stdout"}}})
    printed = explain(config, text=json.dumps(LIST["items"][0]))
    assert '\n  1  no: cluster is "<looked up>"\n' in printed


@pytest.mark.parametrize("name", ["deployments", "deployment-pairs"])
def test_golden_deployments(name):
    """Changes and rollouts: as the schema says, and they come back as they are."""
    golden = (ROOT / f"tests/golden/records/{name}.ndjson").read_text()
    sent = re.findall(r"^      (\{.*\})$", explain(TABLE, "--payload", text=golden), re.MULTILINE)
    assert sent[::3] == golden.splitlines()
    for record in sent[::3]:
        RECORD.validate(json.loads(record))


def test_recorded_incident():
    """Its frames and its golden records: the same answers, and the records come back as they are."""
    frames = (ROOT / "tests/golden/recordings/events.ndjson").read_text()
    records = (ROOT / "tests/golden/records/events.ndjson").read_text()
    assert explain(TABLE, text=frames) == explain(TABLE, text=records)
    sent = re.findall(r"^      (\{.*\})$", explain(TABLE, "--payload", text=records), re.MULTILINE)
    assert sent[::3] == sent[1::3] == sent[2::3] == records.splitlines()
    for record in events(map(json.loads, sent[::3])):
        RECORD.validate(record)


def test_golden_restarts():
    """Records of pods: as the schema says, and they come back as they are."""
    golden = [line for name in ("records/restarts.ndjson", "pods/cases.txt")
              for line in (ROOT / "tests/golden" / name).read_text().splitlines()
              if line.startswith("{")]
    sent = re.findall(r"^      (\{.*\})$", explain(TABLE, "--payload", text="\n".join(golden)),
                      re.MULTILINE)
    assert sent[::3] == golden
    for record in golden:
        RECORD.validate(json.loads(record))


def test_restart_keys(tmp_path):
    """Keys of restart records: what they match, and what stood in the way."""
    restart = json.loads((ROOT / "tests/golden/records/restarts.ndjson").read_text().split("\n")[0])
    event = json.loads(RECORDS.split("\n")[0])
    config = write(tmp_path / "c.yaml", {
        "routes": [
            {"name": "oom", "match": {"restart": {"reason": "OOMKilled", "exitCode": "137"}},
             "sinks": ["a"]},
            {"name": "ended", "match": {"restart": {"exitCode": ["1", "!137"]}}, "sinks": ["a"]},
            {"name": "apps", "match": {"restart": {"container": ["!istio-proxy"]}}, "sinks": ["b"]}],
        "sinks": {"a": {"type": "stdout"}, "b": {"type": "stdout"}}})
    printed = explain(config, text=json.dumps(restart) + json.dumps(event))
    assert printed.split("\n\n")[0] == (
        "restart 66fe888a-436b-4656-a7da-a3500e7a6e2c-r87eba76e-1  Warning OOMKilled"
        "  shop/Pod/worker-844fd498d8-8qkf9  container worker\n"
        "  oom    yes -> a\n"
        '  ended  no: restart.exitCode is "137", excluded by "!137"\n'
        "  apps   yes -> b\n"
        "  sinks: a, b")
    assert printed.split("\n\n")[1].split("\n")[1:] == [
        "  oom    no: there is no restart.reason; there is no restart.exitCode",
        "  ended  no: there is no restart.exitCode",
        "  apps   yes -> b",
        "  sinks: b"]


# ---- usage ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, message", [
    ([], "-c FILE is missing"),
    (["-c"], "-c needs a file"),
    (["-c", "x", "--paylod"], 'unknown argument "--paylod"; did you mean "--payload"?'),
    (["-c", "x", "a", "b"], 'one FILE at a time, found "b" as well')])
def test_usage(arguments, message):
    done = subprocess.run([BIN / "eventrouter", "explain", *arguments], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (f"eventrouter explain: {message}\n"
                           "Usage: eventrouter explain -c FILE [FILE|-] [--payload]\n")


def test_bad_configuration(tmp_path):
    config = write(tmp_path / "c.yaml", {"sinks": {}})
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", config], input=INPUT,
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert ": error: " in done.stderr


def test_no_such_input(tmp_path):
    path = tmp_path / "nothing"
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", TABLE, path], capture_output=True,
                          text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (
        1, "", f"{path}: No such file or directory\n")
