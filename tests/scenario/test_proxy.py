"""HTTP sinks that reach their service through a proxy."""
import base64
import http.client
import http.server
import json
import socket
import threading

import pytest

from conftest import LIMIT
from elastic import Elastic
from test_cloud_logging import google, on_gke  # noqa: F401 (fixtures)
from test_elasticsearch import DENIED, OPENSEARCH

GOOD = "Basic " + base64.b64encode(b"us@er:pr0xy-pass").decode()


class Proxy:
    """Takes requests with a whole URL, looks up no name, and asks the server behind it."""

    def __init__(self, target, wanted=None):
        self.seen, self.wanted = [], wanted
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                given = self.headers["Proxy-Authorization"]
                proxy.seen.append((self.command, self.path.split("?")[0], given))
                if given != proxy.wanted:
                    return self.answer(407, b"")
                path = "/" + self.path.split("://", 1)[1].split("/", 1)[1]
                connection = http.client.HTTPConnection(target, timeout=5)
                connection.request(self.command, path, body, {
                    name: self.headers[name] for name in ("Content-Type", "Authorization")
                    if self.headers[name]})
                answer = connection.getresponse()
                self.answer(answer.status, answer.read())
                return connection.close()

            do_GET = do_POST = serve

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def proxy():
    started = []

    def start(*arguments):
        started.append(Proxy(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.fixture
def server():
    one = Elastic(OPENSEARCH)
    yield one
    one.close()


def elastic(**more):
    return {"type": "elasticsearch", "url": "http://es.invalid:9200", "index": "k8s",
            "batch": {"linger": "0"}, "retry": {"initial": "10ms", "max": "80ms"}, **more}


def assert_unseen(router):
    assert "pr0xy-pass" not in json.dumps(router.lines)


def test_the_proxy_looks_up_the_name_and_gets_its_own_password(fake, router, server, proxy, tmp_path):
    one = proxy(server.url.split("//")[1], GOOD)
    file = tmp_path / "proxy"
    file.write_text(f"http://us%40er:pr0xy-pass@127.0.0.1:{one.port}\n")
    fake.script("burst 5")
    r = router(sinks={"es": elastic(proxy={"file": str(file)})})
    server.wait(5)
    assert r.stop() == 0
    assert set(one.seen) == {("GET", "http://es.invalid:9200/", GOOD),
                             ("POST", "http://es.invalid:9200/_bulk", GOOD)}
    assert not any("Proxy-Authorization" in headers for _, _, headers, _, _ in server.requests)
    assert_unseen(r)


def test_a_proxy_that_wants_other_credentials(fake, router, server, proxy):
    one = proxy(server.url.split("//")[1], GOOD)
    fake.script("burst 5")
    r = router(sinks={"es": elastic(proxy=f"http://127.0.0.1:{one.port}/")})
    line = r.wait_log(DENIED)
    assert line["error"] == ("407 Proxy Authentication Required from http://es.invalid:9200/; the proxy "
                             "wants credentials; check sinks.es.proxy")
    one.wanted = None
    server.wait(5)
    assert r.stop() == 0
    assert r.wait_log("connected")["version"] == "2.19.3"


def test_a_proxy_that_is_not_there(fake, router):
    fake.script("burst 5")
    r = router(sinks={"es": elastic(proxy="http://127.0.0.1:1")})
    line = r.wait_log("the sink is unavailable, records are kept and tried again")
    assert line["error"] == ("cannot connect to es.invalid:9200 through the proxy http://127.0.0.1:1: "
                             "connection refused")


def test_a_proxy_without_a_port(fake, router):
    """It is at the port of its scheme, as for kubectl."""
    listener = socket.socket()
    try:
        listener.bind(("127.77.0.1", 80))
    except OSError as error:
        pytest.skip(f"port 80 is not to be had: {error}")
    listener.listen()
    listener.settimeout(LIMIT)
    fake.script("burst 1")
    router(shutdown={"grace": "100ms"}, sinks={"es": elastic(proxy="http://u:hunter2@127.77.0.1")})
    connection, _ = listener.accept()
    with listener, connection:
        assert connection.recv(4096).startswith(b"GET http://es.invalid:9200/ HTTP/1.1\r\n")


def test_the_metadata_server_is_asked_directly(fake, router, google, proxy):  # noqa: F811
    one = proxy(google.host)
    fake.script("burst 5")
    r = router(sinks={"a": on_gke(google, url="http://logging.invalid",
                                  proxy=f"http://127.0.0.1:{one.port}")}, env=google.env)
    google.wait(5)
    assert r.stop() == 0
    assert {(method, url) for method, url, _ in one.seen} == {
        ("POST", "http://logging.invalid/v2/entries:write")}
    assert google.asked == 1


def test_no_proxy_of_the_environment(fake, router, server):
    fake.script("burst 5")
    router(sinks={"es": elastic(url=server.url.replace("127.0.0.1", "localhost"))},
           env={"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": "http://127.0.0.1:1",
                "ALL_PROXY": "http://127.0.0.1:1", "NO_PROXY": "127.0.0.1"})
    server.wait(5)


# ---- addresses that are read while it runs ----

CLEAR = "the credentials are sent in clear over http://; write https://"


def test_an_address_in_a_file_that_is_not_encrypted(fake, router, tmp_path):
    """check cannot see it: said once when it is read."""
    file = tmp_path / "url"
    file.write_text("http://es.invalid:9200\n")
    fake.script("burst 5")
    r = router(sinks={"es": elastic(url={"file": str(file)}, auth={"bearer": "s3cret-token"})})
    r.wait_log(CLEAR, sink="es")
    r.wait_metric(lambda n: n >= 3, "sink_requests_total", sink="es", outcome="retry", code_class="none")
    assert len([line for line in r.lines if line["message"] == CLEAR]) == 1


def test_an_address_in_a_file_beside_tls(fake, router, server, tmp_path):
    file = tmp_path / "url"
    file.write_text(server.url)
    fake.script("burst 5")
    r = router(sinks={"es": elastic(url={"file": str(file)}, tls={"minVersion": "1.3"})})
    line = r.wait_log(DENIED)
    assert line["error"] == ("sinks.es has tls, but the URL that was read begins with http://, so that "
                             "nothing is encrypted; write https://, or remove tls")
    assert server.requests == []
