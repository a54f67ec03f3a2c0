"""What owl_api does with Stripe's events: check the signature, act once on each, activate who has paid."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

from runbook.rehearsal.services.postgres_client import Database, Session
from runbook.rehearsal.services.web import Refused

TOLERANCE_S = 300
_PAID = ("paid", "no_payment_required")
_SUBSCRIBER = """
SELECT id FROM public.subscribers
WHERE ($1::bigint IS NOT NULL AND id = $1::bigint)
   OR ($1::bigint IS NULL AND stripe_customer_id = $2)
   OR ($1::bigint IS NULL AND $2 IS NULL AND email = $3)
FOR UPDATE"""
_SUBSCRIPTION = """
UPDATE public.subscriptions
SET status = 'active', stripe_subscription_id = coalesce($2, stripe_subscription_id)
WHERE id = (
    SELECT id FROM public.subscriptions
    WHERE subscriber_id = $1::bigint AND (stripe_subscription_id = $2 OR status NOT IN ('active', 'canceled'))
    ORDER BY (stripe_subscription_id = $2) IS TRUE DESC, id DESC LIMIT 1)"""
_ACTIVATE = """
UPDATE public.subscribers SET status = 'active', stripe_customer_id = coalesce(stripe_customer_id, $2)
WHERE id = $1::bigint"""
# Only what was taken away because nobody paid: what was revoked for another reason stays revoked.
_TOKENS = """
UPDATE public.api_tokens SET revoked_at = NULL, revoked_reason = NULL
WHERE subscriber_id = $1::bigint AND revoked_reason = 'non_payment'"""


def verified(body: bytes, header: str, secret: str, now: float | None = None) -> dict[str, Any]:
    """Return the event of a request that Stripe signed; raises Refused 400."""
    pairs = [part.partition("=")[::2] for part in header.split(",")]
    moment = next((value for key, value in pairs if key.strip() == "t"), "")
    given = [value for key, value in pairs if key.strip() == "v1"]
    if not secret or not moment.isdigit() or not given:
        raise Refused(400, "the webhook secret is not set" if not secret else "no usable Stripe-Signature")
    if abs((time.time() if now is None else now) - int(moment)) > TOLERANCE_S:
        raise Refused(400, f"the signature is not within {TOLERANCE_S} seconds of now")
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    if not any(hmac.compare_digest(signed, one) for one in given):
        raise Refused(400, "the signature does not match")
    try:
        event = json.loads(body)
        return {"id": str(event["id"]), "type": str(event["type"]), "object": event["data"]["object"]}
    except (ValueError, KeyError, TypeError):
        raise Refused(400, "the body is no event") from None


def take(event: dict[str, Any], database: Database) -> str:
    """Act on an event once; return what was done: `activated`, `duplicate`, `not paid` or `ignored`.

    A subscriber that is not known is an error, so that Stripe delivers the event again.
    """
    with database.transaction() as session:
        new = session.query(
            "INSERT INTO billing.webhook_events (event_id, type) VALUES ($1, $2) "
            "ON CONFLICT DO NOTHING RETURNING event_id",
            event["id"],
            event["type"],
        )
        if not new:
            return "duplicate"
        if event["type"] != "checkout.session.completed":
            return "ignored"
        if event["object"].get("payment_status") not in _PAID:
            return "not paid"
        _activate(session, event["object"])
        return "activated"


def _activate(session: Session, checkout: dict[str, Any]) -> None:
    reference = checkout.get("client_reference_id")
    email = (checkout.get("customer_details") or {}).get("email") or checkout.get("customer_email")
    customer = checkout.get("customer")
    number = reference if str(reference).isdigit() else None
    found = session.query(_SUBSCRIBER, number, customer, email)
    if not found and number is None and customer:
        found = session.query(_SUBSCRIBER, None, None, email)
    if len(found) != 1:
        raise LookupError(f"{len(found)} subscribers fit checkout session {checkout.get('id')}")
    who = found[0][0]
    session.query(_SUBSCRIPTION, who, checkout.get("subscription"))
    session.query(_ACTIVATE, who, customer)
    session.query(_TOKENS, who)


def signature(body: bytes, secret: str, now: float | None = None) -> str:
    """Return the header that Stripe would send with `body`."""
    moment = int(time.time() if now is None else now)
    signed = hmac.new(secret.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={moment},v1={signed}"
