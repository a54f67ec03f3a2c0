"""The cleaning platform's own services: API, worker, and the proxy through which the public comes in."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any, ClassVar

from runbook.rehearsal.parts.services import Services

MIGRATIONS = Path(__file__).resolve().parent.parent / "data" / "cleaning_migrations"
"""What the code brings that is deployed, where no part of the stack deploys it."""

# A container would end the API at it; here it is only measured by it.
_API_MEMORY = 96 << 20


class CleaningServices(Services):
    """The API, the proxy before it, and the worker beside it."""

    programs: ClassVar = {"api": 8000, "proxy": 8001, "worker": 8002}
    public_port = 8443
    project_name = "opt-cleaning"
    env_name = ".env"

    def _settings(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "MIGRATIONS_DIR": str(MIGRATIONS),
            "STRIPE_WEBHOOK_SECRET": "whsec_canary" + secrets.token_hex(16),
            "ADMIN_BASIC_USERNAME": "owner",
            "ADMIN_BASIC_PASSWORD": "canary-" + secrets.token_hex(16),
            "ADMIN_READ_ONLY": "false",
            "CUSTOMER_EMAIL": "canary@example.org",
            "CUSTOMER_PASSWORD": "canary-" + secrets.token_hex(12),
            "PROXY_UPSTREAM": self.url("api"),
            "API_MEMORY_LIMIT": str(_API_MEMORY),
        }

    def _program(self, name: str) -> str:
        return f"cleaning_{name}" if name in ("api", "worker") else name

    def _more_arguments(self, name: str) -> list[str]:
        return ["--public-port", str(self.ports["public"])] if name == "proxy" else []

    @property
    def stripe_account(self) -> dict[str, str]:
        """What Stripe knows of the system: where it delivers events, and the secret that signs them."""
        url = f"{self.url('api')}/v1/webhooks/stripe"
        return {"endpoint_url": url, "webhook_secret": self.settings["STRIPE_WEBHOOK_SECRET"]}

    def describe(self) -> dict[str, Any]:
        """Return what stack.json says of the services, with the login of an administrator."""
        return {
            **super().describe(),
            "stripe_webhook_secret": self.settings["STRIPE_WEBHOOK_SECRET"],
            "canary": {
                "email": self.settings["CUSTOMER_EMAIL"],
                "password": self.settings["CUSTOMER_PASSWORD"],
            },
            "admin": {
                "user": self.settings["ADMIN_BASIC_USERNAME"],
                "password": self.settings["ADMIN_BASIC_PASSWORD"],
            },
        }
