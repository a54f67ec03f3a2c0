"""A stand-in of providers that deliver messages: two for e-mail, one for SMS, each below its own path.

`POST /<provider>/messages` takes a message once for each `Idempotency-Key`; `GET /<provider>/account` says
what is left of the quota, `GET /<provider>/status` what a status page says. What arrived is in
`state["sent"]`.
"""

from __future__ import annotations

import json
import secrets
from typing import Any, ClassVar

from runbook.rehearsal.vendors.base import Answer, Refusal, Request, Route, Vendor, serve

PROVIDERS = ("email-primary", "email-secondary", "sms-primary")
_PATH = r"/(?P<provider>[a-z]+-[a-z]+)"


def _error(code: str, message: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": message}}


class Messages(Vendor):
    """All of them, with one key; `quota` is what each may still send."""

    def initial(self) -> dict[str, Any]:
        """Return accounts that may send, with the key of `account.json`."""
        given = json.loads((self.folder / "account.json").read_text())
        key = given.get("api_key") or "canary-" + secrets.token_hex(12)
        return {"api_key": key, "quota": dict.fromkeys(PROVIDERS, 10_000), "sent": []}

    def authorize(self, request: Request) -> None:
        """Refuse an unknown provider, and all but its status page without the key."""
        provider = request.path.split("/")[1]
        if provider not in PROVIDERS:
            raise Refusal(404, _error("not_found", f"there is no provider {provider}"))
        if request.path.endswith("/status"):
            return
        if request.headers.get("authorization") != f"Bearer {self.state['api_key']}":
            raise Refusal(401, _error("unauthorized", "the key is missing, expired or wrong"))

    def status(self, _request: Request) -> Answer:
        """Answer what a status page says."""
        return Answer(200, {"status": "operational"})

    def account(self, request: Request) -> Answer:
        """Answer whether the account may send."""
        left = self.state["quota"][request.params["provider"]]
        return Answer(200, {"active": left > 0, "quota_left": left})

    def send(self, request: Request) -> Answer:
        """Take a message, once."""
        provider, given = request.params["provider"], request.json()
        key = request.headers.get("idempotency-key", "")
        if not key or not isinstance(given, dict) or not given.get("to"):
            raise Refusal(422, _error("invalid", "to and the header Idempotency-Key are needed"))
        sent = {"provider": provider, "key": key, "kind": given.get("kind", "")}
        if sent not in self.state["sent"]:
            if self.state["quota"][provider] < 1:
                raise Refusal(402, _error("quota_exceeded", "nothing is left of the quota"))
            self.state["quota"][provider] -= 1
            self.state["sent"].append(sent)
        return Answer(202, {"accepted": True})

    routes: ClassVar[list[Route]] = [
        ("GET", _PATH + "/status", status),
        ("GET", _PATH + "/account", account),
        ("POST", _PATH + "/messages", send),
    ]


if __name__ == "__main__":
    serve(Messages)
