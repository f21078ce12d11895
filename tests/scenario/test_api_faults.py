"""Faults of the API server: each version still arrives exactly once, and what cannot is said."""
import itertools
import json
import time

import pytest

from conftest import events, gaps, keys

STATUS_410 = ('{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",'
              '"reason":"Expired","code":410,"message":"too old"}')


def start(fake, router, hook, **config):
    """A router with one webhook that is watching."""
    r = router(sinks={"a": hook("a", batch={"records": 100})}, **config)
    fake.wait("watches open >= 1")
    return r


def ends_with(fake, r, versions=None):
    """All versions have arrived once, in order, and nothing else but what is returned."""
    versions = fake.versions() if versions is None else versions
    fake.wait(f"sink a records >= {len(versions)}")
    assert r.stop() == 0
    records = fake.records("a")
    assert keys(records) == versions
    assert r.sink_ledger("a")["delivered"] == len(records)
    return records


# ---- connections ----

@pytest.mark.parametrize("end", ["fin", "reset", "clean"])
@pytest.mark.parametrize("at", [1, 137, 700, 900, 1201])
def test_cut_inside_a_frame(fake, router, hook, at, end):
    fake.script(f"fault watch cut {at} bytes {end}")
    r = start(fake, router, hook)
    fake.script('put a.1 message="é中😀 wörter"\nput b.1\nput c.1')
    ends_with(fake, r)
    assert fake.counter("watches opened") >= 2


def test_cut_inside_a_character(fake, router, hook):
    """Cuts at every byte of a four-byte character."""
    message = "before \N{GRINNING FACE} after"
    for number in range(4):
        fake.script(f'put e.{number} message="{message}"')
    fake.script("compact 1")
    frames = [json.dumps({"type": "ADDED", "object": change["object"]}, ensure_ascii=False)
              for change in fake.history()]
    at = frames[0].encode().index("\N{GRINNING FACE}".encode())
    at += len('"kind":"Event","apiVersion":"v1",')  # on the wire, but not in the history
    for cut in range(4):
        fake.script(f"fault watch cut {at + cut} bytes fin")
    r = router(sinks={"a": hook("a")}, watch={"events": {"startFrom": "now"}})
    fake.wait("watches open >= 1")
    for number in range(4):
        fake.script(f'put n.{number} message="{message}"')
    versions = fake.versions()[4:]
    records = ends_with(fake, r, versions)
    assert {record["message"] for record in records} == {message}


def test_one_byte_per_packet(fake, router, hook):
    fake.script("fault watch drip 1 0ms")
    r = start(fake, router, hook)
    fake.script('put a.1 message="é中😀"\nput b.1\nmodify a.1 count=2')
    records = ends_with(fake, r)
    assert records[0]["message"] == "é中😀"


def test_watch_refused_connection(fake, router, hook):
    r = start(fake, router, hook)
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script("api refuse\napi cut\nsleep 300ms")
    fake.script("put b.1\nmodify a.1 count=2\napi listen")
    ends_with(fake, r)


def test_silence_without_fin(fake, router, hook):
    """Open watches say nothing more; the idle timeout ends them."""
    r = start(fake, router, hook, watch={"timeout": "1s", "idleTimeout": "1100ms"})
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script("watches silent\nput b.1\nput c.1")
    ends_with(fake, r)
    assert r.logged("the watch fell silent, its connection is given up")


def test_server_hangs_whole(fake, router, hook):
    """As a stopped process: connections are accepted by the kernel, nothing answers."""
    r = start(fake, router, hook, watch={"timeout": "1s", "idleTimeout": "1100ms"})
    fake.script("api pause\nsleep 2500ms\napi resume")
    fake.script("put a.1\nput b.1")
    ends_with(fake, r)


def test_watch_answer_never_begins(fake, router, hook):
    fake.script("fault watch hang")
    r = router(sinks={"a": hook("a")}, watch={"timeout": "1s", "idleTimeout": "1100ms"})
    fake.wait("watches opened >= 1")
    fake.script("put a.1")
    ends_with(fake, r)


# ---- 410 ----

def expired_once(fake, r, fault):
    """A watch ends, versions are written and compacted, the next watch is told 410."""
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script(f"{fault}\napi pause\nwatches reset\nput b.1\nmodify b.1 count=2\nput c.1\n"
                "compact now\napi resume")


