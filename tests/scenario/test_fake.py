"""er_fake itself: what scenarios lean on, asked for with plain sockets."""
import base64
import calendar
import http.client
import json
import socket
import struct
import time
import urllib.parse

import pytest

from conftest import LIMIT, ROOT, Fake

BASE = "/api/v1/events"
TOO_OLD = "The resourceVersion for the provided watch is too old."


def port_of(url):
    return urllib.parse.urlsplit(url).port


def get(fake, path, headers=None, **params):
    """Status, headers and parsed body."""
    connection = http.client.HTTPConnection("127.0.0.1", port_of(fake.api), timeout=LIMIT)
    try:
        connection.request("GET", path + "?" * bool(params) + urllib.parse.urlencode(params),
                           headers=headers or {})
        answer = connection.getresponse()
        body = answer.read()
        is_json = answer.getheader("Content-Type") == "application/json"
        return answer.status, answer.headers, json.loads(body) if is_json else body.decode()
    finally:
        connection.close()


def page(fake, path=BASE, **params):
    status, _, body = get(fake, path, **params)
    assert status == 200, body
    return body


def post(fake, path, body, sock=None):
    """The status; None when the connection was reset. With a socket it stays open."""
    s = sock or socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        s.sendall(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" %
                  (path.encode(), len(data), data))
        answer = http.client.HTTPResponse(s, method="POST")
        answer.begin()
        return answer.status, dict(answer.headers), answer.read()
    except ConnectionResetError:
        return None
    finally:
        if sock is None:
            s.close()


class Raw:
    """A request whose answer is looked at byte by byte."""

    def __init__(self, fake, target, port=None):
        self.sock = socket.create_connection(("127.0.0.1", port or port_of(fake.api)), LIMIT)
        self.sock.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.file = self.sock.makefile("rb")
        self.status = None

    def head(self):
        self.status = int(self.file.readline().split()[1])
        lines = iter(self.file.readline, b"\r\n")
        self.headers = {name.lower(): value.strip() for name, _, value in
                        (line.decode().partition(":") for line in lines)}
        return self

    def chunk(self):
        """The next chunk; None: the terminator; ConnectionError: cut."""
        size = self.file.readline()
        if not size.endswith(b"\n"):
            raise ConnectionError("cut")
        data = self.file.read(int(size, 16))
        if self.file.read(2) != b"\r\n":
            raise ConnectionError("cut inside a chunk")
        return data or None

    def body(self):
        """All chunks; how it ended: clean, fin or reset."""
        data = b""
        try:
            while True:
                chunk = self.chunk()
                if chunk is None:
                    return data, "clean"
                data += chunk
        except ConnectionResetError:
            return data, "reset"
        except ConnectionError:
            return data, "fin"

    def is_silent(self, seconds=0.1):
        """Nothing comes, and the connection is open."""
        self.sock.settimeout(seconds)
        try:
            return self.sock.recv(1, socket.MSG_PEEK) == b"never"
        except TimeoutError:
            return True
        finally:
            self.sock.settimeout(LIMIT)

    def close(self):
        self.file.close()
        self.sock.close()


class Watch(Raw):
    def __init__(self, fake, version, path=BASE, **params):
        query = urllib.parse.urlencode({"watch": 1, "resourceVersion": version, **params})
        super().__init__(fake, f"{path}?{query}")
        self.head()
        self.rest = b""

    def frame(self):
        """The next frame, parsed; None at the clean end."""
        while b"\n" not in self.rest:
            chunk = self.chunk()
            if chunk is None:
                return None
            self.rest += chunk
        line, _, self.rest = self.rest.partition(b"\n")
        return json.loads(line)

    def seen(self, n):
        """(type, name, version) of n frames."""
        frames = [self.frame() for _ in range(n)]
        return [(frame["type"], frame["object"]["metadata"]["name"],
                 frame["object"]["metadata"]["resourceVersion"]) for frame in frames]


def refused(fake, text):
    status, body = fake.ask("POST", "/script", text.encode())
    assert status == 400, body
    return body


# ---- the store and lists ----

def test_list_shows_the_newest_state_in_key_order(fake):
    fake.script("put b.1 namespace=two\nput a.1 namespace=two\nput z.1 namespace=one\n"
                "modify a.1 namespace=two count=7 series.count=7\nput gone.1\ndelete gone.1")
    body = page(fake)
    assert body["kind"] == "EventList" and body["apiVersion"] == "v1"
    assert body["metadata"] == {"resourceVersion": "7"}
    items = [(i["metadata"]["namespace"], i["metadata"]["name"],
              i["metadata"]["resourceVersion"], i["count"]) for i in body["items"]]
    assert items == [("one", "z.1", "4", 1), ("two", "a.1", "5", 7), ("two", "b.1", "2", 1)]
    assert not any("kind" in item or "apiVersion" in item for item in body["items"])
    assert body["items"][1]["series"] == {"count": 7}
    one = page(fake, "/api/v1/namespaces/one/events")
    assert [i["metadata"]["name"] for i in one["items"]] == ["z.1"]
    assert one["metadata"] == {"resourceVersion": "7"}
    assert page(fake, "/api/v1/namespaces/none/events")["items"] == []


