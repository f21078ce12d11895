"""A webhook's peer that a test programs in Python: for TLS, and for answers that depend on what came."""
import json
import threading
import time

from http_server import Handler, Server

LIMIT = 20.0


class Patient(Server):
    def handle_error(self, request, client_address):
        """Handshakes that fail are what some tests are about."""


class Peer:
    """Takes POSTs on a port of 127.0.0.1; judge(headers) gives the status of each. With judge_body,
    judge_body(headers, body) does, and bodies are kept as bytes."""

    def __init__(self, judge=lambda headers: 200, tls=None, judge_body=None):
        self.requests, self.changed = [], threading.Condition()
        peer = self

        class Post(Handler):
            timeout = LIMIT

            def setup(self):
                if tls is not None:  # here and not in the accepting thread, which must not wait
                    self.request.settimeout(LIMIT)
                    self.request = tls.wrap_socket(self.request, server_side=True)
                super().setup()

            def do_POST(self):
                body = self.body()
                status = judge_body(self.headers, body) if judge_body else judge(self.headers)
                with peer.changed:
                    peer.requests.append((status, dict(self.headers),
                                          body if judge_body else json.loads(body)))
                    peer.changed.notify_all()
                self.answer(status)

        self.server = Patient(Post)
        self.port, self.close = self.server.server_port, self.server.close

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
