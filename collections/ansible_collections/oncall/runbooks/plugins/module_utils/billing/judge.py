# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Judge what was paid at Stripe against what the database says: pure functions, one verdict per payment."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, Mapping, Optional, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.tables import LIVE, SUBSCRIPTION, Tables

Row = Dict[str, Any]
PAID = ("paid", "no_payment_required")
#: verdicts of paid checkouts whose subscriber is not served, from the plainest to the oddest
MISSED, UNLINKED, HELD, CONFLICT, UNKNOWN, AMBIGUOUS = (
    "missed",
    "no_row",
    "held",
    "conflict",
    "unknown",
    "ambiguous",
)
NOT_SERVED = (MISSED, UNLINKED, HELD, CONFLICT, UNKNOWN, AMBIGUOUS)


def bought(session: Mapping[str, Any], mode: str) -> Mapping[str, Any]:
    """Return what a checkout of `mode` (subscription or payment) bought, {} for one of another mode."""
    if session["mode"] != mode:
        return {}
    if mode == SUBSCRIPTION:
        found = session.get("subscription")
        return found if isinstance(found, dict) else {}
    payment = session.get("payment_intent")
    name = payment["id"] if isinstance(payment, dict) else payment
    # What was paid once is paid: nothing of it can end as a subscription does.
    return {"id": name, "status": "active"} if name else {}


def at_stripe(session: Mapping[str, Any], completed: float, settled: float, mode: str) -> Tuple[str, str]:
    """Return what Stripe says of a checkout: `paid` when the database has to know of it, and why not else.

    completed: when, in seconds of the epoch; settled: what was completed after that may still be under way;
    mode: of the checkouts that count.
    """
    if session.get("status") != "complete":
        return "open", "the checkout is %s" % (session.get("status") or "not complete")
    if session["payment_status"] not in PAID:
        # Delayed ways to pay complete first and are paid days later, or never.
        return "unpaid", "the checkout is complete, but payment_status is %s" % session["payment_status"]
    made = bought(session, mode)
    if not made:
        return "other", "the checkout bought no %s (mode %s)" % (mode, session["mode"])
    if made["status"] not in LIVE:
        return "ended", "the subscription is %s at Stripe now" % made["status"]
    if completed > settled:
        return "fresh", "it was completed only a moment ago"
    return "paid", ""


def verdict(found: Row, tables: Tables) -> Row:
    """Return the payment as `look.looked` returned it, with `verdict`, `reason`, `subscriber` and `row`."""
    people, rows = found["subscribers"], found["rows"]
    judged = {key: value for key, value in found.items() if key not in ("subscribers", "rows")}
    judged.update(subscriber=people[0] if len(people) == 1 else None, row=rows[0] if len(rows) == 1 else None)
    word, reason = _word(found, judged["subscriber"], tables)
    return dict(judged, verdict=word, reason=reason)


def _word(found: Row, subscriber: Optional[Row], tables: Tables) -> Tuple[str, str]:
    people = found["subscribers"]
    if subscriber is not None:
        odd = _odd_rows(found, subscriber, tables)
        return (CONFLICT, odd) if odd else _word_of_one(found, subscriber, tables)
    if not people:
        return UNKNOWN, "nobody in the database has this customer, reference or address"
    ids = ", ".join(person["id"] for person in people)
    return AMBIGUOUS, "%d subscribers match by %s (ids %s)" % (len(people), found["matched_by"], ids)


def _word_of_one(found: Row, subscriber: Row, tables: Tables) -> Tuple[str, str]:
    rows, status = found["rows"], found["status"]
    of_people, of_rows = tables.subscribers.statuses, tables.subscriptions.statuses
    served = of_people.fits(subscriber["status"], status)
    if served and rows and of_rows.fits(rows[0]["status"], status):
        return "served", ""
    if not served and subscriber["status"] not in of_people.activate_from:
        return HELD, "the subscriber is %s" % subscriber["status"]
    if not rows:
        return UNLINKED, "there is no row of the %s %s" % (tables.subscriptions.mode, found["subscription"])
    told = (subscriber["status"], tables.subscriptions.mode, rows[0]["status"])
    return MISSED, "the subscriber is %s, the %s %s" % told


def _odd_rows(found: Row, subscriber: Row, tables: Tables) -> str:
    """Return why the rows are not what a missed event leaves behind, "" when they are."""
    rows, statuses, noun = found["rows"], tables.subscriptions.statuses, tables.subscriptions.mode
    if len(rows) > 1:
        return "%d rows could be the %s (ids %s)" % (len(rows), noun, ", ".join(r["id"] for r in rows))
    if not rows:
        return ""
    row = rows[0]
    if row["subscriber"] != subscriber["id"]:
        told = (noun, row["subscriber"], subscriber["id"])
        return "the row of the %s is of subscriber %s, not %s" % told
    if row["status"] not in statuses.activate_from and not statuses.fits(row["status"], found["status"]):
        return "the row of the %s is %s, but Stripe says %s" % (noun, row["status"], found["status"])
    return ""


def masked(email: str) -> str:
    """Return an address that its owner knows and nobody else can use: `o***@example.org`."""
    name, at, domain = email.rpartition("@")
    return (name[:1] or "?") + "***" + at + domain if at else "***"


def told(judged: Row) -> Row:
    """Return a judged payment for the result: ids and reasons, the address masked."""
    person = judged["subscriber"] or {}
    return {
        "verdict": judged["verdict"],
        "reason": judged["reason"],
        "email": masked(person.get("email") or judged["email"] or ""),
        "subscriber_id": person.get("id", ""),
        "matched_by": judged["matched_by"],
        "session": judged["session"],
        "subscription": judged["subscription"],
        "customer": judged["customer"],
        "event": judged["event"],
        "pending": judged["pending"],
        "received": judged["received"],
        "completed": judged["completed"],
    }
