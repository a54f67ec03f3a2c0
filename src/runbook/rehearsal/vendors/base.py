"""What every stand-in of a vendor's API shares: routes, state, a log of requests, and faults on demand.

A vendor is a subclass of `Vendor` with its `routes`, in a file of its own that ends in
`if __name__ == "__main__": serve(Stripe)`. As `python -m runbook.rehearsal.vendors.stripe --port P --folder
F` it prints `ready PORT` and ends with its parent. In its folder:

- `state.json`: written whole after each request; what an outside judge reads; also read at the
  start when it is there.
- `requests.jsonl`: method, path, query, body and status of each request; credentials are left out.
- `faults.json`: rules that are read at each request (see Fault); absent means no fault.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

from runbook.rehearsal.processes import die_with_parent


@dataclass(frozen=True)
class Request:
    """One request as a route sees it. `params` are the groups of the route's pattern."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    params: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> Any:
        """Return the decoded body; raises Refusal 400 when it is not JSON."""
        try:
            return json.loads(self.body or b"{}")
        except ValueError:
            raise Refusal(400, {"message": "the body is not JSON"}) from None

    def form(self) -> list[tuple[str, str]]:
        """Return the fields of a form-encoded body, in order."""
        return parse_qsl(self.body.decode(), keep_blank_values=True)


@dataclass(frozen=True)
class Answer:
    """What is sent back; `data` None is an empty body."""

    status: int = 200
    data: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of the stand-in
    """What the vendor refuses, with the body it would send."""

    def __init__(self, status: int, data: Any, headers: Mapping[str, str] | None = None) -> None:
        self.answer = Answer(status, data, headers or {})
        super().__init__(f"{status} {data}")


Route = tuple[str, str, Callable[[Any, Request], Answer]]


@dataclass
class Fault:
    """A rule of `faults.json`, e.g. `{"method": "POST", "path": "^/v1/", "do": "status 429", "times": 2}`.

    do: `status N` (with a body the vendor could send), `stall SECONDS`, `reset` (the connection is cut),
    `garbage` (HTML instead of JSON, status 200). times: how often, without it always. headers: sent with
    a status.
    """

    do: str
    path: str = ""
    method: str = ""
    times: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def applies(self, request: Request) -> bool:
        """Whether this request is hit."""
        return self.method in ("", request.method) and bool(re.search(self.path, request.path))


