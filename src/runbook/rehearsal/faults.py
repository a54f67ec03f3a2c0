"""What a fault proxy does to the traffic that passes: rules, counters and the socket's rude endings."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

KINDS = ("cut", "reset", "stall", "slow", "status", "corrupt", "hook", "latency")


@dataclass
class Fault:
    """One rule. It applies to a request (HTTP) or a connection (TCP) that matches `path` and `method`.

    kind: cut (orderly end of the connection), reset (RST), stall (nothing more until `seconds` are over),
    slow (`rate` bytes a second), status (answer `status` with the S3 error `code`, optionally `retry_after`
    seconds, instead of asking the server), corrupt (one byte changed), hook (`hook()` is called, then the
    traffic goes on), latency (`seconds` before the request is passed on).
    after_bytes: how much of the answer's body (TCP: of both directions together) passes before it strikes.
    skip: how many matching requests or connections stay whole before. times: how many are struck (0 = all).
    """

    kind: str
    path: str = ""
    method: str = ""
    after_bytes: int = 0
    skip: int = 0
    times: int = 1
    status: int = 503
    code: str = "SlowDown"
    retry_after: float | None = None
    rate: int = 1 << 20
    seconds: float = 3600.0
    hook: Callable[[], Any] | None = None
    seen: int = 0
    struck: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault {self.kind!r}, one of {', '.join(KINDS)}")

    def takes(self, method: str = "", path: str = "") -> bool:
        """Tell whether this request is struck, and count it."""
        if (self.method and self.method != method) or not re.search(self.path, path):
            return False
        self.seen += 1
        if self.seen <= self.skip or (self.times and self.struck >= self.times):
            return False
        self.struck += 1
        return True


@dataclass
class Counters:
    """What passed: for assertions on how often and how much was fetched."""

    connections: int = 0
    requests: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    log: list[tuple[str, str, str, int]] = field(default_factory=list)
    """One entry a request: method, path without query, Range header, status."""


class Rules:
    """The faults of one proxy; safe to change while traffic passes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self.counters = Counters()

    def add(self, kind: str, **options: Any) -> Fault:
        """Add a rule and return it (its `struck` tells how often it acted)."""
        fault = Fault(kind, **options)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Forget every rule: traffic passes whole again."""
        with self._lock:
            self._faults.clear()

    def pick(self, method: str = "", path: str = "") -> Fault | None:
        """Return the first rule that strikes this request, if any."""
        with self._lock:
            return next((fault for fault in self._faults if fault.takes(method, path)), None)

    def count(self, **amounts: int) -> None:
        """Add to the counters."""
        with self._lock:
            for name, amount in amounts.items():
                setattr(self.counters, name, getattr(self.counters, name) + amount)

    def answered(self, method: str, path: str, ranged: str, status: int) -> None:
        """Note one answered request."""
        with self._lock:
            self.counters.statuses[status] = self.counters.statuses.get(status, 0) + 1
            self.counters.log.append((method, path, ranged, status))


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN: the peer sees `connection reset`, not an end."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        # A thread that is blocked in recv() would keep the socket alive past close().
        connection.shutdown(socket.SHUT_RD)
    with contextlib.suppress(OSError):
        connection.close()


def shut(connection: socket.socket) -> None:
    """Close in order (FIN), also under threads that are blocked on it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        connection.close()
