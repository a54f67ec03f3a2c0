"""Objects of Stripe's API as the stand-in keeps them: the fields that the API documents as always present."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

MONTH_S = 30 * 86400


def new_id(kind: str) -> str:
    """Return an id like Stripe's: `cs_test_…`, `evt_…`."""
    return f"{kind}_{secrets.token_hex(12)}"


def endpoint(url: str, secret: str, created: int, *, live: bool) -> dict[str, Any]:
    """Return a webhook endpoint that is enabled for what activates somebody and what ends a subscription."""
    return {
        "id": new_id("we"),
        "object": "webhook_endpoint",
        "api_version": None,
        "application": None,
        "created": created,
        "description": None,
        "enabled_events": ["checkout.session.completed", "customer.subscription.deleted"],
        "livemode": live,
        "metadata": {},
        "secret": secret,
        "status": "enabled",
        "url": url,
    }


def customer(email: str, created: int, *, live: bool, known_as: str = "") -> dict[str, Any]:
    """Return a customer."""
    return {
        "id": known_as or new_id("cus"),
        "object": "customer",
        "created": created,
        "email": email,
        "livemode": live,
        "metadata": {},
    }


def subscription(
    of: str, created: int, *, live: bool, known_as: str = "", status: str = "active"
) -> dict[str, Any]:
    """Return a subscription of the customer `of`, paid for one month."""
    return {
        "id": known_as or new_id("sub"),
        "object": "subscription",
        "automatic_tax": {"enabled": False},
        "billing_cycle_anchor": created,
        "cancel_at_period_end": False,
        "collection_method": "charge_automatically",
        "created": created,
        "currency": "eur",
        "current_period_start": created,
        "current_period_end": created + MONTH_S,
        "customer": of,
        "items": {"object": "list", "data": [], "has_more": False, "url": "/v1/subscription_items"},
        "livemode": live,
        "metadata": {},
        "start_date": created,
        "status": status,
    }


def session(created: int, *, live: bool, **about: Any) -> dict[str, Any]:
    """Return a checkout session.

    about: customer, subscription, payment_intent, email, reference, payment_status, mode.
    """
    return {
        "id": new_id("cs_live" if live else "cs_test"),
        "object": "checkout.session",
        "automatic_tax": {"enabled": False, "status": None},
        "client_reference_id": about.get("reference") or None,
        "created": created,
        "custom_fields": [],
        "custom_text": {"shipping_address": None, "submit": None},
        "customer": about["customer"],
        "customer_details": {"email": about["email"], "name": None, "phone": None},
        "customer_email": None,
        "expires_at": created + 86400,
        "livemode": live,
        "metadata": {},
        "mode": about.get("mode", "subscription"),
        "payment_intent": about.get("payment_intent"),
        "payment_method_types": ["card"],
        "payment_status": about.get("payment_status", "paid"),
        "shipping_options": [],
        "status": "complete",
        "subscription": about.get("subscription"),
    }


def event(kind: str, subject: Mapping[str, Any], created: int, pending: int, *, live: bool) -> dict[str, Any]:
    """Return an event with the object as it is at this moment."""
    return {
        "id": new_id("evt"),
        "object": "event",
        "api_version": "2023-08-16",
        "created": created,
        "data": {"object": dict(subject)},
        "livemode": live,
        "pending_webhooks": pending,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }
