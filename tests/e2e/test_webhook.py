"""The webhook's CloudEvents and signatures, judged by other people's readers.

Events come from tests/support/er_fake. The receiver reads and validates with npm packages; keys are
rotated while the router runs."""
import base64
import urllib.parse

import pytest

import webhook
from fake import Fake
from programs import replace

OLD, NEW, LAST = (f"whsec_{base64.b64encode(text).decode()}" for text in (
    b"the old key, of thirty-two bytes", b"the new key, of thirty-two bytes",
    b"the last key of thirty-two bytes"))

CONFIG = """
cluster: "a b"
log: {{level: info, format: json}}
admin: {{listen: "127.0.0.1:0"}}
kubernetes: {{kubeconfig: "{folder}/kubeconfig"}}
sinks:
  structured: {{type: webhook, url: "{url}/cloudevents/structured", format: cloudevents, {common}}}
  packed: {{type: webhook, url: "{url}/cloudevents/packed", format: cloudevents, compression: gzip,
           {common}}}
  binary: {{type: webhook, url: "{url}/cloudevents/binary", format: cloudevents-binary, {common}}}
  batch: {{type: webhook, url: "{url}/cloudevents/batch", format: cloudevents-batch,
          batch: {{records: 7}}, {common}}}
  lines: {{type: webhook, url: "{url}/json/lines", format: ndjson, compression: gzip,
          batch: {{records: 7}}, {common}}}
"""
COMMON = """retry: {{initial: 20ms, max: 100ms}}, sign: {{type: standard-webhooks,
           keys: [{{file: "{folder}/first"}}, {{file: "{folder}/second"}}]}}"""
SINKS = ("structured", "packed", "binary", "batch", "lines")


@pytest.fixture(scope="session")
def installed():
    reason = webhook.why_not()
    if reason:
        pytest.skip(reason)


@pytest.fixture
def line(installed, start_router, tmp_path):
    """(fake, receiver, router): events of fake go to the five sinks, signed by first and second."""
    fake = Fake()
    fake.kubeconfig(tmp_path / "kubeconfig")
    for name, text in (("accepted", OLD), ("first", OLD), ("second", NEW)):
        (tmp_path / name).write_text(text)
    receiver = webhook.Receiver(tmp_path / "accepted")
    common = COMMON.format(folder=tmp_path)
    yield fake, receiver, start_router(CONFIG.format(folder=tmp_path, url=receiver.url,
                                                     common=common))
    receiver.close()
    fake.close()


def event_of(record):
    """The CloudEvent that a record must become."""
    subject = "/".join(record["object"][part] for part in ("namespace", "kind", "name"))
    return {"specversion": "1.0", "id": record["id"], "source": "/clusters/a%20b",
            "type": "io.eventrouter.event", "subject": subject, "datacontenttype": "application/json",
            "dataschema": "https://eventrouter.io/schemas/v1/record.schema.json"}


def assert_events(receiver, sink):
    for line in receiver.of(sink):
        for event in line.get("events", []):
            found = {name: value for name, value in event.items() if name not in ("data", "time")}
            if sink == "binary":  # decoding headers is left to us
                for name in ("subject", "source"):
                    found[name] = urllib.parse.unquote(found[name])
            assert found == event_of(event["data"])
            assert event["time"][:19] == event["data"]["time"][:19]  # it prints milliseconds


def test_cloudevents_and_signatures(line, tmp_path):
    fake, receiver, router = line
    fake.script('put odd.1 object="50% \\"é\\" \U0001f600"\nburst 29')
    receiver.wait_for(30, SINKS)
    replace(tmp_path / "accepted", NEW)  # the receiver changes over; both keys sign
    fake.script("burst 30 prefix more")
    receiver.wait_for(60, SINKS)
    assert {entry["status"] for entry in receiver.lines} == {204}, receiver.lines
    replace(tmp_path / "first", LAST)  # the old key's file gets the next one, the receiver takes it
    replace(tmp_path / "accepted", LAST)
    fake.script("burst 30 prefix last")
    receiver.wait_for(90, SINKS)
    assert router.stop() == 0
    for sink in SINKS:
        lines = receiver.of(sink)
        # at most one request was signed before the router looked at its file
        assert [entry["status"] for entry in lines].count(401) <= 1
        assert {entry["status"] for entry in lines} <= {204, 401}, lines
        assert all(entry["alteredRefused"] for entry in lines if entry["status"] == 204)
        assert {entry["encoding"] for entry in lines} == {
            "gzip" if sink in ("packed", "lines") else ""}
        assert_events(receiver, sink)
        records = receiver.records(sink)
        assert len(records) == len({record["id"] for record in records}) == 90
    ledger = router.ledger()
    assert [(sink["delivered"], sink["rejected"]) for sink in ledger["sinks"]] == [(90, 0)] * 5
