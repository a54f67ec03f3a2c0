"""A client for PostgreSQL in the standard library alone: enough for a service, where no package is.

Version 3 of the protocol, SCRAM-SHA-256 or trust, one query at a time with text parameters and text results.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

_TIMEOUT_S = 3.0
_PROTOCOL = 196608


# Classes of errors that mean: there is no use in this connection (refused, no login, no room, shutting down).
_OF_CONNECTIONS = ("", "08", "28", "3D", "53", "57")


class DatabaseError(Exception):
    """The database cannot be reached or refused; `code` is its SQLSTATE, "" when it never answered."""

    def __init__(self, message: str, code: str = "") -> None:
        self.code = code
        super().__init__(f"db connection error: {message}" if code[:2] in _OF_CONNECTIONS else message)


class Database:
    """Where a service's database is: `postgresql://user:password@host:port/name`."""

    def __init__(self, url: str, application: str) -> None:
        self._url = urlsplit(url)
        self._application = application

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Session]:
        """A session of its own, and one transaction: committed at the end, taken back on an error."""
        if not self._url.hostname:
            raise DatabaseError("DATABASE_URL is not set")
        try:
            session = Session(self._url, self._application)
        except OSError as error:
            raise DatabaseError(str(error) or type(error).__name__) from None
        try:
            session.query("BEGIN")
            yield session
            session.query("COMMIT")
        except OSError as error:
            raise DatabaseError(str(error) or type(error).__name__) from None
        finally:
            # An open transaction ends with its session.
            session.close()

    def query(self, sql: str, *values: object) -> list[tuple[str | None, ...]]:
        """Run one statement in a transaction of its own and return its rows as text."""
        with self.transaction() as session:
            return session.query(sql, *values)


class Session:
    """One connection that is logged in."""

    def __init__(self, url: Any, application: str) -> None:
        self._user, self._password = unquote(url.username or ""), unquote(url.password or "")
        self._socket = socket.create_connection((url.hostname, url.port or 5432), timeout=_TIMEOUT_S)
        self._reader = self._socket.makefile("rb")
        options = {
            "user": self._user,
            "database": url.path.lstrip("/"),
            "application_name": application,
            "client_encoding": "UTF8",
            "options": f"-c statement_timeout={int(_TIMEOUT_S * 1000)}",
        }
        text = "".join(f"{key}\0{value}\0" for key, value in options.items()) + "\0"
        self._send(b"", struct.pack("!i", _PROTOCOL) + text.encode())
        try:
            self._log_in()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(OSError):
            self._send(b"X", b"")
        self._reader.close()
        self._socket.close()

    def query(self, sql: str, *values: object) -> list[tuple[str | None, ...]]:
        """Run one statement with $1 … replaced by `values`; None is NULL. Raises DatabaseError."""
        sent = [b"\xff\xff\xff\xff" if v is None else _sized(str(v).encode()) for v in values]
        bind = b"\0\0" + struct.pack("!hh", 0, len(sent)) + b"".join(sent) + struct.pack("!h", 0)
        self._socket.sendall(
            _message(b"P", b"\0" + sql.encode() + b"\0" + struct.pack("!h", 0))
            + _message(b"B", bind)
            + _message(b"E", b"\0" + struct.pack("!i", 0))
            + _message(b"S", b"")
        )
        rows: list[tuple[str | None, ...]] = []
        for kind, body in self._until_ready():
            if kind == b"D":
                rows.append(_row(body))
        return rows

    def _log_in(self) -> None:
        scram = _Scram(self._password)
        for kind, body in self._until_ready():
            if kind != b"R":
                continue
            (wants,) = struct.unpack("!i", body[:4])
            if wants == 10:
                first = scram.first()
                self._send(b"p", b"SCRAM-SHA-256\0" + _sized(first))
            elif wants == 11:
                self._send(b"p", scram.final(body[4:]))
            elif wants not in (0, 12):
                raise DatabaseError(f"the server wants authentication {wants}, which this client has not")

    def _until_ready(self) -> Iterator[tuple[bytes, bytes]]:
        failed: DatabaseError | None = None
        while True:
            head = self._reader.read(5)
            if len(head) < 5:
                raise failed or DatabaseError("the server closed the connection")
            body = self._reader.read(struct.unpack("!i", head[1:])[0] - 4)
            if head[:1] == b"E":
                fields = {part[:1]: part[1:].decode() for part in body.split(b"\0") if part}
                failed = DatabaseError(fields[b"M"], fields[b"C"])
            elif head[:1] == b"Z":
                if failed:
                    raise failed
                return
            else:
                yield head[:1], body

    def _send(self, kind: bytes, body: bytes) -> None:
        self._socket.sendall(_message(kind, body))


class _Scram:
    """The client's side of SCRAM-SHA-256 (RFC 7677), without channel binding."""

    def __init__(self, password: str) -> None:
        self._password = password.encode()
        self._bare = "n=,r=" + base64.b64encode(os.urandom(18)).decode()

    def first(self) -> bytes:
        """Return the first message."""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """Return the answer to the server's challenge."""
        said = dict(part.split("=", 1) for part in challenge.decode().split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self._password, base64.b64decode(said["s"]), int(said["i"]))
        key = hmac.digest(salted, b"Client Key", "sha256")
        without = f"c=biws,r={said['r']}"
        signed = f"{self._bare},{challenge.decode()},{without}".encode()
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        return f"{without},p={base64.b64encode(proof).decode()}".encode()


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def _sized(data: bytes) -> bytes:
    return struct.pack("!i", len(data)) + data


def _row(body: bytes) -> tuple[str | None, ...]:
    (count,) = struct.unpack("!h", body[:2])
    values: list[str | None] = []
    at = 2
    for _ in range(count):
        (size,) = struct.unpack("!i", body[at : at + 4])
        at += 4
        values.append(None if size < 0 else body[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)
