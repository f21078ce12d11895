"""The webhook's formats, signatures and OAuth 2, as its receivers see them."""
import base64
import gzip
import hashlib
import hmac
import itertools
import json
import os
import urllib.parse

import pytest

from conftest import RECORD, key, merge
from peer import Peer

OLD, NEW = b"an old key of thirty-two bytes..", b"a new key, of thirty-two bytes.."


def whsec(raw):
    return "whsec_" + base64.b64encode(raw).decode()


def replace(path, text):
    """As an operator should: a new file in the old one's place."""
    fresh = path.with_suffix(".fresh")
    fresh.write_text(text)
    os.rename(fresh, path)


def altered(body):
    return body[:-1] + bytes([body[-1] ^ 1])


@pytest.fixture
def peer():
    """peer(judge_body) -> a receiver; peer.url is its address."""
    started = []

    def start(judge_body=lambda headers, body: 200):
        started.append(Peer(judge_body=judge_body))
        started[-1].url = f"http://127.0.0.1:{started[-1].port}/hook"
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def to(hook):
    """The configuration of a webhook sink for a peer."""
    return lambda peer, **more: merge(hook("-"), {"url": peer.url, **more})


# ---- formats ----

def event_of(record):
    """The CloudEvent that a record must become."""
    subject = [record["object"][part] for part in ("namespace", "kind", "name")
               if part in record["object"]]
    return {"specversion": "1.0", "id": record["id"], "source": "/clusters/a%20b",
            "type": "io.eventrouter.event", "subject": "/".join(subject), "time": record["time"],
            "datacontenttype": "application/json",
            "dataschema": RECORD.schema["$id"], "data": record}


def assert_records(fake, records):
    for record in records:
        RECORD.validate(record)
    assert sorted(map(key, records)) == sorted(fake.versions())  # lists come in the order of keys


def test_cloudevents(fake, router, peer, to):
    receiver = peer()
    fake.script("burst 5")
    router(cluster="a b", sinks={"a": to(receiver, format="cloudevents")})
    requests = receiver.wait_accepted(5)
    found = [json.loads(body) for _, _, body in requests]
    assert {headers["Content-Type"] for _, headers, _ in requests} == {
        "application/cloudevents+json"}
    assert found == [event_of(event["data"]) for event in found]
    assert_records(fake, [event["data"] for event in found])


def test_cloudevents_batch(fake, router, peer, to):
    receiver = peer()
    fake.script("burst 5")
    router(cluster="a b", sinks={"a": to(receiver, format="cloudevents-batch",
                                         batch={"records": 5, "linger": "5s"})})
    ((_, headers, body),) = receiver.wait_accepted(1)
    found = json.loads(body)
    assert headers["Content-Type"] == "application/cloudevents-batch+json"
    assert found == [event_of(event["data"]) for event in found]
    assert_records(fake, [event["data"] for event in found])


def test_cloudevents_binary(fake, router, peer, to):
    receiver = peer()
    fake.script('put web.1 object="50% é\\r\\nX: 1"\n'
                "burst 4")
    router(cluster="a b", sinks={"a": to(receiver, format="cloudevents-binary")})
    records = []
    for _, headers, body in receiver.wait_accepted(5):
        record = json.loads(body)
        records.append(record)
        attributes = {name[3:].lower(): urllib.parse.unquote(value)
                      for name, value in headers.items() if name.lower().startswith("ce-")}
        expected = event_of(record)
        assert expected.pop("datacontenttype") == headers["Content-Type"]
        assert expected.pop("data") == record
        expected["subject"] = expected["subject"].replace("\r\n", "\ufffd\ufffd")
        assert attributes == expected
        assert all(" " < c < "\x7f" and c != '"' for name, value in headers.items()
                   if name.lower().startswith("ce-") for c in value)
    assert_records(fake, records)


def test_ndjson(fake, router, peer, to):
    receiver = peer()
    fake.script("burst 7")
    router(sinks={"a": to(receiver, format="ndjson", batch={"records": 7, "linger": "5s"})})
    ((_, headers, body),) = receiver.wait_accepted(1)
    assert headers["Content-Type"] == "application/x-ndjson"
    assert body.endswith(b"\n") and body.count(b"\n") == 7
    assert_records(fake, [json.loads(line) for line in body.splitlines()])