@pytest.mark.parametrize("fault", ["# as a frame", f"fault watch status 410 json {STATUS_410}"])
def test_410_is_recovered_by_a_list(fake, router, hook, fault):
    r = start(fake, router, hook)
    expired_once(fake, r, fault)
    fake.wait("sink a records >= 3")
    r.stop()
    versions = fake.versions()
    records = fake.records("a")
    # b.1 was overwritten before anybody could see it; it is listed in key order
    assert keys(records) == [versions[0], versions[2], versions[3]]
    assert [record.get("recovered") for record in events(records)] == [None, True, True]
    assert r.lines[-1]["sinks"][0]["delivered"] == len(records)


def test_410_after_a_stall_is_a_gap(fake, router, hook):
    """Not known complete up to the last two seconds: a gap record says from when to when."""
    r = start(fake, router, hook, watch={"timeout": "1s", "idleTimeout": "1100ms"})
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script("watches silent\napi pause\nput b.1\nmodify b.1 count=2\nsleep 3800ms\n"
                "compact now\napi resume")
    fake.wait("sink a records >= 3")
    r.stop()
    versions = fake.versions()
    records = fake.records("a")
    assert keys(records) == [versions[0], versions[2]]
    (gap,) = gaps(records)
    assert (gap["stream"], gap["cause"], gap["recovered"]) == ("events", "expired", 1)
    assert gap["fromResourceVersion"] == versions[0][1]
    assert gap["toResourceVersion"] == fake.state()["version"]
    assert gap["fromTime"] < gap["toTime"]


@pytest.mark.parametrize("fault", ["drip 1 1ms", "first @error:500 drip 1 1ms times 2"])
def test_410_frame_behind_the_head_is_a_gap(fake, router, hook, fault):
    """The server says 200 before it looks whether it still has the version: that nothing is there
    to read between the two does not make the stream complete."""
    r = start(fake, router, hook)
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script("api refuse\napi cut\nput b.1\nmodify b.1 count=2\nsleep 2200ms\ncompact now\n"
                f"fault watch {fault}\nfault watch drip 1 1ms\napi listen")
    fake.wait("sink a records >= 3")
    r.stop()
    versions = fake.versions()
    assert keys(fake.records("a")) == [versions[0], versions[2]]
    (gap,) = gaps(fake.records("a"))
    assert (gap["cause"], gap["fromResourceVersion"]) == ("expired", versions[0][1])


def test_410_amid_a_backlog_is_a_gap(fake, router, hook):
    """One frame of the backlog came, then the connection broke, then the rest was compacted."""
    r = start(fake, router, hook)
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script("api refuse\napi cut\nput b.1\nput c.1\nmodify c.1 count=2\nsleep 2200ms\n"
                "fault watch cut 1 frames fin drip 4 2ms\n"
                f"fault watch status 410 json {STATUS_410}\napi listen")
    fake.wait("gone >= 1")
    fake.wait("sink a records >= 4")
    r.stop()
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["expired"]


def test_410_after_silence_is_a_gap(fake, router, hook):
    """A connection that turned out to be dead does not make the stream complete until then."""
    r = start(fake, router, hook, watch={"timeout": "2s", "idleTimeout": "2500ms"})
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script("watches silent\nput b.1\nmodify b.1 count=2\nsleep 100ms\ncompact now")
    fake.wait("sink a records >= 3")
    r.stop()
    versions = fake.versions()
    assert keys(fake.records("a")) == [versions[0], versions[2]]
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["expired"]


def test_410_at_every_reconnect(fake, router, hook):
    """A scaled minute: backoff 20 ms to 200 ms, for 2 s instead of 800 ms to 30 s."""
    fake.script("put a.1\nfault watch first @error:410 always")
    r = router(sinks={"a": hook("a")})
    fake.wait("watches opened >= 1")
    begun = time.monotonic()
    fake.wait("watches opened >= 13")
    # lists at once: two; then at least half of 20, 40, 80, 160, 200, 200 ... ms between them
    assert time.monotonic() - begun >= (20 + 40 + 80 + 160 + 7 * 200) / 2 / 1000
    fake.script("clear\nput b.1")
    fake.wait("watches open >= 1")
    fake.script("put c.1")
    fake.wait("sink a records >= 3")
    r.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())


