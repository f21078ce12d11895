"""The elasticsearch sink against a real OpenSearch: what it stores, refuses, and survives.

Events come from tests/support/er_fake."""
import json
import pathlib
import re
import subprocess
import time

import pytest

import opensearch
import programs

ROOT = pathlib.Path(__file__).resolve().parents[2]
LIMIT = 60
NUMBER, KILLS = 100_000, 5


@pytest.fixture(scope="session")
def installed():
    reason = opensearch.why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module")
def server(installed, tmp_path_factory):
    one = opensearch.OpenSearch(tmp_path_factory.mktemp("opensearch"))
    yield one
    one.kill()


@pytest.fixture
def start(start_router, fake, tmp_path):
    """start(server, index=..., ...) runs the router with that sink; state=True keeps resume points."""

    def run(server, state=False, **sink):
        more = {"state": {"path": str(tmp_path / "state"), "interval": "100ms"}} if state else {}
        es = {"type": "elasticsearch", "url": server.url, "retry": {"initial": "50ms", "max": "1s"},
              "batch": {"linger": "50ms"}, **sink}
        return start_router(fake.config(tmp_path, cluster="test", sinks={"es": es}, **more))

    return run


def wait_until(condition, router, what):
    end = time.monotonic() + LIMIT
    while not condition():
        assert router.process.poll() is None and time.monotonic() < end, (what, router.tail())
        time.sleep(0.02)


def wait_log(router, message):
    found = []
    wait_until(lambda: found.extend(line for line in router.log() if line["message"] == message) or
               found, router, message)
    return found[0]


def delivered(router):
    assert router.stop() == 0
    (sink,) = router.ledger()["sinks"]
    return sink["delivered"], sink["rejected"]


# ---- loss and repetition ----

def test_killed_five_times(server, fake, start, capsys):
    """100,000 records while the router is killed with -9: each is there once, under its id."""
    options = {"state": True, "index": "loss-{yyyy.MM.dd}", "setup": True}
    router = start(server, **options)
    router.wait_ready()
    fake.wait("watches open >= 1")
    begin = time.monotonic()
    # two days of records, so that two indices are written at the same time
    for i in range(4):
        fake.script(f"background burst {NUMBER // 4} prefix p{i} namespace ns-{i} rate 4000 "
                    f"lastTimestamp=2026-01-0{1 + i % 2}T12:00:00Z")
    for _ in range(KILLS):
        wait_until(lambda: router.admin_port() and
                   router.metric("sink_delivered_total") >= 8000, router, "records delivered")
        router.kill()
        router = start(server, **options)
        wait_until(router.admin_port, router, "start")
    server.wait_count("loss-*", NUMBER, 3 * LIMIT)
    took = time.monotonic() - begin
    wait_until(lambda: router.metric("sink_queue_records") == 0 and
               router.metric("sink_in_flight_records") == 0, router, "the end")
    duplicates = router.metric("sink_duplicates_total")
    assert router.stop() == 0
    router.ledger()
    found = server.documents("loss-*", source=["time"])
    assert sorted(found) == sorted(fake.ids())
    assert {(index, document["time"][:10]) for index, document in found.values()} == {
        ("loss-2026.01.01", "2026-01-01"), ("loss-2026.01.02", "2026-01-02")}
    with capsys.disabled():
        print(f"\n{NUMBER} records with {KILLS} kills in {took:.1f} s; "
              f"{duplicates:.0f} repetitions by the last router")


def test_the_servers_own_limit(server, fake, start, capsys):
    """Not a test of speed: what the router does of what this server can do, as figures."""
    fake.script("\n".join(f"burst 2500 prefix s{i} namespace ns-{i}" for i in range(8)))
    begin = time.monotonic()
    router = start(server, index="speed", setup=True)
    wait_until(lambda: router.admin_port() and
               router.metric("sink_delivered_total") >= 20000, router, "records")
    ours = 20000 / (time.monotonic() - begin)
    assert delivered(router) == (20000, 0)
    text = "".join(json.dumps({"create": {"_index": "bare", "_id": name}}) + "\n" +
                   json.dumps(document, separators=(",", ":")) + "\n"
                   for name, (_, document) in list(server.documents("speed").items())[:10000])
    lines = text.encode().splitlines(keepends=True)
    server.ask("PUT", "/bare", server.ask("GET", "/speed/_mapping")["speed"])
    begin = time.monotonic()
    for i in range(0, len(lines), 2000):
        assert not server.ask("POST", "/_bulk", b"".join(lines[i:i + 2000]))["errors"]
    bare = 10000 / (time.monotonic() - begin)
    with capsys.disabled():
        print(f"\nrecords a second: {ours:.0f} through the router, {bare:.0f} of a client that only "
              "posts ready bodies")


