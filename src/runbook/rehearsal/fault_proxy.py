"""Proxies that break traffic on command: an HTTP one in front of S3, a TCP one in front of PostgreSQL.

In a test: `with S3FaultProxy(upstream) as proxy: proxy.rules.add("reset", path=r"\\.gz$", after_bytes=4096)`.
As a process: `python -m runbook.rehearsal.fault_proxy http://127.0.0.1:9000` (or `tcp://127.0.0.1:5432`)
prints one JSON line with its `port` and its `control` URL; `POST` a JSON list of faults to `control` (they
replace those before), `GET` gives the counters.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import socket
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from runbook.rehearsal.faults import Fault, Rules, reset, shut

BLOCK = 16 * 1024
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


class _Listener(ABC):
    """Accepts connections on a loopback port and serves each in a thread of its own."""

    def __init__(self, upstream: str, port: int = 0) -> None:
        target = urlsplit(upstream)
        self.upstream = (target.hostname or "127.0.0.1", target.port or 80)
        self.rules = Rules()
        self._closing = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._server: socket.socket | None = None
        self.port = port
        self._listen()

    def _listen(self) -> None:
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", self.port))
        server.listen(64)
        self.port = server.getsockname()[1]
        self._server = server
        threading.Thread(target=self._accept, args=(server,), daemon=True).start()

    def _accept(self, server: socket.socket) -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open.add(connection)
            self.rules.count(connections=1)
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError, http.client.HTTPException):
                self.serve(connection)
        finally:
            with self._lock:
                self._open.discard(connection)
            shut(connection)

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Serve one connection to its end."""

    def refuse(self) -> None:
        """Refuse new connections, as a server that is down does; `accept_again` ends it."""
        if self._server is not None:
            shut(self._server)
            self._server = None

    def accept_again(self) -> None:
        """Listen again on the same port after `refuse`."""
        if self._server is None:
            self._listen()

    def drop_all(self, *, rude: bool = True) -> None:
        """End every open connection now, with RST or in order."""
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            if rude:
                reset(connection)
            shut(connection)

    def close(self) -> None:
        """Stop: no port and no connection of this proxy stays open."""
        self._closing.set()
        self.refuse()
        self.drop_all(rude=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class S3FaultProxy(_Listener):
    """An HTTP proxy in front of an S3 server. It refuses presigned URLs that are over, as R2 does.

    The `Host` header is passed on as it came, so signatures stay right: make the client's endpoint `url`.
    """

    def __init__(self, upstream: str, port: int = 0, *, check_expiry: bool = True) -> None:
        self.check_expiry = check_expiry
        super().__init__(upstream, port)

    @property
    def url(self) -> str:
        """Endpoint to give to clients."""
        return f"http://127.0.0.1:{self.port}"

    def serve(self, connection: socket.socket) -> None:
        """Serve requests until the client or a fault ends the connection."""
        reader = connection.makefile("rb")
        while not self._closing.is_set():
            line = reader.readline(65536)
            if not line.strip():
                return
            method, target, _ = line.decode("latin-1").split(" ", 2)
            headers = http.client.parse_headers(reader)
            length = int(headers.get("Content-Length") or 0)
            if headers.get("Expect", "").lower() == "100-continue":
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = reader.read(length)
            self.rules.count(requests=1, bytes_up=length)
            if not self._answer(connection, method, target, headers, body):
                return

    def _answer(
        self,
        connection: socket.socket,
        method: str,
        target: str,
        headers: http.client.HTTPMessage,
        body: bytes,
    ) -> bool:
        path, ranged = urlsplit(target).path, headers.get("Range", "")
        fault = self.rules.pick(method, path)
        if fault and fault.kind == "hook" and fault.hook and not fault.after_bytes:
            fault.hook()
        if fault and fault.kind == "latency":
            self._closing.wait(fault.seconds)
        if self.check_expiry and _expired(target):
            self.rules.answered(method, path, ranged, 403)
            return self._refuse(connection, 403, "ExpiredRequest", "Request has expired", {})
        if fault and fault.kind == "status":
            self.rules.answered(method, path, ranged, fault.status)
            extra = {} if fault.retry_after is None else {"Retry-After": f"{fault.retry_after:g}"}
            return self._refuse(connection, fault.status, fault.code, "injected", extra)
        with contextlib.closing(http.client.HTTPConnection(*self.upstream, timeout=60)) as upstream:
            kept = {k: v for k, v in headers.items() if k.lower() not in HOP_BY_HOP}
            upstream.request(method, target, body=body, headers=kept)
            response = upstream.getresponse()
            self.rules.answered(method, path, ranged, response.status)
            return self._pass_on(connection, response, fault, head_only=method == "HEAD")

    def _refuse(
        self, connection: socket.socket, status: int, code: str, message: str, extra: dict[str, str]
    ) -> bool:
        body = (
            f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code>'
            f"<Message>{message}</Message></Error>"
        ).encode()
        fields = {"Content-Type": "application/xml", "Content-Length": str(len(body)), **extra}
        connection.sendall(_head(status, code, fields) + body)
        return True

    def _pass_on(
        self,
        connection: socket.socket,
        response: http.client.HTTPResponse,
        fault: Fault | None,
        *,
        head_only: bool,
    ) -> bool:
        fields = {k: v for k, v in response.getheaders() if k.lower() not in HOP_BY_HOP}
        whole = None
        if "content-length" not in {k.lower() for k in fields} and not head_only:
            whole = response.read()
            fields["Content-Length"] = str(len(whole))
        connection.sendall(_head(response.status, response.reason, fields))
        if head_only:
            return True
        blocks = iter([whole]) if whole is not None else iter(lambda: response.read(BLOCK), b"")
        return self._send(connection, blocks, fault)

    def _send(self, connection: socket.socket, blocks: Iterator[bytes], fault: Fault | None) -> bool:
        sent = 0
        for block in blocks:
            piece = block
            if fault and fault.after_bytes <= sent + len(block):
                before = block[: max(0, fault.after_bytes - sent)]
                connection.sendall(before)
                self.rules.count(bytes_down=len(before))
                sent += len(before)
                piece = block[len(before) :]
                ended, piece, fault = self._strike(connection, fault, piece)
                if ended:
                    return False
            connection.sendall(piece)
            self.rules.count(bytes_down=len(piece))
            sent += len(piece)
        return True

    def _strike(
        self, connection: socket.socket, fault: Fault, piece: bytes
    ) -> tuple[bool, bytes, Fault | None]:
        """Return whether the connection is over, what is left to send, and the fault that goes on."""
        if fault.kind == "reset":
            reset(connection)
        if fault.kind in ("cut", "reset"):
            return True, b"", None
        if fault.kind == "slow":
            self._closing.wait(len(piece) / fault.rate)
            return False, piece, fault
        if fault.kind == "stall":
            self._closing.wait(fault.seconds)
        if fault.kind == "hook" and fault.after_bytes and fault.hook:
            fault.hook()
        if fault.kind == "corrupt" and piece:
            piece = bytes([piece[0] ^ 1]) + piece[1:]
        return False, piece, None


class TcpFaultProxy(_Listener):
    """A TCP proxy in front of any server, e.g. PostgreSQL; a fault strikes whole connections."""

    def serve(self, connection: socket.socket) -> None:
        """Pass bytes both ways until one side or a fault ends it."""
        fault = self.rules.pick()
        if fault and fault.kind == "latency":
            self._closing.wait(fault.seconds)
        upstream = socket.create_connection(self.upstream)
        passed = [0]
        back = threading.Thread(target=self._pump, args=(upstream, connection, fault, passed, "bytes_down"))
        back.daemon = True
        back.start()
        self._pump(connection, upstream, fault, passed, "bytes_up")
        back.join()

    def _pump(
        self, source: socket.socket, sink: socket.socket, fault: Fault | None, passed: list[int], counter: str
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(BLOCK):
                passed[0] += len(data)
                if fault and passed[0] >= fault.after_bytes and self._strike(source, sink, fault, len(data)):
                    return
                sink.sendall(data)
                self.rules.count(**{counter: len(data)})
        shut(sink)
        shut(source)

    def _strike(self, source: socket.socket, sink: socket.socket, fault: Fault, size: int) -> bool:
        if fault.kind in ("cut", "reset"):
            for end in (source, sink):
                if fault.kind == "reset":
                    reset(end)
                shut(end)
            return True
        if fault.kind == "stall":
            self._closing.wait(fault.seconds)
        if fault.kind == "slow":
            self._closing.wait(size / fault.rate)
        if fault.kind == "hook" and fault.hook:
            fault.hook()
            fault.hook = None
        return False


def _head(status: int, reason: str, fields: dict[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{k}: {v}" for k, v in fields.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _expired(target: str) -> bool:
    query = parse_qs(urlsplit(target).query)
    if "X-Amz-Expires" not in query or "X-Amz-Date" not in query:
        return False
    made = datetime.strptime(query["X-Amz-Date"][0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return datetime.now(UTC) > made + timedelta(seconds=int(query["X-Amz-Expires"][0]))


def control_server(proxy: _Listener, port: int = 0) -> ThreadingHTTPServer:
    """Start the control server of a proxy: POST a JSON list of faults, GET the counters."""

    class Control(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply(vars(proxy.rules.counters))

        def do_POST(self) -> None:
            faults = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"[]")
            proxy.rules.clear()
            for fault in faults:
                proxy.rules.add(**fault)
            self._reply({"faults": len(faults)})

        def _reply(self, answer: dict[str, Any]) -> None:
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Stay silent: requests are counted, not printed."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Control)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(arguments: list[str] | None = None) -> int:
    """Run one proxy as a process until it is ended; the first line printed says where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("upstream", help="http://host:port or tcp://host:port")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--control", type=int, default=0, help="port of the control server")
    options = parser.parse_args(arguments)
    kind = TcpFaultProxy if options.upstream.startswith("tcp:") else S3FaultProxy
    with kind(options.upstream, options.port) as proxy:
        control = control_server(proxy, options.control)
        where = {"port": proxy.port, "control": f"http://127.0.0.1:{control.server_address[1]}"}
        sys.stdout.write(json.dumps(where) + "\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)
    return 0


if __name__ == "__main__":
    sys.exit(main())
