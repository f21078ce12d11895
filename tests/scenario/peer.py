"""A webhook's peer that a test programs in Python: for TLS, and for answers that depend on what came."""
import http.server
import json
import threading
import time

LIMIT = 20.0


class Peer:
    """Takes POSTs on a port of 127.0.0.1; judge(headers) gives the status of each. With judge_body,
    judge_body(headers, body) does, and bodies are kept as bytes."""

    def __init__(self, judge=lambda headers: 200, tls=None, judge_body=None):
        self.requests, self.changed = [], threading.Condition()
        peer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = LIMIT

            def setup(self):
                if tls is not None:  # here and not in the accepting thread, which must not wait
                    self.request.settimeout(LIMIT)
                    self.request = tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status = judge_body(self.headers, body) if judge_body else judge(self.headers)
                with peer.changed:
                    peer.requests.append((status, dict(self.headers),
                                          body if judge_body else json.loads(body)))
                    peer.changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """Handshakes that fail are what some tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.thread.join(LIMIT)
        self.server.server_close()

    def statuses(self):
        with self.changed:
            return [status for status, _, _ in self.requests]

    def records(self):
        """What was answered with 2xx, in order."""
        with self.changed:
            found = []
            for status, _, body in self.requests:
                if 200 <= status < 300:
                    found += body if isinstance(body, list) else [body]
            return found

    def wait_accepted(self, number):
        """Returns all requests so far, as soon as so many of them were answered with 2xx."""
        end = time.monotonic() + LIMIT
        with self.changed:
            while sum(200 <= status < 300 for status, _, _ in self.requests) < number:
                assert self.changed.wait(end - time.monotonic()), (number, self.requests)
            return list(self.requests)

    def wait_records(self, number):
        end = time.monotonic() + LIMIT
        with self.changed:
            while len(self.records()) < number:
                assert self.changed.wait(end - time.monotonic()), (number, self.requests)