def test_the_node_is_killed_and_restarted(server, fake, start):
    router = start(server, index="restart")
    router.wait_ready()
    fake.script("background burst 10000 prefix r rate 4000")
    wait_until(lambda: router.metric("sink_delivered_total") >= 2000, router, "records")
    server.kill()
    wait_log(router, "the sink is unavailable, records are kept and tried again")
    server.start()
    wait_until(lambda: router.metric("sink_delivered_total") == 10000, router, "all records")
    assert delivered(router) == (10000, 0)
    assert sorted(server.documents("restart", source=False)) == sorted(fake.ids())


# ---- what single documents and blocks do ----

def test_a_mapping_conflict_rejects_its_document_only(server, fake, start):
    server.ask("PUT", "/conflict", {"mappings": {"properties": {"message": {"type": "date"}}}})
    fake.script('burst 50 prefix g message="2026-01-02"\nput bad.1 message="no date"\n'
                'burst 50 prefix h message="2026-01-02"')
    router = start(server, index="conflict")
    wait_until(lambda: router.admin_port() and
               router.metric("sink_delivered_total") == 100, router, "records")
    (line,) = [line for line in router.log() if line["message"] == "record rejected"]
    assert line["error"].startswith("400 mapper_parsing_exception: failed to parse field [message] of "
                                    "type [date]")
    assert json.loads(line["record"])["message"] == "no date"
    assert delivered(router) == (100, 1)
    assert server.count("conflict") == 100


@pytest.mark.parametrize("block, message, error", [
    ("read_only_allow_delete", "the index is blocked, records are kept; is a disk of the cluster full?",
     "429 cluster_block_exception: "),
    ("write", "the sink denies us, records are kept and tried slowly", "403 cluster_block_exception: "),
])
def test_blocks(server, fake, start, block, message, error):
    """Flood stage is 429 for each item; index.blocks.write is 403."""
    index = f"block-{block}"
    server.ask("PUT", f"/{index}", {})
    fake.script("burst 10 prefix a")
    router = start(server, index=index)
    server.wait_count(index, 10)
    server.ask("PUT", f"/{index}/_settings", {f"index.blocks.{block}": True})
    fake.script("burst 500 prefix b")
    line = wait_log(router, message)
    assert line["error"].startswith(error), line
    assert router.metric("sink_blocked_total") > 0
    assert (router.metric("sink_delivered_total"), router.metric("sink_rejected_total")) == (10, 0)
    server.ask("PUT", f"/{index}/_settings", {f"index.blocks.{block}": None})
    server.wait_count(index, 510)
    assert delivered(router) == (510, 0)
    assert sorted(server.documents(index, source=False)) == sorted(fake.ids())


def test_an_index_that_must_not_be_created(server, fake, start):
    server.ask("PUT", "/_cluster/settings",
               {"persistent": {"action.auto_create_index": "-forbidden,+*"}})
    fake.script("burst 10")
    router = start(server, index="forbidden")
    line = wait_log(router, "the sink denies us, records are kept and tried slowly")
    assert line["error"].startswith("404 index_not_found_exception: ")
    server.ask("PUT", "/forbidden", {})
    server.wait_count("forbidden", 10)
    assert delivered(router) == (10, 0)


def test_a_closed_index(server, fake, start):
    server.ask("PUT", "/clo", {})
    server.ask("POST", "/clo/_close")
    fake.script("burst 10")
    router = start(server, index="clo")
    line = wait_log(router, "the sink denies us, records are kept and tried slowly")
    assert line["error"] == "400 index_closed_exception: closed [clo]; open the index"
    server.ask("POST", "/clo/_open")
    server.wait_count("clo", 10)
    assert delivered(router) == (10, 0)


def test_a_cluster_that_is_read_only(server, fake, start):
    """403 for the whole request; no privilege of ours is missing."""
    server.ask("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": True}})
    try:
        fake.script("burst 10")
        router = start(server, index="readonly")
        line = wait_log(router, "the sink denies us, records are kept and tried slowly")
        assert line["error"].endswith("; lift the block of the cluster"), line
    finally:
        server.ask("PUT", "/_cluster/settings", {"persistent": {"cluster.blocks.read_only": None}})
    server.wait_count("readonly", 10)
    assert delivered(router) == (10, 0)


