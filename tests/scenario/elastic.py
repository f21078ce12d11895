"""Elasticsearch or OpenSearch as far as the router speaks to them, programmed in Python: the product,
templates, policies, aliases, and _bulk."""
import gzip
import json
import threading
import time
import urllib.parse

from http_server import Handler, Server

LIMIT = 20.0
ELASTICSEARCH = {"version": {"number": "8.15.0", "build_flavor": "default"}}
OPENSEARCH = {"version": {"number": "2.19.3", "distribution": "opensearch"}}
POLICIES = {"/_ilm/policy/": "elasticsearch", "/_plugins/_ism/policies/": "opensearch"}


def error(kind, reason="no reason"):
    return {"error": {"type": kind, "reason": reason}}


class Elastic:
    """root: the answer to GET /. answers: (method, path without query) to (status, JSON), ahead of what
    it would say. judge(index, document) gives a result other than 201 as (status, error type)."""

    def __init__(self, root=None, policies=True, judge=None):
        self.root, self.policies, self.judge = root, policies, judge
        self.authorization = None  # the value that is asked for; None: any
        self.answers, self.stored, self.documents, self.requests = {}, {}, {}, []
        self.changed = threading.Condition()
        elastic = self

        class Any(Handler):
            timeout = LIMIT

            def do_ANY(self):
                body = self.body()
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                url = urllib.parse.urlsplit(self.path)
                with elastic.changed:
                    if elastic.authorization in (None, self.headers["Authorization"]):
                        status, answer = elastic.answer(self.command, url.path, body)
                    else:
                        status, answer = 401, {"error": "no"}
                    elastic.requests.append((self.command, self.path, dict(self.headers), body, status))
                    elastic.changed.notify_all()
                self.answer(status, json.dumps(answer).encode(), "application/json")

            do_GET = do_PUT = do_POST = do_ANY

        self.server = Server(Any)
        self.url, self.close = self.server.url, self.server.close

    def answer(self, method, path, body):
        if (method, path) in self.answers:
            return self.answers[method, path]
        if path == "/_bulk":
            return 200, self.bulk(body)
        if path == "/":
            return (200, self.root) if self.root else (403, error("security_exception"))
        for prefix in POLICIES:
            is_ours = ("_ism" in prefix) == ("distribution" in (self.root or {})["version"])
            if path.startswith(prefix) and not (self.policies and is_ours):
                return 400, error("illegal_argument_exception", "no handler found for uri")
        if method == "PUT":
            self.stored[path] = json.loads(body)
            for alias in self.stored[path].get("aliases", {}):
                self.stored[f"/_alias/{alias}"] = {}
            return 200, {"acknowledged": True}
        return (200, self.stored[path]) if path in self.stored else (404, error("resource_not_found"))

    def bulk(self, body):
        lines = body.split(b"\n")
        assert lines.pop() == b"", "the last line must end"
        items = []
        for action, document in zip(lines[::2], lines[1::2]):
            create = json.loads(action)["create"]
            assert set(create) == {"_index", "_id"}
            key, document = (create["_index"], create["_id"]), json.loads(document)
            said = self.judge(key[0], document) if self.judge else None
            if said:
                items.append({"create": {"status": said[0], **error(said[1])}})
            elif key in self.documents:
                items.append({"create": {"status": 409, **error("version_conflict_engine_exception")}})
            else:
                self.documents[key] = document
                items.append({"create": {"status": 201}})
        return {"errors": any(item["create"]["status"] != 201 for item in items), "items": items}

    def wait(self, number, limit=LIMIT):
        """Returns when so many documents are there."""
        end = time.monotonic() + limit
        with self.changed:
            while len(self.documents) < number:
                assert self.changed.wait(max(0, end - time.monotonic())), (len(self.documents), number)

    def wait_bulks(self, number, limit=LIMIT):
        end = time.monotonic() + limit
        with self.changed:
            while len(self.bulks()) < number:
                assert self.changed.wait(max(0, end - time.monotonic())), (self.requests, number)

    def bulks(self):
        return [request for request in self.requests if request[1].startswith("/_bulk")]

    def calls(self):
        """(method, path with its query, status) of everything but _bulk."""
        return [(method, path, status) for method, path, _, _, status in self.requests
                if not path.startswith("/_bulk")]
