"""A real Redis on loopback, for scenarios, end-to-end tests and the bench.

Debian's package redis-tools has the server's program under the name redis-check-rdb; it decides by the
name it is called with. So no package is needed that would start a service."""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import time

from ports import free_ports

PROGRAM = shutil.which("redis-check-rdb") or "/usr/bin/redis-check-rdb"
LIMIT = 30.0
# What the account needs, as the example says it.
EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "config/examples/redis.yaml"
ROUTER = re.search(r"ACL SETUSER router on >PASSWORD (.*)", EXAMPLE.read_text()).group(1)


class RedisError(Exception):
    """An error reply."""


class Client:
    """Enough of RESP2 for a test."""

    def __init__(self, address):
        kind = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(kind, socket.SOCK_STREAM)
        self.socket.settimeout(LIMIT)
        self.socket.connect(address)
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        parts = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(parts) +
                            b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))
        return self._reply()

    def _reply(self):
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return self.file.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else None
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return rest.decode()

    def close(self):
        self.file.close()
        self.socket.close()


class Redis:
    """`redis-server` with an append-only file that is synced for each write; the data lives in `folder`.

    redis("XLEN", "k8s:events") asks it as the default user, who may do everything. settings: lines of
    redis.conf. The port stays the same over restarts."""

    def __init__(self, folder, *settings, tls=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port, tls_port = free_ports(2)
        self.tls_port = tls_port if tls else None
        self.socket = str(self.folder / "redis.sock")
        users = ["user default on nopass ~* &* +@all", f"user router on >secret {ROUTER} +select"]
        lines = ["bind 127.0.0.1", f"port {self.port}", f"unixsocket {self.socket}",
                 f"dir {self.folder}", "appendonly yes", "appendfsync always", 'save ""',
                 "repl-diskless-sync-delay 0", *users]
        if tls:  # (ca, certificate, key)
            lines += [f"tls-port {self.tls_port}", f"tls-ca-cert-file {tls[0]}",
                      f"tls-cert-file {tls[1]}", f"tls-key-file {tls[2]}", "tls-auth-clients optional"]
        self.config = self.folder / "redis.conf"
        self.config.write_text("\n".join([*lines, *settings]) + "\n")
        self.process, self.client = None, None
        self.start()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(["redis-server", self.config], executable=PROGRAM,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + LIMIT
        while True:
            try:
                if self("PING") == "PONG":
                    return
            except (OSError, RedisError):
                assert self.process.poll() is None, (self.folder / "log").read_text()[-2000:]
                assert time.monotonic() < end
                time.sleep(0.01)

    def __call__(self, *words):
        if self.client is None:
            self.client = Client(("127.0.0.1", self.port))
        try:
            return self.client(*words)
        except OSError:
            self.forget()
            raise

    def forget(self):
        if self.client is not None:
            self.client.close()
            self.client = None

    def entries(self, stream="k8s:events"):
        """All entries, in order, each a dict of its fields."""
        found, start = [], "-"
        while True:
            page = self("XRANGE", stream, start, "+", "COUNT", 10000)
            for _, fields in page:
                found.append(dict(zip(fields[::2], fields[1::2])))
            if len(page) < 10000:
                return found
            start = "(" + page[-1][0]

    def kill(self):
        """As a crash of the program would end it."""
        self.forget()
        self.process.kill()
        self.process.wait(LIMIT)

    def hang(self):
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self):
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self):
        if self.process.poll() is None:
            self.resume()
            self.kill()
        self.forget()
