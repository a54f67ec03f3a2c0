# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask one URL and say in one word what is wrong with the answer."""

from __future__ import annotations

__metaclass__ = type

import json as json_format
import socket
import ssl
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Dict, Mapping, Optional, Tuple
from urllib.parse import urlsplit

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.scrub import scrub_people

MAX_BODY = 64 * 1024
EXCERPT = 200
_AGENT = "oncall.runbooks"
#: reason → what it means in a sentence
REASONS = {
    "refused": "nobody listens there",
    "timeout": "no whole answer in time",
    "status": "the status is not the one expected",
    "body": "the status is right, what it says is not",
    "name": "the host name is not known",
    "tls": "the certificate or the encryption is wrong",
    "broken": "the connection broke, or what came is no HTTP",
}


@dataclass(frozen=True)
class Expectation:
    """What an answer has to be: one of `status`; `json` is a part of its body; `contains` is in its text."""

    status: Tuple[int, ...] = (200,)
    json: Optional[Mapping[str, Any]] = None
    contains: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back: `reason` is empty when it is as expected, else one of REASONS.

    `body` is the decoded JSON, None when it is none. `excerpt` and `problem` are fit to be shown.
    """

    reason: str
    problem: str
    seconds: float
    status: Optional[int] = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    excerpt: str = ""

    def as_dict(self) -> Dict[str, Any]:
        """What a finding tells of it."""
        told = {"reason": self.reason, "status": self.status, "seconds": round(self.seconds, 3)}
        return dict(told, excerpt=self.excerpt) if self.reason and self.excerpt else told


def ask(
    url: str,
    *,
    timeout: float,
    expect: Optional[Expectation] = None,
    method: str = "GET",
    headers: Optional[Mapping[str, str]] = None,
    body: Optional[bytes] = None,
) -> Answer:
    """Send one request and judge the answer; `timeout` is for the whole of it, in seconds.

    Redirects are not followed: a login page would pass for health, and headers would go to a stranger.
    Proxies of the environment are not used.
    """
    started = time.monotonic()
    try:
        connection, target = _connection(url, timeout)
        try:
            connection.request(method, target, body=body, headers={"User-Agent": _AGENT, **(headers or {})})
            response = connection.getresponse()
            data = _read(connection, response, started + timeout)
        finally:
            connection.close()
    except (OSError, HTTPException) as exc:
        reason, problem = _silence(exc, timeout)
        return Answer(reason, problem, time.monotonic() - started)
    except ValueError:
        # Python's own words would quote the header, secret and all.
        raise UsageError(
            "ask a URL",
            on=scrub_people(url),
            got="the URL or a header has a character that may not be sent, such as a line end",
            next_step="look at the end of the secret that the header is made of",
        ) from None
    return _judged(response, data, expect or Expectation(), time.monotonic() - started)


def _connection(url: str, timeout: float) -> Tuple[HTTPConnection, str]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(
            "ask a URL", on=scrub_people(url), got="it is no http or https URL", next_step="correct the URL"
        )
    make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    return make(parts.hostname, parts.port, timeout=timeout), target


def _read(connection: HTTPConnection, response: HTTPResponse, deadline: float) -> bytes:
    """Read the body within the time that is left: one that drips must not take forever."""
    data = b""
    while len(data) < MAX_BODY:
        left = deadline - time.monotonic()
        if left <= 0:
            raise socket.timeout("the body did not end")
        if connection.sock is not None:
            connection.sock.settimeout(left)
        chunk = response.read1(MAX_BODY - len(data))
        if not chunk:
            break
        data += chunk
    return data


def _silence(exc: Exception, timeout: float) -> Tuple[str, str]:
    said = str(exc) or type(exc).__name__
    if isinstance(exc, socket.timeout):
        return "timeout", "no whole answer within %g s" % timeout
    if isinstance(exc, ConnectionRefusedError):
        return "refused", "the connection was refused: nobody listens there"
    if isinstance(exc, socket.gaierror):
        return "name", "the host name is not known: %s" % said
    if isinstance(exc, ssl.SSLError):
        return "tls", "the encryption failed: %s" % said
    return "broken", "the connection broke: %s" % scrub_people(said)


def _judged(response: HTTPResponse, data: bytes, expect: Expectation, seconds: float) -> Answer:
    text = data.decode("utf-8", "replace")
    body = _json(text)
    reason, problem = "", ""
    if response.status not in expect.status:
        wanted = " or ".join(str(status) for status in expect.status)
        reason, problem = "status", "status %d instead of %s" % (response.status, wanted)
        if response.getheader("Location"):
            problem += ", a redirect that is not followed"
    elif expect.json and not contains(body, expect.json):
        reason, problem = (
            "body",
            "status %d, but the body has not %s"
            % (
                response.status,
                json_format.dumps(expect.json, sort_keys=True),
            ),
        )
    elif expect.contains and expect.contains not in text:
        reason, problem = "body", "status %d, but the body has not the expected text" % response.status
    names = {name.lower(): value for name, value in response.getheaders()}
    excerpt = scrub_people(" ".join(text.split()))[:EXCERPT]
    return Answer(reason, problem, seconds, response.status, names, body, excerpt)


def _json(text: str) -> Any:
    try:
        return json_format.loads(text)
    except ValueError:
        return None


def contains(body: Any, part: Any) -> bool:
    """Whether `part` is in `body`: of a dictionary only the keys named count, all else has to be equal."""
    if isinstance(part, Mapping):
        return isinstance(body, Mapping) and all(
            key in body and contains(body[key], value) for key, value in part.items()
        )
    return bool(body == part)