def test_pages_are_of_one_version(fake):
    fake.script("burst 7 prefix e")
    first = page(fake, limit=3)
    assert first["metadata"]["remainingItemCount"] == 4
    fake.script("put e-35\nmodify e-7 count=9\ndelete e-6")  # after the first page
    second = page(fake, limit=3, **{"continue": first["metadata"]["continue"]})
    third = page(fake, limit=3, **{"continue": second["metadata"]["continue"]})
    assert [len(p["items"]) for p in (first, second, third)] == [3, 3, 1]
    assert {p["metadata"]["resourceVersion"] for p in (first, second, third)} == {"8"}
    assert second["metadata"]["remainingItemCount"] == 1
    assert third["metadata"] == {"resourceVersion": "8"}
    names = [(i["metadata"]["name"], i["count"]) for p in (first, second, third)
             for i in p["items"]]
    assert names == [(f"e-{n}", 1) for n in range(1, 8)]
    state = fake.state()
    assert (state["lists"], state["lists completed"], state["pages"], state["probes"]) == (1, 1, 3, 0)
    assert page(fake, limit=1)["metadata"]["resourceVersion"] == "11"
    assert fake.counter("probes") == 1 and fake.counter("lists") == 1


def test_page_max(fake):
    fake.script("page-max 2\nburst 5")
    body = page(fake, limit=500)
    assert len(body["items"]) == 2 and body["metadata"]["remainingItemCount"] == 3


def test_a_compacted_token_gets_410_and_an_inconsistent_token(fake):
    fake.script("burst 6 prefix e")
    token = page(fake, limit=2)["metadata"]["continue"]
    fake.script("put a\nput e-35\ncompact now")
    status, _, body = get(fake, BASE, limit=2, **{"continue": token})
    assert (status, body["code"], body["reason"], body["kind"]) == (410, 410, "Expired", "Status")
    fresh = body["metadata"]["continue"]
    padded = fresh + "=" * (-len(fresh) % 4)
    assert json.loads(base64.urlsafe_b64decode(padded))["rv"] == -1
    rest = page(fake, **{"continue": fresh})
    assert rest["metadata"] == {"resourceVersion": "9"}
    # "a" came before the key of the token: that is what makes it inconsistent
    assert [i["metadata"]["name"] for i in rest["items"]] == ["e-3", "e-35", "e-4", "e-5", "e-6"]
    status, _, body = get(fake, BASE, **{"continue": "garbage!"})
    assert (status, body["message"]) == (400, "invalid continue token")
    assert fake.counter("gone") == 1


def test_versions_of_a_list(fake):
    fake.script("burst 3\nmodify burst-1 count=2\ncompact 3")
    exact = page(fake, resourceVersion=4, resourceVersionMatch="Exact")
    assert [i["count"] for i in exact["items"]] == [1, 1, 1]
    assert exact["metadata"]["resourceVersion"] == "4"
    assert page(fake, resourceVersion=4, resourceVersionMatch="NotOlderThan")["metadata"][
        "resourceVersion"] == "5"
    status, _, body = get(fake, BASE, limit=1, resourceVersion=6)
    assert status == 504
    assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"
    assert get(fake, BASE, limit=1, resourceVersion=2)[0] == 410


def test_field_selectors(fake):
    fake.script("put a.1 type=Normal reason=Pulled kind=Pod\nput b.1 type=Warning kind=Node\n"
                "put c.1 type=Warning reason=\"Two words\" kind=Pod")

    def names(selector):
        return [i["metadata"]["name"] for i in page(fake, fieldSelector=selector)["items"]]
    assert names("type=Warning") == ["b.1", "c.1"]
    assert names("type!=Warning,involvedObject.kind==Pod") == ["a.1"]
    assert names("reason=Two words") == ["c.1"]
    assert names("metadata.name=b.1") == ["b.1"]
    status, _, body = get(fake, BASE, fieldSelector="message=x")
    assert (status, body["message"]) == (400, "field label not supported: message")
    watch = Watch(fake, 4, fieldSelector="type=Warning")
    fake.script("modify a.1 count=2\nmodify a.1 type=Warning\nmodify a.1 count=3\n"
                "modify a.1 type=Normal\nmodify a.1 count=4\ndelete b.1\ndelete a.1")
    assert watch.seen(4) == [("ADDED", "a.1", "6"), ("MODIFIED", "a.1", "7"),
                             ("DELETED", "a.1", "8"), ("DELETED", "b.1", "10")]
    watch.close()


def test_fields_and_their_values(fake):
    fake.script(r"""
        # a comment
        put web-1.18a namespace=shop uid=u-1 message="a \"b\"\n\x41" count=3 series={"count": 4} action='x y'
        put {"metadata":{"name":"j.1","namespace":"shop","labels":{"a":"b"}},"kind":"Event","count":2}
        put deep.1 lastTimestamp=null firstTimestamp=- deep=@levels:3 message=@x:5 object="7" when=@now
        put bytes.1 message="a\xff\x00b"
    """)
    one, two, three, four = [change["object"] for change in fake.history()]
    assert one["metadata"]["uid"] == "u-1" and one["message"] == "a \"b\"\nA"
    assert (one["count"], one["series"], one["action"]) == (3, {"count": 4}, "x y")
    assert one["involvedObject"]["name"] == "web-1"
    assert one["involvedObject"]["namespace"] == "shop"
    assert two == {"metadata": {"name": "j.1", "namespace": "shop", "labels": {"a": "b"},
                                "uid": two["metadata"]["uid"], "resourceVersion": "3"}, "count": 2}
    assert "firstTimestamp" not in three and three["lastTimestamp"] is None
    assert (three["deep"], three["message"]) == ([[[]]], "xxxxx")
    assert three["involvedObject"]["name"] == "7" and three["when"].startswith("20")
    assert four["message"] == "a�\0b"
    raw = Raw(fake, f"{BASE}?fieldSelector=metadata.name%3Dbytes.1").head()
    assert b'"message":"a\xff\\u0000b"' in raw.file.read(int(raw.headers["content-length"]))
    raw.close()


def test_scripts_say_what_is_wrong(fake):
    assert refused(fake, "put a.1\nput a.1") == "line 2: default/a.1 is there already: modify it\n"
    assert refused(fake, "\n\nwat") == 'line 3: "wat": there is no such command\n'
    assert refused(fake, "modify b.1 count=1") == "line 1: default/b.1 is not there\n"
    assert refused(fake, "put {\"metadata\": {}") == "line 1: the Event is no JSON object\n"
    assert refused(fake, "put c.1 count") == 'line 1: "count" should be FIELD=VALUE\n'
    assert refused(fake, 'put "c.1') == "line 1: a quote is not closed\n"
    assert refused(fake, "fault list") == "line 1: what should happen is missing\n"
    assert refused(fake, "fault lists hang").startswith('line 1: "lists": requests are named list')
    assert refused(fake, "fault list explode") == 'line 1: "explode": no such fault\n'
    assert refused(fake, "fault watch first @wat").startswith("line 1: @wat: frames are made by")
    assert refused(fake, "sink a answer 99") == "line 1: a status is 200 to 599\n"
    assert refused(fake, "sleep 1h") == 'line 1: how long: "1h" is no duration like 250ms or 2s\n'
    assert refused(fake, "version 1").startswith("line 1: versions only rise")
    assert refused(fake, "rewind 9") == "line 1: not below the store's version\n"
    assert refused(fake, "compact 9") == "line 1: outside of what is kept\n"
    assert refused(fake, "send x").startswith("line 1: no watch is open")
    assert refused(fake, "wait liszt >= 1") == 'line 1: "liszt": there is no such counter\n'
    assert refused(fake, "wait lists >= 1 timeout 10ms") == "line 1: wait: lists is 0, not >= 1\n"
    assert refused(fake, "load /nowhere") == "line 1: cannot open /nowhere: No such file or directory\n"
    assert fake.counter("events") == 1


# ---- watches ----

def test_watch_replays_and_goes_on(fake):
    fake.script("put a.1\nmodify a.1 count=2")
    watch = Watch(fake, 2)
    assert watch.headers["content-type"] == "application/json"
    assert watch.headers["transfer-encoding"] == "chunked"
    first = watch.frame()
    assert first["type"] == "MODIFIED" and first["object"]["count"] == 2
    assert list(first["object"])[:3] == ["kind", "apiVersion", "metadata"]
    assert (first["object"]["kind"], first["object"]["apiVersion"]) == ("Event", "v1")
    fake.script("put b.1 namespace=other\ndelete a.1")
    assert watch.seen(2) == [("ADDED", "b.1", "4"), ("DELETED", "a.1", "5")]
    other = Watch(fake, 1, "/api/v1/namespaces/other/events")
    assert other.seen(1) == [("ADDED", "b.1", "4")]
    assert fake.counter("watches open") == 2
    other.close()
    fake.wait("watches open == 1")
    watch.close()
    fake.wait("watches open == 0")
    assert [(w["from"], w["last"], w["frames"], w["ended"]) for w in fake.watches()] == [
        ("2", "5", 3, "peer"), ("1", "4", 1, "peer")]


