"""api of the cleaning platform: bookings, Stripe's door, and an administration that can be made read-only.

What `/readyz` says comes from the real database and from the list of migrations that were applied to it.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import hmac
import json
import secrets
from pathlib import Path
from typing import Any

from runbook.rehearsal.services import stripe_events
from runbook.rehearsal.services.postgres_client import Database
from runbook.rehearsal.services.redis_client import Connection, RedisRefusedError
from runbook.rehearsal.services.web import Answer, Refused, Request, Service

_MAX_TTL_MINUTES = 240
_SESSION_S = "3600"
_NEXT = "SELECT id, starts_at FROM public.bookings WHERE status = 'booked' ORDER BY starts_at DESC LIMIT 5"
_APPLIED = "SELECT version FROM public.schema_migrations"
_TAKEN = """
INSERT INTO public.stripe_events (event_id, type) VALUES ($1, $2)
ON CONFLICT DO NOTHING RETURNING event_id"""
_PAID = "UPDATE public.payments SET status = 'paid' WHERE stripe_payment_id = $1 AND status = 'open'"
_MOMENT = "to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"
_START = f"""
INSERT INTO public.break_glass_tokens (token_hash, asked_by, reason, expires_at)
VALUES ($1::bytea, $2, $3, now() + make_interval(mins => $4::int)) RETURNING id, {_MOMENT}"""  # noqa: S608
_OPEN = f"""
SELECT id, asked_by, reason, {_MOMENT} FROM public.break_glass_tokens
WHERE expires_at > now() AND revoked_at IS NULL"""  # noqa: S608
_REVOKE = """
UPDATE public.break_glass_tokens SET revoked_at = now()
WHERE (token_hash = $1::bytea OR id = $2::bigint) AND revoked_at IS NULL AND expires_at > now()
RETURNING id"""
_AUDIT = "INSERT INTO public.admin_audit (who, action, token, detail) VALUES ($1, $2, $3::bigint, $4::jsonb)"
_BOOKING = "SELECT id, status FROM public.bookings WHERE id = $1::bigint"
_SET = "UPDATE public.bookings SET status = $2 WHERE id = $1::bigint AND status = $3 RETURNING id"
# What an administrator may do to a booking: the state that it needs, and the one that it makes.
_ACTS = {"cancel": ("booked", "cancelled"), "reopen": ("cancelled", "booked")}


class CleaningApi(Service):
    """Alive on `/healthz` whatever it stands on, ready on `/readyz` only when all of it is there."""

    name = "api"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._database = Database(self.env.get("DATABASE_URL", ""), "cleaning-api")
        self._read_release()
        self._held: list[Connection] = []
        self.routes = [
            ("GET", "/healthz", self.healthz),
            ("GET", "/readyz", self.readyz),
            ("GET", "/v1/bookings/next", self.bookings),
            ("POST", "/v1/login", self.login),
            ("GET", "/v1/session", self.session),
            ("POST", "/v1/webhooks/stripe", self.stripe),
            ("GET", "/v1/admin/break-glass", self.break_glass_open),
            ("POST", "/v1/admin/break-glass/start", self.break_glass),
            ("GET", "/v1/admin/break-glass/check", self.break_glass_check),
            ("POST", "/v1/admin/break-glass/revoke", self.revoke),
            ("GET", r"/v1/admin/bookings/(?P<id>\d+)", self.booking),
            ("POST", r"/v1/admin/bookings/(?P<id>\d+)/(?P<act>cancel|reopen)", self.change_booking),
        ]

    def _read_release(self) -> None:
        """Read what was released, once: a release that follows is not this process's."""
        release = Path(self.env.get("RELEASE_DIR", "/nonexistent"))
        self._version = (release / "SHA").read_text().strip() if release.exists() else ""
        self._next = _NEXT
        if self._version:
            self._next = json.loads((release / "api.json").read_text())["next_bookings"]
        brought = Path(self.env.get("MIGRATIONS_DIR", "/nonexistent")).glob("*.sql")
        self._brought = {path.stem for path in brought}

    def healthz(self, _request: Request) -> Answer:
        """Answer that the process lives."""
        return Answer(200, {"status": "ok", "service": self.called})

    def readyz(self, _request: Request) -> Answer:
        """Answer whether what it stands on is there; a fault {"readyz": {...}} says something else."""
        if "readyz" in self.fault:
            said = self.fault["readyz"]
            data = said["text"].encode() if "text" in said else said["json"]
            return Answer(said.get("status", 200), data)
        state = self.state()
        ready = all(state.values())
        told = {"status": "ready" if ready else "not_ready", "version": self._version, **state}
        return Answer(200 if ready else 503, told)

    def state(self) -> dict[str, bool]:
        """Return what it stands on, and whether each of it is there."""
        try:
            applied = {row[0] for row in self._database.query(_APPLIED)}
        except Exception as error:
            self.log("ERROR", str(error))
            return {"db_connected": False, "migrations_current": False}
        return {"db_connected": True, "migrations_current": applied == self._brought}

    def bookings(self, _request: Request) -> Answer:
        """Answer the next bookings: what a customer looks at."""
        rows = self._database.query(self._next)
        return Answer(200, {"bookings": [{"id": row[0], "starts_at": row[1]} for row in rows]})

    def login(self, request: Request) -> Answer:
        """Answer the token of a new session, which lives in Redis alone."""
        given = request.json()
        email, password = self.env.get("CUSTOMER_EMAIL", ""), self.env.get("CUSTOMER_PASSWORD", "")
        right = hmac.compare_digest(str(given.get("password") or ""), password)
        if not password or given.get("email") != email or not right:
            raise Refused(401, "no customer has this address and password")
        token = "canary-session-" + secrets.token_urlsafe(16)
        self._redis("SET", f"session:{_short(token)}", email, "EX", _SESSION_S)
        return Answer(200, {"token": token})

    def session(self, request: Request) -> Answer:
        """Answer whose session the token is."""
        email = self._redis("GET", f"session:{_short(request.bearer)}")
        if email is None:
            raise Refused(401, "there is no such session")
        return Answer(200, {"email": email})

    def _redis(self, *words: str) -> str | None:
        """Ask Redis; a fault {"hold_redis": n} has it take n connections first and never give them back."""
        url = self.env.get("REDIS_URL", "")
        if not url:
            raise Refused(503, "there are no sessions without Redis")
        try:
            while len(self._held) < self.fault.get("hold_redis", 0):
                self._held.append(Connection(url))
            with contextlib.closing(Connection(url)) as connection:
                return connection.call(*words)
        except (OSError, RedisRefusedError) as error:
            self.log("ERROR", f"session store: {error}")
            raise Refused(503, f"session store: {error}") from error

    def stripe(self, request: Request) -> Answer:
        """Take an event of Stripe, once; a fault {"webhook": text} fails there and nowhere else."""
        if said := self.fault.get("webhook"):
            raise RuntimeError(said)
        secret = self.env.get("STRIPE_WEBHOOK_SECRET", "")
        try:
            event = stripe_events.verified(request.body, request.headers.get("Stripe-Signature", ""), secret)
            self._writable(request)
        except Refused as refused:
            self.log("WARNING", f"stripe event refused with {refused.status}: {refused}")
            raise
        with self._database.transaction() as session:
            if not session.query(_TAKEN, event["id"], event["type"]):
                return Answer(200, {"received": True, "result": "duplicate"})
            session.query(_PAID, _paid(event))
        return Answer(200, {"received": True, "result": "taken"})

    def break_glass_open(self, request: Request) -> Answer:
        """Answer whether administrators may only read, and which tokens are good; never a token."""
        self._administrator(request)
        names = ("id", "asked_by", "reason", "expires_at")
        rows = self._database.query(_OPEN + " ORDER BY id")
        told = [dict(zip(names, row, strict=True)) for row in rows]
        return Answer(200, {"read_only": self._read_only, "open": told})

    def break_glass(self, request: Request) -> Answer:
        """Answer a token for emergency writes to an administrator who says why."""
        who = self._administrator(request)
        given = request.json()
        reason, minutes = str(given.get("reason") or "").strip(), given.get("ttl_minutes")
        if not reason:
            raise Refused(422, "reason is missing")
        if not isinstance(minutes, int) or not 0 < minutes <= _MAX_TTL_MINUTES:
            raise Refused(422, f"ttl_minutes has to be 1 to {_MAX_TTL_MINUTES}")
        token = "canary-bg-" + secrets.token_urlsafe(24)
        with self._database.transaction() as session:
            number, until = session.query(_START, _hash(token), who, reason, minutes)[0]
            detail = json.dumps({"reason": reason, "minutes": minutes})
            session.query(_AUDIT, who, "break_glass.start", number, detail)
        self.log("WARNING", f"break-glass access for {who}, {minutes} minutes")
        return Answer(201, {"token": token, "id": number, "expires_at": until})

    def break_glass_check(self, request: Request) -> Answer:
        """Answer whether the token of the request is good."""
        return Answer(200, {"id": self._token(request)})

    def revoke(self, request: Request) -> Answer:
        """Make a token void: that of the request's header, or the one with the id in its body."""
        who = self._administrator(request)
        given = request.headers.get("X-Break-Glass-Token", "")
        number = request.json().get("id") if request.body else None
        with self._database.transaction() as session:
            rows = session.query(_REVOKE, _hash(given) if given else None, number)
            if not rows:
                raise Refused(404, "there is no such token, or it is void already")
            session.query(_AUDIT, who, "break_glass.revoke", rows[0][0], None)
        return Answer(200, {"revoked": True})

    def booking(self, request: Request) -> Answer:
        """Answer one booking to an administrator."""
        self._administrator(request)
        rows = self._database.query(_BOOKING, request.params["id"])
        if not rows:
            raise Refused(404, f"there is no booking {request.params['id']}")
        return Answer(200, {"id": rows[0][0], "status": rows[0][1]})

    def change_booking(self, request: Request) -> Answer:
        """Cancel a booking for a customer, or take that back; a fault {"bookings": text} fails here."""
        who = self._administrator(request)
        token = self._writable(request)
        if said := self.fault.get("bookings"):
            raise RuntimeError(said)
        number, act = request.params["id"], request.params["act"]
        needs, makes = _ACTS[act]
        with self._database.transaction() as session:
            if not session.query(_SET, number, makes, needs):
                raise Refused(409, f"there is no booking {number} that is {needs}")
            session.query(_AUDIT, who, f"booking.{act}", token, json.dumps({"booking": int(number)}))
        return Answer(200, {"id": number, "status": makes})

    @property
    def _read_only(self) -> bool:
        return self.env.get("ADMIN_READ_ONLY", "").lower() == "true"

    def _writable(self, request: Request) -> str | None:
        """Return the id of the token that allows the write, None where none is needed; raises Refused 403."""
        return self._token(request) if self._read_only else None

    def _token(self, request: Request) -> str | None:
        token = request.headers.get("X-Break-Glass-Token", "")
        rows = self._database.query(_OPEN + " AND token_hash = $1::bytea", _hash(token)) if token else []
        if not rows:
            raise Refused(403, "ADMIN_READ_ONLY is on; a break-glass token that is good is needed")
        return rows[0][0]

    def _administrator(self, request: Request) -> str:
        user, password = self.env.get("ADMIN_BASIC_USERNAME", ""), self.env.get("ADMIN_BASIC_PASSWORD", "")
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        wanted = base64.b64encode(f"{user}:{password}".encode())
        if not password or kind.lower() != "basic" or not hmac.compare_digest(given.encode(), wanted):
            raise Refused(401, "the administrator's name or password is missing or wrong")
        return user


def _paid(event: dict[str, Any]) -> str | None:
    """Return the id of the payment that an event says to be made, None for another event."""
    about = event["object"]
    if event["type"] == "payment_intent.succeeded":
        return str(about.get("id"))
    if event["type"] == "checkout.session.completed" and about.get("payment_status") == "paid":
        return str(about.get("payment_intent"))
    return None


def _short(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:24]


def _hash(token: str) -> str:
    return "\\x" + hashlib.sha256(token.encode()).hexdigest()


def run(options: argparse.Namespace) -> None:
    """Serve."""
    CleaningApi(options).serve()
