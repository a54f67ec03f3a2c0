# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which mitigations the findings advise: a pure function of findings and header."""

from __future__ import annotations

from typing import Any

import jmespath
from jmespath.exceptions import JMESPathError

from runbook_engine.errors import UsageError

_ORDER = ("ok", "unknown", "warn", "fail")
_TOLD = ("name", "title", "reason", "effect", "data_loss", "undo", "entry_point")


def statuses(findings: list[dict[str, Any]]) -> dict[str, str]:
    """Return the worst status of each check over all hosts."""
    worst: dict[str, str] = {}
    for found in findings:
        seen = worst.get(found["check"], "ok")
        worst[found["check"]] = max(seen, found["status"], key=_ORDER.index)
    return worst


def recommend(header: dict[str, Any], findings: list[dict[str, Any]]) -> dict[str, Any]:
    """Return `advised` and `others`, both in the header's order (the cheapest first), and `status` per check.

    Without findings nothing is advised: a condition over nothing proves nothing.
    """
    facts = {"findings": findings, "status": statuses(findings)}
    advised: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for mitigation in header.get("mitigations") or []:
        told = {key: mitigation.get(key) for key in _TOLD}
        (advised if findings and _advised(mitigation, facts) else others).append(told)
    return {"advised": advised, "others": others, "status": facts["status"], "findings": len(findings)}


def _advised(mitigation: dict[str, Any], facts: dict[str, Any]) -> bool:
    condition = str(mitigation.get("advised_when") or "`false`")
    try:
        return bool(jmespath.search(condition, facts))
    except JMESPathError as error:
        raise UsageError(
            f"advised_when of the mitigation {mitigation.get('name')} is no JMESPath that fits: {error}",
            "correct the header of the runbook",
        ) from error
