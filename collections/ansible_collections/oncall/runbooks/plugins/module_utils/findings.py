# Copyright: (c) 2026, the oncall.runbooks authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Findings: what a diagnosing step measured, in one shape for every module."""

from __future__ import annotations

__metaclass__ = type

from typing import Any, Dict, List, Optional

STATUSES = ("ok", "unknown", "warn", "fail")


def finding(
    check: str,
    status: str,
    summary: str,
    *,
    observed: Any = None,
    expected: Any = None,
    host: str = "",
    details: Optional[Any] = None,
) -> Dict[str, Any]:
    """Return one finding; `summary` is one sentence that carries the numbers and their units."""
    if status not in STATUSES:
        raise ValueError("status of finding %s is %r, not one of %s" % (check, status, ", ".join(STATUSES)))
    made = {
        "check": check,
        "host": host,
        "status": status,
        "observed": observed,
        "expected": expected,
        "summary": summary,
    }
    if details is not None:
        made["details"] = details
    return made


def worst(findings: List[Dict[str, Any]]) -> str:
    """Return the worst status among `findings`; `unknown` when there are none."""
    if not findings:
        return "unknown"
    statuses: List[str] = [f["status"] for f in findings]
    return max(statuses, key=STATUSES.index)
