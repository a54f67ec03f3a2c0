# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Read one range of an object at a time over one connection, through faults, from exactly one version."""

from __future__ import annotations

__metaclass__ = type

import contextlib
import http.client
import random
import re
import socket
import ssl
import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Callable, Iterator, Optional
from urllib.parse import urlsplit

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import DeniedError, OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.restore.source_errors import (
    OTHER_BACKUP,
    CancelledError,
    ExpiredError,
    FetchError,
    ReplacedError,
)

BLOCK = 1 << 18
"""Bytes of one read."""
_RETRIED = frozenset((408, 425, 429, 500, 502, 503, 504))
_CODE = re.compile(r"<Code>([^<]*)</Code>")
_MESSAGE = re.compile(r"<Message>([^<]*)</Message>")
_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RENEWALS = 5
"""New URLs in a row that the store may refuse as expired before the clock must be wrong."""
_NEW_CREDENTIALS = (
    "renew access_key, secret_key and session_token on the controller, then run the restore again"
)


@dataclass(frozen=True)
class Settings:
    """How to read: sizes in bytes, times in seconds.

    `attempts` counts failures in a row without a single new byte; a failure after progress starts over.
    """

    range_size: int = 8 << 20
    ahead: int = 4
    stall_timeout: float = 30.0
    attempts: int = 8
    backoff: float = 0.25
    max_backoff: float = 15.0
    ca_cert: str = ""


@dataclass(frozen=True)
class Part:
    """One object to read.

    `etag` pins its version; `sha256` and `md5` (hex) are what a manifest says, if there is one.
    """

    key: str
    size: int
    etag: str = ""
    sha256: str = ""
    md5: str = ""


class _RetryError(Exception):
    """This attempt failed and another one may work."""

    def __init__(self, reason: str, after: Optional[float] = None) -> None:
        super().__init__(reason)
        self.after = after


