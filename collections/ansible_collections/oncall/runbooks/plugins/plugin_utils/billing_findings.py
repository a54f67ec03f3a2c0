# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about billing: who paid and is not served, and why the event did not arrive."""

from __future__ import annotations

__metaclass__ = type

from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.oncall.runbooks.plugins.module_utils.billing.judge import (
    MISSED,
    NOT_SERVED,
    UNLINKED,
    masked,
)
from ansible_collections.oncall.runbooks.plugins.module_utils.billing.stripe import EVENT_DAYS
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding
from ansible_collections.oncall.runbooks.plugins.plugin_utils.billing_payments import Seen

ENDPOINT, PENDING, MISSING, ENDED = (
    "billing_webhook_endpoint",
    "billing_webhook_pending",
    "billing_missed",
    "billing_ended",
)
CHECKS = (ENDPOINT, PENDING, MISSING, ENDED)
_SHOWN = 5
Row = Dict[str, Any]


def of_endpoint(endpoint: Mapping[str, Any], wanted_events: Sequence[str]) -> Row:
    """Judge the webhook endpoint: enabled, and for the events that activate somebody."""
    lacking = [t for t in wanted_events if not {t, "*"} & set(endpoint["enabled_events"])]
    observed = {
        "id": endpoint["id"],
        "url": endpoint["url"],
        "status": endpoint["status"],
        "lacking": lacking,
    }
    where = "%s (%s)" % (endpoint["url"], endpoint["id"])
    if endpoint["status"] != "enabled":
        text = "The webhook endpoint %s is %s: Stripe sends it nothing." % (where, endpoint["status"])
        return finding(ENDPOINT, "fail", text, observed=observed, expected={"status": "enabled"})
    if lacking:
        text = "The webhook endpoint %s is not subscribed to %s." % (where, ", ".join(lacking))
        return finding(ENDPOINT, "fail", text, observed=observed, expected={"lacking": []})
    text = "The webhook endpoint %s is enabled." % where
    return finding(ENDPOINT, "ok", text, observed=observed, expected={"status": "enabled"})


def of_no_endpoint(error: OncallError) -> Row:
    """The finding for an endpoint that is not there: then nothing is delivered either."""
    return finding(ENDPOINT, "fail", error.message, observed=error.as_dict(), expected={"status": "enabled"})


def of_pending(events: Sequence[Mapping[str, Any]], now: float) -> Row:
    """Judge the deliveries that Stripe has not got rid of."""
    if not events:
        return finding(
            PENDING, "ok", "No delivery of a completed checkout has failed.", observed={"count": 0}
        )
    oldest = min(e["created"] for e in events)
    observed = {"count": len(events), "oldest": _iso(oldest), "events": [e["id"] for e in events[:_SHOWN]]}
    text = (
        "%d events of completed checkouts were not delivered, the oldest %.1f h ago;"
        " Stripe repeats each for up to 3 days." % (len(events), (now - oldest) / 3600)
    )
    return finding(PENDING, "fail", text, observed=observed, expected={"count": 0})


def of_missed(judged: Sequence[Row], seen: Seen, escalate_at: int, wanted: Sequence[str] = ()) -> Row:
    """Judge whether everybody who paid is served; wanted: checkouts that have to be among them."""
    missed = [j for j in judged if j["verdict"] in NOT_SERVED]
    kinds: Dict[str, int] = {}
    for j in missed:
        kinds[j["verdict"]] = kinds.get(j["verdict"], 0) + 1
    observed = {
        "count": len(missed),
        "paid": len(judged),
        "verdicts": kinds,
        "activatable": kinds.get(MISSED, 0),
        "resendable": sum(1 for j in missed if j["verdict"] in (MISSED, UNLINKED) and _resendable(j)),
        "others": seen.counts,
    }
    lost = set(wanted) - {j["session"] for j in judged}
    if lost:
        text = "%d checkouts do not count as paid any more: %s." % (len(lost), ", ".join(sorted(lost)))
        return finding(MISSING, "fail", text, observed=observed, expected={"count": 0})
    if not missed:
        text = "All %d checkouts that were paid%s are served." % (len(judged), _since(seen))
        return finding(MISSING, "ok", text, observed=observed, expected={"count": 0})
    text = "%d of %d checkouts that were paid%s are not served: %s." % (
        len(missed),
        len(judged),
        _since(seen),
        _who(missed),
    )
    gone = [j for j in missed if not j["event"] and seen.clock - j["completed"] > EVENT_DAYS * 86400]
    if gone:
        text += (
            " %d of them are older than the %d days for which Stripe keeps events: activate, do not resend."
            % (
                len(gone),
                EVENT_DAYS,
            )
        )
    if len(missed) >= escalate_at:
        text += " That is %d or more: escalate, this is no single lost event." % escalate_at
    observed["escalate"] = len(missed) >= escalate_at
    return finding(MISSING, "fail", text, observed=observed, expected={"count": 0}, details=list(missed))


def _resendable(judged: Row) -> bool:
    """An event that the application remembers would be taken for a repetition."""
    return bool(judged["event"]) and not judged["received"]


def _who(missed: Sequence[Row]) -> str:
    shown = ["%s (%s)" % (j["email"], j["reason"]) for j in missed[:_SHOWN]]
    more = len(missed) - _SHOWN
    return "; ".join(shown) + ("; and %d more" % more if more > 0 else "")


def of_ended(rows: Sequence[Row], seen: Seen) -> Row:
    """Judge whether somebody is still served whose subscription has ended at Stripe."""
    shown = [str(r["subscription"]) for r in rows[:_SHOWN]]
    observed = {"count": len(rows), "subscriptions": shown}
    if not rows:
        text = "No subscription that ended at Stripe%s is still served." % _since(seen)
        return finding(ENDED, "ok", text, observed=observed, expected={"count": 0})
    text = "%d subscriptions ended at Stripe%s and are still served: %s." % (
        len(rows),
        _since(seen),
        ", ".join(shown) + (", …" if len(rows) > _SHOWN else ""),
    )
    return finding(ENDED, "warn", text, observed=observed, expected={"count": 0})


def of_nobody(email: str, subscriber_id: str, people: Sequence[Row]) -> Row:
    """The finding for an address that is nobody's, or more than one subscriber's."""
    who = masked(email) if email else "id %s" % subscriber_id
    if not people:
        text = "No subscriber has %s, so nothing can be compared." % who
    else:
        ids = ", ".join(p["id"] for p in people)
        text = "%d subscribers have %s (ids %s): give subscriber_id." % (len(people), who, ids)
    return finding(
        MISSING, "unknown", text, observed={"subscribers": len(people)}, expected={"subscribers": 1}
    )


def of_failure(error: OncallError, have: Sequence[Row], wanted: Sequence[str] = CHECKS) -> List[Row]:
    """Whatever stands in the way of measuring is said of every check that was not measured."""
    done = {found["check"] for found in have}
    observed = {"error": error.as_dict()}
    return [
        finding(check, "unknown", "Not measured: %s" % error.message, observed=observed)
        for check in CHECKS
        if check in wanted and check not in done
    ]


def as_hint(found: Row, follow_up: str) -> Row:
    """Return a finding that is no worse than `warn` and ends with what to run next."""
    if found["status"] == "ok":
        return found
    return dict(found, status="warn", summary="%s Next: %s" % (found["summary"], follow_up))


def _since(seen: Seen) -> str:
    return " since %s" % _iso(seen.since) if seen.since else ""


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
