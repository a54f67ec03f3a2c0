"""Roost's own services, and a subscriber to try them with."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from runbook.rehearsal import shapes
from runbook.rehearsal.parts.services import Services
from runbook.rehearsal.postgres_server import PostgresServer
from runbook.rehearsal.services import tokens

ORIGINS = ("cloudflare", "bunny")
_EXPIRY_S = 3600
_CANARY_EMAIL = "canary@example.org"
_CANARY_SLUG = "nest-7"


class RoostServices(Services):
    """relay, owl_api, auth, the tunnel, and the two origins of the CDN, which are anywhere."""

    programs: ClassVar = {
        "relay": 8090,
        "owl_api": 8091,
        "auth": 8082,
        "tunnel": 20241,
        "cloudflare": 8101,
        "bunny": 8102,
    }
    public_port = 8080
    project_name = "opt-roost"
    env_name = ".env.prod"

    def _settings(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "AUTH_JWT_SECRET": "canary-" + secrets.token_hex(32),
            "AUTH_JWT_EXPIRY": str(_EXPIRY_S),
            "ADMIN_TOKEN": "canary-" + secrets.token_hex(16),
            "STRIPE_WEBHOOK_SECRET": "whsec_canary" + secrets.token_hex(16),
            "RELAY_URL": self.url("relay"),
            "OWL_API_URL": self.url("owl_api"),
            "AUTH_URL": self.url("auth"),
            "CDN_CLOUDFLARE_URL": self.url("cloudflare"),
            "CDN_BUNNY_URL": self.url("bunny"),
            "RELAY_CACHE_DIR": str(self.folder / "disk" / "relay"),
            "OWL_STATE_DIR": str(self.project / "state"),
        }

    def _program(self, name: str) -> str:
        return "cdn" if name in ORIGINS else name

    def _more_arguments(self, name: str) -> list[str]:
        return ["--public-port", str(self.ports["public"])] if name == "tunnel" else []

    @property
    def stripe_account(self) -> dict[str, str]:
        """What Stripe knows of the system: where it delivers events, and the secret that signs them."""
        url = f"{self.url('owl_api')}/webhooks/stripe"
        return {"endpoint_url": url, "webhook_secret": self.settings["STRIPE_WEBHOOK_SECRET"]}

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says of the services, with a subscriber who may see everything."""
        return {
            **super().describe(),
            "relay_cache": self.settings["RELAY_CACHE_DIR"],
            "admin_token": self.settings["ADMIN_TOKEN"],
            "stripe_webhook_secret": self.settings["STRIPE_WEBHOOK_SECRET"],
            "canary": _canary(self._server, self.settings["AUTH_JWT_SECRET"]),
        }


def _canary(server: PostgresServer, secret: str) -> dict[str, str]:
    """Make a subscriber with a password and with a token that is good for a year."""
    password = "canary-" + secrets.token_hex(12)
    rows = server.execute(
        "INSERT INTO public.subscribers (email, display_name, status, password_hash) "
        "VALUES (%s, 'Canary', 'active', %s) RETURNING id",
        (_CANARY_EMAIL, tokens.hash_password(password)),
        database=shapes.ROOST.database,
    )
    token = tokens.sign(secret, str(rows[0][0]), 365 * 86400)
    server.execute(
        "INSERT INTO public.api_tokens (subscriber_id, token_hash, scopes) "
        "VALUES (%s, %s::bytea, '{stream}')",
        (rows[0][0], tokens.fingerprint(token)),
        database=shapes.ROOST.database,
    )
    return {
        "slug": _CANARY_SLUG,
        "subscriber": str(rows[0][0]),
        "email": _CANARY_EMAIL,
        "password": password,
        "token": token,
    }