def test_gzip_is_the_same_bytes_again(fake, router, peer, to):
    statuses = itertools.chain([503, 503], itertools.repeat(200))
    receiver = peer(lambda headers, body: next(statuses))
    fake.script("burst 100")
    r = router(sinks={"a": to(receiver, compression="gzip",
                              batch={"records": 100, "linger": "5s"})})
    requests = receiver.wait_accepted(1)
    assert [status for status, _, _ in requests] == [503, 503, 200]
    assert len({body for _, _, body in requests}) == 1
    assert {headers["Content-Encoding"] for _, headers, _ in requests} == {"gzip"}
    plain = gzip.decompress(requests[0][2])
    assert len(requests[0][2]) < len(plain) / 8
    assert_records(fake, json.loads(plain))
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 100


# ---- signatures ----

def github_holds(key_bytes, headers, body):
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    wanted = "sha256=" + hmac.new(key_bytes, body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(wanted, headers["X-Hub-Signature-256"])


def standard_holds(key_bytes, headers, body):
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = "v1," + base64.b64encode(hmac.digest(key_bytes, signed, "sha256")).decode()
    return wanted in headers["webhook-signature"].split(" ")


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_github_key_rotates(fake, router, peer, to, tmp_path, compression):
    """The receiver changes its key; the first 401 makes the router look at the file."""
    file, accepted = tmp_path / "key", [OLD]
    file.write_text(OLD.decode() + "\n")
    receiver = peer(lambda headers, body: 200 if github_holds(accepted[0], headers, body) else 401)
    fake.script("burst 5")
    r = router(sinks={"a": to(receiver, compression=compression,
                              sign={"type": "github", "keys": [{"file": str(file)}]})})
    receiver.wait_accepted(5)
    replace(file, NEW.decode() + "\n")
    accepted[0] = NEW
    fake.script("burst 5 prefix more")
    requests = receiver.wait_accepted(10)
    statuses = [status for status, _, _ in requests]
    assert statuses[:5] == [200] * 5 and statuses[-5:] == [200] * 5
    assert statuses.count(401) <= 1  # none, when the file was looked at in between
    for i, (status, headers, body) in enumerate(requests):
        assert github_holds(OLD, headers, body) == (i < 5 or status == 401)
        assert github_holds(NEW, headers, body) == (i >= 5 and status == 200)
        if compression == "none":
            assert not github_holds(OLD if i < 5 else NEW, headers, altered(body))
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 10
    assert not [line for line in r.lines if " key, of thirty" in json.dumps(line)]


def test_standard_webhooks_keys_overlap(fake, router, peer, to, tmp_path):
    """Old and new sign together, so that no request is refused while the receiver changes over;
    then the old one's file gets another key."""
    first, second, accepted = tmp_path / "first", tmp_path / "second", [OLD]
    first.write_text(whsec(OLD))
    second.write_text(whsec(NEW))
    receiver = peer(lambda headers, body: 200 if standard_holds(accepted[0], headers, body) else 401)
    fake.script("burst 5")
    r = router(sinks={"a": to(receiver, sign={"type": "standard-webhooks",
                                              "keys": [{"file": str(first)},
                                                       {"file": str(second)}]})})
    receiver.wait_accepted(5)
    accepted[0] = NEW
    fake.script("burst 5 prefix more")
    receiver.wait_accepted(10)
    assert receiver.statuses() == [200] * 10
    third = b"the third key, thirty-two bytes."
    replace(first, whsec(third))
    accepted[0] = third
    fake.script("burst 5 prefix last")
    requests = receiver.wait_accepted(15)
    assert [status for status, _, _ in requests][-5:] == [200] * 5
    assert receiver.statuses().count(401) <= 1
    for status, headers, body in requests:
        assert len(headers["webhook-signature"].split(" ")) == 2
        assert headers["webhook-id"] == json.loads(body)["id"]
        assert standard_holds(NEW, headers, body)
        assert not standard_holds(NEW, headers, altered(body))
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 15


def test_each_attempt_is_signed_anew(fake, router, peer, to):
    """The same id and body, and the time of the attempt."""
    statuses = itertools.chain([503], itertools.repeat(200))
    receiver = peer(lambda headers, body: next(statuses))
    fake.script("put web.1")
    router(env={"KEY": whsec(OLD)},
           sinks={"a": to(receiver, retry={"initial": "1s", "max": "5s"},
                          sign={"type": "standard-webhooks", "keys": [{"env": "KEY"}]})})
    (_, one, body), (_, two, again) = receiver.wait_accepted(1)
    assert body == again and one["webhook-id"] == two["webhook-id"]
    assert standard_holds(OLD, one, body) and standard_holds(OLD, two, again)
    assert int(two["webhook-timestamp"]) >= int(one["webhook-timestamp"])


def test_a_file_that_is_no_key_any_more(fake, router, peer, to, tmp_path):
    """It is said, nothing is sent unsigned, and nothing is lost."""
    file = tmp_path / "key"
    file.write_text(whsec(OLD))
    accepted = [OLD]
    receiver = peer(lambda headers, body: 200 if standard_holds(accepted[0], headers, body) else 401)
    fake.script("put web.1")
    r = router(sinks={"a": to(receiver, sign={"type": "standard-webhooks",
                                              "keys": [{"file": str(file)}]})})
    receiver.wait_accepted(1)
    replace(file, "rubbish-text")
    accepted[0] = NEW
    fake.script("put web.2")
    line = r.wait_log("the sink denies us, records are kept and tried slowly", sink="a")
    assert line["error"] == ("sinks.a.sign.keys[0] is not a key of Standard Webhooks: whsec_ and the "
                             "Base64 of 24 to 64 bytes")
    replace(file, whsec(NEW))
    receiver.wait_accepted(2)
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 2
    assert "rubbish" not in json.dumps(r.lines)


# ---- OAuth 2 ----

def oauth2(fake, secret="s3cret-text", **more):
    return {"oauth2": {"tokenUrl": f"{fake.sinks}/idp/token", "clientId": "router",
                       "clientSecret": secret, **more}}


def token(name, life=3600):
    return json.dumps({"access_token": name, "token_type": "Bearer", "expires_in": life},
                      separators=(",", ":"))


def sent(fake, sink="a"):
    return [(request["headers"]["authorization"], request["status"])
            for request in fake.requests(sink)]


def basic(secret):
    return "Basic " + base64.b64encode(f"router:{secret}".encode()).decode()


def test_a_token_is_kept(fake, router, hook):
    fake.script(f"sink idp answer 200 json {token('an-access-token')}\nburst 5")
    r = router(sinks={"a": hook("a", auth=oauth2(fake, scopes=["b", "a"]))})
    fake.wait("sink a accepted >= 5")
    assert sent(fake) == [("Bearer an-access-token", 200)] * 5
    (asked,) = fake.requests("idp")
    assert asked["path"] == "/idp/token"
    assert asked["body"] == "grant_type=client_credentials&scope=b%20a"
    assert asked["headers"]["authorization"] == basic("s3cret-text")
    assert r.stop() == 0
    assert "s3cret-text" not in json.dumps(r.lines) and "an-access-token" not in json.dumps(r.lines)


def test_a_token_expires(fake, router, hook):
    fake.script(f"sink idp answer 200 json {token('t-1', 1)} times 1\n"
                f"sink idp answer 200 json {token('t-2')}\nput web.1")
    router(sinks={"a": hook("a", auth=oauth2(fake))})
    fake.wait("sink a accepted >= 1")
    fake.script("sleep 1s\nput web.2")
    fake.wait("sink a accepted >= 2")
    assert sent(fake) == [("Bearer t-1", 200), ("Bearer t-2", 200)]


def test_a_revoked_token_is_replaced_at_once(fake, router, hook):
    fake.script(f"sink idp answer 200 json {token('t-1')} times 1\n"
                f"sink idp answer 200 json {token('t-2')}\nput web.1")
    r = router(sinks={"a": hook("a", auth=oauth2(fake))})
    fake.wait("sink a accepted >= 1")
    fake.script("sink a answer 401 times 1\nput web.2")
    fake.wait("sink a accepted >= 2")
    assert sent(fake) == [("Bearer t-1", 200), ("Bearer t-1", 401), ("Bearer t-2", 200)]
    assert r.stop() == 0
    assert not r.logged("the sink denies us, records are kept and tried slowly")


def test_a_resource_that_takes_no_token(fake, router, hook):
    """One new token for each attempt at the most, and none for the first."""
    fake.script(f"sink idp answer 200 json {token('t-1')}\nsink a answer 401\nput web.1")
    r = router(sinks={"a": hook("a", auth=oauth2(fake))})
    line = r.wait_log("the sink denies us, records are kept and tried slowly", sink="a")
    assert "check sinks.a.auth" in line["error"]
    fake.wait("sink a requests >= 5")
    fake.script("sink a answer 200")
    fake.wait("sink a accepted >= 1")
    assert len(fake.requests("idp")) <= 1 + len(fake.requests("a")) / 2


@pytest.mark.parametrize("answer", ["503 retry-after 1", "429 retry-after 1"])
def test_the_token_endpoint_is_busy(fake, router, hook, answer):
    fake.script(f"sink idp answer {answer} times 1\nsink idp answer 200 json {token('t-1')}\n"
                "burst 3")
    r = router(sinks={"a": hook("a", auth=oauth2(fake))})
    line = r.wait_log("the sink is unavailable, records are kept and tried again", sink="a")
    assert line["error"] == (f"no access token: {answer[:3]} from {fake.sinks}/idp/token "
                             "(sinks.a.auth.oauth2)")
    fake.wait("sink a accepted >= 3")
    before, after = (request["ms"] for request in fake.requests("idp"))
    assert after - before >= 1000
    assert sent(fake) == [("Bearer t-1", 200)] * 3


def test_the_token_endpoint_is_gone(fake, router, hook):
    fake.script(f"sink idp refuse times 2\nsink idp answer 200 json {token('t-1')}\nburst 3")
    r = router(sinks={"a": hook("a", auth=oauth2(fake))})
    line = r.wait_log("the sink is unavailable, records are kept and tried again", sink="a")
    assert line["error"].startswith("no access token (sinks.a.auth.oauth2): ")
    fake.wait("sink a accepted >= 3")
    assert sent(fake) == [("Bearer t-1", 200)] * 3


def test_a_wrong_client_secret_until_it_is_replaced(fake, router, hook, tmp_path):
    file = tmp_path / "secret"
    file.write_text("wrong-text\n")
    fake.script('sink idp answer 401 json {"error":"invalid_client","error_description":"wrong-text"}'
                "\nburst 3")
    r = router(sinks={"a": hook("a", auth=oauth2(fake, secret={"file": str(file)}))})
    line = r.wait_log("the sink denies us, records are kept and tried slowly", sink="a")
    assert line["error"] == (f"no access token: 401 invalid_client from {fake.sinks}/idp/token: check "
                             "clientId, clientSecret and clientAuth (sinks.a.auth.oauth2)")
    assert fake.requests("a") == []
    seen = len(fake.requests("idp"))
    replace(file, "right-text\n")
    # the refusal makes it look at the file, and the new secret is tried at once
    fake.wait(f"sink idp requests >= {seen + 3}")
    fake.script(f"sink idp answer 200 json {token('t-1')}")
    fake.wait("sink a accepted >= 3")
    asked = [request["headers"]["authorization"] for request in fake.requests("idp")]
    assert asked[0] == basic("wrong-text") and asked[-1] == basic("right-text")
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 3
    assert "-text" not in json.dumps([line for line in r.lines])


def test_the_client_s_name_in_the_body(fake, router, hook):
    fake.script(f"sink idp answer 200 json {token('t-1')}\nput web.1")
    router(sinks={"a": hook("a", auth=oauth2(fake, secret="a&b=c", clientAuth="body"))})
    fake.wait("sink a accepted >= 1")
    (asked,) = fake.requests("idp")
    assert "authorization" not in asked["headers"]
    assert urllib.parse.parse_qs(asked["body"], strict_parsing=True) == {
        "grant_type": ["client_credentials"], "client_id": ["router"], "client_secret": ["a&b=c"]}


def test_a_hanging_token_endpoint_ends_with_the_program(fake, router, hook):
    fake.script("sink idp hang\nput web.1")
    r = router(sinks={"a": hook("a", auth=oauth2(fake), timeout={"request": "60s"})},
               shutdown={"grace": "100ms"})
    fake.wait("sink idp requests >= 1")
    assert r.stop() == 0
    assert r.sink_ledger("a")["delivered"] == 0
