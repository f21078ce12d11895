"""What may stand between the router and the API server: TLS, and proxies of three kinds."""
import socket
import threading

LIMIT = 20.0


class Relay:
    """Accepts on a port of 127.0.0.1, opens the connection in its own way, and passes bytes on to
    `target`, a port of 127.0.0.1, in both directions."""

    def __init__(self, target):
        self.target, self.seen, self.lock = target, [], threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            client.settimeout(LIMIT)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            client = self.open(client)
            if client is not None:
                client.settimeout(None)
                self.join(client, self.connect())
        except OSError:
            client.close()

    def open(self, client):
        """The connection whose bytes are passed on, or None; what is of interest is note()d."""
        return client

    def note(self, what):
        with self.lock:
            self.seen.append(what)

    def notes(self):
        with self.lock:
            return list(self.seen)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.target))

    def join(self, client, server):
        back = threading.Thread(target=self.pump, args=(server, client), daemon=True)
        back.start()
        self.pump(client, server)
        back.join()
        client.close()
        server.close()

    def pump(self, source, drain):
        try:
            while data := source.recv(65536):
                drain.sendall(data)
        except OSError:
            pass
        for end in (source, drain):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(LIMIT)


class TlsRelay(Relay):
    """Ends TLS; notes the common name of each client's certificate. `context` may be replaced;
    while `gate` is not set, handshakes wait."""

    def __init__(self, target, context):
        self.context, self.gate = context, threading.Event()
        self.gate.set()
        self.waiting = threading.Event()
        super().__init__(target)

    def open(self, client):
        self.waiting.set()
        assert self.gate.wait(LIMIT)
        client = self.context.wrap_socket(client, server_side=True)
        names = dict(part[0] for part in (client.getpeercert() or {}).get("subject", ()))
        self.note(names.get("commonName"))
        return client


def read_head(sock):
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return None
        head += byte
    return head.decode()


class HttpProxy(Relay):
    """CONNECT, and requests with a whole URL; notes the heads as they came."""

    def __init__(self, target, tls=None):
        self.tls = tls
        super().__init__(target)

    def open(self, client):
        if self.tls is not None:
            client = self.tls.wrap_socket(client, server_side=True)
        head = read_head(client)
        if head is None or not head.startswith("CONNECT "):
            self.forward(client, head)
            return None
        self.note(head)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        return client

    def forward(self, client, head):
        """GETs without a body, one after the other, in origin form."""
        server = self.connect()
        threading.Thread(target=self.pump, args=(server, client), daemon=True).start()
        while head:
            self.note(head)
            line, rest = head.split("\r\n", 1)
            method, url, version = line.split(" ")
            path = "/" + url.split("://", 1)[1].split("/", 1)[1]
            server.sendall(f"{method} {path} {version}\r\n{rest}".encode())
            head = read_head(client)
        server.shutdown(socket.SHUT_RDWR)


def read_exactly(sock, n):
    data = b""
    while len(data) < n:
        more = sock.recv(n - len(data))
        if not more:
            raise OSError("cut short")
        data += more
    return data


class SocksProxy(Relay):
    """SOCKS 5 (RFC 1928) without authentication; notes (kind of address, address, port)."""

    def open(self, client):
        _, methods = read_exactly(client, 2)
        read_exactly(client, methods)
        client.sendall(b"\x05\x00")
        _, command, _, kind = read_exactly(client, 4)
        assert command == 1
        length = {1: 4, 4: 16}.get(kind) or read_exactly(client, 1)[0]
        address, port = read_exactly(client, length), read_exactly(client, 2)
        self.note((kind, address.decode(errors="replace"), int.from_bytes(port, "big")))
        client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        return client