def test_an_index_without_a_primary_shard(server, fake, start):
    """The server waits for one longer than we do for an answer, unless told: the others' records count, and its
    own wait for it aside."""
    away = {"index.routing.allocation.include.x": "y"}
    server.ask("PUT", "/red-2026.01.02?wait_for_active_shards=0&timeout=1s", {"settings": away})
    fake.script("burst 10 prefix a\nburst 10 prefix b lastTimestamp=2026-01-05T00:00:00Z")
    router = start(server, index="red-{yyyy.MM.dd}", timeout={"request": "6s"})
    line = wait_log(router, "the sink refuses a target, its records are set aside and tried slowly")
    assert line["target"] == "red-2026.01.02"
    assert line["error"].startswith("503 unavailable_shards_exception: "
                                    "[red-2026.01.02][0] primary shard is not active"), line
    assert router.metric("sink_delivered_total") == 10
    server.ask("PUT", "/red-2026.01.02/_settings", {name: None for name in away})
    server.wait_count("red-*", 20)
    assert delivered(router) == (20, 0)


def test_a_cluster_that_allows_no_index_in_the_body(installed, fake, start, tmp_path):
    """rest.action.multi.allow_explicit_index refuses all requests with 400: no record is to blame."""
    (tmp_path / "server").mkdir()
    strict = opensearch.OpenSearch(tmp_path / "server",
                                   **{"rest.action.multi.allow_explicit_index": "false"})
    try:
        fake.script("burst 10")
        router = start(strict, index="explicit")
        line = wait_log(router, "the sink denies us, records are kept and tried slowly")
        assert line["error"].endswith("; set rest.action.multi.allow_explicit_index of the cluster to true")
        strict.kill()
        del strict.settings["rest.action.multi.allow_explicit_index"]
        strict.start()
        strict.wait_count("explicit", 10)
        assert delivered(router) == (10, 0)
    finally:
        strict.kill()


def test_limits_of_the_whole_request(installed, fake, start, tmp_path):
    """Indexing pressure refuses whole requests (429); a longer body than the server takes is 413."""
    (tmp_path / "server").mkdir()
    limited = opensearch.OpenSearch(tmp_path / "server",
                                    **{"indexing_pressure.memory.limit": "20kb"})
    try:
        fake.script("burst 2000 message=@x:2000")
        router = start(limited, index="limits", batch={"records": 1000, "bytes": "4MiB"})
        line = wait_log(router, "the sink is unavailable, records are kept and tried again")
        assert line["error"].startswith("429 Too Many Requests from "), line
        assert router.metric("sink_delivered_total") == 0
        limited.kill()
        del limited.settings["indexing_pressure.memory.limit"]
        limited.start(**{"http.max_content_length": "1mb"})
        limited.wait_count("limits", 2000)
        line = wait_log(router, "the sink takes smaller batches only")
        assert line["records"] < 1000
        assert delivered(router) == (2000, 0)
        assert sorted(limited.documents("limits", source=False)) == sorted(fake.ids())
    finally:
        limited.kill()


# ---- setup and layouts ----

TARGETS = {"dated": {"index": "setup-{yyyy.MM.dd}", "lifecycle": {"deleteAfter": "24h"}},
           "alias": {"alias": "setup-alias", "lifecycle": {"rolloverAge": "24h"}},
           "stream": {"dataStream": "logs-setup-e2e", "layout": "ecs",
                      "lifecycle": {"rolloverSize": "1GiB", "deleteAfter": "720h"}}}
FOUND = {"dated": "setup-2026.01.02", "alias": "setup-alias-000001",
         "stream": ".ds-logs-setup-e2e-000001"}


def test_setup_beside_a_template_of_another_name(server, fake, start):
    """The server takes no second one for the same indices: the first does, and is left as it is."""
    server.ask("PUT", "/_index_template/theirs", {"index_patterns": ["named-*"], "priority": 506})
    fake.script("burst 10")
    router = start(server, setup=True, index="named-{yyyy.MM.dd}")
    line = wait_log(router, "another index template for our indices is there already; it is used as it is")
    assert "index template [eventrouter-named] has index patterns [named-*] matching" in line["error"], line
    server.wait_count("named-*", 10)
    assert delivered(router) == (10, 0)
    assert "eventrouter-named" not in str(server.ask("GET", "/_index_template"))


