"""Customers of the cleaning platform who pay, and payments that it does not hear of."""

from __future__ import annotations

import json
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runbook.rehearsal.parts import services
from runbook.rehearsal.processes import wait_until
from runbook.rehearsal.services import stripe_events
from runbook.rehearsal.services.fetch import fetch
from runbook.rehearsal.stack import Stack
from runbook.rehearsal.symptoms import stripe
from runbook.rehearsal.symptoms.services import change_settings, tell

Action = Callable[[Stack], None]
_SETTING = "STRIPE_WEBHOOK_SECRET"
_CUSTOMER = """
INSERT INTO public.customers (email, name, stripe_customer_id) VALUES (%s, 'O''Brien', %s) RETURNING id"""
_BOOKING = """
INSERT INTO public.bookings (customer_id, starts_at, hours, address)
VALUES (%s, now() + interval '4 days', 3, '1 Canary Street') RETURNING id"""
_PAYMENT = """
INSERT INTO public.payments (booking_id, customer_id, stripe_payment_id, cents)
VALUES (%s, %s, %s, 6000) RETURNING id"""


@dataclass(frozen=True)
class Payment:
    """One cleaning that was ordered, and its payment: the id of its row, and at Stripe."""

    row: int
    intent: str
    # Whether the checkout was paid, so that the platform has to know of it.
    paid: bool


def pay(stack: Stack, *, arrives: bool = True, **about: Any) -> Payment:
    """Let a new customer pay a cleaning, and wait until Stripe has tried to deliver that.

    arrives: wait until the platform has acted on it, too. about: as for `checkout` of the stand-in of Stripe.
    """
    word = uuid.uuid4().hex[:10]
    # An apostrophe and capitals: what breaks a query that is glued together.
    email, customer, intent = f"O'Brien.{word}@Example.org", f"cus_{word}", f"pi_{word}"
    number = _one(stack, _CUSTOMER, email, customer)
    row = _one(stack, _PAYMENT, _one(stack, _BOOKING, number), number, intent)
    made = Payment(row, intent, about.get("payment_status", "paid") == "paid")
    _keep(stack, [*payments(stack), made])
    order = {"email": email, "customer": customer, "mode": "payment", "payment_intent": intent, **about}
    stripe.check_out(stack, order)
    if arrives and made.paid:
        wait_until(lambda: status(stack, made) == "paid", timeout=10, what="the payment by its event")
    return made


def payments(stack: Stack) -> list[Payment]:
    """Return every payment that was made in this stack."""
    kept = _kept(stack)
    return [Payment(**one) for one in json.loads(kept.read_text())] if kept.exists() else []


def status(stack: Stack, one: Payment) -> str:
    """Return what the platform knows of a payment."""
    return str(_one(stack, "SELECT status FROM public.payments WHERE id = %s", one.row))


def lose(count: int = 1, *, swallow: bool = False) -> Action:
    """Return what lets people pay while the handler fails; `swallow`: it notes the event and no more."""

    def action(stack: Stack) -> None:
        lose_for_good(stack)
        for _ in range(count - 1):
            pay(stack, arrives=False)
        tell("api")(stack)
        if swallow:
            for event in stripe.account(stack)["events"].values():
                taken = (
                    "INSERT INTO public.stripe_events (event_id, type) VALUES (%s, %s) ON CONFLICT DO NOTHING"
                )
                stack.server().execute(taken, (event["id"], event["type"]), database=stack.database)

    return action


def lose_for_good(stack: Stack) -> None:
    """Let somebody pay while the handler is out of order, and leave it so."""
    tell("api", webhook="cannot take the event")(stack)
    pay(stack, arrives=False)


def another_secret(stack: Stack) -> None:
    """Give the API, and the file of its settings, a signing secret that Stripe does not sign with."""
    change_settings("api", **{_SETTING: "whsec_canary" + secrets.token_hex(16)})(stack)


def right_secret(stack: Stack) -> None:
    """Give the API the signing secret of Stripe again."""
    change_settings("api", **{_SETTING: stack.facts["stripe_webhook_secret"]})(stack)


def refused(stack: Stack) -> str:
    """Deliver an event that means nothing, signed as Stripe signs; return how it is refused."""
    event = {"id": "evt_canary", "type": "canary.nothing", "data": {"object": {"at": int(time.time())}}}
    body = json.dumps(event).encode()
    signed = stripe_events.signature(body, stack.facts["stripe_webhook_secret"])
    url = stack.facts["vendors"]["stripe"]["endpoint_url"]
    got = fetch(url, {"Stripe-Signature": signed}, method="POST", body=body)
    return "" if got.status == 200 else f"{got.status} {got.body[:200].decode(errors='replace')}"


def digest(stack: Stack) -> dict[str, Any]:
    """Take the payments that were made here each by itself, and the rest of what a payment may touch."""
    ours = [one.row for one in payments(stack)] or [0]
    rest = """
    SELECT count(*),
        coalesce(sum(hashtextextended((id, booking_id, cents, status)::text, 0)::numeric), 0)::text
    FROM public.payments WHERE id <> ALL(%s)"""
    taken: dict[str, Any] = {f"payment {one.intent}": status(stack, one) for one in payments(stack)}
    taken["the other payments"] = stack.server().execute(rest, (ours,), database=stack.database)
    taken["the signing secret"] = services.read_settings(stack.facts)[_SETTING]
    taken["the webhook endpoint"] = stripe.endpoint(stack)["status"]
    return taken


def _one(stack: Stack, sql: str, *values: Any) -> Any:
    ((found,),) = stack.server().execute(sql, values, database=stack.database)
    return found


def _kept(stack: Stack) -> Path:
    return stack.folder / "payments.json"


def _keep(stack: Stack, made: list[Payment]) -> None:
    _kept(stack).touch(mode=0o600)
    _kept(stack).write_text(json.dumps([asdict(one) for one in made]))
