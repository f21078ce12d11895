"""The elasticsearch sink, as Elasticsearch and OpenSearch see it, and what comes of their answers."""
import base64
import json
import os
import re
import subprocess

import pytest

from conftest import BIN, LIMIT, RECORD, ROOT, key, merge
from elastic import ELASTICSEARCH, OPENSEARCH, Elastic, error

GOLDEN = ROOT / "tests/golden/elasticsearch"
LIFECYCLE = {"rolloverAge": "24h", "rolloverSize": "50GiB", "deleteAfter": "720h"}


@pytest.fixture
def elastic():
    """elastic(...) starts a server of elastic.py."""
    started = []

    def start(*arguments, **more):
        started.append(Elastic(*arguments, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def to():
    """The configuration of a sink for these servers (or URLs)."""
    def make(*servers, **more):
        urls = [getattr(server, "url", server) for server in servers]
        target = {} if {"index", "alias", "dataStream"} & set(more) else {"index": "k8s"}
        return merge({"type": "elasticsearch", "url": urls[0], "moreUrls": urls[1:],
                      "batch": {"linger": "0"}, "retry": {"initial": "10ms", "max": "80ms"},
                      "timeout": {"connect": "1s", "request": "2s"}, **target}, more)
    return make


def record_of(document):
    """The record that a document of the layout record was."""
    record = dict(document)
    assert record.pop("@timestamp") == record["time"]
    for name in ("diff", "patch"):
        if name in record.get("change", {}):
            record["change"] = {**record["change"], name: json.loads(record["change"][name])}
    RECORD.validate(record)
    return record


def assert_all(fake, server, index="k8s"):
    """Each record once, under its id."""
    assert sorted(key(record_of(document)) for document in server.documents.values()) == sorted(
        fake.versions())
    assert {(where, record["id"]) for (where, _), record in server.documents.items()} == {
        (index, name) for _, name in server.documents}


# ---- results ----

def test_records_arrive(fake, router, elastic, to):
    server = elastic(OPENSEARCH)
    fake.script("burst 500")
    r = router(sinks={"es": to(server, batch={"records": 100})})
    server.wait(500)
    assert_all(fake, server)
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 500
    line = r.logged("connected")[0]
    assert (line["product"], line["version"]) == ("OpenSearch", "2.19.3")
    assert server.calls() == [("GET", "/", 200)]


def test_each_result_is_its_records(fake, router, elastic, to):
    """201, 400 and 429 in one batch; what is tried again is answered with 201, or 409."""
    busy = {f"busy-{i}" for i in range(5)}

    def judge(_index, document):
        name = document["object"]["name"]
        if name.startswith("bad"):
            return 400, "mapper_parsing_exception"
        if name in busy:
            busy.remove(name)
            return 429, "es_rejected_execution_exception"
        return None

    server = elastic(OPENSEARCH, judge=judge)
    fake.script("\n".join(f"put {kind}.{i} object={kind}-{i}" for i in range(5)
                          for kind in ("good", "bad", "busy")))
    r = router(sinks={"es": to(server), "probe": {"type": "stdout"}})
    server.wait(10)
    r.wait_metric(lambda v: v == 5, "sink_rejected_total", sink="es", reason="refused")
    assert sorted(document["object"]["name"] for document in server.documents.values()) == sorted(
        f"{kind}-{i}" for kind in ("good", "busy") for i in range(5))
    assert r.stop() == 0
    assert {line["error"] for line in r.logged("record rejected")} == {
        "400 mapper_parsing_exception: no reason"}
    ledger = r.sink_ledger("es")
    assert (ledger["delivered"], ledger["rejected"]) == (10, 5)


def test_what_is_there_counts_as_delivered(fake, router, elastic, to):
    server = elastic(OPENSEARCH)
    fake.script("burst 50")
    first = router(sinks={"es": to(server)})
    server.wait(50)
    assert first.stop() == 0
    before = dict(server.documents)
    again = router(sinks={"es": to(server)})
    again.wait_metric(lambda v: v == 50, "sink_duplicates_total", sink="es")
    assert again.metric("sink_delivered_total", sink="es") == 50
    assert server.documents == before


@pytest.mark.parametrize("broken", [{"items": []}, {}, {"took": 1, "errors": False},
                                    {"items": [{"create": {"status": 201}}] * 9}, []],
                         ids=["none", "empty", "no-items", "short", "array"])
def test_nothing_is_delivered_without_its_result(fake, router, elastic, to, broken):
    server = elastic(OPENSEARCH)
    server.answers["POST", "/_bulk"] = (200, broken)
    fake.script("burst 10")
    r = router(sinks={"es": to(server)})
    server.wait_bulks(3)
    assert r.metric("sink_delivered_total", sink="es") == 0
    line = r.wait_log("the sink is unavailable, records are kept and tried again")
    assert line["error"].startswith("the answer to _bulk is not understood: ")
    with server.changed:
        del server.answers["POST", "/_bulk"]
    server.wait(10)
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 10


DENIED = "the sink denies us, records are kept and tried slowly"
UNAVAILABLE = "the sink is unavailable, records are kept and tried again"
BLOCKS = {"read-only": ((403, "cluster_block_exception"), DENIED,
                        "; lift the block of the index"),
          "security": ((403, "security_exception"), DENIED,
                       "; check the privileges of auth: create_doc on the target"),
          "no-index": ((404, "index_not_found_exception"), DENIED,
                       "; create it, or let it be created (action.auto_create_index, privilege "
                       "auto_configure)"),
          "disk-full": ((429, "cluster_block_exception"), UNAVAILABLE, "")}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_waited_for(fake, router, elastic, to, name):
    """Records are kept, the reason is told, and when it is gone everything arrives."""
    result, message, advice = BLOCKS[name]
    blocked = [True]
    server = elastic(OPENSEARCH, judge=lambda *_: result if blocked else None)
    fake.script("burst 10")
    r = router(sinks={"es": to(server)})
    server.wait_bulks(2)
    said = r.wait_log(message)
    assert said["error"] == f"{result[0]} {result[1]}: no reason{advice}"
    assert r.metric("sink_delivered_total", sink="es") == 0
    assert r.metric("sink_rejected_total", sink="es") == 0
    counted = "cluster_block_exception" in result
    assert (r.metric("sink_blocked_total", sink="es") > 0) == counted
    if name == "disk-full":
        r.wait_log("the index is blocked, records are kept; is a disk of the cluster full?")
        assert said["retryInMs"] >= 80  # the longest wait at once: only people lift it
    blocked.clear()
    server.wait(10)
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 10


def test_a_mapping_that_takes_nothing_is_said(fake, router, elastic, to):
    server = elastic(OPENSEARCH, judge=lambda *_: (400, "strict_dynamic_mapping_exception"))
    fake.script("burst 10")
    r = router(sinks={"es": to(server, batch={"records": 10, "linger": "10s"})})
    line = r.wait_log("every record of a batch was refused, is the mapping or the target wrong?")
    assert (line["records"], line["severity"]) == (10, "ERROR")
    assert r.stop() == 0
    assert r.sink_ledger("es")["rejected"] == 10


# ---- whole answers, by er_fake ----

def bulk_ids(fake, sink):
    return {json.loads(action)["create"]["_id"] for request in fake.requests(sink)
            for action in request["body"].splitlines()[::2]}


@pytest.mark.parametrize("fault", ["answer 429 times 3", "answer 503 retry-after 0 times 3",
                                   "answer 502 times 2", "reset 100 times 2", "refuse times 2"])
def test_the_whole_request_again(fake, router, to, fault):
    fake.script(f"sink a bulk\nsink a {fault}\nburst 200")
    r = router(sinks={"es": to(f"{fake.sinks}/a", batch={"records": 50})})
    fake.wait("sink a accepted >= 200")
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 200
    assert len(bulk_ids(fake, "a")) == 200


def test_a_body_too_large_is_halved(fake, router, to):
    fake.script("sink a bulk\nsink a max-body 20000\nput big.1 message=@x:30000\nburst 200")
    r = router(sinks={"es": to(f"{fake.sinks}/a", batch={"records": 100})})
    fake.wait("sink a accepted >= 200")
    r.wait_metric(lambda v: v == 1, "sink_rejected_total", sink="es", reason="too_large")
    assert r.stop() == 0
    ledger = r.sink_ledger("es")
    assert (ledger["delivered"], ledger["rejected"]) == (200, 1)


def test_one_document_that_breaks_the_request(fake, router, elastic, to):
    """A server that refuses the whole for one: halved, until it is alone."""
    server = elastic(OPENSEARCH)
    real = server.answer

    def answer(method, path, body):
        return (400, error("action_request_validation_exception")) if b"the poison" in body else real(
            method, path, body)

    server.answer = answer
    fake.script('put bad.1 message="the poison"\nburst 63')
    r = router(sinks={"es": to(server)})
    server.wait(63)
    r.wait_metric(lambda v: v == 1, "sink_rejected_total", sink="es", reason="refused")
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 63


@pytest.mark.parametrize("status, body", [
    (400, "<html>\n<title>400 The plain HTTP request was sent to HTTPS port</title>"),
    (400, '{"error":"no handler found for uri [/a/b/_bulk] and method [POST]"}'),
    (400, '{"statusCode":400,"error":"Bad Request","message":"Request must contain a header."}'),
    (409, ""), (411, ""), (422, "no"), (431, "")], ids=str)
def test_what_stands_before_the_server_rejects_nothing(fake, router, to, status, body):
    fake.script(f"sink a bulk\nsink a answer {status} body {json.dumps(body)} times 2\n"  # GET / and the first _bulk
                "burst 20")
    r = router(sinks={"es": to(f"{fake.sinks}/a")})
    said = r.wait_log(DENIED)
    shown = f": {body}; ".replace("\n", " ") if body else ": "
    assert said["error"].endswith(f"from {fake.sinks}/a/_bulk{shown}check sinks.es.url")
    fake.wait("sink a accepted >= 20")
    assert r.stop() == 0
    ledger = r.sink_ledger("es")
    assert (ledger["delivered"], ledger["rejected"]) == (20, 0)


# ---- addresses ----

def test_failover(fake, router, elastic, to):
    """One address refuses, one answers 503, one works; later the last fails and another is back."""
    down, up = elastic(OPENSEARCH), elastic(OPENSEARCH)
    down.answers["POST", "/_bulk"] = down.answers["GET", "/"] = (503, {})
    fake.script("burst 100")
    r = router(sinks={"es": to("http://127.0.0.1:1", down, up, batch={"records": 10})})
    up.wait(100)
    assert len(down.requests) == 1  # it rests
    for url, error in (("http://127.0.0.1:1/", "cannot connect to 127.0.0.1:1: connection refused"),
                       (f"{down.url}/", f"503 from {down.url}/")):
        r.wait_log("one of the URLs does not serve, the others are used", url=url, error=error)
    with down.changed:
        down.answers.clear()
    up.answers["POST", "/_bulk"] = (503, {})
    fake.script("burst 100 prefix more")
    down.wait(100)
    r.wait_log("one of the URLs serves again", url=f"{down.url}/_bulk")
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 200


def test_all_addresses_fail(fake, router, to):
    fake.script("put a.1")
    r = router(sinks={"es": to("http://127.0.0.1:1", "http://127.0.0.1:2")})
    r.wait_log("one of the URLs does not serve, the others are used", url="http://127.0.0.1:1/")
    r.wait_log("one of the URLs does not serve, like all the others", url="http://127.0.0.1:2/")


# ---- credentials ----

@pytest.mark.parametrize("auth, header", [
    ({"basic": {"username": "router", "password": "secret"}},
     "Basic " + base64.b64encode(b"router:secret").decode()),
    ({"bearer": "a-token"}, "Bearer a-token"),
    ({"apiKey": {"value": "an-id:a-key"}}, "ApiKey " + base64.b64encode(b"an-id:a-key").decode()),
    ({"apiKey": {"value": "ZW5jb2RlZA=="}}, "ApiKey ZW5jb2RlZA=="),
], ids=["basic", "bearer", "id-and-key", "encoded-key"])
def test_credentials(fake, router, elastic, to, auth, header):
    server = elastic(ELASTICSEARCH)
    fake.script("burst 5")
    router(sinks={"es": to(server, auth=auth)})
    server.wait(5)
    assert {headers["Authorization"] for _, _, headers, _, _ in server.requests} == {header}


def test_a_wrong_key_is_said_and_a_new_one_used(fake, router, elastic, to, tmp_path):
    file = tmp_path / "key"
    file.write_text("id:old\n")
    good = "ApiKey " + base64.b64encode(b"id:new").decode()
    server = elastic(ELASTICSEARCH)
    server.authorization = good
    fake.script("burst 5")
    r = router(sinks={"es": to(server, auth={"apiKey": {"value": {"file": str(file)}}})})
    line = r.wait_log("the sink denies us, records are kept and tried slowly")
    assert line["error"] == (f'401 Unauthorized from {server.url}/: {{"error": "no"}}; '
                             "check sinks.es.auth")
    fresh = tmp_path / "fresh"
    fresh.write_text("id:new\n")
    os.rename(fresh, file)
    server.wait(5)
    assert "old" not in json.dumps(r.lines)


# ---- targets ----

def test_the_index_of_the_records_day(fake, router, elastic, to):
    server = elastic(OPENSEARCH)
    fake.script("put old.1 lastTimestamp=2025-12-31T23:59:59Z\nput new.1 lastTimestamp=2026-01-01T00:00:00Z")
    router(sinks={"es": to(server, index="k8s-{yyyy.MM.dd}-x")})
    server.wait(2)
    assert sorted((index, document["time"]) for (index, _), document in server.documents.items()) == [
        ("k8s-2025.12.31-x", "2025-12-31T23:59:59Z"), ("k8s-2026.01.01-x", "2026-01-01T00:00:00Z")]


def test_one_days_index_is_blocked(fake, router, elastic, to):
    """Its records wait, and those of other days do not."""
    blocked = [True]
    result = (403, "cluster_block_exception")
    server = elastic(OPENSEARCH, judge=lambda index, _: result if blocked and index == "k8s-2025.12.31" else None)
    old, new = ("lastTimestamp=2025-12-31T12:00:00Z", "lastTimestamp=2026-01-01T12:00:00Z")
    r = router(sinks={"es": to(server, index="k8s-{yyyy.MM.dd}")})
    fake.script(f"wait watches open >= 1\nburst 3 prefix old {old}\nburst 20 prefix new {new}\nput last {old}")
    line = r.wait_log("the sink refuses a target, its records are set aside and tried slowly")
    assert line["target"] == "k8s-2025.12.31"
    assert line["error"] == "403 cluster_block_exception: no reason; lift the block of the index"
    server.wait(20)
    r.wait_metric(lambda n: n == 4, "sink_set_aside_records", sink="es")
    r.wait_metric(lambda n: n == 20, "sink_delivered_total", sink="es")
    assert r.metric("sink_state", sink="es", state="denied") == 1
    blocked.clear()
    server.wait(24)
    r.wait_metric(lambda n: n == 1, "sink_state", sink="es", state="ok")
    line = r.wait_log("the sink takes the target again, its records go first")
    assert (line["target"], line["setAside"]) == ("k8s-2025.12.31", 3)
    assert not r.logged(DENIED)
    assert r.stop() == 0
    assert r.sink_ledger("es")["delivered"] == 24


PARAMETERS = ("filter_path=items.*.status,items.*.error.type,items.*.error.reason,items.*.error.index,"
              "items.*.error.caused_by.reason,items.*.failure_store&timeout=")


@pytest.mark.parametrize("root, target, query", [
    (ELASTICSEARCH, {"index": "k8s"}, ""),
    (ELASTICSEARCH, {"alias": "k8s"}, "&require_alias=true"),
    (OPENSEARCH, {"alias": "k8s"}, "&require_alias=true"),
    (ELASTICSEARCH, {"dataStream": "k8s"}, "&require_data_stream=true"),
    ({"version": {"number": "8.12.0"}}, {"dataStream": "k8s"}, ""),
    (OPENSEARCH, {"dataStream": "k8s"}, ""),
    (None, {"dataStream": "k8s", "pipeline": "a/b c"}, "&pipeline=a%2Fb%20c"),
])
def test_guards(fake, router, elastic, to, root, target, query):
    server = elastic(root)
    fake.script("burst 5")
    r = router(sinks={"es": to(server, compression="gzip", **target)})
    server.wait(5)
    assert {path for _, path, *_ in server.bulks()} == {f"/_bulk?{PARAMETERS}1333ms{query}"}  # request: 2s
    assert {headers["Content-Encoding"] for _, _, headers, _, _ in server.bulks()} == {"gzip"}
    if root is None:
        r.wait_log("the server does not say what it is (privilege monitor); it is taken as it comes")


@pytest.mark.parametrize("status", [400, 403, 404, 405, 501])
def test_what_does_not_tell_what_it_is(fake, router, elastic, to, status):
    """Something that takes _bulk and knows no GET /."""
    server = elastic(OPENSEARCH)
    server.answers["GET", "/"] = (status, {})
    fake.script("burst 5")
    r = router(sinks={"es": to(server)})
    server.wait(5)
    assert r.stop() == 0
    assert len(r.logged("the server does not say what it is (privilege monitor); it is taken as it "
                        "comes")) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_cannot_tell_yet_what_it_is(fake, router, elastic, to, status):
    server = elastic(OPENSEARCH)
    server.answers["GET", "/"] = (status, {})
    fake.script("burst 5")
    r = router(sinks={"es": to(server)})
    line = r.wait_log("the sink is unavailable, records are kept and tried again")
    assert line["error"].startswith(f"{status} ")
    assert server.bulks() == []
    with server.changed:
        server.answers.clear()
    server.wait(5)
    r.wait_log("connected")


def test_too_old(fake, router, elastic, to):
    server = elastic({"version": {"number": "6.8.23"}})
    r = router(sinks={"es": to(server)})
    line = r.wait_log("the sink denies us, records are kept and tried slowly")
    assert line["error"] == "Elasticsearch 6.8.23 is too old; 7.10 is the oldest that works"


# ---- setup ----

TARGETS = {"data-stream": {"dataStream": "logs-k8s.events-default", "layout": "ecs",
                           "lifecycle": LIFECYCLE},
           "alias": {"alias": "k8s-events", "lifecycle": {"rolloverAge": "90m", "deleteAfter": "36h"}},
           "dated": {"index": "k8s-events-{yyyy.MM.dd}", "lifecycle": {"deleteAfter": "168h"}},
           "plain": {"index": "k8s-events"}}
NAMES = {"data-stream": "eventrouter-logs-k8s.events-default-stream", "alias": "eventrouter-k8s-events-alias",
         "plain": "eventrouter-k8s-events-index"}
PRODUCTS = {"elasticsearch": (ELASTICSEARCH, "/_ilm/policy/"),
            "opensearch": (OPENSEARCH, "/_plugins/_ism/policies/")}


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("name", TARGETS)
def test_setup_creates_what_is_missing_once(fake, router, elastic, to, name, product):
    """Bodies are golden; a second start changes nothing. ER_GOLDEN_OUT=1 writes them anew."""
    root, prefix = PRODUCTS[product]
    server, target = elastic(root), TARGETS[name]
    policy = prefix + NAMES.get(name, "eventrouter-k8s-events")
    template = "/_index_template/" + NAMES.get(name, "eventrouter-k8s-events")
    fake.script("burst 5")
    r = router(sinks={"es": to(server, setup=True, **target)})
    server.wait(5)
    assert r.stop() == 0
    expected = [("GET", "/", 200)]
    if "lifecycle" in target:
        expected += [("GET", policy, 404), ("PUT", policy, 200)]
    expected += [("GET", template, 404), ("PUT", template + "?create=true", 200)]
    if "alias" in target:
        expected += [("GET", "/_alias/k8s-events", 404), ("PUT", "/k8s-events-000001", 200)]
    assert server.calls() == expected
    said = [(line["what"], line["name"]) for line in r.logged("setup created what was missing")]
    assert len(said) == len([call for call in expected if call[0] == "PUT"])
    bodies = {path: body for path, body in server.stored.items() if not path.startswith("/_alias/")}
    golden = GOLDEN / f"setup-{name}-{product}.json"
    text = json.dumps(bodies, indent=1) + "\n"
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(text)
    assert text == golden.read_text()
    server.requests.clear()
    fake.script("burst 5 prefix more")
    again = router(sinks={"es": to(server, setup=True, **target)})
    server.wait(10)
    assert again.stop() == 0
    assert server.calls() == [(method, path, 200) for method, path, _ in expected if method == "GET"]
    assert again.logged("setup created what was missing") == []


def test_no_policies_there(fake, router, elastic, to):
    server = elastic(OPENSEARCH, policies=False)
    fake.script("burst 5")
    r = router(sinks={"es": to(server, setup=True, **TARGETS["alias"])})
    server.wait(5)
    assert r.stop() == 0
    lines = r.logged("the server has no policies for indices, lifecycle is left out")
    assert [(line["product"], line["version"]) for line in lines] == [("OpenSearch", "2.19.3")]
    template = server.stored["/_index_template/eventrouter-k8s-events-alias"]["template"]
    assert "settings" not in template


def test_a_template_that_another_router_made_meanwhile(fake, router, elastic, to):
    server = elastic(OPENSEARCH)
    template = "/_index_template/eventrouter-k8s-index"
    real = server.answer

    def answer(method, path, body):
        if (method, path) == ("PUT", template):
            real(method, path, b'{"theirs": true}')
            return 400, {"error": {"type": "illegal_argument_exception", "reason": "already exists"}}
        return real(method, path, body)

    server.answer = answer
    fake.script("burst 5")
    router(sinks={"es": to(server, setup=True)})
    server.wait(5)
    assert server.stored[template] == {"theirs": True}


def test_a_template_of_another_name(fake, router, elastic, to):
    """In a server's words: it takes no second one for the same indices."""
    server = elastic(OPENSEARCH)
    reason = ("index template [eventrouter-k8s-index] has index patterns [k8s] matching patterns from existing templates "
              "[theirs] with patterns (theirs => [k8s]) that have the same priority [403], multiple index templates may "
              "not match during index creation, please use a different priority")
    server.answers["PUT", "/_index_template/eventrouter-k8s-index"] = (400, error("illegal_argument_exception", reason))
    fake.script("burst 5")
    r = router(sinks={"es": to(server, setup=True)})
    line = r.wait_log("another index template for our indices is there already; it is used as it is")
    assert line["error"].startswith("400 Bad Request from http://127.0.0.1:")
    assert ": illegal_argument_exception: index template [eventrouter-k8s-index] has" in line["error"]
    server.wait(5)


@pytest.mark.parametrize("patterns, is_ours", [
    (["k8s"], True), (["other", "k8s"], True), (["k8s-*"], False), ([], False)])
def test_a_template_of_that_name_for_others(fake, router, elastic, to, patterns, is_ours):
    """It is left as it is, and said when it does not name our indices."""
    server = elastic(OPENSEARCH)
    server.answers["GET", "/_index_template/eventrouter-k8s-index"] = (200, {"index_templates": [
        {"name": "eventrouter-k8s-index", "index_template": {"index_patterns": patterns}}]})
    fake.script("burst 5")
    r = router(sinks={"es": to(server, setup=True)})
    server.wait(5)
    assert r.stop() == 0
    said = r.logged("the index template is there already, but not for our indices; it is left as it is")
    assert [(line["name"], line["indices"]) for line in said] == [("eventrouter-k8s-index", "k8s")] * (
        not is_ours)
    assert server.stored == {}


def test_all_kinds_of_targets_beside_each_other(fake, router, elastic, to):
    """Templates and policies of one name each, none in place of another's."""
    server = elastic(ELASTICSEARCH)
    fake.script("burst 5")
    r = router(sinks={name: to(server, setup=True, **{**target, **({"dataStream": "k8s-events"} if
                                                                   "dataStream" in target else {})})
                      for name, target in TARGETS.items()})
    server.wait(10)  # three of them have the same index here
    assert r.stop() == 0
    assert {path for path in server.stored if path.startswith("/_index_template/")} == {
        f"/_index_template/eventrouter-k8s-events{end}" for end in ("", "-alias", "-index", "-stream")}


@pytest.mark.parametrize("method, path, what", [
    ("GET", "/_ilm/policy/eventrouter-k8s-events-alias", "read the ILM policy"),
    ("PUT", "/_ilm/policy/eventrouter-k8s-events-alias", "create the ILM policy"),
    ("GET", "/_index_template/eventrouter-k8s-events-alias", "read the index template"),
    ("PUT", "/_index_template/eventrouter-k8s-events-alias", "create the index template"),
    ("GET", "/_alias/k8s-events", "read the alias"),
    ("PUT", "/k8s-events-000001", "create the first index of the alias"),
])
def test_setup_without_the_privilege(fake, router, elastic, to, method, path, what):
    """It is said what cannot be done; the records wait, and nothing is written before."""
    server = elastic(ELASTICSEARCH)
    server.answers[method, path] = (403, error("security_exception", "it is unauthorized"))
    fake.script("burst 5")
    r = router(sinks={"es": to(server, setup=True, **TARGETS["alias"])})
    line = r.wait_log("the sink denies us, records are kept and tried slowly")
    query = "?create=true" if path.startswith("/_index") and method == "PUT" else ""
    assert line["error"].startswith(f"setup cannot {what}: 403 Forbidden from {server.url}{path}")
    assert line["error"].endswith(": security_exception: it is unauthorized")
    assert query == "" or (method, path + query, 403) in server.calls()
    assert server.bulks() == []
    with server.changed:
        server.answers.clear()
    server.wait(5)
    r.wait_log("connected")
    assert r.stop() == 0
    assert len(r.logged("connected")) == 1


def test_setup_waits_for_a_server_that_comes_later(fake, router, elastic, to):
    server = elastic(OPENSEARCH)
    server.answers["GET", "/_index_template/eventrouter-k8s-index"] = (503, {})
    fake.script("burst 5")
    r = router(sinks={"es": to(server, setup=True)})
    r.wait_log("the sink is unavailable, records are kept and tried again")
    with server.changed:
        server.answers.clear()
    server.wait(5)
    assert "/_index_template/eventrouter-k8s-index" in server.stored


# ---- documents ----

def explained(tmp_path, records, **sink):
    """The bodies that explain shows for records."""
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"cluster": "c1", "sinks": {"es": {
        "type": "elasticsearch", "url": "http://es.example:9200/es/", **sink}}}))
    done = subprocess.run([BIN / "eventrouter", "explain", "-c", config, "--payload"], input=records,
                          capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


LAYOUTS = {"record": {"index": "k8s-{yyyy.MM.dd}"},
           "ecs": {"dataStream": "logs-k8s.events-default", "layout": "ecs"}}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_golden_documents(tmp_path, layout):
    """records.ndjson, of every kind, as they are sent."""
    records = (GOLDEN / "records.ndjson").read_text()
    assert {json.loads(line)["kind"] for line in records.splitlines()} == {
        "event", "change", "rollout", "restart", "gap", "notice"}
    sent = "".join(line + "\n" for line in re.findall(
        r"^      (\{.*\})$", explained(tmp_path, records, **LAYOUTS[layout]), re.MULTILINE))
    golden = GOLDEN / f"{layout}.ndjson"
    if os.environ.get("ER_GOLDEN_OUT"):
        golden.write_text(sent)
    assert sent == golden.read_text()
    if layout == "record":
        assert [record_of(json.loads(line)) for line in sent.splitlines()[1::2]] == [
            json.loads(line) for line in records.splitlines()]


def all_records():
    """All records in golden files, each kind in many forms."""
    for path in sorted((ROOT / "tests/golden").glob("*/*.ndjson")):
        if path.parent != GOLDEN or path.name == "records.ndjson":
            for line in path.read_text().splitlines():
                if json.loads(line).get("schema"):
                    yield line


def paths(value, at=""):
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{at}.{name}" if at else name)
    else:
        yield at


def mapped(properties, at=""):
    for name, field in properties.items():
        if "properties" in field:
            yield from mapped(field["properties"], f"{at}{name}.")
        else:
            yield f"{at}{name}"


@pytest.mark.parametrize("layout, template", [("record", "setup-plain-opensearch.json"),
                                              ("ecs", "setup-data-stream-opensearch.json")])
def test_the_template_has_every_field(tmp_path, layout, template):
    """What the documents of all golden records have; no name has a dot in it; the labels are few."""
    text = explained(tmp_path, "\n".join(all_records()), **LAYOUTS[layout])
    documents = [json.loads(line) for line in re.findall(r'^      (\{"@timestamp.*\})$', text,
                                                         re.MULTILINE)]
    assert len(documents) > 300
    body = json.loads((GOLDEN / template).read_text())
    mapping = next(one for path, one in body.items() if "template" in path)["template"]["mappings"]
    assert mapping["dynamic"] is False
    known = set(mapped(mapping["properties"]))
    found = {path for document in documents for path in paths(document)}
    labels = {path for path in found if path.startswith("labels.")}
    assert found - labels <= known
    assert len(labels) < 80 and all(re.fullmatch(r"labels\.[a-z_]+", label) for label in labels)
    assert all(isinstance(value, str) for document in documents
               for value in document.get("labels", {}).values())
    if layout == "record":  # and the other way round: nothing that no record can have
        schema = json.dumps(RECORD.schema)
        assert all(f'"{name}"' in schema for path in known - {"@timestamp"}
                   for name in path.split("."))


def test_explain_shows_the_first_address(tmp_path):
    records = (GOLDEN / "records.ndjson").read_text()
    printed = explained(tmp_path, records, index="a", moreUrls=["http://other.example:9200"])
    assert printed.count("      POST http://es.example:9200/es/_bulk?") == len(records.splitlines())


def test_explain_shows_the_request(tmp_path):
    record = (GOLDEN / "records.ndjson").read_text().splitlines()[0]
    printed = explained(tmp_path, record, dataStream="logs-k8s.events-default", pipeline="a b",
                        auth={"apiKey": {"value": "an-id:a-key"}}, compression="gzip")
    assert (f"      POST http://es.example:9200/es/_bulk?{PARAMETERS}20000ms&pipeline=a%20b"
            "&require_data_stream=<looked up>\n"
            "      Content-Type: application/x-ndjson\n"
            "      Content-Encoding: gzip\n"
            "      Authorization: ***\n"
            "\n"
            '      {"create":{"_index":"logs-k8s.events-default",') in printed
    assert "a-key" not in printed


def test_a_message_as_long_as_it_may_be(fake, router, elastic, to):
    """Keywords of the layout ecs have a limit; the message has none of its own."""
    server = elastic(OPENSEARCH)
    fake.script("put a.1 message=@x:65536 reason=@x:5000")
    router(sinks={"es": to(server, layout="ecs")})
    server.wait(1)
    (document,) = server.documents.values()
    assert document["message"] == "x" * 65536
    assert document["event"]["reason"] == "x" * 1024


# ---- crashes ----

def test_killed_and_started_again(fake, router, to, tmp_path):
    """Five times, in the middle of it: each record is there once."""
    fake.script("sink a bulk\nsink a answer 503 times 2")
    config = {"sinks": {"es": to(f"{fake.sinks}/a", batch={"records": 50})},
              "state": {"store": "sqlite", "path": str(tmp_path / "state"), "interval": "50ms"}}
    for cycle in range(5):
        r = router(**config)
        fake.script(f"background burst 400 prefix c{cycle} rate 4000")
        fake.wait(f"sink a accepted >= {cycle * 400 + 150}")
        r.kill()
    last = router(**config)
    fake.wait("sink a accepted >= 2000")
    last.wait_metric(lambda v: v == 0, "sink_queue_records", sink="es")
    assert last.stop() == 0
    assert fake.state()["sinks"]["a"]["accepted"] == 2000
    assert len(bulk_ids(fake, "a")) == 2000
