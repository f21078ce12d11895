"""Google's side of the sink cloudLogging, on one loopback port: metadata server, tokens, entries.write.

Requests are parsed by Google's own protobuf definitions (PyPI google-cloud-logging) under the rules of
protobuf's JSON mapping; what those cannot say (limits, resources, rights) is checked here, with the
service's texts. Assertions are verified with the account's public key (PyPI cryptography).

usage: server.py DIRECTORY [CERTIFICATE KEY]

Prints its base URL as a line of JSON and ends when standard input does. DIRECTORY gets
service-account.json, whose token_uri is this server. POST /_control takes a JSON object:
  {"fail": [{"path": TEXT, "status": N, "times": N, "retry_after": S, "how": HOW}]}
      for requests whose path holds TEXT; HOW: "answer" (default), "close" (no answer), "after" (the work
      is done, then the connection closed)
  {"refuse": {TEXT: CODE}}    entries whose payload holds TEXT, with a code of google.rpc
  {"entry_limit": BYTES}, {"request_limit": BYTES}, {"token_life": S}
  {"revoke": true}            no token issued so far is good any more
  {"reset": true}             all of it as at the start; entries are forgotten
GET /_control answers {"entries": [...], "requests": [[method, path, status], ...], "largest": BYTES}.
"""
import base64
import collections
import datetime
import gzip
import http.server
import json
import pathlib
import re
import secrets
import ssl
import sys
import threading
import time
import urllib.parse

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from google.cloud.logging_v2.types import WriteLogEntriesRequest
from google.protobuf import json_format

PROJECT = "project-1"
ACCOUNT = f"router@{PROJECT}.iam.gserviceaccount.com"
SCOPES = {"https://www.googleapis.com/auth/logging.write",
          "https://www.googleapis.com/auth/cloud-platform"}
AUDIENCE = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/k8s"
PARTIAL = "type.googleapis.com/google.logging.v2.WriteLogEntriesPartialErrors"
CODES = {3: (400, "INVALID_ARGUMENT"), 5: (404, "NOT_FOUND"), 7: (403, "PERMISSION_DENIED"),
         8: (429, "RESOURCE_EXHAUSTED"), 13: (500, "INTERNAL"), 14: (503, "UNAVAILABLE"),
         16: (401, "UNAUTHENTICATED")}
STATUSES = {status: name for status, name in CODES.values()}
PLACE = {"project_id", "location", "cluster_name"}
RESOURCES = {"k8s_cluster": PLACE, "k8s_node": PLACE | {"node_name"},
             "k8s_pod": PLACE | {"namespace_name", "pod_name"}}
LOG_NAME = re.compile(rf"projects/{PROJECT}/logs/[A-Za-z0-9_.%-]{{1,511}}")
LIMITS = {"entry_limit": 256 * 1024, "request_limit": 10 * 1024 * 1024, "token_life": 3600}
METADATA = {"project/project-id": PROJECT,
            "instance/attributes/cluster-name": "cluster-1",
            "instance/attributes/cluster-location": "europe-west1",
            "instance/zone": "projects/1/zones/europe-west1-b"}


class Refused(Exception):
    """A google.rpc.Status."""

    def __init__(self, code, message, details=None):
        super().__init__(message)
        self.status, self.body = CODES[code][0], {"error": {
            "code": CODES[code][0], "message": message, "status": CODES[code][1],
            **({"details": details} if details else {})}}


class TokenRefused(Exception):
    """An error of RFC 6749."""

    def __init__(self, error, why):
        super().__init__(why)
        self.status, self.body = 400, {"error": error, "error_description": why}


