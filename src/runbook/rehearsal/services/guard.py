"""Who may do what: the check of a token, shared by every service that takes one."""

from __future__ import annotations

from runbook.rehearsal.services import tokens
from runbook.rehearsal.services.postgres_client import Database
from runbook.rehearsal.services.web import Refused, Request

_KNOWN = """
SELECT t.revoked_at IS NOT NULL, s.id, s.status, s.force_password_reset
FROM public.api_tokens t JOIN public.subscribers s ON s.id = t.subscriber_id WHERE t.token_hash = $1::bytea"""
BARRED = ("closed", "suspended")


def signed(request: Request, secret: str) -> str:
    """Return the subscriber of a token with a good signature; raises Refused 401."""
    try:
        return str(tokens.verify(secret, request.bearer)["sub"])
    except (tokens.TokenError, tokens.SecretError) as error:
        raise Refused(401, str(error)) from None


def subscriber(request: Request, secret: str, database: Database) -> str:
    """Return the subscriber of a token that is signed, known and not revoked; raises Refused 401 or 403."""
    signed(request, secret)
    found = database.query(_KNOWN, tokens.fingerprint(request.bearer))
    if not found:
        raise Refused(401, "unknown token")
    revoked, who, status, reset = found[0]
    if revoked == "t":
        raise Refused(401, "token revoked")
    if status in BARRED or reset == "t":
        raise Refused(403, "the password has to be set anew" if reset == "t" else f"the account is {status}")
    return str(who)
