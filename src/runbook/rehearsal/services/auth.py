"""auth: log in, verify a token, trade a refresh token for a new one."""

from __future__ import annotations

import argparse
import uuid

from runbook.rehearsal.services import guard, tokens
from runbook.rehearsal.services.postgres_client import Database, Session
from runbook.rehearsal.services.web import Answer, Refused, Request, Service

_DEFAULT_EXPIRY = 3600
_ACCOUNT = """
SELECT id, status, password_hash, force_password_reset FROM public.subscribers WHERE email = $1"""
_REFRESH = """
SELECT r.subscriber_id, r.family, s.status FROM public.refresh_tokens r
JOIN public.subscribers s ON s.id = r.subscriber_id
WHERE r.id = $1::uuid AND r.revoked_at IS NULL AND r.expires_at > now() FOR UPDATE OF r"""


class Auth(Service):
    """Signs and checks tokens with AUTH_JWT_SECRET; a new token is good for AUTH_JWT_EXPIRY seconds."""

    name = "auth"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._database = Database(self.env.get("DATABASE_URL", ""), "roost-auth")
        self._secret = self.env.get("AUTH_JWT_SECRET", "")
        self.routes += [
            ("POST", "/login", self.login),
            ("POST", "/refresh", self.refresh),
            ("GET", "/verify", self.verify),
        ]

    def check(self) -> None:
        """It needs its database; whether it can sign shows only where somebody logs in."""
        self._database.query("SELECT 1 FROM public.api_tokens LIMIT 1")

    def login(self, request: Request) -> Answer:
        """Answer an access token and a refresh token to the right password."""
        given = request.json()
        with self._database.transaction() as session:
            found = session.query(_ACCOUNT, given.get("email"))
            who, status, kept, reset = found[0] if found else (None, "", "", "")
            if not kept or not tokens.is_password(str(given.get("password")), kept):
                raise Refused(401, "wrong email or password")
            if reset == "t":
                raise Refused(403, "the password has to be set anew")
            return self._issue(session, str(who), str(status), str(uuid.uuid4()))

    def refresh(self, request: Request) -> Answer:
        """Answer a new pair of tokens for a refresh token, which is then used up."""
        given = str(request.json().get("refresh_token"))
        try:
            uuid.UUID(given)
        except ValueError:
            raise Refused(401, "unknown refresh token") from None
        with self._database.transaction() as session:
            found = session.query(_REFRESH, given)
            if not found:
                raise Refused(401, "unknown or revoked refresh token")
            who, family, status = found[0]
            session.query(
                "UPDATE public.refresh_tokens SET revoked_at = now(), revoked_reason = 'rotation' "
                "WHERE id = $1::uuid",
                given,
            )
            return self._issue(session, str(who), str(status), str(family))

    def _issue(self, session: Session, who: str, status: str, family: str) -> Answer:
        if status in guard.BARRED:
            raise Refused(403, f"the account is {status}")
        lifetime = int(self.env.get("AUTH_JWT_EXPIRY") or _DEFAULT_EXPIRY)
        token = tokens.sign(self._secret, who, lifetime)
        refresh = str(uuid.uuid4())
        session.query(
            "INSERT INTO public.api_tokens (subscriber_id, token_hash, scopes) "
            "VALUES ($1::bigint, $2::bytea, '{stream}')",
            who,
            tokens.fingerprint(token),
        )
        session.query(
            "INSERT INTO public.refresh_tokens (id, subscriber_id, family, expires_at) "
            "VALUES ($1::uuid, $2::bigint, $3::uuid, now() + interval '30 days')",
            refresh,
            who,
            family,
        )
        return Answer(200, {"token": token, "expires_in": lifetime, "refresh_token": refresh})

    def verify(self, request: Request) -> Answer:
        """Answer who a token belongs to."""
        who = guard.subscriber(request, self._secret, self._database)
        return Answer(200, {"subscriber": int(who)})


def run(options: argparse.Namespace) -> None:
    """Serve."""
    Auth(options).serve()
