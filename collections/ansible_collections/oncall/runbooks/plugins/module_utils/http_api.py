# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A client for the JSON APIs of vendors: one place for time limits, retries and what errors mean."""

from __future__ import annotations

__metaclass__ = type

import json as json_format
import random
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any, Callable, Dict, Mapping, Optional, Tuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

from ansible.module_utils.urls import Request, make_context
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UnreachableError,
)

MAX_BODY = 10 * 1024 * 1024
#: the longest time in seconds that a vendor's Retry-After is obeyed; a person waits for the answer
MAX_PAUSE = 20.0
_TRANSIENT = (429, 500, 502, 503, 504)
_READS = ("GET", "HEAD")
_SHORTEST_SECRET = 8
_FATE = {
    True: "look whether %(name)s has an outage, and whether this machine reaches it",
    False: "it may have been done all the same: look at %(name)s before you repeat it",
}


class ApiError(OncallError):
    """The vendor refused the request; `status` is the HTTP status, `code` the vendor's own word."""

    kind = "api"

    def __init__(self, tried: str, *, status: int, code: str = "", **told: str) -> None:
        self.status, self.code = status, code
        super().__init__(tried, **told)


class RateLimitedError(ApiError):
    """The vendor still answers 429 after all attempts."""

    kind = "rate_limited"


@dataclass(frozen=True)
class Reply:
    """An answer: `data` is the decoded JSON, None for an empty body; `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    data: Any


@dataclass(frozen=True)
class _Raw:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class _Sent:
    method: str
    url: str
    body: Optional[bytes]
    headers: Dict[str, str]
    what: str


class ApiClient:
    """One vendor's API.

    base_url: without a trailing slash; name: what errors call the vendor; headers: sent with every request,
    secrets included, never shown; credential: the option or variable that holds the secret, for the next step
    of a refusal; timeout: seconds for one attempt; attempts: at most so many where a request may be repeated.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str,
        headers: Optional[Mapping[str, str]] = None,
        credential: str = "",
        timeout: float = 10.0,
        attempts: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.base_url, self.name, self.credential = base_url.rstrip("/"), name, credential
        self._headers = dict(headers or {})
        self._timeout, self._attempts, self._sleep = timeout, attempts, sleep
        self._open = Request(context=_context(base_url)).open

    def get(self, path: str, query: Optional[Mapping[str, Any]] = None) -> Any:
        """Return the decoded body of a GET."""
        return self.request("GET", path, query=query).data

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, Any]] = None,
        json: Any = None,
        form: Optional[Mapping[str, Any]] = None,
        headers: Optional[Mapping[str, str]] = None,
        repeatable: Optional[bool] = None,
    ) -> Reply:
        """Send one request and return the answer; redirects are not followed, so that no secret goes astray.

        repeatable: whether it may be sent again when its fate is unknown (default: GET and HEAD only; say so
        for a write that carries an idempotency key). Raises DeniedError (401, 403), RateLimitedError,
        UnreachableError (no usable answer), ApiError (any other refusal).
        """
        url = self.base_url + path + ("?" + urlencode(query, doseq=True) if query else "")
        body, sent = self._body(json, form)
        sent.update(self._headers, **dict(headers or {}))
        may_repeat = method in _READS if repeatable is None else repeatable
        request = _Sent(method, url, body, sent, "%s %s of %s" % (method, path, self.name))
        raw = self._attempt(request, self._attempts if may_repeat else 1)
        if 200 <= raw.status < 300:
            return Reply(raw.status, raw.headers, self._decoded(raw, request.what))
        raise self._refusal(raw, request)

    @staticmethod
    def _body(json: Any, form: Optional[Mapping[str, Any]]) -> Tuple[Optional[bytes], Dict[str, str]]:
        if json is not None:
            return json_format.dumps(json).encode(), {"Content-Type": "application/json"}
        if form is not None:
            encoded = urlencode(form, doseq=True).encode()
            return encoded, {"Content-Type": "application/x-www-form-urlencoded"}
        return None, {}

    def _attempt(self, request: _Sent, attempts: int) -> _Raw:
        for number in range(1, attempts + 1):
            raw = None
            try:
                raw = self._send(request)
            except (URLError, HTTPException, OSError) as exc:
                if number == attempts:
                    raise self._silent(exc, request, attempts) from None
            if raw and (raw.status not in _TRANSIENT or number == attempts):
                return raw
            self._sleep(_pause(raw, number))
        raise AssertionError("there is at least one attempt")

    def _send(self, request: _Sent) -> _Raw:
        try:
            answer = self._open(
                request.method,
                request.url,
                data=request.body,
                headers=request.headers,
                timeout=self._timeout,
                follow_redirects="no",
                use_netrc=False,
                http_agent="oncall.runbooks",
            )
        except HTTPError as refused:
            answer = refused
        with answer:
            got = answer.read(MAX_BODY)
            names = {name.lower(): value for name, value in answer.headers.items()}
            return _Raw(int(answer.code), names, got)

    def _silent(self, exc: Exception, request: _Sent, attempts: int) -> OncallError:
        reason = getattr(exc, "reason", None) or exc
        times = "" if attempts == 1 else " (%d attempts)" % attempts
        return UnreachableError(
            request.what,
            on=self.base_url,
            got="no answer: %s%s" % (str(reason) or type(reason).__name__, times),
            next_step=_FATE[request.method in _READS] % {"name": self.name},
        )

    def _decoded(self, raw: _Raw, what: str) -> Any:
        if not raw.body.strip():
            return None
        try:
            return json_format.loads(raw.body.decode("utf-8"))
        except ValueError:
            raise UnreachableError(
                what,
                on=self.base_url,
                got="the answer (%d, %d bytes) is not JSON" % (raw.status, len(raw.body)),
                next_step="check the address: something other than %s answers there" % self.name,
            ) from None

    def _refusal(self, raw: _Raw, request: _Sent) -> OncallError:
        code, message = vendor_message(raw.body)
        said = " ".join((code, message)).strip()
        for value in self._headers.values():
            # Some vendors quote the credential that they refuse.
            secret = value.rpartition(" ")[2]
            said = said.replace(secret, "(hidden)") if len(secret) >= _SHORTEST_SECRET else said
        told = {"on": self.base_url, "got": "status %d%s" % (raw.status, ": " + said if said else "")}
        if raw.status in (401, 403):
            name = self.credential or "the credential"
            next_step = "set %s to a valid, unexpired credential that has the right to do this" % name
            return DeniedError(request.what, next_step=next_step, **told)
        if raw.status == 429:
            next_step = "wait %s s, then run it again" % raw.headers.get("retry-after", "60")
            return RateLimitedError(request.what, status=429, code=code, next_step=next_step, **told)
        if raw.status >= 500:
            next_step = _FATE[request.method in _READS] % {"name": self.name}
            return UnreachableError(request.what, next_step=next_step, **told)
        next_step = "correct what %s names" % self.name
        return ApiError(request.what, status=raw.status, code=code, next_step=next_step, **told)