def test_quiet_stream_compacted_again_and_again(fake, router, hook):
    r = start(fake, router, hook, watch={"timeout": "1s"})
    for turn in range(3):
        fake.script("version +10\ncompact now")
        fake.wait(f"gone >= {turn + 1}")
        fake.wait("watches open >= 1")
    fake.script("put a.1")
    ends_with(fake, r)
    assert gaps(fake.records("a")) == []
    assert not r.logged("versions are missing, a gap record says it")


def test_410_counted_when_quiet(fake, router, hook):
    r = start(fake, router, hook, watch={"timeout": "1s"})
    fake.script("version +10\ncompact now")
    fake.wait("gone >= 1")
    r.wait_metric(lambda v: v == 1, "watch_expired_quiet_total", watch="events")
    assert r.metric("watch_restarts_total", watch="events", reason="expired") == 1
    assert r.metric("gaps_total") == 0


# ---- other errors ----

def test_error_500_frames(fake, router, hook):
    """The same version again with backoff; after the third in a row, a list."""
    r = start(fake, router, hook)
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    lists = fake.counter("lists")
    fake.script("fault watch first @error:500 times 3\nwatches clean\nput b.1")
    ends_with(fake, r)
    assert fake.counter("lists") == lists + 1
    assert gaps(fake.records("a")) == []


def test_two_error_500_frames_do_not_list(fake, router, hook):
    r = start(fake, router, hook)
    lists = fake.counter("lists")
    fake.script("fault watch first @error:500 times 2\nwatches clean\nput b.1")
    ends_with(fake, r)
    assert fake.counter("lists") == lists


def between(fake, kind):
    """Milliseconds between the requests of a kind."""
    times = [request["ms"] for request in fake.log() if request["kind"] in kind]
    return [after - before for before, after in itertools.pairwise(times)]


@pytest.mark.parametrize("body", ["", ' body "Too many requests, please try again later.\\n"'])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(fake, router, hook, status, body):
    fake.script(f"put a.1\nfault list status {status} retry-after 1{body}\n"
                f"fault watch status {status} retry-after 1{body}")
    r = router(sinks={"a": hook("a")})
    fake.wait("watches open >= 1")
    ends_with(fake, r)
    requests = [request for request in fake.log() if request["kind"] != "get"]
    assert [request["status"] for request in requests[:5]] == [status, 200, status, 200, 200]
    assert requests[1]["ms"] - requests[0]["ms"] >= 1000
    assert requests[3]["ms"] - requests[2]["ms"] >= 1000


def test_retry_after_in_the_body_only(fake, router, hook):
    status = ('{"kind":"Status","apiVersion":"v1","status":"Failure","code":429,"message":"slow",'
              '"details":{"retryAfterSeconds":1}}')
    fake.script(f"put a.1\nfault list status 429 json {status}")
    r = start(fake, router, hook)
    ends_with(fake, r)
    requests = [request for request in fake.log() if request["kind"] != "get"]
    assert requests[1]["ms"] - requests[0]["ms"] >= 1000


@pytest.mark.parametrize("status", [500, 502, 504])
def test_server_errors(fake, router, hook, status):
    fake.script(f'put a.1\nfault list status {status} body "oops" times 3\n'
                f'fault watch status {status} times 3')
    r = start(fake, router, hook)
    fake.script("put b.1")
    ends_with(fake, r)


def test_401_until_the_token_changes(fake, router, hook):
    fake.script('put a.1\ntoken "second"')
    r = router(sinks={"a": hook("a")}, token="first")
    fake.wait("answers 401 >= 3")
    assert fake.counter("sink records") == 0
    r.token_file.write_text("second\n")
    fake.wait("watches open >= 1")
    ends_with(fake, r)


def test_401_on_a_watch_is_tried_again_at_once(fake, router, hook):
    r = start(fake, router, hook, watch={"backoff": {"initial": "3s", "max": "3s"}})
    r.token_file.write_text("second")
    fake.script('token "second"\nwatches clean\nput a.1')
    ends_with(fake, r)
    refused = [at for at, request in enumerate(fake.log()) if request["status"] == 401]
    assert len(refused) == 1
    after = fake.log()[refused[0] + 1]
    assert after["status"] == 200 and after["ms"] - fake.log()[refused[0]]["ms"] < 1500  # half of that is the shortest pause


