# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The administration of an application: its mode, break-glass tokens, and the writes that they allow.

Used on the controller alone. A token lives in this process, in one object that never shows it.
"""

from __future__ import annotations

__metaclass__ = type

import base64
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import (
    DeniedError,
    OncallError,
    UsageError,
    VerificationError,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.http_api import ApiClient, ApiError

_NAME = "the administration"
#: statuses by which a token that is void is refused
_VOID = (401, 403, 404, 410)


@dataclass(frozen=True)
class Token:
    """A token that was asked for; `id` and `until` may be told, `secret` never."""

    id: str
    until: str
    secret: str = field(repr=False)


class Administration:
    """One application's administration, as the administrator's login sees it.

    url: without a trailing slash; paths: status, start, check and revoke, "" where the application has no
    such call; token_header: header that carries the token; timeout: seconds for one attempt.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self.paths: Mapping[str, str] = options["paths"]
        if not (options["user"] and options["password"]):
            raise UsageError(
                "log in as an administrator",
                got="the name or the password of the administrator is not set",
                next_step="set user and password from the vault",
            )
        login = base64.b64encode(("%s:%s" % (options["user"], options["password"])).encode()).decode()
        self._login = {"Authorization": "Basic " + login}
        self._client = self._made({}, "user and password")

    def _made(self, more: Mapping[str, str], credential: str) -> ApiClient:
        # Every header that is secret is the client's own: those it keeps out of what it tells.
        return ApiClient(
            self._options["url"],
            name=_NAME,
            headers=dict(self._login, **more),
            credential=credential,
            timeout=self._options["timeout"],
        )

    def _with(self, token: Optional[Token]) -> ApiClient:
        if token is None:
            return self._client
        return self._made({self._options["token_header"]: token.secret}, "the break-glass token")

    def status(self) -> Dict[str, Any]:
        """Return `read_only` (None: not known) and `open`, the tokens that are good: id, who, why, until."""
        if not self.paths["status"]:
            return {"read_only": None, "open": []}
        said = self._client.get(self.paths["status"])
        if not isinstance(said, dict) or not isinstance(said.get("read_only"), bool):
            raise OncallError(
                "read the mode of the administration",
                on=self.paths["status"],
                got="its answer has no read_only that is true or false",
                next_step="correct paths.status, or leave it empty where there is no such call",
                kind="no_mode",
            )
        return {"read_only": said["read_only"], "open": [_told(one) for one in said.get("open") or []]}

    def start(self, reason: str, minutes: int) -> Token:
        """Ask for a token; it is asked for once, because a second one would be good unseen."""
        path, body = self.paths["start"], {"reason": reason, "ttl_minutes": minutes}
        said = self._client.request("POST", path, json=body, repeatable=False).data
        secret = said.get("token") if isinstance(said, dict) else None
        if not secret:
            raise OncallError(
                "get a break-glass token", on=path, got="the answer has none", next_step="correct paths.start"
            )
        return Token(str(said.get("id", "")), str(said.get("expires_at", "")), str(secret))

    def is_good(self, token: Token) -> Optional[bool]:
        """Return whether a token is taken, None where the application has no call that tells."""
        if not self.paths["check"]:
            return None
        try:
            self._with(token).get(self.paths["check"])
        except DeniedError:
            return False
        except ApiError as error:
            if error.status in _VOID:
                return False
            raise
        return True

    def revoke(self, token: Token) -> None:
        """Make a token void; one that is void already is fine."""
        self._revoke(self._with(token), None)

    def revoke_id(self, number: str) -> None:
        """Make a token void that somebody else holds; one that is void already is fine."""
        self._revoke(self._client, {"id": int(number) if number.isdigit() else number})

    def _revoke(self, client: ApiClient, body: Any) -> None:
        try:
            client.request("POST", self.paths["revoke"], json=body, repeatable=True)
        except ApiError as error:
            if error.status not in _VOID:
                raise

    def look(self, path: str) -> Mapping[str, Any]:
        """Return the object at `path`."""
        found = self._client.get(path)
        if not isinstance(found, dict):
            raise VerificationError(
                "look at what is to be changed",
                on=path,
                got="the answer is no object",
                next_step="correct look",
            )
        return found

    def write(self, method: str, path: str, body: Any, token: Optional[Token]) -> None:
        """Make one write, once; whether it was made when no answer came, only a look can tell."""
        self._with(token).request(method, path, json=body or None, repeatable=False)


def _told(one: Mapping[str, Any]) -> Dict[str, str]:
    return {name: str(one.get(name) or "") for name in ("id", "asked_by", "reason", "expires_at")}


def sentence(tokens: List[Dict[str, str]]) -> str:
    """Return who may write with which reason, and until when, of tokens that are good."""
    lines = ["%(id)s of %(asked_by)s until %(expires_at)s (%(reason)s)" % one for one in tokens]
    return "; ".join(lines)
