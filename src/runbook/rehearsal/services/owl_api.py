"""owl_api: the way to a stream, the administration of the CDN, and the door that Stripe knocks at."""

from __future__ import annotations

import argparse
import hmac
import json

from runbook.rehearsal.services import guard, stripe_events
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.services.postgres_client import Database
from runbook.rehearsal.services.web import Answer, Refused, Request, Service, folder

ORIGINS = ("cloudflare", "bunny")


class OwlApi(Service):
    """Checks who may see a stream and fetches it by the origin that is active."""

    name = "owl_api"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._database = Database(self.env.get("DATABASE_URL", ""), "roost-owl-api")
        self._secret = self.env.get("AUTH_JWT_SECRET", "")
        self._chosen = folder(self.env["OWL_STATE_DIR"]) / "cdn.json"
        self.routes += [
            ("GET", r"/owl/stream/(?P<slug>[\w-]+)", self.stream),
            ("GET", "/admin/cdn/health", self.cdn_health),
            ("POST", "/admin/cdn/failover", self.cdn_failover),
            ("POST", "/webhooks/stripe", self.stripe),
        ]

    def check(self) -> None:
        """It needs its database."""
        self._database.query("SELECT 1 FROM public.subscribers LIMIT 1")

    def stream(self, request: Request) -> Answer:
        """Answer a stream, with the origin that served it in X-Served-By."""
        guard.subscriber(request, self._secret, self._database)
        headers = {"Authorization": request.headers.get("Authorization", "")}
        got = fetch(f"{self._url(self.active)}/owl/stream/{request.params['slug']}", headers)
        if got.status >= 500:
            self.log(
                "ERROR", f"stream by {self.active}: {got.status} {got.body[:200].decode(errors='replace')}"
            )
        served = got.headers.get("X-Served-By", self.active)
        return Answer(got.status, got.body, {"X-Served-By": served, "Content-Type": got.kind})

    @property
    def active(self) -> str:
        """The origin that streams go by."""
        if not self._chosen.exists():
            return ORIGINS[0]
        return str(json.loads(self._chosen.read_text())["active"])

    def cdn_health(self, request: Request) -> Answer:
        """Answer which origin is active and which are healthy."""
        self._administrator(request)
        origins = [{"name": name, "healthy": self._healthy(name)} for name in ORIGINS]
        return Answer(200, {"active": self.active, "origins": origins})

    def cdn_failover(self, request: Request) -> Answer:
        """Make another origin the active one; 409 when that one is not healthy."""
        self._administrator(request)
        target = request.json().get("target")
        if target not in ORIGINS:
            raise Refused(422, f"target has to be one of {', '.join(ORIGINS)}")
        if not self._healthy(target):
            raise Refused(409, f"{target} is not healthy")
        fresh = self._chosen.with_suffix(".new")
        fresh.write_text(json.dumps({"active": target}))
        fresh.rename(self._chosen)
        self.log("INFO", f"streams go by {target} now")
        return Answer(200, {"active": target})

    def stripe(self, request: Request) -> Answer:
        """Take an event of Stripe."""
        secret = self.env.get("STRIPE_WEBHOOK_SECRET", "")
        event = stripe_events.verified(request.body, request.headers.get("Stripe-Signature", ""), secret)
        said = stripe_events.take(event, self._database)
        self.log("INFO", f"stripe event {event['id']}: {said}")
        return Answer(200, {"received": True, "result": said})

    def _administrator(self, request: Request) -> None:
        wanted = self.env.get("ADMIN_TOKEN", "")
        if not wanted or not hmac.compare_digest(request.bearer.encode(), wanted.encode()):
            raise Refused(401, "the administrator's token is missing or wrong")

    def _url(self, origin: str) -> str:
        return self.env[f"CDN_{origin.upper()}_URL"]

    def _healthy(self, origin: str) -> bool:
        return fetch(self._url(origin) + "/health", {}).status == 200


def run(options: argparse.Namespace) -> None:
    """Serve."""
    OwlApi(options).serve()
