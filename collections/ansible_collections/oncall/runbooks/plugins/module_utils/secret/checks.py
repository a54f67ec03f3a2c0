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

from ansible_collections.oncall.runbooks.plugins.module_utils.errors import UsageError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.probes import http

SHORTEST = 32  # characters of a secret that signs: as long as the hash
_LIFETIME = 300  # seconds
_PAUSE = 0.2  # seconds

KINDS = ("jwt_hs256", "bearer", "login_hs256")

CHECK_SPEC: Dict[str, Any] = {
    "url": {"type": "str", "required": True},
    "kind": {"type": "str", "choices": list(KINDS), "default": "jwt_hs256"},
    "claims": {"type": "dict", "default": {}},
    "login": {"type": "dict", "default": {}, "no_log": True},
    "token_field": {"type": "str", "default": "token", "no_log": False},
    "then": {"type": "str", "default": ""},
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


def signed_with(token: str, secret: str) -> bool:
    """Whether `token` is a JSON Web Token that was signed with `secret`."""
    head, _dot, signature = token.rpartition(".")
    wanted = _plain(hmac.new(secret.encode(), head.encode(), hashlib.sha256).digest())
    return bool(head) and hmac.compare_digest(wanted.encode(), signature.encode())


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
    login: Mapping[str, Any] = field(default_factory=dict, repr=False)
    token_field: str = "token"  # noqa: S105 - the name of a field
    then: str = ""
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
        made = cls(**given)
        if made.kind == "login_hs256" and not (made.login and all(made.login.values())):
            raise UsageError(
                "check the secret by a login",
                on=made.url,
                got="its login is empty or incomplete",
                next_step="set login to an account that was made for probes",
            )
        return made

    def ask(self, secret: str) -> str:
        """Return `accepted`, `refused`, or a phrase that says what else came back."""
        if self.kind == "login_hs256":
            return self._by_login(secret)
        token = secret if self.kind == "bearer" else jwt_hs256(secret, self.claims, time.time())
        known = (*self.accepted, *self.refused)
        answer = self._shown(self.url, token, known)
        if answer.reason:
            return answer.problem
        return "accepted" if answer.status in self.accepted else "refused"

    def _by_login(self, secret: str) -> str:
        """Log in: a service may take only tokens that it has issued, but what it issues shows its secret."""
        body = json.dumps(dict(self.login)).encode()
        sent = {"Content-Type": "application/json"}
        expect = http.Expectation(self.accepted)
        answer = http.ask(
            self.url, timeout=self.timeout, expect=expect, method="POST", headers=sent, body=body
        )
        if answer.reason:
            return "the login: %s" % answer.problem
        token = str((answer.body or {}).get(self.token_field) or "")
        if not signed_with(token, secret):
            return "refused"
        if not self.then:
            return "accepted"
        # Whatever else is the matter there: it is about the token only when the token is refused.
        taken = self._shown(self.then, token, ())
        if taken.reason not in ("", "status"):
            return "%s: %s" % (self.then, taken.problem)
        return "%s refuses it" % self.then if taken.status in self.refused else "accepted"

    def _shown(self, url: str, token: str, known: Tuple[int, ...]) -> http.Answer:
        headers = {self.header: self.prefix + token}
        return http.ask(url, timeout=self.timeout, expect=http.Expectation(known), headers=headers)


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


def too_short(old: str, checks: Sequence[Check], before: Sequence[Mapping[str, Any]]) -> str:
    """Return that `old` cannot sign, "" when it can, or is no secret that signs; `before`: of `baseline`."""
    asked = zip(checks, before)  # noqa: B905 - Python 3.8
    refused = [one for check, one in asked if check.kind != "bearer" and one["old"] != "accepted"]
    if len(old) < SHORTEST and refused:
        return "it has %d characters, too few to sign with" % len(old)
    return ""


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
