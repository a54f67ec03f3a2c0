"""What the services share: routes, JSON, a log on standard error, and faults that a restart takes away."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import IO, Any, ClassVar

_MAX_BODY = 1 << 20


@dataclass(frozen=True)
class Request:
    """One request; `params` are the named groups of the route."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""
    params: Mapping[str, str] = field(default_factory=dict)

    @property
    def bearer(self) -> str:
        """The token of the Authorization header, "" without one."""
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if kind.lower() == "bearer" else ""

    def json(self) -> dict[str, Any]:
        """Return the body; raises Refused 400 when it is no JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Refused(400, "the body has to be a JSON object")
        return found


@dataclass(frozen=True)
class Answer:
    """What is sent back; `data` is sent as JSON unless it is bytes."""

    status: int = 200
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):  # noqa: N818 - it is an answer, not a failure of the service
    """A request that is answered with `status` and {"error": message}."""

    def __init__(self, status: int, message: str) -> None:
        self.status = status
        super().__init__(message)


Handler = Callable[[Request], Answer]


class Service:
    """One service: routes, health, a log. Subclasses add to `routes` and say in `check` what is wrong."""

    name: ClassVar[str] = ""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.called = options.name or self.name
        self.env: Mapping[str, str] = dict(os.environ)
        self.fault: dict[str, Any] = {}
        self._kept_open: IO[bytes] | None = None
        self._leaked = b""
        self.routes: list[tuple[str, str, Handler]] = [("GET", r"/health", self.health)]

    def check(self) -> None:
        """Raise whatever keeps the service from its work."""

    def health(self, _request: Request) -> Answer:
        """Answer 200 when the service can do its work, 503 with the reason when it cannot."""
        try:
            self.check()
        except Exception as error:
            self.log("ERROR", str(error))
            return Answer(503, {"status": "error", "service": self.called, "error": str(error)})
        return Answer(200, {"status": "ok", "service": self.called})

    def log(self, level: str, message: str) -> None:
        """Write one line; never a token or a secret."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        sys.stderr.write(f"{moment}Z {level} {self.called}: {message}\n")
        sys.stderr.flush()

    def answer(self, request: Request) -> Answer:
        """Answer one request, faults first."""
        time.sleep(self.fault.get("delay", 0))
        if "status" in self.fault:
            reason = self.fault.get("error", "out of order")
            self.log("ERROR", reason)
            return Answer(self.fault["status"], {"status": "error", "error": reason})
        try:
            return self._route(request)
        except Refused as refused:
            return Answer(refused.status, {"error": str(refused)})
        except Exception as error:
            self.log("ERROR", f"{request.method} {request.path}: {error}")
            return Answer(500, {"error": "internal error"})

    def _route(self, request: Request) -> Answer:
        for method, pattern, handler in self.routes:
            found = re.fullmatch(pattern, request.path)
            if found and method in (request.method, "*"):
                named = Request(
                    request.method, request.path, request.headers, request.body, found.groupdict()
                )
                return handler(named)
        raise Refused(404, f"there is no {request.method} {request.path}")

    def take_fault(self) -> None:
        """Read the fault that was asked for; it lives in this process only, so a restart takes it away.

        Keys: status (everything is answered with it), error (its text, also logged), delay (seconds before
        each answer), lines and say (that many log lines of that text), holds (path and bytes of a file that
        is deleted and kept open), leaks (bytes of memory). An empty object ends the fault.
        """
        self.fault = json.loads((self.options.run_dir / f"{self.called}.fault").read_text())
        self._kept_open = _hold(**self.fault["holds"]) if "holds" in self.fault else None
        self._leaked = b"x" * self.fault.get("leaks", 0)
        for number in range(self.fault.get("lines", 0)):
            self.log("ERROR", f"{self.fault['say']} ({number})")

    def serve(self) -> None:
        """Serve until SIGTERM or the end of whoever started it; SIGUSR1 reads the fault."""
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        if self.options.run_dir:
            signal.signal(signal.SIGUSR1, lambda *_: self.take_fault())
            self._write_pid(self.options.run_dir / f"{self.called}.pid")
        parent = os.getppid()

        def end_alone() -> None:
            if os.getppid() != parent:
                os._exit(0)

        # Last: whoever reaches the port finds the process id of this process, and may send it signals.
        server = listen(self.options.host, self.options.port, self.answer, self.log)
        server.service_actions = end_alone  # type: ignore[method-assign]
        self.log("INFO", f"listening on port {self.options.port}")
        server.serve_forever(poll_interval=1)

    def end(self) -> None:
        """Do what has to be done before an orderly end."""

    def _stop(self) -> None:
        with contextlib.suppress(Exception):
            self.end()
        os._exit(0)

    @staticmethod
    def _write_pid(path: Path) -> None:
        fresh = path.with_suffix(".pid.new")
        fresh.write_text(str(os.getpid()))
        fresh.rename(path)


def _hold(path: str, bytes: int) -> IO[bytes]:  # noqa: A002 - the word of the fault
    """Return a file of that many bytes, which has no name any more."""
    held = Path(path).open("wb")  # noqa: SIM115 - it stays open as long as the fault lasts
    os.posix_fallocate(held.fileno(), 0, bytes)
    Path(path).unlink()
    return held


def listen(
    host: str, port: int, answer: Callable[[Request], Answer], log: Callable[[str, str], None]
) -> ThreadingHTTPServer:
    """Return a server on `host:port` that answers by `answer`; its caller serves."""

    class Connection(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY)
            path = self.path.partition("?")[0]
            request = Request(self.command, path, self.headers, self.rfile.read(length))  # type: ignore[arg-type]
            began = time.monotonic()
            said = answer(request)
            self._send(said)
            if path not in ("/health", "/ready", "/healthz", "/readyz"):
                spent = (time.monotonic() - began) * 1000
                log("INFO", f"{self.command} {path} {said.status} {spent:.0f}ms")

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - the names that the base class calls

        def _send(self, said: Answer) -> None:
            body = said.data if isinstance(said.data, bytes) else json.dumps(said.data).encode()
            kind = "application/octet-stream" if isinstance(said.data, bytes) else "application/json"
            self.send_response(said.status)
            for name, value in {"Content-Type": kind, **said.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Requests are logged above, with their time."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def server_bind(self) -> None:
            # The base class asks the name service for the name of this host, which may take seconds.
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.socket.bind(self.server_address)
            self.server_name, self.server_port = host, port

        def handle_error(self, *_: Any) -> None:
            """A client that went away is not our problem."""

    return Server((host, port), Connection)


def in_background(server: ThreadingHTTPServer) -> None:
    """Serve in a thread of its own."""
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


def folder(path: str) -> Path:
    """Return a folder that is there."""
    made = Path(path)
    made.mkdir(parents=True, exist_ok=True)
    return made
