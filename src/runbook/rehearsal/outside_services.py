"""What a subscriber sees of the stand-in's services, and which settings they have, without Ansible."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from runbook.rehearsal import outside
from runbook.rehearsal.parts import services
from runbook.rehearsal.services.fetch import Fetched, fetch
from runbook.rehearsal.stack import Stack

_SETTINGS = ("AUTH_JWT_SECRET", "AUTH_JWT_EXPIRY", "ADMIN_TOKEN", "DATABASE_URL", "STRIPE_WEBHOOK_SECRET")
_CONSUMERS = ("relay", "owl_api", "auth")


def watch(stack: Stack, token: str = "") -> str:
    """Watch the canary's stream by the public address; return what goes wrong, "" when all is well."""
    facts = stack.facts
    canary = facts["canary"]
    got = _as(token or canary["token"], f"{facts['public_url']}/owl/stream/{canary['slug']}")
    if got.status != 200:
        return _said("watching", got)
    return "" if got.body.startswith(b"#EXTM3U") else "what came is no stream"


def served_by(stack: Stack) -> str:
    """Return the origin that a subscriber is served by, "" when he is not served."""
    facts = stack.facts
    canary = facts["canary"]
    got = _as(canary["token"], f"{facts['public_url']}/owl/stream/{canary['slug']}")
    return got.headers.get("X-Served-By", "") if got.status == 200 else ""


def log_in(stack: Stack) -> tuple[str, str]:
    """Log in as the canary by the public address; return the token and what went wrong ("" when nothing)."""
    facts = stack.facts
    account = {key: facts["canary"][key] for key in ("email", "password")}
    url = f"{facts['public_url']}/login"
    got = fetch(url, {"Content-Type": "application/json"}, method="POST", body=json.dumps(account).encode())
    if got.status != 200:
        return "", _said("logging in", got)
    return str(json.loads(got.body)["token"]), ""


def lifetime(stack: Stack) -> int:
    """Return the seconds that a token lives which is issued now, 0 when none is."""
    token, problem = log_in(stack)
    if problem:
        return 0
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    return int(claims["exp"]) - int(claims["iat"])


def log_in_and_watch(stack: Stack) -> str:
    """Log in, have the token verified, and watch with it; return what goes wrong, "" when all is well."""
    token, problem = log_in(stack)
    if problem:
        return problem
    got = _as(token, f"{stack.facts['public_url']}/verify")
    return _said("verifying the new token", got) if got.status != 200 else watch(stack, token)


def picture(stack: Stack, *, ignore: tuple[str, ...] = ()) -> dict[str, Any]:
    """Take the state of the services; `ignore`: what tables begin with whose rows may change.

    It holds the settings of the file and of each running service (as hashes), the origin that is active, and
    the digest of the database.
    """
    facts = stack.facts
    file = services.read_settings(facts)
    taken: dict[str, Any] = {f"setting {name}": _hash(value) for name, value in file.items()}
    for name in _CONSUMERS:
        running = services.environment_of(facts, name)
        taken |= {f"{name} runs with {key}": _hash(running.get(key, "")) for key in _SETTINGS}
    taken["mode of the settings"] = services.mode_of_settings(facts)
    cdn = _as(facts["admin_token"], f"{facts['services']['owl_api']['url']}/admin/cdn/health")
    taken["active origin"] = json.loads(cdn.body).get("active", "unknown")
    database = outside.digest_of(stack)
    for part in ("rows", "sequences"):
        database[part] = {name: is_ for name, is_ in database[part].items() if not name.startswith(ignore)}
    return taken | {f"database {part}": value for part, value in database.items()}


def _as(token: str, url: str) -> Fetched:
    return fetch(url, {"Authorization": f"Bearer {token}"})


def _said(what: str, got: Fetched) -> str:
    return f"{what}: {got.status} {got.body[:200].decode(errors='replace')}"


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()[:12] if value else "not set"
