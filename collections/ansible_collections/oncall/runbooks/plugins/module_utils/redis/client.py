# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A client of Redis that needs no package: its own protocol over a socket, each call with one time limit."""

from __future__ import annotations

__metaclass__ = type

import socket
import ssl
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, Mapping, Sequence, Union

from ansible_collections.oncall.runbooks.plugins.module_utils.redis.errors import (
    RedisError,
    next_step_for,
    refused,
)

# A reply that is larger than this is not one that we asked for.
_MAX_REPLY = 64 * 1024 * 1024
_END = b"\r\n"
Word = Union[str, bytes, int, float]


@dataclass(frozen=True)
class Login:
    """How to reach a server; the password is in no text that this class makes."""

    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    unix_socket: str = ""
    tls: bool = False
    ca_cert: str = ""

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Login:
        """Return the login of a module's options (see `argument_spec`)."""
        return cls(
            params["login_host"],
            params["login_port"],
            params.get("login_user") or "",
            params.get("login_password") or "",
            params.get("login_unix_socket") or "",
            bool(params.get("tls")),
            params.get("ca_cert") or "",
        )

    @property
    def address(self) -> str:
        """Where, as an operator reads it."""
        return self.unix_socket or "%s:%d" % (self.host, self.port)


def argument_spec() -> Dict[str, Any]:
    """Return the options of every module that logs in to Redis."""
    return {
        "login_host": {"type": "str", "default": "127.0.0.1"},
        "login_port": {"type": "int", "default": 6379},
        "login_user": {"type": "str", "default": ""},
        "login_password": {"type": "str", "default": "", "no_log": True},
        "login_unix_socket": {"type": "path", "default": ""},
        "tls": {"type": "bool", "default": False},
        "ca_cert": {"type": "path", "default": ""},
    }


@dataclass(frozen=True)
class ErrorReply:
    """An error reply among others, as in the result of a transaction."""

    text: str


class Client:
    """One connection. Every call has `timeout` seconds for the whole of its answer."""

    def __init__(self, login: Login, *, timeout: float) -> None:
        self.login, self.timeout = login, timeout
        self._buffer, self._deadline = b"", time.monotonic() + timeout
        self._socket = self._connect()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def log_in(self) -> None:
        """Give the password, where one is set; raises RedisError (wrong_password, no_password_set)."""
        login = self.login
        if login.password:
            words = ["AUTH", *([login.user] if login.user else []), login.password]
            self.call(*words, tried="log in to Redis")

    def call(self, *words: Word, tried: str = "") -> Any:
        """Send one command and return its reply: text, whole number, list or None.

        An error reply raises RedisError; none of the words except the command's name is told.
        """
        reply = self.all([words], tried=tried)[0]
        if isinstance(reply, ErrorReply):
            raise refused(tried or "ask Redis %s" % str(words[0]), self.login.address, reply.text)
        return reply

    def all(self, commands: Sequence[Sequence[Word]], tried: str = "") -> List[Any]:
        """Send several commands at once and return their replies; an error is an ErrorReply among them."""
        tried = tried or "ask Redis %s" % str(commands[0][0])
        self._deadline = time.monotonic() + self.timeout
        try:
            self._socket.settimeout(self.timeout)
            # A server without room for us says so and hangs up before it has heard anything.
            with suppress(ConnectionError):
                self._socket.sendall(b"".join(_encode(words) for words in commands))
            return [self._reply(tried) for _command in commands]
        except OSError as exc:
            raise self._broken(tried, exc) from None

    def _connect(self) -> socket.socket:
        login, tried = self.login, "connect to Redis"
        try:
            if login.unix_socket:
                made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                made.settimeout(self.timeout)
                made.connect(login.unix_socket)
                return made
            plain = socket.create_connection((login.host, login.port), timeout=self.timeout)
            if not login.tls:
                return plain
            context = ssl.create_default_context(cafile=login.ca_cert or None)
            return context.wrap_socket(plain, server_hostname=login.host)
        except OSError as exc:
            raise self._broken(tried, exc) from None

    def _broken(self, tried: str, exc: OSError) -> RedisError:
        late = isinstance(exc, socket.timeout)
        kind = "timeout" if late else "refused" if isinstance(exc, ConnectionRefusedError) else "unreachable"
        got = "no answer within %g s" % self.timeout if late else str(exc) or type(exc).__name__
        return RedisError(
            tried,
            on=self.login.address,
            got=got,
            next_step=next_step_for(kind) or next_step_for("refused"),
            kind=kind,
        )

    def _more(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout
        self._socket.settimeout(left)
        chunk = self._socket.recv(65536)
        if not chunk:
            raise ConnectionResetError("the server closed the connection")
        self._buffer += chunk

    def _line(self) -> bytes:
        while _END not in self._buffer:
            if len(self._buffer) > _MAX_REPLY:
                raise ConnectionResetError("the reply has no end")
            self._more()
        line, self._buffer = self._buffer.split(_END, 1)
        return line

    def _bytes(self, count: int) -> bytes:
        while len(self._buffer) < count + len(_END):
            self._more()
        taken, self._buffer = self._buffer[:count], self._buffer[count + len(_END) :]
        return taken

    def _reply(self, tried: str) -> Any:
        line = self._line()
        mark, rest = line[:1], line[1:].decode("utf-8", "replace")
        if mark == b"+":
            return rest
        if mark == b"-":
            return ErrorReply(rest)
        try:
            number = int(rest)
            if mark not in (b":", b"$", b"*") or (mark != b":" and number > _MAX_REPLY):
                raise ValueError(mark)
        except ValueError:
            raise self._stranger(tried, line) from None
        if mark == b":":
            return number
        if number < 0:
            return None
        if mark == b"$":
            return self._bytes(number).decode("utf-8", "replace")
        return [self._reply(tried) for _element in range(number)]

    def _stranger(self, tried: str, line: bytes) -> RedisError:
        return RedisError(
            tried,
            on=self.login.address,
            got="what answers is no Redis: %r" % line[:60].decode("utf-8", "replace"),
            next_step=next_step_for("not_redis"),
            kind="not_redis",
        )


def _encode(words: Sequence[Word]) -> bytes:
    parts = [word if isinstance(word, bytes) else str(word).encode("utf-8") for word in words]
    bodies = b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
    return b"*%d\r\n%s" % (len(parts), bodies)


@contextmanager
def session(login: Login, *, timeout: float) -> Iterator[Client]:
    """A connection that is logged in, for the length of a `with` block; raises RedisError."""
    client = Client(login, timeout=timeout)
    try:
        client.log_in()
        yield client
    finally:
        client.close()