def test_watch_of_a_compacted_version(fake):
    fake.script("burst 5\ncompact 4")
    watch = Watch(fake, 3)
    assert watch.status == 200
    assert watch.frame() == {"type": "ERROR", "object": {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": TOO_OLD, "reason": "Expired", "code": 410}}
    assert watch.frame() is None
    assert Watch(fake, 4).seen(2) == [("ADDED", "burst-4", "5"), ("ADDED", "burst-5", "6")]
    assert fake.counter("gone") == 1


def test_watch_of_a_future_version_is_silent_until_then(fake):
    watch = Watch(fake, 5)
    fake.script("burst 4")
    assert watch.is_silent()
    fake.script("put late.1")
    assert watch.seen(1) == [("ADDED", "late.1", "6")]


def test_watch_ends_cleanly_after_its_time(fake):
    start = time.monotonic()
    watch = Watch(fake, 1, timeoutSeconds=1)
    assert watch.frame() is None
    assert 0.95 <= time.monotonic() - start < LIMIT
    assert fake.watches()[0]["ended"] == "timeout"
    # the connection is still good
    watch.sock.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert watch.head().status == 200


def test_watch_of_no_version(fake):
    status, _, body = get(fake, BASE, watch=1, resourceVersion="abc")
    assert status == 500 and "reason" not in body
    assert body["message"] == 'strconv.ParseUint: parsing "abc": invalid syntax'
    assert get(fake, BASE, watch=1, resourceVersion=1, sendInitialEvents="true")[0] == 422
    fake.script("put b.1\nput a.1")
    watch = Watch(fake, 0)
    fake.script("put c.1")
    assert watch.seen(3) == [("ADDED", "a.1", "3"), ("ADDED", "b.1", "2"), ("ADDED", "c.1", "4")]


def test_large_versions(fake):
    fake.script("version 9999999998\nburst 2 prefix a\nversion 18446744073709551615\n"
                "burst 2 prefix b\nversion +10\nput c")
    versions = [version for _, version in fake.versions()]
    assert versions == ["9999999999", "10000000000", "18446744073709551616", "18446744073709551617",
                        "18446744073709551628"]
    assert Watch(fake, "18446744073709551615").seen(1) == [("ADDED", "b-1", "18446744073709551616")]
    assert page(fake)["metadata"]["resourceVersion"] == "18446744073709551628"


def test_expired_events_share_a_version(fake):
    fake.script("burst 1200")
    watch = Watch(fake, 1201)
    fake.script("expire 1000")
    frames = watch.seen(1000)
    assert {version for _, _, version in frames} == {"1202"}
    assert {kind for kind, _, _ in frames} == {"DELETED"}
    assert len({name for _, name, _ in frames}) == 1000
    assert fake.counter("events") == 200
    assert page(fake, limit=1)["metadata"]["resourceVersion"] == "1202"


def test_a_name_comes_back_with_another_uid(fake):
    fake.script("put a.1\ndelete a.1\nput a.1")
    uids = [uid for uid, _ in fake.versions()]
    assert len(set(uids)) == 2


def test_rewind(fake):
    fake.script("put a.1\nput b.1\nmodify a.1 count=5\ndelete b.1")
    watch = Watch(fake, 1)
    watch.seen(4)
    fake.script("rewind 2")
    assert watch.body() == (b"", "reset")
    body = page(fake)
    assert body["metadata"]["resourceVersion"] == "2"
    assert [(i["metadata"]["name"], i["count"]) for i in body["items"]] == [("a.1", 1)]
    ahead = Watch(fake, 5)
    fake.script("put c.1\nput d.1\nput e.1\nput f.1")
    assert ahead.seen(1) == [("ADDED", "f.1", "6")]
    assert len(page(fake)["items"]) == 5
    fake.script("rewind 5\nput g.1")  # another version 6
    assert [i["metadata"]["name"] for i in page(fake)["items"]] == ["a.1", "c.1", "d.1", "e.1",
                                                                   "g.1"]
    assert [(c["epoch"], c["object"]["metadata"]["name"]) for c in fake.history()] == [
        (0, "a.1"), (0, "b.1"), (0, "a.1"), (0, "b.1"), (1, "c.1"), (1, "d.1"), (1, "e.1"),
        (1, "f.1"), (2, "g.1")]
    assert fake.watches()[0]["ended"] == "rewound"


def test_burst_with_steps(fake):
    fake.script("burst 3 prefix e namespace shop steps 2 type=Normal")
    history = [change["object"] for change in fake.history()]
    assert [(e["metadata"]["name"], e["count"]) for e in history] == [
        ("e-1", 1), ("e-2", 1), ("e-3", 1), ("e-1", 2), ("e-2", 2), ("e-3", 2), ("e-1", 3),
        ("e-2", 3), ("e-3", 3)]
    assert len({e["metadata"]["uid"] for e in history}) == 3
    assert {e["type"] for e in history} == {"Normal"}
    assert history[-1]["lastTimestamp"] == "2026-01-02T03:04:07Z"
    start = time.monotonic()
    fake.script("burst 20 prefix slow rate 100")
    assert 0.18 <= time.monotonic() - start < LIMIT


def test_load_a_recording(fake):
    path = ROOT / "tests/golden/recordings/events.ndjson"
    frames = [json.loads(line) for line in path.read_text().splitlines()]
    fake.script(f"load {path}")
    watch = Watch(fake, 1)
    assert [watch.frame() for _ in frames] == frames
    watch.close()


def test_load_at_a_pace_and_now(fake, tmp_path):
    path = tmp_path / "few.ndjson"
    lines = (ROOT / "tests/golden/recordings/events.ndjson").read_text().splitlines()[:4]
    path.write_text("\n".join(lines) + "\n")
    start = time.monotonic()
    fake.script(f"load {path} interval 50ms now")
    assert 0.15 <= time.monotonic() - start < LIMIT
    events = [change["object"] for change in fake.history()]
    for event in events:
        newest = (event["lastTimestamp"] or event["eventTime"])[:19]
        age = time.time() - calendar.timegm(time.strptime(newest, "%Y-%m-%dT%H:%M:%S"))
        assert 0 <= age < LIMIT
    recorded = [json.loads(line)["object"] for line in lines]
    assert [len(e["eventTime"] or "") for e in events] == [len(e["eventTime"] or "")
                                                           for e in recorded]


def test_background_and_wait(fake):
    fake.script("background burst 10 rate 50\nput first")
    fake.script("wait changes >= 11")
    assert fake.versions()[-1][1] == "12"
    status, body = fake.ask("POST", "/wait", b"changes >= 12 timeout 20ms")
    assert (status, body) == (408, "changes is 11\n")
    assert fake.ask("POST", "/wait", b"changes == 11") == (200, "changes is 11\n")
    assert fake.ask("POST", "/wait", b"changes")[0] == 400


# ---- credentials and single objects ----

def test_token_and_rights(fake):
    fake.script("token secret")
    status, headers, body = get(fake, BASE)
    assert (status, body["message"], body["reason"]) == (401, "Unauthorized", "Unauthorized")
    assert headers["Connection"] == "close"
    good = {"Authorization": "Bearer secret"}
    assert get(fake, BASE, good)[0] == 200
    assert get(fake, BASE, {"Authorization": "Bearer secret2"})[0] == 401
    fake.script("token none\nforbid shop")
    status, _, body = get(fake, "/api/v1/namespaces/shop/events")
    assert (status, body["reason"]) == (403, "Forbidden")
    assert body["message"] == ('events is forbidden: User "system:serviceaccount:default:router" '
                               'cannot list resource "events" in API group "" in the namespace '
                               '"shop"')
    assert get(fake, BASE)[0] == 200
    fake.script("allow shop\nforbid cluster")
    assert get(fake, "/api/v1/namespaces/shop/events")[0] == 200
    assert get(fake, BASE)[2]["message"].endswith("at the cluster scope")
    assert fake.state()["answers"] == {"200": 3, "401": 2, "403": 2}


def test_single_objects(fake):
    namespace = get(fake, "/api/v1/namespaces/kube-system")[2]
    assert namespace["metadata"]["uid"] == "6f1d3d1c-5f2c-4a52-9a39-0e7a3c1b2d4f"
    assert get(fake, "/readyz")[2] == "ok" and "gitVersion" in get(fake, "/version")[2]
    assert get(fake, "/apis")[2]["reason"] == "NotFound"
    fake.script("forbid get")
    assert get(fake, "/api/v1/namespaces/kube-system")[0] == 403


def test_log_of_requests(fake):
    fake.script("put a.1\nfault list status 503 retry-after 7")
    get(fake, BASE, {"X-One": " two "}, limit=5)
    page(fake, limit=1)
    Watch(fake, 1).seen(1)
    one, two, three = fake.log()
    assert (one["id"], one["method"], one["target"], one["kind"], one["page"], one["status"]) == (
        1, "GET", f"{BASE}?limit=5", "list", 1, 503)
    assert one["headers"]["x-one"] == "two"
    assert one["fault"] == "fault list status 503 retry-after 7"
    assert (two["kind"], two["status"], two["items"], two["fault"]) == ("probe", 200, 1, "")
    assert (three["kind"], three["status"], three["frames"]) == ("watch", 200, 1)
    assert one["ms"] <= two["ms"] <= three["ms"]


# ---- faults ----

def test_fault_status(fake):
    fake.script("fault list status 429 retry-after 1 body \"Too many\\n\"\n"
                "fault list times 2 status 500\nfault watch always status 410")
    status, headers, body = get(fake, BASE)
    assert (status, headers["Retry-After"], body) == (429, "1", "Too many\n")
    assert headers["Content-Type"] == "text/plain; charset=utf-8"
    assert [get(fake, BASE)[0] for _ in range(3)] == [500, 500, 200]
    assert [get(fake, BASE, watch=1, resourceVersion=1)[2]["code"] for _ in range(3)] == [410] * 3
    assert fake.counter("faults armed") == 1
    fake.script("clear")
    assert fake.counter("faults armed") == 0
    Watch(fake, 1)
    fake.script("fault any status 200 json {\"kind\":\"Cat\"}")
    assert get(fake, "/version")[2] == {"kind": "Cat"}


def test_faults_meet_what_they_name(fake):
    fake.script("burst 4\npage-max 1\nfault probe status 500\nfault page 3 status 502\n"
                "fault list in shop status 503\nfault get status 504\nfault watch after 1 status 429")
    assert get(fake, BASE, limit=1)[0] == 500
    body = page(fake, limit=2)
    for _ in range(1):
        body = page(fake, limit=2, **{"continue": body["metadata"]["continue"]})
    assert get(fake, BASE, limit=2, **{"continue": body["metadata"]["continue"]})[0] == 502
    assert get(fake, "/api/v1/namespaces/shop/events")[0] == 503
    assert get(fake, "/version")[0] == 504
    assert Watch(fake, 1).status == 200
    assert get(fake, BASE, watch=1, resourceVersion=1)[0] == 429
    assert fake.counter("faults armed") == 0


def test_fault_delay_hang_close_reset(fake):
    fake.script("fault list delay 150ms\nfault list hang\nfault list close\nfault list reset")
    start = time.monotonic()
    page(fake)
    assert time.monotonic() - start >= 0.149
    hung = Raw(fake, BASE)
    assert hung.is_silent()
    closed = Raw(fake, BASE)
    assert closed.file.read() == b""
    reset = Raw(fake, BASE)
    with pytest.raises(ConnectionResetError):
        reset.file.read()


@pytest.mark.parametrize("end", ["clean", "fin", "reset"])
def test_cut_after_frames(fake, end):
    fake.script(f"put a.1\nput b.1\nput c.1\nfault watch cut 2 frames {end}")
    watch = Watch(fake, 1)
    data, ended = watch.body()
    frames = [json.loads(line) for line in data.splitlines()]
    assert [frame["object"]["metadata"]["name"] for frame in frames] == ["a.1", "b.1"]
    assert data.endswith(b"\n") and ended == end
    assert fake.watches()[0]["ended"] == end
    assert Watch(fake, 3).seen(1) == [("ADDED", "c.1", "4")]


def test_cut_inside_a_frame(fake):
    fake.script("put a.1\nput b.1 message=\"caf\xc3\xa9\"\nfault watch cut 1 frames 25 bytes reset")
    data, ended = Watch(fake, 1).body()
    first, rest = data.split(b"\n")
    assert json.loads(first)["object"]["metadata"]["name"] == "a.1"
    assert rest == b'{"type":"ADDED","object":' and ended == "reset"


def test_cut_of_a_live_watch(fake):
    fake.script("fault watch cut 1 frames silent")
    watch = Watch(fake, 1)
    fake.script("put a.1\nput b.1")
    assert watch.seen(1) == [("ADDED", "a.1", "2")]
    assert watch.is_silent()
    assert fake.counter("watches open") == 1
    watch.close()
    fake.wait("watches open == 0")
    assert fake.watches()[0]["ended"] == "silent"


def test_watches_that_end_at_once(fake):
    fake.script("put a.1\nfault watch times 2 cut clean\nfault watch cut silent")
    assert Watch(fake, 1).body() == (b"", "clean")
    assert Watch(fake, 1).body() == (b"", "clean")
    silent = Watch(fake, 1)
    assert silent.status == 200 and silent.is_silent()
    assert Watch(fake, 1).seen(1) == [("ADDED", "a.1", "2")]


@pytest.mark.parametrize("end", ["clean", "fin", "reset", "silent"])
def test_open_watches_end(fake, end):
    watch = Watch(fake, 1)
    fake.script(f"put a.1\nwatches {end}\nput b.1")
    assert watch.seen(1) == [("ADDED", "a.1", "2")]
    if end == "silent":
        assert watch.is_silent()
    else:
        assert watch.body() == (b"", end)
    assert fake.watches()[0]["ended"] == end


def test_truncated_lists(fake):
    fake.script("burst 20\nfault list cut 100 bytes fin\nfault list cut 100 bytes clean\n"
                "fault list cut 100 bytes reset\nfault list chunked cut 100 bytes fin\n"
                "fault list chunked")
    cut = Raw(fake, BASE).head()
    assert int(cut.headers["content-length"]) > 5000 and len(cut.file.read()) == 100
    short = Raw(fake, BASE).head()
    assert short.headers["content-length"] == "100" and len(short.file.read(100)) == 100
    reset = Raw(fake, BASE).head()
    assert len(reset.file.read(100)) == 100
    with pytest.raises(ConnectionResetError):
        reset.file.read()
    data, ended = Raw(fake, BASE).head().body()
    assert (len(data), ended) == (100, "fin")
    data, ended = Raw(fake, BASE).head().body()
    assert len(json.loads(data)["items"]) == 20 and ended == "clean"


def test_drip(fake):
    fake.script("put a.1\nfault watch drip 1 0\nfault list drip 200 20ms")
    watch = Watch(fake, 1)
    assert watch.seen(1) == [("ADDED", "a.1", "2")]
    start = time.monotonic()
    page(fake)
    assert time.monotonic() - start >= 0.039


def test_first_frames(fake):
    fake.script(r"""
        put a.1
        fault watch first @bookmark:7 first '{"type":"WAT"}' first "\xff\x00" cut 4 frames fin
        fault watch times 2 first @error:500:broken cut 1 frames clean
        fault watch first @error:410
    """)
    data, ended = Watch(fake, 1).body()
    lines = data.split(b"\n")
    bookmark = json.loads(lines[0])
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"] == {"resourceVersion": "7"}
    assert lines[1] == b'{"type":"WAT"}' and lines[2] == b"\xff\0"
    assert json.loads(lines[3])["object"]["metadata"]["name"] == "a.1" and ended == "fin"
    for _ in range(2):
        watch = Watch(fake, 1)
        assert watch.frame()["object"] == {
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "broken", "reason": "InternalError", "code": 500}
        assert watch.frame() is None
    watch = Watch(fake, 1)
    assert watch.frame()["object"]["message"] == TOO_OLD
    assert watch.seen(1) == [("ADDED", "a.1", "2")]


def test_send_to_open_watches(fake):
    one, two = Watch(fake, 1), Watch(fake, 1)
    fake.script("put a.1\nsend {\"type\":\nsend @x:100000\nsend @levels:1001\nput b.1")
    for watch in (one, two):
        assert watch.seen(1) == [("ADDED", "a.1", "2")]
        with pytest.raises(ValueError):
            watch.frame()
        big = watch.frame()["object"]
        assert len(big["message"]) == 100000 and big["metadata"]["resourceVersion"] == "3"
        while b"\n" not in watch.rest:
            watch.rest += watch.chunk()
        deep, _, watch.rest = watch.rest.partition(b"\n")
        assert deep.count(b"[") == 1001 and b'"resourceVersion":"4"' in deep
        assert watch.seen(1) == [("ADDED", "b.1", "5")]
    assert page(fake)["metadata"]["resourceVersion"] == "5"
    assert fake.counter("events") == 2


def test_a_frame_of_17_mib(fake):
    fake.script("put big.1 message=@x:17825792\nput b.1")
    watch = Watch(fake, 1)
    assert len(watch.frame()["object"]["message"]) == 17825792
    assert watch.seen(1) == [("ADDED", "b.1", "3")]


def test_empty_page_and_expiring_tokens(fake):
    fake.script("page-max 2\nburst 5 prefix e\nfault page 2 empty\nfault page 3 expire")
    first = page(fake)
    empty = page(fake, **{"continue": first["metadata"]["continue"]})
    assert empty["items"] == [] and empty["metadata"]["continue"]
    fake.script("fault list empty")
    assert page(fake, "/api/v1/namespaces/none/events")["metadata"]["continue"]
    fake.script("clear\nfault page 3 always expire")
    second = page(fake, **{"continue": first["metadata"]["continue"]})
    assert [i["metadata"]["name"] for i in second["items"]] == ["e-3", "e-4"]
    status, _, gone = get(fake, BASE, **{"continue": second["metadata"]["continue"]})
    assert status == 410
    rest = page(fake, **{"continue": gone["metadata"]["continue"]})
    assert [i["metadata"]["name"] for i in rest["items"]] == ["e-5"]


def test_ports(fake):
    fake.script("put a.1\nburst 5 prefix e")
    watch = Watch(fake, 6)
    fake.script("api refuse")
    with pytest.raises(ConnectionRefusedError):
        page(fake)
    fake.script("put b.1")
    watch.seen(2)  # what is open goes on
    fake.script("api cut")
    assert watch.body()[1] == "reset"
    fake.script("api listen\napi pause")
    paused = Raw(fake, BASE)
    assert paused.is_silent(0.05)
    assert fake.counter("lists") == 0
    fake.script("api resume")
    assert paused.head().status == 200
    fake.script("sinks refuse")
    with pytest.raises(ConnectionRefusedError):
        post(fake, "/a/x", {})
    fake.script("sinks listen")
    assert post(fake, "/a/x", {})[0] == 200


def test_pause_of_open_watches(fake):
    watch = Watch(fake, 1)
    fake.script("api pause\nput a.1")
    assert watch.is_silent(0.05)
    fake.script("api resume")
    assert watch.seen(1) == [("ADDED", "a.1", "2")]


# ---- sinks ----

def test_sinks_count_records(fake):
    for body in ([{"a": "]}"}, {"b": [1, 2]}], {"one": 1}, b'{"n":1}\n{"n":2}\n{"n":3}\n', b"", []):
        assert post(fake, "/a/hook?x=1", body)[0] == 200
    post(fake, "/b", {})
    state = fake.state()["sinks"]
    assert (state["a"]["requests"], state["a"]["records"], state["a"]["accepted"]) == (5, 6, 6)
    assert state["b"]["records"] == 1
    requests = fake.requests("a")
    assert [r["records"] for r in requests] == [2, 1, 3, 0, 0]
    assert requests[0]["path"] == "/a/hook?x=1" and requests[0]["body"] == '[{"a": "]}"}, {"b": [1, 2]}]'
    assert requests[0]["headers"] == {"host": "x", "content-length": "28"}
    assert all(r["complete"] and r["status"] == 200 for r in requests)
    assert fake.counter("sink records") == 7


def test_two_requests_in_one_packet(fake):
    s = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    s.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\n[1]"
              b"POST /b HTTP/1.1\r\nContent-Length: 5\r\n\r\n[1,2]")
    fake.wait("sink b records >= 2")
    s.close()
    assert [r["body"] for r in fake.requests("a") + fake.requests("b")] == ["[1]", "[1,2]"]


def test_sink_answers(fake):
    fake.script("sink a answer 503 times 2\n"
                "sink a answer 429 retry-after 3 header \"X-A: b\" body slow times 1\n"
                "sink a answer 201 json {\"ok\":true}")
    assert [post(fake, "/a", {})[0] for _ in range(2)] == [503, 503]
    status, headers, body = post(fake, "/a", {})
    assert (status, headers["Retry-After"], headers["X-A"], body) == (429, "3", "b", b"slow")
    for _ in range(2):
        status, headers, body = post(fake, "/a", {})
        assert (status, headers["Content-Type"], body) == (201, "application/json", b'{"ok":true}')
    state = fake.state()["sinks"]["a"]
    assert (state["records"], state["accepted"]) == (5, 2)
    fake.script("sink a clear\nsink a answer 200 delay 100ms times 1\nsink a redirect http://127.0.0.1:1/")
    start = time.monotonic()
    assert post(fake, "/a", {})[0] == 200
    assert time.monotonic() - start >= 0.099
    status, headers, _ = post(fake, "/a", {})
    assert (status, headers["Location"]) == (302, "http://127.0.0.1:1/")


def test_sink_hangs_and_resumes(fake):
    fake.script("sink a hang")
    s = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    s.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    fake.wait("sink a hanging >= 1")
    assert post(fake, "/b", {})[0] == 200
    t = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    t.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    fake.wait("sink a hanging == 2")
    t.close()
    fake.wait("sink a hanging == 1")
    assert fake.state()["sinks"]["a"]["accepted"] == 0
    fake.script("sink a resume")
    assert s.recv(100).startswith(b"HTTP/1.1 200 ")
    assert fake.counter("sinks")["a"]["hanging"] == 0
    assert [r["status"] for r in fake.requests("a")] == [200, 0]
    assert fake.state()["sinks"]["a"]["accepted"] == 1
    assert post(fake, "/a", {}, s)[0] == 200


def test_sink_resets(fake):
    fake.script("sink a reset 5 times 1\nsink b refuse times 1")
    s = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    s.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    time.sleep(0.02)  # as two packets; one would do as well
    s.sendall(b"0123456")
    with pytest.raises(ConnectionResetError):
        s.recv(1)
    assert post(fake, "/a", {})[0] == 200
    cut, whole = fake.requests("a")
    assert (cut["complete"], cut["body"][:6], cut["status"]) == (False, "{01234", 0)
    assert (whole["complete"], whole["status"]) == (True, 200)
    assert post(fake, "/b", {}) is None
    assert post(fake, "/b", {})[0] == 200
    assert fake.state()["sinks"]["a"] == {"requests": 2, "records": 1, "accepted": 1, "bytes": 2,
                                          "incomplete": 1, "hanging": 0}


def test_peer_that_leaves_in_the_middle(fake):
    s = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.sendall(b"POST /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
    assert s.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    s.sendall(b"[1")
    time.sleep(0.02)
    s.close()
    fake.wait("sink a incomplete >= 1")
    assert fake.requests("a")[0]["records"] == 0


def test_sink_poison_and_max_body(fake):
    fake.script("sink a poison bad-one 422\nsink a max-body 50")
    assert post(fake, "/a", [{"x": "bad-one"}])[0] == 422
    assert post(fake, "/a", [{"x": "good-one"}])[0] == 200
    assert post(fake, "/a", [{"x": "y" * 50}])[0] == 413
    assert fake.state()["sinks"]["a"]["accepted"] == 1


def test_sink_drip_and_endless(fake):
    fake.script("sink a answer 200 drip 2ms times 1\nsink a answer 200 endless")
    start = time.monotonic()
    assert post(fake, "/a", {})[0] == 200
    assert time.monotonic() - start >= 0.06  # "HTTP/1.1 200 OK ..." is more than 30 bytes
    s = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    s.sendall(b"POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}")
    total = 0
    while total < 1 << 20:
        total += len(s.recv(65536))
    s.close()
    assert post(fake, "/b", {})[0] == 200


def test_sink_discard(fake):
    fake.script("sink a discard")
    s = socket.create_connection(("127.0.0.1", port_of(fake.sinks)), LIMIT)
    for _ in range(3):
        assert post(fake, "/a", [{}, {}], s)[0] == 200
    assert fake.requests("a") == []
    assert fake.state()["sinks"]["a"]["accepted"] == 6


# ---- the program ----

def test_two_at_once_and_the_options(tmp_path):
    script = tmp_path / "script"
    script.write_text("burst 3\nsink a answer 202\n")
    one, two = Fake("--script", script), Fake()
    assert one.api != two.api
    one.wait("events >= 3")
    assert post(one, "/a", {})[0] == 202 and post(two, "/a", {})[0] == 200
    one.close()
    again = Fake("--api-port", str(port_of(one.api)))
    assert again.api == one.api
    again.close()
    two.close()


def test_unknown_paths_and_bad_requests(fake):
    assert fake.ask("GET", "/nothing")[0] == 404
    s = socket.create_connection(("127.0.0.1", port_of(fake.api)), LIMIT)
    s.sendall(b"NONSENSE\r\n\r\n")
    assert s.recv(100).startswith(b"HTTP/1.1 400 ")
