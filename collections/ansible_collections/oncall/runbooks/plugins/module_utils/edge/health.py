# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings about where traffic goes: what directs it says one thing, a user outside may see another."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.oncall.runbooks.plugins.module_utils.edge.base import EdgeState
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.choose import choose_provider
from ansible_collections.oncall.runbooks.plugins.module_utils.edge.outside import Probe, prove
from ansible_collections.oncall.runbooks.plugins.module_utils.errors import OncallError, VerificationError
from ansible_collections.oncall.runbooks.plugins.module_utils.findings import finding


def measure(options: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Return the findings `cdn_health` and, with a probe, `cdn_traffic`; never raises for what is broken."""
    try:
        state = choose_provider(options).state()
    except OncallError as exc:
        return [_unmeasured("cdn_health", exc), *_traffic(options, "")]
    return [_health(state, options["primary"]), *_traffic(options, state.active)]


def _health(state: EdgeState, primary: str) -> Dict[str, Any]:
    status, reason, summary = _judged(state, primary)
    observed = {
        "part": "edge",
        "active": state.active,
        "primary": primary,
        "reason": reason,
        "origins": [{"name": o.name, "healthy": o.healthy, "note": o.note} for o in state.origins],
        "usable": [o.name for o in state.origins if o.healthy and o.name != state.active],
    }
    return finding(
        "cdn_health", status, summary, observed=observed, expected={"active": primary, "healthy": True}
    )


def _judged(state: EdgeState, primary: str) -> Tuple[str, str, str]:
    """Return status, reason (a stable word) and the sentence."""
    active = state.origin(state.active)
    others = "; ".join(o.word for o in state.origins if o is not active) or "there is no other origin"
    ill = [o for o in state.origins if o.healthy is False]
    if active is None:
        return "unknown", "active_unknown", "No single origin has the traffic: %s." % state.describe()
    if active.healthy is False:
        return "fail", "active_unhealthy", "%s and has the traffic; %s." % (active.word, others)
    if active.healthy is None:
        return "unknown", "health_unknown", "%s and has the traffic; %s." % (active.word, others)
    if primary and state.active != primary:
        return "warn", "failed_over", "Traffic goes to %s, not to %s; %s." % (state.active, primary, others)
    if ill:
        return "warn", "standby_unhealthy", "%s has the traffic and is healthy; %s." % (state.active, others)
    return "ok", "", "%s has the traffic and is healthy; %s." % (state.active, others)


def _unmeasured(check: str, exc: OncallError) -> Dict[str, Any]:
    # A refused token is not an outage of the CDN, and must not be taken for one.
    return finding(check, "unknown", exc.message, observed={"part": "edge", "reason": exc.kind, "active": ""})


def _traffic(options: Mapping[str, Any], active: str) -> List[Dict[str, Any]]:
    if not options.get("probe"):
        return []
    probe = Probe.from_options(options["probe"])
    try:
        seen = prove(probe, active)
    except VerificationError as exc:
        return [finding("cdn_traffic", "fail", exc.message, observed={"part": "edge", "reason": exc.kind})]
    who = "; answered by %s" % ", ".join(sorted(seen["answered_by"])) if seen["origin_told"] else ""
    summary = "%s answered %d times in a row%s." % (probe.url, seen["good_in_row"], who)
    return [finding("cdn_traffic", "ok", summary, observed=dict(seen, part="edge"))]