def test_403_for_a_moment(fake, router, hook):
    r = start(fake, router, hook, watch={"backoff": {"initial": "50ms", "max": "60s"}})
    fake.script("put a.1\nforbid cluster\nwatches reset\nwait answers 403 >= 1\nallow all\nput b.1")
    ends_with(fake, r)  # within its limit, which is less than the slow pace


# ---- lists ----

@pytest.mark.parametrize("status", [401, 403])
def test_lists_but_may_not_watch(fake, router, hook, status):
    """The probe that succeeds in between is no reason to hurry."""
    fake.script(f"put a.1\nfault watch status {status} always")
    r = router(sinks={"a": hook("a")})
    fake.wait(f"answers {status} >= 1")
    begun = time.monotonic()
    fake.wait(f"answers {status} >= 10")
    assert time.monotonic() - begun >= (20 + 40 + 80 + 160 + 4 * 200) / 2 / 1000
    fake.script("clear")
    fake.wait("watches open >= 1")
    fake.script("put b.1")
    ends_with(fake, r)


def test_page_without_items(fake, router, hook):
    fake.script("page-max 5\nburst 20\nfault page 2 empty")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 20")
    r.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())


@pytest.mark.parametrize("fault", ["cut 900 bytes fin", "cut 900 bytes reset",
                                   "chunked cut 900 bytes fin", "chunked cut 900 bytes clean",
                                   'status 200 json {"kind":"EventList","items":[]}',
                                   'status 200 body "<html>proxy</html>"', 'status 200 json "[]"'])
@pytest.mark.parametrize("page", [1, 3])
def test_bad_page_is_asked_for_again(fake, router, hook, fault, page):
    fake.script(f"page-max 5\nburst 20\nfault page {page} {fault}")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 20")
    r.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    assert gaps(fake.records("a")) == []


def test_410_in_the_middle_of_a_list(fake, router, hook):
    """The first list starts again: what was queued is not queued twice, and a gap record says that
    the list is not one consistent whole."""
    fake.script("page-max 5\nburst 20\nfault page 3 expire")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 21")
    r.stop()
    records = fake.records("a")
    assert sorted(keys(records)) == sorted(fake.versions())
    (gap,) = gaps(records)
    assert gap["cause"] == "listIncomplete"


def test_tokens_expire_while_the_sink_is_slow(fake, router, hook):
    """After every second page the history is compacted; the sink takes its time."""
    fake.script("page-max 5\nburst 40\nsink a answer 200 delay 5ms")
    first = fake.state()["version"]
    for page in (3, 5, 7):
        fake.script(f"fault page {page} expire")
    r = router(sinks={"a": hook("a", queue={"records": 2})})
    fake.wait("pages >= 3")
    fake.script("put zz.1\nput zz.2")
    fake.wait("watches open >= 1")
    fake.wait("sink a records >= 43")
    r.stop()
    records = fake.records("a")
    assert sorted(keys(records)) == sorted(fake.versions())
    (gap,) = gaps(records)
    assert gap["cause"] == "listIncomplete"
    assert gap["fromResourceVersion"] == first
    assert int(gap["toResourceVersion"]) >= int(first)


def test_every_continue_token_expires(fake, router, hook):
    """Each attempt that gains nothing goes on with the inconsistent token: the list ends."""
    fake.script("page-max 5\nburst 30\nfault page 2 expire always")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 31")
    r.stop()
    records = fake.records("a")
    assert sorted(keys(records)) == sorted(fake.versions())
    assert [gap["cause"] for gap in gaps(records)] == ["listIncomplete"]


# ---- frames ----

def test_17_mib_frame(fake, router, hook):
    # the frame comes whole, however long it takes: it is not stored, and would not come again
    r = start(fake, router, hook, watch={"timeout": "30s", "idleTimeout": "40s"})
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script(f"send @x:{17 << 20}\nput b.1")
    fake.wait("sink a records >= 3")
    r.stop()
    records = fake.records("a")
    assert keys(records) == fake.versions()
    (gap,) = gaps(records)
    assert gap["cause"] == "oversized"
    assert gap["fromResourceVersion"] == fake.versions()[0][1]
    assert records[1]["id"].endswith(f"-{fake.versions()[0][1]}-1")