class Vendor:
    """A stand-in: subclasses set `routes` (method, full-match pattern, handler) and `initial`."""

    routes: ClassVar[list[Route]] = []

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = threading.RLock()
        stored = folder / "state.json"
        self.state: dict[str, Any] = json.loads(stored.read_text()) if stored.exists() else self.initial()
        self._used: dict[str, int] = {}
        self.save()

    def initial(self) -> dict[str, Any]:
        """Return the state of a new account."""
        return {}

    def authorize(self, request: Request) -> None:
        """Raise the vendor's Refusal unless the request carries a valid credential."""

    def unknown_route(self, request: Request) -> Answer:
        """Answer what the vendor answers to a path that it does not have."""
        return Answer(404, {"error": {"code": "not_found", "message": f"no route {request.path}"}})

    def failure(self, status: int) -> Any:
        """Return the body the vendor sends with an error `status` of its own."""
        return {"error": {"code": f"http_{status}", "message": "injected by the rehearsal"}}

    def save(self) -> None:
        """Write the state whole, so that a reader never sees half of it."""
        part = self.folder / "state.json.part"
        part.write_text(json.dumps(self.state, indent=1))
        part.replace(self.folder / "state.json")

    def answer(self, request: Request) -> Answer:
        """Answer one request; state is changed by one request at a time."""
        with self.lock:
            try:
                self.authorize(request)
                found = self._dispatch(request)
            except Refusal as refusal:
                found = refusal.answer
            self.save()
            self._log(request, found.status)
            return found

    def _dispatch(self, request: Request) -> Answer:
        for method, pattern, handler in self.routes:
            match = re.fullmatch(pattern, request.path)
            if match and method == request.method:
                return handler(self, Request(**{**vars(request), "params": match.groupdict()}))
        return self.unknown_route(request)

    def fault(self, request: Request) -> Fault | None:
        """Return the rule that hits this request, counting it."""
        rules = self.folder / "faults.json"
        if not rules.exists():
            return None
        with self.lock:
            for raw in json.loads(rules.read_text()).get("rules", []):
                rule, key = Fault(**raw), json.dumps(raw, sort_keys=True)
                if rule.applies(request) and (rule.times is None or self._used.get(key, 0) < rule.times):
                    self._used[key] = self._used.get(key, 0) + 1
                    return rule
        return None

    def log_fault(self, request: Request, rule: Fault) -> None:
        """Note in the log that a request met a fault."""
        self._log(request, rule.do)

    def _log(self, request: Request, status: int | str) -> None:
        entry = {
            "method": request.method,
            "path": request.path,
            "query": dict(request.query),
            "body": request.body.decode(errors="replace"),
            "status": status,
        }
        with self.lock, (self.folder / "requests.jsonl").open("a") as log:
            log.write(json.dumps(entry) + "\n")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: the second one would wait 40 ms for the client's delayed acknowledgement.
    disable_nagle_algorithm = True
    vendor: ClassVar[Vendor]

    def __getattr__(self, name: str) -> Callable[[], None]:
        # http.server asks for one method per verb; all are answered the same way.
        if name.startswith("do_"):
            return self._handle
        raise AttributeError(name)

    def _handle(self) -> None:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query, keep_blank_values=True)),
            {name.lower(): value for name, value in self.headers.items()},
            self.rfile.read(length),
        )
        rule = self.vendor.fault(request)
        if rule:
            self.vendor.log_fault(request, rule)
            if self._misbehave(rule):
                return
        self._send(self.vendor.answer(request))

    def _misbehave(self, rule: Fault) -> bool:
        """Do what the fault says; returns whether the request was answered by that."""
        word, _, value = rule.do.partition(" ")
        if word == "stall":
            time.sleep(float(value))
            return False
        if word == "reset":
            # Linger 0 makes the kernel send RST instead of an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
            return True
        if word == "garbage":
            self._write(200, b"<html><body>It works!</body></html>", {"Content-Type": "text/html"})
            return True
        if word != "status":
            raise ValueError(f"unknown fault {rule.do!r}")
        self._send(Answer(int(value), self.vendor.failure(int(value)), rule.headers))
        return True

    def _send(self, answer: Answer) -> None:
        body = b"" if answer.data is None else json.dumps(answer.data).encode()
        self._write(answer.status, body, {"Content-Type": "application/json", **answer.headers})

    def _write(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        # A client whose patience is over has gone: nobody is left to tell.
        with contextlib.suppress(ConnectionError):
            self._write_all(status, body, headers)

    def _write_all(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: requests are in requests.jsonl."""


class VendorServer:
    """A stand-in that listens on 127.0.0.1; port 0 takes a free one. Use it as a context manager in tests."""

    def __init__(self, vendor: Vendor, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"vendor": vendor})
        self.vendor = vendor
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.base_url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> VendorServer:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def set_faults(self, *rules: Mapping[str, Any]) -> None:
        """Replace the faults by these rules; none means that all is well again."""
        part = self.vendor.folder / "faults.json.part"
        part.write_text(json.dumps({"rules": list(rules)}))
        part.replace(self.vendor.folder / "faults.json")

    def requests(self) -> list[dict[str, Any]]:
        """Return what was asked so far."""
        log = self.vendor.folder / "requests.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def run(self) -> None:
        """Serve until killed."""
        self._server.serve_forever()


def serve(kind: type[Vendor]) -> None:
    """Be the process of a stand-in: `--port P --folder F`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    die_with_parent()
    given.folder.mkdir(parents=True, exist_ok=True)
    server = VendorServer(kind(given.folder), given.port)
    print(f"ready {server.port}", flush=True)  # noqa: T201 - the protocol with whoever started it
    server.run()
