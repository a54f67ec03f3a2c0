"""What happens in the world of the stand-in of Stripe: people buy and cancel, and events are delivered."""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from runbook.rehearsal.vendors import stripe_objects as objects
from runbook.rehearsal.vendors.base import Vendor

EVENT_DAYS = 30
_DELIVERY_TIMEOUT_S = 3


def signature(secret: str, payload: str, moment: int) -> str:
    """Return the header `Stripe-Signature` of a delivery."""
    digest = hmac.new(secret.encode(), f"{moment}.{payload}".encode(), hashlib.sha256).hexdigest()
    return f"t={moment},v1={digest}"


class World(Vendor):
    """The account's objects and what changes them besides the API."""

    def initial(self) -> dict[str, Any]:
        """Return a new account with at most one webhook endpoint."""
        given = self.folder / "account.json"
        about = json.loads(given.read_text()) if given.exists() else {}
        key = about.get("api_key") or "sk_test_canary" + secrets.token_hex(16)
        secret = about.get("webhook_secret") or "whsec_canary" + secrets.token_hex(16)
        made: dict[str, Any] = {name: {} for name in ("customers", "subscriptions", "sessions", "events")}
        made |= {"api_key": key, "live": "_live_" in key, "endpoints": {}, "deliveries": [], "replies": {}}
        if about.get("endpoint_url"):
            there = objects.endpoint(about["endpoint_url"], secret, int(time.time()), live=made["live"])
            made["endpoints"][there["id"]] = there
        return made

    def checkout(self, email: str, **about: Any) -> dict[str, Any]:
        """Let somebody complete a checkout; returns the session and the id of its event.

        about: customer, subscription, payment_intent (ids to use), reference, payment_status, mode,
        subscription_status, age (seconds ago, 0), deliver (whether Stripe tries to at all, true).
        """
        created, live = int(time.time() - about.pop("age", 0)), self.state["live"]
        deliver, status = about.pop("deliver", True), about.pop("subscription_status", "active")
        with self.lock:
            buyer = about.pop("customer", "") or objects.new_id("cus")
            self.state["customers"].setdefault(
                buyer, objects.customer(email, created, live=live, known_as=buyer)
            )
            bought = None
            if about.get("mode", "subscription") == "subscription":
                wanted = about.pop("subscription", "")
                made = objects.subscription(buyer, created, live=live, known_as=wanted, status=status)
                self.state["subscriptions"][made["id"]] = made
                bought = made["id"]
            about.pop("subscription", None)
            session = objects.session(
                created, live=live, customer=buyer, subscription=bought, email=email, **about
            )
            self.state["sessions"][session["id"]] = session
            event = self.happen("checkout.session.completed", session, created, deliver=deliver)
            self.save()
            return {"session": session, "event": event["id"]}

    def cancel(self, subscription: str) -> dict[str, Any]:
        """End a subscription."""
        with self.lock:
            found = self.state["subscriptions"][subscription]
            found.update(status="canceled", canceled_at=int(time.time()))
            event = self.happen("customer.subscription.deleted", found, int(time.time()))
            self.save()
            return {"subscription": found, "event": event["id"]}

    def happen(
        self, kind: str, subject: Mapping[str, Any], created: int, *, deliver: bool = True
    ) -> dict[str, Any]:
        """Make an event and deliver it to every endpoint that is enabled and wants it."""
        targets = [
            e
            for e in self.state["endpoints"].values()
            if e["status"] == "enabled" and kind in e["enabled_events"]
        ]
        event = objects.event(kind, subject, created, len(targets), live=self.state["live"])
        self.state["events"][event["id"]] = event
        for target in targets if deliver else []:
            self.deliver(event, target)
        return event

    def deliver(self, event: dict[str, Any], target: Mapping[str, Any]) -> None:
        """Send the event to an endpoint in the background, signed; anything but 2xx leaves it pending."""
        threading.Thread(target=self._deliver, args=(event["id"], dict(target)), daemon=True).start()

    def _deliver(self, event: str, target: Mapping[str, Any]) -> None:
        with self.lock:
            payload = json.dumps(self.state["events"][event])
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "User-Agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "Stripe-Signature": signature(target["secret"], payload, int(time.time())),
        }
        sent = urllib.request.Request(target["url"], payload.encode(), headers)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(sent, timeout=_DELIVERY_TIMEOUT_S) as answer:  # noqa: S310
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        except OSError:
            status = 0
        with self.lock:
            # Counted per endpoint: delivering again what has arrived changes nothing.
            before = [
                d for d in self.state["deliveries"] if (d["event"], d["endpoint"]) == (event, target["id"])
            ]
            arrived = any(200 <= d["status"] < 300 for d in before)
            self.state["deliveries"].append({"event": event, "endpoint": target["id"], "status": status})
            if 200 <= status < 300 and not arrived:
                found = self.state["events"][event]
                found["pending_webhooks"] = max(0, found["pending_webhooks"] - 1)
            self.save()
