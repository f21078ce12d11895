"""TLS of the webhook, against a server with certificates that openssl has just made."""
import ssl

import pytest

from conftest import keys
from peer import Peer
from pki import make_ca, make_cert

UNAVAILABLE = "the sink is unavailable, records are kept and tried again"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """Two authorities; a server by address and one by name; a client."""
    directory = tmp_path_factory.mktemp("pki")
    make_ca(directory, "ca")
    make_ca(directory, "other-ca")
    make_cert(directory, "address", "ca", "IP:127.0.0.1")
    make_cert(directory, "name", "ca", "DNS:hooks.example")
    make_cert(directory, "client", "ca", "DNS:client.example")
    return directory


@pytest.fixture
def serve(pki):
    started = []

    def start(cert, client_ca=None, newest=None):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pki / f"{cert}.pem", pki / f"{cert}.key")
        if client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(pki / f"{client_ca}.pem")
        if newest is not None:
            context.maximum_version = newest
        started.append(Peer(tls=context))
        return started[-1]

    yield start
    for peer in started:
        peer.close()


def start(fake, router, hook, peer, **tls):
    r = router(sinks={"a": hook("a", url=f"https://127.0.0.1:{peer.port}/", tls=tls)})
    fake.wait("watches open >= 1")
    fake.script("put a.1\nput b.1")
    return r


def delivers(fake, r, peer):
    peer.wait_records(2)
    r.wait_metric(lambda v: v == 2, "sink_delivered_total", sink="a")
    assert r.stop() == 0
    assert keys(peer.records()) == fake.versions()
    assert not r.logged(UNAVAILABLE)


def refuses(r, peer, *words):
    """It is said why; nothing was sent, nothing is lost."""
    error = r.wait_log(UNAVAILABLE, sink="a")["error"]
    for word in words:
        assert word in error, error
    r.wait_metric(lambda v: v == 2, "sink_enqueued_total", sink="a")
    r.process.terminate()
    r.wait_log("shutting down")
    assert r.stop() == 0  # the second signal
    assert peer.requests == []
    assert r.sink_ledger("a") == {"sink": "a", "enqueued": 2, "delivered": 0, "rejected": 0,
                                  "dropped": 0, "queued": 1, "inFlight": 1}


def test_ca_file(fake, router, hook, pki, serve):
    peer = serve("address")
    delivers(fake, start(fake, router, hook, peer, caFile=str(pki / "ca.pem")), peer)


def test_wrong_ca(fake, router, hook, pki, serve):
    peer = serve("address")
    refuses(start(fake, router, hook, peer, caFile=str(pki / "other-ca.pem")), peer, "certificate")


def test_ca_of_the_system(fake, router, hook, serve):
    peer = serve("address")
    refuses(start(fake, router, hook, peer), peer, "certificate")


def test_right_ca_later(fake, router, hook, pki, serve, tmp_path):
    """The file is replaced while the sink is unavailable: nothing was lost meanwhile."""
    peer, ca = serve("address"), tmp_path / "ca.pem"
    ca.write_bytes((pki / "other-ca.pem").read_bytes())
    r = start(fake, router, hook, peer, caFile=str(ca))
    r.wait_log(UNAVAILABLE, sink="a")
    replacement = tmp_path / "replacement.pem"
    replacement.write_bytes((pki / "ca.pem").read_bytes())
    replacement.rename(ca)
    peer.wait_records(2)
    r.stop()
    assert keys(peer.records()) == fake.versions()


def test_server_name(fake, router, hook, pki, serve):
    peer = serve("name")
    delivers(fake, start(fake, router, hook, peer, caFile=str(pki / "ca.pem"),
                         serverName="hooks.example"), peer)


@pytest.mark.parametrize("more", [{}, {"serverName": "other.example"}], ids=["none", "other"])
def test_wrong_server_name(fake, router, hook, pki, serve, more):
    peer = serve("name")
    refuses(start(fake, router, hook, peer, caFile=str(pki / "ca.pem"), **more), peer)


def test_client_certificate(fake, router, hook, pki, serve):
    peer = serve("address", client_ca="ca")
    delivers(fake, start(fake, router, hook, peer, caFile=str(pki / "ca.pem"),
                         certFile=str(pki / "client.pem"), keyFile=str(pki / "client.key")), peer)


def test_client_certificate_is_missing(fake, router, hook, pki, serve):
    peer = serve("address", client_ca="ca")
    refuses(start(fake, router, hook, peer, caFile=str(pki / "ca.pem")), peer)


def test_insecure_skip_verify(fake, router, hook, serve):
    """Neither the authority nor the name is looked at."""
    peer = serve("name")
    delivers(fake, start(fake, router, hook, peer, insecureSkipVerify=True), peer)


def test_oldest_version(fake, router, hook, pki, serve):
    peer = serve("address", newest=ssl.TLSVersion.TLSv1_2)
    refuses(start(fake, router, hook, peer, caFile=str(pki / "ca.pem"), minVersion="1.3"), peer)