class RangeReader:
    """Reads ranges of one object, retrying where it stopped. Not for several threads at once."""

    def __init__(
        self,
        part: Part,
        urls: Callable[[str, str], str],
        settings: Settings,
        cancelled: threading.Event,
    ) -> None:
        self._key, self._size, self._etag = part.key, part.size, part.etag
        self._urls, self._settings, self._cancelled = urls, settings, cancelled
        self._url = ""
        self._connection: Optional[http.client.HTTPConnection] = None
        self._failures = self._renewals = 0
        self.encrypted = False
        """Whether the store says that the ETag is not the content's MD5 (encryption with a key service)."""

    def close(self) -> None:
        """Close the connection; a read that is under way ends with an error."""
        connection, self._connection = self._connection, None
        if connection is not None:
            if connection.sock is not None:
                with contextlib.suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)
            connection.close()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `end` (exclusive), each exactly once."""
        position = start
        while position < end:
            try:
                for block in self._attempt(position, end):
                    position += len(block)
                    self._failures = self._renewals = 0
                    yield block
                if position < end:
                    raise _RetryError("the store ended the answer after %d bytes" % (position - start))
            except (OSError, http.client.HTTPException, _RetryError) as error:
                self.close()
                self._pause(error)

    def _attempt(self, start: int, end: int) -> Iterator[bytes]:
        self._check_cancelled()
        self._url = self._url or self._urls(self._key, "")
        response = self._request(start, end)
        if response.status in (200, 206):
            self._check_answer(response, start, end)
            left = end - start
            while left > 0:
                block = response.read(min(BLOCK, left))
                if not block:
                    return
                left -= len(block)
                yield block
            response.read()
        else:
            self._refused(response)

    def _request(self, start: int, end: int) -> http.client.HTTPResponse:
        target = urlsplit(self._url)
        if self._connection is None:
            self._connection = self._connect(target.scheme, target.hostname or "", target.port)
        headers = {"Range": "bytes=%d-%d" % (start, end - 1), "Accept-Encoding": "identity"}
        if self._etag:
            headers["If-Match"] = _quoted(self._etag)
        path = target.path + ("?" + target.query if target.query else "")
        self._connection.request("GET", path or "/", headers=headers)
        return self._connection.getresponse()

    def _connect(self, scheme: str, host: str, port: Optional[int]) -> http.client.HTTPConnection:
        if scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._settings.stall_timeout)
        context = ssl.create_default_context(cafile=self._settings.ca_cert or None)
        return http.client.HTTPSConnection(host, port, timeout=self._settings.stall_timeout, context=context)

    def _check_answer(self, response: http.client.HTTPResponse, start: int, end: int) -> None:
        """Refuse an answer that is not these bytes of this version."""
        etag = response.headers.get("ETag", "")
        if self._etag and etag and _bare(etag) != _bare(self._etag):
            raise self._replaced("its ETag is %s now, it was %s" % (_bare(etag), _bare(self._etag)))
        kms = response.headers.get("x-amz-server-side-encryption", "").startswith("aws:kms")
        if kms or response.headers.get("x-amz-server-side-encryption-customer-algorithm"):
            self.encrypted = True
        said = response.headers.get("Content-Range", "")
        if response.status == 200 and not said:  # some stores answer with the range but not with 206
            if end - start != self._size or response.length not in (None, self._size):
                raise self._failed("the store ignores ranges or the size changed (HTTP 200)")
            return
        match = _RANGE.match(said)
        if match is None or int(match.group(1)) != start or int(match.group(2)) != end - 1:
            raise self._failed("the store answered with another range (%s)" % (said or "nothing"))
        if match.group(3) not in ("*", str(self._size)):
            raise self._replaced("it has %s bytes now, it had %d" % (match.group(3), self._size))

    def _refused(self, response: http.client.HTTPResponse) -> None:
        """Turn an answer without content into the error or the retry that it means."""
        text = response.read(65536).decode("utf-8", "replace")
        code, message = _first(_CODE, text), _first(_MESSAGE, text)
        said = "HTTP %d %s %s" % (response.status, code, message)
        if response.status in (412, 416):
            raise self._replaced(said)
        if response.status == 404:
            raise self._failed(said + ": the object or its bucket is gone", kind="object_gone")
        if response.status in (400, 401, 403) and ("expired" in text.lower() or code == "ExpiredRequest"):
            self._renew(said)
            raise _RetryError(said, 0.0)
        if response.status in (401, 403):
            raise DeniedError(
                "read the backup",
                on=self._key,
                got=said,
                next_step="check that the access key may read this object (GetObject) and that the clocks of "
                "controller and store agree",
            )
        if response.status in _RETRIED:
            raise _RetryError(said, _retry_after(response.headers.get("Retry-After", "")))
        if response.status in (301, 302, 307, 308):
            said += ", which points to " + urlsplit(response.headers.get("Location", "")).netloc
        raise self._failed(said)

    def _renew(self, said: str) -> None:
        self._renewals += 1
        if self._renewals > _RENEWALS:
            raise ExpiredError(
                "read the backup",
                on=self._key,
                got="the store refuses every new URL as expired: " + said,
                next_step=_NEW_CREDENTIALS
                if "Token" in said
                else "compare the controller's clock with the store's",
            )
        self._url = self._urls(self._key, self._url)
        self._failures -= 1

    def _pause(self, error: BaseException) -> None:
        """Wait before the next attempt, longer each time; give up after too many."""
        self._check_cancelled()
        self._failures += 1
        if self._failures >= self._settings.attempts:
            raise self._failed(
                "%s (%d attempts without a byte)" % (_words(error), self._failures), kind="unreachable"
            ) from error
        after = error.after if isinstance(error, _RetryError) else None
        if after is None:
            limit = min(self._settings.backoff * 2 ** max(0, self._failures - 1), self._settings.max_backoff)
            after = limit * (0.5 + random.random() / 2)
        self._cancelled.wait(after)

    def _check_cancelled(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("read the backup", on=self._key, got="it was cancelled")

    def _replaced(self, got: str) -> ReplacedError:
        return ReplacedError(
            "read the backup",
            on=self._key,
            got="the object was replaced while it was read: " + got,
            next_step="run again to choose among the backups that are there now, or " + OTHER_BACKUP,
        )

    def _failed(self, got: str, kind: Optional[str] = None) -> OncallError:
        return FetchError(
            "read the backup",
            on=self._key,
            got=got,
            next_step="check the object store and the network from this host to it, then run again",
            kind=kind,
        )


def _quoted(etag: str) -> str:
    return '"%s"' % _bare(etag)


def _bare(etag: str) -> str:
    return etag.strip().strip('"')


def _first(pattern: "re.Pattern[str]", text: str) -> str:
    match = pattern.search(text)
    return match.group(1) if match else ""


def _words(error: BaseException) -> str:
    """Say what an exception means; never its URL."""
    if isinstance(error, socket.timeout):
        return "no byte came for the whole stall timeout"
    if isinstance(error, _RetryError):
        return str(error)
    return "%s: %s" % (type(error).__name__, error)


def _retry_after(value: str) -> Optional[float]:
    """Return the seconds that a Retry-After header asks for (at most 60), in either of its forms."""
    if not value:
        return None
    if value.strip().replace(".", "", 1).isdigit():
        return min(float(value), 60.0)
    with contextlib.suppress(TypeError, ValueError):
        return min(max(0.0, parsedate_to_datetime(value).timestamp() - time.time()), 60.0)
    return None
