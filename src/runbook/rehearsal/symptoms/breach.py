"""Breaches: somebody acts as an administrator, reads subscribers, and signs tokens with the stolen secret."""

from __future__ import annotations

from pathlib import Path

from runbook.rehearsal.parts import services
from runbook.rehearsal.services import tokens
from runbook.rehearsal.stack import Stack

THIEF = 4711
ADDRESS = "203.0.113.9"
# Ids of subscribers whose data is read.
VICTIMS = tuple(range(21, 51))
_READ = (
    "INSERT INTO public.audit_log"
    " (actor_type, actor_id, action, resource_type, ip_address, detail, created_at)"
    " SELECT 'admin', %s, 'subscriber.export', 'subscriber', %s, jsonb_build_object('subscriber_id', v),"
    " now() - interval '50 minutes' + v * interval '1 second' FROM unnest(%s) v"
)
_HABIT = (
    "INSERT INTO public.audit_log"
    " (actor_type, actor_id, action, resource_type, ip_address, detail, created_at)"
    " SELECT 'admin', 1, 'login', 'session', '10.1.1.1', '{}', now() - d * interval '1 day'"
    " FROM generate_series(1, 20) d"
)
_ISSUE = "INSERT INTO public.api_tokens (subscriber_id, token_hash, scopes) VALUES (%s, %s::bytea, '{}')"


def stolen_token(stack: Stack) -> str:
    """Return the token that the thief made, "" before anything was stolen."""
    path = _loot(stack)
    return path.read_text() if path.exists() else ""


def _loot(stack: Stack) -> Path:
    return stack.folder / "stolen.token"


def _steal_secret(stack: Stack) -> None:
    """Have a token as the canary, signed with the secret, as somebody who has read the settings file can."""
    secret = services.read_settings(stack.facts)["AUTH_JWT_SECRET"]
    canary = stack.facts["canary"]["subscriber"]
    token = tokens.sign(secret, canary, 86400)
    stack.server().execute(_ISSUE, (canary, tokens.fingerprint(token)), database=stack.database)
    _loot(stack).write_text(token)
    _loot(stack).chmod(0o600)


def intruder(stack: Stack) -> None:
    """Let an administrator that nobody knows export subscribers, from an address never seen before."""
    stack.server().execute(_READ, (THIEF, ADDRESS, list(VICTIMS)), database=stack.database)
    _steal_secret(stack)


def contained(stack: Stack) -> None:
    """Let the same have happened and be over: nothing that was stolen opens anything, the note is left."""
    stack.server().execute(_READ, (THIEF, ADDRESS, list(VICTIMS)), database=stack.database)
    note(stack).parent.mkdir(mode=0o700, exist_ok=True)
    note(stack).write_text("by hand\n")


def note(stack: Stack) -> Path:
    """Return the note on the host that a breach is being handled."""
    return stack.folder / "private" / "breach"


def evidence(stack: Stack) -> dict[str, bytes]:
    """Return the files of evidence that are kept on the host, by name; their sums are in the run's record."""
    files = (stack.folder / "private" / "evidence").glob("*/*")
    return {path.name: path.read_bytes() for path in files if path.name != "SHA256SUMS"}


def taken_over(stack: Stack) -> None:
    """Let a known administrator act from an address never used before."""
    stack.server().execute(_HABIT, database=stack.database)
    stack.server().execute(_READ, (1, ADDRESS, list(VICTIMS)), database=stack.database)
    _steal_secret(stack)


def bulk_export(stack: Stack) -> None:
    """Let a known administrator, from the usual address, export far more than anybody needs."""
    stack.server().execute(_HABIT, database=stack.database)
    many = list(range(100, 400))
    stack.server().execute(_READ, (1, "10.1.1.1", many), database=stack.database)
    _steal_secret(stack)
