"""A service that really checks tokens, and can be started again."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.secret.checks import jwt_hs256

LOGIN = {"email": "canary@example.com", "password": "canary-password"}
KEY = "AUTH_JWT_SECRET"
OLD = "canary-old-secret-0123456789abcdef0123456789"


def unpack(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


class Service:
    """Checks HS256 tokens with the secret that it read when it was started."""

    names: ClassVar[list[str]] = ["auth"]

    def __init__(self, read: Callable[[], str]) -> None:
        self._read = read
        self.secret = read()
        self.started, self.breaks, self.stale, self.lax = 0, 0, False, False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                good = outer.lax or outer.good(self.headers.get("Authorization", "").removeprefix("Bearer "))
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self) -> None:
                given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                token = jwt_hs256(outer.secret, {"sub": "probe"}, time.time())
                body = json.dumps({"token": token}).encode()
                self.send_response(200 if given == LOGIN else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/verify"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def good(self, token: str) -> bool:
        if token.count(".") != 2:
            return token == self.secret
        head, body, signature = token.split(".")
        wanted = hmac.new(self.secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
        signed = base64.urlsafe_b64encode(wanted).rstrip(b"=").decode() == signature
        claims = unpack(body)
        return signed and claims["exp"] > time.time() and claims["sub"] == "probe"

    def look(self) -> None:
        """It can always be started again."""

    def recreate(self, secrets: Sequence[str]) -> list[dict[str, Any]]:
        self.started += 1
        if self.breaks:
            self.breaks -= 1
            raise OncallError("start auth again", got="it does not come up", next_step="read its log")
        if not self.stale:
            self.secret = self._read()
        return [{"name": "auth.log", "content": "x", "sha256": "0"}]
