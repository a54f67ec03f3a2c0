"""One HTTP request from a service to another."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_TIMEOUT_S = 2.5


@dataclass(frozen=True)
class Fetched:
    """What came back; status 502 when nothing did, 504 when it took too long."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Its Content-Type."""
        return self.headers.get("Content-Type", "application/json")


def fetch(url: str, headers: Mapping[str, str], *, method: str = "GET", body: bytes = b"") -> Fetched:
    """Send one request; never raises for a server that is down, slow or rude."""
    target = urlsplit(url)
    connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, target.path, body=body or None, headers=dict(headers))
        answer = connection.getresponse()
        return Fetched(answer.status, answer.read(), dict(answer.getheaders()))
    except TimeoutError:
        return _gateway(504, target.netloc, f"no answer within {_TIMEOUT_S:g} s")
    except (OSError, http.client.HTTPException) as error:
        return _gateway(502, target.netloc, str(error) or type(error).__name__)
    finally:
        connection.close()


def _gateway(status: int, where: str, why: str) -> Fetched:
    return Fetched(status, json.dumps({"error": f"upstream {where}: {why}"}).encode())