@pytest.mark.parametrize("name", TARGETS)
def test_setup_twice(server, fake, start, name):
    """The template is the server's own afterwards, and used; there is no ISM here, which is said once."""
    target = TARGETS[name]
    pattern = target.get("alias") or target.get("dataStream") or "setup-*"
    fake.script("burst 100 prefix a")
    first = start(server, setup=True, **target)
    server.wait_count(pattern, 100)
    assert delivered(first) == (100, 0)
    made = [line["what"] for line in first.log() if line["message"] == "setup created what was missing"]
    assert made == ["index template"] + ["first index of the alias"] * (name == "alias")
    without = [line for line in first.log() if line["message"].startswith("the server has no policies")]
    assert len(without) == 1
    templates = server.ask("GET", "/_index_template")
    fake.script("burst 100 prefix b")
    second = start(server, setup=True, **target)
    server.wait_count(pattern, 200)
    second.stop()
    assert not [line for line in second.log() if line["message"] == "setup created what was missing"]
    assert server.ask("GET", "/_index_template") == templates
    mapping = server.ask("GET", f"/{FOUND[name]}/_mapping")[FOUND[name]]["mappings"]
    assert mapping["dynamic"] == "false"
    documents = server.documents(pattern)
    assert sorted(documents) == sorted(fake.ids())
    assert {index for index, _ in documents.values()} == {FOUND[name]}


def all_records():
    """The records in the golden files, and one of each kind."""
    for path in sorted((ROOT / "tests/golden").glob("*/*.ndjson")):
        if path.parent.name != "elasticsearch" or path.name == "records.ndjson":
            for line in path.read_text().splitlines():
                if json.loads(line).get("schema"):
                    yield line


def payload(tmp_path, **sink):
    """The bodies that the router would send of all records, as explain shows them."""
    (tmp_path / "explain.yaml").write_text(json.dumps({"cluster": "test", "sinks": {"es": {
        "type": "elasticsearch", "url": "http://localhost:9200", **sink}}}))
    printed = subprocess.run([pathlib.Path(programs.BIN_DIR) / "eventrouter", "explain", "-c",
                              tmp_path / "explain.yaml", "--payload"], input="\n".join(all_records()),
                             capture_output=True, text=True, check=True).stdout
    return re.findall(r'^      (\{"create.*\})\n      (\{"@timestamp.*\})$', printed, re.MULTILINE)


def test_ecs_documents_are_ecs(server, tmp_path):
    """A mapping of all fields of ECS, which refuses every other, takes all golden records."""
    fields = opensearch.ecs_fields()
    if isinstance(fields, str):
        pytest.skip(fields)
    server.ask("PUT", "/ecs-strict", {"settings": {"index.mapping.total_fields.limit": 5000},
                                      "mappings": opensearch.strict_mapping(fields)})
    pairs = payload(tmp_path, index="ecs-strict", layout="ecs")
    assert {json.loads(document)["labels"]["kind"] for _, document in pairs} == {
        "event", "change", "rollout", "restart", "gap", "notice"}
    # ids in golden files repeat: each document once is enough
    body = "".join(re.sub(r'"_id":"[^"]*"', f'"_id":"{i}"', action) + "\n" + document + "\n"
                   for i, (action, document) in enumerate(pairs))
    answer = server.ask("POST", "/_bulk", body.encode())
    wrong = [item["create"].get("error") for item in answer["items"] if item["create"]["status"] != 201]
    assert wrong == [] and len(answer["items"]) == len(pairs) > 300
    bad = json.dumps({"@timestamp": "2026-01-02T03:04:05Z", "kubernetes": {"pod": "x"}})
    status, _ = server.call("POST", "/ecs-strict/_doc", json.loads(bad))
    assert status == 400  # it is strict


def test_no_record_stands_in_anothers_way(server, tmp_path):
    """The layout record in an index without any template: types are guessed, and fit all records."""
    pairs = payload(tmp_path, index="guessed")
    body = "".join(re.sub(r'"_id":"[^"]*"', f'"_id":"{i}"', action) + "\n" + document + "\n"
                   for i, (action, document) in enumerate(pairs))
    answer = server.ask("POST", "/_bulk", body.encode())
    assert [item for item in answer["items"] if item["create"]["status"] != 201] == []


def test_compressed(server, fake, start):
    fake.script("burst 500")
    router = start(server, index="gzip", compression="gzip")
    server.wait_count("gzip", 500)
    assert delivered(router) == (500, 0)