def unpacked(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def no_constant(name):
    raise ValueError(f"{name} is no JSON")


def no_repeats(pairs):
    for name, times in collections.Counter(name for name, _ in pairs).items():
        if times > 1:
            raise ValueError(f"{name} stands there twice")
    return dict(pairs)


class Google:
    def __init__(self, directory):
        self.lock = threading.RLock()
        self.key = rsa.generate_private_key(65537, 2048)
        self.key_id = secrets.token_hex(20)
        self.directory, self.base = directory, None
        self.reset()

    def reset(self):
        self.fail, self.refuse, self.tokens = [], {}, {}
        self.limits = dict(LIMITS)
        self.entries, self.requests, self.largest = [], [], 0

    def write_key(self):
        (self.directory / "service-account.json").write_text(json.dumps({
            "type": "service_account", "project_id": PROJECT, "private_key_id": self.key_id,
            "private_key": self.key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()).decode(),
            "client_email": ACCOUNT, "client_id": "100", "token_uri": f"{self.base}/token",
            "universe_domain": "googleapis.com"}))

    def control(self, wanted):
        with self.lock:
            if wanted.get("reset"):
                self.reset()
            if wanted.get("revoke"):
                self.tokens.clear()
            self.fail += wanted.get("fail", [])
            self.refuse.update(wanted.get("refuse", {}))
            self.limits.update({k: v for k, v in wanted.items() if k in LIMITS})

    def failing(self, path):
        with self.lock:
            for one in self.fail:
                if one["path"] in path and one.setdefault("times", 1) > 0:
                    one["times"] -= 1
                    return one
        return None

    # ---- tokens ----

    def issue(self, scopes):
        token = "ya29." + secrets.token_urlsafe(24)
        with self.lock:
            self.tokens[token] = (time.time() + self.limits["token_life"], scopes)
        return token

    def answer_of_token(self, scopes):
        return {"access_token": self.issue(scopes), "token_type": "Bearer",
                "expires_in": self.limits["token_life"]}

    def scopes_of(self, header):
        found = re.fullmatch(r"Bearer (\S+)", header or "")
        until, scopes = self.tokens.get(found and found.group(1), (0, set()))
        if until < time.time():
            raise Refused(16, "Request had invalid authentication credentials.")
        return scopes

    def assertion(self, text):
        """The claims of a signed JWT, as the token endpoint accepts it."""
        try:
            header, claims, signature = text.split(".")
            head, said = json.loads(unpacked(header)), json.loads(unpacked(claims))
            self.key.public_key().verify(unpacked(signature), f"{header}.{claims}".encode(),
                                         padding.PKCS1v15(), hashes.SHA256())
        except (ValueError, InvalidSignature) as error:
            raise TokenRefused("invalid_grant", f"Invalid JWT Signature. {error}") from error
        now = time.time()
        if head != {"alg": "RS256", "typ": "JWT", "kid": self.key_id}:
            raise TokenRefused("invalid_grant", f"Invalid JWT header {head}")
        if said.get("iss") != ACCOUNT or said.get("aud") != f"{self.base}/token":
            raise TokenRefused("invalid_grant", "Invalid issuer or audience")
        if not now - 300 < said["iat"] < now + 300 or not said["iat"] < said["exp"] <= said["iat"] + 3600:
            raise TokenRefused("invalid_grant", "Token must be short-lived and in a reasonable timeframe")
        return said

    def token(self, form):
        kind = form.get("grant_type")
        if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer":
            scopes = set(self.assertion(form["assertion"])["scope"].split())
        elif kind == "urn:ietf:params:oauth:grant-type:token-exchange":
            wanted = {"audience": AUDIENCE, "scope": form.get("scope"),
                      "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
                      "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
                      "subject_token": (self.directory / "subject").read_text().strip(),
                      "grant_type": kind}
            if form != wanted:
                raise TokenRefused("invalid_request", "other parameters than expected")
            scopes = set(form["scope"].split())
        elif kind == "refresh_token":
            if form != {"grant_type": kind, "client_id": "client", "client_secret": "secret",
                        "refresh_token": "refresh"}:
                raise TokenRefused("invalid_grant", "Bad Request")
            return self.answer_of_token(set(SCOPES))
        else:
            raise TokenRefused("unsupported_grant_type", f"Invalid grant_type: {kind}")
        if not scopes or scopes - SCOPES:
            raise TokenRefused("invalid_scope", "Invalid OAuth scope")
        return self.answer_of_token(scopes)

    def impersonate(self, header, body):
        if "https://www.googleapis.com/auth/cloud-platform" not in self.scopes_of(header):
            raise Refused(7, "Request had insufficient authentication scopes.")
        wanted = json.loads(body)
        if set(wanted) != {"scope", "lifetime"} or not re.fullmatch(r"\d+s", wanted["lifetime"]):
            raise Refused(3, "Invalid JSON payload received.")
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(
            seconds=self.limits["token_life"])
        return {"accessToken": self.issue(set(wanted["scope"])),
                "expireTime": until.strftime("%Y-%m-%dT%H:%M:%SZ")}

    # ---- entries.write ----

    def parsed(self, body):
        message = WriteLogEntriesRequest.pb()()
        try:
            json.loads(body, parse_constant=no_constant, object_pairs_hook=no_repeats)
            json_format.Parse(body, message)
        except (ValueError, json_format.ParseError) as error:
            raise Refused(3, f"Invalid JSON payload received. {error}") from error
        return message

    def fault_of(self, entry):
        """(code, message), or None."""
        resource = entry.resource
        size = entry.ByteSize()
        ahead = entry.timestamp.seconds - time.time()
        payload = entry.WhichOneof("payload")
        if not LOG_NAME.fullmatch(entry.log_name):
            return 7, f'Permission "logging.logEntries.create" denied on "{entry.log_name}"'
        if set(resource.labels) != RESOURCES.get(resource.type) or "" in resource.labels.values():
            return 3, f"Unknown resource {resource.type} {sorted(resource.labels)}"
        if payload != "json_payload" or not entry.json_payload.fields:
            return 3, "Log entry payload missing"
        if not entry.HasField("timestamp") or ahead > 86400:
            return 3, "Log entry timestamp is missing, or more than 24h in the future"
        if size > self.limits["entry_limit"]:
            return 3, (f"Log entry with size {size / 1024:.1f}K exceeds maximum size of "
                       f"{self.limits['entry_limit'] / 1024:.1f}K")
        if entry.severity not in range(100, 801, 100):
            return 3, f"Unknown severity {entry.severity}"
        if len(entry.labels) > 64 or any(len(k.encode()) > 512 or len(v.encode()) > 65536
                                         for k, v in entry.labels.items()):
            return 3, "Too many labels, or too long ones"
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", entry.insert_id):
            return 3, "insertId is none of the program's"
        text = json.dumps(json_format.MessageToDict(entry.json_payload))
        return next(((code, "refused by the test") for part, code in self.refuse.items()
                     if part in text), None)

    def write(self, body):
        if len(body) > self.limits["request_limit"]:
            raise Refused(3, "Request payload size exceeds the limit: "
                             f"{self.limits['request_limit']} bytes.")
        request = self.parsed(body)
        if not 1 <= len(request.entries) <= 1000:
            raise Refused(3, "The number of entries is not 1 to 1000")
        with self.lock:
            self.largest = max(self.largest, len(body))
            faults = {i: fault for i, fault in enumerate(map(self.fault_of, request.entries)) if fault}
            good = [entry for i, entry in enumerate(request.entries) if i not in faults]
            if faults and (not good or not request.partial_success):
                raise Refused(*faults[min(faults)])  # nothing was written: no list
            self.entries += [json_format.MessageToDict(entry) for entry in good]
        if faults:
            raise Refused(faults[min(faults)][0], "Some entries were not written", [
                {"@type": PARTIAL, "logEntryErrors": {
                    str(i): {"code": code, "message": message}
                    for i, (code, message) in faults.items()}}])
        return {}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    google = None

    def log_message(self, *_arguments):
        pass

    def answer(self, status, body, retry_after=None):
        text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        with self.google.lock:
            self.google.requests.append([self.command, self.path, status])
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=UTF-8")
        self.send_header("Content-Length", str(len(text)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(text)

    def give_up(self):
        with self.google.lock:
            self.google.requests.append([self.command, self.path, 0])
        self.close_connection = True

    def fails(self, work):
        """Plays a failure that was asked for; true when the request is over."""
        one = self.google.failing(self.path)
        how = one and one.get("how", "answer")
        if how == "answer":
            status = one["status"]
            self.answer(status, {"error": {"code": status, "message": "as the test says",
                                           "status": STATUSES.get(status, "UNKNOWN")}},
                        one.get("retry_after"))
        elif how:
            if how == "after":
                work()
            self.give_up()
        return bool(how)

    def do_GET(self):
        google = self.google
        if self.path == "/_control":
            with google.lock:
                state = {"entries": google.entries, "requests": list(google.requests),
                         "largest": google.largest}
                return self.answer(200, state)
        prefix = "/computeMetadata/v1/"
        if not self.path.startswith(prefix) or self.headers.get("Metadata-Flavor") != "Google":
            return self.answer(403, "Missing required header 'Metadata-Flavor': 'Google'")
        if self.fails(lambda: None):
            return None
        path = self.path[len(prefix):]
        if path == "instance/service-accounts/default/token":
            return self.answer(200, google.answer_of_token(set(SCOPES)))
        value = METADATA.get(path)
        return self.answer(200 if value else 404, value or "not found")

    def work(self, body):
        google = self.google
        kind = self.headers.get("Content-Type", "")
        if self.path == "/token":
            if kind != "application/x-www-form-urlencoded":
                raise TokenRefused("invalid_request", "Content-Type is not that of a form")
            return google.token(dict(urllib.parse.parse_qsl(body.decode(), strict_parsing=True)))
        if kind != "application/json":
            raise Refused(3, f"Content-Type {kind} is not application/json")
        if self.path == f"/v1/projects/-/serviceAccounts/{ACCOUNT}:generateAccessToken":
            return google.impersonate(self.headers.get("Authorization"), body)
        if self.path.partition("?")[0] != "/v2/entries:write":
            raise Refused(5, "Method not found.")
        if not google.scopes_of(self.headers.get("Authorization")) & SCOPES:
            raise Refused(7, "Request had insufficient authentication scopes.")
        return google.write(body)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.path == "/_control":
            self.google.control(json.loads(body))
            return self.answer(200, {})
        if self.fails(lambda: self.work(body)):
            return None
        try:
            return self.answer(200, self.work(body))
        except (Refused, TokenRefused) as refused:
            return self.answer(refused.status, refused.body)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        """Clients are killed."""


def main():
    google = Google(pathlib.Path(sys.argv[1]))
    Handler.google = google
    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if len(sys.argv) > 2:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*sys.argv[2:4])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    google.base = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    google.write_key()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({"url": google.base}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