def _context(base_url: str) -> Any:
    """Return what TLS needs, once per client: to load the system's certificates takes 50 ms."""
    return make_context() if base_url.startswith("https:") else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def vendor_message(body: bytes) -> Tuple[str, str]:
    """Return `(code, message)` of an error body in any of the vendors' shapes; empty texts if it has none."""
    try:
        data = json_format.loads(body.decode("utf-8"))
    except ValueError:
        return "", ""
    found: Dict[str, Any] = data if isinstance(data, dict) else {}
    inner: Any = found.get("error", found)
    errors = found.get("errors")
    if isinstance(errors, list) and errors:
        inner = errors[0]
    if isinstance(inner, str):
        return "", inner[:300]
    if not isinstance(inner, dict):
        return "", ""
    code = inner.get("code") or inner.get("type") or inner.get("id") or ""
    return str(code), str(inner.get("message") or inner.get("detail") or "")[:300]


def _pause(raw: Optional[_Raw], attempt: int) -> float:
    """Seconds to the next attempt: what the vendor says, within reason, else doubling with some chance."""
    said = raw.headers.get("retry-after", "") if raw else ""
    if said.replace(".", "", 1).isdigit():
        return min(float(said), MAX_PAUSE)
    return float(min(0.25 * 2**attempt, MAX_PAUSE)) * random.uniform(0.5, 1.0)
