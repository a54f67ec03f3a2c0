"""Run moto's S3 as a stricter store: `python -m runbook.rehearsal.store_server PORT RULES [SEED NOW]`.

moto takes any key, and every upload is as old as the server. RULES, a JSON file read at each request, adds
what a real store has: `access_keys` (others are refused as unknown), `denied` (every request is refused). An
upload may carry the header `x-stand-in-last-modified` (seconds since 1970): a backup made last night.

With SEED (a folder) and NOW (a time) the store holds their backups before it listens. They come in by its own
API, but inside this process: sending it 80 MB costs a second at every start of a stand-in.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from moto.core import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import run_simple
from werkzeug.test import Client

from runbook.rehearsal import store
from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.seed import Seed

_ERROR = '<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{0}</Code><Message>{1}</Message></Error>'
_REGION = (
    b"<CreateBucketConfiguration><LocationConstraint>auto</LocationConstraint></CreateBucketConfiguration>"
)
_Start = Callable[..., Any]


class Store:
    """WSGI application around moto's."""

    def __init__(self, rules: Path) -> None:
        self._rules = rules
        self._inner = DomainDispatcherApplication(create_backend_app)

    def __call__(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        """Answer one request."""
        refusal = self._refusal(environ)
        if refusal:
            body = _ERROR.format(*refusal).encode()
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            # HTTP has no body here, and a client that gets one waits for it with the next answer.
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
        answer = list(self._inner(environ, start_response))
        if "HTTP_X_STAND_IN_LAST_MODIFIED" in environ:
            _backdate(environ["PATH_INFO"], float(environ["HTTP_X_STAND_IN_LAST_MODIFIED"]))
        return answer

    def _refusal(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        rules = json.loads(self._rules.read_text())
        query = parse_qs(environ.get("QUERY_STRING", ""))
        signed = (
            environ.get("HTTP_AUTHORIZATION", "") + "Credential=" + query.get("X-Amz-Credential", [""])[0]
        )
        key = re.search(r"Credential=([^/,\s]+)/", signed)
        if rules.get("denied"):
            return "AccessDenied", "Access Denied"
        if not key or key.group(1) not in rules["access_keys"]:
            return "InvalidAccessKeyId", "The access key ID you provided does not exist in our records."
        return _expired(query)


def _expired(query: dict[str, list[str]]) -> tuple[str, str] | None:
    if "X-Amz-Expires" not in query:
        return None
    made = datetime.strptime(query["X-Amz-Date"][0] + "+0000", "%Y%m%dT%H%M%SZ%z")
    ends = made + timedelta(seconds=int(query["X-Amz-Expires"][0]))
    return ("AccessDenied", "Request has expired") if time.time() > ends.timestamp() else None


def _backdate(path: str, moment: float) -> None:
    bucket, _, key = unquote(path).lstrip("/").partition("/")
    stored = s3_backends[DEFAULT_ACCOUNT_ID]["aws"].get_object(bucket, key)
    if stored is not None:
        # moto keeps naive times in UTC.
        stored.last_modified = datetime(1970, 1, 1) + timedelta(seconds=moment)


class _Filler:
    """A client inside the server: requests without a network."""

    def __init__(self, server: Store, bucket: str, access_key: str) -> None:
        self._bucket = bucket
        self._client = Client(server)
        self._signed = {
            "Authorization": f"AWS4-HMAC-SHA256 Credential={access_key}/20260101/auto/s3/aws4_request"
        }

    def send(self, method: str, key: str, data: bytes = b"", **headers: str) -> str:
        """Send one request for `key` of the bucket (with its query) and return the body of the answer."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self._client.open(
            f"/{self._bucket}/{key}", method=method, data=data, headers=self._signed | named
        )
        if answer.status_code != 200:
            raise StandInError(f"{method} {key}: {answer.status} {answer.get_data(as_text=True)[:300]}")
        return answer.get_data(as_text=True)


def _fill(server: Store, access_key: str, seed: Seed, now: datetime) -> None:
    """Put everything in that the bucket holds; of one backup only a first part is ever sent."""
    filler = _Filler(server, seed.shape.bucket, access_key)
    filler.send("PUT", "", _REGION)
    for item in store.objects(seed, now):
        moment = f"{item.modified.timestamp():.0f}"
        filler.send("PUT", item.key, item.content, x_stand_in_last_modified=moment)
    key = store.unfinished(seed.shape, now)
    begun = re.search("<UploadId>(.+?)</UploadId>", filler.send("POST", f"{key}?uploads"))
    assert begun is not None
    filler.send("PUT", f"{key}?partNumber=1&uploadId={begun.group(1)}", b"\x1f\x8b" * 4096)


def main() -> None:
    """Serve until killed."""
    port, rules = int(sys.argv[1]), Path(sys.argv[2])
    server = Store(rules)
    if len(sys.argv) > 3:
        access_key = json.loads(rules.read_text())["access_keys"][0]
        _fill(server, access_key, Seed(Path(sys.argv[3])), datetime.fromisoformat(sys.argv[4]))
    run_simple("127.0.0.1", port, server, threaded=True, request_handler=MotoRequestHandler)


if __name__ == "__main__":
    main()
