"""Administrators who may only read, a write that cannot wait, and tokens that nobody has revoked."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from runbook.rehearsal.processes import StandInError
from runbook.rehearsal.services.fetch import Fetched, fetch
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms.services import change_settings

CANARY = b"canary-bg-"
"""What every token of the stand-in begins with."""
_PATH = "/v1/admin/break-glass"
_OPEN = "SELECT count(*) FROM public.break_glass_tokens WHERE expires_at > now() AND revoked_at IS NULL"


def need_write(stack: Stack) -> None:
    """Switch writes of administrators off, and have a booking that must not stay as it is."""
    change_settings("api", ADMIN_READ_ONLY="true")(stack)
    _kept(stack).touch(mode=0o600)
    ((booking,),) = sql(stack, "SELECT min(id)::text FROM public.bookings WHERE status = 'booked'")
    _kept(stack).write_text(json.dumps({"booking": booking, "tokens": []}))


def leave_open(stack: Stack) -> None:
    """Ask for a token, and forget it."""
    token = start(stack, "somebody's emergency of this morning")
    _kept(stack).touch(mode=0o600)
    _kept(stack).write_text(json.dumps({"booking": "", "tokens": [token]}))


def needed(stack: Stack) -> str:
    """Return the booking that has to be cancelled, "" for none."""
    return str(_known(stack)["booking"])


def problem(stack: Stack) -> str:
    """Return what is wrong: a booking that has to be cancelled, a token that is good; "" for nothing."""
    booking = needed(stack)
    if booking and status_of(stack, booking) != "cancelled":
        return f"booking {booking} has to be cancelled, and administrators may only read"
    if any(is_good(stack, token) for token in _known(stack)["tokens"]):
        return "the token of an earlier emergency is still good"
    ((count,),) = sql(stack, _OPEN)
    return f"{count} break-glass tokens are good" if count else ""


def prove_tokens(stack: Stack) -> None:
    """See that a token is good, and refused once it was revoked or has expired; raises StandInError."""
    revoked, expired = start(stack, "a rehearsal"), start(stack, "a rehearsal")
    if not (is_good(stack, revoked) and is_good(stack, expired)):
        raise StandInError("a token that was just asked for is refused")
    _ask(stack, "POST", f"{_PATH}/revoke", {"X-Break-Glass-Token": revoked})
    sql(
        stack, "UPDATE public.break_glass_tokens SET expires_at = now() WHERE revoked_at IS NULL RETURNING id"
    )
    if is_good(stack, revoked) or is_good(stack, expired):
        raise StandInError("a token that was revoked, or has expired, is taken")


def start(stack: Stack, reason: str) -> str:
    """Ask for a token as an administrator does."""
    got = _ask(stack, "POST", f"{_PATH}/start", {}, {"reason": reason, "ttl_minutes": 5})
    if got.status != 201:
        raise StandInError(f"no token: {got.status} {got.body[:200]!r}")
    return str(json.loads(got.body)["token"])


def is_good(stack: Stack, token: str) -> bool:
    """Whether the API takes a token."""
    return _ask(stack, "GET", f"{_PATH}/check", {"X-Break-Glass-Token": token}).status == 200


def write_without(stack: Stack, booking: str) -> int:
    """Try to write without a token; return the status of the answer."""
    return _ask(stack, "POST", f"/v1/admin/bookings/{booking}/reopen", {}).status


def status_of(stack: Stack, booking: str) -> str:
    """Return what a booking is."""
    ((found,),) = sql(stack, "SELECT status FROM public.bookings WHERE id = %s", booking)
    return str(found)


def audit(stack: Stack) -> list[tuple[Any, ...]]:
    """Return what administrators did: action, whether by a token, and why the token was asked for."""
    return sql(
        stack,
        "SELECT a.action, a.token IS NOT NULL, t.reason FROM public.admin_audit a"
        " LEFT JOIN public.break_glass_tokens t ON t.id = a.token ORDER BY a.id",
    )


def leaked(stack: Stack) -> list[str]:
    """Return the files of the stand-in's logs that hold a token."""
    logs = sorted((stack.folder / "log").glob("*"))
    return [path.name for path in logs if path.is_file() and CANARY in path.read_bytes()]


def sql(stack: Stack, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """Run one statement in the platform's database."""
    found: list[tuple[Any, ...]] = stack.server().execute(statement, values, database=stack.database)
    return found


def _ask(stack: Stack, method: str, path: str, headers: dict[str, str], body: Any = None) -> Fetched:
    admin = stack.facts["admin"]
    login = base64.b64encode(f"{admin['user']}:{admin['password']}".encode()).decode()
    sent = {"Authorization": f"Basic {login}", **headers}
    data = json.dumps(body).encode() if body is not None else b""
    return fetch(stack.facts["services"]["api"]["url"] + path, sent, method=method, body=data)


def _kept(stack: Stack) -> Path:
    return stack.folder / "emergency.json"


def _known(stack: Stack) -> dict[str, Any]:
    kept = _kept(stack)
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"booking": "", "tokens": []}
    return found
