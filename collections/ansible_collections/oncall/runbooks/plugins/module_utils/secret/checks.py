# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask the services which secret they take: tokens made with the old one, the new one and a foreign one."""

from __future__ import annotations

__metaclass__ = type

import base64
import hashlib
import hmac
import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Sequence, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import http

_LIFETIME = 300  # seconds
_PAUSE = 0.2  # seconds

CHECK_SPEC: Dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": ["jwt_hs256", "bearer"], "default": "jwt_hs256"},
    "claims": {"type": "dict", "default": {}},
    "header": {"type": "str", "default": "Authorization"},
    "prefix": {"type": "str", "default": "Bearer "},
    "accepted": {"type": "list", "elements": "int", "default": [200]},
    "refused": {"type": "list", "elements": "int", "default": [401]},
    "timeout": {"type": "float", "default": 5.0},
}


def jwt_hs256(secret: str, claims: Mapping[str, Any], now: float) -> str:
    """Return a JSON Web Token signed with `secret`; `iat` and `exp` are added unless the claims have them."""
    body = {"iat": int(now), "exp": int(now) + _LIFETIME, **claims}
    head = _part({"alg": "HS256", "typ": "JWT"}) + "." + _part(body)
    signature = hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest()
    return head + "." + _plain(signature)


def _part(data: Mapping[str, Any]) -> str:
    return _plain(json.dumps(data, separators=(",", ":")).encode())


def _plain(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass(frozen=True)
class Check:
    """One address that takes a token made with the right secret and refuses every other."""

    url: str
    kind: str = "jwt_hs256"
    claims: Mapping[str, Any] = field(default_factory=dict)
    header: str = "Authorization"
    prefix: str = "Bearer "
    accepted: Tuple[int, ...] = (200,)
    refused: Tuple[int, ...] = (401,)
    timeout: float = 5.0

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> "Check":
        """Return the check that a module's options state."""
        given = {name: options[name] for name in cls.__dataclass_fields__ if options.get(name) is not None}
        for name in ("accepted", "refused"):
            given[name] = tuple(given.get(name) or getattr(cls, name))
        return cls(**given)

    def ask(self, secret: str) -> str:
        """Return `accepted`, `refused`, or a phrase that says what else came back."""
        token = secret if self.kind == "bearer" else jwt_hs256(secret, self.claims, time.time())
        known = (*self.accepted, *self.refused)
        headers = {self.header: self.prefix + token}
        answer = http.ask(self.url, timeout=self.timeout, expect=http.Expectation(known), headers=headers)
        if answer.reason:
            return answer.problem
        return "accepted" if answer.status in self.accepted else "refused"


def baseline(checks: Sequence[Check], old: str) -> List[Dict[str, Any]]:
    """Return what each address says before anything is changed.

    Raises VerificationError when one takes a token of a foreign secret: it could not prove anything.
    """
    told = []
    for check in checks:
        stranger = check.ask(secrets.token_hex(32))
        if stranger == "accepted":
            raise VerificationError(
                "tell a good secret from a bad one",
                on=check.url,
                got="it takes a token that was signed with a secret nobody knows; nothing was changed",
                next_step="name an address that wants a valid token, and look why this one does not",
            )
        told.append({"url": check.url, "old": check.ask(old) if old else "none", "foreign": stranger})
    return told


def prove(
    checks: Sequence[Check],
    good: str,
    bad: str,
    *,
    within: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> List[Dict[str, Any]]:
    """Wait until every address takes `good` and refuses `bad` ("" = there is none); return what each said.

    Raises VerificationError with the last answers when the time is over.
    """
    deadline = clock() + within
    while True:
        told = [{"url": c.url, "good": c.ask(good), "bad": c.ask(bad) if bad else "none"} for c in checks]
        wrong = [one for one in told if one["good"] != "accepted" or one["bad"] not in ("refused", "none")]
        if not wrong:
            return told
        if clock() > deadline:
            said = "; ".join("%(url)s: the right secret: %(good)s, the other: %(bad)s" % one for one in wrong)
            next_step = "see whether every service that needs the secret is among the services"
            raise VerificationError(
                "see which secret the services take",
                got="after %g s: %s" % (within, said),
                next_step=next_step,
            )
        sleep(_PAUSE)
