# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a user of the system sees: URLs asked from outside, with a login before where one is needed."""

from __future__ import annotations

__metaclass__ = type

import base64
import json as json_format
from functools import partial
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.http import Answer, Expectation, ask
from ansible_collections.oncall.runbooks.plugins.module_utils.probes.runner import Probe, run_probes
from ansible_collections.oncall.runbooks.plugins.module_utils.service.health import (
    HEALTH_SPEC,
    health_sentence,
)

# The runner's own time limit, above that of a request: its reason is told instead of "late".
GRACE = 0.5
_DENIED = (401, 403)

OUTSIDE_SPEC: Dict[str, Any] = {
    "type": "list",
    "elements": "dict",
    "default": [],
    "options": {
        "check": {"type": "str", "required": True},
        "part": {"type": "str", "required": True},
        "method": {"type": "str", "default": "GET", "choices": ["GET", "HEAD"]},
        "headers": {"type": "dict", "default": {}, "no_log": True},
        "served_by": {"type": "str", "default": ""},
        "denied_check": {"type": "str", "default": ""},
        "denied_hint": {"type": "str", "default": ""},
        "login": {
            "type": "dict",
            "options": {
                "url": {"type": "str", "required": True},
                "body": {"type": "dict", "required": True, "no_log": True},
                "token": {"type": "str", "default": "token", "no_log": False},
            },
        },
        "unconfigured": {"type": "str", "default": ""},
        **HEALTH_SPEC,
    },
}


def measure_urls(checks: List[Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """Ask all URLs at the same time and return at least one finding for each `check` and `denied_check`."""
    return run_probes([_probe(check) for check in checks])


def _probe(check: Mapping[str, Any]) -> Probe:
    names = tuple(name for name in (check["check"], check["denied_check"]) if name)
    requests = 2 if check.get("login") else 1
    about = {"part": check["part"]}
    return Probe(names, partial(_measure, check), requests * check["timeout"] + GRACE, "fail", about)


def _measure(check: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    if check["unconfigured"]:
        # Not measured is not healthy: whoever reads this has to know what to set.
        for name in filter(None, (check["check"], check["denied_check"])):
            text = "%s is not measured: %s." % (check["url"], check["unconfigured"].rstrip("."))
            yield finding(name, "unknown", text, observed={"part": check["part"], "reason": "unconfigured"})
        return
    token, extra, failed = _login(check)
    if failed is not None:
        yield _finding(check, check["login"]["url"], failed, extra)
        return
    headers = dict(check["headers"])
    if token:
        headers["Authorization"] = "Bearer " + token
    expect = Expectation(tuple(check["status"]), check.get("json"), check.get("contains") or "")
    answer = ask(
        check["url"], timeout=check["timeout"], expect=expect, method=check["method"], headers=headers
    )
    yield from _judged(check, answer, extra)


def _judged(check: Mapping[str, Any], answer: Answer, extra: Mapping[str, Any]) -> Iterator[Dict[str, Any]]:
    """A refusal of the caller is told under `denied_check`: the service itself answers."""
    name = check["denied_check"]
    denied = bool(name) and bool(answer.reason) and answer.status in _DENIED
    if not denied:
        yield _finding(check, check["url"], answer, extra)
    else:
        text = "%s answers, but refuses the caller (%d): that is told as %s."
        yield finding(
            check["check"],
            "ok",
            text % (check["url"], answer.status, name),
            observed=_observed(check, answer, extra),
            expected=_expected(check),
        )
    if name:
        yield _denied(check, name, answer, denied)


def _denied(check: Mapping[str, Any], name: str, answer: Answer, denied: bool) -> Dict[str, Any]:
    status = "fail" if denied else "unknown" if answer.reason else "ok"
    if denied:
        text = "%s refuses a subscriber who may watch (%d): authentication, not this." % (
            check["url"],
            answer.status or 0,
        )
        if check["denied_hint"]:
            text += " Next: %s" % check["denied_hint"]
    elif answer.reason:
        text = "Whether %s would let a subscriber in is not known: %s." % (check["url"], answer.problem)
    else:
        text = "%s lets a subscriber in." % check["url"]
    return finding(
        name, status, text, observed=_observed(check, answer, {}), expected={"status": check["status"]}
    )


def _login(check: Mapping[str, Any]) -> Tuple[str, Dict[str, Any], Optional[Answer]]:
    """Log in where the check says how; return the token, what may be told of it, the answer if it failed."""
    login = check.get("login")
    if not login:
        return "", {}, None
    answer = ask(
        login["url"],
        timeout=check["timeout"],
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json_format.dumps(login["body"]).encode(),
    )
    token = answer.body.get(login["token"]) if isinstance(answer.body, dict) else None
    if not answer.reason and not isinstance(token, str):
        problem = "status %d, but the body has no text %s" % (answer.status or 0, login["token"])
        answer = Answer("body", problem, answer.seconds, answer.status)
    if answer.reason:
        return "", {"step": "login"}, answer
    return str(token), {"step": "verify", "token_lifetime_s": _lifetime(str(token))}, None


def _lifetime(token: str) -> Optional[int]:
    """Return how long a JSON Web Token is good for in seconds, by its own claims; None if it does not say."""
    try:
        part = token.split(".")[1]
        claims = json_format.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return int(claims["exp"]) - int(claims["iat"])
    except (ValueError, KeyError, IndexError, TypeError):
        return None


def _observed(check: Mapping[str, Any], answer: Answer, extra: Mapping[str, Any]) -> Dict[str, Any]:
    observed = dict(answer.as_dict(), part=check["part"], url=check["url"], **extra)
    if check["served_by"]:
        observed["served_by"] = answer.headers.get(check["served_by"].lower())
    return observed


def _expected(check: Mapping[str, Any]) -> Dict[str, Any]:
    return {"status": check["status"], "json": check.get("json")}


def _finding(check: Mapping[str, Any], url: str, answer: Answer, extra: Mapping[str, Any]) -> Dict[str, Any]:
    return finding(
        check["check"],
        "fail" if answer.reason else "ok",
        health_sentence(url, answer),
        observed=dict(_observed(check, answer, extra), url=url),
        expected=_expected(check),
    )
