"""People who pay, and payments that Roost does not hear of."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from runbook.rehearsal.parts import services
from runbook.rehearsal.processes import StandInError, wait_until
from runbook.rehearsal.services import tokens
from runbook.rehearsal.services.fetch import Fetched, fetch
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import vendors
from runbook.rehearsal.symptoms.services import tell

_ISSUE = """
INSERT INTO public.api_tokens (subscriber_id, token_hash, scopes, revoked_at, revoked_reason)
VALUES (%s, %s::bytea, '{stream}', now() - interval '2 days', %s)"""


@dataclass(frozen=True)
class Buyer:
    """Somebody who buys: `token` was revoked for non-payment, `stolen` because of a breach."""

    subscriber: str
    email: str
    customer: str
    subscription: str
    token: str
    stolen: str
    # Whether a payment was completed, so that the token has to work.
    paid: bool = True


def account(stack: Stack) -> dict[str, Any]:
    """Return the state of the stand-in of Stripe, as it is in its file now."""
    found: dict[str, Any] = json.loads((Path(_facts(stack)["folder"]) / "state.json").read_text())
    return found


def endpoint(stack: Stack) -> dict[str, Any]:
    """Return the system's webhook endpoint at Stripe."""
    (found,) = account(stack)["endpoints"].values()
    return dict(found)


def buyers(stack: Stack) -> list[Buyer]:
    """Return everybody who has bought in this stack."""
    kept = _kept(stack)
    return [Buyer(**one) for one in json.loads(kept.read_text())] if kept.exists() else []


def buy(stack: Stack, *, arrives: bool = True, **about: Any) -> Buyer:
    """Add a subscriber whose payment is due, let him pay, and wait until Stripe has tried to deliver that.

    arrives: wait until Roost has acted on it, too. about: as for the stand-in's `checkout`.
    """
    made = _subscriber(stack, paid=about.get("payment_status", "paid") != "unpaid")
    _keep(stack, [*buyers(stack), made])
    order = {"email": made.email, "customer": made.customer, "subscription": made.subscription, **about}
    check_out(stack, order)
    if arrives and made.paid:
        wait_until(lambda: not refused(stack, made.token), timeout=10, what="the activation by the event")
    return made


def check_out(stack: Stack, order: Mapping[str, Any]) -> None:
    """Complete a checkout (as the stand-in's `checkout` takes it), and wait until its event was delivered."""
    url = f"{_facts(stack)['base_url']}/_stand_in/checkout"
    got = fetch(url, {"Content-Type": "application/json"}, method="POST", body=json.dumps(order).encode())
    event = _answer(got)["event"]
    if endpoint(stack)["status"] == "enabled":
        wait_until(
            lambda: any(d["event"] == event for d in account(stack)["deliveries"]),
            timeout=10,
            what="the delivery of the event",
        )


def lose(count: int = 1, *, swallow: bool = False) -> Any:
    """Return what lets people pay while the handler fails; `swallow`: it notes the event and no more."""

    def action(stack: Stack) -> None:
        tell("owl_api", status=500, error="cannot take the event")(stack)
        try:
            for _ in range(count):
                buy(stack, arrives=False)
        finally:
            tell("owl_api")(stack)
        if swallow:
            for event in account(stack)["events"].values():
                stack.server().execute(
                    "INSERT INTO billing.webhook_events (event_id, type) VALUES (%s, %s)"
                    " ON CONFLICT DO NOTHING",
                    (event["id"], event["type"]),
                    database=stack.database,
                )

    return action


def lose_for_good(stack: Stack) -> None:
    """Let somebody pay while the handler is out of order, and leave it so."""
    tell("owl_api", status=500, error="cannot take the event")(stack)
    buy(stack, arrives=False)


def set_endpoint(status: str) -> Any:
    """Return what sets the webhook endpoint to `enabled` or `disabled`, by Stripe's own API."""

    def action(stack: Stack) -> None:
        facts = _facts(stack)
        form = urlencode({"disabled": "true" if status == "disabled" else "false"}).encode()
        headers = {
            "Authorization": f"Bearer {facts['api_key']}",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        url = f"{facts['base_url']}/v1/webhook_endpoints/{endpoint(stack)['id']}"
        _answer(fetch(url, headers, method="POST", body=form))

    return action


def hurry(stack: Stack) -> None:
    """Let an event be lost, and Stripe refuse some requests, as too many or for a failure of its own."""
    lose()(stack)
    soon = {"Retry-After": "0.1"}
    rules = [
        {"do": "status 429", "path": "^/v1/events$", "times": 2, "headers": soon},
        {"do": "status 503", "path": "^/v1/checkout", "times": 1, "headers": soon},
    ]
    vendors.misbehave("stripe", *rules)(stack)


def calm(stack: Stack) -> None:
    """End what Stripe refuses."""
    vendors.behave("stripe")(stack)


def refused(stack: Stack, token: str) -> str:
    """Return why auth refuses a token, "" when it takes it."""
    url = f"{stack.facts['services']['auth']['url']}/verify"
    got = fetch(url, {"Authorization": f"Bearer {token}"})
    return "" if got.status == 200 else f"{got.status} {got.body[:200].decode(errors='replace')}"


def _subscriber(stack: Stack, *, paid: bool) -> Buyer:
    word, server = uuid.uuid4().hex[:10], stack.server()
    secret = services.read_settings(stack.facts)["AUTH_JWT_SECRET"]
    # An apostrophe and capitals: what breaks a query that is glued together.
    email, customer, subscription = f"O'Brien.{word}@Example.org", f"cus_{word}", f"sub_{word}"
    ((number,),) = server.execute(
        "INSERT INTO public.subscribers (email, display_name, status, stripe_customer_id)"
        " VALUES (%s, 'O''Brien', 'past_due', %s) RETURNING id::text",
        (email, customer),
        database=stack.database,
    )
    for status, at_stripe in (("canceled", f"sub_old_{word}"), ("incomplete", subscription)):
        server.execute(
            "INSERT INTO public.subscriptions"
            " (subscriber_id, plan, status, stripe_subscription_id, price, period)"
            " VALUES (%s, 'hatchling', %s, %s, 500, tstzrange(now(), NULL))",
            (number, status, at_stripe),
            database=stack.database,
        )
    token, stolen = (tokens.sign(secret, number, 86400) for _ in range(2))
    for issued, reason in ((token, "non_payment"), (stolen, "breach")):
        server.execute(_ISSUE, (number, tokens.fingerprint(issued), reason), database=stack.database)
    return Buyer(number, email, customer, subscription, token, stolen, paid)


def _facts(stack: Stack) -> Mapping[str, Any]:
    found: Mapping[str, Any] = stack.facts["vendors"]["stripe"]
    return found


def _kept(stack: Stack) -> Path:
    return stack.folder / "buyers.json"


def _keep(stack: Stack, people: list[Buyer]) -> None:
    _kept(stack).touch(mode=0o600)
    _kept(stack).write_text(json.dumps([asdict(one) for one in people]))


def _answer(got: Fetched) -> dict[str, Any]:
    if got.status != 200:
        raise StandInError(f"the stand-in of Stripe answers {got.status}: {got.body[:200]!r}")
    found: dict[str, Any] = json.loads(got.body)
    return found