@pytest.mark.parametrize("frame", [
    '"not JSON"', '"{\\"type\\":\\"ADDED\\",\\"object\\":{"', "@levels:1001",
    '"{\\"type\\":\\"ADDED\\",\\"object\\":{\\"metadata\\":{\\"uid\\":\\"u\\"}}}"',
    '"{\\"type\\":\\"ADDED\\",\\"object\\":{\\"metadata\\":{\\"resourceVersion\\":\\"x1\\"}}}"',
    '"{\\"type\\":\\"ADDED\\",\\"object\\":7}"', '"{\\"type\\":\\"ADDED\\"}"',
    '"{\\"a\\":\\"\\x00\\"}"', '"{} {}"'])
def test_undecodable_frame(fake, router, hook, frame):
    r = start(fake, router, hook)
    fake.script("put a.1")
    fake.wait("sink a records >= 1")
    fake.script(f"send {frame}\nput b.1")
    fake.wait("sink a records >= 3")
    r.stop()
    records = fake.records("a")
    assert keys(records) == fake.versions()
    (gap,) = gaps(records)
    assert gap["cause"] == "undecodable"
    assert gap["fromResourceVersion"] == fake.versions()[0][1]
    assert "toResourceVersion" not in gap


def test_two_skipped_frames_make_two_gaps(fake, router, hook):
    r = start(fake, router, hook)
    fake.script('put a.1\nsend "x"\nsend "y"\nput b.1\nsend "z"')
    fake.wait("sink a records >= 5")
    r.stop()
    first, second = (version for _, version in fake.versions())
    ids = [record["id"] for record in fake.records("a") if record["kind"] == "gap"]
    assert [name.split("-", 2)[2] for name in ids] == [f"{first}-1", f"{first}-2", f"{second}-1"]


def test_odd_strings(fake, router, hook):
    """\\u0000 and bytes that are not UTF-8 become U+FFFD; nothing is cut."""
    r = start(fake, router, hook)

    def send(version, message):
        frame = ('{"type":"ADDED","object":{"metadata":{"uid":"u1","resourceVersion":"%s"},'
                 '"type":"Normal","message":"%s"}}') % (version, message)
        escaped = frame.replace("\\", "\\\\").replace('"', '\\"').replace("~", "\\x")
        fake.script('send "' + escaped + '"')

    fake.script("version 100")
    send("101", "a\\u0000b")
    send("102", "a~ff~c0~80b")  # ~ stands for the script's \x
    send("103", '\\ud83d\\ude00 \\"q\\"')
    fake.wait("sink a records >= 3")
    r.stop()
    assert [record["message"] for record in fake.records("a")] == [
        "a\ufffdb", "a\ufffd\ufffd\ufffdb", '\N{GRINNING FACE} "q"']


def test_bookmarks_and_unknown_types(fake, router, hook):
    r = start(fake, router, hook)
    fake.script('put a.1\nversion +50\nsend @bookmark\n'
                'send "{\\"type\\":\\"SURPRISE\\",\\"object\\":{}}"\nwatches clean\nput b.1')
    ends_with(fake, r)
    # the bookmark moved the version from which the next watch starts
    opened = fake.watches()
    assert int(opened[1]["from"]) >= int(opened[0]["from"]) + 51


def test_deletions_of_one_version(fake, router, hook):
    """TTL expiry: a thousand frames share a version; they give no record and move the version."""
    fake.script("burst 1000")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 1000")
    fake.script("expire all\nwatches clean\nput new.1")
    fake.wait("sink a records >= 1001")
    r.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    deletions = {change["object"]["metadata"]["resourceVersion"] for change in fake.history()
                 if change["type"] == "DELETED"}
    assert len(deletions) == 1


def test_same_name_with_a_new_uid(fake, router, hook):
    r = start(fake, router, hook)
    fake.script("put a.1 count=1\nmodify a.1 count=4\ndelete a.1\nput a.1 count=5")
    records = ends_with(fake, r)
    assert [record.get("countDelta") for record in records] == [1, 3, None]
    assert records[0]["event"]["uid"] != records[2]["event"]["uid"]


@pytest.mark.parametrize("version", ["999999997", "9999999997", "18446744073709551613",
                                     "99999999999999999999999999997"])
def test_versions_of_any_size(fake, router, hook, version):
    fake.script(f"version {version}\nput a.1")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 1")
    fake.script("\n".join(f"put b.{n}\nwatches {end}\nwait watches open >= 1\nput c.{n}"
                          for n, end in enumerate(["clean", "fin", "reset"])))
    ends_with(fake, r)
    assert len(fake.versions()) == 7 and len(fake.versions()[-1][1]) >= len(version)


