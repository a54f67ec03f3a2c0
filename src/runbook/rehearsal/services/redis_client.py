"""A connection to Redis with the standard library: what a service needs of it, and no more."""

from __future__ import annotations

import socket
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

_TIMEOUT_S = 2.0


class RedisRefusedError(Exception):
    """Redis answered with an error."""


class Connection:
    """One connection, logged in as the URL says; raises OSError or RedisRefusedError."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        address = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._socket = socket.create_connection(address, timeout=_TIMEOUT_S)
        self._file: BinaryIO = self._socket.makefile("rb")
        if parts.password:
            self.call("AUTH", *([parts.username] if parts.username else []), unquote(parts.password))

    def call(self, *words: str) -> str | None:
        """Send one command and return its reply as text, None for nothing."""
        sent = b"".join(b"$%d\r\n%s\r\n" % (len(w.encode()), w.encode()) for w in words)
        self._socket.sendall(b"*%d\r\n%s" % (len(words), sent))
        line = self._file.readline()
        mark, rest = line[:1], line[1:].strip().decode()
        if mark == b"-":
            raise RedisRefusedError(rest)
        if not line:
            raise ConnectionResetError("Redis closed the connection")
        if mark != b"$":
            return rest
        return None if int(rest) < 0 else self._file.read(int(rest) + 2)[:-2].decode()

    def close(self) -> None:
        """End it."""
        self._file.close()
        self._socket.close()
