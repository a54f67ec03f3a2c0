# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What Stripe says was paid, gathered on the controller in as few calls as its pages allow."""

from __future__ import annotations

__metaclass__ = type

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import at_stripe, bought
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.stripe import (
    COMPLETED,
    ENDED,
    EVENT_DAYS,
    Stripe,
)

_DAY = 86400.0
#: a checkout can be completed so long after it was made
_OPEN = _DAY
#: seconds by which this machine's clock may differ from Stripe's
MAX_SKEW = 60.0


@dataclass
class Seen:
    """What Stripe said: `payments` the database has to know of, `others` with why they do not count."""

    payments: List[Dict[str, Any]] = field(default_factory=list)
    others: List[Dict[str, Any]] = field(default_factory=list)
    ended: List[str] = field(default_factory=list)
    since: float = 0.0
    clock: float = 0.0
    warnings: List[str] = field(default_factory=list)

    @property
    def counts(self) -> Dict[str, int]:
        """How many checkouts there are of each kind."""
        return dict(Counter([o["kind"] for o in self.others]), paid=len(self.payments))


def sweep(stripe: Stripe, window_hours: float, grace: float, mode: str) -> Seen:
    """Return what was completed within the last hours, by Stripe's own clock; `grace` in seconds.

    mode: of the checkouts that count, here and below.
    """
    now, warnings = _clock(stripe)
    since = now - window_hours * 3600
    # Events are kept for 30 days only; a checkout itself is there for good.
    events = list(stripe.events(COMPLETED, max(since, now - EVENT_DAYS * _DAY)))
    sessions = {s["id"]: s for s in stripe.sessions({}, since - _OPEN)}
    for event in events:
        # Paid by a delayed method: made before the window, paid within it.
        session = event["data"]["object"]["id"]
        if session not in sessions:
            sessions[session] = stripe.session(session)
    seen = _sorted_out(sessions.values(), events, now - grace, mode)
    seen.payments = [p for p in seen.payments if p["completed"] >= since]
    seen.others = [o for o in seen.others if o["completed"] >= since]
    seen.ended = _ended(stripe, max(since, now - EVENT_DAYS * _DAY))
    seen.since, seen.clock, seen.warnings = since, now, warnings
    return seen


def of_subscriber(
    stripe: Stripe, people: Sequence[Mapping[str, Any]], email: str, grace: float, mode: str
) -> Seen:
    """Return every checkout of the subscribers `people` (rows of the database), however long ago."""
    now, warnings = _clock(stripe)
    customers = {p["customer"] for p in people if p["customer"]}
    written = [a for p in people for a in (p["email"], p["email"].lower())]
    for address in dict.fromkeys([*written, *([email] if email else [])]):
        customers |= {c["id"] for c in stripe.customers(address)}
    sessions = [s for c in sorted(customers) for s in stripe.sessions({"customer": c}, 0)]
    events: List[Dict[str, Any]] = []
    if sessions:
        oldest = min(s["created"] for s in sessions)
        events = list(stripe.events(COMPLETED, max(oldest, now - EVENT_DAYS * _DAY)))
    seen = _sorted_out(sessions, events, now - grace, mode)
    seen.since, seen.clock, seen.warnings = 0.0, now, warnings
    return seen


def of_sessions(stripe: Stripe, sessions: Sequence[str], mode: str) -> Seen:
    """Return these checkouts, however long ago or short ago they were completed."""
    found = [stripe.session(session) for session in sessions]
    seen = _sorted_out(found, [], float("inf"), mode)
    seen.clock = stripe.clock or time.time()
    return seen


def _clock(stripe: Stripe) -> Any:
    """Return Stripe's time, and a warning when this machine's is another."""
    if stripe.clock is None:
        stripe.endpoints()
    if stripe.clock is None:
        return time.time(), ["Stripe did not say what time it is there; this machine's clock is used"]
    skew = time.time() - stripe.clock
    if abs(skew) <= MAX_SKEW:
        return stripe.clock, []
    how = "ahead of" if skew > 0 else "behind"
    return stripe.clock, [
        "this machine's clock is %d s %s Stripe's; Stripe's is used. Next: set the clock" % (abs(skew), how)
    ]


def _sorted_out(
    sessions: Iterable[Dict[str, Any]], events: Sequence[Mapping[str, Any]], settled: float, mode: str
) -> Seen:
    newest: Dict[str, Mapping[str, Any]] = {}
    for event in events:  # the newest first
        newest.setdefault(event["data"]["object"]["id"], event)
    seen = Seen()
    for session in sessions:
        made = _payment(session, newest.get(session["id"]), mode)
        kind, reason = at_stripe(session, made["completed"], settled, mode)
        if kind == "paid":
            seen.payments.append(made)
        elif kind != "open":
            seen.others.append(dict(made, kind=kind, reason=reason))
    return seen


def _payment(session: Mapping[str, Any], event: Any, mode: str) -> Dict[str, Any]:
    made = bought(session, mode)
    start, end = _period(made)
    customer = session.get("customer")
    return {
        "session": session["id"],
        "subscription": made.get("id", ""),
        "status": made.get("status", ""),
        "customer": (customer["id"] if isinstance(customer, dict) else customer) or "",
        "reference": session.get("client_reference_id") or "",
        "email": (session.get("customer_details") or {}).get("email") or session.get("customer_email") or "",
        "completed": float(event["created"] if event else session["created"]),
        "event": event["id"] if event else "",
        "pending": int(event["pending_webhooks"]) if event else 0,
        "period_start": start,
        "period_end": end,
    }


def _period(made: Mapping[str, Any]) -> Any:
    """Return the time paid for; newer versions of the API keep it in the items of a subscription."""
    if made.get("current_period_end"):
        return made["current_period_start"], made["current_period_end"]
    items = (made.get("items") or {}).get("data") or []
    ends = [i for i in items if i.get("current_period_end")]
    if not ends:
        return None, None
    return min(i["current_period_start"] for i in ends), max(i["current_period_end"] for i in ends)


def _ended(stripe: Stripe, since: float) -> List[str]:
    return [event["data"]["object"]["id"] for event in stripe.events((ENDED,), since)]