# ---- rewinds ----

@pytest.mark.parametrize("when", ["watching", "down"])
def test_rewound_store(fake, router, hook, when):
    """A probe finds it: gap record, everything listed again."""
    fake.script("put a.1\nput b.1")
    r = start(fake, router, hook)
    fake.wait("sink a records >= 2")
    back = fake.state()["version"]
    fake.script("put c.1\nmodify a.1 count=2")
    fake.wait("sink a records >= 4")
    last = fake.state()["version"]
    if when == "down":
        fake.script("api refuse")
    fake.script(f"rewind {back}")
    fake.script("put d.1" + ("\nsleep 200ms\napi listen" if when == "down" else ""))
    fake.wait("watches open >= 1")
    fake.wait("sink a records >= 8")
    fake.script("put e.1")
    fake.wait("sink a records >= 9")
    r.stop()
    records = fake.records("a")
    (gap,) = gaps(records)
    assert (gap["cause"], gap["fromResourceVersion"]) == ("rewound", last)
    assert int(gap["toResourceVersion"]) < int(last)
    versions = fake.versions()
    # a.1, b.1, c.1, a.1 again; then all that the restored store holds; then what is new
    assert keys(records)[:4] == versions[:4]
    assert sorted(keys(records)[4:7]) == sorted([versions[0], versions[1], versions[4]])
    assert keys(records)[7:] == [versions[5]]
    assert [record.get("recovered") for record in events(records)] == [None] * 4 + [True] * 3 + [None]


def test_rewound_and_expired_at_once(fake, router, hook):
    """The list that follows a 410 is below the last version: a rewind, whatever we came for."""
    r = start(fake, router, hook)
    fake.script("put a.1\nput b.1\nput c.1")
    fake.wait("sink a records >= 3")
    back = fake.versions()[0][1]
    fake.script("fault probe status 200 json "
                '{"kind":"EventList","metadata":{"resourceVersion":"999999"},"items":[]}\n'
                f"fault watch first @error:410\nrewind {back}")
    fake.wait("sink a records >= 5")
    r.stop()
    assert [gap["cause"] for gap in gaps(fake.records("a"))] == ["rewound"]


# ---- watches that end ----

def test_every_watch_ends_at_once(fake, router, hook):
    """Backoff, no busy loop."""
    fake.script("fault watch cut 0 frames clean always")
    r = router(sinks={"a": hook("a")})
    fake.wait("watches opened >= 1")
    begun = time.monotonic()
    fake.wait("watches opened >= 10")
    assert time.monotonic() - begun >= (20 + 40 + 80 + 160 + 5 * 200) / 2 / 1000
    fake.script("clear")
    fake.wait("watches open >= 1")
    fake.script("put a.1")
    ends_with(fake, r)


def test_watches_that_end_after_one_frame(fake, router, hook):
    """A clean end after a frame: at once again, without a probe."""
    fake.script("fault watch cut 1 frames clean times 5")
    r = start(fake, router, hook)
    for number in range(7):
        fake.script(f"put a.{number}")
    ends_with(fake, r)


USELESS = ["'<html>no watch here</html>'", "@bookmark:1", "'{\"type\":\"NEWS\"}'"]


@pytest.mark.parametrize("frame", USELESS)
def test_frames_that_bring_nothing_are_no_success(fake, router, hook, frame):
    """What a proxy answers in the server's place: backoff, no busy loop."""
    fake.script(f"put a.1\nput b.1\nfault watch first {frame} cut 1 frames clean always")
    r = router(sinks={"a": hook("a")})
    fake.wait("watches opened >= 1")
    begun = time.monotonic()
    fake.wait("watches opened >= 10")
    assert time.monotonic() - begun >= (20 + 40 + 80 + 160 + 5 * 200) / 2 / 1000
    fake.script("clear")
    fake.wait("watches open >= 1")
    fake.script("put c.1")
    fake.wait(f"watches pending == 0")
    r.stop()
    assert keys(fake.records("a")) == fake.versions()


@pytest.mark.parametrize("frame", USELESS)
def test_frames_that_bring_nothing_before_410(fake, router, hook, frame):
    fake.script(f"put a.1\nput b.1\nfault watch first {frame} first @error:410 always")
    r = router(sinks={"a": hook("a")})
    fake.wait("watches opened >= 1")
    begun = time.monotonic()
    fake.wait("watches opened >= 13")
    assert time.monotonic() - begun >= (20 + 40 + 80 + 160 + 7 * 200) / 2 / 1000
    r.stop()
    assert keys(fake.records("a")) == fake.versions()


def test_redelivered_frames_are_left_out(fake, router, hook):
    """A proxy that repeats what was seen: nothing is sent twice."""
    r = start(fake, router, hook)
    fake.script("put a.1\nput b.1")
    fake.wait("sink a records >= 2")
    for change in fake.history():
        frame = json.dumps({"type": "ADDED", "object": change["object"]})
        fake.script("send '" + frame + "'")
    fake.script("put c.1")
    ends_with(fake, r)
    assert keys(fake.records("a")) == fake.versions()


# ---- every mix of times, series and counts ----

def usable(text):
    return text not in (None, "0001-01-01T00:00:00Z", "1970-01-01T00:00:00Z")


def test_every_mix_of_times_and_counts(fake, router, hook):
    r = start(fake, router, hook)
    times = [None, "0001-01-01T00:00:00Z", "2026-01-02T03:04:0%dZ"]
    written = []
    for n, (first, last, event, series, count) in enumerate(itertools.product(
            times, times, times, ["-", "null", '{"count":7}',
                                  '{"count":7,"lastObservedTime":"2026-01-02T03:04:09.000001Z"}',
                                  '{"lastObservedTime":null}'], ["-", "0", "3"])):
        first, last, event = (time and time.replace("%d", str(second))
                              for time, second in ((first, 1), (last, 2), (event, 3)))
        fake.script(f"put m.{n} firstTimestamp={first or 'null'} lastTimestamp={last or 'null'} "
                    f"eventTime={event or 'null'} series={series} count={count}")
        written.append((first, last, event, series, count))
    records = ends_with(fake, r)
    for (first, last, event, series, count), record in zip(written, records, strict=True):
        series = json.loads(series) if series[0] == "{" else {}
        order = [("series.lastObservedTime", (series or {}).get("lastObservedTime")),
                 ("lastTimestamp", last), ("eventTime", event), ("firstTimestamp", first),
                 ("creationTimestamp", "2026-01-02T03:04:05Z")]
        source, time = next(pair for pair in order if usable(pair[1]))
        assert (record["timeSource"], record["time"]) == (source, time)
        total = series.get("count") or (3 if count == "3" else 1)
        assert record["count"] == total
        assert record.get("countDelta") == (1 if total == 1 else None)


# ---- the start ----

def test_api_server_comes_up_later(fake, router, hook):
    fake.script("put a.1 namespace=one\nput a.1 namespace=two\nput a.1 namespace=three\napi refuse")
    r = router(sinks={"a": hook("a")}, kubernetes={"namespaces": ["one", "two", "three"]})
    r.wait_log("cannot reach the API server")
    assert r.get("/livez")[0] == 200
    status, text = r.get("/readyz?verbose")
    assert status == 503 and "[-]events/two: the API server has not answered yet" in text
    fake.script("api listen")
    fake.wait("sink a records >= 3")
    fake.wait("watches open >= 3")
    assert r.get("/readyz")[0] == 200
    r.stop()
    assert sorted(keys(fake.records("a"))) == sorted(fake.versions())
    # only one of the streams asked which cluster this is
    assert fake.counter("gets") == 1


@pytest.mark.parametrize("answer", ["status 403", "status 404"])
def test_cluster_id_without_the_right_to_read_it(fake, router, hook, answer):
    fake.script(f"put a.1\nfault get always {answer}")
    r = router(sinks={"a": hook("a")}, cluster="")
    fake.wait("sink a records >= 1")
    r.stop()
    (record,) = fake.records("a")
    assert len(record["cluster"]) == 64 and set(record["cluster"]) <= set("0123456789abcdef")


def test_cluster_id_is_the_uid_of_kube_system(fake, router, hook):
    fake.script("put a.1")
    r = router(sinks={"a": hook("a")}, cluster="")
    fake.wait("sink a records >= 1")
    r.stop()
    (record,) = fake.records("a")
    assert len(record["cluster"]) == 36 and record["cluster"].count("-") == 4
